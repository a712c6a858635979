/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A connection to the system bus, or to the process that serves the peers of a socket (peers.h), which looks
 * like a bus and has no name. The bus: connects to $DBUS_SYSTEM_BUS_ADDRESS or the default socket, acquires
 * the name, and reconnects, with increasing delays, after the bus was lost or refused the name. If another
 * process replaces us as the owner of the name, we own it again once that process releases it; both are
 * logged. The send queue is bounded: no calls are served while it is not empty (bus-intake.h). If the bus
 * reads nothing from this connection while it answers others, a new connection replaces it.
 */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "macro.h"
#include "sockets.h"

/* After everything else in the event loop: scans, deadlines and the end of a sync come first, however many
 * messages are waiting. */
#define BUS_EVENT_PRIORITY (SD_EVENT_PRIORITY_NORMAL + 10)

typedef struct BusConnection BusConnection;

typedef struct BusConnectionHandlers {
        /* Adds objects to a new connection, before its first message. On negative errno the connection is
         * closed, and a new one is tried later. */
        int (*begin)(sd_bus *connection, void *userdata);

        /* The connection ends, whether begin() succeeded or not: nothing of it may be used afterwards. */
        void (*end)(void *userdata);
} BusConnectionHandlers;

/* Connects from the event loop, retrying until it succeeds. With a listener the connection is to the process
 * that serves its peers. name, listener and handlers must outlive it. */
int bus_connection_new(
                sd_event *event,
                const char *name,
                const Listener *listener,
                const BusConnectionHandlers *handlers,
                void *userdata,
                BusConnection **ret);

/* Does not wait for unsent messages. */
BusConnection *bus_connection_free(BusConnection *connection);
DEFINE_TRIVIAL_CLEANUP(BusConnection *, bus_connection_free);

/* The connection to send on; NULL while there is none or it has been given up. */
sd_bus *bus_connection_get(const BusConnection *connection);

/* The user of the call that is being dispatched; (uid_t) -1 if it is unknown. The process, as it connected to
 * a socket; 0 on the bus, and if our PID namespace does not have it. */
uid_t bus_connection_caller(const BusConnection *connection);
pid_t bus_connection_caller_pid(const BusConnection *connection);

/* Must be called after sending anything but a reply. Gives up the connection if its queue is too long. */
void bus_connection_sent(BusConnection *connection);
