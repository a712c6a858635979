/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Opening a connection: how long it may take, and the way to wbwatchd if there is more than one. */

#include <unistd.h>

#include "client.h"
#include "connection.h"

/* How long answers of a host may take once ssh has connected: the network and its bus may be slow. */
#define REMOTE_TIMEOUT_USEC (10 * USEC_PER_SEC)

/* sd-bus gives up a connection that is not authenticated by then, and reports it as lost. */
#define AUTHENTICATION_TIMEOUT_USEC (90 * USEC_PER_SEC)

/* --timeout, or 0; and when it is over (CLOCK_MONOTONIC). */
static uint64_t given_timeout_usec, given_deadline_usec;

/* What the last connection leads to. */
static const Destination *reached;

/* Time limits */

void connection_set_timeout(uint64_t usec) {
        given_timeout_usec = usec;
}

static uint64_t usec_until(uint64_t deadline_usec) {
        return usec_subtract(deadline_usec, usec_now(CLOCK_MONOTONIC));
}

uint64_t connection_timeout(uint64_t default_usec) {
        return given_timeout_usec > 0 ? given_timeout_usec : default_usec;
}

uint64_t connection_answer_timeout(void) {
        return connection_timeout(
                        destination_get()->kind == DESTINATION_HOST ? REMOTE_TIMEOUT_USEC
                                                                    : ANSWER_TIMEOUT_USEC);
}

uint64_t connection_time_left(uint64_t default_usec) {
        /* 0 would be the default of sd-bus. */
        return given_timeout_usec > 0 ? MAX(usec_until(given_deadline_usec), UINT64_C(1)) : default_usec;
}

int connection_set_deadline(sd_bus *bus, uint64_t deadline_usec) {
        return sd_bus_set_method_call_timeout(bus, MAX(usec_until(deadline_usec), UINT64_C(1)));
}

/* Connecting */

static int wait_until_ready(sd_bus *bus, uint64_t deadline_usec) {
        for (;;) {
                uint64_t left_usec;
                int r;

                r = sd_bus_is_ready(bus);
                if (r != 0)
                        return r;

                r = sd_bus_process(bus, NULL);
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;

                left_usec = usec_until(deadline_usec);
                if (left_usec == 0)
                        return -ETIMEDOUT;
                r = sd_bus_wait(bus, deadline_usec == USEC_INFINITY ? USEC_INFINITY : left_usec);
                if (r < 0 && r != -EINTR)
                        return r;
        }
}

/* On success and after a timeout, *ret is the connection. */
static int connect_to(const Destination *destination, uint64_t deadline_usec, sd_bus **ret) {
        int r;

        r = destination_start(destination, ret);
        if (r >= 0)
                r = wait_until_ready(*ret, deadline_usec);
        if (r == -EAGAIN) /* as many connections as the other end allows wait to be accepted */
                r = -ETIMEDOUT;
        if (r < 0 && r != -ETIMEDOUT)
                *ret = sd_bus_close_unref(*ret);
        return r;
}

static int connect_to_any_socket(uint64_t deadline_usec, sd_bus **ret) {
        int r = -ENOENT;

        for (const Destination *socket = destination_sockets(); socket->name; socket++) {
                _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;

                r = connect_to(socket, deadline_usec, &bus);
                if (r >= 0) {
                        *ret = TAKE_POINTER(bus);
                        reached = socket;
                        return 0;
                }
        }
        return r;
}

static bool any_socket_exists(void) {
        for (const Destination *socket = destination_sockets(); socket->name; socket++)
                if (access(socket->name, F_OK) >= 0)
                        return true;
        return false;
}

/* Whether wbwatchd is on this bus; false, too, if the bus does not answer. */
static bool bus_has_daemon(sd_bus *bus, uint64_t deadline_usec) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int has = false;

        return connection_set_deadline(bus, deadline_usec) >= 0 &&
               sd_bus_call_method(
                               bus, DBUS_NAME, DBUS_PATH, DBUS_INTERFACE, "NameHasOwner", &error, &reply, "s",
                               BUS_NAME) >= 0 &&
               sd_bus_message_read(reply, "b", &has) >= 0 && has;
}

/* The bus; if wbwatchd cannot be reached over it, its socket; and if that is not better, the bus. Half of the
 * time is for the bus if there is a socket. */
static int connect_to_bus_or_socket(uint64_t timeout_usec, sd_bus **ret) {
        uint64_t now_usec = usec_now(CLOCK_MONOTONIC), deadline_usec = usec_add(now_usec, timeout_usec);
        bool has_socket = any_socket_exists();
        uint64_t bus_deadline_usec = has_socket ? usec_add(now_usec, timeout_usec / 2) : deadline_usec;
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        int r;

        r = connect_to(reached, bus_deadline_usec, &bus);
        if (has_socket && (r < 0 || !bus_has_daemon(bus, bus_deadline_usec)) &&
            connect_to_any_socket(deadline_usec, ret) >= 0)
                return 0;
        if (r == -ETIMEDOUT && bus)
                r = wait_until_ready(bus, deadline_usec);
        if (r >= 0)
                *ret = TAKE_POINTER(bus);
        return r;
}

/* ssh may ask for a password: its time does not count unless --timeout limits it. */
static uint64_t connect_deadline(uint64_t now_usec) {
        return given_timeout_usec == 0 && reached->kind == DESTINATION_HOST
                               ? USEC_INFINITY
                               : usec_add(now_usec, connection_answer_timeout());
}

int connection_open_until(sd_bus **ret, uint64_t *ret_deadline_usec) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        uint64_t start_usec = usec_now(CLOCK_MONOTONIC), deadline_usec;
        int r;

        reached = destination_get();
        given_deadline_usec = usec_add(start_usec, given_timeout_usec);
        deadline_usec = connect_deadline(start_usec);
        if (reached->kind == DESTINATION_BUS)
                r = connect_to_bus_or_socket(connection_answer_timeout(), &bus);
        else
                r = connect_to(reached, deadline_usec, &bus);
        if (r < 0 && usec_until(usec_add(start_usec, AUTHENTICATION_TIMEOUT_USEC)) == 0)
                return -ETIMEDOUT;
        if (r < 0)
                return r;

        if (deadline_usec == USEC_INFINITY)
                deadline_usec = usec_add(usec_now(CLOCK_MONOTONIC), connection_answer_timeout());
        r = connection_set_deadline(bus, deadline_usec);
        if (r < 0)
                return r;
        *ret_deadline_usec = deadline_usec;
        *ret = TAKE_POINTER(bus);
        return 0;
}

int connection_open(sd_bus **ret) {
        uint64_t deadline_usec;

        return connection_open_until(ret, &deadline_usec);
}

const Destination *connection_destination(void) {
        return reached ?: destination_get();
}

const char *connection_sender(void) {
        return connection_destination()->kind == DESTINATION_SOCKET ? NULL : BUS_NAME;
}

int connection_explain(int error, char **ret_words) {
        return destination_explain(connection_destination(), error, ret_words);
}

int connection_open_or_complain(sd_bus **ret) {
        g_autofree char *words = NULL;
        int r;

        r = connection_open(ret);
        if (r >= 0)
                return 0;
        r = connection_explain(r, &words);
        complain("%s", words);
        return r;
}
