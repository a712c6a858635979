/* SPDX-License-Identifier: GPL-3.0-or-later */

/* wbctl shows and controls wbwatchd: the command line, and nothing else. */

#include <locale.h>
#include <stdio.h>

#include "client.h"

typedef struct Verb {
        const char *name;
        const char *arguments; /* for the help */
        const char *help;
        size_t min_arguments;
        size_t max_arguments;
        int (*run)(const Options *options, char **arguments);
} Verb;

static const Verb verbs[] = {
        { "status", "", "Whether all is well, and why; the settings (default)", 0, 0, verb_status },
        { "list", "", "The matching workers that are running, the longest run first", 0, 0, verb_list },
        { "episodes", "", "The stalls, and whether syncs helped", 0, 0, verb_episodes },
        { "monitor", "", "Follow events live", 0, 0, verb_monitor },
        { "set", "NAME=VALUE...", "Change settings permanently, all or none of them", 1, SIZE_MAX, verb_set },
        { "pause", "[DURATION]", "Suspend automatic syncs, for DURATION or until resumed", 0, 1, verb_pause },
        { "resume", "", "End a pause", 0, 0, verb_resume },
        { "sync", "", "Sync now, and wait until the sync has ended", 0, 0, verb_sync },
        { "help", "", "Show this help", 0, 0, NULL },
};

static char *verbs_help(void) {
        GString *text = g_string_new("Shows and controls wbwatchd, which detects stalls of kernel workers "
                                     "and syncs.\n\nVerbs:\n");

        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                g_string_append_printf(
                                text, "  %-9s%-15s%s\n", verbs[i].name, verbs[i].arguments, verbs[i].help);
        g_string_truncate(text, text->len - 1); /* GOption adds one */
        return g_string_free(text, FALSE);
}

static char *settings_help(void) {
        GString *text = g_string_new(
                        "NAME is a key of wbwatch.conf, or a property of the bus, with USec for Sec.\n"
                        "VALUE is spelled as in the file: 30s, \"1min 30s\", 500ms. A bare number is in\n"
                        "seconds for a key, in microseconds for a property.\n\n"
                        "Settings:\n");

        for (SettingId id = 0; id < _SETTING_MAX; id++)
                g_string_append_printf(
                                text, "  %-22sdefault %s\n", setting_table[id].key,
                                setting_table[id].built_in);
        g_string_append(text, "\nExit status:\n"
                              "  0  success\n"
                              "  1  refused, failed, or not answered in time; status and list: wbwatchd "
                              "does not see\n"
                              "     all kernel workers\n"
                              "  2  the command line is wrong\n"
                              "  3  wbwatchd is not running, and could not be started\n"
                              "  4  there is no bus\n"
                              "  5  not authorized\n"
                              "  130  interrupted while waiting\n"
                              "\nEnvironment: DBUS_SYSTEM_BUS_ADDRESS, NO_COLOR");
        return g_string_free(text, FALSE);
}

static int usage(const char *format, ...) _printf_(1, 2);
static int usage(const char *format, ...) {
        g_autofree char *words = NULL;
        va_list arguments;

        va_start(arguments, format);
        words = g_strdup_vprintf(format, arguments);
        va_end(arguments);
        complain("%s. See `wbctl --help`.", words);
        return EXIT_USAGE;
}

static const Verb *find_verb(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (streq(name, verbs[i].name))
                        return &verbs[i];
        return NULL;
}

static int run(const Options *options, GOptionContext *context, char **arguments) {
        const char *name = arguments[0] ?: "status";
        const Verb *verb = find_verb(name);
        size_t n;

        if (!verb)
                return usage("There is no verb \"%s\"", name);
        if (arguments[0])
                arguments++;
        n = g_strv_length(arguments);

        if (n < verb->min_arguments)
                return usage("%s needs %s", verb->name, verb->arguments);
        if (n > verb->max_arguments)
                return usage("Unexpected argument \"%s\"", arguments[verb->max_arguments]);
        if (options->runtime && verb->run != verb_set)
                return usage("--runtime works with set only, not with %s", verb->name);
        if (options->filesystem && verb->run != verb_sync)
                return usage("--filesystem works with sync only, not with %s", verb->name);

        if (!verb->run) {
                g_autofree char *help = g_option_context_get_help(context, TRUE, NULL);

                g_print("%s", help);
                return EXIT_SUCCESS;
        }
        return verb->run(options, arguments);
}

/* GOption would take --json=off for --json. */
static const char *find_flag_with_value(const GOptionEntry *entries, char **arguments) {
        for (; *arguments && !streq(*arguments, "--"); arguments++)
                for (const GOptionEntry *entry = entries; entry->long_name; entry++) {
                        size_t length = strlen(entry->long_name);

                        if (entry->arg == G_OPTION_ARG_NONE && g_str_has_prefix(*arguments, "--") &&
                            strncmp(*arguments + 2, entry->long_name, length) == 0 &&
                            (*arguments)[2 + length] == '=')
                                return entry->long_name;
                }
        return NULL;
}

int main(int argc, char **argv) {
        g_autofree char *filesystem = NULL;
        gboolean json = FALSE, runtime = FALSE, no_ask_password = FALSE, version = FALSE;
        const GOptionEntry entries[] = {
                { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON; monitor prints one object per line",
                  NULL },
                { "runtime", 0, 0, G_OPTION_ARG_NONE, &runtime,
                  "set: only until wbwatchd is started or reloaded", NULL },
                { "filesystem", 0, 0, G_OPTION_ARG_FILENAME, &filesystem,
                  "sync: only the filesystem that holds PATH", "PATH" },
                { "no-ask-password", 0, 0, G_OPTION_ARG_NONE, &no_ask_password,
                  "Fail where a password would be requested", NULL },
                { "version", 0, 0, G_OPTION_ARG_NONE, &version, "Print the version", NULL },
                { 0 },
        };
        g_autoptr(GOptionContext) context = g_option_context_new("[VERB [ARGUMENT...]]");
        g_autofree char *summary = verbs_help(), *description = settings_help();
        g_autoptr(GError) error = NULL;
        const char *flag;
        int status;

        (void) setlocale(LC_CTYPE, "");
        g_option_context_set_summary(context, summary);
        g_option_context_set_description(context, description);
        g_option_context_add_main_entries(context, entries, NULL);

        flag = find_flag_with_value(entries, argv + 1);
        if (flag)
                return usage("--%s takes no value", flag);
        if (!g_option_context_parse(context, &argc, &argv, &error))
                return usage("%s", error->message);
        if (version) {
                printf("wbctl %s\n", WBWATCH_VERSION);
                status = EXIT_SUCCESS;
        } else {
                const Options options = {
                        .json = json,
                        .runtime = runtime,
                        .ask_password = !no_ask_password,
                        .filesystem = filesystem,
                        .terminal = terminal_detect(),
                };

                status = run(&options, context, argv + 1);
        }

        if (fflush(stdout) != 0 || ferror(stdout)) {
                complain("Cannot write the output: %s.", g_strerror(errno));
                return status == EXIT_SUCCESS ? EXIT_FAILURE : status;
        }
        return status;
}
