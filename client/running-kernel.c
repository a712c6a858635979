/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "running-kernel.h"

#include <stdio.h>

#define BTF "sys/kernel/btf/vmlinux"
#define KALLSYMS "proc/kallsyms"
#define TRACEPOINT "sys/kernel/tracing/events/writeback/inode_switch_wbs_queue"

/* The member of struct bdi_writeback that the fix added, and the structure that kernels with and without it
 * have. */
#define MEMBER "switch_wbs_ctxs"
#define STRUCTURE "inode_switch_wbs_context"

/* The fix made this function global, so that its letter is T instead of t. */
#define FUNCTION "inode_switch_wbs_work_fn"

/* Names in BTF are enclosed by NULs. */
static bool has_name(const char *data, size_t size, const char *name) {
        g_autoptr(GString) enclosed = g_string_new(name);

        g_string_prepend_c(enclosed, '\0');
        g_string_append_c(enclosed, '\0');
        return memmem(data, size, enclosed->str, enclosed->len);
}

static Answer read_btf(const char *root) {
        g_autofree char *path = g_build_filename(root, BTF, NULL), *data = NULL;
        size_t size;

        if (!g_file_get_contents(path, &data, &size, NULL) || !has_name(data, size, STRUCTURE))
                return ANSWER_UNKNOWN;
        return has_name(data, size, MEMBER) ? ANSWER_YES : ANSWER_NO;
}

DEFINE_TRIVIAL_CLEANUP(FILE *, fclose);

static Answer read_kallsyms(const char *root) {
        g_autofree char *path = g_build_filename(root, KALLSYMS, NULL);
        _cleanup_(fclosep) FILE *file = fopen(path, "re");
        _cleanup_free_ char *line = NULL;
        size_t size = 0;

        while (file && getline(&line, &size, file) >= 0) {
                char type, name[sizeof(FUNCTION) + 1];

                /* One byte more, so that longer names differ. */
                if (sscanf(line, "%*s %c %25s", &type, name) == 2 && streq(name, FUNCTION))
                        return type == 'T' ? ANSWER_YES : ANSWER_NO;
        }
        return ANSWER_UNKNOWN;
}
_Static_assert(sizeof(FUNCTION) == 25, "the width of the format above");

/* Its absence proves nothing. */
static Answer read_tracepoint(const char *root) {
        g_autofree char *path = g_build_filename(root, TRACEPOINT, NULL);

        return access(path, F_OK) == 0 ? ANSWER_YES : ANSWER_UNKNOWN;
}

void running_kernel_read(const char *root, Kernel *kernel) {
        static const struct {
                Answer (*read)(const char *root);
                const char *yes, *no;
        } signs[] = {
                { read_btf, "/" BTF " has " MEMBER, "/" BTF " lacks " MEMBER },
                { read_kallsyms, "/" KALLSYMS " has T " FUNCTION, "/" KALLSYMS " has t " FUNCTION },
                { read_tracepoint, "/" TRACEPOINT " exists", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(signs) && kernel->has_fix_2025 == ANSWER_UNKNOWN; i++) {
                kernel->has_fix_2025 = signs[i].read(root);
                if (kernel->has_fix_2025 != ANSWER_UNKNOWN)
                        kernel->shown_by = g_strdup(
                                        kernel->has_fix_2025 == ANSWER_YES ? signs[i].yes : signs[i].no);
        }
}
