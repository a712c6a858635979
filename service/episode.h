/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The record of a stall: the work that was stuck, its workers, the syncs made, and whether they helped. Plain
 * data with fixed tables, copied by value. */

#include "settings.h"
#include "worker.h"

#define EPISODE_WORKERS_MAX 32
#define EPISODE_SYNCS_MAX 12
#define EPISODE_ALSO_SPINNING_MAX 8

/* Of each sync that an episode keeps. */
#define SYNC_FILESYSTEMS_MAX 8

/* A sync helped when its stall ended while it was under way or so long after its end at most. Measured on the
 * real bug: 0.2 to 3.1 s after it was requested (docs/detection.md). */
#define SYNC_HELPED_WITHIN_USEC (5 * USEC_PER_SEC)

typedef enum EngineRule {
        RULE_NONE,
        RULE_WORKER, /* at least one worker was spinning for nearly all of the threshold */
        RULE_CROWD,  /* enough worker-seconds within the crowd's threshold */
} EngineRule;

typedef enum EpisodeOutcome {
        OUTCOME_ONGOING,
        OUTCOME_RECOVERED, /* a sync helped */
        OUTCOME_CLEARED,   /* it ended without a sync */
        OUTCOME_OUTLIVED,  /* there were syncs, and none helped */
} EpisodeOutcome;

typedef enum SyncResult {
        SYNC_PENDING, /* under way, or there was none */
        SYNC_OK,
        SYNC_STALLED, /* it had not ended after the timeout */
        SYNC_FAILED,  /* it could not be made, or its process was killed */
} SyncResult;

typedef enum SyncHelped {
        HELPED_PENDING,
        HELPED_YES,
        HELPED_NO,
} SyncHelped;

typedef enum FilesystemResult {
        FILESYSTEM_PENDING,
        FILESYSTEM_OK,
        FILESYSTEM_SLOW,        /* not ended after its timeout, but the disks make progress */
        FILESYSTEM_TIMEOUT,     /* not ended after its timeout; it holds its helper until it returns */
        FILESYSTEM_UNREACHABLE, /* it could not be opened */
        FILESYSTEM_FAILED,
} FilesystemResult;

/* The sync of one filesystem. */
typedef struct FilesystemSync {
        char mountpoint[80]; /* cut when longer */
        char type[16];
        uint64_t duration_usec;
        FilesystemResult result;
} FilesystemSync;

typedef struct Sync {
        uint64_t id;         /* counts from 1 */
        uint64_t episode_id; /* 0 outside of an episode */
        Moment start;
        uint64_t duration_usec;
        uint64_t longest_run_usec; /* when it was requested */
        uint32_t worker_count;     /* how many ran then */
        EngineRule rule;           /* what made it; RULE_NONE when somebody requested it */
        SyncMethod method;
        SyncResult result;
        SyncHelped helped;
        bool dry_run;         /* not really made */
        bool has_filesystems; /* some were there to be synced one by one */
        bool everything;      /* sync(2) was called after them */
        uint32_t n_filesystems;
        FilesystemSync filesystems[SYNC_FILESYSTEMS_MAX]; /* those that did not answer first */
} Sync;

typedef struct EpisodeWorker {
        Worker worker;     /* as last seen running */
        uint64_t run_usec; /* its longest unbroken run */
        uint64_t cpu_usec; /* what it used since it was first seen in the episode */
        uint64_t cpu_before_usec;
} EpisodeWorker;

typedef struct Episode {
        uint64_t id; /* counts from 1 */
        Moment start;
        Moment end; /* the last scan with a spinning worker; zero while it is ongoing */
        EngineRule rule;
        EpisodeOutcome outcome;
        bool dry_run;                                   /* as it was set when the episode began */
        char work[WORKER_NAME_MAX + 1];                 /* whose rule held first */
        uint32_t worker_max, spinning_max, waiting_max; /* the most at once */
        uint32_t sync_count;                            /* dry runs are not counted */
        uint32_t n_workers, n_syncs, n_also_spinning;
        EpisodeWorker workers[EPISODE_WORKERS_MAX]; /* the longest runs, longest first */
        Sync syncs[EPISODE_SYNCS_MAX];              /* the newest, in the order of their start */
        char also_spinning[EPISODE_ALSO_SPINNING_MAX][WORKER_NAME_MAX + 1]; /* workers of other works */
} Episode;

const char *engine_rule_to_string(EngineRule rule);
const char *episode_outcome_to_string(EpisodeOutcome outcome);
const char *sync_result_to_string(SyncResult result);
const char *sync_helped_to_string(SyncHelped helped);
const char *filesystem_result_to_string(FilesystemResult result);

/* Copies an episode; of its tables only what they hold. */
void episode_copy(Episode *to, const Episode *from);

/* Begins an episode. */
void episode_begin(
                Episode *episode,
                uint64_t id,
                Moment now,
                EngineRule rule,
                const char *work,
                bool dry_run);

/* Notes a running worker, and for how long it has been running without a break. */
void episode_note_worker(Episode *episode, const Worker *worker, uint64_t run_usec);

/* Notes the name of a worker of another work that spins; once each, while there is room. */
void episode_note_also_spinning(Episode *episode, const char *name);

/* Notes a sync, or what became of one that is noted already (by its id). */
void episode_note_sync(Episode *episode, const Sync *sync);

/* Ends the episode at `end`, the last scan with a spinning worker. Judges its syncs that are not judged yet,
 * and so its outcome. */
void episode_end(Episode *episode, Moment end, uint64_t scan_interval_usec);

/* Whether a stall, whose last spinning worker was seen at end_usec (CLOCK_MONOTONIC) by scans that come every
 * scan_interval_usec, was ended by that sync. */
bool sync_ended_stall(const Sync *sync, uint64_t end_usec, uint64_t scan_interval_usec);
