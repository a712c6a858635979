/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Which known bugs the running kernel does not have, as far as it shows or the table of kernels says. */

#include <glib.h>

#include "jobs.h"

/* The files are read by a child process, since they may hang. */
typedef struct KernelFixes {
        Job job;
} KernelFixes;

/* Starts to read. table_path: the table of kernels, in place of the installed one; or NULL. The caller must
 * have a single thread. fixes must not move until it is finished. */
void kernel_fixes_start(KernelFixes *fixes, const char *table_path);

/* Whether the kernel is free of each bug of the table, as a{sb} in the order of the table; a bug of which it
 * is not known is left out. Returns at the deadline (CLOCK_MONOTONIC) at the latest, with an empty dictionary
 * if a file hangs or cannot be read. */
GVariant *kernel_fixes_finish(KernelFixes *fixes, uint64_t deadline_usec);
