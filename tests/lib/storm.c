/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Storms of forks: see storm.h. */

#include "storm.h"

#include <glib.h>
#include <linux/netlink.h>
#include <sched.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "macro.h"

int steal_netlink_socket(int pidfd) {
        for (int number = 3; number < 1024; number++) {
                int fd = pidfd_getfd(pidfd, number, 0), domain = 0, protocol = 0;
                socklen_t size = sizeof(domain);

                if (fd < 0)
                        continue;
                if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) >= 0 && domain == AF_NETLINK &&
                    getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) >= 0 &&
                    protocol == NETLINK_CONNECTOR)
                        return fd;
                (void) close(fd);
        }

        return -ENOENT;
}

static int do_nothing(void *userdata) {
        return 0;
}

void fork_often(unsigned n) {
        static char stack[16384] __attribute__((aligned(16)));
        const int flags = CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_FS | CLONE_SIGHAND | CLONE_THREAD |
                          CLONE_SYSVSEM;

        for (unsigned i = 0; i < n; i++)
                while (clone(do_nothing, stack + sizeof(stack), flags, NULL) < 0)
                        ;
}

void __attribute__((noinline)) fork_once(void) {
        pid_t pid = vfork(); /* NOLINT: the fastest fork that there is */

        if (pid == 0)
                _exit(EXIT_SUCCESS);
        g_assert_cmpint(pid, >, 0);
        g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
}
