/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A real stuck kernel worker, made by tests/stuck-kworker. It waits (state D). Meanwhile every sync(2) of the
 * machine and every syncfs(2) of its filesystem hang. It is released when the test dies, too.
 */

#include "macro.h"

#include <glib.h>
#include <sys/types.h>

typedef struct StuckWorker {
        pid_t pid;
        int stdin_fd, stdout_fd;
} StuckWorker;

/* Creates a stuck worker, released after hold_sec at the latest. The first returns before it is stuck; it is
 * stuck when the script prints "stuck". */
void stuck_worker_start(StuckWorker *stuck, unsigned hold_sec);
void stuck_worker_begin(StuckWorker *stuck, unsigned hold_sec);

/* The first requests the release; the second waits until everything is released. */
void stuck_worker_ask_to_let_go(StuckWorker *stuck);
void stuck_worker_let_go(StuckWorker *stuck);

/* Waits for the next line of the script; it must be this one. */
void stuck_worker_wait_line(const StuckWorker *stuck, const char *expected);

/* The loop devices that belong to the script. */
unsigned stuck_worker_count_devices(void);

/* Whether a process is in sync(2), or in syncfs(2), now. */
bool is_in_sync(pid_t pid);
bool is_in_syncfs(pid_t pid);

/* Waits until it is: a helper gets its request a moment before it enters the system call. */
void wait_in_sync(pid_t pid, gint64 deadline_usec);
