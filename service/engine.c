/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The rules are in docs/detection.md. */

#include "engine.h"

/* A scan covers the time since the previous scan, but at most this many scan intervals, since nothing was
 * seen in between. */
#define SCAN_WEIGHT_MAX 1.5

/* An idle scan covers this share of the shorter threshold. This makes up for part of the wait for that scan,
 * up to an idle scan interval without thread creation events. Less than twice this share is safe: what one
 * scan sees satisfies no rule. */
#define IDLE_SCAN_SHARE 0.15

/* The built-in CrowdSize is limited to this share of the online CPUs, but not below CROWD_SIZE_MIN: before
 * Linux 6.5 only one such worker can spin on each CPU, with gaps. */
#define CROWD_CPU_SHARE 0.75
#define CROWD_SIZE_MIN 1.5

/* While workers run, at least this many scans fit into a threshold. */
#define SCANS_PER_THRESHOLD 5

/* During an episode the time between scans is this many times a scan's cost, if that is more. */
#define EPISODE_SCAN_COSTS 4

struct Engine {
        Settings settings;
        uint64_t scan_cost_usec; /* the least time between scans */
        unsigned n_cpus;
        bool polling;

        uint64_t last_scan_usec;
        uint64_t last_seen_usec;    /* the last scan that did not fail */
        uint64_t last_running_usec; /* the last scan with a running worker; 0: none yet */
        uint64_t created_usec;      /* when the scan after a thread creation is due; USEC_INFINITY: none */
        Runs runs;
        Loads loads;

        EngineState state;
        Moment state_since;

        uint64_t paused_until_usec;          /* CLOCK_MONOTONIC; 0 not paused */
        uint64_t paused_until_realtime_usec; /* the same on CLOCK_REALTIME */
        uint32_t n_inhibitors;
        uint64_t suspended_since_usec;  /* by a pause or an inhibitor */
        uint64_t suspended_report_usec; /* when it is reported next */

        /* What engine_confirm() must confirm. */
        EngineRule confirm_rule;
        char confirm_work[WORKER_NAME_MAX + 1];

        SyncPolicy policy;
        bool sync_requested; /* start another sync after the one under way */
        History history;
};

const char *engine_state_to_string(EngineState state) {
        static const char *const names[] = {
                [ENGINE_IDLE] = "idle",         [ENGINE_BUSY] = "busy",     [ENGINE_SYNCING] = "syncing",
                [ENGINE_RECOVERY] = "recovery", [ENGINE_PAUSED] = "paused",
        };

        return names[state];
}

/* Settings in force */

double engine_crowd_size(const Engine *engine) {
        double size = engine->settings.crowd_size;

        if (size > 0 && settings_is_built_in(&engine->settings, SETTING_CROWD_SIZE))
                size = MIN(size, MAX(CROWD_SIZE_MIN, CROWD_CPU_SHARE * engine->n_cpus));

        return size;
}

static LoadRules engine_rules(const Engine *engine) {
        return (LoadRules){
                .crowd_size = engine_crowd_size(engine),
                .crowd_threshold_usec = engine->settings.crowd_threshold_usec,
                .threshold_usec = engine->settings.threshold_usec,
                .count_waiting = engine->settings.count_waiting,
        };
}

static uint64_t engine_shorter_threshold_usec(const Engine *engine) {
        const Settings *settings = &engine->settings;

        return settings->crowd_size > 0 ? MIN(settings->threshold_usec, settings->crowd_threshold_usec)
                                        : settings->threshold_usec;
}

/* Allows for SCANS_PER_THRESHOLD scans within each threshold. */
static uint64_t engine_scan_interval_max_usec(const Engine *engine) {
        return engine_shorter_threshold_usec(engine) / SCANS_PER_THRESHOLD;
}

/* The time between two scans while workers run. */
static uint64_t engine_scan_interval_usec(const Engine *engine) {
        return MIN(engine->settings.poll_interval_usec, engine_scan_interval_max_usec(engine));
}

static bool engine_follows_workers(const Engine *engine, uint64_t now_usec) {
        return engine->policy.syncing || engine->history.is_ongoing ||
               (engine->last_running_usec > 0 &&
                now_usec < usec_add(engine->last_running_usec, engine->settings.crowd_threshold_usec));
}

/* The time between two scans during an episode. */
static uint64_t engine_episode_interval_usec(const Engine *engine) {
        return MIN(engine_scan_interval_usec(engine),
                   MAX(EPISODE_SCAN_USEC, EPISODE_SCAN_COSTS * engine->scan_cost_usec));
}

static bool engine_paused(const Engine *engine) {
        return engine->paused_until_usec > 0;
}

/* Whether no automatic sync may start. */
static bool engine_suspended(const Engine *engine) {
        return engine_paused(engine) || engine->n_inhibitors > 0;
}

uint64_t engine_recovery_end_usec(const Engine *engine) {
        return sync_policy_recovery_end_usec(
                        &engine->policy, engine->settings.dry_run, engine->settings.recovery_usec);
}

static bool engine_recovering(const Engine *engine, Moment now) {
        return now.monotonic_usec < engine_recovery_end_usec(engine);
}

/* The state follows from the other members. It is stored only to know since when it holds. */
static void engine_update_state(Engine *engine, Moment now, EngineEvents *events) {
        EngineState state;

        if (engine->policy.syncing)
                state = ENGINE_SYNCING;
        else if (engine_suspended(engine))
                state = ENGINE_PAUSED;
        else if (engine_recovering(engine, now))
                state = ENGINE_RECOVERY;
        else if (engine->runs.n_spinning + engine->runs.n_waiting > 0)
                state = ENGINE_BUSY;
        else
                state = ENGINE_IDLE;

        if (state == engine->state)
                return;

        engine->state = state;
        engine->state_since = now;
        engine_events_add_once(events, EVENT_STATE_CHANGED);
}

/* Syncs */

static void engine_start_sync(Engine *engine, Moment now, EngineRule rule, EngineEvents *events) {
        const Run *longest = engine_longest_run(engine);
        const Sync sync = {
                .start = now,
                .longest_run_usec = longest ? engine_run_usec(engine, longest) : 0,
                .worker_count = engine->runs.n_spinning + engine->runs.n_waiting,
                .rule = rule,
                .method = engine->settings.sync_method,
                .dry_run = rule != RULE_NONE && engine->settings.dry_run,
        };

        sync_policy_start(&engine->policy, &engine->history, &sync, events);
}

/* Resets the loads, and starts a requested sync that had to wait for this one. */
static void engine_after_sync(Engine *engine, Moment now, EngineEvents *events) {
        loads_empty(&engine->loads);

        if (engine->sync_requested) {
                engine->sync_requested = false;
                engine_start_sync(engine, now, RULE_NONE, events);
        }
}

static void engine_continue_sync(Engine *engine, Moment now, EngineEvents *events) {
        if (sync_policy_continue(
                            &engine->policy, &engine->history, now.monotonic_usec, engine->last_seen_usec,
                            events))
                engine_after_sync(engine, now, events);
}

void engine_filesystems_synced(
                Engine *engine,
                Moment now,
                bool has_any,
                SyncResult result,
                const FilesystemSync *filesystems,
                size_t n_filesystems,
                EngineEvents *events) {

        if (!engine->policy.syncing || engine->policy.filesystems_answered_usec > 0)
                return;

        sync_policy_note_filesystems(
                        &engine->policy, &engine->history, now.monotonic_usec, has_any, result, filesystems,
                        n_filesystems);
        engine_continue_sync(engine, now, events);
        engine_update_state(engine, now, events);
}

void engine_sync_ended(Engine *engine, Moment now, SyncResult result, EngineEvents *events) {
        if (!engine->policy.syncing)
                return;

        sync_policy_end(&engine->policy, &engine->history, now.monotonic_usec, result, events);
        engine_after_sync(engine, now, events);
        engine_update_state(engine, now, events);
}

void engine_request_sync(Engine *engine, Moment now, EngineEvents *events) {
        if (engine->policy.syncing)
                engine->sync_requested = true;
        else
                engine_start_sync(engine, now, RULE_NONE, events);

        engine_update_state(engine, now, events);
}

/* Evidence */

/* The CPU use of the workers of the ongoing episode. */
static void engine_add_workers_cpu(const Engine *engine, Evidence *evidence) {
        const Load *load = engine->history.is_ongoing
                                           ? loads_find(&engine->loads, engine->history.episode.work)
                                           : NULL;
        double cpus;

        if (load && load_mean_cpu(load, &cpus))
                evidence_set(evidence, EVIDENCE_WORKERS_CPU, (uint64_t) (cpus * 100 * 100));
}

void engine_note_evidence(Engine *engine, const Evidence *evidence, EngineEvents *events) {
        History *history = &engine->history;
        Evidence all = *evidence;

        engine_add_workers_cpu(engine, &all);
        for (size_t i = 0; i < events->n; i++) {
                EngineEvent *event = &events->events[i];

                if (event->type == EVENT_EPISODE_STARTED) {
                        history->episode.evidence = all;
                        /* Again, since what else spins was noted after the event. */
                        episode_copy(&events->episode, &history->episode);
                } else if (event->type == EVENT_SYNC_STARTED) {
                        sync_policy_note_evidence(&engine->policy, history, &all);
                        event->sync.evidence = all;
                }
        }
}

/* Rules and episodes */

/* The stuck work to act on: that of the episode if a rule holds for it, else the one with the most workers.
 */
static const Load *engine_find_stuck(const Engine *engine, uint64_t now_usec, EngineRule *ret_rule) {
        LoadRules rules = engine_rules(engine);
        const Load *stuck = NULL;

        for (size_t i = 0; i < engine->loads.n; i++) {
                const Load *load = &engine->loads.loads[i];
                EngineRule rule = load_rule(load, now_usec, &rules);
                bool is_of_episode =
                                engine->history.is_ongoing && streq(load->work, engine->history.episode.work);

                if (rule == RULE_NONE)
                        continue;
                if (!stuck || is_of_episode || load_count(load, &rules) > load_count(stuck, &rules)) {
                        stuck = load;
                        *ret_rule = rule;
                }
                if (is_of_episode)
                        break;
        }

        return stuck;
}

static void engine_begin_episode(
                Engine *engine,
                Moment now,
                EngineRule rule,
                const char *work,
                EngineEvents *events) {

        LoadRules rules = engine_rules(engine);

        history_begin(&engine->history, now, rule, work, engine->settings.dry_run);
        sync_policy_adopt(&engine->policy, &engine->history, now.monotonic_usec);
        history_update(&engine->history, now, &engine->loads, &engine->runs, &rules);
        engine_events_add_episode(events, EVENT_EPISODE_STARTED, &engine->history.episode);
}

/* Records the other works for which a rule holds, each by the name of a worker. */
static void engine_note_stuck_works(Engine *engine, uint64_t now_usec) {
        Episode *episode = &engine->history.episode;
        LoadRules rules = engine_rules(engine);

        for (size_t i = 0; i < engine->loads.n; i++) {
                const Load *load = &engine->loads.loads[i];
                const Run *run;

                if (streq(load->work, episode->work) || load_rule(load, now_usec, &rules) == RULE_NONE)
                        continue;

                run = runs_find_work(&engine->runs, load->work);
                if (run)
                        episode_note_also_spinning(episode, run->worker.name);
        }
}

static bool engine_episode_is_over(const Engine *engine, uint64_t now_usec) {
        const Episode *episode = &engine->history.episode;
        const Load *load = loads_find(&engine->loads, episode->work);
        LoadRules rules = engine_rules(engine);

        if (!load)
                return true;

        /* They wait for our sync: spinning workers begin to wait while one is under way. */
        if (sync_policy_is_in_kernel(&engine->policy) && load->n_waiting > 0)
                return false;

        return load_is_over(load, episode->rule, now_usec, &rules);
}

static void engine_end_episode(Engine *engine, Moment now, EngineEvents *events) {
        const Episode *episode;
        uint32_t judged;

        episode = history_end(&engine->history, now, engine_episode_interval_usec(engine), &judged);
        /* A stall that is over must not begin another episode. */
        loads_forget(&engine->loads, episode->work);
        sync_policy_note_judged(&engine->policy, episode, judged, events);
        engine_events_add_episode(events, EVENT_EPISODE_ENDED, episode);
}

/* Updates the ongoing episode, if any. Returns whether this scan ended it. */
static bool engine_continue_episode(Engine *engine, Moment now, EngineEvents *events) {
        History *history = &engine->history;
        LoadRules rules = engine_rules(engine);

        if (!history->is_ongoing)
                return false;

        history_update(history, now, &engine->loads, &engine->runs, &rules);
        if (!engine_episode_is_over(engine, now.monotonic_usec)) {
                sync_policy_judge(&engine->policy, history, history->last_spinning.monotonic_usec, events);
                return false;
        }

        engine_end_episode(engine, now, events);
        return true;
}

void engine_note_others(Engine *engine, const Worker *workers, size_t n_workers) {
        if (!engine->history.is_ongoing)
                return;

        for (size_t i = 0; i < n_workers; i++)
                episode_note_also_spinning(&engine->history.episode, workers[i].name);
}

/* Pause and inhibitors */

static void engine_begin_suspension(Engine *engine, Moment now) {
        engine->suspended_since_usec = now.monotonic_usec;
        engine->suspended_report_usec = usec_add(now.monotonic_usec, ENGINE_PAUSE_REPORT_USEC);
}

void engine_pause(Engine *engine, Moment now, uint64_t usec, EngineEvents *events) {
        if (engine->n_inhibitors == 0)
                engine_begin_suspension(engine, now);
        engine->paused_until_usec = usec_add(now.monotonic_usec, usec);
        engine->paused_until_realtime_usec = usec_add(now.realtime_usec, usec);
        engine_events_add_once(events, EVENT_PAUSE_CHANGED);
        engine_update_state(engine, now, events);
}

static void engine_end_pause(Engine *engine, EngineEvents *events) {
        if (!engine_paused(engine))
                return;

        engine->paused_until_usec = 0;
        engine->paused_until_realtime_usec = 0;
        engine_events_add_once(events, EVENT_PAUSE_CHANGED);
}

void engine_resume(Engine *engine, Moment now, EngineEvents *events) {
        engine_end_pause(engine, events);
        engine_update_state(engine, now, events);
}

void engine_set_inhibitors(Engine *engine, Moment now, uint32_t n, EngineEvents *events) {
        if (!engine_suspended(engine))
                engine_begin_suspension(engine, now);
        engine->n_inhibitors = n;
        engine_events_add_once(events, EVENT_INHIBITORS_CHANGED);
        engine_update_state(engine, now, events);
}

/* A pause that somebody forgot leaves the machine without protection. */
static void engine_report_suspension(Engine *engine, uint64_t now_usec, EngineEvents *events) {
        EngineEvent *event;

        if (!engine_suspended(engine) || now_usec < engine->suspended_report_usec)
                return;

        engine->suspended_report_usec = usec_add(now_usec, ENGINE_PAUSE_REPORT_USEC);
        event = engine_events_add(events, EVENT_STILL_PAUSED);
        event->usec = now_usec - engine->suspended_since_usec;
        event->left_usec = engine->paused_until_usec == USEC_INFINITY
                                           ? USEC_INFINITY
                                           : usec_subtract(engine->paused_until_usec, now_usec);
        event->count = engine->n_inhibitors;
}

/* Scans */

/* Executes what is due by time alone. */
static void engine_pass_time(Engine *engine, Moment now, EngineEvents *events) {
        uint64_t now_usec = now.monotonic_usec;

        if (engine_paused(engine) && now_usec >= engine->paused_until_usec)
                engine_end_pause(engine, events);
        engine_report_suspension(engine, now_usec, events);

        if (!engine->history.is_ongoing &&
            now_usec >= usec_add(engine->history.last_end_usec, ENGINE_UNHELPFUL_RECOVERY_USEC))
                sync_policy_reset(&engine->policy, events);

        if (now_usec >= engine->created_usec)
                engine->created_usec = USEC_INFINITY;
        engine->last_scan_usec = now_usec;
}

static void engine_report_waiting(Engine *engine, uint64_t now_usec, EngineEvents *events) {
        /* They wait for our sync, or count towards the rules. */
        bool is_expected = engine->policy.syncing || engine->settings.count_waiting;
        const Run *longest;
        EngineEvent *event;

        longest = runs_report_waiting(&engine->runs, now_usec, engine->settings.threshold_usec, is_expected);
        if (!longest)
                return;

        event = engine_events_add(events, EVENT_WAITING);
        event->worker = longest->worker;
        event->count = engine->runs.n_waiting;
        event->usec = now_usec - longest->waiting_since_usec;
}

/* The time that a scan covers. A scan due to a thread creation event is the first that could have seen the
 * worker. When any other scan finds a machine no longer idle, it is unknown since when the worker has been
 * running. */
static uint64_t engine_scan_weight_usec(const Engine *engine, uint64_t now_usec) {
        uint64_t cost_usec = MIN(engine->scan_cost_usec, engine_scan_interval_max_usec(engine));
        uint64_t weight_usec = MAX(engine_scan_interval_usec(engine), cost_usec);

        if (engine_follows_workers(engine, engine->last_scan_usec))
                weight_usec = (uint64_t) (SCAN_WEIGHT_MAX * (double) weight_usec);
        else if (now_usec < engine->created_usec)
                weight_usec =
                                MAX(weight_usec, (uint64_t) (IDLE_SCAN_SHARE *
                                                             (double) engine_shorter_threshold_usec(engine)));

        return MIN(now_usec - engine->last_scan_usec, weight_usec);
}

static void engine_update_loads(Engine *engine, uint64_t now_usec, const Worker *workers, size_t n_workers) {
        uint64_t weight_usec = engine_scan_weight_usec(engine, now_usec);
        LoadRules rules = engine_rules(engine);

        loads_begin(&engine->loads);
        runs_update(&engine->runs, &engine->loads, now_usec, workers, n_workers);
        loads_end(&engine->loads, now_usec, weight_usec, &rules);
        if (n_workers > 0)
                engine->last_running_usec = now_usec;
}

/* Requests the scan that must precede a sync. */
static void engine_consider_sync(
                Engine *engine,
                Moment now,
                EngineRule rule,
                const Load *stuck,
                EngineEvents *events) {
        if (engine->policy.syncing || engine_suspended(engine) || engine_recovering(engine, now))
                return;

        engine->confirm_rule = rule;
        memcpy(engine->confirm_work, stuck->work, sizeof(engine->confirm_work));
        (void) engine_events_add(events, EVENT_CONFIRM);
}

void engine_scan(Engine *engine, Moment now, const Worker *workers, size_t n_workers, EngineEvents *events) {
        uint64_t now_usec = now.monotonic_usec;
        EngineRule rule = RULE_NONE;
        const Load *stuck;

        engine->confirm_rule = RULE_NONE;
        engine->last_seen_usec = now_usec;
        engine_update_loads(engine, now_usec, workers, n_workers);
        engine_pass_time(engine, now, events);
        engine_report_waiting(engine, now_usec, events);

        /* A scan ends or begins an episode, not both. */
        stuck = engine_continue_episode(engine, now, events) ? NULL
                                                             : engine_find_stuck(engine, now_usec, &rule);
        if (stuck && !engine->history.is_ongoing)
                engine_begin_episode(engine, now, rule, stuck->work, events);
        if (stuck) {
                engine_note_stuck_works(engine, now_usec);
                engine_consider_sync(engine, now, rule, stuck, events);
        }

        engine_continue_sync(engine, now, events);
        engine_update_state(engine, now, events);
}

void engine_scan_failed(Engine *engine, Moment now, EngineEvents *events) {
        uint64_t unseen_usec = usec_subtract(now.monotonic_usec, engine->last_scan_usec);
        bool created_due = now.monotonic_usec >= engine->created_usec;

        engine->confirm_rule = RULE_NONE;
        runs_shift(&engine->runs, unseen_usec);
        loads_shift(&engine->loads, unseen_usec);
        if (engine->last_running_usec > 0)
                engine->last_running_usec += unseen_usec;

        engine_pass_time(engine, now, events);
        if (created_due)
                engine_thread_created(engine, now);
        engine_continue_sync(engine, now, events);
        engine_update_state(engine, now, events);
}

void engine_confirm(
                Engine *engine,
                Moment now,
                const Worker *workers,
                size_t n_workers,
                EngineEvents *events) {
        bool confirmed = false;

        /* Other inputs may have come between the two scans. */
        if (engine->confirm_rule == RULE_NONE || engine->policy.syncing || engine_suspended(engine))
                return;

        for (size_t i = 0; i < n_workers && !confirmed; i++) {
                const char *work = worker_name_work(workers[i].name);

                confirmed = work && streq(work, engine->confirm_work) &&
                            (worker_spins(&workers[i]) || engine->settings.count_waiting);
        }

        if (!confirmed)
                (void) engine_events_add(events, EVENT_UNCONFIRMED);
        else {
                if (engine->history.is_ongoing && streq(engine->confirm_work, engine->history.episode.work))
                        engine->history.last_spinning = now;
                engine_start_sync(engine, now, engine->confirm_rule, events);
        }
        engine->confirm_rule = RULE_NONE;
        engine_update_state(engine, now, events);
}

void engine_thread_created(Engine *engine, Moment now) {
        uint64_t due_usec = usec_add(now.monotonic_usec, engine->settings.poll_interval_usec);

        engine->created_usec = MIN(engine->created_usec, due_usec);
}

void engine_set_settings(Engine *engine, Moment now, const Settings *settings, EngineEvents *events) {
        engine->settings = *settings;
        engine_update_state(engine, now, events);
}

void engine_set_cpus(Engine *engine, unsigned n_cpus) {
        engine->n_cpus = n_cpus;
}

void engine_set_scan_cost(Engine *engine, uint64_t usec) {
        engine->scan_cost_usec = usec;
}

void engine_set_polling(Engine *engine, bool polling) {
        engine->polling = polling;
}

int engine_new(const Settings *settings, unsigned n_cpus, Moment now, Engine **ret) {
        Engine *engine;

        engine = calloc(1, sizeof(*engine));
        if (!engine)
                return -ENOMEM;

        /* A stall needs these pages, and its first syncs must not wait for memory. */
        explicit_bzero(&engine->history.episode, offsetof(Episode, syncs[2]));
        explicit_bzero(&engine->loads.loads[0], sizeof(Load));

        engine->settings = *settings;
        engine->n_cpus = n_cpus;
        engine->last_scan_usec = now.monotonic_usec;
        engine->history.last_end_usec = now.monotonic_usec;
        engine->created_usec = USEC_INFINITY;
        engine->state_since = now;

        *ret = engine;
        return 0;
}

Engine *engine_free(Engine *engine) {
        free(engine);
        return NULL;
}

/* Outputs */

/* The earlier of two times, but ignores a deadline before the last scan: what was due then is done. */
static uint64_t earlier_deadline(const Engine *engine, uint64_t wake_usec, uint64_t deadline_usec) {
        return deadline_usec > engine->last_scan_usec ? MIN(wake_usec, deadline_usec) : wake_usec;
}

uint64_t engine_wake_usec(const Engine *engine, bool *ret_exact) {
        const Settings *settings = &engine->settings;
        bool follows = engine_follows_workers(engine, engine->last_scan_usec);
        uint64_t interval_usec = settings->idle_scan_interval_usec, regular_usec,
                 deadline_usec = USEC_INFINITY;

        if (engine->history.is_ongoing)
                interval_usec = engine_episode_interval_usec(engine);
        else if (follows)
                interval_usec = engine_scan_interval_usec(engine);
        else if (engine->polling)
                interval_usec = MIN(interval_usec, settings->poll_interval_usec);
        else
                deadline_usec = engine->created_usec;
        regular_usec = usec_add(engine->last_scan_usec, interval_usec);

        deadline_usec = earlier_deadline(engine, deadline_usec, sync_policy_wake_usec(&engine->policy));
        if (engine->state == ENGINE_RECOVERY)
                deadline_usec = earlier_deadline(engine, deadline_usec, engine_recovery_end_usec(engine));
        if (engine_paused(engine))
                deadline_usec = earlier_deadline(engine, deadline_usec, engine->paused_until_usec);

        /* Only an idle scan may be late. */
        *ret_exact = follows || deadline_usec <= regular_usec;
        return MIN(regular_usec, deadline_usec);
}

EngineState engine_state(const Engine *engine) {
        return engine->state;
}

Moment engine_state_since(const Engine *engine) {
        return engine->state_since;
}

uint64_t engine_paused_until_usec(const Engine *engine) {
        return engine->paused_until_realtime_usec;
}

uint32_t engine_n_inhibitors(const Engine *engine) {
        return engine->n_inhibitors;
}

uint32_t engine_n_spinning(const Engine *engine) {
        return engine->runs.n_spinning;
}

uint32_t engine_n_waiting(const Engine *engine) {
        return engine->runs.n_waiting;
}

const Run *engine_runs(const Engine *engine, size_t *ret_n) {
        *ret_n = engine->runs.n;
        return runs_table(&engine->runs);
}

const Run *engine_longest_run(const Engine *engine) {
        return runs_longest(&engine->runs);
}

uint64_t engine_run_usec(const Engine *engine, const Run *run) {
        return usec_subtract(engine->last_scan_usec, run->since_usec);
}

uint32_t engine_syncs_unhelpful(const Engine *engine) {
        return engine->policy.real_pacing.n_unhelpful;
}

const Sync *engine_sync(const Engine *engine) {
        return engine->policy.syncing ? &engine->policy.sync : NULL;
}

const Sync *engine_last_sync(const Engine *engine) {
        return engine->policy.last_sync.id > 0 ? &engine->policy.last_sync : NULL;
}

uint64_t engine_sync_count(const Engine *engine) {
        return engine->policy.n_real_syncs;
}

uint64_t engine_n_syncs_with(const Engine *engine, SyncResult result) {
        return engine->policy.n_results[result];
}

uint64_t engine_next_sync_id(const Engine *engine) {
        return engine->policy.n_syncs + 1;
}

const Episode *engine_episode(const Engine *engine) {
        return engine->history.is_ongoing ? &engine->history.episode : NULL;
}

size_t engine_n_episodes(const Engine *engine) {
        return engine->history.n_ended;
}

uint64_t engine_n_episodes_with(const Engine *engine, EpisodeOutcome outcome) {
        return outcome == OUTCOME_ONGOING ? engine->history.is_ongoing : engine->history.n_outcomes[outcome];
}

void engine_ended_episode(const Engine *engine, size_t index, Episode *ret) {
        history_ended(&engine->history, index, ret);
}
