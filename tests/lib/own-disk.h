/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A small filesystem in a file in memory, which a test may freeze. It has no read-ahead. Needs root and a
 * private mount namespace, with which it vanishes; it is thawed before that, however the test ends.
 */

#include "undo.h"

typedef struct OwnDisk {
        char *folder;
        int fd;
        Undo thaw;
} OwnDisk;

/* Runs a program from the PATH with NULL-terminated arguments; it must succeed. */
void run_program(const char *const *arguments);

OwnDisk own_disk_new(void);

/* A disk of twice the size. */
OwnDisk own_disk_new_large(void);

/* A disk whose image lies on the other disk: while the other is frozen, a sync of this one hangs if it is
 * dirty.
 */
OwnDisk own_disk_new_on(const OwnDisk *outer);

/* Blocks every write to it until it is thawed. */
void own_disk_freeze(OwnDisk *disk);
void own_disk_thaw(OwnDisk *disk);

void own_disk_done(OwnDisk *disk);
#define _cleanup_own_disk_ _cleanup_(own_disk_done)
