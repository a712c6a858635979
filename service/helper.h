/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A helper process: it does one thing that may hang (sync(2), disk I/O), so that the daemon does not. It
 * exists beforehand, takes one request after the other over a SOCK_SEQPACKET socket and answers each with one
 * packet. It is a fork of the daemon and dies with it (PR_SET_PDEATHSIG), or one that another program forks
 * for each connection to its socket. One that hangs in the kernel outlives its daemon until the hang ends,
 * and holds nobody up meanwhile.
 */

#include <systemd/sd-event.h>

#include "serve.h"

typedef struct Helper Helper;

/* Runs in the daemon. r >= 0: the reply to the open request, size bytes. r < 0: the helper died without an
 * answer (-EPIPE); a new one has been started already, or will be by the next helper_request(). */
typedef void (*helper_reply_t)(int r, const void *reply, size_t size, void *userdata);

typedef struct HelperOptions {
        const char *name;        /* of a forked one: its process name, at most HELPER_NAME_MAX bytes */
        const char *socket_path; /* each connection to it is a helper; nobody listens, or NULL: fork */
        helper_serve_t serve;    /* runs in a forked one: see serve_run() */
        void (*prepare)(void);   /* runs in a forked one first, or NULL */
        helper_reply_t on_reply;
        void *userdata;   /* of serve and on_reply */
        int64_t priority; /* in the event loop */
} HelperOptions;

/* Starts the helper. The process must have a single thread, and should be small, since it may fork. The
 * strings of the options must outlive the helper. */
int helper_new_full(sd_event *event, const HelperOptions *options, Helper **ret);

/* Starts n of them, HELPERS_AT_ONCE_MAX at most: none unless all can be started. Those that are forked share
 * more memory than those of single calls: nothing is written between the forks. */
#define HELPERS_AT_ONCE_MAX 16
int helper_new_many(sd_event *event, const HelperOptions *options, size_t n, Helper **ret);

/* One that is always forked. */
int helper_new(sd_event *event,
               const char *name,
               helper_serve_t serve,
               helper_reply_t on_reply,
               void *userdata,
               Helper **ret);

/* Frees without waiting for a request under way: a hanging helper ends when its hang ends. An idle one ends
 * in microseconds, and is reaped when it does so within 10 ms. */
Helper *helper_free(Helper *helper);
DEFINE_TRIVIAL_CLEANUP(Helper *, helper_free);

/* Sends a request; never blocks and does not allocate. One at a time: -EBUSY while one is open. A helper that
 * died is replaced first, which forks. */
int helper_request(Helper *helper, const void *request, size_t size);

/* Starts a helper where there is none, since none could be started when the last one died (out of memory, of
 * descriptors or of processes). Must be called now and then, so that no request has to fork. Reaps
 * helpers that were freed before they had ended. */
void helper_ensure(Helper *helper);

/* Whether a request is open. */
bool helper_busy(const Helper *helper);

/* In on_reply: takes the descriptor that came with the reply, or -EBADF. */
int helper_take_attached(Helper *helper);

/* Whether it was forked by another program. */
bool helper_is_remote(const Helper *helper);

/* Of a forked one; 0 where there is none, or another program forked it. */
pid_t helper_pid(const Helper *helper);
