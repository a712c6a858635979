/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The ongoing episode, and the last ones that ended. Fixed tables without allocation; the ended episodes are
 * packed one after another, so that only as many pages are touched as they need. */

#include "episode-pack.h"
#include "load.h"
#include "runs.h"

#define ENGINE_EPISODES_MAX 64

typedef struct History {
        bool is_ongoing;
        Episode episode;                   /* the ongoing or else the last one */
        Moment last_spinning;              /* the last scan with a worker of its work that counts */
        uint64_t n_begun;                  /* ids used */
        uint64_t n_outcomes[_OUTCOME_MAX]; /* of the ended ones, those that were dropped since included */
        uint64_t last_end_usec;            /* CLOCK_MONOTONIC; initially when the history began */
        Episode unpacked;                  /* for a change to an ended one */
        size_t n_ended, ended_size;
        size_t sizes[ENGINE_EPISODES_MAX]; /* of the ended ones, in the order of their start */
        uint8_t ended[ENGINE_EPISODES_MAX * EPISODE_PACKED_MAX];
} History;

/* Begins an episode. None may be ongoing. */
void history_begin(History *history, Moment now, EngineRule rule, const char *work, bool dry_run);

/* Records in the ongoing episode what this scan found of its work. */
void history_update(
                History *history,
                Moment now,
                const Loads *loads,
                const Runs *runs,
                const LoadRules *rules);

/* Ends the ongoing episode, and returns it. *ret_judged: see episode_end(). */
const Episode *history_end(History *history, Moment now, uint64_t scan_interval_usec, uint32_t *ret_judged);

/* Records or updates a sync in the episode that it belongs to, ongoing or ended, if any. */
void history_note_sync(History *history, const Sync *sync);

/* Copies an ended episode: index 0 is the first, n_ended - 1 the last. */
void history_ended(const History *history, size_t index, Episode *ret);
