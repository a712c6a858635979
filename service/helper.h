/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A helper process: it does one thing that may hang (sync(2), disk I/O), so that the daemon does not. It
 * exists beforehand, takes one request after the other over a SOCK_SEQPACKET socket pair and answers each
 * with one packet. It dies with its parent (PR_SET_PDEATHSIG); one that hangs in the kernel outlives it until
 * the hang ends, and holds nobody up meanwhile.
 */

#include <systemd/sd-event.h>

#include "macro.h"

#define HELPER_PACKET_MAX 16384

typedef struct Helper Helper;

/* Runs in the helper process: does the work, fills the reply (at most HELPER_PACKET_MAX bytes), and returns
 * its size. It may block for as long as it must. */
typedef size_t (*helper_serve_t)(const void *request, size_t size, void *reply, void *userdata);

/* Runs in the daemon. r >= 0: the reply to the oldest open request, size bytes. r < 0: the helper died
 * without an answer
 * (-EPIPE); a new one has been started already, or will be by the next helper_request(). */
typedef void (*helper_reply_t)(int r, const void *reply, size_t size, void *userdata);

/* Forks the helper. The process must have a single thread, and should be small. name becomes the helper's
 * process name (at most 15 bytes); in it, stdin, stdout and stderr are /dev/null, all other descriptors but
 * its socket are closed (so that serve must not log), and signals are as by default, SIGINT and SIGHUP
 * ignored. */
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
 * descriptors or of processes). To be called now and then, so that no request has to fork. */
void helper_ensure(Helper *helper);

/* Whether a request is open. */
bool helper_busy(const Helper *helper);

pid_t helper_pid(const Helper *helper);
