/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Has the flush workers get priority (flush-priority.h): by wbwatch-syncfs, which holds the capability for
 * it; or by itself, where nobody listens and this process has that capability. Never blocks.
 */

#include "flush-priority.h"

typedef struct SyncerPriority {
        const char *socket_path; /* of wbwatch-syncfs, or NULL */
        int fd;
        bool is_given;     /* to at least one worker, by the last request */
        int last_error;    /* of the last request, said once until it changes */
        FlushPriority own; /* what this process gave by itself */
} SyncerPriority;

/* socket_path must outlive it. Without it, or without a socket, what can be done is done by this process. */
void priority_init(SyncerPriority *priority, const char *socket_path);

/* Goes through a request that names no worker. */
void priority_rehearse(const SyncerPriority *priority);

/* Takes priority back from all. */
void priority_done(SyncerPriority *priority);

/* Only these shall have priority. With no workers: all get back what they had; costs nothing if none has
 * priority. */
void priority_set(SyncerPriority *priority, const FlushWorkers *workers);
