/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A storm of 200,000 forks while wbwatchd, forkstat, a bare filtered listener or none of them runs: the costs
 * of each, and those of the forking program.
 *
 * They take turns, in rounds, since the speed of the machine varies. The forking program stays on one CPU;
 * its CPU time counts, that of its children included.
 */

#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "measure.h"
#include "storm.h"

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

static Process forkstat_start(void) {
        static const char *const arguments[] = { "forkstat", "-e", "fork", NULL };
        Process forkstat = peer_start(arguments, NULL, NULL);
        Usage before;

        /* It listens once a fork costs it something. */
        await_quiet(forkstat.pid);
        before = usage_of(forkstat.pid);
        while (usage_since(forkstat.pid, before).wakeups < 1) {
                fork_once();
                await_quiet(forkstat.pid);
        }
        return forkstat;
}

/* One round: forks while one reader runs. */
static void run(Reader reader, unsigned n, Samples *fork_usec, Samples *cpu_msec, double *wakeups) {
        Process forkstat = {};
        Listener listener;
        Daemon daemon;
        pid_t pid = 0;
        Usage before = {}, used;

        if (reader == READER_WBWATCHD) {
                daemon = daemon_begin(NULL, NULL, "", NULL);
                daemon_settle(&daemon);
                pid = daemon.process.pid;
        } else if (reader == READER_LISTENER) {
                listener = listener_start();
                pid = listener.process.pid;
        } else if (reader == READER_FORKSTAT) {
                forkstat = forkstat_start();
                pid = forkstat.pid;
        }

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
                daemon_end(&daemon);
        else if (reader == READER_LISTENER)
                (void) listener_stop(&listener);
        else if (reader == READER_FORKSTAT)
                peer_stop(&forkstat, SIGTERM);
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

/* Counts, which do not depend on other load: only created kernel threads, idle scans and CPU pressure may
 * wake it. The forks cause pressure, but they are many more. */
static void count_calls(void) {
        unsigned n = measure_short ? 10000 : N_FORKS;
        uint64_t begin_usec = usec_now(CLOCK_MONOTONIC);
        Daemon daemon = daemon_begin(NULL, NULL, "", NULL);
        double calls, waits, wakeups;
        Listener listener;
        Pressed pressed;
        Tracer tracer;
        Usage before;

        daemon_settle(&daemon);
        await_quiet(daemon.process.pid);
        listener = listener_start();
        pressed = pressed_begin();

        before = usage_of(daemon.process.pid);
        (void) fork_many(n);
        wakeups = usage_since(daemon.process.pid, before).wakeups;

        tracer = trace_begin(daemon.process.pid);
        (void) fork_many(n);
        trace_end(&tracer, "epoll_wait", &calls, &waits);

        report(n, "forks", "forks/counted/forks");
        report(wakeups, "wakeups", "forks/counted/wakeups");
        report(calls, "calls", "forks/counted/system-calls");
        report(listener_stop(&listener), "threads", "forks/counted/created");
        report(pressed_since(pressed), "events", "forks/counted/pressed");
        report((double) ((usec_now(CLOCK_MONOTONIC) - begin_usec) / USEC_PER_SEC / 10 + 1), "scans",
               "forks/counted/idle-scans");
        daemon_end(&daemon);
}

int main(int argc, char **argv) {
        measure_begin(argc, argv);
        bus_start();
        measure_costs();
        count_calls();
        bus_stop();
        return EXIT_SUCCESS;
}
