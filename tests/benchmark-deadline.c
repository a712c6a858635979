/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * From the moment at which a worker reaches the threshold to the entry of sync(2), with the real sync().
 *
 * Twice: by wbwatchd's own clock readings (how old the worker was when it decided, and when its helper was in
 * front of the system call), and once more by strace, whose own cost is in it: from the begin of the look
 * that first opened the stat of the worker, plus the threshold, to the system call.
 */

#include <stdio.h>

#include "measure.h"

#define THRESHOLD_USEC (1 * USEC_PER_SEC)
#define SETTINGS                                                                                             \
        "ThresholdSec=1s\nPollIntervalSec=100ms\nSweepIntervalSec=1s\nRecoverySec=500ms\nCrowdSize=0\n"
#define TRACE "/run/trace"

typedef struct Signals {
        unsigned n_started, n_finished, n_ended;
        uint64_t oldest_usec; /* of the last SyncStarted */
} Signals;

static int on_sync_started(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Signals *signals = userdata;
        const char *key;

        g_assert_cmpint(sd_bus_message_skip(m, "tt"), >=, 0);
        g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "{sv}"), >, 0);
        while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
                g_assert_cmpint(sd_bus_message_read(m, "s", &key), >, 0);
                if (streq(key, "OldestWorkerUSec"))
                        g_assert_cmpint(sd_bus_message_read(m, "v", "t", &signals->oldest_usec), >, 0);
                else
                        g_assert_cmpint(sd_bus_message_skip(m, "v"), >=, 0);
                g_assert_cmpint(sd_bus_message_exit_container(m), >=, 0);
        }
        signals->n_started++;
        return 0;
}

static int on_sync_finished(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Signals *signals = userdata;

        signals->n_finished++;
        return 0;
}

static int on_episode_ended(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Signals *signals = userdata;

        signals->n_ended++;
        return 0;
}

static void match(sd_bus *bus, const char *member, sd_bus_message_handler_t handler, Signals *signals) {
        g_assert_cmpint(sd_bus_match_signal(bus, NULL, NULL, NULL, "org.wbwatch1", member, handler, signals),
                        >=, 0);
}

/* The worker appears, is stuck, is synced, and goes. */
static void one_episode(sd_bus *bus, const FakeProc *proc, pid_t pid, Signals *signals) {
        g_autofree char *list = g_strdup_printf("%d ", (int) pid);
        unsigned n_finished = signals->n_finished, n_ended = signals->n_ended;

        fake_proc_add(proc, pid, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, /* start_time= */ 100);
        fake_proc_list(proc, list);
        while (signals->n_finished == n_finished)
                bus_run(bus);

        fake_proc_list(proc, "");
        fake_proc_write_comm(proc, pid, "kworker/0:1-inode_switch_wbs");
        while (signals->n_ended == n_ended)
                bus_run(bus);
}

static void match_signals(sd_bus *bus, Signals *signals) {
        match(bus, "SyncStarted", on_sync_started, signals);
        match(bus, "SyncFinished", on_sync_finished, signals);
        match(bus, "EpisodeEnded", on_episode_ended, signals);
}

/* The number behind a text. */
static double number_behind(const char *line, const char *text) {
        const char *found = strstr(line, text);

        g_assert_nonnull(found);
        return g_ascii_strtod(found + strlen(text), NULL);
}

static void measure_by_own_clock(const FakeProc *proc, unsigned n, pid_t first_pid) {
        _cleanup_samples_ Samples decided_usec = samples_new(), entered_usec = samples_new();
        Signals signals = {};
        Daemon daemon;
        sd_bus *bus;
        int log;

        bus = bus_connect();
        match_signals(bus, &signals);
        daemon = daemon_start(NULL, &log, SETTINGS, "--debug", "--proc-root", proc->root, NULL);
        daemon_settle(&daemon);

        for (unsigned i = 0; i < n; i++) {
                g_autofree char *line = NULL;
                double late_usec;

                one_episode(bus, proc, first_pid + (pid_t) i, &signals);
                line = await_line(log, "sync() was entered");
                late_usec = (double) signals.oldest_usec - (double) THRESHOLD_USEC;
                samples_add(&decided_usec, late_usec);
                samples_add(&entered_usec, late_usec + number_behind(line, "sync() was entered "));
        }
        g_assert_cmpuint(signals.n_started, ==, n);

        samples_report(&decided_usec, "us", "deadline/decided");
        samples_report(&entered_usec, "us", "deadline/entered");
        daemon_stop(&daemon);
        g_assert_no_errno(close(log));
        sd_bus_flush_close_unref(bus);
}

/* The time of the first line from *line on that has this text; *line is behind it then. With begin, the time
 * of the last line before it that has that one. */
static double time_of(char ***line, const char *begin, const char *text) {
        double begin_usec = 0;

        for (; **line; (*line)++) {
                bool found = strstr(**line, text);
                double pid, time;

                if (!found && !(begin && strstr(**line, begin)))
                        continue;
                if (sscanf(**line, "%lf %lf", &pid, &time) != 2)
                        continue;
                if (!found)
                        begin_usec = time * 1e6;
                else {
                        (*line)++;
                        return begin ? begin_usec : time * 1e6;
                }
        }

        g_error("strace saw no %s", text);
}

static void measure_by_strace(const FakeProc *proc, unsigned n, pid_t first_pid) {
        _cleanup_samples_ Samples entered_usec = samples_new();
        g_auto(GStrv) lines = NULL;
        g_autofree char *text = NULL;
        Signals signals = {};
        Daemon daemon;
        sd_bus *bus;
        char **line;

        bus = bus_connect();
        match_signals(bus, &signals);
        daemon =
                        daemon_start("strace -f -D --seccomp-bpf -ttt -e trace=openat,sync -o " TRACE, NULL,
                                     SETTINGS, "--proc-root", proc->root, NULL);
        daemon_settle(&daemon);
        for (unsigned i = 0; i < n; i++)
                one_episode(bus, proc, first_pid + (pid_t) i, &signals);
        daemon_stop(&daemon);
        sd_bus_flush_close_unref(bus);

        g_assert_true(g_file_get_contents(TRACE, &text, NULL, NULL));
        lines = line = g_strsplit(text, "\n", -1);
        for (unsigned i = 0; i < n; i++) {
                g_autofree char *stat = g_strdup_printf("\"%d/stat\"", (int) first_pid + (int) i);
                double seen_usec = time_of(&line, "2/task/2/children", stat);

                samples_add(&entered_usec,
                            time_of(&line, NULL, " sync(") - seen_usec - (double) THRESHOLD_USEC);
        }
        samples_report(&entered_usec, "us", "deadline/strace/entered");
}

int main(int argc, char **argv) {
        FakeProc proc;

        measure_begin(argc, argv);
        bus_start();
        proc = fake_proc_new();
        measure_by_own_clock(&proc, measure_short ? 2 : 20, 1000);
        measure_by_strace(&proc, measure_short ? 1 : 5, 2000);
        bus_stop();
        return EXIT_SUCCESS;
}
