/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A kernel worker that is really stuck, and with it every sync(2) of the machine, and every syncfs(2) of its
 * filesystem: tests/stuck-kworker, from C. The worker waits (state D). It lets go when the test dies, too.
 */

#include "macro.h"

#include <sys/types.h>

typedef struct StuckWorker {
        pid_t pid;
        int stdin_fd, stdout_fd;
} StuckWorker;

/* Sets one up, which is let go after hold_sec at the latest. The first returns before it is stuck: that is
 * when the script says "stuck". */
void stuck_worker_start(StuckWorker *stuck, unsigned hold_sec);
void stuck_worker_begin(StuckWorker *stuck, unsigned hold_sec);

/* The first asks for it; the second waits until all is released. */
void stuck_worker_ask_to_let_go(StuckWorker *stuck);
void stuck_worker_let_go(StuckWorker *stuck);

/* Waits for the next line of the script, which has to be this one. */
void stuck_worker_wait_line(const StuckWorker *stuck, const char *expected);

/* Loop devices whose image is one of ours. */
unsigned stuck_worker_count_devices(void);

/* Whether a process is in sync(2), or in syncfs(2), now. */
bool is_in_sync(pid_t pid);
bool is_in_syncfs(pid_t pid);
