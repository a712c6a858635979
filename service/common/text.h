/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Escapes external text for log lines, terminals and D-Bus strings. */

#include "macro.h"

/* The buffer size that n bytes may need when escaped, including the NUL. */
#define TEXT_ESCAPED_SIZE(n) ((n) *4 + 1)

/* Which characters are escaped. Bytes that are not UTF-8 always are. */
typedef enum TextEscape {
        TEXT_ESCAPE_CONTROL, /* control characters, those of Unicode's C1 too */
        /* Also characters that are not printable according to Unicode, such as those that change the text's
         * direction. Uses glib's tables, which may have to be read from disk: not for the daemon. */
        TEXT_ESCAPE_UNPRINTABLE,
        TEXT_ESCAPE_NON_ASCII, /* also everything that is not ASCII */
} TextEscape;

/* Copies text with the bytes of those characters as \xHH. Truncates before the first character that does not
 * fit; TEXT_ESCAPED_SIZE(strlen(text)) always suffices. Returns whether all of it did. */
bool text_escape(const char *text, TextEscape which, char *buffer, size_t size);

/* How many bytes of a value a message shows. */
#define TEXT_SHOWN_MAX 200
#define TEXT_SHOWN_SIZE (TEXT_SHOWN_MAX * 4 + sizeof("..."))

/* Escapes the control characters of a value, and replaces what exceeds TEXT_SHOWN_MAX bytes with "...".
 * Returns buffer. */
const char *text_show(const char *value, char buffer[static TEXT_SHOWN_SIZE]);

/* Whether the first character of a text that is valid UTF-8 is a control character (Unicode's category Cc).
 */
bool text_is_control(const char *text);

/* Formats an error message. Returns error with the message in *ret_error, to be freed by the caller; or
 * -ENOMEM with *ret_error untouched. ret_error may be NULL. */
int refuse(int error, char **ret_error, const char *format, ...) _printf_(3, 4);
