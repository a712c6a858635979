/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The process that serves a socket, without a daemon: descriptors in replies, whose call waits, its end. The
 * rest is in bus/test-sockets.c. */

#include "peers.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <gio/gunixfdlist.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "bus-intake.h"
#include "bus-reader.h"
#include "names.h"

/* Fewer than are reaped when they were left before their end. */
#define N_ENDS 20

/* Anybody but root. */
#define UID_OTHER 65534

#define BEGUN "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"

static void send_all(int fd, const void *data, size_t n) {
        g_assert_cmpint(send(fd, data, n, MSG_NOSIGNAL), ==, n);
}

static guchar *new_ping(gsize *ret_size) {
        g_autoptr(GDBusMessage) message =
                        g_dbus_message_new_method_call(NULL, BUS_PATH, PEER_INTERFACE, "Ping");
        g_autoptr(GError) error = NULL;
        guchar *blob;

        g_dbus_message_set_serial(message, 1);
        blob = g_dbus_message_to_blob(message, ret_size, G_DBUS_CAPABILITY_FLAGS_NONE, &error);
        g_assert_no_error(error);
        return blob;
}

/* Peers without a daemon: the test has its ends of the link and of the packets, and a connection. */
typedef struct Bench {
        Listener listener;
        int packets[2], link[2], fd;
        Peers *peers;
} Bench;

/* Until nothing is left to do. */
static void bench_work(const Bench *bench) {
        for (unsigned i = 0; i < 20; i++)
                g_assert_cmpint(peers_work(bench->peers, 0), >=, 0);
}

/* Connects as this user with these lines, and makes a call. */
static void bench_call(Bench *bench, uid_t uid, const char *lines, size_t n) {
        static const char link_lines[] = "\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n";
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        socklen_t size = sizeof(address);
        g_autofree guchar *ping = NULL;
        gsize ping_size;

        bench->listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        g_assert_cmpint(bind(bench->listener.fd, (const struct sockaddr *) &address, sizeof(sa_family_t)), ==,
                        0);
        g_assert_cmpint(listen(bench->listener.fd, 1), ==, 0);
        g_assert_cmpint(getsockname(bench->listener.fd, (struct sockaddr *) &address, &size), ==, 0);
        g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, bench->packets), ==, 0);
        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, bench->link), ==, 0);
        g_assert_cmpint(peers_new(bench->packets[1], bench->link[1], &bench->listener, &bench->peers), ==, 0);
        send_all(bench->link[0], link_lines, sizeof(link_lines) - 1);
        bench->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        g_assert_no_errno(seteuid(uid));
        g_assert_no_errno(connect(bench->fd, (const struct sockaddr *) &address, size));
        g_assert_no_errno(seteuid(getuid()));
        send_all(bench->fd, lines, n);
        ping = new_ping(&ping_size);
        send_all(bench->fd, ping, ping_size);
        bench_work(bench);
}

static void bench_request(const Bench *bench, uint64_t others_usec) {
        const BusRequest request = { .others_usec = others_usec };

        send_all(bench->packets[0], &request, sizeof(request));
        bench_work(bench);
}

/* Whether the daemon has got the call; then it is of this user. */
static bool bench_has_call(const Bench *bench, uid_t uid) {
        static BusPacket packet;

        do
                if (recv(bench->packets[0], &packet, sizeof(packet), MSG_DONTWAIT) < 0)
                        return false;
        while (packet.type == BUS_PACKET_BYTES);

        g_assert_cmpint(packet.type, ==, BUS_PACKET_CALLS);
        g_assert_cmpint(packet.uid, ==, uid);
        g_assert_cmpint(packet.pid, ==, getpid());
        return true;
}

/* Connects with these lines, and has one call taken by the daemon. */
static void bench_begin(Bench *bench, const char *lines, size_t n) {
        bench_call(bench, getuid(), lines, n);
        bench_request(bench, 0);
        g_assert_true(bench_has_call(bench, getuid()));
}

static void bench_done(Bench *bench) {
        peers_free(bench->peers);
        for (unsigned i = 0; i < 2; i++) {
                (void) close(bench->packets[i]);
                (void) close(bench->link[i]);
        }
        (void) close(bench->listener.fd);
        (void) close(bench->fd);
}

/* The reply of the daemon comes in two parts, the descriptor with the first. */
static void bench_reply(const Bench *bench, const char *destination, int fd) {
        g_autoptr(GDBusMessage) reply = g_dbus_message_new();
        g_autoptr(GUnixFDList) list = g_unix_fd_list_new();
        g_autofree guchar *blob = NULL;
        g_autoptr(GError) error = NULL;
        union {
                struct cmsghdr header;
                uint8_t buffer[CMSG_SPACE(sizeof(int))];
        } control = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
        struct iovec data = { .iov_len = 20 };
        const struct msghdr message = {
                .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
        };
        gsize size;

        g_assert_cmpint(g_unix_fd_list_append(list, fd, NULL), ==, 0);
        g_dbus_message_set_message_type(reply, G_DBUS_MESSAGE_TYPE_METHOD_RETURN);
        g_dbus_message_set_reply_serial(reply, 1);
        g_dbus_message_set_serial(reply, 1);
        g_dbus_message_set_destination(reply, destination);
        g_dbus_message_set_unix_fd_list(reply, list);
        g_dbus_message_set_body(reply, g_variant_new("(h)", 0));
        blob = g_dbus_message_to_blob(reply, &size, G_DBUS_CAPABILITY_FLAGS_UNIX_FD_PASSING, &error);
        g_assert_no_error(error);

        data.iov_base = blob;
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
        g_assert_cmpint(sendmsg(bench->link[0], &message, 0), ==, 20);
        bench_work(bench);
        send_all(bench->link[0], blob + 20, size - 20);
        bench_work(bench);
}

/* Receives all there is; returns the descriptor that came with it, or -1. */
static int receive_descriptor(int socket) {
        union {
                struct cmsghdr header;
                uint8_t buffer[CMSG_SPACE(sizeof(int))];
        } control = {};
        uint8_t buffer[4096];
        int fd = -1;

        for (;;) {
                struct iovec data = { .iov_base = buffer, .iov_len = sizeof(buffer) };
                struct msghdr message = { .msg_iov = &data,
                                          .msg_iovlen = 1,
                                          .msg_control = &control,
                                          .msg_controllen = sizeof(control) };

                if (recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0)
                        return fd;
                if (CMSG_FIRSTHDR(&message))
                        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
        }
}

/* Whether every copy of the other end of a pipe is closed. */
static bool has_ended(int pipe_end) {
        struct pollfd end = { .fd = pipe_end };

        return poll(&end, 1, 0) == 1 && (end.revents & POLLHUP);
}

/* A reply with a descriptor reaches the peer that accepts one. Else nobody keeps a copy. */
static void check_descriptor(const char *lines, size_t n, const char *destination, bool passes) {
        Bench bench = {};
        int ends[2], fd;

        bench_begin(&bench, lines, n);
        g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
        bench_reply(&bench, destination, ends[1]);
        (void) close(ends[1]);

        g_assert_cmpint(has_ended(ends[0]), ==, !passes);
        fd = receive_descriptor(bench.fd);
        g_assert_cmpint(fd >= 0, ==, passes);
        if (fd >= 0)
                (void) close(fd);
        g_assert_true(has_ended(ends[0]));
        (void) close(ends[0]);
        bench_done(&bench);
}

static void test_reply_descriptors(void) {
        static const char negotiated[] = "\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n";

        check_descriptor(negotiated, sizeof(negotiated) - 1, ":1.1", true);
        check_descriptor(negotiated, sizeof(negotiated) - 1, ":1.2", false);
        check_descriptor(BEGUN, sizeof(BEGUN) - 1, ":1.1", false);
}

/* A requested call of root is sent at once, one of somebody else from the time on that the request names. */
static void test_others_wait(void) {
        Bench bench = {};
        uint64_t others_usec;

        if (geteuid() != 0) {
                g_test_skip("only root can be two users");
                return;
        }

        bench_call(&bench, UID_ROOT, BEGUN, sizeof(BEGUN) - 1);
        bench_request(&bench, usec_now(CLOCK_MONOTONIC) + USEC_PER_HOUR);
        g_assert_true(bench_has_call(&bench, UID_ROOT));
        bench_done(&bench);

        bench_call(&bench, UID_OTHER, BEGUN, sizeof(BEGUN) - 1);
        others_usec = usec_now(CLOCK_MONOTONIC) + 100 * USEC_PER_MSEC;
        bench_request(&bench, others_usec);
        while (!bench_has_call(&bench, UID_OTHER))
                g_assert_cmpint(peers_work(bench.peers, -1), >=, 0);
        g_assert_cmpuint(usec_now(CLOCK_MONOTONIC), >=, others_usec);
        bench_done(&bench);
}

/* How often this thread has waited for anything. */
static long count_waits(void) {
        struct rusage usage;

        g_assert_no_errno(getrusage(RUSAGE_THREAD, &usage));
        return usage.ru_nvcsw;
}

/* Starts the process, and ends it. Returns how often the end waited. */
static long end_intake(const Listener *listener) {
        BusIntake *intake;
        sd_bus *bus;
        int link[2], feed[2];
        long before, n;

        g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link));
        g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, feed));
        g_assert_cmpint(sd_bus_new(&bus), >=, 0);
        g_assert_cmpint(bus_intake_new(bus, link[1], feed[1], listener, &intake), ==, 0);

        sd_bus_close_unref(bus);
        before = count_waits();
        bus_intake_free(intake);
        n = count_waits() - before;

        for (unsigned i = 0; i < 2; i++) {
                (void) close(link[i]);
                (void) close(feed[i]);
        }
        return n;
}

/* When a connection is replaced, the event loop does not wait for the end of its process, which is reaped
 * later. */
static void test_end(void) {
        const struct sockaddr_un address = { .sun_family = AF_UNIX };
        Listener listener = { .process_name = "test-peers" };
        siginfo_t info;
        long n_waits = 0;

        listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        g_assert_no_errno(listener.fd);
        g_assert_no_errno(bind(listener.fd, (const struct sockaddr *) &address, sizeof(sa_family_t)));
        g_assert_no_errno(listen(listener.fd, 1));
        for (unsigned i = 0; i < N_ENDS; i++)
                n_waits += end_intake(i % 2 == 0 ? &listener : NULL);
        g_assert_cmpint(n_waits, ==, 0);

        while (waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) >= 0)
                child_reap_left();
        g_assert_cmpint(errno, ==, ECHILD);
        g_assert_no_errno(close(listener.fd));
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/peers/reply-descriptors", test_reply_descriptors);
        g_test_add_func("/peers/others-wait", test_others_wait);
        g_test_add_func("/peers/end", test_end);

        return g_test_run();
}
