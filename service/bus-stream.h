/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * What comes over a connection of D-Bus: lines, which authenticate, and then messages. Whatever comes, little
 * is kept: what is too long is skipped as it comes, also in part. Nothing may be left of a stream that has
 * given an error.
 */

#include "byte-queue.h"
#include "macro.h"

/* The most that bus_stream_receive() can read. */
#define BUS_STREAM_READ_MAX ((size_t) 64 * 1024)

typedef struct BusStream {
        int fd; /* non-blocking or not; borrowed */
        ByteQueue received;
        size_t skip; /* bytes still to be skipped as they come */
} BusStream;

/* The first message of a stream; it is valid until the stream changes. */
typedef struct StreamMessage {
        const uint8_t *data;
        size_t header_size, size;
} StreamMessage;

/* Reads up to n bytes, at most BUS_STREAM_READ_MAX, that have come already. The kernel closes descriptors
 * that come with them, since they are not received: see SCM_RIGHTS in unix(7). Returns 1, or 0 if nothing had
 * come; -ECONNRESET at the end of the stream, -ENOMEM. */
int bus_stream_receive(BusStream *stream, size_t n);

/* Whether a line is complete: the number of its bytes, with the newline, or 0. -EBADMSG if it is longer than
 * size_max. */
ssize_t bus_stream_line(const BusStream *stream, size_t size_max, const char **ret);

/* Whether a message is complete: 1 or 0. Of one that is longer than size_max (ret->size) the header suffices,
 * and if that is longer, its fixed part. -EBADMSG if it is no message. */
int bus_stream_message(const BusStream *stream, size_t size_max, StreamMessage *ret);

/* Drops the first n bytes, of which some may not have come yet. */
void bus_stream_drop(BusStream *stream, size_t n);

/* Releases the memory; fd remains open. */
void bus_stream_clear(BusStream *stream);
