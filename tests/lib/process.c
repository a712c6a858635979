/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Processes that a test starts: see process.h. */

#include "process.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "deadline.h"
#include "process-info.h"

typedef struct Child {
        const ProcessSettings *settings;
        pid_t parent;
        gid_t gid;
} Child;

static void die_with(pid_t parent) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
                _exit(EXIT_FAILURE);
}

/* Runs in the child before exec. The user first: changing it clears the parent death signal. */
static void set_up_child(gpointer data) {
        const Child *child = data;
        const ProcessSettings *settings = child->settings;
        uid_t uid = settings->uid;

        if (settings->network_fd > 0 && setns(settings->network_fd, CLONE_NEWNET) < 0)
                _exit(EXIT_FAILURE);
        if (uid != 0 && (setgroups(0, NULL) < 0 || setresgid(child->gid, child->gid, child->gid) < 0 ||
                         setresuid(uid, uid, uid) < 0))
                _exit(EXIT_FAILURE);
        die_with(child->parent);
}

gid_t group_of(uid_t uid) {
        const struct passwd *user = getpwuid(uid);

        g_assert_nonnull(user);
        return user->pw_gid;
}

static Process process_of(pid_t pid) {
        Process process = { .pid = pid, .pidfd = pidfd_open(pid, 0) };

        g_assert_no_errno(process.pidfd);
        return process;
}

Process process_start(
                const char *const *arguments,
                const ProcessSettings *settings,
                int *ret_stdout,
                int *ret_stderr) {
        GSpawnFlags flags = G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_SEARCH_PATH;
        Child child = { .settings = settings ?: &(ProcessSettings){}, .parent = getpid() };
        g_autoptr(GError) error = NULL;
        pid_t pid;

        if (child.settings->uid != 0)
                child.gid = group_of(child.settings->uid);
        if (!ret_stdout)
                flags |= G_SPAWN_STDOUT_TO_DEV_NULL;
        if (!ret_stderr && child.settings->drops_stderr)
                flags |= G_SPAWN_STDERR_TO_DEV_NULL;

        (void) g_spawn_async_with_pipes(
                        NULL, (char **) arguments, child.settings->environment, flags, set_up_child, &child,
                        &pid, NULL, ret_stdout, ret_stderr, &error);
        g_assert_no_error(error);
        return process_of(pid);
}

Process process_fork(void (*function)(const void *data), const void *data) {
        pid_t parent = getpid(), pid = fork();

        g_assert_no_errno(pid);
        if (pid > 0)
                return process_of(pid);

        die_with(parent);
        function(data);
        _exit(EXIT_SUCCESS);
}

/* Reports which process does not end, and where it waits: nothing else is left of it after the test. */
static void __attribute__((noreturn)) fail_waiting(int pidfd) {
        g_autofree char *file = g_strdup_printf("fdinfo/%d", pidfd), *name = NULL, *where = NULL,
                        *text = NULL;
        pid_t pid = (pid_t) process_number(getpid(), file, "Pid:");

        name = process_name(pid);
        where = process_text(pid, "wchan");
        text = process_describe(pid);
        g_test_message("%s", text);
        g_error("process %d (%s) does not end: it is in %s", (int) pid, name ?: "gone", where ?: "?");
}

void pidfd_wait(int pidfd, gint64 deadline_usec) {
        struct pollfd death = { .fd = pidfd, .events = POLLIN };

        if (poll(&death, 1, deadline_msec_left(deadline_usec)) != 1)
                fail_waiting(pidfd);
}

int process_wait_end(Process *process, gint64 deadline_usec) {
        int status;

        pidfd_wait(process->pidfd, deadline_usec);
        g_assert_cmpint(waitpid(process->pid, &status, 0), ==, process->pid);
        g_assert_no_errno(close(process->pidfd));
        *process = (Process){};
        return status;
}

void process_kill(Process *process, gint64 deadline_usec) {
        if (process->pid == 0)
                return;

        g_assert_no_errno(kill(process->pid, SIGKILL));
        (void) process_wait_end(process, deadline_usec);
}

void process_set_realtime(pid_t pid, bool realtime) {
        const struct sched_param parameter = { .sched_priority = realtime ? 2 : 0 };
        g_autofree char *path = g_strdup_printf("/proc/%d/task", (int) pid);
        g_autoptr(GDir) tasks = g_dir_open(path, 0, NULL);
        const char *task;

        g_assert_nonnull(tasks);
        while ((task = g_dir_read_name(tasks)))
                g_assert_no_errno(sched_setscheduler(
                                atoi(task), realtime ? SCHED_FIFO : SCHED_OTHER, &parameter));
}

/* Byte by byte: the data after the line is left to the next reader. */
static bool take_line(int fd, GString *line) {
        char c;

        g_string_truncate(line, 0);
        while (read(fd, &c, 1) == 1) {
                if (c == '\n')
                        return true;
                g_string_append_c(line, c);
        }

        return false;
}

char *read_line(int fd) {
        GString *line = g_string_new(NULL);

        (void) take_line(fd, line);
        return g_string_free(line, false);
}

char *read_line_with(int fd, const char *text) {
        g_autoptr(GString) line = g_string_new(NULL);

        while (take_line(fd, line))
                if (strstr(line->str, text))
                        return g_string_free(g_steal_pointer(&line), false);

        g_error("it ended without a line that has \"%s\" in it", text);
}
