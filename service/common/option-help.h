/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

#include <glib.h>

/* Prints the help of a command line, in the characters of the terminal. Sets the locale: the program must end
 * after that, since the daemon's fnmatch(3) would match other names. */
void option_help_print(GOptionContext *context);
