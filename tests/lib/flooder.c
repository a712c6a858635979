/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Connections that flood: see flooder.h. */

#include "flooder.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "deadline.h"
#include "process.h"

void call_done(Call *call) {
        g_free(call->data);
}

/* Offsets in every message; the second field is in the sender's byte order. */
#define FLAGS_OFFSET 2
#define SERIAL_OFFSET 8

Call call_without_reply(Call call) {
        call.data[FLAGS_OFFSET] |= G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED;
        return call;
}

static Call call_from(GDBusMessage *message, GVariant *arguments) {
        g_autoptr(GError) error = NULL;
        Call call;

        if (arguments)
                g_dbus_message_set_body(message, arguments);
        g_dbus_message_set_serial(message, 1);
        call.data = g_dbus_message_to_blob(message, &call.size, G_DBUS_CAPABILITY_FLAGS_NONE, &error);
        g_assert_no_error(error);
        g_object_unref(message);
        return call;
}

Call call_to(const char *destination,
             const char *path,
             const char *interface,
             const char *member,
             GVariant *arguments) {
        return call_from(g_dbus_message_new_method_call(destination, path, interface, member), arguments);
}

Call call_signal(const char *destination, GVariant *arguments) {
        GDBusMessage *message = g_dbus_message_new_signal(BUS_PATH, BUS_INTERFACE, SIGNAL_SYNC_FINISHED);

        g_dbus_message_set_destination(message, destination);
        return call_from(message, arguments);
}

Call call_of(const char *interface, const char *member, GVariant *arguments) {
        return call_to(BUS_NAME, BUS_PATH, interface, member, arguments);
}

Call call_get_state(void) {
        return call_of(PROPERTIES_INTERFACE, "Get", g_variant_new("(ss)", BUS_INTERFACE, "State"));
}

/* ---- connections that flood ---- */

static void flooder_wait(const Flooder *flooder, short events) {
        struct pollfd socket = { .fd = flooder->fd, .events = events };
        int left_msec = deadline_msec_left(flooder->fixture->deadline_usec);

        if (poll(&socket, 1, left_msec) != 1)
                g_error("the bus takes too long, after %u replies and %u errors", flooder->n_returns,
                        flooder->n_errors);
}

/* Sends as much as the socket accepts; returns whether the call is complete. */
static bool flooder_try_send(Flooder *flooder, const Call *call) {
        if (flooder->n_sent == 0) {
                flooder->serial++;
                memcpy(call->data + SERIAL_OFFSET, &flooder->serial, sizeof(flooder->serial));
        }

        while (flooder->n_sent < call->size) {
                ssize_t n =
                                send(flooder->fd, call->data + flooder->n_sent, call->size - flooder->n_sent,
                                     MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n < 0)
                        return false;
                flooder->n_sent += (size_t) n;
        }

        flooder->n_sent = 0;
        return true;
}

void flooder_send(Flooder *flooder, const Call *call) {
        while (!flooder_try_send(flooder, call)) {
                g_assert_cmpint(errno, ==, EAGAIN);
                flooder_wait(flooder, POLLOUT);
        }
}

/* Removes complete messages from the received bytes. */
static void flooder_count(Flooder *flooder) {
        enum {
                TYPE = 1,
                BODY_SIZE = 4,
                FIELDS_SIZE = 12,
                FIXED_SIZE = 16
        };
        const uint8_t *data = flooder->received->data;
        size_t n = 0;

        while (flooder->received->len - n >= FIXED_SIZE) {
                uint32_t fields_size, body_size;
                size_t size;

                memcpy(&fields_size, data + n + FIELDS_SIZE, sizeof(fields_size));
                memcpy(&body_size, data + n + BODY_SIZE, sizeof(body_size));
                size = FIXED_SIZE + (fields_size + 7) / 8 * 8 + body_size;
                if (flooder->received->len - n < size)
                        break;

                if (data[n + TYPE] == G_DBUS_MESSAGE_TYPE_METHOD_RETURN)
                        flooder->n_returns++;
                else if (data[n + TYPE] == G_DBUS_MESSAGE_TYPE_ERROR)
                        flooder->n_errors++;
                n += size;
        }

        if (n > 0)
                g_byte_array_remove_range(flooder->received, 0, (guint) n);
}

static void flooder_receive(Flooder *flooder) {
        uint8_t buffer[65536];
        ssize_t n;

        while ((n = recv(flooder->fd, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0)
                g_byte_array_append(flooder->received, buffer, (guint) n);
        g_assert_true(n < 0 && errno == EAGAIN);
        flooder_count(flooder);
}

void flooder_await(Flooder *flooder, unsigned n_answers) {
        while (flooder_receive(flooder), flooder->n_returns + flooder->n_errors < n_answers)
                flooder_wait(flooder, POLLIN);
}

/* In the authentication handshake the bus answers in lines. */
static void flooder_authenticate(const Flooder *flooder, uid_t uid) {
        g_autofree char *user = g_strdup_printf("%u", (unsigned) uid);
        g_autoptr(GString) line = g_string_new(NULL);
        char c = '\0';

        g_string_append_c(line, '\0');
        g_string_append(line, "AUTH EXTERNAL ");
        for (const char *p = user; *p; p++)
                g_string_append_printf(line, "%02x", (unsigned) *p);
        g_string_append(line, "\r\n");
        g_assert_cmpint(send(flooder->fd, line->str, line->len, MSG_NOSIGNAL), ==, line->len);

        while (c != '\n') {
                flooder_wait(flooder, POLLIN);
                g_assert_cmpint(recv(flooder->fd, &c, 1, 0), ==, 1);
        }
        g_assert_cmpint(send(flooder->fd, "BEGIN\r\n", 7, MSG_NOSIGNAL), ==, 7);
}

static Flooder flooder_new(const BusFixture *fixture, uid_t uid) {
        _cleanup_call_ Call hello = call_to(DBUS_NAME, DBUS_PATH, DBUS_NAME, "Hello", NULL);
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        g_autofree char *path =
                        fixture->socket ? g_build_filename(fixture->socket_folder, fixture->socket, NULL)
                                        : g_strdup(fixture->bus_address + strlen("unix:path="));
        Flooder flooder = { .fixture = fixture, .received = g_byte_array_new() };

        g_assert_cmpuint(
                        g_strlcpy(address.sun_path, path, sizeof(address.sun_path)), <,
                        sizeof(address.sun_path));
        flooder.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        g_assert_cmpint(flooder.fd, >=, 0);

        g_assert_cmpint(seteuid(uid), ==, 0);
        g_assert_cmpint(connect(flooder.fd, (const struct sockaddr *) &address, sizeof(address)), ==, 0);
        g_assert_cmpint(seteuid(UID_ROOT), ==, 0);

        flooder_authenticate(&flooder, uid);
        if (fixture->socket)
                return flooder;
        flooder_send(&flooder, &hello);
        flooder_await(&flooder, 1);
        g_assert_cmpuint(flooder.n_returns, ==, 1);
        flooder.n_returns = 0;
        return flooder;
}

static void flooder_done(Flooder *flooder) {
        (void) close(flooder->fd);
        (void) g_byte_array_unref(flooder->received);
}

Crowd crowd_new(const BusFixture *fixture, const uid_t *users, size_t n_users, size_t n) {
        Crowd crowd = { .flooders = g_new(Flooder, n), .n = n };

        for (size_t i = 0; i < n; i++)
                crowd.flooders[i] = flooder_new(fixture, users[i % n_users]);
        return crowd;
}

Crowd crowd_new_of(const BusFixture *fixture, uid_t uid, size_t n) {
        return crowd_new(fixture, &uid, 1, n);
}

void crowd_done(Crowd *crowd) {
        for (size_t i = 0; i < crowd->n; i++)
                flooder_done(&crowd->flooders[i]);
        g_free(crowd->flooders);
        *crowd = (Crowd){};
}
void crowd_send(const Crowd *crowd, const Call *call, unsigned n) {
        for (size_t i = 0; i < crowd->n; i++)
                for (unsigned j = 0; j < n; j++)
                        flooder_send(&crowd->flooders[i], call);
}

size_t crowd_receive(const Crowd *crowd, unsigned n_answers) {
        size_t n = 0;

        for (size_t i = 0; i < crowd->n; i++) {
                Flooder *flooder = &crowd->flooders[i];

                flooder_receive(flooder);
                if (flooder->n_returns + flooder->n_errors >= n_answers)
                        n++;
        }

        return n;
}

void crowd_await(const Crowd *crowd, unsigned n_answers) {
        g_autofree struct pollfd *sockets = g_new0(struct pollfd, crowd->n);

        while (crowd_receive(crowd, n_answers) < crowd->n) {
                int left_msec = deadline_msec_left(crowd->flooders[0].fixture->deadline_usec);

                for (size_t i = 0; i < crowd->n; i++)
                        sockets[i] = (struct pollfd){ .fd = crowd->flooders[i].fd, .events = POLLIN };
                if (poll(sockets, crowd->n, left_msec) <= 0)
                        g_error("the bus takes too long");
        }
}

unsigned crowd_count_returns(const Crowd *crowd) {
        unsigned n = 0;

        for (size_t i = 0; i < crowd->n; i++)
                n += crowd->flooders[i].n_returns;
        return n;
}

unsigned crowd_count_errors(const Crowd *crowd) {
        unsigned n = 0;

        for (size_t i = 0; i < crowd->n; i++)
                n += crowd->flooders[i].n_errors;
        return n;
}

typedef struct Flood {
        Crowd crowd;
        Call call;
        bool reads;
        struct pollfd *sockets; /* room for one of each connection */
} Flood;

/* Runs in a process of its own: sends the call over all connections until the process ends. */
static void flood_forever(const void *data) {
        static uint8_t nowhere[65536];
        const Flood *flood = data;
        const Crowd *crowd = &flood->crowd;
        struct pollfd *sockets = flood->sockets;
        const bool reads = flood->reads;

        for (;;) {
                for (size_t i = 0; i < crowd->n; i++) {
                        Flooder *flooder = &crowd->flooders[i];

                        for (unsigned j = 0; j < 10 && flooder_try_send(flooder, &flood->call); j++)
                                ;
                        while (reads && recv(flooder->fd, nowhere, sizeof(nowhere), MSG_DONTWAIT) > 0)
                                ;
                        sockets[i] = (struct pollfd){
                                .fd = flooder->fd,
                                .events = (short) (reads ? POLLIN | POLLOUT : POLLOUT),
                        };
                }

                /* The bus is gone. */
                if (poll(sockets, crowd->n, -1) < 0 || (sockets[0].revents & (POLLERR | POLLHUP)))
                        _exit(EXIT_SUCCESS);
        }
}

pid_t flood_start(Crowd crowd, Call call, bool reads) {
        g_autofree struct pollfd *sockets = g_new0(struct pollfd, crowd.n);
        Process flood = process_fork(flood_forever, &(const Flood){ crowd, call, reads, sockets });

        crowd_done(&crowd);
        call_done(&call);
        g_assert_no_errno(close(flood.pidfd));
        return flood.pid;
}

void flood_stop(pid_t pid) {
        (void) kill(pid, SIGKILL);
        g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
}
