/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The episodes of the journal and of the running daemon as one list. An episode is a dictionary as of
 * ListEpisodes, and has these members, too:
 *
 *   BootID s       the boot in which it began
 *   FromJournal b  true: the running daemon does not have it
 *
 * The outcome of an episode that has begun in the journal but not ended there is "unknown".
 */

#include <glib.h>

#include "macro.h"

#define OUTCOME_UNKNOWN "unknown"

/* The messages that history_from_journal() needs, for a JournalQuery. */
extern const char *const history_message_ids[];

/* Puts episodes together from journal entries, the newest first: an aa{sv} in the order of their start. */
GVariant *history_from_journal(const GPtrArray *entries);

typedef struct HistoryFilter {
        uint64_t since_usec, until_usec; /* of their start, CLOCK_REALTIME */
        size_t max;                      /* the newest ones */
} HistoryFilter;

/* One list, in the order of their start, of what passes the filter. Of an episode that both have, it has the
 * daemon's. daemon: the reply of ListEpisodes, or NULL; boot_id: its boot. */
GVariant *history_merge(
                GVariant *journal,
                GVariant *daemon,
                const char *boot_id,
                const HistoryFilter *filter);
