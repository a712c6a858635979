/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * wbctl on the host of the command line, run by ssh: for verbs that read files of the machine, and for the
 * inhibitor, whose descriptor ssh does not pass. The other verbs need no wbctl there.
 */

#include <sys/types.h>

#include "macro.h"

/* Starts `wbctl WORDS...` there; the shell of the host changes none of the words. stdin_fd, stdout_fd: what
 * the program has, which stay the caller's; it shares stderr. is_steady: it survives a SIGINT and SIGQUIT of
 * the terminal. It ends with the caller. Negative errno. */
int remote_start(const char *const *words, int stdin_fd, int stdout_fd, bool is_steady, pid_t *ret);

/* Waits for its end, and ends it after the timeout; USEC_INFINITY: there is none. Returns its exit status,
 * 128 plus the signal that ended it, or -ETIMEDOUT. */
int remote_wait(pid_t pid, uint64_t timeout_usec);

/* The words for what remote_start() and remote_wait() returned, where wbctl there did not print its own; to
 * be freed. NULL if it did. */
char *remote_explain(int status);

/* Runs the words with this program's stdin, waits, and reports what is wrong on stderr. Returns the exit
 * status there; status_failed if none came from there. */
int remote_run(const char *const *words, int stdout_fd, int status_failed);
