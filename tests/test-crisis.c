/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The worst minute: what wbwatchd touches fails, one thing after the other, around the real daemon. Each test
 * looks for the sync first, for its time where that is promised, and for what else must stay as it was.
 *
 * The program is its own tool, too: see run_tool().
 */

#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "bus-fixture.h"
#include "own-disk.h"
#include "stuck-worker.h"

/* The promises: how late a sync may start, and an answer on the bus; and on a machine whose CPUs are taken.
 */
#define SYNC_STARTS_WITHIN_USEC (100 * USEC_PER_MSEC)
#define BUSY_SYNC_STARTS_WITHIN_USEC (250 * USEC_PER_MSEC)
#define BUSY_BUS_ANSWERS_WITHIN_USEC (1 * USEC_PER_SEC)

/* The shortest that can be set. */
#define THRESHOLD_USEC (1 * USEC_PER_SEC)
#define QUICK_CONFIG                                                                                         \
        "[Watch]\n"                                                                                          \
        "ThresholdSec=1s\n"                                                                                  \
        "PollIntervalSec=100ms\n"                                                                            \
        "SweepIntervalSec=1s\n"                                                                              \
        "RecoverySec=0\n"

/* Where programs may be started from: /run, as the fixture has it, is not. */
#define PROGRAMS_FOLDER "/run/programs"

#define JOURNAL_FOLDER "/run/systemd/journal"
#define JOURNAL_SOCKET JOURNAL_FOLDER "/socket"

/* ---- this program as a tool ---- */

/* PATH PROGRAM [ARGUMENT...]: runs the program with its stderr on the stream socket. */
static int tool_stderr_socket(char **arguments) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void) g_strlcpy(address.sun_path, arguments[0], sizeof(address.sun_path));
        if (fd < 0 || connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0 ||
            dup2(fd, STDERR_FILENO) < 0)
                return EXIT_FAILURE;
        (void) execv(arguments[1], arguments + 1);
        return EXIT_FAILURE;
}

static void *spin(void *userdata) {
        (void) pthread_barrier_wait(userdata);
        for (;;)
                __asm__ volatile("");
        return NULL;
}

/* NUMBER: spins in so many threads, and says so when all have begun. */
static int tool_spin(char **arguments) {
        unsigned n = (unsigned) atoi(arguments[0]);
        pthread_barrier_t barrier;
        pthread_attr_t attributes;
        pthread_t thread;

        if (pthread_barrier_init(&barrier, NULL, n + 1) != 0 || pthread_attr_init(&attributes) != 0 ||
            pthread_attr_setstacksize(&attributes, 65536) != 0)
                return EXIT_FAILURE;
        for (unsigned i = 0; i < n; i++)
                if (pthread_create(&thread, &attributes, spin, &barrier) != 0)
                        return EXIT_FAILURE;
        (void) pthread_barrier_wait(&barrier);
        (void) puts("spinning");
        (void) fflush(stdout);
        (void) pause();
        return EXIT_SUCCESS;
}

/* Becomes as welcome to the OOM killer as the score says, and enters a control group. */
static bool enter_group(char **arguments) {
        FILE *score = fopen("/proc/self/oom_score_adj", "we"), *procs = fopen(arguments[0], "we");

        return score && fputs(arguments[1], score) >= 0 && fclose(score) == 0 && procs &&
               fprintf(procs, "%d", (int) getpid()) >= 0 && fclose(procs) == 0;
}

/* PROCS SCORE: takes the memory of a control group, until the OOM killer ends it. */
static int tool_eat(char **arguments) {
        if (!enter_group(arguments))
                return EXIT_FAILURE;
        for (;;) {
                char *memory = malloc(1 << 20);

                if (memory)
                        memset(memory, 1, 1 << 20);
                __asm__ volatile("" : : "r"(memory) : "memory");
        }
}

/* PROCS SCORE: is just there, as on every machine somebody is who can be killed. */
static int tool_stand_by(char **arguments) {
        if (!enter_group(arguments))
                return EXIT_FAILURE;
        (void) puts("standing by");
        (void) fflush(stdout);
        (void) pause();
        return EXIT_SUCCESS;
}

static int run_tool(int argc, char **argv) {
        if (argc >= 4 && streq(argv[1], "--stderr-socket"))
                return tool_stderr_socket(argv + 2);
        if (argc == 3 && streq(argv[1], "--spin"))
                return tool_spin(argv + 2);
        if (argc == 4 && streq(argv[1], "--eat"))
                return tool_eat(argv + 2);
        if (argc == 4 && streq(argv[1], "--stand-by"))
                return tool_stand_by(argv + 2);
        return -1;
}

static void set_up_tool(gpointer parent) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != GPOINTER_TO_INT(parent))
                _exit(EXIT_FAILURE);
}

/* Starts it with such arguments. It dies with the thread that started it. */
static pid_t start_tool(const char *name, const char *argument, const char *argument2, int *ret_stdout) {
        const char *const arguments[] = { "/proc/self/exe", name, argument, argument2, NULL };
        GSpawnFlags flags = G_SPAWN_DO_NOT_REAP_CHILD;
        g_autoptr(GError) error = NULL;
        pid_t pid;

        (void) g_spawn_async_with_pipes(
                        NULL, (char **) arguments, NULL, flags, set_up_tool, GINT_TO_POINTER(getpid()), &pid,
                        NULL, ret_stdout, NULL, &error);
        g_assert_no_error(error);
        return pid;
}

static void wait_line(int fd, const char *expected) {
        char line[64] = "";
        size_t n = 0;

        while (n + 1 < sizeof(line) && read(fd, line + n, 1) == 1 && line[n] != '\n')
                n++;
        line[n] = '\0';
        g_assert_cmpstr(line, ==, expected);
}

static void kill_and_wait(pid_t pid) {
        g_assert_no_errno(kill(pid, SIGKILL));
        g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
}

/* ---- the daemon ---- */

/* What is started as wbwatchd from now on: a script, in which $WBWATCHD_REAL is the real one. */
static void wrap_daemon(const char *format, ...) G_GNUC_PRINTF(1, 2);
static void wrap_daemon(const char *format, ...) {
        g_autofree char *body = NULL, *script = NULL;
        va_list arguments;

        va_start(arguments, format);
        body = g_strdup_vprintf(format, arguments);
        va_end(arguments);
        script = g_strconcat("#!/bin/sh\n", body, "\n", NULL);

        g_assert_true(g_file_set_contents_full(
                        PROGRAMS_FOLDER "/wbwatchd", script, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0755, NULL));
        (void) setenv("WBWATCHD", PROGRAMS_FOLDER "/wbwatchd", true);
}

static void tear_down(BusFixture *fixture, gconstpointer data) {
        fixture_tear_down(fixture, data);
        (void) setenv("WBWATCHD", g_getenv("WBWATCHD_REAL"), true);
}

/* With a bus and a client of root's, that has seen the daemon there. */
static Client *start_quick_daemon(BusFixture *fixture) {
        Client *client;

        fixture_start_bus(fixture);
        client = client_new(fixture, UID_ROOT);
        fixture_write_config(fixture, QUICK_CONFIG);
        fixture_start_daemon(fixture, "--debug", NULL);
        g_free(client_wait_owner(client, BUS_NAME));
        return client;
}

static uint64_t lookup_usec(GVariant *dictionary, const char *key) {
        guint64 usec;

        g_assert_true(g_variant_lookup(dictionary, key, "t", &usec));
        return usec;
}

/* Waits for the next sync that a worker's running time brings about; returns how late that was decided. */
static uint64_t wait_sync_started(Client *client, uint64_t threshold_usec) {
        GVariant *started = client_wait_signal(client, "SyncStarted");
        g_autoptr(GVariant) details = g_variant_get_child_value(started, 2);
        uint64_t running_usec = lookup_usec(details, "OldestWorkerUSec");

        g_assert_cmpuint(running_usec, >=, threshold_usec);
        return running_usec - threshold_usec;
}

/* A worker gets stuck, a sync comes in time, and the worker goes. */
static void assert_sync_in_time(BusFixture *fixture, Client *client) {
        uint64_t late_usec;

        fixture_add_worker(fixture);
        late_usec = wait_sync_started(client, THRESHOLD_USEC);
        g_test_message("sync decided %" G_GUINT64_FORMAT " us after the threshold", late_usec);
        g_assert_cmpuint(late_usec, <, SYNC_STARTS_WITHIN_USEC);
        (void) client_wait_signal(client, "SyncFinished");

        fixture_remove_worker(fixture);
        (void) client_wait_signal(client, "EpisodeEnded");
}

/* ---- 1: the log ---- */

/* Who takes the lines. */
typedef enum Sink {
        SINK_PIPE,
        SINK_SOCKET,
        SINK_FILE,
        SINK_JOURNAL,
} Sink;

static int bind_socket(const char *path, int type) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

        g_assert_no_errno(fd);
        (void) g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
        g_assert_no_errno(bind(fd, (const struct sockaddr *) &address, sizeof(address)));
        return fd;
}

static int bind_journal(void) {
        g_assert_no_errno(g_mkdir_with_parents(JOURNAL_FOLDER, 0755));
        return bind_socket(JOURNAL_SOCKET, SOCK_DGRAM);
}

static void unbind_journal(int fd) {
        g_assert_no_errno(close(fd));
        g_assert_no_errno(unlink(JOURNAL_SOCKET));
}

/* Makes the daemon say long things until nothing can have room for them any more: 64 KiB in a pipe, 208 KiB
 * in a socket with all that the kernel adds. */
static void flood_log(Client *client) {
        g_autofree char *filling = g_strnfill(150, 'x'), *glob_before = NULL;
        g_autoptr(GVariant) before = client_get(client, "Glob");

        glob_before = g_variant_dup_string(before, NULL);
        for (unsigned i = 0; i < 1000; i++) {
                g_autofree char *glob = g_strdup_printf("kworker/%s%u", filling, i);

                client_set(client, "Glob", g_variant_new_string(glob));
        }
        client_set(client, "Glob", g_variant_new_string(glob_before));
}

/* Takes what comes, until it is told how much was dropped. A file says at its end only that it has no more by
 * now. */
static void assert_drops_are_told(BusFixture *fixture, int fd) {
        g_autoptr(GString) text = g_string_new(NULL);
        const char *told;

        while (!(told = strstr(text->str, " log lines were dropped: nobody took them\n"))) {
                struct pollfd input = { .fd = fd, .events = POLLIN };
                char buffer[4096];
                ssize_t n;

                if (poll(&input, 1, 1000) > 0) {
                        n = read(fd, buffer, sizeof(buffer));
                        g_assert_no_errno(n);
                        g_string_append_len(text, buffer, n);
                        if (n == 0)
                                g_usleep(10 * USEC_PER_MSEC);
                }
                g_assert_cmpint(g_get_monotonic_time(), <, fixture->deadline_usec);
        }

        while (told > text->str && g_ascii_isdigit(told[-1]))
                told--;
        g_test_message("told after %zu bytes that %d lines were dropped", text->len, atoi(told));
        g_assert_cmpint(atoi(told), >, 0);
}

static void test_log(BusFixture *fixture, gconstpointer data) {
        Sink sink = (Sink) GPOINTER_TO_INT(data);
        _cleanup_client_ Client *client = NULL;
        g_autofree char *path = NULL;
        OwnDisk disk = {};
        int fds[2], fd = -EBADF;

        switch (sink) {
        case SINK_PIPE:
                g_assert_no_errno(pipe2(fds, O_CLOEXEC));
                fd = fds[0];
                wrap_daemon("exec \"$WBWATCHD_REAL\" \"$@\" 2>/proc/%d/fd/%d", (int) getpid(), fds[1]);
                break;

        case SINK_SOCKET:
                path = g_build_filename(fixture->folder, "log", NULL);
                fds[0] = bind_socket(path, SOCK_STREAM);
                g_assert_no_errno(listen(fds[0], 1));
                wrap_daemon("exec /proc/%d/exe --stderr-socket %s \"$WBWATCHD_REAL\" \"$@\"", (int) getpid(),
                            path);
                break;

        case SINK_FILE:
                disk = own_disk_new();
                path = g_build_filename(disk.folder, "log", NULL);
                wrap_daemon("exec \"$WBWATCHD_REAL\" \"$@\" 2>%s", path);
                break;

        case SINK_JOURNAL:
                fd = bind_journal();
                wrap_daemon("JOURNAL_STREAM=$(stat -L -c %%d:%%i /proc/self/fd/2) exec \"$WBWATCHD_REAL\" "
                            "\"$@\"");
                break;
        }

        client = start_quick_daemon(fixture);
        if (sink == SINK_SOCKET) {
                fd = accept(fds[0], NULL, NULL);
                g_assert_no_errno(fd);
        } else if (sink == SINK_FILE) {
                fd = open(path, O_RDONLY | O_CLOEXEC);
                g_assert_no_errno(fd);
                own_disk_freeze(&disk);
        }

        flood_log(client);
        assert_sync_in_time(fixture, client);

        if (sink == SINK_JOURNAL) {
                unbind_journal(fd);
                assert_sync_in_time(fixture, client);
                fd = bind_journal();
        } else if (sink == SINK_FILE)
                own_disk_thaw(&disk);

        assert_drops_are_told(fixture, fd);
        fixture_stop_daemon(fixture);

        if (sink == SINK_JOURNAL)
                unbind_journal(fd);
        else
                g_assert_no_errno(close(fd));
        if (sink == SINK_PIPE)
                g_assert_no_errno(close(fds[1]));
        if (sink == SINK_SOCKET)
                g_assert_no_errno(close(fds[0]));
        if (sink == SINK_FILE)
                own_disk_done(&disk);
}

/* ---- 4: the disk ---- */

#ifndef HAS_ADDRESS_SANITIZER /* its own library's pages are nobody's to hold */

static void run_script(const char *format, ...) G_GNUC_PRINTF(1, 2);
static void run_script(const char *format, ...) {
        g_autofree char *script = NULL;
        const char *arguments[] = { "sh", "-e", "-c", NULL, NULL };
        g_autoptr(GError) error = NULL;
        va_list list;
        int status;

        va_start(list, format);
        script = g_strdup_vprintf(format, list);
        va_end(list);
        arguments[3] = script;
        (void) g_spawn_sync(
                        NULL, (char **) arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status,
                        &error);
        g_assert_no_error(error);
        (void) g_spawn_check_wait_status(status, &error);
        g_assert_no_error(error);
}

/* What no process has mapped is not in memory any more. */
static void drop_caches(void) {
        run_script("echo 1 >/proc/sys/vm/drop_caches");
}

/* The daemon is started from a copy of its program and libraries on a disk of their own, so that no page of
 * them is there because another process uses it. */
static void move_daemon_to(OwnDisk *disk) {
        run_script("cp \"$WBWATCHD_REAL\" %1$s/wbwatchd; for library in $(ldd \"$WBWATCHD_REAL\" | "
                   "grep -o '/[^ ]*'); do cp -L \"$library\" %1$s/; done; sync -f %1$s",
                   disk->folder);
        drop_caches();
        wrap_daemon("exec %1$s/ld-linux*.so* --library-path %1$s %1$s/wbwatchd \"$@\"", disk->folder);
}

/* How many page faults of a process had to read so far. */
static uint64_t count_reading_faults(pid_t pid) {
        g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int) pid), *text = NULL;
        unsigned long count;
        const char *fields;

        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        fields = strrchr(text, ')');
        g_assert_cmpint(sscanf(fields, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %lu", &count), ==, 1);
        return count;
}

static void show_memory(BusFixture *fixture) {
        const char *const names[] = { NULL, HELPER_SYNC, HELPER_STORAGE };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                pid_t pid = names[i] ? fixture_helper_pid(fixture, names[i]) : fixture->daemon.pid;
                g_autofree char *path = g_strdup_printf("/proc/%d/smaps_rollup", (int) pid), *text = NULL;
                g_auto(GStrv) lines = NULL;
                g_autoptr(GString) shown = g_string_new(NULL);

                g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
                lines = g_strsplit(text, "\n", -1);
                for (char **line = lines; *line; line++)
                        if (g_str_has_prefix(*line, "Rss:") || g_str_has_prefix(*line, "Pss:") ||
                            g_str_has_prefix(*line, "Private_Dirty:") || g_str_has_prefix(*line, "Locked:"))
                                g_string_append_printf(shown, " %s", *line);
                g_test_message("memory of %s:%s", names[i] ?: "wbwatchd", shown->str);
        }
}

/* Writes down the system calls of some processes. */
typedef struct Trace {
        pid_t pid;
        char *path;
} Trace;

static Trace trace_begin(BusFixture *fixture, pid_t daemon, pid_t helper) {
        Trace trace = { .path = g_build_filename(fixture->folder, "trace", NULL) };
        g_autofree char *pid = g_strdup_printf("%d", (int) daemon);
        g_autofree char *helper_pid = g_strdup_printf("%d", (int) helper);
        g_autofree char *status_path = g_strdup_printf("/proc/%d/status", (int) helper);
        const char *const arguments[] = { "strace",   "-f", "-qq", "-s", "80",       "-o",
                                          trace.path, "-p", pid,   "-p", helper_pid, NULL };
        g_autoptr(GError) error = NULL;

        (void) g_spawn_async(
                        NULL, (char **) arguments, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_SEARCH_PATH,
                        set_up_tool, GINT_TO_POINTER(getpid()), &trace.pid, &error);
        g_assert_no_error(error);

        /* It has taken the last of them. */
        for (;;) {
                g_autofree char *status = NULL;

                g_assert_true(g_file_get_contents(status_path, &status, NULL, NULL));
                if (!strstr(status, "TracerPid:\t0\n"))
                        return trace;
                g_assert_cmpint(g_get_monotonic_time(), <, fixture->deadline_usec);
                g_usleep(USEC_PER_MSEC);
        }
}

/* The lines, to be freed. It is killed, since it could not let go of a process that hangs in the kernel; each
 * line was written at once. */
static char **trace_end(Trace *trace) {
        g_autofree char *text = NULL;

        kill_and_wait(trace->pid);
        g_assert_true(g_file_get_contents(trace->path, &text, NULL, NULL));
        g_free(trace->path);
        return g_strsplit(text, "\n", -1);
}

/* The name of a line's system call, and whether it is there at all: lines may be the rest of another one. */
static bool read_call(const char *line, pid_t *ret_pid, char name[static 32], const char **ret_arguments) {
        int pid, length = 0;

        if (sscanf(line, "%d %31[a-z0-9_](%n", &pid, name, &length) != 2 || length == 0)
                return false;
        *ret_pid = pid;
        *ret_arguments = line + length;
        return true;
}

static bool is_one_of(const char *name, const char *const *names) {
        for (; *names; names++)
                if (streq(name, *names))
                        return true;
        return false;
}

/* From the first look that finds the worker to the entry of sync(2): what the daemon and its helper asked of
 * the kernel. Neither memory, nor files, nor processes; but for /proc, by a descriptor that it has. */
static void assert_nothing_is_opened(char **lines, pid_t daemon, pid_t helper, const char *work) {
        static const char *const forbidden[] = { "open",    "openat2", "creat",     "fork",     "vfork",
                                                 "clone",   "clone3",  "execve",    "execveat", "brk",
                                                 "mmap",    "mremap",  "munmap",    "mprotect", "socket",
                                                 "connect", "fsync",   "fdatasync", NULL };
        bool found = false, asked = false, entered = false;
        unsigned n = 0;

        for (; *lines && !entered; lines++) {
                const char *arguments;
                char name[32];
                pid_t pid;

                if (!read_call(*lines, &pid, name, &arguments))
                        continue;
                found = found || (pid == daemon && strstr(arguments, work));
                if (!found)
                        continue;

                n++;
                if (is_one_of(name, forbidden) || (streq(name, "openat") && !g_ascii_isdigit(arguments[0])))
                        g_error("on the way to the sync: %s", *lines);
                if (pid == daemon && streq(name, "sendmsg") && strstr(arguments, "iov_base=\"\\0\\0\\0\\0\""))
                        asked = true;
                if (pid == helper && streq(name, "sync"))
                        entered = true;
        }

        g_assert_true(found);
        g_assert_true(asked);
        g_assert_true(entered);
        g_test_message("%u system calls from the look that found the worker to the sync", n);
}

/* After the sync was asked for: nothing is opened but /proc and, for the bus, sockets. */
static void assert_no_file_is_opened(char **lines, pid_t daemon) {
        for (; *lines; lines++) {
                const char *arguments;
                char name[32];
                pid_t pid;

                if (!read_call(*lines, &pid, name, &arguments) || pid != daemon)
                        continue;
                if (streq(name, "open") || (streq(name, "openat") && !g_ascii_isdigit(arguments[0])))
                        g_error("in the crisis: %s", *lines);
        }
}

#define STUCK_CONFIG                                                                                         \
        "[Watch]\n"                                                                                          \
        "Glob=kworker/*+flush-7:*\n"                                                                         \
        "ThresholdSec=2s\n"                                                                                  \
        "SweepIntervalSec=1s\n"                                                                              \
        "SyncTimeoutSec=1s\n"
#define STUCK_THRESHOLD_USEC (2 * USEC_PER_SEC)

/* A disk that hangs, the daemon's own disk frozen, and nothing left in memory but what is held there. */
static void test_disk(BusFixture *fixture, gconstpointer data) {
        _cleanup_own_disk_ OwnDisk disk = own_disk_new();
        uint64_t late_usec, daemon_faults, helper_faults;
        _cleanup_client_ Client *client = NULL;
        g_auto(GStrv) lines = NULL;
        _cleanup_close_ int helper_pidfd = -EBADF;
        struct pollfd ended;
        pid_t daemon, helper;
        StuckWorker stuck;
        Trace trace;

        move_daemon_to(&disk);
        fixture_start_bus(fixture);
        client = client_new(fixture, UID_ROOT);
        fixture_write_config(fixture, STUCK_CONFIG);
        fixture_start_daemon(fixture, "--proc-root", "/proc", "--debug", NULL);
        g_free(client_wait_owner(client, BUS_NAME));
        daemon = fixture->daemon.pid;
        helper = fixture_helper_pid(fixture, HELPER_SYNC);
        show_memory(fixture);

        trace = trace_begin(fixture, daemon, helper);
        own_disk_freeze(&disk);
        drop_caches();
        daemon_faults = count_reading_faults(daemon);
        helper_faults = count_reading_faults(helper);

        stuck_worker_begin(&stuck, 60);
        drop_caches();
        late_usec = wait_sync_started(client, STUCK_THRESHOLD_USEC);
        while (!is_in_sync(helper))
                (void) sched_yield();
        g_assert_cmpuint(count_reading_faults(daemon), ==, daemon_faults);
        g_assert_cmpuint(count_reading_faults(helper), ==, helper_faults);
        g_test_message("sync decided %" G_GUINT64_FORMAT " us after the threshold, traced", late_usec);

        /* It goes on answering, and lives through the loss of its bus, without the disk. */
        client_wait_property(client, "LastSyncResult", "'stalled'");
        (void) client_call(client, "ListWorkers", NULL);
        (void) client_call(client, "ListEpisodes", NULL);
        client_set(client, "CrowdSize", g_variant_new_uint32(5));
        (void) client_call(client, "Pause", NULL);
        (void) client_call(client, "Resume", NULL);
        (void) reply_content(
                        client_ask(client, BUS_NAME, BUS_PATH, PROPERTIES_INTERFACE, "GetAll",
                                   g_variant_new("(s)", BUS_INTERFACE)));
        fixture_stop_bus(fixture);
        fixture_wait_log(fixture, "The bus was lost");
        fixture_start_bus(fixture);
        client_free(client);
        client = client_new(fixture, UID_ROOT);
        g_free(client_wait_owner(client, BUS_NAME));
        assert_property(client, "State", "'syncing'");
        g_assert_cmpuint(count_reading_faults(daemon), ==, daemon_faults);
        show_memory(fixture);

        lines = trace_end(&trace);
        own_disk_thaw(&disk);
        assert_nothing_is_opened(lines, daemon, helper, "+flush-7:");
        assert_no_file_is_opened(lines, daemon);

        /* Killed while the sync hangs: its helper cannot die, and is in nobody's way. */
        helper_pidfd = pidfd_open(helper, 0);
        g_assert_no_errno(helper_pidfd);
        fixture_kill_daemon(fixture);
        client_wait_no_owner(client, BUS_NAME);
        fixture_start_daemon(fixture, "--proc-root", "/proc", NULL);
        g_free(client_wait_owner(client, BUS_NAME));
        (void) wait_sync_started(client, STUCK_THRESHOLD_USEC);
        g_assert_true(is_in_sync(helper));
        g_assert_cmpint(fixture_helper_pid(fixture, HELPER_SYNC), !=, helper);

        stuck_worker_let_go(&stuck);
        (void) client_wait_signal(client, "SyncFinished");
        ended = (struct pollfd){ .fd = helper_pidfd, .events = POLLIN };
        g_assert_cmpint(poll(&ended, 1, -1), ==, 1);
        fixture_stop_daemon(fixture);
}

/* It ends when it is told to, and reads nothing for it from the disk that it was started from. */
static void test_disk_stop(BusFixture *fixture, gconstpointer data) {
        _cleanup_own_disk_ OwnDisk disk = own_disk_new();
        _cleanup_client_ Client *client = NULL;
        siginfo_t info;
        uint64_t faults;
        pid_t daemon;

        move_daemon_to(&disk);
        client = start_quick_daemon(fixture);
        daemon = fixture->daemon.pid;
        own_disk_freeze(&disk);
        drop_caches();
        faults = count_reading_faults(daemon);

        g_assert_no_errno(kill(daemon, SIGTERM));
        g_assert_no_errno(waitid(P_PID, (id_t) daemon, &info, WEXITED | WNOWAIT));
        g_assert_cmpuint(count_reading_faults(daemon), ==, faults);
        fixture_stop_daemon(fixture);
        client_wait_no_owner(client, BUS_NAME);
        own_disk_thaw(&disk);
}

#endif

/* ---- 5: the CPUs ---- */

/* All threads of this program that there are, or another process; real-time, or ordinary. */
static void set_realtime(pid_t pid, bool realtime) {
        const struct sched_param parameter = { .sched_priority = realtime ? 2 : 0 };
        g_autofree char *path = g_strdup_printf("/proc/%d/task", (int) pid);
        g_autoptr(GDir) tasks = g_dir_open(path, 0, NULL);
        const char *task;

        g_assert_nonnull(tasks);
        while ((task = g_dir_read_name(tasks)))
                g_assert_no_errno(sched_setscheduler(
                                atoi(task), realtime ? SCHED_FIFO : SCHED_OTHER, &parameter));
}

static uint64_t measure_answers(Client *client) {
        uint64_t longest_usec = 0;

        for (unsigned i = 0; i < 20; i++) {
                uint64_t begin_usec = usec_now(CLOCK_MONOTONIC);

                g_variant_unref(client_get(client, "State"));
                longest_usec = MAX(longest_usec, usec_now(CLOCK_MONOTONIC) - begin_usec);
        }

        return longest_usec;
}

/* The number behind which a text stands in the log. */
static uint64_t logged_number(BusFixture *fixture, const char *text) {
        const char *found;
        uint64_t number;

        fixture_wait_log(fixture, text);
        g_mutex_lock(&fixture->log_lock);
        found = strstr(fixture->log->str, text);
        while (g_ascii_isdigit(found[-1]))
                found--;
        number = g_ascii_strtoull(found, NULL, 10);
        g_mutex_unlock(&fixture->log_lock);
        return number;
}

/* What is promised is wbwatchd's part: so those who measure, and the bus, go before the spinning threads as
 * it does. */
static void test_cpus(BusFixture *fixture, gconstpointer data) {
        g_autofree char *n_threads = g_strdup_printf("%ld", 300 * sysconf(_SC_NPROCESSORS_ONLN));
        uint64_t decided_usec, entered_usec, answered_usec;
        _cleanup_client_ Client *client = NULL;
        int spinner_stdout;
        pid_t spinner;

        client = start_quick_daemon(fixture);
        spinner = start_tool("--spin", n_threads, NULL, &spinner_stdout);
        set_realtime(getpid(), true);
        set_realtime(fixture->bus.pid, true);
        wait_line(spinner_stdout, "spinning");

        fixture_add_worker(fixture);
        decided_usec = wait_sync_started(client, THRESHOLD_USEC);
        answered_usec = measure_answers(client);

        kill_and_wait(spinner);
        set_realtime(getpid(), false);
        g_assert_no_errno(close(spinner_stdout));
        entered_usec = logged_number(fixture, "us after it was decided");

        g_test_message("%s threads spin: sync decided %" G_GUINT64_FORMAT
                       " us after the threshold, entered %" G_GUINT64_FORMAT
                       " us after that; the bus answered within %" G_GUINT64_FORMAT " us",
                       n_threads, decided_usec, entered_usec, answered_usec);
        g_assert_cmpuint(decided_usec + entered_usec, <, BUSY_SYNC_STARTS_WITHIN_USEC);
        g_assert_cmpuint(answered_usec, <, BUSY_BUS_ANSWERS_WITHIN_USEC);
}

/* ---- 6: memory ---- */

#ifndef HAS_ADDRESS_SANITIZER /* it takes more memory than there is here */

/* Little more than what wbwatchd needs. */
#define MEMORY_LIMIT "33554432"

/* Others in the same group, who do nothing: while the one who takes the memory is dying, somebody else than
 * the daemon can be killed. */
#define N_BYSTANDERS 10

/* A memory control group of the test's own. The second version of control groups spells it differently. */
typedef struct MemoryGroup {
        char *folder;
        char *procs;
        const char *events; /* the file that counts kills */
        Undo undo;
} MemoryGroup;

static void write_text(const char *folder, const char *name, const char *text) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

        g_assert_no_errno(fd);
        if (write(fd, text, strlen(text)) < 0)
                g_error("%s: %s: %s", path, text, g_strerror(errno));
}

/* It is empty once all that was in it is dead. */
static void remove_folder(const void *data) {
        for (unsigned i = 0; i < 1000 && rmdir(data) < 0 && errno == EBUSY; i++)
                (void) usleep(10000);
}

static MemoryGroup memory_group_new(void) {
        bool first_version = g_file_test("/sys/fs/cgroup/memory/cgroup.procs", G_FILE_TEST_EXISTS);
        const char *root = first_version ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup";
        MemoryGroup group = { .events = first_version ? "memory.oom_control" : "memory.events" };

        if (!first_version)
                write_text(root, "cgroup.subtree_control", "+memory");
        group.folder = g_strdup_printf("%s/wbwatch-crisis.%d", root, (int) getpid());
        group.procs = g_build_filename(group.folder, "cgroup.procs", NULL);
        g_assert_no_errno(mkdir(group.folder, 0755));
        group.undo = undo_later(remove_folder, group.folder);
        write_text(group.folder, first_version ? "memory.limit_in_bytes" : "memory.max", MEMORY_LIMIT);
        return group;
}

static void memory_group_done(MemoryGroup *group) {
        undo_now(&group->undo);
        g_free(group->folder);
        g_free(group->procs);
}

static unsigned memory_group_count_kills(const MemoryGroup *group) {
        g_autofree char *path = g_build_filename(group->folder, group->events, NULL), *text = NULL;
        const char *found;

        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        found = strstr(text, "oom_kill ");
        g_assert_nonnull(found);
        return (unsigned) atoi(found + strlen("oom_kill "));
}

/* Takes all memory over and over again, each time until it is killed. */
typedef struct Eater {
        const MemoryGroup *group;
        const char *score;
        atomic_bool end;
} Eater;

static gpointer eat(gpointer userdata) {
        Eater *eater = userdata;

        while (!atomic_load(&eater->end)) {
                pid_t pid = start_tool("--eat", eater->group->procs, eater->score, NULL);
                int status;

                g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
                g_assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        }

        return NULL;
}

/* A line of /proc/PID/status, as a number. */
static uint64_t status_number(pid_t pid, const char *key) {
        g_autofree char *path = g_strdup_printf("/proc/%d/status", (int) pid), *text = NULL;
        const char *found;

        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        found = strstr(text, key);
        g_assert_nonnull(found);
        return g_ascii_strtoull(found + strlen(key), NULL, 10);
}

/* To become less welcome to the OOM killer takes CAP_SYS_RESOURCE. Without it the daemon stays where it is,
 * and who eats has to be more welcome. */
static bool may_lower_score(void) {
        enum {
                CAP_SYS_RESOURCE = 24
        };
        g_autofree char *text = NULL;
        const char *found;

        g_assert_true(g_file_get_contents("/proc/self/status", &text, NULL, NULL));
        found = strstr(text, "CapEff:");
        return g_ascii_strtoull(found + strlen("CapEff:\t"), NULL, 16) & (UINT64_C(1) << CAP_SYS_RESOURCE);
}

static void assert_score(pid_t daemon) {
        g_autofree char *path = g_strdup_printf("/proc/%d/oom_score_adj", (int) daemon), *text = NULL;

        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        g_test_message("oom_score_adj is %s", g_strchomp(text));
        if (may_lower_score())
                g_assert_cmpstr(text, ==, "-900");
}

/* Where this process is by now, to come back to. */
static char *own_memory_procs(void) {
        g_autofree char *text = NULL;
        g_auto(GStrv) lines = NULL;

        g_assert_true(g_file_get_contents("/proc/self/cgroup", &text, NULL, NULL));
        lines = g_strsplit(text, "\n", -1);
        for (char **line = lines; *line; line++) {
                const char *path = strrchr(*line, ':');

                if (strstr(*line, ":memory:"))
                        return g_build_filename("/sys/fs/cgroup/memory", path + 1, "cgroup.procs", NULL);
        }
        for (char **line = lines; *line; line++)
                if (g_str_has_prefix(*line, "0::"))
                        return g_build_filename("/sys/fs/cgroup", *line + 3, "cgroup.procs", NULL);

        g_error("no control group");
}

static void test_memory(BusFixture *fixture, gconstpointer data) {
        _cleanup_own_disk_ OwnDisk disk = own_disk_new();
        g_autofree char *own_procs = own_memory_procs();
        MemoryGroup group = memory_group_new();
        Eater eater = { .group = &group, .score = may_lower_score() ? "0" : "1000" };
        _cleanup_client_ Client *client = NULL;
        uint64_t late_usec, daemon_faults, helper_faults;
        pid_t daemon, helper, bystanders[N_BYSTANDERS];
        unsigned n_kills;
        GThread *thread;

        /* Its program and libraries are charged to whoever reads them first, and that is itself. */
        move_daemon_to(&disk);
        fixture_start_bus(fixture);
        client = client_new(fixture, UID_ROOT);
        /* No second sync, however long the first one takes. */
        fixture_write_config(fixture, QUICK_CONFIG "RecoverySec=1h\n");
        write_text(group.procs, "", "0");
        fixture_start_daemon(fixture, "--debug", NULL);
        write_text(own_procs, "", "0");
        g_free(client_wait_owner(client, BUS_NAME));

        daemon = fixture->daemon.pid;
        helper = fixture_helper_pid(fixture, HELPER_SYNC);
        daemon_faults = count_reading_faults(daemon);
        helper_faults = count_reading_faults(helper);
        assert_score(daemon);

        for (size_t i = 0; i < N_BYSTANDERS; i++) {
                int stdout_fd;

                bystanders[i] = start_tool("--stand-by", group.procs, eater.score, &stdout_fd);
                wait_line(stdout_fd, "standing by");
                g_assert_no_errno(close(stdout_fd));
        }
        thread = g_thread_new("eater", eat, &eater);
        while (memory_group_count_kills(&group) < 3)
                g_usleep(USEC_PER_MSEC);
        n_kills = memory_group_count_kills(&group);

        fixture_add_worker(fixture);
        late_usec = wait_sync_started(client, THRESHOLD_USEC);
        (void) client_wait_signal(client, "SyncFinished");
        (void) client_call(client, "ListEpisodes", NULL);
        n_kills = memory_group_count_kills(&group) - n_kills;

        atomic_store(&eater.end, true);
        (void) g_thread_join(thread);
        for (size_t i = 0; i < N_BYSTANDERS; i++)
                kill_and_wait(bystanders[i]);

        g_test_message("%u others killed meanwhile; sync decided %" G_GUINT64_FORMAT
                       " us after the threshold, %" G_GUINT64_FORMAT " and %" G_GUINT64_FORMAT
                       " page faults that read; %" G_GUINT64_FORMAT " kB locked, %" G_GUINT64_FORMAT
                       " kB swapped",
                       n_kills, late_usec, count_reading_faults(daemon) - daemon_faults,
                       count_reading_faults(helper) - helper_faults, status_number(daemon, "VmLck:"),
                       status_number(daemon, "VmSwap:"));
        g_assert_cmpuint(n_kills, >, 0);
        g_assert_cmpuint(count_reading_faults(daemon), ==, daemon_faults);
        g_assert_cmpuint(count_reading_faults(helper), ==, helper_faults);
        g_assert_cmpuint(status_number(daemon, "VmLck:"), >, 0);
        g_assert_cmpuint(status_number(daemon, "VmSwap:"), ==, 0);
        assert_property(client, "SyncCount", "uint64 1");

        fixture_stop_daemon(fixture);
        memory_group_done(&group);
}

#endif

/* ---- 8: /proc, and the clock ---- */

/* From its first look at a worker on the daemon can open nothing any more: what it does not see is not gone.
 */
static void test_no_descriptors(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = NULL;
        struct rlimit limit, none;
        uint64_t late_usec;

        client = start_quick_daemon(fixture);
        /* No second one, however long the first one takes. */
        client_set(client, "RecoveryUSec", g_variant_new_uint64(USEC_PER_HOUR));
        fixture_add_worker(fixture);
        client_wait_property(client, "State", "'busy'");
        g_assert_no_errno(prlimit(fixture->daemon.pid, RLIMIT_NOFILE, NULL, &limit));
        none = (struct rlimit){ .rlim_cur = 0, .rlim_max = limit.rlim_max };
        g_assert_no_errno(prlimit(fixture->daemon.pid, RLIMIT_NOFILE, &none, NULL));

        late_usec = wait_sync_started(client, THRESHOLD_USEC);
        g_test_message("sync decided %" G_GUINT64_FORMAT " us after the threshold", late_usec);
        g_assert_cmpuint(late_usec, <, SYNC_STARTS_WITHIN_USEC);
        (void) client_wait_signal(client, "SyncFinished");

        g_assert_no_errno(prlimit(fixture->daemon.pid, RLIMIT_NOFILE, &limit, NULL));
        fixture_remove_worker(fixture);
        (void) client_wait_signal(client, "EpisodeEnded");
}

/* Puts a file over one of the proc tree that opens, and gives EIO to whoever reads it from its start. */
static char *make_unreadable(BusFixture *fixture, const char *name) {
        g_autofree char *memory = g_strdup_printf("/proc/%d/mem", (int) getpid());
        char *path = g_build_filename(fixture->proc.root, name, NULL);

        g_assert_no_errno(mount(memory, path, NULL, MS_BIND, NULL));
        return path;
}

static void make_readable(char *path) {
        g_assert_no_errno(umount2(path, MNT_DETACH));
        g_free(path);
}

/* The same with errors that are the kernel's: of the worker alone, and of the list of all. */
static void test_io_error(BusFixture *fixture, gconstpointer data) {
        static const char *const files[] = { "1234/comm", "1234/stat", "2/task/2/children" };
        _cleanup_client_ Client *client = NULL;
        char *paths[ELEMENTSOF(files)];
        uint64_t late_usec;

        client = start_quick_daemon(fixture);
        fixture_add_worker(fixture);
        client_wait_property(client, "State", "'busy'");
        for (size_t i = 0; i < ELEMENTSOF(files); i++)
                paths[i] = make_unreadable(fixture, files[i]);

        late_usec = wait_sync_started(client, THRESHOLD_USEC);
        g_test_message("sync decided %" G_GUINT64_FORMAT " us after the threshold", late_usec);
        g_assert_cmpuint(late_usec, <, SYNC_STARTS_WITHIN_USEC);
        (void) client_wait_signal(client, "SyncFinished");

        for (size_t i = 0; i < ELEMENTSOF(files); i++)
                make_readable(paths[i]);
        fixture_remove_worker(fixture);
        (void) client_wait_signal(client, "EpisodeEnded");
}

/* As many kernel workers as there could ever be, at the upper end of all pids. */
#define MANY_WORKERS 30000
#define PID_MAX 4194303

static void write_file(const char *path, const char *text) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

        g_assert_no_errno(fd);
        g_assert_cmpint(write(fd, text, strlen(text)), ==, strlen(text));
}

static void test_many_workers(BusFixture *fixture, gconstpointer data) {
        g_autoptr(GString) list = g_string_new(NULL);
        _cleanup_client_ Client *client = NULL;
        uint64_t late_usec, answered_usec;
        g_autoptr(GVariant) workers = NULL;
        g_autoptr(GVariant) last = NULL;
        guint32 pid;

        for (unsigned i = 0; i < MANY_WORKERS; i++) {
                pid_t worker_pid = PID_MAX + 1 - MANY_WORKERS + (pid_t) i;
                g_autofree char *folder = g_strdup_printf("%s/%d", fixture->proc.root, (int) worker_pid);
                g_autofree char *comm = g_build_filename(folder, "comm", NULL);
                g_autofree char *stat_path = g_build_filename(folder, "stat", NULL);
                g_autofree char *text = fake_proc_stat_text(worker_pid, WORKER_NAME, FLAGS_WORKER, i + 1);

                g_assert_no_errno(mkdir(folder, 0755));
                write_file(comm, WORKER_NAME "\n");
                write_file(stat_path, text);
                g_string_append_printf(list, "%d ", (int) worker_pid);
        }

        client = start_quick_daemon(fixture);
        fake_proc_list(&fixture->proc, list->str);
        late_usec = wait_sync_started(client, THRESHOLD_USEC);

        /* The looks take longer than the time between them, and leave some for others all the same. */
        answered_usec = measure_answers(client);
        assert_property(client, "WorkerCount", "uint32 30000");
        workers = g_variant_get_child_value(client_call(client, "ListWorkers", NULL), 0);
        g_assert_cmpuint(g_variant_n_children(workers), ==, MANY_WORKERS);
        last = g_variant_get_child_value(workers, MANY_WORKERS - 1);
        g_assert_true(g_variant_lookup(last, "PID", "u", &pid));
        g_assert_cmpuint(pid, ==, PID_MAX);
        g_test_message("sync decided %" G_GUINT64_FORMAT
                       " us after the threshold, the bus answered within %" G_GUINT64_FORMAT " us",
                       late_usec, answered_usec);
}

/* The time of day jumps by 130 years at every look at it, and the machine has slept for an hour before. */
static void test_clock(BusFixture *fixture, gconstpointer data) {
        const char *jumping_clock = g_getenv("WBWATCH_JUMPING_CLOCK");
        _cleanup_client_ Client *client = NULL;
        uint64_t begin_usec, paused_usec;

        g_assert_nonnull(jumping_clock);
        fixture->preload = jumping_clock;
        client = start_quick_daemon(fixture);
        assert_sync_in_time(fixture, client);

        begin_usec = usec_now(CLOCK_MONOTONIC);
        (void) client_call(client, "PauseFor", g_variant_new("(t)", USEC_PER_SEC));
        client_wait_property(client, "State", "'paused'");
        client_wait_property(client, "State", "'idle'");
        paused_usec = usec_now(CLOCK_MONOTONIC) - begin_usec;
        g_test_message("a pause of 1 s took %" G_GUINT64_FORMAT " us", paused_usec);
        g_assert_cmpuint(paused_usec, >=, USEC_PER_SEC);

        assert_sync_in_time(fixture, client);
}

/* ---- 9: the sync ---- */

static void assert_result(GVariant *finished, const char *expected) {
        g_autoptr(GVariant) details = g_variant_get_child_value(finished, 2);
        const char *result;

        g_assert_true(g_variant_lookup(details, "Result", "&s", &result));
        g_assert_cmpstr(result, ==, expected);
}

static void test_sync_at_once(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = start_quick_daemon(fixture);

        for (unsigned i = 0; i < 3; i++)
                assert_sync_in_time(fixture, client);
}

/* A sync that does not end is told once to have stalled, and no other one begins behind it, whatever there is
 * to see meanwhile. When it ends after all, all goes on. */
static void test_sync_never(BusFixture *fixture, gconstpointer data) {
        static const char another[] = "kworker/1:1+inode_switch_wbs";
        _cleanup_client_ Client *client = start_quick_daemon(fixture);
        g_autofree char *history = NULL;

        client_set(client, "SyncTimeoutUSec", g_variant_new_uint64(USEC_PER_SEC));
        fixture_signal_helper(fixture, HELPER_SYNC, SIGSTOP);
        fixture_add_worker(fixture);
        (void) wait_sync_started(client, THRESHOLD_USEC);
        client_wait_property(client, "LastSyncResult", "'stalled'");

        /* Looks are made all the time. */
        fake_proc_add(&fixture->proc, WORKER_PID + 1, another, FLAGS_WORKER, 1);
        fake_proc_list(&fixture->proc, "1234 1235 ");
        for (;;) {
                g_autoptr(GVariant) count = client_get(client, "WorkerCount");

                if (g_variant_get_uint32(count) == 2)
                        break;
                g_assert_cmpint(g_get_monotonic_time(), <, fixture->deadline_usec);
        }
        assert_property(client, "State", "'syncing'");
        assert_property(client, "SyncCount", "uint64 1");
        g_assert_cmpuint(client_count_signals(client, "SyncStarted"), ==, 1);
        g_assert_cmpuint(client_count_signals(client, "SyncFinished"), ==, 0);

        fixture_signal_helper(fixture, HELPER_SYNC, SIGCONT);
        assert_result(client_wait_signal(client, "SyncFinished"), "ok");
        history = client_history(client, "LastSyncResult");
        g_assert_true(g_str_has_prefix(history, "stalled ok"));
        fake_proc_list(&fixture->proc, "1234 ");
        fake_proc_remove(&fixture->proc, "1235/comm");
        fake_proc_remove(&fixture->proc, "1235/stat");
        fixture_remove_worker(fixture);
        (void) client_wait_signal(client, "EpisodeEnded");
}

/* In a sync, and while it has nothing to do. */
static void test_sync_helper_killed(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = start_quick_daemon(fixture);

        fixture_signal_helper(fixture, HELPER_SYNC, SIGSTOP);
        fixture_add_worker(fixture);
        (void) wait_sync_started(client, THRESHOLD_USEC);
        fixture_signal_helper(fixture, HELPER_SYNC, SIGKILL);
        assert_result(client_wait_signal(client, "SyncFinished"), "failed");

        /* The worker is still stuck. */
        (void) wait_sync_started(client, THRESHOLD_USEC);
        assert_result(client_wait_signal(client, "SyncFinished"), "ok");
        fixture_remove_worker(fixture);
        (void) client_wait_signal(client, "EpisodeEnded");

        fixture_signal_helper(fixture, HELPER_SYNC, SIGKILL);
        assert_sync_in_time(fixture, client);
}

/* What can happen to it in each state. */

#define LONG_CONFIG                                                                                          \
        QUICK_CONFIG                                                                                         \
        "RecoverySec=1h\n"

static void set_threshold(Client *client, uint64_t usec) {
        client_set(client, "ThresholdUSec", g_variant_new_uint64(usec));
}

/* Brings it into a state, with a worker that stays, and a sync helper that is held, where the state needs
 * them. */
static void enter_state(BusFixture *fixture, Client *client, const char *state) {
        g_autofree char *text = g_strdup_printf("'%s'", state);

        if (streq(state, "paused"))
                (void) client_call(client, "Pause", NULL);
        else if (streq(state, "busy"))
                set_threshold(client, USEC_PER_HOUR);
        else if (streq(state, "syncing"))
                fixture_signal_helper(fixture, HELPER_SYNC, SIGSTOP);

        if (!streq(state, "idle"))
                fixture_add_worker(fixture);
        if (streq(state, "syncing") || streq(state, "recovery"))
                (void) wait_sync_started(client, THRESHOLD_USEC);
        if (streq(state, "recovery"))
                assert_result(client_wait_signal(client, "SyncFinished"), "ok");
        if (streq(state, "paused"))
                (void) client_wait_signal(client, "EpisodeStarted");
        client_wait_property(client, "State", text);
}

static void test_state(BusFixture *fixture, gconstpointer data) {
        const char *state = data, *in_pause = streq(state, "syncing") ? "'syncing'" : "'paused'";
        g_autofree char *text = g_strdup_printf("'%s'", state);
        _cleanup_client_ Client *client = start_quick_daemon(fixture);
        g_autoptr(GVariant) count = NULL;
        g_autofree char *count_text = NULL;

        fixture_write_config(fixture, LONG_CONFIG);
        fixture_reload_daemon(fixture);
        enter_state(fixture, client, state);
        count = client_get(client, "SyncCount");
        count_text = g_variant_print(count, true);

        /* A reload, and other settings. What was set over the bus ends with the reload, and so does the
         * reason for which nothing was done. */
        fixture_write_config(fixture, LONG_CONFIG "ThresholdSec=2h\nCrowdSize=0\n");
        fixture_reload_daemon(fixture);
        assert_property(client, "ThresholdUSec", "uint64 7200000000");
        assert_property(client, "State", text);
        set_threshold(client, USEC_PER_HOUR);
        assert_property(client, "State", text);

        (void) client_call(client, "Pause", NULL);
        assert_property(client, "State", in_pause);
        set_threshold(client, THRESHOLD_USEC);
        if (streq(state, "busy"))
                (void) client_wait_signal(client, "EpisodeStarted");
        assert_property(client, "State", in_pause);
        assert_property(client, "SyncCount", count_text);
        set_threshold(client, USEC_PER_HOUR);
        (void) client_call(client, "Resume", NULL);
        if (streq(state, "paused"))
                client_wait_property(client, "State", "'busy'");
        else
                assert_property(client, "State", text);
        assert_property(client, "SyncCount", count_text);

        /* Killed, in the same state again; and it begins anew, as if nothing had been. */
        if (streq(state, "paused"))
                (void) client_call(client, "Pause", NULL);
        fixture_kill_daemon(fixture);
        client_wait_no_owner(client, BUS_NAME);
        fixture_write_config(fixture, LONG_CONFIG);
        fixture_start_daemon(fixture, "--debug", NULL);
        g_free(client_wait_owner(client, BUS_NAME));
        if (streq(state, "idle"))
                fixture_add_worker(fixture);
        (void) wait_sync_started(client, THRESHOLD_USEC);
        assert_result(client_wait_signal(client, "SyncFinished"), "ok");

        /* And stopped in it. */
        fixture_remove_worker(fixture);
        (void) client_wait_signal(client, "EpisodeEnded");
        fixture_write_config(fixture, QUICK_CONFIG);
        fixture_stop_daemon(fixture);
        client_wait_no_owner(client, BUS_NAME);
        fixture_start_daemon(fixture, "--debug", NULL);
        g_free(client_wait_owner(client, BUS_NAME));
        enter_state(fixture, client, streq(state, "recovery") ? "idle" : state);
        fixture_stop_daemon(fixture);
}

static bool prepare_programs(void) {
        return g_mkdir(PROGRAMS_FOLDER, 0755) == 0 &&
               mount("tmpfs", PROGRAMS_FOLDER, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") == 0;
}

int main(int argc, char **argv) {
        static const char *const states[] = { "idle", "busy", "syncing", "recovery", "paused" };
        int r;

        r = run_tool(argc, argv);
        if (r >= 0)
                return r;

        if (!fixture_isolate())
                return EXIT_SUCCESS;
        g_test_init(&argc, &argv, NULL);
        g_assert_true(prepare_programs());
        g_assert_nonnull(g_getenv("WBWATCHD"));
        (void) setenv("WBWATCHD_REAL", g_getenv("WBWATCHD"), true);

#define CRISIS_TEST(path, function, data)                                                                    \
        g_test_add(path, BusFixture, GINT_TO_POINTER(data), fixture_set_up, function, tear_down)

        CRISIS_TEST("/crisis/log/pipe", test_log, SINK_PIPE);
        CRISIS_TEST("/crisis/log/socket", test_log, SINK_SOCKET);
        CRISIS_TEST("/crisis/log/file", test_log, SINK_FILE);
        CRISIS_TEST("/crisis/log/journal", test_log, SINK_JOURNAL);
#ifndef HAS_ADDRESS_SANITIZER
        CRISIS_TEST("/crisis/disk", test_disk, 0);
        CRISIS_TEST("/crisis/disk-stop", test_disk_stop, 0);
#endif
        CRISIS_TEST("/crisis/cpus", test_cpus, 0);
#ifndef HAS_ADDRESS_SANITIZER
        CRISIS_TEST("/crisis/memory", test_memory, 0);
#endif
        CRISIS_TEST("/crisis/proc/no-descriptors", test_no_descriptors, 0);
        CRISIS_TEST("/crisis/proc/io-error", test_io_error, 0);
        CRISIS_TEST("/crisis/proc/many-workers", test_many_workers, 0);
        CRISIS_TEST("/crisis/clock", test_clock, 0);
        CRISIS_TEST("/crisis/sync/at-once", test_sync_at_once, 0);
        CRISIS_TEST("/crisis/sync/never", test_sync_never, 0);
        CRISIS_TEST("/crisis/sync/helper-killed", test_sync_helper_killed, 0);
        for (size_t i = 0; i < ELEMENTSOF(states); i++) {
                g_autofree char *path = g_strconcat("/crisis/state/", states[i], NULL);

                g_test_add(path, BusFixture, states[i], fixture_set_up, test_state, tear_down);
        }

        return g_test_run();
}
