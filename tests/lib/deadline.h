/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The latest time, by g_get_monotonic_time(), at which an awaited event must have happened. */

#include <glib.h>

static inline gint64 deadline_in_sec(unsigned sec) {
        return g_get_monotonic_time() + (gint64) sec * G_USEC_PER_SEC;
}

/* For poll(2): the time left until the deadline, at least 0. */
static inline int deadline_msec_left(gint64 deadline_usec) {
        return (int) MAX((deadline_usec - g_get_monotonic_time()) / 1000, 0);
}
