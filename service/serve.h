/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The helper's side of a helper process (helper.h): receives requests from a SOCK_SEQPACKET socket, and
 * answers each with one packet. Needs nothing but the C library. */

#include <stdnoreturn.h>

#include "macro.h"

#define HELPER_PACKET_MAX 16384

/* PR_SET_NAME cuts at 15 bytes. */
#define HELPER_NAME_MAX 15

/* Runs in the helper process: does the work, fills the reply (at most HELPER_PACKET_MAX bytes), and returns
 * its size. It may block for as long as it must. */
typedef size_t (*helper_serve_t)(const void *request, size_t size, void *reply, void *userdata);

/* Sends one packet, and a descriptor with it unless attached_fd is negative. */
int packet_send(int fd, const void *data, size_t size, int attached_fd, int flags);

/* Receives one packet into data, which has room for HELPER_PACKET_MAX bytes, and returns its size. -EPIPE
 * when the other end is closed. *ret_attached_fd is -EBADF when no descriptor came with it; NULL refuses
 * them. */
int packet_receive(int fd, void *data, int flags, size_t *ret_size, int *ret_attached_fd);

/* For serve functions: sends this descriptor with the reply, and closes it here then. */
void serve_attach(int fd);

/* Turns the process into a helper: its name, no signal handlers and none blocked, SIGINT and SIGHUP ignored,
 * stdin, stdout and stderr on /dev/null, all other descriptors closed. Serves the requests from socket_fd
 * until the other end is closed. Leaves with _exit(): what the parent registered for its own exit must not
 * run. */
noreturn void serve_run(const char *name, int socket_fd, helper_serve_t serve, void *userdata);
