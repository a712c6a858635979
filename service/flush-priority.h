/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Priority for flush workers, which write filesystems back. In the first pass of a syncfs(2) they compete
 * with the stuck workers for a lock and for the CPUs, and may need 10 s and more for what otherwise takes
 * half a second: see docs/detection.md. So they get a low nice value while a sync is under way, and then
 * their own one again; and so do idle workers that may flush next, since one that begins without it waits for
 * a CPU behind the whole crowd. The kernel gives a worker its nice value once, when it creates the thread
 * (kernel/workqueue.c: create_worker(), worker_attach_to_pool()), and keeps whatever is set later.
 *
 * It takes CAP_SYS_NICE, which the service lacks: wbwatch-syncfs.c does it then. Nothing here blocks. Needs
 * only the C library.
 */

#include "worker.h"

/* Where wbwatch-syncfs.socket receives datagrams, each a FlushWorkers: those that must have priority now. */
#define FLUSH_PRIORITY_SOCKET "/run/wbwatch-syncfs/priority"

/* After this time without a datagram the sender is taken for dead, until the next one. */
#define FLUSH_PRIORITY_LEASE_USEC (5 * USEC_PER_SEC)

/* Nearly the lowest nice value, thus nearly the highest priority (setpriority(2)). The kernel's own ones are
 * 0 and -20. So a worker that has it was left with it by a program that was killed, unless an administrator
 * chose just that for the workqueue; it gets 0. */
#define FLUSH_PRIORITY_NICE (-19)

/* Which workers have been raised. All zero: none. */
typedef struct FlushPriority {
        const char *proc_root; /* NULL: /proc */
        size_t n;
        struct {
                pid_t pid;
                uint64_t start_time;
                int nice; /* what it had before */
        } raised[FLUSH_WORKERS_MAX];
} FlushPriority;

/* Gives these workers priority, and restores the nice values of all others that have it; where that fails the
 * next call tries again. What is no kernel worker that flushes or may flush next, or whose nice value
 * somebody else has changed, is left alone. Returns the negative errno of the first that failed: -EPERM or
 * -EACCES without the capability, or where /proc hides the worker (hidepid=). */
int flush_priority_set(FlushPriority *priority, const FlushWorkers *workers);

/* Receives all datagrams that wait, and executes the last one. Returns as flush_priority_set(), -EBADMSG for
 * one that is malformed, or -EAGAIN if there is none. */
int flush_priority_receive(FlushPriority *priority, int fd);

/* Makes the system calls without an effect: a filter that forbids them shows itself, and the code is in
 * memory from then on. */
void flush_priority_self_test(void);
