/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Any text as a mountinfo, line by line, as a helper reads it. What is parsed is compared with a regular
 * expression, and the list with the rules: each filesystem with cgroup writeback once, in mount order, named
 * by its first mount that shows its root, or else by its first mount, decoded.
 */

#include "fuzz.h"

#include "filesystems.h"

#define TYPES "|ext2|ext3|ext4|xfs|btrfs|f2fs|"

/* The same list in another form. */
typedef struct Known {
        uint64_t device;
        bool is_whole;
        GString *mountpoint;
} Known;

static void known_done(void *data) {
        Known *known = data;

        g_string_free(known->mountpoint, true);
}

static GString *decoded(const char *text) {
        GString *result = g_string_new(NULL);

        while (*text) {
                unsigned value = 0, n = 0;

                if (text[0] == '\\')
                        while (n < 3 && text[n + 1] >= '0' && text[n + 1] <= '7')
                                value = value * 8 + (unsigned) (text[++n] - '0');
                if (n == 3) {
                        g_string_append_c(result, (char) value);
                        text += 4;
                } else
                        g_string_append_c(result, *text++);
        }

        /* A NUL ends it. */
        g_string_truncate(result, strlen(result->str));
        return result;
}

/* The fields in their order; numbers are checked separately, since they have bounds. */
static bool fields_are_good(const char *line, char ***ret_fields) {
        static GRegex *regex;
        g_auto(GStrv) fields = NULL;

        if (!regex)
                regex = fuzz_regex("^[0-9]+ [^ ]+ [0-9]+:[0-9]+ [^ ]+ [^ ]+( (?!- )[^ ]+)* - [^ ]+( |$)");
        if (!fuzz_match(regex, line, strlen(line), NULL))
                return false;

        fields = g_strsplit(line, " ", -1);
        *ret_fields = g_steal_pointer(&fields);
        return true;
}

static bool number_fits(const char *text, uint64_t maximum) {
        g_autofree char *digits = g_strndup(text, strspn(text, "0123456789"));
        guint64 number;

        return g_ascii_string_to_unsigned(digits, 10, 0, maximum, &number, NULL);
}

/* Whether a line is a valid one of mountinfo, and its fields. */
static bool line_is_good(const char *line, char ***ret_fields) {
        g_auto(GStrv) fields = NULL;

        if (!fields_are_good(line, &fields) || !number_fits(fields[0], UINT64_MAX) ||
            !number_fits(fields[2], UINT32_MAX) || !number_fits(strchr(fields[2], ':') + 1, UINT32_MAX))
                return false;

        *ret_fields = g_steal_pointer(&fields);
        return true;
}

static const char *type_field(char **fields) {
        size_t i = 5;

        while (!streq(fields[i], "-"))
                i++;
        return fields[i + 1];
}

static void check_text(const char *found, const char *raw) {
        GString *expected = decoded(raw);

        fuzz_assert(streq(found, expected->str));
        g_string_free(expected, true);
}

static void check_mount(const Mount *mount, char **fields) {
        g_auto(GStrv) device = g_strsplit(fields[2], ":", 2);

        fuzz_assert(mount->id == g_ascii_strtoull(fields[0], NULL, 10));
        fuzz_assert(mount->major == g_ascii_strtoull(device[0], NULL, 10));
        fuzz_assert(mount->minor == g_ascii_strtoull(device[1], NULL, 10));
        check_text(mount->root, fields[3]);
        check_text(mount->mountpoint, fields[4]);
        check_text(mount->type, type_field(fields));
}

static void know(GArray *all, const Mount *mount) {
        Known known = { (uint64_t) mount->major << 32 | mount->minor, streq(mount->root, "/"), NULL };

        for (guint i = 0; i < all->len; i++) {
                Known *other = &g_array_index(all, Known, i);

                if (other->device != known.device)
                        continue;
                if (known.is_whole && !other->is_whole) {
                        other->is_whole = true;
                        g_string_assign(other->mountpoint, mount->mountpoint);
                }
                return;
        }

        if (all->len < FILESYSTEMS_MAX) {
                known.mountpoint = g_string_new(mount->mountpoint);
                g_array_append_val(all, known);
        }
}

/* Cut only at the end, and not within a character. */
static void check_cut(const char *name, const GString *full) {
        size_t size = sizeof(((Filesystem *) NULL)->mountpoint), length = strnlen(name, size);

        fuzz_assert(length < size && length <= full->len);
        fuzz_assert(memcmp(name, full->str, length) == 0);
        if (full->len < size)
                fuzz_assert(length == full->len);
        else if (g_utf8_validate(full->str, (gssize) full->len, NULL))
                fuzz_assert(length >= size - 4 && g_utf8_validate(name, -1, NULL));
}

static void check_list(const FilesystemList *list, const GArray *all) {
        fuzz_assert(list->n == all->len);
        for (uint32_t i = 0; i < list->n; i++) {
                const Filesystem *filesystem = list->filesystems + i;
                const Known *known = &g_array_index(all, Known, i);

                fuzz_assert(((uint64_t) filesystem->major << 32 | filesystem->minor) == known->device);
                fuzz_assert(!!filesystem->is_whole == known->is_whole);
                check_cut(filesystem->mountpoint, known->mountpoint);
        }
}

static void take_line(const char *line, FilesystemList *list, GArray *all) {
        char *copy = fuzz_text((const uint8_t *) line, strlen(line));
        g_autofree char *wrapped = NULL;
        g_auto(GStrv) fields = NULL;
        Mount mount = {};
        bool is_good = line_is_good(line, &fields), has_writeback;

        fuzz_assert((mount_parse(copy, &mount) >= 0) == is_good);
        if (is_good) {
                check_mount(&mount, fields);
                wrapped = g_strconcat("|", mount.type, "|", NULL);
                has_writeback = !strchr(mount.type, '|') && mount.type[0] && strstr(TYPES, wrapped);
                fuzz_assert(mount_has_cgroup_writeback(&mount) == has_writeback);
                fuzz_assert(mount_is_whole(&mount) == streq(mount.root, "/"));
                if (has_writeback) {
                        filesystems_add(list, &mount);
                        know(all, &mount);
                }
        }
        free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_autoptr(GArray) all = g_array_new(false, false, sizeof(Known));
        char *text = fuzz_text(data, size);
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
        FilesystemList list = {};

        g_array_set_clear_func(all, known_done);
        for (char **line = lines; *line; line++)
                take_line(*line, &list, all);
        check_list(&list, all);

        free(text);
        return 0;
}
