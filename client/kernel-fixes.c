/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "kernel-fixes.h"

#include <stdio.h>
#include <sys/utsname.h>

#include "kernel-table.h"
#include "root-file.h"
#include "running-kernel.h"

/* A line for each bug is shorter than its section of the table. */
#define TEXT_MAX (64 * 1024)

static int add_file(KernelTable *table, const char *path) {
        g_autofree char *text = NULL, *reason = NULL;
        int r = root_file_read("", path, &text);

        return r < 0 ? r : kernel_table_add(table, text, path, &reason);
}

static int read_table(KernelTable *table, const char *path) {
        int r;

        if (path)
                return add_file(table, path);
        r = add_file(table, KERNEL_TABLE_BUILT_IN);
        if (r < 0)
                return r;
        r = add_file(table, KERNEL_TABLE_LOCAL);
        return r == -ENOENT ? 0 : r;
}

/* From uname(2), which has the text of /proc/version that counts: a service may see no such file. */
static void read_kernel(const KernelTable *table, Kernel *kernel) {
        struct utsname names;

        running_kernel_read("/", kernel);
        if (uname(&names) >= 0)
                kernel_set_release(kernel, table, names.release, names.version);
}

static int write_fixes(const void *userdata, FILE *out) {
        _cleanup_(kernel_table_freep) KernelTable *table = kernel_table_new();
        _cleanup_(kernel_done) Kernel kernel = KERNEL_NONE;
        int r;

        r = read_table(table, userdata);
        if (r < 0)
                return r;
        read_kernel(table, &kernel);
        for (size_t i = 0; i < table->fixes->len; i++) {
                const KernelFix *fix = table->fixes->pdata[i];
                g_autofree char *evidence = NULL;
                Answer affected = kernel_judge(table, fix, &kernel, &evidence);

                if (affected != ANSWER_UNKNOWN)
                        (void) fprintf(out, "%d%s\n", affected == ANSWER_NO, fix->name);
        }
        return 0;
}

void kernel_fixes_start(KernelFixes *fixes, const char *table_path) {
        fixes->job = (Job){
                .run = write_fixes, .userdata = table_path, .size_max = TEXT_MAX, .result = g_string_new(NULL)
        };
        jobs_start(&fixes->job, 1);
}

GVariant *kernel_fixes_finish(KernelFixes *fixes, uint64_t deadline_usec) {
        g_auto(GVariantBuilder) builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a{sb}"));
        g_autoptr(GString) text = fixes->job.result;
        g_auto(GStrv) lines = NULL;

        jobs_finish(&fixes->job, 1, deadline_usec);
        if (fixes->job.status == 0 && !fixes->job.timed_out && !fixes->job.truncated)
                lines = g_strsplit(text->str, "\n", -1);
        for (char **line = lines; line && *line && **line; line++)
                g_variant_builder_add(&builder, "{sb}", *line + 1, **line == '1');
        return g_variant_ref_sink(g_variant_builder_end(&builder));
}
