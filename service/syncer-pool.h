/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The pool: the helpers that sync, in three groups, and their tasks. Each group has some helpers from the
 * start. A helper that is busy for long is substituted by another, as long as its group has a free slot.
 */

#include "episode.h"
#include "helper.h"
#include "syncfs.h"

typedef enum SlotGroup {
        GROUP_FILESYSTEMS, /* for the batch */
        GROUP_EVERYTHING,  /* sync(2); always forked */
        GROUP_SINGLES,     /* single filesystems, so that the batch never waits for one */
        _GROUP_MAX,
} SlotGroup;

/* The numbers of slots. GROUP_EVERYTHING has one. */
#define POOL_FILESYSTEMS_MAX 24
#define POOL_SINGLES_MAX 8
#define POOL_SLOTS_MAX (POOL_FILESYSTEMS_MAX + 1 + POOL_SINGLES_MAX)

/* How often a list is requested if the helper dies while listing. */
#define LIST_ATTEMPTS 3

typedef enum Task {
        TASK_NONE,
        TASK_LIST,       /* lists the filesystems of a batch */
        TASK_FILESYSTEM, /* syncs one of them */
        TASK_EVERYTHING,
        TASK_FIND,   /* finds the single filesystem that holds a path */
        TASK_SINGLE, /* syncs it */
        TASK_SELF_TEST,
} Task;

typedef struct Pool Pool;

/* A helper and its task. */
typedef struct Slot {
        Pool *pool;
        SlotGroup group;
        size_t index;   /* within the group */
        Helper *helper; /* NULL: the slot is free */
        Task task;
        uint64_t since_usec;   /* when its task was requested */
        uint64_t tag;          /* set by the requester; in a self-test before the request: a SyncfsSelfTest */
        uint32_t major, minor; /* of the filesystem that it syncs */
        bool is_hanging;       /* still syncing after the timeout of its request */
        bool is_remote;        /* the helper that does its task was forked by another program */
} Slot;

/* The reply to a task: see helper_reply_t. The slot is idle again. */
typedef void (*pool_reply_t)(Slot *slot, Task task, int r, const void *reply, size_t size, void *userdata);

struct Pool {
        sd_event *event;
        const char *socket_path;
        pool_reply_t on_reply;
        void *userdata;
        SyncfsRequest request; /* the last one; not on the stack, which might have to grow */
        Slot slots[POOL_SLOTS_MAX];
};

/* Starts the helpers: see syncer_new(). The pool must not move. */
int pool_init(Pool *pool, sd_event *event, const char *socket_path, pool_reply_t on_reply, void *userdata);
void pool_done(Pool *pool);

/* Stops idle helpers beyond the initial number of the group. may_start: starts substitutes for helpers that
 * are busy for long, until the initial number is available again. */
void pool_adjust(Pool *pool, SlotGroup group, bool may_start);

/* See helper_ensure(). */
void pool_ensure(Pool *pool);

/* An idle slot, or NULL. */
Slot *pool_find_idle(Pool *pool, SlotGroup group);

/* The slot that hangs in that filesystem, or NULL. Prefers one of the batch to a single one. */
Slot *pool_find_hanging(Pool *pool, uint32_t major, uint32_t minor);

/* Request a task from an idle slot. path: list only the filesystem that holds it; "": all. mount_id and
 * mountpoint: the filesystem's mount in the list, or 0 and "". In a self-test nothing is synced. On failure
 * the slot remains idle. */
int slot_list(Slot *slot, Task task, const char *path);
int slot_sync_filesystem(
                Slot *slot,
                Task task,
                uint32_t major,
                uint32_t minor,
                uint64_t mount_id,
                const char *mountpoint);
int slot_sync_everything(Slot *slot, Task task);

/* Replaces the helper by a new one. */
int slot_restart(Slot *slot);

/* Whether the reply is a complete list. */
bool reply_is_list(const void *reply, size_t size);

/* The result of the sync of a filesystem. NULL: its helper died. */
FilesystemResult reply_result(const SyncfsReply *reply);

/* Loops over all slots that have a helper, or over those of a group. */
#define FOREACH_SLOT(slot, pool)                                                                             \
        for (Slot *slot = (pool)->slots; slot < (pool)->slots + POOL_SLOTS_MAX; slot++)                      \
                if (slot->helper)
#define FOREACH_SLOT_OF(slot, pool, which)                                                                   \
        FOREACH_SLOT (slot, pool)                                                                            \
                if (slot->group == (which))
