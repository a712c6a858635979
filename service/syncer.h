/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Syncs: syncfs(2) of each filesystem that a stall can be about, at the same time, each in a helper process
 * of its own, and sync(2) in another one. One that hangs holds its own helper and nothing else: it is not
 * synced again until it returns, and another helper is started in its place. Single filesystems are synced
 * beside that, with helpers of their own, so that the sync that ends a stall never waits for one. Between a
 * request and the system calls the daemon sends and receives packets, and reads /proc/meminfo; it neither
 * forks, allocates, nor opens a file.
 */

#include "episode.h"
#include "helper.h"
#include "syncfs.h"

typedef struct Syncer Syncer;

/* All run in the event loop, none from within a call of the functions below. They may call any of these but
 * syncer_free(). */
typedef struct SyncerHandlers {
        /* All filesystems have answered or timed out: the end of syncer_sync_filesystems(). has_any is
         * false when there is none (then SYNC_OK), or when they could not be listed (then SYNC_FAILED, or
         * SYNC_STALLED). The worst come first: those that are not ok, then those that took longest.
         * SYNC_STALLED when one has not ended; SYNC_FAILED when one failed, or none could be reached; else
         * SYNC_OK. The list is valid until the next call. */
        void (*filesystems_synced)(
                        bool has_any,
                        SyncResult result,
                        const FilesystemSync *filesystems,
                        size_t n_filesystems,
                        void *userdata);

        /* The end of the syncer_sync_filesystem() that returned this id: FILESYSTEM_OK with the duration of
         * its syncfs(2); FILESYSTEM_TIMEOUT with for how long it has been under way, or an earlier one of the
         * same filesystem that hangs; or FILESYSTEM_UNREACHABLE or FILESYSTEM_FAILED with a negative errno,
         * of which -EPIPE means that its helper died. */
        void (*filesystem_synced)(
                        uint64_t id,
                        FilesystemResult result,
                        uint64_t duration_usec,
                        int error,
                        void *userdata);

        /* The end of syncer_sync_everything(). SYNC_STALLED: it has made no progress for its timeout, and
         * goes on; its return is not reported. SYNC_FAILED: its helper died. entered_usec (CLOCK_MONOTONIC)
         * is when the system call was entered, duration_usec how long it took; 0 unless SYNC_OK. */
        void (*everything_synced)(
                        SyncResult result,
                        uint64_t entered_usec,
                        uint64_t duration_usec,
                        void *userdata);

        /* syncer_results() changed. */
        void (*filesystems_changed)(void *userdata);

        /* The end of syncer_self_test(): 0, or negative errno. */
        void (*self_tested)(int r, void *userdata);
} SyncerHandlers;

/* Starts the helpers, so that the process must have a single thread: connects to socket_path (SYNCFS_SOCKET)
 * for each of them, or forks them where nobody listens, or socket_path is NULL. The one that calls sync(2) is
 * always forked. socket_path must outlive the syncer. */
int syncer_new(sd_event *event,
               const char *socket_path,
               const SyncerHandlers *handlers,
               void *userdata,
               Syncer **ret);

/* Does not wait for a sync under way. */
Syncer *syncer_free(Syncer *syncer);
DEFINE_TRIVIAL_CLEANUP(Syncer *, syncer_free);

/* Syncs all filesystems with cgroup writeback. timeout_usec is for all of them together; those that have not
 * ended then go on. -EBUSY while such a request is under way. */
int syncer_sync_filesystems(Syncer *syncer, uint64_t timeout_usec);

/* Syncs the filesystem that holds an absolute path, of whatever type, whatever else is under way. -EINVAL
 * and -ENAMETOOLONG for the path; -EBUSY when as many are under way or hang as there can be. */
int syncer_sync_filesystem(Syncer *syncer, const char *path, uint64_t timeout_usec, uint64_t *ret_id);

/* Calls sync(2). -EBUSY while such a request is under way. While an earlier one still hangs this one ends at
 * once with SYNC_STALLED. */
int syncer_sync_everything(Syncer *syncer, uint64_t timeout_usec);

/* Does everything but the system calls that sync, with each helper: what a sandbox refuses is refused now. A
 * socket whose helpers fail in it or do not answer is given up, with a line in the log: the helpers are
 * forked then. -EBUSY while anything is under way. */
int syncer_self_test(Syncer *syncer);

/* Starts helpers where some are missing. Must be called at the end of each scan. May fork. */
void syncer_ensure_helpers(Syncer *syncer);

/* The filesystems of the last request and what became of them by now, in the order of their turn. Valid until
 * the next event. */
const FilesystemSync *syncer_results(const Syncer *syncer, size_t *ret_n);

/* When the first and the last syncfs(2) of the last request that have ended were entered (CLOCK_MONOTONIC); 0
 * while there is none. */
void syncer_entered(const Syncer *syncer, uint64_t *ret_first_usec, uint64_t *ret_last_usec);

/* Dirty and Writeback of /proc/meminfo, in bytes. -ENODATA where they can't be read. */
int syncer_dirty_bytes(const Syncer *syncer, uint64_t *ret_dirty, uint64_t *ret_writeback);
