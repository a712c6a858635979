/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "remote.h"

#include <glib.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "connection.h"
#include "destination.h"

/* Of the shell there: it finds no such program. Higher ones are those of signals, and of an ssh that has no
 * connection. */
#define EXIT_NOT_FOUND 127
#define EXIT_SSH_FAILED 255

/* ssh */

/* The parts of [USER@]HOST[:PORT][/CONTAINER], which was checked. login is USER@HOST, without the brackets of
 * an IPv6 address. */
static void split_host(const char *text, char **ret_login, char **ret_port, char **ret_container) {
        g_autoptr(GRegex) regex = g_regex_new(
                        "^([^/]*@)?(?:\\[([^/]*)\\]|([^:/]*))(?::([0-9]+))?(?:/(.*))?$", 0, 0, NULL);
        g_autoptr(GMatchInfo) match = NULL;
        g_autofree char *user = NULL, *address = NULL, *name = NULL;

        (void) g_regex_match(regex, text, 0, &match);
        user = g_match_info_fetch(match, 1);
        address = g_match_info_fetch(match, 2);
        name = g_match_info_fetch(match, 3);
        *ret_login = g_strconcat(user ?: "", address ?: "", name ?: "", NULL);
        *ret_port = g_match_info_fetch(match, 4);
        *ret_container = g_match_info_fetch(match, 5);
}

/* The shell of the host gets one line. */
static char *command_line(const char *container, const char *const *words) {
        GString *line = g_string_new("wbctl");

        if (container && *container)
                g_string_append_printf(line, " --machine=%s", container);
        for (; *words; words++) {
                g_autofree char *quoted = g_shell_quote(*words);

                g_string_append_printf(line, " %s", quoted);
        }
        return g_string_free(line, FALSE);
}

/* As libsystemd calls it: no X11, no terminal. */
static char **ssh_arguments(const char *const *words) {
        g_autofree char *login = NULL, *port = NULL, *container = NULL;
        GPtrArray *arguments = g_ptr_array_new();

        split_host(destination_get()->name, &login, &port, &container);
        g_ptr_array_add(arguments, g_strdup("ssh"));
        g_ptr_array_add(arguments, g_strdup("-xT"));
        if (port && *port) {
                g_ptr_array_add(arguments, g_strdup("-p"));
                g_ptr_array_add(arguments, g_strdup(port));
        }
        g_ptr_array_add(arguments, g_strdup("--"));
        g_ptr_array_add(arguments, g_steal_pointer(&login));
        g_ptr_array_add(arguments, command_line(container, words));
        g_ptr_array_add(arguments, NULL);
        return (char **) g_ptr_array_free(arguments, FALSE);
}

/* In the child. It stays in the terminal's foreground, where it may ask for a password. */
static void execute(char **arguments, int stdin_fd, int stdout_fd, bool is_steady) {
        (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (is_steady) {
                (void) signal(SIGINT, SIG_IGN);
                (void) signal(SIGQUIT, SIG_IGN);
        }
        if (dup2(stdin_fd, STDIN_FILENO) >= 0 && dup2(stdout_fd, STDOUT_FILENO) >= 0)
                (void) execvp(arguments[0], arguments);
        complain("Cannot run ssh: %s.", g_strerror(errno));
        _exit(EXIT_SSH_FAILED);
}

int remote_start(const char *const *words, int stdin_fd, int stdout_fd, bool is_steady, pid_t *ret) {
        g_auto(GStrv) arguments = ssh_arguments(words);
        pid_t pid = fork();

        if (pid < 0)
                return -errno;
        if (pid == 0)
                execute(arguments, stdin_fd, stdout_fd, is_steady);
        *ret = pid;
        return 0;
}

/* Returns whether the process ended in time. */
static bool wait_end(pid_t pid, uint64_t timeout_usec) {
        uint64_t deadline_usec = usec_add(usec_now(CLOCK_MONOTONIC), timeout_usec), left_usec;
        _cleanup_close_ int fd = pidfd_open(pid, 0);
        struct pollfd end = { .fd = fd, .events = POLLIN };
        int r = 0;

        while (r == 0 || (r < 0 && errno == EINTR)) {
                left_usec = usec_subtract(deadline_usec, usec_now(CLOCK_MONOTONIC));
                if (left_usec == 0)
                        return false;
                r = poll(&end, 1, (int) (MIN(left_usec, USEC_PER_MINUTE) / USEC_PER_MSEC) + 1);
        }
        return true;
}

int remote_wait(pid_t pid, uint64_t timeout_usec) {
        bool in_time = wait_end(pid, timeout_usec);
        int status = 0;

        if (!in_time)
                (void) kill(pid, SIGTERM);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        if (!in_time)
                return -ETIMEDOUT;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* What came of it */

char *remote_explain(int status) {
        g_autofree char *name = destination_format(destination_get());

        if (status == -ETIMEDOUT)
                return g_strdup_printf("%s did not answer in time.", name);
        if (status < 0)
                return g_strdup_printf("Cannot run ssh: %s.", g_strerror(-status));
        if (status > EXIT_NOT_FOUND)
                return g_strdup_printf("ssh to %s, or wbctl there, failed.", name);
        if (status == EXIT_NOT_FOUND)
                return g_strdup_printf("%s has no wbctl, which this verb needs there.", name);
        return NULL;
}

int remote_run(const char *const *words, int stdout_fd, int status_failed) {
        g_autofree char *explanation = NULL;
        pid_t pid;
        int r;

        (void) fflush(stdout);
        r = remote_start(words, STDIN_FILENO, stdout_fd, false, &pid);
        if (r >= 0)
                r = remote_wait(pid, connection_timeout(USEC_INFINITY));

        explanation = remote_explain(r);
        if (!explanation)
                return r;
        complain("%s", explanation);
        return status_failed;
}
