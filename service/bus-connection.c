/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The connection to the system bus: see bus-connection.h.
 *
 * sd-bus sends to the bus, but reads what bus-intake.c forwards through a socket pair. It is not attached to
 * the event loop: I/O sources drive it, and a timer for its timeouts.
 *
 * A bus may stop reading what we send for two reasons. It hangs as a whole: then we can only wait, with a
 * bounded queue. Or it stops reading from this connection alone: dbus-broker charges replies that callers
 * leave unread to their sender, and stops at a limit, so that a few callers that read nothing cut off all
 * others. A new connection finds out which: if the bus answers it, the old one is replaced.
 */

#include "bus-connection.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "bus-address.h"
#include "bus-intake.h"
#include "log.h"
#include "names.h"

/* The delay between attempts to connect grows from the minimum to the maximum. */
#define RETRY_MIN_USEC (250 * USEC_PER_MSEC)
#define RETRY_MAX_USEC (10 * USEC_PER_SEC)

/* With more queued messages than this the bus counts as not reading. All but one of them are signals, since
 * no call is served while the queue is not empty. */
#define QUEUED_MAX 1024

/* sd-bus would set 8 MiB, and each reply could wait behind that much: dbus-daemon reads 2 KiB of each
 * connection in turn, and is slow while others flood it. */
#define SEND_BUFFER_SIZE (16 * 1024)

/* How often the queue is checked while it is not empty; and for how long the bus may read nothing before a
 * new connection probes it. */
#define WATCH_USEC (500 * USEC_PER_MSEC)
#define NO_PROGRESS_USEC (2 * USEC_PER_SEC)

/* How long the end waits for the bus to take the name back. */
#define RELEASE_USEC (500 * USEC_PER_MSEC)

struct BusConnection {
        sd_event *event;
        const char *name;
        const Listener *listener; /* NULL: the connection is to the bus */
        const BusConnectionHandlers *handlers;
        void *userdata;

        sd_bus *bus;
        int socket; /* to the bus: a copy, since sd-bus closes its own when the bus is lost */
        int feed;   /* sd-bus reads what is written here */
        BusIntake *intake;
        sd_event_source *input, *output, *timer; /* on_prepare() sets the last two before each poll */
        sd_event_source *exit;
        sd_event_source *retry; /* on: the connection has been given up, and a new one will be tried */
        uint64_t retry_usec;
        bool loss_logged; /* a loss of the bus is logged once, not at every attempt */
        bool replaces;    /* a connection that we gave up may still own our name */

        bool owns_name, lost_name; /* both false: not known yet */
        bool is_ending;            /* the event loop is */
        bool releases_name;        /* at the end */
        bool released_name;        /* the bus has done so */

        sd_event_source *watch; /* on while the bus may not have read everything */
        int n_unread;           /* bytes, at the last check */
        uint64_t progress_usec; /* when the bus was last seen to read */
        sd_bus *probe;          /* another connection, while the bus reads nothing from this one */
        bool probe_answered;    /* the bus has answered it */
};

static bool is_retrying(const BusConnection *connection) {
        int enabled;

        return sd_event_source_get_enabled(connection->retry, &enabled) > 0;
}

sd_bus *bus_connection_get(const BusConnection *connection) {
        return is_retrying(connection) ? NULL : connection->bus;
}

uid_t bus_connection_caller(const BusConnection *connection) {
        return bus_intake_caller(connection->intake);
}

pid_t bus_connection_caller_pid(const BusConnection *connection) {
        return bus_intake_caller_pid(connection->intake);
}

/* Giving up */

static void log_loss(const BusConnection *connection, int error, const char *what) {
        int level = connection->loss_logged ? LOG_DEBUG : LOG_WARNING;

        if (connection->listener)
                log_at(level, "The process that serves %s: %s; starting it again", connection->listener->path,
                       errno_text(-error));
        else
                log_at(level, "%s: %s; continuing without the bus, and trying again", what,
                       errno_text(-error));
}

/* Logs why there is no bus, and connects again later. Safe to call from the connection's own callbacks: the
 * connection is only released then. */
static void retry_later(BusConnection *connection, int error, const char *what) {
        int r;

        log_loss(connection, error, what);
        connection->loss_logged = true;

        connection->input = sd_event_source_disable_unref(connection->input);
        connection->output = sd_event_source_disable_unref(connection->output);
        (void) sd_event_source_set_enabled(connection->timer, SD_EVENT_OFF);

        r = sd_event_source_set_time_relative(connection->retry, connection->retry_usec);
        if (r >= 0)
                r = sd_event_source_set_enabled(connection->retry, SD_EVENT_ONESHOT);
        if (r < 0)
                log_error("Can't set the timer to reconnect to the bus: %s", errno_text(-r));

        connection->retry_usec = MIN(connection->retry_usec * 2, RETRY_MAX_USEC);
}

/* The bus is as good as lost. Its clients have missed changes, or will: the new owner of our name makes them
 * read everything again. */
static void give_up(BusConnection *connection) {
        if (is_retrying(connection))
                return;

        connection->replaces = true;
        retry_later(connection, -ETIMEDOUT, "The bus does not read our messages");
}

static void end_probe(BusConnection *connection) {
        connection->probe = sd_bus_close_unref(connection->probe);
        connection->probe_answered = false;
}

static void disconnect(BusConnection *connection) {
        connection->input = sd_event_source_disable_unref(connection->input);
        connection->output = sd_event_source_disable_unref(connection->output);
        (void) sd_event_source_set_enabled(connection->timer, SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(connection->watch, SD_EVENT_OFF);
        end_probe(connection);

        connection->handlers->end(connection->userdata);
        /* The reader has a copy of the socket: the bus must see its end now, behind all that we sent. */
        (void) shutdown(connection->socket, SHUT_WR);
        connection->bus = sd_bus_close_unref(connection->bus);
        closep(&connection->socket);
        connection->socket = -EBADF;
        if (connection->is_ending && connection->listener && connection->intake)
                bus_intake_await_end(connection->intake);
        connection->intake = bus_intake_free(connection->intake);
        closep(&connection->feed);
        connection->feed = -EBADF;
}

/* Watching whether the bus reads */

static uint64_t count_queued(const BusConnection *connection) {
        uint64_t n;

        return sd_bus_get_n_queued_write(connection->bus, &n) < 0 ? 0 : n;
}

/* How many bytes in the socket the bus has not read yet, including the kernel's overhead. */
static int count_unread(const BusConnection *connection) {
        int n;

        return ioctl(connection->socket, SIOCOUTQ, &n) < 0 ? 0 : n;
}

/* The bus has made progress if nothing is queued, or if fewer bytes are unread than before, whatever was sent
 * since. */
static void note_progress(BusConnection *connection) {
        int n = count_queued(connection) > 0 ? count_unread(connection) : 0;

        if (n == 0 || n < connection->n_unread)
                connection->progress_usec = usec_now(CLOCK_MONOTONIC);
        connection->n_unread = n;
}

static int on_probe_connected(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        BusConnection *connection = userdata;

        connection->probe_answered = true;
        return 1;
}

static int new_bus(const BusConnection *connection, sd_bus **ret) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        int r;

        r = sd_bus_new(&bus);
        if (r < 0)
                return r;
        r = sd_bus_set_bus_client(bus, !connection->listener);
        if (r < 0)
                return r;

        /* Inhibit returns a descriptor. The reader drops those that callers send; peers can send none. */
        r = sd_bus_negotiate_fds(bus, true);
        if (r < 0)
                return r;

        *ret = TAKE_POINTER(bus);
        return 0;
}

/* On failure the bus is treated as one that hangs. */
static int begin_probe(BusConnection *connection) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *probe = NULL;
        int r;

        r = new_bus(connection, &probe);
        if (r < 0)
                return r;
        r = sd_bus_set_address(probe, bus_address());
        if (r < 0)
                return r;
        r = sd_bus_set_connected_signal(probe, true);
        if (r < 0)
                return r;
        r = sd_bus_match_signal_async(
                        probe, NULL, DBUS_LOCAL, DBUS_LOCAL_PATH, DBUS_LOCAL, "Connected", on_probe_connected,
                        NULL, connection);
        if (r < 0)
                return r;
        r = sd_bus_start(probe);
        if (r < 0)
                return r;
        r = sd_bus_attach_event(probe, connection->event, BUS_EVENT_PRIORITY);
        if (r < 0)
                return r;

        connection->probe = TAKE_POINTER(probe);
        return 0;
}

static int watch_again(BusConnection *connection) {
        int r;

        r = sd_event_source_set_time_relative(connection->watch, WATCH_USEC);
        if (r < 0)
                return r;

        return sd_event_source_set_enabled(connection->watch, SD_EVENT_ONESHOT);
}

static int on_watch(sd_event_source *source, uint64_t usec, void *userdata) {
        BusConnection *connection = userdata;
        int r;

        note_progress(connection);
        if (usec_subtract(usec_now(CLOCK_MONOTONIC), connection->progress_usec) < NO_PROGRESS_USEC) {
                end_probe(connection);
                if (count_queued(connection) == 0)
                        return 0;
        } else if (connection->probe_answered) {
                give_up(connection);
                return 0;
        } else if (!connection->listener && sd_bus_is_open(connection->probe) <= 0) {
                end_probe(connection);
                r = begin_probe(connection);
                if (r < 0)
                        log_debug("Can't probe the bus, ignoring: %s", errno_text(-r));
        }

        return watch_again(connection);
}

/* Starts watching if something that was sent is still queued. */
static void begin_watch(BusConnection *connection) {
        int enabled;

        note_progress(connection);
        if (count_queued(connection) == 0 || sd_event_source_get_enabled(connection->watch, &enabled) > 0)
                return;

        connection->progress_usec = usec_now(CLOCK_MONOTONIC);
        (void) watch_again(connection);
}

void bus_connection_sent(BusConnection *connection) {
        if (!bus_connection_get(connection))
                return;

        begin_watch(connection);
        if (count_queued(connection) > QUEUED_MAX)
                give_up(connection);
}

/* Messages */

/* All the work of a connection, except sending signals. */
static void work(BusConnection *connection, bool due) {
        int r = 0;

        note_progress(connection);
        if (due)
                r = bus_intake_process(connection->intake);
        if (r >= 0)
                r = bus_intake_receive(connection->intake);
        if (is_retrying(connection))
                return;

        if (r < 0)
                retry_later(connection, r, "The bus was lost");
        else
                begin_watch(connection);
}

/* Of the socket to the bus. Its end comes to us through the reader, too. */
static int on_writable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        work(userdata, true);
        return 0;
}

static int on_received(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        work(userdata, false);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        work(userdata, true);
        return 0;
}

/* Runs before each poll. Errors are ignored: they occur again in work(), which gives up the connection. */
static int on_prepare(sd_event_source *source, void *userdata) {
        BusConnection *connection = userdata;
        uint64_t usec = USEC_INFINITY;
        int events;

        (void) bus_intake_request(connection->intake);
        events = sd_bus_get_events(connection->bus);
        (void) sd_event_source_set_enabled(
                        connection->output, events >= 0 && (events & EPOLLOUT) ? SD_EVENT_ON : SD_EVENT_OFF);

        (void) sd_bus_get_timeout(connection->bus, &usec);
        (void) sd_event_source_set_time(connection->timer, usec);
        (void) sd_event_source_set_enabled(
                        connection->timer, usec == USEC_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
        return 0;
}

/* The name */

/* We are in the queue for the name, also after another process has replaced us as its owner. */
static void note_name_lost(BusConnection *connection) {
        connection->owns_name = false;
        if (connection->releases_name)
                return;

        connection->lost_name = true;
        log_warning("Another process owns the name %s: not reachable over the bus until it releases "
                    "the name",
                    connection->name);
}

static void note_name_acquired(BusConnection *connection) {
        if (!connection->owns_name)
                log_at(connection->loss_logged || connection->lost_name ? LOG_NOTICE : LOG_INFO,
                       "Reachable over the bus as %s", connection->name);
        connection->owns_name = true;
        connection->lost_name = false;
}

static void note_connected(BusConnection *connection) {
        connection->loss_logged = false;
        connection->replaces = false;
        connection->retry_usec = RETRY_MIN_USEC;
}

static int on_name(sd_bus_message *answer, void *userdata, sd_bus_error *ret_error) {
        enum {
                NAME_OWNED = 1,
                NAME_IN_QUEUE = 2
        };
        BusConnection *connection = userdata;
        uint32_t outcome;
        char what[128];
        int r;

        r = sd_bus_message_get_errno(answer);
        if (r > 0) {
                (void) snprintf(what, sizeof(what),
                                r == EACCES || r == EPERM
                                                ? "The bus refuses the name %s (is its policy installed?)"
                                                : "Can't acquire the name %s",
                                connection->name);
                retry_later(connection, -r, what);
                return 1;
        }

        r = sd_bus_message_read(answer, "u", &outcome);
        if (r < 0) {
                (void) snprintf(what, sizeof(what), "The bus sent an invalid reply about the name %s",
                                connection->name);
                retry_later(connection, r, what);
                return 1;
        }

        if (outcome == NAME_IN_QUEUE)
                note_name_lost(connection);
        else
                note_name_acquired(connection);

        note_connected(connection);
        return 1;
}

/* If another process owns the name, we wait in its queue. The bus does not notice the end of a connection
 * from which it reads nothing, so we replace ourselves as the owner. */
static int request_name(BusConnection *connection) {
        return sd_bus_request_name_async(
                        connection->bus, NULL, connection->name,
                        SD_BUS_NAME_QUEUE | SD_BUS_NAME_ALLOW_REPLACEMENT |
                                        (connection->replaces ? SD_BUS_NAME_REPLACE_EXISTING : 0),
                        on_name, connection);
}

/* The bus sends us NameLost and NameAcquired without a match rule. */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        BusConnection *connection = userdata;
        bool lost = sd_bus_message_is_signal(m, DBUS_INTERFACE, "NameLost") > 0;
        const char *name;

        if (!lost && sd_bus_message_is_signal(m, DBUS_INTERFACE, "NameAcquired") <= 0)
                return 0;
        if (!streq(sd_bus_message_get_sender(m) ?: "", DBUS_NAME) ||
            sd_bus_message_read(m, "s", &name) <= 0 || !streq(name, connection->name))
                return 0;

        if (lost)
                note_name_lost(connection);
        else
                note_name_acquired(connection);
        return 0;
}

/* Connecting */

static int on_peers_connected(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        BusConnection *connection = userdata;

        log_at(connection->loss_logged ? LOG_NOTICE : LOG_INFO, "Reachable over %s",
               connection->listener->path);
        note_connected(connection);
        return 0;
}

/* Must follow sd_bus_start(), which enlarges the buffer. */
static int limit_send_buffer(int socket) {
        const int size = SEND_BUFFER_SIZE;

        return setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0 ? -errno : 0;
}

static int open_pair(int *ret_first, int *ret_second) {
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return -errno;

        *ret_first = pair[0];
        *ret_second = pair[1];
        return 0;
}

/* Connects an sd_bus that reads from feed instead of from the bus. For peers there are two pairs: their
 * process reads what we send from the other end of the link, and sd-bus reads from feed. */
static int connect_bus(BusConnection *connection) {
        _cleanup_close_ int socket = -EBADF, input = -EBADF, link_end = -EBADF;
        int r;

        r = new_bus(connection, &connection->bus);
        if (r < 0)
                return r;
        r = connection->listener ? open_pair(&socket, &link_end)
                                 : bus_address_connect(bus_address(), &socket);
        if (r < 0)
                return r;
        r = open_pair(&input, &connection->feed);
        if (r < 0)
                return r;

        connection->socket = fcntl(socket, F_DUPFD_CLOEXEC, 3);
        if (connection->socket < 0)
                return -errno;

        r = sd_bus_set_fd(connection->bus, input, socket);
        if (r < 0)
                return r;
        (void) take_fd(&input);
        (void) take_fd(&socket);

        return bus_intake_new(
                        connection->bus, connection->listener ? link_end : connection->socket,
                        connection->feed, connection->listener, &connection->intake);
}

/* The state in which calls come: after the name, or at once after the authentication. */
static int await_connected(BusConnection *connection) {
        int r;

        if (!connection->listener)
                return 0;

        r = sd_bus_set_connected_signal(connection->bus, true);
        if (r < 0)
                return r;
        return sd_bus_match_signal_async(
                        connection->bus, NULL, DBUS_LOCAL, DBUS_LOCAL_PATH, DBUS_LOCAL, "Connected",
                        on_peers_connected, NULL, connection);
}

static int add_io(
                const BusConnection *connection,
                sd_event_source **source,
                int fd,
                uint32_t events,
                sd_event_io_handler_t on_event) {
        int r;

        r = sd_event_add_io(connection->event, source, fd, events, on_event, (void *) connection);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(*source, "bus");
        return sd_event_source_set_priority(*source, BUS_EVENT_PRIORITY);
}

static int listen_to_bus(BusConnection *connection) {
        int r;

        r = add_io(connection, &connection->output, connection->socket, EPOLLOUT, on_writable);
        if (r < 0)
                return r;
        r = add_io(connection, &connection->input, bus_intake_fd(connection->intake), EPOLLIN, on_received);
        if (r < 0)
                return r;

        return sd_event_source_set_prepare(connection->input, on_prepare);
}

static int begin(BusConnection *connection) {
        int r;

        r = connect_bus(connection);
        if (r < 0)
                return r;
        r = await_connected(connection);
        if (r < 0)
                return r;
        r = sd_bus_start(connection->bus);
        if (r < 0)
                return r;
        r = limit_send_buffer(connection->socket);
        if (r < 0)
                return r;

        r = sd_bus_add_filter(connection->bus, NULL, on_message, connection);
        if (r < 0)
                return r;
        r = connection->handlers->begin(connection->bus, connection->userdata);
        if (r < 0)
                return r;

        connection->owns_name = false;
        r = connection->listener ? 0 : request_name(connection);
        if (r < 0)
                return r;

        return listen_to_bus(connection);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        BusConnection *connection = userdata;
        int r;

        disconnect(connection);

        r = begin(connection);
        if (r < 0)
                retry_later(connection, r, "Can't connect to the bus");
        return 0;
}

static int on_released(sd_bus_message *answer, void *userdata, sd_bus_error *ret_error) {
        BusConnection *connection = userdata;

        connection->released_name = true;
        return 1;
}

/* Serves the calls that the bus sent before it takes the name back, so that an upgrade loses none: later
 * calls start the next daemon. The bus must also have read the replies: it drops what it has not read if it
 * fails to write to us. Not for long, since the bus may hang. */
static void release_name(BusConnection *connection) {
        uint64_t end_usec = usec_now(CLOCK_MONOTONIC) + RELEASE_USEC;
        struct pollfd input;

        /* We may own it and not know that yet. */
        if (is_retrying(connection) || connection->lost_name || sd_bus_is_open(connection->bus) <= 0)
                return;
        connection->releases_name = true;
        connection->released_name = connection->listener;
        if (!connection->listener &&
            sd_bus_release_name_async(connection->bus, NULL, connection->name, on_released, connection) < 0)
                return;

        input = (struct pollfd){ .fd = bus_intake_fd(connection->intake), .events = POLLIN };
        while ((!connection->released_name || bus_intake_has_calls(connection->intake) ||
                count_queued(connection) > 0 || count_unread(connection) > 0) &&
               !is_retrying(connection) && usec_now(CLOCK_MONOTONIC) < end_usec) {
                (void) bus_intake_request(connection->intake);
                (void) poll(&input, 1, 1);
                /* Only for the time: that of the poll is charged to nobody. */
                (void) bus_intake_request(connection->intake);
                work(connection, true);
        }
}

/* Runs before sd-bus's own exit handler, which would wait until the bus has read everything. */
static int on_event_loop_exit(sd_event_source *source, void *userdata) {
        BusConnection *connection = userdata;

        connection->is_ending = true;
        release_name(connection);
        disconnect(connection);
        return 0;
}

/* Adds a timer that is off. */
static int add_timer(
                BusConnection *connection,
                sd_event_source **source,
                uint64_t accuracy_usec,
                sd_event_time_handler_t on_time,
                const char *description) {
        int r;

        r = sd_event_add_time(
                        connection->event, source, CLOCK_MONOTONIC, 0, accuracy_usec, on_time, connection);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(*source, description);
        r = sd_event_source_set_priority(*source, BUS_EVENT_PRIORITY);
        if (r < 0)
                return r;

        return sd_event_source_set_enabled(*source, SD_EVENT_OFF);
}

int bus_connection_new(
                sd_event *event,
                const char *name,
                const Listener *listener,
                const BusConnectionHandlers *handlers,
                void *userdata,
                BusConnection **ret) {

        _cleanup_(bus_connection_freep) BusConnection *connection = NULL;
        int r;

        connection = calloc(1, sizeof(*connection));
        if (!connection)
                return -ENOMEM;
        connection->event = sd_event_ref(event);
        connection->name = name;
        connection->listener = listener;
        connection->handlers = handlers;
        connection->userdata = userdata;
        connection->retry_usec = RETRY_MIN_USEC;
        connection->socket = connection->feed = -EBADF;

        /* The first attempt is made from the loop, like all others. An accuracy of 0 would mean 250 ms. */
        r = sd_event_add_time_relative(
                        event, &connection->retry, CLOCK_MONOTONIC, 0, 1, on_retry, connection);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(connection->retry, "bus-retry");

        r = add_timer(connection, &connection->watch, WATCH_USEC / 10, on_watch, "bus-watch");
        if (r < 0)
                return r;
        r = add_timer(connection, &connection->timer, 1, on_timer, "bus-timer");
        if (r < 0)
                return r;

        r = sd_event_add_exit(event, &connection->exit, on_event_loop_exit, connection);
        if (r < 0)
                return r;
        r = sd_event_source_set_priority(connection->exit, SD_EVENT_PRIORITY_IMPORTANT);
        if (r < 0)
                return r;

        *ret = TAKE_POINTER(connection);
        return 0;
}

BusConnection *bus_connection_free(BusConnection *connection) {
        if (!connection)
                return NULL;

        disconnect(connection);
        sd_event_source_disable_unref(connection->retry);
        sd_event_source_disable_unref(connection->watch);
        sd_event_source_disable_unref(connection->timer);
        sd_event_source_disable_unref(connection->exit);
        sd_event_unref(connection->event);
        free(connection);
        return NULL;
}
