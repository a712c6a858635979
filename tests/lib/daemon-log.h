/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The daemon's log, across restarts: a thread reads it, keeps it, and copies it to stderr. */

#include <glib.h>

typedef struct DaemonLog {
        GThread *reader; /* NULL: no daemon runs */
        int fd;          /* the pipe it reads */
        GMutex lock;     /* for the text; while it is held the log is not read */
        GCond more;
        GString *text;
} DaemonLog;

void daemon_log_init(DaemonLog *log);
void daemon_log_done(DaemonLog *log);

/* Reads from a pipe, and owns it, until its last writer is gone; the second waits for that. */
void daemon_log_begin(DaemonLog *log, int fd);
void daemon_log_end(DaemonLog *log);

/* Waits until this text has been logged, or fails the test. */
void daemon_log_wait(DaemonLog *log, const char *text, gint64 deadline_usec);
