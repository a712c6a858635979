/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The settings: the table, the checks that every value goes through, and the files that values come from.
 *
 * What a running daemon may call (parsing, checking, formatting) allocates nothing but error texts, and works
 * without them when that fails. What reads files is for the start and for the helper process of storage.c.
 */

#include "settings.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <glib.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define SECTION "[Watch]"
#define DIGITS "0123456789"
#define WHITESPACE " \t\n\r"

/* People write configurations: whatever is larger is none. */
#define FILE_SIZE_MAX (1024 * 1024)
#define LINE_BYTES_MAX 4096

/* Of a value, a message shows so many bytes. Each may be escaped as \xHH. */
#define SHOWN_MAX 200
#define SHOWN_SIZE (SHOWN_MAX * 4 + sizeof("..."))

/* How many steps a glob may take fnmatch(3), and how many of them a call of its parts is worth (see
 * check_glob_cost()). The worst glob and name of 63 bytes that a search found within this bound take it 83
 * ms, sensible ones microseconds. */
#define GLOB_STEPS_MAX UINT64_C(12000000)
#define GLOB_STEPS_PER_CALL 4

const SettingInfo setting_table[_SETTING_MAX] = {
        [SETTING_GLOB] = {
                .key = "Glob",
                .property = "Glob",
                .type = SETTING_TYPE_GLOB,
                .offset = offsetof(Settings, glob),
                .minimum = 1,
                .maximum = SETTINGS_GLOB_MAX,
                .built_in = "kworker/*inode_switch_wbs*",
        },
        [SETTING_THRESHOLD] = {
                .key = "ThresholdSec",
                .property = "ThresholdUSec",
                .type = SETTING_TYPE_USEC,
                .offset = offsetof(Settings, threshold_usec),
                .minimum = USEC_PER_SEC,
                .maximum = USEC_PER_DAY,
                .built_in = "30s",
        },
        [SETTING_CROWD_SIZE] = {
                .key = "CrowdSize",
                .property = "CrowdSize",
                .type = SETTING_TYPE_UNSIGNED,
                .offset = offsetof(Settings, crowd_size),
                .minimum = 0,
                .maximum = 10000,
                .built_in = "4",
        },
        [SETTING_CROWD_THRESHOLD] = {
                .key = "CrowdThresholdSec",
                .property = "CrowdThresholdUSec",
                .type = SETTING_TYPE_USEC,
                .offset = offsetof(Settings, crowd_threshold_usec),
                .minimum = USEC_PER_SEC,
                .maximum = USEC_PER_DAY,
                .built_in = "10s",
        },
        [SETTING_COUNT_WAITING] = {
                .key = "CountWaiting",
                .property = "CountWaiting",
                .type = SETTING_TYPE_BOOLEAN,
                .offset = offsetof(Settings, count_waiting),
                .minimum = 0,
                .maximum = 1,
                .built_in = "no",
        },
        [SETTING_POLL_INTERVAL] = {
                .key = "PollIntervalSec",
                .property = "PollIntervalUSec",
                .type = SETTING_TYPE_USEC,
                .offset = offsetof(Settings, poll_interval_usec),
                .minimum = 100 * USEC_PER_MSEC,
                .maximum = USEC_PER_MINUTE,
                .built_in = "1s",
        },
        [SETTING_IDLE_SCAN_INTERVAL] = {
                .key = "IdleScanIntervalSec",
                .property = "IdleScanIntervalUSec",
                .type = SETTING_TYPE_USEC,
                .offset = offsetof(Settings, idle_scan_interval_usec),
                .minimum = USEC_PER_SEC,
                .maximum = 10 * USEC_PER_MINUTE,
                .built_in = "10s",
        },
        [SETTING_RECOVERY] = {
                .key = "RecoverySec",
                .property = "RecoveryUSec",
                .type = SETTING_TYPE_USEC,
                .offset = offsetof(Settings, recovery_usec),
                .minimum = 0,
                .maximum = USEC_PER_HOUR,
                .built_in = "30s",
        },
        [SETTING_SYNC_METHOD] = {
                .key = "SyncMethod",
                .property = "SyncMethod",
                .type = SETTING_TYPE_METHOD,
                .offset = offsetof(Settings, sync_method),
                .minimum = 0,
                .maximum = _SYNC_METHOD_MAX - 1,
                .built_in = "auto",
        },
        [SETTING_FILESYSTEM_TIMEOUT] = {
                .key = "FilesystemTimeoutSec",
                .property = "FilesystemTimeoutUSec",
                .type = SETTING_TYPE_USEC,
                .offset = offsetof(Settings, filesystem_timeout_usec),
                .minimum = USEC_PER_SEC,
                .maximum = USEC_PER_HOUR,
                .built_in = "10s",
        },
        [SETTING_SYNC_TIMEOUT] = {
                .key = "SyncTimeoutSec",
                .property = "SyncTimeoutUSec",
                .type = SETTING_TYPE_USEC,
                .offset = offsetof(Settings, sync_timeout_usec),
                .minimum = USEC_PER_SEC,
                .maximum = USEC_PER_DAY,
                .built_in = "5min",
        },
        [SETTING_DRY_RUN] = {
                .key = "DryRun",
                .property = "DryRun",
                .type = SETTING_TYPE_BOOLEAN,
                .offset = offsetof(Settings, dry_run),
                .minimum = 0,
                .maximum = 1,
                .built_in = "no",
        },
};

const char *const settings_default_folders[] = { "/etc/wbwatch", "/run/wbwatch", "/usr/lib/wbwatch", NULL };

int setting_from_key(const char *key, SettingId *ret) {
        for (SettingId id = 0; id < _SETTING_MAX; id++)
                if (streq(setting_table[id].key, key)) {
                        *ret = id;
                        return 0;
                }

        return -ENOENT;
}

int setting_from_property(const char *property, SettingId *ret) {
        for (SettingId id = 0; id < _SETTING_MAX; id++)
                if (streq(setting_table[id].property, property)) {
                        *ret = id;
                        return 0;
                }

        return -ENOENT;
}

static const char *const sync_method_names[_SYNC_METHOD_MAX] = {
        [SYNC_METHOD_AUTO] = "auto",
        [SYNC_METHOD_SYNC] = "sync",
        [SYNC_METHOD_SYNCFS] = "syncfs",
};

#define SYNC_METHODS "auto, sync or syncfs"

#define GLOB_USELESS                                                                                         \
        "it cannot match the name of any kernel worker, which begins with kworker/: nothing will be "        \
        "detected"

const char *sync_method_to_string(SyncMethod method) {
        return sync_method_names[method];
}

int sync_method_from_string(const char *text, SyncMethod *ret) {
        for (SyncMethod method = 0; method < _SYNC_METHOD_MAX; method++)
                if (streq(sync_method_names[method], text)) {
                        *ret = method;
                        return 0;
                }

        return -EINVAL;
}

/* The units of durations. Among those that begin alike the longer comes first, so that "min" is not read as
 * "m". */
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

/* Reads a unit, if there is one, and moves behind it. */
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

/* Adds so many units to a sum that stays below USEC_INFINITY. */
static int add_units(uint64_t *sum, uint64_t number, uint64_t unit_usec) {
        uint64_t part;

        if (__builtin_mul_overflow(number, unit_usec, &part) || part >= USEC_INFINITY - *sum)
                return -ERANGE;

        *sum += part;
        return 0;
}

/* Reads one number with its unit and the space around them, and adds it to the sum. */
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

const char *format_duration(uint64_t usec, char *buffer, size_t size) {
        static const struct {
                const char *name;
                uint64_t usec;
                uint64_t from_usec; /* not used below; "24h" reads better than "1d" */
        } units[] = {
                { "d", USEC_PER_DAY, 2 * USEC_PER_DAY },     { "h", USEC_PER_HOUR, USEC_PER_HOUR },
                { "min", USEC_PER_MINUTE, USEC_PER_MINUTE }, { "s", USEC_PER_SEC, USEC_PER_SEC },
                { "ms", USEC_PER_MSEC, USEC_PER_MSEC },      { "us", 1, 1 },
        };
        size_t n = 0;

        if (usec == USEC_INFINITY || usec == 0) {
                (void) snprintf(buffer, size, "%s", usec == 0 ? "0" : "infinity");
                return buffer;
        }

        for (size_t i = 0; i < ELEMENTSOF(units) && n < size; i++)
                if (usec >= units[i].from_usec) {
                        n += (size_t) snprintf(
                                        buffer + n, size - n, "%s%" PRIu64 "%s", n > 0 ? " " : "",
                                        usec / units[i].usec, units[i].name);
                        usec %= units[i].usec;
                }

        return buffer;
}

/* Unicode's category Cc. Not by glib, whose tables would be read from a disk that may hang. */
static bool is_control(uint32_t c) {
        return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

/* Makes a value fit for a message: cut, and with the bytes escaped that are no text. */
static const char *show(const char *value, char buffer[static SHOWN_SIZE]) {
        size_t length = strlen(value), i = 0, n = 0;

        while (i < length) {
                gunichar c = g_utf8_get_char_validated(value + i, (gssize) (length - i));
                bool printable = c <= 0x10ffff && !is_control(c);
                size_t step = printable ? (size_t) (g_utf8_next_char(value + i) - (value + i)) : 1;

                if (i + step > SHOWN_MAX)
                        break;
                if (printable)
                        memcpy(buffer + n, value + i, step);
                else
                        (void) snprintf(buffer + n, SHOWN_SIZE - n, "\\x%02x", (unsigned char) value[i]);
                n += printable ? step : 4;
                i += step;
        }

        strcpy(buffer + n, i < length ? "..." : "");
        return buffer;
}

/* Returns the error, with its text; or -ENOMEM, without. */
_printf_(3, 4) static int fail(int error, char **ret_error, const char *format, ...) {
        va_list arguments;
        char *text;
        int r;

        if (!ret_error)
                return error;

        va_start(arguments, format);
        r = vasprintf(&text, format, arguments);
        va_end(arguments);
        if (r < 0)
                return -ENOMEM;

        *ret_error = text;
        return error;
}

/* Copies text into a buffer of fixed size, cut at a character and made valid UTF-8 (the bus takes nothing
 * else), and clears the rest, so that equal settings are equal byte by byte. */
static void copy_text(char *buffer, size_t size, const char *text) {
        size_t length = strnlen(text, size - 1);
        const char *end;

        if (text[length] != '\0')
                /* Not in the middle of a character. */
                while (length > 0 && ((unsigned char) text[length] & 0xc0) == 0x80)
                        length--;

        memcpy(buffer, text, length);
        memset(buffer + length, 0, size - length);

        while (!g_utf8_validate(buffer, -1, &end))
                buffer[end - buffer] = '?';
}

static void set_source(Settings *settings, SettingId id, const char *source) {
        copy_text(settings->sources[id], sizeof(settings->sources[id]), source);
}

static const char *format_number(SettingType type, uint64_t number, char *buffer, size_t size) {
        if (type == SETTING_TYPE_USEC)
                return format_duration(number, buffer, size);

        (void) snprintf(buffer, size, "%" PRIu64, number);
        return buffer;
}

static void store_number(Settings *settings, SettingId id, uint64_t value) {
        char *member = (char *) settings + setting_table[id].offset;

        switch (setting_table[id].type) {
        case SETTING_TYPE_USEC:
                memcpy(member, &value, sizeof(value));
                break;
        case SETTING_TYPE_UNSIGNED:
                memcpy(member, &(uint32_t){ (uint32_t) value }, sizeof(uint32_t));
                break;
        case SETTING_TYPE_BOOLEAN:
                memcpy(member, &(bool){ value != 0 }, sizeof(bool));
                break;
        case SETTING_TYPE_METHOD:
                memcpy(member, &(SyncMethod){ (SyncMethod) value }, sizeof(SyncMethod));
                break;
        case SETTING_TYPE_GLOB:
                break;
        }
}

uint64_t settings_get_number(const Settings *settings, SettingId id) {
        const char *member = (const char *) settings + setting_table[id].offset;
        uint64_t usec;
        SyncMethod method;
        uint32_t number;
        bool boolean;

        switch (setting_table[id].type) {
        case SETTING_TYPE_USEC:
                memcpy(&usec, member, sizeof(usec));
                return usec;
        case SETTING_TYPE_UNSIGNED:
                memcpy(&number, member, sizeof(number));
                return number;
        case SETTING_TYPE_BOOLEAN:
                memcpy(&boolean, member, sizeof(boolean));
                return boolean;
        case SETTING_TYPE_METHOD:
                memcpy(&method, member, sizeof(method));
                return method;
        case SETTING_TYPE_GLOB:
                break;
        }

        return 0;
}

/* Sets a number within its bounds. shown is how the caller spelled it. */
static int set_number(
                Settings *settings,
                SettingId id,
                uint64_t value,
                const char *shown,
                const char *source,
                char **ret_error) {

        const SettingInfo *info = &setting_table[id];
        char bound[64];

        if (value < info->minimum)
                return fail(-ERANGE, ret_error, "%s is less than the minimum of %s", shown,
                            format_number(info->type, info->minimum, bound, sizeof(bound)));
        if (value > info->maximum)
                return fail(-ERANGE, ret_error, "%s is more than the maximum of %s", shown,
                            format_number(info->type, info->maximum, bound, sizeof(bound)));

        store_number(settings, id, value);
        set_source(settings, id, source);
        return 0;
}

int settings_set_number(
                Settings *settings,
                SettingId id,
                uint64_t value,
                const char *source,
                char **ret_error) {

        const SettingInfo *info = &setting_table[id];
        char shown[64];

        if (info->type == SETTING_TYPE_GLOB)
                return fail(-EINVAL, ret_error, "%" PRIu64 " is a number, not a glob", value);
        if (info->type == SETTING_TYPE_METHOD)
                return fail(-EINVAL, ret_error, "%" PRIu64 " is a number, not a sync method: " SYNC_METHODS,
                            value);
        if (info->type == SETTING_TYPE_BOOLEAN && value > 1)
                return fail(-EINVAL, ret_error, "%" PRIu64 " is not a boolean: 0 or 1", value);

        return set_number(
                        settings, id, value, format_number(info->type, value, shown, sizeof(shown)), source,
                        ret_error);
}

/* Where the pattern list that opens at "(" is closed, or NULL when it is not and thus plain text. Brackets
 * are skipped as glibc does it here, other than elsewhere: they end at their first "]", even in
 * "[[:digit:]]". */
static const char *glob_list_end(const char *open) {
        for (const char *p = open + 1; *p != '\0'; p++) {
                if (*p == ')')
                        return p;
                if (*p != '[')
                        continue;

                p++;
                if (*p == '!' || *p == '^')
                        p++;
                if (*p == ']')
                        p++;
                p = strchr(p, ']');
                if (!p)
                        return NULL;
        }

        return NULL;
}

static bool glob_list_begins(const char *p) {
        return *p != '\0' && strchr("?*+@!", *p) && p[1] == '(';
}

/* What a glob costs fnmatch(3) at most, as far as it was read. */
typedef struct GlobCost {
        uint64_t n_ways;    /* in which what was read may match the beginning of a name */
        unsigned n_lengths; /* parts of any length, which share the name's bytes among themselves */
        uint64_t n_steps;
} GlobCost;

/* In how many ways it comes to what follows one more part of any length: in a name of at most 63 bytes k of
 * them have about 64^k / k! lengths. */
static uint64_t glob_count_ways(const GlobCost *cost, unsigned n_more) {
        uint64_t n_ways = cost->n_ways;

        for (unsigned i = 1; i <= n_more; i++)
                n_ways = n_ways * 64 / (cost->n_lengths + i);
        return n_ways;
}

static void glob_take_length(GlobCost *cost) {
        cost->n_ways = glob_count_ways(cost, 1);
        cost->n_lengths++;
}

/* Takes a text without lists; open: there is a `*` before it or in it. */
static void glob_take_text(GlobCost *cost, size_t length, bool open) {
        cost->n_steps += glob_count_ways(cost, open ? 1 : 0) * (length + GLOB_STEPS_PER_CALL);
}

/* Takes a list. *ret_open: whether it ends in the open, as a `*` does: glibc puts each alternative of
 * "@(...)" and "?(...)" in front of what follows. Returns false when its ways would be exponential in the
 * name's length: then it repeats what can match in several ways. */
static bool glob_take_list(GlobCost *cost, const char *list, const char *end, bool *ret_open) {
        uint64_t n_alternatives = 1, length;
        bool open = false;

        for (const char *p = list + 2; p < end; p++) {
                n_alternatives += *p == '|';
                open |= *p == '*';
        }
        length = (uint64_t) (end - list) + n_alternatives * GLOB_STEPS_PER_CALL;

        *ret_open = false;

        switch (*list) {
        case '@':
        case '?':
                cost->n_steps += glob_count_ways(cost, open ? 1 : 0) * length;
                cost->n_ways *= n_alternatives + (*list == '?');
                *ret_open = open;
                return true;
        case '!':
                /* Each alternative is compared with each length. */
                cost->n_steps += glob_count_ways(cost, open ? 2 : 1) * length;
                glob_take_length(cost);
                return true;
        default:
                /* At each repetition it is compared with each length that is left. "*(...)" tries what
                 * follows twice: behind the last repetition, and as none at all there. */
                glob_take_length(cost);
                cost->n_steps += glob_count_ways(cost, 1) * length;
                cost->n_ways *= *list == '*' ? 2 : 1;
                return n_alternatives == 1 && !open;
        }
}

static int check_glob_steps(const char *glob, const GlobCost *cost, char **ret_error) {
        char shown[SHOWN_SIZE];

        if (cost->n_steps <= GLOB_STEPS_MAX)
                return 0;

        return fail(-ERANGE, ret_error,
                    "%s has too many pattern lists: it could take %" PRIu64
                    " steps or more to compare, the maximum is %" PRIu64,
                    show(glob, shown), cost->n_steps, GLOB_STEPS_MAX);
}

static int check_glob_list(const char *glob, const char *list, const char *end, char **ret_error) {
        char shown[SHOWN_SIZE];

        if (!end)
                return fail(-EINVAL, ret_error,
                            "%s has a pattern list without an end: a \"%c(\" that begins none is written as "
                            "[%c](",
                            show(glob, shown), *list, *list);

        /* glibc would read "@(a+)(b)" as "a+(b)". */
        if (end[1] == '(')
                return fail(-EINVAL, ret_error, "%s has a \"(\" right behind a pattern list",
                            show(glob, shown));

        for (const char *p = list + 2; p < end; p++)
                if (glob_list_begins(p))
                        return fail(-EINVAL, ret_error,
                                    "%s has a pattern list in a pattern list, which may take exponential "
                                    "time",
                                    show(glob, shown));

        return 0;
}

/* Refuses globs that fnmatch(3) could match against a name in exponential time.
 *
 * glibc tries every way in which pattern lists and wildcards can share out the name among themselves. Without
 * lists it is quick, however many `*` there are, since it never goes back behind the last one. Each list,
 * though, tries all that follows anew, once for each of its alternatives and for each length that it may
 * have. So the steps are bounded: how often each part is begun, times its length.
 *
 * What begins like a list and does not end is none, and yet costs the most: from each one glibc searches for
 * the ends of all that follow, so that each doubles the time. Hardly anybody wants one.
 *
 * Whether a list is escaped or in brackets is not looked at: to count or to refuse one too many is safe, and
 * glibc has several opinions on where brackets end. */
static int check_glob_cost(const char *glob, char **ret_error) {
        const char *text = glob; /* behind the last list */
        GlobCost cost = { .n_ways = 1 };
        char shown[SHOWN_SIZE];
        bool open = false;
        int r;

        for (const char *p = glob; *p != '\0'; p++) {
                const char *end;

                if (!glob_list_begins(p)) {
                        open |= *p == '*';
                        continue;
                }

                end = glob_list_end(p + 1);
                r = check_glob_list(glob, p, end, ret_error);
                if (r < 0)
                        return r;

                glob_take_text(&cost, (size_t) (p - text), open);
                if (open)
                        glob_take_length(&cost);
                if (!glob_take_list(&cost, p, end, &open))
                        return fail(-EINVAL, ret_error,
                                    "%s repeats a choice, which may take exponential time: \"%c(\" takes "
                                    "only one alternative, without \"*\"",
                                    show(glob, shown), *p);

                r = check_glob_steps(glob, &cost, ret_error);
                if (r < 0)
                        return r;

                p = end;
                text = end + 1;
        }

        glob_take_text(&cost, strlen(text), open);
        return check_glob_steps(glob, &cost, ret_error);
}

static int check_glob(const char *glob, char **ret_error) {
        size_t length = strlen(glob);
        char shown[SHOWN_SIZE];
        const char *end;

        if (length == 0)
                return fail(-ERANGE, ret_error, "must not be empty");
        if (length > SETTINGS_GLOB_MAX)
                return fail(-ERANGE, ret_error, "%s is %zu bytes long, more than the maximum of %d bytes",
                            show(glob, shown), length, SETTINGS_GLOB_MAX);
        if (!g_utf8_validate(glob, (gssize) length, &end))
                return fail(-EINVAL, ret_error, "%s is not valid UTF-8 from byte %zu on", show(glob, shown),
                            (size_t) (end - glob) + 1);

        for (const char *p = glob; *p != '\0'; p = g_utf8_next_char(p))
                if (is_control(g_utf8_get_char(p)))
                        return fail(-EINVAL, ret_error, "%s has a control character at byte %zu",
                                    show(glob, shown), (size_t) (p - glob) + 1);

        /* A file could not hold it. */
        if (glob[0] == ' ' || glob[length - 1] == ' ')
                return fail(-EINVAL, ret_error, "\"%s\" begins or ends with a space: write it as [ ]",
                            show(glob, shown));

        return check_glob_cost(glob, ret_error);
}

int settings_set_glob(
                Settings *settings,
                SettingId id,
                const char *glob,
                const char *source,
                char **ret_error) {
        static const char *const names[] = {
                [SETTING_TYPE_GLOB] = "glob",          [SETTING_TYPE_USEC] = "duration",
                [SETTING_TYPE_UNSIGNED] = "number",    [SETTING_TYPE_BOOLEAN] = "boolean",
                [SETTING_TYPE_METHOD] = "sync method",
        };
        const SettingInfo *info = &setting_table[id];
        char shown[SHOWN_SIZE];
        int r;

        if (info->type != SETTING_TYPE_GLOB)
                return fail(-EINVAL, ret_error, "\"%s\" is a glob, not a %s", show(glob, shown),
                            names[info->type]);

        r = check_glob(glob, ret_error);
        if (r < 0)
                return r;

        copy_text(settings->glob, sizeof(settings->glob), glob);
        set_source(settings, id, source);
        return 0;
}

bool glob_can_match_kworker(const char *glob) {
        static const char prefix[] = "kworker/";

        for (const char *p = glob, *expected = prefix; *expected != '\0'; p++, expected++) {
                if (glob_list_begins(p) || *p == '*' || *p == '?' || *p == '[')
                        return true;

                if (*p == '\\') {
                        p++;
                        if (*p == '\0')
                                return true; /* matches nothing in glibc, something elsewhere */
                }

                if (*p != *expected)
                        return false;
        }

        return true;
}

static int parse_boolean(const char *text) {
        static const char *const yes[] = { "1", "yes", "y", "true", "t", "on" };
        static const char *const no[] = { "0", "no", "n", "false", "f", "off" };

        for (size_t i = 0; i < ELEMENTSOF(yes); i++)
                if (g_ascii_strcasecmp(text, yes[i]) == 0)
                        return 1;
        for (size_t i = 0; i < ELEMENTSOF(no); i++)
                if (g_ascii_strcasecmp(text, no[i]) == 0)
                        return 0;

        return -EINVAL;
}

/* Decimal digits and nothing else. */
static int parse_unsigned(const char *text, uint64_t *ret) {
        unsigned long long number;

        if (*text == '\0' || text[strspn(text, DIGITS)] != '\0')
                return -EINVAL;

        errno = 0;
        number = strtoull(text, NULL, 10);
        if (errno != 0)
                return -ERANGE;

        *ret = number;
        return 0;
}

int settings_set_text(
                Settings *settings,
                SettingId id,
                const char *text,
                const char *source,
                char **ret_error) {
        const SettingInfo *info = &setting_table[id];
        char buffer[SHOWN_SIZE], minimum[64], maximum[64];
        const char *shown;
        SyncMethod method;
        uint64_t value;
        int r;

        if (info->type == SETTING_TYPE_GLOB)
                return settings_set_glob(settings, id, text, source, ret_error);

        shown = *text == '\0' ? "the empty value" : show(text, buffer);

        if (info->type == SETTING_TYPE_BOOLEAN) {
                r = parse_boolean(text);
                if (r < 0)
                        return fail(-EINVAL, ret_error, "%s is not a boolean: yes or no", shown);
                return set_number(settings, id, (uint64_t) r, shown, source, ret_error);
        }

        if (info->type == SETTING_TYPE_METHOD) {
                r = sync_method_from_string(text, &method);
                if (r < 0)
                        return fail(r, ret_error, "%s is not a sync method: " SYNC_METHODS, shown);
                return set_number(settings, id, method, shown, source, ret_error);
        }

        r = info->type == SETTING_TYPE_USEC ? parse_duration(text, USEC_PER_SEC, &value)
                                            : parse_unsigned(text, &value);
        if (r == -ERANGE)
                value = UINT64_MAX; /* more than any bound, which is what the error says */
        else if (r < 0)
                return fail(-EINVAL, ret_error, "%s is not a %s from %s to %s%s", shown,
                            info->type == SETTING_TYPE_USEC ? "duration" : "number",
                            format_number(info->type, info->minimum, minimum, sizeof(minimum)),
                            format_number(info->type, info->maximum, maximum, sizeof(maximum)),
                            info->type == SETTING_TYPE_USEC ? ", like 30s" : "");

        return set_number(settings, id, value, shown, source, ret_error);
}

const char *settings_format(const Settings *settings, SettingId id, char *buffer, size_t size) {
        const SettingInfo *info = &setting_table[id];
        uint64_t number = settings_get_number(settings, id);

        switch (info->type) {
        case SETTING_TYPE_GLOB:
                (void) snprintf(buffer, size, "%s", settings->glob);
                return buffer;
        case SETTING_TYPE_BOOLEAN:
                (void) snprintf(buffer, size, "%s", number ? "yes" : "no");
                return buffer;
        case SETTING_TYPE_METHOD:
                (void) snprintf(buffer, size, "%s", sync_method_to_string((SyncMethod) number));
                return buffer;
        default:
                return format_number(info->type, number, buffer, size);
        }
}

void settings_init(Settings *settings) {
        memset(settings, 0, sizeof(*settings));

        for (SettingId id = 0; id < _SETTING_MAX; id++)
                if (settings_set_text(
                                    settings, id, setting_table[id].built_in, SETTINGS_SOURCE_BUILT_IN,
                                    NULL) < 0)
                        assert(!"A built-in value is out of its bounds");
}

bool settings_is_built_in(const Settings *settings, SettingId id) {
        return streq(settings->sources[id], SETTINGS_SOURCE_BUILT_IN);
}

/* What is read into where, and who gets the warnings. */
typedef struct Reader {
        Settings *settings;
        const char *path;
        const char *source; /* of all values, instead of their lines */
        settings_warning_t warning;
        void *userdata;
        int n_warnings;
} Reader;

static void warn(Reader *reader, const char *text) {
        reader->n_warnings++;
        if (reader->warning)
                reader->warning(text, reader->userdata);
}

_printf_(3, 4) static void warn_line(Reader *reader, unsigned line, const char *format, ...) {
        g_autofree char *reason = NULL, *text = NULL;
        va_list arguments;

        va_start(arguments, format);
        reason = g_strdup_vprintf(format, arguments);
        va_end(arguments);

        text = g_strdup_printf("%s:%u: %s", reader->path, line, reason);
        warn(reader, text);
}

static void warn_unreadable(Reader *reader, const char *path, int error, bool fatal) {
        g_autofree char *text = NULL;
        const char *reason;

        if (error == -EBADFD)
                reason = "it is not a regular file";
        else if (error == -EFBIG)
                reason = "it is larger than the maximum of 1 MiB";
        else
                reason = errno_text(-error);

        text = g_strdup_printf("%s: can't be read: %s%s", path, reason, fatal ? "" : ", ignoring");
        warn(reader, text);
}

static void read_unknown_key(Reader *reader, unsigned line, const char *key, const char *shown) {
        for (SettingId id = 0; id < _SETTING_MAX; id++) {
                const SettingInfo *info = &setting_table[id];

                if (g_ascii_strcasecmp(key, info->key) == 0 || g_ascii_strcasecmp(key, info->property) == 0) {
                        warn_line(reader, line, "%s: unknown key, ignoring (did you mean %s=?)", shown,
                                  info->key);
                        return;
                }
        }

        warn_line(reader, line, "%s: unknown key, ignoring", shown);
}

static void read_assignment(Reader *reader, unsigned line, char *text, bool in_section) {
        _cleanup_free_ char *error = NULL;
        char shown[SHOWN_SIZE];
        char *key, *value, *equals = strchr(text, '=');
        g_autofree char *assignment = NULL, *source = NULL;
        SettingId id;

        if (!equals) {
                warn_line(reader, line, "%s: it has no \"=\", ignoring", show(text, shown));
                return;
        }

        *equals = '\0';
        key = g_strstrip(text);
        value = g_strstrip(equals + 1);
        assignment = g_strdup_printf("%s=%s", key, value);
        (void) show(assignment, shown);

        if (!in_section) {
                warn_line(reader, line, "%s: it is outside of section " SECTION ", ignoring", shown);
                return;
        }
        if (setting_from_key(key, &id) < 0) {
                read_unknown_key(reader, line, key, shown);
                return;
        }

        if (!reader->source)
                source = g_strdup_printf("%s:%u", reader->path, line);
        if (settings_set_text(reader->settings, id, value, reader->source ?: source, &error) < 0)
                warn_line(reader, line, "%s: %s, ignoring", shown, error ?: "out of memory");
        else if (id == SETTING_GLOB && !glob_can_match_kworker(value))
                warn_line(reader, line, "%s: " GLOB_USELESS, shown);
}

/* Where the reading is. Lines of an unknown section are ignored silently: the section itself was warned of.
 */
typedef enum Section {
        SECTION_NONE,
        SECTION_WATCH,
        SECTION_UNKNOWN,
} Section;

static Section read_section(Reader *reader, unsigned line, const char *text) {
        char shown[SHOWN_SIZE];

        if (streq(text, SECTION))
                return SECTION_WATCH;

        (void) show(text, shown);
        if (text[strlen(text) - 1] != ']')
                warn_line(reader, line, "%s: it has no \"]\", ignoring the section", shown);
        else if (g_ascii_strcasecmp(text, SECTION) == 0)
                warn_line(reader, line, "%s: unknown section, ignoring it (did you mean " SECTION "?)",
                          shown);
        else
                warn_line(reader, line, "%s: unknown section, ignoring it", shown);

        return SECTION_UNKNOWN;
}

static Section read_line(Reader *reader, unsigned line, char *text, Section section) {
        (void) g_strstrip(text);

        if (*text == '[')
                return read_section(reader, line, text);
        if (*text != '\0' && *text != '#' && *text != ';' && section != SECTION_UNKNOWN)
                read_assignment(reader, line, text, section == SECTION_WATCH);

        return section;
}

static void read_text(Reader *reader, const char *text, size_t size) {
        Section section = SECTION_NONE;
        unsigned line = 0;

        for (size_t at = 0; at < size;) {
                const char *begin = text + at, *newline = memchr(begin, '\n', size - at);
                size_t length = newline ? (size_t) (newline - begin) : size - at;
                char copy[LINE_BYTES_MAX + 1];

                line++;
                at += length + 1;

                if (length > LINE_BYTES_MAX) {
                        warn_line(reader, line, "the line is longer than the maximum of %d bytes, ignoring",
                                  LINE_BYTES_MAX);
                        continue;
                }
                if (memchr(begin, '\0', length)) {
                        warn_line(reader, line, "the line holds a NUL byte, ignoring");
                        continue;
                }

                memcpy(copy, begin, length);
                copy[length] = '\0';
                section = read_line(reader, line, copy, section);
        }
}

int settings_parse_text(
                Settings *settings,
                const char *text,
                size_t size,
                const char *path,
                const char *source,
                settings_warning_t warning,
                void *userdata) {

        Reader reader = {
                .settings = settings,
                .path = path,
                .source = source,
                .warning = warning,
                .userdata = userdata,
        };

        read_text(&reader, text, size);
        return reader.n_warnings;
}

int settings_read_file(const char *path, char **ret_text, size_t *ret_size) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *text = NULL;
        size_t size = 0;
        struct stat st;

        /* Not waiting for the other end of a FIFO. */
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;

        text = malloc(FILE_SIZE_MAX + 1);
        if (!text)
                return -ENOMEM;

        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        if (!S_ISREG(st.st_mode)) {
                /* Empty: it is how a file is hidden. */
                if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
                        return -EBADFD;
        } else
                for (;;) {
                        ssize_t n = read(fd, text + size, FILE_SIZE_MAX + 1 - size);

                        if (n < 0 && errno == EINTR)
                                continue;
                        if (n < 0)
                                return -errno;
                        if (n == 0)
                                break;

                        size += (size_t) n;
                        if (size > FILE_SIZE_MAX)
                                return -EFBIG;
                }

        *ret_text = TAKE_POINTER(text);
        *ret_size = size;
        return 0;
}

/* Reads one file. Warns of an error, but of a missing file (-ENOENT) only where it is required. */
static int read_file(Reader *reader, const char *path, const char *source, bool required) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = settings_read_file(path, &text, &size);
        if (r < 0) {
                if (r != -ENOENT || required)
                        warn_unreadable(reader, path, r, required);
                return r;
        }

        reader->path = path;
        reader->source = source;
        read_text(reader, text, size);
        return 0;
}

int settings_load_file(
                Settings *settings,
                const char *path,
                const char *source,
                settings_warning_t warning,
                void *userdata) {

        Reader reader = {
                .settings = settings,
                .warning = warning,
                .userdata = userdata,
        };

        if (read_file(&reader, path, source, false) == -ENOENT)
                return -ENOENT;

        return reader.n_warnings;
}

DEFINE_TRIVIAL_CLEANUP(DIR *, closedir);

/* Adds the drop-ins of one folder, by name, but those whose name a stronger folder has already. */
static void find_drop_ins(Reader *reader, const char *folder, GTree *paths) {
        g_autofree char *path = g_build_filename(folder, "wbwatch.conf.d", NULL);
        _cleanup_(closedirp) DIR *directory = opendir(path);
        struct dirent *entry;

        if (!directory) {
                if (errno != ENOENT)
                        warn_unreadable(reader, path, -errno, false);
                return;
        }

        while (errno = 0, (entry = readdir(directory)))
                if (entry->d_name[0] != '.' && g_str_has_suffix(entry->d_name, ".conf") &&
                    !g_tree_lookup(paths, entry->d_name))
                        g_tree_insert(paths, g_strdup(entry->d_name),
                                      g_build_filename(path, entry->d_name, NULL));

        if (errno != 0)
                warn_unreadable(reader, path, -errno, false);
}

static int compare_names(const void *a, const void *b, _unused_ void *userdata) {
        return strcmp(a, b);
}

/* Reads the main file of the strongest folder that has one, then the drop-ins of all. */
static void read_folders(Reader *reader, const char *const *folders) {
        g_autoptr(GTree) paths = g_tree_new_full(compare_names, NULL, g_free, g_free);
        int r = -ENOENT;

        for (size_t i = 0; folders[i] && r == -ENOENT; i++) {
                g_autofree char *path = g_build_filename(folders[i], "wbwatch.conf", NULL);

                r = read_file(reader, path, NULL, false);
        }

        for (size_t i = 0; folders[i]; i++)
                find_drop_ins(reader, folders[i], paths);
        for (GTreeNode *node = g_tree_node_first(paths); node; node = g_tree_node_next(node))
                (void) read_file(reader, g_tree_node_value(node), NULL, false);
}

static void apply_overrides(Reader *reader, const Settings *overrides) {
        Settings *settings = reader->settings;

        for (SettingId id = 0; id < _SETTING_MAX; id++) {
                if (!streq(overrides->sources[id], SETTINGS_SOURCE_COMMAND_LINE))
                        continue;

                if (setting_table[id].type == SETTING_TYPE_GLOB)
                        memcpy(settings->glob, overrides->glob, sizeof(settings->glob));
                else
                        store_number(settings, id, settings_get_number(overrides, id));
                set_source(settings, id, overrides->sources[id]);
        }

        if (streq(overrides->sources[SETTING_GLOB], SETTINGS_SOURCE_COMMAND_LINE) &&
            !glob_can_match_kworker(settings->glob)) {
                char shown[SHOWN_SIZE];
                g_autofree char *text =
                                g_strdup_printf(SETTINGS_SOURCE_COMMAND_LINE ": %s=%s: " GLOB_USELESS,
                                                setting_table[SETTING_GLOB].key, show(settings->glob, shown));

                warn(reader, text);
        }
}

int settings_load(const SettingsPaths *paths, settings_warning_t warning, void *userdata, Settings *ret) {
        Settings settings;
        Reader reader = {
                .settings = &settings,
                .warning = warning,
                .userdata = userdata,
        };
        int r;

        settings_init(&settings);

        if (paths->file) {
                r = read_file(&reader, paths->file, NULL, true);
                if (r < 0)
                        return r;
        } else if (paths->folders)
                read_folders(&reader, paths->folders);

        if (paths->lasting_file)
                (void) read_file(&reader, paths->lasting_file, "bus (lasting)", false);
        if (paths->overrides)
                apply_overrides(&reader, paths->overrides);

        *ret = settings;
        return reader.n_warnings;
}
