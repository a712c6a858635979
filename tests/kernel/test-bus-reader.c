/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The process that reads from the bus, without a bus and without a daemon: which of the calls that wait is
 * passed on next, and when; and its second connection. What it refuses is in bus/test-flood.c. */

#include "bus-reader.h"

#include <malloc.h>
#include <sys/socket.h>

#include "asked-bus.h"
#include "names.h"

#define UID_OTHER 1

/* The test has the other ends. */
typedef struct Bench {
        int packets[2], bus[2], users_fd;
        AskedBus asked;
        BusReader *reader;
} Bench;

static void send_all(int fd, const void *data, size_t n) {
        g_assert_cmpint(send(fd, data, n, MSG_NOSIGNAL), ==, n);
}

/* Until nothing is left to do. */
static void bench_work(const Bench *bench) {
        do
                g_assert_no_errno(bus_reader_work(bench->reader));
        while (bus_reader_wait(bench->reader, 0) > 0);
}

/* There is no question; authentication and Hello are answered. */
static void bench_take_no_question(Bench *bench) {
        g_autofree char *name = NULL;
        guint32 serial;

        g_assert_false(asked_bus_take(&bench->asked, &serial, &name));
        bench_work(bench);
}

static void bench_init_unconnected(Bench *bench) {
        *bench = (Bench){};
        g_assert_no_errno(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, bench->packets));
        g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, bench->bus));
        asked_bus_init(&bench->asked, &bench->users_fd);
        g_assert_no_errno(bus_reader_new(bench->packets[1], bench->bus[1], bench->users_fd, &bench->reader));
}

static void bench_init(Bench *bench) {
        static const char lines[] = "OK " ASKED_BUS_GUID "\r\nAGREE_UNIX_FD\r\n";

        bench_init_unconnected(bench);
        send_all(bench->bus[0], lines, sizeof(lines) - 1);
        bench_work(bench);
        bench_take_no_question(bench);
}

static void bench_done(Bench *bench) {
        bus_reader_free(bench->reader);
        asked_bus_done(&bench->asked);
        (void) close(bench->users_fd);
        for (unsigned i = 0; i < 2; i++) {
                (void) close(bench->packets[i]);
                (void) close(bench->bus[i]);
        }
}

/* text: an argument, or NULL. */
static void bench_call_with(const Bench *bench, const char *sender, const char *text) {
        g_autoptr(GDBusMessage) message =
                        g_dbus_message_new_method_call(BUS_NAME, BUS_PATH, PEER_INTERFACE, "Ping");
        g_autofree guchar *blob = NULL;
        g_autoptr(GError) error = NULL;
        gsize size;

        if (text)
                g_dbus_message_set_body(message, g_variant_new("(s)", text));
        g_dbus_message_set_sender(message, sender);
        g_dbus_message_set_serial(message, 1);
        blob = g_dbus_message_to_blob(message, &size, G_DBUS_CAPABILITY_FLAGS_NONE, &error);
        g_assert_no_error(error);
        send_all(bench->bus[0], blob, size);
        bench_work(bench);
}

/* All these calls have the same size. */
static void bench_call(const Bench *bench, const char *sender) {
        bench_call_with(bench, sender, NULL);
}

static void bench_request(const Bench *bench, uint64_t others_usec, size_t n_served) {
        const BusRequest request = {
                .others_usec = others_usec,
                .n_served = (uint32_t) n_served,
        };

        send_all(bench->packets[0], &request, sizeof(request));
        bench_work(bench);
}

/* The serial number of the question about this sender, which must be the only one. */
static guint32 bench_take_question(Bench *bench, const char *sender) {
        g_autofree char *name = NULL;
        guint32 serial;

        g_assert_true(asked_bus_take(&bench->asked, &serial, &name));
        g_assert_cmpstr(name, ==, sender);
        bench_take_no_question(bench);
        return serial;
}

static void bench_answer(const Bench *bench, guint32 serial, uid_t uid) {
        asked_bus_answer(&bench->asked, serial, uid);
        bench_work(bench);
}

/* The first call of a sender. */
static void bench_introduce(Bench *bench, const char *sender, uid_t uid) {
        bench_call(bench, sender);
        bench_answer(bench, bench_take_question(bench, sender), uid);
}

/* The packet that the daemon has got, in *ret; the size of its data, or 0 if there is none. */
static size_t bench_take(const Bench *bench, BusPacket *ret) {
        ssize_t n;

        do
                n = recv(bench->packets[0], ret, sizeof(*ret), MSG_DONTWAIT);
        while (n > 0 && ret->type == BUS_PACKET_BYTES);
        return n < 0 ? 0 : (size_t) n - offsetof(BusPacket, data);
}

/* The next packet has calls of this user. Returns their size. */
static size_t take_calls(const Bench *bench, uid_t uid) {
        static BusPacket packet;
        size_t n = bench_take(bench, &packet);

        g_assert_cmpuint(n, >, 0);
        g_assert_cmpint(packet.type, ==, BUS_PACKET_CALLS);
        g_assert_cmpint(packet.uid, ==, uid);
        return n;
}

/* A call waits for the time that the request names; a call of root does not. */
static void test_others_wait(void) {
        uint64_t others_usec;
        static BusPacket packet;
        size_t n;
        Bench bench;

        bench_init(&bench);
        bench_introduce(&bench, ":1.1", UID_OTHER);
        others_usec = usec_now(CLOCK_MONOTONIC) + 100 * USEC_PER_MSEC;
        bench_request(&bench, others_usec, 0);
        while ((n = bench_take(&bench, &packet)) == 0) {
                g_assert_no_errno(bus_reader_wait(bench.reader, -1));
                g_assert_no_errno(bus_reader_work(bench.reader));
        }
        g_assert_cmpuint(usec_now(CLOCK_MONOTONIC), >=, others_usec);
        g_assert_cmpint(packet.uid, ==, UID_OTHER);

        bench_introduce(&bench, ":1.2", UID_ROOT);
        bench_request(&bench, others_usec + USEC_PER_HOUR, n);
        (void) take_calls(&bench, UID_ROOT);
        bench_done(&bench);
}

/* A sender's calls wait until its user is known, and hold up nobody else's. Root's then come first. */
static void test_questions(void) {
        static BusPacket packet;
        guint32 serial;
        size_t n;
        Bench bench;

        bench_init(&bench);
        bench_call(&bench, ":1.1");
        bench_call(&bench, ":1.1");
        serial = bench_take_question(&bench, ":1.1");
        bench_request(&bench, 0, 0);
        g_assert_cmpuint(bench_take(&bench, &packet), ==, 0);

        bench_introduce(&bench, ":1.2", UID_OTHER);
        n = take_calls(&bench, UID_OTHER);
        bench_call(&bench, ":1.2");

        bench_answer(&bench, serial, UID_ROOT);
        bench_request(&bench, 0, n);
        n = take_calls(&bench, UID_ROOT);
        bench_request(&bench, 0, n);
        g_assert_cmpuint(take_calls(&bench, UID_ROOT), ==, n);
        bench_request(&bench, 0, n);
        (void) take_calls(&bench, UID_OTHER);
        bench_done(&bench);
}

/* Calls of a sender whose user cannot be known are those of an unknown user; its next call asks again. */
static void test_unknown_user(void) {
        size_t n;
        Bench bench;

        bench_init(&bench);
        bench_call(&bench, ":1.1");
        asked_bus_refuse(&bench.asked, bench_take_question(&bench, ":1.1"), ERROR_FAILED);
        bench_work(&bench);
        bench_request(&bench, 0, 0);
        n = take_calls(&bench, UID_UNKNOWN);

        bench_introduce(&bench, ":1.1", UID_OTHER);
        bench_request(&bench, 0, n);
        (void) take_calls(&bench, UID_OTHER);
        bench_done(&bench);
}

/* Calls of a sender that has disconnected are dropped. */
static void test_gone(void) {
        static BusPacket packet;
        Bench bench;

        bench_init(&bench);
        bench_request(&bench, 0, 0);
        bench_call(&bench, ":1.1");
        asked_bus_refuse(&bench.asked, bench_take_question(&bench, ":1.1"), ERROR_NO_OWNER);
        bench_work(&bench);
        g_assert_cmpuint(bench_take(&bench, &packet), ==, 0);

        bench_introduce(&bench, ":1.2", UID_OTHER);
        g_assert_cmpuint(bench_take(&bench, &packet), >, 0);
        g_assert_cmpint(packet.uid, ==, UID_OTHER);
        g_assert_false(packet.has_calls);
        bench_done(&bench);
}

/* More calls than are kept, of very many senders whose user is not known yet: none of root's is among what is
 * dropped, whether it is known or not. */
static void test_too_much(void) {
        enum {
                N_SENDERS = 100,
                N_CALLS = 16,
                KEPT_MAX = 20 * 1024 * 1024
        };
        g_autofree char *text = g_strnfill(15000, 'x');
        size_t n, before = mallinfo2().uordblks + mallinfo2().hblkhd;
        guint32 serial;
        Bench bench;

        bench_init(&bench);
        bench_introduce(&bench, ":1.1", UID_ROOT);
        bench_call(&bench, ":1.2");
        serial = bench_take_question(&bench, ":1.2");
        for (unsigned i = 0; i < N_SENDERS; i++) {
                g_autofree char *sender = g_strdup_printf(":1.%u", 100 + i);

                for (unsigned j = 0; j < N_CALLS; j++)
                        bench_call_with(&bench, sender, text);
        }
        g_assert_cmpuint(mallinfo2().uordblks + mallinfo2().hblkhd, <, before + KEPT_MAX);

        bench_answer(&bench, serial, UID_ROOT);
        bench_request(&bench, 0, 0);
        n = take_calls(&bench, UID_ROOT);
        bench_request(&bench, 0, n);
        g_assert_cmpuint(take_calls(&bench, UID_ROOT), ==, n);
        bench_done(&bench);
}

/* Nothing is read before the bus has accepted the second connection. */
static void test_not_connected(void) {
        static const char line[] = "OK " ASKED_BUS_GUID "\r\n";
        static BusPacket packet;
        Bench bench;

        bench_init_unconnected(&bench);
        send_all(bench.bus[0], line, sizeof(line) - 1);
        bench_work(&bench);
        g_assert_cmpint(recv(bench.packets[0], &packet, sizeof(packet), MSG_DONTWAIT), <, 0);
        bench_take_no_question(&bench);
        g_assert_cmpint(recv(bench.packets[0], &packet, sizeof(packet), MSG_DONTWAIT), >, 0);
        bench_done(&bench);
}

/* The same name on another bus belongs to another connection. */
static void test_other_bus(void) {
        static const char line[] = "OK 00000000000000000000000000000000\r\n";
        Bench bench;

        bench_init_unconnected(&bench);
        bench_work(&bench);
        bench_take_no_question(&bench);
        send_all(bench.bus[0], line, sizeof(line) - 1);
        g_assert_cmpint(bus_reader_work(bench.reader), ==, -ECONNREFUSED);
        bench_done(&bench);
}

/* The end of the second connection ends the reader. */
static void test_lost(void) {
        Bench bench;

        bench_init(&bench);
        (void) shutdown(bench.asked.fd, SHUT_RDWR);
        g_assert_cmpint(bus_reader_work(bench.reader), ==, -ECONNRESET);
        bench_done(&bench);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/bus-reader/others-wait", test_others_wait);
        g_test_add_func("/bus-reader/questions", test_questions);
        g_test_add_func("/bus-reader/unknown-user", test_unknown_user);
        g_test_add_func("/bus-reader/gone", test_gone);
        g_test_add_func("/bus-reader/too-much", test_too_much);
        g_test_add_func("/bus-reader/not-connected", test_not_connected);
        g_test_add_func("/bus-reader/other-bus", test_other_bus);
        g_test_add_func("/bus-reader/lost", test_lost);

        return g_test_run();
}
