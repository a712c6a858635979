/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Messages to a service manager that does not read them. */

#include <glib.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "macro.h"
#include "notify.h"

#define FILLER "filler"
#define TIMEOUT_SEC 60

typedef struct Fixture {
        char *folder;
        char *path;
        int fd; /* the service manager's */
        sd_event *event;
} Fixture;

static void set_up(Fixture *f, gconstpointer data) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        f->folder = g_dir_make_tmp("test-notify-XXXXXX", NULL);
        f->path = g_build_filename(f->folder, "notify", NULL);
        g_assert_cmpuint(
                        g_strlcpy(address.sun_path, f->path, sizeof(address.sun_path)), <,
                        sizeof(address.sun_path));
        f->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        g_assert_no_errno(f->fd);
        g_assert_no_errno(bind(f->fd, (struct sockaddr *) &address, sizeof(address)));
        g_assert_cmpint(sd_event_new(&f->event), >=, 0);

        g_assert_true(g_setenv("NOTIFY_SOCKET", f->path, true));
        g_assert_cmpint(notify_open(), ==, 0);
}

static void tear_down(Fixture *f, gconstpointer data) {
        notify_close();
        sd_event_unref(f->event);
        g_assert_no_errno(close(f->fd));
        g_assert_no_errno(g_unlink(f->path));
        g_assert_no_errno(g_rmdir(f->folder));
        g_free(f->path);
        g_free(f->folder);
}

/* Until it takes no more. */
static void fill(void) {
        int r;

        while ((r = notify_send(FILLER)) >= 0)
                ;
        g_assert_cmpint(r, ==, -EAGAIN);
}

/* What is there of other messages than those of fill(), a line each; NULL: none. */
static char *drain(const Fixture *f) {
        g_autoptr(GString) found = g_string_new(NULL);
        char message[256];
        ssize_t n;

        while ((n = recv(f->fd, message, sizeof(message) - 1, MSG_DONTWAIT)) >= 0) {
                message[n] = '\0';
                if (!streq(message, FILLER))
                        g_string_append_printf(found, "%s%s", found->len > 0 ? "\n" : "", message);
        }
        return found->len > 0 ? g_strdup(found->str) : NULL;
}

static void run_until_readable(const Fixture *f) {
        struct pollfd readable = { .fd = f->fd, .events = POLLIN };
        gint64 deadline = g_get_monotonic_time() + TIMEOUT_SEC * G_USEC_PER_SEC;

        while (poll(&readable, 1, 0) == 0) {
                g_assert_cmpint(g_get_monotonic_time(), <, deadline);
                g_assert_cmpint(sd_event_run(f->event, USEC_PER_SEC), >=, 0);
        }
}

static void test_room(Fixture *f, gconstpointer data) {
        g_autofree char *message = NULL;

        notify_ready(f->event);
        message = drain(f);
        g_assert_cmpstr(message, ==, "READY=1");
}

/* Also when the first repetitions find it full, and once only. */
static void test_full(Fixture *f, gconstpointer data) {
        g_autofree char *message = NULL;

        fill();
        notify_ready(f->event);
        for (unsigned i = 0; i < 2; i++)
                g_assert_cmpint(sd_event_run(f->event, TIMEOUT_SEC * USEC_PER_SEC), >, 0);
        g_assert_null(drain(f));

        run_until_readable(f);
        message = drain(f);
        g_assert_cmpstr(message, ==, "READY=1");
        g_assert_cmpint(sd_event_run(f->event, USEC_PER_SEC), ==, 0);
        g_assert_null(drain(f));
}

/* The daemon with a full socket. */
static void test_daemon(Fixture *f, gconstpointer data) {
        const char *arguments[] = { g_getenv("WBWATCHD"), "--no-bus", "--debug", "--config=/dev/null", NULL };
        g_autoptr(GError) error = NULL;
        g_autofree char *message = NULL;
        char line[1024] = "";
        GPid pid;
        int log_fd, status;
        FILE *log;

        fill();
        (void) g_spawn_async_with_pipes(
                        NULL, (char **) arguments, NULL,
                        G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, &pid, NULL, NULL,
                        &log_fd, &error);
        g_assert_no_error(error);

        log = fdopen(log_fd, "r");
        g_assert_nonnull(log);
        while (!strstr(line, "does not accept READY=1"))
                g_assert_nonnull(fgets(line, sizeof(line), log));
        g_assert_null(drain(f));

        while (!message || !strstr(message, "READY=1")) {
                struct pollfd readable = { .fd = f->fd, .events = POLLIN };

                g_assert_cmpint(poll(&readable, 1, TIMEOUT_SEC * 1000), ==, 1);
                g_free(message);
                message = drain(f);
        }

        g_assert_no_errno(kill(pid, SIGTERM));
        g_assert_no_errno(waitpid(pid, &status, 0));
        g_assert_cmpint(status, ==, 0);
        (void) fclose(log);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add("/notify/room", Fixture, NULL, set_up, test_room, tear_down);
        g_test_add("/notify/full", Fixture, NULL, set_up, test_full, tear_down);
        g_test_add("/notify/daemon", Fixture, NULL, set_up, test_daemon, tear_down);

        return g_test_run();
}
