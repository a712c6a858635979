/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Which of the calls that wait is passed on next, and when: the process that reads from the bus, without a
 * bus and without a daemon. What it refuses is in bus/test-flood.c. */

#include "bus-reader.h"

#include <gio/gio.h>
#include <sys/socket.h>

#include "names.h"

#define UID_OTHER 1

/* The test has the other ends. */
typedef struct Bench {
        int packets[2], bus[2];
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

static Bench bench_new(void) {
        static const char lines[] = "OK 0123\r\nAGREE_UNIX_FD\r\n";
        Bench bench = {};

        g_assert_no_errno(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, bench.packets));
        g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, bench.bus));
        g_assert_cmpint(bus_reader_new(bench.packets[1], bench.bus[1], &bench.reader), ==, 0);
        send_all(bench.bus[0], lines, sizeof(lines) - 1);
        bench_work(&bench);
        return bench;
}

static void bench_done(Bench *bench) {
        bus_reader_free(bench->reader);
        for (unsigned i = 0; i < 2; i++) {
                (void) close(bench->packets[i]);
                (void) close(bench->bus[i]);
        }
}

/* All calls have the same size. */
static void bench_call(const Bench *bench, const char *sender) {
        g_autoptr(GDBusMessage) message =
                        g_dbus_message_new_method_call(BUS_NAME, BUS_PATH, PEER_INTERFACE, "Ping");
        g_autofree guchar *blob = NULL;
        g_autoptr(GError) error = NULL;
        gsize size;

        g_dbus_message_set_sender(message, sender);
        g_dbus_message_set_serial(message, 1);
        blob = g_dbus_message_to_blob(message, &size, G_DBUS_CAPABILITY_FLAGS_NONE, &error);
        g_assert_no_error(error);
        send_all(bench->bus[0], blob, size);
        bench_work(bench);
}

static void bench_request(const Bench *bench, uint64_t others_usec, size_t n_served) {
        const BusRequest request = {
                .type = BUS_REQUEST_CALLS,
                .others_usec = others_usec,
                .n_served = (uint32_t) n_served,
        };

        send_all(bench->packets[0], &request, sizeof(request));
        bench_work(bench);
}

static void bench_answer(const Bench *bench, uint32_t sender, uid_t uid) {
        const BusRequest answer = { .type = BUS_REQUEST_USER, .sender = sender, .uid = uid, .known = true };

        send_all(bench->packets[0], &answer, sizeof(answer));
        bench_work(bench);
}

/* The packet that the daemon has got, in *ret; the size of its data, or 0 if there is none. */
static size_t bench_take(const Bench *bench, BusPacket *ret) {
        ssize_t n;

        do
                n = recv(bench->packets[0], ret, sizeof(*ret), MSG_DONTWAIT);
        while (n > 0 && ret->type == BUS_PACKET_BYTES);
        return n < 0 ? 0 : (size_t) n - offsetof(BusPacket, data);
}

/* A question waits for the time that the request names, and so would a call; a call of root does not. */
static void test_others_wait(void) {
        Bench bench = bench_new();
        static BusPacket packet;
        uint64_t others_usec;

        bench_call(&bench, ":1.1");
        others_usec = usec_now(CLOCK_MONOTONIC) + 100 * USEC_PER_MSEC;
        bench_request(&bench, others_usec, 0);
        while (bench_take(&bench, &packet) == 0) {
                g_assert_no_errno(bus_reader_wait(bench.reader, -1));
                g_assert_no_errno(bus_reader_work(bench.reader));
        }
        g_assert_cmpuint(usec_now(CLOCK_MONOTONIC), >=, others_usec);
        g_assert_cmpint(packet.type, ==, BUS_PACKET_QUESTION);
        g_assert_cmpstr((const char *) packet.data, ==, ":1.1");

        bench_answer(&bench, packet.sender, UID_ROOT);
        bench_request(&bench, others_usec + USEC_PER_HOUR, 0);
        g_assert_cmpuint(bench_take(&bench, &packet), >, 0);
        g_assert_cmpint(packet.type, ==, BUS_PACKET_CALLS);
        g_assert_cmpint(packet.uid, ==, UID_ROOT);
        bench_done(&bench);
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

/* A new sender, whose user is known then, and whose call waits. */
static void bench_introduce(const Bench *bench, const char *sender, uid_t uid, size_t n_served) {
        static BusPacket packet;

        bench_call(bench, sender);
        bench_request(bench, 0, n_served);
        g_assert_cmpuint(bench_take(bench, &packet), >, 0);
        g_assert_cmpint(packet.type, ==, BUS_PACKET_QUESTION);
        bench_answer(bench, packet.sender, uid);
}

/* Clients that connect again and again, and so are always new, keep no known caller from being served;
 * neither do they while root calls, too. */
static void test_turns(void) {
        enum {
                N_CALLS = 3,
                N_NEW = 30,
        };
        Bench bench = bench_new();
        unsigned n_calls = 0;
        size_t n_served;

        bench_introduce(&bench, ":1.1", UID_ROOT, 0);
        bench_request(&bench, 0, 0);
        bench_introduce(&bench, ":1.2", UID_OTHER, take_calls(&bench, UID_ROOT));
        for (unsigned i = 1; i < N_CALLS; i++)
                bench_call(&bench, ":1.2");
        for (unsigned i = 0; i < N_NEW; i++) {
                g_autofree char *sender = g_strdup_printf(":2.%u", i);

                bench_call(&bench, sender);
        }

        n_served = 0;
        for (unsigned i = 0; i < N_NEW && n_calls < N_CALLS; i++) {
                static BusPacket packet;
                size_t n;

                bench_call(&bench, ":1.1");
                bench_request(&bench, 0, n_served);
                bench_request(&bench, 0, take_calls(&bench, UID_ROOT));
                n = bench_take(&bench, &packet);
                n_served = packet.type == BUS_PACKET_CALLS ? n / (N_CALLS - n_calls++) : 0;
        }
        g_assert_cmpuint(n_calls, ==, N_CALLS);
        bench_done(&bench);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/bus-reader/others-wait", test_others_wait);
        g_test_add_func("/bus-reader/turns", test_turns);

        return g_test_run();
}
