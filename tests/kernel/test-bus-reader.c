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
        unsigned n_asked;
        uint32_t tag; /* of the last question, and its name */
        char *name;
} Bench;

static int on_question(uint32_t tag, const char *name, void *userdata) {
        Bench *bench = userdata;

        bench->n_asked++;
        bench->tag = tag;
        g_free(bench->name);
        bench->name = g_strdup(name);
        return 0;
}

static void send_all(int fd, const void *data, size_t n) {
        g_assert_cmpint(send(fd, data, n, MSG_NOSIGNAL), ==, n);
}

/* Until nothing is left to do. */
static void bench_work(const Bench *bench) {
        do
                g_assert_no_errno(bus_reader_work(bench->reader));
        while (bus_reader_wait(bench->reader, NULL, 0) > 0);
}

static void bench_init(Bench *bench) {
        static const char lines[] = "OK 0123\r\nAGREE_UNIX_FD\r\n";

        *bench = (Bench){};
        g_assert_no_errno(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, bench->packets));
        g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, bench->bus));
        g_assert_no_errno(
                        bus_reader_new(bench->packets[1], bench->bus[1], on_question, bench, &bench->reader));
        send_all(bench->bus[0], lines, sizeof(lines) - 1);
        bench_work(bench);
}

static void bench_done(Bench *bench) {
        bus_reader_free(bench->reader);
        g_free(bench->name);
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
                .others_usec = others_usec,
                .n_served = (uint32_t) n_served,
        };

        send_all(bench->packets[0], &request, sizeof(request));
        bench_work(bench);
}

/* Answers the last question. */
static void bench_answer(const Bench *bench, bool known, uid_t uid) {
        g_assert_no_errno(bus_reader_set_user(bench->reader, bench->tag, known, uid));
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
        bench_call(&bench, ":1.1");
        bench_answer(&bench, true, UID_OTHER);
        others_usec = usec_now(CLOCK_MONOTONIC) + 100 * USEC_PER_MSEC;
        bench_request(&bench, others_usec, 0);
        while ((n = bench_take(&bench, &packet)) == 0) {
                g_assert_no_errno(bus_reader_wait(bench.reader, NULL, -1));
                g_assert_no_errno(bus_reader_work(bench.reader));
        }
        g_assert_cmpuint(usec_now(CLOCK_MONOTONIC), >=, others_usec);
        g_assert_cmpint(packet.uid, ==, UID_OTHER);

        bench_call(&bench, ":1.2");
        bench_answer(&bench, true, UID_ROOT);
        bench_request(&bench, others_usec + USEC_PER_HOUR, n);
        (void) take_calls(&bench, UID_ROOT);
        bench_done(&bench);
}

/* Each sender is asked for once. Until its user is known its calls wait, and nobody else's for them; then
 * those of root come first. */
static void test_questions(void) {
        static BusPacket packet;
        uint32_t first;
        size_t n;
        Bench bench;

        bench_init(&bench);
        bench_call(&bench, ":1.1");
        bench_call(&bench, ":1.1");
        g_assert_cmpuint(bench.n_asked, ==, 1);
        g_assert_cmpstr(bench.name, ==, ":1.1");
        first = bench.tag;
        bench_request(&bench, 0, 0);
        g_assert_cmpuint(bench_take(&bench, &packet), ==, 0);

        bench_call(&bench, ":1.2");
        g_assert_cmpuint(bench.n_asked, ==, 2);
        bench_answer(&bench, true, UID_OTHER);
        n = take_calls(&bench, UID_OTHER);
        bench_call(&bench, ":1.2");
        g_assert_cmpuint(bench.n_asked, ==, 2);

        bench.tag = first;
        bench_answer(&bench, true, UID_ROOT);
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
        bench_answer(&bench, false, UID_UNKNOWN);
        bench_request(&bench, 0, 0);
        n = take_calls(&bench, UID_UNKNOWN);

        bench_call(&bench, ":1.1");
        g_assert_cmpuint(bench.n_asked, ==, 2);
        bench_answer(&bench, true, UID_OTHER);
        bench_request(&bench, 0, n);
        (void) take_calls(&bench, UID_OTHER);
        bench_done(&bench);
}

/* However many senders are new, there is room for each once the bus has answered. */
static void test_many_senders(void) {
        Bench bench;

        bench_init(&bench);
        for (unsigned i = 0; i < 3 * BUS_SENDERS_MAX; i++) {
                g_autofree char *sender = g_strdup_printf(":1.%u", i);

                bench_call(&bench, sender);
                g_assert_cmpuint(bench.n_asked, ==, i + 1);
                g_assert_cmpstr(bench.name, ==, sender);
                bench_answer(&bench, true, UID_OTHER);
        }
        bench_done(&bench);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/bus-reader/others-wait", test_others_wait);
        g_test_add_func("/bus-reader/questions", test_questions);
        g_test_add_func("/bus-reader/unknown-user", test_unknown_user);
        g_test_add_func("/bus-reader/many-senders", test_many_senders);

        return g_test_run();
}
