/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "option-help.h"

#include <locale.h>
#include <stdio.h>

/* GOption's help holds an ellipsis character, which its own --help shows as "?" where the locale lacks it. */
void option_help_print(GOptionContext *context) {
        g_autofree char *help = g_option_context_get_help(context, TRUE, NULL);
        g_autoptr(GString) text = g_string_new(help);

        (void) setlocale(LC_CTYPE, "");
        if (!g_get_charset(NULL))
                (void) g_string_replace(text, "\u2026", "...", 0);
        (void) fputs(text->str, stdout);
}
