/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The CPU time that callers get who call as fast as they can; meanwhile others are answered, and stalls are
 * detected in time. It measures times, so it runs alone.
 *
 * The program is its own tool, too: see tool_visit().
 */

#include "bus-fixture.h"

#include "deadline.h"
#include "flooded-daemon.h"
#include "flooder.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

/* When a worker counts as stuck, and the most that may pass from then to the sync. */
#define STUCK_USEC (3 * USEC_PER_SEC)
#define LATE_USEC_MAX (250 * USEC_PER_MSEC)

static const uid_t flooding_users[] = { UID_NOBODY, UID_DAEMON, UID_BIN };

/* ---- CPU time ---- */

/* What three users may take together, in thousandths of a CPU, and how long somebody else may wait. */
#define SHARE_PERMILLE_MAX 50
#define WAIT_USEC_MAX USEC_PER_SEC
#define MEASURE_USEC (3 * USEC_PER_SEC)
#define MEASURE_ATTEMPTS 3

/* The CPU time used so far; the daemon and its processes have one thread each. */
static uint64_t cpu_nsec(pid_t pid) {
        g_autofree char *path = g_strdup_printf("/proc/%d/schedstat", (int) pid), *text = NULL;

        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        return g_ascii_strtoull(text, NULL, 10);
}

typedef struct Measure {
        uint64_t start_usec, start_nsec;
} Measure;

static Measure measure_begin(const BusFixture *fixture) {
        return (Measure){ .start_usec = usec_now(CLOCK_MONOTONIC),
                          .start_nsec = cpu_nsec(fixture->daemon.pid) };
}

static uint64_t measure_passed_usec(const Measure *measure) {
        return usec_now(CLOCK_MONOTONIC) - measure->start_usec;
}

/* The part of a CPU that the daemon has used since then, in thousandths. */
static uint64_t measure_permille(const Measure *measure, const BusFixture *fixture) {
        return (cpu_nsec(fixture->daemon.pid) - measure->start_nsec) / measure_passed_usec(measure);
}

/* Has both ask one after the other, as a person would; the longest that one of them waited. */
static uint64_t ask_in_turn(Client *one, Client *other) {
        uint64_t wait_usec = 0;
        Client *const clients[] = { one, other };

        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                uint64_t start_usec = usec_now(CLOCK_MONOTONIC);

                assert_property(clients[i], "CrowdSize", "uint32 0");
                wait_usec = MAX(wait_usec, usec_now(CLOCK_MONOTONIC) - start_usec);
        }

        return wait_usec;
}

/* Waits for the time only: the share is one of it. */
static uint64_t ask_for(uint64_t usec, const Measure *measure, Client *one, Client *other) {
        uint64_t wait_usec = 0;

        while (measure_passed_usec(measure) < usec) {
                wait_usec = MAX(wait_usec, ask_in_turn(one, other));
                g_usleep(20 * USEC_PER_MSEC);
        }

        return wait_usec;
}

typedef struct Share {
        uint64_t permille, wait_usec;
} Share;

/* What three users take who call one thing as fast as they can, and what others wait meanwhile. These and the
 * bus run before all ordinary processes. */
static Share measure_share(BusFixture *fixture, Client *root, Client *other) {
        Measure measure;
        Share share;

        process_set_realtime(getpid(), true);
        (void) ask_in_turn(root, other);
        measure = measure_begin(fixture);
        share.wait_usec = ask_for(MEASURE_USEC, &measure, root, other);
        share.permille = measure_permille(&measure, fixture);
        process_set_realtime(getpid(), false);
        return share;
}

static bool is_bounded(const Share *share, uint64_t own_permille) {
        return share->permille <= SHARE_PERMILLE_MAX + own_permille && share->wait_usec <= WAIT_USEC_MAX;
}

/* Other programs on the machine, and its host, can only add to what is measured: the best of some. */
static void check_share(BusFixture *fixture, uint64_t own_permille, const char *what, Call call) {
        _cleanup_client_ Client *root = client_new(fixture, UID_ROOT);
        _cleanup_client_ Client *other = client_new(fixture, UID_GAMES);
        Share share;
        pid_t flood;

        memory_begin(fixture);
        flood =
                        flood_start(crowd_new(fixture, flooding_users, ELEMENTSOF(flooding_users),
                                              ELEMENTSOF(flooding_users)),
                                    call,
                                    /* reads= */ true);
        for (unsigned attempt = 1; attempt <= MEASURE_ATTEMPTS; attempt++) {
                share = measure_share(fixture, root, other);
                g_test_message("%s: %" G_GUINT64_FORMAT " of 1000 of a CPU, %" G_GUINT64_FORMAT
                               " of them without; others wait %" G_GUINT64_FORMAT " ms at most",
                               what, share.permille, own_permille, share.wait_usec / USEC_PER_MSEC);
                if (is_bounded(&share, own_permille))
                        break;
        }
        flood_stop(flood);

        memory_check(fixture, what);
        g_assert_cmpuint(share.permille, <=, SHARE_PERMILLE_MAX + own_permille);
        g_assert_cmpuint(share.wait_usec, <=, WAIT_USEC_MAX);
}

/* The daemon's own scans, and what the two who ask cause. */
static uint64_t measure_own(BusFixture *fixture) {
        _cleanup_client_ Client *root = client_new(fixture, UID_ROOT);
        _cleanup_client_ Client *other = client_new(fixture, UID_GAMES);
        Measure measure = measure_begin(fixture);

        (void) ask_for(MEASURE_USEC, &measure, root, other);
        return measure_permille(&measure, fixture);
}

#define CPU_SETTINGS "[Watch]\nThresholdSec=1h\nCrowdSize=0\nPollIntervalSec=1s\nSyncMethod=sync\n"

static void test_bus(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = start_flooded(fixture, CPU_SETTINGS);
        _cleanup_client_ _unused_ Client *polkit = start_silent_polkit(fixture);
        uint64_t own_permille;
        pid_t reader;

        add_listed_workers(fixture, client);
        process_set_realtime(fixture->bus.pid, true);
        own_permille = measure_own(fixture);

        /* What the reader does is not measured: it has no real-time priority. */
        reader = fixture_helper_pid(fixture, HELPER_BUS);
        g_assert_cmpint(sched_getscheduler(reader), ==, SCHED_OTHER);
        g_assert_cmpint(getpriority(PRIO_PROCESS, (id_t) reader), ==, -20);

        check_share(fixture, own_permille, "GetAll",
                    call_of(PROPERTIES_INTERFACE, "GetAll", g_variant_new("(s)", BUS_INTERFACE)));
        check_share(fixture, own_permille, "lists", call_of(BUS_INTERFACE, "ListWorkers", NULL));
        check_share(fixture, own_permille, "introspection",
                    call_of(INTROSPECTABLE_INTERFACE, "Introspect", NULL));
        check_share(fixture, own_permille, "Ping", call_of(PEER_INTERFACE, "Ping", NULL));
        check_share(fixture, own_permille, "unknown members", call_of(PEER_INTERFACE, "Nonsense", NULL));
        check_share(fixture, own_permille, "questions for polkit", call_of(BUS_INTERFACE, "Pause", NULL));
        check_share(fixture, own_permille, "large calls",
                    call_of(PROPERTIES_INTERFACE, "Get",
                            g_variant_new("(s@s)", BUS_INTERFACE, large_text())));
        check_share(fixture, own_permille, "calls without a reply",
                    call_without_reply(call_of(PEER_INTERFACE, "Ping", NULL)));
}

/* ---- connections that come and go ---- */

/* BUS_ADDRESS USER WAIT: connects, calls and disconnects, again and again until SIGTERM; if WAIT is "wait"
 * after the reply, else at once. Prints how often. */
static int tool_visit(char **arguments) {
        const BusFixture fixture = { .bus_address = arguments[0],
                                     .deadline_usec = deadline_in_sec(FLOOD_TIMEOUT_SEC) };
        const uid_t uid = (uid_t) atoi(arguments[1]);
        _cleanup_call_ Call pause_call = call_of(BUS_INTERFACE, "Pause", NULL);
        const bool waits = streq(arguments[2], "wait");
        unsigned n_visits = 0;
        sigset_t signals;

        (void) sigemptyset(&signals);
        (void) sigaddset(&signals, SIGTERM);
        (void) sigprocmask(SIG_BLOCK, &signals, NULL);

        while (sigpending(&signals) == 0 && !sigismember(&signals, SIGTERM)) {
                _cleanup_crowd_ Crowd crowd = crowd_new_of(&fixture, uid, 1);

                crowd_send(&crowd, &pause_call, 1);
                if (waits)
                        crowd_await(&crowd, 1);
                n_visits++;
        }

        (void) printf("%u\n", n_visits);
        return EXIT_SUCCESS;
}

/* The time from connecting to the reply. */
static uint64_t visit(const BusFixture *fixture, uid_t uid) {
        uint64_t start_usec = usec_now(CLOCK_MONOTONIC);
        _cleanup_crowd_ Crowd crowd = crowd_new_of(fixture, uid, 1);
        _cleanup_call_ Call get = call_get_state();

        crowd_send(&crowd, &get, 1);
        crowd_await(&crowd, 1);
        g_assert_cmpuint(crowd_count_returns(&crowd), ==, 1);
        return usec_now(CLOCK_MONOTONIC) - start_usec;
}

/* The longest wait of root and of another user, each on a new connection for each call, as wbctl does. */
static Share measure_visits(const BusFixture *fixture) {
        Measure measure = measure_begin(fixture);
        Share share = {};

        while (measure_passed_usec(&measure) < MEASURE_USEC) {
                share.wait_usec = MAX(share.wait_usec, visit(fixture, UID_ROOT));
                share.wait_usec = MAX(share.wait_usec, visit(fixture, UID_GAMES));
                g_usleep(20 * USEC_PER_MSEC);
        }
        share.permille = measure_permille(&measure, fixture);
        return share;
}

/* During a flood. As in check_share(), the best attempt counts. */
static void check_visits(BusFixture *fixture, uint64_t own_permille, const char *what) {
        Share share;

        process_set_realtime(getpid(), true);
        for (unsigned attempt = 1; attempt <= MEASURE_ATTEMPTS; attempt++) {
                share = measure_visits(fixture);
                g_test_message("%s: %" G_GUINT64_FORMAT " of 1000 of a CPU, %" G_GUINT64_FORMAT
                               " of them without; others wait %" G_GUINT64_FORMAT " ms at most",
                               what, share.permille, own_permille, share.wait_usec / USEC_PER_MSEC);
                if (is_bounded(&share, own_permille))
                        break;
        }
        process_set_realtime(getpid(), false);

        memory_check(fixture, what);
        g_assert_cmpuint(share.permille, <=, SHARE_PERMILLE_MAX + own_permille);
        g_assert_cmpuint(share.wait_usec, <=, WAIT_USEC_MAX);
}

static uint64_t measure_own_visits(const BusFixture *fixture) {
        Share own;

        process_set_realtime(getpid(), true);
        own = measure_visits(fixture);
        process_set_realtime(getpid(), false);
        return own.permille;
}

typedef struct Visitors {
        Process processes[ELEMENTSOF(flooding_users)];
        int stdout_fds[ELEMENTSOF(flooding_users)];
} Visitors;

/* They allocate memory, so they are started anew, not forked: see process_fork(). */
static void visitors_start(const BusFixture *fixture, bool wait, Visitors *visitors) {
        for (size_t i = 0; i < ELEMENTSOF(flooding_users); i++) {
                g_autofree char *user = g_strdup_printf("%u", (unsigned) flooding_users[i]);
                const char *const arguments[] = { "/proc/self/exe",          "--visit",
                                                  fixture->bus_address,      user,
                                                  wait ? "wait" : "no-wait", NULL };

                visitors->processes[i] = process_start(arguments, NULL, &visitors->stdout_fds[i], NULL);
        }
}

/* Each ends with success now, and has come more than once. */
static void visitors_stop(const BusFixture *fixture, Visitors *visitors) {
        for (size_t i = 0; i < ELEMENTSOF(flooding_users); i++) {
                g_autofree char *n_visits = NULL;

                g_assert_no_errno(kill(visitors->processes[i].pid, SIGTERM));
                g_assert_cmpint(process_wait_end(&visitors->processes[i], fixture->deadline_usec), ==, 0);
                n_visits = read_line(visitors->stdout_fds[i]);
                g_assert_no_errno(close(visitors->stdout_fds[i]));
                g_test_message("%s new connections of user %u", n_visits, (unsigned) flooding_users[i]);
                g_assert_cmpint(atoi(n_visits), >, 1);
        }
}

/* The reader must ask for the user of each new connection. Without waiting for replies, thousands of them
 * come in a second. */
static void test_new_connections(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ _unused_ Client *client = start_flooded(fixture, CPU_SETTINGS);
        uint64_t own_permille;
        Visitors visitors;

        process_set_realtime(fixture->bus.pid, true);
        memory_begin(fixture);
        own_permille = measure_own_visits(fixture);

        visitors_start(fixture, GPOINTER_TO_INT(data), &visitors);
        check_visits(fixture, own_permille, "new connections");
        visitors_stop(fixture, &visitors);
}

static bool is_of_process(Client *client, const char *connection, pid_t pid) {
        GVariant *content = reply_content(
                        client_ask(client, DBUS_NAME, DBUS_PATH, DBUS_NAME, "GetConnectionUnixProcessID",
                                   g_variant_new("(s)", connection)));
        uint32_t of;

        g_variant_get(content, "(u)", &of);
        return (pid_t) of == pid;
}

/* Far more CPU time than what is left of the last visit needs; an idle reader sleeps. */
#define READ_NSEC_MIN (10 * 1000 * 1000)

/* The unique name of the connection over which the reader asks for users; to be freed. */
static char *find_users_connection(const BusFixture *fixture, Client *client) {
        const pid_t reader = fixture_helper_pid(fixture, HELPER_BUS);
        GVariant *content =
                        reply_content(client_ask(client, DBUS_NAME, DBUS_PATH, DBUS_NAME, "ListNames", NULL));
        g_autofree const char **names = NULL;
        char *found = NULL;

        g_variant_get(content, "(^a&s)", &names);
        for (size_t i = 0; names[i]; i++)
                if (names[i][0] == ':' && is_of_process(client, names[i], reader))
                        found = g_strdup(names[i]);

        g_assert_nonnull(found);
        return found;
}

static pid_t start_signals(const BusFixture *fixture, Client *client) {
        g_autofree char *connection = find_users_connection(fixture, client);

        return flood_start(
                        crowd_new(fixture, flooding_users, ELEMENTSOF(flooding_users),
                                  ELEMENTSOF(flooding_users)),
                        call_signal(connection, g_variant_new("(@s)", large_text())), /* reads= */ true);
}

/* Signals of 30 MB that anyone may send do not keep the reader from asking for users. */
static void test_signals(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = start_flooded(fixture, CPU_SETTINGS);
        const pid_t reader = fixture_helper_pid(fixture, HELPER_BUS);
        uint64_t own_permille, before_nsec;
        pid_t flood;

        process_set_realtime(fixture->bus.pid, true);
        memory_begin(fixture);
        own_permille = measure_own_visits(fixture);
        flood = start_signals(fixture, client);
        check_visits(fixture, own_permille, "signals");

        /* The reader has nothing else to do now, so its CPU time shows that signals arrive. */
        before_nsec = cpu_nsec(reader);
        while (cpu_nsec(reader) < before_nsec + READ_NSEC_MIN) {
                g_assert_cmpint(deadline_msec_left(fixture->deadline_usec), >, 0);
                g_usleep(10 * USEC_PER_MSEC);
        }
        flood_stop(flood);
}

/* ---- the public socket ---- */

/* The daemon without a bus, and a client as root on its private socket. The clients and floods that follow
 * are on the public one. */
static Client *start_without_bus(BusFixture *fixture, const char *settings) {
        fixture_write_config(fixture, settings);
        fixture_start_daemon(fixture, NULL);
        fixture->socket = "public";
        client_free(client_new(fixture, UID_NOBODY)); /* the process is there */
        return client_new_on_socket(fixture, UID_ROOT, "private");
}

/* What the process does that serves the socket is not measured: it has no real-time priority. */
static void test_socket(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = start_without_bus(fixture, CPU_SETTINGS);
        uint64_t own_permille;
        pid_t process;

        add_listed_workers(fixture, client);
        own_permille = measure_own(fixture);

        process = fixture_helper_pid(fixture, HELPER_PUBLIC);
        g_assert_cmpint(sched_getscheduler(process), ==, SCHED_OTHER);
        g_assert_cmpint(getpriority(PRIO_PROCESS, (id_t) process), ==, -20);

        check_share(fixture, own_permille, "lists over the socket",
                    call_of(BUS_INTERFACE, "ListWorkers", NULL));
        check_share(fixture, own_permille, "refused changes over the socket",
                    call_of(BUS_INTERFACE, "Pause", NULL));
        check_share(fixture, own_permille, "calls without a reply over the socket",
                    call_without_reply(call_of(PEER_INTERFACE, "Ping", NULL)));
}

/* Without callers who ask in turn. */
static uint64_t measure_alone(const BusFixture *fixture) {
        Measure measure = measure_begin(fixture);

        g_usleep(MEASURE_USEC);
        return measure_permille(&measure, fixture);
}

/* Where each wakeup takes longer than the call for which it is, callers are served more rarely. */
static void test_slow_wakes(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = NULL, *other = NULL;
        uint64_t own_permille, before_nsec;
        Share share;
        pid_t flood;

        fixture->preload = g_getenv("WBWATCH_SLOW_WAKER");
        g_assert_nonnull(fixture->preload);
        client = start_without_bus(fixture, CPU_SETTINGS);
        other = client_new(fixture, UID_GAMES);
        before_nsec = cpu_nsec(fixture->daemon.pid);
        assert_property(client, "CrowdSize", "uint32 0");
        g_assert_cmpuint(
                        cpu_nsec(fixture->daemon.pid) - before_nsec, >=,
                        USEC_PER_MSEC * NSEC_PER_USEC); /* it is slow */
        own_permille = measure_alone(fixture);

        flood =
                        flood_start(crowd_new(fixture, flooding_users, ELEMENTSOF(flooding_users),
                                              ELEMENTSOF(flooding_users)),
                                    call_of(BUS_INTERFACE, "Pause", NULL), /* reads= */ true);
        process_set_realtime(getpid(), true);
        for (unsigned attempt = 1; attempt <= MEASURE_ATTEMPTS; attempt++) {
                (void) ask_in_turn(client, other);
                share.permille = measure_alone(fixture);
                share.wait_usec = ask_in_turn(client, other);
                g_test_message("%" G_GUINT64_FORMAT " of 1000 of a CPU, %" G_GUINT64_FORMAT
                               " of them without; others wait %" G_GUINT64_FORMAT " ms",
                               share.permille, own_permille, share.wait_usec / USEC_PER_MSEC);
                if (share.permille > own_permille && is_bounded(&share, own_permille))
                        break;
        }
        process_set_realtime(getpid(), false);
        flood_stop(flood);

        g_assert_cmpuint(share.permille, >, own_permille);
        g_assert_cmpuint(share.permille, <=, SHARE_PERMILLE_MAX + own_permille);
        g_assert_cmpuint(share.wait_usec, <=, WAIT_USEC_MAX);
}

/* ---- stalls during a flood ---- */

/* A sync must start in time. */
static void assert_in_time(GVariant *sync_started, const char *what) {
        g_autoptr(GVariant) details = NULL;
        guint64 run_usec;

        g_variant_get(sync_started, "(tt@a{sv})", NULL, NULL, &details);
        g_assert_true(g_variant_lookup(details, "LongestRunUSec", "t", &run_usec));
        g_test_message("%s: sync after a run of %" G_GUINT64_FORMAT " us", what, run_usec);
        g_assert_cmpuint(run_usec, <=, STUCK_USEC + LATE_USEC_MAX);
}

#define IN_TIME_SETTINGS                                                                                     \
        "[Watch]\nDryRun=yes\nThresholdSec=3s\nPollIntervalSec=100ms\nIdleScanIntervalSec=1s\nRecoverySec="  \
        "0\n"                                                                                                \
        "CountWaiting=yes\n"

static void check_stall(BusFixture *fixture, Client *client, const char *what) {
        GVariant *sync_started;

        fixture_add_worker(fixture);
        (void) client_wait_signal(client, "EpisodeStarted");
        sync_started = client_wait_signal(client, "SyncStarted");
        fixture_remove_worker(fixture);
        (void) client_wait_signal(client, "EpisodeEnded");
        assert_in_time(sync_started, what);
}

/* In each kind of flood workers are seen, a stall is detected and a sync started as at any other time. Then
 * the bus dies in the middle of it. */
static void test_in_time(BusFixture *fixture, gconstpointer data) {
        Client *client = start_flooded(fixture, IN_TIME_SETTINGS);
        Client *polkit = start_silent_polkit(fixture);
        const struct {
                const char *what;
                size_t n_connections;
                Call call;
        } floods[] = {
                { "large calls", 2,
                  call_of(PROPERTIES_INTERFACE, "Get", g_variant_new("(s@s)", BUS_INTERFACE, large_text())) },
                { "introspection", 20, call_of(INTROSPECTABLE_INTERFACE, "Introspect", NULL) },
                { "lists", 20, call_of(BUS_INTERFACE, "ListEpisodes", NULL) },
                { "questions for polkit", 20, call_of(BUS_INTERFACE, "Pause", NULL) },
                { "properties", 20, call_get_state() },
        };
        pid_t flood = 0;

        memory_begin(fixture);
        for (size_t i = 0; i < ELEMENTSOF(floods); i++) {
                flood = flood_start(
                                crowd_new_of(fixture, UID_NOBODY, floods[i].n_connections), floods[i].call,
                                /* reads= */ true);
                check_stall(fixture, client, floods[i].what);
                if (i + 1 < ELEMENTSOF(floods))
                        flood_stop(flood);

                /* A large one may just be coming in. */
                client_settle(client);
                memory_check(fixture, floods[i].what);
        }

        client_free(client);
        client_free(polkit);
        fixture_stop_bus(fixture);
        flood_stop(flood);

        fixture_start_bus(fixture);
        client = client_new(fixture, UID_ROOT);
        g_free(client_wait_owner(client, BUS_NAME));
        assert_property(client, "State", "'idle'");
        client_free(client);
}

static void test_in_time_new_connections(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = start_flooded(fixture, IN_TIME_SETTINGS);
        Visitors visitors;

        visitors_start(fixture, /* wait= */ false, &visitors);
        check_stall(fixture, client, "new connections");
        visitors_stop(fixture, &visitors);
}

static void test_in_time_signals(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = start_flooded(fixture, IN_TIME_SETTINGS);
        pid_t flood = start_signals(fixture, client);

        check_stall(fixture, client, "signals");
        flood_stop(flood);
}

/* Opens and closes connections without an end. */
static void connect_forever(const void *data) {
        const struct sockaddr_un *address = data;

        g_assert_cmpint(setuid(UID_DAEMON), ==, 0);
        for (;;) {
                int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

                (void) connect(fd, (const struct sockaddr *) address, sizeof(*address));
                (void) close(fd);
        }
}

/* The same over the public socket, while others also connect to it as fast as they can. */
static void test_in_time_socket(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = start_without_bus(fixture, IN_TIME_SETTINGS);
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        Process connects;
        pid_t flood;

        (void) g_snprintf(address.sun_path, sizeof(address.sun_path), "%s/public", fixture->socket_folder);
        memory_begin(fixture);
        flood =
                        flood_start(crowd_new_of(fixture, UID_NOBODY, 20),
                                    call_of(BUS_INTERFACE, "ListEpisodes", NULL), /* reads= */ true);
        connects = process_fork(connect_forever, &address);

        fixture_add_worker(fixture);
        assert_in_time(client_wait_signal(client, "SyncStarted"), "lists over the socket");
        fixture_remove_worker(fixture);
        (void) client_wait_signal(client, "EpisodeEnded");

        process_kill(&connects, fixture->deadline_usec);
        flood_stop(flood);
        memory_check(fixture, "lists over the socket");
}

int main(int argc, char *argv[]) {
        if (argc == 5 && streq(argv[1], "--visit"))
                return tool_visit(argv + 2);

        if (!fixture_isolate())
                return EXIT_SUCCESS;
        g_test_init(&argc, &argv, NULL);

        FIXTURE_TEST("/cpu-share/bus", test_bus);
        g_test_add("/cpu-share/new-connections", BusFixture, GINT_TO_POINTER(true), fixture_set_up,
                   test_new_connections, fixture_tear_down);
        g_test_add("/cpu-share/new-connections/no-wait", BusFixture, GINT_TO_POINTER(false), fixture_set_up,
                   test_new_connections, fixture_tear_down);
        FIXTURE_TEST("/cpu-share/signals", test_signals);
        FIXTURE_TEST("/cpu-share/socket", test_socket);
        FIXTURE_TEST("/cpu-share/slow-wakes", test_slow_wakes);
        FIXTURE_TEST("/cpu-share/in-time", test_in_time);
        FIXTURE_TEST("/cpu-share/in-time/new-connections", test_in_time_new_connections);
        FIXTURE_TEST("/cpu-share/in-time/signals", test_in_time_signals);
        FIXTURE_TEST("/cpu-share/in-time/socket", test_in_time_socket);

        return g_test_run();
}
