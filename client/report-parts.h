/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The parts of a report: files about this machine, its kernel and its stalls. */

#include "report-writers.h"

/* A regular expression: the words of the kernel's lines about stalls. */
#define REPORT_STALL_WORDS                                                                                   \
        "inode_switch_wbs|workqueue:|lockup|blocked for more than|WQ_MEM_RECLAIM|rcu.*stall"

typedef struct Part {
        const char *file; /* its name in the archive */
        const char *what;
        int (*write)(const ReportOptions *options, const char *const *arguments, FILE *out);
        const char *const *arguments;
        enum {
                PART_NEEDS_ROOT = 1 << 0,  /* to be complete */
                PART_HAS_NAMES = 1 << 1,   /* may have private names that only a list can recognize */
                PART_NEEDS_SYSRQ = 1 << 2, /* only with this option */
                PART_NEEDS_PERF = 1 << 3,
                PART_ANY_STATUS = 1 << 4, /* what its program prints is kept even if that fails */
        } flags;
        int status_max; /* its program's exit statuses up to this are no failure */
} Part;

typedef struct PartResult {
        const Part *part;
        char *text;    /* NULL: missing */
        char *missing; /* why it is missing or incomplete; NULL: it is complete */
} PartResult;

/* Makes all parts at the same time, and removes private names. Returns an array that ends with a NULL part;
 * none of it waits for longer than the timeout. */
PartResult *parts_make(const ReportOptions *options);
PartResult *parts_free(PartResult *results);
DEFINE_TRIVIAL_CLEANUP(PartResult *, parts_free);

/* The text of a part; NULL if it is missing. */
const char *parts_text(const PartResult *results, const char *file);
