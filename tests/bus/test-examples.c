/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The commands of the manual pages' examples and the first one of the README, run as they are with the real
 * daemon. */

#include <glib/gstdio.h>
#include <sys/wait.h>

#include "bus-fixture.h"

/* man(1) shows an example with this indent, and nothing else in the section EXAMPLES but a plot, of which
 * some lines have a larger one. */
#define EXAMPLE_INDENT "           "

/* Examples that never end, and those that are no commands. */
static const char *const not_run[] = { "gdbus monitor", "[Watch]", "# /etc", NULL };

static char *source_path(const char *name) {
        return g_build_filename(g_getenv("WBWATCH_SOURCE_DIR"), name, NULL);
}

/* A page as man(1) shows it. */
static char *page_show(const char *name) {
        g_autofree char *path = source_path(name), *quoted = g_shell_quote(path);
        g_autofree char *command = g_strdup_printf(
                        "env MANWIDTH=200 MANOPT= GROFF_NO_SGR=1 man -E ascii -P cat -l %s", quoted);
        g_autoptr(GError) error = NULL;
        char *text = NULL;

        g_spawn_command_line_sync(command, &text, NULL, NULL, &error);
        g_assert_no_error(error);
        return text;
}

/* The examples of a page, each of one or more lines. */
static GPtrArray *page_examples(const char *name) {
        GPtrArray *examples = g_ptr_array_new_with_free_func(g_free);
        g_autofree char *page = page_show(name);
        g_auto(GStrv) lines = g_strsplit(page, "\n", -1);
        char **line = lines;
        GString *example = NULL;

        while (!streq(*line, "EXAMPLES"))
                line++;
        for (line++; *line && !g_ascii_isupper(**line); line++)
                if (g_str_has_prefix(*line, EXAMPLE_INDENT) &&
                    (example || (*line)[strlen(EXAMPLE_INDENT)] != ' ')) {
                        if (!example)
                                example = g_string_new(NULL);
                        g_string_append_printf(example, "%s\n", *line + strlen(EXAMPLE_INDENT));
                } else if (example) {
                        g_ptr_array_add(examples, g_string_free(example, false));
                        example = NULL;
                }
        g_assert_null(example);
        g_assert_cmpuint(examples->len, >, 0);
        return examples;
}

static bool is_run(const char *example) {
        for (const char *const *begin = not_run; *begin; begin++)
                if (g_str_has_prefix(example, *begin))
                        return false;
        return true;
}

static void add_program(const char *folder, const char *name, const char *script) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_autofree char *text = g_strdup_printf("#!/bin/sh\n%s\n", script);
        g_autoptr(GError) error = NULL;

        g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_NONE, 0755, &error);
        g_assert_no_error(error);
}

/* What the examples call, besides the programs of the system. */
static void add_programs(const char *folder) {
        g_autofree char *wbctl = g_strdup_printf("exec '%s' \"$@\"", g_getenv("WBCTL"));
        g_autofree char *wbwatchd = g_strdup_printf("exec '%s' \"$@\" --check-config", g_getenv("WBWATCHD"));

        add_program(folder, "wbctl", wbctl);
        add_program(folder, "wbwatchd", wbwatchd);
        add_program(folder, "benchmark", "");
        add_program(folder, "ssh",
                    "case \" $* \" in *' -- '*) while [ \"$1\" != -- ]; do shift; done; shift ;; esac\n"
                    "shift\n"
                    "[ \"$1\" != systemd-stdio-bridge ] || exec \"$1\" -p \"$DBUS_SYSTEM_BUS_ADDRESS\"\n"
                    "eval \"$*\"");
}

static char *run(BusFixture *fixture, const char *command, int *ret_status) {
        const char *arguments[] = { "sh", "-e", "-c", command, NULL };
        g_autofree char *path = g_strdup_printf("%s:%s", fixture->folder, g_getenv("PATH"));
        g_auto(GStrv) environment = g_get_environ();
        g_autoptr(GError) error = NULL;
        char *errors;

        environment = g_environ_setenv(environment, "PATH", path, true);
        environment = g_environ_setenv(environment, "DBUS_SYSTEM_BUS_ADDRESS", fixture->bus_address, true);
        g_spawn_sync(fixture->folder, (char **) arguments, environment,
                     G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL, &errors, ret_status,
                     &error);
        g_assert_no_error(error);
        return errors;
}

/* The exit statuses of doctor are verdicts: 0, 2 and 3. */
static bool is_success(int status, const char *example) {
        bool is_doctor = strstr(example, "wbctl") && strstr(example, " doctor");

        return status == 0 ||
               (is_doctor && WIFEXITED(status) && (WEXITSTATUS(status) == 2 || WEXITSTATUS(status) == 3));
}

static void run_example(BusFixture *fixture, const char *example) {
        g_autofree char *errors = NULL, *command = NULL;
        g_auto(GStrv) parts = g_strsplit(example, "--root=/host", -1);
        int status;

        /* This machine stands for the host. */
        command = g_strjoinv("--root=/", parts);
        errors = run(fixture, command, &status);
        g_test_message("%s%s", example, errors);
        if (!is_success(status, example) || strstr(errors, "See `wbctl --help`"))
                g_test_fail_printf("%d: %s%s", status, example, errors);
}

static void test_page(BusFixture *fixture, gconstpointer data) {
        g_autoptr(GPtrArray) examples = page_examples(data);
        _cleanup_client_ Client *client = NULL;

        fixture_write_config(fixture, "[Watch]\nSyncMethod=syncfs\n");
        fixture_start_bus(fixture);
        client = client_new(fixture, UID_ROOT);
        fixture_start_daemon(fixture, NULL);
        g_free(client_wait_owner(client, BUS_NAME));
        add_programs(fixture->folder);

        for (guint i = 0; i < examples->len; i++)
                if (is_run(examples->pdata[i]))
                        run_example(fixture, examples->pdata[i]);
        fixture_stop_daemon(fixture);
}

/* As if a process vanished after the shell has listed it. */
static void test_readme(BusFixture *fixture, gconstpointer data) {
        g_autofree char *path = source_path("README.md"), *text = NULL, *errors = NULL;
        g_autoptr(GString) command = g_string_new(NULL);
        g_autoptr(GError) error = NULL;
        const char *begin;
        int status;

        g_file_get_contents(path, &text, NULL, &error);
        g_assert_no_error(error);
        begin = strstr(text, "\n    grep ");
        g_assert_nonnull(begin);
        begin += strlen("\n    ");
        g_string_append_len(command, begin, (gssize) strcspn(begin, "\n"));
        g_assert_cmpuint(g_string_replace(command, "/stat ", "/stat /proc/2147483647/stat ", 1), ==, 1);
        fixture_start_bus(fixture);
        errors = run(fixture, command->str, &status);
        g_assert_cmpint(status, ==, 0);
        g_assert_cmpstr(errors, ==, "");
}

int main(int argc, char **argv) {
        if (!fixture_isolate())
                return EXIT_SUCCESS;
        g_test_init(&argc, &argv, NULL);

        g_test_add("/examples/wbctl", BusFixture, "client/wbctl.1", fixture_set_up, test_page,
                   fixture_tear_down);
        g_test_add("/examples/bus", BusFixture, "dbus/org.wbwatch1.5", fixture_set_up, test_page,
                   fixture_tear_down);
        g_test_add("/examples/wbwatchd", BusFixture, "service/wbwatchd.8", fixture_set_up, test_page,
                   fixture_tear_down);
        FIXTURE_TEST("/examples/readme", test_readme);
        return g_test_run();
}
