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
        FIELD_ERROR_NAME = 4,
        FIELD_REPLY_SERIAL = 5,
        FIELD_DESTINATION = 6,
        FIELD_SENDER = 7,
        FIELD_SIGNATURE = 8,
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

static void note_field(BusHeader *header, const Field *field) {
        switch (field->code) {
        case FIELD_ERROR_NAME:
                header->error_name = field->text;
                break;
        case FIELD_REPLY_SERIAL:
                header->reply_serial = field->number;
                break;
        case FIELD_DESTINATION:
                header->destination = field->text;
                break;
        case FIELD_SENDER:
                header->sender = field->text;
                break;
        case FIELD_UNIX_FDS:
                header->n_fds = field->number;
                break;
        default:
                break;
        }
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
                note_field(&header, &field);
        }

        *ret = header;
        return 0;
}

uint32_t bus_header_read_number(const uint8_t *message, size_t header_size) {
        return read_number(message, header_size);
}

/* In the byte order of the message. */
static void write_number(uint8_t *message, size_t at, uint32_t number) {
        number = message[AT_BYTE_ORDER] == 'l' ? htole32(number) : htobe32(number);
        memcpy(message + at, &number, sizeof(number));
}

static size_t write_text(uint8_t *buffer, size_t at, const char *text) {
        const uint32_t length = (uint32_t) strlen(text);

        write_number(buffer, at, length);
        memcpy(buffer + at + sizeof(length), text, length + 1);
        return at + sizeof(length) + length + 1;
}

/* Nothing if the text is NULL. */
static size_t write_field(uint8_t *buffer, size_t at, uint8_t code, char type, const char *text) {
        if (!text)
                return at;

        at = align(at, 8);
        buffer[at++] = code;
        buffer[at++] = 1;
        buffer[at++] = (uint8_t) type;
        buffer[at++] = '\0';
        return write_text(buffer, at, text);
}

/* The signature of a body that is one string. */
static size_t write_signature(uint8_t *buffer, size_t at) {
        static const uint8_t field[] = { FIELD_SIGNATURE, 1, 'g', '\0', 1, 's', '\0' };

        at = align(at, 8);
        memcpy(buffer + at, field, sizeof(field));
        return at + sizeof(field);
}

size_t bus_header_write_call(uint8_t buffer[static BUS_HEADER_CALL_SIZE_MAX], const BusCall *call) {
        size_t at = BUS_HEADER_FIXED_SIZE, header_size;

        memset(buffer, 0, BUS_HEADER_CALL_SIZE_MAX);
        buffer[AT_BYTE_ORDER] = BYTE_ORDER_HERE;
        buffer[AT_TYPE] = SD_BUS_MESSAGE_METHOD_CALL;
        buffer[AT_VERSION] = VERSION;
        write_number(buffer, AT_SERIAL, call->serial);

        at = write_field(buffer, at, FIELD_PATH, 'o', call->path);
        at = write_field(buffer, at, FIELD_INTERFACE, 's', call->interface);
        at = write_field(buffer, at, FIELD_MEMBER, 's', call->member);
        at = write_field(buffer, at, FIELD_DESTINATION, 's', call->destination);
        at = write_field(buffer, at, FIELD_SENDER, 's', call->sender);
        if (call->argument)
                at = write_signature(buffer, at);
        write_number(buffer, AT_FIELDS_SIZE, (uint32_t) (at - BUS_HEADER_FIXED_SIZE));

        header_size = align(at, 8);
        if (!call->argument)
                return header_size;
        at = write_text(buffer, header_size, call->argument);
        write_number(buffer, AT_BODY_SIZE, (uint32_t) (at - header_size));
        return at;
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
