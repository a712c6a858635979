/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The real wbwatchd as a process of a test: see daemon.h. */

#include "daemon.h"

#include <gio/gio.h>
#include <sys/stat.h>

/* The program to start: a copy for another user, who may have no access to the build folder. */
static char *daemon_program(const DaemonSettings *settings) {
        const char *wbwatchd = g_getenv("WBWATCHD");
        g_autofree char *copy = g_build_filename(settings->folder, "wbwatchd", NULL);
        g_autoptr(GFile) original = NULL, target = g_file_new_for_path(copy);
        g_autoptr(GError) error = NULL;

        if (!wbwatchd)
                g_error("$WBWATCHD must name the program");
        if (settings->uid == 0)
                return g_strdup(wbwatchd);

        original = g_file_new_for_path(wbwatchd);
        (void) g_file_copy(original, target, G_FILE_COPY_OVERWRITE, NULL, NULL, NULL, &error);
        g_assert_no_error(error);
        g_assert_no_errno(chmod(copy, 0755));
        return g_steal_pointer(&copy);
}

/* AddressSanitizer insists on being the first library, without need. */
static char **preload_library(char **environment, const char *library) {
        g_autofree char *options =
                        g_strconcat(g_environ_getenv(environment, "ASAN_OPTIONS") ?: "",
                                    ":verify_asan_link_order=0", NULL);

        environment = g_environ_setenv(environment, "ASAN_OPTIONS", options, true);
        return g_environ_setenv(environment, "LD_PRELOAD", library, true);
}

Process daemon_start(
                const DaemonSettings *settings,
                const NotifySocket *notify,
                const char *const *arguments,
                int *ret_log) {
        g_auto(GStrv) environment = g_get_environ(), wrapper = g_strsplit(settings->wrapper ?: "", " ", -1);
        g_autofree char *wbwatchd = daemon_program(settings);
        g_autoptr(GPtrArray) all = g_ptr_array_new();

        for (char **word = wrapper; *word; word++)
                g_ptr_array_add(all, *word);
        g_ptr_array_add(all, wbwatchd);
        for (; *arguments; arguments++)
                g_ptr_array_add(all, (char *) *arguments);
        g_ptr_array_add(all, NULL);

        environment = g_environ_setenv(environment, "DBUS_SYSTEM_BUS_ADDRESS", settings->bus_address, true);
        environment = g_environ_setenv(environment, "STATE_DIRECTORY", settings->state_directory, true);
        environment = g_environ_setenv(environment, "NOTIFY_SOCKET", notify->path, true);
        environment = g_environ_unsetenv(environment, "WATCHDOG_USEC");
        if (settings->preload)
                environment = preload_library(environment, settings->preload);

        notify_socket_drain(notify);
        return process_start(
                        (const char *const *) all->pdata,
                        &(ProcessSettings){
                                        .environment = environment,
                                        .uid = settings->uid,
                                        .network_fd = settings->network_fd,
                                        .drops_stderr = !ret_log,
                        },
                        NULL, ret_log);
}
