/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Any text as a duration, compared with a regular expression and floating point. A valid one is parsed again
 * after formatting, with the same value. */

#include "fuzz.h"

#include <glib.h>
#include <math.h>

#include "duration.h"

#define SPACE "[ \\t\\n\\r]"
#define NUMBER "(?:[0-9]+(?:\\.[0-9]+)?|\\.[0-9]+)"
#define UNIT                                                                                                 \
        "(?:seconds?|sec|s|minutes?|min|msec|ms|m|hours?|hr|h|days?|d|weeks?|w|usec|us|\xc2\xb5s|\xce\xbcs)"

/* Digits of a fraction that are worth less than a microsecond add up to less than this, for each part. */
#define ERROR_USEC 100

static const struct {
        const char *begin;
        long double usec;
} units[] = {
        { "mi", 60e6L },   { "ms", 1e3L },     { "m", 60e6L }, { "s", 1e6L }, { "h", 3600e6L },
        { "d", 86400e6L }, { "w", 604800e6L }, { "u", 1 },     { "\xc2", 1 }, { "\xce", 1 },
};

/* Adds up the parts of a valid duration. A bare number counts in seconds. */
static long double add_slowly(const char *text, unsigned *ret_n_parts) {
        static GRegex *regex;
        g_autoptr(GMatchInfo) match = NULL;
        long double sum = 0;
        unsigned n_parts = 0;

        if (!regex)
                regex = fuzz_regex("(" NUMBER ")" SPACE "*(" UNIT "?)");

        for ((void) fuzz_match(regex, text, strlen(text), &match); g_match_info_matches(match);
             g_match_info_next(match, NULL)) {
                g_autofree char *number = g_match_info_fetch(match, 1), *unit = g_match_info_fetch(match, 2);
                long double unit_usec = 1e6L;

                for (size_t i = 0; i < ELEMENTSOF(units); i++)
                        if (g_str_has_prefix(unit, units[i].begin)) {
                                unit_usec = units[i].usec;
                                break;
                        }
                sum += strtold(number, NULL) * unit_usec;
                n_parts++;
        }

        *ret_n_parts = n_parts;
        return sum;
}

static void check_meaning(const char *text, int r, uint64_t usec) {
        static GRegex *durations, *infinity;
        unsigned n_parts;
        long double sum;

        if (!durations) {
                durations = fuzz_regex("\\A" SPACE "*(?>" NUMBER "(?:" SPACE "*" UNIT SPACE "*|" SPACE
                                       "+|\\z))++\\z");
                infinity = fuzz_regex("\\A" SPACE "*infinity" SPACE "*\\z");
        }

        if (fuzz_match(infinity, text, strlen(text), NULL)) {
                fuzz_assert(r == -ERANGE);
                return;
        }
        if (!fuzz_match(durations, text, strlen(text), NULL)) {
                fuzz_assert(r == -EINVAL || r == -ERANGE); /* -ERANGE if an earlier part was too large */
                return;
        }

        sum = add_slowly(text, &n_parts);
        if (r >= 0)
                fuzz_assert(fabsl(sum - (long double) usec) <= (long double) n_parts * ERROR_USEC);
        else {
                fuzz_assert(r == -ERANGE);
                fuzz_assert(sum >= (long double) UINT64_MAX - (long double) n_parts * ERROR_USEC);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text = fuzz_text(data, size), formatted[DURATION_SIZE];
        uint64_t usec = 4321, again = 0;
        int r;

        r = parse_duration(text, USEC_PER_SEC, &usec);
        check_meaning(text, r, usec);
        if (r >= 0) {
                fuzz_assert(usec != USEC_INFINITY);
                (void) format_duration(usec, formatted, sizeof(formatted));
                fuzz_assert(parse_duration(formatted, 1, &again) >= 0);
                fuzz_assert(again == usec);
        } else
                fuzz_assert(usec == 4321);

        free(text);
        return 0;
}
