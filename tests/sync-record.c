/* SPDX-License-Identifier: GPL-3.0-or-later */

/* For LD_PRELOAD: sync(2) as ever, and a record of it: see sync-record.h. */

#include "sync-record.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static SyncRecords *records;
static pid_t daemon_pid;

/* Runs in the daemon, before main(); its helpers inherit the memory. */
static void __attribute__((constructor)) share_records(void) {
        const char *path = getenv(SYNC_RECORD_VARIABLE);
        int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
        void *memory;

        if (fd < 0)
                return;
        memory = mmap(NULL, sizeof(*records), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        (void) close(fd);
        if (memory != MAP_FAILED)
                records = memory;
        daemon_pid = getpid();
}

static uint64_t now_usec(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

void sync(void) {
        unsigned i = records ? atomic_fetch_add(&records->n, 1) : SYNC_RECORDS_MAX;
        SyncRecord *record = i < SYNC_RECORDS_MAX ? &records->records[i] : NULL;

        if (record) {
                record->pid = getpid();
                record->daemon = daemon_pid;
                atomic_store(&record->entered_usec, now_usec());
        }
        (void) syscall(SYS_sync);
        if (record)
                atomic_store(&record->left_usec, now_usec());
}
