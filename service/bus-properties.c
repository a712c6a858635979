/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The properties of org.wbwatch1: see bus-properties.h. */

#include "bus-properties.h"

#include "bus-messages.h"
#include "log.h"
#include "names.h"
#include "text.h"

/* The longest name that D-Bus allows. */
#define NAME_MAX_BYTES 255

/* Values */

/* The last sync, or a zeroed one. */
static const Sync *last_sync(const Engine *engine) {
        static const Sync none = {};

        return engine_last_sync(engine) ?: &none;
}

void bus_properties_update(BusProperties *properties) {
        const Manager *manager = properties->manager;
        const Engine *engine = manager_engine(manager);
        const Run *longest = engine_longest_run(engine);
        const Sync *sync = last_sync(engine);

        text_escape(manager_fault(manager), TEXT_ESCAPE_CONTROL, properties->fault,
                    sizeof(properties->fault));
        (void) manager_status(manager, properties->status_text, sizeof(properties->status_text));

        properties->status = (BusStatus){
                .version = WBWATCH_VERSION,
                .state = engine_state_to_string(engine_state(engine)),
                .status_text = properties->status_text,
                .fault = properties->fault,
                .event_source = manager_listening(manager) ? "netlink" : "polling",
                .last_sync_result = sync_result_to_string(sync->result),
                .start_usec = manager_start_usec(manager),
                .state_since_usec = engine_state_since(engine).realtime_usec,
                .paused_until_usec = engine_paused_until_usec(engine),
                .lost_events = manager_lost_events(manager),
                .longest_run_usec = longest ? engine_run_usec(engine, longest) : 0,
                .sync_count = engine_sync_count(engine),
                .last_sync_usec = sync->start.realtime_usec,
                .last_sync_duration_usec = sync->duration_usec,
                .crowd_size_in_force = engine_crowd_size(engine),
                .worker_count = engine_n_spinning(engine) + engine_n_waiting(engine),
                .spinning_count = engine_n_spinning(engine),
                .waiting_count = engine_n_waiting(engine),
                .syncs_unhelpful = engine_syncs_unhelpful(engine),
        };
}

/* Read on demand: no other property costs a system call. */
static int get_dirty_bytes(
                sd_bus *connection,
                const char *path,
                const char *interface,
                const char *property,
                sd_bus_message *m,
                void *userdata,
                sd_bus_error *ret_error) {

        const BusProperties *properties = userdata;
        uint64_t dirty, writeback;

        manager_dirty_bytes(properties->manager, &dirty, &writeback);
        return sd_bus_message_append(m, "t", streq(property, "DirtyBytes") ? dirty : writeback);
}

/* A dry run has no filesystem results; those of the last real sync remain. */
bool bus_has_filesystem_results(const Manager *manager) {
        const Engine *engine = manager_engine(manager);
        const Sync *sync = engine_sync(engine);

        if (!sync || sync->dry_run)
                sync = engine_last_sync(engine);

        return sync && sync->method != SYNC_METHOD_SYNC;
}

static int get_filesystem_results(
                sd_bus *connection,
                const char *path,
                const char *interface,
                const char *property,
                sd_bus_message *m,
                void *userdata,
                sd_bus_error *ret_error) {

        const BusProperties *properties = userdata;
        const FilesystemSync *results;
        size_t n = 0;

        results = manager_filesystem_results(properties->manager, &n);
        if (!bus_has_filesystem_results(properties->manager))
                n = 0;

        return bus_append_filesystems(m, results, n);
}

static int get_inhibitors(
                sd_bus *connection,
                const char *path,
                const char *interface,
                const char *property,
                sd_bus_message *m,
                void *userdata,
                sd_bus_error *ret_error) {

        const BusProperties *properties = userdata;

        return bus_append_inhibitors(m, manager_inhibitors(properties->manager));
}

/* Both count from the start: what ListEpisodes returns is bounded, and would not do for counters. */
static int get_episode_counts(
                sd_bus *connection,
                const char *path,
                const char *interface,
                const char *property,
                sd_bus_message *m,
                void *userdata,
                sd_bus_error *ret_error) {

        const BusProperties *properties = userdata;
        const Engine *engine = manager_engine(properties->manager);

        return sd_bus_message_append(
                        m, "a{st}", _OUTCOME_MAX, episode_outcome_to_string(OUTCOME_RECOVERED),
                        engine_n_episodes_with(engine, OUTCOME_RECOVERED),
                        episode_outcome_to_string(OUTCOME_CLEARED),
                        engine_n_episodes_with(engine, OUTCOME_CLEARED),
                        episode_outcome_to_string(OUTCOME_OUTLIVED),
                        engine_n_episodes_with(engine, OUTCOME_OUTLIVED),
                        episode_outcome_to_string(OUTCOME_ONGOING),
                        engine_n_episodes_with(engine, OUTCOME_ONGOING));
}

static int get_sync_counts(
                sd_bus *connection,
                const char *path,
                const char *interface,
                const char *property,
                sd_bus_message *m,
                void *userdata,
                sd_bus_error *ret_error) {

        const BusProperties *properties = userdata;
        const Engine *engine = manager_engine(properties->manager);

        return sd_bus_message_append(
                        m, "a{st}", 3, sync_result_to_string(SYNC_OK), engine_n_syncs_with(engine, SYNC_OK),
                        sync_result_to_string(SYNC_STALLED), engine_n_syncs_with(engine, SYNC_STALLED),
                        sync_result_to_string(SYNC_FAILED), engine_n_syncs_with(engine, SYNC_FAILED));
}

static int get_setting_origins(
                sd_bus *connection,
                const char *path,
                const char *interface,
                const char *property,
                sd_bus_message *m,
                void *userdata,
                sd_bus_error *ret_error) {

        const BusProperties *properties = userdata;
        const Settings *settings = manager_settings(properties->manager);
        int r;

        r = sd_bus_message_open_container(m, 'a', "{ss}");
        for (SettingId id = 0; r >= 0 && id < _SETTING_MAX; id++)
                r = sd_bus_message_append(
                                m, "{ss}", setting_table[id].property, settings_origin(settings, id));
        if (r < 0)
                return r;

        return sd_bus_message_close_container(m);
}

/* The getter of all settings: setting_table has their types. */
static int get_setting(
                sd_bus *connection,
                const char *path,
                const char *interface,
                const char *property,
                sd_bus_message *m,
                void *userdata,
                sd_bus_error *ret_error) {

        const BusProperties *properties = userdata;
        const Settings *settings = manager_settings(properties->manager);
        SettingId id;
        int r;

        r = setting_from_property(property, &id);
        if (r < 0)
                return r;

        switch (setting_table[id].type) {
        case SETTING_TYPE_GLOB:
                return sd_bus_message_append(m, "s", settings->glob);
        case SETTING_TYPE_METHOD:
                return sd_bus_message_append(m, "s", sync_method_to_string(settings->sync_method));
        case SETTING_TYPE_USEC:
                return sd_bus_message_append(m, "t", settings_get_number(settings, id));
        case SETTING_TYPE_BOOLEAN:
                return sd_bus_message_append(m, "b", (int) settings_get_number(settings, id));
        default:
                return sd_bus_message_append(m, "u", (uint32_t) settings_get_number(settings, id));
        }
}

int bus_refuse_set(
                sd_bus *connection,
                const char *path,
                const char *interface,
                const char *property,
                sd_bus_message *value,
                void *userdata,
                sd_bus_error *ret_error) {

        return sd_bus_error_set(ret_error, SD_BUS_ERROR_ACCESS_DENIED, "Not authorized");
}

#define CONST SD_BUS_VTABLE_PROPERTY_CONST
#define EMITS SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE

/* A member of BusStatus, which sd-bus reads directly; a property with its own getter; a setting. */
#define STATUS(name, type, member, flags)                                                                    \
        SD_BUS_PROPERTY(name, type, NULL, offsetof(BusProperties, status.member), flags)
#define SHOWN(name, type, getter, flags) SD_BUS_PROPERTY(name, type, getter, 0, flags)
#define SETTING(name, type)                                                                                  \
        SD_BUS_WRITABLE_PROPERTY(                                                                            \
                        name, type, get_setting, bus_refuse_set, 0, EMITS | SD_BUS_VTABLE_UNPRIVILEGED)

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        STATUS("Version", "s", version, CONST),
        STATUS("StartUSec", "t", start_usec, CONST),
        STATUS("State", "s", state, EMITS),
        STATUS("StateSinceUSec", "t", state_since_usec, EMITS),
        STATUS("StatusText", "s", status_text, 0),
        STATUS("Fault", "s", fault, EMITS),
        SETTING("Glob", "s"),
        SETTING("ThresholdUSec", "t"),
        SETTING("CrowdSize", "u"),
        SETTING("CrowdThresholdUSec", "t"),
        SETTING("CountWaiting", "b"),
        SETTING("PollIntervalUSec", "t"),
        SETTING("IdleScanIntervalUSec", "t"),
        SETTING("RecoveryUSec", "t"),
        SETTING("SyncMethod", "s"),
        SETTING("FilesystemTimeoutUSec", "t"),
        SETTING("SyncTimeoutUSec", "t"),
        SETTING("DryRun", "b"),
        SHOWN("SettingOrigins", "a{ss}", get_setting_origins, EMITS),
        STATUS("PausedUntilUSec", "t", paused_until_usec, EMITS),
        SHOWN("Inhibitors", "aa{sv}", get_inhibitors, EMITS),
        STATUS("EventSource", "s", event_source, EMITS),
        STATUS("LostEvents", "t", lost_events, 0),
        STATUS("WorkerCount", "u", worker_count, 0),
        STATUS("SpinningCount", "u", spinning_count, 0),
        STATUS("WaitingCount", "u", waiting_count, 0),
        STATUS("LongestRunUSec", "t", longest_run_usec, 0),
        STATUS("CrowdSizeInForce", "d", crowd_size_in_force, 0),
        SHOWN("DirtyBytes", "t", get_dirty_bytes, 0),
        SHOWN("WritebackBytes", "t", get_dirty_bytes, 0),
        SHOWN("EpisodeCounts", "a{st}", get_episode_counts, 0),
        SHOWN("SyncCounts", "a{st}", get_sync_counts, 0),
        STATUS("SyncCount", "t", sync_count, EMITS),
        STATUS("SyncsUnhelpful", "u", syncs_unhelpful, EMITS),
        STATUS("LastSyncUSec", "t", last_sync_usec, EMITS),
        STATUS("LastSyncDurationUSec", "t", last_sync_duration_usec, EMITS),
        STATUS("LastSyncResult", "s", last_sync_result, EMITS),
        SHOWN("FilesystemResults", "aa{sv}", get_filesystem_results, EMITS),
        SD_BUS_VTABLE_END,
};

int bus_properties_add(BusProperties *properties, sd_bus *connection) {
        return sd_bus_add_object_vtable(connection, NULL, BUS_PATH, BUS_INTERFACE, vtable, properties);
}

int bus_properties_emit(BusProperties *properties, sd_bus *connection, char **names) {
        bus_properties_update(properties);
        return sd_bus_emit_properties_changed_strv(connection, BUS_PATH, BUS_INTERFACE, names);
}

/* Calls to Properties */

int bus_check_name(const char *name, sd_bus_error *ret_error) {
        size_t size = strlen(name);

        if (size > NAME_MAX_BYTES)
                return sd_bus_error_setf(
                                ret_error, SD_BUS_ERROR_INVALID_ARGS,
                                "a name of %zu bytes exceeds the maximum of %d", size, NAME_MAX_BYTES);
        return 0;
}

/* Reads up to two names at the beginning of a call to Properties, which sd-bus would repeat in its errors. */
static int read_names(sd_bus_message *m, const char *ret_names[static 2], sd_bus_error *ret_error) {
        const char *name;
        int r;

        for (size_t i = 0; i < 2 && sd_bus_message_read_basic(m, 's', &name) > 0; i++) {
                r = bus_check_name(name, ret_error);
                if (r < 0)
                        return r;
                ret_names[i] = name;
        }

        return sd_bus_message_rewind(m, /* complete= */ true);
}

int bus_properties_inspect(
                sd_bus_message *m,
                const char *interface,
                const char **ret_property,
                sd_bus_error *ret_error) {

        const char *names[2] = {};
        bool is_set;
        int r;

        if (!sd_bus_message_is_method_call(m, PROPERTIES_INTERFACE, NULL))
                return 0;

        r = read_names(m, names, ret_error);
        if (r < 0)
                return r;

        is_set = streq(sd_bus_message_get_member(m), "Set") && sd_bus_message_has_signature(m, "ssv") &&
                 names[0] && streq(names[0], interface);
        *ret_property = is_set ? names[1] : NULL;
        return 1;
}

int bus_enter_value(sd_bus_message *m, const char *property, const char *type, sd_bus_error *ret_error) {
        const char *contents;
        int r;

        r = sd_bus_message_peek_type(m, NULL, &contents);
        if (r < 0)
                return r;
        if (!streq(contents, type))
                return sd_bus_error_setf(
                                ret_error, SD_BUS_ERROR_INVALID_ARGS,
                                "%s: expected a value of type %s, not %s", property, type, contents);

        return sd_bus_message_enter_container(m, 'v', type);
}
