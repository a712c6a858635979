/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "kernel-log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

int kernel_log_open(const char *root) {
        g_autofree char *path = g_build_filename(root, "dev/kmsg", NULL);
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

        return fd < 0 ? -errno : fd;
}

/* Documentation/ABI/testing/dev-kmsg has the format: "level+8*facility,number,usec,...;text". The facility of
 * the kernel is 0. Lines that begin with a blank belong to the one before. */
static bool parse_line(const char *line, uint64_t *ret_usec, const char **ret_text) {
        const char *text = strchr(line, ';');
        unsigned priority;

        if (!text || !g_ascii_isdigit(*line) || sscanf(line, "%u,%*u,%" SCNu64, &priority, ret_usec) != 2 ||
            priority >> 3 != 0)
                return false;
        *ret_text = text + 1;
        return true;
}

int kernel_log_read(int fd, void (*add)(void *userdata, uint64_t usec, const char *text), void *userdata) {
        g_autoptr(GString) records = g_string_new(NULL);
        char buffer[16 * 1024], *rest; /* a record is at most 8 KiB */
        ssize_t n;

        /* EPIPE: records were overwritten; the next one follows. */
        do {
                n = read(fd, buffer, sizeof(buffer));
                if (n > 0)
                        g_string_append_len(records, buffer, n);
        } while (n > 0 || (n < 0 && (errno == EPIPE || errno == EINTR)));
        n = n < 0 && errno != EAGAIN ? -errno : 0;

        rest = records->str;
        for (const char *line; (line = strsep(&rest, "\n"));) {
                const char *text;
                uint64_t usec;

                if (parse_line(line, &usec, &text))
                        add(userdata, usec, text);
        }
        return (int) n;
}
