/* SPDX-License-Identifier: GPL-3.0-or-later */

/* wbctl without a daemon: what it prints of what it got, and what it makes of a command line and of errors.
 */

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "client.h"
#include "connection.h"
#include "json.h"
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
        assert_json("uint64 18446744073709551615", "18446744073709551615");
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
        assert_json("<<uint64 18446744073709551615>>", "18446744073709551615");
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
                                               "'u': <uint32 7>, 'b': <true>, 'i': <5>}");
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
                g_autofree char *utf8_text = text_escape(&plain, cases[i].text);
                g_autofree char *ascii_text = text_escape(&ascii, cases[i].text);

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

static void assert_time(uint64_t usec, uint64_t now_usec, const char *expected) {
        g_autofree char *text = time_format(usec, now_usec);

        g_assert_cmpstr(text, ==, expected);
}

static void test_terminal_times(void) {
        g_autofree char *exact = NULL;

        assert_time(NOW, NOW, "2023-11-14 22:13:20 (now)");
        assert_time(NOW - 999999, NOW, "2023-11-14 22:13:19 (now)");
        assert_time(NOW - 184 * USEC_PER_SEC, NOW, "2023-11-14 22:10:16 (3min 4s ago)");
        assert_time(NOW + 5 * USEC_PER_MINUTE, NOW, "2023-11-14 22:18:20 (in 5min)");
        assert_time(UINT64_MAX - 1, 0, "586524-01-19 08:01:49 (in 213503982d 8h)");

        exact = time_format_exact(NOW + 45678);
        g_assert_cmpstr(exact, ==, "2023-11-14 22:13:20.045");
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
                { "=3", -ENOENT, "no setting \"\"" },
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
#define ONGOING "[{'Id': <uint64 3>, 'Outcome': <'ongoing'>, 'StartUSec': <uint64 1699999990000000>}]"
#define RECOVERED "[{'Id': <uint64 3>, 'Outcome': <'recovered'>}]"

static void test_status_headline(void) {
        static const struct {
                const char *properties, *episodes, *headline;
        } cases[] = {
                { "{'State': <'idle'>}", NO_EPISODES, "All is well: no matching worker runs." },
                { "{'State': <'idle'>, 'StatusText': <'no matching worker runs'>}", RECOVERED,
                  "All is well: no matching worker runs." },
                { "{'State': <'idle'>, 'StatusText': <'dry run: no matching worker runs'>, 'DryRun': <true>}",
                  NO_EPISODES, "Nothing is stuck. In a dry run" },
                /* A blind daemon is idle, too. */
                { "{'State': <'idle'>, 'StatusText': <'sees no kernel thread at all: hidepid'>}", NO_EPISODES,
                  "wbwatchd is idle, but not all is well" },
                { "{'State': <'idle'>, 'DryRun': <true>, "
                  "'StatusText': <'dry run: sees no kernel thread at all: hidepid'>}",
                  NO_EPISODES, "wbwatchd is idle, but not all is well" },
                { "{'State': <'busy'>, 'WorkerCount': <uint32 1>, 'OldestWorkerUSec': <uint64 12345678>}",
                  NO_EPISODES,
                  "Watching: one matching worker has been running for 12.3s, not stuck so far." },
                { "{'State': <'busy'>, 'WorkerCount': <uint32 12>, 'OldestWorkerUSec': <uint64 12345678>}",
                  RECOVERED, "Watching: 12 matching workers run, the longest for 12.3s, not stuck so far." },
                { "{'State': <'unheard-of'>, 'WorkerCount': <uint32 2>, 'OldestWorkerUSec': <uint64 "
                  "1000000>}",
                  NO_EPISODES, "Watching: 2 matching workers run, the longest for 1s, not stuck so far." },
                { "{'State': <'busy'>, 'WorkerCount': <uint32 2>, 'OldestWorkerUSec': <uint64 31000000>}",
                  ONGOING,
                  "Workers are stuck: 2 matching workers run, the longest for 31s. A sync is about to "
                  "come." },
                { "{'State': <'busy'>, 'DryRun': <true>}", ONGOING, "Workers are stuck: no matching" },
                { "{'State': <'recovery'>}", ONGOING, "Workers are stuck: " },
                { "{'State': <'paused'>}", ONGOING, "Workers are stuck: " },
                { "{'State': <'paused'>}", RECOVERED,
                  "Paused: nothing would be freed by itself; no matching" },
                { "{'State': <'recovery'>}", RECOVERED, "A sync has ended lately; no matching" },
                { "{'State': <'syncing'>, 'StateSinceUSec': <uint64 1699999998000000>, 'LastSyncResult': "
                  "<'ok'>}",
                  ONGOING, "A sync is under way, for 2s." },
                { "{'State': <'syncing'>, 'LastSyncUSec': <uint64 1699999640000000>, "
                  "'LastSyncResult': <'stalled'>}",
                  ONGOING, "A sync has been hanging for 6min: " },
                /* An older or a strange daemon */
                { "@a{sv} {}", NO_EPISODES, "Watching: no matching worker runs at the moment" },
                { "{'State': <5>, 'WorkerCount': <'many'>, 'StateSinceUSec': <'x'>, 'PausedUntilUSec': "
                  "<true>, "
                  "'SettingOrigins': <'x'>, 'StatusText': <1>, 'LastSyncUSec': <''>, 'DryRun': <'yes'>}",
                  "[{'Outcome': <5>}]", "Watching: no matching worker runs at the moment" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *status =
                                status_of(&ascii, cases[i].properties, NO_WORKERS, cases[i].episodes);

                g_test_message("%s", status);
                g_assert_true(g_str_has_prefix(status, cases[i].headline));
        }
}

static const char full_status[] =
                "{'State': <'paused'>, 'StateSinceUSec': <uint64 1699999816000000>, "
                "'PausedUntilUSec': <uint64 1700000300000000>, 'StatusText': <'paused, \033[31m'>, "
                "'Version': <'0.1.0'>, 'EventSource': <'netlink'>, 'LostEvents': <uint64 3>, "
                "'WorkerCount': <uint32 6>, 'OldestWorkerUSec': <uint64 12345678>, 'SyncCount': <uint64 2>, "
                "'LastSyncUSec': <uint64 1699999940000000>, 'LastSyncDurationUSec': <uint64 350000>, "
                "'LastSyncResult': <'ok'>, 'Glob': <'kworker/*\033'>, 'ThresholdUSec': <uint64 90000000>, "
                "'CrowdSize': <uint32 4>, 'DryRun': <false>, 'SomethingNew': <(1, 2)>, "
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
                                  "'Outcome': <'recovered'>, "
                                  "'Rule': <'crowd'>, 'StartUSec': <uint64 1699999938000000>, "
                                  "'EndUSec': <uint64 1699999941500000>, 'WorkerCount': <uint32 14>, "
                                  "'SyncCount': <uint32 1>}]");

        g_assert_cmpstr(status, ==,
                        "\u25cf Paused: nothing would be freed by itself; 6 matching workers run, the "
                        "longest for "
                        "12.3s.\n"
                        "  State         paused since 2023-11-14 22:10:16 (3min 4s ago)\n"
                        "  Paused until  2023-11-14 22:18:20 (in 5min)\n"
                        "  Why           paused, \\x1b[31m\n"
                        "  Workers       6 running, the longest for 12.3s\n"
                        "  Last sync     2023-11-14 22:12:20 (1min ago): ok after 350ms\n"
                        "  Syncs         2 since wbwatchd's start\n"
                        "  Last episode  2023-11-14 22:12:18 (1min 2s ago): recovered after 3.5s, rule "
                        "crowd, up to "
                        "14 workers, 1 sync\n"
                        "  Events        netlink, overrun 3 times\n"
                        "  Version       0.1.0\n"
                        "\n"
                        "Workers that run:\n"
                        "  PID  STATE  RUNNING  CPU    NAME\n"
                        "  11   R      12.3s    250ms  kworker/0:1+inode_switch_wbs\n"
                        "  12   R      12.3s    250ms  kworker/0:1+inode_switch_wbs\n"
                        "  13   R      12.3s    250ms  kworker/0:1+inode_switch_wbs\n"
                        "  14   R      12.3s    250ms  kworker/0:1+inode_switch_wbs\n"
                        "  15   R      12.3s    250ms  kworker/0:1+inode_switch_wbs\n"
                        "  and 1 more: `wbctl list`\n"
                        "\n"
                        "Settings, and where each came from:\n"
                        "  Glob=kworker/*\\x1b     built-in\n"
                        "  ThresholdSec=1min 30s  /etc/wbwatch/wbwatch.conf:3\n"
                        "  CrowdSize=4\n"
                        "  DryRun=no\n");
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
        g_autoptr(GVariant) none = parse(NO_WORKERS), strange = parse("[{'PID': <'x'>, 'Name': <'a\nb'>}]");
        g_autoptr(GString) out = g_string_new(NULL);

        workers_append(out, &plain, none);
        g_assert_cmpstr(out->str, ==, "No matching worker runs.\n");
        g_string_truncate(out, 0);
        workers_append(out, &plain, strange);
        g_assert_cmpstr(out->str, ==,
                        "  PID  STATE  RUNNING  CPU  NAME\n"
                        "  0    ?      0        0    a\\x0ab\n");
}

static void test_episodes(void) {
        g_autoptr(GVariant) none = parse(NO_EPISODES), strange = parse("[{'Syncs': <5>, 'Workers': <5>}]");
        g_autoptr(GVariant) some = parse(
                        "[{'Id': <uint64 7>, 'Rule': <'worker'>, 'StartUSec': <uint64 1699999938000000>, "
                        "'EndUSec': <uint64 1699999941500000>, 'Outcome': <'recovered'>, 'WorkerCount': "
                        "<uint32 3>, "
                        "'SyncCount': <uint32 2>, 'Workers': <[" WORKER(
                                        11) "]>, "
                                            "'Syncs': <[{'Result': <'failed'>}, {'Result': <'ok'>, "
                                            "'DurationUSec': <uint64 350000>}]>}, "
                                            "{'Id': <uint64 8>, 'Rule': <'crowd'>, 'StartUSec': <uint64 "
                                            "1699999990000000>, "
                                            "'Outcome': <'ongoing'>, 'WorkerCount': <uint32 5>, 'SyncCount': "
                                            "<uint32 1>, "
                                            "'Syncs': <[{'Result': <''>}]>}, "
                                            "{'Id': <uint64 9>, 'Rule': <'crowd'>, 'StartUSec': <uint64 "
                                            "1699999990000000>, "
                                            "'Outcome': <'cleared'>, 'SyncCount': <uint32 1>, 'Syncs': "
                                            "<[{'DryRun': <true>}]>}]");
        g_autoptr(GString) out = g_string_new(NULL);

        episodes_append(out, &plain, none, NOW);
        g_assert_cmpstr(out->str, ==, "No worker has been stuck since wbwatchd's start.\n");

        g_string_truncate(out, 0);
        episodes_append(out, &plain, some, NOW);
        g_assert_cmpstr(out->str, ==,
                        "  ID  BEGAN                              LASTED  OUTCOME    RULE    WORKERS  "
                        "SYNCS                    LONGEST WORKER\n"
                        "  7   2023-11-14 22:12:18 (1min 2s ago)  3.5s    recovered  worker  3        "
                        "2 (last ok after 350ms)  12.3s kworker/0:1+inode_switch_wbs\n"
                        "  8   2023-11-14 22:13:10 (10s ago)      10s     ongoing    crowd   5        "
                        "1 (under way)\n"
                        "  9   2023-11-14 22:13:10 (10s ago)      10s     cleared    crowd   0        "
                        "1 (dry run)\n");

        g_string_truncate(out, 0);
        episodes_append(out, &plain, strange, NOW);
        g_assert_nonnull(strstr(out->str, "  ?        ?     0        0\n"));
}

/* monitor */

static void test_events(void) {
        static const struct {
                const char *member, *arguments, *expected;
        } cases[] = {
                { "EpisodeStarted",
                  "(uint64 4, {'Rule': <'worker'>, 'WorkerCount': <uint32 12>, 'OldestWorkerUSec': <uint64 "
                  "30000000>, "
                  "'Name': <'kworker/0:1+x\033'>, 'DryRun': <true>})",
                  "stuck    episode 4, workers: 12, the longest running for 30s: kworker/0:1+x\\x1b (rule "
                  "worker, dry "
                  "run)" },
                { "EpisodeEnded",
                  "(uint64 4, {'StartUSec': <uint64 1000000>, 'EndUSec': <uint64 4500000>, 'Outcome': "
                  "<'recovered'>, "
                  "'WorkerCount': <uint32 14>, 'SyncCount': <uint32 1>})",
                  "free     episode 4: recovered after 3.5s, workers: up to 14, syncs: 1" },
                { "SyncStarted", "(uint64 7, uint64 4, {'Rule': <'crowd'>, 'WorkerCount': <uint32 14>})",
                  "sync     7 began (rule crowd, workers: 14)" },
                { "SyncStarted", "(uint64 7, uint64 0, {'Rule': <''>, 'Forced': <true>})",
                  "sync     7 began (asked for, workers: 0)" },
                { "SyncFinished", "(uint64 7, uint64 0, {'DurationUSec': <uint64 350000>, 'Result': <'ok'>})",
                  "sync     7 ended after 350ms: ok" },
                { "SyncFinished", "(uint64 7, uint64 0, {'DryRun': <true>})",
                  "sync     7 was not made (dry run)" },
                { "PropertiesChanged",
                  "('org.wbwatch1', {'State': <'busy'>, 'StateSinceUSec': <uint64 1700000000045678>, "
                  "'ThresholdUSec': <uint64 20000000>, 'DryRun': <false>, 'PausedUntilUSec': <uint64 "
                  "18446744073709551615>, 'CrowdSize': <uint32 4>, 'SettingOrigins': <{'a': 'b'}>}, @as [])",
                  "changed  State=busy StateSinceUSec=2023-11-14 22:13:20.045 ThresholdUSec=20s DryRun=no "
                  "PausedUntilUSec=infinity CrowdSize=4 SettingOrigins=..." },
                { "DaemonIsGone", "()", "gone     wbwatchd is not running; waiting for it" },
                { "DaemonIsHere", "({'Version': <'1.0'>, 'State': <'idle'>, 'StatusText': <'x'>},)",
                  "here     wbwatchd 1.0, state idle: x" },
                /* A newer daemon's, and one that does not keep to the interface */
                { "Unheard", "(uint64 18446744073709551615, 'a\033')",
                  "signal   Unheard [18446744073709551615,\"a\\u001b\"]" },
                { "EpisodeStarted", "('x',)", "signal   EpisodeStarted [\"x\"]" },
                { "EpisodeEnded", "@() ()", "signal   EpisodeEnded []" },
                { "PropertiesChanged", "('x',)", "signal   PropertiesChanged [\"x\"]" },
                { "SyncStarted", "('x', @a{sv} {})", "sync     0 began (asked for, workers: 0)" },
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
                  "{\"TimeUSec\":5,\"Event\":\"SyncFinished\",\"Id\":7,\"EpisodeId\":18446744073709551615,"
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

/* errors */

static void test_errors(void) {
        static const Request pausing = {
                .member = "Pause",
                .purpose = "pause wbwatchd",
                .action = "org.wbwatch1.pause",
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
                  "does not answer: waited 5s" },
                { &pausing, "org.freedesktop.DBus.Error.NoReply", false, 5 * USEC_PER_SEC, EXIT_FAILURE,
                  "may still do it later" },
                { &reading, "org.freedesktop.DBus.Error.NoReply", true, 0, EXIT_NO_BUS, "bus went away" },
                { &pausing, "org.freedesktop.DBus.Error.AccessDenied", false, 0, EXIT_NOT_AUTHORIZED,
                  "polkit action org.wbwatch1.pause" },
                { &reading, "org.freedesktop.DBus.Error.AccessDenied", false, 0, EXIT_NOT_AUTHORIZED,
                  "bus policy" },
                { &pausing, "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", false, 0,
                  EXIT_NOT_AUTHORIZED, "--no-ask-password" },
                { &pausing, "org.freedesktop.DBus.Error.InvalidArgs", false, 0, EXIT_FAILURE,
                  "Cannot pause wbwatchd: REASON" },
                { &pausing, "org.freedesktop.DBus.Error.UnknownMethod", false, 0, EXIT_FAILURE, "older" },
                { &pausing, "org.wbwatch1.Error.DryRun", false, 0, EXIT_FAILURE, "DryRun=no" },
                { &pausing, "org.wbwatch1.Error.Busy", false, 0, EXIT_FAILURE, "try again" },
                { &pausing, "org.wbwatch1.Error.StoreFailed", false, 0, EXIT_FAILURE, "REASON" },
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

/* Runs wbctl with these arguments, on no bus unless one is given, and returns its exit status. */
static int run_wbctl(const char *arguments, const char *address, char **ret_stdout, char **ret_stderr) {
        const char *wbctl = g_getenv("WBCTL");
        g_auto(GStrv) environment = g_get_environ(), argv = NULL;
        g_autoptr(GError) error = NULL;
        g_autofree char *line = NULL;
        int status;

        g_assert_nonnull(wbctl);
        line = g_strdup_printf("'%s' %s", wbctl, arguments);
        g_shell_parse_argv(line, NULL, &argv, &error);
        g_assert_no_error(error);
        environment = g_environ_setenv(
                        environment, "DBUS_SYSTEM_BUS_ADDRESS", address ?: "unix:path=/nonexistent/bus",
                        true);
        environment = g_environ_setenv(environment, "LC_ALL", "C.UTF-8", true);

        g_spawn_sync(NULL, argv, environment, G_SPAWN_STDIN_FROM_DEV_NULL, NULL, NULL, ret_stdout, ret_stderr,
                     &status, &error);
        g_assert_no_error(error);
        g_assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

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
                { "frobnicate", EXIT_USAGE, "no verb \"frobnicate\"" },
                { "'a\033[31m'", EXIT_USAGE, "a\\x1b[31m" },
                { "--frobnicate", EXIT_USAGE, "--frobnicate" },
                { "status now", EXIT_USAGE, "\"now\" is too many" },
                { "pause 1h 30min", EXIT_USAGE, "\"30min\" is too many" },
                { "set", EXIT_USAGE, "NAME=VALUE" },
                { "set ThresholdSec", EXIT_USAGE, "NAME=VALUE" },
                { "set Threshold=1", EXIT_USAGE, "no setting" },
                { "set ThresholdSec=2 ThresholdUSec=2000000", EXIT_USAGE, "twice" },
                { "--runtime pause", EXIT_USAGE, "--runtime" },
                { "set ThresholdSec=1ms", EXIT_FAILURE, "minimum of 1s" },
                { "set CrowdSize=3 DryRun=perhaps", EXIT_FAILURE, "perhaps" },
                { "pause soon", EXIT_FAILURE, "\"soon\"" },
                { "pause 0", EXIT_FAILURE, "wbctl resume" },
                { "pause 999999999999d", EXIT_FAILURE, "too long" },
                /* Nothing was wrong with these, but there is no bus. */
                { "", EXIT_NO_BUS, "/nonexistent/bus" },
                { "--json list", EXIT_NO_BUS, "/nonexistent/bus" },
                { "episodes", EXIT_NO_BUS, "/nonexistent/bus" },
                { "monitor", EXIT_NO_BUS, "/nonexistent/bus" },
                { "--no-ask-password sync", EXIT_NO_BUS, "/nonexistent/bus" },
                { "set --runtime 'ThresholdSec=1min 30s' Glob='*'", EXIT_NO_BUS, "/nonexistent/bus" },
                { "pause '1h 30min'", EXIT_NO_BUS, "/nonexistent/bus" },
                { "resume", EXIT_NO_BUS, "/nonexistent/bus" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *out = NULL, *err = NULL;
                int status = run_wbctl(cases[i].arguments, NULL, &out, &err);

                g_test_message("wbctl %s: %d, %s%s", cases[i].arguments, status, out, err);
                g_assert_cmpint(status, ==, cases[i].status);
                g_assert_nonnull(strstr(status == 0 ? out : err, cases[i].words));
                g_assert_cmpstr(status == 0 ? err : out, ==, "");
        }
}

/* A bus that takes the connection and then says nothing, as one does that hangs. */
static void test_silent_bus(void) {
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        socklen_t size = sizeof(sa_family_t);
        g_autofree char *name = NULL, *out = NULL, *err = NULL;

        /* An abstract one, which leaves nothing behind; the kernel chooses its name. */
        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(bind(fd, (struct sockaddr *) &address, size), ==, 0);
        g_assert_cmpint(listen(fd, 1), ==, 0);
        size = sizeof(address);
        g_assert_cmpint(getsockname(fd, (struct sockaddr *) &address, &size), ==, 0);
        name = g_strdup_printf(
                        "unix:abstract=%.*s", (int) (size - offsetof(struct sockaddr_un, sun_path) - 1),
                        address.sun_path + 1);

        g_assert_cmpint(run_wbctl("status", name, &out, &err), ==, EXIT_NO_BUS);
        g_assert_nonnull(strstr(err, "does not answer"));
        g_assert_cmpstr(out, ==, "");
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
        g_test_add_func("/client/terminal/times", test_terminal_times);
        g_test_add_func("/client/terminal/bytes", test_terminal_bytes);
        g_test_add_func("/client/terminal/table", test_terminal_table);
        g_test_add_func("/client/assignment/good", test_assignment_good);
        g_test_add_func("/client/assignment/glob", test_assignment_glob);
        g_test_add_func("/client/assignment/bad", test_assignment_bad);
        g_test_add_func("/client/meminfo", test_meminfo);
        g_test_add_func("/client/status/headline", test_status_headline);
        g_test_add_func("/client/status/full", test_status_full);
        g_test_add_func("/client/status/colours", test_status_colours);
        g_test_add_func("/client/list", test_list);
        g_test_add_func("/client/episodes", test_episodes);
        g_test_add_func("/client/events/text", test_events);
        g_test_add_func("/client/events/json", test_events_json);
        g_test_add_func("/client/errors", test_errors);
        g_test_add_func("/client/command-line", test_command_line);
        g_test_add_func("/client/silent-bus", test_silent_bus);

        return g_test_run();
}
