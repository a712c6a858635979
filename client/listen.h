/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The sockets on which wbwatch-exporter listens. */

#include "macro.h"

/* Listens on "HOST:PORT", "[IPv6]:PORT" or ":PORT", which is all addresses of both families. Port 0: a free
 * one. Returns negative errno, with a message for the user in *ret_error, to be freed with g_free(). */
int listen_on(const char *address, int *ret_fd, char **ret_error);

/* Where the socket listens, as "HOST:PORT" for a URL. To be freed with g_free(). */
char *listen_describe(int fd);
