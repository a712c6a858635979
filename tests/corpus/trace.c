/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Traces: see trace.h, and corpus/README.md for the format. */

#include "trace.h"

#include <assert.h>
#include <fnmatch.h>
#include <glib.h>
#include <inttypes.h>
#include <stdio.h>

/* The trace begins this long after the fake machine was started, and at this time of the real-time clock. */
#define BASE_USEC USEC_PER_HOUR
#define BASE_REALTIME_USEC (UINT64_C(1700000000) * USEC_PER_SEC)

#define TICK_USEC (10 * USEC_PER_MSEC)

/* The model of a sync: the filesystems answer after this time, and so does sync(2). */
#define SYNC_USEC (500 * USEC_PER_MSEC)

/* The expectations of recorded traces, by their names. */
#define RECORDED_USEC (5 * USEC_PER_SEC)
#define RECORDED_USUAL_USEC (15 * USEC_PER_SEC)
#define RECORDED_WITHOUT_EVENTS_USEC (20 * USEC_PER_SEC)
#define RECORDED_6_1_USEC (10 * USEC_PER_SEC)
#define RECORDED_6_1_USUAL_USEC (18 * USEC_PER_SEC)

/* A time in a trace. Larger ones are typing errors. */
#define TIME_MSEC_MAX (UINT64_C(366) * USEC_PER_DAY / USEC_PER_MSEC)

#define CPUS_MAX 8192

/* More scans than this at the same instant mean that the engine does not advance. */
#define SCANS_AT_ONCE_MAX 4

typedef struct TraceScan {
        uint64_t time_usec;
        size_t first, n; /* rows */
} TraceScan;

typedef enum RowKind {
        ROW_OTHER,    /* idle, or does not matter */
        ROW_MATCHING, /* runs, and its name matches */
        ROW_SPINNING, /* spins in another work */
} RowKind;

typedef struct TraceStall {
        uint64_t begin_usec, end_usec;
} TraceStall;

typedef enum ExpectationType {
        EXPECT_NOT_CALLED,
        EXPECT_CALLED,
        EXPECT_SYNCS,
        EXPECT_EACH_STALL,
        EXPECT_OUTCOME,
        EXPECT_WAITING,
        EXPECT_USELESS,
} ExpectationType;

typedef struct Expectation {
        ExpectationType type;
        unsigned line;
        bool recorded;      /* by its name: it has separate bounds without thread creation events */
        uint64_t low, high; /* milliseconds, or syncs */
        uint64_t usual_msec, without_events_msec; /* recorded: see trace_usual_usec() */
        EpisodeOutcome outcome;
        char *text;
} Expectation;

struct Trace {
        char *name;
        bool recorded; /* start times of its workers are real */
        unsigned n_cpus;
        uint64_t cured_pid; /* UINT64_MAX: none */
        Settings settings;
        GArray *rows;         /* Worker */
        GArray *kinds;        /* RowKind of each row, for this glob: */
        char *glob;           /* or NULL */
        GArray *matching;     /* Worker: the running ones whose name matches, */
        GArray *in_scans;     /* TraceScan: where they are in `matching`, for each scan */
        GArray *scans;        /* TraceScan */
        GArray *created;      /* uint64_t: when threads are created, sorted */
        GArray *stalls;       /* TraceStall */
        GArray *expectations; /* Expectation */
};

#define row_at(trace, i) (&g_array_index((trace)->rows, Worker, i))
#define scan_at(trace, i) (&g_array_index((trace)->scans, TraceScan, i))
#define stall_at(trace, i) (&g_array_index((trace)->stalls, TraceStall, i))
#define expectation_at(trace, i) (&g_array_index((trace)->expectations, Expectation, i))

static void expectation_clear(void *data) {
        g_free(((Expectation *) data)->text);
}

/* The number of CPUs from a name like `churn-4cpu.trace`. */
static unsigned cpus_of_name(const char *name) {
        const char *dash = strrchr(name, '-');
        unsigned n;
        int length = 0;

        if (dash && sscanf(dash, "-%4ucpu.trace%n", &n, &length) == 1 && length > 0 && n > 0)
                return n;

        return 2;
}

static bool name_is_recorded(const char *name) {
        static const char *const prefixes[] = { "stall-", "healthy-", "churn-", "rescans-" };

        for (size_t i = 0; i < ELEMENTSOF(prefixes); i++)
                if (g_str_has_prefix(name, prefixes[i]))
                        return true;

        return false;
}

static Trace *trace_new(const char *path) {
        Trace *trace = g_new0(Trace, 1);

        trace->name = g_path_get_basename(path);
        trace->recorded = name_is_recorded(trace->name);
        trace->n_cpus = cpus_of_name(trace->name);
        trace->cured_pid = UINT64_MAX;
        settings_init(&trace->settings);
        trace->rows = g_array_new(false, false, sizeof(Worker));
        trace->matching = g_array_new(false, false, sizeof(Worker));
        trace->kinds = g_array_new(false, true, sizeof(RowKind));
        trace->in_scans = g_array_new(false, true, sizeof(TraceScan));
        trace->scans = g_array_new(false, false, sizeof(TraceScan));
        trace->created = g_array_new(false, false, sizeof(uint64_t));
        trace->stalls = g_array_new(false, false, sizeof(TraceStall));
        trace->expectations = g_array_new(false, true, sizeof(Expectation));
        g_array_set_clear_func(trace->expectations, expectation_clear);
        return trace;
}

Trace *trace_free(Trace *trace) {
        if (!trace)
                return NULL;

        g_array_unref(trace->rows);
        g_array_unref(trace->matching);
        g_array_unref(trace->kinds);
        g_array_unref(trace->in_scans);
        g_array_unref(trace->scans);
        g_array_unref(trace->created);
        g_array_unref(trace->stalls);
        g_array_unref(trace->expectations);
        g_free(trace->glob);
        g_free(trace->name);
        g_free(trace);
        return NULL;
}

const char *trace_name(const Trace *trace) {
        return trace->name;
}

size_t trace_n_expectations(const Trace *trace) {
        return trace->expectations->len;
}

uint64_t trace_count_rows(const Trace *trace, uint64_t interval_usec) {
        uint64_t end_usec = scan_at(trace, trace->scans->len - 1)->time_usec;
        uint64_t rows_per_scan = 1 + trace->rows->len / trace->scans->len;

        return rows_per_scan * (1 + end_usec / interval_usec);
}

int trace_set(Trace *trace, const char *assignment, char **ret_error) {
        const char *equals = strchr(assignment, '=');
        g_autofree char *name = NULL;
        SettingId id;

        if (!equals) {
                *ret_error = g_strdup_printf("%s: it has no \"=\"", assignment);
                return -EINVAL;
        }

        name = g_strndup(assignment, (size_t) (equals - assignment));
        if (setting_from_key(name, &id) < 0 && setting_from_property(name, &id) < 0) {
                *ret_error = g_strdup_printf("%s: unknown setting", name);
                return -EINVAL;
        }

        return settings_set_text(&trace->settings, id, equals + 1, ORIGIN_COMMAND_LINE, ret_error) < 0
                               ? -EINVAL
                               : 0;
}

/* Parsing */

typedef struct Parser {
        Trace *trace;
        const char *path;
        unsigned line;
        bool in_stall;
        uint64_t mark_msec;
        char **ret_error;
} Parser;

_printf_(2, 3) static int fail(Parser *parser, const char *format, ...) {
        g_autofree char *reason = NULL;
        va_list arguments;

        va_start(arguments, format);
        reason = g_strdup_vprintf(format, arguments);
        va_end(arguments);

        *parser->ret_error = g_strdup_printf("%s:%u: %s", parser->path, parser->line, reason);
        return -EINVAL;
}

/* Reads digits at *text, and moves it to the end of them. */
static bool read_number(const char **text, uint64_t maximum, uint64_t *ret) {
        char *end;
        uint64_t n;

        if (!g_ascii_isdigit(**text))
                return false;

        errno = 0;
        n = g_ascii_strtoull(*text, &end, 10);
        if (errno != 0 || n > maximum)
                return false;

        *text = end;
        *ret = n;
        return true;
}

static bool read_only_number(const char *text, uint64_t maximum, uint64_t *ret) {
        uint64_t n;

        if (!read_number(&text, maximum, &n) || *text != '\0')
                return false;

        *ret = n;
        return true;
}

/* Reads "A..B". */
static bool read_range(const char *text, uint64_t *ret_low, uint64_t *ret_high) {
        uint64_t low, high;

        if (!read_number(&text, TIME_MSEC_MAX, &low) || !g_str_has_prefix(text, ".."))
                return false;
        text += strlen("..");
        if (!read_number(&text, TIME_MSEC_MAX, &high) || *text != '\0' || low > high)
                return false;

        *ret_low = low;
        *ret_high = high;
        return true;
}

/* Reads a number field and the blank after it. */
static int read_field(Parser *parser, const char **text, const char *what, uint64_t maximum, uint64_t *ret) {
        uint64_t n;

        if (**text == '\0')
                return fail(parser, "the %s is missing", what);
        if (!read_number(text, maximum, &n) || (**text != ' ' && **text != '\0'))
                return fail(parser, "the %s is not a number from 0 to %" PRIu64, what, maximum);
        if (**text == ' ')
                (*text)++;

        *ret = n;
        return 0;
}

static int read_state(Parser *parser, const char **text, char *ret) {
        if (**text == '\0')
                return fail(parser, "the state is missing");
        if (!g_ascii_isalpha((*text)[0]) || ((*text)[1] != ' ' && (*text)[1] != '\0'))
                return fail(parser, "the state is not one letter");

        *ret = (*text)[0];
        *text += (*text)[1] == ' ' ? 2 : 1;
        return 0;
}

static int read_name(Parser *parser, const char *text, Worker *worker) {
        if (*text == '\0')
                return fail(parser, "the name is missing");
        if (g_strlcpy(worker->name, text, sizeof(worker->name)) >= sizeof(worker->name))
                return fail(parser, "the name is longer than the maximum of %d bytes", WORKER_NAME_MAX);

        return 0;
}

static int read_worker(Parser *parser, const char *text, Worker *worker) {
        uint64_t pid, ticks;
        int r;

        r = read_field(parser, &text, "pid", INT32_MAX, &pid);
        if (r < 0)
                return r;
        if (pid == 0)
                return fail(parser, "the pid is 0");
        r = read_field(parser, &text, "start time", UINT64_MAX / TICK_USEC, &worker->start_time);
        if (r < 0)
                return r;
        r = read_state(parser, &text, &worker->state);
        if (r < 0)
                return r;
        r = read_field(parser, &text, "CPU time", UINT64_MAX / TICK_USEC, &ticks);
        if (r < 0)
                return r;

        worker->pid = (pid_t) pid;
        worker->cpu_usec = ticks * TICK_USEC;
        return read_name(parser, text, worker);
}

/* Appends a row to the last scan. Within a scan they are sorted by pid, mostly in the file already. */
static int add_row(Parser *parser, const Worker *worker) {
        Trace *trace = parser->trace;
        TraceScan *scan = scan_at(trace, trace->scans->len - 1);
        size_t at = scan->first + scan->n;

        while (at > scan->first && row_at(trace, at - 1)->pid > worker->pid)
                at--;
        if (at > scan->first && row_at(trace, at - 1)->pid == worker->pid)
                return fail(parser, "pid %d is in this scan already", worker->pid);

        g_array_insert_val(trace->rows, at, *worker);
        scan->n++;
        return 0;
}

static int read_scan_line(Parser *parser, const char *text) {
        Trace *trace = parser->trace;
        TraceScan *last = trace->scans->len > 0 ? scan_at(trace, trace->scans->len - 1) : NULL;
        Worker worker = {};
        uint64_t msec;
        bool is_new, empty;
        int r;

        r = read_field(parser, &text, "time", TIME_MSEC_MAX, &msec);
        if (r < 0)
                return r;

        if (last && msec * USEC_PER_MSEC < last->time_usec)
                return fail(parser, "the time goes back");

        empty = *text == '\0';
        if (empty && text[-1] == ' ')
                return fail(parser, "the pid is missing");
        is_new = !last || msec * USEC_PER_MSEC > last->time_usec;
        if (!is_new && (empty || last->n == 0))
                return fail(parser, "this scan is said to be empty, and is in the trace twice");
        if (!empty) {
                r = read_worker(parser, text, &worker);
                if (r < 0)
                        return r;
        }

        if (is_new) {
                TraceScan scan = { .time_usec = msec * USEC_PER_MSEC, .first = trace->rows->len };

                g_array_append_val(trace->scans, scan);
        }

        return empty ? 0 : add_row(parser, &worker);
}

static int read_outcome(Parser *parser, const char *text, EpisodeOutcome *ret) {
        for (EpisodeOutcome outcome = OUTCOME_ONGOING; outcome <= OUTCOME_OUTLIVED; outcome++)
                if (streq(text, episode_outcome_to_string(outcome))) {
                        *ret = outcome;
                        return 0;
                }

        return fail(parser, "%s: unknown outcome", text);
}

typedef struct ExpectationForm {
        const char *begin;
        ExpectationType type;
        bool has_value;
} ExpectationForm;

static const ExpectationForm *find_form(const char *text) {
        static const ExpectationForm forms[] = {
                { "not called", EXPECT_NOT_CALLED, false },
                { "called ", EXPECT_CALLED, true },
                { "syncs ", EXPECT_SYNCS, true },
                { "outcome ", EXPECT_OUTCOME, true },
                { "each stall called ", EXPECT_EACH_STALL, true },
                { "waiting told", EXPECT_WAITING, false },
                { "useless told", EXPECT_USELESS, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(forms); i++)
                if (forms[i].has_value ? g_str_has_prefix(text, forms[i].begin) : streq(text, forms[i].begin))
                        return &forms[i];

        return NULL;
}

static int read_expectation(Parser *parser, const char *text) {
        const ExpectationForm *form = find_form(text);
        Expectation expectation = { .line = parser->line };

        if (!form)
                return fail(parser, "%s: unknown expectation", text);

        expectation.type = form->type;
        if (form->type == EXPECT_OUTCOME) {
                int r = read_outcome(parser, text + strlen(form->begin), &expectation.outcome);

                if (r < 0)
                        return r;
        } else if (form->has_value &&
                   !read_range(text + strlen(form->begin), &expectation.low, &expectation.high))
                return fail(parser, "%s: not a range A..B of numbers", text + strlen(form->begin));

        expectation.text = g_strdup(text);
        g_array_append_val(parser->trace->expectations, expectation);
        return 0;
}

static int read_cpus(Parser *parser, const char *text) {
        uint64_t n;

        if (!read_only_number(text, CPUS_MAX, &n) || n == 0)
                return fail(parser, "the CPUs are not a number from 1 to %d", CPUS_MAX);

        parser->trace->n_cpus = (unsigned) n;
        return 0;
}

static int read_cured_pids(Parser *parser, const char *text) {
        if (!read_only_number(text, INT32_MAX, &parser->trace->cured_pid))
                return fail(parser, "the pid is not a number from 0 to %" PRId32, INT32_MAX);

        return 0;
}

static int read_setting(Parser *parser, const char *text) {
        g_autofree char *error = NULL;

        if (trace_set(parser->trace, text, &error) < 0)
                return fail(parser, "%s", error ?: "out of memory");

        return 0;
}

static int read_mark(Parser *parser, uint64_t msec, bool begins) {
        Trace *trace = parser->trace;

        if (msec < parser->mark_msec)
                return fail(parser, "the time goes back");
        if (begins == parser->in_stall)
                return fail(parser, begins ? "the stall before has no end" : "no stall has begun");

        parser->mark_msec = msec;
        parser->in_stall = begins;
        if (begins) {
                TraceStall stall = { .begin_usec = msec * USEC_PER_MSEC, .end_usec = USEC_INFINITY };

                g_array_append_val(trace->stalls, stall);
        } else
                stall_at(trace, trace->stalls->len - 1)->end_usec = msec * USEC_PER_MSEC;

        return 0;
}

/* A comment has no meaning unless it begins with a known word. */
static int read_comment(Parser *parser, const char *text) {
        static const struct {
                const char *begin;
                int (*read)(Parser *parser, const char *text);
        } kinds[] = {
                { "expect", read_expectation },
                { "cpus", read_cpus },
                { "set", read_setting },
                { "cured-pids", read_cured_pids },
        };
        uint64_t msec;

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                size_t length = strlen(kinds[i].begin);

                if (g_str_has_prefix(text, kinds[i].begin) && text[length] == ' ')
                        return kinds[i].read(parser, text + length + 1);
                if (streq(text, kinds[i].begin))
                        return fail(parser, "%s: it has no value", text);
        }

        if (read_number(&text, TIME_MSEC_MAX, &msec) && (streq(text, " stall") || streq(text, " end")))
                return read_mark(parser, msec, streq(text, " stall"));

        return 0;
}

static int read_line(Parser *parser, const char *text) {
        if (*text == '\0')
                return fail(parser, "the line is empty");
        if (*text != '#')
                return read_scan_line(parser, text);
        if (text[1] == ' ')
                return read_comment(parser, text + 2);

        return 0;
}

static int read_lines(Parser *parser, const char *text, size_t size) {
        for (size_t at = 0; at < size;) {
                const char *newline = memchr(text + at, '\n', size - at);
                size_t length = newline ? (size_t) (newline - (text + at)) : size - at;
                g_autofree char *line = g_strndup(text + at, length);
                int r;

                parser->line++;
                if (strlen(line) < length)
                        return fail(parser, "the line holds a NUL byte");
                r = read_line(parser, line);
                if (r < 0)
                        return r;
                at += length + 1;
        }

        return 0;
}

/* Checks the whole trace. */
static int check_whole(Parser *parser) {
        Trace *trace = parser->trace;

        if (trace->scans->len == 0) {
                parser->line++;
                return fail(parser, "there is no scan");
        }

        for (size_t i = 0; i < trace->expectations->len; i++)
                if (expectation_at(trace, i)->type == EXPECT_EACH_STALL && trace->stalls->len == 0) {
                        parser->line = expectation_at(trace, i)->line;
                        return fail(parser, "the trace marks no stall");
                }

        return 0;
}

static bool trace_says_when_called(const Trace *trace) {
        for (size_t i = 0; i < trace->expectations->len; i++) {
                ExpectationType type = expectation_at(trace, i)->type;

                if (type == EXPECT_NOT_CALLED || type == EXPECT_CALLED || type == EXPECT_EACH_STALL)
                        return true;
        }

        return false;
}

/* The expectation of a recorded trace without its own. */
static void expect_by_name(Trace *trace) {
        Expectation expectation = { .recorded = true };

        if (!trace->recorded || trace_says_when_called(trace))
                return;

        if (g_str_has_prefix(trace->name, "stall-")) {
                bool is_6_1 = strstr(trace->name, "-6.1") != NULL;

                expectation.type = EXPECT_CALLED;
                expectation.high = (is_6_1 ? RECORDED_6_1_USEC : RECORDED_USEC) / USEC_PER_MSEC;
                expectation.usual_msec =
                                (is_6_1 ? RECORDED_6_1_USUAL_USEC : RECORDED_USUAL_USEC) / USEC_PER_MSEC;
                expectation.without_events_msec = RECORDED_WITHOUT_EVENTS_USEC / USEC_PER_MSEC;
                expectation.text =
                                g_strdup_printf("called 0..%" PRIu64 ", without events 0..%" PRIu64,
                                                expectation.high, expectation.without_events_msec);
        } else {
                expectation.type = EXPECT_NOT_CALLED;
                expectation.text = g_strdup("not called");
        }
        g_array_append_val(trace->expectations, expectation);
}

/* When threads were created */

static int compare_times(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return (x > y) - (x < y);
}

static unsigned worker_hash(const void *data) {
        const Worker *worker = data;

        return (unsigned) worker->pid * 31 + (unsigned) worker->start_time;
}

static int worker_equal(const void *a, const void *b) {
        return worker_same(a, b);
}

/* Calls back for each thread, with the first scan that saw it. */
static void trace_for_threads(
                Trace *trace,
                void (*callback)(
                                Trace *trace,
                                const Worker *worker,
                                uint64_t seen_usec,
                                int64_t *offset_usec),
                int64_t *offset_usec) {

        g_autoptr(GHashTable) seen = g_hash_table_new(worker_hash, worker_equal);

        for (size_t i = 0; i < trace->scans->len; i++) {
                const TraceScan *scan = scan_at(trace, i);

                for (size_t k = scan->first; k < scan->first + scan->n; k++)
                        if (g_hash_table_add(seen, row_at(trace, k)))
                                callback(trace, row_at(trace, k), scan->time_usec, offset_usec);
        }
}

static void bound_offset(Trace *trace, const Worker *worker, uint64_t seen_usec, int64_t *offset_usec) {
        *offset_usec = MIN(*offset_usec, (int64_t) seen_usec - (int64_t) (worker->start_time * TICK_USEC));
}

static void note_created(Trace *trace, const Worker *worker, uint64_t seen_usec, int64_t *offset_usec) {
        int64_t created_usec = (int64_t) seen_usec;

        if (trace->recorded)
                created_usec = (int64_t) (worker->start_time * TICK_USEC) + *offset_usec;
        if (created_usec > (int64_t) scan_at(trace, 0)->time_usec) {
                uint64_t usec = (uint64_t) created_usec;

                g_array_append_val(trace->created, usec);
        }
}

/* The start times of a recorded trace count from an unknown time. No thread started after it was seen, so
 * that this time is known to the interval of the scans. Those of made traces mean nothing: there each thread
 * is created when it is first seen. */
static void find_created(Trace *trace) {
        int64_t offset_usec = INT64_MAX;

        trace_for_threads(trace, bound_offset, &offset_usec);
        trace_for_threads(trace, note_created, &offset_usec);
        g_array_sort(trace->created, compare_times);
}

int trace_parse(const char *path, const char *text, size_t size, Trace **ret, char **ret_error) {
        _cleanup_(trace_freep) Trace *trace = trace_new(path);
        Parser parser = { .trace = trace, .path = path, .ret_error = ret_error };
        int r;

        r = read_lines(&parser, text, size);
        if (r < 0)
                return r;
        r = check_whole(&parser);
        if (r < 0)
                return r;

        expect_by_name(trace);
        find_created(trace);

        *ret = TAKE_POINTER(trace);
        return 0;
}

int trace_load(const char *path, Trace **ret, char **ret_error) {
        g_autofree char *text = NULL;
        g_autoptr(GError) error = NULL;
        gsize size;

        if (access(path, R_OK) < 0) {
                int r = -errno;

                *ret_error = g_strdup_printf("%s: %s", path, errno_text(-r));
                return r;
        }
        if (!g_file_get_contents(path, &text, &size, &error)) {
                *ret_error = g_strdup_printf("%s: %s", path, error->message);
                return -EIO;
        }

        return trace_parse(path, text, size, ret, ret_error);
}

/* Replaying */

static RowKind kind_of(const Worker *worker, const char *glob) {
        if (!worker_name_work(worker->name))
                return ROW_OTHER;
        if (fnmatch(glob, worker->name, FNM_EXTMATCH) == 0)
                return ROW_MATCHING;

        return worker_spins(worker) ? ROW_SPINNING : ROW_OTHER;
}

/* Determines which workers match the glob in effect. */
static void trace_select(Trace *trace) {
        if (trace->glob && streq(trace->glob, trace->settings.glob))
                return;

        g_free(trace->glob);
        trace->glob = g_strdup(trace->settings.glob);
        g_array_set_size(trace->kinds, trace->rows->len);
        g_array_set_size(trace->in_scans, trace->scans->len);
        g_array_set_size(trace->matching, 0);

        for (size_t i = 0; i < trace->scans->len; i++) {
                const TraceScan *scan = scan_at(trace, i);
                TraceScan *found = &g_array_index(trace->in_scans, TraceScan, i);

                *found = (TraceScan){ .time_usec = scan->time_usec, .first = trace->matching->len };
                for (size_t k = scan->first; k < scan->first + scan->n; k++) {
                        RowKind kind = kind_of(row_at(trace, k), trace->glob);

                        g_array_index(trace->kinds, RowKind, k) = kind;
                        if (kind == ROW_MATCHING)
                                g_array_append_val(trace->matching, *row_at(trace, k));
                }
                found->n = trace->matching->len - found->first;
        }
}

/* When the first worker runs whose name matches, or USEC_INFINITY. */
static uint64_t trace_first_running_usec(const Trace *trace) {
        for (size_t i = 0; i < trace->in_scans->len; i++)
                if (g_array_index(trace->in_scans, TraceScan, i).n > 0)
                        return scan_at(trace, i)->time_usec;

        return USEC_INFINITY;
}

typedef struct Replay {
        const Trace *trace;
        const ReplayOptions *options;
        ReplayResult *result;
        Engine *engine;
        EngineEvents events;
        uint64_t now_usec;   /* CLOCK_MONOTONIC */
        uint64_t begin_usec; /* when the trace begins */
        size_t n_scans;      /* of the trace, up to now: the last one holds */
        size_t n_created;    /* threads, up to now */
        size_t n_answered;   /* stalls that were detected */
        uint64_t first_running_usec;
        uint64_t filesystems_usec, sync_usec; /* when they answer; USEC_INFINITY */
        uint64_t cured_until_usec;
        unsigned n_scans_at_once;
        GArray *workers, *others; /* of a scan, when not all are handed over */
} Replay;

static Moment replay_now(const Replay *replay) {
        return (Moment){
                .monotonic_usec = replay->now_usec,
                .realtime_usec = BASE_REALTIME_USEC + replay->now_usec,
        };
}

/* In the trace. Before it begins there is no worker, and no decision. */
static uint64_t replay_time_usec(const Replay *replay) {
        return usec_subtract(replay->now_usec, replay->begin_usec);
}

_printf_(2, 3) static void note(Replay *replay, const char *format, ...) {
        g_autofree char *text = NULL;
        va_list arguments;

        if (!replay->options->note)
                return;

        va_start(arguments, format);
        text = g_strdup_vprintf(format, arguments);
        va_end(arguments);

        replay->options->note(
                        ((int64_t) replay->now_usec - (int64_t) replay->begin_usec) / (int64_t) USEC_PER_MSEC,
                        text, replay->options->userdata);
}

/* The scan of the trace that holds at this time, or NULL before the first. */
static const TraceScan *replay_scan(Replay *replay, const GArray *scans) {
        if (replay->now_usec < replay->begin_usec)
                return NULL;

        while (replay->n_scans < scans->len &&
               g_array_index(scans, TraceScan, replay->n_scans).time_usec <= replay_time_usec(replay))
                replay->n_scans++;

        return replay->n_scans > 0 ? &g_array_index(scans, TraceScan, replay->n_scans - 1) : NULL;
}

static bool replay_is_cured(const Replay *replay, const Worker *worker) {
        return replay_time_usec(replay) < replay->cured_until_usec &&
               (uint64_t) worker->pid >= replay->trace->cured_pid;
}

static void replay_find_workers(Replay *replay, const Worker **ret, size_t *ret_n) {
        const TraceScan *scan = replay_scan(replay, replay->trace->in_scans);
        const Worker *workers;

        *ret = NULL;
        *ret_n = 0;
        if (!scan || scan->n == 0)
                return;

        workers = &g_array_index(replay->trace->matching, Worker, scan->first);
        if (replay_time_usec(replay) >= replay->cured_until_usec) {
                *ret = workers;
                *ret_n = scan->n;
                return;
        }

        g_array_set_size(replay->workers, 0);
        for (size_t i = 0; i < scan->n; i++)
                if (!replay_is_cured(replay, &workers[i]))
                        g_array_append_val(replay->workers, workers[i]);
        *ret = (const Worker *) (const void *) replay->workers->data;
        *ret_n = replay->workers->len;
}

static void replay_note_others(Replay *replay) {
        const Trace *trace = replay->trace;
        const TraceScan *scan = replay_scan(replay, trace->scans);

        if (!scan || !engine_episode(replay->engine))
                return;

        g_array_set_size(replay->others, 0);
        for (size_t i = scan->first; i < scan->first + scan->n; i++)
                if (g_array_index(trace->kinds, RowKind, i) == ROW_SPINNING &&
                    !replay_is_cured(replay, row_at(trace, i)))
                        g_array_append_val(replay->others, *row_at(trace, i));
        if (replay->others->len > 0)
                engine_note_others(
                                replay->engine, (const Worker *) (const void *) replay->others->data,
                                replay->others->len);
}

static void replay_detected(Replay *replay) {
        const Episode *episode = &replay->events.episode;
        ReplayResult *result = replay->result;
        uint64_t time_usec = replay_time_usec(replay);

        note(replay, "episode %" PRIu64 " began: work %s, rule %s, %u spinning, %u waiting", episode->id,
             episode->work, engine_rule_to_string(episode->rule), engine_n_spinning(replay->engine),
             engine_n_waiting(replay->engine));

        if (!result->called) {
                result->called = true;
                result->called_usec = usec_subtract(time_usec, replay->first_running_usec);
                result->rule = episode->rule;
        }

        while (replay->n_answered < replay->trace->stalls->len) {
                uint64_t begin_usec = stall_at(replay->trace, replay->n_answered)->begin_usec;

                if (begin_usec > time_usec)
                        break;
                result->first_stall_usec = MIN(result->first_stall_usec, time_usec - begin_usec);
                result->last_stall_usec = MAX(result->last_stall_usec, time_usec - begin_usec);
                replay->n_answered++;
        }
}

static void replay_start_sync(Replay *replay, const Sync *sync) {
        note(replay, "sync %" PRIu64 " started: rule %s%s", sync->id,
             sync->rule == RULE_NONE ? "none" : engine_rule_to_string(sync->rule),
             sync->dry_run ? ", dry run" : "");

        if (sync->dry_run) {
                engine_sync_ended(replay->engine, replay_now(replay), SYNC_PENDING, &replay->events);
                return;
        }

        if (sync->rule != RULE_NONE)
                replay->result->n_syncs++;
        if (sync->method == SYNC_METHOD_SYNC)
                replay->sync_usec = replay->now_usec + SYNC_USEC;
        else
                replay->filesystems_usec = replay->now_usec + SYNC_USEC;
}

static void replay_confirm(Replay *replay) {
        const Worker *workers;
        size_t n;

        replay_find_workers(replay, &workers, &n);
        engine_confirm(replay->engine, replay_now(replay), workers, n, &replay->events);
}

static void replay_event(Replay *replay, const EngineEvent *event) {
        const Sync *sync = &event->sync;

        switch (event->type) {
        case EVENT_CONFIRM:
                replay_confirm(replay);
                break;
        case EVENT_UNCONFIRMED:
                note(replay, "not confirmed: no spinning worker any more");
                break;
        case EVENT_SYNC_STARTED:
                replay_start_sync(replay, sync);
                break;
        case EVENT_SYNC_EVERYTHING:
                note(replay, "sync %" PRIu64 ": everything", sync->id);
                replay->sync_usec = replay->now_usec + SYNC_USEC;
                break;
        case EVENT_SYNC_ENDED:
                note(replay, "sync %" PRIu64 " ended", sync->id);
                break;
        case EVENT_SYNC_JUDGED:
                note(replay, "sync %" PRIu64 " helped: %s", sync->id, sync_helped_to_string(sync->helped));
                break;
        case EVENT_SYNCS_UNHELPFUL:
                note(replay, "syncs do not help here");
                replay->result->useless_told = true;
                break;
        case EVENT_EPISODE_STARTED:
                replay_detected(replay);
                break;
        case EVENT_EPISODE_ENDED:
                note(replay, "episode %" PRIu64 " ended: %s, %u syncs", replay->events.episode.id,
                     episode_outcome_to_string(replay->events.episode.outcome),
                     replay->events.episode.sync_count);
                replay->result->n_outcomes[replay->events.episode.outcome]++;
                if (replay->options->episode)
                        replay->options->episode(&replay->events.episode, replay->options->userdata);
                break;
        case EVENT_WAITING:
                note(replay, "%u waiting, the longest for %" PRIu64 " ms", event->count,
                     event->usec / USEC_PER_MSEC);
                replay->result->waiting_told = true;
                break;
        case EVENT_STILL_PAUSED:
        case EVENT_STATE_CHANGED:
        case EVENT_PAUSE_CHANGED:
        case EVENT_INHIBITORS_CHANGED:
        case EVENT_UNHELPFUL_CHANGED:
                break;
        }
}

/* Handling an event may append more events. */
static void replay_events(Replay *replay) {
        for (size_t i = 0; i < replay->events.n; i++) {
                EngineEvent event = replay->events.events[i];

                replay_event(replay, &event);
        }
}

static void replay_scan_now(Replay *replay) {
        const Worker *workers;
        size_t n;

        replay_find_workers(replay, &workers, &n);
        engine_scan(replay->engine, replay_now(replay), workers, n, &replay->events);
        replay_events(replay);
        replay_note_others(replay);
}

/* Removes the workers of the ongoing stall until its end. */
static void replay_cure(Replay *replay) {
        uint64_t time_usec = replay_time_usec(replay);

        for (size_t i = 0; i < replay->trace->stalls->len; i++) {
                const TraceStall *stall = stall_at(replay->trace, i);

                if (time_usec >= stall->begin_usec && time_usec < stall->end_usec)
                        replay->cured_until_usec = stall->end_usec;
        }
}

static void replay_filesystems_synced(Replay *replay) {
        const FilesystemSync filesystem = {
                .mountpoint = "/",
                .type = "ext4",
                .duration_usec = SYNC_USEC,
                .result = FILESYSTEM_OK,
        };

        replay->filesystems_usec = USEC_INFINITY;
        replay_cure(replay);
        engine_filesystems_synced(
                        replay->engine, replay_now(replay), true, SYNC_OK, &filesystem, 1, &replay->events);
        replay_events(replay);
}

static void replay_sync_ended(Replay *replay) {
        replay->sync_usec = USEC_INFINITY;
        replay_cure(replay);
        engine_sync_ended(replay->engine, replay_now(replay), SYNC_OK, &replay->events);
        replay_events(replay);
}

/* When the next thread is created, or USEC_INFINITY. */
static uint64_t replay_created_usec(const Replay *replay) {
        if (!replay->options->events || replay->n_created == replay->trace->created->len)
                return USEC_INFINITY;

        return replay->begin_usec + g_array_index(replay->trace->created, uint64_t, replay->n_created);
}

/* Runs the next due action at its time. */
static void replay_step(Replay *replay, uint64_t next_usec) {
        if (next_usec > replay->now_usec) {
                replay->now_usec = next_usec;
                replay->n_scans_at_once = 0;
        }
        replay->events.n = 0;

        if (replay_created_usec(replay) <= replay->now_usec) {
                replay->n_created++;
                engine_thread_created(replay->engine, replay_now(replay));
        } else if (replay->filesystems_usec <= replay->now_usec)
                replay_filesystems_synced(replay);
        else if (replay->sync_usec <= replay->now_usec)
                replay_sync_ended(replay);
        else if (++replay->n_scans_at_once > SCANS_AT_ONCE_MAX)
                replay->result->frozen = true;
        else
                replay_scan_now(replay);
}

static uint64_t replay_next_usec(const Replay *replay) {
        bool exact;
        uint64_t next_usec = engine_wake_usec(replay->engine, &exact);

        next_usec = MIN(next_usec, replay->filesystems_usec);
        next_usec = MIN(next_usec, replay->sync_usec);
        return MIN(next_usec, replay_created_usec(replay));
}

static void replay_run(Replay *replay) {
        const Trace *trace = replay->trace;
        uint64_t end_usec = replay->begin_usec + scan_at(trace, trace->scans->len - 1)->time_usec;

        replay_scan_now(replay);
        for (;;) {
                uint64_t next_usec = replay_next_usec(replay);

                if (next_usec > end_usec || replay->result->frozen)
                        break;
                replay_step(replay, next_usec);
        }

        if (engine_episode(replay->engine))
                replay->result->n_outcomes[OUTCOME_ONGOING]++;
        if (replay->n_answered < trace->stalls->len)
                replay->result->last_stall_usec = USEC_INFINITY;
}

int trace_replay(Trace *trace, const ReplayOptions *options, ReplayResult *ret) {
        _cleanup_(engine_freep) Engine *engine = NULL;
        g_autoptr(GArray) workers = g_array_new(false, false, sizeof(Worker));
        g_autoptr(GArray) others = g_array_new(false, false, sizeof(Worker));
        g_autofree Replay *replay = g_new0(Replay, 1);
        ReplayResult result = { .first_stall_usec = USEC_INFINITY };
        int r;

        trace_select(trace);

        replay->trace = trace;
        replay->options = options;
        replay->result = &result;
        replay->now_usec = BASE_USEC;
        replay->begin_usec = BASE_USEC + options->phase_usec;
        replay->first_running_usec = trace_first_running_usec(trace);
        replay->filesystems_usec = replay->sync_usec = USEC_INFINITY;
        replay->workers = workers;
        replay->others = others;

        r = engine_new(&trace->settings, trace->n_cpus, replay_now(replay), &engine);
        if (r < 0)
                return r;
        replay->engine = engine;
        replay_run(replay);

        *ret = result;
        return 0;
}

/* Expectations */

static bool is_within(uint64_t value, uint64_t low, uint64_t high) {
        return value >= low && value <= high;
}

/* The latest detection, in milliseconds: without thread creation events an idle scan may come first. */
static uint64_t latest_msec(const Trace *trace, const Expectation *expectation, bool events) {
        if (events)
                return expectation->high;
        if (expectation->recorded)
                return expectation->without_events_msec;

        return expectation->high + trace->settings.idle_scan_interval_usec / USEC_PER_MSEC;
}

static bool outcomes_are_all(const ReplayResult *result, EpisodeOutcome outcome) {
        for (size_t i = 0; i < ELEMENTSOF(result->n_outcomes); i++)
                if (i != outcome && result->n_outcomes[i] > 0)
                        return false;

        return result->n_outcomes[outcome] > 0;
}

static bool expectation_holds(
                const Trace *trace,
                const Expectation *expectation,
                const ReplayResult *result,
                bool events) {

        uint64_t low_usec = expectation->low * USEC_PER_MSEC;

        switch (expectation->type) {
        case EXPECT_NOT_CALLED:
                return !result->called && result->n_syncs == 0;
        case EXPECT_CALLED:
                return result->called && is_within(result->called_usec, low_usec,
                                                   latest_msec(trace, expectation, events) * USEC_PER_MSEC);
        case EXPECT_SYNCS:
                return is_within(result->n_syncs, expectation->low, expectation->high);
        case EXPECT_EACH_STALL:
                return result->first_stall_usec >= low_usec &&
                       result->last_stall_usec <= latest_msec(trace, expectation, events) * USEC_PER_MSEC;
        case EXPECT_OUTCOME:
                return outcomes_are_all(result, expectation->outcome);
        case EXPECT_WAITING:
                return result->waiting_told;
        case EXPECT_USELESS:
                return result->useless_told;
        }

        return false;
}

char *trace_check(const Trace *trace, const ReplayResult *result, bool events) {
        if (result->frozen)
                return g_strdup("the next scan is in the future");

        for (size_t i = 0; i < trace->expectations->len; i++)
                if (!expectation_holds(trace, expectation_at(trace, i), result, events))
                        return g_strdup(expectation_at(trace, i)->text);

        return NULL;
}

uint64_t trace_usual_usec(const Trace *trace) {
        for (size_t i = 0; i < trace->expectations->len; i++)
                if (expectation_at(trace, i)->recorded && expectation_at(trace, i)->type == EXPECT_CALLED)
                        return expectation_at(trace, i)->usual_msec * USEC_PER_MSEC;

        return USEC_INFINITY;
}
