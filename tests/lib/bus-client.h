/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A connection to the bus of a fixture. It makes calls, and keeps every message in the order of arrival. A
 * test waits for messages, never for a time; a message that misses the fixture's deadline fails the test.
 */

#include <gio/gio.h>
#include <stdbool.h>

#include "macro.h"
#include "names.h"

#define ERROR_ACCESS_DENIED "org.freedesktop.DBus.Error.AccessDenied"
#define ERROR_INVALID_ARGS "org.freedesktop.DBus.Error.InvalidArgs"
#define ERROR_UNKNOWN_PROPERTY "org.freedesktop.DBus.Error.UnknownProperty"
#define ERROR_READ_ONLY "org.freedesktop.DBus.Error.PropertyReadOnly"
#define ERROR_LIMITS_EXCEEDED "org.freedesktop.DBus.Error.LimitsExceeded"
#define ERROR_INTERACTIVE "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"

#define UID_ROOT 0
#define UID_NOBODY 65534

typedef struct BusFixture BusFixture;

/* A connection to the bus, with every message that it received, in the order of arrival. */
typedef struct Client Client;

/* Connects as this user, and subscribes to the signals of org.wbwatch1 and to changes of its owner. The
 * second connects to this socket of the daemon ("public"), where all signals come. */
Client *client_new(BusFixture *fixture, uid_t uid);
Client *client_new_on_socket(BusFixture *fixture, uid_t uid, const char *socket);
Client *client_free(Client *client);
DEFINE_TRIVIAL_CLEANUP(Client *, client_free);
#define _cleanup_client_ _cleanup_(client_freep)

const char *client_unique_name(const Client *client);

/* Whether the other end has closed the connection. */
bool client_is_closed(const Client *client);

/* Whether the calls that follow allow polkit to request a password. */
void client_allow_interaction(Client *client, bool allow);

/* Sends a call without waiting for the reply; returns the serial to which the reply refers. */
guint32 client_send(
                Client *client,
                const char *destination,
                const char *path,
                const char *interface,
                const char *member,
                GVariant *arguments);

/* Waits for the reply. It belongs to the client, like every received message. */
GDBusMessage *client_wait_reply(Client *client, guint32 serial);
bool client_has_reply(Client *client, guint32 serial);

/* Calls, and waits for the reply. */
GDBusMessage *client_ask(
                Client *client,
                const char *destination,
                const char *path,
                const char *interface,
                const char *member,
                GVariant *arguments);

/* The first returns the content of a reply, or NULL if it is empty; fails the test on an error. The second
 * requires an error with this name and this text in its message. */
GVariant *reply_content(GDBusMessage *reply);
void assert_reply_error(GDBusMessage *reply, const char *name, const char *text);

/* Whether a property may change with time alone, or with the disk activity of the machine. */
bool property_varies(const char *property);

/* The content as g_variant_print() prints it, with types. */
#define assert_variant(variant, text)                                                                        \
        do {                                                                                                 \
                g_autofree char *_printed = g_variant_print((variant), true);                                \
                g_assert_cmpstr(_printed, ==, (text));                                                       \
        } while (false)

/* The same of a dictionary a{sv}, sorted by its keys. To be freed. */
char *dictionary_text(GVariant *dictionary);

/* Calls a method of our interface. The first requires success, the second this error. */
guint32 client_send_method(Client *client, const char *method, GVariant *arguments);
GVariant *client_call(Client *client, const char *method, GVariant *arguments);
void client_call_fails(
                Client *client,
                const char *method,
                GVariant *arguments,
                const char *error,
                const char *text);

/* A property of our interface. The caller frees a returned value; a value to set is consumed. */
GVariant *client_get(Client *client, const char *property);
void assert_property(Client *client, const char *property, const char *text);
guint32 client_send_set(Client *client, const char *property, GVariant *value);
void client_set(Client *client, const char *property, GVariant *value);
void client_set_fails(
                Client *client,
                const char *property,
                GVariant *value,
                const char *error,
                const char *text);

/* Waits until the daemon has handled all that this client sent, except for calls that wait for polkit, the
 * disk or a sync. */
void client_settle(Client *client);

/* The arguments of SetProperties, from the text of an a{sv}. */
GVariant *set_properties_arguments(bool runtime, const char *properties);

/* Waits until the property has this value, by a Get and the PropertiesChanged signals that follow it. */
void client_wait_property(Client *client, const char *property, const char *text);

/* Waits for the next signal of our interface with this name, after those that were already waited for, and
 * returns its content. */
GVariant *client_wait_signal(Client *client, const char *member);

/* Waits for the next sync that a rule starts; returns its delay: the longest run less the threshold. The
 * delay may be negative: the rule needs 90 % of the threshold only, and the first scan stands for the time
 * since the scan before. */
int64_t client_wait_sync_started(Client *client, uint64_t threshold_usec);

/* Waits for the end of a sync; it must have this result. */
void client_wait_sync_finished(Client *client, const char *result);

/* How many signals with this name have arrived so far. */
unsigned client_count_signals(Client *client, const char *member);

/* The values of a property in the PropertiesChanged signals so far, separated by spaces. To be freed. */
char *client_history(Client *client, const char *property);

/* The number of messages so far; one of them, which belongs to the client; and the names in the
 * PropertiesChanged signals (of all our interfaces) in this range, sorted, with spaces between names and "; "
 * between signals. To be freed. */
size_t client_count_messages(Client *client);
GDBusMessage *client_message(Client *client, size_t index);
char *client_changes_between(Client *client, size_t from, size_t to);
size_t client_index_of(Client *client, GDBusMessage *message);

/* Waits until the name has an owner, or has none; the first returns its unique name, to be freed. */
char *client_wait_owner(Client *client, const char *name);
void client_wait_no_owner(Client *client, const char *name);
pid_t client_pid_of(Client *client, const char *name);

/* Acquire and release a name on the bus. */
void client_own_name(Client *client, const char *name);
void client_release_name(Client *client, const char *name);

/* Waits for the next method call to this connection; replies to it, with nothing if the content is NULL; or
 * replies with an error of this name and message. */
GDBusMessage *client_wait_call(Client *client, const char *member);
void client_answer(Client *client, GDBusMessage *call, GVariant *content);
void client_answer_error(Client *client, GDBusMessage *call, const char *error);
