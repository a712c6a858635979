/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A proc tree in a temporary folder: see fake-proc.h. */

#include "fake-proc.h"

#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        g_assert_cmpint(remove(path), ==, 0);
        return 0;
}

FakeProc fake_proc_new(void) {
        FakeProc proc = { .root = g_dir_make_tmp("wbwatch-proc-XXXXXX", NULL) };

        g_assert_nonnull(proc.root);
        fake_proc_add(&proc, 2, "kthreadd", FLAGS_KTHREAD, 0);
        fake_proc_list(&proc, "");
        return proc;
}

void fake_proc_done(FakeProc *proc) {
        g_assert_cmpint(nftw(proc->root, remove_entry, 16, FTW_DEPTH | FTW_PHYS), ==, 0);
        g_free(proc->root);
}

void fake_proc_write(const FakeProc *proc, const char *name, const char *text, size_t size) {
        g_autofree char *path = g_build_filename(proc->root, name, NULL);
        g_autofree char *folder = g_path_get_dirname(path);

        g_assert_cmpint(g_mkdir_with_parents(folder, 0755), ==, 0);
        g_assert_true(g_file_set_contents_full(
                        path, text, (gssize) size, G_FILE_SET_CONTENTS_CONSISTENT, 0644, NULL));
}

void fake_proc_remove(const FakeProc *proc, const char *name) {
        g_autofree char *path = g_build_filename(proc->root, name, NULL);

        g_assert_cmpint(remove(path), ==, 0);
}

pid_t fake_thread_process(void) {
        pid_t pid, test = getpid();

        pid = fork();
        g_assert_no_errno(pid);
        if (pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                while (getppid() == test)
                        (void) pause();
                _exit(EXIT_SUCCESS);
        }

        (void) setpriority(PRIO_PROCESS, (id_t) pid, 0);
        return pid;
}

char *fake_thread_stat_text(const FakeThread *thread) {
        unsigned long user = thread->cpu_time / 2;

        return g_strdup_printf(
                        "%d (%s) %c 2 0 0 0 -1 %u 0 0 0 0 %lu %lu 0 0 20 0 1 0 %lu 0 0 18446744073709551615 "
                        "0 "
                        "0 0 0 0 0 0 2147483647 0 1 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
                        (int) thread->pid, thread->name, thread->state ?: 'D', thread->flags, user,
                        thread->cpu_time - user, thread->start_time);
}

char *fake_proc_stat_text(pid_t pid, const char *name, unsigned flags, unsigned long start_time) {
        return fake_thread_stat_text(&(FakeThread){
                        .pid = pid,
                        .name = name,
                        .flags = flags,
                        .start_time = start_time,
                        .cpu_time = FAKE_PROC_CPU_TICKS,
        });
}

void fake_proc_write_comm(const FakeProc *proc, pid_t pid, const char *name) {
        g_autofree char *file = g_strdup_printf("%d/comm", (int) pid);
        g_autofree char *text = g_strdup_printf("%s\n", name);

        fake_proc_write(proc, file, text, strlen(text));
}

void fake_proc_write_stat(const FakeProc *proc, pid_t pid, const char *text, size_t size) {
        g_autofree char *file = g_strdup_printf("%d/stat", (int) pid);

        fake_proc_write(proc, file, text, size);
}

void fake_proc_put(const FakeProc *proc, const FakeThread *thread) {
        g_autofree char *text = fake_thread_stat_text(thread);

        fake_proc_write_comm(proc, thread->pid, thread->name);
        fake_proc_write_stat(proc, thread->pid, text, strlen(text));
}

void fake_proc_add(
                const FakeProc *proc,
                pid_t pid,
                const char *name,
                unsigned flags,
                unsigned long start_time) {
        fake_proc_put(proc, &(FakeThread){
                                            .pid = pid,
                                            .name = name,
                                            .flags = flags,
                                            .start_time = start_time,
                                            .cpu_time = FAKE_PROC_CPU_TICKS,
                            });
}

void fake_proc_list(const FakeProc *proc, const char *pids) {
        fake_proc_write(proc, "2/task/2/children", pids, strlen(pids));
}
