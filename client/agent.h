/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* pkttyagent(1), polkit's agent for terminals: prompts for a password while a call is pending. */

#include <stdbool.h>
#include <sys/types.h>

/* Whether the agent could prompt: on a terminal, and not as root, which needs no password. */
bool agent_can_prompt(void);

/* Starts the agent if it could prompt, and waits briefly until it is registered. Returns its pid, or 0 if
 * there is none; polkit then decides without a password. */
pid_t agent_start(void);

/* Stops the agent, if any, even during its prompt; it restores the terminal. For _cleanup_(). */
void agent_stop(pid_t *pid);
