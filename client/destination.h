/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Where wbwatchd is: on the system bus of this machine, of another one or of a container, or behind one of
 * its own sockets, with or without a bus. */

#include <systemd/sd-bus.h>

#include "macro.h"

typedef enum DestinationKind {
        DESTINATION_BUS,     /* the system bus of this machine */
        DESTINATION_SOCKET,  /* a socket of wbwatchd, without a bus between */
        DESTINATION_HOST,    /* the system bus of another machine, over ssh */
        DESTINATION_MACHINE, /* the system bus of a local container */
} DestinationKind;

typedef struct Destination {
        DestinationKind kind;
        const char *name; /* of the host or container; the path of the socket; NULL: of a bus */
} Destination;

/* [USER@]NAME[:PORT][/CONTAINER], as --host has it; an IPv6 address is without its brackets here. NULL: not
 * given. */
typedef struct Host {
        char *user, *name, *port, *container;
} Host;

/* Returns whether the text is such a host. The caller frees *ret with host_done() in any case. */
bool host_parse(const char *text, Host *ret);
void host_done(Host *host);

/* The sockets that are tried where wbwatchd is not on a bus, up to a NULL name: for root, and for everybody.
 * None if the caller has named a bus. */
const Destination *destination_sockets(void);

/* Sets what the command line says (NULL: not given) for this program; the strings must stay. Returns NULL, or
 * what is wrong with it, to be freed by the caller. */
char *destination_set(const char *socket, const char *host, const char *machine);

/* What the command line says; at first the bus. */
const Destination *destination_get(void);

/* Whether the command line names another host or a container: files of this machine say nothing about it. */
bool destination_is_remote(void);

/* Whether that is a container, of this machine or of the host. */
bool destination_is_container(void);

/* Whether that is the machine whose folders are below root: with another one than "/", only if the caller
 * names a bus or a socket. */
bool destination_is_below(const char *root);

/* Begins to connect. The bus is not ready yet: a host or a socket that refuses shows later. -EAGAIN: as many
 * connections as the other end allows wait to be accepted. */
int destination_start(const Destination *destination, sd_bus **ret);

/* How the destination is called in messages: "the system bus at X", "wbwatchd at PATH", "web1", "the
 * container x". To be freed. */
char *destination_format(const Destination *destination);

/* " on web1" or " in the container x"; empty without -H and -M. To be freed. */
char *destination_suffix(void);

/* The words for an error of a connection: negative errno, -ETIMEDOUT after waiting. Returns an exit status.
 */
int destination_explain(const Destination *destination, int error, char **ret_words);
