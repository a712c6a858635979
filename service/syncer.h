/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Calls sync(2) in a helper process, one at a time. sync() can hang as long as the kernel bug does. */

#include "helper.h"

typedef struct Syncer Syncer;

/* A sync ended: result 0, or negative errno when the helper died in it (sync(2) itself cannot fail).
 * duration_usec is that of the system call, by CLOCK_MONOTONIC; entered_usec is when it was entered. */
typedef void (*syncer_ended_t)(int result, uint64_t entered_usec, uint64_t duration_usec, void *userdata);

int syncer_new(sd_event *event, syncer_ended_t ended, void *userdata, Syncer **ret);

/* Does not wait for a sync under way. */
Syncer *syncer_free(Syncer *syncer);
DEFINE_TRIVIAL_CLEANUP(Syncer *, syncer_free);

/* Asks for a sync; never blocks. -EBUSY while one is under way. */
int syncer_start(Syncer *syncer);

/* To be called now and then: see helper_ensure(). */
void syncer_ensure_helper(Syncer *syncer);

/* The same as syncer_start(), but the helper does all except the system call itself: what would fail or be
 * killed on the way fails now, and the pages that are needed have been touched. */
int syncer_rehearse(Syncer *syncer);
