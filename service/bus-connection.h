/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The connection to the system bus: connects to $DBUS_SYSTEM_BUS_ADDRESS or the usual socket, acquires the
 * name, and does so again, with growing pauses, after the bus was lost or refused the name. The queue of
 * what the bus does not take is bounded: when it is full no more calls are read. When the bus takes nothing
 * from this connection while it answers others, a new connection replaces it.
 */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "macro.h"

/* Behind everything else in the event loop: scans, deadlines and a sync's end go first, however many messages
 * wait. */
#define BUS_EVENT_PRIORITY (SD_EVENT_PRIORITY_NORMAL + 10)

typedef struct BusConnection BusConnection;

typedef struct BusConnectionHandlers {
        /* A connection begins: objects are added to it now, before its first message. Negative errno: it is
         * closed, and tried again later. */
        int (*begin)(sd_bus *connection, void *userdata);

        /* It ends, whether begin() succeeded or not: nothing of it may be used any more. */
        void (*end)(void *userdata);

        /* The bus takes messages again after bus_connection_held_up() was true. */
        void (*go_on)(void *userdata);
} BusConnectionHandlers;

/* Connects from the event loop, again and again until it succeeds. name and handlers must outlive it. */
int bus_connection_new(
                sd_event *event,
                const char *name,
                const BusConnectionHandlers *handlers,
                void *userdata,
                BusConnection **ret);

/* Does not wait for what is still to be sent. */
BusConnection *bus_connection_free(BusConnection *connection);
DEFINE_TRIVIAL_CLEANUP(BusConnection *, bus_connection_free);

/* To send by; NULL while there is none, or it has been given up. */
sd_bus *bus_connection_get(const BusConnection *connection);

/* Whether so much waits for the bus that nothing is read from it: not the time for large messages. */
bool bus_connection_held_up(const BusConnection *connection);

/* Something was sent that nobody had requested. A queue of it that grows too long is given up with its
 * connection. */
void bus_connection_sent(BusConnection *connection);
