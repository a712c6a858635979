/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The connection to the system bus: see bus-connection.h.
 *
 * Two things can keep a bus from taking what we send. It hangs as a whole: then there is nothing to do but
 * wait, with a bounded queue. Or it reads no more from this connection alone: a broker counts what callers
 * leave unread against the one who sent it, and stops at a limit, so that a few callers who read nothing cut
 * off all the others. A second connection distinguishes the two: where the bus welcomes that one, the first
 * is replaced.
 */

#include "bus-connection.h"

#include <glib.h>
#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "log.h"

#define DEFAULT_ADDRESS "unix:path=/run/dbus/system_bus_socket"

/* Between tries to connect: growing from the first to the last. */
#define RETRY_MIN_USEC (250 * USEC_PER_MSEC)
#define RETRY_MAX_USEC (10 * USEC_PER_SEC)

/* Messages that wait until the bus takes them. While more than the first wait none is read, so that callers
 * who ask faster than the bus takes the answers do not fill our memory; signals come on top. With more
 * than the second the bus takes nothing any more. */
#define QUEUED_READING_MAX 64
#define QUEUED_MAX 1024

/* sd-bus asks for 8 MiB. Each answer would wait behind as much, on its way to a bus that is slow. */
#define SEND_BUFFER_SIZE (128 * 1024)

/* While something waits to be taken it is looked at so often; and after so long without a byte taken the bus
 * is asked by a second connection whether it is there at all. */
#define WATCH_USEC (500 * USEC_PER_MSEC)
#define TAKES_NOTHING_USEC (2 * USEC_PER_SEC)

struct BusConnection {
        sd_event *event;
        const char *name;
        const BusConnectionHandlers *handlers;
        void *userdata;

        sd_bus *bus;
        sd_event_source *exit;
        sd_event_source *retry; /* on: what there is has been given up, and a new one will be tried */
        uint64_t retry_usec;
        bool loss_logged; /* each loss of the bus is reported once, not at every try */
        bool replaces;    /* our name may still belong to a connection of ours that was given up */

        sd_event_source *writable; /* only while nothing is read */

        sd_event_source *watch; /* on while something may be untaken */
        int n_untaken;          /* bytes, when that was looked at last */
        uint64_t taken_usec;    /* when some were last seen to have been taken */
        sd_bus *probe;          /* the second connection, while there is a doubt */
        bool probe_welcome;     /* the bus has answered it */
};

static bool is_retrying(const BusConnection *connection) {
        int enabled;

        return sd_event_source_get_enabled(connection->retry, &enabled) > 0;
}

sd_bus *bus_connection_get(const BusConnection *connection) {
        return is_retrying(connection) ? NULL : connection->bus;
}

bool bus_connection_held_up(const BusConnection *connection) {
        return connection->writable;
}

/* Giving up */

/* Says once why there is no bus, and tries again later. Safe to call from the connection's own callbacks: it
 * is let go when the time has come. */
static void retry_later(BusConnection *connection, int error, const char *what) {
        int r;

        log_at(connection->loss_logged ? LOG_DEBUG : LOG_WARNING,
               "%s: %s; going on without the bus, and trying again", what, errno_text(-error));
        connection->loss_logged = true;

        r = sd_event_source_set_time_relative(connection->retry, connection->retry_usec);
        if (r >= 0)
                r = sd_event_source_set_enabled(connection->retry, SD_EVENT_ONESHOT);
        if (r < 0)
                log_error("Can't set a timer to connect to the bus again: %s", errno_text(-r));

        connection->retry_usec = MIN(connection->retry_usec * 2, RETRY_MAX_USEC);
}

/* The bus is as good as lost. Its clients have missed changes, or will: that our name changes hands informs
 * them to look anew. */
static void give_up(BusConnection *connection) {
        if (is_retrying(connection))
                return;

        connection->replaces = true;
        retry_later(connection, -ETIMEDOUT, "The bus takes no messages");
}

static void end_probe(BusConnection *connection) {
        connection->probe = sd_bus_close_unref(connection->probe);
        connection->probe_welcome = false;
}

static void disconnect(BusConnection *connection) {
        connection->writable = sd_event_source_disable_unref(connection->writable);
        (void) sd_event_source_set_enabled(connection->watch, SD_EVENT_OFF);
        end_probe(connection);

        connection->handlers->end(connection->userdata);
        connection->bus = sd_bus_close_unref(connection->bus);
}

/* Watching what the bus takes */

static uint64_t count_queued(const BusConnection *connection) {
        uint64_t n;

        return sd_bus_get_n_queued_write(connection->bus, &n) < 0 ? 0 : n;
}

/* How many bytes the bus has not yet taken from the socket, with what the kernel adds. */
static int count_untaken(const BusConnection *connection) {
        int n;

        return ioctl(sd_bus_get_fd(connection->bus), SIOCOUTQ, &n) < 0 ? 0 : n;
}

/* Less than before: then some of it was taken, whatever was sent since. */
static void note_taken(BusConnection *connection) {
        int n = count_untaken(connection);

        if (n == 0 || n < connection->n_untaken)
                connection->taken_usec = usec_now(CLOCK_MONOTONIC);
        connection->n_untaken = n;
}

static int on_probe_welcome(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        BusConnection *connection = userdata;

        connection->probe_welcome = true;
        return 1;
}

static int new_bus(sd_bus **ret) {
        const char *address = secure_getenv("DBUS_SYSTEM_BUS_ADDRESS");
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        int r;

        r = sd_bus_new(&bus);
        if (r < 0)
                return r;
        r = sd_bus_set_address(bus, address ?: DEFAULT_ADDRESS);
        if (r < 0)
                return r;
        r = sd_bus_set_bus_client(bus, true);
        if (r < 0)
                return r;

        /* No call of ours takes descriptors; with one that is kept they would add up. */
        r = sd_bus_negotiate_fds(bus, false);
        if (r < 0)
                return r;

        *ret = TAKE_POINTER(bus);
        return 0;
}

/* Where it can't be made the bus is waited for, as one that hangs. */
static int begin_probe(BusConnection *connection) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *probe = NULL;
        int r;

        r = new_bus(&probe);
        if (r < 0)
                return r;
        r = sd_bus_set_connected_signal(probe, true);
        if (r < 0)
                return r;
        r = sd_bus_match_signal_async(
                        probe, NULL, "org.freedesktop.DBus.Local", "/org/freedesktop/DBus/Local",
                        "org.freedesktop.DBus.Local", "Connected", on_probe_welcome, NULL, connection);
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

        note_taken(connection);
        if (usec_subtract(usec_now(CLOCK_MONOTONIC), connection->taken_usec) < TAKES_NOTHING_USEC) {
                end_probe(connection);
                if (connection->n_untaken == 0 && count_queued(connection) == 0)
                        return 0;
        } else if (connection->probe_welcome) {
                give_up(connection);
                return 0;
        } else if (sd_bus_is_open(connection->probe) <= 0) {
                end_probe(connection);
                r = begin_probe(connection);
                if (r < 0)
                        log_debug("Can't make a second connection to the bus, ignoring: %s", errno_text(-r));
        }

        return watch_again(connection);
}

/* Something is about to be sent. */
static void begin_watch(BusConnection *connection) {
        int enabled;

        if (sd_event_source_get_enabled(connection->watch, &enabled) > 0)
                return;

        connection->taken_usec = usec_now(CLOCK_MONOTONIC);
        (void) watch_again(connection);
}

void bus_connection_sent(BusConnection *connection) {
        if (!bus_connection_get(connection))
                return;

        begin_watch(connection);
        if (count_queued(connection) > QUEUED_MAX)
                give_up(connection);
}

/* Reading no more */

static int on_writable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        BusConnection *connection = userdata;
        int r;

        note_taken(connection);
        connection->writable = sd_event_source_disable_unref(connection->writable);

        r = sd_bus_attach_event(connection->bus, connection->event, BUS_EVENT_PRIORITY);
        if (r < 0) {
                retry_later(connection, r, "Can't go on listening to the bus");
                return 0;
        }

        connection->handlers->go_on(connection->userdata);
        return 0;
}

/* Stops to listen until the bus takes messages again. The socket can be in the loop only once. */
static int wait_writable(BusConnection *connection) {
        int r;

        r = sd_bus_detach_event(connection->bus);
        if (r < 0)
                return r;
        r =
                        sd_event_add_io(connection->event, &connection->writable,
                                        sd_bus_get_fd(connection->bus), EPOLLOUT, on_writable, connection);
        if (r < 0)
                return r;

        return sd_event_source_set_priority(connection->writable, BUS_EVENT_PRIORITY);
}

/* Sees each message before anybody else does. */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        BusConnection *connection = userdata;
        int r;

        /* A bus always says who calls; what does not is none, but could be at the address that was given. */
        if (sd_bus_message_is_method_call(m, NULL, NULL) && !sd_bus_message_get_sender(m))
                return sd_bus_error_set(ret_error, SD_BUS_ERROR_ACCESS_DENIED, "The call has no sender");

        note_taken(connection);
        if (sd_bus_message_is_method_call(m, NULL, NULL))
                begin_watch(connection);
        if (connection->writable || count_queued(connection) <= QUEUED_READING_MAX)
                return 0;

        r = wait_writable(connection);
        if (r < 0 && !is_retrying(connection))
                retry_later(connection, r, "Can't wait for the bus");
        return 0;
}

/* Connecting */

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
                (void) g_snprintf(
                                what, sizeof(what),
                                r == EACCES || r == EPERM
                                                ? "The bus refuses the name %s (is its policy installed?)"
                                                : "The bus does not give the name %s",
                                connection->name);
                retry_later(connection, -r, what);
                return 1;
        }

        r = sd_bus_message_read(answer, "u", &outcome);
        if (r < 0) {
                (void) g_snprintf(
                                what, sizeof(what), "The bus does not say whether the name %s is ours",
                                connection->name);
                retry_later(connection, r, what);
                return 1;
        }

        if (outcome == NAME_IN_QUEUE)
                log_warning("Another process owns the name %s: not reachable over the bus until it gives the "
                            "name back",
                            connection->name);
        else
                log_at(connection->loss_logged ? LOG_NOTICE : LOG_INFO, "Reachable over the bus as %s",
                       connection->name);

        connection->loss_logged = false;
        connection->replaces = false;
        connection->retry_usec = RETRY_MIN_USEC;
        return 1;
}

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        BusConnection *connection = userdata;

        /* The answer to the request for the name may have reported it already. */
        if (!is_retrying(connection))
                retry_later(connection, -ECONNRESET, "The bus was lost");
        return 1;
}

static int limit_send_buffer(sd_bus *bus) {
        const int size = SEND_BUFFER_SIZE;
        int fd;

        fd = sd_bus_get_fd(bus);
        if (fd < 0)
                return fd;

        return setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0 ? -errno : 0;
}

static int begin(BusConnection *connection, sd_bus *bus) {
        int r;

        r = sd_bus_start(bus);
        if (r < 0)
                return r;
        r = limit_send_buffer(bus);
        if (r < 0)
                return r;

        r = sd_bus_add_filter(bus, NULL, on_message, connection);
        if (r < 0)
                return r;
        r = connection->handlers->begin(bus, connection->userdata);
        if (r < 0)
                return r;

        r = sd_bus_match_signal_async(
                        bus, NULL, "org.freedesktop.DBus.Local", "/org/freedesktop/DBus/Local",
                        "org.freedesktop.DBus.Local", "Disconnected", on_disconnected, NULL, connection);
        if (r < 0)
                return r;

        /* We wait in the queue for a name that another process owns. The bus does not notice the end of a
         * connection from which it reads nothing: so we take the name from ourselves. */
        r = sd_bus_request_name_async(
                        bus, NULL, connection->name,
                        SD_BUS_NAME_QUEUE | SD_BUS_NAME_ALLOW_REPLACEMENT |
                                        (connection->replaces ? SD_BUS_NAME_REPLACE_EXISTING : 0),
                        on_name, connection);
        if (r < 0)
                return r;

        return sd_bus_attach_event(bus, connection->event, BUS_EVENT_PRIORITY);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        BusConnection *connection = userdata;
        int r;

        disconnect(connection);

        r = new_bus(&connection->bus);
        if (r >= 0)
                r = begin(connection, connection->bus);
        if (r < 0)
                retry_later(connection, r, "Can't connect to the bus");
        return 0;
}

/* Before sd-bus, which would wait until the bus has taken everything. */
static int on_event_loop_exit(sd_event_source *source, void *userdata) {
        disconnect(userdata);
        return 0;
}

int bus_connection_new(
                sd_event *event,
                const char *name,
                const BusConnectionHandlers *handlers,
                void *userdata,
                BusConnection **ret) {

        _cleanup_(bus_connection_freep) BusConnection *connection = NULL;
        int r;

        connection = g_try_new0(BusConnection, 1);
        if (!connection)
                return -ENOMEM;
        connection->event = sd_event_ref(event);
        connection->name = name;
        connection->handlers = handlers;
        connection->userdata = userdata;
        connection->retry_usec = RETRY_MIN_USEC;

        /* The first try is made from the loop, like every other one. An accuracy of 0 would be one of 250 ms.
         */
        r = sd_event_add_time_relative(
                        event, &connection->retry, CLOCK_MONOTONIC, 0, 1, on_retry, connection);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(connection->retry, "bus-retry");

        r = sd_event_add_time_relative(
                        event, &connection->watch, CLOCK_MONOTONIC, 0, WATCH_USEC / 10, on_watch, connection);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(connection->watch, SD_EVENT_OFF);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(connection->watch, "bus-watch");

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
        sd_event_source_disable_unref(connection->exit);
        sd_event_unref(connection->event);
        g_free(connection);
        return NULL;
}
