/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * org.wbwatch1 on the system bus, as dbus/org.wbwatch1.xml documents it: shows what the manager has, and
 * hands it what callers ask that may. Lives through the loss of the bus: it connects again, with growing
 * pauses, and takes its name.
 */

#include <systemd/sd-event.h>

#include "manager.h"

typedef struct Bus Bus;

/* Begins to connect to $DBUS_SYSTEM_BUS_ADDRESS or the system bus, and goes on trying. */
int bus_new(sd_event *event, Manager *manager, Bus **ret);

/* Does not wait for what is still to be sent. */
Bus *bus_free(Bus *bus);
DEFINE_TRIVIAL_CLEANUP(Bus *, bus_free);

/* Tells what happened (a mask of EngineAction): changed properties, signals, and replies that waited for it.
 */
void bus_tell(Bus *bus, unsigned actions);

/* Tells of settings whose values or origins changed (a mask of 1 << SettingId), and of EventSource. */
void bus_tell_settings(Bus *bus, unsigned ids);
void bus_tell_event_source(Bus *bus);

/* Answers the SetProperties call whose settings were to be stored: r < 0 when they were not. */
void bus_settings_stored(Bus *bus, int r);
