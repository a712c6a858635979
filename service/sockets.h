/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The two Unix sockets on which the daemon answers without a bus: `private`, where root and the daemon's own
 * user may call everything, and `public`, where anyone may read. Peers speak D-Bus with it, see peers.h.
 */

#include "macro.h"

#define SOCKETS_FOLDER "/run/wbwatchd"

typedef struct Listener {
        const char *process_name; /* of the process that serves it, see peers.h */
        bool is_private;
        int fd;
        char *path;
        const char *private_path; /* of the socket for changes, for messages */
        bool exists;              /* this process made the file, and removes it */
} Listener;

typedef struct Sockets {
        char *folder;
        bool made_folder; /* it was missing; then it is removed again */
        char *lock_path;
        int lock_fd; /* one daemon at a time has the folder */
        Listener private, public;
} Sockets;

/* Whether the sockets can be in a folder of that name. -EINVAL if it is not absolute, -ENAMETOOLONG if the
 * path of a socket would be longer than *ret_max bytes, the kernel's limit (unix(7)). */
int sockets_check_folder(const char *folder, size_t *ret_max);

/* Makes the sockets, and the folder if only the folder itself is missing. Those that a daemon left behind
 * when it was killed are replaced. Negative errno with an explanation in *ret_error (to be freed):
 * -EADDRINUSE if another daemon has the folder, -EEXIST if a file is in the way. Opens files: at the start
 * only. */
int sockets_open(const char *folder, Sockets **ret, char **ret_error);

/* Leaves nothing behind. */
Sockets *sockets_free(Sockets *sockets);
DEFINE_TRIVIAL_CLEANUP(Sockets *, sockets_free);
