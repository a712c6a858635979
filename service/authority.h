/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Authorization of callers. On the bus root is always allowed, others if polkit allows it. On the private
 * socket everyone who may connect to it is, on the public one nobody. Nothing here blocks: the bus
 * and polkit are asked asynchronously, and while one of them hangs only the caller waits.
 */

#include <systemd/sd-bus.h>

#include "bus-connection.h"
#include "macro.h"

/* The most queries that wait for polkit: of all users, and of one. Further calls are refused, to bound the
 * memory that callers can use. Root's calls need no query. */
#define AUTHORITY_OPEN_MAX 512
#define AUTHORITY_POLKIT_PER_USER_MAX 16

typedef struct Authority Authority;

/* connection, callers, which knows its callers' users, and the listener of its socket (NULL: it is a bus) are
 * borrowed and must outlive the authority. */
int authority_new(
                sd_bus *connection,
                const BusConnection *callers,
                const Listener *listener,
                Authority **ret);

/* Drops the pending calls without a reply. */
Authority *authority_free(Authority *authority);
DEFINE_TRIVIAL_CLEANUP(Authority *, authority_free);

/* Whether the sender of a call may perform an action. Must be called by an sd-bus handler before it changes
 * anything. Returns 1 if the sender is authorized. Returns 0 if that is not known yet: the handler must
 * return, and runs again with the same call (rewound) and userdata once the sender is authorized; otherwise
 * the error is replied here (AccessDenied, InteractiveAuthorizationRequired, LimitsExceeded). Negative errno,
 * with or without ret_error set, if nobody can be asked.
 * action must be a static string, the same in both runs. */
int authority_check(Authority *authority, sd_bus_message *call, const char *action, sd_bus_error *ret_error);
