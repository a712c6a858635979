/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The verbs that change something: set, pause, resume. `wbctl sync` has its own file. */

#include <inttypes.h>
#include <stdio.h>

#include "agent.h"
#include "client.h"
#include "connection.h"

/* Long enough to type a password. */
#define CHANGE_TIMEOUT_USEC (6 * USEC_PER_MINUTE)

/* How long a person waits without wondering why nothing happens. */
#define PATIENCE_USEC (5 * USEC_PER_SEC)

static void report_waiting(uint64_t elapsed_usec, void *userdata) {
        bool *reported = userdata;

        if (*reported || elapsed_usec < PATIENCE_USEC || elapsed_usec == USEC_INFINITY)
                return;
        complain("Still waiting for wbwatchd's answer.");
        *reported = true;
}

/* Sends a call that is answered soon. */
static int change(const Options *options, sd_bus *bus, const Request *request, sd_bus_message *message) {
        bool reported = false;
        int r;

        r = request_change(
                        bus, request, message, options->ask_password, CHANGE_TIMEOUT_USEC,
                        options->ask_password && agent_is_of_use() ? NULL : report_waiting, &reported, NULL);
        if (r == EXIT_INTERRUPTED)
                complain("Interrupted. The change may still take effect: see `wbctl status`.");
        return r;
}

/* set */

static char *setting_names(void) {
        GString *names = g_string_new(NULL);

        for (SettingId id = 0; id < _SETTING_MAX; id++)
                g_string_append_printf(names, "%s%s", id > 0 ? ", " : "", setting_table[id].key);
        return g_string_free(names, FALSE);
}

static int setting_from_name(const char *name, SettingId *ret_id, bool *ret_is_property, char **ret_error) {
        g_autofree char *names = NULL;

        /* A name that is both a key and a property is no duration, so that the unit does not matter. */
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
                                        g_strdup_printf("There is no setting \"%s\": it is spelled %s", name,
                                                        setting_table[id].key);
                        return -ENOENT;
                }

        names = setting_names();
        *ret_error = g_strdup_printf("There is no setting \"%s\", only %s", name, names);
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

        /* Only the unit of a bare number differs. The error of what does not parse comes from below. */
        if (is_property && setting_table[id].type == SETTING_TYPE_USEC &&
            parse_duration(value, 1, &usec) >= 0)
                r = settings_set_number(settings, id, usec, "command line", &error);
        else
                r = settings_set_text(settings, id, value, "command line", &error);
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

/* Appends the settings of the mask (1 << SettingId) as SetProperties takes them. */
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

/* Checks all assignments before the bus is used. Returns 0 or an exit status. */
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

static void print_set(const Terminal *terminal, const Settings *settings, unsigned ids, bool runtime) {
        for (SettingId id = 0; id < _SETTING_MAX; id++)
                if (ids & 1u << id) {
                        char buffer[SETTINGS_GLOB_MAX + 1];
                        g_autofree char *value = text_escape(
                                        terminal, settings_format(settings, id, buffer, sizeof(buffer)));

                        printf("%s=%s\n", setting_table[id].key, value);
                }
        if (runtime)
                printf("This lasts until wbwatchd is started or reloaded.\n");
        if (ids & 1u << SETTING_GLOB && !glob_can_match_kworker(settings->glob))
                complain("This Glob matches no kernel worker: no stall can be detected.");
}

int verb_set(const Options *options, char **arguments) {
        static const Request request = {
                .member = "SetProperties",
                .purpose = "change the settings",
                .action = "org.wbwatch1.configure",
        };
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        Settings settings;
        unsigned ids;
        int r;

        r = assignments_parse(arguments, &settings, &ids);
        if (r == 0)
                r = connection_open_or_complain(&bus);
        if (r != 0)
                return r;

        r = request_new(bus, &request, &message);
        if (r >= 0)
                r = append_settings(message, options->runtime, &settings, ids);
        if (r < 0)
                return request_failed(&request, r);

        r = change(options, bus, &request, message);
        if (r == 0 && !options->json)
                print_set(&options->terminal, &settings, ids, options->runtime);
        return r;
}

/* pause, resume */

static const Request pause_for = {
        .member = "PauseFor",
        .purpose = "pause wbwatchd",
        .action = "org.wbwatch1.pause",
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
        if (usec == USEC_INFINITY)
                printf("Paused until `wbctl resume`: wbwatchd detects and reports stalls, but makes no "
                       "automatic sync.\n");
        else {
                uint64_t now_usec = usec_now(CLOCK_REALTIME);
                g_autofree char *until = time_format(usec_add(now_usec, usec), now_usec);

                printf("Paused until %s: wbwatchd detects and reports stalls, but makes no automatic sync.\n",
                       until);
        }
}

int verb_pause(const Options *options, char **arguments) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        uint64_t usec = USEC_INFINITY;
        int r = 0;

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

int verb_resume(const Options *options, char **arguments) {
        static const Request request = {
                .member = "Resume",
                .purpose = "resume wbwatchd's work",
                .action = "org.wbwatch1.pause",
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
                printf("Resumed.\n");
        return r;
}
