/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The environment of a test program: see surroundings.h. */

#include "surroundings.h"

#include <errno.h>
#include <glib.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/mount.h>

int isolate(int namespaces) {
        if (unshare(CLONE_NEWNS | namespaces) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") < 0)
                return -errno;

        g_assert_true(g_setenv("TMPDIR", "/run", true));
        return 0;
}

char *fixture_source_file(const char *name) {
        const char *root = g_getenv("WBWATCH_SOURCE_DIR");

        g_assert_nonnull(root);
        return g_build_filename(root, name, NULL);
}
