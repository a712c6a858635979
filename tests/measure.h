/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * For the benchmarks: the real wbwatchd and its peers, started in surroundings of their own, and what the
 * kernel says that they used. Needs root.
 *
 * What is measured of wbwatchd is measured of its helper processes too: CPU time from schedstat, wakeups from
 * the voluntary context switches (who blocks must be woken), memory from smaps_rollup, system calls from
 * `strace -c`. Each figure is one line for people and programs alike:
 *
 *      NAME MEDIAN UNIT (MIN to MAX, N runs)
 *
 * Where something cannot be measured the program ends with a line that begins with "SKIP:" and status 77.
 */

#include <glib.h>
#include <signal.h>
#include <systemd/sd-bus.h>

#include "fake-proc.h"
#include "macro.h"

/* Whether --short was given: few runs, good for counts but not for times. */
extern bool measure_short;

/* First of all in main(): a mount namespace of our own with a filesystem in memory for all that is written,
 * so that nothing is left however the program ends. */
void measure_begin(int argc, char **argv);

/* Lets what is started from now on use copies of the libraries that wbwatchd uses, but for libc, so that
 * whoever else runs on this machine and uses them, too, does not share their memory. */
void measure_own_libraries(void);

/* A system bus of our own, and the end of it. */
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

/* Prints them as one figure; or one value as a figure of its own. */
void samples_report(const Samples *samples, const char *unit, const char *format, ...) _printf_(3, 4);
void report(double value, const char *unit, const char *format, ...) _printf_(3, 4);

/* CPU time of this thread. */
double thread_cpu_usec(void);

/* Processes. */

/* Whether a peer is installed. Where it is not, its figures are left out. */
bool is_installed(const char *program);

/* Starts a program, which dies with this one. Its stdin is empty; what it prints is dropped unless a pipe for
 * it is requested. */
pid_t process_start(const char *const *arguments, int *ret_stdout, int *ret_stderr);

/* Sends it a signal, and waits for its end. */
void process_stop(pid_t pid, int sig);

/* Reads lines up to one that has this text in it, and returns it, to be freed. */
char *await_line(int fd, const char *text);

typedef struct Daemon {
        pid_t pid;
        int notify_fd;
        bool listening;                    /* it receives thread creation events, as far as it has said so */
        uint64_t started_usec, ready_usec; /* CLOCK_MONOTONIC */
} Daemon;

/* wbwatchd on our bus with the lines of a settings file, and with these arguments up to NULL; returns when it
 * is ready. wrapper is a command (words with a space between them) that becomes wbwatchd, or NULL; log gets
 * what it says, unless that is NULL. */
Daemon daemon_start(const char *wrapper, int *ret_log, const char *settings, ...) G_GNUC_NULL_TERMINATED;
void daemon_stop(Daemon *daemon);

/* Waits until it has begun in full: it receives thread creation events, and its name is on the bus. */
void daemon_settle(Daemon *daemon);

/* A connection to our bus; takes its next message, for which it waits; and waits until a name on it has an
 * owner. */
sd_bus *bus_connect(void);
void bus_run(sd_bus *bus);
void bus_await_name(sd_bus *bus, const char *name);

typedef struct Usage {
        double cpu_msec;
        double wakeups;
} Usage;

/* What a process and its children have used; all of it, or what came after an earlier time. */
Usage usage_of(pid_t pid);
Usage usage_since(pid_t pid, Usage before);

/* Waits until a process sleeps, and has done so for a while. */
void await_quiet(pid_t pid);

/* In KiB. */
typedef struct Memory {
        double resident;
        double pss;           /* what others map as well counts in part */
        double private;       /* what nobody else maps, be it code */
        double private_dirty; /* what it has written */
} Memory;

Memory memory_of(pid_t pid);
Memory memory_with_children(pid_t pid);

size_t count_children(pid_t pid);
size_t count_descriptors(pid_t pid);

/* The system calls of a process and its children between two moments. */
typedef struct Tracer {
        pid_t pid;
        int log;
        char *file;
} Tracer;

Tracer trace_begin(pid_t pid);
void trace_end(Tracer *tracer, const char *name, double *ret_all, double *ret_named);

/* A bare filtered listener (benchmark-listener.c), and how many thread creation events it received. */
typedef struct Listener {
        pid_t pid;
        int fd;
} Listener;

Listener listener_start(void);
double listener_stop(Listener *listener);
