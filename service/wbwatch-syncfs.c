/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * wbwatch-syncfs: forks the helpers that sync, one for each connection of wbwatchd, in a unit of their own.
 * They see the mounts of the host, and may open folders that are not for everyone, which the daemon may not.
 * What it does itself is no more than that: accept(2) and fork(2).
 */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "syncfs.h"

/* As in sd_listen_fds(3): the first descriptor after the standard ones. */
#define LISTEN_FD 3

/* What fails for want of memory or descriptors is tried again after so long. */
#define PAUSE_USEC (100 * USEC_PER_MSEC)

static void complain(const char *what) {
        perror(what);
        (void) usleep(PAUSE_USEC);
}

/* Does once what the helpers will do, so that their code is in memory, and locks it. */
static void prepare(void) {
        static SyncfsRequest request = { .order = SYNCFS_ORDER_FILESYSTEM, .self_test = true };
        SyncfsReply reply;

        /* The journal may hang: its socket is this unit's own. */
        (void) fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK | O_WRONLY);

        if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
                perror("wbwatch-syncfs: can't lock the memory, going on without");

        (void) syncfs_serve(&request, syncfs_request_size(&request), &reply, NULL);
}

static noreturn void run_helper(int connection_fd, pid_t parent) {
        /* A parent that died before the first line took effect sends no signal any more. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
                _exit(EXIT_FAILURE);

        syncfs_drop_privileges();
        serve_run("wbwatch-syncfs", connection_fd, syncfs_serve, NULL);
}

static void accept_one(int listen_fd) {
        _cleanup_close_ int connection_fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
        pid_t parent = getpid(), pid;

        if (connection_fd < 0) {
                complain("wbwatch-syncfs: can't accept a connection, trying again");
                return;
        }

        pid = fork();
        if (pid == 0)
                run_helper(connection_fd, parent);
        /* wbwatchd sees its connection end, and tries again later. */
        if (pid < 0)
                complain("wbwatch-syncfs: can't start a helper");
}

int main(int argc, char **argv) {
        struct pollfd listener = { .fd = LISTEN_FD, .events = POLLIN };
        const char *pid = getenv("LISTEN_PID");
        int accepts = 0;
        socklen_t size = sizeof(accepts);

        if (argc > 1 && streq(argv[1], "--version")) {
                puts("wbwatch-syncfs " WBWATCH_VERSION);
                return EXIT_SUCCESS;
        }
        if (!pid || strtol(pid, NULL, 10) != getpid() ||
            getsockopt(LISTEN_FD, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &size) < 0 || !accepts) {
                fputs("wbwatch-syncfs: must be started by wbwatch-syncfs.socket\n", stderr);
                return EXIT_FAILURE;
        }

        /* The kernel reaps helpers that end. */
        (void) signal(SIGCHLD, SIG_IGN);
        prepare();

        for (;;)
                if (poll(&listener, 1, /* timeout= */ -1) > 0)
                        accept_one(LISTEN_FD);
}
