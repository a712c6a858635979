/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * From the scan at which a rule holds (the one that confirms it, right before a sync) to the entry of the
 * first and the last syncfs(2), and of sync(2), with the real ones.
 *
 * Measured by wbwatchd's own clock readings, at its decision and immediately before the helpers' system
 * calls; and again by strace, with its overhead: from the begin of the last scan before a sync(2), which is
 * that scan.
 *
 * It adds some small filesystems to those of this machine.
 */

#include <stdio.h>

#include "measure.h"
#include "names.h"
#include "own-disk.h"

/* With the root filesystem and others of the machine at least ten. */
#define N_DISKS 10

#define SETTINGS                                                                                             \
        "ThresholdSec=1s\nPollIntervalSec=100ms\nIdleScanIntervalSec=1s\nRecoverySec=500ms\nCrowdSize=0\n"   \
        "CountWaiting=yes\n"
#define TRACE "/run/trace"

typedef struct Signals {
        unsigned n_started, n_finished, n_ended;
} Signals;

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        unsigned *n = userdata;

        (*n)++;
        return 0;
}

static void match(sd_bus *bus, const char *member, unsigned *n) {
        g_assert_cmpint(sd_bus_match_signal(bus, NULL, NULL, NULL, BUS_INTERFACE, member, on_signal, n), >=,
                        0);
}

static void match_signals(sd_bus *bus, Signals *signals) {
        match(bus, "SyncStarted", &signals->n_started);
        match(bus, "SyncFinished", &signals->n_finished);
        match(bus, "EpisodeEnded", &signals->n_ended);
}

static void await_more(sd_bus *bus, const unsigned *n, unsigned before) {
        while (*n == before)
                bus_run(bus);
}

/* A worker appears, is stuck, is freed by a sync, and vanishes. Returns the line of the log that contains
 * this text, to be freed; with a negative log it waits for the end of the sync instead. */
static char *one_episode(
                sd_bus *bus,
                const FakeProc *proc,
                pid_t pid,
                const Signals *signals,
                int log,
                const char *text) {
        g_autofree char *list = g_strdup_printf("%d ", (int) pid);
        Signals before = *signals;
        char *line = NULL;

        fake_proc_add(proc, pid, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, /* start_time= */ 100);
        fake_proc_list(proc, list);
        if (log >= 0)
                line = read_line_with(log, text);
        else
                await_more(bus, &signals->n_finished, before.n_finished);

        fake_proc_list(proc, "");
        fake_proc_write_comm(proc, pid, "kworker/0:1-inode_switch_wbs");
        await_more(bus, &signals->n_finished, before.n_finished);
        await_more(bus, &signals->n_ended, before.n_ended);
        g_assert_cmpuint(signals->n_started, ==, before.n_started + 1);
        return line;
}

/* The number that follows a text. */
static double number_behind(const char *line, const char *text) {
        const char *found = strstr(line, text);

        g_assert_nonnull(found);
        return g_ascii_strtod(found + strlen(text), NULL);
}

typedef struct Entries {
        Samples first_usec, last_usec;
} Entries;

/* Measures with this SyncMethod; first and last are the texts before the numbers in the log. */
static void measure_by_own_clock(
                const FakeProc *proc,
                unsigned n,
                pid_t first_pid,
                const char *method,
                const char *first,
                const char *last,
                Entries *entries) {
        g_autofree char *settings = g_strdup_printf(SETTINGS "SyncMethod=%s\n", method);
        sd_bus *bus = bus_connect();
        Signals signals = {};
        Daemon daemon;
        int log;

        match_signals(bus, &signals);
        daemon = daemon_begin(NULL, &log, settings, "--debug", "--proc-root", proc->root, NULL);
        daemon_settle(&daemon);

        for (unsigned i = 0; i < n; i++) {
                g_autofree char *line = one_episode(bus, proc, first_pid + (pid_t) i, &signals, log, first);

                samples_add(&entries->first_usec, number_behind(line, first));
                samples_add(&entries->last_usec, number_behind(line, last));
        }

        daemon_end(&daemon);
        g_assert_no_errno(close(log));
        sd_bus_flush_close_unref(bus);
}

static void measure_entries(const FakeProc *proc, unsigned n) {
        Entries filesystems = { samples_new(), samples_new() }, everything = { samples_new(), samples_new() };

        measure_by_own_clock(
                        proc, n, 1000, "auto", "The first syncfs(2) was entered ", "the last one ",
                        &filesystems);
        measure_by_own_clock(
                        proc, n, 2000, "sync", "sync(2) was entered ", "sync(2) was entered ", &everything);

        samples_report(&filesystems.first_usec, "us", "deadline/first-syncfs");
        samples_report(&filesystems.last_usec, "us", "deadline/last-syncfs");
        samples_report(&everything.first_usec, "us", "deadline/sync");
        samples_done(&filesystems.first_usec);
        samples_done(&filesystems.last_usec);
        samples_done(&everything.first_usec);
        samples_done(&everything.last_usec);
}

/* The time of the first line from *line on that contains this text, and of the last line before it that
 * contains begin; sets *line to the line after it. */
static double time_of(char ***line, const char *begin, const char *text, double *ret_begin_usec) {
        double pid, time;

        *ret_begin_usec = 0;
        for (; **line; (*line)++) {
                bool found = strstr(**line, text);

                if ((!found && !strstr(**line, begin)) || sscanf(**line, "%lf %lf", &pid, &time) != 2)
                        continue;
                if (!found)
                        *ret_begin_usec = time * 1e6;
                else {
                        (*line)++;
                        return time * 1e6;
                }
        }

        g_error("strace saw no %s", text);
}

static void measure_by_strace(const FakeProc *proc, unsigned n, pid_t first_pid) {
        _cleanup_samples_ Samples entered_usec = samples_new();
        g_auto(GStrv) lines = NULL;
        g_autofree char *text = NULL;
        sd_bus *bus = bus_connect();
        Signals signals = {};
        Daemon daemon;
        char **line;

        match_signals(bus, &signals);
        daemon =
                        daemon_begin("strace -f -D --seccomp-bpf -ttt -e trace=openat,sync -o " TRACE, NULL,
                                     SETTINGS "SyncMethod=sync\n", "--proc-root", proc->root, NULL);
        daemon_settle(&daemon);
        for (unsigned i = 0; i < n; i++)
                g_free(one_episode(bus, proc, first_pid + (pid_t) i, &signals, -EBADF, NULL));
        daemon_end(&daemon);
        sd_bus_flush_close_unref(bus);

        g_assert_true(g_file_get_contents(TRACE, &text, NULL, NULL));
        lines = line = g_strsplit(text, "\n", -1);
        for (unsigned i = 0; i < n; i++) {
                double scan_usec, sync_usec = time_of(&line, "2/task/2/children", " sync(", &scan_usec);

                g_assert_cmpfloat(scan_usec, >, 0);
                samples_add(&entered_usec, sync_usec - scan_usec);
        }
        samples_report(&entered_usec, "us", "deadline/strace/sync");
}

int main(int argc, char **argv) {
        OwnDisk disks[N_DISKS];
        FakeProc proc;

        measure_begin(argc, argv);
        for (size_t i = 0; i < N_DISKS; i++)
                disks[i] = own_disk_new();
        bus_start();
        proc = fake_proc_new();
        measure_entries(&proc, measure_short ? 3 : 20);
        measure_by_strace(&proc, measure_short ? 1 : 5, 3000);
        bus_stop();
        for (size_t i = 0; i < N_DISKS; i++)
                own_disk_done(&disks[i]);
        return EXIT_SUCCESS;
}
