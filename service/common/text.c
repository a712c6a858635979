/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "text.h"

#include <glib.h>
#include <stdarg.h>
#include <stdio.h>

/* Without glib, whose tables may have to be read from a disk that hangs. */
bool text_is_control(const char *text) {
        unsigned char c = (unsigned char) text[0], next = c == 0xc2 ? (unsigned char) text[1] : 0xff;

        return c < 0x20 || c == 0x7f || next < 0xa0;
}

static size_t utf8_size(gunichar character) {
        return character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
}

static bool must_escape(const char *text, gunichar character, TextEscape which) {
        switch (which) {
        case TEXT_ESCAPE_NON_ASCII:
                return character >= 0x80 || text_is_control(text);
        case TEXT_ESCAPE_UNPRINTABLE:
                return !g_unichar_isprint(character);
        default:
                return text_is_control(text);
        }
}

/* Escapes up to max bytes of the text. Returns how many bytes were escaped or copied. */
static size_t escape(const char *text, size_t max, TextEscape which, char *buffer, size_t size) {
        static const char digits[] = "0123456789abcdef";
        size_t n_done = 0, n = 0;

        while (text[n_done] != '\0') {
                const char *p = text + n_done;
                gunichar character = g_utf8_get_char_validated(p, -1);
                bool valid = character <= 0x10ffff; /* larger values are error codes */
                size_t n_bytes = valid ? utf8_size(character) : 1;
                bool escaped = !valid || must_escape(p, character, which);

                /* Never cut inside of a character. */
                if (n_done + n_bytes > max || n + n_bytes * (escaped ? 4 : 1) >= size)
                        break;

                for (size_t i = 0; i < n_bytes; i++)
                        if (escaped) {
                                unsigned char c = (unsigned char) p[i];

                                buffer[n++] = '\\';
                                buffer[n++] = 'x';
                                buffer[n++] = digits[c >> 4];
                                buffer[n++] = digits[c & 15];
                        } else
                                buffer[n++] = p[i];
                n_done += n_bytes;
        }

        buffer[n] = '\0';
        return n_done;
}

bool text_escape(const char *text, TextEscape which, char *buffer, size_t size) {
        return text[escape(text, SIZE_MAX, which, buffer, size)] == '\0';
}

const char *text_show(const char *value, char buffer[static TEXT_SHOWN_SIZE]) {
        size_t n_done = escape(value, TEXT_SHOWN_MAX, TEXT_ESCAPE_CONTROL, buffer, TEXT_SHOWN_SIZE);

        if (value[n_done] != '\0')
                strcat(buffer, "...");
        return buffer;
}

int refuse(int error, char **ret_error, const char *format, ...) {
        va_list arguments;
        char *text;
        int r;

        if (!ret_error)
                return error;

        va_start(arguments, format);
        r = vasprintf(&text, format, arguments);
        va_end(arguments);
        if (r < 0)
                return -ENOMEM;

        *ret_error = text;
        return error;
}
