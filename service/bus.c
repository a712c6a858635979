/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The bus. Calls come in this order: read and validate, authorize, change, emit, reply. Authorization is
 * asynchronous, so that what follows it reads the call anew.
 *
 * A vtable's property setter cannot wait for polkit, so that Properties.Set is taken before the vtable sees
 * it; the vtable answers Get, GetAll and Introspect, and its setter always refuses.
 */

#include "bus.h"

#include <glib.h>
#include <systemd/sd-bus.h>

#include "authority.h"
#include "bus-connection.h"
#include "log.h"

#define BUS_NAME "org.wbwatch1"
#define BUS_PATH "/org/wbwatch1"
#define BUS_INTERFACE "org.wbwatch1"

#define LOG_CONTROL_PATH "/org/freedesktop/LogControl1"
#define LOG_CONTROL_INTERFACE "org.freedesktop.LogControl1"

#define BUS_ERROR_DRY_RUN "org.wbwatch1.Error.DryRun"
#define BUS_ERROR_SYNC_FAILED "org.wbwatch1.Error.SyncFailed"
#define BUS_ERROR_BUSY "org.wbwatch1.Error.Busy"
#define BUS_ERROR_STORE_FAILED "org.wbwatch1.Error.StoreFailed"

/* Callers of ForceSync that wait for a sync's end: of all, and of one connection. */
#define WAITERS_MAX 512
#define WAITERS_PER_SENDER_MAX 128

/* Calls for a list that wait for their turn: of all, and of one connection. A user has 256 connections at
 * most, which take half. */
#define LIST_CALLS_MAX 2048
#define LIST_CALLS_PER_SENDER_MAX 4

/* Lists cost by far the most of all that everybody may ask for, and we go before everybody else on the CPU:
 * after each one as long a rest as it took, times this. */
#define LIST_REST_FACTOR 3

/* Of a name in a call; one on the bus has 255 bytes at most. */
#define NAME_MAX_BYTES 255

struct Bus {
        Manager *manager;
        BusConnection *connection;
        Authority *authority; /* of the connection that there is */

        GList *waiters; /* ForceSync calls without a reply yet */
        unsigned n_waiters;

        sd_bus_message *store_call; /* the SetProperties call whose settings are being stored */

        GQueue list_calls;
        sd_event_source *list_timer; /* on while a list may be made next */
        uint64_t list_usec;          /* not before this time */
};

typedef struct Waiter {
        sd_bus_message *call;
        uint64_t sync_id; /* any sync from this one on will do */
} Waiter;

static Waiter *waiter_free(Waiter *waiter) {
        sd_bus_message_unref(waiter->call);
        g_free(waiter);
        return NULL;
}

/* Showing */

static int append_worker(sd_bus_message *m, const Worker *worker, uint64_t running_usec, uint64_t cpu_usec) {
        char name[sizeof(worker->name) * 4];
        const char state[] = { worker->state, '\0' };

        log_escape(worker->name, name, sizeof(name));
        return sd_bus_message_append(
                        m, "a{sv}", 6, "PID", "u", (uint32_t) worker->pid, "StartTime", "t",
                        worker->start_time, "Name", "s", name, "RunningUSec", "t", running_usec, "CPUUSec",
                        "t", cpu_usec, "State", "s", state);
}

static int append_episode_worker(sd_bus_message *m, const EpisodeWorker *noted) {
        char name[sizeof(noted->worker.name) * 4];

        log_escape(noted->worker.name, name, sizeof(name));
        return sd_bus_message_append(
                        m, "a{sv}", 5, "PID", "u", (uint32_t) noted->worker.pid, "StartTime", "t",
                        noted->worker.start_time, "Name", "s", name, "RunningUSec", "t", noted->running_usec,
                        "CPUUSec", "t", noted->cpu_usec);
}

static int append_episode_sync(sd_bus_message *m, const EngineSync *sync) {
        return sd_bus_message_append(
                        m, "a{sv}", 7, "Id", "t", sync->id, "StartUSec", "t", sync->start.realtime_usec,
                        "DurationUSec", "t", sync->duration_usec, "Result", "s",
                        sync_result_to_string(sync->result), "Rule", "s", engine_rule_to_string(sync->rule),
                        "Forced", "b", sync->rule == RULE_NONE, "DryRun", "b", sync->dry_run);
}

/* Opens {sv} with a key and the variant in it; the two below close them again. */
static int open_entry(sd_bus_message *m, const char *key, const char *type) {
        int r;

        r = sd_bus_message_open_container(m, 'e', "sv");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "s", key);
        if (r < 0)
                return r;
        return sd_bus_message_open_container(m, 'v', type);
}

static int close_entry(sd_bus_message *m) {
        int r;

        r = sd_bus_message_close_container(m);
        if (r < 0)
                return r;
        return sd_bus_message_close_container(m);
}

/* Appends the workers of an episode, the longest run first. */
static int append_episode_workers(sd_bus_message *m, const Episode *episode) {
        const EpisodeWorker *sorted[ENGINE_EPISODE_WORKERS_MAX];
        int r;

        for (size_t i = 0; i < episode->n_workers; i++) {
                size_t place = i;

                while (place > 0 && sorted[place - 1]->running_usec < episode->workers[i].running_usec) {
                        sorted[place] = sorted[place - 1];
                        place--;
                }
                sorted[place] = &episode->workers[i];
        }

        r = sd_bus_message_open_container(m, 'a', "a{sv}");
        for (size_t i = 0; r >= 0 && i < episode->n_workers; i++)
                r = append_episode_worker(m, sorted[i]);
        if (r < 0)
                return r;

        return sd_bus_message_close_container(m);
}

static int append_episode_syncs(sd_bus_message *m, const Episode *episode) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "a{sv}");
        for (size_t i = 0; r >= 0 && i < episode->n_syncs; i++)
                r = append_episode_sync(m, &episode->syncs[i]);
        if (r < 0)
                return r;

        return sd_bus_message_close_container(m);
}

static int append_episode(sd_bus_message *m, const Episode *episode) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r < 0)
                return r;

        r = sd_bus_message_append(
                        m, "{sv}{sv}{sv}{sv}{sv}{sv}", "Id", "t", episode->id, "Rule", "s",
                        engine_rule_to_string(episode->rule), "StartUSec", "t", episode->start.realtime_usec,
                        "Outcome", "s", engine_outcome_to_string(episode->outcome), "WorkerCount", "u",
                        episode->worker_count, "SyncCount", "u", episode->sync_count);
        if (r < 0)
                return r;

        if (episode->end.realtime_usec > 0) {
                r = sd_bus_message_append(m, "{sv}", "EndUSec", "t", episode->end.realtime_usec);
                if (r < 0)
                        return r;
        }

        r = open_entry(m, "Workers", "aa{sv}");
        if (r < 0)
                return r;
        r = append_episode_workers(m, episode);
        if (r < 0)
                return r;
        r = close_entry(m);
        if (r < 0)
                return r;

        r = open_entry(m, "Syncs", "aa{sv}");
        if (r < 0)
                return r;
        r = append_episode_syncs(m, episode);
        if (r < 0)
                return r;
        r = close_entry(m);
        if (r < 0)
                return r;

        return sd_bus_message_close_container(m);
}

static int append_setting_origins(sd_bus_message *m, const Settings *settings) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "{ss}");
        for (SettingId id = 0; r >= 0 && id < _SETTING_MAX; id++) {
                char source[sizeof(settings->sources[id]) * 4];

                log_escape(settings->sources[id], source, sizeof(source));
                r = sd_bus_message_append(m, "{ss}", setting_table[id].property, source);
        }
        if (r < 0)
                return r;

        return sd_bus_message_close_container(m);
}

static int append_setting(sd_bus_message *m, const Settings *settings, SettingId id) {
        uint64_t number;

        if (setting_table[id].type == SETTING_TYPE_GLOB)
                return sd_bus_message_append(m, "s", settings->glob);

        number = settings_get_number(settings, id);
        switch (setting_table[id].type) {
        case SETTING_TYPE_USEC:
                return sd_bus_message_append(m, "t", number);
        case SETTING_TYPE_BOOLEAN:
                return sd_bus_message_append(m, "b", (int) number);
        default:
                return sd_bus_message_append(m, "u", (uint32_t) number);
        }
}

static int get_property(
                sd_bus *connection,
                const char *path,
                const char *interface,
                const char *property,
                sd_bus_message *reply,
                void *userdata,
                sd_bus_error *ret_error) {

        const Bus *bus = userdata;
        const Manager *manager = bus->manager;
        const Engine *engine = manager_engine(manager);
        const EngineSync *last = engine_last_real_sync(engine);
        const RunningWorker *oldest;
        char status[MANAGER_STATUS_MAX];
        SettingId id;
        size_t n;

        if (setting_from_property(property, &id) >= 0)
                return append_setting(reply, manager_settings(manager), id);
        if (streq(property, "SettingOrigins"))
                return append_setting_origins(reply, manager_settings(manager));
        if (streq(property, "Version"))
                return sd_bus_message_append(reply, "s", WBWATCH_VERSION);
        if (streq(property, "State"))
                return sd_bus_message_append(reply, "s", engine_state_to_string(engine_state(engine)));
        if (streq(property, "StateSinceUSec"))
                return sd_bus_message_append(reply, "t", engine_state_since(engine).realtime_usec);
        if (streq(property, "StatusText"))
                return sd_bus_message_append(reply, "s", manager_status(manager, status, sizeof(status)));
        if (streq(property, "PausedUntilUSec"))
                return sd_bus_message_append(reply, "t", engine_paused_until_usec(engine));
        if (streq(property, "EventSource"))
                return sd_bus_message_append(reply, "s", manager_listening(manager) ? "netlink" : "polling");
        if (streq(property, "SyncCount"))
                return sd_bus_message_append(reply, "t", engine_sync_count(engine));
        if (streq(property, "LastSyncUSec"))
                return sd_bus_message_append(reply, "t", last ? last->start.realtime_usec : UINT64_C(0));
        if (streq(property, "LastSyncDurationUSec"))
                return sd_bus_message_append(reply, "t", last ? last->duration_usec : UINT64_C(0));
        if (streq(property, "LastSyncResult"))
                return sd_bus_message_append(reply, "s", last ? sync_result_to_string(last->result) : "");
        if (streq(property, "LostEvents"))
                return sd_bus_message_append(reply, "t", manager_lost_events(manager));
        if (streq(property, "WorkerCount")) {
                (void) engine_workers(engine, &n);
                return sd_bus_message_append(reply, "u", (uint32_t) n);
        }
        if (streq(property, "OldestWorkerUSec")) {
                oldest = engine_oldest_worker(engine);
                return sd_bus_message_append(
                                reply, "t", oldest ? engine_running_usec(engine, oldest) : UINT64_C(0));
        }

        return -ENOENT;
}

static int refuse_property(
                sd_bus *connection,
                const char *path,
                const char *interface,
                const char *property,
                sd_bus_message *value,
                void *userdata,
                sd_bus_error *ret_error) {

        return sd_bus_error_set(ret_error, SD_BUS_ERROR_ACCESS_DENIED, "Not authorized");
}

static int compare_running(const void *a, const void *b) {
        const RunningWorker *const *one = a, *const *other = b;

        if ((*one)->since_usec != (*other)->since_usec)
                return (*one)->since_usec < (*other)->since_usec ? -1 : 1;
        return (*one)->worker.pid < (*other)->worker.pid ? -1 : 1;
}

static int append_workers(sd_bus_message *m, const Engine *engine) {
        _cleanup_free_ const RunningWorker **sorted = NULL;
        const RunningWorker *workers;
        size_t n;
        int r;

        workers = engine_workers(engine, &n);
        sorted = calloc(n + 1, sizeof(*sorted));
        if (!sorted)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                sorted[i] = &workers[i];
        qsort(sorted, n, sizeof(*sorted), compare_running);

        r = sd_bus_message_open_container(m, 'a', "a{sv}");
        for (size_t i = 0; r >= 0 && i < n; i++) {
                const Worker *worker = &sorted[i]->worker;

                r = append_worker(m, worker, engine_running_usec(engine, sorted[i]), worker->cpu_usec);
        }
        if (r < 0)
                return r;

        return sd_bus_message_close_container(m);
}

static int append_episodes(sd_bus_message *m, const Engine *engine) {
        const Episode *ongoing = engine_episode(engine);
        size_t n = engine_n_episodes(engine);
        int r;

        r = sd_bus_message_open_container(m, 'a', "a{sv}");

        /* With the ongoing one they are the newest 64, too. */
        for (size_t i = ongoing && n == ENGINE_EPISODES_MAX ? 1 : 0; r >= 0 && i < n; i++)
                r = append_episode(m, engine_ended_episode(engine, i));
        if (r >= 0 && ongoing)
                r = append_episode(m, ongoing);
        if (r < 0)
                return r;

        return sd_bus_message_close_container(m);
}

/* Lists are made one after the other, with rests, and apart from all other calls, which they do not hold up.
 */

typedef int (*append_list_t)(sd_bus_message *m, const Engine *engine);

typedef struct ListCall {
        sd_bus_message *call;
        append_list_t append;
} ListCall;

static void list_call_free(void *userdata) {
        ListCall *list_call = userdata;

        sd_bus_message_unref(list_call->call);
        g_free(list_call);
}
DEFINE_TRIVIAL_CLEANUP(ListCall *, list_call_free);

static int list_call_answer(const ListCall *list_call, const Engine *engine) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(list_call->call, &reply);
        if (r < 0)
                return r;
        r = list_call->append(reply, engine);
        if (r < 0)
                return r;

        return sd_bus_send(NULL, reply, NULL);
}

/* Lets the next list be made when its time has come. */
static void bus_arm_list_timer(Bus *bus) {
        int r;

        if (g_queue_is_empty(&bus->list_calls))
                return;

        r = sd_event_source_set_time(bus->list_timer, bus->list_usec);
        if (r >= 0)
                r = sd_event_source_set_enabled(bus->list_timer, SD_EVENT_ONESHOT);
        if (r < 0)
                log_error("Can't set the timer for lists: %s", errno_text(-r));
}

static int on_list_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Bus *bus = userdata;
        _cleanup_(list_call_freep) ListCall *list_call = NULL;
        uint64_t start_usec;
        int r;

        /* A list is large. */
        if (bus_connection_held_up(bus->connection))
                return 0;

        list_call = g_queue_pop_head(&bus->list_calls);
        if (!list_call)
                return 0;

        start_usec = usec_now(CLOCK_MONOTONIC);
        r = list_call_answer(list_call, manager_engine(bus->manager));
        if (r < 0)
                (void) sd_bus_reply_method_errno(list_call->call, r, NULL);
        bus->list_usec = start_usec + (usec_now(CLOCK_MONOTONIC) - start_usec) * (1 + LIST_REST_FACTOR);

        bus_arm_list_timer(bus);
        return 0;
}

static unsigned bus_count_list_calls_of(const Bus *bus, const char *sender) {
        unsigned n = 0;

        for (const GList *i = bus->list_calls.head; i; i = i->next)
                if (streq(sd_bus_message_get_sender(((const ListCall *) i->data)->call), sender))
                        n++;

        return n;
}

/* Puts a call for a list in line. */
static int bus_queue_list(Bus *bus, sd_bus_message *call, append_list_t append) {
        ListCall *list_call;

        if (sd_bus_message_get_expect_reply(call) == 0)
                return 1;

        if (bus->list_calls.length >= LIST_CALLS_MAX ||
            bus_count_list_calls_of(bus, sd_bus_message_get_sender(call)) >= LIST_CALLS_PER_SENDER_MAX)
                return sd_bus_reply_method_errorf(
                                call, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "Too many calls wait for a list: at most %u of one caller, %u of all",
                                (unsigned) LIST_CALLS_PER_SENDER_MAX, (unsigned) LIST_CALLS_MAX);

        list_call = g_try_new(ListCall, 1);
        if (!list_call)
                return -ENOMEM;

        *list_call = (ListCall){ .call = sd_bus_message_ref(call), .append = append };
        g_queue_push_tail(&bus->list_calls, list_call);
        bus_arm_list_timer(bus);
        return 1;
}

static int on_list_workers(sd_bus_message *call, void *userdata, sd_bus_error *ret_error) {
        return bus_queue_list(userdata, call, append_workers);
}

static int on_list_episodes(sd_bus_message *call, void *userdata, sd_bus_error *ret_error) {
        return bus_queue_list(userdata, call, append_episodes);
}

/* Asking */

static int bus_authorize(Bus *bus, sd_bus_message *call, const char *action, authority_granted_t granted) {
        return authority_check(bus->authority, call, action, granted, bus);
}

static int pause_granted(sd_bus_message *call, void *userdata) {
        Bus *bus = userdata;

        manager_pause(bus->manager, USEC_INFINITY);
        return sd_bus_reply_method_return(call, NULL);
}

static int on_pause(sd_bus_message *call, void *userdata, sd_bus_error *ret_error) {
        return bus_authorize(userdata, call, AUTHORITY_ACTION_PAUSE, pause_granted);
}

static int pause_for_granted(sd_bus_message *call, void *userdata) {
        Bus *bus = userdata;
        uint64_t usec;
        int r;

        r = sd_bus_message_rewind(call, /* complete= */ true);
        if (r < 0)
                return r;
        r = sd_bus_message_read(call, "t", &usec);
        if (r < 0)
                return r;

        manager_pause(bus->manager, usec);
        return sd_bus_reply_method_return(call, NULL);
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

        return bus_authorize(userdata, call, AUTHORITY_ACTION_PAUSE, pause_for_granted);
}

static int resume_granted(sd_bus_message *call, void *userdata) {
        Bus *bus = userdata;

        manager_resume(bus->manager);
        return sd_bus_reply_method_return(call, NULL);
}

static int on_resume(sd_bus_message *call, void *userdata, sd_bus_error *ret_error) {
        return bus_authorize(userdata, call, AUTHORITY_ACTION_PAUSE, resume_granted);
}

static unsigned bus_count_waiters_of(const Bus *bus, const char *sender) {
        unsigned n = 0;

        for (const GList *i = bus->waiters; i; i = i->next)
                if (streq(sd_bus_message_get_sender(((const Waiter *) i->data)->call), sender))
                        n++;

        return n;
}

static int reply_dry_run(sd_bus_message *call) {
        return sd_bus_reply_method_errorf(call, BUS_ERROR_DRY_RUN, "DryRun is set: no sync was made");
}

static int force_sync_granted(sd_bus_message *call, void *userdata) {
        Bus *bus = userdata;
        Waiter *waiter;

        if (manager_settings(bus->manager)->dry_run)
                return reply_dry_run(call);

        if (bus->n_waiters >= WAITERS_MAX ||
            bus_count_waiters_of(bus, sd_bus_message_get_sender(call)) >= WAITERS_PER_SENDER_MAX)
                return sd_bus_reply_method_errorf(
                                call, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "Too many calls wait for a sync: at most %u of one caller, %u of all",
                                (unsigned) WAITERS_PER_SENDER_MAX, (unsigned) WAITERS_MAX);

        waiter = g_try_new(Waiter, 1);
        if (!waiter)
                return -ENOMEM;

        *waiter = (Waiter){
                .call = sd_bus_message_ref(call),
                .sync_id = engine_next_sync_id(manager_engine(bus->manager)),
        };
        bus->waiters = g_list_prepend(bus->waiters, waiter);
        bus->n_waiters++;

        manager_force_sync(bus->manager);
        return 1;
}

static int on_force_sync(sd_bus_message *call, void *userdata, sd_bus_error *ret_error) {
        return bus_authorize(userdata, call, AUTHORITY_ACTION_FORCE_SYNC, force_sync_granted);
}

static void bus_reply_waiters(Bus *bus, const EngineSync *sync) {
        GList *next;

        for (GList *i = bus->waiters; i; i = next) {
                Waiter *waiter = i->data;

                next = i->next;
                if (waiter->sync_id > sync->id)
                        continue;

                if (sync->dry_run)
                        (void) reply_dry_run(waiter->call);
                else if (sync->result == SYNC_FAILED)
                        (void) sd_bus_reply_method_errorf(
                                        waiter->call, BUS_ERROR_SYNC_FAILED,
                                        "The process that called sync() was killed before it ended");
                else
                        (void) sd_bus_reply_method_return(waiter->call, "t", sync->duration_usec);

                bus->waiters = g_list_delete_link(bus->waiters, i);
                bus->n_waiters--;
                waiter_free(waiter);
        }
}

/* Checks the length of a name before it is told back: what names nothing of ours may be as long as a message.
 */
static int check_name(const char *name, sd_bus_error *ret_error) {
        size_t size = strlen(name);

        if (size > NAME_MAX_BYTES)
                return sd_bus_error_setf(
                                ret_error, SD_BUS_ERROR_INVALID_ARGS,
                                "a name of %zu bytes is longer than the maximum of %d", size, NAME_MAX_BYTES);
        return 0;
}

/* The same for those of a call to Properties, which sd-bus tells back. Any other call passes. */
static int check_property_names(sd_bus_message *m, sd_bus_error *ret_error) {
        const char *interface = sd_bus_message_get_interface(m), *name;
        int r = 0;

        if (!interface || !streq(interface, "org.freedesktop.DBus.Properties"))
                return 0;

        for (unsigned i = 0; r >= 0 && i < 2 && sd_bus_message_read_basic(m, 's', &name) > 0; i++)
                r = check_name(name, ret_error);

        (void) sd_bus_message_rewind(m, /* complete= */ true);
        return r;
}

/* Opens the variant of a property that has to be of that type. Negative errno with ret_error set. */
static int enter_value(sd_bus_message *m, const char *property, const char *type, sd_bus_error *ret_error) {
        const char *contents;
        int r;

        r = sd_bus_message_peek_type(m, NULL, &contents);
        if (r < 0)
                return r;
        if (!streq(contents, type))
                return sd_bus_error_setf(
                                ret_error, SD_BUS_ERROR_INVALID_ARGS,
                                "%s: a value of type %s is not of the type %s", property, contents, type);

        return sd_bus_message_enter_container(m, 'v', type);
}

/* Reads a variant into a setting. Negative errno with ret_error set. */
static int read_setting(
                sd_bus_message *m,
                const char *property,
                const char *source,
                Settings *settings,
                SettingId *ret_id,
                sd_bus_error *ret_error) {

        static const char *const types[] = {
                [SETTING_TYPE_GLOB] = "s",
                [SETTING_TYPE_USEC] = "t",
                [SETTING_TYPE_UNSIGNED] = "u",
                [SETTING_TYPE_BOOLEAN] = "b",
        };
        _cleanup_free_ char *error = NULL;
        const char *type;
        SettingId id;
        int r;

        r = check_name(property, ret_error);
        if (r < 0)
                return r;
        if (setting_from_property(property, &id) < 0)
                return sd_bus_error_setf(
                                ret_error, SD_BUS_ERROR_INVALID_ARGS, "%s: there is no such setting",
                                property);

        type = types[setting_table[id].type];
        r = enter_value(m, property, type, ret_error);
        if (r < 0)
                return r;
        if (setting_table[id].type == SETTING_TYPE_GLOB) {
                const char *glob;

                r = sd_bus_message_read(m, "s", &glob);
                if (r >= 0)
                        r = settings_set_glob(settings, id, glob, source, &error);
        } else if (setting_table[id].type == SETTING_TYPE_USEC) {
                uint64_t usec;

                r = sd_bus_message_read(m, "t", &usec);
                if (r >= 0)
                        r = settings_set_number(settings, id, usec, source, &error);
        } else {
                uint32_t number; /* a boolean is as large on the wire */

                r = sd_bus_message_read(m, type, &number);
                if (r >= 0)
                        r = settings_set_number(settings, id, number, source, &error);
        }
        if (error)
                return sd_bus_error_setf(ret_error, SD_BUS_ERROR_INVALID_ARGS, "%s: %s", property, error);
        if (r < 0)
                return r;

        *ret_id = id;
        return sd_bus_message_exit_container(m);
}

/* Reads the arguments of SetProperties over the settings that are in force. */
static int read_set_properties(
                sd_bus_message *call,
                const Manager *manager,
                bool *ret_runtime,
                Settings *ret_settings,
                unsigned *ret_ids,
                sd_bus_error *ret_error) {

        Settings settings = *manager_settings(manager);
        unsigned ids = 0;
        int runtime, r;

        r = sd_bus_message_rewind(call, /* complete= */ true);
        if (r < 0)
                return r;
        r = sd_bus_message_read(call, "b", &runtime);
        if (r < 0)
                return r;
        r = sd_bus_message_enter_container(call, 'a', "{sv}");
        if (r < 0)
                return r;

        while ((r = sd_bus_message_enter_container(call, 'e', "sv")) > 0) {
                const char *property;
                SettingId id;

                r = sd_bus_message_read(call, "s", &property);
                if (r < 0)
                        return r;
                r = read_setting(
                                call, property, runtime ? "bus" : "bus (lasting)", &settings, &id, ret_error);
                if (r < 0)
                        return r;

                /* So that a call that is kept until polkit has answered is never large. */
                if (ids & (1u << id))
                        return sd_bus_error_setf(
                                        ret_error, SD_BUS_ERROR_INVALID_ARGS, "%s: it is given twice",
                                        property);
                ids |= 1u << id;

                r = sd_bus_message_exit_container(call);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;

        *ret_runtime = runtime;
        *ret_settings = settings;
        *ret_ids = ids;
        return 0;
}

/* After the question whether the caller may: what was valid before is read again, over what is in force by
 * now. */
static int set_properties_granted(sd_bus_message *call, void *userdata) {
        Bus *bus = userdata;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        Settings settings;
        unsigned ids;
        bool runtime;
        int r;

        r = read_set_properties(call, bus->manager, &runtime, &settings, &ids, &error);
        if (r < 0)
                return sd_bus_reply_method_errno(call, r, &error);

        if (runtime || ids == 0) {
                manager_apply_settings(bus->manager, &settings);
                return sd_bus_reply_method_return(call, NULL);
        }

        r = manager_store_settings(bus->manager, &settings, ids);
        if (r == -EBUSY)
                return sd_bus_reply_method_errorf(
                                call, BUS_ERROR_BUSY,
                                "Other settings are being stored or read at this moment");
        if (r < 0)
                return sd_bus_reply_method_errorf(
                                call, BUS_ERROR_STORE_FAILED, "The settings can't be stored: %s",
                                errno_text(-r));

        bus->store_call = sd_bus_message_ref(call);
        return 1;
}

static int on_set_properties(sd_bus_message *call, void *userdata, sd_bus_error *ret_error) {
        Bus *bus = userdata;
        Settings settings;
        unsigned ids;
        bool runtime;
        int r;

        r = read_set_properties(call, bus->manager, &runtime, &settings, &ids, ret_error);
        if (r < 0)
                return r;

        return bus_authorize(bus, call, AUTHORITY_ACTION_CONFIGURE, set_properties_granted);
}

void bus_settings_stored(Bus *bus, int r) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = TAKE_POINTER(bus->store_call);
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        Settings settings;
        unsigned ids;
        bool runtime;

        /* The caller was lost with its connection, but what it asked for was done: it has to hold. The next
         * reload or start reads it. */
        if (!call)
                return;

        if (r < 0) {
                (void) sd_bus_reply_method_errorf(
                                call, BUS_ERROR_STORE_FAILED, "The settings were not stored: %s",
                                errno_text(-r));
                return;
        }

        r = read_set_properties(call, bus->manager, &runtime, &settings, &ids, &error);
        if (r < 0) {
                (void) sd_bus_reply_method_errno(call, r, &error);
                return;
        }

        manager_apply_settings(bus->manager, &settings);
        (void) sd_bus_reply_method_return(call, NULL);
}

/* Properties.Set for our interfaces, which comes here before the vtables see it. */

static int read_set(
                sd_bus_message *call,
                const Manager *manager,
                Settings *ret_settings,
                sd_bus_error *ret_error) {

        Settings settings = *manager_settings(manager);
        const char *interface, *property;
        SettingId id;
        int r;

        r = sd_bus_message_rewind(call, /* complete= */ true);
        if (r < 0)
                return r;
        r = sd_bus_message_read(call, "ss", &interface, &property);
        if (r < 0)
                return r;
        r = read_setting(call, property, "bus", &settings, &id, ret_error);
        if (r < 0)
                return r;

        *ret_settings = settings;
        return 0;
}

static int set_granted(sd_bus_message *call, void *userdata) {
        Bus *bus = userdata;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        Settings settings;
        int r;

        r = read_set(call, bus->manager, &settings, &error);
        if (r < 0)
                return sd_bus_reply_method_errno(call, r, &error);

        manager_apply_settings(bus->manager, &settings);
        return sd_bus_reply_method_return(call, NULL);
}

/* Whether a message is Properties.Set for that interface; *ret_property points into the message. */
static bool is_set_of(sd_bus_message *m, const char *interface, const char **ret_property) {
        const char *asked, *property;
        bool is;

        if (!sd_bus_message_is_method_call(m, "org.freedesktop.DBus.Properties", "Set") ||
            !sd_bus_message_has_signature(m, "ssv"))
                return false;

        is = sd_bus_message_read(m, "ss", &asked, &property) >= 0 && streq(asked, interface);
        (void) sd_bus_message_rewind(m, /* complete= */ true);
        if (is)
                *ret_property = property;
        return is;
}

static int on_object(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *bus = userdata;
        const char *property;
        Settings settings;
        SettingId id;
        int r;

        r = check_property_names(m, ret_error);
        if (r < 0)
                return r;

        /* What is no setting is for the vtable to answer: unknown, or read-only. */
        if (!is_set_of(m, BUS_INTERFACE, &property) || setting_from_property(property, &id) < 0)
                return 0;

        r = read_set(m, bus->manager, &settings, ret_error);
        if (r < 0)
                return r;

        return bus_authorize(bus, m, AUTHORITY_ACTION_CONFIGURE, set_granted);
}

/* org.freedesktop.LogControl1(5): `systemctl service-log-level wbwatchd debug`. */

static const char *const level_names[] = {
        [LOG_EMERG] = "emerg",     [LOG_ALERT] = "alert",   [LOG_CRIT] = "crit", [LOG_ERR] = "err",
        [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice", [LOG_INFO] = "info", [LOG_DEBUG] = "debug",
};

static const char *const target_names[] = {
        [LOG_TARGET_STDERR] = "console",
        [LOG_TARGET_JOURNAL] = "journal",
};

static int find_name(const char *const *names, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (streq(names[i], name))
                        return (int) i;

        return -EINVAL;
}

static int get_log_property(
                sd_bus *connection,
                const char *path,
                const char *interface,
                const char *property,
                sd_bus_message *reply,
                void *userdata,
                sd_bus_error *ret_error) {

        if (streq(property, "LogLevel"))
                return sd_bus_message_append(reply, "s", level_names[log_get_max_level()]);
        if (streq(property, "LogTarget"))
                return sd_bus_message_append(reply, "s", target_names[log_get_target()]);
        return sd_bus_message_append(reply, "s", "wbwatchd");
}

/* What a Set would set: the log level when *ret_level >= 0, else the target. */
static int read_log_set(sd_bus_message *call, int *ret_level, int *ret_target, sd_bus_error *ret_error) {
        const char *interface, *property, *value;
        int level = -1, target = -1, r;

        r = sd_bus_message_rewind(call, /* complete= */ true);
        if (r < 0)
                return r;
        r = sd_bus_message_read(call, "ss", &interface, &property);
        if (r < 0)
                return r;
        r = enter_value(call, property, "s", ret_error);
        if (r < 0)
                return r;
        r = sd_bus_message_read(call, "s", &value);
        if (r < 0)
                return r;
        r = check_name(value, ret_error);
        if (r < 0)
                return r;

        if (streq(property, "LogLevel")) {
                level = find_name(level_names, ELEMENTSOF(level_names), value);
                if (level < 0)
                        return sd_bus_error_setf(
                                        ret_error, SD_BUS_ERROR_INVALID_ARGS,
                                        "LogLevel: %s is none of emerg, alert, crit, err, warning, notice, "
                                        "info, debug",
                                        value);
        } else {
                target = find_name(target_names, ELEMENTSOF(target_names), value);
                if (target < 0)
                        return sd_bus_error_setf(
                                        ret_error, SD_BUS_ERROR_INVALID_ARGS,
                                        "LogTarget: %s is none of console, journal", value);
        }

        *ret_level = level;
        *ret_target = target;
        return 0;
}

static int log_set_granted(sd_bus_message *call, void *userdata) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int level, target, r;

        r = read_log_set(call, &level, &target, &error);
        if (r < 0)
                return sd_bus_reply_method_errno(call, r, &error);

        if (level >= 0)
                log_set_max_level(level);
        else
                log_set_target((LogTarget) target);
        return sd_bus_reply_method_return(call, NULL);
}

static int on_log_object(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        const char *property;
        int level, target, r;

        r = check_property_names(m, ret_error);
        if (r < 0)
                return r;

        if (!is_set_of(m, LOG_CONTROL_INTERFACE, &property) ||
            !(streq(property, "LogLevel") || streq(property, "LogTarget")))
                return 0;

        r = read_log_set(m, &level, &target, ret_error);
        if (r < 0)
                return r;

        return bus_authorize(userdata, m, AUTHORITY_ACTION_CONFIGURE, log_set_granted);
}

#define SHOWN(name, type, flags) SD_BUS_PROPERTY(name, type, get_property, 0, flags)
#define SETTING(name, type)                                                                                  \
        SD_BUS_WRITABLE_PROPERTY(                                                                            \
                        name, type, get_property, refuse_property, 0,                                        \
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE | SD_BUS_VTABLE_UNPRIVILEGED)

static const sd_bus_vtable bus_vtable[] = {
        SD_BUS_VTABLE_START(0),

        SHOWN("Version", "s", SD_BUS_VTABLE_PROPERTY_CONST),
        SHOWN("State", "s", SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SHOWN("StateSinceUSec", "t", SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SHOWN("StatusText", "s", 0),
        SETTING("Glob", "s"),
        SETTING("ThresholdUSec", "t"),
        SETTING("CrowdSize", "u"),
        SETTING("CrowdThresholdUSec", "t"),
        SETTING("PollIntervalUSec", "t"),
        SETTING("SweepIntervalUSec", "t"),
        SETTING("RecoveryUSec", "t"),
        SETTING("SyncTimeoutUSec", "t"),
        SETTING("DryRun", "b"),
        SHOWN("SettingOrigins", "a{ss}", SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SHOWN("PausedUntilUSec", "t", SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SHOWN("EventSource", "s", SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SHOWN("SyncCount", "t", SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SHOWN("LastSyncUSec", "t", SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SHOWN("LastSyncDurationUSec", "t", SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SHOWN("LastSyncResult", "s", SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SHOWN("WorkerCount", "u", 0),
        SHOWN("OldestWorkerUSec", "t", 0),
        SHOWN("LostEvents", "t", 0),

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
                        "SetProperties",
                        SD_BUS_ARGS("b", runtime, "a{sv}", properties),
                        SD_BUS_NO_RESULT,
                        on_set_properties,
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

static const sd_bus_vtable log_control_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_WRITABLE_PROPERTY(
                        "LogLevel",
                        "s",
                        get_log_property,
                        refuse_property,
                        0,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_WRITABLE_PROPERTY(
                        "LogTarget",
                        "s",
                        get_log_property,
                        refuse_property,
                        0,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("SyslogIdentifier", "s", get_log_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_VTABLE_END,
};

/* Telling */

static int emit_episode_started(sd_bus *connection, const Episode *episode, bool dry_run) {
        const EpisodeWorker *longest = episode_longest_run(episode);
        char name[sizeof(longest->worker.name) * 4];

        log_escape(longest->worker.name, name, sizeof(name));
        return sd_bus_emit_signal(
                        connection, BUS_PATH, BUS_INTERFACE, "EpisodeStarted", "ta{sv}", episode->id, 6,
                        "Rule", "s", engine_rule_to_string(episode->rule), "StartUSec", "t",
                        episode->start.realtime_usec, "WorkerCount", "u", episode->worker_count,
                        "OldestWorkerUSec", "t", longest->running_usec, "Name", "s", name, "DryRun", "b",
                        (int) dry_run);
}

static int emit_episode_ended(sd_bus *connection, const Episode *episode) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *signal = NULL;
        int r;

        r = sd_bus_message_new_signal(connection, &signal, BUS_PATH, BUS_INTERFACE, "EpisodeEnded");
        if (r < 0)
                return r;
        r = sd_bus_message_append(signal, "t", episode->id);
        if (r < 0)
                return r;
        r = append_episode(signal, episode);
        if (r < 0)
                return r;

        return sd_bus_send(connection, signal, NULL);
}

static int emit_sync_started(sd_bus *connection, const EngineSync *sync) {
        return sd_bus_emit_signal(
                        connection, BUS_PATH, BUS_INTERFACE, "SyncStarted", "tta{sv}", sync->id,
                        sync->episode_id, 6, "StartUSec", "t", sync->start.realtime_usec, "Rule", "s",
                        engine_rule_to_string(sync->rule), "WorkerCount", "u", sync->worker_count,
                        "OldestWorkerUSec", "t", sync->oldest_usec, "Forced", "b",
                        (int) (sync->rule == RULE_NONE), "DryRun", "b", (int) sync->dry_run);
}

static int emit_sync_finished(sd_bus *connection, const EngineSync *sync) {
        return sd_bus_emit_signal(
                        connection, BUS_PATH, BUS_INTERFACE, "SyncFinished", "tta{sv}", sync->id,
                        sync->episode_id, 5, "StartUSec", "t", sync->start.realtime_usec, "DurationUSec", "t",
                        sync->duration_usec, "Result", "s", sync_result_to_string(sync->result), "Forced",
                        "b", (int) (sync->rule == RULE_NONE), "DryRun", "b", (int) sync->dry_run);
}

static void emit_changes(sd_bus *connection, const Engine *engine, unsigned actions) {
        char *names[8]; /* sd-bus wants them writable, but does not write */
        size_t n = 0;

        if (actions & ENGINE_STATE_CHANGED) {
                names[n++] = (char *) "State";
                names[n++] = (char *) "StateSinceUSec";
        }
        if ((actions & ENGINE_START_SYNC) && !engine_sync(engine)->dry_run)
                names[n++] = (char *) "SyncCount";
        if ((actions & ENGINE_SYNC_STALLED) ||
            ((actions & ENGINE_SYNC_ENDED) && !engine_last_sync(engine)->dry_run)) {
                names[n++] = (char *) "LastSyncUSec";
                names[n++] = (char *) "LastSyncDurationUSec";
                names[n++] = (char *) "LastSyncResult";
        }
        if (actions & ENGINE_PAUSE_CHANGED)
                names[n++] = (char *) "PausedUntilUSec";
        names[n] = NULL;

        if (n > 0)
                (void) sd_bus_emit_properties_changed_strv(connection, BUS_PATH, BUS_INTERFACE, names);
}

/* A signal that can't be sent is lost: the bus is gone. Nobody can be told of that. */
void bus_tell(Bus *bus, unsigned actions) {
        sd_bus *connection = bus_connection_get(bus->connection);
        const Engine *engine = manager_engine(bus->manager);

        if (!connection || actions == 0)
                return;

        emit_changes(connection, engine, actions);

        if (actions & ENGINE_EPISODE_STARTED)
                (void) emit_episode_started(
                                connection, engine_episode(engine), manager_settings(bus->manager)->dry_run);
        if (actions & ENGINE_SYNC_ENDED)
                (void) emit_sync_finished(connection, engine_last_sync(engine));
        if (actions & ENGINE_START_SYNC)
                (void) emit_sync_started(connection, engine_sync(engine));
        if ((actions & ENGINE_EPISODE_ENDED) && engine_n_episodes(engine) > 0)
                (void) emit_episode_ended(
                                connection, engine_ended_episode(engine, engine_n_episodes(engine) - 1));

        if (actions & ENGINE_SYNC_ENDED)
                bus_reply_waiters(bus, engine_last_sync(engine));

        bus_connection_told(bus->connection);
}

void bus_tell_settings(Bus *bus, unsigned ids) {
        sd_bus *connection = bus_connection_get(bus->connection);
        char *names[_SETTING_MAX + 2];
        size_t n = 0;

        if (!connection || ids == 0)
                return;

        for (SettingId id = 0; id < _SETTING_MAX; id++)
                if (ids & (1u << id))
                        names[n++] = (char *) setting_table[id].property;
        names[n++] = (char *) "SettingOrigins";
        names[n] = NULL;

        (void) sd_bus_emit_properties_changed_strv(connection, BUS_PATH, BUS_INTERFACE, names);
        bus_connection_told(bus->connection);
}

void bus_tell_event_source(Bus *bus) {
        sd_bus *connection = bus_connection_get(bus->connection);

        if (!connection)
                return;

        (void) sd_bus_emit_properties_changed(connection, BUS_PATH, BUS_INTERFACE, "EventSource", NULL);
        bus_connection_told(bus->connection);
}

/* Connecting */

static int begin_connection(sd_bus *connection, void *userdata) {
        Bus *bus = userdata;
        int r;

        r = authority_new(connection, &bus->authority);
        if (r < 0)
                return r;

        /* The callback first: it sees a message before the vtable does. */
        r = sd_bus_add_object(connection, NULL, BUS_PATH, on_object, bus);
        if (r < 0)
                return r;
        r = sd_bus_add_object_vtable(connection, NULL, BUS_PATH, BUS_INTERFACE, bus_vtable, bus);
        if (r < 0)
                return r;
        r = sd_bus_add_object(connection, NULL, LOG_CONTROL_PATH, on_log_object, bus);
        if (r < 0)
                return r;

        return sd_bus_add_object_vtable(
                        connection, NULL, LOG_CONTROL_PATH, LOG_CONTROL_INTERFACE, log_control_vtable, bus);
}

static void end_connection(void *userdata) {
        Bus *bus = userdata;

        g_queue_clear_full(&bus->list_calls, list_call_free);

        bus->store_call = sd_bus_message_unref(bus->store_call);
        while (bus->waiters) {
                waiter_free(bus->waiters->data);
                bus->waiters = g_list_delete_link(bus->waiters, bus->waiters);
        }
        bus->n_waiters = 0;

        bus->authority = authority_free(bus->authority);
}

static void go_on(void *userdata) {
        bus_arm_list_timer(userdata);
}

int bus_new(sd_event *event, Manager *manager, Bus **ret) {
        static const BusConnectionHandlers handlers = {
                .begin = begin_connection,
                .end = end_connection,
                .go_on = go_on,
        };
        _cleanup_(bus_freep) Bus *bus = NULL;
        int r;

        bus = g_try_new0(Bus, 1);
        if (!bus)
                return -ENOMEM;
        bus->manager = manager;

        r = sd_event_add_time(event, &bus->list_timer, CLOCK_MONOTONIC, 0, 1, on_list_timer, bus);
        if (r < 0)
                return r;
        r = sd_event_source_set_priority(bus->list_timer, BUS_EVENT_PRIORITY);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(bus->list_timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(bus->list_timer, "bus-lists");

        r = bus_connection_new(event, BUS_NAME, &handlers, bus, &bus->connection);
        if (r < 0)
                return r;

        *ret = TAKE_POINTER(bus);
        return 0;
}

Bus *bus_free(Bus *bus) {
        if (!bus)
                return NULL;

        bus_connection_free(bus->connection);
        sd_event_source_disable_unref(bus->list_timer);
        g_free(bus);
        return NULL;
}
