/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Detects whether data is being written: whether Dirty + Writeback of /proc/meminfo fall. */

#include "macro.h"

/* How often it must be sampled. */
#define PROGRESS_INTERVAL_USEC USEC_PER_SEC

typedef struct Progress {
        uint64_t lowest_bytes;
        uint64_t last_usec; /* when it last fell; initially the time of progress_begin() */
        bool was_seen;      /* it has fallen at least once */
} Progress;

/* Reads Dirty and Writeback, in bytes, from a descriptor of /proc/meminfo. -ENODATA if they can't be read. */
int meminfo_read_dirty(int meminfo_fd, uint64_t *ret_dirty, uint64_t *ret_writeback);

/* Their sum, or UINT64_MAX if they can't be read. */
uint64_t meminfo_read_unwritten(int meminfo_fd);

/* Starts with this number of unwritten bytes. */
void progress_begin(Progress *progress, uint64_t bytes, uint64_t now_usec);

/* Adds a later sample. It has fallen if it is lower than all earlier ones by a minimum. */
void progress_note(Progress *progress, uint64_t bytes, uint64_t now_usec);

/* Whether it fell recently. */
bool progress_is_made(const Progress *progress, uint64_t now_usec);
