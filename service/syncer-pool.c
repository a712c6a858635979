/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "syncer-pool.h"

#include "privileges.h"

/* A helper that has been busy for longer will not be available soon. */
#define HELD_USEC USEC_PER_SEC

/* Replies take precedence over scans: they are few, and each may start the next sync. */
#define HELPER_PRIORITY (SD_EVENT_PRIORITY_IMPORTANT - 20)

static const struct {
        const char *name;
        size_t first, n;
        size_t n_kept; /* the initial number of helpers */
} groups[_GROUP_MAX] = {
        [GROUP_FILESYSTEMS] = { "wbwatchd-syncfs", 0, POOL_FILESYSTEMS_MAX, SYNCFS_AT_ONCE },
        [GROUP_EVERYTHING] = { "wbwatchd-sync", POOL_FILESYSTEMS_MAX, 1, 1 },
        [GROUP_SINGLES] = { "wbwatchd-syncfs", POOL_FILESYSTEMS_MAX + 1, POOL_SINGLES_MAX, 2 },
};

static void on_helper_reply(int r, const void *reply, size_t size, void *userdata) {
        Slot *slot = userdata;
        Task task = slot->task;

        slot->task = TASK_NONE;
        slot->is_hanging = false;
        slot->pool->on_reply(slot, task, r, reply, size, slot->pool->userdata);
}

static HelperOptions slot_options(Slot *slot) {
        return (HelperOptions){
                .name = groups[slot->group].name,
                /* sync(2) needs no privileges, so it need not depend on the socket. */
                .socket_path = slot->group == GROUP_EVERYTHING ? NULL : slot->pool->socket_path,
                .serve = syncfs_serve,
                .prepare = privileges_drop_for_syncs,
                .on_reply = on_helper_reply,
                .userdata = slot,
                .priority = HELPER_PRIORITY,
        };
}

static int slot_start(Slot *slot) {
        const HelperOptions options = slot_options(slot);

        return helper_new_full(slot->pool->event, &options, &slot->helper);
}

static void slot_stop(Slot *slot) {
        slot->helper = helper_free(slot->helper);
        slot->task = TASK_NONE;
}

int slot_restart(Slot *slot) {
        slot_stop(slot);
        return slot_start(slot);
}

static int start_helpers(Pool *pool) {
        int r = 0;

        for (size_t i = 0; i < POOL_SLOTS_MAX && r >= 0; i++)
                if (pool->slots[i].index < groups[pool->slots[i].group].n_kept)
                        r = slot_start(pool->slots + i);
        return r;
}

int pool_init(Pool *pool, sd_event *event, const char *socket_path, pool_reply_t on_reply, void *userdata) {
        pool->event = event;
        pool->socket_path = socket_path;
        pool->on_reply = on_reply;
        pool->userdata = userdata;

        for (SlotGroup group = 0; group < _GROUP_MAX; group++)
                for (size_t i = 0; i < groups[group].n; i++)
                        pool->slots[groups[group].first + i] = (Slot){
                                .pool = pool,
                                .group = group,
                                .index = i,
                        };

        return start_helpers(pool);
}

void pool_done(Pool *pool) {
        FOREACH_SLOT (slot, pool)
                slot_stop(slot);
}

void pool_ensure(Pool *pool) {
        FOREACH_SLOT (slot, pool)
                helper_ensure(slot->helper);
}

/* Whether the slot is idle, or will be soon. */
static bool slot_is_available(const Slot *slot, uint64_t now_usec) {
        return slot->task == TASK_NONE || usec_subtract(now_usec, slot->since_usec) < HELD_USEC;
}

void pool_adjust(Pool *pool, SlotGroup group, bool may_start) {
        Slot *slots = pool->slots + groups[group].first;
        uint64_t now_usec = usec_now(CLOCK_MONOTONIC);
        size_t n = groups[group].n, n_kept = groups[group].n_kept, available = 0;

        FOREACH_SLOT_OF (slot, pool, group)
                available += slot_is_available(slot, now_usec);

        for (size_t i = 0; i < n && may_start && available < n_kept; i++)
                if (!slots[i].helper && slot_start(slots + i) >= 0)
                        available++;

        for (size_t i = n; i-- > 0 && available > n_kept;)
                if (slots[i].helper && slots[i].task == TASK_NONE) {
                        slot_stop(slots + i);
                        available--;
                }
}

Slot *pool_find_idle(Pool *pool, SlotGroup group) {
        FOREACH_SLOT_OF (slot, pool, group)
                if (slot->task == TASK_NONE)
                        return slot;
        return NULL;
}

Slot *pool_find_hanging(Pool *pool, uint32_t major, uint32_t minor) {
        FOREACH_SLOT (slot, pool)
                if (slot->is_hanging && slot->major == major && slot->minor == minor)
                        return slot;
        return NULL;
}

static int slot_request(
                Slot *slot,
                Task task,
                SyncfsOrder order,
                uint32_t major,
                uint32_t minor,
                uint64_t mount_id,
                const char *path) {

        SyncfsRequest *request = &slot->pool->request;
        int r;

        request->order = order;
        request->major = major;
        request->minor = minor;
        request->mount_id = mount_id;
        request->self_test = task == TASK_SELF_TEST ? (uint32_t) slot->tag : SELF_TEST_NO;
        memcpy(request->path, path, strlen(path) + 1);
        r = helper_request(slot->helper, request, syncfs_request_size(request));
        if (r < 0)
                return r;

        slot->task = task;
        slot->since_usec = usec_now(CLOCK_MONOTONIC);
        slot->major = major;
        slot->minor = minor;
        slot->is_remote = helper_is_remote(slot->helper);
        return 0;
}

int slot_list(Slot *slot, Task task, const char *path) {
        return slot_request(slot, task, SYNCFS_ORDER_LIST, 0, 0, 0, path);
}

int slot_sync_filesystem(
                Slot *slot,
                Task task,
                uint32_t major,
                uint32_t minor,
                uint64_t mount_id,
                const char *mountpoint) {

        return slot_request(slot, task, SYNCFS_ORDER_FILESYSTEM, major, minor, mount_id, mountpoint);
}

int slot_sync_everything(Slot *slot, Task task) {
        return slot_request(slot, task, SYNCFS_ORDER_EVERYTHING, 0, 0, 0, "");
}

bool reply_is_list(const void *reply, size_t size) {
        const SyncfsList *list = reply;

        return size >= offsetof(SyncfsList, list.filesystems) && list->list.n <= FILESYSTEMS_MAX &&
               size == offsetof(SyncfsList, list.filesystems) +
                                               list->list.n * sizeof(list->list.filesystems[0]);
}

FilesystemResult reply_result(const SyncfsReply *reply) {
        if (!reply)
                return FILESYSTEM_FAILED;
        if (!reply->is_reached)
                return FILESYSTEM_UNREACHABLE;
        return reply->error < 0 ? FILESYSTEM_FAILED : FILESYSTEM_OK;
}
