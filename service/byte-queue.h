/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* A queue of bytes: appended at the end, dropped at the beginning. Starts as {}. */

#include "macro.h"

/* The most memory that a queue keeps for itself beyond four times what is in it. */
#define BYTE_QUEUE_SPARE_MAX ((size_t) 128 * 1024)

typedef struct ByteQueue {
        uint8_t *data;
        size_t begin, end, size; /* size: of the memory */
} ByteQueue;

size_t byte_queue_count(const ByteQueue *queue);

/* The first byte, with the others behind it; valid until the queue is changed. NULL when it is empty. */
const uint8_t *byte_queue_first(const ByteQueue *queue);

/* -ENOMEM, and the queue as it was, when there is no memory. */
int byte_queue_append(ByteQueue *queue, const void *data, size_t n);

/* Drops the first n, which must be there. Memory that is not needed any more is given back. */
void byte_queue_drop(ByteQueue *queue, size_t n);

/* Drops all. */
void byte_queue_clear(ByteQueue *queue);
