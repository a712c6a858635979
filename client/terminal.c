/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "terminal.h"

#include <inttypes.h>
#include <langinfo.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "duration.h"
#include "text.h"

/* Wider cells do not widen their column. */
#define COLUMN_WIDTH_MAX 50

#define COLUMN_GAP 2

#define COLUMNS_DEFAULT 80

Terminal terminal_decide(bool is_terminal, const char *charset, const char *no_color, const char *term) {
        bool smart = is_terminal && term && *term && !streq(term, "dumb");

        return (Terminal){
                .is_terminal = is_terminal,
                .colours = smart && !(no_color && *no_color),
                .utf8 = streq(charset, "UTF-8"),
                .erases = smart,
                .columns = COLUMNS_DEFAULT,
        };
}

static size_t columns_of(int fd) {
        struct winsize size;

        return ioctl(fd, TIOCGWINSZ, &size) >= 0 && size.ws_col > 0 ? size.ws_col : COLUMNS_DEFAULT;
}

Terminal terminal_detect(void) {
        Terminal terminal = terminal_decide(
                        isatty(STDOUT_FILENO) > 0, nl_langinfo(CODESET), getenv("NO_COLOR"), getenv("TERM"));

        terminal.columns = columns_of(STDOUT_FILENO);
        return terminal;
}

const char *colour_on(const Terminal *terminal, Colour colour) {
        static const char *const sequences[] = {
                [COLOUR_NONE] = "",
                [COLOUR_GREEN] = "\033[0;1;32m",
                [COLOUR_YELLOW] = "\033[0;1;33m",
                [COLOUR_RED] = "\033[0;1;31m",
                [COLOUR_BOLD] = "\033[0;1m",
                [COLOUR_FAINT] = "\033[0;2m",
        };

        return terminal->colours ? sequences[colour] : "";
}

const char *colour_off(const Terminal *terminal) {
        return terminal->colours ? "\033[0m" : "";
}

char *terminal_escape(const Terminal *terminal, const char *text) {
        size_t size = TEXT_ESCAPED_SIZE(strlen(text));
        char *escaped = g_malloc(size);

        text_escape(text, terminal->utf8 ? TEXT_ESCAPE_UNPRINTABLE : TEXT_ESCAPE_NON_ASCII, escaped, size);
        return escaped;
}

char *text_cut(const char *text, size_t columns) {
        const char *end = text;

        for (size_t at = 0; *end; end = g_utf8_next_char(end)) {
                at += g_unichar_iswide(g_utf8_get_char(end)) ? 2 : 1;
                if (at > columns)
                        break;
        }
        return g_strndup(text, (gsize) (end - text));
}

/* Words that are too wide for an indented line get a line with this indent. */
#define NARROW_INDENT 4u

static void wrap_line(GString *out, size_t indent) {
        while (out->len > 0 && out->str[out->len - 1] == ' ')
                g_string_truncate(out, out->len - 1);
        g_string_append_printf(out, "\n%*s", (int) indent, "");
}

void text_wrap(GString *out, const char *text, size_t indent, size_t columns) {
        g_auto(GStrv) words = g_strsplit(text, " ", -1);
        size_t at = indent;

        for (char **word = words; *word; word++) {
                size_t width = (size_t) g_utf8_strlen(*word, -1), gap = word == words ? 0 : 1;

                if (columns > 0 && at + gap + width > columns && (gap > 0 || indent > NARROW_INDENT)) {
                        if (indent + width > columns)
                                indent = MIN(indent, NARROW_INDENT);
                        wrap_line(out, indent);
                        at = indent;
                } else if (gap > 0) {
                        g_string_append_c(out, ' ');
                        at++;
                }
                g_string_append(out, *word);
                at += width;
        }
}

static void complaint_append(GString *out, const Terminal *terminal, const char *words) {
        g_auto(GStrv) lines = g_strsplit(words, "\n", -1);

        for (char **line = lines; *line; line++) {
                g_autofree char *escaped = terminal_escape(terminal, *line),
                                *whole = g_strconcat(line == lines ? "wbctl: " : "", escaped, NULL);

                text_wrap(out, whole, 0, terminal->columns);
                g_string_append_c(out, '\n');
        }
}

void complain(const char *format, ...) {
        const Terminal terminal = { .utf8 = streq(nl_langinfo(CODESET), "UTF-8"),
                                    .columns = isatty(STDERR_FILENO) ? columns_of(STDERR_FILENO) : 0 };
        g_autoptr(GString) out = g_string_new(NULL);
        g_autofree char *words = NULL;
        va_list arguments;

        va_start(arguments, format);
        words = g_strdup_vprintf(format, arguments);
        va_end(arguments);

        complaint_append(out, &terminal, words);
        (void) fputs(out->str, stderr);
}

void text_print(const GString *text) {
        (void) fwrite(text->str, 1, text->len, stdout);
}

const char *plural(uint64_t n) {
        return n == 1 ? "" : "s";
}

char *span_format(uint64_t usec) {
        char buffer[DURATION_SIZE];

        return g_strdup(format_duration(round_duration(usec), buffer, sizeof(buffer)));
}

static bool local_time(uint64_t time_usec, struct tm *ret) {
        time_t seconds = (time_t) (time_usec / USEC_PER_SEC);

        return localtime_r(&seconds, ret);
}

char *zone_format(uint64_t time_usec) {
        struct tm tm;
        char text[64];

        if (!local_time(time_usec, &tm) || strftime(text, sizeof(text), "%Z", &tm) == 0)
                return g_strdup("?");
        return g_strdup(text);
}

static char *date_format(uint64_t time_usec) {
        struct tm tm;
        char text[64];

        if (!local_time(time_usec, &tm) || strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm) == 0)
                return g_strdup_printf("@%" PRIu64 "us", time_usec);
        return g_strdup(text);
}

char *time_format_in_zone(uint64_t time_usec, const char *zone) {
        g_autofree char *date = date_format(time_usec), *own_zone = zone_format(time_usec);

        return streq(zone, own_zone) ? g_steal_pointer(&date) : g_strdup_printf("%s %s", date, own_zone);
}

char *time_format(uint64_t time_usec, uint64_t now_usec) {
        g_autofree char *date = date_format(time_usec), *zone = zone_format(time_usec), *span = NULL;
        bool future = time_usec > now_usec;
        uint64_t usec = future ? time_usec - now_usec : now_usec - time_usec;

        /* Seconds are enough here. */
        if (usec < USEC_PER_SEC)
                return g_strdup_printf("%s %s (now)", date, zone);
        span = span_format(usec / USEC_PER_SEC * USEC_PER_SEC);
        return g_strdup_printf("%s %s (%s%s%s)", date, zone, future ? "in " : "", span, future ? "" : " ago");
}

char *time_format_exact(uint64_t time_usec) {
        g_autofree char *date = date_format(time_usec), *zone = zone_format(time_usec);

        return g_strdup_printf("%s.%03" PRIu64 " %s", date, time_usec % USEC_PER_SEC / USEC_PER_MSEC, zone);
}

char *bytes_format(uint64_t bytes) {
        static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
        double number = (double) bytes;
        size_t unit = 0;

        for (; number >= 1024 && unit + 1 < ELEMENTSOF(units); unit++)
                number /= 1024;
        return g_strdup_printf("%.*f %s", unit > 0 ? 1 : 0, number, units[unit]);
}

struct Table {
        size_t n_columns;
        size_t columns; /* of the terminal; 0: no limit */
        GPtrArray *cells;
};

Table *table_new(size_t n_columns) {
        Table *table = g_new(Table, 1);

        *table = (Table){
                .n_columns = n_columns,
                .cells = g_ptr_array_new_with_free_func(g_free),
        };
        return table;
}

Table *table_free(Table *table) {
        if (!table)
                return NULL;
        g_ptr_array_unref(table->cells);
        g_free(table);
        return NULL;
}

void table_set_width(Table *table, const Terminal *terminal) {
        table->columns = terminal->columns;
}

void table_add_owned(Table *table, char *text) {
        g_ptr_array_add(table->cells, text);
}

void table_add(Table *table, const char *text) {
        table_add_owned(table, g_strdup(text));
}

void table_add_all(Table *table, const char *const *texts) {
        for (; *texts; texts++)
                table_add(table, *texts);
}

static size_t cell_width(const Table *table, size_t i) {
        return (size_t) g_utf8_strlen(table->cells->pdata[i], -1);
}

/* Appends the cell with the spaces behind it. Returns the column after them. */
static size_t cell_append(const Table *table, GString *out, size_t i, size_t at, size_t width) {
        size_t end = at + MAX(cell_width(table, i), width) + COLUMN_GAP;

        g_string_append(out, table->cells->pdata[i]);
        g_string_append_printf(out, "%*s", (int) (end - at - cell_width(table, i)), "");
        return end;
}

void table_append(const Table *table, GString *out, const char *indent) {
        g_autofree size_t *widths = g_new0(size_t, table->n_columns);
        size_t at = 0;

        for (size_t i = 0; i < table->cells->len; i++) {
                size_t width = cell_width(table, i), column = i % table->n_columns;

                if (width <= COLUMN_WIDTH_MAX && width > widths[column])
                        widths[column] = width;
        }

        for (size_t i = 0; i < table->cells->len; i++) {
                size_t column = i % table->n_columns;

                if (column == 0) {
                        g_string_append(out, indent);
                        at = strlen(indent);
                }
                if (column < table->n_columns - 1)
                        at = cell_append(table, out, i, at, widths[column]);
                else {
                        text_wrap(out, table->cells->pdata[i], at, table->columns);
                        while (out->str[out->len - 1] == ' ')
                                g_string_truncate(out, out->len - 1);
                        g_string_append_c(out, '\n');
                }
        }
}
