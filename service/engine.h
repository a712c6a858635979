/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The engine: decides. It is a pure state machine: what was seen or asked comes in with its time, what to do
 * comes out, and when to wake it. No I/O, no clock of its own, no allocation while it decides unless more
 * workers run than ever before.
 *
 * Every input returns a mask of EngineAction. The caller carries out ENGINE_LOOK_AGAIN and ENGINE_START_SYNC
 * first, and tells people afterwards, from what the accessors show.
 */

#include "kworkers.h"
#include "macro.h"
#include "settings.h"

#define ENGINE_EPISODES_MAX 64
#define ENGINE_EPISODE_WORKERS_MAX 32
#define ENGINE_EPISODE_SYNCS_MAX 32

/* A sync that freed nobody doubles the Recovery time, up to this many times the set value. */
#define ENGINE_BACKOFF_MAX 16

typedef enum EngineState {
        ENGINE_IDLE,
        ENGINE_BUSY,
        ENGINE_SYNCING,
        ENGINE_RECOVERY,
        ENGINE_PAUSED,
} EngineState;

typedef enum EngineRule {
        RULE_NONE,
        RULE_WORKER, /* one worker's running time reached the threshold */
        RULE_CROWD,  /* enough workers ran the same work for long enough, taking turns or not */
} EngineRule;

typedef enum EngineOutcome {
        OUTCOME_ONGOING,
        OUTCOME_RECOVERED, /* it ended, and there was a sync in it */
        OUTCOME_CLEARED,   /* it ended without a sync */
} EngineOutcome;

typedef enum SyncResult {
        SYNC_PENDING, /* under way, or there was none */
        SYNC_OK,
        SYNC_STALLED, /* still under way after the timeout */
        SYNC_FAILED,  /* the process that called sync() was killed */
} SyncResult;

typedef enum EngineAction {
        ENGINE_LOOK_AGAIN = 1 << 0, /* read the workers once more at once, and call engine_confirm() */
        ENGINE_START_SYNC =
                        1
                        << 1, /* call sync() now, and engine_sync_ended() when it ended; see engine_sync() */
        ENGINE_UNCONFIRMED = 1 << 2,     /* the second look found the condition gone: nothing was done */
        ENGINE_SYNC_STALLED = 1 << 3,    /* engine_sync() takes longer than the timeout; told once */
        ENGINE_SYNC_ENDED = 1 << 4,      /* see engine_last_sync() */
        ENGINE_EPISODE_STARTED = 1 << 5, /* see engine_episode() */
        ENGINE_EPISODE_ENDED = 1 << 6,   /* it is the newest of the history now */
        ENGINE_STATE_CHANGED = 1 << 7,
        ENGINE_PAUSE_CHANGED = 1 << 8,
} EngineAction;

/* A worker that was running at the last look, and since when it was seen so at every look. */
typedef struct RunningWorker {
        Worker worker;
        uint64_t since_usec;      /* CLOCK_MONOTONIC */
        uint64_t cpu_before_usec; /* the CPU time that it had used by then */
} RunningWorker;

typedef struct EngineSync {
        uint64_t id;         /* counts from 1 */
        uint64_t episode_id; /* 0 outside of an episode */
        Moment start;
        uint64_t duration_usec;
        uint64_t oldest_usec;  /* the longest running time when it was asked for */
        uint32_t worker_count; /* how many ran then */
        EngineRule rule;       /* what called it; RULE_NONE when it was forced */
        SyncResult result;
        bool dry_run; /* not really made */
} EngineSync;

typedef struct EpisodeWorker {
        Worker worker;         /* as last seen running */
        uint64_t running_usec; /* its longest unbroken run */
        uint64_t cpu_usec;     /* what it used since it was first seen in the episode */
        uint64_t cpu_before_usec;
} EpisodeWorker;

typedef struct Episode {
        uint64_t id; /* counts from 1 */
        Moment start;
        Moment end; /* zero while it is ongoing */
        EngineRule rule;
        EngineOutcome outcome;
        uint32_t worker_count; /* the most that ran at once */
        uint32_t sync_count;
        EpisodeWorker *workers; /* the longest running ones */
        size_t n_workers;
        EngineSync *syncs; /* the newest ones */
        size_t n_syncs;
} Episode;

typedef struct Engine Engine;

const char *engine_state_to_string(EngineState state);
const char *engine_rule_to_string(EngineRule rule);
const char *engine_outcome_to_string(EngineOutcome outcome);
const char *sync_result_to_string(SyncResult result);

/* -ENOMEM or 0. The settings are copied. */
int engine_new(const Settings *settings, Moment now, Engine **ret);
Engine *engine_free(Engine *engine);
DEFINE_TRIVIAL_CLEANUP(Engine *, engine_free);

/* Inputs. Times never go back. */

/* New settings hold from now on, also for workers that run already. */
unsigned engine_set_settings(Engine *engine, Moment now, const Settings *settings);

/* Whether births of kernel threads are not told, so that they must be looked for at every PollInterval. */
void engine_set_polling(Engine *engine, bool polling);

/* What a look found: the running workers whose names match, sorted by pid, then start time. */
unsigned engine_look(Engine *engine, Moment now, const Worker *workers, size_t n_workers);

/* A look that saw nothing at all, not even an idle kernel thread: it says nothing about the workers, and the
 * time since the look before counts for nobody. */
unsigned engine_look_failed(Engine *engine, Moment now);

/* The second look that ENGINE_LOOK_AGAIN asked for. */
unsigned engine_confirm(Engine *engine, Moment now, const Worker *workers, size_t n_workers);

/* A kernel thread was born, or such news were lost: a look is due a PollInterval later, when its work has a
 * name. */
void engine_hint(Engine *engine, Moment now);

/* The sync ended: SYNC_OK or SYNC_FAILED, or SYNC_PENDING when it was not made (dry run). Ignored when none
 * is under way. */
unsigned engine_sync_ended(Engine *engine, Moment now, SyncResult result, uint64_t duration_usec);

/* Sync now, whatever the state; while one is under way, another one right after it. */
unsigned engine_force_sync(Engine *engine, Moment now);

/* Holds for usec, or for ever (USEC_INFINITY). Replaces an earlier pause. */
unsigned engine_pause(Engine *engine, Moment now, uint64_t usec);
unsigned engine_resume(Engine *engine, Moment now);

/* Outputs. */

/* When to look next, on CLOCK_MONOTONIC. *ret_exact: false when a while later does as well. */
uint64_t engine_wake_usec(const Engine *engine, bool *ret_exact);

EngineState engine_state(const Engine *engine);
Moment engine_state_since(const Engine *engine);

/* CLOCK_REALTIME; 0 not paused, USEC_INFINITY until resumed. */
uint64_t engine_paused_until_usec(const Engine *engine);

/* The workers that ran at the last look, sorted by pid. Valid until the next input. */
const RunningWorker *engine_workers(const Engine *engine, size_t *ret_n);

/* The longest running one of them, or NULL, and the time for which it has been seen running. */
const RunningWorker *engine_oldest_worker(const Engine *engine);
uint64_t engine_running_usec(const Engine *engine, const RunningWorker *worker);

/* When the Recovery time after the last sync ends (CLOCK_MONOTONIC), or 0. */
uint64_t engine_recovery_end_usec(const Engine *engine);

/* The sync under way, or NULL; the last one that ended, or NULL; of those that were no dry run, the last one
 * that ended or stalled, or NULL, and how many were begun. */
const EngineSync *engine_sync(const Engine *engine);
const EngineSync *engine_last_sync(const Engine *engine);
const EngineSync *engine_last_real_sync(const Engine *engine);
uint64_t engine_sync_count(const Engine *engine);

/* The id that the next sync to begin will have. */
uint64_t engine_next_sync_id(const Engine *engine);

/* The worker with the longest run in an episode, which always has one. */
const EpisodeWorker *episode_longest_run(const Episode *episode);

/* The ongoing episode or NULL; and the ended ones: n of them, index 0 is the oldest. */
const Episode *engine_episode(const Engine *engine);
size_t engine_n_episodes(const Engine *engine);
const Episode *engine_ended_episode(const Engine *engine, size_t index);
