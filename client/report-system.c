/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The parts of a report that come from files: the machine, its filesystems and cgroups. */

#include <inttypes.h>
#include <sys/utsname.h>

#include "duration.h"
#include "filesystems.h"
#include "jobs.h"
#include "report-writers.h"
#include "root-file.h"
#include "text.h"

/* Files */

/* A file below its path, or why it cannot be read. */
static void write_titled(const char *root, const char *path, FILE *out) {
        g_autofree char *text = NULL;
        int r = root_file_read(root, path, &text);

        if (r < 0)
                (void) fprintf(out, "/%s: %s\n", path, errno_text(-r));
        else if (strchr(text, '\n') == text + strlen(text) - 1)
                (void) fprintf(out, "/%s: %s", path, text);
        else
                (void) fprintf(out, "/%s:\n%s\n", path, text);
        (void) fflush(out);
}

int report_write_files(const ReportOptions *options, const char *const *arguments, FILE *out) {
        for (; *arguments; arguments++) {
                g_autofree char *folder = g_path_get_dirname(*arguments),
                                *pattern = g_path_get_basename(*arguments),
                                *full = g_build_filename(options->root, folder, NULL);
                g_autoptr(GDir) entries = g_dir_open(full, 0, NULL);
                const char *name;

                while (entries && (name = g_dir_read_name(entries)))
                        if (g_pattern_match_simple(pattern, name)) {
                                g_autofree char *path = g_build_filename(folder, name, NULL);

                                write_titled(options->root, path, out);
                        }
        }
        return 0;
}

/* The kernel and the machine */

/* Documentation/admin-guide/tainted-kernels.rst has the bits. */
static const char *const taints[] = {
        "a proprietary module was loaded",
        "a module was loaded by force",
        "the CPU or the machine is out of its specification",
        "a module was unloaded by force",
        "a machine check was reported",
        "a bad page was found",
        "taint was requested by a program",
        "the kernel had an oops or BUG",
        "an ACPI table was replaced",
        "the kernel had a warning",
        "a staging driver was loaded",
        "a workaround for a firmware bug is in use",
        "a module from outside of the kernel's tree was loaded",
        "an unsigned module was loaded",
        "a soft lockup occurred",
        "the kernel was live patched",
        "auxiliary taint, defined by the distribution",
        "the structure randomization plugin was used",
        "an in-kernel test was run",
};

static void write_taint(const char *root, FILE *out) {
        g_autofree char *text = NULL;
        uint64_t taint;

        if (root_file_read(root, "proc/sys/kernel/tainted", &text) < 0)
                return;
        taint = g_ascii_strtoull(text, NULL, 10);
        (void) fprintf(out, "Taint:         %llu", (unsigned long long) taint);
        if (taint == 0)
                (void) fprintf(out, " (not tainted)");
        for (size_t i = 0; i < 64; i++)
                if (taint & UINT64_C(1) << i)
                        (void) fprintf(out, "; %s", i < ELEMENTSOF(taints) ? taints[i] : "an unknown reason");
        (void) fputc('\n', out);
}

static void write_first_line(const char *root, const char *title, const char *path, FILE *out) {
        g_autofree char *text = NULL;

        if (root_file_read(root, path, &text) >= 0)
                (void) fprintf(out, "%-15s%.*s\n", title, (int) strcspn(text, "\n"), text);
}

/* Where the version 2 is: on its own, or beside version 1. Below the root. */
static const char *cgroup2_folder(const char *root) {
        g_autofree char *file = g_build_filename(root, "sys/fs/cgroup/unified/cgroup.controllers", NULL);

        return access(file, F_OK) == 0 ? "sys/fs/cgroup/unified" : "sys/fs/cgroup";
}

/* "Dell Inc. PowerEdge R740", or "QEMU Standard PC, a virtual machine"; and the first model of its CPUs. */
static void write_machine(const char *root, FILE *out) {
        g_autofree char *vendor = NULL, *product = NULL, *cpus = NULL;
        const char *model;

        if (root_file_read(root, "proc/cpuinfo", &cpus) < 0)
                cpus = g_strdup("");
        if (root_file_read(root, "sys/class/dmi/id/product_name", &product) >= 0)
                (void) root_file_read(root, "sys/class/dmi/id/sys_vendor", &vendor);
        else if (root_file_read(root, "sys/firmware/devicetree/base/model", &product) < 0)
                product = g_strdup("unknown");
        (void) fprintf(out, "Machine:       %s%s%s%s\n", vendor ? g_strstrip(vendor) : "", vendor ? " " : "",
                       g_strstrip(product),
                       g_regex_match_simple("\\bhypervisor\\b", cpus, G_REGEX_RAW, 0) ? ", a virtual machine"
                                                                                      : "");
        model = strstr(cpus, "model name");
        if (model && (model = strstr(model, ": ")))
                (void) fprintf(out, "CPU:           %.*s\n", (int) strcspn(model + 2, "\n"), model + 2);
}

int report_write_system(const ReportOptions *options, const char *const *arguments, FILE *out) {
        g_autofree char *distribution = root_distribution(options->root), *uptime = NULL;
        g_autofree char *control =
                        g_build_filename(cgroup2_folder(options->root), "cgroup.subtree_control", NULL);
        struct utsname system = {};

        write_first_line(options->root, "Kernel:", "proc/version", out);
        if (distribution)
                (void) fprintf(out, "Distribution:  %s\n", distribution);
        (void) uname(&system);
        (void) fprintf(out, "Architecture:  %s\n", system.machine);
        write_machine(options->root, out);
        write_first_line(options->root, "CPUs online:", "sys/devices/system/cpu/online", out);
        write_first_line(options->root, "Controllers:", control, out);
        write_taint(options->root, out);
        if (root_file_read(options->root, "proc/uptime", &uptime) >= 0) {
                uint64_t usec = g_ascii_strtoull(uptime, NULL, 10) * USEC_PER_SEC;
                char duration[DURATION_SIZE];

                (void) fprintf(out, "Up for:        %s\n",
                               format_duration(round_duration(usec), duration, sizeof(duration)));
        }
        return 0;
}

/* /boot has it as text. */
int report_write_config(const ReportOptions *options, const char *const *arguments, FILE *out) {
        g_autofree char *release = NULL, *path = NULL,
                        *packed = g_build_filename(options->root, "proc/config.gz", NULL);

        if (access(packed, R_OK) == 0)
                return job_execute(
                                (const char *const[]){ "gzip", "-dc", packed, NULL }, /* has_errors= */ true);
        if (root_file_read(options->root, "proc/sys/kernel/osrelease", &release) < 0)
                return -ENOENT;
        path = g_strdup_printf("boot/config-%s", g_strstrip(release));
        return root_file_copy(options->root, path, out);
}

/* Without the addresses, which root would see. */
int report_write_modules(const ReportOptions *options, const char *const *arguments, FILE *out) {
        g_auto(GStrv) lines = NULL;
        int r = root_file_read_lines(options->root, "proc/modules", &lines);

        for (char **line = lines; line && *line && **line; line++) {
                char *address = strstr(*line, " 0x"), *flags = strchr(*line, '(');

                if (address)
                        *address = '\0';
                (void) fprintf(out, "%s%s%s\n", *line, flags ? " " : "", flags ?: "");
        }
        if (r != -ENOENT)
                return r;
        (void) fputs("This kernel has no loadable modules.\n", out);
        return 0;
}

/* Filesystems and cgroups */

/* Options with values that say nothing about this machine but how its filesystems work. */
static const char *const shown_options[] = {
        "barrier", "commit",   "compress", "data",           "discard",        "errors", "hard",    "inode32",
        "inode64", "logbsize", "logbufs",  "max_batch_time", "min_batch_time", "proto",  "retrans", "rsize",
        "stripe",  "sunit",    "swidth",   "timeo",          "vers",           "wsize",  NULL,
};

/* Values of other options are left out: servers, users, folders. */
static char *show_options(const ReportOptions *options, const char *text) {
        g_auto(GStrv) list = g_strsplit(text, ",", -1);

        for (char **option = list; !options->names && *option; option++) {
                char *value = strchr(*option, '=');

                if (value) {
                        *value = '\0';
                        if (g_strv_contains(shown_options, *option))
                                *value = '=';
                }
        }
        return g_strjoinv(",", list);
}

/* A mount without its source: device, type, mount point, options. */
static void write_mount(const ReportOptions *options, const Mount *mount, FILE *out) {
        g_autofree char *mount_options = show_options(options, mount->options),
                        *super_options = show_options(options, mount->super_options),
                        *device = g_strdup_printf("%u:%u", mount->major, mount->minor),
                        *path = g_malloc(TEXT_ESCAPED_SIZE(strlen(mount->mountpoint)));

        text_escape(mount->mountpoint, TEXT_ESCAPE_CONTROL, path,
                    TEXT_ESCAPED_SIZE(strlen(mount->mountpoint)));
        (void) fprintf(out, "%-7s %-10s %s %s; %s%s%s\n", device, mount->type, path, mount_options,
                       super_options, options->names ? " from " : "", options->names ? mount->source : "");
}

int report_write_filesystems(const ReportOptions *options, const char *const *arguments, FILE *out) {
        g_auto(GStrv) lines = NULL;
        int r = root_file_read_lines(options->root, "proc/self/mountinfo", &lines);

        for (char **line = lines; line && *line; line++) {
                Mount mount;

                if (mount_parse(*line, &mount) >= 0)
                        write_mount(options, &mount, out);
        }
        return r;
}

static const char *const common_cgroups[] = { "init.scope", "kubepods",     "kubepods.slice", "machine.slice",
                                              "machine",    "system.slice", "user.slice",     NULL };

/* Descendants and dying descendants of a cgroup below the root. */
static void write_cgroup(const ReportOptions *options, const char *folder, const char *name, FILE *out) {
        g_autofree char *path = g_build_filename(folder, name, "cgroup.stat", NULL), *text = NULL;
        const char *living, *dying;

        if (root_file_read(options->root, path, &text) < 0)
                return;
        living = strstr(text, "nr_descendants ");
        dying = strstr(text, "nr_dying_descendants ");
        if (living && dying)
                (void) fprintf(out, "%s: %.*s, %.*s\n",
                               options->names || g_strv_contains(common_cgroups, name) ? name : "<cgroup>",
                               (int) strcspn(living, "\n"), living, (int) strcspn(dying, "\n"), dying);
}

int report_write_cgroups(const ReportOptions *options, const char *const *arguments, FILE *out) {
        static const char *const files[] = { "cgroup.controllers", "cgroup.subtree_control", "cgroup.stat" };
        const char *folder = cgroup2_folder(options->root), *name;
        g_autofree char *full = g_build_filename(options->root, folder, NULL);
        g_autoptr(GDir) entries = g_dir_open(full, 0, NULL);

        for (size_t i = 0; entries && i < ELEMENTSOF(files); i++) {
                g_autofree char *path = g_build_filename(folder, files[i], NULL);

                (void) report_write_files(options, (const char *const[]){ path, NULL }, out);
        }
        while (entries && (name = g_dir_read_name(entries)))
                write_cgroup(options, folder, name, out);
        return 0;
}
