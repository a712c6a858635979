/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The code that runs in the helpers that sync: lists filesystems, syncs one, or calls sync(2). Reads the
 * mounts of its own namespace for each list, and again if a filesystem is not at its mount in the list any
 * more. Needs only the C library, so that helpers can also be forks of a small program (wbwatch-syncfs.c).
 */

#include <assert.h>
#include <limits.h>

#include "filesystems.h"
#include "kernel-files.h"
#include "serve.h"

/* Where wbwatch-syncfs.socket listens. */
#define SYNCFS_SOCKET "/run/wbwatch-syncfs/socket"

typedef enum SyncfsOrder {
        SYNCFS_ORDER_LIST,       /* reply: SyncfsList */
        SYNCFS_ORDER_FILESYSTEM, /* syncfs(2) of the filesystem with that device number; reply: SyncfsReply */
        SYNCFS_ORDER_EVERYTHING, /* sync(2); reply: SyncfsReply */
} SyncfsOrder;

/* In a self-test a helper does everything but the sync, and nothing that may block. It may attach a file of
 * the kernel to its reply: the daemon's own /proc may lack it (ProcSubset=pid). */
typedef enum SyncfsSelfTest {
        SELF_TEST_NO,
        SELF_TEST_YES,
        SELF_TEST_ATTACH, /* + KernelFile */
} SyncfsSelfTest;

/* How many filesystems are synced at once. If there are more, the list begins with the largest. */
#define SYNCFS_AT_ONCE 4

typedef struct SyncfsRequest {
        SyncfsOrder order;
        uint32_t major, minor;
        uint32_t self_test; /* a SyncfsSelfTest */
        uint64_t mount_id;  /* for a filesystem: its mount in the list, or 0 */

        /* For a list: only the filesystem, of any type, that holds it; "": all. For a filesystem: where that
         * mount is, which is tried before others. */
        char path[PATH_MAX];
} SyncfsRequest;

/* The size of a request as sent: path up to its NUL. */
size_t syncfs_request_size(const SyncfsRequest *request);

typedef struct SyncfsList {
        int32_t error; /* negative errno, or 0 */
        FilesystemList list;
} SyncfsList;

typedef struct SyncfsReply {
        int32_t error;         /* negative errno, or 0 */
        uint32_t is_reached;   /* it was opened; error is that of the sync */
        uint64_t entered_usec; /* when the system call was entered, CLOCK_MONOTONIC */
        uint64_t duration_usec;
} SyncfsReply;

static_assert(sizeof(SyncfsList) <= HELPER_PACKET_MAX, "a list fits in a packet");

/* A helper_serve_t. Ignores userdata. */
size_t syncfs_serve(const void *request, size_t size, void *reply, void *userdata);
