/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Reading from the bus: see bus-reader.h. */

#include "bus-reader.h"

#include <poll.h>
#include <sys/socket.h>

#include "bus-header.h"
#include "byte-queue.h"
#include "names.h"

#define READ_SIZE ((size_t) 64 * 1024)

/* How often the bus is read before the daemon's requests are looked at. */
#define READS_MAX 16

/* The most bytes of waiting calls: of one user before further calls are refused; of one user including
 * refusals, enough for all calls that dbus-daemon lets a user have pending (256 connections with 128 each);
 * of all users. Beyond the last two, calls are dropped without a reply: those of the user who has the most,
 * never root's. */
#define USER_CALLS_MAX ((size_t) 256 * 1024)
#define USER_BYTES_MAX ((size_t) 4 * 1024 * 1024)
#define BYTES_MAX ((size_t) 16 * 1024 * 1024)

/* How many questions in a row are sent while calls of known users other than root wait. */
#define QUESTIONS_MAX 4

/* Users with waiting calls. Further users share the last queue. */
#define USERS_MAX 64

/* A hash table of connections and their users: how many slots a name can be in, and the longest name. The
 * unique names on a bus have a few digits. */
#define SENDER_SLOTS 8
#define SENDER_NAME_MAX 31

typedef struct User {
        uid_t uid;
        ByteQueue calls;
} User;

typedef enum SenderState {
        SENDER_UNUSED,
        SENDER_NEW,   /* its user is not known: BUS_PACKET_QUESTION */
        SENDER_ASKED, /* the answer is to come */
        SENDER_KNOWN
} SenderState;

typedef struct Sender {
        SenderState state;
        char name[SENDER_NAME_MAX + 1];
        uid_t uid;
        ByteQueue calls; /* waiting until the user is known */
} Sender;

struct BusReader {
        int daemon_fd, bus_fd;

        bool blocked;  /* the daemon has much to receive: nothing is read meanwhile */
        bool accepted; /* the bus has accepted our user */
        bool authenticated;
        ByteQueue received;
        size_t skip; /* bytes still to be skipped of a message that is too long */

        unsigned n_asked;     /* questions in a row */
        bool requested;       /* the daemon has requested calls */
        uint64_t others_usec; /* from when on of users other than root; 0: from now on */

        User users[USERS_MAX]; /* the first is root */
        size_t next_user;
        User *sent;         /* whose calls were sent, and remain in the queue until they are served */
        size_t n_in_flight; /* bytes of these calls */
        size_t n_bytes;     /* in the queues of all users and senders */

        Sender senders[BUS_SENDERS_MAX];

        /* A ring: those in the state NEW, in order. Searching the table would touch all of its pages, which
         * then take memory. */
        uint16_t new_senders[BUS_SENDERS_MAX];
        size_t first_new, n_new;
};

/* Sending to the daemon */

/* -EAGAIN while the daemon has much to receive. */
static int send_packet(
                BusReader *reader,
                BusPacketType type,
                uid_t uid,
                size_t sender,
                const void *data,
                size_t n) {
        static BusPacket packet;
        const size_t size = offsetof(BusPacket, data) + n;

        packet.type = type;
        packet.uid = uid;
        packet.pid = 0;
        packet.sender = (uint32_t) sender;
        packet.has_calls = reader->n_bytes > (type == BUS_PACKET_CALLS ? n : reader->n_in_flight);
        memcpy(packet.data, data, n);
        return send(reader->daemon_fd, &packet, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Users and senders */

/* The entry with this user's waiting calls, else a free one, else the last. */
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
        if (!free_user)
                return reader->users + USERS_MAX - 1;

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

/* Consecutive unique names differ in the number at their end, and get different values. */
static size_t hash(const char *name) {
        size_t sum = 0;

        for (; *name != '\0'; name++)
                sum = sum * 10 + (uint8_t) *name;
        return sum;
}

/* The slot of a known sender, or one for a new sender: an unused one, or that of a sender without waiting
 * calls in it. NULL if there is none. */
static Sender *find_slot(BusReader *reader, const char *name) {
        size_t first = hash(name);
        Sender *slot = NULL;

        for (size_t i = 0; i < SENDER_SLOTS; i++) {
                Sender *sender = reader->senders + (first + i) % BUS_SENDERS_MAX;

                if (streq(sender->name, name))
                        return sender;
                if (!slot && (sender->state == SENDER_UNUSED || sender->state == SENDER_KNOWN))
                        slot = sender;
        }

        return slot;
}

/* The queue for a sender's next call. Who has no slot is an unknown user. */
static ByteQueue *find_queue(BusReader *reader, const char *name) {
        Sender *sender = strlen(name) <= SENDER_NAME_MAX ? find_slot(reader, name) : NULL;

        if (!sender)
                return &find_user(reader, UID_UNKNOWN)->calls;

        if (!streq(sender->name, name)) {
                strcpy(sender->name, name);
                sender->state = SENDER_NEW;
                reader->new_senders[(reader->first_new + reader->n_new++) % BUS_SENDERS_MAX] =
                                (uint16_t) (sender - reader->senders);
        }
        return sender->state == SENDER_KNOWN ? &find_user(reader, sender->uid)->calls : &sender->calls;
}

/* A sender whose user could not be found out is forgotten: its next call asks again. */
static int on_user(BusReader *reader, const BusRequest *answer) {
        Sender *sender = reader->senders + answer->sender;
        User *user = find_user(reader, answer->known ? answer->uid : UID_UNKNOWN);
        size_t n = byte_queue_count(&sender->calls);
        int r = 0;

        if (answer->known) {
                sender->state = SENDER_KNOWN;
                sender->uid = answer->uid;
        } else {
                sender->state = SENDER_UNUSED;
                sender->name[0] = '\0';
        }

        if (byte_queue_count(&user->calls) + n > USER_BYTES_MAX)
                reader->n_bytes -= n;
        else
                r = byte_queue_append(&user->calls, byte_queue_first(&sender->calls), n);
        byte_queue_clear(&sender->calls);
        return r;
}

/* What the daemon requests */

static int ask(BusReader *reader) {
        size_t i = reader->new_senders[reader->first_new];
        Sender *sender = reader->senders + i;
        int r;

        r = send_packet(reader, BUS_PACKET_QUESTION, UID_UNKNOWN, i, sender->name, strlen(sender->name) + 1);
        if (r < 0)
                return r;

        sender->state = SENDER_ASKED;
        reader->first_new = (reader->first_new + 1) % BUS_SENDERS_MAX;
        reader->n_new--;
        return 0;
}

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

        r = send_packet(reader, BUS_PACKET_CALLS, root ? UID_ROOT : user->uid, 0, calls, n);
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

/* Sends what is requested, if there is something. Root's calls come first, then questions: root may be among
 * the unknown. But clients that connect again and again must not keep known callers from being served. */
static int send_requested(BusReader *reader) {
        User *user;
        bool asks;
        int r;

        if (!reader->requested)
                return 0;
        if (reader->others_usec <= usec_now(CLOCK_MONOTONIC))
                reader->others_usec = 0;

        user = next_user(reader);
        asks = reader->others_usec == 0 && reader->n_new > 0 &&
               (!user || (user != reader->users && reader->n_asked < QUESTIONS_MAX));
        if (!asks && !user)
                return 0;
        r = asks ? ask(reader) : send_calls(reader, user);
        if (r < 0)
                return r;

        if (asks)
                reader->n_asked++;
        else if (user != reader->users)
                reader->n_asked = 0;
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

        if (request.type == BUS_REQUEST_USER)
                return on_user(reader, &request);
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
        for (size_t i = 0; i < BUS_SENDERS_MAX; i++)
                if (byte_queue_count(&reader->senders[i].calls) > byte_queue_count(longest))
                        longest = &reader->senders[i].calls;
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

        if (!header->expects_reply || strlen(header->sender) > SENDER_NAME_MAX)
                return 0;

        n = bus_header_write_call(call, header->serial, "/", REFUSED_INTERFACE, why, header->sender);
        return queue(reader, calls, call, n);
}

/* Whether a message is for sd-bus: a reply, which only answers a call of ours, or a signal of the bus itself.
 * Anyone may send us signals. */
static bool is_awaited(const BusHeader *header) {
        return header->type != SD_BUS_MESSAGE_SIGNAL || !header->sender || streq(header->sender, DBUS_NAME);
}

/* Without a sender it is not from a bus: something else may listen at a configured address. */
static int route_message(BusReader *reader, const uint8_t *message, size_t header_size, size_t size) {
        bool too_long = size > BUS_MESSAGE_SIZE_MAX;
        BusHeader header;
        ByteQueue *calls;

        if (bus_header_read(message, header_size, &header) < 0)
                return 0;
        if (header.type != SD_BUS_MESSAGE_METHOD_CALL || !header.sender)
                return !too_long && header.n_fds == 0 && is_awaited(&header)
                                       ? send_packet(reader, BUS_PACKET_BYTES, UID_UNKNOWN, 0, message, size)
                                       : 0;

        calls = find_queue(reader, header.sender);
        if (too_long)
                return queue_refusal(reader, calls, &header, REFUSED_TOO_LONG);
        if (header.n_fds > 0)
                return queue_refusal(reader, calls, &header, REFUSED_DESCRIPTORS);
        if (byte_queue_count(calls) + size > USER_CALLS_MAX)
                return queue_refusal(reader, calls, &header, REFUSED_TOO_MANY);
        return queue(reader, calls, message, size);
}

/* Processes one received message. Returns 0 if none is complete, or if too little of a long one was received
 * to know its sender. */
static int process_received(BusReader *reader) {
        ByteQueue *received = &reader->received;
        const uint8_t *message = byte_queue_first(received);
        size_t n = byte_queue_count(received), header_size, size;
        int r;

        if (n < BUS_HEADER_FIXED_SIZE)
                return 0;
        r = bus_header_sizes(message, &header_size, &size);
        if (r < 0)
                return r;

        if (n < size && (size <= BUS_MESSAGE_SIZE_MAX || n < MIN(header_size, BUS_MESSAGE_SIZE_MAX)))
                return 0;

        /* If the header alone is too long, the sender is unknown and nobody gets a reply. */
        r = header_size <= BUS_MESSAGE_SIZE_MAX ? route_message(reader, message, header_size, size) : 0;
        if (r < 0)
                return r;

        reader->skip = size - MIN(n, size);
        byte_queue_drop(received, MIN(n, size));
        return 1;
}

/* Processes one line of the authentication, which precedes all messages. The last one follows the OK: it
 * answers whether descriptors may be passed. sd-bus interprets them. */
static int process_line(BusReader *reader) {
        ByteQueue *received = &reader->received;
        const char *line = (const char *) byte_queue_first(received), *end;
        size_t n = byte_queue_count(received);
        int r;

        end = n > 0 ? memchr(line, '\n', n) : NULL;
        if (!end)
                return n > BUS_MESSAGE_SIZE_MAX ? -EBADMSG : 0;

        n = (size_t) (end - line) + 1;
        reader->authenticated = reader->accepted;
        reader->accepted = reader->accepted || strncmp(line, "OK", 2) == 0;
        r = send_packet(reader, BUS_PACKET_BYTES, UID_UNKNOWN, 0, line, n);
        if (r < 0)
                return r;

        byte_queue_drop(received, n);
        return 1;
}

/* Returns 0 if nothing was received. */
static int receive(BusReader *reader) {
        static uint8_t buffer[READ_SIZE];
        size_t skip;
        ssize_t n;
        int r;

        n = recv(reader->bus_fd, buffer, sizeof(buffer), MSG_DONTWAIT);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (n == 0)
                return -ECONNRESET;

        skip = MIN((size_t) n, reader->skip);
        reader->skip -= skip;
        r = byte_queue_append(&reader->received, buffer + skip, (size_t) n - skip);
        return r < 0 ? r : 1;
}

static int process(BusReader *reader) {
        int r;

        while ((r = reader->authenticated ? process_received(reader) : process_line(reader)) > 0)
                ;
        return r;
}

static int work(BusReader *reader) {
        int r;

        r = process(reader);
        for (unsigned i = 0; r >= 0 && i < READS_MAX; i++) {
                r = receive(reader);
                if (r == 0)
                        break;
                if (r > 0)
                        r = process(reader);
        }
        return r < 0 ? r : send_requested(reader);
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
        struct pollfd fds[] = {
                { .fd = reader->daemon_fd, .events = (short) (reader->blocked ? POLLIN | POLLOUT : POLLIN) },
                { .fd = reader->blocked ? -1 : reader->bus_fd, .events = POLLIN },
        };
        int r;

        if (reader->requested && !reader->blocked)
                wait_msec = limit_wait_msec(wait_msec, reader->others_usec);
        r = poll(fds, ELEMENTSOF(fds), wait_msec);
        return r < 0 && errno != EINTR ? -errno : r > 0;
}

int bus_reader_new(int daemon_fd, int bus_fd, BusReader **ret) {
        BusReader *reader;

        reader = calloc(1, sizeof(*reader));
        if (!reader)
                return -ENOMEM;

        reader->daemon_fd = daemon_fd;
        reader->bus_fd = bus_fd;
        *ret = reader;
        return 0;
}

BusReader *bus_reader_free(BusReader *reader) {
        if (!reader)
                return NULL;

        byte_queue_clear(&reader->received);
        for (size_t i = 0; i < USERS_MAX; i++)
                byte_queue_clear(&reader->users[i].calls);
        for (size_t i = 0; i < BUS_SENDERS_MAX; i++)
                byte_queue_clear(&reader->senders[i].calls);
        free(reader);
        return NULL;
}
