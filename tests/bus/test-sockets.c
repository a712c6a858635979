/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The daemon's sockets: who may do what over them, without a bus and beside one that hangs; peers that send
 * nonsense, read nothing, or are too many; folders that another daemon has or has left.
 */

#include "bus-fixture.h"
#include "deadline.h"
#include "settings.h"

#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define PRIVATE "private"
#define PUBLIC "public"

/* Users whom every Debian has. */
#define UID_DAEMON 1

#define SETTINGS "[Watch]\nThresholdSec=1h\nCrowdSize=0\nRecoverySec=0\nSyncMethod=sync\n"

/* The bounds that peers.c promises. */
#define PEERS_MAX 256
#define PEERS_PER_USER_MAX 64

static uid_t uid_of(const char *name) {
        const struct passwd *user = getpwnam(name);

        g_assert_nonnull(user);
        return user->pw_uid;
}

static char *socket_path(const BusFixture *fixture, const char *name) {
        return g_build_filename(fixture->socket_folder, name, NULL);
}

/* The daemon without any bus. */
static void start(BusFixture *fixture) {
        fixture_write_config(fixture, SETTINGS);
        fixture_start_daemon(fixture, NULL);
}

/* ---- plain connections ---- */

/* Negative errno if it is refused. */
static int raw_try_connect(const BusFixture *fixture, uid_t uid, const char *name) {
        g_autofree char *path = socket_path(fixture, name);
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int r;

        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpuint(
                        g_strlcpy(address.sun_path, path, sizeof(address.sun_path)), <,
                        sizeof(address.sun_path));
        g_assert_cmpint(seteuid(uid), ==, 0);
        r = connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0 ? -errno : 0;
        g_assert_cmpint(seteuid(UID_ROOT), ==, 0);
        return r < 0 ? r : take_fd(&fd);
}

static int raw_connect(const BusFixture *fixture, uid_t uid, const char *name) {
        int fd = raw_try_connect(fixture, uid, name);

        g_assert_cmpint(fd, >=, 0);
        return fd;
}

/* The other end may be closed by the time. */
static void raw_send(int fd, const void *data, size_t n) {
        (void) send(fd, data, n, MSG_NOSIGNAL);
}

static void raw_wait(const BusFixture *fixture, int fd) {
        struct pollfd input = { .fd = fd, .events = POLLIN };

        if (poll(&input, 1, deadline_msec_left(fixture->deadline_usec)) != 1)
                g_error("nothing comes over the socket");
}

static void raw_expect(const BusFixture *fixture, int fd, const char *expected) {
        g_autoptr(GString) text = g_string_new(NULL);

        while (text->len < strlen(expected)) {
                char buffer[256];
                ssize_t n;

                raw_wait(fixture, fd);
                n = recv(fd, buffer, MIN(sizeof(buffer), strlen(expected) - text->len), 0);
                g_assert_cmpint(n, >, 0);
                g_string_append_len(text, buffer, n);
        }
        g_assert_cmpstr(text->str, ==, expected);
}

/* Whatever is still to be read. */
static void raw_expect_end(const BusFixture *fixture, int fd) {
        char buffer[4096];

        do
                raw_wait(fixture, fd);
        while (recv(fd, buffer, sizeof(buffer), 0) > 0);
}

/* For what it did, and not because it took too long to authenticate: a connection that is older and says
 * nothing is still there. */
static void raw_expect_end_before(const BusFixture *fixture, int fd, int older_fd) {
        raw_expect_end(fixture, fd);
        g_assert_cmpint(poll(&(struct pollfd){ .fd = older_fd }, 1, 0), ==, 0);
}

static void raw_authenticate(const BusFixture *fixture, int fd) {
        static const char lines[] = "\0AUTH EXTERNAL\r\nDATA\r\n";
        char id[64] = "";

        raw_send(fd, lines, sizeof(lines) - 1);
        raw_expect(fixture, fd, "DATA\r\nOK ");
        raw_wait(fixture, fd);
        g_assert_cmpint(recv(fd, id, 34, MSG_WAITALL), ==, 34);
        g_assert_true(g_str_has_suffix(id, "\r\n"));
        raw_send(fd, "BEGIN\r\n", 7);
}

/* ---- members ---- */

static char *all_properties(Client *client) {
        GVariant *content = reply_content(
                        client_ask(client, BUS_NAME, BUS_PATH, PROPERTIES_INTERFACE, "GetAll",
                                   g_variant_new("(s)", BUS_INTERFACE)));
        g_autoptr(GVariant) all = g_variant_get_child_value(content, 0);
        g_autoptr(GString) text = g_string_new(NULL);
        GVariantIter iterator;
        const char *name;
        GVariant *value;

        g_variant_iter_init(&iterator, all);
        while (g_variant_iter_loop(&iterator, "{&sv}", &name, &value)) {
                g_autofree char *printed = g_variant_print(value, true);

                if (!property_varies(name))
                        g_string_append_printf(text, "%s=%s\n", name, printed);
        }
        return g_string_free(g_steal_pointer(&text), false);
}

static const char *introspect(Client *client, const char *path) {
        const char *xml;

        g_variant_get(reply_content(client_ask(
                                      client, NULL, path, INTROSPECTABLE_INTERFACE, "Introspect", NULL)),
                      "(&s)", &xml);
        return xml;
}

/* What can be read is the same on both sockets, for anyone, and on the bus. */
static void test_reading(BusFixture *fixture, gconstpointer data) {
        static const struct {
                uid_t uid;
                const char *socket;
        } callers[] = { { UID_ROOT, PRIVATE }, { UID_ROOT, PUBLIC }, { UID_NOBODY, PUBLIC } };
        _cleanup_client_ Client *on_bus = NULL;
        g_autofree char *properties = NULL, *owner = NULL;

        fixture_start_bus(fixture);
        start(fixture);
        on_bus = client_new(fixture, UID_ROOT);
        owner = client_wait_owner(on_bus, BUS_NAME);
        properties = all_properties(on_bus);
        g_assert_nonnull(strstr(properties, "CrowdSize=uint32 0\n"));

        for (size_t i = 0; i < ELEMENTSOF(callers); i++) {
                _cleanup_client_ Client *client =
                                client_new_on_socket(fixture, callers[i].uid, callers[i].socket);
                g_autofree char *same = all_properties(client);

                g_assert_cmpstr(same, ==, properties);
                g_assert_nonnull(strstr(introspect(client, BUS_PATH), "SyncFilesystem"));
                g_assert_nonnull(strstr(introspect(client, LOG_CONTROL_PATH), "LogLevel"));
                assert_variant(client_call(client, "ListWorkers", NULL), "(@aa{sv} [],)");
                assert_variant(client_call(client, "ListEpisodes", NULL), "(@aa{sv} [],)");
                assert_property(client, "State", "'idle'");
        }
        assert_property(on_bus, "State", "'idle'");
}

/* An argument that is valid for all members that have one of this type. */
static GVariant *sample(const char *type) {
        static const struct {
                const char *type, *text;
        } samples[] = {
                { "s", "'/run'" },        { "t", "uint64 60000000" }, { "b", "true" }, { "as", "@as []" },
                { "a{sv}", "@a{sv} {}" }, { "u", "uint32 4" },        { "d", "2.0" },
        };

        for (size_t i = 0; i < ELEMENTSOF(samples); i++)
                if (g_str_equal(type, samples[i].type))
                        return g_variant_new_parsed(samples[i].text);
        g_error("a member has an argument of the type %s: it needs a sample here", type);
}

static GVariant *sample_arguments(GDBusArgInfo **arguments) {
        GVariantBuilder builder;

        g_variant_builder_init(&builder, G_VARIANT_TYPE_TUPLE);
        for (size_t i = 0; arguments && arguments[i]; i++)
                g_variant_builder_add_value(&builder, sample(arguments[i]->signature));
        return g_variant_builder_end(&builder);
}

/* Refused on the public socket, else not refused for want of authority. */
static void check_change(GDBusMessage *reply, const char *what, bool refused) {
        const char *error = g_dbus_message_get_error_name(reply);

        g_test_message("%s: %s", what, error ?: "done");
        if (refused)
                assert_reply_error(reply, ERROR_ACCESS_DENIED, "/" PRIVATE);
        else
                g_assert_cmpstr(error, !=, ERROR_ACCESS_DENIED);
}

static void check_methods(Client *client, const GDBusInterfaceInfo *interface, bool refused) {
        for (size_t i = 0; interface->methods && interface->methods[i]; i++) {
                const GDBusMethodInfo *method = interface->methods[i];

                if (!g_str_has_prefix(method->name, "List"))
                        check_change(client_ask(client, BUS_NAME, BUS_PATH, interface->name, method->name,
                                                sample_arguments(method->in_args)),
                                     method->name, refused);
        }
}

/* Each gets the value that it has. */
static void check_properties(
                Client *client,
                const char *path,
                const GDBusInterfaceInfo *interface,
                bool refused) {
        for (size_t i = 0; interface->properties && interface->properties[i]; i++) {
                const GDBusPropertyInfo *property = interface->properties[i];
                g_autoptr(GVariant) value = NULL;

                if (!(property->flags & G_DBUS_PROPERTY_INFO_FLAGS_WRITABLE))
                        continue;
                g_variant_get(reply_content(client_ask(
                                              client, BUS_NAME, path, PROPERTIES_INTERFACE, "Get",
                                              g_variant_new("(ss)", interface->name, property->name))),
                              "(v)", &value);
                check_change(client_ask(client, BUS_NAME, path, PROPERTIES_INTERFACE, "Set",
                                        g_variant_new("(ssv)", interface->name, property->name, value)),
                             property->name, refused);
        }
}

/* By the introspection of the daemon itself, so that no member is forgotten. */
static void check_changes(BusFixture *fixture, uid_t uid, const char *socket, bool refused) {
        static const struct {
                const char *path, *interface;
        } objects[] = { { BUS_PATH, BUS_INTERFACE }, { LOG_CONTROL_PATH, LOG_CONTROL_INTERFACE } };
        _cleanup_client_ Client *client = client_new_on_socket(fixture, uid, socket);
        g_autofree char *before = all_properties(client), *after = NULL;

        for (size_t i = 0; i < ELEMENTSOF(objects); i++) {
                g_autoptr(GDBusNodeInfo) node =
                                g_dbus_node_info_new_for_xml(introspect(client, objects[i].path), NULL);
                const GDBusInterfaceInfo *interface;

                g_assert_nonnull(node);
                interface = g_dbus_node_info_lookup_interface(node, objects[i].interface);
                g_assert_nonnull(interface);
                check_methods(client, interface, refused);
                check_properties(client, objects[i].path, interface, refused);
        }

        after = all_properties(client);
        if (refused)
                g_assert_cmpstr(before, ==, after);
        else
                g_assert_cmpstr(before, !=, after);
}

static void test_changes(BusFixture *fixture, gconstpointer data) {
        start(fixture);
        check_changes(fixture, UID_NOBODY, PUBLIC, /* refused= */ true);
        check_changes(fixture, UID_ROOT, PUBLIC, /* refused= */ true);
        check_changes(fixture, UID_ROOT, PRIVATE, /* refused= */ false);
}

/* Both sockets carry every signal. */
static void test_signals(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *root = NULL, *nobody = NULL;

        start(fixture);
        root = client_new_on_socket(fixture, UID_ROOT, PRIVATE);
        nobody = client_new_on_socket(fixture, UID_NOBODY, PUBLIC);
        client_settle(nobody);

        (void) client_call(root, "ForceSync", NULL);
        (void) client_wait_signal(root, "SyncStarted");
        (void) client_wait_signal(nobody, "SyncStarted");
        client_wait_sync_finished(nobody, "ok");
        client_wait_property(nobody, "SyncCount", "uint64 1");
        client_set(root, "CrowdSize", g_variant_new_uint32(7));
        client_wait_property(nobody, "CrowdSize", "uint32 7");
}

/* ---- who may connect ---- */

static void check_refused_on_private(BusFixture *fixture) {
        g_autofree char *path = socket_path(fixture, PRIVATE);
        _cleanup_close_ int older_fd = raw_connect(fixture, UID_ROOT, PRIVATE), fd = -EBADF;

        g_assert_cmpint(raw_try_connect(fixture, UID_NOBODY, PRIVATE), ==, -EACCES);

        /* The mode of the file is not all that keeps others out. */
        g_assert_cmpint(chmod(path, 0666), ==, 0);
        fd = raw_connect(fixture, UID_NOBODY, PRIVATE);
        raw_expect_end_before(fixture, fd, older_fd);
        g_assert_cmpint(chmod(path, 0600), ==, 0);
}

static void test_private(BusFixture *fixture, gconstpointer data) {
        struct stat st;
        g_autofree char *private = socket_path(fixture, PRIVATE), *public = socket_path(fixture, PUBLIC);

        start(fixture);
        g_assert_cmpint(lstat(private, &st), ==, 0);
        g_assert_cmpint(st.st_mode, ==, S_IFSOCK | 0600);
        g_assert_cmpint(lstat(public, &st), ==, 0);
        g_assert_cmpint(st.st_mode, ==, S_IFSOCK | 0666);
        check_refused_on_private(fixture);
}

/* As a service the daemon is a user of its own, who may do all that root may. */
static void test_private_of_service(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *own = NULL, *root = NULL;

        fixture->daemon_uid = uid_of("wbwatch");
        start(fixture);
        check_refused_on_private(fixture);

        root = client_new_on_socket(fixture, UID_ROOT, PRIVATE);
        own = client_new_on_socket(fixture, fixture->daemon_uid, PRIVATE);
        (void) client_call(own, "Pause", NULL);
        client_wait_property(root, "State", "'paused'");
        (void) client_call(root, "Resume", NULL);
        client_wait_property(own, "State", "'idle'");
}

/* ---- the bus ---- */

static void check_serves(BusFixture *fixture, uint64_t n_syncs) {
        _cleanup_client_ Client *root = client_new_on_socket(fixture, UID_ROOT, PRIVATE);
        _cleanup_client_ Client *nobody = client_new_on_socket(fixture, UID_NOBODY, PUBLIC);
        g_autofree char *count = g_strdup_printf("uint64 %" G_GUINT64_FORMAT, n_syncs);

        (void) client_call(root, "ForceSync", NULL);
        assert_property(nobody, "SyncCount", count);
        (void) client_call(root, "Pause", NULL);
        assert_property(nobody, "State", "'paused'");
        (void) client_call(root, "Resume", NULL);
}

static void test_without_bus(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = NULL;

        start(fixture);
        check_serves(fixture, 1);

        fixture_start_bus(fixture);
        client = client_new(fixture, UID_ROOT);
        g_free(client_wait_owner(client, BUS_NAME));
        fixture_hold_bus(fixture, true);
        check_serves(fixture, 2);
        fixture_hold_bus(fixture, false);
        assert_property(client, "SyncCount", "uint64 2");

        fixture_stop_bus(fixture);
        fixture_wait_log(fixture, "The bus was lost");
        check_serves(fixture, 3);

        fixture_start_bus(fixture);
        client_free(client);
        client = client_new(fixture, UID_ROOT);
        g_free(client_wait_owner(client, BUS_NAME));
        assert_property(client, "SyncCount", "uint64 3");
        check_serves(fixture, 4);
}

/* With --no-bus they are all there is. */
static void test_no_bus(BusFixture *fixture, gconstpointer data) {
        fixture_write_config(fixture, SETTINGS);
        fixture_start_daemon(fixture, "--no-bus", NULL);
        check_serves(fixture, 1);
}

/* The process that serves a socket dies: another one takes its place, and the other socket is undisturbed. */
static void test_process_dies(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *root = NULL, *nobody = NULL;

        start(fixture);
        root = client_new_on_socket(fixture, UID_ROOT, PRIVATE);
        nobody = client_new_on_socket(fixture, UID_NOBODY, PUBLIC);
        fixture_signal_helper(fixture, HELPER_PUBLIC, SIGKILL);
        fixture_wait_log(fixture, "starting it again");
        client_free(nobody);

        /* Waits in the queue of the socket until then. */
        nobody = client_new_on_socket(fixture, UID_NOBODY, PUBLIC);
        assert_property(nobody, "State", "'idle'");
        assert_property(root, "State", "'idle'");
}

/* ---- the folder ---- */

static void assert_exists(const BusFixture *fixture, const char *name, bool exists) {
        g_autofree char *path = socket_path(fixture, name);

        g_assert_cmpint(g_file_test(path, G_FILE_TEST_EXISTS), ==, exists);
}

static void test_stale(BusFixture *fixture, gconstpointer data) {
        start(fixture);
        fixture_kill_daemon(fixture);
        assert_exists(fixture, PRIVATE, true);
        assert_exists(fixture, PUBLIC, true);

        start(fixture);
        check_serves(fixture, 1);
        fixture_stop_daemon(fixture);
        assert_exists(fixture, PRIVATE, false);
        assert_exists(fixture, PUBLIC, false);
        assert_exists(fixture, "lock", false);
}

/* A folder that was missing is made for all users to reach, and removed. */
static void test_own_folder(BusFixture *fixture, gconstpointer data) {
        char *folder = g_build_filename(fixture->folder, "own", NULL);
        struct stat st;

        fixture_write_config(fixture, SETTINGS);
        (void) umask(0077);
        fixture_start_daemon(fixture, "--socket-dir", folder, NULL);
        (void) umask(0022);
        g_free(fixture->socket_folder);
        fixture->socket_folder = folder;
        check_serves(fixture, 1);
        g_assert_cmpint(stat(fixture->socket_folder, &st), ==, 0);
        g_assert_cmpint(st.st_mode, ==, S_IFDIR | 0755);
        fixture_stop_daemon(fixture);
        g_assert_cmpint(stat(fixture->socket_folder, &st), ==, -1);
}

/* It does its work without sockets, and leaves those of the first alone. */
static void test_second_daemon(BusFixture *fixture, gconstpointer data) {
        const DaemonSettings settings = {
                .folder = fixture->folder,
                .bus_address = fixture->bus_address,
                .state_directory = fixture->state_directory,
        };
        const char *const arguments[] = { "--socket-dir", fixture->socket_folder, "--proc-root",
                                          fixture->proc.root, NULL };
        _cleanup_client_ Client *client = NULL;
        DaemonLog log;
        Process second;
        int log_fd;

        start(fixture);
        client = client_new_on_socket(fixture, UID_ROOT, PRIVATE);

        second = daemon_start(&settings, &fixture->notify, arguments, &log_fd);
        daemon_log_init(&log);
        daemon_log_begin(&log, log_fd);
        fixture_wait_notify(fixture, "READY=1");
        daemon_log_wait(&log, "Not reachable over sockets: another wbwatchd has the sockets in ",
                        fixture->deadline_usec);
        g_assert_cmpint(kill(second.pid, SIGTERM), ==, 0);
        g_assert_cmpint(process_wait_end(&second, fixture->deadline_usec), ==, 0);
        daemon_log_end(&log);
        daemon_log_done(&log);

        assert_property(client, "State", "'idle'");
        check_serves(fixture, 1);
}

/* A file that is none of ours stays. */
static void test_in_the_way(BusFixture *fixture, gconstpointer data) {
        g_autofree char *path = socket_path(fixture, PRIVATE);

        g_assert_cmpint(g_mkdir(fixture->socket_folder, 0755), ==, 0);
        g_assert_true(g_file_set_contents(path, "mine", -1, NULL));
        start(fixture);
        fixture_wait_log(fixture, "exists, and is not a socket");
        fixture_stop_daemon(fixture);
        assert_exists(fixture, PRIVATE, true);
        assert_exists(fixture, PUBLIC, false);
}

static void check_command_line(const char *argument, int expected_status, const char *expected_error) {
        const char *const arguments[] = { g_getenv("WBWATCHD"), argument, "--check-config",
                                          "--config=/dev/null", NULL };
        g_autofree char *errors = NULL;
        g_autoptr(GError) error = NULL;
        int status;

        g_assert_true(
                        g_spawn_sync(NULL, (char **) arguments, NULL, G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL,
                                     NULL, &errors, &status, &error));
        g_assert_no_error(error);
        g_assert_true(WIFEXITED(status));
        g_assert_cmpint(WEXITSTATUS(status), ==, expected_status);
        g_assert_nonnull(strstr(errors, expected_error));
}

static void test_folder_option(BusFixture *fixture, gconstpointer data) {
        g_autofree char *longest = g_strnfill(99, 'x'), *too_long = g_strnfill(100, 'x');
        g_autofree char *fits = g_strconcat("--socket-dir=/", longest + 0, NULL);
        g_autofree char *exceeds = g_strconcat("--socket-dir=/", too_long, NULL);
        g_autofree char *none = NULL;

        check_command_line("--socket-dir=run", 2, "--socket-dir: \"run\" is not an absolute path");
        check_command_line(exceeds, 2, "--socket-dir: the length of 101 bytes exceeds the maximum of 99");
        fits[strlen("--socket-dir=") + 99] = '\0';
        check_command_line(fits, 0, "");
        check_command_line("--socket-dir=", 0, "");

        /* The last one counts. */
        fixture_write_config(fixture, SETTINGS);
        fixture_start_daemon(fixture, "--socket-dir=", NULL);
        assert_exists(fixture, PRIVATE, false);
        g_assert_cmpint(fixture_find_helper(fixture, HELPER_PUBLIC), ==, 0);
        fixture_stop_daemon(fixture);

        /* Only the folder itself is made. */
        none = g_build_filename(fixture->folder, "none", "sockets", NULL);
        fixture_start_daemon(fixture, "--socket-dir", none, NULL);
        fixture_wait_log(fixture, "Not reachable over sockets: can't make the folder");
}

/* ---- peers that behave badly ---- */

#define BEGUN "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"

/* What a peer sends whose first message is this one. */
static GBytes *begun_with_message(GDBusMessage *message) {
        g_autoptr(GByteArray) bytes = g_byte_array_new();
        g_autofree guchar *blob = NULL;
        g_autoptr(GError) error = NULL;
        gsize size;

        g_dbus_message_set_serial(message, 1);
        blob = g_dbus_message_to_blob(message, &size, G_DBUS_CAPABILITY_FLAGS_UNIX_FD_PASSING, &error);
        g_assert_no_error(error);
        g_byte_array_append(bytes, (const guint8 *) BEGUN, sizeof(BEGUN) - 1);
        g_byte_array_append(bytes, blob, (guint) size);
        return g_byte_array_free_to_bytes(g_steal_pointer(&bytes));
}

static void check_closed(const BusFixture *fixture, const void *data, size_t n) {
        _cleanup_close_ int older_fd = raw_connect(fixture, UID_NOBODY, PUBLIC);
        _cleanup_close_ int fd = raw_connect(fixture, UID_NOBODY, PUBLIC);

        raw_send(fd, data, n);
        raw_expect_end_before(fixture, fd, older_fd);
}

static GDBusMessage *new_ping(void) {
        return g_dbus_message_new_method_call(NULL, BUS_PATH, PEER_INTERFACE, "Ping");
}

static void check_message_closes(const BusFixture *fixture, GDBusMessage *message) {
        g_autoptr(GBytes) bytes = begun_with_message(message);

        check_closed(fixture, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

/* Each is disconnected, and nobody else notices. */
static void test_nonsense(BusFixture *fixture, gconstpointer data) {
        static const char no_nul[] = "AUTH EXTERNAL\r\n", no_return[] = "\0AUTH EXTERNAL\n",
                          with_nul[] = "\0AUTH\0EXTERNAL\r\n",
                          garbage[] = BEGUN
                          "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10",
                          huge[] = BEGUN "l\1\0\1\xff\xff\xff\xff\1\0\0\0\xff\xff\xff\xff",
                          large_header[] = BEGUN "l\1\0\1\0\0\0\0\1\0\0\0\0\0\1\0";
        g_autoptr(GDBusMessage) with_sender = new_ping(), with_descriptor = new_ping();
        g_autoptr(GUnixFDList) list = g_unix_fd_list_new();
        g_autofree char *endless = g_strnfill(10000, 'A');
        _cleanup_client_ Client *other = NULL;
        pid_t pid;

        start(fixture);
        other = client_new_on_socket(fixture, UID_NOBODY, PUBLIC);
        pid = fixture_helper_pid(fixture, HELPER_PUBLIC);

        check_closed(fixture, no_nul, sizeof(no_nul) - 1);
        check_closed(fixture, no_return, sizeof(no_return) - 1);
        check_closed(fixture, with_nul, sizeof(with_nul) - 1);
        endless[0] = '\0';
        check_closed(fixture, endless, 10000);
        check_closed(fixture, garbage, sizeof(garbage) - 1);
        check_closed(fixture, huge, sizeof(huge) - 1);
        check_closed(fixture, large_header, sizeof(large_header) - 1);
        g_dbus_message_set_sender(with_sender, ":1.1");
        check_message_closes(fixture, with_sender);
        g_assert_cmpint(g_unix_fd_list_append(list, STDIN_FILENO, NULL), >=, 0);
        g_dbus_message_set_unix_fd_list(with_descriptor, list);
        check_message_closes(fixture, with_descriptor);

        assert_property(other, "State", "'idle'");
        g_assert_cmpint(fixture_helper_pid(fixture, HELPER_PUBLIC), ==, pid);
}

/* What the daemon or sd-bus refuses to read. The peer that follows gets its answers. */
static void test_malformed_body(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *other = NULL;
        g_autoptr(GDBusMessage) message = NULL;
        g_autoptr(GBytes) bytes = NULL;
        pid_t pid;

        start(fixture);
        other = client_new_on_socket(fixture, UID_DAEMON, PUBLIC);
        pid = fixture_helper_pid(fixture, HELPER_PUBLIC);
        message = g_dbus_message_new_method_call(NULL, BUS_PATH, PROPERTIES_INTERFACE, "Get");
        g_dbus_message_set_body(message, g_variant_new("(ss)", BUS_INTERFACE, "State"));
        bytes = begun_with_message(message);

        for (size_t i = sizeof(BEGUN) - 1 + 16; i < g_bytes_get_size(bytes); i++) {
                g_autofree uint8_t *bad = g_memdup2(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
                _cleanup_close_ int fd = raw_connect(fixture, UID_NOBODY, PUBLIC);

                bad[i] ^= 0xff;
                raw_send(fd, bad, g_bytes_get_size(bytes));
                if (i % 16 == 0) {
                        _cleanup_client_ Client *next = client_new_on_socket(fixture, UID_DAEMON, PUBLIC);

                        assert_property(next, "State", "'idle'");
                }
        }

        assert_property(other, "State", "'idle'");
        g_assert_cmpint(fixture_helper_pid(fixture, HELPER_PUBLIC), ==, pid);
}

static void test_authentication(BusFixture *fixture, gconstpointer data) {
        static const char lines[] = "\0BEGIN\r\nAUTH\r\nAUTH ANONYMOUS 61\r\nAUTH EXTERNAL 30\r\n"
                                    "AUTH EXTERNAL\r\nCANCEL\r\nAUTH EXTERNAL 3635353334\r\n";
        _cleanup_close_ int fd = -EBADF, older_fd = -EBADF, stubborn = -EBADF;
        char id[34];

        start(fixture);

        /* Byte for byte, of a user whose number is 65534. */
        fd = raw_connect(fixture, UID_NOBODY, PUBLIC);
        for (size_t i = 0; i < sizeof(lines) - 1; i++)
                raw_send(fd, lines + i, 1);
        raw_expect(fixture, fd,
                   "ERROR\r\nREJECTED EXTERNAL\r\nREJECTED EXTERNAL\r\nREJECTED EXTERNAL\r\n"
                   "DATA\r\nREJECTED EXTERNAL\r\nOK ");
        raw_wait(fixture, fd);
        g_assert_cmpint(recv(fd, id, sizeof(id), MSG_WAITALL), ==, sizeof(id));
        raw_send(fd, "NEGOTIATE_UNIX_FD\r\n", 19);
        raw_expect(fixture, fd, "AGREE_UNIX_FD\r\n");

        /* Not for ever. */
        older_fd = raw_connect(fixture, UID_NOBODY, PUBLIC);
        stubborn = raw_connect(fixture, UID_NOBODY, PUBLIC);
        raw_send(stubborn, "", 1);
        for (unsigned i = 0; i < 8; i++)
                raw_send(stubborn, "AUTH\r\n", 6);
        raw_expect_end_before(fixture, stubborn, older_fd);
}

/* It is refused, in words; what follows it is served. */
static void test_too_long(BusFixture *fixture, gconstpointer data) {
        g_autofree char *text = g_strnfill(1000 * 1000, 'x');
        _cleanup_client_ Client *client = NULL;

        start(fixture);
        client = client_new_on_socket(fixture, UID_NOBODY, PUBLIC);
        assert_reply_error(
                        client_ask(client, BUS_NAME, BUS_PATH, PROPERTIES_INTERFACE, "Get",
                                   g_variant_new("(ss)", BUS_INTERFACE, text)),
                        ERROR_LIMITS_EXCEEDED, "The call is longer than the maximum of 16384 bytes");
        assert_property(client, "State", "'idle'");
}

/* Signals pile up for it until it is disconnected; the others get them all. */
static void test_never_reads(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *root = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct pollfd ended;
        unsigned n = 0;

        start(fixture);
        root = client_new_on_socket(fixture, UID_ROOT, PRIVATE);
        fd = raw_connect(fixture, UID_NOBODY, PUBLIC);
        raw_authenticate(fixture, fd);

        ended = (struct pollfd){ .fd = fd };
        while (poll(&ended, 1, 0) == 0) {
                client_set(root, "CrowdSize", g_variant_new_uint32(1 + n++ % 1000));
                g_assert_cmpint(deadline_msec_left(fixture->deadline_usec), >, 0);
        }
        g_assert_true(ended.revents & POLLHUP);
        g_test_message("after %u signals", n);
        assert_property(root, "State", "'idle'");
}

/* ---- too many ---- */

static void open_many(const BusFixture *fixture, uid_t uid, GArray *fds, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                int fd = raw_connect(fixture, uid, PUBLIC);

                g_array_append_val(fds, fd);
        }
}

/* One user has all that it may have; another one is answered. Who says nothing is disconnected. */
static void test_idle(BusFixture *fixture, gconstpointer data) {
        g_autoptr(GArray) fds = g_array_new(false, false, sizeof(int));
        _cleanup_client_ Client *other = NULL, *root = NULL;
        _cleanup_close_ int surplus = -EBADF;

        start(fixture);
        open_many(fixture, UID_NOBODY, fds, PEERS_PER_USER_MAX);
        surplus = raw_connect(fixture, UID_NOBODY, PUBLIC);
        raw_expect_end_before(fixture, surplus, g_array_index(fds, int, 0));

        other = client_new_on_socket(fixture, UID_DAEMON, PUBLIC);
        assert_property(other, "State", "'idle'");

        /* All that there can be: then who has most gives way to others. */
        for (uid_t uid = 10; fds->len < PEERS_MAX + 1; uid++)
                open_many(fixture, uid, fds, PEERS_PER_USER_MAX - 1);
        root = client_new_on_socket(fixture, UID_ROOT, PUBLIC);
        assert_property(root, "State", "'idle'");
        client_free(other);
        other = client_new_on_socket(fixture, UID_DAEMON, PUBLIC);
        assert_property(other, "State", "'idle'");

        for (guint i = 0; i < fds->len; i++) {
                raw_expect_end(fixture, g_array_index(fds, int, i));
                (void) close(g_array_index(fds, int, i));
        }
        assert_property(other, "State", "'idle'");
        assert_property(root, "State", "'idle'");
}

static unsigned count_descriptors(pid_t pid) {
        g_autofree char *path = g_strdup_printf("/proc/%d/fd", (int) pid);
        g_autoptr(GDir) folder = g_dir_open(path, 0, NULL);
        unsigned n = 0;

        g_assert_nonnull(folder);
        while (g_dir_read_name(folder))
                n++;
        return n;
}

/* However a connection ends, nothing of it is left. */
static void test_descriptors(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = NULL;
        unsigned n_daemon, n_process;
        pid_t pid;

        start(fixture);
        client = client_new_on_socket(fixture, UID_ROOT, PUBLIC);
        client_settle(client);
        pid = fixture_helper_pid(fixture, HELPER_PUBLIC);
        n_daemon = count_descriptors(fixture->daemon.pid);
        n_process = count_descriptors(pid);

        for (unsigned i = 0; i < 200; i++) {
                _cleanup_close_ int fd = raw_connect(fixture, UID_ROOT, PUBLIC);

                if (i % 4 == 1)
                        raw_send(fd, "\0AUTH EXT", 9);
                if (i % 4 >= 2)
                        raw_authenticate(fixture, fd);
                if (i % 4 == 3)
                        raw_send(fd, "l\1\0\1", 4);
        }

        while (count_descriptors(pid) > n_process)
                g_assert_cmpint(deadline_msec_left(fixture->deadline_usec), >, 0);
        client_settle(client);
        g_assert_cmpuint(count_descriptors(pid), ==, n_process);
        g_assert_cmpuint(count_descriptors(fixture->daemon.pid), ==, n_daemon);
}

int main(int argc, char **argv) {
        if (!fixture_isolate())
                return 0;
        g_test_init(&argc, &argv, NULL);

        FIXTURE_TEST("/sockets/reading", test_reading);
        FIXTURE_TEST("/sockets/changes", test_changes);
        FIXTURE_TEST("/sockets/signals", test_signals);
        FIXTURE_TEST("/sockets/private", test_private);
        FIXTURE_TEST("/sockets/private-of-service", test_private_of_service);
        FIXTURE_TEST("/sockets/without-bus", test_without_bus);
        FIXTURE_TEST("/sockets/no-bus", test_no_bus);
        FIXTURE_TEST("/sockets/process-dies", test_process_dies);
        FIXTURE_TEST("/sockets/stale", test_stale);
        FIXTURE_TEST("/sockets/own-folder", test_own_folder);
        FIXTURE_TEST("/sockets/second-daemon", test_second_daemon);
        FIXTURE_TEST("/sockets/in-the-way", test_in_the_way);
        FIXTURE_TEST("/sockets/folder-option", test_folder_option);
        FIXTURE_TEST("/sockets/nonsense", test_nonsense);
        FIXTURE_TEST("/sockets/malformed-body", test_malformed_body);
        FIXTURE_TEST("/sockets/authentication", test_authentication);
        FIXTURE_TEST("/sockets/too-long", test_too_long);
        FIXTURE_TEST("/sockets/never-reads", test_never_reads);
        FIXTURE_TEST("/sockets/idle", test_idle);
        FIXTURE_TEST("/sockets/descriptors", test_descriptors);

        return g_test_run();
}
