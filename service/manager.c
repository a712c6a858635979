/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The manager: see manager.h. Data flows one way: a look or an event goes to the engine, and what the engine
 * says to do is done: the sync first, and then the telling. */

#include "manager.h"

#include <glib.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "bus.h"
#include "connector.h"
#include "log.h"
#include "messages.h"
#include "notify.h"
#include "storage.h"
#include "syncer.h"

/* A sweep of an idle machine may come later by this part of its interval, to share a wakeup with others. */
#define IDLE_ACCURACY_PART 10
#define EXACT_ACCURACY_USEC 1

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

        const char *polling_reason; /* why births are not told; NULL while they are */
        const char *fault;          /* why the last look found no kernel thread; NULL when it did */
        uint64_t lost_events;
        uint64_t watchdog_usec; /* the service manager expects a sign of life this often; 0 never */
        uint64_t last_look_usec;
        uint64_t rest_end_usec; /* no look before */
        bool reload_pending;    /* the storage was busy when a reload was asked for */
        bool rehearsing;        /* the sync helper was asked for all but a sync */
        char status[MANAGER_STATUS_MAX];
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

/* Telling people */

/* "dry run: " before everything that is said while no sync is made. */
static const char *manager_dry_run_mark(const Manager *manager) {
        return manager->settings.dry_run ? "dry run: " : "";
}

/* People need no more than two or three digits. */
static const char *describe_duration(uint64_t usec, char *buffer, size_t size) {
        uint64_t unit_usec = 1;

        if (usec >= 10 * USEC_PER_SEC)
                unit_usec = USEC_PER_SEC;
        else if (usec >= USEC_PER_SEC)
                unit_usec = 100 * USEC_PER_MSEC;
        else if (usec >= USEC_PER_MSEC)
                unit_usec = USEC_PER_MSEC;

        return format_duration(usec / unit_usec * unit_usec, buffer, size);
}

static void describe_workers(const Manager *manager, char *buffer, size_t size) {
        const RunningWorker *oldest = engine_oldest_worker(manager->engine);
        char running[64];
        size_t n;

        (void) engine_workers(manager->engine, &n);
        if (!oldest)
                (void) snprintf(buffer, size, "no matching worker runs");
        else
                (void) snprintf(buffer, size, "%zu matching worker%s, the oldest running for %s", n,
                                n == 1 ? " runs" : "s run",
                                describe_duration(
                                                engine_running_usec(manager->engine, oldest), running,
                                                sizeof(running)));
}

static void describe_limits(const Settings *settings, char *buffer, size_t size) {
        char threshold[64], crowd_threshold[64];
        int n;

        n = snprintf(buffer, size, "stuck at %s",
                     format_duration(settings->threshold_usec, threshold, sizeof(threshold)));
        if (settings->crowd_size > 0)
                (void) snprintf(buffer + n, size - (size_t) n, ", or as a crowd of %" PRIu32 " for %s",
                                settings->crowd_size,
                                format_duration(settings->crowd_threshold_usec, crowd_threshold,
                                                sizeof(crowd_threshold)));
}

static const char *describe_rule(EngineRule rule) {
        switch (rule) {
        case RULE_WORKER:
                return "a worker ran for the threshold";
        case RULE_CROWD:
                return "a crowd ran for the crowd's threshold";
        default:
                return "asked for";
        }
}

static void describe_state(const Manager *manager, char *buffer, size_t size) {
        const Engine *engine = manager->engine;
        const char *mark = manager_dry_run_mark(manager);
        uint64_t now_usec = usec_now(CLOCK_MONOTONIC);
        char workers[160], limits[160], duration[64];

        describe_workers(manager, workers, sizeof(workers));
        describe_limits(&manager->settings, limits, sizeof(limits));

        if (manager->fault) {
                (void) snprintf(buffer, size, "%ssees no kernel thread at all: %s", mark, manager->fault);
                return;
        }

        switch (engine_state(engine)) {
        case ENGINE_IDLE:
                (void) snprintf(buffer, size, "%s%s", mark, workers);
                break;

        case ENGINE_BUSY:
                (void) snprintf(buffer, size, "%s%s (%s)", mark, workers, limits);
                break;

        case ENGINE_SYNCING: {
                const EngineSync *sync = engine_sync(engine);

                (void) snprintf(buffer, size, "%ssync under way for %s%s (%s); %s", mark,
                                describe_duration(
                                                now_usec - sync->start.monotonic_usec, duration,
                                                sizeof(duration)),
                                sync->result == SYNC_STALLED ? ", stalled" : "", describe_rule(sync->rule),
                                workers);
                break;
        }

        case ENGINE_RECOVERY:
                (void) snprintf(buffer, size, "%s; no other sync for the next %s; %s",
                                manager->settings.dry_run ? "dry run: would have synced" : "synced",
                                describe_duration(
                                                usec_subtract(engine_recovery_end_usec(engine), now_usec),
                                                duration, sizeof(duration)),
                                workers);
                break;

        case ENGINE_PAUSED:
                (void) snprintf(buffer, size, "%spaused, no sync is made; %s%s", mark, workers,
                                engine_episode(engine) ? ", and they are stuck" : "");
                break;
        }
}

const char *manager_status(const Manager *manager, char *buffer, size_t size) {
        size_t n;

        describe_state(manager, buffer, size);
        n = strlen(buffer);
        if (manager->polling_reason)
                (void) snprintf(buffer + n, size - n, "; polling for new workers: %s",
                                manager->polling_reason);

        return buffer;
}

static void manager_notify_status(Manager *manager) {
        char status[MANAGER_STATUS_MAX];

        if (manager->rehearsing)
                return;

        (void) manager_status(manager, status, sizeof(status));
        if (streq(status, manager->status))
                return;

        if (notify_send("STATUS=%s", status) >= 0)
                (void) g_strlcpy(manager->status, status, sizeof(manager->status));
}

static void log_field(LogField *fields, size_t *n, const char *format, ...) _printf_(3, 4);
static void log_field(LogField *fields, size_t *n, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(fields[(*n)++].text, sizeof(fields->text), format, arguments);
        va_end(arguments);
}

static const char *yes_no(bool yes) {
        return yes ? "yes" : "no";
}

static void log_episode_started(const Manager *manager) {
        const Episode *episode = engine_episode(manager->engine);
        const EpisodeWorker *longest = episode_longest_run(episode);
        char running[64];
        LogField fields[8];
        size_t n = 0;

        log_field(fields, &n, "EPISODE=%" PRIu64, episode->id);
        log_field(fields, &n, "RULE=%s", engine_rule_to_string(episode->rule));
        log_field(fields, &n, "WORKERS=%" PRIu32, episode->worker_count);
        log_field(fields, &n, "WORKER_PID=%d", (int) longest->worker.pid);
        log_field(fields, &n, "WORKER_NAME=%s", longest->worker.name);
        log_field(fields, &n, "RUNNING_USEC=%" PRIu64, longest->running_usec);
        log_field(fields, &n, "DRY_RUN=%s", yes_no(manager->settings.dry_run));

        log_full(LOG_WARNING, MESSAGE_EPISODE_STARTED, fields, n,
                 "%sstuck (rule %s): %" PRIu32 " running, the oldest %s (pid %d) for %s",
                 manager_dry_run_mark(manager), engine_rule_to_string(episode->rule), episode->worker_count,
                 longest->worker.name, (int) longest->worker.pid,
                 describe_duration(longest->running_usec, running, sizeof(running)));
}

static void log_episode_ended(const Manager *manager) {
        size_t n_episodes = engine_n_episodes(manager->engine), n = 0;
        const Episode *episode;
        uint64_t length_usec;
        char length[64];
        LogField fields[8];

        if (n_episodes == 0)
                return;

        episode = engine_ended_episode(manager->engine, n_episodes - 1);
        length_usec = episode->end.monotonic_usec - episode->start.monotonic_usec;

        log_field(fields, &n, "EPISODE=%" PRIu64, episode->id);
        log_field(fields, &n, "RULE=%s", engine_rule_to_string(episode->rule));
        log_field(fields, &n, "OUTCOME=%s", engine_outcome_to_string(episode->outcome));
        log_field(fields, &n, "WORKERS=%" PRIu32, episode->worker_count);
        log_field(fields, &n, "DURATION_USEC=%" PRIu64, length_usec);
        log_field(fields, &n, "DRY_RUN=%s", yes_no(manager->settings.dry_run));

        log_full(LOG_NOTICE, MESSAGE_EPISODE_ENDED, fields, n,
                 "%sno worker runs any more: %s %s after it was called stuck, with %" PRIu32 " sync%s",
                 manager_dry_run_mark(manager), engine_outcome_to_string(episode->outcome),
                 describe_duration(length_usec, length, sizeof(length)), episode->sync_count,
                 episode->sync_count == 1 ? "" : "s");
}

static void log_sync(const Manager *manager, const EngineSync *sync, int level, const char *message_id) {
        const RunningWorker *oldest = engine_oldest_worker(manager->engine);
        char duration[64];
        LogField fields[12];
        size_t n = 0;

        log_field(fields, &n, "SYNC=%" PRIu64, sync->id);
        log_field(fields, &n, "EPISODE=%" PRIu64, sync->episode_id);
        log_field(fields, &n, "RULE=%s", engine_rule_to_string(sync->rule));
        log_field(fields, &n, "WORKERS=%" PRIu32, sync->worker_count);
        log_field(fields, &n, "RESULT=%s", sync_result_to_string(sync->result));
        log_field(fields, &n, "DURATION_USEC=%" PRIu64, sync->duration_usec);
        log_field(fields, &n, "DRY_RUN=%s", yes_no(sync->dry_run));

        if (oldest && streq(message_id, MESSAGE_SYNC_STARTED)) {
                log_field(fields, &n, "WORKER_PID=%d", (int) oldest->worker.pid);
                log_field(fields, &n, "WORKER_NAME=%s", oldest->worker.name);
                log_field(fields, &n, "RUNNING_USEC=%" PRIu64, sync->oldest_usec);
        }

        (void) describe_duration(sync->duration_usec, duration, sizeof(duration));

        if (streq(message_id, MESSAGE_SYNC_STARTED))
                log_full(level, message_id, fields, n, "%ssync %" PRIu64 " %s: %s",
                         sync->dry_run ? "dry run: " : "", sync->id,
                         sync->dry_run ? "would start" : "started", describe_rule(sync->rule));
        else if (streq(message_id, MESSAGE_SYNC_STALLED))
                log_full(level, message_id, fields, n, "sync %" PRIu64 " has not ended after %s", sync->id,
                         duration);
        else if (sync->result == SYNC_FAILED)
                log_full(LOG_ERR, message_id, fields, n,
                         "sync %" PRIu64 " failed: the process that called sync() died", sync->id);
        else
                log_full(level, message_id, fields, n, "sync %" PRIu64 " ended after %s", sync->id, duration);
}

static void log_actions(const Manager *manager, unsigned actions) {
        const Engine *engine = manager->engine;

        if (actions & ENGINE_EPISODE_STARTED)
                log_episode_started(manager);
        if (actions & ENGINE_UNCONFIRMED)
                log_debug("Not acting: the second look found the condition gone");
        if (actions & ENGINE_SYNC_STALLED)
                log_sync(manager, engine_last_real_sync(engine), LOG_WARNING, MESSAGE_SYNC_STALLED);
        if ((actions & ENGINE_SYNC_ENDED) && !engine_last_sync(engine)->dry_run)
                log_sync(manager, engine_last_sync(engine), LOG_NOTICE, MESSAGE_SYNC_FINISHED);
        if (actions & ENGINE_START_SYNC)
                log_sync(manager, engine_sync(engine), LOG_NOTICE, MESSAGE_SYNC_STARTED);
        if (actions & ENGINE_EPISODE_ENDED)
                log_episode_ended(manager);
        if (actions & ENGINE_STATE_CHANGED)
                log_debug("State: %s", engine_state_to_string(engine_state(engine)));
}

/* Doing */

static void manager_set_timer(Manager *manager) {
        uint64_t wake_usec;
        bool exact;
        int r;

        wake_usec = engine_wake_usec(manager->engine, &exact);

        /* The watchdog is fed by looks alone, so that they have to come in time for it. */
        if (manager->watchdog_usec > 0)
                wake_usec = MIN(wake_usec, manager->last_look_usec + manager->watchdog_usec / 2);
        wake_usec = MAX(wake_usec, manager->rest_end_usec);

        r = sd_event_source_set_time(manager->timer, wake_usec);
        if (r >= 0)
                r = sd_event_source_set_time_accuracy(
                                manager->timer,
                                exact ? EXACT_ACCURACY_USEC
                                      : MAX(usec_subtract(wake_usec, manager->last_look_usec) /
                                                            IDLE_ACCURACY_PART,
                                            (uint64_t) EXACT_ACCURACY_USEC));
        if (r >= 0)
                r = sd_event_source_set_enabled(manager->timer, SD_EVENT_ONESHOT);
        if (r < 0) {
                /* Without its timer it would look nowhere any more: better to be started anew. */
                log_error("Can't set the timer: %s", errno_text(-r));
                (void) sd_event_exit(manager->event, r);
        }
}

/* Carries out what the engine says. The sync comes first; nothing before it may wait for anything. */
static void manager_carry_out(Manager *manager, unsigned actions) {
        bool dry_run = false;
        int r = 0;

        if (actions & ENGINE_START_SYNC) {
                /* The one place where a dry run differs. */
                dry_run = engine_sync(manager->engine)->dry_run;
                if (!dry_run)
                        r = syncer_start(manager->syncer);
        }

        log_actions(manager, actions);
        if (manager->bus)
                bus_tell(manager->bus, actions);

        if (dry_run)
                manager_carry_out(manager, engine_sync_ended(manager->engine, moment_now(), SYNC_PENDING, 0));
        else if (r < 0) {
                log_error("Can't start a sync: %s", errno_text(-r));
                manager_carry_out(manager, engine_sync_ended(manager->engine, moment_now(), SYNC_FAILED, 0));
        } else {
                manager_notify_status(manager);
                manager_set_timer(manager);
        }
}

/* A look that found no kernel thread at all: told once, until one is seen again. */
static void manager_note_fault(Manager *manager) {
        if (manager->fault)
                return;

        manager->fault = kworker_reader_fault_reason(manager->reader);
        log_full(LOG_ERR, MESSAGE_NO_KERNEL_THREADS, NULL, 0, "A look found no kernel thread at all: %s",
                 manager->fault);
}

static void manager_look(Manager *manager) {
        bool was_fault = manager->fault;
        Moment now = moment_now();
        uint64_t begin_usec = now.monotonic_usec, end_usec;
        KworkerLook look = {};
        unsigned actions;
        int r;

        r = kworker_reader_look(manager->reader, manager->settings.glob, &look);
        if (r < 0 || !look.found_kthread) {
                manager_note_fault(manager);
                actions = engine_look_failed(manager->engine, now);
        } else {
                manager->fault = NULL;
                actions = engine_look(manager->engine, now, look.workers, look.n_workers);

                if (actions & ENGINE_LOOK_AGAIN) {
                        now = moment_now();
                        r = kworker_reader_look(manager->reader, manager->settings.glob, &look);
                        if (r >= 0)
                                actions |= engine_confirm(manager->engine, now, look.workers, look.n_workers);
                }
        }

        /* A look goes before everything else. Where it takes longer than the time between two looks (tens of
         * thousands of workers), nothing else would ever come to pass, not even the end of a sync. */
        end_usec = usec_now(CLOCK_MONOTONIC);
        manager->rest_end_usec = end_usec + (end_usec - begin_usec);

        manager->last_look_usec = now.monotonic_usec;
        manager_carry_out(manager, actions);

        /* It is to be there beforehand. */
        syncer_ensure_helper(manager->syncer);

        if (was_fault && !manager->fault)
                log_notice("Kernel threads are seen again");
        log_tell_dropped();
        if (manager->watchdog_usec > 0)
                (void) notify_send("WATCHDOG=1");
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        manager_look(userdata);
        return 0;
}

/* The rehearsal: goes the way from a stuck worker to its sync's end once, with an engine of its own and a log
 * that is mute, and asks the helper for all but the sync. What a sandbox kills, it kills now, and not in the
 * worst minute; and the pages of code and data that are needed then have been read from the disk, and stay.
 */
static int manager_rehearse(Manager *manager) {
        const Worker worker = { .pid = 1, .state = 'R', .name = "kworker/0:0+rehearsal" };
        Engine *engine = manager->engine;
        Moment now = moment_now();
        Settings settings;
        int r;

        manager->rehearsing = true;

        settings_init(&settings);
        settings.dry_run = true;
        manager->engine = NULL;
        r = engine_new(&settings, now, &manager->engine);
        if (r >= 0) {
                log_set_muted(true);

                /* At its first call it opens files of the C library. */
                log_error("%s", errno_text(EIO));

                (void) engine_look(manager->engine, now, &worker, 1);
                now.monotonic_usec += settings.threshold_usec;
                manager_carry_out(
                                manager, engine_look(manager->engine, now, &worker, 1) |
                                                         engine_confirm(manager->engine, now, &worker, 1));
                (void) engine_look(manager->engine, now, NULL, 0);
                manager_carry_out(manager, engine_look(manager->engine, now, NULL, 0));

                log_set_muted(false);
                engine_free(manager->engine);
        }
        manager->engine = engine;
        if (r < 0)
                return r;

        return syncer_rehearse(manager->syncer);
}

static void on_rehearsed(Manager *manager, int r) {
        manager->rehearsing = false;
        if (r < 0) {
                log_error("The rehearsal of a sync failed, the helper process was killed: %s",
                          errno_text(-r));
                (void) sd_event_exit(manager->event, r);
                return;
        }

        log_debug("The rehearsal went well");

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

static void on_sync_ended(int result, uint64_t entered_usec, uint64_t duration_usec, void *userdata) {
        Manager *manager = userdata;
        const EngineSync *sync = engine_sync(manager->engine);
        uint64_t since_asked_usec = 0;

        if (manager->rehearsing) {
                on_rehearsed(manager, result);
                return;
        }

        /* What counts is the time since it was asked for: the helper may have waited for a CPU first. */
        if (sync)
                since_asked_usec = usec_subtract(
                                usec_add(entered_usec, duration_usec), sync->start.monotonic_usec);
        if (result >= 0 && sync)
                log_debug("sync() was entered %" PRIu64 "us after it was decided",
                          usec_subtract(entered_usec, sync->start.monotonic_usec));

        manager_carry_out(
                        manager, engine_sync_ended(
                                                 manager->engine, moment_now(),
                                                 result < 0 ? SYNC_FAILED : SYNC_OK, since_asked_usec));
}

static void on_connector_state(bool listening, const char *reason, void *userdata) {
        Manager *manager = userdata;
        bool was_listening = manager_listening(manager);

        manager->polling_reason = listening ? NULL : reason;
        if (listening)
                log_info("The kernel tells of new kernel threads");
        else
                log_notice("Births of kernel threads are not told, polling instead: %s", reason);

        engine_set_polling(manager->engine, !listening);
        if (listening != was_listening && manager->bus)
                bus_tell_event_source(manager->bus);
        manager_notify_status(manager);
        manager_set_timer(manager);
}

static void on_connector_event(unsigned n_births, bool lost, void *userdata) {
        Manager *manager = userdata;

        if (lost) {
                manager->lost_events++;
                log_debug("Events of the kernel were lost, looking at all workers instead");
        }

        engine_hint(manager->engine, moment_now());
        manager_set_timer(manager);
}

/* Asking */

void manager_pause(Manager *manager, uint64_t usec) {
        manager_carry_out(manager, engine_pause(manager->engine, moment_now(), usec));
}

void manager_resume(Manager *manager) {
        manager_carry_out(manager, engine_resume(manager->engine, moment_now()));
}

void manager_force_sync(Manager *manager) {
        manager_carry_out(manager, engine_force_sync(manager->engine, moment_now()));
}

static unsigned settings_difference(const Settings *a, const Settings *b) {
        unsigned ids = 0;

        for (SettingId id = 0; id < _SETTING_MAX; id++) {
                bool same = setting_table[id].type == SETTING_TYPE_GLOB
                                            ? streq(a->glob, b->glob)
                                            : settings_get_number(a, id) == settings_get_number(b, id);

                if (!same || !streq(a->sources[id], b->sources[id]))
                        ids |= 1u << id;
        }

        return ids;
}

void manager_apply_settings(Manager *manager, const Settings *settings) {
        unsigned ids = settings_difference(&manager->settings, settings);
        unsigned actions;

        if (ids == 0)
                return;

        for (SettingId id = 0; id < _SETTING_MAX; id++)
                if (ids & (1u << id)) {
                        char value[SETTINGS_GLOB_MAX + 1];

                        log_info("%s=%s (%s)", setting_table[id].key,
                                 settings_format(settings, id, value, sizeof(value)), settings->sources[id]);
                }

        manager->settings = *settings;
        actions = engine_set_settings(manager->engine, moment_now(), settings);
        if (manager->bus)
                bus_tell_settings(manager->bus, ids);

        /* What another glob finds need not wait for the next sweep. */
        engine_hint(manager->engine, moment_now());
        manager_carry_out(manager, actions);
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
        r = syncer_new(manager->event, on_sync_ended, manager, &manager->syncer);
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

        r = engine_new(settings, moment_now(), &manager->engine);
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

        describe_limits(&manager->settings, limits, sizeof(limits));
        log_notice("%sWatching %s (%s)", manager_dry_run_mark(manager), manager->settings.glob, limits);

        r = manager_rehearse(manager);
        if (r < 0) {
                log_error("Can't rehearse a sync: %s", errno_text(-r));
                return r;
        }

        manager_look(manager);

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
