/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "timestamp.h"

#include <glib.h>

#include "duration.h"

/* The time of mktime() or timegm(), if it is a date that exists. */
static int from_calendar(struct tm tm, bool utc, uint64_t *ret_usec) {
        const struct tm wanted = tm;
        time_t seconds = utc ? timegm(&tm) : mktime(&tm);

        if (seconds < 0 || tm.tm_mday != wanted.tm_mday)
                return -EINVAL;
        *ret_usec = (uint64_t) seconds * USEC_PER_SEC;
        return 0;
}

/* Cuts a zone off the end. tm_isdst is then that of the zone, or -1 without one. */
static void cut_zone(char *text, bool *ret_utc, int *ret_isdst) {
        const struct {
                const char *name;
                bool utc;
                int isdst;
        } zones[] = { { "UTC", true, 0 }, { tzname[0], false, 0 }, { tzname[1], false, 1 } };

        *ret_utc = false;
        *ret_isdst = -1;
        for (size_t i = 0; i < ELEMENTSOF(zones); i++) {
                g_autofree char *ending = g_strconcat(" ", zones[i].name, NULL);

                if (!g_str_has_suffix(text, ending))
                        continue;
                text[strlen(text) - strlen(ending)] = '\0';
                *ret_utc = zones[i].utc;
                *ret_isdst = zones[i].isdst;
                return;
        }
}

static int parse_calendar(const char *text, uint64_t now_usec, uint64_t *ret_usec) {
        static const char *const dates[] = { "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M",
                                             "%Y-%m-%d" };
        static const char *const times[] = { "%H:%M:%S", "%H:%M" };
        time_t now = (time_t) (now_usec / USEC_PER_SEC);
        g_autofree char *copy = g_strdup(text);
        struct tm today;
        int isdst;
        bool utc;

        cut_zone(copy, &utc, &isdst);
        if (!(utc ? gmtime_r(&now, &today) : localtime_r(&now, &today)))
                return -EINVAL;
        today.tm_hour = today.tm_min = today.tm_sec = 0;
        today.tm_isdst = isdst;

        for (size_t i = 0; i < ELEMENTSOF(dates) + ELEMENTSOF(times); i++) {
                const char *form = i < ELEMENTSOF(dates) ? dates[i] : times[i - ELEMENTSOF(dates)], *end;
                struct tm tm = today;

                end = strptime(copy, form, &tm);
                tm.tm_isdst = isdst;
                if (end && *end == '\0')
                        return from_calendar(tm, utc, ret_usec);
        }
        return -EINVAL;
}

static int parse_midnight(int days, uint64_t now_usec, uint64_t *ret_usec) {
        time_t now = (time_t) (now_usec / USEC_PER_SEC), seconds;
        struct tm tm;

        if (!localtime_r(&now, &tm))
                return -EINVAL;
        tm.tm_mday += days;
        tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
        tm.tm_isdst = -1;
        seconds = mktime(&tm);
        if (seconds < 0)
                return -EINVAL;
        *ret_usec = (uint64_t) seconds * USEC_PER_SEC;
        return 0;
}

static int parse_past(const char *duration, uint64_t now_usec, uint64_t *ret_usec) {
        uint64_t usec;

        if (parse_duration(duration, USEC_PER_SEC, &usec) < 0)
                return -EINVAL;
        *ret_usec = usec_subtract(now_usec, usec);
        return 0;
}

int timestamp_parse(const char *text, uint64_t now_usec, uint64_t *ret_usec) {
        guint64 seconds;

        tzset();
        if (streq(text, "now"))
                return parse_past("0", now_usec, ret_usec);
        if (streq(text, "today"))
                return parse_midnight(0, now_usec, ret_usec);
        if (streq(text, "yesterday"))
                return parse_midnight(-1, now_usec, ret_usec);
        if (*text == '-')
                return parse_past(text + 1, now_usec, ret_usec);
        if (g_str_has_suffix(text, " ago")) {
                g_autofree char *duration = g_strndup(text, strlen(text) - strlen(" ago"));

                return parse_past(duration, now_usec, ret_usec);
        }
        if (*text == '@') {
                if (!g_ascii_string_to_unsigned(text + 1, 10, 0, G_MAXINT64 / USEC_PER_SEC, &seconds, NULL))
                        return -EINVAL;
                *ret_usec = seconds * USEC_PER_SEC;
                return 0;
        }
        return parse_calendar(text, now_usec, ret_usec);
}
