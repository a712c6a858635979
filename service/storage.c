/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Settings on the disk: see storage.h. The upper part runs in the helper process, the lower one in the
 * daemon. Warnings travel with the reply and are logged by the daemon: its log does not wait, and the helper
 * has none of its descriptors. */

#include "storage.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <sys/stat.h>

#include "log.h"

#define LASTING_SOURCE "bus (lasting)"

/* What mkstemp(3) wants at the end of a name. */
#define TEMPORARY_SUFFIX ".XXXXXX"

typedef enum RequestKind {
        REQUEST_NONE,
        REQUEST_LOAD,
        REQUEST_STORE,
} RequestKind;

typedef struct Request {
        RequestKind kind;
        unsigned ids;
        Settings settings;
} Request;

typedef struct Reply {
        int r;
        Settings settings;           /* for a load */
        unsigned n_warnings_dropped; /* had no room below */
        size_t warnings_size;
        char warnings[12 * 1024]; /* texts, each with its NUL */
} Reply;

static_assert(sizeof(Request) <= HELPER_PACKET_MAX, "A request must fit into a packet");
static_assert(sizeof(Reply) <= HELPER_PACKET_MAX, "A reply must fit into a packet");

struct Storage {
        Helper *helper;
        SettingsPaths paths;
        storage_loaded_t loaded;
        storage_stored_t stored;
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

/* Removes what earlier stores left, which were killed or still hang: one that goes on after its daemon is
 * gone must not replace what is newer. */
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

static int write_all(int fd, const char *text, size_t size) {
        while (size > 0) {
                ssize_t n = write(fd, text, size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;

                text += n;
                size -= (size_t) n;
        }

        return 0;
}

/* Writes a whole file to the disk, readable by everyone. */
static int write_file(int fd, const GString *text) {
        int r;

        r = write_all(fd, text->str, text->len);
        if (r < 0)
                return r;
        if (fchmod(fd, 0644) < 0 || fsync(fd) < 0)
                return -errno;

        return 0;
}

/* Puts a new file in the place of the old one, if any, once it is whole and on the disk. */
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

/* Writes the settings whose source is the lasting file. */
static int write_lasting(const char *path, const Settings *settings) {
        g_autoptr(GString) text =
                        g_string_new("# Written by wbwatchd: what was set permanently over the bus. "
                                     "It is read when wbwatchd starts or\n"
                                     "# reloads. Edit it, or delete it to undo all of it. See "
                                     "wbwatch.conf(5).\n"
                                     "[Watch]\n");

        for (SettingId id = 0; id < _SETTING_MAX; id++) {
                char value[SETTINGS_GLOB_MAX + 1];

                if (streq(settings->sources[id], LASTING_SOURCE))
                        g_string_append_printf(
                                        text, "%s=%s\n", setting_table[id].key,
                                        settings_format(settings, id, value, sizeof(value)));
        }

        return replace_file(path, text);
}

/* A lasting file that is there but can't be read is an error: what it holds would be lost. */
static int serve_store(const Storage *storage, const Request *request, Reply *reply) {
        const char *path = storage->paths.lasting_file;
        _cleanup_free_ char *text = NULL;
        Settings settings;
        size_t size = 0;
        int r;

        r = settings_read_file(path, &text, &size);
        if (r < 0 && r != -ENOENT)
                return r;

        settings_init(&settings);
        if (r >= 0)
                (void) settings_parse_text(&settings, text, size, path, LASTING_SOURCE, keep_warning, reply);

        for (SettingId id = 0; id < _SETTING_MAX; id++) {
                char value[SETTINGS_GLOB_MAX + 1];

                if (!(request->ids & (1U << id)))
                        continue;

                r = settings_set_text(
                                &settings, id, settings_format(&request->settings, id, value, sizeof(value)),
                                LASTING_SOURCE, NULL);
                if (r < 0)
                        return r;
        }

        return write_lasting(path, &settings);
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

        reply->r = request.kind == REQUEST_LOAD
                                   ? settings_load(&storage->paths, keep_warning, reply, &reply->settings)
                                   : serve_store(storage, &request, reply);

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

        /* Last, since these may ask for the next thing, or free the storage. */
        if (kind == REQUEST_LOAD)
                storage->loaded(r < 0 ? r : 0, r < 0 ? NULL : &reply.settings, storage->userdata);
        else if (kind == REQUEST_STORE)
                storage->stored(r < 0 ? r : 0, storage->userdata);
}

int storage_new(sd_event *event,
                const SettingsPaths *paths,
                storage_loaded_t loaded,
                storage_stored_t stored,
                void *userdata,
                Storage **ret) {

        _cleanup_(storage_freep) Storage *storage = NULL;
        int r;

        storage = calloc(1, sizeof(*storage));
        if (!storage)
                return -ENOMEM;

        storage->paths = *paths;
        storage->loaded = loaded;
        storage->stored = stored;
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
        if (!storage->paths.lasting_file)
                return -EOPNOTSUPP;

        return send_request(storage, &(Request){ .kind = REQUEST_STORE, .ids = ids, .settings = *settings });
}
