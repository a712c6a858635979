/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Requests priority for flush workers (flush-priority.h) from wbwatch-syncfs, which holds the capability for
 * it; or gives it itself, where nobody listens and this process has that capability. Never blocks.
 */

#include "flush-priority.h"

typedef struct SyncerPriority {
        const char *socket_path; /* of wbwatch-syncfs, or NULL */
        int fd;
        bool is_requested; /* the last request named workers */
        int last_error;    /* logged once until another one occurs */
        FlushPriority own; /* the workers that this process has raised by itself */
} SyncerPriority;

/* socket_path must outlive it. Without it, or without a socket, what can be done is done by this process. */
void priority_init(SyncerPriority *priority, const char *socket_path);

/* Goes through a request that names no worker. */
void priority_self_test(const SyncerPriority *priority);

/* Restores all nice values. */
void priority_done(SyncerPriority *priority);

/* Only these workers must have priority. With no workers all nice values are restored; that costs nothing if
 * none was changed. */
void priority_set(SyncerPriority *priority, const FlushWorkers *workers);
