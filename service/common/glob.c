/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "glob.h"

#include <glib.h>

#include "text.h"

/* The "]" of the bracket that opens at "[", or NULL if it is not closed and thus literal. */
static const char *bracket_end(const char *open, bool with_escapes) {
        const char *p = open + 1;

        if (*p == '!' || *p == '^')
                p++;
        if (*p == ']')
                p++;
        for (; *p != '\0' && *p != ']'; p++)
                if (with_escapes && *p == '\\' && p[1] != '\0')
                        p++;

        return *p == ']' ? p : NULL;
}

static bool has_endless_bracket(const char *glob) {
        for (const char *p = glob; *p != '\0'; p++)
                if (*p == '\\' && p[1] != '\0')
                        p++;
                else if (*p == '[') {
                        p = bracket_end(p, /* with_escapes= */ true);
                        if (!p)
                                return true;
                }

        return false;
}

/* The ")" of the pattern list that opens at "(", or NULL if it is not closed and thus literal. Brackets end
 * at their first "]", even in "[[:digit:]]", as glibc skips them here, but not elsewhere. */
static const char *list_end(const char *open) {
        for (const char *p = open + 1; *p != '\0'; p++) {
                if (*p == ')')
                        return p;
                if (*p == '[') {
                        p = bracket_end(p, /* with_escapes= */ false);
                        if (!p)
                                return NULL;
                }
        }

        return NULL;
}

static bool list_begins(const char *p) {
        return *p != '\0' && strchr("?*+@!", *p) && p[1] == '(';
}

/* What multiplies the matching time of a glob, up to the current position. */
typedef struct Cost {
        unsigned n_lists;
        unsigned n_alternatives;
        unsigned n_open; /* parts of any length */
} Cost;

/* Adds the pattern list that ends at end. */
static int add_list(Cost *cost, const char *glob, const char *list, const char *end, char **ret_error) {
        char shown[TEXT_SHOWN_SIZE];
        unsigned n_alternatives = 1, n_stars = 0;

        for (const char *p = list + 2; p < end; p++) {
                if (list_begins(p))
                        return refuse(-EINVAL, ret_error, "%s has nested pattern lists",
                                      text_show(glob, shown));
                n_alternatives += *p == '|';
                n_stars += *p == '*';
        }

        /* glibc would read "@(a+)(b)" as "a+(b)". */
        if (end[1] == '(')
                return refuse(-EINVAL, ret_error, "%s has a \"(\" directly after a pattern list",
                              text_show(glob, shown));

        /* The number of ways to repeat a choice is exponential in the length of the name. */
        if ((*list == '*' || *list == '+') && (n_alternatives > 1 || n_stars > 0))
                return refuse(-EINVAL, ret_error,
                              "%s repeats a choice: \"%c(\" takes only one alternative, without \"*\"",
                              text_show(glob, shown), *list);

        cost->n_lists++;
        cost->n_alternatives += n_alternatives;
        cost->n_open += n_stars + (*list != '@' && *list != '?');
        return 0;
}

static int check_number(const char *glob, unsigned n, unsigned maximum, const char *what, char **ret_error) {
        char shown[TEXT_SHOWN_SIZE];

        if (n <= maximum)
                return 0;
        return refuse(-ERANGE, ret_error, "%s has %u %s, more than the maximum of %u", text_show(glob, shown),
                      n, what, maximum);
}

static int check_cost(const char *glob, const Cost *cost, char **ret_error) {
        int r;

        if (cost->n_lists == 0)
                return 0;
        r = check_number(glob, cost->n_lists, GLOB_LISTS_MAX, "pattern lists", ret_error);
        if (r < 0)
                return r;
        r =
                        check_number(glob, cost->n_alternatives, GLOB_ALTERNATIVES_MAX,
                                     "alternatives in pattern lists", ret_error);
        if (r < 0)
                return r;
        return check_number(
                        glob, cost->n_open, GLOB_OPEN_MAX, "parts of any length beside or in pattern lists",
                        ret_error);
}

/* Checks the structure of a glob, and bounds the time that fnmatch(3) may take.
 *
 * Without pattern lists matching is fast, however many `*` there are, since glibc never backtracks past the
 * last one. With a list, glibc tries everything after it again for each alternative, and for each length of
 * an open part before it: each of these multiplies the time.
 *
 * A list or bracket without an end is literal to glibc, which searches for the end again and again. It is a
 * mistake anyway.
 *
 * Escaped lists, and lists in brackets, count as well: to count or refuse one too many is safe, and glibc is
 * inconsistent about where brackets end. */
static int check_structure(const char *glob, char **ret_error) {
        char shown[TEXT_SHOWN_SIZE];
        Cost cost = {};
        int r;

        for (const char *p = glob; *p != '\0'; p++) {
                const char *end;

                if (!list_begins(p)) {
                        cost.n_open += *p == '*';
                        continue;
                }

                end = list_end(p + 1);
                if (!end)
                        return refuse(-EINVAL, ret_error,
                                      "%s has a pattern list without an end; write a literal \"%c(\" as "
                                      "[%c](",
                                      text_show(glob, shown), *p, *p);
                r = add_list(&cost, glob, p, end, ret_error);
                if (r < 0)
                        return r;
                p = end;
        }

        if (has_endless_bracket(glob))
                return refuse(-EINVAL, ret_error,
                              "%s has a \"[\" without a \"]\"; write a literal \"[\" as [[]",
                              text_show(glob, shown));

        return check_cost(glob, &cost, ret_error);
}

int glob_check(const char *glob, char **ret_error) {
        size_t length = strlen(glob);
        char shown[TEXT_SHOWN_SIZE];
        const char *end;

        if (!g_utf8_validate(glob, (gssize) length, &end))
                return refuse(-EINVAL, ret_error, "%s is not valid UTF-8 from byte %zu on",
                              text_show(glob, shown), (size_t) (end - glob) + 1);

        for (const char *p = glob; *p != '\0'; p++)
                if (text_is_control(p))
                        return refuse(-EINVAL, ret_error, "%s has a control character at byte %zu",
                                      text_show(glob, shown), (size_t) (p - glob) + 1);

        /* A file can't contain it: spaces around a value are removed. */
        if (glob[0] == ' ' || glob[length - 1] == ' ')
                return refuse(-EINVAL, ret_error, "\"%s\" begins or ends with a space: write it as [ ]",
                              text_show(glob, shown));

        return check_structure(glob, ret_error);
}

bool glob_can_match_kworker(const char *glob) {
        static const char prefix[] = "kworker/";

        for (const char *p = glob, *expected = prefix; *expected != '\0'; p++, expected++) {
                if (list_begins(p) || *p == '*' || *p == '?' || *p == '[')
                        return true;

                if (*p == '\\') {
                        p++;
                        if (*p == '\0')
                                return true; /* matches nothing in glibc, but something elsewhere */
                }

                if (*p != *expected)
                        return false;
        }

        return true;
}
