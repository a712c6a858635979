/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The verbs of wbctl, what they share, and the parts of them that tests call. A verb reports errors on
 * stderr, and returns the exit status of the program.
 */

#include <glib.h>

#include "macro.h"
#include "settings.h"
#include "terminal.h"

/* In addition to EXIT_SUCCESS and EXIT_FAILURE (the call failed, or a value was refused). Documented in
 * `wbctl --help`. */
enum {
        EXIT_USAGE = 2,
        EXIT_NO_DAEMON = 3,
        EXIT_NO_BUS = 4,
        EXIT_NOT_AUTHORIZED = 5,
        EXIT_DOCTOR_USAGE = 255, /* of doctor, whose verdict 2 is another one */
        EXIT_INTERRUPTED = 130,  /* as in shells for SIGINT */
};

/* What the command line says; strings as given, NULL: not given. */
typedef struct Options {
        gboolean json, ask_password;
        const char *socket, *host, *machine; /* see destination_set() */
        gboolean runtime;                    /* for set, reset */
        gboolean until_resume;               /* for pause */
        const char *who, *why;               /* for inhibit */
        const char *filesystem;              /* for sync: a path; NULL: all */
        const char *lines;                   /* for status, episodes: see lines_parse() */
        const char *since, *until;           /* for episodes, as the next two */
        const char *boot, *directory;
        gboolean quiet, alive, nagios;       /* for health */
        const char *root;                    /* for doctor and report: the folder to read in place of / */
        const char *batch, *table, *observe; /* for doctor; the table for metrics, too */
        const char *output;                  /* for report and metrics: a file, or "-"; NULL: the default */
        gboolean sysrq, perf, names;         /* for report */
        const char *const *there;            /* for doctor and report: the words that run it on the host */
        Terminal terminal;                   /* what stdout is */
} Options;

/* Parses the value of --lines, a number from 1 to max; *ret is unchanged if it was not given. Returns 0 or an
 * exit status, with an error on stderr. */
int lines_parse(const char *text, size_t max, size_t *ret);

int verb_health(const Options *options, char **arguments);
int verb_status(const Options *options, char **arguments);
int verb_doctor(const Options *options, char **arguments);
int verb_list(const Options *options, char **arguments);
int verb_episodes(const Options *options, char **arguments);
int verb_metrics(const Options *options, char **arguments);
int verb_monitor(const Options *options, char **arguments);
int verb_get(const Options *options, char **arguments);
int verb_set(const Options *options, char **arguments);
int verb_reset(const Options *options, char **arguments);
int verb_pause(const Options *options, char **arguments);
int verb_report(const Options *options, char **arguments);
int verb_resume(const Options *options, char **arguments);
int verb_inhibit(const Options *options, char **arguments);
int verb_inhibitors(const Options *options, char **arguments);
int verb_sync(const Options *options, char **arguments);

/* Appends the output of `wbctl status`, from the replies of GetAll (a{sv}), ListWorkers and ListEpisodes
 * (aa{sv}). Omits members that are missing or of another type, and what is in an answer that is NULL. */
void status_append(
                GString *out,
                const Terminal *terminal,
                GVariant *properties,
                GVariant *workers,
                GVariant *episodes,
                uint64_t now_usec);

/* A mask of settings: 1 << SettingId. */
#define SETTINGS_ALL ((1u << _SETTING_MAX) - 1)

/* The mask of the settings of these names, file keys or bus properties; SETTINGS_ALL without a name. Returns
 * 0, or an exit status after an error message on stderr. */
int settings_from_names(char **names, unsigned *ret_ids);

/* Appends the settings of a mask and their origins, from the reply of GetAll. */
void settings_append(
                GString *out,
                const Terminal *terminal,
                const char *indent,
                GVariant *properties,
                unsigned ids);

/* The origin of a setting; empty if the daemon does not have it. */
char *setting_origin_format(const Terminal *terminal, GVariant *properties, const SettingInfo *info);

/* The value of a setting as written in a file, or NULL if the daemon does not have it. */
char *setting_format(const Terminal *terminal, GVariant *properties, const SettingInfo *info);

/* The same for `wbctl list`. */
void workers_append(GString *out, const Terminal *terminal, GVariant *workers);

/* The same for `wbctl inhibitors`: the property Inhibitors (aa{sv}), or NULL. */
void inhibitors_append(GString *out, const Terminal *terminal, GVariant *inhibitors, uint64_t now_usec);

/* Appends the inhibitors of the reply of GetAll as "backup (pid 1234), nightly-dump (pid 99) and 3 more". */
void inhibitors_append_briefly(GString *out, const Terminal *terminal, GVariant *inhibitors);

/* The same for `wbctl episodes` and `wbctl episodes ID`: episodes of episode-history.h, in lines that fit
 * into 80 columns. boot_id: episodes of other boots are marked. */
void episodes_append(
                GString *out,
                const Terminal *terminal,
                GVariant *episodes,
                const char *boot_id,
                uint64_t now_usec);
void episode_append(GString *out, const Terminal *terminal, GVariant *episode, uint64_t now_usec);

/* Whether nobody recorded the end of the episode: wbwatchd was killed, or does not answer. */
bool episode_end_is_unknown(GVariant *episode);

/* Appends workers of other works, in lines that fit into 80 columns. */
void also_spinning_append(GString *out, const Terminal *terminal, const char *indent, GVariant *episode);

/* Appends the MESSAGEs of entries of journal.h, the newest first there and last here. */
void log_lines_append(GString *out, const Terminal *terminal, GPtrArray *entries, uint64_t now_usec);

/* "14 inode_switch_wbs": the most workers of an episode running at once, and their work. */
char *describe_episode_workers(const Terminal *terminal, GVariant *episode);

/* How long an episode lasted, or has lasted; "?" if that is unknown. */
char *describe_episode_length(GVariant *episode, uint64_t now_usec);

/* The line of `wbctl health`, of at most 80 bytes. */
char *health_format(const char *name, const char *words);

/* The syncs of an episode: "no sync", "dry run" or "2 syncs". */
char *describe_syncs(GVariant *episode);

/* Whether an entry of FilesystemResults is `ok`. */
bool filesystem_is_ok(GVariant *filesystem);

/* "/srv (xfs): pending 3.2s". age_usec: the age of the entry, added to the duration if the sync has not
 * ended. */
char *filesystem_format(const Terminal *terminal, GVariant *filesystem, uint64_t age_usec);

/* A text for each of the first few entries of FilesystemResults (aa{sv} or NULL) that are not ok. */
GPtrArray *describe_filesystems(const Terminal *terminal, GVariant *filesystems, uint64_t age_usec);

/* Appends a line for each of the first few entries of FilesystemResults (aa{sv} or NULL) that are not ok. */
void filesystems_append(
                GString *out,
                const Terminal *terminal,
                const char *indent,
                GVariant *filesystems,
                uint64_t age_usec);

/* Append what `wbctl sync` prints at the end. */
void synced_append(GString *out, const Terminal *terminal, uint64_t duration_usec, GVariant *filesystems);
void synced_append_json(GString *out, uint64_t duration_usec, GVariant *filesystems);
void filesystem_synced_append(
                GString *out,
                const Terminal *terminal,
                const char *path,
                uint64_t duration_usec);

/* Appends what `wbctl monitor` prints for a signal with these arguments (a tuple), without the newline. */
void event_append(GString *out, const Terminal *terminal, const char *member, GVariant *arguments);

/* The same as a JSON object. */
void event_append_json(GString *out, uint64_t now_usec, const char *member, GVariant *arguments);

/* Parses NAME=VALUE into settings. NAME is a file key or a bus property. A bare number is in seconds for the
 * key of a duration, in microseconds for its property. -ENOENT for an unknown setting, -EINVAL or -ERANGE if
 * the value is invalid. *ret_error is then a message for the user, to be freed by the caller. */
int assignment_parse(const char *text, Settings *settings, SettingId *ret_id, char **ret_error);

/* Dirty + Writeback of the text of /proc/meminfo, in bytes: what is not written yet. -EBADMSG if one of them
 * is missing. */
int meminfo_parse(const char *text, uint64_t *ret_bytes);
