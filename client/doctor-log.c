/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The kernel's log. Other programs log the same words, so only the kernel's own lines count. */

#include <stdio.h>
#include <systemd/sd-journal.h>

#include "doctor.h"
#include "kernel-log.h"

#define JOURNAL_DIRECTORY "var/log/journal"

/* What the lines mean. A line counts for the first that fits. */
static const struct {
        const char *words, *more_words;
        bool is_sign;
        const char *meaning;
} patterns[] = {
        { "inode_switch_wbs_work_fn hogged CPU", NULL, true, "a sign of stall-2025" },
        { "cleanup_offline_cgwbs_workfn hogged CPU", NULL, true, "a sign of stall-2026" },
        { "BUG: workqueue lockup", NULL, false, "work did not run for 30s; what spun instead is not said" },
        { "INFO: task kworker/", " blocked for more than ", false, "a worker waited for a disk or a lock" },
        { " is flushing !WQ_MEM_RECLAIM ", NULL, false,
          "a work that must run when memory is short waits for one that may need memory, and both may hang; "
          "a bug of the driver that is named, not this one" },
        { "BUG: soft lockup", NULL, false,
          "code of the kernel kept a CPU; the trace below it in the log says which" },
};

/* The lines that were found. */
typedef struct LogSummary {
        uint64_t n_lines;
        struct {
                uint64_t n;
                char *last;
        } found[ELEMENTSOF(patterns)];
} LogSummary;

static void log_summary_done(LogSummary *summary) {
        for (size_t i = 0; i < ELEMENTSOF(patterns); i++)
                g_free(summary->found[i].last);
}

static void add_line(LogSummary *summary, const char *text) {
        summary->n_lines++;
        for (size_t i = 0; i < ELEMENTSOF(patterns); i++)
                if (strstr(text, patterns[i].words) &&
                    (!patterns[i].more_words || strstr(text, patterns[i].more_words))) {
                        summary->found[i].n++;
                        g_free(summary->found[i].last);
                        summary->found[i].last = g_strdup(text);
                        return;
                }
}

/* Between processes: the number of lines, then a line for each pattern. */
static void send_summary(FILE *out, const LogSummary *summary) {
        (void) fprintf(out, "%" G_GUINT64_FORMAT "\n", summary->n_lines);
        for (size_t i = 0; i < ELEMENTSOF(patterns); i++)
                (void) fprintf(out, "%" G_GUINT64_FORMAT " %s\n", summary->found[i].n,
                               summary->found[i].last ?: "");
}

static bool receive_summary(const char *text, LogSummary *ret) {
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

        if (g_strv_length(lines) <= ELEMENTSOF(patterns))
                return false;
        ret->n_lines = g_ascii_strtoull(lines[0], NULL, 10);
        for (size_t i = 0; i < ELEMENTSOF(patterns); i++) {
                char *last;

                ret->found[i].n = g_ascii_strtoull(lines[i + 1], &last, 10);
                ret->found[i].last = ret->found[i].n > 0 ? g_strdup(last + 1) : NULL;
        }
        return true;
}

static void add_kernel_line(void *userdata, uint64_t usec, const char *text) {
        add_line(userdata, text);
}

int doctor_write_kmsg(const void *userdata, FILE *out) {
        const Doctor *doctor = userdata;
        _cleanup_close_ int fd = kernel_log_open(doctor->root);
        _cleanup_(log_summary_done) LogSummary summary = {};

        if (fd < 0)
                return fd;
        (void) kernel_log_read(fd, add_kernel_line, &summary);
        send_summary(out, &summary);
        return 0;
}

/* The journal */

static int open_journal(const Doctor *doctor, sd_journal **ret) {
        g_autofree char *path = NULL;

        if (!doctor_has_other_root(doctor))
                return sd_journal_open(ret, SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM);
        path = g_build_filename(doctor->root, JOURNAL_DIRECTORY, NULL);
        return sd_journal_open_directory(ret, path, 0);
}

/* This boot's, and only what came from the kernel. */
static int match_kernel(const Doctor *doctor, sd_journal *journal) {
        char match[sizeof("_BOOT_ID=") + SD_ID128_STRING_MAX] = "_BOOT_ID=";
        sd_id128_t boot;
        int r;

        r = sd_journal_add_match(journal, "_TRANSPORT=kernel", 0);
        if (r < 0 || doctor_has_other_root(doctor))
                return r;
        r = sd_id128_get_boot(&boot);
        if (r < 0)
                return r;
        (void) sd_id128_to_string(boot, match + strlen(match));
        return sd_journal_add_match(journal, match, 0);
}

static void add_journal_entry(LogSummary *summary, sd_journal *journal) {
        g_autofree char *text = NULL;
        const void *data;
        size_t size;

        if (sd_journal_get_data(journal, "MESSAGE", &data, &size) < 0)
                return;
        text = g_strndup((const char *) data + strlen("MESSAGE="), size - strlen("MESSAGE="));
        (void) g_strdelimit(text, "\n", ' ');
        add_line(summary, text);
}

int doctor_write_journal(const void *userdata, FILE *out) {
        _cleanup_(log_summary_done) LogSummary summary = {};
        sd_journal *journal;
        int r;

        /* Never closed: the process ends after this. */
        r = open_journal(userdata, &journal);
        if (r >= 0)
                r = match_kernel(userdata, journal);
        if (r < 0)
                return r;
        while (sd_journal_next(journal) > 0)
                add_journal_entry(&summary, journal);
        send_summary(out, &summary);
        return 0;
}

/* Returns whether it has lines of the kernel. Otherwise *ret_reason says why not, to be freed by the caller.
 */
static bool receive(const Job *job, LogSummary *ret, char **ret_reason) {
        *ret_reason = doctor_job_failure(job);
        if (!*ret_reason && (!receive_summary(job->result->str, ret) || ret->n_lines == 0))
                *ret_reason = g_strdup("no line of the kernel that this user may read");
        return !*ret_reason;
}

static void add_found(Doctor *doctor, const LogSummary *summary) {
        bool is_silent = true;

        for (size_t i = 0; i < ELEMENTSOF(patterns); i++) {
                if (summary->found[i].n == 0)
                        continue;
                is_silent = false;
                doctor->log_has_sign = doctor->log_has_sign || patterns[i].is_sign;
                findings_add(doctor->findings, SECTION_BEFORE, "kernel log",
                             patterns[i].is_sign && doctor->kernel_affected != ANSWER_NO ? RESULT_BAD
                                                                                         : RESULT_NOTE,
                             g_strdup_printf("%s (%" G_GUINT64_FORMAT " line%s): %s", summary->found[i].last,
                                             summary->found[i].n, summary->found[i].n == 1 ? "" : "s",
                                             patterns[i].meaning));
        }
        if (is_silent)
                findings_add(doctor->findings, SECTION_BEFORE, "kernel log", RESULT_OK,
                             g_strdup_printf("no sign in %" G_GUINT64_FORMAT
                                             " lines; alone this proves nothing, since not every kernel logs "
                                             "it",
                                             summary->n_lines));
}

/* The one with more lines goes further back. */
void doctor_check_log(Doctor *doctor) {
        g_autofree char *kmsg_reason = NULL, *journal_reason = NULL;
        _cleanup_(log_summary_done) LogSummary kmsg = {}, journal = {};
        bool has_kmsg = receive(&doctor->jobs[JOB_KMSG], &kmsg, &kmsg_reason);
        bool has_journal = receive(&doctor->jobs[JOB_JOURNAL], &journal, &journal_reason);

        if (has_kmsg || has_journal)
                add_found(doctor, kmsg.n_lines >= journal.n_lines ? &kmsg : &journal);
        else {
                findings_add(doctor->findings, SECTION_BEFORE, "kernel log", RESULT_UNKNOWN,
                             g_strdup_printf("/dev/kmsg: %s; journal: %s", kmsg_reason, journal_reason));
                doctor->root_shows_more = geteuid() != 0;
        }
}
