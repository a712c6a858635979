/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Scans all kernel workers for those that run inode_switch_wbs or last ran it, every 250 ms, and prints them:
 *
 *   # 0 started at T                                 CLOCK_REALTIME in microseconds, to compare with others
 *   t_ms pid starttime_ticks state cpu_ticks name    a worker of this scan, running (+) or idle (-)
 *   t_ms                                             a scan that found none
 *   # t_ms nice N pid state name                    any worker, if N is that of wbwatchd's priority
 *
 * Ends after SECONDS, or when QUIET seconds have passed since the last scan that found one running (after the
 * first that did), or on SIGTERM. It must work while the workers use all CPUs: so it has a real-time priority
 * and locks its memory.
 *
 * Linked statically, so that it runs in any guest.
 */

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL_MSEC 250
#define WORK "inode_switch_wbs"

/* FLUSH_PRIORITY_NICE. The kernel gives none of its workers this value. */
#define PRIORITY_NICE (-19)

static volatile sig_atomic_t terminated;

static void on_signal(int signal_number) {
        terminated = 1;
}

static int64_t now_msec(void) {
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Reads a whole small file; returns its size, or -1 if it is gone. */
static ssize_t read_small(int directory, const char *name, char *buffer, size_t size) {
        ssize_t n;
        int fd;

        fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -1;
        n = read(fd, buffer, size - 1);
        close(fd);
        if (n < 0)
                return -1;
        buffer[n] = '\0';
        return n;
}

/* stat: the text from the end of the name on. */
static void print_priority(const char *pid, const char *name, const char *end, int64_t time_msec) {
        char state;
        int nice;

        if (sscanf(end, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %d", &state,
                   &nice) == 2 &&
            nice == PRIORITY_NICE)
                printf("# %lld nice %d %s %c %.*s\n", (long long) time_msec, nice, pid, state,
                       (int) (end - name), name);
}

/* Prints one line if pid is such a worker. Returns 1 if it runs, 0 if it is idle, -1 if it is no such worker.
 */
static int scan_worker(int proc, const char *pid, int64_t time_msec) {
        unsigned long long user_ticks, system_ticks, start_ticks;
        char path[300], stat[1024], state;
        const char *name, *end;

        snprintf(path, sizeof(path), "%s/stat", pid);
        if (read_small(proc, path, stat, sizeof(stat)) <= 0)
                return -1;

        name = strchr(stat, '(');
        end = strrchr(stat, ')');
        if (!name || !end || strncmp(name, "(kworker/", 9) != 0)
                return -1;
        name++;
        print_priority(pid, name, end, time_msec);
        if (!memmem(name, (size_t) (end - name), WORK, sizeof(WORK) - 1))
                return -1;

        if (sscanf(end, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu",
                   &state, &user_ticks, &system_ticks, &start_ticks) != 4)
                return -1;

        printf("%lld %s %llu %c %llu %.*s\n", (long long) time_msec, pid, start_ticks, state,
               user_ticks + system_ticks, (int) (end - name), name);
        return memmem(name, (size_t) (end - name), "+" WORK, sizeof("+" WORK) - 1) ? 1 : 0;
}

/* Scans all workers; returns whether one runs. */
static bool scan(DIR *proc, int64_t time_msec) {
        bool found = false, running = false;
        struct dirent *entry;

        rewinddir(proc);
        while ((entry = readdir(proc))) {
                int r;

                if (!isdigit((unsigned char) entry->d_name[0]))
                        continue;
                r = scan_worker(dirfd(proc), entry->d_name, time_msec);
                if (r >= 0)
                        found = true;
                if (r > 0)
                        running = true;
        }

        if (!found)
                printf("%lld\n", (long long) time_msec);
        return running;
}

static int parse_seconds(const char *text, long *ret) {
        char *end;
        long value;

        errno = 0;
        value = strtol(text, &end, 10);
        if (errno != 0 || *end != '\0' || end == text || value < 1 || value > 86400) {
                fprintf(stderr, "scan: bad number of seconds \"%s\": not from 1 to 86400\n", text);
                return -EINVAL;
        }

        *ret = value;
        return 0;
}

int main(int argc, char *argv[]) {
        static char buffer[16 * 1024 * 1024];
        struct sched_param priority = { .sched_priority = 50 };
        struct sigaction action = { .sa_handler = on_signal };
        int64_t start, last_running = -1;
        long seconds, quiet;
        struct timespec realtime;
        DIR *proc;

        if (argc != 3) {
                fprintf(stderr, "usage: scan SECONDS QUIET\n");
                return EXIT_FAILURE;
        }
        if (parse_seconds(argv[1], &seconds) < 0 || parse_seconds(argv[2], &quiet) < 0)
                return EXIT_FAILURE;

        /* All output is kept in memory: a write could hang, and would take time from the scanned workers. */
        setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
        if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0 || sched_setscheduler(0, SCHED_FIFO, &priority) < 0) {
                fprintf(stderr, "scan: cannot get a real-time priority and locked memory: %m\n");
                return EXIT_FAILURE;
        }
        sigaction(SIGTERM, &action, NULL);

        proc = opendir("/proc");
        if (!proc) {
                fprintf(stderr, "scan: cannot open /proc: %m\n");
                return EXIT_FAILURE;
        }

        clock_gettime(CLOCK_REALTIME, &realtime);
        start = now_msec();
        printf("# 0 started at %lld\n", (long long) realtime.tv_sec * 1000000 + realtime.tv_nsec / 1000);

        for (int64_t next = start;; next += INTERVAL_MSEC) {
                struct timespec at = { .tv_sec = next / 1000, .tv_nsec = next % 1000 * 1000000 };
                int64_t time_msec;

                /* Interrupted by SIGTERM only. */
                (void) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
                time_msec = now_msec() - start;
                if (terminated || time_msec > seconds * 1000)
                        break;

                if (scan(proc, time_msec))
                        last_running = time_msec;
                else if (last_running >= 0 && time_msec - last_running > quiet * 1000)
                        break;
        }

        closedir(proc);
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
