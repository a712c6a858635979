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

/* As many automatic syncs in a row that did not help make wbwatchd report that they do not help here. */
#define SYNCS_UNHELPFUL_REPORTED 5

/* Lists of episodes fit into an ordinary terminal, and into a mail. */
#define EPISODE_COLUMNS 80

/* More filesystems than these that did not answer say nothing new. */
#define FILESYSTEMS_SHOWN_MAX 8

static char *lookup_escaped(const Terminal *terminal, GVariant *dictionary, const char *name) {
        return text_escape(terminal, lookup_string(dictionary, name) ?: "?");
}

static bool lookup_is(GVariant *dictionary, const char *name, const char *text) {
        const char *value = lookup_string(dictionary, name);

        return value && streq(value, text);
}

/* The last of a list, which is the newest episode or sync, or NULL. */
static GVariant *newest(GVariant *list) {
        size_t n = g_variant_n_children(list);

        return n > 0 ? g_variant_get_child_value(list, n - 1) : NULL;
}

static const char *plural(uint64_t n) {
        return n == 1 ? "" : "s";
}

char *describe_syncs(GVariant *episode) {
        uint64_t n = lookup_number_or_zero(episode, "SyncCount");
        g_autoptr(GVariant) syncs = lookup_list(episode, "Syncs"), last = syncs ? newest(syncs) : NULL;

        if (n > 0)
                return g_strdup_printf("%" PRIu64 " sync%s", n, plural(n));
        return g_strdup(last && lookup_true(last, "DryRun") ? "dry run" : "no sync");
}

/* Filesystems of a sync */

bool filesystem_is_ok(GVariant *filesystem) {
        return lookup_is(filesystem, "Result", "ok");
}

char *filesystem_format(const Terminal *terminal, GVariant *filesystem, uint64_t age_usec) {
        g_autofree char *mountpoint = lookup_escaped(terminal, filesystem, "Mountpoint");
        g_autofree char *type = lookup_escaped(terminal, filesystem, "Type");
        g_autofree char *result = lookup_escaped(terminal, filesystem, "Result"), *span = NULL;
        uint64_t usec = lookup_number_or_zero(filesystem, "DurationUSec");

        if (streq(result, "pending") || streq(result, "slow"))
                usec = usec_add(usec, age_usec);
        span = span_format(usec);
        return g_strdup_printf(
                        "%s (%s): %s%s%s", mountpoint, type, result, usec > 0 ? " " : "",
                        usec > 0 ? span : "");
}

/* Those that are not ok, one cell each, up to what is shown. */
static GPtrArray *describe_filesystems(const Terminal *terminal, GVariant *filesystems, uint64_t age_usec) {
        GPtrArray *texts = g_ptr_array_new_with_free_func(g_free);
        size_t n = filesystems ? g_variant_n_children(filesystems) : 0, n_more = 0;

        for (size_t i = 0; i < n; i++) {
                g_autoptr(GVariant) filesystem = g_variant_get_child_value(filesystems, i);

                if (filesystem_is_ok(filesystem))
                        continue;
                if (texts->len < FILESYSTEMS_SHOWN_MAX)
                        g_ptr_array_add(texts, filesystem_format(terminal, filesystem, age_usec));
                else
                        n_more++;
        }
        if (n_more > 0)
                g_ptr_array_add(texts, g_strdup_printf("and %zu more", n_more));
        return texts;
}

void filesystems_append(
                GString *out,
                const Terminal *terminal,
                const char *indent,
                GVariant *filesystems,
                uint64_t age_usec) {
        g_autoptr(GPtrArray) texts = describe_filesystems(terminal, filesystems, age_usec);

        for (size_t i = 0; i < texts->len; i++)
                g_string_append_printf(out, "%s%s\n", indent, (char *) texts->pdata[i]);
}

/* The first line: is all well? */

typedef enum Mood {
        MOOD_WELL,
        MOOD_ATTENTION,
        MOOD_BAD,
} Mood;

/* What the headline is made of. */
typedef struct Facts {
        const Terminal *terminal;
        GVariant *properties;
        GVariant *episode; /* the newest, or NULL */
        const char *state;
        uint64_t now_usec;
} Facts;

static bool fact_is_ongoing(const Facts *facts) {
        return facts->episode && lookup_is(facts->episode, "Outcome", "ongoing");
}

static bool fact_is_paused(const Facts *facts) {
        return streq(facts->state, "paused") ||
               lookup_number_or_zero(facts->properties, "PausedUntilUSec") > 0;
}

/* "6 spinning, 2 waiting; longest run 31s" */
static char *describe_workers(GVariant *properties) {
        uint64_t count = lookup_number_or_zero(properties, "WorkerCount"), n_spinning = 0, n_waiting = 0;
        g_autofree char *span = span_format(lookup_number_or_zero(properties, "LongestRunUSec"));
        bool apart = lookup_number(properties, "SpinningCount", &n_spinning) &&
                     lookup_number(properties, "WaitingCount", &n_waiting);
        g_autoptr(GString) out = g_string_new(NULL);

        if (!apart)
                g_string_append_printf(out, "%" PRIu64 " running", count);
        if (n_spinning > 0)
                g_string_append_printf(out, "%" PRIu64 " spinning", n_spinning);
        if (n_waiting > 0)
                g_string_append_printf(out, "%s%" PRIu64 " waiting", n_spinning > 0 ? ", " : "", n_waiting);
        if (apart ? n_spinning + n_waiting == 0 : count == 0)
                return g_strdup("none running");
        g_string_append_printf(out, "; longest run %s", span);
        return g_string_free(g_steal_pointer(&out), FALSE);
}

static Mood judge_sync(const Facts *facts, GString *out) {
        g_autofree char *span = NULL;

        /* LastSyncResult is about the sync before, until this one has stalled. */
        if (lookup_is(facts->properties, "LastSyncResult", "stalled")) {
                span = span_format(usec_subtract(
                                facts->now_usec, lookup_number_or_zero(facts->properties, "LastSyncUSec")));
                g_string_append_printf(
                                out,
                                "A sync has not returned for %s: a disk or a filesystem does not answer.",
                                span);
                return MOOD_BAD;
        }

        span = span_format(usec_subtract(
                        facts->now_usec, lookup_number_or_zero(facts->properties, "StateSinceUSec")));
        g_string_append_printf(out, "A sync has been under way for %s.", span);
        return MOOD_ATTENTION;
}

static bool judge_unhelpful(const Facts *facts, GString *out) {
        uint64_t n = lookup_number_or_zero(facts->properties, "SyncsUnhelpful");

        if (n >= SYNCS_UNHELPFUL_REPORTED) {
                g_string_append_printf(
                                out,
                                "Syncs do not help here: the last %" PRIu64
                                " ended no stall. At most one an hour follows.",
                                n);
                return true;
        }
        if (facts->episode && lookup_is(facts->episode, "Outcome", "outlived")) {
                g_string_append(out, "Syncs did not end the last stall.");
                return true;
        }
        return false;
}

/* What happens next in a stall. */
static void stuck_append_outlook(const Facts *facts, GString *out) {
        if (streq(facts->state, "syncing"))
                (void) judge_sync(facts, out);
        else if (fact_is_paused(facts))
                g_string_append(out, "`wbctl sync` syncs now, `wbctl resume` ends the pause.");
        else if (lookup_true(facts->properties, "DryRun"))
                g_string_append(out, "`wbctl sync` syncs now.");
        else if (!judge_unhelpful(facts, out))
                g_string_append(out, streq(facts->state, "recovery")
                                                     ? "A sync has ended; another one follows after the "
                                                       "recovery time."
                                                     : "A sync follows.");
}

static void judge_stuck(const Facts *facts, GString *out) {
        g_autofree char *workers = describe_workers(facts->properties), *work = NULL;

        g_string_append(out, "Kernel workers are stuck");
        if (lookup_string(facts->episode, "Work")) {
                work = lookup_escaped(facts->terminal, facts->episode, "Work");
                g_string_append_printf(out, " in %s", work);
        }
        g_string_append_printf(out, " (%s). ", workers);
        stuck_append_outlook(facts, out);
}

static bool judge_sight(const Facts *facts, GString *out) {
        const char *fault = lookup_string(facts->properties, "Fault");
        const char *glob = lookup_string(facts->properties, "Glob");

        if (fault && *fault) {
                g_autofree char *escaped = text_escape(facts->terminal, fault);

                g_string_append_printf(
                                out, "Stalls may go undetected: %s%s", escaped,
                                g_str_has_suffix(escaped, ".") ? "" : ".");
                return true;
        }
        if (glob && !glob_can_match_kworker(glob)) {
                g_string_append(out, "No stall can be detected: Glob matches no kernel worker.");
                return true;
        }
        return false;
}

static Mood judge_calm(const Facts *facts, GString *out) {
        uint64_t count = lookup_number_or_zero(facts->properties, "WorkerCount");
        g_autofree char *workers = describe_workers(facts->properties);

        if (streq(facts->state, "recovery")) {
                g_string_append_printf(out, "Recovery time after a sync; matching workers: %s.", workers);
                return MOOD_ATTENTION;
        }
        if (count == 0 && streq(facts->state, "idle")) {
                g_string_append(out, "All is well: no matching worker is running.");
                return MOOD_WELL;
        }
        /* Also for states that are not known here. */
        g_string_append_printf(out, "Not stuck; matching workers: %s.", workers);
        return MOOD_ATTENTION;
}

static Mood judge(const Facts *facts, GString *out) {
        if (fact_is_ongoing(facts)) {
                judge_stuck(facts, out);
                return MOOD_BAD;
        }
        if (judge_sight(facts, out))
                return MOOD_BAD;
        if (streq(facts->state, "syncing"))
                return judge_sync(facts, out);
        if (judge_unhelpful(facts, out))
                return MOOD_BAD;
        return judge_calm(facts, out);
}

static void headline_append(GString *out, const Facts *facts) {
        static const Colour colours[] = {
                [MOOD_WELL] = COLOUR_GREEN,
                [MOOD_ATTENTION] = COLOUR_YELLOW,
                [MOOD_BAD] = COLOUR_RED,
        };
        g_autoptr(GString) words = g_string_new(NULL);
        bool paused = fact_is_paused(facts), dry_run = lookup_true(facts->properties, "DryRun");
        Mood mood;

        mood = judge(facts, words);
        if (paused)
                g_string_append(words, " Paused: no automatic syncs.");
        if (dry_run)
                g_string_append(words, " Dry run: no automatic syncs.");
        if (mood == MOOD_WELL && (paused || dry_run))
                mood = MOOD_ATTENTION;

        g_string_append_printf(
                        out, "%s%s%s%s\n", colour_on(facts->terminal, colours[mood]),
                        facts->terminal->utf8 ? "● " : "", words->str, colour_off(facts->terminal));
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
        double size;

        if (g_variant_lookup(properties, "WorkerCount", "u", NULL)) {
                table_add(table, "Workers");
                table_take(table, describe_workers(properties));
        }
        if (lookup_double(properties, "CrowdSizeInForce", &size)) {
                table_add(table, "Crowd size");
                table_take(table, size > 0 ? g_strdup_printf("%g in force", size) : g_strdup("rule off"));
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

                table_take(table, g_strdup_printf("%s: %s after %s%s", time, result, span,
                                                  describe_helped(facts->episode, last_usec)));
                table_add(table, "Syncs");
                table_take(table, g_strdup_printf("%" PRIu64 " since wbwatchd started", count));
        }
}

/* Those that did not answer, of the last sync or the one under way. */
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
        table_take(table, g_strdup_printf("%s dirty, %s in writeback", dirty_text, writeback_text));
}

static char *describe_episode_length(GVariant *episode, uint64_t now_usec) {
        uint64_t end_usec, start_usec = lookup_number_or_zero(episode, "StartUSec");

        if (!lookup_number(episode, "EndUSec", &end_usec))
                end_usec = now_usec;
        return span_format(usec_subtract(end_usec, start_usec));
}

/* "14 inode_switch_wbs": the most workers that ran at once, and their work. */
static char *describe_episode_workers(const Terminal *terminal, GVariant *episode) {
        g_autofree char *work = lookup_escaped(terminal, episode, "Work");

        return g_strdup_printf("%" PRIu64 " %s", lookup_number_or_zero(episode, "WorkerCount"), work);
}

static void add_last_episode(Table *table, const Facts *facts) {
        GVariant *episode = facts->episode;

        table_add(table, "Last episode");
        if (!episode) {
                table_add(table, "none since wbwatchd started");
                return;
        }

        g_autofree char *start = time_format(lookup_number_or_zero(episode, "StartUSec"), facts->now_usec);
        g_autofree char *length = describe_episode_length(episode, facts->now_usec);
        g_autofree char *outcome = lookup_escaped(facts->terminal, episode, "Outcome");
        g_autofree char *rule = lookup_escaped(facts->terminal, episode, "Rule");
        g_autofree char *workers = describe_episode_workers(facts->terminal, episode);
        g_autofree char *syncs = describe_syncs(episode);

        table_take(table, g_strdup_printf("%s: %s %s %s", start, outcome,
                                          fact_is_ongoing(facts) ? "for" : "after", length));
        table_add(table, "");
        table_take(table, g_strdup_printf("rule %s, up to %s, %s", rule, workers, syncs));
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
        case SETTING_TYPE_METHOD:
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

/* Of a running worker, from the kernel's letter for its state. */
static const char *describe_worker_state(GVariant *worker) {
        const char *state = lookup_string(worker, "State");

        if (!state || !*state)
                return "?";
        return streq(state, "R") ? "spinning" : "waiting";
}

static void workers_append_some(
                GString *out,
                const Terminal *terminal,
                const char *indent,
                GVariant *workers,
                size_t max) {
        static const char *const headings[] = { "PID", "STATE", "RUNNING", "CPU", "NAME", NULL };
        _cleanup_(table_freep) Table *table = table_new(ELEMENTSOF(headings) - 1);
        size_t n = g_variant_n_children(workers);

        add_headings(table, headings);
        for (size_t i = 0; i < n && i < max; i++) {
                g_autoptr(GVariant) worker = g_variant_get_child_value(workers, i);

                table_take(table, g_strdup_printf("%" PRIu64, lookup_number_or_zero(worker, "PID")));
                table_add(table, describe_worker_state(worker));
                table_take(table, span_format(lookup_number_or_zero(worker, "RunningUSec")));
                table_take(table, span_format(lookup_number_or_zero(worker, "CPUUSec")));
                table_take(table, lookup_escaped(terminal, worker, "Name"));
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

/* Workers of other works, in lines that are no wider than the table. */
static void also_spinning_append(GString *out, const Terminal *terminal, GVariant *episode) {
        g_autofree const char **names = NULL;
        size_t begin = out->len;

        if (!g_variant_lookup(episode, "AlsoSpinning", "^a&s", &names) || !*names)
                return;

        g_string_append(out, "    also spinning:");
        for (size_t i = 0; names[i]; i++) {
                g_autofree char *name = text_escape(terminal, names[i]);

                if (i > 0 && out->len - begin + strlen(name) + 2 > EPISODE_COLUMNS) {
                        g_string_append(out, "\n                  ");
                        begin = out->len - strlen("                  ");
                }
                g_string_append_printf(out, " %s%s", name, names[i + 1] ? "," : "");
        }
        g_string_append_c(out, '\n');
}

/* The zone stands in the heading: with it each row would be too wide. */
static void episodes_add_headings(Table *table, const char *zone) {
        static const char *const others[] = { "LASTED", "OUTCOME", "SYNCS", "WORKERS", NULL };

        table_add(table, "ID");
        table_take(table, g_strdup_printf("BEGAN (%s)", zone));
        add_headings(table, others);
}

static Table *episodes_table(const Terminal *terminal, GVariant *episodes, uint64_t now_usec) {
        Table *table = table_new(6);
        g_autofree char *zone = zone_format(now_usec);

        episodes_add_headings(table, zone);
        for (size_t i = 0; i < g_variant_n_children(episodes); i++) {
                g_autoptr(GVariant) episode = g_variant_get_child_value(episodes, i);
                uint64_t start_usec = lookup_number_or_zero(episode, "StartUSec");

                table_take(table, g_strdup_printf("%" PRIu64, lookup_number_or_zero(episode, "Id")));
                table_take(table, time_format_in_zone(start_usec, zone));
                table_take(table, describe_episode_length(episode, now_usec));
                table_take(table, lookup_escaped(terminal, episode, "Outcome"));
                table_take(table, describe_syncs(episode));
                table_take(table, describe_episode_workers(terminal, episode));
        }
        return table;
}

void episodes_append(GString *out, const Terminal *terminal, GVariant *episodes, uint64_t now_usec) {
        _cleanup_(table_freep) Table *table = episodes_table(terminal, episodes, now_usec);
        g_autoptr(GString) rows = g_string_new(NULL);
        g_auto(GStrv) lines = NULL;
        size_t n = g_variant_n_children(episodes);

        if (n == 0) {
                g_string_append(out, "No worker has been stuck since wbwatchd started.\n");
                return;
        }

        /* Each row is a line; what belongs to its episode follows it. */
        table_append(table, rows, "");
        lines = g_strsplit(rows->str, "\n", -1);
        g_string_append_printf(out, "%s\n", lines[0]);
        for (size_t i = 0; i < n; i++) {
                g_autoptr(GVariant) episode = g_variant_get_child_value(episodes, i);

                g_string_append_printf(out, "%s\n", lines[i + 1]);
                also_spinning_append(out, terminal, episode);
        }
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
        const Facts facts = {
                .terminal = terminal,
                .properties = properties,
                .episode = episode,
                .state = lookup_string(properties, "State") ?: "unknown",
                .now_usec = now_usec,
        };

        headline_append(out, &facts);

        add_state(table, terminal, properties, now_usec);
        if (lookup_string(properties, "StatusText")) {
                table_add(table, "Why");
                table_take(table, lookup_escaped(terminal, properties, "StatusText"));
        }
        add_workers(table, properties);
        add_dirty(table, &facts);
        add_last_sync(table, &facts);
        add_filesystems(table, &facts);
        add_last_episode(table, &facts);
        add_daemon(table, terminal, properties);
        table_append(table, out, "  ");

        if (g_variant_n_children(workers) > 0) {
                g_string_append(out, "\nRunning workers:\n");
                workers_append_some(out, terminal, "  ", workers, STATUS_WORKERS_MAX);
        }

        g_string_append(out, "\nSettings and their origins:\n");
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

static bool has_fault(GVariant *properties) {
        const char *fault = lookup_string(properties, "Fault");

        return fault && *fault;
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
        return has_fault(properties) ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void print_json(GVariant *value) {
        g_autoptr(GString) out = g_string_new(NULL);

        json_append(out, value);
        g_string_append_c(out, '\n');
        print(out);
}

static void print_workers(const Options *options, GVariant *properties, GVariant *workers) {
        g_autoptr(GString) out = g_string_new(NULL);

        /* Where not all can be seen, "none" would not be true. */
        if (has_fault(properties) && g_variant_n_children(workers) == 0)
                return;
        workers_append(out, &options->terminal, workers);
        print(out);
}

int verb_list(const Options *options, char **arguments) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        g_autoptr(GVariant) properties = NULL, workers = NULL;
        int r;

        r = connection_open_or_complain(&bus);
        if (r == 0)
                r = request_properties(bus, &properties);
        if (r == 0)
                r = request_read(bus, &list_workers, &workers);
        if (r != 0)
                return r;

        if (options->json)
                print_json(workers);
        else
                print_workers(options, properties, workers);
        if (!has_fault(properties))
                return EXIT_SUCCESS;
        complain("wbwatchd does not see all kernel workers: %s", lookup_string(properties, "Fault"));
        return EXIT_FAILURE;
}

int verb_episodes(const Options *options, char **arguments) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        g_autoptr(GVariant) episodes = NULL;
        g_autoptr(GString) out = g_string_new(NULL);
        int r;

        r = connection_open_or_complain(&bus);
        if (r == 0)
                r = request_read(bus, &list_episodes, &episodes);
        if (r != 0)
                return r;

        if (options->json)
                print_json(episodes);
        else {
                episodes_append(out, &options->terminal, episodes, usec_now(CLOCK_REALTIME));
                print(out);
        }
        return EXIT_SUCCESS;
}
