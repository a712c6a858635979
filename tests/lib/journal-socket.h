/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The socket on which journald receives entries. Needs isolate(), which gives the program a /run of its own.
 */

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* Listens there. Each read(2) returns one entry: lines of "NAME=value". */
int journal_new(void);

/* Ends that, and removes the socket. */
void journal_free(int fd);
