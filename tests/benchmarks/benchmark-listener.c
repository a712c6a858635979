/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The lower bound: a minimal program that receives thread creation events from the proc connector. It prints
 * "listening" and sleeps until SIGTERM; then it prints the number of events.
 */

#include <arpa/inet.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include "macro.h"

static volatile sig_atomic_t ended;

static void on_signal(int sig) {
        ended = true;
}

int main(void) {
        /* Passes events (in the datagram from byte 36 on) of type NONE, the kernel's acknowledgement, and
         * FORK with the parent 2 (at byte 56). */
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 36),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(PROC_EVENT_NONE), 3, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(PROC_EVENT_FORK), 0, 3),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 56),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(2), 0, 1),
                BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
                BPF_STMT(BPF_RET | BPF_K, 0),
        };
        struct sock_fprog program = { .len = ELEMENTSOF(code), .filter = code };
        struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC };
        struct sigaction action = { .sa_handler = on_signal };
        sigset_t terminate, none;
        uint32_t request[] = { NLMSG_LENGTH(sizeof(struct cn_msg) + 4),
                               NLMSG_DONE,
                               0,
                               0,
                               CN_IDX_PROC,
                               CN_VAL_PROC,
                               0,
                               0,
                               /* cn_msg.len= */ 4,
                               PROC_CN_MCAST_LISTEN };
        uint32_t event[64];
        unsigned n_created = 0;
        int fd;

        /* The signal arrives only while it waits. */
        (void) sigemptyset(&none);
        (void) sigemptyset(&terminate);
        (void) sigaddset(&terminate, SIGTERM);
        if (sigprocmask(SIG_SETMASK, &terminate, NULL) < 0 || sigaction(SIGTERM, &action, NULL) < 0)
                return EXIT_FAILURE;

        fd = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_CONNECTOR);
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ||
            bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 ||
            send(fd, request, sizeof(request), 0) < 0 || recv(fd, event, sizeof(event), 0) < 0)
                return EXIT_FAILURE;
        puts("listening");
        (void) fflush(stdout);

        while (!ended) {
                struct pollfd events = { .fd = fd, .events = POLLIN };

                if (ppoll(&events, 1, NULL, &none) == 1 && recv(fd, event, sizeof(event), 0) > 0 &&
                    event[36 / 4] == PROC_EVENT_FORK)
                        n_created++;
        }

        request[ELEMENTSOF(request) - 1] = PROC_CN_MCAST_IGNORE;
        (void) send(fd, request, sizeof(request), 0);
        printf("%u created\n", n_created);
        return EXIT_SUCCESS;
}
