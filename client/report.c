/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The verb report. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include "archive.h"
#include "client.h"
#include "connection.h"
#include "destination.h"
#include "duration.h"
#include "jobs.h"
#include "remote.h"
#include "report-parts.h"
#include "report-summary.h"
#include "root-file.h"
#include "write-all.h"

#define TIMEOUT_USEC (15 * USEC_PER_SEC)

/* perf records for 5 s, and reads for longer. */
#define TIMEOUT_PERF_USEC USEC_PER_MINUTE

/* All work with spinning workers is slow, so it gets as much of the CPUs as it may have. */
#define PRIORITY (-20)

static GByteArray *make_archive(const PartResult *results, const char *summary, uint64_t now_usec) {
        g_autoptr(GByteArray) tar = g_byte_array_new();
        GByteArray *packed;
        int r;

        tar_append(tar, "summary.txt", summary, strlen(summary), now_usec);
        for (; results->part; results++)
                if (results->text)
                        tar_append(tar, results->part->file, results->text, strlen(results->text), now_usec);
        tar_end(tar);

        r = xz_compress(tar, &packed);
        if (r < 0) {
                complain("Cannot compress the report: %s.", errno_text(-r));
                return NULL;
        }
        return packed;
}

/* The archive and its file. Children open and write it, because a disk that hangs would hang the caller. */

/* To remove a file that could not be written in time. */
#define REMOVE_TIMEOUT_USEC USEC_PER_SEC

typedef struct Output {
        const char *path;          /* "-": stdout */
        const GByteArray *archive; /* NULL: the file is only created, and removed again */
} Output;

static bool is_stdout(const char *path) {
        return streq(path, "-");
}

/* Only its owner may read it. A part of a report is not left behind. */
static int write_file(const void *userdata, FILE *out) {
        const Output *output = userdata;
        int fd = open(output->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), r = 0;

        if (fd < 0)
                return -errno;
        if (output->archive)
                r = write_all(fd, output->archive->data, output->archive->len);
        if (close(fd) < 0 && r >= 0)
                r = -errno;
        if (r < 0 || !output->archive)
                (void) unlink(output->path);
        return r;
}

/* The caller's stdout is the child's stdin. */
static int write_stdout(const void *userdata, FILE *out) {
        const Output *output = userdata;

        (void) signal(SIGPIPE, SIG_IGN);
        return write_all(STDIN_FILENO, output->archive->data, output->archive->len);
}

static int remove_file(const void *userdata, FILE *out) {
        return unlink(userdata) < 0 ? -errno : 0;
}

static void remove_in_time(const char *path) {
        g_autoptr(GString) result = g_string_new(NULL);
        Job job = { .run = remove_file, .userdata = path, .size_max = 256, .result = result };

        jobs_run(&job, 1, REMOVE_TIMEOUT_USEC);
}

/* Without an archive it checks whether the file can be written later. Returns an exit status. */
static int write_or_complain(const ReportOptions *options, const GByteArray *archive, const char *path) {
        const Output output = { path, archive };
        const char *name = is_stdout(path) ? "the report" : path;
        g_autoptr(GString) result = g_string_new(NULL);
        Job job = { .run = is_stdout(path) ? write_stdout : write_file,
                    .userdata = &output,
                    .size_max = 256,
                    .input_fd = is_stdout(path) ? STDOUT_FILENO : 0,
                    .result = result };
        char timeout[DURATION_SIZE];

        jobs_run(&job, 1, options->timeout_usec);
        if (job.timed_out && !is_stdout(path))
                remove_in_time(path);
        if (job.timed_out)
                complain("Cannot write %s within %s: %s.", name,
                         format_duration(options->timeout_usec, timeout, sizeof(timeout)),
                         is_stdout(path) ? "who reads it may hang. --timeout can be longer"
                                         : "its disk may hang. Use --output=- or a file in /run");
        else if (job.status < 0)
                complain("Cannot write %s: %s.", name, errno_text(-job.status));
        else if (job.status > 0)
                complain("Cannot write %s: %s.", name, g_strchomp(result->str));
        return job.timed_out || job.status != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* host: part of the name, or NULL. */
static char *default_path(const char *host, uint64_t now_usec) {
        g_autoptr(GDateTime) now = g_date_time_new_from_unix_utc((gint64) (now_usec / USEC_PER_SEC));
        g_autofree char *time = g_date_time_format(now, "%Y%m%dT%H%M%SZ");
        g_autofree char *part = host ? g_strdelimit(g_strconcat(host, "-", NULL), "/", '_') : g_strdup("");

        return g_strdup_printf("wbwatch-report-%s%s.tar.xz", part, time);
}

/* NULL if it cannot be read. */
static char *read_hostname(const char *root) {
        char *name = NULL;

        return root_file_read(root, "proc/sys/kernel/hostname", &name) < 0 ? NULL : g_strstrip(name);
}

static size_t count_missing(const PartResult *results) {
        size_t n = 0;

        for (; results->part; results++)
                n += results->missing != NULL;
        return n;
}

static int deliver(
                const ReportOptions *options,
                const GByteArray *archive,
                const char *path,
                const PartResult *results) {
        size_t n_missing = count_missing(results);
        int r;

        r = write_or_complain(options, archive, path);
        if (r != EXIT_SUCCESS)
                return r;
        if (!is_stdout(path))
                printf("%s\n", path);
        if (n_missing > 0)
                complain("%zu part%s missing or incomplete: summary.txt in it says why.", n_missing,
                         n_missing == 1 ? " is" : "s are");
        return r;
}

/* The first and last bytes of an xz file: https://tukaani.org/xz/xz-file-format.txt, 2.1.1.1 and 2.1.2.4. */
#define XZ_MAGIC                                                                                             \
        "\xFD"                                                                                               \
        "7zXZ"
#define XZ_FOOTER_MAGIC "YZ"

/* No report is larger. */
#define FETCHED_MAX (256 * 1024 * 1024)

static bool is_whole_archive(const GByteArray *archive) {
        size_t begin = sizeof(XZ_MAGIC), end = strlen(XZ_FOOTER_MAGIC); /* the first ends with a zero byte */

        return archive->len > begin + end && memcmp(archive->data, XZ_MAGIC, begin) == 0 &&
               memcmp(archive->data + archive->len - end, XZ_FOOTER_MAGIC, end) == 0;
}

/* The report of the host, or NULL after an error message on stderr. */
static GByteArray *fetch(const char *const *words) {
        g_autoptr(GByteArray) archive = g_byte_array_new();
        int status = remote_run(words, archive, FETCHED_MAX);
        g_autofree char *explanation = status == 0 ? NULL : remote_explain(status);

        if (explanation)
                complain("%s", explanation);
        else if (!is_whole_archive(archive))
                complain("%s sent no whole report: %u bytes that are no xz file. Does the shell there print "
                         "something?",
                         destination_get()->name, archive->len);
        else
                return g_steal_pointer(&archive);
        return NULL;
}

/* Returns an exit status. */
static int fetch_and_write(const ReportOptions *options, const char *const *words, const char *path) {
        g_autoptr(GByteArray) archive = fetch(words);
        int r = archive ? write_or_complain(options, archive, path) : EXIT_NO_BUS;

        if (r == EXIT_SUCCESS && !is_stdout(path))
                printf("%s\n", path);
        return r;
}

/* The host's name as part of a file's name: tar(1) takes a colon for a host. */
static char *name_host(void) {
        _cleanup_(host_done) Host host = {};

        (void) host_parse(destination_get()->name, &host);
        return g_strdelimit(g_strdup(host.name), ":%", '-');
}

int verb_report(const Options *options, char **arguments) {
        ReportOptions report = {
                .root = options->root ?: "/",
                .sysrq = options->sysrq,
                .perf = options->perf,
                .names = options->names,
                .timeout_usec = connection_timeout(options->perf ? TIMEOUT_PERF_USEC : TIMEOUT_USEC),
        };
        uint64_t now_usec = usec_now(CLOCK_REALTIME);
        _cleanup_(parts_freep) PartResult *results = NULL;
        g_autoptr(GByteArray) archive = NULL;
        g_autofree char *host = NULL, *path = NULL, *summary = NULL;
        int r = EXIT_SUCCESS;

        if (options->names)
                host = options->there ? name_host() : read_hostname(report.root);
        path = options->output ? g_strdup(options->output) : default_path(host, now_usec);
        if (is_stdout(path) && isatty(STDOUT_FILENO)) {
                complain("The report is not for a terminal: redirect stdout, or use --output=FILE.");
                return EXIT_USAGE;
        }
        if (!is_stdout(path))
                r = write_or_complain(&report, NULL, path);
        if (r != EXIT_SUCCESS)
                return r;
        if (options->there)
                return fetch_and_write(&report, options->there, path);
        if (report.sysrq)
                complain("sysrq l, w, t write very many lines to the console and the kernel's log.");

        /* The time zone would show where the machine is. */
        g_setenv("TZ", "UTC", TRUE);
        g_setenv("LC_ALL", "C.UTF-8", TRUE);
        (void) setpriority(PRIO_PROCESS, 0, PRIORITY);

        results = parts_make(&report);
        summary = report_summary(&report, results, now_usec);
        archive = make_archive(results, summary, now_usec);
        return archive ? deliver(&report, archive, path, results) : EXIT_FAILURE;
}
