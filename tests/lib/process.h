/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* A process that a test starts. It dies with the thread that started it. */

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct Process {
        pid_t pid; /* 0: none */
        int pidfd;
} Process;

typedef struct ProcessSettings {
        char **environment; /* NULL: that of the test */
        uid_t uid;          /* the user it runs as, with that user's group; 0: that of the test */
        int network_fd;     /* the network namespace it enters; 0: that of the test */
        bool drops_stderr;  /* otherwise its stderr is that of the test, unless a pipe for it is requested */
} ProcessSettings;

/* Starts a program from the PATH with NULL-terminated arguments; settings may be NULL. Its stdin is empty.
 * Its stdout is dropped unless a pipe for it is requested, since the stdout of the test is for TAP. Fails the
 * test if it cannot be started. */
Process process_start(
                const char *const *arguments,
                const ProcessSettings *settings,
                int *ret_stdout,
                int *ret_stderr);

/* Forks a process that calls the function, and ends with success when the function returns. If this program
 * has other threads, as one with a client of the bus has, the function must not allocate memory: a lock that
 * another thread holds at the fork is never released in the child. */
Process process_fork(void (*function)(const void *data), const void *data);

/* Waits for the end of a process, whoever started it. */
void pidfd_wait(int pidfd, gint64 deadline_usec);

/* Waits for its end, and returns the status of waitpid(2). */
int process_wait_end(Process *process, gint64 deadline_usec);

/* Sends SIGKILL, and waits for its end. Does nothing if there is no process. */
void process_kill(Process *process, gint64 deadline_usec);

/* Gives all current threads of a process a real-time priority, or an ordinary one. The promises are about
 * wbwatchd alone, so the bus and the measuring test must not be delayed by other processes either. */
void process_set_realtime(pid_t pid, bool realtime);

/* The group of a user. */
gid_t group_of(uid_t uid);

/* Reads a line, without its newline; at the end of the input the rest. To be freed. */
char *read_line(int fd);

/* Reads lines up to one that contains this text, and returns that line without its newline. To be freed. */
char *read_line_with(int fd, const char *text);
