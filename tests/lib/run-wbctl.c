/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "run-wbctl.h"

#include <glib.h>
#include <stdbool.h>
#include <sys/wait.h>

int run_wbctl(const char *arguments, const char *address, char **ret_stdout, char **ret_stderr) {
        const char *wbctl = g_getenv("WBCTL");
        g_auto(GStrv) environment = g_get_environ(), argv = NULL;
        g_autoptr(GError) error = NULL;
        g_autofree char *line = NULL;
        int status;

        g_assert_nonnull(wbctl);
        line = g_strdup_printf("'%s' %s", wbctl, arguments);
        g_shell_parse_argv(line, NULL, &argv, &error);
        g_assert_no_error(error);
        environment = g_environ_setenv(
                        environment, "DBUS_SYSTEM_BUS_ADDRESS", address ?: "unix:path=/nonexistent/bus",
                        true);
        environment = g_environ_setenv(environment, "LC_ALL", "C.UTF-8", true);

        g_spawn_sync(NULL, argv, environment, G_SPAWN_STDIN_FROM_DEV_NULL, NULL, NULL, ret_stdout, ret_stderr,
                     &status, &error);
        g_assert_no_error(error);
        g_assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}
