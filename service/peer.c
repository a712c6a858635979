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

        peer->stream.fd = fd;
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
        bus_stream_clear(&peer->stream);
        byte_queue_clear(&peer->unsent);
        free(peer->call);
        closep(&peer->stream.fd);
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

        return sendmsg(peer->stream.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
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
                        &peer->auth, byte_queue_first(&peer->stream.received),
                        byte_queue_count(&peer->stream.received), reply);
        if (n <= 0)
                return (int) n;

        bus_stream_drop(&peer->stream, (size_t) n);
        return peer_send(peer, reply, strlen(reply), NULL, 0) < 0 ? -ECONNRESET : 1;
}

/* Keeps a call, with its sender. One that is too long is replaced by a call that is refused. */
static int keep_call(Peer *peer, const BusHeader *header, const StreamMessage *message) {
        const bool too_long = message->size > CALL_SIZE_MAX;
        const BusCall refused = {
                .serial = header->serial,
                .path = "/",
                .interface = REFUSED_INTERFACE,
                .member = REFUSED_TOO_LONG,
                .sender = peer->name,
        };

        peer->call = malloc(too_long ? BUS_HEADER_CALL_SIZE_MAX : message->size + BUS_HEADER_SENDER_SIZE_MAX);
        if (!peer->call)
                return -ENOMEM;

        peer->call_size = too_long ? bus_header_write_call(peer->call, &refused)
                                   : bus_header_add_sender(
                                                     message->data, message->header_size, message->size,
                                                     peer->name, peer->call);
        return 0;
}

/* Only calls concern the daemon. None of them has descriptors, and who names a sender lies. */
static int take_call(Peer *peer, const StreamMessage *message) {
        BusHeader header;
        int r;

        r = bus_header_read(message->data, message->header_size, &header);
        if (r < 0)
                return r;
        if (header.sender || header.n_fds > 0)
                return -EBADMSG;
        if (header.type != SD_BUS_MESSAGE_METHOD_CALL ||
            (message->size > CALL_SIZE_MAX && !header.expects_reply))
                return 0;

        return keep_call(peer, &header, message);
}

/* Takes one received message. Returns 0 if none is complete, or if too little of a long one was received. */
static int take_message(Peer *peer) {
        StreamMessage message;
        int r;

        r = bus_stream_message(&peer->stream, CALL_SIZE_MAX, &message);
        if (r <= 0)
                return r;
        if (message.header_size > CALL_SIZE_MAX)
                return -EMSGSIZE;

        r = take_call(peer, &message);
        if (r < 0)
                return r;
        bus_stream_drop(&peer->stream, message.size);
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
        int r;

        r = bus_stream_receive(&peer->stream, READ_SIZE);
        return r <= 0 ? r : find_call(peer);
}
