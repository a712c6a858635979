/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The object of org.wbwatch1, which ties its parts together. A method handler reads and validates its
 * arguments, authorizes the caller, makes the change and replies. Authorization is asynchronous: the handler
 * runs again once the caller is authorized (authority.h).
 */

#include "bus.h"

#include <limits.h>
#include <systemd/sd-bus.h>

#include "authority.h"
#include "bus-connection.h"
#include "bus-inhibit.h"
#include "bus-log-control.h"
#include "bus-messages.h"
#include "bus-properties.h"
#include "bus-settings.h"
#include "duration.h"
#include "log.h"
#include "memory.h"
#include "names.h"
#include "report.h"
#include "text.h"

/* Pending ForceSync calls. A single connection can have 128 of them, the bus's limit on pending calls. */
#define WAITERS_MAX 512

/* Pending SyncFilesystem calls; the syncer accepts no more at once. */
#define FILESYSTEM_CALLS_MAX 8

/* How much of a caller's path an error message shows. */
#define PATH_SHOWN_MAX_BYTES 255

/* The number of names in changed_properties(): one list of events can change all of them. Names beyond it
 * would not be emitted. */
#define CHANGES_MAX 10

/* A pending ForceSync call. */
typedef struct Waiter {
        sd_bus_message *call;
        uint64_t sync_id; /* the first sync whose end answers it */
} Waiter;

/* A pending SyncFilesystem call and the id of its sync. */
typedef struct FilesystemCall {
        sd_bus_message *call;
        uint64_t id;
} FilesystemCall;

struct Bus {
        Bus *next; /* of the list */
        Manager *manager;
        const Listener *listener; /* NULL: on the system bus */
        BusConnection *connection;
        BusProperties properties;

        /* Of the current connection: */
        Authority *authority;
        BusSettings settings;
        BusInhibit inhibit;
        Waiter waiters[WAITERS_MAX];
        size_t n_waiters;
        FilesystemCall filesystem_calls[FILESYSTEM_CALLS_MAX];
        size_t n_filesystem_calls;
};

/* Pauses */

/* Authorizes the caller, pauses for usec or until resumed (USEC_INFINITY), or resumes (0), and replies. */
static int change_pause(Bus *bus, sd_bus_message *call, uint64_t usec, sd_bus_error *ret_error) {
        int r;

        r = authority_check(bus->authority, call, ACTION_PAUSE, ret_error);
        if (r < 0)
                return r;
        if (r == 0)
                return 1; /* the handler runs again when it is authorized */

        if (usec > 0)
                manager_pause(bus->manager, usec);
        else
                manager_resume(bus->manager);
        return sd_bus_reply_method_return(call, NULL);
}

static int on_pause(sd_bus_message *call, void *userdata, sd_bus_error *ret_error) {
        return change_pause(userdata, call, USEC_INFINITY, ret_error);
}

static int on_pause_for(sd_bus_message *call, void *userdata, sd_bus_error *ret_error) {
        uint64_t usec;
        int r;

        r = sd_bus_message_read(call, "t", &usec);
        if (r < 0)
                return r;
        if (usec == 0)
                return sd_bus_error_set(
                                ret_error, SD_BUS_ERROR_INVALID_ARGS,
                                "usec: 0 is less than the minimum of 1us; Resume ends a pause");

        return change_pause(userdata, call, usec, ret_error);
}

static int on_resume(sd_bus_message *call, void *userdata, sd_bus_error *ret_error) {
        return change_pause(userdata, call, 0, ret_error);
}

/* Syncs */

static int on_force_sync(sd_bus_message *call, void *userdata, sd_bus_error *ret_error) {
        Bus *bus = userdata;
        int r;

        r = authority_check(bus->authority, call, ACTION_FORCE_SYNC, ret_error);
        if (r < 0)
                return r;
        if (r == 0)
                return 1; /* runs again when it is authorized */

        /* A caller that expects no reply does not wait. */
        if (sd_bus_message_get_expect_reply(call) > 0) {
                if (bus->n_waiters >= WAITERS_MAX)
                        return sd_bus_error_setf(
                                        ret_error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                        "Too many calls are waiting for a sync: at most %u",
                                        (unsigned) WAITERS_MAX);

                bus->waiters[bus->n_waiters++] = (Waiter){
                        .call = sd_bus_message_ref(call),
                        .sync_id = engine_next_sync_id(manager_engine(bus->manager)),
                };
        }

        manager_request_sync(bus->manager);
        return 1;
}

static int reply_sync_ended(sd_bus_message *call, const Sync *sync) {
        char duration[64], raw[REPORT_TROUBLE_MAX], trouble[TEXT_ESCAPED_SIZE(REPORT_TROUBLE_MAX)];

        text_escape(report_trouble(sync, raw, sizeof(raw)), TEXT_ESCAPE_CONTROL, trouble, sizeof(trouble));
        switch (sync->result) {
        case SYNC_STALLED:
                return sd_bus_reply_method_errorf(
                                call, BUS_ERROR_SYNC_FAILED,
                                "The sync stalled: after %s, not all filesystems have been written back%s",
                                format_duration(round_duration(sync->duration_usec), duration,
                                                sizeof(duration)),
                                trouble);
        case SYNC_FAILED:
                return sd_bus_reply_method_errorf(call, BUS_ERROR_SYNC_FAILED, "The sync failed%s", trouble);
        default:
                return sd_bus_reply_method_return(call, "t", sync->duration_usec);
        }
}

/* Dry runs answer no call: ForceSync always makes a real sync. */
static void bus_reply_waiters(Bus *bus, const Sync *sync) {
        size_t n = 0;
        int r;

        if (sync->dry_run)
                return;

        for (size_t i = 0; i < bus->n_waiters; i++) {
                Waiter waiter = bus->waiters[i];

                if (waiter.sync_id > sync->id) {
                        bus->waiters[n++] = waiter;
                        continue;
                }
                r = reply_sync_ended(waiter.call, sync);
                if (r < 0)
                        (void) sd_bus_reply_method_errno(waiter.call, r, NULL);
                sd_bus_message_unref(waiter.call);
        }
        bus->n_waiters = n;
}

/* The path of a SyncFilesystem call, as an error message shows it. */
static char *path_show(const char *path, char buffer[static PATH_SHOWN_MAX_BYTES + 1]) {
        text_escape(path, TEXT_ESCAPE_CONTROL, buffer, PATH_SHOWN_MAX_BYTES + 1);
        return buffer;
}

static int read_path(sd_bus_message *call, const char **ret_path, sd_bus_error *ret_error) {
        char shown[PATH_SHOWN_MAX_BYTES + 1];
        const char *path;
        int r;

        r = sd_bus_message_read(call, "s", &path);
        if (r < 0)
                return r;

        if (path[0] == '\0')
                return sd_bus_error_set(ret_error, SD_BUS_ERROR_INVALID_ARGS, "path: must not be empty");
        if (path[0] != '/')
                return sd_bus_error_setf(
                                ret_error, SD_BUS_ERROR_INVALID_ARGS, "path: %s is not absolute",
                                path_show(path, shown));
        if (strlen(path) >= PATH_MAX)
                return sd_bus_error_setf(
                                ret_error, SD_BUS_ERROR_INVALID_ARGS,
                                "path: its length of %zu bytes exceeds the maximum of %d", strlen(path),
                                PATH_MAX - 1);

        *ret_path = path;
        return 0;
}

static int on_sync_filesystem(sd_bus_message *call, void *userdata, sd_bus_error *ret_error) {
        Bus *bus = userdata;
        const char *path;
        uint64_t id;
        int r;

        r = read_path(call, &path, ret_error);
        if (r < 0)
                return r;

        r = authority_check(bus->authority, call, ACTION_FORCE_SYNC, ret_error);
        if (r < 0)
                return r;
        if (r == 0)
                return 1; /* runs again when it is authorized */

        r = bus->n_filesystem_calls < FILESYSTEM_CALLS_MAX ? manager_sync_filesystem(bus->manager, path, &id)
                                                           : -EBUSY;
        if (r == -EBUSY)
                return sd_bus_error_set(
                                ret_error, BUS_ERROR_BUSY,
                                "Too many syncs of single filesystems are under way or hang");
        if (r < 0)
                return sd_bus_error_setf(
                                ret_error, BUS_ERROR_SYNC_FAILED, "The sync could not be started: %s",
                                errno_text(-r));

        bus->filesystem_calls[bus->n_filesystem_calls++] =
                        (FilesystemCall){ .call = sd_bus_message_ref(call), .id = id };
        return 1;
}

static int reply_filesystem_late(sd_bus_message *call, const char *path, uint64_t duration_usec) {
        char duration[64];

        if (duration_usec > USEC_PER_SEC)
                duration_usec -= duration_usec % USEC_PER_SEC;
        return sd_bus_reply_method_errorf(
                        call, BUS_ERROR_SYNC_FAILED, "The filesystem of %s has not answered within %s", path,
                        format_duration(duration_usec, duration, sizeof(duration)));
}

static int reply_filesystem_synced(
                sd_bus_message *call,
                FilesystemResult result,
                uint64_t duration_usec,
                int error) {

        char path[PATH_SHOWN_MAX_BYTES + 1];
        const char *text;
        int r;

        r = sd_bus_message_rewind(call, /* complete= */ true);
        if (r < 0)
                return r;
        r = read_path(call, &text, NULL);
        if (r < 0)
                return r;
        (void) path_show(text, path);

        switch (result) {
        case FILESYSTEM_OK:
                return sd_bus_reply_method_return(call, "t", duration_usec);
        case FILESYSTEM_UNREACHABLE:
                return sd_bus_reply_method_errorf(
                                call, BUS_ERROR_SYNC_FAILED, "The filesystem of %s is unreachable: %s", path,
                                errno_text(-error));
        case FILESYSTEM_FAILED:
                return sd_bus_reply_method_errorf(
                                call, BUS_ERROR_SYNC_FAILED, "The sync of the filesystem of %s failed: %s",
                                path, error == -EPIPE ? "its process was killed" : errno_text(-error));
        default:
                return reply_filesystem_late(call, path, duration_usec);
        }
}

static void reply_filesystem_call(
                Bus *bus,
                uint64_t id,
                FilesystemResult result,
                uint64_t duration_usec,
                int error) {

        for (size_t i = 0; i < bus->n_filesystem_calls; i++) {
                _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
                int r;

                if (bus->filesystem_calls[i].id != id)
                        continue;

                call = bus->filesystem_calls[i].call;
                bus->filesystem_calls[i] = bus->filesystem_calls[--bus->n_filesystem_calls];
                r = reply_filesystem_synced(call, result, duration_usec, error);
                if (r < 0)
                        (void) sd_bus_reply_method_errno(call, r, NULL);
                return;
        }
}

/* None has the call if it was dropped with its connection. */
void bus_filesystem_synced(
                Bus *bus,
                uint64_t id,
                FilesystemResult result,
                uint64_t duration_usec,
                int error) {

        for (; bus; bus = bus->next)
                reply_filesystem_call(bus, id, result, duration_usec, error);
}

/* Lists */

static int reply_list(
                sd_bus_message *call,
                const Engine *engine,
                int (*append)(sd_bus_message *m, const Engine *engine)) {

        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        /* Lists are the most expensive replies that anyone may request. */
        if (sd_bus_message_get_expect_reply(call) == 0)
                return 1;

        r = sd_bus_message_new_method_return(call, &reply);
        if (r < 0)
                return r;
        r = append(reply, engine);
        if (r < 0)
                return r;

        return sd_bus_send(NULL, reply, NULL);
}

static int on_list_workers(sd_bus_message *call, void *userdata, sd_bus_error *ret_error) {
        const Bus *bus = userdata;

        return reply_list(call, manager_engine(bus->manager), bus_append_workers);
}

static int on_list_episodes(sd_bus_message *call, void *userdata, sd_bus_error *ret_error) {
        const Bus *bus = userdata;

        return reply_list(call, manager_engine(bus->manager), bus_append_episodes);
}

/* The object */

/* Sees each message to the object before the vtables do. */
static int on_object(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *bus = userdata;
        const char *property = NULL;
        int r;

        r = bus_properties_inspect(m, BUS_INTERFACE, &property, ret_error);
        if (r <= 0)
                return r;
        if (property)
                return bus_settings_set(&bus->settings, m, property, ret_error);

        bus_properties_update(&bus->properties);
        return 0;
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),

        SD_BUS_METHOD("Pause", NULL, NULL, on_pause, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                        "PauseFor",
                        SD_BUS_ARGS("t", usec),
                        SD_BUS_NO_RESULT,
                        on_pause_for,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Resume", NULL, NULL, on_resume, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                        "ForceSync",
                        SD_BUS_NO_ARGS,
                        SD_BUS_RESULT("t", duration_usec),
                        on_force_sync,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                        "SyncFilesystem",
                        SD_BUS_ARGS("s", path),
                        SD_BUS_RESULT("t", duration_usec),
                        on_sync_filesystem,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS_OFFSET(
                        "SetProperties",
                        SD_BUS_ARGS("b", runtime, "a{sv}", properties),
                        SD_BUS_NO_RESULT,
                        bus_settings_on_set_properties,
                        offsetof(Bus, settings),
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS_OFFSET(
                        "ResetProperties",
                        SD_BUS_ARGS("b", runtime, "as", names),
                        SD_BUS_NO_RESULT,
                        bus_settings_on_reset_properties,
                        offsetof(Bus, settings),
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS_OFFSET(
                        "Inhibit",
                        SD_BUS_ARGS("s", who, "s", why),
                        SD_BUS_RESULT("h", inhibitor),
                        bus_inhibit_on_inhibit,
                        offsetof(Bus, inhibit),
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                        "ListWorkers",
                        SD_BUS_NO_ARGS,
                        SD_BUS_RESULT("aa{sv}", workers),
                        on_list_workers,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                        "ListEpisodes",
                        SD_BUS_NO_ARGS,
                        SD_BUS_RESULT("aa{sv}", episodes),
                        on_list_episodes,
                        SD_BUS_VTABLE_UNPRIVILEGED),

        SD_BUS_SIGNAL_WITH_ARGS("EpisodeStarted", SD_BUS_ARGS("t", id, "a{sv}", details), 0),
        SD_BUS_SIGNAL_WITH_ARGS("EpisodeEnded", SD_BUS_ARGS("t", id, "a{sv}", details), 0),
        SD_BUS_SIGNAL_WITH_ARGS("SyncStarted", SD_BUS_ARGS("t", id, "t", episode_id, "a{sv}", details), 0),
        SD_BUS_SIGNAL_WITH_ARGS("SyncFinished", SD_BUS_ARGS("t", id, "t", episode_id, "a{sv}", details), 0),

        SD_BUS_VTABLE_END,
};

/* Reporting */

/* The properties that an event changes. */
static const char *const *changed_properties(const EngineEvent *event) {
        static const char *const none[] = { NULL },
                                 *const started[] = { "SyncCount", "FilesystemResults", NULL },
                                 *const state[] = { "State", "StateSinceUSec", NULL },
                                 *const last_sync[] = { "LastSyncUSec", "LastSyncDurationUSec",
                                                        "LastSyncResult", NULL },
                                 *const pause[] = { "PausedUntilUSec", NULL },
                                 *const inhibitors[] = { "Inhibitors", NULL },
                                 *const unhelpful[] = { "SyncsUnhelpful", NULL };

        switch (event->type) {
        case EVENT_STATE_CHANGED:
                return state;
        case EVENT_SYNC_STARTED:
                return event->sync.dry_run ? none : started;
        case EVENT_SYNC_ENDED:
                return event->sync.dry_run ? none : last_sync;
        case EVENT_PAUSE_CHANGED:
                return pause;
        case EVENT_INHIBITORS_CHANGED:
                return inhibitors;
        case EVENT_UNHELPFUL_CHANGED:
                return unhelpful;
        default:
                return none;
        }
}

static bool names_contain(char *const *names, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (streq(names[i], name))
                        return true;

        return false;
}

/* Emits one PropertiesChanged with each changed name once. */
static void bus_report_changes(Bus *bus, sd_bus *connection, const EngineEvents *events) {
        char *names[CHANGES_MAX + 1]; /* sd-bus takes char **, but does not modify them */
        size_t n = 0;

        for (size_t i = 0; i < events->n; i++)
                for (const char *const *name = changed_properties(&events->events[i]); *name; name++)
                        if (n < CHANGES_MAX && !names_contain(names, n, *name))
                                names[n++] = (char *) *name;
        names[n] = NULL;

        if (n > 0)
                (void) bus_properties_emit(&bus->properties, connection, names);
}

/* Errors are ignored: if a signal can't be sent, the bus is gone, and its receivers with it. */
static void report_events_on(Bus *bus, const EngineEvents *events) {
        sd_bus *connection = bus_connection_get(bus->connection);

        if (!connection || events->n == 0)
                return;

        bus_report_changes(bus, connection, events);
        for (size_t i = 0; i < events->n; i++)
                (void) bus_emit_event(connection, &events->events[i], &events->episode);
        for (size_t i = 0; i < events->n; i++)
                if (events->events[i].type == EVENT_SYNC_ENDED)
                        bus_reply_waiters(bus, &events->events[i].sync);

        bus_connection_sent(bus->connection);
}

void bus_report(Bus *bus, const EngineEvents *events) {
        for (; bus; bus = bus->next)
                report_events_on(bus, events);
}

static void report_properties(Bus *bus, char **names) {
        for (; bus; bus = bus->next) {
                sd_bus *connection = bus_connection_get(bus->connection);

                if (!connection)
                        continue;
                (void) bus_properties_emit(&bus->properties, connection, names);
                bus_connection_sent(bus->connection);
        }
}

void bus_report_settings(Bus *bus, unsigned ids) {
        char *names[_SETTING_MAX + 2];
        size_t n = 0;

        if (ids == 0)
                return;

        for (SettingId id = 0; id < _SETTING_MAX; id++)
                if (ids & (1u << id))
                        names[n++] = (char *) setting_table[id].property;
        names[n++] = (char *) "SettingOrigins";
        names[n] = NULL;
        report_properties(bus, names);
}

static void bus_report_property(Bus *bus, const char *property) {
        report_properties(bus, (char *[]){ (char *) property, NULL });
}

void bus_report_event_source(Bus *bus) {
        bus_report_property(bus, "EventSource");
}

void bus_report_fault(Bus *bus) {
        bus_report_property(bus, "Fault");
}

void bus_report_filesystems(Bus *bus) {
        if (bus_has_filesystem_results(bus->manager))
                bus_report_property(bus, "FilesystemResults");
}

void bus_settings_stored(Bus *bus, int r) {
        for (; bus; bus = bus->next)
                bus_settings_reply_stored(&bus->settings, r);
}

/* Connecting */

/* To answer this call sd-bus would open a file, and would close the connection if the file were empty. */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        if (!sd_bus_message_is_method_call(m, PEER_INTERFACE, "GetMachineId"))
                return 0;

        return sd_bus_error_set(
                        ret_error, SD_BUS_ERROR_NOT_SUPPORTED,
                        "GetMachineId is not supported; call it on the bus itself");
}

static int begin_connection(sd_bus *connection, void *userdata) {
        Bus *bus = userdata;
        int r;

        r = authority_new(connection, bus->connection, bus->listener, &bus->authority);
        if (r < 0)
                return r;
        bus->settings = (BusSettings){ .manager = bus->manager, .authority = bus->authority };
        bus->inhibit = (BusInhibit){
                .manager = bus->manager,
                .authority = bus->authority,
                .callers = bus->connection,
                .listener = bus->listener,
        };

        r = sd_bus_add_filter(connection, NULL, on_message, bus);
        if (r < 0)
                return r;

        /* The callback must be added first, to see messages before the vtables do. */
        r = sd_bus_add_object(connection, NULL, BUS_PATH, on_object, bus);
        if (r < 0)
                return r;
        r = bus_properties_add(&bus->properties, connection);
        if (r < 0)
                return r;
        r = sd_bus_add_object_vtable(connection, NULL, BUS_PATH, BUS_INTERFACE, vtable, bus);
        if (r < 0)
                return r;

        return bus_log_control_add(connection, bus->authority);
}

static void end_connection(void *userdata) {
        Bus *bus = userdata;

        while (bus->n_waiters > 0)
                sd_bus_message_unref(bus->waiters[--bus->n_waiters].call);
        while (bus->n_filesystem_calls > 0)
                sd_bus_message_unref(bus->filesystem_calls[--bus->n_filesystem_calls].call);
        bus_settings_drop(&bus->settings);
        bus_inhibit_drop(&bus->inhibit);
        bus->authority = authority_free(bus->authority);
}

int bus_add(sd_event *event, Manager *manager, const Listener *listener, Bus **list) {
        static const BusConnectionHandlers handlers = {
                .begin = begin_connection,
                .end = end_connection,
        };
        _cleanup_(bus_freep) Bus *bus = NULL;
        int r;

        bus = memory_new_sparse(sizeof(*bus));
        if (!bus)
                return -ENOMEM;
        bus->manager = manager;
        bus->listener = listener;
        bus->properties.manager = manager;

        r = bus_connection_new(event, BUS_NAME, listener, &handlers, bus, &bus->connection);
        if (r < 0)
                return r;

        bus->next = *list;
        *list = TAKE_POINTER(bus);
        return 0;
}

Bus *bus_free(Bus *bus) {
        while (bus) {
                Bus *next = bus->next;

                bus_connection_free(bus->connection);
                memory_free_sparse(bus, sizeof(*bus));
                bus = next;
        }

        return NULL;
}
