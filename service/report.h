/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Log lines with their journal fields, and the status text. */

#include "engine.h"
#include "settings.h"

#define REPORT_STATUS_MAX 512
#define REPORT_TROUBLE_MAX 500 /* several filesystems */

/* Logs a line for each event that an administrator needs to know of. Episodes, syncs and waiting workers
 * carry a MESSAGE_ID (messages.h). */
void report_events(const EngineEvents *events);

/* What a sync has not done: "; /srv (xfs): timeout" for each filesystem that was not synced, or why all of it
 * failed; else "". Not escaped: a mountpoint may contain any bytes. A longer text is cut. Returns buffer. */
const char *report_trouble(const Sync *sync, char *buffer, size_t size);

/* What the status text is made from. */
typedef struct ReportContext {
        const Engine *engine;
        const Settings *settings;
        const char *fault;          /* "" when there is none */
        const char *polling_reason; /* why thread creation events are not received, or NULL */
        uint64_t now_usec;          /* CLOCK_MONOTONIC */
} ReportContext;

/* What the daemon sees, and why it acts or does not, in one line. A size of REPORT_STATUS_MAX always
 * suffices. Returns buffer. */
const char *report_status(const ReportContext *context, char *buffer, size_t size);

/* When workers count as stuck, in words: "stuck after 30s, or a crowd of 4 for 10s". Returns buffer. */
const char *report_limits(const Engine *engine, const Settings *settings, char *buffer, size_t size);
