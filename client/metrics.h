/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The state of wbwatchd as metrics for Prometheus. */

#include <glib.h>

#include "macro.h"

typedef enum MetricsFormat {
        METRICS_TEXT,        /* Prometheus' text format 0.0.4 */
        METRICS_OPENMETRICS, /* OpenMetrics 1.0.0 */
        _METRICS_FORMAT_MAX,
} MetricsFormat;

/* The media type, for the header Content-Type. */
const char *metrics_media_type(MetricsFormat format);

/* The format that the header Accept of a request prefers (RFC 9110, section 12.5.1); NULL: no such header.
 * The text format if it prefers none of them, or both alike without naming OpenMetrics. */
MetricsFormat metrics_negotiate(const char *accept);

/* All metrics. properties: the reply of GetAll (a{sv}), or NULL if wbwatchd did not answer. What it lacks is
 * left out. fixes: of kernel_fixes_finish(), or NULL if the kernel is not known. */
char *metrics_write(MetricsFormat format, GVariant *properties, GVariant *fixes);
