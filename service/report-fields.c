/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "report-fields.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* The longest text of a sample, with the space before it. */
#define SAMPLE_SIZE (sizeof(" 18446744073709551615,65535,65535") - 1)

static_assert(SAMPLES_MAX * SAMPLE_SIZE + sizeof("WBWATCH_SAMPLES=") <= LOG_FIELD_MAX,
              "All samples fit in a field");

static const char *yes_no(bool yes) {
        return yes ? "yes" : "no";
}

uint64_t episode_usec(const Episode *episode) {
        return usec_subtract(episode->end.monotonic_usec, episode->start.monotonic_usec);
}

void fields_add_evidence(LogFields *fields, const Evidence *evidence) {
        char value[32];

        for (EvidenceId id = 0; id < _EVIDENCE_MAX; id++)
                if (evidence_has(evidence, id))
                        log_add_field(fields, "%s=%s", evidence_table[id].field,
                                      evidence_format(evidence, id, value, sizeof(value)));
}

static void add_samples(LogFields *fields, const Episode *episode) {
        char text[SAMPLES_MAX * SAMPLE_SIZE + 1];
        size_t n = 0;

        text[0] = '\0';
        for (uint32_t i = 0; i < episode->samples.n; i++) {
                const Sample *sample = &episode->samples.samples[i];

                n += (size_t) snprintf(
                                text + n, sizeof(text) - n, "%s%" PRIu64 ",%u,%u", i == 0 ? "" : " ",
                                episode_sample_usec(episode, sample), sample->n_spinning, sample->n_waiting);
        }
        log_add_field(fields, "WBWATCH_SAMPLES=%s", text);
}

static void add_worker(LogFields *fields, const EpisodeWorker *worker) {
        log_add_field(fields, "WORKER=%d %" PRIu64 " %" PRIu64 " %" PRIu64 " %s", (int) worker->worker.pid,
                      worker->worker.start_time, worker->run_usec, worker->cpu_usec, worker->worker.name);
}

void fields_add_episode(LogFields *fields, const Episode *episode) {
        log_add_field(fields, "EPISODE=%" PRIu64, episode->id);
        log_add_field(fields, "RULE=%s", engine_rule_to_string(episode->rule));
        log_add_field(fields, "WORK=%s", episode->work);
        log_add_field(fields, "START_USEC=%" PRIu64, episode->start.realtime_usec);
        log_add_field(fields, "WORKERS=%" PRIu32, episode->worker_max);
        log_add_field(fields, "SPINNING_MAX=%" PRIu32, episode->spinning_max);
        log_add_field(fields, "WAITING_MAX=%" PRIu32, episode->waiting_max);
        log_add_field(fields, "DRY_RUN=%s", yes_no(episode->dry_run));
        for (uint32_t i = 0; i < episode->n_also_spinning; i++)
                log_add_field(fields, "ALSO_SPINNING=%s", episode->also_spinning[i]);
        for (uint32_t i = 0; i < episode->n_workers; i++)
                add_worker(fields, &episode->workers[i]);
}

void fields_add_episode_end(LogFields *fields, const Episode *episode) {
        log_add_field(fields, "OUTCOME=%s", episode_outcome_to_string(episode->outcome));
        log_add_field(fields, "END_USEC=%" PRIu64, episode->end.realtime_usec);
        log_add_field(fields, "DURATION_USEC=%" PRIu64, episode_usec(episode));
        log_add_field(fields, "SYNCS=%" PRIu32, episode->sync_count);
        add_samples(fields, episode);
}

void fields_add_sync(LogFields *fields, const Sync *sync) {
        log_add_field(fields, "SYNC=%" PRIu64, sync->id);
        log_add_field(fields, "EPISODE=%" PRIu64, sync->episode_id);
        log_add_field(fields, "RULE=%s", engine_rule_to_string(sync->rule));
        log_add_field(fields, "START_USEC=%" PRIu64, sync->start.realtime_usec);
        log_add_field(fields, "WORKERS=%" PRIu32, sync->worker_count);
        log_add_field(fields, "METHOD=%s", sync_method_to_string(sync->method));
        log_add_field(fields, "DRY_RUN=%s", yes_no(sync->dry_run));
        if (sync->result == SYNC_PENDING)
                return;
        log_add_field(fields, "RESULT=%s", sync_result_to_string(sync->result));
        log_add_field(fields, "DURATION_USEC=%" PRIu64, sync->duration_usec);
}

void fields_add_filesystems(LogFields *fields, const Sync *sync) {
        for (uint32_t i = 0; i < sync->n_filesystems; i++) {
                const FilesystemSync *filesystem = &sync->filesystems[i];

                log_add_field(fields, "FILESYSTEM=%s %" PRIu64 " %s %s",
                              filesystem_result_to_string(filesystem->result), filesystem->duration_usec,
                              filesystem->type, filesystem->mountpoint);
        }
}
