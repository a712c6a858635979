/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The headers of D-Bus messages: see bus-header.h. */

#include "bus-header.h"

#include <endian.h>

/* Offsets in the fixed part. */
enum {
        AT_BYTE_ORDER = 0,
        AT_TYPE = 1,
        AT_FLAGS = 2,
        AT_VERSION = 3,
        AT_BODY_SIZE = 4,
        AT_SERIAL = 8,
        AT_FIELDS_SIZE = 12,
};

enum {
        FLAG_NO_REPLY_EXPECTED = 1,
};

enum {
        FIELD_PATH = 1,
        FIELD_INTERFACE = 2,
        FIELD_MEMBER = 3,
        FIELD_DESTINATION = 6,
        FIELD_SENDER = 7,
        FIELD_UNIX_FDS = 9,
};

#define VERSION 1
#define MESSAGE_SIZE_MAX (128 * 1024 * 1024)

#if __BYTE_ORDER == __LITTLE_ENDIAN
#define BYTE_ORDER_HERE 'l'
#else
#define BYTE_ORDER_HERE 'B'
#endif

static size_t align(size_t n, size_t to) {
        return (n + to - 1) / to * to;
}

/* In the byte order of the message. */
static uint32_t read_number(const uint8_t *message, size_t at) {
        uint32_t number;

        memcpy(&number, message + at, sizeof(number));
        return message[AT_BYTE_ORDER] == 'l' ? le32toh(number) : be32toh(number);
}

int bus_header_sizes(const uint8_t *message, size_t *ret_header_size, size_t *ret_size) {
        uint64_t header_size, size;

        if ((message[AT_BYTE_ORDER] != 'l' && message[AT_BYTE_ORDER] != 'B') ||
            message[AT_VERSION] != VERSION)
                return -EBADMSG;

        header_size = align(BUS_HEADER_FIXED_SIZE + (uint64_t) read_number(message, AT_FIELDS_SIZE), 8);
        size = header_size + read_number(message, AT_BODY_SIZE);
        if (size > MESSAGE_SIZE_MAX)
                return -EBADMSG;

        *ret_header_size = header_size;
        *ret_size = size;
        return 0;
}

/* Reads the string at *at, with its length before it and a NUL after it, and advances *at past it. */
static int read_text(
                const uint8_t *message,
                size_t end,
                size_t length_size,
                size_t *at,
                const char **ret_text) {
        size_t begin = align(*at, length_size) + length_size, length;

        if (begin > end)
                return -EBADMSG;
        length = length_size == 1 ? message[begin - 1] : read_number(message, begin - length_size);
        if (length >= end - begin || message[begin + length] != '\0')
                return -EBADMSG;

        *at = begin + length + 1;
        *ret_text = (const char *) message + begin;
        return 0;
}

typedef struct Field {
        uint8_t code;
        const char *text; /* NULL: not a string */
        uint32_t number;
} Field;

/* Reads the field at *at and advances *at past it. */
static int read_field(const uint8_t *message, size_t end, size_t *at, Field *ret) {
        size_t next = align(*at, 8);
        const char *type;
        Field field = {};
        int r;

        if (next >= end)
                return -EBADMSG;
        field.code = message[next++];
        r = read_text(message, end, 1, &next, &type);
        if (r < 0)
                return r;

        if (streq(type, "s") || streq(type, "o"))
                r = read_text(message, end, 4, &next, &field.text);
        else if (streq(type, "g"))
                r = read_text(message, end, 1, &next, &field.text);
        else if (streq(type, "u"))
                next = align(next, 4) + 4;
        else
                r = -EBADMSG;
        if (r < 0)
                return r;
        if (next > end)
                return -EBADMSG;
        if (streq(type, "u"))
                field.number = read_number(message, next - 4);

        *at = next;
        *ret = field;
        return 0;
}

int bus_header_read(const uint8_t *message, size_t header_size, BusHeader *ret) {
        size_t end = BUS_HEADER_FIXED_SIZE + (size_t) read_number(message, AT_FIELDS_SIZE);
        BusHeader header = {
                .type = message[AT_TYPE],
                .expects_reply = !(message[AT_FLAGS] & FLAG_NO_REPLY_EXPECTED),
                .serial = read_number(message, AT_SERIAL),
        };

        if (end > header_size)
                return -EBADMSG;

        for (size_t at = BUS_HEADER_FIXED_SIZE; at < end;) {
                Field field;
                int r;

                r = read_field(message, end, &at, &field);
                if (r < 0)
                        return r;
                if (field.code == FIELD_SENDER)
                        header.sender = field.text;
                else if (field.code == FIELD_DESTINATION)
                        header.destination = field.text;
                else if (field.code == FIELD_UNIX_FDS)
                        header.n_fds = field.number;
        }

        *ret = header;
        return 0;
}

/* In the byte order of the message. */
static void write_number(uint8_t *message, size_t at, uint32_t number) {
        number = message[AT_BYTE_ORDER] == 'l' ? htole32(number) : htobe32(number);
        memcpy(message + at, &number, sizeof(number));
}

static size_t write_field(uint8_t *buffer, size_t at, uint8_t code, char type, const char *text) {
        const uint32_t length = (uint32_t) strlen(text);

        at = align(at, 8);
        buffer[at++] = code;
        buffer[at++] = 1;
        buffer[at++] = (uint8_t) type;
        buffer[at++] = '\0';
        write_number(buffer, at, length);
        memcpy(buffer + at + sizeof(length), text, length + 1);
        return at + sizeof(length) + length + 1;
}

size_t bus_header_write_call(
                uint8_t buffer[static BUS_HEADER_CALL_SIZE_MAX],
                uint32_t serial,
                const char *path,
                const char *interface,
                const char *member,
                const char *sender) {
        size_t at = BUS_HEADER_FIXED_SIZE;

        memset(buffer, 0, BUS_HEADER_CALL_SIZE_MAX);
        buffer[AT_BYTE_ORDER] = BYTE_ORDER_HERE;
        buffer[AT_TYPE] = SD_BUS_MESSAGE_METHOD_CALL;
        buffer[AT_VERSION] = VERSION;
        write_number(buffer, AT_SERIAL, serial);

        at = write_field(buffer, at, FIELD_PATH, 'o', path);
        at = write_field(buffer, at, FIELD_INTERFACE, 's', interface);
        at = write_field(buffer, at, FIELD_MEMBER, 's', member);
        at = write_field(buffer, at, FIELD_SENDER, 's', sender);

        write_number(buffer, AT_FIELDS_SIZE, (uint32_t) (at - BUS_HEADER_FIXED_SIZE));
        return align(at, 8);
}

size_t bus_header_add_sender(
                const uint8_t *message,
                size_t header_size,
                size_t size,
                const char *sender,
                uint8_t *ret) {
        size_t fields_end = BUS_HEADER_FIXED_SIZE + (size_t) read_number(message, AT_FIELDS_SIZE), end;

        memset(ret, 0, header_size + BUS_HEADER_SENDER_SIZE_MAX);
        memcpy(ret, message, fields_end);
        end = write_field(ret, header_size, FIELD_SENDER, 's', sender);
        write_number(ret, AT_FIELDS_SIZE, (uint32_t) (end - BUS_HEADER_FIXED_SIZE));

        end = align(end, 8);
        memcpy(ret + end, message + header_size, size - header_size);
        return end + size - header_size;
}
