/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Values from the bus: converts messages to GVariants, and looks members up in dictionaries that may lack
 * them. */

#include <glib.h>
#include <systemd/sd-bus.h>

#include "macro.h"
#include "terminal.h"

/* Reads the next complete value of the message. Types with file descriptors are not supported. */
int variant_from_message(sd_bus_message *message, GVariant **ret);

/* Reads all arguments of a message, as a tuple. */
int arguments_from_message(sd_bus_message *message, GVariant **ret);

/* Members of an a{sv}. NULL, or false with *ret untouched, if the member is missing or of another type. A
 * number may be of type t or u. The string belongs to the dictionary; the list is a new reference. */
const char *lookup_string(GVariant *dictionary, const char *name);
GVariant *lookup_list(GVariant *dictionary, const char *name); /* an aa{sv} */
bool lookup_number(GVariant *dictionary, const char *name, uint64_t *ret);
bool lookup_double(GVariant *dictionary, const char *name, double *ret);
bool lookup_boolean(GVariant *dictionary, const char *name, bool *ret);

/* The same, with 0 or false for missing members. */
uint64_t lookup_number_or_zero(GVariant *dictionary, const char *name);
bool lookup_true(GVariant *dictionary, const char *name);

/* The string as terminal_escape() writes it, "?" if it is missing. */
char *lookup_escaped(const Terminal *terminal, GVariant *dictionary, const char *name);

/* Whether the member is this string. */
bool lookup_is(GVariant *dictionary, const char *name, const char *text);

/* The last element of a list, which is the newest episode or sync; or NULL. */
GVariant *list_newest(GVariant *list);
