/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What comes over a connection of D-Bus: see bus-stream.h. */

#include "bus-stream.h"

#include <sys/socket.h>

#include "bus-header.h"

int bus_stream_receive(BusStream *stream, size_t n) {
        static uint8_t buffer[BUS_STREAM_READ_MAX];
        size_t skip;
        ssize_t n_read;
        int r;

        n_read = recv(stream->fd, buffer, MIN(n, sizeof(buffer)), MSG_DONTWAIT);
        if (n_read < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (n_read == 0)
                return -ECONNRESET;

        skip = MIN((size_t) n_read, stream->skip);
        stream->skip -= skip;
        r = byte_queue_append(&stream->received, buffer + skip, (size_t) n_read - skip);
        return r < 0 ? r : 1;
}

ssize_t bus_stream_line(const BusStream *stream, size_t size_max, const char **ret) {
        const size_t n = byte_queue_count(&stream->received);
        const char *line = (const char *) byte_queue_first(&stream->received), *end;

        end = n > 0 ? memchr(line, '\n', MIN(n, size_max)) : NULL;
        if (!end)
                return n >= size_max ? -EBADMSG : 0;

        *ret = line;
        return end + 1 - line;
}

int bus_stream_message(const BusStream *stream, size_t size_max, StreamMessage *ret) {
        const size_t n = byte_queue_count(&stream->received);
        StreamMessage message = { .data = byte_queue_first(&stream->received) };
        int r;

        if (n < BUS_HEADER_FIXED_SIZE)
                return 0;
        r = bus_header_sizes(message.data, &message.header_size, &message.size);
        if (r < 0)
                return r;
        if (message.header_size <= size_max &&
            n < (message.size > size_max ? message.header_size : message.size))
                return 0;

        *ret = message;
        return 1;
}

void bus_stream_drop(BusStream *stream, size_t n) {
        const size_t n_here = MIN(n, byte_queue_count(&stream->received));

        byte_queue_drop(&stream->received, n_here);
        stream->skip = n - n_here;
}

void bus_stream_clear(BusStream *stream) {
        byte_queue_clear(&stream->received);
        stream->skip = 0;
}
