/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A connection to the bus: see bus-client.h.
 *
 * GDBus is the transport only: a filter in its worker thread keeps each message as it arrives. So a test sees
 * the order of messages, and waits for them without a main loop. The daemon uses another implementation of
 * D-Bus, so that the two check each other.
 */

#include "bus-client.h"

#include <string.h>
#include <unistd.h>

#include "bus-fixture.h"
#include "deadline.h"
#include "process-info.h"

/* The pause before a call is repeated that found the daemon's queue full. */
#define QUEUE_FULL_PAUSE_USEC (10 * 1000)

struct Client {
        BusFixture *fixture;
        GDBusConnection *connection;
        guint filter;
        bool filter_gone;
        bool interactive;

        GMutex lock; /* for what the worker thread adds to */
        GCond more;
        GPtrArray *messages;

        size_t next_signal; /* after the last one that was waited for */
        size_t next_call;
};

/* Runs in GDBus's worker thread. GDBus itself gets no message. */
static GDBusMessage *on_message(
                GDBusConnection *connection,
                GDBusMessage *message,
                gboolean incoming,
                gpointer userdata) {
        Client *client = userdata;

        if (!incoming)
                return message;

        g_mutex_lock(&client->lock);
        g_ptr_array_add(client->messages, message);
        g_cond_broadcast(&client->more);
        g_mutex_unlock(&client->lock);
        return NULL;
}

static void on_filter_gone(gpointer userdata) {
        Client *client = userdata;

        client->filter_gone = true;
}

/* The bus takes the user from the socket: that of the caller of connect(2). */
static GDBusConnection *connect_as(const char *address, uid_t uid, bool is_bus) {
        g_autoptr(GError) error = NULL;
        GDBusConnection *connection;

        g_assert_cmpint(setegid(group_of(uid)), ==, 0);
        g_assert_cmpint(seteuid(uid), ==, 0);
        connection = g_dbus_connection_new_for_address_sync(
                        address,
                        G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                        (is_bus ? G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION : 0),
                        NULL, NULL, &error);
        g_assert_cmpint(seteuid(UID_ROOT), ==, 0);
        g_assert_cmpint(setegid(0), ==, 0);

        g_assert_no_error(error);
        return connection;
}

static GVariant *client_call_bus(Client *client, const char *member, GVariant *arguments) {
        guint32 serial = client_send(client, DBUS_NAME, DBUS_PATH, DBUS_NAME, member, arguments);

        return reply_content(client_wait_reply(client, serial));
}

static Client *client_connect(BusFixture *fixture, uid_t uid, const char *address, bool is_bus) {
        Client *client = g_new0(Client, 1);

        client->fixture = fixture;
        client->messages = g_ptr_array_new_with_free_func(g_object_unref);
        g_mutex_init(&client->lock);
        g_cond_init(&client->more);

        client->connection = connect_as(address, uid, is_bus);
        client->filter = g_dbus_connection_add_filter(client->connection, on_message, client, on_filter_gone);
        return client;
}

Client *client_new_on_socket(BusFixture *fixture, uid_t uid, const char *socket) {
        g_autofree char *address = g_strdup_printf("unix:path=%s/%s", fixture->socket_folder, socket);

        return client_connect(fixture, uid, address, /* is_bus= */ false);
}

Client *client_new(BusFixture *fixture, uid_t uid) {
        static const char *const rules[] = {
                "type='signal',sender='" BUS_NAME "'",
                "type='signal',sender='" DBUS_NAME "',member='NameOwnerChanged'",
        };
        Client *client;

        if (fixture->socket)
                return client_new_on_socket(fixture, uid, fixture->socket);

        client = client_connect(fixture, uid, fixture->bus_address, /* is_bus= */ true);
        for (size_t i = 0; i < ELEMENTSOF(rules); i++)
                (void) client_call_bus(client, "AddMatch", g_variant_new("(s)", rules[i]));
        return client;
}

Client *client_free(Client *client) {
        if (!client)
                return NULL;

        /* Fails if the bus is already gone. */
        (void) g_dbus_connection_close_sync(client->connection, NULL, NULL);
        g_dbus_connection_remove_filter(client->connection, client->filter);
        while (!client->filter_gone)
                (void) g_main_context_iteration(NULL, true);
        g_object_unref(client->connection);

        g_ptr_array_unref(client->messages);
        g_cond_clear(&client->more);
        g_mutex_clear(&client->lock);
        g_free(client);
        return NULL;
}

const char *client_unique_name(const Client *client) {
        return g_dbus_connection_get_unique_name(client->connection);
}

bool client_is_closed(const Client *client) {
        return g_dbus_connection_is_closed(client->connection);
}

void client_allow_interaction(Client *client, bool allow) {
        client->interactive = allow;
}

/* ---- received messages ---- */

typedef bool (*message_match_t)(GDBusMessage *message, const void *data);

static void describe_message(GString *text, GDBusMessage *message) {
        GVariant *body = g_dbus_message_get_body(message);
        g_autofree char *content = body ? g_variant_print(body, true) : NULL;

        g_string_append_printf(
                        text, "  %s %s %s\n", g_dbus_message_get_sender(message) ?: "",
                        g_dbus_message_get_member(message) ?: g_dbus_message_get_error_name(message) ?: "reply",
                        content ?: "");
}

/* Waits for the first message from *index on that matches, and sets *index to the one after it. */
static GDBusMessage *client_wait(
                Client *client,
                size_t *index,
                message_match_t match,
                const void *data,
                const char *what) {
        g_autoptr(GString) text = NULL;
        GDBusMessage *found = NULL;
        bool in_time = true;

        g_mutex_lock(&client->lock);
        while (!found && in_time) {
                for (; !found && *index < client->messages->len; (*index)++)
                        if (match(client->messages->pdata[*index], data))
                                found = client->messages->pdata[*index];
                if (!found)
                        in_time = g_cond_wait_until(
                                        &client->more, &client->lock, client->fixture->deadline_usec);
        }
        if (!found) {
                text = g_string_new(NULL);
                for (size_t i = 0; i < client->messages->len; i++)
                        describe_message(text, client->messages->pdata[i]);
        }
        g_mutex_unlock(&client->lock);

        if (!found) {
                g_autofree char *processes = process_describe(client->fixture->daemon.pid);

                g_error("%s does not come, but only\n%s\nfrom\n%s", what, text->str, processes);
        }
        return found;
}

size_t client_count_messages(Client *client) {
        size_t n;

        g_mutex_lock(&client->lock);
        n = client->messages->len;
        g_mutex_unlock(&client->lock);
        return n;
}

GDBusMessage *client_message(Client *client, size_t index) {
        GDBusMessage *message;

        g_mutex_lock(&client->lock);
        g_assert_cmpuint(index, <, client->messages->len);
        message = client->messages->pdata[index];
        g_mutex_unlock(&client->lock);
        return message;
}

size_t client_index_of(Client *client, GDBusMessage *message) {
        for (size_t i = 0; i < client_count_messages(client); i++)
                if (client_message(client, i) == message)
                        return i;

        g_error("no such message");
}

/* ---- calls and replies ---- */

static guint32 client_send_message(Client *client, GDBusMessage *message) {
        g_autoptr(GError) error = NULL;
        guint32 serial;

        (void) g_dbus_connection_send_message(
                        client->connection, message, G_DBUS_SEND_MESSAGE_FLAGS_NONE, &serial, &error);
        g_assert_no_error(error);
        return serial;
}

guint32 client_send(
                Client *client,
                const char *destination,
                const char *path,
                const char *interface,
                const char *member,
                GVariant *arguments) {
        g_autoptr(GDBusMessage) call = g_dbus_message_new_method_call(destination, path, interface, member);

        if (arguments)
                g_dbus_message_set_body(call, arguments);
        if (client->interactive)
                g_dbus_message_set_flags(call, G_DBUS_MESSAGE_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION);

        return client_send_message(client, call);
}

static bool is_reply_to(GDBusMessage *message, const void *data) {
        const guint32 *serial = data;
        GDBusMessageType type = g_dbus_message_get_message_type(message);

        return (type == G_DBUS_MESSAGE_TYPE_METHOD_RETURN || type == G_DBUS_MESSAGE_TYPE_ERROR) &&
               g_dbus_message_get_reply_serial(message) == *serial;
}

GDBusMessage *client_wait_reply(Client *client, guint32 serial) {
        size_t index = 0;

        return client_wait(client, &index, is_reply_to, &serial, "a reply");
}

bool client_has_reply(Client *client, guint32 serial) {
        for (size_t i = 0; i < client_count_messages(client); i++)
                if (is_reply_to(client_message(client, i), &serial))
                        return true;

        return false;
}

GDBusMessage *client_ask(
                Client *client,
                const char *destination,
                const char *path,
                const char *interface,
                const char *member,
                GVariant *arguments) {
        return client_wait_reply(
                        client, client_send(client, destination, path, interface, member, arguments));
}

GVariant *reply_content(GDBusMessage *reply) {
        g_autoptr(GError) error = NULL;

        (void) g_dbus_message_to_gerror(reply, &error);
        g_assert_no_error(error);
        return g_dbus_message_get_body(reply);
}

void assert_reply_error(GDBusMessage *reply, const char *name, const char *text) {
        g_autoptr(GError) error = NULL;
        g_autofree char *actual = NULL;

        g_assert_true(g_dbus_message_to_gerror(reply, &error));
        actual = g_dbus_error_get_remote_error(error);
        (void) g_dbus_error_strip_remote_error(error);
        /* The text says why: another error may come from another program. */
        if (g_strcmp0(actual, name) != 0 || !strstr(error->message, text))
                g_error("the error is %s with \"%s\", not %s with \"%s\"", actual, error->message, name,
                        text);
}

/* Whether the bus refused a call because too many messages wait for the daemon. */
static bool is_queue_full(GDBusMessage *reply) {
        const char *message = NULL;

        if (g_strcmp0(g_dbus_message_get_error_name(reply), ERROR_LIMITS_EXCEEDED) != 0)
                return false;

        g_variant_get(g_dbus_message_get_body(reply), "(&s)", &message);
        return strstr(message, "destination has a full message queue");
}

/* Calls our object. A call that the bus refuses in a flood has not reached the daemon. It is repeated until
 * the deadline of the test, since no event says when there is room again. */
static GDBusMessage *client_ask_object(
                Client *client,
                const char *interface,
                const char *member,
                GVariant *arguments) {
        g_autoptr(GVariant) kept = arguments ? g_variant_ref_sink(arguments) : NULL;
        GDBusMessage *reply;

        for (;;) {
                reply = client_ask(client, BUS_NAME, BUS_PATH, interface, member, kept);
                if (!client->fixture->flooded || !is_queue_full(reply) ||
                    deadline_msec_left(client->fixture->deadline_usec) == 0)
                        return reply;
                g_usleep(QUEUE_FULL_PAUSE_USEC);
        }
}

guint32 client_send_method(Client *client, const char *method, GVariant *arguments) {
        return client_send(client, BUS_NAME, BUS_PATH, BUS_INTERFACE, method, arguments);
}

GVariant *client_call(Client *client, const char *method, GVariant *arguments) {
        return reply_content(client_ask_object(client, BUS_INTERFACE, method, arguments));
}

void client_call_fails(
                Client *client,
                const char *method,
                GVariant *arguments,
                const char *error,
                const char *text) {
        assert_reply_error(
                        client_wait_reply(client, client_send_method(client, method, arguments)), error,
                        text);
}

/* ---- properties ---- */

static GDBusMessage *client_ask_property(Client *client, const char *property) {
        return client_ask_object(
                        client, PROPERTIES_INTERFACE, "Get", g_variant_new("(ss)", BUS_INTERFACE, property));
}

static GVariant *reply_value(GDBusMessage *reply) {
        GVariant *value;

        g_variant_get(reply_content(reply), "(v)", &value);
        return value;
}

bool property_varies(const char *property) {
        return streq(property, "StatusText") || streq(property, "DirtyBytes") ||
               streq(property, "WritebackBytes");
}

GVariant *client_get(Client *client, const char *property) {
        return reply_value(client_ask_property(client, property));
}

void assert_property(Client *client, const char *property, const char *text) {
        g_autoptr(GVariant) value = client_get(client, property);
        g_autofree char *printed = g_variant_print(value, true);

        if (!streq(printed, text))
                g_error("%s is %s, not %s", property, printed, text);
}

guint32 client_send_set(Client *client, const char *property, GVariant *value) {
        return client_send(
                        client, BUS_NAME, BUS_PATH, PROPERTIES_INTERFACE, "Set",
                        g_variant_new("(ssv)", BUS_INTERFACE, property, value));
}

void client_set(Client *client, const char *property, GVariant *value) {
        (void) reply_content(client_wait_reply(client, client_send_set(client, property, value)));
}

void client_set_fails(
                Client *client,
                const char *property,
                GVariant *value,
                const char *error,
                const char *text) {
        assert_reply_error(client_wait_reply(client, client_send_set(client, property, value)), error, text);
}

/* After the first reply the daemon has seen the calls and requested their senders' credentials, and the bus
 * has replied. After the second one the daemon has seen these replies, too. */
void client_settle(Client *client) {
        for (unsigned i = 0; i < 2; i++)
                g_variant_unref(client_get(client, "Version"));
}

GVariant *set_properties_arguments(bool runtime, const char *properties) {
        g_autoptr(GError) error = NULL;
        GVariant *dictionary = g_variant_parse(G_VARIANT_TYPE_VARDICT, properties, NULL, NULL, &error);

        g_assert_no_error(error);
        return g_variant_new("(b@a{sv})", runtime, dictionary);
}

/* The changed properties of a PropertiesChanged signal of one of our interfaces, to be freed, or NULL. */
static GVariant *changed_properties(GDBusMessage *message) {
        if (g_dbus_message_get_message_type(message) != G_DBUS_MESSAGE_TYPE_SIGNAL ||
            g_strcmp0(g_dbus_message_get_member(message), "PropertiesChanged") != 0)
                return NULL;

        return g_variant_get_child_value(g_dbus_message_get_body(message), 1);
}

typedef struct PropertyMatch {
        const char *property;
        const char *text;
} PropertyMatch;

static bool is_change_to(GDBusMessage *message, const void *data) {
        const PropertyMatch *wanted = data;
        g_autoptr(GVariant) changed = changed_properties(message);
        g_autoptr(GVariant) value = changed ? g_variant_lookup_value(changed, wanted->property, NULL) : NULL;
        g_autofree char *printed = value ? g_variant_print(value, true) : NULL;

        return printed && streq(printed, wanted->text);
}

void client_wait_property(Client *client, const char *property, const char *text) {
        GDBusMessage *reply = client_ask_property(client, property);
        g_autofree char *what = g_strdup_printf("%s=%s", property, text);
        g_autoptr(GVariant) value = reply_value(reply);
        g_autofree char *printed = g_variant_print(value, true);
        const PropertyMatch wanted = { property, text };
        size_t index;

        if (streq(printed, text))
                return;

        index = client_index_of(client, reply);
        (void) client_wait(client, &index, is_change_to, &wanted, what);
}

char *client_history(Client *client, const char *property) {
        g_autoptr(GString) history = g_string_new(NULL);

        for (size_t i = 0; i < client_count_messages(client); i++) {
                g_autoptr(GVariant) changed = changed_properties(client_message(client, i));
                g_autoptr(GVariant) value = changed ? g_variant_lookup_value(changed, property, NULL) : NULL;
                g_autofree char *printed = NULL;

                if (!value)
                        continue;
                printed = g_variant_is_of_type(value, G_VARIANT_TYPE_STRING)
                                          ? g_variant_dup_string(value, NULL)
                                          : g_variant_print(value, false);
                g_string_append_printf(history, "%s%s", history->len > 0 ? " " : "", printed);
        }

        return g_string_free(g_steal_pointer(&history), false);
}

static int compare_strings(const void *a, const void *b) {
        const char *const *one = a, *const *other = b;

        return strcmp(*one, *other);
}

char *client_changes_between(Client *client, size_t from, size_t to) {
        g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(g_free);

        for (size_t i = from; i < to; i++) {
                g_autoptr(GVariant) changed = changed_properties(client_message(client, i));
                g_autoptr(GPtrArray) names = g_ptr_array_new();
                GVariantIter properties;
                const char *name;

                if (!changed)
                        continue;

                g_variant_iter_init(&properties, changed);
                while (g_variant_iter_next(&properties, "{&sv}", &name, NULL))
                        g_ptr_array_add(names, (char *) name);
                g_ptr_array_sort(names, compare_strings);
                g_ptr_array_add(names, NULL);
                g_ptr_array_add(all, g_strjoinv(" ", (char **) names->pdata));
        }

        g_ptr_array_add(all, NULL);
        return g_strjoinv("; ", (char **) all->pdata);
}

char *dictionary_text(GVariant *dictionary) {
        g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func(g_free);
        GVariantIter iterator;
        const char *key;
        GVariant *value;

        g_variant_iter_init(&iterator, dictionary);
        while (g_variant_iter_loop(&iterator, "{&sv}", &key, &value)) {
                g_autofree char *printed = g_variant_print(value, true);

                g_ptr_array_add(entries, g_strdup_printf("%s: %s", key, printed));
        }

        g_ptr_array_sort(entries, compare_strings);
        g_ptr_array_add(entries, NULL);
        return g_strjoinv(", ", (char **) entries->pdata);
}

/* ---- signals ---- */

static bool is_signal_called(GDBusMessage *message, const void *data) {
        return g_dbus_message_get_message_type(message) == G_DBUS_MESSAGE_TYPE_SIGNAL &&
               g_strcmp0(g_dbus_message_get_interface(message), BUS_INTERFACE) == 0 &&
               g_strcmp0(g_dbus_message_get_member(message), data) == 0;
}

GVariant *client_wait_signal(Client *client, const char *member) {
        return g_dbus_message_get_body(
                        client_wait(client, &client->next_signal, is_signal_called, member, member));
}

int64_t client_wait_sync_started(Client *client, uint64_t threshold_usec) {
        GVariant *started = client_wait_signal(client, "SyncStarted");
        g_autoptr(GVariant) details = g_variant_get_child_value(started, 2);
        guint64 run_usec;

        g_assert_true(g_variant_lookup(details, "LongestRunUSec", "t", &run_usec));
        g_assert_cmpuint(run_usec, >=, threshold_usec / 2);
        return (int64_t) run_usec - (int64_t) threshold_usec;
}

void client_wait_sync_finished(Client *client, const char *result) {
        GVariant *finished = client_wait_signal(client, "SyncFinished");
        g_autoptr(GVariant) details = g_variant_get_child_value(finished, 2);
        const char *found;

        g_assert_true(g_variant_lookup(details, "Result", "&s", &found));
        g_assert_cmpstr(found, ==, result);
}

unsigned client_count_signals(Client *client, const char *member) {
        unsigned n = 0;

        for (size_t i = 0; i < client_count_messages(client); i++)
                if (is_signal_called(client_message(client, i), member))
                        n++;

        return n;
}

/* ---- names ---- */

typedef struct OwnerMatch {
        const char *name;
        bool owned;
} OwnerMatch;

static bool is_new_owner(GDBusMessage *message, const void *data) {
        const OwnerMatch *wanted = data;
        const char *name, *owner;

        if (g_dbus_message_get_message_type(message) != G_DBUS_MESSAGE_TYPE_SIGNAL ||
            g_strcmp0(g_dbus_message_get_member(message), "NameOwnerChanged") != 0)
                return false;

        g_variant_get(g_dbus_message_get_body(message), "(&s&s&s)", &name, NULL, &owner);
        return streq(name, wanted->name) && (owner[0] != '\0') == wanted->owned;
}

char *client_wait_owner(Client *client, const char *name) {
        const OwnerMatch wanted = { name, .owned = true };
        GDBusMessage *message;
        char *owner;
        size_t index;

        message = client_ask(
                        client, DBUS_NAME, DBUS_PATH, DBUS_NAME, "GetNameOwner", g_variant_new("(s)", name));
        if (g_dbus_message_get_message_type(message) == G_DBUS_MESSAGE_TYPE_METHOD_RETURN) {
                g_variant_get(reply_content(message), "(s)", &owner);
                return owner;
        }

        index = client_index_of(client, message);
        message = client_wait(client, &index, is_new_owner, &wanted, name);
        g_variant_get(g_dbus_message_get_body(message), "(&s&ss)", NULL, NULL, &owner);
        return owner;
}

void client_wait_no_owner(Client *client, const char *name) {
        const OwnerMatch wanted = { name, .owned = false };
        GDBusMessage *message;
        size_t index;

        message = client_ask(
                        client, DBUS_NAME, DBUS_PATH, DBUS_NAME, "GetNameOwner", g_variant_new("(s)", name));
        if (g_dbus_message_get_message_type(message) == G_DBUS_MESSAGE_TYPE_ERROR)
                return;

        index = client_index_of(client, message);
        (void) client_wait(client, &index, is_new_owner, &wanted, "a name without owner");
}

pid_t client_pid_of(Client *client, const char *name) {
        guint32 pid;

        g_variant_get(client_call_bus(client, "GetConnectionUnixProcessID", g_variant_new("(s)", name)),
                      "(u)", &pid);
        return (pid_t) pid;
}

void client_own_name(Client *client, const char *name) {
        assert_variant(client_call_bus(client, "RequestName", g_variant_new("(su)", name, 0)), "(uint32 1,)");
}

void client_release_name(Client *client, const char *name) {
        assert_variant(client_call_bus(client, "ReleaseName", g_variant_new("(s)", name)), "(uint32 1,)");
}

static bool is_call_of(GDBusMessage *message, const void *data) {
        return g_dbus_message_get_message_type(message) == G_DBUS_MESSAGE_TYPE_METHOD_CALL &&
               g_strcmp0(g_dbus_message_get_member(message), data) == 0;
}

GDBusMessage *client_wait_call(Client *client, const char *member) {
        return client_wait(client, &client->next_call, is_call_of, member, member);
}

void client_answer(Client *client, GDBusMessage *call, GVariant *content) {
        g_autoptr(GDBusMessage) reply = g_dbus_message_new_method_reply(call);

        if (content)
                g_dbus_message_set_body(reply, content);
        (void) client_send_message(client, reply);
}

void client_answer_error(Client *client, GDBusMessage *call, const char *error) {
        g_autoptr(GDBusMessage) reply = g_dbus_message_new_method_error_literal(call, error, error);

        (void) client_send_message(client, reply);
}
