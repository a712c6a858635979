/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The users of the connections on a bus: asked over a connection of its own, by the process that reads from
 * the bus (bus-reader.h). So questions take no time of the daemon, and however many clients connect, each is
 * asked about as soon as the bus has read its call.
 */

#include <poll.h>
#include <stdint.h>
#include <sys/types.h>

#include "macro.h"

typedef struct BusUsers BusUsers;

/* The bus has answered the question with this tag. If !known the connection is gone, or the bus refuses the
 * answer. Returns negative errno if bus_users_work() must end. */
typedef int (*bus_user_t)(uint32_t tag, bool known, uid_t uid, void *userdata);

/* Begins to authenticate on socket, which is connected to the bus and owned from now on, also on failure. */
int bus_users_new(int socket, bus_user_t on_user, void *userdata, BusUsers **ret);
BusUsers *bus_users_free(BusUsers *users);
DEFINE_TRIVIAL_CLEANUP(BusUsers *, bus_users_free);

/* Asks for the user of the connection with this unique name. tag is less than BUS_SENDERS_MAX, and that of no
 * other open question. Questions may be asked before the authentication has ended. */
int bus_users_ask(BusUsers *users, uint32_t tag, const char *name);

/* Sends and receives what can be without waiting. Negative errno if the connection is lost. */
int bus_users_work(BusUsers *users);

/* What to wait for before that. */
struct pollfd bus_users_pollfd(const BusUsers *users);
