/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "suggest.h"

#include "macro.h"

/* Longer words are not mistyped names. */
#define WORD_MAX 40

/* How many letters have to be added, removed, replaced, or swapped with the next one. A missing ending counts
 * as one. */
static size_t count_typos(const char *word, const char *name) {
        size_t n_word = strlen(word), n_name = strlen(name), rows[WORD_MAX + 1][WORD_MAX + 1];
        size_t count = SIZE_MAX;

        for (size_t i = 0; i <= n_word; i++)
                for (size_t j = 0; j <= n_name; j++) {
                        bool same;

                        if (i == 0 || j == 0) {
                                rows[i][j] = i + j;
                                continue;
                        }
                        same = g_ascii_tolower(word[i - 1]) == g_ascii_tolower(name[j - 1]);
                        rows[i][j] = MIN(MIN(rows[i - 1][j], rows[i][j - 1]) + 1, rows[i - 1][j - 1] + !same);
                        if (i > 1 && j > 1 && word[i - 1] == name[j - 2] && word[i - 2] == name[j - 1])
                                rows[i][j] = MIN(rows[i][j], rows[i - 2][j - 2] + 1);
                }
        for (size_t j = 0; j <= n_name; j++)
                count = MIN(count, rows[n_word][j] + (j < n_name));
        return count;
}

const char *suggest(const char *word, const char *const *names) {
        size_t length = strlen(word), count, best_count = MIN(length / 3 + 1, 4u);
        const char *best = NULL;

        for (; length <= WORD_MAX && *names; names++) {
                count = strlen(*names) <= WORD_MAX ? count_typos(word, *names) : SIZE_MAX;
                if (count < best_count) {
                        best_count = count;
                        best = *names;
                }
        }
        return best;
}

char *suggest_words(const char *word, const char *const *names) {
        const char *name = suggest(word, names);

        return name ? g_strdup_printf(" (did you mean \"%s\"?)", name) : g_strdup("");
}
