/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "log-writer.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>

/* The time between retries after an error of stderr (such as a full disk), and the time that the process is
 * given to exit. */
#define RETRY_MSEC 1000
#define END_MSEC 50

/* Writes all of the text, however long that takes. Retries after errors: meanwhile the pipe fills up, and the
 * daemon drops and counts lines. Gives up only when the daemon is gone. */
static void write_all(const char *text, size_t size) {
        struct pollfd pipe_end = { .fd = CHILD_FD };
        bool last_try = false;

        while (size > 0) {
                ssize_t n = write(STDERR_FILENO, text, size);

                if (n >= 0) {
                        text += n;
                        size -= (size_t) n;
                } else if (errno != EINTR) {
                        if (last_try)
                                _exit(EXIT_FAILURE);
                        last_try = poll(&pipe_end, 1, RETRY_MSEC) > 0;
                }
        }
}

/* Runs in the process, until the other end of its pipe is closed and everything in it is written. */
static void run_writer(void *unused) {
        static char text[PIPE_BUF];

        /* If stderr has no reader any more, write(2) must fail. */
        (void) signal(SIGPIPE, SIG_IGN);

        for (;;) {
                ssize_t n = read(CHILD_FD, text, sizeof(text));

                if (n > 0)
                        write_all(text, (size_t) n);
                else if (n == 0 || errno != EINTR)
                        return;
        }
}

int log_writer_start(LogWriter *ret) {
        _cleanup_close_ int ours = -EBADF, theirs = -EBADF;
        ChildOptions options = {
                .name = "wbwatchd-log",
                .keeps_stderr = true,
                .outlives_parent = true,
                .run = run_writer,
        };
        int pipe_fds[2], r;
        Child child;

        if (pipe2(pipe_fds, O_CLOEXEC) < 0)
                return -errno;
        options.fd = theirs = pipe_fds[0];
        ours = pipe_fds[1];
        if (fcntl(ours, F_SETFL, O_WRONLY | O_NONBLOCK) < 0)
                return -errno;

        r = child_start(&options, &child);
        if (r < 0)
                return r;

        *ret = (LogWriter){ .pipe_fd = take_fd(&ours), .child = child };
        return 0;
}

void log_writer_stop(LogWriter *writer) {
        closep(&writer->pipe_fd);
        child_leave(&writer->child, END_MSEC);
        *writer = LOG_WRITER_NONE;
}
