/* SPDX-License-Identifier: GPL-3.0-or-later */

/* For LD_PRELOAD: records sync(2), syncfs(2) and openat2(2): see sync-record.h. */

#include "sync-record.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif

static SyncRecords *records;
static pid_t daemon_pid;
static long (*next_syscall)(long number, ...);

/* Runs in the daemon, before main(); its helpers inherit the shared memory. */
static void __attribute__((constructor)) share_records(void) {
        const char *path = getenv(SYNC_RECORD_VARIABLE);
        int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
        void *memory;

        *(void **) &next_syscall = dlsym(RTLD_NEXT, "syscall");
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

/* The next free record of a table, or NULL. */
static SyncRecord *enter(SyncRecord *table, atomic_uint *n, dev_t device) {
        unsigned i = atomic_fetch_add(n, 1);

        if (i >= SYNC_RECORDS_MAX)
                return NULL;
        table[i].pid = getpid();
        table[i].daemon = daemon_pid;
        table[i].device = device;
        atomic_store(&table[i].entered_usec, now_usec());
        return table + i;
}

static void leave(SyncRecord *record, int error) {
        if (!record)
                return;
        record->error = error;
        atomic_store(&record->left_usec, now_usec());
}

void sync(void) {
        SyncRecord *record = records ? enter(records->records, &records->n, 0) : NULL;

        (void) next_syscall(SYS_sync);
        leave(record, 0);
}

static dev_t device_of(int fd) {
        struct stat st;

        return fstat(fd, &st) < 0 ? 0 : st.st_dev;
}

static int sync_device(int fd, dev_t device) {
        if (records && device != 0 && device == atomic_load(&records->failing_device)) {
                errno = EIO;
                return -1;
        }
        return (int) next_syscall(SYS_syncfs, fd);
}

int syncfs(int fd) {
        dev_t device = device_of(fd);
        SyncRecord *record = records ? enter(records->filesystems, &records->n_filesystems, device) : NULL;
        int r, error;

        r = sync_device(fd, device);
        error = r < 0 ? errno : 0;
        leave(record, error);
        errno = error;
        return r;
}

static void note_open(const struct open_how *how) {
        atomic_fetch_add(&records->n_opened, 1);
        if (how->resolve & RESOLVE_CACHED)
                atomic_fetch_add(&records->n_opened_cached, 1);
}

long syscall(long number, ...) {
        long a[6];
        va_list arguments;

        va_start(arguments, number);
        for (unsigned i = 0; i < 6; i++)
                a[i] = va_arg(arguments, long);
        va_end(arguments);

        if (number == SYS_openat2 && records)
                note_open((const struct open_how *) a[2]);
        return next_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
