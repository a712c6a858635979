/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The journal of a test: the real systemd-journald, with its files and sockets in the test's own /run. Needs
 * the surroundings of isolate(). */

#include "process.h"

/* Whether systemd-journald is installed. */
bool own_journal_exists(void);

/* Hides the journal of this machine, and that of the test so far. */
void own_journal_clear(void);

/* Starts it, and returns once it takes messages. boot_id: all processes of the test see this boot until the
 * stop (32 hexadecimal digits); NULL: the real one. */
Process own_journal_start(const char *boot_id, gint64 deadline_usec);

/* Returns once all that was sent before is in the files. */
void own_journal_sync(gint64 deadline_usec);

/* Stops it. Its files remain, and another one continues them. */
void own_journal_stop(Process *journald, gint64 deadline_usec);
