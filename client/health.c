/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The verb health: one line and an exit status, for probes and monitoring systems. */

#include <stdio.h>

#include "client.h"
#include "connection.h"
#include "json.h"
#include "verdict.h"

/* What node-problem-detector keeps of the first line. */
#define LINE_BYTES 80

typedef enum Health {
        HEALTH_OK,
        HEALTH_NOT_OK,
        HEALTH_UNKNOWN,
} Health;

static const char *const health_names[] = {
        [HEALTH_OK] = "OK",
        [HEALTH_NOT_OK] = "NOT OK",
        [HEALTH_UNKNOWN] = "UNKNOWN",
};

/* Of Nagios plugins, in the same order. */
static const char *const nagios_names[] = { "OK", "CRITICAL", "UNKNOWN" };
static const int nagios_statuses[] = { 0, 2, 3 };

static Health health_of(Verdict verdict) {
        switch (verdict) {
        case VERDICT_WELL:
        case VERDICT_RUNNING:
        case VERDICT_RECOVERY:
        case VERDICT_SYNCING:
                return HEALTH_OK;
        case VERDICT_FAULT:
        case VERDICT_GLOB:
        case VERDICT_UNKNOWN:
                return HEALTH_UNKNOWN;
        default:
                return HEALTH_NOT_OK;
        }
}

static const char *describe_missing(const Answers *answers) {
        switch (answers->status) {
        case EXIT_NO_DAEMON:
                return "wbwatchd is not running";
        case EXIT_NO_BUS:
                return destination_is_remote() ? "no connection to the host or container"
                                               : "no system bus, or it does not answer";
        case EXIT_NOT_AUTHORIZED:
                return "not authorized to ask wbwatchd";
        default:
                return answers->silent ? "wbwatchd does not answer" : "wbwatchd answered with an error";
        }
}

/* For a liveness probe. An error is an answer, too; and without the bus, it cannot be known. */
static Health judge_alive(const Answers *answers, char **ret_words) {
        bool failed = answers->status == EXIT_FAILURE;

        *ret_words = g_strdup(answers->status == 0 ? "wbwatchd answers" : describe_missing(answers));
        if (answers->status == 0 || (failed && !answers->silent))
                return HEALTH_OK;
        return failed || answers->status == EXIT_NO_DAEMON ? HEALTH_NOT_OK : HEALTH_UNKNOWN;
}

static Health judge_health(const Options *options, const Answers *answers, char **ret_words) {
        GVariant *properties = answers->values[QUESTION_PROPERTIES];
        _cleanup_(facts_done) Facts facts = {};

        if (!properties) {
                *ret_words = g_strdup(describe_missing(answers));
                return HEALTH_UNKNOWN;
        }
        facts =
                        facts_new(&options->terminal, properties, answers->values[QUESTION_EPISODES],
                                  usec_now(CLOCK_REALTIME));
        *ret_words = verdict_summarize(&facts);
        return health_of(verdict_of(&facts));
}

char *health_format(const char *name, const char *words) {
        char *line = g_strdup_printf("%s: %s", name, words);
        size_t length = strlen(line);

        if (length > LINE_BYTES) {
                for (length = LINE_BYTES; (line[length] & 0xc0) == 0x80;)
                        length--; /* not within a character */
                line[length] = '\0';
        }
        return line;
}

static void print_health(const Options *options, const char *name, const char *words) {
        g_autofree char *line = NULL;
        g_autoptr(GVariant) value = NULL;

        if (options->json) {
                value = g_variant_ref_sink(
                                g_variant_new_parsed("{'Health': <%s>, 'Message': <%s>}", name, words));
                json_print(value);
                return;
        }
        line = health_format(name, words);
        printf("%s\n", line);
}

int verb_health(const Options *options, char **arguments) {
        _cleanup_(answers_clear) Answers answers = {};
        g_autofree char *words = NULL;
        Health health;

        answers_read(&answers, 1u << QUESTION_PROPERTIES | (options->alive ? 0 : 1u << QUESTION_EPISODES));
        health = options->alive ? judge_alive(&answers, &words) : judge_health(options, &answers, &words);
        if (!options->quiet)
                print_health(options, (options->nagios ? nagios_names : health_names)[health], words);
        return options->nagios ? nagios_statuses[health] : (int) health;
}
