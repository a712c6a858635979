/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A private bus with polkitd and the daemon: see bus-fixture.h. */

#include "bus-fixture.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "deadline.h"
#include "polkit.h"
#include "private-bus.h"

/* The kernel sends thread creation events in the host's network namespace only. */
static int host_network_fd = -EBADF;

/* ---- the surroundings ---- */

/* Mounts a copy with additional lines over a system file, in our mount namespace only. */
static void extend_file(const char *path, const char *lines) {
        g_autofree char *text = NULL, *longer = NULL, *name = g_path_get_basename(path);
        g_autofree char *copy = g_build_filename(g_get_tmp_dir(), name, NULL);

        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        longer = g_strconcat(text, lines, NULL);
        g_assert_true(g_file_set_contents(copy, longer, -1, NULL));
        g_assert_cmpint(chmod(copy, 0644), ==, 0);
        g_assert_cmpint(mount(copy, path, NULL, MS_BIND, NULL), ==, 0);
}

bool fixture_isolate(void) {
        int r;

        if (geteuid() != 0) {
                puts("1..0 # SKIP needs root, for a bus with many users");
                return false;
        }

        host_network_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        r = host_network_fd < 0 ? -errno : isolate(CLONE_NEWNET);
        if (r < 0) {
                printf("1..0 # SKIP needs namespaces: %s\n", g_strerror(-r));
                return false;
        }
        (void) umask(0022);

        /* Our policies name the user that the package creates. */
        if (!getpwnam("wbwatch")) {
                extend_file("/etc/passwd", "wbwatch:x:64123:64123::/:/usr/sbin/nologin\n");
                extend_file("/etc/group", "wbwatch:x:64123:\n");
        }

        return true;
}

/* ---- the bus and polkit ---- */

void fixture_start_bus(BusFixture *fixture) {
        fixture->bus = private_bus_start(fixture->folder, BUS_POLICY_SHIPPED, fixture->deadline_usec);
}

void fixture_start_silent_bus(BusFixture *fixture) {
        _cleanup_close_ int errors = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        _cleanup_close_ int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

        g_assert_cmpint(dup2(nowhere, STDERR_FILENO), ==, STDERR_FILENO);
        fixture_start_bus(fixture);
        g_assert_cmpint(dup2(errors, STDERR_FILENO), ==, STDERR_FILENO);
}

void fixture_start_bus_without_policy(BusFixture *fixture) {
        fixture->bus = private_bus_start(fixture->folder, BUS_POLICY_NONE, fixture->deadline_usec);
}

void fixture_install_policy(BusFixture *fixture) {
        _cleanup_client_ Client *client = client_new(fixture, UID_ROOT);

        private_bus_set_policy(fixture->folder, BUS_POLICY_SHIPPED);
        (void) reply_content(client_ask(client, DBUS_NAME, DBUS_PATH, DBUS_NAME, "ReloadConfig", NULL));
}

void fixture_stop_bus(BusFixture *fixture) {
        process_kill(&fixture->bus, fixture->deadline_usec);
}

void fixture_hold_bus(BusFixture *fixture, bool hold) {
        g_assert_cmpint(kill(fixture->bus.pid, hold ? SIGSTOP : SIGCONT), ==, 0);
}

void fixture_start_polkit(BusFixture *fixture, const char *rules) {
        fixture->polkit = polkit_start(fixture->folder, fixture->bus_address, rules);

        _cleanup_client_ Client *client = client_new(fixture, UID_ROOT);
        g_free(client_wait_owner(client, POLKIT_NAME));
}

void fixture_stop_polkit(BusFixture *fixture) {
        polkit_stop(&fixture->polkit, fixture->deadline_usec);
}

/* ---- the daemon ---- */

void fixture_wait_notify(BusFixture *fixture, const char *text) {
        notify_socket_wait(&fixture->notify, text, fixture->deadline_usec);
}

void fixture_wait_log(BusFixture *fixture, const char *text) {
        daemon_log_wait(&fixture->log, text, fixture->deadline_usec);
}

void fixture_start_daemon(BusFixture *fixture, ...) {
        g_autoptr(GPtrArray) arguments = g_ptr_array_new();
        const DaemonSettings settings = {
                .folder = fixture->folder,
                .wrapper = fixture->wrapper,
                .bus_address = fixture->bus_address,
                .state_directory = fixture->state_directory,
                .preload = fixture->preload,
                .uid = fixture->daemon_uid,
                .network_fd = fixture->netlink ? host_network_fd : 0,
        };
        const char *argument;
        va_list list;
        int log_fd;

        g_assert_true(g_mkdir(fixture->socket_folder, 0755) == 0 || errno == EEXIST);
        g_assert_cmpint(chown(fixture->socket_folder, fixture->daemon_uid, (gid_t) -1), ==, 0);

        g_ptr_array_add(arguments, (char *) "--socket-dir");
        g_ptr_array_add(arguments, fixture->socket_folder);
        g_ptr_array_add(arguments, (char *) "--proc-root");
        g_ptr_array_add(arguments, fixture->proc.root);
        g_ptr_array_add(arguments, (char *) "--config");
        g_ptr_array_add(arguments, fixture->config);
        va_start(list, fixture);
        while ((argument = va_arg(list, const char *)))
                g_ptr_array_add(arguments, (char *) argument);
        va_end(list);
        g_ptr_array_add(arguments, NULL);

        fixture->daemon = daemon_start(
                        &settings, &fixture->notify, (const char *const *) arguments->pdata, &log_fd);
        daemon_log_begin(&fixture->log, log_fd);
        fixture_wait_notify(fixture, "READY=1");
}

Client *fixture_start_for(BusFixture *fixture, const char *settings, uid_t uid) {
        Client *client;

        fixture_write_config(fixture, settings);
        if (fixture->bus.pid == 0)
                fixture_start_bus(fixture);
        client = client_new(fixture, uid);
        fixture_start_daemon(fixture, (char *) NULL);
        g_free(client_wait_owner(client, BUS_NAME));
        return client;
}

Client *fixture_start(BusFixture *fixture, const char *settings) {
        return fixture_start_for(fixture, settings, UID_ROOT);
}

void fixture_stop_daemon(BusFixture *fixture) {
        g_assert_cmpint(kill(fixture->daemon.pid, SIGTERM), ==, 0);
        g_assert_cmpint(process_wait_end(&fixture->daemon, fixture->deadline_usec), ==, 0);
        daemon_log_end(&fixture->log);
}

void fixture_kill_daemon(BusFixture *fixture) {
        process_kill(&fixture->daemon, fixture->deadline_usec);
        daemon_log_end(&fixture->log);
}

void fixture_reload_daemon(BusFixture *fixture) {
        notify_socket_drain(&fixture->notify);
        g_assert_cmpint(kill(fixture->daemon.pid, SIGHUP), ==, 0);
        fixture_wait_notify(fixture, "RELOADING=1");
        fixture_wait_notify(fixture, "READY=1");
}

void fixture_write_config(BusFixture *fixture, const char *text) {
        g_autoptr(GError) error = NULL;

        (void) g_file_set_contents_full(
                        fixture->config, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0644, &error);
        g_assert_no_error(error);
}

/* ---- its helpers ---- */

/* One that has ended may have a higher pid than its successor: pids begin anew. */
GArray *fixture_helper_pids(const BusFixture *fixture, const char *name) {
        GArray *pids = process_children(fixture->daemon.pid, name);

        for (guint i = pids->len; i-- > 0;)
                if (process_is_zombie(g_array_index(pids, pid_t, i)))
                        (void) g_array_remove_index(pids, i);
        return pids;
}

pid_t fixture_find_helper(const BusFixture *fixture, const char *name) {
        g_autoptr(GArray) pids = fixture_helper_pids(fixture, name);

        return pids->len > 0 ? g_array_index(pids, pid_t, pids->len - 1) : 0;
}

pid_t fixture_helper_pid(const BusFixture *fixture, const char *name) {
        pid_t pid = fixture_find_helper(fixture, name);

        if (pid == 0)
                g_error("the daemon has no child called %s", name);
        return pid;
}

void fixture_signal_helper(const BusFixture *fixture, const char *name, int sig) {
        g_autoptr(GArray) pids = fixture_helper_pids(fixture, name);

        if (pids->len == 0)
                g_error("the daemon has no child called %s", name);
        /* One signal may end others: the daemon ends the substitutes of a stopped helper. */
        for (guint i = 0; i < pids->len; i++)
                if (kill(g_array_index(pids, pid_t, i), sig) < 0)
                        g_assert_cmpint(errno, ==, ESRCH);
}

/* ---- its workers ---- */

void fixture_add_worker(BusFixture *fixture) {
        g_autofree char *pids = g_strdup_printf("%d ", WORKER_PID);

        fake_proc_put(&fixture->proc, &(FakeThread){
                                                      .pid = WORKER_PID,
                                                      .name = WORKER_NAME,
                                                      .flags = FLAGS_WORKER,
                                                      .start_time = WORKER_START_TIME,
                                                      .cpu_time = FAKE_PROC_CPU_TICKS,
                                                      .state = 'R',
                                      });
        fake_proc_list(&fixture->proc, pids);
}

void fixture_remove_worker(BusFixture *fixture) {
        g_autofree char *stat = g_strdup_printf("%d/stat", WORKER_PID);
        g_autofree char *comm = g_strdup_printf("%d/comm", WORKER_PID);

        fake_proc_list(&fixture->proc, "");
        fake_proc_remove(&fixture->proc, stat);
        fake_proc_remove(&fixture->proc, comm);
}

/* ---- set up and tear down ---- */

void fixture_set_up(BusFixture *fixture, gconstpointer data) {
        fixture->deadline_usec = deadline_in_sec(FIXTURE_TIMEOUT_SEC);

        fixture->folder = g_dir_make_tmp("wbwatch-bus-XXXXXX", NULL);
        g_assert_nonnull(fixture->folder);
        g_assert_cmpint(chmod(fixture->folder, 0755), ==, 0);

        fixture->bus_address = private_bus_address(fixture->folder);
        fixture->config = g_build_filename(fixture->folder, "wbwatch.conf", NULL);
        fixture->state_directory = g_build_filename(fixture->folder, "state", NULL);
        fixture->socket_folder = g_build_filename(fixture->folder, "sockets", NULL);
        fixture->notify = notify_socket_new(fixture->folder);
        fixture_write_config(fixture, "");
        daemon_log_init(&fixture->log);

        fixture->proc = fake_proc_new();
        g_assert_cmpint(chmod(fixture->proc.root, 0755), ==, 0);
}

/* The folders vanish with their filesystem, which is private to this program. */
void fixture_tear_down(BusFixture *fixture, gconstpointer data) {
        if (fixture->daemon.pid > 0)
                fixture_stop_daemon(fixture);
        fixture_stop_polkit(fixture);
        fixture_stop_bus(fixture);

        notify_socket_done(&fixture->notify);
        fake_proc_done(&fixture->proc);
        daemon_log_done(&fixture->log);
        g_free(fixture->state_directory);
        g_free(fixture->socket_folder);
        g_free(fixture->config);
        g_free(fixture->bus_address);
        g_free(fixture->folder);
}
