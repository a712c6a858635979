/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The metrics for Prometheus without a daemon: their text for given properties, held against the parsers of
 * others; the header Accept; wbctl metrics; the rules, the dashboard and the units.
 */

#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <sys/fanotify.h>
#include <sys/stat.h>

#include "metrics.h"
#include "prometheus.h"
#include "run-wbctl.h"

#define FIXES "{'stall-2025': true, 'stall-2026': false}"

static GVariant *parse(const char *text, const char *type) {
        g_autoptr(GError) error = NULL;
        GVariant *value = g_variant_parse(G_VARIANT_TYPE(type), text, NULL, NULL, &error);

        g_assert_no_error(error);
        return value;
}

static char *write_metrics(MetricsFormat format, const char *properties) {
        g_autoptr(GVariant) fixes = parse(FIXES, "a{sb}");
        g_autoptr(GVariant) value = properties ? parse(properties, "a{sv}") : NULL;

        return metrics_write(format, value, fixes);
}

#define assert_has(text, part)                                                                               \
        do {                                                                                                 \
                if (!strstr((text), (part)))                                                                 \
                        g_error("\"%s\" is missing in:\n%s", (part), (text));                                \
        } while (false)

#define assert_lacks(text, part) g_assert_null(strstr((text), (part)))

/* A stall, with mountpoints that are odd, occur twice, and have a result that nobody knows. */
#define STALL                                                                                                \
        "{'Version': <'0.2.0'>, 'State': <'syncing'>, 'StartUSec': <uint64 1700000000123456>, "              \
        "'SpinningCount': <uint32 6>, 'WaitingCount': <uint32 2>, 'LongestRunUSec': <uint64 31000001>, "     \
        "'EpisodeCounts': <{'recovered': uint64 3, 'cleared': 1, 'outlived': 0, 'ongoing': 1}>, "            \
        "'SyncCounts': <{'ok': uint64 4, 'stalled': 1}>, 'SyncsUnhelpful': <uint32 2>, "                     \
        "'LastSyncUSec': <uint64 1700000100000000>, 'LastSyncDurationUSec': <uint64 1500000>, "              \
        "'LostEvents': <uint64 18446744073709551615>, 'EventSource': <'netlink'>, "                          \
        "'PausedUntilUSec': <uint64 0>, 'DryRun': <false>, 'Fault': <''>, "                                  \
        "'FilesystemResults': <[{'Mountpoint': <'/a\"b\\\\c\\nd\xc3\xa9'>, 'Result': <'ok'>}, "              \
        "{'Mountpoint': <'/twice'>, 'Result': <'timeout'>}, {'Mountpoint': <'/twice'>, 'Result': <'ok'>}, "  \
        "{'Mountpoint': <'/raw\\\\xff'>, 'Result': <'slow'>}, "                                              \
        "{'Mountpoint': <'/new'>, 'Result': <'unheard-of'>}]>}"

static void test_text(void) {
        g_autofree char *text = write_metrics(METRICS_TEXT, STALL);

        assert_has(text, "wbwatch_up 1\n");
        assert_has(text, "# TYPE wbwatch_build_info gauge\nwbwatch_build_info{version=\"0.2.0\"} 1\n");
        assert_has(text, "wbwatch_state{state=\"syncing\"} 1\n");
        assert_has(text, "wbwatch_state{state=\"idle\"} 0\n");
        assert_has(text, "wbwatch_workers{kind=\"spinning\"} 6\nwbwatch_workers{kind=\"waiting\"} 2\n");
        assert_has(text, "wbwatch_longest_run_seconds 31.000001\n");
        assert_has(text, "# TYPE wbwatch_episodes_total counter\n");
        assert_has(text, "wbwatch_episodes_total{outcome=\"recovered\"} 3\n");
        assert_has(text, "wbwatch_episodes_total{outcome=\"outlived\"} 0\n");
        assert_has(text, "wbwatch_episode_active 1\n");
        assert_has(text, "wbwatch_syncs_total{result=\"ok\"} 4\n");
        assert_has(text, "wbwatch_syncs_total{result=\"failed\"} 0\n");
        assert_has(text, "wbwatch_syncs_unhelpful 2\n");
        assert_has(text, "wbwatch_last_sync_timestamp_seconds 1700000100.000000\n");
        assert_has(text, "wbwatch_last_sync_duration_seconds 1.500000\n");
        assert_has(text, "wbwatch_start_time_seconds 1700000000.123456\n");
        assert_has(text, "wbwatch_lost_events_total 18446744073709551615\n");
        assert_has(text, "wbwatch_event_source{source=\"netlink\"} 1\n");
        assert_has(text, "wbwatch_paused 0\n");
        assert_has(text, "wbwatch_dry_run 0\n");
        assert_has(text, "wbwatch_fault 0\n");
        assert_has(text, "wbwatch_kernel_fixed{fix=\"stall-2025\"} 1\n");
        assert_has(text, "wbwatch_kernel_fixed{fix=\"stall-2026\"} 0\n");
        assert_lacks(text, "# EOF");
        assert_lacks(text, "_usec");
}

static void test_filesystems(void) {
        g_autofree char *text = write_metrics(METRICS_TEXT, STALL);

        assert_has(text, "wbwatch_filesystem_sync_result{mountpoint=\"/"
                         "a\\\"b\\\\c\\nd\xc3\xa9\",result=\"ok\"} 1\n");
        assert_has(text, "wbwatch_filesystem_sync_result{mountpoint=\"/raw\\\\xff\",result=\"slow\"} 1\n");
        /* The worse result of two counts, whichever comes first; and no series occurs twice. */
        assert_has(text, "{mountpoint=\"/twice\",result=\"timeout\"} 1\n");
        assert_has(text, "{mountpoint=\"/twice\",result=\"ok\"} 0\n");
        assert_lacks(text, "/new");
}

static void test_openmetrics(void) {
        g_autofree char *text = write_metrics(METRICS_OPENMETRICS, STALL);

        assert_has(text, "# TYPE wbwatch_build info\nwbwatch_build_info{version=\"0.2.0\"} 1\n");
        assert_has(text, "# TYPE wbwatch_episodes counter\nwbwatch_episodes_total{outcome=");
        g_assert_true(g_str_has_suffix(text, "\n# EOF\n"));
}

static void test_states(void) {
        static const struct {
                const char *properties, *lines;
        } rows[] = {
                { "{'State': <'paused'>}", "wbwatch_paused 1\n" },
                { "{'State': <'syncing'>, 'PausedUntilUSec': <uint64 18446744073709551615>}",
                  "wbwatch_paused 1\n" },
                { "{'State': <'idle'>, 'Inhibitors': <[{'Who': <'x'>}]>}", "wbwatch_paused 1\n" },
                { "{'State': <'idle'>, 'Inhibitors': <@aa{sv} []>}", "wbwatch_paused 0\n" },
                { "{'DryRun': <true>}", "wbwatch_dry_run 1\n" },
                { "{'Fault': <'no kernel threads'>}", "wbwatch_fault 1\n" },
                { "{'State': <'new-one'>}", "wbwatch_state{state=\"busy\"} 1\n" },
                { "{'EventSource': <'polling'>}", "wbwatch_event_source{source=\"polling\"} 1\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                g_autofree char *text = write_metrics(METRICS_TEXT, rows[i].properties);

                assert_has(text, rows[i].lines);
        }
}

/* What is missing, or 0 before the first sync, is not made up. */
static void test_absent(void) {
        g_autofree char *down = write_metrics(METRICS_TEXT, NULL);
        g_autofree char *old =
                        write_metrics(METRICS_TEXT, "{'Version': <'0.1.0'>, 'LastSyncUSec': <uint64 0>}");

        assert_has(down, "wbwatch_up 0\n");
        assert_has(down, "wbwatch_kernel_fixed{");
        assert_lacks(down, "wbwatch_state");
        assert_has(old, "wbwatch_up 1\n");
        assert_lacks(old, "last_sync");
        assert_lacks(old, "wbwatch_episodes_total");
        assert_lacks(old, "wbwatch_start_time");
}

/* What others read in it: everything, once. */
static void test_parsers(void) {
        const char *const all[] = { STALL, NULL, "{'State': <'idle'>}" };

        if (!prometheus_is_there())
                return;
        for (size_t i = 0; i < ELEMENTSOF(all); i++) {
                g_autofree char *text = write_metrics(METRICS_TEXT, all[i]);
                g_autofree char *openmetrics = write_metrics(METRICS_OPENMETRICS, all[i]);
                g_autofree char *samples = metrics_parse(text, false),
                                *same = metrics_parse(openmetrics, true);

                g_assert_cmpstr(samples, ==, same);
                assert_has(samples, all[i] ? "wbwatch_up {} 1.0\n" : "wbwatch_up {} 0.0\n");
                if (i == 0)
                        assert_has(samples, "{'mountpoint': '/a\"b\\\\c\\nd\xc3\xa9', 'result': 'ok'} 1.0\n");
        }
}

static void test_negotiate(void) {
        static const struct {
                const char *accept;
                MetricsFormat format;
        } rows[] = {
                { NULL, METRICS_TEXT },
                { "", METRICS_TEXT },
                { "*/*", METRICS_TEXT },
                { "text/html", METRICS_TEXT },
                { "text/plain", METRICS_TEXT },
                { "application/json", METRICS_TEXT },
                { "application/openmetrics-text", METRICS_OPENMETRICS },
                { "Application/OpenMetrics-Text ; VERSION=\"1.0.0\" ; Q=1", METRICS_OPENMETRICS },
                { "application/openmetrics-text;version=1.0.0", METRICS_OPENMETRICS },
                { "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;q=0.4",
                  METRICS_OPENMETRICS },
                /* Prometheus 2.42 */
                { "application/openmetrics-text;version=1.0.0,application/"
                  "openmetrics-text;version=0.0.1;q=0.75,"
                  "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                  METRICS_OPENMETRICS },
                /* A version that is not served; another one is preferred. */
                { "application/openmetrics-text;version=2.0.0,text/plain;version=0.0.4;q=0.5", METRICS_TEXT },
                { "application/openmetrics-text;version=0.0.1", METRICS_TEXT },
                { "application/openmetrics-text;q=0.4,text/plain;q=0.5", METRICS_TEXT },
                { "application/openmetrics-text;q=0.499,text/plain;q=0.5", METRICS_TEXT },
                { "text/plain;q=0.5,application/openmetrics-text;q=0.501", METRICS_OPENMETRICS },
                /* 0: not acceptable. The range that describes it most closely counts, not the first. */
                { "application/openmetrics-text;q=0,*/*", METRICS_TEXT },
                { "*/*;q=0.9,text/plain;q=0.1,application/openmetrics-text;q=0.2", METRICS_OPENMETRICS },
                { "application/openmetrics-text,text/plain;q=0", METRICS_OPENMETRICS },
                { "text/plain;q=0", METRICS_TEXT },
                { "application/*", METRICS_OPENMETRICS },
                { "application/*,text/*", METRICS_TEXT },
                /* Both alike, and OpenMetrics by its name */
                { "application/openmetrics-text,*/*", METRICS_OPENMETRICS },
                { "text/plain,application/openmetrics-text", METRICS_TEXT },
                /* Not valid: such a range does not count. */
                { "application/openmetrics-text;q=2", METRICS_TEXT },
                { "application/openmetrics-text;q=1.1", METRICS_TEXT },
                { "application/openmetrics-text;q=", METRICS_TEXT },
                { "application/openmetrics-text;q=x,text/plain;q=0.1", METRICS_TEXT },
                { "application/openmetrics-text;q=0.9999", METRICS_TEXT },
                { ",;,;q=1,/,application/openmetrics-text;;", METRICS_OPENMETRICS },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                g_test_message("%s", rows[i].accept);
                g_assert_cmpint(metrics_negotiate(rows[i].accept), ==, rows[i].format);
        }
}

/* wbctl metrics */

static char *own_folder(void) {
        g_autoptr(GError) error = NULL;
        char *folder = g_dir_make_tmp("test-metrics-XXXXXX", &error);

        g_assert_no_error(error);
        return folder;
}

static unsigned count_files(const char *folder) {
        g_autoptr(GDir) entries = g_dir_open(folder, 0, NULL);
        unsigned n = 0;

        g_assert_nonnull(entries);
        while (g_dir_read_name(entries))
                n++;
        return n;
}

/* The file as a whole replaces another one, readable by anyone whatever the umask is, and nothing else is
 * left. */
static void test_file(void) {
        g_autofree char *folder = own_folder(), *path = g_build_filename(folder, "wbwatch.prom", NULL);
        g_autofree char *arguments = g_strdup_printf("metrics --output='%s'", path), *text = NULL;
        mode_t mask = umask(0077);
        _cleanup_close_ int old_fd = -EBADF;
        struct stat status;

        g_assert_true(g_file_set_contents(path, "old", -1, NULL));
        old_fd = open(path, O_RDONLY | O_CLOEXEC);
        for (unsigned i = 0; i < 2; i++) {
                g_autofree char *out = NULL, *err = NULL;

                g_assert_cmpint(run_wbctl(arguments, NULL, &out, &err), ==, 0);
                g_assert_cmpstr(out, ==, "");
                g_assert_cmpstr(err, ==, "");
        }
        (void) umask(mask);
        g_assert_no_errno(stat(path, &status));
        g_assert_cmpuint(status.st_mode, ==, S_IFREG | 0644);
        g_assert_no_errno(fstat(old_fd, &status));
        g_assert_cmpuint(status.st_nlink, ==, 0);
        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        assert_has(text, "wbwatch_up 0\n");
        g_assert_cmpuint(count_files(folder), ==, 1);
        g_assert_no_errno(g_unlink(path));
        g_assert_no_errno(g_rmdir(folder));
}

static void test_file_fails(void) {
        g_autofree char *folder = own_folder(), *out = NULL, *err = NULL, *path = NULL, *arguments = NULL;

        g_assert_cmpint(run_wbctl("metrics --output=/nonexistent/x.prom", NULL, &out, &err), ==, 1);
        assert_has(err, "Cannot write /nonexistent/x.prom: No such file or directory.\n");

        /* A folder cannot be replaced: the temporary file is removed. */
        path = g_build_filename(folder, "x.prom", NULL);
        g_assert_no_errno(g_mkdir(path, 0700));
        arguments = g_strdup_printf("metrics --output='%s'", path);
        g_clear_pointer(&out, g_free);
        g_clear_pointer(&err, g_free);
        g_assert_cmpint(run_wbctl(arguments, NULL, &out, &err), ==, 1);
        assert_has(err, "Cannot write ");
        g_assert_cmpuint(count_files(folder), ==, 1);
        g_assert_no_errno(g_rmdir(path));
        g_assert_no_errno(g_rmdir(folder));
}

/* A folder in which every open hangs, as on a disk that does not answer: however often it is tried, one file
 * is left at most. The next run that can write replaces it, and follows no link of its name. */
static void test_file_hangs(void) {
        g_autofree char *folder = own_folder(), *path = g_build_filename(folder, "wbwatch.prom", NULL);
        g_autofree char *arguments = g_strdup_printf("metrics --output='%s'", path), *text = NULL;
        g_autofree char *temporary = g_strconcat(path, ".wbctl-new", NULL);
        g_autofree char *other = g_build_filename(folder, "other", NULL);
        int fd = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY);

        if (fd < 0) {
                g_test_skip("needs root");
                g_assert_no_errno(g_rmdir(folder));
                return;
        }
        g_assert_no_errno(fanotify_mark(
                        fd, FAN_MARK_ADD, FAN_OPEN_PERM | FAN_EVENT_ON_CHILD, AT_FDCWD, folder));
        for (unsigned i = 0; i < 3; i++) {
                g_autofree char *out = NULL, *err = NULL;

                g_assert_cmpint(run_wbctl(arguments, NULL, &out, &err), ==, 1);
                assert_has(err, "wbwatch.prom in time: its disk may hang. Use a folder in /run.\n");
                g_assert_cmpuint(count_files(folder), ==, 1);
        }
        g_assert_no_errno(close(fd));

        (void) g_unlink(temporary);
        g_assert_no_errno(symlink(other, temporary));
        g_assert_cmpint(run_wbctl(arguments, NULL, NULL, NULL), ==, 0);
        g_assert_cmpuint(count_files(folder), ==, 1);
        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        assert_has(text, "wbwatch_up 0\n");
        g_assert_no_errno(g_unlink(path));
        g_assert_no_errno(g_rmdir(folder));
}

/* To stdout, and with the installed table of kernels or this one. */
static void test_stdout(void) {
        g_autofree char *table =
                        g_build_filename(g_getenv("WBWATCH_SOURCE_DIR"), "client/kernels.conf", NULL);
        g_autofree char *arguments = g_strdup_printf("metrics --table='%s'", table), *out = NULL, *err = NULL;
        g_autofree char *none = NULL;

        g_assert_cmpint(run_wbctl(arguments, NULL, &out, &err), ==, 0);
        g_assert_cmpstr(err, ==, "");
        assert_has(out, "wbwatch_up 0\n");
        if (g_file_test("/sys/kernel/btf/vmlinux", G_FILE_TEST_EXISTS)) /* which shows this bug */
                assert_has(out, "wbwatch_kernel_fixed{fix=\"stall-2025\"} ");
        g_clear_pointer(&err, g_free);
        g_assert_cmpint(run_wbctl("metrics --table=/nonexistent", NULL, &none, &err), ==, 0);
        assert_lacks(none, "wbwatch_kernel_fixed");
}

/* What ships for Prometheus and Grafana */

static void test_rules(void) {
        if (!prometheus_is_there())
                return;
        promtool("check rules service/deploy/prometheus/wbwatch.rules.yml");
        promtool("check config service/deploy/prometheus/prometheus.yml");
        promtool("test rules service/deploy/prometheus/wbwatch.rules-test.yml");
}

/* The sandbox of the service, as systemd rates it: in tenths, of 100. */
static void test_sandbox(void) {
        g_autofree char *command =
                        g_strdup_printf("systemd-analyze security --offline=true --no-pager --threshold=5 "
                                        "%s/wbwatch-exporter.service",
                                        g_getenv("WBWATCH_BUILD_DIR"));
        g_autofree char *program = g_find_program_in_path("systemd-analyze"), *out = NULL, *err = NULL;
        g_autoptr(GError) error = NULL;
        int status;

        if (!program || !g_getenv("WBWATCH_EXPORTER")) {
                g_test_skip("no systemd-analyze, or no wbwatch-exporter");
                return;
        }
        g_spawn_command_line_sync(command, &out, &err, &status, &error);
        g_assert_no_error(error);
        g_test_message("%s%s", out, err);
        g_assert_true(g_spawn_check_wait_status(status, NULL));
}

/* The text of a project file. */
static char *read_source(const char *path) {
        g_autofree char *full = g_build_filename(g_getenv("WBWATCH_SOURCE_DIR"), path, NULL), *text = NULL;
        g_autoptr(GError) error = NULL;

        g_file_get_contents(full, &text, NULL, &error);
        g_assert_no_error(error);
        return g_steal_pointer(&text);
}

/* Each name of a metric in the first text occurs in the second. */
static void assert_names(const char *text, const char *pattern, const char *others) {
        g_autoptr(GRegex) regex = g_regex_new(pattern, 0, 0, NULL);
        g_autoptr(GMatchInfo) match = NULL;
        unsigned n = 0;

        for (g_regex_match(regex, text, 0, &match); g_match_info_matches(match);
             g_match_info_next(match, NULL)) {
                g_autofree char *name = g_match_info_fetch(match, 1);

                if (!strstr(others, name))
                        g_error("%s is not known", name);
                n++;
        }
        g_assert_cmpuint(n, >, 5);
}

/* The manual page has each metric, and rules and dashboard have no others. */
static void test_names(void) {
        g_autofree char *page = read_source("client/wbwatch-exporter.8");
        g_autofree char *rules = read_source("service/deploy/prometheus/wbwatch.rules.yml");
        g_autofree char *dashboard = read_source("service/deploy/grafana/wbwatch.json");
        g_autofree char *text = write_metrics(METRICS_TEXT, STALL);

        assert_names(text, "# TYPE (wbwatch_[a-z_]+) ", page);
        assert_names(page, "[^a-z](wbwatch_[a-z_]+)[^a-z]", text);
        assert_names(rules, "[^a-z](wbwatch_[a-z_]+)", text);
        assert_names(dashboard, "[^a-z](wbwatch_[a-z_]+)", text);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/metrics/text", test_text);
        g_test_add_func("/metrics/filesystems", test_filesystems);
        g_test_add_func("/metrics/openmetrics", test_openmetrics);
        g_test_add_func("/metrics/states", test_states);
        g_test_add_func("/metrics/absent", test_absent);
        g_test_add_func("/metrics/parsers", test_parsers);
        g_test_add_func("/metrics/negotiate", test_negotiate);
        g_test_add_func("/metrics/file", test_file);
        g_test_add_func("/metrics/file-fails", test_file_fails);
        g_test_add_func("/metrics/file-hangs", test_file_hangs);
        g_test_add_func("/metrics/stdout", test_stdout);
        g_test_add_func("/metrics/rules", test_rules);
        g_test_add_func("/metrics/sandbox", test_sandbox);
        g_test_add_func("/metrics/names", test_names);
        return g_test_run();
}
