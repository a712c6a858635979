/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "connection.h"

#include <signal.h>
#include <stdio.h>
#include <systemd/sd-event.h>

#include "agent.h"
#include "client.h"
#include "values.h"

/* Error messages */

static bool name_is_any(const char *name, const char *const *list) {
        for (; *list; list++)
                if (streq(name, *list))
                        return true;
        return false;
}

static int explain_not_running(const char *message, char **ret_words) {
        g_autofree char *suffix = destination_suffix();

        *ret_words = g_strdup_printf(
                        "wbwatchd is not running%s (%s).\n"
                        "Start it %swith `systemctl start wbwatchd`; `journalctl -u wbwatchd` "
                        "says why it ended.",
                        suffix, message, *suffix ? "there " : "");
        return EXIT_NO_DAEMON;
}

/* Who may do it, and how. */
static char *advise_authorization(const Request *request) {
        const Destination *destination = connection_destination();

        if (destination->kind == DESTINATION_SOCKET)
                return g_strdup("Run wbctl with sudo: root uses the socket private, others can only read.");
        if (!request->action)
                return g_strdup("Run wbctl as root; is the bus policy org.wbwatch1.conf installed?");
        return g_strdup_printf(
                        "%s, or ask an administrator to grant you the polkit action %s.",
                        destination->kind == DESTINATION_HOST ? "Connect as root (root@HOST)"
                                                              : "Run wbctl as root",
                        request->action);
}

static int explain_denied(const Request *request, const char *message, char **ret_words) {
        g_autofree char *suffix = destination_suffix(), *advice = advise_authorization(request);

        *ret_words = g_strdup_printf(
                        "Not authorized to %s%s (%s).\n%s", request->purpose, suffix, message, advice);
        return EXIT_NOT_AUTHORIZED;
}

static int explain_needs_password(const Request *request, char **ret_words) {
        g_autofree char *suffix = destination_suffix();
        bool is_host = connection_destination()->kind == DESTINATION_HOST;

        *ret_words =
                        g_strdup_printf("To %s%s, you must authenticate.\n%s", request->purpose, suffix,
                                        is_host ? "Connect as root (root@HOST), or run wbctl there."
                                                : "Run wbctl as root, or on a terminal without "
                                                  "--no-ask-password.");
        return EXIT_NOT_AUTHORIZED;
}

/* The end of wbwatchd ends a connection to its socket. */
static int explain_lost(const Request *request, char **ret_words) {
        const Destination *destination = connection_destination();
        g_autofree char *name = destination->kind == DESTINATION_BUS ? g_strdup("the system bus")
                                                                     : destination_format(destination);

        *ret_words = g_strdup_printf("Lost the connection to %s: cannot %s.", name, request->purpose);
        return destination->kind == DESTINATION_SOCKET ? EXIT_NO_DAEMON : EXIT_NO_BUS;
}

static int explain_no_answer(const Request *request, uint64_t waited_usec, char **ret_words) {
        g_autofree char *waited = span_format(waited_usec), *within = g_strdup_printf("within %s", waited);

        /* Of a deadline that several calls share, the last one may have got very little. */
        *ret_words = g_strdup_printf(
                        "wbwatchd did not answer %s: cannot %s.\n%s",
                        waited_usec < USEC_PER_SEC ? "in time" : within, request->purpose,
                        request->action ? "The request may still take effect: see `wbctl status`."
                                        : "Its log may show why: `journalctl -u wbwatchd`.");
        return EXIT_FAILURE;
}

int error_explain(
                const Request *request,
                const char *name,
                const char *message,
                bool bus_lost,
                uint64_t waited_usec,
                char **ret_words) {
        static const char *const not_running[] = {
                SD_BUS_ERROR_SERVICE_UNKNOWN,
                SD_BUS_ERROR_NAME_HAS_NO_OWNER,
                SD_BUS_ERROR_NO_REPLY,                 /* it ended before it answered */
                "org.freedesktop.DBus.Error.TimedOut", /* it did not start in time */
                NULL,
        };
        static const char *const unknown_member[] = {
                SD_BUS_ERROR_UNKNOWN_METHOD,
                SD_BUS_ERROR_UNKNOWN_OBJECT,
                SD_BUS_ERROR_UNKNOWN_INTERFACE,
                SD_BUS_ERROR_UNKNOWN_PROPERTY,
                NULL,
        };

        if (bus_lost)
                return explain_lost(request, ret_words);
        if (waited_usec > 0)
                return explain_no_answer(request, waited_usec, ret_words);
        if (name_is_any(name, not_running) || g_str_has_prefix(name, ERROR_SPAWN_PREFIX) ||
            g_str_has_prefix(name, ERROR_SYSTEMD_PREFIX))
                return explain_not_running(message, ret_words);
        if (streq(name, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED))
                return explain_needs_password(request, ret_words);
        if (streq(name, SD_BUS_ERROR_ACCESS_DENIED))
                return explain_denied(request, message, ret_words);

        if (name_is_any(name, unknown_member))
                *ret_words =
                                g_strdup_printf("This wbwatchd cannot %s: is it older than wbctl? (%s)",
                                                request->purpose, message);
        else if (streq(name, BUS_ERROR_BUSY))
                *ret_words = g_strdup_printf("Cannot %s: %s. Try again.", request->purpose, message);
        else
                *ret_words = g_strdup_printf("Cannot %s: %s", request->purpose, message);
        return EXIT_FAILURE;
}

/* sd-bus reports the same error for a timeout, a lost connection and the end of the daemon. Only the time and
 * the state of the connection distinguish them. */
static int request_explain(
                sd_bus *bus,
                const Request *request,
                const sd_bus_error *error,
                uint64_t start_usec,
                uint64_t timeout_usec,
                char **ret_words) {
        uint64_t waited_usec = usec_subtract(usec_now(CLOCK_MONOTONIC), start_usec);
        bool timeout = sd_bus_error_has_names(error, SD_BUS_ERROR_NO_REPLY, SD_BUS_ERROR_TIMEOUT) &&
                       waited_usec >= timeout_usec;

        return error_explain(
                        request, error->name ?: SD_BUS_ERROR_FAILED, error->message ?: "no reason given",
                        sd_bus_is_open(bus) <= 0, timeout ? waited_usec : 0, ret_words);
}

static int request_complain(
                sd_bus *bus,
                const Request *request,
                const sd_bus_error *error,
                uint64_t start_usec,
                uint64_t timeout_usec) {
        g_autofree char *words = NULL;
        int status;

        status = request_explain(bus, request, error, start_usec, timeout_usec, &words);
        complain("%s", words);
        return status;
}

static int explain_errno(const Request *request, int error, char **ret_words) {
        *ret_words = g_strdup_printf("Cannot %s: %s.", request->purpose, g_strerror(-error));
        return EXIT_FAILURE;
}

int request_failed(const Request *request, int error) {
        g_autofree char *words = NULL;
        int status = explain_errno(request, error, &words);

        complain("%s", words);
        return status;
}

/* Reading */

/* Makes a call that reads. Returns 0, or an exit status with its words. */
static int call_and_read(
                sd_bus *bus,
                const Request *request,
                sd_bus_message *message,
                GVariant **ret,
                char **ret_words) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        g_autoptr(GVariant) answer = NULL;
        uint64_t start_usec = usec_now(CLOCK_MONOTONIC), timeout_usec;
        int r;

        r = sd_bus_get_method_call_timeout(bus, &timeout_usec);
        if (r >= 0)
                r = sd_bus_message_set_auto_start(message, request->starts_daemon);
        if (r < 0)
                return explain_errno(request, r, ret_words);

        r = sd_bus_call(bus, message, timeout_usec, &error, &reply);
        if (r < 0)
                return request_explain(bus, request, &error, start_usec, timeout_usec, ret_words);
        r = variant_from_message(reply, &answer);
        if (r >= 0 && !g_variant_is_of_type(answer, G_VARIANT_TYPE(request->answer)))
                r = -EBADMSG;
        if (r < 0)
                return explain_errno(request, r, ret_words);
        *ret = g_steal_pointer(&answer);
        return 0;
}

int request_new(sd_bus *bus, const Request *request, sd_bus_message **ret) {
        return sd_bus_message_new_method_call(bus, ret, BUS_NAME, BUS_PATH, BUS_INTERFACE, request->member);
}

static int request_try(sd_bus *bus, const Request *request, GVariant **ret, char **ret_words) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        if (request->all_properties) {
                r = sd_bus_message_new_method_call(
                                bus, &message, BUS_NAME, BUS_PATH, PROPERTIES_INTERFACE, request->member);
                if (r >= 0)
                        r = sd_bus_message_append(message, "s", BUS_INTERFACE);
        } else
                r = request_new(bus, request, &message);
        return r < 0 ? explain_errno(request, r, ret_words)
                     : call_and_read(bus, request, message, ret, ret_words);
}

int request_read(sd_bus *bus, const Request *request, GVariant **ret) {
        g_autofree char *words = NULL;
        int r;

        r = request_try(bus, request, ret, &words);
        if (words)
                complain("%s", words);
        return r;
}

static const Request questions[] = {
        [QUESTION_PROPERTIES] = {
                .member = "GetAll",
                .purpose = "read the state of wbwatchd",
                .answer = "a{sv}",
                .all_properties = true,
        },
        [QUESTION_WORKERS] = {
                .member = METHOD_LIST_WORKERS,
                .purpose = "list the workers",
                .answer = "aa{sv}",
        },
        [QUESTION_EPISODES] = {
                .member = METHOD_LIST_EPISODES,
                .purpose = "list the episodes",
                .answer = "aa{sv}",
        },
};

int request_properties(sd_bus *bus, GVariant **ret) {
        return request_read(bus, &questions[QUESTION_PROPERTIES], ret);
}

int request_properties_in_time(sd_bus *bus, GVariant **ret) {
        static const Request request = {
                .member = "GetAll",
                .purpose = "read the settings",
                .answer = "a{sv}",
                .all_properties = true,
                .starts_daemon = true,
        };
        /* Of --timeout, most is for the change itself. */
        uint64_t timeout_usec = MIN(connection_answer_timeout(), connection_time_left(USEC_INFINITY) / 2);
        uint64_t deadline_usec = usec_add(usec_now(CLOCK_MONOTONIC), timeout_usec);
        g_autofree char *words = NULL;
        int r;

        (void) connection_set_deadline(bus, deadline_usec);
        r = request_try(bus, &request, ret, &words);
        if (r != 0 && sd_bus_is_open(bus) > 0 && usec_now(CLOCK_MONOTONIC) >= deadline_usec)
                return 0;
        if (r != 0)
                complain("%s", words);
        return r;
}

int request_episodes(sd_bus *bus, GVariant **ret) {
        return request_read(bus, &questions[QUESTION_EPISODES], ret);
}

static void answers_ask(Answers *answers, sd_bus *bus, unsigned wanted, uint64_t deadline_usec) {
        int r;

        for (Question question = 0; question < _QUESTION_MAX; question++) {
                g_autofree char *words = NULL;

                if (!(wanted & 1u << question))
                        continue;
                (void) connection_set_deadline(bus, deadline_usec);
                r = request_try(bus, &questions[question], &answers->values[question], &words);
                if (r != 0 && answers->status == 0) {
                        answers->status = r;
                        answers->words = g_steal_pointer(&words);
                        answers->silent = usec_now(CLOCK_MONOTONIC) >= deadline_usec;
                }
        }
}

void answers_read(Answers *answers, unsigned wanted) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        uint64_t deadline_usec;
        int r;

        r = connection_open_until(&bus, &deadline_usec);
        if (r < 0) {
                answers->status = connection_explain(r, &answers->words);
                answers->silent = r == -ETIMEDOUT;
                return;
        }
        answers_ask(answers, bus, wanted, deadline_usec);
}

void answers_clear(Answers *answers) {
        for (Question question = 0; question < _QUESTION_MAX; question++)
                g_clear_pointer(&answers->values[question], g_variant_unref);
        g_clear_pointer(&answers->words, g_free);
}

/* Changing */

typedef struct Wait {
        uint64_t start_usec;
        bool interrupted;
        sd_event_source *timer;
        sd_bus_message *reply;
        request_tick_t tick;
        void *userdata;
} Wait;

static int on_reply(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Wait *wait = userdata;

        wait->reply = sd_bus_message_ref(message);
        return 0;
}

static int on_interrupt(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Wait *wait = userdata;

        wait->interrupted = true;
        return 0;
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        Wait *wait = userdata;

        wait->tick(usec_subtract(usec_now(CLOCK_MONOTONIC), wait->start_usec), wait->userdata);
        return sd_event_source_set_time_relative(source, USEC_PER_SEC);
}

/* Waits for a reply, which may be an error, or an interruption. Does not use sd_event_exit(), which would
 * close the bus: its state distinguishes a lost connection from a daemon that ended. */
static int wait_for_reply(sd_bus *bus, sd_bus_message *message, uint64_t timeout_usec, Wait *wait) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(sd_event_source_unrefp) sd_event_source *interrupt = NULL, *terminate = NULL, *timer = NULL;
        _cleanup_(sd_bus_slot_unrefp) sd_bus_slot *slot = NULL;
        int r;

        r = sd_event_new(&event);
        if (r < 0)
                return r;
        r = sd_event_add_signal(event, &interrupt, SIGINT | SD_EVENT_SIGNAL_PROCMASK, on_interrupt, wait);
        if (r < 0)
                return r;
        r = sd_event_add_signal(event, &terminate, SIGTERM | SD_EVENT_SIGNAL_PROCMASK, on_interrupt, wait);
        if (r < 0)
                return r;
        if (wait->tick) {
                r = sd_event_add_time_relative(
                                event, &timer, CLOCK_MONOTONIC, USEC_PER_SEC, 0, on_tick, wait);
                if (r < 0)
                        return r;
                r = sd_event_source_set_enabled(timer, SD_EVENT_ON);
                if (r < 0)
                        return r;
        }
        r = sd_bus_attach_event(bus, event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                return r;
        r = sd_bus_call_async(bus, &slot, message, on_reply, wait, timeout_usec);
        while (r >= 0 && !wait->reply && !wait->interrupted)
                r = sd_event_run(event, UINT64_MAX);
        (void) sd_bus_detach_event(bus);
        return r < 0 ? r : 0;
}

/* Without the bus there is no polkit, and the agent of this machine is none for another one. */
bool connection_may_prompt(bool ask_password) {
        return ask_password && connection_destination()->kind == DESTINATION_BUS && agent_can_prompt();
}

int request_change(
                sd_bus *bus,
                const Request *request,
                sd_bus_message *message,
                bool ask_password,
                uint64_t timeout_usec,
                request_tick_t tick,
                void *userdata,
                sd_bus_message **ret_reply) {
        _cleanup_(agent_stop) pid_t agent = 0;
        Wait wait = { .tick = tick, .userdata = userdata };
        int r;

        ask_password = ask_password && connection_destination()->kind == DESTINATION_BUS;
        timeout_usec = connection_time_left(timeout_usec);
        r = sd_bus_message_set_allow_interactive_authorization(message, ask_password);
        if (r < 0)
                return request_failed(request, r);
        if (ask_password)
                agent = agent_start();

        wait.start_usec = usec_now(CLOCK_MONOTONIC);
        r = wait_for_reply(bus, message, timeout_usec, &wait);
        if (tick)
                tick(USEC_INFINITY, userdata);
        if (r < 0)
                r = request_failed(request, r);
        else if (!wait.reply) {
                r = EXIT_INTERRUPTED;
                if (agent > 0)
                        (void) fputc('\n', stderr); /* its prompt does not end the line */
        } else if (sd_bus_message_is_method_error(wait.reply, NULL))
                r = request_complain(
                                bus, request, sd_bus_message_get_error(wait.reply), wait.start_usec,
                                timeout_usec);

        if (r == 0 && ret_reply)
                *ret_reply = TAKE_POINTER(wait.reply);
        sd_bus_message_unref(wait.reply);
        return r;
}
