/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "prometheus.h"

#include <gio/gio.h>
#include <sys/wait.h>

#include "macro.h"

static const char *folder(void) {
        return g_getenv("WBWATCH_PROMETHEUS") ?: "/";
}

char *prometheus_program(const char *name) {
        g_autofree char *path = g_build_filename(folder(), "usr/bin", name, NULL);

        return g_file_test(path, G_FILE_TEST_IS_EXECUTABLE) ? g_steal_pointer(&path) : g_strdup(name);
}

bool prometheus_is_there(void) {
        g_autofree char *program = prometheus_program("promtool"), *found = g_find_program_in_path(program);

        if (!found)
                g_test_skip("no promtool: see tests/get-prometheus");
        return found;
}

/* Runs a command of a shell in the source folder, with the text as its input; it must succeed. */
static char *run_shell(const char *command, const char *input) {
        g_autofree char *modules = g_build_filename(folder(), "usr/lib/python3/dist-packages", NULL);
        g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(
                        G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE |
                        G_SUBPROCESS_FLAGS_STDERR_MERGE);
        g_autoptr(GSubprocess) process = NULL;
        g_autoptr(GError) error = NULL;
        char *output = NULL;

        g_subprocess_launcher_set_cwd(launcher, g_getenv("WBWATCH_SOURCE_DIR"));
        g_subprocess_launcher_setenv(launcher, "PYTHONPATH", modules, true);
        g_subprocess_launcher_setenv(launcher, "PYTHONDONTWRITEBYTECODE", "1", true);
        process = g_subprocess_launcher_spawn(launcher, &error, "/bin/sh", "-c", command, NULL);
        g_assert_no_error(error);
        (void) g_subprocess_communicate_utf8(process, input, NULL, &output, NULL, &error);
        g_assert_no_error(error);
        if (!g_subprocess_get_successful(process))
                g_error("%s: %s\n%s", command, output, input);
        return output;
}

void promtool(const char *arguments) {
        g_autofree char *program = prometheus_program("promtool");
        g_autofree char *command = g_strdup_printf("%s %s", program, arguments), *output = NULL;

        output = run_shell(command, "");
        g_test_message("promtool %s\n%s", arguments, output);
}

char *metrics_parse(const char *text, bool is_openmetrics) {
        g_autofree char *program = prometheus_program("promtool"), *command = NULL, *lint = NULL;

        if (is_openmetrics)
                return run_shell("tests/check-metrics openmetrics", text);
        command = g_strdup_printf("%s check metrics", program);
        lint = run_shell(command, text);
        g_assert_cmpstr(lint, ==, "");
        return run_shell("tests/check-metrics text", text);
}

/* Without a proxy: the search for one loads modules of GLib that are there on some machines. */
GSocketClient *http_client_new(void) {
        GSocketClient *client = g_socket_client_new();

        g_socket_client_set_enable_proxy(client, FALSE);
        return client;
}

char *http_request(const char *address, const char *method, const char *path, const char *headers) {
        g_autoptr(GSocketClient) client = http_client_new();
        g_autoptr(GSocketConnection) connection = NULL;
        g_autoptr(GError) error = NULL;
        g_autofree char *request =
                        g_strdup_printf("%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s\r\n", method,
                                        path, address, headers);
        g_autoptr(GString) answer = g_string_new(NULL);
        char buffer[16 * 1024];
        gssize n;

        connection = g_socket_client_connect_to_host(client, address, 80, NULL, NULL);
        if (!connection)
                return g_strdup("");
        (void) g_output_stream_write_all(
                        g_io_stream_get_output_stream(G_IO_STREAM(connection)), request, strlen(request),
                        NULL, NULL, &error);
        g_assert_no_error(error);
        while ((n = g_input_stream_read(
                                g_io_stream_get_input_stream(G_IO_STREAM(connection)), buffer, sizeof(buffer),
                                NULL, &error)) > 0)
                g_string_append_len(answer, buffer, n);
        g_assert_no_error(error);
        return g_string_free(g_steal_pointer(&answer), FALSE);
}

const char *http_content(const char *answer) {
        const char *end = strstr(answer, "\r\n\r\n");

        return end ? end + 4 : "";
}
