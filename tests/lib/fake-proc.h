/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* A proc tree in a temporary folder, for --proc-root: for contents that a real kernel does not show on
 * demand. */

#include "macro.h"

#include <glib.h>
#include <sys/types.h>

/* Real flags (field 9 of stat) of a kworker, another kernel thread and a user process. */
#define FLAGS_WORKER 0x04208060u
#define FLAGS_KTHREAD 0x00208040u
#define FLAGS_USER 0x00400000u

/* The default CPU time of a thread: the sum of fields 14 and 15 of stat. */
#define FAKE_PROC_CPU_TICKS 7

typedef struct FakeProc {
        char *root;
} FakeProc;

/* A tree with kthreadd alone, and an empty list of its children. */
FakeProc fake_proc_new(void);
void fake_proc_done(FakeProc *proc);
#define _cleanup_fake_proc_ _cleanup_(fake_proc_done)

/* The first replaces a file below the root by a new one; the second removes a file or an empty folder. */
void fake_proc_write(const FakeProc *proc, const char *name, const char *text, size_t size);
void fake_proc_remove(const FakeProc *proc, const char *name);

/* A thread. Its default state is D. */
typedef struct FakeThread {
        pid_t pid;
        const char *name;
        unsigned flags;
        unsigned long start_time; /* in clock ticks, like the next */
        unsigned long cpu_time;
        char state;
} FakeThread;

/* Writes its comm and stat, or replaces them. */
void fake_proc_put(const FakeProc *proc, const FakeThread *thread);

/* Starts a process that waits to be killed: it stands for a thread whose attributes are set. Its nice value
 * is 0, if that is permitted. */
pid_t fake_thread_process(void);

/* The text of a thread's stat; to be freed. */
char *fake_thread_stat_text(const FakeThread *thread);

/* The same for a thread in state D that has used FAKE_PROC_CPU_TICKS. */
char *fake_proc_stat_text(pid_t pid, const char *name, unsigned flags, unsigned long start_time);

void fake_proc_write_comm(const FakeProc *proc, pid_t pid, const char *name);
void fake_proc_write_stat(const FakeProc *proc, pid_t pid, const char *text, size_t size);

/* fake_proc_put() for a thread in state D that has used FAKE_PROC_CPU_TICKS. */
void fake_proc_add(
                const FakeProc *proc,
                pid_t pid,
                const char *name,
                unsigned flags,
                unsigned long start_time);

/* Writes kthreadd's list of children: pids, each followed by a space. */
void fake_proc_list(const FakeProc *proc, const char *pids);
