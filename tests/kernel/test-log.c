/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The log must never make its caller wait, whoever takes its lines, and must count what it dropped. Each test
 * puts something else in the place of stderr, or of the journal. Should a line wait after all, the alarm ends
 * the program, and with that the test has failed.
 */

#include <fcntl.h>
#include <glib/gstdio.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>

#include "child.h"
#include "journal-socket.h"
#include "log.h"
#include "own-disk.h"
#include "process-info.h"
#include "surroundings.h"
#include "text.h"

#define TIMEOUT_SEC 30

/* More than anything that takes lines has room for. */
#define LINES_MAX 100000

/* What a terminal takes for "stop" and "go on". */
#define CONTROL_S "\x13"
#define CONTROL_Q "\x11"

/* In a mount namespace of our own, with an empty /run. */
static bool isolated;

static int real_stderr = -EBADF;

/* Puts something in the place of stderr. A failed assertion is still seen: in TAP, on stdout. */
static void begin(int stderr_fd) {
        (void) alarm(TIMEOUT_SEC);
        real_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
        g_assert_no_errno(real_stderr);
        g_assert_no_errno(dup2(stderr_fd, STDERR_FILENO));
        log_open(/* timestamps= */ false);
}

static void end(void) {
        log_close();
        g_assert_no_errno(dup2(real_stderr, STDERR_FILENO));
        g_assert_no_errno(close(real_stderr));

        /* What was dropped and not told is no business of the next test's. */
        log_open(/* timestamps= */ false);
        log_report_dropped();
}

static void start_writer(pid_t *ret_pid) {
        g_assert_cmpint(log_start_writer(), ==, 0);
        *ret_pid = youngest_child();
}

/* It may have ended in time to be seen by log_close(). */
static void wait_end_of(pid_t pid) {
        if (waitpid(pid, NULL, 0) < 0)
                g_assert_cmpint(errno, ==, ECHILD);
}

/* Waits until the writer waits, since what it wrote to gave an error. */
static void wait_in_poll(pid_t pid) {
        g_autofree char *path = g_strdup_printf("/proc/%d/syscall", (int) pid);

        for (;;) {
                g_autofree char *text = NULL;

                g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
                if (g_ascii_strtoll(text, NULL, 10) == SYS_poll)
                        return;
                g_usleep(USEC_PER_MSEC);
        }
}

static unsigned the_number;

/* Logs numbered lines until some are dropped. Returns how many it logged, and adds up how many of them were
 * dropped. */
static unsigned log_until_dropped(uint64_t *dropped) {
        uint64_t before = log_get_dropped();
        unsigned n = 0;

        while (log_get_dropped() < before + 3) {
                log_notice("line %u", ++the_number);
                g_assert_cmpuint(++n, <, LINES_MAX);
        }

        *dropped += log_get_dropped() - before;
        return n;
}

/* Takes the lines. */
typedef struct Reader {
        int fd;
        bool is_journal; /* takes datagrams, of which MESSAGE= is the line */
        GString *text;
        size_t next;
        unsigned n_numbered;  /* how many numbered lines came, */
        unsigned last_number; /* in this order, */
        uint64_t n_told;      /* and how many were said to be dropped */
} Reader;

static Reader reader_new(int fd) {
        return (Reader){ .fd = fd, .text = g_string_new(NULL) };
}

static void reader_done(Reader *reader) {
        (void) g_string_free(reader->text, true);
}
#define _cleanup_log_reader_ _cleanup_(reader_done)

/* Waits for the next line; to be freed. NULL at the end. */
static char *read_line(Reader *reader) {
        for (;;) {
                const char *line = reader->text->str + reader->next, *line_end = strchr(line, '\n');
                char buffer[4096];
                ssize_t n;

                if (line_end) {
                        reader->next += (size_t) (line_end - line) + 1;
                        if (!reader->is_journal)
                                return g_strndup(line, (size_t) (line_end - line));
                        if (g_str_has_prefix(line, "MESSAGE="))
                                return g_strndup(
                                                line + strlen("MESSAGE="),
                                                (size_t) (line_end - line) - strlen("MESSAGE="));
                        continue;
                }

                n = read(reader->fd, buffer, sizeof(buffer));
                g_assert_no_errno(n);
                if (n == 0)
                        return NULL;
                g_string_append_len(reader->text, buffer, n);
        }
}

/* Takes note of one line; false when it is neither numbered nor about dropped ones. */
static bool reader_note(Reader *reader, const char *line) {
        const char *told = strstr(line, " log line");
        unsigned number;

        if (sscanf(line, "line %u", &number) == 1) {
                g_assert_cmpuint(number, >, reader->last_number);
                reader->last_number = number;
                reader->n_numbered++;
                return true;
        }
        if (told) {
                while (told > line && g_ascii_isdigit(told[-1]))
                        told--;
                reader->n_told += g_ascii_strtoull(told, NULL, 10);
                return true;
        }
        return false;
}

static void read_until(Reader *reader, const char *text) {
        for (;;) {
                g_autofree char *line = read_line(reader);

                if (!line)
                        g_error("the lines end without \"%s\"", text);
                if (!reader_note(reader, line)) {
                        g_assert_cmpstr(line, ==, text);
                        return;
                }
        }
}

static void read_numbered(Reader *reader, unsigned n) {
        while (reader->n_numbered < n) {
                g_autofree char *line = read_line(reader);

                g_assert_true(line && reader_note(reader, line));
        }
}

/* Drops lines, lets the others be taken, and holds what comes against what was counted. */
static void assert_counts(Reader *reader) {
        uint64_t dropped = 0, before;
        unsigned n;

        reader->n_told = 0;
        n = log_until_dropped(&dropped);
        read_numbered(reader, reader->n_numbered + n - (unsigned) dropped);

        /* Now there is room, and it is told even if nothing else happens; once. */
        log_report_dropped();
        log_report_dropped();
        log_notice("the end");
        read_until(reader, "the end");
        g_assert_cmpuint(reader->n_told, ==, dropped);

        /* Or by the next line. */
        before = dropped;
        n = log_until_dropped(&dropped);
        read_numbered(reader, reader->n_numbered + n - (unsigned) (dropped - before));
        log_notice("the very end");
        read_until(reader, "the very end");
        g_assert_cmpuint(reader->n_told, ==, dropped);
}

/* ---- what a line is ---- */

static void test_lines(void) {
        int fds[2];

        g_assert_no_errno(pipe2(fds, O_CLOEXEC));
        _cleanup_log_reader_ Reader reader = reader_new(fds[0]);

        begin(fds[1]);
        log_set_max_level(LOG_DEBUG);
        errno = EBADMSG;
        log_error("one %d", 1);
        g_assert_cmpint(errno, ==, EBADMSG);
        log_warning("two\nlines, \033[31m");
        log_debug("three");
        log_set_max_level(LOG_NOTICE);
        log_info("not important enough");
        log_set_muted(true);
        log_error("muted");
        log_set_muted(false);
        log_notice("ü \xff");
        log_notice("ü \xc2\x9b"
                   "2J\u00a0");

        read_until(&reader, "error: one 1");
        read_until(&reader, "warning: two\\x0alines, \\x1b[31m");
        read_until(&reader, "debug: three");
        read_until(&reader, "ü \\xff");
        read_until(&reader, "ü \\xc2\\x9b2J\u00a0");
        g_assert_cmpuint(log_get_dropped(), ==, 0);
        end();

        g_assert_no_errno(close(fds[0]));
        g_assert_no_errno(close(fds[1]));
}

/* Never in the middle of a character, or of an escape. */
static void test_cut(void) {
        static const struct {
                size_t size;
                const char *text, *expected;
        } cuts[] = {
                { 1, "a", "" },          { 2, "ab", "a" },
                { 3, "aü", "a" },        { 4, "aü", "aü" },
                { 5, "a\n", "a" },       { 6, "a\n", "a\\x0a" },
                { 9, "a\xc2\x85", "a" }, { 10, "a\xc2\x85", "a\\xc2\\x85" },
        };
        char buffer[16];

        for (size_t i = 0; i < ELEMENTSOF(cuts); i++) {
                text_escape(cuts[i].text, TEXT_ESCAPE_CONTROL, buffer, cuts[i].size);
                g_assert_cmpstr(buffer, ==, cuts[i].expected);
        }
}

static void test_timestamps(void) {
        unsigned year, month, day, hour, minute, second, millisecond;
        int fds[2], length = 0;

        g_assert_no_errno(pipe2(fds, O_CLOEXEC));
        _cleanup_log_reader_ Reader reader = reader_new(fds[0]);

        begin(fds[1]);
        log_open(/* timestamps= */ true);
        log_warning("late");

        g_autofree char *line = read_line(&reader);
        g_assert_cmpint(sscanf(line, "%4u-%2u-%2u %2u:%2u:%2u.%3u %*31[^ ] warning: late%n", &year, &month,
                               &day, &hour, &minute, &second, &millisecond, &length),
                        ==, 7);
        g_assert_cmpuint(strlen(line), ==, length);
        end();

        g_assert_no_errno(close(fds[0]));
        g_assert_no_errno(close(fds[1]));
}

/* The next descriptors to be opened would become stderr, and lines would go into them. */
static void test_closed_stderr(void) {
        pid_t pid = fork();
        int status;

        g_assert_no_errno(pid);
        if (pid == 0) {
                int fds[4];
                char byte;

                (void) alarm(TIMEOUT_SEC);
                for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++)
                        (void) close(stream);
                log_open(/* timestamps= */ false);
                if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) < 0 ||
                    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds + 2) < 0)
                        _exit(2);
                log_error("not for you");
                for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                        if (recv(fds[i], &byte, 1, MSG_DONTWAIT) >= 0)
                                _exit(3);
                _exit(EXIT_SUCCESS);
        }

        g_assert_no_errno(waitpid(pid, &status, 0));
        g_assert_cmpint(status, ==, 0);
}

/* ---- stderr ---- */

static void test_pipe_full(void) {
        int fds[2];
        pid_t pid;

        g_assert_no_errno(pipe2(fds, O_CLOEXEC));
        _cleanup_log_reader_ Reader reader = reader_new(fds[0]);

        begin(fds[1]);
        start_writer(&pid);
        assert_counts(&reader);

        /* All that share the pipe find it as it was. */
        g_assert_cmpint(fcntl(fds[1], F_GETFL) & O_NONBLOCK, ==, 0);
        end();
        wait_end_of(pid);

        g_assert_no_errno(close(fds[0]));
        g_assert_no_errno(close(fds[1]));
}

/* Closing the log does not wait for a reader, and yet all comes that was not dropped. */
static void test_pipe_closed(void) {
        uint64_t dropped = 0;
        char *line;
        int fds[2];
        unsigned n;
        pid_t pid;

        g_assert_no_errno(pipe2(fds, O_CLOEXEC));
        _cleanup_log_reader_ Reader reader = reader_new(fds[0]);

        begin(fds[1]);
        start_writer(&pid);
        n = log_until_dropped(&dropped);
        end();

        g_assert_no_errno(close(fds[1]));
        while ((line = read_line(&reader))) {
                g_assert_true(reader_note(&reader, line));
                g_free(line);
        }
        wait_end_of(pid);
        g_assert_cmpuint(reader.n_numbered + dropped, ==, n);

        g_assert_no_errno(close(fds[0]));
}

/* With nobody at the other end any more: no signal kills, with or without the process that writes. */
static void test_pipe_broken(void) {
        uint64_t dropped = 0;
        unsigned n;
        int fds[2];
        pid_t pid;

        g_assert_no_errno(pipe2(fds, O_CLOEXEC));
        begin(fds[1]);
        g_assert_no_errno(close(fds[0]));

        n = log_until_dropped(&dropped);
        g_assert_cmpuint(dropped, ==, n);
        start_writer(&pid);
        (void) log_until_dropped(&dropped);
        end();

        /* There is nobody who could take what is left. */
        wait_end_of(pid);
        g_assert_no_errno(close(fds[1]));
}

static void test_socket_full(void) {
        uint64_t dropped = 0;
        unsigned n;
        int fds[2];

        g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
        _cleanup_log_reader_ Reader reader = reader_new(fds[0]);

        begin(fds[1]);
        g_assert_cmpint(log_start_writer(), ==, 0);
        assert_counts(&reader);
        g_assert_cmpint(fcntl(fds[1], F_GETFL) & O_NONBLOCK, ==, 0);

        /* Nor does the other end's closing kill. */
        g_assert_no_errno(close(fds[0]));
        n = log_until_dropped(&dropped);
        g_assert_cmpuint(dropped, ==, n);
        end();

        g_assert_no_errno(close(fds[1]));
}

static void test_terminal_stopped(void) {
        struct termios settings;
        uint64_t dropped = 0;
        int master, terminal;
        unsigned n;
        pid_t pid;

        g_assert_no_errno(openpty(&master, &terminal, NULL, NULL, NULL));
        g_assert_no_errno(tcgetattr(terminal, &settings));
        cfmakeraw(&settings);
        settings.c_iflag |= IXON;
        g_assert_no_errno(tcsetattr(terminal, TCSANOW, &settings));
        _cleanup_log_reader_ Reader reader = reader_new(master);

        begin(terminal);
        start_writer(&pid);
        g_assert_cmpint(write(master, CONTROL_S, 1), ==, 1);
        n = log_until_dropped(&dropped);

        g_assert_cmpint(write(master, CONTROL_Q, 1), ==, 1);
        read_numbered(&reader, n - (unsigned) dropped);
        log_report_dropped();
        log_notice("the end");
        read_until(&reader, "the end");
        g_assert_cmpuint(reader.n_told, ==, dropped);

        /* And a terminal that nobody shows. */
        assert_counts(&reader);
        end();
        wait_end_of(pid);

        g_assert_no_errno(close(master));
        g_assert_no_errno(close(terminal));
}

/* A file that holds what came, and the numbers that must be in it. */
static void assert_file(const char *path, unsigned n, uint64_t dropped) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        _cleanup_log_reader_ Reader reader = reader_new(fd);

        read_until(&reader, "the end");
        g_assert_cmpuint(reader.n_numbered + dropped, ==, n);
        g_assert_cmpuint(reader.n_told, ==, dropped);
}

static void test_file_frozen(void) {
        g_autofree char *path = NULL;
        uint64_t dropped = 0;
        unsigned n;
        pid_t pid;
        int fd;

        if (!isolated) {
                g_test_skip("needs root, for a filesystem to freeze");
                return;
        }

        _cleanup_own_disk_ OwnDisk disk = own_disk_new();
        path = g_build_filename(disk.folder, "log", NULL);
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        g_assert_no_errno(fd);

        begin(fd);
        start_writer(&pid);
        own_disk_freeze(&disk);
        n = log_until_dropped(&dropped);
        log_close(); /* does not wait for the disk either */
        own_disk_thaw(&disk);

        wait_end_of(pid);
        start_writer(&pid);
        log_report_dropped();
        log_notice("the end");
        end();
        wait_end_of(pid);
        g_assert_no_errno(close(fd));

        assert_file(path, n, dropped);
}

static void test_disk_full(void) {
        g_autofree char *folder = NULL, *path = NULL;
        uint64_t dropped = 0;
        unsigned n;
        pid_t pid;
        int fd;

        if (!isolated) {
                g_test_skip("needs root, for a filesystem to fill");
                return;
        }

        folder = g_dir_make_tmp("wbwatch-full-XXXXXX", NULL);
        g_assert_no_errno(mount("tmpfs", folder, "tmpfs", 0, "size=4k"));
        path = g_build_filename(folder, "log", NULL);
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        g_assert_no_errno(fd);

        begin(fd);
        start_writer(&pid);
        n = log_until_dropped(&dropped);
        wait_in_poll(pid);
        g_assert_no_errno(mount(NULL, folder, NULL, MS_REMOUNT, "size=1m"));
        log_close();

        wait_end_of(pid);
        start_writer(&pid);
        log_report_dropped();
        log_notice("the end");
        end();
        wait_end_of(pid);
        g_assert_no_errno(close(fd));

        assert_file(path, n, dropped);
        g_assert_no_errno(umount2(folder, MNT_DETACH));
        g_assert_no_errno(rmdir(folder));
}

static void test_writer_killed(void) {
        pid_t killed, pid;
        siginfo_t info;
        int fds[2];

        g_assert_no_errno(pipe2(fds, O_CLOEXEC));
        _cleanup_log_reader_ Reader reader = reader_new(fds[0]);

        begin(fds[1]);
        start_writer(&killed);
        log_notice("before");
        read_until(&reader, "before");
        g_assert_no_errno(kill(killed, SIGKILL));
        g_assert_no_errno(waitid(P_PID, (id_t) killed, &info, WEXITED | WNOWAIT));

        log_notice("after");
        read_until(&reader, "after");
        pid = youngest_child();
        g_assert_cmpint(pid, !=, killed);
        g_assert_cmpint(waitpid(killed, NULL, 0), <, 0); /* no zombie is left */
        end();
        wait_end_of(pid);

        g_assert_no_errno(close(fds[0]));
        g_assert_no_errno(close(fds[1]));
}

/* What ends a whole process group, or a session, does not take the last lines. */
static void test_writer_outlives_signals(void) {
        static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
        int fds[2];
        pid_t pid;

        g_assert_no_errno(pipe2(fds, O_CLOEXEC));
        _cleanup_log_reader_ Reader reader = reader_new(fds[0]);

        begin(fds[1]);
        start_writer(&pid);
        log_notice("before");
        read_until(&reader, "before");
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                g_assert_no_errno(kill(pid, signals[i]));
        log_notice("after");
        read_until(&reader, "after");
        g_assert_cmpint(youngest_child(), ==, pid);
        end();
        wait_end_of(pid);

        g_assert_no_errno(close(fds[0]));
        g_assert_no_errno(close(fds[1]));
}

/* The value behind "KEY:\t" in /proc/PID/status, in hexadecimal. */
static uint64_t process_mask(pid_t pid, const char *key) {
        g_autofree char *path = g_strdup_printf("/proc/%d/status", (int) pid), *text = NULL;
        g_autofree char *start = g_strdup_printf("\n%s:\t", key);
        const char *found;

        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        found = strstr(text, start);
        g_assert_nonnull(found);
        return g_ascii_strtoull(found + strlen(start), NULL, 16);
}

/* What the daemon blocks is not the writer's, and what it has open does not stay open there. */
static void test_writer_inherits_nothing(void) {
        g_autofree char *folder = NULL;
        sigset_t set, old;
        const char *entry;
        int fds[2], other;
        unsigned n = 0;
        pid_t pid;
        GDir *dir;

        g_assert_no_errno(pipe2(fds, O_CLOEXEC));
        _cleanup_log_reader_ Reader reader = reader_new(fds[0]);

        begin(fds[1]);
        other = fcntl(fds[0], F_DUPFD, 100);
        g_assert_no_errno(other);
        g_assert_no_errno(sigfillset(&set));
        g_assert_no_errno(sigprocmask(SIG_SETMASK, &set, &old));
        start_writer(&pid);
        log_notice("before");
        read_until(&reader, "before");
        g_assert_no_errno(sigprocmask(SIG_SETMASK, &old, NULL));

        g_assert_cmphex(process_mask(pid, "SigBlk"), ==, 0);
        g_assert_cmphex(process_mask(pid, "SigCgt"), ==, 0);
        folder = g_strdup_printf("/proc/%d/fd", (int) pid);
        dir = g_dir_open(folder, 0, NULL);
        g_assert_nonnull(dir);
        for (; (entry = g_dir_read_name(dir)); n++)
                g_assert_cmpint(atoi(entry), <=, 3);
        g_dir_close(dir);
        g_assert_cmpuint(n, >, 0);

        end();
        wait_end_of(pid);
        g_assert_no_errno(close(other));
        g_assert_no_errno(close(fds[0]));
        g_assert_no_errno(close(fds[1]));
}

/* The last lines of a daemon that is killed are written. */
static void test_writer_outlives_its_parent(void) {
        int fds[2], report[2];
        pid_t daemon, writer;

        g_assert_no_errno(pipe2(fds, O_CLOEXEC));
        g_assert_no_errno(pipe2(report, O_CLOEXEC));
        _cleanup_log_reader_ Reader reader = reader_new(fds[0]);

        daemon = fork();
        g_assert_no_errno(daemon);
        if (daemon == 0) {
                begin(fds[1]);
                start_writer(&writer);
                g_assert_no_errno(kill(writer, SIGSTOP));
                log_notice("last words");
                g_assert_cmpint(write(report[1], &writer, sizeof(writer)), ==, sizeof(writer));
                (void) raise(SIGKILL);
        }

        g_assert_no_errno(close(fds[1]));
        g_assert_no_errno(close(report[1]));
        g_assert_cmpint(read(report[0], &writer, sizeof(writer)), ==, sizeof(writer));
        g_assert_cmpint(waitpid(daemon, NULL, 0), ==, daemon);
        (void) kill(writer, SIGCONT); /* fails if the writer did not outlive it */
        read_until(&reader, "last words");
        g_assert_null(read_line(&reader));

        g_assert_no_errno(close(report[0]));
        g_assert_no_errno(close(fds[0]));
}

/* One that ends too late for log_close() leaves no zombie. */
static void test_writer_reaped_later(void) {
        siginfo_t info;
        int fds[2];
        pid_t pid;

        g_assert_no_errno(pipe2(fds, O_CLOEXEC));
        begin(fds[1]);
        start_writer(&pid);
        g_assert_no_errno(kill(pid, SIGSTOP));
        end();
        child_reap_left();
        g_assert_no_errno(kill(pid, SIGCONT));
        g_assert_no_errno(waitid(P_PID, (id_t) pid, &info, WEXITED | WNOWAIT));

        child_reap_left();
        g_assert_cmpint(waitpid(pid, NULL, 0), <, 0);
        g_assert_cmpint(errno, ==, ECHILD);

        g_assert_no_errno(close(fds[0]));
        g_assert_no_errno(close(fds[1]));
}

/* ---- the journal ---- */

static void test_journal_entry(void) {
        static const char expected[] = "PRIORITY=4\n"
                                       "SYSLOG_FACILITY=3\n"
                                       "SYSLOG_IDENTIFIER=wbwatchd\n"
                                       "MESSAGE_ID=0123456789abcdef0123456789abcdef\n"
                                       "MESSAGE=two\\x0alines\n"
                                       "SYNC=7\n"
                                       "WORKER_NAME=kworker/0:0+a\\x0aEVIL=b\n";
        LogFields fields = { .size = 0 };
        char entry[4096];
        ssize_t n;
        int fd;

        if (!isolated) {
                g_test_skip("needs root, for a journal of its own");
                return;
        }

        fd = journal_new();
        begin(STDERR_FILENO);
        log_set_target(LOG_TARGET_JOURNAL);
        log_add_field(&fields, "SYNC=%d", 7);
        log_add_field(&fields, "WORKER_NAME=%s", "kworker/0:0+a\nEVIL=b");
        log_full(LOG_WARNING, "0123456789abcdef0123456789abcdef", &fields, "two\nlines");
        n = read(fd, entry, sizeof(entry) - 1);
        g_assert_no_errno(n);
        entry[n] = '\0';
        g_assert_cmpstr(entry, ==, expected);
        end();
        journal_free(fd);
}

/* A field that does not fit is left out as a whole, and those after it that fit are not. */
static void test_journal_fields(void) {
        g_autofree char *longest = g_strnfill(LOG_FIELD_MAX - strlen("A=") - 1, 'x'),
                        *too_long = g_strnfill(LOG_FIELD_MAX - strlen("A="), 'x'),
                        *escaped = g_strnfill(LOG_FIELDS_MAX / 4, '\n');
        LogFields fields = { .size = 0 };
        size_t size;

        log_add_field(&fields, "A=%s", too_long);
        log_add_field(&fields, "A=%s", escaped);
        g_assert_cmpuint(fields.size, ==, 0);

        log_add_field(&fields, "A=%s", longest);
        g_assert_cmpuint(fields.size, ==, LOG_FIELD_MAX);
        log_add_field(&fields, "A=%s", longest);
        g_assert_cmpuint(fields.size, ==, LOG_FIELD_MAX);
        size = fields.size;
        while (fields.size + strlen("B=1\n") < LOG_FIELDS_MAX)
                log_add_field(&fields, "B=1");
        g_assert_cmpuint(fields.size, >, size);
        size = fields.size;
        log_add_field(&fields, "B=1");
        g_assert_cmpuint(fields.size, ==, size);
        g_assert_cmpint(fields.text[size - 1], ==, '\n');
}

/* $JOURNAL_STREAM is inherited by all that a service starts; only where it names stderr does it count. */
static void test_journal_chosen(void) {
        g_autofree char *stream = NULL, *another = NULL;
        struct stat st;
        int fds[2];

        g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
        g_assert_no_errno(fstat(fds[1], &st));
        stream = g_strdup_printf("%llu:%llu", (unsigned long long) st.st_dev, (unsigned long long) st.st_ino);
        another = g_strdup_printf(
                        "%llu:%llu", (unsigned long long) st.st_dev, (unsigned long long) st.st_ino + 1);

        begin(fds[1]);
        g_assert_cmpint(log_get_target(), ==, LOG_TARGET_STDERR);
        (void) g_setenv("JOURNAL_STREAM", stream, true);
        log_open(/* timestamps= */ false);
        g_assert_cmpint(log_get_target(), ==, LOG_TARGET_JOURNAL);
        (void) g_setenv("JOURNAL_STREAM", another, true);
        log_open(/* timestamps= */ false);
        g_assert_cmpint(log_get_target(), ==, LOG_TARGET_STDERR);
        g_unsetenv("JOURNAL_STREAM");
        end();

        g_assert_no_errno(close(fds[0]));
        g_assert_no_errno(close(fds[1]));
}

static void test_journal_full(void) {
        int fd;

        if (!isolated) {
                g_test_skip("needs root, for a journal of its own");
                return;
        }

        fd = journal_new();
        _cleanup_log_reader_ Reader reader = reader_new(fd);
        reader.is_journal = true;

        begin(STDERR_FILENO);
        log_set_target(LOG_TARGET_JOURNAL);
        assert_counts(&reader);
        end();
        journal_free(fd);
}

/* As when journald is restarted, with nobody behind its socket for a while, or no socket at all. */
static void test_journal_vanishes(void) {
        uint64_t dropped = 0;
        unsigned n;
        int fd;

        if (!isolated) {
                g_test_skip("needs root, for a journal of its own");
                return;
        }

        begin(STDERR_FILENO);
        fd = journal_new();
        log_set_target(LOG_TARGET_JOURNAL);
        log_notice("line %u", ++the_number);

        g_assert_no_errno(close(fd));
        n = log_until_dropped(&dropped);
        g_assert_no_errno(unlink(JOURNAL_SOCKET));
        n += log_until_dropped(&dropped);
        g_assert_cmpuint(dropped, ==, n);

        fd = journal_new();
        _cleanup_log_reader_ Reader reader = reader_new(fd);
        reader.is_journal = true;
        log_report_dropped();
        log_notice("the end");
        read_until(&reader, "the end");
        g_assert_cmpuint(reader.n_told, ==, dropped);
        end();
        journal_free(fd);
}

int main(int argc, char **argv) {
        isolated = geteuid() == 0 && isolate(0) >= 0;
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/log/lines", test_lines);
        g_test_add_func("/log/cut", test_cut);
        g_test_add_func("/log/timestamps", test_timestamps);
        g_test_add_func("/log/closed-stderr", test_closed_stderr);
        g_test_add_func("/log/pipe/full", test_pipe_full);
        g_test_add_func("/log/pipe/closed", test_pipe_closed);
        g_test_add_func("/log/pipe/broken", test_pipe_broken);
        g_test_add_func("/log/socket/full", test_socket_full);
        g_test_add_func("/log/terminal/stopped", test_terminal_stopped);
        g_test_add_func("/log/file/frozen", test_file_frozen);
        g_test_add_func("/log/file/disk-full", test_disk_full);
        g_test_add_func("/log/writer/killed", test_writer_killed);
        g_test_add_func("/log/writer/outlives-signals", test_writer_outlives_signals);
        g_test_add_func("/log/writer/outlives-its-parent", test_writer_outlives_its_parent);
        g_test_add_func("/log/writer/inherits-nothing", test_writer_inherits_nothing);
        g_test_add_func("/log/writer/reaped-later", test_writer_reaped_later);
        g_test_add_func("/log/journal/entry", test_journal_entry);
        g_test_add_func("/log/journal/fields", test_journal_fields);
        g_test_add_func("/log/journal/chosen", test_journal_chosen);
        g_test_add_func("/log/journal/full", test_journal_full);
        g_test_add_func("/log/journal/vanishes", test_journal_vanishes);

        return g_test_run();
}
