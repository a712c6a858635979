/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The manager: see manager.h. Data flows one way: a scan or an event goes to the engine, and what the engine
 * says is executed: the sync first, the reports afterwards. */

#include "manager.h"

#include <glib.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/sysinfo.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "bus.h"
#include "connector.h"
#include "kworkers.h"
#include "log.h"
#include "messages.h"
#include "notify.h"
#include "report.h"
#include "storage.h"
#include "syncer.h"

/* An idle scan may come later by this part of its interval, to share a wakeup with others. */
#define IDLE_ACCURACY_PART 10
#define EXACT_ACCURACY_USEC 1

#define CPUS_INTERVAL_USEC (1 * USEC_PER_MINUTE)

/* Of the self-test, one a second: they cover a threshold of 5 s and the mean over 5 s. */
#define SELF_TEST_SCANS 7

/* Before everything else that the loop has to do. */
#define TIMER_PRIORITY (SD_EVENT_PRIORITY_IMPORTANT - 10)

struct Manager {
        const ManagerOptions *options;
        Settings settings;

        sd_event *event;
        sd_event_source *timer;
        Engine *engine;
        KworkerReader *reader;
        Syncer *syncer;
        Storage *storage;
        Connector *connector;
        Bus *bus;

        const char *polling_reason; /* why thread creation events are not received; NULL while they are */
        char fault[256];            /* why the last scan did not see all it should; "" when it did */
        uint64_t lost_events;
        uint64_t watchdog_usec; /* the service manager expects a sign of life this often; 0 never */
        uint64_t last_scan_usec;
        uint64_t rest_end_usec; /* no scan before */
        uint64_t cpus_usec;     /* when the online CPUs were counted last */
        bool reload_pending;    /* the storage was busy when a reload was requested */
        bool self_testing;      /* the helpers run everything but a sync */
        char status[REPORT_STATUS_MAX];
};

const Engine *manager_engine(const Manager *manager) {
        return manager->engine;
}

const Settings *manager_settings(const Manager *manager) {
        return &manager->settings;
}

bool manager_listening(const Manager *manager) {
        return !manager->polling_reason;
}

uint64_t manager_lost_events(const Manager *manager) {
        return manager->lost_events;
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
                (void) g_strlcpy(manager->status, status, sizeof(manager->status));
}

/* Doing */

static void manager_set_timer(Manager *manager) {
        uint64_t wake_usec;
        bool exact;
        int r;

        wake_usec = engine_wake_usec(manager->engine, &exact);

        /* The watchdog is fed by finished scans alone: they must come in time for it. */
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
                /* Without its timer it would never scan again: better to be started anew. */
                log_error("Can't set the timer: %s", errno_text(-r));
                (void) sd_event_exit(manager->event, r);
        }
}

/* Starts what the engine says. Nothing before it may wait for anything. */
static int manager_start_sync(Manager *manager, const EngineEvent *event) {
        const Settings *settings = &manager->settings;

        if (event->type == EVENT_SYNC_STARTED && event->sync.method != SYNC_METHOD_SYNC)
                return syncer_sync_filesystems(manager->syncer, settings->filesystem_timeout_usec);

        return syncer_sync_everything(manager->syncer, settings->sync_timeout_usec);
}

/* Starts the syncs first, and reports afterwards. Returns whether that ended a sync at once: the list is what
 * follows from it then. The one place where a dry run differs. */
static bool manager_execute_once(Manager *manager, EngineEvents *events) {
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

        report_events(events);
        if (manager->bus)
                bus_report(manager->bus, events);

        if (!is_dry_run && r >= 0)
                return false;

        if (r < 0)
                log_error("Can't start a sync: %s", errno_text(-r));
        events->n = 0;
        engine_sync_ended(manager->engine, moment_now(), is_dry_run ? SYNC_PENDING : SYNC_FAILED, events);
        return true;
}

/* Executes what the engine says. The list is used up: a second one would be a large part of the stack. */
static void manager_execute(Manager *manager, EngineEvents *events) {
        while (manager_execute_once(manager, events))
                ;

        manager_notify_status(manager);
        manager_set_timer(manager);
}

static void manager_clear_fault(Manager *manager) {
        if (!manager->fault[0])
                return;

        manager->fault[0] = '\0';
        log_notice("Scans see all kernel threads again");
        if (manager->bus)
                bus_report_fault(manager->bus);
}

/* A scan that did not see all it should: reported when that begins, or when it becomes another fault. */
static void manager_set_fault(Manager *manager, bool found_kthread) {
        const char *what = found_kthread ? "a scan could not read everything" : "cannot see kernel threads";
        char fault[sizeof(manager->fault)];

        /* To find the reason costs more than a scan. */
        if (g_str_has_prefix(manager->fault, what))
                return;

        (void) snprintf(fault, sizeof(fault), "%s: %s", what, kworker_reader_fault_reason(manager->reader));
        memcpy(manager->fault, fault, sizeof(fault));
        log_full(LOG_ERR, found_kthread ? MESSAGE_SCAN_INCOMPLETE : MESSAGE_NO_KERNEL_THREADS, NULL, 0,
                 "Fault: %s", fault);
        if (manager->bus)
                bus_report_fault(manager->bus);
}

/* How many CPUs are online changes seldom. */
static void manager_count_cpus(Manager *manager, uint64_t now_usec) {
        if (manager->cpus_usec > 0 && now_usec < manager->cpus_usec + CPUS_INTERVAL_USEC)
                return;

        manager->cpus_usec = now_usec;
        engine_set_cpus(manager->engine, (unsigned) get_nprocs());
}

/* Hands a scan to the engine, and the scan that confirms it before a sync. */
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
        Moment now = moment_now();
        uint64_t end_usec;
        KworkerScan scan = {};
        EngineEvents events;
        int r;

        events.n = 0;
        r = manager_scan_workers(manager, now, &scan, &events);

        /* Scans have the highest priority. If a scan takes longer than the interval (tens of thousands of
         * workers), the loop would starve everything else, even the end of a sync. */
        end_usec = usec_now(CLOCK_MONOTONIC);
        manager->rest_end_usec = end_usec + (end_usec - now.monotonic_usec);
        engine_set_scan_cost(manager->engine, manager->rest_end_usec - now.monotonic_usec);

        manager->last_scan_usec = now.monotonic_usec;
        manager_execute(manager, &events);

        if (r < 0 || scan.trouble < 0)
                manager_set_fault(manager, r >= 0);
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

/* One stall from its first worker to its end, in an engine of its own: a crowd as large as the rule needs. */
static void manager_play_stall(Manager *manager, Moment now) {
        static const Worker worker = { .pid = 1, .state = 'R', .name = "kworker/0:0+self-test" };
        EngineEvents events;
        Worker running = worker;

        for (unsigned i = 0; i < SELF_TEST_SCANS; i++) {
                now.monotonic_usec += USEC_PER_SEC;
                running.cpu_usec += USEC_PER_SEC;
                events.n = 0;
                engine_scan(manager->engine, now, &running, 1, &events);
                engine_note_others(manager->engine, &running, 1);
                engine_confirm(manager->engine, now, &running, 1, &events);
                manager_execute(manager, &events);
        }
        for (unsigned i = 0; i < SELF_TEST_SCANS; i++) {
                now.monotonic_usec += USEC_PER_SEC;
                events.n = 0;
                engine_scan(manager->engine, now, NULL, 0, &events);
                manager_execute(manager, &events);
        }
}

/* The self-test: goes the way from a stuck worker to its sync's end once, with an engine of its own and a log
 * that is mute, and has the helpers do everything but the system calls that sync. What a sandbox kills, it
 * kills now, and not in the crisis; and the pages of code and data that are needed then have been read from
 * the disk, and stay. */
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

                /* At its first call it opens files of the C library. */
                log_error("%s", errno_text(EIO));

                manager_play_stall(manager, now);

                log_set_muted(false);
                engine_free(manager->engine);
        }
        manager->engine = engine;
        if (r < 0)
                return r;

        return syncer_self_test(manager->syncer);
}

static void on_self_tested(int r, void *userdata) {
        Manager *manager = userdata;

        manager->self_testing = false;
        if (r < 0) {
                log_error("The self-test failed, a helper process was killed: %s", errno_text(-r));
                (void) sd_event_exit(manager->event, r);
                return;
        }

        log_debug("The self-test passed");

        /* Not before: a caller's sync could not be made meanwhile. */
        if (manager->options->use_bus) {
                r = bus_new(manager->event, manager, &manager->bus);
                if (r < 0) {
                        log_error("Can't set up the bus: %s", errno_text(-r));
                        (void) sd_event_exit(manager->event, r);
                        return;
                }
        }

        (void) notify_send("READY=1");
}

/* How soon, for those who measure it. */
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
        EngineEvents events;

        log_filesystems_entered(manager);
        events.n = 0;
        engine_filesystems_synced(
                        manager->engine, moment_now(), has_any, result, filesystems, n_filesystems, &events);
        manager_execute(manager, &events);
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
        EngineEvents events;

        if (sync && result == SYNC_OK)
                log_debug("sync(2) was entered %" PRIu64 "us after sync %" PRIu64
                          " was decided, and took %" PRIu64 "us",
                          usec_subtract(entered_usec, sync->start.monotonic_usec), sync->id, duration_usec);

        events.n = 0;
        engine_sync_ended(manager->engine, moment_now(), result, &events);
        manager_execute(manager, &events);
}

static void on_filesystems_changed(void *userdata) {
        Manager *manager = userdata;

        if (manager->bus)
                bus_report_filesystems(manager->bus);
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
        EngineEvents events;

        events.n = 0;
        engine_pause(manager->engine, moment_now(), usec, &events);
        manager_execute(manager, &events);
}

void manager_resume(Manager *manager) {
        EngineEvents events;

        events.n = 0;
        engine_resume(manager->engine, moment_now(), &events);
        manager_execute(manager, &events);
}

void manager_request_sync(Manager *manager) {
        EngineEvents events;

        events.n = 0;
        engine_request_sync(manager->engine, moment_now(), &events);
        manager_execute(manager, &events);
}

int manager_sync_filesystem(Manager *manager, const char *path, uint64_t *ret_id) {
        return syncer_sync_filesystem(
                        manager->syncer, path, manager->settings.filesystem_timeout_usec, ret_id);
}

/* Dirty memory */

void manager_dirty_bytes(const Manager *manager, uint64_t *ret_dirty, uint64_t *ret_writeback) {
        if (syncer_dirty_bytes(manager->syncer, ret_dirty, ret_writeback) < 0)
                *ret_dirty = *ret_writeback = 0;
}

static unsigned settings_difference(const Settings *a, const Settings *b) {
        unsigned ids = 0;

        for (SettingId id = 0; id < _SETTING_MAX; id++) {
                char one[SETTINGS_GLOB_MAX + 1], other[SETTINGS_GLOB_MAX + 1];
                bool same =
                                streq(settings_format(a, id, one, sizeof(one)),
                                      settings_format(b, id, other, sizeof(other)));

                if (!same || !streq(a->sources[id], b->sources[id]))
                        ids |= 1u << id;
        }

        return ids;
}

void manager_apply_settings(Manager *manager, const Settings *settings) {
        unsigned ids = settings_difference(&manager->settings, settings);
        EngineEvents events;

        if (ids == 0)
                return;

        for (SettingId id = 0; id < _SETTING_MAX; id++)
                if (ids & (1u << id)) {
                        char value[SETTINGS_GLOB_MAX + 1];

                        log_info("%s=%s (%s)", setting_table[id].key,
                                 settings_format(settings, id, value, sizeof(value)), settings->sources[id]);
                }

        manager->settings = *settings;
        events.n = 0;
        engine_set_settings(manager->engine, moment_now(), settings, &events);
        if (manager->bus)
                bus_report_settings(manager->bus, ids);

        /* What another glob finds need not wait for the next idle scan. */
        engine_thread_created(manager->engine, moment_now());
        manager_execute(manager, &events);
}

int manager_store_settings(Manager *manager, const Settings *settings, unsigned ids) {
        return storage_store(manager->storage, settings, ids);
}

static void manager_reload(Manager *manager) {
        int r;

        (void) notify_send("RELOADING=1\nMONOTONIC_USEC=%" PRIu64, usec_now(CLOCK_MONOTONIC));

        r = storage_load(manager->storage);
        manager->reload_pending = r == -EBUSY;
        if (r < 0 && r != -EBUSY) {
                log_error("Can't reload, going on with the settings in force: %s", errno_text(-r));
                (void) notify_send("READY=1");
        }
}

static void on_loaded(int r, const Settings *settings, void *userdata) {
        Manager *manager = userdata;

        if (r < 0)
                log_error("Reloading failed, going on with the settings in force: %s", errno_text(-r));
        else {
                manager_apply_settings(manager, settings);
                log_notice("Reloaded");
        }
        (void) notify_send("READY=1");

        if (manager->reload_pending)
                manager_reload(manager);
}

static void on_stored(int r, void *userdata) {
        Manager *manager = userdata;

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

        log_info("Ended by signal %u", info->ssi_signo);
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

int manager_new(const ManagerOptions *options, const Settings *settings, Manager **ret) {
        static const SyncerHandlers syncer_handlers = {
                .filesystems_synced = on_filesystems_synced,
                .filesystem_synced = on_filesystem_synced,
                .everything_synced = on_everything_synced,
                .filesystems_changed = on_filesystems_changed,
                .self_tested = on_self_tested,
        };
        _cleanup_(manager_freep) Manager *manager = NULL;
        int r;

        manager = g_try_new0(Manager, 1);
        if (!manager) {
                log_error("No memory");
                return -ENOMEM;
        }
        manager->options = options;
        manager->settings = *settings;
        manager->polling_reason = "the kernel has not answered yet";

        r = sd_event_new(&manager->event);
        if (r >= 0)
                r = manager_block_signals(manager);
        if (r < 0) {
                log_error("Can't set up the event loop: %s", errno_text(-r));
                return r;
        }

        /* The helpers first, while there is little to copy. */
        r = syncer_new(manager->event, SYNCFS_SOCKET, &syncer_handlers, manager, &manager->syncer);
        if (r >= 0)
                r = storage_new(manager->event, &options->paths, on_loaded, on_stored, manager,
                                &manager->storage);
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
                r = sd_event_add_time(
                                manager->event, &manager->timer, CLOCK_MONOTONIC, 0, EXACT_ACCURACY_USEC,
                                on_timer, manager);
        if (r >= 0)
                r = sd_event_source_set_priority(manager->timer, TIMER_PRIORITY);
        if (r >= 0)
                r = sd_event_source_set_enabled(manager->timer, SD_EVENT_OFF);
        if (r < 0) {
                log_error("Can't set up the engine and its timer: %s", errno_text(-r));
                return r;
        }

        r = connector_new(
                        manager->event, on_connector_state, on_connector_event, manager, &manager->connector);
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
        connector_free(manager->connector);
        storage_free(manager->storage);
        syncer_free(manager->syncer);
        sd_event_source_unref(manager->timer);
        engine_free(manager->engine);
        kworker_reader_free(manager->reader);
        sd_event_unref(manager->event);
        g_free(manager);
        return NULL;
}
