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
#include <limits.h>
#include <systemd/sd-bus.h>

#include "authority.h"
#include "bus-connection.h"
#include "log.h"

#define BUS_NAME "org.wbwatch1"
#define BUS_PATH "/org/wbwatch1"
#define BUS_INTERFACE "org.wbwatch1"

#define LOG_CONTROL_PATH "/org/freedesktop/LogControl1"
#define LOG_CONTROL_INTERFACE "org.freedesktop.LogControl1"

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

/* Of what is shown of a text that came from elsewhere; the names of workers and mount points are shorter. */
#define TEXT_MAX_BYTES 127
#define PATH_SHOWN_MAX_BYTES 255
#define FAULT_MAX_BYTES 255

/* The properties that events can change at once. */
#define CHANGES_MAX 9

struct Bus {
        Manager *manager;
        BusConnection *connection;
        Authority *authority; /* of the connection that there is */

        GList *waiters; /* ForceSync calls without a reply yet */
        unsigned n_waiters;

        GList *filesystem_calls; /* SyncFilesystem calls without a reply yet: as many as the syncer takes */

        sd_bus_message *store_call; /* the SetProperties call whose settings are being stored */

        GQueue list_calls;
        sd_event_source *list_timer; /* on while a list may be made next */
        uint64_t list_usec;          /* not before this time */
};

typedef struct Waiter {
        sd_bus_message *call;
        uint64_t sync_id; /* any sync from this one on will do */
} Waiter;

/* A SyncFilesystem call and its sync. */
typedef struct FilesystemCall {
        sd_bus_message *call;
        uint64_t id;
} FilesystemCall;

static void filesystem_call_free(void *userdata) {
        FilesystemCall *filesystem_call = userdata;

        sd_bus_message_unref(filesystem_call->call);
        g_free(filesystem_call);
}
DEFINE_TRIVIAL_CLEANUP(FilesystemCall *, filesystem_call_free);

static Waiter *waiter_free(Waiter *waiter) {
        sd_bus_message_unref(waiter->call);
        g_free(waiter);
        return NULL;
}

/* Showing */

/* What a list of dictionaries is made of: appends element i as an a{sv}. */
typedef int (*append_element_t)(sd_bus_message *m, const void *elements, size_t i);

/* Appends an aa{sv}. */
static int append_dictionaries(sd_bus_message *m, append_element_t append, const void *elements, size_t n) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "a{sv}");
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = append(m, elements, i);
        if (r < 0)
                return r;

        return sd_bus_message_close_container(m);
}

/* Opens {sv} with a key and the variant in it; the one below closes them again. */
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

/* The same as an entry of a dictionary. */
static int append_dictionaries_entry(
                sd_bus_message *m,
                const char *key,
                append_element_t append,
                const void *elements,
                size_t n) {
        int r;

        r = open_entry(m, key, "aa{sv}");
        if (r < 0)
                return r;
        r = append_dictionaries(m, append, elements, n);
        if (r < 0)
                return r;
        return close_entry(m);
}

/* Appends an entry with a text that came from elsewhere: a name, a work, a mount point. */
static int append_text_entry(sd_bus_message *m, const char *key, const char *text) {
        char escaped[TEXT_MAX_BYTES * 4 + 1];

        log_escape(text, escaped, sizeof(escaped));
        return sd_bus_message_append(m, "{sv}", key, "s", escaped);
}

static int append_filesystem(sd_bus_message *m, const void *elements, size_t i) {
        const FilesystemSync *filesystem = (const FilesystemSync *) elements + i;
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        r = append_text_entry(m, "Mountpoint", filesystem->mountpoint);
        if (r < 0)
                return r;
        r = append_text_entry(m, "Type", filesystem->type);
        if (r < 0)
                return r;
        r = sd_bus_message_append(
                        m, "{sv}{sv}", "DurationUSec", "t", filesystem->duration_usec, "Result", "s",
                        filesystem_result_to_string(filesystem->result));
        if (r < 0)
                return r;

        return sd_bus_message_close_container(m);
}

static int append_sync_filesystems(sd_bus_message *m, const Sync *sync) {
        return append_dictionaries_entry(
                        m, "Filesystems", append_filesystem, sync->filesystems, sync->n_filesystems);
}

/* What an ended sync and one of an episode have in common. */
static int append_sync_entries(sd_bus_message *m, const Sync *sync) {
        int r;

        r = sd_bus_message_append(
                        m, "{sv}{sv}{sv}{sv}{sv}{sv}{sv}", "StartUSec", "t", sync->start.realtime_usec,
                        "DurationUSec", "t", sync->duration_usec, "Result", "s",
                        sync_result_to_string(sync->result), "Helped", "s",
                        sync_helped_to_string(sync->helped), "Method", "s",
                        sync_method_to_string(sync->method), "Requested", "b",
                        (int) (sync->rule == RULE_NONE), "DryRun", "b", (int) sync->dry_run);
        if (r < 0)
                return r;

        return append_sync_filesystems(m, sync);
}

static int append_episode_sync(sd_bus_message *m, const void *elements, size_t i) {
        const Sync *sync = (const Sync *) elements + i;
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        r = sd_bus_message_append(
                        m, "{sv}{sv}", "Id", "t", sync->id, "Rule", "s", engine_rule_to_string(sync->rule));
        if (r < 0)
                return r;
        r = append_sync_entries(m, sync);
        if (r < 0)
                return r;

        return sd_bus_message_close_container(m);
}

/* What a worker in ListWorkers and one of an episode have in common. */
static int append_worker_entries(
                sd_bus_message *m,
                const Worker *worker,
                uint64_t run_usec,
                uint64_t cpu_usec) {
        int r;

        r = append_text_entry(m, "Name", worker->name);
        if (r < 0)
                return r;

        return sd_bus_message_append(
                        m, "{sv}{sv}{sv}{sv}", "PID", "u", (uint32_t) worker->pid, "StartTime", "t",
                        worker->start_time, "RunningUSec", "t", run_usec, "CPUUSec", "t", cpu_usec);
}

static int append_episode_worker(sd_bus_message *m, const void *elements, size_t i) {
        const EpisodeWorker *noted = (const EpisodeWorker *) elements + i;
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        r = append_worker_entries(m, &noted->worker, noted->run_usec, noted->cpu_usec);
        if (r < 0)
                return r;

        return sd_bus_message_close_container(m);
}

static int append_also_spinning(sd_bus_message *m, const Episode *episode) {
        int r;

        r = open_entry(m, "AlsoSpinning", "as");
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(m, 'a', "s");
        for (size_t i = 0; r >= 0 && i < episode->n_also_spinning; i++) {
                char name[sizeof(episode->also_spinning[i]) * 4];

                log_escape(episode->also_spinning[i], name, sizeof(name));
                r = sd_bus_message_append(m, "s", name);
        }
        if (r < 0)
                return r;
        r = sd_bus_message_close_container(m);
        if (r < 0)
                return r;

        return close_entry(m);
}

static int append_episode_counts(sd_bus_message *m, const Episode *episode) {
        return sd_bus_message_append(
                        m, "{sv}{sv}{sv}{sv}", "WorkerCount", "u", episode->worker_max, "SpinningMax", "u",
                        episode->spinning_max, "WaitingMax", "u", episode->waiting_max, "SyncCount", "u",
                        episode->sync_count);
}

static int append_episode_entries(sd_bus_message *m, const Episode *episode) {
        int r;

        r = sd_bus_message_append(
                        m, "{sv}{sv}{sv}{sv}", "Id", "t", episode->id, "Rule", "s",
                        engine_rule_to_string(episode->rule), "StartUSec", "t", episode->start.realtime_usec,
                        "Outcome", "s", episode_outcome_to_string(episode->outcome));
        if (r >= 0 && episode->outcome != OUTCOME_ONGOING)
                r = sd_bus_message_append(m, "{sv}", "EndUSec", "t", episode->end.realtime_usec);
        if (r >= 0)
                r = append_text_entry(m, "Work", episode->work);
        if (r >= 0)
                r = append_episode_counts(m, episode);
        if (r >= 0)
                r = append_also_spinning(m, episode);
        if (r >= 0)
                r = append_dictionaries_entry(
                                m, "Workers", append_episode_worker, episode->workers, episode->n_workers);
        if (r >= 0)
                r = append_dictionaries_entry(
                                m, "Syncs", append_episode_sync, episode->syncs, episode->n_syncs);
        return r;
}

static int append_episode(sd_bus_message *m, const Episode *episode) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        r = append_episode_entries(m, episode);
        if (r < 0)
                return r;

        return sd_bus_message_close_container(m);
}

/* The properties. Each has a function that appends its value. */

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

static int append_status(sd_bus_message *m, const Manager *manager) {
        char status[REPORT_STATUS_MAX];

        return sd_bus_message_append(m, "s", manager_status(manager, status, sizeof(status)));
}

static int append_fault(sd_bus_message *m, const Manager *manager) {
        char fault[FAULT_MAX_BYTES * 4 + 1];

        log_escape(manager_fault(manager), fault, sizeof(fault));
        return sd_bus_message_append(m, "s", fault);
}

/* Whether the last sync, or the one under way, has filesystems. A dry run has none and changes nothing. */
static bool has_filesystem_results(const Engine *engine) {
        const Sync *sync = engine_sync(engine);

        if (!sync || sync->dry_run)
                sync = engine_last_sync(engine);

        return sync && sync->method != SYNC_METHOD_SYNC;
}

static int append_filesystem_results(sd_bus_message *m, const Manager *manager) {
        const FilesystemSync *results;
        size_t n = 0;

        results = manager_filesystem_results(manager, &n);
        if (!has_filesystem_results(manager_engine(manager)))
                n = 0;

        return append_dictionaries(m, append_filesystem, results, n);
}

static uint64_t longest_run_usec(const Engine *engine) {
        const Run *longest = engine_longest_run(engine);

        return longest ? engine_run_usec(engine, longest) : 0;
}

static uint64_t dirty_bytes(const Manager *manager) {
        uint64_t dirty, writeback;

        manager_dirty_bytes(manager, &dirty, &writeback);
        return dirty;
}

static uint64_t writeback_bytes(const Manager *manager) {
        uint64_t dirty, writeback;

        manager_dirty_bytes(manager, &dirty, &writeback);
        return writeback;
}

/* The last sync, or one of zeros. */
static const Sync *last_sync(const Engine *engine) {
        static const Sync none = {};

        return engine_last_sync(engine) ?: &none;
}

/* Defines the getter of a property, get_NAME(), by an expression that appends its value to m. */
#define DEFINE_GETTER(name, append)                                                                          \
        static int get_##name(                                                                               \
                        sd_bus *connection, const char *path, const char *interface, const char *property,   \
                        sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {                        \
                                                                                                             \
                const Bus *bus = userdata;                                                                   \
                _unused_ const Manager *manager = bus->manager;                                              \
                _unused_ const Engine *engine = manager_engine(manager);                                     \
                                                                                                             \
                return append;                                                                               \
        }                                                                                                    \
        struct macro_swallows_the_semicolon

/* The same by the value. */
#define DEFINE_VALUE_GETTER(name, type, value) DEFINE_GETTER(name, sd_bus_message_append(m, type, value))

DEFINE_VALUE_GETTER(version, "s", WBWATCH_VERSION);
DEFINE_VALUE_GETTER(state, "s", engine_state_to_string(engine_state(engine)));
DEFINE_VALUE_GETTER(state_since, "t", engine_state_since(engine).realtime_usec);
DEFINE_GETTER(status_text, append_status(m, manager));
DEFINE_GETTER(fault, append_fault(m, manager));
DEFINE_VALUE_GETTER(paused_until, "t", engine_paused_until_usec(engine));
DEFINE_VALUE_GETTER(event_source, "s", manager_listening(manager) ? "netlink" : "polling");
DEFINE_VALUE_GETTER(lost_events, "t", manager_lost_events(manager));

DEFINE_VALUE_GETTER(worker_count, "u", engine_n_spinning(engine) + engine_n_waiting(engine));
DEFINE_VALUE_GETTER(spinning_count, "u", engine_n_spinning(engine));
DEFINE_VALUE_GETTER(waiting_count, "u", engine_n_waiting(engine));
DEFINE_VALUE_GETTER(longest_run, "t", longest_run_usec(engine));
DEFINE_VALUE_GETTER(crowd_size_in_force, "d", engine_crowd_size(engine));
DEFINE_VALUE_GETTER(dirty_bytes, "t", dirty_bytes(manager));
DEFINE_VALUE_GETTER(writeback_bytes, "t", writeback_bytes(manager));

DEFINE_VALUE_GETTER(sync_count, "t", engine_sync_count(engine));
DEFINE_VALUE_GETTER(syncs_unhelpful, "u", engine_syncs_unhelpful(engine));
DEFINE_VALUE_GETTER(last_sync_start, "t", last_sync(engine)->start.realtime_usec);
DEFINE_VALUE_GETTER(last_sync_duration, "t", last_sync(engine)->duration_usec);
DEFINE_VALUE_GETTER(last_sync_result, "s", sync_result_to_string(last_sync(engine)->result));
DEFINE_GETTER(filesystem_results, append_filesystem_results(m, manager));

DEFINE_GETTER(setting_origins, append_setting_origins(m, manager_settings(manager)));

/* All settings have the same one: their table says the rest. */
static int get_setting(
                sd_bus *connection,
                const char *path,
                const char *interface,
                const char *property,
                sd_bus_message *m,
                void *userdata,
                sd_bus_error *ret_error) {

        const Bus *bus = userdata;
        SettingId id;
        int r;

        r = setting_from_property(property, &id);
        if (r < 0)
                return r;

        return append_setting(m, manager_settings(bus->manager), id);
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

static int compare_runs(const void *a, const void *b) {
        const Run *const *one = a, *const *other = b;

        if ((*one)->since_usec != (*other)->since_usec)
                return (*one)->since_usec < (*other)->since_usec ? -1 : 1;
        return (*one)->worker.pid < (*other)->worker.pid ? -1 : 1;
}

static int append_run(sd_bus_message *m, const Engine *engine, const Run *run) {
        uint64_t run_usec = engine_run_usec(engine, run), waiting_usec;
        const char state[] = { run->worker.state, '\0' };
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        r = append_worker_entries(m, &run->worker, run_usec, run->worker.cpu_usec);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "{sv}", "State", "s", state);
        if (r >= 0 && run->waiting_since_usec > 0) {
                waiting_usec = usec_subtract(run->since_usec + run_usec, run->waiting_since_usec);
                r = sd_bus_message_append(m, "{sv}", "WaitingUSec", "t", waiting_usec);
        }
        if (r < 0)
                return r;

        return sd_bus_message_close_container(m);
}

static int append_workers(sd_bus_message *m, const Engine *engine) {
        _cleanup_free_ const Run **sorted = NULL;
        const Run *runs;
        size_t n;
        int r;

        runs = engine_runs(engine, &n);
        sorted = calloc(n + 1, sizeof(*sorted));
        if (!sorted)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                sorted[i] = &runs[i];
        qsort(sorted, n, sizeof(*sorted), compare_runs);

        r = sd_bus_message_open_container(m, 'a', "a{sv}");
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = append_run(m, engine, sorted[i]);
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

static int force_sync_granted(sd_bus_message *call, void *userdata) {
        Bus *bus = userdata;
        Waiter *waiter;

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

        manager_request_sync(bus->manager);
        return 1;
}

static int on_force_sync(sd_bus_message *call, void *userdata, sd_bus_error *ret_error) {
        return bus_authorize(userdata, call, AUTHORITY_ACTION_FORCE_SYNC, force_sync_granted);
}

static void reply_sync_ended(sd_bus_message *call, const Sync *sync) {
        char duration[64];

        switch (sync->result) {
        case SYNC_STALLED:
                (void) sd_bus_reply_method_errorf(
                                call, BUS_ERROR_SYNC_FAILED, "The sync stalled: it has not ended after %s",
                                format_duration(sync->duration_usec, duration, sizeof(duration)));
                break;
        case SYNC_FAILED:
                (void) sd_bus_reply_method_errorf(
                                call, BUS_ERROR_SYNC_FAILED,
                                "The sync failed: it could not be made, or its process was killed");
                break;
        default:
                (void) sd_bus_reply_method_return(call, "t", sync->duration_usec);
        }
}

/* A dry run is nobody's: who requests a sync gets a real one. */
static void bus_reply_waiters(Bus *bus, const Sync *sync) {
        GList *next;

        for (GList *i = sync->dry_run ? NULL : bus->waiters; i; i = next) {
                Waiter *waiter = i->data;

                next = i->next;
                if (waiter->sync_id > sync->id)
                        continue;

                reply_sync_ended(waiter->call, sync);
                bus->waiters = g_list_delete_link(bus->waiters, i);
                bus->n_waiters--;
                waiter_free(waiter);
        }
}

/* The path of a SyncFilesystem call, as an error message shows it. */
static char *path_show(const char *path, char buffer[static PATH_SHOWN_MAX_BYTES + 1]) {
        log_escape(path, buffer, PATH_SHOWN_MAX_BYTES + 1);
        return buffer;
}

static int read_path(sd_bus_message *call, const char **ret_path, sd_bus_error *ret_error) {
        char shown[PATH_SHOWN_MAX_BYTES + 1];
        const char *path;
        int r;

        r = sd_bus_message_rewind(call, /* complete= */ true);
        if (r < 0)
                return r;
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

static int sync_filesystem_granted(sd_bus_message *call, void *userdata) {
        Bus *bus = userdata;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(filesystem_call_freep) FilesystemCall *filesystem_call = NULL;
        const char *path;
        int r;

        r = read_path(call, &path, &error);
        if (r < 0)
                return sd_bus_reply_method_errno(call, r, &error);

        filesystem_call = g_try_new0(FilesystemCall, 1);
        if (!filesystem_call)
                return -ENOMEM;
        filesystem_call->call = sd_bus_message_ref(call);

        r = manager_sync_filesystem(bus->manager, path, &filesystem_call->id);
        if (r == -EBUSY)
                return sd_bus_reply_method_errorf(
                                call, BUS_ERROR_BUSY,
                                "Too many syncs of single filesystems are under way or hang");
        if (r < 0)
                return sd_bus_reply_method_errorf(
                                call, BUS_ERROR_SYNC_FAILED, "The sync could not be started: %s",
                                errno_text(-r));

        bus->filesystem_calls = g_list_prepend(bus->filesystem_calls, TAKE_POINTER(filesystem_call));
        return 1;
}

static int on_sync_filesystem(sd_bus_message *call, void *userdata, sd_bus_error *ret_error) {
        const char *path;
        int r;

        r = read_path(call, &path, ret_error);
        if (r < 0)
                return r;

        return bus_authorize(userdata, call, AUTHORITY_ACTION_FORCE_SYNC, sync_filesystem_granted);
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

void bus_filesystem_synced(
                Bus *bus,
                uint64_t id,
                FilesystemResult result,
                uint64_t duration_usec,
                int error) {

        for (GList *i = bus->filesystem_calls; i; i = i->next) {
                _cleanup_(filesystem_call_freep) FilesystemCall *filesystem_call = NULL;
                int r;

                if (((const FilesystemCall *) i->data)->id != id)
                        continue;

                filesystem_call = i->data;
                bus->filesystem_calls = g_list_delete_link(bus->filesystem_calls, i);
                r = reply_filesystem_synced(filesystem_call->call, result, duration_usec, error);
                if (r < 0)
                        (void) sd_bus_reply_method_errno(filesystem_call->call, r, NULL);
                return;
        }

        /* The caller was lost with its connection. */
}

/* Checks the length of a name before an error repeats it: what names nothing of ours may be as long as a
 * message. */
static int check_name(const char *name, sd_bus_error *ret_error) {
        size_t size = strlen(name);

        if (size > NAME_MAX_BYTES)
                return sd_bus_error_setf(
                                ret_error, SD_BUS_ERROR_INVALID_ARGS,
                                "a name of %zu bytes is longer than the maximum of %d", size, NAME_MAX_BYTES);
        return 0;
}

/* The same for those of a call to Properties, which sd-bus repeats. Any other call passes. */
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

/* Reads a value of that type into a setting. -EINVAL or -ERANGE with *ret_error set when it is refused. */
static int read_value(
                sd_bus_message *m,
                SettingId id,
                const char *type,
                const char *source,
                Settings *settings,
                char **ret_error) {

        const char *text;
        uint64_t usec;
        uint32_t number; /* a boolean is as large on the wire */
        int r;

        if (streq(type, "s")) {
                r = sd_bus_message_read(m, type, &text);
                if (r < 0)
                        return r;
                return setting_table[id].type == SETTING_TYPE_GLOB
                                       ? settings_set_glob(settings, id, text, source, ret_error)
                                       : settings_set_text(settings, id, text, source, ret_error);
        }

        if (streq(type, "t")) {
                r = sd_bus_message_read(m, type, &usec);
                return r < 0 ? r : settings_set_number(settings, id, usec, source, ret_error);
        }

        r = sd_bus_message_read(m, type, &number);
        return r < 0 ? r : settings_set_number(settings, id, number, source, ret_error);
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
                [SETTING_TYPE_GLOB] = "s",    [SETTING_TYPE_USEC] = "t",   [SETTING_TYPE_UNSIGNED] = "u",
                [SETTING_TYPE_BOOLEAN] = "b", [SETTING_TYPE_METHOD] = "s",
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
        r = read_value(m, id, type, source, settings, &error);
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

        /* The caller was lost with its connection, but what it requested was done, and must stay in effect.
         * The next reload or start reads it. */
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

#define SHOWN(name, type, getter, flags) SD_BUS_PROPERTY(name, type, getter, 0, flags)
#define SETTING(name, type)                                                                                  \
        SD_BUS_WRITABLE_PROPERTY(                                                                            \
                        name, type, get_setting, refuse_property, 0,                                         \
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE | SD_BUS_VTABLE_UNPRIVILEGED)

static const sd_bus_vtable bus_vtable[] = {
        SD_BUS_VTABLE_START(0),

        SHOWN("Version", "s", get_version, SD_BUS_VTABLE_PROPERTY_CONST),
        SHOWN("State", "s", get_state, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SHOWN("StateSinceUSec", "t", get_state_since, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SHOWN("StatusText", "s", get_status_text, 0),
        SHOWN("Fault", "s", get_fault, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
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
        SHOWN("SettingOrigins", "a{ss}", get_setting_origins, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SHOWN("PausedUntilUSec", "t", get_paused_until, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SHOWN("EventSource", "s", get_event_source, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SHOWN("LostEvents", "t", get_lost_events, 0),
        SHOWN("WorkerCount", "u", get_worker_count, 0),
        SHOWN("SpinningCount", "u", get_spinning_count, 0),
        SHOWN("WaitingCount", "u", get_waiting_count, 0),
        SHOWN("LongestRunUSec", "t", get_longest_run, 0),
        SHOWN("CrowdSizeInForce", "d", get_crowd_size_in_force, 0),
        SHOWN("DirtyBytes", "t", get_dirty_bytes, 0),
        SHOWN("WritebackBytes", "t", get_writeback_bytes, 0),
        SHOWN("SyncCount", "t", get_sync_count, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SHOWN("SyncsUnhelpful", "u", get_syncs_unhelpful, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SHOWN("LastSyncUSec", "t", get_last_sync_start, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SHOWN("LastSyncDurationUSec", "t", get_last_sync_duration, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SHOWN("LastSyncResult", "s", get_last_sync_result, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SHOWN("FilesystemResults", "aa{sv}", get_filesystem_results, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),

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

/* Reporting */

/* Opens a signal and the dictionary that ends it; the one below closes and sends it. */
static int open_signal(
                sd_bus *connection,
                const char *member,
                uint64_t id,
                const uint64_t *episode_id,
                sd_bus_message **ret) {

        _cleanup_(sd_bus_message_unrefp) sd_bus_message *signal = NULL;
        int r;

        r = sd_bus_message_new_signal(connection, &signal, BUS_PATH, BUS_INTERFACE, member);
        if (r < 0)
                return r;
        r = sd_bus_message_append(signal, "t", id);
        if (r >= 0 && episode_id)
                r = sd_bus_message_append(signal, "t", *episode_id);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(signal, 'a', "{sv}");
        if (r < 0)
                return r;

        *ret = TAKE_POINTER(signal);
        return 0;
}

static int send_signal(sd_bus *connection, sd_bus_message *signal) {
        int r;

        r = sd_bus_message_close_container(signal);
        if (r < 0)
                return r;

        return sd_bus_send(connection, signal, NULL);
}

static int emit_episode_started(sd_bus *connection, const Episode *episode) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *signal = NULL;
        const EpisodeWorker *longest = episode->workers; /* zero where none was noted */
        int r;

        r = open_signal(connection, "EpisodeStarted", episode->id, NULL, &signal);
        if (r < 0)
                return r;
        r = sd_bus_message_append(
                        signal, "{sv}{sv}{sv}{sv}{sv}", "Rule", "s", engine_rule_to_string(episode->rule),
                        "StartUSec", "t", episode->start.realtime_usec, "WorkerCount", "u",
                        episode->worker_max, "LongestRunUSec", "t", longest->run_usec, "DryRun", "b",
                        (int) episode->dry_run);
        if (r >= 0)
                r = append_text_entry(signal, "Work", episode->work);
        if (r >= 0)
                r = append_text_entry(signal, "Name", longest->worker.name);
        if (r < 0)
                return r;

        return send_signal(connection, signal);
}

static int emit_episode_ended(sd_bus *connection, const Episode *episode) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *signal = NULL;
        int r;

        r = open_signal(connection, "EpisodeEnded", episode->id, NULL, &signal);
        if (r < 0)
                return r;
        r = append_episode_entries(signal, episode);
        if (r < 0)
                return r;

        return send_signal(connection, signal);
}

static int emit_sync_started(sd_bus *connection, const Sync *sync) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *signal = NULL;
        int r;

        r = open_signal(connection, "SyncStarted", sync->id, &sync->episode_id, &signal);
        if (r < 0)
                return r;
        r = sd_bus_message_append(
                        signal, "{sv}{sv}{sv}{sv}{sv}{sv}{sv}", "StartUSec", "t", sync->start.realtime_usec,
                        "Rule", "s", engine_rule_to_string(sync->rule), "WorkerCount", "u",
                        sync->worker_count, "LongestRunUSec", "t", sync->longest_run_usec, "Method", "s",
                        sync_method_to_string(sync->method), "Requested", "b",
                        (int) (sync->rule == RULE_NONE), "DryRun", "b", (int) sync->dry_run);
        if (r < 0)
                return r;

        return send_signal(connection, signal);
}

static int emit_sync_finished(sd_bus *connection, const Sync *sync) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *signal = NULL;
        int r;

        r = open_signal(connection, "SyncFinished", sync->id, &sync->episode_id, &signal);
        if (r < 0)
                return r;
        r = append_sync_entries(signal, sync);
        if (r < 0)
                return r;

        return send_signal(connection, signal);
}

/* The properties that an event changes. */
static const char *const *changed_properties(const EngineEvent *event) {
        static const char *const none[] = { NULL },
                                 *const started[] = { "SyncCount", "FilesystemResults", NULL },
                                 *const state[] = { "State", "StateSinceUSec", NULL },
                                 *const last_sync[] = { "LastSyncUSec", "LastSyncDurationUSec",
                                                        "LastSyncResult", NULL },
                                 *const pause[] = { "PausedUntilUSec", NULL },
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

/* One signal with all names, each once. */
static void emit_changes(sd_bus *connection, const EngineEvents *events) {
        char *names[CHANGES_MAX + 1]; /* sd-bus wants them writable, but does not write */
        size_t n = 0;

        for (size_t i = 0; i < events->n; i++)
                for (const char *const *name = changed_properties(&events->events[i]); *name; name++)
                        if (n < CHANGES_MAX && !names_contain(names, n, *name))
                                names[n++] = (char *) *name;
        names[n] = NULL;

        if (n > 0)
                (void) sd_bus_emit_properties_changed_strv(connection, BUS_PATH, BUS_INTERFACE, names);
}

static void emit_event(sd_bus *connection, const EngineEvent *event, const Episode *episode) {
        switch (event->type) {
        case EVENT_EPISODE_STARTED:
                (void) emit_episode_started(connection, episode);
                break;
        case EVENT_EPISODE_ENDED:
                (void) emit_episode_ended(connection, episode);
                break;
        case EVENT_SYNC_STARTED:
                (void) emit_sync_started(connection, &event->sync);
                break;
        case EVENT_SYNC_ENDED:
                (void) emit_sync_finished(connection, &event->sync);
                break;
        default:
                break;
        }
}

/* A signal that can't be sent is lost: the bus is gone, and with it everyone who could be informed. */
void bus_report(Bus *bus, const EngineEvents *events) {
        sd_bus *connection = bus_connection_get(bus->connection);

        if (!connection || events->n == 0)
                return;

        emit_changes(connection, events);
        for (size_t i = 0; i < events->n; i++)
                emit_event(connection, &events->events[i], &events->episode);
        for (size_t i = 0; i < events->n; i++)
                if (events->events[i].type == EVENT_SYNC_ENDED)
                        bus_reply_waiters(bus, &events->events[i].sync);

        bus_connection_sent(bus->connection);
}

void bus_report_settings(Bus *bus, unsigned ids) {
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
        bus_connection_sent(bus->connection);
}

static void bus_report_property(Bus *bus, const char *property) {
        sd_bus *connection = bus_connection_get(bus->connection);

        if (!connection)
                return;

        (void) sd_bus_emit_properties_changed(connection, BUS_PATH, BUS_INTERFACE, property, NULL);
        bus_connection_sent(bus->connection);
}

void bus_report_event_source(Bus *bus) {
        bus_report_property(bus, "EventSource");
}

void bus_report_fault(Bus *bus) {
        bus_report_property(bus, "Fault");
}

void bus_report_filesystems(Bus *bus) {
        if (has_filesystem_results(manager_engine(bus->manager)))
                bus_report_property(bus, "FilesystemResults");
}

/* Connecting */

/* sd-bus would open a file for this call, and close the connection where that file is empty. */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        if (!sd_bus_message_is_method_call(m, "org.freedesktop.DBus.Peer", "GetMachineId"))
                return 0;

        return sd_bus_error_set(
                        ret_error, SD_BUS_ERROR_NOT_SUPPORTED,
                        "GetMachineId would read a file; the bus itself answers it");
}

static int begin_connection(sd_bus *connection, void *userdata) {
        Bus *bus = userdata;
        int r;

        r = authority_new(connection, &bus->authority);
        if (r < 0)
                return r;

        r = sd_bus_add_filter(connection, NULL, on_message, bus);
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

        g_list_free_full(bus->filesystem_calls, filesystem_call_free);
        bus->filesystem_calls = NULL;

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
