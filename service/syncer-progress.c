/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "syncer-progress.h"

#include "kernel-files.h"

#define PROGRESS_MIN_BYTES (64 * 1024)

/* How long a fall counts as progress: a slow disk may need that long between two falls. */
#define PROGRESS_WINDOW_USEC (5 * USEC_PER_SEC)

int meminfo_read_dirty(int meminfo_fd, uint64_t *ret_dirty, uint64_t *ret_writeback) {
        uint64_t dirty_kib, writeback_kib;
        char text[KERNEL_FILE_TEXT_MAX];
        int r;

        r = kernel_file_read(meminfo_fd, text);
        if (r < 0)
                return r;
        if (!kernel_file_find(text, "\nDirty:", &dirty_kib, NULL) ||
            !kernel_file_find(text, "\nWriteback:", &writeback_kib, NULL))
                return -ENODATA;

        *ret_dirty = dirty_kib * 1024;
        *ret_writeback = writeback_kib * 1024;
        return 0;
}

uint64_t meminfo_read_unwritten(int meminfo_fd) {
        uint64_t dirty, writeback;

        return meminfo_read_dirty(meminfo_fd, &dirty, &writeback) < 0 ? UINT64_MAX : dirty + writeback;
}

void progress_begin(Progress *progress, uint64_t bytes, uint64_t now_usec) {
        *progress = (Progress){ .lowest_bytes = bytes, .last_usec = now_usec };
}

void progress_note(Progress *progress, uint64_t bytes, uint64_t now_usec) {
        if (bytes == UINT64_MAX || progress->lowest_bytes == UINT64_MAX)
                return;
        if (bytes + PROGRESS_MIN_BYTES > progress->lowest_bytes)
                return;

        progress->lowest_bytes = bytes;
        progress->last_usec = now_usec;
        progress->was_seen = true;
}

bool progress_is_made(const Progress *progress, uint64_t now_usec) {
        return progress->was_seen && usec_subtract(now_usec, progress->last_usec) <= PROGRESS_WINDOW_USEC;
}
