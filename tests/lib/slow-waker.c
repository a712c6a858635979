/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * For LD_PRELOAD: each return from epoll_wait(), and each message to another process, takes 1 ms of CPU time,
 * as in a virtual machine whose host runs the CPU that wakes this one up, or is woken up by it, in its place,
 * and counts that as its time. Only in the process that was started, not in those that it forks.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DELAY_NSEC (1000 * 1000)

static pid_t started;

static __attribute__((constructor)) void note_started(void) {
        started = getpid();
}

static int64_t thread_cpu_nsec(void) {
        struct timespec time;

        (void) clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
        return (int64_t) time.tv_sec * 1000000000 + time.tv_nsec;
}

static void delay(void) {
        int64_t begin_nsec = thread_cpu_nsec();

        while (getpid() == started && thread_cpu_nsec() - begin_nsec < DELAY_NSEC)
                ;
}

int epoll_wait(int epoll_fd, struct epoll_event *events, int n_events, int wait_msec) {
        int n = (int) syscall(SYS_epoll_pwait, epoll_fd, events, n_events, wait_msec, NULL, 0);

        if (n > 0)
                delay();
        return n;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
        ssize_t n = syscall(SYS_sendmsg, fd, message, flags);

        if (n > 0)
                delay();
        return n;
}

/* To the helpers: what sd-bus itself reads is sent through a stream. */
static bool is_to_helper(int fd) {
        int type = 0;
        socklen_t size = sizeof(type);

        return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

ssize_t send(int fd, const void *data, size_t size, int flags) {
        ssize_t n = syscall(SYS_sendto, fd, data, size, flags, NULL, 0);

        if (n > 0 && is_to_helper(fd))
                delay();
        return n;
}
