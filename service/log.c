/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The log. Whoever takes it may hang: journald on the disk, a pipe's reader on anything, a file with its
 * filesystem. So nothing here waits: the journal gets datagrams of our own (sd_journal_send() blocks on a
 * full queue), and so does stderr where it is a socket. Everything else has no write that is sure to return:
 * RWF_NOWAIT is for pipes of Linux 6.4 and later only, poll() calls a file always ready, and O_NONBLOCK on
 * stderr would change it for all who share it. There a process of its own writes, at the other end of a pipe
 * that is ours.
 */

#include "log.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdnoreturn.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <glib.h>

#define LOG_IDENTIFIER "wbwatchd"
#define LOG_JOURNAL_SOCKET "/run/systemd/journal/socket"

/* A line that fits into PIPE_BUF is written to a pipe whole or not at all. */
#define LOG_MESSAGE_MAX 1024
#define LOG_LINE_MAX PIPE_BUF

/* The process that writes: between its tries where stderr gives an error (a full disk, say), and how long it
 * is given to end when there is nothing left to write. */
#define WRITER_RETRY_MSEC 1000
#define WRITER_END_MSEC 50

/* The first descriptor that is neither stdin, stdout nor stderr: the writer has its pipe there. */
#define WRITER_PIPE_FD 3

static struct {
        LogTarget target;
        int max_level;
        bool timestamps;
        bool muted;
        int journal_fd;     /* opened when first needed */
        bool stderr_socket; /* stderr is a socket */
        int writer_fd;      /* the pipe to the process that writes to stderr, or negative */
        int writer_pidfd;
        uint64_t n_dropped;
        uint64_t n_unreported; /* of these, not reported yet */
} the_log = {
        .target = LOG_TARGET_STDERR,
        .max_level = LOG_NOTICE,
        .journal_fd = -EBADF,
        .writer_fd = -EBADF,
        .writer_pidfd = -EBADF,
};

/* $JOURNAL_STREAM is "DEVICE:INODE" of the journal's end of stderr (systemd.exec(5)). */
static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat st;

        return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
               fstat(STDERR_FILENO, &st) >= 0 && st.st_dev == device && st.st_ino == inode;
}

/* Where stdin, stdout or stderr is closed, the next file to be opened would become it. */
static void open_missing_streams(void) {
        int fd;

        do
                fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
        while (fd >= 0 && fd <= STDERR_FILENO);
        closep(&fd);
}

void log_open(bool timestamps) {
        struct stat st;

        open_missing_streams();
        /* Reads the time zone from the disk now, not when the first line is due. */
        tzset();
        (void) signal(SIGPIPE, SIG_IGN);
        the_log.timestamps = timestamps;
        the_log.stderr_socket = fstat(STDERR_FILENO, &st) >= 0 && S_ISSOCK(st.st_mode);
        log_set_target(stderr_is_journal() ? LOG_TARGET_JOURNAL : LOG_TARGET_STDERR);
}

/* Writes all of it, however long that takes. What gives an error is tried again: meanwhile the pipe fills up,
 * and lines are dropped where they are counted. Only when nobody is left to count is the rest given up. */
static void writer_write(const char *text, size_t size) {
        struct pollfd pipe_end = { .fd = WRITER_PIPE_FD };
        bool last_try = false;

        while (size > 0) {
                ssize_t n = write(STDERR_FILENO, text, size);

                if (n >= 0) {
                        text += n;
                        size -= (size_t) n;
                } else if (errno != EINTR) {
                        if (last_try)
                                _exit(EXIT_FAILURE);
                        last_try = poll(&pipe_end, 1, WRITER_RETRY_MSEC) > 0;
                }
        }
}

/* The process that writes, from its start to its end: when the other end of its pipe is closed, and all that
 * was in it is written. Signals that are meant for the daemon do not end it before. */
static noreturn void writer_run(int pipe_fd) {
        static char text[LOG_LINE_MAX];

        (void) prctl(PR_SET_NAME, LOG_IDENTIFIER "-log");
        (void) signal(SIGINT, SIG_IGN);
        (void) signal(SIGTERM, SIG_IGN);
        (void) signal(SIGHUP, SIG_IGN);

        /* The daemon's other streams are not its own to hold. */
        if (dup2(pipe_fd, WRITER_PIPE_FD) < 0 || close_range(WRITER_PIPE_FD + 1, ~0U, 0) < 0)
                _exit(EXIT_FAILURE);
        (void) close(STDIN_FILENO);
        (void) close(STDOUT_FILENO);

        for (;;) {
                ssize_t n = read(WRITER_PIPE_FD, text, sizeof(text));

                if (n > 0)
                        writer_write(text, (size_t) n);
                else if (n == 0 || errno != EINTR)
                        _exit(EXIT_SUCCESS);
        }
}

/* Closes the pipe, and waits a moment for the process to end. One that hangs ends when its hang ends. */
static void stop_writer(void) {
        struct pollfd death = { .fd = the_log.writer_pidfd, .events = POLLIN };

        if (the_log.writer_fd < 0)
                return;

        closep(&the_log.writer_fd);
        if (poll(&death, 1, WRITER_END_MSEC) > 0)
                (void) waitid(P_PIDFD, (id_t) the_log.writer_pidfd, &(siginfo_t){}, WEXITED | WNOHANG);
        closep(&the_log.writer_pidfd);
        the_log.writer_fd = the_log.writer_pidfd = -EBADF;
}

int log_start_writer(void) {
        _cleanup_close_ int ours = -EBADF, theirs = -EBADF, pidfd = -EBADF;
        int pipe_fds[2];
        pid_t pid;

        if (the_log.stderr_socket)
                return 0;

        if (pipe2(pipe_fds, O_CLOEXEC) < 0)
                return -errno;
        theirs = pipe_fds[0];
        ours = pipe_fds[1];
        if (fcntl(ours, F_SETFL, O_WRONLY | O_NONBLOCK) < 0)
                return -errno;

        pid = _Fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                writer_run(theirs);

        /* Without it the writer just ends, since its pipe is closed. */
        pidfd = pidfd_open(pid, 0);
        if (pidfd < 0)
                return -errno;

        stop_writer();
        the_log.writer_fd = take_fd(&ours);
        the_log.writer_pidfd = take_fd(&pidfd);
        return 0;
}

void log_close(void) {
        stop_writer();
        closep(&the_log.journal_fd);
        the_log.journal_fd = -EBADF;
}

void log_set_max_level(int level) {
        the_log.max_level = level;
}

int log_get_max_level(void) {
        return the_log.max_level;
}

LogTarget log_get_target(void) {
        return the_log.target;
}

void log_set_target(LogTarget target) {
        the_log.target = target;

        /* In time, so that no descriptor is needed in the worst minute. */
        if (target == LOG_TARGET_JOURNAL && the_log.journal_fd < 0)
                the_log.journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

void log_set_muted(bool muted) {
        the_log.muted = muted;
}

uint64_t log_get_dropped(void) {
        return the_log.n_dropped;
}

/* How many bytes the first character has, of a text that is valid UTF-8. */
static size_t character_size(const char *text) {
        size_t n = 1;

        while (((unsigned char) text[n] & 0xc0) == 0x80)
                n++;
        return n;
}

/* U+0080 to U+009F are control characters, too. Not asked of glib, whose tables may be on the disk. */
static bool is_control(const char *text) {
        unsigned char c = (unsigned char) text[0], next = (unsigned char) text[1];

        return c < 0x20 || c == 0x7f || (c == 0xc2 && next < 0xa0);
}

void log_escape(const char *text, char *buffer, size_t size) {
        static const char digits[] = "0123456789abcdef";
        bool utf8 = g_utf8_validate(text, -1, NULL);
        size_t n = 0;

        while (*text != '\0') {
                bool escape = is_control(text) || (!utf8 && (unsigned char) *text >= 0x80);
                size_t n_bytes = utf8 ? character_size(text) : 1;

                /* Cut before a character, not in it. */
                if (n + n_bytes * (escape ? 4 : 1) >= size)
                        break;

                for (; n_bytes > 0; n_bytes--, text++)
                        if (escape) {
                                unsigned char c = (unsigned char) *text;

                                buffer[n++] = '\\';
                                buffer[n++] = 'x';
                                buffer[n++] = digits[c >> 4];
                                buffer[n++] = digits[c & 15];
                        } else
                                buffer[n++] = *text;
        }

        buffer[n] = '\0';
}

static int write_journal(
                int level,
                const char *message_id,
                const LogField *fields,
                size_t n_fields,
                const char *message) {

        static const struct sockaddr_un address = {
                .sun_family = AF_UNIX,
                .sun_path = LOG_JOURNAL_SOCKET,
        };
        char entry[LOG_LINE_MAX];
        int n;

        if (the_log.journal_fd < 0)
                return -EBADF;

        n = snprintf(entry, sizeof(entry),
                     "PRIORITY=%d\nSYSLOG_FACILITY=%d\nSYSLOG_IDENTIFIER=" LOG_IDENTIFIER
                     "\n%s%s%sMESSAGE=%s\n",
                     level, LOG_FAC(LOG_DAEMON), message_id ? "MESSAGE_ID=" : "",
                     message_id ? message_id : "", message_id ? "\n" : "", message);

        for (size_t i = 0; i < n_fields; i++) {
                char field[sizeof(LogField) * 4];

                log_escape(fields[i].text, field, sizeof(field));
                if ((size_t) n + strlen(field) + 2 > sizeof(entry))
                        break;
                n += snprintf(entry + n, sizeof(entry) - (size_t) n, "%s\n", field);
        }

        if (the_log.muted)
                return 0;

        /* Addressed anew each time: a journald that was restarted listens on another socket of the same name.
         */
        if (sendto(the_log.journal_fd, entry, (size_t) n, MSG_DONTWAIT | MSG_NOSIGNAL,
                   (const struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;

        return 0;
}

static int write_stderr_line(const char *line, size_t size) {
        ssize_t n;

        if (the_log.stderr_socket)
                n = send(STDERR_FILENO, line, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        else
                n = write(the_log.writer_fd >= 0 ? the_log.writer_fd : STDERR_FILENO, line, size);

        if (n < 0)
                return -errno;
        return (size_t) n < size ? -EAGAIN : 0;
}

static int write_stderr(int level, const char *message) {
        static const char *const names[] = { "emergency: ", "alert: ", "critical: ", "error: ",
                                             "warning: ",   "",        "",           "debug: " };
        char line[LOG_LINE_MAX], when[64] = "";
        size_t size;
        int r;

        if (the_log.timestamps) {
                uint64_t now_usec = usec_now(CLOCK_REALTIME);
                time_t seconds = (time_t) (now_usec / USEC_PER_SEC);
                struct tm tm;
                size_t n;

                n = strftime(when, sizeof(when), "%F %T", localtime_r(&seconds, &tm));
                (void) snprintf(when + n, sizeof(when) - n, ".%03u ",
                                (unsigned) (now_usec % USEC_PER_SEC / USEC_PER_MSEC));
        }

        size = (size_t) snprintf(line, sizeof(line), "%s%s%s\n", when, names[level & LOG_PRIMASK], message);
        if (size >= sizeof(line))
                return -EMSGSIZE;
        if (the_log.muted)
                return 0;

        r = write_stderr_line(line, size);
        if (r == -EPIPE && the_log.writer_fd >= 0) {
                /* The writer was killed. */
                r = log_start_writer();
                if (r >= 0)
                        r = write_stderr_line(line, size);
        }
        return r;
}

static int write_line(
                int level,
                const char *message_id,
                const LogField *fields,
                size_t n_fields,
                const char *message) {

        return the_log.target == LOG_TARGET_JOURNAL
                               ? write_journal(level, message_id, fields, n_fields, message)
                               : write_stderr(level, message);
}

void log_report_dropped(void) {
        char message[128];

        if (the_log.n_unreported == 0 || the_log.muted)
                return;

        (void) snprintf(message, sizeof(message), "%" G_GUINT64_FORMAT " log line%s dropped: nobody took %s",
                        the_log.n_unreported, the_log.n_unreported == 1 ? " was" : "s were",
                        the_log.n_unreported == 1 ? "it" : "them");
        if (write_line(LOG_WARNING, NULL, NULL, 0, message) >= 0)
                the_log.n_unreported = 0;
}

void log_full(int level,
              const char *message_id,
              const LogField *fields,
              size_t n_fields,
              const char *format,
              ...) {
        char raw[LOG_MESSAGE_MAX], message[LOG_LINE_MAX / 2];
        int saved_errno = errno;
        va_list arguments;

        if (level > the_log.max_level)
                return;

        va_start(arguments, format);
        (void) vsnprintf(raw, sizeof(raw), format, arguments);
        va_end(arguments);
        log_escape(raw, message, sizeof(message));

        log_report_dropped();
        if ((the_log.n_unreported > 0 && !the_log.muted) ||
            write_line(level, message_id, fields, n_fields, message) < 0) {
                the_log.n_dropped++;
                the_log.n_unreported++;
        }

        errno = saved_errno;
}
