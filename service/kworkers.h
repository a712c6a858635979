/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Kernel workers, read from a proc root.
 *
 * /proc/PID/{comm,stat} of a workqueue worker show `kworker/<id>`, and once it has run something, `+<work>`
 * while it runs that work or `-<work>` while it is idle and last ran it (kernel/workqueue.c:
 * wq_worker_comm()). <id> itself may hold a `-` (rescuers: `kworker/R-xfs_mru_cache`), so that the id is
 * parsed first and the mark is what follows it.
 */

#include "macro.h"

/* The kernel cuts the full text at 64 bytes with its NUL (fs/proc/array.c: proc_task_name()). */
#define WORKER_NAME_MAX 63

/* One kernel worker, as one look saw it. */
typedef struct Worker {
        uint64_t start_time; /* field 22 of stat, in clock ticks since boot; with pid, the worker's identity
                              */
        uint64_t cpu_usec;   /* user and system time it has used since it was born */
        pid_t pid;
        char state;                     /* the kernel's letter: R, D, S, I ... */
        char name[WORKER_NAME_MAX + 1]; /* the whole name, of any bytes but NUL */
} Worker;

/* Whether two looks saw the same thread: pids are reused, a pid with its start time is not. */
static inline bool worker_same(const Worker *a, const Worker *b) {
        return a->pid == b->pid && a->start_time == b->start_time;
}

/* What a kworker runs: the text behind the `+` mark in a whole name, or NULL when the name is no kworker's,
 * or a worker's that is idle or has not run anything yet. Points into name. */
const char *worker_name_work(const char *name);

/* Parses the text of /proc/PID/stat (size bytes, a NUL is not needed). A name may hold anything, also `)` and
 * newlines, so that the fields are counted from the last `)`. Times in clock ticks become microseconds.
 * flags gets field 9 (PF_KTHREAD 0x00200000, PF_WQ_WORKER 0x20).
 * -EBADMSG when it is not such a text; ret and ret_flags are untouched then. */
int worker_parse_stat(const char *text, size_t size, Worker *ret, uint64_t *ret_flags);

/* Reads kernel workers from one proc root, look after look. */
typedef struct KworkerReader KworkerReader;

/* Opens the proc root, a folder like /proc. It is kept open: a look opens nothing outside of it.
 * Negative errno when the folder can't be opened. */
int kworker_reader_new(const char *proc_root, KworkerReader **ret);
KworkerReader *kworker_reader_free(KworkerReader *reader);
DEFINE_TRIVIAL_CLEANUP(KworkerReader *, kworker_reader_free);

/* What one look found. The array belongs to the reader and holds until its next look. */
typedef struct KworkerLook {
        const Worker *workers; /* the running workers whose name matches, sorted by pid */
        size_t n_workers;
        bool found_kthread; /* at least one kernel thread was seen; a look without any is a fault, not peace
                             */
        bool incomplete; /* something could not be read for want of descriptors or memory, or by an I/O error
                          */
} KworkerLook;

/* Looks once: every kernel worker (PF_KTHREAD and PF_WQ_WORKER) that runs, and whose whole name matches the
 * glob with fnmatch(3), FNM_EXTMATCH. Candidates come from 2/task/2/children, so that the cost does not grow
 * with the number of user processes; where that file is absent (no CONFIG_PROC_CHILDREN) or hidden, from the
 * whole folder. A worker that the last look saw and that the list leaves out is looked at by its pid: a list
 * read in several pieces may miss one. Vanishing entries are normal. A worker of the last look that cannot be
 * read for want of descriptors or memory, or by an I/O error, is kept as it was, since not seeing is not the
 * same as being gone. Does not allocate unless there are more kernel threads than ever before, or more
 * running workers than at any of the last few looks. Negative errno only when nothing could be read at all;
 * ret is untouched then. */
int kworker_reader_look(KworkerReader *reader, const char *glob, KworkerLook *ret);

/* Why a look may have found no kernel thread at all, for people: hidepid, a foreign pid namespace, or a
 * folder that is no proc filesystem. A static text. Reads files outside of the hot path: call it once per
 * fault, not per look. */
const char *kworker_reader_fault_reason(KworkerReader *reader);
