/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A helper process: see helper.h. The daemon watches its end of the socket in its event loop, and a pidfd of
 * a helper that it forked; of others the end of the connection is all it sees. */

#include "helper.h"

#include <poll.h>
#include <signal.h>
#include <stdalign.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

/* A helper that dies as soon as it is started (a seccomp filter would do that) must not make the daemon fork
 * without end: no more deaths than these are answered by a new helper. */
#define DEATHS_INTERVAL_USEC (1 * USEC_PER_SEC)
#define DEATHS_BURST 20

/* How long an idle helper is given to end after its socket was closed, so that no zombie remains. It sits in
 * recv() and needs microseconds. */
#define IDLE_END_MSEC 10

#define LEFTOVERS_MAX 64

struct Helper {
        sd_event *event;
        HelperOptions options;

        /* Made once and off while no helper lives, so that a new helper needs no memory. */
        sd_event_source *socket_source;
        sd_event_source *death_source;

        int socket_fd; /* negative while no helper lives */
        pid_t pid;     /* 0 unless it was forked */
        int pidfd;
        int attached_fd;
        bool busy;
};

/* What a reply is received into: it lives as long as its callback runs, and there is one of these at a time.
 * For all helpers together, since it stays in memory. */
static alignas(max_align_t) uint8_t received[HELPER_PACKET_MAX];

/* The helper process, from its start to its end. */
static noreturn void helper_run(const Helper *helper, int socket_fd, int daemon_socket_fd, pid_t daemon_pid) {
        /* A daemon that died before the first line took effect sends no signal any more. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != daemon_pid)
                _exit(EXIT_FAILURE);

        (void) close(daemon_socket_fd);
        if (helper->options.prepare)
                helper->options.prepare();
        serve_run(helper->options.name, socket_fd, helper->options.serve, helper->options.userdata);
}

/* The ends of a helper's socket until it is watched, and its process; what is left of them then is closed. */
typedef struct Sockets {
        int ours, theirs;
        pid_t pid;
} Sockets;

#define SOCKETS_NONE ((Sockets){ .ours = -EBADF, .theirs = -EBADF })

static int sockets_open(Sockets *sockets) {
        int fds[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;
        sockets->ours = fds[0];
        sockets->theirs = fds[1];
        return 0;
}

static void sockets_done(Sockets *sockets) {
        closep(&sockets->ours);
        closep(&sockets->theirs);
        if (sockets->pid > 0) {
                /* It has not been given any work, so that this wait is short. */
                (void) kill(sockets->pid, SIGKILL);
                (void) waitpid(sockets->pid, NULL, 0);
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
        closep(&helper->attached_fd);
        helper->socket_fd = helper->pidfd = helper->attached_fd = -EBADF;
        helper->pid = 0;
        helper->busy = false;
}

/* Watches a descriptor with a source that is made when there is none yet. */
static int watch(Helper *helper, int fd, sd_event_io_handler_t handler, sd_event_source **source) {
        int r;

        if (!*source) {
                r = sd_event_add_io(helper->event, source, fd, EPOLLIN, handler, helper);
                if (r < 0)
                        return r;
                return sd_event_source_set_priority(*source, helper->options.priority);
        }

        r = sd_event_source_set_io_fd(*source, fd);
        if (r < 0)
                return r;

        return sd_event_source_set_enabled(*source, SD_EVENT_ON);
}

static int on_socket(sd_event_source *source, int fd, uint32_t revents, void *userdata);
static int on_death(sd_event_source *source, int fd, uint32_t revents, void *userdata);

/* Connects to the program that forks helpers. Does not wait for it: what is sent waits in the socket. */
static int helper_connect(Helper *helper) {
        _cleanup_close_ int fd = -EBADF;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int r;

        if (strlen(helper->options.socket_path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, helper->options.socket_path, strlen(helper->options.socket_path));

        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;

        r = watch(helper, fd, on_socket, &helper->socket_source);
        if (r < 0)
                return r;

        helper->socket_fd = take_fd(&fd);
        return 0;
}

static int helper_fork(Helper *helper, Sockets *sockets) {
        pid_t daemon_pid = getpid(), pid;

        /* Not fork(3), whose handlers write to memory that daemon and helpers share otherwise. */
        pid = _Fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                helper_run(helper, sockets->theirs, sockets->ours, daemon_pid);
        sockets->pid = pid;
        return 0;
}

/* Watches a process that was forked. */
static int helper_adopt(Helper *helper, Sockets *sockets) {
        _cleanup_close_ int pidfd = pidfd_open(sockets->pid, 0);
        int r;

        r = pidfd < 0 ? -errno : watch(helper, sockets->ours, on_socket, &helper->socket_source);
        if (r >= 0)
                r = watch(helper, pidfd, on_death, &helper->death_source);
        if (r >= 0)
                r = sd_event_source_set_ratelimit(helper->death_source, DEATHS_INTERVAL_USEC, DEATHS_BURST);
        if (r < 0) {
                helper_detach(helper);
                return r;
        }

        helper->pid = sockets->pid;
        helper->socket_fd = take_fd(&sockets->ours);
        helper->pidfd = take_fd(&pidfd);
        sockets->pid = 0;
        return 0;
}

/* Starts the helper; there is none now. */
static int helper_start(Helper *helper) {
        _cleanup_(sockets_done) Sockets sockets = SOCKETS_NONE;
        int r;

        if (helper->options.socket_path && helper_connect(helper) >= 0)
                return 0;

        r = sockets_open(&sockets);
        if (r >= 0)
                r = helper_fork(helper, &sockets);
        if (r >= 0)
                r = helper_adopt(helper, &sockets);
        return r;
}

/* The helper is gone, with the answer that it still sent, or without one. */
static void helper_lost(Helper *helper, bool start_another) {
        bool busy = helper->busy;
        size_t size = 0;
        int answer;

        do
                answer = packet_receive(helper->socket_fd, received, MSG_DONTWAIT, &size, NULL);
        while (answer == -EINTR);
        if (answer < 0)
                answer = -EPIPE;

        helper_detach(helper);
        /* Where this fails, helper_ensure() tries again, and the next request, which returns the reason. */
        if (start_another)
                (void) helper_start(helper);

        /* Last, since the callback may send the next request, or free the helper. */
        if (busy)
                helper->options.on_reply(
                                answer, answer < 0 ? NULL : received, size, helper->options.userdata);
}

/* A reply, or the end of the connection. */
static int on_socket(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Helper *helper = userdata;
        size_t size;
        int r;

        closep(&helper->attached_fd);
        helper->attached_fd = -EBADF;
        r = packet_receive(fd, received, MSG_DONTWAIT, &size, &helper->attached_fd);
        if (r == -EAGAIN || r == -EINTR)
                return 0;
        if (r < 0) {
                if (helper->pid > 0) /* It is ending: on_death() does the rest. */
                        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
                else
                        /* Not replaced before helper_ensure(): a program that can't fork must not be called
                         * upon without end. */
                        helper_lost(helper, /* start_another= */ false);
                return 0;
        }

        /* Last, since the callback may send the next request, or free the helper. */
        helper->busy = false;
        helper->options.on_reply(0, received, size, helper->options.userdata);
        return 0;
}

/* A forked helper died: a new one takes its place. */
static int on_death(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Helper *helper = userdata;

        if (helper_reap(helper))
                helper_lost(helper, /* start_another= */ true);
        return 0;
}

static int helper_allocate(sd_event *event, const HelperOptions *options, Helper **ret) {
        Helper *helper;

        if (strlen(options->name) > HELPER_NAME_MAX)
                return -EINVAL;

        helper = calloc(1, sizeof(*helper));
        if (!helper)
                return -ENOMEM;

        helper->event = sd_event_ref(event);
        helper->options = *options;
        helper->socket_fd = helper->pidfd = helper->attached_fd = -EBADF;

        *ret = helper;
        return 0;
}

int helper_new_full(sd_event *event, const HelperOptions *options, Helper **ret) {
        _cleanup_(helper_freep) Helper *helper = NULL;
        int r;

        r = helper_allocate(event, options, &helper);
        if (r >= 0)
                r = helper_start(helper);
        if (r < 0)
                return r;

        *ret = TAKE_POINTER(helper);
        return 0;
}

/* First all memory is written to, then they are forked, and then watched. */
static int start_together(Helper *const *helpers, Sockets *sockets, size_t n) {
        int r = 0;

        for (size_t i = 0; i < n && r >= 0; i++)
                if (!helpers[i]->options.socket_path || helper_connect(helpers[i]) < 0)
                        r = sockets_open(sockets + i);
        for (size_t i = 0; i < n && r >= 0; i++)
                if (sockets[i].ours >= 0)
                        r = helper_fork(helpers[i], sockets + i);
        for (size_t i = 0; i < n && r >= 0; i++)
                if (sockets[i].ours >= 0)
                        r = helper_adopt(helpers[i], sockets + i);
        return r;
}

int helper_new_many(sd_event *event, const HelperOptions *options, size_t n, Helper **ret) {
        Helper *helpers[HELPERS_AT_ONCE_MAX] = {};
        Sockets sockets[HELPERS_AT_ONCE_MAX];
        int r = n <= HELPERS_AT_ONCE_MAX ? 0 : -E2BIG;

        for (size_t i = 0; i < n && r >= 0; i++) {
                sockets[i] = SOCKETS_NONE;
                r = helper_allocate(event, options + i, helpers + i);
        }
        if (r >= 0) {
                r = start_together(helpers, sockets, n);
                for (size_t i = 0; i < n; i++)
                        sockets_done(sockets + i);
        }

        for (size_t i = 0; i < n && i < HELPERS_AT_ONCE_MAX; i++)
                if (r < 0)
                        helper_free(helpers[i]);
                else
                        ret[i] = helpers[i];
        return r;
}

int helper_new(sd_event *event,
               const char *name,
               helper_serve_t serve,
               helper_reply_t on_reply,
               void *userdata,
               Helper **ret) {
        const HelperOptions options = {
                .name = name,
                .serve = serve,
                .on_reply = on_reply,
                .userdata = userdata,
        };

        return helper_new_full(event, &options, ret);
}

/* Helpers that were freed before they had ended: reaped when they have, so that no zombie stays. More than
 * these are left to whoever inherits them. */
static pid_t leftovers[LEFTOVERS_MAX];
static size_t n_leftovers;

static void reap_leftovers(void) {
        for (size_t i = 0; i < n_leftovers;) {
                siginfo_t info = {};

                if (waitid(P_PID, (id_t) leftovers[i], &info, WEXITED | WNOHANG) >= 0 && info.si_pid == 0)
                        i++;
                else
                        leftovers[i] = leftovers[--n_leftovers];
        }
}

/* A forked helper that is idle ends now. One at work may hang, and nobody waits for it: it ends with its
 * work, or with this process. */
static void helper_end(Helper *helper) {
        closep(&helper->socket_fd);
        closep(&helper->attached_fd);
        if (helper->pid == 0)
                return;

        if (!helper->busy) {
                struct pollfd death = { .fd = helper->pidfd, .events = POLLIN };

                (void) poll(&death, 1, IDLE_END_MSEC);
        }
        if (!helper_reap(helper) && n_leftovers < LEFTOVERS_MAX)
                leftovers[n_leftovers++] = helper->pid;
        closep(&helper->pidfd);
}

Helper *helper_free(Helper *helper) {
        if (!helper)
                return NULL;

        sd_event_source_disable_unref(helper->socket_source);
        sd_event_source_disable_unref(helper->death_source);
        sd_event_unref(helper->event);
        helper_end(helper);

        free(helper);
        return NULL;
}

/* It may have died since the event loop last ran. */
static bool helper_is_gone(Helper *helper) {
        char byte;

        if (helper->pid > 0)
                return helper_reap(helper);
        return recv(helper->socket_fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) == 0;
}

int helper_request(Helper *helper, const void *request, size_t size) {
        int r;

        if (size > HELPER_PACKET_MAX)
                return -EMSGSIZE;
        if (helper->busy)
                return -EBUSY;

        if (helper->socket_fd >= 0 && helper_is_gone(helper))
                helper_detach(helper);

        if (helper->socket_fd < 0) {
                r = helper_start(helper);
                if (r < 0)
                        return r;
        }

        /* One that is just dying has closed its end already: then its death answers this request. */
        r = packet_send(helper->socket_fd, request, size, -EBADF, MSG_DONTWAIT);
        if (r < 0 && r != -EPIPE && r != -ECONNRESET)
                return r;

        helper->busy = true;
        return 0;
}

void helper_ensure(Helper *helper) {
        reap_leftovers();
        if (helper->socket_fd < 0)
                (void) helper_start(helper);
}

bool helper_busy(const Helper *helper) {
        return helper->busy;
}

int helper_take_attached(Helper *helper) {
        return take_fd(&helper->attached_fd);
}

bool helper_is_remote(const Helper *helper) {
        return helper->socket_fd >= 0 && helper->pid == 0;
}

pid_t helper_pid(const Helper *helper) {
        return helper->pid;
}
