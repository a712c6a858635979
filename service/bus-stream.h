/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * What is received over a D-Bus connection: lines while it authenticates, then messages. Memory is bounded:
 * of a message longer than size_max only the header is needed, and bus_stream_drop() skips the rest while it
 * arrives. After an error the stream must not be used any more.
 */

#include "byte-queue.h"
#include "macro.h"

/* The most that bus_stream_receive() can read. */
#define BUS_STREAM_READ_MAX ((size_t) 64 * 1024)

typedef struct BusStream {
        int fd; /* non-blocking or not; borrowed */
        ByteQueue received;
        size_t skip; /* bytes still to be skipped while they arrive */
} BusStream;

/* The first message of a stream; valid until the stream changes. */
typedef struct StreamMessage {
        const uint8_t *data;
        size_t header_size, size;
} StreamMessage;

/* Reads up to n bytes, at most BUS_STREAM_READ_MAX, that have arrived. The kernel closes descriptors that
 * come with them, since they are not received: see SCM_RIGHTS in unix(7). Returns 1, or 0 if nothing has
 * arrived; -ECONNRESET at the end of the stream, -ENOMEM, and the errors of recv(2). */
int bus_stream_receive(BusStream *stream, size_t n);

/* Sets *ret to the first line, and returns its size with the newline; 0 if it is incomplete, -EBADMSG if it
 * is longer than size_max. */
ssize_t bus_stream_line(const BusStream *stream, size_t size_max, const char **ret);

/* Returns 1 with the first message, 0 if it is incomplete. If ret->size exceeds size_max, only its header has
 * to be there; if ret->header_size does, only its fixed part. -EBADMSG if these bytes do not begin a message.
 */
int bus_stream_message(const BusStream *stream, size_t size_max, StreamMessage *ret);

/* Drops the first n bytes, including those that have not arrived yet. */
void bus_stream_drop(BusStream *stream, size_t n);

/* Releases the memory; fd remains open. */
void bus_stream_clear(BusStream *stream);
