/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The verb status. */

#include <inttypes.h>

#include "client.h"
#include "connection.h"
#include "journal.h"
#include "json.h"
#include "list.h"
#include "values.h"
#include "verdict.h"

/* This many workers and the rest of `wbctl status` fit on a screen. */
#define STATUS_WORKERS_MAX 5

/* How long to wait for the log after the daemon has not answered in time. */
#define LOG_GRACE_USEC (200 * USEC_PER_MSEC)

/* Of the log. More would not be read in time. */
#define LINES_MAX 1000

/* The lines below the first one */

static void add_state(Table *table, const Terminal *terminal, GVariant *properties, uint64_t now_usec) {
        g_autofree char *state = lookup_escaped(terminal, properties, "State");
        uint64_t since_usec, paused_until_usec = lookup_number_or_zero(properties, "PausedUntilUSec");
        GString *text = g_string_new(state);

        if (lookup_number(properties, "StateSinceUSec", &since_usec)) {
                g_autofree char *since = time_format(since_usec, now_usec);

                g_string_append_printf(text, " since %s", since);
        }
        table_add(table, "State");
        table_add_owned(table, g_string_free(text, FALSE));

        if (paused_until_usec > 0) {
                table_add(table, "Paused until");
                table_add_owned(table, paused_until_usec == USEC_INFINITY
                                                       ? g_strdup("`wbctl resume`")
                                                       : time_format(paused_until_usec, now_usec));
        }
}

/* Who suspends automatic syncs besides a pause. */
static void add_inhibitors(Table *table, const Terminal *terminal, GVariant *properties) {
        g_autoptr(GVariant) inhibitors = lookup_list(properties, "Inhibitors");
        GString *text;

        if (!inhibitors || g_variant_n_children(inhibitors) == 0)
                return;
        text = g_string_new(NULL);
        inhibitors_append_briefly(text, terminal, inhibitors);
        table_add(table, "Inhibited by");
        table_add_owned(table, g_string_free(text, FALSE));
}

static void add_workers(Table *table, GVariant *properties) {
        double size;

        if (g_variant_lookup(properties, "WorkerCount", "u", NULL)) {
                table_add(table, "Workers");
                table_add_owned(table, describe_workers(properties));
        }
        if (lookup_double(properties, "CrowdSizeInForce", &size)) {
                table_add(table, "Crowd size");
                table_add_owned(table,
                                size > 0 ? g_strdup_printf("%g in force", size) : g_strdup("rule off"));
        }
}

static GVariant *find_sync(GVariant *syncs, uint64_t start_usec) {
        for (size_t i = 0; i < g_variant_n_children(syncs); i++) {
                g_autoptr(GVariant) sync = g_variant_get_child_value(syncs, i);

                if (lookup_number_or_zero(sync, "StartUSec") == start_usec && !lookup_true(sync, "DryRun"))
                        return g_steal_pointer(&sync);
        }
        return NULL;
}

/* Whether the sync that began at start_usec helped, if the newest episode has it. */
static const char *describe_helped(GVariant *episode, uint64_t start_usec) {
        g_autoptr(GVariant) syncs = episode ? lookup_list(episode, "Syncs") : NULL;
        g_autoptr(GVariant) sync = syncs ? find_sync(syncs, start_usec) : NULL;

        if (!sync)
                return "";
        if (lookup_is(sync, "Helped", "yes"))
                return ", helped";
        if (lookup_is(sync, "Helped", "no"))
                return ", did not help";
        return lookup_is(sync, "Helped", "pending") ? ", not yet known whether it helped" : "";
}

static void add_last_sync(Table *table, const Facts *facts) {
        uint64_t last_usec, count = lookup_number_or_zero(facts->properties, "SyncCount");
        g_autofree char *result = lookup_escaped(facts->terminal, facts->properties, "LastSyncResult");

        if (!lookup_number(facts->properties, "LastSyncUSec", &last_usec))
                return;
        table_add(table, "Last sync");
        if (last_usec == 0)
                table_add(table, "none since wbwatchd started");
        else {
                g_autofree char *time = time_format(last_usec, facts->now_usec);
                g_autofree char *span =
                                span_format(lookup_number_or_zero(facts->properties, "LastSyncDurationUSec"));

                table_add_owned(table, g_strdup_printf("%s: %s after %s%s", time, result, span,
                                                       describe_helped(facts->episode, last_usec)));
                table_add(table, "Syncs");
                table_add_owned(table, g_strdup_printf("%" PRIu64 " since wbwatchd started", count));
        }
}

/* The filesystems that did not answer in the last sync or the one under way. */
static void add_filesystems(Table *table, const Facts *facts) {
        g_autoptr(GVariant) filesystems = lookup_list(facts->properties, "FilesystemResults");
        g_autoptr(GPtrArray) texts = describe_filesystems(facts->terminal, filesystems, 0);

        for (size_t i = 0; i < texts->len; i++) {
                table_add(table, i == 0 ? "Not synced" : "");
                table_add(table, texts->pdata[i]);
        }
}

/* Shown while a sync is under way. */
static void add_dirty(Table *table, const Facts *facts) {
        uint64_t dirty, writeback;

        if (!streq(facts->state, "syncing") || !lookup_number(facts->properties, "DirtyBytes", &dirty) ||
            !lookup_number(facts->properties, "WritebackBytes", &writeback))
                return;

        g_autofree char *dirty_text = bytes_format(dirty), *writeback_text = bytes_format(writeback);

        table_add(table, "Left to write");
        table_add_owned(table, g_strdup_printf("%s dirty, %s in writeback", dirty_text, writeback_text));
}

static void add_last_episode(Table *table, const Facts *facts) {
        GVariant *episode = facts->episode;

        table_add(table, "Last episode");
        if (!episode) {
                table_add(table,
                          facts->knows_episodes ? "none since wbwatchd started" : "not answered in time");
                return;
        }

        g_autofree char *start = time_format(lookup_number_or_zero(episode, "StartUSec"), facts->now_usec);
        g_autofree char *length = describe_episode_length(episode, facts->now_usec);
        g_autofree char *outcome = lookup_escaped(facts->terminal, episode, "Outcome");
        g_autofree char *rule = lookup_escaped(facts->terminal, episode, "Rule");
        g_autofree char *workers = describe_episode_workers(facts->terminal, episode);
        g_autofree char *syncs = describe_syncs(episode);

        table_add_owned(table, g_strdup_printf("%s: %s %s %s", start, outcome,
                                               facts_are_ongoing(facts) ? "for" : "after", length));
        table_add(table, "");
        table_add_owned(table, g_strdup_printf("rule %s, up to %s, %s", rule, workers, syncs));
}

static void add_daemon(Table *table, const Terminal *terminal, GVariant *properties) {
        uint64_t lost;

        if (lookup_string(properties, "EventSource")) {
                GString *text = g_string_new(NULL);
                g_autofree char *source = lookup_escaped(terminal, properties, "EventSource");

                g_string_append(text, source);
                if (lookup_number(properties, "LostEvents", &lost))
                        g_string_append_printf(text, ", overrun %" PRIu64 " time%s", lost, plural(lost));
                table_add(table, "Events");
                table_add_owned(table, g_string_free(text, FALSE));
        }
        if (lookup_string(properties, "Version")) {
                g_autofree char *version = lookup_escaped(terminal, properties, "Version");

                table_add(table, "Version");
                table_add_owned(table, g_steal_pointer(&version));
        }
}

/* All of it */

static void add_overview(Table *table, const Facts *facts) {
        add_state(table, facts->terminal, facts->properties, facts->now_usec);
        if (lookup_string(facts->properties, "StatusText")) {
                table_add(table, "Why");
                table_add_owned(table, lookup_escaped(facts->terminal, facts->properties, "StatusText"));
        }
        add_inhibitors(table, facts->terminal, facts->properties);
        add_workers(table, facts->properties);
        add_dirty(table, facts);
        add_last_sync(table, facts);
        add_filesystems(table, facts);
        add_last_episode(table, facts);
        add_daemon(table, facts->terminal, facts->properties);
}

static void overview_append(
                GString *out,
                const Terminal *terminal,
                GVariant *properties,
                GVariant *episodes,
                uint64_t now_usec) {
        _cleanup_(table_freep) Table *table = table_new(2);
        _cleanup_(facts_done) Facts facts = facts_new(terminal, properties, episodes, now_usec);

        headline_append(out, &facts);
        table_set_width(table, terminal);
        add_overview(table, &facts);
        table_append(table, out, "  ");
}

void status_append(
                GString *out,
                const Terminal *terminal,
                GVariant *properties,
                GVariant *workers,
                GVariant *episodes,
                uint64_t now_usec) {
        if (properties)
                overview_append(out, terminal, properties, episodes, now_usec);
        if (!properties && workers && g_variant_n_children(workers) == 0)
                workers_append(out, terminal, workers);
        else if (workers && g_variant_n_children(workers) > 0) {
                g_string_append_printf(out, "%sRunning workers:\n", properties ? "\n" : "");
                workers_append_some(out, terminal, "  ", workers, STATUS_WORKERS_MAX);
        }
        if (properties) {
                g_string_append(out, "\nSettings and their origins:\n");
                settings_append(out, terminal, "  ", properties, SETTINGS_ALL);
        }
}

/* What `wbctl status` shows. */
typedef struct Status {
        Answers answers;
        GPtrArray *log; /* entries of the journal, the newest first; NULL: not wanted */
} Status;

static void status_clear(Status *status) {
        answers_clear(&status->answers);
        g_clear_pointer(&status->log, g_ptr_array_unref);
}

static GVariant *log_to_variant(GPtrArray *log) {
        GVariantBuilder builder;

        g_variant_builder_init(&builder, G_VARIANT_TYPE("aa{ss}"));
        for (guint i = log->len; i > 0; i--)
                g_variant_builder_add_value(&builder, log->pdata[i - 1]);
        return g_variant_builder_end(&builder);
}

/* The properties as on the bus, with the additional members Workers, LastEpisode and Log. The last episode is
 * null if there is none. What is unknown is left out. */
static GVariant *status_to_variant(const Status *status) {
        GVariant *const *values = status->answers.values;
        GVariant *properties = values[QUESTION_PROPERTIES], *episodes = values[QUESTION_EPISODES];
        g_autoptr(GVariant) episode = episodes ? list_newest(episodes) : NULL;
        GVariantBuilder builder;

        g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
        for (size_t i = 0; properties && i < g_variant_n_children(properties); i++) {
                g_autoptr(GVariant) property = g_variant_get_child_value(properties, i);

                g_variant_builder_add_value(&builder, property);
        }
        if (values[QUESTION_WORKERS])
                g_variant_builder_add(&builder, "{sv}", "Workers", values[QUESTION_WORKERS]);
        if (episodes)
                g_variant_builder_add(
                                &builder, "{sv}", "LastEpisode",
                                g_variant_new_maybe(G_VARIANT_TYPE_VARDICT, episode));
        if (status->log)
                g_variant_builder_add(&builder, "{sv}", "Log", log_to_variant(status->log));
        return g_variant_ref_sink(g_variant_builder_end(&builder));
}

/* Where the answers come from, if not from the bus of this machine. */
static void destination_append(GString *out, const Terminal *terminal) {
        static const char *const labels[] = {
                [DESTINATION_SOCKET] = "Socket",
                [DESTINATION_HOST] = "Host",
                [DESTINATION_MACHINE] = "Container",
        };
        const Destination *destination = connection_destination();
        g_autofree char *name = NULL;

        if (destination->kind == DESTINATION_BUS)
                return;
        name = terminal_escape(terminal, destination->name);
        g_string_append_printf(out, "%s: %s\n", labels[destination->kind], name);
}

static void print_status(const Options *options, const Status *status) {
        GVariant *const *values = status->answers.values;
        uint64_t now_usec = usec_now(CLOCK_REALTIME);
        g_autoptr(GVariant) value = NULL;
        g_autoptr(GString) out = g_string_new(NULL);

        if (options->json) {
                value = status_to_variant(status);
                json_print(value);
                return;
        }
        if (values[QUESTION_PROPERTIES])
                destination_append(out, &options->terminal);
        status_append(out, &options->terminal, values[QUESTION_PROPERTIES], values[QUESTION_WORKERS],
                      values[QUESTION_EPISODES], now_usec);
        if (status->log && status->log->len > 0)
                log_lines_append(out, &options->terminal, status->log, now_usec);
        text_print(out);
}

/* Reads everything in the time of ANSWER_TIMEOUT_USEC: the journal meanwhile. Returns 0, or a negative errno
 * if the log is not complete. */
static int status_read(const JournalQuery *query, Status *ret) {
        JournalReader *reader = query->max_entries > 0 ? journal_reader_start(query) : NULL;
        uint64_t start_usec = usec_now(CLOCK_MONOTONIC), now_usec;
        int r;

        answers_read(&ret->answers, (1u << _QUESTION_MAX) - 1);
        if (!reader)
                return 0;

        now_usec = usec_now(CLOCK_MONOTONIC);
        ret->log = journal_reader_finish(
                        reader,
                        MAX(usec_add(start_usec, JOURNAL_TIMEOUT_USEC), usec_add(now_usec, LOG_GRACE_USEC)),
                        &r);
        return r;
}

int verb_status(const Options *options, char **arguments) {
        JournalQuery query = {};
        _cleanup_(status_clear) Status status = {};
        g_autofree char *local_fault = NULL, *log_words = NULL;
        int r, log_error;
        bool local;

        r = lines_parse(options->lines, LINES_MAX, &query.max_entries);
        if (r != 0)
                return r;
        log_error = status_read(&query, &status);
        local = workers_read_locally(options->root, &status.answers, &local_fault);
        print_status(options, &status);

        if (status.answers.status != 0)
                complain("%s", status.answers.words);
        if (local)
                complain("The workers are listed from /proc by wbctl itself%s%s.",
                         local_fault ? "; some may be missing: " : "", local_fault ?: "");
        if (log_error < 0) {
                log_words = journal_explain(&query, log_error);
                complain("%s.", log_words);
        }
        if (status.answers.status != 0)
                return status.answers.status;
        return log_error < 0 || fault_of(status.answers.values[QUESTION_PROPERTIES]) ? EXIT_FAILURE
                                                                                     : EXIT_SUCCESS;
}
