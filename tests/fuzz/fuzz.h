/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* What the fuzzers share. Each file fuzz-NAME.c has a LLVMFuzzerTestOneInput(), to be linked with libFuzzer,
 * or with replay.c, which runs kept inputs with any compiler. */

#include <glib.h>
#include <stdio.h>

#include "macro.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Unlike assert() it is always there, and unlike GTest's it ends the process in a way that libFuzzer sees. */
#define fuzz_assert(condition)                                                                               \
        do {                                                                                                 \
                if (!(condition)) {                                                                          \
                        fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);              \
                        abort();                                                                             \
                }                                                                                            \
        } while (false)

/* A slow but easily read parser for comparison. */
static inline GRegex *fuzz_regex(const char *pattern) {
        GRegex *regex = g_regex_new(pattern, G_REGEX_RAW | G_REGEX_DOTALL | G_REGEX_OPTIMIZE, 0, NULL);

        fuzz_assert(regex);
        return regex;
}

/* Unlike g_regex_match() it does not take an exhausted stack for a text that does not match. */
static inline bool fuzz_match(const GRegex *regex, const char *text, size_t size, GMatchInfo **ret) {
        GError *error = NULL;
        bool matches;

        matches = g_regex_match_full(regex, text, (gssize) size, 0, 0, ret, &error);
        fuzz_assert(!error);
        return matches;
}

/* A copy with a NUL behind it, to be freed; a read beyond is seen by AddressSanitizer. */
static inline char *fuzz_text(const uint8_t *data, size_t size) {
        char *text = malloc(size + 1);

        fuzz_assert(text);
        if (size > 0)
                memcpy(text, data, size);
        text[size] = '\0';
        return text;
}
