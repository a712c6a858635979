/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The event loop watches the socket, and for a forked helper also its pidfd. The death of another program's
 * helper is seen only as the end of the connection. */

#include "helper.h"

#include <stdalign.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "child.h"

/* Limits restarts: a helper that dies as soon as it is started (for example by a seccomp filter) must not
 * make the daemon fork endlessly. */
#define DEATHS_INTERVAL_USEC (1 * USEC_PER_SEC)
#define DEATHS_BURST 20

/* How long to wait for an idle helper to exit after its socket was closed, so that no zombie remains. It
 * blocks in recv() and needs microseconds. */
#define IDLE_END_MSEC 10

struct Helper {
        sd_event *event;
        HelperOptions options;

        /* Created once, and disabled while there is no helper, so that a new helper needs no memory. */
        sd_event_source *socket_source;
        sd_event_source *death_source;

        int socket_fd; /* negative while there is no helper */
        Child child;   /* none unless it was forked */
        int child_fd;  /* its end of the socket, until it has been forked */
        int attached_fd;
        bool busy;
};

/* The reply that is being handled. One buffer for all helpers, since callbacks do not nest and the memory is
 * locked. */
static alignas(max_align_t) uint8_t received[HELPER_PACKET_MAX];

/* Those that helpers_start() forks. */
static bool collects;
static Helper *collected[HELPERS_COLLECTED_MAX];
static size_t n_collected;

/* Runs in the helper process. */
static void helper_run(void *userdata) {
        const HelperOptions *options = userdata;

        if (options->prepare)
                options->prepare();
        serve_run(options->serve, options->userdata);
}

static void helper_close(Helper *helper) {
        closep(&helper->socket_fd);
        closep(&helper->child_fd);
        closep(&helper->attached_fd);
        helper->socket_fd = helper->child_fd = helper->attached_fd = -EBADF;
}

/* Forgets the helper process. */
static void helper_detach(Helper *helper) {
        (void) sd_event_source_set_enabled(helper->socket_source, SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(helper->death_source, SD_EVENT_OFF);
        helper_close(helper);
        child_leave(&helper->child, 0);
        helper->busy = false;
}

/* Watches a descriptor. Creates *source if it is NULL. */
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

/* Connects to the program that forks helpers. Does not wait until it accepts: packets are queued in the
 * socket. */
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

/* The steps before the fork. */
static int helper_open(Helper *helper) {
        int fds[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;

        helper->socket_fd = fds[0];
        helper->child_fd = fds[1];
        return 0;
}

/* Must not write to memory that is shared with helpers. */
static int helper_fork(const Helper *helper, Child *ret) {
        const ChildOptions options = {
                .name = helper->options.name,
                .fd = helper->child_fd,
                .run = helper_run,
                .userdata = (void *) &helper->options,
        };

        return child_start(&options, ret);
}

/* The steps after the fork. */
static int helper_watch(Helper *helper) {
        int r;

        closep(&helper->child_fd);
        helper->child_fd = -EBADF;

        r = watch(helper, helper->socket_fd, on_socket, &helper->socket_source);
        if (r >= 0)
                r = watch(helper, helper->child.pidfd, on_death, &helper->death_source);
        if (r >= 0)
                r = sd_event_source_set_ratelimit(helper->death_source, DEATHS_INTERVAL_USEC, DEATHS_BURST);
        return r;
}

/* Starts the helper. There must be none. */
static int helper_start(Helper *helper) {
        int r;

        if (helper->options.socket_path && helper_connect(helper) >= 0)
                return 0;

        r = helper_open(helper);
        if (r >= 0 && collects && n_collected < HELPERS_COLLECTED_MAX) {
                collected[n_collected++] = helper;
                return 0;
        }
        if (r >= 0)
                r = helper_fork(helper, &helper->child);
        if (r >= 0)
                r = helper_watch(helper);
        if (r < 0)
                helper_detach(helper);
        return r;
}

/* The helper died. It may have sent a reply before. */
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
        /* If this fails, helper_ensure() and the next request try again; the latter returns the error. */
        if (start_another)
                (void) helper_start(helper);

        /* Last, since the callback may send the next request, or free the helper. */
        if (busy)
                helper->options.on_reply(
                                answer, answer < 0 ? NULL : received, size, helper->options.userdata);
}

/* A reply arrived, or the connection ended. */
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
                if (helper->child.pid > 0) /* It is exiting: on_death() follows. */
                        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
                else
                        /* Not replaced until helper_ensure(), to avoid endless connections to a program that
                         * can't fork. */
                        helper_lost(helper, /* start_another= */ false);
                return 0;
        }

        /* Last, since the callback may send the next request, or free the helper. */
        helper->busy = false;
        helper->options.on_reply(0, received, size, helper->options.userdata);
        return 0;
}

/* A forked helper died: it is replaced. */
static int on_death(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        helper_lost(userdata, /* start_another= */ true);
        return 0;
}

int helper_new_full(sd_event *event, const HelperOptions *options, Helper **ret) {
        _cleanup_(helper_freep) Helper *helper = NULL;
        int r;

        if (strlen(options->name) > CHILD_NAME_MAX)
                return -EINVAL;

        helper = calloc(1, sizeof(*helper));
        if (!helper)
                return -ENOMEM;

        helper->event = sd_event_ref(event);
        helper->options = *options;
        helper->socket_fd = helper->child_fd = helper->attached_fd = -EBADF;
        helper->child = CHILD_NONE;

        r = helper_start(helper);
        if (r < 0)
                return r;

        *ret = TAKE_POINTER(helper);
        return 0;
}

void helpers_collect(void) {
        collects = true;
}

/* All writes to memory come first, then the forks, then the watches. */
int helpers_start(void) {
        Child children[HELPERS_COLLECTED_MAX];
        int r = 0;

        for (size_t i = 0; i < n_collected; i++) {
                children[i] = CHILD_NONE;
                if (r >= 0)
                        r = helper_fork(collected[i], children + i);
        }
        for (size_t i = 0; i < n_collected; i++)
                collected[i]->child = children[i];

        for (size_t i = 0; i < n_collected && r >= 0; i++)
                r = helper_watch(collected[i]);
        n_collected = 0;
        collects = false;
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

Helper *helper_free(Helper *helper) {
        if (!helper)
                return NULL;

        for (size_t i = 0; i < n_collected; i++)
                if (collected[i] == helper)
                        collected[i--] = collected[--n_collected];

        sd_event_source_disable_unref(helper->socket_source);
        sd_event_source_disable_unref(helper->death_source);
        sd_event_unref(helper->event);

        /* An idle forked helper exits now. A busy one may hang and is not waited for: it exits after its
         * request, or with this process. */
        helper_close(helper);
        child_leave(&helper->child, helper->busy ? 0 : IDLE_END_MSEC);

        free(helper);
        return NULL;
}

/* Whether the helper has died since the event loop last ran. */
static bool helper_is_gone(Helper *helper) {
        char byte;

        if (helper->child.pid > 0)
                return child_has_ended(&helper->child);
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

        /* If a dying helper has already closed its end, its death is the answer to this request. */
        r = packet_send(helper->socket_fd, request, size, -EBADF, MSG_DONTWAIT);
        if (r < 0 && r != -EPIPE && r != -ECONNRESET)
                return r;

        helper->busy = true;
        return 0;
}

void helper_ensure(Helper *helper) {
        child_reap_left();
        if (helper->socket_fd < 0)
                (void) helper_start(helper);
}

int helper_acquire_attached(Helper *helper) {
        return take_fd(&helper->attached_fd);
}

bool helper_is_remote(const Helper *helper) {
        return helper->socket_fd >= 0 && helper->child.pid == 0;
}
