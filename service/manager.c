/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The manager: see manager.h. Data flows one way: a scan or an event goes to the engine, and its events are
 * executed: syncs first, reports afterwards. */

#include "manager.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/sysinfo.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "bus-reader.h"
#include "bus.h"
#include "connector.h"
#include "duration.h"
#include "flush-priority.h"
#include "glob.h"
#include "kworkers.h"
#include "log.h"
#include "messages.h"
#include "notify.h"
#include "pressure.h"
#include "report.h"
#include "sockets.h"
#include "storage.h"
#include "syncer.h"

/* An idle scan may be late by 1/10 of its interval, to share a wakeup with other timers. */
#define IDLE_ACCURACY_PART 10
#define EXACT_ACCURACY_USEC 1

#define CPUS_INTERVAL_USEC (1 * USEC_PER_MINUTE)

/* CPU pressure causes a scan no sooner than this after the last one, so that a machine that is always busy
 * does not cost more than a scan in 2 s, nor more than 1/200 of a CPU however long scans take. */
#define EARLY_SCAN_USEC (2 * USEC_PER_SEC)
#define EARLY_SCAN_COST_FACTOR 200

/* Simulated scans of the self-test, one per second: enough for a threshold of 5 s and the mean over 5 s. */
#define SELF_TEST_SCANS 7

/* Before everything else in the event loop but the replies of the helpers that sync (syncer-pool.c). */
#define TIMER_PRIORITY (SD_EVENT_PRIORITY_IMPORTANT - 10)

/* After scans. */
#define REPORT_PRIORITY (SD_EVENT_PRIORITY_IMPORTANT - 5)

/* What the last scan did not see. */
typedef enum Fault {
        FAULT_NONE,
        FAULT_INCOMPLETE,        /* a part */
        FAULT_NO_KERNEL_THREADS, /* everything */
} Fault;

struct Manager {
        const ManagerOptions *options;
        Settings settings;
        Settings stored; /* settings being stored, to be applied once they are on disk */
        unsigned stored_ids;
        unsigned reset_ids; /* settings being reset */

        sd_event *event;
        sd_event_source *timer;
        Engine *engine;
        KworkerReader *reader;
        Syncer *syncer;
        Storage *storage;
        Connector *connector;
        Sockets *sockets;
        Inhibitors *inhibitors;
        Pressure *pressure; /* NULL where the kernel does not report it */
        Bus *bus;           /* on the bus and on the sockets; NULL before READY, and if it is on none */

        const char *polling_reason; /* why thread creation events are not received; NULL while they are */
        Fault fault_kind;
        int fault_error;     /* negative errno, which the text explains */
        char fault[256];     /* why the last scan did not see all it should; "" when it did */
        uint64_t start_usec; /* CLOCK_REALTIME */
        uint64_t lost_events;
        uint64_t watchdog_usec; /* the service manager's watchdog timeout; 0: none */
        uint64_t last_scan_usec;
        uint64_t rest_end_usec;   /* no scan before this time */
        uint64_t early_scan_usec; /* a scan due to CPU pressure; USEC_INFINITY: none */
        uint64_t cpus_usec;       /* when the online CPUs were counted last */
        bool reload_pending;      /* the storage was busy when a reload was requested */
        bool self_testing;        /* the self-test has not ended yet */
        char status[REPORT_STATUS_MAX];
        sd_event_source *report_source;
        bool report_pending; /* events must be reported once helpers have all filesystems */
        EngineEvents events; /* of the last input of the engine */
};

const Engine *manager_engine(const Manager *manager) {
        return manager->engine;
}

const Settings *manager_settings(const Manager *manager) {
        return &manager->settings;
}

uint64_t manager_start_usec(const Manager *manager) {
        return manager->start_usec;
}

bool manager_listening(const Manager *manager) {
        return !manager->polling_reason;
}

const Inhibitors *manager_inhibitors(const Manager *manager) {
        return manager->inhibitors;
}

uint64_t manager_lost_events(const Manager *manager) {
        return manager->lost_events;
}

void manager_dirty_bytes(const Manager *manager, uint64_t *ret_dirty, uint64_t *ret_writeback) {
        if (syncer_dirty_bytes(manager->syncer, ret_dirty, ret_writeback) < 0)
                *ret_dirty = *ret_writeback = 0;
}

/* Reporting */

const char *manager_fault(const Manager *manager) {
        return manager->fault;
}

const char *manager_status(const Manager *manager, char *buffer, size_t size) {
        ReportContext context = {
                .engine = manager->engine,
                .settings = &manager->settings,
                .fault = manager->fault,
                .polling_reason = manager->polling_reason,
                .now_usec = usec_now(CLOCK_MONOTONIC),
        };

        return report_status(&context, buffer, size);
}

static void manager_notify_status(Manager *manager) {
        char status[REPORT_STATUS_MAX];

        if (manager->self_testing)
                return;

        (void) manager_status(manager, status, sizeof(status));
        if (streq(status, manager->status))
                return;

        if (notify_send("STATUS=%s", status) >= 0)
                strcpy(manager->status, status);
}

/* Executing */

/* When CPU pressure may cause a scan. */
static uint64_t manager_early_scan_usec(const Manager *manager) {
        uint64_t cost_usec = usec_subtract(manager->rest_end_usec, manager->last_scan_usec) / 2;

        return manager->last_scan_usec + MAX(EARLY_SCAN_USEC, EARLY_SCAN_COST_FACTOR * cost_usec);
}

static void manager_set_timer(Manager *manager) {
        uint64_t wake_usec;
        bool exact;
        int r;

        wake_usec = engine_wake_usec(manager->engine, &exact);

        /* Other scans are due sooner while workers run: no event then wakes the daemon. */
        pressure_set_enabled(manager->pressure, wake_usec > manager_early_scan_usec(manager));
        if (manager->early_scan_usec < wake_usec) {
                wake_usec = manager->early_scan_usec;
                exact = true;
        }

        /* Only finished scans feed the watchdog, so they must be frequent enough for it. */
        if (manager->watchdog_usec > 0)
                wake_usec = MIN(wake_usec, manager->last_scan_usec + manager->watchdog_usec / 2);
        wake_usec = MAX(wake_usec, manager->rest_end_usec);

        r = sd_event_source_set_time(manager->timer, wake_usec);
        if (r >= 0)
                r = sd_event_source_set_time_accuracy(
                                manager->timer,
                                exact ? EXACT_ACCURACY_USEC
                                      : MAX(usec_subtract(wake_usec, manager->last_scan_usec) /
                                                            IDLE_ACCURACY_PART,
                                            (uint64_t) EXACT_ACCURACY_USEC));
        if (r >= 0)
                r = sd_event_source_set_enabled(manager->timer, SD_EVENT_ONESHOT);
        if (r < 0) {
                /* Without its timer the daemon would never scan again: exit, to be restarted. */
                log_error("Can't set the timer: %s", errno_text(-r));
                (void) sd_event_exit(manager->event, r);
        }
}

/* Starts the sync that the engine decided on. Nothing before it may block. */
static int manager_start_sync(Manager *manager, const EngineEvent *event) {
        const Settings *settings = &manager->settings;

        if (event->type == EVENT_SYNC_STARTED && event->sync.method != SYNC_METHOD_SYNC)
                return syncer_sync_filesystems(manager->syncer, settings->filesystem_timeout_usec);

        return syncer_sync_everything(manager->syncer, settings->sync_timeout_usec);
}

static Evidence manager_read_evidence(Manager *manager) {
        Evidence evidence = {};

        syncer_read_evidence(manager->syncer, &evidence);

        /* In a container, which sees the cgroups below its own one only. */
        if (!streq(manager->options->proc_root, "/proc"))
                evidence_unset(&evidence, EVIDENCE_DYING_CGROUPS);
        return evidence;
}

/* Reads the evidence, which may wait in the kernel, and reports the events. */
static void manager_report(Manager *manager) {
        EngineEvents *events = &manager->events;
        const EngineEvent *still_paused;

        manager->report_pending = false;
        if (engine_events_want_evidence(events)) {
                Evidence evidence = manager_read_evidence(manager);

                engine_note_evidence(manager->engine, &evidence, events);
        }
        report_events(events);
        still_paused = engine_events_find(events, EVENT_STILL_PAUSED);
        if (still_paused && still_paused->count > 0)
                inhibitors_log_held(manager->inhibitors);
        if (manager->bus)
                bus_report(manager->bus, events);
}

static int on_report(sd_event_source *source, void *userdata) {
        Manager *manager = userdata;

        if (manager->report_pending)
                manager_report(manager);
        return 0;
}

/* Before each input of the engine: reports what is pending, before that input changes the engine. Returns the
 * empty list for its events. */
static EngineEvents *manager_begin_input(Manager *manager) {
        if (manager->report_pending)
                manager_report(manager);

        manager->events.n = 0;
        return &manager->events;
}

/* Starts syncs first, then reports all events; while a sync has filesystems that no helper has yet, only
 * later. Returns true if a sync ended at once: the events are then those that follow from its end. Only the
 * start of a sync is left out in a dry run; sync-policy.c records its syncs apart from real ones. */
static bool manager_execute_once(Manager *manager) {
        EngineEvents *events = &manager->events;
        bool is_dry_run = false;
        int r = 0;

        for (size_t i = 0; i < events->n; i++) {
                const EngineEvent *event = &events->events[i];

                if (event->type != EVENT_SYNC_STARTED && event->type != EVENT_SYNC_EVERYTHING)
                        continue;
                is_dry_run = event->sync.dry_run;
                if (!is_dry_run)
                        r = manager_start_sync(manager, event);
        }

        if (!is_dry_run && r >= 0) {
                manager->report_pending =
                                engine_events_want_evidence(events) && syncer_is_handing_out(manager->syncer);
                if (!manager->report_pending)
                        manager_report(manager);
                return false;
        }

        manager_report(manager);
        if (r < 0)
                log_error("Can't start a sync: %s", errno_text(-r));
        engine_sync_ended(
                        manager->engine, moment_now(), is_dry_run ? SYNC_PENDING : SYNC_FAILED,
                        manager_begin_input(manager));
        return true;
}

/* Executes the events of an input of the engine. */
static void manager_execute(Manager *manager) {
        static const FlushWorkers none = {};

        while (manager_execute_once(manager))
                ;

        if (!engine_episode(manager->engine))
                syncer_set_flush_workers(manager->syncer, &none);
        manager_notify_status(manager);
        manager_set_timer(manager);
}

static void manager_clear_fault(Manager *manager) {
        if (manager->fault_kind == FAULT_NONE)
                return;

        manager->fault_kind = FAULT_NONE;
        manager->fault[0] = '\0';
        log_notice("Scans see all kernel threads again");
        if (manager->bus)
                bus_report_fault(manager->bus);
}

/* Reports that a scan did not see all it should, once until the fault or its reason changes. */
static void manager_set_fault(Manager *manager, Fault fault, int error) {
        bool incomplete = fault == FAULT_INCOMPLETE;

        /* Finding the reason costs more than a scan. */
        if (manager->fault_kind == fault && manager->fault_error == error)
                return;

        manager->fault_kind = fault;
        manager->fault_error = error;
        (void) snprintf(manager->fault, sizeof(manager->fault), "%s: %s",
                        incomplete ? "a scan could not read everything" : "cannot see kernel threads",
                        kworker_reader_fault_reason(manager->reader));
        log_full(LOG_ERR, incomplete ? MESSAGE_SCAN_INCOMPLETE : MESSAGE_NO_KERNEL_THREADS, NULL, "Fault: %s",
                 manager->fault);
        if (manager->bus)
                bus_report_fault(manager->bus);
}

/* The number of online CPUs rarely changes. */
static void manager_count_cpus(Manager *manager, uint64_t now_usec) {
        if (manager->cpus_usec > 0 && now_usec < manager->cpus_usec + CPUS_INTERVAL_USEC)
                return;

        manager->cpus_usec = now_usec;
        engine_set_cpus(manager->engine, (unsigned) get_nprocs());
}

/* Scans, and passes the result to the engine; scans again if a sync must be confirmed. */
static int manager_scan_workers(Manager *manager, Moment now, KworkerScan *scan, EngineEvents *events) {
        bool want_others = engine_episode(manager->engine);
        int r;

        r = kworker_reader_scan(manager->reader, manager->settings.glob, want_others, scan);
        if (r < 0 || !scan->found_kthread) {
                engine_scan_failed(manager->engine, now, events);
                return r < 0 ? r : -ENODATA;
        }

        engine_scan(manager->engine, now, scan->workers, scan->n_workers, events);
        engine_note_others(manager->engine, scan->others, scan->n_others);

        if (engine_events_find(events, EVENT_CONFIRM)) {
                Moment later = moment_now();

                r = kworker_reader_scan(
                                manager->reader, manager->settings.glob, /* want_others= */ false, scan);
                if (r >= 0)
                        engine_confirm(manager->engine, later, scan->workers, scan->n_workers, events);
        }

        return 0;
}

static void manager_scan(Manager *manager) {
        EngineEvents *events = manager_begin_input(manager);
        Moment now = moment_now();
        uint64_t end_usec;
        KworkerScan scan = {};
        int r;

        r = manager_scan_workers(manager, now, &scan, events);

        /* Only the replies of the helpers that sync take precedence over scans. If a scan takes longer than
         * the interval (tens of thousands of workers), the loop would starve everything else. */
        end_usec = usec_now(CLOCK_MONOTONIC);
        manager->rest_end_usec = end_usec + (end_usec - now.monotonic_usec);
        engine_set_scan_cost(manager->engine, manager->rest_end_usec - now.monotonic_usec);

        manager->last_scan_usec = now.monotonic_usec;
        manager->early_scan_usec = USEC_INFINITY;
        manager_execute(manager);
        /* A scan that did not see all must not end anybody's priority. */
        if (engine_episode(manager->engine) && r >= 0 && scan.trouble >= 0)
                syncer_set_flush_workers(manager->syncer, &scan.flush_workers);

        if (r < 0)
                manager_set_fault(manager, FAULT_NO_KERNEL_THREADS, scan.trouble < 0 ? scan.trouble : r);
        else if (scan.trouble < 0)
                manager_set_fault(manager, FAULT_INCOMPLETE, scan.trouble);
        else
                manager_clear_fault(manager);

        /* Helpers must exist before they are needed. */
        syncer_ensure_helpers(manager->syncer);
        if (engine_state(manager->engine) == ENGINE_IDLE)
                manager_count_cpus(manager, now.monotonic_usec);

        log_report_dropped();
        if (manager->watchdog_usec > 0)
                (void) notify_send("WATCHDOG=1");
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        manager_scan(userdata);
        return 0;
}

/* Tasks wait for a CPU: workers may have begun to spin. The kernel reuses idle threads for them, which causes
 * no thread creation event. */
static void on_pressure(void *userdata) {
        Manager *manager = userdata;
        uint64_t early_usec = manager_early_scan_usec(manager);

        log_debug("Scanning early: tasks wait for a CPU");
        if (usec_now(CLOCK_MONOTONIC) >= early_usec)
                manager_scan(manager);
        else {
                manager->early_scan_usec = early_usec;
                manager_set_timer(manager);
        }
}

/* The trigger may have come with the self-test. */
static void manager_watch_pressure(Manager *manager) {
        int r;

        r =
                        pressure_new(manager->event, syncer_take_cpu_trigger(manager->syncer), on_pressure,
                                     manager, &manager->pressure);
        if (r < 0)
                log_debug("CPU pressure causes no scans: %s", errno_text(-r));
        else
                manager_set_timer(manager);
}

/* Simulates a stall from its first worker to its end. */
static void manager_simulate_stall(Manager *manager, Moment now) {
        static const Worker worker = { .pid = 1, .state = 'R', .name = "kworker/0:0+self-test" };
        EngineEvents *events;
        Worker running = worker;

        for (unsigned i = 0; i < SELF_TEST_SCANS; i++) {
                now.monotonic_usec += USEC_PER_SEC;
                running.cpu_usec += USEC_PER_SEC;
                events = manager_begin_input(manager);
                engine_scan(manager->engine, now, &running, 1, events);
                engine_note_others(manager->engine, &running, 1);
                engine_confirm(manager->engine, now, &running, 1, events);
                manager_execute(manager);
        }
        for (unsigned i = 0; i < SELF_TEST_SCANS; i++) {
                now.monotonic_usec += USEC_PER_SEC;
                events = manager_begin_input(manager);
                engine_scan(manager->engine, now, NULL, 0, events);
                manager_execute(manager);
        }
}

/* The self-test: runs once through the action path, from a stuck worker to the end of its sync, with an
 * engine of its own and the log muted, and has the helpers do everything but the system calls that sync. If a
 * sandbox kills a process for this, it does so now and not during a stall. The code and data that a stall
 * needs have then been read from disk, and stay in memory. */
static int manager_self_test(Manager *manager) {
        Engine *engine = manager->engine;
        Moment now = moment_now();
        Settings settings;
        int r;

        manager->self_testing = true;

        settings_init(&settings);
        settings.dry_run = true;
        settings.threshold_usec = 5 * USEC_PER_SEC;
        manager->engine = NULL;
        r = engine_new(&settings, (unsigned) get_nprocs(), now, &manager->engine);
        if (r >= 0) {
                log_set_muted(true);

                /* The first call opens files of the C library. */
                log_error("%s", errno_text(EIO));

                manager_simulate_stall(manager, now);

                log_set_muted(false);
                engine_free(manager->engine);
        }
        manager->engine = engine;
        if (r < 0)
                return r;

        return syncer_self_test(manager->syncer);
}

/* Without sockets the daemon does its work all the same. */
static int manager_open_sockets(Manager *manager) {
        _cleanup_free_ char *error = NULL;
        int r;

        if (!manager->options->socket_folder)
                return 0;
        if (sockets_open(manager->options->socket_folder, &manager->sockets, &error) < 0) {
                log_warning("Not reachable over sockets: %s", error ?: errno_text(ENOMEM));
                return 0;
        }

        r = bus_add(manager->event, manager, &manager->sockets->public, &manager->bus);
        return r < 0 ? r : bus_add(manager->event, manager, &manager->sockets->private, &manager->bus);
}

static void on_self_tested(int r, void *userdata) {
        Manager *manager = userdata;
        Evidence rehearsal = {};

        manager->self_testing = false;
        if (r < 0) {
                log_error("The self-test failed, a helper process was killed: %s", errno_text(-r));
                (void) sd_event_exit(manager->event, r);
                return;
        }

        log_debug("The self-test passed");

        /* The files may have come with it. What they need of the stack, and of the kernel's memory, is there
         * from now on. */
        syncer_read_evidence(manager->syncer, &rehearsal);
        manager_watch_pressure(manager);

        /* Not earlier: a requested sync could not be started during the self-test. */
        r = manager_open_sockets(manager);
        if (r >= 0 && manager->options->use_bus)
                r = bus_add(manager->event, manager, NULL, &manager->bus);
        if (r < 0) {
                log_error("Can't set up the bus: %s", errno_text(-r));
                (void) sd_event_exit(manager->event, r);
                return;
        }

        notify_ready(manager->event);
}

/* Logs the latency, for measurements. */
static void log_filesystems_entered(const Manager *manager) {
        const Sync *sync = engine_sync(manager->engine);
        uint64_t first_usec, last_usec;

        syncer_entered(manager->syncer, &first_usec, &last_usec);
        if (sync && first_usec > 0)
                log_debug("The first syncfs(2) was entered %" PRIu64 "us after sync %" PRIu64
                          " was decided, the last one %" PRIu64 "us after it",
                          usec_subtract(first_usec, sync->start.monotonic_usec), sync->id,
                          usec_subtract(last_usec, sync->start.monotonic_usec));
}

static void on_filesystems_synced(
                bool has_any,
                SyncResult result,
                const FilesystemSync *filesystems,
                size_t n_filesystems,
                void *userdata) {

        Manager *manager = userdata;

        log_filesystems_entered(manager);
        engine_filesystems_synced(
                        manager->engine, moment_now(), has_any, result, filesystems, n_filesystems,
                        manager_begin_input(manager));
        manager_execute(manager);
}

static void on_filesystem_synced(
                uint64_t id,
                FilesystemResult result,
                uint64_t duration_usec,
                int error,
                void *userdata) {

        Manager *manager = userdata;

        if (manager->bus)
                bus_filesystem_synced(manager->bus, id, result, duration_usec, error);
}

static void on_everything_synced(
                SyncResult result,
                uint64_t entered_usec,
                uint64_t duration_usec,
                void *userdata) {

        Manager *manager = userdata;
        const Sync *sync = engine_sync(manager->engine);

        if (sync && result == SYNC_OK)
                log_debug("sync(2) was entered %" PRIu64 "us after sync %" PRIu64
                          " was decided, and took %" PRIu64 "us",
                          usec_subtract(entered_usec, sync->start.monotonic_usec), sync->id, duration_usec);

        engine_sync_ended(manager->engine, moment_now(), result, manager_begin_input(manager));
        manager_execute(manager);
}

static void on_filesystems_changed(void *userdata) {
        Manager *manager = userdata;

        if (manager->bus)
                bus_report_filesystems(manager->bus);
        if (manager->report_pending && !syncer_is_handing_out(manager->syncer))
                (void) sd_event_source_set_enabled(manager->report_source, SD_EVENT_ONESHOT);
}

const FilesystemSync *manager_filesystem_results(const Manager *manager, size_t *ret_n) {
        return syncer_results(manager->syncer, ret_n);
}

static void on_connector_state(bool listening, const char *reason, void *userdata) {
        Manager *manager = userdata;
        bool was_listening = manager_listening(manager);

        manager->polling_reason = listening ? NULL : reason;
        if (listening)
                log_info("Receiving thread creation events");
        else {
                char interval[64];

                log_notice("Not receiving thread creation events (%s); scanning every %s instead", reason,
                           format_duration(manager->settings.poll_interval_usec, interval, sizeof(interval)));
        }

        engine_set_polling(manager->engine, !listening);
        if (listening != was_listening && manager->bus)
                bus_report_event_source(manager->bus);
        manager_notify_status(manager);
        manager_set_timer(manager);
}

static void on_connector_event(unsigned n_created, bool lost, void *userdata) {
        Manager *manager = userdata;

        if (lost) {
                manager->lost_events++;
                log_debug("Thread creation events were lost, scanning instead");
        }

        engine_thread_created(manager->engine, moment_now());
        manager_set_timer(manager);
}

/* Requests */

void manager_pause(Manager *manager, uint64_t usec) {
        engine_pause(manager->engine, moment_now(), usec, manager_begin_input(manager));
        manager_execute(manager);
}

void manager_resume(Manager *manager) {
        engine_resume(manager->engine, moment_now(), manager_begin_input(manager));
        manager_execute(manager);
}

static void manager_update_inhibitors(Manager *manager) {
        engine_set_inhibitors(
                        manager->engine, moment_now(), (uint32_t) inhibitors_count(manager->inhibitors),
                        manager_begin_input(manager));
        manager_execute(manager);
}

static void on_inhibitor_released(void *userdata) {
        manager_update_inhibitors(userdata);
}

int manager_inhibit(Manager *manager, const Inhibitor *inhibitor, int *ret_fd) {
        int r;

        r = inhibitors_add(manager->inhibitors, inhibitor, ret_fd);
        if (r < 0)
                return r;

        manager_update_inhibitors(manager);
        return 0;
}

void manager_request_sync(Manager *manager) {
        engine_request_sync(manager->engine, moment_now(), manager_begin_input(manager));
        manager_execute(manager);
}

int manager_sync_filesystem(Manager *manager, const char *path, uint64_t *ret_id) {
        return syncer_sync_filesystem(
                        manager->syncer, path, manager->settings.filesystem_timeout_usec, ret_id);
}

/* Settings */

void manager_apply_settings(Manager *manager, const Settings *settings) {
        unsigned ids = settings_compare(&manager->settings, settings);

        if (ids == 0)
                return;

        for (SettingId id = 0; id < _SETTING_MAX; id++)
                if (ids & (1u << id)) {
                        char value[SETTINGS_GLOB_MAX + 1];

                        log_info("%s=%s (%s)", setting_table[id].key,
                                 settings_format(settings, id, value, sizeof(value)),
                                 settings_origin(settings, id));
                }

        if (ids & (1u << SETTING_GLOB) && settings->origins[SETTING_GLOB] != ORIGIN_FILE &&
            !glob_can_match_kworker(settings->glob))
                log_warning("Glob=%s: " GLOB_USELESS, settings->glob); /* files have their own warning */

        manager->settings = *settings;
        engine_set_settings(manager->engine, moment_now(), settings, manager_begin_input(manager));
        if (manager->bus)
                bus_report_settings(manager->bus, ids);

        /* A new glob must not wait for the next idle scan. */
        engine_thread_created(manager->engine, moment_now());
        manager_execute(manager);
}

int manager_store_settings(Manager *manager, const Settings *settings, unsigned ids) {
        int r;

        r = storage_store(manager->storage, settings, ids);
        if (r < 0)
                return r;

        manager->stored = *settings;
        manager->stored_ids = ids;
        return 0;
}

/* Applies some settings (a mask of 1 << SettingId) over those in force now. */
static void manager_apply_ids(Manager *manager, const Settings *some, unsigned ids) {
        Settings settings = manager->settings;

        for (SettingId id = 0; id < _SETTING_MAX; id++)
                if (ids & (1u << id))
                        settings_copy(&settings, some, id);

        manager_apply_settings(manager, &settings);
}

/* Those of the settings that were set over the bus. */
static unsigned settings_from_bus(const Settings *settings, unsigned ids) {
        for (SettingId id = 0; id < _SETTING_MAX; id++)
                if (settings->origins[id] != ORIGIN_BUS_RUNTIME &&
                    settings->origins[id] != ORIGIN_BUS_PERMANENT)
                        ids &= ~(1u << id);
        return ids;
}

int manager_reset_settings(Manager *manager, bool is_runtime, unsigned ids) {
        int r;

        /* Permanent settings may be hidden by others. */
        if (is_runtime && settings_from_bus(&manager->settings, ids) == 0)
                return 0;

        r = storage_reset(manager->storage, is_runtime ? 0 : ids);
        if (r < 0)
                return r;

        manager->reset_ids = ids;
        return 1;
}

/* Before READY the end of the self-test sends it: a service that has not passed is not started. */
static void manager_notify_reloaded(Manager *manager) {
        if (!manager->self_testing)
                notify_ready(manager->event);
}

static void manager_reload(Manager *manager) {
        int r;

        (void) notify_send("RELOADING=1\nMONOTONIC_USEC=%" PRIu64, usec_now(CLOCK_MONOTONIC));

        r = storage_load(manager->storage);
        manager->reload_pending = r == -EBUSY;
        if (r < 0 && r != -EBUSY) {
                log_error("Can't reload, keeping the settings in force: %s", errno_text(-r));
                manager_notify_reloaded(manager);
        }
}

static void on_loaded(int r, const Settings *settings, void *userdata) {
        Manager *manager = userdata;

        if (r < 0)
                log_error("Reloading failed, keeping the settings in force: %s", errno_text(-r));
        else {
                manager_apply_settings(manager, settings);
                log_notice("Reloaded");
        }
        manager_notify_reloaded(manager);

        if (manager->reload_pending)
                manager_reload(manager);
}

static void on_stored(int r, void *userdata) {
        Manager *manager = userdata;

        if (r >= 0)
                manager_apply_ids(manager, &manager->stored, manager->stored_ids);
        if (manager->bus)
                bus_settings_stored(manager->bus, r);
        if (manager->reload_pending)
                manager_reload(manager);
}

static void on_reset(int r, const Settings *configuration, void *userdata) {
        Manager *manager = userdata;

        if (r >= 0) {
                /* Those in force now: others may have been set meanwhile. */
                unsigned ids = settings_from_bus(&manager->settings, manager->reset_ids);

                manager_apply_ids(manager, configuration, ids);
        }
        if (manager->bus)
                bus_settings_stored(manager->bus, r);
        if (manager->reload_pending)
                manager_reload(manager);
}

static int on_sighup(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        manager_reload(userdata);
        return 0;
}

static int on_sigterm(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Manager *manager = userdata;

        (void) manager_begin_input(manager);
        log_info("Received signal %u, exiting", info->ssi_signo);
        (void) notify_send("STOPPING=1");
        return sd_event_exit(manager->event, 0);
}

static int manager_block_signals(Manager *manager) {
        static const struct {
                int signal;
                sd_event_signal_handler_t handler;
        } table[] = {
                { SIGTERM, on_sigterm },
                { SIGINT, on_sigterm },
                { SIGHUP, on_sighup },
        };
        sigset_t mask;

        if (sigemptyset(&mask) < 0)
                return -errno;
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (sigaddset(&mask, table[i].signal) < 0)
                        return -errno;
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                int r = sd_event_add_signal(manager->event, NULL, table[i].signal, table[i].handler, manager);

                if (r < 0)
                        return r;
        }

        return 0;
}

static int manager_start_syncer(Manager *manager) {
        static const SyncerHandlers handlers = {
                .filesystems_synced = on_filesystems_synced,
                .filesystem_synced = on_filesystem_synced,
                .everything_synced = on_everything_synced,
                .filesystems_changed = on_filesystems_changed,
                .self_tested = on_self_tested,
        };

        return syncer_new(
                        manager->event, SYNCFS_SOCKET, FLUSH_PRIORITY_SOCKET, &handlers, manager,
                        &manager->syncer);
}

static int manager_add_sources(Manager *manager) {
        int r;

        r = sd_event_add_time(
                        manager->event, &manager->timer, CLOCK_MONOTONIC, 0, EXACT_ACCURACY_USEC, on_timer,
                        manager);
        if (r >= 0)
                r = sd_event_source_set_priority(manager->timer, TIMER_PRIORITY);
        if (r >= 0)
                r = sd_event_source_set_enabled(manager->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(manager->event, &manager->report_source, on_report, manager);
        if (r >= 0)
                r = sd_event_source_set_priority(manager->report_source, REPORT_PRIORITY);
        if (r >= 0)
                r = sd_event_source_set_enabled(manager->report_source, SD_EVENT_OFF);
        return r;
}

static const StorageHandlers storage_handlers = {
        .loaded = on_loaded,
        .stored = on_stored,
        .reset = on_reset,
};

int manager_new(const ManagerOptions *options, const Settings *settings, Manager **ret) {
        _cleanup_(manager_freep) Manager *manager = NULL;
        int r;

        manager = calloc(1, sizeof(*manager));
        if (!manager) {
                log_error("Out of memory");
                return -ENOMEM;
        }
        /* Its pages must be resident before they are needed. */
        explicit_bzero(&manager->events, sizeof(manager->events));
        manager->options = options;
        manager->settings = *settings;
        manager->start_usec = usec_now(CLOCK_REALTIME);
        manager->polling_reason = "the kernel has not answered yet";
        manager->early_scan_usec = USEC_INFINITY;

        r = sd_event_new(&manager->event);
        if (r >= 0)
                r = manager_block_signals(manager);
        if (r < 0) {
                log_error("Can't set up the event loop: %s", errno_text(-r));
                return r;
        }

        /* Fork first, while the process is small, and in a row. */
        helpers_collect();
        r = manager_start_syncer(manager);
        if (r >= 0)
                r = storage_new(manager->event, &options->paths, &storage_handlers, manager,
                                &manager->storage);
        if (r >= 0) {
                bus_readers_fork((options->use_bus ? 1 : 0) + (options->socket_folder ? 2 : 0));
                r = helpers_start();
        }
        if (r < 0) {
                log_error("Can't start a helper process: %s", errno_text(-r));
                return r;
        }

        r = kworker_reader_new(options->proc_root, &manager->reader);
        if (r < 0) {
                log_error("Can't open the proc root %s: %s", options->proc_root, errno_text(-r));
                return r;
        }

        r = engine_new(settings, (unsigned) get_nprocs(), moment_now(), &manager->engine);
        if (r >= 0)
                r = manager_add_sources(manager);
        if (r >= 0)
                r = inhibitors_new(manager->event, on_inhibitor_released, manager, &manager->inhibitors);
        if (r < 0) {
                log_error("Can't set up the engine and its event sources: %s", errno_text(-r));
                return r;
        }

        r = options->connector_fd;
        if (r >= 0)
                r =
                                connector_new(manager->event, options->connector_fd, on_connector_state,
                                              on_connector_event, manager, &manager->connector);
        if (r < 0)
                on_connector_state(/* listening= */ false, connector_strerror(r), manager);

        r = sd_watchdog_enabled(/* unset_environment= */ false, &manager->watchdog_usec);
        if (r < 0)
                log_warning("Can't read $WATCHDOG_USEC, ignoring: %s", errno_text(-r));

        *ret = TAKE_POINTER(manager);
        return 0;
}

int manager_run(Manager *manager) {
        char limits[160];
        int r;

        log_notice("%sWatching %s (%s)", manager->settings.dry_run ? "Dry run: " : "", manager->settings.glob,
                   report_limits(manager->engine, &manager->settings, limits, sizeof(limits)));

        r = manager_self_test(manager);
        if (r < 0) {
                log_error("Can't run the self-test: %s", errno_text(-r));
                return r;
        }

        manager_scan(manager);

        r = sd_event_loop(manager->event);
        if (r < 0)
                log_error("The event loop failed: %s", errno_text(-r));
        return r;
}

Manager *manager_free(Manager *manager) {
        if (!manager)
                return NULL;

        bus_free(manager->bus);
        sockets_free(manager->sockets);
        inhibitors_free(manager->inhibitors);
        connector_free(manager->connector);
        pressure_free(manager->pressure);
        storage_free(manager->storage);
        syncer_free(manager->syncer);
        sd_event_source_unref(manager->timer);
        sd_event_source_unref(manager->report_source);
        engine_free(manager->engine);
        kworker_reader_free(manager->reader);
        sd_event_unref(manager->event);
        free(manager);
        return NULL;
}
