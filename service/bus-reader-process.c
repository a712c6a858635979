/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The processes in which bus-reader.c and peers.c run. Their stdin is the bus, or the link to the daemon. */

#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "bus-reader.h"
#include "peers.h"

/* Before all ordinary processes: else, while hundreds of them take the CPUs, each call would wait for its
 * turn once more than for the bus itself. */
#define NICE (-20)

static void prepare(void) {
        /* Memory locks are not inherited. */
        (void) sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){});
        (void) setpriority(PRIO_PROCESS, 0, NICE);
        (void) mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
}

static void run_reader(void *unused) {
        BusReader *reader;

        prepare();
        if (bus_reader_new(CHILD_FD, STDIN_FILENO, &reader) < 0)
                return;
        while (bus_reader_wait(reader, -1) >= 0 && bus_reader_work(reader) >= 0)
                ;
}

/* The listener is that of the daemon, but for its descriptor. */
static void run_peers(void *userdata) {
        Listener listener = *(const Listener *) userdata;
        Peers *peers;

        prepare();
        listener.fd = CHILD_SECOND_FD;
        if (peers_new(CHILD_FD, STDIN_FILENO, &listener, &peers) < 0)
                return;
        while (peers_work(peers, -1) >= 0)
                ;
}

static int start(ChildOptions options, int *ret_fd, Child *ret_child) {
        _cleanup_close_ int ours = -EBADF, theirs = -EBADF;
        int pair[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        ours = pair[0];
        options.fd = theirs = pair[1];

        r = child_start(&options, ret_child);
        if (r < 0)
                return r;

        *ret_fd = take_fd(&ours);
        return 0;
}

int bus_reader_start(int socket, int *ret_fd, Child *ret_child) {
        return start((ChildOptions){ .name = "wbwatchd-bus", .input_fd = socket, .run = run_reader }, ret_fd,
                     ret_child);
}

int peers_start(const Listener *listener, int link_fd, int *ret_fd, Child *ret_child) {
        return start(
                        (ChildOptions){
                                        .name = listener->process_name,
                                        .input_fd = link_fd,
                                        .second_fd = listener->fd,
                                        .run = run_peers,
                                        .userdata = (void *) listener,
                        },
                        ret_fd, ret_child);
}
