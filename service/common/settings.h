/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The settings: one struct, and one table of name, type, default and bounds. Files, the command line and the
 * bus all go through it, so that they accept the same values and refuse others with the same messages.
 */

#include "macro.h"

#define SETTINGS_GLOB_MAX 255
#define SETTINGS_PLACE_MAX 255

/* Where a value came from. */
typedef enum Origin {
        ORIGIN_BUILT_IN,
        ORIGIN_FILE,          /* a line of a configuration file */
        ORIGIN_BUS_PERMANENT, /* set permanently over the bus, stored in a file of its own */
        ORIGIN_BUS_RUNTIME,   /* set over the bus until the next start or reload */
        ORIGIN_COMMAND_LINE,
} Origin;

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

/* Plain data without pointers, which can be copied and sent between processes. */
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

        Origin origins[_SETTING_MAX];
        /* With ORIGIN_FILE "/etc/wbwatch/wbwatch.conf:3", otherwise empty: see settings_set_place(). */
        char places[_SETTING_MAX][SETTINGS_PLACE_MAX + 1];
} Settings;

typedef struct SettingInfo {
        const char *key;      /* in the file, section [Watch] */
        const char *property; /* on the bus */
        SettingType type;
        size_t offset;    /* of the member in Settings */
        uint64_t minimum; /* bounds: usec, number, bytes of the glob, or SyncMethod */
        uint64_t maximum;
        const char *built_in; /* the default, as in a file */
} SettingInfo;

extern const SettingInfo setting_table[_SETTING_MAX];

/* Finds the setting of exactly this name. -ENOENT if there is none. */
int setting_from_key(const char *key, SettingId *ret);
int setting_from_property(const char *property, SettingId *ret);

/* Sets everything to the built-in values. */
void settings_init(Settings *settings);

/* Set one value: from a text as in a file or on a command line (all types), from a number (types t and u of
 * the bus, and booleans as 0 or 1), or from a glob. An invalid value leaves the previous one in effect:
 * -EINVAL or -ERANGE with a message in *ret_error, to be freed by the caller, that names value, reason and
 * bound, like "500ms is less than the minimum of 1s"; -ENOMEM if there is no memory for the message. */
int settings_set_text(Settings *settings, SettingId id, const char *text, Origin origin, char **ret_error);
int settings_set_number(Settings *settings, SettingId id, uint64_t value, Origin origin, char **ret_error);
int settings_set_glob(Settings *settings, SettingId id, const char *glob, Origin origin, char **ret_error);

/* Records the file and line of a value with ORIGIN_FILE. A path that does not fit is truncated; control
 * characters and invalid UTF-8 in it are escaped, so that D-Bus can carry it. */
void settings_set_place(Settings *settings, SettingId id, const char *path, unsigned line);

/* The origin as text: "built-in", "/etc/wbwatch/wbwatch.conf:3", "command line", "bus" or "bus (permanent)".
 * Owned by the settings. */
const char *settings_origin(const Settings *settings, SettingId id);

/* Whether nobody has set it: CrowdSize then adapts to the machine. */
bool settings_is_built_in(const Settings *settings, SettingId id);

/* The numeric value of a setting that is not a glob; a SyncMethod as its enum value. */
uint64_t settings_get_number(const Settings *settings, SettingId id);

/* Formats the value as in a file. A size of SETTINGS_GLOB_MAX + 1 always suffices. Returns buffer. */
const char *settings_format(const Settings *settings, SettingId id, char *buffer, size_t size);

/* The settings whose values or origins differ, as a mask of 1 << SettingId. */
unsigned settings_compare(const Settings *a, const Settings *b);

/* Copies one value with its origin. */
void settings_copy(Settings *to, const Settings *from, SettingId id);
