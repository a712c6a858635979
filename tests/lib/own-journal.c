/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The journal of a test: see own-journal.h. */

#include "own-journal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>

#include "notify-socket.h"

#define JOURNALD "/usr/lib/systemd/systemd-journald"
#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"

bool own_journal_exists(void) {
        return g_file_test(JOURNALD, G_FILE_TEST_IS_EXECUTABLE) &&
               g_file_test("/etc/machine-id", G_FILE_TEST_EXISTS);
}

/* As the kernel spells it. */
static void set_boot_id(const char *id) {
        g_autofree char *text =
                        g_strdup_printf("%.8s-%.4s-%.4s-%.4s-%s\n", id, id + 8, id + 12, id + 16, id + 20);
        g_autofree char *path = g_build_filename(g_get_tmp_dir(), "boot-id", NULL);

        g_assert_true(g_file_set_contents(path, text, -1, NULL));
        g_assert_no_errno(mount(path, BOOT_ID_FILE, NULL, MS_BIND, NULL));
}

void own_journal_clear(void) {
        static const char *const folders[] = { "/run/log", "/var/log/journal" };

        g_assert_no_errno(g_mkdir_with_parents(folders[0], 0755));
        for (size_t i = 0; i < G_N_ELEMENTS(folders); i++)
                if (g_file_test(folders[i], G_FILE_TEST_IS_DIR))
                        g_assert_no_errno(mount("tmpfs", folders[i], "tmpfs", 0, "mode=755"));
}

Process own_journal_start(const char *boot_id, gint64 deadline_usec) {
        g_auto(GStrv) environment = g_get_environ();
        NotifySocket notify = notify_socket_new(g_get_tmp_dir());
        Process journald;

        g_assert_no_errno(g_mkdir_with_parents("/run/systemd/journal", 0755));
        if (boot_id)
                set_boot_id(boot_id);

        environment = g_environ_setenv(environment, "NOTIFY_SOCKET", notify.path, true);
        journald = process_start(
                        (const char *const[]){ JOURNALD, NULL },
                        &(ProcessSettings){ .environment = environment, .drops_stderr = true }, NULL, NULL);
        notify_socket_wait(&notify, "READY=1", deadline_usec);
        notify_socket_done(&notify);
        return journald;
}

void own_journal_sync(gint64 deadline_usec) {
        Process sync = process_start((const char *const[]){ "journalctl", "--sync", NULL }, NULL, NULL, NULL);

        g_assert_cmpint(process_wait_end(&sync, deadline_usec), ==, 0);
}

void own_journal_stop(Process *journald, gint64 deadline_usec) {
        g_assert_no_errno(kill(journald->pid, SIGTERM));
        g_assert_cmpint(process_wait_end(journald, deadline_usec), ==, 0);
        if (umount(BOOT_ID_FILE) < 0)
                g_assert_cmpint(errno, ==, EINVAL); /* it was the real one */
}
