/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "plot.h"

#include <inttypes.h>
#include <stdio.h>

#include "values.h"

/* With the labels on the left this fits into 80 columns. */
#define WIDTH 64
#define HEIGHT_MAX 8

/* Glyphs fill a cell in this many steps. */
#define STEPS 8

typedef struct Plot {
        const Terminal *terminal;
        uint64_t begin_usec, end_usec;
        uint32_t counts[WIDTH]; /* the most spinning workers of a column */
        uint32_t max;
        int label_width;
} Plot;

static size_t plot_column(const Plot *plot, uint64_t usec) {
        uint64_t length = plot->end_usec - plot->begin_usec;

        return (size_t) MIN(usec_subtract(usec, plot->begin_usec) * WIDTH / length, WIDTH - 1);
}

/* A sample holds until the next one. */
static void plot_fill(Plot *plot, GVariant *samples) {
        size_t n = g_variant_n_children(samples), at = 0;
        uint32_t count = 0, n_waiting;

        for (size_t i = 0; i < n; i++) {
                uint64_t usec;
                size_t column;

                g_variant_get_child(samples, i, "(tuu)", &usec, NULL, NULL);
                for (column = plot_column(plot, usec); at < column; at++)
                        plot->counts[at] = MAX(plot->counts[at], count);
                g_variant_get_child(samples, i, "(tuu)", NULL, &count, &n_waiting);
                plot->counts[column] = MAX(plot->counts[column], count);
                plot->max = MAX(plot->max, count);
        }
}

/* How many steps of the cell of this row, counted from 0 at the bottom, are filled. What is not zero is shown
 * in the lowest row. */
static unsigned cell_steps(const Plot *plot, unsigned row, unsigned height, uint32_t count) {
        unsigned total = (unsigned) ((uint64_t) count * height * STEPS / MAX(plot->max, 1u));

        if (count > 0 && total == 0)
                total = 1;
        return total <= row * STEPS ? 0 : MIN(total - row * STEPS, (unsigned) STEPS);
}

static void append_cell(GString *out, const Plot *plot, unsigned row, unsigned steps) {
        static const char *const glyphs[] = { " ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };

        if (plot->terminal->utf8)
                g_string_append(out, glyphs[steps]);
        else
                g_string_append_c(out, steps >= STEPS / 2 || (steps > 0 && row == 0) ? '#' : ' ');
}

static void cut_spaces(GString *out) {
        while (out->str[out->len - 1] == ' ')
                g_string_truncate(out, out->len - 1);
        g_string_append_c(out, '\n');
}

static void append_row(GString *out, const Plot *plot, unsigned row, unsigned height) {
        const char *axis = plot->terminal->utf8 ? "│" : "|";

        if (row == height - 1)
                g_string_append_printf(out, "  %*" PRIu32 " %s", plot->label_width, plot->max, axis);
        else
                g_string_append_printf(out, "  %*s %s", plot->label_width, "", axis);
        for (size_t column = 0; column < WIDTH; column++)
                append_cell(out, plot, row, cell_steps(plot, row, height, plot->counts[column]));
        cut_spaces(out);
}

static void append_axis(GString *out, const Plot *plot) {
        g_string_append_printf(out, "  %*u %s", plot->label_width, 0u, plot->terminal->utf8 ? "└" : "+");
        for (size_t column = 0; column < WIDTH; column++)
                g_string_append(out, plot->terminal->utf8 ? "─" : "-");
        g_string_append_c(out, '\n');
}

/* "^1" at the start of sync 1, without the number where there is no room. */
static void append_marks(GString *out, const Plot *plot, GVariant *syncs) {
        char line[WIDTH + 1];

        memset(line, ' ', WIDTH);
        line[WIDTH] = '\0';
        for (size_t i = 0; i < g_variant_n_children(syncs); i++) {
                g_autoptr(GVariant) sync = g_variant_get_child_value(syncs, i);
                size_t column = plot_column(plot, lookup_number_or_zero(sync, "StartUSec"));
                char number[24];
                int n = snprintf(number, sizeof(number), "%" PRIu64, lookup_number_or_zero(sync, "Id"));

                line[column] = '^';
                if (column + (size_t) n < WIDTH)
                        memcpy(line + column + 1, number, (size_t) n);
        }
        g_string_append_printf(out, "  %*s  %s", plot->label_width, "", line);
        cut_spaces(out);
}

static void append_times(GString *out, const Plot *plot) {
        g_autofree char *length = span_format(plot->end_usec - plot->begin_usec);

        g_string_append_printf(out, "  %*s  0%*s\n", plot->label_width, "", WIDTH - 1, length);
}

void plot_append(GString *out, const Terminal *terminal, GVariant *samples, GVariant *syncs) {
        size_t n = g_variant_n_children(samples);
        Plot plot = { .terminal = terminal };
        unsigned height;

        if (n < 2)
                return;
        g_variant_get_child(samples, 0, "(tuu)", &plot.begin_usec, NULL, NULL);
        g_variant_get_child(samples, n - 1, "(tuu)", &plot.end_usec, NULL, NULL);
        if (plot.end_usec <= plot.begin_usec)
                return; /* the clock was set back */

        plot_fill(&plot, samples);
        plot.label_width = snprintf(NULL, 0, "%" PRIu32, plot.max);
        height = MIN(MAX(plot.max, 1u), (unsigned) HEIGHT_MAX);
        for (unsigned row = height; row-- > 0;)
                append_row(out, &plot, row, height);
        append_axis(out, &plot);
        if (syncs && g_variant_n_children(syncs) > 0)
                append_marks(out, &plot, syncs);
        append_times(out, &plot);
}
