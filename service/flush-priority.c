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

static bool was_given(const FlushPriority *priority, pid_t pid) {
        for (size_t i = 0; i < priority->n; i++)
                if (priority->given[i].pid == pid)
                        return true;
        return false;
}

/* Whoever has changed the value meanwhile is right. */
static int take(const FlushPriority *priority, pid_t pid, int nice) {
        Worker worker;
        int r, now;

        if (read_worker(priority, pid, &worker) < 0)
                return 0;
        r = read_nice(pid, &now);
        if (r >= 0 && now == FLUSH_PRIORITY_NICE)
                r = set_nice(pid, nice);
        return r;
}

static int give(FlushPriority *priority, pid_t pid) {
        Worker worker;
        int r, nice;

        if (priority->n == FLUSH_WORKERS_MAX || was_given(priority, pid) ||
            read_worker(priority, pid, &worker) < 0 || !worker_name_flushes(worker.name))
                return 0;

        r = read_nice(pid, &nice);
        if (r >= 0 && nice > FLUSH_PRIORITY_NICE)
                r = set_nice(pid, FLUSH_PRIORITY_NICE);
        if (r < 0)
                return r;

        priority->given[priority->n].pid = pid;
        priority->given[priority->n].nice = nice;
        priority->n++;
        return 0;
}

int flush_priority_set(FlushPriority *priority, const FlushWorkers *workers) {
        size_t n_kept = 0;
        int result = 0;

        for (size_t i = 0; i < priority->n; i++)
                if (has_pid(workers, priority->given[i].pid))
                        priority->given[n_kept++] = priority->given[i];
                else {
                        int r = take(priority, priority->given[i].pid, priority->given[i].nice);

                        result = result < 0 ? result : r;
                }
        priority->n = n_kept;

        for (uint32_t i = 0; i < workers->n; i++) {
                int r = give(priority, workers->pids[i]);

                result = result < 0 ? result : r;
        }
        return result;
}

int flush_priority_receive(FlushPriority *priority, int fd) {
        FlushWorkers workers, last;
        bool is_received = false;
        int result = 0;
        ssize_t n;

        while ((n = recv(fd, &workers, sizeof(workers), MSG_DONTWAIT | MSG_TRUNC)) >= 0)
                if (n == sizeof(workers) && workers.n <= FLUSH_WORKERS_MAX) {
                        last = workers;
                        is_received = true;
                } else
                        result = -EBADMSG;

        if (is_received) {
                int r = flush_priority_set(priority, &last);

                result = result < 0 ? result : r;
        }
        return result;
}

void flush_priority_rehearse(void) {
        const FlushWorkers myself = { .n = 1, .pids = { getpid() } };
        FlushPriority priority = {};
        int nice;

        (void) flush_priority_set(&priority, &myself);
        if (read_nice(0, &nice) >= 0)
                (void) set_nice(0, nice);
}
