/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Explains why a scan of a proc root is incomplete. */

/* Returns a static text for users. It explains trouble, the error that made a scan incomplete; or, if that is
 * 0, why the folder root_fd may have no kernel thread: hidepid, another PID namespace, or not a proc
 * filesystem. Reads files that may block: must be called once per fault, not per scan. */
const char *proc_fault_reason(int root_fd, int trouble);
