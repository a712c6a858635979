/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Which filesystems a stall can be about, chosen from the text of /proc/PID/mountinfo: those of a type with
 * cgroup writeback, each once, by its device number. Pure: no I/O, no allocation.
 */

#include "macro.h"

/* What lies beyond is left to sync(2). */
#define FILESYSTEMS_MAX 128

/* One line of mountinfo. The texts live as long as the line. */
typedef struct Mount {
        uint64_t id;
        uint32_t major, minor;
        const char *root, *mountpoint, *type;
} Mount;

typedef struct Filesystem {
        uint32_t major, minor;
        uint32_t is_whole;   /* mountpoint shows its root, and not only a part of it */
        char mountpoint[80]; /* cut when longer */
        char type[16];
} Filesystem;

typedef struct FilesystemList {
        uint32_t n;
        Filesystem filesystems[FILESYSTEMS_MAX]; /* as they were added */
} FilesystemList;

/* Parses a line without its newline, and decodes its texts in place. -EBADMSG when it is not one of
 * mountinfo. */
int mount_parse(char *line, Mount *ret);

/* Whether its filesystem is of a type with cgroup writeback. */
bool mount_has_cgroup_writeback(const Mount *mount);

/* Whether the mount shows the root of its filesystem: a bind mount may show a part only. */
bool mount_is_whole(const Mount *mount);

/* Adds the filesystem behind a mount, unless it is there already or there is no room. */
void filesystems_add(FilesystemList *list, const Mount *mount);
