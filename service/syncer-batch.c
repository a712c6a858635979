/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "syncer-batch.h"

static_assert(sizeof(((FilesystemSync *) NULL)->mountpoint) == sizeof(((Filesystem *) NULL)->mountpoint) &&
                              sizeof(((FilesystemSync *) NULL)->type) == sizeof(((Filesystem *) NULL)->type),
              "names are truncated in one place only");

/* Results */

static void set_result(Batch *batch, size_t i, FilesystemResult result) {
        if (batch->results[i].result == result)
                return;

        batch->results[i].result = result;
        batch->changed = true;
}

/* The sync has not ended at the timeout of its batch. */
static void set_late(Batch *batch, size_t i, uint64_t now_usec) {
        batch->results[i].duration_usec = usec_subtract(now_usec, batch->start_usec);
        set_result(batch, i,
                   progress_is_made(&batch->progress, now_usec) ? FILESYSTEM_SLOW : FILESYSTEM_TIMEOUT);
}

static bool comes_before(const FilesystemSync *a, const FilesystemSync *b) {
        bool a_ok = a->result == FILESYSTEM_OK, b_ok = b->result == FILESYSTEM_OK;

        return a_ok != b_ok ? b_ok : a->duration_usec > b->duration_usec;
}

/* Not qsort(3), which may allocate. Stable. */
static void sort_results(Batch *batch) {
        for (size_t i = 0; i < batch->n_entries; i++) {
                size_t j = i;

                for (; j > 0 && comes_before(batch->results + i, batch->sorted + j - 1); j--)
                        batch->sorted[j] = batch->sorted[j - 1];
                batch->sorted[j] = batch->results[i];
        }
}

static SyncResult combine_results(const FilesystemSync *results, size_t n) {
        bool has_failed = false, has_ok = false;

        for (size_t i = 0; i < n; i++)
                switch (results[i].result) {
                case FILESYSTEM_PENDING:
                case FILESYSTEM_TIMEOUT:
                        return SYNC_STALLED;
                case FILESYSTEM_FAILED:
                        has_failed = true;
                        break;
                case FILESYSTEM_SLOW:
                case FILESYSTEM_OK:
                        has_ok = true;
                        break;
                case FILESYSTEM_UNREACHABLE:
                        break;
                }

        return has_failed || (!has_ok && n > 0) ? SYNC_FAILED : SYNC_OK;
}

/* The list */

/* The slot that still syncs the filesystem for an earlier batch. */
static Slot *find_hanging(Batch *batch, uint32_t major, uint32_t minor) {
        Slot *slot = pool_find_hanging(batch->pool, major, minor);

        return slot && slot->group == GROUP_FILESYSTEMS ? slot : NULL;
}

/* Adds the filesystems that hang first, with their names. */
static void keep_hanging(Batch *batch, uint64_t now_usec) {
        size_t n = 0;

        for (size_t i = 0; i < batch->n_entries; i++) {
                Slot *slot = find_hanging(batch, batch->entries[i].major, batch->entries[i].minor);

                if (!slot || slot->tag != i)
                        continue;
                slot->tag = n;
                batch->entries[n] = batch->entries[i];
                batch->entries[n].state = ENTRY_HANGING;
                batch->results[n] = batch->results[i];
                batch->results[n].result = FILESYSTEM_TIMEOUT;
                batch->results[n].duration_usec = usec_subtract(now_usec, slot->since_usec);
                n++;
        }
        batch->n_entries = n;
}

static bool has_entry(const Batch *batch, uint32_t major, uint32_t minor) {
        for (size_t i = 0; i < batch->n_entries; i++)
                if (batch->entries[i].major == major && batch->entries[i].minor == minor)
                        return true;
        return false;
}

/* One that hung when the batch began has an entry, also if it has returned by now. */
static void add_entry(Batch *batch, const Filesystem *filesystem) {
        size_t i = batch->n_entries;
        FilesystemSync *result = batch->results + i;

        if (i == ENTRIES_MAX || has_entry(batch, filesystem->major, filesystem->minor))
                return;

        batch->n_entries++;
        batch->entries[i] = (Entry){
                .major = filesystem->major,
                .minor = filesystem->minor,
                .mount_id = filesystem->mount_id,
        };
        *result = (FilesystemSync){};
        memcpy(result->mountpoint, filesystem->mountpoint, sizeof(result->mountpoint));
        memcpy(result->type, filesystem->type, sizeof(result->type));
}

/* If no helper is idle, all hang, and nothing can be listed. */
static void request_list(Batch *batch) {
        while (batch->list_attempts < LIST_ATTEMPTS) {
                Slot *slot = pool_find_idle(batch->pool, GROUP_FILESYSTEMS);

                batch->list_attempts++;
                if (slot && slot_list(slot, TASK_LIST, "") >= 0) {
                        slot->tag = batch->id;
                        return;
                }
        }
        batch->list_failed = true;
}

void batch_on_list(Batch *batch, const Slot *slot, int r, const void *reply, size_t size) {
        const SyncfsList *list = reply;

        /* The list of an earlier batch. */
        if (!batch->active || slot->tag != batch->id)
                return;

        if (r < 0) {
                request_list(batch);
                return;
        }
        if (!reply_is_list(reply, size) || list->error < 0) {
                batch->list_failed = true;
                return;
        }

        for (size_t i = 0; i < list->list.n; i++)
                add_entry(batch, list->list.filesystems + i);
        batch->listed = true;
        batch->changed = true;
}

/* Its filesystems */

void batch_dispatch(Batch *batch) {
        for (size_t i = 0; i < batch->n_entries; i++) {
                Entry *entry = batch->entries + i;
                Slot *slot;

                if (entry->state != ENTRY_WAITING)
                        continue;
                slot = pool_find_idle(batch->pool, GROUP_FILESYSTEMS);
                if (!slot)
                        return;

                if (slot_sync_filesystem(
                                    slot, TASK_FILESYSTEM, entry->major, entry->minor, entry->mount_id,
                                    batch->results[i].mountpoint) < 0) {
                        entry->state = ENTRY_ENDED;
                        set_result(batch, i, FILESYSTEM_FAILED);
                        continue;
                }
                entry->state = ENTRY_SYNCING;
                slot->tag = i;
                slot->is_hanging = !batch->active;
        }
}

static void note_entered(Batch *batch, uint64_t entered_usec) {
        if (batch->first_entered_usec == 0 || entered_usec < batch->first_entered_usec)
                batch->first_entered_usec = entered_usec;
        batch->last_entered_usec = MAX(batch->last_entered_usec, entered_usec);
}

void batch_on_filesystem(Batch *batch, const Slot *slot, int r, const void *data, size_t size) {
        const SyncfsReply *reply = r >= 0 && size == sizeof(*reply) ? data : NULL;
        Entry *entry = batch->entries + slot->tag;
        FilesystemSync *result = batch->results + slot->tag;
        bool was_hanging = entry->state == ENTRY_HANGING;

        /* Sync again: later writes may not have been synced. */
        if (was_hanging && batch->active) {
                entry->state = ENTRY_WAITING;
                result->duration_usec = 0;
                set_result(batch, slot->tag, FILESYSTEM_PENDING);
                return;
        }

        entry->state = ENTRY_ENDED;
        result->duration_usec = reply ? reply->duration_usec : 0;
        set_result(batch, slot->tag, reply_result(reply));
        if (reply && reply->is_reached && !was_hanging)
                note_entered(batch, reply->entered_usec);
}

/* The batch */

void batch_begin(Batch *batch, uint64_t now_usec, uint64_t timeout_usec) {
        batch->active = true;
        batch->listed = batch->list_failed = false;
        batch->id++;
        batch->start_usec = now_usec;
        batch->deadline_usec = usec_add(now_usec, timeout_usec);
        batch->list_attempts = 0;
        batch->first_entered_usec = batch->last_entered_usec = 0;

        keep_hanging(batch, now_usec);
        request_list(batch);
}

bool batch_is_waiting(const Batch *batch) {
        for (size_t i = 0; i < batch->n_entries; i++)
                if (batch->entries[i].state == ENTRY_WAITING)
                        return true;
        return false;
}

static bool is_unfinished(const Entry *entry) {
        return entry->state == ENTRY_WAITING || entry->state == ENTRY_SYNCING;
}

bool batch_is_complete(const Batch *batch) {
        if (batch->list_failed)
                return true;
        if (!batch->listed)
                return false;

        for (size_t i = 0; i < batch->n_entries; i++)
                if (is_unfinished(batch->entries + i))
                        return false;
        return true;
}

SyncResult batch_end(Batch *batch, uint64_t now_usec, const FilesystemSync **ret, size_t *ret_n) {
        SyncResult result;

        for (size_t i = 0; i < batch->n_entries; i++)
                if (is_unfinished(batch->entries + i))
                        set_late(batch, i, now_usec);
        FOREACH_SLOT_OF (slot, batch->pool, GROUP_FILESYSTEMS)
                slot->is_hanging = slot->task == TASK_FILESYSTEM;

        sort_results(batch);
        result = combine_results(batch->sorted, batch->n_entries);
        if (result == SYNC_OK && !batch->listed)
                result = batch->list_failed ? SYNC_FAILED : SYNC_STALLED;

        batch->active = false;
        batch->changed = true;
        *ret = batch->sorted;
        *ret_n = batch->n_entries;
        return result;
}

/* A late sync is slow, not timed out, while there is progress. */
static bool has_slow(const Batch *batch) {
        for (size_t i = 0; i < batch->n_entries; i++)
                if (batch->results[i].result == FILESYSTEM_SLOW)
                        return true;
        return false;
}

bool batch_needs_progress(const Batch *batch) {
        return batch->active || has_slow(batch);
}

void batch_note_progress(Batch *batch, uint64_t bytes, uint64_t now_usec) {
        progress_note(&batch->progress, bytes, now_usec);
        for (size_t i = 0; i < batch->n_entries; i++)
                if (batch->results[i].result == FILESYSTEM_SLOW)
                        set_late(batch, i, now_usec);
}
