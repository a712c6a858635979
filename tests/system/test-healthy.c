/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A healthy machine that really works, with its real kernel workers: nothing is detected. */

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "bus-fixture.h"

/* How long it is watched. */
#define HEALTHY_SEC 60

/* Light work for the disk: small files that are written, flushed and removed. */
static void make_light_io(const void *data) {
        static char block[1 << 20];

        for (;;) {
                FILE *file = tmpfile();

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
        Process io = process_fork(make_light_io, NULL);

        fixture->netlink = true;
        fixture_start_bus(fixture);
        client = client_new(fixture, UID_NOBODY);
        fixture_start_daemon(
                        fixture, "--proc-root", "/proc", "--process-glob", "kworker/*", "--runtime-threshold",
                        "2s", NULL);
        g_free(client_wait_owner(client, BUS_NAME));

        /* It is the time itself that is waited for: nothing must happen in it. */
        (void) g_timeout_add_seconds(HEALTHY_SEC, on_time_over, loop);
        g_main_loop_run(loop);

        g_assert_cmpint(waitpid(io.pid, NULL, WNOHANG), ==, 0);
        process_kill(&io, fixture->deadline_usec);
        assert_property(client, "SyncCount", "uint64 0");
        g_assert_cmpuint(client_count_signals(client, "EpisodeStarted"), ==, 0);
}

int main(int argc, char **argv) {
        if (!fixture_isolate())
                return EXIT_SUCCESS;
        g_test_init(&argc, &argv, NULL);

        FIXTURE_TEST("/healthy/machine", test_healthy_machine);
        return g_test_run();
}
