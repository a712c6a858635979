/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "root-file.h"

#include <fcntl.h>
#include <sys/stat.h>

#define SIZE_MAX_READ (16 * 1024 * 1024)

static int open_below(const char *root, const char *path, int flags) {
        g_autofree char *full = g_build_filename(root, path, NULL);
        int fd = open(full, O_RDONLY | O_CLOEXEC | O_NOCTTY | flags);

        return fd < 0 ? -errno : fd;
}

static int read_whole(int fd, char **ret) {
        g_autoptr(GString) text = g_string_new(NULL);
        char buffer[16 * 1024];
        ssize_t n;

        while ((n = read(fd, buffer, sizeof(buffer))) > 0 && text->len < SIZE_MAX_READ)
                g_string_append_len(text, buffer, n);
        if (n < 0)
                return -errno;

        *ret = g_string_free(g_steal_pointer(&text), FALSE);
        return 0;
}

int root_file_read(const char *root, const char *path, char **ret) {
        _cleanup_close_ int fd = open_below(root, path, 0);

        return fd < 0 ? fd : read_whole(fd, ret);
}

int root_file_read_at_once(const char *root, const char *path, char **ret) {
        _cleanup_close_ int fd = open_below(root, path, O_NONBLOCK);
        struct stat status;

        if (fd < 0)
                return fd;
        if (fstat(fd, &status) < 0)
                return -errno;
        return S_ISREG(status.st_mode) ? read_whole(fd, ret) : -EINVAL;
}

int root_file_copy(const char *root, const char *path, FILE *out) {
        g_autofree char *text = NULL;
        int r = root_file_read(root, path, &text);

        if (r >= 0)
                (void) fputs(text, out);
        return r;
}

int root_file_read_lines(const char *root, const char *path, char ***ret) {
        g_autofree char *text = NULL;
        int r = root_file_read(root, path, &text);

        if (r >= 0)
                *ret = g_strsplit(text, "\n", -1);
        return r;
}

char *root_distribution(const char *root) {
        g_auto(GStrv) lines = NULL;

        if (root_file_read_lines(root, "etc/os-release", &lines) < 0)
                (void) root_file_read_lines(root, "usr/lib/os-release", &lines);
        for (char **line = lines; line && *line; line++)
                if (g_str_has_prefix(*line, "PRETTY_NAME="))
                        return g_shell_unquote(strchr(*line, '=') + 1, NULL);
        return NULL;
}
