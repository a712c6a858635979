/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The users of the connections on the bus. They are asked for over a second connection, by the process that
 * reads from the bus (bus-reader.h): so questions take no time of the daemon, and however many clients
 * connect, each is asked for as soon as its first call was read.
 *
 * Anybody may send to that connection. All but answers of the bus itself is skipped as it comes; calls are
 * not answered. If so much is sent that the bus drops answers, the questions are asked again.
 */

#include <poll.h>
#include <sys/types.h>

#include "macro.h"

/* Connections whose users are known or asked for. */
#define BUS_USERS_MAX 2048

#define UID_ROOT ((uid_t) 0)
#define UID_UNKNOWN ((uid_t) -1)

typedef struct BusUsers BusUsers;

/* The user of a connection that was asked for, by its number, less than BUS_USERS_MAX: UID_UNKNOWN if the bus
 * does not say it; then its next call asks again. Or the connection is closed. Negative errno ends
 * bus_users_work() with that error. */
typedef int (*bus_user_t)(size_t number, bool is_gone, uid_t uid, void *userdata);

/* Begins to authenticate on fd, which is connected to the bus, and borrowed. */
int bus_users_new(int fd, bus_user_t on_user, void *userdata, BusUsers **ret);
BusUsers *bus_users_free(BusUsers *users);
DEFINE_TRIVIAL_CLEANUP(BusUsers *, bus_users_free);

/* The user of the connection with this unique name. Returns 1 with *ret_uid: UID_UNKNOWN if the name is too
 * long, or BUS_USERS_MAX others are asked for. Returns 0 if it is asked for: bus_users_work() calls on_user()
 * with *ret_number, which until then no other connection has. -ENOMEM. */
int bus_users_find(BusUsers *users, const char *name, size_t *ret_number, uid_t *ret_uid);

/* Whether the bus has accepted the connection. Users can be asked for before. */
bool bus_users_is_connected(const BusUsers *users);

/* Whether it did so with this line, in which it names itself. */
bool bus_users_is_accepted_with(const BusUsers *users, const char *line, size_t n);

/* Sends what can be sent without waiting, and receives up to BUS_STREAM_READ_MAX bytes. Negative errno if the
 * connection is lost. */
int bus_users_work(BusUsers *users);

/* What to wait for before that, and until when (CLOCK_MONOTONIC; 0: no matter when). */
struct pollfd bus_users_pollfd(const BusUsers *users);
uint64_t bus_users_time(const BusUsers *users);
