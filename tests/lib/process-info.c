/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What /proc says about a process: see process-info.h. */

#include "process-info.h"

#include <fcntl.h>
#include <stdio.h>

#include "macro.h"

char *process_text(pid_t pid, const char *file) {
        g_autofree char *path = g_strdup_printf("/proc/%d/%s", (int) pid, file);
        char *text = NULL;

        (void) g_file_get_contents(path, &text, NULL, NULL);
        return text;
}

static uint64_t number_behind(pid_t pid, const char *file, const char *key, unsigned base) {
        g_autofree char *text = process_text(pid, file);
        const char *found;

        g_assert_nonnull(text);
        found = strstr(text, key);
        g_assert_nonnull(found);
        return g_ascii_strtoull(found + strlen(key), NULL, base);
}

uint64_t process_number(pid_t pid, const char *file, const char *key) {
        return number_behind(pid, file, key, 10);
}

uint64_t process_status_number(pid_t pid, const char *key) {
        return process_number(pid, "status", key);
}

uint64_t process_status_mask(pid_t pid, const char *key) {
        return number_behind(pid, "status", key, 16);
}

uint64_t process_reading_faults(pid_t pid) {
        g_autofree char *text = process_text(pid, "stat");
        unsigned long n;

        g_assert_nonnull(text);
        g_assert_cmpint(sscanf(strrchr(text, ')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %lu", &n), ==, 1);
        return n;
}

/* Faster than process_text(), for loops over all processes. */
char *process_name(pid_t pid) {
        g_autofree char *path = g_strdup_printf("/proc/%d/comm", (int) pid);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        char name[64];
        ssize_t n = fd < 0 ? -1 : read(fd, name, sizeof(name));

        return n > 0 ? g_strchomp(g_strndup(name, (size_t) n)) : NULL;
}

bool process_is_called(pid_t pid, const char *name) {
        g_autofree char *found = process_name(pid);

        return g_strcmp0(found, name) == 0;
}

bool process_is_zombie(pid_t pid) {
        g_autofree char *text = process_text(pid, "stat");
        const char *end = text ? strrchr(text, ')') : NULL;

        return end && g_str_has_prefix(end, ") Z");
}

static bool is_child_of(pid_t pid, pid_t parent, const char *name) {
        g_autofree char *text = process_text(pid, "stat");
        g_autofree char *start = name ? g_strdup_printf("%d (%s)", (int) pid, name) : NULL;
        int found;

        return text && (!start || g_str_has_prefix(text, start)) &&
               sscanf(strrchr(text, ')'), ") %*c %d", &found) == 1 && found == parent;
}

/* From the stat of all processes: the kernel's list of children may miss one while others come and go. */
GArray *process_children(pid_t pid, const char *name) {
        GArray *children = g_array_new(false, false, sizeof(pid_t));
        g_autoptr(GDir) proc = g_dir_open("/proc", 0, NULL);
        const char *entry;

        g_assert_nonnull(proc);
        while ((entry = g_dir_read_name(proc))) {
                pid_t child = atoi(entry);

                if (child > 0 && is_child_of(child, pid, name))
                        g_array_append_val(children, child);
        }

        return children;
}

static void describe(GString *text, pid_t pid) {
        static const char *const files[] = { "status", "wchan", "stack" };

        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                g_autofree char *content = process_text(pid, files[i]);

                g_string_append_printf(text, "/proc/%d/%s:\n%s\n", (int) pid, files[i], content ?: "gone");
        }
}

char *process_describe(pid_t pid) {
        g_autoptr(GArray) children = process_children(pid, NULL);
        GString *text = g_string_new(NULL);

        describe(text, pid);
        for (size_t i = 0; i < children->len; i++)
                describe(text, g_array_index(children, pid_t, i));
        return g_string_free(text, false);
}

pid_t youngest_child(void) {
        g_autofree char *text = NULL;
        const char *last;
        pid_t pid;

        g_assert_true(g_file_get_contents("/proc/thread-self/children", &text, NULL, NULL));
        last = strrchr(g_strchomp(text), ' ');
        pid = atoi(last ?: text);
        g_assert_cmpint(pid, >, 0);
        return pid;
}

bool process_is_in_call(pid_t pid, long number) {
        g_autofree char *text = process_text(pid, "syscall");

        return text && g_ascii_isdigit(text[0]) && g_ascii_strtoll(text, NULL, 10) == number;
}
