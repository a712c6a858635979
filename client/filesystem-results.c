/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The filesystems of a sync, as text. */

#include "client.h"
#include "values.h"

/* More filesystems that did not answer would be no new information. */
#define FILESYSTEMS_SHOWN_MAX 8

bool filesystem_is_ok(GVariant *filesystem) {
        return lookup_is(filesystem, "Result", "ok");
}

char *filesystem_format(const Terminal *terminal, GVariant *filesystem, uint64_t age_usec) {
        g_autofree char *mountpoint = lookup_escaped(terminal, filesystem, "Mountpoint");
        g_autofree char *type = lookup_escaped(terminal, filesystem, "Type");
        g_autofree char *result = lookup_escaped(terminal, filesystem, "Result"), *span = NULL;
        uint64_t usec = lookup_number_or_zero(filesystem, "DurationUSec");

        if (streq(result, "pending") || streq(result, "slow"))
                usec = usec_add(usec, age_usec);
        span = span_format(usec);
        return g_strdup_printf(
                        "%s (%s): %s%s%s", mountpoint, type, result, usec > 0 ? " " : "",
                        usec > 0 ? span : "");
}

/* A text for each filesystem that is not ok, up to FILESYSTEMS_SHOWN_MAX. */
GPtrArray *describe_filesystems(const Terminal *terminal, GVariant *filesystems, uint64_t age_usec) {
        GPtrArray *texts = g_ptr_array_new_with_free_func(g_free);
        size_t n = filesystems ? g_variant_n_children(filesystems) : 0, n_more = 0;

        for (size_t i = 0; i < n; i++) {
                g_autoptr(GVariant) filesystem = g_variant_get_child_value(filesystems, i);

                if (filesystem_is_ok(filesystem))
                        continue;
                if (texts->len < FILESYSTEMS_SHOWN_MAX)
                        g_ptr_array_add(texts, filesystem_format(terminal, filesystem, age_usec));
                else
                        n_more++;
        }
        if (n_more > 0)
                g_ptr_array_add(texts, g_strdup_printf("and %zu more", n_more));
        return texts;
}

void filesystems_append(
                GString *out,
                const Terminal *terminal,
                const char *indent,
                GVariant *filesystems,
                uint64_t age_usec) {
        g_autoptr(GPtrArray) texts = describe_filesystems(terminal, filesystems, age_usec);

        for (size_t i = 0; i < texts->len; i++)
                g_string_append_printf(out, "%s%s\n", indent, (char *) texts->pdata[i]);
}
