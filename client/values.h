/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Values from the bus: taken out of a message as GVariants, and looked up in dictionaries that may lack them.
 */

#include <glib.h>
#include <systemd/sd-bus.h>

#include "macro.h"

/* Reads the one complete value at which the message stands, of any type but file descriptors. */
int variant_from_message(sd_bus_message *message, GVariant **ret);

/* The whole of a message's arguments, as a tuple. */
int arguments_from_message(sd_bus_message *message, GVariant **ret);

/* Members of an a{sv}: NULL, or false with *ret untouched, where it is missing or of another type. A number
 * may be of type t or u. The text belongs to the dictionary, the list is a new reference. */
const char *lookup_string(GVariant *dictionary, const char *name);
GVariant *lookup_list(GVariant *dictionary, const char *name); /* an aa{sv} */
bool lookup_number(GVariant *dictionary, const char *name, uint64_t *ret);
bool lookup_double(GVariant *dictionary, const char *name, double *ret);
bool lookup_boolean(GVariant *dictionary, const char *name, bool *ret);

/* The same, with 0 or false for what is missing. */
uint64_t lookup_number_or_zero(GVariant *dictionary, const char *name);
bool lookup_true(GVariant *dictionary, const char *name);
