/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The filesystems that a stall can affect, selected from the text of /proc/PID/mountinfo: those of a type
 * with cgroup writeback, each once, by device number. Pure: no I/O, no allocation.
 */

#include "macro.h"

/* Filesystems beyond this number are left to sync(2). */
#define FILESYSTEMS_MAX 128

/* A line of mountinfo. The strings point into the line. */
typedef struct Mount {
        uint64_t id;
        uint32_t major, minor;
        const char *root, *mountpoint, *type;
        const char *options, *source, *super_options; /* as in the line; "" if missing */
} Mount;

typedef struct Filesystem {
        uint64_t mount_id; /* of the mount at mountpoint; 0 if that is truncated */
        uint32_t major, minor;
        uint32_t is_whole;   /* mountpoint shows its root, not only a part of it */
        char mountpoint[80]; /* truncated if longer */
        char type[16];
} Filesystem;

typedef struct FilesystemList {
        uint32_t n;
        Filesystem filesystems[FILESYSTEMS_MAX]; /* in the order of filesystems_add() */
} FilesystemList;

/* Parses a line without its newline, and decodes its strings in place. -EBADMSG if it is malformed. */
int mount_parse(char *line, Mount *ret);

/* Whether the mount's filesystem is of a type with cgroup writeback. */
bool mount_has_cgroup_writeback(const Mount *mount);

/* Whether the mount shows the root of its filesystem. A bind mount may show only a part. */
bool mount_is_whole(const Mount *mount);

/* Adds the filesystem of a mount, unless it is in the list or the list is full. */
void filesystems_add(FilesystemList *list, const Mount *mount);
