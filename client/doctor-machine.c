/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The kernel, whether a stall can happen with this setup, and the pressure. */

#include <inttypes.h>
#include <stdio.h>

#include "client.h"
#include "doctor.h"
#include "filesystems.h"
#include "root-file.h"

#define CGROUP "sys/fs/cgroup/"
#define DIRTYTIME "vm.dirtytime_expire_seconds"

/* More mountpoints would be no new information. */
#define MOUNTPOINTS_SHOWN_MAX 4

bool doctor_has_other_root(const Doctor *doctor) {
        return !streq(doctor->root, "/");
}

char *doctor_read(const Doctor *doctor, const char *name) {
        char *text;

        return root_file_read_at_once(doctor->root, name, &text) >= 0 ? g_strchomp(text) : NULL;
}

const char *doctor_job_text(const Doctor *doctor, DoctorJob job) {
        const Job *ended = doctor->jobs + job;

        return ended->status == 0 && !ended->timed_out && !ended->truncated ? ended->result->str : NULL;
}

char *doctor_job_failure(const Job *job) {
        const char *text = job->result->str;

        if (job->timed_out)
                return g_strdup("no answer in time");
        if (job->status < 0)
                return g_strdup(errno_text(-job->status));
        if (job->status > 0)
                return *text ? g_strndup(text, strcspn(text, "\n")) : g_strdup("cannot be read");
        return NULL;
}

/* The kernel */

static void add_release(Doctor *doctor) {
        const char *name = doctor_job_text(doctor, JOB_DISTRIBUTION) ?: "";
        const Kernel *kernel = &doctor->kernel;
        bool has_other_number = kernel->number && !g_str_has_prefix(kernel->release, kernel->number);

        findings_add(doctor->findings, SECTION_KERNEL, "release", RESULT_NOTE,
                     g_strdup_printf("%s%s%s%s%s%s%s", kernel->release,
                                     has_other_number ? ", which is Linux " : "",
                                     has_other_number ? kernel->number : "", *name ? ", " : "", name,
                                     doctor->table ? "; table of " : "",
                                     doctor->table ? doctor->table->date : ""));
}

static Result result_of(Answer affected) {
        static const Result results[] = {
                [ANSWER_NO] = RESULT_OK,
                [ANSWER_YES] = RESULT_BAD,
                [ANSWER_UNKNOWN] = RESULT_UNKNOWN,
        };

        return results[affected];
}

/* One "yes" decides, then one "unknown". */
static Answer worse(Answer a, Answer b) {
        if (a == ANSWER_YES || b == ANSWER_YES)
                return ANSWER_YES;
        return a == ANSWER_UNKNOWN ? a : b;
}

/* What the table says about a value of 0; without a table nothing is known. */
static Answer judge_dirtytime(const Doctor *doctor, char **ret_evidence) {
        for (size_t i = 0; doctor->table && i < doctor->table->fixes->len; i++) {
                const KernelFix *fix = doctor->table->fixes->pdata[i];

                if (streq(fix->name, FIX_DIRTYTIME_ZERO))
                        return kernel_judge(doctor->table, fix, &doctor->kernel, ret_evidence);
        }
        *ret_evidence = g_strdup("before Linux 6.19 another worker could spin");
        return ANSWER_UNKNOWN;
}

/* The bug of a setting: only the value 0 is affected. */
static void check_dirtytime(Doctor *doctor) {
        g_autofree char *value = doctor_read(doctor, "proc/sys/vm/dirtytime_expire_seconds"),
                        *evidence = NULL;
        Answer affected;

        if (!value || !streq(value, "0")) {
                findings_add(doctor->findings, SECTION_CONDITIONS, FIX_DIRTYTIME_ZERO,
                             value ? RESULT_OK : RESULT_NOTE,
                             value ? g_strdup_printf(DIRTYTIME " is %s; with 0 another worker could spin",
                                                     value)
                                   : g_strdup(DIRTYTIME " cannot be read"));
                return;
        }

        affected = judge_dirtytime(doctor, &evidence);
        findings_add(doctor->findings, SECTION_CONDITIONS, FIX_DIRTYTIME_ZERO, result_of(affected),
                     g_strdup_printf(DIRTYTIME " is 0: %s", evidence));
        doctor->dirtytime_is_zero = affected != ANSWER_NO;
        if (doctor->dirtytime_is_zero)
                doctor->kernel_affected = worse(doctor->kernel_affected, affected);
}

void doctor_check_kernel(Doctor *doctor) {
        add_release(doctor);
        if (!doctor->table)
                doctor->kernel_affected = doctor->stalls = doctor->rescans = ANSWER_UNKNOWN;

        for (size_t i = 0; doctor->table && i < doctor->table->fixes->len; i++) {
                const KernelFix *fix = doctor->table->fixes->pdata[i];
                g_autofree char *evidence = NULL;
                Answer affected;

                if (streq(fix->name, FIX_DIRTYTIME_ZERO))
                        continue;
                affected = kernel_judge(doctor->table, fix, &doctor->kernel, &evidence);
                doctor->kernel_affected = worse(doctor->kernel_affected, affected);
                if (streq(fix->name, FIX_STALL_2025))
                        doctor->stalls = affected;
                if (streq(fix->name, FIX_STALL_2026))
                        doctor->rescans = affected;
                findings_add(doctor->findings, SECTION_KERNEL, fix->name, result_of(affected),
                             g_steal_pointer(&evidence));
        }
        check_dirtytime(doctor);
}

/* Conditions */

static bool has_word(const char *text, const char *word) {
        g_auto(GStrv) words = g_strsplit_set(text, " \n", -1);

        return g_strv_contains((const char *const *) words, word);
}

static bool has_memory_and_io(const char *controllers) {
        return controllers && has_word(controllers, "memory") && has_word(controllers, "io");
}

/* Whether /proc/cgroups shows that version 2 cannot have a controller: version 1 has it, or it is disabled.
 * That one is missing there proves nothing: newer kernels list those of version 1 only. */
static bool is_taken(const char *controllers, const char *name) {
        g_auto(GStrv) lines = controllers ? g_strsplit(controllers, "\n", -1) : NULL;

        for (char **line = lines; line && *line; line++) {
                char found[16];
                unsigned hierarchy, is_enabled;

                if (sscanf(*line, "%15s %u %*u %u", found, &hierarchy, &is_enabled) == 3 &&
                    streq(found, name))
                        return hierarchy != 0 || !is_enabled;
        }
        return false;
}

/* Whether it is certain that inodes do not belong to control groups. Without the control files this is so
 * only if something else shows it: they may be mounted elsewhere. Another process's mounts, and not those of
 * init, may be a part of the host's. */
static bool lacks_version_2(const Doctor *doctor, const char *available) {
        const char *controllers = doctor_job_text(doctor, JOB_CONTROLLERS),
                   *mounts = doctor_job_text(doctor, JOB_INIT_MOUNTS);

        return available || is_taken(controllers, "memory") || is_taken(controllers, "blkio") ||
               (mounts && *mounts && !strstr(mounts, " - cgroup2 "));
}

/* Whether inodes are charged to control groups. In a container only a part of their tree can be seen, where
 * the controllers that the host has enabled are the available ones. */
static Answer check_cgroups(Doctor *doctor) {
        g_autofree char *type = doctor_read(doctor, CGROUP "cgroup.type");
        g_autofree char *available = doctor_read(doctor, CGROUP "cgroup.controllers");
        g_autofree char *enabled = doctor_read(doctor, CGROUP "cgroup.subtree_control");
        const char *evidence;
        Answer answer = ANSWER_UNKNOWN;
        Result result = RESULT_NOTE;

        if (has_memory_and_io(type ? available : enabled)) {
                answer = ANSWER_YES;
                evidence = "version 2 with memory and io: inodes belong to control groups";
        } else if (type || !doctor->sees_kthreads)
                evidence = "version 2 without both memory and io, as seen in this container; the host may "
                           "differ";
        else if (has_memory_and_io(available))
                evidence = "version 2, with memory and io not both enabled now; a service with "
                           "IOAccounting=, "
                           "IOWeight= or a memory limit enables them";
        else if (lacks_version_2(doctor, available)) {
                answer = ANSWER_NO;
                evidence = "no version 2 with both memory and io: no stall can happen";
        } else {
                result = RESULT_UNKNOWN;
                evidence = "/sys/fs/cgroup/cgroup.controllers cannot be read";
        }

        findings_add(doctor->findings, SECTION_CONDITIONS, "cgroups",
                     answer == ANSWER_NO ? RESULT_OK : result, g_strdup(evidence));
        return answer;
}

/* The mounted filesystems with cgroup writeback. */
typedef struct Mounts {
        FilesystemList list;
        GPtrArray *with_lazytime, *with_stripe; /* mountpoints */
} Mounts;

/* Whether the options of the superblock contain one that begins with these words. */
static bool has_super_option(const Mount *mount, const char *option) {
        g_auto(GStrv) list = g_strsplit(mount->super_options, ",", -1);

        for (char **candidate = list; *candidate; candidate++)
                if (g_str_has_prefix(*candidate, option))
                        return true;
        return false;
}

static void add_mount(Mounts *mounts, const char *line) {
        g_autofree char *copy = g_strdup(line);
        uint32_t n_before = mounts->list.n;
        Mount mount;

        if (mount_parse(copy, &mount) < 0 || !mount_has_cgroup_writeback(&mount))
                return;
        filesystems_add(&mounts->list, &mount);
        if (mounts->list.n == n_before)
                return;
        if (has_super_option(&mount, "lazytime"))
                g_ptr_array_add(mounts->with_lazytime, g_strdup(mount.mountpoint));
        if (has_super_option(&mount, "stripe="))
                g_ptr_array_add(mounts->with_stripe, g_strdup(mount.mountpoint));
}

/* "/, /srv and 3 more" */
static char *list_mountpoints(const GPtrArray *mountpoints) {
        GString *text = g_string_new(NULL);

        for (size_t i = 0; i < MIN(mountpoints->len, MOUNTPOINTS_SHOWN_MAX); i++)
                g_string_append_printf(text, "%s%s", i > 0 ? ", " : "", (const char *) mountpoints->pdata[i]);
        if (mountpoints->len > MOUNTPOINTS_SHOWN_MAX)
                g_string_append_printf(text, " and %u more", mountpoints->len - MOUNTPOINTS_SHOWN_MAX);
        return g_string_free(text, FALSE);
}

static Answer add_filesystems(Doctor *doctor, const Mounts *mounts) {
        g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
        Answer answer = ANSWER_YES;

        for (uint32_t i = 0; i < mounts->list.n; i++) {
                const Filesystem *filesystem = mounts->list.filesystems + i;

                g_ptr_array_add(texts, g_strdup_printf("%s (%s)", filesystem->mountpoint, filesystem->type));
        }
        if (mounts->list.n == 0)
                answer = doctor->sees_kthreads ? ANSWER_NO : ANSWER_UNKNOWN;
        findings_add(doctor->findings, SECTION_CONDITIONS, "filesystems",
                     answer == ANSWER_YES ? RESULT_NOTE : result_of(answer),
                     answer == ANSWER_YES  ? list_mountpoints(texts)
                     : answer == ANSWER_NO ? g_strdup("none is ext2, ext3, ext4, xfs, btrfs or f2fs: no "
                                                      "stall can happen")
                                           : g_strdup("none that could stall in this container; the host may "
                                                      "have some"));
        return answer;
}

static Answer check_mounts(Doctor *doctor) {
        g_autoptr(GPtrArray) with_lazytime = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GPtrArray) with_stripe = g_ptr_array_new_with_free_func(g_free);
        Mounts mounts = { .with_lazytime = with_lazytime, .with_stripe = with_stripe };
        const char *text =
                        doctor_job_text(doctor, JOB_INIT_MOUNTS) ?: doctor_job_text(doctor, JOB_OWN_MOUNTS);
        g_autofree char *list = NULL, *failure = doctor_job_failure(&doctor->jobs[JOB_OWN_MOUNTS]);
        g_auto(GStrv) lines = text ? g_strsplit(text, "\n", -1) : NULL;
        Answer answer;

        if (!text) {
                findings_add(doctor->findings, SECTION_CONDITIONS, "filesystems", RESULT_UNKNOWN,
                             g_strdup_printf("/proc/self/mountinfo: %s", failure));
                return ANSWER_UNKNOWN;
        }
        for (char **line = lines; *line; line++)
                add_mount(&mounts, *line);

        answer = add_filesystems(doctor, &mounts);
        doctor->has_stripe = with_stripe->len > 0;
        doctor->has_lazytime = with_lazytime->len > 0;
        list = list_mountpoints(with_lazytime);
        findings_add(doctor->findings, SECTION_CONDITIONS, "lazytime",
                     doctor->has_lazytime ? RESULT_NOTE : RESULT_OK,
                     doctor->has_lazytime ? g_strdup_printf("%s: makes stall-2025 likely", list)
                                          : g_strdup("no filesystem has it: stall-2025 is unlikely"));
        return answer;
}

void doctor_check_conditions(Doctor *doctor) {
        Answer cgroups = check_cgroups(doctor), mounts = check_mounts(doctor);

        if (cgroups == ANSWER_NO || mounts == ANSWER_NO)
                doctor->can_happen = ANSWER_NO;
        else
                doctor->can_happen =
                                cgroups == ANSWER_YES && mounts == ANSWER_YES ? ANSWER_YES : ANSWER_UNKNOWN;
}

/* Pressure */

/* Adds a value, or that it cannot be read. */
static void add_pressure(Doctor *doctor, const char *name, char *evidence, const char *missing) {
        findings_add(doctor->findings, SECTION_PRESSURE, name, RESULT_NOTE, evidence ?: g_strdup(missing));
}

static char *describe_dying(const Doctor *doctor) {
        g_autofree char *text = doctor_read(doctor, CGROUP "cgroup.stat");
        const char *value = text ? strstr(text, "nr_dying_descendants ") : NULL;
        uint64_t n;

        if (!value || sscanf(value, "nr_dying_descendants %" SCNu64, &n) != 1)
                return NULL;
        return g_strdup_printf(
                        "%" PRIu64 " control group%s removed, but still own inodes or pages", n,
                        n == 1 ? "" : "s");
}

static char *describe_dirty(const Doctor *doctor) {
        g_autofree char *text = doctor_read(doctor, "proc/meminfo"), *size = NULL;
        uint64_t bytes;

        if (!text || meminfo_parse(text, &bytes) < 0)
                return NULL;
        size = bytes_format(bytes);
        return g_strdup_printf("%s not written yet (Dirty and Writeback)", size);
}

static char *describe_stalls(const Doctor *doctor) {
        static const char *const kinds[] = { "cpu", "io", "memory" };
        g_autoptr(GString) out = g_string_new(NULL);

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                g_autofree char *name = g_build_filename("proc/pressure", kinds[i], NULL);
                g_autofree char *text = doctor_read(doctor, name);
                double some;

                if (text && sscanf(text, "some avg10=%lf", &some) == 1)
                        g_string_append_printf(out, "%s%s %.0f %%", out->len > 0 ? ", " : "", kinds[i], some);
        }
        return out->len > 0 ? g_strdup_printf("tasks waited, of the last 10s: %s", out->str) : NULL;
}

void doctor_check_pressure(Doctor *doctor) {
        char *dirty = describe_dirty(doctor);

        add_pressure(doctor, "dying cgroups", describe_dying(doctor), "no cgroup.stat of version 2");
        /* Every kernel has /proc/meminfo: without it, the proc filesystem is missing or a part of it. */
        add_pressure(doctor, "PSI", describe_stalls(doctor),
                     dirty ? "no /proc/pressure: this kernel does not measure it"
                           : "/proc/pressure cannot be read");
        add_pressure(doctor, "dirty", dirty, "/proc/meminfo cannot be read");
}
