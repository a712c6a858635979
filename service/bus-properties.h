/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The properties of org.wbwatch1, and what all calls to org.freedesktop.DBus.Properties share.
 *
 * A vtable's property setter cannot wait for polkit. So Properties.Set is handled before the vtable sees it.
 * The vtable answers Get, GetAll and Introspect, and its setter always refuses.
 */

#include <systemd/sd-bus.h>

#include "manager.h"

/* The values that the vtable exposes, by type and offset. */
typedef struct BusStatus {
        const char *version;
        const char *state;
        const char *status_text;
        const char *fault;
        const char *event_source;
        const char *last_sync_result;
        uint64_t start_usec;
        uint64_t state_since_usec;
        uint64_t paused_until_usec;
        uint64_t lost_events;
        uint64_t longest_run_usec;
        uint64_t sync_count;
        uint64_t last_sync_usec;
        uint64_t last_sync_duration_usec;
        double crowd_size_in_force;
        uint32_t worker_count;
        uint32_t spinning_count;
        uint32_t waiting_count;
        uint32_t syncs_unhelpful;
} BusStatus;

#define BUS_FAULT_MAX_BYTES 255

typedef struct BusProperties {
        const Manager *manager;
        BusStatus status; /* as of the last update */

        char status_text[REPORT_STATUS_MAX];
        char fault[BUS_FAULT_MAX_BYTES * 4 + 1];
} BusProperties;

/* Adds the properties to the object of a connection. properties must outlive it. */
int bus_properties_add(BusProperties *properties, sd_bus *connection);

/* Copies the values from the manager. Must be called before each message to Properties is dispatched, since
 * sd-bus reads them directly. bus_properties_emit() calls it itself. */
void bus_properties_update(BusProperties *properties);

/* Emits one PropertiesChanged for these names (NULL-terminated). */
int bus_properties_emit(BusProperties *properties, sd_bus *connection, char **names);

/* Whether the last sync, or the one under way, has filesystem results. */
bool bus_has_filesystem_results(const Manager *manager);

/* Returns 1 if a message is a call to Properties, otherwise 0. *ret_property is the property of a valid Set
 * call for this interface (it points into the message), otherwise NULL. Names that are too long to be
 * repeated in an error message are refused: negative errno with ret_error set. Rewinds the message. */
int bus_properties_inspect(
                sd_bus_message *m,
                const char *interface,
                const char **ret_property,
                sd_bus_error *ret_error);

/* -EINVAL with ret_error set if a name is longer than D-Bus allows: in a string argument it can be as long as
 * the message. */
int bus_check_name(const char *name, sd_bus_error *ret_error);

/* Enters the variant with a property's value, which must be of this type: otherwise negative errno with
 * ret_error set. */
int bus_enter_value(sd_bus_message *m, const char *property, const char *type, sd_bus_error *ret_error);

/* The setter of all writable properties in vtables. Always refuses. */
int bus_refuse_set(
                sd_bus *connection,
                const char *path,
                const char *interface,
                const char *property,
                sd_bus_message *value,
                void *userdata,
                sd_bus_error *ret_error);
