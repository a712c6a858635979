/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Durations as text, in files, on command lines and in messages: "1min 30s". */

#include "macro.h"

/* Parses a duration as systemd spells it: "30s", "1min 30s", "500ms", "1.5h"; "m" is a minute; a bare number
 * counts in default_unit_usec. -EINVAL if it is not a duration, -ERANGE if it does not fit. */
int parse_duration(const char *text, uint64_t default_unit_usec, uint64_t *ret_usec);

/* Room for every duration that format_duration() writes. */
#define DURATION_SIZE 64

/* Writes a duration so that parse_duration() reads the same value back: "1min 30s", "6.1s", "500ms", "0";
 * "infinity" for USEC_INFINITY (which is not parsed back). DURATION_SIZE always suffices. Returns buffer. */
const char *format_duration(uint64_t usec, char *buffer, size_t size);

/* Rounds a duration for display, to two or three digits: 12.345 s to 12.3 s, 184.4 s to 3 min 4 s. */
uint64_t round_duration(uint64_t usec);
