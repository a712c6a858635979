/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Any bytes as the text of /proc/PID/stat, and as a worker's name. The parsers are compared with regular
 * expressions, which are slow but easy to read. */

#include "fuzz.h"

#include <glib.h>

#include "worker.h"

#define NAME_PATTERN "\\Akworker/(?:R-[^+]*|u?[0-9]+(?::[0-9]*)?[A-Z]*)\\+"

/* The last ")" ends the name. Field 22 must be followed by another, or its digits may be cut. */
#define STAT_PATTERN                                                                                         \
        "\\A([0-9]+) \\((.*)\\) ([A-Za-z])((?: -?[0-9]+){5} [0-9]+(?: -?[0-9]+){4} [0-9]+ [0-9]+"            \
        "(?: -?[0-9]+){6} [0-9]+)[^0-9)][^)]*\\z"

enum {
        FIELD_FLAGS = 9,
        FIELD_USER = 14,
        FIELD_SYSTEM = 15,
        FIELD_START = 22,
        N_FIELDS
};

static void check_work(const char *name) {
        static GRegex *regex;
        g_autoptr(GMatchInfo) match = NULL;
        const char *work = worker_name_work(name);
        int begin, end;

        if (!regex)
                regex = fuzz_regex(NAME_PATTERN);

        fuzz_assert(fuzz_match(regex, name, strlen(name), &match) == (work != NULL));
        if (work) {
                fuzz_assert(g_match_info_fetch_pos(match, 0, &begin, &end));
                fuzz_assert(work == name + end);
        }
}

static bool read_number(const char *digits, uint64_t *ret) {
        char *end;

        errno = 0;
        *ret = strtoull(digits + (*digits == '-'), &end, 10);
        return errno == 0;
}

/* The numbers of the text, by field number; false if the text is invalid. */
static bool read_slowly(const char *text, size_t size, Worker *ret, uint64_t fields[static N_FIELDS]) {
        static GRegex *regex;
        g_autoptr(GMatchInfo) match = NULL;
        g_autofree char *pid = NULL, *state = NULL, *numbers = NULL;
        g_auto(GStrv) words = NULL;
        unsigned __int128 cpu_usec;
        int begin, end;
        uint64_t number;

        if (!regex)
                regex = fuzz_regex(STAT_PATTERN);
        if (!fuzz_match(regex, text, size, &match))
                return false;

        pid = g_match_info_fetch(match, 1);
        fuzz_assert(g_match_info_fetch_pos(match, 2, &begin, &end));
        state = g_match_info_fetch(match, 3);
        numbers = g_match_info_fetch(match, 4);

        if (!read_number(pid, &number) || number == 0 || number > INT32_MAX)
                return false;
        if (memchr(text + begin, '\0', (size_t) (end - begin)))
                return false;

        /* The first part is empty: each number follows a space. */
        words = g_strsplit(numbers, " ", -1);
        for (unsigned i = 4; i <= FIELD_START; i++)
                if (!read_number(words[i - 3], fields + i))
                        return false;

        cpu_usec = (unsigned __int128) fields[FIELD_USER] + fields[FIELD_SYSTEM];
        if (cpu_usec > UINT64_MAX)
                return false;
        cpu_usec *= USEC_PER_SEC / (uint64_t) sysconf(_SC_CLK_TCK);
        if (cpu_usec > UINT64_MAX)
                return false;

        *ret = (Worker){
                .pid = (pid_t) number,
                .state = *state,
                .start_time = fields[FIELD_START],
                .cpu_usec = (uint64_t) cpu_usec,
        };
        memcpy(ret->name, text + begin, MIN((size_t) (end - begin), (size_t) WORKER_NAME_MAX));
        return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const Worker untouched = { .pid = 1234, .start_time = 5678, .name = "untouched" };
        uint64_t fields[N_FIELDS] = {}, flags = 4321;
        Worker worker = untouched, expected = {};
        char *text = fuzz_text(data, size);
        int r;

        r = worker_parse_stat(text, size, &worker, &flags);
        fuzz_assert(read_slowly(text, size, &expected, fields) == (r >= 0));
        if (r >= 0) {
                fuzz_assert(worker.pid == expected.pid);
                fuzz_assert(worker.state == expected.state);
                fuzz_assert(worker.start_time == expected.start_time);
                fuzz_assert(worker.cpu_usec == expected.cpu_usec);
                fuzz_assert(flags == fields[FIELD_FLAGS]);
                fuzz_assert(memcmp(worker.name, expected.name, sizeof(worker.name)) == 0);
                check_work(worker.name);
        } else {
                fuzz_assert(r == -EBADMSG);
                fuzz_assert(memcmp(&worker, &untouched, sizeof(worker)) == 0);
                fuzz_assert(flags == 4321);
        }

        check_work(text);
        free(text);
        return 0;
}
