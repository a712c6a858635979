/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Every sync(2), syncfs(2) and openat2(2) that the daemon's helpers call. sync-record.c, preloaded into the
 * daemon, writes them into a file that it shares with the test, which may have the syncs of one filesystem
 * fail. It needs neither bus nor log.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The variable that names the file. */
#define SYNC_RECORD_VARIABLE "WBWATCH_SYNC_RECORD"

/* More than a test makes. */
#define SYNC_RECORDS_MAX 65536

typedef struct SyncRecord {
        pid_t pid, daemon;
        _Atomic uint64_t entered_usec, left_usec; /* CLOCK_MONOTONIC; 0: not yet */
        bool died;                                /* during the call, as the test observed */
        int error;                                /* of syncfs(2) */
        dev_t device;                             /* of syncfs(2): the device of the descriptor */
} SyncRecord;

typedef struct SyncRecords {
        _Atomic uint64_t failing_device;       /* of the filesystem whose syncfs(2) fails with EIO; 0: none */
        atomic_uint n;                         /* calls of sync(2) */
        atomic_uint n_filesystems;             /* calls of syncfs(2) */
        atomic_uint n_opened, n_opened_cached; /* calls of openat2(2), and those with RESOLVE_CACHED */
        SyncRecord records[SYNC_RECORDS_MAX];
        SyncRecord filesystems[SYNC_RECORDS_MAX];
} SyncRecords;
