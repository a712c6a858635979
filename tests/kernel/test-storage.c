/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Loading and storing through the real helper process, on real files. */

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "process-info.h"
#include "storage.h"

/* Far beyond what anything here takes: a wait that ends by it is a failure. */
#define PATIENCE_USEC (20 * USEC_PER_SEC)

#define HEAD                                                                                                 \
        "# Written by wbwatchd: the settings that were set permanently over the bus. Read at start and "     \
        "reload.\n"                                                                                          \
        "# Edit this file, or delete it to undo all of them. See wbwatch.conf(5).\n"                         \
        "[Watch]\n"

typedef struct Fixture {
        char *root;
        char *folders[3];
        char *lasting;
        SettingsPaths paths;
        sd_event *event;
        Storage *storage;

        unsigned n_replies;
        int r;
        bool has_settings;
        Settings settings;
        void (*in_reply)(struct Fixture *f);
} Fixture;

static void on_loaded(int r, const Settings *settings, void *userdata) {
        Fixture *f = userdata;

        f->n_replies++;
        f->r = r;
        f->has_settings = settings;
        if (settings)
                f->settings = *settings;
        if (f->in_reply)
                f->in_reply(f);
}

static void on_stored(int r, void *userdata) {
        on_loaded(r, NULL, userdata);
}

static char *in_root(Fixture *f, const char *name) {
        return g_build_filename(f->root, name, NULL);
}

static void start(Fixture *f) {
        static const StorageHandlers handlers = {
                .loaded = on_loaded,
                .stored = on_stored,
                .reset = on_loaded,
        };

        g_assert_cmpint(storage_new(f->event, &f->paths, &handlers, f, &f->storage), ==, 0);
}

static void fixture_set_up(Fixture *f, const void *data) {
        f->root = g_dir_make_tmp("wbwatch-test-storage-XXXXXX", NULL);
        g_assert_nonnull(f->root);
        f->folders[0] = in_root(f, "etc");
        f->folders[1] = in_root(f, "usr");
        f->lasting = in_root(f, "state/wbwatch/lasting.conf");
        f->paths = (SettingsPaths){
                .folders = (const char *const *) f->folders,
                .permanent_file = f->lasting,
        };
        settings_init(&f->settings);
        g_assert_cmpint(sd_event_new(&f->event), >=, 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static void fixture_tear_down(Fixture *f, const void *data) {
        storage_free(f->storage);
        sd_event_unref(f->event);
        g_assert_cmpint(nftw(f->root, remove_one, 16, FTW_DEPTH | FTW_PHYS), ==, 0);
        g_free(f->root);
        g_free(f->folders[0]);
        g_free(f->folders[1]);
        g_free(f->lasting);
}

/* Runs the loop until the reply. */
static int await_reply(Fixture *f) {
        unsigned n = f->n_replies;
        uint64_t deadline = usec_now(CLOCK_MONOTONIC) + PATIENCE_USEC;

        while (f->n_replies == n) {
                uint64_t left = usec_subtract(deadline, usec_now(CLOCK_MONOTONIC));

                g_assert_cmpuint(left, >, 0);
                g_assert_cmpint(sd_event_run(f->event, left), >=, 0);
        }

        g_assert_cmpuint(f->n_replies, ==, n + 1);
        return f->r;
}

static int load(Fixture *f) {
        g_assert_cmpint(storage_load(f->storage), ==, 0);
        (void) await_reply(f);
        g_assert_true(f->has_settings == (f->r == 0));
        return f->r;
}

/* Stores one setting. */
static int store(Fixture *f, SettingId id, const char *value) {
        Settings settings;

        settings_init(&settings);
        g_assert_cmpint(settings_set_text(&settings, id, value, ORIGIN_BUS_RUNTIME, NULL), ==, 0);
        g_assert_cmpint(storage_store(f->storage, &settings, 1U << id), ==, 0);
        return await_reply(f);
}

static void put(const char *path, const char *text) {
        g_autofree char *folder = g_path_get_dirname(path);

        g_assert_cmpint(g_mkdir_with_parents(folder, 0755), ==, 0);
        g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void assert_content(const char *path, const char *expected) {
        g_autofree char *text = NULL;

        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        g_assert_cmpstr(text, ==, expected);
}

static int is_entry(const struct dirent *entry) {
        return !streq(entry->d_name, ".") && !streq(entry->d_name, "..");
}

/* Holds the entries of the permanent file's folder, sorted and separated by spaces, against what should be
 * there. */
static void assert_entries(Fixture *f, const char *expected) {
        g_autofree char *folder = g_path_get_dirname(f->lasting);
        g_autoptr(GString) list = g_string_new(NULL);
        struct dirent **entries;
        int n = scandir(folder, &entries, is_entry, alphasort);

        g_assert_cmpint(n, >=, 0);
        for (int i = 0; i < n; i++) {
                g_string_append_printf(list, "%s%s", i > 0 ? " " : "", entries[i]->d_name);
                free(entries[i]);
        }
        free(entries);
        g_assert_cmpstr(list->str, ==, expected);
}

static void assert_value(Fixture *f, SettingId id, const char *value, const char *source) {
        char buffer[SETTINGS_GLOB_MAX + 1];

        g_assert_cmpstr(settings_format(&f->settings, id, buffer, sizeof(buffer)), ==, value);
        g_assert_cmpstr(settings_origin(&f->settings, id), ==, source);
}

/* Puts stderr into a file while the log may write there, and gives what was written. */
static int redirect_stderr(Fixture *f) {
        g_autofree char *path = in_root(f, "log");
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        int saved = dup(STDERR_FILENO);

        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(saved, >=, 0);
        g_assert_cmpint(dup2(fd, STDERR_FILENO), >=, 0);
        return saved;
}

static char *restore_stderr(Fixture *f, int saved) {
        g_autofree char *path = in_root(f, "log");
        char *text = NULL;

        g_assert_cmpint(dup2(saved, STDERR_FILENO), >=, 0);
        (void) close(saved);
        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        return text;
}

static void test_store_then_load(Fixture *f, const void *data) {
        struct stat st;
        g_autofree char *folder = g_path_get_dirname(f->lasting);

        start(f);
        g_assert_cmpint(store(f, SETTING_CROWD_SIZE, "9"), ==, 0);
        assert_content(f->lasting, HEAD "CrowdSize=9\n");
        assert_entries(f, "lasting.conf");
        g_assert_cmpint(stat(f->lasting, &st), ==, 0);
        g_assert_cmpuint(st.st_mode, ==, S_IFREG | 0644);
        g_assert_cmpint(stat(folder, &st), ==, 0);
        g_assert_cmpuint(st.st_mode, ==, S_IFDIR | 0755);

        g_assert_cmpint(load(f), ==, 0);
        assert_value(f, SETTING_CROWD_SIZE, "9", "bus (permanent)");
        assert_value(f, SETTING_THRESHOLD, "30s", "built-in");

        g_assert_cmpint(store(f, SETTING_CROWD_SIZE, "10"), ==, 0);
        assert_content(f->lasting, HEAD "CrowdSize=10\n");
}

/* Each row of the table comes back as it was. */
static void test_every_setting(Fixture *f, const void *data) {
        static const char *const values[_SETTING_MAX] = {
                [SETTING_GLOB] = "kworker/*\xc2\xb5 #;=*",
                [SETTING_THRESHOLD] = "1min 1us",
                [SETTING_CROWD_SIZE] = "10000",
                [SETTING_CROWD_THRESHOLD] = "24h",
                [SETTING_POLL_INTERVAL] = "100ms",
                [SETTING_COUNT_WAITING] = "yes",
                [SETTING_SYNC_METHOD] = "syncfs",
                [SETTING_FILESYSTEM_TIMEOUT] = "59min 59.999999s",
                [SETTING_IDLE_SCAN_INTERVAL] = "9min 59.999999s",
                [SETTING_RECOVERY] = "0",
                [SETTING_SYNC_TIMEOUT] = "1.001s",
                [SETTING_DRY_RUN] = "yes",
        };
        Settings expected;

        settings_init(&expected);
        for (SettingId id = 0; id < _SETTING_MAX; id++)
                g_assert_cmpint(settings_set_text(&expected, id, values[id], ORIGIN_BUS_PERMANENT, NULL), ==,
                                0);

        start(f);
        g_assert_cmpint(storage_store(f->storage, &expected, (1U << _SETTING_MAX) - 1), ==, 0);
        g_assert_cmpint(await_reply(f), ==, 0);
        g_assert_cmpint(load(f), ==, 0);
        for (SettingId id = 0; id < _SETTING_MAX; id++)
                assert_value(f, id, values[id], "bus (permanent)");
        g_assert_cmpmem(&f->settings, sizeof(f->settings), &expected, sizeof(expected));
}

/* What the file holds already is kept, what people wrote into it too; only the broken lines go, and that is
 * told. */
static void test_keeps_other_keys(Fixture *f, const void *data) {
        g_autofree char *log = NULL, *warning = NULL;
        int saved;

        put(f->lasting, "[Watch]\nRecoverySec=5\nCrowdSize=3\nThresholdSec=5ms\nDryRun=yes\n");
        start(f);

        saved = redirect_stderr(f);
        g_assert_cmpint(store(f, SETTING_CROWD_SIZE, "9"), ==, 0);
        log = restore_stderr(f, saved);

        assert_content(f->lasting, HEAD "CrowdSize=9\nRecoverySec=5s\nDryRun=yes\n");
        warning = g_strdup_printf(
                        "%s:4: ThresholdSec=5ms: 5ms is less than the minimum of 1s, ignoring\n", f->lasting);
        g_assert_true(g_str_has_suffix(log, warning));
}

/* Nobody ever sees half a file: the old one stays whole until a new one takes its name. */
static void test_replaces_atomically(Fixture *f, const void *data) {
        _cleanup_close_ int old = -EBADF;
        struct stat before, after;
        char text[64] = "";

        put(f->lasting, "[Watch]\nCrowdSize=1\n");
        old = open(f->lasting, O_RDONLY | O_CLOEXEC);
        g_assert_cmpint(fstat(old, &before), ==, 0);

        start(f);
        g_assert_cmpint(store(f, SETTING_CROWD_SIZE, "2"), ==, 0);

        g_assert_cmpint(stat(f->lasting, &after), ==, 0);
        g_assert_cmpuint(after.st_ino, !=, before.st_ino);
        g_assert_cmpint(read(old, text, sizeof(text) - 1), ==, before.st_size);
        g_assert_cmpstr(text, ==, "[Watch]\nCrowdSize=1\n");
        assert_entries(f, "lasting.conf");
}

/* A killed store left its file; one that hangs must not come to its end any more. */
static void test_removes_leftovers(Fixture *f, const void *data) {
        static const char *const names[] = { ".lasting.conf.aB3xYz", ".lasting.conf.backup2", ".lasting.conf",
                                             "lasting.conf.aB3xYz", ".other.conf.aB3xYz" };
        g_autofree char *folder = g_path_get_dirname(f->lasting);

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                g_autofree char *path = g_build_filename(folder, names[i], NULL);

                put(path, "x");
        }

        start(f);
        g_assert_cmpint(store(f, SETTING_CROWD_SIZE, "2"), ==, 0);
        assert_entries(f, ".lasting.conf .lasting.conf.backup2 .other.conf.aB3xYz lasting.conf "
                          "lasting.conf.aB3xYz");
}

static void test_unwritable_folder(Fixture *f, const void *data) {
        g_autofree char *file = in_root(f, "state");

        put(file, "a file, not a folder");
        start(f);
        g_assert_cmpint(store(f, SETTING_CROWD_SIZE, "9"), ==, -ENOTDIR);
        assert_content(file, "a file, not a folder");

        /* And the next one is served. */
        g_assert_cmpint(g_unlink(file), ==, 0);
        g_assert_cmpint(store(f, SETTING_CROWD_SIZE, "9"), ==, 0);
        assert_content(f->lasting, HEAD "CrowdSize=9\n");
}

/* What it holds can't be known, thus it is not replaced. */
static void test_unreadable_file(Fixture *f, const void *data) {
        g_autofree char *within = g_build_filename(f->lasting, "x", NULL);
        struct stat st;

        put(within, "x");
        start(f);
        g_assert_cmpint(store(f, SETTING_CROWD_SIZE, "9"), ==, -EISDIR);
        assert_content(within, "x");
        assert_entries(f, "lasting.conf");

        g_assert_cmpint(g_unlink(within), ==, 0);
        g_assert_cmpint(g_rmdir(f->lasting), ==, 0);
        put(f->lasting, "[Watch]\nDryRun=yes\n");
        g_assert_cmpint(truncate(f->lasting, 1024 * 1024 + 1), ==, 0);
        g_assert_cmpint(store(f, SETTING_CROWD_SIZE, "9"), ==, -EFBIG);
        g_assert_cmpint(stat(f->lasting, &st), ==, 0);
        g_assert_cmpint(st.st_size, ==, 1024 * 1024 + 1);
        assert_entries(f, "lasting.conf");
}

/* The disk is full: the old file stays as it was, the new one is gone. */
static void test_full_disk(Fixture *f, const void *data) {
        g_autofree char *folder = g_path_get_dirname(f->lasting);

        g_assert_cmpint(g_mkdir_with_parents(folder, 0755), ==, 0);

        /* In a mount namespace of its own, it goes with this process. */
        if (unshare(CLONE_NEWNS) < 0) {
                g_test_skip("no right to mount a filesystem");
                return;
        }
        g_assert_cmpint(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), ==, 0);
        g_assert_cmpint(mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, "size=4k"), ==, 0);

        put(f->lasting, "[Watch]\nCrowdSize=1\n");
        start(f);
        g_assert_cmpint(store(f, SETTING_CROWD_SIZE, "9"), ==, -ENOSPC);
        assert_content(f->lasting, "[Watch]\nCrowdSize=1\n");
        assert_entries(f, "lasting.conf");

        f->storage = storage_free(f->storage);
        g_assert_cmpint(umount2(folder, MNT_DETACH), ==, 0);
}

static void test_one_at_a_time(Fixture *f, const void *data) {
        Settings settings;

        settings_init(&settings);
        start(f);

        g_assert_cmpint(storage_load(f->storage), ==, 0);
        g_assert_cmpint(storage_load(f->storage), ==, -EBUSY);
        g_assert_cmpint(storage_store(f->storage, &settings, 1U << SETTING_GLOB), ==, -EBUSY);
        g_assert_cmpint(await_reply(f), ==, 0);
        g_assert_true(f->has_settings);

        g_assert_cmpint(storage_store(f->storage, &settings, 1U << SETTING_GLOB), ==, 0);
        g_assert_cmpint(storage_store(f->storage, &settings, 1U << SETTING_GLOB), ==, -EBUSY);
        g_assert_cmpint(storage_load(f->storage), ==, -EBUSY);
        g_assert_cmpint(await_reply(f), ==, 0);
        g_assert_false(f->has_settings);
        assert_content(f->lasting, HEAD "Glob=kworker/*inode_switch_wbs*\n");
}

static void test_no_lasting_file(Fixture *f, const void *data) {
        Settings settings;

        settings_init(&settings);
        f->paths.permanent_file = NULL;
        start(f);
        g_assert_cmpint(storage_store(f->storage, &settings, 1U << SETTING_GLOB), ==, -EOPNOTSUPP);
        g_assert_cmpint(load(f), ==, 0);
}

/* A reload sees what changed since, reports what is wrong with it, and takes the rest. */
static void test_reload_broken(Fixture *f, const void *data) {
        g_autofree char *path = in_root(f, "etc/wbwatch.conf"), *log = NULL, *expected = NULL, *source = NULL;
        int saved;

        put(path, "[Watch]\nCrowdSize=5\n");
        start(f);
        g_assert_cmpint(load(f), ==, 0);
        assert_value(f, SETTING_CROWD_SIZE, "5", (source = g_strdup_printf("%s:2", path)));

        put(path, "garbage\n[Watch]\nCrowdSize=6\nThresholdSec=soon\nDryRun=1\n");
        saved = redirect_stderr(f);
        g_assert_cmpint(load(f), ==, 0);
        log = restore_stderr(f, saved);

        source[strlen(source) - 1] = '3';
        assert_value(f, SETTING_CROWD_SIZE, "6", source);
        assert_value(f, SETTING_THRESHOLD, "30s", "built-in");
        assert_value(f, SETTING_DRY_RUN, "yes", (source[strlen(source) - 1] = '5', source));

        expected = g_strdup_printf(
                        "warning: %s:1: garbage: missing \"=\", ignoring\n"
                        "warning: %s:4: ThresholdSec=soon: soon is not a duration from 1s to 24h, like 30s, "
                        "ignoring\n",
                        path, path);
        g_assert_cmpstr(log, ==, expected);
}

/* More warnings than a reply has room for: the first ones are told, the others counted. */
static void test_many_warnings(Fixture *f, const void *data) {
        g_autofree char *path = in_root(f, "etc/wbwatch.conf"), *log = NULL, *rest = NULL;
        g_autoptr(GString) text = g_string_new("[Watch]\n");
        g_auto(GStrv) lines = NULL;
        unsigned n_lines;
        int saved;

        for (int i = 0; i < 2000; i++)
                g_string_append(text, "CrowdSize=x\n");
        put(path, text->str);
        start(f);

        saved = redirect_stderr(f);
        g_assert_cmpint(load(f), ==, 0);
        log = restore_stderr(f, saved);

        lines = g_strsplit(log, "\n", -1);
        n_lines = g_strv_length(lines) - 2;
        g_assert_cmpuint(n_lines, >, 50);
        rest = g_strdup_printf(
                        "warning: %u more warnings about the settings: see wbwatchd --check-config",
                        2000 - n_lines);
        g_assert_cmpstr(lines[n_lines], ==, rest);
        g_assert_true(g_str_has_suffix(
                        lines[0], ":2: CrowdSize=x: x is not a number from 0 to 10000, ignoring"));
}

static void test_own_file_missing(Fixture *f, const void *data) {
        g_autofree char *own = in_root(f, "own.conf"), *log = NULL, *expected = NULL;
        int saved;

        f->paths.file = own;
        start(f);
        saved = redirect_stderr(f);
        g_assert_cmpint(load(f), ==, -ENOENT);
        log = restore_stderr(f, saved);
        expected = g_strdup_printf("warning: %s: can't be read: No such file or directory\n", own);
        g_assert_cmpstr(log, ==, expected);

        put(own, "[Watch]\nCrowdSize=8\n");
        g_assert_cmpint(load(f), ==, 0);
        g_assert_cmpuint(f->settings.crowd_size, ==, 8);
}

/* The helper is killed in a request, whichever: that fails, and the next is served by a new one. */
static void test_helper_killed(Fixture *f, const void *data) {
        Settings settings;

        settings_init(&settings);
        put(f->lasting, "[Watch]\nCrowdSize=1\n");
        start(f);

        for (int i = 0; i < 2; i++) {
                pid_t pid = youngest_child();

                g_assert_cmpint(kill(pid, SIGSTOP), ==, 0);
                g_assert_cmpint(waitpid(pid, NULL, WUNTRACED), ==, pid);
                if (i == 0)
                        g_assert_cmpint(storage_load(f->storage), ==, 0);
                else
                        g_assert_cmpint(storage_store(f->storage, &settings, 1U << SETTING_CROWD_SIZE), ==,
                                        0);
                g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
                g_assert_cmpint(await_reply(f), ==, -EPIPE);
                g_assert_false(f->has_settings);
                assert_content(f->lasting, "[Watch]\nCrowdSize=1\n");
        }

        g_assert_cmpint(load(f), ==, 0);
        assert_value(f, SETTING_CROWD_SIZE, "1", "bus (permanent)");
}

/* The helper dies in the middle of writing: the old file is as it was, and the next store tidies up. */
static void test_helper_dies_writing(Fixture *f, const void *data) {
        struct rlimit before, limit;

        put(f->lasting, "[Watch]\nCrowdSize=1\n");

        /* SIGXFSZ ends it, without a core file. */
        g_assert_cmpint(setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 }), ==, 0);
        g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &before), ==, 0);
        limit = before;
        limit.rlim_cur = 0;
        g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
        start(f);
        g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &before), ==, 0);

        g_assert_cmpint(store(f, SETTING_CROWD_SIZE, "9"), ==, -EPIPE);
        assert_content(f->lasting, "[Watch]\nCrowdSize=1\n");

        g_assert_cmpint(store(f, SETTING_CROWD_SIZE, "9"), ==, 0);
        assert_content(f->lasting, HEAD "CrowdSize=9\n");
        assert_entries(f, "lasting.conf");
}

static int reset(Fixture *f, unsigned ids) {
        g_assert_cmpint(storage_reset(f->storage, ids), ==, 0);
        (void) await_reply(f);
        g_assert_true(f->has_settings == (f->r == 0));
        return f->r;
}

/* The named ones are gone from the file, and the configuration is what the rest makes it. */
static void test_reset(Fixture *f, const void *data) {
        g_autofree char *main_file = g_build_filename(f->folders[0], "wbwatch.conf", NULL),
                        *origin = g_strconcat(main_file, ":2", NULL),
                        *method_origin = g_strconcat(main_file, ":3", NULL);
        Settings overrides;

        settings_init(&overrides);
        g_assert_cmpint(settings_set_text(&overrides, SETTING_DRY_RUN, "no", ORIGIN_COMMAND_LINE, NULL), ==,
                        0);
        f->paths.overrides = &overrides;
        put(main_file, "[Watch]\nCrowdSize=3\nSyncMethod=sync\n");
        put(f->lasting, "[Watch]\nCrowdSize=9\nRecoverySec=5\nDryRun=yes\nSyncMethod=syncfs\n");
        start(f);

        g_assert_cmpint(reset(f, 1U << SETTING_CROWD_SIZE | 1U << SETTING_GLOB), ==, 0);
        assert_content(f->lasting, HEAD "RecoverySec=5s\nSyncMethod=syncfs\nDryRun=yes\n");
        assert_entries(f, "lasting.conf");
        assert_value(f, SETTING_CROWD_SIZE, "3", origin);
        assert_value(f, SETTING_RECOVERY, "5s", "bus (permanent)");
        assert_value(f, SETTING_SYNC_METHOD, "syncfs", "bus (permanent)");
        assert_value(f, SETTING_DRY_RUN, "no", "command line");

        g_assert_cmpint(reset(f, (1U << _SETTING_MAX) - 1), ==, 0);
        assert_content(f->lasting, HEAD);
        assert_value(f, SETTING_RECOVERY, "30s", "built-in");
        assert_value(f, SETTING_SYNC_METHOD, "sync", method_origin);
        g_assert_cmpint(load(f), ==, 0);
        assert_value(f, SETTING_RECOVERY, "30s", "built-in");
}

/* Without anything to remove nothing is written, and no folder is made. */
static void test_reset_writes_nothing(Fixture *f, const void *data) {
        static const char text[] = "[Watch]\nCrowdSize=9\n";
        g_autofree char *folder = g_path_get_dirname(f->lasting);

        start(f);
        g_assert_cmpint(reset(f, (1U << _SETTING_MAX) - 1), ==, 0);
        g_assert_false(g_file_test(folder, G_FILE_TEST_EXISTS));

        put(f->lasting, text);
        g_assert_cmpint(reset(f, 1U << SETTING_DRY_RUN), ==, 0);
        assert_content(f->lasting, text);
        g_assert_cmpint(reset(f, 0), ==, 0);
        assert_content(f->lasting, text);
        assert_value(f, SETTING_CROWD_SIZE, "9", "bus (permanent)");
}

/* Nothing is lost if the file, or another one of the configuration, can't be read. */
static void test_reset_fails(Fixture *f, const void *data) {
        g_autofree char *missing = in_root(f, "missing"), *within = g_build_filename(f->lasting, "x", NULL);

        f->paths.folders = NULL;
        f->paths.file = missing;
        put(f->lasting, "[Watch]\nCrowdSize=9\n");
        start(f);
        g_assert_cmpint(reset(f, 1U << SETTING_CROWD_SIZE), ==, -ENOENT);
        assert_content(f->lasting, "[Watch]\nCrowdSize=9\n");

        put(missing, "");
        g_assert_cmpint(g_unlink(f->lasting), ==, 0);
        put(within, "x");
        g_assert_cmpint(reset(f, 1U << SETTING_CROWD_SIZE), ==, -EISDIR);
        assert_content(within, "x");
}

static void test_reset_without_a_file(Fixture *f, const void *data) {
        f->paths.permanent_file = NULL;
        start(f);
        g_assert_cmpint(reset(f, (1U << _SETTING_MAX) - 1), ==, 0);
        assert_value(f, SETTING_CROWD_SIZE, "4", "built-in");
}

static void store_in_reply(Fixture *f) {
        f->in_reply = NULL;
        g_assert_cmpint(storage_store(f->storage, &f->settings, 1U << SETTING_DRY_RUN), ==, 0);
}

static void free_in_reply(Fixture *f) {
        f->storage = storage_free(f->storage);
}

/* A reply may be answered with the next request, or with the end. */
static void test_from_within_a_reply(Fixture *f, const void *data) {
        start(f);
        f->in_reply = store_in_reply;
        g_assert_cmpint(load(f), ==, 0);
        g_assert_cmpint(await_reply(f), ==, 0);
        assert_content(f->lasting, HEAD "DryRun=no\n");

        f->in_reply = free_in_reply;
        g_assert_cmpint(load(f), ==, 0);
        g_assert_null(f->storage);
}

#define ADD(path, test) g_test_add("/storage/" path, Fixture, NULL, fixture_set_up, test, fixture_tear_down)

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);

        ADD("store-then-load", test_store_then_load);
        ADD("every-setting", test_every_setting);
        ADD("keeps-other-keys", test_keeps_other_keys);
        ADD("replaces-atomically", test_replaces_atomically);
        ADD("removes-leftovers", test_removes_leftovers);
        ADD("unwritable-folder", test_unwritable_folder);
        ADD("unreadable-file", test_unreadable_file);
        ADD("full-disk", test_full_disk);
        ADD("one-at-a-time", test_one_at_a_time);
        ADD("no-lasting-file", test_no_lasting_file);
        ADD("reset", test_reset);
        ADD("reset-writes-nothing", test_reset_writes_nothing);
        ADD("reset-fails", test_reset_fails);
        ADD("reset-without-a-file", test_reset_without_a_file);
        ADD("reload-broken", test_reload_broken);
        ADD("many-warnings", test_many_warnings);
        ADD("own-file-missing", test_own_file_missing);
        ADD("helper-killed", test_helper_killed);
        ADD("helper-dies-writing", test_helper_dies_writing);
        ADD("from-within-a-reply", test_from_within_a_reply);

        return g_test_run();
}
