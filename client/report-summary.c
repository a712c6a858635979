/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "report-summary.h"

#include "terminal.h"

/* A section of the summary: lines of a part. */
typedef struct Section {
        const char *title, *file;
        const char *regex; /* which lines; NULL: all */
        bool from_end;     /* the last lines, else the first ones */
        size_t n_max;
        const char *none;   /* if there is no such line; NULL: no section then */
        bool is_substitute; /* only if the section before has no line */
} Section;

static const Section sections[] = {
        { "What runs now", "workers.txt", "^(?:SPINNING|[0-9]+ +[0-9]+ +[0-9]+ of )", false, 20,
          "No kernel worker runs." },
        { "The stalls that wbwatchd recorded: how they showed themselves, and what ended them",
          "episodes.txt", NULL, true, 12, "None is known." },
        { "What wbwatchd logged about them, newest first", "wbwatchd-log.txt",
          "[Ss]tuck|[Ss]ync|[Ss]tall|[Ww]aiting", false, 12, NULL },
        { "The last lines of the kernel about it (kernel-log.txt)", "kernel-log.txt", "inode_switch_wbs",
          true, 15, "None. That proves nothing: not all kernels log such lines." },
        { "The same of earlier starts, newest first", "kernel-log-earlier.txt", "inode_switch_wbs", false, 10,
          NULL, true },
        { "Its last lines about other stalls", "kernel-log.txt",
          "^(?!.*inode_switch_wbs).*(?:" REPORT_STALL_WORDS ")", true, 10, NULL },
        { "A queue that memory reclaim needs waits for one that may itself wait for memory: another bug",
          "kernel-log.txt", "WQ_MEM_RECLAIM", true, 3, NULL },
        { "Pressure: share of the time in which tasks waited", "pressure.txt", "some|full|pressure", false, 9,
          "The kernel does not show it." },
        { "Memory", "memory.txt", "^(?:MemTotal|MemAvailable|Dirty|Writeback):", false, 4, NULL },
        { "Memory reclaim since the start", "vmstat.txt", "^nr_vmscan_write |^allocstall_.* [1-9]", false, 8,
          NULL },
        { "Cgroups", "cgroups.txt", "^nr_(?:dying_)?descendants", false, 2,
          "None of version 2 was found in /sys/fs/cgroup." },
        { "Filesystems with cgroup writeback", "filesystems.txt", " (?:ext[234]|xfs|btrfs|f2fs) ", false, 12,
          "None was found." },
        { "Settings of writeback", "sysctls.txt", "/vm/dirty", false, 9, NULL },
        { "What wbctl doctor says", "doctor.txt", NULL, false, 60, NULL },
};

/* Copies up to n_max matching lines to out, indented. Returns how many there are. */
static size_t append_lines(const Section *section, const char *text, GString *out) {
        g_autoptr(GRegex) regex = g_regex_new(section->regex ?: "[^ ]", G_REGEX_RAW, 0, NULL);
        g_autoptr(GPtrArray) found = g_ptr_array_new();
        g_autofree char *copy = g_strdup(text);
        char *rest = copy;
        size_t first, n;

        for (char *line; (line = strsep(&rest, "\n"));)
                if (g_regex_match(regex, line, 0, NULL))
                        g_ptr_array_add(found, line);

        n = MIN(found->len, section->n_max);
        first = section->from_end ? found->len - n : 0;
        if (first > 0 && !section->regex) /* a table, with its head */
                g_string_append_printf(out, "    %s\n", (char *) found->pdata[0]);
        for (size_t i = first; i < first + n; i++)
                g_string_append_printf(out, "    %s\n", (char *) found->pdata[i]);
        if (found->len > n)
                g_string_append_printf(out, "    (%zu more in %s)\n", found->len - n, section->file);
        return n;
}

/* Returns whether the section has lines of its part. */
static bool append_section(const Section *section, const PartResult *results, GString *out) {
        const char *text = parts_text(results, section->file);
        g_autoptr(GString) lines = g_string_new(NULL);

        if (text && append_lines(section, text, lines) > 0) {
                g_string_append_printf(out, "\n%s:\n\n%s", section->title, lines->str);
                return true;
        }
        if (section->none)
                g_string_append_printf(
                                out, "\n%s:\n\n    %s\n", section->title,
                                text ? section->none : "Not known: see what is missing, below.");
        return false;
}

/* The first worker of this state that has a stack. */
static void append_stack(const char *workers, const char *state, GString *out) {
        g_autofree char *pattern = g_strdup_printf(
                        "(kworker/[^\n]*inode_switch_wbs \\(pid [0-9]+, state %s\\)\n)(?:[^\n]+\n)*?"
                        "stack: (\\[<[^\n]+(?:\n\\[<[^\n]+)*)",
                        state);
        g_autoptr(GRegex) regex = g_regex_new(pattern, G_REGEX_RAW, 0, NULL);
        g_autoptr(GMatchInfo) match = NULL;
        g_autofree char *name = NULL, *stack = NULL;
        g_auto(GStrv) calls = NULL;

        if (!g_regex_match(regex, workers, 0, &match))
                return;
        name = g_match_info_fetch(match, 1);
        stack = g_match_info_fetch(match, 2);
        calls = g_strsplit(stack, "\n", -1);
        g_string_append_printf(out, "    %s", name);
        for (char **call = calls; *call; call++)
                g_string_append_printf(out, "      %s\n", *call);
}

static void append_stacks(const PartResult *results, GString *out) {
        const char *workers = parts_text(results, "workers.txt");
        g_autoptr(GString) stacks = g_string_new(NULL);

        if (workers) {
                append_stack(workers, "R", stacks);
                append_stack(workers, "[^R]", stacks);
        }
        if (stacks->len > 0)
                g_string_append_printf(
                                out, "\nStacks of a spinning and of a waiting worker:\n\n%s", stacks->str);
}

static void append_sections(const PartResult *results, GString *out) {
        bool has_lines = false;

        for (size_t i = 0; i < ELEMENTSOF(sections); i++) {
                if (!sections[i].is_substitute || !has_lines)
                        has_lines = append_section(sections + i, results, out);
                if (i == 0)
                        append_stacks(results, out);
        }
}

/* The first group of the last match in a text, and the number of matches. */
static char *last_match(const char *text, const char *pattern, size_t *ret_n) {
        g_autoptr(GRegex) regex = g_regex_new(pattern, G_REGEX_RAW, 0, NULL);
        g_autoptr(GMatchInfo) match = NULL;
        char *last = NULL;

        *ret_n = 0;
        for (g_regex_match(regex, text, 0, &match); g_match_info_matches(match);
             g_match_info_next(match, NULL)) {
                g_free(last);
                last = g_match_info_fetch(match, 1);
                (*ret_n)++;
        }
        return last;
}

static const char *describe_outcome(const char *outcome) {
        return streq(outcome, "recovered")  ? "until a sync ended it"
               : streq(outcome, "cleared")  ? "until it ended without a sync"
               : streq(outcome, "outlived") ? "and no sync ended it"
               : streq(outcome, "ongoing")  ? "and it has not ended yet"
                                            : outcome;
}

/* The last stall in the JSON of `wbctl episodes`, as a sentence; NULL if there is none. */
static char *describe_stall(const char *episodes) {
        g_autofree char *work = NULL, *most = NULL, *running = NULL, *outcome = NULL, *who = NULL,
                        *with = NULL, *which = NULL;
        size_t n = 0;

        if (!episodes)
                return NULL;
        work = last_match(episodes, "\"Work\":\"([^\"]*)\"", &n);
        most = last_match(episodes, "\"SpinningMax\":([0-9]+)", &n);
        running = last_match(episodes, "\"WorkerCount\":([0-9]+)", &n);
        outcome = last_match(episodes, "\"Outcome\":\"([a-z]+)\"", &n);
        if (!work || !most || !outcome)
                return NULL;

        who = streq(most, "1") ? g_strdup("A kernel worker was")
                               : g_strdup_printf("Up to %s kernel workers were", most);
        with = !running || streq(running, most)
                               ? g_strdup("")
                               : g_strdup_printf(" (%s were running, waiting ones included)", running);
        which = n == 1 ? g_strdup("the only recorded stall")
                       : g_strdup_printf("the last of %zu recorded stalls", n);
        return g_strdup_printf(
                        "%s spinning in %s%s, %s (%s).\n", who, work, with, describe_outcome(outcome), which);
}

/* What happens now, and what happened before; the worse first. */
static void append_sentences(const PartResult *results, GString *out) {
        const char *workers = parts_text(results, "workers.txt");
        g_autofree char *
                        stall = describe_stall(parts_text(results, "episodes.json")),
                       *now = workers ? g_strdup_printf("%.*s\n", (int) strcspn(workers, "\n"), workers)
                                      : g_strdup("Whether kernel workers are stuck now could not be seen.\n");
        bool is_bad = !stall || g_str_has_prefix(now, "Up to");

        g_string_append_printf(out, "%s%s", is_bad ? now : stall, is_bad ? stall ?: "" : now);
}

/* The verdict of doctor: its first paragraph, without the glyph. */
static void append_verdict(const PartResult *results, GString *out) {
        const char *text = parts_text(results, "doctor.txt"), *end;

        if (!text)
                return;
        while (*text && !g_ascii_isalpha(*text))
                text++;
        end = strstr(text, "\n\n");
        g_string_append_printf(out, "\n%.*s\n", end ? (int) (end - text) : -1, text);
}

/* What only a person knows. */
static const char questions[] =
                "\nTo be answered by the sender of this report:\n\n"
                "    - What did the machine do before? Which services or containers came and\n"
                "      went, and how many files did they read or write? Can it be repeated?\n"
                "    - Since which kernel does it happen, and which was the last one without it?\n"
                "    - Which is the newest kernel that was tried? Maintainers ask for the newest\n"
                "      mainline or stable one, without additional modules.\n"
                "    - What was the impact, and what ended it: a sync, a restart, time?\n";

static const char private_note[] =
                "\nLeft out: names of hosts, users, volumes, servers, cgroups, USB devices and\n"
                "network interfaces, labels, certificates, addresses, serial numbers, ids, the\n"
                "command lines of the kernel and of processes, the sources of mounts, the values\n"
                "of most mount options. Paths that not every machine has are numbered: <path-1>\n"
                "is the same in all files. The names of processes in the kernel's log (at most\n"
                "15 bytes each) remain. Read it before you send it on.\n";

static const char names_note[] =
                "\nPrivate names were not removed (--names): hosts, users, addresses, mounts, the\n"
                "kernel's command line. Command lines of processes are not part of a report.\n";

static void append_contents(const PartResult *results, GString *out) {
        size_t n_missing = 0;

        g_string_append(out, "\nIn this archive:\n\n");
        for (const PartResult *result = results; result->part; result++) {
                n_missing += result->missing != NULL;
                if (result->text)
                        g_string_append_printf(out, "    %-23s%s\n", result->part->file, result->part->what);
        }
        if (n_missing > 0)
                g_string_append(out, "\nMissing or incomplete:\n\n");
        for (const PartResult *result = results; result->part; result++)
                if (result->missing)
                        g_string_append_printf(out, "    %s: %s\n", result->part->file, result->missing);
}

static void append_not_requested(const ReportOptions *options, GString *out) {
        if (!options->sysrq)
                g_string_append(out, "\nNot requested: backtraces of all tasks (--sysrq).\n");
        if (!options->perf)
                g_string_append(out, "\nNot requested: a profile of the CPUs (--perf).\n");
}

char *report_summary(const ReportOptions *options, const PartResult *results, uint64_t now_usec) {
        g_autofree char *now = time_format_exact(now_usec);
        GString *out = g_string_new(NULL);

        append_sentences(results, out);
        append_verdict(results, out);
        g_string_append_printf(
                        out, "\n%sReport:        %s, by wbctl %s, %s\n",
                        parts_text(results, "system.txt") ?: "", now, WBWATCH_VERSION,
                        geteuid() == 0 ? "as root" : "not as root");
        g_string_append(out, questions);
        append_sections(results, out);
        append_contents(results, out);
        append_not_requested(options, out);
        g_string_append(out, options->names ? names_note : private_note);
        return g_string_free(out, FALSE);
}
