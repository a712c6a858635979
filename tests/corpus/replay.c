/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Replays traces through the engine, and prints its decisions and whether the expectations hold. */

#include <getopt.h>
#include <glib.h>
#include <inttypes.h>
#include <stdio.h>

#include "trace.h"

/* Exit codes: an expectation does not hold; a malformed trace or command line. */
#define EXIT_FAILS 1
#define EXIT_MALFORMED 2

#define PHASE_MSEC_MAX (USEC_PER_DAY / USEC_PER_MSEC)

typedef struct Arguments {
        ReplayOptions replay;
        GPtrArray *settings; /* NAME=VALUE */
} Arguments;

static void print_help(void) {
        printf("replay [OPTION...] TRACE...\n\n"
               "Replay traces over the engine of wbwatchd with a fake clock, print each decision\n"
               "with its time in the trace, and check what the trace expects.\n\n"
               "  --phase MS         Begin each trace MS milliseconds after an idle scan\n"
               "  --no-events        Receive no thread creation events\n"
               "  --set NAME=VALUE   Change a setting, as in wbwatch.conf(5)\n"
               "  --help             Show this help\n\n"
               "Exit status: 0 all that is expected holds, 1 it does not, 2 a malformed trace.\n");
}

static void print_note(int64_t time_msec, const char *text, void *userdata) {
        printf("%10" PRId64 " ms  %s\n", time_msec, text);
}

static bool parse_phase(const char *text, uint64_t *ret_usec) {
        guint64 msec;

        if (!g_ascii_string_to_unsigned(text, 10, 0, PHASE_MSEC_MAX, &msec, NULL))
                return false;

        *ret_usec = msec * USEC_PER_MSEC;
        return true;
}

/* Returns 0; 1 if the program must end with success; -EINVAL after an error was printed. */
static int parse_arguments(int argc, char *argv[], Arguments *arguments) {
        enum {
                OPTION_PHASE = 1,
                OPTION_NO_EVENTS,
                OPTION_SET,
                OPTION_HELP,
        };
        static const struct option options[] = {
                { "phase", required_argument, NULL, OPTION_PHASE },
                { "no-events", no_argument, NULL, OPTION_NO_EVENTS },
                { "set", required_argument, NULL, OPTION_SET },
                { "help", no_argument, NULL, OPTION_HELP },
                {},
        };
        int option;

        while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (option) {
                case OPTION_PHASE:
                        if (!parse_phase(optarg, &arguments->replay.phase_usec)) {
                                fprintf(stderr, "replay: --phase %s: not a number from 0 to %" PRIu64 "\n",
                                        optarg, PHASE_MSEC_MAX);
                                return -EINVAL;
                        }
                        break;
                case OPTION_NO_EVENTS:
                        arguments->replay.events = false;
                        break;
                case OPTION_SET:
                        g_ptr_array_add(arguments->settings, optarg);
                        break;
                case OPTION_HELP:
                        print_help();
                        return 1;
                default:
                        return -EINVAL;
                }

        if (optind == argc) {
                fprintf(stderr, "replay: no trace is named; --help says more\n");
                return -EINVAL;
        }

        return 0;
}

static void print_outcomes(const ReplayResult *result) {
        const char *separator = "";

        printf(", outcomes ");
        for (EpisodeOutcome outcome = OUTCOME_ONGOING; outcome <= OUTCOME_OUTLIVED; outcome++)
                if (result->n_outcomes[outcome] > 0) {
                        printf("%s%u %s", separator, result->n_outcomes[outcome],
                               episode_outcome_to_string(outcome));
                        separator = " + ";
                }
        if (*separator == '\0')
                putchar('-');
}

static void print_result(const Trace *trace, const ReplayResult *result, const char *failed) {
        printf("%s: called ", trace_name(trace));
        if (result->called)
                printf("%" PRIu64, result->called_usec / USEC_PER_MSEC);
        else
                printf("never");

        printf(", rule %s, syncs %u", result->called ? engine_rule_to_string(result->rule) : "-",
               result->n_syncs);
        print_outcomes(result);
        printf(", waiting %s, useless %s, ", result->waiting_told ? "told" : "-",
               result->useless_told ? "told" : "-");

        if (failed)
                printf("FAILS: %s\n", failed);
        else
                printf("ok\n");
}

/* An exit code. */
static int replay_file(const char *path, const Arguments *arguments) {
        _cleanup_(trace_freep) Trace *trace = NULL;
        g_autofree char *error = NULL, *failed = NULL;
        ReplayResult result;

        if (trace_load(path, &trace, &error) < 0) {
                fprintf(stderr, "%s\n", error);
                return EXIT_MALFORMED;
        }

        for (size_t i = 0; i < arguments->settings->len; i++)
                if (trace_set(trace, g_ptr_array_index(arguments->settings, i), &error) < 0) {
                        fprintf(stderr, "replay: --set %s\n", error ?: "out of memory");
                        return EXIT_MALFORMED;
                }

        if (trace_replay(trace, &arguments->replay, &result) < 0) {
                fprintf(stderr, "replay: out of memory\n");
                return EXIT_MALFORMED;
        }

        failed = trace_check(trace, &result, arguments->replay.events);
        print_result(trace, &result, failed);
        return failed ? EXIT_FAILS : EXIT_SUCCESS;
}

int main(int argc, char *argv[]) {
        g_autoptr(GPtrArray) settings = g_ptr_array_new();
        Arguments arguments = {
                .replay = { .events = true, .note = print_note },
                .settings = settings,
        };
        int r, code = EXIT_SUCCESS;

        r = parse_arguments(argc, argv, &arguments);
        if (r != 0)
                return r < 0 ? EXIT_MALFORMED : EXIT_SUCCESS;

        for (int i = optind; i < argc; i++) {
                r = replay_file(argv[i], &arguments);
                code = MAX(code, r);
        }

        return code;
}
