/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "remote.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "connection.h"
#include "destination.h"

/* Of the shell there: it finds no such program. Of ssh: it has no connection; or of the program there. */
#define EXIT_NOT_FOUND 127
#define EXIT_SSH_FAILED 255

/* What is to end gets this time for it, and is killed then. */
#define END_USEC (500 * USEC_PER_MSEC)

/* ssh */

/* The shell of the host gets one line. */
static char *command_line(const char *container, const char *const *words) {
        GString *line = g_string_new("wbctl");

        if (container)
                g_string_append_printf(line, " --machine=%s", container);
        for (; *words; words++) {
                g_autofree char *quoted = g_shell_quote(*words);

                g_string_append_printf(line, " %s", quoted);
        }
        return g_string_free(line, FALSE);
}

static void add_option(GPtrArray *arguments, const char *name, uint64_t sec) {
        g_ptr_array_add(arguments, g_strdup("-o"));
        g_ptr_array_add(arguments, g_strdup_printf("%s=%" G_GUINT64_FORMAT, name, sec));
}

/* As libsystemd calls it: no X11, no terminal. A network that is gone is noticed within a minute, and no
 * other session uses this connection, which would keep ssh here when wbctl there has ended. */
static char **ssh_arguments(const char *const *words) {
        _cleanup_(host_done) Host host = {};
        uint64_t timeout_usec = connection_timeout(0);
        GPtrArray *arguments = g_ptr_array_new();

        (void) host_parse(destination_get()->name, &host);
        g_ptr_array_add(arguments, g_strdup("ssh"));
        g_ptr_array_add(arguments, g_strdup("-xT"));
        g_ptr_array_add(arguments, g_strdup("-o"));
        g_ptr_array_add(arguments, g_strdup("ControlMaster=no"));
        add_option(arguments, "ServerAliveInterval", 15);
        if (timeout_usec > 0)
                add_option(arguments, "ConnectTimeout", (timeout_usec + USEC_PER_SEC - 1) / USEC_PER_SEC);
        if (host.port) {
                g_ptr_array_add(arguments, g_strdup("-p"));
                g_ptr_array_add(arguments, g_strdup(host.port));
        }
        g_ptr_array_add(arguments, g_strdup("--"));
        g_ptr_array_add(arguments, g_strconcat(host.user ?: "", host.user ? "@" : "", host.name, NULL));
        g_ptr_array_add(arguments, command_line(host.container, words));
        g_ptr_array_add(arguments, NULL);
        return (char **) g_ptr_array_free(arguments, FALSE);
}

/* In the child. It stays in the foreground of the terminal, where it may ask for a password. SIGHUP, unlike
 * SIGKILL, lets it restore the terminal then. */
static void execute(char **arguments, int input_fd, int output_fd, bool is_steady, pid_t parent) {
        static const int ignored[] = { SIGINT, SIGQUIT, SIGTERM };

        (void) prctl(PR_SET_PDEATHSIG, SIGHUP);
        if (getppid() != parent)
                _exit(EXIT_SSH_FAILED);
        for (size_t i = 0; is_steady && i < ELEMENTSOF(ignored); i++)
                (void) signal(ignored[i], SIG_IGN);
        if (dup2(input_fd, STDIN_FILENO) >= 0 && dup2(output_fd, STDOUT_FILENO) >= 0)
                (void) execvp(arguments[0], arguments);
        complain("Cannot run ssh: %s.", g_strerror(errno));
        _exit(EXIT_SSH_FAILED);
}

int remote_start(const char *const *words, int input_fd, int output_fd, bool is_steady, pid_t *ret) {
        g_auto(GStrv) arguments = ssh_arguments(words);
        g_autofree char *program = g_find_program_in_path(arguments[0]);
        pid_t parent = getpid(), pid;

        if (!program)
                return -ENOENT;
        /* Who started wbctl may ignore it: then there would be no exit status. */
        (void) signal(SIGCHLD, SIG_DFL);
        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                execute(arguments, input_fd, output_fd, is_steady, parent);
        *ret = pid;
        return 0;
}

/* Returns whether it ended in time. */
static bool wait_end(pid_t pid, uint64_t timeout_usec) {
        uint64_t deadline_usec = usec_add(usec_now(CLOCK_MONOTONIC), timeout_usec), left_usec;
        _cleanup_close_ int fd = pidfd_open(pid, 0);
        struct pollfd end = { .fd = fd, .events = POLLIN };
        int r = 0;

        if (timeout_usec == USEC_INFINITY)
                return true;
        while (fd >= 0 && r <= 0) {
                left_usec = usec_subtract(deadline_usec, usec_now(CLOCK_MONOTONIC));
                if (left_usec == 0)
                        break;
                r = poll(&end, 1, (int) (MIN(left_usec, USEC_PER_MINUTE) / USEC_PER_MSEC) + 1);
        }
        return r > 0;
}

int remote_wait(pid_t pid, uint64_t timeout_usec) {
        int status;

        if (!wait_end(pid, timeout_usec)) {
                (void) kill(pid, SIGHUP);
                (void) kill(pid, SIGCONT);
                if (!wait_end(pid, END_USEC))
                        (void) kill(pid, SIGKILL);
        }
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return EXIT_SSH_FAILED;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Reads to the end. -EFBIG: there was more than max bytes. */
static int read_output(int fd, GByteArray *output, size_t max) {
        uint8_t buffer[64 * 1024];
        ssize_t n;

        while ((n = read(fd, buffer, sizeof(buffer))) != 0) {
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n > 0 && (size_t) n > max - output->len)
                        return -EFBIG;
                if (n > 0)
                        g_byte_array_append(output, buffer, (guint) n);
        }
        return 0;
}

int remote_run(const char *const *words, GByteArray *output, size_t max) {
        _cleanup_close_ int input = open("/dev/null", O_RDONLY | O_CLOEXEC), from = -EBADF, to = -EBADF;
        int fds[2], r;
        pid_t pid;

        if (input < 0)
                return -errno;
        if (output) {
                if (pipe2(fds, O_CLOEXEC) < 0)
                        return -errno;
                from = fds[0];
                to = fds[1];
        }
        (void) fflush(stdout);
        r = remote_start(words, input, output ? to : STDOUT_FILENO, false, &pid);
        if (r < 0)
                return r;
        if (!output)
                return remote_wait(pid, USEC_INFINITY);

        closep(&to);
        to = -EBADF;
        r = read_output(from, output, max);
        if (r < 0) {
                (void) remote_wait(pid, 0);
                return r;
        }
        return remote_wait(pid, USEC_INFINITY);
}

char *remote_explain(int status) {
        g_autofree char *name = destination_format(destination_get());

        if (status == -EFBIG)
                return g_strdup_printf("The answer of %s is too large.", name);
        if (status < 0)
                return g_strdup_printf("Cannot run ssh: %s.", g_strerror(-status));
        if (status == 0)
                return g_strdup_printf("wbctl on %s ended too early.", name);
        if (status == EXIT_NOT_FOUND)
                return g_strdup_printf("%s has no wbctl, which this verb needs there.", name);
        if (status == EXIT_SSH_FAILED)
                return g_strdup_printf("ssh to %s, or wbctl there, failed.", name);
        return g_strdup_printf("wbctl on %s failed (exit status %d).", name, status);
}
