/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The verb sync: requests a sync, waits until it ends, and shows its progress meanwhile. */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "client.h"
#include "connection.h"
#include "json.h"
#include "values.h"

static bool meminfo_find(const char *text, const char *name, uint64_t *ret_kib) {
        size_t length = strlen(name);

        for (const char *line = text; line; line = strchr(line, '\n')) {
                if (*line == '\n')
                        line++;
                if (strncmp(line, name, length) == 0 && line[length] == ':') {
                        char *end;

                        errno = 0;
                        *ret_kib = g_ascii_strtoull(line + length + 1, &end, 10);
                        return errno == 0 && end != line + length + 1;
                }
        }
        return false;
}

int meminfo_parse(const char *text, uint64_t *ret_bytes) {
        uint64_t dirty_kib, writeback_kib;

        if (!meminfo_find(text, "Dirty", &dirty_kib) || !meminfo_find(text, "Writeback", &writeback_kib))
                return -EBADMSG;

        *ret_bytes = (dirty_kib + writeback_kib) * 1024;
        return 0;
}

static int meminfo_read(uint64_t *ret_bytes) {
        _cleanup_close_ int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
        char text[8192];
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = read(fd, text, sizeof(text) - 1);
        if (n < 0)
                return -errno;
        text[n] = '\0';
        return meminfo_parse(text, ret_bytes);
}

typedef struct Progress {
        Terminal terminal;
        bool begun; /* what is on the terminal is not a password prompt */
        bool known; /* start_bytes is valid */
        uint64_t start_bytes;
        GVariant *filesystems; /* the last FilesystemResults seen, or NULL */
        char *sender;          /* of filesystems */
        uint64_t seen_usec;    /* when they were received */
        size_t n_lines;        /* on the terminal now */
} Progress;

static void progress_clear(Progress *progress) {
        g_clear_pointer(&progress->filesystems, g_variant_unref);
        g_clear_pointer(&progress->sender, g_free);
}

static int on_sync_started(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Progress *progress = userdata;

        progress->begun = true;
        return 0;
}

static int on_properties_changed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Progress *progress = userdata;
        g_autoptr(GVariant) arguments = NULL, changed = NULL, filesystems = NULL;

        if (arguments_from_message(message, &arguments) < 0 ||
            !g_variant_is_of_type(arguments, G_VARIANT_TYPE("(sa{sv}as)")))
                return 0;
        changed = g_variant_get_child_value(arguments, 1);
        filesystems = lookup_list(changed, "FilesystemResults");
        if (!filesystems)
                return 0;

        progress_clear(progress);
        progress->filesystems = g_steal_pointer(&filesystems);
        progress->sender = g_strdup(sd_bus_message_get_sender(message));
        progress->seen_usec = usec_now(CLOCK_MONOTONIC);
        return 0;
}

static void progress_append(GString *out, const Progress *progress, uint64_t elapsed_usec) {
        g_autofree char *elapsed = span_format(elapsed_usec / USEC_PER_SEC * USEC_PER_SEC);
        uint64_t bytes;

        g_string_append_printf(out, "Syncing for %s", elapsed);
        if (progress->known && meminfo_read(&bytes) >= 0) {
                g_autofree char *left = bytes_format(bytes), *start = bytes_format(progress->start_bytes);

                g_string_append_printf(out, ": %s left to write, %s at first", left, start);
        }
        g_string_append_c(out, '\n');
        filesystems_append(
                        out, &progress->terminal, "  ", progress->filesystems,
                        usec_subtract(usec_now(CLOCK_MONOTONIC), progress->seen_usec));
}

/* Moves the cursor to the beginning of the lines printed last, and erases them. */
static void progress_erase(Progress *progress) {
        if (progress->n_lines > 1)
                printf("\033[%zuA", progress->n_lines - 1);
        printf("\r\033[J");
        progress->n_lines = 0;
}

/* Truncates lines that would wrap, since they could not be erased. The cursor stays after the last one. */
static void progress_print(Progress *progress, const char *text) {
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

        for (char **line = lines; *line; line++)
                if (**line) {
                        g_autofree char *cut = text_cut(*line, progress->terminal.columns - 1);

                        printf("%s%s", progress->n_lines > 0 ? "\n" : "", cut);
                        progress->n_lines++;
                }
}

/* Prints the progress: the time so far, what is left to write, and the filesystems that have not answered. */
static void show_progress(uint64_t elapsed_usec, void *userdata) {
        Progress *progress = userdata;
        g_autoptr(GString) text = g_string_new(NULL);

        if (!progress->begun)
                return;

        progress_erase(progress);
        if (elapsed_usec != USEC_INFINITY) {
                progress_append(text, progress, elapsed_usec);
                progress_print(progress, text->str);
        }
        (void) fflush(stdout);
}

void synced_append(GString *out, const Terminal *terminal, uint64_t duration_usec, GVariant *filesystems) {
        g_autofree char *span = span_format(duration_usec);
        g_autoptr(GString) lines = g_string_new(NULL);

        filesystems_append(lines, terminal, "  ", filesystems, 0);
        g_string_append_printf(
                        out, "Synced in %s%s\n%s", span,
                        lines->len > 0 ? "; not all filesystems answered:" : ".", lines->str);
}

void synced_append_json(GString *out, uint64_t duration_usec, GVariant *filesystems) {
        g_string_append_printf(out, "{\"DurationUSec\":%" PRIu64 ",\"FilesystemResults\":", duration_usec);
        if (filesystems)
                json_append(out, filesystems);
        else
                g_string_append(out, "[]");
        g_string_append(out, "}\n");
}

static void print_synced(const Options *options, uint64_t duration_usec, GVariant *filesystems) {
        g_autoptr(GString) out = g_string_new(NULL);

        if (options->json)
                synced_append_json(out, duration_usec, filesystems);
        else
                synced_append(out, &options->terminal, duration_usec, filesystems);
        (void) fwrite(out->str, 1, out->len, stdout);
}

static int progress_follow(sd_bus *bus, Progress *progress) {
        int r;

        r = sd_bus_match_signal(
                        bus, NULL, connection_sender(), BUS_PATH, BUS_INTERFACE, SIGNAL_SYNC_STARTED,
                        on_sync_started, progress);
        if (r < 0)
                return r;
        return sd_bus_match_signal(
                        bus, NULL, connection_sender(), BUS_PATH, PROPERTIES_INTERFACE, "PropertiesChanged",
                        on_properties_changed, progress);
}

static bool has_pending(GVariant *filesystems) {
        for (size_t i = 0; i < g_variant_n_children(filesystems); i++) {
                g_autoptr(GVariant) filesystem = g_variant_get_child_value(filesystems, i);

                if (g_strcmp0(lookup_string(filesystem, "Result"), "pending") == 0)
                        return true;
        }
        return false;
}

/* The results at the end of the sync. The signal of the last change may come after the reply, so reads the
 * property if needed. */
static GVariant *final_results(sd_bus *bus, const Progress *progress, const char *daemon) {
        g_autoptr(GVariant) properties = NULL, filesystems = NULL;

        /* Any client can send a signal of that name. */
        if (!progress->filesystems || g_strcmp0(progress->sender, daemon) != 0)
                return NULL;
        if (has_pending(progress->filesystems) && request_properties(bus, &properties) == 0)
                filesystems = lookup_list(properties, "FilesystemResults");
        return filesystems ? g_steal_pointer(&filesystems) : g_variant_ref(progress->filesystems);
}

void filesystem_synced_append(
                GString *out,
                const Terminal *terminal,
                const char *path,
                uint64_t duration_usec) {
        g_autofree char *span = span_format(duration_usec), *escaped = terminal_escape(terminal, path);

        g_string_append_printf(out, "Synced the filesystem of %s in %s.\n", escaped, span);
}

/* Makes a path absolute without opening anything. NULL if it is empty or not UTF-8, which D-Bus does not
 * allow, or would be relative to a folder of another machine. */
static char *path_make_absolute(const char *path) {
        g_autofree char *folder = NULL;

        if (!*path || !g_utf8_validate(path, -1, NULL))
                return NULL;
        if (g_path_is_absolute(path))
                return g_strdup(path);
        if (destination_is_remote())
                return NULL;
        folder = g_get_current_dir();
        return g_utf8_validate(folder, -1, NULL) ? g_build_filename(folder, path, NULL) : NULL;
}

static int sync_filesystem(const Options *options) {
        static const Request request = {
                .member = METHOD_SYNC_FILESYSTEM,
                .purpose = "sync the filesystem",
                .action = ACTION_FORCE_SYNC,
        };
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL, *reply = NULL;
        g_autofree char *path = path_make_absolute(options->filesystem);
        g_autoptr(GString) out = g_string_new(NULL);
        uint64_t duration_usec;
        int r;

        if (!path) {
                complain("Cannot sync the filesystem: its path is empty, %s.",
                         destination_is_remote() ? "relative, or not valid UTF-8" : "or not valid UTF-8");
                return EXIT_USAGE;
        }

        r = connection_open_or_complain(&bus);
        if (r != 0)
                return r;
        r = request_new(bus, &request, &message);
        if (r >= 0)
                r = sd_bus_message_append(message, "s", path);
        if (r < 0)
                return request_failed(&request, r);

        r = request_change(bus, &request, message, options->ask_password, USEC_INFINITY, NULL, NULL, &reply);
        if (r == EXIT_INTERRUPTED)
                complain("No longer waiting. A sync that has begun continues without wbctl.");
        if (r != 0)
                return r;

        r = sd_bus_message_read(reply, "t", &duration_usec);
        if (r < 0)
                return request_failed(&request, r);
        if (options->json)
                g_string_append_printf(out, "{\"DurationUSec\":%" PRIu64 "}\n", duration_usec);
        else
                filesystem_synced_append(out, &options->terminal, path, duration_usec);
        (void) fwrite(out->str, 1, out->len, stdout);
        return EXIT_SUCCESS;
}

static int sync_all(const Options *options) {
        static const Request request = {
                .member = METHOD_FORCE_SYNC,
                .purpose = "sync",
                .action = ACTION_FORCE_SYNC,
        };
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL, *reply = NULL;
        bool shows = options->terminal.erases && !options->json;
        _cleanup_(progress_clear) Progress progress = {
                .terminal = options->terminal,
        };
        g_autoptr(GVariant) filesystems = NULL;
        uint64_t duration_usec;
        int r;

        r = connection_open_or_complain(&bus);
        if (r != 0)
                return r;
        r = request_new(bus, &request, &message);
        if (r >= 0)
                r = progress_follow(bus, &progress);
        if (r < 0)
                return request_failed(&request, r);

        /* While there may be a password prompt, the line belongs to it. */
        progress.begun = progress.begun || !connection_may_prompt(options->ask_password);
        progress.known = !destination_is_remote() && meminfo_read(&progress.start_bytes) >= 0;
        r =
                        request_change(bus, &request, message, options->ask_password, USEC_INFINITY,
                                       shows ? show_progress : NULL, &progress, &reply);
        if (r == EXIT_INTERRUPTED)
                complain("No longer waiting. A sync that has begun continues without wbctl: see `wbctl "
                         "status`.");
        if (r != 0)
                return r;

        r = sd_bus_message_read(reply, "t", &duration_usec);
        if (r < 0)
                return request_failed(&request, r);
        filesystems = final_results(bus, &progress, sd_bus_message_get_sender(reply));
        print_synced(options, duration_usec, filesystems);
        return EXIT_SUCCESS;
}

int verb_sync(const Options *options, char **arguments) {
        return options->filesystem ? sync_filesystem(options) : sync_all(options);
}
