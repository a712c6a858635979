/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The settings: one struct, and one table of name, type, default and bounds. The config files, the command
 * line and the bus all go through it, so that they accept and refuse the same values with the same words.
 */

#include "macro.h"

#define SETTINGS_GLOB_MAX 255
#define SETTINGS_SOURCE_MAX 255

/* The origins that code compares with. */
#define SETTINGS_SOURCE_BUILT_IN "built-in"
#define SETTINGS_SOURCE_COMMAND_LINE "command line"

typedef enum SettingId {
        SETTING_GLOB,
        SETTING_THRESHOLD,
        SETTING_CROWD_SIZE,
        SETTING_CROWD_THRESHOLD,
        SETTING_COUNT_WAITING,
        SETTING_POLL_INTERVAL,
        SETTING_IDLE_SCAN_INTERVAL,
        SETTING_RECOVERY,
        SETTING_SYNC_METHOD,
        SETTING_FILESYSTEM_TIMEOUT,
        SETTING_SYNC_TIMEOUT,
        SETTING_DRY_RUN,
        _SETTING_MAX,
} SettingId;

typedef enum SettingType {
        SETTING_TYPE_GLOB,     /* D-Bus s */
        SETTING_TYPE_USEC,     /* D-Bus t */
        SETTING_TYPE_UNSIGNED, /* D-Bus u */
        SETTING_TYPE_BOOLEAN,  /* D-Bus b */
        SETTING_TYPE_METHOD,   /* D-Bus s: a SyncMethod by its name */
} SettingType;

typedef enum SyncMethod {
        SYNC_METHOD_AUTO,   /* syncfs(2) on each filesystem that may be affected, then sync(2) if that did not
                               help */
        SYNC_METHOD_SYNC,   /* sync(2) at once */
        SYNC_METHOD_SYNCFS, /* never sync(2) */
        _SYNC_METHOD_MAX,
} SyncMethod;

const char *sync_method_to_string(SyncMethod method);

/* -EINVAL when no method has that name. */
int sync_method_from_string(const char *text, SyncMethod *ret);

/* Plain data without pointers: it is copied, compared and sent between processes as it is. */
typedef struct Settings {
        char glob[SETTINGS_GLOB_MAX + 1];
        uint64_t threshold_usec;
        uint64_t crowd_threshold_usec;
        uint64_t poll_interval_usec;
        uint64_t idle_scan_interval_usec;
        uint64_t recovery_usec;
        uint64_t filesystem_timeout_usec;
        uint64_t sync_timeout_usec;
        uint32_t crowd_size; /* 0: the crowd rule is off */
        SyncMethod sync_method;
        bool count_waiting;
        bool dry_run;

        /* Where each value came from, for people: "built-in", "/etc/wbwatch/wbwatch.conf:3", "command line",
         * "bus", "bus (lasting)". Cut when longer. */
        char sources[_SETTING_MAX][SETTINGS_SOURCE_MAX + 1];
} Settings;

typedef struct SettingInfo {
        const char *key;      /* in the file, section [Watch] */
        const char *property; /* on the bus */
        SettingType type;
        size_t offset;    /* of the member in Settings */
        uint64_t minimum; /* bounds: usec, number, bytes of the glob, or SyncMethod */
        uint64_t maximum;
        const char *built_in; /* the default, as a file would spell it */
} SettingInfo;

extern const SettingInfo setting_table[_SETTING_MAX];

/* The setting of that exact name, or -ENOENT. */
int setting_from_key(const char *key, SettingId *ret);
int setting_from_property(const char *property, SettingId *ret);

/* Parses a duration as systemd spells it: "30s", "1min 30s", "500ms", "1.5h"; "m" is a minute; a bare number
 * counts in default_unit_usec. Negative errno: -EINVAL for what is no duration, -ERANGE for what does not
 * fit. */
int parse_duration(const char *text, uint64_t default_unit_usec, uint64_t *ret_usec);

/* Writes a duration so that parse_duration() reads the same value back: "1min 30s", "500ms", "0", "infinity"
 * for USEC_INFINITY (which is not parsed back). size of 64 always suffices. Returns buffer. */
const char *format_duration(uint64_t usec, char *buffer, size_t size);

/* Sets everything to the built-in values. */
void settings_init(Settings *settings);

/* Sets one value: from a text, as a file or a command line spells it, for every type; from a number, for the
 * types t and u of the bus and for booleans as 0 or 1; or from a glob. -EINVAL or -ERANGE with *ret_error a
 * text that names value, reason and bound, to be freed by the caller, like "500ms is less than the minimum of
 * 1s"; the previous value stays in effect then. */
int settings_set_text(
                Settings *settings,
                SettingId id,
                const char *text,
                const char *source,
                char **ret_error);
int settings_set_number(
                Settings *settings,
                SettingId id,
                uint64_t value,
                const char *source,
                char **ret_error);
int settings_set_glob(
                Settings *settings,
                SettingId id,
                const char *glob,
                const char *source,
                char **ret_error);

/* Whether a glob may match the name of any kernel worker, which begins with "kworker/". Judged by the glob's
 * beginning up to the first wildcard, bracket or pattern list: false is certain, true is not. Such a glob is
 * accepted, since it does no harm, but nothing would ever be detected: settings_load() warns of it, and so
 * should whatever shows or sets it. */
bool glob_can_match_kworker(const char *glob);

/* Whether nobody set it: then CrowdSize adapts to the machine. */
bool settings_is_built_in(const Settings *settings, SettingId id);

/* The number behind a setting that is not a glob; a SyncMethod as its enum's number. */
uint64_t settings_get_number(const Settings *settings, SettingId id);

/* Writes the value as a file would spell it. size of SETTINGS_GLOB_MAX + 1 always suffices. Returns buffer.
 */
const char *settings_format(const Settings *settings, SettingId id, char *buffer, size_t size);

/* What a configuration is read from, weakest first: the built-in values, the main file, the drop-ins of all
 * folders sorted by name, the lasting file, the overrides. */
typedef struct SettingsPaths {
        /* Folders that may hold wbwatch.conf and wbwatch.conf.d/, strongest first, NULL-terminated. The first
         * wbwatch.conf found counts; of drop-ins with the same name the one from the strongest folder, and an
         * empty one or a link to /dev/null there hides the others. */
        const char *const *folders;
        /* A file that stands for all of the above (--config), or NULL. It must exist. */
        const char *file;
        /* What was set permanently over the bus, or NULL; it need not exist. */
        const char *lasting_file;
        /* What the command line set, or NULL: the values whose source is "command line". */
        const Settings *overrides;
} SettingsPaths;

/* /etc/wbwatch, /run/wbwatch, /usr/lib/wbwatch */
extern const char *const settings_default_folders[];

/* Called for each unknown key, invalid value, useless glob or unreadable file: the text names file, line and
 * reason. */
typedef void (*settings_warning_t)(const char *warning, void *userdata);

/* Reads the configuration into a new object. A bad line is a warning, and the previous value stays in effect;
 * only a paths->file that cannot be read makes it fail, with a warning and negative errno, ret untouched.
 * Returns the number of warnings. Blocks on the disk. */
int settings_load(const SettingsPaths *paths, settings_warning_t warning, void *userdata, Settings *ret);

/* Reads one file over what stands in settings, as settings_load() does with each. -ENOENT when there is none:
 * no warning. Returns the number of warnings. */
int settings_load_file(
                Settings *settings,
                const char *path,
                const char *source, /* overrides "path:line" when not NULL */
                settings_warning_t warning,
                void *userdata);

/* The same with a text in memory, as if it stood in the file path. Opens nothing. */
int settings_parse_text(
                Settings *settings,
                const char *text,
                size_t size,
                const char *path,
                const char *source,
                settings_warning_t warning,
                void *userdata);

/* Reads a file that may hold settings: a regular one of at most 1 MiB (else -EISDIR, -EBADFD or -EFBIG), or
 * /dev/null, which counts as empty. The text is not NUL-terminated; the caller frees it. */
int settings_read_file(const char *path, char **ret_text, size_t *ret_size);
