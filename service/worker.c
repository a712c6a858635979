/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "worker.h"

/* Unlike isalpha(3), independent of the locale. */
static bool is_letter(char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

const char *worker_name_work(const char *name) {
        const char *mark;

        if (!startswith(name, "kworker/"))
                return NULL;
        mark = name + strlen("kworker/");

        if (startswith(mark, "R-"))
                /* A rescuer: `R-` and the name of its workqueue, and a mark only while it works. A `-` may be
                 * part of either name, so it is no mark here. A `+` in a workqueue's name would be taken for
                 * a mark, but no workqueue in the kernel has one. */
                mark += strcspn(mark, "+");
        else {
                /* `0:1`, `0:1H` or `u8:3`. Kernels before 6.10 truncate prefix and id to 15 bytes, so the end
                 * of the id may be missing: on a large machine it may be only `u131072`. */
                if (*mark == 'u')
                        mark++;
                if (!is_digit(*mark))
                        return NULL; /* kworker/dying, or no worker */
                mark += strspn(mark, "0123456789");
                if (*mark == ':')
                        mark += 1 + strspn(mark + 1, "0123456789");
                mark += strspn(mark, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
        }

        return *mark == '+' ? mark + 1 : NULL;
}

bool worker_name_flushes(const char *name) {
        const char *work = worker_name_work(name);

        return work && startswith(work, "flush-");
}

bool worker_name_may_flush(const char *name) {
        return startswith(name, "kworker/u") && !worker_name_work(name);
}

/* Parses a space and a number at *text, and advances *text. Negative numbers are accepted only with ret NULL.
 * The number must not end the text, since it may then be truncated. */
static int parse_field(const char **text, const char *end, uint64_t *ret) {
        const char *p = *text, *digits;
        uint64_t value = 0;

        if (p == end || *p++ != ' ')
                return -EBADMSG;
        if (p < end && !ret && *p == '-')
                p++;

        for (digits = p; p < end && is_digit(*p); p++)
                if (__builtin_mul_overflow(value, 10, &value) ||
                    __builtin_add_overflow(value, (uint64_t) (*p - '0'), &value))
                        return -EBADMSG;
        if (p == digits || p == end)
                return -EBADMSG;

        if (ret)
                *ret = value;
        *text = p;
        return 0;
}

/* Skips n fields. */
static int skip_fields(const char **text, const char *end, unsigned n) {
        for (; n > 0; n--) {
                int r = parse_field(text, end, NULL);
                if (r < 0)
                        return r;
        }

        return 0;
}

/* Parses the pid, field 1. */
static int parse_pid(const char **text, const char *end, Worker *worker) {
        const char *p = *text;
        uint64_t pid = 0;

        while (p < end && is_digit(*p)) {
                pid = pid * 10 + (uint64_t) (*p++ - '0');
                if (pid > INT32_MAX)
                        return -EBADMSG;
        }
        if (pid == 0)
                return -EBADMSG;

        worker->pid = (pid_t) pid;
        *text = p;
        return 0;
}

/* Parses the name in parentheses and the letter of the state, fields 2 and 3. */
static int parse_name_and_state(const char **text, const char *end, Worker *worker) {
        const char *p = *text, *name, *name_end;
        size_t size;

        if (end - p < 2 || p[0] != ' ' || p[1] != '(')
                return -EBADMSG;
        name = p + 2;
        name_end = memrchr(name, ')', (size_t) (end - name));
        if (!name_end || memchr(name, '\0', (size_t) (name_end - name)))
                return -EBADMSG;
        size = (size_t) (name_end - name);

        p = name_end + 1;
        if (end - p < 2 || p[0] != ' ' || !is_letter(p[1]))
                return -EBADMSG;

        memcpy(worker->name, name, MIN(size, (size_t) WORKER_NAME_MAX));
        worker->state = p[1];
        *text = p + 2;
        return 0;
}

/* Parses user and system time, fields 14 and 15. */
static int parse_cpu_time(const char **text, const char *end, Worker *worker) {
        uint64_t user, system, ticks;
        int r;

        r = parse_field(text, end, &user);
        if (r >= 0)
                r = parse_field(text, end, &system);
        if (r < 0)
                return r;

        /* USER_HZ is 100 on all common architectures, whatever HZ is, so the division is exact. */
        if (__builtin_add_overflow(user, system, &ticks) ||
            __builtin_mul_overflow(ticks, USEC_PER_SEC / (uint64_t) sysconf(_SC_CLK_TCK), &worker->cpu_usec))
                return -EBADMSG;
        return 0;
}

int worker_parse_stat(const char *text, size_t size, Worker *ret, uint64_t *ret_flags) {
        const char *end = text + size;
        Worker worker = {};
        uint64_t flags;
        int r;

        r = parse_pid(&text, end, &worker);
        if (r >= 0)
                r = parse_name_and_state(&text, end, &worker);
        if (r >= 0)
                r = skip_fields(&text, end, 5); /* 4 to 8: ppid, pgrp, session, tty, tpgid */
        if (r >= 0)
                r = parse_field(&text, end, &flags); /* 9 */
        if (r >= 0)
                r = skip_fields(&text, end, 4); /* 10 to 13: page faults */
        if (r >= 0)
                r = parse_cpu_time(&text, end, &worker);
        if (r >= 0)
                r = skip_fields(&text, end,
                                6); /* 16 to 21: children's times, priority, nice, threads, timer */
        if (r >= 0)
                r = parse_field(&text, end, &worker.start_time); /* 22 */
        if (r < 0)
                return r;

        *ret = worker;
        *ret_flags = flags;
        return 0;
}
