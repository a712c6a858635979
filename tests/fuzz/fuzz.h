/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Shared by the fuzzers. Each fuzz-NAME.c defines LLVMFuzzerTestOneInput(), to be linked with libFuzzer, or
 * with replay.c, which runs kept inputs with any compiler. */

#include <glib.h>
#include <stdio.h>

#include "macro.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Unlike assert() it is never compiled out, and unlike GTest's assertions libFuzzer detects its failure. */
#define fuzz_assert(condition)                                                                               \
        do {                                                                                                 \
                if (!(condition)) {                                                                          \
                        fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);              \
                        abort();                                                                             \
                }                                                                                            \
        } while (false)

/* For slow but readable parsers to compare with. */
static inline GRegex *fuzz_regex(const char *pattern) {
        GRegex *regex = g_regex_new(pattern, G_REGEX_RAW | G_REGEX_DOTALL | G_REGEX_OPTIMIZE, 0, NULL);

        fuzz_assert(regex);
        return regex;
}

/* Unlike g_regex_match() it distinguishes an exhausted stack from a text that does not match. */
static inline bool fuzz_match(const GRegex *regex, const char *text, size_t size, GMatchInfo **ret) {
        GError *error = NULL;
        bool matches;

        matches = g_regex_match_full(regex, text, (gssize) size, 0, 0, ret, &error);
        fuzz_assert(!error);
        return matches;
}

/* A NUL-terminated copy, to be freed; AddressSanitizer sees a read beyond it. */
static inline char *fuzz_text(const uint8_t *data, size_t size) {
        char *text = malloc(size + 1);

        fuzz_assert(text);
        if (size > 0)
                memcpy(text, data, size);
        text[size] = '\0';
        return text;
}
