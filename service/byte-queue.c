/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A queue of bytes: see byte-queue.h. */

#include "byte-queue.h"

size_t byte_queue_count(const ByteQueue *queue) {
        return queue->end - queue->begin;
}

const uint8_t *byte_queue_first(const ByteQueue *queue) {
        return queue->data ? queue->data + queue->begin : NULL;
}

static void move_to_front(ByteQueue *queue) {
        if (queue->begin == 0)
                return;

        memmove(queue->data, queue->data + queue->begin, byte_queue_count(queue));
        queue->end -= queue->begin;
        queue->begin = 0;
}

static int resize(ByteQueue *queue, size_t size) {
        uint8_t *data = realloc(queue->data, size);

        if (!data)
                return -ENOMEM;

        queue->data = data;
        queue->size = size;
        return 0;
}

/* Makes room for n more at the end. Where that leaves little it grows, lest it moves for every few bytes. */
static int reserve(ByteQueue *queue, size_t n) {
        if (n <= queue->size - queue->end)
                return 0;

        move_to_front(queue);
        if (n <= (queue->size - queue->end) / 2)
                return 0;

        return resize(queue, MAX(queue->size * 2, queue->end + n));
}

int byte_queue_append(ByteQueue *queue, const void *data, size_t n) {
        int r;

        if (n == 0)
                return 0;
        r = reserve(queue, n);
        if (r < 0)
                return r;

        memcpy(queue->data + queue->end, data, n);
        queue->end += n;
        return 0;
}

/* Memory is given back when a quarter would do: then no byte is moved more than once for each that was
 * appended or dropped. */
void byte_queue_drop(ByteQueue *queue, size_t n) {
        queue->begin += n;

        if (queue->begin == queue->end)
                byte_queue_clear(queue);
        else if (queue->size > BYTE_QUEUE_SPARE_MAX && byte_queue_count(queue) < queue->size / 4) {
                move_to_front(queue);
                (void) resize(queue, 2 * byte_queue_count(queue));
        }
}

void byte_queue_clear(ByteQueue *queue) {
        free(queue->data);
        *queue = (ByteQueue){};
}
