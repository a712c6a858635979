/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The last lines of the daemon's log, as text. */

#include "client.h"
#include "journal.h"
#include "values.h"

static void add_line(Table *table, const Terminal *terminal, GVariant *entry, const char *zone) {
        const char *message = NULL;
        uint64_t usec = 0;

        (void) g_variant_lookup(entry, "MESSAGE", "&s", &message);
        (void) journal_number(entry, JOURNAL_TIME, &usec);
        table_add_owned(table, time_format_in_zone(usec, zone));
        table_add_owned(table, terminal_escape(terminal, message ?: "?"));
}

void log_lines_append(GString *out, const Terminal *terminal, GPtrArray *entries, uint64_t now_usec) {
        _cleanup_(table_freep) Table *table = table_new(2);
        g_autofree char *zone = zone_format(now_usec);

        g_string_append_printf(out, "\nLog (%s):\n", zone);
        table_set_width(table, terminal);
        for (guint i = entries->len; i > 0; i--)
                add_line(table, terminal, entries->pdata[i - 1], zone);
        table_append(table, out, "  ");
}
