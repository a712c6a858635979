/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Thread creation events, from the kernel's proc connector (drivers/connector/cn_proc.c). A socket filter
 * drops all but fork events whose parent is kthreadd (pid 2), so that a user process's fork never wakes the
 * daemon. An event only means that a scan is worth while a little later: the new thread has no work yet, and
 * stuck workers may well be older threads.
 */

#include <systemd/sd-event.h>

#include "macro.h"

typedef struct Connector Connector;

/* Listening began, or became impossible: listening false comes with a static reason for people ("no
 * acknowledgement from the kernel within 1s: ..."). Called again whenever that changes, e.g. by a late
 * acknowledgement. */
typedef void (*connector_state_t)(bool listening, const char *reason, void *userdata);

/* Kernel threads were created (n_created > 0), or events were lost (lost: ENOBUFS; anything may have
 * happened). */
typedef void (*connector_event_t)(unsigned n_created, bool lost, void *userdata);

/* Opens the socket, filters it, and asks the kernel to listen. Returns the socket, which the caller closes.
 * Negative errno when the kernel has no such thing (-EPROTONOSUPPORT), or refuses (-EPERM, -ECONNREFUSED in a
 * foreign network namespace): then connector_strerror() has the words.
 *
 * Before Linux 6.6 this alone takes CAP_NET_ADMIN: the kernel checks who joins the group and who sends a
 * request, not who receives (netlink_bind(), cn_proc_mcast_ctl()). */
int connector_open(void);

/* Hands over what connector_open() returned to the program that this process executes next, which gets it by
 * connector_inherit(). Negative errno. */
int connector_keep(int fd);

/* Whether there was such a socket, or a negative errno in its place: *ret_fd. Works once, and then nothing is
 * handed over any more. */
bool connector_inherit(int *ret_fd);

/* Receives events from a socket of connector_open(), which must outlive the connector. The kernel's answer to
 * the request comes through state within 1 s. Negative errno. */
int connector_new(
                sd_event *event,
                int fd,
                connector_state_t state,
                connector_event_t on_event,
                void *userdata,
                Connector **ret);

/* Asks the kernel to send no more events (PROC_CN_MCAST_IGNORE), or its count of listeners would leak. Before
 * Linux 6.6 it does where CAP_NET_ADMIN was given up, as where the process is killed: from then on each fork
 * makes an event that goes to nobody. */
Connector *connector_free(Connector *connector);
DEFINE_TRIVIAL_CLEANUP(Connector *, connector_free);

/* Why connector_open() or connector_new() failed, for people. */
const char *connector_strerror(int error);

/* What one datagram of the proc connector says. */
typedef enum ConnectorNews {
        CONNECTOR_NOTHING,      /* of no interest, or no message of the proc connector at all */
        CONNECTOR_BIRTH,        /* a kernel thread was created */
        CONNECTOR_ACKNOWLEDGED, /* the request with this acknowledgement (its cn_msg.ack plus one) */
} ConnectorNews;

/* Parses a datagram, which is aligned as a struct nlmsghdr. *ret_error gets the value of an acknowledgement,
 * 0 or an errno; otherwise it is untouched. */
ConnectorNews connector_parse(
                const void *datagram,
                size_t size,
                uint32_t acknowledgement,
                uint32_t *ret_error);
