/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The verb list: the running workers, as the daemon sees them or as wbctl itself does. */

#include <inttypes.h>

#include "client.h"
#include "connection.h"
#include "json.h"
#include "list.h"
#include "local-workers.h"
#include "values.h"
#include "verdict.h"

/* Describes a running worker's state, from the letter in stat. */
static const char *describe_worker_state(GVariant *worker) {
        const char *state = lookup_string(worker, "State");

        if (!state || !*state)
                return "?";
        return streq(state, "R") ? "spinning" : "waiting";
}

static char *lookup_span(GVariant *worker, const char *name) {
        uint64_t usec;

        return lookup_number(worker, name, &usec) ? span_format(usec) : g_strdup("?");
}

void workers_append_some(
                GString *out,
                const Terminal *terminal,
                const char *indent,
                GVariant *workers,
                size_t max) {
        static const char *const headings[] = { "PID", "STATE", "RUNNING", "CPU", "NAME", NULL };
        _cleanup_(table_freep) Table *table = table_new(ELEMENTSOF(headings) - 1);
        size_t n = g_variant_n_children(workers);

        table_set_width(table, terminal);
        table_add_all(table, headings);
        for (size_t i = 0; i < n && i < max; i++) {
                g_autoptr(GVariant) worker = g_variant_get_child_value(workers, i);

                table_add_owned(table, g_strdup_printf("%" PRIu64, lookup_number_or_zero(worker, "PID")));
                table_add(table, describe_worker_state(worker));
                table_add_owned(table, lookup_span(worker, "RunningUSec"));
                table_add_owned(table, lookup_span(worker, "CPUUSec"));
                table_add_owned(table, lookup_escaped(terminal, worker, "Name"));
        }
        table_append(table, out, indent);
        if (n > max)
                g_string_append_printf(out, "%sand %zu more: `wbctl list`\n", indent, n - max);
}

void workers_append(GString *out, const Terminal *terminal, GVariant *workers) {
        if (g_variant_n_children(workers) == 0)
                g_string_append(out, "No matching worker is running.\n");
        else
                workers_append_some(out, terminal, "", workers, SIZE_MAX);
}

bool workers_read_locally(const char *root, Answers *answers, char **ret_fault) {
        g_autofree char *proc = g_build_filename(root ?: "/", "proc", NULL);
        GVariant *properties = answers->values[QUESTION_PROPERTIES];
        const char *glob = properties ? lookup_string(properties, "Glob") : NULL;
        int r;

        if (answers->values[QUESTION_WORKERS] || destination_is_remote())
                return false;
        r = local_workers_list(
                        proc, glob ?: setting_table[SETTING_GLOB].built_in,
                        &answers->values[QUESTION_WORKERS], ret_fault);
        if (r < 0)
                *ret_fault = g_strdup_printf("cannot read %s: %s", proc, g_strerror(-r));
        /* If not all workers can be seen, "none" may be false. */
        else if (*ret_fault && g_variant_n_children(answers->values[QUESTION_WORKERS]) == 0)
                g_clear_pointer(&answers->values[QUESTION_WORKERS], g_variant_unref);
        return true;
}

static void print_workers(const Options *options, GVariant *workers, bool fault) {
        g_autoptr(GString) out = g_string_new(NULL);

        if (options->json)
                json_print(workers);
        else if (!fault || g_variant_n_children(workers) > 0)
                workers_append(out, &options->terminal, workers);
        text_print(out);
}

int verb_list(const Options *options, char **arguments) {
        _cleanup_(answers_clear) Answers answers = {};
        g_autofree char *local_fault = NULL;
        const char *fault;
        bool local;

        answers_read(&answers, 1u << QUESTION_PROPERTIES | 1u << QUESTION_WORKERS);
        local = workers_read_locally(options->root, &answers, &local_fault);
        fault = local ? local_fault : fault_of(answers.values[QUESTION_PROPERTIES]);
        if (answers.values[QUESTION_WORKERS])
                print_workers(options, answers.values[QUESTION_WORKERS], fault);

        if (answers.status != 0)
                complain("%s", answers.words);
        if (local)
                complain("Listed from %s/proc by wbctl itself.", options->root ?: "");
        if (!fault)
                return answers.status;
        complain("%s does not see all kernel workers: %s", local ? "wbctl" : "wbwatchd", fault);
        return answers.status ?: EXIT_FAILURE;
}
