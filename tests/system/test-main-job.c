/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The main job, with nothing faked: a kernel worker that is really stuck (tests/stuck-kworker), a syncfs(2)
 * and a sync(2) that really hang. Needs root and the machine for itself: sync hangs for everybody meanwhile.
 *
 * Where the product promises a time, it is measured here, printed, and held against the promise; with
 * sanitizers it is printed only.
 */

#include <glib/gstdio.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "bus-fixture.h"
#include "own-disk.h"
#include "stuck-worker.h"

/* The promises. It was 100 ms for the stop when there was one helper: it gives each idle one of nine up to 10
 * ms to end. */
#define SYNC_STARTS_WITHIN_USEC (100 * USEC_PER_MSEC)
#define BUS_ANSWERS_WITHIN_USEC (100 * USEC_PER_MSEC)
#define STOPS_WITHIN_USEC (1 * USEC_PER_SEC)

/* How long a stuck worker is held if nobody lets it go. */
#define HOLD_SEC 90

/* A worker that is stuck on a frozen filesystem waits. */
#define THRESHOLD_USEC (3 * USEC_PER_SEC)
#define WAITING_CONFIG                                                                                       \
        "[Watch]\n"                                                                                          \
        "Glob=kworker/*+flush-7:*\n"                                                                         \
        "ThresholdSec=3s\n"                                                                                  \
        "IdleScanIntervalSec=1s\n"                                                                           \
        "RecoverySec=2s\n"                                                                                   \
        "FilesystemTimeoutSec=1s\n"                                                                          \
        "SyncTimeoutSec=1s\n"
#define STUCK_CONFIG WAITING_CONFIG "CountWaiting=yes\n"

#ifdef HAS_ADDRESS_SANITIZER
#define assert_promise(usec, promise_usec) ((void) (usec))
#else
#define assert_promise(usec, promise_usec) g_assert_cmpint((int64_t) (usec), <, (promise_usec))
#endif

/* The helper that hangs in syncfs(2), which is that of the stuck filesystem alone once the others have
 * answered. */
static pid_t find_in_syncfs(const BusFixture *fixture) {
        g_autoptr(GArray) pids = fixture_helper_pids(fixture, HELPER_SYNCFS);

        for (size_t i = 0; i < pids->len; i++)
                if (is_in_syncfs(g_array_index(pids, pid_t, i)))
                        return g_array_index(pids, pid_t, i);
        return 0;
}

/* Starts the daemon with a client, and a worker that is stuck. */
static Client *begin(BusFixture *fixture, const char *config, StuckWorker *stuck) {
        Client *client;

        fixture->netlink = true;
        fixture_start_bus(fixture);
        client = client_new(fixture, UID_NOBODY);
        fixture_write_config(fixture, config);
        fixture_start_daemon(fixture, "--proc-root", "/proc", NULL);
        g_free(client_wait_owner(client, BUS_NAME));
        stuck_worker_begin(stuck, HOLD_SEC);
        return client;
}

/* The result of the last sync for a filesystem; to be freed. */
static char *filesystem_result(Client *client, const char *mountpoint) {
        g_autoptr(GVariant) results = client_get(client, "FilesystemResults");
        GVariantIter iterator;
        GVariant *row;
        char *found = NULL;

        g_variant_iter_init(&iterator, results);
        while (g_variant_iter_loop(&iterator, "@a{sv}", &row)) {
                const char *name, *result;

                g_assert_true(g_variant_lookup(row, "Mountpoint", "&s", &name));
                g_assert_true(g_variant_lookup(row, "Result", "&s", &result));
                if (streq(name, mountpoint) || (!mountpoint[0] && g_str_has_suffix(name, "/inner")))
                        found = g_strdup(result);
        }

        g_assert_nonnull(found);
        return found;
}

/* The longest of 100 answers. The caller and the bus have the daemon's priority meanwhile: what is measured
 * is its part. */
static uint64_t measure_answers(BusFixture *fixture, Client *client, const char *property, const char *text) {
        uint64_t longest_usec = 0;

        process_set_realtime(getpid(), true);
        process_set_realtime(fixture->bus.pid, true);
        for (unsigned i = 0; i < 100; i++) {
                uint64_t begin_usec = usec_now(CLOCK_MONOTONIC);

                assert_property(client, property, text);
                longest_usec = MAX(longest_usec, usec_now(CLOCK_MONOTONIC) - begin_usec);
        }
        process_set_realtime(getpid(), false);
        process_set_realtime(fixture->bus.pid, false);
        return longest_usec;
}

static void test_stuck_worker(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = NULL;
        g_autofree char *history = NULL, *result = NULL;
        g_autoptr(GVariant) episode = NULL;
        const char *outcome;
        uint64_t answer_usec;
        StuckWorker stuck;
        int64_t late_usec;
        pid_t helper, hanging;

        client = begin(fixture, STUCK_CONFIG, &stuck);
        late_usec = client_wait_sync_started(client, THRESHOLD_USEC);
        g_test_message("sync decided %" G_GINT64_FORMAT " us after the threshold", late_usec);
        assert_promise(late_usec, SYNC_STARTS_WITHIN_USEC);

        /* First its filesystem by itself, then sync(2). */
        helper = fixture_helper_pid(fixture, HELPER_SYNC);
        g_assert_cmpint(find_in_syncfs(fixture), >, 0);
        wait_in_sync(helper, fixture->deadline_usec);
        hanging = find_in_syncfs(fixture);
        g_assert_cmpint(hanging, >, 0);

        answer_usec = measure_answers(fixture, client, "SyncCount", "uint64 1");
        g_test_message("longest of 100 answers on the bus %" G_GUINT64_FORMAT " us", answer_usec);
        assert_promise(answer_usec, BUS_ANSWERS_WITHIN_USEC);

        /* The sync ends as stalled; its helpers hang on. */
        client_wait_sync_finished(client, "stalled");
        assert_property(client, "LastSyncResult", "'stalled'");
        result = filesystem_result(client, "");
        g_assert_true(streq(result, "timeout") || streq(result, "slow")); /* when other disks make progress */
        g_assert_true(is_in_sync(helper));
        g_assert_true(is_in_syncfs(hanging));

        stuck_worker_let_go(&stuck);
        episode = g_variant_get_child_value(client_wait_signal(client, "EpisodeEnded"), 1);
        g_assert_true(g_variant_lookup(episode, "Outcome", "&s", &outcome));
        g_assert_cmpstr(outcome, ==, "recovered");

        client_wait_property(client, "State", "'idle'");
        history = client_history(client, "State");
        g_assert_true(g_str_has_prefix(history, "busy syncing recovery"));
}

/* Without CountWaiting it is reported that it waits, and no sync is made. With it, it is stuck like others.
 */
static void test_waiting_worker(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = NULL, *root = NULL;
        g_autoptr(GVariant) waiting = NULL;
        StuckWorker stuck;

        client = begin(fixture, WAITING_CONFIG, &stuck);
        fixture_wait_log(fixture, " not spinning but waiting for a disk or another program's sync");
        waiting = client_get(client, "WaitingCount");
        g_assert_cmpuint(g_variant_get_uint32(waiting), >=, 1);
        assert_property(client, "State", "'busy'");
        assert_property(client, "SyncCount", "uint64 0");
        g_assert_cmpuint(client_count_signals(client, "EpisodeStarted"), ==, 0);
        g_assert_cmpuint(client_count_signals(client, "SyncStarted"), ==, 0);

        root = client_new(fixture, UID_ROOT);
        client_set(root, "CountWaiting", g_variant_new_boolean(true));
        (void) client_wait_signal(client, "EpisodeStarted");
        (void) client_wait_signal(client, "SyncStarted");
        assert_property(client, "SyncCount", "uint64 1");

        stuck_worker_let_go(&stuck);
        (void) client_wait_signal(client, "EpisodeEnded");
        client_wait_property(client, "State", "'idle'");
}

/* All helpers of a daemon, also those that it does not have any more. */
static void add_helper_pidfds(const BusFixture *fixture, GArray *pidfds) {
        for (size_t i = 0; i < 2; i++) {
                g_autoptr(GArray) pids = fixture_helper_pids(fixture, i == 0 ? HELPER_SYNC : HELPER_SYNCFS);

                for (size_t j = 0; j < pids->len; j++) {
                        int fd = pidfd_open(g_array_index(pids, pid_t, j), 0);

                        g_assert_no_errno(fd);
                        g_array_append_val(pidfds, fd);
                }
        }
}

static void wait_ends(const BusFixture *fixture, GArray *pidfds) {
        for (size_t i = 0; i < pidfds->len; i++) {
                int pidfd = g_array_index(pidfds, int, i);

                pidfd_wait(pidfd, fixture->deadline_usec);
                g_assert_no_errno(close(pidfd));
        }
}

/* A helper that hangs for long: further stalls, a reload, a stop and a restart go on without it, each
 * filesystem that is not being synced can be unmounted, and in the end nothing is left. */
static void test_stop_in_hanging_sync(BusFixture *fixture, gconstpointer data) {
        g_autoptr(GArray) pidfds = g_array_new(false, false, sizeof(int));
        OwnDisk disk = own_disk_new();
        _cleanup_client_ Client *client = NULL;
        uint64_t begin_usec, stop_usec;
        g_autofree char *result = NULL;
        StuckWorker stuck;
        pid_t helper, hanging;

        client = begin(fixture, STUCK_CONFIG, &stuck);
        (void) client_wait_sync_started(client, THRESHOLD_USEC);
        helper = fixture_helper_pid(fixture, HELPER_SYNC);
        client_wait_sync_finished(client, "stalled");
        hanging = find_in_syncfs(fixture);
        g_assert_cmpint(hanging, >, 0);
        g_assert_true(is_in_sync(helper));

        /* No sync of it is under way. */
        result = filesystem_result(client, disk.folder);
        g_assert_cmpstr(result, ==, "ok");
        g_assert_no_errno(close(disk.fd));
        g_assert_no_errno(umount2(disk.folder, 0));
        g_assert_no_errno(rmdir(disk.folder));
        g_free(disk.folder);

        /* The next stall is detected, and synced for what does not hang; no other helper is sent behind
         * those. */
        (void) client_wait_sync_started(client, THRESHOLD_USEC);
        client_wait_sync_finished(client, "stalled");
        assert_property(client, "SyncCount", "uint64 2");
        g_assert_cmpint(find_in_syncfs(fixture), ==, hanging);
        g_assert_cmpint(fixture_helper_pid(fixture, HELPER_SYNC), ==, helper);
        fixture_reload_daemon(fixture);

        add_helper_pidfds(fixture, pidfds);
        begin_usec = usec_now(CLOCK_MONOTONIC);
        g_assert_no_errno(kill(fixture->daemon.pid, SIGTERM));
        pidfd_wait(fixture->daemon.pidfd, fixture->deadline_usec);
        stop_usec = usec_now(CLOCK_MONOTONIC) - begin_usec;

        /* The helpers hang on; a new daemon starts all the same, and syncs by helpers of its own. */
        g_assert_true(is_in_sync(helper));
        g_assert_true(is_in_syncfs(hanging));
        fixture_stop_daemon(fixture);
        client_wait_no_owner(client, BUS_NAME);
        fixture_start_daemon(fixture, "--proc-root", "/proc", NULL);
        g_free(client_wait_owner(client, BUS_NAME));
        (void) client_wait_sync_started(client, THRESHOLD_USEC);
        wait_in_sync(fixture_helper_pid(fixture, HELPER_SYNC), fixture->deadline_usec);
        g_assert_true(is_in_sync(helper));
        add_helper_pidfds(fixture, pidfds);

        stuck_worker_let_go(&stuck);
        (void) client_wait_signal(client, "SyncFinished");
        (void) client_wait_signal(client, "EpisodeEnded");
        fixture_stop_daemon(fixture);
        wait_ends(fixture, pidfds);

        g_test_message("ended %" G_GUINT64_FORMAT " us after SIGTERM", stop_usec);
        assert_promise(stop_usec, STOPS_WITHIN_USEC);
}

static void test_killed_test_releases(BusFixture *fixture, gconstpointer data) {
        StuckWorker stuck = {};
        int script_end[2];
        char byte;
        pid_t pid;

        g_assert_no_errno(pipe(script_end)); /* its other end must be inherited */
        pid = fork();
        g_assert_no_errno(pid);
        if (pid == 0) {
                /* A test that is killed while its worker is stuck. */
                stuck_worker_begin(&stuck, HOLD_SEC);
                (void) kill(getpid(), SIGKILL);
        }
        g_assert_no_errno(close(script_end[1]));

        /* Ends with the script, which has the other end through the test that died: it has released by then.
         */
        g_assert_cmpint(read(script_end[0], &byte, 1), ==, 0);
        g_assert_no_errno(waitpid(pid, NULL, 0));
        g_assert_cmpuint(stuck_worker_count_devices(), ==, 0);
        g_assert_no_errno(close(script_end[0]));
        sync(); /* would hang if anything were still frozen */
}

/* Nothing stays frozen when it is the script that dies: its guard releases. */
static void test_killed_script_releases(BusFixture *fixture, gconstpointer data) {
        StuckWorker stuck;

        stuck_worker_begin(&stuck, HOLD_SEC);
        g_assert_cmpuint(stuck_worker_count_devices(), >, 0);
        g_assert_no_errno(kill(stuck.pid, SIGKILL));

        stuck_worker_wait_line(&stuck, "released");
        g_assert_cmpuint(stuck_worker_count_devices(), ==, 0);
        g_assert_no_errno(close(stuck.stdin_fd));
        g_assert_no_errno(close(stuck.stdout_fd));
        g_assert_no_errno(waitpid(stuck.pid, NULL, 0));
}

int main(int argc, char **argv) {
        if (!fixture_isolate())
                return EXIT_SUCCESS;
        g_test_init(&argc, &argv, NULL);

        FIXTURE_TEST("/main-job/stuck-worker", test_stuck_worker);
        FIXTURE_TEST("/main-job/waiting-worker", test_waiting_worker);
        FIXTURE_TEST("/main-job/stop-in-hanging-sync", test_stop_in_hanging_sync);
        FIXTURE_TEST("/main-job/killed-test-releases", test_killed_test_releases);
        FIXTURE_TEST("/main-job/killed-script-releases", test_killed_script_releases);

        return g_test_run();
}
