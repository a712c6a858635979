/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Removes from texts what names a person, a machine or a customer: names of hosts and users, addresses, ids,
 * serial numbers, command lines of the kernel, and paths, except those that every Linux has.
 */

#include <glib.h>
#include <stdio.h>

#include "macro.h"

typedef struct Redactor Redactor;

/* names: what is private on this machine, as private_names_write() writes it. */
Redactor *redactor_new(const char *names);
Redactor *redactor_free(Redactor *redactor);
DEFINE_TRIVIAL_CLEANUP(Redactor *, redactor_free);

/* A copy of the text without them. Each becomes "<user>" or the like; the same path becomes the same
 * "<path-7>" in all texts. has_names: also without those names that only the list has; else the text cannot
 * contain any, and a host called "vm" does not spoil it. NULL if that failed: then the text must not be
 * shown. */
char *redact(Redactor *redactor, const char *text, bool has_names);

/* Writes the private names that cannot be recognized by their form, a line for each: its kind and the name.
 * root: the folder in place of /. Returns negative errno if a file that has them exists, and cannot be read.
 */
int private_names_write(const char *root, FILE *out);
