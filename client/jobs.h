/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Functions that may hang. Each runs in its own child process, all at the same time, bounded in time and in
 * the size of what they write. */

#include <glib.h>
#include <stdio.h>

#include "child.h"

typedef struct Job {
        /* Runs in the child, and writes its result to out. Returns 0, or negative errno, whose text is then
         * appended to the result. */
        int (*run)(const void *userdata, FILE *out);
        const void *userdata;
        size_t size_max;
        int input_fd; /* if not 0: the child has it as its stdin, which may be open for writing, too */

        /* What came of it. */
        GString *result; /* owned by the caller; as far as it was written in time */
        int status;      /* the exit status of the child, 128 plus the signal, or negative errno */
        bool timed_out;  /* it was given up, and may still hang */
        bool truncated;  /* it wrote more than size_max */

        Child child;
        int fd;
} Job;

/* Starts the jobs. They must not move until they are finished. The caller must have a single thread. */
void jobs_start(Job *jobs, size_t n_jobs);

/* Returns when each has ended, or at the deadline (CLOCK_MONOTONIC). What a job has started is killed then;
 * nothing waits for a process that cannot be killed. */
void jobs_finish(Job *jobs, size_t n_jobs, uint64_t deadline_usec);

/* Both. */
void jobs_run(Job *jobs, size_t n_jobs, uint64_t timeout_usec);

/* For Job.run: replaces the child by a program from the PATH, whose stdout is the result, and stderr, too, if
 * has_errors. Returns negative errno if it cannot be executed. */
int job_execute(const char *const *arguments, bool has_errors);
