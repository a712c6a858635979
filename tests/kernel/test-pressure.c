/* SPDX-License-Identifier: GPL-3.0-or-later */

/* CPU pressure: the events of a socket that has the same ones, and the daemon with those of the kernel. */

#include "pressure.h"

#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>

#include "daemon-log.h"
#include "daemon.h"
#include "deadline.h"
#include "fake-proc.h"
#include "kernel-files.h"
#include "surroundings.h"

#define TIMEOUT_SEC 30

/* ---- one part alone ---- */

/* A socket reports data out of band as the kernel reports pressure: by EPOLLPRI. */
typedef struct Fixture {
        int ends[2]; /* the first is the pressure's */
        sd_event *event;
        Pressure *pressure;
        unsigned n_events;
} Fixture;

static void on_pressure(void *userdata) {
        Fixture *f = userdata;
        char byte;

        f->n_events++;
        g_assert_cmpint(recv(f->ends[0], &byte, 1, MSG_OOB), ==, 1);
}

static void set_up(Fixture *f, gconstpointer data) {
        g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, f->ends));
        g_assert_cmpint(sd_event_new(&f->event), >=, 0);
        g_assert_cmpint(pressure_new(f->event, f->ends[0], on_pressure, f, &f->pressure), ==, 0);
}

static void tear_down(Fixture *f, gconstpointer data) {
        pressure_free(f->pressure);
        sd_event_unref(f->event);
        (void) close(f->ends[1]);
}

static void send_event(const Fixture *f) {
        g_assert_cmpint(send(f->ends[1], "!", 1, MSG_OOB), ==, 1);
}

static void test_event(Fixture *f, gconstpointer data) {
        g_assert_cmpint(sd_event_run(f->event, 0), ==, 0);

        for (unsigned i = 1; i <= 2; i++) {
                send_event(f);
                g_assert_cmpint(sd_event_run(f->event, TIMEOUT_SEC * USEC_PER_SEC), >, 0);
                g_assert_cmpuint(f->n_events, ==, i);
        }
        g_assert_cmpint(sd_event_run(f->event, 0), ==, 0);
}

/* It wakes nobody, and is not lost. */
static void test_disabled(Fixture *f, gconstpointer data) {
        pressure_set_enabled(f->pressure, false);
        send_event(f);
        g_assert_cmpint(sd_event_run(f->event, 0), ==, 0);
        g_assert_cmpuint(f->n_events, ==, 0);

        pressure_set_enabled(f->pressure, true);
        g_assert_cmpint(sd_event_run(f->event, TIMEOUT_SEC * USEC_PER_SEC), >, 0);
        g_assert_cmpuint(f->n_events, ==, 1);
}

/* A trigger that the kernel has ended must not keep the event loop busy. */
static void test_ended(Fixture *f, gconstpointer data) {
        g_assert_no_errno(close(f->ends[1]));
        f->ends[1] = -EBADF;

        g_assert_cmpint(sd_event_run(f->event, TIMEOUT_SEC * USEC_PER_SEC), >, 0);
        g_assert_cmpint(sd_event_run(f->event, 0), ==, 0);
        g_assert_cmpuint(f->n_events, ==, 0);
        g_assert_cmpint(fcntl(f->ends[0], F_GETFD), <, 0);
        pressure_set_enabled(f->pressure, true);
        g_assert_cmpint(sd_event_run(f->event, 0), ==, 0);
}

/* Where the kernel has no trigger, and on what is no file of pressure. */
static void test_refused(void) {
        sd_event *event;
        Pressure *pressure = NULL;
        int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

        g_assert_no_errno(fd);
        g_assert_cmpint(sd_event_new(&event), >=, 0);
        g_assert_cmpint(pressure_new(event, -ENOENT, on_pressure, NULL, &pressure), ==, -EBADF);
        g_assert_cmpint(pressure_new(event, fd, on_pressure, NULL, &pressure), ==, -EPERM);
        g_assert_null(pressure);
        g_assert_cmpint(fcntl(fd, F_GETFD), <, 0);

        pressure_set_enabled(pressure, true);
        g_assert_null(pressure_free(pressure));
        sd_event_unref(event);
}

/* ---- the daemon ---- */

/* The next idle scan comes after more time than a test has. */
typedef struct Whole {
        char *folder;
        FakeProc proc;
        NotifySocket notify;
        DaemonLog log;
        Process daemon;
} Whole;

static void start(Whole *w) {
        const DaemonSettings settings = { .folder = w->folder,
                                          .bus_address = "",
                                          .state_directory = w->folder };
        g_autofree char *root = g_strdup_printf("--proc-root=%s", w->proc.root);
        const char *arguments[] = {
                "--no-bus", "--debug", "--config=/dev/null", "--idle-scan-interval=10min", root, NULL,
        };
        int fd;

        w->daemon = daemon_start(&settings, &w->notify, arguments, &fd);
        daemon_log_begin(&w->log, fd);
        notify_socket_wait(&w->notify, "READY=1", deadline_in_sec(TIMEOUT_SEC));
}

static void whole_set_up(Whole *w, gconstpointer data) {
        w->folder = g_dir_make_tmp("test-pressure-XXXXXX", NULL);
        g_assert_nonnull(w->folder);
        w->proc = fake_proc_new();
        w->notify = notify_socket_new(w->folder);
        daemon_log_init(&w->log);
}

static void whole_tear_down(Whole *w, gconstpointer data) {
        process_kill(&w->daemon, deadline_in_sec(TIMEOUT_SEC));
        daemon_log_end(&w->log);
        daemon_log_done(&w->log);
        notify_socket_done(&w->notify);
        fake_proc_done(&w->proc);
        (void) g_rmdir(w->folder);
        g_free(w->folder);
}

static void spin(const void *unused) {
        for (volatile unsigned i = 0;; i++)
                ;
}

/* Twice as many tasks as CPUs: on each CPU one waits at each time. */
static void test_early(Whole *w, gconstpointer data) {
        unsigned n = 2 * (unsigned) get_nprocs();
        g_autofree Process *spinning = g_new0(Process, n);
        _cleanup_close_ int fd = kernel_file_open(KERNEL_FILE_CPU_TRIGGER);

        if (fd < 0) {
                g_test_skip("this kernel, or this container, has no trigger of CPU pressure");
                return;
        }

        start(w);
        for (unsigned i = 0; i < n; i++)
                spinning[i] = process_fork(spin, NULL);
        daemon_log_wait(&w->log, "Scanning early: tasks wait for a CPU", deadline_in_sec(TIMEOUT_SEC));
        for (unsigned i = 0; i < n; i++)
                process_kill(&spinning[i], deadline_in_sec(TIMEOUT_SEC));
}

/* In a container. */
static void test_without(Whole *w, gconstpointer data) {
        int r = isolate(0);

        if (r < 0 || mount("none", "/proc/pressure", "tmpfs", 0, NULL) < 0) {
                g_test_skip("needs root, and a kernel that knows pressure");
                return;
        }

        start(w);
        daemon_log_wait(&w->log, "CPU pressure causes no scans", deadline_in_sec(TIMEOUT_SEC));
        g_assert_no_errno(umount("/proc/pressure"));
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

#define ADD(path, function) g_test_add(path, Fixture, NULL, set_up, function, tear_down)
        ADD("/pressure/event", test_event);
        ADD("/pressure/disabled", test_disabled);
        ADD("/pressure/ended", test_ended);
        g_test_add_func("/pressure/refused", test_refused);

#define ADD_WHOLE(path, function) g_test_add(path, Whole, NULL, whole_set_up, function, whole_tear_down)
        ADD_WHOLE("/pressure/daemon/early", test_early);
        ADD_WHOLE("/pressure/daemon/without", test_without);

        return g_test_run();
}
