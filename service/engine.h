/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The engine: decides. It is a pure state machine: what was seen or requested comes in with its time, what
 * happened and what to do comes out as a list of events, and when to scan next. No I/O, no clock of its own,
 * and no allocation but that of the engine itself. The rules and their reasons are in docs/detection.md.
 *
 * The caller must execute EVENT_CONFIRM, EVENT_SYNC_STARTED and EVENT_SYNC_EVERYTHING first and report
 * afterwards. Each event carries by value what happened.
 */

#include "episode.h"
#include "settings.h"
#include "worker.h"

#define ENGINE_EPISODES_MAX 64

/* The longest-running workers that are kept; others are only counted. */
#define ENGINE_RUNS_MAX 512

/* A sync that did not help doubles the Recovery time, up to this many times the set value. */
#define ENGINE_BACKOFF_MAX 16

/* After so many in a row that did not help there is at most one in this time. As long without an episode
 * resets that. */
#define ENGINE_UNHELPFUL_MAX 5
#define ENGINE_UNHELPFUL_RECOVERY_USEC USEC_PER_HOUR

typedef enum EngineState {
        ENGINE_IDLE,
        ENGINE_BUSY,
        ENGINE_SYNCING,
        ENGINE_RECOVERY,
        ENGINE_PAUSED,
} EngineState;

typedef enum EngineEventType {
        EVENT_CONFIRM,         /* scan once more at once, and call engine_confirm() */
        EVENT_UNCONFIRMED,     /* that scan found no spinning worker of the work any more: nothing was done */
        EVENT_SYNC_STARTED,    /* start it now, unless it is a dry run: sync */
        EVENT_SYNC_EVERYTHING, /* its filesystems' syncs did not end the stall: call sync(2) now: sync */
        EVENT_SYNC_ENDED,      /* sync */
        EVENT_SYNC_JUDGED,     /* whether it helped is known now: sync */
        EVENT_SYNCS_UNHELPFUL, /* so many in a row did not help; reported once: sync is the last of them */
        EVENT_EPISODE_STARTED, /* the list's episode */
        EVENT_EPISODE_ENDED,   /* the list's episode */
        EVENT_WAITING,         /* a worker has waited for the threshold; reported once: worker, count, usec */
        EVENT_STATE_CHANGED,
        EVENT_PAUSE_CHANGED,
        EVENT_UNHELPFUL_CHANGED, /* engine_syncs_unhelpful() */
} EngineEventType;

typedef struct EngineEvent {
        EngineEventType type;
        Sync sync;
        Worker worker;
        uint32_t count;
        uint64_t usec;
} EngineEvent;

#define ENGINE_EVENTS_MAX 16

/* Inputs append to the list; the caller begins with n = 0. One input begins or ends one episode at most. */
typedef struct EngineEvents {
        size_t n;
        EngineEvent events[ENGINE_EVENTS_MAX];
        Episode episode;
} EngineEvents;

/* The first event of that type, or NULL. */
const EngineEvent *engine_events_find(const EngineEvents *events, EngineEventType type);

/* A worker that was running at the last scan, and since when every scan saw it run the same work. */
typedef struct Run {
        Worker worker;
        uint64_t since_usec;         /* CLOCK_MONOTONIC */
        uint64_t waiting_since_usec; /* 0 while it spins */
} Run;

typedef struct Engine Engine;

const char *engine_state_to_string(EngineState state);

/* n_cpus: the online CPUs. -ENOMEM or 0. The settings are copied. */
int engine_new(const Settings *settings, unsigned n_cpus, Moment now, Engine **ret);
Engine *engine_free(Engine *engine);
DEFINE_TRIVIAL_CLEANUP(Engine *, engine_free);

/* Inputs. Times never go back. */

/* New settings are in effect from now on, also for workers that run already. */
void engine_set_settings(Engine *engine, Moment now, const Settings *settings, EngineEvents *events);

/* The number of online CPUs changed: CrowdSize follows where nobody set it. */
void engine_set_cpus(Engine *engine, unsigned n_cpus);

/* Scans take so long that they cannot come more often than this. Each scan then stands for that time, as
 * long as several scans fit into each threshold. */
void engine_set_scan_cost(Engine *engine, uint64_t usec);

/* Whether thread creation events are not received, so that idle scans come every PollInterval. */
void engine_set_polling(Engine *engine, bool polling);

/* What a scan found: the running workers whose names match, sorted by pid, then start time. */
void engine_scan(Engine *engine, Moment now, const Worker *workers, size_t n_workers, EngineEvents *events);

/* A scan that saw nothing at all, not even an idle kernel thread: it says nothing about the workers. Time
 * without a valid scan does not count towards any rule. */
void engine_scan_failed(Engine *engine, Moment now, EngineEvents *events);

/* The scan that EVENT_CONFIRM requested. */
void engine_confirm(
                Engine *engine,
                Moment now,
                const Worker *workers,
                size_t n_workers,
                EngineEvents *events);

/* Workers that do not match the glob and were spinning at the last scan: noted in the ongoing episode. */
void engine_note_others(Engine *engine, const Worker *workers, size_t n_workers);

/* A kernel thread was created, or such events were lost: a scan is due one PollInterval later, when its work
 * has a name. */
void engine_thread_created(Engine *engine, Moment now);

/* The filesystems of the sync under way have all answered or timed out. has_any is false when there was none.
 * The list is kept with the sync. Ignored when none is under way. */
void engine_filesystems_synced(
                Engine *engine,
                Moment now,
                bool has_any,
                SyncResult result,
                const FilesystemSync *filesystems,
                size_t n_filesystems,
                EngineEvents *events);

/* sync(2) of the sync under way has returned or timed out, or the sync could not be made, or it was a dry run
 * (SYNC_PENDING). Ignored when none is under way. */
void engine_sync_ended(Engine *engine, Moment now, SyncResult result, EngineEvents *events);

/* Sync now, whatever the state, also in a dry run; while one is under way, another one right after it. */
void engine_request_sync(Engine *engine, Moment now, EngineEvents *events);

/* Holds for usec, or until resumed (USEC_INFINITY). Replaces an earlier pause. */
void engine_pause(Engine *engine, Moment now, uint64_t usec, EngineEvents *events);
void engine_resume(Engine *engine, Moment now, EngineEvents *events);

/* Outputs. */

/* When to scan next, on CLOCK_MONOTONIC. *ret_exact: false when a while later does as well. */
uint64_t engine_wake_usec(const Engine *engine, bool *ret_exact);

EngineState engine_state(const Engine *engine);
Moment engine_state_since(const Engine *engine);

/* CLOCK_REALTIME; 0 not paused, USEC_INFINITY until resumed. */
uint64_t engine_paused_until_usec(const Engine *engine);

/* How many matching workers were spinning and waiting at the last scan. */
uint32_t engine_n_spinning(const Engine *engine);
uint32_t engine_n_waiting(const Engine *engine);

/* The workers that ran at the last scan, sorted by pid; of very many only ENGINE_RUNS_MAX. Valid until the
 * next input. */
const Run *engine_runs(const Engine *engine, size_t *ret_n);

/* The longest run, or NULL, and the time for which a worker has been seen running. */
const Run *engine_longest_run(const Engine *engine);
uint64_t engine_run_usec(const Engine *engine, const Run *run);

/* The crowd size in force; 0 when the rule is off. */
double engine_crowd_size(const Engine *engine);

/* When the Recovery time after the last sync ends (CLOCK_MONOTONIC), or 0. */
uint64_t engine_recovery_end_usec(const Engine *engine);

/* Automatic syncs in a row that did not help. */
uint32_t engine_syncs_unhelpful(const Engine *engine);

/* The sync under way, or NULL; the last one that ended and was no dry run, or NULL; and how many that were no
 * dry run have begun. */
const Sync *engine_sync(const Engine *engine);
const Sync *engine_last_sync(const Engine *engine);
uint64_t engine_sync_count(const Engine *engine);

/* The id that the next sync to begin will have. */
uint64_t engine_next_sync_id(const Engine *engine);

/* The ongoing episode or NULL; and the ended ones: n of them, index 0 is the first. */
const Episode *engine_episode(const Engine *engine);
size_t engine_n_episodes(const Engine *engine);
const Episode *engine_ended_episode(const Engine *engine, size_t index);
