/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A machine that is busy all the time: more programs than CPUs want to run, so that CPU pressure wakes
 * wbwatchd as often as it may, and 100 cgroups a second come and go. The costs of wbwatchd, and those of
 * earlyoom at the same time.
 */

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "measure.h"

#define CGROUPS "/run/cgroups"
#define CGROUPS_PER_SEC 100
#define LOOPS_PER_CPU 2

/* In a child, in the cgroup: writes a file, as a program in a container does. */
G_NORETURN static void live_in(const char *cgroup) {
        g_autofree char *procs = g_build_filename(cgroup, "cgroup.procs", NULL);
        int fd = open(procs, O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, "0", 1) < 0)
                _exit(EXIT_FAILURE);
        fd = open("/run/file-of-a-cgroup", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        _exit(fd >= 0 && write(fd, "", 1) == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* Makes a cgroup, lets a program run in it, and removes it. */
static void use_cgroup(unsigned i) {
        g_autofree char *cgroup = g_strdup_printf(CGROUPS "/wbwatch-%d-%u", (int) getpid(), i);
        int status;
        pid_t pid;

        g_assert_no_errno(mkdir(cgroup, 0755));
        pid = fork();
        if (pid == 0)
                live_in(cgroup);
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_cmpint(status, ==, 0);
        g_assert_no_errno(rmdir(cgroup));
}

static void loop(const void *data) {
        for (;;)
                ;
}

/* Returns how many cgroups came and went. */
static unsigned be_busy(uint64_t duration_usec, bool has_cgroups) {
        uint64_t begin_usec = usec_now(CLOCK_MONOTONIC), now_usec;
        unsigned n = 0;

        while ((now_usec = usec_now(CLOCK_MONOTONIC)) < begin_usec + duration_usec) {
                uint64_t due_usec = begin_usec + (n + 1) * USEC_PER_SEC / CGROUPS_PER_SEC;

                if (has_cgroups)
                        use_cgroup(n);
                n++;
                g_usleep((gulong) usec_subtract(due_usec, usec_now(CLOCK_MONOTONIC)));
        }

        return has_cgroups ? n : 0;
}

static void report_usage(const char *name, Usage used, double elapsed_msec) {
        report(used.cpu_msec / elapsed_msec * 100, "%", "busy/%s/cpu", name);
        report(used.wakeups, "wakeups", "busy/%s/wakeups", name);
}

int main(int argc, char **argv) {
        static const char *const earlyoom[] = { "earlyoom", "--dryrun", "-r", "3600", NULL };
        size_t n_loops = LOOPS_PER_CPU * g_get_num_processors();
        g_autofree Process *loops = g_new0(Process, n_loops);
        Usage daemon_before, peer_before = {};
        bool has_cgroups, has_peer;
        uint64_t begin_usec;
        double elapsed_msec;
        Process peer = {};
        Pressed pressed;
        unsigned n;
        Daemon daemon;

        measure_begin(argc, argv);
        has_cgroups = mkdir(CGROUPS, 0755) >= 0 && mount("none", CGROUPS, "cgroup2", 0, NULL) >= 0;
        bus_start();
        daemon = daemon_begin(NULL, NULL, "", "--dry-run", NULL);
        daemon_settle(&daemon);
        has_peer = is_installed(earlyoom[0]);
        if (has_peer)
                peer = peer_start(earlyoom, NULL, NULL);
        for (size_t i = 0; i < n_loops; i++)
                loops[i] = process_fork(loop, NULL);

        pressed = pressed_begin();
        daemon_before = usage_of(daemon.process.pid);
        if (has_peer)
                peer_before = usage_of(peer.pid);
        begin_usec = usec_now(CLOCK_MONOTONIC);
        n = be_busy((measure_short ? 10 : 60) * USEC_PER_SEC, has_cgroups);
        elapsed_msec = (double) (usec_now(CLOCK_MONOTONIC) - begin_usec) / 1000;

        report(elapsed_msec / 1000, "s", "busy/time");
        report(n / elapsed_msec * 1000, "cgroups", "busy/cgroups-per-second");
        report(pressed_since(pressed), "events", "busy/pressed");
        report_usage("wbwatchd", usage_since(daemon.process.pid, daemon_before), elapsed_msec);
        if (has_peer)
                report_usage("earlyoom", usage_since(peer.pid, peer_before), elapsed_msec);

        for (size_t i = 0; i < n_loops; i++)
                peer_stop(&loops[i], SIGKILL);
        if (has_peer)
                peer_stop(&peer, SIGTERM);
        daemon_end(&daemon);
        bus_stop();
        return EXIT_SUCCESS;
}
