/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * org.wbwatch1 on the system bus, as dbus/org.wbwatch1.xml documents it: shows what the manager has, and
 * hands it the requests of authorized callers. When the bus is lost it connects again, with growing pauses,
 * and acquires its name.
 */

#include <systemd/sd-event.h>

#include "manager.h"

typedef struct Bus Bus;

/* Connects to $DBUS_SYSTEM_BUS_ADDRESS or the system bus from the event loop, again and again until it
 * succeeds. */
int bus_new(sd_event *event, Manager *manager, Bus **ret);

/* Does not wait for what is still to be sent. */
Bus *bus_free(Bus *bus);
DEFINE_TRIVIAL_CLEANUP(Bus *, bus_free);

/* Reports what happened: changed properties, signals, and replies that waited for it. */
void bus_report(Bus *bus, const EngineEvents *events);

/* Reports settings whose values or origins changed (a mask of 1 << SettingId), and that EventSource, Fault or
 * FilesystemResults changed. */
void bus_report_settings(Bus *bus, unsigned ids);
void bus_report_event_source(Bus *bus);
void bus_report_fault(Bus *bus);
void bus_report_filesystems(Bus *bus);

/* Answers the SyncFilesystem call whose sync has this id: see syncer.h. */
void bus_filesystem_synced(Bus *bus, uint64_t id, FilesystemResult result, uint64_t duration_usec, int error);

/* Answers the SetProperties call whose settings were to be stored: r < 0 when they were not. */
void bus_settings_stored(Bus *bus, int r);
