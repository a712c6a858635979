/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The engine: see engine.h for what it promises, and docs/detection.md for its rules. */

#include "engine.h"

#include <assert.h>

#include "load.h"

/* A scan stands for the time since the scan before, but never for more than so many scan intervals: nobody
 * saw what happened in between. */
#define SCAN_WEIGHT_MAX 1.5

/* The scan of an idle machine stands for this share of the crowd's threshold. It makes up for a part of the
 * wait for it: without thread creation events up to an idle scan interval. Less than twice as much is safe: a
 * burst that one scan saw does not suffice for the rule. */
#define IDLE_SCAN_SHARE 0.15

/* The built-in CrowdSize is at most this share of the online CPUs, but at least so many workers: before Linux
 * 6.5 only one such worker can spin on each CPU, with gaps. */
#define CROWD_CPU_SHARE 0.75
#define CROWD_SIZE_MIN 1.5

/* An episode of rule `worker` ends when fewer than so many workers spin on average, one of rule `crowd` at
 * this share of the crowd size. */
#define EPISODE_END_SHARE 0.5

/* While scans follow running workers, so many of them fit into a threshold at least. */
#define SCANS_PER_THRESHOLD 5

/* Of the runs that are kept, waiting workers take so many at most: those that spin decide. */
#define RUNS_WAITING_MAX (ENGINE_RUNS_MAX / 2)

/* When the next sync may come. Dry runs have one of their own, so that they change nothing for real syncs. */
typedef struct Pacing {
        uint64_t last_end_usec; /* of the last sync; 0: no Recovery time */
        unsigned backoff;       /* the Recovery time counts so many times */
        uint32_t n_unhelpful;   /* automatic syncs in a row that did not help */
} Pacing;

struct Engine {
        Settings settings;
        uint64_t scan_cost_usec; /* scans come no more often than this */
        unsigned n_cpus;
        bool polling;

        uint64_t last_scan_usec;
        uint64_t last_running_usec; /* the last scan with a running worker; 0 for none yet */
        uint64_t created_usec;      /* a scan is due because a thread was created; USEC_INFINITY for none */

        Run runs[2][ENGINE_RUNS_MAX];
        Run *running, *scratch; /* sorted by pid, then start time */
        size_t n_running;
        uint32_t n_spinning, n_waiting;
        Loads loads;

        bool waiting_reported;
        uint64_t last_waiting_usec;

        EngineState state;
        Moment state_since;

        uint64_t paused_until_usec;          /* CLOCK_MONOTONIC; 0 not paused */
        uint64_t paused_until_realtime_usec; /* the same for people */

        /* What EVENT_CONFIRM is about. */
        EngineRule confirm_rule;
        char confirm_work[WORKER_NAME_MAX + 1];

        bool syncing;
        bool request_pending;               /* another one was requested during this one */
        uint64_t filesystems_answered_usec; /* 0: not yet */
        SyncResult filesystems_result;
        Sync sync; /* the one under way */
        Sync last_sync;
        uint64_t n_syncs; /* ids used */
        uint64_t n_real_syncs;
        Pacing real_pacing, dry_pacing;

        bool in_episode;
        Episode episode;      /* the ongoing one */
        Moment last_spinning; /* the last scan with a spinning worker of its work */
        uint64_t last_episode_end_usec;
        uint64_t n_episodes;
        Episode history[ENGINE_EPISODES_MAX]; /* a ring */
        size_t first_ended, n_ended;
};

const char *engine_state_to_string(EngineState state) {
        static const char *const names[] = {
                [ENGINE_IDLE] = "idle",         [ENGINE_BUSY] = "busy",     [ENGINE_SYNCING] = "syncing",
                [ENGINE_RECOVERY] = "recovery", [ENGINE_PAUSED] = "paused",
        };

        return names[state];
}

/* Events */

static EngineEvent *add_event(EngineEvents *events, EngineEventType type) {
        EngineEvent *event;

        assert(events->n < ENGINE_EVENTS_MAX);
        event = &events->events[events->n++];
        event->type = type;
        return event;
}

/* Several causes in one input are one change. */
static void add_event_once(EngineEvents *events, EngineEventType type) {
        if (!engine_events_find(events, type))
                (void) add_event(events, type);
}

static void add_sync_event(EngineEvents *events, EngineEventType type, const Sync *sync) {
        add_event(events, type)->sync = *sync;
}

const EngineEvent *engine_events_find(const EngineEvents *events, EngineEventType type) {
        for (size_t i = 0; i < events->n; i++)
                if (events->events[i].type == type)
                        return &events->events[i];

        return NULL;
}

/* What is in force */

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

/* So that there are some scans within each threshold. */
static uint64_t engine_scan_interval_max_usec(const Engine *engine) {
        const Settings *settings = &engine->settings;
        uint64_t threshold_usec = settings->threshold_usec;

        if (settings->crowd_size > 0)
                threshold_usec = MIN(threshold_usec, settings->crowd_threshold_usec);

        return threshold_usec / SCANS_PER_THRESHOLD;
}

/* Between two scans while workers run. */
static uint64_t engine_scan_interval_usec(const Engine *engine) {
        return MIN(engine->settings.poll_interval_usec, engine_scan_interval_max_usec(engine));
}

static bool engine_follows_workers(const Engine *engine, uint64_t now_usec) {
        return engine->syncing || engine->in_episode ||
               (engine->last_running_usec > 0 &&
                now_usec < usec_add(engine->last_running_usec, engine->settings.crowd_threshold_usec));
}

static bool engine_paused(const Engine *engine) {
        return engine->paused_until_usec > 0;
}

/* Recovery */

static const Pacing *engine_pacing(const Engine *engine) {
        return engine->settings.dry_run ? &engine->dry_pacing : &engine->real_pacing;
}

uint64_t engine_recovery_end_usec(const Engine *engine) {
        const Pacing *pacing = engine_pacing(engine);
        uint64_t recovery_usec;

        if (pacing->last_end_usec == 0)
                return 0;

        recovery_usec = engine->settings.recovery_usec * pacing->backoff;
        if (pacing->n_unhelpful >= ENGINE_UNHELPFUL_MAX)
                recovery_usec = MAX(recovery_usec, (uint64_t) ENGINE_UNHELPFUL_RECOVERY_USEC);

        return usec_add(pacing->last_end_usec, recovery_usec);
}

static bool engine_recovering(const Engine *engine, Moment now) {
        return now.monotonic_usec < engine_recovery_end_usec(engine);
}

static void pacing_note_unhelpful(Pacing *pacing) {
        pacing->backoff = MIN(pacing->backoff * 2, (unsigned) ENGINE_BACKOFF_MAX);
        pacing->n_unhelpful++;
}

/* Returns whether anything changed. The Recovery time after the last sync goes on, undoubled. */
static bool pacing_reset(Pacing *pacing) {
        bool changed = pacing->n_unhelpful > 0;

        pacing->backoff = 1;
        pacing->n_unhelpful = 0;
        return changed;
}

static void engine_reset_pacing(Engine *engine, EngineEvents *events) {
        (void) pacing_reset(&engine->dry_pacing);
        if (pacing_reset(&engine->real_pacing))
                add_event_once(events, EVENT_UNHELPFUL_CHANGED);
}

/* The state is what the facts say. It is kept only to know since when. */
static void engine_update_state(Engine *engine, Moment now, EngineEvents *events) {
        EngineState state;

        if (engine->syncing)
                state = ENGINE_SYNCING;
        else if (engine_paused(engine))
                state = ENGINE_PAUSED;
        else if (engine_recovering(engine, now))
                state = ENGINE_RECOVERY;
        else if (engine->n_spinning + engine->n_waiting > 0)
                state = ENGINE_BUSY;
        else
                state = ENGINE_IDLE;

        if (state == engine->state)
                return;

        engine->state = state;
        engine->state_since = now;
        add_event_once(events, EVENT_STATE_CHANGED);
}

/* Runs */

static int compare_workers(const Worker *a, const Worker *b) {
        if (a->pid != b->pid)
                return a->pid < b->pid ? -1 : 1;
        if (a->start_time != b->start_time)
                return a->start_time < b->start_time ? -1 : 1;
        return 0;
}

/* Finds the run that a worker goes on with: the same thread in the same work. Both are sorted; *i is where
 * the search goes on. */
static const Run *find_run(const Engine *engine, const Worker *worker, size_t *i) {
        while (*i < engine->n_running && compare_workers(&engine->running[*i].worker, worker) < 0)
                (*i)++;

        if (*i < engine->n_running && worker_same(&engine->running[*i].worker, worker) &&
            streq(engine->running[*i].worker.name, worker->name))
                return &engine->running[*i];

        return NULL;
}

/* How many new runs there is room for: those that go on are kept, since they are longer. */
static size_t engine_count_free_runs(const Engine *engine, const Worker *workers, size_t n_workers) {
        size_t n_known = 0;

        for (size_t i = 0, k = 0; i < n_workers; i++)
                if (find_run(engine, &workers[i], &k))
                        n_known++;

        return ENGINE_RUNS_MAX - n_known;
}

static void engine_count_worker(Engine *engine, const Worker *worker, uint64_t cpu_usec) {
        if (worker_spins(worker))
                engine->n_spinning++;
        else
                engine->n_waiting++;

        loads_count(&engine->loads, worker, cpu_usec);
}

/* Takes over what a scan found: the runs, the counts, and what each work's workers used. */
static void engine_update_runs(Engine *engine, uint64_t now_usec, const Worker *workers, size_t n_workers) {
        size_t n_free = engine_count_free_runs(engine, workers, n_workers), n = 0;
        size_t n_free_spinning = MIN(n_free, (size_t) ENGINE_RUNS_MAX - RUNS_WAITING_MAX);
        size_t n_free_waiting = n_free - n_free_spinning;
        Run *swap;

        engine->n_spinning = engine->n_waiting = 0;

        for (size_t i = 0, k = 0; i < n_workers; i++) {
                const Worker *worker = &workers[i];
                const Run *before = find_run(engine, worker, &k);

                engine_count_worker(
                                engine, worker,
                                before ? usec_subtract(worker->cpu_usec, before->worker.cpu_usec) : 0);
                if (!before) {
                        size_t *n_room = worker_spins(worker) ? &n_free_spinning : &n_free_waiting;

                        if (*n_room == 0)
                                continue;
                        (*n_room)--;
                }

                engine->scratch[n++] = (Run){
                        .worker = *worker,
                        .since_usec = before ? before->since_usec : now_usec,
                        .waiting_since_usec = worker_spins(worker) ? 0
                                              : before && before->waiting_since_usec > 0
                                                              ? before->waiting_since_usec
                                                              : now_usec,
                };
        }

        swap = engine->running;
        engine->running = engine->scratch;
        engine->scratch = swap;
        engine->n_running = n;
}

const Run *engine_longest_run(const Engine *engine) {
        const Run *longest = NULL;

        for (size_t i = 0; i < engine->n_running; i++)
                if (!longest || engine->running[i].since_usec < longest->since_usec)
                        longest = &engine->running[i];

        return longest;
}

uint64_t engine_run_usec(const Engine *engine, const Run *run) {
        return usec_subtract(engine->last_scan_usec, run->since_usec);
}

/* Syncs */

/* The record of the episode that a sync belongs to, ongoing or ended. */
static Episode *engine_find_episode(Engine *engine, uint64_t id) {
        if (engine->in_episode && engine->episode.id == id)
                return &engine->episode;

        for (size_t i = 0; i < engine->n_ended; i++)
                if (engine->history[i].id == id)
                        return &engine->history[i];

        return NULL;
}

static void engine_record_sync(Engine *engine, const Sync *sync) {
        Episode *episode = sync->episode_id > 0 ? engine_find_episode(engine, sync->episode_id) : NULL;

        if (episode)
                episode_note_sync(episode, sync);
}

/* Whether it helped is known: what follows from it. The sync under way and the last one keep it, too. */
static void engine_judge_sync(Engine *engine, const Sync *sync, EngineEvents *events) {
        Pacing *pacing = &engine->real_pacing;

        if (engine->syncing && engine->sync.id == sync->id)
                engine->sync.helped = sync->helped;
        if (engine->last_sync.id == sync->id)
                engine->last_sync.helped = sync->helped;

        add_sync_event(events, EVENT_SYNC_JUDGED, sync);

        if (sync->helped == HELPED_YES)
                engine_reset_pacing(engine, events);
        else if (sync->rule != RULE_NONE && sync->result != SYNC_FAILED) {
                pacing_note_unhelpful(pacing);
                add_event_once(events, EVENT_UNHELPFUL_CHANGED);
                if (pacing->n_unhelpful == ENGINE_UNHELPFUL_MAX)
                        add_sync_event(events, EVENT_SYNCS_UNHELPFUL, sync);
        }
}

/* The stall went on for so long after a sync's end that the sync did not help. */
static void engine_judge_unhelpful(Engine *engine, uint64_t now_usec, EngineEvents *events) {
        Sync *sync = engine->episode.n_syncs > 0 ? &engine->episode.syncs[engine->episode.n_syncs - 1] : NULL;

        if (!sync || sync->helped != HELPED_PENDING || sync->dry_run ||
            (engine->syncing && engine->sync.id == sync->id) ||
            now_usec <= sync->start.monotonic_usec + sync->duration_usec + SYNC_HELPED_WITHIN_USEC)
                return;

        sync->helped = HELPED_NO;
        engine_judge_sync(engine, sync, events);
}

/* Judges at the end of an episode all that was not judged in it. */
static void engine_judge_all(Engine *engine, uint64_t n_judged_before, EngineEvents *events) {
        const Episode *episode = &engine->episode;

        for (size_t i = 0; i < episode->n_syncs; i++)
                if (!episode->syncs[i].dry_run && (n_judged_before & (UINT64_C(1) << i)) == 0)
                        engine_judge_sync(engine, &episode->syncs[i], events);
}

static void engine_start_sync(Engine *engine, Moment now, EngineRule rule, EngineEvents *events) {
        const Run *longest = engine_longest_run(engine);

        /* Another one is needed: so the one before did not help. */
        if (engine->in_episode)
                engine_judge_unhelpful(engine, USEC_INFINITY, events);

        engine->syncing = true;
        engine->filesystems_answered_usec = 0;
        engine->sync = (Sync){
                .id = ++engine->n_syncs,
                .episode_id = engine->in_episode ? engine->episode.id : 0,
                .start = now,
                .longest_run_usec = longest ? engine_run_usec(engine, longest) : 0,
                .worker_count = engine->n_spinning + engine->n_waiting,
                .rule = rule,
                .method = engine->settings.sync_method,
                .dry_run = rule != RULE_NONE && engine->settings.dry_run,
        };
        if (!engine->sync.dry_run)
                engine->n_real_syncs++;

        engine_record_sync(engine, &engine->sync);
        add_sync_event(events, EVENT_SYNC_STARTED, &engine->sync);
}

/* Ends the sync under way, as of end_usec. */
static void engine_end_sync(
                Engine *engine,
                Moment now,
                uint64_t end_usec,
                SyncResult result,
                EngineEvents *events) {
        Sync *sync = &engine->sync;
        Pacing *pacing = sync->dry_run ? &engine->dry_pacing : &engine->real_pacing;

        engine->syncing = false;
        sync->result = result;
        sync->duration_usec = usec_subtract(end_usec, sync->start.monotonic_usec);

        /* What could not be made needs no time to show its effect; but it is tried again at once only once.
         */
        if (result != SYNC_FAILED || engine->last_sync.result == SYNC_FAILED)
                pacing->last_end_usec = end_usec;
        if (sync->dry_run)
                pacing_note_unhelpful(pacing);
        else
                engine->last_sync = *sync;

        loads_empty(&engine->loads);
        engine_record_sync(engine, sync);
        add_sync_event(events, EVENT_SYNC_ENDED, sync);

        if (engine->request_pending) {
                engine->request_pending = false;
                engine_start_sync(engine, now, RULE_NONE, events);
        }
}

/* After the filesystems: a requested sync must be complete. One of ours calls sync(2) as well only when a
 * worker still spins SYNC_HELPED_WITHIN_USEC later: until the episode ends it may be over already, and
 * sync(2) can hang. */
static void engine_continue_sync(Engine *engine, Moment now, EngineEvents *events) {
        uint64_t due_usec = usec_add(engine->filesystems_answered_usec, SYNC_HELPED_WITHIN_USEC);
        bool stall_over = engine->sync.rule != RULE_NONE && !engine->in_episode;

        if (!engine->syncing || engine->filesystems_answered_usec == 0 || engine->sync.everything)
                return;

        if (engine->sync.method == SYNC_METHOD_SYNCFS || stall_over) {
                engine_end_sync(engine, now, engine->filesystems_answered_usec, engine->filesystems_result,
                                events);
                return;
        }

        if (engine->sync.rule == RULE_NONE || !engine->sync.has_filesystems ||
            engine->last_spinning.monotonic_usec >= due_usec) {
                engine->sync.everything = true;
                engine_record_sync(engine, &engine->sync);
                add_sync_event(events, EVENT_SYNC_EVERYTHING, &engine->sync);
        }
}

void engine_filesystems_synced(
                Engine *engine,
                Moment now,
                bool has_any,
                SyncResult result,
                const FilesystemSync *filesystems,
                size_t n_filesystems,
                EngineEvents *events) {

        Sync *sync = &engine->sync;

        if (!engine->syncing || engine->filesystems_answered_usec > 0)
                return;

        engine->filesystems_answered_usec = now.monotonic_usec;
        engine->filesystems_result = has_any ? result : SYNC_FAILED;
        sync->has_filesystems = has_any;
        sync->n_filesystems = (uint32_t) MIN(n_filesystems, (size_t) SYNC_FILESYSTEMS_MAX);
        memcpy(sync->filesystems, filesystems, sync->n_filesystems * sizeof(filesystems[0]));
        engine_record_sync(engine, sync);

        engine_continue_sync(engine, now, events);
        engine_update_state(engine, now, events);
}

void engine_sync_ended(Engine *engine, Moment now, SyncResult result, EngineEvents *events) {
        if (!engine->syncing)
                return;

        engine_end_sync(engine, now, now.monotonic_usec, result, events);
        engine_update_state(engine, now, events);
}

void engine_request_sync(Engine *engine, Moment now, EngineEvents *events) {
        if (engine->syncing)
                engine->request_pending = true;
        else
                engine_start_sync(engine, now, RULE_NONE, events);

        engine_update_state(engine, now, events);
}

/* Episodes */

static double engine_episode_limit(const Engine *engine, EngineRule rule) {
        double crowd_size = engine_crowd_size(engine);

        return EPISODE_END_SHARE * (rule == RULE_CROWD && crowd_size > 0 ? crowd_size : 1);
}

/* The rule that calls a work stuck at this scan, or RULE_NONE. Somebody must still be spinning. */
static EngineRule engine_load_rule(const Engine *engine, const Load *load, uint64_t now_usec) {
        LoadRules rules = engine_rules(engine);
        EngineRule rule = RULE_NONE;

        if (load->work[0] == '\0' || load_count(load, &rules) == 0)
                return RULE_NONE;

        if (load_is_crowd(load, now_usec, &rules))
                rule = RULE_CROWD;
        else if (load_has_stuck_worker(load, now_usec, &rules))
                rule = RULE_WORKER;

        /* A crowd that has gone meanwhile is no stall any more. */
        if (rule != RULE_NONE && load_mean(load, now_usec) < engine_episode_limit(engine, rule))
                return RULE_NONE;

        return rule;
}

/* The stuck work to act for: that of the episode if a rule holds for it, else the one with the most workers.
 */
static const Load *engine_find_stuck(const Engine *engine, uint64_t now_usec, EngineRule *ret_rule) {
        const Load *stuck = NULL;

        for (size_t i = 0; i < LOADS_MAX; i++) {
                const Load *load = &engine->loads.loads[i];
                EngineRule rule = engine_load_rule(engine, load, now_usec);
                bool is_of_episode = engine->in_episode && streq(load->work, engine->episode.work);

                if (rule == RULE_NONE)
                        continue;
                if (!stuck || is_of_episode || load->n_spinning > stuck->n_spinning) {
                        stuck = load;
                        *ret_rule = rule;
                }
                if (is_of_episode)
                        break;
        }

        return stuck;
}

/* A sync that is under way, or that ended just now, may be what ends the stall that is being detected. */
static void engine_adopt_sync(Engine *engine, Moment now) {
        Sync *sync = engine->syncing ? &engine->sync : &engine->last_sync;

        if (sync->id == 0 || sync->dry_run || sync->episode_id > 0)
                return;
        if (!engine->syncing &&
            now.monotonic_usec > sync->start.monotonic_usec + sync->duration_usec + SYNC_HELPED_WITHIN_USEC)
                return;

        sync->episode_id = engine->episode.id;
        engine_record_sync(engine, sync);
}

static void engine_begin_episode(Engine *engine, Moment now, EngineRule rule, const char *work) {
        episode_begin(&engine->episode, ++engine->n_episodes, now, rule, work, engine->settings.dry_run);
        engine->in_episode = true;
        engine->last_spinning = now;
        engine_adopt_sync(engine, now);
}

/* Notes what this scan found of the episode's work. */
static void engine_update_episode(Engine *engine, Moment now) {
        Episode *episode = &engine->episode;
        const Load *load = loads_find(&engine->loads, episode->work);
        LoadRules rules = engine_rules(engine);

        if (!load)
                return;

        if (load_count(load, &rules) > 0)
                engine->last_spinning = now;

        episode->spinning_max = MAX(episode->spinning_max, load->n_spinning);
        episode->waiting_max = MAX(episode->waiting_max, load->n_waiting);
        episode->worker_max = MAX(episode->worker_max, load->n_spinning + load->n_waiting);

        for (size_t i = 0; i < engine->n_running; i++) {
                const Run *run = &engine->running[i];
                const char *work = worker_name_work(run->worker.name);

                if (work && streq(work, episode->work))
                        episode_note_worker(episode, &run->worker, engine_run_usec(engine, run));
        }
}

/* Notes the other works that a rule calls stuck meanwhile, each by the name of a worker. */
static void engine_note_stuck_works(Engine *engine, uint64_t now_usec) {
        for (size_t i = 0; i < LOADS_MAX; i++) {
                const Load *load = &engine->loads.loads[i];

                if (streq(load->work, engine->episode.work) ||
                    engine_load_rule(engine, load, now_usec) == RULE_NONE)
                        continue;

                for (size_t k = 0; k < engine->n_running; k++) {
                        const char *work = worker_name_work(engine->running[k].worker.name);

                        if (work && streq(work, load->work)) {
                                episode_note_also_spinning(&engine->episode, engine->running[k].worker.name);
                                break;
                        }
                }
        }
}

/* Whether a system call of the sync under way has not returned yet. */
static bool engine_has_sync_in_kernel(const Engine *engine) {
        return engine->syncing && (engine->filesystems_answered_usec == 0 || engine->sync.everything);
}

static bool engine_episode_is_over(const Engine *engine, uint64_t now_usec) {
        const Load *load = loads_find(&engine->loads, engine->episode.work);

        if (!load)
                return true;

        /* They wait for our sync: workers that spin go to wait while one is under way. */
        if (engine_has_sync_in_kernel(engine) && load->n_waiting > 0)
                return false;

        return load_mean(load, now_usec) < engine_episode_limit(engine, engine->episode.rule);
}

static Episode *engine_new_history_row(Engine *engine) {
        if (engine->n_ended < ENGINE_EPISODES_MAX)
                return &engine->history[engine->n_ended++];

        engine->first_ended = (engine->first_ended + 1) % ENGINE_EPISODES_MAX;
        return &engine->history[(engine->first_ended + ENGINE_EPISODES_MAX - 1) % ENGINE_EPISODES_MAX];
}

static void engine_end_episode(Engine *engine, Moment now, EngineEvents *events) {
        Episode *episode = &engine->episode;
        uint64_t judged = 0;

        for (size_t i = 0; i < episode->n_syncs; i++)
                if (episode->syncs[i].helped != HELPED_PENDING)
                        judged |= UINT64_C(1) << i;

        episode_end(episode, engine->last_spinning, engine_scan_interval_usec(engine));
        engine->in_episode = false;
        engine->last_episode_end_usec = now.monotonic_usec;
        /* What is over begins no other episode. */
        loads_empty_work(&engine->loads, episode->work);
        (void) pacing_reset(&engine->dry_pacing);

        engine_judge_all(engine, judged, events);
        episode_copy(engine_new_history_row(engine), episode);
        episode_copy(&events->episode, episode);
        (void) add_event(events, EVENT_EPISODE_ENDED);
}

void engine_note_others(Engine *engine, const Worker *workers, size_t n_workers) {
        if (!engine->in_episode)
                return;

        for (size_t i = 0; i < n_workers; i++)
                episode_note_also_spinning(&engine->episode, workers[i].name);
}

/* Pause */

void engine_pause(Engine *engine, Moment now, uint64_t usec, EngineEvents *events) {
        engine->paused_until_usec = usec_add(now.monotonic_usec, usec);
        engine->paused_until_realtime_usec = usec_add(now.realtime_usec, usec);
        add_event_once(events, EVENT_PAUSE_CHANGED);
        engine_update_state(engine, now, events);
}

static void engine_end_pause(Engine *engine, EngineEvents *events) {
        if (!engine_paused(engine))
                return;

        engine->paused_until_usec = 0;
        engine->paused_until_realtime_usec = 0;
        add_event_once(events, EVENT_PAUSE_CHANGED);
}

void engine_resume(Engine *engine, Moment now, EngineEvents *events) {
        engine_end_pause(engine, events);
        engine_update_state(engine, now, events);
}

/* Scans */

/* What happens by time alone. */
static void engine_pass_time(Engine *engine, Moment now, EngineEvents *events) {
        uint64_t now_usec = now.monotonic_usec;

        if (engine_paused(engine) && now_usec >= engine->paused_until_usec)
                engine_end_pause(engine, events);

        if (!engine->in_episode &&
            now_usec >= usec_add(engine->last_episode_end_usec, ENGINE_UNHELPFUL_RECOVERY_USEC))
                engine_reset_pacing(engine, events);

        if (now_usec >= engine->created_usec)
                engine->created_usec = USEC_INFINITY;
        engine->last_scan_usec = now_usec;
}

/* Reports waiting workers once: when one has waited for the threshold. */
static void engine_report_waiting(Engine *engine, uint64_t now_usec, EngineEvents *events) {
        const Run *longest = NULL;
        EngineEvent *event;

        if (engine->n_waiting > 0)
                engine->last_waiting_usec = now_usec;
        else if (now_usec >= usec_add(engine->last_waiting_usec, engine->settings.threshold_usec))
                engine->waiting_reported = false;

        /* They wait for our sync, or count like others. */
        if (engine->waiting_reported || engine->syncing || engine->settings.count_waiting)
                return;

        for (size_t i = 0; i < engine->n_running; i++) {
                const Run *run = &engine->running[i];

                if (run->waiting_since_usec > 0 &&
                    (!longest || run->waiting_since_usec < longest->waiting_since_usec))
                        longest = run;
        }
        if (!longest || now_usec - longest->waiting_since_usec < engine->settings.threshold_usec)
                return;

        engine->waiting_reported = true;
        event = add_event(events, EVENT_WAITING);
        event->worker = longest->worker;
        event->count = engine->n_waiting;
        event->usec = now_usec - longest->waiting_since_usec;
}

/* For how long a scan stands. One that a thread creation event made due is the first that could have seen the
 * worker; before any other scan of an idle machine nobody knows since when it has been running. */
static uint64_t engine_scan_weight_usec(const Engine *engine, uint64_t now_usec) {
        uint64_t cost_usec = MIN(engine->scan_cost_usec, engine_scan_interval_max_usec(engine));
        uint64_t weight_usec = MAX(engine_scan_interval_usec(engine), cost_usec);

        if (engine_follows_workers(engine, engine->last_scan_usec))
                weight_usec = (uint64_t) (SCAN_WEIGHT_MAX * (double) weight_usec);
        else if (now_usec < engine->created_usec)
                weight_usec =
                                MAX(weight_usec, (uint64_t) (IDLE_SCAN_SHARE *
                                                             (double) engine->settings.crowd_threshold_usec));

        return MIN(now_usec - engine->last_scan_usec, weight_usec);
}

static void engine_update_loads(Engine *engine, uint64_t now_usec, const Worker *workers, size_t n_workers) {
        uint64_t weight_usec = engine_scan_weight_usec(engine, now_usec);
        LoadRules rules = engine_rules(engine);

        loads_begin(&engine->loads);
        engine_update_runs(engine, now_usec, workers, n_workers);
        loads_end(&engine->loads, now_usec, weight_usec, &rules);
        if (n_workers > 0)
                engine->last_running_usec = now_usec;
}

/* Asks for the scan that must come before a sync. */
static void engine_consider_sync(
                Engine *engine,
                Moment now,
                EngineRule rule,
                const Load *stuck,
                EngineEvents *events) {
        if (engine->syncing || engine_paused(engine) || engine_recovering(engine, now))
                return;

        engine->confirm_rule = rule;
        memcpy(engine->confirm_work, stuck->work, sizeof(engine->confirm_work));
        (void) add_event(events, EVENT_CONFIRM);
}

void engine_scan(Engine *engine, Moment now, const Worker *workers, size_t n_workers, EngineEvents *events) {
        uint64_t now_usec = now.monotonic_usec;
        EngineRule rule = RULE_NONE;
        const Load *stuck;
        bool ended = false;

        engine->confirm_rule = RULE_NONE;
        engine_update_loads(engine, now_usec, workers, n_workers);
        engine_pass_time(engine, now, events);
        engine_report_waiting(engine, now_usec, events);

        if (engine->in_episode) {
                engine_update_episode(engine, now);
                engine_judge_unhelpful(engine, engine->last_spinning.monotonic_usec, events);
                ended = engine_episode_is_over(engine, now_usec);
                if (ended)
                        engine_end_episode(engine, now, events);
        }

        /* One episode ends or begins in a scan, not both. */
        stuck = ended ? NULL : engine_find_stuck(engine, now_usec, &rule);
        if (stuck && !engine->in_episode) {
                engine_begin_episode(engine, now, rule, stuck->work);
                engine_update_episode(engine, now);
                episode_copy(&events->episode, &engine->episode);
                (void) add_event(events, EVENT_EPISODE_STARTED);
        }
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
        for (size_t i = 0; i < engine->n_running; i++) {
                engine->running[i].since_usec += unseen_usec;
                if (engine->running[i].waiting_since_usec > 0)
                        engine->running[i].waiting_since_usec += unseen_usec;
        }
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

        /* Between the two scans anything may have been requested. */
        if (engine->confirm_rule == RULE_NONE || engine->syncing || engine_paused(engine))
                return;

        for (size_t i = 0; i < n_workers && !confirmed; i++) {
                const char *work = worker_name_work(workers[i].name);

                confirmed = work && streq(work, engine->confirm_work) &&
                            (worker_spins(&workers[i]) || engine->settings.count_waiting);
        }

        if (!confirmed)
                (void) add_event(events, EVENT_UNCONFIRMED);
        else {
                if (engine->in_episode && streq(engine->confirm_work, engine->episode.work))
                        engine->last_spinning = now;
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

        engine->settings = *settings;
        engine->n_cpus = n_cpus;
        engine->running = engine->runs[0];
        engine->scratch = engine->runs[1];
        engine->last_scan_usec = now.monotonic_usec;
        engine->last_episode_end_usec = now.monotonic_usec;
        engine->created_usec = USEC_INFINITY;
        engine->state_since = now;
        engine->real_pacing.backoff = engine->dry_pacing.backoff = 1;

        *ret = engine;
        return 0;
}

Engine *engine_free(Engine *engine) {
        free(engine);
        return NULL;
}

/* Outputs */

/* The earlier one of two times, but not one that has passed by the last scan: what was due then has happened.
 */
static uint64_t earlier_deadline(const Engine *engine, uint64_t wake_usec, uint64_t deadline_usec) {
        return deadline_usec > engine->last_scan_usec ? MIN(wake_usec, deadline_usec) : wake_usec;
}

uint64_t engine_wake_usec(const Engine *engine, bool *ret_exact) {
        const Settings *settings = &engine->settings;
        bool follows = engine_follows_workers(engine, engine->last_scan_usec);
        uint64_t interval_usec = settings->idle_scan_interval_usec, regular_usec,
                 deadline_usec = USEC_INFINITY;

        if (follows)
                interval_usec = engine_scan_interval_usec(engine);
        else if (engine->polling)
                interval_usec = MIN(interval_usec, settings->poll_interval_usec);
        else
                deadline_usec = engine->created_usec;
        regular_usec = usec_add(engine->last_scan_usec, interval_usec);

        if (engine->syncing && engine->filesystems_answered_usec > 0 && !engine->sync.everything)
                deadline_usec = earlier_deadline(
                                engine, deadline_usec,
                                usec_add(engine->filesystems_answered_usec, SYNC_HELPED_WITHIN_USEC));
        if (engine->state == ENGINE_RECOVERY)
                deadline_usec = earlier_deadline(engine, deadline_usec, engine_recovery_end_usec(engine));
        if (engine_paused(engine))
                deadline_usec = earlier_deadline(engine, deadline_usec, engine->paused_until_usec);

        /* Only the scan of an idle machine may come later. */
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

uint32_t engine_n_spinning(const Engine *engine) {
        return engine->n_spinning;
}

uint32_t engine_n_waiting(const Engine *engine) {
        return engine->n_waiting;
}

const Run *engine_runs(const Engine *engine, size_t *ret_n) {
        *ret_n = engine->n_running;
        return engine->running;
}

uint32_t engine_syncs_unhelpful(const Engine *engine) {
        return engine->real_pacing.n_unhelpful;
}

const Sync *engine_sync(const Engine *engine) {
        return engine->syncing ? &engine->sync : NULL;
}

const Sync *engine_last_sync(const Engine *engine) {
        return engine->last_sync.id > 0 ? &engine->last_sync : NULL;
}

uint64_t engine_sync_count(const Engine *engine) {
        return engine->n_real_syncs;
}

uint64_t engine_next_sync_id(const Engine *engine) {
        return engine->n_syncs + 1;
}

const Episode *engine_episode(const Engine *engine) {
        return engine->in_episode ? &engine->episode : NULL;
}

size_t engine_n_episodes(const Engine *engine) {
        return engine->n_ended;
}

const Episode *engine_ended_episode(const Engine *engine, size_t index) {
        return &engine->history[(engine->first_ended + index) % ENGINE_EPISODES_MAX];
}
