/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* What the fuzzers share. Each file fuzz-NAME.c has a LLVMFuzzerTestOneInput(), to be linked with libFuzzer,
 * or with replay.c, which runs kept inputs with any compiler. */

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

/* A copy with a NUL behind it, to be freed; a read beyond is seen by AddressSanitizer. */
static inline char *fuzz_text(const uint8_t *data, size_t size) {
        char *text = malloc(size + 1);

        fuzz_assert(text);
        if (size > 0)
                memcpy(text, data, size);
        text[size] = '\0';
        return text;
}
