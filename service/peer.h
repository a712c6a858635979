/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A program that is connected to one of the daemon's sockets: its authentication, its calls, and what is to
 * be sent to it. No more is read from it while one of its calls waits, so that what it sends stays in the
 * kernel's buffer of its own connection.
 */

#include "bus-header.h"
#include "bus-stream.h"
#include "byte-queue.h"
#include "peer-auth.h"

/* Descriptors in unsent messages. */
#define PEER_FDS_MAX 16

/* A descriptor that goes with a byte of the queue. */
typedef struct PeerFd {
        size_t offset;
        int fd;
} PeerFd;

typedef struct Peer {
        pid_t pid;
        char name[BUS_HEADER_SENDER_MAX + 1]; /* the sender of its calls: unique, and never used again */
        uint64_t connect_usec;
        PeerAuth auth;

        BusStream stream; /* of the peer's own socket; holds an incomplete message, or what follows the call
                           */
        uint8_t *call;    /* waits to be served, with its sender; NULL: none */
        size_t call_size;

        ByteQueue unsent;
        PeerFd fds[PEER_FDS_MAX];
        size_t n_fds;

        uint64_t turn;    /* of its user: the lower one is served first */
        uint64_t arrival; /* of its call, among those of its user */
} Peer;

/* Owns the socket of an accepted connection. name is cut at BUS_HEADER_SENDER_MAX bytes. */
int peer_new(int fd, uid_t uid, pid_t pid, const char *name, const char *guid, Peer **ret);
Peer *peer_free(Peer *peer);
DEFINE_TRIVIAL_CLEANUP(Peer *, peer_free);

/* Whether messages may be sent to it. */
bool peer_is_authenticated(const Peer *peer);

/* Receives what there is, up to the first call. Negative errno if the connection must be closed, as below. */
int peer_receive(Peer *peer);

/* Drops the call that waits, and searches what was received for the next one. */
int peer_next_call(Peer *peer);

/* Sends a message, or as much of it as can be sent now. Takes the descriptors, also if it fails: -EOPNOTSUPP
 * if the peer accepts none, -ENOBUFS if it has left too much unread. */
int peer_send(Peer *peer, const void *message, size_t size, const int *fds, size_t n_fds);

/* Sends what is unsent. */
int peer_flush(Peer *peer);
