/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The log. Whoever reads it may hang: journald on the disk, a pipe's reader on anything. So nothing here
 * waits: the journal gets datagrams of our own (sd_journal_send() blocks on a full queue), and stderr is
 * written only where that returns at once. Flags of stderr are not changed, since others share it.
 */

#include "log.h"

#include <glib.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>

#define LOG_IDENTIFIER "wbwatchd"
#define LOG_JOURNAL_SOCKET "/run/systemd/journal/socket"

/* A line that fits into PIPE_BUF is written to a pipe whole or not at all. */
#define LOG_MESSAGE_MAX 1024
#define LOG_LINE_MAX 4096

static struct {
        LogTarget target;
        int max_level;
        bool timestamps;
        bool muted;
        int journal_fd; /* opened when first needed */
        uint64_t n_dropped;
        uint64_t n_untold; /* of these, not told yet */
} the_log = {
        .target = LOG_TARGET_STDERR,
        .max_level = LOG_NOTICE,
        .journal_fd = -EBADF,
};

/* $JOURNAL_STREAM is "DEVICE:INODE" of the journal's end of stderr (systemd.exec(5)). */
static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat st;

        return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
               fstat(STDERR_FILENO, &st) >= 0 && st.st_dev == device && st.st_ino == inode;
}

void log_open(bool timestamps) {
        /* Reads the time zone from the disk now, not when the first line is due. */
        tzset();
        the_log.timestamps = timestamps;
        log_set_target(stderr_is_journal() ? LOG_TARGET_JOURNAL : LOG_TARGET_STDERR);
}

void log_close(void) {
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

void log_escape(const char *text, char *buffer, size_t size) {
        static const char digits[] = "0123456789abcdef";
        bool utf8 = g_utf8_validate(text, -1, NULL);
        size_t n = 0;

        for (const unsigned char *c = (const unsigned char *) text; *c && n + 5 < size; c++)
                if (*c < 0x20 || *c == 0x7f || (*c >= 0x80 && !utf8)) {
                        buffer[n++] = '\\';
                        buffer[n++] = 'x';
                        buffer[n++] = digits[*c >> 4];
                        buffer[n++] = digits[*c & 15];
                } else
                        buffer[n++] = (char) *c;

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

/* Writes without waiting where the kernel can do so (pipes, sockets); else only where poll() sees room
 * (terminals). A file always has room. */
static int write_stderr(int level, const char *message) {
        static const char *const names[] = { "emergency: ", "alert: ", "critical: ", "error: ",
                                             "warning: ",   "",        "",           "debug: " };
        char line[LOG_LINE_MAX], when[64] = "";
        struct iovec iov = { .iov_base = line };
        struct pollfd pollfd = { .fd = STDERR_FILENO, .events = POLLOUT };

        if (the_log.timestamps) {
                uint64_t now_usec = usec_now(CLOCK_REALTIME);
                time_t seconds = (time_t) (now_usec / USEC_PER_SEC);
                struct tm tm;
                size_t n;

                n = strftime(when, sizeof(when), "%F %T", localtime_r(&seconds, &tm));
                (void) snprintf(when + n, sizeof(when) - n, ".%03u ",
                                (unsigned) (now_usec % USEC_PER_SEC / USEC_PER_MSEC));
        }

        iov.iov_len = (size_t) snprintf(
                        line, sizeof(line), "%s%s%s\n", when, names[level & LOG_PRIMASK], message);

        if (iov.iov_len >= sizeof(line))
                return -EMSGSIZE;
        if (the_log.muted)
                return 0;
        if (pwritev2(STDERR_FILENO, &iov, 1, -1, RWF_NOWAIT) >= 0)
                return 0;
        if (errno != EOPNOTSUPP && errno != EINVAL && errno != ENOSYS)
                return -errno;

        if (poll(&pollfd, 1, 0) != 1 || !(pollfd.revents & POLLOUT))
                return -EAGAIN;
        return write(STDERR_FILENO, line, iov.iov_len) < 0 ? -errno : 0;
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

        if (the_log.n_untold > 0) {
                char told[128];

                (void) snprintf(told, sizeof(told),
                                "%" G_GUINT64_FORMAT " log lines were dropped: nobody took them",
                                the_log.n_untold);
                if (write_line(LOG_WARNING, NULL, NULL, 0, told) >= 0)
                        the_log.n_untold = 0;
        }

        if (the_log.n_untold > 0 || write_line(level, message_id, fields, n_fields, message) < 0) {
                the_log.n_dropped++;
                the_log.n_untold++;
        }

        errno = saved_errno;
}
