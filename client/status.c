/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The verbs that read: status, list, episodes. */

#include <inttypes.h>
#include <stdio.h>

#include "client.h"
#include "connection.h"
#include "json.h"
#include "values.h"

/* As many workers fit beside the rest of `wbctl status` on a screen. */
#define STATUS_WORKERS_MAX 5

/* What StatusText begins with while the daemon can see, and there is nobody to be seen. */
#define NOBODY_RUNS "no matching worker runs"
#define DRY_RUN_MARK "dry run: "

static char *lookup_escaped(const Terminal *terminal, GVariant *dictionary, const char *name) {
        return text_escape(terminal, lookup_string(dictionary, name) ?: "?");
}

/* The last of a list, which is the newest episode or sync, or NULL. */
static GVariant *newest(GVariant *list) {
        size_t n = g_variant_n_children(list);

        return n > 0 ? g_variant_get_child_value(list, n - 1) : NULL;
}

static bool episode_is_ongoing(GVariant *episode) {
        const char *outcome = lookup_string(episode, "Outcome");

        return outcome && streq(outcome, "ongoing");
}

/* The first line: is all well? */

typedef enum Mood {
        MOOD_WELL,
        MOOD_ATTENTION,
        MOOD_BAD,
} Mood;

static char *describe_running(GVariant *properties) {
        uint64_t count = lookup_number_or_zero(properties, "WorkerCount");
        g_autofree char *oldest = span_format(lookup_number_or_zero(properties, "OldestWorkerUSec"));

        if (count == 0)
                return g_strdup("no matching worker runs at the moment");
        if (count == 1)
                return g_strdup_printf("one matching worker has been running for %s", oldest);
        return g_strdup_printf("%" PRIu64 " matching workers run, the longest for %s", count, oldest);
}

static Mood judge_sync(GVariant *properties, uint64_t now_usec, GString *out) {
        const char *result = lookup_string(properties, "LastSyncResult");
        g_autofree char *since = NULL;

        /* The result of the sync before is gone by the time that this one stalls. */
        if (result && streq(result, "stalled")) {
                since = span_format(
                                usec_subtract(now_usec, lookup_number_or_zero(properties, "LastSyncUSec")));
                g_string_append_printf(
                                out,
                                "A sync has been hanging for %s: a disk or a filesystem does not answer.",
                                since);
                return MOOD_BAD;
        }

        since = span_format(usec_subtract(now_usec, lookup_number_or_zero(properties, "StateSinceUSec")));
        g_string_append_printf(out, "A sync is under way, for %s.", since);
        return MOOD_ATTENTION;
}

static Mood judge_stuck(GVariant *properties, const char *state, GString *out) {
        g_autofree char *running = describe_running(properties);

        g_string_append_printf(out, "Workers are stuck: %s. ", running);
        if (streq(state, "paused"))
                g_string_append(out, "Nothing frees them while paused: `wbctl sync`, or `wbctl resume`.");
        else if (lookup_true(properties, "DryRun"))
                g_string_append(out, "Nothing frees them in a dry run: `wbctl sync` won't, sync(1) will.");
        else if (streq(state, "recovery"))
                g_string_append(out, "A sync was made, the next one follows after the Recovery time.");
        else
                g_string_append(out, "A sync is about to come.");
        return MOOD_BAD;
}

static Mood judge_idle(GVariant *properties, GString *out) {
        const char *text = lookup_string(properties, "StatusText") ?: NOBODY_RUNS;

        if (g_str_has_prefix(text, DRY_RUN_MARK))
                text += strlen(DRY_RUN_MARK);

        /* A daemon that is blind is idle, too. Only words that are known to mean peace are taken for it. */
        if (!g_str_has_prefix(text, NOBODY_RUNS)) {
                g_string_append(out, "wbwatchd is idle, but not all is well: see why below.");
                return MOOD_BAD;
        }
        if (lookup_true(properties, "DryRun")) {
                g_string_append(out, "Nothing is stuck. In a dry run nothing would be freed, either.");
                return MOOD_ATTENTION;
        }
        g_string_append(out, "All is well: " NOBODY_RUNS ".");
        return MOOD_WELL;
}

static Mood judge(GVariant *properties, GVariant *episode, uint64_t now_usec, GString *out) {
        const char *state = lookup_string(properties, "State") ?: "unknown";
        g_autofree char *running = NULL;

        if (streq(state, "syncing"))
                return judge_sync(properties, now_usec, out);
        if (episode && episode_is_ongoing(episode))
                return judge_stuck(properties, state, out);
        if (streq(state, "idle"))
                return judge_idle(properties, out);

        running = describe_running(properties);
        if (streq(state, "paused"))
                g_string_append_printf(out, "Paused: nothing would be freed by itself; %s.", running);
        else if (streq(state, "recovery"))
                g_string_append_printf(out, "A sync has ended lately; %s.", running);
        else
                /* Also for states that are not known here. */
                g_string_append_printf(out, "Watching: %s, not stuck so far.", running);
        return MOOD_ATTENTION;
}

static void headline_append(
                GString *out,
                const Terminal *terminal,
                GVariant *properties,
                GVariant *episode,
                uint64_t now_usec) {
        static const Colour colours[] = {
                [MOOD_WELL] = COLOUR_GREEN,
                [MOOD_ATTENTION] = COLOUR_YELLOW,
                [MOOD_BAD] = COLOUR_RED,
        };
        g_autoptr(GString) words = g_string_new(NULL);
        Mood mood;

        mood = judge(properties, episode, now_usec, words);
        g_string_append_printf(
                        out, "%s%s%s%s\n", colour_on(terminal, colours[mood]), terminal->utf8 ? "● " : "",
                        words->str, colour_off(terminal));
}

/* The lines below it */

static void add_state(Table *table, const Terminal *terminal, GVariant *properties, uint64_t now_usec) {
        g_autofree char *state = lookup_escaped(terminal, properties, "State");
        uint64_t since_usec, paused_until_usec = lookup_number_or_zero(properties, "PausedUntilUSec");
        GString *text = g_string_new(state);

        if (lookup_number(properties, "StateSinceUSec", &since_usec)) {
                g_autofree char *since = time_format(since_usec, now_usec);

                g_string_append_printf(text, " since %s", since);
        }
        table_add(table, "State");
        table_take(table, g_string_free(text, FALSE));

        if (paused_until_usec > 0) {
                table_add(table, "Paused until");
                table_take(table, paused_until_usec == USEC_INFINITY
                                                  ? g_strdup("`wbctl resume`")
                                                  : time_format(paused_until_usec, now_usec));
        }
}

static void add_workers(Table *table, GVariant *properties) {
        g_autofree char *oldest = span_format(lookup_number_or_zero(properties, "OldestWorkerUSec"));
        uint64_t count;

        if (!lookup_number(properties, "WorkerCount", &count))
                return;
        table_add(table, "Workers");
        if (count == 0)
                table_add(table, "none runs");
        else
                table_take(table, g_strdup_printf("%" PRIu64 " running, the longest for %s", count, oldest));
}

static void add_last_sync(Table *table, const Terminal *terminal, GVariant *properties, uint64_t now_usec) {
        uint64_t last_usec, count = lookup_number_or_zero(properties, "SyncCount");
        g_autofree char *result = lookup_escaped(terminal, properties, "LastSyncResult");

        if (!lookup_number(properties, "LastSyncUSec", &last_usec))
                return;
        table_add(table, "Last sync");
        if (last_usec == 0)
                table_add(table, "none since wbwatchd's start");
        else {
                g_autofree char *time = time_format(last_usec, now_usec);
                g_autofree char *span =
                                span_format(lookup_number_or_zero(properties, "LastSyncDurationUSec"));

                table_take(table, g_strdup_printf("%s: %s after %s", time, result, span));
                table_add(table, "Syncs");
                table_take(table, g_strdup_printf("%" PRIu64 " since wbwatchd's start", count));
        }
}

static char *describe_episode_length(GVariant *episode, uint64_t now_usec) {
        uint64_t end_usec, start_usec = lookup_number_or_zero(episode, "StartUSec");

        if (!lookup_number(episode, "EndUSec", &end_usec))
                end_usec = now_usec;
        return span_format(usec_subtract(end_usec, start_usec));
}

static char *describe_syncs(uint64_t n) {
        return n == 0 ? g_strdup("no sync") : g_strdup_printf("%" PRIu64 " sync%s", n, n == 1 ? "" : "s");
}

static void add_last_episode(Table *table, const Terminal *terminal, GVariant *episode, uint64_t now_usec) {
        table_add(table, "Last episode");
        if (!episode)
                table_add(table, "none since wbwatchd's start");
        else {
                g_autofree char *start = time_format(lookup_number_or_zero(episode, "StartUSec"), now_usec);
                g_autofree char *length = describe_episode_length(episode, now_usec);
                g_autofree char *outcome = lookup_escaped(terminal, episode, "Outcome");
                g_autofree char *rule = lookup_escaped(terminal, episode, "Rule");
                g_autofree char *syncs = describe_syncs(lookup_number_or_zero(episode, "SyncCount"));

                table_take(table,
                           g_strdup_printf("%s: %s %s %s, rule %s, up to %" PRIu64 " workers, %s", start,
                                           outcome, episode_is_ongoing(episode) ? "for" : "after", length,
                                           rule, lookup_number_or_zero(episode, "WorkerCount"), syncs));
        }
}

static void add_daemon(Table *table, const Terminal *terminal, GVariant *properties) {
        uint64_t lost;

        if (lookup_string(properties, "EventSource")) {
                GString *text = g_string_new(NULL);
                g_autofree char *source = lookup_escaped(terminal, properties, "EventSource");

                g_string_append(text, source);
                if (lookup_number(properties, "LostEvents", &lost))
                        g_string_append_printf(text, ", overrun %" PRIu64 " times", lost);
                table_add(table, "Events");
                table_take(table, g_string_free(text, FALSE));
        }
        if (lookup_string(properties, "Version")) {
                g_autofree char *version = lookup_escaped(terminal, properties, "Version");

                table_add(table, "Version");
                table_take(table, g_steal_pointer(&version));
        }
}

/* The value as a file would spell it, or NULL. */
static char *setting_format(const Terminal *terminal, GVariant *properties, const SettingInfo *info) {
        char buffer[64];
        uint64_t number;
        bool boolean;

        switch (info->type) {
        case SETTING_TYPE_GLOB:
                return lookup_string(properties, info->property)
                                       ? lookup_escaped(terminal, properties, info->property)
                                       : NULL;
        case SETTING_TYPE_BOOLEAN:
                return lookup_boolean(properties, info->property, &boolean) ? g_strdup(boolean ? "yes" : "no")
                                                                            : NULL;
        case SETTING_TYPE_USEC:
                return lookup_number(properties, info->property, &number)
                                       ? g_strdup(format_duration(number, buffer, sizeof(buffer)))
                                       : NULL;
        case SETTING_TYPE_UNSIGNED:
                return lookup_number(properties, info->property, &number)
                                       ? g_strdup_printf("%" PRIu64, number)
                                       : NULL;
        }
        return NULL;
}

static void settings_append(GString *out, const Terminal *terminal, GVariant *properties) {
        _cleanup_(table_freep) Table *table = table_new(2);
        g_autoptr(GVariant) origins =
                        g_variant_lookup_value(properties, "SettingOrigins", G_VARIANT_TYPE("a{ss}"));

        for (SettingId id = 0; id < _SETTING_MAX; id++) {
                const SettingInfo *info = &setting_table[id];
                g_autofree char *value = setting_format(terminal, properties, info);
                const char *origin = NULL;

                if (!value)
                        continue;
                if (origins)
                        (void) g_variant_lookup(origins, info->property, "&s", &origin);
                table_take(table, g_strdup_printf("%s=%s", info->key, value));
                table_take(table, text_escape(terminal, origin ?: ""));
        }

        table_append(table, out, "  ");
}

/* Workers and episodes */

static void add_headings(Table *table, const char *const *headings) {
        for (; *headings; headings++)
                table_add(table, *headings);
}

static void workers_append_some(GString *out, const Terminal *terminal, GVariant *workers, size_t max) {
        static const char *const headings[] = { "PID", "STATE", "RUNNING", "CPU", "NAME", NULL };
        _cleanup_(table_freep) Table *table = table_new(ELEMENTSOF(headings) - 1);
        size_t n = g_variant_n_children(workers);

        add_headings(table, headings);
        for (size_t i = 0; i < n && i < max; i++) {
                g_autoptr(GVariant) worker = g_variant_get_child_value(workers, i);

                table_take(table, g_strdup_printf("%" PRIu64, lookup_number_or_zero(worker, "PID")));
                table_take(table, lookup_escaped(terminal, worker, "State"));
                table_take(table, span_format(lookup_number_or_zero(worker, "RunningUSec")));
                table_take(table, span_format(lookup_number_or_zero(worker, "CPUUSec")));
                table_take(table, lookup_escaped(terminal, worker, "Name"));
        }
        table_append(table, out, "  ");
        if (n > max)
                g_string_append_printf(out, "  and %zu more: `wbctl list`\n", n - max);
}

void workers_append(GString *out, const Terminal *terminal, GVariant *workers) {
        if (g_variant_n_children(workers) == 0)
                g_string_append(out, "No matching worker runs.\n");
        else
                workers_append_some(out, terminal, workers, SIZE_MAX);
}

/* "2, the last one ok after 0.4s" */
static char *describe_episode_syncs(const Terminal *terminal, GVariant *episode) {
        g_autoptr(GVariant) syncs = g_variant_lookup_value(episode, "Syncs", G_VARIANT_TYPE("aa{sv}"));
        g_autoptr(GVariant) last = syncs ? newest(syncs) : NULL;
        uint64_t count = lookup_number_or_zero(episode, "SyncCount");
        g_autofree char *result = NULL, *span = NULL;
        const char *text;

        if (!last)
                return g_strdup_printf("%" PRIu64, count);

        text = lookup_string(last, "Result");
        if (lookup_true(last, "DryRun"))
                return g_strdup_printf("%" PRIu64 " (dry run)", count);
        if (!text || !*text)
                return g_strdup_printf("%" PRIu64 " (under way)", count);

        result = text_escape(terminal, text);
        span = span_format(lookup_number_or_zero(last, "DurationUSec"));
        return g_strdup_printf("%" PRIu64 " (%s%s after %s)", count, count > 1 ? "last " : "", result, span);
}

/* The name of the worker that ran for the longest time. */
static char *describe_episode_worker(const Terminal *terminal, GVariant *episode) {
        g_autoptr(GVariant) workers = g_variant_lookup_value(episode, "Workers", G_VARIANT_TYPE("aa{sv}"));
        g_autoptr(GVariant) worker = NULL;
        g_autofree char *name = NULL, *span = NULL;

        if (!workers || g_variant_n_children(workers) == 0)
                return g_strdup("");
        worker = g_variant_get_child_value(workers, 0);
        name = lookup_escaped(terminal, worker, "Name");
        span = span_format(lookup_number_or_zero(worker, "RunningUSec"));
        return g_strdup_printf("%s %s", span, name);
}

void episodes_append(GString *out, const Terminal *terminal, GVariant *episodes, uint64_t now_usec) {
        static const char *const headings[] = { "ID",      "BEGAN", "LASTED",         "OUTCOME", "RULE",
                                                "WORKERS", "SYNCS", "LONGEST WORKER", NULL };
        _cleanup_(table_freep) Table *table = table_new(ELEMENTSOF(headings) - 1);
        size_t n = g_variant_n_children(episodes);

        if (n == 0) {
                g_string_append(out, "No worker has been stuck since wbwatchd's start.\n");
                return;
        }

        add_headings(table, headings);
        for (size_t i = 0; i < n; i++) {
                g_autoptr(GVariant) episode = g_variant_get_child_value(episodes, i);

                table_take(table, g_strdup_printf("%" PRIu64, lookup_number_or_zero(episode, "Id")));
                table_take(table, time_format(lookup_number_or_zero(episode, "StartUSec"), now_usec));
                table_take(table, describe_episode_length(episode, now_usec));
                table_take(table, lookup_escaped(terminal, episode, "Outcome"));
                table_take(table, lookup_escaped(terminal, episode, "Rule"));
                table_take(table, g_strdup_printf("%" PRIu64, lookup_number_or_zero(episode, "WorkerCount")));
                table_take(table, describe_episode_syncs(terminal, episode));
                table_take(table, describe_episode_worker(terminal, episode));
        }
        table_append(table, out, "  ");
}

/* All of it */

void status_append(
                GString *out,
                const Terminal *terminal,
                GVariant *properties,
                GVariant *workers,
                GVariant *episodes,
                uint64_t now_usec) {
        _cleanup_(table_freep) Table *table = table_new(2);
        g_autoptr(GVariant) episode = newest(episodes);

        headline_append(out, terminal, properties, episode, now_usec);

        add_state(table, terminal, properties, now_usec);
        if (lookup_string(properties, "StatusText")) {
                table_add(table, "Why");
                table_take(table, lookup_escaped(terminal, properties, "StatusText"));
        }
        add_workers(table, properties);
        add_last_sync(table, terminal, properties, now_usec);
        add_last_episode(table, terminal, episode, now_usec);
        add_daemon(table, terminal, properties);
        table_append(table, out, "  ");

        if (g_variant_n_children(workers) > 0) {
                g_string_append(out, "\nWorkers that run:\n");
                workers_append_some(out, terminal, workers, STATUS_WORKERS_MAX);
        }

        g_string_append(out, "\nSettings, and where each came from:\n");
        settings_append(out, terminal, properties);
}

/* The verbs */

static const Request list_workers = {
        .member = "ListWorkers",
        .purpose = "list the workers",
        .answer = "aa{sv}",
};

static const Request list_episodes = {
        .member = "ListEpisodes",
        .purpose = "list the episodes",
        .answer = "aa{sv}",
};

static void print(const GString *text) {
        (void) fwrite(text->str, 1, text->len, stdout);
}

/* The properties as they are on the bus, and two members beside them. */
static void status_append_json(GString *out, GVariant *properties, GVariant *workers, GVariant *episodes) {
        g_autoptr(GVariantBuilder) builder = g_variant_builder_new(G_VARIANT_TYPE_VARDICT);
        g_autoptr(GVariant) episode = newest(episodes), value = NULL;

        for (size_t i = 0; i < g_variant_n_children(properties); i++) {
                g_autoptr(GVariant) property = g_variant_get_child_value(properties, i);

                g_variant_builder_add_value(builder, property);
        }
        g_variant_builder_add(builder, "{sv}", "Workers", workers);
        g_variant_builder_add(
                        builder, "{sv}", "LastEpisode", g_variant_new_maybe(G_VARIANT_TYPE_VARDICT, episode));

        value = g_variant_ref_sink(g_variant_builder_end(builder));
        json_append(out, value);
        g_string_append_c(out, '\n');
}

int verb_status(const Options *options, char **arguments) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        g_autoptr(GVariant) properties = NULL, workers = NULL, episodes = NULL;
        g_autoptr(GString) out = g_string_new(NULL);
        int r;

        r = connection_open_or_complain(&bus);
        if (r == 0)
                r = request_properties(bus, &properties);
        if (r == 0)
                r = request_read(bus, &list_workers, &workers);
        if (r == 0)
                r = request_read(bus, &list_episodes, &episodes);
        if (r != 0)
                return r;

        if (options->json)
                status_append_json(out, properties, workers, episodes);
        else
                status_append(out, &options->terminal, properties, workers, episodes,
                              usec_now(CLOCK_REALTIME));
        print(out);
        return EXIT_SUCCESS;
}

/* Asks for one list, and prints it. */
static int print_list(
                const Options *options,
                const Request *request,
                void (*append)(GString *out, const Terminal *terminal, GVariant *list)) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        g_autoptr(GVariant) list = NULL;
        g_autoptr(GString) out = g_string_new(NULL);
        int r;

        r = connection_open_or_complain(&bus);
        if (r == 0)
                r = request_read(bus, request, &list);
        if (r != 0)
                return r;

        if (options->json) {
                json_append(out, list);
                g_string_append_c(out, '\n');
        } else
                append(out, &options->terminal, list);
        print(out);
        return EXIT_SUCCESS;
}

static void episodes_append_now(GString *out, const Terminal *terminal, GVariant *episodes) {
        episodes_append(out, terminal, episodes, usec_now(CLOCK_REALTIME));
}

int verb_list(const Options *options, char **arguments) {
        return print_list(options, &list_workers, workers_append);
}

int verb_episodes(const Options *options, char **arguments) {
        return print_list(options, &list_episodes, episodes_append_now);
}
