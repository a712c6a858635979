/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "flush-priority.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* A stat is about 350 bytes. */
#define STAT_SIZE 1024

/* Reads a thread that is a kernel worker. -ESRCH if it is none: pids are reused, and the sender may be in
 * another PID namespace. */
static int read_worker(const FlushPriority *priority, pid_t pid, Worker *ret) {
        char path[PATH_MAX], text[STAT_SIZE];
        _cleanup_close_ int fd = -EBADF;
        uint64_t flags;
        ssize_t n;
        int r;

        (void) snprintf(path, sizeof(path), "%s/%d/stat", priority->proc_root ?: "/proc", (int) pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        n = read(fd, text, sizeof(text));
        if (n < 0)
                return -errno;

        r = worker_parse_stat(text, (size_t) n, ret, &flags);
        if (r < 0)
                return r;
        return worker_has_flags(flags) && ret->pid == pid ? 0 : -ESRCH;
}

static int read_nice(pid_t pid, int *ret) {
        errno = 0;
        *ret = getpriority(PRIO_PROCESS, (id_t) pid);
        return *ret == -1 && errno != 0 ? -errno : 0;
}

static int set_nice(pid_t pid, int nice) {
        return setpriority(PRIO_PROCESS, (id_t) pid, nice) < 0 ? -errno : 0;
}

static bool has_pid(const FlushWorkers *workers, pid_t pid) {
        for (uint32_t i = 0; i < workers->n; i++)
                if (workers->pids[i] == pid)
                        return true;
        return false;
}

static bool is_raised(const FlushPriority *priority, const Worker *worker) {
        for (size_t i = 0; i < priority->n; i++)
                if (priority->raised[i].pid == worker->pid &&
                    priority->raised[i].start_time == worker->start_time)
                        return true;
        return false;
}

/* Restores the nice value of the i-th worker. A worker that is gone, or whose nice value somebody else has
 * set, needs nothing. */
static int restore(const FlushPriority *priority, size_t i) {
        pid_t pid = priority->raised[i].pid;
        Worker worker = {};
        int r, now;

        r = read_worker(priority, pid, &worker);
        if (r >= 0 && worker.start_time != priority->raised[i].start_time)
                return 0;
        if (r >= 0)
                r = read_nice(pid, &now);
        if (r >= 0 && now == FLUSH_PRIORITY_NICE)
                r = set_nice(pid, priority->raised[i].nice);
        return r == -ENOENT || r == -ESRCH || r == -EBADMSG ? 0 : r;
}

static int raise_priority(FlushPriority *priority, pid_t pid) {
        Worker worker = {};
        int r, nice = 0;

        /* For system calls 0 is this process. */
        if (pid <= 0)
                return 0;

        r = read_worker(priority, pid, &worker);
        if (r == -ENOENT)
                /* It has ended, unless it is hidden. */
                return read_nice(pid, &nice) < 0 ? 0 : -EPERM;
        if (r < 0)
                return r == -ESRCH || r == -EBADMSG ? 0 : r;
        if (priority->n == FLUSH_WORKERS_MAX || is_raised(priority, &worker) ||
            !(worker_name_flushes(worker.name) || worker_name_may_flush(worker.name)))
                return 0;

        r = read_nice(pid, &nice);
        if (r >= 0 && nice < FLUSH_PRIORITY_NICE)
                return 0;
        if (r >= 0)
                r = set_nice(pid, FLUSH_PRIORITY_NICE);
        if (r < 0)
                return r == -ESRCH ? 0 : r;

        priority->raised[priority->n].pid = pid;
        priority->raised[priority->n].start_time = worker.start_time;
        priority->raised[priority->n].nice = nice == FLUSH_PRIORITY_NICE ? 0 : nice;
        priority->n++;
        return 0;
}

int flush_priority_set(FlushPriority *priority, const FlushWorkers *workers) {
        size_t n_kept = 0;
        int result = 0;

        for (size_t i = 0; i < priority->n; i++) {
                bool is_named = has_pid(workers, priority->raised[i].pid);
                int r = is_named ? 0 : restore(priority, i);

                if (is_named || r < 0)
                        priority->raised[n_kept++] = priority->raised[i];
                result = result < 0 ? result : r;
        }
        priority->n = n_kept;

        for (uint32_t i = 0; i < workers->n; i++) {
                int r = raise_priority(priority, workers->pids[i]);

                result = result < 0 ? result : r;
        }
        return result;
}

int flush_priority_receive(FlushPriority *priority, int fd) {
        FlushWorkers workers, last;
        bool is_received = false;
        int result = -EAGAIN;
        ssize_t n;

        while ((n = recv(fd, &workers, sizeof(workers), MSG_DONTWAIT | MSG_TRUNC)) >= 0)
                if (n == sizeof(workers) && workers.n <= FLUSH_WORKERS_MAX) {
                        last = workers;
                        is_received = true;
                } else
                        result = -EBADMSG;

        if (is_received) {
                int r = flush_priority_set(priority, &last);

                result = result == -EBADMSG ? result : r;
        }
        return result;
}

void flush_priority_self_test(void) {
        const FlushWorkers myself = { .n = 1, .pids = { getpid() } };
        FlushPriority priority = {};
        int nice;

        (void) flush_priority_set(&priority, &myself);
        if (read_nice(0, &nice) >= 0)
                (void) set_nice(0, nice);
}
