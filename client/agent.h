/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* polkit's own agent for terminals, pkttyagent(1): it requests the password while a call is pending. */

#include <stdbool.h>
#include <sys/types.h>

/* Whether a person could answer: not root, and on a terminal. */
bool agent_is_of_use(void);

/* Starts it if it could be of use, and waits a moment until it is registered. Returns its pid, or 0 when
 * there is none; polkit then decides without a password. */
pid_t agent_start(void);

/* Ends it, if any, also in the midst of its question; it leaves the terminal as it was. For _cleanup_(). */
void agent_stop(pid_t *pid);
