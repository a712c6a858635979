/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "sync-policy.h"

/* The Recovery time */

static uint64_t pacing_backoff(const Pacing *pacing) {
        return MIN(UINT64_C(1) << MIN(pacing->n_unhelpful, 32U), (uint64_t) ENGINE_BACKOFF_MAX);
}

uint64_t sync_policy_recovery_end_usec(const SyncPolicy *policy, bool dry_run, uint64_t recovery_usec) {
        const Pacing *pacing = dry_run ? &policy->dry_pacing : &policy->real_pacing;

        if (pacing->last_end_usec == 0)
                return 0;

        recovery_usec *= pacing_backoff(pacing);
        if (pacing->n_unhelpful >= ENGINE_UNHELPFUL_MAX)
                recovery_usec = MAX(recovery_usec, (uint64_t) ENGINE_UNHELPFUL_RECOVERY_USEC);

        return usec_add(pacing->last_end_usec, recovery_usec);
}

/* The Recovery time after the last sync continues, without the doubling. */
void sync_policy_reset(SyncPolicy *policy, EngineEvents *events) {
        policy->dry_pacing.n_unhelpful = 0;
        if (policy->real_pacing.n_unhelpful == 0)
                return;

        policy->real_pacing.n_unhelpful = 0;
        engine_events_add_once(events, EVENT_UNHELPFUL_CHANGED);
}

/* Whether they helped */

/* Whether the sync should have had its effect before usec. */
static bool is_past_effect(const Sync *sync, uint64_t usec) {
        return usec > sync->start.monotonic_usec + sync->duration_usec + SYNC_HELPED_WITHIN_USEC;
}

/* Reports that it is known whether the sync helped, also in the copies policy->sync and last_sync. */
static void report_judged(SyncPolicy *policy, const Sync *sync, EngineEvents *events) {
        if (policy->syncing && policy->sync.id == sync->id)
                policy->sync.helped = sync->helped;
        if (policy->last_sync.id == sync->id)
                policy->last_sync.helped = sync->helped;

        engine_events_add_sync(events, EVENT_SYNC_JUDGED, sync);
}

static void count_unhelpful(SyncPolicy *policy, const Sync *sync, EngineEvents *events) {
        if (sync->helped != HELPED_NO || sync->rule == RULE_NONE || !sync_was_made(sync))
                return;

        engine_events_add_once(events, EVENT_UNHELPFUL_CHANGED);
        if (++policy->real_pacing.n_unhelpful == ENGINE_UNHELPFUL_MAX)
                engine_events_add_sync(events, EVENT_SYNCS_UNHELPFUL, sync);
}

void sync_policy_judge(SyncPolicy *policy, History *history, uint64_t spinning_usec, EngineEvents *events) {
        Episode *episode = &history->episode;

        for (size_t i = 0; history->is_ongoing && i < episode->n_syncs; i++) {
                Sync *sync = &episode->syncs[i];

                if (sync->helped != HELPED_PENDING || sync->dry_run ||
                    (policy->syncing && policy->sync.id == sync->id) || !is_past_effect(sync, spinning_usec))
                        continue;

                sync->helped = HELPED_NO;
                report_judged(policy, sync, events);
                count_unhelpful(policy, sync, events);
        }
}

void sync_policy_note_judged(
                SyncPolicy *policy,
                const Episode *episode,
                uint32_t judged,
                EngineEvents *events) {

        bool helped = false;

        /* The effect of a dry run ends with its episode. */
        policy->dry_pacing.n_unhelpful = 0;

        for (size_t i = 0; i < episode->n_syncs; i++)
                if (judged & (UINT32_C(1) << i)) {
                        report_judged(policy, &episode->syncs[i], events);
                        helped = helped || episode->syncs[i].helped == HELPED_YES;
                }
        if (helped) {
                sync_policy_reset(policy, events);
                return;
        }

        for (size_t i = 0; i < episode->n_syncs; i++)
                if (judged & (UINT32_C(1) << i))
                        count_unhelpful(policy, &episode->syncs[i], events);
}

void sync_policy_adopt(SyncPolicy *policy, History *history, uint64_t now_usec) {
        Sync *sync = policy->syncing ? &policy->sync : &policy->last_sync;

        if (sync->id == 0 || sync->dry_run || sync->episode_id > 0)
                return;
        if (!policy->syncing && is_past_effect(sync, now_usec))
                return;

        sync->episode_id = history->episode.id;
        history_note_sync(history, sync);
}

/* The sync under way */

void sync_policy_start(SyncPolicy *policy, History *history, const Sync *sync, EngineEvents *events) {
        policy->syncing = true;
        policy->filesystems_answered_usec = 0;
        policy->sync = *sync;
        policy->sync.id = ++policy->n_syncs;
        policy->sync.episode_id = history->is_ongoing ? history->episode.id : 0;
        if (!sync->dry_run)
                policy->n_real_syncs++;

        history_note_sync(history, &policy->sync);
        engine_events_add_sync(events, EVENT_SYNC_STARTED, &policy->sync);
}

void sync_policy_note_evidence(SyncPolicy *policy, History *history, const Evidence *evidence) {
        policy->sync.evidence = *evidence;
        history_note_sync(history, &policy->sync);
}

void sync_policy_note_filesystems(
                SyncPolicy *policy,
                History *history,
                uint64_t now_usec,
                bool has_any,
                SyncResult result,
                const FilesystemSync *filesystems,
                size_t n_filesystems) {

        Sync *sync = &policy->sync;

        policy->filesystems_answered_usec = now_usec;
        policy->filesystems_result = has_any ? result : SYNC_FAILED;
        sync->has_filesystems = has_any;
        sync->n_filesystems = (uint32_t) MIN(n_filesystems, (size_t) SYNC_FILESYSTEMS_MAX);
        memcpy(sync->filesystems, filesystems, sync->n_filesystems * sizeof(filesystems[0]));
        history_note_sync(history, sync);
}

static bool is_between_steps(const SyncPolicy *policy) {
        return policy->syncing && policy->filesystems_answered_usec > 0 && !policy->sync.everything;
}

bool sync_policy_is_in_kernel(const SyncPolicy *policy) {
        return policy->syncing && !is_between_steps(policy);
}

uint64_t sync_policy_wake_usec(const SyncPolicy *policy) {
        if (!is_between_steps(policy))
                return USEC_INFINITY;

        return usec_add(policy->filesystems_answered_usec, SYNC_HELPED_WITHIN_USEC);
}

/* Whether all scans have failed for so long, since the filesystems answered, that nobody knows whether the
 * stall is over. */
static bool is_unseen(const SyncPolicy *policy, uint64_t now_usec, uint64_t last_seen_usec) {
        uint64_t since_usec = MAX(policy->filesystems_answered_usec, last_seen_usec);

        return now_usec >= usec_add(since_usec, SYNC_HELPED_WITHIN_USEC);
}

/* A requested sync always calls sync(2). An automatic one calls it only if a worker still spins
 * SYNC_HELPED_WITHIN_USEC after the filesystems: the stall may be over before its episode ends, and sync(2)
 * can hang. If scans fail, the episode can't end either. */
bool sync_policy_continue(
                SyncPolicy *policy,
                History *history,
                uint64_t now_usec,
                uint64_t last_seen_usec,
                EngineEvents *events) {

        Sync *sync = &policy->sync;
        bool stall_over = sync->rule != RULE_NONE && !history->is_ongoing;

        if (!is_between_steps(policy))
                return false;

        if (sync->method == SYNC_METHOD_SYNCFS || stall_over) {
                sync_policy_end(policy, history, policy->filesystems_answered_usec,
                                policy->filesystems_result, events);
                return true;
        }

        if (sync->rule == RULE_NONE || !sync->has_filesystems ||
            history->last_spinning.monotonic_usec >= sync_policy_wake_usec(policy) ||
            is_unseen(policy, now_usec, last_seen_usec)) {
                sync->everything = true;
                history_note_sync(history, sync);
                engine_events_add_sync(events, EVENT_SYNC_EVERYTHING, sync);
        }
        return false;
}

void sync_policy_end(
                SyncPolicy *policy,
                History *history,
                uint64_t end_usec,
                SyncResult result,
                EngineEvents *events) {

        Sync *sync = &policy->sync;
        Pacing *pacing = sync->dry_run ? &policy->dry_pacing : &policy->real_pacing;

        policy->syncing = false;
        sync->result = result;
        sync->duration_usec = usec_subtract(end_usec, sync->start.monotonic_usec);

        /* A sync that was not made has no effect to wait for, so it is retried at once, but only once. */
        if (sync_was_made(sync) || !sync_was_made(&policy->last_sync))
                pacing->last_end_usec = end_usec;
        if (sync->dry_run)
                pacing->n_unhelpful++;
        else {
                policy->last_sync = *sync;
                policy->n_results[result]++;
        }

        history_note_sync(history, sync);
        engine_events_add_sync(events, EVENT_SYNC_ENDED, sync);
}
