/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The real polkitd on a private bus. Needs root and a private mount namespace. */

#include "process.h"

/* Starts it with the project's actions and with these rules only (JavaScript, or NULL). Its files go to this
 * folder. The caller waits for its name on the bus. */
Process polkit_start(const char *folder, const char *bus_address, const char *rules);

/* Kills it, and unmounts its folders from those of the machine. Does nothing if there is no process. */
void polkit_stop(Process *polkit, gint64 deadline_usec);
