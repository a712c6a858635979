/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A call is authorized in these steps:
 *
 *   1. The user of the caller is known before the call is dispatched (bus-users.h, peers.h).
 * sd_bus_query_sender_privilege() would block on the bus's reply, and so on a bus that hangs. Root is
 * authorized at once: it depends neither on polkit, nor on what other callers have it do.
 *   2. polkit is asked (CheckAuthorization), with the caller's unique bus name as the subject: names are
 * never reused, pids are. If the caller set the flag for it in the message's header, polkit may prompt for a
 * password.
 *   3. The bus is asked whether the caller is still connected (NameHasOwner). A caller that has left changes
 * nothing.
 *   4. The handler of the call runs again. It reads the call again, over the settings in force by then, and
 * calls authority_check() again, which now returns 1.
 */

#include "authority.h"

#include <assert.h>

#include "memory.h"
#include "names.h"

/* polkit itself answers within milliseconds; a person needs longer. */
#define POLKIT_TIMEOUT_USEC (10 * USEC_PER_SEC)
#define POLKIT_INTERACTIVE_TIMEOUT_USEC (5 * USEC_PER_MINUTE)

#define POLKIT_FLAG_ALLOW_INTERACTION 1u

/* A call that waits for authorization. */
typedef struct Query {
        Authority *authority;
        sd_bus_message *call; /* NULL: unused */
        sd_bus_slot *slot;    /* of the pending reply */
        const char *action;
        sd_bus_message_handler_t handler;
        void *userdata;
        uid_t uid;
} Query;

struct Authority {
        sd_bus *connection;
        const BusConnection *callers;
        const Listener *listener; /* NULL: on a bus */
        const Query *granted;     /* whose handler is running again */
        Query queries[AUTHORITY_OPEN_MAX];
};

static Query *query_close(Query *query) {
        sd_bus_message_unref(query->call);
        sd_bus_slot_unref(query->slot);
        *query = (Query){};
        return NULL;
}
DEFINE_TRIVIAL_CLEANUP(Query *, query_close);

int authority_new(
                sd_bus *connection,
                const BusConnection *callers,
                const Listener *listener,
                Authority **ret) {
        Authority *authority;

        authority = memory_new_sparse(sizeof(*authority));
        if (!authority)
                return -ENOMEM;

        authority->connection = connection;
        authority->callers = callers;
        authority->listener = listener;
        *ret = authority;
        return 0;
}

Authority *authority_free(Authority *authority) {
        if (!authority)
                return NULL;

        for (size_t i = 0; i < AUTHORITY_OPEN_MAX; i++)
                if (authority->queries[i].call)
                        query_close(authority->queries + i);
        memory_free_sparse(authority, sizeof(*authority));
        return NULL;
}

/* Closes a query with an error. If there is no memory for it, a shorter error may still succeed. */
static int query_refuse(Query *query, const char *name, const char *reason) {
        int r;

        r = sd_bus_reply_method_errorf(query->call, name, "%s", reason);
        if (r < 0)
                (void) sd_bus_reply_method_errno(query->call, r, NULL);
        query_close(query);
        return 1;
}

static bool polkit_is_missing(const sd_bus_error *error) {
        return sd_bus_error_has_name(error, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
               sd_bus_error_has_name(error, SD_BUS_ERROR_NAME_HAS_NO_OWNER) ||
               startswith(error->name, ERROR_SPAWN_PREFIX) || startswith(error->name, ERROR_SYSTEMD_PREFIX);
}

/* Runs the handler again, now authorized, and replies with the error that it may return. */
static int query_grant(Query *query) {
        _cleanup_(query_closep) Query *granted = query;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        r = sd_bus_message_rewind(granted->call, /* complete= */ true);
        if (r >= 0) {
                granted->authority->granted = granted;
                r = granted->handler(granted->call, granted->userdata, &error);
                granted->authority->granted = NULL;
        }
        if (r < 0)
                (void) sd_bus_reply_method_errno(granted->call, r, &error);
        return 1;
}

static int on_owner(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        Query *query = userdata;
        int there;

        if (sd_bus_message_is_method_error(reply, NULL) || sd_bus_message_read(reply, "b", &there) < 0 ||
            !there) {
                query_close(query);
                return 1;
        }

        return query_grant(query);
}

static int query_ask_owner(Query *query) {
        query->slot = sd_bus_slot_unref(query->slot);
        return sd_bus_call_method_async(
                        query->authority->connection, &query->slot, DBUS_NAME, DBUS_PATH, DBUS_INTERFACE,
                        "NameHasOwner", on_owner, query, "s", sd_bus_message_get_sender(query->call));
}

static int on_polkit_answer(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        Query *query = userdata;
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        int authorized, challenge, r;

        if (error && polkit_is_missing(error))
                return query_refuse(
                                query, SD_BUS_ERROR_ACCESS_DENIED,
                                "Only root may do this: polkit is not running");
        if (error && (sd_bus_error_has_name(error, SD_BUS_ERROR_NO_REPLY) ||
                      sd_bus_error_has_name(error, SD_BUS_ERROR_TIMEOUT)))
                return query_refuse(
                                query, SD_BUS_ERROR_ACCESS_DENIED,
                                "Only root may do this now: polkit does not answer");
        if (error && sd_bus_error_has_name(error, SD_BUS_ERROR_LIMITS_EXCEEDED))
                return query_refuse(
                                query, SD_BUS_ERROR_LIMITS_EXCEEDED, "Too many calls are waiting for polkit");
        if (error)
                return query_refuse(query, SD_BUS_ERROR_ACCESS_DENIED, error->message ?: error->name);

        /* The details (the third member) are not used. */
        r = sd_bus_message_enter_container(reply, 'r', "bba{ss}");
        if (r >= 0)
                r = sd_bus_message_read(reply, "bb", &authorized, &challenge);
        if (r < 0)
                return query_refuse(
                                query, SD_BUS_ERROR_ACCESS_DENIED,
                                "Only root may do this now: polkit sent an invalid reply");

        if (!authorized && challenge)
                return query_refuse(
                                query, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                                sd_bus_message_get_allow_interactive_authorization(query->call) > 0
                                                ? "Interactive authentication is required, but no "
                                                  "authentication agent is running (such as pkttyagent)"
                                                : "Interactive authentication is required, but the call "
                                                  "does not allow it");
        if (!authorized)
                return query_refuse(query, SD_BUS_ERROR_ACCESS_DENIED, "polkit does not allow this");

        r = query_ask_owner(query);
        if (r < 0)
                return query_refuse(query, SD_BUS_ERROR_FAILED, "The bus can't be asked");
        return 1;
}

static int query_ask_polkit(Query *query) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *ask = NULL;
        int interactive, r;

        r = sd_bus_message_new_method_call(
                        query->authority->connection, &ask, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE,
                        "CheckAuthorization");
        if (r < 0)
                return r;

        interactive = sd_bus_message_get_allow_interactive_authorization(query->call);

        r = sd_bus_message_append(
                        ask, "(sa{sv})sa{ss}us",
                        /* subject */ "system-bus-name", 1, "name", "s",
                        sd_bus_message_get_sender(query->call),
                        /* action_id */ query->action,
                        /* details */ 0,
                        /* flags */ interactive > 0 ? POLKIT_FLAG_ALLOW_INTERACTION : 0u,
                        /* cancellation_id */ "");
        if (r < 0)
                return r;

        query->slot = sd_bus_slot_unref(query->slot);
        return sd_bus_call_async(
                        query->authority->connection, &query->slot, ask, on_polkit_answer, query,
                        interactive > 0 ? POLKIT_INTERACTIVE_TIMEOUT_USEC : POLKIT_TIMEOUT_USEC);
}

/* An unused query. NULL with ret_error set if too many are pending, of this user or of all. */
static Query *authority_find_free(Authority *authority, uid_t uid, sd_bus_error *ret_error) {
        Query *unused = NULL;
        unsigned n = 0;

        for (size_t i = 0; i < AUTHORITY_OPEN_MAX; i++) {
                Query *query = authority->queries + i;

                if (!query->call)
                        unused = query;
                else
                        n += query->uid == uid;
        }

        if (n >= AUTHORITY_POLKIT_PER_USER_MAX) {
                (void) sd_bus_error_setf(
                                ret_error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "Too many calls of this user are waiting for polkit: at most %d",
                                AUTHORITY_POLKIT_PER_USER_MAX);
                return NULL;
        }
        if (!unused)
                (void) sd_bus_error_setf(
                                ret_error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "Too many calls are waiting for polkit: at most %d", AUTHORITY_OPEN_MAX);
        return unused;
}

/* Who may connect to the private socket may do everything: see make_room() of peers.c. */
static int check_peer(const Listener *listener, uid_t uid, sd_bus_error *ret_error) {
        if (listener->is_private && (uid == 0 || uid == geteuid()))
                return 1;

        return sd_bus_error_setf(
                        ret_error, SD_BUS_ERROR_ACCESS_DENIED,
                        "This socket is for reading only; root may change something over %s",
                        listener->private_path);
}

int authority_check(Authority *authority, sd_bus_message *call, const char *action, sd_bus_error *ret_error) {
        const uid_t uid = bus_connection_caller(authority->callers);
        Query *query;

        if (authority->listener)
                return check_peer(authority->listener, uid, ret_error);
        if (authority->granted && authority->granted->call == call &&
            streq(authority->granted->action, action))
                return 1;
        if (uid == 0)
                return 1;

        query = authority_find_free(authority, uid, ret_error);
        if (!query)
                return -EDQUOT;
        *query = (Query){
                .authority = authority,
                .call = sd_bus_message_ref(call),
                .action = action,
                .handler = sd_bus_get_current_handler(authority->connection),
                .userdata = sd_bus_get_current_userdata(authority->connection),
                .uid = uid,
        };

        if (query_ask_polkit(query) < 0) {
                query_close(query);
                return sd_bus_error_set(
                                ret_error, SD_BUS_ERROR_ACCESS_DENIED,
                                "Only root may do this now: polkit can't be asked");
        }

        return 0;
}
