/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Asking a bus for the users of its connections: without a bus, and with a fake clock. */

#include "bus-users.h"

#include <malloc.h>
#include <sys/socket.h>

#include "asked-bus.h"
#include "names.h"

#define UID_OTHER 1

#define HELLO_SERIAL 1

/* When an unanswered question is repeated. */
#define AGAIN_USEC (2 * USEC_PER_SEC)

static uint64_t clock_usec;

/* Replaces that of libc. */
int clock_gettime(clockid_t clock, struct timespec *time) {
        time->tv_sec = (time_t) (clock_usec / USEC_PER_SEC);
        time->tv_nsec = (long) (clock_usec % USEC_PER_SEC * NSEC_PER_USEC);
        return 0;
}

typedef struct Bench {
        BusUsers *users;
        int fd;
        AskedBus asked;

        unsigned n_answered; /* and the last of them */
        size_t number;
        bool is_gone;
        uid_t uid;
} Bench;

static int on_user(size_t number, bool is_gone, uid_t uid, void *userdata) {
        Bench *bench = userdata;

        bench->n_answered++;
        bench->number = number;
        bench->is_gone = is_gone;
        bench->uid = uid;
        return 0;
}

static void bench_work(const Bench *bench) {
        struct pollfd fd;

        do {
                g_assert_no_errno(bus_users_work(bench->users));
                fd = bus_users_pollfd(bench->users);
        } while (poll(&fd, 1, 0) > 0);
}

static void bench_init(Bench *bench) {
        *bench = (Bench){};
        clock_usec = USEC_PER_HOUR;
        asked_bus_init(&bench->asked, &bench->fd);
        g_assert_no_errno(bus_users_new(bench->fd, on_user, bench, &bench->users));
}

static void bench_done(Bench *bench) {
        bus_users_free(bench->users);
        asked_bus_done(&bench->asked);
        (void) close(bench->fd);
}

/* The number of a connection whose user is not known yet. */
static size_t bench_ask(const Bench *bench, const char *name) {
        size_t number = BUS_USERS_MAX;
        uid_t uid;

        g_assert_cmpint(bus_users_find(bench->users, name, &number, &uid), ==, 0);
        g_assert_cmpuint(number, <, BUS_USERS_MAX);
        return number;
}

/* The user of one that is known, or has no place. */
static uid_t bench_find(const Bench *bench, const char *name) {
        size_t number;
        uid_t uid;

        g_assert_cmpint(bus_users_find(bench->users, name, &number, &uid), ==, 1);
        return uid;
}

/* Takes the question about this name. */
static guint32 bench_take(Bench *bench, const char *expected_name) {
        g_autofree char *name = NULL;
        guint32 serial;

        bench_work(bench);
        g_assert_true(asked_bus_take(&bench->asked, &serial, &name));
        g_assert_cmpstr(name, ==, expected_name);
        return serial;
}

static void bench_take_none(Bench *bench) {
        g_autofree char *name = NULL;
        guint32 serial;

        bench_work(bench);
        g_assert_false(asked_bus_take(&bench->asked, &serial, &name));
}

static void bench_answer(const Bench *bench, guint32 serial, uid_t uid) {
        asked_bus_answer(&bench->asked, serial, uid);
        bench_work(bench);
}

/* With an open question about :1.1. Returns its serial number. */
static guint32 bench_init_asked(Bench *bench) {
        guint32 serial;

        bench_init(bench);
        (void) bench_ask(bench, ":1.1");
        serial = bench_take(bench, ":1.1");
        bench_work(bench);
        return serial;
}

/* One question about each; answers come in any order. */
static void test_asks(void) {
        guint32 first, second;
        size_t number, other;
        Bench bench;

        bench_init(&bench);
        number = bench_ask(&bench, ":1.1");
        other = bench_ask(&bench, ":1.2");
        g_assert_cmpuint(bench_ask(&bench, ":1.1"), ==, number);
        g_assert_cmpuint(other, !=, number);
        first = bench_take(&bench, ":1.1");
        second = bench_take(&bench, ":1.2");
        bench_take_none(&bench);

        bench_answer(&bench, second, UID_ROOT);
        g_assert_cmpuint(bench.n_answered, ==, 1);
        g_assert_cmpuint(bench.number, ==, other);
        g_assert_false(bench.is_gone);
        g_assert_cmpuint(bench.uid, ==, UID_ROOT);
        bench_answer(&bench, first, UID_OTHER);
        g_assert_cmpuint(bench.n_answered, ==, 2);
        g_assert_cmpuint(bench.number, ==, number);
        g_assert_cmpuint(bench.uid, ==, UID_OTHER);

        g_assert_cmpuint(bench_find(&bench, ":1.2"), ==, UID_ROOT);
        g_assert_cmpuint(bench_find(&bench, ":1.1"), ==, UID_OTHER);
        bench_take_none(&bench);
        g_assert_cmpuint(bus_users_time(bench.users), ==, 0);
        bench_done(&bench);
}

/* A call of a connection whose user is not known asks again. */
static void test_refusals(void) {
        static const struct {
                const char *error;
                bool is_gone;
        } cases[] = { { ERROR_FAILED, false }, { ERROR_NO_OWNER, true } };
        Bench bench;

        bench_init(&bench);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                (void) bench_ask(&bench, ":1.1");
                asked_bus_refuse(&bench.asked, bench_take(&bench, ":1.1"), cases[i].error);
                bench_work(&bench);
                g_assert_cmpuint(bench.n_answered, ==, i + 1);
                g_assert_cmpint(bench.is_gone, ==, cases[i].is_gone);
                g_assert_cmpuint(bench.uid, ==, UID_UNKNOWN);
        }

        (void) bench_ask(&bench, ":1.1");
        bench_answer(&bench, bench_take(&bench, ":1.1"), UID_UNKNOWN);
        g_assert_cmpuint(bench.uid, ==, UID_UNKNOWN);
        bench_done(&bench);
}

/* A question without an answer is repeated, but not while earlier ones are unsent. A late answer still
 * counts. */
static void test_asks_again(void) {
        static uint8_t garbage[4096];
        guint32 serial;
        Bench bench;

        serial = bench_init_asked(&bench);
        g_assert_cmpuint(bus_users_time(bench.users), ==, clock_usec + AGAIN_USEC);
        clock_usec += AGAIN_USEC - 1;
        bench_take_none(&bench);
        clock_usec++;
        g_assert_cmpuint(bench_take(&bench, ":1.1"), ==, serial);
        bench_take_none(&bench);

        while (send(bench.fd, garbage, sizeof(garbage), MSG_DONTWAIT) > 0)
                ;
        (void) bench_ask(&bench, ":1.2");
        for (unsigned i = 0; i < 3; i++) {
                clock_usec += AGAIN_USEC;
                g_assert_no_errno(bus_users_work(bench.users));
        }
        while (recv(bench.asked.fd, garbage, sizeof(garbage), MSG_DONTWAIT) > 0)
                ;
        g_assert_cmpuint(bench_take(&bench, ":1.2"), !=, serial);
        bench_take_none(&bench);

        bench_answer(&bench, serial, UID_OTHER);
        g_assert_cmpuint(bench_find(&bench, ":1.1"), ==, UID_OTHER);
        bench_answer(&bench, serial, UID_ROOT);
        g_assert_cmpuint(bench.n_answered, ==, 1);
        g_assert_cmpuint(bench_find(&bench, ":1.1"), ==, UID_OTHER);
        bench_done(&bench);
}

/* More connections than places, one after another: the latest are known, there are new questions about the
 * first. */
static void test_many(void) {
        Bench bench;

        bench_init(&bench);
        for (unsigned i = 0; i < 3 * BUS_USERS_MAX; i++) {
                g_autofree char *name = g_strdup_printf(":1.%u", i);

                (void) bench_ask(&bench, name);
                bench_answer(&bench, bench_take(&bench, name), i);
                g_assert_cmpuint(bench.n_answered, ==, i + 1);
                g_assert_cmpuint(bench_find(&bench, name), ==, i);
        }
        for (unsigned i = 2 * BUS_USERS_MAX; i < 3 * BUS_USERS_MAX; i++) {
                g_autofree char *name = g_strdup_printf(":1.%u", i);

                g_assert_cmpuint(bench_find(&bench, name), ==, i);
        }
        (void) bench_ask(&bench, ":1.1");
        bench_done(&bench);
}

/* As many open questions as places: a further connection gets none, and displaces nobody. */
static void test_at_once(void) {
        g_autofree guint32 *serials = g_new0(guint32, BUS_USERS_MAX);
        Bench bench;

        bench_init(&bench);
        for (unsigned i = 0; i < BUS_USERS_MAX; i++) {
                g_autofree char *name = g_strdup_printf(":1.%u", i);

                (void) bench_ask(&bench, name);
        }
        g_assert_cmpuint(bench_find(&bench, ":1.9999"), ==, UID_UNKNOWN);

        for (unsigned i = 0; i < BUS_USERS_MAX; i++) {
                g_autofree char *name = g_strdup_printf(":1.%u", i);

                serials[i] = bench_take(&bench, name);
        }
        bench_take_none(&bench);
        for (unsigned i = 0; i < BUS_USERS_MAX; i++)
                bench_answer(&bench, serials[i], i);
        g_assert_cmpuint(bench.n_answered, ==, BUS_USERS_MAX);
        (void) bench_ask(&bench, ":1.9999");
        bench_done(&bench);
}

/* Names that a bus does not give have no place. */
static void test_names(void) {
        g_autofree char *name = g_strnfill(64, '1');
        Bench bench;

        bench_init(&bench);
        g_assert_cmpuint(bench_find(&bench, name), ==, UID_UNKNOWN);
        g_assert_cmpuint(bench_find(&bench, ""), ==, UID_UNKNOWN);
        bench_done(&bench);
}

static void send_from(
                const Bench *bench,
                GDBusMessageType type,
                const char *sender,
                guint32 serial,
                GVariant *body) {
        g_autoptr(GDBusMessage) message = g_dbus_message_new();

        g_dbus_message_set_message_type(message, type);
        g_dbus_message_set_serial(message, 1);
        g_dbus_message_set_sender(message, sender);
        if (type == G_DBUS_MESSAGE_TYPE_SIGNAL) {
                g_dbus_message_set_path(message, BUS_PATH);
                g_dbus_message_set_interface(message, BUS_INTERFACE);
                g_dbus_message_set_member(message, "Flood");
        } else
                g_dbus_message_set_reply_serial(message, serial);
        if (type == G_DBUS_MESSAGE_TYPE_ERROR)
                g_dbus_message_set_error_name(message, ERROR_FAILED);
        if (body)
                g_dbus_message_set_body(message, body);
        asked_bus_send(&bench->asked, message);
        bench_work(bench);
}

/* Only the bus itself is believed. */
static void test_strangers(void) {
        guint32 serial;
        Bench bench;

        serial = bench_init_asked(&bench);

        send_from(&bench, G_DBUS_MESSAGE_TYPE_SIGNAL, ":1.9", 0, g_variant_new("(s)", "text"));
        send_from(&bench, G_DBUS_MESSAGE_TYPE_SIGNAL, DBUS_NAME, 0, g_variant_new("(s)", "text"));
        send_from(&bench, G_DBUS_MESSAGE_TYPE_METHOD_RETURN, ":1.9", serial, g_variant_new("(u)", 0));
        send_from(&bench, G_DBUS_MESSAGE_TYPE_METHOD_RETURN, DBUS_NAME, serial + 1, g_variant_new("(u)", 0));
        send_from(&bench, G_DBUS_MESSAGE_TYPE_METHOD_RETURN, DBUS_NAME, 0, g_variant_new("(u)", 0));
        send_from(&bench, G_DBUS_MESSAGE_TYPE_ERROR, ":1.9", HELLO_SERIAL, NULL);
        g_assert_cmpuint(bench.n_answered, ==, 0);
        send_from(&bench, G_DBUS_MESSAGE_TYPE_METHOD_RETURN, DBUS_NAME, serial, g_variant_new("(s)", "0"));
        g_assert_cmpuint(bench.n_answered, ==, 1);
        g_assert_cmpuint(bench.uid, ==, UID_UNKNOWN);
        bench_done(&bench);
}

/* Hardly anything of a signal of 30 MB is kept while it arrives. */
static void test_long(void) {
        enum {
                LONG = 30 * 1000 * 1000,
                PIECE = 16 * 1024,
                KEPT_MAX = 256 * 1024
        };
        static const uint8_t head[16] = {
                'l', 4, 0, 1, LONG & 0xff, LONG >> 8 & 0xff, LONG >> 16 & 0xff, LONG >> 24, 1
        };
        g_autofree uint8_t *piece = g_malloc0(PIECE);
        const size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
        guint32 serial;
        Bench bench;

        serial = bench_init_asked(&bench);

        g_assert_cmpint(send(bench.asked.fd, head, sizeof(head), 0), ==, sizeof(head));
        for (size_t left = LONG; left > 0;) {
                const size_t n = MIN(left, (size_t) PIECE);

                g_assert_cmpint(send(bench.asked.fd, piece, n, 0), ==, n);
                left -= n;
                bench_work(&bench);
                g_assert_cmpuint(mallinfo2().uordblks + mallinfo2().hblkhd, <, before + KEPT_MAX);
        }
        g_assert_cmpuint(bench.n_answered, ==, 0);

        bench_answer(&bench, serial, UID_OTHER);
        g_assert_cmpuint(bench.n_answered, ==, 1);
        g_assert_cmpuint(bench.uid, ==, UID_OTHER);
        bench_done(&bench);
}

/* A refusal, invalid data and the end of the connection are errors. */
static void test_refused(void) {
        static const struct {
                const char *lines;
                int result;
        } cases[] = {
                { "DATA\r\nREJECTED EXTERNAL\r\n", -EACCES },
                { "ERROR\r\n", -EACCES },
                { "DATA\r\nOK 0123\r\nno message at all", -EBADMSG },
        };
        g_autofree char *line = g_strnfill(64 * 1024, 'x');
        Bench bench;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                bench_init(&bench);
                g_assert_cmpint(send(bench.asked.fd, cases[i].lines, strlen(cases[i].lines), 0), >, 0);
                g_assert_cmpint(bus_users_work(bench.users), ==, cases[i].result);
                bench_done(&bench);
        }

        bench_init(&bench);
        g_assert_cmpint(send(bench.asked.fd, line, strlen(line), 0), >, 0);
        g_assert_cmpint(bus_users_work(bench.users), ==, -EBADMSG);
        bench_done(&bench);

        bench_init(&bench);
        bench_take_none(&bench);
        asked_bus_refuse(&bench.asked, HELLO_SERIAL, "org.freedesktop.DBus.Error.LimitsExceeded");
        g_assert_cmpint(bus_users_work(bench.users), ==, -ECONNREFUSED);
        bench_done(&bench);

        bench_init(&bench);
        (void) shutdown(bench.asked.fd, SHUT_RDWR);
        g_assert_cmpint(bus_users_work(bench.users), ==, -ECONNRESET);
        bench_done(&bench);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/bus-users/asks", test_asks);
        g_test_add_func("/bus-users/refusals", test_refusals);
        g_test_add_func("/bus-users/asks-again", test_asks_again);
        g_test_add_func("/bus-users/many", test_many);
        g_test_add_func("/bus-users/at-once", test_at_once);
        g_test_add_func("/bus-users/names", test_names);
        g_test_add_func("/bus-users/strangers", test_strangers);
        g_test_add_func("/bus-users/long", test_long);
        g_test_add_func("/bus-users/refused", test_refused);

        return g_test_run();
}
