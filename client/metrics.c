/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "metrics.h"

#include <inttypes.h>

#include "values.h"
#include "verdict.h"

typedef enum MetricType {
        METRIC_GAUGE,
        METRIC_COUNTER, /* the name of its samples ends in _total */
        METRIC_INFO,    /* the same with _info; its value is 1 */
} MetricType;

typedef struct Writer {
        GString *out;
        MetricsFormat format;
        const char *name; /* of the metric that was begun */
        MetricType type;
} Writer;

static const char *const suffixes[] = {
        [METRIC_GAUGE] = "",
        [METRIC_COUNTER] = "_total",
        [METRIC_INFO] = "_info",
};

/* OpenMetrics names a metric without the suffix of its samples; the text format knows no info. */
static void begin(Writer *writer, const char *name, MetricType type, const char *help) {
        bool is_text = writer->format == METRICS_TEXT;
        const char *suffix = is_text ? suffixes[type] : "";
        const char *type_name = type == METRIC_COUNTER            ? "counter"
                                : type == METRIC_INFO && !is_text ? "info"
                                                                  : "gauge";

        writer->name = name;
        writer->type = type;
        g_string_append_printf(
                        writer->out, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, suffix, help, name, suffix,
                        type_name);
}

/* The same three characters in both formats. */
static void append_label_value(GString *out, const char *value) {
        for (; *value; value++)
                switch (*value) {
                case '\\':
                        g_string_append(out, "\\\\");
                        break;
                case '"':
                        g_string_append(out, "\\\"");
                        break;
                case '\n':
                        g_string_append(out, "\\n");
                        break;
                default:
                        g_string_append_c(out, *value);
                }
}

/* Labels are pairs of a name and a value, up to NULL. */
static void begin_sample(const Writer *writer, const char *const *labels) {
        const char *before = "{";

        g_string_append_printf(writer->out, "%s%s", writer->name, suffixes[writer->type]);
        for (; labels && *labels; labels += 2) {
                g_string_append_printf(writer->out, "%s%s=\"", before, labels[0]);
                append_label_value(writer->out, labels[1]);
                g_string_append_c(writer->out, '"');
                before = ",";
        }
        g_string_append(writer->out, labels && before[0] == ',' ? "} " : " ");
}

static void add_labelled(const Writer *writer, const char *label, const char *value, uint64_t number) {
        const char *const labels[] = { label, value, NULL };

        begin_sample(writer, labels);
        g_string_append_printf(writer->out, "%" PRIu64 "\n", number);
}

static void add_number(const Writer *writer, uint64_t number) {
        begin_sample(writer, NULL);
        g_string_append_printf(writer->out, "%" PRIu64 "\n", number);
}

/* Exactly, which a double would not be. */
static void add_seconds(const Writer *writer, uint64_t usec) {
        begin_sample(writer, NULL);
        g_string_append_printf(
                        writer->out, "%" PRIu64 ".%06" PRIu64 "\n", usec / USEC_PER_SEC, usec % USEC_PER_SEC);
}

/* One series for each value: 1 for the one that holds. */
static void add_states(
                const Writer *writer,
                const char *label,
                const char *const *values,
                const char *current) {
        for (; *values; values++)
                add_labelled(writer, label, *values, streq(*values, current));
}

/* Metrics of one property each */

typedef struct Number {
        const char *property, *name;
        MetricType type;
        bool is_usec;
        const char *help;
} Number;

static void add_property(Writer *writer, GVariant *properties, const Number *number) {
        uint64_t value;

        if (!lookup_number(properties, number->property, &value))
                return;
        begin(writer, number->name, number->type, number->help);
        if (number->is_usec)
                add_seconds(writer, value);
        else
                add_number(writer, value);
}

static void add_numbers(Writer *writer, GVariant *properties) {
        static const Number numbers[] = {
                { "StartUSec", "wbwatch_start_time_seconds", METRIC_GAUGE, true,
                  "When wbwatchd started, as Unix time." },
                { "LongestRunUSec", "wbwatch_longest_run_seconds", METRIC_GAUGE, true,
                  "For how long the longest-running matching worker has been running." },
                { "SyncsUnhelpful", "wbwatch_syncs_unhelpful", METRIC_GAUGE, false,
                  "Automatic syncs in a row that did not help." },
                { "LostEvents", "wbwatch_lost_events", METRIC_COUNTER, false,
                  "How often thread creation events were lost; a scan follows each time." },
        };

        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                add_property(writer, properties, &numbers[i]);
}

/* Without a sync there is no point in time: 0 would be one in 1970. */
static void add_last_sync(Writer *writer, GVariant *properties) {
        static const Number numbers[] = {
                { "LastSyncUSec", "wbwatch_last_sync_timestamp_seconds", METRIC_GAUGE, true,
                  "When the last sync that has ended began, as Unix time. Absent before the first." },
                { "LastSyncDurationUSec", "wbwatch_last_sync_duration_seconds", METRIC_GAUGE, true,
                  "How long the last sync took. Absent before the first." },
        };

        if (lookup_number_or_zero(properties, "LastSyncUSec") == 0)
                return;
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                add_property(writer, properties, &numbers[i]);
}

/* Other metrics */

static void add_flag(Writer *writer, const char *name, bool value, const char *help) {
        begin(writer, name, METRIC_GAUGE, help);
        add_number(writer, value);
}

static void add_flags(Writer *writer, GVariant *properties) {
        add_flag(writer, "wbwatch_paused", syncs_are_suspended(properties),
                 "Whether automatic syncs are suspended, by a pause or an inhibitor.");
        add_flag(writer, "wbwatch_dry_run", lookup_true(properties, "DryRun"),
                 "Whether wbwatchd does everything but the sync.");
        add_flag(writer, "wbwatch_fault", *(lookup_string(properties, "Fault") ?: "") != '\0',
                 "Whether scans do not see all they should: stalls may go undetected.");
}

static void add_version(Writer *writer, GVariant *properties) {
        const char *version = lookup_string(properties, "Version");

        if (!version)
                return;
        begin(writer, "wbwatch_build", METRIC_INFO, "The version of wbwatchd.");
        add_labelled(writer, "version", version, 1);
}

/* A state that this program does not know counts as busy, as org.wbwatch1(5) says. */
static void add_state(Writer *writer, GVariant *properties) {
        static const char *const states[] = { "idle", "busy", "syncing", "recovery", "paused", NULL };
        const char *state = lookup_string(properties, "State");

        if (!state)
                return;
        begin(writer, "wbwatch_state", METRIC_GAUGE, "What wbwatchd does: 1 for the state that holds.");
        add_states(writer, "state", states, g_strv_contains(states, state) ? state : "busy");
}

static void add_event_source(Writer *writer, GVariant *properties) {
        static const char *const sources[] = { "netlink", "polling", NULL };
        const char *source = lookup_string(properties, "EventSource");

        if (!source)
                return;
        begin(writer, "wbwatch_event_source", METRIC_GAUGE,
              "How wbwatchd learns of new workers: 1 for the source in use.");
        add_states(writer, "source", sources, source);
}

static void add_workers(Writer *writer, GVariant *properties) {
        begin(writer, "wbwatch_workers", METRIC_GAUGE, "Matching kernel workers running at the last scan.");
        add_labelled(writer, "kind", "spinning", lookup_number_or_zero(properties, "SpinningCount"));
        add_labelled(writer, "kind", "waiting", lookup_number_or_zero(properties, "WaitingCount"));
}

/* Adds these counts of an a{st}; all of them from the start, since a series that begins with its first event
 * would hide that event from increase(). */
static void add_counts(const Writer *writer, const char *label, const char *const *names, GVariant *counts) {
        for (; *names; names++) {
                uint64_t count = 0;

                (void) g_variant_lookup(counts, *names, "t", &count);
                add_labelled(writer, label, *names, count);
        }
}

static void add_episodes(Writer *writer, GVariant *properties) {
        static const char *const outcomes[] = { "recovered", "cleared", "outlived", NULL };
        g_autoptr(GVariant) counts =
                        g_variant_lookup_value(properties, "EpisodeCounts", G_VARIANT_TYPE("a{st}"));
        uint64_t ongoing = 0;

        if (!counts)
                return;
        begin(writer, "wbwatch_episodes", METRIC_COUNTER,
              "Stalls that have ended since the start of wbwatchd, by outcome.");
        add_counts(writer, "outcome", outcomes, counts);
        (void) g_variant_lookup(counts, "ongoing", "t", &ongoing);
        add_flag(writer, "wbwatch_episode_active", ongoing > 0, "Whether kernel workers are stuck now.");
}

static void add_syncs(Writer *writer, GVariant *properties) {
        static const char *const results[] = { "ok", "stalled", "failed", NULL };
        g_autoptr(GVariant) counts =
                        g_variant_lookup_value(properties, "SyncCounts", G_VARIANT_TYPE("a{st}"));

        if (!counts)
                return;
        begin(writer, "wbwatch_syncs", METRIC_COUNTER,
              "Syncs that have ended since the start of wbwatchd, by result; without dry runs.");
        add_counts(writer, "result", results, counts);
}

/* Filesystems */

/* From good to bad. */
static const char *const filesystem_results[] = {
        "ok", "pending", "slow", "timeout", "unreachable", "failed"
};

static int rank_result(const char *result) {
        for (size_t i = 0; i < ELEMENTSOF(filesystem_results); i++)
                if (streq(result, filesystem_results[i]))
                        return (int) i;
        return -1;
}

static void add_filesystem(const Writer *writer, const char *mountpoint, int rank) {
        for (size_t i = 0; i < ELEMENTSOF(filesystem_results); i++) {
                const char *const labels[] = { "mountpoint", mountpoint, "result", filesystem_results[i],
                                               NULL };

                begin_sample(writer, labels);
                g_string_append_printf(writer->out, "%d\n", rank == (int) i);
        }
}

/* Mountpoints may occur twice: one mounted over another, or cut to the same text. Two equal series would make
 * a client refuse the whole answer; the worse result counts. */
static void add_filesystems(Writer *writer, GVariant *properties) {
        g_autoptr(GVariant) list = lookup_list(properties, "FilesystemResults");
        g_autoptr(GHashTable) ranks = g_hash_table_new(g_str_hash, g_str_equal);
        g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func((GDestroyNotify) g_variant_unref);
        g_autoptr(GList) mountpoints = NULL;

        for (size_t i = 0; list && i < g_variant_n_children(list); i++) {
                GVariant *row = g_variant_get_child_value(list, i);
                const char *mountpoint = lookup_string(row, "Mountpoint");
                int rank = rank_result(lookup_string(row, "Result") ?: "");

                g_ptr_array_add(rows, row);
                if (mountpoint && rank >= GPOINTER_TO_INT(g_hash_table_lookup(ranks, mountpoint)))
                        g_hash_table_insert(ranks, (char *) mountpoint, GINT_TO_POINTER(rank));
        }

        if (g_hash_table_size(ranks) == 0)
                return;
        begin(writer, "wbwatch_filesystem_sync_result", METRIC_GAUGE,
              "The filesystems of the last sync, or of the one under way: 1 for the result that holds.");
        mountpoints = g_list_sort(g_hash_table_get_keys(ranks), (GCompareFunc) strcmp);
        for (const GList *i = mountpoints; i; i = i->next)
                add_filesystem(writer, i->data, GPOINTER_TO_INT(g_hash_table_lookup(ranks, i->data)));
}

/* All */

static void add_fixes(Writer *writer, GVariant *fixes) {
        GVariantIter iterator;
        const char *name;
        gboolean fixed;

        if (!fixes || g_variant_n_children(fixes) == 0)
                return;
        /* The words of `wbctl doctor --batch=prometheus`: node_exporter wants one help for one name. */
        begin(writer, "wbwatch_kernel_fixed", METRIC_GAUGE,
              "Whether the kernel is free of this bug. Absent if unknown.");
        g_variant_iter_init(&iterator, fixes);
        while (g_variant_iter_next(&iterator, "{&sb}", &name, &fixed))
                add_labelled(writer, "fix", name, fixed != FALSE);
}

static void add_all_properties(Writer *writer, GVariant *properties) {
        add_version(writer, properties);
        add_state(writer, properties);
        add_workers(writer, properties);
        add_episodes(writer, properties);
        add_syncs(writer, properties);
        add_numbers(writer, properties);
        add_last_sync(writer, properties);
        add_filesystems(writer, properties);
        add_flags(writer, properties);
        add_event_source(writer, properties);
}

char *metrics_write(MetricsFormat format, GVariant *properties, GVariant *fixes) {
        Writer writer = { .out = g_string_new(NULL), .format = format };

        add_flag(&writer, "wbwatch_up", properties != NULL, "Whether wbwatchd answers.");
        if (properties)
                add_all_properties(&writer, properties);
        add_fixes(&writer, fixes);
        if (format == METRICS_OPENMETRICS)
                g_string_append(writer.out, "# EOF\n");
        return g_string_free(writer.out, FALSE);
}
