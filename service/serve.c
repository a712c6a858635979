/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "serve.h"

#include <assert.h>
#include <stdalign.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "child.h"

#define PAGE_SIZE 4096

/* Room for one descriptor beside a packet. */
typedef union Attachment {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
} Attachment;

/* Room for a request, and for its reply right behind it. Small ones, nearly all of them, share a page. Not on
 * the stack, so that only pages in use are touched. */
static struct {
        alignas(PAGE_SIZE) int attached_fd;
        alignas(max_align_t) uint8_t data[2 * HELPER_PACKET_MAX];
} packets;

static_assert(HELPER_PACKET_MAX % alignof(max_align_t) == 0, "A reply must find room behind any request");

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

        /* Without a control buffer the kernel closes descriptors that come with the packet. */
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
        closep(&packets.attached_fd);
        packets.attached_fd = fd;
}

static void serve_one(helper_serve_t serve, void *userdata) {
        uint8_t *reply;
        size_t size;
        int r;

        r = packet_receive(CHILD_FD, packets.data, 0, &size, NULL);
        if (r == -EINTR)
                return;
        if (r < 0)
                _exit(r == -EPIPE ? EXIT_SUCCESS : EXIT_FAILURE);

        reply = packets.data +
                (size + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
        size = serve(packets.data, size, reply, userdata);
        assert(size <= HELPER_PACKET_MAX);

        do
                r = packet_send(CHILD_FD, reply, size, packets.attached_fd, 0);
        while (r == -EINTR);
        if (r < 0)
                _exit(EXIT_FAILURE);
        serve_attach(-EBADF);
}

noreturn void serve_run(helper_serve_t serve, void *userdata) {
        /* Memory locks are not inherited. Locks only what is resident, so it costs no memory. */
        (void) mlockall(MCL_CURRENT | MCL_ONFAULT);
        packets.attached_fd = -EBADF;

        for (;;)
                serve_one(serve, userdata);
}
