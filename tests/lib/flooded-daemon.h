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

/* Bus, daemon, and a client as root that has seen the daemon on the bus. */
Client *start_flooded(BusFixture *fixture, const char *settings);

/* Something in polkit's place that takes questions and never answers. */
Client *start_silent_polkit(BusFixture *fixture);

/* So many that a list of them takes long. With AddressSanitizer one of 500 takes some 25 ms: a caller waits
 * for those of three others. */
#ifdef HAS_ADDRESS_SANITIZER
#define LISTED_WORKERS 50
#else
#define LISTED_WORKERS 500
#endif

/* Has the daemon see LISTED_WORKERS workers, none of which is stuck. */
void add_listed_workers(const BusFixture *fixture, Client *client);

/* Almost the 32 MiB that the bus allows for a message; floating. */
GVariant *large_text(void);

/* The memory of the daemon and of its process that reads from the bus or socket. The first forgets the peak
 * of what came before; the second fails the test if it was above MEMORY_PEAK_KIB, or if more than the half of
 * that is still in use. */
void memory_begin(const BusFixture *fixture);
void memory_check(const BusFixture *fixture, const char *what);
