/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * From the start of wbwatchd to READY, as the service manager sees it: from before the fork to the message,
 * with the self-test in between. Beside it, a program that does nothing, from before the fork to its end: the
 * floor.
 */

#include <sys/wait.h>

#include "measure.h"

static void measure_start(Samples *msec, Samples *cpu_msec) {
        Daemon daemon = daemon_start(NULL, NULL, "", NULL);

        samples_add(cpu_msec, usage_of(daemon.pid).cpu_msec);
        samples_add(msec, (double) (daemon.ready_usec - daemon.started_usec) / 1000);
        daemon_stop(&daemon);
}

static void measure_floor(Samples *msec) {
        static const char *const arguments[] = { "true", NULL };
        uint64_t begin_usec = usec_now(CLOCK_MONOTONIC);
        pid_t pid = process_start(arguments, NULL, NULL);

        g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
        samples_add(msec, (double) (usec_now(CLOCK_MONOTONIC) - begin_usec) / 1000);
}

int main(int argc, char **argv) {
        Samples msec, cpu_msec, floor_msec;
        unsigned n;

        measure_begin(argc, argv);
        bus_start();
        n = measure_short ? 5 : 50;

        msec = samples_new();
        cpu_msec = samples_new();
        floor_msec = samples_new();
        for (unsigned i = 0; i < n; i++) {
                measure_start(&msec, &cpu_msec);
                measure_floor(&floor_msec);
        }

        samples_report(&msec, "ms", "start/wbwatchd/ready");
        samples_report(&cpu_msec, "ms", "start/wbwatchd/cpu");
        samples_report(&floor_msec, "ms", "start/true/end");
        samples_done(&msec);
        samples_done(&cpu_msec);
        samples_done(&floor_msec);
        bus_stop();
        return EXIT_SUCCESS;
}
