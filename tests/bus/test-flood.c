/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Callers who ask for too much, and a bus that takes nothing: the daemon's memory stays bounded, and nobody
 * takes another's share.
 */

#include "bus-fixture.h"

#include "flooded-daemon.h"
#include "flooder.h"
#include "private-bus.h"
#include "settings.h"

#include <gio/gunixfdlist.h>
#include <signal.h>
#include <sys/resource.h>

/* How long a bus hangs. */
#define HANG_USEC (5 * USEC_PER_SEC)

/* The bus lets one connection have 128 open calls. */
#define OPEN_CALLS_MAX 100

#define SLOW_SETTINGS                                                                                        \
        "[Watch]\nThresholdSec=1h\nCrowdSize=0\nPollIntervalSec=100ms\nIdleScanIntervalSec=1s\nSyncMethod="  \
        "sync\n"

/* ---- very many calls ---- */

/* 100,000 calls. Those of other users than root are served within the budget of CPU time, some 1,500 in a
 * second: a tenth of them. */
static void test_clients(BusFixture *fixture, gconstpointer data) {
        enum {
                N_ROOT_CALLS = 10 /* so many that none is refused */
        };
        static const uid_t users[] = { UID_NOBODY, UID_DAEMON, UID_BIN, UID_SYS, UID_GAMES };
        _cleanup_client_ Client *client = start_flooded(fixture, SLOW_SETTINGS);
        _cleanup_crowd_ Crowd crowd = crowd_new(fixture, users, ELEMENTSOF(users), 1000);
        _cleanup_crowd_ Crowd crowd_of_root = crowd_new_of(fixture, UID_ROOT, 100);
        _cleanup_call_ Call get = call_get_state();

        memory_begin(fixture);
        for (unsigned i = 1; i <= 10; i++) {
                crowd_send(&crowd, &get, 1);
                for (unsigned j = 1; j <= 9; j++) {
                        crowd_send(&crowd_of_root, &get, N_ROOT_CALLS);
                        crowd_await(&crowd_of_root, ((i - 1) * 9 + j) * N_ROOT_CALLS);
                }
                assert_property(client, "State", "'idle'");
                crowd_await(&crowd, i);
        }

        g_assert_cmpuint(crowd_count_returns(&crowd), ==, 10000);
        g_assert_cmpuint(crowd_count_returns(&crowd_of_root), ==, 90000);
        memory_check(fixture, "1,100 clients, 100,000 calls");
}

/* The same setting very often. */
static GVariant *many_settings(void) {
        g_autoptr(GVariant) entry = g_variant_ref_sink(g_variant_new_parsed("{'CrowdSize', <uint32 4>}"));
        GVariantBuilder entries;

        g_variant_builder_init(&entries, G_VARIANT_TYPE_VARDICT);
        for (unsigned i = 0; i < 800000; i++)
                g_variant_builder_add_value(&entries, entry);
        return g_variant_new("(ba{sv})", true, &entries);
}

/* A call with a field in its header that nobody knows, as large as the specification lets it be. */
static Call call_with_large_field(void) {
        g_autoptr(GDBusMessage) message =
                        g_dbus_message_new_method_call(BUS_NAME, BUS_PATH, BUS_INTERFACE, "Pause");
        g_autoptr(GError) error = NULL;
        Call call;

        g_dbus_message_set_header(message, 99, large_text());
        g_dbus_message_set_serial(message, 1);
        call.data = g_dbus_message_to_blob(message, &call.size, G_DBUS_CAPABILITY_FLAGS_NONE, &error);
        g_assert_no_error(error);
        return call;
}

/* Each is refused and not kept, and the answer does not give it back. One whose header alone is too long is
 * from nobody, and is not answered. */
static void test_largest(BusFixture *fixture, gconstpointer data) {
        enum {
                N_CONNECTIONS = 4
        };
        _cleanup_client_ Client *client = start_flooded(fixture, SLOW_SETTINGS);
        Call calls[] = {
                call_of(PROPERTIES_INTERFACE, "Get", g_variant_new("(s@s)", BUS_INTERFACE, large_text())),
                call_of(PROPERTIES_INTERFACE, "Get", g_variant_new("(@ss)", large_text(), "State")),
                call_of(PROPERTIES_INTERFACE, "GetAll", g_variant_new("(@s)", large_text())),
                call_of(PROPERTIES_INTERFACE, "Set",
                        g_variant_new("(ssv)", BUS_INTERFACE, "Glob", large_text())),
                call_of(PROPERTIES_INTERFACE, "Set",
                        g_variant_new("(s@sv)", BUS_INTERFACE, large_text(), g_variant_new_string("x"))),
                call_of(PROPERTIES_INTERFACE, "Set",
                        g_variant_new("(@ssv)", large_text(), "Glob", g_variant_new_string("x"))),
                call_of(BUS_INTERFACE, "SetProperties", many_settings()),
                call_of(BUS_INTERFACE, "SetProperties",
                        g_variant_new("(b@a{sv})", true, g_variant_new_parsed("{%@s: <1>}", large_text()))),
                call_of(BUS_INTERFACE, "SetProperties",
                        g_variant_new("(b@a{sv})", true,
                                      g_variant_new_parsed("{'Glob': <%@s>}", large_text()))),
                call_of(BUS_INTERFACE, "Pause", g_variant_new("(@s)", large_text())),
                call_of(INTROSPECTABLE_INTERFACE, "Introspect", g_variant_new("(@s)", large_text())),
                call_with_large_field(),
        };

        for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                _cleanup_crowd_ Crowd crowd = crowd_new_of(fixture, UID_NOBODY, N_CONNECTIONS);
                g_autofree char *what = g_strdup_printf("large call %zu", i);
                _cleanup_call_ Call call = calls[i];

                memory_begin(fixture);
                crowd_send(&crowd, &call, 1);
                if (i + 1 < ELEMENTSOF(calls)) {
                        crowd_await(&crowd, 1);
                        g_assert_cmpuint(crowd_count_returns(&crowd), ==, 0);
                }
                assert_property(client, "State", "'idle'");
                memory_check(fixture, what);
        }
}

static size_t count_descriptors(pid_t pid) {
        g_autofree char *path = g_strdup_printf("/proc/%d/fd", (int) pid);
        g_autoptr(GDir) folder = g_dir_open(path, 0, NULL);
        size_t n = 0;

        g_assert_nonnull(folder);
        while (g_dir_read_name(folder))
                n++;
        return n;
}

/* A call that carries descriptors is refused, and none of our processes gets them. */
static void test_descriptors(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = start_flooded(fixture, SLOW_SETTINGS);
        size_t n_ours = count_descriptors(fixture->daemon.pid),
               n_readers = count_descriptors(fixture_helper_pid(fixture, HELPER_BUS));
        g_autoptr(GUnixFDList) list = g_unix_fd_list_new();
        g_autoptr(GDBusConnection) connection = NULL;
        g_autoptr(GDBusMessage) call = NULL, reply = NULL;
        g_autoptr(GError) error = NULL;

        connection = g_dbus_connection_new_for_address_sync(
                        fixture->bus_address,
                        G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                        G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
                        NULL, NULL, &error);
        g_assert_no_error(error);

        for (unsigned i = 0; i < 16; i++)
                g_assert_cmpint(g_unix_fd_list_append(list, STDIN_FILENO, NULL), >=, 0);
        call = g_dbus_message_new_method_call(BUS_NAME, BUS_PATH, BUS_INTERFACE, "Pause");
        g_dbus_message_set_unix_fd_list(call, list);
        reply = g_dbus_connection_send_message_with_reply_sync(
                        connection, call, G_DBUS_SEND_MESSAGE_FLAGS_NONE, -1, NULL, NULL, &error);
        g_assert_no_error(error);
        assert_reply_error(reply, ERROR_INVALID_ARGS, "No method takes file descriptors");
        assert_property(client, "State", "'idle'");
        g_assert_cmpuint(count_descriptors(fixture->daemon.pid), ==, n_ours);
        g_assert_cmpuint(count_descriptors(fixture_helper_pid(fixture, HELPER_BUS)), ==, n_readers);
}

/* ---- what comes before a call of root ---- */

/* Has all that is sent meanwhile wait for the daemon. */
static void hold_daemon(const BusFixture *fixture, bool hold) {
        g_assert_cmpint(kill(fixture->daemon.pid, hold ? SIGSTOP : SIGCONT), ==, 0);
}

/* The bus has passed on all that came before when it answers this. */
static void await_passed_on(const Crowd *crowd) {
        _cleanup_call_ Call ping = call_to(DBUS_NAME, DBUS_PATH, PEER_INTERFACE, "Ping", NULL);

        crowd_send(crowd, &ping, 1);
        crowd_await(crowd, 1);
}

static guint32 send_get(Client *client) {
        return client_send(
                        client, BUS_NAME, BUS_PATH, PROPERTIES_INTERFACE, "Get",
                        g_variant_new("(ss)", BUS_INTERFACE, "State"));
}

/* More calls than are kept, while the daemon is held: none of root's is among what is dropped, whether it has
 * called before or not. */
static void test_too_much_before_root(BusFixture *fixture, gconstpointer data) {
        enum {
                N_CONNECTIONS = 100,
                N_LARGE_CALLS = 16,
                N_SMALL_CALLS = 100,
                LARGE_CALL_SIZE = 15000
        };
        _cleanup_client_ Client *known = start_flooded(fixture, SLOW_SETTINGS);
        _cleanup_client_ Client *unknown = client_new(fixture, UID_ROOT);
        _cleanup_crowd_ Crowd crowd = crowd_new_of(fixture, UID_NOBODY, N_CONNECTIONS);
        g_autofree char *text = g_strnfill(LARGE_CALL_SIZE, 'x');
        _cleanup_call_ Call large =
                        call_without_reply(call_of(PEER_INTERFACE, "Ping", g_variant_new("(s)", text)));
        _cleanup_call_ Call small = call_without_reply(call_of(PEER_INTERFACE, "Ping", NULL));
        guint32 known_serial, unknown_serial;

        assert_property(known, "State", "'idle'");
        hold_daemon(fixture, true);
        crowd_send(&crowd, &large, N_LARGE_CALLS);
        crowd_send(&crowd, &small, N_SMALL_CALLS);
        await_passed_on(&crowd);
        known_serial = send_get(known);
        unknown_serial = send_get(unknown);
        hold_daemon(fixture, false);

        g_assert_nonnull(reply_content(client_wait_reply(known, known_serial)));
        g_assert_nonnull(reply_content(client_wait_reply(unknown, unknown_serial)));
}

/* ---- callers that read nothing ---- */

/* The bus reads from each connection in turn: from all these callers and, as often as from each of them, from
 * us. Answers would pile up here. */
static void test_never_read(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = start_flooded(fixture, SLOW_SETTINGS);
        pid_t flood;

        memory_begin(fixture);
        flood =
                        flood_start(crowd_new_of(fixture, UID_NOBODY, 200),
                                    call_of(INTROSPECTABLE_INTERFACE, "Introspect", NULL),
                                    /* reads= */ false);
        for (unsigned i = 0; i < 500; i++)
                fixture_reload_daemon(fixture);
        flood_stop(flood);

        assert_property(client, "State", "'idle'");
        memory_check(fixture, "200 clients that read nothing");
}

/* Whether the daemon answers. A call that is on its way to a connection as that is replaced is lost: the bus
 * notices the end of one that it does not read only when it has something more to write there. */
static bool answers(Client *client, const char *owner) {
        guint32 serial =
                        client_send(client, BUS_NAME, BUS_PATH, PROPERTIES_INTERFACE, "Get",
                                    g_variant_new("(ss)", BUS_INTERFACE, "State"));

        while (!client_has_reply(client, serial)) {
                g_autofree char *now = client_wait_owner(client, BUS_NAME);

                if (!streq(now, owner))
                        return false;
        }
        return g_dbus_message_get_message_type(client_wait_reply(client, serial)) ==
               G_DBUS_MESSAGE_TYPE_METHOD_RETURN;
}

/* The bus counts what callers leave unread against the one that sent it. At 127 MiB it takes nothing more
 * from our connection, whoever it is for; but it does from a new one. Callers of root, since those of others
 * would need a minute for it. */
static void test_left_unread(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = start_flooded(fixture, SLOW_SETTINGS);
        _cleanup_crowd_ Crowd crowd = crowd_new_of(fixture, UID_ROOT, 4);
        _cleanup_call_ Call introspect = call_of(INTROSPECTABLE_INTERFACE, "Introspect", NULL);
        g_autofree char *owner = client_wait_owner(client, BUS_NAME);

        memory_begin(fixture);
        do
                crowd_send(&crowd, &introspect, OPEN_CALLS_MAX);
        while (answers(client, owner));
        fixture_wait_log(fixture, "The bus does not read our messages");

        g_free(client_wait_owner(client, BUS_NAME));
        assert_property(client, "State", "'idle'");
        memory_check(fixture, "4 clients that leave 127 MiB unread");
}

/* The bus hangs while very many wait for a list each. Only so many are made as the bus takes; reloads show
 * that the loop goes round meanwhile. Callers of root: those of others share so little CPU time that their
 * lists would not fill the memory. */
static void test_lists_unread(BusFixture *fixture, gconstpointer data) {
        enum {
                N_CONNECTIONS = 250,
                N_CALLS = 4
        };
        _cleanup_client_ Client *client = start_flooded(fixture, SLOW_SETTINGS);
        _cleanup_crowd_ Crowd crowd = crowd_new_of(fixture, UID_ROOT, N_CONNECTIONS);
        _cleanup_call_ Call list = call_of(BUS_INTERFACE, "ListWorkers", NULL);
        uint64_t start_usec;

        add_listed_workers(fixture, client);
        memory_begin(fixture);

        hold_daemon(fixture, true);
        crowd_send(&crowd, &list, N_CALLS);
        await_passed_on(&crowd);
        fixture_hold_bus(fixture, true);
        hold_daemon(fixture, false);

        start_usec = usec_now(CLOCK_MONOTONIC);
        while (usec_now(CLOCK_MONOTONIC) - start_usec < HANG_USEC)
                fixture_reload_daemon(fixture);
        memory_check(fixture, "lists for a bus that hangs");

        fixture_hold_bus(fixture, false);
        crowd_await(&crowd, 1 + N_CALLS);
        memory_check(fixture, "lists");
}

/* ---- calls that wait ---- */

/* All in all 10,000, while a sync hangs. */
static void test_force_sync(BusFixture *fixture, gconstpointer data) {
        enum {
                N_CONNECTIONS = 100,
                N_CALLS = OPEN_CALLS_MAX,
                N_TAKEN = 512
        };
        _cleanup_client_ Client *client = start_flooded(fixture, SLOW_SETTINGS);
        _cleanup_crowd_ Crowd crowd = crowd_new_of(fixture, UID_ROOT, N_CONNECTIONS);
        _cleanup_call_ Call force_sync = call_of(BUS_INTERFACE, "ForceSync", NULL);

        memory_begin(fixture);
        fixture_signal_helper(fixture, HELPER_SYNC, SIGSTOP);
        crowd_send(&crowd, &force_sync, N_CALLS);
        while (crowd_count_errors(&crowd) < N_CONNECTIONS * N_CALLS - N_TAKEN) {
                assert_property(client, "State", "'syncing'");
                (void) crowd_receive(&crowd, 0);
        }
        g_assert_cmpuint(crowd_count_returns(&crowd), ==, 0);
        memory_check(fixture, "10,000 calls of ForceSync");

        fixture_signal_helper(fixture, HELPER_SYNC, SIGCONT);
        crowd_await(&crowd, N_CALLS);
        g_assert_cmpuint(crowd_count_returns(&crowd), ==, N_TAKEN);
        assert_property(client, "SyncCount", "uint64 2");
}

/* On a slow machine the time for an answer, 10 s, is over before the flood is. A bus keeps such a question
 * until polkit answers or ends, 128 of them by default, and then refuses further ones. */
static Client *start_with_room_for_questions(BusFixture *fixture) {
        private_bus_set_extra(fixture->folder, "<limit name='max_replies_per_connection'>1000</limit>");
        return start_flooded(fixture, SLOW_SETTINGS);
}

/* 10,000 questions of four users for a polkit that does not answer. It gets no more of each than the share of
 * one, and another user's as well. */
static void test_polkit(BusFixture *fixture, gconstpointer data) {
        enum {
                N_CONNECTIONS = 100,
                N_CALLS = OPEN_CALLS_MAX,
                N_ASKED = 16
        };
        static const uid_t users[] = { UID_DAEMON, UID_BIN, UID_SYS, UID_GAMES };
        _cleanup_client_ Client *client = start_with_room_for_questions(fixture);
        Client *polkit = start_silent_polkit(fixture);
        _cleanup_client_ Client *other = client_new(fixture, UID_NOBODY);
        _cleanup_crowd_ Crowd crowd = crowd_new(fixture, users, ELEMENTSOF(users), N_CONNECTIONS);
        _cleanup_call_ Call pause_call = call_of(BUS_INTERFACE, "Pause", NULL);
        guint32 serial;

        memory_begin(fixture);
        crowd_send(&crowd, &pause_call, N_CALLS);
        for (unsigned i = 0; i < ELEMENTSOF(users) * N_ASKED; i++)
                (void) client_wait_call(polkit, "CheckAuthorization");
        while (crowd_count_errors(&crowd) < N_CONNECTIONS * N_CALLS - ELEMENTSOF(users) * N_ASKED) {
                assert_property(client, "State", "'idle'");
                (void) crowd_receive(&crowd, 0);
        }
        memory_check(fixture, "10,000 questions for polkit");

        (void) client_call(client, "Pause", NULL);
        serial = client_send_method(other, "Resume", NULL);
        (void) client_wait_call(polkit, "CheckAuthorization");
        g_assert_false(client_has_reply(other, serial));

        /* It dies. */
        client_free(polkit);
        crowd_await(&crowd, N_CALLS);
        g_assert_cmpuint(crowd_count_returns(&crowd), ==, 0);
        assert_reply_error(client_wait_reply(other, serial), ERROR_ACCESS_DENIED, "polkit");
        assert_property(client, "State", "'paused'");
}

/* A user's calls that come all at once, over many connections: before the daemon knows whose they are. There
 * is room left for another user's one behind them. */
static void test_share(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = start_flooded(fixture, SLOW_SETTINGS);
        _cleanup_client_ Client *polkit = start_silent_polkit(fixture);
        _cleanup_client_ Client *other = client_new(fixture, UID_DAEMON);
        _cleanup_crowd_ Crowd crowd = crowd_new_of(fixture, UID_NOBODY, 200);
        _cleanup_call_ Call pause_call = call_of(BUS_INTERFACE, "Pause", NULL);
        guint32 serial;

        hold_daemon(fixture, true);
        crowd_send(&crowd, &pause_call, OPEN_CALLS_MAX);
        await_passed_on(&crowd);
        serial = client_send_method(other, "Pause", NULL);
        (void) client_ask(other, DBUS_NAME, DBUS_PATH, PEER_INTERFACE, "Ping", NULL);
        hold_daemon(fixture, false);

        for (;;) {
                GDBusMessage *call = client_wait_call(polkit, "CheckAuthorization");
                g_autofree char *text = g_variant_print(g_dbus_message_get_body(call), false);

                if (strstr(text, client_unique_name(other)))
                        break;
        }
        g_assert_false(client_has_reply(other, serial));
        assert_property(client, "State", "'idle'");
}

/* ---- a bus that hangs ---- */

/* Changes the settings again and again, each of which is reported. */
static void report_often(BusFixture *fixture, unsigned n) {
        for (unsigned i = 1; i <= n; i++) {
                g_autofree char *settings = g_strdup_printf(SLOW_SETTINGS "RecoverySec=%us\n", i % 1000);

                fixture_write_config(fixture, settings);
                fixture_reload_daemon(fixture);
        }
}

/* For so long that the signals fill the queue: then it is given up. Who had heard of the daemon learns that
 * the name has another owner, and reads anew. */
static void test_bus_hangs(BusFixture *fixture, gconstpointer data) {
        enum {
                N_SIGNALS = 3000
        };
        _cleanup_client_ Client *client = start_flooded(fixture, SLOW_SETTINGS);
        g_autofree char *before = client_wait_owner(client, BUS_NAME), *after = NULL;

        memory_begin(fixture);
        fixture_hold_bus(fixture, true);
        report_often(fixture, N_SIGNALS);
        fixture_wait_log(fixture, "The bus does not read our messages");
        report_often(fixture, N_SIGNALS);
        memory_check(fixture, "6,000 signals for a bus that hangs");
        fixture_hold_bus(fixture, false);

        /* From one connection to the other, at once or with a while without any. */
        while (!after || streq(after, before)) {
                g_free(after);
                after = client_wait_owner(client, BUS_NAME);
        }
        assert_property(client, "RecoveryUSec", "uint64 0");
        (void) client_call(client, "Pause", NULL);
        client_wait_property(client, "State", "'paused'");
}

/* It ends all the same, with much still to be sent. */
static void test_bus_hangs_at_end(BusFixture *fixture, gconstpointer data) {
        enum {
                N_SIGNALS = 800 /* more than the socket takes, less than it is given up for */
        };
        _cleanup_client_ Client *client = start_flooded(fixture, SLOW_SETTINGS);

        fixture_hold_bus(fixture, true);
        report_often(fixture, N_SIGNALS);
        fixture_stop_daemon(fixture);
        fixture_hold_bus(fixture, false);
        client_wait_no_owner(client, BUS_NAME);
}

/* It does not wait for the bus to start, nor to end. */
static void test_bus_hangs_first(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = NULL;

        fixture_write_config(fixture, SLOW_SETTINGS);
        fixture_start_bus(fixture);
        fixture_hold_bus(fixture, true);
        fixture_start_daemon(fixture, NULL);
        fixture_add_worker(fixture);
        fixture_wait_notify(fixture, "STATUS=1 spinning");
        fixture_stop_daemon(fixture);

        fixture_start_daemon(fixture, NULL);
        fixture_wait_notify(fixture, "STATUS=1 spinning");
        fixture_hold_bus(fixture, false);
        client = client_new(fixture, UID_ROOT);
        g_free(client_wait_owner(client, BUS_NAME));
        assert_property(client, "State", "'busy'");
}

/* ---- nonsense ---- */

#define SEED_DEFAULT 20240229

static GVariant *random_variant(GRand *random, unsigned depth);

static const char *random_of(GRand *random, const char *const *texts, size_t n) {
        return texts[g_rand_int_range(random, 0, (gint32) n)];
}

static GVariant *random_text(GRand *random) {
        static const char *const texts[] = {
                "",         "x",    "kworker/*", "+(",       "[[",     "?(*(a|b)|!(c))",
                "\xc3\xa4", "a\nb", "%s%n",      "infinity", "notice", "console",
        };
        g_autofree char *longer = NULL;

        if (g_rand_int_range(random, 0, 10) > 0)
                return g_variant_new_string(random_of(random, texts, ELEMENTSOF(texts)));

        longer = g_strnfill((gsize) g_rand_int_range(random, 0, 70000), '*');
        return g_variant_new_string(longer);
}

static GVariant *random_interface(GRand *random) {
        static const char *const interfaces[] = {
                BUS_INTERFACE, BUS_INTERFACE, BUS_INTERFACE, LOG_CONTROL_INTERFACE, PROPERTIES_INTERFACE, "",
        };

        return g_rand_int_range(random, 0, 10) > 0
                               ? g_variant_new_string(random_of(random, interfaces, ELEMENTSOF(interfaces)))
                               : random_text(random);
}

static GVariant *random_property(GRand *random) {
        static const char *const others[] = {
                "Version",  "State",     "StatusText",       "SettingOrigins",
                "LogLevel", "LogTarget", "SyslogIdentifier",
        };

        switch (g_rand_int_range(random, 0, 4)) {
        case 0:
                return random_text(random);
        case 1:
                return g_variant_new_string(random_of(random, others, ELEMENTSOF(others)));
        default:
                return g_variant_new_string(
                                setting_table[g_rand_int_range(random, 0, _SETTING_MAX)].property);
        }
}

static guint64 random_number(GRand *random) {
        static const guint64 numbers[] = { 0,      1,       2,           4,          99999,
                                           100000, 1000000, 86400000000, G_MAXINT64, G_MAXUINT64 };

        if (g_rand_boolean(random))
                return numbers[g_rand_int_range(random, 0, ELEMENTSOF(numbers))];
        return (guint64) g_rand_int(random) << g_rand_int_range(random, 0, 33);
}

static GVariant *random_dictionary(GRand *random, unsigned depth) {
        GVariantBuilder entries;

        g_variant_builder_init(&entries, G_VARIANT_TYPE_VARDICT);
        for (gint i = g_rand_int_range(random, 0, 12); i > 0; i--) {
                g_autoptr(GVariant) key = g_variant_ref_sink(random_property(random));

                g_variant_builder_add(
                                &entries, "{sv}", g_variant_get_string(key, NULL),
                                random_variant(random, depth + 1));
        }
        return g_variant_builder_end(&entries);
}

static GVariant *random_variant(GRand *random, unsigned depth) {
        GVariant *value, *children[2];

        switch (g_rand_int_range(random, 0, depth < 20 ? 16 : 11)) {
        case 0:
                return random_text(random);
        case 1:
                return g_variant_new_uint64(random_number(random));
        case 2:
                return g_variant_new_uint32((guint32) random_number(random));
        case 3:
                return g_variant_new_boolean(g_rand_boolean(random));
        case 4:
                return g_variant_new_int16((gint16) random_number(random));
        case 5:
                return g_variant_new_byte((guchar) random_number(random));
        case 6:
                return g_variant_new_double(g_rand_double_range(random, -1e300, 1e300));
        case 7:
                return g_variant_new_object_path(BUS_PATH);
        case 8:
                return g_variant_new_signature("a{sv}(bt)");
        case 9:
                return g_variant_new_int64((gint64) random_number(random));
        case 10:
                return g_variant_new_strv(NULL, 0);
        case 11:
        case 12:
                return g_variant_new_variant(random_variant(random, depth + 1));
        case 13:
                for (size_t i = 0; i < ELEMENTSOF(children); i++)
                        children[i] = random_variant(random, depth + 1);
                return g_variant_new_tuple(children, ELEMENTSOF(children));
        case 14:
                value = random_variant(random, depth + 1);
                return g_variant_new_array(NULL, &value, 1);
        default:
                return random_dictionary(random, depth);
        }
}

/* Arguments of any number and types; or of the right ones, with any values. */
static GVariant *random_arguments(GRand *random, const char *types) {
        GVariant *children[3];
        gsize n = 0;

        if (g_rand_boolean(random)) {
                for (gint left = g_rand_int_range(random, 0, ELEMENTSOF(children) + 1); left > 0; left--)
                        children[n++] = random_variant(random, 0);
                return g_variant_new_tuple(children, n);
        }

        for (const char *type = types; *type; type++)
                switch (*type) {
                case 'i':
                        children[n++] = random_interface(random);
                        break;
                case 'p':
                        children[n++] = random_property(random);
                        break;
                case 't':
                        children[n++] = g_variant_new_uint64(random_number(random));
                        break;
                case 'b':
                        children[n++] = g_variant_new_boolean(g_rand_boolean(random));
                        break;
                case 'v':
                        children[n++] = g_variant_new_variant(random_variant(random, 0));
                        break;
                case 'd':
                        children[n++] = random_dictionary(random, 0);
                        break;
                case 'a':
                        children[n] = random_property(random);
                        children[n] = g_variant_new_array(G_VARIANT_TYPE_STRING, &children[n], 1);
                        n++;
                        break;
                default:
                        g_assert_not_reached();
                }
        return g_variant_new_tuple(children, n);
}

/* Anything to everything. Every call is answered, and the daemon is none the worse. */
static void test_random(BusFixture *fixture, gconstpointer data) {
        static const struct {
                const char *interface, *member, *types; /* as random_arguments() names them */
        } members[] = {
                { BUS_INTERFACE, "Pause", "" },
                { BUS_INTERFACE, "PauseFor", "t" },
                { BUS_INTERFACE, "Resume", "" },
                { BUS_INTERFACE, "ForceSync", "" },
                { BUS_INTERFACE, "SyncFilesystem", "p" },
                { BUS_INTERFACE, "SetProperties", "bd" },
                { BUS_INTERFACE, "SetProperties", "bd" },
                { BUS_INTERFACE, "ResetProperties", "ba" },
                { BUS_INTERFACE, "ListWorkers", "" },
                { BUS_INTERFACE, "ListEpisodes", "" },
                { BUS_INTERFACE, "Nonsense", "" },
                { PROPERTIES_INTERFACE, "Get", "ip" },
                { BUS_INTERFACE, "Inhibit", "pp" },
                { PROPERTIES_INTERFACE, "GetAll", "i" },
                { PROPERTIES_INTERFACE, "Set", "ipv" },
                { PROPERTIES_INTERFACE, "Set", "ipv" },
                { INTROSPECTABLE_INTERFACE, "Introspect", "" },
                { PEER_INTERFACE, "Ping", "" },
                { PEER_INTERFACE, "GetMachineId", "" },
        };
        static const char *const paths[] = {
                BUS_PATH, BUS_PATH, BUS_PATH, LOG_CONTROL_PATH, "/", "/org", "/org/wbwatch1/x",
        };
        enum {
                N_ROUNDS = 50,
                N_CALLS = OPEN_CALLS_MAX
        };
        const char *seed_text = g_getenv("WBWATCH_SEED");
        guint32 seed = seed_text ? (guint32) g_ascii_strtoull(seed_text, NULL, 10) : SEED_DEFAULT;
        g_autoptr(GRand) random = g_rand_new_with_seed(seed);
        _cleanup_client_ Client *root = start_flooded(fixture, "[Watch]\nDryRun=yes\n");
        _cleanup_client_ Client *nobody = client_new(fixture, UID_NOBODY);
        unsigned n_errors = 0;

        g_test_message("WBWATCH_SEED=%" G_GUINT32_FORMAT, seed);
        memory_begin(fixture);
        for (unsigned round = 0; round < N_ROUNDS; round++) {
                Client *client = g_rand_int_range(random, 0, 4) > 0 ? root : nobody;
                guint32 serials[N_CALLS];

                for (unsigned i = 0; i < N_CALLS; i++) {
                        gint32 which = g_rand_int_range(random, 0, ELEMENTSOF(members));

                        serials[i] = client_send(
                                        client, BUS_NAME, random_of(random, paths, ELEMENTSOF(paths)),
                                        members[which].interface, members[which].member,
                                        random_arguments(random, members[which].types));
                }
                for (unsigned i = 0; i < N_CALLS; i++)
                        if (g_dbus_message_get_message_type(client_wait_reply(client, serials[i])) ==
                            G_DBUS_MESSAGE_TYPE_ERROR)
                                n_errors++;
        }

        g_test_message("%u calls, %u of them refused", (unsigned) N_ROUNDS * N_CALLS, n_errors);
        g_assert_cmpuint(n_errors, <, N_ROUNDS * N_CALLS);
        assert_property(root, "Version", "'" WBWATCH_VERSION "'");
        memory_check(fixture, "random calls");
}

int main(int argc, char *argv[]) {
        struct rlimit limit;

        if (!fixture_isolate())
                return EXIT_SUCCESS;
        g_test_init(&argc, &argv, NULL);

        /* For very many connections. */
        g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
        limit.rlim_cur = limit.rlim_max;
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);

        FIXTURE_TEST("/flood/clients", test_clients);
        FIXTURE_TEST("/flood/largest", test_largest);
        FIXTURE_TEST("/flood/descriptors", test_descriptors);
        FIXTURE_TEST("/flood/too-much-before-root", test_too_much_before_root);
        FIXTURE_TEST("/flood/never-read", test_never_read);
        FIXTURE_TEST("/flood/left-unread", test_left_unread);
        FIXTURE_TEST("/flood/lists-unread", test_lists_unread);
        FIXTURE_TEST("/flood/force-sync", test_force_sync);
        FIXTURE_TEST("/flood/polkit", test_polkit);
        FIXTURE_TEST("/flood/share", test_share);
        FIXTURE_TEST("/flood/bus-hangs", test_bus_hangs);
        FIXTURE_TEST("/flood/bus-hangs-at-end", test_bus_hangs_at_end);
        FIXTURE_TEST("/flood/bus-hangs-first", test_bus_hangs_first);
        FIXTURE_TEST("/flood/random", test_random);

        return g_test_run();
}
