/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The engine decides. It is a pure state machine. Its inputs are what was seen or requested, with the time.
 * Its outputs are a list of events (what happened and what to do) and the time of the next scan. It does no
 * I/O, reads no clock, and allocates nothing but itself. docs/detection.md has the rules and their reasons.
 *
 * The caller must execute EVENT_CONFIRM, EVENT_SYNC_STARTED and EVENT_SYNC_EVERYTHING before it reports
 * anything. Events hold copies of what they describe.
 */

#include "engine-events.h"
#include "history.h"
#include "runs.h"
#include "settings.h"
#include "sync-policy.h"

typedef enum EngineState {
        ENGINE_IDLE,
        ENGINE_BUSY,
        ENGINE_SYNCING,
        ENGINE_RECOVERY,
        ENGINE_PAUSED,
} EngineState;

/* How often it is reported that automatic syncs are suspended. */
#define ENGINE_PAUSE_REPORT_USEC USEC_PER_HOUR

/* During an episode scans are at least this frequent, unless that costs too much. The mean that decides its
 * end is then that of 20 scans: of five, most may find a worker waiting that often waits for an instant. And
 * each scan may find more flush workers, which need priority (flush-priority.h). */
#define EPISODE_SCAN_USEC (250 * USEC_PER_MSEC)

typedef struct Engine Engine;

const char *engine_state_to_string(EngineState state);

/* n_cpus: the number of online CPUs. Copies the settings. Returns 0 or -ENOMEM. */
int engine_new(const Settings *settings, unsigned n_cpus, Moment now, Engine **ret);
Engine *engine_free(Engine *engine);
DEFINE_TRIVIAL_CLEANUP(Engine *, engine_free);

/* Inputs. Their times must not decrease. */

/* The settings take effect at once, also for workers that are already running. */
void engine_set_settings(Engine *engine, Moment now, const Settings *settings, EngineEvents *events);

/* The number of online CPUs changed: a built-in CrowdSize is adapted to it. */
void engine_set_cpus(Engine *engine, unsigned n_cpus);

/* Scans are so slow that they cannot be closer together than usec. Each scan then covers that time, as long
 * as several scans fit into each threshold. */
void engine_set_scan_cost(Engine *engine, uint64_t usec);

/* Whether thread creation events are not being received: idle scans then come every PollInterval. */
void engine_set_polling(Engine *engine, bool polling);

/* The result of a scan: the running workers whose names match, sorted by pid, then start time. */
void engine_scan(Engine *engine, Moment now, const Worker *workers, size_t n_workers, EngineEvents *events);

/* A scan that saw no kernel thread at all, which says nothing about the workers. Time without a valid scan
 * does not count towards any rule. */
void engine_scan_failed(Engine *engine, Moment now, EngineEvents *events);

/* The result of the scan that EVENT_CONFIRM requested. */
void engine_confirm(
                Engine *engine,
                Moment now,
                const Worker *workers,
                size_t n_workers,
                EngineEvents *events);

/* Workers that were spinning at the last scan but do not match the glob. They are recorded in the ongoing
 * episode. */
void engine_note_others(Engine *engine, const Worker *workers, size_t n_workers);

/* A kernel thread was created, or such events were lost. A scan follows one PollInterval later, when the
 * thread's name shows its work. */
void engine_thread_created(Engine *engine, Moment now);

/* The evidence read after the sync of these events was requested. It is recorded in the episode that they
 * begin and in that sync, with the CPU use of the workers, and in the copies that the events hold. */
void engine_note_evidence(Engine *engine, const Evidence *evidence, EngineEvents *events);

/* All filesystems of the sync under way have answered or timed out. has_any: there was at least one. The list
 * is recorded in the sync. Ignored when no sync is under way. */
void engine_filesystems_synced(
                Engine *engine,
                Moment now,
                bool has_any,
                SyncResult result,
                const FilesystemSync *filesystems,
                size_t n_filesystems,
                EngineEvents *events);

/* sync(2) of the sync under way has returned or timed out, or the sync failed, or it was a dry run
 * (SYNC_PENDING). Ignored when no sync is under way. */
void engine_sync_ended(Engine *engine, Moment now, SyncResult result, EngineEvents *events);

/* Syncs now, in any state, even in a dry run. If a sync is under way, another one starts as soon as it ends.
 */
void engine_request_sync(Engine *engine, Moment now, EngineEvents *events);

/* Suspends automatic syncs for usec, or until resumed (USEC_INFINITY). Replaces an earlier pause. */
void engine_pause(Engine *engine, Moment now, uint64_t usec, EngineEvents *events);
void engine_resume(Engine *engine, Moment now, EngineEvents *events);

/* How many inhibitors are held now. Automatic syncs are suspended while there is one, whether paused or not.
 */
void engine_set_inhibitors(Engine *engine, Moment now, uint32_t n, EngineEvents *events);

/* Outputs. */

/* When to scan next (CLOCK_MONOTONIC). *ret_exact: false if the scan may be somewhat late. */
uint64_t engine_wake_usec(const Engine *engine, bool *ret_exact);

EngineState engine_state(const Engine *engine);
Moment engine_state_since(const Engine *engine);

/* The end of the pause (CLOCK_REALTIME); 0: not paused; USEC_INFINITY: until resumed. */
uint64_t engine_paused_until_usec(const Engine *engine);

/* The number of inhibitors. */
uint32_t engine_n_inhibitors(const Engine *engine);

/* The numbers of matching workers that were spinning and waiting at the last scan. */
uint32_t engine_n_spinning(const Engine *engine);
uint32_t engine_n_waiting(const Engine *engine);

/* The workers that were running at the last scan, sorted by pid; at most ENGINE_RUNS_MAX. Valid until the
 * next input. */
const Run *engine_runs(const Engine *engine, size_t *ret_n);

/* The longest run, or NULL; and for how long a worker has been seen running. */
const Run *engine_longest_run(const Engine *engine);
uint64_t engine_run_usec(const Engine *engine, const Run *run);

/* The crowd size in force; 0 when the rule is off. */
double engine_crowd_size(const Engine *engine);

/* When the Recovery time after the last sync ends (CLOCK_MONOTONIC), or 0. */
uint64_t engine_recovery_end_usec(const Engine *engine);

/* Automatic syncs in a row that did not help. */
uint32_t engine_syncs_unhelpful(const Engine *engine);

/* The sync under way, or NULL; the last real sync (not a dry run) that ended, or NULL; and the number of real
 * syncs started. */
const Sync *engine_sync(const Engine *engine);
const Sync *engine_last_sync(const Engine *engine);
uint64_t engine_sync_count(const Engine *engine);

/* How many real syncs have ended with this result. */
uint64_t engine_n_syncs_with(const Engine *engine, SyncResult result);

/* The id that the next sync will have. */
uint64_t engine_next_sync_id(const Engine *engine);

/* The ongoing episode, or NULL; and copies of the ended episodes, of which index 0 is the first. */
const Episode *engine_episode(const Engine *engine);
size_t engine_n_episodes(const Engine *engine);

/* How many episodes have had this outcome since the start; of OUTCOME_ONGOING, how many are. */
uint64_t engine_n_episodes_with(const Engine *engine, EpisodeOutcome outcome);
void engine_ended_episode(const Engine *engine, size_t index, Episode *ret);
