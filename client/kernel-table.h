/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The table of kernels.conf, and what it says about a kernel. */

#include <glib.h>

#include "macro.h"

/* The bug that the running kernel itself shows to be fixed or not. */
#define FIX_STALL_2025 "stall-2025"

/* The bug whose stalls a sync may not end. */
#define FIX_STALL_2026 "stall-2026"

/* This one depends on a setting, and an update is no remedy. */
#define FIX_DIRTYTIME_ZERO "dirtytime-zero"

/* The files of the table: ours, and the administrator's, which may be missing and whose keys replace ours. */
#define KERNEL_TABLE_BUILT_IN WBWATCH_DATA_DIR "/kernels.conf"
#define KERNEL_TABLE_LOCAL "/etc/wbwatch/kernels.conf"

typedef enum Answer {
        ANSWER_NO,
        ANSWER_YES,
        ANSWER_UNKNOWN,
} Answer;

typedef struct KernelVersion {
        unsigned parts[3];
        unsigned candidate; /* N of -rcN; UINT_MAX for a release */
} KernelVersion;

/* A bug and its fix: a section of kernels.conf. */
typedef struct KernelFix {
        char *name;
        char *brought_by;
        char *changes;
        char **affected, **not_affected;               /* globs of releases that were reported as such */
        GArray *introduced, *fixed, *partly, *unknown; /* of KernelVersion */
} KernelFix;

typedef struct KernelTable {
        char *date;
        GPtrArray *fixes;         /* of KernelFix, in the order of the file */
        GPtrArray *distributions; /* opaque */
} KernelTable;

KernelTable *kernel_table_new(void);
KernelTable *kernel_table_free(KernelTable *table);
DEFINE_TRIVIAL_CLEANUP(KernelTable *, kernel_table_free);

/* Adds the text of a file, whose keys replace earlier ones. After an error, which *ret_error describes with
 * path, section, key and value, the table is incomplete: -EINVAL. */
int kernel_table_add(KernelTable *table, const char *text, const char *path, char **ret_error);

/* What is known about a kernel. */
typedef struct Kernel {
        char *release;   /* as from `uname -r` */
        char *number;    /* the version number that counts: Debian's is in the text of /proc/version */
        bool is_version; /* the next two are valid */
        bool is_exact;   /* the number shows which changes the kernel has */
        KernelVersion version;
        Answer has_fix_2025; /* as the kernel itself shows */
        char *shown_by;      /* where */
} Kernel;

#define KERNEL_NONE ((Kernel){ .has_fix_2025 = ANSWER_UNKNOWN })

/* Sets the release, and what its number says. proc_version: the text of /proc/version, or NULL. */
void kernel_set_release(
                Kernel *kernel,
                const KernelTable *table,
                const char *release,
                const char *proc_version);
void kernel_done(Kernel *kernel);

/* Whether the kernel is affected, and why, as text in *ret_evidence. */
Answer kernel_judge(
                const KernelTable *table,
                const KernelFix *fix,
                const Kernel *kernel,
                char **ret_evidence);

/* The first version above this one without any of the bugs that an update ends: "6.12.112". NULL if the table
 * knows none. */
char *kernel_find_update(const KernelTable *table, const Kernel *kernel);
