/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Globs that select kernel workers by name, matched by fnmatch(3) with FNM_EXTMATCH: which ones are valid. */

#include "macro.h"

/* Limits of globs with pattern lists, see glob_check(). */
#define GLOB_LISTS_MAX 2
#define GLOB_ALTERNATIVES_MAX 4
#define GLOB_OPEN_MAX 2

/* Checks that a glob is valid: UTF-8 without control characters, without a space at its ends, with all
 * brackets and pattern lists closed. To bound the matching time, it may have at most two pattern lists, not
 * nested, and with them at most four alternatives and two parts of any length: `*`, `*(a)`, `+(a)` and
 * `!(a|b)`. `*(a)` and `+(a)` take one alternative, without `*`.
 *
 * The slowest glob found by a search takes 5 ms for a name of 63 bytes, the built-in glob 1 us. To continue
 * the search: `tests/fuzz/run build/clang-fuzz/tests/fuzz/fuzz-glob tests/fuzz/corpus/glob`.
 *
 * -EINVAL or -ERANGE with a message in *ret_error, to be freed by the caller, that names the glob, the reason
 * and the bound; -ENOMEM if there is no memory for the message. */
int glob_check(const char *glob, char **ret_error);

/* Whether a glob may match the name of any kernel worker, which begins with "kworker/". Compares only the
 * part before the first wildcard, bracket or pattern list: false is certain, true is not. A glob that cannot
 * match is valid, since it does no harm, but nothing would ever be detected: callers that set or show it
 * should warn. */
bool glob_can_match_kworker(const char *glob);

/* The words of the warning, behind the setting. */
#define GLOB_USELESS                                                                                         \
        "cannot match any kernel worker, since their names begin with kworker/: nothing will be detected"
