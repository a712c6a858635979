/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Reading from the bus, in a process of its own. It has no real-time priority, so that reading a flood takes
 * no time from anything important, and reads whatever the daemon does, so that nothing piles up in the bus:
 * there, everyone would wait behind the flood.
 *
 * Replies and signals are passed on to the daemon at once. Calls wait here in one queue per user, and until
 * bus-users.h has found the user, in one per sender; those of a sender that has disconnected meanwhile are
 * dropped. They are passed on when the daemon requests some: root's at once and first, those of the other
 * users in turn, not before the time that the request names. So nothing wakes the daemon before there is a
 * call that it may serve. The bytes of waiting calls are bounded; calls that are too long are not kept. Nor
 * are messages with descriptors: no method takes any.
 */

#include "bus-users.h"
#include "child.h"

/* Legitimate calls have a few hundred bytes, or a path. Longer ones are refused. */
#define BUS_MESSAGE_SIZE_MAX ((size_t) 16 * 1024)

/* The most calls in a packet. */
#define BUS_CALLS_MAX 16

/* The calls that the daemon gets in place of refused ones. */
#define REFUSED_INTERFACE "org.wbwatch1.Refused"
#define REFUSED_TOO_LONG "TooLong"
#define REFUSED_TOO_MANY "TooMany"
#define REFUSED_DESCRIPTORS "Descriptors"

typedef enum BusPacketType {
        BUS_PACKET_BYTES, /* what sd-bus must see: part of the authentication, a reply, a signal */
        BUS_PACKET_CALLS, /* requested calls of one user: of root only one */
} BusPacketType;

/* From the reader. */
typedef struct BusPacket {
        BusPacketType type;
        uid_t uid;                          /* of the calls' sender */
        pid_t pid;                          /* of a peer when it connected (peers.h); 0: not known */
        bool has_calls;                     /* others are waiting */
        uint8_t data[BUS_MESSAGE_SIZE_MAX]; /* messages */
} BusPacket;

/* To the reader: requests one packet of calls of one user, which must arrive before the next request is sent.
 */
typedef struct BusRequest {
        uint64_t others_usec; /* not before that time (CLOCK_MONOTONIC), unless it is a call of root */
        uint32_t n_served; /* bytes of calls, since the last request; the others of a packet are sent again */
} BusRequest;

typedef struct BusReader BusReader;

/* Reads from bus_fd for the daemon at the other end of daemon_fd, a SOCK_SEQPACKET socket. users_fd is a
 * second connection to the bus, on which nothing was sent yet. All are borrowed. */
int bus_reader_new(int daemon_fd, int bus_fd, int users_fd, BusReader **ret);
BusReader *bus_reader_free(BusReader *reader);
DEFINE_TRIVIAL_CLEANUP(BusReader *, bus_reader_free);

/* Does what can be done without waiting. Negative errno once the bus or the daemon is gone; -ECONNREFUSED if
 * the bus refuses users_fd, or the two connections are to different buses. */
int bus_reader_work(BusReader *reader);

/* Waits until something can be received or sent (returns 1), until something is due, or for wait_msec (-1:
 * forever; both return 0). bus_reader_work() must follow in any case. */
int bus_reader_wait(const BusReader *reader, int wait_msec);

/* Starts a process that opens the second connection and does this. It ends when either connection is lost, or
 * when the daemon closes *ret_fd; the daemon sees its end by *ret_fd. The end of the first connection is
 * noticed only after the bus has accepted the second. */
int bus_reader_start(int socket, int *ret_fd, Child *ret_child);

/* Forks n processes, at most BUS_READERS_MAX, for the next calls of bus_reader_start() and peers_start().
 * Should be called while the daemon is small. Later calls fork one each, and so do these if it fails. */
#define BUS_READERS_MAX 3
void bus_readers_fork(size_t n);
