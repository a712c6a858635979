/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A storm of 200,000 forks beside wbwatchd, forkstat, a bare filtered listener, and nobody: what each of them
 * uses for it, and what it costs the program that forks.
 *
 * They take turns, in rounds: the machine may well be a little slower in one minute than in the next. The
 * forking program keeps to one CPU, and its CPU time counts, that of its children included.
 */

#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "measure.h"

#define N_FORKS 200000

typedef enum Reader {
        READER_NOBODY,
        READER_WBWATCHD,
        READER_LISTENER,
        READER_FORKSTAT,
        _READER_MAX,
} Reader;

static const char *const reader_names[] = {
        [READER_NOBODY] = "nobody",
        [READER_WBWATCHD] = "wbwatchd",
        [READER_LISTENER] = "listener",
        [READER_FORKSTAT] = "forkstat",
};

static void __attribute__((noinline)) fork_once(void) {
        pid_t pid = vfork();

        if (pid == 0)
                _exit(EXIT_SUCCESS);
        g_assert_cmpint(pid, >, 0);
        g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
}

static double cpu_usec_of(int who) {
        struct rusage usage;

        g_assert_no_errno(getrusage(who, &usage));
        return (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
               (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* Returns the CPU time of one fork. */
static double fork_many(unsigned n) {
        double before_usec = cpu_usec_of(RUSAGE_SELF) + cpu_usec_of(RUSAGE_CHILDREN);
        cpu_set_t one, all;

        g_assert_no_errno(sched_getaffinity(0, sizeof(all), &all));
        CPU_ZERO(&one);
        for (int cpu = 0; CPU_COUNT(&one) == 0; cpu++)
                if (CPU_ISSET(cpu, &all))
                        CPU_SET(cpu, &one);

        g_assert_no_errno(sched_setaffinity(0, sizeof(one), &one));
        for (unsigned i = 0; i < n; i++)
                fork_once();
        g_assert_no_errno(sched_setaffinity(0, sizeof(all), &all));

        return (cpu_usec_of(RUSAGE_SELF) + cpu_usec_of(RUSAGE_CHILDREN) - before_usec) / n;
}

static pid_t forkstat_start(void) {
        static const char *const arguments[] = { "forkstat", "-e", "fork", NULL };
        pid_t pid = process_start(arguments, NULL, NULL);
        Usage before;

        /* It listens when a fork costs it something. */
        await_quiet(pid);
        before = usage_of(pid);
        while (usage_since(pid, before).wakeups < 1) {
                fork_once();
                await_quiet(pid);
        }
        return pid;
}

/* One round: forks beside one reader. */
static void run(Reader reader, unsigned n, Samples *fork_usec, Samples *cpu_msec, double *wakeups) {
        Listener listener;
        Daemon daemon;
        pid_t pid = 0;
        Usage before = {}, used;

        if (reader == READER_WBWATCHD) {
                daemon = daemon_start(NULL, NULL, "", NULL);
                daemon_settle(&daemon);
                pid = daemon.pid;
        } else if (reader == READER_LISTENER) {
                listener = listener_start();
                pid = listener.pid;
        } else if (reader == READER_FORKSTAT)
                pid = forkstat_start();

        if (pid > 0) {
                await_quiet(pid);
                before = usage_of(pid);
        }

        samples_add(fork_usec, fork_many(n));

        if (pid > 0) {
                await_quiet(pid);
                used = usage_since(pid, before);
                samples_add(cpu_msec, used.cpu_msec * N_FORKS / n);
                *wakeups += used.wakeups;
        }

        if (reader == READER_WBWATCHD)
                daemon_stop(&daemon);
        else if (reader == READER_LISTENER)
                (void) listener_stop(&listener);
        else if (reader == READER_FORKSTAT)
                process_stop(pid, SIGTERM);
}

static void measure_costs(void) {
        Reader end = is_installed("forkstat") ? _READER_MAX : READER_FORKSTAT;
        unsigned n_rounds = measure_short ? 2 : 10, n = N_FORKS / (measure_short ? 40 : n_rounds);
        Samples fork_usec[_READER_MAX], cpu_msec[_READER_MAX];
        double wakeups[_READER_MAX] = {};

        for (Reader reader = 0; reader < end; reader++) {
                fork_usec[reader] = samples_new();
                cpu_msec[reader] = samples_new();
        }

        for (unsigned i = 0; i < n_rounds; i++)
                for (Reader reader = 0; reader < end; reader++)
                        run(reader, n, &fork_usec[reader], &cpu_msec[reader], &wakeups[reader]);

        report(n * n_rounds, "forks", "forks/total");
        for (Reader reader = 0; reader < end; reader++) {
                samples_report(&fork_usec[reader], "us", "forks/%s/one-fork", reader_names[reader]);
                if (reader != READER_NOBODY) {
                        samples_report(&cpu_msec[reader], "ms", "forks/%s/cpu", reader_names[reader]);
                        report(wakeups[reader], "wakeups", "forks/%s/wakeups", reader_names[reader]);
                }
                samples_done(&fork_usec[reader]);
                samples_done(&cpu_msec[reader]);
        }
}

/* Counts, which no other load can change: created kernel threads and idle scans alone may wake it. */
static void count_calls(void) {
        unsigned n = measure_short ? 10000 : N_FORKS;
        uint64_t begin_usec = usec_now(CLOCK_MONOTONIC);
        Daemon daemon = daemon_start(NULL, NULL, "", NULL);
        double calls, waits, wakeups;
        Listener listener;
        Tracer tracer;
        Usage before;

        daemon_settle(&daemon);
        await_quiet(daemon.pid);
        listener = listener_start();

        before = usage_of(daemon.pid);
        (void) fork_many(n);
        wakeups = usage_since(daemon.pid, before).wakeups;

        tracer = trace_begin(daemon.pid);
        (void) fork_many(n);
        trace_end(&tracer, "epoll_wait", &calls, &waits);

        report(n, "forks", "forks/counted/forks");
        report(wakeups, "wakeups", "forks/counted/wakeups");
        report(calls, "calls", "forks/counted/system-calls");
        report(listener_stop(&listener), "threads", "forks/counted/created");
        report((double) ((usec_now(CLOCK_MONOTONIC) - begin_usec) / USEC_PER_SEC / 10 + 1), "scans",
               "forks/counted/idle-scans");
        daemon_stop(&daemon);
}

int main(int argc, char **argv) {
        measure_begin(argc, argv);
        bus_start();
        measure_costs();
        count_calls();
        bus_stop();
        return EXIT_SUCCESS;
}
