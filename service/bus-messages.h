/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The engine's data as D-Bus messages of org.wbwatch1: dictionaries of filesystems, workers, episodes and
 * syncs, and the signals. dbus/org.wbwatch1.xml documents their keys. All functions return negative errno on
 * failure, such as -ENOMEM; the message must then be discarded.
 */

#include <systemd/sd-bus.h>

#include "engine.h"
#include "inhibitors.h"

/* Append an aa{sv} to a message: the results of filesystems; the inhibitors, held longest first; the running
 * workers, the longest run first; the newest episodes, in the order of their start. */
int bus_append_filesystems(sd_bus_message *m, const FilesystemSync *filesystems, size_t n);
int bus_append_inhibitors(sd_bus_message *m, const Inhibitors *inhibitors);
int bus_append_workers(sd_bus_message *m, const Engine *engine);
int bus_append_episodes(sd_bus_message *m, const Engine *engine);

/* Emits the signal for an event, if it has one. episode is the one that the event began or ended. */
int bus_emit_event(sd_bus *connection, const EngineEvent *event, const Episode *episode);
