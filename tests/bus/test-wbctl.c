/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * wbctl with the real daemon, bus and journal. `wbctl episodes`: what earlier daemons and boots recorded, and
 * a journal that is missing or hangs. `wbctl health` while a sync hangs. The verbs that change something:
 * what they say, and what it is then.
 *
 * The program is its own tool, too: see tool_read_journal().
 */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "bus-fixture.h"
#include "episode-history.h"
#include "journal.h"
#include "messages.h"
#include "own-disk.h"
#include "own-journal.h"

/* A stall needs no CPU time, and is over at once. */
#define SETTINGS                                                                                             \
        "[Watch]\nThresholdSec=1s\nPollIntervalSec=100ms\nIdleScanIntervalSec=1s\nRecoverySec=0\n"           \
        "CrowdSize=0\nCountWaiting=yes\nSyncMethod=sync\n"

#define BOOT_BEFORE "aaaaaaaabbbb4cccadddeeeeeeeeeeee"

/* ---- this program as a tool ---- */

/* The deadline, and the parts of the query that this test varies. Prints the entries. */
static int tool_read_journal(char **arguments) {
        const JournalQuery query = {
                .message_ids = history_message_ids,
                .max_entries = strtoull(arguments[1], NULL, 10),
                .since_usec = strtoull(arguments[2], NULL, 10),
                .counted_id = arguments[3],
        };
        g_autoptr(GVariantBuilder) builder = g_variant_builder_new(G_VARIANT_TYPE("aa{ss}"));
        g_autoptr(GPtrArray) entries = NULL;
        g_autoptr(GVariant) list = NULL;
        g_autofree char *text = NULL;
        int error;

        entries = journal_reader_finish(
                        journal_reader_start(&query), strtoull(arguments[0], NULL, 10), &error);
        for (guint i = 0; i < entries->len; i++)
                g_variant_builder_add_value(builder, entries->pdata[i]);
        list = g_variant_ref_sink(g_variant_builder_end(builder));
        text = g_variant_print(list, /* type_annotate= */ true);
        (void) printf("%s", text);
        return -error;
}

/* Reads in a process of its own: journal_reader_start() must be called by a single thread, and a test has
 * several. */
static GPtrArray *read_journal(const BusFixture *fixture, const JournalQuery *query) {
        GPtrArray *entries = g_ptr_array_new_with_free_func((GDestroyNotify) g_variant_unref);
        g_autofree char *deadline_usec = g_strdup_printf("%" G_GINT64_FORMAT, fixture->deadline_usec);
        g_autofree char *max_entries = g_strdup_printf("%zu", query->max_entries);
        g_autofree char *since_usec = g_strdup_printf("%" G_GUINT64_FORMAT, query->since_usec);
        const char *const arguments[] = { "/proc/self/exe", "--read-journal",  deadline_usec, max_entries,
                                          since_usec,       query->counted_id, NULL };
        g_autofree char *text = NULL;
        g_autoptr(GVariant) list = NULL;
        g_autoptr(GError) error = NULL;
        Process process;
        int fd;

        process = process_start(arguments, NULL, &fd, NULL);
        text = read_line(fd);
        (void) close(fd);
        g_assert_cmpint(process_wait_end(&process, fixture->deadline_usec), ==, 0);

        list = g_variant_parse(G_VARIANT_TYPE("aa{ss}"), text, NULL, NULL, &error);
        g_assert_no_error(error);
        for (gsize i = 0; i < g_variant_n_children(list); i++)
                g_ptr_array_add(entries, g_variant_get_child_value(list, i));
        return entries;
}

/* ---- episodes ---- */

/* Bus and daemon, which logs to the journal; a client as root. */
static Client *start_daemon(BusFixture *fixture) {
        Client *client = fixture_start(fixture, SETTINGS);

        (void) reply_content(client_ask(
                        client, BUS_NAME, "/org/freedesktop/LogControl1", PROPERTIES_INTERFACE, "Set",
                        g_variant_new("(ssv)", "org.freedesktop.LogControl1", "LogTarget",
                                      g_variant_new_string("journal"))));
        return client;
}

/* From its detection to its first sync. */
static void begin_stall(BusFixture *fixture, Client *client) {
        fixture_add_worker(fixture);
        (void) client_wait_signal(client, "EpisodeStarted");
        client_wait_sync_finished(client, "ok");
}

static void end_stall(BusFixture *fixture, Client *client) {
        fixture_remove_worker(fixture);
        (void) client_wait_signal(client, "EpisodeEnded");
}

/* Runs wbctl on the bus of the test. Returns its exit status, and what it prints without the colours. */
static int run_wbctl(BusFixture *fixture, const char *arguments, char **ret_stdout, char **ret_stderr) {
        g_auto(GStrv) environment = g_get_environ(), argv = NULL;
        g_autofree char *line = g_strdup_printf("'%s' %s", g_getenv("WBCTL"), arguments);
        g_autoptr(GError) error = NULL;
        int status;

        g_shell_parse_argv(line, NULL, &argv, &error);
        g_assert_no_error(error);
        environment = g_environ_setenv(environment, "DBUS_SYSTEM_BUS_ADDRESS", fixture->bus_address, true);
        environment = g_environ_setenv(environment, "LC_ALL", "C.UTF-8", true);
        g_spawn_sync(NULL, argv, environment, G_SPAWN_STDIN_FROM_DEV_NULL, NULL, NULL, ret_stdout, ret_stderr,
                     &status, &error);
        g_assert_no_error(error);
        g_test_message("wbctl %s: %d\n%s%s", arguments, status, *ret_stdout, *ret_stderr);
        g_assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

/* What wbctl prints on success, without a word on stderr. To be freed. */
static char *wbctl(BusFixture *fixture, const char *arguments) {
        char *out = NULL;
        g_autofree char *err = NULL;

        g_assert_cmpint(run_wbctl(fixture, arguments, &out, &err), ==, 0);
        g_assert_cmpstr(err, ==, "");
        return out;
}

static size_t count(const char *text, const char *part) {
        size_t n = 0;

        for (const char *found = text; (found = strstr(found, part)); found++)
                n++;
        return n;
}

static void assert_counts(const char *text, const char *part, size_t n) {
        g_test_message("%s", part);
        g_assert_cmpuint(count(text, part), ==, n);
}

/* The last episode that the daemon has. */
static GVariant *last_episode(Client *client) {
        g_autoptr(GVariant) episodes =
                        g_variant_get_child_value(client_call(client, "ListEpisodes", NULL), 0);

        return g_variant_get_child_value(episodes, g_variant_n_children(episodes) - 1);
}

/* An episode without the members that only wbctl adds. */
static char *episode_text(GVariant *episode) {
        g_auto(GVariantDict) members = G_VARIANT_DICT_INIT(episode);
        g_autoptr(GVariant) rest = NULL;

        g_variant_dict_remove(&members, "BootID");
        g_variant_dict_remove(&members, "FromJournal");
        rest = g_variant_ref_sink(g_variant_dict_end(&members));
        return dictionary_text(rest);
}

static GVariant *read_history(const BusFixture *fixture) {
        const JournalQuery query = { .message_ids = history_message_ids, .max_entries = 1000 };
        g_autoptr(GPtrArray) entries = read_journal(fixture, &query);

        return history_from_journal(entries);
}

/* The journal has all of an episode that the daemon has. */
static void check_same(Client *client, BusFixture *fixture) {
        g_autoptr(GVariant) expected = last_episode(client), history = NULL, found = NULL;
        g_autofree char *expected_text = episode_text(expected), *found_text = NULL;

        own_journal_sync(fixture->deadline_usec);
        history = read_history(fixture);
        g_assert_cmpuint(g_variant_n_children(history), ==, 1);
        found = g_variant_get_child_value(history, 0);
        found_text = episode_text(found);
        g_assert_cmpstr(found_text, ==, expected_text);
}

/* How an older one is named: the second of its start, as the list prints it. */
static char *first_start(const BusFixture *fixture) {
        g_autoptr(GVariant) history = read_history(fixture), episode = g_variant_get_child_value(history, 0);
        g_autoptr(GDateTime) time = NULL;
        guint64 usec;

        g_assert_true(g_variant_lookup(episode, "StartUSec", "t", &usec));
        time = g_date_time_new_from_unix_local((gint64) (usec / USEC_PER_SEC));
        return g_date_time_format(time, "%Y-%m-%d %H:%M:%S");
}

static void check_filters(BusFixture *fixture) {
        static const struct {
                const char *arguments;
                size_t n;
        } cases[] = {
                { "", 3 },
                { "--boot", 1 },
                { "--boot=0", 1 },
                { "-b -n 5", 1 },
                { "--boot=-1", 2 },
                { "--boot=" BOOT_BEFORE, 2 },
                { "--boot=aaaaaaaa-bbbb-4ccc-addd-eeeeeeeeeeee", 2 },
                { "-n 1", 1 },
                { "--lines=2", 2 },
                { "--since=-1h", 3 },
                { "--since '2min ago' --until=now", 3 },
                { "--until=yesterday", 0 },
                { "--since=-1h --until=-30min", 0 },
                { "-D /run/log/journal", 3 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *arguments = g_strconcat("--json episodes ", cases[i].arguments, NULL);
                g_autofree char *out = wbctl(fixture, arguments);

                assert_counts(out, "\"BootID\"", cases[i].n);
        }
}

static guint count_entries(const BusFixture *fixture, const JournalQuery *query) {
        g_autoptr(GPtrArray) entries = read_journal(fixture, query);

        return entries->len;
}

/* Of a journal of years no more is read than is wanted. */
static void check_bounds(const BusFixture *fixture) {
        const uint64_t later_usec = (uint64_t) g_get_real_time() + USEC_PER_HOUR;
        const JournalQuery all = { .message_ids = history_message_ids, .max_entries = SIZE_MAX };
        JournalQuery some = all;

        some.max_entries = 2;
        g_assert_cmpuint(count_entries(fixture, &some), ==, 2);
        some.counted_id = MESSAGE_EPISODE_STARTED;
        g_assert_cmpuint(count_entries(fixture, &some), >, 2);
        g_assert_cmpuint(count_entries(fixture, &some), <, count_entries(fixture, &all));
        some.since_usec = later_usec;
        g_assert_cmpuint(count_entries(fixture, &some), ==, 0);
}

/* Without a daemon there is what the journal has, and a note. */
static void check_without_daemon(BusFixture *fixture) {
        g_autofree char *out = NULL, *err = NULL;

        g_assert_cmpint(run_wbctl(fixture, "--json episodes", &out, &err), ==, 3);
        assert_counts(out, "\"FromJournal\":true", 3);
        g_assert_nonnull(strstr(err, "wbwatchd is not running"));
}

/* Two episodes of an earlier boot, whose daemon was killed in the second one, and one of the running daemon:
 * each is listed once. */
static void test_boots(BusFixture *fixture, gconstpointer data) {
        g_autofree char *start = NULL, *arguments = NULL, *list = NULL, *older = NULL, *newer = NULL;
        _cleanup_client_ Client *before = NULL, *client = NULL;
        Process journald;

        own_journal_clear();
        journald = own_journal_start(BOOT_BEFORE, fixture->deadline_usec);
        before = start_daemon(fixture);
        begin_stall(fixture, before);
        end_stall(fixture, before);
        check_same(before, fixture);
        begin_stall(fixture, before);
        own_journal_sync(fixture->deadline_usec);
        fixture_kill_daemon(fixture);
        fixture_remove_worker(fixture);
        own_journal_stop(&journald, fixture->deadline_usec);

        journald = own_journal_start(NULL, fixture->deadline_usec);
        client = start_daemon(fixture);
        begin_stall(fixture, client);
        own_journal_sync(fixture->deadline_usec);

        list = wbctl(fixture, "episodes");
        assert_counts(list, "\n", 7);
        assert_counts(list, "-- boot " BOOT_BEFORE "\n-  ", 1);
        assert_counts(list, "-- boot ", 2);
        assert_counts(list, "  recovered  1 sync  1 inode_switch_wbs\n", 1);
        assert_counts(list,
                      "  ?       unknown    1 sync  1 inode_switch_wbs\n    its end is not in the journal\n",
                      1);
        assert_counts(list, "\n1   ", 1);

        start = first_start(fixture);
        arguments = g_strdup_printf("episodes '%s'", start);
        older = wbctl(fixture, arguments);
        newer = wbctl(fixture, "episodes 1");
        assert_counts(older, "  Boot     " BOOT_BEFORE "\n", 1);
        assert_counts(newer, BOOT_BEFORE, 0);
        assert_counts(older, WORKER_NAME, 1);
        assert_counts(older, "\nSpinning workers over time:\n  1 │", 1);
        assert_counts(older, "│", 1);
        assert_counts(newer, "Stall in inode_switch_wbs: ongoing for ", 1);

        check_filters(fixture);
        check_bounds(fixture);
        fixture_stop_daemon(fixture);
        check_without_daemon(fixture);
        process_kill(&journald, fixture->deadline_usec);
}

/* Without a journal there is what the daemon has, and a note. */
static void test_missing(BusFixture *fixture, gconstpointer data) {
        static const struct {
                const char *arguments;
                int status;
                const char *out, *err; /* how stderr begins */
        } cases[] = {
                { "episodes", 0, "No stall since wbwatchd started.\n",
                  "wbctl: There is no journal on this machine.\n"
                  "Listing what the running wbwatchd has seen since its start.\n" },
                { "--json episodes", 0, "[]\n", "wbctl: There is no journal" },
                { "episodes --boot=-1", 1, "", "wbctl: There is no journal" },
                { "episodes 7", 1, "", "wbctl: There is no stall \"7\"" },
                { "episodes -D /nonexistent", 1, "",
                  "wbctl: The journal in /nonexistent cannot be read: No such file" },
        };
        _cleanup_client_ Client *client = NULL;

        own_journal_clear();
        client = start_daemon(fixture);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *out = NULL, *err = NULL;

                g_assert_cmpint(run_wbctl(fixture, cases[i].arguments, &out, &err), ==, cases[i].status);
                g_assert_cmpstr(out, ==, cases[i].out);
                g_assert_true(g_str_has_prefix(err, cases[i].err));
        }

        fixture_stop_daemon(fixture);
}

/* A message with the same id, of another user or program, is no episode. */
static void test_forged(BusFixture *fixture, gconstpointer data) {
        g_autoptr(GVariant) history = NULL;
        Process journald;

        own_journal_clear();
        journald = own_journal_start(NULL, fixture->deadline_usec);

        for (unsigned i = 0; i < 2; i++) {
                g_autofree char *entry =
                                g_strdup_printf("printf '%%s\\n' MESSAGE_ID=%s SYSLOG_IDENTIFIER=%s "
                                                "EPISODE=1 START_USEC=%u | "
                                                "logger --journald",
                                                history_message_ids[0], i == 0 ? "wbwatchd" : "other", i + 1);
                Process logger = process_start(
                                (const char *const[]){ "sh", "-c", entry, NULL },
                                &(ProcessSettings){ .uid = i == 0 ? UID_NOBODY : UID_ROOT }, NULL, NULL);

                g_assert_cmpint(process_wait_end(&logger, fixture->deadline_usec), ==, 0);
        }
        own_journal_sync(fixture->deadline_usec);
        history = read_history(fixture);
        g_assert_cmpuint(g_variant_n_children(history), ==, 0);
        process_kill(&journald, fixture->deadline_usec);
}

/* A filesystem that answers nothing: nobody serves it. */
static int mount_hanging(const char *folder) {
        g_autofree char *options = NULL;
        int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        options = g_strdup_printf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
        g_assert_no_errno(g_mkdir_with_parents(folder, 0755));
        if (mount("none", folder, "fuse", 0, options) < 0) {
                int r = -errno;

                (void) close(fd);
                return r;
        }
        return fd;
}

/* A journal on a disk that hangs delays wbctl by less than the 2 s that it promises; no process of it stays
 * to hold the terminal or a pipe. */
static void test_hang(BusFixture *fixture, gconstpointer data) {
        g_autofree char *out = NULL, *err = NULL;
        _cleanup_client_ Client *client = NULL;
        _cleanup_close_ int fd = -EBADF;
        gint64 start_usec;

        fd = mount_hanging("/run/log/journal");
        if (fd < 0) {
                g_autofree char *reason = g_strdup_printf("needs FUSE: %s", g_strerror(-fd));

                g_test_skip(reason);
                return;
        }
        client = start_daemon(fixture);

        start_usec = g_get_monotonic_time();
        g_assert_cmpint(run_wbctl(fixture, "episodes", &out, &err), ==, 0);
        g_assert_cmpint(g_get_monotonic_time() - start_usec, <, 2 * G_USEC_PER_SEC);
        g_assert_cmpstr(out, ==, "No stall since wbwatchd started.\n");
        g_assert_nonnull(strstr(
                        err,
                        "The journal could not be read in time.\nListing what the running wbwatchd has"));

        g_assert_no_errno(umount2("/run/log/journal", MNT_DETACH));
        fixture_stop_daemon(fixture);
}

/* ---- health ---- */

/* Runs wbctl until it exits with this status. Returns what it printed then. */
static char *wait_status(BusFixture *fixture, const char *arguments, int status) {
        for (;;) {
                g_autofree char *out = NULL, *err = NULL;

                if (run_wbctl(fixture, arguments, &out, &err) == status)
                        return g_steal_pointer(&out);
                g_assert_cmpint(g_get_monotonic_time(), <, fixture->deadline_usec);
        }
}

static void assert_status(BusFixture *fixture, const char *arguments, int status, const char *prefix) {
        g_autofree char *out = NULL, *err = NULL;

        g_assert_cmpint(run_wbctl(fixture, arguments, &out, &err), ==, status);
        g_assert_true(g_str_has_prefix(out, prefix));
}

/* sync(2) does not return. Whether it has returned since is known after the next one. */
static void test_health_sync(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client =
                        fixture_start(fixture, "[Watch]\nSyncMethod=sync\nSyncTimeoutSec=1s\n");

        client_wait_property(client, "State", "'idle'");
        fixture_signal_helper(fixture, HELPER_SYNC, SIGSTOP);
        assert_status(fixture, "sync", 1, "");
        assert_status(fixture, "health", 1, "NOT OK: the last sync, ");
        fixture_signal_helper(fixture, HELPER_SYNC, SIGCONT);
        g_free(wait_status(fixture, "sync", 0));
        assert_status(fixture, "health", 0, "OK: no stall\n");
        fixture_stop_daemon(fixture);
}

static void write_to(const OwnDisk *disk) {
        g_autofree char *path = g_build_filename(disk->folder, "file", NULL);
        g_autofree char *data = g_malloc0(1 << 20);
        g_autoptr(GError) error = NULL;

        g_file_set_contents_full(path, data, 1 << 20, G_FILE_SET_CONTENTS_NONE, 0600, &error);
        g_assert_no_error(error);
}

/* What others write on this machine is no progress here. */
static void hide_progress(void) {
        g_autofree char *path = g_build_filename(g_get_tmp_dir(), "meminfo", NULL);

        g_assert_true(g_file_set_contents(path, "Dirty: 0 kB\nWriteback: 0 kB\n", -1, NULL));
        g_assert_no_errno(mount(path, "/proc/meminfo", NULL, MS_BIND, NULL));
}

/* The syncfs(2) of a filesystem does not return, until its disk answers again. */
static void test_health_filesystem(BusFixture *fixture, gconstpointer data) {
        OwnDisk outer = own_disk_new(), inner = own_disk_new_on(&outer);
        g_autofree char *hanging = NULL, *healthy = NULL;
        _cleanup_client_ Client *client = NULL;

        hide_progress();
        client = fixture_start(fixture, "[Watch]\nSyncMethod=syncfs\nFilesystemTimeoutSec=1s\n");
        client_wait_property(client, "State", "'idle'");
        own_disk_freeze(&outer);
        write_to(&inner);
        assert_status(fixture, "sync", 1, "");
        hanging = wait_status(fixture, "health", 1);
        g_assert_true(g_str_has_prefix(hanging, "NOT OK: a sync has not returned for "));
        own_disk_thaw(&outer);
        healthy = wait_status(fixture, "health", 0);
        g_assert_cmpstr(healthy, ==, "OK: no stall\n");

        fixture_stop_daemon(fixture);
        g_assert_no_errno(umount2("/proc/meminfo", MNT_DETACH));
        own_disk_done(&inner);
        own_disk_done(&outer);
}

/* ---- settings ---- */

static void test_settings(BusFixture *fixture, gconstpointer data) {
        const struct {
                const char *arguments, *expected; /* %s: the configuration file */
        } steps[] = {
                { "get ThresholdSec", "ThresholdSec=1s  %s:2\n" },
                { "get DryRun CrowdSize ThresholdUSec",
                  "ThresholdSec=1s  %s:2\nCrowdSize=3      command line\nDryRun=no        built-in\n" },
                { "--json get ThresholdSec",
                  "{\"ThresholdUSec\":{\"Value\":1000000,\"Origin\":\"%s:2\"}}\n" },
                { "set ThresholdSec=20s",
                  "ThresholdSec=20s  bus (permanent)\n  before: 1s      %s:2\n"
                  "Stored in /var/lib/wbwatch/wbwatch.conf, which overrides all other files;\n"
                  "`wbctl reset` undoes it.\n" },
                { "set --runtime ThresholdSec=30s DryRun=yes",
                  "ThresholdSec=30s  bus\n  before: 20s     bus (permanent)\n"
                  "DryRun=yes        bus\n  before: no      built-in\n"
                  "This lasts until wbwatchd is started or reloaded;\n"
                  "`wbctl reset --runtime` undoes it.\n" },
                { "reset --runtime ThresholdSec",
                  "ThresholdSec=20s  bus (permanent)\n  before: 30s     bus\n" },
                { "reset", "ThresholdSec=1s  %s:2\n  before: 20s    bus (permanent)\n"
                           "DryRun=no        built-in\n  before: yes    bus\n" },
                { "reset", "There was nothing to undo.\n" },
                { "--json set ThresholdSec=9s", "" },
                { "--json reset ThresholdUSec", "" },
                { "get ThresholdSec", "ThresholdSec=1s  %s:2\n" },
                { "set CrowdSize=5",
                  "CrowdSize=5  bus (permanent)\n  before: 3  command line\n"
                  "Stored in /var/lib/wbwatch/wbwatch.conf, which overrides all other files;\n"
                  "`wbctl reset` undoes it.\n"
                  "CrowdSize is on the command line of wbwatchd, which overrides it at the next\nstart.\n" },
        };
        _cleanup_client_ Client *client = NULL;

        fixture_write_config(fixture, "[Watch]\nThresholdSec=1s\n");
        fixture_start_bus(fixture);
        client = client_new(fixture, UID_ROOT);
        fixture_start_daemon(fixture, "--crowd-size=3", NULL);
        g_free(client_wait_owner(client, BUS_NAME));

        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                g_auto(GStrv) parts = g_strsplit(steps[i].expected, "%s", -1);
                g_autofree char *expected = g_strjoinv(fixture->config, parts);
                g_autofree char *out = wbctl(fixture, steps[i].arguments);

                g_assert_cmpstr(out, ==, expected);
        }
        fixture_stop_daemon(fixture);
}

/* A pause that somebody forgets ends. */
static void test_pause(BusFixture *fixture, gconstpointer data) {
        g_autofree char *hour = NULL, *ever = NULL;
        g_autoptr(GVariant) until = NULL;
        _cleanup_client_ Client *client = NULL;
        guint64 now_usec;

        client = start_daemon(fixture);

        now_usec = (guint64) g_get_real_time();
        hour = wbctl(fixture, "pause");
        until = client_get(client, "PausedUntilUSec");
        g_assert_cmpuint(g_variant_get_uint64(until), >=, now_usec + USEC_PER_HOUR);
        g_assert_cmpuint(g_variant_get_uint64(until), <=, (guint64) g_get_real_time() + USEC_PER_HOUR);
        assert_counts(hour, " (in 1h):\n", 1);

        ever = wbctl(fixture, "pause --until-resume");
        assert_property(client, "PausedUntilUSec", "uint64 18446744073709551615");
        assert_counts(ever, "Paused until `wbctl resume`:\n", 1);
        fixture_stop_daemon(fixture);
}

int main(int argc, char **argv) {
        if (argc >= 5 && streq(argv[1], "--read-journal"))
                return tool_read_journal(argv + 2);

        g_assert_true(g_setenv("TZ", "UTC", true));
        if (!fixture_isolate())
                return 0;
        g_test_init(&argc, &argv, NULL);

        FIXTURE_TEST("/wbctl/episodes/missing", test_missing);
        FIXTURE_TEST("/wbctl/episodes/hang", test_hang);
        if (own_journal_exists()) {
                FIXTURE_TEST("/wbctl/episodes/boots", test_boots);
                FIXTURE_TEST("/wbctl/episodes/forged", test_forged);
        } else
                puts("# systemd-journald or a machine ID is missing: skipping "
                     "/wbctl/episodes/{boots,forged}");

        FIXTURE_TEST("/wbctl/health/sync", test_health_sync);
        FIXTURE_TEST("/wbctl/health/filesystem", test_health_filesystem);
        FIXTURE_TEST("/wbctl/settings", test_settings);
        FIXTURE_TEST("/wbctl/pause", test_pause);

        return g_test_run();
}
