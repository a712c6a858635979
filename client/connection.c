/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "connection.h"

#include <signal.h>
#include <stdio.h>
#include <systemd/sd-event.h>

#include "agent.h"
#include "client.h"
#include "values.h"

#define DEFAULT_ADDRESS "unix:path=/run/dbus/system_bus_socket"

/* Connecting and being greeted. */

static int wait_until_ready(sd_bus *bus) {
        uint64_t deadline_usec = usec_add(usec_now(CLOCK_MONOTONIC), ANSWER_TIMEOUT_USEC);

        for (;;) {
                uint64_t left_usec;
                int r;

                r = sd_bus_is_ready(bus);
                if (r != 0)
                        return r;

                r = sd_bus_process(bus, NULL);
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;

                left_usec = usec_subtract(deadline_usec, usec_now(CLOCK_MONOTONIC));
                if (left_usec == 0)
                        return -ETIMEDOUT;
                r = sd_bus_wait(bus, left_usec);
                if (r < 0 && r != -EINTR)
                        return r;
        }
}

int connection_open(sd_bus **ret) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        int r;

        r = sd_bus_open_system(&bus);
        if (r < 0)
                return r;
        r = wait_until_ready(bus);
        if (r < 0)
                return r;
        r = sd_bus_set_method_call_timeout(bus, ANSWER_TIMEOUT_USEC);
        if (r < 0)
                return r;

        *ret = TAKE_POINTER(bus);
        return 0;
}

int connection_complain(int error) {
        const char *address = getenv("DBUS_SYSTEM_BUS_ADDRESS");

        if (error == -ETIMEDOUT)
                complain("The system bus at %s does not answer. wbwatchd keeps working without it; see its "
                         "log.",
                         address ?: DEFAULT_ADDRESS);
        else
                complain("No system bus at %s: %s.\n"
                         "Start dbus.service. Where wbwatchd runs on a bus of its own, set "
                         "DBUS_SYSTEM_BUS_ADDRESS.",
                         address ?: DEFAULT_ADDRESS, g_strerror(-error));
        return EXIT_NO_BUS;
}

int connection_open_or_complain(sd_bus **ret) {
        int r;

        r = connection_open(ret);
        return r < 0 ? connection_complain(r) : 0;
}

/* Errors in words. */

static bool name_is_any(const char *name, const char *const *list) {
        for (; *list; list++)
                if (streq(name, *list))
                        return true;
        return false;
}

static int explain_not_running(const char *message, char **ret_words) {
        *ret_words =
                        g_strdup_printf("wbwatchd is not running (%s).\n"
                                        "Start it with `systemctl start wbwatchd`; `journalctl -u wbwatchd` "
                                        "says why it ended.",
                                        message);
        return EXIT_NO_DAEMON;
}

static int explain_denied(const Request *request, const char *message, char **ret_words) {
        if (request->action)
                *ret_words = g_strdup_printf(
                                "Not authorized to %s (%s).\n"
                                "Do it as root, or ask an administrator to grant you the polkit action %s.",
                                request->purpose, message, request->action);
        else
                *ret_words = g_strdup_printf(
                                "Not authorized to %s (%s).\n"
                                "Do it as root; is the bus policy org.wbwatch1.conf installed?",
                                request->purpose, message);
        return EXIT_NOT_AUTHORIZED;
}

static int explain_needs_password(const Request *request, char **ret_words) {
        *ret_words =
                        g_strdup_printf("To %s, you must authenticate.\n"
                                        "Do it as root, or on a terminal and without --no-ask-password.",
                                        request->purpose);
        return EXIT_NOT_AUTHORIZED;
}

static int explain_no_answer(const Request *request, uint64_t waited_usec, char **ret_words) {
        g_autofree char *waited = span_format(waited_usec);

        *ret_words =
                        g_strdup_printf("wbwatchd does not answer: waited %s, and could not %s.\n%s", waited,
                                        request->purpose,
                                        request->action ? "It may still do it later: see `wbctl status`."
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
                "org.freedesktop.DBus.Error.TimedOut", /* it did not come up */
                NULL,
        };
        static const char *const unknown_member[] = {
                SD_BUS_ERROR_UNKNOWN_METHOD,
                SD_BUS_ERROR_UNKNOWN_OBJECT,
                SD_BUS_ERROR_UNKNOWN_INTERFACE,
                SD_BUS_ERROR_UNKNOWN_PROPERTY,
                NULL,
        };

        if (bus_lost) {
                *ret_words = g_strdup_printf("The system bus went away, waiting to %s.", request->purpose);
                return EXIT_NO_BUS;
        }
        if (waited_usec > 0)
                return explain_no_answer(request, waited_usec, ret_words);
        if (name_is_any(name, not_running) || g_str_has_prefix(name, "org.freedesktop.DBus.Error.Spawn.") ||
            g_str_has_prefix(name, "org.freedesktop.systemd1."))
                return explain_not_running(message, ret_words);
        if (streq(name, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED))
                return explain_needs_password(request, ret_words);
        if (streq(name, SD_BUS_ERROR_ACCESS_DENIED))
                return explain_denied(request, message, ret_words);

        if (name_is_any(name, unknown_member))
                *ret_words =
                                g_strdup_printf("This wbwatchd cannot %s: is it older than wbctl? (%s)",
                                                request->purpose, message);
        else if (streq(name, "org.wbwatch1.Error.Busy"))
                *ret_words = g_strdup_printf("Cannot %s: %s. Try again.", request->purpose, message);
        else
                *ret_words = g_strdup_printf("Cannot %s: %s", request->purpose, message);
        return EXIT_FAILURE;
}

/* sd-bus reports a call that it gave up, and one whose connection ended, with the same error as a daemon's
 * end. Only the time and the state of the connection distinguish them. */
static int request_complain(
                sd_bus *bus,
                const Request *request,
                const sd_bus_error *error,
                uint64_t start_usec,
                uint64_t timeout_usec) {
        g_autofree char *words = NULL;
        uint64_t waited_usec = usec_subtract(usec_now(CLOCK_MONOTONIC), start_usec);
        bool timeout = sd_bus_error_has_names(error, SD_BUS_ERROR_NO_REPLY, SD_BUS_ERROR_TIMEOUT) &&
                       waited_usec >= timeout_usec;
        int status;

        status = error_explain(
                        request, error->name ?: SD_BUS_ERROR_FAILED, error->message ?: "no reason given",
                        sd_bus_is_open(bus) <= 0, timeout ? waited_usec : 0, &words);
        complain("%s", words);
        return status;
}

int request_failed(const Request *request, int error) {
        complain("Cannot %s: %s.", request->purpose, g_strerror(-error));
        return EXIT_FAILURE;
}

/* Reading. */

static int call_and_read(sd_bus *bus, const Request *request, sd_bus_message *message, GVariant **ret) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        g_autoptr(GVariant) answer = NULL;
        uint64_t start_usec = usec_now(CLOCK_MONOTONIC);
        int r;

        r = sd_bus_call(bus, message, ANSWER_TIMEOUT_USEC, &error, &reply);
        if (r < 0)
                return request_complain(bus, request, &error, start_usec, ANSWER_TIMEOUT_USEC);
        r = variant_from_message(reply, &answer);
        if (r >= 0 && !g_variant_is_of_type(answer, G_VARIANT_TYPE(request->answer)))
                r = -EBADMSG;
        if (r < 0)
                return request_failed(request, r);
        *ret = g_steal_pointer(&answer);
        return 0;
}

int request_new(sd_bus *bus, const Request *request, sd_bus_message **ret) {
        return sd_bus_message_new_method_call(
                        bus, ret, WBWATCH_NAME, WBWATCH_PATH, WBWATCH_INTERFACE, request->member);
}

int request_read(sd_bus *bus, const Request *request, GVariant **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        r = request_new(bus, request, &message);
        return r < 0 ? request_failed(request, r) : call_and_read(bus, request, message, ret);
}

int request_properties(sd_bus *bus, GVariant **ret) {
        static const Request request = {
                .member = "GetAll",
                .purpose = "read the state of wbwatchd",
                .answer = "a{sv}",
        };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        r = sd_bus_message_new_method_call(
                        bus, &message, WBWATCH_NAME, WBWATCH_PATH, "org.freedesktop.DBus.Properties",
                        request.member);
        if (r >= 0)
                r = sd_bus_message_append(message, "s", WBWATCH_INTERFACE);
        return r < 0 ? request_failed(&request, r) : call_and_read(bus, &request, message, ret);
}

/* Changing. */

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

/* Waits until there is a reply, which may be an error, or an interruption. The loop is not ended by
 * sd_event_exit(): that would close the bus, whose state distinguishes a lost connection from a daemon that
 * ended. Negative errno. */
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
                        (void) fputc('\n', stderr); /* its prompt has no end of line */
        } else if (sd_bus_message_is_method_error(wait.reply, NULL))
                r = request_complain(
                                bus, request, sd_bus_message_get_error(wait.reply), wait.start_usec,
                                timeout_usec);

        if (r == 0 && ret_reply)
                *ret_reply = TAKE_POINTER(wait.reply);
        sd_bus_message_unref(wait.reply);
        return r;
}
