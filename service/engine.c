/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The engine: see engine.h for what it promises. */

#include "engine.h"

#include <assert.h>
#include <glib.h>

#include "memory.h"

/* Room for this many running workers from the start; more are allocated for. */
#define WORKERS_INITIAL 4096

/* Memory for so many is there at any time. What a storm of more needed is given back after so many looks in a
 * row without one. */
#define CALM_WORKERS 128
#define CALM_LOOKS 8

/* So many different works are judged for a crowd at once. A machine with the bug runs one of them. */
#define CROWDS_MAX 16

/* The course of a crowd is remembered in so many points; more are thinned out. */
#define CROWD_POINTS_MAX 64

typedef struct CrowdPoint {
        uint64_t at_usec;
        uint64_t area; /* workers times microseconds, up to then */
} CrowdPoint;

/* Workers that run the same work, over time. They may take turns: in the real bug each breaks off after a
 * while. */
typedef struct Crowd {
        char work[WORKER_NAME_MAX + 1]; /* empty: the slot is free */
        uint64_t since_usec;            /* the first look that found one */
        size_t count;                   /* at the last look */
        unsigned n_empty_looks;         /* in a row */
        size_t n_points;
        CrowdPoint points[CROWD_POINTS_MAX]; /* the last one is the last look */
} Crowd;

struct Engine {
        Settings settings;
        bool polling;

        uint64_t last_look_usec;
        uint64_t hint_look_usec; /* a look is due because of a birth; USEC_INFINITY for none */

        RunningWorker *running; /* sorted by pid, then start time */
        size_t n_running;
        size_t n_allocated;     /* of both arrays */
        RunningWorker *scratch; /* the other one, to merge into */
        bool storm;             /* more than a few ran since memory was given back */
        unsigned n_calm_looks;  /* in a row */
        bool active;            /* somebody ran at one of the last two looks */
        bool last_look_empty;

        Crowd crowds[CROWDS_MAX];

        EngineState state;
        Moment state_since;

        uint64_t paused_until_usec;          /* CLOCK_MONOTONIC; 0 not paused */
        uint64_t paused_until_realtime_usec; /* the same for people */

        bool syncing;
        bool force_pending; /* another one was asked for during this one */
        EngineSync sync;    /* the one under way */
        EngineSync last_sync;
        EngineSync last_real_sync;
        uint64_t last_sync_end_usec; /* 0: no recovery */
        size_t last_sync_running;    /* so many ran when the last sync was asked for */
        unsigned backoff;            /* the Recovery time counts so many times */
        uint64_t n_syncs;            /* ids given */
        uint64_t n_real_syncs;

        bool in_episode;
        Episode episode; /* the ongoing one, in the tables below: no allocation when it starts */
        EpisodeWorker episode_workers[ENGINE_EPISODE_WORKERS_MAX];
        EngineSync episode_syncs[ENGINE_EPISODE_SYNCS_MAX];
        uint64_t n_episodes;
        Episode *history[ENGINE_EPISODES_MAX]; /* oldest first, each one block that its tables are in, too */
        size_t n_history;
};

const char *engine_state_to_string(EngineState state) {
        static const char *const names[] = {
                [ENGINE_IDLE] = "idle",         [ENGINE_BUSY] = "busy",     [ENGINE_SYNCING] = "syncing",
                [ENGINE_RECOVERY] = "recovery", [ENGINE_PAUSED] = "paused",
        };

        return names[state];
}

const char *engine_rule_to_string(EngineRule rule) {
        static const char *const names[] = {
                [RULE_NONE] = "",
                [RULE_WORKER] = "worker",
                [RULE_CROWD] = "crowd",
        };

        return names[rule];
}

const char *engine_outcome_to_string(EngineOutcome outcome) {
        static const char *const names[] = {
                [OUTCOME_ONGOING] = "ongoing",
                [OUTCOME_RECOVERED] = "recovered",
                [OUTCOME_CLEARED] = "cleared",
        };

        return names[outcome];
}

const char *sync_result_to_string(SyncResult result) {
        static const char *const names[] = {
                [SYNC_PENDING] = "",
                [SYNC_OK] = "ok",
                [SYNC_STALLED] = "stalled",
                [SYNC_FAILED] = "failed",
        };

        return names[result];
}

/* Makes room for n workers in both arrays. The old ones stay as they are when there is no memory. */
static int engine_reserve(Engine *engine, size_t n) {
        RunningWorker *running, *scratch;

        if (n <= engine->n_allocated)
                return 0;

        n = MAX(n, engine->n_allocated * 2);

        running = g_try_realloc_n(engine->running, n, sizeof(RunningWorker));
        if (!running)
                return -ENOMEM;
        engine->running = running;

        scratch = g_try_realloc_n(engine->scratch, n, sizeof(RunningWorker));
        if (!scratch)
                return -ENOMEM;
        engine->scratch = scratch;
        engine->n_allocated = n;
        return 0;
}

int engine_new(const Settings *settings, Moment now, Engine **ret) {
        _cleanup_(engine_freep) Engine *engine = NULL;
        int r;

        engine = g_try_new0(Engine, 1);
        if (!engine)
                return -ENOMEM;

        r = engine_reserve(engine, WORKERS_INITIAL);
        if (r < 0)
                return r;

        /* Touched now, so that it is there (and locked) when it is needed. */
        memset(engine->running, 0, CALM_WORKERS * sizeof(RunningWorker));
        memset(engine->scratch, 0, CALM_WORKERS * sizeof(RunningWorker));

        engine->settings = *settings;
        engine->last_look_usec = now.monotonic_usec;
        engine->hint_look_usec = USEC_INFINITY;
        engine->last_look_empty = true;
        engine->state_since = now;
        engine->backoff = 1;

        *ret = TAKE_POINTER(engine);
        return 0;
}

Engine *engine_free(Engine *engine) {
        if (!engine)
                return NULL;

        for (size_t i = 0; i < engine->n_history; i++)
                g_free(engine->history[i]);
        g_free(engine->running);
        g_free(engine->scratch);
        g_free(engine);
        return NULL;
}

uint64_t engine_recovery_end_usec(const Engine *engine) {
        if (engine->last_sync_end_usec == 0)
                return 0;

        return usec_add(engine->last_sync_end_usec, engine->settings.recovery_usec * engine->backoff);
}

static bool engine_paused(const Engine *engine) {
        return engine->paused_until_usec > 0;
}

static bool engine_recovering(const Engine *engine, Moment now) {
        return now.monotonic_usec < engine_recovery_end_usec(engine);
}

/* The state is what the facts say. It is kept only to know since when. */
static unsigned engine_settle(Engine *engine, Moment now) {
        EngineState state;

        if (engine->syncing)
                state = ENGINE_SYNCING;
        else if (engine_paused(engine))
                state = ENGINE_PAUSED;
        else if (engine_recovering(engine, now))
                state = ENGINE_RECOVERY;
        else if (engine->active)
                state = ENGINE_BUSY;
        else
                state = ENGINE_IDLE;

        if (state == engine->state)
                return 0;

        engine->state = state;
        engine->state_since = now;
        return ENGINE_STATE_CHANGED;
}

/* Crowds */

static uint64_t crowd_at_usec(const Crowd *crowd) {
        return crowd->points[crowd->n_points - 1].at_usec;
}

/* The area up to a time between the first point and the last, on the line between its neighbours. */
static uint64_t crowd_area(const Crowd *crowd, uint64_t at_usec) {
        for (size_t i = crowd->n_points; i-- > 1;) {
                const CrowdPoint *a = &crowd->points[i - 1], *b = &crowd->points[i];
                __extension__ unsigned __int128 product;

                if (at_usec >= b->at_usec)
                        return b->area;
                if (at_usec <= a->at_usec)
                        continue;

                product = b->area - a->area;
                product *= at_usec - a->at_usec;
                return a->area + (uint64_t) (product / (b->at_usec - a->at_usec));
        }

        return crowd->points[0].area;
}

/* Whether at least size workers ran on average over the last span, up to the last look. */
static bool crowd_holds(const Crowd *crowd, uint32_t size, uint64_t span_usec) {
        uint64_t now_usec, begin_usec;

        if (crowd->work[0] == '\0' || size == 0)
                return false;

        now_usec = crowd_at_usec(crowd);
        if (now_usec - crowd->since_usec < span_usec)
                return false;

        /* After the span was made longer, what was forgotten by then is left out. */
        begin_usec = MAX(now_usec - span_usec, crowd->points[0].at_usec);

        return crowd_area(crowd, now_usec) - crowd_area(crowd, begin_usec) >= size * (now_usec - begin_usec);
}

/* Keeps what is needed to look span back, and half the points where they are too many. */
static void crowd_trim(Crowd *crowd, uint64_t span_usec) {
        uint64_t begin_usec = usec_subtract(crowd_at_usec(crowd), span_usec);
        size_t old = 0, kept;

        while (old + 1 < crowd->n_points && crowd->points[old + 1].at_usec <= begin_usec)
                old++;
        if (old > 0) {
                crowd->n_points -= old;
                memmove(crowd->points, crowd->points + old, crowd->n_points * sizeof(CrowdPoint));
        }

        if (crowd->n_points < CROWD_POINTS_MAX)
                return;

        /* Lines between the remaining points keep the area; the last point must stay. */
        kept = 0;
        for (size_t i = 0; i < crowd->n_points; i += 2)
                crowd->points[kept++] = crowd->points[i];
        crowd->points[kept++] = crowd->points[crowd->n_points - 1];
        crowd->n_points = kept;
}

static Crowd *engine_find_crowd(Engine *engine, const char *work) {
        for (size_t i = 0; i < CROWDS_MAX; i++)
                if (streq(engine->crowds[i].work, work))
                        return &engine->crowds[i];

        return NULL;
}

static void engine_count_crowds(Engine *engine, uint64_t now_usec) {
        /* What was running at the last look is taken to have run until now. */
        for (size_t i = 0; i < CROWDS_MAX; i++) {
                Crowd *crowd = &engine->crowds[i];
                CrowdPoint point;

                if (crowd->work[0] == '\0')
                        continue;

                point.at_usec = now_usec;
                point.area = crowd->points[crowd->n_points - 1].area +
                             crowd->count * (now_usec - crowd_at_usec(crowd));
                crowd->points[crowd->n_points++] = point;
                crowd_trim(crowd, engine->settings.crowd_threshold_usec);
                crowd->count = 0;
        }

        for (size_t i = 0; i < engine->n_running; i++) {
                const char *work = worker_name_work(engine->running[i].worker.name);
                Crowd *crowd;

                if (!work || work[0] == '\0')
                        continue;

                crowd = engine_find_crowd(engine, work);
                if (!crowd) {
                        crowd = engine_find_crowd(engine, "");
                        if (!crowd)
                                continue; /* each slot is free again after two looks without its work */

                        *crowd = (Crowd){
                                .since_usec = now_usec,
                                .n_points = 1,
                                .points = { { .at_usec = now_usec } },
                        };
                        (void) g_strlcpy(crowd->work, work, sizeof(crowd->work));
                }
                crowd->count++;
        }

        for (size_t i = 0; i < CROWDS_MAX; i++) {
                Crowd *crowd = &engine->crowds[i];

                if (crowd->count > 0)
                        crowd->n_empty_looks = 0;
                else if (++crowd->n_empty_looks >= 2)
                        crowd->work[0] = '\0';
        }
}

/* Workers */

static int worker_compare(const Worker *a, const Worker *b) {
        if (a->pid != b->pid)
                return a->pid < b->pid ? -1 : 1;
        if (a->start_time != b->start_time)
                return a->start_time < b->start_time ? -1 : 1;
        return 0;
}

/* Goes through both sorted lists at once: the workers seen now, with what is known of them from before. The
 * same thread under another name has ended one work and begun another. With only_known, those not known
 * before are left out. */
static void engine_merge(
                Engine *engine,
                uint64_t now_usec,
                const Worker *workers,
                size_t n_workers,
                bool only_known) {

        size_t known = 0, n = 0;
        RunningWorker *merged;

        /* Without memory for all of them, those that fit will do: a machine with so many is stuck anyhow. */
        if (engine_reserve(engine, n_workers) < 0)
                n_workers = engine->n_allocated;
        merged = engine->scratch;

        for (size_t i = 0; i < n_workers; i++) {
                const RunningWorker *before = NULL;

                while (known < engine->n_running &&
                       worker_compare(&engine->running[known].worker, &workers[i]) < 0)
                        known++;
                if (known < engine->n_running && worker_same(&engine->running[known].worker, &workers[i]) &&
                    streq(engine->running[known].worker.name, workers[i].name))
                        before = &engine->running[known];

                if (before)
                        merged[n++] = (RunningWorker){
                                .worker = workers[i],
                                .since_usec = before->since_usec,
                                .cpu_before_usec = before->cpu_before_usec,
                        };
                else if (!only_known)
                        merged[n++] = (RunningWorker){
                                .worker = workers[i],
                                .since_usec = now_usec,
                                .cpu_before_usec = workers[i].cpu_usec,
                        };
        }

        engine->scratch = engine->running;
        engine->running = merged;
        engine->n_running = n;
}

const RunningWorker *engine_oldest_worker(const Engine *engine) {
        const RunningWorker *oldest = NULL;

        for (size_t i = 0; i < engine->n_running; i++)
                if (!oldest || engine->running[i].since_usec < oldest->since_usec)
                        oldest = &engine->running[i];

        return oldest;
}

uint64_t engine_running_usec(const Engine *engine, const RunningWorker *worker) {
        return usec_subtract(engine->last_look_usec, worker->since_usec);
}

/* Gives memory back that is needed no longer. */
static void engine_give_back(Engine *engine) {
        if (engine->n_running > CALM_WORKERS)
                engine->storm = true;
        if (!engine->storm || engine->n_running > CALM_WORKERS) {
                engine->n_calm_looks = 0;
                return;
        }
        if (++engine->n_calm_looks < CALM_LOOKS)
                return;

        memory_give_back(engine->running, sizeof(RunningWorker), CALM_WORKERS, engine->n_allocated);
        memory_give_back(engine->scratch, sizeof(RunningWorker), CALM_WORKERS, engine->n_allocated);
        engine->storm = false;
}

static EngineRule engine_rule(const Engine *engine) {
        const RunningWorker *oldest = engine_oldest_worker(engine);

        if (oldest && engine_running_usec(engine, oldest) >= engine->settings.threshold_usec)
                return RULE_WORKER;

        for (size_t i = 0; i < CROWDS_MAX; i++)
                if (crowd_holds(&engine->crowds[i], engine->settings.crowd_size,
                                engine->settings.crowd_threshold_usec))
                        return RULE_CROWD;

        return RULE_NONE;
}

/* Episodes */

static EpisodeWorker *episode_find_worker(Episode *episode, const Worker *worker) {
        EpisodeWorker *shortest;

        for (size_t i = 0; i < episode->n_workers; i++)
                if (worker_same(&episode->workers[i].worker, worker))
                        return &episode->workers[i];

        if (episode->n_workers < ENGINE_EPISODE_WORKERS_MAX) {
                EpisodeWorker *unused = &episode->workers[episode->n_workers++];

                /* What the episode before left there is not of this one. */
                *unused = (EpisodeWorker){};
                return unused;
        }

        /* The table is full: the shortest run makes room for a longer one. */
        shortest = &episode->workers[0];
        for (size_t i = 1; i < episode->n_workers; i++)
                if (episode->workers[i].running_usec < shortest->running_usec)
                        shortest = &episode->workers[i];
        return shortest;
}

const EpisodeWorker *episode_longest_run(const Episode *episode) {
        const EpisodeWorker *longest = &episode->workers[0];

        for (size_t i = 1; i < episode->n_workers; i++)
                if (episode->workers[i].running_usec > longest->running_usec)
                        longest = &episode->workers[i];

        return longest;
}

static void engine_note_episode_workers(Engine *engine) {
        Episode *episode = &engine->episode;

        episode->worker_count = MAX(episode->worker_count, (uint32_t) engine->n_running);

        for (size_t i = 0; i < engine->n_running; i++) {
                const RunningWorker *running = &engine->running[i];
                uint64_t running_usec = engine_running_usec(engine, running);
                EpisodeWorker *noted = episode_find_worker(episode, &running->worker);

                if (!worker_same(&noted->worker, &running->worker)) {
                        if (noted->worker.pid != 0 && running_usec <= noted->running_usec)
                                continue;
                        *noted = (EpisodeWorker){ .cpu_before_usec = running->cpu_before_usec };
                }

                noted->worker = running->worker;
                noted->running_usec = MAX(noted->running_usec, running_usec);
                noted->cpu_usec = usec_subtract(running->worker.cpu_usec, noted->cpu_before_usec);
        }
}

static void engine_start_episode(Engine *engine, Moment now, EngineRule rule) {
        engine->in_episode = true;
        engine->episode = (Episode){
                .id = ++engine->n_episodes,
                .start = now,
                .rule = rule,
                .workers = engine->episode_workers,
                .syncs = engine->episode_syncs,
        };
}

static bool episode_has_real_sync(const Episode *episode) {
        for (size_t i = 0; i < episode->n_syncs; i++)
                if (!episode->syncs[i].dry_run && episode->syncs[i].result != SYNC_FAILED)
                        return true;

        return false;
}

/* A copy in one block, no larger than what the episode uses. NULL without memory. */
static Episode *episode_copy(const Episode *episode) {
        size_t workers_size = episode->n_workers * sizeof(EpisodeWorker),
               syncs_size = episode->n_syncs * sizeof(EngineSync);
        Episode *copy;

        copy = g_try_malloc(sizeof(Episode) + workers_size + syncs_size);
        if (!copy)
                return NULL;

        *copy = *episode;
        copy->workers = (EpisodeWorker *) (copy + 1);
        copy->syncs = (EngineSync *) (copy->workers + copy->n_workers);
        memcpy(copy->workers, episode->workers, workers_size);
        memcpy(copy->syncs, episode->syncs, syncs_size);
        return copy;
}

static void engine_end_episode(Engine *engine, Moment now) {
        Episode *ended;

        engine->in_episode = false;
        engine->backoff = 1;
        engine->episode.end = now;
        engine->episode.outcome =
                        episode_has_real_sync(&engine->episode) ? OUTCOME_RECOVERED : OUTCOME_CLEARED;

        if (engine->n_history == ENGINE_EPISODES_MAX) {
                g_free(engine->history[0]);
                engine->n_history--;
                memmove(engine->history, engine->history + 1, engine->n_history * sizeof(Episode *));
        }

        ended = episode_copy(&engine->episode);
        if (ended)
                engine->history[engine->n_history++] = ended;
}

/* Syncs */

static void episode_append_sync(Episode *episode, const EngineSync *sync) {
        episode->sync_count++;

        if (episode->n_syncs == ENGINE_EPISODE_SYNCS_MAX) {
                episode->n_syncs--;
                memmove(episode->syncs, episode->syncs + 1, episode->n_syncs * sizeof(EngineSync));
        }
        episode->syncs[episode->n_syncs++] = *sync;
}

static void episode_update_sync(Episode *episode, const EngineSync *sync) {
        for (size_t i = 0; i < episode->n_syncs; i++)
                if (episode->syncs[i].id == sync->id)
                        episode->syncs[i] = *sync;
}

/* The sync's record stands in its episode too, which may have ended before it. */
static void engine_update_sync(Engine *engine) {
        if (engine->in_episode)
                episode_update_sync(&engine->episode, &engine->sync);
        for (size_t i = 0; i < engine->n_history; i++)
                episode_update_sync(engine->history[i], &engine->sync);
}

/* Whether all that ran when the last sync was asked for have been running ever since. A crowd's workers take
 * turns: it was not freed when it has been there ever since as a crowd. */
static bool engine_last_sync_freed_nobody(const Engine *engine, EngineRule rule) {
        size_t n = 0;

        if (rule == RULE_CROWD) {
                for (size_t i = 0; i < CROWDS_MAX; i++)
                        if (crowd_holds(&engine->crowds[i], engine->settings.crowd_size,
                                        engine->settings.crowd_threshold_usec) &&
                            engine->crowds[i].since_usec <= engine->last_sync.start.monotonic_usec)
                                return true;
                return false;
        }

        for (size_t i = 0; i < engine->n_running; i++)
                if (engine->running[i].since_usec <= engine->last_sync.start.monotonic_usec)
                        n++;

        return engine->last_sync_running > 0 && n == engine->last_sync_running;
}

static unsigned engine_start_sync(Engine *engine, Moment now, EngineRule rule) {
        const RunningWorker *oldest = engine_oldest_worker(engine);

        assert(!engine->syncing);

        if (rule != RULE_NONE && engine->last_sync.episode_id == engine->episode.id &&
            engine->last_sync_end_usec > 0 && engine_last_sync_freed_nobody(engine, rule))
                engine->backoff = MIN(engine->backoff * 2, ENGINE_BACKOFF_MAX);

        engine->syncing = true;
        engine->last_sync_running = engine->n_running;
        engine->sync = (EngineSync){
                .id = ++engine->n_syncs,
                .episode_id = engine->in_episode ? engine->episode.id : 0,
                .start = now,
                .oldest_usec = oldest ? usec_subtract(now.monotonic_usec, oldest->since_usec) : 0,
                .worker_count = (uint32_t) engine->n_running,
                .rule = rule,
                .dry_run = engine->settings.dry_run,
        };
        if (!engine->sync.dry_run)
                engine->n_real_syncs++;
        if (engine->in_episode)
                episode_append_sync(&engine->episode, &engine->sync);

        return ENGINE_START_SYNC;
}

unsigned engine_sync_ended(Engine *engine, Moment now, SyncResult result, uint64_t duration_usec) {
        unsigned actions = ENGINE_SYNC_ENDED;

        if (!engine->syncing)
                return 0;

        engine->syncing = false;
        engine->sync.result = result;
        engine->sync.duration_usec = duration_usec;
        engine_update_sync(engine);
        engine->last_sync = engine->sync;
        if (!engine->sync.dry_run)
                engine->last_real_sync = engine->sync;

        /* A sync that was not made to its end has no effect to wait for. */
        engine->last_sync_end_usec = result == SYNC_FAILED ? 0 : now.monotonic_usec;

        if (engine->force_pending) {
                engine->force_pending = false;
                actions |= engine_start_sync(engine, now, RULE_NONE);
        }

        return actions | engine_settle(engine, now);
}

unsigned engine_force_sync(Engine *engine, Moment now) {
        if (engine->syncing) {
                engine->force_pending = true;
                return 0;
        }

        return engine_start_sync(engine, now, RULE_NONE) | engine_settle(engine, now);
}

/* Pauses */

unsigned engine_pause(Engine *engine, Moment now, uint64_t usec) {
        engine->paused_until_usec = usec_add(now.monotonic_usec, usec);
        engine->paused_until_realtime_usec = usec_add(now.realtime_usec, usec);

        return ENGINE_PAUSE_CHANGED | engine_settle(engine, now);
}

unsigned engine_resume(Engine *engine, Moment now) {
        if (!engine_paused(engine))
                return 0;

        engine->paused_until_usec = 0;
        engine->paused_until_realtime_usec = 0;

        return ENGINE_PAUSE_CHANGED | engine_settle(engine, now);
}

/* Looks */

/* What happens by time alone. */
static unsigned engine_pass_time(Engine *engine, Moment now) {
        unsigned actions = 0;

        if (engine_paused(engine) && now.monotonic_usec >= engine->paused_until_usec)
                actions |= engine_resume(engine, now);

        if (engine->syncing && engine->sync.result == SYNC_PENDING &&
            now.monotonic_usec - engine->sync.start.monotonic_usec >= engine->settings.sync_timeout_usec) {
                engine->sync.result = SYNC_STALLED;
                engine->sync.duration_usec = now.monotonic_usec - engine->sync.start.monotonic_usec;
                engine->last_real_sync = engine->sync;
                engine_update_sync(engine);
                actions |= ENGINE_SYNC_STALLED;
        }

        if (now.monotonic_usec >= engine->hint_look_usec)
                engine->hint_look_usec = USEC_INFINITY;
        engine->last_look_usec = now.monotonic_usec;

        return actions;
}

unsigned engine_look_failed(Engine *engine, Moment now) {
        uint64_t blind_usec = usec_subtract(now.monotonic_usec, engine->last_look_usec);

        /* What nobody saw counts for nobody: it is as if that time had not been. */
        for (size_t i = 0; i < engine->n_running; i++)
                engine->running[i].since_usec += blind_usec;
        for (size_t i = 0; i < CROWDS_MAX; i++) {
                Crowd *crowd = &engine->crowds[i];

                crowd->since_usec += blind_usec;
                for (size_t k = 0; k < crowd->n_points; k++)
                        crowd->points[k].at_usec += blind_usec;
        }

        return engine_pass_time(engine, now) | engine_settle(engine, now);
}

unsigned engine_look(Engine *engine, Moment now, const Worker *workers, size_t n_workers) {
        unsigned actions;
        EngineRule rule;

        actions = engine_pass_time(engine, now);

        engine_merge(engine, now.monotonic_usec, workers, n_workers, /* only_known= */ false);
        engine_count_crowds(engine, now.monotonic_usec);

        /* Workers that hand the work to one another may all be between two batches at one look, not at two.
         */
        engine->active = engine->n_running > 0 || !engine->last_look_empty;
        engine->last_look_empty = engine->n_running == 0;
        engine_give_back(engine);

        rule = engine_rule(engine);
        if (rule != RULE_NONE && engine->n_running > 0 && !engine->in_episode) {
                engine_start_episode(engine, now, rule);
                actions |= ENGINE_EPISODE_STARTED;
        }

        if (engine->in_episode) {
                engine_note_episode_workers(engine);
                if (!engine->active) {
                        engine_end_episode(engine, now);
                        actions |= ENGINE_EPISODE_ENDED;
                }
        }

        if (rule != RULE_NONE && engine->n_running > 0 && !engine->syncing && !engine_paused(engine) &&
            !engine_recovering(engine, now))
                actions |= ENGINE_LOOK_AGAIN;

        return actions | engine_settle(engine, now);
}

unsigned engine_confirm(Engine *engine, Moment now, const Worker *workers, size_t n_workers) {
        EngineRule rule;

        /* Between the two looks anything may have been asked for. */
        if (engine->syncing || engine_paused(engine))
                return 0;

        engine_merge(engine, now.monotonic_usec, workers, n_workers, /* only_known= */ true);

        /* The crowd's rule bears a look that finds nobody, but an act needs somebody to free. */
        rule = engine_rule(engine);
        if (rule == RULE_NONE || engine->n_running == 0)
                return ENGINE_UNCONFIRMED | engine_settle(engine, now);

        return engine_start_sync(engine, now, rule) | engine_settle(engine, now);
}

void engine_hint(Engine *engine, Moment now) {
        /* While it watches, the next look comes as soon by itself; one right after it would be no other look.
         */
        if (engine->active || engine->syncing)
                return;

        engine->hint_look_usec =
                        MIN(engine->hint_look_usec,
                            usec_add(now.monotonic_usec, engine->settings.poll_interval_usec));
}

unsigned engine_set_settings(Engine *engine, Moment now, const Settings *settings) {
        engine->settings = *settings;
        return engine_settle(engine, now);
}

void engine_set_polling(Engine *engine, bool polling) {
        engine->polling = polling;
}

/* Outputs */

/* The earlier one of two times, but not one that has passed by the last look: what was due then has been
 * judged. */
static uint64_t earlier_deadline(const Engine *engine, uint64_t wake_usec, uint64_t deadline_usec) {
        return deadline_usec > engine->last_look_usec ? MIN(wake_usec, deadline_usec) : wake_usec;
}

uint64_t engine_wake_usec(const Engine *engine, bool *ret_exact) {
        const Settings *settings = &engine->settings;
        uint64_t interval_usec, regular_usec, deadline_usec = engine->hint_look_usec;
        bool watching = engine->active || engine->syncing;

        if (watching)
                interval_usec = settings->poll_interval_usec;
        else if (engine->polling)
                interval_usec = MIN(settings->poll_interval_usec, settings->sweep_interval_usec);
        else
                interval_usec = settings->sweep_interval_usec;

        regular_usec = usec_add(engine->last_look_usec, interval_usec);

        for (size_t i = 0; i < engine->n_running; i++)
                deadline_usec = earlier_deadline(
                                engine, deadline_usec,
                                usec_add(engine->running[i].since_usec, settings->threshold_usec));

        if (settings->crowd_size > 0)
                for (size_t i = 0; i < CROWDS_MAX; i++)
                        if (engine->crowds[i].work[0] != '\0' && engine->crowds[i].count > 0)
                                deadline_usec = earlier_deadline(
                                                engine, deadline_usec,
                                                usec_add(engine->crowds[i].since_usec,
                                                         settings->crowd_threshold_usec));

        if (engine->syncing && engine->sync.result == SYNC_PENDING)
                deadline_usec = earlier_deadline(
                                engine, deadline_usec,
                                usec_add(engine->sync.start.monotonic_usec, settings->sync_timeout_usec));

        if (engine->state == ENGINE_RECOVERY)
                deadline_usec = earlier_deadline(engine, deadline_usec, engine_recovery_end_usec(engine));
        if (engine_paused(engine))
                deadline_usec = earlier_deadline(engine, deadline_usec, engine->paused_until_usec);

        /* Only the sweep of an idle machine may come later. */
        *ret_exact = watching || deadline_usec <= regular_usec;
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

const RunningWorker *engine_workers(const Engine *engine, size_t *ret_n) {
        *ret_n = engine->n_running;
        return engine->running;
}

const EngineSync *engine_sync(const Engine *engine) {
        return engine->syncing ? &engine->sync : NULL;
}

const EngineSync *engine_last_sync(const Engine *engine) {
        return engine->last_sync.id > 0 ? &engine->last_sync : NULL;
}

const EngineSync *engine_last_real_sync(const Engine *engine) {
        return engine->last_real_sync.id > 0 ? &engine->last_real_sync : NULL;
}

uint64_t engine_next_sync_id(const Engine *engine) {
        return engine->n_syncs + 1;
}

uint64_t engine_sync_count(const Engine *engine) {
        return engine->n_real_syncs;
}

const Episode *engine_episode(const Engine *engine) {
        return engine->in_episode ? &engine->episode : NULL;
}

size_t engine_n_episodes(const Engine *engine) {
        return engine->n_history;
}

const Episode *engine_ended_episode(const Engine *engine, size_t index) {
        return engine->history[index];
}
