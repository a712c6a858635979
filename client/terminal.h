/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Text for people: colours and glyphs where the terminal can show them, times, and tables. */

#include <glib.h>

#include "macro.h"

typedef struct Terminal {
        bool is_terminal;
        bool colours;
        bool utf8;
        bool erases;    /* the terminal can rewrite lines */
        size_t columns; /* its width, 80 where that is unknown */
} Terminal;

typedef enum Colour {
        COLOUR_NONE,
        COLOUR_GREEN,
        COLOUR_YELLOW,
        COLOUR_RED,
        COLOUR_BOLD,
        COLOUR_FAINT,
} Colour;

/* What stdout is. setlocale() must have been called. */
Terminal terminal_detect(void);

/* The decision behind it: charset as nl_langinfo(CODESET) names it; no_color and term as in the environment.
 */
Terminal terminal_decide(bool is_terminal, const char *charset, const char *no_color, const char *term);

/* What turns a colour on, and what turns all off again; empty where there are none. */
const char *colour_on(const Terminal *terminal, Colour colour);
const char *colour_off(const Terminal *terminal);

/* A copy of the text in which everything that a terminal might obey or could not show is spelled out: "\x1b".
 */
char *text_escape(const Terminal *terminal, const char *text);

/* A copy of the text's beginning that takes up at most so many columns. */
char *text_cut(const char *text, size_t columns);

/* Prints an error message to stderr, escaped as text_escape() does. Newlines stay. */
void complain(const char *format, ...) _printf_(1, 2);

/* A duration, rounded to the digits that matter to a person: "12.3s", "3min 4s". */
char *span_format(uint64_t usec);

/* The local time's zone at that time: "CET". */
char *zone_format(uint64_t time_usec);

/* "2025-11-20 10:00:00", in local time, with its zone behind it where that is not the given one. */
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

/* Appends a cell, and takes ownership of its text. Cells fill a row after the other. */
void table_take(Table *table, char *text);
void table_add(Table *table, const char *text);

/* Writes it out, each line after the indent. The last column is not padded. */
void table_append(const Table *table, GString *out, const char *indent);
