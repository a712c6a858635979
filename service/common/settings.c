/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The table of the settings, and the checks on every value. Only error messages are allocated, and an invalid
 * value is refused even without memory for one, so the running daemon may call all of it.
 */

#include "settings.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "duration.h"
#include "glob.h"
#include "text.h"

#define DIGITS "0123456789"

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

/* Copies text into a buffer of fixed size, and clears the rest, so that equal settings have equal bytes.
 */
static void copy_text(char *buffer, size_t size, const char *text) {
        memset(buffer, 0, size);
        memcpy(buffer, text, strnlen(text, size - 1));
}

static void set_origin(Settings *settings, SettingId id, Origin origin) {
        settings->origins[id] = origin;
        memset(settings->places[id], 0, sizeof(settings->places[id]));
}

void settings_set_place(Settings *settings, SettingId id, const char *path, unsigned line) {
        char *place = settings->places[id], number[16];

        (void) snprintf(number, sizeof(number), ":%u", line);
        memset(place, 0, sizeof(settings->places[id]));
        text_escape(path, TEXT_ESCAPE_CONTROL, place, sizeof(settings->places[id]) - strlen(number));
        strcat(place, number);
}

const char *settings_origin(const Settings *settings, SettingId id) {
        static const char *const texts[] = {
                [ORIGIN_BUILT_IN] = "built-in",
                [ORIGIN_BUS_PERMANENT] = "bus (permanent)",
                [ORIGIN_BUS_RUNTIME] = "bus",
                [ORIGIN_COMMAND_LINE] = "command line",
        };
        Origin origin = settings->origins[id];

        return origin == ORIGIN_FILE ? settings->places[id] : texts[origin];
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
                Origin origin,
                char **ret_error) {

        const SettingInfo *info = &setting_table[id];
        char bound[DURATION_SIZE];

        if (value < info->minimum)
                return refuse(-ERANGE, ret_error, "%s is less than the minimum of %s", shown,
                              format_number(info->type, info->minimum, bound, sizeof(bound)));
        if (value > info->maximum)
                return refuse(-ERANGE, ret_error, "%s is more than the maximum of %s", shown,
                              format_number(info->type, info->maximum, bound, sizeof(bound)));

        store_number(settings, id, value);
        set_origin(settings, id, origin);
        return 0;
}

int settings_set_number(Settings *settings, SettingId id, uint64_t value, Origin origin, char **ret_error) {

        const SettingInfo *info = &setting_table[id];
        char shown[DURATION_SIZE];

        if (info->type == SETTING_TYPE_GLOB)
                return refuse(-EINVAL, ret_error, "%" PRIu64 " is a number, not a glob", value);
        if (info->type == SETTING_TYPE_METHOD)
                return refuse(-EINVAL, ret_error, "%" PRIu64 " is a number, not a sync method: " SYNC_METHODS,
                              value);
        if (info->type == SETTING_TYPE_BOOLEAN && value > 1)
                return refuse(-EINVAL, ret_error, "%" PRIu64 " is not a boolean: 0 or 1", value);

        return set_number(
                        settings, id, value, format_number(info->type, value, shown, sizeof(shown)), origin,
                        ret_error);
}

int settings_set_glob(Settings *settings, SettingId id, const char *glob, Origin origin, char **ret_error) {
        static const char *const names[] = {
                [SETTING_TYPE_GLOB] = "glob",          [SETTING_TYPE_USEC] = "duration",
                [SETTING_TYPE_UNSIGNED] = "number",    [SETTING_TYPE_BOOLEAN] = "boolean",
                [SETTING_TYPE_METHOD] = "sync method",
        };
        const SettingInfo *info = &setting_table[id];
        size_t length = strlen(glob);
        char shown[TEXT_SHOWN_SIZE];
        int r;

        if (info->type != SETTING_TYPE_GLOB)
                return refuse(-EINVAL, ret_error, "\"%s\" is a glob, not a %s", text_show(glob, shown),
                              names[info->type]);

        if (length < info->minimum)
                return refuse(-ERANGE, ret_error, "must not be empty");
        if (length > info->maximum)
                return refuse(-ERANGE, ret_error,
                              "%s is %zu bytes long, more than the maximum of %" PRIu64 " bytes",
                              text_show(glob, shown), length, info->maximum);
        r = glob_check(glob, ret_error);
        if (r < 0)
                return r;

        copy_text(settings->glob, sizeof(settings->glob), glob);
        set_origin(settings, id, origin);
        return 0;
}

static int parse_boolean(const char *text) {
        static const char *const yes[] = { "1", "yes", "y", "true", "t", "on" };
        static const char *const no[] = { "0", "no", "n", "false", "f", "off" };

        for (size_t i = 0; i < ELEMENTSOF(yes); i++)
                if (strcasecmp(text, yes[i]) == 0)
                        return 1;
        for (size_t i = 0; i < ELEMENTSOF(no); i++)
                if (strcasecmp(text, no[i]) == 0)
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

int settings_set_text(Settings *settings, SettingId id, const char *text, Origin origin, char **ret_error) {
        const SettingInfo *info = &setting_table[id];
        char buffer[TEXT_SHOWN_SIZE], minimum[DURATION_SIZE], maximum[DURATION_SIZE];
        const char *shown;
        SyncMethod method;
        uint64_t value;
        int r;

        if (info->type == SETTING_TYPE_GLOB)
                return settings_set_glob(settings, id, text, origin, ret_error);

        shown = *text == '\0' ? "the empty value" : text_show(text, buffer);

        if (info->type == SETTING_TYPE_BOOLEAN) {
                r = parse_boolean(text);
                if (r < 0)
                        return refuse(-EINVAL, ret_error, "%s is not a boolean: yes or no", shown);
                return set_number(settings, id, (uint64_t) r, shown, origin, ret_error);
        }

        if (info->type == SETTING_TYPE_METHOD) {
                r = sync_method_from_string(text, &method);
                if (r < 0)
                        return refuse(r, ret_error, "%s is not a sync method: " SYNC_METHODS, shown);
                return set_number(settings, id, method, shown, origin, ret_error);
        }

        r = info->type == SETTING_TYPE_USEC ? parse_duration(text, USEC_PER_SEC, &value)
                                            : parse_unsigned(text, &value);
        if (r == -ERANGE)
                value = UINT64_MAX; /* exceeds every maximum, so that the error names it */
        else if (r < 0)
                return refuse(-EINVAL, ret_error, "%s is not a %s from %s to %s%s", shown,
                              info->type == SETTING_TYPE_USEC ? "duration" : "number",
                              format_number(info->type, info->minimum, minimum, sizeof(minimum)),
                              format_number(info->type, info->maximum, maximum, sizeof(maximum)),
                              info->type == SETTING_TYPE_USEC ? ", like 30s" : "");

        return set_number(settings, id, value, shown, origin, ret_error);
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
                if (settings_set_text(settings, id, setting_table[id].built_in, ORIGIN_BUILT_IN, NULL) < 0)
                        assert(!"A built-in value is out of its bounds");
}

bool settings_is_built_in(const Settings *settings, SettingId id) {
        return settings->origins[id] == ORIGIN_BUILT_IN;
}

static bool value_equals(const Settings *a, const Settings *b, SettingId id) {
        if (setting_table[id].type == SETTING_TYPE_GLOB)
                return streq(a->glob, b->glob);
        return settings_get_number(a, id) == settings_get_number(b, id);
}

unsigned settings_compare(const Settings *a, const Settings *b) {
        unsigned ids = 0;

        for (SettingId id = 0; id < _SETTING_MAX; id++)
                if (!value_equals(a, b, id) || a->origins[id] != b->origins[id] ||
                    !streq(a->places[id], b->places[id]))
                        ids |= 1u << id;

        return ids;
}

void settings_copy(Settings *to, const Settings *from, SettingId id) {
        if (setting_table[id].type == SETTING_TYPE_GLOB)
                memcpy(to->glob, from->glob, sizeof(to->glob));
        else
                store_number(to, id, settings_get_number(from, id));

        to->origins[id] = from->origins[id];
        memcpy(to->places[id], from->places[id], sizeof(to->places[id]));
}
