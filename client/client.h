/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * wbctl: what its verbs share, and the parts of them that tests call. A verb reports on stderr what went
 * wrong, and returns the exit status of the program.
 */

#include <glib.h>

#include "macro.h"
#include "settings.h"
#include "terminal.h"

/* Beside EXIT_SUCCESS and EXIT_FAILURE (the call failed, or a value was refused). `wbctl --help` documents
 * them. */
enum {
        EXIT_USAGE = 2,
        EXIT_NO_DAEMON = 3,
        EXIT_NO_BUS = 4,
        EXIT_NOT_AUTHORIZED = 5,
        EXIT_INTERRUPTED = 130, /* as the shell has it for SIGINT */
};

typedef struct Options {
        bool json;
        bool runtime;
        bool ask_password;
        const char *filesystem; /* of sync: a path; NULL: all */
        Terminal terminal;      /* what stdout is */
} Options;

int verb_status(const Options *options, char **arguments);
int verb_list(const Options *options, char **arguments);
int verb_episodes(const Options *options, char **arguments);
int verb_monitor(const Options *options, char **arguments);
int verb_set(const Options *options, char **arguments);
int verb_pause(const Options *options, char **arguments);
int verb_resume(const Options *options, char **arguments);
int verb_sync(const Options *options, char **arguments);

/* What `wbctl status` prints, from the answers of GetAll (a{sv}), ListWorkers and ListEpisodes (aa{sv}).
 * Members that are missing or of another type are left out. */
void status_append(
                GString *out,
                const Terminal *terminal,
                GVariant *properties,
                GVariant *workers,
                GVariant *episodes,
                uint64_t now_usec);

/* The same for `wbctl list` and `wbctl episodes`. An episode fits into 80 columns. */
void workers_append(GString *out, const Terminal *terminal, GVariant *workers);
void episodes_append(GString *out, const Terminal *terminal, GVariant *episodes, uint64_t now_usec);

/* "no sync", "dry run" or "2 syncs", from an episode. */
char *describe_syncs(GVariant *episode);

/* Whether the sync of an entry of FilesystemResults ended well. */
bool filesystem_is_ok(GVariant *filesystem);

/* "/srv (xfs): pending 3.2s". age_usec: how old the entry is; it is added where the sync has not ended. */
char *filesystem_format(const Terminal *terminal, GVariant *filesystem, uint64_t age_usec);

/* What `wbctl sync` shows of FilesystemResults (aa{sv} or NULL), a line each for those that are not ok, of
 * which the first few are shown. */
void filesystems_append(
                GString *out,
                const Terminal *terminal,
                const char *indent,
                GVariant *filesystems,
                uint64_t age_usec);

/* What `wbctl sync` prints at the end. */
void synced_append(GString *out, const Terminal *terminal, uint64_t duration_usec, GVariant *filesystems);
void synced_append_json(GString *out, uint64_t duration_usec, GVariant *filesystems);
void filesystem_synced_append(
                GString *out,
                const Terminal *terminal,
                const char *path,
                uint64_t duration_usec);

/* What `wbctl monitor` prints for a signal with these arguments (a tuple), on one line without its newline.
 */
void event_append(GString *out, const Terminal *terminal, const char *member, GVariant *arguments);

/* The same as a JSON object. */
void event_append_json(GString *out, uint64_t now_usec, const char *member, GVariant *arguments);

/* Reads NAME=VALUE, where NAME is a file key or a bus property, into settings. A bare number counts in
 * seconds for the key of a duration, in microseconds for its property. -ENOENT when it names no setting,
 * -EINVAL or -ERANGE when the value is refused; *ret_error is then a text for people, to be freed by the
 * caller. */
int assignment_parse(const char *text, Settings *settings, SettingId *ret_id, char **ret_error);

/* Dirty + Writeback of a text like /proc/meminfo, in bytes: what is still to be written. -EBADMSG when the
 * text lacks one of them. */
int meminfo_parse(const char *text, uint64_t *ret_bytes);
