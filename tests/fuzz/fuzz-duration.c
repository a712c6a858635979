/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Any text as a duration. What is one reads back as the same. */

#include "fuzz.h"

#include "settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text = fuzz_text(data, size), formatted[64];
        uint64_t usec = 4321, again;
        int r;

        r = parse_duration(text, USEC_PER_SEC, &usec);
        if (r >= 0) {
                (void) format_duration(usec, formatted, sizeof(formatted));
                fuzz_assert(usec == USEC_INFINITY || parse_duration(formatted, 1, &again) >= 0);
                fuzz_assert(usec == USEC_INFINITY || again == usec);
        } else {
                fuzz_assert(r == -EINVAL || r == -ERANGE);
                fuzz_assert(usec == 4321);
        }

        free(text);
        return 0;
}
