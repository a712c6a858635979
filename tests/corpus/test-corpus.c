/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The corpus at every phase of the scans, with and without thread creation events; and the parser and the
 * expectations of traces. */

#include <glib.h>
#include <glib/gstdio.h>
#include <inttypes.h>

#include "duration.h"
#include "trace.h"

#define RANGE_WITH_EVENTS_MSEC 1000
#define RANGE_WITHOUT_EVENTS_MSEC 10000
#define STEP_MSEC 100

/* Large traces are replayed at fewer phases: the most rows for the engine in one case, and the fewest phases.
 */
#ifdef HAS_ADDRESS_SANITIZER
#define ROWS_PER_CASE UINT64_C(100000)
#define PHASES_MIN 2
#else
#define ROWS_PER_CASE UINT64_C(2000000)
#define PHASES_MIN 4
#endif

/* The number of phases out of ten at which the usual bound must hold. */
#define USUAL_PHASES_OF_10 9

/* The corpus */

typedef struct Case {
        Trace *trace;
        bool events;
        const char *poll_interval;
        unsigned range_msec;
} Case;

static void set(Trace *trace, const char *assignment) {
        g_autofree char *error = NULL;

        if (trace_set(trace, assignment, &error) < 0)
                g_error("%s", error);
}

static unsigned count_phases(const Case *c) {
        uint64_t poll_usec, rows;
        unsigned n = c->range_msec / STEP_MSEC;

        g_assert_cmpint(parse_duration(c->poll_interval, USEC_PER_SEC, &poll_usec), ==, 0);
        rows = trace_count_rows(c->trace, poll_usec);

        return (unsigned) CLAMP(ROWS_PER_CASE / MAX(rows, 1), PHASES_MIN, n);
}

static int compare_times(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return (x > y) - (x < y);
}

/* Prints how soon it was detected, and checks the bound for most phases. */
static void judge_times(const Case *c, unsigned n_phases, GArray *times) {
        uint64_t usual_usec = trace_usual_usec(c->trace), worst_usec, most_usec;
        unsigned most = (n_phases * USUAL_PHASES_OF_10 + 9) / 10;

        if (times->len < most) {
                g_test_message("detected at %u of %u phases", times->len, n_phases);
                if (!c->events && usual_usec != USEC_INFINITY)
                        g_test_fail();
                return;
        }

        g_array_sort(times, compare_times);
        most_usec = g_array_index(times, uint64_t, most - 1);
        worst_usec = g_array_index(times, uint64_t, times->len - 1);
        g_test_message("detected after %" PRIu64 " ms at 9 of 10 phases, %" PRIu64 " ms at the worst of %u",
                       most_usec / USEC_PER_MSEC, worst_usec / USEC_PER_MSEC, n_phases);
        if (!c->events && most_usec > usual_usec) {
                g_test_message("9 of 10 phases must be within %" PRIu64 " ms", usual_usec / USEC_PER_MSEC);
                g_test_fail();
        }
}

static void test_corpus(gconstpointer data) {
        const Case *c = data;
        g_autofree char *assignment = g_strdup_printf("PollIntervalSec=%s", c->poll_interval);
        g_autoptr(GArray) times = g_array_new(false, false, sizeof(uint64_t));
        unsigned n_phases = count_phases(c), n_failed = 0;

        g_assert_cmpuint(trace_n_expectations(c->trace), >, 0);
        set(c->trace, assignment);

        for (unsigned i = 0; i < n_phases; i++) {
                ReplayOptions options = {
                        .phase_usec = (uint64_t) c->range_msec * i / n_phases / STEP_MSEC * STEP_MSEC *
                                      USEC_PER_MSEC,
                        .events = c->events,
                };
                g_autofree char *failed = NULL;
                ReplayResult result;

                g_assert_cmpint(trace_replay(c->trace, &options, &result), ==, 0);
                if (result.called)
                        g_array_append_val(times, result.called_usec);

                failed = trace_check(c->trace, &result, c->events);
                if (failed && n_failed++ == 0)
                        g_test_message("phase %" PRIu64 " ms FAILS: %s (called %s %" PRIu64
                                       " ms, rule %s, syncs %u)",
                                       options.phase_usec / USEC_PER_MSEC, failed,
                                       result.called ? "after" : "never", result.called_usec / USEC_PER_MSEC,
                                       engine_rule_to_string(result.rule), result.n_syncs);
        }

        if (n_failed > 0) {
                g_test_message("%u of %u phases fail", n_failed, n_phases);
                g_test_fail();
        }
        judge_times(c, n_phases, times);
}

static void add_case(Trace *trace, bool events, const char *poll_interval) {
        g_autofree char *path =
                        g_strdup_printf("/corpus/%s/%s-%s", trace_name(trace),
                                        events ? "events" : "no-events", poll_interval);
        Case *c = g_new(Case, 1);

        *c = (Case){
                .trace = trace,
                .events = events,
                .poll_interval = poll_interval,
                .range_msec = events ? RANGE_WITH_EVENTS_MSEC : RANGE_WITHOUT_EVENTS_MSEC,
        };
        g_test_add_data_func_full(path, c, test_corpus, g_free);
}

static void free_trace(void *data) {
        trace_free(data);
}

static int compare_traces(const void *a, const void *b) {
        return strcmp(trace_name(*(Trace *const *) a), trace_name(*(Trace *const *) b));
}

/* Loads all traces of a folder, sorted by name. */
static GPtrArray *load_corpus(const char *folder) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GDir) dir = g_dir_open(folder, 0, &error);
        GPtrArray *traces = g_ptr_array_new_with_free_func(free_trace);
        const char *name;

        if (!dir)
                g_error("%s", error->message);

        while ((name = g_dir_read_name(dir))) {
                g_autofree char *path = g_build_filename(folder, name, NULL), *text = NULL;
                Trace *trace;

                if (!g_str_has_suffix(name, ".trace"))
                        continue;
                if (trace_load(path, &trace, &text) < 0)
                        g_error("%s", text);
                g_ptr_array_add(traces, trace);
        }

        if (traces->len == 0)
                g_error("%s: there is no trace", folder);
        g_ptr_array_sort(traces, compare_traces);
        return traces;
}

static void add_corpus(GPtrArray *traces) {
        static const char *const poll_intervals[] = { "1s", "300ms", "100ms" };

        for (size_t i = 0; i < traces->len; i++)
                for (size_t k = 0; k < ELEMENTSOF(poll_intervals); k++) {
                        Trace *trace = g_ptr_array_index(traces, i);

                        add_case(trace, true, poll_intervals[k]);
                        add_case(trace, false, poll_intervals[k]);
                }
}

/* Malformed traces */

typedef struct Malformed {
        const char *name, *text, *reason;
} Malformed;

#define ROW "0 5 100 R 9 kworker/0:1+x\n"

static const Malformed malformed[] = {
        { "empty", "", "1: there is no scan" },
        { "no-scan", "# a comment\n", "2: there is no scan" },
        { "empty-line", "0\n\n1000\n", "2: the line is empty" },
        { "time-word", "soon\n", "1: the time is not a number" },
        { "time-negative", "-1\n", "1: the time is not a number" },
        { "time-large", "99999999999999999999\n", "1: the time is not a number" },
        { "time-glued", "12x\n", "1: the time is not a number" },
        { "time-back", "1000\n999\n", "2: the time goes back" },
        { "empty-twice", "1000\n1000\n", "2: this scan is said to be empty" },
        { "empty-after-row", ROW "0\n", "2: this scan is said to be empty" },
        { "row-after-empty", "0\n" ROW, "2: this scan is said to be empty" },
        { "pid-missing", "0 \n", "1: the pid is missing" },
        { "pid-word", "0 x 100 R 9 n\n", "1: the pid is not a number" },
        { "pid-zero", "0 0 100 R 9 n\n", "1: the pid is 0" },
        { "pid-large", "0 2147483648 100 R 9 n\n", "1: the pid is not a number" },
        { "pid-twice", ROW ROW, "2: pid 5 is in this scan already" },
        { "start-missing", "0 5\n", "1: the start time is missing" },
        { "start-word", "0 5 y R 9 n\n", "1: the start time is not a number" },
        { "state-missing", "0 5 100\n", "1: the state is missing" },
        { "state-long", "0 5 100 RR 9 n\n", "1: the state is not one letter" },
        { "state-digit", "0 5 100 7 9 n\n", "1: the state is not one letter" },
        { "cpu-missing", "0 5 100 R\n", "1: the CPU time is missing" },
        { "cpu-word", "0 5 100 R z n\n", "1: the CPU time is not a number" },
        { "name-missing", "0 5 100 R 9\n", "1: the name is missing" },
        { "name-long", "0 5 100 R 9 kworker/0:1+0123456789012345678901234567890123456789012345678901\n",
          "1: the name is longer than the maximum of 63 bytes" },
        { "expect-unknown", "# expect wonders\n0\n", "1: wonders: unknown expectation" },
        { "expect-nothing", "# expect\n0\n", "1: expect: it has no value" },
        { "expect-more", "# expect not called ever\n0\n", "1: not called ever: unknown expectation" },
        { "called-word", "# expect called soon\n0\n", "1: soon: not a range" },
        { "called-one", "# expect called 5\n0\n", "1: 5: not a range" },
        { "called-turned", "# expect called 5..4\n0\n", "1: 5..4: not a range" },
        { "called-more", "# expect called 4..5 ms\n0\n", "1: 4..5 ms: not a range" },
        { "syncs-word", "# expect syncs few\n0\n", "1: few: not a range" },
        { "outcome-unknown", "# expect outcome fine\n0\n", "1: fine: unknown outcome" },
        { "no-stall", "# expect not called\n# expect each stall called 0..5\n0\n",
          "2: the trace marks no stall" },
        { "set-unknown", "# set Colour=red\n0\n", "1: Colour: unknown setting" },
        { "set-no-value", "# set Glob\n0\n", "1: Glob: it has no \"=\"" },
        { "set-invalid", "# set PollIntervalSec=1ms\n0\n", "1: " },
        { "cpus-none", "# cpus 0\n0\n", "1: the CPUs are not a number" },
        { "cpus-word", "# cpus two\n0\n", "1: the CPUs are not a number" },
        { "cured-word", "# cured-pids all\n0\n", "1: the pid is not a number" },
        { "stall-twice", "# 5 stall\n# 6 stall\n0\n", "2: the stall before has no end" },
        { "end-first", "# 5 end\n0\n", "1: no stall has begun" },
        { "stall-back", "# 5 stall\n# 4 end\n0\n", "2: the time goes back" },
};

static void test_malformed(gconstpointer data) {
        const Malformed *m = data;
        g_autofree char *error = NULL, *begin = g_strdup_printf("folder/a.trace:%s", m->reason);
        Trace *trace = NULL;

        g_assert_cmpint(trace_parse("folder/a.trace", m->text, strlen(m->text), &trace, &error), ==, -EINVAL);
        g_assert_null(trace);
        g_test_message("%s", error);
        g_assert_true(g_str_has_prefix(error, begin));
        g_assert_cmpuint(strlen(error), >, strlen("folder/a.trace:1: "));
}

static void test_nul(void) {
        static const char text[] = "0\n1000\0\n";
        g_autofree char *error = NULL;
        Trace *trace = NULL;

        g_assert_cmpint(trace_parse("a.trace", text, sizeof(text) - 1, &trace, &error), ==, -EINVAL);
        g_assert_cmpstr(error, ==, "a.trace:2: the line holds a NUL byte");
}

static void test_unreadable(void) {
        g_autofree char *error = NULL;
        Trace *trace = NULL;

        g_assert_cmpint(trace_load("/nonexistent/a.trace", &trace, &error), ==, -ENOENT);
        g_assert_cmpstr(error, ==, "/nonexistent/a.trace: No such file or directory");
}

/* Made traces */

typedef enum Kind {
        QUIET,   /* one worker spins for 2 s */
        PAIR,    /* two spin for 12 s */
        CROWD,   /* eight spin for 40 s */
        WAITING, /* one waits for 40 s */
        HOUR,    /* one spins for an hour */
        STALLS,  /* eight spin for 30 s, twice; a sync frees them */
        MISSED,  /* the same, but nothing runs the second time */
} Kind;

static void add_workers(GString *text, unsigned from_sec, unsigned to_sec, unsigned n, char state) {
        for (unsigned sec = from_sec; sec < to_sec; sec++)
                for (unsigned i = 0; i < n; i++)
                        g_string_append_printf(
                                        text, "%u %u %u %c %u kworker/%u:1+inode_switch_wbs\n", sec * 1000,
                                        100 + 10 * from_sec + i, 1000 + i, state,
                                        state == 'R' ? sec * 90 : 40, i);
        for (unsigned sec = to_sec; sec < to_sec + 20; sec++)
                g_string_append_printf(text, "%u\n", sec * 1000);
}

static char *make_trace(Kind kind, const char *comment) {
        GString *text = g_string_new(comment);

        g_string_append(text, "\n# these words are for people\n#\n0\n1000\n2000\n");
        switch (kind) {
        case QUIET:
                add_workers(text, 3, 5, 1, 'R');
                break;
        case PAIR:
                add_workers(text, 3, 15, 2, 'R');
                break;
        case CROWD:
                add_workers(text, 3, 43, 8, 'R');
                break;
        case WAITING:
                add_workers(text, 3, 43, 1, 'D');
                break;
        case HOUR:
                add_workers(text, 3, 3603, 1, 'R');
                break;
        case STALLS:
        case MISSED:
                g_string_append(text, "# cured-pids 100\n# 3000 stall\n# 33000 end\n");
                add_workers(text, 3, 33, 8, 'R');
                g_string_append(text, "# 100000 stall\n# 130000 end\n");
                add_workers(text, 100, 130, kind == STALLS ? 8 : 0, 'R');
                break;
        }

        return g_string_free(text, false);
}

static Trace *parse(const char *name, Kind kind, const char *comment) {
        g_autofree char *text = make_trace(kind, comment), *error = NULL;
        Trace *trace;

        if (trace_parse(name, text, strlen(text), &trace, &error) < 0)
                g_error("%s", error);

        return trace;
}

/* The expectation that does not hold, or NULL. */
static char *replay(Trace *trace, uint64_t phase_usec, bool events, ReplayResult *ret) {
        ReplayOptions options = { .phase_usec = phase_usec, .events = events };

        g_assert_cmpint(trace_replay(trace, &options, ret), ==, 0);
        return trace_check(trace, ret, events);
}

typedef struct Expected {
        const char *expectation;
        Kind kind;
        bool holds;
} Expected;

static const Expected expected[] = {
        { "not called", QUIET, true },
        { "not called", CROWD, false },
        { "called 0..9000", CROWD, true },
        { "called 0..500", CROWD, false },
        { "called 20000..30000", CROWD, false },
        { "called 0..9000", QUIET, false },
        { "syncs 0..0", QUIET, true },
        { "syncs 1..1", CROWD, true },
        { "syncs 0..0", CROWD, false },
        { "syncs 1..2", QUIET, false },
        { "each stall called 0..9000", STALLS, true },
        { "each stall called 0..500", STALLS, false },
        { "each stall called 8000..9000", STALLS, false },
        { "each stall called 0..9000", MISSED, false },
        { "outcome recovered", STALLS, true },
        { "outcome outlived", STALLS, false },
        { "outcome outlived", CROWD, true },
        { "outcome recovered", QUIET, false },
        { "waiting told", WAITING, true },
        { "waiting told", QUIET, false },
        { "useless told", HOUR, true },
        { "useless told", CROWD, false },
};

static void test_expectation(gconstpointer data) {
        const Expected *e = data;
        g_autofree char *comment = g_strdup_printf("# expect %s", e->expectation), *failed = NULL;
        _cleanup_(trace_freep) Trace *trace = parse("a.trace", e->kind, comment);
        ReplayResult result;

        g_assert_cmpuint(trace_n_expectations(trace), ==, 1);
        failed = replay(trace, 0, true, &result);
        g_assert_cmpstr(failed, ==, e->holds ? NULL : e->expectation);
}

/* All of them count, not just the first one. */
static void test_second_expectation(void) {
        _cleanup_(trace_freep) Trace *trace =
                        parse("a.trace", CROWD, "# expect called 0..9000\n# expect syncs 7..8");
        g_autofree char *failed = NULL;
        ReplayResult result;

        failed = replay(trace, 0, true, &result);
        g_assert_cmpstr(failed, ==, "syncs 7..8");
}

/* The name of a recorded trace has an expectation, unless the trace has its own. */
static void test_recorded(void) {
        static const struct {
                const char *name;
                Kind kind;
                const char *comment;
                const char *failed;
        } cases[] = {
                { "stall-a.trace", CROWD, "#", NULL },
                { "stall-a.trace", QUIET, "#", "called 0..5000, without events 0..20000" },
                { "stall-a-6.1.trace", QUIET, "#", "called 0..10000, without events 0..20000" },
                { "healthy-a.trace", QUIET, "#", NULL },
                { "healthy-a.trace", CROWD, "#", "not called" },
                { "churn-a.trace", CROWD, "#", "not called" },
                { "rescans-a.trace", CROWD, "#", "not called" },
                { "healthy-a.trace", CROWD, "# expect called 0..9000", NULL },
                { "stall-a.trace", CROWD, "# expect syncs 1..1", NULL },
                { "stall-a.trace", QUIET, "# expect not called", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(trace_freep) Trace *trace = parse(cases[i].name, cases[i].kind, cases[i].comment);
                g_autofree char *failed = NULL;
                ReplayResult result;

                failed = replay(trace, 0, true, &result);
                g_assert_cmpstr(failed, ==, cases[i].failed);
        }
}

static void test_usual(void) {
        _cleanup_(trace_freep) Trace *stall = parse("stall-a.trace", CROWD, "#"),
                                     *old = parse("stall-a-6.1.trace", CROWD, "#"),
                                     *made = parse("a.trace", CROWD, "# expect called 0..9000");

        g_assert_cmpuint(trace_usual_usec(stall), ==, 15 * USEC_PER_SEC);
        g_assert_cmpuint(trace_usual_usec(old), ==, 18 * USEC_PER_SEC);
        g_assert_cmpuint(trace_usual_usec(made), ==, USEC_INFINITY);
}

/* Without thread creation events the next idle scan finds the workers, 10 s after the one before. */
static void test_events(void) {
        _cleanup_(trace_freep) Trace *trace = parse("a.trace", CROWD, "# expect called 0..5000");
        g_autofree char *with = NULL, *without = NULL, *strict = NULL;
        ReplayResult result;

        with = replay(trace, 8 * USEC_PER_SEC, true, &result);
        g_assert_null(with);

        without = replay(trace, 8 * USEC_PER_SEC, false, &result);
        g_assert_null(without);
        g_assert_cmpuint(result.called_usec, >=, 9 * USEC_PER_SEC);
        strict = trace_check(trace, &result, true);
        g_assert_cmpstr(strict, ==, "called 0..5000");
}

/* Of a recorded trace, a thread that was started before the trace begins makes no event: the idle scan after
 * 10 s finds it. In a made one each thread is created when it is first seen. */
static void test_started(void) {
        static const struct {
                const char *name;
                unsigned start; /* ticks; the trace begins at 900000 */
                bool has_event;
        } cases[] = {
                { "stall-a.trace", 1000, false },
                { "stall-a.trace", 900300, true },
                { "a.trace", 1000, true },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autoptr(GString) text = g_string_new("0 7 900000 I 1 kworker/0:1-inode_switch_wbs\n");
                _cleanup_(trace_freep) Trace *trace = NULL;
                g_autofree char *error = NULL, *failed = NULL;
                ReplayResult result;

                for (unsigned sec = 3; sec < 40; sec++)
                        for (unsigned pid = 8; pid < 12; pid++)
                                g_string_append_printf(
                                                text, "%u %u %u R %u kworker/0:1+inode_switch_wbs\n",
                                                sec * 1000, pid, cases[i].start, sec * 90);

                g_assert_cmpint(trace_parse(cases[i].name, text->str, text->len, &trace, &error), ==, 0);
                failed = replay(trace, 0, true, &result);
                g_assert_true(result.called);
                if (cases[i].has_event)
                        g_assert_cmpuint(result.called_usec, <, 7 * USEC_PER_SEC);
                else
                        g_assert_cmpuint(result.called_usec, >=, 7 * USEC_PER_SEC);
        }
}

static bool is_called(const char *name, Kind kind, const char *comment, const char *assignment) {
        _cleanup_(trace_freep) Trace *trace = parse(name, kind, comment);
        g_autofree char *failed = NULL;
        ReplayResult result;

        if (assignment)
                set(trace, assignment);
        failed = replay(trace, 0, true, &result);
        return result.called;
}

static void test_cpus(void) {
        g_assert_true(is_called("a.trace", PAIR, "#", NULL));
        g_assert_false(is_called("a.trace", PAIR, "# cpus 4", NULL));
        g_assert_false(is_called("churn-a-4cpu.trace", PAIR, "#", NULL));
        g_assert_true(is_called("churn-a-4cpu.trace", PAIR, "# cpus 2", NULL));
}

static void test_settings(void) {
        g_assert_true(is_called("a.trace", CROWD, "#", NULL));
        g_assert_false(is_called("a.trace", CROWD, "# set Glob=kworker/*+other", NULL));
        g_assert_false(is_called("a.trace", CROWD, "#", "Glob=kworker/*+other"));
        g_assert_true(is_called("a.trace", CROWD, "# set Glob=kworker/*+other", "Glob=kworker/*"));
}

static void test_methods(void) {
        static const char *const methods[] = { "auto", "sync", "syncfs" };

        for (size_t i = 0; i < ELEMENTSOF(methods); i++) {
                g_autofree char *comment = g_strdup_printf(
                                "# set SyncMethod=%s\n# expect syncs 2..2\n# expect outcome recovered",
                                methods[i]);
                _cleanup_(trace_freep) Trace *trace = parse("a.trace", STALLS, comment);
                g_autofree char *failed = NULL;
                ReplayResult result;

                failed = replay(trace, 0, true, &result);
                g_assert_cmpstr(failed, ==, NULL);
        }
}

static void test_dry_run(void) {
        _cleanup_(trace_freep) Trace *trace = parse(
                        "a.trace", CROWD, "# set DryRun=yes\n# expect syncs 0..0\n# expect outcome cleared");
        g_autofree char *failed = NULL;
        ReplayResult result;

        failed = replay(trace, 0, true, &result);
        g_assert_cmpstr(failed, ==, NULL);
}

static void collect_note(int64_t time_msec, const char *text, void *userdata) {
        g_string_append_printf(userdata, "%" PRId64 " %s\n", time_msec, text);
}

/* Each decision is reported, in the order of time. */
static void test_notes(void) {
        _cleanup_(trace_freep) Trace *trace = parse("a.trace", STALLS, "#");
        g_autoptr(GString) notes = g_string_new(NULL);
        ReplayOptions options = { .events = true, .note = collect_note, .userdata = notes };
        g_auto(GStrv) lines = NULL;
        ReplayResult result;
        int64_t last_msec = 0;

        g_assert_cmpint(trace_replay(trace, &options, &result), ==, 0);
        g_assert_nonnull(strstr(notes->str, " episode 1 began: work inode_switch_wbs, rule crowd, "));
        g_assert_nonnull(strstr(notes->str, " sync 1 started: rule crowd\n"));
        g_assert_nonnull(strstr(notes->str, " sync 1 ended\n"));
        g_assert_nonnull(strstr(notes->str, " sync 1 helped: yes\n"));
        g_assert_nonnull(strstr(notes->str, " episode 2 ended: recovered, 1 syncs\n"));

        lines = g_strsplit(notes->str, "\n", -1);
        for (size_t i = 0; lines[i] && *lines[i]; i++) {
                int64_t msec = g_ascii_strtoll(lines[i], NULL, 10);

                g_assert_cmpint(msec, >=, last_msec);
                last_msec = msec;
        }
}

/* The program */

typedef struct Output {
        char *out, *error;
        int status;
} Output;

static void output_clear(Output *output) {
        g_free(output->out);
        g_free(output->error);
}

/* Writes a trace to a file of that name, and runs tests/replay on it. */
static Output run_program(const char *name, const char *text, const char *option) {
        g_autoptr(GError) error = NULL;
        g_autofree char *folder = g_dir_make_tmp("corpus-XXXXXX", &error),
                        *path = g_build_filename(folder, name, NULL),
                        *program = g_test_build_filename(G_TEST_BUILT, "replay", NULL);
        char *arguments[] = { program, path, (char *) option, NULL };
        Output output = {};
        int status;

        g_assert_true(g_file_set_contents(path, text, -1, &error));
        g_assert_true(
                        g_spawn_sync(NULL, arguments, NULL, G_SPAWN_DEFAULT, NULL, NULL, &output.out,
                                     &output.error, &status, &error));
        g_assert_true(WIFEXITED(status));
        output.status = WEXITSTATUS(status);
        g_test_message("%d: %s%s", output.status, output.out, output.error);
        g_assert_cmpint(g_unlink(path), ==, 0);
        g_assert_cmpint(g_rmdir(folder), ==, 0);
        return output;
}

static void test_program(void) {
        static const struct {
                const char *expectation, *option;
                int status;
                const char *end;
        } cases[] = {
                { "# expect called 0..9000", NULL, 0,
                  ", rule crowd, syncs 1, outcomes 1 outlived, waiting -, useless -, ok\n" },
                { "# expect not called", NULL, 1, ", useless -, FAILS: not called\n" },
                { "# expect not called", "--set=Glob=kworker/*+other", 0,
                  "a.trace: called never, rule -, syncs 0, outcomes -, waiting -, useless -, ok\n" },
                { "# expect called 0..9000", "--phase=8000", 0, ", useless -, ok\n" },
                { "# expect called 0..9000", "--no-events", 0, ", useless -, ok\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *text = make_trace(CROWD, cases[i].expectation);
                _cleanup_(output_clear) Output output = run_program("a.trace", text, cases[i].option);

                g_assert_cmpint(output.status, ==, cases[i].status);
                g_assert_true(g_str_has_suffix(output.out, cases[i].end));
                g_assert_cmpstr(output.error, ==, "");
        }
}

static void test_program_refuses(void) {
        static const struct {
                const char *text, *option, *error;
        } cases[] = {
                { "0\nx\n", NULL, "a.trace:2: the time is not a number" },
                { "0\n", "--set=Colour=red", "Colour: unknown setting" },
                { "0\n", "--set=PollIntervalSec=1ms", "1ms" },
                { "0\n", "--phase=soon", "--phase soon: not a number" },
                { "0\n", "--phase=-1", "--phase -1: not a number" },
                { "0\n", "--no-events=no", "no-events" },
                { "0\n", "--unknown", "unknown" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(output_clear) Output output =
                                run_program("a.trace", cases[i].text, cases[i].option);

                g_assert_cmpint(output.status, ==, 2);
                g_assert_nonnull(strstr(output.error, cases[i].error));
        }
}

static void add_tests(void) {
        for (size_t i = 0; i < ELEMENTSOF(malformed); i++) {
                g_autofree char *path = g_strdup_printf("/trace/malformed/%s", malformed[i].name);

                g_test_add_data_func(path, &malformed[i], test_malformed);
        }
        g_test_add_func("/trace/malformed/nul", test_nul);
        g_test_add_func("/trace/unreadable", test_unreadable);

        for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
                g_autofree char *path =
                                g_strdup_printf("/trace/expect/%s/%d/%s", expected[i].expectation,
                                                expected[i].kind, expected[i].holds ? "holds" : "fails");

                g_test_add_data_func(path, &expected[i], test_expectation);
        }
        g_test_add_func("/trace/expect/second", test_second_expectation);
        g_test_add_func("/trace/recorded", test_recorded);
        g_test_add_func("/trace/usual", test_usual);
        g_test_add_func("/trace/events", test_events);
        g_test_add_func("/trace/started", test_started);
        g_test_add_func("/trace/cpus", test_cpus);
        g_test_add_func("/trace/settings", test_settings);
        g_test_add_func("/trace/methods", test_methods);
        g_test_add_func("/trace/dry-run", test_dry_run);
        g_test_add_func("/trace/notes", test_notes);
        g_test_add_func("/replay/runs", test_program);
        g_test_add_func("/replay/refuses", test_program_refuses);
}

int main(int argc, char *argv[]) {
        g_autoptr(GPtrArray) corpus = NULL;
        g_autofree char *folder = NULL;

        g_test_init(&argc, &argv, NULL);
        folder = g_test_build_filename(G_TEST_DIST, "corpus", NULL);
        corpus = load_corpus(folder);

        add_tests();
        add_corpus(corpus);

        return g_test_run();
}
