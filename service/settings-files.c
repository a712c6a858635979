/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Reads files at start-up and in the helper process of storage.c. What a caller on the bus can make that
 * process read needs memory only for the file and for the texts of warnings, and works without the latter. */

#include "settings-files.h"

#include <dirent.h>
#include <fcntl.h>
#include <glib.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "glob.h"
#include "text.h"

#define SECTION "[Watch]"

/* A larger file is not a configuration file. */
#define FILE_SIZE_MAX (1024 * 1024)
#define READ_SIZE ((size_t) 4096)
#define LINE_BYTES_MAX 4096

const char *const settings_default_folders[] = { "/etc/wbwatch", "/run/wbwatch", "/usr/lib/wbwatch", NULL };

/* What is being read, into which settings, and the receiver of warnings. */
typedef struct Reader {
        Settings *settings;
        const char *path;
        Origin origin; /* of all values */
        settings_warning_t warning;
        void *userdata;
        int n_warnings;
} Reader;

static void warn(Reader *reader, const char *text) {
        reader->n_warnings++;
        if (reader->warning)
                reader->warning(text, reader->userdata);
}

/* Warns about a line, or about the whole file if line is 0. */
_printf_(4,
         5) static void warn_about(Reader *reader, const char *path, unsigned line, const char *format, ...) {
        _cleanup_free_ char *reason = NULL, *text = NULL;
        char number[16] = "";
        va_list arguments;

        if (line > 0)
                (void) snprintf(number, sizeof(number), ":%u", line);

        va_start(arguments, format);
        if (vasprintf(&reason, format, arguments) < 0)
                reason = NULL;
        va_end(arguments);

        if (asprintf(&text, "%s%s: %s", path, number, reason ?: "out of memory") < 0)
                text = NULL;
        warn(reader, text ?: "out of memory");
}

#define warn_line(reader, line, ...) warn_about(reader, (reader)->path, line, __VA_ARGS__)

static void warn_unreadable(Reader *reader, const char *path, int error, bool fatal) {
        const char *reason;

        if (error == -EBADFD)
                reason = "not a regular file";
        else if (error == -EFBIG)
                reason = "larger than the maximum of 1 MiB";
        else
                reason = errno_text(-error);

        warn_about(reader, path, 0, "can't be read: %s%s", reason, fatal ? "" : ", ignoring");
}

static void read_unknown_key(Reader *reader, unsigned line, const char *key, const char *shown) {
        for (SettingId id = 0; id < _SETTING_MAX; id++) {
                const SettingInfo *info = &setting_table[id];

                if (g_ascii_strcasecmp(key, info->key) == 0 || g_ascii_strcasecmp(key, info->property) == 0) {
                        warn_line(reader, line, "%s: unknown key, ignoring (did you mean %s=?)", shown,
                                  info->key);
                        return;
                }
        }

        warn_line(reader, line, "%s: unknown key, ignoring", shown);
}

static void read_assignment(Reader *reader, unsigned line, char *text, bool in_section) {
        _cleanup_free_ char *error = NULL;
        char shown[TEXT_SHOWN_SIZE];
        char *key, *value, *equals = strchr(text, '=');
        char assignment[LINE_BYTES_MAX + 1];
        SettingId id;

        if (!equals) {
                warn_line(reader, line, "%s: missing \"=\", ignoring", text_show(text, shown));
                return;
        }

        *equals = '\0';
        key = g_strstrip(text);
        value = g_strstrip(equals + 1);
        (void) snprintf(assignment, sizeof(assignment), "%s=%s", key, value);
        (void) text_show(assignment, shown);

        if (!in_section) {
                warn_line(reader, line, "%s: outside of section " SECTION ", ignoring", shown);
                return;
        }
        if (setting_from_key(key, &id) < 0) {
                read_unknown_key(reader, line, key, shown);
                return;
        }

        if (settings_set_text(reader->settings, id, value, reader->origin, &error) < 0) {
                warn_line(reader, line, "%s: %s, ignoring", shown, error ?: "out of memory");
                return;
        }
        if (reader->origin == ORIGIN_FILE)
                settings_set_place(reader->settings, id, reader->path, line);
        if (id == SETTING_GLOB && !glob_can_match_kworker(value))
                warn_line(reader, line, "%s: " GLOB_USELESS, shown);
}

/* The current section. Lines of an unknown section are ignored silently: there is a warning about the section
 * itself. */
typedef enum Section {
        SECTION_NONE,
        SECTION_WATCH,
        SECTION_UNKNOWN,
} Section;

static Section read_section(Reader *reader, unsigned line, const char *text) {
        char shown[TEXT_SHOWN_SIZE];

        if (streq(text, SECTION))
                return SECTION_WATCH;

        (void) text_show(text, shown);
        if (text[strlen(text) - 1] != ']')
                warn_line(reader, line, "%s: missing \"]\", ignoring the section", shown);
        else if (g_ascii_strcasecmp(text, SECTION) == 0)
                warn_line(reader, line, "%s: unknown section, ignoring (did you mean " SECTION "?)", shown);
        else
                warn_line(reader, line, "%s: unknown section, ignoring", shown);

        return SECTION_UNKNOWN;
}

static Section read_line(Reader *reader, unsigned line, char *text, Section section) {
        (void) g_strstrip(text);

        if (*text == '[')
                return read_section(reader, line, text);
        if (*text != '\0' && *text != '#' && *text != ';' && section != SECTION_UNKNOWN)
                read_assignment(reader, line, text, section == SECTION_WATCH);

        return section;
}

static void read_text(Reader *reader, const char *text, size_t size) {
        Section section = SECTION_NONE;
        unsigned line = 0;

        for (size_t at = 0; at < size;) {
                const char *begin = text + at, *newline = memchr(begin, '\n', size - at);
                size_t length = newline ? (size_t) (newline - begin) : size - at;
                char copy[LINE_BYTES_MAX + 1];

                line++;
                at += length + 1;

                if (length > LINE_BYTES_MAX) {
                        warn_line(reader, line, "the line is longer than the maximum of %d bytes, ignoring",
                                  LINE_BYTES_MAX);
                        continue;
                }
                if (memchr(begin, '\0', length)) {
                        warn_line(reader, line, "the line has a NUL byte, ignoring");
                        continue;
                }

                memcpy(copy, begin, length);
                copy[length] = '\0';
                section = read_line(reader, line, copy, section);
        }
}

int settings_parse_text(
                Settings *settings,
                const char *text,
                size_t size,
                const char *path,
                Origin origin,
                settings_warning_t warning,
                void *userdata) {

        Reader reader = {
                .settings = settings,
                .path = path,
                .origin = origin,
                .warning = warning,
                .userdata = userdata,
        };

        read_text(&reader, text, size);
        return reader.n_warnings;
}

/* Reads all that comes. Room grows with the file: most have a few lines. */
static int read_all(int fd, char **ret_text, size_t *ret_size) {
        _cleanup_free_ char *text = NULL;
        size_t size = 0, room = 0;

        for (;;) {
                ssize_t n;

                if (size == room) {
                        char *larger;

                        if (size > FILE_SIZE_MAX)
                                return -EFBIG;
                        room = MIN(MAX(2 * room, READ_SIZE), (size_t) FILE_SIZE_MAX + 1);
                        larger = realloc(text, room);
                        if (!larger)
                                return -ENOMEM;
                        text = larger;
                }

                n = read(fd, text + size, room - size);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                size += (size_t) n;
        }

        *ret_text = TAKE_POINTER(text);
        *ret_size = size;
        return 0;
}

int settings_read_file(const char *path, char **ret_text, size_t *ret_size) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        /* Must not wait for the other end of a FIFO. */
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;

        /* /dev/null counts as empty: a link to it masks a file. */
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        if (!S_ISREG(st.st_mode) && (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3)))
                return -EBADFD;

        return read_all(fd, ret_text, ret_size);
}

/* Reads one file. Warns about errors, but about a missing file (-ENOENT) only if it is required. */
static int read_file(Reader *reader, const char *path, Origin origin, bool required) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = settings_read_file(path, &text, &size);
        if (r < 0) {
                if (r != -ENOENT || required)
                        warn_unreadable(reader, path, r, required);
                return r;
        }

        reader->path = path;
        reader->origin = origin;
        read_text(reader, text, size);
        return 0;
}

DEFINE_TRIVIAL_CLEANUP(DIR *, closedir);

/* Adds the drop-ins of one folder by name, unless a folder of higher precedence has one of the same name. */
static void find_drop_ins(Reader *reader, const char *folder, GTree *paths) {
        g_autofree char *path = g_build_filename(folder, "wbwatch.conf.d", NULL);
        _cleanup_(closedirp) DIR *directory = opendir(path);
        struct dirent *entry;

        if (!directory) {
                if (errno != ENOENT)
                        warn_unreadable(reader, path, -errno, false);
                return;
        }

        while (errno = 0, (entry = readdir(directory)))
                if (entry->d_name[0] != '.' && g_str_has_suffix(entry->d_name, ".conf") &&
                    !g_tree_lookup(paths, entry->d_name))
                        g_tree_insert(paths, g_strdup(entry->d_name),
                                      g_build_filename(path, entry->d_name, NULL));

        if (errno != 0)
                warn_unreadable(reader, path, -errno, false);
}

static int compare_names(const void *a, const void *b, _unused_ void *userdata) {
        return strcmp(a, b);
}

/* Reads the main file of the first folder that has one, then the drop-ins of all folders. */
static void read_folders(Reader *reader, const char *const *folders) {
        g_autoptr(GTree) paths = g_tree_new_full(compare_names, NULL, g_free, g_free);
        int r = -ENOENT;

        for (size_t i = 0; folders[i] && r == -ENOENT; i++) {
                g_autofree char *path = g_build_filename(folders[i], "wbwatch.conf", NULL);

                r = read_file(reader, path, ORIGIN_FILE, false);
        }

        for (size_t i = 0; folders[i]; i++)
                find_drop_ins(reader, folders[i], paths);
        for (GTreeNode *node = g_tree_node_first(paths); node; node = g_tree_node_next(node))
                (void) read_file(reader, g_tree_node_value(node), ORIGIN_FILE, false);
}

static void apply_overrides(Reader *reader, const Settings *overrides) {
        for (SettingId id = 0; id < _SETTING_MAX; id++)
                if (overrides->origins[id] == ORIGIN_COMMAND_LINE)
                        settings_copy(reader->settings, overrides, id);

        if (overrides->origins[SETTING_GLOB] == ORIGIN_COMMAND_LINE &&
            !glob_can_match_kworker(overrides->glob)) {
                char shown[TEXT_SHOWN_SIZE];

                warn_about(reader, settings_origin(overrides, SETTING_GLOB), 0, "%s=%s: " GLOB_USELESS,
                           setting_table[SETTING_GLOB].key, text_show(overrides->glob, shown));
        }
}

int settings_load(const SettingsPaths *paths, settings_warning_t warning, void *userdata, Settings *ret) {
        Settings settings;
        Reader reader = {
                .settings = &settings,
                .warning = warning,
                .userdata = userdata,
        };
        int r;

        settings_init(&settings);

        if (paths->file) {
                r = read_file(&reader, paths->file, ORIGIN_FILE, true);
                if (r < 0)
                        return r;
        } else if (paths->folders)
                read_folders(&reader, paths->folders);

        if (paths->permanent_file)
                (void) read_file(&reader, paths->permanent_file, ORIGIN_BUS_PERMANENT, false);
        if (paths->overrides)
                apply_overrides(&reader, paths->overrides);

        *ret = settings;
        return reader.n_warnings;
}
