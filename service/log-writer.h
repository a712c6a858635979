/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* A process that copies a pipe to stderr. It may hang in write(2); the daemon, at the other end of the pipe,
 * does not. */

#include "child.h"

typedef struct LogWriter {
        int pipe_fd; /* non-blocking; negative: no writer */
        Child child;
} LogWriter;

#define LOG_WRITER_NONE ((LogWriter){ .pipe_fd = -EBADF, .child = CHILD_NONE })

/* Starts the process. It exits once the pipe is closed and everything in it is written. */
int log_writer_start(LogWriter *ret);

/* Closes the pipe, and waits briefly for the process to exit. A process that hangs exits when its hang ends.
 * Sets *writer to LOG_WRITER_NONE. */
void log_writer_stop(LogWriter *writer);
