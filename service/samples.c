/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "samples.h"

static void samples_halve(Samples *samples) {
        samples->n /= 2;
        for (uint32_t i = 0; i < samples->n; i++)
                samples->samples[i] = samples->samples[2 * i];
        samples->n_halved++;
}

void samples_note(Samples *samples, uint64_t offset_usec, uint32_t n_spinning, uint32_t n_waiting) {
        uint32_t scan = samples->n_scans++;

        if (samples->n == SAMPLES_MAX)
                samples_halve(samples);
        if (scan % (UINT32_C(1) << samples->n_halved) != 0)
                return;

        samples->samples[samples->n++] = (Sample){
                .offset_msec = (uint32_t) MIN(offset_usec / USEC_PER_MSEC, (uint64_t) UINT32_MAX),
                .n_spinning = (uint16_t) MIN(n_spinning, (uint32_t) UINT16_MAX),
                .n_waiting = (uint16_t) MIN(n_waiting, (uint32_t) UINT16_MAX),
        };
}
