/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Preloaded into the daemon: one allocation fails. */

#include <stdatomic.h>

/* Names a file of the size of FailingMalloc, which daemon and test map. */
#define FAILING_MALLOC_VARIABLE "WBWATCH_FAILING_MALLOC"

typedef struct FailingMalloc {
        /* How many more of the daemon's allocations succeed before one fails; -1 afterwards: none fails. */
        atomic_int n_left;
} FailingMalloc;
