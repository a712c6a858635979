/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The bus, at its end of the connection over which the users of callers are asked for: see bus-users.h. */

#include <gio/gio.h>
#include <stdbool.h>
#include <sys/types.h>

/* The name of the bus in its authentication. */
#define ASKED_BUS_GUID "0102030405060708090a0b0c0d0e0f10"

typedef struct AskedBus {
        int fd; /* owned */
        GByteArray *received;
        bool authenticated;
} AskedBus;

/* Connects: *ret_fd is the other end, which is non-blocking and owned by the caller. */
void asked_bus_init(AskedBus *bus, int *ret_fd);
void asked_bus_done(AskedBus *bus);

/* Takes the next question that has come; false if there is none. The authentication and Hello are answered.
 * Fails the test if anything else has come. */
bool asked_bus_take(AskedBus *bus, guint32 *ret_serial, char **ret_name);

void asked_bus_answer(const AskedBus *bus, guint32 serial, uid_t uid);
void asked_bus_refuse(const AskedBus *bus, guint32 serial, const char *error_name);

/* Sends any message, at once as a whole. */
void asked_bus_send(const AskedBus *bus, GDBusMessage *message);
