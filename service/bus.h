/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The object of org.wbwatch1, as dbus/org.wbwatch1.xml documents it, on the system bus or on one of the
 * daemon's sockets: exposes the manager's state, and passes it the requests of authorized callers. After
 * losing the bus it reconnects, with increasing delays, and acquires its name again.
 */

#include <systemd/sd-event.h>

#include "manager.h"
#include "sockets.h"

typedef struct Bus Bus;

/* Connects to $DBUS_SYSTEM_BUS_ADDRESS or the system bus from the event loop, retrying until it succeeds.
 * With a listener, which is borrowed, the object is on that socket instead. The new one becomes the first of
 * a list, whose beginning is *list (NULL: an empty list). The functions below are for all of the list. */
int bus_add(sd_event *event, Manager *manager, const Listener *listener, Bus **list);

/* Does not wait for unsent messages. */
Bus *bus_free(Bus *bus);
DEFINE_TRIVIAL_CLEANUP(Bus *, bus_free);

/* Sends what the events call for: property changes, signals and pending replies. */
void bus_report(Bus *bus, const EngineEvents *events);

/* Reports settings whose values or origins changed (a mask of 1 << SettingId), and that EventSource, Fault or
 * FilesystemResults changed. */
void bus_report_settings(Bus *bus, unsigned ids);
void bus_report_event_source(Bus *bus);
void bus_report_fault(Bus *bus);
void bus_report_filesystems(Bus *bus);

/* Replies to the SyncFilesystem call whose sync has this id: see syncer.h. */
void bus_filesystem_synced(Bus *bus, uint64_t id, FilesystemResult result, uint64_t duration_usec, int error);

/* Replies to the SetProperties or ResetProperties call whose change was stored and applied, or was not (r <
 * 0).
 */
void bus_settings_stored(Bus *bus, int r);
