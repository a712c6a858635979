/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The runs: the workers that were running at the last scan, each followed from scan to scan while it runs the
 * same work. A fixed table without allocation. Times are CLOCK_MONOTONIC.
 */

#include "load.h"
#include "worker.h"

/* How many of the longest-running workers are kept; others are only counted. Waiting workers take up at most
 * half, since spinning ones decide. */
#define ENGINE_RUNS_MAX 512

/* A worker that was running at the last scan. Every scan since since_usec saw it run the same work. */
typedef struct Run {
        Worker worker;
        uint64_t since_usec;
        uint64_t waiting_since_usec; /* 0 while it spins */
} Run;

/* Whether the run's worker runs the work. */
static inline bool run_is_of_work(const Run *run, const char *work) {
        const char *own = worker_name_work(run->worker.name);

        return own && streq(own, work);
}

typedef struct Runs {
        size_t n;
        uint32_t n_spinning, n_waiting; /* of all workers at the last scan */
        Run tables[2]
                  [ENGINE_RUNS_MAX]; /* the runs, and room for the next scan's runs; swapped by each scan */
        bool is_second;              /* tables[1] has the runs */
        bool waiting_reported;
        uint64_t last_waiting_usec; /* the last scan with a waiting worker */
} Runs;

/* Updates the runs from the running workers that a scan found, sorted by pid, then start time. Counts each in
 * the loads, with the CPU time that it used since the previous scan. */
void runs_update(Runs *runs, Loads *loads, uint64_t now_usec, const Worker *workers, size_t n_workers);

/* Moves all runs forward by usec, a time without a valid scan. */
void runs_shift(Runs *runs, uint64_t usec);

/* The n runs, sorted like the workers. Valid until the next scan. */
const Run *runs_table(const Runs *runs);

/* The longest run, or NULL. */
const Run *runs_longest(const Runs *runs);

/* A run of the work, of a spinning worker if there is one, or NULL. */
const Run *runs_find_work(const Runs *runs, const char *work);

/* The longest-waiting worker if it has waited for the threshold, or NULL. Returns it once each time that
 * workers wait. Must be called after each scan. is_expected: the reason for waiting is known, so report
 * nothing now. */
const Run *runs_report_waiting(Runs *runs, uint64_t now_usec, uint64_t threshold_usec, bool is_expected);
