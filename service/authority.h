/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * May this caller do this? Root may; others may if polkit allows it. Nothing here waits: the bus and polkit
 * are asked asynchronously, and while one of them hangs only the caller waits.
 */

#include <systemd/sd-bus.h>

#include "macro.h"

#define AUTHORITY_ACTION_CONFIGURE "org.wbwatch1.configure"
#define AUTHORITY_ACTION_PAUSE "org.wbwatch1.pause"
#define AUTHORITY_ACTION_FORCE_SYNC "org.wbwatch1.force-sync"

/* Open questions: of all callers, of one connection, and of one user to polkit. More are refused, so that
 * what callers can make us remember is bounded, and nobody takes another's share. */
#define AUTHORITY_OPEN_MAX 512
#define AUTHORITY_OPEN_PER_SENDER_MAX 128
#define AUTHORITY_POLKIT_PER_USER_MAX 16

typedef struct Authority Authority;

/* The caller is authorized, and still connected: do it and reply. Negative errno is replied as an error. */
typedef int (*authority_granted_t)(sd_bus_message *call, void *userdata);

/* The connection is borrowed and must outlive the authority. */
int authority_new(sd_bus *connection, Authority **ret);

/* Drops the open questions without an answer. */
Authority *authority_free(Authority *authority);
DEFINE_TRIVIAL_CLEANUP(Authority *, authority_free);

/* Asks whether the sender of the call may do the action, and calls granted if so; any other outcome is
 * replied here as an error: AccessDenied, InteractiveAuthorizationRequired, LimitsExceeded. The call is
 * referenced meanwhile; action must be static. Returns 1, or negative errno when the question could not even
 * be asked. */
int authority_check(
                Authority *authority,
                sd_bus_message *call,
                const char *action,
                authority_granted_t granted,
                void *userdata);
