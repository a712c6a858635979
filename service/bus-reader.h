/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Reading from the bus, in a process of its own. It has no real-time priority, so that reading a flood takes
 * no time from anything important, and reads whatever the daemon does, so that nothing piles up in the bus:
 * there, everyone would wait behind the flood.
 *
 * Replies and signals are passed on to the daemon at once. Calls wait here in one queue per user, for whom
 * the bus is asked at the first call of each connection, and are passed on when the daemon requests some:
 * root's at once and first, those of the others in turn, from a time on that the request names. So nothing
 * wakes the daemon before there is a call that it may serve. The bytes of waiting calls are bounded; calls
 * that are too long are not kept. Nor are messages with descriptors: no method takes any. The kernel closes
 * them, since they are not received: see SCM_RIGHTS in unix(7).
 */

#include <poll.h>
#include <systemd/sd-bus.h>

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

/* Connections whose users the reader knows or has asked for. */
#define BUS_SENDERS_MAX 2048

#define UID_ROOT ((uid_t) 0)
#define UID_UNKNOWN ((uid_t) -1)

typedef enum BusPacketType {
        BUS_PACKET_BYTES, /* what sd-bus must see: part of the authentication, a reply, a signal */
        BUS_PACKET_CALLS, /* requested calls of one user: of root only one */
} BusPacketType;

/* From the reader. */
typedef struct BusPacket {
        BusPacketType type;
        uid_t uid;      /* of the calls' sender */
        pid_t pid;      /* of a peer when it connected (peers.h); 0: not known */
        bool has_calls; /* others are waiting */
        uint8_t data[BUS_MESSAGE_SIZE_MAX];
} BusPacket;

/* To the reader: calls of a user, in one packet, which must come before the next request. */
typedef struct BusRequest {
        uint64_t others_usec; /* not before that time (CLOCK_MONOTONIC), unless it is a call of root */
        uint32_t n_served; /* bytes of calls, since the last request; the others of a packet are sent again */
} BusRequest;

typedef struct BusReader BusReader;

/* Asks for the user of the sender with this unique name; bus_reader_set_user() answers, but not within this
 * function. tag is less than BUS_SENDERS_MAX, and that of no other open question. Negative errno ends the
 * reading. */
typedef int (*bus_ask_t)(uint32_t tag, const char *name, void *userdata);

/* Reads from bus_fd for the daemon at the other end of daemon_fd, a SOCK_SEQPACKET socket; both are borrowed.
 */
int bus_reader_new(int daemon_fd, int bus_fd, bus_ask_t ask, void *userdata, BusReader **ret);
BusReader *bus_reader_free(BusReader *reader);

/* The user of a sender; if it cannot be known, its calls are those of UID_UNKNOWN. -ENOMEM. */
int bus_reader_set_user(BusReader *reader, uint32_t tag, bool known, uid_t uid);

/* Does what can be done without waiting. Negative errno once the bus or the daemon is gone. */
int bus_reader_work(BusReader *reader);

/* Waits until something can be received or sent, until the event in other (or NULL), or until a requested
 * call may be sent; for at most so long (-1: forever). Returns 0 in the last two cases, otherwise 1.
 * bus_reader_work() must follow in any case. */
int bus_reader_wait(const BusReader *reader, const struct pollfd *other, int wait_msec);

/* Starts a process that does this, and asks for users over a second connection to the bus (bus-users.h). It
 * ends with the bus and with the daemon's end of the socket, *ret_fd; the daemon sees its end by *ret_fd. */
int bus_reader_start(int socket, int users_socket, int *ret_fd, Child *ret_child);

/* Forks n processes, at most BUS_READERS_MAX, for the next calls of bus_reader_start() and peers_start().
 * Should be called while the daemon is small. Later calls fork one each, and so do these if it fails. */
#define BUS_READERS_MAX 3
void bus_readers_fork(size_t n);
