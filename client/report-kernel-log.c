/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The parts of a report that come from the kernel's log. */

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>

#include "kernel-log.h"
#include "report-writers.h"

/* A longer log loses its first lines: the last ones are about the stall. */
#define LOG_SIZE_MAX (1000 * 1024)

static void append_line(void *userdata, uint64_t usec, const char *text) {
        g_string_append_printf(
                        userdata, "[%5" PRIu64 ".%06" PRIu64 "] %s\n", usec / USEC_PER_SEC,
                        usec % USEC_PER_SEC, text);
}

static int write_kernel_lines(int fd, FILE *out) {
        g_autoptr(GString) lines = g_string_new(NULL);
        const char *begin;
        int r = kernel_log_read(fd, append_line, lines);

        begin = lines->str;
        if (lines->len > LOG_SIZE_MAX) {
                begin = strchr(lines->str + lines->len - LOG_SIZE_MAX, '\n') + 1;
                (void) fputs("(earlier lines are left out)\n", out);
        }
        (void) fputs(begin, out);
        return r;
}

int report_write_kernel_log(const ReportOptions *options, const char *const *arguments, FILE *out) {
        _cleanup_close_ int fd = kernel_log_open(options->root);

        return fd < 0 ? fd : write_kernel_lines(fd, out);
}

/* Backtraces of the CPUs come by interrupts. */
#define SYSRQ_WAIT_MSEC 1000

/* Backtraces of the running CPUs, tasks in state D, all tasks: what the kernel logs about them. */
int report_write_sysrq(const ReportOptions *options, const char *const *arguments, FILE *out) {
        g_autofree char *path = g_build_filename(options->root, "proc/sysrq-trigger", NULL);
        _cleanup_close_ int kmsg_fd = kernel_log_open(options->root),
                            fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        if (kmsg_fd < 0)
                return kmsg_fd;
        if (lseek(kmsg_fd, 0, SEEK_END) < 0)
                return -errno;

        for (const char *key = "lwt"; *key; key++)
                if (write(fd, key, 1) != 1)
                        return -errno;
        (void) poll(NULL, 0, SYSRQ_WAIT_MSEC);

        return write_kernel_lines(kmsg_fd, out);
}
