/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The users of connections: see bus-users.h. */

#include "bus-users.h"

#include <search.h>
#include <sys/socket.h>

#include "bus-header.h"
#include "bus-stream.h"
#include "memory.h"
#include "names.h"

/* The most that is read of one message. */
#define ANSWER_SIZE_MAX ((size_t) 4 * 1024)

/* After this time a question without an answer is repeated: the bus drops the answer if others have sent us
 * more than it queues for a connection (dbus-daemon: 127 MiB). One that is only late still counts. */
#define ASK_AGAIN_USEC (2 * USEC_PER_SEC)

/* Without an identity, EXTERNAL means the user that the kernel reports for the socket. Source: the D-Bus
 * specification, "Authentication Protocol". */
#define AUTHENTICATION "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"
#define AUTH_OK "OK "
#define AUTH_DATA "DATA"

/* Enough for "OK ", the GUID of the bus (32 hexadecimal digits), and the end of the line. */
#define LINE_SIZE_MAX 64

#define HELLO_SERIAL 1

#define ERROR_NO_OWNER "org.freedesktop.DBus.Error.NameHasNoOwner"

typedef struct Sender {
        char name[BUS_HEADER_SENDER_MAX + 1]; /* "": unused */
        uint32_t serial;                      /* of the open question; 0: none */
        uid_t uid;
        uint64_t asked_usec;
} Sender;

struct BusUsers {
        BusStream stream;
        char ok_line[LINE_SIZE_MAX]; /* after it, messages come */
        size_t ok_line_size;         /* 0: not yet */
        bool connected;
        ByteQueue unsent;

        bus_user_t on_user;
        void *userdata;

        Sender senders[BUS_USERS_MAX];
        void *by_name; /* those in use: a tree of tsearch(3) */
        size_t next;   /* where the search for a place begins */

        size_t n_asked;
        uint32_t n_questions; /* so far, without repeated ones; begins again at 1 */
        uint64_t again_usec;  /* when to check for questions without an answer; 0: none is open */
};

/* The table */

static int compare_names(const void *a, const void *b) {
        const Sender *first = a, *second = b;

        return strcmp(first->name, second->name);
}

static Sender *find_name(const BusUsers *users, const char *name) {
        Sender key, **found;

        strcpy(key.name, name);
        found = tfind(&key, &users->by_name, compare_names);
        return found ? *found : NULL;
}

static void forget(BusUsers *users, Sender *sender) {
        tdelete(sender, &users->by_name, compare_names);
        sender->name[0] = '\0';
}

/* The next place without an open question, in turn: mostly the one taken longest ago. A connection that had
 * it causes a new question at its next call; most have disconnected by then. NULL if every place has an open
 * question. */
static Sender *find_place(BusUsers *users) {
        for (size_t i = 0; i < BUS_USERS_MAX; i++) {
                Sender *sender = users->senders + users->next++ % BUS_USERS_MAX;

                if (sender->serial == 0)
                        return sender;
        }

        return NULL;
}

static int add_name(BusUsers *users, const char *name, Sender **ret) {
        Sender *sender = find_place(users);

        if (!sender)
                return -ENOBUFS;
        if (sender->name[0] != '\0')
                forget(users, sender);

        strcpy(sender->name, name);
        if (!tsearch(sender, &users->by_name, compare_names))
                return -ENOMEM;

        *ret = sender;
        return 0;
}

/* Asking */

static int send_call(BusUsers *users, uint32_t serial, const char *member, const char *argument) {
        uint8_t call[BUS_HEADER_CALL_SIZE_MAX];
        size_t n;

        n = bus_header_write_call(
                        call, &(BusCall){ .serial = serial,
                                          .path = DBUS_PATH,
                                          .interface = DBUS_INTERFACE,
                                          .member = member,
                                          .destination = DBUS_NAME,
                                          .argument = argument });
        return byte_queue_append(&users->unsent, call, n);
}

static int send_question(BusUsers *users, Sender *sender) {
        sender->asked_usec = usec_now(CLOCK_MONOTONIC);
        if (users->again_usec == 0)
                users->again_usec = sender->asked_usec + ASK_AGAIN_USEC;
        return send_call(users, sender->serial, "GetConnectionUnixUser", sender->name);
}

/* Each question has its own serial number, which gives the place of its sender; a repeated one keeps it. None
 * is that of Hello. */
static uint32_t next_serial(BusUsers *users, const Sender *sender) {
        if (++users->n_questions > UINT32_MAX / BUS_USERS_MAX)
                users->n_questions = 1;

        return users->n_questions * BUS_USERS_MAX + (uint32_t) (sender - users->senders);
}

static Sender *find_asked(BusUsers *users, uint32_t serial) {
        Sender *sender = users->senders + serial % BUS_USERS_MAX;

        return serial != 0 && sender->serial == serial ? sender : NULL;
}

static int ask(BusUsers *users, Sender *sender) {
        sender->serial = next_serial(users, sender);
        users->n_asked++;
        return send_question(users, sender);
}

/* While something is unsent, the bus has not read the earlier questions: repeating them would only lengthen
 * the queue. */
static int ask_again(BusUsers *users) {
        const uint64_t usec = usec_now(CLOCK_MONOTONIC);
        int r = 0;

        if (users->again_usec == 0 || usec < users->again_usec)
                return 0;
        users->again_usec = usec + ASK_AGAIN_USEC;
        if (byte_queue_count(&users->unsent) > 0)
                return 0;

        for (size_t i = 0; i < BUS_USERS_MAX && r >= 0; i++) {
                Sender *sender = users->senders + i;

                if (sender->serial != 0 && usec >= sender->asked_usec + ASK_AGAIN_USEC)
                        r = send_question(users, sender);
        }

        return r;
}

static int find_or_ask(BusUsers *users, const char *name, Sender **ret) {
        const size_t n = strlen(name);
        int r;

        if (n == 0 || n > BUS_HEADER_SENDER_MAX)
                return -ENOBUFS;
        *ret = find_name(users, name);
        if (*ret)
                return 0;

        r = add_name(users, name, ret);
        return r < 0 ? r : ask(users, *ret);
}

int bus_users_find(BusUsers *users, const char *name, size_t *ret_number, uid_t *ret_uid) {
        Sender *sender;
        int r;

        r = find_or_ask(users, name, &sender);
        if (r == -ENOBUFS) {
                *ret_uid = UID_UNKNOWN;
                return 1;
        }
        if (r < 0)
                return r;

        *ret_number = (size_t) (sender - users->senders);
        if (sender->serial != 0)
                return 0;

        *ret_uid = sender->uid;
        return 1;
}

/* Answers */

static int note_answer(BusUsers *users, Sender *sender, bool is_gone, uid_t uid) {
        if (--users->n_asked == 0)
                users->again_usec = 0;
        sender->serial = 0;
        sender->uid = uid;
        if (uid == UID_UNKNOWN)
                forget(users, sender);

        return users->on_user((size_t) (sender - users->senders), is_gone, uid, users->userdata);
}

static int process_answer(BusUsers *users, const BusHeader *header, const StreamMessage *message) {
        const bool is_error = header->type == SD_BUS_MESSAGE_METHOD_ERROR;
        Sender *sender = find_asked(users, header->reply_serial);
        uid_t uid = UID_UNKNOWN;

        if (header->reply_serial == HELLO_SERIAL) {
                users->connected = !is_error;
                return is_error ? -ECONNREFUSED : 0;
        }
        if (!sender)
                return 0;

        if (!is_error && message->size == message->header_size + sizeof(uint32_t))
                uid = bus_header_read_number(message->data, message->header_size);
        return note_answer(users, sender, is_error && streq(header->error_name ?: "", ERROR_NO_OWNER), uid);
}

/* Returns 0 if none is complete. */
static int process_message(BusUsers *users) {
        StreamMessage message;
        BusHeader header;
        int r;

        r = bus_stream_message(&users->stream, ANSWER_SIZE_MAX, &message);
        if (r <= 0)
                return r;

        if (message.size <= ANSWER_SIZE_MAX &&
            bus_header_read(message.data, message.header_size, &header) >= 0 &&
            streq(header.sender ?: "", DBUS_NAME))
                r = process_answer(users, &header, &message);
        bus_stream_drop(&users->stream, message.size);
        return r < 0 ? r : 1;
}

static int process_line(BusUsers *users) {
        const char *line;
        ssize_t n;

        n = bus_stream_line(&users->stream, LINE_SIZE_MAX, &line);
        if (n <= 0)
                return (int) n;

        if (strncmp(line, AUTH_OK, strlen(AUTH_OK)) == 0) {
                users->ok_line_size = (size_t) n;
                memcpy(users->ok_line, line, users->ok_line_size);
        } else if (strncmp(line, AUTH_DATA, strlen(AUTH_DATA)) != 0)
                return -EACCES;

        bus_stream_drop(&users->stream, (size_t) n);
        return 1;
}

static int receive(BusUsers *users) {
        int r;

        r = bus_stream_receive(&users->stream, BUS_STREAM_READ_MAX);
        if (r < 0)
                return r;

        while ((r = users->ok_line_size > 0 ? process_message(users) : process_line(users)) > 0)
                ;
        return r;
}

static int flush(BusUsers *users) {
        ssize_t n;

        while (byte_queue_count(&users->unsent) > 0) {
                n = send(users->stream.fd, byte_queue_first(&users->unsent), byte_queue_count(&users->unsent),
                         MSG_DONTWAIT | MSG_NOSIGNAL);
                if (n < 0)
                        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
                byte_queue_drop(&users->unsent, (size_t) n);
        }

        return 0;
}

bool bus_users_is_connected(const BusUsers *users) {
        return users->connected;
}

bool bus_users_has_ok_line(const BusUsers *users, const char *line, size_t n) {
        return n == users->ok_line_size && memcmp(line, users->ok_line, n) == 0;
}

int bus_users_work(BusUsers *users) {
        int r;

        r = receive(users);
        if (r < 0)
                return r;
        r = ask_again(users);
        return r < 0 ? r : flush(users);
}

struct pollfd bus_users_pollfd(const BusUsers *users) {
        return (struct pollfd){
                .fd = users->stream.fd,
                .events = byte_queue_count(&users->unsent) > 0 ? POLLIN | POLLOUT : POLLIN,
        };
}

uint64_t bus_users_time(const BusUsers *users) {
        return users->again_usec;
}

int bus_users_new(int fd, bus_user_t on_user, void *userdata, BusUsers **ret) {
        _cleanup_(bus_users_freep) BusUsers *users = NULL;
        int r;

        users = memory_new_sparse(sizeof(*users));
        if (!users)
                return -ENOMEM;
        users->stream.fd = fd;
        users->on_user = on_user;
        users->userdata = userdata;

        r = byte_queue_append(&users->unsent, AUTHENTICATION, sizeof(AUTHENTICATION) - 1);
        if (r < 0)
                return r;
        r = send_call(users, HELLO_SERIAL, "Hello", NULL);
        if (r < 0)
                return r;

        *ret = TAKE_POINTER(users);
        return 0;
}

static void keep(void *sender) {
}

BusUsers *bus_users_free(BusUsers *users) {
        if (!users)
                return NULL;

        tdestroy(users->by_name, keep);
        bus_stream_clear(&users->stream);
        byte_queue_clear(&users->unsent);
        memory_free_sparse(users, sizeof(*users));
        return NULL;
}
