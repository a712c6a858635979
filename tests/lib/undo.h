/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Undoes what must not be left behind, however a test ends: a separate process does it when the test requests
 * it or is gone.
 */

#include "macro.h"

#include <sys/types.h>

typedef struct Undo {
        pid_t pid; /* 0: nothing to undo */
        int fd;
} Undo;

/* The function may only make system calls: it runs in a fork of a program that may have threads. */
Undo undo_later(void (*function)(const void *data), const void *data);

/* Runs the function now, and returns when it has ended. */
void undo_now(Undo *undo);
