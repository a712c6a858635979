/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Settings over the bus: SetProperties, ResetProperties, and Properties.Set of a setting. A change is read
 * and checked, then authorized, then passed to the manager, which owns it from then on.
 */

#include "authority.h"
#include "manager.h"

typedef struct BusSettings {
        Manager *manager;
        Authority *authority;

        /* The SetProperties or ResetProperties call whose change is being stored. Kept only for the reply:
         * the manager owns the change. */
        sd_bus_message *store_call;
} BusSettings;

/* The handlers of SetProperties and ResetProperties, for a vtable. userdata is a BusSettings. */
int bus_settings_on_set_properties(sd_bus_message *call, void *userdata, sd_bus_error *ret_error);
int bus_settings_on_reset_properties(sd_bus_message *call, void *userdata, sd_bus_error *ret_error);

/* Handles Properties.Set of this property. Returns 0 if it is not a setting: then the vtable answers. */
int bus_settings_set(
                BusSettings *settings,
                sd_bus_message *call,
                const char *property,
                sd_bus_error *ret_error);

/* Replies to the pending call: its change was stored and applied, or was not (r < 0). */
void bus_settings_reply_stored(BusSettings *settings, int r);

/* Drops the pending call when its connection is gone. Its settings are still stored and applied. */
void bus_settings_drop(BusSettings *settings);
