/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The load of each work: for how long how many workers have been spinning in it, and what CPU time they used,
 * over the last few seconds. A work is the text behind the `+` mark of a worker's name. Its workers are
 * judged together, since they hand the work to one another.
 *
 * A fixed table without allocation. Where more works run than there is room for, the largest are kept.
 */

#include "worker.h"

#define LOADS_MAX 32

/* A window is kept in so many parts at most; the first part counts by the share of it that lies in the
 * window. */
#define WINDOW_PARTS_MAX 66

/* Over how long the mean is taken that says whether a stall goes on. */
#define LOAD_MEAN_USEC (5 * USEC_PER_SEC)

typedef struct WindowPart {
        uint64_t begin_usec, end_usec; /* CLOCK_MONOTONIC */
        uint64_t worker_usec;          /* workers times microseconds */
        uint64_t spun_usec;            /* for how long at least one was spinning */
        uint64_t cpu_usec;             /* what they used */
} WindowPart;

/* What happened within the last span. */
typedef struct Window {
        uint64_t span_usec;
        size_t first, n;
        WindowPart parts[WINDOW_PARTS_MAX]; /* a ring */
} Window;

typedef struct Load {
        char work[WORKER_NAME_MAX + 1]; /* empty: the slot is free */
        uint32_t n_spinning;            /* at the last scan */
        uint32_t n_waiting;
        uint64_t cpu_usec;         /* what its workers used up to the last scan, since the scan before */
        uint64_t crowd_since_usec; /* the first scan in the next window */
        uint64_t mean_since_usec;  /* the begin of what the last window has seen */
        Window crowd;              /* the last CrowdThreshold */
        Window worker;             /* the last Threshold */
        Window mean;               /* the last LOAD_MEAN_USEC */
} Load;

/* What the scan under way has counted of one work. */
typedef struct Tally {
        char work[WORKER_NAME_MAX + 1];
        uint32_t n_spinning, n_waiting;
        uint64_t cpu_usec;
} Tally;

#define TALLIES_MAX 128

typedef struct Loads {
        Load loads[LOADS_MAX];
        size_t n_tallies;
        Tally tallies[TALLIES_MAX];
} Loads;

/* What counts in a scan. */
typedef struct LoadRules {
        double crowd_size; /* in force; 0 turns the rule off */
        uint64_t crowd_threshold_usec;
        uint64_t threshold_usec;
        bool count_waiting; /* waiting workers count like spinning ones, and CPU time does not matter */
} LoadRules;

/* Begins a scan: no work has a worker in it yet. */
void loads_begin(Loads *loads);

/* Counts one running worker, and the CPU time that it used since the scan before. */
void loads_count(Loads *loads, const Worker *worker, uint64_t cpu_usec);

/* Ends a scan at now_usec, which stands for the weight_usec before it. Works that were not seen within any
 * window are forgotten. */
void loads_end(Loads *loads, uint64_t now_usec, uint64_t weight_usec, const LoadRules *rules);

/* Moves all that was counted forward in time: nothing was seen for so long. */
void loads_shift(Loads *loads, uint64_t usec);

/* Forgets what counts towards the rules, for all works; the mean stays. */
void loads_empty(Loads *loads);

/* The same for one work. */
void loads_empty_work(Loads *loads, const char *work);

/* The load of a work, or NULL. */
const Load *loads_find(const Loads *loads, const char *work);

/* How many of its workers counted at the last scan. */
uint32_t load_count(const Load *load, const LoadRules *rules);

/* Whether the rules call a work stuck, at the time of the last scan. */
bool load_is_crowd(const Load *load, uint64_t now_usec, const LoadRules *rules);
bool load_has_stuck_worker(const Load *load, uint64_t now_usec, const LoadRules *rules);

/* The mean number of counted workers over the last LOAD_MEAN_USEC, or since they were first seen. */
double load_mean(const Load *load, uint64_t now_usec);
