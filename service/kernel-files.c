/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "kernel-files.h"

#include <fcntl.h>
#include <unistd.h>

/* In a cgroup namespace the root of the mount is the cgroup of a container. Unlike the root of the hierarchy
 * it has this file (Linux: CFTYPE_NOT_ON_ROOT in kernel/cgroup/cgroup.c). */
static bool sees_all_cgroups(void) {
        return access("/sys/fs/cgroup/cgroup.events", F_OK) < 0;
}

/* The kernel sends an event when tasks have waited for a CPU for 500 ms of 2 s (in microseconds, as
 * Documentation/accounting/psi.rst says), at most once in 2 s. Without CAP_SYS_RESOURCE the window must be a
 * multiple of 2 s. docs/detection.md has the reasons. */
#define CPU_TRIGGER "some 500000 2000000"

static int provided_pressure = -EBADF;

void kernel_file_provide_pressure(int fd) {
        provided_pressure = fd;
}

int kernel_file_open_pressure(void) {
        int fd = open("/proc/pressure/cpu", O_RDWR | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

static int open_provided_pressure(void) {
        int fd = fcntl(provided_pressure, F_DUPFD_CLOEXEC, 0);

        return fd < 0 ? -errno : fd;
}

/* A trigger lasts as long as the open file. EBUSY: it has one, from an earlier process. One made without
 * CAP_SYS_RESOURCE is judged by a kernel worker, which a stall delays; with it, by the thread psimon. */
static int open_cpu_trigger(void) {
        _cleanup_close_ int fd = open_provided_pressure();

        if (fd < 0)
                fd = kernel_file_open_pressure();
        if (fd < 0)
                return fd;
        if (write(fd, CPU_TRIGGER, sizeof(CPU_TRIGGER)) < 0 && errno != EBUSY)
                return -errno;
        return take_fd(&fd);
}

int kernel_file_open(KernelFile file) {
        static const char *const paths[_KERNEL_FILE_MAX] = {
                [KERNEL_FILE_MEMINFO] = "/proc/meminfo",
                [KERNEL_FILE_VMSTAT] = "/proc/vmstat",
                [KERNEL_FILE_CPU_PRESSURE] = "/proc/pressure/cpu",
                [KERNEL_FILE_IO_PRESSURE] = "/proc/pressure/io",
                [KERNEL_FILE_MEMORY_PRESSURE] = "/proc/pressure/memory",
                [KERNEL_FILE_CGROUP_STAT] = "/sys/fs/cgroup/cgroup.stat",
        };
        int fd;

        if (file == KERNEL_FILE_CPU_TRIGGER)
                return open_cpu_trigger();
        if (file == KERNEL_FILE_CGROUP_STAT && !sees_all_cgroups())
                return -ENOENT;

        fd = open(paths[file], O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* The kernel returns at most a page at once. */
int kernel_file_read(int fd, char text[static KERNEL_FILE_TEXT_MAX]) {
        size_t size = 0;
        ssize_t n;

        do {
                n = pread(fd, text + size, KERNEL_FILE_TEXT_MAX - 1 - size, (off_t) size);
                if (n < 0)
                        return -ENODATA;
                size += (size_t) n;
        } while (n > 0);

        text[size] = '\0';
        return size == 0 ? -ENODATA : 0;
}

bool kernel_file_find(const char *text, const char *key, uint64_t *ret, const char **ret_end) {
        const char *found = strstr(text, key), *begin;
        uint64_t number;
        char *end;

        if (!found)
                return false;

        begin = found + strlen(key);
        number = strtoull(begin, &end, 10);
        if (end == begin)
                return false;

        *ret = number;
        if (ret_end)
                *ret_end = end;
        return true;
}
