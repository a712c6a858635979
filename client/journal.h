/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The journal's entries of wbwatchd. A child process reads them: a disk that hangs delays nobody. */

#include <glib.h>

#include "jobs.h"

/* How long the journal may take. A verb also asks the daemon, and answers within 2 s. */
#define JOURNAL_TIMEOUT_USEC (1500 * USEC_PER_MSEC)

typedef struct JournalQuery {
        const char *directory;          /* as of `journalctl -D`; NULL: the journal of this machine */
        const char *const *message_ids; /* up to NULL; NULL: all lines, and those of systemd about the unit */
        uint64_t since_usec;            /* CLOCK_REALTIME; 0: no limit */
        const char *boot;               /* as of `journalctl -b`: "0", "-1", or an ID; NULL: all boots */
        const char *counted_id;         /* a message id: max_entries counts only these; NULL: all entries */
        size_t max_entries;             /* up to this many entries are read, the newest ones */
} JournalQuery;

/* The fields of an entry (a{ss}) are those of the daemon and a few of the journal's own, _BOOT_ID and _PID
 * among them. A field may occur several times. Added is the time of the entry, CLOCK_REALTIME in
 * microseconds. */
#define JOURNAL_TIME "__REALTIME_TIMESTAMP"

typedef Job JournalReader;

/* Starts to read. The caller must have a single thread. */
JournalReader *journal_reader_start(const JournalQuery *query);

/* Waits for the entries, until then (CLOCK_MONOTONIC), and frees the reader. Returns those that came in time,
 * the newest first. In *ret_error is 0 when these are all; -ETIMEDOUT; -ENODATA if there is no journal that
 * this user may read; -ENXIO if the journal does not have the boot; or another negative errno. Without a
 * reader (NULL) there are no entries, and *ret_error keeps its value. */
GPtrArray *journal_reader_finish(JournalReader *reader, uint64_t deadline_usec, int *ret_error);

/* A sentence for the user, without the full stop, for an error of journal_reader_finish(). */
char *journal_explain(const JournalQuery *query, int error);

/* A field that is a decimal number. False with *ret untouched if it is missing or something else. */
bool journal_number(GVariant *entry, const char *field, uint64_t *ret);
