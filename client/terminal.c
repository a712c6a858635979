/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "terminal.h"

#include <inttypes.h>
#include <langinfo.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "settings.h"

/* Wider cells do not push the columns behind them out of sight. */
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

Terminal terminal_detect(void) {
        Terminal terminal = terminal_decide(
                        isatty(STDOUT_FILENO) > 0, nl_langinfo(CODESET), getenv("NO_COLOR"), getenv("TERM"));
        struct winsize size;

        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) >= 0 && size.ws_col > 0)
                terminal.columns = size.ws_col;
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

char *text_escape(const Terminal *terminal, const char *text) {
        g_autoptr(GString) out = g_string_new(NULL);

        for (const char *p = text; *p;) {
                gunichar c = g_utf8_get_char_validated(p, -1);
                bool valid = c != (gunichar) -1 && c != (gunichar) -2;
                const char *next = valid ? g_utf8_next_char(p) : p + 1;

                /* Not printable: control characters, and those that turn the direction of the text. */
                if (valid && (c < 0x80 || terminal->utf8) && g_unichar_isprint(c))
                        g_string_append_len(out, p, next - p);
                else
                        for (; p < next; p++)
                                g_string_append_printf(out, "\\x%02x", (unsigned char) *p);
                p = next;
        }

        return g_string_free(g_steal_pointer(&out), FALSE);
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

void complain(const char *format, ...) {
        const Terminal terminal = { .utf8 = streq(nl_langinfo(CODESET), "UTF-8") };
        g_autofree char *words = NULL;
        g_auto(GStrv) lines = NULL;
        va_list arguments;

        va_start(arguments, format);
        words = g_strdup_vprintf(format, arguments);
        va_end(arguments);

        lines = g_strsplit(words, "\n", -1);
        for (char **line = lines; *line; line++) {
                g_autofree char *escaped = text_escape(&terminal, *line);

                (void) fprintf(stderr, "%s%s\n", line == lines ? "wbctl: " : "", escaped);
        }
}

static uint64_t span_round(uint64_t usec) {
        uint64_t unit = 1;

        if (usec == USEC_INFINITY)
                return usec;
        if (usec >= USEC_PER_DAY)
                unit = USEC_PER_HOUR;
        else if (usec >= USEC_PER_HOUR)
                unit = USEC_PER_MINUTE;
        else if (usec >= USEC_PER_MINUTE)
                unit = USEC_PER_SEC;
        else if (usec >= USEC_PER_SEC)
                unit = 100 * USEC_PER_MSEC;
        else if (usec >= USEC_PER_MSEC)
                unit = USEC_PER_MSEC;

        return usec_add(usec, unit / 2) / unit * unit;
}

char *span_format(uint64_t usec) {
        char buffer[64];

        /* The one case for which a person expects a fraction. */
        if (usec >= USEC_PER_SEC && usec < USEC_PER_MINUTE && span_round(usec) < USEC_PER_MINUTE) {
                uint64_t tenths = span_round(usec) / (100 * USEC_PER_MSEC);

                if (tenths % 10 > 0)
                        return g_strdup_printf("%" PRIu64 ".%" PRIu64 "s", tenths / 10, tenths % 10);
        }

        return g_strdup(format_duration(span_round(usec), buffer, sizeof(buffer)));
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

void table_take(Table *table, char *text) {
        g_ptr_array_add(table->cells, text);
}

void table_add(Table *table, const char *text) {
        table_take(table, g_strdup(text));
}

static size_t cell_width(const Table *table, size_t i) {
        return (size_t) g_utf8_strlen(table->cells->pdata[i], -1);
}

void table_append(const Table *table, GString *out, const char *indent) {
        g_autofree size_t *widths = g_new0(size_t, table->n_columns);

        for (size_t i = 0; i < table->cells->len; i++) {
                size_t width = cell_width(table, i), column = i % table->n_columns;

                if (width <= COLUMN_WIDTH_MAX && width > widths[column])
                        widths[column] = width;
        }

        for (size_t i = 0; i < table->cells->len; i++) {
                size_t column = i % table->n_columns;

                if (column == 0)
                        g_string_append(out, indent);
                g_string_append(out, table->cells->pdata[i]);

                if (column == table->n_columns - 1) {
                        while (out->str[out->len - 1] == ' ')
                                g_string_truncate(out, out->len - 1);
                        g_string_append_c(out, '\n');
                } else
                        for (size_t at = cell_width(table, i);
                             at < MAX(widths[column], cell_width(table, i)) + COLUMN_GAP; at++)
                                g_string_append_c(out, ' ');
        }
}
