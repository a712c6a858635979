/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The part of a report about the kernel workers. */

#include <inttypes.h>

#include "local-workers.h"
#include "report-writers.h"
#include "root-file.h"
#include "terminal.h"

/* Several scans, since the workers of a stall flicker. */
#define N_SCANS 5

/* Files of more workers are not read: the others do the same. */
#define DETAILED_MAX 32

/* The sentence with which a report begins. */
static void write_sentence(const char *root, const Tally *tally, FILE *out) {
        const WorkTally *work = tally_find(tally, "inode_switch_wbs");
        g_autofree char *release = NULL;

        if (!work)
                (void) fputs("No kernel worker runs inode_switch_wbs now", out);
        else if (work->most_spinning == 0)
                (void) fprintf(out, "No kernel worker spins in inode_switch_wbs now; up to %u wait",
                               work->most_waiting);
        else
                (void) fprintf(out,
                               "Up to %u kernel worker%s in inode_switch_wbs at the same time (%u of %u "
                               "scans)",
                               work->most_spinning, work->most_spinning == 1 ? " spins" : "s spin",
                               work->n_scans_spinning, tally->n_scans);
        if (root_file_read(root, "proc/sys/kernel/osrelease", &release) >= 0)
                (void) fprintf(out, ", Linux %s", g_strchomp(release));
        (void) fputs(".\n", out);
}

static void write_works(const Tally *tally, FILE *out) {
        _cleanup_(table_freep) Table *table = table_new(5);
        g_autoptr(GString) text = g_string_new(NULL);
        uint64_t usec = tally->end_usec - tally->begin_usec;

        if (tally->works->len == 0)
                return;
        table_add(table, "SPINNING");
        table_add(table, "WAITING");
        table_add(table, "SCANS");
        table_add(table, "CPU");
        table_add(table, "WORK");
        for (size_t i = 0; i < tally->works->len; i++) {
                const WorkTally *work = tally->works->pdata[i];

                table_add_owned(table, g_strdup_printf("%u", work->most_spinning));
                table_add_owned(table, g_strdup_printf("%u", work->most_waiting));
                table_add_owned(table, g_strdup_printf("%u of %u", work->n_scans_spinning, tally->n_scans));
                table_add_owned(table, g_strdup_printf("%" PRIu64 "%%", work->cpu_usec * 100 / MAX(usec, 1)));
                table_add(table, work->work);
        }
        table_append(table, text, "");
        (void) fprintf(out,
                       "\nRunning workers: the most at once, in how many scans one was spinning, CPU time "
                       "in\n"
                       "percent of one CPU.\n\n%s",
                       text->str);
}

static void write_worker(const char *root, const Worker *worker, FILE *out) {
        static const char *const files[] = { "stat", "wchan", "stack", "sched" };

        (void) fprintf(out, "\n%s (pid %d, state %c)\n", worker->name, (int) worker->pid, worker->state);
        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                g_autofree char *path = g_strdup_printf("proc/%d/%s", (int) worker->pid, files[i]),
                                *text = NULL;
                int r = root_file_read(root, path, &text);

                (void) fprintf(out, "%s: %s\n", files[i], r < 0 ? errno_text(-r) : g_strchomp(text));
        }
        (void) fflush(out);
}

int report_write_workers(const ReportOptions *options, const char *const *arguments, FILE *out) {
        g_autofree char *proc = g_build_filename(options->root, "proc", NULL), *fault = NULL;
        _cleanup_(tally_freep) Tally *tally = tally_new();
        int r;

        r = local_workers_observe(proc, N_SCANS, /* end_usec= */ 0, tally, &fault);
        if (r < 0)
                return r;

        write_sentence(options->root, tally, out);
        if (fault)
                (void) fprintf(out, "Not all workers can be seen: %s\n", fault);
        write_works(tally, out);
        (void) fprintf(out, "\nThe workers of the last scan. The stack of a spinning one is often empty.\n");
        for (size_t i = 0; i < MIN(tally->last->len, DETAILED_MAX); i++)
                write_worker(options->root, &g_array_index(tally->last, Worker, i), out);
        if (tally->last->len > DETAILED_MAX)
                (void) fprintf(out, "\nand %u more\n", tally->last->len - DETAILED_MAX);
        return 0;
}
