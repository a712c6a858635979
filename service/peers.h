/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The programs that are connected to one of the daemon's sockets, in a process of its own: to the daemon it
 * is a bus with these programs on it. It has no real-time priority, so that connections, authentication and
 * reading take no time from anything important.
 *
 * It accepts connections, names the sender of each call, and passes calls on when the daemon requests one
 * (bus-reader.h): root's first, those of the other users in turn, from the time on that the request names. A
 * reply goes to the peer that it names, a signal to all. Bounded are the connections, of all users and of
 * one; the time without authentication; the size of a call, of which each peer has one here; and what peers
 * leave unread: who leaves too much is disconnected, and gets no further reply while anything is unread.
 */

#include "child.h"
#include "sockets.h"

typedef struct Peers Peers;

/* Serves the listener for the daemon: daemon_fd is a SOCK_SEQPACKET socket for packets, link_fd a stream on
 * which the daemon writes as to a bus. All are borrowed. */
int peers_new(int daemon_fd, int link_fd, const Listener *listener, Peers **ret);
Peers *peers_free(Peers *peers);
DEFINE_TRIVIAL_CLEANUP(Peers *, peers_free);

/* Waits until there is something to do, for at most so long (-1: forever), and does it. Negative errno once
 * the daemon has closed the link, and what it sent was passed on. */
int peers_work(Peers *peers, int wait_msec);

/* Starts a process that does this, as bus_reader_start() does. */
int peers_start(const Listener *listener, int link_fd, int *ret_fd, Child *ret_child);
