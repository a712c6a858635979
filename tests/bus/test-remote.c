/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * wbctl where the bus of this machine is not the way to wbwatchd: over ssh, in a container, and over the
 * sockets of wbwatchd. ssh is a script, which runs the real systemd-stdio-bridge on the bus of the test.
 */

#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "bus-fixture.h"
#include "deadline.h"

#define SETTINGS "[Watch]\nThresholdSec=1s\nSyncMethod=syncfs\n"

/* $BUS is the bus of the host, $FOLDER that of the test. */
#define BRIDGE "exec systemd-stdio-bridge -p \"$BUS\"\n"

/* What sshd does with a command: its words become a line for a shell. */
#define SHELL                                                                                                \
        "while [ \"$1\" != -- ]; do shift; done\n"                                                           \
        "shift 2\n"                                                                                          \
        "[ \"$1\" = systemd-stdio-bridge ] && " BRIDGE                                                       \
        "DBUS_SYSTEM_BUS_ADDRESS=$BUS exec sh -c \"exec $*\"\n"

static void write_program(BusFixture *fixture, const char *name, const char *script) {
        g_autofree char *path = g_build_filename(fixture->folder, name, NULL);
        g_autofree char *text = g_strdup_printf("#!/bin/sh\n%s", script);
        g_autoptr(GError) error = NULL;

        g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_NONE, 0755, &error);
        g_assert_no_error(error);
}

/* No bus of this machine; "unset": none is named. */
static char **make_environment(BusFixture *fixture, const char *address) {
        g_autofree char *path = g_strdup_printf("%s:%s", fixture->folder, g_getenv("PATH"));
        char **environment = g_get_environ();

        environment = g_environ_setenv(environment, "PATH", path, true);
        environment = g_environ_setenv(environment, "BUS", fixture->bus_address, true);
        environment = g_environ_setenv(environment, "FOLDER", fixture->folder, true);
        environment = g_environ_setenv(environment, "LC_ALL", "C.UTF-8", true);
        return address ? g_environ_setenv(environment, "DBUS_SYSTEM_BUS_ADDRESS", address, true)
                       : g_environ_unsetenv(environment, "DBUS_SYSTEM_BUS_ADDRESS");
}

#define NO_BUS "unix:path=/nonexistent/bus"

typedef struct Run {
        Process process;
        int stdout_fd, stderr_fd;
} Run;

static Run run_start(BusFixture *fixture, const char *address, uid_t uid, const char *arguments) {
        g_autofree char *line = g_strdup_printf("'%s' %s", g_getenv("WBCTL"), arguments);
        g_auto(GStrv) environment = make_environment(fixture, address), argv = NULL;
        const ProcessSettings settings = { .environment = environment, .uid = uid };
        g_autoptr(GError) error = NULL;
        Run run;

        g_shell_parse_argv(line, NULL, &argv, &error);
        g_assert_no_error(error);
        run.process = process_start((const char *const *) argv, &settings, &run.stdout_fd, &run.stderr_fd);
        return run;
}

static char *read_all(int fd) {
        GString *text = g_string_new(NULL);
        char buffer[4096];
        ssize_t n;

        while ((n = read(fd, buffer, sizeof(buffer))) > 0)
                g_string_append_len(text, buffer, n);
        (void) close(fd);
        return g_string_free(text, false);
}

/* Compares the exit status, and searches the output for texts. An empty text: there is no output. */
static void run_check(
                BusFixture *fixture,
                Run *run,
                const char *arguments,
                int expected,
                const char *out_part,
                const char *err_part) {
        g_autofree char *out = read_all(run->stdout_fd), *err = read_all(run->stderr_fd);
        int status = process_wait_end(&run->process, fixture->deadline_usec);

        g_test_message("wbctl %s: %d\n%s%s", arguments, status, out, err);
        g_assert_true(WIFEXITED(status));
        g_assert_cmpint(WEXITSTATUS(status), ==, expected);
        if (*out_part)
                g_assert_nonnull(strstr(out, out_part));
        else
                g_assert_cmpstr(out, ==, "");
        if (*err_part)
                g_assert_nonnull(strstr(err, err_part));
        else
                g_assert_cmpstr(err, ==, "");
}

/* The output of a run that succeeds, without messages. */
static char *run_wait_out(BusFixture *fixture, Run *run) {
        char *out = read_all(run->stdout_fd);
        g_autofree char *err = read_all(run->stderr_fd);

        g_test_message("%s%s", out, err);
        g_assert_cmpint(process_wait_end(&run->process, fixture->deadline_usec), ==, 0);
        g_assert_cmpstr(err, ==, "");
        return out;
}

typedef struct Case {
        const char *arguments;
        int status;
        const char *out, *err;
} Case;

static void check_cases(
                BusFixture *fixture,
                const char *address,
                uid_t uid,
                const char *options,
                const Case *cases,
                size_t n) {
        for (size_t i = 0; i < n; i++) {
                g_autofree char *arguments = g_strdup_printf("%s %s", options, cases[i].arguments);
                Run run = run_start(fixture, address, uid, arguments);

                run_check(fixture, &run, arguments, cases[i].status, cases[i].out, cases[i].err);
        }
}

/* What every destination answers. %s in the option: the destination. */
static const Case all_verbs[] = {
        { "list", 0, "No matching worker is running.\n", "" },
        { "get ThresholdSec", 0, "ThresholdSec=1s", "" },
        { "health", 0, "OK: ", "" },
        { "health --alive", 0, "OK: wbwatchd answers\n", "" },
        { "set --runtime ThresholdSec=2s", 0, "ThresholdSec=2s  bus\n  before: 1s ", "" },
        { "get ThresholdSec", 0, "ThresholdSec=2s", "" },
        { "reset --runtime", 0, "ThresholdSec=1s", "" },
        { "pause 1h", 0, "Paused until ", "" },
        { "--json sync", 0, "\"FilesystemResults\":", "" },
        { "resume", 0, "Resumed.\n", "" },
        { "sync", 0, "Synced in ", "" },
        { "sync --filesystem=/", 0, "Synced the filesystem of / in ", "" },
};

/* ssh */

/* Nothing in the output is about this machine. */
static void test_host(BusFixture *fixture, gconstpointer data) {
        static const Case cases[] = {
                { "status", 0, "Host: web1\n", "" },
                { "--json status", 0, "\"State\"", "" },
                { "episodes", 0, "No stall since wbwatchd started.\n",
                  "Only what wbwatchd on web1 has seen since its start" },
                { "--json episodes", 0, "[]", "the journal there is not read" },
                { "episodes 7", 1, "", "There is no stall \"7\"" },
                { "sync --filesystem=x", 2, "", "its path is empty, relative, or" },
                { "inhibitors", 0, "No inhibitor is held.\n", "" },
                { "status -n 5", 2, "", "--lines needs the journal" },
                { "episodes -b", 2, "", "--boot needs the journal" },
                { "episodes -D /var", 2, "", "--directory needs the journal" },
        };
        _cleanup_client_ Client *client = NULL;

        client = fixture_start(fixture, SETTINGS);
        write_program(fixture, "ssh", BRIDGE);
        check_cases(fixture, NO_BUS, UID_ROOT, "-H web1", cases, ELEMENTSOF(cases));
        check_cases(fixture, NO_BUS, UID_ROOT, "--host=web1", all_verbs, ELEMENTSOF(all_verbs));
        fixture_stop_daemon(fixture);
}

/* A table by which each kernel is free of a bug. */
#define TABLE "/run/kernels.conf"

static void write_table(void) {
        static const char text[] = "[Table]\nDate=2026-11-20\n"
                                   "[Fix made-up]\nIntroduced=999.0\nFixed=999.1\nNotAffected=*\n";
        g_autoptr(GError) error = NULL;

        g_file_set_contents(TABLE, text, -1, &error);
        g_assert_no_error(error);
}

/* Which bugs the kernel of this machine has says nothing about the host. */
static void test_host_metrics(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = NULL;
        g_autofree char *here = NULL, *there = NULL;
        Run run;

        client = fixture_start(fixture, SETTINGS);
        write_program(fixture, "ssh", BRIDGE);
        write_table();

        run = run_start(fixture, fixture->bus_address, UID_ROOT, "metrics --table=" TABLE);
        here = run_wait_out(fixture, &run);
        g_assert_nonnull(strstr(here, "wbwatch_up 1\n"));
        g_assert_nonnull(strstr(here, "wbwatch_kernel_fixed{fix=\"made-up\"} 1\n"));

        run = run_start(fixture, NO_BUS, UID_ROOT, "-H web1 metrics --table=" TABLE);
        there = run_wait_out(fixture, &run);
        g_assert_nonnull(strstr(there, "wbwatch_up 1\n"));
        g_assert_null(strstr(there, "wbwatch_kernel_fixed"));
        fixture_stop_daemon(fixture);
}

/* What ssh is called with: libsystemd splits the name. */
static void install_wbctl(BusFixture *fixture) {
        g_autofree char *path = g_build_filename(fixture->folder, "wbctl", NULL);

        g_assert_no_errno(symlink(g_getenv("WBCTL"), path));
}

/* doctor and report examine the host, by the wbctl there. */
static void test_host_examine(BusFixture *fixture, gconstpointer data) {
        static const Case cases[] = {
                { "--table=" TABLE " doctor --observe=0s", 0, "Not affected: the kernel does not have", "" },
                { "--json --table=" TABLE " doctor --observe=0s", 0, "\"Verdict\":\"not-affected\"", "" },
                { "doctor --observe=0s --root=/nonexistent", 3, "", "/nonexistent: no proc there" },
                { "doctor --observe=soon", 255, "", "--observe=soon" },
                { "report --names --output=/nonexistent/a", 1, "",
                  "Cannot write /nonexistent/a: No such file" },
        };
        static const Case container[] = {
                { "doctor", 255, "", "does not work for a container" },
                { "report", 2, "", "does not work for a container" },
        };
        static const Case missing[] = {
                { "doctor", 3, "", "web1 has no wbctl" },
                { "report -o -", 4, "", "web1 has no wbctl" },
                { "inhibit echo run", 4, "", "web1 has no wbctl" },
        };
        g_autofree char *path = g_build_filename(fixture->folder, "it's a report", NULL), *contents = NULL,
                        *out = NULL;
        g_autofree char *arguments = g_strdup_printf("-H web1 report --output=\"%s\"", path);
        _cleanup_client_ Client *client = NULL;
        gsize length;
        Run run;

        client = fixture_start(fixture, SETTINGS);
        write_table();
        write_program(fixture, "ssh", SHELL);
        check_cases(fixture, NO_BUS, UID_ROOT, "-H web1", missing, ELEMENTSOF(missing));
        install_wbctl(fixture);
        check_cases(fixture, NO_BUS, UID_ROOT, "-H web1", cases, ELEMENTSOF(cases));
        check_cases(fixture, NO_BUS, UID_ROOT, "-H web1/box", container, ELEMENTSOF(container));

        /* Whether a part of it is missing, and that is said, depends on the machine. */
        run = run_start(fixture, NO_BUS, UID_ROOT, arguments);
        out = read_all(run.stdout_fd);
        g_free(read_all(run.stderr_fd));
        g_assert_cmpint(process_wait_end(&run.process, fixture->deadline_usec), ==, 0);
        g_assert_nonnull(strstr(out, path));
        g_assert_true(g_file_get_contents(path, &contents, &length, NULL));
        g_assert_cmpuint(length, >, 6);
        g_assert_cmpmem(contents, 6,
                        "\xfd"
                        "7zXZ",
                        6);
        fixture_stop_daemon(fixture);
}

/* The shell there prints what it likes first: that spoils a report, which is not left behind. */
static void test_host_noise(BusFixture *fixture, gconstpointer data) {
        static const Case cases[] = {
                { "inhibit echo run", 0, "run\n", "" },
                { "report --output=-", 4, "", "web1 sent no whole report: " },
                { "report --output=/run/spoilt", 4, "", "Does the shell there print something?" },
        };
        _cleanup_client_ Client *client = NULL;

        client = fixture_start(fixture, SETTINGS);
        write_program(fixture, "ssh", "printf '\\033]0;title\\007\\0'\n" SHELL);
        install_wbctl(fixture);
        check_cases(fixture, NO_BUS, UID_ROOT, "-H web1", cases, ELEMENTSOF(cases));
        g_assert_false(g_file_test("/run/spoilt", G_FILE_TEST_EXISTS));
        fixture_stop_daemon(fixture);
}

/* The command runs here, the inhibitor is held there. */
static void test_host_inhibit(BusFixture *fixture, gconstpointer data) {
        static const Case cases[] = {
                { "inhibit echo run", 0, "run\n", "" },
                { "inhibit --who=backup --why=\"it's late; $HOME\" wbctl -H web1 inhibitors", 0,
                  "it's late; $HOME\n", "" },
                { "inhibit sh -c \"exit 7\"", 7, "", "" },
                { "inhibit /nonexistent", 127, "", "Cannot run /nonexistent" },
                { "inhibitors", 0, "No inhibitor is held.\n", "" },
        };
        _cleanup_client_ Client *client = NULL;

        client = fixture_start(fixture, SETTINGS);
        write_program(fixture, "ssh", SHELL);
        install_wbctl(fixture);
        check_cases(fixture, NO_BUS, UID_ROOT, "-H web1", cases, ELEMENTSOF(cases));
        check_cases(fixture, NO_BUS, UID_NOBODY, "-H web1",
                    &(Case){ "inhibit echo run", 5, "", "Not authorized" }, 1);
        fixture_stop_daemon(fixture);
}

static void test_host_arguments(BusFixture *fixture, gconstpointer data) {
        static const struct {
                const char *host, *arguments;
        } cases[] = {
                { "web1", "-xT -- web1 systemd-stdio-bridge" },
                { "admin@web1:2222", "-xT -p 2222 -- admin@web1 systemd-stdio-bridge" },
                { "web1/box", "-xT -- web1 systemd-stdio-bridge --machine=box" },
                { "admin@[::1]:22/box", "-xT -p 22 -- admin@::1 systemd-stdio-bridge --machine=box" },
        };
        g_autofree char *path = g_build_filename(fixture->folder, "arguments", NULL);
        _cleanup_client_ Client *client = NULL;

        client = fixture_start(fixture, SETTINGS);
        write_program(fixture, "ssh", "echo \"$*\" >\"$FOLDER/arguments\"\n" BRIDGE);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *arguments = g_strdup_printf("health -H %s", cases[i].host), *written = NULL;
                Run run = run_start(fixture, NO_BUS, UID_ROOT, arguments);

                run_check(fixture, &run, arguments, 0, "OK: ", "");
                g_assert_true(g_file_get_contents(path, &written, NULL, NULL));
                g_assert_cmpstr(g_strchomp(written), ==, cases[i].arguments);
        }
        fixture_stop_daemon(fixture);
}

#define SSH_OPTIONS "-xT -o ControlMaster=no -o ServerAliveInterval=15 "

/* The same for what runs wbctl there. */
static void test_host_words(BusFixture *fixture, gconstpointer data) {
        static const struct {
                Case run;
                const char *written;
        } cases[] = {
                { { "-H web1 report --sysrq -o -", 4, "", "web1 sent no whole report: 0 bytes" },
                  SSH_OPTIONS "-- web1 wbctl 'report' '--sysrq' '--output=-'\n" },
                { { "-H admin@[::1]:2222 --json doctor --timeout=90s --observe=\"1 s\"", 0, "", "" },
                  SSH_OPTIONS "-o ConnectTimeout=90 -p 2222 -- admin@::1 wbctl 'doctor' '--json' "
                              "'--observe=1 s' '--timeout=90s'\n" },
                { { "-H web1/box inhibit --who=it\\'s true", 4, "", "wbctl on web1/box ended too early" },
                  SSH_OPTIONS "-- web1 wbctl --machine=box 'inhibit' '--who=it'\\''s' '--why=' "
                              "'--no-ask-password' '--' 'sh' '-c' 'printf '\\''\\nwbctl: the inhibitor is "
                              "held\\n'\\'' && exec cat'\n" },
        };
        g_autofree char *path = g_build_filename(fixture->folder, "arguments", NULL);

        write_program(fixture, "ssh", "printf '%s\\n' \"$*\" >\"$FOLDER/arguments\"\n");
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *written = NULL;

                check_cases(fixture, NO_BUS, UID_ROOT, "", &cases[i].run, 1);
                g_assert_true(g_file_get_contents(path, &written, NULL, NULL));
                g_assert_cmpstr(written, ==, cases[i].written);
        }
}

/* Its own message is shown, and the one of wbctl names the host. */
static void test_host_fails(BusFixture *fixture, gconstpointer data) {
        static const Case cases[] = {
                { "status", 4, "", "No connection to the system bus of web1: " },
                { "list", 4, "", "ssh: connect to host web1 port 22: Connection refused\n" },
                { "monitor", 4, "", "web1" },
                { "pause", 4, "", "web1" },
                { "sync", 4, "", "web1" },
                { "episodes", 4, "", "web1" },
                { "health", 2, "UNKNOWN: no connection to the host or container\n", "Connection refused" },
                { "health --alive", 2, "UNKNOWN: no connection", "Connection refused" },
                { "doctor", 3, "", "ssh to web1, or wbctl there, failed" },
                { "report --output=-", 4, "", "ssh to web1, or wbctl there, failed" },
                { "inhibit echo run", 4, "", "ssh to web1, or wbctl there, failed" },
        };

        write_program(fixture, "ssh",
                      "echo 'ssh: connect to host web1 port 22: Connection refused' >&2; exit 255\n");
        check_cases(fixture, NO_BUS, UID_ROOT, "-H web1", cases, ELEMENTSOF(cases));
}

/* wbwatchd is missing there; or it is another user there. */
static void test_host_refuses(BusFixture *fixture, gconstpointer data) {
        static const Case missing[] = {
                { "status", 3, "", "wbwatchd is not running on web1 (" },
                { "list", 3, "", "Start it there with `systemctl start wbwatchd`" },
        };
        static const Case denied[] = {
                { "status", 0, "Host: web1\n", "" },
                { "pause", 5, "", "pause wbwatchd on web1" },
                { "sync", 5, "", "Connect as root (root@HOST)" },
        };
        _cleanup_client_ Client *client = NULL;

        fixture_start_bus(fixture);
        write_program(fixture, "ssh", BRIDGE);
        check_cases(fixture, NO_BUS, UID_ROOT, "-H web1", missing, ELEMENTSOF(missing));

        client = fixture_start(fixture, SETTINGS);
        write_program(fixture, "ssh",
                      "exec setpriv --reuid=65534 --regid=65534 --clear-groups "
                      "systemd-stdio-bridge -p \"$BUS\"\n");
        check_cases(fixture, NO_BUS, UID_ROOT, "-H web1", denied, ELEMENTSOF(denied));
        fixture_stop_daemon(fixture);
}

/* A pipe in the folder through which the test and ssh wait for each other. */
static int make_fifo(BusFixture *fixture, const char *name) {
        g_autofree char *path = g_build_filename(fixture->folder, name, NULL);
        int fd;

        g_assert_no_errno(mkfifo(path, 0600));
        fd = open(path, O_RDWR | O_CLOEXEC);
        g_assert_no_errno(fd);
        return fd;
}

/* ssh connects after more than the time in which wbctl gives up a bus that hangs: another wbctl shows that
 * this time has passed. */
static void test_host_slow(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = NULL;
        _cleanup_close_ int begun = -EBADF, go = -EBADF;
        g_autofree char *line = NULL;
        Run slow, bounded, local;

        client = fixture_start(fixture, SETTINGS);
        begun = make_fifo(fixture, "begun");
        go = make_fifo(fixture, "go");
        write_program(fixture, "ssh", "echo begun >\"$FOLDER/begun\"; read -r line <\"$FOLDER/go\"\n" BRIDGE);

        slow = run_start(fixture, NO_BUS, UID_ROOT, "-H web1 status");
        line = read_line(begun);
        g_assert_cmpstr(line, ==, "begun");

        bounded = run_start(fixture, NO_BUS, UID_ROOT, "-H web1 --timeout=100ms status");
        run_check(fixture, &bounded, "status", 4, "", "web1 did not answer in time.");
        fixture_hold_bus(fixture, true);
        local = run_start(fixture, fixture->bus_address, UID_ROOT, "get");
        run_check(fixture, &local, "get", 4, "", "does not answer");
        fixture_hold_bus(fixture, false);

        g_assert_cmpint(write(go, "go\n", 3), ==, 3);
        run_check(fixture, &slow, "-H web1 status", 0, "Host: web1\n", "");
        fixture_stop_daemon(fixture);
}

/* Reads from a terminal until this text; returns what came. */
static char *terminal_read_until(int fd, const char *text, gint64 deadline_usec) {
        GString *seen = g_string_new(NULL);

        while (!strstr(seen->str, text)) {
                struct pollfd ready = { .fd = fd, .events = POLLIN };
                char buffer[1024];
                ssize_t n;

                g_assert_cmpint(poll(&ready, 1, deadline_msec_left(deadline_usec)), ==, 1);
                n = read(fd, buffer, sizeof(buffer));
                g_assert_cmpint(n, >, 0);
                g_string_append_len(seen, buffer, n);
        }
        return g_string_free(seen, false);
}

static void exec_on_terminal(BusFixture *fixture, const char *const *arguments) {
        g_auto(GStrv) environment = make_environment(fixture, NO_BUS);

        execve(arguments[0], (char **) arguments, environment);
        _exit(127);
}

/* ssh asks on the terminal of wbctl, which does not take its input. */
static void test_host_password(BusFixture *fixture, gconstpointer data) {
        const char *arguments[] = { g_getenv("WBCTL"), "-H", "web1", "pause", NULL };
        g_autofree char *prompt = NULL, *rest = NULL;
        _cleanup_client_ Client *client = NULL;
        _cleanup_close_ int fd = -EBADF;
        int status;
        pid_t pid;

        client = fixture_start(fixture, SETTINGS);
        write_program(fixture, "ssh",
                      "printf \"admin@web1's password: \" >/dev/tty; read -r word </dev/tty\n"
                      "[ \"$word\" = secret ] || exit 255\n" BRIDGE);
        pid = forkpty(&fd, NULL, NULL, NULL);
        if (pid == 0)
                exec_on_terminal(fixture, arguments);
        g_assert_no_errno(pid);

        prompt = terminal_read_until(fd, "password: ", fixture->deadline_usec);
        g_assert_cmpint(write(fd, "secret\n", 7), ==, 7);
        rest = terminal_read_until(fd, "Paused until ", fixture->deadline_usec);
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_cmpint(status, ==, 0);
        fixture_stop_daemon(fixture);
}

/* monitor prints what happens there, and ends with the connection. */
static void test_host_monitor(BusFixture *fixture, gconstpointer data) {
        g_autofree char *pid_path = g_build_filename(fixture->folder, "pid", NULL), *text = NULL;
        g_autofree char *here = NULL, *changed = NULL;
        _cleanup_client_ Client *client = NULL;
        Run run;

        client = fixture_start(fixture, SETTINGS);
        write_program(fixture, "ssh", "echo $$ >\"$FOLDER/pid\"\n" BRIDGE);
        run = run_start(fixture, NO_BUS, UID_ROOT, "-H web1 monitor");
        here = read_line_with(run.stdout_fd, "here     wbwatchd ");
        (void) client_call(client, "Pause", NULL);
        changed = read_line_with(run.stdout_fd, "PausedUntilUSec=");

        g_assert_true(g_file_get_contents(pid_path, &text, NULL, NULL));
        g_assert_no_errno(kill((pid_t) atoi(text), SIGKILL));
        g_free(read_all(run.stdout_fd));
        run.stdout_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        run_check(fixture, &run, "-H web1 monitor", 4, "", "Lost the connection to web1: cannot follow");
        fixture_stop_daemon(fixture);
}

/* The inhibitor ends with wbctl, however that ends; and the command does not end with the connection. */
static void test_host_inhibit_lost(BusFixture *fixture, gconstpointer data) {
        g_autofree char *pid_path = g_build_filename(fixture->folder, "pid", NULL), *text = NULL;
        g_autofree char *go_path = g_build_filename(fixture->folder, "go", NULL), *lost = NULL;
        g_autofree char *arguments = g_strdup_printf(
                        "-H web1 inhibit sh -c \"exec 3<%s; echo run; exec cat <&3\"", go_path);
        _cleanup_client_ Client *client = NULL;
        _cleanup_close_ int go = -EBADF;
        Run killed, cut;

        client = fixture_start(fixture, SETTINGS);
        write_program(fixture, "ssh", "echo $$ >\"$FOLDER/pid\"\n" SHELL);
        install_wbctl(fixture);
        go = make_fifo(fixture, "go");

        killed = run_start(fixture, NO_BUS, UID_ROOT, arguments);
        g_free(read_line_with(killed.stdout_fd, "run"));
        client_wait_property(client, "State", "'paused'");
        process_kill(&killed.process, fixture->deadline_usec);
        client_wait_property(client, "State", "'idle'");

        cut = run_start(fixture, NO_BUS, UID_ROOT, arguments);
        g_free(read_line_with(cut.stdout_fd, "run"));
        g_assert_true(g_file_get_contents(pid_path, &text, NULL, NULL));
        g_assert_no_errno(kill((pid_t) atoi(text), SIGHUP));
        lost = read_line_with(cut.stderr_fd, "Lost the connection to web1");
        client_wait_property(client, "State", "'idle'");
        closep(&go);
        go = -EBADF;
        run_check(fixture, &cut, arguments, 0, "", "");

        g_free(read_all(killed.stdout_fd));
        g_free(read_all(killed.stderr_fd));
        fixture_stop_daemon(fixture);
}

/* The bus that is used if none is named. */
#define DEFAULT_BUS "/run/dbus/system_bus_socket"

static void make_default_bus(BusFixture *fixture) {
        g_assert_no_errno(g_mkdir_with_parents("/run/dbus", 0755));
        g_assert_no_errno(symlink(fixture->bus_address + strlen("unix:path="), DEFAULT_BUS));
}

/* A container of this machine: the leader is this test, so that the bus of the container is the one that is
 * in the test's /run. */
static void test_machine(BusFixture *fixture, gconstpointer data) {
        static const Case cases[] = {
                { "-M box status", 0, "Container: box\n", "" },
                { "-M box episodes", 0, "No stall since wbwatchd started.\n", "in the container box" },
                /* It has the kernel of this machine. */
                { "-M box metrics --table=" TABLE, 0, "wbwatch_kernel_fixed{fix=\"made-up\"} 1\n", "" },
                { "-M box inhibit echo held", 0, "held\n", "" },
                { "-M box doctor", 255, "", "does not work for a container" },
                { "-M gone status", 4, "", "There is no running container gone" },
        };
        static const Case denied[] = { { "-M box status", 5, "", "Only root may enter the container box" } };
        g_autofree char *machine = g_strdup_printf("CLASS=container\nLEADER=%d\n", (int) getpid());
        _cleanup_client_ Client *client = NULL;
        g_autoptr(GError) error = NULL;

        client = fixture_start(fixture, SETTINGS);
        write_table();
        g_assert_no_errno(g_mkdir_with_parents("/run/systemd/machines", 0755));
        g_file_set_contents("/run/systemd/machines/box", machine, -1, &error);
        g_assert_no_error(error);
        g_assert_no_errno(g_mkdir_with_parents("/run/dbus", 0755));
        g_assert_no_errno(
                        symlink(fixture->bus_address + strlen("unix:path="), "/run/dbus/system_bus_socket"));

        check_cases(fixture, NO_BUS, UID_ROOT, "", cases, ELEMENTSOF(cases));
        check_cases(fixture, NO_BUS, UID_ROOT, "-M box", all_verbs, ELEMENTSOF(all_verbs));
        check_cases(fixture, NO_BUS, UID_NOBODY, "", denied, ELEMENTSOF(denied));
        g_assert_no_errno(unlink(DEFAULT_BUS));
        fixture_stop_daemon(fixture);
}

/* Sockets */

#define PRIVATE "/run/wbwatchd/private"
#define PUBLIC "/run/wbwatchd/public"

/* The daemon's sockets are where wbctl expects them. */
static void use_default_sockets(BusFixture *fixture) {
        g_free(fixture->socket_folder);
        fixture->socket_folder = g_strdup("/run/wbwatchd");
}

/* Reading over the public socket, and no more. */
static const Case public_verbs[] = {
        { "status", 0, "Socket: " PUBLIC "\n", "" },
        { "list", 0, "No matching worker is running.\n", "" },
        { "get ThresholdSec", 0, "ThresholdSec=1s", "" },
        { "health", 0, "OK: ", "" },
        { "--json episodes", 0, "[]", "journal" },
        { "pause", 5, "", "Run wbctl with sudo: root uses the socket private" },
        { "resume", 5, "", "Not authorized to resume wbwatchd (" },
        { "sync", 5, "", "Not authorized to sync (" },
        { "set ThresholdSec=2s", 5, "", "Not authorized to change the settings (" },
        { "reset", 5, "", "Not authorized to reset the settings (" },
};

static const Case private_status[] = { { "status", 0, "Socket: " PRIVATE "\n", "" } };

/* A socket that the user names is used, and nothing else. */
static void test_socket(BusFixture *fixture, gconstpointer data) {
        static const Case cases[] = {
                { "--socket=/nonexistent get", 3, "", "has no socket at /nonexistent: No such file" },
                { "--socket=/nonexistent health --alive", 1, "NOT OK: wbwatchd is not running", "" },
                { "--socket=" PUBLIC " sync", 5, "", "Run wbctl with sudo" },
        };
        static const Case denied[] = {
                { "get", 5, "", "Not authorized to use " PRIVATE },
                { "health --alive", 2, "UNKNOWN: not authorized", "" },
        };
        static const Case silent[] = {
                { "get", 1, "", "wbwatchd did not answer within" },
                { "health --alive", 1, "NOT OK: wbwatchd does not answer\n", "" },
                { "--timeout=200ms pause", 1, "", "did not answer in time: cannot pause" },
        };
        _cleanup_client_ Client *client = NULL;

        use_default_sockets(fixture);
        client = fixture_start(fixture, SETTINGS);
        check_cases(fixture, NO_BUS, UID_ROOT, "", cases, ELEMENTSOF(cases));
        check_cases(fixture, NO_BUS, UID_ROOT, "--socket=" PRIVATE, private_status, 1);
        check_cases(fixture, NO_BUS, UID_ROOT, "--socket=" PRIVATE, all_verbs, ELEMENTSOF(all_verbs));
        check_cases(fixture, NO_BUS, UID_NOBODY, "--socket=" PUBLIC, public_verbs, ELEMENTSOF(public_verbs));
        check_cases(fixture, NO_BUS, UID_NOBODY, "--socket=" PRIVATE, denied, ELEMENTSOF(denied));

        g_assert_no_errno(kill(fixture->daemon.pid, SIGSTOP));
        check_cases(fixture, NO_BUS, UID_ROOT, "--socket=" PRIVATE, silent, ELEMENTSOF(silent));
        g_assert_no_errno(kill(fixture->daemon.pid, SIGCONT));
        fixture_stop_daemon(fixture);
}

static void check_fallback(BusFixture *fixture) {
        check_cases(fixture, NULL, UID_ROOT, "", private_status, 1);
        check_cases(fixture, NULL, UID_ROOT, "", all_verbs, ELEMENTSOF(all_verbs));
        check_cases(fixture, NULL, UID_NOBODY, "", public_verbs, ELEMENTSOF(public_verbs));
}

/* The bus while it leads to the daemon; the sockets while it hangs, and when it is dead. */
static void test_fallback(BusFixture *fixture, gconstpointer data) {
        static const Case over_bus[] = {
                { "pause", 5, "", "polkit is not running" },
                { "get ThresholdSec", 0, "ThresholdSec=1s", "" },
        };
        static const Case named[] = { { "get", 4, "", "unset DBUS_SYSTEM_BUS_ADDRESS, or use --socket" } };
        static const Case nothing[] = {
                { "get", 4, "", "and no socket of wbwatchd in /run/wbwatchd.\n" },
                { "pause", 4, "", "In a container, mount the host's /run/wbwatchd." },
        };
        _cleanup_client_ Client *client = NULL;

        use_default_sockets(fixture);
        fixture_start_bus(fixture);
        make_default_bus(fixture);
        client = fixture_start(fixture, SETTINGS);
        check_cases(fixture, NULL, UID_NOBODY, "", over_bus, ELEMENTSOF(over_bus));

        fixture_hold_bus(fixture, true);
        check_cases(fixture, NULL, UID_ROOT, "", private_status, 1);
        check_cases(fixture, NULL, UID_ROOT, "", all_verbs + 7, 1);
        check_cases(fixture, NULL, UID_NOBODY, "", public_verbs, 1);
        fixture_hold_bus(fixture, false);

        fixture_stop_bus(fixture);
        check_fallback(fixture);
        check_cases(fixture, NO_BUS, UID_ROOT, "", named, ELEMENTSOF(named));
        fixture_stop_daemon(fixture);
        check_cases(fixture, NULL, UID_ROOT, "", nothing, ELEMENTSOF(nothing));
        g_assert_no_errno(unlink(DEFAULT_BUS));
}

/* There is a bus, and the daemon is not on it: in a pod, or while it has lost the bus. */
static void test_fallback_no_name(BusFixture *fixture, gconstpointer data) {
        static const Case stopped[] = { { "get", 3, "", "wbwatchd is not running (" } };

        use_default_sockets(fixture);
        fixture_write_config(fixture, SETTINGS);
        fixture_start_bus(fixture);
        make_default_bus(fixture);
        fixture_start_daemon(fixture, "--no-bus", NULL);
        check_cases(fixture, NULL, UID_ROOT, "", private_status, 1);
        check_cases(fixture, NULL, UID_NOBODY, "", public_verbs, 1);
        fixture_stop_daemon(fixture);
        check_cases(fixture, NULL, UID_ROOT, "", stopped, 1);
        g_assert_no_errno(unlink(DEFAULT_BUS));
}

static void wait_line(Run *run, const char *text) {
        g_autofree char *line = read_line_with(run->stdout_fd, text);

        g_assert_nonnull(strstr(line, text));
}

/* A socket that is named is not waited for; one that replaces the bus is. */
static void test_socket_monitor(BusFixture *fixture, gconstpointer data) {
        Run named, fallback;

        use_default_sockets(fixture);
        fixture_write_config(fixture, SETTINGS);
        fixture_start_daemon(fixture, "--no-bus", NULL);
        named = run_start(fixture, NULL, UID_NOBODY, "--socket=" PUBLIC " monitor");
        fallback = run_start(fixture, NULL, UID_ROOT, "monitor");
        wait_line(&named, "here     wbwatchd ");
        wait_line(&fallback, "here     wbwatchd ");
        check_cases(fixture, NULL, UID_ROOT, "", all_verbs + 7, 1); /* pause */
        wait_line(&named, "PausedUntilUSec=");
        wait_line(&fallback, "PausedUntilUSec=");

        fixture_stop_daemon(fixture);
        wait_line(&fallback, "gone     wbwatchd is not running");
        g_free(read_all(named.stdout_fd));
        named.stdout_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        run_check(fixture, &named, "monitor", 3, "", "Lost the connection to wbwatchd at " PUBLIC);

        fixture_start_daemon(fixture, "--no-bus", NULL);
        wait_line(&fallback, "here     wbwatchd ");
        process_kill(&fallback.process, fixture->deadline_usec);
        (void) close(fallback.stdout_fd);
        (void) close(fallback.stderr_fd);
        fixture_stop_daemon(fixture);
}

int main(int argc, char **argv) {
        g_assert_true(g_setenv("TZ", "UTC", true));
        if (!fixture_isolate())
                return 0;
        g_test_init(&argc, &argv, NULL);

        FIXTURE_TEST("/remote/host/verbs", test_host);
        FIXTURE_TEST("/remote/host/metrics", test_host_metrics);
        FIXTURE_TEST("/remote/host/examine", test_host_examine);
        FIXTURE_TEST("/remote/host/noise", test_host_noise);
        FIXTURE_TEST("/remote/host/inhibit", test_host_inhibit);
        FIXTURE_TEST("/remote/host/inhibit-lost", test_host_inhibit_lost);
        FIXTURE_TEST("/remote/host/arguments", test_host_arguments);
        FIXTURE_TEST("/remote/host/words", test_host_words);
        FIXTURE_TEST("/remote/host/fails", test_host_fails);
        FIXTURE_TEST("/remote/host/refuses", test_host_refuses);
        FIXTURE_TEST("/remote/host/slow", test_host_slow);
        FIXTURE_TEST("/remote/host/password", test_host_password);
        FIXTURE_TEST("/remote/host/monitor", test_host_monitor);
        FIXTURE_TEST("/remote/machine", test_machine);
        FIXTURE_TEST("/remote/socket/verbs", test_socket);
        FIXTURE_TEST("/remote/socket/monitor", test_socket_monitor);
        FIXTURE_TEST("/remote/fallback/bus-hangs-and-dies", test_fallback);
        FIXTURE_TEST("/remote/fallback/not-on-the-bus", test_fallback_no_name);
        return g_test_run();
}
