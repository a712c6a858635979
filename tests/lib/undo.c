/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A process that undoes something: see undo.h. It waits until the test closes its end of a pipe. */

#include "undo.h"

#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/wait.h>

#define UNDO_PIPE_FD 3

Undo undo_later(void (*function)(const void *data), const void *data) {
        int pipe_fds[2];
        Undo undo;
        char byte;

        g_assert_cmpint(pipe2(pipe_fds, O_CLOEXEC), ==, 0);
        undo.pid = fork();
        g_assert_no_errno(undo.pid);
        if (undo.pid > 0) {
                g_assert_no_errno(close(pipe_fds[0]));
                undo.fd = pipe_fds[1];
                return undo;
        }

        /* Outside the test's process group, which a signal may end, and without the test's streams and
         * sockets: a reader that waits for their end must not wait for this process. */
        (void) setsid();
        (void) signal(SIGTERM, SIG_IGN);
        (void) signal(SIGINT, SIG_IGN);
        (void) signal(SIGHUP, SIG_IGN);
        if (dup2(pipe_fds[0], UNDO_PIPE_FD) < 0)
                _exit(EXIT_FAILURE);
        for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++)
                (void) close(stream);
        (void) close_range(UNDO_PIPE_FD + 1, ~0U, 0);

        while (read(UNDO_PIPE_FD, &byte, 1) < 0 && errno == EINTR)
                ;
        function(data);
        _exit(EXIT_SUCCESS);
}

void undo_now(Undo *undo) {
        int status;

        if (undo->pid == 0)
                return;

        g_assert_no_errno(close(undo->fd));
        g_assert_cmpint(waitpid(undo->pid, &status, 0), ==, undo->pid);
        g_assert_cmpint(status, ==, 0);
        *undo = (Undo){};
}
