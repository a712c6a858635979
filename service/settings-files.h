/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The configuration files: which ones are read, in which order, and the warnings about them. */

#include "settings.h"

/* What the configuration is read from, lowest precedence first: the built-in values, the main file, the
 * drop-ins of all folders sorted by name, the permanent file, the overrides. */
typedef struct SettingsPaths {
        /* Folders that may hold wbwatch.conf and wbwatch.conf.d/, highest precedence first, NULL-terminated.
         * The first wbwatch.conf found is read; of drop-ins with the same name only the one in the first
         * folder, where an empty file or a link to /dev/null masks the others. */
        const char *const *folders;
        /* A file that is read instead of the folders (--config), or NULL. It must exist. */
        const char *file;
        /* The file with what was set permanently over the bus, or NULL. It need not exist. */
        const char *permanent_file;
        /* The values with ORIGIN_COMMAND_LINE in it override all files. NULL: none. */
        const Settings *overrides;
} SettingsPaths;

/* /etc/wbwatch, /run/wbwatch, /usr/lib/wbwatch */
extern const char *const settings_default_folders[];

/* Called for each unknown key, invalid value, useless glob or unreadable file: the text names file, line and
 * reason. */
typedef void (*settings_warning_t)(const char *warning, void *userdata);

/* Reads the configuration. An invalid line causes a warning, and the previous value stays in effect. Fails
 * only if paths->file cannot be read: negative errno after a warning, ret untouched. Returns the number of
 * warnings. Waits for the disk. */
int settings_load(const SettingsPaths *paths, settings_warning_t warning, void *userdata, Settings *ret);

/* Reads a text in memory over the values in settings, as if it were the content of the file path. Its values
 * get this origin; with ORIGIN_FILE their lines are recorded, too. Returns the number of warnings. Opens
 * nothing. */
int settings_parse_text(
                Settings *settings,
                const char *text,
                size_t size,
                const char *path,
                Origin origin,
                settings_warning_t warning,
                void *userdata);

/* Reads a file that may hold settings: a regular one of at most 1 MiB (else -EISDIR, -EBADFD or -EFBIG), or
 * /dev/null, which counts as empty. The text is not NUL-terminated; the caller frees it. */
int settings_read_file(const char *path, char **ret_text, size_t *ret_size);
