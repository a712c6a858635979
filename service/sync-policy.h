/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * What the engine knows of its syncs: the one under way, when it must call sync(2), the last one, which ones
 * helped, and when the Recovery time ends. Pure: the caller makes the syncs and reports their results. Each
 * change is also recorded in the history.
 */

#include "engine-events.h"
#include "history.h"

/* A sync that did not help doubles the Recovery time, up to this many times the set value. */
#define ENGINE_BACKOFF_MAX 16

/* After this many syncs in a row that did not help, there is at most one in this time. The same time without
 * an episode resets the count. */
#define ENGINE_UNHELPFUL_MAX 5
#define ENGINE_UNHELPFUL_RECOVERY_USEC USEC_PER_HOUR

/* When the next sync may come. */
typedef struct Pacing {
        uint64_t last_end_usec; /* end of the last sync; 0: no Recovery time */
        uint32_t n_unhelpful;   /* automatic syncs in a row that did not help */
} Pacing;

typedef struct SyncPolicy {
        bool syncing;
        uint64_t filesystems_answered_usec; /* 0: not yet */
        SyncResult filesystems_result;
        Sync sync;        /* the one under way */
        Sync last_sync;   /* the last real one; id 0: none */
        uint64_t n_syncs; /* ids used */
        uint64_t n_real_syncs;
        uint64_t n_results[_SYNC_RESULT_MAX]; /* of the real ones that have ended */
        Pacing real_pacing, dry_pacing;       /* separate, so that dry runs do not affect real syncs */
} SyncPolicy;

/* Begins a sync, with the next id, in the ongoing episode. None may be under way. */
void sync_policy_start(SyncPolicy *policy, History *history, const Sync *sync, EngineEvents *events);

/* Records the evidence of the sync under way. */
void sync_policy_note_evidence(SyncPolicy *policy, History *history, const Evidence *evidence);

/* See engine_filesystems_synced(). */
void sync_policy_note_filesystems(
                SyncPolicy *policy,
                History *history,
                uint64_t now_usec,
                bool has_any,
                SyncResult result,
                const FilesystemSync *filesystems,
                size_t n_filesystems);

/* Decides what follows the filesystems: nothing yet, sync(2), or the end. last_seen_usec: the last scan that
 * did not fail. Returns whether it ended the sync. */
bool sync_policy_continue(
                SyncPolicy *policy,
                History *history,
                uint64_t now_usec,
                uint64_t last_seen_usec,
                EngineEvents *events);

/* When sync_policy_continue() must be called because of time alone, or USEC_INFINITY. */
uint64_t sync_policy_wake_usec(const SyncPolicy *policy);

/* Ends the sync under way, as of end_usec. */
void sync_policy_end(
                SyncPolicy *policy,
                History *history,
                uint64_t end_usec,
                SyncResult result,
                EngineEvents *events);

/* Whether a system call of the sync under way has not returned. */
bool sync_policy_is_in_kernel(const SyncPolicy *policy);

/* An episode has begun. A sync that is under way or has just ended is recorded in it, since it may end the
 * stall. */
void sync_policy_adopt(SyncPolicy *policy, History *history, uint64_t now_usec);

/* Workers were seen spinning at spinning_usec. Syncs of the ongoing episode that should have had their effect
 * by then did not help. */
void sync_policy_judge(SyncPolicy *policy, History *history, uint64_t spinning_usec, EngineEvents *events);

/* The end of the episode has decided whether these of its syncs helped: a mask of indices. */
void sync_policy_note_judged(
                SyncPolicy *policy,
                const Episode *episode,
                uint32_t judged,
                EngineEvents *events);

/* When the Recovery time after the last sync ends, or 0. */
uint64_t sync_policy_recovery_end_usec(const SyncPolicy *policy, bool dry_run, uint64_t recovery_usec);

/* Resets the count of syncs that did not help. */
void sync_policy_reset(SyncPolicy *policy, EngineEvents *events);
