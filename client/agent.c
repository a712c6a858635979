/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "agent.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "macro.h"

/* Limits the wait for a polkitd that hangs. Without an agent the call gets an error. */
#define REGISTER_TIMEOUT_MSEC 5000

static void run_agent(int notify_fd) {
        char notify[16];

        (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
        (void) snprintf(notify, sizeof(notify), "%d", notify_fd);
        (void) execlp("pkttyagent", "pkttyagent", "--notify-fd", notify, "--fallback", NULL);
        _exit(127);
}

bool agent_can_prompt(void) {
        return geteuid() != 0 && isatty(STDIN_FILENO) > 0;
}

pid_t agent_start(void) {
        int fds[2];
        pid_t pid;

        if (!agent_can_prompt())
                return 0;
        if (pipe(fds) < 0)
                return 0;

        pid = fork();
        if (pid == 0) {
                (void) close(fds[0]);
                run_agent(fds[1]);
        }
        (void) close(fds[1]);
        if (pid > 0) {
                /* The agent closes its end once it is registered, or exits. */
                struct pollfd end = { .fd = fds[0] };

                (void) poll(&end, 1, REGISTER_TIMEOUT_MSEC);
        }
        (void) close(fds[0]);
        return pid > 0 ? pid : 0;
}

void agent_stop(pid_t *pid) {
        if (*pid <= 0)
                return;
        (void) kill(*pid, SIGTERM);
        (void) kill(*pid, SIGCONT); /* reading in the background may have stopped it */
        (void) waitpid(*pid, NULL, 0);
        *pid = 0;
}
