/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A helper process: see helper.h. Daemon and helper hold the two ends of a SOCK_SEQPACKET socket pair; the
 * daemon watches its end and a pidfd of the helper in its event loop. */

#include "helper.h"

#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdalign.h>
#include <stdnoreturn.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* PR_SET_NAME cuts at 15 bytes. */
#define NAME_MAX_BYTES 15

/* The first descriptor that is neither stdin, stdout nor stderr: the helper has its socket there. */
#define HELPER_SOCKET_FD 3

/* A helper that dies as soon as it is started (a seccomp filter would do that) must not make the daemon fork
 * without end: no more deaths than these are answered by a new helper. */
#define DEATHS_INTERVAL_USEC (1 * USEC_PER_SEC)
#define DEATHS_BURST 20

/* How long an idle helper is given to end after its socket was closed, so that no zombie remains. It sits in
 * recv() and needs microseconds. */
#define IDLE_END_MSEC 10

struct Helper {
        sd_event *event;
        helper_serve_t serve;
        helper_reply_t on_reply;
        void *userdata;
        char name[NAME_MAX_BYTES + 1];

        /* Made once and off while no helper lives, so that a new helper needs no memory. */
        sd_event_source *socket_source;
        sd_event_source *death_source;

        pid_t pid; /* 0 while no helper lives */
        int socket_fd;
        int pidfd;
        bool busy;

        alignas(max_align_t) uint8_t reply[HELPER_PACKET_MAX];
};

/* Sends one packet. Each starts with a byte of its own, since an empty packet could not be told from the end
 * of the connection. */
static int packet_send(int fd, const void *data, size_t size, int flags) {
        uint8_t head = 0;
        struct iovec parts[] = {
                { .iov_base = &head, .iov_len = sizeof(head) },
                { .iov_base = (void *) data, .iov_len = size },
        };
        struct msghdr message = { .msg_iov = parts, .msg_iovlen = ELEMENTSOF(parts) };

        return sendmsg(fd, &message, flags | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Receives one packet into data, which has room for HELPER_PACKET_MAX bytes, and gives its size. -EPIPE when
 * the other end is closed. */
static int packet_receive(int fd, void *data, int flags, size_t *ret_size) {
        uint8_t head;
        struct iovec parts[] = {
                { .iov_base = &head, .iov_len = sizeof(head) },
                { .iov_base = data, .iov_len = HELPER_PACKET_MAX },
        };
        struct msghdr message = { .msg_iov = parts, .msg_iovlen = ELEMENTSOF(parts) };
        ssize_t n;

        n = recvmsg(fd, &message, flags);
        if (n < 0)
                return -errno;
        if (n == 0)
                return -EPIPE;

        *ret_size = (size_t) n - sizeof(head);
        return 0;
}

/* All signals as by default and none blocked: the daemon blocks those that it takes from its event loop. But
 * what a terminal sends to all its processes is the daemon's business: the helper ends with it. */
static void reset_signals(void) {
        sigset_t none;

        for (int sig = 1; sig < _NSIG; sig++)
                (void) signal(sig, sig == SIGINT || sig == SIGHUP ? SIG_IGN : SIG_DFL);

        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The daemon's streams are not the helper's to hold: when it hangs, whoever reads them to their end would
 * wait for it. */
static void detach_streams(void) {
        int null_fd = open("/dev/null", O_RDWR | O_NOCTTY);

        for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++)
                if (null_fd < 0 || dup2(null_fd, stream) < 0)
                        (void) close(stream);

        if (null_fd > STDERR_FILENO)
                (void) close(null_fd);
}

/* The helper process, from its birth to its end. Leaves with _exit(): what the daemon registered for its own
 * exit is not the helper's to run. */
static noreturn void helper_run(const Helper *helper, int socket_fd, int daemon_socket_fd, pid_t daemon_pid) {
        alignas(max_align_t) uint8_t request[HELPER_PACKET_MAX];
        alignas(max_align_t) uint8_t reply[HELPER_PACKET_MAX];

        /* A daemon that died before the first line took effect sends no signal any more. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != daemon_pid)
                _exit(EXIT_FAILURE);

        (void) prctl(PR_SET_NAME, helper->name);

        /* While a copy of the daemon's end is open here, its closing there would not be seen. */
        (void) close(daemon_socket_fd);
        if (dup2(socket_fd, HELPER_SOCKET_FD) < 0 || close_range(HELPER_SOCKET_FD + 1, ~0U, 0) < 0)
                _exit(EXIT_FAILURE);

        detach_streams();
        reset_signals();

        /* Memory locks are not inherited. Only what is there gets locked: this costs no memory. */
        (void) mlockall(MCL_CURRENT | MCL_ONFAULT);

        for (;;) {
                size_t size;
                int r;

                r = packet_receive(HELPER_SOCKET_FD, request, 0, &size);
                if (r == -EINTR)
                        continue;
                if (r < 0)
                        _exit(r == -EPIPE ? EXIT_SUCCESS : EXIT_FAILURE);

                size = helper->serve(request, size, reply, helper->userdata);
                assert(size <= HELPER_PACKET_MAX);

                do
                        r = packet_send(HELPER_SOCKET_FD, reply, size, 0);
                while (r == -EINTR);
                if (r < 0)
                        _exit(EXIT_FAILURE);
        }
}

/* Reaps the helper if it has ended. Never waits. */
static bool helper_reap(Helper *helper) {
        siginfo_t info = {};

        /* An error is ECHILD: somebody else reaped it. */
        return waitid(P_PID, (id_t) helper->pid, &info, WEXITED | WNOHANG) < 0 || info.si_pid > 0;
}

/* Lets go of the helper process. */
static void helper_detach(Helper *helper) {
        (void) sd_event_source_set_enabled(helper->socket_source, SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(helper->death_source, SD_EVENT_OFF);
        closep(&helper->socket_fd);
        closep(&helper->pidfd);
        helper->socket_fd = helper->pidfd = -EBADF;
        helper->pid = 0;
        helper->busy = false;
}

/* Watches a descriptor with a source that is made when there is none yet. */
static int watch(Helper *helper, int fd, sd_event_io_handler_t handler, sd_event_source **source) {
        int r;

        if (!*source)
                return sd_event_add_io(helper->event, source, fd, EPOLLIN, handler, helper);

        r = sd_event_source_set_io_fd(*source, fd);
        if (r < 0)
                return r;

        return sd_event_source_set_enabled(*source, SD_EVENT_ON);
}

static int on_socket(sd_event_source *source, int fd, uint32_t revents, void *userdata);
static int on_death(sd_event_source *source, int fd, uint32_t revents, void *userdata);

/* Forks the helper; there is none now. */
static int helper_start(Helper *helper) {
        _cleanup_close_ int ours = -EBADF, theirs = -EBADF, pidfd = -EBADF;
        pid_t daemon_pid = getpid(), pid;
        int sockets[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
                return -errno;
        ours = sockets[0];
        theirs = sockets[1];

        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                helper_run(helper, theirs, ours, daemon_pid);

        pidfd = pidfd_open(pid, 0);
        r = pidfd < 0 ? -errno : watch(helper, ours, on_socket, &helper->socket_source);
        if (r >= 0)
                r = watch(helper, pidfd, on_death, &helper->death_source);
        if (r < 0) {
                /* It has not been given any work, so that this wait is short. */
                helper_detach(helper);
                (void) kill(pid, SIGKILL);
                (void) waitpid(pid, NULL, 0);
                return r;
        }

        helper->pid = pid;
        helper->socket_fd = take_fd(&ours);
        helper->pidfd = take_fd(&pidfd);
        return 0;
}

/* A reply, or the end of the connection. */
static int on_socket(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Helper *helper = userdata;
        size_t size;
        int r;

        r = packet_receive(fd, helper->reply, MSG_DONTWAIT, &size);
        if (r == -EAGAIN || r == -EINTR)
                return 0;
        if (r < 0) {
                /* It is ending: on_death() does the rest. */
                (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
                return 0;
        }

        /* Last, since the callback may send the next request, or free the helper. */
        helper->busy = false;
        helper->on_reply(0, helper->reply, size, helper->userdata);
        return 0;
}

/* The helper died: a new one takes its place, and the open request gets the answer that the dead one still
 * sent, or an error. */
static int on_death(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Helper *helper = userdata;
        bool busy = helper->busy;
        size_t size = 0;
        int answer;

        if (!helper_reap(helper))
                return 0;

        do
                answer = packet_receive(helper->socket_fd, helper->reply, MSG_DONTWAIT, &size);
        while (answer == -EINTR);
        if (answer < 0)
                answer = -EPIPE;

        helper_detach(helper);
        /* Where this fails, helper_ensure() tries again, and the next request, which tells the reason. */
        (void) helper_start(helper);

        /* Last, since the callback may send the next request, or free the helper. */
        if (busy)
                helper->on_reply(answer, answer < 0 ? NULL : helper->reply, size, helper->userdata);
        return 0;
}

int helper_new(sd_event *event,
               const char *name,
               helper_serve_t serve,
               helper_reply_t on_reply,
               void *userdata,
               Helper **ret) {
        _cleanup_(helper_freep) Helper *helper = NULL;
        int r;

        if (strlen(name) > NAME_MAX_BYTES)
                return -EINVAL;

        helper = calloc(1, sizeof(*helper));
        if (!helper)
                return -ENOMEM;

        helper->event = sd_event_ref(event);
        helper->serve = serve;
        helper->on_reply = on_reply;
        helper->userdata = userdata;
        helper->socket_fd = helper->pidfd = -EBADF;
        memcpy(helper->name, name, strlen(name) + 1);

        r = helper_start(helper);
        if (r < 0)
                return r;

        r = sd_event_source_set_ratelimit(helper->death_source, DEATHS_INTERVAL_USEC, DEATHS_BURST);
        if (r < 0)
                return r;

        *ret = TAKE_POINTER(helper);
        return 0;
}

Helper *helper_free(Helper *helper) {
        if (!helper)
                return NULL;

        sd_event_source_disable_unref(helper->socket_source);
        sd_event_source_disable_unref(helper->death_source);
        sd_event_unref(helper->event);

        if (helper->pid > 0) {
                closep(&helper->socket_fd);

                /* An idle helper ends now. One at work may hang, and nobody waits for it: it ends with its
                 * work, or with this process, and whoever inherits it reaps it. */
                if (!helper->busy) {
                        struct pollfd death = { .fd = helper->pidfd, .events = POLLIN };

                        (void) poll(&death, 1, IDLE_END_MSEC);
                }
                (void) helper_reap(helper);
                closep(&helper->pidfd);
        }

        free(helper);
        return NULL;
}

int helper_request(Helper *helper, const void *request, size_t size) {
        int r;

        if (size > HELPER_PACKET_MAX)
                return -EMSGSIZE;
        if (helper->busy)
                return -EBUSY;

        /* It may have died since the event loop looked last. */
        if (helper->pid > 0 && helper_reap(helper))
                helper_detach(helper);

        if (helper->pid == 0) {
                r = helper_start(helper);
                if (r < 0)
                        return r;
        }

        /* One that is just dying has closed its end already: then its death answers this request. */
        r = packet_send(helper->socket_fd, request, size, MSG_DONTWAIT);
        if (r < 0 && r != -EPIPE && r != -ECONNRESET)
                return r;

        helper->busy = true;
        return 0;
}

void helper_ensure(Helper *helper) {
        if (helper->pid == 0)
                (void) helper_start(helper);
}

bool helper_busy(const Helper *helper) {
        return helper->busy;
}

pid_t helper_pid(const Helper *helper) {
        return helper->pid;
}
