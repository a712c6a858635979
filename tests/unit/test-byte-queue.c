/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The order of what is in a queue of bytes, and the memory that it takes. */

#include <glib.h>

#include "byte-queue.h"

#define PIECE_SIZE 100
#define LARGE_SIZE ((size_t) 4 * 1024 * 1024)

/* The byte that comes after n others. */
static uint8_t byte_at(size_t n) {
        return (uint8_t) (n % 251);
}

static void append(ByteQueue *queue, size_t *n_appended, size_t n) {
        g_autofree uint8_t *piece = g_malloc(n + 1);

        for (size_t i = 0; i < n; i++)
                piece[i] = byte_at(*n_appended + i);
        g_assert_cmpint(byte_queue_append(queue, piece, n), ==, 0);
        *n_appended += n;
}

static void check_content(const ByteQueue *queue, size_t n_appended, size_t n_dropped) {
        const uint8_t *first = byte_queue_first(queue);

        g_assert_cmpuint(byte_queue_count(queue), ==, n_appended - n_dropped);
        for (size_t i = 0; i < byte_queue_count(queue); i++)
                g_assert_cmpuint(first[i], ==, byte_at(n_dropped + i));
}

static void test_random(void) {
        ByteQueue queue = {};
        size_t n_appended = 0, n_dropped = 0;

        for (unsigned i = 0; i < 2000; i++) {
                size_t n = (size_t) g_test_rand_int_range(0, 3000);

                if (g_test_rand_bit())
                        append(&queue, &n_appended, n);
                else {
                        n = MIN(n, byte_queue_count(&queue));
                        byte_queue_drop(&queue, n);
                        n_dropped += n;
                }
                check_content(&queue, n_appended, n_dropped);
        }

        byte_queue_clear(&queue);
        g_assert_null(byte_queue_first(&queue));
}

/* One that is never empty does not keep the memory of the time when it was long. */
static void test_gives_back(void) {
        ByteQueue queue = {};
        size_t n_appended = 0, n_dropped = 0;

        append(&queue, &n_appended, LARGE_SIZE);
        while (byte_queue_count(&queue) > PIECE_SIZE) {
                append(&queue, &n_appended, PIECE_SIZE / 2);
                byte_queue_drop(&queue, PIECE_SIZE);
                n_dropped += PIECE_SIZE;
                g_assert_cmpuint(queue.size, <=, BYTE_QUEUE_SPARE_MAX + 4 * byte_queue_count(&queue));
        }

        check_content(&queue, n_appended, n_dropped);
        byte_queue_drop(&queue, byte_queue_count(&queue));
        g_assert_cmpuint(queue.size, ==, 0);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/byte-queue/random", test_random);
        g_test_add_func("/byte-queue/gives-back", test_gives_back);

        return g_test_run();
}
