/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The files of /proc and /sys that describe the whole machine: opened once, then read again and again. They
 * need no disk. Needs only the C library. */

#include "macro.h"

typedef enum KernelFile {
        KERNEL_FILE_MEMINFO,
        KERNEL_FILE_VMSTAT,
        KERNEL_FILE_CPU_PRESSURE,
        KERNEL_FILE_IO_PRESSURE,
        KERNEL_FILE_MEMORY_PRESSURE,
        KERNEL_FILE_CGROUP_STAT, /* of the root of cgroup v2 */
        KERNEL_FILE_CPU_TRIGGER, /* cpu pressure, to wait for and not to read: see pressure.h */
        _KERNEL_FILE_MAX,
} KernelFile;

/* The size of the longest text, vmstat. */
#define KERNEL_FILE_TEXT_MAX 8192

/* Returns a descriptor, or negative errno: not every kernel and sandbox has all of them. */
int kernel_file_open(KernelFile file);

/* Before Linux 6.6 a file of pressure is opened for writing with CAP_SYS_RESOURCE only, and then used without
 * it (psi_open() in kernel/sched/psi.c). The first opens that of the CPUs, without a trigger: a descriptor,
 * or negative errno. kernel_file_open() makes the trigger with the descriptor of the second where it may not
 * open the file itself; it remains the caller's. */
int kernel_file_open_pressure(void);
void kernel_file_provide_pressure(int fd);

/* Reads the whole text, and ends it with a NUL; a longer one is cut. -ENODATA if it can't be read. */
int kernel_file_read(int fd, char text[static KERNEL_FILE_TEXT_MAX]);

/* Finds the decimal number that follows the first occurrence of key. *ret_end, unless NULL: what follows it.
 */
bool kernel_file_find(const char *text, const char *key, uint64_t *ret, const char **ret_end);
