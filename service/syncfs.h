/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * What a helper does that syncs: lists the filesystems, syncs one of them, or calls sync(2). It sees the
 * mounts of its own namespace, and reads them anew for each request. Needs nothing but the C library, so that
 * the helpers can be forks of a small program (wbwatch-syncfs.c) as well as of the daemon.
 */

#include <assert.h>
#include <limits.h>

#include "filesystems.h"
#include "serve.h"

/* Where wbwatch-syncfs.socket listens. */
#define SYNCFS_SOCKET "/run/wbwatch-syncfs/socket"

typedef enum SyncfsOrder {
        SYNCFS_ORDER_LIST,       /* reply: SyncfsList; in a self-test with a descriptor of /proc/meminfo */
        SYNCFS_ORDER_FILESYSTEM, /* syncfs(2) of the filesystem with that device number; reply: SyncfsReply */
        SYNCFS_ORDER_EVERYTHING, /* sync(2); reply: SyncfsReply */
} SyncfsOrder;

/* So many filesystems are synced at once; where there are more, a list has the largest first. */
#define SYNCFS_AT_ONCE 4

typedef struct SyncfsRequest {
        SyncfsOrder order;
        uint32_t major, minor;
        uint32_t self_test;  /* do everything but the sync, and nothing that may wait */
        char path[PATH_MAX]; /* of a list: only the filesystem that holds it, of whatever type; "" for all */
} SyncfsRequest;

/* What is sent of a request: the path up to its end. */
size_t syncfs_request_size(const SyncfsRequest *request);

typedef struct SyncfsList {
        int32_t error; /* negative errno, or 0 */
        FilesystemList list;
} SyncfsList;

typedef struct SyncfsReply {
        int32_t error;         /* negative errno, or 0 */
        uint32_t is_reached;   /* it was opened: the error is that of the sync */
        uint64_t entered_usec; /* when the system call was entered, by CLOCK_MONOTONIC */
        uint64_t duration_usec;
} SyncfsReply;

static_assert(sizeof(SyncfsList) <= HELPER_PACKET_MAX, "a list fits in a packet");

/* A helper_serve_t. userdata: not used. */
size_t syncfs_serve(const void *request, size_t size, void *reply, void *userdata);

/* Gives up all privileges of this process for good, except to open folders that it has no permission for. */
void syncfs_drop_privileges(void);
