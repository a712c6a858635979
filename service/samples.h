/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* How many workers of an episode were spinning and waiting in the course of time. Each scan adds a sample.
 * When the table is full, every second sample is dropped, and from then on only every second scan is kept;
 * and so on. Plain data; empty when zeroed. */

#include "macro.h"

#define SAMPLES_MAX 120

typedef struct Sample {
        uint32_t offset_msec; /* since the beginning of the episode */
        uint16_t n_spinning, n_waiting;
} Sample;

typedef struct Samples {
        uint32_t n;
        uint32_t n_scans;
        uint32_t n_halved; /* one of 2^n_halved scans is kept */
        Sample samples[SAMPLES_MAX];
} Samples;

/* Adds what a scan saw, offset_usec after the beginning of the episode. */
void samples_note(Samples *samples, uint64_t offset_usec, uint32_t n_spinning, uint32_t n_waiting);
