/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The running kernel workers as this program sees them, without the daemon. */

#include <glib.h>

#include "tally.h"

/* Scans a proc root once for the running workers whose whole name matches the glob. *ret gets what
 * ListWorkers of the daemon returns (aa{sv}), in ascending order of pids and without RunningUSec and
 * WaitingUSec, which one scan cannot show. *ret_fault gets NULL, or why the scan may have missed some of
 * them, to be freed by the caller. Returns negative errno if the proc root cannot be read. */
int local_workers_list(const char *proc_root, const char *glob, GVariant **ret, char **ret_fault);

/* Adds all running workers to the tally: in at least this many scans, one every 250 ms, and the last one at
 * the end (CLOCK_MONOTONIC) or later. *ret_fault as above. */
int local_workers_observe(
                const char *proc_root,
                unsigned n_scans,
                uint64_t end_usec,
                Tally *tally,
                char **ret_fault);
