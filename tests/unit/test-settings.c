/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The settings: every row of the table through every door, durations, globs, files and their order. */

#include <fnmatch.h>
#include <ftw.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "duration.h"
#include "glob.h"
#include "settings-files.h"

#define UNTOUCHED UINT64_C(0xdeadbeef)

/* The table as users know it, written down once more. */
typedef struct Row {
        SettingId id;
        SettingType type;
        const char *key, *property, *built_in;
        uint64_t built_in_number;
        uint64_t minimum, maximum;
        const char *minimum_text, *maximum_text;
} Row;

static const Row rows[] = {
        { SETTING_GLOB, SETTING_TYPE_GLOB, "Glob", "Glob", "kworker/*inode_switch_wbs*", 0, 1, 255, "1",
          "255" },
        { SETTING_THRESHOLD, SETTING_TYPE_USEC, "ThresholdSec", "ThresholdUSec", "30s", 30000000, 1000000,
          86400000000, "1s", "24h" },
        { SETTING_CROWD_SIZE, SETTING_TYPE_UNSIGNED, "CrowdSize", "CrowdSize", "4", 4, 0, 10000, "0",
          "10000" },
        { SETTING_CROWD_THRESHOLD, SETTING_TYPE_USEC, "CrowdThresholdSec", "CrowdThresholdUSec", "10s",
          10000000, 1000000, 86400000000, "1s", "24h" },
        { SETTING_COUNT_WAITING, SETTING_TYPE_BOOLEAN, "CountWaiting", "CountWaiting", "no", 0, 0, 1, "no",
          "yes" },
        { SETTING_POLL_INTERVAL, SETTING_TYPE_USEC, "PollIntervalSec", "PollIntervalUSec", "1s", 1000000,
          100000, 60000000, "100ms", "1min" },
        { SETTING_IDLE_SCAN_INTERVAL, SETTING_TYPE_USEC, "IdleScanIntervalSec", "IdleScanIntervalUSec", "10s",
          10000000, 1000000, 600000000, "1s", "10min" },
        { SETTING_RECOVERY, SETTING_TYPE_USEC, "RecoverySec", "RecoveryUSec", "30s", 30000000, 0, 3600000000,
          "0", "1h" },
        { SETTING_SYNC_METHOD, SETTING_TYPE_METHOD, "SyncMethod", "SyncMethod", "auto", 0, 0, 2, "auto",
          "syncfs" },
        { SETTING_FILESYSTEM_TIMEOUT, SETTING_TYPE_USEC, "FilesystemTimeoutSec", "FilesystemTimeoutUSec",
          "10s", 10000000, 1000000, 3600000000, "1s", "1h" },
        { SETTING_SYNC_TIMEOUT, SETTING_TYPE_USEC, "SyncTimeoutSec", "SyncTimeoutUSec", "5min", 300000000,
          1000000, 86400000000, "1s", "24h" },
        { SETTING_DRY_RUN, SETTING_TYPE_BOOLEAN, "DryRun", "DryRun", "no", 0, 0, 1, "no", "yes" },
};

/* The member of the struct, not by the table. */
static uint64_t member(const Settings *settings, SettingId id) {
        switch (id) {
        case SETTING_THRESHOLD:
                return settings->threshold_usec;
        case SETTING_CROWD_SIZE:
                return settings->crowd_size;
        case SETTING_CROWD_THRESHOLD:
                return settings->crowd_threshold_usec;
        case SETTING_POLL_INTERVAL:
                return settings->poll_interval_usec;
        case SETTING_COUNT_WAITING:
                return settings->count_waiting;
        case SETTING_IDLE_SCAN_INTERVAL:
                return settings->idle_scan_interval_usec;
        case SETTING_SYNC_METHOD:
                return settings->sync_method;
        case SETTING_FILESYSTEM_TIMEOUT:
                return settings->filesystem_timeout_usec;
        case SETTING_RECOVERY:
                return settings->recovery_usec;
        case SETTING_SYNC_TIMEOUT:
                return settings->sync_timeout_usec;
        case SETTING_DRY_RUN:
                return settings->dry_run;
        default:
                return 0;
        }
}

static void assert_value(const Settings *settings, SettingId id, const char *text, const char *source) {
        char buffer[SETTINGS_GLOB_MAX + 1];

        g_assert_cmpstr(settings_format(settings, id, buffer, sizeof(buffer)), ==, text);
        g_assert_cmpstr(settings_origin(settings, id), ==, source);
}

static void assert_equal(const Settings *a, const Settings *b) {
        g_assert_cmpmem(a, sizeof(*a), b, sizeof(*b));
}

/* What one door did: only the one value may have changed. */
static void assert_set(const Settings *settings, SettingId id, uint64_t number, int r, const char *error) {
        Settings others;

        g_assert_cmpstr(error, ==, NULL);
        g_assert_cmpint(r, ==, 0);
        g_assert_cmpuint(member(settings, id), ==, number);
        g_assert_cmpuint(settings_get_number(settings, id), ==, number);
        g_assert_cmpint(settings->origins[id], ==, ORIGIN_BUS_RUNTIME);
        g_assert_false(settings_is_built_in(settings, id));

        settings_init(&others);
        for (SettingId other = 0; other < _SETTING_MAX; other++)
                if (other != id) {
                        char buffer[SETTINGS_GLOB_MAX + 1];

                        assert_value(settings, other, settings_format(&others, other, buffer, sizeof(buffer)),
                                     "built-in");
                }
}

static void assert_refused(
                const Settings *settings,
                int r,
                int expected_r,
                const char *error,
                const char *expected) {
        Settings before;

        settings_init(&before);
        g_assert_cmpstr(error, ==, expected);
        g_assert_cmpint(r, ==, expected_r);
        assert_equal(settings, &before);
}

static void accept_number(SettingId id, uint64_t number) {
        _cleanup_free_ char *error = NULL;
        Settings settings;
        int r;

        settings_init(&settings);
        r = settings_set_number(&settings, id, number, ORIGIN_BUS_RUNTIME, &error);
        assert_set(&settings, id, number, r, error);
}

static void accept_text(SettingId id, const char *text, uint64_t number) {
        _cleanup_free_ char *error = NULL;
        Settings settings;
        int r;

        settings_init(&settings);
        r = settings_set_text(&settings, id, text, ORIGIN_BUS_RUNTIME, &error);
        assert_set(&settings, id, number, r, error);
}

static void refuse_number(SettingId id, uint64_t number, int expected_r, const char *expected) {
        _cleanup_free_ char *error = NULL;
        Settings settings;
        int r;

        settings_init(&settings);
        r = settings_set_number(&settings, id, number, ORIGIN_BUS_RUNTIME, &error);
        assert_refused(&settings, r, expected_r, error, expected);
}

static void refuse_text(SettingId id, const char *text, int expected_r, const char *expected) {
        _cleanup_free_ char *error = NULL;
        Settings settings;
        int r;

        settings_init(&settings);
        r = settings_set_text(&settings, id, text, ORIGIN_BUS_RUNTIME, &error);
        assert_refused(&settings, r, expected_r, error, expected);
}

/* Both for a glob: the door for texts and the one for globs. */
static void accept_glob(const char *glob) {
        int (*const doors[])(Settings *, SettingId, const char *, Origin, char **) = { settings_set_text,
                                                                                       settings_set_glob };

        for (size_t i = 0; i < ELEMENTSOF(doors); i++) {
                _cleanup_free_ char *error = NULL;
                Settings settings;
                int r;

                settings_init(&settings);
                r = doors[i](&settings, SETTING_GLOB, glob, ORIGIN_BUS_RUNTIME, &error);
                assert_set(&settings, SETTING_GLOB, 0, r, error);
                g_assert_cmpstr(settings.glob, ==, glob);
        }
}

static void refuse_glob(const char *glob, int expected_r, const char *expected) {
        _cleanup_free_ char *error = NULL;
        Settings settings;
        int r;

        refuse_text(SETTING_GLOB, glob, expected_r, expected);

        settings_init(&settings);
        r = settings_set_glob(&settings, SETTING_GLOB, glob, ORIGIN_BUS_RUNTIME, &error);
        assert_refused(&settings, r, expected_r, error, expected);
}

static void test_row_names(const void *data) {
        const Row *row = data;
        const SettingInfo *info = &setting_table[row->id];
        g_autofree char *lower = g_ascii_strdown(row->key, -1);
        SettingId id = _SETTING_MAX;

        g_assert_cmpint(setting_from_key(row->key, &id), ==, 0);
        g_assert_cmpint(id, ==, row->id);
        id = _SETTING_MAX;
        g_assert_cmpint(setting_from_property(row->property, &id), ==, 0);
        g_assert_cmpint(id, ==, row->id);

        id = _SETTING_MAX;
        g_assert_cmpint(setting_from_key(lower, &id), ==, -ENOENT);
        g_assert_cmpint(setting_from_property(lower, &id), ==, -ENOENT);
        g_assert_cmpint(setting_from_key("", &id), ==, -ENOENT);
        g_assert_cmpint(id, ==, _SETTING_MAX);
        if (!streq(row->key, row->property)) {
                g_assert_cmpint(setting_from_key(row->property, &id), ==, -ENOENT);
                g_assert_cmpint(setting_from_property(row->key, &id), ==, -ENOENT);
        }

        g_assert_cmpstr(info->key, ==, row->key);
        g_assert_cmpstr(info->property, ==, row->property);
        g_assert_cmpint(info->type, ==, row->type);
        g_assert_cmpuint(info->minimum, ==, row->minimum);
        g_assert_cmpuint(info->maximum, ==, row->maximum);
        g_assert_cmpstr(info->built_in, ==, row->built_in);
}

static void test_row_default(const void *data) {
        const Row *row = data;
        Settings settings;

        settings_init(&settings);
        assert_value(&settings, row->id, row->built_in, "built-in");
        g_assert_true(settings_is_built_in(&settings, row->id));
        g_assert_cmpuint(member(&settings, row->id), ==, row->built_in_number);
        g_assert_cmpuint(settings_get_number(&settings, row->id), ==, row->built_in_number);
}

static void test_row_bounds(const void *data) {
        const Row *row = data;
        const char *unit = row->type == SETTING_TYPE_USEC ? "us" : "";

        if (row->type == SETTING_TYPE_GLOB) {
                g_autofree char *longest = g_strnfill(255, 'a'), *longer = g_strnfill(256, 'a');
                g_autofree char *expected = g_strdup_printf(
                                "%.200s... is 256 bytes long, more than the maximum of 255 bytes", longer);

                accept_glob("*");
                accept_glob(longest);
                refuse_glob("", -ERANGE, "must not be empty");
                refuse_glob(longer, -ERANGE, expected);
                return;
        }

        if (row->type == SETTING_TYPE_METHOD) {
                accept_text(row->id, "auto", SYNC_METHOD_AUTO);
                accept_text(row->id, "sync", SYNC_METHOD_SYNC);
                accept_text(row->id, "syncfs", SYNC_METHOD_SYNCFS);
                return;
        }

        if (row->type == SETTING_TYPE_BOOLEAN) {
                accept_number(row->id, 0);
                accept_number(row->id, 1);
                refuse_number(row->id, 2, -EINVAL, "2 is not a boolean: 0 or 1");
                refuse_number(row->id, UINT64_MAX, -EINVAL, "18446744073709551615 is not a boolean: 0 or 1");
                return;
        }

        for (int i = 0; i < 2; i++) {
                uint64_t bound = i == 0 ? row->minimum : row->maximum;
                uint64_t beyond = i == 0 ? bound - 1 : bound + 1;
                g_autofree char *text = g_strdup_printf("%" PRIu64 "%s", bound, unit);
                g_autofree char *beyond_text = g_strdup_printf("%" PRIu64 "%s", beyond, unit);
                g_autofree char *error_of_text = NULL, *error_of_number = NULL;
                char duration[64];

                accept_number(row->id, bound);
                accept_text(row->id, text, bound);
                accept_text(row->id, i == 0 ? row->minimum_text : row->maximum_text, bound);

                if (bound == 0)
                        continue;

                error_of_text =
                                g_strdup_printf("%s is %s of %s", beyond_text,
                                                i == 0 ? "less than the minimum" : "more than the maximum",
                                                i == 0 ? row->minimum_text : row->maximum_text);
                error_of_number = g_strdup_printf(
                                "%s is %s of %s",
                                row->type == SETTING_TYPE_USEC
                                                ? format_duration(beyond, duration, sizeof(duration))
                                                : beyond_text,
                                i == 0 ? "less than the minimum" : "more than the maximum",
                                i == 0 ? row->minimum_text : row->maximum_text);
                refuse_text(row->id, beyond_text, -ERANGE, error_of_text);
                refuse_number(row->id, beyond, -ERANGE, error_of_number);
        }
}

static void test_row_type(const void *data) {
        static const char *const garbage[] = {
                "", "x", "-1", "+1", "0x10", "1 2x", "1e3", "yes please", "1,5"
        };
        const Row *row = data;
        g_autofree char *range = g_strdup_printf("from %s to %s", row->minimum_text, row->maximum_text);

        if (row->type == SETTING_TYPE_GLOB) {
                refuse_number(row->id, 5, -EINVAL, "5 is a number, not a glob");
                return;
        }
        if (row->type == SETTING_TYPE_METHOD)
                refuse_number(row->id, 1, -EINVAL, "1 is a number, not a sync method: auto, sync or syncfs");

        for (size_t i = 0; i < ELEMENTSOF(garbage); i++) {
                const char *shown = *garbage[i] ? garbage[i] : "the empty value";
                g_autofree char *expected = NULL;

                if (row->type == SETTING_TYPE_BOOLEAN)
                        expected = g_strdup_printf("%s is not a boolean: yes or no", shown);
                else if (row->type == SETTING_TYPE_METHOD)
                        expected = g_strdup_printf("%s is not a sync method: auto, sync or syncfs", shown);
                else if (row->type == SETTING_TYPE_USEC)
                        expected = g_strdup_printf("%s is not a duration %s, like 30s", shown, range);
                else
                        expected = g_strdup_printf("%s is not a number %s", shown, range);
                refuse_text(row->id, garbage[i], -EINVAL, expected);
        }

        for (int i = 0; i < 2; i++) {
                static const char *const names[] = {
                        [SETTING_TYPE_USEC] = "duration",
                        [SETTING_TYPE_UNSIGNED] = "number",
                        [SETTING_TYPE_BOOLEAN] = "boolean",
                        [SETTING_TYPE_METHOD] = "sync method",
                };
                _cleanup_free_ char *error = NULL;
                g_autofree char *expected = g_strdup_printf("\"30s\" is a glob, not a %s", names[row->type]);
                Settings settings;
                int r;

                /* And whoever wants no text gets none. */
                settings_init(&settings);
                r = settings_set_glob(&settings, row->id, "30s", ORIGIN_BUS_RUNTIME, i == 0 ? &error : NULL);
                assert_refused(&settings, r, -EINVAL, error, i == 0 ? expected : NULL);
        }
}

static void test_row_overflow(const void *data) {
        const Row *row = data;
        g_autofree char *expected = g_strdup_printf(
                        "99999999999999999999 is more than the maximum of %s", row->maximum_text);

        if (row->type == SETTING_TYPE_UNSIGNED) {
                refuse_text(row->id, "99999999999999999999", -ERANGE, expected);
                refuse_text(row->id, "4294967300", -ERANGE, "4294967300 is more than the maximum of 10000");
                refuse_number(row->id, UINT64_MAX, -ERANGE,
                              "18446744073709551615 is more than the maximum of 10000");
        } else if (row->type == SETTING_TYPE_USEC) {
                g_autofree char *infinity =
                                g_strdup_printf("infinity is more than the maximum of %s", row->maximum_text);

                refuse_text(row->id, "99999999999999999999", -ERANGE, expected);
                refuse_text(row->id, "infinity", -ERANGE, infinity);
                refuse_number(row->id, UINT64_MAX, -ERANGE, infinity);
        }
}

static void test_booleans(void) {
        static const char *const yes[] = { "1", "yes", "y", "true", "t", "on", "YES", "True", "oN" };
        static const char *const no[] = { "0", "no", "n", "false", "f", "off", "NO", "False", "oFF" };

        for (size_t i = 0; i < ELEMENTSOF(yes); i++)
                accept_text(SETTING_DRY_RUN, yes[i], 1);
        for (size_t i = 0; i < ELEMENTSOF(no); i++)
                accept_text(SETTING_DRY_RUN, no[i], 0);
        refuse_text(SETTING_DRY_RUN, "2", -EINVAL, "2 is not a boolean: yes or no");
        refuse_text(SETTING_DRY_RUN, "ye", -EINVAL, "ye is not a boolean: yes or no");
        refuse_text(SETTING_DRY_RUN, "yess", -EINVAL, "yess is not a boolean: yes or no");
}

static void test_methods(void) {
        static const char *const near[] = { "Sync", "SYNCFS", "sync ", " sync", "syncf", "0", "fsync" };
        SyncMethod method = _SYNC_METHOD_MAX;

        for (SyncMethod i = 0; i < _SYNC_METHOD_MAX; i++) {
                g_assert_cmpint(sync_method_from_string(sync_method_to_string(i), &method), ==, 0);
                g_assert_cmpint(method, ==, i);
        }

        method = _SYNC_METHOD_MAX;
        for (size_t i = 0; i < ELEMENTSOF(near); i++) {
                g_autofree char *expected =
                                g_strdup_printf("%s is not a sync method: auto, sync or syncfs", near[i]);

                g_assert_cmpint(sync_method_from_string(near[i], &method), ==, -EINVAL);
                g_assert_cmpint(method, ==, _SYNC_METHOD_MAX);
                refuse_text(SETTING_SYNC_METHOD, near[i], -EINVAL, expected);
        }
}

static void test_numbers(void) {
        accept_text(SETTING_CROWD_SIZE, "0012", 12);
        refuse_text(SETTING_CROWD_SIZE, " 4", -EINVAL, " 4 is not a number from 0 to 10000");
        refuse_text(SETTING_CROWD_SIZE, "4 ", -EINVAL, "4  is not a number from 0 to 10000");
        refuse_text(SETTING_CROWD_SIZE, "4.0", -EINVAL, "4.0 is not a number from 0 to 10000");
}

/* In one comparison, so that a failure shows the text. */
static void assert_parsed(
                const char *text,
                uint64_t default_unit_usec,
                int expected_r,
                uint64_t expected_usec) {
        uint64_t usec = UNTOUCHED;
        int r = parse_duration(text, default_unit_usec, &usec);
        g_autofree char *got = g_strdup_printf("%s: %d, %" PRIu64, text, r, usec);
        g_autofree char *expected = g_strdup_printf("%s: %d, %" PRIu64, text, expected_r, expected_usec);

        g_assert_cmpstr(got, ==, expected);
}

static void test_durations(void) {
        static const struct {
                const char *text;
                uint64_t usec;
        } good[] = {
                { "0", 0 },
                { "30", 30000000 },
                { "1us", 1 },
                { "1usec", 1 },
                { "1\xc2\xb5s", 1 },
                { "1\xce\xbcs", 1 },
                { "1ms", 1000 },
                { "1msec", 1000 },
                { "1s", 1000000 },
                { "1sec", 1000000 },
                { "1second", 1000000 },
                { "2seconds", 2000000 },
                { "1m", 60000000 },
                { "1min", 60000000 },
                { "1minute", 60000000 },
                { "2minutes", 120000000 },
                { "1h", 3600000000 },
                { "1hr", 3600000000 },
                { "1hour", 3600000000 },
                { "2hours", 7200000000 },
                { "1d", 86400000000 },
                { "1day", 86400000000 },
                { "2days", 172800000000 },
                { "1w", 604800000000 },
                { "1week", 604800000000 },
                { "2weeks", 1209600000000 },
                { "1min 30s", 90000000 },
                { "1min30s", 90000000 },
                { " 1 min  30 s ", 90000000 },
                { "1m\t30", 90000000 },
                { "30 30", 60000000 },
                { "1s 1s", 2000000 },
                { "1.5s", 1500000 },
                { "1.5", 1500000 },
                { ".5s", 500000 },
                { "0.1min", 6000000 },
                { "1.25h", 4500000000 },
                { "1.9us", 1 },
                { "1.0000019s", 1000001 },
                { "1.5s500ms", 2000000 },
                { "007s", 7000000 },
                { "18446744073709551614us", UINT64_MAX - 1 },
        };
        static const struct {
                const char *text;
                int r;
        } bad[] = {
                { "", -EINVAL },
                { " ", -EINVAL },
                { "s", -EINVAL },
                { ".", -EINVAL },
                { ".s", -EINVAL },
                { "1.", -EINVAL },
                { "1.s", -EINVAL },
                { "1. 5s", -EINVAL },
                { "1.5.5", -EINVAL },
                { "-1s", -EINVAL },
                { "-0", -EINVAL },
                { "+1s", -EINVAL },
                { "1s -1s", -EINVAL },
                { "1.-5s", -EINVAL },
                { "1S", -EINVAL },
                { "1 S", -EINVAL },
                { "1x", -EINVAL },
                { "1sx", -EINVAL },
                { "1s,", -EINVAL },
                { "1mins", -EINVAL },
                { "0x10", -EINVAL },
                { "1e3", -EINVAL },
                { "s1", -EINVAL },
                { "ten", -EINVAL },
                { "1 infinity", -EINVAL },
                { "infinity1", -EINVAL },
                { "1\xc2", -EINVAL },
                { "infinity", -ERANGE },
                { " infinity ", -ERANGE },
                { "18446744073709551615us", -ERANGE },
                { "18446744073709551614us 1us", -ERANGE },
                { "18446744073709551614.9ms", -ERANGE },
                { "18446744073709551616us", -ERANGE },
                { "99999999999999999999999999", -ERANGE },
                { "30500569w", -ERANGE },
        };

        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                assert_parsed(good[i].text, USEC_PER_SEC, 0, good[i].usec);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_parsed(bad[i].text, USEC_PER_SEC, bad[i].r, UNTOUCHED);

        assert_parsed("5", USEC_PER_MINUTE, 0, 300000000);
        assert_parsed("5s 1", USEC_PER_MSEC, 0, 5001000);
}

static void test_format_duration(void) {
        static const struct {
                uint64_t usec;
                const char *text;
        } table[] = {
                { 0, "0" },
                { 1, "1us" },
                { 999, "999us" },
                { 1000, "1ms" },
                { 500000, "500ms" },
                { 1001, "1.001ms" },
                { 1500, "1.5ms" },
                { 999999, "999.999ms" },
                { 1500000, "1.5s" },
                { 10000000, "10s" },
                { 1000001, "1.000001s" },
                { 60500000, "1min 500ms" },
                { 90000000, "1min 30s" },
                { 3600000000, "1h" },
                { 86400000000, "24h" },
                { 172799000000, "47h 59min 59s" },
                { 172800000000, "2d" },
                { 176461001001, "2d 1h 1min 1.001001s" },
                { UINT64_MAX - 1, "213503982d 8h 1min 49.551614s" },
                { UINT64_MAX, "infinity" },
        };
        char buffer[DURATION_SIZE], small[8];

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                g_assert_cmpstr(format_duration(table[i].usec, buffer, sizeof(buffer)), ==, table[i].text);

        g_assert_cmpstr(format_duration(176461001001, small, sizeof(small)), ==, "2d 1h 1");
}

static void assert_round_trip(uint64_t usec) {
        uint64_t parsed = UNTOUCHED;
        char buffer[64];

        g_assert_cmpint(parse_duration(format_duration(usec, buffer, sizeof(buffer)), USEC_PER_SEC, &parsed),
                        ==, 0);
        g_assert_cmpuint(parsed, ==, usec);
}

static void test_duration_round_trip(void) {
        for (unsigned shift = 0; shift < 64; shift++) {
                uint64_t power = UINT64_C(1) << shift;

                assert_round_trip(power - 1);
                assert_round_trip(power);
                assert_round_trip(power + 1);

                for (int i = 0; i < 1000; i++) {
                        uint64_t random = (uint64_t) g_test_rand_int() << 32 | (uint32_t) g_test_rand_int();

                        assert_round_trip(random >> shift == UINT64_MAX ? 0 : random >> shift);
                }
        }
}

static void test_glob_characters(void) {
        static const struct {
                const char *glob, *error;
        } bad[] = {
                { "a\xff", "a\\xff is not valid UTF-8 from byte 2 on" },
                { "\xc3", "\\xc3 is not valid UTF-8 from byte 1 on" },
                { "\xed\xa0\x80", "\\xed\\xa0\\x80 is not valid UTF-8 from byte 1 on" },
                { "a\nb", "a\\x0ab has a control character at byte 2" },
                { "a\t", "a\\x09 has a control character at byte 2" },
                { "\x1b[1m", "\\x1b[1m has a control character at byte 1" },
                { "\xc2\xb5\x7f", "\xc2\xb5\\x7f has a control character at byte 3" },
                { "a\xc2\x80", "a\\xc2\\x80 has a control character at byte 2" },
                { "a\xc2\x9f", "a\\xc2\\x9f has a control character at byte 2" },
                { " a", "\" a\" begins or ends with a space: write it as [ ]" },
                { "a ", "\"a \" begins or ends with a space: write it as [ ]" },
        };
        g_autofree char *longest = g_strnfill(253, 'a');
        g_autofree char *with_umlaut = g_strconcat(longest, "\xc3\xbc", NULL);
        g_autofree char *longer = g_strconcat(longest, "a\xc3\xbc", NULL);
        g_autofree char *expected = g_strdup_printf(
                        "%.200s... is 256 bytes long, more than the maximum of 255 bytes", longer);

        accept_glob("kworker/*\xc2\xb5*");
        accept_glob("a b");
        accept_glob("[ ]\xc2\xa0");
        accept_glob(with_umlaut);
        refuse_glob(longer, -ERANGE, expected);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                refuse_glob(bad[i].glob, -EINVAL, bad[i].error);
}

static void test_glob_cost(void) {
        static const char *const good[] = {
                "kworker/*inode_switch_wbs*",
                "*kworker*u*:*+*inode*switch*wbs*",
                "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*x",
                "kworker/*+@(inode_switch_wbs|events_unbound)",
                "@(kworker|kworker)/*+@(inode_switch_wbs|writeback)*",
                "kworker/!(u*)+inode_switch_wbs",
                "kworker/?(u)[0-9]*+@(inode_switch_wbs|writeback|flush*)",
                "kworker/+([0-9]):+([0-9])+inode_switch_wbs",
                "kworker/+([[:digit:]]):*",
                "kworker/[+](x",
                "kworker/\\[x",
                "[]]x",
                "[!]]x",
                "[\\]]x",
                /* the worst that passes */
                "*@(a|a)*@(a|a)[a][a][a][a][a][a][a][a][a][a][a][a][a][a][a][a][a][a][a][a][a][a][a][a][a]b",
                "*@(a|a)@(a|a)*aaaaaaaaaaaaaaaaaaaaaaaab",
                "*(?)*aaaaaaaaaaaaaaaaaaaaaaaaaaab",
                "*(a)*(a)x",
                "+(?)!(a|a|a)aaaaaaaaaaaaaaaaaaaaab",
                "!(a|a)!(a|a)x",
                "@(a*|a*)@(a|a)aaaaaaaaaaaaaaaaaaab",
        };
        static const char *const nested[] = {
                "@(a|@(b))", "!(+(a))x", "@(a|+(b)", "@([?(]b))", "*(*(a|a)|a)", "+([a+(b|b)\\])",
        };
        static const char *const endless[] = {
                "@(a|b", "*(", "+([a)", "+([])", "+([])+(a)+(a)+(a)x", "+([!])+(a)", "@(@(@(", "+(a+(b",
        };
        static const char *const repeated[] = { "+(a|a)x", "*(a|aa)x", "kworker/*+(a*)x", "*+(a|b)",
                                                "\\+(a|a)" };
        static const char *const brackets[] = {
                "[", "kworker/[x", "[]", "[!]", "[!", "[\\]", "@(a)[b", "[a]["
        };
        static const struct {
                const char *glob, *reason;
        } many[] = {
                { "?(a)?(a)?(a)x", "3 pattern lists, more than the maximum of 2" },
                { "+(a)+(a)+(a)*aab", "3 pattern lists, more than the maximum of 2" },
                { "*@(a|a|a)@(a|a)x", "5 alternatives in pattern lists, more than the maximum of 4" },
                { "@(||||)", "5 alternatives in pattern lists, more than the maximum of 4" },
                /* open parts before, in, between and behind lists */
                { "*a*@(a)*",
                  "3 parts of any length beside or in pattern lists, more than the maximum of 2" },
                { "*@(a*)*x",
                  "3 parts of any length beside or in pattern lists, more than the maximum of 2" },
                { "*+(a)*x", "3 parts of any length beside or in pattern lists, more than the maximum of 2" },
                { "*(a)*!(b)",
                  "3 parts of any length beside or in pattern lists, more than the maximum of 2" },
        };
        static const char *const names[] = {
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
                "abababababababababababababababababababababababababababababababa",
        };

        /* Ends in milliseconds; where the bound is broken, not before the sun does. */
        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                accept_glob(good[i]);
                for (size_t j = 0; j < ELEMENTSOF(names); j++)
                        (void) fnmatch(good[i], names[j], FNM_EXTMATCH);
        }
        g_assert_cmpint(fnmatch(good[6], "kworker/u8:0+flush-7:1", FNM_EXTMATCH), ==, 0);
        g_assert_cmpint(fnmatch(good[7], "kworker/0:12+inode_switch_wbs", FNM_EXTMATCH), ==, 0);

        for (size_t i = 0; i < ELEMENTSOF(nested); i++) {
                g_autofree char *expected = g_strdup_printf("%s has nested pattern lists", nested[i]);

                refuse_glob(nested[i], -EINVAL, expected);
        }

        for (size_t i = 0; i < ELEMENTSOF(endless); i++) {
                g_autofree char *expected = g_strdup_printf(
                                "%s has a pattern list without an end; write a literal \"%c(\" as [%c](",
                                endless[i], endless[i][0], endless[i][0]);

                refuse_glob(endless[i], -EINVAL, expected);
        }

        for (size_t i = 0; i < ELEMENTSOF(repeated); i++) {
                char kind = *(strchr(repeated[i], '(') - 1);
                g_autofree char *expected =
                                g_strdup_printf("%s repeats a choice: \"%c(\" takes only one alternative, "
                                                "without \"*\"",
                                                repeated[i], kind);

                refuse_glob(repeated[i], -EINVAL, expected);
        }

        for (size_t i = 0; i < ELEMENTSOF(brackets); i++) {
                g_autofree char *expected = g_strdup_printf(
                                "%s has a \"[\" without a \"]\"; write a literal \"[\" as [[]", brackets[i]);

                refuse_glob(brackets[i], -EINVAL, expected);
        }

        for (size_t i = 0; i < ELEMENTSOF(many); i++) {
                g_autofree char *expected = g_strdup_printf("%s has %s", many[i].glob, many[i].reason);

                refuse_glob(many[i].glob, -ERANGE, expected);
        }

        refuse_glob("@(a+)(b|b)x", -EINVAL, "@(a+)(b|b)x has a \"(\" directly after a pattern list");
}

/* false only for what fnmatch(3) matches with no name that begins with kworker/. */
static void test_glob_can_match_kworker(void) {
        static const char *const can[] = {
                "kworker/*inode_switch_wbs*",
                "kworker/*",
                "kworker/u8:0+flush-7:1",
                "kworker/",
                "*",
                "?worker/*",
                "[k]worker/*",
                "[!k]*",
                "k*",
                "kworker[/]*",
                "\\kworker/*",
                "kworker\\/*",
                "\\k\\w\\o\\r\\k\\e\\r\\/x",
                "@(kworker)/*",
                "k+(w)orker/*",
                "kworker!(x)",
                "?(x)kworker/*",
                "*(x)kworker/*",
                "kworker/\xc2\xb5",
                "kworker/\\",
        };
        static const char *const cannot[] = {
                "",
                "foo*",
                "k",
                "kworker",
                "kworker ",
                "Kworker/*",
                " kworker/*",
                "kworkers/*",
                "kworker-*",
                "kworker+inode_switch_wbs*",
                "inode_switch_wbs",
                "+kworker/*",
                "@kworker/*",
                "!kworker/*",
                "(kworker/*)",
                "kworker(/)*",
                "\\*kworker/*",
                "\\?worker/*",
                "\\[k]worker/*",
                "\\@(kworker)/*",
                "kworker\\\\*",
                "\xc2\xb5*",
                "]kworker/*",
                "kworker|*",
        };
        static const char name[] = "kworker/0:1+inode_switch_wbs";

        for (size_t i = 0; i < ELEMENTSOF(can); i++)
                if (!glob_can_match_kworker(can[i]))
                        g_test_fail_printf("it can match: %s", can[i]);
        for (size_t i = 0; i < ELEMENTSOF(cannot); i++) {
                if (glob_can_match_kworker(cannot[i]))
                        g_test_fail_printf("it cannot match: %s", cannot[i]);
                g_assert_cmpint(fnmatch(cannot[i], name, FNM_EXTMATCH), ==, FNM_NOMATCH);
        }
        g_assert_true(glob_can_match_kworker(setting_table[SETTING_GLOB].built_in));
}

/* What stands in messages is cut and escaped. */
static void test_shown_values(void) {
        g_autofree char *fits = g_strnfill(200, 'x'), *longer = g_strnfill(201, 'x');
        g_autofree char *expected_fits = g_strdup_printf("%s is not a boolean: yes or no", fits);
        g_autofree char *expected_longer = g_strdup_printf("%s... is not a boolean: yes or no", fits);
        g_autofree char *split = g_strdup_printf("%.199s\xc3\xbc", fits);
        g_autofree char *expected_split = g_strdup_printf("%.199s... is not a boolean: yes or no", fits);
        g_autofree char *bytes = g_strnfill(5000, '\xff');
        GString *expected_bytes = g_string_new(NULL);

        for (int i = 0; i < 200; i++)
                g_string_append(expected_bytes, "\\xff");
        g_string_append(expected_bytes, "... is not a boolean: yes or no");

        refuse_text(SETTING_DRY_RUN, fits, -EINVAL, expected_fits);
        refuse_text(SETTING_DRY_RUN, longer, -EINVAL, expected_longer);
        refuse_text(SETTING_DRY_RUN, split, -EINVAL, expected_split);
        refuse_text(SETTING_DRY_RUN, bytes, -EINVAL, expected_bytes->str);
        refuse_text(SETTING_DRY_RUN, "\x1b[2J\xc2\x9b\xc3\xa9\n", -EINVAL,
                    "\\x1b[2J\\xc2\\x9b\xc3\xa9\\x0a is not a boolean: yes or no");

        g_string_free(expected_bytes, true);
}

/* What code decides by is the enum; the texts are for people. */
static void test_origins(void) {
        static const char *const texts[] = {
                [ORIGIN_BUILT_IN] = "built-in",
                [ORIGIN_BUS_PERMANENT] = "bus (permanent)",
                [ORIGIN_BUS_RUNTIME] = "bus",
                [ORIGIN_COMMAND_LINE] = "command line",
        };
        Settings settings;

        settings_init(&settings);
        for (Origin origin = 0; origin < ELEMENTSOF(texts); origin++) {
                if (origin == ORIGIN_FILE)
                        continue;
                g_assert_cmpint(settings_set_text(&settings, SETTING_DRY_RUN, "yes", origin, NULL), ==, 0);
                g_assert_cmpint(settings.origins[SETTING_DRY_RUN], ==, origin);
                g_assert_cmpstr(settings_origin(&settings, SETTING_DRY_RUN), ==, texts[origin]);
                g_assert_true(settings_is_built_in(&settings, SETTING_DRY_RUN) ==
                              (origin == ORIGIN_BUILT_IN));
        }
}

static void assert_place(const char *path, unsigned line, const char *expected) {
        Settings settings;

        settings_init(&settings);
        g_assert_cmpint(settings_set_text(&settings, SETTING_DRY_RUN, "yes", ORIGIN_FILE, NULL), ==, 0);
        settings_set_place(&settings, SETTING_DRY_RUN, path, line);
        g_assert_cmpstr(settings_origin(&settings, SETTING_DRY_RUN), ==, expected);
        g_assert_cmpuint(strlen(expected), <=, SETTINGS_PLACE_MAX);
}

/* The line is there also when the path is cut: before a character that does not fit in. */
static void test_places(void) {
        g_autofree char *path = g_strnfill(300, 'p');
        g_autofree char *cut = g_strdup_printf("%.252s:12", path);
        g_autofree char *split = g_strdup_printf("%.251s\xc3\xbc", path);
        g_autofree char *cut_split = g_strdup_printf("%.251s:12", path);

        assert_place("command line", 2, "command line:2");
        assert_place(path, 12, cut);
        assert_place(split, 12, cut_split);
        assert_place("a\xff\xc3\n", 2, "a\\xff\\xc3\\x0a:2");
}

/* A mask of what differs in value or origin. */
static void test_compare(void) {
        Settings a, b;

        settings_init(&a);
        settings_init(&b);
        g_assert_cmpuint(settings_compare(&a, &b), ==, 0);

        g_assert_cmpint(settings_set_text(&b, SETTING_GLOB, a.glob, ORIGIN_BUS_RUNTIME, NULL), ==, 0);
        g_assert_cmpint(settings_set_text(&b, SETTING_DRY_RUN, "yes", ORIGIN_BUILT_IN, NULL), ==, 0);
        g_assert_cmpuint(settings_compare(&a, &b), ==, 1u << SETTING_GLOB | 1u << SETTING_DRY_RUN);

        settings_copy(&a, &b, SETTING_GLOB);
        settings_copy(&a, &b, SETTING_DRY_RUN);
        assert_equal(&a, &b);

        g_assert_cmpint(settings_set_text(&a, SETTING_RECOVERY, "30s", ORIGIN_FILE, NULL), ==, 0);
        settings_copy(&b, &a, SETTING_RECOVERY);
        settings_set_place(&a, SETTING_RECOVERY, "f", 2);
        g_assert_cmpuint(settings_compare(&a, &b), ==, 1u << SETTING_RECOVERY);
}

/* Equal settings are equal byte by byte, however they came to be. */
static void test_plain_data(void) {
        Settings a, b;

        settings_init(&a);
        memset(&b, 0xaa, sizeof(b));
        settings_init(&b);
        assert_equal(&a, &b);

        g_assert_cmpint(settings_set_glob(&b, SETTING_GLOB, "a-much-longer-glob*", ORIGIN_FILE, NULL), ==, 0);
        settings_set_place(&b, SETTING_GLOB, "a-long-path", 123);
        g_assert_cmpint(settings_set_glob(&a, SETTING_GLOB, "x", ORIGIN_BUS_RUNTIME, NULL), ==, 0);
        g_assert_cmpint(settings_set_glob(&b, SETTING_GLOB, "x", ORIGIN_BUS_RUNTIME, NULL), ==, 0);
        assert_equal(&a, &b);
}

static void take_warning(const char *warning, void *userdata) {
        g_ptr_array_add(userdata, g_strdup(warning));
}

/* Holds what was warned of against a list that ends with NULL. */
static void assert_warnings(GPtrArray *warnings, const char *const *expected) {
        size_t n = 0;

        for (; n < warnings->len && expected[n]; n++)
                g_assert_cmpstr(g_ptr_array_index(warnings, n), ==, expected[n]);

        g_assert_cmpstr(n < warnings->len ? g_ptr_array_index(warnings, n) : NULL, ==, expected[n]);
        g_ptr_array_set_size(warnings, 0);
}

#define NO_WARNINGS ((const char *const[]){ NULL })

/* Parses a text as the file "f"; a NULL in expected ends the warnings. */
static void parse(Settings *settings, const char *text, size_t size, const char *const *expected) {
        g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
        /* A copy without a NUL, so that a sanitizer sees what reads beyond it. */
        g_autofree char *copy = g_memdup2(text, size);
        int r;

        r = settings_parse_text(settings, copy, size, "f", ORIGIN_FILE, take_warning, warnings);
        g_assert_cmpint(r, ==, (int) warnings->len);
        assert_warnings(warnings, expected);
}

/* As if that line of "f" set it. */
static void set_from_file(Settings *settings, SettingId id, const char *value, unsigned line) {
        g_assert_cmpint(settings_set_text(settings, id, value, ORIGIN_FILE, NULL), ==, 0);
        settings_set_place(settings, id, "f", line);
}

static void test_file_syntax(void) {
        static const char text[] = "# comment\n"
                                   ";comment=1\n"
                                   "\n"
                                   " \t # indented comment\r\n"
                                   "[Watch]\r\n"
                                   "ThresholdSec=5s\r\n"
                                   "  CrowdSize \t= 7\t\n"
                                   "Glob=kworker/*=# ;x\n"
                                   "PollIntervalSec=2\n"
                                   "ThresholdSec=1min 30s\n"
                                   "  [Watch]  \n"
                                   "DryRun=YES"; /* without a newline */
        Settings settings;

        settings_init(&settings);
        parse(&settings, text, strlen(text), NO_WARNINGS);
        assert_value(&settings, SETTING_THRESHOLD, "1min 30s", "f:10");
        assert_value(&settings, SETTING_CROWD_SIZE, "7", "f:7");
        assert_value(&settings, SETTING_GLOB, "kworker/*=# ;x", "f:8");
        assert_value(&settings, SETTING_POLL_INTERVAL, "2s", "f:9");
        assert_value(&settings, SETTING_DRY_RUN, "yes", "f:12");
        assert_value(&settings, SETTING_RECOVERY, "30s", "built-in");

        parse(&settings, "", 0, NO_WARNINGS);
        g_assert_cmpint(settings_parse_text(&settings, "x\n", 2, "f", ORIGIN_FILE, NULL, NULL), ==, 1);
}

/* A broken line costs itself only: what stood before stands, and what follows counts. */
static void test_broken_lines(void) {
        static const struct {
                const char *line, *warning;
        } table[] = {
                { "ThresholdSec=500ms",
                  "f:3: ThresholdSec=500ms: 500ms is less than the minimum of 1s, ignoring" },
                { "ThresholdSec = 2d ",
                  "f:3: ThresholdSec=2d: 2d is more than the maximum of 24h, ignoring" },
                { "ThresholdSec=",
                  "f:3: ThresholdSec=: the empty value is not a duration from 1s to 24h, like 30s, "
                  "ignoring" },
                { "ThresholdSec=\"5s\"",
                  "f:3: ThresholdSec=\"5s\": \"5s\" is not a duration from 1s to 24h, like "
                  "30s, ignoring" },
                { "ThresholdSec=5s # why",
                  "f:3: ThresholdSec=5s # why: 5s # why is not a duration from 1s to 24h, "
                  "like 30s, ignoring" },
                { "Glob=", "f:3: Glob=: must not be empty, ignoring" },
                { "Glob=a\x01", "f:3: Glob=a\\x01: a\\x01 has a control character at byte 2, ignoring" },
                { "ThresholdSec 5s", "f:3: ThresholdSec 5s: missing \"=\", ignoring" },
                { "=5s", "f:3: =5s: unknown key, ignoring" },
                { "Treshold=5s", "f:3: Treshold=5s: unknown key, ignoring" },
                { "\xef\xbb\xbf"
                  "DryRun=1",
                  "f:3: \xef\xbb\xbf"
                  "DryRun=1: unknown key, ignoring" },
                { "thresholdsec=5s",
                  "f:3: thresholdsec=5s: unknown key, ignoring (did you mean ThresholdSec=?)" },
                { "ThresholdUSec=5",
                  "f:3: ThresholdUSec=5: unknown key, ignoring (did you mean ThresholdSec=?)" },
                { "\x1b=5", "f:3: \\x1b=5: unknown key, ignoring" },
                { "SyncMethod=fsync", "f:3: SyncMethod=fsync: fsync is not a sync method: auto, sync or "
                                      "syncfs, ignoring" },
                { "SyncMethod=", "f:3: SyncMethod=: the empty value is not a sync method: auto, sync or "
                                 "syncfs, ignoring" },
                { "CountWaiting=2", "f:3: CountWaiting=2: 2 is not a boolean: yes or no, ignoring" },
                { "FilesystemTimeoutSec=999ms",
                  "f:3: FilesystemTimeoutSec=999ms: 999ms is less than the minimum of 1s, ignoring" },
                { "SweepIntervalSec=5s", "f:3: SweepIntervalSec=5s: unknown key, ignoring" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autofree char *text =
                                g_strdup_printf("[Watch]\nThresholdSec=7s\n%s\nCrowdSize=9\n", table[i].line);
                Settings settings, expected;

                settings_init(&expected);
                set_from_file(&expected, SETTING_THRESHOLD, "7s", 2);
                set_from_file(&expected, SETTING_CROWD_SIZE, "9", 4);

                settings_init(&settings);
                parse(&settings, text, strlen(text), (const char *const[]){ table[i].warning, NULL });
                assert_equal(&settings, &expected);
        }
}

#define USELESS                                                                                              \
        "cannot match any kernel worker, since their names begin with kworker/: nothing will be detected"

/* A glob that matches nothing is in effect all the same. */
static void test_useless_glob(void) {
        static const char text[] = "[Watch]\nGlob=foo*\nDryRun=yes\n";
        Settings settings;

        settings_init(&settings);
        parse(&settings, text, strlen(text), (const char *const[]){ "f:2: Glob=foo*: " USELESS, NULL });
        assert_value(&settings, SETTING_GLOB, "foo*", "f:2");
        assert_value(&settings, SETTING_DRY_RUN, "yes", "f:3");
}

static void test_sections(void) {
        static const char text[] = "DryRun=1\n"
                                   "garbage\n"
                                   "[watch]\n"
                                   "CrowdSize=1\n"
                                   "[Unknown]\n"
                                   "CrowdSize=2\n"
                                   "garbage\n"
                                   "[Watch\n"
                                   "CrowdSize=3\n"
                                   "[]\n"
                                   "[\n"
                                   "[Watch]\n"
                                   "RecoverySec=4\n"
                                   "[Watch] # why\n"
                                   "CrowdSize=5\n";
        static const char *const warnings[] = {
                "f:1: DryRun=1: outside of section [Watch], ignoring",
                "f:2: garbage: missing \"=\", ignoring",
                "f:3: [watch]: unknown section, ignoring (did you mean [Watch]?)",
                "f:5: [Unknown]: unknown section, ignoring",
                "f:8: [Watch: missing \"]\", ignoring the section",
                "f:10: []: unknown section, ignoring",
                "f:11: [: missing \"]\", ignoring the section",
                "f:14: [Watch] # why: missing \"]\", ignoring the section",
                NULL,
        };
        Settings settings, expected;

        settings_init(&expected);
        set_from_file(&expected, SETTING_RECOVERY, "4s", 13);

        settings_init(&settings);
        parse(&settings, text, strlen(text), warnings);
        assert_equal(&settings, &expected);
}

static void test_long_lines_and_nul_bytes(void) {
        static const char with_nul[] = "[Watch]\nCrowdSize=\0"
                                       "1\n\0\nCrowdSize=2\n";
        g_autoptr(GString) text = g_string_new("[Watch]\nCrowdSize=");
        Settings settings;

        settings_init(&settings);
        parse(&settings, with_nul, sizeof(with_nul) - 1,
              (const char *const[]){ "f:2: the line has a NUL byte, ignoring",
                                     "f:3: the line has a NUL byte, ignoring", NULL });
        assert_value(&settings, SETTING_CROWD_SIZE, "2", "f:4");

        /* The longest line, and one that is a byte longer. */
        for (int i = 0; i < 4096 - 10; i++)
                g_string_append_c(text, '0');
        settings_init(&settings);
        parse(&settings, text->str, text->len, NO_WARNINGS);
        assert_value(&settings, SETTING_CROWD_SIZE, "0", "f:2");

        g_string_append(text, "0\nDryRun=yes\n");
        settings_init(&settings);
        parse(&settings, text->str, text->len,
              (const char *const[]){ "f:2: the line is longer than the maximum of 4096 bytes, ignoring",
                                     NULL });
        assert_value(&settings, SETTING_CROWD_SIZE, "4", "built-in");
        assert_value(&settings, SETTING_DRY_RUN, "yes", "f:3");
}

#ifndef HAS_ADDRESS_SANITIZER /* which needs memory of its own */

static int set_all_wrong(char **ret_error) {
        static const char lines[] = "ThresholdSec=x\n[Watch]\nThresholdSec=x\nUnknown=1\nGlob=foo\n";
        int n_warnings = 0;
        Settings settings;

        settings_init(&settings);
        for (SettingId id = 0; id < _SETTING_MAX; id++) {
                int r = settings_set_text(&settings, id, "", ORIGIN_BUS_RUNTIME, ret_error);
                int r_of_number = settings_set_number(
                                &settings, id, UINT64_MAX, ORIGIN_BUS_RUNTIME,
                                ret_error ? &ret_error[1] : NULL);

                if (ret_error && (r != -ENOMEM || r_of_number != -ENOMEM))
                        return -EINVAL;
        }

        n_warnings = settings_parse_text(&settings, lines, strlen(lines), "f", ORIGIN_FILE, NULL, NULL);
        return n_warnings == 4 ? 0 : -EINVAL;
}

/* From now on no malloc() succeeds. */
static void use_up_memory(void) {
        const struct rlimit limit = {};
        void *volatile p;

        g_assert_no_errno(setrlimit(RLIMIT_AS, &limit));
        for (size_t size = 64 * 1024; size > 0; size -= 8)
                do
                        p = malloc(size);
                while (p);
}

/* An invalid value is refused without memory, too: a caller on the bus may come in that minute. */
static void test_no_memory(void) {
        if (g_test_subprocess()) {
                char *errors[2] = { NULL, NULL };

                (void) set_all_wrong(NULL); /* what is needed of the stack is there from now on */
                use_up_memory();
                /* In parentheses it is not count-at-exit.h's, which needs memory. */
                (_exit)(set_all_wrong(errors) < 0 || errors[0] || errors[1] ? EXIT_FAILURE : EXIT_SUCCESS);
        }

        g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
        g_test_trap_assert_passed();
}

#endif

/* A scratch folder with the three that are searched, strongest first. */
typedef struct Fixture {
        char *root;
        char *folders[4];
        GPtrArray *warnings;
        Settings settings;
} Fixture;

static void fixture_set_up(Fixture *f, const void *data) {
        static const char *const names[] = { "etc", "run", "usr" };

        f->root = g_dir_make_tmp("wbwatch-test-settings-XXXXXX", NULL);
        g_assert_nonnull(f->root);
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                f->folders[i] = g_build_filename(f->root, names[i], NULL);
        f->warnings = g_ptr_array_new_with_free_func(g_free);
        settings_init(&f->settings);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static void fixture_tear_down(Fixture *f, const void *data) {
        g_assert_cmpint(nftw(f->root, remove_one, 16, FTW_DEPTH | FTW_PHYS), ==, 0);
        for (size_t i = 0; i < ELEMENTSOF(f->folders); i++)
                g_free(f->folders[i]);
        g_free(f->root);
        g_ptr_array_unref(f->warnings);
}

/* The path of something in the scratch folder, whose folder is made. It lives until the test's end. */
static const char *at(Fixture *f, const char *name) {
        g_autofree char *path = g_build_filename(f->root, name, NULL), *folder = g_path_get_dirname(path);

        g_assert_cmpint(g_mkdir_with_parents(folder, 0755), ==, 0);
        return g_intern_string(path);
}

static const char *put(Fixture *f, const char *name, const char *text) {
        const char *path = at(f, name);

        g_assert_true(g_file_set_contents(path, text, -1, NULL));
        return path;
}

static const char *where(Fixture *f, const char *name, unsigned line) {
        g_autofree char *text = g_strdup_printf("%s/%s:%u", f->root, name, line);

        return g_intern_string(text);
}

static const char *warning(Fixture *f, const char *name, const char *text) {
        g_autofree char *whole = g_strdup_printf("%s/%s%s", f->root, name, text);

        return g_intern_string(whole);
}

#define WARNINGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* Reads a file that need not be there. */
static void load_file(Fixture *f, const char *path, int expected_n, const char *const *expected) {
        const SettingsPaths paths = { .permanent_file = path };

        g_assert_cmpint(settings_load(&paths, take_warning, f->warnings, &f->settings), ==, expected_n);
        assert_warnings(f->warnings, expected);
}

static void test_load_file(Fixture *f, const void *data) {
        const char *path = put(f, "a.conf", "[Watch]\nDryRun=1\nCrowdSize=x\n");
        const char *bad =
                        warning(f, "a.conf", ":3: CrowdSize=x: x is not a number from 0 to 10000, ignoring");

        load_file(f, path, 1, WARNINGS(bad));
        assert_value(&f->settings, SETTING_DRY_RUN, "yes", "bus (permanent)");
        assert_value(&f->settings, SETTING_CROWD_SIZE, "4", "built-in");
}

/* What can't be read, or should not be, costs one warning and no wait. */
static void test_odd_files(Fixture *f, const void *data) {
        g_autofree char *large = g_strnfill(1024 * 1024, '\n');
        const char *file = put(f, "file", "[Watch]\n");
        Settings before = f->settings;

        load_file(f, at(f, "absent"), 0, NO_WARNINGS);
        load_file(f, put(f, "empty", ""), 0, NO_WARNINGS);
        load_file(f, "/dev/null", 0, NO_WARNINGS);

        load_file(f, "/dev/zero", 1, WARNINGS("/dev/zero: can't be read: not a regular file, ignoring"));
        g_assert_cmpint(g_mkdir(at(f, "folder"), 0755), ==, 0);
        load_file(f, at(f, "folder"), 1,
                  WARNINGS(warning(f, "folder", ": can't be read: Is a directory, ignoring")));

        g_assert_cmpint(mkfifo(at(f, "fifo"), 0600), ==, 0);
        load_file(f, at(f, "fifo"), 1,
                  WARNINGS(warning(f, "fifo", ": can't be read: not a regular file, ignoring")));

        g_assert_cmpint(symlink("loop", at(f, "loop")), ==, 0);
        load_file(f, at(f, "loop"), 1,
                  WARNINGS(
                                  warning(f, "loop",
                                          ": can't be read: Too many levels of symbolic links, ignoring")));

        load_file(f, warning(f, "file/below", ""), 1,
                  WARNINGS(warning(f, "file/below", ": can't be read: Not a directory, ignoring")));

        load_file(f, put(f, "large", large), 0, NO_WARNINGS);
        g_assert_cmpint(truncate(at(f, "large"), 1024 * 1024 + 1), ==, 0);
        load_file(f, at(f, "large"), 1,
                  WARNINGS(
                                  warning(f, "large",
                                          ": can't be read: larger than the maximum of 1 MiB, ignoring")));

        load_file(f, file, 0, NO_WARNINGS);
        assert_equal(&f->settings, &before);
}

static void load(Fixture *f, const SettingsPaths *extra, const char *const *expected) {
        SettingsPaths paths = extra ? *extra : (SettingsPaths){};
        int n = 0, r;

        paths.folders = (const char *const *) f->folders;
        memset(&f->settings, 0xaa, sizeof(f->settings));
        while (expected[n])
                n++;

        r = settings_load(&paths, take_warning, f->warnings, &f->settings);
        assert_warnings(f->warnings, expected);
        g_assert_cmpint(r, ==, n);
}

/* On the command line too, but only there when the command line sets it. */
static void test_useless_glob_of_command_line(Fixture *f, const void *data) {
        Settings overrides;
        SettingsPaths paths = { .overrides = &overrides };

        settings_init(&overrides);
        g_assert_cmpint(settings_set_text(&overrides, SETTING_GLOB, "foo\xc2\xb5", ORIGIN_COMMAND_LINE, NULL),
                        ==, 0);
        load(f, &paths, WARNINGS("command line: Glob=foo\xc2\xb5: " USELESS));
        assert_value(&f->settings, SETTING_GLOB, "foo\xc2\xb5", "command line");

        settings_init(&overrides);
        g_assert_cmpint(settings_set_text(&overrides, SETTING_GLOB, "foo", ORIGIN_BUS_RUNTIME, NULL), ==, 0);
        (void) put(f, "etc/wbwatch.conf", "[Watch]\nGlob=bar\n");
        load(f, &paths, WARNINGS(warning(f, "etc/wbwatch.conf", ":2: Glob=bar: " USELESS)));
}

static void test_load_nothing(Fixture *f, const void *data) {
        Settings built_in;

        settings_init(&built_in);
        load(f, NULL, NO_WARNINGS);
        assert_equal(&f->settings, &built_in);

        g_assert_cmpint(settings_load(&(SettingsPaths){}, NULL, NULL, &f->settings), ==, 0);
        assert_equal(&f->settings, &built_in);

        g_assert_cmpstr(settings_default_folders[0], ==, "/etc/wbwatch");
        g_assert_cmpstr(settings_default_folders[1], ==, "/run/wbwatch");
        g_assert_cmpstr(settings_default_folders[2], ==, "/usr/lib/wbwatch");
        g_assert_null(settings_default_folders[3]);
}

/* The main file of the strongest folder is the only one that counts, even when it is broken. */
static void test_main_files(Fixture *f, const void *data) {
        (void) put(f, "usr/wbwatch.conf", "[Watch]\nCrowdSize=1\nDryRun=1\n");
        load(f, NULL, NO_WARNINGS);
        assert_value(&f->settings, SETTING_CROWD_SIZE, "1", where(f, "usr/wbwatch.conf", 2));

        (void) put(f, "run/wbwatch.conf", "[Watch]\n\nCrowdSize=2\n");
        load(f, NULL, NO_WARNINGS);
        assert_value(&f->settings, SETTING_CROWD_SIZE, "2", where(f, "run/wbwatch.conf", 3));
        assert_value(&f->settings, SETTING_DRY_RUN, "no", "built-in");

        g_assert_cmpint(g_mkdir(at(f, "etc/wbwatch.conf"), 0755), ==, 0);
        load(f, NULL, WARNINGS(warning(f, "etc/wbwatch.conf", ": can't be read: Is a directory, ignoring")));
        assert_value(&f->settings, SETTING_CROWD_SIZE, "4", "built-in");

        g_assert_cmpint(g_rmdir(at(f, "etc/wbwatch.conf")), ==, 0);
        g_assert_cmpint(symlink("/dev/null", at(f, "etc/wbwatch.conf")), ==, 0);
        load(f, NULL, NO_WARNINGS);
        assert_value(&f->settings, SETTING_CROWD_SIZE, "4", "built-in");
}

static void test_drop_ins(Fixture *f, const void *data) {
        (void) put(f, "etc/wbwatch.conf",
                   "[Watch]\nCrowdSize=1\nThresholdSec=1\nRecoverySec=1\nSyncTimeoutSec=1\n");
        (void) put(f, "usr/wbwatch.conf.d/90-last.conf", "[Watch]\nCrowdSize=90\n");
        (void) put(f, "run/wbwatch.conf.d/50-middle.conf", "[Watch]\nCrowdSize=50\nThresholdSec=50\n");
        (void) put(f, "etc/wbwatch.conf.d/10-first.conf",
                   "[Watch]\nCrowdSize=10\nThresholdSec=10\nRecoverySec=10\n");
        (void) put(f, "etc/wbwatch.conf.d/A.conf", "[Watch]\nIdleScanIntervalSec=20\n");
        (void) put(f, "usr/wbwatch.conf.d/a.conf", "[Watch]\nIdleScanIntervalSec=30\n");

        /* No drop-ins. */
        (void) put(f, "etc/wbwatch.conf.d/99.conf.bak", "[Watch]\nDryRun=1\n");
        (void) put(f, "etc/wbwatch.conf.d/.99.conf", "[Watch]\nDryRun=1\n");
        (void) put(f, "etc/wbwatch.conf.d/.conf", "[Watch]\nDryRun=1\n");
        (void) put(f, "etc/wbwatch.conf.d/README", "garbage");

        load(f, NULL, NO_WARNINGS);
        assert_value(&f->settings, SETTING_CROWD_SIZE, "90", where(f, "usr/wbwatch.conf.d/90-last.conf", 2));
        assert_value(&f->settings, SETTING_THRESHOLD, "50s",
                     where(f, "run/wbwatch.conf.d/50-middle.conf", 3));
        assert_value(&f->settings, SETTING_RECOVERY, "10s", where(f, "etc/wbwatch.conf.d/10-first.conf", 4));
        assert_value(&f->settings, SETTING_SYNC_TIMEOUT, "1s", where(f, "etc/wbwatch.conf", 5));
        assert_value(&f->settings, SETTING_IDLE_SCAN_INTERVAL, "30s",
                     where(f, "usr/wbwatch.conf.d/a.conf", 2));
        assert_value(&f->settings, SETTING_DRY_RUN, "no", "built-in");
}

/* Of drop-ins of one name, the strongest folder's hides the others, also when it is empty or leads to
 * /dev/null. */
static void test_hidden_drop_ins(Fixture *f, const void *data) {
        (void) put(f, "usr/wbwatch.conf.d/a.conf", "[Watch]\nCrowdSize=1\nDryRun=1\n");
        (void) put(f, "run/wbwatch.conf.d/a.conf", "[Watch]\nCrowdSize=2\n");
        (void) put(f, "usr/wbwatch.conf.d/b.conf", "[Watch]\nThresholdSec=1\n");
        (void) put(f, "run/wbwatch.conf.d/b.conf", "");
        (void) put(f, "run/wbwatch.conf.d/c.conf", "[Watch]\nRecoverySec=1\n");
        (void) at(f, "etc/wbwatch.conf.d/c.conf");
        g_assert_cmpint(symlink("/dev/null", at(f, "etc/wbwatch.conf.d/c.conf")), ==, 0);

        load(f, NULL, NO_WARNINGS);
        assert_value(&f->settings, SETTING_CROWD_SIZE, "2", where(f, "run/wbwatch.conf.d/a.conf", 2));
        assert_value(&f->settings, SETTING_DRY_RUN, "no", "built-in");
        assert_value(&f->settings, SETTING_THRESHOLD, "30s", "built-in");
        assert_value(&f->settings, SETTING_RECOVERY, "30s", "built-in");
}

/* One thing that can't be read does not hide the rest. */
static void test_odd_drop_ins(Fixture *f, const void *data) {
        (void) put(f, "etc/wbwatch.conf.d", "a file, not a folder");
        g_assert_cmpint(g_mkdir_with_parents(at(f, "run/wbwatch.conf.d/a.conf"), 0755), ==, 0);
        (void) put(f, "run/wbwatch.conf.d/b.conf", "[Watch]\nCrowdSize=x\nDryRun=1\n");

        load(f, NULL,
             WARNINGS(warning(f, "etc/wbwatch.conf.d", ": can't be read: Not a directory, ignoring"),
                      warning(f, "run/wbwatch.conf.d/a.conf", ": can't be read: Is a directory, ignoring"),
                      warning(f, "run/wbwatch.conf.d/b.conf",
                              ":2: CrowdSize=x: x is not a number from 0 to 10000, ignoring")));
        assert_value(&f->settings, SETTING_DRY_RUN, "yes", where(f, "run/wbwatch.conf.d/b.conf", 3));
}

/* Built-in, main file, drop-ins, permanent file, command line: each is seen where no stronger one speaks. */
static void test_order(Fixture *f, const void *data) {
        static const char all[] =
                        "[Watch]\nGlob=kworker/main\nThresholdSec=11\nCrowdSize=11\nCrowdThresholdSec=11\n"
                        "PollIntervalSec=11\n";
        const char *permanent =
                        put(f, "permanent.conf",
                            "[Watch]\nGlob=kworker/permanent\nThresholdSec=13\nCrowdSize=13\n"
                            "RecoverySec=x\n");
        const char *bad =
                        warning(f, "permanent.conf",
                                ":5: RecoverySec=x: x is not a duration from 0 to 1h, like 30s, ignoring");
        Settings overrides;
        SettingsPaths paths = { .permanent_file = permanent, .overrides = &overrides };

        (void) put(f, "etc/wbwatch.conf", all);
        (void) put(f, "usr/wbwatch.conf.d/a.conf",
                   "[Watch]\nGlob=kworker/drop-in\nThresholdSec=12\nCrowdSize=12\n"
                   "CrowdThresholdSec=12\n");
        settings_init(&overrides);
        g_assert_cmpint(settings_set_text(
                                        &overrides, SETTING_GLOB, "kworker/override", ORIGIN_COMMAND_LINE,
                                        NULL),
                        ==, 0);
        g_assert_cmpint(settings_set_text(&overrides, SETTING_THRESHOLD, "14", ORIGIN_COMMAND_LINE, NULL), ==,
                        0);
        g_assert_cmpint(settings_set_text(&overrides, SETTING_CROWD_SIZE, "14", ORIGIN_BUS_RUNTIME, NULL), ==,
                        0);
        g_assert_cmpint(settings_set_text(&overrides, SETTING_DRY_RUN, "yes", ORIGIN_COMMAND_LINE, NULL), ==,
                        0);

        load(f, &paths, WARNINGS(bad));
        assert_value(&f->settings, SETTING_GLOB, "kworker/override", "command line");
        assert_value(&f->settings, SETTING_THRESHOLD, "14s", "command line");
        assert_value(&f->settings, SETTING_DRY_RUN, "yes", "command line");
        assert_value(&f->settings, SETTING_CROWD_SIZE, "13", "bus (permanent)");
        assert_value(&f->settings, SETTING_CROWD_THRESHOLD, "12s", where(f, "usr/wbwatch.conf.d/a.conf", 5));
        assert_value(&f->settings, SETTING_POLL_INTERVAL, "11s", where(f, "etc/wbwatch.conf", 6));
        assert_value(&f->settings, SETTING_RECOVERY, "30s", "built-in");

        /* A permanent file need not be there. */
        g_assert_cmpint(g_unlink(permanent), ==, 0);
        load(f, &paths, NO_WARNINGS);
        assert_value(&f->settings, SETTING_CROWD_SIZE, "12", where(f, "usr/wbwatch.conf.d/a.conf", 4));
}

/* A file of one's own stands for those in the folders, and must be there. */
static void test_own_file(Fixture *f, const void *data) {
        const char *own = put(f, "own.conf", "[Watch]\nCrowdSize=21\nThresholdSec=x\nRecoverySec=1\n");
        const char *permanent = put(f, "permanent.conf", "[Watch]\nRecoverySec=2\n");
        const char *bad =
                        warning(f, "own.conf",
                                ":3: ThresholdSec=x: x is not a duration from 1s to 24h, like 30s, ignoring");
        SettingsPaths paths = { .file = own, .permanent_file = permanent };
        Settings before;

        (void) put(f, "etc/wbwatch.conf", "[Watch]\nThresholdSec=1\nDryRun=1\n");
        (void) put(f, "etc/wbwatch.conf.d/a.conf", "[Watch]\nCrowdSize=1\n");
        load(f, &paths, WARNINGS(bad));
        assert_value(&f->settings, SETTING_CROWD_SIZE, "21", where(f, "own.conf", 2));
        assert_value(&f->settings, SETTING_THRESHOLD, "30s", "built-in");
        assert_value(&f->settings, SETTING_DRY_RUN, "no", "built-in");
        assert_value(&f->settings, SETTING_RECOVERY, "2s", "bus (permanent)");

        paths.folders = (const char *const *) f->folders;
        before = f->settings;
        g_assert_cmpint(g_unlink(own), ==, 0);
        g_assert_cmpint(settings_load(&paths, take_warning, f->warnings, &f->settings), ==, -ENOENT);
        assert_warnings(f->warnings,
                        WARNINGS(warning(f, "own.conf", ": can't be read: No such file or directory")));
        assert_equal(&f->settings, &before);

        g_assert_cmpint(g_mkdir(own, 0755), ==, 0);
        g_assert_cmpint(settings_load(&paths, take_warning, f->warnings, &f->settings), ==, -EISDIR);
        assert_warnings(f->warnings, WARNINGS(warning(f, "own.conf", ": can't be read: Is a directory")));
        assert_equal(&f->settings, &before);
}

/* The sample that is shipped names every key with its default and its bounds, and changes nothing. */
static void test_sample(void) {
        g_autofree char *path = g_test_build_filename(G_TEST_DIST, "..", "service", "wbwatch.conf", NULL);
        g_autofree char *text = NULL;
        g_autoptr(GString) uncommented = NULL;
        Settings settings, built_in;

        settings_init(&built_in);
        settings_init(&settings);
        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        parse(&settings, text, strlen(text), NO_WARNINGS);
        assert_equal(&settings, &built_in);

        uncommented = g_string_new(text);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const char *choice = rows[i].type == SETTING_TYPE_BOOLEAN  ? "yes or no"
                                     : rows[i].type == SETTING_TYPE_METHOD ? "auto, sync or syncfs"
                                                                           : NULL;
                g_autofree char *line = g_strdup_printf("#%s=%s\n", rows[i].key, rows[i].built_in);
                g_autofree char *bounds = choice ? g_strdup(choice)
                                                 : g_strdup_printf("%s to %s", rows[i].minimum_text,
                                                                   rows[i].maximum_text);
                g_autofree char *explanation = NULL;
                const char *found = strstr(text, line), *begin;

                g_assert_nonnull(found);
                begin = g_strrstr_len(text, found - text, i == 0 ? "[Watch]\n" : "\n\n");
                g_assert_nonnull(begin);
                explanation = g_strndup(begin, (size_t) (found - begin));
                g_assert_nonnull(strstr(explanation, bounds));

                g_assert_cmpuint(g_string_replace(uncommented, line, line + 1, 0), ==, 1);
        }

        settings_init(&settings);
        parse(&settings, uncommented->str, uncommented->len, NO_WARNINGS);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                g_assert_true(g_str_has_prefix(settings_origin(&settings, rows[i].id), "f:"));
                assert_value(&settings, rows[i].id, rows[i].built_in, settings_origin(&settings, rows[i].id));
        }
}

/* wbwatchd itself */

/* Runs it in a locale, with arguments that are separated by spaces, and returns its exit status. */
static int run_daemon(const char *locale, const char *arguments, char **ret_stdout, char **ret_stderr) {
        const char *wbwatchd = g_getenv("WBWATCHD");
        g_autofree char *line = g_strdup_printf("%s %s", wbwatchd, arguments);
        g_auto(GStrv) argv = g_strsplit(line, " ", -1), variables = g_get_environ();
        g_autoptr(GError) error = NULL;
        int status;

        if (!wbwatchd)
                g_error("$WBWATCHD is not set");
        variables = g_environ_setenv(variables, "LC_ALL", locale, true);
        variables = g_environ_setenv(variables, "STATE_DIRECTORY", "/nonexistent", true);
        g_spawn_sync(NULL, argv, variables, G_SPAWN_DEFAULT, NULL, NULL, ret_stdout, ret_stderr, &status,
                     &error);
        g_assert_no_error(error);
        g_assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

/* If one of these were accepted, the status would be another. */
static void test_refused_options(void) {
        static const struct {
                const char *arguments, *error;
        } table[] = {
                { "--dry-run=no", "--dry-run takes no value, but \"no\" was given" },
                { "--dry-run=yes", "--dry-run takes no value, but \"yes\" was given" },
                { "--dry-run no", "--dry-run takes no value, but \"no\" was given" },
                { "--dry-run=", "--dry-run takes no value, but \"\" was given" },
                { "--count-waiting=no", "--count-waiting takes no value, but \"no\" was given" },
                { "--check-config=no", "--check-config takes no value, but \"no\" was given" },
                { "--no-bus=no", "--no-bus takes no value, but \"no\" was given" },
                { "--verbose=no", "--verbose takes no value, but \"no\" was given" },
                { "--debug=no", "--debug takes no value, but \"no\" was given" },
                { "-d no", "-d takes no value, but \"no\" was given" },
                { "--no-timestamps=no", "--no-timestamps takes no value, but \"no\" was given" },
                { "--version=no", "--version takes no value, but \"no\" was given" },
                { "--help=no", "--help takes no value, but \"no\" was given" },
                { "--config", "Missing argument for --config" },
                { "--check-config extra", "--check-config takes no value, but \"extra\" was given" },
                { "extra", "unexpected argument \"extra\", see --help" },
                { "--runtime-threshold=500ms", "--runtime-threshold: 500ms is less than the minimum of 1s" },
                { "--crowd-size=x", "--crowd-size: x is not a number from 0 to 10000" },
                { "--sync-method=fsync", "--sync-method: fsync is not a sync method: auto, sync or syncfs" },
                { "--process-glob=@(a|b", "--process-glob: @(a|b has a pattern list without an end; write a "
                                          "literal \"@(\" as [@](" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autofree char *output = NULL, *error = NULL,
                                *expected = g_strdup_printf("wbwatchd: %s\n", table[i].error),
                                *arguments = g_strdup_printf(
                                                "--check-config --config=/dev/null %s", table[i].arguments);

                g_assert_cmpint(run_daemon("C", arguments, &output, &error), ==, 2);
                g_assert_cmpstr(error, ==, expected);
                g_assert_cmpstr(output, ==, "");
        }
}

/* Each option sets its setting, and no other one. */
static void test_setting_options(void) {
        static const char *const options[_SETTING_MAX] = {
                [SETTING_GLOB] = "--process-glob=kworker/\xc2\xb5*",
                [SETTING_THRESHOLD] = "--runtime-threshold=31s",
                [SETTING_CROWD_SIZE] = "--crowd-size 5",
                [SETTING_CROWD_THRESHOLD] = "--crowd-threshold=11s",
                [SETTING_COUNT_WAITING] = "--count-waiting",
                [SETTING_POLL_INTERVAL] = "--poll-interval=2s",
                [SETTING_IDLE_SCAN_INTERVAL] = "--idle-scan-interval=12s",
                [SETTING_RECOVERY] = "--recovery 32s",
                [SETTING_SYNC_METHOD] = "--sync-method=syncfs",
                [SETTING_FILESYSTEM_TIMEOUT] = "--filesystem-timeout=13s",
                [SETTING_SYNC_TIMEOUT] = "--sync-timeout=6min",
                [SETTING_DRY_RUN] = "--dry-run",
        };
        static const char *const values[_SETTING_MAX] = {
                [SETTING_GLOB] = "kworker/\xc2\xb5*", [SETTING_THRESHOLD] = "31s",
                [SETTING_CROWD_SIZE] = "5",           [SETTING_CROWD_THRESHOLD] = "11s",
                [SETTING_COUNT_WAITING] = "yes",      [SETTING_POLL_INTERVAL] = "2s",
                [SETTING_IDLE_SCAN_INTERVAL] = "12s", [SETTING_RECOVERY] = "32s",
                [SETTING_SYNC_METHOD] = "syncfs",     [SETTING_FILESYSTEM_TIMEOUT] = "13s",
                [SETTING_SYNC_TIMEOUT] = "6min",      [SETTING_DRY_RUN] = "yes",
        };

        for (SettingId id = 0; id < _SETTING_MAX; id++) {
                g_autofree char *output = NULL, *error = NULL,
                                *arguments = g_strdup_printf(
                                                "--config=/dev/null --check-config %s", options[id]);
                g_autoptr(GString) expected = g_string_new("[Watch]\n");

                for (SettingId other = 0; other < _SETTING_MAX; other++)
                        g_string_append_printf(
                                        expected, "# %s\n%s=%s\n", other == id ? "command line" : "built-in",
                                        setting_table[other].key,
                                        other == id ? values[id] : setting_table[other].built_in);

                g_assert_cmpint(run_daemon("C", arguments, &output, &error), ==, 0);
                g_assert_cmpstr(output, ==, expected->str);
                g_assert_cmpstr(error, ==, "");
        }
}

/* The warning reaches who typed it, and makes --check-config fail. */
static void test_useless_glob_option(void) {
        g_autofree char *output = NULL, *error = NULL;

        g_assert_cmpint(run_daemon("C",
                                   "--config=/dev/null --check-config --no-timestamps --process-glob=foo*",
                                   &output, &error),
                        ==, 1);
        g_assert_cmpstr(error, ==, "warning: command line: Glob=foo*: " USELESS "\n");
        g_assert_true(g_str_has_prefix(output, "[Watch]\n# command line\nGlob=foo*\n"));
}

/* In the characters of the terminal. */
static void test_help(void) {
        static const struct {
                const char *locale, *begin;
        } table[] = {
                { "C.UTF-8", "Usage:\n  wbwatchd [OPTION\xe2\x80\xa6]\n" },
                { "C", "Usage:\n  wbwatchd [OPTION...]\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autofree char *output = NULL, *error = NULL;

                g_assert_cmpint(run_daemon(table[i].locale, "-h", &output, &error), ==, 0);
                g_assert_cmpstr(error, ==, "");
                if (!g_str_has_prefix(output, table[i].begin))
                        g_test_fail_printf("%s: %s", table[i].locale, output);
        }
}

#define ADD_ROWS(name, test)                                                                                 \
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {                                                      \
                g_autofree char *path = g_strdup_printf("/settings/" name "/%s", rows[i].key);               \
                                                                                                             \
                g_test_add_data_func(path, &rows[i], test);                                                  \
        }

#define ADD(path, test) g_test_add("/settings/" path, Fixture, NULL, fixture_set_up, test, fixture_tear_down)

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);

        g_assert_cmpuint(ELEMENTSOF(rows), ==, _SETTING_MAX);
        ADD_ROWS("names", test_row_names);
        ADD_ROWS("default", test_row_default);
        ADD_ROWS("bounds", test_row_bounds);
        ADD_ROWS("type", test_row_type);
        ADD_ROWS("overflow", test_row_overflow);

        g_test_add_func("/settings/booleans", test_booleans);
        g_test_add_func("/settings/methods", test_methods);
        g_test_add_func("/settings/numbers", test_numbers);
        g_test_add_func("/settings/durations", test_durations);
        g_test_add_func("/settings/format-duration", test_format_duration);
        g_test_add_func("/settings/duration-round-trip", test_duration_round_trip);
        g_test_add_func("/settings/glob-characters", test_glob_characters);
        g_test_add_func("/settings/glob-cost", test_glob_cost);
        g_test_add_func("/settings/glob-can-match-kworker", test_glob_can_match_kworker);
        g_test_add_func("/settings/shown-values", test_shown_values);
        g_test_add_func("/settings/origins", test_origins);
        g_test_add_func("/settings/places", test_places);
        g_test_add_func("/settings/compare", test_compare);
        g_test_add_func("/settings/plain-data", test_plain_data);
        g_test_add_func("/settings/file-syntax", test_file_syntax);
        g_test_add_func("/settings/broken-lines", test_broken_lines);
        g_test_add_func("/settings/useless-glob", test_useless_glob);
        g_test_add_func("/settings/sections", test_sections);
        g_test_add_func("/settings/long-lines-and-nul-bytes", test_long_lines_and_nul_bytes);
#ifndef HAS_ADDRESS_SANITIZER
        g_test_add_func("/settings/no-memory", test_no_memory);
#endif
        g_test_add_func("/settings/sample", test_sample);
        g_test_add_func("/settings/refused-options", test_refused_options);
        g_test_add_func("/settings/setting-options", test_setting_options);
        g_test_add_func("/settings/useless-glob-option", test_useless_glob_option);
        g_test_add_func("/settings/help", test_help);

        ADD("load-file", test_load_file);
        ADD("odd-files", test_odd_files);
        ADD("useless-glob-of-command-line", test_useless_glob_of_command_line);
        ADD("load-nothing", test_load_nothing);
        ADD("main-files", test_main_files);
        ADD("drop-ins", test_drop_ins);
        ADD("hidden-drop-ins", test_hidden_drop_ins);
        ADD("odd-drop-ins", test_odd_drop_ins);
        ADD("order", test_order);
        ADD("own-file", test_own_file);

        return g_test_run();
}
