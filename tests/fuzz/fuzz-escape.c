/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Any text through text_escape(), into a buffer whose size is the first byte: the result is valid UTF-8
 * without control characters, and a harmless text is unchanged. */

#include "fuzz.h"

#include <glib.h>

#include "text.h"

static bool is_harmless(const char *text) {
        if (!g_utf8_validate(text, -1, NULL))
                return false;
        for (const char *p = text; *p != '\0'; p = g_utf8_next_char(p))
                if (g_unichar_iscntrl(g_utf8_get_char(p)))
                        return false;
        return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        size_t buffer_size = size > 0 ? (size_t) data[0] + 1 : 1;
        char *text, *buffer = malloc(buffer_size);

        fuzz_assert(buffer);
        text = size > 0 ? fuzz_text(data + 1, size - 1) : fuzz_text(data, 0);

        memset(buffer, 'x', buffer_size);
        text_escape(text, TEXT_ESCAPE_CONTROL, buffer, buffer_size);
        fuzz_assert(memchr(buffer, '\0', buffer_size));
        fuzz_assert(is_harmless(buffer));
        if (is_harmless(text))
                fuzz_assert(g_str_has_prefix(text, buffer));

        /* With four bytes for each byte, as its callers have, nothing is cut. */
        if (strlen(text) * 4 < buffer_size) {
                fuzz_assert(strlen(buffer) >= strlen(text));
                fuzz_assert(!is_harmless(text) || streq(buffer, text));
        }

        free(buffer);
        free(text);
        return 0;
}
