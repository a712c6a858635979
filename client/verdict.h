/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Whether all is well: the first line of `wbctl status`, and the line of `wbctl health`. */

#include <glib.h>

#include "macro.h"
#include "terminal.h"

/* What the daemon said. */
typedef struct Facts {
        const Terminal *terminal;
        GVariant *properties;
        GVariant *episode; /* the newest, or NULL */
        bool knows_episodes;
        const char *state;
        uint64_t now_usec;
} Facts;

typedef enum Verdict {
        VERDICT_WELL,
        VERDICT_RUNNING,      /* matching workers run, but are not stuck */
        VERDICT_RECOVERY,     /* the Recovery time after a sync */
        VERDICT_SYNCING,      /* without a stall */
        VERDICT_UNKNOWN,      /* the episodes are missing */
        VERDICT_STUCK,        /* workers are stuck now */
        VERDICT_SYNC_HANGS,   /* a filesystem of the last sync has not answered yet */
        VERDICT_SYNC_STALLED, /* the last sync; whether it has returned is not known */
        VERDICT_UNHELPFUL,    /* syncs do not help here */
        VERDICT_OUTLIVED,     /* the last stall ended, but not by a sync */
        VERDICT_PAUSED_LONG,  /* somebody may have forgotten the pause */
        VERDICT_FAULT,        /* the daemon cannot see all kernel workers */
        VERDICT_GLOB,         /* Glob matches no kernel worker */
} Verdict;

/* episodes: the reply of ListEpisodes, or NULL. To be undone by facts_done(). */
Facts facts_new(const Terminal *terminal, GVariant *properties, GVariant *episodes, uint64_t now_usec);
void facts_done(Facts *facts);

/* Whether a stall is under way. */
bool facts_are_ongoing(const Facts *facts);

Verdict verdict_of(const Facts *facts);

/* Appends the first line of `wbctl status`. */
void headline_append(GString *out, const Facts *facts);

/* The verdict in a few words: "no stall; paused". */
char *verdict_summarize(const Facts *facts);

/* "6 spinning, 2 waiting; longest run 31s" */
char *describe_workers(GVariant *properties);

/* Whether automatic syncs are suspended, by a pause or an inhibitor. A sync under way hides that from State.
 */
bool syncs_are_suspended(GVariant *properties);

/* Why the daemon does not see all kernel workers, or NULL. */
const char *fault_of(GVariant *properties);
