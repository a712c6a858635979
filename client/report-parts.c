/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "report-parts.h"

#include "connection.h"
#include "duration.h"
#include "jobs.h"
#include "redact.h"
#include "report-writers.h"

/* Enough for 10,000 lines. */
#define PART_SIZE_MAX (1024 * 1024)

/* Programs */

static int write_program(const ReportOptions *options, const char *const *arguments, FILE *out) {
        return job_execute(arguments, /* has_errors= */ true);
}

/* Entries of the journal, the newest first: a timeout cuts the earliest ones. */
static int write_journal(const ReportOptions *options, const char *const *arguments, FILE *out) {
        g_autofree char *root = g_strdup_printf("--root=%s", options->root);
        const char *all[16] = { "journalctl",    "--quiet",   "--no-pager",
                                "--no-hostname", "--reverse", "--output=short-iso-precise" };
        size_t n = 6;

        if (!streq(options->root, "/"))
                all[n++] = root;
        for (; *arguments && n < ELEMENTSOF(all) - 1; arguments++)
                all[n++] = *arguments;
        return job_execute(all, /* has_errors= */ true);
}

/* A verb of this program. Messages would spoil the JSON. */
static int write_verb(const ReportOptions *options, const char *const *arguments, FILE *out) {
        g_autofree char *root = g_strdup_printf("--root=%s", options->root);
        g_autofree char *socket = NULL;
        const char *all[8] = { "/proc/self/exe" };
        const char *const reads_root[] = { "doctor", "list", "status", NULL };
        bool is_json = streq(arguments[0], "--json");
        size_t n = 1;

        for (; *arguments && n < ELEMENTSOF(all) - 3; arguments++)
                all[n++] = *arguments;
        if (!streq(options->root, "/") && g_strv_contains(reads_root, all[n - 1]))
                all[n++] = root;
        if (destination_get()->kind == DESTINATION_SOCKET) {
                socket = g_strdup_printf("--socket=%s", destination_get()->name);
                all[n++] = socket;
        }
        return job_execute(all, /* has_errors= */ !is_json);
}

static int write_names(const ReportOptions *options, const char *const *arguments, FILE *out) {
        return private_names_write(options->root, out);
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* No user space: paths of programs are private, and the stall is in the kernel. */
#define PERF                                                                                                 \
        "perf record -q -a -g -e cpu-clock:k -o - -- sleep 5 |"                                              \
        " perf report -i - --stdio --no-children --sort comm,sym"

static const Part parts[] = {
        { "system.txt", "kernel, distribution, taint, CPUs, time since the start", report_write_system },
        { "workers.txt", "kernel workers: 5 scans; stat, stack, sched of each", report_write_workers, NULL,
          PART_NEEDS_ROOT },
        { "doctor.txt", "wbctl doctor", write_verb, LIST("doctor"), PART_HAS_NAMES, 3 },
        { "status.txt", "wbctl status", write_verb, LIST("status"), PART_HAS_NAMES | PART_ANY_STATUS, 1 },
        { "episodes.txt", "wbctl episodes: recorded stalls", write_verb, LIST("episodes"),
          PART_HAS_NAMES | PART_ANY_STATUS },
        { "episodes.json", "wbctl --json episodes", write_verb, LIST("--json", "episodes"),
          PART_HAS_NAMES | PART_ANY_STATUS },
        { "status.json", "wbctl --json status", write_verb, LIST("--json", "status"),
          PART_HAS_NAMES | PART_ANY_STATUS, 1 },
        { "list.json", "wbctl --json list", write_verb, LIST("--json", "list"),
          PART_HAS_NAMES | PART_ANY_STATUS, 1 },
        { "settings.txt", "wbctl get: the settings", write_verb, LIST("get"), PART_HAS_NAMES },
        { "kernel-log.txt", "the kernel's own lines in its log", report_write_kernel_log, NULL,
          PART_NEEDS_ROOT | PART_HAS_NAMES },
        { "kernel-log-earlier.txt", "its lines about stalls in the journal, newest first", write_journal,
          LIST("--lines=2000", "--grep", REPORT_STALL_WORDS, "_TRANSPORT=kernel", "SYSLOG_FACILITY=0"),
          PART_NEEDS_ROOT | PART_HAS_NAMES },
        { "wbwatchd-log.txt", "log of wbwatchd in the journal, newest first", write_journal,
          LIST("--lines=2000", "--unit=wbwatchd.service"), PART_NEEDS_ROOT | PART_HAS_NAMES },
        { "pressure.txt", "pressure stall information", report_write_files, LIST("proc/pressure/*") },
        { "memory.txt", "/proc/meminfo", report_write_files, LIST("proc/meminfo") },
        { "vmstat.txt", "/proc/vmstat", report_write_files, LIST("proc/vmstat") },
        { "cgroups.txt", "controllers, descendants, dying descendants", report_write_cgroups },
        { "filesystems.txt", "mounted filesystems without their sources", report_write_filesystems, NULL,
          PART_HAS_NAMES },
        { "sysctls.txt", "settings of writeback, watchdogs and workqueues", report_write_files,
          LIST("proc/sys/vm/dirty*",
               "proc/sys/vm/laptop_mode",
               "proc/sys/vm/vfs_cache_pressure",
               "proc/sys/kernel/tainted",
               "proc/sys/kernel/hung_task_*",
               "proc/sys/kernel/*watchdog*",
               "proc/sys/kernel/sched_rt_*",
               "sys/module/workqueue/parameters/*") },
        { "modules.txt", "loaded modules", report_write_modules },
        { "config.txt", "the kernel's build configuration", report_write_config },
        { "sysrq.txt", "backtraces of CPUs and tasks (sysrq l, w, t)", report_write_sysrq, NULL,
          PART_NEEDS_ROOT | PART_HAS_NAMES | PART_NEEDS_SYSRQ },
        { "perf.txt", "where the kernel spends its CPU time: perf, 5 s", write_program,
          LIST("sh", "-c", PERF), PART_NEEDS_ROOT | PART_HAS_NAMES | PART_NEEDS_PERF },
        /* Not in the archive. */
        { NULL, NULL, write_names },
};

/* Whether the part is about the examined machine, and not about the daemon of this one. */
static bool is_about_root(const ReportOptions *options, const Part *part) {
        return part->write != write_verb || streq(part->arguments[0], "doctor") ||
               destination_is_below(options->root);
}

/* From a job to the result of its part */

typedef struct PartJob {
        const ReportOptions *options;
        const Part *part;
} PartJob;

static int run_part(const void *userdata, FILE *out) {
        const PartJob *job = userdata;

        if (!is_about_root(job->options, job->part))
                return 0;
        return job->part->write(job->options, job->part->arguments, out);
}

/* Why the part is missing or incomplete, or NULL. What a job that failed has written is the reason. */
static char *describe_missing(const ReportOptions *options, const Job *job, const Part *part) {
        const char *root = part->flags & PART_NEEDS_ROOT && geteuid() != 0 ? "; needs root" : "";
        const char *text = job->result->str;
        char timeout[DURATION_SIZE];

        if (!is_about_root(options, part))
                return g_strdup("wbwatchd is not examined with --root");
        if (job->timed_out)
                return g_strdup_printf(
                                "given up after %s%s",
                                format_duration(options->timeout_usec, timeout, sizeof(timeout)),
                                *text ? ", incomplete" : "");
        if (job->truncated)
                return g_strdup_printf("cut at %d KiB", PART_SIZE_MAX / 1024);
        if (job->status < 0)
                return g_strdup_printf("cannot be made: %s", errno_text(-job->status));
        if (job->status == 1 && part->write == write_journal && !*text) /* no line matches */
                return g_strdup_printf("nothing was found%s", root);
        if (job->status > part->status_max)
                return *text && !g_str_has_suffix(part->file, ".json")
                                       ? g_strdup_printf("%.*s%s", (int) strcspn(text, "\n"), text, root)
                                       : g_strdup_printf("exit status %d%s", job->status, root);
        return *text ? NULL : g_strdup_printf("nothing was found%s", root);
}

/* A copy of the text without private names; NULL if they cannot be removed. names_known: those that have no
 * form. */
static char *clean(
                const ReportOptions *options,
                Redactor *redactor,
                bool names_known,
                const Part *part,
                const char *text) {
        bool has_names = part->flags & PART_HAS_NAMES;

        if (options->names)
                return g_strdup(text);
        return names_known || !has_names ? redact(redactor, text, has_names) : NULL;
}

static PartResult make_result(
                const ReportOptions *options,
                Redactor *redactor,
                bool names_known,
                const Part *part,
                const Job *job) {
        g_autofree char *missing = describe_missing(options, job, part),
                        *text = clean(options, redactor, names_known, part, job->result->str);
        PartResult result = { .part = part };

        if (!text)
                result.missing = g_strdup("left out: its private names could not be found and removed");
        else if (missing)
                result.missing = clean(options, redactor, names_known, part, missing);
        if (text && *text && (job->timed_out || job->truncated || part->flags & PART_ANY_STATUS || !missing))
                result.text = g_steal_pointer(&text);
        return result;
}

static bool is_wanted(const ReportOptions *options, const Part *part) {
        return (options->sysrq || !(part->flags & PART_NEEDS_SYSRQ)) &&
               (options->perf || !(part->flags & PART_NEEDS_PERF));
}

PartResult *parts_make(const ReportOptions *options) {
        PartJob part_jobs[ELEMENTSOF(parts)];
        Job jobs[ELEMENTSOF(parts)] = {}, *names;
        _cleanup_(redactor_freep) Redactor *redactor = NULL;
        PartResult *results = g_new0(PartResult, ELEMENTSOF(parts));
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(parts); i++)
                if (is_wanted(options, parts + i)) {
                        part_jobs[n] = (PartJob){ options, parts + i };
                        jobs[n] = (Job){ .run = run_part,
                                         .userdata = part_jobs + n,
                                         .size_max = PART_SIZE_MAX,
                                         .result = g_string_new(NULL) };
                        n++;
                }
        jobs_run(jobs, n, options->timeout_usec);

        /* The last one is not in the archive. */
        names = jobs + n - 1;
        redactor = redactor_new(names->result->str);
        for (size_t i = 0; i < n - 1; i++)
                results[i] =
                                make_result(options, redactor,
                                            names->status == 0 && !names->timed_out && !names->truncated,
                                            part_jobs[i].part, jobs + i);

        for (size_t i = 0; i < n; i++)
                g_string_free(jobs[i].result, TRUE);
        return results;
}

PartResult *parts_free(PartResult *results) {
        for (PartResult *result = results; result->part; result++) {
                g_free(result->text);
                g_free(result->missing);
        }
        g_free(results);
        return NULL;
}

const char *parts_text(const PartResult *results, const char *file) {
        for (; results->part; results++)
                if (streq(results->part->file, file))
                        return results->text;
        return NULL;
}
