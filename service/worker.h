/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A kernel worker, as one scan saw it, and the texts that it is read from. Nothing here opens a file.
 *
 * /proc/PID/{comm,stat} of a workqueue worker show `kworker/<id>`, and once it has run something, `+<work>`
 * while it runs that work or `-<work>` while it is idle and last ran it (kernel/workqueue.c:
 * wq_worker_comm()). <id> itself may hold a `-` (rescuers: `kworker/R-xfs_mru_cache`), so that the id is
 * parsed first and the mark is what follows it.
 */

#include <sys/types.h>

#include "macro.h"

/* The kernel cuts the full text at 64 bytes with its NUL (fs/proc/array.c: proc_task_name()). */
#define WORKER_NAME_MAX 63

typedef struct Worker {
        uint64_t start_time; /* field 22 of stat, clock ticks since boot; with pid, the worker's identity */
        uint64_t cpu_usec;   /* user and system time it has used since it was created */
        pid_t pid;
        char state;                     /* the kernel's letter: R, D, S, I ... */
        char name[WORKER_NAME_MAX + 1]; /* the whole name, of any bytes but NUL */
} Worker;

/* Whether two scans saw the same thread: pids are reused, a pid with its start time is not. */
static inline bool worker_same(const Worker *a, const Worker *b) {
        return a->pid == b->pid && a->start_time == b->start_time;
}

/* Whether a running worker spins: it uses a CPU or wants one. In any other state it waits, for a disk or for
 * somebody's sync. */
static inline bool worker_spins(const Worker *worker) {
        return worker->state == 'R';
}

/* What a kernel worker runs: the text behind the `+` mark in a whole name, or NULL when the name is no
 * kernel worker's, or that of a worker that is idle or has not run anything yet. Points into name. */
const char *worker_name_work(const char *name);

/* Parses the text of /proc/PID/stat (size bytes, a NUL is not needed). A name may hold anything, also `)` and
 * newlines, so that the fields are counted from the last `)`. Times in clock ticks become microseconds.
 * flags gets field 9 (PF_KTHREAD 0x00200000, PF_WQ_WORKER 0x20).
 * -EBADMSG when it is not such a text; ret and ret_flags are untouched then. */
int worker_parse_stat(const char *text, size_t size, Worker *ret, uint64_t *ret_flags);
