/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Inhibitors: how long one is held, whoever has copies of its descriptor and however they end; how many there
 * may be; what the daemon does meanwhile; and `wbctl inhibit`, which runs commands.
 */

#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "bus-fixture.h"
#include "inhibitors.h"
#include "log.h"
#include "report.h"
#include "run-wbctl.h"

#define SETTINGS                                                                                             \
        "[Watch]\nSyncMethod=sync\nThresholdSec=1s\nPollIntervalSec=100ms\nIdleScanIntervalSec=1s\n"         \
        "RecoverySec=0\nCountWaiting=yes\n"

#define NO_INHIBITORS "@aa{sv} []"

static guint32 send_inhibit(Client *client, const char *who, const char *why) {
        return client_send_method(client, "Inhibit", g_variant_new("(ss)", who, why));
}

/* The descriptor of a reply, of which the client then has no copy. */
static int take_descriptor(GDBusMessage *reply) {
        g_autofree gint *fds = NULL;
        gint n;

        g_assert_cmpstr(g_variant_get_type_string(reply_content(reply)), ==, "(h)");
        fds = g_unix_fd_list_steal_fds(g_dbus_message_get_unix_fd_list(reply), &n);
        g_assert_cmpint(n, ==, 1);
        return fds[0];
}

static int inhibit(Client *client, const char *who, const char *why) {
        return take_descriptor(client_wait_reply(client, send_inhibit(client, who, why)));
}

static size_t count_inhibitors(Client *client) {
        g_autoptr(GVariant) inhibitors = client_get(client, "Inhibitors");

        return g_variant_n_children(inhibitors);
}

static void wait_released(Client *client) {
        client_wait_property(client, "Inhibitors", NO_INHIBITORS);
}

/* ---- how long it is held ---- */

/* Asserts that there is one inhibitor with these values, held since now. */
static void assert_only(Client *client, const char *who, const char *why, guint64 before_usec) {
        g_autoptr(GVariant) inhibitors = client_get(client, "Inhibitors"), inhibitor = NULL;
        const char *found_who, *found_why;
        guint32 uid, pid;
        guint64 since_usec;

        g_assert_cmpuint(g_variant_n_children(inhibitors), ==, 1);
        inhibitor = g_variant_get_child_value(inhibitors, 0);
        g_assert_cmpuint(g_variant_n_children(inhibitor), ==, 5);
        g_assert_true(g_variant_lookup(inhibitor, "Who", "&s", &found_who));
        g_assert_true(g_variant_lookup(inhibitor, "Why", "&s", &found_why));
        g_assert_true(g_variant_lookup(inhibitor, "UID", "u", &uid));
        g_assert_true(g_variant_lookup(inhibitor, "PID", "u", &pid));
        g_assert_true(g_variant_lookup(inhibitor, "SinceUSec", "t", &since_usec));
        g_assert_cmpstr(found_who, ==, who);
        g_assert_cmpstr(found_why, ==, why);
        g_assert_cmpuint(uid, ==, 0);
        g_assert_cmpuint(pid, ==, (guint32) getpid());
        g_assert_cmpuint(since_usec, >=, before_usec);
        g_assert_cmpuint(since_usec, <=, (guint64) g_get_real_time());
}

static void test_held(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, SETTINGS);
        guint64 before_usec = (guint64) g_get_real_time();
        size_t from = client_count_messages(client);
        g_autofree char *changes = NULL, *history = NULL, *line = NULL;
        g_autoptr(GVariant) status = NULL;
        GDBusMessage *reply = client_wait_reply(client, send_inhibit(client, "bäckup", "nightly dump"));
        int fd = take_descriptor(reply), copy = dup(fd);

        changes = client_changes_between(client, from, client_index_of(client, reply));
        g_assert_cmpstr(changes, ==, "Inhibitors State StateSinceUSec");
        assert_property(client, "State", "'paused'");
        assert_property(client, "PausedUntilUSec", "uint64 0");
        status = client_get(client, "StatusText");
        g_assert_true(g_str_has_prefix(
                        g_variant_get_string(status, NULL),
                        "paused by 1 inhibitor, not syncing; no matching worker is running"));
        assert_only(client, "bäckup", "nightly dump", before_usec);
        line = g_strdup_printf("Inhibitor held: bäckup (nightly dump), uid 0, pid %d", (int) getpid());
        fixture_wait_log(fixture, line);

        /* Nobody can write into it. */
        g_assert_cmpint(write(fd, "x", 1), <, 0);

        g_assert_cmpint(close(fd), ==, 0);
        client_settle(client);
        g_assert_cmpuint(count_inhibitors(client), ==, 1);
        g_assert_cmpint(close(copy), ==, 0);
        wait_released(client);
        client_wait_property(client, "State", "'idle'");
        history = client_history(client, "State");
        g_assert_cmpstr(history, ==, "paused idle");
        fixture_wait_log(fixture, "Inhibitor released after");
}

static void wait_for_a_signal(const void *data) {
        (void) pause();
}

/* A process that is killed, with the last copy. */
static void test_killed(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, SETTINGS);
        int fd = inhibit(client, "killed", "");
        Process holder = process_fork(wait_for_a_signal, NULL);

        g_assert_cmpint(close(fd), ==, 0);
        client_settle(client);
        g_assert_cmpuint(count_inhibitors(client), ==, 1);
        process_kill(&holder, fixture->deadline_usec);
        wait_released(client);
}

static int send_descriptor(int socket, int fd) {
        char byte = 0;
        struct iovec data = { .iov_base = &byte, .iov_len = 1 };
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int))];
        } control = {};
        struct msghdr message = {
                .msg_iov = &data,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };

        control.header = (struct cmsghdr){
                .cmsg_len = CMSG_LEN(sizeof(int)),
                .cmsg_level = SOL_SOCKET,
                .cmsg_type = SCM_RIGHTS,
        };
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
        return sendmsg(socket, &message, 0) < 0 ? -errno : 0;
}

/* Also while it is on its way to another process, which may never receive it. */
static void test_passed_on(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, SETTINGS);
        int fd = inhibit(client, "passed on", ""), pair[2];

        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
        g_assert_cmpint(send_descriptor(pair[0], fd), ==, 0);
        g_assert_cmpint(close(fd), ==, 0);
        client_settle(client);
        g_assert_cmpuint(count_inhibitors(client), ==, 1);
        g_assert_cmpint(close(pair[0]), ==, 0);
        client_settle(client);
        g_assert_cmpuint(count_inhibitors(client), ==, 1);
        g_assert_cmpint(close(pair[1]), ==, 0);
        wait_released(client);
}

/* The end of the daemon is the end of the inhibitor, and whoever holds it sees that. */
static void test_daemon_ends(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, SETTINGS);
        int fd = inhibit(client, "left over", "");
        struct pollfd end = { .fd = fd, .events = POLLIN };
        g_autofree char *owner = NULL;

        g_assert_cmpint(poll(&end, 1, 0), ==, 0);
        fixture_kill_daemon(fixture);
        g_assert_cmpint(poll(&end, 1, FIXTURE_TIMEOUT_SEC * 1000), ==, 1);
        g_assert_cmpint(end.revents & POLLHUP, ==, POLLHUP);

        client_wait_no_owner(client, BUS_NAME);
        fixture_start_daemon(fixture, NULL);
        owner = client_wait_owner(client, BUS_NAME);
        g_assert_cmpuint(count_inhibitors(client), ==, 0);
        assert_property(client, "State", "'idle'");
        g_assert_cmpint(close(fd), ==, 0);
}

/* It does not depend on the bus. */
static void test_bus_ends(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, SETTINGS), *later = NULL;
        int fd = inhibit(client, "no bus", "");

        fixture_stop_bus(fixture);
        fixture_wait_log(fixture, "continuing without the bus");
        fixture_start_bus(fixture);
        later = client_new(fixture, UID_ROOT);
        g_free(client_wait_owner(later, BUS_NAME));
        g_assert_cmpuint(count_inhibitors(later), ==, 1);
        assert_property(later, "State", "'paused'");
        g_assert_cmpint(close(fd), ==, 0);
        wait_released(later);
}

/* ---- what may be held ---- */

static void test_bounds(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, SETTINGS);
        int fds[INHIBITORS_MAX];

        for (size_t i = 0; i < INHIBITORS_MAX; i++)
                fds[i] = inhibit(client, "one of many", "");
        g_assert_cmpuint(count_inhibitors(client), ==, INHIBITORS_MAX);
        client_call_fails(
                        client, "Inhibit", g_variant_new("(ss)", "x", ""), ERROR_LIMITS_EXCEEDED,
                        "at most 64");
        assert_property(client, "State", "'paused'");

        /* Any of them makes room. */
        g_assert_cmpint(close(fds[30]), ==, 0);
        fixture_wait_log(fixture, "still held: 63");
        fds[30] = inhibit(client, "the last", "");
        for (size_t i = 0; i < INHIBITORS_MAX; i++)
                g_assert_cmpint(close(fds[i]), ==, 0);
        wait_released(client);
}

/* The share of a user, which leaves room for others. */
static void test_share(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, SETTINGS),
                                *nobody = client_new(fixture, UID_NOBODY);
        g_autoptr(GVariant) inhibitors = NULL, first = NULL;
        int fds[INHIBITORS_PER_USER_MAX], fd;
        guint32 uid;

        fixture_start_polkit(fixture, "polkit.addRule(function() { return polkit.Result.YES; });");
        for (size_t i = 0; i < INHIBITORS_PER_USER_MAX; i++)
                fds[i] = inhibit(nobody, "nobody's", "");
        client_call_fails(
                        nobody, "Inhibit", g_variant_new("(ss)", "x", ""), ERROR_LIMITS_EXCEEDED,
                        "at most 16");
        fd = inhibit(client, "root's", "");
        inhibitors = client_get(client, "Inhibitors");
        g_assert_cmpuint(g_variant_n_children(inhibitors), ==, INHIBITORS_PER_USER_MAX + 1);
        first = g_variant_get_child_value(inhibitors, 0);
        g_assert_true(g_variant_lookup(first, "UID", "u", &uid));
        g_assert_cmpuint(uid, ==, UID_NOBODY);

        g_assert_cmpint(close(fd), ==, 0);
        for (size_t i = 0; i < INHIBITORS_PER_USER_MAX; i++)
                g_assert_cmpint(close(fds[i]), ==, 0);
        wait_released(client);
}

static void test_arguments(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, SETTINGS);
        g_autofree char *longest = g_strnfill(255, 'x'), *too_long = g_strnfill(256, 'x');
        const struct {
                const char *who, *why, *error;
        } refused[] = {
                { "", "why", "who: must not be empty" },
                { too_long, "why", "who: its length of 256 bytes exceeds the maximum of 255" },
                { "who", too_long, "why: its length of 256 bytes exceeds the maximum of 255" },
                { "a\nb", "why", "who: a\\x0ab has a control character" },
                { "who", "\xc2\x85", "why: \\xc2\\x85 has a control character" },
                { "who", "\x1b[31m", "why: \\x1b[31m has a control character" },
        };
        int fd;

        for (size_t i = 0; i < ELEMENTSOF(refused); i++)
                client_call_fails(
                                client, "Inhibit", g_variant_new("(ss)", refused[i].who, refused[i].why),
                                ERROR_INVALID_ARGS, refused[i].error);
        client_call_fails(client, "Inhibit", g_variant_new("(s)", "who"), ERROR_INVALID_ARGS, "");
        g_assert_cmpuint(count_inhibitors(client), ==, 0);
        assert_property(client, "State", "'idle'");

        fd = inhibit(client, longest, longest);
        g_assert_cmpint(close(fd), ==, 0);
        wait_released(client);
}

/* Nobody would get the descriptor. */
static void test_no_reply(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, SETTINGS);
        g_autoptr(GDBusConnection) connection = NULL;
        g_autoptr(GDBusMessage) call = NULL;
        g_autoptr(GVariant) answer = NULL;
        g_autoptr(GError) error = NULL;

        connection = g_dbus_connection_new_for_address_sync(
                        fixture->bus_address,
                        G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                        G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
                        NULL, NULL, &error);
        g_assert_no_error(error);
        call = g_dbus_message_new_method_call(BUS_NAME, BUS_PATH, BUS_INTERFACE, "Inhibit");
        g_dbus_message_set_body(call, g_variant_new("(ss)", "who", "why"));
        g_dbus_message_set_flags(call, G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED);
        (void) g_dbus_connection_send_message(connection, call, G_DBUS_SEND_MESSAGE_FLAGS_NONE, NULL, &error);
        g_assert_no_error(error);
        answer = g_dbus_connection_call_sync(
                        connection, BUS_NAME, BUS_PATH, PROPERTIES_INTERFACE, "GetAll",
                        g_variant_new("(s)", BUS_INTERFACE), NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, &error);
        g_assert_no_error(error);

        /* It would have come before the next one. */
        (void) close(inhibit(client, "other", ""));
        wait_released(client);
        g_mutex_lock(&fixture->log.lock);
        g_assert_null(strstr(fixture->log.text->str, "Inhibitor held: who"));
        g_mutex_unlock(&fixture->log.lock);
}

/* ---- what the daemon does meanwhile ---- */

static void test_episode(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, SETTINGS);
        int fd = inhibit(client, "benchmark", "");

        fixture_add_worker(fixture);
        (void) client_wait_signal(client, "EpisodeStarted");
        assert_property(client, "SyncCount", "uint64 0");
        assert_property(client, "State", "'paused'");

        (void) client_call(client, "ForceSync", NULL);
        client_wait_property(client, "State", "'paused'");
        assert_property(client, "SyncCount", "uint64 1");

        (void) client_wait_signal(client, "SyncStarted");
        g_assert_cmpint(close(fd), ==, 0);
        (void) client_wait_signal(client, "SyncStarted");
        fixture_remove_worker(fixture);
        client_wait_property(client, "State", "'idle'");
}

static void test_resume(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, SETTINGS);
        int fd = inhibit(client, "benchmark", "");

        (void) client_call(client, "Pause", NULL);
        assert_property(client, "PausedUntilUSec", "uint64 18446744073709551615");
        (void) client_call(client, "Resume", NULL);
        assert_property(client, "PausedUntilUSec", "uint64 0");
        assert_property(client, "State", "'paused'");
        g_assert_cmpuint(count_inhibitors(client), ==, 1);

        (void) client_call(client, "Pause", NULL);
        g_assert_cmpint(close(fd), ==, 0);
        wait_released(client);
        assert_property(client, "State", "'paused'");
}

static void ignore_release(void *userdata) {
}

/* The lines of the hourly reminder. */
static void test_reminder(void) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(inhibitors_freep) Inhibitors *inhibitors = NULL;
        Inhibitor inhibitor = { .who = "who", .why = "why", .uid = 7, .pid = 8, .since = moment_now() };
        EngineEvents events = { .n = 1 };
        g_autofree char *path = NULL, *text = NULL;
        int fd, saved, fds[7];

        g_assert_cmpint(sd_event_new(&event), >=, 0);
        g_assert_cmpint(inhibitors_new(event, ignore_release, NULL, &inhibitors), ==, 0);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                g_assert_cmpint(inhibitors_add(inhibitors, &inhibitor, &fds[i]), ==, 0);
        events.events[0] = (EngineEvent){ .type = EVENT_STILL_PAUSED, .usec = USEC_PER_HOUR, .count = 7 };

        fd = g_file_open_tmp("reminder-XXXXXX", &path, NULL);
        g_assert_cmpint(fd, >=, 0);
        saved = dup(STDERR_FILENO);
        g_assert_cmpint(dup2(fd, STDERR_FILENO), ==, STDERR_FILENO);
        report_events(&events);
        inhibitors_log_held(inhibitors);
        g_assert_cmpint(dup2(saved, STDERR_FILENO), ==, STDERR_FILENO);
        (void) close(saved);
        (void) close(fd);
        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        (void) unlink(path);

        if (!strstr(text, "Paused for 1h: no automatic sync until 7 inhibitors are released\n") ||
            !strstr(text, ": who (why), uid 7, pid 8\n") ||
            !strstr(text, "2 more inhibitors are held: see `wbctl inhibitors`\n"))
                g_error("not the reminder: %s", text);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                g_assert_cmpint(close(fds[i]), ==, 0);
}

/* ---- wbctl ---- */

/* Runs wbctl to its end. */
static int wbctl(BusFixture *fixture, const char *arguments, char **ret_stdout, char **ret_stderr) {
        g_autofree char *shown = g_strescape(arguments, NULL);
        int status = run_wbctl(arguments, fixture->bus_address, ret_stdout, ret_stderr);

        g_test_message("wbctl %s: %d\n%s%s", shown, status, *ret_stdout, *ret_stderr);
        return status;
}

static void assert_output(BusFixture *fixture, const char *arguments, const char *expected) {
        g_autofree char *out = NULL, *err = NULL;

        g_assert_cmpint(wbctl(fixture, arguments, &out, &err), ==, 0);
        g_assert_cmpstr(err, ==, "");
        if (!g_pattern_match_simple(expected, out))
                g_error("\"%s\" is not \"%s\"", out, expected);
}

static void test_command(BusFixture *fixture, gconstpointer data) {
        static const struct {
                const char *command;
                int status;
                const char *out, *err;
        } runs[] = {
                { "inhibit true", 0, "", "" },
                { "inhibit false", 1, "", "" },
                { "inhibit --who=me --why='a reason' sh -c 'exit 42'", 42, "", "" },
                { "inhibit --who me -- sh -c 'exit 3'", 3, "", "" },
                { "--no-ask-password inhibit -- true", 0, "", "" },
                /* Options behind the command are its own. */
                { "inhibit echo --json --who=x -- -n", 0, "--json --who=x -- -n\n", "" },
                { "inhibit sh -c 'kill -TERM $$'", 128 + SIGTERM, "", "" },
                { "inhibit sh -c 'kill -KILL $$'", 128 + SIGKILL, "", "" },
                { "inhibit /nonexistent/x", 127, "", "wbctl: Cannot run /nonexistent/x: No such file*" },
                { "inhibit /", 126, "", "wbctl: Cannot run /: Permission denied*" },
                /* It has no copy of the descriptor, nor of others that wbctl has. */
                { "inhibit sh -c 'for i in 3 4 5 6 7 8 9; do if (: >&$i) 2>&-; then echo $i; fi; done'", 0,
                  "", "" },
                { "inhibit sh -c 'kill -INT $$; echo not reached'", 128 + SIGINT, "", "" },
                { "inhibit", 2, "", "*argument is missing*" },
                { "inhibit --who=''  true", 1, "", "*who: must not be empty*" },
                { "inhibit --why='a\nb' true", 1, "", "*why: a\\x0ab has a control character*" },
                { "inhibit --who=\xff true", 2, "", "*value of --who is not valid UTF-8*" },
                { "--who=x status", 2, "", "*--who works with inhibit only, not with status*" },
                { "inhibitors x", 2, "", "*Unexpected argument*" },
        };
        _cleanup_client_ Client *client = fixture_start(fixture, SETTINGS);

        for (size_t i = 0; i < ELEMENTSOF(runs); i++) {
                g_autofree char *out = NULL, *err = NULL;

                g_assert_cmpint(wbctl(fixture, runs[i].command, &out, &err), ==, runs[i].status);
                g_assert_cmpstr(out, ==, runs[i].out);
                if (!g_pattern_match_simple(runs[i].err, err))
                        g_error("\"%s\" is not \"%s\"", err, runs[i].err);
        }
        wait_released(client);

        fixture_stop_daemon(fixture);
        {
                g_autofree char *out = NULL, *err = NULL;

                g_assert_cmpint(wbctl(fixture, "inhibit echo ran", &out, &err), ==, 3);
                g_assert_cmpstr(out, ==, "");
        }
}

/* What the others show while one is held; and without one. */
static void test_shown(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, SETTINGS);
        g_autofree char *brief = g_strdup_printf("backup (pid %d)", (int) getpid());
        g_autofree char *table = g_strdup_printf(
                        "WHO     UID  PID*SINCE*WHY\nbackup  0    %d*nightly dump\n", (int) getpid());
        g_autofree char *json =
                        g_strdup_printf("[{\"Who\":\"backup\",\"Why\":\"nightly dump\",\"UID\":0,\"PID\":%d,"
                                        "\"SinceUSec\":*}]\n",
                                        (int) getpid());
        g_autofree char *status =
                        g_strdup_printf("*Paused by 1 inhibitor: no automatic*Inhibited by  %s\n*", brief);
        g_autofree char *resumed = g_strdup_printf(
                        "Resumed, but there is still no automatic sync. It is inhibited by %s: see `wbctl "
                        "inhibitors`.\n",
                        brief);
        g_autofree char *doctor =
                        g_strdup_printf("\"Check\":\"inhibitors\",\"Result\":\"bad\",\"Evidence\":\"wbwatchd "
                                        "makes no automatic "
                                        "syncs, inhibited by %s\"",
                                        brief);
        g_autofree char *findings = NULL, *errors = NULL;
        int fd;

        assert_output(fixture, "inhibitors", "No inhibitor is held.\n");
        assert_output(fixture, "inhibitors --json", "[]\n");
        assert_output(fixture, "resume", "Resumed.\n");
        assert_output(fixture, "health", "OK: no stall\n");

        fd = inhibit(client, "backup", "nightly dump");
        assert_output(fixture, "inhibitors", table);
        assert_output(fixture, "inhibitors --json", json);
        assert_output(fixture, "status", status);
        assert_output(fixture, "health", "OK: no stall; paused\n");
        assert_output(fixture, "resume", resumed);
        assert_output(fixture, "resume --json", "");

        /* Its exit status depends on this machine. */
        (void) wbctl(fixture, "doctor --observe=0 --json", &findings, &errors);
        if (!strstr(findings, doctor))
                g_error("%s is not in %s", doctor, findings);
        g_assert_cmpint(close(fd), ==, 0);
        wait_released(client);
}

/* Starts wbctl in the background. */
static Process start_wbctl(BusFixture *fixture, const char *const *arguments, int *ret_out, int *ret_err) {
        g_auto(GStrv) environment = g_get_environ();
        ProcessSettings settings = {};

        environment = g_environ_setenv(environment, "DBUS_SYSTEM_BUS_ADDRESS", fixture->bus_address, true);
        settings.environment = environment;
        return process_start(arguments, &settings, ret_out, ret_err);
}

static void assert_line(int fd, const char *expected) {
        g_autofree char *line = read_line(fd);

        g_assert_cmpstr(line, ==, expected);
}

/* What kill(1) sends to wbctl is for the command, and wbctl waits for its end. */
static void test_signals(BusFixture *fixture, gconstpointer data) {
        static const int signals[] = { SIGINT, SIGQUIT, SIGTERM, SIGHUP };
        const char *const arguments[] = {
                g_getenv("WBCTL"),
                "inhibit",
                "sh",
                "-c",
                "for s in INT QUIT TERM HUP; do trap \"echo $s; exit 7\" $s; done; echo ready; "
                "while :; do sleep 0.01; done",
                NULL,
        };
        static const char *const names[] = { "INT", "QUIT", "TERM", "HUP" };
        _cleanup_client_ Client *client = fixture_start(fixture, SETTINGS);

        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                int out, status;
                Process process = start_wbctl(fixture, arguments, &out, NULL);

                assert_line(out, "ready");
                g_assert_cmpuint(count_inhibitors(client), ==, 1);
                g_assert_cmpint(kill(process.pid, signals[i]), ==, 0);
                assert_line(out, names[i]);
                status = process_wait_end(&process, fixture->deadline_usec);
                g_assert_true(WIFEXITED(status));
                g_assert_cmpint(WEXITSTATUS(status), ==, 7);
                (void) close(out);
                wait_released(client);
        }
}

/* Until a process has handled a signal that it blocks, and waits for the next event. */
static void wait_handled(const BusFixture *fixture, pid_t pid, int sig) {
        while (process_status_mask(pid, "ShdPnd:") & UINT64_C(1) << (sig - 1) ||
               !(process_is_in_call(pid, SYS_epoll_wait) || process_is_in_call(pid, SYS_epoll_pwait) ||
                 process_is_in_call(pid, SYS_epoll_pwait2))) {
                g_assert_cmpint(g_get_monotonic_time(), <, fixture->deadline_usec);
                g_usleep(1000);
        }
}

/* The interrupt key goes to both, so that wbctl must neither end nor pass it on. It handles it after the
 * command has done so: two signals that come together are one. */
static void test_interrupt_key(BusFixture *fixture, gconstpointer data) {
        static const char script[] = "n=0; trap 'n=$((n + 1)); echo got $n' INT; echo ready; "
                                     "while [ $n = 0 ]; do sleep 0.01; done; echo waiting; read x; exit $n";
        _cleanup_client_ Client *client = fixture_start(fixture, SETTINGS);
        int master, status;
        pid_t pid;

        pid = forkpty(&master, NULL, NULL, NULL);
        g_assert_cmpint(pid, >=, 0);
        if (pid == 0) {
                (void) setenv("DBUS_SYSTEM_BUS_ADDRESS", fixture->bus_address, 1);
                (void) execl(g_getenv("WBCTL"), "wbctl", "inhibit", "sh", "-c", script, NULL);
                _exit(99);
        }
        g_free(read_line_with(master, "ready"));
        g_assert_cmpint(kill(pid, SIGSTOP), ==, 0);
        g_assert_cmpint(write(master, "\x03", 1), ==, 1);
        g_free(read_line_with(master, "got 1"));
        g_assert_cmpint(kill(pid, SIGCONT), ==, 0);
        wait_handled(fixture, pid, SIGINT);
        g_free(read_line_with(master, "waiting"));
        g_assert_cmpuint(count_inhibitors(client), ==, 1);
        g_assert_cmpint(write(master, "\n", 1), ==, 1);
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_true(WIFEXITED(status));
        g_assert_cmpint(WEXITSTATUS(status), ==, 1);
        (void) close(master);
        wait_released(client);
}

/* The command goes on, and automatic syncs do, too. */
static void test_wbctl_killed(BusFixture *fixture, gconstpointer data) {
        g_autofree char *fifo = g_build_filename(fixture->folder, "go", NULL);
        g_autofree char *script = g_strdup_printf("echo ready; read -r line <'%s'; echo done", fifo);
        const char *const arguments[] = { g_getenv("WBCTL"), "inhibit", "sh", "-c", script, NULL };
        _cleanup_client_ Client *client = fixture_start(fixture, SETTINGS);
        _cleanup_close_ int go = -EBADF;
        Process process;
        int out;

        g_assert_no_errno(mkfifo(fifo, 0600));
        go = open(fifo, O_RDWR | O_CLOEXEC);
        g_assert_no_errno(go);
        process = start_wbctl(fixture, arguments, &out, NULL);
        assert_line(out, "ready");
        g_assert_cmpuint(count_inhibitors(client), ==, 1);
        process_kill(&process, fixture->deadline_usec);
        wait_released(client);
        g_assert_cmpint(write(go, "\n", 1), ==, 1);
        assert_line(out, "done");
        (void) close(out);
}

/* A restart leaves a gap, which wbctl reports and closes. */
static void test_wbctl_restart(BusFixture *fixture, gconstpointer data) {
        const char *const arguments[] = { g_getenv("WBCTL"),
                                          "inhibit",
                                          "--who=upgrade",
                                          "sh",
                                          "-c",
                                          "trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done",
                                          NULL };
        _cleanup_client_ Client *client = fixture_start(fixture, SETTINGS);
        int out, err, status;
        Process process = start_wbctl(fixture, arguments, &out, &err);

        assert_line(out, "ready");
        g_assert_cmpuint(count_inhibitors(client), ==, 1);
        fixture_stop_daemon(fixture);
        g_free(read_line_with(err, "wbwatchd has ended, and with it the suspension of automatic syncs"));

        fixture_start_daemon(fixture, NULL);
        g_free(read_line_with(err, "wbwatchd is back, and automatic syncs are suspended again"));
        g_assert_cmpuint(count_inhibitors(client), ==, 1);
        assert_property(client, "State", "'paused'");

        /* The daemon may not be back before the command ends. */
        fixture_kill_daemon(fixture);
        g_free(read_line_with(err, "wbwatchd has ended, and with it"));
        g_assert_cmpint(kill(process.pid, SIGTERM), ==, 0);
        status = process_wait_end(&process, fixture->deadline_usec);
        g_assert_true(WIFEXITED(status));
        g_assert_cmpint(WEXITSTATUS(status), ==, 5);
        (void) close(out);
        (void) close(err);
        fixture_start_daemon(fixture, NULL);
}

int main(int argc, char **argv) {
        /* Background jobs of a shell ignore these two, and a shell cannot trap what was ignored at its start.
         */
        (void) signal(SIGINT, SIG_DFL);
        (void) signal(SIGQUIT, SIG_DFL);
        g_assert_true(g_setenv("TZ", "UTC", true));
        if (!fixture_isolate())
                return 0;
        g_test_init(&argc, &argv, NULL);

        FIXTURE_TEST("/inhibit/held", test_held);
        FIXTURE_TEST("/inhibit/killed", test_killed);
        FIXTURE_TEST("/inhibit/passed-on", test_passed_on);
        FIXTURE_TEST("/inhibit/daemon-ends", test_daemon_ends);
        FIXTURE_TEST("/inhibit/bus-ends", test_bus_ends);
        FIXTURE_TEST("/inhibit/bounds", test_bounds);
        FIXTURE_TEST("/inhibit/share", test_share);
        FIXTURE_TEST("/inhibit/arguments", test_arguments);
        FIXTURE_TEST("/inhibit/no-reply", test_no_reply);
        FIXTURE_TEST("/inhibit/episode", test_episode);
        FIXTURE_TEST("/inhibit/resume", test_resume);
        g_test_add_func("/inhibit/reminder", test_reminder);
        FIXTURE_TEST("/inhibit/wbctl/command", test_command);
        FIXTURE_TEST("/inhibit/wbctl/shown", test_shown);
        FIXTURE_TEST("/inhibit/wbctl/signals", test_signals);
        FIXTURE_TEST("/inhibit/wbctl/interrupt-key", test_interrupt_key);
        FIXTURE_TEST("/inhibit/wbctl/killed", test_wbctl_killed);
        FIXTURE_TEST("/inhibit/wbctl/restart", test_wbctl_restart);

        return g_test_run();
}
