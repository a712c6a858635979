/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * For LD_PRELOAD: CLOCK_REALTIME jumps by 130 years each time it is read, forwards and back. CLOCK_BOOTTIME
 * gains an hour each time, as if the machine had been suspended; CLOCK_MONOTONIC does not change.
 */

#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define YEAR_2100_SEC 4102444800
#define HOUR_SEC 3600

int clock_gettime(clockid_t clock, struct timespec *time) {
        static atomic_uint n_looks;
        long r;

        r = syscall(SYS_clock_gettime, clock, time);
        if (r < 0)
                return (int) r;

        if (clock == CLOCK_REALTIME)
                time->tv_sec = atomic_fetch_add(&n_looks, 1) % 2 == 0 ? YEAR_2100_SEC : 0;
        else if (clock == CLOCK_BOOTTIME || clock == CLOCK_BOOTTIME_ALARM)
                time->tv_sec += HOUR_SEC * (time_t) atomic_fetch_add(&n_looks, 1);
        return (int) r;
}
