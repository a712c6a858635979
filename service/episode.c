/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "episode.h"

const char *engine_rule_to_string(EngineRule rule) {
        static const char *const names[] = {
                [RULE_NONE] = "",
                [RULE_WORKER] = "worker",
                [RULE_CROWD] = "crowd",
        };

        return names[rule];
}

const char *episode_outcome_to_string(EpisodeOutcome outcome) {
        static const char *const names[] = {
                [OUTCOME_ONGOING] = "ongoing",
                [OUTCOME_RECOVERED] = "recovered",
                [OUTCOME_CLEARED] = "cleared",
                [OUTCOME_OUTLIVED] = "outlived",
        };

        return names[outcome];
}

const char *sync_result_to_string(SyncResult result) {
        static const char *const names[] = {
                [SYNC_PENDING] = "",
                [SYNC_OK] = "ok",
                [SYNC_STALLED] = "stalled",
                [SYNC_FAILED] = "failed",
        };

        return names[result];
}

const char *sync_helped_to_string(SyncHelped helped) {
        static const char *const names[] = {
                [HELPED_PENDING] = "pending",
                [HELPED_YES] = "yes",
                [HELPED_NO] = "no",
        };

        return names[helped];
}

const char *filesystem_result_to_string(FilesystemResult result) {
        static const char *const names[] = {
                [FILESYSTEM_PENDING] = "pending",
                [FILESYSTEM_OK] = "ok",
                [FILESYSTEM_SLOW] = "slow",
                [FILESYSTEM_TIMEOUT] = "timeout",
                [FILESYSTEM_UNREACHABLE] = "unreachable",
                [FILESYSTEM_FAILED] = "failed",
        };

        return names[result];
}

void episode_copy(Episode *to, const Episode *from) {
        memcpy(to, from, offsetof(Episode, samples.samples));
        memcpy(to->samples.samples, from->samples.samples, from->samples.n * sizeof(Sample));
        memcpy(to->workers, from->workers, from->n_workers * sizeof(from->workers[0]));
        memcpy(to->syncs, from->syncs, from->n_syncs * sizeof(from->syncs[0]));
        memcpy(to->also_spinning, from->also_spinning,
               from->n_also_spinning * sizeof(from->also_spinning[0]));
}

void episode_begin(
                Episode *episode,
                uint64_t id,
                Moment now,
                EngineRule rule,
                const char *work,
                bool dry_run) {
        memset(episode, 0, offsetof(Episode, samples.samples));
        episode->id = id;
        episode->start = now;
        episode->rule = rule;
        episode->dry_run = dry_run;
        memcpy(episode->work, work, strlen(work) + 1);
}

void episode_note_scan(Episode *episode, Moment now, uint32_t n_spinning, uint32_t n_waiting) {
        episode->spinning_max = MAX(episode->spinning_max, n_spinning);
        episode->waiting_max = MAX(episode->waiting_max, n_waiting);
        episode->worker_max = MAX(episode->worker_max, n_spinning + n_waiting);
        samples_note(&episode->samples, usec_subtract(now.monotonic_usec, episode->start.monotonic_usec),
                     n_spinning, n_waiting);
}

uint64_t episode_sample_usec(const Episode *episode, const Sample *sample) {
        return episode->start.realtime_usec + sample->offset_msec * USEC_PER_MSEC;
}

/* The row of the worker, or else a free row, or else the last row if its run is shorter; or NULL. */
static EpisodeWorker *episode_worker_row(Episode *episode, const Worker *worker, uint64_t run_usec) {
        EpisodeWorker *row;

        for (size_t i = 0; i < episode->n_workers; i++)
                if (worker_same(&episode->workers[i].worker, worker))
                        return &episode->workers[i];

        if (episode->n_workers < EPISODE_WORKERS_MAX)
                row = &episode->workers[episode->n_workers++];
        else {
                row = &episode->workers[EPISODE_WORKERS_MAX - 1];
                if (row->run_usec >= run_usec)
                        return NULL;
        }

        *row = (EpisodeWorker){ .cpu_before_usec = worker->cpu_usec };
        return row;
}

void episode_note_worker(Episode *episode, const Worker *worker, uint64_t run_usec) {
        EpisodeWorker *row = episode_worker_row(episode, worker, run_usec);

        if (!row)
                return;

        row->worker = *worker;
        row->run_usec = MAX(row->run_usec, run_usec);
        row->cpu_usec = usec_subtract(worker->cpu_usec, row->cpu_before_usec);

        for (; row > episode->workers && row[-1].run_usec < row->run_usec; row--) {
                EpisodeWorker shorter = row[-1];

                row[-1] = *row;
                *row = shorter;
        }
}

void episode_note_also_spinning(Episode *episode, const char *name) {
        for (size_t i = 0; i < episode->n_also_spinning; i++)
                if (streq(episode->also_spinning[i], name))
                        return;

        if (episode->n_also_spinning < EPISODE_ALSO_SPINNING_MAX)
                memcpy(episode->also_spinning[episode->n_also_spinning++], name, strlen(name) + 1);
}

void episode_note_sync(Episode *episode, const Sync *sync) {
        for (size_t i = 0; i < episode->n_syncs; i++)
                if (episode->syncs[i].id == sync->id) {
                        episode->syncs[i] = *sync;
                        return;
                }

        if (!sync->dry_run)
                episode->sync_count++;

        if (episode->n_syncs == EPISODE_SYNCS_MAX)
                memmove(episode->syncs, episode->syncs + 1, --episode->n_syncs * sizeof(episode->syncs[0]));
        episode->syncs[episode->n_syncs++] = *sync;
}

bool sync_was_made(const Sync *sync) {
        if (sync->result != SYNC_FAILED)
                return true;

        for (size_t i = 0; i < sync->n_filesystems; i++)
                if (sync->filesystems[i].result != FILESYSTEM_FAILED &&
                    sync->filesystems[i].result != FILESYSTEM_UNREACHABLE)
                        return true;
        return false;
}

/* Whether the sync ended a stall whose last spinning worker was seen at end_usec (CLOCK_MONOTONIC). */
static bool sync_ended_stall(const Sync *sync, uint64_t end_usec, uint64_t scan_interval_usec) {
        uint64_t start_usec = sync->start.monotonic_usec;

        if (sync->dry_run || !sync_was_made(sync))
                return false;

        /* The last worker stopped at an unknown time between that scan and the next. */
        if (usec_add(end_usec, scan_interval_usec) < start_usec)
                return false;

        return sync->result == SYNC_PENDING ||
               end_usec <= start_usec + sync->duration_usec + SYNC_HELPED_WITHIN_USEC;
}

uint32_t episode_end(Episode *episode, Moment end, uint64_t scan_interval_usec) {
        uint32_t judged = 0;
        bool helped = false;

        episode->end = end;

        for (size_t i = 0; i < episode->n_syncs; i++) {
                Sync *sync = &episode->syncs[i];

                if (sync->dry_run)
                        continue;
                if (sync->helped == HELPED_PENDING) {
                        bool ended = sync_ended_stall(sync, end.monotonic_usec, scan_interval_usec);

                        sync->helped = ended ? HELPED_YES : HELPED_NO;
                        judged |= UINT32_C(1) << i;
                }
                helped = helped || sync->helped == HELPED_YES;
        }

        episode->outcome = helped                    ? OUTCOME_RECOVERED
                           : episode->sync_count > 0 ? OUTCOME_OUTLIVED
                                                     : OUTCOME_CLEARED;
        return judged;
}
