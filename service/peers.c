/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The programs connected to a socket: see peers.h. */

#include "peers.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "bus-header.h"
#include "bus-reader.h"
#include "byte-queue.h"
#include "peer.h"

/* Connections to one socket; of one user but root to `public`. */
#define PEERS_MAX 256
#define PEERS_PER_USER_MAX 64

/* Who has not authenticated by then is disconnected. */
#define AUTH_USEC (10 * USEC_PER_SEC)

/* While peers have left more unread than this, of the user who has the most the one with the most is
 * disconnected. */
#define UNSENT_OF_ALL_MAX ((size_t) 16 * 1024 * 1024)

/* When no descriptor is left, connections wait. */
#define ACCEPT_AGAIN_USEC (100 * USEC_PER_MSEC)

/* How many connections are accepted, and how often the link is read, before all others get their turn. */
#define ACCEPTS_MAX 16
#define READS_MAX 16
#define READ_SIZE ((size_t) 64 * 1024)

/* One message of the daemon has one descriptor at most. */
#define LINK_FDS_MAX 16

struct Peers {
        int daemon_fd, link_fd;
        const Listener *listener;
        char guid[PEER_AUTH_GUID_SIZE];

        PeerAuth link_auth;
        ByteQueue link; /* less than a message */
        int link_fds[LINK_FDS_MAX];
        size_t n_link_fds;

        bool requested;       /* the daemon has requested a call */
        uint64_t others_usec; /* from when on of users other than root; 0: from now on */
        bool blocked;         /* the daemon has much to receive */

        Peer *peers[PEERS_MAX];
        size_t n_peers;
        uint64_t n_accepted, n_arrived, n_turns;
        uint64_t accept_usec; /* no connection is accepted before */
};

/* Connections */

static void remove_peer(Peers *peers, size_t i) {
        peer_free(peers->peers[i]);
        peers->peers[i] = peers->peers[--peers->n_peers];
}

static size_t count_of(const Peers *peers, uid_t uid) {
        size_t n = 0;

        for (size_t i = 0; i < peers->n_peers; i++)
                n += peers->peers[i]->auth.uid == uid;
        return n;
}

/* The last connection of the user, not root, who has the most, and more than n. n_peers: there is none. */
static size_t find_spare(const Peers *peers, size_t n) {
        size_t spare = peers->n_peers;

        for (size_t i = 0; i < peers->n_peers; i++) {
                uid_t uid = peers->peers[i]->auth.uid;

                if (uid == UID_ROOT || count_of(peers, uid) <= n)
                        continue;
                n = count_of(peers, uid);
                spare = i;
        }

        return spare;
}

/* Makes room for one more connection of this user. False if it must not have one. */
static bool make_room(Peers *peers, uid_t uid) {
        size_t n = count_of(peers, uid), spare;

        if (peers->listener->is_private && uid != UID_ROOT && uid != geteuid())
                return false;
        if (uid != UID_ROOT && n >= PEERS_PER_USER_MAX)
                return false;
        if (peers->n_peers < PEERS_MAX)
                return true;
        spare = find_spare(peers, n + 1);
        if (spare == peers->n_peers)
                return false;

        remove_peer(peers, spare);
        return true;
}

static int add_peer(Peers *peers, int *fd) {
        struct ucred peer_credentials;
        socklen_t size = sizeof(peer_credentials);
        char name[BUS_HEADER_SENDER_MAX + 1];
        Peer *peer;
        int r;

        if (getsockopt(*fd, SOL_SOCKET, SO_PEERCRED, &peer_credentials, &size) < 0)
                return -errno;
        if (!make_room(peers, peer_credentials.uid))
                return -EDQUOT;

        (void) snprintf(name, sizeof(name), ":1.%" PRIu64, ++peers->n_accepted);
        r = peer_new(*fd, peer_credentials.uid, peer_credentials.pid, name, peers->guid, &peer);
        if (r < 0)
                return r;

        (void) take_fd(fd);
        peer->turn = peers->n_turns; /* after those who have waited for longer */
        peers->peers[peers->n_peers++] = peer;
        return 0;
}

/* Who is refused sees that the connection ends. */
static void accept_peers(Peers *peers) {
        for (unsigned i = 0; i < ACCEPTS_MAX; i++) {
                _cleanup_close_ int fd = -EBADF;

                fd = accept4(peers->listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (fd < 0 && errno == EAGAIN)
                        return;
                if (fd < 0 && errno != EINTR && errno != ECONNABORTED) {
                        peers->accept_usec = usec_now(CLOCK_MONOTONIC) + ACCEPT_AGAIN_USEC;
                        return;
                }
                if (fd >= 0)
                        (void) add_peer(peers, &fd);
        }
}

/* Sending to peers */

static size_t unsent_of(const Peers *peers, uid_t uid) {
        size_t n = 0;

        for (size_t i = 0; i < peers->n_peers; i++)
                if (peers->peers[i]->auth.uid == uid)
                        n += byte_queue_count(&peers->peers[i]->unsent);
        return n;
}

/* Of the user who leaves the most unread, the connection with the most. */
static size_t find_worst(const Peers *peers) {
        size_t worst = 0, worst_of_user = 0, worst_of_peer = 0;

        for (size_t i = 0; i < peers->n_peers; i++) {
                size_t of_user = unsent_of(peers, peers->peers[i]->auth.uid),
                       of_peer = byte_queue_count(&peers->peers[i]->unsent);

                if (of_user < worst_of_user || (of_user == worst_of_user && of_peer <= worst_of_peer))
                        continue;
                worst = i;
                worst_of_user = of_user;
                worst_of_peer = of_peer;
        }

        return worst;
}

static void bound_unsent(Peers *peers) {
        size_t n = 0;

        for (size_t i = 0; i < peers->n_peers; i++)
                n += byte_queue_count(&peers->peers[i]->unsent);
        while (n > UNSENT_OF_ALL_MAX) {
                size_t worst = find_worst(peers);

                n -= byte_queue_count(&peers->peers[worst]->unsent);
                remove_peer(peers, worst);
        }
}

/* To the peer that the message names, or to all. A peer may have left. Descriptors are taken. */
static void route_message(
                Peers *peers,
                const BusHeader *header,
                const uint8_t *message,
                size_t size,
                const int *fds) {
        bool taken = false;

        for (size_t i = peers->n_peers; i-- > 0;) {
                Peer *peer = peers->peers[i];

                if (header->destination ? !streq(peer->name, header->destination)
                                        : !peer_is_authenticated(peer))
                        continue;
                if (peer_send(peer, message, size, fds, header->destination ? header->n_fds : 0) < 0)
                        remove_peer(peers, i);
                taken = taken || header->destination;
        }

        for (size_t i = 0; !taken && i < header->n_fds; i++)
                (void) close(fds[i]);
        bound_unsent(peers);
}

/* The link */

static int send_packet(Peers *peers, BusPacketType type, const Peer *peer, const void *data, size_t n) {
        static BusPacket packet;

        packet.type = type;
        packet.uid = peer ? peer->auth.uid : UID_UNKNOWN;
        packet.pid = peer ? peer->pid : 0;
        packet.has_calls = false;
        memcpy(packet.data, data, n);
        return send(peers->daemon_fd, &packet, offsetof(BusPacket, data) + n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0
                               ? -errno
                               : 0;
}

static int take_link_line(Peers *peers) {
        char reply[PEER_AUTH_REPLY_MAX + 1];
        ssize_t n;
        int r;

        n = peer_auth_process(
                        &peers->link_auth, byte_queue_first(&peers->link), byte_queue_count(&peers->link),
                        reply);
        if (n <= 0)
                return (int) n;

        byte_queue_drop(&peers->link, (size_t) n);
        r = reply[0] == '\0' ? 0 : send_packet(peers, BUS_PACKET_BYTES, NULL, reply, strlen(reply));
        return r < 0 ? r : 1;
}

/* Takes one message of the daemon. Returns 0 if none is complete. */
static int take_link_message(Peers *peers) {
        const uint8_t *message = byte_queue_first(&peers->link);
        size_t n = byte_queue_count(&peers->link), header_size, size;
        BusHeader header;
        int r;

        if (n < BUS_HEADER_FIXED_SIZE)
                return 0;
        r = bus_header_sizes(message, &header_size, &size);
        if (r < 0)
                return r;
        if (n < size)
                return 0;
        r = bus_header_read(message, header_size, &header);
        if (r < 0)
                return r;
        if (header.n_fds > peers->n_link_fds)
                return -EBADMSG;

        route_message(peers, &header, message, size, peers->link_fds);
        peers->n_link_fds -= header.n_fds;
        memmove(peers->link_fds, peers->link_fds + header.n_fds, peers->n_link_fds * sizeof(int));
        byte_queue_drop(&peers->link, size);
        return 1;
}

static int process_link(Peers *peers) {
        int r;

        do
                r = peers->link_auth.state == PEER_AUTH_DONE ? take_link_message(peers)
                                                             : take_link_line(peers);
        while (r > 0);
        return r;
}

static int keep_link_fds(Peers *peers, struct msghdr *message) {
        for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
                size_t n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);

                if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
                        continue;
                if (n > LINK_FDS_MAX - peers->n_link_fds)
                        return -ENOBUFS;
                memcpy(peers->link_fds + peers->n_link_fds, CMSG_DATA(header), n * sizeof(int));
                peers->n_link_fds += n;
        }

        return 0;
}

/* Returns 0 if nothing was received. */
static int receive_link(Peers *peers) {
        static uint8_t buffer[READ_SIZE];
        union {
                struct cmsghdr header;
                uint8_t buffer[CMSG_SPACE(LINK_FDS_MAX * sizeof(int))];
        } control = {};
        struct iovec data = { .iov_base = buffer, .iov_len = sizeof(buffer) };
        struct msghdr message = {
                .msg_iov = &data,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control.buffer),
        };
        ssize_t n;
        int r;

        n = recvmsg(peers->link_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        r = keep_link_fds(peers, &message);
        if (r < 0)
                return r;
        if (n == 0)
                return -ECONNRESET;

        r = byte_queue_append(&peers->link, buffer, (size_t) n);
        return r < 0 ? r : 1;
}

static int read_link(Peers *peers) {
        int r = 1;

        for (unsigned i = 0; r > 0 && i < READS_MAX; i++) {
                r = receive_link(peers);
                if (r > 0)
                        r = MIN(process_link(peers), 0) ?: 1;
        }

        return MIN(r, 0);
}

/* Calls */

/* Who has left a reply unread gets no other. */
static bool is_ready(const Peers *peers, const Peer *peer) {
        return peer->call && byte_queue_count(&peer->unsent) == 0 &&
               (peer->auth.uid == UID_ROOT || peers->others_usec == 0);
}

static bool goes_before(const Peer *a, const Peer *b) {
        const bool root = a->auth.uid == UID_ROOT;

        if (root != (b->auth.uid == UID_ROOT))
                return root;
        if (!root && a->turn != b->turn)
                return a->turn < b->turn;
        return a->arrival < b->arrival;
}

static Peer *find_next(const Peers *peers) {
        Peer *next = NULL;

        for (size_t i = 0; i < peers->n_peers; i++)
                if (is_ready(peers, peers->peers[i]) && (!next || goes_before(peers->peers[i], next)))
                        next = peers->peers[i];
        return next;
}

static void note_turn(Peers *peers, uid_t uid) {
        peers->n_turns++;
        for (size_t i = 0; i < peers->n_peers; i++)
                if (peers->peers[i]->auth.uid == uid)
                        peers->peers[i]->turn = peers->n_turns;
}

/* Ends a connection if there was an error, or notes when its call came. */
static void note_result(Peers *peers, size_t i, int r) {
        Peer *peer = peers->peers[i];

        if (r < 0)
                remove_peer(peers, i);
        else if (peer->call && peer->arrival == 0)
                peer->arrival = ++peers->n_arrived;
}

static void begin_next_call(Peers *peers, Peer *peer) {
        for (size_t i = 0; i < peers->n_peers; i++)
                if (peers->peers[i] == peer) {
                        peer->arrival = 0;
                        note_result(peers, i, peer_next_call(peer));
                        return;
                }
}

/* Sends one call, if the daemon has requested one. */
static int send_call(Peers *peers) {
        Peer *peer;
        int r;

        peers->blocked = false;
        if (!peers->requested)
                return 0;
        if (peers->others_usec <= usec_now(CLOCK_MONOTONIC))
                peers->others_usec = 0;
        peer = find_next(peers);
        if (!peer)
                return 0;

        r = send_packet(peers, BUS_PACKET_CALLS, peer, peer->call, peer->call_size);
        if (r == -EAGAIN) {
                peers->blocked = true;
                return 0;
        }
        if (r < 0)
                return r;

        peers->requested = false;
        note_turn(peers, peer->auth.uid);
        begin_next_call(peers, peer);
        return 0;
}

/* The daemon always serves a packet of one call. The end of the socket is that of the link, too. */
static void receive_request(Peers *peers) {
        BusRequest request;
        ssize_t n;

        n = recv(peers->daemon_fd, &request, sizeof(request), MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
                peers->daemon_fd = -EBADF;
                peers->requested = false;
        }
        if (n == sizeof(request)) {
                peers->requested = true;
                peers->others_usec = request.others_usec;
        }
}

/* Work */

static void work_for_peer(Peers *peers, size_t i, short revents) {
        Peer *peer = peers->peers[i];
        int r = 0;

        if (revents & POLLOUT)
                r = peer_flush(peer);
        if (r >= 0 && !peer->call && (revents & (POLLIN | POLLHUP | POLLERR)))
                r = peer_receive(peer);
        if (r >= 0 && !peer_is_authenticated(peer) &&
            usec_now(CLOCK_MONOTONIC) >= peer->connect_usec + AUTH_USEC)
                r = -ETIMEDOUT;
        note_result(peers, i, r);
}

/* A peer whose call waits is not read, and its end is not looked at: the call may still be served. */
static struct pollfd watch_peer(const Peer *peer) {
        const bool sends = byte_queue_count(&peer->unsent) > 0;

        return (struct pollfd){
                .fd = peer->call && !sends ? -1 : peer->stream.fd,
                .events = (short) ((peer->call ? 0 : POLLIN) | (sends ? POLLOUT : 0)),
        };
}

/* In milliseconds, until the first authentication is late, connections are accepted again, or a requested
 * call may be sent. */
static int limit_wait(const Peers *peers, int wait_msec) {
        wait_msec = limit_wait_msec(wait_msec, peers->accept_usec);
        if (peers->requested && !peers->blocked)
                wait_msec = limit_wait_msec(wait_msec, peers->others_usec);
        for (size_t i = 0; i < peers->n_peers; i++)
                if (!peer_is_authenticated(peers->peers[i]))
                        wait_msec = limit_wait_msec(wait_msec, peers->peers[i]->connect_usec + AUTH_USEC);
        return wait_msec;
}

int peers_work(Peers *peers, int wait_msec) {
        struct pollfd fds[PEERS_MAX + 3];
        const size_t n = peers->n_peers;
        int r;

        if (peers->accept_usec <= usec_now(CLOCK_MONOTONIC))
                peers->accept_usec = 0;
        for (size_t i = 0; i < n; i++)
                fds[i] = watch_peer(peers->peers[i]);
        fds[n] = (struct pollfd){ .fd = peers->link_fd, .events = POLLIN };
        fds[n + 1] = (struct pollfd){ .fd = peers->daemon_fd,
                                      .events = (short) (peers->blocked ? POLLIN | POLLOUT : POLLIN) };
        fds[n + 2] = (struct pollfd){ .fd = peers->accept_usec > 0 ? -1 : peers->listener->fd,
                                      .events = POLLIN };
        r = poll(fds, n + 3, limit_wait(peers, wait_msec));
        if (r < 0)
                return errno == EINTR ? 0 : -errno;

        /* From the last to the first, whose places stay as they are while some are removed. */
        for (size_t i = n; i-- > 0;)
                work_for_peer(peers, i, fds[i].revents);
        if (fds[n + 1].revents != 0)
                receive_request(peers);
        if (fds[n + 2].revents != 0)
                accept_peers(peers);
        r = fds[n].revents != 0 ? read_link(peers) : 0;
        return r < 0 ? r : send_call(peers);
}

int peers_new(int daemon_fd, int link_fd, const Listener *listener, Peers **ret) {
        uint8_t random[(PEER_AUTH_GUID_SIZE - 1) / 2];
        Peers *peers;

        /* It need not be a secret: it only distinguishes servers. */
        if (getrandom(random, sizeof(random), GRND_NONBLOCK | GRND_INSECURE) < (ssize_t) sizeof(random))
                return -EIO;
        peers = calloc(1, sizeof(*peers));
        if (!peers)
                return -ENOMEM;

        peers->daemon_fd = daemon_fd;
        peers->link_fd = link_fd;
        peers->listener = listener;
        for (size_t i = 0; i < sizeof(random); i++)
                (void) snprintf(peers->guid + 2 * i, 3, "%02x", (unsigned) random[i]);
        peers->link_auth = (PeerAuth){ .uid = geteuid(), .guid = peers->guid };
        *ret = peers;
        return 0;
}

Peers *peers_free(Peers *peers) {
        if (!peers)
                return NULL;

        while (peers->n_peers > 0)
                remove_peer(peers, peers->n_peers - 1);
        for (size_t i = 0; i < peers->n_link_fds; i++)
                (void) close(peers->link_fds[i]);
        byte_queue_clear(&peers->link);
        free(peers);
        return NULL;
}
