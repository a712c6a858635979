/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The main job, with nothing faked: a kernel worker that is really stuck (tests/stuck-kworker), a sync(2)
 * that really hangs, a healthy machine that really works. Needs root and the machine for itself: sync hangs
 * for everybody meanwhile.
 *
 * Where the product promises a time, it is measured here, printed, and held against the promise.
 */

#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "bus-fixture.h"
#include "stuck-worker.h"

/* The promises. */
#define SYNC_STARTS_WITHIN_USEC (100 * USEC_PER_MSEC)
#define BUS_ANSWERS_WITHIN_USEC (100 * USEC_PER_MSEC)
#define STOPS_WITHIN_USEC (100 * USEC_PER_MSEC)

/* How long a stuck worker is held if nobody lets it go, and how long a healthy machine is watched. */
#define HOLD_SEC 60
#define HEALTHY_SEC 60

#define STUCK_CONFIG                                                                                         \
        "[Watch]\n"                                                                                          \
        "Glob=kworker/*+flush-7:*\n"                                                                         \
        "ThresholdSec=3s\n"                                                                                  \
        "SweepIntervalSec=1s\n"                                                                              \
        "RecoverySec=2s\n"                                                                                   \
        "SyncTimeoutSec=1s\n"

/* The helper is asked a moment before it enters the system call. */
static void wait_in_sync(BusFixture *fixture, pid_t pid) {
        while (!is_in_sync(pid)) {
                g_assert_cmpint(g_get_monotonic_time(), <, fixture->deadline_usec);
                (void) sched_yield();
        }
}

static uint64_t lookup_usec(GVariant *dictionary, const char *key) {
        guint64 usec;

        g_assert_true(g_variant_lookup(dictionary, key, "t", &usec));
        return usec;
}

/* Brings the daemon into a sync that hangs; how late it asked for it. */
static uint64_t begin_hanging_sync(BusFixture *fixture, Client *client, StuckWorker *stuck) {
        g_autoptr(GVariant) details = NULL;
        GVariant *started;

        fixture_write_config(fixture, STUCK_CONFIG);
        fixture_start_daemon(fixture, "--proc-root", "/proc", NULL);
        g_free(client_wait_owner(client, BUS_NAME));

        stuck_worker_begin(stuck, HOLD_SEC);
        started = client_wait_signal(client, "SyncStarted");
        details = g_variant_get_child_value(started, 2);
        client_wait_property(client, "State", "'syncing'");

        return lookup_usec(details, "OldestWorkerUSec") - 3 * USEC_PER_SEC;
}

static void test_stuck_worker(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = NULL;
        g_autoptr(GVariant) episode = NULL;
        g_autofree char *history = NULL;
        uint64_t late_usec, longest_usec = 0;
        const char *outcome;
        StuckWorker stuck;
        pid_t helper;

        fixture->netlink = true;
        fixture_start_bus(fixture);
        client = client_new(fixture, UID_NOBODY);
        late_usec = begin_hanging_sync(fixture, client, &stuck);

        helper = fixture_helper_pid(fixture, "wbwatchd-sync");
        wait_in_sync(fixture, helper);
        g_test_message("sync asked for %" G_GUINT64_FORMAT " us after the threshold", late_usec);
        g_assert_cmpuint(late_usec, <, SYNC_STARTS_WITHIN_USEC);

        for (unsigned i = 0; i < 100; i++) {
                uint64_t begin_usec = usec_now(CLOCK_MONOTONIC);

                assert_property(client, "State", "'syncing'");
                longest_usec = MAX(longest_usec, usec_now(CLOCK_MONOTONIC) - begin_usec);
        }
        g_test_message("longest of 100 answers on the bus %" G_GUINT64_FORMAT " us", longest_usec);
        g_assert_cmpuint(longest_usec, <, BUS_ANSWERS_WITHIN_USEC);

        /* It is told once that the sync stalls, and no other one is made. */
        client_wait_property(client, "LastSyncResult", "'stalled'");
        assert_property(client, "SyncCount", "uint64 1");
        g_assert_true(is_in_sync(helper));

        stuck_worker_let_go(&stuck);
        (void) client_wait_signal(client, "SyncFinished");
        episode = g_variant_get_child_value(client_wait_signal(client, "EpisodeEnded"), 1);
        g_assert_true(g_variant_lookup(episode, "Outcome", "&s", &outcome));
        g_assert_cmpstr(outcome, ==, "recovered");

        client_wait_property(client, "State", "'idle'");
        history = client_history(client, "State");
        g_assert_cmpstr(history, ==, "busy syncing recovery idle");
        assert_property(client, "LastSyncResult", "'ok'");
        assert_property(client, "SyncCount", "uint64 1");
}

static void test_stop_in_hanging_sync(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = NULL;
        _cleanup_close_ int helper_pidfd = -EBADF;
        uint64_t begin_usec, stop_usec;
        struct pollfd ended;
        StuckWorker stuck;
        pid_t helper;

        fixture->netlink = true;
        fixture_start_bus(fixture);
        client = client_new(fixture, UID_NOBODY);
        (void) begin_hanging_sync(fixture, client, &stuck);
        helper = fixture_helper_pid(fixture, "wbwatchd-sync");
        wait_in_sync(fixture, helper);
        helper_pidfd = pidfd_open(helper, 0);
        g_assert_no_errno(helper_pidfd);

        ended = (struct pollfd){ .fd = fixture->daemon.pidfd, .events = POLLIN };
        begin_usec = usec_now(CLOCK_MONOTONIC);
        g_assert_no_errno(kill(fixture->daemon.pid, SIGTERM));
        g_assert_cmpint(poll(&ended, 1, -1), ==, 1);
        stop_usec = usec_now(CLOCK_MONOTONIC) - begin_usec;

        /* The helper hangs on; a new daemon starts all the same, and syncs by a helper of its own. */
        g_assert_true(is_in_sync(helper));
        fixture_stop_daemon(fixture);
        client_wait_no_owner(client, BUS_NAME);
        fixture_start_daemon(fixture, "--proc-root", "/proc", NULL);
        g_free(client_wait_owner(client, BUS_NAME));
        (void) client_wait_signal(client, "SyncStarted");
        wait_in_sync(fixture, fixture_helper_pid(fixture, "wbwatchd-sync"));
        g_assert_true(is_in_sync(helper));

        stuck_worker_let_go(&stuck);
        ended = (struct pollfd){ .fd = helper_pidfd, .events = POLLIN };
        g_assert_cmpint(poll(&ended, 1, -1), ==, 1);
        (void) client_wait_signal(client, "SyncFinished");

        g_test_message("ended %" G_GUINT64_FORMAT " us after SIGTERM", stop_usec);
        g_assert_cmpuint(stop_usec, <, STOPS_WITHIN_USEC);
}

static void test_killed_test_releases(BusFixture *fixture, gconstpointer data) {
        StuckWorker stuck = {};
        int told[2];
        char byte;
        pid_t pid;

        g_assert_no_errno(pipe(told)); /* its other end is to be inherited */
        pid = fork();
        g_assert_no_errno(pid);
        if (pid == 0) {
                /* A test that is killed while its worker is stuck. */
                stuck_worker_begin(&stuck, HOLD_SEC);
                (void) kill(getpid(), SIGKILL);
        }
        g_assert_no_errno(close(told[1]));

        /* Ends with the script, which has the other end through the test that died: it has released by then.
         */
        g_assert_cmpint(read(told[0], &byte, 1), ==, 0);
        g_assert_no_errno(waitpid(pid, NULL, 0));
        g_assert_cmpuint(stuck_worker_count_devices(), ==, 0);
        g_assert_no_errno(close(told[0]));
        sync(); /* would hang if anything were still frozen */
}

/* Light work for the disk: small files that are written, flushed and removed. Ends with the test. */
static pid_t start_light_io(void) {
        pid_t test = getpid(), pid = fork();

        g_assert_no_errno(pid);
        if (pid > 0)
                return pid;

        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != test)
                _exit(EXIT_FAILURE);
        for (;;) {
                FILE *file = tmpfile();
                static char block[1 << 20];

                if (!file || fwrite(block, sizeof(block), 1, file) != 1 || fsync(fileno(file)) < 0)
                        _exit(EXIT_FAILURE);
                (void) fclose(file);
                g_usleep(50 * USEC_PER_MSEC);
        }
}

static gboolean on_time_over(gpointer loop) {
        g_main_loop_quit(loop);
        return G_SOURCE_REMOVE;
}

static void test_healthy_machine(BusFixture *fixture, gconstpointer data) {
        g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
        _cleanup_client_ Client *client = NULL;
        pid_t io;

        fixture->netlink = true;
        fixture_start_bus(fixture);
        client = client_new(fixture, UID_NOBODY);
        fixture_start_daemon(
                        fixture, "--proc-root", "/proc", "--process-glob", "kworker/*", "--runtime-threshold",
                        "2s", NULL);
        g_free(client_wait_owner(client, BUS_NAME));
        io = start_light_io();

        /* It is the time itself that is waited for: nothing must happen in it. */
        (void) g_timeout_add_seconds(HEALTHY_SEC, on_time_over, loop);
        g_main_loop_run(loop);

        g_assert_cmpint(waitpid(io, NULL, WNOHANG), ==, 0);
        g_assert_no_errno(kill(io, SIGKILL));
        g_assert_no_errno(waitpid(io, NULL, 0));
        assert_property(client, "SyncCount", "uint64 0");
        g_assert_cmpuint(client_count_signals(client, "EpisodeStarted"), ==, 0);
}

int main(int argc, char **argv) {
        if (!fixture_isolate())
                return EXIT_SUCCESS;
        g_test_init(&argc, &argv, NULL);

        FIXTURE_TEST("/main-job/stuck-worker", test_stuck_worker);
        FIXTURE_TEST("/main-job/stop-in-hanging-sync", test_stop_in_hanging_sync);
        FIXTURE_TEST("/main-job/killed-test-releases", test_killed_test_releases);
        FIXTURE_TEST("/main-job/healthy-machine", test_healthy_machine);

        return g_test_run();
}
