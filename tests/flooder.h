/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Floods over the bus. They come over plain sockets: they need no more than to write calls and to count what
 * comes back.
 */

#include "bus-fixture.h"

/* A call as it goes over the socket, but for its serial. */
typedef struct Call {
        uint8_t *data;
        size_t size;
} Call;

/* A call to anybody; to our object; and one of the cheapest of those. */
Call call_to(const char *destination,
             const char *path,
             const char *interface,
             const char *member,
             GVariant *arguments);
Call call_of(const char *interface, const char *member, GVariant *arguments);
Call call_get_state(void);
void call_done(Call *call);
#define _cleanup_call_ _cleanup_(call_done)

typedef struct Flooder {
        const BusFixture *fixture;
        int fd;
        uint32_t serial;
        size_t n_sent; /* bytes of the call that is being sent */
        GByteArray *received;
        unsigned n_returns, n_errors;
} Flooder;

/* Sends a call; waits until it has so many answers of all. */
void flooder_send(Flooder *flooder, const Call *call);
void flooder_await(Flooder *flooder, unsigned n_answers);

/* Many of them, of these users in turn. */
typedef struct Crowd {
        Flooder *flooders;
        size_t n;
} Crowd;

Crowd crowd_new(const BusFixture *fixture, const uid_t *users, size_t n_users, size_t n);
Crowd crowd_new_of(const BusFixture *fixture, uid_t uid, size_t n);
void crowd_done(Crowd *crowd);
#define _cleanup_crowd_ _cleanup_(crowd_done)

/* Each sends the call so often. */
void crowd_send(const Crowd *crowd, const Call *call, unsigned n);

/* Reads what has come to each, and counts those that have so many answers. All of them, since what one leaves
 * unread may hold up the others' answers. */
size_t crowd_receive(const Crowd *crowd, unsigned n_answers);

/* Until each has so many answers of all. */
void crowd_await(const Crowd *crowd, unsigned n_answers);

unsigned crowd_count_returns(const Crowd *crowd);
unsigned crowd_count_errors(const Crowd *crowd);

/* Takes crowd and call over, and sends the call all the time, in a process of its own: until it is stopped,
 * or the bus or this program ends. */
pid_t flood_start(Crowd crowd, Call call, bool reads);
void flood_stop(pid_t pid);
