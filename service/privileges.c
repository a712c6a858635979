/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What this process may do that others may not: see privileges.h. */

#include "privileges.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "macro.h"

/* Any real-time priority goes before all ordinary threads; the lowest one leaves the others to those who
 * configured them. */
#define REALTIME_PRIORITY 1

/* Reads the capabilities of this process. */
static int read_capabilities(struct __user_cap_data_struct data[static _LINUX_CAPABILITY_U32S_3]) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

        return syscall(SYS_capget, &header, data) < 0 ? -errno : 0;
}

/* Gives up all capabilities but CAP_DAC_READ_SEARCH. */
static void limit_capabilities(void) {
        const uint32_t allowed[_LINUX_CAPABILITY_U32S_3] = { CAP_TO_MASK(CAP_DAC_READ_SEARCH) };
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
        bool has_more = false;

        if (read_capabilities(data) < 0)
                return;

        for (size_t i = 0; i < ELEMENTSOF(data); i++) {
                has_more = has_more || (data[i].permitted & ~allowed[i]) != 0;
                data[i].permitted &= allowed[i];
                data[i].effective &= allowed[i];
                data[i].inheritable &= allowed[i];
        }

        /* Not without need: the filter of wbwatchd.service does not let this system call pass. */
        if (has_more)
                (void) syscall(SYS_capset, &header, data);
}

bool privileges_given(int capability) {
        return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0) > 0;
}

bool privileges_has(int capability) {
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};

        return read_capabilities(data) >= 0 &&
               (data[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability));
}

int privileges_drop_by_exec(int capability, char **arguments) {
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, capability, 0, 0) < 0)
                return -errno;

        (void) execv("/proc/self/exe", arguments);
        return -errno;
}

void privileges_drop_for_syncs(void) {
        (void) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        (void) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        if (geteuid() == 0)
                (void) prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED);
        limit_capabilities();
}

int privileges_request_priority(void) {
        const struct sched_param parameter = { .sched_priority = REALTIME_PRIORITY };

        if (sched_getscheduler(0) == SCHED_FIFO || sched_setscheduler(0, SCHED_FIFO, &parameter) >= 0)
                return 0;
        return -errno;
}
