/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "jobs.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

/* So that a job can go on before its output is read; where that much is allowed. */
#define PIPE_SIZE (1024 * 1024)

/* The child, in its own process group, so that what it starts can be killed with it. */
static void run_in_child(void *userdata) {
        const Job *job = userdata;
        FILE *out;
        int r;

        (void) setpgid(0, 0);
        out = fdopen(CHILD_FD, "w");
        if (!out)
                _exit(EXIT_FAILURE);

        r = job->run(job->userdata, out);
        if (r < 0)
                (void) fprintf(out, "%s\n", errno_text(-r));
        if (fflush(out) != 0 || r < 0)
                _exit(EXIT_FAILURE);
}

int job_execute(const char *const *arguments, bool has_errors) {
        if (dup2(CHILD_FD, STDOUT_FILENO) < 0 || (has_errors && dup2(CHILD_FD, STDERR_FILENO) < 0) ||
            fcntl(CHILD_FD, F_SETFD, FD_CLOEXEC) < 0)
                return -errno;
        (void) execvp(arguments[0], (char **) arguments);
        return -errno;
}

static int job_start(Job *job) {
        _cleanup_close_ int read_fd = -EBADF, write_fd = -EBADF;
        int fds[2], r;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        read_fd = fds[0];
        write_fd = fds[1];
        (void) fcntl(write_fd, F_SETPIPE_SZ, PIPE_SIZE);

        r = child_start(&(ChildOptions){ .name = "wbctl-job",
                                         .fd = write_fd,
                                         .input_fd = job->input_fd,
                                         .run = run_in_child,
                                         .userdata = job },
                        &job->child);
        if (r < 0)
                return r;
        job->fd = take_fd(&read_fd);
        return 0;
}

/* Reaps the child, which has ended. */
static void job_end(Job *job) {
        siginfo_t info = {};

        if (waitid(P_PID, (id_t) job->child.pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
                job->status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
        child_leave(&job->child, 0);
}

static void job_kill(Job *job) {
        if (kill(-job->child.pid, SIGKILL) < 0)
                (void) kill(job->child.pid, SIGKILL);
}

static void job_read(Job *job) {
        char buffer[64 * 1024];
        ssize_t n = read(job->fd, buffer, sizeof(buffer));

        if (n > 0) {
                size_t room = job->size_max - job->result->len;

                g_string_append_len(job->result, buffer, (gssize) MIN((size_t) n, room));
                if ((size_t) n <= room)
                        return;
                job->truncated = true;
                job_kill(job);
        }
        closep(&job->fd);
        job->fd = -EBADF;
}

/* Waits for the next output or end of a job, and handles it. Returns false when all have ended, or at the
 * deadline. */
static bool jobs_step(Job *jobs, size_t n_jobs, uint64_t deadline_usec) {
        g_autofree struct pollfd *fds = g_new(struct pollfd, n_jobs);
        uint64_t left_usec = usec_subtract(deadline_usec, usec_now(CLOCK_MONOTONIC));
        bool any = false;

        /* First the output up to its end, then the end of the child. A negative descriptor is ignored. */
        for (size_t i = 0; i < n_jobs; i++) {
                int fd = jobs[i].fd >= 0 ? jobs[i].fd : jobs[i].child.pidfd;

                fds[i] = (struct pollfd){ .fd = fd, .events = POLLIN };
                any = any || fd >= 0;
        }
        if (!any || left_usec == 0)
                return false;
        if (poll(fds, n_jobs, (int) (MIN(left_usec, USEC_PER_MINUTE) / USEC_PER_MSEC) + 1) < 0)
                return errno == EINTR;

        for (size_t i = 0; i < n_jobs; i++)
                if (fds[i].revents == 0)
                        continue;
                else if (jobs[i].fd >= 0)
                        job_read(jobs + i);
                else
                        job_end(jobs + i);
        return true;
}

void jobs_start(Job *jobs, size_t n_jobs) {
        for (size_t i = 0; i < n_jobs; i++) {
                jobs[i].child = CHILD_NONE;
                jobs[i].fd = -EBADF;
                jobs[i].status = job_start(jobs + i);
        }
}

void jobs_finish(Job *jobs, size_t n_jobs, uint64_t deadline_usec) {
        while (jobs_step(jobs, n_jobs, deadline_usec))
                ;

        for (size_t i = 0; i < n_jobs; i++)
                if (jobs[i].child.pid > 0) {
                        jobs[i].timed_out = true;
                        job_kill(jobs + i);
                        closep(&jobs[i].fd);
                        child_leave(&jobs[i].child, 0);
                }
}

void jobs_run(Job *jobs, size_t n_jobs, uint64_t timeout_usec) {
        uint64_t deadline_usec = usec_add(usec_now(CLOCK_MONOTONIC), timeout_usec);

        jobs_start(jobs, n_jobs);
        jobs_finish(jobs, n_jobs, deadline_usec);
}
