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

OwnDisk own_disk_new(void);

/* From here on all that writes to it waits, until it is thawed. */
void own_disk_freeze(OwnDisk *disk);
void own_disk_thaw(OwnDisk *disk);

void own_disk_done(OwnDisk *disk);
#define _cleanup_own_disk_ _cleanup_(own_disk_done)
