/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A child process: see child.h. */

#include "child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdnoreturn.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* More children than these are not reaped when they are left before their end. */
#define LEFT_MAX 64

static pid_t left[LEFT_MAX];
static size_t n_left;

/* The parent blocks the signals that it takes from its event loop. */
static void reset_signals(bool ignore_sigterm) {
        sigset_t none;

        for (int sig = 1; sig < _NSIG; sig++) {
                bool ignore = sig == SIGINT || sig == SIGHUP || (sig == SIGTERM && ignore_sigterm);

                (void) signal(sig, ignore ? SIG_IGN : SIG_DFL);
        }

        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Whoever reads the parent's streams to their end must not wait for a child that hangs. */
static void detach_streams(int first, int last) {
        int null_fd = open("/dev/null", O_RDWR | O_NOCTTY);

        for (int stream = first; stream <= last; stream++)
                if (null_fd < 0 || dup2(null_fd, stream) < 0)
                        (void) close(stream);

        if (null_fd > STDERR_FILENO)
                (void) close(null_fd);
}

/* While a copy of the other end of a socket or pipe is open here, its closing there is not seen. */
static bool keep_descriptor(int fd) {
        return dup2(fd, CHILD_FD) >= 0 && close_range(CHILD_FD + 1, ~0U, 0) >= 0;
}

/* The child, from its start to its end. */
static noreturn void child_run(const ChildOptions *options, pid_t parent) {
        /* A parent that died before the first line took effect sends no signal any more. */
        if (!options->outlives_parent && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
                _exit(EXIT_FAILURE);

        (void) prctl(PR_SET_NAME, options->name);

        if (options->input_fd > 0 && dup2(options->input_fd, STDIN_FILENO) < 0)
                _exit(EXIT_FAILURE);

        if (!keep_descriptor(options->fd))
                _exit(EXIT_FAILURE);

        detach_streams(options->input_fd > 0 ? STDOUT_FILENO : STDIN_FILENO,
                       options->keeps_stderr ? STDOUT_FILENO : STDERR_FILENO);
        reset_signals(options->outlives_parent);

        options->run(options->userdata);
        _exit(EXIT_SUCCESS);
}

int child_fork(const ChildOptions *options, pid_t *ret) {
        pid_t parent = getpid(), pid;

        /* Not fork(3), whose handlers write to memory that parent and children share otherwise. */
        pid = _Fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                child_run(options, parent);

        *ret = pid;
        return 0;
}

int child_start(const ChildOptions *options, Child *ret) {
        Child child = CHILD_NONE;
        int r;

        r = child_fork(options, &child.pid);
        if (r < 0)
                return r;

        child.pidfd = pidfd_open(child.pid, 0);
        if (child.pidfd < 0) {
                r = -errno;
                child_leave(&child, 0);
                return r;
        }

        *ret = child;
        return 0;
}

static bool wait_for_end(const Child *child, int wait_msec) {
        struct pollfd end = { .fd = child->pidfd, .events = POLLIN };

        return poll(&end, 1, wait_msec) > 0;
}

bool child_has_ended(const Child *child) {
        return wait_for_end(child, 0);
}

/* An error is ECHILD: somebody else reaped it. */
static bool reap(pid_t pid) {
        siginfo_t info = {};

        return waitid(P_PID, (id_t) pid, &info, WEXITED | WNOHANG) < 0 || info.si_pid > 0;
}

void child_leave(Child *child, int wait_msec) {
        if (child->pid == 0)
                return;

        (void) wait_for_end(child, wait_msec);
        if (!reap(child->pid) && n_left < LEFT_MAX)
                left[n_left++] = child->pid;

        closep(&child->pidfd);
        *child = CHILD_NONE;
}

void child_reap_left(void) {
        for (size_t i = 0; i < n_left;)
                if (reap(left[i]))
                        left[i] = left[--n_left];
                else
                        i++;
}
