/* SPDX-License-Identifier: GPL-3.0-or-later */

/* One episode in full, for `wbctl episodes ID`. */

#include <inttypes.h>

#include "client.h"
#include "evidence.h"
#include "plot.h"
#include "values.h"

/* Columns of the table of evidence: with more of them it would not fit into 80 columns. */
#define EVIDENCE_SYNCS_MAX 4

/* The evidence of an episode or a sync; empty if it has none. */
static GVariant *lookup_evidence(GVariant *dictionary) {
        return g_variant_lookup_value(dictionary, "Evidence", G_VARIANT_TYPE_VARDICT)
                               ?: g_variant_ref_sink(g_variant_new("a{sv}", NULL));
}

static void facts_append(GString *out, const Terminal *terminal, GVariant *episode, uint64_t now_usec) {
        _cleanup_(table_freep) Table *table = table_new(2);
        g_autofree char *rule = lookup_escaped(terminal, episode, "Rule");
        const char *boot_id = lookup_string(episode, "BootID");
        uint64_t end_usec;

        table_add(table, "Began");
        table_add_owned(table, time_format(lookup_number_or_zero(episode, "StartUSec"), now_usec));
        if (lookup_number(episode, "EndUSec", &end_usec)) {
                table_add(table, "Ended");
                table_add_owned(table, time_format(end_usec, now_usec));
        }
        table_add(table, "Rule");
        table_add(table, rule);
        table_add(table, "At most");
        table_add_owned(table, g_strdup_printf("%" PRIu64 " running, %" PRIu64 " spinning, %" PRIu64
                                               " waiting at once",
                                               lookup_number_or_zero(episode, "WorkerCount"),
                                               lookup_number_or_zero(episode, "SpinningMax"),
                                               lookup_number_or_zero(episode, "WaitingMax")));
        if (boot_id) {
                table_add(table, "Boot");
                table_add_owned(table, terminal_escape(terminal, boot_id));
        }
        table_append(table, out, "  ");
}

/* Syncs */

/* Who or what caused it. */
static const char *describe_cause(GVariant *sync) {
        if (lookup_true(sync, "DryRun"))
                return "dry run";
        return lookup_true(sync, "Requested") ? "requested" : "automatic";
}

static char *lookup_or(const Terminal *terminal, GVariant *sync, const char *name, const char *otherwise) {
        const char *value = lookup_string(sync, name);

        return terminal_escape(terminal, value && *value ? value : otherwise);
}

static void syncs_append(GString *out, const Terminal *terminal, GVariant *syncs, uint64_t start_usec) {
        static const char *const headings[] = { "SYNC",   "AFTER",  "TOOK",  "RESULT",
                                                "HELPED", "METHOD", "CAUSE", NULL };
        _cleanup_(table_freep) Table *table = table_new(ELEMENTSOF(headings) - 1);

        table_add_all(table, headings);
        for (size_t i = 0; i < g_variant_n_children(syncs); i++) {
                g_autoptr(GVariant) sync = g_variant_get_child_value(syncs, i);

                table_add_owned(table, g_strdup_printf("%" PRIu64, lookup_number_or_zero(sync, "Id")));
                table_add_owned(table,
                                span_format(usec_subtract(
                                                lookup_number_or_zero(sync, "StartUSec"), start_usec)));
                table_add_owned(table, span_format(lookup_number_or_zero(sync, "DurationUSec")));
                table_add_owned(table, lookup_or(terminal, sync, "Result", "-"));
                table_add_owned(table, lookup_or(terminal, sync, "Helped", "-"));
                table_add_owned(table, lookup_or(terminal, sync, "Method", "-"));
                table_add(table, describe_cause(sync));
        }
        g_string_append(out, "\nSyncs:\n");
        table_append(table, out, "  ");
}

static void sync_filesystems_append(GString *out, const Terminal *terminal, GVariant *sync) {
        g_autoptr(GVariant) filesystems = lookup_list(sync, "Filesystems");

        for (size_t i = 0; filesystems && i < g_variant_n_children(filesystems); i++) {
                g_autoptr(GVariant) filesystem = g_variant_get_child_value(filesystems, i);
                g_autofree char *text = filesystem_format(terminal, filesystem, 0);

                g_string_append_printf(
                                out, "  sync %" PRIu64 ": %s\n", lookup_number_or_zero(sync, "Id"), text);
        }
}

static void filesystems_of_syncs_append(GString *out, const Terminal *terminal, GVariant *syncs) {
        g_autoptr(GString) lines = g_string_new(NULL);

        for (size_t i = 0; i < g_variant_n_children(syncs); i++) {
                g_autoptr(GVariant) sync = g_variant_get_child_value(syncs, i);

                sync_filesystems_append(lines, terminal, sync);
        }
        if (lines->len > 0)
                g_string_append_printf(out, "\nFilesystems:\n%s", lines->str);
}

/* Evidence */

static char *evidence_number_format(const EvidenceInfo *info, uint64_t value) {
        switch (info->unit) {
        case EVIDENCE_UNIT_BYTES:
                return bytes_format(value);
        case EVIDENCE_UNIT_USEC:
                return span_format(value);
        default:
                return g_strdup_printf("%" PRIu64, value);
        }
}

/* A value, or of a total by how much it has grown since the start; "-" if it is missing. */
static char *evidence_cell(const EvidenceInfo *info, GVariant *evidence, GVariant *start) {
        g_autofree char *text = NULL;
        uint64_t value, before;
        double percent;

        if (lookup_double(evidence, info->key, &percent))
                return g_strdup_printf("%.1f %%", percent);
        if (!lookup_number(evidence, info->key, &value))
                return g_strdup("-");
        if (!info->is_total)
                return evidence_number_format(info, value);
        if (evidence == start || !lookup_number(start, info->key, &before))
                return g_strdup("-");
        text = evidence_number_format(info, usec_subtract(value, before));
        return g_strconcat("+", text, NULL);
}

/* The evidence of the start of the episode, and of its last syncs. */
static GPtrArray *evidence_columns(GVariant *episode, GVariant *syncs, Table **ret_table) {
        GPtrArray *columns = g_ptr_array_new_with_free_func((GDestroyNotify) g_variant_unref);
        size_t n = syncs ? g_variant_n_children(syncs) : 0,
               first = n > EVIDENCE_SYNCS_MAX ? n - EVIDENCE_SYNCS_MAX : 0;
        Table *table = table_new(2 + n - first);

        table_add(table, "");
        table_add(table, "START");
        g_ptr_array_add(columns, lookup_evidence(episode));
        for (size_t i = first; i < n; i++) {
                g_autoptr(GVariant) sync = g_variant_get_child_value(syncs, i);

                table_add_owned(table, g_strdup_printf("SYNC %" PRIu64, lookup_number_or_zero(sync, "Id")));
                g_ptr_array_add(columns, lookup_evidence(sync));
        }
        *ret_table = table;
        return columns;
}

static bool evidence_is_known(const EvidenceInfo *info, const GPtrArray *columns) {
        for (size_t i = 0; i < columns->len; i++) {
                g_autoptr(GVariant) value = g_variant_lookup_value(columns->pdata[i], info->key, NULL);

                /* The start alone says nothing about a total. */
                if (value && (i > 0 || !info->is_total))
                        return true;
        }
        return false;
}

static void evidence_append(GString *out, GVariant *episode, GVariant *syncs) {
        _cleanup_(table_freep) Table *table = NULL;
        g_autoptr(GPtrArray) columns = evidence_columns(episode, syncs, &table);
        bool any = false;

        for (EvidenceId id = 0; id < _EVIDENCE_MAX; id++) {
                const EvidenceInfo *info = &evidence_table[id];

                if (!evidence_is_known(info, columns))
                        continue;
                any = true;
                table_add(table, info->key);
                for (size_t i = 0; i < columns->len; i++)
                        table_add_owned(table, evidence_cell(info, columns->pdata[i], columns->pdata[0]));
        }
        if (!any)
                return;
        g_string_append(out, "\nEvidence:\n");
        table_append(table, out, "  ");
}

/* Workers */

static void episode_workers_append(GString *out, const Terminal *terminal, GVariant *workers) {
        static const char *const headings[] = { "PID", "RUNNING", "CPU", "NAME", NULL };
        _cleanup_(table_freep) Table *table = table_new(ELEMENTSOF(headings) - 1);

        table_add_all(table, headings);
        for (size_t i = 0; i < g_variant_n_children(workers); i++) {
                g_autoptr(GVariant) worker = g_variant_get_child_value(workers, i);

                table_add_owned(table, g_strdup_printf("%" PRIu64, lookup_number_or_zero(worker, "PID")));
                table_add_owned(table, span_format(lookup_number_or_zero(worker, "RunningUSec")));
                table_add_owned(table, span_format(lookup_number_or_zero(worker, "CPUUSec")));
                table_add_owned(table, lookup_escaped(terminal, worker, "Name"));
        }
        g_string_append(out, "\nWorkers, with their longest runs:\n");
        table_append(table, out, "  ");
}

/* "Stall in inode_switch_wbs: recovered after 34s, 1 sync" */
static void title_append(GString *out, const Terminal *terminal, GVariant *episode, uint64_t now_usec) {
        g_autofree char *work = lookup_escaped(terminal, episode, "Work");
        g_autofree char *outcome = lookup_escaped(terminal, episode, "Outcome");
        g_autofree char *length = describe_episode_length(episode, now_usec);
        g_autofree char *syncs = describe_syncs(episode);

        if (episode_end_is_unknown(episode))
                g_string_append_printf(out, "Stall in %s: its end is not in the journal, %s\n", work, syncs);
        else
                g_string_append_printf(
                                out, "Stall in %s: %s %s %s, %s\n", work, outcome,
                                lookup_is(episode, "Outcome", "ongoing") ? "for" : "after", length, syncs);
}

void episode_append(GString *out, const Terminal *terminal, GVariant *episode, uint64_t now_usec) {
        g_autoptr(GVariant) syncs = lookup_list(episode, "Syncs"), workers = lookup_list(episode, "Workers");
        g_autoptr(GVariant) samples = g_variant_lookup_value(episode, "Samples", G_VARIANT_TYPE("a(tuu)"));
        g_autoptr(GString) plot = g_string_new(NULL);

        title_append(out, terminal, episode, now_usec);
        facts_append(out, terminal, episode, now_usec);
        also_spinning_append(out, terminal, "  ", episode);
        if (samples)
                plot_append(plot, terminal, samples, syncs);
        if (plot->len > 0)
                g_string_append_printf(out, "\nSpinning workers over time:\n%s", plot->str);
        if (syncs && g_variant_n_children(syncs) > 0) {
                syncs_append(out, terminal, syncs, lookup_number_or_zero(episode, "StartUSec"));
                filesystems_of_syncs_append(out, terminal, syncs);
        }
        evidence_append(out, episode, syncs);
        if (workers && g_variant_n_children(workers) > 0)
                episode_workers_append(out, terminal, workers);
}
