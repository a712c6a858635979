/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Who may change what, with the real polkitd; and what becomes of it when polkit hangs, dies or lies. */

#include "bus-fixture.h"
#include "private-bus.h"

#include <glib/gstdio.h>
#include <pwd.h>
#include <signal.h>
#include <sys/mount.h>

#define AGENT_PATH "/org/example/Agent"

/* As AUTHORITY_POLKIT_PER_USER_MAX promises. */
#define QUESTIONS_PER_USER 16

/* These users are on every Debian. Who is not named here falls to the policy's defaults. */
static const char rules[] =
                "polkit.addRule(function(action, subject) {\n"
                "  var of = { games: /./, mail: /pause$/, news: /configure$/, uucp: /force-sync$/ };\n"
                "  if (action.id.indexOf('org.wbwatch1.') != 0)\n"
                "    return polkit.Result.NOT_HANDLED;\n"
                "  if (subject.user == 'daemon')\n"
                "    return polkit.Result.NO;\n"
                "  if (of[subject.user] && of[subject.user].test(action.id))\n"
                "    return polkit.Result.YES;\n"
                "  return polkit.Result.NOT_HANDLED;\n"
                "});\n";

static const char settings[] = "[Watch]\nRecoverySec=0\nSyncMethod=sync\n";

static uid_t uid_of(const char *name) {
        const struct passwd *user = getpwnam(name);

        g_assert_nonnull(user);
        return user->pw_uid;
}

/* Bus, polkit and daemon, and a client as root. */
static Client *start_with_polkit(BusFixture *fixture) {
        Client *root = fixture_start(fixture, settings);

        fixture_start_polkit(fixture, rules);
        return root;
}

/* Everything that can be changed, and what shows it. */
static char *shown(Client *client) {
        g_autoptr(GString) text = g_string_new(NULL);
        g_autoptr(GVariant) all = NULL;
        GVariantIter iterator;
        const char *name;
        GVariant *value;

        all = g_variant_get_child_value(
                        reply_content(
                                        client_ask(client, BUS_NAME, BUS_PATH, PROPERTIES_INTERFACE, "GetAll",
                                                   g_variant_new("(s)", BUS_INTERFACE))),
                        0);
        g_variant_iter_init(&iterator, all);
        while (g_variant_iter_loop(&iterator, "{&sv}", &name, &value)) {
                g_autofree char *printed = g_variant_print(value, true);

                if (!property_varies(name))
                        g_string_append_printf(text, "%s=%s\n", name, printed);
        }

        return g_string_free(g_steal_pointer(&text), false);
}

/* Waits until the daemon has dealt with all that polkit said: it answers one after the other, and refuses
 * this. */
static void settle_polkit(BusFixture *fixture) {
        _cleanup_client_ Client *refused = client_new(fixture, uid_of("daemon"));

        client_call_fails(refused, "Pause", NULL, ERROR_ACCESS_DENIED, "polkit does not allow this");
        client_settle(refused);
}

/* ---- every change ---- */

typedef struct Change {
        const char *action;
        const char *method;    /* or NULL for Set of the property */
        const char *property;  /* as */
        const char *arguments; /* as g_variant_parse() reads them: of the method, or the value; or NULL */
} Change;

static const Change changes[] = {
        { "pause", "Pause", NULL, NULL },
        { "pause", "PauseFor", NULL, "(uint64 3600000000,)" },
        { "pause", "Resume", NULL, NULL },
        { "pause", "Inhibit", NULL, "('who', 'why')" },
        { "force-sync", "ForceSync", NULL, NULL },
        { "force-sync", "SyncFilesystem", NULL, "('/run',)" },
        { "configure", "SetProperties", NULL, "(true, {'CrowdSize': <uint32 5>, 'DryRun': <true>})" },
        { "configure", "SetProperties", NULL, "(false, {'CrowdSize': <uint32 5>, 'DryRun': <true>})" },
        { "configure", "ResetProperties", NULL, "(true, @as [])" },
        { "configure", "ResetProperties", NULL, "(false, ['CrowdSize'])" },
        { "configure", NULL, "Glob", "'kworker/*x*'" },
        { "configure", NULL, "ThresholdUSec", "uint64 2000000" },
        { "configure", NULL, "CrowdSize", "uint32 5" },
        { "configure", NULL, "CrowdThresholdUSec", "uint64 2000000" },
        { "configure", NULL, "CountWaiting", "true" },
        { "configure", NULL, "PollIntervalUSec", "uint64 2000000" },
        { "configure", NULL, "IdleScanIntervalUSec", "uint64 2000000" },
        { "configure", NULL, "RecoveryUSec", "uint64 2000000" },
        { "configure", NULL, "SyncMethod", "'auto'" },
        { "configure", NULL, "FilesystemTimeoutUSec", "uint64 2000000" },
        { "configure", NULL, "SyncTimeoutUSec", "uint64 2000000" },
        { "configure", NULL, "DryRun", "true" },
};

static guint32 send_change(Client *client, const Change *change) {
        g_autoptr(GError) error = NULL;
        GVariant *arguments = NULL;

        if (change->arguments)
                arguments = g_variant_parse(NULL, change->arguments, NULL, NULL, &error);
        g_assert_no_error(error);

        return change->method ? client_send_method(client, change->method, arguments)
                              : client_send_set(client, change->property, arguments);
}

/* Everything as at the start; a pause where one is ended, and a setting where one is taken back. */
static void prepare_change(BusFixture *fixture, Client *root, const Change *change) {
        g_autofree char *lasting = g_build_filename(fixture->state_directory, "wbwatch.conf", NULL);

        (void) g_unlink(lasting);
        fixture_reload_daemon(fixture);
        (void) client_call(root, "Resume", NULL);
        client_wait_property(root, "Inhibitors", "@aa{sv} []");
        if (g_strcmp0(change->method, "Resume") == 0)
                (void) client_call(root, "Pause", NULL);
        if (g_strcmp0(change->method, "ResetProperties") == 0)
                client_set(root, "CrowdSize", g_variant_new_uint32(9));
}

/* A user, which actions are allowed to it ("" for none, "*" for all), and how the others are refused. */
typedef struct Caller {
        const char *user;
        const char *allowed;
        const char *error;
        const char *text;
} Caller;

static void check_change(BusFixture *fixture, Client *root, const Caller *caller, const Change *change) {
        _cleanup_client_ Client *client = client_new(fixture, uid_of(caller->user));
        bool allowed = streq(caller->allowed, "*") || streq(caller->allowed, change->action);
        g_autofree char *before = NULL, *after = NULL;
        GDBusMessage *reply;

        g_test_message("%s: %s", caller->user, change->method ?: change->property);
        prepare_change(fixture, root, change);

        before = shown(client);
        reply = client_wait_reply(client, send_change(client, change));
        if (allowed)
                (void) reply_content(reply);
        else
                assert_reply_error(reply, caller->error, caller->text);
        client_settle(client);
        after = shown(client);

        /* The reply is all that shows it. */
        if (allowed && g_strcmp0(change->method, "SyncFilesystem") != 0)
                g_assert_cmpstr(before, !=, after);
        else
                g_assert_cmpstr(before, ==, after);
}

static void check_changes(BusFixture *fixture, Client *root, const Caller *callers, size_t n_callers) {
        for (size_t i = 0; i < n_callers; i++)
                for (size_t j = 0; j < ELEMENTSOF(changes); j++)
                        check_change(fixture, root, &callers[i], &changes[j]);
}

/* What the interface offers for changing is what is tried here. */
static void test_all_changes(void) {
        g_autofree char *path = fixture_source_file("dbus/org.wbwatch1.xml"), *xml = NULL;
        g_autoptr(GDBusNodeInfo) node = NULL;
        const GDBusInterfaceInfo *interface;

        g_assert_true(g_file_get_contents(path, &xml, NULL, NULL));
        node = g_dbus_node_info_new_for_xml(xml, NULL);
        g_assert_nonnull(node);
        interface = g_dbus_node_info_lookup_interface(node, BUS_INTERFACE);

        for (size_t i = 0; interface->methods[i]; i++) {
                bool tried = g_str_has_prefix(interface->methods[i]->name, "List");

                for (size_t j = 0; j < ELEMENTSOF(changes); j++)
                        tried |= g_strcmp0(changes[j].method, interface->methods[i]->name) == 0;
                g_test_message("%s", interface->methods[i]->name);
                g_assert_true(tried);
        }
        for (size_t i = 0; interface->properties[i]; i++) {
                bool tried = !(interface->properties[i]->flags & G_DBUS_PROPERTY_INFO_FLAGS_WRITABLE);

                for (size_t j = 0; j < ELEMENTSOF(changes); j++)
                        tried |= g_strcmp0(changes[j].property, interface->properties[i]->name) == 0;
                g_test_message("%s", interface->properties[i]->name);
                g_assert_true(tried);
        }
}

static const Caller callers[] = {
        { "root", "*", NULL, NULL },
        { "games", "*", NULL, NULL },
        { "mail", "pause", ERROR_INTERACTIVE, "authentication" },
        { "news", "configure", ERROR_INTERACTIVE, "authentication" },
        { "uucp", "force-sync", ERROR_INTERACTIVE, "authentication" },
        { "nobody", "", ERROR_INTERACTIVE, "authentication" },
        { "daemon", "", ERROR_ACCESS_DENIED, "polkit does not allow this" },
};

static void test_who_may(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *root = start_with_polkit(fixture);

        check_changes(fixture, root, callers, ELEMENTSOF(callers));
}

/* As a service the daemon is a user of its own, and asks polkit as such. */
static void test_who_may_by_service(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *root = NULL;

        fixture->daemon_uid = uid_of("wbwatch");
        g_assert_cmpint(g_mkdir(fixture->state_directory, 0755), ==, 0);
        g_assert_cmpint(chown(fixture->state_directory, fixture->daemon_uid, (gid_t) -1), ==, 0);

        root = start_with_polkit(fixture);
        check_changes(fixture, root, callers, ELEMENTSOF(callers));
}

static void test_without_polkit(BusFixture *fixture, gconstpointer data) {
        static const Caller without_polkit[] = {
                { "root", "*", NULL, NULL },
                { "games", "", ERROR_ACCESS_DENIED, "Only root may do this: polkit is not running" },
        };
        _cleanup_client_ Client *root = fixture_start(fixture, settings);

        check_changes(fixture, root, without_polkit, ELEMENTSOF(without_polkit));
}

/* What is wrong is said without asking anybody. */
static void test_invalid_first(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *root = fixture_start(fixture, settings);
        _cleanup_client_ Client *nobody = client_new(fixture, UID_NOBODY);

        client_set_fails(
                        nobody, "ThresholdUSec", g_variant_new_uint64(1), ERROR_INVALID_ARGS,
                        "minimum of 1s");
        client_call_fails(
                        nobody, "SetProperties",
                        set_properties_arguments(false, "{'CrowdSize': <uint32 10001>}"), ERROR_INVALID_ARGS,
                        "maximum of 10000");
        client_call_fails(
                        nobody, "PauseFor", g_variant_new("(t)", UINT64_C(0)), ERROR_INVALID_ARGS, "minimum");
        client_call_fails(
                        nobody, "SyncFilesystem", g_variant_new("(s)", "relative"), ERROR_INVALID_ARGS,
                        "path: relative is not absolute");
        client_set_fails(nobody, "State", g_variant_new_string("idle"), ERROR_READ_ONLY, "State");
        assert_property(root, "State", "'idle'");
}

/* ---- a person is asked ---- */

/* Makes the client the agent of this process, in which all clients live. */
static void register_agent(Client *client) {
        g_autofree char *stat = NULL;
        g_auto(GStrv) fields = NULL;
        GVariantBuilder subject;

        /* Field 22 of the whole, that is the 20th behind the name. */
        g_assert_true(g_file_get_contents("/proc/self/stat", &stat, NULL, NULL));
        fields = g_strsplit(strrchr(stat, ')') + 2, " ", 0);
        g_assert_cmpuint(g_strv_length(fields), >, 20);

        g_variant_builder_init(&subject, G_VARIANT_TYPE_VARDICT);
        g_variant_builder_add(&subject, "{sv}", "pid", g_variant_new_uint32((guint32) getpid()));
        g_variant_builder_add(
                        &subject, "{sv}", "start-time",
                        g_variant_new_uint64(g_ascii_strtoull(fields[19], NULL, 10)));
        (void) reply_content(client_ask(
                        client, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE, "RegisterAuthenticationAgent",
                        g_variant_new("((sa{sv})ss)", "unix-process", &subject, "C", AGENT_PATH)));
}

/* The person behind the agent proves to be root. */
static void authenticate(Client *agent, GDBusMessage *question) {
        GVariantBuilder identity;
        const char *cookie;

        g_variant_get_child(g_dbus_message_get_body(question), 4, "&s", &cookie);
        g_variant_builder_init(&identity, G_VARIANT_TYPE_VARDICT);
        g_variant_builder_add(&identity, "{sv}", "uid", g_variant_new_uint32(0));
        (void) reply_content(client_ask(
                        agent, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE, "AuthenticationAgentResponse2",
                        g_variant_new("(us(sa{sv}))", 0, cookie, "unix-user", &identity)));
        client_answer(agent, question, NULL);
}

static void test_interactive(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *root = start_with_polkit(fixture);
        _cleanup_client_ Client *agent = client_new(fixture, UID_ROOT);
        _cleanup_client_ Client *nobody = client_new(fixture, UID_NOBODY);
        _cleanup_client_ Client *other = client_new(fixture, uid_of("games"));
        GDBusMessage *question;
        const char *action;
        guint32 serial;

        /* Nobody is there who could be asked. */
        client_allow_interaction(nobody, true);
        client_call_fails(nobody, "Pause", NULL, ERROR_INTERACTIVE, "agent");

        register_agent(agent);

        /* The caller does not want anybody to be asked. */
        client_allow_interaction(nobody, false);
        client_call_fails(nobody, "Pause", NULL, ERROR_INTERACTIVE, "does not allow it");

        /* The person gives up. */
        client_allow_interaction(nobody, true);
        serial = client_send_method(nobody, "Pause", NULL);
        question = client_wait_call(agent, "BeginAuthentication");
        g_variant_get_child(g_dbus_message_get_body(question), 0, "&s", &action);
        g_assert_cmpstr(action, ==, ACTION_PAUSE);
        client_answer_error(agent, question, "org.freedesktop.PolicyKit1.Error.Cancelled");
        assert_reply_error(client_wait_reply(nobody, serial), ERROR_ACCESS_DENIED, "");
        assert_property(root, "PausedUntilUSec", "uint64 0");

        /* The person lets everybody wait; others go on. */
        serial = client_send_method(nobody, "Pause", NULL);
        question = client_wait_call(agent, "BeginAuthentication");
        assert_property(nobody, "PausedUntilUSec", "uint64 0");
        (void) client_call(other, "PauseFor", g_variant_new("(t)", USEC_PER_HOUR));
        (void) client_call(root, "Resume", NULL);
        g_assert_false(client_has_reply(nobody, serial));

        /* And does it at last. */
        authenticate(agent, question);
        (void) reply_content(client_wait_reply(nobody, serial));
        assert_property(root, "State", "'paused'");

        /* The caller has left before the person was done. */
        (void) client_call(root, "Resume", NULL);
        (void) client_send_method(nobody, "Pause", NULL);
        question = client_wait_call(agent, "BeginAuthentication");
        nobody = client_free(nobody);
        authenticate(agent, question);
        settle_polkit(fixture);
        assert_property(root, "PausedUntilUSec", "uint64 0");
}

/* ---- polkit hangs, dies, lies ---- */

/* Somebody who has polkit's name, and what it is asked. */
static Client *start_false_polkit(BusFixture *fixture) {
        Client *polkit = client_new(fixture, uid_of("polkitd"));

        client_own_name(polkit, POLKIT_NAME);
        return polkit;
}

/* Everything else is done while the question is open; then polkit answers, and refuses. */
static void test_polkit_hangs(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *root = start_with_polkit(fixture);
        _cleanup_client_ Client *nobody = client_new(fixture, UID_NOBODY);
        _cleanup_client_ Client *bin = client_new(fixture, uid_of("bin"));
        _cleanup_client_ Client *reader = client_new(fixture, UID_NOBODY);
        pid_t polkit = client_pid_of(root, POLKIT_NAME);
        Client *const askers[] = { nobody, bin }; /* one alone has not so many questions */
        guint32 serials[ELEMENTSOF(changes)];
        g_autofree char *before = NULL, *after = NULL;
        gint64 begin_usec, slowest_usec = 0;

        before = shown(root);
        g_assert_cmpint(kill(polkit, SIGSTOP), ==, 0);
        for (size_t i = 0; i < ELEMENTSOF(changes); i++)
                serials[i] = send_change(askers[i % 2], &changes[i]);
        client_settle(nobody);
        client_settle(bin);

        for (unsigned i = 0; i < 100; i++) {
                begin_usec = g_get_monotonic_time();
                assert_property(reader, "State", "'idle'");
                slowest_usec = MAX(slowest_usec, g_get_monotonic_time() - begin_usec);
        }
        g_test_message("slowest of 100 answers while polkit hangs: %" G_GINT64_FORMAT " us", slowest_usec);

        client_set(root, "ThresholdUSec", g_variant_new_uint64(5000000));
        client_set(root, "ThresholdUSec", g_variant_new_uint64(30000000));
        (void) client_call(root, "Pause", NULL);
        (void) client_call(root, "Resume", NULL);
        for (size_t i = 0; i < ELEMENTSOF(changes); i++)
                g_assert_false(client_has_reply(askers[i % 2], serials[i]));

        g_assert_cmpint(kill(polkit, SIGCONT), ==, 0);
        for (size_t i = 0; i < ELEMENTSOF(changes); i++)
                assert_reply_error(client_wait_reply(askers[i % 2], serials[i]), ERROR_INTERACTIVE, "");
        assert_property(root, "SyncCount", "uint64 0");
        assert_property(root, "CrowdSize", "uint32 4");
        assert_property(root, "DryRun", "false");
        assert_property(root, "PausedUntilUSec", "uint64 0");
        after = shown(root);
        g_assert_cmpstr(before, !=, after); /* by what root did */
}

/* The call ends, even if polkit never answers. */
static void test_polkit_never_answers(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *root = start_with_polkit(fixture);
        _cleanup_client_ Client *allowed = client_new(fixture, uid_of("games"));
        pid_t polkit = client_pid_of(root, POLKIT_NAME);

        g_assert_cmpint(kill(polkit, SIGSTOP), ==, 0);
        client_call_fails(allowed, "Pause", NULL, ERROR_ACCESS_DENIED, "polkit does not answer");
        assert_property(root, "PausedUntilUSec", "uint64 0");

        /* The late answer comes to nothing, and the next one counts again. */
        g_assert_cmpint(kill(polkit, SIGCONT), ==, 0);
        (void) client_call(allowed, "PauseFor", g_variant_new("(t)", USEC_PER_HOUR));
        assert_property(root, "State", "'paused'");
}

static void test_polkit_dies(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *root = start_with_polkit(fixture);
        _cleanup_client_ Client *allowed = client_new(fixture, uid_of("games"));
        pid_t polkit = client_pid_of(root, POLKIT_NAME);
        guint32 serial;

        g_assert_cmpint(kill(polkit, SIGSTOP), ==, 0);
        serial = client_send_method(allowed, "Pause", NULL);
        client_settle(allowed);
        fixture_stop_polkit(fixture);
        assert_reply_error(client_wait_reply(allowed, serial), ERROR_ACCESS_DENIED, "polkit");
        assert_property(root, "PausedUntilUSec", "uint64 0");
        client_call_fails(allowed, "Pause", NULL, ERROR_ACCESS_DENIED, "polkit is not running");

        fixture_start_polkit(fixture, rules);
        (void) client_call(allowed, "Pause", NULL);
        assert_property(root, "State", "'paused'");
}

/* Who would be allowed, but has gone by then. */
static void test_caller_leaves(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *root = start_with_polkit(fixture);
        pid_t polkit = client_pid_of(root, POLKIT_NAME);
        g_autofree char *before = shown(root), *after = NULL;

        g_assert_cmpint(kill(polkit, SIGSTOP), ==, 0);
        for (size_t i = 0; i < ELEMENTSOF(changes); i++) {
                _cleanup_client_ Client *allowed = client_new(fixture, uid_of("games"));

                (void) send_change(allowed, &changes[i]);
                client_settle(allowed);
        }
        g_assert_cmpint(kill(polkit, SIGCONT), ==, 0);

        settle_polkit(fixture);

        after = shown(root);
        g_assert_cmpstr(before, ==, after);
}

/* polkit itself says yes, too late. */
static void test_caller_leaves_late(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *root = fixture_start(fixture, settings);
        _cleanup_client_ Client *polkit = start_false_polkit(fixture);
        g_autofree char *before = shown(root), *after = NULL;

        for (size_t i = 0; i < ELEMENTSOF(changes); i++) {
                Client *caller = client_new(fixture, UID_NOBODY);
                GDBusMessage *question;

                (void) send_change(caller, &changes[i]);
                question = client_wait_call(polkit, "CheckAuthorization");
                client_free(caller);
                client_answer(polkit, question, g_variant_new_parsed("((true, false, @a{ss} {}),)"));
                client_settle(polkit);
        }

        after = shown(root);
        g_assert_cmpstr(before, ==, after);
}

/* One user's open questions are bounded, and take nothing from another. */
static void test_limit(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *root = start_with_polkit(fixture);
        _cleanup_client_ Client *nobody = client_new(fixture, UID_NOBODY);
        _cleanup_client_ Client *again = client_new(fixture, UID_NOBODY);
        _cleanup_client_ Client *allowed = client_new(fixture, uid_of("games"));
        pid_t polkit = client_pid_of(root, POLKIT_NAME);
        guint32 serials[QUESTIONS_PER_USER], allowed_serial;

        g_assert_cmpint(kill(polkit, SIGSTOP), ==, 0);
        for (size_t i = 0; i < QUESTIONS_PER_USER; i++)
                serials[i] = client_send_method(nobody, "Pause", NULL);
        client_settle(nobody);

        /* Whoever the user is connected as. */
        client_call_fails(nobody, "Pause", NULL, ERROR_LIMITS_EXCEEDED, "at most 16");
        client_call_fails(again, "ForceSync", NULL, ERROR_LIMITS_EXCEEDED, "at most 16");

        allowed_serial = client_send_method(allowed, "PauseFor", g_variant_new("(t)", USEC_PER_HOUR));
        client_settle(allowed);
        g_assert_false(client_has_reply(allowed, allowed_serial));
        (void) client_call(root, "ForceSync", NULL);

        g_assert_cmpint(kill(polkit, SIGCONT), ==, 0);
        (void) reply_content(client_wait_reply(allowed, allowed_serial));
        for (size_t i = 0; i < QUESTIONS_PER_USER; i++)
                assert_reply_error(client_wait_reply(nobody, serials[i]), ERROR_INTERACTIVE, "");

        /* Answered ones count no more. */
        client_call_fails(again, "Pause", NULL, ERROR_INTERACTIVE, "");
        assert_property(root, "SyncCount", "uint64 1");
}

/* All users together: no more than the bus lets one connection ask. */
static void test_limit_of_bus(BusFixture *fixture, gconstpointer data) {
        static const char *const users[] = {
                "daemon", "bin", "sys", "games", "man", "lp", "mail", "news",
        };
        _cleanup_client_ Client *root = fixture_start(fixture, settings);
        _cleanup_client_ Client *polkit = start_false_polkit(fixture);
        _cleanup_client_ Client *last = client_new(fixture, uid_of("uucp"));
        Client *clients[ELEMENTSOF(users)];

        for (size_t i = 0; i < ELEMENTSOF(users); i++) {
                clients[i] = client_new(fixture, uid_of(users[i]));
                for (size_t j = 0; j < QUESTIONS_PER_USER; j++)
                        (void) client_send_method(clients[i], "Pause", NULL);
                client_settle(clients[i]);
        }
        (void) client_wait_call(polkit, "CheckAuthorization");
        client_call_fails(last, "Pause", NULL, ERROR_LIMITS_EXCEEDED, "waiting for polkit");

        /* Nothing of it concerns root. */
        (void) client_call(root, "ForceSync", NULL);
        assert_property(root, "PausedUntilUSec", "uint64 0");
        for (size_t i = 0; i < ELEMENTSOF(users); i++)
                client_free(clients[i]);
}

/* As AUTHORITY_OPEN_MAX promises. */
#define N_USERS (512 / QUESTIONS_PER_USER)
#define FIRST_UID 20000

/* Users that exist for the private bus and this program. */
static void set_users(BusFixture *fixture) {
        g_autofree char *file = g_build_filename(fixture->folder, "passwd", NULL), *users = NULL;
        g_autoptr(GString) text = g_string_new(NULL);
        g_autoptr(GError) error = NULL;

        (void) g_file_get_contents("/etc/passwd", &users, NULL, &error);
        g_assert_no_error(error);
        g_string_append(text, users);
        for (unsigned i = 0; i < N_USERS; i++)
                g_string_append_printf(text, "user%u:x:%u:65534::/:/bin/false\n", i, FIRST_UID + i);
        (void) g_file_set_contents(file, text->str, -1, &error);
        g_assert_no_error(error);
        g_assert_no_errno(mount(file, "/etc/passwd", NULL, MS_BIND, NULL));
}

static void reload_bus(BusFixture *fixture, Client *root, const char *extra) {
        private_bus_set_extra(fixture->folder, extra);
        (void) reply_content(client_ask(root, DBUS_NAME, DBUS_PATH, DBUS_NAME, "ReloadConfig", NULL));
}

/* As many open questions as there can be refuse nothing to root. */
static void test_limit_of_all(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *root = fixture_start(fixture, settings);
        _cleanup_client_ _unused_ Client *polkit = start_false_polkit(fixture);
        _cleanup_client_ Client *last = client_new(fixture, uid_of("uucp"));
        Client *clients[N_USERS];

        set_users(fixture);
        reload_bus(fixture, root, "<limit name='max_replies_per_connection'>1000</limit>");
        for (unsigned i = 0; i < N_USERS; i++) {
                clients[i] = client_new(fixture, FIRST_UID + i);
                for (unsigned j = 0; j < QUESTIONS_PER_USER; j++)
                        (void) client_send_method(clients[i], "Resume", NULL);
                client_settle(clients[i]);
        }
        client_call_fails(last, "Pause", NULL, ERROR_LIMITS_EXCEEDED, "at most 512");

        (void) client_call(root, "Pause", NULL);
        assert_property(root, "State", "'paused'");
        for (unsigned i = 0; i < N_USERS; i++)
                client_free(clients[i]);
        g_assert_no_errno(umount("/etc/passwd"));
}

/* The bus is asked again for a user whom it did not name. */
static void test_user_unknown(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *root = fixture_start(fixture, settings);
        _cleanup_client_ Client *other = client_new(fixture, UID_ROOT);

        reload_bus(fixture, root,
                   "<policy context='mandatory'><deny send_destination='org.freedesktop.DBus'"
                   " send_interface='org.freedesktop.DBus' send_member='GetConnectionUnixUser'/></policy>");
        client_call_fails(other, "Pause", NULL, ERROR_ACCESS_DENIED, "polkit is not running");

        reload_bus(fixture, root, "");
        (void) client_call(other, "Pause", NULL);
        assert_property(root, "State", "'paused'");
}

static void test_question(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *root = fixture_start(fixture, settings);
        _cleanup_client_ Client *polkit = start_false_polkit(fixture);
        _cleanup_client_ Client *nobody = client_new(fixture, UID_NOBODY);

        for (size_t i = 0; i < ELEMENTSOF(changes); i++)
                for (int interactive = 0; interactive <= 1; interactive++) {
                        g_autofree char *expected = g_strdup_printf(
                                        "(('system-bus-name', {'name': <'%s'>}), 'org.wbwatch1.%s', @a{ss} "
                                        "{}, "
                                        "uint32 %d, '')",
                                        client_unique_name(nobody), changes[i].action, interactive);
                        GDBusMessage *question;
                        guint32 serial;

                        client_allow_interaction(nobody, interactive);
                        serial = send_change(nobody, &changes[i]);
                        question = client_wait_call(polkit, "CheckAuthorization");
                        assert_variant(g_dbus_message_get_body(question), expected);
                        client_answer(polkit, question, g_variant_new_parsed("((false, false, @a{ss} {}),)"));
                        assert_reply_error(
                                        client_wait_reply(nobody, serial), ERROR_ACCESS_DENIED,
                                        "polkit does not allow this");
                }

        assert_property(root, "State", "'idle'");
}

static void test_nonsense(BusFixture *fixture, gconstpointer data) {
        static const char *const answers[] = {
                "('yes',)",
                "(true,)",
                "(true, false, @a{ss} {})",
                "((true,),)",
                "((true, 'no', @a{ss} {}),)",
                "((uint32 1, uint32 0, @a{ss} {}),)",
                "([true, false],)",
                "(<(true, false, @a{ss} {})>,)",
        };
        _cleanup_client_ Client *root = fixture_start(fixture, settings);
        _cleanup_client_ Client *polkit = start_false_polkit(fixture);
        _cleanup_client_ Client *nobody = client_new(fixture, UID_NOBODY);
        g_autofree char *before = shown(root), *after = NULL;
        GDBusMessage *question;
        guint32 serial;

        for (size_t i = 0; i < ELEMENTSOF(answers) + 1; i++) {
                g_autoptr(GError) error = NULL;
                GVariant *answer = NULL;

                if (i < ELEMENTSOF(answers))
                        answer = g_variant_parse(NULL, answers[i], NULL, NULL, &error);
                g_assert_no_error(error);

                serial = client_send_method(nobody, "Pause", NULL);
                question = client_wait_call(polkit, "CheckAuthorization");
                client_answer(polkit, question, answer);
                assert_reply_error(
                                client_wait_reply(nobody, serial), ERROR_ACCESS_DENIED,
                                "polkit sent an invalid reply");
        }

        serial = client_send_method(nobody, "Pause", NULL);
        question = client_wait_call(polkit, "CheckAuthorization");
        client_answer_error(polkit, question, "org.example.Error.Tired");
        assert_reply_error(client_wait_reply(nobody, serial), ERROR_ACCESS_DENIED, "org.example.Error.Tired");

        after = shown(root);
        g_assert_cmpstr(before, ==, after);
}

/* What was valid when it was requested is read again over what is in effect when it is granted. A requested
 * sync is made in a dry run, too. */
static void test_meanwhile(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *root = fixture_start(fixture, settings);
        _cleanup_client_ Client *polkit = start_false_polkit(fixture);
        _cleanup_client_ Client *nobody = client_new(fixture, UID_NOBODY);
        guint32 set, set_one, sync;

        set = client_send_method(
                        nobody, "SetProperties",
                        set_properties_arguments(true, "{'ThresholdUSec': <uint64 5000000>}"));
        set_one = client_send_set(nobody, "SyncTimeoutUSec", g_variant_new_uint64(5000000));
        sync = client_send_method(nobody, "ForceSync", NULL);
        client_settle(nobody);
        client_set(root, "CrowdSize", g_variant_new_uint32(9));
        client_set(root, "DryRun", g_variant_new_boolean(true));

        for (unsigned i = 0; i < 3; i++)
                client_answer(polkit, client_wait_call(polkit, "CheckAuthorization"),
                              g_variant_new_parsed("((true, false, @a{ss} {}),)"));
        (void) reply_content(client_wait_reply(nobody, set));
        (void) reply_content(client_wait_reply(nobody, set_one));
        (void) reply_content(client_wait_reply(nobody, sync));

        assert_property(root, "CrowdSize", "uint32 9");
        assert_property(root, "DryRun", "true");
        assert_property(root, "ThresholdUSec", "uint64 5000000");
        assert_property(root, "SyncTimeoutUSec", "uint64 5000000");
        assert_property(root, "SyncCount", "uint64 1");
}

/* With questions open; they are gone with it. */
static void test_bus_is_lost(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *later = NULL;
        Client *root = fixture_start(fixture, settings), *polkit = start_false_polkit(fixture);
        Client *nobody = client_new(fixture, UID_NOBODY);

        for (size_t i = 0; i < ELEMENTSOF(changes); i++)
                (void) send_change(nobody, &changes[i]);
        client_settle(nobody);
        client_free(nobody);
        client_free(polkit);
        client_free(root);

        fixture_stop_bus(fixture);
        fixture_start_bus(fixture);
        later = client_new(fixture, UID_ROOT);
        g_free(client_wait_owner(later, BUS_NAME));
        assert_property(later, "PausedUntilUSec", "uint64 0");
        assert_property(later, "SyncCount", "uint64 0");
        (void) client_call(later, "Pause", NULL);
}

static void test_ends_with_open_questions(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *root = fixture_start(fixture, settings);
        _cleanup_client_ Client *polkit = start_false_polkit(fixture);
        _cleanup_client_ Client *nobody = client_new(fixture, UID_NOBODY);
        guint32 serial = client_send_method(nobody, "Pause", NULL);

        (void) client_wait_call(polkit, "CheckAuthorization");
        assert_property(root, "PausedUntilUSec", "uint64 0");
        fixture_stop_daemon(fixture);
        assert_reply_error(client_wait_reply(nobody, serial), "org.freedesktop.DBus.Error.NoReply", "");
}

int main(int argc, char *argv[]) {
        if (!fixture_isolate())
                return EXIT_SUCCESS;
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/authority/all-changes", test_all_changes);
        FIXTURE_TEST("/authority/who-may", test_who_may);
        FIXTURE_TEST("/authority/who-may/by-service", test_who_may_by_service);
        FIXTURE_TEST("/authority/without-polkit", test_without_polkit);
        FIXTURE_TEST("/authority/invalid-first", test_invalid_first);
        FIXTURE_TEST("/authority/interactive", test_interactive);
        FIXTURE_TEST("/authority/polkit/hangs", test_polkit_hangs);
        FIXTURE_TEST("/authority/polkit/never-answers", test_polkit_never_answers);
        FIXTURE_TEST("/authority/polkit/dies", test_polkit_dies);
        FIXTURE_TEST("/authority/polkit/question", test_question);
        FIXTURE_TEST("/authority/polkit/nonsense", test_nonsense);
        FIXTURE_TEST("/authority/caller-leaves", test_caller_leaves);
        FIXTURE_TEST("/authority/caller-leaves/late", test_caller_leaves_late);
        FIXTURE_TEST("/authority/limit", test_limit);
        FIXTURE_TEST("/authority/limit/of-bus", test_limit_of_bus);
        FIXTURE_TEST("/authority/limit/of-all", test_limit_of_all);
        FIXTURE_TEST("/authority/user-unknown", test_user_unknown);
        FIXTURE_TEST("/authority/meanwhile", test_meanwhile);
        FIXTURE_TEST("/authority/bus-is-lost", test_bus_is_lost);
        FIXTURE_TEST("/authority/ends-with-open-questions", test_ends_with_open_questions);

        return g_test_run();
}
