/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The verb metrics: the metrics of wbwatch-exporter for collectors that read a file or run a program. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "client.h"
#include "connection.h"
#include "jobs.h"
#include "kernel-fixes.h"
#include "metrics.h"
#include "write-all.h"

/* The rest of the 2 s within which verbs that read end. */
#define WRITE_TIMEOUT_USEC (400 * USEC_PER_MSEC)

typedef struct MetricsFile {
        const char *path, *text;
} MetricsFile;

/* Anyone may read it: collectors run as other users. */
static int fill(int fd, const char *text) {
        int r = fchmod(fd, 0644) < 0 ? -errno : write_all(fd, text, strlen(text));

        if (close(fd) < 0 && r >= 0)
                r = -errno;
        return r;
}

/* Replaces the file as a whole, so that a collector never reads a part of it. Its name in the meantime does
 * not end in .prom, which collectors read, and is the same each time: a run that is killed leaves one file at
 * most, which the next run replaces. */
static int write_file(const void *userdata, FILE *out) {
        const MetricsFile *file = userdata;
        g_autofree char *temporary = g_strdup_printf("%s.wbctl-new", file->path);
        int fd, r;

        /* Whatever has the name, also a link that somebody else put there, is not written to. */
        (void) unlink(temporary);
        fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        r = fill(fd, file->text);
        if (r >= 0 && rename(temporary, file->path) < 0)
                r = -errno;
        if (r < 0)
                (void) unlink(temporary);
        return r;
}

/* In a child process, which may hang. Returns an exit status. */
static int write_or_complain(const char *path, const char *text) {
        const MetricsFile file = { path, text };
        g_autoptr(GString) result = g_string_new(NULL);
        Job job = { .run = write_file, .userdata = &file, .size_max = 256, .result = result };

        jobs_run(&job, 1, WRITE_TIMEOUT_USEC);
        if (job.timed_out)
                complain("Cannot write %s in time: its disk may hang. Use a folder in /run.", path);
        else if (job.status < 0)
                complain("Cannot write %s: %s.", path, errno_text(-job.status));
        else if (job.status > 0)
                complain("Cannot write %s: %s.", path, g_strchomp(result->str));
        return job.timed_out || job.status != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int verb_metrics(const Options *options, char **arguments) {
        _cleanup_(answers_clear) Answers answers = {};
        uint64_t deadline_usec = usec_now(CLOCK_MONOTONIC) + ANSWER_TIMEOUT_USEC;
        /* A container has the kernel of this machine. */
        bool is_our_kernel = destination_get()->kind != DESTINATION_HOST;
        g_autoptr(GVariant) fixes = NULL;
        g_autofree char *text = NULL;
        KernelFixes kernel;

        if (is_our_kernel)
                kernel_fixes_start(&kernel, options->table);
        answers_read(&answers, 1u << QUESTION_PROPERTIES);
        if (is_our_kernel)
                fixes = kernel_fixes_finish(&kernel, deadline_usec);
        text = metrics_write(METRICS_TEXT, answers.values[QUESTION_PROPERTIES], fixes);
        if (options->output && !streq(options->output, "-"))
                return write_or_complain(options->output, text);
        (void) fputs(text, stdout);
        return EXIT_SUCCESS;
}
