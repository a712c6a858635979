/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Syncs in helper processes: see syncer.h.
 *
 * A request for the filesystems goes through three steps: one helper lists them; each is handed to an idle
 * helper, in the order of the list, for as long as there are any; and the request ends when all have
 * answered, or its time is over. Filesystems that have not answered then keep their helper, those that still
 * wait for one get it as soon as there is one, and their results go on to change. The next request takes over
 * those that still hang.
 *
 * The sync of a single filesystem is independent of that: it has helpers of its own, one of which first finds
 * the filesystem and then syncs it. It may sync a filesystem that the request for all syncs at that moment,
 * and the other way round, so that neither waits for the other.
 */

#include "syncer.h"

#include <fcntl.h>
#include <sys/param.h>

#include "log.h"

/* So many can start at once. Whoever holds its helper for longer than HELD_USEC gets a substitute, until
 * there are HELPERS_MAX. */
#define HELPERS SYNCFS_AT_ONCE
#define HELPERS_MAX 24
#define HELD_USEC USEC_PER_SEC

/* This one is for sync(2) alone. */
#define EVERYTHING_SLOT HELPERS_MAX

/* Those behind it are for single filesystems: so many can be synced at once, and so many more can hang. */
#define SINGLE_SLOT (EVERYTHING_SLOT + 1)
#define SINGLES 2
#define SINGLES_MAX 8

#define SLOTS_MAX (SINGLE_SLOT + SINGLES_MAX)

/* Those that have a helper from the start. */
#define FIRST_SLOTS (HELPERS + SINGLES + 1)

/* Replies come before scans: there are few of them, and each one may start the next sync. */
#define HELPER_PRIORITY (SD_EVENT_PRIORITY_IMPORTANT - 20)

/* Like scans: see TIMER_PRIORITY in manager.c. */
#define TIMER_PRIORITY (SD_EVENT_PRIORITY_IMPORTANT - 10)
#define TIMER_ACCURACY_USEC (10 * USEC_PER_MSEC)

/* How often it is seen whether the disks make progress: Dirty + Writeback lower than ever in this request, by
 * at least so much. One that was seen counts for a while, since a slow disk takes its time. */
#define PROGRESS_INTERVAL_USEC USEC_PER_SEC
#define PROGRESS_MIN_BYTES (64 * 1024)
#define PROGRESS_WINDOW_USEC (5 * USEC_PER_SEC)

/* A program that was started for the self-test and does not answer within that is not waited for. */
#define SELF_TEST_USEC (10 * USEC_PER_SEC)

/* A helper that died while it listed the filesystems is followed by others. */
#define LIST_ATTEMPTS 3

typedef enum Task {
        TASK_NONE,
        TASK_LIST,
        TASK_FILESYSTEM,
        TASK_EVERYTHING,
        TASK_FIND,   /* the single filesystem that holds a path */
        TASK_SINGLE, /* syncs it */
        TASK_SELF_TEST,
} Task;

/* A helper and what it does. */
typedef struct Slot {
        Syncer *syncer;
        Helper *helper; /* NULL: the slot is free */
        Task task;
        uint64_t since_usec;
        uint64_t request_id;                  /* of TASK_LIST: whose list that is */
        uint32_t major, minor;                /* of TASK_FILESYSTEM and TASK_SINGLE */
        size_t entry;                         /* of TASK_FILESYSTEM: among the entries */
        uint64_t single_id;                   /* of TASK_FIND and TASK_SINGLE; 0 when its time is over */
        uint64_t timeout_usec, deadline_usec; /* of the same */
        char *path;                           /* of TASK_FIND */
        unsigned attempts;                    /* of TASK_FIND: how many are left */
        bool is_remote;                       /* another program forked the helper that it does it with */
} Slot;

typedef enum EntryState {
        ENTRY_WAITING, /* for a helper */
        ENTRY_SYNCING,
        ENTRY_HANGING, /* from an earlier request; it is synced again once that has returned */
        ENTRY_ENDED,
} EntryState;

/* A filesystem of the last request. Beside it stands its FilesystemSync. */
typedef struct Entry {
        EntryState state;
        uint32_t major, minor;
} Entry;

/* Those of a list, and those that still hang though they are in no list any more (detached, for example). */
#define ENTRIES_MAX (FILESYSTEMS_MAX + HELPERS_MAX)

/* Whether Dirty + Writeback fall. */
typedef struct Progress {
        uint64_t lowest_bytes;
        uint64_t last_usec; /* when it fell last; at first, when that began */
        bool was_seen;      /* it fell at least once */
} Progress;

/* The request for the filesystems. */
typedef struct Request {
        bool active;
        bool listed, list_failed;
        uint64_t id;
        uint64_t start_usec, deadline_usec;
        unsigned list_attempts;
        Progress progress;
        uint64_t first_entered_usec, last_entered_usec;
        SyncfsRequest list; /* what to list */
} Request;

struct Syncer {
        sd_event *event;
        sd_event_source *timer;
        const char *socket_path;
        SyncerHandlers handlers;
        void *userdata;
        int meminfo_fd;

        Slot slots[SLOTS_MAX];
        uint64_t last_single_id;

        Request request;
        size_t n_entries;
        Entry entries[ENTRIES_MAX];
        FilesystemSync results[ENTRIES_MAX];
        FilesystemSync sorted[ENTRIES_MAX];

        struct {
                bool active;
                bool is_hanging; /* from an earlier request */
                uint64_t timeout_usec;
                Progress progress;
        } everything;

        struct {
                bool active, listed;
                int result;
                uint64_t deadline_usec;
        } self_test;

        uint64_t next_sample_usec;
        bool changed; /* a result, since filesystems_changed() was called last */
};

/* /proc/meminfo. */

static bool find_kib(const char *text, const char *key, uint64_t *ret_bytes) {
        const char *line = strstr(text, key);
        char *end;
        uint64_t kib;

        if (!line)
                return false;

        kib = strtoull(line + strlen(key), &end, 10);
        if (end == line + strlen(key))
                return false;
        *ret_bytes = kib * 1024;
        return true;
}

int syncer_dirty_bytes(const Syncer *syncer, uint64_t *ret_dirty, uint64_t *ret_writeback) {
        uint64_t dirty, writeback;
        char text[4096];
        ssize_t n;

        n = pread(syncer->meminfo_fd, text, sizeof(text) - 1, 0);
        if (n <= 0)
                return -ENODATA;
        text[n] = '\0';

        if (!find_kib(text, "\nDirty:", &dirty) || !find_kib(text, "\nWriteback:", &writeback))
                return -ENODATA;
        *ret_dirty = dirty;
        *ret_writeback = writeback;
        return 0;
}

static uint64_t unwritten_bytes(const Syncer *syncer) {
        uint64_t dirty, writeback;

        return syncer_dirty_bytes(syncer, &dirty, &writeback) < 0 ? UINT64_MAX : dirty + writeback;
}

static void progress_begin(Progress *progress, const Syncer *syncer, uint64_t now_usec) {
        *progress = (Progress){ .lowest_bytes = unwritten_bytes(syncer), .last_usec = now_usec };
}

static void progress_note(Progress *progress, uint64_t bytes, uint64_t now_usec) {
        if (bytes == UINT64_MAX || progress->lowest_bytes == UINT64_MAX)
                return;
        if (bytes + PROGRESS_MIN_BYTES > progress->lowest_bytes)
                return;

        progress->lowest_bytes = bytes;
        progress->last_usec = now_usec;
        progress->was_seen = true;
}

static bool progress_is_made(const Progress *progress, uint64_t now_usec) {
        return progress->was_seen && usec_subtract(now_usec, progress->last_usec) <= PROGRESS_WINDOW_USEC;
}

/* Slots. */

static void on_reply(int r, const void *reply, size_t size, void *userdata);

static HelperOptions slot_options(Slot *slot, const Syncer *syncer) {
        bool is_everything = slot == syncer->slots + EVERYTHING_SLOT;

        return (HelperOptions){
                .name = is_everything ? "wbwatchd-sync" : "wbwatchd-syncfs",
                /* sync(2) needs no privileges, and depends on nothing else. */
                .socket_path = is_everything ? NULL : syncer->socket_path,
                .serve = syncfs_serve,
                .prepare = syncfs_drop_privileges,
                .on_reply = on_reply,
                .userdata = slot,
                .priority = HELPER_PRIORITY,
        };
}

static int slot_start(Slot *slot, Syncer *syncer) {
        const HelperOptions options = slot_options(slot, syncer);

        slot->syncer = syncer;
        return helper_new_full(syncer->event, &options, &slot->helper);
}

/* The slot of the i-th helper that exists from the start. */
static Slot *first_slot(Syncer *syncer, size_t i) {
        if (i < HELPERS)
                return syncer->slots + i;
        if (i < HELPERS + SINGLES)
                return syncer->slots + SINGLE_SLOT + (i - HELPERS);

        return syncer->slots + EVERYTHING_SLOT;
}

static int start_slots(Syncer *syncer) {
        HelperOptions options[FIRST_SLOTS];
        Helper *helpers[FIRST_SLOTS];
        int r;

        for (size_t i = 0; i < FIRST_SLOTS; i++) {
                Slot *slot = first_slot(syncer, i);

                slot->syncer = syncer;
                options[i] = slot_options(slot, syncer);
        }

        r = helper_new_many(syncer->event, options, FIRST_SLOTS, helpers);
        for (size_t i = 0; i < FIRST_SLOTS && r >= 0; i++)
                first_slot(syncer, i)->helper = helpers[i];
        return r;
}

static void slot_stop(Slot *slot) {
        slot->helper = helper_free(slot->helper);
        slot->task = TASK_NONE;
        free(slot->path);
        slot->path = NULL;
}

static bool slot_is_idle(const Slot *slot) {
        return slot->helper && slot->task == TASK_NONE;
}

static int slot_request(Slot *slot, Task task, const SyncfsRequest *request) {
        int r;

        r = helper_request(slot->helper, request, syncfs_request_size(request));
        if (r < 0)
                return r;

        slot->task = task;
        slot->since_usec = usec_now(CLOCK_MONOTONIC);
        slot->is_remote = helper_is_remote(slot->helper);
        return 0;
}

static Slot *find_idle(Slot *slots, size_t n_slots) {
        for (size_t i = 0; i < n_slots; i++)
                if (slot_is_idle(slots + i))
                        return slots + i;
        return NULL;
}

/* Whether a new filesystem finds it idle now or soon. */
static bool slot_is_available(const Slot *slot, uint64_t now_usec) {
        return slot->helper &&
               (slot->task == TASK_NONE || usec_subtract(now_usec, slot->since_usec) < HELD_USEC);
}

static size_t count_available(const Slot *slots, size_t n_slots) {
        uint64_t now_usec = usec_now(CLOCK_MONOTONIC);
        size_t n = 0;

        for (size_t i = 0; i < n_slots; i++)
                n += slot_is_available(slots + i, now_usec);
        return n;
}

static bool needs_substitutes(const Syncer *syncer) {
        if (!syncer->request.active)
                return true;

        for (size_t i = 0; i < syncer->n_entries; i++)
                if (syncer->entries[i].state == ENTRY_WAITING)
                        return true;
        return false;
}

/* Starts substitutes for those that hang, until so many are available, and ends them when these have
 * returned. */
static void adjust_slots(Syncer *syncer, Slot *slots, size_t n_slots, size_t wanted, size_t kept) {
        size_t available = count_available(slots, n_slots);

        for (size_t i = 0; i < n_slots && available < wanted; i++)
                if (!slots[i].helper && slot_start(slots + i, syncer) >= 0)
                        available++;

        for (size_t i = n_slots; i-- > 0 && available > kept;)
                if (slot_is_idle(slots + i)) {
                        slot_stop(slots + i);
                        available--;
                }
}

/* Results. */

static void set_result(Syncer *syncer, size_t i, FilesystemResult result) {
        if (syncer->results[i].result == result)
                return;

        syncer->results[i].result = result;
        syncer->changed = true;
}

/* It has not ended though the time of its request is over. */
static void set_late(Syncer *syncer, size_t i, uint64_t now_usec) {
        syncer->results[i].duration_usec = usec_subtract(now_usec, syncer->request.start_usec);
        set_result(syncer, i,
                   progress_is_made(&syncer->request.progress, now_usec) ? FILESYSTEM_SLOW
                                                                         : FILESYSTEM_TIMEOUT);
}

static bool is_unfinished(const Entry *entry) {
        return entry->state == ENTRY_WAITING || entry->state == ENTRY_SYNCING;
}

static bool comes_before(const FilesystemSync *a, const FilesystemSync *b) {
        bool a_ok = a->result == FILESYSTEM_OK, b_ok = b->result == FILESYSTEM_OK;

        return a_ok != b_ok ? b_ok : a->duration_usec > b->duration_usec;
}

/* Not qsort(3), which may allocate. Stable. Returns how many there are. */
static size_t sort_results(Syncer *syncer) {
        size_t n = 0;

        for (size_t i = 0; i < syncer->n_entries; i++) {
                size_t j = n;

                for (; j > 0 && comes_before(syncer->results + i, syncer->sorted + j - 1); j--)
                        syncer->sorted[j] = syncer->sorted[j - 1];
                syncer->sorted[j] = syncer->results[i];
                n++;
        }
        return n;
}

static SyncResult combine_results(const FilesystemSync *results, size_t n) {
        bool has_failed = false, has_ok = false;

        for (size_t i = 0; i < n; i++)
                switch (results[i].result) {
                case FILESYSTEM_PENDING:
                case FILESYSTEM_SLOW:
                case FILESYSTEM_TIMEOUT:
                        return SYNC_STALLED;
                case FILESYSTEM_FAILED:
                        has_failed = true;
                        break;
                case FILESYSTEM_OK:
                        has_ok = true;
                        break;
                case FILESYSTEM_UNREACHABLE:
                        break;
                }

        return has_failed || (!has_ok && n > 0) ? SYNC_FAILED : SYNC_OK;
}

/* The request for the filesystems. */

static_assert(sizeof(((FilesystemSync *) NULL)->mountpoint) == sizeof(((Filesystem *) NULL)->mountpoint) &&
                              sizeof(((FilesystemSync *) NULL)->type) == sizeof(((Filesystem *) NULL)->type),
              "names are cut once");

static void add_entry(Syncer *syncer, const Filesystem *filesystem) {
        size_t i = syncer->n_entries++;
        FilesystemSync *result = syncer->results + i;

        syncer->entries[i] = (Entry){
                .major = filesystem->major,
                .minor = filesystem->minor,
        };
        *result = (FilesystemSync){};
        memcpy(result->mountpoint, filesystem->mountpoint, sizeof(result->mountpoint));
        memcpy(result->type, filesystem->type, sizeof(result->type));
}

/* The slot that still syncs that filesystem for an earlier request. */
static Slot *find_hanging(Syncer *syncer, uint32_t major, uint32_t minor) {
        for (size_t i = 0; i < HELPERS_MAX; i++) {
                Slot *slot = syncer->slots + i;

                if (slot->task == TASK_FILESYSTEM && slot->major == major && slot->minor == minor)
                        return slot;
        }
        return NULL;
}

static void set_hanging(Syncer *syncer, size_t i, Slot *slot) {
        slot->entry = i;
        syncer->entries[i].state = ENTRY_HANGING;
        syncer->results[i].result = FILESYSTEM_TIMEOUT;
        syncer->results[i].duration_usec = usec_subtract(usec_now(CLOCK_MONOTONIC), slot->since_usec);
}

/* Those that hang come first among the new entries, which keeps their names. */
static void keep_hanging(Syncer *syncer) {
        size_t n = 0;

        for (size_t i = 0; i < syncer->n_entries; i++) {
                const Entry entry = syncer->entries[i];
                const FilesystemSync result = syncer->results[i];
                Slot *slot = find_hanging(syncer, entry.major, entry.minor);

                if (!slot || slot->entry != i)
                        continue;
                syncer->entries[n] = entry;
                syncer->results[n] = result;
                set_hanging(syncer, n, slot);
                n++;
        }
        syncer->n_entries = n;
}

static void add_filesystem(Syncer *syncer, const Filesystem *filesystem) {
        if (!find_hanging(syncer, filesystem->major, filesystem->minor) && syncer->n_entries < ENTRIES_MAX)
                add_entry(syncer, filesystem);
}

/* Hands the filesystems that wait to the helpers that are idle. */
static void dispatch(Syncer *syncer) {
        /* Its entries must not be synced. */
        if (syncer->self_test.active)
                return;

        for (size_t i = 0; i < syncer->n_entries; i++) {
                Entry *entry = syncer->entries + i;
                SyncfsRequest request;
                Slot *slot;

                if (entry->state != ENTRY_WAITING)
                        continue;
                slot = find_idle(syncer->slots, HELPERS_MAX);
                if (!slot)
                        return;

                request.order = SYNCFS_ORDER_FILESYSTEM;
                request.self_test = false;
                request.major = slot->major = entry->major;
                request.minor = slot->minor = entry->minor;
                request.path[0] = '\0';
                slot->entry = i;
                if (slot_request(slot, TASK_FILESYSTEM, &request) >= 0)
                        entry->state = ENTRY_SYNCING;
                else {
                        entry->state = ENTRY_ENDED;
                        set_result(syncer, i, FILESYSTEM_FAILED);
                }
        }
}

/* Where none is idle, all hang: nothing can be listed. */
static void request_list(Syncer *syncer) {
        Request *request = &syncer->request;

        while (request->list_attempts < LIST_ATTEMPTS) {
                Slot *slot = find_idle(syncer->slots, HELPERS_MAX);

                request->list_attempts++;
                if (slot && slot_request(slot, TASK_LIST, &request->list) >= 0) {
                        slot->request_id = request->id;
                        return;
                }
        }
        request->list_failed = true;
}

static bool request_is_complete(const Syncer *syncer) {
        if (syncer->request.list_failed)
                return true;
        if (!syncer->request.listed)
                return false;

        for (size_t i = 0; i < syncer->n_entries; i++)
                if (is_unfinished(syncer->entries + i))
                        return false;
        return true;
}

static void request_end(Syncer *syncer, uint64_t now_usec) {
        Request *request = &syncer->request;
        SyncResult result;
        size_t n;

        for (size_t i = 0; i < syncer->n_entries; i++)
                if (is_unfinished(syncer->entries + i))
                        set_late(syncer, i, now_usec);

        n = sort_results(syncer);
        result = combine_results(syncer->sorted, n);
        if (result == SYNC_OK && !request->listed)
                result = request->list_failed ? SYNC_FAILED : SYNC_STALLED;

        request->active = false;
        syncer->changed = true;
        syncer->handlers.filesystems_synced(n > 0, result, syncer->sorted, n, syncer->userdata);
}

/* Whether the reply is that list. */
static bool is_list(const SyncfsList *list, size_t size) {
        return size >= offsetof(SyncfsList, list.filesystems) && list->list.n <= FILESYSTEMS_MAX &&
               size == offsetof(SyncfsList, list.filesystems) +
                                               list->list.n * sizeof(list->list.filesystems[0]);
}

static void on_list(Syncer *syncer, const Slot *slot, int r, const void *reply, size_t size) {
        Request *request = &syncer->request;
        const SyncfsList *list = reply;

        /* The list of a request that is over. */
        if (!request->active || slot->request_id != request->id)
                return;

        if (r < 0) {
                request_list(syncer);
                return;
        }
        if (!is_list(list, size) || list->error < 0) {
                request->list_failed = true;
                return;
        }

        for (size_t i = 0; i < list->list.n; i++)
                add_filesystem(syncer, list->list.filesystems + i);
        request->listed = true;
        syncer->changed = true;
}

static void note_entered(Request *request, uint64_t entered_usec) {
        if (request->first_entered_usec == 0 || entered_usec < request->first_entered_usec)
                request->first_entered_usec = entered_usec;
        request->last_entered_usec = MAX(request->last_entered_usec, entered_usec);
}

static FilesystemResult judge_reply(const SyncfsReply *reply) {
        if (!reply)
                return FILESYSTEM_FAILED;
        if (!reply->is_reached)
                return FILESYSTEM_UNREACHABLE;
        return reply->error < 0 ? FILESYSTEM_FAILED : FILESYSTEM_OK;
}

static void on_filesystem(Syncer *syncer, const Slot *slot, int r, const void *data, size_t size) {
        const SyncfsReply *reply = r >= 0 && size == sizeof(*reply) ? data : NULL;
        Entry *entry = syncer->entries + slot->entry;
        FilesystemSync *result = syncer->results + slot->entry;
        bool was_hanging = entry->state == ENTRY_HANGING;

        /* What was written to it since may not have been synced. */
        if (was_hanging && syncer->request.active) {
                entry->state = ENTRY_WAITING;
                result->duration_usec = 0;
                set_result(syncer, slot->entry, FILESYSTEM_PENDING);
                return;
        }

        entry->state = ENTRY_ENDED;
        result->duration_usec = reply ? reply->duration_usec : 0;
        set_result(syncer, slot->entry, judge_reply(reply));
        if (reply && reply->is_reached && !was_hanging)
                note_entered(&syncer->request, reply->entered_usec);
}

/* The time of a request is over: what is late is slow for as long as there is progress. */
static void update_late(Syncer *syncer, uint64_t now_usec) {
        for (size_t i = 0; i < syncer->n_entries; i++)
                if (syncer->results[i].result == FILESYSTEM_SLOW)
                        set_late(syncer, i, now_usec);
}

static bool has_slow(const Syncer *syncer) {
        for (size_t i = 0; i < syncer->n_entries; i++)
                if (syncer->results[i].result == FILESYSTEM_SLOW)
                        return true;
        return false;
}

/* Single filesystems. */

static void single_end(
                Syncer *syncer,
                Slot *slot,
                FilesystemResult result,
                uint64_t duration_usec,
                int error) {
        uint64_t id = slot->single_id;

        slot->single_id = 0;
        free(slot->path);
        slot->path = NULL;
        if (id != 0)
                syncer->handlers.filesystem_synced(id, result, duration_usec, error, syncer->userdata);
}

/* Whether that slot still syncs the filesystem though the time of its request is over. */
static bool slot_hangs(const Syncer *syncer, const Slot *slot, uint32_t major, uint32_t minor) {
        if (slot->major != major || slot->minor != minor)
                return false;
        if (slot->task == TASK_FILESYSTEM)
                return !syncer->request.active || syncer->entries[slot->entry].state == ENTRY_HANGING;
        return slot->task == TASK_SINGLE && slot->single_id == 0;
}

static const Slot *find_hanging_any(const Syncer *syncer, uint32_t major, uint32_t minor) {
        for (size_t i = 0; i < SLOTS_MAX; i++)
                if (slot_hangs(syncer, syncer->slots + i, major, minor))
                        return syncer->slots + i;
        return NULL;
}

/* Nothing piles up behind a filesystem that hangs. */
static void single_sync(Syncer *syncer, Slot *slot, const Filesystem *filesystem) {
        const Slot *hanging = find_hanging_any(syncer, filesystem->major, filesystem->minor);
        SyncfsRequest request;
        int r;

        if (hanging) {
                single_end(syncer, slot, FILESYSTEM_TIMEOUT,
                           usec_subtract(usec_now(CLOCK_MONOTONIC), hanging->since_usec), 0);
                return;
        }

        request.order = SYNCFS_ORDER_FILESYSTEM;
        request.self_test = false;
        request.major = slot->major = filesystem->major;
        request.minor = slot->minor = filesystem->minor;
        request.path[0] = '\0';
        r = slot_request(slot, TASK_SINGLE, &request);
        if (r < 0)
                single_end(syncer, slot, FILESYSTEM_FAILED, 0, r);
}

static int single_find(Slot *slot) {
        SyncfsRequest request;

        slot->attempts--;
        request.order = SYNCFS_ORDER_LIST;
        request.self_test = false;
        request.major = request.minor = 0;
        memcpy(request.path, slot->path, strlen(slot->path) + 1);
        return slot_request(slot, TASK_FIND, &request);
}

static void on_found(Syncer *syncer, Slot *slot, int r, const void *reply, size_t size) {
        const SyncfsList *list = reply;

        if (slot->single_id == 0)
                return;

        /* Its helper died. */
        if (r < 0 && slot->attempts > 0)
                r = single_find(slot);
        if (slot->task == TASK_FIND)
                return;

        if (r >= 0 && !is_list(list, size))
                r = -EBADMSG;
        if (r < 0)
                single_end(syncer, slot, FILESYSTEM_FAILED, 0, r);
        else if (list->error < 0 || list->list.n == 0)
                single_end(syncer, slot, FILESYSTEM_UNREACHABLE, 0, list->error < 0 ? list->error : -ENODEV);
        else
                single_sync(syncer, slot, list->list.filesystems);
}

static void on_single(Syncer *syncer, Slot *slot, int r, const void *data, size_t size) {
        const SyncfsReply *reply = data;

        if (r >= 0 && size != sizeof(*reply))
                r = -EBADMSG;
        if (r < 0)
                single_end(syncer, slot, FILESYSTEM_FAILED, 0, r);
        else
                single_end(syncer, slot, judge_reply(reply), reply->duration_usec, reply->error);
}

/* It keeps its helper until it returns. */
static void expire_singles(Syncer *syncer, uint64_t now_usec) {
        for (size_t i = SINGLE_SLOT; i < SLOTS_MAX; i++) {
                Slot *slot = syncer->slots + i;

                if (slot->single_id != 0 && now_usec >= slot->deadline_usec)
                        single_end(syncer, slot, FILESYSTEM_TIMEOUT, slot->timeout_usec, 0);
        }
}

static uint64_t singles_deadline_usec(const Syncer *syncer) {
        uint64_t usec = USEC_INFINITY;

        for (size_t i = SINGLE_SLOT; i < SLOTS_MAX; i++)
                if (syncer->slots[i].single_id != 0)
                        usec = MIN(usec, syncer->slots[i].deadline_usec);
        return usec;
}

/* sync(2). */

static void everything_end(Syncer *syncer, SyncResult result, uint64_t entered_usec, uint64_t duration_usec) {
        syncer->everything.active = false;
        syncer->handlers.everything_synced(result, entered_usec, duration_usec, syncer->userdata);
}

static void on_everything(Syncer *syncer, int r, const void *data, size_t size) {
        const SyncfsReply *reply = data;

        /* The end of an earlier one is not that of this request. */
        if (!syncer->everything.active || syncer->everything.is_hanging)
                return;

        if (r >= 0 && size == sizeof(*reply))
                everything_end(syncer, SYNC_OK, reply->entered_usec, reply->duration_usec);
        else
                everything_end(syncer, SYNC_FAILED, 0, 0);
}

static bool everything_is_stalled(const Syncer *syncer, uint64_t now_usec) {
        return syncer->everything.active && (syncer->everything.is_hanging ||
                                             usec_subtract(now_usec, syncer->everything.progress.last_usec) >=
                                                             syncer->everything.timeout_usec);
}

/* The self-test: the list first, and then something for each helper. */

/* Calls what follows for each slot in use, the one for sync(2) included. */
#define FOREACH_SLOT(slot, syncer)                                                                           \
        for (Slot *slot = (syncer)->slots; slot; slot = next_slot(syncer, slot))                             \
                if (slot->helper)

static Slot *next_slot(Syncer *syncer, const Slot *slot) {
        size_t i = (size_t) (slot - syncer->slots) + 1;

        return i < SLOTS_MAX ? syncer->slots + i : NULL;
}

static int self_test_request(Syncer *syncer, Slot *slot) {
        SyncfsRequest request;
        size_t i = (size_t) (slot - syncer->slots);

        request.order = !syncer->self_test.listed ? SYNCFS_ORDER_LIST
                        : i == EVERYTHING_SLOT    ? SYNCFS_ORDER_EVERYTHING
                                                  : SYNCFS_ORDER_FILESYSTEM;
        request.self_test = true;
        request.major = request.minor = 0;
        request.path[0] = '\0';
        if (syncer->n_entries > 0) {
                const Entry *entry = syncer->entries + i % syncer->n_entries;

                request.major = entry->major;
                request.minor = entry->minor;
        }

        return slot_request(slot, TASK_SELF_TEST, &request);
}

/* The first failure counts. */
static void self_test_note(Syncer *syncer, int r) {
        if (r < 0 && syncer->self_test.result == 0)
                syncer->self_test.result = r;
}

/* The helpers of the other program are no good: forks this one instead, and those to come. */
static void self_test_replace(Syncer *syncer, Slot *slot) {
        int r;

        if (syncer->socket_path)
                log_warning("The helpers behind %s do not work, forking helpers instead: filesystems that "
                            "this "
                            "service can't see are left to sync()",
                            syncer->socket_path);
        syncer->socket_path = NULL;

        slot_stop(slot);
        r = slot_start(slot, syncer);
        if (r >= 0)
                r = self_test_request(syncer, slot);
        self_test_note(syncer, r);
}

static void self_test_listed(Syncer *syncer, Slot *lister, const SyncfsList *list, size_t size) {
        int meminfo_fd = helper_take_attached(lister->helper);

        if (syncer->meminfo_fd < 0)
                syncer->meminfo_fd = meminfo_fd;
        else
                closep(&meminfo_fd);

        if (is_list(list, size))
                for (size_t i = 0; i < list->list.n; i++)
                        add_filesystem(syncer, list->list.filesystems + i);

        syncer->self_test.listed = true;
        FOREACH_SLOT(slot, syncer)
        self_test_note(syncer, self_test_request(syncer, slot));
}

static void on_self_test(Syncer *syncer, Slot *slot, int r, const void *reply, size_t size) {
        if (r < 0 && slot->is_remote)
                self_test_replace(syncer, slot);
        else if (r < 0)
                self_test_note(syncer, r);
        else if (!syncer->self_test.listed)
                self_test_listed(syncer, slot, reply, size);
}

/* Who has not answered is replaced, or, when it was forked, not waited for. */
static void self_test_expire(Syncer *syncer, uint64_t now_usec) {
        syncer->self_test.deadline_usec = now_usec + SELF_TEST_USEC;
        FOREACH_SLOT(slot, syncer) {
                if (slot->task != TASK_SELF_TEST)
                        continue;
                if (slot->is_remote)
                        self_test_replace(syncer, slot);
                else {
                        slot_stop(slot);
                        self_test_note(syncer, slot_start(slot, syncer));
                        self_test_note(syncer, -ETIMEDOUT);
                }
        }
}

static bool self_test_is_complete(Syncer *syncer) {
        FOREACH_SLOT(slot, syncer)
        if (slot->task == TASK_SELF_TEST)
                return false;
        return true;
}

static void self_test_end(Syncer *syncer) {
        syncer->self_test.active = false;
        syncer->n_entries = 0;
        syncer->handlers.self_tested(syncer->self_test.result, syncer->userdata);
}

/* The event loop. */

static bool needs_samples(const Syncer *syncer) {
        return syncer->request.active || syncer->everything.active || has_slow(syncer);
}

/* When on_timer() is due, or USEC_INFINITY. */
static uint64_t wake_usec(Syncer *syncer) {
        uint64_t usec = singles_deadline_usec(syncer);

        if (syncer->changed || (syncer->request.active && request_is_complete(syncer)) ||
            (syncer->everything.active && syncer->everything.is_hanging) ||
            (syncer->self_test.active && self_test_is_complete(syncer)))
                return 0;

        if (syncer->request.active)
                usec = MIN(usec, syncer->request.deadline_usec);
        if (syncer->everything.active)
                usec = MIN(usec,
                           usec_add(syncer->everything.progress.last_usec, syncer->everything.timeout_usec));
        if (syncer->self_test.active)
                usec = MIN(usec, syncer->self_test.deadline_usec);
        if (needs_samples(syncer))
                usec = MIN(usec, syncer->next_sample_usec);
        return usec;
}

static void schedule(Syncer *syncer) {
        uint64_t usec = wake_usec(syncer);

        if (usec != USEC_INFINITY)
                (void) sd_event_source_set_time(syncer->timer, usec);
        (void) sd_event_source_set_enabled(
                        syncer->timer, usec == USEC_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

/* Goes on where something happened. Handlers come last, since they may request more. */
static void advance(Syncer *syncer, uint64_t now_usec) {
        dispatch(syncer);

        if (syncer->request.active &&
            (request_is_complete(syncer) || now_usec >= syncer->request.deadline_usec))
                request_end(syncer, now_usec);
        if (everything_is_stalled(syncer, now_usec))
                everything_end(syncer, SYNC_STALLED, 0, 0);
        expire_singles(syncer, now_usec);
        if (syncer->self_test.active && self_test_is_complete(syncer))
                self_test_end(syncer);
        if (syncer->changed) {
                syncer->changed = false;
                syncer->handlers.filesystems_changed(syncer->userdata);
        }

        schedule(syncer);
}

static void take_sample(Syncer *syncer, uint64_t now_usec) {
        uint64_t bytes = unwritten_bytes(syncer);

        syncer->next_sample_usec = now_usec + PROGRESS_INTERVAL_USEC;
        progress_note(&syncer->request.progress, bytes, now_usec);
        progress_note(&syncer->everything.progress, bytes, now_usec);
        update_late(syncer, now_usec);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Syncer *syncer = userdata;
        uint64_t now_usec = usec_now(CLOCK_MONOTONIC);

        if (needs_samples(syncer) && now_usec >= syncer->next_sample_usec)
                take_sample(syncer, now_usec);
        if (syncer->self_test.active && now_usec >= syncer->self_test.deadline_usec)
                self_test_expire(syncer, now_usec);

        advance(syncer, now_usec);
        return 0;
}

static void on_reply(int r, const void *reply, size_t size, void *userdata) {
        Slot *slot = userdata;
        Syncer *syncer = slot->syncer;
        Task task = slot->task;

        slot->task = TASK_NONE;
        switch (task) {
        case TASK_LIST:
                on_list(syncer, slot, r, reply, size);
                break;
        case TASK_FILESYSTEM:
                on_filesystem(syncer, slot, r, reply, size);
                break;
        case TASK_EVERYTHING:
                on_everything(syncer, r, reply, size);
                break;
        case TASK_FIND:
                on_found(syncer, slot, r, reply, size);
                break;
        case TASK_SINGLE:
                on_single(syncer, slot, r, reply, size);
                break;
        case TASK_SELF_TEST:
                on_self_test(syncer, slot, r, reply, size);
                break;
        case TASK_NONE:
                break;
        }

        advance(syncer, usec_now(CLOCK_MONOTONIC));
}

/* What others call. */

int syncer_new(sd_event *event,
               const char *socket_path,
               const SyncerHandlers *handlers,
               void *userdata,
               Syncer **ret) {
        _cleanup_(syncer_freep) Syncer *syncer = NULL;
        int r;

        syncer = malloc(sizeof(*syncer));
        if (!syncer)
                return -ENOMEM;
        /* Not calloc(): its pages must be there when they are needed. */
        explicit_bzero(syncer, sizeof(*syncer));
        syncer->meminfo_fd = -EBADF;

        syncer->event = sd_event_ref(event);
        syncer->socket_path = socket_path;
        syncer->handlers = *handlers;
        syncer->userdata = userdata;
        syncer->meminfo_fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);

        r = start_slots(syncer);
        if (r >= 0)
                r = sd_event_add_time(
                                event, &syncer->timer, CLOCK_MONOTONIC, 0, TIMER_ACCURACY_USEC, on_timer,
                                syncer);
        if (r >= 0)
                r = sd_event_source_set_priority(syncer->timer, TIMER_PRIORITY);
        if (r >= 0)
                r = sd_event_source_set_enabled(syncer->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;

        *ret = TAKE_POINTER(syncer);
        return 0;
}

Syncer *syncer_free(Syncer *syncer) {
        if (!syncer)
                return NULL;

        FOREACH_SLOT(slot, syncer)
        slot_stop(slot);
        sd_event_source_disable_unref(syncer->timer);
        sd_event_unref(syncer->event);
        closep(&syncer->meminfo_fd);
        free(syncer);
        return NULL;
}

/* The first sample is due after a while. */
static void begin_samples(Syncer *syncer, uint64_t now_usec) {
        if (!needs_samples(syncer))
                syncer->next_sample_usec = now_usec + PROGRESS_INTERVAL_USEC;
}

int syncer_sync_filesystems(Syncer *syncer, uint64_t timeout_usec) {
        Request *request = &syncer->request;
        uint64_t now_usec = usec_now(CLOCK_MONOTONIC);

        if (request->active || syncer->self_test.active)
                return -EBUSY;

        begin_samples(syncer, now_usec);
        request->active = true;
        request->listed = request->list_failed = false;
        request->id++;
        request->start_usec = now_usec;
        request->deadline_usec = usec_add(now_usec, timeout_usec);
        request->list_attempts = 0;
        request->first_entered_usec = request->last_entered_usec = 0;
        request->list.order = SYNCFS_ORDER_LIST;
        request->list.path[0] = '\0';

        keep_hanging(syncer);
        request_list(syncer);
        progress_begin(&request->progress, syncer, now_usec);
        schedule(syncer);
        return 0;
}

int syncer_sync_filesystem(Syncer *syncer, const char *path, uint64_t timeout_usec, uint64_t *ret_id) {
        Slot *slot;
        int r;

        if (path[0] != '/')
                return -EINVAL;
        if (strlen(path) >= PATH_MAX)
                return -ENAMETOOLONG;

        slot = find_idle(syncer->slots + SINGLE_SLOT, SINGLES_MAX);
        if (!slot || syncer->self_test.active)
                return -EBUSY;

        slot->path = strdup(path);
        if (!slot->path)
                return -ENOMEM;
        slot->attempts = LIST_ATTEMPTS;
        slot->single_id = ++syncer->last_single_id;
        r = single_find(slot);
        if (r < 0) {
                slot->single_id = 0;
                free(slot->path);
                slot->path = NULL;
                return r;
        }

        slot->timeout_usec = timeout_usec;
        slot->deadline_usec = usec_add(slot->since_usec, timeout_usec);
        schedule(syncer);
        *ret_id = slot->single_id;
        return 0;
}

int syncer_sync_everything(Syncer *syncer, uint64_t timeout_usec) {
        Slot *slot = syncer->slots + EVERYTHING_SLOT;
        uint64_t now_usec = usec_now(CLOCK_MONOTONIC);
        SyncfsRequest request;
        int r;

        if (syncer->everything.active || syncer->self_test.active)
                return -EBUSY;

        syncer->everything.is_hanging = slot->task != TASK_NONE;
        if (!syncer->everything.is_hanging) {
                request.order = SYNCFS_ORDER_EVERYTHING;
                request.self_test = false;
                request.major = request.minor = 0;
                request.path[0] = '\0';
                r = slot_request(slot, TASK_EVERYTHING, &request);
                if (r < 0)
                        return r;
        }

        begin_samples(syncer, now_usec);
        syncer->everything.active = true;
        syncer->everything.timeout_usec = timeout_usec;
        progress_begin(&syncer->everything.progress, syncer, now_usec);
        schedule(syncer);
        return 0;
}

int syncer_self_test(Syncer *syncer) {
        int r;

        FOREACH_SLOT(slot, syncer)
        if (slot->task != TASK_NONE)
                return -EBUSY;
        if (syncer->request.active || syncer->self_test.active)
                return -EBUSY;

        syncer->self_test.listed = false;
        syncer->self_test.result = 0;
        syncer->self_test.deadline_usec = usec_now(CLOCK_MONOTONIC) + SELF_TEST_USEC;
        syncer->n_entries = 0;
        r = self_test_request(syncer, syncer->slots);
        if (r < 0)
                return r;

        syncer->self_test.active = true;
        schedule(syncer);
        return 0;
}

void syncer_ensure_helpers(Syncer *syncer) {
        adjust_slots(syncer, syncer->slots, HELPERS_MAX, needs_substitutes(syncer) ? HELPERS : 0, HELPERS);
        adjust_slots(syncer, syncer->slots + SINGLE_SLOT, SINGLES_MAX, syncer->request.active ? 0 : SINGLES,
                     SINGLES);
        FOREACH_SLOT(slot, syncer)
        helper_ensure(slot->helper);
        dispatch(syncer);
        schedule(syncer);
}

const FilesystemSync *syncer_results(const Syncer *syncer, size_t *ret_n) {
        *ret_n = syncer->n_entries;
        return syncer->results;
}

void syncer_entered(const Syncer *syncer, uint64_t *ret_first_usec, uint64_t *ret_last_usec) {
        *ret_first_usec = syncer->request.first_entered_usec;
        *ret_last_usec = syncer->request.last_entered_usec;
}
