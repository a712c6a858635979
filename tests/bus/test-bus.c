/* SPDX-License-Identifier: GPL-3.0-or-later */

/* org.wbwatch1 on a real bus: what the running daemon shows, takes, refuses and reports. Who may change it is
 * for test-authority.c; here everyone who does is root. SyncFilesystem is for test-sync-filesystem.c, Inhibit
 * for test-inhibit.c. */

#include <fcntl.h>
#include <poll.h>
#include <sys/fanotify.h>

#include "bus-fixture.h"
#include "deadline.h"
#include "evidence.h"
#include "failing-malloc.h"
#include "flush-priority.h"
#include "own-disk.h"
#include "private-bus.h"
#include "run-wbctl.h"
#include "sync-witness.h"
#include "syncfs.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define LASTING_FILE "wbwatch.conf"

/* Syncs of one helper, whatever filesystems this machine has. */
#define SYNC_SETTINGS "[Watch]\nSyncMethod=sync\n"

/* As fast as the bounds allow, and for workers that use no CPU time. */
#define FAST_SETTINGS                                                                                        \
        SYNC_SETTINGS                                                                                        \
        "ThresholdSec=1s\nPollIntervalSec=100ms\nIdleScanIntervalSec=1s\nRecoverySec=2s\nCountWaiting=yes\n"

/* For how long a worker must have been seen running when it is detected with these: in nearly all of the
 * threshold, and before the first scan nobody saw it. */
#define FAST_RUN_USEC (800 * USEC_PER_MSEC)

static guint64 now_usec(void) {
        return (guint64) g_get_real_time();
}

/* ---- the interface ---- */

static GDBusNodeInfo *parse_node(const char *xml) {
        g_autoptr(GError) error = NULL;
        GDBusNodeInfo *node = g_dbus_node_info_new_for_xml(xml, &error);

        g_assert_no_error(error);
        return node;
}

static char *read_documentation(void) {
        g_autofree char *path = fixture_source_file("dbus/org.wbwatch1.xml");
        g_autoptr(GError) error = NULL;
        char *text = NULL;

        (void) g_file_get_contents(path, &text, NULL, &error);
        g_assert_no_error(error);
        return text;
}

static void append_arguments(GString *line, GDBusArgInfo **arguments, const char *direction) {
        for (size_t i = 0; arguments && arguments[i]; i++)
                g_string_append_printf(
                                line, " %s:%s:%s", direction, arguments[i]->name, arguments[i]->signature);
}

/* EmitsChangedSignal counts as "true" where it is not there. */
static void append_annotations(GString *line, GDBusAnnotationInfo **annotations, bool is_property) {
        static const char emits[] = "org.freedesktop.DBus.Property.EmitsChangedSignal";
        const char *value = g_dbus_annotation_info_lookup(annotations, emits);

        if (is_property)
                g_string_append_printf(line, " emits:%s", value ?: "true");
        for (size_t i = 0; annotations && annotations[i]; i++)
                if (!streq(annotations[i]->key, emits))
                        g_string_append_printf(line, " %s=%s", annotations[i]->key, annotations[i]->value);
}

static gint compare_lines(gconstpointer a, gconstpointer b) {
        return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* Each member in one line, sorted. */
static GPtrArray *describe_interface(const GDBusInterfaceInfo *interface) {
        GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);

        for (size_t i = 0; interface->properties && interface->properties[i]; i++) {
                const GDBusPropertyInfo *property = interface->properties[i];
                GString *line = g_string_new(NULL);

                g_string_printf(line, "property %s %s %s%s", property->name, property->signature,
                                property->flags & G_DBUS_PROPERTY_INFO_FLAGS_READABLE ? "read" : "",
                                property->flags & G_DBUS_PROPERTY_INFO_FLAGS_WRITABLE ? "write" : "");
                append_annotations(line, property->annotations, true);
                g_ptr_array_add(lines, g_string_free(line, false));
        }
        for (size_t i = 0; interface->methods && interface->methods[i]; i++) {
                const GDBusMethodInfo *method = interface->methods[i];
                GString *line = g_string_new(NULL);

                g_string_printf(line, "method %s", method->name);
                append_arguments(line, method->in_args, "in");
                append_arguments(line, method->out_args, "out");
                append_annotations(line, method->annotations, false);
                g_ptr_array_add(lines, g_string_free(line, false));
        }
        for (size_t i = 0; interface->signals && interface->signals[i]; i++) {
                const GDBusSignalInfo *signal = interface->signals[i];
                GString *line = g_string_new(NULL);

                g_string_printf(line, "signal %s", signal->name);
                append_arguments(line, signal->args, "out");
                append_annotations(line, signal->annotations, false);
                g_ptr_array_add(lines, g_string_free(line, false));
        }

        g_ptr_array_sort(lines, compare_lines);
        return lines;
}

/* What the file documents is what the daemon shows, and nothing else. */
static void test_described(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, "");
        g_autofree char *documented_xml = read_documentation();
        const char *shown_xml;
        GVariant *content;

        content = reply_content(
                        client_ask(client, BUS_NAME, BUS_PATH, INTROSPECTABLE_INTERFACE, "Introspect", NULL));
        g_variant_get(content, "(&s)", &shown_xml);

        g_autoptr(GDBusNodeInfo) documented = parse_node(documented_xml);
        g_autoptr(GDBusNodeInfo) shown = parse_node(shown_xml);
        g_assert_cmpstr(documented->path, ==, BUS_PATH);
        g_assert_nonnull(g_dbus_node_info_lookup_interface(shown, BUS_INTERFACE));

        g_autoptr(GPtrArray) expected =
                        describe_interface(g_dbus_node_info_lookup_interface(documented, BUS_INTERFACE));
        g_autoptr(GPtrArray) found =
                        describe_interface(g_dbus_node_info_lookup_interface(shown, BUS_INTERFACE));
        g_assert_cmpuint(expected->len, >, 0);
        for (size_t i = 0; i < MIN(expected->len, found->len); i++)
                g_assert_cmpstr(found->pdata[i], ==, expected->pdata[i]);
        g_assert_cmpuint(found->len, ==, expected->len);
}

/* Which members of an XML text have no comment of their own before them. */
typedef struct CommentCheck {
        unsigned depth;
        bool commented;
        unsigned n_members;
        GString *missing;
} CommentCheck;

static void on_xml_start(
                GMarkupParseContext *context,
                const char *element,
                const char **names,
                const char **values,
                gpointer userdata,
                GError **error) {
        CommentCheck *check = userdata;

        check->depth++;
        if (streq(element, "property") || streq(element, "method") || streq(element, "signal")) {
                check->n_members++;
                if (!check->commented)
                        for (size_t i = 0; names[i]; i++)
                                if (streq(names[i], "name"))
                                        g_string_append_printf(check->missing, "%s ", values[i]);
        }
        check->commented = false;
}

static void on_xml_end(GMarkupParseContext *context, const char *element, gpointer userdata, GError **error) {
        CommentCheck *check = userdata;

        check->depth--;
        check->commented = false;
}

static void on_xml_passthrough(
                GMarkupParseContext *context,
                const char *text,
                gsize size,
                gpointer userdata,
                GError **error) {
        CommentCheck *check = userdata;

        if (g_str_has_prefix(text, "<!--"))
                check->commented = true;
}

static void check_comments(const char *xml, CommentCheck *check) {
        static const GMarkupParser parser = {
                .start_element = on_xml_start,
                .end_element = on_xml_end,
                .passthrough = on_xml_passthrough,
        };
        g_autoptr(GMarkupParseContext) context = g_markup_parse_context_new(&parser, 0, check, NULL);
        g_autoptr(GError) error = NULL;

        check->missing = g_string_new(NULL);
        (void) g_markup_parse_context_parse(context, xml, -1, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(check->depth, ==, 0);
}

static void test_documented(void) {
        g_autofree char *xml = read_documentation();
        CommentCheck check = {}, small = {};

        check_comments(xml, &check);
        g_assert_cmpstr(check.missing->str, ==, "");
        g_assert_cmpuint(check.n_members, >, 30);
        (void) g_string_free(check.missing, true);

        /* It does find one. */
        check_comments("<i><!-- a --><method name='A'/><property name='B'/><!-- c --><signal name='C'/></i>",
                       &small);
        g_assert_cmpstr(small.missing->str, ==, "B ");
        (void) g_string_free(small.missing, true);
}

/* Every property as it is at first. NULL: another at each start. */
static const struct {
        const char *name;
        const char *text;
} first_properties[] = {
        { "Version", "'" WBWATCH_VERSION "'" },
        { "StartUSec", NULL },
        { "State", "'idle'" },
        { "StateSinceUSec", NULL },
        { "StatusText", NULL },
        { "Fault", "''" },
        { "Glob", "'kworker/*inode_switch_wbs*'" },
        { "ThresholdUSec", "uint64 30000000" },
        { "CrowdSize", "uint32 4" },
        { "CrowdThresholdUSec", "uint64 10000000" },
        { "CountWaiting", "false" },
        { "PollIntervalUSec", "uint64 1000000" },
        { "IdleScanIntervalUSec", "uint64 10000000" },
        { "RecoveryUSec", "uint64 30000000" },
        { "SyncMethod", "'auto'" },
        { "FilesystemTimeoutUSec", "uint64 10000000" },
        { "SyncTimeoutUSec", "uint64 300000000" },
        { "DryRun", "false" },
        { "SettingOrigins",
          "{'Glob': 'built-in', 'ThresholdUSec': 'built-in', 'CrowdSize': 'built-in', "
          "'CrowdThresholdUSec': 'built-in', 'CountWaiting': 'built-in', 'PollIntervalUSec': 'built-in', "
          "'IdleScanIntervalUSec': 'built-in', 'RecoveryUSec': 'built-in', 'SyncMethod': 'built-in', "
          "'FilesystemTimeoutUSec': 'built-in', 'SyncTimeoutUSec': 'built-in', 'DryRun': 'built-in'}" },
        { "PausedUntilUSec", "uint64 0" },
        { "Inhibitors", "@aa{sv} []" },
        { "EventSource", "'polling'" }, /* these tests have a network of their own */
        { "LostEvents", "uint64 0" },
        { "WorkerCount", "uint32 0" },
        { "SpinningCount", "uint32 0" },
        { "WaitingCount", "uint32 0" },
        { "LongestRunUSec", "uint64 0" },
        { "CrowdSizeInForce", NULL }, /* test_crowd_size() */
        { "DirtyBytes", NULL },
        { "WritebackBytes", NULL },
        { "EpisodeCounts", "{'recovered': uint64 0, 'cleared': 0, 'outlived': 0, 'ongoing': 0}" },
        { "SyncCounts", "{'ok': uint64 0, 'stalled': 0, 'failed': 0}" },
        { "SyncCount", "uint64 0" },
        { "SyncsUnhelpful", "uint32 0" },
        { "LastSyncUSec", "uint64 0" },
        { "LastSyncDurationUSec", "uint64 0" },
        { "LastSyncResult", "''" },
        { "FilesystemResults", "@aa{sv} []" },
};

static GVariant *get_all(Client *client) {
        GVariant *content;

        content = reply_content(
                        client_ask(client, BUS_NAME, BUS_PATH, PROPERTIES_INTERFACE, "GetAll",
                                   g_variant_new("(s)", BUS_INTERFACE)));
        return g_variant_get_child_value(content, 0);
}

/* Everyone may read, without anyone being asked: polkit does not even run. */
static void test_readable(BusFixture *fixture, gconstpointer data) {
        guint64 before_usec = now_usec();
        _cleanup_client_ Client *nobody = fixture_start_for(fixture, "", UID_NOBODY);
        g_autofree char *xml = read_documentation();
        g_autoptr(GDBusNodeInfo) documented = parse_node(xml);
        const GDBusInterfaceInfo *interface = g_dbus_node_info_lookup_interface(documented, BUS_INTERFACE);
        g_autoptr(GVariant) all = get_all(nobody);
        g_autoptr(GVariant) started = NULL, since = NULL, status = NULL;

        for (size_t i = 0; i < ELEMENTSOF(first_properties); i++) {
                const char *name = first_properties[i].name;
                g_autoptr(GVariant) value = client_get(nobody, name);
                g_autoptr(GVariant) same = g_variant_lookup_value(all, name, NULL);
                const GDBusPropertyInfo *info =
                                g_dbus_interface_info_lookup_property((GDBusInterfaceInfo *) interface, name);

                g_test_message("%s", name);
                g_assert_nonnull(info);
                g_assert_cmpstr(g_variant_get_type_string(value), ==, info->signature);
                if (first_properties[i].text)
                        assert_variant(value, first_properties[i].text);
                g_assert_nonnull(same);
                g_assert_true(property_varies(name) || g_variant_equal(value, same));
        }
        g_assert_cmpuint(g_variant_n_children(all), ==, ELEMENTSOF(first_properties));

        started = client_get(nobody, "StartUSec");
        since = client_get(nobody, "StateSinceUSec");
        g_assert_cmpuint(g_variant_get_uint64(started), >=, before_usec);
        g_assert_cmpuint(g_variant_get_uint64(since), >=, g_variant_get_uint64(started));
        g_assert_cmpuint(g_variant_get_uint64(since), <=, now_usec());

        /* With the reason for the polling. */
        status = client_get(nobody, "StatusText");
        g_assert_true(g_str_has_prefix(g_variant_get_string(status, NULL), "no matching worker is running"));
        g_assert_nonnull(strstr(g_variant_get_string(status, NULL), "not receiving thread creation events"));
        g_assert_nonnull(strstr(g_variant_get_string(status, NULL), "namespace"));

        assert_variant(client_call(nobody, "ListWorkers", NULL), "(@aa{sv} [],)");
        assert_variant(client_call(nobody, "ListEpisodes", NULL), "(@aa{sv} [],)");
}

/* Never more than what somebody set or the default, and never less than the bug needs on one CPU. */
static void test_crowd_size(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, "");
        g_autoptr(GVariant) built_in = client_get(client, "CrowdSizeInForce");

        g_assert_cmpfloat(g_variant_get_double(built_in), >=, 1.5);
        g_assert_cmpfloat(g_variant_get_double(built_in), <=, 4);

        client_set(client, "CrowdSize", g_variant_new_uint32(4));
        assert_property(client, "CrowdSizeInForce", "4.0");
        client_set(client, "CrowdSize", g_variant_new_uint32(1));
        assert_property(client, "CrowdSizeInForce", "1.0");
        client_set(client, "CrowdSize", g_variant_new_uint32(0));
        assert_property(client, "CrowdSizeInForce", "0.0");
}

/* It would have to read a file, which anybody could have the daemon do. Whoever asks is refused, and the
 * connection goes on. */
static void test_machine_id(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start_for(fixture, "", UID_NOBODY);
        g_autofree char *before = client_wait_owner(client, BUS_NAME), *after = NULL;

        for (unsigned i = 0; i < 3; i++)
                assert_reply_error(
                                client_ask(client, BUS_NAME, BUS_PATH, PEER_INTERFACE, "GetMachineId", NULL),
                                "org.freedesktop.DBus.Error.NotSupported", "GetMachineId");
        (void) reply_content(client_ask(client, BUS_NAME, BUS_PATH, PEER_INTERFACE, "Ping", NULL));

        assert_property(client, "State", "'idle'");
        after = client_wait_owner(client, BUS_NAME);
        g_assert_cmpstr(before, ==, after);
}

static void test_unknown(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, "");

        assert_reply_error(
                        client_ask(client, BUS_NAME, BUS_PATH, PROPERTIES_INTERFACE, "Get",
                                   g_variant_new("(ss)", BUS_INTERFACE, "Nonsense")),
                        ERROR_UNKNOWN_PROPERTY, "Nonsense");
        assert_reply_error(
                        client_ask(client, BUS_NAME, BUS_PATH, PROPERTIES_INTERFACE, "Get",
                                   g_variant_new("(ss)", "org.example.Nonsense", "State")),
                        ERROR_UNKNOWN_PROPERTY, "org.example.Nonsense");
        assert_reply_error(
                        client_ask(client, BUS_NAME, "/org/example", PROPERTIES_INTERFACE, "Get",
                                   g_variant_new("(ss)", BUS_INTERFACE, "State")),
                        "org.freedesktop.DBus.Error.UnknownObject", "/org/example");

        client_set_fails(client, "Nonsense", g_variant_new_uint32(1), ERROR_UNKNOWN_PROPERTY, "Nonsense");
        client_set_fails(client, "State", g_variant_new_string("busy"), ERROR_READ_ONLY, "State");
        client_set_fails(client, "Version", g_variant_new_string("9"), ERROR_READ_ONLY, "Version");

        /* The bus's policy lets through what it names, and for root nothing else either. */
        client_call_fails(client, "Nonsense", NULL, ERROR_ACCESS_DENIED, "Rejected send message");
        assert_reply_error(
                        client_ask(client, BUS_NAME, BUS_PATH, PEER_INTERFACE, "Nonsense", NULL),
                        "org.freedesktop.DBus.Error.UnknownMethod", "Nonsense");

        /* Arguments that are not what the method takes. */
        client_call_fails(client, "Pause", g_variant_new("(s)", "x"), ERROR_INVALID_ARGS, "");
        client_call_fails(client, "PauseFor", NULL, ERROR_INVALID_ARGS, "");
        client_call_fails(client, "PauseFor", g_variant_new("(i)", 1), ERROR_INVALID_ARGS, "");
        client_call_fails(client, "SetProperties", g_variant_new("(b)", true), ERROR_INVALID_ARGS, "");
        client_call_fails(client, "ForceSync", g_variant_new("(b)", true), ERROR_INVALID_ARGS, "");

        assert_property(client, "State", "'idle'");
        assert_property(client, "SyncCount", "uint64 0");
}

/* ---- the settings ---- */

static char *long_glob(size_t size) {
        g_autofree char *tail = g_strnfill(size - strlen("kworker/*"), 'x');

        return g_strconcat("kworker/*", tail, NULL);
}

/* The values on either side of each bound, as g_variant_parse() reads them, and what the error says. */
static const struct {
        const char *property;
        const char *below; /* NULL: there is none */
        const char *below_error;
        const char *minimum;
        const char *maximum;
        const char *above;
        const char *above_error;
        const char *other_types[4];
} bounds[] = {
        { "ThresholdUSec",
          "uint64 999999",
          "minimum of 1s",
          "uint64 1000000",
          "uint64 86400000000",
          "uint64 86400000001",
          "maximum of 24h",
          { "uint32 5000000", "int64 5000000", "'5s'", "5000000.0" } },
        { "CrowdSize",
          NULL,
          NULL,
          "uint32 0",
          "uint32 10000",
          "uint32 10001",
          "maximum of 10000",
          { "uint64 5", "int32 5", "'5'", "byte 5" } },
        { "CrowdThresholdUSec",
          "uint64 999999",
          "minimum of 1s",
          "uint64 1000000",
          "uint64 86400000000",
          "uint64 86400000001",
          "maximum of 24h",
          { "uint32 5000000", "int64 5000000", "'5s'", "true" } },
        { "PollIntervalUSec",
          "uint64 99999",
          "minimum of 100ms",
          "uint64 100000",
          "uint64 60000000",
          "uint64 60000001",
          "maximum of 1min",
          { "uint32 500000", "int64 500000", "'5s'", "[uint64 500000]" } },
        { "IdleScanIntervalUSec",
          "uint64 0",
          "minimum of 1s",
          "uint64 1000000",
          "uint64 600000000",
          "uint64 18446744073709551615",
          "maximum of 10min",
          { "uint32 5000000", "int64 5000000", "'5s'", "(uint64 5000000,)" } },
        { "RecoveryUSec",
          NULL,
          NULL,
          "uint64 0",
          "uint64 3600000000",
          "uint64 3600000001",
          "maximum of 1h",
          { "uint32 5000000", "int64 5000000", "'5s'", "<uint64 5000000>" } },
        { "FilesystemTimeoutUSec",
          "uint64 999999",
          "minimum of 1s",
          "uint64 1000000",
          "uint64 3600000000",
          "uint64 3600000001",
          "maximum of 1h",
          { "uint32 5000000", "int64 5000000", "'5s'", "@as []" } },
        { "SyncTimeoutUSec",
          "uint64 999999",
          "minimum of 1s",
          "uint64 1000000",
          "uint64 86400000000",
          "uint64 86400000001",
          "maximum of 24h",
          { "uint32 5000000", "int64 5000000", "'5s'", "@as []" } },
        { "DryRun", NULL, NULL, "false", "true", NULL, NULL, { "uint32 1", "'yes'", "byte 1", "uint64 1" } },
        { "CountWaiting",
          NULL,
          NULL,
          "false",
          "true",
          NULL,
          NULL,
          { "uint32 1", "'yes'", "byte 1", "uint64 1" } },
        { "SyncMethod",
          "''",
          "auto, sync or syncfs",
          "'auto'",
          "'syncfs'",
          "'Sync'",
          "auto, sync or syncfs",
          { "uint32 1", "true", "['sync']", "<'sync'>" } },
        { "Glob",
          "''",
          "must not be empty",
          "'*'",
          NULL,
          NULL,
          NULL,
          { "uint32 1", "@ay []", "['k']", "objectpath '/k'" } },
        { "Glob",
          "'a\\nb'",
          "control character",
          "'k*'",
          NULL,
          NULL,
          NULL,
          { "uint32 1", "signature 's'", "b'k'", "true" } },
};

static GVariant *parse(const char *text) {
        g_autoptr(GError) error = NULL;
        GVariant *value = g_variant_parse(NULL, text, NULL, NULL, &error);

        g_assert_no_error(error);
        return value;
}

/* Everything but what passes by itself. */
static char *settings_text(Client *client) {
        g_autoptr(GString) text = g_string_new(NULL);

        for (size_t i = 0; i < ELEMENTSOF(first_properties); i++)
                if (!property_varies(first_properties[i].name)) {
                        g_autoptr(GVariant) value = client_get(client, first_properties[i].name);
                        g_autofree char *printed = g_variant_print(value, true);

                        g_string_append_printf(text, "%s=%s\n", first_properties[i].name, printed);
                }

        return g_string_free(g_steal_pointer(&text), false);
}

/* Set and SetProperties, to last or not, refuse it with that text, and nothing has changed then. */
static void assert_refused(Client *client, const char *property, GVariant *value, const char *error) {
        g_autoptr(GVariant) kept = g_variant_ref_sink(value);
        g_autofree char *before = settings_text(client), *after = NULL, *changes = NULL;
        size_t n_before = client_count_messages(client);

        client_set_fails(client, property, kept, ERROR_INVALID_ARGS, error);
        client_set_fails(client, property, kept, ERROR_INVALID_ARGS, property);

        for (int runtime = 0; runtime <= 1; runtime++) {
                GVariantBuilder builder;

                g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
                g_variant_builder_add(&builder, "{sv}", property, kept);
                client_call_fails(
                                client, "SetProperties", g_variant_new("(ba{sv})", runtime, &builder),
                                ERROR_INVALID_ARGS, error);
        }

        after = settings_text(client);
        g_assert_cmpstr(before, ==, after);
        changes = client_changes_between(client, n_before, client_count_messages(client));
        g_assert_cmpstr(changes, ==, "");
}

static void test_bounds(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, "");
        g_autofree char *longest = long_glob(255), *too_long = long_glob(256);
        g_autofree char *lasting = g_build_filename(fixture->state_directory, LASTING_FILE, NULL);
        g_autoptr(GVariant) glob = NULL;

        for (size_t i = 0; i < ELEMENTSOF(bounds); i++) {
                const char *property = bounds[i].property;

                g_test_message("%s", property);
                if (bounds[i].below)
                        assert_refused(client, property, parse(bounds[i].below), bounds[i].below_error);
                if (bounds[i].above)
                        assert_refused(client, property, parse(bounds[i].above), bounds[i].above_error);

                client_set(client, property, parse(bounds[i].minimum));
                assert_property(client, property, bounds[i].minimum);
                if (bounds[i].maximum) {
                        client_set(client, property, parse(bounds[i].maximum));
                        assert_property(client, property, bounds[i].maximum);
                }
        }

        assert_refused(client, "Glob", g_variant_new_string(too_long), "maximum of 255 bytes");
        client_set(client, "Glob", g_variant_new_string(longest));
        glob = client_get(client, "Glob");
        g_assert_cmpstr(g_variant_get_string(glob, NULL), ==, longest);
        client_set(client, "Glob", g_variant_new_string("foo*"));
        fixture_wait_log(fixture, "Glob=foo*: cannot match any kernel worker");

        g_assert_false(g_file_test(lasting, G_FILE_TEST_EXISTS));
}

static void test_types(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, "");

        for (size_t i = 0; i < ELEMENTSOF(bounds); i++)
                for (size_t j = 0; j < ELEMENTSOF(bounds[i].other_types); j++) {
                        g_test_message("%s %s", bounds[i].property, bounds[i].other_types[j]);
                        assert_refused(client, bounds[i].property, parse(bounds[i].other_types[j]),
                                       "expected a value of type");
                }
}

/* One signal for one change, with all names, before the reply; none when nothing changes. */
static void test_one_signal(BusFixture *fixture, gconstpointer data) {
        static const struct {
                const char *properties;
                const char *changes;
        } cases[] = {
                { "{'Glob': <'kworker/*x*'>}", "Glob SettingOrigins" },
                { "{'ThresholdUSec': <uint64 2000000>}", "SettingOrigins ThresholdUSec" },
                { "{'CrowdSize': <uint32 5>}", "CrowdSize SettingOrigins" },
                { "{'CrowdThresholdUSec': <uint64 2000000>}", "CrowdThresholdUSec SettingOrigins" },
                { "{'PollIntervalUSec': <uint64 2000000>}", "PollIntervalUSec SettingOrigins" },
                { "{'CountWaiting': <true>}", "CountWaiting SettingOrigins" },
                { "{'IdleScanIntervalUSec': <uint64 2000000>}", "IdleScanIntervalUSec SettingOrigins" },
                { "{'SyncMethod': <'sync'>}", "SettingOrigins SyncMethod" },
                { "{'FilesystemTimeoutUSec': <uint64 2000000>}", "FilesystemTimeoutUSec SettingOrigins" },
                { "{'RecoveryUSec': <uint64 2000000>}", "RecoveryUSec SettingOrigins" },
                { "{'SyncTimeoutUSec': <uint64 2000000>}", "SettingOrigins SyncTimeoutUSec" },
                { "{'DryRun': <true>}", "DryRun SettingOrigins" },
                { "{'DryRun': <false>, 'CrowdSize': <uint32 6>, 'ThresholdUSec': <uint64 3000000>}",
                  "CrowdSize DryRun SettingOrigins ThresholdUSec" },
                { "{}", "" },
        };
        _cleanup_client_ Client *client = fixture_start(fixture, "");

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (unsigned round = 0; round < 2; round++) {
                        g_autoptr(GVariant) arguments = g_variant_ref_sink(
                                        set_properties_arguments(true, cases[i].properties));
                        g_autofree char *before_reply = NULL, *with_later = NULL;
                        size_t from = client_count_messages(client);
                        GDBusMessage *reply;

                        reply = client_wait_reply(
                                        client, client_send_method(client, "SetProperties", arguments));
                        (void) reply_content(reply);
                        before_reply = client_changes_between(client, from, client_index_of(client, reply));
                        g_assert_cmpstr(before_reply, ==, round == 0 ? cases[i].changes : "");

                        assert_property(client, "State", "'idle'");
                        with_later = client_changes_between(client, from, client_count_messages(client));
                        g_assert_cmpstr(with_later, ==, before_reply);
                }

        /* The same by Set; and the signal has the new values in it. */
        size_t from = client_count_messages(client);
        guint32 serial = client_send_set(client, "ThresholdUSec", g_variant_new_uint64(4000000));
        GDBusMessage *reply = client_wait_reply(client, serial);
        g_autofree char *changes = client_changes_between(client, from, client_index_of(client, reply));
        g_autofree char *history = client_history(client, "ThresholdUSec");
        g_assert_cmpstr(changes, ==, "SettingOrigins ThresholdUSec");
        g_assert_cmpstr(history, ==, "2000000 3000000 4000000");
}

static void assert_origin(Client *client, const char *property, const char *origin) {
        g_autoptr(GVariant) origins = client_get(client, "SettingOrigins");
        const char *found = NULL;

        g_assert_true(g_variant_lookup(origins, property, "&s", &found));
        g_assert_cmpstr(found, ==, origin);
}

static void test_all_or_nothing(BusFixture *fixture, gconstpointer data) {
        static const char *const cases[][2] = {
                { "{'ThresholdUSec': <uint64 2000000>, 'CrowdSize': <uint32 10001>}", "CrowdSize" },
                { "{'CrowdSize': <uint32 10001>, 'ThresholdUSec': <uint64 2000000>}", "CrowdSize" },
                { "{'ThresholdUSec': <uint64 2000000>, 'DryRun': <'yes'>}", "DryRun" },
                { "{'ThresholdUSec': <uint64 2000000>, 'SyncMethod': <'fsync'>}", "SyncMethod" },
                { "{'ThresholdUSec': <uint64 2000000>, 'Nonsense': <true>}", "Nonsense" },
                { "{'ThresholdUSec': <uint64 2000000>, 'SyncCount': <uint64 1>}", "SyncCount" },
                { "{'ThresholdUSec': <uint64 2000000>, 'thresholdusec': <uint64 2000000>}", "thresholdusec" },
                { "{'ThresholdUSec': <uint64 2000000>, '': <uint64 2000000>}", "no such setting" },
        };
        _cleanup_client_ Client *client = fixture_start(fixture, "");
        g_autofree char *before = settings_text(client), *after = NULL, *changes = NULL;
        g_autofree char *lasting = g_build_filename(fixture->state_directory, LASTING_FILE, NULL);
        size_t from = client_count_messages(client);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (int runtime = 0; runtime <= 1; runtime++)
                        client_call_fails(
                                        client, "SetProperties",
                                        set_properties_arguments(runtime, cases[i][0]), ERROR_INVALID_ARGS,
                                        cases[i][1]);

        after = settings_text(client);
        g_assert_cmpstr(before, ==, after);
        changes = client_changes_between(client, from, client_count_messages(client));
        g_assert_cmpstr(changes, ==, "");
        g_assert_false(g_file_test(lasting, G_FILE_TEST_EXISTS));
}

static void restart_daemon(BusFixture *fixture, Client *client) {

        fixture_stop_daemon(fixture);
        client_wait_no_owner(client, BUS_NAME);
        fixture_start_daemon(fixture, NULL);
        g_free(client_wait_owner(client, BUS_NAME));
}

static void test_lasting(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, "[Watch]\nCrowdSize=7\nThresholdSec=5s\n");
        g_autofree char *crowd_origin = g_strconcat(fixture->config, ":2", NULL);

        (void) client_call(
                        client, "SetProperties",
                        set_properties_arguments(
                                        false, "{'ThresholdUSec': <uint64 6000000>, "
                                               "'Glob': <'kworker/*y z*'>}"));
        (void) client_call(
                        client, "SetProperties",
                        set_properties_arguments(false, "{'DryRun': <true>, 'SyncMethod': <'syncfs'>}"));
        (void) client_call(
                        client, "SetProperties", set_properties_arguments(true, "{'CrowdSize': <uint32 9>}"));
        client_set(client, "RecoveryUSec", g_variant_new_uint64(0));
        assert_property(client, "ThresholdUSec", "uint64 6000000");
        assert_origin(client, "ThresholdUSec", "bus (permanent)");
        assert_origin(client, "CrowdSize", "bus");
        assert_origin(client, "RecoveryUSec", "bus");

        restart_daemon(fixture, client);
        assert_property(client, "ThresholdUSec", "uint64 6000000");
        assert_property(client, "Glob", "'kworker/*y z*'");
        assert_property(client, "DryRun", "true");
        assert_property(client, "SyncMethod", "'syncfs'");
        assert_origin(client, "ThresholdUSec", "bus (permanent)");
        assert_origin(client, "Glob", "bus (permanent)");
        assert_property(client, "CrowdSize", "uint32 7");
        assert_origin(client, "CrowdSize", crowd_origin);
        assert_property(client, "RecoveryUSec", "uint64 30000000");

        /* They outlive a reload, too. */
        client_set(client, "ThresholdUSec", g_variant_new_uint64(8000000));
        fixture_reload_daemon(fixture);
        assert_property(client, "ThresholdUSec", "uint64 6000000");
        assert_property(client, "CrowdSize", "uint32 7");
}

static void reset(Client *client, bool runtime, const char *names) {
        (void) client_call(
                        client, "ResetProperties",
                        g_variant_new("(b@as)", runtime, g_variant_new_parsed(names)));
}

/* Each setting goes back to what lies below: from the bus to the permanent file, the file, the default. */
static void test_reset(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client =
                        fixture_start(fixture, "[Watch]\nCrowdSize=7\nThresholdSec=5s\nPollIntervalSec=2s\n");
        g_autofree char *crowd_origin = g_strconcat(fixture->config, ":2", NULL),
                        *poll_origin = g_strconcat(fixture->config, ":4", NULL), *changes = NULL;
        size_t from;

        (void) client_call(
                        client, "SetProperties",
                        set_properties_arguments(
                                        false, "{'ThresholdUSec': <uint64 6000000>, 'CrowdSize': <uint32 8>, "
                                               "'DryRun': <true>}"));
        (void) client_call(
                        client, "SetProperties",
                        set_properties_arguments(
                                        true, "{'CrowdSize': <uint32 9>, 'RecoveryUSec': <uint64 0>, "
                                              "'PollIntervalUSec': <uint64 3000000>}"));

        /* Of what lasts until the next start, the named ones alone, in one signal. */
        from = client_count_messages(client);
        reset(client, true, "['CrowdSize', 'PollIntervalUSec', 'ThresholdUSec']");
        assert_property(client, "CrowdSize", "uint32 8");
        assert_origin(client, "CrowdSize", "bus (permanent)");
        assert_property(client, "PollIntervalUSec", "uint64 2000000");
        assert_origin(client, "PollIntervalUSec", poll_origin);
        assert_property(client, "ThresholdUSec", "uint64 6000000");
        assert_property(client, "RecoveryUSec", "uint64 0");
        changes = client_changes_between(client, from, client_count_messages(client));
        g_assert_cmpstr(changes, ==, "CrowdSize PollIntervalUSec SettingOrigins");

        /* All that is left of these; the permanent ones stand. */
        reset(client, true, "@as []");
        assert_property(client, "RecoveryUSec", "uint64 30000000");
        assert_origin(client, "RecoveryUSec", "built-in");
        assert_property(client, "DryRun", "true");

        /* What is permanent, too. */
        client_set(client, "CrowdSize", g_variant_new_uint32(9));
        reset(client, false, "['CrowdSize']");
        assert_property(client, "CrowdSize", "uint32 7");
        assert_origin(client, "CrowdSize", crowd_origin);
        assert_property(client, "ThresholdUSec", "uint64 6000000");
        restart_daemon(fixture, client);
        assert_property(client, "CrowdSize", "uint32 7");
        assert_property(client, "ThresholdUSec", "uint64 6000000");
        assert_property(client, "DryRun", "true");

        client_set(client, "RecoveryUSec", g_variant_new_uint64(0));
        reset(client, false, "@as []");
        assert_property(client, "ThresholdUSec", "uint64 5000000");
        assert_property(client, "DryRun", "false");
        assert_property(client, "RecoveryUSec", "uint64 30000000");
        restart_daemon(fixture, client);
        assert_property(client, "ThresholdUSec", "uint64 5000000");
        assert_property(client, "DryRun", "false");
}

static void test_reset_refused(BusFixture *fixture, gconstpointer data) {
        static const struct {
                const char *names, *error;
        } cases[] = {
                { "['CrowdSize', 'CrowdSise', 'x']", "CrowdSise, x: no such setting" },
                { "['State']", "State: no such setting" },
                { "['']", "no such setting" },
                { "['CrowdSize', 'DryRun', 'CrowdSize']", "CrowdSize: given twice" },
        };
        _cleanup_client_ Client *client = fixture_start(fixture, "");
        g_autofree char *long_name = g_strnfill(256, 'x');
        GVariantBuilder many;

        client_set(client, "CrowdSize", g_variant_new_uint32(9));
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (int runtime = 0; runtime <= 1; runtime++)
                        client_call_fails(
                                        client, "ResetProperties",
                                        g_variant_new("(b@as)", runtime,
                                                      g_variant_new_parsed(cases[i].names)),
                                        ERROR_INVALID_ARGS, cases[i].error);

        client_call_fails(
                        client, "ResetProperties",
                        g_variant_new("(b@as)", true, g_variant_new_strv((const char **) &long_name, 1)),
                        ERROR_INVALID_ARGS, "maximum of 255");

        g_variant_builder_init(&many, G_VARIANT_TYPE("as"));
        for (unsigned i = 0; i < 1000; i++)
                g_variant_builder_add(&many, "s", "\xc3\xbcnknown");
        client_call_fails(
                        client, "ResetProperties", g_variant_new("(bas)", true, &many), ERROR_INVALID_ARGS,
                        "\xc3\xbcnknown, \xc3\xbcnknown");
        assert_property(client, "CrowdSize", "uint32 9");
}

/* If the disk fails, all stays as it is, on the disk too. */
static void test_reset_fails(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, "");
        g_autofree char *lasting = g_build_filename(fixture->state_directory, LASTING_FILE, NULL),
                        *moved = g_strconcat(lasting, ".moved", NULL), *before = NULL, *after = NULL;

        (void) client_call(
                        client, "SetProperties",
                        set_properties_arguments(false, "{'ThresholdUSec': <uint64 6000000>}"));
        client_set(client, "CrowdSize", g_variant_new_uint32(9));
        before = settings_text(client);

        /* It can't be read. */
        g_assert_no_errno(rename(lasting, moved));
        g_assert_no_errno(mkdir(lasting, 0700));
        for (int runtime = 0; runtime <= 1; runtime++)
                client_call_fails(
                                client, "ResetProperties",
                                g_variant_new("(b@as)", runtime, g_variant_new_parsed("@as []")),
                                BUS_ERROR_STORE_FAILED, "not reset: Is a directory");
        g_assert_no_errno(rmdir(lasting));
        g_assert_no_errno(rename(moved, lasting));

        /* The configuration can't be read. */
        g_assert_no_errno(remove(fixture->config));
        client_call_fails(
                        client, "ResetProperties",
                        g_variant_new("(b@as)", false, g_variant_new_parsed("@as []")),
                        BUS_ERROR_STORE_FAILED, "not reset: No such file");

        after = settings_text(client);
        g_assert_cmpstr(before, ==, after);
        fixture_write_config(fixture, "");
        restart_daemon(fixture, client);
        assert_property(client, "ThresholdUSec", "uint64 6000000");
}

/* While the disk does not answer. What is set meanwhile is taken back, too, and nothing else is touched. */
static void test_reset_hangs(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, "");
        guint32 serial;

        client_set(client, "CrowdSize", g_variant_new_uint32(9));
        fixture_signal_helper(fixture, HELPER_STORAGE, SIGSTOP);
        serial = client_send_method(
                        client, "ResetProperties",
                        g_variant_new("(b@as)", true, g_variant_new_parsed("['CrowdSize', 'RecoveryUSec']")));
        client_call_fails(
                        client, "SetProperties", set_properties_arguments(false, "{'CrowdSize': <uint32 5>}"),
                        BUS_ERROR_BUSY, "being stored or read");
        client_call_fails(
                        client, "ResetProperties",
                        g_variant_new("(b@as)", false, g_variant_new_parsed("@as []")), BUS_ERROR_BUSY,
                        "being stored or read");
        /* Nothing to take back, and thus no need of the disk. */
        reset(client, true, "['Glob']");
        client_set(client, "DryRun", g_variant_new_boolean(true));
        assert_property(client, "CrowdSize", "uint32 9");
        g_assert_false(client_has_reply(client, serial));

        fixture_signal_helper(fixture, HELPER_STORAGE, SIGCONT);
        (void) reply_content(client_wait_reply(client, serial));
        assert_property(client, "CrowdSize", "uint32 4");
        assert_property(client, "DryRun", "true");
}

static void test_reload(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, "[Watch]\nThresholdSec=5s\n");
        g_autofree char *origin = g_strconcat(fixture->config, ":2", NULL), *history = NULL;

        client_set(client, "ThresholdUSec", g_variant_new_uint64(6000000));
        fixture_reload_daemon(fixture);
        assert_property(client, "ThresholdUSec", "uint64 5000000");
        assert_origin(client, "ThresholdUSec", origin);

        fixture_write_config(fixture, "[Watch]\nThresholdSec=7s\n");
        fixture_reload_daemon(fixture);
        assert_property(client, "ThresholdUSec", "uint64 7000000");

        /* A bad value is a warning, and what stood before it stands. */
        fixture_write_config(fixture, "[Watch]\nThresholdSec=100ms\nCrowdSize=3\n");
        fixture_reload_daemon(fixture);
        assert_property(client, "ThresholdUSec", "uint64 30000000");
        assert_property(client, "CrowdSize", "uint32 3");
        fixture_wait_log(fixture, "minimum of 1s");

        /* A file that is gone leaves all as it is. */
        g_assert_cmpint(remove(fixture->config), ==, 0);
        fixture_reload_daemon(fixture);
        assert_property(client, "CrowdSize", "uint32 3");
        fixture_wait_log(fixture, "keeping the settings in force");

        history = client_history(client, "ThresholdUSec");
        g_assert_cmpstr(history, ==, "6000000 5000000 7000000 30000000");
}

/* A socket where the daemon expects wbwatch-syncfs. */
static int bind_socket(const char *path, int type) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        g_autofree char *folder = g_path_get_dirname(path);
        int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

        g_assert_no_errno(fd);
        g_assert_no_errno(g_mkdir_with_parents(folder, 0755));
        g_assert_cmpuint(
                        g_strlcpy(address.sun_path, path, sizeof(address.sun_path)), <,
                        sizeof(address.sun_path));
        g_assert_no_errno(bind(fd, (const struct sockaddr *) &address, sizeof(address)));
        return fd;
}

/* While nobody answers there, the self-test does not end. */
static int listen_for_helpers(void) {
        int fd = bind_socket(SYNCFS_SOCKET, SOCK_SEQPACKET);

        g_assert_no_errno(listen(fd, 64));
        return fd;
}

/* Starts it, and does not wait until it is ready. */
static void begin_daemon(BusFixture *fixture) {
        const DaemonSettings settings = {
                .folder = fixture->folder,
                .bus_address = fixture->bus_address,
                .state_directory = fixture->state_directory,
        };
        const char *const arguments[] = { "--debug",          "--no-bus", "--socket-dir=", "--proc-root",
                                          fixture->proc.root, "--config", fixture->config, NULL };
        int log_fd;

        fixture->daemon = daemon_start(&settings, &fixture->notify, arguments, &log_fd);
        daemon_log_begin(&fixture->log, log_fd);
}

/* The messages to the service manager with this text, up to that of the stop. */
static unsigned count_notified(BusFixture *fixture, const char *text) {
        unsigned n = 0;

        for (;;) {
                g_autofree char *message = notify_socket_take(&fixture->notify, fixture->deadline_usec);

                g_assert_nonnull(message);
                if (strstr(message, "STOPPING=1"))
                        return n;
                n += strstr(message, text) != NULL;
        }
}

/* A reload during the self-test does not make the daemon ready. */
static void test_reload_before_ready(BusFixture *fixture, gconstpointer data) {
        int fd = listen_for_helpers();
        struct pollfd begun = { .fd = fd, .events = POLLIN };

        begin_daemon(fixture);
        g_assert_cmpint(poll(&begun, 1, deadline_msec_left(fixture->deadline_usec)), ==, 1);
        g_assert_no_errno(kill(fixture->daemon.pid, SIGHUP));
        fixture_wait_notify(fixture, "RELOADING=1");
        fixture_wait_log(fixture, "Reloaded");

        g_assert_no_errno(close(fd));
        g_assert_no_errno(unlink(SYNCFS_SOCKET));
        fixture_wait_log(fixture, "The self-test passed");
        fixture_stop_daemon(fixture);
        g_assert_cmpuint(count_notified(fixture, "READY=1"), ==, 1);
}

static void test_store_fails(BusFixture *fixture, gconstpointer data) {
        g_autofree char *file = g_build_filename(fixture->folder, "file", NULL);
        _cleanup_client_ Client *client = NULL;
        g_autofree char *before = NULL, *after = NULL, *changes = NULL;
        size_t from;

        g_assert_true(g_file_set_contents(file, "", 0, NULL));
        g_free(fixture->state_directory);
        fixture->state_directory = g_build_filename(file, "state", NULL);

        client = fixture_start(fixture, "");
        before = settings_text(client);
        from = client_count_messages(client);
        client_call_fails(
                        client, "SetProperties",
                        set_properties_arguments(false, "{'ThresholdUSec': <uint64 6000000>}"),
                        BUS_ERROR_STORE_FAILED, "Not a directory");

        after = settings_text(client);
        g_assert_cmpstr(before, ==, after);
        changes = client_changes_between(client, from, client_count_messages(client));
        g_assert_cmpstr(changes, ==, "");

        /* For the time being they can still be set. */
        (void) client_call(
                        client, "SetProperties",
                        set_properties_arguments(true, "{'ThresholdUSec': <uint64 6000000>}"));
        assert_property(client, "ThresholdUSec", "uint64 6000000");
}

/* While the disk does not answer. */
static void test_store_hangs(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, "");
        guint32 serial;

        fixture_signal_helper(fixture, HELPER_STORAGE, SIGSTOP);
        serial = client_send_method(
                        client, "SetProperties",
                        set_properties_arguments(false, "{'ThresholdUSec': <uint64 6000000>}"));

        client_call_fails(
                        client, "SetProperties", set_properties_arguments(false, "{'CrowdSize': <uint32 5>}"),
                        BUS_ERROR_BUSY, "being stored or read");
        assert_property(client, "ThresholdUSec", "uint64 30000000");
        assert_property(client, "CrowdSize", "uint32 4");

        /* What is set meanwhile, and not to last, stands beside it; a reload waits for its turn. */
        client_set(client, "CrowdSize", g_variant_new_uint32(6));
        assert_property(client, "CrowdSize", "uint32 6");
        g_assert_false(client_has_reply(client, serial));

        fixture_signal_helper(fixture, HELPER_STORAGE, SIGCONT);
        (void) reply_content(client_wait_reply(client, serial));
        assert_property(client, "ThresholdUSec", "uint64 6000000");
        assert_property(client, "CrowdSize", "uint32 6");

        fixture_signal_helper(fixture, HELPER_STORAGE, SIGSTOP);
        serial = client_send_method(
                        client, "SetProperties",
                        set_properties_arguments(false, "{'ThresholdUSec': <uint64 7000000>}"));
        client_settle(client);
        assert_property(client, "ThresholdUSec", "uint64 6000000");
        g_assert_cmpint(kill(fixture->daemon.pid, SIGHUP), ==, 0);
        fixture_wait_notify(fixture, "RELOADING=1");
        g_assert_false(client_has_reply(client, serial));
        fixture_signal_helper(fixture, HELPER_STORAGE, SIGCONT);
        (void) reply_content(client_wait_reply(client, serial));
        fixture_wait_notify(fixture, "READY=1");
        assert_property(client, "ThresholdUSec", "uint64 7000000");
        assert_property(client, "CrowdSize", "uint32 4");
}

static void test_store_dies(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, "");
        guint32 serial;

        fixture_signal_helper(fixture, HELPER_STORAGE, SIGSTOP);
        serial = client_send_method(
                        client, "SetProperties",
                        set_properties_arguments(false, "{'ThresholdUSec': <uint64 6000000>}"));
        client_settle(client);
        assert_property(client, "ThresholdUSec", "uint64 30000000");
        fixture_signal_helper(fixture, HELPER_STORAGE, SIGKILL);
        assert_reply_error(client_wait_reply(client, serial), BUS_ERROR_STORE_FAILED, "not stored");
        assert_property(client, "ThresholdUSec", "uint64 30000000");

        (void) client_call(
                        client, "SetProperties",
                        set_properties_arguments(false, "{'ThresholdUSec': <uint64 7000000>}"));
        assert_property(client, "ThresholdUSec", "uint64 7000000");
}

/* The caller is lost with its bus while the disk does not answer. What it requested is done all the same,
 * over what was set meanwhile. */
static void test_store_caller_lost(BusFixture *fixture, gconstpointer data) {
        Client *client = fixture_start(fixture, "");
        _cleanup_client_ Client *later = NULL;

        fixture_signal_helper(fixture, HELPER_STORAGE, SIGSTOP);
        (void) client_send_method(
                        client, "SetProperties",
                        set_properties_arguments(
                                        false, "{'ThresholdUSec': <uint64 6000000>, "
                                               "'Glob': <'kworker/*y z*'>}"));
        client_settle(client);
        assert_property(client, "ThresholdUSec", "uint64 30000000");
        client_free(client);
        fixture_stop_bus(fixture);
        fixture_wait_log(fixture, "The bus was lost");

        fixture_start_bus(fixture);
        later = client_new(fixture, UID_ROOT);
        g_free(client_wait_owner(later, BUS_NAME));
        client_set(later, "CrowdSize", g_variant_new_uint32(6));
        assert_property(later, "ThresholdUSec", "uint64 30000000");
        client_call_fails(
                        later, "SetProperties", set_properties_arguments(false, "{'CrowdSize': <uint32 5>}"),
                        "org.wbwatch1.Error.Busy", "being stored or read");

        fixture_signal_helper(fixture, HELPER_STORAGE, SIGCONT);
        client_wait_property(later, "ThresholdUSec", "uint64 6000000");
        assert_property(later, "Glob", "'kworker/*y z*'");
        assert_property(later, "CrowdSize", "uint32 6");
        assert_origin(later, "ThresholdUSec", "bus (permanent)");
        assert_origin(later, "CrowdSize", "bus");
}

/* ---- pauses ---- */

static void test_pause(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, SYNC_SETTINGS);
        g_autofree char *changes = NULL, *again = NULL, *history = NULL;
        size_t from = client_count_messages(client);
        GDBusMessage *reply;

        reply = client_wait_reply(client, client_send_method(client, "Pause", NULL));
        g_assert_null(reply_content(reply));
        changes = client_changes_between(client, from, client_index_of(client, reply));
        g_assert_cmpstr(changes, ==, "PausedUntilUSec State StateSinceUSec");
        assert_property(client, "PausedUntilUSec", "uint64 18446744073709551615");
        assert_property(client, "State", "'paused'");

        /* A requested sync is made all the same, and the pause goes on behind it. */
        (void) client_call(client, "ForceSync", NULL);
        client_wait_property(client, "State", "'paused'");
        assert_property(client, "SyncCount", "uint64 1");

        (void) client_call(client, "PauseFor", g_variant_new("(t)", USEC_PER_HOUR));
        (void) client_call(client, "PauseFor", g_variant_new("(t)", USEC_INFINITY));
        assert_property(client, "PausedUntilUSec", "uint64 18446744073709551615");

        (void) client_call(client, "Resume", NULL);
        assert_property(client, "PausedUntilUSec", "uint64 0");
        assert_property(client, "State", "'recovery'");

        from = client_count_messages(client);
        (void) client_call(client, "Resume", NULL);
        again = client_changes_between(client, from, client_count_messages(client));
        g_assert_cmpstr(again, ==, "");

        history = client_history(client, "State");
        g_assert_cmpstr(history, ==, "paused syncing paused recovery");
}

static void test_pause_for(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, FAST_SETTINGS);
        guint64 before_usec = now_usec(), until_usec;
        g_autoptr(GVariant) value = NULL;
        g_autofree char *history = NULL;

        (void) client_call(client, "PauseFor", g_variant_new("(t)", USEC_PER_SEC));
        value = client_get(client, "PausedUntilUSec");
        until_usec = g_variant_get_uint64(value);
        g_assert_cmpuint(until_usec, >=, before_usec + USEC_PER_SEC);
        g_assert_cmpuint(until_usec, <=, now_usec() + USEC_PER_SEC);

        /* It ends by itself. */
        client_wait_property(client, "State", "'idle'");
        assert_property(client, "PausedUntilUSec", "uint64 0");
        g_assert_cmpuint(now_usec(), >=, until_usec);
        history = client_history(client, "State");
        g_assert_cmpstr(history, ==, "paused idle");

        client_call_fails(
                        client, "PauseFor", g_variant_new("(t)", UINT64_C(0)), ERROR_INVALID_ARGS,
                        "minimum of 1us");
        assert_property(client, "State", "'idle'");
}

/* Paused, it reports what it sees and does not sync; resumed, it does at once. */
static void test_paused_episode(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, FAST_SETTINGS);
        g_autofree char *history = NULL;

        (void) client_call(client, "Pause", NULL);
        fixture_add_worker(fixture);
        (void) client_wait_signal(client, "EpisodeStarted");
        assert_property(client, "SyncCount", "uint64 0");
        assert_property(client, "State", "'paused'");

        (void) client_call(client, "Resume", NULL);
        (void) client_wait_signal(client, "SyncStarted");
        fixture_remove_worker(fixture);
        client_wait_property(client, "State", "'idle'");
        history = client_history(client, "State");
        g_assert_cmpstr(history, ==, "paused busy syncing recovery idle");
}

/* ---- wbctl doctor ---- */

/* What it prints about a fixed kernel. */
static char *run_doctor(const BusFixture *fixture, int expected) {
        g_autofree char *table = fixture_source_file("client/kernels.conf"), *err = NULL;
        g_autofree char *release = g_build_filename(fixture->folder, "proc/sys/kernel/osrelease", NULL);
        g_autofree char *folder = g_path_get_dirname(release);
        g_autofree char *arguments = g_strdup_printf(
                        "doctor --observe=0 --json --root='%s' --table='%s'", fixture->folder, table);
        char *out;

        g_assert_cmpint(g_mkdir_with_parents(folder, 0755), ==, 0);
        g_assert_true(g_file_set_contents(release, "6.12.112", -1, NULL));
        g_assert_cmpint(run_wbctl(arguments, fixture->bus_address, &out, &err), ==, expected);
        g_test_message("%s", out);
        g_assert_cmpstr(err, ==, "");
        return out;
}

/* Asserts that there is a line for this check, with this evidence. */
static void assert_check(const char *json, const char *check, const char *result, const char *evidence) {
        g_autofree char *line = g_strdup_printf(
                        "\"Check\":\"%s\",\"Result\":\"%s\",\"Evidence\":\"%s", check, result, evidence);

        if (!strstr(json, line))
                g_test_fail_printf("missing: %s", line);
}

static void test_doctor(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, FAST_SETTINGS);
        g_autofree char *well = NULL, *stalled = NULL, *ended = NULL;

        well = run_doctor(fixture, 0);
        assert_check(well, "wbwatchd", "ok", "running, idle");
        assert_check(well, "episodes", "ok", "wbwatchd recorded no stall");
        g_assert_null(strstr(well, "resume"));

        (void) client_call(client, "Pause", NULL);
        fixture_add_worker(fixture);
        (void) client_wait_signal(client, "EpisodeStarted");
        (void) client_call(
                        client, "SetProperties",
                        set_properties_arguments(true, "{'Glob': <'kworker/*+x'>, 'DryRun': <true>}"));
        stalled = run_doctor(fixture, 2);
        assert_check(stalled, "episodes", "bad",
                     "wbwatchd recorded 1 stall of inode_switch_wbs; a sync ended 0");
        assert_check(stalled, "pause", "bad", "");
        assert_check(stalled, "dry run", "bad", "");
        assert_check(stalled, "glob", "bad", "kworker/*+x does not match kworker/0:1+inode_switch_wbs");

        fixture_stop_daemon(fixture);
        ended = run_doctor(fixture, 0);
        assert_check(ended, "wbwatchd", "bad", "wbwatchd is not running");
}

/* ---- requested syncs ---- */

static void assert_signal(GVariant *content, guint64 id, guint64 episode, const char *details_format, ...)
                G_GNUC_PRINTF(4, 5);
static void assert_signal(GVariant *content, guint64 id, guint64 episode, const char *details_format, ...) {
        g_autoptr(GVariant) details = NULL;
        g_autofree char *found = NULL, *expected = NULL;
        guint64 found_id, found_episode;
        va_list arguments;

        g_variant_get(content, "(tt@a{sv})", &found_id, &found_episode, &details);
        g_assert_cmpuint(found_id, ==, id);
        g_assert_cmpuint(found_episode, ==, episode);

        va_start(arguments, details_format);
        expected = g_strdup_vprintf(details_format, arguments);
        va_end(arguments);
        found = dictionary_text(details);
        g_assert_cmpstr(found, ==, expected);
}

static guint64 lookup_uint64(GVariant *dictionary, const char *key) {
        guint64 value = 0;

        g_assert_true(g_variant_lookup(dictionary, key, "t", &value));
        return value;
}

/* The evidence of an episode or a sync, as text. It has the figures of every kernel, by name and type. */
static char *evidence_text(GVariant *dictionary, bool in_episode) {
        g_autoptr(GVariant) evidence = g_variant_lookup_value(dictionary, "Evidence", G_VARIANT_TYPE_VARDICT);
        size_t n_known = 0;

        g_assert_nonnull(evidence);
        for (EvidenceId id = 0; id < _EVIDENCE_MAX; id++) {
                const EvidenceInfo *info = &evidence_table[id];
                const GVariantType *type = info->unit == EVIDENCE_UNIT_PERCENT ? G_VARIANT_TYPE_DOUBLE
                                                                               : G_VARIANT_TYPE_UINT64;
                g_autoptr(GVariant) value = g_variant_lookup_value(evidence, info->key, NULL);

                if (value) {
                        g_assert_true(g_variant_is_of_type(value, type));
                        n_known++;
                }
        }
        g_assert_cmpuint(g_variant_n_children(evidence), ==, n_known);
        g_assert_true(g_variant_lookup(evidence, "DirtyBytes", "t", NULL));
        g_assert_true(g_variant_lookup(evidence, "WritebackBytes", "t", NULL));
        g_assert_true(g_variant_lookup(evidence, "VmscanWrites", "t", NULL));
        g_assert_true(g_variant_lookup(evidence, "AllocationStalls", "t", NULL));
        g_assert_cmpuint(lookup_uint64(evidence, "PendingFilesystems"), ==, 0);
        g_assert_cmpint(g_variant_lookup(evidence, "WorkersCPU", "d", NULL), ==, in_episode);
        return g_variant_print(evidence, true);
}

/* The same of a signal. */
static char *evidence_of_signal(GVariant *content, bool in_episode) {
        g_autoptr(GVariant) details = NULL;

        g_variant_get_child(content, 2, "@a{sv}", &details);
        return evidence_text(details, in_episode);
}

/* The root of cgroup v2 that the daemon sees is not that of the machine which it watches. */
static void test_evidence_of_another_machine(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = NULL;
        g_autofree char *evidence = NULL;

        g_assert_no_errno(mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, NULL));
        g_assert_true(g_file_set_contents(
                        "/sys/fs/cgroup/cgroup.stat", "nr_descendants 1\nnr_dying_descendants 7\n", -1,
                        NULL));
        client = fixture_start(fixture, SYNC_SETTINGS);
        (void) client_call(client, "ForceSync", NULL);
        evidence = evidence_of_signal(client_wait_signal(client, "SyncFinished"), false);
        g_assert_null(strstr(evidence, "DyingCgroups"));
        g_assert_no_errno(umount2("/sys/fs/cgroup", MNT_DETACH));
}

/* Helpers that do not even list the filesystems delay what is reported by no more than a scan. */
static void test_report_waits_for_a_scan(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, "[Watch]\nSyncMethod=syncfs\n");
        g_autoptr(GArray) helpers = process_children(fixture->daemon.pid, "wbwatchd-syncfs");
        guint32 serial;

        g_assert_cmpuint(helpers->len, >, 0);
        for (size_t i = 0; i < helpers->len; i++)
                g_assert_no_errno(kill(g_array_index(helpers, pid_t, i), SIGSTOP));
        serial = client_send_method(client, "ForceSync", NULL);
        (void) client_wait_signal(client, "SyncStarted");
        assert_property(client, "State", "'syncing'");
        g_assert_cmpuint(client_count_signals(client, "SyncFinished"), ==, 0);

        for (size_t i = 0; i < helpers->len; i++)
                g_assert_no_errno(kill(g_array_index(helpers, pid_t, i), SIGCONT));
        (void) reply_content(client_wait_reply(client, serial));
        g_free(evidence_of_signal(client_wait_signal(client, "SyncFinished"), false));
}

static guint64 get_uint64(Client *client, const char *property) {
        g_autoptr(GVariant) value = client_get(client, property);

        return g_variant_get_uint64(value);
}

static void test_force_sync(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, SYNC_SETTINGS "RecoverySec=0\n");
        guint64 before_usec = now_usec(), start_usec, duration_usec;
        g_autofree char *changes = NULL, *history = NULL, *evidence = NULL;
        size_t from = client_count_messages(client);
        GDBusMessage *reply;
        GVariant *finished;

        reply = client_wait_reply(client, client_send_method(client, "ForceSync", NULL));
        g_variant_get(reply_content(reply), "(t)", &duration_usec);
        start_usec = get_uint64(client, "LastSyncUSec");
        g_assert_cmpuint(start_usec, >=, before_usec);
        g_assert_cmpuint(start_usec + duration_usec, <=, now_usec());

        assert_property(client, "SyncCount", "uint64 1");
        g_assert_cmpuint(get_uint64(client, "LastSyncDurationUSec"), ==, duration_usec);
        assert_property(client, "LastSyncResult", "'ok'");
        client_wait_property(client, "State", "'idle'");

        assert_signal(client_wait_signal(client, "SyncStarted"), 1, 0,
                      "DryRun: false, LongestRunUSec: uint64 0, Method: 'sync', Requested: true, Rule: '', "
                      "StartUSec: uint64 %" G_GUINT64_FORMAT ", WorkerCount: uint32 0",
                      start_usec);
        finished = client_wait_signal(client, "SyncFinished");
        evidence = evidence_of_signal(finished, false);
        assert_signal(finished, 1, 0,
                      "DryRun: false, DurationUSec: uint64 %" G_GUINT64_FORMAT
                      ", Evidence: %s, Filesystems: @aa{sv} [], Helped: 'pending', Method: 'sync', "
                      "Requested: true, Result: 'ok', StartUSec: uint64 %" G_GUINT64_FORMAT,
                      duration_usec, evidence, start_usec);
        assert_property(client, "FilesystemResults", "@aa{sv} []");
        g_assert_cmpuint(client_count_signals(client, "SyncStarted"), ==, 1);
        g_assert_cmpuint(client_count_signals(client, "SyncFinished"), ==, 1);

        /* All is reported before the reply. */
        changes = client_changes_between(client, from, client_index_of(client, reply));
        g_assert_cmpstr(changes, ==,
                        "FilesystemResults State StateSinceUSec SyncCount; "
                        "LastSyncDurationUSec LastSyncResult LastSyncUSec State StateSinceUSec");
        history = client_history(client, "State");
        g_assert_cmpstr(history, ==, "syncing idle");
}

/* A person requests it: so it is made. */
static void test_force_sync_dry_run(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, SYNC_SETTINGS "DryRun=yes\n");
        g_autoptr(GVariant) details = NULL;
        gboolean dry_run = true;

        (void) client_call(client, "ForceSync", NULL);
        assert_property(client, "SyncCount", "uint64 1");
        assert_property(client, "LastSyncResult", "'ok'");
        g_variant_get_child(client_wait_signal(client, "SyncStarted"), 2, "@a{sv}", &details);
        g_assert_true(g_variant_lookup(details, "DryRun", "b", &dry_run));
        g_assert_false(dry_run);
        g_assert_cmpuint(client_count_signals(client, "SyncFinished"), ==, 1);
}

/* Each filesystem that this machine has, as it answered, and the same in the signal. */
static void test_filesystem_results(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, "[Watch]\nSyncMethod=auto\n");
        g_autoptr(GVariant) results = NULL, details = NULL, filesystems = NULL;

        (void) client_call(client, "ForceSync", NULL);
        results = client_get(client, "FilesystemResults");
        g_variant_get_child(client_wait_signal(client, "SyncFinished"), 2, "@a{sv}", &details);
        filesystems = g_variant_lookup_value(details, "Filesystems", G_VARIANT_TYPE("aa{sv}"));
        g_assert_nonnull(filesystems);
        g_assert_cmpuint(g_variant_n_children(filesystems), <=, g_variant_n_children(results));

        for (size_t i = 0; i < g_variant_n_children(results); i++) {
                g_autoptr(GVariant) filesystem = g_variant_get_child_value(results, i);
                const char *mountpoint = NULL, *type = NULL, *result = NULL;
                guint64 duration_usec;

                g_assert_true(g_variant_lookup(filesystem, "Mountpoint", "&s", &mountpoint));
                g_assert_true(g_variant_lookup(filesystem, "Type", "&s", &type));
                g_assert_true(g_variant_lookup(filesystem, "Result", "&s", &result));
                g_assert_true(g_variant_lookup(filesystem, "DurationUSec", "t", &duration_usec));
                g_assert_cmpuint(g_variant_n_children(filesystem), ==, 4);
                g_test_message("%s (%s): %s", mountpoint, type, result);
                g_assert_true(g_path_is_absolute(mountpoint));
                g_assert_cmpstr(type, !=, "");
                g_assert_cmpstr(result, !=, "pending");
        }

        /* The next one by sync(2) alone leaves none of them. */
        client_set(client, "SyncMethod", g_variant_new_string("sync"));
        (void) client_call(client, "ForceSync", NULL);
        assert_property(client, "FilesystemResults", "@aa{sv} []");
}

/* Whoever comes during a sync waits for the next, which is one for all of them. */
static void test_force_sync_shared(BusFixture *fixture, gconstpointer data) {
        enum {
                N = 20
        };
        _cleanup_client_ Client *first = fixture_start(fixture, SYNC_SETTINGS);
        _cleanup_client_ Client *second = client_new(fixture, UID_ROOT);
        _cleanup_client_ Client *third = client_new(fixture, UID_ROOT);
        Client *const others[] = { second, third };
        guint32 first_serial, serials[N];
        guint64 duration_usec;
        GVariant *signal;

        fixture_signal_helper(fixture, HELPER_SYNC, SIGSTOP);
        first_serial = client_send_method(first, "ForceSync", NULL);
        client_wait_property(first, "State", "'syncing'");

        for (size_t i = 0; i < N; i++)
                serials[i] = client_send_method(others[i % 2], "ForceSync", NULL);
        client_settle(second);
        client_settle(third);
        assert_property(first, "State", "'syncing'");
        assert_property(first, "SyncCount", "uint64 1");
        g_assert_false(client_has_reply(first, first_serial));

        fixture_signal_helper(fixture, HELPER_SYNC, SIGCONT);
        (void) reply_content(client_wait_reply(first, first_serial));

        (void) client_wait_signal(others[0], "SyncFinished");
        signal = client_wait_signal(others[0], "SyncFinished");
        g_variant_get_child(signal, 0, "t", &duration_usec);
        g_assert_cmpuint(duration_usec, ==, 2);
        duration_usec = get_uint64(first, "LastSyncDurationUSec");
        for (size_t i = 0; i < N; i++) {
                guint64 replied_usec;

                g_variant_get(reply_content(client_wait_reply(others[i % 2], serials[i])), "(t)",
                              &replied_usec);
                g_assert_cmpuint(replied_usec, ==, duration_usec);
        }

        assert_property(first, "SyncCount", "uint64 2");
        g_assert_cmpuint(client_count_signals(first, "SyncStarted"), ==, 2);
}

static void test_force_sync_stalls(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client =
                        fixture_start(fixture, SYNC_SETTINGS "SyncTimeoutSec=1s\nRecoverySec=0\n");
        g_autofree char *states = NULL;
        guint64 duration_usec;
        GDBusMessage *reply;
        guint32 serial;

        fixture_signal_helper(fixture, HELPER_SYNC, SIGSTOP);
        serial = client_send_method(client, "ForceSync", NULL);
        assert_reply_error(client_wait_reply(client, serial), BUS_ERROR_SYNC_FAILED, "The sync stalled");
        assert_property(client, "LastSyncResult", "'stalled'");
        g_assert_cmpuint(get_uint64(client, "LastSyncDurationUSec"), >=, USEC_PER_SEC);
        g_assert_cmpuint(get_uint64(client, "LastSyncUSec"), >, 0);
        assert_property(client, "SyncCount", "uint64 1");
        client_wait_property(client, "State", "'idle'");
        g_assert_cmpuint(client_count_signals(client, "SyncFinished"), ==, 1);
        states = client_history(client, "State");
        g_assert_cmpstr(states, ==, "syncing idle");

        /* Nothing is queued behind it. When it has returned after all, there can be another one. */
        client_call_fails(client, "ForceSync", NULL, BUS_ERROR_SYNC_FAILED, "The sync ");
        fixture_signal_helper(fixture, HELPER_SYNC, SIGCONT);
        for (;;) {
                reply = client_wait_reply(client, client_send_method(client, "ForceSync", NULL));
                if (g_dbus_message_get_message_type(reply) == G_DBUS_MESSAGE_TYPE_METHOD_RETURN)
                        break;
                assert_reply_error(reply, BUS_ERROR_SYNC_FAILED, "");
                g_assert_cmpint(g_get_monotonic_time(), <, fixture->deadline_usec);
        }
        g_variant_get(reply_content(reply), "(t)", &duration_usec);
        assert_property(client, "LastSyncResult", "'ok'");
        g_assert_cmpuint(get_uint64(client, "LastSyncDurationUSec"), ==, duration_usec);
}

static void test_force_sync_fails(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, SYNC_SETTINGS);
        guint32 serial;

        fixture_signal_helper(fixture, HELPER_SYNC, SIGSTOP);
        serial = client_send_method(client, "ForceSync", NULL);
        client_wait_property(client, "State", "'syncing'");
        fixture_signal_helper(fixture, HELPER_SYNC, SIGKILL);
        assert_reply_error(client_wait_reply(client, serial), BUS_ERROR_SYNC_FAILED, "The sync failed");
        assert_property(client, "LastSyncResult", "'failed'");
        client_wait_property(client, "State", "'idle'");

        (void) client_call(client, "ForceSync", NULL);
        assert_property(client, "LastSyncResult", "'ok'");
        assert_property(client, "SyncCount", "uint64 2");
}

/* One of all filesystems fails: the caller and the log learn which. */
static void test_force_sync_one_fails(BusFixture *fixture, gconstpointer data) {
        SyncRecords *records = sync_witness_new(fixture);
        OwnDisk disk = own_disk_new();
        _cleanup_client_ Client *client = fixture_start(fixture, "[Watch]\nSyncMethod=syncfs\n");
        g_autofree char *reason = g_strdup_printf(" failed; %s (ext4): failed", disk.folder);
        struct stat st;

        g_assert_no_errno(stat(disk.folder, &st));
        atomic_store(&records->failing_device, st.st_dev);
        client_call_fails(client, "ForceSync", NULL, BUS_ERROR_SYNC_FAILED, reason);
        fixture_wait_log(fixture, reason);
        assert_property(client, "LastSyncResult", "'failed'");

        fixture_stop_daemon(fixture);
        own_disk_done(&disk);
        sync_witness_free(records);
}

/* What callers make the daemon remember is bounded. The bus lets one connection have 128 open calls, so that
 * it takes many of them to get there. */
static void test_force_sync_limit(BusFixture *fixture, gconstpointer data) {
        enum {
                N_CLIENTS = 20,
                N_CALLS = 100
        };
        _cleanup_client_ Client *client = fixture_start(fixture, SYNC_SETTINGS);
        guint32 serials[N_CLIENTS][N_CALLS];
        bool refused[N_CLIENTS][N_CALLS];
        Client *crowd[N_CLIENTS];
        size_t n_clients = 0;
        unsigned n_refused = 0;

        fixture_signal_helper(fixture, HELPER_SYNC, SIGSTOP);
        while (n_clients < N_CLIENTS && n_refused == 0) {
                size_t i = n_clients++;

                crowd[i] = client_new(fixture, UID_ROOT);
                for (size_t j = 0; j < N_CALLS; j++)
                        serials[i][j] = client_send_method(crowd[i], "ForceSync", NULL);
                client_settle(crowd[i]);
                for (size_t j = 0; j < N_CALLS; j++) {
                        refused[i][j] = client_has_reply(crowd[i], serials[i][j]);
                        if (refused[i][j])
                                n_refused++;
                }
        }
        g_assert_cmpuint(n_refused, >, 0);

        /* Whatever else is requested is done meanwhile. */
        (void) client_call(client, "Pause", NULL);
        assert_property(client, "SyncCount", "uint64 1");

        fixture_signal_helper(fixture, HELPER_SYNC, SIGCONT);
        for (size_t i = 0; i < n_clients; i++) {
                for (size_t j = 0; j < N_CALLS; j++) {
                        GDBusMessage *reply = client_wait_reply(crowd[i], serials[i][j]);

                        if (refused[i][j])
                                assert_reply_error(
                                                reply, ERROR_LIMITS_EXCEEDED, "calls are waiting for a sync");
                        else
                                (void) reply_content(reply);
                }
                client_free(crowd[i]);
        }
        assert_property(client, "SyncCount", "uint64 2");
}

/* ---- want of memory ---- */

#ifndef HAS_ADDRESS_SANITIZER /* it has a malloc() of its own */

static FailingMalloc *share_failing_malloc(BusFixture *fixture) {
        g_autofree char *path = g_build_filename(fixture->folder, "failing-malloc", NULL);
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        FailingMalloc *shared;

        g_assert_no_errno(fd);
        g_assert_no_errno(ftruncate(fd, sizeof(*shared)));
        shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        g_assert_true(shared != MAP_FAILED);
        atomic_store(&shared->n_left, -1);

        fixture->preload = g_getenv("WBWATCH_MALLOC_FAILER");
        (void) setenv(FAILING_MALLOC_VARIABLE, path, true);
        return shared;
}

/* Waits until the daemon answers, also when it has given up its connection since its last answer. */
static void wait_served(Client *client) {
        GDBusMessage *reply;

        do {
                g_free(client_wait_owner(client, BUS_NAME));
                reply = client_ask(client, BUS_NAME, BUS_PATH, "org.freedesktop.DBus.Peer", "Ping", NULL);
        } while (g_dbus_message_get_message_type(reply) != G_DBUS_MESSAGE_TYPE_METHOD_RETURN);
}

/* One call after another, in which the first allocation fails, then the second, and so on, until one needs no
 * more. The caller gets a reply, an error, or sees the bus lost; the daemon goes on. Returns how many failed.
 */
static unsigned call_without_memory(
                Client *client,
                FailingMalloc *shared,
                const char *method,
                const char *arguments) {

        for (int n = 0;; n++) {
                GDBusMessage *reply;
                guint32 serial;

                wait_served(client);
                atomic_store(&shared->n_left, n);
                serial = client_send_method(client, method, arguments ? parse(arguments) : NULL);
                reply = client_wait_reply(client, serial);
                if (atomic_exchange(&shared->n_left, -1) >= 0) {
                        (void) reply_content(reply);
                        g_test_message("%s: %d allocations", method, n);
                        return (unsigned) n;
                }
        }
}

/* A caller's call may fail when there is no memory for it; nothing else does. */
static void test_without_memory(BusFixture *fixture, gconstpointer data) {
        FailingMalloc *shared = share_failing_malloc(fixture);
        _cleanup_client_ Client *client = fixture_start(fixture, SYNC_SETTINGS "RecoverySec=0\n");
        pid_t daemon = fixture->daemon.pid;
        unsigned n = 0;

        n += call_without_memory(client, shared, "ForceSync", NULL);
        n += call_without_memory(client, shared, "SyncFilesystem", "('/run',)");
        n += call_without_memory(client, shared, "SetProperties", "(true, {'CrowdSize': <uint32 7>})");
        n += call_without_memory(client, shared, "SetProperties", "(false, {'CrowdSize': <uint32 8>})");
        n += call_without_memory(client, shared, "ListEpisodes", NULL);
        g_assert_cmpuint(n, >, 100);

        wait_served(client);
        g_assert_cmpint(fixture->daemon.pid, ==, daemon);
        assert_property(client, "CrowdSize", "uint32 8");
        (void) unsetenv(FAILING_MALLOC_VARIABLE);
        g_assert_no_errno(munmap(shared, sizeof(*shared)));
}

#endif

/* ---- a stuck worker, from its first scan to its end ---- */

static GVariant *only_child(GVariant *content) {
        g_autoptr(GVariant) list = g_variant_get_child_value(content, 0);

        g_assert_cmpstr(g_variant_get_type_string(list), ==, "aa{sv}");
        g_assert_cmpuint(g_variant_n_children(list), ==, 1);
        return g_variant_get_child_value(list, 0);
}

static guint64 cpu_usec(void) {
        return FAKE_PROC_CPU_TICKS * USEC_PER_SEC / (guint64) sysconf(_SC_CLK_TCK);
}

/* An element of ListWorkers. Returns the running time. */
static guint64 assert_worker(GVariant *worker, const char *name) {
        guint64 running_usec = lookup_uint64(worker, "RunningUSec");
        g_autofree char *found = dictionary_text(worker);
        g_autofree char *expected = g_strdup_printf(
                        "CPUUSec: uint64 %" G_GUINT64_FORMAT ", Name: %s, PID: uint32 %d, "
                        "RunningUSec: uint64 %" G_GUINT64_FORMAT ", StartTime: uint64 %d, State: 'R'",
                        cpu_usec(), name, WORKER_PID, running_usec, WORKER_START_TIME);

        g_assert_cmpstr(found, ==, expected);
        return running_usec;
}

/* How long after a sync's end a stall may end that it helped. */
#define HELPED_WITHIN_USEC (5 * USEC_PER_SEC)

typedef struct EpisodeShape {
        const char *outcome;
        guint64 end_usec;   /* 0: ongoing, no such key */
        guint64 added_usec; /* when the worker came, at the earliest */
        guint64 start_usec;
        guint64 sync_start_usec, sync_duration_usec;
        const char *sync_result, *sync_helped;
        bool dry_run;
} EpisodeShape;

/* The samples of an episode of one worker, as text: from its beginning to its end. */
static char *samples_text(GVariant *episode, const EpisodeShape *shape) {
        g_autoptr(GVariant) samples = g_variant_lookup_value(episode, "Samples", G_VARIANT_TYPE("a(tuu)"));
        guint64 usec, previous_usec = 0;
        guint32 n_spinning = 0, n_waiting;

        g_assert_nonnull(samples);
        g_assert_cmpuint(g_variant_n_children(samples), >, 0);
        for (size_t i = 0; i < g_variant_n_children(samples); i++) {
                g_variant_get_child(samples, i, "(tuu)", &usec, &n_spinning, &n_waiting);
                if (i == 0)
                        g_assert_cmpuint(usec, ==, shape->start_usec);
                g_assert_cmpuint(usec, >, previous_usec);
                g_assert_cmpuint(n_spinning, ==, shape->end_usec == 0 || usec <= shape->end_usec);
                g_assert_cmpuint(n_waiting, ==, 0);
                previous_usec = usec;
        }
        return g_variant_print(samples, true);
}

/* An episode of the one worker with one sync. */
static void assert_episode(GVariant *episode, const EpisodeShape *shape) {
        g_autoptr(GVariant) workers = g_variant_lookup_value(episode, "Workers", G_VARIANT_TYPE("aa{sv}"));
        g_autoptr(GVariant) syncs = g_variant_lookup_value(episode, "Syncs", G_VARIANT_TYPE("aa{sv}"));
        g_autoptr(GVariant) worker = NULL, sync = NULL;
        g_autofree char *end = NULL, *found = NULL, *expected = NULL, *workers_text = NULL,
                        *syncs_text = NULL, *evidence = NULL, *sync_evidence = NULL, *samples = NULL;
        guint64 running_usec;

        g_assert_nonnull(workers);
        g_assert_nonnull(syncs);
        g_assert_cmpuint(g_variant_n_children(workers), ==, 1);
        g_assert_cmpuint(g_variant_n_children(syncs), ==, 1);

        worker = g_variant_get_child_value(workers, 0);
        running_usec = lookup_uint64(worker, "RunningUSec");
        g_assert_cmpuint(running_usec, >=, FAST_RUN_USEC);
        g_assert_cmpuint(running_usec, <=, now_usec() - shape->added_usec);
        found = dictionary_text(worker);
        expected =
                        g_strdup_printf("CPUUSec: uint64 0, Name: '%s', PID: uint32 %d, RunningUSec: uint64 "
                                        "%" G_GUINT64_FORMAT ", StartTime: uint64 %d",
                                        WORKER_NAME, WORKER_PID, running_usec, WORKER_START_TIME);
        g_assert_cmpstr(found, ==, expected);

        sync = g_variant_get_child_value(syncs, 0);
        sync_evidence = evidence_text(sync, true);
        evidence = evidence_text(episode, true);
        samples = samples_text(episode, shape);
        g_free(found);
        g_free(expected);
        found = dictionary_text(sync);
        expected = g_strdup_printf(
                        "DryRun: %s, DurationUSec: uint64 %" G_GUINT64_FORMAT
                        ", Evidence: %s, Filesystems: @aa{sv} [], Helped: '%s', Id: uint64 1, "
                        "Method: 'sync', Requested: false, Result: '%s', Rule: 'worker', "
                        "StartUSec: uint64 %" G_GUINT64_FORMAT,
                        shape->dry_run ? "true" : "false", shape->sync_duration_usec, sync_evidence,
                        shape->sync_helped, shape->sync_result, shape->sync_start_usec);
        g_assert_cmpstr(found, ==, expected);

        if (shape->end_usec > 0)
                end = g_strdup_printf("EndUSec: uint64 %" G_GUINT64_FORMAT ", ", shape->end_usec);
        workers_text = g_variant_print(workers, true);
        syncs_text = g_variant_print(syncs, true);
        g_free(found);
        g_free(expected);
        found = dictionary_text(episode);
        expected = g_strdup_printf(
                        "AlsoSpinning: @as [], %sEvidence: %s, Id: uint64 1, Outcome: '%s', Rule: 'worker', "
                        "Samples: %s, SpinningMax: uint32 1, StartUSec: uint64 %" G_GUINT64_FORMAT
                        ", SyncCount: uint32 %d, Syncs: %s, WaitingMax: uint32 0, "
                        "Work: 'inode_switch_wbs', WorkerCount: uint32 1, Workers: %s",
                        end ?: "", evidence, shape->outcome, samples, shape->start_usec,
                        shape->dry_run ? 0 : 1, syncs_text, workers_text);
        g_assert_cmpstr(found, ==, expected);
}

static void assert_listed_episode(Client *client, const EpisodeShape *shape) {
        g_autoptr(GVariant) episode = only_child(client_call(client, "ListEpisodes", NULL));

        assert_episode(episode, shape);
}

/* A dry run cures nothing; a sync does when the stall ends soon after it. */
static void judge(EpisodeShape *shape) {
        guint64 sync_end_usec = shape->sync_start_usec + shape->sync_duration_usec;
        bool in_time = shape->end_usec <= sync_end_usec + HELPED_WITHIN_USEC;

        shape->outcome = shape->dry_run ? "cleared" : in_time ? "recovered" : "outlived";
        shape->sync_helped = shape->dry_run ? "pending" : in_time ? "yes" : "no";
}

static void run_course(BusFixture *fixture, bool dry_run) {
        _cleanup_client_ Client *client =
                        fixture_start(fixture, dry_run ? FAST_SETTINGS "DryRun=yes\n" : FAST_SETTINGS);
        const char *dry_run_text = dry_run ? "true" : "false";
        guint64 before_usec = now_usec(), running_usec, longest_usec, id;
        EpisodeShape shape = {
                .outcome = "ongoing",
                .added_usec = before_usec,
                .sync_result = dry_run ? "" : "ok",
                .sync_helped = "pending",
                .dry_run = dry_run,
        };
        g_autoptr(GVariant) worker = NULL, details = NULL, sync_details = NULL, finished = NULL,
                            status = NULL;
        g_autofree char *found = NULL, *expected = NULL, *states = NULL, *evidence = NULL;
        GVariant *signal;

        /* A dry run goes its way with a helper that cannot sync. */
        if (dry_run)
                fixture_signal_helper(fixture, HELPER_SYNC, SIGSTOP);

        fixture_add_worker(fixture);
        client_wait_property(client, "State", "'busy'");
        assert_property(client, "WorkerCount", "uint32 1");
        assert_property(client, "SpinningCount", "uint32 1");
        assert_property(client, "WaitingCount", "uint32 0");
        worker = only_child(client_call(client, "ListWorkers", NULL));
        running_usec = assert_worker(worker, "'" WORKER_NAME "'");
        longest_usec = get_uint64(client, "LongestRunUSec");
        g_assert_cmpuint(longest_usec, >=, running_usec);
        g_assert_cmpuint(longest_usec, <=, now_usec() - before_usec);

        signal = client_wait_signal(client, "EpisodeStarted");
        g_variant_get(signal, "(t@a{sv})", &id, &details);
        g_assert_cmpuint(id, ==, 1);
        shape.start_usec = lookup_uint64(details, "StartUSec");
        g_assert_cmpuint(shape.start_usec, >=, before_usec + FAST_RUN_USEC);
        g_assert_cmpuint(shape.start_usec, <=, now_usec());
        longest_usec = lookup_uint64(details, "LongestRunUSec");
        g_assert_cmpuint(longest_usec, >=, FAST_RUN_USEC);
        g_assert_cmpuint(longest_usec, <=, shape.start_usec - before_usec);
        found = dictionary_text(details);
        expected =
                        g_strdup_printf("DryRun: %s, LongestRunUSec: uint64 %" G_GUINT64_FORMAT
                                        ", Name: '%s', Rule: 'worker', StartUSec: uint64 %" G_GUINT64_FORMAT
                                        ", Work: 'inode_switch_wbs', WorkerCount: uint32 1",
                                        dry_run_text, longest_usec, WORKER_NAME, shape.start_usec);
        g_assert_cmpstr(found, ==, expected);

        signal = client_wait_signal(client, "SyncStarted");
        g_variant_get_child(signal, 2, "@a{sv}", &sync_details);
        shape.sync_start_usec = lookup_uint64(sync_details, "StartUSec");
        longest_usec = lookup_uint64(sync_details, "LongestRunUSec");
        g_assert_cmpuint(shape.sync_start_usec, >=, shape.start_usec);
        g_assert_cmpuint(longest_usec, >=, FAST_RUN_USEC);
        g_assert_cmpuint(longest_usec, <=, shape.sync_start_usec - before_usec);
        assert_signal(signal, 1, 1,
                      "DryRun: %s, LongestRunUSec: uint64 %" G_GUINT64_FORMAT
                      ", Method: 'sync', Requested: false, Rule: 'worker', StartUSec: uint64 "
                      "%" G_GUINT64_FORMAT ", WorkerCount: uint32 1",
                      dry_run_text, longest_usec, shape.sync_start_usec);

        signal = client_wait_signal(client, "SyncFinished");
        g_variant_get_child(signal, 2, "@a{sv}", &finished);
        shape.sync_duration_usec = lookup_uint64(finished, "DurationUSec");
        g_assert_cmpuint(shape.sync_duration_usec, <=, now_usec() - shape.sync_start_usec);
        evidence = evidence_of_signal(signal, true);
        assert_signal(signal, 1, 1,
                      "DryRun: %s, DurationUSec: uint64 %" G_GUINT64_FORMAT
                      ", Evidence: %s, Filesystems: @aa{sv} [], Helped: 'pending', Method: 'sync', "
                      "Requested: false, Result: '%s', StartUSec: uint64 %" G_GUINT64_FORMAT,
                      dry_run_text, shape.sync_duration_usec, evidence, shape.sync_result,
                      shape.sync_start_usec);

        client_wait_property(client, "State", "'recovery'");
        assert_listed_episode(client, &shape);
        status = client_get(client, "StatusText");
        g_assert_true(g_str_has_prefix(g_variant_get_string(status, NULL), "dry run: ") == dry_run);

        fixture_remove_worker(fixture);
        signal = client_wait_signal(client, "EpisodeEnded");
        g_clear_pointer(&details, g_variant_unref);
        g_variant_get(signal, "(t@a{sv})", &id, &details);
        g_assert_cmpuint(id, ==, 1);
        shape.end_usec = lookup_uint64(details, "EndUSec");
        judge(&shape);
        g_assert_cmpuint(shape.end_usec, >=, shape.start_usec);
        g_assert_cmpuint(shape.end_usec, <=, now_usec());
        assert_episode(details, &shape);
        assert_listed_episode(client, &shape);

        client_wait_property(client, "State", "'idle'");
        assert_property(client, "WorkerCount", "uint32 0");
        assert_property(client, "LongestRunUSec", "uint64 0");
        assert_variant(client_call(client, "ListWorkers", NULL), "(@aa{sv} [],)");
        states = client_history(client, "State");
        g_assert_cmpstr(states, ==, "busy syncing recovery idle");

        /* A dry run's sync was none. */
        assert_property(client, "SyncCount", dry_run ? "uint64 0" : "uint64 1");
        assert_property(client, "LastSyncResult", dry_run ? "''" : "'ok'");
        g_assert_cmpuint(get_uint64(client, "LastSyncUSec"), ==, dry_run ? 0 : shape.sync_start_usec);
        g_assert_cmpuint(
                        get_uint64(client, "LastSyncDurationUSec"), ==,
                        dry_run ? 0 : shape.sync_duration_usec);
}

static void test_course(BusFixture *fixture, gconstpointer data) {
        run_course(fixture, /* dry_run= */ false);
}

static void test_course_dry_run(BusFixture *fixture, gconstpointer data) {
        run_course(fixture, /* dry_run= */ true);
}

/* The worker turns idle between the scan that detects a stall and the one that confirms it: the kernel delays
 * each opening of its name until the test has seen it, so that the test can count the scans. Five of them,
 * which weigh a poll interval each, fill the threshold. */
static void test_turns_idle(BusFixture *fixture, gconstpointer data) {
        enum {
                SCAN_DETECTS = 5,
                SCAN_CONFIRMS
        };
        g_autofree char *pids = g_strdup_printf("%d ", WORKER_PID);
        g_autofree char *comm = g_strdup_printf("%s/%d/comm", fixture->proc.root, WORKER_PID);
        _cleanup_close_ int fanotify_fd = -EBADF;
        _cleanup_client_ Client *client = NULL;

        fixture_write_config(
                        fixture, "[Watch]\nThresholdSec=5s\nPollIntervalSec=1s\nIdleScanIntervalSec="
                                 "1s\nCrowdSize=0\nCountWaiting=yes\n");
        fixture_start_bus(fixture);
        client = client_new(fixture, UID_NOBODY);
        fixture_start_daemon(fixture, "--debug", NULL);
        g_free(client_wait_owner(client, BUS_NAME));

        fake_proc_add(&fixture->proc, WORKER_PID, WORKER_NAME, FLAGS_WORKER, WORKER_START_TIME);
        fanotify_fd = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY);
        g_assert_no_errno(fanotify_fd);
        g_assert_no_errno(fanotify_mark(fanotify_fd, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, comm));
        fake_proc_list(&fixture->proc, pids);

        for (int n = 1; n <= SCAN_CONFIRMS; n++) {
                struct pollfd waiting = { .fd = fanotify_fd, .events = POLLIN };
                struct fanotify_event_metadata event;
                struct fanotify_response response;

                g_assert_cmpint(poll(&waiting, 1, FIXTURE_TIMEOUT_SEC * 1000), ==, 1);
                g_assert_cmpint(read(fanotify_fd, &event, sizeof(event)), ==, sizeof(event));
                if (n == SCAN_CONFIRMS)
                        fake_proc_add(&fixture->proc, WORKER_PID, "kworker/0:1-inode_switch_wbs",
                                      FLAGS_WORKER, WORKER_START_TIME);

                response = (struct fanotify_response){ .fd = event.fd, .response = FAN_ALLOW };
                g_assert_cmpint(write(fanotify_fd, &response, sizeof(response)), ==, sizeof(response));
                (void) close(event.fd);
        }

        fixture_wait_log(fixture, "Not syncing");
        assert_property(client, "SyncCount", "uint64 0");
        g_assert_cmpuint(client_count_signals(client, "SyncStarted"), ==, 0);
}

/* When a sync begins, workers that may flush have already been named: by the scan that decides, not by the
 * next one, before which the sync has ended. */
static void test_flush_workers(BusFixture *fixture, gconstpointer data) {
        g_autofree char *pids = g_strdup_printf("%d %d ", WORKER_PID, WORKER_PID + 1);
        _cleanup_close_ int fd = bind_socket(FLUSH_PRIORITY_SOCKET, SOCK_DGRAM);
        _cleanup_client_ Client *client = NULL;
        OwnDisk disk = own_disk_new();
        FlushWorkers workers = {};

        client = fixture_start(fixture, FAST_SETTINGS "SyncMethod=syncfs\n");
        fixture_add_worker(fixture);
        fake_proc_add(&fixture->proc, WORKER_PID + 1, "kworker/u8:1-events_unbound", FLAGS_WORKER, 100);
        fake_proc_list(&fixture->proc, pids);
        (void) client_wait_signal(client, "SyncFinished");

        while (workers.n == 0)
                g_assert_cmpint(recv(fd, &workers, sizeof(workers), MSG_DONTWAIT), ==, sizeof(workers));
        g_assert_cmpuint(workers.n, ==, 1);
        g_assert_cmpint(workers.pids[0], ==, WORKER_PID + 1);

        fixture_stop_daemon(fixture);
        own_disk_done(&disk);
        g_assert_no_errno(unlink(FLUSH_PRIORITY_SOCKET));
}

/* A name that is no text must not end the connection, as D-Bus has it for whoever sends such. */
static void test_hostile_name(BusFixture *fixture, gconstpointer data) {
        static const char name[] = "kworker/0:1+inode_switch_wbs\xff\xc3(\x1b[31m\n)";
        _cleanup_client_ Client *client = fixture_start(fixture, FAST_SETTINGS "DryRun=yes\n");
        g_autofree char *owner = client_wait_owner(client, BUS_NAME), *owner_after = NULL;
        g_autoptr(GVariant) worker = NULL, details = NULL, workers = NULL, noted = NULL;
        const char *shown = NULL, *in_signal = NULL, *in_episode = NULL;
        GVariant *signal;

        fixture_add_worker(fixture);
        fake_proc_add(&fixture->proc, WORKER_PID, name, FLAGS_WORKER, WORKER_START_TIME);
        signal = client_wait_signal(client, "EpisodeStarted");
        g_variant_get_child(signal, 1, "@a{sv}", &details);
        g_assert_true(g_variant_lookup(details, "Name", "&s", &in_signal));
        g_assert_cmpstr(in_signal, ==, "kworker/0:1+inode_switch_wbs\\xff\\xc3(\\x1b[31m\\x0a)");

        worker = only_child(client_call(client, "ListWorkers", NULL));
        g_assert_true(g_variant_lookup(worker, "Name", "&s", &shown));
        g_assert_cmpstr(shown, ==, in_signal);

        fixture_remove_worker(fixture);
        signal = client_wait_signal(client, "EpisodeEnded");
        g_clear_pointer(&details, g_variant_unref);
        g_variant_get_child(signal, 1, "@a{sv}", &details);
        workers = g_variant_lookup_value(details, "Workers", NULL);
        noted = g_variant_get_child_value(workers, 0);
        g_assert_true(g_variant_lookup(noted, "Name", "&s", &in_episode));
        g_assert_cmpstr(in_episode, ==, in_signal);

        owner_after = client_wait_owner(client, BUS_NAME);
        g_assert_cmpstr(owner, ==, owner_after);
}

/* A proc root without any kernel thread: reported, not taken for peace. */
static void test_no_kernel_thread(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = NULL;
        g_autoptr(GVariant) fault = NULL, status = NULL, better = NULL;
        g_autofree char *history = NULL;

        fake_proc_remove(&fixture->proc, "2/stat");
        client = fixture_start(fixture, FAST_SETTINGS);
        fixture_wait_log(fixture, "cannot see kernel threads: the proc root is not a proc filesystem");
        fault = client_get(client, "Fault");
        g_assert_true(g_str_has_prefix(
                        g_variant_get_string(fault, NULL),
                        "cannot see kernel threads: the proc root is not a proc filesystem"));
        status = client_get(client, "StatusText");
        g_assert_nonnull(strstr(g_variant_get_string(status, NULL), "cannot see kernel threads"));

        /* The daemon goes on scanning. */
        fixture_add_worker(fixture);
        client_wait_property(client, "Fault", "''");
        client_wait_property(client, "State", "'busy'");
        better = client_get(client, "StatusText");
        g_assert_true(g_str_has_prefix(g_variant_get_string(better, NULL), "1 spinning"));
        fixture_wait_notify(fixture, "STATUS=1 spinning");
        history = client_history(client, "Fault");
        g_assert_cmpstr(history, ==, "");
}

#define INCOMPLETE "a scan could not read everything: "

/* A file that gives an error to whoever opens it. */
static void put_unreadable(BusFixture *fixture, const char *name) {
        g_autofree char *path = g_build_filename(fixture->proc.root, name, NULL);

        fake_proc_remove(&fixture->proc, name);
        g_assert_no_errno(mknod(path, S_IFSOCK | 0644, 0));
}

/* The reason changes, and what the scan does not see remains the same. */
static void test_another_reason(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(
                        fixture, "[Watch]\nThresholdSec=1h\nCrowdSize=0\nPollIntervalSec=100ms\n"
                                 "IdleScanIntervalSec=1s\n");
        struct rlimit limit, none;

        fixture_add_worker(fixture);
        client_wait_property(client, "State", "'busy'");
        g_assert_no_errno(prlimit(fixture->daemon.pid, RLIMIT_NOFILE, NULL, &limit));
        none = (struct rlimit){ .rlim_cur = 0, .rlim_max = limit.rlim_max };
        g_assert_no_errno(prlimit(fixture->daemon.pid, RLIMIT_NOFILE, &none, NULL));
        client_wait_property(client, "Fault", "'" INCOMPLETE "this process has no file descriptors left'");

        put_unreadable(fixture, "1234/comm");
        g_assert_no_errno(prlimit(fixture->daemon.pid, RLIMIT_NOFILE, &limit, NULL));
        client_wait_property(
                        client, "Fault",
                        "'" INCOMPLETE "a file of the proc root cannot be read (I/O error)'");
        fixture_wait_log(fixture, "Fault: " INCOMPLETE "a file of the proc root cannot be read");
        fixture_wait_notify(fixture, "STATUS=fault: " INCOMPLETE "a file of the proc root cannot be read");

        fake_proc_remove(&fixture->proc, "1234/comm");
        fixture_add_worker(fixture);
        client_wait_property(client, "Fault", "''");
}

/* ---- the connection ---- */

static void test_bus_comes_later(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = NULL;

        /* No second sync, however long the first one takes. */
        fixture_write_config(fixture, FAST_SETTINGS "RecoverySec=1h\n");
        fixture_start_daemon(fixture, NULL);
        fixture_wait_log(fixture, "continuing without the bus");

        /* It does its work meanwhile. */
        fixture_add_worker(fixture);
        fixture_wait_notify(fixture, "STATUS=synced");

        fixture_start_bus(fixture);
        client = client_new(fixture, UID_NOBODY);
        g_free(client_wait_owner(client, BUS_NAME));
        assert_property(client, "SyncCount", "uint64 1");
}

static void test_bus_is_lost(BusFixture *fixture, gconstpointer data) {
        Client *client = fixture_start(fixture, FAST_SETTINGS);

        (void) client_call(client, "ForceSync", NULL);
        (void) client_call(client, "Pause", NULL);
        (void) client_call(
                        client, "SetProperties", set_properties_arguments(true, "{'CrowdSize': <uint32 9>}"));

        /* With calls open: for a sync, and for the disk. */
        fixture_signal_helper(fixture, HELPER_SYNC, SIGSTOP);
        fixture_signal_helper(fixture, HELPER_STORAGE, SIGSTOP);
        (void) client_send_method(client, "ForceSync", NULL);
        (void) client_send_method(
                        client, "SetProperties",
                        set_properties_arguments(false, "{'SyncTimeoutUSec': <uint64 9000000>}"));
        client_settle(client);
        assert_property(client, "State", "'syncing'");
        client = client_free(client);

        fixture_stop_bus(fixture);
        fixture_wait_log(fixture, "The bus was lost");
        fixture_signal_helper(fixture, HELPER_STORAGE, SIGCONT);
        fixture_signal_helper(fixture, HELPER_SYNC, SIGCONT);
        fixture_wait_notify(fixture, "STATUS=paused");

        fixture_start_bus(fixture);
        _cleanup_client_ Client *later = client_new(fixture, UID_ROOT);
        g_free(client_wait_owner(later, BUS_NAME));
        client_wait_property(later, "State", "'paused'");
        assert_property(later, "PausedUntilUSec", "uint64 18446744073709551615");
        assert_property(later, "SyncCount", "uint64 2");
        assert_property(later, "CrowdSize", "uint32 9");
        (void) client_call(later, "Resume", NULL);
        (void) client_call(later, "ForceSync", NULL);
        assert_property(later, "SyncCount", "uint64 3");
}

/* Lost again and again. */
static void test_bus_is_lost_often(BusFixture *fixture, gconstpointer data) {
        client_free(fixture_start(fixture, ""));

        for (unsigned i = 0; i < 5; i++) {
                _cleanup_client_ Client *client = NULL;

                fixture_stop_bus(fixture);
                fixture_start_bus(fixture);
                client = client_new(fixture, UID_ROOT);
                g_free(client_wait_owner(client, BUS_NAME));
                assert_property(client, "State", "'idle'");
        }
}

/* The bus accepts neither connection (0), or only the reader's second one (1), which completes Hello first.
 */
static void test_limited_connections(BusFixture *fixture, gconstpointer data) {
        g_autofree char *limit = g_strdup_printf(
                        "<limit name='max_completed_connections'>%u</limit>", GPOINTER_TO_UINT(data));
        _cleanup_client_ Client *client = NULL;

        private_bus_set_extra(fixture->folder, limit);
        fixture_start_bus(fixture);
        fixture_write_config(fixture, FAST_SETTINGS);
        fixture_start_daemon(fixture, NULL);
        fixture_wait_log(
                        fixture, data ? "The bus was lost: No buffer space available"
                                      : "The bus was lost: Connection reset by peer");
        fixture_add_worker(fixture);
        fixture_wait_notify(fixture, "STATUS=synced");

        private_bus_set_extra(fixture->folder, "");
        g_assert_no_errno(kill(fixture->bus.pid, SIGHUP));
        fixture_wait_log(fixture, "Reachable over the bus");
        client = client_new(fixture, UID_NOBODY);
        assert_property(client, "SyncCount", "uint64 1");
}

/* A bus that takes nothing holds nobody up. */
static void test_bus_hangs(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, FAST_SETTINGS);

        fixture_hold_bus(fixture, true);
        fixture_add_worker(fixture);
        fixture_wait_notify(fixture, "STATUS=synced");
        fixture_remove_worker(fixture);
        fixture_wait_notify(fixture, "STATUS=no matching worker is running");
        fixture_hold_bus(fixture, false);

        (void) client_wait_signal(client, "EpisodeStarted");
        (void) client_wait_signal(client, "SyncStarted");
        (void) client_wait_signal(client, "SyncFinished");
        (void) client_wait_signal(client, "EpisodeEnded");
        assert_property(client, "State", "'idle'");
}

static unsigned count_queued(Client *client, const char *name) {
        GVariant *content = reply_content(
                        client_ask(client, DBUS_NAME, DBUS_PATH, DBUS_NAME, "ListQueuedOwners",
                                   g_variant_new("(s)", name)));
        g_autoptr(GVariant) owners = g_variant_get_child_value(content, 0);

        return (unsigned) g_variant_n_children(owners);
}

static void test_name_is_taken(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *other = NULL;
        g_autofree char *owner = NULL;

        fixture_start_bus(fixture);
        other = client_new(fixture, UID_ROOT);
        client_own_name(other, BUS_NAME);
        fixture_start_daemon(fixture, NULL);
        fixture_wait_log(fixture, "Another process owns the name");
        g_assert_cmpuint(count_queued(other, BUS_NAME), ==, 2);

        client_release_name(other, BUS_NAME);
        owner = client_wait_owner(other, BUS_NAME);
        g_assert_cmpint(client_pid_of(other, owner), ==, fixture->daemon.pid);
        assert_property(other, "State", "'idle'");
}

/* A process of root takes the name from us, and gives it back. */
static void test_name_is_lost(BusFixture *fixture, gconstpointer data) {
        enum {
                REPLACE_EXISTING = 2
        };
        _cleanup_client_ Client *other = fixture_start(fixture, "");
        g_autofree char *before = client_wait_owner(other, BUS_NAME), *owner = NULL;

        assert_variant(reply_content(
                                       client_ask(other, DBUS_NAME, DBUS_PATH, DBUS_NAME, "RequestName",
                                                  g_variant_new("(su)", BUS_NAME, REPLACE_EXISTING))),
                       "(uint32 1,)");
        fixture_wait_log(fixture, "Another process owns the name");
        g_assert_cmpuint(count_queued(other, BUS_NAME), ==, 2);

        client_release_name(other, BUS_NAME);
        do {
                g_free(owner);
                owner = client_wait_owner(other, BUS_NAME);
        } while (streq(owner, client_unique_name(other)));
        g_assert_cmpstr(owner, ==, before);
        assert_property(other, "State", "'idle'");
}

/* An upgrade loses no call: the bus sends the daemon those that come before it has released its name. */
static void test_last_calls(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, "");
        guint32 serials[20];

        g_free(client_wait_owner(client, BUS_NAME));
        g_assert_no_errno(kill(fixture->daemon.pid, SIGSTOP));
        for (size_t i = 0; i < G_N_ELEMENTS(serials); i++)
                serials[i] = client_send_method(client, "ListEpisodes", NULL);

        /* The bus has forwarded them, since it answers in order. */
        (void) reply_content(client_ask(client, DBUS_NAME, DBUS_PATH, DBUS_NAME, "GetId", NULL));
        g_assert_no_errno(kill(fixture->daemon.pid, SIGTERM));
        g_assert_no_errno(kill(fixture->daemon.pid, SIGCONT));
        for (size_t i = 0; i < G_N_ELEMENTS(serials); i++)
                assert_variant(reply_content(client_wait_reply(client, serials[i])), "(@aa{sv} [],)");
}

static void test_name_is_refused(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = NULL;

        fixture_start_bus_without_policy(fixture);
        fixture_start_daemon(fixture, NULL);
        fixture_wait_log(fixture, "refuses the name " BUS_NAME);

        fixture_install_policy(fixture);
        client = client_new(fixture, UID_ROOT);
        g_free(client_wait_owner(client, BUS_NAME));
        assert_property(client, "State", "'idle'");
}

/* No one else may take the daemon's name. */
static void test_name_is_guarded(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = NULL;

        fixture_start_bus(fixture);
        client = client_new(fixture, UID_NOBODY);
        assert_reply_error(
                        client_ask(client, DBUS_NAME, DBUS_PATH, DBUS_NAME, "RequestName",
                                   g_variant_new("(su)", BUS_NAME, 0)),
                        ERROR_ACCESS_DENIED, BUS_NAME);
}

static void test_no_bus(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = NULL;
        g_autoptr(GVariantIter) names = NULL;
        GVariant *content;
        const char *name;

        fixture_start_bus(fixture);
        fixture_start_daemon(fixture, "--no-bus", NULL);

        /* Its loop has gone round. */
        fixture_reload_daemon(fixture);

        client = client_new(fixture, UID_ROOT);
        content = reply_content(client_ask(client, DBUS_NAME, DBUS_PATH, DBUS_NAME, "ListNames", NULL));
        g_variant_get(content, "(as)", &names);
        while (g_variant_iter_next(names, "&s", &name))
                if (!streq(name, DBUS_NAME))
                        g_assert_cmpint(client_pid_of(client, name), !=, fixture->daemon.pid);
}

static void test_ends_with_open_calls(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = fixture_start(fixture, SYNC_SETTINGS);
        guint32 sync, store;

        fixture_signal_helper(fixture, HELPER_SYNC, SIGSTOP);
        fixture_signal_helper(fixture, HELPER_STORAGE, SIGSTOP);
        sync = client_send_method(client, "ForceSync", NULL);
        store = client_send_method(
                        client, "SetProperties",
                        set_properties_arguments(false, "{'CrowdSize': <uint32 5>}"));
        client_settle(client);
        assert_property(client, "State", "'syncing'");
        assert_property(client, "CrowdSize", "uint32 4");

        fixture_stop_daemon(fixture);
        assert_reply_error(client_wait_reply(client, sync), "org.freedesktop.DBus.Error.NoReply", "");
        assert_reply_error(client_wait_reply(client, store), "org.freedesktop.DBus.Error.NoReply", "");
}

/* As in the network namespace where the kernel sends thread creation events: it needs to be the first of all.
 */
static void test_event_source(BusFixture *fixture, gconstpointer data) {
        g_autofree char *pid_namespace = g_file_read_link("/proc/self/ns/pid", NULL);
        g_autofree char *user_namespace = g_file_read_link("/proc/self/ns/user", NULL);
        _cleanup_client_ Client *client = NULL;
        g_autoptr(GVariant) text = NULL;

        if (!streq(pid_namespace, "pid:[4026531836]") || !streq(user_namespace, "user:[4026531837]")) {
                g_test_skip("needs the host's namespaces: a container receives no thread creation events");
                return;
        }

        fixture->netlink = true;
        client = fixture_start(fixture, "");
        client_wait_property(client, "EventSource", "'netlink'");
        text = client_get(client, "StatusText");
        assert_variant(text, "'no matching worker is running'");
}

/* ---- how much it logs ---- */

static GDBusMessage *ask_log_set(Client *client, const char *property, GVariant *value) {
        return client_ask(
                        client, BUS_NAME, LOG_CONTROL_PATH, PROPERTIES_INTERFACE, "Set",
                        g_variant_new("(ssv)", LOG_CONTROL_INTERFACE, property, value));
}

static void assert_log_property(Client *client, const char *property, const char *text) {
        guint32 serial =
                        client_send(client, BUS_NAME, LOG_CONTROL_PATH, PROPERTIES_INTERFACE, "Get",
                                    g_variant_new("(ss)", LOG_CONTROL_INTERFACE, property));

        assert_variant(reply_content(client_wait_reply(client, serial)), text);
}

static void test_log_control(BusFixture *fixture, gconstpointer data) {
        static const char *const levels[] = {
                "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
        };
        _cleanup_client_ Client *root = fixture_start(fixture, "");
        _cleanup_client_ Client *nobody = client_new(fixture, UID_NOBODY);

        assert_log_property(nobody, "LogLevel", "(<'notice'>,)");
        assert_log_property(nobody, "LogTarget", "(<'console'>,)");
        assert_log_property(nobody, "SyslogIdentifier", "(<'wbwatchd'>,)");

        for (size_t i = 0; i < ELEMENTSOF(levels); i++) {
                g_autofree char *text = g_strdup_printf("(<'%s'>,)", levels[i]);

                (void) reply_content(ask_log_set(root, "LogLevel", g_variant_new_string(levels[i])));
                assert_log_property(nobody, "LogLevel", text);
        }

        /* It takes effect: this is logged at info level. */
        client_set(root, "ThresholdUSec", g_variant_new_uint64(2000000));
        fixture_wait_log(fixture, "ThresholdSec=2s");

        assert_reply_error(
                        ask_log_set(root, "LogLevel", g_variant_new_string("loud")), ERROR_INVALID_ARGS,
                        "loud is not one of emerg");
        assert_reply_error(
                        ask_log_set(root, "LogTarget", g_variant_new_string("printer")), ERROR_INVALID_ARGS,
                        "printer is not one of console");
        assert_reply_error(
                        ask_log_set(root, "LogLevel", g_variant_new_uint32(7)), ERROR_INVALID_ARGS,
                        "expected a value of type s, not u");
        (void) reply_content(ask_log_set(root, "LogTarget", g_variant_new_string("console")));
        assert_reply_error(
                        ask_log_set(root, "SyslogIdentifier", g_variant_new_string("me")), ERROR_READ_ONLY,
                        "");

        assert_reply_error(
                        ask_log_set(nobody, "LogLevel", g_variant_new_string("err")), ERROR_ACCESS_DENIED,
                        "Rejected send message");
        assert_log_property(nobody, "LogLevel", "(<'debug'>,)");
}

int main(int argc, char *argv[]) {
        if (!fixture_isolate())
                return EXIT_SUCCESS;
        g_test_init(&argc, &argv, NULL);

        FIXTURE_TEST("/bus/interface/described", test_described);
        g_test_add_func("/bus/interface/documented", test_documented);
        FIXTURE_TEST("/bus/interface/readable", test_readable);
        FIXTURE_TEST("/bus/interface/crowd-size", test_crowd_size);
        FIXTURE_TEST("/bus/interface/machine-id", test_machine_id);
        FIXTURE_TEST("/bus/interface/unknown", test_unknown);
        FIXTURE_TEST("/bus/interface/event-source", test_event_source);
        FIXTURE_TEST("/bus/settings/bounds", test_bounds);
        FIXTURE_TEST("/bus/settings/types", test_types);
        FIXTURE_TEST("/bus/settings/one-signal", test_one_signal);
        FIXTURE_TEST("/bus/settings/all-or-nothing", test_all_or_nothing);
        FIXTURE_TEST("/bus/settings/lasting", test_lasting);
        FIXTURE_TEST("/bus/settings/reload", test_reload);
        FIXTURE_TEST("/bus/settings/reload-before-ready", test_reload_before_ready);
        FIXTURE_TEST("/bus/settings/reset", test_reset);
        FIXTURE_TEST("/bus/settings/reset-refused", test_reset_refused);
        FIXTURE_TEST("/bus/settings/reset-fails", test_reset_fails);
        FIXTURE_TEST("/bus/settings/reset-hangs", test_reset_hangs);
        FIXTURE_TEST("/bus/settings/store-fails", test_store_fails);
        FIXTURE_TEST("/bus/settings/store-hangs", test_store_hangs);
        FIXTURE_TEST("/bus/settings/store-dies", test_store_dies);
        FIXTURE_TEST("/bus/settings/store-caller-lost", test_store_caller_lost);
        FIXTURE_TEST("/bus/pause", test_pause);
        FIXTURE_TEST("/bus/pause/for", test_pause_for);
        FIXTURE_TEST("/bus/pause/episode", test_paused_episode);
        FIXTURE_TEST("/bus/doctor", test_doctor);
        FIXTURE_TEST("/bus/force-sync", test_force_sync);
        FIXTURE_TEST("/bus/force-sync/dry-run", test_force_sync_dry_run);
        FIXTURE_TEST("/bus/force-sync/filesystems", test_filesystem_results);
        FIXTURE_TEST("/bus/force-sync/shared", test_force_sync_shared);
        FIXTURE_TEST("/bus/force-sync/stalls", test_force_sync_stalls);
        FIXTURE_TEST("/bus/force-sync/fails", test_force_sync_fails);
        FIXTURE_TEST("/bus/force-sync/one-fails", test_force_sync_one_fails);
        FIXTURE_TEST("/bus/force-sync/limit", test_force_sync_limit);
        FIXTURE_TEST("/bus/evidence-of-another-machine", test_evidence_of_another_machine);
        FIXTURE_TEST("/bus/report-waits-for-a-scan", test_report_waits_for_a_scan);
#ifndef HAS_ADDRESS_SANITIZER
        FIXTURE_TEST("/bus/without-memory", test_without_memory);
#endif
        FIXTURE_TEST("/bus/course", test_course);
        FIXTURE_TEST("/bus/course/dry-run", test_course_dry_run);
        FIXTURE_TEST("/bus/course/turns-idle", test_turns_idle);
        FIXTURE_TEST("/bus/course/flush-workers", test_flush_workers);
        FIXTURE_TEST("/bus/course/hostile-name", test_hostile_name);
        FIXTURE_TEST("/bus/course/no-kernel-thread", test_no_kernel_thread);
        FIXTURE_TEST("/bus/course/another-reason", test_another_reason);
        FIXTURE_TEST("/bus/connection/bus-comes-later", test_bus_comes_later);
        FIXTURE_TEST("/bus/connection/bus-is-lost", test_bus_is_lost);
        FIXTURE_TEST("/bus/connection/bus-is-lost-often", test_bus_is_lost_often);
        g_test_add("/bus/connection/no-second-connection", BusFixture, GUINT_TO_POINTER(0), fixture_set_up,
                   test_limited_connections, fixture_tear_down);
        g_test_add("/bus/connection/no-first-connection", BusFixture, GUINT_TO_POINTER(1), fixture_set_up,
                   test_limited_connections, fixture_tear_down);
        FIXTURE_TEST("/bus/connection/bus-hangs", test_bus_hangs);
        FIXTURE_TEST("/bus/connection/name-is-taken", test_name_is_taken);
        FIXTURE_TEST("/bus/connection/name-is-lost", test_name_is_lost);
        FIXTURE_TEST("/bus/connection/last-calls", test_last_calls);
        FIXTURE_TEST("/bus/connection/name-is-refused", test_name_is_refused);
        FIXTURE_TEST("/bus/connection/name-is-guarded", test_name_is_guarded);
        FIXTURE_TEST("/bus/connection/no-bus", test_no_bus);
        FIXTURE_TEST("/bus/connection/ends-with-open-calls", test_ends_with_open_calls);
        FIXTURE_TEST("/bus/log-control", test_log_control);

        return g_test_run();
}
