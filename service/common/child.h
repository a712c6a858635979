/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* A child process: a fork without an exec, from its start to its end. Needs nothing but the C library. */

#include <sys/types.h>

#include "macro.h"

/* PR_SET_NAME cuts at 15 bytes. */
#define CHILD_NAME_MAX 15

/* The first descriptor that is neither stdin, stdout nor stderr. */
#define CHILD_FD 3

typedef struct ChildOptions {
        const char *name;            /* of the process, at most CHILD_NAME_MAX bytes */
        int fd;                      /* the child has it as CHILD_FD; all its other descriptors are closed */
        int input_fd;                /* the child's stdin; 0: /dev/null */
        bool keeps_stderr;           /* else stderr is /dev/null, as stdout is */
        bool outlives_parent;        /* and ignores SIGTERM; else it is killed when its parent dies */
        void (*run)(void *userdata); /* what the child does; its exit status is 0 when this returns */
        void *userdata;
} ChildOptions;

/* Forks. The process must have a single thread. The child has no signal handlers, blocks none, and ignores
 * SIGINT and SIGHUP: what a terminal sends to all its processes is the parent's business. It leaves with
 * _exit(): what the parent registered for its own exit must not run. Negative errno in the parent. */
int child_fork(const ChildOptions *options, pid_t *ret);

/* A child that its parent watches. pid is 0 where there is none. */
typedef struct Child {
        pid_t pid;
        int pidfd; /* readable once the child has ended */
} Child;

#define CHILD_NONE ((Child){ .pidfd = -EBADF })

/* Forks a child, and opens its pidfd. Where that fails, the caller closes the other end of the child's fd. */
int child_start(const ChildOptions *options, Child *ret);

/* Never waits, and does not reap. */
bool child_has_ended(const Child *child);

/* Leaves a child to its end, and *child is CHILD_NONE: waits so long for it, and reaps it. Where it takes
 * longer, child_reap_left() reaps it, so that no zombie stays, and nobody waits for one that hangs. */
void child_leave(Child *child, int wait_msec);
void child_reap_left(void);
