/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What wbctl does while the bus, the daemon, polkit, the disk or all of them hang: each verb that reads ends
 * in the time that is promised, with the documented exit status, and says what does not answer. */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "bus-fixture.h"
#include "deadline.h"
#include "own-disk.h"

typedef enum Hang {
        HANG_NOTHING,
        HANG_BUS,
        HANG_DAEMON,
        HANG_POLKIT,
        HANG_DISK,
        HANG_ALL,
        _HANG_MAX,
} Hang;

static const struct {
        const char *arguments;
        unsigned limit_sec;
        int statuses[_HANG_MAX];
        bool is_doctor; /* other exit statuses: 0 here means that everything answers */
} verbs[] = {
        /*                        nothing, bus, daemon, polkit, disk, all */
        { "health", 2, { 0, 2, 2, 0, 0, 2 } },
        { "health --nagios", 2, { 0, 3, 3, 0, 0, 3 } },
        { "health --alive", 2, { 0, 2, 1, 0, 0, 2 } },
        { "status", 2, { 0, 4, 1, 0, 0, 4 } },
        { "--json status", 2, { 0, 4, 1, 0, 0, 4 } },
        { "list", 2, { 0, 4, 1, 0, 0, 4 } },
        { "episodes", 2, { 0, 4, 1, 0, 0, 4 } },
        { "inhibitors", 2, { 0, 4, 1, 0, 0, 4 } },
        { "metrics", 2, { 0 } }, /* wbwatch_up says it */
        /* To observe less does not change the time of the answers. */
        { "doctor --observe=0", 5, { 0, 4, 1, 0, 0, 4 }, true },
};

typedef struct Run {
        Process process;
        int stdout_fd, stderr_fd;
        gint64 deadline_usec;
} Run;

static Run run_start(const BusFixture *fixture, const char *arguments, unsigned limit_sec) {
        g_autofree char *line = g_strdup_printf("%s %s", g_getenv("WBCTL"), arguments);
        g_auto(GStrv) words = g_strsplit(line, " ", -1), environment = g_get_environ();
        ProcessSettings settings = {};
        Run run = { .deadline_usec = g_get_monotonic_time() + (gint64) limit_sec * G_USEC_PER_SEC };

        environment = g_environ_setenv(environment, "DBUS_SYSTEM_BUS_ADDRESS", fixture->bus_address, true);
        settings.environment = g_environ_setenv(g_steal_pointer(&environment), "LC_ALL", "C.UTF-8", true);
        run.process = process_start((const char *const *) words, &settings, &run.stdout_fd, &run.stderr_fd);
        g_strfreev(settings.environment);
        return run;
}

/* Appends everything up to the end. */
static void read_output(GString *text, int fd) {
        char buffer[4096];
        ssize_t n;

        while ((n = read(fd, buffer, sizeof(buffer))) > 0)
                g_string_append_len(text, buffer, n);
        g_assert_no_errno(n);
        (void) close(fd);
}

static void assert_status(int status, int expected, bool is_doctor) {
        g_assert_true(WIFEXITED(status));
        if (is_doctor) /* a verdict */
                g_assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 2 ||
                              WEXITSTATUS(status) == 3);
        else
                g_assert_cmpint(WEXITSTATUS(status), ==, expected);
}

static void run_check(Run *run, const char *arguments, int expected, bool is_doctor) {
        g_autoptr(GString) text = g_string_new(NULL);
        int status = process_wait_end(&run->process, run->deadline_usec);

        read_output(text, run->stdout_fd);
        if (expected == 0 || is_doctor)
                g_assert_cmpuint(text->len, >, 0);
        read_output(text, run->stderr_fd);
        g_test_message("wbctl %s: %d, %s", arguments, status, text->str);
        assert_status(status, expected, is_doctor);
        g_assert_true(g_regex_match_simple("(does|did) not answer", text->str, 0, 0) == (expected != 0));
}

/* All at once. They inherit the priority: the promise is not about a busy machine. */
static void check_verbs(BusFixture *fixture, Hang hang) {
        Run runs[ELEMENTSOF(verbs)];

        process_set_realtime(getpid(), true);
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                runs[i] = run_start(fixture, verbs[i].arguments, verbs[i].limit_sec);
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                run_check(&runs[i], verbs[i].arguments, verbs[i].statuses[hang], verbs[i].is_doctor);
        process_set_realtime(getpid(), false);
}

/* The whole takes twice the timeout at most: for the parts, and for the file. */
static void check_report(const BusFixture *fixture) {
        g_autofree char *arguments =
                        g_strdup_printf("report --timeout=2 -o %s/report.tar.xz", fixture->folder);
        Run run = run_start(fixture, arguments, 4);

        run_check(&run, arguments, 0, false);
}

/* A signal stops the threads of a process one after the other. */
static bool all_threads_stopped(pid_t pid) {
        g_autofree char *folder = g_strdup_printf("/proc/%d/task", (int) pid);
        g_autoptr(GDir) threads = g_dir_open(folder, 0, NULL);
        const char *thread;

        g_assert_nonnull(threads);
        while ((thread = g_dir_read_name(threads))) {
                g_autofree char *text = process_text(atoi(thread), "stat");

                if (text && !strstr(text, ") T "))
                        return false;
        }
        return true;
}

static void stop_or_continue(BusFixture *fixture, Hang hang, pid_t polkitd, int sig) {
        const struct {
                Hang hang;
                pid_t pid;
        } processes[] = {
                { HANG_POLKIT, polkitd },
                { HANG_BUS, fixture->bus.pid },
                { HANG_DAEMON, fixture->daemon.pid },
        };

        for (size_t i = 0; i < ELEMENTSOF(processes); i++) {
                if (hang != processes[i].hang && hang != HANG_ALL)
                        continue;
                g_assert_no_errno(kill(processes[i].pid, sig));
                while (sig == SIGSTOP && !all_threads_stopped(processes[i].pid))
                        g_usleep(USEC_PER_MSEC);
        }
}

/* What a verb that changes something says while wbwatchd does not answer, and its output once it does. */
typedef struct Change {
        const char *arguments, *words, *out;
        Run run;
} Change;

/* Reads stderr until it has these words. */
static void wait_for_words(const Run *run, const char *words) {
        g_autoptr(GString) text = g_string_new(NULL);

        while (!strstr(text->str, words)) {
                struct pollfd end = { .fd = run->stderr_fd, .events = POLLIN };
                char buffer[4096];
                ssize_t n;

                g_assert_cmpint(poll(&end, 1, deadline_msec_left(run->deadline_usec)), ==, 1);
                n = read(run->stderr_fd, buffer, sizeof(buffer));
                g_assert_cmpint(n, >, 0);
                g_string_append_len(text, buffer, n);
        }
}

static void finish_change(Change *change) {
        g_autoptr(GString) out = g_string_new(NULL);

        g_assert_cmpint(process_wait_end(&change->run.process, change->run.deadline_usec), ==, 0);
        read_output(out, change->run.stdout_fd);
        g_test_message("wbctl %s: %s", change->arguments, out->str);
        g_assert_true(g_str_has_prefix(out->str, change->out));
        (void) close(change->run.stderr_fd);
}

/* A change does not wait for the settings before it, which a daemon that hangs cannot say. It reaches the
 * daemon once that continues. */
static void check_changes(BusFixture *fixture) {
        Change changes[] = {
                { "set --runtime ThresholdSec=20s", "does not answer. The change is sent",
                  "ThresholdSec=20s  bus\nThis lasts" },
                { "reset CrowdSize", "does not answer. The change is sent", "CrowdSize=4  built-in\n" },
                { "pause --until-resume", "still waiting, for up to 6min", "Paused until `wbctl resume`" },
        };

        stop_or_continue(fixture, HANG_DAEMON, 0, SIGSTOP);
        for (size_t i = 0; i < ELEMENTSOF(changes); i++)
                changes[i].run = run_start(fixture, changes[i].arguments, 20);
        for (size_t i = 0; i < ELEMENTSOF(changes); i++)
                wait_for_words(&changes[i].run, changes[i].words);
        stop_or_continue(fixture, HANG_DAEMON, 0, SIGCONT);
        for (size_t i = 0; i < ELEMENTSOF(changes); i++)
                finish_change(changes + i);
}

static void test_changes(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *root = NULL;

        fixture_start_bus(fixture);
        root = client_new(fixture, UID_ROOT);
        fixture_start_daemon(fixture, NULL);
        g_free(client_wait_owner(root, BUS_NAME));
        check_changes(fixture);
        fixture_stop_daemon(fixture);
}

/* On the inner disk, which then cannot be synced. */
static void write_to(const OwnDisk *disk) {
        g_autofree char *path = g_build_filename(disk->folder, "file", NULL);
        g_autofree char *data = g_strnfill(1 << 20, 'x');
        g_autoptr(GError) error = NULL;

        g_file_set_contents_full(path, data, 1 << 20, G_FILE_SET_CONTENTS_NONE, 0600, &error);
        g_assert_no_error(error);
}

static void test_hang(BusFixture *fixture, gconstpointer data) {
        Hang hang = (Hang) GPOINTER_TO_INT(data);
        bool disk_hangs = hang == HANG_DISK || hang == HANG_ALL;
        OwnDisk outer = own_disk_new(), inner = own_disk_new_on(&outer);
        _cleanup_client_ Client *root = NULL, *nobody = NULL;
        guint32 serial = 0;
        pid_t polkitd;

        fixture_write_config(fixture, "[Watch]\nSyncMethod=sync\n");
        fixture_start_bus(fixture);
        fixture_start_polkit(fixture, NULL);
        root = client_new(fixture, UID_ROOT);
        nobody = client_new(fixture, UID_NOBODY);
        fixture_start_daemon(fixture, NULL);
        g_free(client_wait_owner(root, BUS_NAME));
        g_free(client_wait_owner(nobody, BUS_NAME));
        /* Not the process of the fixture, which started it. */
        polkitd = client_pid_of(root, POLKIT_NAME);

        if (disk_hangs) {
                write_to(&inner);
                own_disk_freeze(&outer);
                (void) client_send_method(root, "ForceSync", NULL);
                client_wait_property(root, "State", "'syncing'");
        }
        stop_or_continue(fixture, hang, polkitd, SIGSTOP);
        if (hang == HANG_POLKIT)
                serial = client_send_method(nobody, "Pause", NULL);
        check_verbs(fixture, hang);
        if (hang == HANG_ALL)
                check_report(fixture);
        if (hang == HANG_POLKIT)
                g_assert_false(client_has_reply(nobody, serial)); /* it really hung */
        stop_or_continue(fixture, hang, polkitd, SIGCONT);

        if (disk_hangs) {
                assert_property(root, "State", "'syncing'"); /* and so did it */
                own_disk_thaw(&outer);
                client_wait_sync_finished(root, "ok");
        }
        fixture_stop_daemon(fixture);
        own_disk_done(&inner);
        own_disk_done(&outer);
}

int main(int argc, char **argv) {
        static const char *const names[_HANG_MAX] = {
                "/hangs/nothing", "/hangs/bus", "/hangs/daemon", "/hangs/polkit", "/hangs/disk", "/hangs/all",
        };

        if (!fixture_isolate())
                return EXIT_SUCCESS;
        g_test_init(&argc, &argv, NULL);

        for (Hang hang = 0; hang < _HANG_MAX; hang++)
                g_test_add(names[hang], BusFixture, GINT_TO_POINTER(hang), fixture_set_up, test_hang,
                           fixture_tear_down);
        FIXTURE_TEST("/hangs/changes", test_changes);
        return g_test_run();
}
