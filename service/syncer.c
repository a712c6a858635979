/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Connects the parts of the syncer: the timer, the replies, and sync(2). */

#include "syncer.h"

#include "evidence-reader.h"
#include "syncer-batch.h"
#include "syncer-pool.h"
#include "syncer-priority.h"
#include "syncer-progress.h"
#include "syncer-self-test.h"
#include "syncer-singles.h"

/* Like scans: see TIMER_PRIORITY in manager.c. */
#define TIMER_PRIORITY (SD_EVENT_PRIORITY_IMPORTANT - 10)
#define TIMER_ACCURACY_USEC (10 * USEC_PER_MSEC)

/* How long a system call is taken to write, not to hang. */
#define PRIORITY_MAX_USEC USEC_PER_MINUTE

static const FlushWorkers no_workers;

struct Syncer {
        sd_event *event;
        sd_event_source *timer;
        SyncerHandlers handlers;
        void *userdata;

        /* The daemon's own /proc may lack some; then the self-test provides them. */
        int files[_KERNEL_FILE_MAX];
        uint64_t next_sample_usec;

        Pool pool;
        Batch batch;
        Singles singles;
        SelfTest self_test;
        SyncerPriority priority;
        FlushWorkers flush_workers; /* that get priority when a system call begins */

        /* The request for sync(2). */
        struct {
                bool active;
                bool is_hanging; /* an earlier sync(2) still hangs */
                uint64_t timeout_usec;
                Progress progress;
        } everything;
};

int syncer_dirty_bytes(const Syncer *syncer, uint64_t *ret_dirty, uint64_t *ret_writeback) {
        return meminfo_read_dirty(syncer->files[KERNEL_FILE_MEMINFO], ret_dirty, ret_writeback);
}

static uint64_t unwritten_bytes(const Syncer *syncer) {
        return meminfo_read_unwritten(syncer->files[KERNEL_FILE_MEMINFO]);
}

void syncer_read_evidence(Syncer *syncer, Evidence *evidence) {
        uint64_t n_pending = 0;

        evidence_read(evidence, syncer->files);
        FOREACH_SLOT_OF (slot, &syncer->pool, GROUP_FILESYSTEMS)
                if (slot->task == TASK_FILESYSTEM && slot->is_hanging)
                        n_pending++;
        evidence_set(evidence, EVIDENCE_PENDING_FILESYSTEMS, n_pending);
}

int syncer_take_cpu_trigger(Syncer *syncer) {
        return take_fd(&syncer->files[KERNEL_FILE_CPU_TRIGGER]);
}

/* sync(2) */

static void everything_end(Syncer *syncer, SyncResult result, uint64_t entered_usec, uint64_t duration_usec) {
        syncer->everything.active = false;
        syncer->handlers.everything_synced(result, entered_usec, duration_usec, syncer->userdata);
}

static void on_everything(Syncer *syncer, int r, const void *data, size_t size) {
        const SyncfsReply *reply = data;

        /* The return of an earlier call does not end this request. */
        if (!syncer->everything.active || syncer->everything.is_hanging)
                return;

        if (r >= 0 && size == sizeof(*reply))
                everything_end(syncer, SYNC_OK, reply->entered_usec, reply->duration_usec);
        else
                everything_end(syncer, SYNC_FAILED, 0, 0);
}

/* When sync(2) counts as stalled if there is no progress; USEC_INFINITY: no request. */
static uint64_t everything_deadline_usec(const Syncer *syncer) {
        if (!syncer->everything.active)
                return USEC_INFINITY;
        if (syncer->everything.is_hanging)
                return 0;

        return usec_add(syncer->everything.progress.last_usec, syncer->everything.timeout_usec);
}

/* The event loop */

static bool needs_samples(const Syncer *syncer) {
        return syncer->everything.active || batch_needs_progress(&syncer->batch);
}

/* When on_timer() is due, or USEC_INFINITY. */
static uint64_t wake_usec(const Syncer *syncer) {
        const Batch *batch = &syncer->batch;
        uint64_t usec = MIN(singles_deadline_usec(&syncer->singles), everything_deadline_usec(syncer));

        if (batch->changed || (batch->active && batch_is_complete(batch)) ||
            (syncer->self_test.active && self_test_is_complete(&syncer->self_test)))
                return 0;

        if (batch->active)
                usec = MIN(usec, batch->deadline_usec);
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

/* Called when a batch ends, else by the timer only, which comes after all pending replies: reporting takes
 * longer than the next request. */
static void report_changes(Syncer *syncer) {
        if (!syncer->batch.changed)
                return;

        syncer->batch.changed = false;
        syncer->handlers.filesystems_changed(syncer->userdata);
}

static void end_batch(Syncer *syncer, uint64_t now_usec) {
        const FilesystemSync *results;
        SyncResult result;
        size_t n;

        result = batch_end(&syncer->batch, now_usec, &results, &n);
        report_changes(syncer);
        syncer->handlers.filesystems_synced(n > 0, result, results, n, syncer->userdata);
}

static void end_self_test(Syncer *syncer) {
        syncer->self_test.active = false;
        for (KernelFile file = 0; file < _KERNEL_FILE_MAX; file++)
                if (syncer->files[file] < 0)
                        syncer->files[file] = take_fd(&syncer->self_test.files[file]);
        syncer->handlers.self_tested(syncer->self_test.result, syncer->userdata);
}

/* Whether a helper makes a system call that syncs, and does not seem to hang on its disk, where priority does
 * not help. */
static bool is_in_kernel(Syncer *syncer, uint64_t now_usec) {
        FOREACH_SLOT (slot, &syncer->pool)
                if ((slot->task == TASK_FILESYSTEM || slot->task == TASK_SINGLE ||
                     slot->task == TASK_EVERYTHING) &&
                    usec_subtract(now_usec, slot->since_usec) < PRIORITY_MAX_USEC)
                        return true;
        return false;
}

void syncer_set_flush_workers(Syncer *syncer, const FlushWorkers *workers) {
        syncer->flush_workers = *workers;
        priority_set(&syncer->priority,
                     is_in_kernel(syncer, usec_now(CLOCK_MONOTONIC)) ? workers : &no_workers);
}

/* Gives priority when the first system call begins, and takes it back when none is left. */
static void update_priority(Syncer *syncer, uint64_t now_usec) {
        bool is_needed = is_in_kernel(syncer, now_usec);

        if (is_needed != syncer->priority.is_requested)
                priority_set(&syncer->priority, is_needed ? &syncer->flush_workers : &no_workers);
}

/* Ends what is complete or timed out. Handlers are called last, since they may make requests. */
static void advance(Syncer *syncer, uint64_t now_usec) {
        Batch *batch = &syncer->batch;

        batch_dispatch(batch);

        if (batch->active && (batch_is_complete(batch) || now_usec >= batch->deadline_usec))
                end_batch(syncer, now_usec);
        if (now_usec >= everything_deadline_usec(syncer))
                everything_end(syncer, SYNC_STALLED, 0, 0);
        singles_expire(&syncer->singles, now_usec);
        if (syncer->self_test.active && self_test_is_complete(&syncer->self_test))
                end_self_test(syncer);
        update_priority(syncer, now_usec);
}

static void take_sample(Syncer *syncer, uint64_t now_usec) {
        uint64_t bytes = unwritten_bytes(syncer);

        syncer->next_sample_usec = now_usec + PROGRESS_INTERVAL_USEC;
        progress_note(&syncer->everything.progress, bytes, now_usec);
        batch_note_progress(&syncer->batch, bytes, now_usec);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Syncer *syncer = userdata;
        uint64_t now_usec = usec_now(CLOCK_MONOTONIC);

        if (needs_samples(syncer) && now_usec >= syncer->next_sample_usec)
                take_sample(syncer, now_usec);
        if (syncer->self_test.active && now_usec >= syncer->self_test.deadline_usec)
                self_test_expire(&syncer->self_test, now_usec);

        advance(syncer, now_usec);
        report_changes(syncer);
        schedule(syncer);
        return 0;
}

static void on_reply(Slot *slot, Task task, int r, const void *reply, size_t size, void *userdata) {
        Syncer *syncer = userdata;

        switch (task) {
        case TASK_LIST:
                batch_on_list(&syncer->batch, slot, r, reply, size);
                break;
        case TASK_FILESYSTEM:
                batch_on_filesystem(&syncer->batch, slot, r, reply, size);
                break;
        case TASK_EVERYTHING:
                on_everything(syncer, r, reply, size);
                break;
        case TASK_FIND:
                singles_on_found(&syncer->singles, slot, r, reply, size);
                break;
        case TASK_SINGLE:
                singles_on_synced(&syncer->singles, slot, r, reply, size);
                break;
        case TASK_SELF_TEST:
                self_test_on_reply(&syncer->self_test, slot, r, reply, size);
                break;
        case TASK_NONE:
                break;
        }

        advance(syncer, usec_now(CLOCK_MONOTONIC));
        schedule(syncer);
}

/* Public functions */

int syncer_new(sd_event *event,
               const char *socket_path,
               const char *priority_path,
               const SyncerHandlers *handlers,
               void *userdata,
               Syncer **ret) {
        _cleanup_(syncer_freep) Syncer *syncer = NULL;
        int r;

        syncer = malloc(sizeof(*syncer));
        if (!syncer)
                return -ENOMEM;
        /* Not calloc(): the pages must be resident before they are needed. */
        explicit_bzero(syncer, sizeof(*syncer));

        syncer->event = sd_event_ref(event);
        syncer->handlers = *handlers;
        syncer->userdata = userdata;
        syncer->batch.pool = syncer->singles.pool = syncer->self_test.pool = &syncer->pool;
        syncer->singles.on_synced = handlers->filesystem_synced;
        syncer->singles.userdata = userdata;
        priority_init(&syncer->priority, priority_path);
        for (KernelFile file = 0; file < _KERNEL_FILE_MAX; file++) {
                syncer->files[file] = kernel_file_open(file);
                syncer->self_test.files[file] = -EBADF;
        }

        r = pool_init(&syncer->pool, event, socket_path, on_reply, syncer);
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

        priority_done(&syncer->priority);
        pool_done(&syncer->pool);
        singles_done(&syncer->singles);
        sd_event_source_disable_unref(syncer->timer);
        sd_event_unref(syncer->event);
        for (KernelFile file = 0; file < _KERNEL_FILE_MAX; file++) {
                closep(&syncer->files[file]);
                closep(&syncer->self_test.files[file]);
        }
        free(syncer);
        return NULL;
}

/* The first sample is due after one interval. */
static void begin_samples(Syncer *syncer, uint64_t now_usec) {
        if (!needs_samples(syncer))
                syncer->next_sample_usec = now_usec + PROGRESS_INTERVAL_USEC;
}

int syncer_sync_filesystems(Syncer *syncer, uint64_t timeout_usec) {
        uint64_t now_usec = usec_now(CLOCK_MONOTONIC);

        if (syncer->batch.active || syncer->self_test.active)
                return -EBUSY;

        begin_samples(syncer, now_usec);
        batch_begin(&syncer->batch, now_usec, timeout_usec);
        progress_begin(&syncer->batch.progress, unwritten_bytes(syncer), now_usec);
        schedule(syncer);
        return 0;
}

bool syncer_is_handing_out(const Syncer *syncer) {
        const Batch *batch = &syncer->batch;

        return batch->active && !batch->list_failed && (!batch->listed || batch_is_waiting(batch));
}

int syncer_sync_filesystem(Syncer *syncer, const char *path, uint64_t timeout_usec, uint64_t *ret_id) {
        int r;

        if (syncer->self_test.active)
                return -EBUSY;

        r = singles_begin(&syncer->singles, path, timeout_usec, ret_id);
        schedule(syncer);
        return r;
}

int syncer_sync_everything(Syncer *syncer, uint64_t timeout_usec) {
        Slot *slot = pool_find_idle(&syncer->pool, GROUP_EVERYTHING);
        uint64_t now_usec = usec_now(CLOCK_MONOTONIC);
        int r;

        if (syncer->everything.active || syncer->self_test.active)
                return -EBUSY;

        syncer->everything.is_hanging = !slot;
        if (slot) {
                r = slot_sync_everything(slot, TASK_EVERYTHING);
                if (r < 0)
                        return r;
        }

        begin_samples(syncer, now_usec);
        syncer->everything.active = true;
        syncer->everything.timeout_usec = timeout_usec;
        progress_begin(&syncer->everything.progress, unwritten_bytes(syncer), now_usec);
        schedule(syncer);
        return 0;
}

int syncer_self_test(Syncer *syncer) {
        int r;

        FOREACH_SLOT (slot, &syncer->pool)
                if (slot->task != TASK_NONE)
                        return -EBUSY;
        if (syncer->batch.active || syncer->self_test.active)
                return -EBUSY;

        priority_self_test(&syncer->priority);
        r = self_test_begin(&syncer->self_test, usec_now(CLOCK_MONOTONIC));
        schedule(syncer);
        return r;
}

void syncer_ensure_helpers(Syncer *syncer) {
        const Batch *batch = &syncer->batch;

        /* While a batch is active, forks nothing that it does not need. */
        pool_adjust(&syncer->pool, GROUP_FILESYSTEMS, !batch->active || batch_is_waiting(batch));
        pool_adjust(&syncer->pool, GROUP_SINGLES, !batch->active);
        pool_ensure(&syncer->pool);
        batch_dispatch(&syncer->batch);
        schedule(syncer);
}

const FilesystemSync *syncer_results(const Syncer *syncer, size_t *ret_n) {
        *ret_n = syncer->batch.n_entries;
        return syncer->batch.results;
}

void syncer_entered(const Syncer *syncer, uint64_t *ret_first_usec, uint64_t *ret_last_usec) {
        *ret_first_usec = syncer->batch.first_entered_usec;
        *ret_last_usec = syncer->batch.last_entered_usec;
}
