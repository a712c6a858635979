/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The environment of a test program: private mounts, and the files of the project. */

/* Moves this program into a new mount namespace, and into more namespaces (CLONE_NEW*, or 0), with an empty
 * filesystem in memory over /run, which hides the services of this machine. $TMPDIR is in it: files vanish
 * with the program, however it ends. Returns 0, or a negative errno if that is not permitted. */
int isolate(int namespaces);

/* The path of a project file, given relative to the top folder. To be freed. */
char *fixture_source_file(const char *name);
