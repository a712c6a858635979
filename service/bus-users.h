/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The users of the connections on the bus. The process that reads from the bus (bus-reader.h) asks the bus
 * for them over a second connection, so that questions take none of the daemon's time. A question is sent as
 * soon as the first call of a connection was read. While BUS_USERS_MAX questions are open, the users of
 * further connections count as unknown.
 *
 * Anyone on the bus may send to the second connection. Everything but replies of the bus itself is dropped,
 * and calls get no reply. If others send so much that the bus drops its replies, the questions are repeated.
 */

#include <poll.h>
#include <sys/types.h>

#include "macro.h"

/* The most connections whose users are known, or have an open question. */
#define BUS_USERS_MAX 2048

#define UID_ROOT ((uid_t) 0)
#define UID_UNKNOWN ((uid_t) -1)

typedef struct BusUsers BusUsers;

/* Called with the answer about the connection that bus_users_find() gave this number. uid is UID_UNKNOWN if
 * the bus named no user: its next call asks again. is_gone: the connection is closed; then uid is
 * UID_UNKNOWN, too. Negative errno is returned by bus_users_work(). */
typedef int (*bus_user_t)(size_t number, bool is_gone, uid_t uid, void *userdata);

/* fd is a connection to the bus on which nothing was sent yet; it is borrowed. bus_users_work()
 * authenticates. */
int bus_users_new(int fd, bus_user_t on_user, void *userdata, BusUsers **ret);
BusUsers *bus_users_free(BusUsers *users);
DEFINE_TRIVIAL_CLEANUP(BusUsers *, bus_users_free);

/* Finds the user of the connection with this unique name. Returns 1 with *ret_uid, which is UID_UNKNOWN if
 * the name is empty or too long, or BUS_USERS_MAX questions are open. Returns 0 if the answer is still to
 * come: bus_users_work() will call on_user() with *ret_number, which no other connection has until then.
 * -ENOMEM. */
int bus_users_find(BusUsers *users, const char *name, size_t *ret_number, uid_t *ret_uid);

/* Whether the bus has answered Hello. bus_users_find() may be called before. */
bool bus_users_is_connected(const BusUsers *users);

/* Whether the bus authenticated us with this line, "OK " and its GUID: then another connection that got it is
 * to the same bus. */
bool bus_users_has_ok_line(const BusUsers *users, const char *line, size_t n);

/* Receives up to BUS_STREAM_READ_MAX bytes, repeats questions that are due, and sends what can be sent
 * without waiting. Negative errno if the connection is lost or refused, or from on_user(). */
int bus_users_work(BusUsers *users);

/* What to poll before that, and when to call it at the latest (CLOCK_MONOTONIC; 0: no limit). */
struct pollfd bus_users_pollfd(const BusUsers *users);
uint64_t bus_users_time(const BusUsers *users);
