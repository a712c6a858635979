/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Values from the bus as JSON, on one line. All 64-bit integers are printed exactly, except UINT64_MAX, which
 * means "never" on the bus and becomes null. */

#include <glib.h>

/* Appends a string with quotes. Escapes control characters, including C1, since the output may be a terminal.
 */
void json_append_string(GString *out, const char *text);

/* Appends a value. A dictionary with string keys becomes an object, any other array or tuple an array;
 * "nothing" and numbers that JSON lacks (infinity) become null. */
void json_append(GString *out, GVariant *value);

/* Prints a value as a line to stdout. */
void json_print(GVariant *value);
