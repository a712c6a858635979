/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* A .tar.xz archive of a few texts, made in memory: it needs no disk and no other program. */

#include <glib.h>

#include "macro.h"

/* Appends a file to a tar archive, in the format ustar: mode 0600, owner root. The name has at most 99 bytes.
 */
void tar_append(GByteArray *tar, const char *name, const void *data, size_t size, uint64_t time_usec);

/* Appends the end of the archive. */
void tar_end(GByteArray *tar);

/* Compresses data with little memory (10 MiB). -ENOMEM, or -EIO. */
int xz_compress(const GByteArray *data, GByteArray **ret);
