/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * What must not be left behind, however a test ends: a process of its own undoes it once the test asks for
 * that, or is gone.
 */

#include "macro.h"

#include <sys/types.h>

typedef struct Undo {
        pid_t pid; /* 0: nothing to undo */
        int fd;
} Undo;

/* function may use nothing but system calls: it runs in a fork of a program that may have threads. */
Undo undo_later(void (*function)(const void *data), const void *data);

/* Undoes it, and returns when that is done. */
void undo_now(Undo *undo);
