/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The memory of wbwatchd: at rest, after a storm of 2,000 running workers, and over 1,000 episodes; and that
 * of earlyoom and forkstat.
 *
 * For storm and episodes its time passes 200 times as fast (benchmark-clock.c). Everything else is real: each
 * episode has other workers, is detected, synced, announced on the bus, and ends.
 *
 * As on an installed system, a bus and a polkitd run before it and share libraries with it. No other process
 * does.
 */

#include "deadline.h"
#include "measure.h"
#include "polkit.h"

#define N_STORM 2000
#define N_EPISODES 1000

/* After these, the record of episodes is full. */
#define N_WARM_UP 500

static void report_memory(Memory memory, const char *name) {
        report(memory.pss, "KiB", "memory/%s/pss", name);
        report(memory.private, "KiB", "memory/%s/private", name);
        report(memory.private_dirty, "KiB", "memory/%s/private-dirty", name);
        report(memory.resident, "KiB", "memory/%s/resident", name);
}

static void measure_peer(const char *const *arguments) {
        Process peer;

        if (!is_installed(arguments[0]))
                return;

        peer = peer_start(arguments, NULL, NULL);
        await_quiet(peer.pid);
        report_memory(memory_of(peer.pid), arguments[0]);
        peer_stop(&peer, SIGTERM);
}

/* The wrapper of wbwatchd that makes time pass fast. */
static char *fast_clock(void) {
        return g_strdup_printf("env LD_PRELOAD=%s/benchmark-clock.so", g_getenv("BENCHMARKS"));
}

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        unsigned *n = userdata;

        (*n)++;
        return 0;
}

static void count_signals(sd_bus *bus, const char *member, unsigned *n) {
        g_assert_cmpint(sd_bus_match_signal(bus, NULL, NULL, NULL, "org.wbwatch1", member, on_signal, n), >=,
                        0);
}

static void add_workers(const FakeProc *proc, pid_t first_pid, unsigned n) {
        g_autoptr(GString) list = g_string_new(NULL);

        for (pid_t pid = first_pid; pid < first_pid + (pid_t) n; pid++) {
                g_autofree char *name = g_strdup_printf("kworker/u16:%d+inode_switch_wbs", (int) pid);

                fake_proc_add(proc, pid, name, FLAGS_WORKER, /* start_time= */ 100);
                g_string_append_printf(list, "%d ", (int) pid);
        }
        fake_proc_list(proc, list->str);
}

static void remove_workers(const FakeProc *proc, pid_t first_pid, unsigned n) {
        fake_proc_list(proc, "");
        for (pid_t pid = first_pid; pid < first_pid + (pid_t) n; pid++) {
                g_autofree char *stat = g_strdup_printf("%d/stat", (int) pid);
                g_autofree char *comm = g_strdup_printf("%d/comm", (int) pid);
                g_autofree char *folder = g_strdup_printf("%d", (int) pid);

                fake_proc_remove(proc, stat);
                fake_proc_remove(proc, comm);
                fake_proc_remove(proc, folder);
        }
}

static uint32_t count_workers(sd_bus *bus) {
        uint32_t n;

        g_assert_cmpint(sd_bus_get_property_trivial(
                                        bus, "org.wbwatch1", "/org/wbwatch1", "org.wbwatch1", "WorkerCount",
                                        NULL, 'u', &n),
                        >=, 0);
        return n;
}

/* The workers appear, a client lists them, and they vanish. */
static void storm(const FakeProc *proc, sd_bus *bus, pid_t first_pid) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

        add_workers(proc, first_pid, N_STORM);
        while (count_workers(bus) < N_STORM)
                g_usleep(10000);
        g_assert_cmpint(sd_bus_call_method(
                                        bus, "org.wbwatch1", "/org/wbwatch1", "org.wbwatch1", "ListWorkers",
                                        NULL, &reply, NULL),
                        >=, 0);

        remove_workers(proc, first_pid, N_STORM);
        while (count_workers(bus) > 0)
                g_usleep(10000);
}

/* wbwatchd returns unused memory some scans later. */
static void await_scans(pid_t pid, unsigned n) {
        Usage before = usage_of(pid);

        while (usage_since(pid, before).wakeups < n)
                g_usleep(10000);
}

static void measure_storms(sd_bus *bus) {
        g_autofree char *wrapper = fast_clock();
        FakeProc proc = fake_proc_new();
        Daemon daemon = daemon_begin(
                        wrapper, NULL,
                        "ThresholdSec=1h\nCrowdSize=0\nPollIntervalSec=100ms\nIdleScanIntervalSec=1s\n",
                        "--dry-run", "--proc-root", proc.root, NULL);
        Memory before, first;

        daemon_settle(&daemon);
        before = memory_with_children(daemon.process.pid);
        storm(&proc, bus, 1000);
        await_scans(daemon.process.pid, 20);
        first = memory_with_children(daemon.process.pid);
        report(first.private_dirty - before.private_dirty, "KiB", "memory/first-storm/growth");
        report_memory(memory_of(daemon.process.pid), "wbwatchd-after-storm");
        report_memory(first, "all-after-storm");

        storm(&proc, bus, 10000);
        await_scans(daemon.process.pid, 20);
        report(memory_with_children(daemon.process.pid).private_dirty - first.private_dirty, "KiB",
               "memory/second-storm/growth");
        daemon_end(&daemon);
        fake_proc_done(&proc);
}

typedef struct Counts {
        unsigned n_syncs, n_synced, n_ended;
} Counts;

static void await_more(sd_bus *bus, const unsigned *n, unsigned before) {
        while (*n == before)
                bus_run(bus);
}

/* A whole episode, with a sync that helps. */
static void episode(sd_bus *bus, const FakeProc *proc, unsigned i, const Counts *counts) {
        unsigned n_workers = 1 + i % 8;
        pid_t first_pid = 1000 + 10 * (pid_t) i;
        Counts before = *counts;

        add_workers(proc, first_pid, n_workers);
        await_more(bus, &counts->n_syncs, before.n_syncs);
        remove_workers(proc, first_pid, n_workers);
        await_more(bus, &counts->n_synced, before.n_synced);
        await_more(bus, &counts->n_ended, before.n_ended);
}

static void measure_episodes(sd_bus *bus) {
        g_autofree char *wrapper = fast_clock();
        FakeProc proc = fake_proc_new();
        size_t n_children, n_descriptors;
        Counts counts = {};
        Memory before, after;
        Daemon daemon;

        count_signals(bus, "SyncStarted", &counts.n_syncs);
        count_signals(bus, "SyncFinished", &counts.n_synced);
        count_signals(bus, "EpisodeEnded", &counts.n_ended);
        daemon =
                        daemon_begin(wrapper, NULL,
                                     "ThresholdSec=1s\nCrowdThresholdSec=1s\nPollIntervalSec="
                                     "100ms\nIdleScanIntervalSec=1s\n"
                                     "RecoverySec=1s\nCountWaiting=yes\n",
                                     "--proc-root", proc.root, NULL);
        daemon_settle(&daemon);

        for (unsigned i = 0; i < N_WARM_UP; i++)
                episode(bus, &proc, i, &counts);
        before = memory_with_children(daemon.process.pid);
        n_children = count_children(daemon.process.pid);
        n_descriptors = count_descriptors(daemon.process.pid);

        for (unsigned i = N_WARM_UP; i < N_EPISODES; i++)
                episode(bus, &proc, i, &counts);

        report(counts.n_ended, "episodes", "memory/episodes");
        after = memory_with_children(daemon.process.pid);
        report(after.private_dirty - before.private_dirty, "KiB", "memory/episodes/growth");
        report_memory(after, "all-after-episodes");
        report((double) count_children(daemon.process.pid) - (double) n_children, "processes",
               "memory/episodes/more-children");
        report((double) count_descriptors(daemon.process.pid) - (double) n_descriptors, "descriptors",
               "memory/episodes/more-descriptors");
        daemon_end(&daemon);
        fake_proc_done(&proc);
}

static void measure_at_rest(const char *name, const char *all_name) {
        Daemon daemon = daemon_begin(NULL, NULL, "", NULL);

        daemon_settle(&daemon);
        await_quiet(daemon.process.pid);
        report_memory(memory_of(daemon.process.pid), name);
        report_memory(memory_with_children(daemon.process.pid), all_name);
        daemon_end(&daemon);
}

int main(int argc, char **argv) {
        static const char *const earlyoom[] = { "earlyoom", "--dryrun", "-r", "3600", NULL };
        static const char *const forkstat[] = { "forkstat", "-e", "fork", NULL };
        Process polkit;
        sd_bus *bus;

        measure_begin(argc, argv);
        measure_own_libraries();
        bus_start();
        measure_peer(earlyoom);
        measure_peer(forkstat);

        bus = bus_connect();
        measure_at_rest("wbwatchd-without-polkit", "all-without-polkit");
        polkit = polkit_start(g_get_tmp_dir(), g_getenv("DBUS_SYSTEM_BUS_ADDRESS"), NULL);
        bus_await_name(bus, "org.freedesktop.PolicyKit1");
        measure_at_rest("wbwatchd", "all");
        measure_storms(bus);
        measure_episodes(bus);
        polkit_stop(&polkit, deadline_in_sec(60));
        sd_bus_flush_close_unref(bus);
        bus_stop();
        return EXIT_SUCCESS;
}
