/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Very many forks, and the socket over which the daemon receives events of them. */

#include "bus-fixture.h"

/* A copy of the daemon's netlink socket, which is the same socket; negative if it has none. */
int steal_netlink_socket(const BusFixture *fixture);

/* For the kernel a new thread is a fork like every other, only quicker. */
void fork_often(unsigned n);
