/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The connector, on the kernel that runs: births of kernel threads are told, user processes do not wake it,
 * and where the kernel does not listen, that is told. */

#include <fcntl.h>
#include <glib.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "connector.h"
#include "storm.h"

/* Far beyond what anything here takes: a wait that ends by it is a failure. */
#define PATIENCE_SEC 30

#define N_FORKS 100000

/* Messages that are none about kernel threads, of which a few may be created meanwhile. */
#define N_PASSED 50

typedef struct Fixture {
        sd_event *event;
        int fd;
        Connector *connector;
        unsigned n_states;
        bool listening;
        const char *reason;
        uint64_t n_births;
        unsigned n_lost;
} Fixture;

/* What goes to and comes from the kernel. */
typedef struct Packet {
        struct nlmsghdr header;
        struct cb_id id;
        uint32_t seq;
        uint32_t ack;
        uint16_t size;
        uint16_t flags;
        uint32_t payload[10]; /* struct proc_event, which is not aligned here, or enum proc_cn_mcast_op */
} Packet;

#define PACKET_SIZE(payload_size) (offsetof(Packet, payload) + (payload_size))

static void on_state(bool listening, const char *reason, void *userdata) {
        Fixture *f = userdata;

        f->n_states++;
        f->listening = listening;
        f->reason = reason;
}

static void on_event(unsigned n_births, bool lost, void *userdata) {
        Fixture *f = userdata;

        g_assert_true(n_births > 0 || lost);
        f->n_births += n_births;
        if (lost)
                f->n_lost++;
}

static void await_states(Fixture *f, unsigned n) {
        while (f->n_states < n)
                g_assert_cmpint(sd_event_run(f->event, PATIENCE_SEC * USEC_PER_SEC), >, 0);

        g_assert_cmpuint(f->n_states, ==, n);
}

/* Runs whatever waits in the event loop by now. Returns how often it was woken. */
static unsigned run_pending(sd_event *event) {
        unsigned n = 0;
        int r;

        while ((r = sd_event_run(event, 0)) > 0)
                n++;
        g_assert_cmpint(r, ==, 0);
        return n;
}

static void fixture_set_up(Fixture *f, gconstpointer data) {
        g_assert_cmpint(sd_event_new(&f->event), ==, 0);
        f->fd = connector_open();
        g_assert_cmpint(f->fd, >=, 0);
        g_assert_cmpint(connector_new(f->event, f->fd, on_state, on_event, f, &f->connector), ==, 0);
}

static void fixture_set_up_listening(Fixture *f, gconstpointer data) {
        fixture_set_up(f, data);
        await_states(f, 1);
        g_assert_true(f->listening);
}

static void fixture_tear_down(Fixture *f, gconstpointer data) {
        connector_free(f->connector);
        sd_event_unref(f->event);
        (void) close(f->fd);
}

static Packet packet(uint32_t cookie, uint16_t size) {
        return (Packet){
                .header = { .nlmsg_len = PACKET_SIZE(size), .nlmsg_type = NLMSG_DONE },
                .id = { .idx = CN_IDX_PROC, .val = CN_VAL_PROC },
                .seq = cookie,
                .ack = cookie,
                .size = size,
        };
}

static void send_packet(int fd, const Packet *p, uint32_t port) {
        struct sockaddr_nl to = { .nl_family = AF_NETLINK, .nl_pid = port };

        g_assert_cmpint(sendto(fd, p, p->header.nlmsg_len, 0, (struct sockaddr *) &to, sizeof(to)), ==,
                        p->header.nlmsg_len);
}

static void send_operation(int fd, uint32_t operation, uint32_t cookie) {
        Packet p = packet(cookie, sizeof(operation));

        p.payload[0] = operation;
        send_packet(fd, &p, /* port= */ 0);
}

/* Takes the kernel's acknowledgement away before the connector reads it, and gives its cookie. It is there
 * already: the kernel answers within the send. */
static uint32_t take_acknowledgement(int fd) {
        Packet p;

        for (;;) {
                g_assert_cmpint(recv(fd, &p, sizeof(p), MSG_DONTWAIT), ==, sizeof(p));
                if (p.payload[0] == PROC_EVENT_NONE)
                        return p.ack - 1;
        }
}

static void fork_and_wait(unsigned n) {
        for (unsigned i = 0; i < n; i++)
                fork_once();
}

static void detach_filter(int fd) {
        int unused = 0;

        g_assert_cmpint(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused)), ==, 0);
}

static void test_listens(Fixture *f, gconstpointer data) {
        g_assert_null(f->reason);

        (void) run_pending(f->event);
        g_assert_cmpuint(f->n_states, ==, 1);
}

/* Mounts a small ext4 image, which starts its journal's kernel thread. All of it is in the mount namespace of
 * a process of its own, which ends when its stdin closes, also when this test is killed. */
static GPid start_mount(int *ret_stdin_fd) {
        static const char *const arguments[] = {
                "setsid",
                "unshare",
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                "folder=$(mktemp -d)\n"
                "trap 'cd /; umount \"$folder/mount\"; rm -rf \"$folder\"' EXIT\n"
                "cd \"$folder\" && mkdir mount && truncate -s 16M image && mkfs.ext4 -q -F image && "
                "mount -o loop image mount && read -r nothing\n",
                NULL,
        };
        GError *error = NULL;
        GPid pid;

        if (!g_spawn_async_with_pipes(
                            NULL, (char **) arguments, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD,
                            NULL, NULL, &pid, ret_stdin_fd, NULL, NULL, &error))
                g_error("Can't start setsid: %s", error->message);

        return pid;
}

static void test_birth_is_told(Fixture *f, gconstpointer data) {
        int stdin_fd;
        GPid pid;

        pid = start_mount(&stdin_fd);
        while (f->n_births == 0)
                g_assert_cmpint(sd_event_run(f->event, PATIENCE_SEC * USEC_PER_SEC), >, 0);
        g_assert_cmpuint(f->n_lost, ==, 0);

        g_assert_cmpint(close(stdin_fd), ==, 0);
        g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
}

static void test_user_forks_do_not_wake(Fixture *f, gconstpointer data) {
        unsigned n = 0;

        for (unsigned i = 0; i < N_FORKS / 1000; i++) {
                fork_and_wait(1000);
                n += run_pending(f->event);
        }

        /* Kernel threads may be born meanwhile. */
        g_assert_cmpuint(n, <=, f->n_births);
        g_assert_cmpuint(f->n_births, <, N_FORKS / 100);
        g_assert_cmpuint(f->n_lost, ==, 0);
        g_test_message("%u forks, %" G_GUINT64_FORMAT " kernel threads born", N_FORKS, f->n_births);
}

/* Without the socket filter, as if the kernel had let some pass, a user process is still no kernel thread. */
static void test_user_forks_without_filter(Fixture *f, gconstpointer data) {
        detach_filter(f->fd);
        fork_and_wait(N_PASSED);
        g_assert_cmpuint(run_pending(f->event), >, 0);
        g_assert_cmpuint(f->n_births, <, N_PASSED);
}

static void test_loss_is_told(Fixture *f, gconstpointer data) {
        int fd = f->fd, smallest = 0;

        detach_filter(fd);
        g_assert_cmpint(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &smallest, sizeof(smallest)), ==, 0);

        fork_and_wait(1000);
        (void) run_pending(f->event);
        g_assert_cmpuint(f->n_lost, >=, 1);

        /* It goes on. */
        fork_and_wait(1);
        g_assert_cmpuint(run_pending(f->event), >, 0);
        g_assert_true(f->listening);
}

/* Sends messages to the connector's socket from another process. */
static void forge(const Fixture *f, const Packet *p, unsigned n) {
        struct sockaddr_nl ours = {};
        socklen_t size = sizeof(ours);
        int status;
        pid_t pid;

        g_assert_cmpint(getsockname(f->fd, (struct sockaddr *) &ours, &size), ==, 0);

        pid = fork();
        g_assert_cmpint(pid, >=, 0);
        if (pid == 0) {
                int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_CONNECTOR);

                for (unsigned i = 0; i < n; i++)
                        send_packet(fd, p, ours.nl_pid);
                _exit(EXIT_SUCCESS);
        }
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_cmpint(status, ==, 0);
}

/* Forged messages pass the filter, which does not see who sent them. */
static void test_forged_births_are_ignored(Fixture *f, gconstpointer data) {
        Packet p = packet(0, sizeof(p.payload));

        p.payload[0] = PROC_EVENT_FORK;
        p.payload[4] = p.payload[5] = 2; /* the parent */
        p.payload[6] = p.payload[7] = (uint32_t) getpid();
        forge(f, &p, N_PASSED);
        g_assert_cmpuint(run_pending(f->event), >, 0);
        g_assert_cmpuint(f->n_births, <, N_PASSED);
}

static void test_forged_acknowledgement_is_ignored(Fixture *f, gconstpointer data) {
        Packet p = packet(take_acknowledgement(f->fd) + 1, sizeof(p.payload));

        p.payload[0] = PROC_EVENT_NONE;
        forge(f, &p, 1);
        g_assert_cmpuint(run_pending(f->event), >, 0);
        g_assert_cmpuint(f->n_states, ==, 0);
}

static void test_late_acknowledgement(Fixture *f, gconstpointer data) {
        int fd = f->fd;
        uint32_t cookie;

        cookie = take_acknowledgement(fd);
        await_states(f, 1);
        g_assert_false(f->listening);
        g_assert_nonnull(strstr(f->reason, "did not answer within 1s"));

        send_operation(fd, PROC_CN_MCAST_LISTEN, cookie);
        await_states(f, 2);
        g_assert_true(f->listening);
}

static void test_refusal(Fixture *f, gconstpointer data) {
        int fd = f->fd;
        uint32_t cookie;

        cookie = take_acknowledgement(fd);
        send_operation(fd, /* operation= */ 99, cookie);
        await_states(f, 1);
        g_assert_false(f->listening);
        g_assert_cmpstr(f->reason, ==, connector_strerror(-EINVAL));

        /* It was answered: no second word when the second is over. */
        while (sd_event_run(f->event, 2 * USEC_PER_SEC) > 0)
                ;
        g_assert_cmpuint(f->n_states, ==, 1);
}

/* Before the connector requested fork events alone, the kernel sends it these too. */
static void test_acknowledgements_of_others(Fixture *f, gconstpointer data) {
        _cleanup_close_ int other = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_CONNECTOR);
        uint32_t cookie = take_acknowledgement(f->fd);

        send_operation(other, PROC_CN_MCAST_LISTEN, cookie + 1000);
        send_operation(other, PROC_CN_MCAST_IGNORE, cookie + 1000);
        g_assert_cmpuint(run_pending(f->event), <=, f->n_births);
        g_assert_cmpuint(f->n_states, ==, 0);
}

/* Counts the acknowledgements with this cookie that a listener's socket holds. */
static unsigned count_acknowledgements(int fd, uint32_t cookie) {
        unsigned n = 0;
        Packet p;

        while (recv(fd, &p, sizeof(p), MSG_DONTWAIT) == sizeof(p))
                if (p.payload[0] == PROC_EVENT_NONE && p.ack == cookie + 1)
                        n++;

        return n;
}

/* The kernel acknowledges to all who listen, so that a second listener sees what the connector requested. */
static void test_stops_listening_when_freed(Fixture *f, gconstpointer data) {
        _cleanup_close_ int other = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_CONNECTOR);
        struct sockaddr_nl group = { .nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC };
        struct sock_filter acknowledgements[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(Packet, payload)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROC_EVENT_NONE, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
                BPF_STMT(BPF_RET | BPF_K, 0),
        };
        struct sock_fprog filter = { .len = ELEMENTSOF(acknowledgements), .filter = acknowledgements };
        uint32_t cookie = take_acknowledgement(f->fd);

        g_assert_cmpint(setsockopt(other, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)), ==, 0);
        g_assert_cmpint(bind(other, (struct sockaddr *) &group, sizeof(group)), ==, 0);
        send_operation(other, PROC_CN_MCAST_LISTEN, cookie + 1000);
        (void) count_acknowledgements(other, cookie);

        f->connector = connector_free(f->connector);
        g_assert_cmpuint(count_acknowledgements(other, cookie), ==, 1);
        send_operation(other, PROC_CN_MCAST_IGNORE, cookie + 1000);
}

/* Runs in a process of its own, in a foreign namespace: 0 when the connector told that it is deaf. */
static int try_to_listen(void) {
        Fixture f = {};
        int r;

        if (sd_event_new(&f.event) < 0)
                return 2;

        f.fd = connector_open();
        if (f.fd < 0)
                return f.fd == -ECONNREFUSED ? 0 : 3;

        r = connector_new(f.event, f.fd, on_state, on_event, &f, &f.connector);
        if (r < 0)
                return 6;

        while (f.n_states == 0)
                if (sd_event_run(f.event, PATIENCE_SEC * USEC_PER_SEC) <= 0)
                        return 4;

        return f.listening || !f.reason ? 5 : 0;
}

static void test_foreign_namespace(gconstpointer data) {
        int flag = GPOINTER_TO_INT(data), status;
        pid_t pid;

        pid = fork();
        g_assert_cmpint(pid, >=, 0);
        if (pid == 0) {
                if (unshare(flag) < 0)
                        _exit(1);
                if (flag != CLONE_NEWPID)
                        _exit(try_to_listen());

                /* It is the next child that is in the new namespace. */
                pid = fork();
                if (pid == 0)
                        _exit(try_to_listen());
                if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
                        _exit(1);
                _exit(WEXITSTATUS(status));
        }

        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 1)
                g_test_skip("namespaces of this type can't be made here");
        else
                g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

static bool is_closed_on_exec(int fd) {
        return fcntl(fd, F_GETFD) & FD_CLOEXEC;
}

/* What is handed over stays open in the next program, and not in those that it executes. */
static void test_handed_over(void) {
        _cleanup_close_ int fd = connector_open();
        int inherited = -EBADF;

        g_assert_cmpint(fd, >=, 0);
        g_assert_true(is_closed_on_exec(fd));
        g_assert_cmpint(connector_keep(fd), ==, 0);
        g_assert_false(is_closed_on_exec(fd));

        g_assert_true(connector_inherit(&inherited));
        g_assert_cmpint(inherited, ==, fd);
        g_assert_true(is_closed_on_exec(fd));
        g_assert_false(connector_inherit(&inherited));

        /* Nor is the reason lost why there is none. */
        g_assert_cmpint(connector_keep(-ECONNREFUSED), ==, 0);
        g_assert_true(connector_inherit(&inherited));
        g_assert_cmpint(inherited, ==, -ECONNREFUSED);
}

static void test_foreign_inheritance(void) {
        _cleanup_close_ int route = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_ROUTE);
        _cleanup_close_ int connector = connector_open();
        g_autofree char *other = g_strdup_printf("%d", route);
        g_autofree char *more = g_strdup_printf("%d ", connector);
        const char *const texts[] = { "", "none", "0", "1000000", other, more };
        int inherited = 12345;

        g_assert_cmpint(route, >=, 0);
        g_assert_cmpint(connector, >=, 0);
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                g_assert_true(g_setenv("WBWATCHD_CONNECTOR", texts[i], true));
                g_assert_false(connector_inherit(&inherited));
                g_assert_cmpint(inherited, ==, 12345);
                g_assert_null(g_getenv("WBWATCHD_CONNECTOR"));
        }
}

static void test_reasons(void) {
        static const int errors[] = { EPROTONOSUPPORT, ECONNREFUSED, EPERM, ENOMEM, 99999 };

        for (unsigned i = 0; i < ELEMENTSOF(errors); i++) {
                g_assert_nonnull(connector_strerror(-errors[i]));
                g_assert_cmpstr(connector_strerror(-errors[i]), ==, connector_strerror(errors[i]));
        }
        g_assert_nonnull(strstr(connector_strerror(-ECONNREFUSED), "network namespace"));
        g_assert_nonnull(strstr(connector_strerror(-EPERM), "CAP_NET_ADMIN"));
        g_assert_nonnull(strstr(connector_strerror(-EPROTONOSUPPORT), "CONFIG_PROC_EVENTS"));
}

#define ADD(path, set_up, test)                                                                              \
        g_test_add("/connector/" path, Fixture, NULL, fixture_##set_up, test, fixture_tear_down)

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);

        ADD("listens", set_up_listening, test_listens);
        ADD("creation-is-reported", set_up_listening, test_birth_is_told);
        ADD("user-forks-do-not-wake", set_up_listening, test_user_forks_do_not_wake);
        ADD("user-forks-without-filter", set_up_listening, test_user_forks_without_filter);
        ADD("loss-is-reported", set_up_listening, test_loss_is_told);
        ADD("forged-creations-are-ignored", set_up_listening, test_forged_births_are_ignored);
        ADD("forged-acknowledgement-is-ignored", set_up, test_forged_acknowledgement_is_ignored);
        ADD("acknowledgements-of-others", set_up, test_acknowledgements_of_others);
        ADD("late-acknowledgement", set_up, test_late_acknowledgement);
        ADD("refusal", set_up, test_refusal);
        ADD("stops-listening-when-freed", set_up, test_stops_listening_when_freed);
        g_test_add_data_func(
                        "/connector/foreign-pid-namespace", GINT_TO_POINTER(CLONE_NEWPID),
                        test_foreign_namespace);
        g_test_add_data_func(
                        "/connector/foreign-user-namespace", GINT_TO_POINTER(CLONE_NEWUSER),
                        test_foreign_namespace);
        g_test_add_data_func(
                        "/connector/foreign-network-namespace", GINT_TO_POINTER(CLONE_NEWNET),
                        test_foreign_namespace);
        g_test_add_func("/connector/handed-over", test_handed_over);
        g_test_add_func("/connector/foreign-inheritance", test_foreign_inheritance);
        g_test_add_func("/connector/reasons", test_reasons);

        return g_test_run();
}
