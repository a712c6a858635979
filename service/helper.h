/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A helper process. It does one thing that may hang (sync(2), disk I/O), so that the daemon does not hang. It
 * is started before it is needed, receives one request at a time over a SOCK_SEQPACKET socket, and answers
 * each with one packet. It is either a fork of the daemon and dies with it (PR_SET_PDEATHSIG), or forked by
 * another program for each connection to that program's socket. A helper that hangs in the kernel outlives
 * the daemon until the hang ends, without blocking anything.
 */

#include <systemd/sd-event.h>

#include "serve.h"

typedef struct Helper Helper;

/* Runs in the daemon. r >= 0: the reply to the pending request, size bytes. r < 0: the helper died before it
 * answered (-EPIPE); a new one has been started, or will be by helper_ensure() or helper_request(). */
typedef void (*helper_reply_t)(int r, const void *reply, size_t size, void *userdata);

typedef struct HelperOptions {
        const char *name;        /* process name of a forked helper, at most CHILD_NAME_MAX bytes */
        const char *socket_path; /* each connection to it is a helper; forks if nothing listens there, or NULL
                                  */
        helper_serve_t serve;    /* runs in a forked helper: see serve_run() */
        void (*prepare)(void);   /* runs first in a forked helper, or NULL */
        helper_reply_t on_reply;
        void *userdata;   /* of serve and on_reply */
        int64_t priority; /* in the event loop */
} HelperOptions;

/* Starts a helper. May fork, so the process must have a single thread and should be small. The strings of the
 * options must outlive the helper. */
int helper_new_full(sd_event *event, const HelperOptions *options, Helper **ret);

/* Between these calls helpers are not forked; the second forks them in a row. They share more memory then,
 * since nothing is written between the forks. If it fails, all must be freed. */
#define HELPERS_COLLECTED_MAX 16
void helpers_collect(void);
int helpers_start(void);

/* Starts a helper that is always forked. */
int helper_new(sd_event *event,
               const char *name,
               helper_serve_t serve,
               helper_reply_t on_reply,
               void *userdata,
               Helper **ret);

/* Does not wait for a pending request: a hanging helper exits when its hang ends. An idle helper exits within
 * microseconds, and is reaped if it exits within 10 ms. */
Helper *helper_free(Helper *helper);
DEFINE_TRIVIAL_CLEANUP(Helper *, helper_free);

/* Sends a request. Does not block or allocate. -EBUSY while a request is pending. If the helper has died,
 * starts a new one first, which may fork. */
int helper_request(Helper *helper, const void *request, size_t size);

/* Starts a new helper if the last one died and could not be replaced (no memory, descriptors or processes
 * left). Must be called regularly, so that requests need not fork. Reaps helpers that were freed before they
 * exited. */
void helper_ensure(Helper *helper);

/* To be called in on_reply. Returns the descriptor that came with the reply, now owned by the caller, or
 * -EBADF. */
int helper_acquire_attached(Helper *helper);

/* Whether the helper was forked by another program. */
bool helper_is_remote(const Helper *helper);
