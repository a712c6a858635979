/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A helper process from its start to its end: see serve.h. */

#include "serve.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdalign.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/* The first descriptor that is neither stdin, stdout nor stderr. */
#define SERVE_SOCKET_FD 3

/* Room for one descriptor beside a packet. */
typedef union Attachment {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
} Attachment;

static int attached_to_reply = -EBADF;

/* Not on the stack: only the pages that are used are ever touched. */
static alignas(max_align_t) uint8_t request[HELPER_PACKET_MAX], reply[HELPER_PACKET_MAX];

int packet_send(int fd, const void *data, size_t size, int attached_fd, int flags) {
        /* An empty packet could not be distinguished from the end of the connection. */
        uint8_t head = 0;
        struct iovec parts[] = {
                { .iov_base = &head, .iov_len = sizeof(head) },
                { .iov_base = (void *) data, .iov_len = size },
        };
        struct msghdr message = { .msg_iov = parts, .msg_iovlen = ELEMENTSOF(parts) };
        Attachment attachment = {};

        if (attached_fd >= 0) {
                struct cmsghdr *header;

                message.msg_control = &attachment;
                message.msg_controllen = sizeof(attachment);
                header = CMSG_FIRSTHDR(&message);
                header->cmsg_level = SOL_SOCKET;
                header->cmsg_type = SCM_RIGHTS;
                header->cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(header), &attached_fd, sizeof(int));
        }

        return sendmsg(fd, &message, flags | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int packet_receive(int fd, void *data, int flags, size_t *ret_size, int *ret_attached_fd) {
        uint8_t head;
        struct iovec parts[] = {
                { .iov_base = &head, .iov_len = sizeof(head) },
                { .iov_base = data, .iov_len = HELPER_PACKET_MAX },
        };
        Attachment attachment = {};
        struct msghdr message = { .msg_iov = parts, .msg_iovlen = ELEMENTSOF(parts) };
        int attached_fd = -EBADF;
        ssize_t n;

        /* Without room the kernel closes what came with the packet. */
        if (ret_attached_fd) {
                message.msg_control = &attachment;
                message.msg_controllen = sizeof(attachment);
        }

        n = recvmsg(fd, &message, flags | MSG_CMSG_CLOEXEC);
        if (n < 0)
                return -errno;
        if (n == 0)
                return -EPIPE;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
                if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
                        memcpy(&attached_fd, CMSG_DATA(c), sizeof(int));

        *ret_size = (size_t) n - sizeof(head);
        if (ret_attached_fd)
                *ret_attached_fd = attached_fd;
        return 0;
}

void serve_attach(int fd) {
        closep(&attached_to_reply);
        attached_to_reply = fd;
}

/* The parent blocks the signals that it takes from its event loop. What a terminal sends to all its processes
 * is the parent's business: the helper ends with it. */
static void reset_signals(void) {
        sigset_t none;

        for (int sig = 1; sig < _NSIG; sig++)
                (void) signal(sig, sig == SIGINT || sig == SIGHUP ? SIG_IGN : SIG_DFL);

        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Whoever reads the parent's streams to their end must not wait for a helper that hangs. */
static void detach_streams(void) {
        int null_fd = open("/dev/null", O_RDWR | O_NOCTTY);

        for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++)
                if (null_fd < 0 || dup2(null_fd, stream) < 0)
                        (void) close(stream);

        if (null_fd > STDERR_FILENO)
                (void) close(null_fd);
}

static void serve_one(helper_serve_t serve, void *userdata) {
        size_t size;
        int r;

        r = packet_receive(SERVE_SOCKET_FD, request, 0, &size, NULL);
        if (r == -EINTR)
                return;
        if (r < 0)
                _exit(r == -EPIPE ? EXIT_SUCCESS : EXIT_FAILURE);

        size = serve(request, size, reply, userdata);
        assert(size <= HELPER_PACKET_MAX);

        do
                r = packet_send(SERVE_SOCKET_FD, reply, size, attached_to_reply, 0);
        while (r == -EINTR);
        if (r < 0)
                _exit(EXIT_FAILURE);
        /* Not written without need: it is on a page that is shared with the daemon. */
        if (attached_to_reply >= 0)
                serve_attach(-EBADF);
}

noreturn void serve_run(const char *name, int socket_fd, helper_serve_t serve, void *userdata) {
        (void) prctl(PR_SET_NAME, name);

        /* While a copy of the other end is open here, its closing there would not be seen. */
        if (dup2(socket_fd, SERVE_SOCKET_FD) < 0 || close_range(SERVE_SOCKET_FD + 1, ~0U, 0) < 0)
                _exit(EXIT_FAILURE);

        detach_streams();
        reset_signals();

        /* Memory locks are not inherited. Only what is there gets locked: this costs no memory. */
        (void) mlockall(MCL_CURRENT | MCL_ONFAULT);

        for (;;)
                serve_one(serve, userdata);
}
