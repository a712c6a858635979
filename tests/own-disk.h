/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A small filesystem of the test's own, in a file in memory: one that may be frozen, and that reads nothing
 * ahead. Needs root and a mount namespace of the test's own, with which it goes; it is thawed before, however
 * the test ends.
 */

#include "undo.h"

typedef struct OwnDisk {
        char *folder;
        int fd;
        Undo thaw;
} OwnDisk;

/* Runs a program of the PATH, NULL-terminated arguments; it must succeed. */
void run_program(const char *const *arguments);

OwnDisk own_disk_new(void);

/* One of twice the size. */
OwnDisk own_disk_new_large(void);

/* One whose file is on the other: while that one is frozen, a sync of this one hangs once it was written to.
 */
OwnDisk own_disk_new_on(const OwnDisk *outer);

/* From here on all that writes to it waits, until it is thawed. */
void own_disk_freeze(OwnDisk *disk);
void own_disk_thaw(OwnDisk *disk);

void own_disk_done(OwnDisk *disk);
#define _cleanup_own_disk_ _cleanup_(own_disk_done)
