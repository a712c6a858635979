/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The real polkitd on a private bus: see polkit.h. */

#include "polkit.h"

#include <sys/mount.h>
#include <sys/stat.h>

#include "macro.h"
#include "surroundings.h"

/* All folders that polkitd reads; it has no option to change them. */
static const char *const folders[] = {
        "/usr/share/polkit-1/actions",
        "/usr/share/polkit-1/rules.d",
        "/etc/polkit-1/rules.d",
};

/* Bind-mounts an empty folder over each. */
static void hide_folders(const char *folder) {
        for (size_t i = 0; i < ELEMENTSOF(folders); i++) {
                g_autofree char *empty = g_build_filename(folder, "polkit-XXXXXX", NULL);

                g_assert_nonnull(g_mkdtemp_full(empty, 0755));
                g_assert_no_errno(mount(empty, folders[i], NULL, MS_BIND, NULL));
        }
}

/* polkitd runs as another user. */
static void write_file(const char *path, const char *text) {
        g_autoptr(GError) error = NULL;

        (void) g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0644, &error);
        g_assert_no_error(error);
}

Process polkit_start(const char *folder, const char *bus_address, const char *rules) {
        /* polkitd changes its user, which clears its parent death signal. So it runs in a pid namespace whose
         * first process, a shell, keeps the signal. */
        static const char *const arguments[] = {
                "unshare",
                "--pid",
                "--fork",
                "--kill-child",
                "sh",
                "-c",
                "/usr/lib/polkit-1/polkitd --no-debug & wait",
                NULL,
        };
        g_autofree char *policy = fixture_source_file("polkit/org.wbwatch1.policy"), *text = NULL;
        g_auto(GStrv) environment = g_get_environ();

        hide_folders(folder);
        g_assert_true(g_file_get_contents(policy, &text, NULL, NULL));
        write_file("/usr/share/polkit-1/actions/org.wbwatch1.policy", text);
        if (rules)
                write_file("/etc/polkit-1/rules.d/10-test.rules", rules);

        environment = g_environ_setenv(environment, "DBUS_SYSTEM_BUS_ADDRESS", bus_address, true);
        return process_start(arguments, &(ProcessSettings){ .environment = environment }, NULL, NULL);
}

void polkit_stop(Process *polkit, gint64 deadline_usec) {
        if (polkit->pid == 0)
                return;

        process_kill(polkit, deadline_usec);
        for (size_t i = 0; i < ELEMENTSOF(folders); i++)
                g_assert_no_errno(umount2(folders[i], MNT_DETACH));
}
