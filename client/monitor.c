/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The verb monitor: prints a line for each event, until it is interrupted. It survives the end of the daemon
 * and of the bus. */

#include <inttypes.h>
#include <stdio.h>
#include <systemd/sd-event.h>

#include "client.h"
#include "connection.h"
#include "json.h"
#include "values.h"

#define RECONNECT_USEC USEC_PER_SEC

/* Events of wbctl itself, in addition to the daemon's signals. */
#define DAEMON_IS_HERE "DaemonIsHere"
#define DAEMON_IS_GONE "DaemonIsGone"
#define DAEMON_IS_SILENT "DaemonIsSilent"
#define BUS_IS_GONE "BusIsGone"
#define BUS_IS_HERE "BusIsHere"

/* Lines of text */

/* USec members that are points in time; the others are durations. */
static bool is_time(const char *name) {
        static const char *const names[] = {
                "StateSinceUSec", "PausedUntilUSec", "LastSyncUSec", "StartUSec", "EndUSec", NULL,
        };

        return g_strv_contains(names, name);
}

/* "[/srv (xfs): timeout 10s, / (ext4): ok 350ms]" */
static char *filesystems_format(const Terminal *terminal, GVariant *filesystems) {
        GString *out = g_string_new("[");

        for (size_t i = 0; i < g_variant_n_children(filesystems); i++) {
                g_autoptr(GVariant) filesystem = g_variant_get_child_value(filesystems, i);
                g_autofree char *text = filesystem_format(terminal, filesystem, 0);

                g_string_append_printf(out, "%s%s", i > 0 ? ", " : "", text);
        }
        g_string_append_c(out, ']');
        return g_string_free(out, FALSE);
}

static char *inhibitors_format(const Terminal *terminal, GVariant *inhibitors) {
        GString *out = g_string_new("[");

        inhibitors_append_briefly(out, terminal, inhibitors);
        g_string_append_c(out, ']');
        return g_string_free(out, FALSE);
}

static char *value_format(const Terminal *terminal, const char *name, GVariant *value) {
        if (g_variant_is_of_type(value, G_VARIANT_TYPE_STRING))
                return terminal_escape(terminal, g_variant_get_string(value, NULL));
        if (g_variant_is_of_type(value, G_VARIANT_TYPE_BOOLEAN))
                return g_strdup(g_variant_get_boolean(value) ? "yes" : "no");
        if (g_variant_is_of_type(value, G_VARIANT_TYPE_UINT64) && g_str_has_suffix(name, "USec")) {
                uint64_t usec = g_variant_get_uint64(value);

                if (!is_time(name))
                        return span_format(usec);
                if (usec == 0 || usec == USEC_INFINITY)
                        return g_strdup(usec == 0 ? "none" : "infinity");
                return time_format_exact(usec);
        }

        if (streq(name, "FilesystemResults") && g_variant_is_of_type(value, G_VARIANT_TYPE("aa{sv}")))
                return filesystems_format(terminal, value);
        if (streq(name, "Inhibitors") && g_variant_is_of_type(value, G_VARIANT_TYPE("aa{sv}")))
                return inhibitors_format(terminal, value);
        /* SettingOrigins would hide the rest. */
        if (g_variant_is_container(value))
                return g_strdup("...");

        g_autoptr(GString) json = g_string_new(NULL);

        json_append(json, value);
        return terminal_escape(terminal, json->str);
}

/* Appends all members except the one already shown, if any. */
static void members_append(GString *out, const Terminal *terminal, GVariant *dictionary, const char *shown) {
        GVariantIter iter;
        const char *name;
        GVariant *value;

        g_variant_iter_init(&iter, dictionary);
        while (g_variant_iter_loop(&iter, "{&sv}", &name, &value)) {
                g_autofree char *escaped_name = terminal_escape(terminal, name);
                g_autofree char *text = value_format(terminal, name, value);

                if (!shown || !streq(name, shown))
                        g_string_append_printf(out, " %s=%s", escaped_name, text);
        }
}

static void changed_append(GString *out, const Terminal *terminal, GVariant *changed) {
        const char *fault = lookup_string(changed, "Fault");
        g_autofree char *escaped = terminal_escape(terminal, fault ?: "");

        if (!fault) {
                g_string_append(out, "changed ");
                members_append(out, terminal, changed, NULL);
                return;
        }
        g_string_append_printf(out, "fault    %s", *fault ? escaped : "ended: scans see all kernel workers");
        if (g_variant_n_children(changed) > 1) {
                g_string_append(out, "; changed");
                members_append(out, terminal, changed, "Fault");
        }
}

/* "rule worker", or "requested" */
static char *describe_cause(const Terminal *terminal, GVariant *details) {
        const char *rule = lookup_string(details, "Rule");
        g_autofree char *escaped = terminal_escape(terminal, rule ?: "");

        if (lookup_true(details, "Requested") || !*escaped)
                return g_strdup("requested");
        return g_strdup_printf("rule %s", escaped);
}

/* "12 workers" */
static char *describe_count(GVariant *details) {
        uint64_t n = lookup_number_or_zero(details, "WorkerCount");

        return g_strdup_printf("%" PRIu64 " worker%s", n, n == 1 ? "" : "s");
}

static void episode_started_append(GString *out, const Terminal *terminal, uint64_t id, GVariant *details) {
        g_autofree char *span = span_format(lookup_number_or_zero(details, "LongestRunUSec"));
        g_autofree char *name = terminal_escape(terminal, lookup_string(details, "Name") ?: "?");
        g_autofree char *work = terminal_escape(terminal, lookup_string(details, "Work") ?: "?");
        g_autofree char *cause = describe_cause(terminal, details), *count = describe_count(details);

        g_string_append_printf(
                        out, "stuck    episode %" PRIu64 ": %s in %s, longest run %s: %s (%s%s)", id, count,
                        work, span, name, cause, lookup_true(details, "DryRun") ? ", dry run" : "");
}

static void episode_ended_append(GString *out, const Terminal *terminal, uint64_t id, GVariant *details) {
        g_autofree char *outcome = terminal_escape(terminal, lookup_string(details, "Outcome") ?: "?");
        g_autofree char *count = describe_count(details), *syncs = describe_syncs(details);
        g_autofree char *span = span_format(
                        usec_subtract(lookup_number_or_zero(details, "EndUSec"),
                                      lookup_number_or_zero(details, "StartUSec")));

        g_string_append_printf(
                        out, "over     episode %" PRIu64 ": %s after %s, up to %s, %s", id, outcome, span,
                        count, syncs);
}

static void sync_started_append(GString *out, const Terminal *terminal, uint64_t id, GVariant *details) {
        g_autofree char *cause = describe_cause(terminal, details), *count = describe_count(details);

        g_string_append_printf(
                        out, "sync     %" PRIu64 " %s (%s, %s)", id,
                        lookup_true(details, "DryRun") ? "not started: dry run" : "started", cause, count);
}

static void unanswered_append(GString *out, const Terminal *terminal, GVariant *details) {
        g_autoptr(GVariant) filesystems = lookup_list(details, "Filesystems");
        size_t n = filesystems ? g_variant_n_children(filesystems) : 0;

        for (size_t i = 0; i < n; i++) {
                g_autoptr(GVariant) filesystem = g_variant_get_child_value(filesystems, i);
                g_autofree char *text = filesystem_format(terminal, filesystem, 0);

                if (!filesystem_is_ok(filesystem))
                        g_string_append_printf(out, "; %s", text);
        }
}

static void sync_finished_append(GString *out, const Terminal *terminal, uint64_t id, GVariant *details) {
        g_autofree char *result = terminal_escape(terminal, lookup_string(details, "Result") ?: "?");
        g_autofree char *span = span_format(lookup_number_or_zero(details, "DurationUSec"));

        if (lookup_true(details, "DryRun")) {
                g_string_append_printf(out, "sync     %" PRIu64 " not made: dry run", id);
                return;
        }
        g_string_append_printf(out, "sync     %" PRIu64 " ended after %s: %s", id, span, result);
        unanswered_append(out, terminal, details);
}

static void here_append(GString *out, const Terminal *terminal, GVariant *properties) {
        g_autofree char *version = terminal_escape(terminal, lookup_string(properties, "Version") ?: "?");
        g_autofree char *state = terminal_escape(terminal, lookup_string(properties, "State") ?: "?");
        g_autofree char *why = terminal_escape(terminal, lookup_string(properties, "StatusText") ?: "?");
        g_autofree char *fault = terminal_escape(terminal, lookup_string(properties, "Fault") ?: "");

        g_string_append_printf(
                        out, "here     wbwatchd %s, state %s: %s%s%s", version, state, why,
                        *fault ? "; fault: " : "", fault);
}

/* The last of the arguments, if it is an a{sv}. */
static GVariant *arguments_details(GVariant *arguments) {
        size_t n = g_variant_n_children(arguments);
        g_autoptr(GVariant) last = n > 0 ? g_variant_get_child_value(arguments, n - 1) : NULL;

        return last && g_variant_is_of_type(last, G_VARIANT_TYPE_VARDICT) ? g_steal_pointer(&last) : NULL;
}

static uint64_t arguments_id(GVariant *arguments) {
        g_autoptr(GVariant) first =
                        g_variant_n_children(arguments) > 0 ? g_variant_get_child_value(arguments, 0) : NULL;

        return first && g_variant_is_of_type(first, G_VARIANT_TYPE_UINT64) ? g_variant_get_uint64(first) : 0;
}

/* The daemon's signals that end with details. */
static const struct {
        const char *member;
        void (*append)(GString *out, const Terminal *terminal, uint64_t id, GVariant *details);
} detailed_signals[] = {
        { SIGNAL_EPISODE_STARTED, episode_started_append },
        { SIGNAL_EPISODE_ENDED, episode_ended_append },
        { SIGNAL_SYNC_STARTED, sync_started_append },
        { SIGNAL_SYNC_FINISHED, sync_finished_append },
};

/* Events without arguments. */
static const struct {
        const char *member;
        const char *words;
} plain_events[] = {
        { DAEMON_IS_GONE, "gone     wbwatchd is not running; waiting for it" },
        { DAEMON_IS_SILENT, "silent   wbwatchd does not answer; trying again" },
        { BUS_IS_GONE, "gone     the system bus went away; waiting for it" },
        { BUS_IS_HERE, "here     the system bus is back" },
};

void event_append(GString *out, const Terminal *terminal, const char *member, GVariant *arguments) {
        g_autoptr(GVariant) details = arguments_details(arguments);
        g_autofree char *escaped_member = NULL;
        g_autoptr(GString) json = NULL;

        if (streq(member, "PropertiesChanged") &&
            g_variant_is_of_type(arguments, G_VARIANT_TYPE("(sa{sv}as)"))) {
                g_autoptr(GVariant) changed = g_variant_get_child_value(arguments, 1);

                changed_append(out, terminal, changed);
                return;
        }
        if (streq(member, DAEMON_IS_HERE) && details) {
                here_append(out, terminal, details);
                return;
        }
        for (size_t i = 0; i < ELEMENTSOF(detailed_signals) && details; i++)
                if (streq(member, detailed_signals[i].member)) {
                        detailed_signals[i].append(out, terminal, arguments_id(arguments), details);
                        return;
                }
        for (size_t i = 0; i < ELEMENTSOF(plain_events); i++)
                if (streq(member, plain_events[i].member)) {
                        g_string_append(out, plain_events[i].words);
                        return;
                }

        /* A signal of a newer daemon. */
        escaped_member = terminal_escape(terminal, member);
        json = g_string_new(NULL);
        json_append(json, arguments);
        g_string_append_printf(out, "signal   %s %s", escaped_member, json->str);
}

/* The names of the arguments in JSON. */
static const struct {
        const char *member;
        const char *names[4];
} argument_names[] = {
        { SIGNAL_EPISODE_STARTED, { "Id", "Details" } },
        { SIGNAL_EPISODE_ENDED, { "Id", "Details" } },
        { SIGNAL_SYNC_STARTED, { "Id", "EpisodeId", "Details" } },
        { SIGNAL_SYNC_FINISHED, { "Id", "EpisodeId", "Details" } },
        { "PropertiesChanged", { "Interface", "Properties", "Invalidated" } },
        { DAEMON_IS_HERE, { "Properties" } },
};

static const char *const *find_argument_names(const char *member, size_t n_arguments) {
        for (size_t i = 0; i < ELEMENTSOF(argument_names); i++)
                if (streq(argument_names[i].member, member) &&
                    g_strv_length((char **) argument_names[i].names) == n_arguments)
                        return argument_names[i].names;
        return NULL;
}

void event_append_json(GString *out, uint64_t now_usec, const char *member, GVariant *arguments) {
        size_t n = g_variant_n_children(arguments);
        const char *const *names = find_argument_names(member, n);

        g_string_append_printf(out, "{\"TimeUSec\":%" PRIu64 ",\"Event\":", now_usec);
        json_append_string(out, member);
        for (size_t i = 0; names && i < n; i++) {
                g_autoptr(GVariant) argument = g_variant_get_child_value(arguments, i);

                g_string_append_printf(out, ",\"%s\":", names[i]);
                json_append(out, argument);
        }
        if (!names && n > 0) {
                g_string_append(out, ",\"Arguments\":");
                json_append(out, arguments);
        }
        g_string_append_c(out, '}');
}

/* Listening */

typedef struct Monitor {
        const Options *options;
        sd_event *event;
        sd_event_source *reconnect;
        sd_bus *bus;
        sd_bus_slot *question;
        uint64_t asked_usec;
        bool answered;            /* the daemon has; its changes since then are printed */
        char *owner;              /* its unique name then; NULL over its socket */
        const char *last_printed; /* the last event of monitor_print_once() */
} Monitor;

static void monitor_say(Monitor *monitor, const char *member, GVariant *arguments) {
        g_autoptr(GString) line = g_string_new(NULL);
        uint64_t now_usec = usec_now(CLOCK_REALTIME);

        if (monitor->options->json)
                event_append_json(line, now_usec, member, arguments);
        else {
                g_autofree char *time = time_format_exact(now_usec);

                g_string_append_printf(line, "%s  ", time);
                event_append(line, &monitor->options->terminal, member, arguments);
        }
        g_string_append_c(line, '\n');

        if (fwrite(line->str, 1, line->len, stdout) != line->len || fflush(stdout) != 0)
                (void) sd_event_exit(monitor->event, EXIT_FAILURE);
}

/* Prints an event, unless it was the last one printed here. */
static void monitor_print_once(Monitor *monitor, const char *member) {
        g_autoptr(GVariant) nothing = g_variant_ref_sink(g_variant_new_tuple(NULL, 0));

        if (monitor->last_printed == member)
                return;
        monitor->last_printed = member;
        monitor_say(monitor, member, nothing);
}

static void monitor_set_owner(Monitor *monitor, bool answered, const char *owner) {
        monitor->answered = answered;
        g_free(monitor->owner);
        monitor->owner = g_strdup(owner);
}

static int monitor_request_state(Monitor *monitor);

static int monitor_not_answered(Monitor *monitor, const sd_bus_error *error) {
        static const Request request = { .member = "GetAll", .purpose = "read the state of wbwatchd" };
        uint64_t waited_usec = usec_subtract(usec_now(CLOCK_MONOTONIC), monitor->asked_usec);
        g_autofree char *words = NULL;
        int status;

        if (sd_bus_is_open(monitor->bus) <= 0)
                return 0; /* on_disconnected() handles that */

        if (sd_bus_error_has_name(error, SD_BUS_ERROR_NO_REPLY) &&
            waited_usec >= connection_answer_timeout()) {
                monitor_print_once(monitor, DAEMON_IS_SILENT);
                return monitor_request_state(monitor);
        }

        status = error_explain(&request, error->name, error->message ?: "no reason given", false, 0, &words);
        if (status != EXIT_NO_DAEMON) {
                complain("%s", words);
                return sd_event_exit(monitor->event, status);
        }
        monitor_print_once(monitor, DAEMON_IS_GONE);
        return 0;
}

static int on_properties(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        Monitor *monitor = userdata;
        g_autoptr(GVariant) arguments = NULL;
        int r;

        if (sd_bus_message_is_method_error(reply, NULL))
                return monitor_not_answered(monitor, sd_bus_message_get_error(reply));

        r = arguments_from_message(reply, &arguments);
        if (r < 0)
                return r;
        monitor_set_owner(monitor, true, sd_bus_message_get_sender(reply));
        monitor->last_printed = DAEMON_IS_HERE;
        monitor_say(monitor, DAEMON_IS_HERE, arguments);
        return 0;
}

/* Requests all properties. The sender of the reply is the daemon. Drops a pending request. */
static int monitor_request_state(Monitor *monitor) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        monitor_set_owner(monitor, false, NULL);
        monitor->question = sd_bus_slot_unref(monitor->question);

        r = sd_bus_message_new_method_call(
                        monitor->bus, &message, BUS_NAME, BUS_PATH, PROPERTIES_INTERFACE, "GetAll");
        if (r < 0)
                return r;
        r = sd_bus_message_append(message, "s", BUS_INTERFACE);
        if (r < 0)
                return r;
        r = sd_bus_message_set_auto_start(message, false);
        if (r < 0)
                return r;

        monitor->asked_usec = usec_now(CLOCK_MONOTONIC);
        return sd_bus_call_async(
                        monitor->bus, &monitor->question, message, on_properties, monitor,
                        connection_answer_timeout());
}

static int on_signal(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Monitor *monitor = userdata;
        g_autoptr(GVariant) arguments = NULL;
        int r;

        /* Any client can send a signal of that name. The first reply includes earlier changes. */
        if (!monitor->answered || g_strcmp0(sd_bus_message_get_sender(message), monitor->owner) != 0)
                return 0;

        r = arguments_from_message(message, &arguments);
        if (r < 0)
                return r;
        monitor_say(monitor, sd_bus_message_get_member(message), arguments);
        return 0;
}

static int on_owner_changed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Monitor *monitor = userdata;
        const char *name, *old_owner, *new_owner;
        int r;

        if (g_strcmp0(sd_bus_message_get_sender(message), DBUS_NAME) != 0)
                return 0;
        r = sd_bus_message_read(message, "sss", &name, &old_owner, &new_owner);
        if (r < 0)
                return r;

        if (*new_owner)
                return monitor_request_state(monitor);
        monitor_set_owner(monitor, false, NULL);
        monitor_print_once(monitor, DAEMON_IS_GONE);
        return 0;
}

/* What the user has named is not tried again: ssh would ask for its password. */
static int monitor_end(Monitor *monitor) {
        static const Request request = { .purpose = "follow its events" };
        g_autofree char *words = NULL;
        int status;

        status = error_explain(&request, "", "", /* bus_lost= */ true, 0, &words);
        complain("%s", words);
        return sd_event_exit(monitor->event, status);
}

static int on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Monitor *monitor = userdata;
        int r;

        if (destination_get()->kind != DESTINATION_BUS)
                return monitor_end(monitor);
        monitor_set_owner(monitor, false, NULL);
        monitor_print_once(monitor, connection_sender() ? BUS_IS_GONE : DAEMON_IS_GONE);
        r = sd_event_source_set_time_relative(monitor->reconnect, RECONNECT_USEC);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(monitor->reconnect, SD_EVENT_ONESHOT);
}

/* Starts listening on a new connection. */
static int monitor_listen(Monitor *monitor) {
        int r;

        r = sd_bus_match_signal(
                        monitor->bus, NULL, DBUS_LOCAL, NULL, DBUS_LOCAL, "Disconnected", on_disconnected,
                        monitor);
        if (r < 0)
                return r;
        if (connection_sender())
                r = sd_bus_add_match(
                                monitor->bus, NULL,
                                "type='signal',sender='" DBUS_NAME "',interface='" DBUS_INTERFACE "',"
                                "member='NameOwnerChanged',arg0='" BUS_NAME "'",
                                on_owner_changed, monitor);
        if (r < 0)
                return r;
        r = sd_bus_match_signal(
                        monitor->bus, NULL, connection_sender(), BUS_PATH, BUS_INTERFACE, NULL, on_signal,
                        monitor);
        if (r < 0)
                return r;
        r = sd_bus_match_signal(
                        monitor->bus, NULL, connection_sender(), BUS_PATH, PROPERTIES_INTERFACE,
                        "PropertiesChanged", on_signal, monitor);
        if (r < 0)
                return r;
        return sd_bus_attach_event(monitor->bus, monitor->event, SD_EVENT_PRIORITY_NORMAL);
}

static void monitor_disconnect(Monitor *monitor) {
        monitor->question = sd_bus_slot_unref(monitor->question);
        monitor->bus = sd_bus_close_unref(monitor->bus);
}

static int on_reconnect(sd_event_source *source, uint64_t usec, void *userdata) {
        Monitor *monitor = userdata;
        int r;

        monitor_disconnect(monitor);
        r = connection_open(&monitor->bus);
        if (r >= 0)
                r = monitor_listen(monitor);
        if (r < 0) {
                monitor_disconnect(monitor);
                r = sd_event_source_set_time_relative(source, RECONNECT_USEC);
                return r < 0 ? r : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }

        if (connection_sender())
                monitor_print_once(monitor, BUS_IS_HERE);
        return monitor_request_state(monitor);
}

static int monitor_run(Monitor *monitor) {
        int r;

        r = sd_event_new(&monitor->event);
        if (r < 0)
                return r;
        r = sd_event_add_time(
                        monitor->event, &monitor->reconnect, CLOCK_MONOTONIC, 0, 0, on_reconnect, monitor);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(monitor->reconnect, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = monitor_listen(monitor);
        if (r < 0)
                return r;
        r = monitor_request_state(monitor);
        if (r < 0)
                return r;
        return sd_event_loop(monitor->event);
}

int verb_monitor(const Options *options, char **arguments) {
        Monitor monitor = { .options = options };
        int r;

        r = connection_open_or_complain(&monitor.bus);
        if (r != 0)
                return r;

        r = monitor_run(&monitor);
        if (r < 0) {
                complain("Cannot watch wbwatchd: %s.", g_strerror(-r));
                r = EXIT_FAILURE;
        }

        monitor_disconnect(&monitor);
        monitor_set_owner(&monitor, false, NULL);
        sd_event_source_unref(monitor.reconnect);
        sd_event_unref(monitor.event);
        return r;
}
