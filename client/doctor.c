/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The verb doctor: whether this machine is affected, and what to do. Works without daemon, bus and root. */

#include "doctor.h"

#include <stdio.h>
#include <sys/resource.h>

#include "client.h"
#include "connection.h"
#include "duration.h"
#include "remote.h"
#include "root-file.h"
#include "running-kernel.h"

#define HIGHEST_PRIORITY (-20)

/* No answer is longer. */
#define ANSWER_MAX (16 * 1024 * 1024)

/* The answer as a digit, then what shows it. */
static int write_sign(const void *userdata, FILE *out) {
        const Doctor *doctor = userdata;
        Kernel kernel = KERNEL_NONE;

        running_kernel_read(doctor->root, &kernel);
        (void) fprintf(out, "%d%s", (int) kernel.has_fix_2025, kernel.shown_by ?: "");
        kernel_done(&kernel);
        return 0;
}

static void read_sign(const Doctor *doctor, Kernel *kernel) {
        const char *text = doctor_job_text(doctor, JOB_SIGN);
        int answer = text ? g_ascii_digit_value(*text) : -1;

        if (answer != ANSWER_YES && answer != ANSWER_NO)
                return;
        kernel->has_fix_2025 = (Answer) answer;
        kernel->shown_by = g_strdup(text + 1);
}

static int write_table(const void *userdata, FILE *out) {
        const Doctor *doctor = userdata;

        return root_file_copy("", doctor->table_path ?: KERNEL_TABLE_BUILT_IN, out);
}

/* It may be missing. */
static int write_local_table(const void *userdata, FILE *out) {
        const Doctor *doctor = userdata;
        int r = doctor->table_path ? 0 : root_file_copy("", KERNEL_TABLE_LOCAL, out);

        return r == -ENOENT ? 0 : r;
}

static int write_distribution(const void *userdata, FILE *out) {
        const Doctor *doctor = userdata;
        g_autofree char *name = root_distribution(doctor->root);

        (void) fputs(name ?: "", out);
        return 0;
}

static int write_init_mounts(const void *userdata, FILE *out) {
        const Doctor *doctor = userdata;

        return root_file_copy(doctor->root, "proc/1/mountinfo", out);
}

static int write_own_mounts(const void *userdata, FILE *out) {
        const Doctor *doctor = userdata;

        return root_file_copy(doctor->root, "proc/self/mountinfo", out);
}

static int write_controllers(const void *userdata, FILE *out) {
        const Doctor *doctor = userdata;

        return root_file_copy(doctor->root, "proc/cgroups", out);
}

static void start_jobs(Doctor *doctor) {
        static int (*const runs[_JOB_MAX])(const void *userdata, FILE *out) = {
                [JOB_SIGN] = write_sign,
                [JOB_TABLE] = write_table,
                [JOB_LOCAL_TABLE] = write_local_table,
                [JOB_DISTRIBUTION] = write_distribution,
                [JOB_KMSG] = doctor_write_kmsg,
                [JOB_JOURNAL] = doctor_write_journal,
                [JOB_INIT_MOUNTS] = write_init_mounts,
                [JOB_OWN_MOUNTS] = write_own_mounts,
                [JOB_CONTROLLERS] = write_controllers,
                [JOB_DAEMON] = doctor_write_daemon,
                [JOB_UNIT] = doctor_write_unit,
        };

        for (DoctorJob job = 0; job < _JOB_MAX; job++)
                doctor->jobs[job] = (Job){ .run = runs[job],
                                           .userdata = doctor,
                                           .size_max = ANSWER_MAX,
                                           .result = g_string_new(NULL) };
        jobs_start(doctor->jobs, _JOB_MAX);
}

static int add_table(Doctor *doctor, KernelTable *table, const Job *job, const char *path) {
        g_autofree char *failure = doctor_job_failure(job), *reason = NULL;
        int r = failure ? -EIO : 0;

        if (failure)
                reason = g_strdup_printf("%s: %s", path, failure);
        else
                r = kernel_table_add(table, job->result->str, path, &reason);
        if (r < 0)
                findings_add(doctor->findings, SECTION_KERNEL, "table", RESULT_UNKNOWN,
                             g_steal_pointer(&reason));
        return r;
}

/* A table with an error is not used: what it says may be wrong. */
static void read_table(Doctor *doctor) {
        _cleanup_(kernel_table_freep) KernelTable *table = kernel_table_new();

        if (add_table(doctor, table, &doctor->jobs[JOB_TABLE], doctor->table_path ?: KERNEL_TABLE_BUILT_IN) >=
                            0 &&
            add_table(doctor, table, &doctor->jobs[JOB_LOCAL_TABLE], KERNEL_TABLE_LOCAL) >= 0)
                doctor->table = TAKE_POINTER(table);
}

static void check_kernel(Doctor *doctor) {
        g_autofree char *release = doctor_read(doctor, "proc/sys/kernel/osrelease");
        g_autofree char *proc_version = doctor_read(doctor, "proc/version");
        _cleanup_(kernel_table_freep) KernelTable *empty = kernel_table_new();

        read_sign(doctor, &doctor->kernel);
        read_table(doctor);
        kernel_set_release(&doctor->kernel, doctor->table ?: empty, release ?: "", proc_version);
        doctor_check_kernel(doctor);
}

/* The conclusion */

static Verdict decide(const Doctor *doctor) {
        if (doctor->stalls_now || doctor->stalled_before)
                return VERDICT_AFFECTED;
        if (doctor->kernel_affected == ANSWER_NO)
                return VERDICT_NOT_AFFECTED;
        /* A table that cannot be read might have named a bug that does not depend on the setup. */
        if (doctor->table && doctor->can_happen == ANSWER_NO && !doctor->dirtytime_is_zero)
                return VERDICT_NOT_AFFECTED;
        if (doctor->kernel_affected == ANSWER_YES || doctor->log_has_sign)
                return VERDICT_AFFECTED;
        return VERDICT_UNKNOWN;
}

static char *summarize(const Doctor *doctor, Verdict verdict) {
        if (doctor->rescans_now == ANSWER_YES)
                return g_strdup("A stall is under way that a sync does not end (stall-2026).");
        if (doctor->rescans_now == ANSWER_UNKNOWN)
                return g_strdup("A stall is under way that a sync may not end (it may be stall-2026).");
        if (doctor->stalls_now)
                return g_strdup("A stall is under way: workers spin in inode_switch_wbs.");
        switch (verdict) {
        case VERDICT_NOT_AFFECTED:
                return g_strdup_printf(
                                "Not affected: %s.",
                                doctor->kernel_affected == ANSWER_NO
                                                ? "the kernel does not have these bugs"
                                                : "the kernel may have these bugs, but they cannot occur in "
                                                  "this setup");
        case VERDICT_AFFECTED:
                if (doctor->stalled_before)
                        return g_strdup("Affected: wbwatchd has recorded stalls since its start.");
                if (doctor->kernel_affected != ANSWER_YES)
                        return g_strdup("Affected: the log of the kernel has signs of stalls.");
                return g_strdup_printf(
                                "Affected: this kernel (%s) can stall or crash when control groups are "
                                "removed.",
                                doctor->kernel.release);
        default:
                if (!doctor->table)
                        return g_strdup("Unknown: the table of kernels cannot be read.");
                if (!*doctor->kernel.release)
                        return g_strdup("Unknown: the release of the kernel cannot be read.");
                return g_strdup_printf(
                                "Unknown: the kernel %s does not show whether it has the fixes.",
                                doctor->kernel.release);
        }
}

static void advise_now(const Doctor *doctor) {
        if (!doctor->stalls_now)
                return;
        findings_advise(doctor->findings,
                        "Sync now: `wbctl sync`, or `sync -f MOUNTPOINT` for each filesystem. It takes as "
                        "long as writing what is dirty%s.",
                        doctor->rescans_now == ANSWER_NO ? "" : ", and may not end this stall");
        findings_advise(doctor->findings, "Do not write 2 or 3 to /proc/sys/vm/drop_caches, and do not "
                                          "remount, while the stall lasts: "
                                          "both contend for the same lock.");
}

static void advise_kernel(const Doctor *doctor) {
        g_autofree char *update = doctor->table ? kernel_find_update(doctor->table, &doctor->kernel) : NULL;

        if (doctor->kernel_affected == ANSWER_YES && update)
                findings_advise(doctor->findings,
                                "Update the kernel to %s or later, or to a kernel of the distribution with "
                                "the same "
                                "changes. The only remedy for all of these bugs. Price: a reboot.",
                                update);
        else if (doctor->kernel_affected != ANSWER_NO && doctor->table)
                findings_advise(doctor->findings, "Look up in the changelog of the kernel package whether it "
                                                  "has the changes named above, "
                                                  "and update if not. Price: a reboot.");
}

static void advise_settings(const Doctor *doctor) {
        if (doctor->dirtytime_is_zero)
                findings_advise(doctor->findings, "Set vm.dirtytime_expire_seconds to another value than 0 "
                                                  "(43200 is the kernel's own). "
                                                  "Price: none.");
        if (!doctor->has_lazytime || doctor->stalls == ANSWER_NO)
                return;
        findings_advise(doctor->findings,
                        "Mount without lazytime (nolazytime in /etc/fstab; a remount only while no worker "
                        "runs). It "
                        "prevents stall-2025. Price: more writes of access and modification times.");
        findings_advise(doctor->findings,
                        "Or set vm.dirtytime_expire_seconds to 10, so that few inodes are left when a "
                        "control group is "
                        "removed. Price: the same writes within 10s; never 0 before Linux 6.19.");
}

static void advise_more(const Doctor *doctor) {
        if (doctor_has_bus(doctor) && !doctor->daemon_answers &&
            doctor->findings->verdict != VERDICT_NOT_AFFECTED)
                findings_advise(doctor->findings, "Install and start wbwatchd: it ends stall-2025, but not "
                                                  "stall-2026. Price: next to no "
                                                  "CPU time, and a few MiB of memory.");
        if (!doctor->sees_kthreads && !doctor_has_other_root(doctor))
                findings_advise(doctor->findings, "Examine the host: run `wbctl doctor` there, or with "
                                                  "--root where its folders are "
                                                  "mounted in this container.");
        if (doctor->root_shows_more)
                findings_advise(doctor->findings,
                                "Run `wbctl doctor` as root: it can then read the log of the kernel.");
}

void doctor_conclude(Doctor *doctor) {
        Findings *findings = doctor->findings;

        findings->verdict = decide(doctor);
        findings->summary = summarize(doctor, findings->verdict);
        findings->release = g_strdup(doctor->kernel.release);
        findings->table_date = doctor->table ? g_strdup(doctor->table->date) : NULL;

        if (findings->verdict != VERDICT_NOT_AFFECTED) {
                advise_now(doctor);
                advise_kernel(doctor);
                advise_settings(doctor);
        }
        advise_more(doctor);
        findings_sort(findings);
}

/* The verb */

static const struct {
        const char *name;
        void (*append)(GString *out, const Findings *findings);
} formats[] = {
        { "text", NULL },
        { "json", findings_append_json },
        { "nrpe", findings_append_nrpe },
        { "prometheus", findings_append_prometheus },
};

static int find_format(const Options *options, size_t *ret) {
        const char *name = options->batch ?: options->json ? "json" : "text";

        for (size_t i = 0; i < ELEMENTSOF(formats); i++)
                if (streq(name, formats[i].name)) {
                        *ret = i;
                        return 0;
                }
        complain("--batch=%s: the formats are text, json, nrpe and prometheus.", name);
        return EXIT_DOCTOR_USAGE;
}

static int find_duration(const Options *options, uint64_t *ret_usec) {
        *ret_usec = OBSERVE_USEC;
        if (!options->observe ||
            (parse_duration(options->observe, USEC_PER_SEC, ret_usec) >= 0 && *ret_usec <= USEC_PER_HOUR))
                return 0;
        complain("--observe=%s: not a duration of at most 1h.", options->observe);
        return EXIT_DOCTOR_USAGE;
}

/* A proc filesystem that is not mounted leaves an empty folder. */
static int check_root(const char *root) {
        g_autofree char *path = g_build_filename(root, "proc", NULL);
        g_autoptr(GDir) proc = g_dir_open(path, 0, NULL);

        if (proc && g_dir_read_name(proc))
                return 0;
        complain("--root=%s: no proc there.", root);
        return EXIT_DOCTOR_USAGE;
}

static void examine(Doctor *doctor, uint64_t end_usec) {
        Observation observation;

        /* In a stall, dozens of workers want each CPU. Only root may do this. */
        (void) setpriority(PRIO_PROCESS, 0, HIGHEST_PRIORITY);

        start_jobs(doctor);
        doctor_observe_workers(doctor, end_usec, &observation);
        jobs_finish(doctor->jobs, _JOB_MAX, doctor->deadline_usec);

        doctor->sees_kthreads = !observation.fault;
        check_kernel(doctor);
        doctor_check_conditions(doctor);
        doctor_check_workers(doctor, &observation);
        doctor_check_pressure(doctor);
        doctor_check_log(doctor);
        doctor_check_daemon(doctor);
        doctor_conclude(doctor);
}

/* Whatever else went wrong, nothing is known of the machine. */
static int run_on_host(const char *const *words) {
        int status = remote_run(words, /* output= */ NULL, 0);
        g_autofree char *explanation = NULL;

        if (status == VERDICT_NOT_AFFECTED || status == VERDICT_AFFECTED || status == VERDICT_UNKNOWN)
                return status;
        explanation = remote_explain(status);
        complain("%s", explanation);
        return VERDICT_UNKNOWN;
}

int verb_doctor(const Options *options, char **arguments) {
        _cleanup_(findings_freep) Findings *findings = findings_new();
        g_autoptr(GString) out = g_string_new(NULL);
        Doctor doctor = { .root = options->root ?: "/",
                          .table_path = options->table,
                          .findings = findings,
                          .kernel = KERNEL_NONE };
        Terminal terminal = options->terminal;
        uint64_t now_usec = usec_now(CLOCK_MONOTONIC), observe_usec, end_usec;
        size_t format;

        if (find_format(options, &format) != 0 || find_duration(options, &observe_usec) != 0 ||
            (options->root && !options->there && check_root(options->root) != 0))
                return EXIT_DOCTOR_USAGE;
        if (options->there)
                return run_on_host(options->there);

        end_usec = usec_add(now_usec, observe_usec);
        doctor.deadline_usec =
                        usec_add(MAX(end_usec, usec_add(now_usec, connection_timeout(OBSERVE_USEC))),
                                 ANSWER_MARGIN_USEC);
        examine(&doctor, end_usec);

        if (formats[format].append)
                formats[format].append(out, findings);
        else {
                terminal.colours = terminal.colours && !options->batch;
                findings_append_text(out, &terminal, findings);
        }
        (void) fwrite(out->str, 1, out->len, stdout);

        for (DoctorJob job = 0; job < _JOB_MAX; job++)
                g_string_free(doctor.jobs[job].result, TRUE);
        kernel_done(&doctor.kernel);
        kernel_table_free(doctor.table);
        return (int) findings->verdict;
}
