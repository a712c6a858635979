/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The verbs that change something: set, reset, pause, resume. `wbctl sync` and `wbctl inhibit` have their own
 * files. */

#include <inttypes.h>
#include <stdio.h>

#include "client.h"
#include "connection.h"
#include "duration.h"
#include "glob.h"
#include "suggest.h"
#include "values.h"

/* Long enough to type a password. */
#define CHANGE_TIMEOUT_USEC (6 * USEC_PER_MINUTE)

/* When to print that wbctl is still waiting. */
#define PATIENCE_USEC (5 * USEC_PER_SEC)

static void report_waiting(uint64_t elapsed_usec, void *userdata) {
        bool *reported = userdata;
        g_autofree char *limit = NULL;

        if (*reported || elapsed_usec < PATIENCE_USEC || elapsed_usec == USEC_INFINITY)
                return;
        limit = span_format(connection_timeout(CHANGE_TIMEOUT_USEC));
        complain("wbwatchd does not answer yet: still waiting, for up to %s.", limit);
        *reported = true;
}

/* Sends a call that the daemon answers without delay. */
static int change(const Options *options, sd_bus *bus, const Request *request, sd_bus_message *message) {
        bool reported = false;
        int r;

        r =
                        request_change(bus, request, message, options->ask_password, CHANGE_TIMEOUT_USEC,
                                       connection_may_prompt(options->ask_password) ? NULL : report_waiting,
                                       &reported, NULL);
        if (r == EXIT_INTERRUPTED)
                complain("Interrupted. The change may still take effect: see `wbctl status`.");
        return r;
}

/* set */

static char *suggest_setting(const char *name) {
        const char *names[2 * _SETTING_MAX + 1] = {};

        for (SettingId id = 0; id < _SETTING_MAX; id++) {
                names[id] = setting_table[id].key;
                names[_SETTING_MAX + id] = setting_table[id].property;
        }
        return suggest_words(name, names);
}

static char *setting_names(void) {
        GString *names = g_string_new(NULL);

        for (SettingId id = 0; id < _SETTING_MAX; id++)
                g_string_append_printf(names, "%s%s", id > 0 ? ", " : "", setting_table[id].key);
        return g_string_free(names, FALSE);
}

static int setting_from_name(const char *name, SettingId *ret_id, bool *ret_is_property, char **ret_error) {
        g_autofree char *names = NULL, *suggestion = NULL;

        /* A name that is both a key and a property is no duration, so the unit does not matter. */
        if (setting_from_key(name, ret_id) >= 0) {
                *ret_is_property = false;
                return 0;
        }
        if (setting_from_property(name, ret_id) >= 0) {
                *ret_is_property = true;
                return 0;
        }

        for (SettingId id = 0; id < _SETTING_MAX; id++)
                if (g_ascii_strcasecmp(name, setting_table[id].key) == 0 ||
                    g_ascii_strcasecmp(name, setting_table[id].property) == 0) {
                        *ret_error =
                                        g_strdup_printf("Unknown setting \"%s\": it is spelled %s", name,
                                                        setting_table[id].key);
                        return -ENOENT;
                }

        names = setting_names();
        suggestion = suggest_setting(name);
        *ret_error = g_strdup_printf(
                        "Unknown setting \"%s\"%s; the settings are %s", name, suggestion, names);
        return -ENOENT;
}

int assignment_parse(const char *text, Settings *settings, SettingId *ret_id, char **ret_error) {
        _cleanup_free_ char *error = NULL;
        g_autofree char *name = NULL;
        const char *value = strchr(text, '=');
        bool is_property;
        uint64_t usec;
        SettingId id;
        int r;

        if (!value) {
                *ret_error = g_strdup_printf("\"%s\" is not of the form NAME=VALUE", text);
                return -ENOENT;
        }
        name = g_strndup(text, (size_t) (value - text));
        value++;

        r = setting_from_name(name, &id, &is_property, ret_error);
        if (r < 0)
                return r;

        /* Only the unit of a bare number differs. Errors are reported below. */
        if (is_property && setting_table[id].type == SETTING_TYPE_USEC &&
            parse_duration(value, 1, &usec) >= 0)
                r = settings_set_number(settings, id, usec, ORIGIN_COMMAND_LINE, &error);
        else
                r = settings_set_text(settings, id, value, ORIGIN_COMMAND_LINE, &error);
        if (r < 0) {
                *ret_error = g_strdup_printf("%s: %s", name, error ?: g_strerror(-r));
                return r;
        }

        *ret_id = id;
        return 0;
}

static int append_setting(sd_bus_message *message, const Settings *settings, SettingId id) {
        const char *property = setting_table[id].property;
        char text[SETTINGS_GLOB_MAX + 1];

        switch (setting_table[id].type) {
        case SETTING_TYPE_GLOB:
        case SETTING_TYPE_METHOD:
                return sd_bus_message_append(
                                message, "{sv}", property, "s",
                                settings_format(settings, id, text, sizeof(text)));
        case SETTING_TYPE_USEC:
                return sd_bus_message_append(
                                message, "{sv}", property, "t", settings_get_number(settings, id));
        case SETTING_TYPE_UNSIGNED:
                return sd_bus_message_append(
                                message, "{sv}", property, "u", (uint32_t) settings_get_number(settings, id));
        case SETTING_TYPE_BOOLEAN:
                return sd_bus_message_append(
                                message, "{sv}", property, "b", (int) settings_get_number(settings, id));
        }
        return -EINVAL;
}

/* Appends the settings in the mask (1 << SettingId) as arguments of SetProperties. */
static int append_settings(sd_bus_message *message, bool runtime, const Settings *settings, unsigned ids) {
        int r;

        r = sd_bus_message_append(message, "b", (int) runtime);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(message, 'a', "{sv}");
        if (r < 0)
                return r;
        for (SettingId id = 0; id < _SETTING_MAX; id++)
                if (ids & 1u << id) {
                        r = append_setting(message, settings, id);
                        if (r < 0)
                                return r;
                }
        return sd_bus_message_close_container(message);
}

/* Checks all assignments before connecting. Returns 0 or an exit status. */
static int assignments_parse(char **assignments, Settings *settings, unsigned *ret_ids) {
        unsigned ids = 0;

        settings_init(settings);
        for (char **assignment = assignments; *assignment; assignment++) {
                _cleanup_free_ char *error = NULL;
                SettingId id;
                int r;

                r = assignment_parse(*assignment, settings, &id, &error);
                if (r < 0) {
                        complain("%s.", error);
                        return r == -ENOENT ? EXIT_USAGE : EXIT_FAILURE;
                }
                if (ids & 1u << id) {
                        complain("%s is set twice.", setting_table[id].key);
                        return EXIT_USAGE;
                }
                ids |= 1u << id;
        }

        *ret_ids = ids;
        return 0;
}

/* Where the daemon stores them. */
#define STORED_FILE "/var/lib/wbwatch/wbwatch.conf"

/* Connects, reads the settings before the change, and creates the call that makes it. *ret_before is NULL if
 * wbwatchd did not answer: the change is sent nevertheless. */
static int begin_change(
                const Request *request,
                sd_bus **ret_bus,
                GVariant **ret_before,
                sd_bus_message **ret_message) {
        g_autofree char *limit = NULL;
        int r;

        r = connection_open_or_complain(ret_bus);
        if (r == 0)
                r = request_properties_in_time(*ret_bus, ret_before);
        if (r != 0)
                return r;
        limit = span_format(connection_timeout(CHANGE_TIMEOUT_USEC));
        if (!*ret_before)
                complain("wbwatchd does not answer. The change is sent, and waits for up to %s.", limit);
        r = request_new(*ret_bus, request, ret_message);
        return r < 0 ? request_failed(request, r) : 0;
}

/* Makes the change, and reads the settings after it unless nothing is printed. */
static int finish_change(
                const Options *options,
                sd_bus *bus,
                const Request *request,
                sd_bus_message *message,
                GVariant **ret_after) {
        int r;

        r = change(options, bus, request, message);
        if (r != 0 || options->json)
                return r;
        r = request_properties_in_time(bus, ret_after);
        if (r == 0 && !*ret_after)
                complain("The change was made, but wbwatchd does not answer what the settings are now.");
        return r;
}

/* "ThresholdSec=20s" and its origin, and the same for what it replaces, if that is known. */
static void add_change(
                Table *table,
                const Terminal *terminal,
                const SettingInfo *info,
                GVariant *before,
                GVariant *after) {
        g_autofree char *value = setting_format(terminal, after, info), *old_value = NULL;

        table_add_owned(table, g_strdup_printf("%s=%s", info->key, value ?: "?"));
        table_add_owned(table, setting_origin_format(terminal, after, info));
        if (!before)
                return;
        old_value = setting_format(terminal, before, info);
        table_add_owned(table, g_strdup_printf("  before: %s", old_value ?: "?"));
        table_add_owned(table, setting_origin_format(terminal, before, info));
}

/* The settings whose value or origin is different. */
static unsigned compare_settings(GVariant *before, GVariant *after) {
        const Terminal terminal = { .utf8 = true };
        unsigned ids = 0;

        for (SettingId id = 0; id < _SETTING_MAX; id++) {
                const SettingInfo *info = &setting_table[id];
                g_autofree char *old_value = setting_format(&terminal, before, info);
                g_autofree char *new_value = setting_format(&terminal, after, info);
                g_autofree char *old_origin = setting_origin_format(&terminal, before, info);
                g_autofree char *new_origin = setting_origin_format(&terminal, after, info);

                if (g_strcmp0(old_value, new_value) != 0 || !streq(old_origin, new_origin))
                        ids |= 1u << id;
        }
        return ids;
}

static void print_changes(const Terminal *terminal, unsigned ids, GVariant *before, GVariant *after) {
        _cleanup_(table_freep) Table *table = table_new(2);
        g_autoptr(GString) out = g_string_new(NULL);

        for (SettingId id = 0; id < _SETTING_MAX; id++)
                if (ids & 1u << id)
                        add_change(table, terminal, &setting_table[id], before, after);
        table_append(table, out, "");
        text_print(out);
}

/* Where the new values are, and how long they last. */
static void print_stored(bool runtime, unsigned ids, GVariant *before) {
        const Terminal terminal = { .utf8 = true };

        if (runtime)
                printf("This lasts until wbwatchd is started or reloaded;\n"
                       "`wbctl reset --runtime` undoes it.\n");
        else
                printf("Stored in " STORED_FILE ", which overrides all other files;\n"
                       "`wbctl reset` undoes it.\n");

        for (SettingId id = 0; before && id < _SETTING_MAX; id++) {
                const SettingInfo *info = &setting_table[id];
                g_autofree char *origin = setting_origin_format(&terminal, before, info);

                if (ids & 1u << id && streq(origin, "command line"))
                        printf("%s is on the command line of wbwatchd, which overrides it at the "
                               "next\nstart.\n",
                               info->key);
        }
}

static void print_set(
                const Options *options,
                const Settings *settings,
                unsigned ids,
                GVariant *before,
                GVariant *after) {
        print_changes(&options->terminal, ids, before, after);
        print_stored(options->runtime, ids, before);
        if (ids & 1u << SETTING_GLOB && !glob_can_match_kworker(settings->glob))
                complain("This Glob matches no kernel worker: no stall can be detected.");
}

int verb_set(const Options *options, char **arguments) {
        static const Request request = {
                .member = METHOD_SET_PROPERTIES,
                .purpose = "change the settings",
                .action = ACTION_CONFIGURE,
        };
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        g_autoptr(GVariant) before = NULL, after = NULL;
        Settings settings;
        unsigned ids;
        int r;

        r = assignments_parse(arguments, &settings, &ids);
        if (r == 0)
                r = begin_change(&request, &bus, &before, &message);
        if (r != 0)
                return r;
        r = append_settings(message, options->runtime, &settings, ids);
        if (r < 0)
                return request_failed(&request, r);

        r = finish_change(options, bus, &request, message, &after);
        if (after)
                print_set(options, &settings, ids, before, after);
        return r;
}

/* reset */

int settings_from_names(char **names, unsigned *ret_ids) {
        unsigned ids = 0;

        for (char **name = names; *name; name++) {
                _cleanup_free_ char *error = NULL;
                bool is_property;
                SettingId id;

                if (setting_from_name(*name, &id, &is_property, &error) < 0) {
                        complain("%s.", error);
                        return EXIT_USAGE;
                }
                ids |= 1u << id;
        }
        *ret_ids = *names ? ids : SETTINGS_ALL;
        return 0;
}

/* Appends the arguments of ResetProperties: no name stands for all. */
static int append_names(sd_bus_message *message, bool runtime, unsigned ids) {
        int r;

        r = sd_bus_message_append(message, "b", (int) runtime);
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'a', "s");
        for (SettingId id = 0; r >= 0 && id < _SETTING_MAX; id++)
                if (ids & 1u << id && ids != SETTINGS_ALL)
                        r = sd_bus_message_append(message, "s", setting_table[id].property);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

int verb_reset(const Options *options, char **arguments) {
        static const Request request = {
                .member = METHOD_RESET_PROPERTIES,
                .purpose = "reset the settings",
                .action = ACTION_CONFIGURE,
        };
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        g_autoptr(GVariant) before = NULL, after = NULL;
        unsigned ids;
        int r;

        r = settings_from_names(arguments, &ids);
        if (r == 0)
                r = begin_change(&request, &bus, &before, &message);
        if (r != 0)
                return r;
        r = append_names(message, options->runtime, ids);
        if (r < 0)
                return request_failed(&request, r);

        r = finish_change(options, bus, &request, message, &after);
        if (!after)
                return r;
        if (before)
                ids = compare_settings(before, after);
        if (ids == 0)
                printf("There was nothing to undo.\n");
        else
                print_changes(&options->terminal, ids, before, after);
        return 0;
}

/* pause, resume */

/* A pause that somebody forgot must not last for ever. */
#define PAUSE_DEFAULT_USEC USEC_PER_HOUR

static const Request pause_for = {
        .member = METHOD_PAUSE_FOR,
        .purpose = "pause wbwatchd",
        .action = ACTION_PAUSE,
};

/* Returns 0 or an exit status. */
static int pause_parse(const char *text, uint64_t *ret_usec) {
        int r;

        r = parse_duration(text, USEC_PER_SEC, ret_usec);
        if (r < 0)
                complain("\"%s\" is %s.", text,
                         r == -ERANGE ? "too long"
                                      : "not a duration: write it as 90s, 10min or \"1h 30min\"");
        else if (*ret_usec == 0) {
                complain("A pause must be longer than 0; `wbctl resume` ends one.");
                r = -EINVAL;
        }
        return r < 0 ? EXIT_FAILURE : 0;
}

static void print_paused(uint64_t usec) {
        uint64_t now_usec = usec_now(CLOCK_REALTIME);
        g_autofree char *end = usec == USEC_INFINITY ? g_strdup("`wbctl resume`")
                                                     : time_format(usec_add(now_usec, usec), now_usec);

        printf("Paused until %s:\n"
               "wbwatchd detects and reports stalls, but makes no automatic sync.\n",
               end);
}

int verb_pause(const Options *options, char **arguments) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        uint64_t usec = options->until_resume ? USEC_INFINITY : PAUSE_DEFAULT_USEC;
        int r = 0;

        if (arguments[0] && options->until_resume) {
                complain("Give either a duration or --until-resume.");
                return EXIT_USAGE;
        }
        if (arguments[0])
                r = pause_parse(arguments[0], &usec);
        if (r == 0)
                r = connection_open_or_complain(&bus);
        if (r != 0)
                return r;

        r = request_new(bus, &pause_for, &message);
        if (r >= 0)
                r = sd_bus_message_append(message, "t", usec);
        if (r < 0)
                return request_failed(&pause_for, r);

        r = change(options, bus, &pause_for, message);
        if (r == 0 && !options->json)
                print_paused(usec);
        return r;
}

/* Inhibitors suspend automatic syncs as a pause does, and remain. */
static void print_resumed(const Options *options, sd_bus *bus) {
        g_autoptr(GVariant) properties = NULL, inhibitors = NULL;
        g_autoptr(GString) out = g_string_new("Resumed");

        if (request_properties_in_time(bus, &properties) == 0 && properties)
                inhibitors = lookup_list(properties, "Inhibitors");
        if (inhibitors && g_variant_n_children(inhibitors) > 0) {
                g_string_append(out, ", but there is still no automatic sync. It is inhibited by ");
                inhibitors_append_briefly(out, &options->terminal, inhibitors);
                g_string_append(out, ": see `wbctl inhibitors`");
        }
        g_string_append(out, ".\n");
        text_print(out);
}

int verb_resume(const Options *options, char **arguments) {
        static const Request request = {
                .member = METHOD_RESUME,
                .purpose = "resume wbwatchd",
                .action = ACTION_PAUSE,
        };
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        r = connection_open_or_complain(&bus);
        if (r != 0)
                return r;
        r = request_new(bus, &request, &message);
        if (r < 0)
                return request_failed(&request, r);

        r = change(options, bus, &request, message);
        if (r == 0 && !options->json)
                print_resumed(options, bus);
        return r;
}
