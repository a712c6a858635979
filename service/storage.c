/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Settings on disk: see storage.h. The upper part runs in the helper process, the lower one in the daemon.
 * Warnings are sent with the reply and logged by the daemon: the helper has none of the log's descriptors. */

#include "storage.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <sys/stat.h>

#include "log.h"
#include "write-all.h"

/* The suffix that mkstemp(3) requires. */
#define TEMPORARY_SUFFIX ".XXXXXX"

typedef enum RequestKind {
        REQUEST_NONE,
        REQUEST_LOAD,
        REQUEST_STORE,
        REQUEST_RESET,
} RequestKind;

typedef struct Request {
        RequestKind kind;
        unsigned ids;
        Settings settings;
} Request;

typedef struct Reply {
        int r;
        Settings settings;           /* for a load or a reset */
        unsigned n_warnings_dropped; /* did not fit */
        size_t warnings_size;
        char warnings[12 * 1024]; /* NUL-terminated texts, back to back */
} Reply;

static_assert(sizeof(Request) <= HELPER_PACKET_MAX, "A request must fit into a packet");
static_assert(sizeof(Reply) <= HELPER_PACKET_MAX, "A reply must fit into a packet");

struct Storage {
        Helper *helper;
        SettingsPaths paths;
        StorageHandlers handlers;
        void *userdata;
        RequestKind under_way;
};

static void keep_warning(const char *warning, void *userdata) {
        Reply *reply = userdata;
        size_t size = strlen(warning) + 1;

        if (size > sizeof(reply->warnings) - reply->warnings_size) {
                reply->n_warnings_dropped++;
                return;
        }

        memcpy(reply->warnings + reply->warnings_size, warning, size);
        reply->warnings_size += size;
}

DEFINE_TRIVIAL_CLEANUP(DIR *, closedir);

/* Removes temporary files of earlier helpers that were killed or still hang: one that continues after its
 * daemon is gone must not replace a newer file. */
static void remove_temporary_files(const char *folder, const char *prefix) {
        _cleanup_(closedirp) DIR *directory = opendir(folder);
        struct dirent *entry;

        if (!directory)
                return;

        while ((entry = readdir(directory)))
                if (g_str_has_prefix(entry->d_name, prefix) &&
                    strlen(entry->d_name) == strlen(prefix) + strlen(TEMPORARY_SUFFIX))
                        (void) unlinkat(dirfd(directory), entry->d_name, 0);
}

/* Writes a file to disk, readable by everyone. */
static int write_file(int fd, const GString *text) {
        int r;

        r = write_all(fd, text->str, text->len);
        if (r < 0)
                return r;
        if (fchmod(fd, 0644) < 0 || fsync(fd) < 0)
                return -errno;

        return 0;
}

/* Replaces a file atomically, once the new one is on disk. */
static int replace_file(const char *path, const GString *text) {
        g_autofree char *folder = g_path_get_dirname(path), *name = g_path_get_basename(path);
        g_autofree char *prefix = g_strdup_printf(".%s", name);
        g_autofree char *temporary = g_strdup_printf("%s/%s" TEMPORARY_SUFFIX, folder, prefix);
        _cleanup_close_ int folder_fd = -EBADF, fd = -EBADF;
        int r;

        if (g_mkdir_with_parents(folder, 0755) < 0)
                return -errno;

        folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder_fd < 0)
                return -errno;

        remove_temporary_files(folder, prefix);
        fd = g_mkstemp_full(temporary, O_WRONLY | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;

        r = write_file(fd, text);
        if (r >= 0 && rename(temporary, path) < 0)
                r = -errno;
        if (r < 0) {
                (void) unlink(temporary);
                return r;
        }

        return fsync(folder_fd) < 0 ? -errno : 0;
}

/* Writes the settings with ORIGIN_BUS_PERMANENT. */
static int write_permanent(const char *path, const Settings *settings) {
        g_autoptr(GString) text =
                        g_string_new("# Written by wbwatchd: the settings that were set permanently "
                                     "over the bus. Read at start and reload.\n"
                                     "# Edit this file, or delete it to undo all of them. See "
                                     "wbwatch.conf(5).\n"
                                     "[Watch]\n");

        for (SettingId id = 0; id < _SETTING_MAX; id++) {
                char value[SETTINGS_GLOB_MAX + 1];

                if (settings->origins[id] == ORIGIN_BUS_PERMANENT)
                        g_string_append_printf(
                                        text, "%s=%s\n", setting_table[id].key,
                                        settings_format(settings, id, value, sizeof(value)));
        }

        return replace_file(path, text);
}

/* Reads the permanent file into settings that are otherwise built-in. Fails if it exists but can't be read:
 * its settings would be lost. */
static int read_permanent(const char *path, Reply *reply, Settings *ret) {
        _cleanup_free_ char *text = NULL;
        size_t size = 0;
        int r = -ENOENT;

        if (path)
                r = settings_read_file(path, &text, &size);
        if (r < 0 && r != -ENOENT)
                return r;

        settings_init(ret);
        if (r >= 0)
                (void) settings_parse_text(ret, text, size, path, ORIGIN_BUS_PERMANENT, keep_warning, reply);
        return 0;
}

static int serve_store(const Storage *storage, const Request *request, Reply *reply) {
        const char *path = storage->paths.permanent_file;
        Settings settings;
        int r;

        r = read_permanent(path, reply, &settings);
        if (r < 0)
                return r;

        for (SettingId id = 0; id < _SETTING_MAX; id++) {
                char value[SETTINGS_GLOB_MAX + 1];

                if (!(request->ids & (1U << id)))
                        continue;

                r = settings_set_text(
                                &settings, id, settings_format(&request->settings, id, value, sizeof(value)),
                                ORIGIN_BUS_PERMANENT, NULL);
                if (r < 0)
                        return r;
        }

        return write_permanent(path, &settings);
}

/* Removes permanent settings. Returns whether there were any. */
static bool remove_permanent(Settings *settings, unsigned ids) {
        Settings built_in;
        bool removed = false;

        settings_init(&built_in);
        for (SettingId id = 0; id < _SETTING_MAX; id++)
                if ((ids & (1U << id)) && settings->origins[id] == ORIGIN_BUS_PERMANENT) {
                        settings_copy(settings, &built_in, id);
                        removed = true;
                }

        return removed;
}

/* Writes last, so that nothing is lost if the configuration can't be read. */
static int serve_reset(const Storage *storage, const Request *request, Reply *reply) {
        SettingsPaths paths = storage->paths;
        Settings permanent;
        int r;

        paths.permanent_file = NULL;
        r = settings_load(&paths, NULL, NULL, &reply->settings);
        if (r < 0)
                return r;
        r = read_permanent(storage->paths.permanent_file, reply, &permanent);
        if (r < 0)
                return r;
        if (remove_permanent(&permanent, request->ids))
                r = write_permanent(storage->paths.permanent_file, &permanent);
        if (r < 0)
                return r;

        for (SettingId id = 0; id < _SETTING_MAX; id++)
                if (permanent.origins[id] == ORIGIN_BUS_PERMANENT &&
                    reply->settings.origins[id] != ORIGIN_COMMAND_LINE)
                        settings_copy(&reply->settings, &permanent, id);
        return 0;
}

static size_t serve(const void *data, size_t size, void *reply_data, void *userdata) {
        const Storage *storage = userdata;
        Reply *reply = reply_data;
        Request request;

        memset(reply, 0, sizeof(*reply));
        if (size != sizeof(request)) {
                reply->r = -EBADMSG;
                return sizeof(*reply);
        }
        memcpy(&request, data, sizeof(request));

        switch (request.kind) {
        case REQUEST_LOAD:
                reply->r = settings_load(&storage->paths, keep_warning, reply, &reply->settings);
                break;
        case REQUEST_STORE:
                reply->r = serve_store(storage, &request, reply);
                break;
        case REQUEST_RESET:
                reply->r = serve_reset(storage, &request, reply);
                break;
        default:
                reply->r = -EBADMSG;
        }

        return sizeof(*reply);
}

static void log_warnings(const Reply *reply) {
        for (size_t at = 0; at < reply->warnings_size; at += strlen(reply->warnings + at) + 1)
                log_warning("%s", reply->warnings + at);

        if (reply->n_warnings_dropped > 0)
                log_warning("%u more warnings about the settings: see wbwatchd --check-config",
                            reply->n_warnings_dropped);
}

static void on_reply(int r, const void *data, size_t size, void *userdata) {
        Storage *storage = userdata;
        RequestKind kind = storage->under_way;
        Reply reply;

        storage->under_way = REQUEST_NONE;

        if (r >= 0) {
                if (size == sizeof(reply)) {
                        memcpy(&reply, data, sizeof(reply));
                        log_warnings(&reply);
                        r = reply.r;
                } else
                        r = -EBADMSG;
        }

        /* Last, since the callbacks may make the next request or free the storage. */
        if (kind == REQUEST_STORE)
                storage->handlers.stored(r < 0 ? r : 0, storage->userdata);
        else if (kind != REQUEST_NONE)
                (kind == REQUEST_LOAD ? storage->handlers.loaded : storage->handlers.reset)(
                                r < 0 ? r : 0, r < 0 ? NULL : &reply.settings, storage->userdata);
}

int storage_new(sd_event *event,
                const SettingsPaths *paths,
                const StorageHandlers *handlers,
                void *userdata,
                Storage **ret) {

        _cleanup_(storage_freep) Storage *storage = NULL;
        int r;

        storage = calloc(1, sizeof(*storage));
        if (!storage)
                return -ENOMEM;

        storage->paths = *paths;
        storage->handlers = *handlers;
        storage->userdata = userdata;

        r = helper_new(event, "wbwatch-storage", serve, on_reply, storage, &storage->helper);
        if (r < 0)
                return r;

        *ret = TAKE_POINTER(storage);
        return 0;
}

Storage *storage_free(Storage *storage) {
        if (!storage)
                return NULL;

        helper_free(storage->helper);
        free(storage);
        return NULL;
}

static int send_request(Storage *storage, const Request *request) {
        int r;

        r = helper_request(storage->helper, request, sizeof(*request));
        if (r < 0)
                return r;

        storage->under_way = request->kind;
        return 0;
}

int storage_load(Storage *storage) {
        return send_request(storage, &(Request){ .kind = REQUEST_LOAD });
}

int storage_store(Storage *storage, const Settings *settings, unsigned ids) {
        if (!storage->paths.permanent_file)
                return -EOPNOTSUPP;

        return send_request(storage, &(Request){ .kind = REQUEST_STORE, .ids = ids, .settings = *settings });
}

int storage_reset(Storage *storage, unsigned ids) {
        return send_request(storage, &(Request){ .kind = REQUEST_RESET, .ids = ids });
}
