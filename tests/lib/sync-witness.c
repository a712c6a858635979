/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The system calls of the daemon's helpers: see sync-witness.h. */

#include "sync-witness.h"

#include <fcntl.h>
#include <sys/mman.h>

SyncRecords *sync_witness_new(BusFixture *fixture) {
        g_autofree char *path = g_build_filename(fixture->folder, "syncs", NULL);
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        void *memory;

        g_assert_no_errno(fd);
        g_assert_no_errno(ftruncate(fd, sizeof(SyncRecords)));
        memory = mmap(NULL, sizeof(SyncRecords), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        g_assert_true(memory != MAP_FAILED);
        g_assert_true(g_setenv(SYNC_RECORD_VARIABLE, path, true));

        fixture->preload = g_getenv("WBWATCH_SYNC_RECORDER");
        g_assert_nonnull(fixture->preload);
        return memory;
}

void sync_witness_free(SyncRecords *records) {
        g_unsetenv(SYNC_RECORD_VARIABLE);
        g_assert_no_errno(munmap(records, sizeof(*records)));
}
