/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A kernel worker as one scan saw it, and the parsers of its texts in /proc. Opens no file.
 *
 * /proc/PID/{comm,stat} of a workqueue worker show `kworker/<id>`. `+<work>` follows while it runs a work,
 * `-<work>` while it is idle and that was its last work (kernel/workqueue.c: wq_worker_comm()). <id> may
 * contain a `-` (rescuers: `kworker/R-xfs_mru_cache`), so the id is parsed first, and the mark follows it.
 */

#include <sys/types.h>

#include "macro.h"

/* The kernel truncates the text to 64 bytes including the NUL (fs/proc/array.c: proc_task_name()). */
#define WORKER_NAME_MAX 63

/* Flags of a task (include/linux/sched.h of the kernel), as field 9 of stat shows them. */
#define PF_WQ_WORKER UINT64_C(0x00000020)
#define PF_KTHREAD UINT64_C(0x00200000)

typedef struct Worker {
        uint64_t start_time; /* field 22 of stat, clock ticks since boot; with pid, the worker's identity */
        uint64_t cpu_usec;   /* user and system time since its creation */
        pid_t pid;
        char state;                     /* the letter in stat: R, D, S, I ... */
        char name[WORKER_NAME_MAX + 1]; /* the whole name; any bytes but NUL */
} Worker;

/* Whether two scans saw the same thread. Pids are reused; a pid with its start time is not. */
static inline bool worker_same(const Worker *a, const Worker *b) {
        return a->pid == b->pid && a->start_time == b->start_time;
}

/* Whether these flags are those of a kernel worker. */
static inline bool worker_has_flags(uint64_t flags) {
        return (flags & PF_KTHREAD) && (flags & PF_WQ_WORKER);
}

/* Whether a running worker spins: it uses a CPU or wants one. In any other state it waits, for example for a
 * disk or a sync. */
static inline bool worker_spins(const Worker *worker) {
        return worker->state == 'R';
}

/* The work that a kernel worker runs: the text after the `+` mark of its whole name. NULL for an idle worker
 * and for any other name. Points into name. */
const char *worker_name_work(const char *name);

/* Whether it runs the writeback of a filesystem (`flush-8:0`, `flush-btrfs-1`): the work has the name of its
 * backing device (fs/fs-writeback.c: wb_workfn()). */
bool worker_name_flushes(const char *name);

/* Whether it is idle and may flush next: it is bound to no CPU, as the workqueue of writeback has it
 * (`kworker/u8:3` or `kworker/u8:3-events_unbound`; mm/backing-dev.c: bdi_wq; kernel/workqueue.c:
 * create_worker(), wq_worker_comm()). */
bool worker_name_may_flush(const char *name);

/* The first flush workers that a scan saw, and then those that may become some. There are several for a
 * filesystem: one for each control group with inodes that are being written. */
#define FLUSH_WORKERS_MAX 64

typedef struct FlushWorkers {
        uint32_t n;
        pid_t pids[FLUSH_WORKERS_MAX];
} FlushWorkers;

/* Parses the text of /proc/PID/stat (size bytes, no NUL needed). A name may contain anything, even `)` and
 * newlines, so fields are counted from the last `)`. Converts CPU times from clock ticks to microseconds.
 * *ret_flags gets field 9. -EBADMSG if the text is malformed. */
int worker_parse_stat(const char *text, size_t size, Worker *ret, uint64_t *ret_flags);
