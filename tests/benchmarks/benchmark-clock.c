/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Preloaded into wbwatchd: its time passes 200 times as fast, so that a thousand episodes, each of more than
 * a second, are over in seconds. sync() and syncfs() do nothing, since they are not measured and would
 * disturb other users of the machine.
 */

#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define SPEED 200

int clock_gettime(clockid_t clock, struct timespec *time) {
        __extension__ __int128 nsec;
        long r;

        r = syscall(SYS_clock_gettime, clock, time);
        if (r < 0 || (clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME))
                return (int) r;

        nsec = time->tv_sec;
        nsec = (nsec * 1000000000 + time->tv_nsec) * SPEED;
        time->tv_sec = (time_t) (nsec / 1000000000);
        time->tv_nsec = (long) (nsec % 1000000000);
        return 0;
}

/* Absolute timers; those that detect a change of the real-time clock are left unchanged. */
int timerfd_settime(int fd, int flags, const struct itimerspec *value, struct itimerspec *old_value) {
        struct itimerspec sooner = *value;
        __extension__ __int128 nsec;

        if (flags == TFD_TIMER_ABSTIME) {
                nsec = value->it_value.tv_sec;
                nsec = (nsec * 1000000000 + value->it_value.tv_nsec + SPEED - 1) / SPEED;
                sooner.it_value.tv_sec = (time_t) (nsec / 1000000000);
                sooner.it_value.tv_nsec = (long) (nsec % 1000000000);
        }

        return (int) syscall(SYS_timerfd_settime, fd, flags, &sooner, old_value);
}

void sync(void) {
}

int syncfs(int fd) {
        return 0;
}
