/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* What the running workers of each work did, over several scans. Opens no file. */

#include <glib.h>

#include "kworkers.h"

/* The workers of one work. */
typedef struct WorkTally {
        char *work;
        unsigned n_scans_running;  /* scans in which one of them ran */
        unsigned n_scans_spinning; /* in which one of them was spinning */
        unsigned n_spinning;       /* the sum over all scans */
        unsigned most_spinning, most_waiting;
        uint64_t cpu_usec; /* the CPU time that they used between scans */
} WorkTally;

typedef struct Tally {
        GPtrArray *works; /* of WorkTally */
        GArray *last;     /* the workers of the last scan, sorted by pid */
        unsigned n_scans;
        uint64_t begin_usec, end_usec; /* of the first and last scan */
} Tally;

Tally *tally_new(void);
Tally *tally_free(Tally *tally);
DEFINE_TRIVIAL_CLEANUP(Tally *, tally_free);

/* Adds the workers of a scan. */
void tally_add(Tally *tally, const KworkerScan *scan, uint64_t now_usec);

/* The workers of exactly this work, or NULL if none ran. */
const WorkTally *tally_find(const Tally *tally, const char *work);

/* Whether one of them was running, or spinning, in nearly all scans. Those that spin must have used CPU time,
 * too: the state R also means that a thread waits for a CPU. */
bool work_runs_on(const Tally *tally, const WorkTally *work);
bool work_spins_on(const Tally *tally, const WorkTally *work);

/* "up to 14 spinning, up to 2 waiting; running in 16 of 16 scans over 4s, 390 % of a CPU" */
char *work_describe(const Tally *tally, const WorkTally *work);
