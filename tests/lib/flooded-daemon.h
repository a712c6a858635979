/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* What tests of floods have in common: the daemon with a bus that logs nothing of a flood, its memory, the
 * workers that it lists, and polkit that never answers. */

#include "bus-fixture.h"

/* Users whom every Debian has, and whom the bus counts apart. */
#define UID_DAEMON 1
#define UID_BIN 2
#define UID_SYS 3
#define UID_GAMES 5

/* Bus, daemon, and a client as root that has seen the daemon on the bus. The test may take
 * FLOOD_TIMEOUT_SEC: callers who are not root get little CPU time, other tests may run beside it, and
 * AddressSanitizer makes all of it slower. */
#define FLOOD_TIMEOUT_SEC 300
Client *start_flooded(BusFixture *fixture, const char *settings);

/* Something in polkit's place that takes questions and never answers. */
Client *start_silent_polkit(BusFixture *fixture);

/* Has the daemon see so many workers that a list of them takes long; none of them is stuck. */
void add_listed_workers(const BusFixture *fixture, Client *client);

/* Almost the 32 MiB that the bus allows for a message; floating. */
GVariant *large_text(void);

/* The memory of the daemon and of its process that reads from the bus or socket. The first forgets the peak
 * of what came before; the second fails the test if it was above MEMORY_PEAK_KIB, or if more than half of
 * it is still in use. */
void memory_begin(const BusFixture *fixture);
void memory_check(const BusFixture *fixture, const char *what);
