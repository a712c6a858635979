/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * wbctl on the host of the command line, run by ssh: for verbs that read files of the machine, and for the
 * inhibitor, whose descriptor ssh does not pass. The other verbs need no wbctl there.
 */

#include <glib.h>
#include <sys/types.h>

#include "macro.h"

/* Starts `wbctl WORDS...` there; sh leaves the words as they are. input_fd, output_fd: its stdin and stdout,
 * which stay the caller's; it shares stderr. is_steady: signals to the process group of the terminal or the
 * service do not end it. It ends with the caller. Negative errno. */
int remote_start(const char *const *words, int input_fd, int output_fd, bool is_steady, pid_t *ret);

/* Waits for its end, and ends it after the timeout; USEC_INFINITY: there is none. Returns its exit status, or
 * 128 plus the signal that ended it. */
int remote_wait(pid_t pid, uint64_t timeout_usec);

/* Runs the words without input. Their stdout is this one's; or is read into *output, up to max bytes. Returns
 * the exit status, or negative errno. */
int remote_run(const char *const *words, GByteArray *output, size_t max);

/* The words for a status or error of these functions where that is a failure (0: it ended too early), to be
 * freed. They name the host; the reason, ssh, the shell or wbctl there has printed on stderr. */
char *remote_explain(int status);
