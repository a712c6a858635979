/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * wbwatch-syncfs forks a helper that syncs for each connection of wbwatchd. In their own unit the helpers see
 * the host's mounts and may open folders that the daemon may not. The program itself calls accept(2) and
 * fork(2), and gives the flush workers that wbwatchd names priority: a capability that helpers do not have.
 */

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "child.h"
#include "flush-priority.h"
#include "privileges.h"
#include "syncfs.h"

/* As in sd_listen_fds(3): the first descriptors after the standard ones, in the order of the socket unit. */
#define LISTEN_FD 3
#define PRIORITY_FD 4

/* What this program hands to itself: kernel_file_open_pressure(). */
#define PRESSURE_FD 5

/* The time before a retry if memory or descriptors are lacking. */
#define PAUSE_USEC (100 * USEC_PER_MSEC)

/* The time before it is tried again to restore a nice value. */
#define RETRY_USEC USEC_PER_SEC

/* The exit status after a wrong start, which must not be retried. */
#define EXIT_USAGE 2

static void complain(const char *what) {
        static const struct timespec pause = { .tv_nsec = (long) (PAUSE_USEC * NSEC_PER_USEC) };
        sigset_t unblocked;

        perror(what);
        /* Signals that end the program arrive here, too: serve() would not see them while accept4() fails. */
        (void) sigemptyset(&unblocked);
        (void) ppoll(NULL, 0, &pause, &unblocked);
}

/* Before Linux 6.6 it takes CAP_SYS_RESOURCE to open the file of CPU pressure for writing, and none to use
 * it. So this program opens it, and executes itself anew without that capability. It costs nothing until a
 * helper writes a trigger. */
static void give_up_capability(char **argv) {
        int fd;

        if (!privileges_given(CAP_SYS_RESOURCE))
                return;

        (void) close(PRESSURE_FD);
        fd = kernel_file_open_pressure();
        if (fd == PRESSURE_FD)
                (void) fcntl(fd, F_SETFD, 0);
        else if (fd >= 0)
                (void) dup2(fd, PRESSURE_FD);

        errno = -privileges_drop_by_exec(CAP_SYS_RESOURCE, argv);
        perror("wbwatch-syncfs: can't give up CAP_SYS_RESOURCE, keeping it");
}

/* What give_up_capability() left, or 0. */
static int find_pressure(void) {
        return fcntl(PRESSURE_FD, F_SETFD, FD_CLOEXEC) < 0 ? 0 : PRESSURE_FD;
}

/* Executes the helpers' code once, so that it is in memory, and locks it there. */
static void prepare(void) {
        static SyncfsRequest request = { .order = SYNCFS_ORDER_FILESYSTEM, .self_test = SELF_TEST_YES };
        SyncfsReply reply;

        /* The journal may hang. Only this unit shares its stderr. */
        (void) fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK | O_WRONLY);

        if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
                perror("wbwatch-syncfs: can't lock memory, ignoring");
        errno = -privileges_request_priority();
        if (errno > 0)
                perror("wbwatch-syncfs: can't get a real-time priority, ignoring; syncs may be "
                       "late while all CPUs are busy");

        (void) syncfs_serve(&request, syncfs_request_size(&request), &reply, NULL);
        flush_priority_self_test();
}

static void run_helper(void *userdata) {
        const int *pressure_fd = userdata;

        /* child_fork() put PRESSURE_FD there. */
        if (*pressure_fd > 0)
                kernel_file_provide_pressure(STDIN_FILENO);
        privileges_drop_for_syncs();
        serve_run(syncfs_serve, NULL);
}

static void accept_one(int listen_fd, int pressure_fd) {
        _cleanup_close_ int connection_fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
        const ChildOptions options = {
                .name = "wbwatch-syncfs",
                .fd = connection_fd,
                .input_fd = pressure_fd,
                .run = run_helper,
                .userdata = &pressure_fd,
        };
        pid_t pid;

        if (connection_fd < 0) {
                complain("wbwatch-syncfs: can't accept a connection, retrying");
                return;
        }

        /* wbwatchd sees the end of its connection, and reconnects later. */
        if (child_fork(&options, &pid) < 0)
                complain("wbwatch-syncfs: can't start a helper");
}

static volatile sig_atomic_t terminated;

static void on_signal(int signal_number) {
        terminated = 1;
}

/* These signals arrive in ppoll(2) only. */
static void watch_signals(void) {
        static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
        const struct sigaction action = { .sa_handler = on_signal };
        sigset_t mask;

        (void) sigemptyset(&mask);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                (void) sigaddset(&mask, signals[i]);
                (void) sigaction(signals[i], &action, NULL);
        }
        (void) sigprocmask(SIG_BLOCK, &mask, NULL);
}

/* The socket may come from a unit of an earlier version, which has one descriptor. */
static bool has_priority_socket(void) {
        int type = 0;
        socklen_t size = sizeof(type);

        return getsockopt(PRIORITY_FD, SOL_SOCKET, SO_TYPE, &type, &size) >= 0 && type == SOCK_DGRAM;
}

/* The flush workers that have priority, and until when without another datagram. */
typedef struct Lease {
        FlushPriority priority;
        uint64_t end_usec;
} Lease;

/* Logs an error once until another one occurs: each scan of wbwatchd repeats it. */
static void report_priority(int r) {
        static int last_error;

        if (r >= 0 || r == last_error)
                return;

        last_error = r;
        errno = -r;
        perror("wbwatch-syncfs: can't set the nice value of a flush worker");
}

static void receive_workers(Lease *lease) {
        int r = flush_priority_receive(&lease->priority, PRIORITY_FD);

        if (r == -EAGAIN)
                return;
        lease->end_usec = usec_now(CLOCK_MONOTONIC) + FLUSH_PRIORITY_LEASE_USEC;
        report_priority(r);
}

static void end_lease(Lease *lease) {
        static const FlushWorkers none = {};

        report_priority(flush_priority_set(&lease->priority, &none));
        /* If that failed. */
        lease->end_usec = usec_now(CLOCK_MONOTONIC) + RETRY_USEC;
}

/* Waits for a connection, a datagram, the end of the lease, or a signal. Returns as ppoll(2). */
static int await_input(const Lease *lease, struct pollfd *fds, nfds_t n_fds) {
        uint64_t usec = usec_subtract(lease->end_usec, usec_now(CLOCK_MONOTONIC));
        struct timespec timeout = {
                .tv_sec = (time_t) (usec / USEC_PER_SEC),
                .tv_nsec = (long) (usec % USEC_PER_SEC * NSEC_PER_USEC),
        };
        sigset_t unblocked;

        (void) sigemptyset(&unblocked);
        return ppoll(fds, n_fds, lease->priority.n > 0 ? &timeout : NULL, &unblocked);
}

/* Serves connections and datagrams until a signal ends it. */
static void serve(int pressure_fd) {
        struct pollfd fds[] = {
                { .fd = LISTEN_FD, .events = POLLIN },
                { .fd = has_priority_socket() ? PRIORITY_FD : -1, .events = POLLIN },
        };
        Lease lease = {};

        while (!terminated) {
                int n = await_input(&lease, fds, ELEMENTSOF(fds));

                if (n > 0 && fds[1].revents != 0)
                        receive_workers(&lease);
                if (lease.priority.n > 0 && usec_now(CLOCK_MONOTONIC) >= lease.end_usec)
                        end_lease(&lease);
                if (n > 0 && fds[0].revents != 0)
                        accept_one(LISTEN_FD, pressure_fd);
        }
        end_lease(&lease);
}

int main(int argc, char **argv) {
        const char *pid = getenv("LISTEN_PID");
        int accepts = 0, pressure_fd;
        socklen_t size = sizeof(accepts);

        if (argc > 1 && streq(argv[1], "--version")) {
                puts("wbwatch-syncfs " WBWATCH_VERSION);
                return EXIT_SUCCESS;
        }
        if (!pid || strtol(pid, NULL, 10) != getpid() ||
            getsockopt(LISTEN_FD, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &size) < 0 || !accepts) {
                (void) fputs("wbwatch-syncfs: must be started by wbwatch-syncfs.socket\n", stderr);
                return EXIT_USAGE;
        }

        give_up_capability(argv);
        pressure_fd = find_pressure();
        /* Executed as /proc/self/exe it is called "exe". */
        (void) prctl(PR_SET_NAME, "wbwatch-syncfs");

        /* The kernel reaps helpers that end. */
        (void) signal(SIGCHLD, SIG_IGN);
        prepare();
        watch_signals();
        serve(pressure_fd);
        return EXIT_SUCCESS;
}
