/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The worst minute: what wbwatchd touches fails, one thing after the other, around the real daemon. Each test
 * checks the sync first, its time where that is promised, and what else must stay as it was.
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
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "bus-fixture.h"
#include "deadline.h"
#include "own-disk.h"
#include "stuck-worker.h"
#include "sync-witness.h"

/* The promises: how late a sync may start, and an answer on the bus; and on a machine whose CPUs are taken.
 */
#define SYNC_STARTS_WITHIN_USEC (100 * USEC_PER_MSEC)
#define BUSY_SYNC_STARTS_WITHIN_USEC (250 * USEC_PER_MSEC)
#define BUSY_BUS_ANSWERS_WITHIN_USEC (1 * USEC_PER_SEC)

/* The shortest that can be set. The workers of a fake proc tree use no CPU time: so waiting ones count, too.
 */
#define THRESHOLD_USEC (1 * USEC_PER_SEC)
#define QUICK_CONFIG                                                                                         \
        "[Watch]\n"                                                                                          \
        "ThresholdSec=1s\n"                                                                                  \
        "PollIntervalSec=100ms\n"                                                                            \
        "IdleScanIntervalSec=1s\n"                                                                           \
        "CountWaiting=yes\n"                                                                                 \
        "RecoverySec=0\n"

/* sync(2) at once, where it is that call that hangs or whose end the test waits for. */
#define SYNC_CONFIG QUICK_CONFIG "SyncMethod=sync\n"

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

/* Starts it with such arguments. It dies with the thread that started it. */
static Process start_tool(const char *name, const char *argument, const char *argument2, int *ret_stdout) {
        const char *const arguments[] = { "/proc/self/exe", name, argument, argument2, NULL };

        return process_start(arguments, NULL, ret_stdout, NULL);
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
static Client *start_daemon_with(BusFixture *fixture, const char *config) {
        Client *client;

        fixture_start_bus(fixture);
        client = client_new(fixture, UID_ROOT);
        fixture_write_config(fixture, config);
        fixture_start_daemon(fixture, "--debug", NULL);
        g_free(client_wait_owner(client, BUS_NAME));
        return client;
}

static Client *start_quick_daemon(BusFixture *fixture) {
        return start_daemon_with(fixture, QUICK_CONFIG);
}

/* A worker gets stuck, a sync comes in time, and the worker goes. While its filesystems are synced the sync
 * waits for the end of the stall: it ends no earlier than the episode. */
static void assert_sync_in_time(BusFixture *fixture, Client *client) {
        int64_t late_usec;

        fixture_add_worker(fixture);
        late_usec = client_wait_sync_started(client, THRESHOLD_USEC);
        g_test_message("sync decided %" G_GINT64_FORMAT " us after the threshold", late_usec);
        g_assert_cmpint(late_usec, <, SYNC_STARTS_WITHIN_USEC);

        fixture_remove_worker(fixture);
        (void) client_wait_signal(client, "EpisodeEnded");
        client_wait_property(client, "State", "'idle'");
        g_assert_cmpuint(
                        client_count_signals(client, "SyncFinished"), ==,
                        client_count_signals(client, "SyncStarted"));
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

/* Takes what comes, until it is reported how much was dropped. A file says at its end only that it has no
 * more by now. */
static void assert_drops_are_reported(BusFixture *fixture, int fd) {
        g_autoptr(GString) text = g_string_new(NULL);
        const char *count;

        while (!(count = strstr(text->str, " log lines were dropped: nobody took them\n"))) {
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

        while (count > text->str && g_ascii_isdigit(count[-1]))
                count--;
        g_test_message("reported after %zu bytes that %d lines were dropped", text->len, atoi(count));
        g_assert_cmpint(atoi(count), >, 0);
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

        assert_drops_are_reported(fixture, fd);
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
 * them is there because another process uses it. Its libraries are bound at once, as by the unit. */
static void move_daemon_to(OwnDisk *disk) {
        run_script("cp \"$WBWATCHD_REAL\" %1$s/wbwatchd; for library in $(ldd \"$WBWATCHD_REAL\" | "
                   "grep -o '/[^ ]*'); do cp -L \"$library\" %1$s/; done; sync -f %1$s",
                   disk->folder);
        drop_caches();
        wrap_daemon("LD_BIND_NOW=1 exec %1$s/ld-linux*.so* --library-path %1$s %1$s/wbwatchd \"$@\"",
                    disk->folder);
}

/* The processes of the path from a stuck worker to the end of its sync. */
typedef struct Cast {
        pid_t daemon;
        pid_t sync;     /* the helper that calls sync(2) */
        GArray *syncfs; /* of pid_t: the helpers that call syncfs(2) */
} Cast;

static Cast cast_new(const BusFixture *fixture) {
        Cast cast = {
                .daemon = fixture->daemon.pid,
                .sync = fixture_helper_pid(fixture, HELPER_SYNC),
                .syncfs = fixture_helper_pids(fixture, HELPER_SYNCFS),
        };

        g_assert_cmpuint(cast.syncfs->len, >, 1);
        return cast;
}

static void cast_done(Cast *cast) {
        g_clear_pointer(&cast->syncfs, g_array_unref);
}
#define _cleanup_cast_ _cleanup_(cast_done)

static bool cast_has_syncfs(const Cast *cast, pid_t pid) {
        for (size_t i = 0; i < cast->syncfs->len; i++)
                if (g_array_index(cast->syncfs, pid_t, i) == pid)
                        return true;
        return false;
}

/* The one of them that is in syncfs(2); waits for it. */
static pid_t cast_wait_in_syncfs(const BusFixture *fixture, const Cast *cast) {
        for (;;) {
                for (size_t i = 0; i < cast->syncfs->len; i++)
                        if (is_in_syncfs(g_array_index(cast->syncfs, pid_t, i)))
                                return g_array_index(cast->syncfs, pid_t, i);
                g_assert_cmpint(g_get_monotonic_time(), <, fixture->deadline_usec);
                (void) sched_yield();
        }
}

static uint64_t cast_count_faults(const Cast *cast) {
        uint64_t n = process_reading_faults(cast->daemon) + process_reading_faults(cast->sync);

        for (size_t i = 0; i < cast->syncfs->len; i++)
                n += process_reading_faults(g_array_index(cast->syncfs, pid_t, i));
        return n;
}

static void show_memory(BusFixture *fixture) {
        const char *const names[] = { NULL, HELPER_SYNC, HELPER_SYNCFS, HELPER_STORAGE };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                pid_t pid = names[i] ? fixture_helper_pid(fixture, names[i]) : fixture->daemon.pid;
                g_autofree char *text = process_text(pid, "smaps_rollup");
                g_auto(GStrv) lines = NULL;
                g_autoptr(GString) shown = g_string_new(NULL);

                g_assert_nonnull(text);
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
        Process strace;
        char *path;
        gint64 deadline_usec;
} Trace;

static void wait_traced(const BusFixture *fixture, pid_t pid) {
        while (process_status_number(pid, "TracerPid:") == 0) {
                g_assert_cmpint(g_get_monotonic_time(), <, fixture->deadline_usec);
                g_usleep(USEC_PER_MSEC);
        }
}

static Trace trace_begin(const BusFixture *fixture, const Cast *cast) {
        Trace trace = {
                .path = g_build_filename(fixture->folder, "trace", NULL),
                .deadline_usec = fixture->deadline_usec,
        };
        g_autoptr(GPtrArray) arguments = g_ptr_array_new_with_free_func(g_free);

        for (const char *const *text = (const char *const[]){ "strace", "-f", "-qq", "-s", "80", "-o",
                                                              trace.path, NULL };
             *text; text++)
                g_ptr_array_add(arguments, g_strdup(*text));
        g_ptr_array_add(arguments, g_strdup_printf("-p%d", (int) cast->daemon));
        g_ptr_array_add(arguments, g_strdup_printf("-p%d", (int) cast->sync));
        for (size_t i = 0; i < cast->syncfs->len; i++)
                g_ptr_array_add(arguments,
                                g_strdup_printf("-p%d", (int) g_array_index(cast->syncfs, pid_t, i)));
        g_ptr_array_add(arguments, NULL);

        trace.strace = process_start((const char *const *) arguments->pdata, NULL, NULL, NULL);
        wait_traced(fixture, cast->daemon);
        wait_traced(fixture, cast->sync);
        for (size_t i = 0; i < cast->syncfs->len; i++)
                wait_traced(fixture, g_array_index(cast->syncfs, pid_t, i));
        return trace;
}

static char **read_lines(const char *path) {
        g_autofree char *text = NULL;

        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        return g_strsplit(text, "\n", -1);
}

/* The lines, to be freed. It is killed, since it could not let go of a process that hangs in the kernel; each
 * line was written at once. */
static char **trace_end(Trace *trace) {
        char **lines;

        process_kill(&trace->strace, trace->deadline_usec);
        lines = read_lines(trace->path);
        g_free(trace->path);
        return lines;
}

/* The beginning of a system call. */
typedef struct Call {
        pid_t pid;
        char name[32];
        const char *arguments;
} Call;

/* Whether a line is one at all: it may be the rest of another one. */
static bool read_call(const char *line, Call *ret) {
        int pid, length = 0;

        if (sscanf(line, "%d %31[a-z0-9_](%n", &pid, ret->name, &length) != 2 || length == 0)
                return false;
        ret->pid = pid;
        ret->arguments = line + length;
        return true;
}

static bool is_one_of(const char *name, const char *const *names) {
        for (; *names; names++)
                if (streq(name, *names))
                        return true;
        return false;
}

static bool is_request(const Call *call, const char *order) {
        return streq(call->name, "sendmsg") && strstr(call->arguments, order);
}

/* How a request to a helper begins: a byte, and then enum SyncfsOrder. What the bus gets has no such byte. */
#define REQUEST_LIST "iov_len=1}, {iov_base=\"\\0\\0\\0\\0"
#define REQUEST_FILESYSTEM "iov_len=1}, {iov_base=\"\\1\\0\\0\\0"
#define REQUEST_EVERYTHING "iov_len=1}, {iov_base=\"\\2\\0\\0\\0"

/* The first line of the daemon that is such a call, from a line on. */
static char **find_request(char **lines, pid_t daemon, const char *order) {
        Call call;

        for (; *lines; lines++)
                if (read_call(*lines, &call) && call.pid == daemon && is_request(&call, order))
                        return lines;
        g_error("no request %s", order);
}

/* The daemon's iteration of the event loop that a line lies in begins behind this line. */
static char **find_wait_before(char **lines, char **line, pid_t daemon) {
        Call call;

        while (line > lines)
                if (read_call(*--line, &call) && call.pid == daemon && streq(call.name, "epoll_wait"))
                        return line;
        g_error("the daemon did not wait before");
}

/* Whether a file is opened outside of /proc. The event loop of the library reads the boot id there once. */
static bool opens_outside_proc(const Call *call) {
        return streq(call->name, "open") ||
               (streq(call->name, "openat") && !g_ascii_isdigit(call->arguments[0]) &&
                !g_str_has_prefix(call->arguments, "AT_FDCWD, \"/proc/"));
}

/* Reads in /proc, of the event loop, and, without waiting, whether a helper is alive. */
static bool is_reading(const Call *call) {
        static const char *const names[] = { "read",  "pread64",    "lseek",      "getdents64",
                                             "close", "newfstatat", "epoll_wait", NULL };

        if (streq(call->name, "openat"))
                return !opens_outside_proc(call) && strstr(call->arguments, "O_RDONLY");
        if (streq(call->name, "poll"))
                return strstr(call->arguments, ", 1, 0)");
        return is_one_of(call->name, names);
}

/* In the daemon, from the wakeup for the scan that confirms to the request: it reads, and sends the request;
 * it writes nothing else, and waits for nothing. */
static void assert_only_reads_before_request(char **lines, const Cast *cast, const char *order) {
        char **request = find_request(lines, cast->daemon, order);
        unsigned n = 0;
        Call call;

        for (char **line = find_wait_before(lines, request, cast->daemon); line < request; line++) {
                if (!read_call(*line, &call) || call.pid != cast->daemon)
                        continue;
                if (!is_reading(&call))
                        g_error("before the request: %s", *line);
                n++;
        }
        g_assert_true(read_call(*request, &call));
        g_assert_nonnull(strstr(call.arguments, "MSG_DONTWAIT"));
        g_test_message("%u system calls of the daemon from the wakeup to the request", n);
}

/* What it read is in the line in which the call returns: it may be the rest of another one. */
static bool has_read_vmstat(const char *line, pid_t pid) {
        return strtol(line, NULL, 10) == pid && strstr(line, "\"nr_free_pages ");
}

/* What sends must not wait. */
static bool may_wait(const Call *call) {
        return (streq(call->name, "sendmsg") || streq(call->name, "sendto")) &&
               !strstr(call->arguments, "MSG_DONTWAIT");
}

static char **find_last_filesystem_request(char **lines, pid_t daemon) {
        char **everything = find_request(lines, daemon, REQUEST_EVERYTHING), **last = NULL;
        Call call;

        for (; lines < everything; lines++)
                if (read_call(*lines, &call) && call.pid == daemon && is_request(&call, REQUEST_FILESYSTEM))
                        last = lines;
        g_assert_nonnull(last);
        return last;
}

/* Reading the evidence may wait: it is read after the request for the last filesystem, and before anything is
 * logged. */
static void assert_evidence_follows_requests(char **lines, const Cast *cast) {
        char **request = find_request(lines, cast->daemon, REQUEST_LIST);
        char **last = find_last_filesystem_request(lines, cast->daemon);
        char **line = find_wait_before(lines, request, cast->daemon);
        Call call;

        for (; line <= last; line++)
                if (has_read_vmstat(*line, cast->daemon))
                        g_error("evidence before the request: %s", *line);

        for (line = request; !has_read_vmstat(*line, cast->daemon); line++) {
                if (read_call(*line, &call) && call.pid == cast->daemon && streq(call.name, "write"))
                        g_error("before the evidence: %s", *line);
                g_assert_nonnull(line[1]);
        }
}

/* From the first scan that finds the worker until each filesystem is in the hands of a helper: the daemon
 * uses neither memory, nor files, nor processes; but for /proc, by a descriptor that it has. What it writes
 * meanwhile, to its log, the bus and the service manager, does not wait. (Later it forks a substitute for a
 * helper that hangs, at the end of a scan; sync(2) has had its own helper all the time.) */
static void assert_daemon_opens_nothing(char **lines, const Cast *cast, const char *work) {
        static const char *const forbidden[] = { "open",      "openat2", "creat",     "fork",     "vfork",
                                                 "clone",     "clone3",  "execve",    "execveat", "brk",
                                                 "mmap",      "mremap",  "munmap",    "mprotect", "socket",
                                                 "connect",   "fsync",   "fdatasync", "syncfs",   "sync",
                                                 "fallocate", "statx",   "pwrite64",  NULL };
        char **last = find_last_filesystem_request(lines, cast->daemon);
        bool found = false;
        unsigned n = 0;

        for (char **line = lines; line <= last; line++) {
                Call call;

                if (!read_call(*line, &call) || call.pid != cast->daemon)
                        continue;
                found = found || strstr(call.arguments, work);
                if (!found)
                        continue;
                n++;
                if (is_one_of(call.name, forbidden) || may_wait(&call) || opens_outside_proc(&call))
                        g_error("on the way to the sync: %s", *line);
        }
        g_assert_true(found);
        g_test_message("%u system calls of the daemon from the scan that found the worker to the last "
                       "request for a filesystem",
                       n);
}

/* What the helpers do for it: they read the mounts, open each filesystem by what the kernel has in memory,
 * and sync. No memory, no processes, and no other file. */
static void assert_helpers_only_sync(char **lines, const Cast *cast) {
        static const char *const allowed[] = { "recvmsg", "read",    "recvfrom", "openat",          "openat2",
                                               "statx",   "close",   "fstat",    "newfstatat",      "syncfs",
                                               "sync",    "sendmsg", "lseek",    "restart_syscall", NULL };
        unsigned n_opened = 0, n_synced = 0;

        for (char **line = find_request(lines, cast->daemon, REQUEST_LIST); *line; line++) {
                Call call;

                if (!read_call(*line, &call) || (call.pid != cast->sync && !cast_has_syncfs(cast, call.pid)))
                        continue;
                if (!is_one_of(call.name, allowed) ||
                    (streq(call.name, "openat") && !strstr(call.arguments, "\"/proc/self/mountinfo\"") &&
                     !strstr(call.arguments, "\"/proc/partitions\"")) ||
                    (streq(call.name, "sync") && call.pid != cast->sync))
                        g_error("in a helper: %s", *line);
                n_opened += streq(call.name, "openat2");
                n_synced += streq(call.name, "syncfs");
        }

        g_assert_cmpuint(n_synced, >, 1);
        g_assert_cmpuint(n_opened, >=, n_synced);
        g_test_message("%u filesystems opened, %u synced by helpers", n_opened, n_synced);
}

/* After the sync was requested: nothing is opened but /proc and, for the bus, sockets. */
static void assert_no_file_is_opened(char **lines, pid_t daemon) {
        for (; *lines; lines++) {
                Call call;

                if (!read_call(*lines, &call) || call.pid != daemon)
                        continue;
                if (opens_outside_proc(&call))
                        g_error("in the crisis: %s", *lines);
        }
}

/* A real stuck worker waits: see stuck-worker.h. */
#define STUCK_CONFIG                                                                                         \
        "[Watch]\n"                                                                                          \
        "Glob=kworker/*+flush-7:*\n"                                                                         \
        "ThresholdSec=3s\n"                                                                                  \
        "IdleScanIntervalSec=1s\n"                                                                           \
        "CountWaiting=yes\n"                                                                                 \
        "FilesystemTimeoutSec=1s\n"                                                                          \
        "SyncTimeoutSec=1s\n"
#define STUCK_THRESHOLD_USEC (3 * USEC_PER_SEC)

/* A disk that hangs, the daemon's own disk frozen, and nothing left in memory but what is held there. */
static void test_disk(BusFixture *fixture, gconstpointer data) {
        _cleanup_own_disk_ OwnDisk disk = own_disk_new();
        _cleanup_client_ Client *client = NULL;
        g_auto(GStrv) lines = NULL;
        _cleanup_close_ int sync_pidfd = -EBADF, syncfs_pidfd = -EBADF;
        _cleanup_cast_ Cast cast = {};
        pid_t hanging;
        StuckWorker stuck;
        int64_t late_usec;
        uint64_t faults;
        Trace trace;

        move_daemon_to(&disk);
        fixture_start_bus(fixture);
        client = client_new(fixture, UID_ROOT);
        fixture_write_config(fixture, STUCK_CONFIG);
        fixture_start_daemon(fixture, "--proc-root", "/proc", "--debug", NULL);
        g_free(client_wait_owner(client, BUS_NAME));
        cast = cast_new(fixture);
        show_memory(fixture);

        trace = trace_begin(fixture, &cast);
        own_disk_freeze(&disk);
        drop_caches();
        faults = cast_count_faults(&cast);

        stuck_worker_begin(&stuck, 60);
        drop_caches();
        late_usec = client_wait_sync_started(client, STUCK_THRESHOLD_USEC);
        (void) cast_wait_in_syncfs(fixture, &cast);
        g_assert_cmpuint(cast_count_faults(&cast), ==, faults);
        wait_in_sync(cast.sync, fixture->deadline_usec);
        /* The other filesystems have answered. */
        hanging = cast_wait_in_syncfs(fixture, &cast);
        g_assert_cmpuint(cast_count_faults(&cast), ==, faults);
        g_test_message("sync decided %" G_GINT64_FORMAT " us after the threshold, traced", late_usec);

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
        assert_property(client, "State", "'recovery'");
        g_assert_true(is_in_syncfs(hanging));
        g_assert_true(is_in_sync(cast.sync));
        g_assert_cmpuint(cast_count_faults(&cast), ==, faults);
        show_memory(fixture);

        lines = trace_end(&trace);
        own_disk_thaw(&disk);
        assert_only_reads_before_request(lines, &cast, REQUEST_LIST);
        assert_only_reads_before_request(lines, &cast, REQUEST_EVERYTHING);
        assert_evidence_follows_requests(lines, &cast);
        assert_daemon_opens_nothing(lines, &cast, "+flush-7:");
        assert_helpers_only_sync(lines, &cast);
        assert_no_file_is_opened(find_request(lines, cast.daemon, REQUEST_LIST), cast.daemon);

        /* Killed while its helpers hang: they cannot die, and are in nobody's way. */
        sync_pidfd = pidfd_open(cast.sync, 0);
        g_assert_no_errno(sync_pidfd);
        syncfs_pidfd = pidfd_open(hanging, 0);
        g_assert_no_errno(syncfs_pidfd);
        fixture_kill_daemon(fixture);
        client_wait_no_owner(client, BUS_NAME);
        fixture_start_daemon(fixture, "--proc-root", "/proc", NULL);
        g_free(client_wait_owner(client, BUS_NAME));
        (void) client_wait_sync_started(client, STUCK_THRESHOLD_USEC);
        g_assert_true(is_in_sync(cast.sync));
        g_assert_true(is_in_syncfs(hanging));

        stuck_worker_let_go(&stuck);
        (void) client_wait_signal(client, "SyncFinished");
        /* Dead once sync(2) returns, which writes back what other programs have left on all the machine's
         * disks. */
        fixture->deadline_usec = deadline_in_sec(FIXTURE_TIMEOUT_SEC);
        pidfd_wait(sync_pidfd, fixture->deadline_usec);
        pidfd_wait(syncfs_pidfd, fixture->deadline_usec);
        fixture_stop_daemon(fixture);
}

/* The names of the system calls of the daemon and of its helpers in some lines. */
typedef struct CallNames {
        GHashTable *daemon, *sync, *syncfs;
} CallNames;

static CallNames call_names_new(char **lines, char **end, const Cast *cast) {
        CallNames names = {
                .daemon = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                .sync = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                .syncfs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
        };

        for (; lines < end; lines++) {
                Call call;

                if (!read_call(*lines, &call))
                        continue;
                if (call.pid == cast->daemon)
                        (void) g_hash_table_add(names.daemon, g_strdup(call.name));
                else if (call.pid == cast->sync)
                        (void) g_hash_table_add(names.sync, g_strdup(call.name));
                else if (cast_has_syncfs(cast, call.pid))
                        (void) g_hash_table_add(names.syncfs, g_strdup(call.name));
        }

        return names;
}

static void call_names_done(CallNames *names) {
        g_hash_table_unref(names->daemon);
        g_hash_table_unref(names->sync);
        g_hash_table_unref(names->syncfs);
}
#define _cleanup_call_names_ _cleanup_(call_names_done)

/* But for the one that syncs. */
static void assert_all_known(GHashTable *used, GHashTable *known, const char *exception) {
        GHashTableIter iterator;
        gpointer name;

        g_hash_table_iter_init(&iterator, used);
        while (g_hash_table_iter_next(&iterator, &name, NULL))
                if (!g_hash_table_contains(known, name) && g_strcmp0(name, exception) != 0)
                        g_error("%s was not called before READY", (const char *) name);
}

static char **find_text(char **lines, const char *text) {
        for (; *lines; lines++)
                if (strstr(*lines, text))
                        return lines;
        g_error("\"%s\" is not in the trace", text);
}

/* What a sandbox's filter kills must be killed at the start: before the daemon says that it is ready, it and
 * its helpers have called all that they call from the scan that confirms to the end of the sync, but for
 * sync(2) and syncfs(2). */
static void test_self_test(BusFixture *fixture, gconstpointer data) {
        g_autofree char *path = g_build_filename(fixture->folder, "trace", NULL);
        _cleanup_call_names_ CallNames known = {}, used = {};
        _cleanup_client_ Client *client = NULL;
        char **ready, **list, **everything;
        _cleanup_cast_ Cast cast = {};
        g_auto(GStrv) lines = NULL;

        wrap_daemon("exec strace -D -f -qq -s 80 -o %s \"$WBWATCHD_REAL\" \"$@\"", path);
        client = start_quick_daemon(fixture);
        cast = cast_new(fixture);
        fixture_add_worker(fixture);
        (void) client_wait_sync_started(client, THRESHOLD_USEC);
        client_wait_sync_finished(client, "ok");
        fixture_stop_daemon(fixture);

        lines = read_lines(path);
        ready = find_text(lines, "READY=1");
        list = find_request(ready, cast.daemon, REQUEST_LIST);
        (void) find_request(list, cast.daemon, REQUEST_FILESYSTEM);
        everything = find_request(list, cast.daemon, REQUEST_EVERYTHING);
        known = call_names_new(lines, ready, &cast);

        /* The bus, too, is in what follows the request. */
        used = call_names_new(find_wait_before(lines, list, cast.daemon), list + 1, &cast);
        assert_all_known(used.daemon, known.daemon, NULL);
        call_names_done(&used);
        used = call_names_new(list, find_text(everything, "STOPPING=1"), &cast);
        g_assert_true(g_hash_table_contains(known.syncfs, "openat2"));
        g_assert_false(g_hash_table_contains(known.syncfs, "syncfs"));
        g_assert_false(g_hash_table_contains(known.sync, "sync"));
        g_assert_true(g_hash_table_contains(used.syncfs, "syncfs"));
        g_assert_true(g_hash_table_contains(used.sync, "sync"));
        assert_all_known(used.syncfs, known.syncfs, "syncfs");
        assert_all_known(used.sync, known.sync, "sync");
}

/* It ends when it is stopped, and reads nothing for it from the disk that it was started from. */
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
        faults = process_reading_faults(daemon);

        g_assert_no_errno(kill(daemon, SIGTERM));
        g_assert_no_errno(waitid(P_PID, (id_t) daemon, &info, WEXITED | WNOWAIT));
        g_assert_cmpuint(process_reading_faults(daemon), ==, faults);
        fixture_stop_daemon(fixture);
        client_wait_no_owner(client, BUS_NAME);
        own_disk_thaw(&disk);
}

/* An unprivileged user, and how many page faults of the daemon had to read before it called anything. */
typedef struct Nobody {
        Client *client;
        pid_t daemon;
        uint64_t faults;
} Nobody;

static void call_as_nobody(
                const Nobody *nobody,
                const char *path,
                const char *interface,
                const char *member,
                GVariant *arguments) {

        GDBusMessage *reply = client_ask(nobody->client, BUS_NAME, path, interface, member, arguments);

        g_test_message("%s %s.%s: %s", path, interface, member,
                       g_dbus_message_get_error_name(reply) ?: "answered");
        g_assert_cmpuint(process_reading_faults(nobody->daemon), ==, nobody->faults);
}

/* With characters whose kind stands in tables that nothing else uses. */
#define RARE_GLOB "'kworker/*\\u01c5\\u2fd5\\U00010348\\U000e0041*'"

/* Some value of that type. */
static GVariant *value_of_type(const char *type) {
        static const struct {
                const char *type, *value;
        } values[] = {
                { "b", "false" }, { "u", "5" },       { "t", "2000000" },
                { "d", "1.5" },   { "s", RARE_GLOB }, { "a{sv}", "{'Glob': <" RARE_GLOB ">}" },
        };
        g_autoptr(GError) error = NULL;
        GVariant *value;

        for (size_t i = 0; i < ELEMENTSOF(values); i++)
                if (streq(values[i].type, type)) {
                        value = g_variant_parse(G_VARIANT_TYPE(type), values[i].value, NULL, NULL, &error);
                        g_assert_no_error(error);
                        return g_variant_ref_sink(value);
                }

        return g_variant_ref_sink(g_variant_new_string("of the wrong type"));
}

static void call_methods(const Nobody *nobody, const GDBusInterfaceInfo *interface) {
        for (GDBusMethodInfo **method = interface->methods; *method; method++) {
                GVariantBuilder arguments;

                g_variant_builder_init(&arguments, G_VARIANT_TYPE_TUPLE);
                for (GDBusArgInfo **argument = (*method)->in_args; argument && *argument; argument++) {
                        g_autoptr(GVariant) value = value_of_type((*argument)->signature);

                        g_variant_builder_add_value(&arguments, value);
                }
                call_as_nobody(nobody, BUS_PATH, interface->name, (*method)->name,
                               g_variant_builder_end(&arguments));
        }
}

static void get_and_set(
                const Nobody *nobody,
                const char *path,
                const char *interface,
                const char *property,
                const char *type) {

        g_autoptr(GVariant) value = value_of_type(type);

        call_as_nobody(nobody, path, PROPERTIES_INTERFACE, "Get", g_variant_new("(ss)", interface, property));
        call_as_nobody(nobody, path, PROPERTIES_INTERFACE, "Set",
                       g_variant_new("(ssv)", interface, property, value));
}

/* What each object of a bus has. */
static void call_standard_members(const Nobody *nobody, const char *path) {
        static const char *const interfaces[] = { BUS_INTERFACE, LOG_CONTROL_INTERFACE, "org.example.Unknown",
                                                  "" };

        call_as_nobody(nobody, path, "org.freedesktop.DBus.Peer", "Ping", NULL);
        call_as_nobody(nobody, path, "org.freedesktop.DBus.Peer", "GetMachineId", NULL);
        call_as_nobody(nobody, path, "org.freedesktop.DBus.Introspectable", "Introspect", NULL);
        call_as_nobody(nobody, path, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", NULL);
        call_as_nobody(nobody, path, "org.example.Unknown", "Unknown", NULL);
        for (size_t i = 0; i < ELEMENTSOF(interfaces); i++) {
                call_as_nobody(nobody, path, PROPERTIES_INTERFACE, "GetAll",
                               g_variant_new("(s)", interfaces[i]));
                get_and_set(nobody, path, interfaces[i], "Unknown", "s");
        }
}

/* Whatever an unprivileged user calls: no file is opened, and no page is read from the disk. */
static void test_disk_calls(BusFixture *fixture, gconstpointer data) {
        static const char *const paths[] = { "/", "/org", BUS_PATH, LOG_CONTROL_PATH, "/nowhere" };
        g_autofree char *file = fixture_source_file("dbus/org.wbwatch1.xml"), *xml = NULL;
        _cleanup_own_disk_ OwnDisk disk = own_disk_new();
        _cleanup_client_ Client *client = NULL, *caller = NULL;
        const GDBusInterfaceInfo *interface;
        g_autoptr(GDBusNodeInfo) node = NULL;
        g_auto(GStrv) lines = NULL;
        _cleanup_cast_ Cast cast = {};
        Nobody nobody;
        Trace trace;

        g_assert_true(g_file_get_contents(file, &xml, NULL, NULL));
        node = g_dbus_node_info_new_for_xml(xml, NULL);
        g_assert_nonnull(node);
        interface = g_dbus_node_info_lookup_interface(node, BUS_INTERFACE);

        move_daemon_to(&disk);
        client = start_quick_daemon(fixture);
        caller = client_new(fixture, UID_NOBODY);
        cast = cast_new(fixture);
        trace = trace_begin(fixture, &cast);
        drop_caches();
        nobody = (Nobody){
                .client = caller,
                .daemon = cast.daemon,
                .faults = process_reading_faults(cast.daemon),
        };

        call_methods(&nobody, interface);
        for (GDBusPropertyInfo **property = interface->properties; *property; property++)
                get_and_set(&nobody, BUS_PATH, BUS_INTERFACE, (*property)->name, (*property)->signature);
        get_and_set(&nobody, LOG_CONTROL_PATH, LOG_CONTROL_INTERFACE, "LogLevel", "s");
        get_and_set(&nobody, LOG_CONTROL_PATH, LOG_CONTROL_INTERFACE, "LogTarget", "s");
        get_and_set(&nobody, LOG_CONTROL_PATH, LOG_CONTROL_INTERFACE, "SyslogIdentifier", "s");
        for (size_t i = 0; i < ELEMENTSOF(paths); i++)
                call_standard_members(&nobody, paths[i]);

        lines = trace_end(&trace);
        assert_no_file_is_opened(lines, cast.daemon);
        assert_property(client, "State", "'idle'");
        assert_property(client, "SyncCount", "uint64 0");
        fixture_stop_daemon(fixture);
}

#endif

/* ---- 5: the CPUs ---- */

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
        g_mutex_lock(&fixture->log.lock);
        found = strstr(fixture->log.text->str, text);
        while (g_ascii_isdigit(found[-1]))
                found--;
        number = g_ascii_strtoull(found, NULL, 10);
        g_mutex_unlock(&fixture->log.lock);
        return number;
}

/* All filesystems, each by a helper of its own, behind 300 spinning threads on each CPU. */
static void test_cpus(BusFixture *fixture, gconstpointer data) {
        g_autofree char *n_threads = g_strdup_printf("%ld", 300 * sysconf(_SC_NPROCESSORS_ONLN));
        uint64_t entered_usec, answered_usec;
        int64_t decided_usec;
        _cleanup_client_ Client *client = NULL;
        int spinner_stdout;
        Process spinner;

        client = start_quick_daemon(fixture);
        spinner = start_tool("--spin", n_threads, NULL, &spinner_stdout);
        process_set_realtime(getpid(), true);
        process_set_realtime(fixture->bus.pid, true);
        g_free(read_line_with(spinner_stdout, "spinning"));

        fixture_add_worker(fixture);
        decided_usec = client_wait_sync_started(client, THRESHOLD_USEC);
        answered_usec = measure_answers(client);

        process_kill(&spinner, fixture->deadline_usec);
        process_set_realtime(getpid(), false);
        g_assert_no_errno(close(spinner_stdout));
        entered_usec = logged_number(fixture, "us after it");

        g_test_message("%s threads spin: sync decided %" G_GINT64_FORMAT
                       " us after the threshold, its last syncfs(2) entered %" G_GUINT64_FORMAT
                       " us after that; the bus answered within %" G_GUINT64_FORMAT " us",
                       n_threads, decided_usec, entered_usec, answered_usec);
        g_assert_cmpint(decided_usec + (int64_t) entered_usec, <, BUSY_SYNC_STARTS_WITHIN_USEC);
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
        gint64 deadline_usec;
        atomic_bool end;
} Eater;

static gpointer eat(gpointer userdata) {
        Eater *eater = userdata;

        while (!atomic_load(&eater->end)) {
                Process tool = start_tool("--eat", eater->group->procs, eater->score, NULL);
                int status = process_wait_end(&tool, eater->deadline_usec);

                g_assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        }

        return NULL;
}

/* To become less welcome to the OOM killer takes CAP_SYS_RESOURCE. Without it the daemon stays where it is,
 * and who eats has to be more welcome. */
static bool may_lower_score(void) {
        enum {
                CAP_SYS_RESOURCE = 24
        };

        return process_status_mask(getpid(), "CapEff:") & (UINT64_C(1) << CAP_SYS_RESOURCE);
}

static void assert_score(pid_t daemon) {
        g_autofree char *text = process_text(daemon, "oom_score_adj");

        g_assert_nonnull(text);
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
        Eater eater = {
                .group = &group,
                .score = may_lower_score() ? "0" : "1000",
                .deadline_usec = fixture->deadline_usec,
        };
        _cleanup_client_ Client *client = NULL;
        _cleanup_cast_ Cast cast = {};
        Process bystanders[N_BYSTANDERS];
        pid_t daemon;
        int64_t late_usec;
        uint64_t faults;
        unsigned n_kills;
        GThread *thread;

        /* Its program and libraries are charged to whoever reads them first, and that is itself. */
        move_daemon_to(&disk);
        fixture_start_bus(fixture);
        client = client_new(fixture, UID_ROOT);
        /* No second sync, however long the first one takes; it ends well before the deadline of the test. */
        fixture_write_config(fixture, QUICK_CONFIG "RecoverySec=1h\nSyncTimeoutSec=10s\n");
        write_text(group.procs, "", "0");
        fixture_start_daemon(fixture, "--debug", NULL);
        write_text(own_procs, "", "0");
        g_free(client_wait_owner(client, BUS_NAME));

        daemon = fixture->daemon.pid;
        cast = cast_new(fixture);
        faults = cast_count_faults(&cast);
        assert_score(daemon);

        for (size_t i = 0; i < N_BYSTANDERS; i++) {
                int stdout_fd;

                bystanders[i] = start_tool("--stand-by", group.procs, eater.score, &stdout_fd);
                g_free(read_line_with(stdout_fd, "standing by"));
                g_assert_no_errno(close(stdout_fd));
        }
        thread = g_thread_new("eater", eat, &eater);
        while (memory_group_count_kills(&group) < 3)
                g_usleep(USEC_PER_MSEC);
        n_kills = memory_group_count_kills(&group);

        fixture_add_worker(fixture);
        late_usec = client_wait_sync_started(client, THRESHOLD_USEC);
        (void) client_wait_signal(client, "SyncFinished");
        (void) client_call(client, "ListEpisodes", NULL);
        n_kills = memory_group_count_kills(&group) - n_kills;

        atomic_store(&eater.end, true);
        (void) g_thread_join(thread);
        for (size_t i = 0; i < N_BYSTANDERS; i++)
                process_kill(&bystanders[i], fixture->deadline_usec);

        g_test_message("%u others killed meanwhile; sync decided %" G_GINT64_FORMAT
                       " us after the threshold, %" G_GUINT64_FORMAT
                       " page faults that read; %" G_GUINT64_FORMAT " kB locked, %" G_GUINT64_FORMAT
                       " kB swapped",
                       n_kills, late_usec, cast_count_faults(&cast) - faults,
                       process_status_number(daemon, "VmLck:"), process_status_number(daemon, "VmSwap:"));
        g_assert_cmpuint(n_kills, >, 0);
        g_assert_cmpuint(cast_count_faults(&cast), ==, faults);
        g_assert_cmpuint(process_status_number(daemon, "VmLck:"), >, 0);
        g_assert_cmpuint(process_status_number(daemon, "VmSwap:"), ==, 0);
        assert_property(client, "SyncCount", "uint64 1");

        fixture_stop_daemon(fixture);
        memory_group_done(&group);
}

#endif

/* ---- 8: /proc, and the clock ---- */

/* From its first scan with a worker on the daemon can open nothing any more: what it does not see is not
 * gone.
 */
static void test_no_descriptors(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = NULL;
        struct rlimit limit, none;
        int64_t late_usec;

        client = start_quick_daemon(fixture);
        /* No second one, however long the first one takes. */
        client_set(client, "RecoveryUSec", g_variant_new_uint64(USEC_PER_HOUR));
        fixture_add_worker(fixture);
        client_wait_property(client, "State", "'busy'");
        g_assert_no_errno(prlimit(fixture->daemon.pid, RLIMIT_NOFILE, NULL, &limit));
        none = (struct rlimit){ .rlim_cur = 0, .rlim_max = limit.rlim_max };
        g_assert_no_errno(prlimit(fixture->daemon.pid, RLIMIT_NOFILE, &none, NULL));

        late_usec = client_wait_sync_started(client, THRESHOLD_USEC);
        g_test_message("sync decided %" G_GINT64_FORMAT " us after the threshold", late_usec);
        g_assert_cmpint(late_usec, <, SYNC_STARTS_WITHIN_USEC);
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
        int64_t late_usec;

        client = start_quick_daemon(fixture);
        fixture_add_worker(fixture);
        client_wait_property(client, "State", "'busy'");
        for (size_t i = 0; i < ELEMENTSOF(files); i++)
                paths[i] = make_unreadable(fixture, files[i]);

        late_usec = client_wait_sync_started(client, THRESHOLD_USEC);
        g_test_message("sync decided %" G_GINT64_FORMAT " us after the threshold", late_usec);
        g_assert_cmpint(late_usec, <, SYNC_STARTS_WITHIN_USEC);
        (void) client_wait_signal(client, "SyncFinished");

        for (size_t i = 0; i < ELEMENTSOF(files); i++)
                make_readable(paths[i]);
        fixture_remove_worker(fixture);
        (void) client_wait_signal(client, "EpisodeEnded");
}

/* As many kernel workers as there could ever be, at the upper end of all pids. */
#define MANY_WORKERS 30000
#define LISTED_WORKERS_MIN 256

/* Scans come less often than they should, but some times within the threshold. */
#define MANY_THRESHOLD_USEC (10 * USEC_PER_SEC)
#define MANY_CONFIG QUICK_CONFIG "ThresholdSec=10s\nCrowdSize=0\n"
#define PID_MAX 4194303

static void test_many_workers(BusFixture *fixture, gconstpointer data) {
        g_autoptr(GString) list = g_string_new(NULL);
        _cleanup_client_ Client *client = NULL;
        uint64_t answered_usec;
        int64_t late_usec;
        g_autoptr(GVariant) workers = NULL;
        g_autoptr(GVariant) first = NULL;
        guint32 pid;

        for (unsigned i = 0; i < MANY_WORKERS; i++) {
                pid_t worker_pid = PID_MAX + 1 - MANY_WORKERS + (pid_t) i;

                fake_proc_put(&fixture->proc, &(FakeThread){
                                                              .pid = worker_pid,
                                                              .name = WORKER_NAME,
                                                              .flags = FLAGS_WORKER,
                                                              .start_time = i + 1,
                                                              .state = 'R',
                                              });
                g_string_append_printf(list, "%d ", (int) worker_pid);
        }

        client = start_daemon_with(fixture, MANY_CONFIG);
        fake_proc_list(&fixture->proc, list->str);
        late_usec = client_wait_sync_started(client, MANY_THRESHOLD_USEC);

        /* The scans take longer than the time between them, and leave some for others all the same. All
         * workers are counted; only so many are kept by name. */
        answered_usec = measure_answers(client);
        assert_property(client, "WorkerCount", "uint32 30000");
        workers = g_variant_get_child_value(client_call(client, "ListWorkers", NULL), 0);
        g_assert_cmpuint(g_variant_n_children(workers), >=, LISTED_WORKERS_MIN);
        first = g_variant_get_child_value(workers, 0);
        g_assert_true(g_variant_lookup(first, "PID", "u", &pid));
        g_assert_cmpuint(pid, ==, PID_MAX + 1 - MANY_WORKERS);
        g_test_message("sync decided %" G_GINT64_FORMAT
                       " us after the threshold, the bus answered within %" G_GUINT64_FORMAT " us",
                       late_usec, answered_usec);
}

/* The time of day jumps by 130 years each time it is read, and the machine has slept for an hour before. */
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

/* The same without a time, and the sync's result. */
static void assert_sync(BusFixture *fixture, Client *client) {
        fixture_add_worker(fixture);
        (void) client_wait_sync_started(client, THRESHOLD_USEC);
        fixture_remove_worker(fixture);
        (void) client_wait_signal(client, "EpisodeEnded");
        client_wait_property(client, "State", "'idle'");
        assert_property(client, "LastSyncResult", "'ok'");
}

static void test_sync_at_once(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = start_quick_daemon(fixture);

        for (unsigned i = 0; i < 3; i++)
                assert_sync_in_time(fixture, client);
}

/* A sync(2) that does not end: its sync ends as stalled, and the helper goes on. No other one begins behind
 * it: the next syncs end at once, and nothing is made up for later. When it ends after all, all goes on. */
static void test_sync_never(BusFixture *fixture, gconstpointer data) {
        static const char another[] = "kworker/1:1+inode_switch_wbs";
        SyncRecords *records = sync_witness_new(fixture);
        _cleanup_client_ Client *client = start_daemon_with(fixture, SYNC_CONFIG "SyncTimeoutSec=1s\n");

        fixture_signal_helper(fixture, HELPER_SYNC, SIGSTOP);
        fixture_add_worker(fixture);
        (void) client_wait_sync_started(client, THRESHOLD_USEC);
        client_wait_property(client, "State", "'syncing'");
        client_wait_sync_finished(client, "stalled");
        assert_property(client, "LastSyncResult", "'stalled'");

        /* Scans go on all the time. */
        fake_proc_add(&fixture->proc, WORKER_PID + 1, another, FLAGS_WORKER, 1);
        fake_proc_list(&fixture->proc, "1234 1235 ");
        for (;;) {
                g_autoptr(GVariant) count = client_get(client, "WorkerCount");

                if (g_variant_get_uint32(count) == 2)
                        break;
                g_assert_cmpint(g_get_monotonic_time(), <, fixture->deadline_usec);
        }

        (void) client_wait_signal(client, "SyncStarted");
        client_wait_sync_finished(client, "stalled");
        (void) client_call(client, "Pause", NULL);
        g_assert_cmpuint(atomic_load(&records->n), ==, 0);

        fixture_signal_helper(fixture, HELPER_SYNC, SIGCONT);
        while (atomic_load(&records->records[0].left_usec) == 0) {
                g_assert_cmpint(g_get_monotonic_time(), <, fixture->deadline_usec);
                (void) sched_yield();
        }
        fake_proc_list(&fixture->proc, "1234 ");
        fake_proc_remove(&fixture->proc, "1235/comm");
        fake_proc_remove(&fixture->proc, "1235/stat");
        fixture_remove_worker(fixture);
        (void) client_wait_signal(client, "EpisodeEnded");
        (void) client_call(client, "Resume", NULL);
        g_assert_cmpuint(atomic_load(&records->n), ==, 1);

        assert_sync(fixture, client);
        g_assert_cmpuint(atomic_load(&records->n), ==, 2);
        sync_witness_free(records);
}

/* All helpers of the filesystems hang: sync(2) follows without them. When they return all goes on, and each
 * filesystem is synced by what comes then alone. */
static void test_sync_filesystems_never(BusFixture *fixture, gconstpointer data) {
        SyncRecords *records = sync_witness_new(fixture);
        _cleanup_client_ Client *client =
                        start_daemon_with(fixture, QUICK_CONFIG "FilesystemTimeoutSec=1s\nRecoverySec=1h\n");

        fixture_signal_helper(fixture, HELPER_SYNCFS, SIGSTOP);
        fixture_add_worker(fixture);
        (void) client_wait_sync_started(client, THRESHOLD_USEC);
        client_wait_sync_finished(client, "ok");
        g_assert_cmpuint(atomic_load(&records->n), ==, 1);
        g_assert_cmpuint(atomic_load(&records->n_filesystems), ==, 0);
        fixture_remove_worker(fixture);
        (void) client_wait_signal(client, "EpisodeEnded");

        fixture_signal_helper(fixture, HELPER_SYNCFS, SIGCONT);
        client_set(client, "RecoveryUSec", g_variant_new_uint64(0));
        assert_sync(fixture, client);
        g_assert_cmpuint(atomic_load(&records->n_filesystems), >, 0);
        sync_witness_free(records);
}

/* In a sync, and while it has nothing to do. */
static void test_sync_helper_killed(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = start_daemon_with(fixture, SYNC_CONFIG);

        fixture_signal_helper(fixture, HELPER_SYNC, SIGSTOP);
        fixture_add_worker(fixture);
        (void) client_wait_sync_started(client, THRESHOLD_USEC);
        fixture_signal_helper(fixture, HELPER_SYNC, SIGKILL);
        client_wait_sync_finished(client, "failed");

        /* The worker is still stuck. */
        (void) client_wait_sync_started(client, THRESHOLD_USEC);
        client_wait_sync_finished(client, "ok");
        fixture_remove_worker(fixture);
        (void) client_wait_signal(client, "EpisodeEnded");

        fixture_signal_helper(fixture, HELPER_SYNC, SIGKILL);
        assert_sync(fixture, client);
}

/* The same with those of the filesystems: others take their place. */
static void test_sync_filesystem_helpers_killed(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = start_daemon_with(fixture, QUICK_CONFIG "RecoverySec=1h\n");

        fixture_signal_helper(fixture, HELPER_SYNCFS, SIGSTOP);
        fixture_add_worker(fixture);
        (void) client_wait_sync_started(client, THRESHOLD_USEC);
        fixture_signal_helper(fixture, HELPER_SYNCFS, SIGKILL);
        client_wait_sync_finished(client, "ok");
        assert_property(client, "SyncCount", "uint64 1");
        fixture_remove_worker(fixture);
        (void) client_wait_signal(client, "EpisodeEnded");

        client_set(client, "RecoveryUSec", g_variant_new_uint64(0));
        fixture_signal_helper(fixture, HELPER_SYNCFS, SIGKILL);
        assert_sync(fixture, client);
}

/* What can happen to it in each state. */

#define LONG_CONFIG                                                                                          \
        SYNC_CONFIG                                                                                          \
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
                (void) client_wait_sync_started(client, THRESHOLD_USEC);
        if (streq(state, "recovery"))
                client_wait_sync_finished(client, "ok");
        if (streq(state, "paused"))
                (void) client_wait_signal(client, "EpisodeStarted");
        client_wait_property(client, "State", text);
}

static void test_state(BusFixture *fixture, gconstpointer data) {
        const char *state = data, *in_pause = streq(state, "syncing") ? "'syncing'" : "'paused'";
        g_autofree char *text = g_strdup_printf("'%s'", state);
        _cleanup_client_ Client *client = start_daemon_with(fixture, SYNC_CONFIG);
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
        (void) client_wait_sync_started(client, THRESHOLD_USEC);
        client_wait_sync_finished(client, "ok");

        /* And stopped in it. */
        fixture_remove_worker(fixture);
        (void) client_wait_signal(client, "EpisodeEnded");
        fixture_write_config(fixture, SYNC_CONFIG);
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
        CRISIS_TEST("/crisis/disk-calls", test_disk_calls, 0);
        CRISIS_TEST("/crisis/self-test", test_self_test, 0);
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
        CRISIS_TEST("/crisis/sync/filesystems-never", test_sync_filesystems_never, 0);
        CRISIS_TEST("/crisis/sync/helper-killed", test_sync_helper_killed, 0);
        CRISIS_TEST("/crisis/sync/filesystem-helpers-killed", test_sync_filesystem_helpers_killed, 0);
        for (size_t i = 0; i < ELEMENTSOF(states); i++) {
                g_autofree char *path = g_strconcat("/crisis/state/", states[i], NULL);

                g_test_add(path, BusFixture, states[i], fixture_set_up, test_state, tear_down);
        }

        return g_test_run();
}
