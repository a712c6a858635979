/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The code that runs in a helper process (helper.h): receives requests from a SOCK_SEQPACKET socket, and
 * answers each with one packet. Needs only the C library. */

#include <stdnoreturn.h>

#include "macro.h"

#define HELPER_PACKET_MAX 16384

/* Runs in the helper process. Executes the request, fills the reply (at most HELPER_PACKET_MAX bytes), and
 * returns its size. May block. */
typedef size_t (*helper_serve_t)(const void *request, size_t size, void *reply, void *userdata);

/* Sends one packet, and a descriptor with it unless attached_fd is negative. */
int packet_send(int fd, const void *data, size_t size, int attached_fd, int flags);

/* Receives one packet into data, which must have HELPER_PACKET_MAX bytes. -EPIPE if the other end is closed.
 * *ret_attached_fd is -EBADF if no descriptor came with the packet. With NULL, descriptors are refused. */
int packet_receive(int fd, void *data, int flags, size_t *ret_size, int *ret_attached_fd);

/* For serve functions: sends the descriptor with the reply, and then closes it. */
void serve_attach(int fd);

/* Runs in a child process (child.h): serves requests from CHILD_FD until the other end is closed. */
noreturn void serve_run(helper_serve_t serve, void *userdata);
