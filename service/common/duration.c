/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "duration.h"

#include <inttypes.h>
#include <stdio.h>

#define DIGITS "0123456789"
#define WHITESPACE " \t\n\r"

/* The units of durations. A name comes before its prefixes, so that "min" is not read as "m". */
static const struct {
        const char *name;
        uint64_t usec;
} duration_units[] = {
        { "seconds", USEC_PER_SEC },
        { "second", USEC_PER_SEC },
        { "sec", USEC_PER_SEC },
        { "s", USEC_PER_SEC },
        { "minutes", USEC_PER_MINUTE },
        { "minute", USEC_PER_MINUTE },
        { "min", USEC_PER_MINUTE },
        { "msec", USEC_PER_MSEC },
        { "ms", USEC_PER_MSEC },
        { "m", USEC_PER_MINUTE },
        { "hours", USEC_PER_HOUR },
        { "hour", USEC_PER_HOUR },
        { "hr", USEC_PER_HOUR },
        { "h", USEC_PER_HOUR },
        { "days", USEC_PER_DAY },
        { "day", USEC_PER_DAY },
        { "d", USEC_PER_DAY },
        { "weeks", 7 * USEC_PER_DAY },
        { "week", 7 * USEC_PER_DAY },
        { "w", 7 * USEC_PER_DAY },
        { "usec", 1 },
        { "us", 1 },
        { "\xc2\xb5s", 1 }, /* with the micro sign */
        { "\xce\xbcs", 1 }, /* with the Greek letter */
};

/* Parses a unit, if there is one, and advances past it. */
static bool parse_unit(const char **text, uint64_t *ret_usec) {
        for (size_t i = 0; i < ELEMENTSOF(duration_units); i++) {
                size_t length = strlen(duration_units[i].name);

                if (strncmp(*text, duration_units[i].name, length) == 0) {
                        *text += length;
                        *ret_usec = duration_units[i].usec;
                        return true;
                }
        }

        return false;
}

/* Adds number units to a sum, which must stay below USEC_INFINITY. */
static int add_units(uint64_t *sum, uint64_t number, uint64_t unit_usec) {
        uint64_t part;

        if (__builtin_mul_overflow(number, unit_usec, &part) || part >= USEC_INFINITY - *sum)
                return -ERANGE;

        *sum += part;
        return 0;
}

/* Parses one number with its unit and the whitespace around them, and adds it to the sum. */
static int parse_duration_part(const char **text, uint64_t default_unit_usec, uint64_t *sum) {
        const char *p = *text, *fraction = NULL;
        size_t n_digits = strspn(p, DIGITS), n_fraction = 0;
        uint64_t unit_usec = default_unit_usec, number = 0;
        bool separated;
        int r;

        if (p[n_digits] == '.') {
                fraction = p + n_digits + 1;
                n_fraction = strspn(fraction, DIGITS);
                if (n_fraction == 0)
                        return -EINVAL;
        } else if (n_digits == 0)
                return -EINVAL;

        if (n_digits > 0) {
                errno = 0;
                number = strtoull(p, NULL, 10);
                if (errno != 0)
                        return -ERANGE;
        }

        p = fraction ? fraction + n_fraction : p + n_digits;
        separated = strspn(p, WHITESPACE) > 0 || *p == '\0';
        p += strspn(p, WHITESPACE);
        if (!parse_unit(&p, &unit_usec) && !separated)
                return -EINVAL;

        r = add_units(sum, number, unit_usec);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n_fraction; i++) {
                unit_usec /= 10;
                r = add_units(sum, (uint64_t) (fraction[i] - '0'), unit_usec);
                if (r < 0)
                        return r;
        }

        *text = p + strspn(p, WHITESPACE);
        return 0;
}

int parse_duration(const char *text, uint64_t default_unit_usec, uint64_t *ret_usec) {
        const char *p = text + strspn(text, WHITESPACE);
        uint64_t sum = 0;
        int r;

        if (strncmp(p, "infinity", 8) == 0 && p[8 + strspn(p + 8, WHITESPACE)] == '\0')
                return -ERANGE;

        do {
                r = parse_duration_part(&p, default_unit_usec, &sum);
                if (r < 0)
                        return r;
        } while (*p != '\0');

        *ret_usec = sum;
        return 0;
}

/* Formats the digits after the point: 500000 with 6 digits as ".5", 0 as "". */
static void format_decimals(uint64_t number, int n_digits, char buffer[static 32]) {
        size_t n = (size_t) snprintf(buffer, 32, ".%0*" PRIu64, n_digits, number);

        while (buffer[n - 1] == '0')
                n--;
        buffer[buffer[n - 1] == '.' ? n - 1 : n] = '\0';
}

const char *format_duration(uint64_t usec, char *buffer, size_t size) {
        static const struct {
                const char *name;
                uint64_t usec;
                uint64_t from_usec; /* not used below; "24h" reads better than "1d" */
                int n_decimals;     /* the last part has them */
        } units[] = {
                { "d", USEC_PER_DAY, 2 * USEC_PER_DAY, 0 },     { "h", USEC_PER_HOUR, USEC_PER_HOUR, 0 },
                { "min", USEC_PER_MINUTE, USEC_PER_MINUTE, 0 }, { "s", USEC_PER_SEC, USEC_PER_SEC, 6 },
                { "ms", USEC_PER_MSEC, USEC_PER_MSEC, 3 },      { "us", 1, 1, 0 },
        };
        size_t n = 0;

        if (usec == USEC_INFINITY || usec == 0) {
                (void) snprintf(buffer, size, "%s", usec == 0 ? "0" : "infinity");
                return buffer;
        }

        for (size_t i = 0; i < ELEMENTSOF(units) && n < size && usec > 0; i++)
                if (usec >= units[i].from_usec) {
                        char decimals[32] = "";

                        if (units[i].n_decimals > 0)
                                format_decimals(usec % units[i].usec, units[i].n_decimals, decimals);
                        n += (size_t) snprintf(
                                        buffer + n, size - n, "%s%" PRIu64 "%s%s", n > 0 ? " " : "",
                                        usec / units[i].usec, decimals, units[i].name);
                        usec = units[i].n_decimals > 0 ? 0 : usec % units[i].usec;
                }

        return buffer;
}

uint64_t round_duration(uint64_t usec) {
        uint64_t unit = 1;

        if (usec == USEC_INFINITY)
                return usec;
        if (usec >= USEC_PER_DAY)
                unit = USEC_PER_HOUR;
        else if (usec >= USEC_PER_HOUR)
                unit = USEC_PER_MINUTE;
        else if (usec >= USEC_PER_MINUTE)
                unit = USEC_PER_SEC;
        else if (usec >= USEC_PER_SEC)
                unit = 100 * USEC_PER_MSEC;
        else if (usec >= USEC_PER_MSEC)
                unit = USEC_PER_MSEC;

        return usec_add(usec, unit / 2) / unit * unit;
}
