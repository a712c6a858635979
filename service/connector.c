/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Thread creation events: see connector.h.
 *
 * A message of the proc connector is one datagram: nlmsghdr, cn_msg, proc_event. To listen takes three steps,
 * in an order that works on all kernels: join the multicast group, send PROC_CN_MCAST_LISTEN alone and await
 * its acknowledgement, and then ask for fork events only, which kernels before 6.6 ignore without a word.
 *
 * The acknowledgement goes to the whole group, as an event of type NONE; the request's cn_msg.ack plus one
 * says whose it is. A kernel that does not listen to the sender (another pid or user namespace) sends none,
 * and no error either.
 */

#include "connector.h"

#include <arpa/inet.h>
#include <assert.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <stdalign.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define ACKNOWLEDGEMENT_TIMEOUT_USEC (1 * USEC_PER_SEC)

/* A storm of thread creations must not keep the event loop from its other work. */
#define MESSAGES_PER_WAKEUP 64

/* A message of the proc connector has 76 bytes; only a forged one is longer. */
#define MESSAGE_SIZE_MAX 256

/* The parent of all kernel threads. */
#define KTHREADD_PID 2

/* What connector_keep() leaves for connector_inherit(): a descriptor or a negative errno. */
#define INHERITANCE "WBWATCHD_CONNECTOR"

/* linux/cn_proc.h has this as struct proc_input since 6.6; Debian 12's headers are older. */
typedef struct ListenRequest {
        uint32_t operation; /* enum proc_cn_mcast_op */
        uint32_t events;    /* PROC_EVENT_*, not sent to kernels that know the operation alone */
} ListenRequest;

struct Connector {
        int fd;                   /* the caller's */
        uint32_t acknowledgement; /* of acknowledgement_to(fd) */
        sd_event_source *io_source;
        sd_event_source *timer_source;

        connector_state_t state;
        connector_event_t on_event;
        void *userdata;

        bool listening;
};

/* Sent as cn_msg.ack, to distinguish the acknowledgement to this socket from those to others: the inode
 * number, which no other socket has, and which stays the same when the process executes itself anew. */
static uint32_t cookie_of(int fd) {
        struct stat status = {};

        (void) fstat(fd, &status);
        return (uint32_t) status.st_ino;
}

/* What the kernel's acknowledgement to us has as its cn_msg.ack. */
static uint32_t acknowledgement_to(int fd) {
        return cookie_of(fd) + 1;
}

/* Lets the kernel drop, before it wakes anybody, all but our acknowledgement and the creation of kernel
 * threads. */
static int attach_filter(int fd) {
        enum {
                ACK = NLMSG_HDRLEN + offsetof(struct cn_msg, ack),
                EVENT = NLMSG_HDRLEN + sizeof(struct cn_msg),
                WHAT = EVENT + offsetof(struct proc_event, what),
                PARENT = EVENT + offsetof(struct proc_event, event_data.fork.parent_tgid),
        };

        /* Loads convert from network order, the message is in host order. */
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, WHAT),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(PROC_EVENT_FORK), 0, 2),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, PARENT),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(KTHREADD_PID), 3, 4),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(PROC_EVENT_NONE), 0, 3),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ACK),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(acknowledgement_to(fd)), 0, 1),
                BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
                BPF_STMT(BPF_RET | BPF_K, 0),
        };
        struct sock_fprog program = { .len = ELEMENTSOF(code), .filter = code };

        static_assert(ACK == 28 && WHAT == 36 && PARENT == 56, "the kernel's layout, which never changes");

        return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

/* Sends the first size bytes of a request: its operation alone, or all of it. */
static int send_request(int fd, const ListenRequest *request, size_t size) {
        alignas(struct nlmsghdr) uint8_t buffer[MESSAGE_SIZE_MAX];
        struct nlmsghdr *header;
        struct cn_msg *message;

        header = mnl_nlmsg_put_header(buffer);
        header->nlmsg_type = NLMSG_DONE;

        message = mnl_nlmsg_put_extra_header(header, sizeof(*message) + size);
        message->id = (struct cb_id){ .idx = CN_IDX_PROC, .val = CN_VAL_PROC };
        message->seq = cookie_of(fd);
        message->ack = message->seq;
        message->len = (uint16_t) size;
        memcpy(message->data, request, size);

        return send(fd, header, header->nlmsg_len, 0) < 0 ? -errno : 0;
}

/* Sends an operation alone, as all kernels understand it. */
static int send_operation(int fd, enum proc_cn_mcast_op operation) {
        ListenRequest request = { .operation = operation };

        return send_request(fd, &request, sizeof(request.operation));
}

ConnectorNews connector_parse(
                const void *datagram,
                size_t size,
                uint32_t acknowledgement,
                uint32_t *ret_error) {

        const struct nlmsghdr *header = datagram;
        struct proc_event event;
        struct cn_msg message;
        const uint8_t *payload;
        const size_t needed = MNL_NLMSG_HDRLEN + sizeof(message) + sizeof(event);

        /* Not by mnl_nlmsg_ok(), which takes a length of 2 GiB and more for a negative one. */
        if (size < needed || header->nlmsg_len < needed || header->nlmsg_len > size)
                return CONNECTOR_NOTHING;

        payload = mnl_nlmsg_get_payload(header);
        memcpy(&message, payload, sizeof(message));
        memcpy(&event, payload + sizeof(message), sizeof(event));
        if (message.id.idx != CN_IDX_PROC || message.id.val != CN_VAL_PROC)
                return CONNECTOR_NOTHING;

        /* The filter said so already, but what was queued may be older than the filter. */
        if (event.what == PROC_EVENT_FORK && event.event_data.fork.parent_tgid == KTHREADD_PID)
                return CONNECTOR_BIRTH;

        if (event.what == PROC_EVENT_NONE && message.ack == acknowledgement) {
                *ret_error = event.event_data.ack.err;
                return CONNECTOR_ACKNOWLEDGED;
        }

        return CONNECTOR_NOTHING;
}

/* Takes one datagram off the socket: its ConnectorNews. -EAGAIN: none is left; -ENOBUFS: some were lost, more
 * may follow. */
static int connector_receive(Connector *connector, uint32_t *ret_error) {
        alignas(struct nlmsghdr) uint8_t buffer[MESSAGE_SIZE_MAX];
        struct sockaddr_nl sender = {};
        struct iovec part = { .iov_base = buffer, .iov_len = sizeof(buffer) };
        struct msghdr header = {
                .msg_name = &sender,
                .msg_namelen = sizeof(sender),
                .msg_iov = &part,
                .msg_iovlen = 1,
        };
        ssize_t n;

        n = recvmsg(connector->fd, &header, MSG_DONTWAIT);
        if (n < 0)
                return -errno;

        /* Any process with CAP_NET_ADMIN may send to this socket; the kernel alone has port 0. */
        if (header.msg_namelen != sizeof(sender) || sender.nl_pid != 0 || (header.msg_flags & MSG_TRUNC))
                return CONNECTOR_NOTHING;

        return (int) connector_parse(buffer, (size_t) n, connector->acknowledgement, ret_error);
}

static void connector_set_listening(Connector *connector, bool listening, const char *reason) {
        (void) sd_event_source_set_enabled(connector->timer_source, SD_EVENT_OFF);
        connector->listening = listening;
        connector->state(listening, reason, connector->userdata);
}

/* The kernel answered the request to listen. */
static void connector_acknowledged(Connector *connector, uint32_t error) {
        ListenRequest request = { .operation = PROC_CN_MCAST_LISTEN, .events = PROC_EVENT_FORK };

        if (connector->listening)
                return;

        if (error != 0) {
                connector_set_listening(connector, false, connector_strerror((int) error));
                return;
        }

        /* Spares the kernel the other events. The filter drops them anyway, so that it may fail. */
        (void) send_request(connector->fd, &request, sizeof(request));

        connector_set_listening(connector, true, NULL);
}

static int on_timeout(sd_event_source *source, uint64_t time_usec, void *userdata) {
        connector_set_listening(
                        userdata, false,
                        "the kernel did not answer within 1s: this is a foreign pid or user namespace (as in "
                        "a container), CAP_NET_ADMIN is missing before Linux 6.6, or the kernel has no proc "
                        "connector (CONFIG_PROC_EVENTS)");
        return 0;
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Connector *connector = userdata;
        unsigned n_births = 0;
        bool lost = false;

        for (unsigned i = 0; i < MESSAGES_PER_WAKEUP; i++) {
                uint32_t error;
                int r;

                r = connector_receive(connector, &error);
                if (r == -EAGAIN)
                        break;
                if (r == -EINTR)
                        continue;
                if (r < 0)
                        /* Usually -ENOBUFS: the queue was full. Whatever else it may be, something is
                         * missing. */
                        lost = true;
                else if (r == CONNECTOR_BIRTH)
                        n_births++;
                else if (r == CONNECTOR_ACKNOWLEDGED)
                        connector_acknowledged(connector, error);
        }

        if (n_births > 0 || lost)
                connector->on_event(n_births, lost, connector->userdata);
        return 0;
}

int connector_open(void) {
        const struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1U << (CN_IDX_PROC - 1) };
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_CONNECTOR);
        if (fd < 0)
                return -errno;

        /* Before the socket joins the group, so that nothing passes by it. */
        r = attach_filter(fd);
        if (r < 0)
                return r;

        if (bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;

        r = send_operation(fd, PROC_CN_MCAST_LISTEN);
        if (r < 0)
                return r;

        return take_fd(&fd);
}

int connector_keep(int fd) {
        char text[sizeof("-2147483648")];

        if (fd >= 0 && fcntl(fd, F_SETFD, 0) < 0)
                return -errno;

        (void) snprintf(text, sizeof(text), "%d", fd);
        return setenv(INHERITANCE, text, /* replace= */ true) < 0 ? -errno : 0;
}

static bool is_connector(int fd) {
        int domain, protocol;
        socklen_t size = sizeof(int);

        return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) >= 0 && domain == AF_NETLINK &&
               getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) >= 0 &&
               protocol == NETLINK_CONNECTOR;
}

bool connector_inherit(int *ret_fd) {
        const char *text = getenv(INHERITANCE);
        int fd, length;
        bool valid;

        if (!text)
                return false;

        valid = sscanf(text, "%d%n", &fd, &length) == 1 && text[length] == '\0' &&
                (fd < 0 || is_connector(fd));
        (void) unsetenv(INHERITANCE);
        if (!valid)
                return false;

        if (fd >= 0)
                (void) fcntl(fd, F_SETFD, FD_CLOEXEC);
        *ret_fd = fd;
        return true;
}

int connector_new(
                sd_event *event,
                int fd,
                connector_state_t state,
                connector_event_t on_event,
                void *userdata,
                Connector **ret) {
        _cleanup_(connector_freep) Connector *connector = NULL;
        int r;

        connector = calloc(1, sizeof(*connector));
        if (!connector)
                return -ENOMEM;

        connector->fd = fd;
        connector->acknowledgement = acknowledgement_to(fd);
        connector->state = state;
        connector->on_event = on_event;
        connector->userdata = userdata;

        r = sd_event_add_io(event, &connector->io_source, fd, EPOLLIN, on_readable, connector);
        if (r < 0)
                return r;

        r = sd_event_add_time_relative(
                        event, &connector->timer_source, CLOCK_MONOTONIC, ACKNOWLEDGEMENT_TIMEOUT_USEC,
                        1 * USEC_PER_MSEC, on_timeout, connector);
        if (r < 0)
                return r;

        *ret = TAKE_POINTER(connector);
        return 0;
}

Connector *connector_free(Connector *connector) {
        if (!connector)
                return NULL;

        sd_event_source_disable_unref(connector->io_source);
        sd_event_source_disable_unref(connector->timer_source);

        /* Also without an acknowledgement: that may have been lost. */
        (void) send_operation(connector->fd, PROC_CN_MCAST_IGNORE);

        free(connector);
        return NULL;
}

const char *connector_strerror(int error) {
        const char *text;

        switch (abs(error)) {
        case EPROTONOSUPPORT:
                return "this kernel has no proc connector (CONFIG_PROC_EVENTS)";
        case ECONNREFUSED:
                return "this is a foreign network namespace (as in a container)";
        case EPERM:
                return "CAP_NET_ADMIN is needed before Linux 6.6";
        default:
                text = strerrordesc_np(abs(error));
                return text ?: "unknown error";
        }
}
