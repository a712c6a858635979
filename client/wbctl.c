/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The command line of wbctl. */

#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <unistd.h>

#include "client.h"
#include "connection.h"
#include "duration.h"
#include "option-help.h"
#include "suggest.h"
#include "timestamp.h"

typedef struct Verb {
        const char *name;
        const char *arguments; /* for the help */
        const char *help;
        size_t min_arguments;
        size_t max_arguments;
        int (*run)(const Options *options, char **arguments);
        bool is_local; /* it reads files of the machine it runs on; with --host it runs there */
} Verb;

static const Verb verbs[] = {
        { "status", "", "Show state, running workers and settings (default)", 0, 0, verb_status },
        { "health", "", "Print in one line whether all is well", 0, 0, verb_health },
        { "doctor", "", "Find out whether this machine is affected", 0, 0, verb_doctor, true },
        { "list", "", "List running matching workers, longest run first", 0, 0, verb_list },
        { "episodes", "[ID]", "List stalls, or show one in full", 0, 1, verb_episodes },
        { "monitor", "", "Follow events live", 0, 0, verb_monitor },
        { "metrics", "", "Print metrics for Prometheus", 0, 0, verb_metrics },
        { "get", "[NAME...]", "Show settings and their origins", 0, SIZE_MAX, verb_get },
        { "set", "NAME=VALUE...", "Change settings permanently; all or none", 1, SIZE_MAX, verb_set },
        { "reset", "[NAME...]", "Undo settings made over the bus, all or these", 0, SIZE_MAX, verb_reset },
        { "pause", "[DURATION]", "Suspend automatic syncs, for DURATION (1h)", 0, 1, verb_pause },
        { "resume", "", "End a pause", 0, 0, verb_resume },
        { "inhibit", "COMMAND...", "Suspend automatic syncs while COMMAND runs", 1, SIZE_MAX, verb_inhibit },
        { "inhibitors", "", "List who suspends automatic syncs", 0, 0, verb_inhibitors },
        { "sync", "", "Sync now, and wait until the sync has ended", 0, 0, verb_sync },
        { "report", "", "Make an archive for a bug report", 0, 0, verb_report, true },
        { "help", "", "Show this help", 0, 0, NULL },
};

/* What the command line says. */
static Options options = { .ask_password = TRUE };

static gboolean show_version, show_help;
static const char *timeout_text;

/* More would be a mistake. */
#define TIMEOUT_MAX_USEC (7 * USEC_PER_DAY)

/* An option, and the verbs that it works with; none: all. */
typedef struct Option {
        GOptionEntry entry;
        const char *verbs[4];
} Option;

static const Option option_table[] = {
        { { "json", 0, 0, G_OPTION_ARG_NONE, &options.json, "Print JSON; monitor prints one object per line",
            NULL },
          {} },
        { { "runtime", 0, 0, G_OPTION_ARG_NONE, &options.runtime,
            "set, reset: only until the next start or reload", NULL },
          { "set", "reset" } },
        { { "until-resume", 0, 0, G_OPTION_ARG_NONE, &options.until_resume, "pause: until `wbctl resume`",
            NULL },
          { "pause" } },
        { { "who", 0, 0, G_OPTION_ARG_FILENAME, &options.who, "inhibit: as what to be listed (COMMAND)",
            "WHO" },
          { "inhibit" } },
        { { "why", 0, 0, G_OPTION_ARG_FILENAME, &options.why, "inhibit: the reason to be listed", "WHY" },
          { "inhibit" } },
        { { "filesystem", 0, 0, G_OPTION_ARG_FILENAME, &options.filesystem,
            "sync: only the filesystem that holds PATH", "PATH" },
          { "sync" } },
        { { "lines", 'n', 0, G_OPTION_ARG_STRING, &options.lines,
            "episodes: the newest N (64); status: log lines", "N" },
          { "episodes", "status" } },
        { { "since", 0, 0, G_OPTION_ARG_STRING, &options.since, "episodes: that began then or later",
            "TIME" },
          { "episodes" } },
        { { "until", 0, 0, G_OPTION_ARG_STRING, &options.until, "episodes: that began then or earlier",
            "TIME" },
          { "episodes" } },
        { { "boot", 'b', 0, G_OPTION_ARG_STRING, &options.boot,
            "episodes: of a boot: 0 is this one, -1 the one before", "[ID]" },
          { "episodes" } },
        { { "directory", 'D', 0, G_OPTION_ARG_FILENAME, &options.directory,
            "episodes: of the journal files in DIR", "DIR" },
          { "episodes" } },
        { { "quiet", 'q', 0, G_OPTION_ARG_NONE, &options.quiet, "health: print nothing", NULL },
          { "health" } },
        { { "alive", 0, 0, G_OPTION_ARG_NONE, &options.alive, "health: only whether wbwatchd answers", NULL },
          { "health" } },
        { { "nagios", 0, 0, G_OPTION_ARG_NONE, &options.nagios,
            "health: words and exit status of a Nagios plugin", NULL },
          { "health" } },
        { { "batch", 0, 0, G_OPTION_ARG_STRING, &options.batch,
            "doctor: print text, json, nrpe or prometheus", "FORMAT" },
          { "doctor" } },
        { { "root", 0, 0, G_OPTION_ARG_FILENAME, &options.root,
            "doctor, report, list, status: read the proc in DIR", "DIR" },
          { "doctor", "report", "list", "status" } },
        { { "table", 0, 0, G_OPTION_ARG_FILENAME, &options.table,
            "doctor, metrics: read this table of kernels", "FILE" },
          { "doctor", "metrics" } },
        { { "observe", 0, 0, G_OPTION_ARG_STRING, &options.observe, "doctor: how long to observe the workers",
            "DURATION" },
          { "doctor" } },
        { { "output", 'o', 0, G_OPTION_ARG_FILENAME, &options.output,
            "report, metrics: write to FILE; -: to stdout", "FILE" },
          { "report", "metrics" } },
        { { "sysrq", 0, 0, G_OPTION_ARG_NONE, &options.sysrq, "report: with backtraces; floods the console",
            NULL },
          { "report" } },
        { { "perf", 0, 0, G_OPTION_ARG_NONE, &options.perf, "report: with a profile of all CPUs, for 5 s",
            NULL },
          { "report" } },
        { { "names", 0, 0, G_OPTION_ARG_NONE, &options.names, "report: keep private names", NULL },
          { "report" } },
        { { "host", 'H', 0, G_OPTION_ARG_STRING, &options.host,
            "Connect over ssh: [USER@]HOST[:PORT][/CONTAINER]", "HOST" },
          {} },
        { { "machine", 'M', 0, G_OPTION_ARG_STRING, &options.machine, "Connect to the container NAME",
            "NAME" },
          {} },
        { { "socket", 0, 0, G_OPTION_ARG_FILENAME, &options.socket,
            "Connect to a socket of wbwatchd, not the bus", "PATH" },
          {} },
        { { "timeout", 0, 0, G_OPTION_ARG_STRING, &timeout_text, "Give up after DURATION, see wbctl(1)",
            "DURATION" },
          {} },
        { { "no-ask-password", 0, G_OPTION_FLAG_REVERSE, G_OPTION_ARG_NONE, &options.ask_password,
            "Do not prompt for a password; fail instead", NULL },
          {} },
        { { "version", 0, 0, G_OPTION_ARG_NONE, &show_version, "Print the version", NULL }, {} },
        { { "help", 'h', 0, G_OPTION_ARG_NONE, &show_help, "Show this help", NULL }, {} },
};

static char *verbs_help(void) {
        GString *text = g_string_new("Shows and controls wbwatchd, which detects stalls of kernel workers "
                                     "and syncs.\n\nVerbs:\n");

        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                g_string_append_printf(
                                text, "  %-11s%-15s%s\n", verbs[i].name, verbs[i].arguments, verbs[i].help);
        g_string_truncate(text, text->len - 1); /* GOption adds one */
        return g_string_free(text, FALSE);
}

static char *settings_help(void) {
        GString *text = g_string_new(
                        "NAME is a key of wbwatch.conf, or a D-Bus property (USec instead of Sec).\n"
                        "VALUE is written as in the file: 30s, \"1min 30s\", 500ms. A bare number is in\n"
                        "seconds for a key, in microseconds for a property.\n"
                        "TIME is written as " TIMESTAMP_FORMS ".\n\n"
                        "Settings:\n");

        for (SettingId id = 0; id < _SETTING_MAX; id++)
                g_string_append_printf(
                                text, "  %-22sdefault %s\n", setting_table[id].key,
                                setting_table[id].built_in);
        g_string_append(text, "\nExit status:\n"
                              "  0  success; health: all is well\n"
                              "  1  refused, failed, or not answered in time; status and list: wbwatchd\n"
                              "     does not see all kernel workers; health: all is not well\n"
                              "  2  invalid command line; health: it is not known\n"
                              "  3  wbwatchd is not running\n"
                              "  4  no system bus, or no connection to the host or container\n"
                              "  5  not authorized\n"
                              "  130  interrupted while waiting\n"
                              "inhibit: that of COMMAND, if it was run\n"
                              "health --nagios: 0 well, 2 not well, 3 not known\n"
                              "doctor: 0 not affected, 2 affected, 3 unknown, 255 invalid command\n"
                              "line\n"
                              "\nEnvironment: DBUS_SYSTEM_BUS_ADDRESS, NO_COLOR");
        return g_string_free(text, FALSE);
}

/* The command of `wbctl inhibit COMMAND...`, or NULL. */
static char **command;

/* EXIT_DOCTOR_USAGE if the verb is doctor. */
static int exit_usage = EXIT_USAGE;

static int usage(const char *format, ...) _printf_(1, 2);
static int usage(const char *format, ...) {
        g_autofree char *words = NULL;
        va_list arguments;

        va_start(arguments, format);
        words = g_strdup_vprintf(format, arguments);
        va_end(arguments);
        complain("%s. See `wbctl --help`.", words);
        return exit_usage;
}

static const Verb *find_verb(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (streq(name, verbs[i].name))
                        return &verbs[i];
        return NULL;
}

static bool option_is_given(const Option *option) {
        if (option->entry.arg == G_OPTION_ARG_NONE)
                return *(const gboolean *) option->entry.arg_data;
        return *(char *const *) option->entry.arg_data != NULL;
}

static bool option_works_with(const Option *option, const Verb *verb) {
        for (size_t i = 0; i < ELEMENTSOF(option->verbs) && option->verbs[i]; i++)
                if (streq(option->verbs[i], verb->name))
                        return true;
        return false;
}

/* As in "doctor, report and list". */
static char *format_verbs(const Option *option) {
        GString *names = g_string_new(option->verbs[0]);

        for (size_t i = 1; i < ELEMENTSOF(option->verbs) && option->verbs[i]; i++) {
                bool is_last = i + 1 == ELEMENTSOF(option->verbs) || !option->verbs[i + 1];

                g_string_append_printf(names, "%s%s", is_last ? " and " : ", ", option->verbs[i]);
        }
        return g_string_free(names, FALSE);
}

/* Returns 0 or an exit status. */
static int check_options(const Verb *verb) {
        for (size_t i = 0; i < ELEMENTSOF(option_table); i++) {
                const Option *option = &option_table[i];
                g_autofree char *names = NULL;

                if (!option->verbs[0] || !option_is_given(option) || option_works_with(option, verb))
                        continue;
                names = format_verbs(option);
                return usage("--%s works with %s only, not with %s", option->entry.long_name, names,
                             verb->name);
        }
        return 0;
}

/* Sets where wbwatchd is, and how long to wait. Returns 0 or an exit status. */
static int apply_destination(void) {
        g_autofree char *words = destination_set(options.socket, options.host, options.machine);
        uint64_t timeout_usec;

        if (words)
                return usage("%s", words);
        if (!timeout_text)
                return 0;
        if (parse_duration(timeout_text, USEC_PER_SEC, &timeout_usec) < 0)
                return usage("--timeout: \"%s\" is not a duration", timeout_text);
        if (timeout_usec < USEC_PER_MSEC || timeout_usec > TIMEOUT_MAX_USEC)
                return usage("--timeout: \"%s\" is not from 1ms to 7d", timeout_text);
        connection_set_timeout(timeout_usec);
        return 0;
}

/* What reads files of this machine says nothing about another one. */
static int check_destination(const Verb *verb) {
        const char *option = options.boot                                   ? "boot"
                             : options.directory                            ? "directory"
                             : options.lines && streq(verb->name, "status") ? "lines"
                                                                            : NULL;

        if (!destination_is_remote())
                return 0;
        if (verb->is_local && destination_is_container())
                return usage("%s examines the machine it runs on, and does not work for a container: examine "
                             "the machine itself",
                             verb->name);
        if (options.root && !verb->is_local)
                return usage("--root reads files of this machine, and does not work with --host and "
                             "--machine");
        if (option)
                return usage("--%s needs the journal, which --host and --machine do not read: run wbctl "
                             "there, as in `ssh HOST wbctl %s --%s=...`",
                             option, verb->name, option);
        return 0;
}

/* How the command line runs an examining verb on the host; NULL: it runs here. The file of the output is a
 * matter of this machine. To be freed. */
static char **words_for_host(const Verb *verb) {
        GPtrArray *words;

        if (!verb->is_local || destination_get()->kind != DESTINATION_HOST)
                return NULL;

        words = g_ptr_array_new();
        g_ptr_array_add(words, g_strdup(verb->name));
        for (size_t i = 0; i < ELEMENTSOF(option_table); i++) {
                const GOptionEntry *entry = &option_table[i].entry;

                if (!option_is_given(&option_table[i]) || entry->arg_data == &options.host ||
                    entry->arg_data == &options.output || entry->arg_data == &options.ask_password)
                        continue;
                g_ptr_array_add(words, entry->arg == G_OPTION_ARG_NONE
                                                       ? g_strdup_printf("--%s", entry->long_name)
                                                       : g_strdup_printf("--%s=%s", entry->long_name,
                                                                         *(char **) entry->arg_data));
        }
        if (streq(verb->name, "report"))
                g_ptr_array_add(words, g_strdup("--output=-"));
        g_ptr_array_add(words, NULL);
        return (char **) g_ptr_array_free(words, FALSE);
}

static char *suggest_verb(const char *name) {
        const char *names[ELEMENTSOF(verbs) + 1] = {};

        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                names[i] = verbs[i].name;
        return suggest_words(name, names);
}

static char *suggest_option(const GError *error) {
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
        const char *option = strstr(error->message, "--");

        if (!g_error_matches(error, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION) || !option)
                return g_strdup("");
        for (size_t i = 0; i < ELEMENTSOF(option_table); i++)
                g_ptr_array_add(names, g_strdup_printf("--%s", option_table[i].entry.long_name));
        g_ptr_array_add(names, NULL);
        return suggest_words(option, (const char *const *) names->pdata);
}

static int run(GOptionContext *context, char **arguments) {
        g_auto(GStrv) words = NULL;
        const char *name = arguments[0] ?: "status";
        const Verb *verb = find_verb(name);
        size_t n;
        int r;

        if (!verb) {
                g_autofree char *suggestion = suggest_verb(name);

                return usage("Unknown verb \"%s\"%s", name, suggestion);
        }
        if (arguments[0])
                arguments++;
        if (command)
                arguments = command;
        n = g_strv_length(arguments);

        if (n < verb->min_arguments)
                return usage("%s %s: an argument is missing", verb->name, verb->arguments);
        if (n > verb->max_arguments)
                return usage("Unexpected argument \"%s\"", arguments[verb->max_arguments]);
        r = check_options(verb);
        if (r != 0)
                return r;

        r = check_destination(verb);
        if (r != 0)
                return r;

        if (!verb->run) {
                option_help_print(context);
                return EXIT_SUCCESS;
        }
        words = words_for_host(verb);
        options.there = (const char *const *) words;
        options.terminal = terminal_detect();
        return verb->run(&options, arguments);
}

/* GOption would accept --json=off as --json. */
static const char *find_flag_with_value(char **arguments) {
        for (; *arguments && !streq(*arguments, "--"); arguments++)
                for (size_t i = 0; i < ELEMENTSOF(option_table); i++) {
                        const GOptionEntry *entry = &option_table[i].entry;
                        size_t length = strlen(entry->long_name);

                        if (entry->arg == G_OPTION_ARG_NONE && g_str_has_prefix(*arguments, "--") &&
                            strncmp(*arguments + 2, entry->long_name, length) == 0 &&
                            (*arguments)[2 + length] == '=')
                                return entry->long_name;
                }
        return NULL;
}

/* Of an option whose value may be missing GOption would take the next argument as the value. */
static void complete_boot(char **arguments) {
        for (; *arguments && !streq(*arguments, "--"); arguments++)
                if (streq(*arguments, "--boot") || streq(*arguments, "-b"))
                        *arguments = (char *) "--boot=0";
}

/* Whether the value of an option is the argument behind it. */
static bool has_value_behind(const char *argument) {
        for (size_t i = 0; i < ELEMENTSOF(option_table); i++) {
                const GOptionEntry *entry = &option_table[i].entry;
                const char short_name[] = { '-', entry->short_name, '\0' };

                if (entry->arg != G_OPTION_ARG_NONE &&
                    ((g_str_has_prefix(argument, "--") && streq(argument + 2, entry->long_name)) ||
                     (entry->short_name && streq(argument, short_name))))
                        return true;
        }
        return false;
}

/* Splits the command off `wbctl inhibit COMMAND...`: it begins with the first word that is not an option, or
 * behind "--". The options after that word are the command's own. */
static void split_command(int *argc, char **argv) {
        bool found_verb = false;
        int i;

        for (i = 1; i < *argc && !(found_verb && streq(argv[i], "--")); i++)
                if (has_value_behind(argv[i]))
                        i++;
                else if (argv[i][0] != '-' && found_verb)
                        break;
                else if (argv[i][0] != '-') {
                        if (!streq(argv[i], "inhibit"))
                                return;
                        found_verb = true;
                }
        if (i >= *argc)
                return;

        command = g_strdupv(argv + i + (streq(argv[i], "--") ? 1 : 0));
        *argc = i;
        argv[i] = NULL;
}

static GOptionContext *context_new(void) {
        GOptionContext *context = g_option_context_new("[VERB [ARGUMENT...]]");
        GOptionEntry entries[ELEMENTSOF(option_table) + 1] = {};
        g_autofree char *summary = verbs_help(), *description = settings_help();

        for (size_t i = 0; i < ELEMENTSOF(option_table); i++)
                entries[i] = option_table[i].entry;
        g_option_context_set_help_enabled(context, FALSE); /* see option_help_print() */
        g_option_context_set_summary(context, summary);
        g_option_context_set_description(context, description);
        g_option_context_add_main_entries(context, entries, NULL);
        return context;
}

/* So that no other file becomes one of the three that who started wbctl has closed. They still can't be used.
 */
static void open_standard_files(void) {
        int fd;

        do
                fd = open("/dev/null", O_PATH);
        while (fd >= 0 && fd <= STDERR_FILENO);
        if (fd >= 0)
                (void) close(fd);
}

int main(int argc, char **argv) {
        g_autoptr(GOptionContext) context = NULL;
        g_autoptr(GError) error = NULL;
        const char *flag;
        int status = EXIT_SUCCESS;

        open_standard_files();
        (void) setlocale(LC_CTYPE, "");
        context = context_new();
        if (g_strv_contains((const char *const *) argv + 1, "doctor"))
                exit_usage = EXIT_DOCTOR_USAGE;

        split_command(&argc, argv);
        complete_boot(argv + 1);
        flag = find_flag_with_value(argv + 1);
        if (flag)
                return usage("--%s takes no value", flag);
        if (!g_option_context_parse(context, &argc, &argv, &error)) {
                g_autofree char *suggestion = suggest_option(error);

                return usage("%s%s", error->message, suggestion);
        }

        if (show_help)
                option_help_print(context);
        else if (show_version)
                printf("wbctl %s\n", WBWATCH_VERSION);
        else
                status = apply_destination() ?: run(context, argv + 1);

        if (fflush(stdout) != 0 || ferror(stdout)) {
                complain("Cannot write the output: %s.", g_strerror(errno));
                return status == EXIT_SUCCESS ? EXIT_FAILURE : status;
        }
        return status;
}
