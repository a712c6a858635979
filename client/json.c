/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "json.h"

#include <math.h>
#include <stdbool.h>

#include "terminal.h"

void json_append_string(GString *out, const char *text) {
        g_string_append_c(out, '"');

        for (const char *p = text; *p; p = g_utf8_next_char(p)) {
                gunichar c = g_utf8_get_char(p);

                switch (c) {
                case '"':
                case '\\':
                        g_string_append_c(out, '\\');
                        g_string_append_c(out, (char) c);
                        break;
                case '\n':
                        g_string_append(out, "\\n");
                        break;
                case '\t':
                        g_string_append(out, "\\t");
                        break;
                default:
                        if (c < 0x20 || (c >= 0x7f && c < 0xa0))
                                g_string_append_printf(out, "\\u%04x", c);
                        else
                                g_string_append_unichar(out, c);
                }
        }

        g_string_append_c(out, '"');
}

static void append_double(GString *out, double number) {
        char buffer[G_ASCII_DTOSTR_BUF_SIZE];

        if (isfinite(number))
                g_string_append(out, g_ascii_dtostr(buffer, sizeof(buffer), number));
        else
                g_string_append(out, "null");
}

/* On the bus UINT64_MAX means "never" or "no limit". Most JSON parsers would round it. */
static void append_uint64(GString *out, guint64 number) {
        if (number == G_MAXUINT64)
                g_string_append(out, "null");
        else
                g_string_append_printf(out, "%" G_GUINT64_FORMAT, number);
}

static void append_members(GString *out, GVariant *object) {
        GVariantIter iter;
        GVariant *entry;
        bool first = true;

        g_string_append_c(out, '{');
        g_variant_iter_init(&iter, object);
        while ((entry = g_variant_iter_next_value(&iter))) {
                g_autoptr(GVariant) key = g_variant_get_child_value(entry, 0);
                g_autoptr(GVariant) value = g_variant_get_child_value(entry, 1);

                if (!first)
                        g_string_append_c(out, ',');
                first = false;
                json_append_string(out, g_variant_get_string(key, NULL));
                g_string_append_c(out, ':');
                json_append(out, value);
                g_variant_unref(entry);
        }
        g_string_append_c(out, '}');
}

static void append_elements(GString *out, GVariant *array) {
        g_string_append_c(out, '[');
        for (size_t i = 0; i < g_variant_n_children(array); i++) {
                g_autoptr(GVariant) element = g_variant_get_child_value(array, i);

                if (i > 0)
                        g_string_append_c(out, ',');
                json_append(out, element);
        }
        g_string_append_c(out, ']');
}

void json_append(GString *out, GVariant *value) {
        switch (g_variant_classify(value)) {
        case G_VARIANT_CLASS_BOOLEAN:
                g_string_append(out, g_variant_get_boolean(value) ? "true" : "false");
                break;
        case G_VARIANT_CLASS_BYTE:
                g_string_append_printf(out, "%u", g_variant_get_byte(value));
                break;
        case G_VARIANT_CLASS_INT16:
                g_string_append_printf(out, "%d", g_variant_get_int16(value));
                break;
        case G_VARIANT_CLASS_UINT16:
                g_string_append_printf(out, "%u", g_variant_get_uint16(value));
                break;
        case G_VARIANT_CLASS_INT32:
                g_string_append_printf(out, "%" G_GINT32_FORMAT, g_variant_get_int32(value));
                break;
        case G_VARIANT_CLASS_UINT32:
                g_string_append_printf(out, "%" G_GUINT32_FORMAT, g_variant_get_uint32(value));
                break;
        case G_VARIANT_CLASS_INT64:
                g_string_append_printf(out, "%" G_GINT64_FORMAT, g_variant_get_int64(value));
                break;
        case G_VARIANT_CLASS_UINT64:
                append_uint64(out, g_variant_get_uint64(value));
                break;
        case G_VARIANT_CLASS_HANDLE:
                g_string_append_printf(out, "%" G_GINT32_FORMAT, g_variant_get_handle(value));
                break;
        case G_VARIANT_CLASS_DOUBLE:
                append_double(out, g_variant_get_double(value));
                break;
        case G_VARIANT_CLASS_STRING:
        case G_VARIANT_CLASS_OBJECT_PATH:
        case G_VARIANT_CLASS_SIGNATURE:
                json_append_string(out, g_variant_get_string(value, NULL));
                break;
        case G_VARIANT_CLASS_VARIANT: {
                g_autoptr(GVariant) inner = g_variant_get_variant(value);

                json_append(out, inner);
                break;
        }
        case G_VARIANT_CLASS_MAYBE: {
                g_autoptr(GVariant) inner = g_variant_get_maybe(value);

                if (inner)
                        json_append(out, inner);
                else
                        g_string_append(out, "null");
                break;
        }
        case G_VARIANT_CLASS_ARRAY:
                if (g_variant_is_of_type(value, G_VARIANT_TYPE("a{s*}")) ||
                    g_variant_is_of_type(value, G_VARIANT_TYPE("a{o*}")))
                        append_members(out, value);
                else
                        append_elements(out, value);
                break;
        case G_VARIANT_CLASS_TUPLE:
        case G_VARIANT_CLASS_DICT_ENTRY:
                append_elements(out, value);
                break;
        }
}

void json_print(GVariant *value) {
        g_autoptr(GString) out = g_string_new(NULL);

        json_append(out, value);
        g_string_append_c(out, '\n');
        text_print(out);
}
