/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* What this process may do that others may not: its capabilities, and the real-time priority. */

#include <stdbool.h>

/* Whether a service manager gave this process a capability (CAP_...): as an ambient one, which root does not
 * have. */
bool privileges_given(int capability);

/* Whether this process has a capability in effect. */
bool privileges_has(int capability);

/* Executes this program anew, without this ambient capability: a user other than root does not have it from
 * then on, in any process. Unlike capset(2) it takes no system call that a filter should refuse. Returns only
 * where that fails, with a negative errno. */
int privileges_drop_by_exec(int capability, char **arguments);

/* Gives up all privileges for good, except to open folders that it has no permission for: what a helper does
 * that syncs. */
void privileges_drop_for_syncs(void);

/* Requests the lowest real-time priority, unless it has one already. Helpers inherit it. A negative errno
 * where it is refused, as in many containers. */
int privileges_request_priority(void);
