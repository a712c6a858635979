/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Runs $WBCTL with these arguments, quoted as in a shell, on no bus unless the address of one is given.
 * Returns its exit status, and its output, to be freed by the caller. */
int run_wbctl(const char *arguments, const char *address, char **ret_stdout, char **ret_stderr);
