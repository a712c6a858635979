/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A stuck kernel worker: see stuck-worker.h. */

#include "stuck-worker.h"

#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "process-info.h"
#include "process.h"
#include "surroundings.h"

void stuck_worker_wait_line(const StuckWorker *stuck, const char *expected) {
        g_autofree char *line = read_line(stuck->stdout_fd);

        g_assert_cmpstr(line, ==, expected);
}

void stuck_worker_start(StuckWorker *stuck, unsigned hold_sec) {
        g_autofree char *script = fixture_source_file("tests/stuck-kworker");
        g_autofree char *seconds = g_strdup_printf("%u", hold_sec);
        const char *const arguments[] = { script, seconds, NULL };
        g_autoptr(GError) error = NULL;

        (void) g_spawn_async_with_pipes(
                        NULL, (char **) arguments, NULL,
                        G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_LEAVE_DESCRIPTORS_OPEN, NULL, NULL, &stuck->pid,
                        &stuck->stdin_fd, &stuck->stdout_fd, NULL, &error);
        g_assert_no_error(error);
}

void stuck_worker_begin(StuckWorker *stuck, unsigned hold_sec) {
        stuck_worker_start(stuck, hold_sec);
        stuck_worker_wait_line(stuck, "stuck");
}

void stuck_worker_ask_to_let_go(StuckWorker *stuck) {
        g_assert_no_errno(close(stuck->stdin_fd));
        stuck->stdin_fd = -EBADF;
}

void stuck_worker_let_go(StuckWorker *stuck) {
        if (stuck->stdin_fd >= 0)
                stuck_worker_ask_to_let_go(stuck);
        stuck_worker_wait_line(stuck, "released");
        g_assert_no_errno(close(stuck->stdout_fd));
        g_assert_no_errno(waitpid(stuck->pid, NULL, 0));
        *stuck = (StuckWorker){};
}

unsigned stuck_worker_count_devices(void) {
        g_autoptr(GDir) blocks = g_dir_open("/sys/block", 0, NULL);
        const char *name;
        unsigned n = 0;

        while ((name = g_dir_read_name(blocks))) {
                g_autofree char *path = g_strdup_printf("/sys/block/%s/loop/backing_file", name),
                                *image = NULL;

                if (g_file_get_contents(path, &image, NULL, NULL) && strstr(image, "stuck-kworker."))
                        n++;
        }

        return n;
}

bool is_in_sync(pid_t pid) {
        return process_is_in_call(pid, SYS_sync);
}

bool is_in_syncfs(pid_t pid) {
        return process_is_in_call(pid, SYS_syncfs);
}

void wait_in_sync(pid_t pid, gint64 deadline_usec) {
        while (!is_in_sync(pid)) {
                g_assert_cmpint(g_get_monotonic_time(), <, deadline_usec);
                (void) sched_yield();
        }
}
