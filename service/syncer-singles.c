/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "syncer-singles.h"

static void single_end(
                Singles *singles,
                Single *single,
                FilesystemResult result,
                uint64_t duration_usec,
                int error) {

        uint64_t id = single->id;

        single->id = 0;
        free(single->path);
        single->path = NULL;
        if (id != 0)
                singles->on_synced(id, result, duration_usec, error, singles->userdata);
}

void singles_done(Singles *singles) {
        for (size_t i = 0; i < ELEMENTSOF(singles->table); i++)
                free(singles->table[i].path);
}

int singles_begin(Singles *singles, const char *path, uint64_t timeout_usec, uint64_t *ret_id) {
        _cleanup_free_ char *copy = NULL;
        Single *single;
        Slot *slot;
        int r;

        if (path[0] != '/')
                return -EINVAL;
        if (strlen(path) >= PATH_MAX)
                return -ENAMETOOLONG;

        slot = pool_find_idle(singles->pool, GROUP_SINGLES);
        if (!slot)
                return -EBUSY;

        copy = strdup(path);
        if (!copy)
                return -ENOMEM;

        r = slot_list(slot, TASK_FIND, path);
        if (r < 0)
                return r;

        single = singles->table + slot->index;
        *single = (Single){
                .id = ++singles->last_id,
                .timeout_usec = timeout_usec,
                .deadline_usec = usec_add(slot->since_usec, timeout_usec),
                .path = TAKE_POINTER(copy),
                .attempts_left = LIST_ATTEMPTS - 1,
        };
        *ret_id = single->id;
        return 0;
}

static void sync_found(Singles *singles, Slot *slot, const Filesystem *filesystem) {
        Single *single = singles->table + slot->index;
        const Slot *hanging = pool_find_hanging(singles->pool, filesystem->major, filesystem->minor);
        int r;

        if (hanging) {
                single_end(singles, single, FILESYSTEM_TIMEOUT,
                           usec_subtract(usec_now(CLOCK_MONOTONIC), hanging->since_usec), 0);
                return;
        }

        r = slot_sync_filesystem(
                        slot, TASK_SINGLE, filesystem->major, filesystem->minor, filesystem->mount_id,
                        filesystem->mountpoint);
        if (r < 0)
                single_end(singles, single, FILESYSTEM_FAILED, 0, r);
}

void singles_on_found(Singles *singles, Slot *slot, int r, const void *reply, size_t size) {
        Single *single = singles->table + slot->index;
        const SyncfsList *list = reply;

        if (single->id == 0)
                return;

        /* Its helper died. */
        if (r < 0 && single->attempts_left > 0) {
                single->attempts_left--;
                r = slot_list(slot, TASK_FIND, single->path);
                if (r >= 0)
                        return;
        }

        if (r >= 0 && !reply_is_list(reply, size))
                r = -EBADMSG;
        if (r < 0)
                single_end(singles, single, FILESYSTEM_FAILED, 0, r);
        else if (list->error < 0 || list->list.n == 0)
                single_end(singles, single, FILESYSTEM_UNREACHABLE, 0,
                           list->error < 0 ? list->error : -ENODEV);
        else
                sync_found(singles, slot, list->list.filesystems);
}

void singles_on_synced(Singles *singles, Slot *slot, int r, const void *data, size_t size) {
        Single *single = singles->table + slot->index;
        const SyncfsReply *reply = data;

        if (r >= 0 && size != sizeof(*reply))
                r = -EBADMSG;
        if (r < 0)
                single_end(singles, single, FILESYSTEM_FAILED, 0, r);
        else
                single_end(singles, single, reply_result(reply), reply->duration_usec, reply->error);
}

void singles_expire(Singles *singles, uint64_t now_usec) {
        FOREACH_SLOT_OF (slot, singles->pool, GROUP_SINGLES) {
                Single *single = singles->table + slot->index;

                if (single->id == 0 || now_usec < single->deadline_usec)
                        continue;
                slot->is_hanging = slot->task == TASK_SINGLE;
                single_end(singles, single, FILESYSTEM_TIMEOUT, single->timeout_usec, 0);
        }
}

uint64_t singles_deadline_usec(const Singles *singles) {
        uint64_t usec = USEC_INFINITY;

        for (size_t i = 0; i < ELEMENTSOF(singles->table); i++)
                if (singles->table[i].id != 0)
                        usec = MIN(usec, singles->table[i].deadline_usec);
        return usec;
}
