/* SPDX-License-Identifier: GPL-3.0-or-later */

/* wbctl without a daemon: what it prints for given answers, and how it handles command lines and errors. */

#include <pty.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "client.h"
#include "connection.h"
#include "json.h"
#include "run-wbctl.h"
#include "settings.h"
#include "terminal.h"
#include "values.h"

#define NOW UINT64_C(1700000000000000)

static const Terminal plain = { .utf8 = true };
static const Terminal ascii = {};
static const Terminal colourful = { .is_terminal = true, .colours = true, .utf8 = true, .erases = true };

/* A value in GVariant's text format. */
static GVariant *parse(const char *text) {
        g_autoptr(GError) error = NULL;
        GVariant *value = g_variant_parse(NULL, text, NULL, NULL, &error);

        g_assert_no_error(error);
        return g_variant_ref_sink(value);
}

/* json */

static void assert_json(const char *text, const char *expected) {
        g_autoptr(GVariant) value = parse(text);
        g_autoptr(GString) json = g_string_new(NULL);

        json_append(json, value);
        g_assert_cmpstr(json->str, ==, expected);
}

static void test_json_numbers(void) {
        assert_json("uint64 18446744073709551615", "null"); /* "never" on the bus */
        assert_json("uint64 18446744073709551614", "18446744073709551614");
        assert_json("uint64 9007199254740993", "9007199254740993");
        assert_json("int64 -9223372036854775808", "-9223372036854775808");
        assert_json("uint32 4294967295", "4294967295");
        assert_json("-2147483648", "-2147483648");
        assert_json("int16 -32768", "-32768");
        assert_json("uint16 65535", "65535");
        assert_json("byte 0xff", "255");
        assert_json("true", "true");
        assert_json("0.5", "0.5");
        assert_json("inf", "null");
        assert_json("nan", "null");
}

static void test_json_strings(void) {
        static const struct {
                const char *text, *expected;
        } cases[] = {
                { "", "\"\"" },
                { "kworker/u8:0+inode_switch_wbs", "\"kworker/u8:0+inode_switch_wbs\"" },
                { "a\"b\\c/", "\"a\\\"b\\\\c/\"" },
                { "\n\t\r\001\033[31m\177", "\"\\n\\t\\u000d\\u0001\\u001b[31m\\u007f\"" },
                { "\xc2\x9b"
                  "31m",
                  "\"\\u009b31m\"" },
                { "\u00fc\u20ac\U0001f600", "\"\u00fc\u20ac\U0001f600\"" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autoptr(GString) json = g_string_new(NULL);

                json_append_string(json, cases[i].text);
                g_assert_cmpstr(json->str, ==, cases[i].expected);
        }
}

static void test_json_containers(void) {
        assert_json("@a{sv} {}", "{}");
        assert_json("@aa{sv} []", "[]");
        assert_json("{'a': <1>, 'b\"': <'x'>}", "{\"a\":1,\"b\\\"\":\"x\"}");
        assert_json("[{'PID': <uint32 7>}, {'PID': <uint32 8>}]", "[{\"PID\":7},{\"PID\":8}]");
        assert_json("{'n': <[<1>, <'two'>]>, 's': <(1, true)>}", "{\"n\":[1,\"two\"],\"s\":[1,true]}");
        assert_json("{1: 'one'}", "[[1,\"one\"]]");
        assert_json("@ma{sv} nothing", "null");
        assert_json("just 5", "5");
        assert_json("@() ()", "[]");
        assert_json("<<uint64 18446744073709551614>>", "18446744073709551614");
}

/* values */

/* A bus that is good for making messages, and for nothing else. */
static sd_bus *dummy_bus(int *ret_peer_fd) {
        sd_bus *bus = NULL;
        int fds[2];

        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), ==, 0);
        g_assert_cmpint(sd_bus_new(&bus), >=, 0);
        g_assert_cmpint(sd_bus_set_fd(bus, fds[0], fds[0]), >=, 0);
        g_assert_cmpint(sd_bus_start(bus), >=, 0);
        *ret_peer_fd = fds[1];
        return bus;
}

static void test_values_from_message(void) {
        _cleanup_close_ int peer_fd = -EBADF;
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = dummy_bus(&peer_fd);
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        g_autoptr(GVariant) arguments = NULL, first = NULL, expected = NULL;

        g_assert_cmpint(sd_bus_message_new_signal(bus, &message, "/a", "b.c", "D"), >=, 0);
        g_assert_cmpint(sd_bus_message_append(
                                        message, "tybnqiuxdsoga{sv}aa{ss}(sv)as", UINT64_MAX, (uint8_t) 255,
                                        1, (int16_t) -1, (uint16_t) 65535, INT32_MIN, UINT32_MAX, INT64_MIN,
                                        0.5, "text", "/path", "a{sv}", 2, "one", "t", UINT64_MAX, "two", "as",
                                        1, "x", 1, 1, "k", "v", "s", "v", "b", 0, 0),
                        >=, 0);
        g_assert_cmpint(sd_bus_message_seal(message, 1, 0), >=, 0);

        g_assert_cmpint(arguments_from_message(message, &arguments), ==, 0);
        expected = parse("(uint64 18446744073709551615, byte 255, true, int16 -1, uint16 65535, -2147483648, "
                         "uint32 4294967295, int64 -9223372036854775808, 0.5, 'text', objectpath '/path', "
                         "signature 'a{sv}', {'one': <uint64 18446744073709551615>, 'two': <['x']>}, "
                         "[{'k': 'v'}], ('s', <<false>>), @as [])");
        g_assert_cmpvariant(arguments, expected);

        /* One value only; and none where the message has ended. */
        g_assert_cmpint(sd_bus_message_rewind(message, true), >=, 0);
        g_assert_cmpint(variant_from_message(message, &first), ==, 0);
        g_assert_cmpuint(g_variant_get_uint64(first), ==, UINT64_MAX);
        for (size_t i = 1; i < g_variant_n_children(expected); i++) {
                g_autoptr(GVariant) other = NULL;

                g_assert_cmpint(variant_from_message(message, &other), ==, 0);
        }
        g_assert_cmpint(variant_from_message(message, &arguments), ==, -EBADMSG);
}

static void test_values_without_descriptors(void) {
        _cleanup_close_ int peer_fd = -EBADF;
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = dummy_bus(&peer_fd);
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        GVariant *untouched = NULL;

        g_assert_cmpint(sd_bus_message_new_signal(bus, &message, "/a", "b.c", "D"), >=, 0);
        /* The connection has not negotiated that it passes descriptors; the reader alone must refuse the
         * type. */
        g_assert_cmpint(sd_bus_message_append(message, "h", peer_fd), >=, 0);
        g_assert_cmpint(sd_bus_message_seal(message, 1, 0), >=, 0);
        g_assert_cmpint(variant_from_message(message, &untouched), ==, -EOPNOTSUPP);
        g_assert_null(untouched);
}

static void test_values_lookup(void) {
        g_autoptr(GVariant) dictionary = parse("{'s': <'text'>, 't': <uint64 18446744073709551615>, "
                                               "'u': <uint32 7>, 'b': <true>, 'i': <5>, 'd': <1.5>, "
                                               "'l': <[{'x': <1>}]>}");
        g_autoptr(GVariant) list = NULL;
        double real = 42;
        uint64_t number = 42;
        bool boolean = true;

        g_assert_cmpstr(lookup_string(dictionary, "s"), ==, "text");
        g_assert_null(lookup_string(dictionary, "t"));
        g_assert_null(lookup_string(dictionary, "absent"));

        g_assert_false(lookup_number(dictionary, "absent", &number));
        g_assert_false(lookup_number(dictionary, "s", &number));
        g_assert_false(lookup_number(dictionary, "i", &number));
        g_assert_cmpuint(number, ==, 42);
        g_assert_true(lookup_number(dictionary, "t", &number));
        g_assert_cmpuint(number, ==, UINT64_MAX);
        g_assert_cmpuint(lookup_number_or_zero(dictionary, "u"), ==, 7);
        g_assert_cmpuint(lookup_number_or_zero(dictionary, "absent"), ==, 0);

        g_assert_false(lookup_double(dictionary, "u", &real));
        g_assert_true(real > 41 && real < 43);
        g_assert_true(lookup_double(dictionary, "d", &real));
        g_assert_true(real > 1.4 && real < 1.6);

        g_assert_null(lookup_list(dictionary, "s"));
        g_assert_null(lookup_list(dictionary, "absent"));
        list = lookup_list(dictionary, "l");
        g_assert_cmpuint(g_variant_n_children(list), ==, 1);

        g_assert_false(lookup_boolean(dictionary, "s", &boolean));
        g_assert_true(boolean);
        g_assert_true(lookup_true(dictionary, "b"));
        g_assert_false(lookup_true(dictionary, "absent"));
}

/* terminal */

static void test_terminal_decide(void) {
        static const struct {
                bool is_terminal;
                const char *charset, *no_color, *term;
                bool colours, utf8, erases;
        } cases[] = {
                { true, "UTF-8", NULL, "xterm", true, true, true },
                { true, "UTF-8", "", "xterm", true, true, true },
                { true, "UTF-8", "1", "xterm", false, true, true },
                { true, "UTF-8", "0", "xterm", false, true, true },
                { true, "UTF-8", NULL, "dumb", false, true, false },
                { true, "UTF-8", NULL, "", false, true, false },
                { true, "UTF-8", NULL, NULL, false, true, false },
                { true, "ANSI_X3.4-1968", NULL, "linux", true, false, true },
                { true, "ISO-8859-1", NULL, "linux", true, false, true },
                { false, "UTF-8", NULL, "xterm", false, true, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Terminal terminal = terminal_decide(
                                cases[i].is_terminal, cases[i].charset, cases[i].no_color, cases[i].term);

                g_assert_true(terminal.is_terminal == cases[i].is_terminal);
                g_assert_true(terminal.colours == cases[i].colours);
                g_assert_true(terminal.utf8 == cases[i].utf8);
                g_assert_true(terminal.erases == cases[i].erases);
        }

        g_assert_cmpstr(colour_on(&plain, COLOUR_RED), ==, "");
        g_assert_cmpstr(colour_off(&plain), ==, "");
        g_assert_cmpstr(colour_on(&colourful, COLOUR_RED), !=, "");
        g_assert_cmpstr(colour_off(&colourful), !=, "");
}

static void test_terminal_escape(void) {
        static const struct {
                const char *text, *utf8, *ascii;
        } cases[] = {
                { "kworker/u8:0+inode_switch_wbs", "kworker/u8:0+inode_switch_wbs",
                  "kworker/u8:0+inode_switch_wbs" },
                { "a\033[2Jb\r\n\t\177", "a\\x1b[2Jb\\x0d\\x0a\\x09\\x7f", "a\\x1b[2Jb\\x0d\\x0a\\x09\\x7f" },
                { "\u00fc", "\u00fc", "\\xc3\\xbc" },
                { "\xc2\x9b"
                  "2J",
                  "\\xc2\\x9b2J", "\\xc2\\x9b2J" },                          /* the C1 way to write ESC [ */
                { "\u202egpj", "\\xe2\\x80\\xaegpj", "\\xe2\\x80\\xaegpj" }, /* turns the text around */
                { "x\xff\xc3", "x\\xff\\xc3", "x\\xff\\xc3" }, /* no UTF-8, and cut in the middle */
                { "", "", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *utf8_text = terminal_escape(&plain, cases[i].text);
                g_autofree char *ascii_text = terminal_escape(&ascii, cases[i].text);

                g_assert_cmpstr(utf8_text, ==, cases[i].utf8);
                g_assert_cmpstr(ascii_text, ==, cases[i].ascii);
        }
}

static void test_terminal_spans(void) {
        static const struct {
                uint64_t usec;
                const char *expected;
        } cases[] = {
                { 0, "0" },
                { 1, "1us" },
                { 999, "999us" },
                { 1499, "1ms" },
                { 350499, "350ms" },
                { 999600, "1s" },
                { 1000000, "1s" },
                { 12345678, "12.3s" },
                { 12960000, "13s" },
                { 59940000, "59.9s" },
                { 59960000, "1min" },
                { 90 * USEC_PER_SEC, "1min 30s" },
                { 184400000, "3min 4s" },
                { 3599600000, "1h" },
                { 2 * USEC_PER_HOUR + 3 * USEC_PER_MINUTE + 20 * USEC_PER_SEC, "2h 3min" },
                { 50 * USEC_PER_HOUR + 3 * USEC_PER_MINUTE, "2d 2h" },
                { USEC_INFINITY, "infinity" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *span = span_format(cases[i].usec);

                g_assert_cmpstr(span, ==, cases[i].expected);
        }

        /* Does not overflow. */
        g_free(span_format(USEC_INFINITY - 1));
}

static void test_terminal_cut(void) {
        static const struct {
                const char *text;
                size_t columns;
                const char *expected;
        } cases[] = {
                { "abc", 3, "abc" },
                { "abc", 2, "ab" },
                { "abc", 0, "" },
                { "\u00fc\u20ac", 1, "\u00fc" },
                { "a\u4e16b", 2, "a" }, /* takes up two columns */
                { "a\u4e16b", 3, "a\u4e16" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *text = text_cut(cases[i].text, cases[i].columns);

                g_assert_cmpstr(text, ==, cases[i].expected);
        }
}

static void assert_time(uint64_t usec, uint64_t now_usec, const char *expected) {
        g_autofree char *text = time_format(usec, now_usec);

        g_assert_cmpstr(text, ==, expected);
}

static void test_terminal_times(void) {
        g_autofree char *exact = NULL;

        assert_time(NOW, NOW, "2023-11-14 22:13:20 UTC (now)");
        assert_time(NOW - 999999, NOW, "2023-11-14 22:13:19 UTC (now)");
        assert_time(NOW - 184 * USEC_PER_SEC, NOW, "2023-11-14 22:10:16 UTC (3min 4s ago)");
        assert_time(NOW + 5 * USEC_PER_MINUTE, NOW, "2023-11-14 22:18:20 UTC (in 5min)");
        assert_time(UINT64_MAX - 1, 0, "586524-01-19 08:01:49 UTC (in 213503982d 8h)");

        exact = time_format_exact(NOW + 45678);
        g_assert_cmpstr(exact, ==, "2023-11-14 22:13:20.045 UTC");
}

static void test_terminal_zones(void) {
        g_autofree char *utc = time_format_in_zone(NOW, "UTC"), *other = time_format_in_zone(NOW, "CET");

        g_assert_cmpstr(utc, ==, "2023-11-14 22:13:20");
        g_assert_cmpstr(other, ==, "2023-11-14 22:13:20 UTC");
}

static void test_terminal_bytes(void) {
        static const struct {
                uint64_t bytes;
                const char *expected;
        } cases[] = {
                { 0, "0 B" },
                { 1023, "1023 B" },
                { 1024, "1.0 KiB" },
                { UINT64_C(362395238), "345.6 MiB" },
                { UINT64_C(1288490189), "1.2 GiB" },
                { UINT64_MAX, "16.0 EiB" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *text = bytes_format(cases[i].bytes);

                g_assert_cmpstr(text, ==, cases[i].expected);
        }
}

static void test_terminal_table(void) {
        _cleanup_(table_freep) Table *table = table_new(3);
        g_autoptr(GString) out = g_string_new(NULL);
        g_autofree char *wide = g_strnfill(300, 'x'), *expected = NULL;

        table_add(table, "A");
        table_add(table, "LONGER");
        table_add(table, "LAST");
        table_add(table, "\u00fc\u00fc\u00fc"); /* counted in characters */
        table_add(table, "b");
        table_add(table, "c");
        table_add(table, wide); /* does not stretch the other lines */
        table_add(table, "d");
        table_add(table, "e");
        table_append(table, out, "> ");

        expected =
                        g_strdup_printf("> A    LONGER  LAST\n"
                                        "> \u00fc\u00fc\u00fc  b       c\n"
                                        "> %s  d       e\n",
                                        wide);
        g_assert_cmpstr(out->str, ==, expected);
}

/* set */

static void test_assignment_good(void) {
        static const struct {
                const char *text;
                SettingId id;
                uint64_t value;
        } cases[] = {
                { "ThresholdSec=20", SETTING_THRESHOLD, 20 * USEC_PER_SEC },
                { "ThresholdSec=1min 30s", SETTING_THRESHOLD, 90 * USEC_PER_SEC },
                { "ThresholdUSec=20000000", SETTING_THRESHOLD, 20 * USEC_PER_SEC },
                { "ThresholdUSec=20s", SETTING_THRESHOLD, 20 * USEC_PER_SEC },
                { "PollIntervalSec=500ms", SETTING_POLL_INTERVAL, 500 * USEC_PER_MSEC },
                { "RecoveryUSec=0", SETTING_RECOVERY, 0 },
                { "CrowdSize=0", SETTING_CROWD_SIZE, 0 },
                { "DryRun=yes", SETTING_DRY_RUN, 1 },
                { "DryRun=false", SETTING_DRY_RUN, 0 },
                { "CountWaiting=yes", SETTING_COUNT_WAITING, 1 },
                { "IdleScanIntervalSec=5", SETTING_IDLE_SCAN_INTERVAL, 5 * USEC_PER_SEC },
                { "IdleScanIntervalUSec=5000000", SETTING_IDLE_SCAN_INTERVAL, 5 * USEC_PER_SEC },
                { "FilesystemTimeoutSec=1min", SETTING_FILESYSTEM_TIMEOUT, USEC_PER_MINUTE },
                { "SyncMethod=syncfs", SETTING_SYNC_METHOD, SYNC_METHOD_SYNCFS },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char *error = NULL;
                Settings settings;
                SettingId id;

                settings_init(&settings);
                settings.dry_run = cases[i].value == 0;
                g_assert_cmpint(assignment_parse(cases[i].text, &settings, &id, &error), ==, 0);
                g_assert_null(error);
                g_assert_cmpint(id, ==, cases[i].id);
                g_assert_cmpuint(settings_get_number(&settings, id), ==, cases[i].value);
        }
}

static void test_assignment_glob(void) {
        char *error = NULL;
        Settings settings;
        SettingId id;

        /* Only the first = counts. */
        settings_init(&settings);
        g_assert_cmpint(assignment_parse("Glob=kworker/*=x", &settings, &id, &error), ==, 0);
        g_assert_cmpint(id, ==, SETTING_GLOB);
        g_assert_cmpstr(settings.glob, ==, "kworker/*=x");
}

static void test_assignment_bad(void) {
        static const struct {
                const char *text;
                int error;
                const char *words; /* part of them */
        } cases[] = {
                { "", -ENOENT, "NAME=VALUE" },
                { "ThresholdSec", -ENOENT, "NAME=VALUE" },
                { "=3", -ENOENT, "Unknown setting \"\"" },
                { "Threshold=3", -ENOENT, "ThresholdSec" },
                { "thresholdsec=3", -ENOENT, "spelled ThresholdSec" },
                { "CROWDSIZE=3", -ENOENT, "spelled CrowdSize" },
                { "ThresholdSec=", -EINVAL, "ThresholdSec" },
                { "ThresholdSec=soon", -EINVAL, "soon" },
                { "ThresholdSec=999ms", -ERANGE, "1s" },
                { "ThresholdUSec=20", -ERANGE, "20us" }, /* which would be fine in seconds */
                { "ThresholdUSec=soon", -EINVAL, "soon" },
                { "ThresholdSec=25h", -ERANGE, "24h" },
                { "CrowdSize=10001", -ERANGE, "10000" },
                { "CrowdSize=4294967300", -ERANGE, "10000" },
                { "DryRun=perhaps", -EINVAL, "perhaps" },
                { "Glob=", -ERANGE, "Glob" },
                { "SyncMethod=fsync", -EINVAL, "fsync" },
                { "SweepIntervalSec=5", -ENOENT, "IdleScanIntervalSec" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *error = NULL;
                Settings settings, before;
                SettingId id = _SETTING_MAX;
                int r;

                settings_init(&settings);
                before = settings;
                r = assignment_parse(cases[i].text, &settings, &id, &error);
                g_test_message("%s: %d, %s", cases[i].text, r, error ?: "no words");
                /* Which of the two a refused value gets is the settings' business. */
                if (cases[i].error == -ENOENT)
                        g_assert_cmpint(r, ==, -ENOENT);
                else
                        g_assert_true(r == -EINVAL || r == -ERANGE);
                g_assert_nonnull(error);
                g_assert_nonnull(strstr(error, cases[i].words));
                g_assert_cmpint(id, ==, _SETTING_MAX);
                g_assert_cmpmem(&settings, sizeof(settings), &before, sizeof(before));
        }
}

/* sync */

static void test_meminfo(void) {
        uint64_t bytes = 42;

        g_assert_cmpint(meminfo_parse("", &bytes), ==, -EBADMSG);
        g_assert_cmpint(meminfo_parse("Dirty:  5 kB\n", &bytes), ==, -EBADMSG);
        g_assert_cmpint(meminfo_parse("Dirty:  5 kB\nWritebackTmp:  7 kB\n", &bytes), ==, -EBADMSG);
        g_assert_cmpint(meminfo_parse("NotDirty:  5 kB\nWriteback:  7 kB\n", &bytes), ==, -EBADMSG);
        g_assert_cmpint(meminfo_parse("Dirty: kB\nWriteback:  7 kB\n", &bytes), ==, -EBADMSG);
        g_assert_cmpint(meminfo_parse("Dirty: 99999999999999999999 kB\nWriteback:  7 kB\n", &bytes), ==,
                        -EBADMSG);
        g_assert_cmpuint(bytes, ==, 42);

        g_assert_cmpint(meminfo_parse("MemTotal:  8 kB\nDirty:         1 kB\nWriteback:    2 kB\n"
                                      "WritebackTmp:   400 kB\n",
                                      &bytes),
                        ==, 0);
        g_assert_cmpuint(bytes, ==, 3 * 1024);
        g_assert_cmpint(meminfo_parse("WritebackTmp: 4 kB\nWriteback: 2 kB\nDirty: 0 kB", &bytes), ==, 0);
        g_assert_cmpuint(bytes, ==, 2 * 1024);
}

/* status */

static char *status_of(
                const Terminal *terminal,
                const char *properties,
                const char *workers,
                const char *episodes) {
        g_autoptr(GVariant) properties_value = parse(properties), workers_value = parse(workers),
                            episodes_value = parse(episodes);
        GString *out = g_string_new(NULL);

        status_append(out, terminal, properties_value, workers_value, episodes_value, NOW);
        return g_string_free(out, FALSE);
}

#define NO_WORKERS "@aa{sv} []"
#define NO_EPISODES "@aa{sv} []"
#define ONGOING                                                                                              \
        "[{'Id': <uint64 3>, 'Outcome': <'ongoing'>, 'StartUSec': <uint64 1699999990000000>, "               \
        "'Work': <'inode_switch_wbs'>}]"
#define ENDLESS "[{'Id': <uint64 3>, 'Outcome': <'ongoing'>, 'StartUSec': <uint64 1>}]"
#define RECOVERED "[{'Id': <uint64 3>, 'Outcome': <'recovered'>}]"
#define DRY_CLEARED "[{'Outcome': <'cleared'>, 'Syncs': <[{'StartUSec': <uint64 4>, 'DryRun': <true>}]>}]"
#define OUTLIVED "[{'Id': <uint64 3>, 'Outcome': <'outlived'>}]"
/* The first is complete; of others members are missing, or of another type. */
#define INHIBITORS                                                                                           \
        "[{'Who': <'a\nb'>, 'Why': <'nightly'>, 'UID': <uint32 5>, 'PID': <uint32 7>, 'SinceUSec': <uint64 " \
        "1699999940000000>}, {'Who': <'b'>}, {'Who': <uint32 1>, 'PID': <'x'>}, {'Who': <'d'>}, {'Who': "    \
        "<'e'>}]"

#define COUNTS(spinning, waiting, total)                                                                     \
        "'SpinningCount': <uint32 " #spinning ">, 'WaitingCount': <uint32 " #waiting                         \
        ">, 'WorkerCount': <uint32 " #total ">, 'LongestRunUSec': <uint64 31000000>"

/* A sync that stalled after 10 s, and what has become of its filesystems. */
#define STALLED(filesystems)                                                                                 \
        "'LastSyncResult': <'stalled'>, 'LastSyncUSec': <uint64 1699999640000000>, 'LastSyncDurationUSec': " \
        "<uint64 10000000>, 'FilesystemResults': <@aa{sv} [" filesystems "]>"
#define ANSWERED "{'Mountpoint': <'/'>, 'DurationUSec': <uint64 30000>, 'Result': <'ok'>}"
#define FROZEN ANSWERED ", {'Mountpoint': <'/srv'>, 'DurationUSec': <uint64 10000000>, 'Result': <'timeout'>}"
#define SLOW ANSWERED ", {'Mountpoint': <'/srv'>, 'DurationUSec': <uint64 10000000>, 'Result': <'slow'>}"
#define LATE ANSWERED ", {'Mountpoint': <'/srv'>, 'DurationUSec': <uint64 15000000>, 'Result': <'ok'>}"

static void test_status_headline(void) {
        static const struct {
                const char *properties, *episodes, *headline;
        } cases[] = {
                { "{'State': <'idle'>}", NO_EPISODES, "All is well: no matching worker is running." },
                { "{'State': <'idle'>, 'Fault': <''>, 'SyncsUnhelpful': <uint32 4>, " COUNTS(0, 0, 0) "}",
                  RECOVERED, "All is well: no matching worker is running." },
                { "{'State': <'idle'>, 'DryRun': <true>}", NO_EPISODES,
                  "All is well: no matching worker is running. Dry run: no automatic syncs." },
                /* Workers */
                { "{'State': <'busy'>, " COUNTS(1, 0, 1) "}", NO_EPISODES,
                  "Not stuck; matching workers: 1 spinning; longest run 31s." },
                { "{'State': <'busy'>, " COUNTS(0, 12, 12) "}", RECOVERED,
                  "Not stuck; matching workers: 12 waiting; longest run 31s." },
                { "{'State': <'unheard-of'>, 'WorkerCount': <uint32 2>, 'LongestRunUSec': <uint64 1000000>}",
                  NO_EPISODES, "Not stuck; matching workers: 2 running; longest run 1s." },
                /* A daemon that does not see everything is idle, too. StatusText decides nothing. */
                { "{'State': <'idle'>, 'Fault': <'cannot see kernel threads: \033hidepid'>, "
                  "'StatusText': <'no matching worker is running'>}",
                  RECOVERED, "Stalls may go undetected: cannot see kernel threads: \\x1bhidepid." },
                { "{'State': <'idle'>, 'Fault': <'No descriptors left.'>, 'DryRun': <true>}", NO_EPISODES,
                  "Stalls may go undetected: No descriptors left. Dry run: no automatic syncs." },
                { "{'State': <'idle'>, 'StatusText': <'cannot see kernel threads'>}", NO_EPISODES,
                  "All is well: " },
                { "{'State': <'idle'>, 'Glob': <'foo*'>}", NO_EPISODES,
                  "No stall can be detected: Glob matches no kernel worker." },
                { "{'State': <'idle'>, 'Glob': <'kworker/*'>}", NO_EPISODES, "All is well: " },
                /* Stalls */
                { "{'State': <'busy'>, " COUNTS(6, 2, 8) "}", ONGOING,
                  "Kernel workers are stuck in inode_switch_wbs (6 spinning, 2 waiting; longest run 31s). A "
                  "sync follows." },
                { "{'State': <'busy'>, 'Fault': <'x'>}", ONGOING, "Kernel workers are stuck in inode_" },
                { "{'State': <'busy'>, 'DryRun': <true>, " COUNTS(6, 0, 6) "}", ONGOING,
                  "Kernel workers are stuck in inode_switch_wbs (6 spinning; longest run 31s). `wbctl sync` "
                  "syncs now. Dry run: no automatic syncs." },
                { "{'State': <'recovery'>}", ONGOING,
                  "Kernel workers are stuck in inode_switch_wbs (none running). A sync has ended; another "
                  "one "
                  "follows after the recovery time." },
                { "{'State': <'recovery'>, 'SyncsUnhelpful': <uint32 7>}", ONGOING,
                  "Kernel workers are stuck in inode_switch_wbs (none running). Syncs do not help here: the "
                  "last 7 did not end a stall. At most one per hour follows." },
                { "{'State': <'paused'>}", ONGOING,
                  "Kernel workers are stuck in inode_switch_wbs (none running). `wbctl sync` syncs now, "
                  "`wbctl resume` ends the pause. Paused: no automatic syncs." },
                { "{'State': <'syncing'>, 'StateSinceUSec': <uint64 1699999998000000>, 'LastSyncResult': "
                  "<'ok'>, 'PausedUntilUSec': <uint64 18446744073709551615>}",
                  ONGOING,
                  "Kernel workers are stuck in inode_switch_wbs (none running). A sync has been under way "
                  "for "
                  "2s. Paused: no automatic syncs." },
                /* Syncs */
                { "{'State': <'syncing'>, 'StateSinceUSec': <uint64 1699999998000000>, 'LastSyncResult': "
                  "<'ok'>}",
                  RECOVERED, "A sync has been under way for 2s." },
                /* What is known of the last sync is not about this one. */
                { "{'State': <'syncing'>, 'StateSinceUSec': <uint64 1699999998000000>, " STALLED(FROZEN) "}",
                  RECOVERED, "A sync has been under way for 2s." },
                { "{'State': <'recovery'>, " STALLED(FROZEN) "}", OUTLIVED,
                  "A sync has not returned for 6min: a disk or a filesystem does not answer." },
                { "{'State': <'idle'>, " STALLED(FROZEN) "}", NO_EPISODES,
                  "A sync has not returned for 6min: " },
                { "{'State': <'recovery'>, " STALLED(FROZEN) ", " COUNTS(1, 0, 1) "}", ONGOING,
                  "Kernel workers are stuck in inode_switch_wbs (1 spinning; longest run 31s). A sync has "
                  "not returned for 6min: a disk or a filesystem does not answer." },
                /* Its sync has returned, after that; or it is still being written. */
                { "{'State': <'idle'>, " STALLED(LATE) "}", RECOVERED, "All is well: " },
                { "{'State': <'idle'>, " STALLED(SLOW) "}", RECOVERED, "All is well: " },
                { "{'State': <'idle'>, " STALLED(LATE) "}", OUTLIVED, "Syncs did not end the last stall." },
                /* sync(2) did not return in time, and nothing shows what has become of it. */
                { "{'State': <'idle'>, " STALLED(ANSWERED) "}", RECOVERED,
                  "The last sync, 6min ago, stalled: a disk or a filesystem did not answer. `wbctl sync` "
                  "tries again." },
                { "{'State': <'idle'>, " STALLED("") "}", RECOVERED, "The last sync, 6min ago, stalled: " },
                { "{'State': <'idle'>, 'SyncsUnhelpful': <uint32 5>}", RECOVERED,
                  "Syncs do not help here: the last 5 did not end a stall. At most one per hour follows." },
                { "{'State': <'idle'>}", OUTLIVED, "Syncs did not end the last stall." },
                /* wbwatchd forgets it after an hour without a stall. */
                { "{'State': <'idle'>, 'SyncsUnhelpful': <uint32 1>}", OUTLIVED,
                  "Syncs did not end the last stall." },
                { "{'State': <'idle'>, 'SyncsUnhelpful': <uint32 0>}", OUTLIVED, "All is well: " },
                { "{'State': <'recovery'>, " COUNTS(0, 3, 3) "}", RECOVERED,
                  "Recovery time after a sync; matching workers: 3 waiting; longest run 31s." },
                { "{'State': <'recovery'>, 'DryRun': <true>, 'LastSyncUSec': <uint64 3>}", DRY_CLEARED,
                  "Recovery time after a dry run; matching workers: none running. Dry run: no automatic "
                  "syncs." },
                { "{'State': <'recovery'>, 'LastSyncUSec': <uint64 5>}", DRY_CLEARED,
                  "Recovery time after a sync; matching workers: none running." },
                { "{'State': <'paused'>}", RECOVERED,
                  "Not stuck; matching workers: none running. Paused: no automatic syncs." },
                { "{'State': <'paused'>, 'StateSinceUSec': <uint64 1699913600000000>}", RECOVERED,
                  "Not stuck; matching workers: none running. Paused: no automatic syncs." },
                { "{'State': <'paused'>, 'StateSinceUSec': <uint64 1699913599000000>}", RECOVERED,
                  "The pause has lasted 24h; `wbctl resume` ends it. Paused: no automatic syncs." },
                { "{'State': <'paused'>, 'Inhibitors': <" INHIBITORS ">}", RECOVERED,
                  "Not stuck; matching workers: none running. Paused by 5 inhibitors: no automatic syncs." },
                { "{'State': <'paused'>, 'StateSinceUSec': <uint64 1699913599000000>, 'Inhibitors': "
                  "<" INHIBITORS ">}",
                  RECOVERED,
                  "The pause has lasted 24h; `wbctl inhibitors` lists who makes it last. Paused by 5 "
                  "inhibitors: no automatic syncs." },
                { "{'State': <'paused'>, 'Inhibitors': <" INHIBITORS ">, " COUNTS(1, 0, 1) "}", ONGOING,
                  "Kernel workers are stuck in inode_switch_wbs (1 spinning; longest run 31s). `wbctl sync` "
                  "syncs now, `wbctl inhibitors` lists who suspends automatic syncs. Paused by 5 inhibitors: "
                  "no automatic syncs." },
                /* An older or a strange daemon */
                { "@a{sv} {}", NO_EPISODES, "Not stuck; matching workers: none running." },
                { "{'State': <5>, 'WorkerCount': <'many'>, 'StateSinceUSec': <'x'>, 'PausedUntilUSec': "
                  "<true>, 'SpinningCount': <''>, 'CrowdSizeInForce': <5>, 'FilesystemResults': <[1]>, "
                  "'SettingOrigins': <'x'>, 'StatusText': <1>, 'LastSyncUSec': <''>, 'DryRun': <'yes'>, "
                  "'Fault': <1>}",
                  "[{'Outcome': <5>}]", "Not stuck; matching workers: none running." },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *status =
                                status_of(&ascii, cases[i].properties, NO_WORKERS, cases[i].episodes);

                g_test_message("%s", status);
                g_assert_true(g_str_has_prefix(status, cases[i].headline));
                /* Nothing of it is left over, where the whole line is given. */
                if (g_str_has_suffix(cases[i].headline, "."))
                        g_assert_cmpint(status[strlen(cases[i].headline)], ==, '\n');
        }
}

/* A colour is an alarm, too. */
static void test_status_red(void) {
        static const struct {
                const char *properties, *episodes;
                Colour colour;
        } cases[] = {
                { "{'State': <'idle'>}", NO_EPISODES, COLOUR_GREEN },
                { "{'State': <'idle'>, 'DryRun': <true>}", NO_EPISODES, COLOUR_YELLOW },
                { "{'State': <'busy'>}", RECOVERED, COLOUR_YELLOW },
                { "{'State': <'paused'>, 'StateSinceUSec': <uint64 1699999990000000>}", NO_EPISODES,
                  COLOUR_YELLOW },
                { "{'State': <'paused'>, 'StateSinceUSec': <uint64 1699900000000000>}", NO_EPISODES,
                  COLOUR_RED },
                { "{'State': <'idle'>, 'SyncsUnhelpful': <uint32 5>}", RECOVERED, COLOUR_RED },
                { "{'State': <'idle'>, 'Fault': <'x'>}", RECOVERED, COLOUR_RED },
                { "{'State': <'idle'>, 'Glob': <'foo*'>}", RECOVERED, COLOUR_RED },
                { "{'State': <'busy'>}", ONGOING, COLOUR_RED },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *status =
                                status_of(&colourful, cases[i].properties, NO_WORKERS, cases[i].episodes);

                g_test_message("%s", status);
                g_assert_true(g_str_has_prefix(status, colour_on(&colourful, cases[i].colour)));
        }
}

static const char full_status[] =
                "{'State': <'paused'>, 'StateSinceUSec': <uint64 1699999816000000>, "
                "'PausedUntilUSec': <uint64 1700000300000000>, 'StatusText': <'paused, \033[31m'>, "
                "'Version': <'0.1.0'>, 'EventSource': <'netlink'>, 'LostEvents': <uint64 3>, "
                "'WorkerCount': <uint32 6>, 'SpinningCount': <uint32 4>, 'WaitingCount': <uint32 2>, "
                "'LongestRunUSec': <uint64 12345678>, 'CrowdSizeInForce': <1.5>, 'SyncCount': <uint64 2>, "
                "'DirtyBytes': <uint64 1024>, 'WritebackBytes': <uint64 0>, "
                "'LastSyncUSec': <uint64 1699999940000000>, 'LastSyncDurationUSec': <uint64 350000>, "
                "'LastSyncResult': <'ok'>, 'Glob': <'kworker/*\033'>, 'ThresholdUSec': <uint64 90000000>, "
                "'CrowdSize': <uint32 4>, 'SyncMethod': <'auto'>, 'DryRun': <false>, "
                "'FilesystemResults': <[{'Mountpoint': <'/srv'>, 'Type': <'xfs'>, 'Result': <'timeout'>, "
                "'DurationUSec': <uint64 10000000>}, {'Mountpoint': <'/'>, 'Type': <'ext4'>, "
                "'Result': <'ok'>, 'DurationUSec': <uint64 5>}, {'Mountpoint': <'/\033'>, 'Type': <'btrfs'>, "
                "'Result': <'unreachable'>, 'DurationUSec': <uint64 0>}]>, 'SomethingNew': <(1, 2)>, "
                "'SettingOrigins': <{'ThresholdUSec': '/etc/wbwatch/wbwatch.conf:3', 'Glob': 'built-in'}>}";

#define WORKER(pid)                                                                                          \
        "{'PID': <uint32 " #pid ">, 'Name': <'kworker/0:1+inode_switch_wbs'>, 'State': <'R'>, "              \
        "'RunningUSec': <uint64 12345678>, 'CPUUSec': <uint64 250000>}"

static void test_status_full(void) {
        g_autofree char *status =
                        status_of(&plain, full_status,
                                  "[" WORKER(11) "," WORKER(12) "," WORKER(13) "," WORKER(14) "," WORKER(
                                                  15) "," WORKER(16) "]",
                                  "[{'Id': <uint64 1>, 'Outcome': <'cleared'>}, {'Id': <uint64 2>, "
                                  "'Outcome': <'recovered'>, 'Work': <'inode_switch_wbs'>, "
                                  "'Rule': <'crowd'>, 'StartUSec': <uint64 1699999938000000>, "
                                  "'EndUSec': <uint64 1699999941500000>, 'WorkerCount': <uint32 14>, "
                                  "'SyncCount': <uint32 1>, 'Syncs': <[{'StartUSec': <uint64 "
                                  "1699999940000000>, 'Helped': <'yes'>}]>}]");

        g_assert_cmpstr(status, ==,
                        "\u25cf Not stuck; matching workers: 4 spinning, 2 waiting; longest run 12.3s. "
                        "Paused: no automatic syncs.\n"
                        "  State         paused since 2023-11-14 22:10:16 UTC (3min 4s ago)\n"
                        "  Paused until  2023-11-14 22:18:20 UTC (in 5min)\n"
                        "  Why           paused, \\x1b[31m\n"
                        "  Workers       4 spinning, 2 waiting; longest run 12.3s\n"
                        "  Crowd size    1.5 in force\n"
                        "  Last sync     2023-11-14 22:12:20 UTC (1min ago): ok after 350ms, helped\n"
                        "  Syncs         2 since wbwatchd started\n"
                        "  Not synced    /srv (xfs): timeout 10s\n"
                        "                /\\x1b (btrfs): unreachable\n"
                        "  Last episode  2023-11-14 22:12:18 UTC (1min 2s ago): recovered after 3.5s\n"
                        "                rule crowd, up to 14 inode_switch_wbs, 1 sync\n"
                        "  Events        netlink, overrun 3 times\n"
                        "  Version       0.1.0\n"
                        "\n"
                        "Running workers:\n"
                        "  PID  STATE     RUNNING  CPU    NAME\n"
                        "  11   spinning  12.3s    250ms  kworker/0:1+inode_switch_wbs\n"
                        "  12   spinning  12.3s    250ms  kworker/0:1+inode_switch_wbs\n"
                        "  13   spinning  12.3s    250ms  kworker/0:1+inode_switch_wbs\n"
                        "  14   spinning  12.3s    250ms  kworker/0:1+inode_switch_wbs\n"
                        "  15   spinning  12.3s    250ms  kworker/0:1+inode_switch_wbs\n"
                        "  and 1 more: `wbctl list`\n"
                        "\n"
                        "Settings and their origins:\n"
                        "  Glob=kworker/*\\x1b     built-in\n"
                        "  ThresholdSec=1min 30s  /etc/wbwatch/wbwatch.conf:3\n"
                        "  CrowdSize=4\n"
                        "  SyncMethod=auto\n"
                        "  DryRun=no\n");
}

#define PENDING(mountpoint)                                                                                  \
        "{'Mountpoint': <'" mountpoint                                                                       \
        "'>, 'Type': <'xfs'>, 'Result': <'pending'>, 'DurationUSec': <uint64 "                               \
        "3200000>}"

static void test_status_syncing(void) {
        g_autofree char *status =
                        status_of(&plain,
                                  "{'State': <'syncing'>, 'StateSinceUSec': <uint64 1699999998000000>, "
                                  "'DirtyBytes': <uint64 3145728>, 'WritebackBytes': <uint64 1024>, "
                                  "'FilesystemResults': <[" PENDING("/srv") "]>}",
                                  NO_WORKERS, NO_EPISODES);

        g_assert_nonnull(strstr(status, "  Left to write  3.0 MiB dirty, 1.0 KiB in writeback\n"));
        g_assert_nonnull(strstr(status, "  Not synced     /srv (xfs): pending 3.2s\n"));
}

/* Whether the last sync helped is known only to the episode that it belongs to. */
static void test_status_helped(void) {
        static const struct {
                const char *sync, *words;
        } cases[] = {
                { "'StartUSec': <uint64 1699999940000000>, 'Helped': <'yes'>", "ok after 350ms, helped\n" },
                { "'StartUSec': <uint64 1699999940000000>, 'Helped': <'no'>",
                  "ok after 350ms, did not help\n" },
                { "'StartUSec': <uint64 1699999940000000>, 'Helped': <'pending'>",
                  "ok after 350ms, not yet known whether it helped\n" },
                { "'StartUSec': <uint64 1699999940000001>, 'Helped': <'yes'>", "ok after 350ms\n" },
                { "'StartUSec': <uint64 1699999940000000>, 'Helped': <'yes'>, 'DryRun': <true>",
                  "ok after 350ms\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *episodes = g_strdup_printf("[{'Syncs': <[{%s}]>}]", cases[i].sync);
                g_autofree char *status = status_of(&plain, full_status, NO_WORKERS, episodes);

                g_assert_nonnull(strstr(status, cases[i].words));
        }
}

static void test_filesystems(void) {
        static const struct {
                const char *members;
                uint64_t age_usec;
                bool ok;
                const char *expected;
        } cases[] = {
                { "'Result': <'ok'>, 'DurationUSec': <uint64 350000>", 900000, true, "/srv (xfs): ok 350ms" },
                { "'Result': <'pending'>, 'DurationUSec': <uint64 0>", 0, false, "/srv (xfs): pending" },
                { "'Result': <'pending'>, 'DurationUSec': <uint64 3000000>", 200000, false,
                  "/srv (xfs): pending 3.2s" },
                { "'Result': <'slow'>, 'DurationUSec': <uint64 90000000>", 0, false,
                  "/srv (xfs): slow 1min 30s" },
                { "'Result': <'timeout'>, 'DurationUSec': <uint64 10000000>", 900000, false,
                  "/srv (xfs): timeout 10s" },
                { "'Result': <'unreachable'>", 0, false, "/srv (xfs): unreachable" },
                { "'Result': <'un\033heard'>", 0, false, "/srv (xfs): un\\x1bheard" },
                { "'Result': <5>", 0, false, "/srv (xfs): ?" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *source = g_strdup_printf(
                                "{'Mountpoint': <'/srv'>, 'Type': <'xfs'>, %s}", cases[i].members);
                g_autoptr(GVariant) filesystem = parse(source);
                g_autofree char *text = filesystem_format(&plain, filesystem, cases[i].age_usec);

                g_assert_cmpstr(text, ==, cases[i].expected);
                g_assert_true(filesystem_is_ok(filesystem) == cases[i].ok);
        }
}

static void test_filesystems_many(void) {
        g_autoptr(GVariant) many = parse(
                        "[" PENDING("/1") "," PENDING("/2") "," PENDING("/3") "," PENDING("/4") "," PENDING("/5") "," PENDING(
                                        "/6") "," PENDING("/7") "," PENDING("/8") "," PENDING("/9") "," PENDING("/10") "]");
        g_autoptr(GString) out = g_string_new(NULL);

        filesystems_append(out, &plain, "> ", NULL, 0);
        g_assert_cmpstr(out->str, ==, "");
        filesystems_append(out, &plain, "> ", many, 1000000);
        g_assert_true(g_str_has_prefix(out->str, "> /1 (xfs): pending 4.2s\n> /2 (xfs): pending 4.2s\n"));
        g_assert_true(g_str_has_suffix(out->str, "> /8 (xfs): pending 4.2s\n> and 2 more\n"));
}

static void test_status_colours(void) {
        g_autofree char *well = status_of(&colourful, "{'State': <'idle'>}", NO_WORKERS, NO_EPISODES);
        g_autofree char *stuck = status_of(&colourful, "{'State': <'busy'>}", NO_WORKERS, ONGOING);
        g_autofree char *none = status_of(&plain, "{'State': <'busy'>}", NO_WORKERS, ONGOING);
        g_autofree char *without_glyphs = status_of(&ascii, "{'State': <'busy'>}", NO_WORKERS, ONGOING);

        g_assert_true(g_str_has_prefix(well, colour_on(&colourful, COLOUR_GREEN)));
        g_assert_true(g_str_has_prefix(stuck, colour_on(&colourful, COLOUR_RED)));
        g_assert_null(strchr(none, '\033'));
        g_assert_true(g_str_is_ascii(without_glyphs));
}

static void test_list(void) {
        g_autoptr(GVariant) none = parse(NO_WORKERS);
        g_autoptr(GVariant) strange = parse("[{'PID': <'x'>, 'Name': <'a\nb'>}, {'State': <'R'>}, "
                                            "{'State': <'D'>}, {'State': <'S'>}, {'State': <''>}]");
        g_autoptr(GString) out = g_string_new(NULL);

        workers_append(out, &plain, none);
        g_assert_cmpstr(out->str, ==, "No matching worker is running.\n");
        g_string_truncate(out, 0);
        workers_append(out, &plain, strange);
        g_assert_cmpstr(out->str, ==,
                        "PID  STATE     RUNNING  CPU  NAME\n"
                        "0    ?         ?        ?    a\\x0ab\n"
                        "0    spinning  ?        ?    ?\n"
                        "0    waiting   ?        ?    ?\n"
                        "0    waiting   ?        ?    ?\n"
                        "0    ?         ?        ?    ?\n");
}

static void test_inhibitors(void) {
        g_autoptr(GVariant) inhibitors = parse(INHIBITORS), none = parse("@aa{sv} []");
        g_autoptr(GString) out = g_string_new(NULL);

        inhibitors_append(out, &plain, none, NOW);
        inhibitors_append(out, &plain, NULL, NOW);
        g_assert_cmpstr(out->str, ==, "No inhibitor is held.\nNo inhibitor is held.\n");
        g_string_truncate(out, 0);
        inhibitors_append(out, &plain, inhibitors, NOW);
        g_assert_cmpstr(out->str, ==,
                        "WHO     UID  PID  SINCE                               WHY\n"
                        "a\\x0ab  5    7    2023-11-14 22:12:20 UTC (1min ago)  nightly\n"
                        "b       0    0    ?                                   ?\n"
                        "?       0    0    ?                                   ?\n"
                        "d       0    0    ?                                   ?\n"
                        "e       0    0    ?                                   ?\n");
}

static void assert_fits(const char *text, glong columns) {
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

        for (char **line = lines; *line; line++)
                g_assert_cmpint(g_utf8_strlen(*line, -1), <=, columns);
}

static const Terminal narrow = { .utf8 = true, .columns = 80 };

static void test_wrap(void) {
        static const struct {
                const char *text;
                size_t indent, columns;
                const char *expected;
        } cases[] = {
                { "one two three", 0, 0, "one two three" },
                { "one two three", 0, 7, "one two\nthree" },
                { "one two three", 2, 9, "one two\n  three" },
                { "one two three", 2, 8, "one\n  two\n  three" },
                { "\u00fc\u00fc\u00fc \u00fc\u00fc\u00fc", 0, 7, "\u00fc\u00fc\u00fc \u00fc\u00fc\u00fc" },
                { "overlong", 0, 5, "overlong" },
                { "overlong", 4, 5, "overlong" },
                /* Too wide for where it would begin. */
                { "overlong", 8, 12, "\n    overlong" },
                { "a overlong b", 8, 12, "a\n    overlong\n    b" },
                { "", 8, 5, "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autoptr(GString) out = g_string_new(NULL);

                text_wrap(out, cases[i].text, cases[i].indent, cases[i].columns);
                g_assert_cmpstr(out->str, ==, cases[i].expected);
        }
}

#define LONG_PATH "/etc/wbwatch/wbwatch.conf.d/50-a-name-people-give-to-their-files.conf:12"

/* In a terminal of 80 columns, and where its width is not known. */
static void test_status_fits(void) {
        static const char properties[] =
                        "{'State': <'recovery'>, 'StateSinceUSec': <uint64 1699999816000000>, "
                        "'PausedUntilUSec': "
                        "<uint64 1800000300000000>, 'StatusText': <'dry run: fault: a reason that is said in "
                        "as "
                        "many words as are needed; syncs do not help here; not receiving thread creation "
                        "events: another reason'>, 'DryRun': <true>, 'SyncsUnhelpful': <uint32 5>, "
                        "'EventSource': <'netlink'>, 'LostEvents': <uint64 18446744073709551614>, "
                        "'Glob': <'@(kworker/*inode_switch_wbs*|kworker/*flush-*)'>, " COUNTS(
                                        4294967295, 4294967295,
                                        4294967295) ", "
                                                    "'LastSyncUSec': <uint64 1499999940000000>, "
                                                    "'LastSyncDurationUSec': <uint64 "
                                                    "86399000000>, 'LastSyncResult': <'stalled'>, "
                                                    "'SyncCount': <uint64 200000>, "
                                                    "'FilesystemResults': <[{'Mountpoint': "
                                                    "<'/srv/a/mountpoint/that/lies/very/deep/in/the/tree'>, "
                                                    "'Type': <'fuse.sshfs'>, 'Result': <'unreachable'>, "
                                                    "'DurationUSec': <uint64 "
                                                    "86399000000>}]>, 'SettingOrigins': <{'Glob': '" LONG_PATH
                                                    "', 'DryRun': '" LONG_PATH "'}>}";
        static const char workers[] = "[{'PID': <uint32 4194304>, 'Name': <'kworker/u1024:1023+"
                                      "a_work_whose_name_has_all_of_63_bytes_there_are'>, 'State': <'D'>, "
                                      "'RunningUSec': <uint64 4999000000>, 'CPUUSec': <uint64 4999000000>}]";
        g_autofree char *status =
                        status_of(&narrow, properties, workers,
                                  "[{'Outcome': <'ongoing'>, 'Work': "
                                  "<'a_work_whose_name_has_all_of_63_bytes'>, 'Rule': "
                                  "<'worker'>, 'WorkerCount': <uint32 4096>, 'SyncCount': <uint64 1000>, "
                                  "'StartUSec': <uint64 "
                                  "1699999816000000>}]");

        g_test_message("%s", status);
        assert_fits(status, 80);
        g_assert_nonnull(strstr(status, "\n    " LONG_PATH "\n"));
}

/* What the daemon did not answer is missing; the rest is there. */
static void test_status_partial(void) {
        g_autoptr(GVariant) properties = parse("{'State': <'busy'>, " COUNTS(6, 0, 6) "}");
        g_autoptr(GVariant) workers = parse("[" WORKER(11) "]"), none = parse(NO_WORKERS);
        g_autoptr(GString) no_episodes = g_string_new(NULL), no_properties = g_string_new(NULL),
                           nothing = g_string_new(NULL);

        status_append(no_episodes, &plain, properties, NULL, NULL, NOW);
        g_assert_nonnull(
                        strstr(no_episodes->str, "It is not known whether workers are stuck; matching "
                                                 "workers: 6 spinning; longest run 31s.\n"));
        g_assert_nonnull(strstr(no_episodes->str, "Last episode  not answered in time\n"));
        g_assert_null(strstr(no_episodes->str, "Running workers"));

        status_append(no_properties, &plain, NULL, workers, NULL, NOW);
        g_assert_cmpstr(no_properties->str, ==,
                        "Running workers:\n"
                        "  PID  STATE     RUNNING  CPU    NAME\n"
                        "  11   spinning  12.3s    250ms  kworker/0:1+inode_switch_wbs\n");

        status_append(nothing, &plain, NULL, none, NULL, NOW);
        g_assert_cmpstr(nothing->str, ==, "No matching worker is running.\n");
}

static void test_log_lines(void) {
        g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func((GDestroyNotify) g_variant_unref);
        g_autoptr(GString) out = g_string_new(NULL);

        g_ptr_array_add(entries, parse("{'__REALTIME_TIMESTAMP': '1699999999000000', 'MESSAGE': 'Stall over "
                                       "after 6.1s: recovered, 2 syncs, and some more words\033'}"));
        g_ptr_array_add(entries,
                        parse("{'__REALTIME_TIMESTAMP': '1699999998000000', 'MESSAGE': 'Syncing.'}"));
        g_ptr_array_add(entries, parse("{'_PID': '7'}"));
        log_lines_append(out, &narrow, entries, NOW);
        g_assert_cmpstr(out->str, ==,
                        "\nLog (UTC):\n"
                        "  1970-01-01 00:00:00  ?\n"
                        "  2023-11-14 22:13:18  Syncing.\n"
                        "  2023-11-14 22:13:19  Stall over after 6.1s: recovered, 2 syncs, and some more\n"
                        "                       words\\x1b\n");
}

/* health */

static void test_health_line(void) {
        static const struct {
                const char *words, *expected;
        } cases[] = {
                { "no stall", "OK: no stall" },
                { "123456789 123456789 123456789 123456789 123456789 123456789 123456789 123456",
                  "OK: 123456789 123456789 123456789 123456789 123456789 123456789 123456789 123456" },
                { "123456789 123456789 123456789 123456789 123456789 123456789 123456789 1234567",
                  "OK: 123456789 123456789 123456789 123456789 123456789 123456789 123456789 123456" },
                /* Whole characters: this one has two bytes. */
                { "123456789 123456789 123456789 123456789 123456789 123456789 123456789 12345\u00fc",
                  "OK: 123456789 123456789 123456789 123456789 123456789 123456789 123456789 12345" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *line = health_format("OK", cases[i].words);

                g_assert_cmpstr(line, ==, cases[i].expected);
                g_assert_cmpuint(strlen(line), <=, 80);
        }
}

static void test_episodes(void) {
        g_autoptr(GVariant) strange = parse("[{'Syncs': <5>, 'Workers': <5>, 'AlsoSpinning': <5>}]");
        g_autoptr(GVariant) some = parse(
                        "[{'Id': <uint64 7>, 'StartUSec': <uint64 1699999938000000>, "
                        "'EndUSec': <uint64 1699999941500000>, 'Outcome': <'recovered'>, "
                        "'WorkerCount': <uint32 3>, 'Work': <'inode_switch_wbs'>, 'SyncCount': <uint32 2>, "
                        "'AlsoSpinning': <@as []>}, "
                        "{'Id': <uint64 8>, 'StartUSec': <uint64 1699999930000000>, "
                        "'EndUSec': <uint64 1699999990000000>, 'Outcome': <'outlived'>, "
                        "'WorkerCount': <uint32 5>, 'Work': <'inode_switch_wbs'>, 'SyncCount': <uint32 1>, "
                        "'AlsoSpinning': <['kworker/u10:3+events_unbound', "
                        "'kworker/u10:4+events_unbound_\033']>}, "
                        "{'Id': <uint64 9>, 'StartUSec': <uint64 1699999990000000>, "
                        "'EndUSec': <uint64 1699999992000000>, 'Outcome': <'cleared'>, "
                        "'WorkerCount': <uint32 14>, 'Work': <'x'>, 'SyncCount': <uint32 0>, "
                        "'Syncs': <[{'DryRun': <true>}]>}, "
                        "{'Id': <uint64 10>, 'StartUSec': <uint64 1699999990000000>, "
                        "'Outcome': <'ongoing'>, 'WorkerCount': <uint32 1>, 'Work': <'y'>}]");
        g_autoptr(GString) out = g_string_new(NULL);

        episodes_append(out, &plain, some, "b", NOW);
        g_assert_cmpstr(out->str, ==,
                        "ID  BEGAN (UTC)          LASTED  OUTCOME    SYNCS    WORKERS\n"
                        "7   2023-11-14 22:12:18  3.5s    recovered  2 syncs  3 inode_switch_wbs\n"
                        "8   2023-11-14 22:12:10  1min    outlived   1 sync   5 inode_switch_wbs\n"
                        "    also spinning: kworker/u10:3+events_unbound,\n"
                        "                   kworker/u10:4+events_unbound_\\x1b\n"
                        "9   2023-11-14 22:13:10  2s      cleared    dry run  14 x\n"
                        "10  2023-11-14 22:13:10  10s     ongoing    no sync  1 y\n");
        assert_fits(out->str, 80);

        g_string_truncate(out, 0);
        episodes_append(out, &plain, strange, "b", NOW);
        g_assert_nonnull(strstr(out->str, "  ?        no sync  0 ?\n"));
}

/* The widest that an episode of the default glob can be. */
static void test_episodes_fit(void) {
        g_autoptr(GVariant) wide = parse("[{'Id': <uint64 1000>, 'StartUSec': <uint64 1699990000000000>, "
                                         "'EndUSec': <uint64 1699993599000000>, 'Outcome': <'recovered'>, "
                                         "'WorkerCount': <uint32 2000>, 'Work': <'inode_switch_wbs'>, "
                                         "'SyncCount': <uint32 0>, 'Syncs': <[{'DryRun': <true>}]>}]");
        g_autoptr(GString) out = g_string_new(NULL);

        episodes_append(out, &plain, wide, "b", NOW);
        g_assert_nonnull(strstr(out->str, "59min 59s"));
        assert_fits(out->str, 80);
}

/* monitor */

static void test_events(void) {
        static const struct {
                const char *member, *arguments, *expected;
        } cases[] = {
                { "EpisodeStarted",
                  "(uint64 4, {'Rule': <'worker'>, 'WorkerCount': <uint32 12>, 'LongestRunUSec': <uint64 "
                  "30000000>, 'Name': <'kworker/0:1+x\033'>, 'Work': <'x\033'>, 'DryRun': <true>})",
                  "stuck    episode 4: 12 workers in x\\x1b, longest run 30s: kworker/0:1+x\\x1b (rule "
                  "worker, dry run)" },
                { "EpisodeEnded",
                  "(uint64 4, {'StartUSec': <uint64 1000000>, 'EndUSec': <uint64 4500000>, 'Outcome': "
                  "<'recovered'>, 'WorkerCount': <uint32 14>, 'SyncCount': <uint32 1>})",
                  "over     episode 4: recovered after 3.5s, up to 14 workers, 1 sync" },
                { "EpisodeEnded",
                  "(uint64 4, {'StartUSec': <uint64 1000000>, 'EndUSec': <uint64 4500000>, 'Outcome': "
                  "<'cleared'>, 'WorkerCount': <uint32 1>, 'SyncCount': <uint32 0>, 'Syncs': <[{'DryRun': "
                  "<true>}]>})",
                  "over     episode 4: cleared after 3.5s, up to 1 worker, dry run" },
                { "SyncStarted", "(uint64 7, uint64 4, {'Rule': <'crowd'>, 'WorkerCount': <uint32 14>})",
                  "sync     7 started (rule crowd, 14 workers)" },
                { "SyncStarted", "(uint64 7, uint64 4, {'Rule': <'crowd'>, 'DryRun': <true>})",
                  "sync     7 not started: dry run (rule crowd, 0 workers)" },
                { "SyncStarted", "(uint64 7, uint64 0, {'Rule': <''>, 'Requested': <true>})",
                  "sync     7 started (requested, 0 workers)" },
                { "SyncFinished", "(uint64 7, uint64 0, {'DurationUSec': <uint64 350000>, 'Result': <'ok'>})",
                  "sync     7 ended after 350ms: ok" },
                { "SyncFinished",
                  "(uint64 7, uint64 0, {'DurationUSec': <uint64 10000000>, 'Result': <'stalled'>, "
                  "'Filesystems': <[" PENDING("/srv") ", {'Result': <'ok'>}]>})",
                  "sync     7 ended after 10s: stalled; /srv (xfs): pending 3.2s" },
                { "SyncFinished", "(uint64 7, uint64 0, {'DryRun': <true>})",
                  "sync     7 not made: dry run" },
                { "PropertiesChanged",
                  "('org.wbwatch1', {'Fault': <'cannot see kernel threads: \033hidepid'>}, @as [])",
                  "fault    cannot see kernel threads: \\x1bhidepid" },
                { "PropertiesChanged", "('org.wbwatch1', {'Fault': <''>}, @as [])",
                  "fault    ended: scans see all kernel workers" },
                { "PropertiesChanged",
                  "('org.wbwatch1', {'State': <'idle'>, 'Fault': <'x'>, 'DryRun': <true>}, @as [])",
                  "fault    x; changed State=idle DryRun=yes" },
                { "PropertiesChanged",
                  "('org.wbwatch1', {'FilesystemResults': <[" PENDING(
                                  "/srv") ", {'Mountpoint': <'/'>, 'Type': <'ext4'>, 'Result': <'ok'>}]>}, "
                                          "@as [])",
                  "changed  FilesystemResults=[/srv (xfs): pending 3.2s, / (ext4): ok]" },
                { "PropertiesChanged",
                  "('org.wbwatch1', {'State': <'busy'>, 'StateSinceUSec': <uint64 1700000000045678>, "
                  "'ThresholdUSec': <uint64 20000000>, 'DryRun': <false>, 'PausedUntilUSec': <uint64 "
                  "18446744073709551615>, 'CrowdSize': <uint32 4>, 'SettingOrigins': <{'a': 'b'}>}, @as [])",
                  "changed  State=busy StateSinceUSec=2023-11-14 22:13:20.045 UTC ThresholdUSec=20s "
                  "DryRun=no "
                  "PausedUntilUSec=infinity CrowdSize=4 SettingOrigins=..." },
                { "PropertiesChanged", "('org.wbwatch1', {'Inhibitors': <" INHIBITORS ">}, @as [])",
                  "changed  Inhibitors=[a\\x0ab (pid 7), b (pid 0), ? (pid 0) and 2 more]" },
                { "DaemonIsGone", "()", "gone     wbwatchd is not running; waiting for it" },
                { "DaemonIsHere", "({'Version': <'1.0'>, 'State': <'idle'>, 'StatusText': <'x'>},)",
                  "here     wbwatchd 1.0, state idle: x" },
                { "DaemonIsHere",
                  "({'Version': <'1.0'>, 'State': <'idle'>, 'StatusText': <'x'>, 'Fault': <''>},)",
                  "here     wbwatchd 1.0, state idle: x" },
                { "DaemonIsHere",
                  "({'Version': <'1.0'>, 'State': <'idle'>, 'StatusText': <'x'>, 'Fault': <'y'>},)",
                  "here     wbwatchd 1.0, state idle: x; fault: y" },
                /* A newer daemon's, and one that does not keep to the interface */
                { "Unheard", "(uint64 18446744073709551615, 'a\033')",
                  "signal   Unheard [null,\"a\\u001b\"]" },
                { "EpisodeStarted", "('x',)", "signal   EpisodeStarted [\"x\"]" },
                { "EpisodeEnded", "@() ()", "signal   EpisodeEnded []" },
                { "PropertiesChanged", "('x',)", "signal   PropertiesChanged [\"x\"]" },
                { "SyncStarted", "('x', @a{sv} {})", "sync     0 started (requested, 0 workers)" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autoptr(GVariant) arguments = parse(cases[i].arguments);
                g_autoptr(GString) out = g_string_new(NULL);

                event_append(out, &plain, cases[i].member, arguments);
                g_assert_cmpstr(out->str, ==, cases[i].expected);
        }
}

static void test_events_json(void) {
        static const struct {
                const char *member, *arguments, *expected;
        } cases[] = {
                { "EpisodeStarted", "(uint64 4, {'Rule': <'worker'>})",
                  "{\"TimeUSec\":5,\"Event\":\"EpisodeStarted\",\"Id\":4,\"Details\":{\"Rule\":\"worker\"}"
                  "}" },
                { "SyncFinished", "(uint64 7, uint64 18446744073709551615, @a{sv} {})",
                  "{\"TimeUSec\":5,\"Event\":\"SyncFinished\",\"Id\":7,\"EpisodeId\":null,"
                  "\"Details\":{}}" },
                { "PropertiesChanged", "('org.wbwatch1', {'State': <'busy'>}, ['X'])",
                  "{\"TimeUSec\":5,\"Event\":\"PropertiesChanged\",\"Interface\":\"org.wbwatch1\","
                  "\"Properties\":{\"State\":\"busy\"},\"Invalidated\":[\"X\"]}" },
                { "BusIsGone", "()", "{\"TimeUSec\":5,\"Event\":\"BusIsGone\"}" },
                { "EpisodeStarted", "(uint64 4,)",
                  "{\"TimeUSec\":5,\"Event\":\"EpisodeStarted\",\"Arguments\":[4]}" },
                { "Unheard", "('x', 1)", "{\"TimeUSec\":5,\"Event\":\"Unheard\",\"Arguments\":[\"x\",1]}" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autoptr(GVariant) arguments = parse(cases[i].arguments);
                g_autoptr(GString) out = g_string_new(NULL);

                event_append_json(out, 5, cases[i].member, arguments);
                g_assert_cmpstr(out->str, ==, cases[i].expected);
        }
}

/* sync */

static void assert_synced(const char *filesystems, const char *expected, const char *expected_json) {
        g_autoptr(GVariant) list = filesystems ? parse(filesystems) : NULL;
        g_autoptr(GString) out = g_string_new(NULL), json = g_string_new(NULL);

        synced_append(out, &plain, 3200000, list);
        g_assert_cmpstr(out->str, ==, expected);
        synced_append_json(json, 3200000, list);
        g_assert_cmpstr(json->str, ==, expected_json);
}

static void test_synced(void) {
        assert_synced(NULL, "Synced in 3.2s.\n", "{\"DurationUSec\":3200000,\"FilesystemResults\":[]}\n");
        assert_synced("[{'Result': <'ok'>}]", "Synced in 3.2s.\n",
                      "{\"DurationUSec\":3200000,\"FilesystemResults\":[{\"Result\":\"ok\"}]}\n");
        assert_synced("[{'Mountpoint': <'/srv'>, 'Type': <'xfs'>, 'Result': <'failed'>}, {'Result': <'ok'>}]",
                      "Synced in 3.2s; not all filesystems answered:\n  /srv (xfs): failed\n",
                      "{\"DurationUSec\":3200000,\"FilesystemResults\":[{\"Mountpoint\":\"/srv\",\"Type\":"
                      "\"xfs\",\"Result\":\"failed\"},{\"Result\":\"ok\"}]}\n");
}

/* errors */

static void test_errors(void) {
        static const Request pausing = {
                .member = "Pause",
                .purpose = "pause wbwatchd",
                .action = ACTION_PAUSE,
        };
        static const Request reading = { .member = "GetAll", .purpose = "read" };
        static const struct {
                const Request *request;
                const char *name;
                bool bus_lost;
                uint64_t waited_usec;
                int status;
                const char *words; /* part of them */
        } cases[] = {
                { &reading, "org.freedesktop.DBus.Error.ServiceUnknown", false, 0, EXIT_NO_DAEMON,
                  "systemctl start wbwatchd" },
                { &reading, "org.freedesktop.DBus.Error.NameHasNoOwner", false, 0, EXIT_NO_DAEMON,
                  "not running" },
                { &reading, "org.freedesktop.DBus.Error.Spawn.ChildExited", false, 0, EXIT_NO_DAEMON,
                  "REASON" },
                { &reading, "org.freedesktop.DBus.Error.TimedOut", false, 0, EXIT_NO_DAEMON, "not running" },
                { &reading, "org.freedesktop.systemd1.UnitMasked", false, 0, EXIT_NO_DAEMON, "REASON" },
                { &reading, "org.freedesktop.DBus.Error.NoReply", false, 0, EXIT_NO_DAEMON, "not running" },
                { &reading, "org.freedesktop.DBus.Error.NoReply", false, 5 * USEC_PER_SEC, EXIT_FAILURE,
                  "did not answer within 5s" },
                { &pausing, "org.freedesktop.DBus.Error.NoReply", false, 5 * USEC_PER_SEC, EXIT_FAILURE,
                  "may still take effect" },
                { &reading, "org.freedesktop.DBus.Error.NoReply", true, 0, EXIT_NO_BUS,
                  "connection to the system bus" },
                { &pausing, "org.freedesktop.DBus.Error.AccessDenied", false, 0, EXIT_NOT_AUTHORIZED,
                  "polkit action org.wbwatch1.pause" },
                { &reading, "org.freedesktop.DBus.Error.AccessDenied", false, 0, EXIT_NOT_AUTHORIZED,
                  "bus policy" },
                { &pausing, "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", false, 0,
                  EXIT_NOT_AUTHORIZED, "--no-ask-password" },
                { &pausing, "org.freedesktop.DBus.Error.InvalidArgs", false, 0, EXIT_FAILURE,
                  "Cannot pause wbwatchd: REASON" },
                { &pausing, "org.freedesktop.DBus.Error.UnknownMethod", false, 0, EXIT_FAILURE, "older" },
                { &pausing, BUS_ERROR_BUSY, false, 0, EXIT_FAILURE,
                  "Cannot pause wbwatchd: REASON. Try again." },
                { &pausing, BUS_ERROR_STORE_FAILED, false, 0, EXIT_FAILURE, "REASON" },
                { &pausing, "com.example.Unheard", false, 0, EXIT_FAILURE, "REASON" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *words = NULL;
                int status =
                                error_explain(cases[i].request, cases[i].name, "REASON", cases[i].bus_lost,
                                              cases[i].waited_usec, &words);

                g_test_message("%s: %d, %s", cases[i].name, status, words);
                g_assert_cmpint(status, ==, cases[i].status);
                g_assert_nonnull(strstr(words, cases[i].words));
        }
}

/* the program */

static void test_command_line(void) {
        static const struct {
                const char *arguments;
                int status;
                const char *words; /* part of what is said on stderr, or on stdout where that is good */
        } cases[] = {
                { "--version", 0, "wbctl " WBWATCH_VERSION "\n" },
                { "--help", 0, "Exit status:" },
                { "help", 0, "Exit status:" },
                { "-h", 0, "SyncTimeoutSec" },
                { "frobnicate", EXIT_USAGE, "Unknown verb \"frobnicate\". " },
                { "stauts", EXIT_USAGE, "Unknown verb \"stauts\" (did you mean \"status\"?). See" },
                { "stat", EXIT_USAGE, "Unknown verb \"stat\" (did you mean \"status\"?)" },
                { "list --jsno", EXIT_USAGE, "--jsno (did you mean \"--json\"?)" },
                { "--hlep", EXIT_USAGE, "(did you mean \"--help\"?)" },
                { "set CrowdSzie=3", EXIT_USAGE, "(did you mean \"CrowdSize\"?)" },
                { "set ThreshholdUSec=3", EXIT_USAGE, "(did you mean \"ThresholdUSec\"?)" },
                { "'a\033[31m'", EXIT_USAGE, "a\\x1b[31m" },
                { "--frobnicate", EXIT_USAGE, "--frobnicate" },
                { "status now", EXIT_USAGE, "argument \"now\"" },
                { "pause 1h 30min", EXIT_USAGE, "argument \"30min\"" },
                { "inhibit", EXIT_USAGE, "inhibit COMMAND...: an argument is missing" },
                { "inhibit --", EXIT_USAGE, "inhibit COMMAND...: an argument is missing" },
                { "inhibit --who=a --why", EXIT_USAGE, "--why" },
                { "inhibit --runtime true", EXIT_USAGE, "--runtime works with set and reset only" },
                { "inhibit --frobnicate true", EXIT_USAGE, "--frobnicate" },
                { "--who=a pause", EXIT_USAGE, "--who works with inhibit only, not with pause" },
                { "inhibitors now", EXIT_USAGE, "argument \"now\"" },
                { "set", EXIT_USAGE,
                  "wbctl: set NAME=VALUE...: an argument is missing. See `wbctl --help`.\n" },
                { "set ThresholdSec", EXIT_USAGE, "NAME=VALUE" },
                { "set Threshold=1", EXIT_USAGE, "Unknown setting" },
                { "set ThresholdSec=2 ThresholdUSec=2000000", EXIT_USAGE, "twice" },
                { "--json=off", EXIT_USAGE, "--json takes no value" },
                { "list --json=", EXIT_USAGE, "--json takes no value" },
                { "set --runtime=no ThresholdSec=2", EXIT_USAGE, "--runtime takes no value" },
                { "--no-ask-password=no pause", EXIT_USAGE, "--no-ask-password takes no value" },
                { "--version=1", EXIT_USAGE, "--version takes no value" },
                { "--help=no", EXIT_USAGE, "--help" },
                { "--runtime pause", EXIT_USAGE, "--runtime" },
                { "--filesystem=/srv pause", EXIT_USAGE, "--filesystem works with sync only" },
                { "sync --filesystem", EXIT_USAGE, "--filesystem" },
                { "status -q", EXIT_USAGE, "--quiet works with health only, not with status" },
                { "--alive", EXIT_USAGE, "--alive works with health only" },
                { "list --nagios", EXIT_USAGE, "--nagios works with health only" },
                { "list -n 5", EXIT_USAGE, "--lines works with episodes and status only" },
                { "status -n -1", EXIT_USAGE, "--lines: \"-1\" is not a number from 1 to 1000" },
                { "status --lines=1001", EXIT_USAGE, "\"1001\" is not a number from 1 to 1000" },
                { "status --lines=many", EXIT_USAGE, "many" },
                { "sync --filesystem=", EXIT_USAGE, "path is empty" },
                { "sync --filesystem '\xff'", EXIT_USAGE, "UTF-8" },
                { "set ThresholdSec=1ms", EXIT_FAILURE, "minimum of 1s" },
                { "set CrowdSize=3 DryRun=perhaps", EXIT_FAILURE, "perhaps" },
                { "--runtime get", EXIT_USAGE, "--runtime works with set and reset only, not with get" },
                { "--until-resume", EXIT_USAGE, "--until-resume works with pause only, not with status" },
                { "pause 5min --until-resume", EXIT_USAGE, "either a duration or --until-resume" },
                { "list --since=-1h", EXIT_USAGE, "--since works with episodes only" },
                { "list -b", EXIT_USAGE, "--boot works with episodes only" },
                { "episodes 1 2", EXIT_USAGE, "argument \"2\"" },
                { "episodes --since=soon", EXIT_USAGE, "--since: \"soon\" is not a time: write it as" },
                { "episodes --until ''", EXIT_USAGE, "--until: \"\" is not a time" },
                { "episodes -n 0", EXIT_USAGE, "--lines: \"0\" is not a number from 1 to 10000" },
                { "episodes --lines=10001", EXIT_USAGE, "from 1 to 10000" },
                { "episodes --boot=1", EXIT_USAGE, "--boot: \"1\" is no boot" },
                { "episodes --boot=-10001", EXIT_USAGE, "down to -10000" },
                { "episodes --boot=abc", EXIT_USAGE, "32 hexadecimal digits" },
                { "doctor --observe=soon", EXIT_DOCTOR_USAGE, "--observe=soon: not a duration" },
                { "report --timeout=soon", EXIT_USAGE, "--timeout: \"soon\" is not a duration" },
                { "doctor --timeout=soon", EXIT_DOCTOR_USAGE, "--timeout: \"soon\" is not a duration" },
                { "--timeout=0 list", EXIT_USAGE, "--timeout: \"0\" is not from 1ms to 7d" },
                { "--timeout=8d sync", EXIT_USAGE, "--timeout: \"8d\" is not from 1ms to 7d" },
                { "--socket= list", EXIT_USAGE, "--socket: the path is empty" },
                { "-H a -M b list", EXIT_USAGE, "only one of --socket, --host and --machine" },
                { "-H a --socket=/x list", EXIT_USAGE, "only one of --socket, --host and --machine" },
                { "-M a --socket=/x doctor", EXIT_DOCTOR_USAGE, "only one of --socket, --host" },
                { "-H '' list", EXIT_USAGE, "--host: \"\" is not [USER@]HOST[:PORT][/CONTAINER]" },
                { "-H @host list", EXIT_USAGE, "--host: \"@host\" is not" },
                { "-H user@ list", EXIT_USAGE, "--host: \"user@\" is not" },
                { "-H -oProxyCommand=x list", EXIT_USAGE, "--host: \"-oProxyCommand=x\" is not" },
                { "-H 'a b' list", EXIT_USAGE, "--host: \"a b\" is not" },
                { "-H '[::1' list", EXIT_USAGE, "--host: \"[::1\" is not" },
                { "-H '[]' list", EXIT_USAGE, "--host: \"[]\" is not" },
                { "-H '[::1]x' list", EXIT_USAGE, "--host: \"[::1]x\" is not" },
                { "-H 'a@[::1]b:22' list", EXIT_USAGE, "--host: \"a@[::1]b:22\" is not" },
                { "-H '[-l]' list", EXIT_USAGE, "--host: \"[-l]\" is not" },
                { "-H a@-l list", EXIT_USAGE, "--host: \"a@-l\" is not" },
                { "-H a --root=/ list", EXIT_USAGE, "--root reads files of this machine" },
                { "-H :22 list", EXIT_USAGE, "--host: \":22\" is not" },
                { "-H a:x list", EXIT_USAGE, "--host: the port \"x\" is not a number from 1 to 65535" },
                { "-H [::1]:0 list", EXIT_USAGE, "--host: the port \"0\" is not a number" },
                /* libsystemd would connect to the host itself. */
                { "-H a/12 list", EXIT_USAGE, "--host: \"12\" is not the name of a container" },
                { "-H a:22/ list", EXIT_USAGE, "--host: \"\" is not the name of a container" },
                { "-M ../x list", EXIT_USAGE, "--machine: \"../x\" is not the name of a container" },
                { "-M user@x list", EXIT_USAGE, "--machine: \"user@x\" is not the name of a container" },
                { "-H a/b report", EXIT_USAGE, "report examines the machine it runs on" },
                { "-M a doctor", EXIT_DOCTOR_USAGE, "doctor examines the machine it runs on" },
                { "episodes 99", EXIT_NO_BUS, "There is no stall \"99\"" },
                { "episodes soon", EXIT_FAILURE,
                  "\"soon\" is neither the number of a stall nor when it began" },
                { "get ThresholdSec Threshold", EXIT_USAGE, "Unknown setting \"Threshold\"" },
                { "reset thresholdsec", EXIT_USAGE, "it is spelled ThresholdSec" },
                { "pause soon", EXIT_FAILURE, "\"soon\"" },
                { "pause 0", EXIT_FAILURE, "wbctl resume" },
                { "pause 999999999999d", EXIT_FAILURE, "too long" },
                /* Nothing was wrong with these, but there is no bus. */
                { "episodes", EXIT_NO_BUS, "/nonexistent/bus" },
                { "monitor", EXIT_NO_BUS, "/nonexistent/bus" },
                { "--no-ask-password sync", EXIT_NO_BUS, "/nonexistent/bus" },
                { "set --runtime 'ThresholdSec=1min 30s' Glob='*'", EXIT_NO_BUS, "/nonexistent/bus" },
                { "pause '1h 30min'", EXIT_NO_BUS, "/nonexistent/bus" },
                { "get", EXIT_NO_BUS, "/nonexistent/bus" },
                { "reset ThresholdUSec", EXIT_NO_BUS, "/nonexistent/bus" },
                { "pause --until-resume", EXIT_NO_BUS, "/nonexistent/bus" },
                { "inhibit --why=x false --json", EXIT_NO_BUS, "/nonexistent/bus" },
                { "--who x inhibit -- false", EXIT_NO_BUS, "/nonexistent/bus" },
                { "inhibitors", EXIT_NO_BUS, "/nonexistent/bus" },
                { "-b episodes", EXIT_NO_BUS, "/nonexistent/bus" },
                { "resume", EXIT_NO_BUS, "/nonexistent/bus" },
                { "sync --filesystem=.", EXIT_NO_BUS, "/nonexistent/bus" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *out = NULL, *err = NULL, *arguments = g_strescape(cases[i].arguments, NULL);
                int status = run_wbctl(cases[i].arguments, NULL, &out, &err);

                g_test_message("wbctl %s: %d, %s%s", arguments, status, out, err);
                g_assert_cmpint(status, ==, cases[i].status);
                g_assert_nonnull(strstr(status == 0 ? out : err, cases[i].words));
                g_assert_cmpstr(status == 0 ? err : out, ==, "");
        }
}

/* What wbctl prints on a terminal of this width. */
static char *run_on_terminal(const char *arguments, unsigned short columns) {
        const struct winsize size = { .ws_row = 24, .ws_col = columns };
        g_autofree char *command = g_strdup_printf("'%s' %s", g_getenv("WBCTL"), arguments);
        g_autoptr(GString) out = g_string_new(NULL);
        char buffer[1024];
        ssize_t n;
        int fd;
        pid_t pid = forkpty(&fd, NULL, NULL, &size);

        g_assert_no_errno(pid);
        if (pid == 0) {
                (void) execl("/bin/sh", "sh", "-c", command, NULL);
                _exit(127);
        }
        while ((n = read(fd, buffer, sizeof(buffer))) > 0)
                g_string_append_len(out, buffer, n);
        (void) close(fd);
        g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
        g_string_replace(out, "\r", "", 0);
        return g_string_free(g_steal_pointer(&out), FALSE);
}

/* Error messages fit into the terminal, and have all their words. Elsewhere they have the lines of the text.
 */
static void test_errors_fit(void) {
        static const unsigned short widths[] = { 50, 80 };
        g_autofree char *whole = NULL, *out = NULL;

        (void) run_wbctl("set Unheard=1", NULL, &out, &whole);
        g_assert_cmpuint(strlen(whole), >, 200);
        for (size_t i = 0; i < ELEMENTSOF(widths); i++) {
                g_autofree char *wrapped = run_on_terminal("set Unheard=1", widths[i]);
                g_auto(GStrv) lines = g_strsplit(wrapped, "\n", -1);

                for (char **line = lines; *line; line++)
                        g_assert_cmpuint(strlen(*line), <=, widths[i]);
                g_strdelimit(wrapped, "\n", ' ');
                wrapped[strlen(wrapped) - 1] = '\n';
                g_assert_cmpstr(wrapped, ==, whole);
        }
}

/* In the characters of the terminal. */
static void test_help(void) {
        static const struct {
                const char *arguments, *locale, *begin;
        } cases[] = {
                { "--help", "C.UTF-8", "Usage:\n  wbctl [OPTION\u2026] [VERB [ARGUMENT...]]\n" },
                { "--help", "C", "Usage:\n  wbctl [OPTION...] [VERB [ARGUMENT...]]\n" },
                { "help", "C", "Usage:\n  wbctl [OPTION...] [VERB [ARGUMENT...]]\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *command =
                                g_strdup_printf("env LC_ALL=%s '%s' %s", cases[i].locale, g_getenv("WBCTL"),
                                                cases[i].arguments);
                g_autofree char *out = NULL;
                g_autoptr(GError) error = NULL;

                g_spawn_command_line_sync(command, &out, NULL, NULL, &error);
                g_assert_no_error(error);
                g_assert_true(g_str_has_prefix(out, cases[i].begin));
                assert_fits(out, 80);
        }
}

/* A bus that takes the connection and then says nothing, as one does that hangs. */
static void test_silent_bus(void) {
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        socklen_t size = sizeof(sa_family_t);
        g_autofree char *name = NULL, *out = NULL, *err = NULL, *full_err = NULL;

        /* An abstract one, which leaves nothing behind; the kernel chooses its name. */
        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(bind(fd, (struct sockaddr *) &address, size), ==, 0);
        g_assert_cmpint(listen(fd, 0), ==, 0);
        size = sizeof(address);
        g_assert_cmpint(getsockname(fd, (struct sockaddr *) &address, &size), ==, 0);
        name = g_strdup_printf(
                        "unix:abstract=%.*s", (int) (size - offsetof(struct sockaddr_un, sun_path) - 1),
                        address.sun_path + 1);

        g_assert_cmpint(run_wbctl("status", name, &out, &err), ==, EXIT_NO_BUS);
        g_assert_nonnull(strstr(err, "does not answer"));
        g_assert_nonnull(strstr(err, "/proc by wbctl itself"));
        if (!strstr(out, "PID"))
                g_assert_cmpstr(out, ==, "No matching worker is running.\n");

        /* The connection that it has not accepted is the only one that it allows. */
        g_assert_cmpint(run_wbctl("episodes", name, NULL, &full_err), ==, EXIT_NO_BUS);
        g_assert_nonnull(strstr(full_err, "does not answer"));
}

/* wbctl on a bus with a daemon: this process is both. */

#define DAEMON_NAME ":1.7"

typedef struct FakeBus {
        /* What the daemon answers, in GVariant's text format; NULL: an error. */
        const char *properties, *workers, *episodes;
        const char *filesystems[2]; /* FilesystemResults during a sync and at its end */
        sd_bus *bus;
        char *address;
        int listen_fd;
        const char *path; /* of SyncFilesystem, as it must be */
} FakeBus;

static void append_variant(sd_bus_message *message, GVariant *value);

static void append_children(sd_bus_message *message, char type, const char *contents, GVariant *value) {
        g_assert_cmpint(sd_bus_message_open_container(message, type, contents), >=, 0);
        for (size_t i = 0; i < g_variant_n_children(value); i++) {
                g_autoptr(GVariant) child = g_variant_get_child_value(value, i);

                append_variant(message, child);
        }
        g_assert_cmpint(sd_bus_message_close_container(message), >=, 0);
}

/* Of the types that the interface has. */
static void append_variant(sd_bus_message *message, GVariant *value) {
        const char *type = g_variant_get_type_string(value);

        switch (g_variant_classify(value)) {
        case G_VARIANT_CLASS_ARRAY:
                append_children(message, 'a', type + 1, value);
                break;
        case G_VARIANT_CLASS_DICT_ENTRY:
                append_children(message, 'e', "sv", value);
                break;
        case G_VARIANT_CLASS_VARIANT: {
                g_autoptr(GVariant) inner = g_variant_get_variant(value);

                append_children(message, 'v', g_variant_get_type_string(inner), value);
                break;
        }
        case G_VARIANT_CLASS_STRING:
                g_assert_cmpint(sd_bus_message_append(message, "s", g_variant_get_string(value, NULL)), >=,
                                0);
                break;
        case G_VARIANT_CLASS_BOOLEAN:
                g_assert_cmpint(sd_bus_message_append(message, "b", g_variant_get_boolean(value)), >=, 0);
                break;
        case G_VARIANT_CLASS_UINT64:
                g_assert_cmpint(sd_bus_message_append(message, "t", g_variant_get_uint64(value)), >=, 0);
                break;
        case G_VARIANT_CLASS_UINT32:
                g_assert_cmpint(sd_bus_message_append(message, "u", g_variant_get_uint32(value)), >=, 0);
                break;
        default:
                g_error("The fake daemon has no %s", type);
        }
}

static void fake_reply(sd_bus_message *call, const char *text) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

        g_assert_cmpint(sd_bus_message_new_method_return(call, &reply), >=, 0);
        g_assert_cmpint(sd_bus_message_set_sender(reply, DAEMON_NAME), >=, 0);
        if (text) {
                g_autoptr(GVariant) value = parse(text);

                append_variant(reply, value);
        }
        g_assert_cmpint(sd_bus_message_send(reply), >=, 0);
}

static void fake_emit_filesystems(sd_bus *bus, const char *text) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *signal = NULL;
        g_autofree char *changed_text = g_strdup_printf("{'FilesystemResults': <%s>}", text);
        g_autoptr(GVariant) changed = parse(changed_text);

        g_assert_cmpint(sd_bus_message_new_signal(
                                        bus, &signal, BUS_PATH, PROPERTIES_INTERFACE, "PropertiesChanged"),
                        >=, 0);
        g_assert_cmpint(sd_bus_message_set_sender(signal, DAEMON_NAME), >=, 0);
        g_assert_cmpint(sd_bus_message_append(signal, "s", BUS_INTERFACE), >=, 0);
        append_variant(signal, changed);
        g_assert_cmpint(sd_bus_message_append(signal, "as", 0), >=, 0);
        g_assert_cmpint(sd_bus_send(bus, signal, NULL), >=, 0);
}

static int fake_answer(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        const FakeBus *fake = userdata;
        const char *member = sd_bus_message_get_member(call) ?: "";

        if (streq(member, "Hello"))
                fake_reply(call, "':1.9'");
        else if (streq(member, "AddMatch") || streq(member, "RemoveMatch"))
                fake_reply(call, NULL);
        else if (streq(member, "SetProperties"))
                fake_reply(call, NULL);
        else if (streq(member, "GetAll") && fake->properties)
                fake_reply(call, fake->properties);
        else if (streq(member, "ListWorkers") && fake->workers)
                fake_reply(call, fake->workers);
        else if (streq(member, "ListEpisodes") && fake->episodes)
                fake_reply(call, fake->episodes);
        else if (streq(member, "ForceSync")) {
                for (size_t i = 0; i < ELEMENTSOF(fake->filesystems); i++)
                        if (fake->filesystems[i])
                                fake_emit_filesystems(fake->bus, fake->filesystems[i]);
                fake_reply(call, "uint64 3200000");
        } else if (streq(member, "SyncFilesystem")) {
                const char *path;

                g_assert_cmpint(sd_bus_message_read(call, "s", &path), >, 0);
                g_test_message("%s", path);
                g_assert_cmpstr(path, ==, fake->path);
                fake_reply(call, "uint64 3200000");
        } else
                return 0;
        return 1;
}

static void fake_listen(FakeBus *fake) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        socklen_t size = sizeof(sa_family_t);

        fake->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        g_assert_cmpint(fake->listen_fd, >=, 0);
        g_assert_cmpint(bind(fake->listen_fd, (struct sockaddr *) &address, size), ==, 0);
        g_assert_cmpint(listen(fake->listen_fd, 1), ==, 0);
        size = sizeof(address);
        g_assert_cmpint(getsockname(fake->listen_fd, (struct sockaddr *) &address, &size), ==, 0);
        fake->address = g_strdup_printf(
                        "unix:abstract=%.*s", (int) (size - offsetof(struct sockaddr_un, sun_path) - 1),
                        address.sun_path + 1);
}

/* Serves the one connection until its client is gone. */
static void *fake_serve(void *userdata) {
        FakeBus *fake = userdata;
        int r, fd = accept4(fake->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(sd_bus_new(&fake->bus), >=, 0);
        g_assert_cmpint(sd_bus_set_fd(fake->bus, fd, fd), >=, 0);
        g_assert_cmpint(sd_bus_set_server(fake->bus, true, (sd_id128_t){ .bytes = { 1 } }), >=, 0);
        g_assert_cmpint(sd_bus_add_filter(fake->bus, NULL, fake_answer, fake), >=, 0);
        g_assert_cmpint(sd_bus_start(fake->bus), >=, 0);
        do {
                r = sd_bus_process(fake->bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(fake->bus, UINT64_MAX);
        } while (r >= 0);
        fake->bus = sd_bus_close_unref(fake->bus);
        return NULL;
}

static int run_on_fake_bus(FakeBus *fake, const char *arguments, char **ret_stdout, char **ret_stderr) {
        GThread *thread;
        int status;

        fake_listen(fake);
        thread = g_thread_new("bus", fake_serve, fake);
        status = run_wbctl(arguments, fake->address, ret_stdout, ret_stderr);
        g_thread_join(thread);
        (void) close(fake->listen_fd);
        g_free(fake->address);
        return status;
}

/* Where it does not see everything, "none" would not be true. */
static void test_fault(void) {
        static const struct {
                const char *arguments, *fault, *workers;
                int status;
                const char *out, *err; /* part of them */
        } cases[] = {
                { "list", "", NO_WORKERS, 0, "No matching worker is running.\n", "" },
                { "list", "no kernel threads", NO_WORKERS, EXIT_FAILURE, NULL, "no kernel threads" },
                { "--json list", "no kernel threads", NO_WORKERS, EXIT_FAILURE, "[]\n", "no kernel threads" },
                { "list", "no descriptors left", "[{'PID': <uint32 7>}]", EXIT_FAILURE, "\n7 ",
                  "no descriptors left" },
                { "status", "", NO_WORKERS, 0, "All is well", "" },
                { "status", "no kernel threads", NO_WORKERS, EXIT_FAILURE,
                  "Stalls may go undetected: no kernel threads.", "" },
                { "--json status", "no kernel threads", NO_WORKERS, EXIT_FAILURE,
                  "\"Fault\":\"no kernel threads\"", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *out = NULL, *err = NULL, *properties = NULL;
                FakeBus fake = { .workers = cases[i].workers, .episodes = NO_EPISODES };

                properties = g_strdup_printf("{'State': <'idle'>, 'Fault': <'%s'>}", cases[i].fault);
                fake.properties = properties;
                g_assert_cmpint(run_on_fake_bus(&fake, cases[i].arguments, &out, &err), ==, cases[i].status);
                g_test_message("wbctl %s: %s%s", cases[i].arguments, out, err);
                if (cases[i].out)
                        g_assert_nonnull(strstr(out, cases[i].out));
                else
                        g_assert_cmpstr(out, ==, "");
                if (*cases[i].err)
                        g_assert_nonnull(strstr(err, cases[i].err));
                else
                        g_assert_cmpstr(err, ==, "");
        }
}

/* A glob that matches nothing is set, with a warning. */
static void test_set_glob(void) {
        static const struct {
                const char *arguments, *properties, *out, *err;
        } cases[] = {
                { "set Glob=foo*", "{'Glob': <'foo*'>}", "Glob=foo*\n",
                  "wbctl: This Glob matches no kernel worker: no stall can be detected.\n" },
                { "set Glob=kworker/*", "{'Glob': <'kworker/*'>}", "Glob=kworker/*\n", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                FakeBus fake = { .properties = cases[i].properties };
                g_autofree char *out = NULL, *err = NULL;

                g_assert_cmpint(run_on_fake_bus(&fake, cases[i].arguments, &out, &err), ==, 0);
                g_assert_true(g_str_has_prefix(out, cases[i].out));
                g_assert_cmpstr(err, ==, cases[i].err);
        }
}

/* The exit statuses are those of node-problem-detector, and with --nagios those of Nagios plugins. */
static void test_health(void) {
        static const struct {
                const char *properties, *episodes, *line;
                int status;
        } cases[] = {
                { "{'State': <'idle'>}", NO_EPISODES, "OK: no stall", 0 },
                { "{'State': <'busy'>, " COUNTS(6, 0, 6) "}", RECOVERED, "OK: no stall", 0 },
                { "{'State': <'recovery'>}", RECOVERED, "OK: no stall", 0 },
                { "{'State': <'syncing'>, 'LastSyncResult': <'ok'>}", RECOVERED, "OK: no stall", 0 },
                { "{'State': <'paused'>, 'PausedUntilUSec': <uint64 18446744073709551615>}", RECOVERED,
                  "OK: no stall; paused", 0 },
                { "{'State': <'syncing'>, 'Inhibitors': <" INHIBITORS ">}", RECOVERED, "OK: no stall; paused",
                  0 },
                { "{'State': <'idle'>, 'DryRun': <true>}", RECOVERED, "OK: no stall; dry run", 0 },
                { "{'State': <'idle'>, 'SyncsUnhelpful': <uint32 4>}", RECOVERED, "OK: no stall", 0 },
                { "{'State': <'syncing'>, " COUNTS(6, 2, 8) "}", ENDLESS, "8 workers stuck for ", 1 },
                { "{'State': <'busy'>, 'DryRun': <true>, " COUNTS(1, 0, 1) "}", ENDLESS,
                  "1 worker stuck for ", 1 },
                { "{'State': <'recovery'>, 'SyncsUnhelpful': <uint32 7>, " COUNTS(0, 0, 0) "}", ENDLESS,
                  "workers stuck for ", 1 },
                { "{'State': <'idle'>, 'SyncsUnhelpful': <uint32 5>}", RECOVERED,
                  "NOT OK: the last 5 syncs did not end a stall", 1 },
                { "{'State': <'idle'>, 'SyncsUnhelpful': <uint32 1>}", OUTLIVED,
                  "NOT OK: syncs did not end the last stall", 1 },
                { "{'State': <'idle'>, 'SyncsUnhelpful': <uint32 0>}", OUTLIVED, "OK: no stall", 0 },
                { "{'State': <'idle'>, " STALLED(FROZEN) "}", RECOVERED,
                  "NOT OK: a sync has not returned for ", 1 },
                { "{'State': <'idle'>, " STALLED(ANSWERED) "}", RECOVERED, "NOT OK: the last sync, ", 1 },
                { "{'State': <'idle'>, " STALLED(LATE) "}", RECOVERED, "OK: no stall", 0 },
                { "{'State': <'syncing'>, " STALLED(FROZEN) "}", RECOVERED, "OK: no stall", 0 },
                { "{'State': <'paused'>, 'StateSinceUSec': <uint64 1>}", RECOVERED, "NOT OK: paused for ",
                  1 },
                { "{'State': <'idle'>, 'Fault': <'no kernel threads\033'>}", RECOVERED,
                  "UNKNOWN: stalls may go undetected: no kernel threads\\x1b", 2 },
                { "{'State': <'busy'>, 'Fault': <'no kernel threads'>}", ENDLESS, "NOT OK: ", 1 },
                { "{'State': <'idle'>, 'Glob': <'foo*'>}", RECOVERED,
                  "UNKNOWN: Glob matches no kernel worker", 2 },
        };
        static const int nagios[] = { 0, 2, 3 };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                FakeBus fake = { .properties = cases[i].properties, .episodes = cases[i].episodes };
                g_autofree char *out = NULL, *nagios_out = NULL, *quiet_out = NULL, *err = NULL;

                g_assert_cmpint(run_on_fake_bus(&fake, "health", &out, &err), ==, cases[i].status);
                g_test_message("%s", out);
                g_assert_nonnull(strstr(out, cases[i].line));
                g_assert_cmpuint(strlen(out), <=, 80 + strlen("\n"));
                g_assert_cmpstr(err, ==, "");

                g_assert_cmpint(run_on_fake_bus(&fake, "health --nagios", &nagios_out, NULL), ==,
                                nagios[cases[i].status]);
                g_assert_true(g_str_has_prefix(nagios_out, "CRITICAL: ") == (cases[i].status == 1));
                g_assert_cmpint(run_on_fake_bus(&fake, "health -q", &quiet_out, NULL), ==, cases[i].status);
                g_assert_cmpstr(quiet_out, ==, "");
        }
}

/* A stall is no reason to restart it; and an error is an answer. */
static void test_health_alive(void) {
        static const struct {
                const char *properties, *episodes, *arguments, *out;
                int status;
        } cases[] = {
                { "{'State': <'busy'>}", ENDLESS, "health --alive", "OK: wbwatchd answers\n", 0 },
                { "{'State': <'busy'>}", ENDLESS, "health --alive --json",
                  "{\"Health\":\"OK\",\"Message\":\"wbwatchd answers\"}\n", 0 },
                { NULL, NULL, "health --alive", "OK: wbwatchd answered with an error\n", 0 },
                { NULL, NULL, "health", "UNKNOWN: wbwatchd answered with an error\n", 2 },
                { "{'State': <'busy'>}", NULL, "health", "UNKNOWN: wbwatchd did not list its episodes\n", 2 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                FakeBus fake = { .properties = cases[i].properties, .episodes = cases[i].episodes };
                g_autofree char *out = NULL;

                g_assert_cmpint(run_on_fake_bus(&fake, cases[i].arguments, &out, NULL), ==, cases[i].status);
                g_assert_cmpstr(out, ==, cases[i].out);
        }
}

/* status and list print what they can without the daemon, and say who saw it. */
static void test_without_daemon(void) {
        static const struct {
                const char *arguments, *out; /* the beginning of what is printed if this machine has no such
                                                worker */
        } cases[] = {
                { "", "No matching worker is running.\n" },
                { "list", "No matching worker is running.\n" },
                { "--json list", "[]\n" },
                { "--json status", "{\"Workers\":[]}\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *out = NULL, *err = NULL;

                g_assert_cmpint(run_wbctl(cases[i].arguments, NULL, &out, &err), ==, EXIT_NO_BUS);
                g_test_message("%s%s", out, err);
                g_assert_nonnull(strstr(err, "/nonexistent/bus"));
                g_assert_nonnull(strstr(err, "/proc by wbctl itself"));
                if (!strstr(out, "PID"))
                        g_assert_cmpstr(out, ==, cases[i].out);
        }
}

/* The last episode is left out if it is unknown, and null if there is none. The rest is printed. */
static void test_status_json_partial(void) {
        FakeBus fake = {
                .properties = "{'State': <'busy'>, 'PausedUntilUSec': <uint64 18446744073709551615>}",
                .workers = "[{'PID': <uint32 7>}]"
        };
        g_autofree char *out = NULL, *err = NULL, *complete = NULL, *no_errors = NULL;

        g_assert_cmpint(run_on_fake_bus(&fake, "--json status", &out, &err), ==, EXIT_FAILURE);
        g_assert_cmpstr(out, ==, "{\"State\":\"busy\",\"PausedUntilUSec\":null,\"Workers\":[{\"PID\":7}]}\n");
        g_assert_nonnull(strstr(err, "list the episodes"));

        fake.episodes = NO_EPISODES;
        g_assert_cmpint(run_on_fake_bus(&fake, "--json status", &complete, &no_errors), ==, EXIT_SUCCESS);
        g_assert_nonnull(strstr(complete, ",\"LastEpisode\":null}\n"));
}

/* It prints the last results that were sent before the end, and reads them where that was too early. */
static void test_sync_results(void) {
        static const struct {
                const char *arguments, *filesystems[2], *properties, *out;
        } cases[] = {
                { "sync", { NULL, NULL }, NULL, "Synced in 3.2s.\n" },
                { "sync", { "[" PENDING("/srv") "]", "[{'Result': <'ok'>}]" }, NULL, "Synced in 3.2s.\n" },
                { "sync",
                  { "[" PENDING("/srv") "]", NULL },
                  "{'FilesystemResults': <[{'Result': <'ok'>}]>}",
                  "Synced in 3.2s.\n" },
                { "sync",
                  { "[{'Result': <'ok'>}]", "[" PENDING("/srv") "]" },
                  "{'FilesystemResults': <[{'Mountpoint': <'/srv'>, 'Type': <'xfs'>, 'Result': "
                  "<'timeout'>, 'DurationUSec': <uint64 10000000>}]>}",
                  "Synced in 3.2s; not all filesystems answered:\n  /srv (xfs): timeout 10s\n" },
                { "--json sync",
                  { "[{'Result': <'ok'>}]", NULL },
                  NULL,
                  "{\"DurationUSec\":3200000,\"FilesystemResults\":[{\"Result\":\"ok\"}]}\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                FakeBus fake = { .properties = cases[i].properties,
                                 .filesystems = { cases[i].filesystems[0], cases[i].filesystems[1] } };
                g_autofree char *out = NULL, *err = NULL;

                g_assert_cmpint(run_on_fake_bus(&fake, cases[i].arguments, &out, &err), ==, 0);
                g_assert_cmpstr(out, ==, cases[i].out);
                g_assert_cmpstr(err, ==, "");
        }
}

/* It sends an absolute path, which it neither opens nor shortens. */
static void test_sync_filesystem(void) {
        g_autofree char *folder = g_get_current_dir();
        g_autofree char *relative = g_build_filename(folder, "a/../b", NULL);
        g_autofree char *relative_out = g_strdup_printf("Synced the filesystem of %s in 3.2s.\n", relative);
        const struct {
                const char *arguments, *path, *out;
        } cases[] = {
                { "sync --filesystem=/srv/../x", "/srv/../x",
                  "Synced the filesystem of /srv/../x in 3.2s.\n" },
                { "--filesystem '/a\033' sync", "/a\033", "Synced the filesystem of /a\\x1b in 3.2s.\n" },
                { "sync --filesystem a/../b", relative, relative_out },
                { "--json sync --filesystem=/", "/", "{\"DurationUSec\":3200000}\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                FakeBus fake = { .path = cases[i].path };
                g_autofree char *out = NULL, *err = NULL;

                g_assert_cmpint(run_on_fake_bus(&fake, cases[i].arguments, &out, &err), ==, 0);
                g_assert_cmpstr(out, ==, cases[i].out);
                g_assert_cmpstr(err, ==, "");
        }
}

int main(int argc, char **argv) {
        g_setenv("TZ", "UTC", true);
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/client/json/numbers", test_json_numbers);
        g_test_add_func("/client/json/strings", test_json_strings);
        g_test_add_func("/client/json/containers", test_json_containers);
        g_test_add_func("/client/values/from-message", test_values_from_message);
        g_test_add_func("/client/values/without-descriptors", test_values_without_descriptors);
        g_test_add_func("/client/values/lookup", test_values_lookup);
        g_test_add_func("/client/terminal/decide", test_terminal_decide);
        g_test_add_func("/client/terminal/escape", test_terminal_escape);
        g_test_add_func("/client/terminal/spans", test_terminal_spans);
        g_test_add_func("/client/terminal/cut", test_terminal_cut);
        g_test_add_func("/client/terminal/times", test_terminal_times);
        g_test_add_func("/client/terminal/zones", test_terminal_zones);
        g_test_add_func("/client/terminal/bytes", test_terminal_bytes);
        g_test_add_func("/client/terminal/wrap", test_wrap);
        g_test_add_func("/client/terminal/table", test_terminal_table);
        g_test_add_func("/client/assignment/good", test_assignment_good);
        g_test_add_func("/client/assignment/glob", test_assignment_glob);
        g_test_add_func("/client/assignment/bad", test_assignment_bad);
        g_test_add_func("/client/meminfo", test_meminfo);
        g_test_add_func("/client/status/headline", test_status_headline);
        g_test_add_func("/client/status/red", test_status_red);
        g_test_add_func("/client/status/fits", test_status_fits);
        g_test_add_func("/client/status/partial", test_status_partial);
        g_test_add_func("/client/status/log-lines", test_log_lines);
        g_test_add_func("/client/status/full", test_status_full);
        g_test_add_func("/client/status/syncing", test_status_syncing);
        g_test_add_func("/client/status/helped", test_status_helped);
        g_test_add_func("/client/status/colours", test_status_colours);
        g_test_add_func("/client/list", test_list);
        g_test_add_func("/client/inhibitors", test_inhibitors);
        g_test_add_func("/client/health", test_health_line);
        g_test_add_func("/client/filesystems/one", test_filesystems);
        g_test_add_func("/client/filesystems/many", test_filesystems_many);
        g_test_add_func("/client/episodes/rows", test_episodes);
        g_test_add_func("/client/episodes/fit", test_episodes_fit);
        g_test_add_func("/client/events/text", test_events);
        g_test_add_func("/client/events/json", test_events_json);
        g_test_add_func("/client/synced", test_synced);
        g_test_add_func("/client/errors", test_errors);
        g_test_add_func("/client/command-line", test_command_line);
        g_test_add_func("/client/errors-fit", test_errors_fit);
        g_test_add_func("/client/help", test_help);
        g_test_add_func("/client/silent-bus", test_silent_bus);
        g_test_add_func("/client/without-daemon", test_without_daemon);
        g_test_add_func("/client/bus/fault", test_fault);
        g_test_add_func("/client/bus/set-glob", test_set_glob);
        g_test_add_func("/client/bus/health", test_health);
        g_test_add_func("/client/bus/health-alive", test_health_alive);
        g_test_add_func("/client/bus/status-partial", test_status_json_partial);
        g_test_add_func("/client/bus/sync-results", test_sync_results);
        g_test_add_func("/client/bus/sync-filesystem", test_sync_filesystem);

        return g_test_run();
}
