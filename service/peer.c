/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A program connected to a socket: see peer.h. */

#include "peer.h"

#include <stdio.h>
#include <sys/socket.h>

#include "bus-reader.h"

#define READ_SIZE BUS_MESSAGE_SIZE_MAX

/* A peer that has left more unread than this when something is sent to it is disconnected. One message may be
 * longer. */
#define UNSENT_MAX ((size_t) 256 * 1024)

/* With its sender a call must still fit into a packet. */
#define CALL_SIZE_MAX (BUS_MESSAGE_SIZE_MAX - BUS_HEADER_SENDER_SIZE_MAX)

int peer_new(int fd, uid_t uid, pid_t pid, const char *name, const char *guid, Peer **ret) {
        Peer *peer;

        peer = calloc(1, sizeof(*peer));
        if (!peer)
                return -ENOMEM;

        peer->fd = fd;
        peer->pid = pid;
        peer->auth = (PeerAuth){ .uid = uid, .guid = guid };
        peer->connect_usec = usec_now(CLOCK_MONOTONIC);
        (void) snprintf(peer->name, sizeof(peer->name), "%s", name);
        *ret = peer;
        return 0;
}

Peer *peer_free(Peer *peer) {
        if (!peer)
                return NULL;

        for (size_t i = 0; i < peer->n_fds; i++)
                (void) close(peer->fds[i].fd);
        byte_queue_clear(&peer->received);
        byte_queue_clear(&peer->unsent);
        free(peer->call);
        closep(&peer->fd);
        free(peer);
        return NULL;
}

bool peer_is_authenticated(const Peer *peer) {
        return peer->auth.state == PEER_AUTH_DONE;
}

/* Sending */

/* Sends bytes up to the next descriptor, or that descriptor with the bytes up to the one after it. */
static ssize_t send_some(Peer *peer) {
        union {
                struct cmsghdr header;
                uint8_t buffer[CMSG_SPACE(sizeof(int))];
        } control = {};
        const bool has_fd = peer->n_fds > 0 && peer->fds[0].offset == 0;
        const size_t next = has_fd ? 1 : 0;
        struct iovec data = {
                .iov_base = (void *) byte_queue_first(&peer->unsent),
                .iov_len = peer->n_fds > next ? peer->fds[next].offset : byte_queue_count(&peer->unsent),
        };
        struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1 };

        if (has_fd) {
                message.msg_control = &control;
                message.msg_controllen = sizeof(control.buffer);
                control.header = (struct cmsghdr){
                        .cmsg_len = CMSG_LEN(sizeof(int)),
                        .cmsg_level = SOL_SOCKET,
                        .cmsg_type = SCM_RIGHTS,
                };
                memcpy(CMSG_DATA(&control.header), &peer->fds[0].fd, sizeof(int));
        }

        return sendmsg(peer->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* A descriptor is sent with its first byte. */
static void drop_sent(Peer *peer, size_t n) {
        size_t kept = 0;

        byte_queue_drop(&peer->unsent, n);
        for (size_t i = 0; i < peer->n_fds; i++)
                if (peer->fds[i].offset < n)
                        (void) close(peer->fds[i].fd);
                else
                        peer->fds[kept++] =
                                        (PeerFd){ .offset = peer->fds[i].offset - n, .fd = peer->fds[i].fd };
        peer->n_fds = kept;
}

int peer_flush(Peer *peer) {
        while (byte_queue_count(&peer->unsent) > 0) {
                ssize_t n = send_some(peer);

                if (n < 0)
                        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
                drop_sent(peer, (size_t) n);
        }

        return 0;
}

/* All descriptors of a message go with bytes of it. */
int peer_send(Peer *peer, const void *message, size_t size, const int *fds, size_t n_fds) {
        const size_t begin = byte_queue_count(&peer->unsent);
        int r = 0;

        if (n_fds > 0 && !peer->auth.passes_fds)
                r = -EOPNOTSUPP;
        if (begin > UNSENT_MAX || n_fds > PEER_FDS_MAX - peer->n_fds || n_fds > size)
                r = -ENOBUFS;
        if (r >= 0)
                r = byte_queue_append(&peer->unsent, message, size);

        for (size_t i = 0; i < n_fds; i++)
                if (r >= 0)
                        peer->fds[peer->n_fds++] = (PeerFd){ .offset = begin + i, .fd = fds[i] };
                else
                        (void) close(fds[i]);

        return r >= 0 && begin == 0 ? peer_flush(peer) : r;
}

/* Receiving */

static int take_line(Peer *peer) {
        char reply[PEER_AUTH_REPLY_MAX + 1];
        ssize_t n;

        n = peer_auth_process(
                        &peer->auth, byte_queue_first(&peer->received), byte_queue_count(&peer->received),
                        reply);
        if (n <= 0)
                return (int) n;

        byte_queue_drop(&peer->received, (size_t) n);
        return peer_send(peer, reply, strlen(reply), NULL, 0) < 0 ? -ECONNRESET : 1;
}

/* Keeps a call, with its sender. One that is too long is replaced by a call that is refused. */
static int keep_call(
                Peer *peer,
                const BusHeader *header,
                const uint8_t *message,
                size_t header_size,
                size_t size) {
        const bool too_long = size > CALL_SIZE_MAX;

        peer->call = malloc(too_long ? BUS_HEADER_CALL_SIZE_MAX : size + BUS_HEADER_SENDER_SIZE_MAX);
        if (!peer->call)
                return -ENOMEM;

        peer->call_size =
                        too_long ? bus_header_write_call(
                                                   peer->call, header->serial, "/", REFUSED_INTERFACE,
                                                   REFUSED_TOO_LONG, peer->name)
                                 : bus_header_add_sender(message, header_size, size, peer->name, peer->call);
        return 0;
}

/* Only calls concern the daemon. None of them has descriptors, and who names a sender lies. */
static int take_call(Peer *peer, const uint8_t *message, size_t header_size, size_t size) {
        BusHeader header;
        int r;

        r = bus_header_read(message, header_size, &header);
        if (r < 0)
                return r;
        if (header.sender || header.n_fds > 0)
                return -EBADMSG;
        if (header.type != SD_BUS_MESSAGE_METHOD_CALL || (size > CALL_SIZE_MAX && !header.expects_reply))
                return 0;

        return keep_call(peer, &header, message, header_size, size);
}

/* Takes one received message. Returns 0 if none is complete, or if too little of a long one was received. */
static int take_message(Peer *peer) {
        const uint8_t *message = byte_queue_first(&peer->received);
        size_t n = byte_queue_count(&peer->received), header_size, size;
        int r;

        if (n < BUS_HEADER_FIXED_SIZE)
                return 0;
        r = bus_header_sizes(message, &header_size, &size);
        if (r < 0)
                return r;
        if (header_size > CALL_SIZE_MAX)
                return -EMSGSIZE;
        if (n < (size > CALL_SIZE_MAX ? header_size : size))
                return 0;

        r = take_call(peer, message, header_size, size);
        if (r < 0)
                return r;
        peer->skip = size - MIN(n, size);
        byte_queue_drop(&peer->received, MIN(n, size));
        return 1;
}

static int find_call(Peer *peer) {
        int r = 1;

        while (r > 0 && !peer->call)
                r = peer_is_authenticated(peer) ? take_message(peer) : take_line(peer);
        return MIN(r, 0);
}

int peer_next_call(Peer *peer) {
        free(TAKE_POINTER(peer->call));
        return find_call(peer);
}

int peer_receive(Peer *peer) {
        static uint8_t buffer[READ_SIZE];
        size_t skip;
        ssize_t n;
        int r;

        /* Descriptors that come along are dropped by the kernel. */
        n = recv(peer->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (n == 0)
                return -ECONNRESET;

        skip = MIN((size_t) n, peer->skip);
        peer->skip -= skip;
        r = byte_queue_append(&peer->received, buffer + skip, (size_t) n - skip);
        return r < 0 ? r : find_call(peer);
}
