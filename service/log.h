/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The log. If stderr is the journal, lines go there with fields, else to stderr. After log_start_writer()
 * logging does not block: a line that can't be written at once is dropped and counted, and the count is
 * logged when lines can be written again.
 */

#include <stdarg.h>
#include <syslog.h>

#include "macro.h"

typedef enum LogTarget {
        LOG_TARGET_STDERR,
        LOG_TARGET_JOURNAL,
} LogTarget;

/* Chooses the target: the journal if $JOURNAL_STREAM names stderr, as in a service. Also ignores SIGPIPE, so
 * that the daemon survives the end of a reader of its log. */
void log_open(bool timestamps);

/* Waits briefly for the writer process, if any, to write what it has received. */
void log_close(void);

/* From now on logging does not block. If writing to stderr may block (a file, a terminal, a pipe), starts a
 * process that writes there and exits after this one. The process must have a single thread. Returns negative
 * errno if that process can't be started; logging may then still block. */
int log_start_writer(void);

/* Lines above this level (less important) are not logged. Default LOG_NOTICE. */
void log_set_max_level(int level);
int log_get_max_level(void);

LogTarget log_get_target(void);
void log_set_target(LogTarget target);

/* While muted, lines are formatted but not written. For the self-test. */
void log_set_muted(bool muted);

/* The number of lines dropped since the start. */
uint64_t log_get_dropped(void);

/* Logs the count of dropped lines now if possible, else before the next line. */
void log_report_dropped(void);

/* The fields of a journal entry, as the journal takes them. Only size must be initialised. */
#define LOG_FIELDS_MAX 8192
typedef struct LogFields {
        size_t size;
        char text[LOG_FIELDS_MAX];
} LogFields;

/* The longest field, before it is escaped. */
#define LOG_FIELD_MAX 4096

/* Adds a field, "NAME=value". One that does not fit is left out. Escapes like log_full(). */
void log_add_field(LogFields *fields, const char *format, ...) _printf_(2, 3);

/* Logs a line, for the journal with a MESSAGE_ID (32 hex digits, or NULL) and with fields, or NULL. Escapes
 * unprintable bytes, since names of workers may contain anything. Preserves errno. */
void log_full(int level, const char *message_id, const LogFields *fields, const char *format, ...)
                _printf_(4, 5);

#define log_at(level, ...) log_full(level, NULL, NULL, __VA_ARGS__)
#define log_error(...) log_at(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_WARNING, __VA_ARGS__)
#define log_notice(...) log_at(LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)
