/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Syncs of single filesystems of any type, each selected by a path on it. A helper finds the filesystem, then
 * syncs it. A batch may sync the same filesystem at the same time; neither waits for the other. Requests do
 * not pile up behind a filesystem that hangs.
 */

#include "syncer-pool.h"

/* See SyncerHandlers.filesystem_synced(). */
typedef void (*single_synced_t)(
                uint64_t id,
                FilesystemResult result,
                uint64_t duration_usec,
                int error,
                void *userdata);

/* The sync in the slot with the same index. */
typedef struct Single {
        uint64_t id; /* 0: none, or timed out */
        uint64_t timeout_usec, deadline_usec;
        char *path;             /* until its filesystem is found */
        unsigned attempts_left; /* to find the filesystem */
} Single;

typedef struct Singles {
        Pool *pool;
        single_synced_t on_synced;
        void *userdata;
        uint64_t last_id;
        Single table[POOL_SINGLES_MAX];
} Singles;

/* See syncer_sync_filesystem(). */
int singles_begin(Singles *singles, const char *path, uint64_t timeout_usec, uint64_t *ret_id);
void singles_done(Singles *singles);

/* The replies to TASK_FIND and TASK_SINGLE. */
void singles_on_found(Singles *singles, Slot *slot, int r, const void *reply, size_t size);
void singles_on_synced(Singles *singles, Slot *slot, int r, const void *reply, size_t size);

/* Ends those that have timed out. Their helpers stay busy until the system calls return. */
void singles_expire(Singles *singles, uint64_t now_usec);

/* The earliest deadline, or USEC_INFINITY. */
uint64_t singles_deadline_usec(const Singles *singles);
