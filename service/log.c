/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Any receiver of the log may hang: journald on the disk, the reader of a pipe, the filesystem of a file. So
 * logging must not block. The journal, and stderr if it is a socket, get non-blocking datagrams
 * (sd_journal_send() blocks on a full queue). For anything else there is no write(2) that never blocks:
 * RWF_NOWAIT works only on pipes and since Linux 6.4, poll() always reports files as ready, and O_NONBLOCK on
 * stderr would affect all processes that share it. There a separate process writes, which reads from a pipe.
 */

#include "log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "text.h"

#include "log-writer.h"

#define LOG_IDENTIFIER "wbwatchd"
#define LOG_JOURNAL_SOCKET "/run/systemd/journal/socket"

/* Writes of up to PIPE_BUF bytes to a pipe are atomic. */
#define LOG_MESSAGE_MAX 1024
#define LOG_LINE_MAX PIPE_BUF

static struct {
        LogTarget target;
        int max_level;
        bool timestamps;
        bool muted;
        int journal_fd;     /* opened by log_set_target() */
        bool stderr_socket; /* stderr is a socket */
        LogWriter writer;   /* the process that writes to stderr, if there is one */
        uint64_t n_dropped;
        uint64_t n_unreported; /* of these, not reported yet */
} the_log = {
        .target = LOG_TARGET_STDERR,
        .max_level = LOG_NOTICE,
        .journal_fd = -EBADF,
        .writer = { .pipe_fd = -EBADF, .child = { .pidfd = -EBADF } },
};

/* $JOURNAL_STREAM is "DEVICE:INODE" of the journal's end of stderr (systemd.exec(5)). */
static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat st;

        return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
               fstat(STDERR_FILENO, &st) >= 0 && st.st_dev == device && st.st_ino == inode;
}

/* If stdin, stdout or stderr is closed, the next file opened would get its number. */
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
        /* Reads the time zone from disk now, not at the first line. */
        tzset();
        (void) signal(SIGPIPE, SIG_IGN);
        the_log.timestamps = timestamps;
        the_log.stderr_socket = fstat(STDERR_FILENO, &st) >= 0 && S_ISSOCK(st.st_mode);
        log_set_target(stderr_is_journal() ? LOG_TARGET_JOURNAL : LOG_TARGET_STDERR);
}

int log_start_writer(void) {
        LogWriter writer;
        int r;

        if (the_log.stderr_socket)
                return 0;

        r = log_writer_start(&writer);
        if (r < 0)
                return r;

        log_writer_stop(&the_log.writer);
        the_log.writer = writer;
        return 0;
}

void log_close(void) {
        log_writer_stop(&the_log.writer);
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

        /* Opened now, so that no descriptor is needed during a stall. */
        if (target == LOG_TARGET_JOURNAL && the_log.journal_fd < 0)
                the_log.journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

void log_set_muted(bool muted) {
        the_log.muted = muted;
}

uint64_t log_get_dropped(void) {
        return the_log.n_dropped;
}

void log_add_field(LogFields *fields, const char *format, ...) {
        char raw[LOG_FIELD_MAX], *field = fields->text + fields->size;
        size_t room = sizeof(fields->text) - fields->size;
        va_list arguments;
        int n;

        va_start(arguments, format);
        n = vsnprintf(raw, sizeof(raw), format, arguments);
        va_end(arguments);
        if (n < 0 || (size_t) n >= sizeof(raw) || room < sizeof("\n") ||
            !text_escape(raw, TEXT_ESCAPE_CONTROL, field, room - 1))
                return;

        strcat(field, "\n");
        fields->size += strlen(field);
}

static int write_journal(int level, const char *message_id, const LogFields *fields, const char *message) {
        static const struct sockaddr_un address = {
                .sun_family = AF_UNIX,
                .sun_path = LOG_JOURNAL_SOCKET,
        };
        char head[LOG_LINE_MAX];
        struct iovec parts[] = {
                { .iov_base = head },
                { .iov_base = fields ? (void *) fields->text : NULL, .iov_len = fields ? fields->size : 0 },
        };
        struct msghdr entry = {
                .msg_name = (void *) &address,
                .msg_namelen = sizeof(address),
                .msg_iov = parts,
                .msg_iovlen = ELEMENTSOF(parts),
        };

        if (the_log.journal_fd < 0)
                return -EBADF;

        parts[0].iov_len = (size_t) snprintf(
                        head, sizeof(head),
                        "PRIORITY=%d\nSYSLOG_FACILITY=%d\nSYSLOG_IDENTIFIER=" LOG_IDENTIFIER
                        "\n%s%s%sMESSAGE=%s\n",
                        level, LOG_FAC(LOG_DAEMON), message_id ? "MESSAGE_ID=" : "",
                        message_id ? message_id : "", message_id ? "\n" : "", message);

        if (the_log.muted)
                return 0;

        /* Not connected: after a restart journald listens on a new socket of the same name. */
        return sendmsg(the_log.journal_fd, &entry, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int write_stderr_line(const char *line, size_t size) {
        ssize_t n;

        if (the_log.stderr_socket)
                n = send(STDERR_FILENO, line, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        else
                n = write(the_log.writer.pipe_fd >= 0 ? the_log.writer.pipe_fd : STDERR_FILENO, line, size);

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
                (void) snprintf(when + n, sizeof(when) - n, ".%03u %s ",
                                (unsigned) (now_usec % USEC_PER_SEC / USEC_PER_MSEC), tm.tm_zone);
        }

        size = (size_t) snprintf(line, sizeof(line), "%s%s%s\n", when, names[level & LOG_PRIMASK], message);
        if (size >= sizeof(line))
                return -EMSGSIZE;
        if (the_log.muted)
                return 0;

        r = write_stderr_line(line, size);
        if (r == -EPIPE && the_log.writer.pipe_fd >= 0) {
                /* The writer was killed. */
                r = log_start_writer();
                if (r >= 0)
                        r = write_stderr_line(line, size);
        }
        return r;
}

static int write_line(int level, const char *message_id, const LogFields *fields, const char *message) {
        return the_log.target == LOG_TARGET_JOURNAL ? write_journal(level, message_id, fields, message)
                                                    : write_stderr(level, message);
}

void log_report_dropped(void) {
        char message[128];

        if (the_log.n_unreported == 0 || the_log.muted)
                return;

        (void) snprintf(message, sizeof(message), "%" PRIu64 " log line%s dropped: nobody took %s",
                        the_log.n_unreported, the_log.n_unreported == 1 ? " was" : "s were",
                        the_log.n_unreported == 1 ? "it" : "them");
        if (write_line(LOG_WARNING, NULL, NULL, message) >= 0)
                the_log.n_unreported = 0;
}

void log_full(int level, const char *message_id, const LogFields *fields, const char *format, ...) {
        char raw[LOG_MESSAGE_MAX], message[LOG_LINE_MAX / 2];
        int saved_errno = errno;
        va_list arguments;

        if (level > the_log.max_level)
                return;

        va_start(arguments, format);
        (void) vsnprintf(raw, sizeof(raw), format, arguments);
        va_end(arguments);
        text_escape(raw, TEXT_ESCAPE_CONTROL, message, sizeof(message));

        log_report_dropped();
        if ((the_log.n_unreported > 0 && !the_log.muted) ||
            write_line(level, message_id, fields, message) < 0) {
                the_log.n_dropped++;
                the_log.n_unreported++;
        }

        errno = saved_errno;
}
