/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* A proc tree in a temporary folder, as --proc-root takes it: for everything that a kernel cannot be asked to
 * show. */

#include "macro.h"

#include <glib.h>
#include <sys/types.h>

/* Flags (field 9 of stat) as they really are on a kworker, another kernel thread and a user process. */
#define FLAGS_WORKER 0x04208060u
#define FLAGS_KTHREAD 0x00208040u
#define FLAGS_USER 0x00400000u

/* What a thread in the tree has used unless it is given: fields 14 and 15 of stat together. */
#define FAKE_PROC_CPU_TICKS 7

typedef struct FakeProc {
        char *root;
} FakeProc;

/* With kthreadd alone, and an empty list of its children. */
FakeProc fake_proc_new(void);
void fake_proc_done(FakeProc *proc);
#define _cleanup_fake_proc_ _cleanup_(fake_proc_done)

/* Writes a file below the root into a new one that then takes its place, and removes a file or an empty
 * folder. */
void fake_proc_write(const FakeProc *proc, const char *name, const char *text, size_t size);
void fake_proc_remove(const FakeProc *proc, const char *name);

/* A thread. Its state is D unless another is given. */
typedef struct FakeThread {
        pid_t pid;
        const char *name;
        unsigned flags;
        unsigned long start_time; /* in clock ticks, like the next */
        unsigned long cpu_time;
        char state;
} FakeThread;

/* Writes its comm and stat, new or over what was there. */
void fake_proc_put(const FakeProc *proc, const FakeThread *thread);

/* The text of a thread's stat; to be freed. */
char *fake_thread_stat_text(const FakeThread *thread);

/* The same for one in state D that has used FAKE_PROC_CPU_TICKS. */
char *fake_proc_stat_text(pid_t pid, const char *name, unsigned flags, unsigned long start_time);

void fake_proc_write_comm(const FakeProc *proc, pid_t pid, const char *name);
void fake_proc_write_stat(const FakeProc *proc, pid_t pid, const char *text, size_t size);

/* fake_proc_put() for one in state D that has used FAKE_PROC_CPU_TICKS. */
void fake_proc_add(
                const FakeProc *proc,
                pid_t pid,
                const char *name,
                unsigned flags,
                unsigned long start_time);

/* What kthreadd's list of children says: pids, each with a space behind it. */
void fake_proc_list(const FakeProc *proc, const char *pids);
