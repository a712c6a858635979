/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The record of a stall: the work that was stuck, its workers, the syncs made, and whether they helped. Plain
 * data with fixed tables, copied by value. */

#include "evidence.h"
#include "load.h"
#include "samples.h"
#include "settings.h"
#include "worker.h"

#define EPISODE_WORKERS_MAX 32
#define EPISODE_SYNCS_MAX 12
#define EPISODE_ALSO_SPINNING_MAX 8

/* The number of filesystems recorded for a sync. */
#define SYNC_FILESYSTEMS_MAX 8

/* A sync helped if its stall ended during the sync or at most this long after it. Measured on the real bug:
 * 0.2 to 3.1 s after the request (docs/detection.md). */
#define SYNC_HELPED_WITHIN_USEC (5 * USEC_PER_SEC)

typedef enum EpisodeOutcome {
        OUTCOME_ONGOING,
        OUTCOME_RECOVERED, /* ended, and a sync helped */
        OUTCOME_CLEARED,   /* ended without a sync */
        OUTCOME_OUTLIVED,  /* ended, and none of its syncs helped */
        _OUTCOME_MAX,
} EpisodeOutcome;

typedef enum SyncResult {
        SYNC_PENDING, /* under way, or a dry run */
        SYNC_OK,
        SYNC_STALLED, /* not ended after the timeout */
        SYNC_FAILED,  /* it failed, or its process was killed */
        _SYNC_RESULT_MAX,
} SyncResult;

typedef enum SyncHelped {
        HELPED_PENDING,
        HELPED_YES,
        HELPED_NO,
} SyncHelped;

typedef enum FilesystemResult {
        FILESYSTEM_PENDING,
        FILESYSTEM_OK,
        FILESYSTEM_SLOW,        /* not ended after its timeout, but data is still being written */
        FILESYSTEM_TIMEOUT,     /* not ended after its timeout; its helper is busy until it returns */
        FILESYSTEM_UNREACHABLE, /* could not be opened */
        FILESYSTEM_FAILED,
} FilesystemResult;

/* The sync of one filesystem. */
typedef struct FilesystemSync {
        char mountpoint[80]; /* truncated if longer */
        char type[16];
        uint64_t duration_usec;
        FilesystemResult result;
} FilesystemSync;

typedef struct Sync {
        uint64_t id;         /* counts from 1 */
        uint64_t episode_id; /* 0: not in an episode */
        Moment start;
        uint64_t duration_usec;
        uint64_t longest_run_usec; /* at the request */
        uint32_t worker_count;     /* running at the request */
        EngineRule rule;           /* the rule that held; RULE_NONE if the sync was requested */
        SyncMethod method;
        SyncResult result;
        SyncHelped helped;
        bool dry_run;         /* nothing was synced */
        bool has_filesystems; /* at least one filesystem was synced on its own */
        bool everything;      /* sync(2) was called after that */
        uint32_t n_filesystems;
        Evidence evidence;                                /* when it was requested */
        FilesystemSync filesystems[SYNC_FILESYSTEMS_MAX]; /* those that did not answer come first */
} Sync;

typedef struct EpisodeWorker {
        Worker worker;     /* as last seen running */
        uint64_t run_usec; /* its longest unbroken run */
        uint64_t cpu_usec; /* used since it was first seen in the episode */
        uint64_t cpu_before_usec;
} EpisodeWorker;

typedef struct Episode {
        uint64_t id; /* counts from 1 */
        Moment start;
        Moment end; /* the last scan with a spinning worker; zero while ongoing */
        EngineRule rule;
        EpisodeOutcome outcome;
        bool dry_run;                                   /* the setting when the episode began */
        char work[WORKER_NAME_MAX + 1];                 /* the work whose rule held first */
        uint32_t worker_max, spinning_max, waiting_max; /* the most at once */
        uint32_t sync_count;                            /* without dry runs */
        uint32_t n_workers, n_syncs, n_also_spinning;
        Evidence evidence; /* when it began */
        Samples samples;
        EpisodeWorker workers[EPISODE_WORKERS_MAX]; /* the longest runs, longest first */
        char also_spinning[EPISODE_ALSO_SPINNING_MAX][WORKER_NAME_MAX + 1]; /* workers of other works */
        Sync syncs[EPISODE_SYNCS_MAX]; /* the newest, in order of their start */
} Episode;

/* Whether the sync has an effect, at least in part: it did not fail, or a filesystem was synced. */
bool sync_was_made(const Sync *sync);

const char *engine_rule_to_string(EngineRule rule);
const char *episode_outcome_to_string(EpisodeOutcome outcome);
const char *sync_result_to_string(SyncResult result);
const char *sync_helped_to_string(SyncHelped helped);
const char *filesystem_result_to_string(FilesystemResult result);

/* Copies an episode, but only the used rows of its tables. */
void episode_copy(Episode *to, const Episode *from);

/* Begins an episode. */
void episode_begin(
                Episode *episode,
                uint64_t id,
                Moment now,
                EngineRule rule,
                const char *work,
                bool dry_run);

/* Records a running worker, and for how long it has been running without interruption. */
void episode_note_worker(Episode *episode, const Worker *worker, uint64_t run_usec);

/* Records the name of a spinning worker of another work, once each, while there is room. */
void episode_note_also_spinning(Episode *episode, const char *name);

/* Records a sync, or updates the recorded one with the same id. */
void episode_note_sync(Episode *episode, const Sync *sync);

/* Records how many of its workers a scan saw. */
void episode_note_scan(Episode *episode, Moment now, uint32_t n_spinning, uint32_t n_waiting);

/* When a sample was taken, CLOCK_REALTIME. */
uint64_t episode_sample_usec(const Episode *episode, const Sample *sample);

/* Ends the episode at `end`, the last scan with a spinning worker. Decides which of its pending syncs helped,
 * and thereby its outcome. Returns a mask of the indices of the syncs it decided. */
uint32_t episode_end(Episode *episode, Moment end, uint64_t scan_interval_usec);
