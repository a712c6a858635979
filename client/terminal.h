/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Output for the user: colours and glyphs if the terminal supports them, times, and tables. */

#include <glib.h>

#include "macro.h"

typedef struct Terminal {
        bool is_terminal;
        bool colours;
        bool utf8;
        bool erases;    /* the terminal can rewrite lines */
        size_t columns; /* its width; 80 if unknown */
} Terminal;

typedef enum Colour {
        COLOUR_NONE,
        COLOUR_GREEN,
        COLOUR_YELLOW,
        COLOUR_RED,
        COLOUR_BOLD,
        COLOUR_FAINT,
} Colour;

/* Describes stdout. setlocale() must have been called. */
Terminal terminal_detect(void);

/* The same from given facts: charset as from nl_langinfo(CODESET), no_color and term as from the environment.
 */
Terminal terminal_decide(bool is_terminal, const char *charset, const char *no_color, const char *term);

/* The escape sequences that turn a colour on and all colours off; empty without colours. */
const char *colour_on(const Terminal *terminal, Colour colour);
const char *colour_off(const Terminal *terminal);

/* A copy of the text, in which everything that a terminal might interpret or can't show is escaped: "\x1b".
 */
char *terminal_escape(const Terminal *terminal, const char *text);

/* A copy of the text, truncated to this number of columns. */
char *text_cut(const char *text, size_t columns);

/* Appends the text, whose first line begins in the column indent, in lines of no more than this number of
 * columns (0: no limit), as far as single words are not wider. Further lines are indented. */
void text_wrap(GString *out, const char *text, size_t indent, size_t columns);

/* Prints an error message to stderr, escaped as by terminal_escape(), except newlines. Its lines are wrapped
 * on a terminal only: a log or a script wants them whole. */
void complain(const char *format, ...) _printf_(1, 2);

/* Prints to stdout. */
void text_print(const GString *text);

/* The ending of a noun after this number: "" or "s". */
const char *plural(uint64_t n);

/* A duration, rounded by round_duration(): "12.3s", "3min 4s". */
char *span_format(uint64_t usec);

/* The local time zone at that time: "CET". */
char *zone_format(uint64_t time_usec);

/* "2025-11-20 10:00:00", in local time, followed by its zone if that is not the given one. */
char *time_format_in_zone(uint64_t time_usec, const char *zone);

/* "2025-11-20 10:00:00 CET (3min 4s ago)" */
char *time_format(uint64_t time_usec, uint64_t now_usec);

/* "2025-11-20 10:00:00.123 CET" */
char *time_format_exact(uint64_t time_usec);

/* "345.6 MiB" */
char *bytes_format(uint64_t bytes);

/* Rows of cells in aligned columns. */
typedef struct Table Table;

Table *table_new(size_t n_columns);
Table *table_free(Table *table);
DEFINE_TRIVIAL_CLEANUP(Table *, table_free);

/* Lets the last column wrap at the width of the terminal. */
void table_set_width(Table *table, const Terminal *terminal);

/* Appends a cell. Cells fill one row after another. table_add_owned() frees the text later; table_add()
 * copies it. */
void table_add_owned(Table *table, char *text);
void table_add(Table *table, const char *text);
void table_add_all(Table *table, const char *const *texts); /* up to NULL */

/* Appends the table to out, each line after the indent. The last column is not padded. */
void table_append(const Table *table, GString *out, const char *indent);
