/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The parts of `wbctl episodes`: points in time, episodes from journal entries, one list, the plot, one in
 * full. */

#include "client.h"
#include "episode-history.h"
#include "journal.h"
#include "messages.h"
#include "plot.h"
#include "timestamp.h"
#include "values.h"

/* 2023-11-14 22:13:20 UTC, a Tuesday */
#define NOW UINT64_C(1700000000000000)

static const Terminal plain = { .utf8 = true };
static const Terminal ascii = {};

/* A value in GVariant's text format. */
static GVariant *parse(const char *text) {
        g_autoptr(GError) error = NULL;
        GVariant *value = g_variant_parse(NULL, text, NULL, NULL, &error);

        g_assert_no_error(error);
        return g_variant_ref_sink(value);
}

static void assert_fits(const char *text) {
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

        for (char **line = lines; *line; line++)
                g_assert_cmpint(g_utf8_strlen(*line, -1), <=, 80);
}

/* ---- points in time ---- */

static void set_zone(const char *zone) {
        g_assert_true(g_setenv("TZ", zone, true));
        tzset();
}

static void test_timestamps(void) {
        static const struct {
                const char *text;
                uint64_t seconds; /* UINT64_MAX: refused */
        } cases[] = {
                /* In Berlin it is 23:13:20 CET. */
                { "now", 1700000000 },
                { "today", 1699916400 },
                { "yesterday", 1699830000 },
                { "@1699999999", 1699999999 },
                { "-1h", 1699996400 },
                { "-1h 30min", 1699994600 },
                { "-90", 1699999910 },
                { "2d ago", 1699827200 },
                { "2023-11-14", 1699916400 },
                { "2023-11-14 10:00", 1699952400 },
                { "2023-11-14 10:00:01", 1699952401 },
                { "2023-11-14T10:00:01", 1699952401 },
                { "2023-11-14 10:00:01 CET", 1699952401 },
                { "2023-11-14 10:00:01 UTC", 1699956001 },
                { "10:00", 1699952400 },
                { "10:00:01", 1699952401 },
                { "10:00 UTC", 1699956000 },
                /* This hour came twice. */
                { "2023-10-29 02:30 CEST", 1698539400 },
                { "2023-10-29 02:30 CET", 1698543000 },
                /* The day before the clock was put forward has 24 h. */
                { "2023-03-26", 1679785200 },
                { "", UINT64_MAX },
                { "soon", UINT64_MAX },
                { "-", UINT64_MAX },
                { "-soon", UINT64_MAX },
                { "ago", UINT64_MAX },
                { "1h", UINT64_MAX },
                { "@", UINT64_MAX },
                { "@-1", UINT64_MAX },
                { "@99999999999999999999", UINT64_MAX },
                { "2023-11-31", UINT64_MAX },
                { "2023-11-14 25:00", UINT64_MAX },
                { "2023-11-14 10:00 PST", UINT64_MAX },
                { "2023-11-14 10:00 CET x", UINT64_MAX },
                { "1969-12-31", UINT64_MAX },
                { "7", UINT64_MAX },
        };

        set_zone("Europe/Berlin");
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint64_t usec = 5;
                int r = timestamp_parse(cases[i].text, NOW, &usec);

                g_test_message("\"%s\"", cases[i].text);
                if (cases[i].seconds == UINT64_MAX) {
                        g_assert_cmpint(r, ==, -EINVAL);
                        g_assert_cmpuint(usec, ==, 5);
                } else {
                        g_assert_cmpint(r, ==, 0);
                        g_assert_cmpuint(usec, ==, cases[i].seconds * USEC_PER_SEC);
                }
        }
        set_zone("UTC");
}

/* ---- episodes from journal entries ---- */

typedef struct Line {
        const char *id, *boot, *pid, *more; /* more fields, in GVariant's text format */
} Line;

/* Entries in the order in which they were logged, a second after another. */
static GVariant *history_of(const Line *lines, size_t n) {
        g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func((GDestroyNotify) g_variant_unref);

        for (size_t i = n; i-- > 0;) {
                g_autofree char *text = g_strdup_printf(
                                "{'MESSAGE_ID': '%s', '_BOOT_ID': '%s', '_PID': '%s', '" JOURNAL_TIME
                                "': '%" G_GUINT64_FORMAT "', %s}",
                                lines[i].id, lines[i].boot, lines[i].pid, (guint64) (i + 1) * USEC_PER_SEC,
                                lines[i].more);

                g_ptr_array_add(entries, parse(text));
        }
        return history_from_journal(entries);
}

#define EPISODE(number, start) "'EPISODE': '" number "', 'START_USEC': '" start "'"
#define SYNC(number, episode, start) "'SYNC': '" number "', " EPISODE(episode, start)

/* The boot, start and outcome of each episode, and the numbers of its syncs. */
static char *summary(GVariant *history) {
        GString *out = g_string_new(NULL);

        for (size_t i = 0; i < g_variant_n_children(history); i++) {
                g_autoptr(GVariant) episode = g_variant_get_child_value(history, i);
                g_autoptr(GVariant) syncs = lookup_list(episode, "Syncs");

                g_string_append_printf(
                                out, "%s %s@%" G_GUINT64_FORMAT " %s", i > 0 ? ";" : "",
                                lookup_string(episode, "BootID"),
                                (guint64) lookup_number_or_zero(episode, "StartUSec"),
                                lookup_string(episode, "Outcome"));
                for (size_t k = 0; k < g_variant_n_children(syncs); k++) {
                        g_autoptr(GVariant) sync = g_variant_get_child_value(syncs, k);

                        g_string_append_printf(
                                        out, " %" G_GUINT64_FORMAT "%s",
                                        (guint64) lookup_number_or_zero(sync, "Id"),
                                        lookup_is(sync, "Helped", "yes") ? "+" : "");
                }
        }
        return g_string_free(out, FALSE);
}

static void test_from_journal(void) {
        static const struct {
                const char *expected;
                Line lines[8];
        } cases[] = {
                { "", {} },
                { " a@10 cleared",
                  { { MESSAGE_EPISODE_STARTED, "a", "7", EPISODE("1", "10") },
                    { MESSAGE_EPISODE_ENDED, "a", "7", EPISODE("1", "10") ", 'OUTCOME': 'cleared'" } } },
                /* Killed, then numbers begin anew: with another process id, or with the same. */
                { " a@10 unknown 1; a@3000010 recovered 1+",
                  { { MESSAGE_EPISODE_STARTED, "a", "7", EPISODE("1", "10") },
                    { MESSAGE_SYNC_STARTED, "a", "7", SYNC("1", "1", "20") },
                    { MESSAGE_SYNC_FINISHED, "a", "7", SYNC("1", "1", "20") },
                    { MESSAGE_EPISODE_STARTED, "a", "8", EPISODE("1", "3000010") },
                    { MESSAGE_SYNC_STARTED, "a", "8", SYNC("1", "1", "3000020") },
                    { MESSAGE_SYNC_JUDGED, "a", "8", SYNC("1", "1", "3000020") ", 'HELPED': 'yes'" },
                    { MESSAGE_EPISODE_ENDED, "a", "8",
                      EPISODE("1", "3000010") ", 'OUTCOME': 'recovered'" } } },
                { " a@10 unknown 1; a@3000010 unknown 1",
                  { { MESSAGE_EPISODE_STARTED, "a", "7", EPISODE("1", "10") },
                    { MESSAGE_SYNC_STARTED, "a", "7", SYNC("1", "1", "20") },
                    { MESSAGE_SYNC_FINISHED, "a", "7", SYNC("1", "1", "20") },
                    { MESSAGE_EPISODE_STARTED, "a", "7", EPISODE("1", "3000010") },
                    { MESSAGE_SYNC_STARTED, "a", "7", SYNC("1", "1", "3000020") } } },
                /* The daemons of two boots. */
                { " a@10 unknown 1; b@20 unknown",
                  { { MESSAGE_EPISODE_STARTED, "a", "7", EPISODE("1", "10") },
                    { MESSAGE_SYNC_STARTED, "a", "7", SYNC("1", "1", "15") },
                    { MESSAGE_EPISODE_STARTED, "b", "7", EPISODE("1", "20") } } },
                /* Two at a time: the order is that of their start. */
                { " b@5 unknown; a@10 unknown",
                  { { MESSAGE_EPISODE_STARTED, "a", "7", EPISODE("1", "10") },
                    { MESSAGE_EPISODE_STARTED, "b", "8", EPISODE("1", "5") } } },
                /* Two daemons at the same time. */
                { " a@10 unknown 1; a@20 unknown",
                  { { MESSAGE_EPISODE_STARTED, "a", "7", EPISODE("1", "10") },
                    { MESSAGE_EPISODE_STARTED, "a", "8", EPISODE("1", "20") },
                    { MESSAGE_SYNC_STARTED, "a", "7", SYNC("1", "1", "30") } } },
                /* Requested before the stall, and judged in it. */
                { " a@2000010 unknown 1",
                  { { MESSAGE_SYNC_STARTED, "a", "7", SYNC("1", "0", "10") },
                    { MESSAGE_EPISODE_STARTED, "a", "7", EPISODE("1", "2000010") },
                    { MESSAGE_SYNC_FINISHED, "a", "7", SYNC("1", "1", "10") } } },
                /* The start was lost, or is older than the journal. */
                { " a@10 outlived 1",
                  { { MESSAGE_SYNC_STARTED, "a", "7", SYNC("1", "1", "20") },
                    { MESSAGE_EPISODE_ENDED, "a", "7", EPISODE("1", "10") ", 'OUTCOME': 'outlived'" } } },
                /* A sync outside of an episode, and entries without what identifies them. */
                { " a@10 unknown",
                  { { MESSAGE_EPISODE_STARTED, "a", "7", EPISODE("1", "10") },
                    { MESSAGE_SYNC_STARTED, "a", "7", SYNC("1", "0", "20") },
                    { MESSAGE_SYNC_STARTED, "a", "7", "'SYNC': '2', 'EPISODE': '1'" },
                    { MESSAGE_EPISODE_STARTED, "a", "7", "'START_USEC': '30'" },
                    { MESSAGE_EPISODE_STARTED, "a", "7", EPISODE("1", "x") } } },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autoptr(GVariant) history = NULL;
                g_autofree char *text = NULL;
                size_t n = 0;

                while (n < ELEMENTSOF(cases[i].lines) && cases[i].lines[n].id)
                        n++;
                history = history_of(cases[i].lines, n);
                text = summary(history);
                g_assert_cmpstr(text, ==, cases[i].expected);
        }
}

/* The journal orders the fields of an entry as it likes; what is malformed is left out. */
static void test_fields(void) {
        static const Line lines[] = {
                { MESSAGE_EPISODE_STARTED, "a", "7",
                  EPISODE("3", "10") ", 'RULE': 'crowd', 'WORK': 'x y', 'WORKERS': '2', 'WORKER': '1 2 3 4 "
                                     "early', "
                                     "'WBWATCH_DIRTY_BYTES': '4096', 'WBWATCH_CPU_PRESSURE_AVG10': '12.34', "
                                     "'WBWATCH_DYING_CGROUPS': 'many'" },
                { MESSAGE_SYNC_FINISHED, "a", "7",
                  SYNC("4", "3", "20") ", 'RULE': '', 'RESULT': 'ok', 'METHOD': 'auto', 'DRY_RUN': 'no', "
                                       "'DURATION_USEC': '5', 'FILESYSTEM': 'ok 6 ext4 /', "
                                       "'FILESYSTEM': 'timeout 7 xfs /srv/a b', 'FILESYSTEM': 'odd'" },
                { MESSAGE_EPISODE_ENDED, "a", "7",
                  EPISODE("3", "10") ", 'END_USEC': '90', 'OUTCOME': 'outlived', 'WORKERS': '14', "
                                     "'SPINNING_MAX': '13', 'WAITING_MAX': '99999999999', 'SYNCS': '5', "
                                     "'WORKER': '21 22 23 24 kworker/0:1+x', 'WORKER': '31 32 33 34 a b', "
                                     "'WORKER': 'odd', 'ALSO_SPINNING': 'one', 'ALSO_SPINNING': 'two', "
                                     "'WBWATCH_SAMPLES': '10,1,2 20,3 odd 30,4,5'" },
        };
        g_autoptr(GVariant) history = history_of(lines, ELEMENTSOF(lines));
        g_autofree char *text = g_variant_print(history, false);

        g_assert_cmpstr(text, ==,
                        "[{'Id': <uint64 3>, 'Rule': <'crowd'>, 'Work': <'x y'>, 'StartUSec': <uint64 10>, "
                        "'EndUSec': <uint64 90>, 'Outcome': <'outlived'>, 'WorkerCount': <uint32 14>, "
                        "'SpinningMax': <uint32 13>, 'WaitingMax': <uint32 4294967295>, "
                        "'AlsoSpinning': <['one', 'two']>, "
                        "'Evidence': <{'DirtyBytes': <uint64 4096>, 'CPUPressureAvg10': <12.34>}>, "
                        "'Samples': <[(uint64 10, uint32 1, uint32 2), (30, 4, 5)]>, "
                        "'Workers': <[{'Name': <'a b'>, 'PID': <uint32 31>, 'StartTime': <uint64 32>, "
                        "'RunningUSec': <uint64 33>, 'CPUUSec': <uint64 34>}, "
                        "{'Name': <'kworker/0:1+x'>, 'PID': <uint32 21>, 'StartTime': <uint64 22>, "
                        "'RunningUSec': <uint64 23>, 'CPUUSec': <uint64 24>}]>, "
                        "'Syncs': <[{'Id': <uint64 4>, 'Rule': <''>, 'StartUSec': <uint64 20>, "
                        "'DurationUSec': <uint64 5>, 'Result': <'ok'>, 'Helped': <'pending'>, "
                        "'Method': <'auto'>, 'Requested': <true>, 'DryRun': <false>, 'Evidence': <@a{sv} "
                        "{}>, "
                        "'Filesystems': <[{'Mountpoint': <'/srv/a b'>, 'Type': <'xfs'>, "
                        "'DurationUSec': <uint64 7>, 'Result': <'timeout'>}, {'Mountpoint': <'/'>, "
                        "'Type': <'ext4'>, 'DurationUSec': <uint64 6>, 'Result': <'ok'>}]>}]>, "
                        "'SyncCount': <uint32 5>, 'BootID': <'a'>, 'FromJournal': <true>}]");
}

/* ---- one list ---- */

static void test_merge(void) {
        static const Line lines[] = {
                { MESSAGE_EPISODE_STARTED, "a", "7", EPISODE("1", "10") },
                { MESSAGE_EPISODE_STARTED, "b", "7", EPISODE("1", "20") },
                { MESSAGE_EPISODE_STARTED, "b", "8", EPISODE("1", "30") },
        };
        static const struct {
                const char *daemon, *boot;
                HistoryFilter filter;
                const char *expected; /* the starts; a "d" behind those that the daemon has */
        } cases[] = {
                { NULL, "b", { 0, USEC_INFINITY, 9 }, " 10 20 30" },
                { "[{'StartUSec': <uint64 30>}]", "b", { 0, USEC_INFINITY, 9 }, " 10 20 30d" },
                { "[{'StartUSec': <uint64 10>}, {'StartUSec': <uint64 40>}]",
                  "b",
                  { 0, USEC_INFINITY, 9 },
                  " 10 10d 20 30 40d" },
                { "[{'StartUSec': <uint64 30>}]", "b", { 20, USEC_INFINITY, 9 }, " 20 30d" },
                { "[{'StartUSec': <uint64 30>}]", "b", { 31, USEC_INFINITY, 9 }, "" },
                { "[{'StartUSec': <uint64 30>}]", "b", { 0, 20, 9 }, " 10 20" },
                { "[{'StartUSec': <uint64 30>}]", "b", { 0, USEC_INFINITY, 2 }, " 20 30d" },
        };
        g_autoptr(GVariant) journal = history_of(lines, ELEMENTSOF(lines));

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autoptr(GVariant) daemon = cases[i].daemon ? parse(cases[i].daemon) : NULL, list = NULL;
                g_autoptr(GString) starts = g_string_new(NULL);

                list = history_merge(journal, daemon, cases[i].boot, &cases[i].filter);
                for (size_t k = 0; k < g_variant_n_children(list); k++) {
                        g_autoptr(GVariant) episode = g_variant_get_child_value(list, k);

                        g_string_append_printf(
                                        starts, " %" G_GUINT64_FORMAT "%s",
                                        (guint64) lookup_number_or_zero(episode, "StartUSec"),
                                        lookup_true(episode, "FromJournal") ? "" : "d");
                }
                g_assert_cmpstr(starts->str, ==, cases[i].expected);
        }
}

/* ---- the plot ---- */

static void assert_plot(const Terminal *terminal, const char *samples_text, const char *expected) {
        g_autoptr(GVariant) samples = parse(samples_text);
        g_autoptr(GVariant) syncs = parse("[{'Id': <uint64 1>, 'StartUSec': <uint64 16000000>}, "
                                          "{'Id': <uint64 23>, 'StartUSec': <uint64 17000000>}, "
                                          "{'Id': <uint64 24>, 'StartUSec': <uint64 1000000>}, "
                                          "{'Id': <uint64 25>, 'StartUSec': <uint64 99000000>}]");
        g_autoptr(GString) out = g_string_new(NULL);

        plot_append(out, terminal, samples, syncs);
        g_assert_cmpstr(out->str, ==, expected);
        assert_fits(out->str);
}

static void test_plot(void) {
        static const char rising[] =
                        "[(uint64 10000000, uint32 0, uint32 9), (14000000, 1, 0), (18000000, 12, 0), "
                        "(18100000, 3, 0), (22000000, 24, 0), (26000000, 0, 0)]";

        assert_plot(&ascii, rising,
                    "  24 |                                                ###############\n"
                    "     |                                                ###############\n"
                    "     |                                                ###############\n"
                    "     |                                                ###############\n"
                    "     |                                #               ###############\n"
                    "     |                                #               ###############\n"
                    "     |                                #               ###############\n"
                    "     |                ###############################################\n"
                    "   0 +----------------------------------------------------------------\n"
                    "      ^24                     ^1  ^23                                ^\n"
                    "      0                                                            16s\n");
        assert_plot(&plain, rising,
                    "  24 │                                                ███████████████\n"
                    "     │                                                ███████████████\n"
                    "     │                                                ███████████████\n"
                    "     │                                                ███████████████\n"
                    "     │                                █               ███████████████\n"
                    "     │                                █               ███████████████\n"
                    "     │                                █               ███████████████\n"
                    "     │                ▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂███████████████████████████████\n"
                    "   0 └────────────────────────────────────────────────────────────────\n"
                    "      ^24                     ^1  ^23                                ^\n"
                    "      0                                                            16s\n");

        assert_plot(&plain, "[(uint64 10000000, uint32 5, uint32 0)]", "");
        assert_plot(&plain, "@a(tuu) []", "");
        assert_plot(&plain, "[(uint64 10000000, uint32 5, uint32 0), (9000000, 5, 0)]", "");
}

/* ---- one in full ---- */

#define EVIDENCE(dirty, writes)                                                                              \
        "'Evidence': <{'DirtyBytes': <uint64 " dirty ">, 'VmscanWrites': <uint64 " writes                    \
        ">, 'CPUPressureTotalUSec': <uint64 " writes "000000>, 'IOPressureAvg10': <12.34>}>"

static void test_details(void) {
        g_autoptr(GVariant) episode = parse(
                        "{'Id': <uint64 3>, 'Rule': <'crowd'>, 'Work': <'inode_switch_wbs'>, "
                        "'StartUSec': <uint64 1699999900000000>, 'EndUSec': <uint64 1699999934500000>, "
                        "'Outcome': <'recovered'>, 'WorkerCount': <uint32 14>, 'SpinningMax': <uint32 13>, "
                        "'WaitingMax': <uint32 2>, 'AlsoSpinning': "
                        "<['kworker/u10:3+events_unbound']>, " EVIDENCE(
                                        "1048576",
                                        "7") ", "
                                             "'Samples': <[(uint64 1699999900000000, uint32 4, uint32 0), "
                                             "(1699999934500000, 13, 2)]>, "
                                             "'Workers': <[{'Name': <'kworker/0:1+inode_switch_wbs'>, 'PID': "
                                             "<uint32 101>, "
                                             "'RunningUSec': <uint64 20000000>, 'CPUUSec': <uint64 "
                                             "5500000>}]>, "
                                             "'Syncs': <[{'Id': <uint64 8>, 'StartUSec': <uint64 "
                                             "1699999900100000>, "
                                             "'DurationUSec': <uint64 30000000>, 'Result': <'stalled'>, "
                                             "'Helped': <'no'>, "
                                             "'Method': <'auto'>, " EVIDENCE(
                                                             "2097152",
                                                             "9") ", "
                                                                  "'Filesystems': <[{'Mountpoint': <'/srv'>, "
                                                                  "'Type': <'xfs'>, 'Result': <'timeout'>, "
                                                                  "'DurationUSec': <uint64 10000000>}, "
                                                                  "{'Mountpoint': <'/'>, 'Type': <'ext4'>, "
                                                                  "'Result': <'ok'>, 'DurationUSec': <uint64 "
                                                                  "1200000>}]>}, "
                                                                  "{'Id': <uint64 9>, 'StartUSec': <uint64 "
                                                                  "1699999930000000>, 'Requested': <true>, "
                                                                  "'DurationUSec': <uint64 900000>, "
                                                                  "'Result': <'ok'>, 'Helped': <'yes'>, "
                                                                  "'Method': <'sync'>}]>, "
                                                                  "'SyncCount': <uint32 2>, 'BootID': <'b'>, "
                                                                  "'FromJournal': <false>}");
        g_autoptr(GVariant) least = parse("{'Outcome': <'unknown'>, 'Syncs': <[{'DryRun': <true>}]>, "
                                          "'Evidence': <{'VmscanWrites': <uint64 7>}>}");
        g_autoptr(GString) out = g_string_new(NULL);

        episode_append(out, &ascii, episode, NOW);
        g_assert_cmpstr(out->str, ==,
                        "Stall in inode_switch_wbs: recovered after 34.5s, 2 syncs\n"
                        "  Began    2023-11-14 22:11:40 UTC (1min 40s ago)\n"
                        "  Ended    2023-11-14 22:12:14 UTC (1min 5s ago)\n"
                        "  Rule     crowd\n"
                        "  At most  14 running, 13 spinning, 2 waiting at once\n"
                        "  Boot     b\n"
                        "  also spinning: kworker/u10:3+events_unbound\n"
                        "\n"
                        "Spinning workers over time:\n"
                        "  13 |                                                               #\n"
                        "     |                                                               #\n"
                        "     |                                                               #\n"
                        "     |                                                               #\n"
                        "     |                                                               #\n"
                        "     |                                                               #\n"
                        "     |################################################################\n"
                        "     |################################################################\n"
                        "   0 +----------------------------------------------------------------\n"
                        "      ^8                                                     ^9\n"
                        "      0                                                          34.5s\n"
                        "\n"
                        "Syncs:\n"
                        "  SYNC  AFTER  TOOK   RESULT   HELPED  METHOD  CAUSE\n"
                        "  8     100ms  30s    stalled  no      auto    automatic\n"
                        "  9     30s    900ms  ok       yes     sync    requested\n"
                        "\n"
                        "Filesystems:\n"
                        "  sync 8: /srv (xfs): timeout 10s\n"
                        "  sync 8: / (ext4): ok 1.2s\n"
                        "\n"
                        "Evidence:\n"
                        "                        START    SYNC 8   SYNC 9\n"
                        "  DirtyBytes            1.0 MiB  2.0 MiB  -\n"
                        "  VmscanWrites          -        +2       -\n"
                        "  CPUPressureTotalUSec  -        +2s      -\n"
                        "  IOPressureAvg10       12.3 %   12.3 %   -\n"
                        "\n"
                        "Workers, with their longest runs:\n"
                        "  PID  RUNNING  CPU   NAME\n"
                        "  101  20s      5.5s  kworker/0:1+inode_switch_wbs\n");
        assert_fits(out->str);

        g_string_truncate(out, 0);
        episode_append(out, &ascii, least, NOW);
        g_assert_cmpstr(out->str, ==,
                        "Stall in ?: its end is not in the journal, dry run\n"
                        "  Began    1970-01-01 00:00:00 UTC (19675d 22h ago)\n"
                        "  Rule     ?\n"
                        "  At most  0 running, 0 spinning, 0 waiting at once\n"
                        "\n"
                        "Syncs:\n"
                        "  SYNC  AFTER  TOOK  RESULT  HELPED  METHOD  CAUSE\n"
                        "  0     0      0     -       -       -       dry run\n");
}

int main(int argc, char **argv) {
        set_zone("UTC");
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/episodes/timestamps", test_timestamps);
        g_test_add_func("/episodes/from-journal", test_from_journal);
        g_test_add_func("/episodes/fields", test_fields);
        g_test_add_func("/episodes/merge", test_merge);
        g_test_add_func("/episodes/plot", test_plot);
        g_test_add_func("/episodes/details", test_details);

        return g_test_run();
}
