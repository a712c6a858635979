/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* A private system bus: dbus-daemon with a policy of the test. Needs root. */

#include "process.h"

typedef enum BusPolicy {
        BUS_POLICY_NONE,    /* a system without wbwatch: the policy of polkit alone */
        BUS_POLICY_SHIPPED, /* the same with dbus/org.wbwatch1.conf */
        BUS_POLICY_OPEN,    /* every user may do everything */
} BusPolicy;

/* The address of the bus in a folder. To be freed. */
char *private_bus_address(const char *folder);

/* Writes the configuration of the bus in a folder. A running bus reads it at ReloadConfig. */
void private_bus_set_policy(const char *folder, BusPolicy policy);

/* Adds elements to it, in place of those that were added before. */
void private_bus_set_extra(const char *folder, const char *text);

/* Starts the bus in a folder, and returns once it listens. After a kill its address can be used again. */
Process private_bus_start(const char *folder, BusPolicy policy, gint64 deadline_usec);
