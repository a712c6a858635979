/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Messages from the bus and from peers: see bus-intake.h. */

#include "bus-intake.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "bus-header.h"
#include "bus-reader.h"
#include "peers.h"

/* The share of one CPU, in thousandths. The budget accumulates up to BURST_NSEC, so that normal use is not
 * delayed. A spent one is used again once it has RESUME_NSEC, enough for several packets in a row. */
#define PERMILLE 40
#define BURST_NSEC (4 * 1000 * 1000)
#define RESUME_NSEC (200 * 1000)

/* The longest time until an overdrawn budget is balanced: 8 ms of CPU time. One message overdraws it by less;
 * but in a virtual machine the time for which the host runs something else counts as ours, and callers must
 * not wait long for that: of four users who call something, each waits four times. */
#define DEBT_MSEC_MAX 200

/* How long calls are served before the event loop runs, which may have something more important to do. */
#define SLICE_NSEC (250 * 1000)

/* How long the end of the daemon waits for peers' process to pass on what was sent to them. */
#define PEERS_END_MSEC 50

/* A budget of CPU time. */
typedef struct Budget {
        int64_t nsec;
        uint64_t usec; /* when nsec was last updated */
} Budget;

struct BusIntake {
        sd_bus *bus;
        int feed;
        int reader_fd;
        Child reader;

        bool requested; /* a packet that has not come yet */
        bool has_calls; /* waiting in the reader */
        bool unserved;  /* calls of the last packet */
        uid_t caller;
        pid_t caller_pid;

        size_t n_served;       /* bytes of calls, since the last request */
        uid_t served_uid;      /* whose the last requested packet was */
        int64_t prepared_nsec; /* the thread's CPU time before the last poll */
};

/* CPU time */

/* Of all connections together. */
static Budget budget;

/* The thread's CPU time at the last charge(). */
static int64_t handled_nsec;

static int64_t thread_cpu_nsec(void) {
        struct timespec time;

        (void) clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
        return (int64_t) time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Each microsecond adds PERMILLE nanoseconds. */
static void budget_accumulate(void) {
        uint64_t usec = usec_now(CLOCK_MONOTONIC), passed_usec = usec_subtract(usec, budget.usec);

        budget.nsec += (int64_t) MIN(passed_usec, USEC_PER_HOUR) * PERMILLE;
        budget.nsec = MIN(budget.nsec, BURST_NSEC);
        budget.usec = usec;
}

static void budget_charge(int64_t nsec) {
        budget_accumulate();
        budget.nsec = MAX(budget.nsec - nsec, -DEBT_MSEC_MAX * 1000 * PERMILLE);
}

/* Charges, unless it was for root, what the event loop has done since its preparation for a poll: the way
 * through the poll may take longer than the call itself. What ran before, such as a scan, is nobody's. */
static void charge(const BusIntake *intake, uid_t uid) {
        int64_t begin_nsec = MAX(intake->prepared_nsec, handled_nsec);

        handled_nsec = thread_cpu_nsec();
        if (uid != UID_ROOT)
                budget_charge(handled_nsec - begin_nsec);
}

/* From when on it may be used (CLOCK_MONOTONIC); 0: from now on. */
static uint64_t budget_usec(void) {
        budget_accumulate();
        return budget.nsec > 0 ? 0 : budget.usec + (uint64_t) ((RESUME_NSEC - budget.nsec) / PERMILLE);
}

/* Forwarding to sd-bus */

static int process(BusIntake *intake) {
        int r;

        while ((r = sd_bus_process(intake->bus, NULL)) > 0)
                ;
        if (r < 0)
                return r;

        return sd_bus_is_open(intake->bus) > 0 ? 0 : -ECONNRESET;
}

/* There is room, since sd-bus has read everything that was forwarded before. */
static int forward(BusIntake *intake, const void *data, size_t n) {
        ssize_t n_sent;

        n_sent = send(intake->feed, data, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n_sent < 0)
                return -errno;
        if ((size_t) n_sent < n)
                return -ENOBUFS;

        return process(intake);
}

/* What is sent here is mostly left of the last reply; signals and timeouts are charged along with it. */
int bus_intake_process(BusIntake *intake) {
        int r;

        r = process(intake);
        charge(intake, intake->served_uid);
        return r;
}

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        /* A bus always adds the sender. Something else may listen at a configured address. */
        if (sd_bus_message_is_method_call(m, NULL, NULL) && !sd_bus_message_get_sender(m))
                return sd_bus_error_set(ret_error, SD_BUS_ERROR_ACCESS_DENIED, "The call has no sender");

        if (sd_bus_message_is_method_call(m, REFUSED_INTERFACE, REFUSED_TOO_LONG))
                return sd_bus_error_setf(
                                ret_error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "The call is longer than the maximum of %zu bytes", BUS_MESSAGE_SIZE_MAX);
        if (sd_bus_message_is_method_call(m, REFUSED_INTERFACE, REFUSED_DESCRIPTORS))
                return sd_bus_error_set(
                                ret_error, SD_BUS_ERROR_INVALID_ARGS, "No method takes file descriptors");
        if (sd_bus_message_is_method_call(m, REFUSED_INTERFACE, NULL))
                return sd_bus_error_set(
                                ret_error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "Too many calls of this user are waiting to be served");
        return 0;
}

/* The reader */

static int send_request(BusIntake *intake, const BusRequest *request) {
        return send(intake->reader_fd, request, sizeof(*request), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno
                                                                                                   : 0;
}

static int serve(BusIntake *intake, const BusPacket *packet, const void *call, size_t size) {
        int r;

        intake->caller = packet->uid;
        intake->caller_pid = packet->pid;
        r = forward(intake, call, size);
        intake->caller = UID_UNKNOWN;
        intake->caller_pid = 0;
        return r;
}

/* No call is served while a message is waiting to be sent, so that replies do not pile up. */
static bool may_send(const BusIntake *intake) {
        uint64_t n;

        return sd_bus_get_n_queued_write(intake->bus, &n) >= 0 && n == 0;
}

/* Serves one call, and further ones for a while. The others remain with the reader. */
static int serve_calls(BusIntake *intake, const BusPacket *packet, size_t size) {
        const int64_t begin_nsec = thread_cpu_nsec();
        size_t at = 0;
        int r;

        do {
                size_t header_size, call_size;

                r = bus_header_sizes(packet->data + at, &header_size, &call_size);
                if (r < 0)
                        return r;
                r = serve(intake, packet, packet->data + at, call_size);
                if (r < 0)
                        return r;
                at += call_size;
        } while (at < size && may_send(intake) && thread_cpu_nsec() - begin_nsec < SLICE_NSEC);

        intake->n_served += at;
        intake->unserved = at < size;
        return 0;
}

static int process_packet(BusIntake *intake, const BusPacket *packet, size_t size) {
        intake->has_calls = packet->has_calls;
        if (packet->type == BUS_PACKET_BYTES)
                return serve(intake, packet, packet->data, size);

        intake->requested = false;
        intake->served_uid = packet->uid;
        return serve_calls(intake, packet, size);
}

/* Receives one packet. Returns 0 if there was none. */
static int receive_packet(BusIntake *intake) {
        static BusPacket packet;
        ssize_t n;
        int r;

        n = recv(intake->reader_fd, &packet, sizeof(packet), MSG_DONTWAIT);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if ((size_t) n < offsetof(BusPacket, data))
                return -ECONNRESET;

        r = process_packet(intake, &packet, (size_t) n - offsetof(BusPacket, data));
        charge(intake, packet.uid);
        return r < 0 ? r : 1;
}

int bus_intake_receive(BusIntake *intake) {
        int r;

        while ((r = receive_packet(intake)) > 0)
                ;
        return r;
}

int bus_intake_request(BusIntake *intake) {
        BusRequest request = { .n_served = (uint32_t) intake->n_served };
        int r;

        intake->prepared_nsec = thread_cpu_nsec();
        if (intake->requested || !may_send(intake))
                return 0;

        request.others_usec = budget_usec();
        r = send_request(intake, &request);
        charge(intake, intake->served_uid);
        if (r < 0)
                return r;

        intake->requested = true;
        intake->n_served = 0;
        return 0;
}

bool bus_intake_has_calls(const BusIntake *intake) {
        return intake->has_calls || intake->unserved;
}

int bus_intake_fd(const BusIntake *intake) {
        return intake->reader_fd;
}

uid_t bus_intake_caller(const BusIntake *intake) {
        return intake->caller;
}

pid_t bus_intake_caller_pid(const BusIntake *intake) {
        return intake->caller_pid;
}

int bus_intake_new(sd_bus *bus, int socket, int feed, const Listener *listener, BusIntake **ret) {
        _cleanup_(bus_intake_freep) BusIntake *intake = NULL;
        int r;

        intake = calloc(1, sizeof(*intake));
        if (!intake)
                return -ENOMEM;
        intake->bus = bus;
        intake->feed = feed;
        intake->caller = UID_UNKNOWN;
        intake->reader_fd = -EBADF;
        intake->reader = CHILD_NONE;

        r = sd_bus_add_filter(bus, NULL, on_message, intake);
        if (r < 0)
                return r;
        r = listener ? peers_start(listener, socket, &intake->reader_fd, &intake->reader)
                     : bus_reader_start(socket, &intake->reader_fd, &intake->reader);
        if (r < 0)
                return r;

        *ret = TAKE_POINTER(intake);
        return 0;
}

void bus_intake_await_end(const BusIntake *intake) {
        struct pollfd end = { .fd = intake->reader.pidfd, .events = POLLIN };

        (void) poll(&end, 1, PEERS_END_MSEC);
}

BusIntake *bus_intake_free(BusIntake *intake) {
        if (!intake)
                return NULL;

        if (intake->reader.pid > 0)
                (void) kill(intake->reader.pid, SIGKILL);
        closep(&intake->reader_fd);
        child_leave(&intake->reader, 0);
        free(intake);
        return NULL;
}
