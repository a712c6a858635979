/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The connection to wbwatchd, over a bus or its socket: calls with a timeout, and error messages. */

#include <glib.h>
#include <systemd/sd-bus.h>

#include "destination.h"
#include "macro.h"
#include "names.h"

/* How long the bus may take to accept the connection, and until when calls that read must be answered: verbs
 * that read promise to end within 2 s. */
#define ANSWER_TIMEOUT_USEC (1500 * USEC_PER_MSEC)

/* A call to the daemon, and the texts for its error messages. */
typedef struct Request {
        const char *member;
        const char *purpose; /* "pause wbwatchd" */
        const char *action;  /* the polkit action it needs; NULL: reading */
        const char *answer;  /* the type that a reading call returns */
        bool all_properties; /* GetAll of the interface */
        bool starts_daemon;  /* reading, too, starts it */
} Request;

/* Sets --timeout for this program: the time for connecting and for all answers together, counted from
 * connection_open(). */
void connection_set_timeout(uint64_t usec);

/* --timeout, or the default if that was not given. */
uint64_t connection_timeout(uint64_t default_usec);

/* --timeout; or how long calls that read may take: ANSWER_TIMEOUT_USEC, and more for a host. */
uint64_t connection_answer_timeout(void);

/* Connects to where the command line says. That is the system bus, or $DBUS_SYSTEM_BUS_ADDRESS, if nothing is
 * said; where there is no bus, where it does not answer and where wbwatchd is not on it, a socket of wbwatchd
 * if that is better. Waits until the other end answers; for ssh without limit unless --timeout is given.
 * Negative errno. */
int connection_open(sd_bus **ret);

/* The same; also returns until when calls that read must be answered (CLOCK_MONOTONIC). */
int connection_open_until(sd_bus **ret, uint64_t *ret_deadline_usec);

/* Calls that read are answered until then. */
int connection_set_deadline(sd_bus *bus, uint64_t deadline_usec);

/* What is left of --timeout, at least 1; default_usec if that was not given. */
uint64_t connection_time_left(uint64_t default_usec);

/* Where the last connection leads, or what it tried. A socket: sd-bus is not the client of a bus; there are
 * no names, senders and polkit. */
const Destination *connection_destination(void);

/* The sender of the signals of wbwatchd, for a match; NULL: over its socket, nobody else sends any. */
const char *connection_sender(void);

/* Whether there may be a password prompt on the terminal, if the user allows it. */
bool connection_may_prompt(bool ask_password);

/* The words for an error of connection_open(). Returns an exit status. */
int connection_explain(int error, char **ret_words);

/* connection_open(), and a report on stderr if there is no bus. Returns 0 or an exit status. */
int connection_open_or_complain(sd_bus **ret);

/* Creates a call of the interface org.wbwatch1. The caller appends the arguments. */
int request_new(sd_bus *bus, const Request *request, sd_bus_message **ret);

/* Reports on stderr that the request could not be sent (error: negative errno), and returns EXIT_FAILURE. */
int request_failed(const Request *request, int error);

/* Makes a call without arguments. Does not start the daemon. Returns 0, or an exit status after an error
 * message on stderr. */
int request_read(sd_bus *bus, const Request *request, GVariant **ret);

/* The same for all properties of the interface, as a{sv}. */
int request_properties(sd_bus *bus, GVariant **ret);

/* All properties, before or after a change: it starts the daemon. Returns 0 with *ret = NULL if that did not
 * answer in time: the change matters more. */
int request_properties_in_time(sd_bus *bus, GVariant **ret);

/* The same as request_read() for the list of the episodes, as aa{sv}. */
int request_episodes(sd_bus *bus, GVariant **ret);

typedef enum Question {
        QUESTION_PROPERTIES, /* a{sv} */
        QUESTION_WORKERS,    /* aa{sv} */
        QUESTION_EPISODES,   /* aa{sv} */
        _QUESTION_MAX,
} Question;

/* What the daemon answered in time. */
typedef struct Answers {
        GVariant *values[_QUESTION_MAX]; /* NULL: no answer, or not wanted */
        int status;                      /* 0, or an exit status: why the first of them is missing */
        char *words;                     /* and its message */
        bool silent;                     /* the bus or wbwatchd did not answer in time */
} Answers;

/* Connects, asks the wanted questions (a mask of 1 << Question), and returns after
 * connection_answer_timeout() at the latest, with what was answered by then. Does not start the daemon. */
void answers_read(Answers *answers, unsigned wanted);

void answers_clear(Answers *answers);

/* Called each second while waiting for a reply, and with USEC_INFINITY at the end. */
typedef void (*request_tick_t)(uint64_t elapsed_usec, void *userdata);

/* Sends a call that changes something, and waits for the reply for up to timeout_usec, or without limit
 * (USEC_INFINITY). With ask_password, polkit may prompt for a password. Returns 0; or EXIT_INTERRUPTED after
 * a SIGINT or SIGTERM, without a message; or another exit status after an error message on stderr. */
int request_change(
                sd_bus *bus,
                const Request *request,
                sd_bus_message *message,
                bool ask_password,
                uint64_t timeout_usec,
                request_tick_t tick,
                void *userdata,
                sd_bus_message **ret_reply);

/* Returns the exit status for an error, and its message in *ret_words. bus_lost: the connection was lost.
 * waited_usec: after a timeout how long it took, else 0. */
int error_explain(
                const Request *request,
                const char *name,
                const char *message,
                bool bus_lost,
                uint64_t waited_usec,
                char **ret_words);
