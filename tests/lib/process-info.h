/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* What /proc says about a process. The process must exist, unless a function says otherwise. */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The text of /proc/PID/FILE, to be freed; NULL if the process is gone. */
char *process_text(pid_t pid, const char *file);

/* What the process does, and each of its children: for the message of a test that fails. To be freed. */
char *process_describe(pid_t pid);

/* The number of a key ("VmHWM:") in status, or in another file of that form, in the unit of the file. */
uint64_t process_status_number(pid_t pid, const char *key);
uint64_t process_number(pid_t pid, const char *file, const char *key);

/* The same for a set of signals or capabilities ("SigBlk:", "CapEff:"). */
uint64_t process_status_mask(pid_t pid, const char *key);

/* The number of major page faults of a process: those that read from a disk. */
uint64_t process_reading_faults(pid_t pid);

/* The first returns its name (comm, at most 15 bytes), to be freed; NULL if it is gone. The second compares
 * it. */
char *process_name(pid_t pid);
bool process_is_called(pid_t pid, const char *name);

/* Whether it has ended, and nobody has reaped it yet. */
bool process_is_zombie(pid_t pid);

/* Its children (pid_t) with this name; NULL: all. To be freed. */
GArray *process_children(pid_t pid, const char *name);

/* The child that the calling thread started last. */
pid_t youngest_child(void);

/* Whether it is in this system call (SYS_*) now. False if it is gone. */
bool process_is_in_call(pid_t pid, long number);
