/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Files of this machine, or of a folder that looks like one: root. */

#include <glib.h>
#include <stdio.h>

#include "macro.h"

/* Reads root/path whole, up to 16 MiB: a file of /proc, too. Returns negative errno if it cannot be read. */
int root_file_read(const char *root, const char *path, char **ret);

/* The same of a file of /proc or /sys, for who must not hang: another kind of file is refused with -EINVAL.
 */
int root_file_read_at_once(const char *root, const char *path, char **ret);

/* The same as root_file_read(), to out. */
int root_file_copy(const char *root, const char *path, FILE *out);

/* The same, split into lines; to be freed with g_strfreev(). */
int root_file_read_lines(const char *root, const char *path, char ***ret);

/* The distribution's own name for itself, or NULL. */
char *root_distribution(const char *root);
