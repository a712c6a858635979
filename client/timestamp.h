/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Points in time as `journalctl --since` reads them: "2026-11-29 10:00", "yesterday", "-1h". */

#include "macro.h"

/* What a user may write, for messages. */
#define TIMESTAMP_FORMS "\"2026-11-29 10:00\", 10:00, yesterday, -1h or @SECONDS"

/* Parses a point in time. A date without a time is its midnight, a time without a date is today; seconds may
 * be missing; local time, unless UTC or a local zone ("CET") follows. A duration with "-" in front, or with
 * "ago" behind, counts back from now. "now", "today", "yesterday"; "@" and seconds since 1970. -EINVAL if it
 * is something else. */
int timestamp_parse(const char *text, uint64_t now_usec, uint64_t *ret_usec);
