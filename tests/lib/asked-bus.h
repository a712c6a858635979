/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* A stand-in for the bus at the other end of the connection of bus-users.h. */

#include <gio/gio.h>
#include <stdbool.h>
#include <sys/types.h>

/* The GUID with which it authenticates. */
#define ASKED_BUS_GUID "0102030405060708090a0b0c0d0e0f10"

#define ERROR_FAILED "org.freedesktop.DBus.Error.Failed"
#define ERROR_NO_OWNER "org.freedesktop.DBus.Error.NameHasNoOwner"

typedef struct AskedBus {
        int fd; /* owned */
        GByteArray *received;
        bool authenticated;
} AskedBus;

/* Connects: *ret_fd is the other end, which is non-blocking and owned by the caller. */
void asked_bus_init(AskedBus *bus, int *ret_fd);
void asked_bus_done(AskedBus *bus);

/* Returns the next question, with *ret_name to be freed; false if there is none. Answers the authentication
 * and Hello. Fails the test if anything else was sent. */
bool asked_bus_take(AskedBus *bus, guint32 *ret_serial, char **ret_name);

void asked_bus_answer(const AskedBus *bus, guint32 serial, uid_t uid);
void asked_bus_refuse(const AskedBus *bus, guint32 serial, const char *error_name);

/* Sends any message in one piece. */
void asked_bus_send(const AskedBus *bus, GDBusMessage *message);
