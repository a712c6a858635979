/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* What wbwatch-exporter answers. */

#include <glib.h>

#include "metrics.h"

/* An answer of the daemon serves all scrapes of this time, so that any number of clients costs it no more
 * than one call in this time. */
#define PAGES_SHARED_USEC USEC_PER_SEC

typedef struct Pages {
        const char *metrics_path; /* "/metrics" */
        const char *socket;       /* of wbwatchd; NULL: its public one, and the bus where that is missing */
        GVariant *fixes;          /* of kernel_fixes_finish() */

        /* Zero at first. */
        char *metrics[_METRICS_FORMAT_MAX]; /* the last answer */
        uint64_t fresh_until_usec;          /* CLOCK_MONOTONIC */
        bool is_known, is_up;               /* what the log says */
} Pages;

typedef struct Page {
        unsigned status; /* of HTTP */
        const char *media_type;
        char *text;
        bool varies; /* with the header Accept */
} Page;

/* The page for a path. accept: the header, or NULL. For metrics it may ask the daemon, which takes
 * ANSWER_TIMEOUT_USEC at most. */
Page pages_get(Pages *pages, const char *path, const char *accept);
void page_done(Page *page);
void pages_done(Pages *pages);
