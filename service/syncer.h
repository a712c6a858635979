/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Makes syncs: syncfs(2) on all filesystems that a stall can affect, in parallel, each in its own helper
 * process, and sync(2) in another one. A call that hangs blocks only its helper: its filesystem is not synced
 * again until it returns, and another helper is started in its place. Requests for single filesystems have
 * helpers of their own, so that they never delay the sync that ends a stall. Between a request and its first
 * system call the daemon only sends and receives packets and reads /proc/meminfo; it does not fork, allocate
 * or open files.
 */

#include "episode.h"
#include "helper.h"
#include "syncfs.h"
#include "worker.h"

typedef struct Syncer Syncer;

/* All handlers run from the event loop, never from within the functions below. They may call any of those
 * except syncer_free(). */
typedef struct SyncerHandlers {
        /* The end of syncer_sync_filesystems(): all filesystems have answered or timed out. has_any is false
         * if there is none (then SYNC_OK), or if they could not be listed (then SYNC_FAILED or SYNC_STALLED).
         * Otherwise SYNC_STALLED if one has not ended and makes no progress; SYNC_FAILED if one failed or
         * none could be reached; else SYNC_OK, also if one is slow. The list is valid until the next call. It
         * begins with those that are not ok, followed by those that took longest. */
        void (*filesystems_synced)(
                        bool has_any,
                        SyncResult result,
                        const FilesystemSync *filesystems,
                        size_t n_filesystems,
                        void *userdata);

        /* The end of the syncer_sync_filesystem() that returned this id: FILESYSTEM_OK with the duration of
         * its syncfs(2); FILESYSTEM_TIMEOUT with the time that it, or an earlier hanging sync of that
         * filesystem, has been under way; or FILESYSTEM_UNREACHABLE or FILESYSTEM_FAILED with a negative
         * errno, where -EPIPE means that its helper died. */
        void (*filesystem_synced)(
                        uint64_t id,
                        FilesystemResult result,
                        uint64_t duration_usec,
                        int error,
                        void *userdata);

        /* The end of syncer_sync_everything(). SYNC_STALLED: there was no progress for its timeout; the call
         * continues, and its return is not reported. SYNC_FAILED: its helper died. entered_usec
         * (CLOCK_MONOTONIC) is when the system call was entered, duration_usec how long it took; 0 unless
         * SYNC_OK. */
        void (*everything_synced)(
                        SyncResult result,
                        uint64_t entered_usec,
                        uint64_t duration_usec,
                        void *userdata);

        /* syncer_results() changed, perhaps more than once. Comes before filesystems_synced. */
        void (*filesystems_changed)(void *userdata);

        /* The end of syncer_self_test(): 0, or negative errno. */
        void (*self_tested)(int r, void *userdata);
} SyncerHandlers;

/* Starts the helpers: connects to socket_path (SYNCFS_SOCKET) once for each, or forks them if nothing listens
 * there or socket_path is NULL. The helper that calls sync(2) is always forked. The process must have a
 * single thread. For priority_path see priority_init(). The paths must outlive the syncer. */
int syncer_new(sd_event *event,
               const char *socket_path,
               const char *priority_path,
               const SyncerHandlers *handlers,
               void *userdata,
               Syncer **ret);

/* Does not wait for a sync under way. */
Syncer *syncer_free(Syncer *syncer);
DEFINE_TRIVIAL_CLEANUP(Syncer *, syncer_free);

/* Syncs all filesystems with cgroup writeback. timeout_usec applies to all of them together; system calls
 * that have not returned by then continue. -EBUSY while such a request is under way. */
int syncer_sync_filesystems(Syncer *syncer, uint64_t timeout_usec);

/* Whether syncer_sync_filesystems() has filesystems that no helper has got yet. Soon after this
 * changes, filesystems_changed or filesystems_synced is called, or else it changes in
 * syncer_ensure_helpers(). */
bool syncer_is_handing_out(const Syncer *syncer);

/* Gives these flush workers priority while a syncfs(2) or sync(2) is in the kernel, also one that begins
 * later, and after its timeout, but not for one that hangs for longer than a minute; and restores the nice
 * values of others that have it (flush-priority.h). Must be repeated within FLUSH_PRIORITY_LEASE_USEC for as
 * long as it must last. */
void syncer_set_flush_workers(Syncer *syncer, const FlushWorkers *workers);

/* Syncs the filesystem, of any type, that holds an absolute path, whatever else is under way. -EINVAL or
 * -ENAMETOOLONG for the path; -EBUSY if the maximum number is under way or hanging. */
int syncer_sync_filesystem(Syncer *syncer, const char *path, uint64_t timeout_usec, uint64_t *ret_id);

/* Calls sync(2). -EBUSY while such a request is under way. While an earlier sync(2) still hangs, ends at once
 * with SYNC_STALLED. */
int syncer_sync_everything(Syncer *syncer, uint64_t timeout_usec);

/* Does everything but the system calls that sync, with each helper, so that anything a sandbox forbids fails
 * now. If the helpers behind the socket fail or do not answer, logs it and forks helpers instead. -EBUSY
 * while anything is under way. */
int syncer_self_test(Syncer *syncer);

/* Starts missing helpers. Must be called at the end of each scan. May fork. */
void syncer_ensure_helpers(Syncer *syncer);

/* The filesystems of the last request and their results so far, in the order of syncing. Valid until the next
 * event. */
const FilesystemSync *syncer_results(const Syncer *syncer, size_t *ret_n);

/* When the first and the last ended syncfs(2) of the last request were entered (CLOCK_MONOTONIC); 0 while
 * none has ended. */
void syncer_entered(const Syncer *syncer, uint64_t *ret_first_usec, uint64_t *ret_last_usec);

/* Adds figures of the kernel about the machine, and how many filesystems still hang in an earlier sync. Reads
 * open files of /proc and /sys. */
void syncer_read_evidence(Syncer *syncer, Evidence *evidence);

/* The trigger of CPU pressure (kernel-files.h), which becomes the caller's; negative where there is none, or
 * not yet: a helper may provide it by the end of the self-test. */
int syncer_take_cpu_trigger(Syncer *syncer);

/* Dirty and Writeback of /proc/meminfo, in bytes. -ENODATA if they can't be read. */
int syncer_dirty_bytes(const Syncer *syncer, uint64_t *ret_dirty, uint64_t *ret_writeback);
