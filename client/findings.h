/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* What `wbctl doctor` has found out, and how it prints it. */

#include <glib.h>

#include "terminal.h"

typedef enum Section {
        SECTION_KERNEL,
        SECTION_CONDITIONS,
        SECTION_PRESSURE,
        SECTION_NOW,
        SECTION_BEFORE,
        SECTION_PROTECTION,
} Section;

typedef enum Result {
        RESULT_OK,
        RESULT_NOTE, /* a fact that is neither good nor bad by itself */
        RESULT_BAD,
        RESULT_UNKNOWN,
} Result;

/* The exit status of `wbctl doctor`. */
typedef enum Verdict {
        VERDICT_NOT_AFFECTED = 0,
        VERDICT_AFFECTED = 2,
        VERDICT_UNKNOWN = 3,
} Verdict;

typedef struct Finding {
        Section section;
        Result result;
        char *name;
        char *evidence;
} Finding;

typedef struct Findings {
        GPtrArray *list;   /* of Finding */
        GPtrArray *advice; /* of char *; each with its price */
        Verdict verdict;
        char *summary; /* a sentence */
        char *release;
        char *table_date; /* or NULL */
} Findings;

Findings *findings_new(void);
Findings *findings_free(Findings *findings);
DEFINE_TRIVIAL_CLEANUP(Findings *, findings_free);

/* Adds a finding; takes evidence. */
void findings_add(Findings *findings, Section section, const char *name, Result result, char *evidence);

/* Adds an advice, unless it has been added already. */
void findings_advise(Findings *findings, const char *format, ...) _printf_(2, 3);

/* Sorts them by section. */
void findings_sort(Findings *findings);

/* The output formats. */
void findings_append_text(GString *out, const Terminal *terminal, const Findings *findings);
void findings_append_json(GString *out, const Findings *findings);
void findings_append_nrpe(GString *out, const Findings *findings);
void findings_append_prometheus(GString *out, const Findings *findings);
