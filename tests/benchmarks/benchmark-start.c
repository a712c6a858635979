/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * From the start of wbwatchd to READY, as the service manager sees it: from before the fork to the message,
 * including the self-test, and the second exec by which it gives up the capability that the service manager
 * gives it. The lower bound: a program that does nothing, from before the fork to its end.
 */

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "measure.h"

/* To all processes that are started from now on. */
static void give_net_admin(void) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

        g_assert_no_errno(syscall(SYS_capget, &header, data));
        data[0].inheritable |= CAP_TO_MASK(CAP_NET_ADMIN);
        if (syscall(SYS_capset, &header, data) < 0 ||
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_ADMIN, 0, 0) < 0)
                measure_skip("CAP_NET_ADMIN can't be given: %s", g_strerror(errno));
}

static void measure_start(Samples *msec, Samples *cpu_msec) {
        Daemon daemon = daemon_begin(NULL, NULL, "", NULL);

        samples_add(cpu_msec, usage_of(daemon.process.pid).cpu_msec);
        samples_add(msec, (double) (daemon.ready_usec - daemon.started_usec) / 1000);
        daemon_end(&daemon);
}

static void measure_floor(Samples *msec) {
        static const char *const arguments[] = { "true", NULL };
        uint64_t begin_usec = usec_now(CLOCK_MONOTONIC);
        Process program = peer_start(arguments, NULL, NULL);

        peer_wait_end(&program);
        samples_add(msec, (double) (usec_now(CLOCK_MONOTONIC) - begin_usec) / 1000);
}

int main(int argc, char **argv) {
        Samples msec, cpu_msec, floor_msec;
        unsigned n;

        measure_begin(argc, argv);
        bus_start();
        give_net_admin();
        n = measure_short ? 5 : 50;

        msec = samples_new();
        cpu_msec = samples_new();
        floor_msec = samples_new();
        for (unsigned i = 0; i < n; i++) {
                measure_start(&msec, &cpu_msec);
                measure_floor(&floor_msec);
        }

        samples_report(&msec, "ms", "start/wbwatchd/ready");
        samples_report(&cpu_msec, "ms", "start/wbwatchd/cpu");
        samples_report(&floor_msec, "ms", "start/true/end");
        samples_done(&msec);
        samples_done(&cpu_msec);
        samples_done(&floor_msec);
        bus_stop();
        return EXIT_SUCCESS;
}
