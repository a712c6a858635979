/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Values from the bus as JSON, on one line. Integers are exact over the whole of 64 bits, signed and
 * unsigned, except for the largest unsigned one, which the bus uses for "never": it becomes null. */

#include <glib.h>

/* A string with its quotes. Control characters are escaped, those of Unicode's C1 too: the text may go to a
 * terminal. */
void json_append_string(GString *out, const char *text);

/* A dictionary with string keys becomes an object, any other array or tuple an array, "nothing" and numbers
 * that JSON lacks (infinity) become null. */
void json_append(GString *out, GVariant *value);
