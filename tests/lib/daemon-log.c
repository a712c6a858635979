/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The daemon's log: see daemon-log.h. */

#include "daemon-log.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void daemon_log_init(DaemonLog *log) {
        log->text = g_string_new(NULL);
        g_mutex_init(&log->lock);
        g_cond_init(&log->more);
}

void daemon_log_done(DaemonLog *log) {
        (void) g_string_free(log->text, true);
        g_cond_clear(&log->more);
        g_mutex_clear(&log->lock);
}

static gpointer read_log(gpointer userdata) {
        DaemonLog *log = userdata;
        char buffer[4096];
        ssize_t n;

        while ((n = read(log->fd, buffer, sizeof(buffer))) > 0) {
                g_mutex_lock(&log->lock);
                g_string_append_len(log->text, buffer, n);
                g_cond_broadcast(&log->more);
                g_mutex_unlock(&log->lock);
                (void) fwrite(buffer, 1, (size_t) n, stderr);
        }

        return NULL;
}

void daemon_log_begin(DaemonLog *log, int fd) {
        log->fd = fd;
        log->reader = g_thread_new("log", read_log, log);
}

void daemon_log_end(DaemonLog *log) {
        (void) g_thread_join(g_steal_pointer(&log->reader));
        g_assert_no_errno(close(log->fd));
}

void daemon_log_wait(DaemonLog *log, const char *text, gint64 deadline_usec) {
        bool in_time = true, found = false;

        g_mutex_lock(&log->lock);
        while (!(found = strstr(log->text->str, text)) && in_time)
                in_time = g_cond_wait_until(&log->more, &log->lock, deadline_usec);
        g_mutex_unlock(&log->lock);

        if (!found)
                g_error("the daemon does not log \"%s\"", text);
}
