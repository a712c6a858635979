/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Any text as the header Accept of a scrape. The order of its ranges must not matter. */

#include "fuzz.h"

#include <glib.h>

#include "metrics.h"

static char *reverse(const char *text) {
        g_auto(GStrv) ranges = g_strsplit(text, ",", -1);

        for (size_t i = 0, n = g_strv_length(ranges); i < n / 2; i++) {
                char *range = ranges[i];

                ranges[i] = ranges[n - 1 - i];
                ranges[n - 1 - i] = range;
        }
        return g_strjoinv(",", ranges);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_autofree char *text = g_strndup((const char *) data, size), *reversed = reverse(text);

        fuzz_assert(metrics_negotiate(text) == metrics_negotiate(reversed));
        return 0;
}
