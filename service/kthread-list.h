/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The list of the kernel threads in a proc root. */

#include "proc-files.h"

#define KTHREADD_PID 2

typedef struct KthreadList {
        pid_t *pids; /* sorted, without duplicates */
        size_t n_pids;
        bool kthreads_only; /* no user processes are in the list */

        size_t n_allocated;
        int children_fd; /* kept open, or negative */
        char *buffer;
} KthreadList;

#define KTHREAD_LIST_NONE ((KthreadList){ .children_fd = -EBADF })

/* Returns 0 or -ENOMEM. kthread_list_done() may be called either way. */
int kthread_list_init(KthreadList *list);
void kthread_list_done(KthreadList *list);

/* Reads the children of kthreadd, so that the cost does not grow with the number of user processes. If that
 * list is absent or hidden, lists all processes. Returns negative errno if the list is incomplete; it then
 * holds what was listed before the error. Errors are recorded in files. Allocates only if there are more
 * threads than ever before. */
int kthread_list_read(KthreadList *list, ProcFiles *files);
