/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "syncer-self-test.h"

#include "log.h"

/* How long to wait for answers. */
#define SELF_TEST_USEC (10 * USEC_PER_SEC)

/* The first failure counts. */
static void note(SelfTest *test, int r) {
        if (r < 0 && test->result == 0)
                test->result = r;
}

static int request(SelfTest *test, Slot *slot) {
        size_t i = (size_t) (slot - test->pool->slots);
        const Filesystem *filesystem;

        if (!test->listed)
                return slot_list(slot, TASK_SELF_TEST, "");
        if (slot->group == GROUP_EVERYTHING)
                return slot_sync_everything(slot, TASK_SELF_TEST);
        if (test->n_filesystems == 0)
                return slot_sync_filesystem(slot, TASK_SELF_TEST, 0, 0, 0, "");

        filesystem = test->filesystems + i % test->n_filesystems;
        return slot_sync_filesystem(
                        slot, TASK_SELF_TEST, filesystem->major, filesystem->minor, filesystem->mount_id,
                        filesystem->mountpoint);
}

int self_test_begin(SelfTest *test, uint64_t now_usec) {
        int r;

        test->listed = false;
        test->result = 0;
        test->deadline_usec = now_usec + SELF_TEST_USEC;
        test->n_filesystems = 0;
        test->pool->slots[0].tag = SELF_TEST_ATTACH;
        r = request(test, test->pool->slots);
        if (r < 0)
                return r;

        test->active = true;
        return 0;
}

/* The other program's helpers do not work: replaces this one by a fork, and forks all later ones. */
static void replace(SelfTest *test, Slot *slot) {
        int r;

        if (test->pool->socket_path)
                log_warning("The helpers behind %s do not work; forking helpers instead. Filesystems that "
                            "this service can't see are left to sync()",
                            test->pool->socket_path);
        test->pool->socket_path = NULL;

        r = slot_restart(slot);
        if (r >= 0)
                r = request(test, slot);
        note(test, r);
}

/* Keeps the file that came with a reply. */
static void keep_file(SelfTest *test, const Slot *slot) {
        _cleanup_close_ int fd = helper_acquire_attached(slot->helper);

        if (fd >= 0 && slot->tag >= SELF_TEST_ATTACH && test->files[slot->tag - SELF_TEST_ATTACH] < 0)
                test->files[slot->tag - SELF_TEST_ATTACH] = take_fd(&fd);
}

/* Each helper of another program attaches one of the files. The first came with the list. */
static void request_all(SelfTest *test) {
        uint64_t file = 1;

        FOREACH_SLOT (slot, test->pool) {
                bool attaches = slot->group != GROUP_EVERYTHING && file < _KERNEL_FILE_MAX;

                slot->tag = attaches ? SELF_TEST_ATTACH + file++ : (uint64_t) SELF_TEST_YES;
                note(test, request(test, slot));
        }
}

static void on_listed(SelfTest *test, const void *reply, size_t size) {
        const SyncfsList *list = reply;

        if (reply_is_list(reply, size))
                for (; test->n_filesystems < MIN(list->list.n, (uint32_t) POOL_SLOTS_MAX);
                     test->n_filesystems++)
                        test->filesystems[test->n_filesystems] = list->list.filesystems[test->n_filesystems];

        test->listed = true;
        request_all(test);
}

void self_test_on_reply(SelfTest *test, Slot *slot, int r, const void *reply, size_t size) {
        if (r < 0 && slot->is_remote)
                replace(test, slot);
        else if (r < 0)
                note(test, r);
        else {
                keep_file(test, slot);
                if (!test->listed)
                        on_listed(test, reply, size);
        }
}

void self_test_expire(SelfTest *test, uint64_t now_usec) {
        test->deadline_usec = now_usec + SELF_TEST_USEC;
        FOREACH_SLOT (slot, test->pool) {
                if (slot->task != TASK_SELF_TEST)
                        continue;
                if (slot->is_remote)
                        replace(test, slot);
                else {
                        note(test, slot_restart(slot));
                        note(test, -ETIMEDOUT);
                }
        }
}

bool self_test_is_complete(const SelfTest *test) {
        FOREACH_SLOT (slot, test->pool)
                if (slot->task == TASK_SELF_TEST)
                        return false;
        return true;
}
