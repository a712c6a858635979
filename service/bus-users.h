/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The users of the connections on the bus. They are asked for over a second connection, by the process that
 * reads from the bus (bus-reader.h): so questions take no time of the daemon, and however many clients
 * connect, each is asked for as soon as its first call was read.
 *
 * Anybody may send signals to that connection. All but answers of the bus itself are skipped as they come. If
 * so much is sent that the bus drops answers, the questions are asked again.
 */

#include <poll.h>
#include <sys/types.h>

#include "macro.h"

/* Connections whose users are known or asked for. */
#define BUS_USERS_MAX 2048

#define UID_ROOT ((uid_t) 0)
#define UID_UNKNOWN ((uid_t) -1)

typedef struct BusUsers BusUsers;

typedef enum BusUserState {
        BUS_USER_ASKED,
        BUS_USER_KNOWN,
        BUS_USER_UNKNOWN, /* the bus does not say it, or too many are asked for: the next call asks again */
        BUS_USER_GONE,    /* the connection is closed */
} BusUserState;

/* A connection whose user was asked for, by its number, less than BUS_USERS_MAX. uid is UID_UNKNOWN unless it
 * is known. Negative errno ends bus_users_work() with that error. */
typedef int (*bus_user_t)(size_t number, BusUserState state, uid_t uid, void *userdata);

/* Begins to authenticate on fd, which is connected to the bus, and borrowed. */
int bus_users_new(int fd, bus_user_t on_user, void *userdata, BusUsers **ret);
BusUsers *bus_users_free(BusUsers *users);
DEFINE_TRIVIAL_CLEANUP(BusUsers *, bus_users_free);

/* The user of the connection with this unique name: *ret_state is KNOWN, UNKNOWN, or ASKED. In the last case
 * on_user() follows in bus_users_work(), with *ret_number, which until then no other connection has. -ENOMEM.
 */
int bus_users_find(
                BusUsers *users,
                const char *name,
                BusUserState *ret_state,
                size_t *ret_number,
                uid_t *ret_uid);

/* Whether the bus has accepted the connection. Users can be asked for before. */
bool bus_users_is_connected(const BusUsers *users);

/* Sends and receives what can be without waiting. Negative errno if the connection is lost. */
int bus_users_work(BusUsers *users);

/* What to wait for before that, and until when (CLOCK_MONOTONIC; 0: no matter when). */
struct pollfd bus_users_pollfd(const BusUsers *users);
uint64_t bus_users_time(const BusUsers *users);
