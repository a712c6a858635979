/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The memory of this process. Code and data needed during a stall are kept in memory, so that they need not
 * be read from a disk that hangs. Pages needed only at start-up are released.
 */

#include <stddef.h>

/* Zeroed memory for a large table of which few entries are used. calloc() would write zeros to all of it.
 * NULL if there is none. */
void *memory_new_sparse(size_t size);
void memory_free_sparse(void *memory, size_t size);

/* Releases all code and constants used so far, locks what is used from now on, and reads from disk this
 * program, the C library and libsystemd. What the event loop uses of other libraries comes into memory by the
 * self-test. Logs failures, and otherwise ignores them. */
void memory_prepare(void);
