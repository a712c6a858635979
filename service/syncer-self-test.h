/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The self-test of the helpers: one lists the filesystems; then each does everything but the system call that
 * syncs. */

#include "syncer-pool.h"

typedef struct SelfTest {
        Pool *pool;
        bool active, listed;
        int result; /* the first failure */
        uint64_t deadline_usec;
        int files[_KERNEL_FILE_MAX]; /* received from the helpers; -EBADF before */
        size_t n_filesystems;
        Filesystem filesystems[POOL_SLOTS_MAX]; /* from the list, for the helpers to open */
} SelfTest;

/* Begins the self-test: see syncer_self_test(). */
int self_test_begin(SelfTest *test, uint64_t now_usec);

/* The reply to TASK_SELF_TEST. */
void self_test_on_reply(SelfTest *test, Slot *slot, int r, const void *reply, size_t size);

/* Must be called at the deadline. Helpers behind the socket that have not answered are replaced by forked
 * ones; forked ones are no longer waited for. */
void self_test_expire(SelfTest *test, uint64_t now_usec);

bool self_test_is_complete(const SelfTest *test);
