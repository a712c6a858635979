/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The processes in which bus-reader.c and peers.c run. Each is forked while the daemon is small, and then
 * waits for its order: a process that was forked later would keep a copy of all that the daemon changes
 * afterwards.
 */

#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "bus-address.h"
#include "bus-reader.h"
#include "peers.h"

/* Before all ordinary processes: else, while hundreds of them take the CPUs, each call would wait for its
 * turn once more than for the bus itself. */
#define NICE (-20)

#define CONNECT_AGAIN_MSEC 10

/* What a process is to do. */
typedef struct Order {
        char name[CHILD_NAME_MAX + 1]; /* of the process */
        bool has_listener;             /* serve peers; else read from the bus */
        bool is_private;               /* the listener is */
} Order;

/* The descriptors that come with it. */
typedef enum OrderFd {
        FD_INPUT,    /* the bus, or the link to the daemon */
        FD_LISTENER, /* if it has one */
        _ORDER_FD_MAX,
} OrderFd;

typedef union OrderControl {
        struct cmsghdr align;
        char room[CMSG_SPACE(_ORDER_FD_MAX * sizeof(int))];
} OrderControl;

typedef struct Process {
        int fd; /* the daemon's end of its socket */
        Child child;
} Process;

/* Those that wait for their order. */
static Process waiting[BUS_READERS_MAX];
static size_t n_waiting;

/* In the process */

static int receive_order(Order *ret, int ret_fds[static _ORDER_FD_MAX]) {
        struct iovec data = { .iov_base = ret, .iov_len = sizeof(*ret) };
        OrderControl control = {};
        struct msghdr message = {
                .msg_iov = &data,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        struct cmsghdr *header;
        ssize_t n;

        do
                n = recvmsg(CHILD_FD, &message, MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        header = CMSG_FIRSTHDR(&message);
        if (n != sizeof(*ret) || !header || header->cmsg_type != SCM_RIGHTS ||
            (message.msg_flags & MSG_CTRUNC))
                return -ECONNRESET;

        memcpy(ret_fds, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
        return 0;
}

/* Tries again while the bus is not accepting connections, since others connect very often; gives up when the
 * daemon closes its socket. */
static int connect_again(int *ret_fd) {
        struct pollfd daemon = { .fd = CHILD_FD };
        int r;

        while ((r = bus_address_connect(bus_address(), ret_fd)) == -EAGAIN)
                if (poll(&daemon, 1, CONNECT_AGAIN_MSEC) > 0)
                        return -ECONNRESET;
        return r;
}

static void run_reader(int bus_fd) {
        BusReader *reader;
        int users_fd;

        if (connect_again(&users_fd) < 0 || bus_reader_new(CHILD_FD, bus_fd, users_fd, &reader) < 0)
                return;
        while (bus_reader_wait(reader, -1) >= 0 && bus_reader_work(reader) >= 0)
                ;
}

static void run_peers(int link_fd, const Listener *listener) {
        Peers *peers;

        if (peers_new(CHILD_FD, link_fd, listener, &peers) < 0)
                return;
        while (peers_work(peers, -1) >= 0)
                ;
}

static void run(void *unused) {
        int fds[_ORDER_FD_MAX];
        Order order;

        /* Memory locks are not inherited. */
        (void) sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){});
        (void) setpriority(PRIO_PROCESS, 0, NICE);
        (void) mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);

        if (receive_order(&order, fds) < 0)
                return;
        (void) prctl(PR_SET_NAME, order.name);
        if (order.has_listener)
                run_peers(fds[FD_INPUT],
                          &(Listener){ .is_private = order.is_private, .fd = fds[FD_LISTENER] });
        else
                run_reader(fds[FD_INPUT]);
}

/* In the daemon */

/* Must not write to memory that is shared with those forked before. */
static int fork_process(Process *ret) {
        _cleanup_close_ int ours = -EBADF, theirs = -EBADF;
        Child child;
        int pair[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        ours = pair[0];
        theirs = pair[1];

        r = child_start(&(ChildOptions){ .name = "wbwatchd-reader", .fd = theirs, .run = run }, &child);
        if (r < 0)
                return r;

        *ret = (Process){ .fd = take_fd(&ours), .child = child };
        return 0;
}

void bus_readers_fork(size_t n) {
        n_waiting = 0;
        while (n_waiting < MIN(n, (size_t) BUS_READERS_MAX) && fork_process(waiting + n_waiting) >= 0)
                n_waiting++;
}

static int send_order(const Process *process, const Order *order, const int *fds) {
        const size_t size = (order->has_listener ? 2 : 1) * sizeof(int);
        struct iovec data = { .iov_base = (void *) order, .iov_len = sizeof(*order) };
        OrderControl control = {};
        struct msghdr message = {
                .msg_iov = &data,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = CMSG_SPACE(size),
        };
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);

        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(size);
        memcpy(CMSG_DATA(header), fds, size);
        return sendmsg(process->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int start_process(
                Process *process,
                const Order *order,
                const int *fds,
                int *ret_fd,
                Child *ret_child) {
        int r;

        r = send_order(process, order, fds);
        if (r < 0) {
                closep(&process->fd);
                child_leave(&process->child, 0);
                return r;
        }

        *ret_fd = process->fd;
        *ret_child = process->child;
        return 0;
}

static int start(const Order *order, const int *fds, int *ret_fd, Child *ret_child) {
        Process process;
        int r;

        /* One that was killed meanwhile takes no order. */
        while (n_waiting > 0)
                if (start_process(waiting + --n_waiting, order, fds, ret_fd, ret_child) >= 0)
                        return 0;

        r = fork_process(&process);
        return r < 0 ? r : start_process(&process, order, fds, ret_fd, ret_child);
}

int bus_reader_start(int socket, int *ret_fd, Child *ret_child) {
        return start(&(Order){ .name = "wbwatchd-bus" }, &socket, ret_fd, ret_child);
}

int peers_start(const Listener *listener, int link_fd, int *ret_fd, Child *ret_child) {
        const int fds[] = { [FD_INPUT] = link_fd, [FD_LISTENER] = listener->fd };
        Order order = { .has_listener = true, .is_private = listener->is_private };

        strcpy(order.name, listener->process_name);
        return start(&order, fds, ret_fd, ret_child);
}
