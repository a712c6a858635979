/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Very many forks, and the socket on which the daemon receives their events. */

/* A duplicate of the descriptor of a process's netlink socket; negative if it has none. */
int steal_netlink_socket(int pidfd);

/* Creates n threads: to the kernel a new thread is a fork like any other, but faster. */
void fork_often(unsigned n);

/* Creates a process. With vfork(2) that takes 50 us, whatever the size of the caller. */
void fork_once(void);
