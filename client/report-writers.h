/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The functions that write the parts of a report: see Part.write. They may hang. */

#include <glib.h>
#include <stdio.h>

#include "macro.h"

typedef struct ReportOptions {
        const char *root; /* the folder to read in place of / */
        bool sysrq, perf; /* make these parts, too */
        bool names;       /* keep private names */
        uint64_t timeout_usec;
} ReportOptions;

/* The files that match the arguments: paths below the root, whose last part may be a pattern. */
int report_write_files(const ReportOptions *options, const char *const *arguments, FILE *out);

/* Kernel, distribution, taint, machine, CPUs. */
int report_write_system(const ReportOptions *options, const char *const *arguments, FILE *out);

int report_write_config(const ReportOptions *options, const char *const *arguments, FILE *out);
int report_write_modules(const ReportOptions *options, const char *const *arguments, FILE *out);

/* The kernel's own lines. */
int report_write_kernel_log(const ReportOptions *options, const char *const *arguments, FILE *out);

/* What the kernel logs after sysrq l, w, t: backtraces of the running CPUs, of tasks in state D, of all
 * tasks. */
int report_write_sysrq(const ReportOptions *options, const char *const *arguments, FILE *out);

/* Mounts without their sources, in the order in which sync(2) goes through them. */
int report_write_filesystems(const ReportOptions *options, const char *const *arguments, FILE *out);

/* Version 2, also of a hybrid machine: controllers, and the descendants of the cgroups below the root. */
int report_write_cgroups(const ReportOptions *options, const char *const *arguments, FILE *out);

/* The kernel workers in several scans, and what the kernel shows about each. */
int report_write_workers(const ReportOptions *options, const char *const *arguments, FILE *out);
