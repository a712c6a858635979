/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The inhibitors: who suspends automatic syncs at the moment. Each is the read end of a pipe that somebody
 * else has; the write end is here. Once the last copy of the read end is closed, the kernel reports an error
 * on the write end: see pipe(7) and EPOLLERR in epoll_ctl(2). Nobody can write into such a pipe, so that it
 * holds no memory but its own.
 */

#include <systemd/sd-event.h>

#include "macro.h"

#define INHIBITORS_MAX 64

/* Of one user other than root. */
#define INHIBITORS_PER_USER_MAX 16

/* Bytes of UTF-8 without control characters; who is not empty. */
#define INHIBITOR_WHO_MAX 255
#define INHIBITOR_WHY_MAX 255

typedef struct Inhibitor {
        char who[INHIBITOR_WHO_MAX + 1];
        char why[INHIBITOR_WHY_MAX + 1];
        uid_t uid;
        pid_t pid; /* of the process that made the call; 0: unknown */
        Moment since;
} Inhibitor;

typedef struct Inhibitors Inhibitors;

/* Called after one was released. */
typedef void (*inhibitors_released_t)(void *userdata);

/* Returns 0 or -ENOMEM. */
int inhibitors_new(sd_event *event, inhibitors_released_t on_released, void *userdata, Inhibitors **ret);
Inhibitors *inhibitors_free(Inhibitors *inhibitors);
DEFINE_TRIVIAL_CLEANUP(Inhibitors *, inhibitors_free);

/* Adds a copy of the inhibitor. It is held until every copy of the descriptor *ret_fd is closed, which the
 * caller owns. -EBUSY: there are INHIBITORS_MAX; -EDQUOT: INHIBITORS_PER_USER_MAX of its user; another
 * negative errno where the process or the machine has no descriptors or memory left. */
int inhibitors_add(Inhibitors *inhibitors, const Inhibitor *inhibitor, int *ret_fd);

/* Those that are held, the one held longest first. Valid until the next one comes or is released. */
size_t inhibitors_count(const Inhibitors *inhibitors);
const Inhibitor *inhibitors_get(const Inhibitors *inhibitors, size_t index);

/* Logs which are held, those held longest first, as far as a few lines suffice. */
void inhibitors_log_held(const Inhibitors *inhibitors);
