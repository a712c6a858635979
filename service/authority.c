/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * One question goes this way:
 *
 *   1. The bus is asked for the caller's user (GetConnectionUnixUser). sd_bus_query_sender_privilege() would
 * wait for that answer, and a bus that hangs would hang us. Root is let through here, so that it needs no
 * polkit.
 *   2. polkit is asked (CheckAuthorization), with the caller's unique bus name as the subject: names are
 * never reused, pids are. When the caller set the flag for it in the message's header, polkit may ask a
 * person for a password.
 *   3. The bus is asked whether the caller is still there (NameHasOwner). One that has left changes nothing.
 */

#include "authority.h"

#include <glib.h>

/* polkit's own answer is a matter of milliseconds, a person's is not. */
#define POLKIT_TIMEOUT_USEC (10 * USEC_PER_SEC)
#define POLKIT_INTERACTIVE_TIMEOUT_USEC (5 * USEC_PER_MINUTE)

#define POLKIT_FLAG_ALLOW_INTERACTION 1u

#define UID_UNKNOWN ((uint32_t) -1)

struct Authority {
        sd_bus *connection;
        GList *questions; /* the newest first */
        unsigned n_questions;
        GHashTable *callers; /* by their unique name: those who have open questions */
};

typedef struct Caller {
        char *name;
        unsigned n_questions;
} Caller;

typedef struct Question {
        Authority *authority;
        Caller *caller;
        sd_bus_message *call;
        sd_bus_slot *slot; /* of the answer that is waited for */
        const char *action;
        authority_granted_t granted;
        void *userdata;
        uint32_t uid;
} Question;

static Question *question_free(Question *question) {
        Authority *authority = question->authority;

        authority->questions = g_list_remove(authority->questions, question);
        authority->n_questions--;
        if (--question->caller->n_questions == 0)
                (void) g_hash_table_remove(authority->callers, question->caller->name);

        sd_bus_slot_unref(question->slot);
        sd_bus_message_unref(question->call);
        g_free(question);
        return NULL;
}
DEFINE_TRIVIAL_CLEANUP(Question *, question_free);

static void caller_free(void *userdata) {
        Caller *caller = userdata;

        g_free(caller->name);
        g_free(caller);
}

int authority_new(sd_bus *connection, Authority **ret) {
        Authority *authority;

        authority = g_try_new0(Authority, 1);
        if (!authority)
                return -ENOMEM;

        authority->connection = connection;
        authority->callers = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, caller_free);
        *ret = authority;
        return 0;
}

Authority *authority_free(Authority *authority) {
        if (!authority)
                return NULL;

        while (authority->questions)
                question_free(authority->questions->data);
        g_hash_table_unref(authority->callers);
        g_free(authority);
        return NULL;
}

/* Ends a question with an error. An answer that can't be sent has nobody to go to. */
static int question_refuse(Question *question, const char *name, const char *reason) {
        (void) sd_bus_reply_method_errorf(question->call, name, "%s", reason);
        question_free(question);
        return 1;
}

static bool is_error_of_absence(const sd_bus_error *error) {
        return sd_bus_error_has_name(error, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
               sd_bus_error_has_name(error, SD_BUS_ERROR_NAME_HAS_NO_OWNER) ||
               g_str_has_prefix(error->name, "org.freedesktop.DBus.Error.Spawn.") ||
               g_str_has_prefix(error->name, "org.freedesktop.systemd1.");
}

static int question_grant(Question *question) {
        _cleanup_(question_freep) Question *granted = question;
        int r;

        r = granted->granted(granted->call, granted->userdata);
        if (r < 0)
                (void) sd_bus_reply_method_errno(granted->call, r, NULL);
        return 1;
}

static int on_still_there(sd_bus_message *answer, void *userdata, sd_bus_error *ret_error) {
        Question *question = userdata;
        int there;

        if (sd_bus_message_is_method_error(answer, NULL) || sd_bus_message_read(answer, "b", &there) < 0 ||
            !there) {
                question_free(question);
                return 1;
        }

        return question_grant(question);
}

static int question_ask_still_there(Question *question) {
        question->slot = sd_bus_slot_unref(question->slot);
        return sd_bus_call_method_async(
                        question->authority->connection, &question->slot, "org.freedesktop.DBus",
                        "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameHasOwner", on_still_there,
                        question, "s", sd_bus_message_get_sender(question->call));
}

static int on_polkit_answer(sd_bus_message *answer, void *userdata, sd_bus_error *ret_error) {
        Question *question = userdata;
        const sd_bus_error *error = sd_bus_message_get_error(answer);
        int authorized, challenge, r;

        if (error && is_error_of_absence(error))
                return question_refuse(
                                question, SD_BUS_ERROR_ACCESS_DENIED,
                                "Only root may do this: polkit is not running");
        if (error && (sd_bus_error_has_name(error, SD_BUS_ERROR_NO_REPLY) ||
                      sd_bus_error_has_name(error, SD_BUS_ERROR_TIMEOUT)))
                return question_refuse(
                                question, SD_BUS_ERROR_ACCESS_DENIED,
                                "Only root may do this now: polkit does not answer");
        if (error && sd_bus_error_has_name(error, SD_BUS_ERROR_LIMITS_EXCEEDED))
                return question_refuse(
                                question, SD_BUS_ERROR_LIMITS_EXCEEDED, "Too many calls wait for polkit");
        if (error)
                return question_refuse(question, SD_BUS_ERROR_ACCESS_DENIED, error->message ?: error->name);

        /* The details (the third part) are of no use to us. */
        r = sd_bus_message_enter_container(answer, 'r', "bba{ss}");
        if (r >= 0)
                r = sd_bus_message_read(answer, "bb", &authorized, &challenge);
        if (r < 0)
                return question_refuse(
                                question, SD_BUS_ERROR_ACCESS_DENIED,
                                "Only root may do this now: polkit answers nonsense");

        if (!authorized && challenge)
                return question_refuse(
                                question, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                                sd_bus_message_get_allow_interactive_authorization(question->call) > 0
                                                ? "Interactive authentication is needed, and no agent is "
                                                  "there to ask (pkttyagent is one)"
                                                : "Interactive authentication is needed, and the call does "
                                                  "not allow it");
        if (!authorized)
                return question_refuse(question, SD_BUS_ERROR_ACCESS_DENIED, "polkit does not allow this");

        r = question_ask_still_there(question);
        if (r < 0)
                return question_refuse(question, SD_BUS_ERROR_FAILED, "The bus could not be asked");
        return 1;
}

static int question_ask_polkit(Question *question) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *ask = NULL;
        int interactive, r;

        r = sd_bus_message_new_method_call(
                        question->authority->connection, &ask, "org.freedesktop.PolicyKit1",
                        "/org/freedesktop/PolicyKit1/Authority", "org.freedesktop.PolicyKit1.Authority",
                        "CheckAuthorization");
        if (r < 0)
                return r;

        interactive = sd_bus_message_get_allow_interactive_authorization(question->call);

        r = sd_bus_message_append(
                        ask, "(sa{sv})sa{ss}us",
                        /* subject */ "system-bus-name", 1, "name", "s",
                        sd_bus_message_get_sender(question->call),
                        /* action_id */ question->action,
                        /* details */ 0,
                        /* flags */ interactive > 0 ? POLKIT_FLAG_ALLOW_INTERACTION : 0u,
                        /* cancellation_id */ "");
        if (r < 0)
                return r;

        question->slot = sd_bus_slot_unref(question->slot);
        return sd_bus_call_async(
                        question->authority->connection, &question->slot, ask, on_polkit_answer, question,
                        interactive > 0 ? POLKIT_INTERACTIVE_TIMEOUT_USEC : POLKIT_TIMEOUT_USEC);
}

static unsigned authority_count_of_user(const Authority *authority, uint32_t uid) {
        unsigned n = 0;

        for (const GList *i = authority->questions; i; i = i->next)
                if (((const Question *) i->data)->uid == uid)
                        n++;

        return n;
}

static int on_user(sd_bus_message *answer, void *userdata, sd_bus_error *ret_error) {
        Question *question = userdata;
        uint32_t uid;

        if (sd_bus_message_is_method_error(answer, NULL) || sd_bus_message_read(answer, "u", &uid) < 0)
                return question_refuse(
                                question, SD_BUS_ERROR_ACCESS_DENIED,
                                "The bus does not say who the caller is");

        if (uid == 0)
                return question_grant(question);

        if (authority_count_of_user(question->authority, uid) >= AUTHORITY_POLKIT_PER_USER_MAX)
                return question_refuse(
                                question, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "Too many calls of this user wait for polkit: at most " G_STRINGIFY(
                                                AUTHORITY_POLKIT_PER_USER_MAX));
        question->uid = uid;

        if (question_ask_polkit(question) < 0)
                return question_refuse(
                                question, SD_BUS_ERROR_ACCESS_DENIED,
                                "Only root may do this now: polkit can't be asked");
        return 1;
}

/* Refuses the newest question of the caller that has the most, for the sake of one that has n, so that nobody
 * keeps others out by taking all there is. False when no one has more than this one will. */
static bool authority_make_room(Authority *authority, unsigned n) {
        Caller *caller, *greediest = NULL;
        GHashTableIter callers;

        g_hash_table_iter_init(&callers, authority->callers);
        while (g_hash_table_iter_next(&callers, NULL, (void **) &caller))
                if (!greediest || caller->n_questions > greediest->n_questions)
                        greediest = caller;
        if (!greediest || greediest->n_questions <= n + 1)
                return false;

        for (GList *i = authority->questions; i; i = i->next) {
                Question *question = i->data;

                if (question->caller == greediest) {
                        (void) question_refuse(
                                        question, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                        "Too many calls wait for authorization, and this caller has the "
                                        "most");
                        return true;
                }
        }

        return false;
}

/* The record of a caller, made where there is none. */
static Caller *authority_get_caller(Authority *authority, const char *name) {
        Caller *caller;

        caller = g_hash_table_lookup(authority->callers, name);
        if (caller)
                return caller;

        caller = g_new0(Caller, 1);
        caller->name = g_strdup(name);
        (void) g_hash_table_insert(authority->callers, caller->name, caller);
        return caller;
}

int authority_check(
                Authority *authority,
                sd_bus_message *call,
                const char *action,
                authority_granted_t granted,
                void *userdata) {

        const char *sender = sd_bus_message_get_sender(call);
        const Caller *caller = g_hash_table_lookup(authority->callers, sender);
        unsigned n = caller ? caller->n_questions : 0;
        Question *question;
        int r;

        if (n >= AUTHORITY_OPEN_PER_SENDER_MAX ||
            (authority->n_questions >= AUTHORITY_OPEN_MAX && !authority_make_room(authority, n)))
                return sd_bus_reply_method_errorf(
                                call, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "Too many calls wait for authorization: at most %u of one caller, %u of all",
                                (unsigned) AUTHORITY_OPEN_PER_SENDER_MAX, (unsigned) AUTHORITY_OPEN_MAX);

        question = g_try_new(Question, 1);
        if (!question)
                return -ENOMEM;

        *question = (Question){
                .authority = authority,
                .caller = authority_get_caller(authority, sender),
                .call = sd_bus_message_ref(call),
                .action = action,
                .granted = granted,
                .userdata = userdata,
                .uid = UID_UNKNOWN,
        };
        authority->questions = g_list_prepend(authority->questions, question);
        authority->n_questions++;
        question->caller->n_questions++;

        r = sd_bus_call_method_async(
                        authority->connection, &question->slot, "org.freedesktop.DBus",
                        "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetConnectionUnixUser", on_user,
                        question, "s", sender);
        if (r < 0) {
                question_free(question);
                return r;
        }

        return 1;
}
