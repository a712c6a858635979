/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The log: to the journal with fields when stderr is the journal, else to stderr. It never waits once
 * log_start_writer() was called: a line that cannot be written at once is dropped and counted, and the count
 * is reported once there is room again.
 */

#include <stdarg.h>
#include <syslog.h>

#include "macro.h"

typedef enum LogTarget {
        LOG_TARGET_STDERR,
        LOG_TARGET_JOURNAL,
} LogTarget;

/* Chooses the target: the journal when $JOURNAL_STREAM names what stderr is, as for a service. Ignores
 * SIGPIPE from now on: a reader of the log that went away must not end the daemon. */
void log_open(bool timestamps);

/* Waits a moment for the process that writes, if any, to write what it was given. */
void log_close(void);

/* From now on no line waits. Where stderr cannot be written without waiting (a file on a disk that hangs, a
 * terminal after ^S, a full pipe), this starts a process that writes there and may hang; it ends by itself
 * after this one. Call it with a single thread. Negative errno when there is no such process: then lines are
 * still written here. */
int log_start_writer(void);

/* Lines of a higher (less important) level than this are not logged. Default LOG_NOTICE. */
void log_set_max_level(int level);
int log_get_max_level(void);

LogTarget log_get_target(void);
void log_set_target(LogTarget target);

/* While muted, lines are made but not written: for the self-test. */
void log_set_muted(bool muted);

/* How many lines were dropped since the start. */
uint64_t log_get_dropped(void);

/* Reports dropped lines now if there is room; otherwise the next line does. */
void log_report_dropped(void);

/* One more field of a journal entry: "NAME=value", no newline in it. */
typedef struct LogField {
        char text[128];
} LogField;

/* Logs one line, with a MESSAGE_ID (32 hex digits, or NULL) and n fields for the journal. Bytes that are not
 * printable are escaped: names of workers may hold anything. Keeps errno. */
void log_full(int level,
              const char *message_id,
              const LogField *fields,
              size_t n_fields,
              const char *format,
              ...) _printf_(5, 6);

#define log_at(level, ...) log_full(level, NULL, NULL, 0, __VA_ARGS__)
#define log_error(...) log_at(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_WARNING, __VA_ARGS__)
#define log_notice(...) log_at(LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

/* Copies text with the bytes that could break a line, a terminal or a D-Bus string as \xHH; cut to size,
 * which is not needed with 4 bytes for each and 1 for the NUL. */
void log_escape(const char *text, char *buffer, size_t size);
