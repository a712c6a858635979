/* SPDX-License-Identifier: GPL-3.0-or-later */

/* For LD_PRELOAD: lets one malloc(3), calloc(3) or realloc(3) fail: see failing-malloc.h. */

#include "failing-malloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *memory, size_t size);

static FailingMalloc *shared;
static pid_t daemon_pid; /* helpers share the map, but their allocations do not count */

/* Runs in the daemon, before main(). */
static void __attribute__((constructor)) share(void) {
        const char *path = getenv(FAILING_MALLOC_VARIABLE);
        int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
        void *memory;

        if (fd < 0)
                return;
        memory = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        (void) close(fd);
        if (memory == MAP_FAILED)
                return;
        daemon_pid = getpid();
        shared = memory;
}

static bool fails(void) {
        if (!shared || atomic_load(&shared->n_left) < 0 || getpid() != daemon_pid)
                return false;
        if (atomic_fetch_sub(&shared->n_left, 1) > 0)
                return false;

        errno = ENOMEM;
        return true;
}

void *malloc(size_t size) {
        return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
        return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *memory, size_t size) {
        return fails() ? NULL : __libc_realloc(memory, size);
}
