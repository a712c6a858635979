/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The method Inhibit: reads and checks the call, has the caller authorized, asks the bus who it is (who calls
 * over a socket is known), and replies with the descriptor. */

#include "authority.h"
#include "bus-connection.h"
#include "inhibitors.h"
#include "manager.h"

typedef struct BusInhibit BusInhibit;

/* A call that waits for the bus to say who makes it. */
typedef struct InhibitCall {
        BusInhibit *inhibit;
        sd_bus_message *call; /* NULL: unused */
        sd_bus_slot *slot;
} InhibitCall;

struct BusInhibit {
        Manager *manager;
        Authority *authority;
        const BusConnection *callers;
        const Listener *listener; /* NULL: on a bus */
        InhibitCall calls[INHIBITORS_MAX];
};

/* The handler, for a vtable. userdata is a BusInhibit. */
int bus_inhibit_on_inhibit(sd_bus_message *call, void *userdata, sd_bus_error *ret_error);

/* Drops the pending calls when their connection is gone. The inhibitors remain. */
void bus_inhibit_drop(BusInhibit *inhibit);
