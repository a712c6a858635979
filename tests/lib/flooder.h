/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Floods over the bus, or over a socket of the daemon (BusFixture.socket), through plain sockets: a flooder
 * only writes calls and counts the replies.
 */

#include "bus-fixture.h"

/* A call, or another message, as it is written to the socket, except for its serial. */
typedef struct Call {
        uint8_t *data;
        size_t size;
} Call;

/* A call to any destination; to our object; and one of the cheapest calls to our object. */
Call call_to(const char *destination,
             const char *path,
             const char *interface,
             const char *member,
             GVariant *arguments);
Call call_of(const char *interface, const char *member, GVariant *arguments);
Call call_get_state(void);

/* A signal to this connection only. */
Call call_signal(const char *destination, GVariant *arguments);

void call_done(Call *call);

/* Makes the call expect no reply: the bus does not limit such calls. */
Call call_without_reply(Call call);
#define _cleanup_call_ _cleanup_(call_done)

typedef struct Flooder {
        const BusFixture *fixture;
        int fd;
        uint32_t serial;
        size_t n_sent; /* bytes written of the current call */
        GByteArray *received;
        unsigned n_returns, n_errors;
} Flooder;

/* The first sends a call; the second waits until the connection has received n replies in all. */
void flooder_send(Flooder *flooder, const Call *call);
void flooder_await(Flooder *flooder, unsigned n_answers);

/* Many connections, of these users in turn. */
typedef struct Crowd {
        Flooder *flooders;
        size_t n;
} Crowd;

Crowd crowd_new(const BusFixture *fixture, const uid_t *users, size_t n_users, size_t n);
Crowd crowd_new_of(const BusFixture *fixture, uid_t uid, size_t n);
void crowd_done(Crowd *crowd);
#define _cleanup_crowd_ _cleanup_(crowd_done)

/* Each connection sends the call this many times. */
void crowd_send(const Crowd *crowd, const Call *call, unsigned n);

/* Reads from every connection, and counts those that have received n replies. From every one, since unread
 * replies of one may delay those of the others. */
size_t crowd_receive(const Crowd *crowd, unsigned n_answers);

/* Waits until each has received n replies in all. */
void crowd_await(const Crowd *crowd, unsigned n_answers);

unsigned crowd_count_returns(const Crowd *crowd);
unsigned crowd_count_errors(const Crowd *crowd);

/* Sends the call continuously from a process of its own, which owns crowd and call: until it is stopped, or
 * the bus or this program ends. */
pid_t flood_start(Crowd crowd, Call call, bool reads);
void flood_stop(pid_t pid);
