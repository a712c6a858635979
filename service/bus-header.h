/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The headers of D-Bus messages: enough to know a message's sender and size before sd-bus parses it, and to
 * ask the bus a question without sd-bus. Source: the D-Bus specification, "Message Format".
 */

#include <systemd/sd-bus.h>

#include "macro.h"

/* The fixed part at the beginning of every message, which gives its size. */
#define BUS_HEADER_FIXED_SIZE 16

/* The most that bus_header_write_call() writes. */
#define BUS_HEADER_CALL_SIZE_MAX 320

/* The longest name that bus_header_add_sender() adds, and the most bytes by which the message grows. */
#define BUS_HEADER_SENDER_MAX 31
#define BUS_HEADER_SENDER_SIZE_MAX 48

typedef struct BusHeader {
        uint8_t type; /* SD_BUS_MESSAGE_METHOD_CALL ... */
        bool expects_reply;
        uint32_t serial;
        uint32_t reply_serial;                         /* of the call that is answered; 0: none */
        uint32_t n_fds;                                /* descriptors that come with the message */
        const char *sender, *destination, *error_name; /* point into the message; NULL: none */
} BusHeader;

/* A method call that expects a reply. */
typedef struct BusCall {
        uint32_t serial;
        const char *path, *interface, *member;
        const char *sender, *destination; /* NULL: none */
        const char *argument;             /* a string; NULL: no arguments */
} BusCall;

/* Reads the sizes in bytes of a message's header, including padding, and of the whole message from its first
 * BUS_HEADER_FIXED_SIZE bytes. -EBADMSG if these do not begin a message. */
int bus_header_sizes(const uint8_t *message, size_t *ret_header_size, size_t *ret_size);

/* Reads a complete header of header_size bytes. -EBADMSG if it is malformed, or a field has a type that the
 * specification does not use. */
int bus_header_read(const uint8_t *message, size_t header_size, BusHeader *ret);

/* Reads the number with which the body begins; the body must have at least four bytes. */
uint32_t bus_header_read_number(const uint8_t *message, size_t header_size);

/* Writes a call. Returns its size in bytes. The strings must have at most 160 bytes together. */
size_t bus_header_write_call(uint8_t buffer[static BUS_HEADER_CALL_SIZE_MAX], const BusCall *call);

/* Copies a message whose header was read, and which has no sender, with a sender added: what a bus does.
 * ret has room for size + BUS_HEADER_SENDER_SIZE_MAX bytes. Returns the new size. */
size_t bus_header_add_sender(
                const uint8_t *message,
                size_t header_size,
                size_t size,
                const char *sender,
                uint8_t *ret);
