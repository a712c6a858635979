/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A batch: all filesystems with cgroup writeback, synced in parallel. One helper lists them. They are passed
 * to idle helpers in the order of the list. The batch ends when all have answered, or at its timeout. After a
 * timeout, syncs under way continue, waiting filesystems still get a helper as soon as one is idle, and
 * results still change. The next batch includes those that still hang.
 */

#include "syncer-pool.h"
#include "syncer-progress.h"

typedef enum EntryState {
        ENTRY_WAITING, /* for a helper */
        ENTRY_SYNCING,
        ENTRY_HANGING, /* in an earlier batch's sync; synced again once that returns */
        ENTRY_ENDED,
} EntryState;

/* A filesystem of the batch. Its result has the same index in Batch.results. */
typedef struct Entry {
        EntryState state;
        uint32_t major, minor;
        uint64_t mount_id; /* in the list that named it first, or 0 */
} Entry;

/* Those of a list, and those that still hang but are no longer listed (for example detached). */
#define ENTRIES_MAX (FILESYSTEMS_MAX + POOL_FILESYSTEMS_MAX)

typedef struct Batch {
        Pool *pool;
        bool active;
        bool listed, list_failed;
        uint64_t id;
        uint64_t start_usec, deadline_usec;
        unsigned list_attempts;
        Progress progress;
        uint64_t first_entered_usec, last_entered_usec; /* see syncer_entered() */
        bool changed;                                   /* a result changed; the reader resets it */
        size_t n_entries;
        Entry entries[ENTRIES_MAX];
        FilesystemSync results[ENTRIES_MAX];
        FilesystemSync sorted[ENTRIES_MAX];
} Batch;

/* Begins a batch. None may be active. */
void batch_begin(Batch *batch, uint64_t now_usec, uint64_t timeout_usec);

/* The replies to TASK_LIST and TASK_FILESYSTEM. */
void batch_on_list(Batch *batch, const Slot *slot, int r, const void *reply, size_t size);
void batch_on_filesystem(Batch *batch, const Slot *slot, int r, const void *reply, size_t size);

/* Passes waiting filesystems to idle helpers. Must be called after each reply. */
void batch_dispatch(Batch *batch);

/* Whether a filesystem is waiting for a helper. */
bool batch_is_waiting(const Batch *batch);

/* Whether all have answered. */
bool batch_is_complete(const Batch *batch);

/* Ends the batch. Results as for SyncerHandlers.filesystems_synced(). */
SyncResult batch_end(Batch *batch, uint64_t now_usec, const FilesystemSync **ret, size_t *ret_n);

/* Whether results depend on batch_note_progress(), which must then be called with the number of unwritten
 * bytes. */
bool batch_needs_progress(const Batch *batch);
void batch_note_progress(Batch *batch, uint64_t bytes, uint64_t now_usec);
