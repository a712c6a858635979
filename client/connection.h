/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The connection to wbwatchd over the system bus: calls with a timeout, and errors in words. */

#include <glib.h>
#include <systemd/sd-bus.h>

#include "macro.h"

#define WBWATCH_NAME "org.wbwatch1"
#define WBWATCH_PATH "/org/wbwatch1"
#define WBWATCH_INTERFACE "org.wbwatch1"

/* How long a healthy bus and daemon may take to answer a question. */
#define ANSWER_TIMEOUT_USEC (5 * USEC_PER_SEC)

/* A call to the daemon, and what its error messages need. */
typedef struct Request {
        const char *member;
        const char *purpose; /* "pause wbwatchd" */
        const char *action;  /* the polkit action that guards it, or NULL for reading */
        const char *answer;  /* the type of what a reading call returns */
} Request;

/* Connects to $DBUS_SYSTEM_BUS_ADDRESS or the system bus, and waits until it answers. Negative errno. */
int connection_open(sd_bus **ret);

/* Reports on stderr why there is no bus, and returns EXIT_NO_BUS. */
int connection_complain(int error);

/* Both in one, for verbs: 0 or an exit status. */
int connection_open_or_complain(sd_bus **ret);

/* A call of the interface org.wbwatch1, to be filled with arguments. */
int request_new(sd_bus *bus, const Request *request, sd_bus_message **ret);

/* Reports on stderr that the request could not even be made (a negative errno), and returns EXIT_FAILURE. */
int request_failed(const Request *request, int error);

/* Makes a call that takes no arguments. Returns 0, or an exit status after an error message on stderr. */
int request_read(sd_bus *bus, const Request *request, GVariant **ret);

/* The same for all properties of the interface, as a{sv}. */
int request_properties(sd_bus *bus, GVariant **ret);

/* Called each second while a call is waited for, and with USEC_INFINITY when that is over. */
typedef void (*request_tick_t)(uint64_t elapsed_usec, void *userdata);

/* Sends a call that changes something, and waits for its answer: up to timeout_usec, or for ever
 * (USEC_INFINITY). Lets polkit request a password if ask_password. Returns 0; or EXIT_INTERRUPTED after a
 * SIGINT or SIGTERM, without a message; or another exit status after an error message on stderr. */
int request_change(
                sd_bus *bus,
                const Request *request,
                sd_bus_message *message,
                bool ask_password,
                uint64_t timeout_usec,
                request_tick_t tick,
                void *userdata,
                sd_bus_message **ret_reply);

/* An error's words and exit status. bus_lost: the connection is gone; waited_usec: how long there was no
 * answer, if that is the error, else 0. */
int error_explain(
                const Request *request,
                const char *name,
                const char *message,
                bool bus_lost,
                uint64_t waited_usec,
                char **ret_words);
