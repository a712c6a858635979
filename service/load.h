/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The load of each work over the last few seconds: how many workers were spinning in it, for how long, and
 * how much CPU time they used. A work is the text after the `+` mark of a worker's name. Its workers are
 * judged together, since they pass the work to one another.
 *
 * A fixed table without allocation. If more works run than it has room for, the largest are kept.
 */

#include "worker.h"

#define LOADS_MAX 32

/* The most parts of a window. If the first part begins before the window, only the share inside it counts. */
#define WINDOW_PARTS_MAX 66

/* The time over which load_mean() averages, which decides when a stall is over. */
#define LOAD_MEAN_USEC (5 * USEC_PER_SEC)

typedef struct WindowPart {
        uint64_t begin_usec, end_usec; /* CLOCK_MONOTONIC */
        uint64_t worker_usec;          /* workers times microseconds */
        uint64_t spun_usec;            /* how long at least one was spinning */
        uint64_t cpu_usec;             /* CPU time they used */
} WindowPart;

/* What scans saw during the last span. */
typedef struct Window {
        uint64_t span_usec;
        size_t first, n;
        WindowPart parts[WINDOW_PARTS_MAX]; /* a ring */
} Window;

typedef struct Load {
        char work[WORKER_NAME_MAX + 1];
        uint32_t n_spinning; /* at the last scan */
        uint32_t n_waiting;
        uint64_t cpu_usec;         /* CPU time its workers used between the last two scans */
        uint64_t crowd_since_usec; /* the first scan in the next window */
        uint64_t mean_since_usec;  /* the beginning of what the window mean has seen */
        Window crowd;              /* the last CrowdThreshold */
        Window worker;             /* the last Threshold */
        Window mean;               /* the last LOAD_MEAN_USEC */
} Load;

/* What the scan under way has counted for one work. */
typedef struct Tally {
        char work[WORKER_NAME_MAX + 1];
        uint32_t n_spinning, n_waiting;
        uint64_t cpu_usec;
} Tally;

#define TALLIES_MAX 128

typedef struct Loads {
        size_t n;
        Load loads[LOADS_MAX]; /* the first n; others are not touched, so that their pages take no memory */
        size_t n_tallies;
        Tally tallies[TALLIES_MAX];
} Loads;

typedef enum EngineRule {
        RULE_NONE,
        RULE_WORKER, /* at least one worker was spinning nearly all of Threshold */
        RULE_CROWD,  /* enough worker-seconds within CrowdThreshold */
} EngineRule;

/* The settings that the rules depend on. */
typedef struct LoadRules {
        double crowd_size; /* in force; 0 turns the rule off */
        uint64_t crowd_threshold_usec;
        uint64_t threshold_usec;
        bool count_waiting; /* waiting workers count like spinning ones, whatever CPU time they use */
} LoadRules;

/* Begins a scan with no workers counted. */
void loads_begin(Loads *loads);

/* Counts a running worker, and the CPU time that it used since the previous scan. */
void loads_count(Loads *loads, const Worker *worker, uint64_t cpu_usec);

/* Ends a scan at now_usec, which covers the weight_usec before it. Works that no window has seen are dropped.
 */
void loads_end(Loads *loads, uint64_t now_usec, uint64_t weight_usec, const LoadRules *rules);

/* Moves everything counted forward by usec, a time without a valid scan. */
void loads_shift(Loads *loads, uint64_t usec);

/* Resets what counts towards the rules, for all works. The mean is kept. */
void loads_empty(Loads *loads);

/* The same for one work, and of its mean: its stall is over, and what comes is another one. */
void loads_forget(Loads *loads, const char *work);

/* The load of a work, or NULL. */
const Load *loads_find(const Loads *loads, const char *work);

/* How many workers of the work counted at the last scan. */
uint32_t load_count(const Load *load, const LoadRules *rules);

/* Whether the rule holds for a work at now_usec, the time of the last scan. */
bool load_is_crowd(const Load *load, uint64_t now_usec, const LoadRules *rules);
bool load_has_stuck_worker(const Load *load, uint64_t now_usec, const LoadRules *rules);

/* The mean number of counted workers over the last LOAD_MEAN_USEC, or since the first was seen. */
double load_mean(const Load *load, uint64_t now_usec);

/* The mean CPU use of its workers between the first and the last scan of that time; 1 is one CPU. Returns
 * false if there was only one scan. */
bool load_mean_cpu(const Load *load, double *ret);

/* The rule that holds for a work at the last scan, or RULE_NONE. RULE_NONE if no worker counted then. */
EngineRule load_rule(const Load *load, uint64_t now_usec, const LoadRules *rules);

/* Whether a stall detected by this rule is over: too few workers spin on average. */
bool load_is_over(const Load *load, EngineRule rule, uint64_t now_usec, const LoadRules *rules);
