/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Reading from the bus: see bus-reader.h. */

#include "bus-reader.h"

#include <sys/socket.h>

#include "bus-header.h"
#include "bus-stream.h"
#include "memory.h"
#include "names.h"

/* How often the bus is read before the daemon's requests are looked at. */
#define READS_MAX 16

/* The most bytes of waiting calls: of one user before further calls are refused; of one user including
 * refusals, enough for all calls that dbus-daemon lets a user have pending (256 connections with 128 each);
 * of all users. Beyond the second bound, further calls of that user are dropped without a reply, even root's.
 * Beyond the third, those of the user with the most are, but never root's, once the bus has said that it is
 * root. */
#define USER_CALLS_MAX ((size_t) 256 * 1024)
#define USER_BYTES_MAX ((size_t) 4 * 1024 * 1024)
#define BYTES_MAX ((size_t) 16 * 1024 * 1024)

/* Users with waiting calls. Further users share the last queue. */
#define USERS_MAX 64

typedef struct User {
        uid_t uid;
        ByteQueue calls;
} User;

struct BusReader {
        int daemon_fd;
        bool blocked; /* the daemon has much to receive: no calls are read meanwhile */

        BusStream stream; /* from the bus */
        bool accepted;    /* the bus has accepted our user */
        bool authenticated;

        bool requested;       /* the daemon has requested calls */
        uint64_t others_usec; /* from when on of users other than root; 0: from now on */

        User users[USERS_MAX]; /* the first is root */
        size_t next_user;
        User *sent;         /* whose calls were sent, and remain in the queue until they are served */
        size_t n_in_flight; /* bytes of these calls */
        size_t n_bytes;     /* in the queues of all users, and of those not yet known */

        BusUsers *bus_users;
        ByteQueue unknown[BUS_USERS_MAX]; /* calls of senders whose user is not known yet, by their number
                                             there */
};

/* Sending to the daemon */

/* -EAGAIN while the daemon has much to receive. */
static int send_packet(BusReader *reader, BusPacketType type, uid_t uid, const void *data, size_t n) {
        static BusPacket packet;
        const size_t size = offsetof(BusPacket, data) + n;

        packet.type = type;
        packet.uid = uid;
        packet.pid = 0;
        packet.has_calls = reader->n_bytes > (type == BUS_PACKET_CALLS ? n : reader->n_in_flight);
        memcpy(packet.data, data, n);
        return send(reader->daemon_fd, &packet, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Users */

/* The entry with this user's waiting calls, else a free one, else the last, which several users then share as
 * an unknown user. */
static User *find_user(BusReader *reader, uid_t uid) {
        User *free_user = NULL;

        if (uid == UID_ROOT)
                return reader->users;

        for (size_t i = 1; i < USERS_MAX; i++) {
                User *user = reader->users + i;

                if (byte_queue_count(&user->calls) == 0)
                        free_user = free_user ?: user;
                else if (user->uid == uid)
                        return user;
        }
        if (!free_user) {
                free_user = reader->users + USERS_MAX - 1;
                uid = UID_UNKNOWN;
        }

        free_user->uid = uid;
        return free_user;
}

/* The user whose call is sent next: root first, the others in turn. */
static User *next_user(BusReader *reader) {
        if (byte_queue_count(&reader->users[0].calls) > 0)
                return reader->users;
        if (reader->others_usec > 0)
                return NULL;

        for (size_t i = 0; i < USERS_MAX; i++) {
                User *user = reader->users + (reader->next_user + i) % USERS_MAX;

                if (byte_queue_count(&user->calls) > 0)
                        return user;
        }

        return NULL;
}

/* The queue for a sender's next call. */
static int find_queue(BusReader *reader, const char *name, ByteQueue **ret) {
        size_t number;
        uid_t uid;
        int r;

        r = bus_users_find(reader->bus_users, name, &number, &uid);
        if (r < 0)
                return r;

        *ret = r == 0 ? reader->unknown + number : &find_user(reader, uid)->calls;
        return 0;
}

/* Calls of a sender that has disconnected are dropped: nobody would read the replies, and polkit cannot
 * authorize it. */
static int on_user(size_t number, bool is_gone, uid_t uid, void *userdata) {
        BusReader *reader = userdata;
        ByteQueue *calls = reader->unknown + number, *known = is_gone ? NULL : &find_user(reader, uid)->calls;
        size_t n = byte_queue_count(calls);
        int r = 0;

        if (!known || byte_queue_count(known) + n > USER_BYTES_MAX)
                reader->n_bytes -= n;
        else
                r = byte_queue_append(known, byte_queue_first(calls), n);
        byte_queue_clear(calls);
        return r;
}

/* What the daemon requests */

/* One call of root, or some of another user. */
static int send_calls(BusReader *reader, User *user) {
        const bool root = user == reader->users;
        const uint8_t *calls = byte_queue_first(&user->calls);
        size_t n = 0;
        int r;

        for (unsigned i = 0; i < (root ? 1 : BUS_CALLS_MAX) && n < byte_queue_count(&user->calls); i++) {
                size_t header_size, size;

                r = bus_header_sizes(calls + n, &header_size, &size);
                if (r < 0)
                        return r;
                if (n + size > BUS_MESSAGE_SIZE_MAX)
                        break;
                n += size;
        }

        r = send_packet(reader, BUS_PACKET_CALLS, root ? UID_ROOT : user->uid, calls, n);
        if (r < 0)
                return r;

        if (!root)
                reader->next_user = (size_t) (user - reader->users) + 1;
        reader->sent = user;
        reader->n_in_flight = n;
        return 0;
}

/* Whatever happened to the queue since the calls were sent: what was served is dropped only once. */
static void drop_served(BusReader *reader, size_t n) {
        if (n == 0)
                return;

        if (reader->sent) {
                reader->n_bytes -= n;
                byte_queue_drop(&reader->sent->calls, n);
        }
        reader->sent = NULL;
        reader->n_in_flight = 0;
}

/* Sends what is requested, if there is something. */
static int send_requested(BusReader *reader) {
        User *user;
        int r;

        if (!reader->requested)
                return 0;
        if (reader->others_usec <= usec_now(CLOCK_MONOTONIC))
                reader->others_usec = 0;

        user = next_user(reader);
        if (!user)
                return 0;
        r = send_calls(reader, user);
        if (r < 0)
                return r;

        reader->requested = false;
        return 0;
}

/* Negative errno once the daemon has closed the socket. */
static int receive_request(BusReader *reader) {
        BusRequest request;
        ssize_t n;

        n = recv(reader->daemon_fd, &request, sizeof(request), MSG_DONTWAIT);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if ((size_t) n < sizeof(request))
                return -ECONNRESET;

        drop_served(reader, request.n_served);
        reader->requested = true;
        reader->others_usec = request.others_usec;
        return 0;
}

/* Reading from the bus */

/* Of all but root. */
static ByteQueue *longest_queue(BusReader *reader) {
        ByteQueue *longest = &reader->users[1].calls;

        for (size_t i = 2; i < USERS_MAX; i++)
                if (byte_queue_count(&reader->users[i].calls) > byte_queue_count(longest))
                        longest = &reader->users[i].calls;
        for (size_t i = 0; i < BUS_USERS_MAX; i++)
                if (byte_queue_count(reader->unknown + i) > byte_queue_count(longest))
                        longest = reader->unknown + i;
        return longest;
}

/* Makes room for n bytes more in this queue. False when no other has more than it: it gives way itself. */
static bool make_room(BusReader *reader, const ByteQueue *calls, size_t n) {
        while (reader->n_bytes + n > BYTES_MAX) {
                ByteQueue *longest = longest_queue(reader);

                if (longest == calls)
                        return false;
                reader->n_bytes -= byte_queue_count(longest);
                if (reader->sent && longest == &reader->sent->calls) {
                        reader->sent = NULL;
                        reader->n_in_flight = 0;
                }
                byte_queue_clear(longest);
        }

        return true;
}

static int queue(BusReader *reader, ByteQueue *calls, const void *call, size_t n) {
        int r;

        if (byte_queue_count(calls) + n > USER_BYTES_MAX || !make_room(reader, calls, n))
                return 0;

        r = byte_queue_append(calls, call, n);
        if (r < 0)
                return r;

        reader->n_bytes += n;
        return 0;
}

static int queue_refusal(BusReader *reader, ByteQueue *calls, const BusHeader *header, const char *why) {
        uint8_t call[BUS_HEADER_CALL_SIZE_MAX];
        size_t n;

        if (!header->expects_reply || strlen(header->sender) > BUS_HEADER_SENDER_MAX)
                return 0;

        n = bus_header_write_call(
                        call, &(BusCall){ .serial = header->serial,
                                          .path = "/",
                                          .interface = REFUSED_INTERFACE,
                                          .member = why,
                                          .sender = header->sender });
        return queue(reader, calls, call, n);
}

/* Whether a message is for sd-bus: a reply, which only answers a call of ours, or a signal of the bus itself.
 * Anyone may send us signals. */
static bool is_awaited(const BusHeader *header) {
        return header->type != SD_BUS_MESSAGE_SIGNAL || !header->sender || streq(header->sender, DBUS_NAME);
}

/* Without a sender it is not from a bus: something else may listen at a configured address. */
static int route_message(BusReader *reader, const StreamMessage *message) {
        bool too_long = message->size > BUS_MESSAGE_SIZE_MAX;
        BusHeader header;
        ByteQueue *calls;
        int r;

        /* Such a header is not read: the sender is unknown, and nobody gets a reply. */
        if (message->header_size > BUS_MESSAGE_SIZE_MAX ||
            bus_header_read(message->data, message->header_size, &header) < 0)
                return 0;
        if (header.type != SD_BUS_MESSAGE_METHOD_CALL || !header.sender)
                return !too_long && header.n_fds == 0 && is_awaited(&header)
                                       ? send_packet(reader, BUS_PACKET_BYTES, UID_UNKNOWN, message->data,
                                                     message->size)
                                       : 0;

        r = find_queue(reader, header.sender, &calls);
        if (r < 0)
                return r;
        if (too_long)
                return queue_refusal(reader, calls, &header, REFUSED_TOO_LONG);
        if (header.n_fds > 0)
                return queue_refusal(reader, calls, &header, REFUSED_DESCRIPTORS);
        if (byte_queue_count(calls) + message->size > USER_CALLS_MAX)
                return queue_refusal(reader, calls, &header, REFUSED_TOO_MANY);
        return queue(reader, calls, message->data, message->size);
}

/* Processes one received message. Returns 0 if none is complete, or if too little of a long one was received
 * to know its sender. */
static int process_message(BusReader *reader) {
        StreamMessage message;
        int r;

        r = bus_stream_message(&reader->stream, BUS_MESSAGE_SIZE_MAX, &message);
        if (r <= 0)
                return r;
        r = route_message(reader, &message);
        if (r < 0)
                return r;

        bus_stream_drop(&reader->stream, message.size);
        return 1;
}

/* Processes one line of the authentication, which precedes all messages. The last one follows the OK: it
 * answers whether descriptors may be passed. sd-bus interprets them. */
static int process_line(BusReader *reader) {
        const char *line;
        bool accepts;
        ssize_t n;
        int r;

        n = bus_stream_line(&reader->stream, BUS_MESSAGE_SIZE_MAX, &line);
        if (n <= 0)
                return (int) n;

        /* The addresses may lead the two connections to different buses, where one name belongs to different
         * connections. */
        accepts = strncmp(line, "OK", 2) == 0;
        if (accepts && !bus_users_has_ok_line(reader->bus_users, line, (size_t) n))
                return -ECONNREFUSED;
        r = send_packet(reader, BUS_PACKET_BYTES, UID_UNKNOWN, line, (size_t) n);
        if (r < 0)
                return r;

        reader->authenticated = reader->accepted;
        reader->accepted = reader->accepted || accepts;
        bus_stream_drop(&reader->stream, (size_t) n);
        return 1;
}

static int process(BusReader *reader) {
        int r;

        while ((r = reader->authenticated ? process_message(reader) : process_line(reader)) > 0)
                ;
        return r;
}

/* Nothing is read before the bus has accepted the second connection. If it refuses that, the daemon does not
 * count as connected, and the time until its next attempt keeps growing. */
static int read_bus(BusReader *reader) {
        int r;

        if (!bus_users_is_connected(reader->bus_users))
                return 0;

        r = process(reader);
        for (unsigned i = 0; r >= 0 && i < READS_MAX; i++) {
                r = bus_stream_receive(&reader->stream, BUS_STREAM_READ_MAX);
                if (r == 0)
                        break;
                if (r > 0)
                        r = process(reader);
        }
        return r;
}

/* In this order: calls that were read cause questions, whose answers release calls to send. -EAGAIN while the
 * daemon has much to receive. */
static int work(BusReader *reader) {
        int read, r;

        read = read_bus(reader);
        if (read < 0 && read != -EAGAIN)
                return read;
        r = bus_users_work(reader->bus_users);
        if (r < 0)
                return r;

        return read < 0 ? read : send_requested(reader);
}

int bus_reader_work(BusReader *reader) {
        int r;

        r = receive_request(reader);
        if (r < 0)
                return r;

        r = work(reader);
        reader->blocked = r == -EAGAIN;
        return reader->blocked ? 0 : r;
}

int bus_reader_wait(const BusReader *reader, int wait_msec) {
        const bool reads = !reader->blocked && bus_users_is_connected(reader->bus_users);
        struct pollfd fds[] = {
                { .fd = reader->daemon_fd, .events = (short) (reader->blocked ? POLLIN | POLLOUT : POLLIN) },
                { .fd = reads ? reader->stream.fd : -1, .events = POLLIN },
                bus_users_pollfd(reader->bus_users),
        };
        int r;

        wait_msec = limit_wait_msec(wait_msec, bus_users_time(reader->bus_users));
        if (reader->requested && !reader->blocked)
                wait_msec = limit_wait_msec(wait_msec, reader->others_usec);
        r = poll(fds, ELEMENTSOF(fds), wait_msec);
        return r < 0 && errno != EINTR ? -errno : r > 0;
}

int bus_reader_new(int daemon_fd, int bus_fd, int users_fd, BusReader **ret) {
        _cleanup_(bus_reader_freep) BusReader *reader = NULL;
        int r;

        reader = memory_new_sparse(sizeof(*reader));
        if (!reader)
                return -ENOMEM;
        reader->daemon_fd = daemon_fd;
        reader->stream.fd = bus_fd;

        r = bus_users_new(users_fd, on_user, reader, &reader->bus_users);
        if (r < 0)
                return r;

        *ret = TAKE_POINTER(reader);
        return 0;
}

BusReader *bus_reader_free(BusReader *reader) {
        if (!reader)
                return NULL;

        bus_users_free(reader->bus_users);
        bus_stream_clear(&reader->stream);
        for (size_t i = 0; i < USERS_MAX; i++)
                byte_queue_clear(&reader->users[i].calls);
        for (size_t i = 0; i < BUS_USERS_MAX; i++)
                byte_queue_clear(reader->unknown + i);
        memory_free_sparse(reader, sizeof(*reader));
        return NULL;
}
