/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Messages from the bus, or from the peers of a socket, on their way to sd-bus. A process without real-time
 * priority reads them (bus-reader.h, peers.h), and passes calls on in packets, one at a time, when the intake
 * requests it: while nothing is waiting to be sent, and if the caller is not root, once the budget has
 * accumulated.
 *
 * This bounds in one place what callers can cause here. CPU time: 4 % of one CPU for all users but root, of
 * the bus and the sockets together; once it is spent, their calls wait. Bytes: of unsent messages, of which
 * at most one is a reply.
 */

#include <systemd/sd-bus.h>

#include "macro.h"
#include "sockets.h"

typedef struct BusIntake BusIntake;

/* Starts reading from socket, and forwards messages to bus through feed, the non-blocking other end of the
 * socket that sd-bus reads from. With a listener its peers are served instead, and socket is their end of the
 * link (peers.h). All are borrowed. Must be called before the connection is started. */
int bus_intake_new(sd_bus *bus, int socket, int feed, const Listener *listener, BusIntake **ret);

/* For peers, after the link was closed: waits up to 50 ms until their process has passed on what was sent. */
void bus_intake_await_end(const BusIntake *intake);

/* Must be called after bus was closed: its callbacks use the intake. Kills the process that reads, and does
 * not wait for its end: child_reap_left() reaps it. */
BusIntake *bus_intake_free(BusIntake *intake);
DEFINE_TRIVIAL_CLEANUP(BusIntake *, bus_intake_free);

/* Readable when there is something to receive. */
int bus_intake_fd(const BusIntake *intake);

/* Lets sd-bus send, handle timeouts, and dispatch what was forwarded to it. Negative errno if the connection
 * is lost, here and below. */
int bus_intake_process(BusIntake *intake);

/* Receives what was read from the bus, and serves calls for a fraction of a millisecond. */
int bus_intake_receive(BusIntake *intake);

/* Requests calls, if one may be served. Must be called before each poll: the CPU time from then on is charged
 * to what is received next. */
int bus_intake_request(BusIntake *intake);

/* Whether calls are waiting. */
bool bus_intake_has_calls(const BusIntake *intake);

/* The user of the call that sd-bus is dispatching; (uid_t) -1 if it is unknown. The process, as it connected
 * to a socket; 0 if it is unknown: on a bus, and if our PID namespace does not have it. */
uid_t bus_intake_caller(const BusIntake *intake);
pid_t bus_intake_caller_pid(const BusIntake *intake);
