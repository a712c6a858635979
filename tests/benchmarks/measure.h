/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * For the benchmarks: the real wbwatchd and its peers, started in a private environment, and their resource
 * usage by the kernel's figures. Needs root.
 *
 * The figures of wbwatchd include its helper processes: CPU time from schedstat, wakeups from the voluntary
 * context switches (a process that blocks must be woken), memory from smaps_rollup, system calls from `strace
 * -c`. Each figure is one line:
 *
 *      NAME MEDIAN UNIT (MIN to MAX, N runs)
 *
 * If something cannot be measured, the program ends with a line that begins with "SKIP:", and with status 77.
 */

#include <glib.h>
#include <signal.h>
#include <systemd/sd-bus.h>

#include "fake-proc.h"
#include "macro.h"
#include "notify-socket.h"
#include "process.h"

/* Whether --short was given: few runs, good for counts but not for times. */
extern bool measure_short;

/* To be called first in main(): a new mount namespace with a filesystem in memory for all written files, so
 * that nothing is left over, however the program ends. */
void measure_begin(int argc, char **argv);

/* Makes programs that are started from now on use copies of wbwatchd's libraries, except for libc, so that
 * they do not share memory with other users of these libraries. */
void measure_own_libraries(void);

/* Starts and stops a private system bus, on which everything is allowed. */
void bus_start(void);
void bus_stop(void);

_printf_(1, 2) G_NORETURN void measure_skip(const char *format, ...);

/* Figures. */

typedef struct Samples {
        GArray *values;
} Samples;

Samples samples_new(void);
void samples_done(Samples *samples);
#define _cleanup_samples_ _cleanup_(samples_done)

void samples_add(Samples *samples, double value);
double samples_median(const Samples *samples);

/* Prints the samples as one figure, or a single value as a figure. */
void samples_report(const Samples *samples, const char *unit, const char *format, ...) _printf_(3, 4);
void report(double value, const char *unit, const char *format, ...) _printf_(3, 4);

/* CPU time of this thread. */
double thread_cpu_usec(void);

/* Processes. */

/* Whether a peer is installed. Figures of missing peers are left out. */
bool is_installed(const char *program);

/* The first starts a program; its output is dropped unless a pipe for it is requested. The others wait for
 * its end; the last sends a signal before. */
Process peer_start(const char *const *arguments, int *ret_stdout, int *ret_stderr);
void peer_wait_end(Process *peer);
void peer_stop(Process *peer, int sig);

typedef struct Daemon {
        Process process;
        NotifySocket notify;
        bool listening;                    /* it has reported that it receives thread creation events */
        uint64_t started_usec, ready_usec; /* CLOCK_MONOTONIC */
} Daemon;

/* Starts wbwatchd on our bus with the lines of a settings file and these arguments up to NULL; returns when
 * it is ready. wrapper is a command (words separated by spaces) that executes wbwatchd, or NULL; log, unless
 * NULL, gets its log. */
Daemon daemon_begin(const char *wrapper, int *ret_log, const char *settings, ...) G_GNUC_NULL_TERMINATED;
void daemon_end(Daemon *daemon);

/* Waits until the start is complete: it receives thread creation events, and its name is on the bus. */
void daemon_settle(Daemon *daemon);

/* Connect to our bus; wait for the next message; wait until a name has an owner. */
sd_bus *bus_connect(void);
void bus_run(sd_bus *bus);
void bus_await_name(sd_bus *bus, const char *name);

typedef struct Usage {
        double cpu_msec;
        double wakeups;
} Usage;

/* The resource usage of a process and its children: the total, or since an earlier moment. */
Usage usage_of(pid_t pid);
Usage usage_since(pid_t pid, Usage before);

/* At most how many events of CPU pressure the kernel has sent since an earlier moment. The first function
 * takes 2 s, the window of an event. */
typedef struct Pressed {
        uint64_t begin_usec;
        uint64_t total_usec; /* for which tasks have waited for a CPU, as in /proc/pressure/cpu */
} Pressed;

Pressed pressed_begin(void);
double pressed_since(Pressed before);

/* Waits until a process has been asleep for a while. */
void await_quiet(pid_t pid);

/* In KiB. */
typedef struct Memory {
        double resident;
        double pss;           /* shared pages count in part */
        double private;       /* pages that no other process maps, code included */
        double private_dirty; /* pages that it has written */
} Memory;

Memory memory_of(pid_t pid);
Memory memory_with_children(pid_t pid);

size_t count_children(pid_t pid);
size_t count_descriptors(pid_t pid);

/* The system calls of a process and its children between two moments. */
typedef struct Tracer {
        Process strace;
        int log;
        char *file;
} Tracer;

Tracer trace_begin(pid_t pid);
void trace_end(Tracer *tracer, const char *name, double *ret_all, double *ret_named);

/* A bare filtered listener (benchmark-listener.c), and the number of thread creation events that it received.
 */
typedef struct Listener {
        Process process;
        int fd;
} Listener;

Listener listener_start(void);
double listener_stop(Listener *listener);
