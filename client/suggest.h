/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* What a mistyped word probably means. */

#include <glib.h>

/* The one of the names that the word comes closest to, whatever its case; NULL if it resembles none. */
const char *suggest(const char *word, const char *const *names);

/* " (did you mean \"status\"?)", or "". To be freed. */
char *suggest_words(const char *word, const char *const *names);
