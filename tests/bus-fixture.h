/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * For tests over the bus: a real system bus of their own with our policy, the real polkitd when wanted, the
 * real wbwatchd, and clients of any user. Needs root.
 *
 * A test waits for messages, never for a time; what does not come within FIXTURE_TIMEOUT_SEC fails it.
 * Everything lives in a mount namespace, on a filesystem in memory, and in processes that die with the test
 * program, so that nothing is left however it ends.
 */

#include <gio/gio.h>

#include "fake-proc.h"
#include "macro.h"

#define BUS_NAME "org.wbwatch1"
#define BUS_PATH "/org/wbwatch1"
#define BUS_INTERFACE "org.wbwatch1"
#define LOG_CONTROL_PATH "/org/freedesktop/LogControl1"
#define LOG_CONTROL_INTERFACE "org.freedesktop.LogControl1"
#define PROPERTIES_INTERFACE "org.freedesktop.DBus.Properties"
#define DBUS_NAME "org.freedesktop.DBus"
#define DBUS_PATH "/org/freedesktop/DBus"
#define POLKIT_NAME "org.freedesktop.PolicyKit1"

#define ERROR_ACCESS_DENIED "org.freedesktop.DBus.Error.AccessDenied"
#define ERROR_INVALID_ARGS "org.freedesktop.DBus.Error.InvalidArgs"
#define ERROR_UNKNOWN_PROPERTY "org.freedesktop.DBus.Error.UnknownProperty"
#define ERROR_READ_ONLY "org.freedesktop.DBus.Error.PropertyReadOnly"
#define ERROR_LIMITS_EXCEEDED "org.freedesktop.DBus.Error.LimitsExceeded"
#define ERROR_INTERACTIVE "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"

#define UID_ROOT 0
#define UID_NOBODY 65534

/* All that one test waits for together; generous, for a machine that is busy with other things. */
#define FIXTURE_TIMEOUT_SEC 100

/* The most that the daemon may take, whatever is thrown at it: 6 MiB for itself, one message of the largest
 * size that the bus lets pass (32 MiB), and what waits in queues. */
#define MEMORY_PEAK_KIB (48 * 1024)

typedef struct Process {
        pid_t pid; /* 0: none */
        int pidfd;
} Process;

typedef struct BusFixture {
        char *folder; /* for anything; everybody may read it */
        char *bus_address;
        char *config;          /* the settings file of the daemon; empty at first */
        char *state_directory; /* where the daemon keeps what is set to last */
        FakeProc proc;         /* what the daemon sees: kthreadd alone, at first */
        int notify_fd;
        uid_t daemon_uid;    /* root unless set */
        bool netlink;        /* whether the daemon may receive thread creation events; else it polls */
        bool flooded;        /* calls may find the daemon's queue full: then they are made again */
        const char *preload; /* a library of ours that the daemon is started with, or NULL */
        gint64 deadline_usec;
        Process bus, polkit, daemon;

        GThread *log_reader; /* of what the daemon logs: */
        int log_fd;
        GString *log;
        GMutex log_lock;
        GCond log_more;
} BusFixture;

/* Puts the test program into mount and network namespaces of its own. Once, first of all in main(), before
 * g_test_init(). Where that can't be it says so in TAP and returns false: main() is over then. */
bool fixture_isolate(void);

/* For g_test_add(). Nothing runs after the first; the second stops what runs, and fails when the daemon does
 * not end well. */
void fixture_set_up(BusFixture *fixture, gconstpointer data);
void fixture_tear_down(BusFixture *fixture, gconstpointer data);
#define FIXTURE_TEST(path, function)                                                                         \
        g_test_add(path, BusFixture, NULL, fixture_set_up, function, fixture_tear_down)

/* All threads of a process that there are by now: real-time, or ordinary. What is promised is wbwatchd's
 * part: so those who measure, and the bus, run before others as it does. */
void fixture_set_realtime(pid_t pid, bool realtime);

/* The files of the project. To be freed. */
char *fixture_source_file(const char *name);

/* A system bus, with our policy or without until it is installed. It comes back on the same address after it
 * was stopped. */
void fixture_start_bus(BusFixture *fixture);
void fixture_start_silent_bus(BusFixture *fixture); /* it says much about floods */
void fixture_start_bus_without_policy(BusFixture *fixture);
void fixture_install_policy(BusFixture *fixture);
void fixture_stop_bus(BusFixture *fixture);

/* The real polkitd, with our actions and these rules only (JavaScript, or NULL). */
void fixture_start_polkit(BusFixture *fixture, const char *rules);
void fixture_stop_polkit(BusFixture *fixture);

/* Stops the bus without ending it, and lets it go on. */
void fixture_hold_bus(BusFixture *fixture, bool hold);

/* The daemon on the fake proc tree and the settings file, with these arguments up to NULL; returns when it is
 * ready. A bus is not waited for. */
void fixture_start_daemon(BusFixture *fixture, ...) G_GNUC_NULL_TERMINATED;
void fixture_stop_daemon(BusFixture *fixture);

/* SIGKILL, as the OOM killer or a failed watchdog send it. */
void fixture_kill_daemon(BusFixture *fixture);

/* SIGHUP, and waits until that is done. */
void fixture_reload_daemon(BusFixture *fixture);

/* Waits for a message of the daemon to the service manager that has this text in it. */
void fixture_wait_notify(BusFixture *fixture, const char *text);

/* Waits until the daemon has logged this text. */
void fixture_wait_log(BusFixture *fixture, const char *text);

void fixture_write_config(BusFixture *fixture, const char *text);

/* The daemon's helper processes of that name, of which there may be several: one of them, all (to be freed),
 * or a signal to all. The first one calls sync(2), the second ones syncfs(2): stopping them makes it hang. */
#define HELPER_SYNC "wbwatchd-sync"
#define HELPER_SYNCFS "wbwatchd-syncfs"
#define HELPER_STORAGE "wbwatch-storage"
#define HELPER_LOG "wbwatchd-log"
pid_t fixture_find_helper(const BusFixture *fixture, const char *name); /* or 0 */
pid_t fixture_helper_pid(const BusFixture *fixture, const char *name);
GArray *fixture_helper_pids(const BusFixture *fixture, const char *name); /* of pid_t */
void fixture_signal_helper(const BusFixture *fixture, const char *name, int sig);

/* Some spinning worker, seen by the daemon at its next scan; and none any more. It uses no CPU time, so that
 * it is stuck with CountWaiting=yes only. */
#define WORKER_PID 1234
#define WORKER_START_TIME 5678
#define WORKER_NAME "kworker/0:1+inode_switch_wbs"
void fixture_add_worker(BusFixture *fixture);
void fixture_remove_worker(BusFixture *fixture);

/* A connection to the bus. All that comes in is kept, in the order in which it came. */
typedef struct Client Client;

/* Connects as that user; listens for the signals of org.wbwatch1, and for changes of its owner. */
Client *client_new(BusFixture *fixture, uid_t uid);
Client *client_free(Client *client);
DEFINE_TRIVIAL_CLEANUP(Client *, client_free);
#define _cleanup_client_ _cleanup_(client_freep)

const char *client_unique_name(const Client *client);

/* Whether polkit may ask somebody for a password because of what follows. */
void client_allow_interaction(Client *client, bool allow);

/* Sends a call without waiting for the reply; returns the serial that the reply will name. */
guint32 client_send(
                Client *client,
                const char *destination,
                const char *path,
                const char *interface,
                const char *member,
                GVariant *arguments);

/* Waits for the reply. It belongs to the client, like everything that came. */
GDBusMessage *client_wait_reply(Client *client, guint32 serial);
bool client_has_reply(Client *client, guint32 serial);

/* Both: calls and waits for the reply. */
GDBusMessage *client_ask(
                Client *client,
                const char *destination,
                const char *path,
                const char *interface,
                const char *member,
                GVariant *arguments);

/* The content of a reply, which must not be an error, or NULL when it is empty; and that of an error, which
 * has this name and this text in its message. */
GVariant *reply_content(GDBusMessage *reply);
void assert_reply_error(GDBusMessage *reply, const char *name, const char *text);

/* Whether a property changes with time alone, or with what the machine's disks do. */
bool property_varies(const char *property);

/* The content's text as g_variant_print() has it, with types. */
#define assert_variant(variant, text)                                                                        \
        do {                                                                                                 \
                g_autofree char *_printed = g_variant_print((variant), true);                                \
                g_assert_cmpstr(_printed, ==, (text));                                                       \
        } while (false)

/* A dictionary a{sv} as such a text, sorted by its keys. To be freed. */
char *dictionary_text(GVariant *dictionary);

/* A call to a method of our interface, that succeeds; or fails so. */
guint32 client_send_method(Client *client, const char *method, GVariant *arguments);
GVariant *client_call(Client *client, const char *method, GVariant *arguments);
void client_call_fails(
                Client *client,
                const char *method,
                GVariant *arguments,
                const char *error,
                const char *text);

/* A property of our interface. The value is to be freed; a value to set is consumed. */
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

/* Waits until the daemon has dealt with all that this client sent, but for what polkit, the disk or a sync
 * has to answer. */
void client_settle(Client *client);

/* A SetProperties call's arguments, from the text of an a{sv}. */
GVariant *set_properties_arguments(bool runtime, const char *properties);

/* Waits until the property is so, from a Get or from then on by PropertiesChanged. */
void client_wait_property(Client *client, const char *property, const char *text);

/* Waits for the next signal of our interface with that name, behind those waited for before, and returns its
 * content. */
GVariant *client_wait_signal(Client *client, const char *member);

/* How many such signals came until now. */
unsigned client_count_signals(Client *client, const char *member);

/* The values that a property went through by PropertiesChanged, with a space between them. To be freed. */
char *client_history(Client *client, const char *property);

/* How many messages have come; and the names in the PropertiesChanged signals (of any of our interfaces) in
 * that range, sorted, with a space between names and a "; " between signals. To be freed. */
size_t client_count_messages(Client *client);
char *client_changes_between(Client *client, size_t from, size_t to);
size_t client_index_of(Client *client, GDBusMessage *message);

/* Waits until the name has an owner, or has none; the first returns its unique name, to be freed. */
char *client_wait_owner(Client *client, const char *name);
void client_wait_no_owner(Client *client, const char *name);
pid_t client_pid_of(Client *client, const char *name);

/* Ask the bus for a name, and give it back. */
void client_own_name(Client *client, const char *name);
void client_release_name(Client *client, const char *name);

/* Waits for the next method call to this connection; and answers it, with nothing if the content is NULL, or
 * with an error of that name and message. */
GDBusMessage *client_wait_call(Client *client, const char *member);
void client_answer(Client *client, GDBusMessage *call, GVariant *content);
void client_answer_error(Client *client, GDBusMessage *call, const char *error);
