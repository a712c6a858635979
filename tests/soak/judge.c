/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What must hold of the workers and the syncs: see test-soak.c. */

#include "soak.h"

#include <sched.h>

#define BACKOFF_MAX 16

/* Rule `worker` needs this share of the threshold. */
#define RUN_MIN_USEC (THRESHOLD_MIN_USEC * 9 / 10)

/* From the answer of the filesystems to sync(2), and until a stall that has ended is known to have. */
#define SETTLE_USEC (5 * USEC_PER_SEC)

/* A sync that failed, since its helper was killed, is followed by another one at once. */
#define DISTURBED_USEC (3 * USEC_PER_SEC)

/* How often the workers are scanned. For so long one may not have been seen running and yet count as
 * running all the time, in the daemon's favour: it may scan less often. */
#define WATCH_USEC (20 * USEC_PER_MSEC)
#define GAP_USEC (500 * USEC_PER_MSEC)

/* All that is long past is forgotten. */
#define FORGET_USEC (30 * USEC_PER_SEC)

/* ---- the workers ---- */

static bool is_same_work(const char *a, const char *b) {
        return streq(strchr(a, '+'), strchr(b, '+'));
}

/* Workers of one work are judged together. */
static void note_running(Soak *soak, pid_t pid, const char *name, uint64_t last_scan_usec) {
        uint64_t now_usec = usec_now(CLOCK_MONOTONIC);
        Run run = { .pid = pid, .since_usec = now_usec, .last_usec = now_usec, .chain_usec = now_usec };

        for (guint i = soak->runs->len; i-- > 0;) {
                Run *known = &g_array_index(soak->runs, Run, i);

                if (!is_same_work(known->name, name))
                        continue;
                if (known->pid == pid && streq(known->name, name) && known->last_usec >= last_scan_usec) {
                        known->last_usec = now_usec;
                        return;
                }
                if (now_usec - known->last_usec <= GAP_USEC)
                        run.chain_usec = MIN(run.chain_usec, known->chain_usec);
        }

        (void) g_strlcpy(run.name, name, sizeof(run.name));
        g_array_append_val(soak->runs, run);
}

/* Its own way to find them, all over /proc. */
gpointer watch_workers(gpointer userdata) {
        const struct sched_param parameter = { .sched_priority = 2 };
        uint64_t last_scan_usec = 0;
        Soak *soak = userdata;
        bool ended = false;

        /* Before what takes the CPUs, where that may be. */
        (void) sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &parameter);

        while (!ended) {
                uint64_t scan_usec = usec_now(CLOCK_MONOTONIC);
                g_autoptr(GDir) proc = g_dir_open("/proc", 0, NULL);
                const char *entry;

                g_assert_nonnull(proc);
                while ((entry = g_dir_read_name(proc))) {
                        g_autofree char *name = g_ascii_isdigit(entry[0]) ? process_name(atoi(entry)) : NULL;

                        if (!name || !g_str_has_prefix(name, "kworker/") || !strstr(name, "+flush-7:"))
                                continue;
                        g_mutex_lock(&soak->lock);
                        note_running(soak, atoi(entry), name, last_scan_usec);
                        g_mutex_unlock(&soak->lock);
                }
                last_scan_usec = scan_usec;

                g_mutex_lock(&soak->lock);
                ended = soak->watched;
                g_mutex_unlock(&soak->lock);
                g_usleep(WATCH_USEC);
        }

        return NULL;
}

/* Whether there was a moment at which some worker had been running for a threshold. */
static bool was_stuck_between(Soak *soak, uint64_t from_usec, uint64_t to_usec) {
        bool found = false;

        g_mutex_lock(&soak->lock);
        for (guint i = 0; i < soak->runs->len && !found; i++) {
                const Run *run = &g_array_index(soak->runs, Run, i);

                /* The daemon may have seen it a scan before. */
                found = run->chain_usec + RUN_MIN_USEC <= to_usec + POLL_MAX_USEC &&
                        run->last_usec + GAP_USEC >= from_usec;
        }
        g_mutex_unlock(&soak->lock);
        return found;
}

/* ---- the syncs ---- */

/* One whose helper was killed never reports its end; and its pid may be another process's soon after. */
static bool is_under_way(SyncRecord *sync) {
        if (atomic_load(&sync->left_usec) > 0)
                return false;
        if ((!process_is_called(sync->pid, HELPER_SYNC) && !process_is_called(sync->pid, HELPER_SYNCFS)) ||
            process_is_zombie(sync->pid))
                sync->died = true;
        return !sync->died;
}

unsigned count_syncs(const Soak *soak) {
        return MIN(atomic_load(&soak->syncs->n), (unsigned) SYNC_RECORDS_MAX);
}

unsigned count_filesystem_syncs(const Soak *soak) {
        return MIN(atomic_load(&soak->syncs->n_filesystems), (unsigned) SYNC_RECORDS_MAX);
}

/* The last one of the daemon that runs now, or NULL. */
static SyncRecord *last_sync(const Soak *soak, SyncRecord *table, unsigned n) {
        while (n-- > 0)
                if (table[n].daemon == soak->fixture->daemon.pid)
                        return &table[n];

        return NULL;
}

/* Until when the daemon may have been syncing: after the filesystems it waits for the stall's end, and then
 * for sync(2), which ends for it by its timeout at the latest, if the disks make no progress. */
static void note_syncing(Soak *soak) {
        SyncRecord *filesystem = last_sync(soak, soak->syncs->filesystems, count_filesystem_syncs(soak));
        SyncRecord *everything = last_sync(soak, soak->syncs->records, count_syncs(soak));
        uint64_t now_usec = usec_now(CLOCK_MONOTONIC), until_usec;

        if (filesystem) {
                until_usec = atomic_load(&filesystem->entered_usec) + FILESYSTEM_TIMEOUT_USEC + SETTLE_USEC;
                soak->syncing_usec = MAX(soak->syncing_usec, until_usec);
        }
        if (everything) {
                until_usec = is_under_way(everything) ? now_usec : atomic_load(&everything->left_usec);
                soak->syncing_usec = MAX(soak->syncing_usec, until_usec);
        }
}

/* The longest that the Recovery time can be now, and never shorter than it takes to be stuck anew: the end of
 * a sync empties what was counted. */
static uint64_t recovery_usec(const Soak *soak) {
        return MAX(RECOVERY_USEC * MIN(1u << MIN(soak->n_unhelpful, 8u), (unsigned) BACKOFF_MAX),
                   THRESHOLD_MAX_USEC + POLL_MAX_USEC);
}

/* Since when the daemon could see a worker. */
static uint64_t seen_usec(const Soak *soak, const Run *run) {
        return MAX(run->since_usec, MAX(soak->ready_usec, soak->sight_usec));
}

/* When it had to act at the latest. */
static uint64_t due_usec(const Soak *soak, const Run *run) {
        return MAX(usec_add(seen_usec(soak, run), IDLE_SCAN_USEC + THRESHOLD_MAX_USEC), soak->able_usec);
}

/* Each run that is longer than it may be without a sync has one. To be called before anything changes for the
 * daemon, too. */
void judge_runs(Soak *soak) {
        uint64_t now_usec = usec_now(CLOCK_MONOTONIC), recovered_usec;
        g_autofree char *missed = NULL;

        note_syncing(soak);
        recovered_usec = soak->syncing_usec > 0 ? usec_add(soak->syncing_usec, recovery_usec(soak)) : 0;

        g_mutex_lock(&soak->lock);
        for (guint i = soak->runs->len; i-- > 0;) {
                Run *run = &g_array_index(soak->runs, Run, i);
                uint64_t length_usec = run->last_usec - run->since_usec;

                if (length_usec >= IDLE_SCAN_USEC + THRESHOLD_MAX_USEC && !run->counted) {
                        run->counted = true;
                        soak->n_runs++;
                }
                if (run->last_usec > usec_add(MAX(due_usec(soak, run), recovered_usec), LATE_MAX_USEC))
                        missed = g_strdup_printf(
                                        "%s (pid %d) runs for %" G_GUINT64_FORMAT " ms, and no sync",
                                        run->name, (int) run->pid, length_usec / USEC_PER_MSEC);
                if (usec_subtract(now_usec, run->last_usec) > FORGET_USEC)
                        g_array_remove_index_fast(soak->runs, i);
        }
        g_mutex_unlock(&soak->lock);

        if (missed)
                fail(soak, "missed: %s", missed);
}

/* How long a worker waited for it that the daemon could see and act upon. */
static void measure_wait(Soak *soak, uint64_t entered_usec) {
        uint64_t able_usec = soak->able_usec, wait_usec = 0;
        bool answers = false;

        if (soak->syncing_usec > 0)
                able_usec = MAX(able_usec, soak->syncing_usec + recovery_usec(soak));

        g_mutex_lock(&soak->lock);
        for (guint i = 0; i < soak->runs->len; i++) {
                const Run *run = &g_array_index(soak->runs, Run, i);

                if (run->last_usec + WATCH_USEC * 2 < entered_usec ||
                    run->since_usec + RUN_MIN_USEC > entered_usec)
                        continue;
                answers = true;
                wait_usec = MAX(wait_usec, usec_subtract(entered_usec, MAX(seen_usec(soak, run), able_usec)));
        }
        g_mutex_unlock(&soak->lock);

        if (answers)
                soak->n_answered++;
        soak->longest_wait_usec = MAX(soak->longest_wait_usec, wait_usec);
}

/* How a sync that follows a recent one of the same daemon may begin. */
static void judge_against(Soak *soak, const SyncRecord *sync, SyncRecord *other, bool automatic) {
        uint64_t entered_usec = atomic_load(&sync->entered_usec), left_usec = atomic_load(&other->left_usec);

        if (left_usec > entered_usec || (other->pid != sync->pid && is_under_way(other)))
                fail(soak, "two syncs at once of %s", sync->device ? "a filesystem" : "everything");

        /* The daemon's sync may have ended before one that timed out; and such a one is repeated for the sync
         * under way once it has returned. */
        if (left_usec > atomic_load(&other->entered_usec) +
                                        (sync->device ? FILESYSTEM_TIMEOUT_USEC : SYNC_TIMEOUT_MIN_USEC))
                return;
        if (automatic && left_usec > 0 && entered_usec < left_usec + RECOVERY_USEC)
                fail(soak, "a sync within the recovery time");
}

/* The last one of the same daemon: never two of the same at once, and none within the Recovery time unless
 * requested, or after something was done to a helper. */
static void judge_against_last(Soak *soak, SyncRecord *table, const SyncRecord *sync, bool automatic) {
        if (usec_subtract(atomic_load(&sync->entered_usec), soak->helper_disturbed_usec) < DISTURBED_USEC)
                automatic = false;

        for (size_t i = (size_t) (sync - table); i-- > 0;)
                if (table[i].daemon == sync->daemon && table[i].device == sync->device) {
                        judge_against(soak, sync, &table[i], automatic);
                        return;
                }
}

/* The end of the run, up to now, that was under way at that time; 0: there was none. */
static uint64_t run_end_usec(Soak *soak, uint64_t at_usec) {
        uint64_t end_usec = 0;

        g_mutex_lock(&soak->lock);
        for (guint i = 0; i < soak->runs->len; i++) {
                const Run *run = &g_array_index(soak->runs, Run, i);

                if (run->chain_usec <= at_usec && run->last_usec >= at_usec)
                        end_usec = MAX(end_usec, run->last_usec);
        }
        g_mutex_unlock(&soak->lock);
        return end_usec;
}

/* Whether it is a part of the sync that began with the filesystems at group_usec. sync(2) may follow as long
 * as the end of its stall is not known. */
static bool is_in_group(Soak *soak, const SyncRecord *sync) {
        uint64_t end_usec = soak->group_usec + FILESYSTEM_TIMEOUT_USEC + GAP_USEC;

        if (sync->device == 0)
                end_usec = MAX(end_usec, run_end_usec(soak, soak->group_usec) + GAP_USEC) + SETTLE_USEC;
        return soak->group_usec > 0 && atomic_load(&sync->entered_usec) < end_usec;
}

/* The witness of the calls does not see when the daemon's sync ends, one whose calls hang above all. So its
 * own records are held against the Recovery time, too. A failed sync may be followed by another one at once,
 * and a signal may be lost with the bus. */
static void judge_signal(Soak *soak, GDBusMessage *message) {
        const char *member = g_dbus_message_get_member(message), *result;
        bool started = g_strcmp0(member, "SyncStarted") == 0, requested;
        g_autoptr(GVariant) details = NULL;
        guint64 id, start_usec, duration_usec, gap_usec;

        if (!started && g_strcmp0(member, "SyncFinished") != 0)
                return;

        g_variant_get(g_dbus_message_get_body(message), "(tt@a{sv})", &id, NULL, &details);
        g_assert_true(g_variant_lookup(details, "StartUSec", "t", &start_usec));
        if (!started) {
                g_assert_true(g_variant_lookup(details, "DurationUSec", "t", &duration_usec));
                g_assert_true(g_variant_lookup(details, "Result", "&s", &result));
                soak->ended_id = streq(result, "failed") ? 0 : id;
                soak->ended_realtime_usec = start_usec + duration_usec;
                return;
        }

        g_assert_true(g_variant_lookup(details, "Requested", "b", &requested));
        if (requested || soak->ended_id == 0 || id != soak->ended_id + 1)
                return;
        gap_usec = usec_subtract(start_usec, soak->ended_realtime_usec);
        if (gap_usec < RECOVERY_USEC)
                fail(soak, "an automatic sync %" G_GUINT64_FORMAT " ms after the end of the one before",
                     gap_usec / USEC_PER_MSEC);
        soak->n_gaps++;
}

void judge_signals(Soak *soak) {
        if (!soak->root)
                return;

        for (; soak->n_messages < client_count_messages(soak->root); soak->n_messages++)
                judge_signal(soak, client_message(soak->root, soak->n_messages));
}

/* Since when the reason for a sync may be gone. */
static uint64_t reason_usec(Soak *soak, const SyncRecord *sync) {
        uint64_t entered_usec = atomic_load(&sync->entered_usec), from_usec = entered_usec - GAP_USEC;

        /* That a stall has ended is known after a while. */
        if (is_in_group(soak, sync))
                from_usec -= SETTLE_USEC;

        /* While the helpers were held, the sync may have waited. */
        if (soak->helper_held_usec > 0 && entered_usec < usec_add(soak->helper_let_go_usec, USEC_PER_SEC))
                from_usec = MIN(from_usec, soak->helper_held_usec - GAP_USEC);

        return from_usec;
}

/* Was it for a worker, or requested? */
static void judge_sync(Soak *soak, SyncRecord *table, const SyncRecord *sync) {
        uint64_t entered_usec = atomic_load(&sync->entered_usec), from_usec = reason_usec(soak, sync);
        bool is_filesystem = sync->device != 0, begins = !is_in_group(soak, sync), stuck, paused, requested;

        stuck = was_stuck_between(soak, from_usec, entered_usec);
        /* What has begun goes on in a pause. */
        paused = begins && soak->paused_usec < from_usec;
        requested = soak->n_requested > 0;
        if ((!stuck || paused) && !requested)
                fail(soak, "%s of %s", paused ? "a sync in a pause" : "a sync for nothing",
                     is_filesystem ? "a filesystem" : "everything");
        if ((!stuck || paused) && !is_filesystem)
                soak->n_requested--;

        note(soak, "sync of %s by helper %d of daemon %d, %s", is_filesystem ? "a filesystem" : "everything",
             (int) sync->pid, (int) sync->daemon, stuck ? "for a worker" : "requested");
        judge_against_last(soak, table, sync, !requested);
        if (!begins)
                return;

        measure_wait(soak, entered_usec);
        soak->n_unhelpful++;
        soak->group_usec = entered_usec;
}

void judge_syncs(Soak *soak) {
        for (;;) {
                SyncRecord *sync = &soak->syncs->records[soak->n_syncs],
                           *filesystem = &soak->syncs->filesystems[soak->n_filesystem_syncs];
                uint64_t usec = atomic_load(&sync->entered_usec),
                         filesystem_usec = atomic_load(&filesystem->entered_usec);

                /* In the order in which they were entered; 0: not yet. */
                if (filesystem_usec > 0 && (usec == 0 || filesystem_usec < usec)) {
                        judge_sync(soak, soak->syncs->filesystems, filesystem);
                        soak->n_filesystem_syncs++;
                } else if (usec > 0) {
                        judge_sync(soak, soak->syncs->records, sync);
                        soak->n_syncs++;
                } else
                        return;
                note_syncing(soak);
        }
}
