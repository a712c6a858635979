/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The daemon where the kernel refuses it something, as in a container: it receives no thread creation events,
 * or too many, in foreign namespaces, on a kernel without the proc connector, in a storm of forks with the
 * socket's filter gone; or it gets no real-time priority. It says so, and finds its workers anyway. And it
 * serves callers whose processes it cannot see.
 */

#include "bus-fixture.h"
#include "storm.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Polls soon; the next idle scan comes after more time than a test has. So what it finds, it finds by polling
 * or by an event. The workers of a fake proc tree use no CPU time. */
#define SETTINGS                                                                                             \
        "[Watch]\nDryRun=yes\nThresholdSec=1s\nPollIntervalSec=100ms\nIdleScanIntervalSec=10min\n"           \
        "RecoverySec=0\nCountWaiting=yes\n"

/* From the end of the threshold to the sync. */
#define LATE_USEC_MAX (250 * USEC_PER_MSEC)

/* AddressSanitizer makes none of it slower, but there it is not the forks that count. */
#ifdef HAS_ADDRESS_SANITIZER
#define N_FORKS 200000
#else
#define N_FORKS 1000000
#endif

/* ---- surroundings ---- */

/* What the daemon is put into. This program is run in its place, learns by these variables that it is, and
 * goes on as the daemon. */
#define SURROUNDINGS "WBWATCH_TEST_SURROUNDINGS"
#define REAL_DAEMON "WBWATCH_TEST_DAEMON"

typedef struct Surroundings {
        const char *name;
        int namespaces;            /* CLONE_NEW* */
        long forbidden_call;       /* 0: none */
        uint32_t forbidden_domain; /* its first argument, or 0 for any */
        uint32_t forbidden_errno;
        const char *reason; /* that the daemon gives */
} Surroundings;

static const Surroundings surroundings_table[] = {
        { "pid-namespace", .namespaces = CLONE_NEWPID, .reason = "did not answer within 1s" },
        { "user-namespace", .namespaces = CLONE_NEWUSER, .reason = "did not answer within 1s" },
        { "network-namespace", .namespaces = CLONE_NEWNET, .reason = "foreign network namespace" },
        { "container", .namespaces = CLONE_NEWPID | CLONE_NEWUSER | CLONE_NEWNET,
          .reason = "foreign network namespace" },
        { "no-connector", .forbidden_call = SYS_socket, .forbidden_domain = AF_NETLINK,
          .forbidden_errno = EPROTONOSUPPORT, .reason = "this kernel has no proc connector" },
        { "not-permitted", .forbidden_call = SYS_bind, .forbidden_errno = EPERM,
          .reason = "CAP_NET_ADMIN is needed before Linux 6.6" },
};

/* Real-time group scheduling, or a container. */
static const Surroundings no_priority = {
        "no-priority",
        .forbidden_call = SYS_sched_setscheduler,
        .forbidden_errno = EPERM,
        .reason = "Can't get a real-time priority",
};

static void die(const char *what) {
        perror(what);
        _exit(EXIT_FAILURE);
}

static void write_or_die(const char *path, const char *text) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t) strlen(text))
                die(path);
        (void) close(fd);
}

static void forbid_call(const Surroundings *s) {
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t) s->forbidden_call, 0, 3),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
                BPF_JUMP(BPF_JMP | (s->forbidden_domain ? BPF_JEQ : BPF_JGE) | BPF_K, s->forbidden_domain, 0,
                         1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | s->forbidden_errno),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        const struct sock_fprog program = { .len = ELEMENTSOF(code), .filter = code };

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0)
                die("seccomp");
}

/* Where this program is, read at the start: in another mount namespace the kernel may answer with a path of
 * the first one, which in a chroot begins outside. */
static char *self_path;

static pid_t daemon_pid;

static void pass_on(int sig) {
        (void) kill(daemon_pid, sig);
}

/* It is the next child that is in the new pid namespace. Ends as it ends. */
static void fork_and_wait(void) {
        sigset_t signals;
        int status;

        (void) sigemptyset(&signals);
        (void) sigaddset(&signals, SIGTERM);
        (void) sigprocmask(SIG_BLOCK, &signals, NULL);

        daemon_pid = fork();
        if (daemon_pid < 0)
                die("fork");
        if (daemon_pid == 0) {
                (void) sigprocmask(SIG_UNBLOCK, &signals, NULL);
                if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                        die("prctl");
                return;
        }

        (void) signal(SIGTERM, pass_on);
        (void) sigprocmask(SIG_UNBLOCK, &signals, NULL);
        while (waitpid(daemon_pid, &status, 0) < 0)
                if (errno != EINTR)
                        die("waitpid");
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
}

static void __attribute__((noreturn)) enter_surroundings(const char *name, char **arguments) {
        const Surroundings *s = surroundings_table;

        if (streq(name, no_priority.name))
                s = &no_priority;
        while (!streq(s->name, name))
                s++;

        if (s->namespaces != 0 && unshare(s->namespaces) < 0)
                die("unshare");
        if (s->namespaces & CLONE_NEWUSER) {
                write_or_die("/proc/self/setgroups", "deny");
                write_or_die("/proc/self/uid_map", "0 0 1");
                write_or_die("/proc/self/gid_map", "0 0 1");
        }
        if (s->namespaces & CLONE_NEWPID)
                fork_and_wait();
        if (s->forbidden_call != 0)
                forbid_call(s);

        arguments[0] = getenv(REAL_DAEMON);
        (void) execv(arguments[0], arguments);
        die(arguments[0]);
        _exit(EXIT_FAILURE);
}

/* ---- tests ---- */

/* Bus, daemon, and a client as root that has seen the daemon on the bus. */
static Client *start(BusFixture *fixture) {
        Client *client;

        fixture->netlink = true;
        fixture_write_config(fixture, SETTINGS);
        fixture_start_bus(fixture);
        client = client_new(fixture, UID_ROOT);
        fixture_start_daemon(fixture, NULL);
        g_free(client_wait_owner(client, BUS_NAME));
        return client;
}

/* Waits until the worker is detected as stuck, which must be in time. */
static void assert_in_time(Client *client) {
        int64_t late_usec = client_wait_sync_started(client, USEC_PER_SEC);

        g_test_message("detected %" G_GINT64_FORMAT " us after the threshold", late_usec);
        g_assert_cmpint(late_usec, <=, LATE_USEC_MAX);
}

static bool namespaces_can_be_made(int namespaces) {
        pid_t pid = fork();
        int status;

        g_assert_cmpint(pid, >=, 0);
        if (pid == 0)
                _exit(unshare(namespaces) < 0);
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        return status == 0;
}

static Client *start_in(BusFixture *fixture, const Surroundings *s) {
        g_autofree char *daemon = g_strdup(g_getenv("WBWATCHD"));
        Client *client;

        g_assert_cmpint(setenv(REAL_DAEMON, daemon, true), ==, 0);
        g_assert_cmpint(setenv(SURROUNDINGS, s->name, true), ==, 0);
        g_assert_cmpint(setenv("WBWATCHD", self_path, true), ==, 0);
        client = start(fixture);
        g_assert_cmpint(setenv("WBWATCHD", daemon, true), ==, 0);
        g_assert_cmpint(unsetenv(SURROUNDINGS), ==, 0);

        fixture_wait_log(fixture, s->reason);
        return client;
}

static void test_no_priority(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = start_in(fixture, &no_priority);

        g_assert_cmpint(sched_getscheduler(fixture->daemon.pid), ==, SCHED_OTHER);
        fixture_add_worker(fixture);
        client_set(client, "CrowdSize", g_variant_new_uint32(9)); /* which makes it scan */
        (void) client_wait_signal(client, "SyncStarted");
        fixture_remove_worker(fixture);
        (void) client_wait_signal(client, "EpisodeEnded");
}

static void test_polling(BusFixture *fixture, gconstpointer data) {
        const Surroundings *s = data;
        _cleanup_client_ Client *client = NULL;

        if (s->namespaces != 0 && !namespaces_can_be_made(s->namespaces)) {
                g_test_skip("namespaces of this type can't be made here");
                return;
        }

        client = start_in(fixture, s);
        assert_property(client, "EventSource", "'polling'");
        g_autoptr(GVariant) text = client_get(client, "StatusText");
        g_assert_nonnull(strstr(g_variant_get_string(text, NULL), s->reason));

        fixture_add_worker(fixture);
        assert_in_time(client);
        fixture_remove_worker(fixture);
        (void) client_wait_signal(client, "EpisodeEnded");
        assert_property(client, "EventSource", "'polling'");
}

/* The host's root calls a daemon in a container, which does not see the caller's process. */
static void test_unseen_caller(BusFixture *fixture, gconstpointer data) {
        const Surroundings *s = data; /* a PID namespace of its own */
        _cleanup_client_ Client *client = NULL, *caller = NULL;
        g_autoptr(GVariant) inhibitors = NULL, inhibitor = NULL;
        guint32 uid, pid;

        if (!namespaces_can_be_made(s->namespaces)) {
                g_test_skip("namespaces of this type can't be made here");
                return;
        }

        client = start_in(fixture, s);
        caller = client_new_on_socket(fixture, UID_ROOT, "private");
        (void) client_call(caller, "Inhibit", g_variant_new("(ss)", "backup", ""));

        inhibitors = client_get(client, "Inhibitors");
        g_assert_cmpuint(g_variant_n_children(inhibitors), ==, 1);
        inhibitor = g_variant_get_child_value(inhibitors, 0);
        g_assert_true(g_variant_lookup(inhibitor, "UID", "u", &uid));
        g_assert_true(g_variant_lookup(inhibitor, "PID", "u", &pid));
        g_assert_cmpuint(uid, ==, UID_ROOT);
        g_assert_cmpuint(pid, ==, 0);
}

/* A capability that it could only inherit is none: no file of the daemon's is one that passes it on. */
static void assert_no_capability(pid_t pid) {
        static const char *const sets[] = { "CapPrm:", "CapEff:", "CapAmb:" };

        for (size_t i = 0; i < ELEMENTSOF(sets); i++)
                g_assert_cmphex(process_status_mask(pid, sets[i]), ==, 0);
}

/* Started as by the unit, with CAP_NET_ADMIN alone, it gives that up, receives events all the same, and keeps
 * its name. */
static void test_net_admin(BusFixture *fixture, gconstpointer data) {
        static const char *const helpers[] = { HELPER_SYNC, HELPER_SYNCFS, HELPER_STORAGE, HELPER_LOG };
        _cleanup_client_ Client *client = NULL;

        if ((process_status_mask(getpid(), "CapPrm:") & CAP_TO_MASK(CAP_NET_ADMIN)) == 0) {
                g_test_skip("needs CAP_NET_ADMIN");
                return;
        }

        fixture->wrapper = "setpriv --securebits +noroot --inh-caps -all,+net_admin "
                           "--ambient-caps -all,+net_admin --";
        client = start(fixture);
        assert_no_capability(fixture->daemon.pid);
        for (size_t i = 0; i < ELEMENTSOF(helpers); i++)
                assert_no_capability(fixture_helper_pid(fixture, helpers[i]));

        client_wait_property(client, "EventSource", "'netlink'");
        g_assert_true(process_is_called(fixture->daemon.pid, "wbwatchd"));
}

/* ---- a storm ---- */

/* An event for the daemon: the creation of a kernel thread that does not exist. */
static void forge_often(int netlink_fd, unsigned n) {
        struct {
                struct nlmsghdr header;
                struct cb_id id;
                uint32_t seq;
                uint32_t ack;
                uint16_t size;
                uint16_t flags;
                uint32_t event[10]; /* struct proc_event, which is not aligned here */
        } packet = {
                .header = { .nlmsg_len = sizeof(packet), .nlmsg_type = NLMSG_DONE },
                .id = { .idx = CN_IDX_PROC, .val = CN_VAL_PROC },
                .size = sizeof(packet.event),
                .event = { [0] = PROC_EVENT_FORK, [4] = 2, [5] = 2, [6] = 10, [7] = 10 },
        };
        int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_CONNECTOR);
        struct sockaddr_nl to = {};
        socklen_t size = sizeof(to);

        if (fd < 0 || getsockname(netlink_fd, (struct sockaddr *) &to, &size) < 0)
                _exit(EXIT_FAILURE);
        /* Not to the whole group: other tests may listen. */
        to.nl_groups = 0;
        for (unsigned i = 0; i < n; i++)
                (void) sendto(fd, &packet, sizeof(packet), MSG_DONTWAIT, (struct sockaddr *) &to, sizeof(to));
}

/* What a storm consists of. */
typedef struct Storm {
        int namespace, netlink_fd;
        unsigned n_forks, n_forged;
} Storm;

static void make_storm(const void *data) {
        const Storm *storm = data;

        if (setns(storm->namespace, 0) < 0)
                _exit(EXIT_FAILURE);
        forge_often(storm->netlink_fd, storm->n_forged);
        fork_often(storm->n_forks);
}

/* In a process of its own, in the host's network namespace, as the daemon. */
static Process start_storm(const BusFixture *fixture, int netlink_fd, unsigned n_forks, unsigned n_forged) {
        g_autofree char *path = g_strdup_printf("/proc/%d/ns/net", (int) fixture->daemon.pid);
        _cleanup_close_ int namespace = open(path, O_RDONLY | O_CLOEXEC);

        g_assert_no_errno(namespace);
        return process_fork(make_storm, &(const Storm){ namespace, netlink_fd, n_forks, n_forged });
}

static void await_storm(const BusFixture *fixture, Process *storm) {
        g_assert_cmpint(process_wait_end(storm, fixture->deadline_usec), ==, 0);
}

static guint64 lost_events(Client *client) {
        g_autoptr(GVariant) value = client_get(client, "LostEvents");

        return g_variant_get_uint64(value);
}

/* While the daemon does not read come a worker and more events than the socket holds. It cannot have seen the
 * worker before, so that the time without CPU that the test gives it does not count. */
static void add_worker_in_overrun(BusFixture *fixture, int netlink_fd) {
        Process storm;

        g_assert_cmpint(kill(fixture->daemon.pid, SIGSTOP), ==, 0);
        fixture_add_worker(fixture);
        storm = start_storm(fixture, netlink_fd, 5000, 0);
        await_storm(fixture, &storm);
        g_assert_cmpint(kill(fixture->daemon.pid, SIGCONT), ==, 0);
}

static void test_storm(BusFixture *fixture, gconstpointer data) {
        g_autofree char *pid_namespace = g_file_read_link("/proc/self/ns/pid", NULL);
        g_autofree char *user_namespace = g_file_read_link("/proc/self/ns/user", NULL);
        _cleanup_client_ Client *client = NULL;
        _cleanup_close_ int fd = -EBADF;
        Process storms[2];
        int unused = 0;
        guint64 lost, peak_kib;

        if (!streq(pid_namespace, "pid:[4026531836]") || !streq(user_namespace, "user:[4026531837]")) {
                g_test_skip("needs the host's namespaces: in a container there are no thread creation "
                            "events");
                return;
        }

        client = start(fixture);
        client_wait_property(client, "EventSource", "'netlink'");
        fd = steal_netlink_socket(fixture->daemon.pidfd);
        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused)), ==, 0);

        /* A loss is followed by a scan, which finds the worker. */
        g_assert_cmpuint(lost_events(client), ==, 0);
        add_worker_in_overrun(fixture, fd);
        assert_in_time(client);
        lost = lost_events(client);
        g_assert_cmpuint(lost, >, 0);
        fixture_remove_worker(fixture);
        (void) client_wait_signal(client, "EpisodeEnded");

        /* A long storm, with forged events in between, holds nothing up. */
        for (size_t i = 0; i < ELEMENTSOF(storms); i++)
                storms[i] = start_storm(fixture, fd, N_FORKS / ELEMENTSOF(storms), 100000);
        add_worker_in_overrun(fixture, fd);
        assert_in_time(client);
        fixture_remove_worker(fixture);
        (void) client_wait_signal(client, "EpisodeEnded");
        for (size_t i = 0; i < ELEMENTSOF(storms); i++)
                await_storm(fixture, &storms[i]);

        /* It still receives events. */
        lost = lost_events(client);
        add_worker_in_overrun(fixture, fd);
        assert_in_time(client);
        g_assert_cmpuint(lost_events(client), >, lost);
        assert_property(client, "EventSource", "'netlink'");
        peak_kib = process_status_number(fixture->daemon.pid, "VmHWM:");
        g_test_message("%u forks: %" G_GUINT64_FORMAT " losses, %" G_GUINT64_FORMAT " KiB of memory at most",
                       (unsigned) N_FORKS, lost, peak_kib);
#ifndef HAS_ADDRESS_SANITIZER
        g_assert_cmpuint(peak_kib, <, MEMORY_PEAK_KIB);
#endif
}

int main(int argc, char *argv[]) {
        const char *surroundings = getenv(SURROUNDINGS);

        if (surroundings)
                enter_surroundings(surroundings, argv);

        self_path = g_file_read_link("/proc/self/exe", NULL);
        if (!fixture_isolate())
                return EXIT_SUCCESS;
        g_test_init(&argc, &argv, NULL);

        for (size_t i = 0; i < ELEMENTSOF(surroundings_table); i++) {
                g_autofree char *path = g_strdup_printf("/namespaces/%s", surroundings_table[i].name);

                g_test_add(path, BusFixture, &surroundings_table[i], fixture_set_up, test_polling,
                           fixture_tear_down);
        }
        g_test_add("/namespaces/unseen-caller", BusFixture, &surroundings_table[0], fixture_set_up,
                   test_unseen_caller, fixture_tear_down);
        FIXTURE_TEST("/namespaces/no-priority", test_no_priority);
        FIXTURE_TEST("/namespaces/net-admin", test_net_admin);
        FIXTURE_TEST("/namespaces/storm", test_storm);

        return g_test_run();
}
