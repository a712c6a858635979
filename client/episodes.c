/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The verb episodes: the list of stalls, or one of them in full. */

#include <inttypes.h>
#include <systemd/sd-id128.h>

#include "client.h"
#include "connection.h"
#include "episode-history.h"
#include "journal.h"
#include "json.h"
#include "messages.h"
#include "timestamp.h"
#include "values.h"

/* Lists of episodes fit into an ordinary terminal and an e-mail. */
#define EPISODE_COLUMNS 80

/* As many as wbwatchd keeps; and the most that -n may ask for. */
#define EPISODES_DEFAULT 64
#define EPISODES_MAX 10000

/* While a silent daemon is being waited for, the journal can hand over some entries only: it has this much
 * time for the others. */
#define HAND_OVER_USEC (300 * USEC_PER_MSEC)

char *describe_syncs(GVariant *episode) {
        uint64_t n = lookup_number_or_zero(episode, "SyncCount");
        g_autoptr(GVariant) syncs = lookup_list(episode, "Syncs"), last = syncs ? list_newest(syncs) : NULL;

        if (n > 0)
                return g_strdup_printf("%" PRIu64 " sync%s", n, plural(n));
        return g_strdup(last && lookup_true(last, "DryRun") ? "dry run" : "no sync");
}

bool episode_end_is_unknown(GVariant *episode) {
        return lookup_is(episode, "Outcome", OUTCOME_UNKNOWN);
}

char *describe_episode_length(GVariant *episode, uint64_t now_usec) {
        uint64_t end_usec, start_usec = lookup_number_or_zero(episode, "StartUSec");

        if (episode_end_is_unknown(episode))
                return g_strdup("?");
        if (!lookup_number(episode, "EndUSec", &end_usec))
                end_usec = now_usec;
        return span_format(usec_subtract(end_usec, start_usec));
}

/* "14 inode_switch_wbs": the most workers running at once, and their work. */
char *describe_episode_workers(const Terminal *terminal, GVariant *episode) {
        g_autofree char *work = lookup_escaped(terminal, episode, "Work");

        return g_strdup_printf("%" PRIu64 " %s", lookup_number_or_zero(episode, "WorkerCount"), work);
}

void also_spinning_append(GString *out, const Terminal *terminal, const char *indent, GVariant *episode) {
        g_autofree char *next_line = g_strdup_printf("\n%s              ", indent);
        g_autofree const char **names = NULL;
        size_t begin = out->len;

        if (!g_variant_lookup(episode, "AlsoSpinning", "^a&s", &names) || !*names)
                return;

        g_string_append_printf(out, "%salso spinning:", indent);
        for (size_t i = 0; names[i]; i++) {
                g_autofree char *name = terminal_escape(terminal, names[i]);

                if (i > 0 && out->len - begin + strlen(name) + 2 > EPISODE_COLUMNS) {
                        g_string_append(out, next_line);
                        begin = out->len - strlen(next_line) + 1;
                }
                g_string_append_printf(out, " %s%s", name, names[i + 1] ? "," : "");
        }
        g_string_append_c(out, '\n');
}

/* The zone is in the heading: in each row it would be too wide. */
static void episodes_add_headings(Table *table, const char *zone) {
        static const char *const others[] = { "LASTED", "OUTCOME", "SYNCS", "WORKERS", NULL };

        table_add(table, "ID");
        table_add_owned(table, g_strdup_printf("BEGAN (%s)", zone));
        table_add_all(table, others);
}

/* The number in the running daemon; others are named by their start. */
static char *describe_episode_id(GVariant *episode) {
        return lookup_true(episode, "FromJournal")
                               ? g_strdup("-")
                               : g_strdup_printf("%" PRIu64, lookup_number_or_zero(episode, "Id"));
}

static Table *episodes_table(const Terminal *terminal, GVariant *episodes, uint64_t now_usec) {
        Table *table = table_new(6);
        g_autofree char *zone = zone_format(now_usec);

        episodes_add_headings(table, zone);
        for (size_t i = 0; i < g_variant_n_children(episodes); i++) {
                g_autoptr(GVariant) episode = g_variant_get_child_value(episodes, i);
                uint64_t start_usec = lookup_number_or_zero(episode, "StartUSec");

                table_add_owned(table, describe_episode_id(episode));
                table_add_owned(table, time_format_in_zone(start_usec, zone));
                table_add_owned(table, describe_episode_length(episode, now_usec));
                table_add_owned(table, lookup_escaped(terminal, episode, "Outcome"));
                table_add_owned(table, describe_syncs(episode));
                table_add_owned(table, describe_episode_workers(terminal, episode));
        }
        return table;
}

/* A line before the first episode of a boot, unless that is the boot before. */
static void boot_append(GString *out, const Terminal *terminal, GVariant *episode, char **boot_id) {
        const char *id = lookup_string(episode, "BootID");
        g_autofree char *escaped = NULL;

        if (!id || streq(id, *boot_id))
                return;
        g_free(*boot_id);
        *boot_id = g_strdup(id);
        escaped = terminal_escape(terminal, id);
        g_string_append_printf(out, "-- boot %s\n", escaped);
}

void episodes_append(
                GString *out,
                const Terminal *terminal,
                GVariant *episodes,
                const char *boot_id,
                uint64_t now_usec) {
        _cleanup_(table_freep) Table *table = episodes_table(terminal, episodes, now_usec);
        g_autofree char *last_boot_id = g_strdup(boot_id);
        g_autoptr(GString) rows = g_string_new(NULL);
        g_auto(GStrv) lines = NULL;

        /* Each row is a line, followed by the details of its episode. */
        table_append(table, rows, "");
        lines = g_strsplit(rows->str, "\n", -1);
        g_string_append_printf(out, "%s\n", lines[0]);
        for (size_t i = 0; i < g_variant_n_children(episodes); i++) {
                g_autoptr(GVariant) episode = g_variant_get_child_value(episodes, i);

                boot_append(out, terminal, episode, &last_boot_id);
                g_string_append_printf(out, "%s\n", lines[i + 1]);
                if (episode_end_is_unknown(episode))
                        g_string_append(out, "    its end is not in the journal\n");
                also_spinning_append(out, terminal, "    ", episode);
        }
}

/* The selection */

typedef struct Selection {
        HistoryFilter filter;
        JournalQuery query;
        bool asks_daemon;                         /* it may have some of them */
        char boot_id[SD_ID128_STRING_MAX];        /* the boot of the daemon */
        char wanted_boot_id[SD_ID128_STRING_MAX]; /* of --boot */
} Selection;

static int time_from_option(const char *name, const char *text, uint64_t *ret_usec) {
        if (!text || timestamp_parse(text, usec_now(CLOCK_REALTIME), ret_usec) >= 0)
                return 0;
        complain("%s: \"%s\" is not a time: write it as " TIMESTAMP_FORMS ".", name, text);
        return EXIT_USAGE;
}

int lines_parse(const char *text, size_t max, size_t *ret) {
        guint64 n;

        if (!text)
                return 0;
        if (!g_ascii_string_to_unsigned(text, 10, 1, max, &n, NULL)) {
                complain("--lines: \"%s\" is not a number from 1 to %zu.", text, max);
                return EXIT_USAGE;
        }
        *ret = (size_t) n;
        return 0;
}

/* The newest boot of the journal is taken for that of the daemon. */
static int boot_from_option(const char *text, Selection *selection) {
        sd_id128_t id;
        guint64 n;

        if (!text)
                return 0;
        selection->query.boot = text;
        if (sd_id128_from_string(text, &id) >= 0) {
                selection->query.boot = sd_id128_to_string(id, selection->wanted_boot_id);
                selection->asks_daemon =
                                selection->asks_daemon && streq(selection->query.boot, selection->boot_id);
                return 0;
        }
        if (!g_ascii_string_to_unsigned(*text == '-' ? text + 1 : text, 10, 0, EPISODES_MAX, &n, NULL) ||
            (n > 0 && *text != '-')) {
                complain("--boot: \"%s\" is no boot: write 0 for this one, -1 for the one before, down to "
                         "-%d, or its ID of 32 hexadecimal digits.",
                         text, EPISODES_MAX);
                return EXIT_USAGE;
        }
        selection->asks_daemon = selection->asks_daemon && n == 0;
        return 0;
}

/* Returns 0 or an exit status. */
static int selection_from_options(const Options *options, Selection *ret) {
        sd_id128_t boot_id;
        int r;

        *ret = (Selection){
                .filter = { .until_usec = USEC_INFINITY, .max = EPISODES_DEFAULT },
                .query = { .directory = options->directory,
                           .message_ids = history_message_ids,
                           .counted_id = MESSAGE_EPISODE_STARTED },
                .asks_daemon = !options->directory,
        };
        if (!destination_is_remote() && sd_id128_get_boot(&boot_id) >= 0)
                (void) sd_id128_to_string(boot_id, ret->boot_id);

        r = time_from_option("--since", options->since, &ret->filter.since_usec);
        if (r == 0)
                r = time_from_option("--until", options->until, &ret->filter.until_usec);
        if (r == 0)
                r = lines_parse(options->lines, EPISODES_MAX, &ret->filter.max);
        if (r == 0)
                r = boot_from_option(options->boot, ret);
        ret->query.since_usec = ret->filter.since_usec;
        /* Newer ones that --until leaves out count, too. */
        ret->query.max_entries = options->until ? EPISODES_MAX : ret->filter.max;
        if (destination_is_remote())
                ret->query.max_entries = 0;
        return r;
}

static bool is_number(const char *name, guint64 *ret) {
        return g_ascii_string_to_unsigned(name, 10, 0, G_MAXUINT64, ret, NULL);
}

/* Selects one: by its number in the running daemon, or by the second of its start. */
static int select_named(Selection *selection, const char *name) {
        uint64_t usec;
        guint64 number;

        if (is_number(name, &number)) {
                selection->query.max_entries = 0;
                return 0;
        }
        if (timestamp_parse(name, usec_now(CLOCK_REALTIME), &usec) < 0) {
                complain("\"%s\" is neither the number of a stall nor when it began, such as "
                         "\"2026-11-29 10:00:00\".",
                         name);
                return EXIT_FAILURE;
        }
        usec -= usec % USEC_PER_SEC;
        selection->filter.since_usec = selection->query.since_usec = usec;
        selection->filter.until_usec = usec + USEC_PER_SEC - 1;
        selection->query.max_entries = destination_is_remote() ? 0 : EPISODES_MAX;
        return 0;
}

/* Where they come from */

typedef struct Found {
        GVariant *episodes;
        int status;        /* 0, or an exit status: why the daemon's are missing */
        int journal_error; /* 0, or a negative errno: why some of the journal's are missing */
} Found;

static int ask_daemon(GVariant **ret) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        int r;

        r = connection_open_or_complain(&bus);
        return r != 0 ? r : request_episodes(bus, ret);
}

/* Asks the daemon while the journal is being read. Complains about what is missing. */
static void find_episodes(const Selection *selection, Found *ret) {
        JournalReader *reader = NULL;
        uint64_t deadline_usec = usec_add(usec_now(CLOCK_MONOTONIC), JOURNAL_TIMEOUT_USEC);
        g_autoptr(GVariant) daemon = NULL, journal = NULL;
        g_autoptr(GPtrArray) entries = NULL;

        *ret = (Found){};
        if (selection->query.max_entries > 0)
                reader = journal_reader_start(&selection->query);
        if (selection->asks_daemon)
                ret->status = ask_daemon(&daemon);
        deadline_usec = MAX(deadline_usec, usec_add(usec_now(CLOCK_MONOTONIC), HAND_OVER_USEC));
        entries = journal_reader_finish(reader, deadline_usec, &ret->journal_error);
        journal = history_from_journal(entries);
        ret->episodes = history_merge(journal, daemon, selection->boot_id, &selection->filter);

        if (ret->journal_error < 0) {
                g_autofree char *words = journal_explain(&selection->query, ret->journal_error);

                complain("%s.%s", words,
                         daemon ? "\nListing what the running wbwatchd has seen since its start." : "");
        }
        if (daemon && destination_is_remote()) {
                g_autofree char *suffix = destination_suffix();

                complain("Only what wbwatchd%s has seen since its start: the journal there is not read.",
                         suffix);
        }
}

/* One of them */

/* Of those that the selection let pass: see select_named(). */
static GVariant *find_named(GVariant *episodes, const char *name) {
        for (size_t i = g_variant_n_children(episodes); i-- > 0;) {
                g_autoptr(GVariant) episode = g_variant_get_child_value(episodes, i);
                guint64 number;

                if (!is_number(name, &number) ||
                    (!lookup_true(episode, "FromJournal") && lookup_number_or_zero(episode, "Id") == number))
                        return g_steal_pointer(&episode);
        }
        return NULL;
}

static int print_named(const Options *options, const Found *found, const char *name) {
        g_autoptr(GVariant) episode = find_named(found->episodes, name);
        g_autoptr(GString) out = g_string_new(NULL);

        if (!episode) {
                complain("There is no stall \"%s\": `wbctl episodes` lists them.", name);
                return found->status ?: EXIT_FAILURE;
        }
        if (options->json)
                json_print(episode);
        else {
                episode_append(out, &options->terminal, episode, usec_now(CLOCK_REALTIME));
                text_print(out);
        }
        return EXIT_SUCCESS;
}

static void print_list(const Options *options, const Selection *selection, const Found *found) {
        bool complete = found->status == 0 && found->journal_error == 0 && !destination_is_remote();
        bool all = !options->since && !options->until && !options->boot;
        g_autoptr(GString) out = g_string_new(NULL);

        if (options->json)
                json_print(found->episodes);
        else if (g_variant_n_children(found->episodes) > 0) {
                episodes_append(out, &options->terminal, found->episodes, selection->boot_id,
                                usec_now(CLOCK_REALTIME));
                text_print(out);
        } else if (complete)
                g_print(all ? "No stall has been recorded.\n" : "No stall has been recorded in that time.\n");
        else if (found->status == 0 && selection->asks_daemon)
                g_print("No stall since wbwatchd started.\n");
}

int verb_episodes(const Options *options, char **arguments) {
        Selection selection;
        Found found;
        int r;

        r = selection_from_options(options, &selection);
        if (r == 0 && arguments[0])
                r = select_named(&selection, arguments[0]);
        if (r != 0)
                return r;

        find_episodes(&selection, &found);
        r = found.status;
        if (r == 0 && found.journal_error < 0 && !selection.asks_daemon)
                r = EXIT_FAILURE;

        if (arguments[0])
                r = print_named(options, &found, arguments[0]);
        else
                print_list(options, &selection, &found);
        g_variant_unref(found.episodes);
        return r;
}
