/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The running workers, for `wbctl list` and `wbctl status`. */

#include <glib.h>

#include "connection.h"
#include "terminal.h"

/* Lists the workers in the proc of root (NULL: /), if the daemon did not, and returns whether it did that.
 * *ret_fault gets why some may be missing; NULL: none is. There is no list if all may be missing. */
bool workers_read_locally(const char *root, Answers *answers, char **ret_fault);

/* A table of workers, of no more than max. */
void workers_append_some(
                GString *out,
                const Terminal *terminal,
                const char *indent,
                GVariant *workers,
                size_t max);
