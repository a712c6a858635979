/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * An idle minute: the costs of wbwatchd, on a bus and with its default settings, and those of earlyoom in the
 * same minute.
 */

#include "measure.h"

/* The interval of wbwatchd's idle scans; it may be a tenth longer. */
#define IDLE_SCAN_SEC 10

typedef struct Subject {
        const char *name;
        pid_t pid;
        Usage begin, last;
        Samples cpu_msec; /* of each part */
} Subject;

static Subject subject_new(const char *name, pid_t pid) {
        return (Subject){ .name = name, .pid = pid, .cpu_msec = samples_new() };
}

int main(int argc, char **argv) {
        static const char *const earlyoom[] = { "earlyoom", "--dryrun", "-r", "3600", NULL };
        Subject subjects[2];
        size_t n_subjects = 1;
        Listener listener;
        Pressed pressed;
        unsigned n_parts;
        Process peer;
        Daemon daemon;

        measure_begin(argc, argv);
        bus_start();
        n_parts = measure_short ? 2 : 6;

        daemon = daemon_begin(NULL, NULL, "", NULL);
        subjects[0] = subject_new("wbwatchd", daemon.process.pid);
        if (is_installed(earlyoom[0])) {
                peer = peer_start(earlyoom, NULL, NULL);
                subjects[n_subjects++] = subject_new(earlyoom[0], peer.pid);
        }

        daemon_settle(&daemon);
        await_quiet(daemon.process.pid);
        listener = listener_start();
        pressed = pressed_begin();

        for (size_t i = 0; i < n_subjects; i++)
                subjects[i].begin = subjects[i].last = usage_of(subjects[i].pid);
        for (unsigned part = 0; part < n_parts; part++) {
                g_usleep(IDLE_SCAN_SEC * USEC_PER_SEC);
                for (size_t i = 0; i < n_subjects; i++) {
                        Usage used = usage_since(subjects[i].pid, subjects[i].last);

                        samples_add(&subjects[i].cpu_msec, used.cpu_msec);
                        subjects[i].last.cpu_msec += used.cpu_msec;
                        subjects[i].last.wakeups += used.wakeups;
                }
        }

        report(n_parts * IDLE_SCAN_SEC, "s", "idle/time");
        for (size_t i = 0; i < n_subjects; i++) {
                const Subject *s = &subjects[i];

                report(s->last.cpu_msec - s->begin.cpu_msec, "ms", "idle/%s/cpu", s->name);
                report(s->last.wakeups - s->begin.wakeups, "wakeups", "idle/%s/wakeups", s->name);
                samples_report(&s->cpu_msec, "ms", "idle/%s/cpu-of-10s", s->name);
                samples_done(&subjects[i].cpu_msec);
        }
        report(listener_stop(&listener), "threads", "idle/created");
        report(pressed_since(pressed), "events", "idle/pressed");

        if (n_subjects > 1)
                peer_stop(&peer, SIGTERM);
        daemon_end(&daemon);
        bus_stop();
        return EXIT_SUCCESS;
}
