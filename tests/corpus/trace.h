/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A trace: the scans of a machine, and the decisions that are expected of the engine. It is replayed through
 * the engine with a fake clock. corpus/README.md describes the format.
 */

#include "engine.h"

typedef struct Trace Trace;

/* Reads a trace. On failure *ret_error is a message "FILE:LINE: reason", to be freed by the caller. Returns
 * -EINVAL for a malformed trace, another negative errno if it cannot be read. */
int trace_load(const char *path, Trace **ret, char **ret_error);

/* The same with a text in memory, as if it were the file path. */
int trace_parse(const char *path, const char *text, size_t size, Trace **ret, char **ret_error);

Trace *trace_free(Trace *trace);
DEFINE_TRIVIAL_CLEANUP(Trace *, trace_free);

/* The name of the file. */
const char *trace_name(const Trace *trace);

/* The number of its expectations. */
size_t trace_n_expectations(const Trace *trace);

/* The cost of a replay: the number of rows that the engine gets when it scans at this interval. */
uint64_t trace_count_rows(const Trace *trace, uint64_t interval_usec);

/* Changes a setting: "NAME=VALUE" with the name as in the configuration file or on the bus. -EINVAL with
 * *ret_error the reason, to be freed by the caller. */
int trace_set(Trace *trace, const char *assignment, char **ret_error);

/* One decision of the engine. time_msec counts from the beginning of the trace. */
typedef void (*replay_note_t)(int64_t time_msec, const char *text, void *userdata);

/* An episode that has ended. */
typedef void (*replay_episode_t)(const Episode *episode, void *userdata);

typedef struct ReplayOptions {
        uint64_t phase_usec;      /* the time from an idle scan to the start of the trace */
        bool events;              /* thread creation events are received */
        replay_note_t note;       /* or NULL */
        replay_episode_t episode; /* or NULL */
        void *userdata;
} ReplayOptions;

typedef struct ReplayResult {
        bool called;          /* a stall was detected, */
        uint64_t called_usec; /* this long after the first running worker whose name matches, */
        EngineRule rule;      /* by this rule */
        unsigned n_syncs;     /* automatic ones */
        unsigned n_outcomes[OUTCOME_OUTLIVED + 1];  /* episodes */
        uint64_t first_stall_usec, last_stall_usec; /* the soonest and the latest detection after a `stall`
                                                     * mark; USEC_INFINITY when one was never detected */
        bool waiting_told;
        bool useless_told;
        bool frozen; /* the engine kept requesting scans in the past, and the replay was abandoned */
} ReplayResult;

/* Replays the trace from its beginning to its last scan. -ENOMEM or 0. */
int trace_replay(Trace *trace, const ReplayOptions *options, ReplayResult *ret);

/* The first expectation that does not hold, to be freed by the caller, or NULL when all hold. */
char *trace_check(const Trace *trace, const ReplayResult *result, bool events);

/* Without thread creation events: how soon a stall must be detected at 9 of 10 phases, after its first
 * running worker. USEC_INFINITY when there is no such bound. */
uint64_t trace_usual_usec(const Trace *trace);
