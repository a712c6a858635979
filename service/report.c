/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Log lines and the status text: see report.h. */

#include "report.h"

#include <inttypes.h>
#include <stdio.h>

#include "duration.h"
#include "log.h"
#include "messages.h"
#include "report-fields.h"

static const char *plural(uint64_t n) {
        return n == 1 ? "" : "s";
}

/* The prefix of every message about a dry run. */
static const char *dry_run_mark(bool dry_run) {
        return dry_run ? "Dry run: " : "";
}

static const char *describe_duration(uint64_t usec, char *buffer, size_t size) {
        return format_duration(round_duration(usec), buffer, size);
}

/* Episodes */

static void report_episode_started(const Episode *episode) {
        const EpisodeWorker *longest = &episode->workers[0];
        char run[64];
        LogFields fields = { .size = 0 };

        log_add_field(&fields, "WORKER_PID=%d", (int) longest->worker.pid);
        log_add_field(&fields, "WORKER_NAME=%s", longest->worker.name);
        log_add_field(&fields, "RUNNING_USEC=%" PRIu64, longest->run_usec);
        fields_add_evidence(&fields, &episode->evidence);
        fields_add_episode(&fields, episode);

        log_full(LOG_WARNING, MESSAGE_EPISODE_STARTED, &fields,
                 "%s%" PRIu32 " kernel worker%s stuck in %s (rule %s); longest run %s: %s (pid %d)",
                 dry_run_mark(episode->dry_run), episode->worker_max,
                 episode->worker_max == 1 ? " is" : "s are", episode->work,
                 engine_rule_to_string(episode->rule), describe_duration(longest->run_usec, run, sizeof(run)),
                 longest->worker.name, (int) longest->worker.pid);
}

/* "recovered, 2 syncs"; a dry run made none. */
static void describe_outcome(const Episode *episode, char *buffer, size_t size) {
        int n = snprintf(buffer, size, "%s, ", episode_outcome_to_string(episode->outcome));

        if (episode->sync_count == 0)
                (void) snprintf(buffer + n, size - (size_t) n, "no sync");
        else
                (void) snprintf(buffer + n, size - (size_t) n, "%" PRIu32 " sync%s", episode->sync_count,
                                plural(episode->sync_count));
}

static void describe_also_spinning(const Episode *episode, char *buffer, size_t size) {
        size_t n = 0;

        buffer[0] = '\0';
        for (size_t i = 0; i < episode->n_also_spinning && n < size; i++)
                n += (size_t) snprintf(
                                buffer + n, size - n, "%s%s", i == 0 ? "; also spinning: " : ", ",
                                episode->also_spinning[i]);
}

static void report_episode_ended(const Episode *episode) {
        char length[64], outcome[64], also_spinning[400];
        LogFields fields = { .size = 0 };

        fields_add_episode_end(&fields, episode);
        fields_add_episode(&fields, episode);

        describe_outcome(episode, outcome, sizeof(outcome));
        describe_also_spinning(episode, also_spinning, sizeof(also_spinning));
        log_full(episode->outcome == OUTCOME_OUTLIVED ? LOG_WARNING : LOG_NOTICE, MESSAGE_EPISODE_ENDED,
                 &fields, "%sStall over after %s: %s%s", dry_run_mark(episode->dry_run),
                 describe_duration(episode_usec(episode), length, sizeof(length)), outcome, also_spinning);
}

/* Syncs */

static const char *describe_rule(EngineRule rule) {
        switch (rule) {
        case RULE_WORKER:
                return "rule worker";
        case RULE_CROWD:
                return "rule crowd";
        default:
                return "requested";
        }
}

static void report_sync_started(const Sync *sync) {
        LogFields fields = { .size = 0 };

        fields_add_sync(&fields, sync);
        log_add_field(&fields, "RUNNING_USEC=%" PRIu64, sync->longest_run_usec);
        fields_add_evidence(&fields, &sync->evidence);
        log_full(LOG_NOTICE, MESSAGE_SYNC_STARTED, &fields, "%sSync %" PRIu64 " %s (%s)",
                 dry_run_mark(sync->dry_run), sync->id, sync->dry_run ? "would start" : "started",
                 describe_rule(sync->rule));
}

/* The filesystems that were not synced: "; /srv (xfs): timeout". The list begins with them. */
static void describe_filesystems(const Sync *sync, char *buffer, size_t size) {
        size_t n = 0;

        buffer[0] = '\0';
        for (size_t i = 0; i < sync->n_filesystems && n < size; i++) {
                const FilesystemSync *filesystem = &sync->filesystems[i];

                if (filesystem->result == FILESYSTEM_OK)
                        break;
                n += (size_t) snprintf(
                                buffer + n, size - n, "; %s (%s): %s", filesystem->mountpoint,
                                filesystem->type, filesystem_result_to_string(filesystem->result));
        }
}

const char *report_trouble(const Sync *sync, char *buffer, size_t size) {
        describe_filesystems(sync, buffer, size);
        if (sync->result == SYNC_FAILED && buffer[0] == '\0')
                (void) snprintf(buffer, size, ": %s",
                                sync->method == SYNC_METHOD_SYNCFS
                                                ? "no filesystem with cgroup writeback was found, or listing "
                                                  "them failed"
                                                : "it could not be started, or its process was killed");
        return buffer;
}

static void report_sync_ended(const Sync *sync) {
        char duration[64], trouble[REPORT_TROUBLE_MAX];
        LogFields fields = { .size = 0 };

        if (sync->dry_run)
                return;

        fields_add_sync(&fields, sync);
        fields_add_filesystems(&fields, sync);
        (void) describe_duration(sync->duration_usec, duration, sizeof(duration));
        (void) report_trouble(sync, trouble, sizeof(trouble));

        switch (sync->result) {
        case SYNC_STALLED:
                log_full(LOG_WARNING, MESSAGE_SYNC_STALLED, &fields,
                         "Sync %" PRIu64 " has not ended after %s%s", sync->id, duration, trouble);
                break;
        case SYNC_FAILED:
                log_full(LOG_ERR, MESSAGE_SYNC_FINISHED, &fields, "Sync %" PRIu64 " failed%s", sync->id,
                         trouble);
                break;
        default:
                log_full(LOG_NOTICE, MESSAGE_SYNC_FINISHED, &fields, "Sync %" PRIu64 " ended after %s%s",
                         sync->id, duration, trouble);
        }
}

static void report_sync_everything(const Sync *sync) {
        if (sync->has_filesystems && sync->rule != RULE_NONE)
                log_notice("Sync %" PRIu64 ": the stall continues, calling sync(2)", sync->id);
        else if (!sync->has_filesystems)
                log_info("Sync %" PRIu64 ": no filesystem with cgroup writeback found, calling sync(2)",
                         sync->id);
}

static void report_sync_judged(const Sync *sync) {
        LogFields fields = { .size = 0 };

        fields_add_sync(&fields, sync);
        log_add_field(&fields, "HELPED=%s", sync_helped_to_string(sync->helped));
        log_full(LOG_NOTICE, MESSAGE_SYNC_JUDGED, &fields, "Sync %" PRIu64 " %s", sync->id,
                 sync->helped == HELPED_YES ? "helped" : "did not help");
}

static void report_syncs_unhelpful(const Sync *sync) {
        LogFields fields = { .size = 0 };

        fields_add_sync(&fields, sync);
        log_full(LOG_WARNING, MESSAGE_SYNCS_UNHELPFUL, &fields,
                 "Syncs do not help here: %d in a row did not end the stall; from now on at most one per "
                 "hour",
                 ENGINE_UNHELPFUL_MAX);
}

static void report_waiting(const EngineEvent *event) {
        char waited[64];
        LogFields fields = { .size = 0 };

        log_add_field(&fields, "WORKERS=%" PRIu32, event->count);
        log_add_field(&fields, "WORKER_PID=%d", (int) event->worker.pid);
        log_add_field(&fields, "WORKER_NAME=%s", event->worker.name);
        log_add_field(&fields, "RUNNING_USEC=%" PRIu64, event->usec);
        log_full(LOG_NOTICE, MESSAGE_WAITING, &fields,
                 "%" PRIu32 " kernel worker%s not spinning but waiting for a disk or another program's sync; "
                 "a sync would not help; longest wait %s: %s (pid %d)",
                 event->count, event->count == 1 ? " is" : "s are",
                 describe_duration(event->usec, waited, sizeof(waited)), event->worker.name,
                 (int) event->worker.pid);
}

static const char *describe_inhibitors(uint32_t n, char *buffer, size_t size) {
        (void) snprintf(buffer, size, "%" PRIu32 " inhibitor%s", n, plural(n));
        return buffer;
}

static void report_still_paused(const EngineEvent *event) {
        char since[64], left[64], inhibitors[64];

        (void) describe_duration(event->usec, since, sizeof(since));
        (void) describe_inhibitors(event->count, inhibitors, sizeof(inhibitors));
        if (event->count > 0)
                log_notice("Paused for %s: no automatic sync until %s%s released%s", since, inhibitors,
                           event->count == 1 ? " is" : " are",
                           event->left_usec > 0 ? ", and the pause ends as well" : "");
        else if (event->left_usec == USEC_INFINITY)
                log_notice("Paused for %s: no automatic sync until resumed", since);
        else
                log_notice("Paused for %s: no automatic sync for another %s", since,
                           describe_duration(event->left_usec, left, sizeof(left)));
}

void report_events(const EngineEvents *events) {
        for (size_t i = 0; i < events->n; i++) {
                const EngineEvent *event = &events->events[i];

                switch (event->type) {
                case EVENT_EPISODE_STARTED:
                        report_episode_started(&events->episode);
                        break;
                case EVENT_EPISODE_ENDED:
                        report_episode_ended(&events->episode);
                        break;
                case EVENT_UNCONFIRMED:
                        log_debug("Not syncing: no worker was spinning any more at the confirming scan");
                        break;
                case EVENT_SYNC_STARTED:
                        report_sync_started(&event->sync);
                        break;
                case EVENT_SYNC_EVERYTHING:
                        report_sync_everything(&event->sync);
                        break;
                case EVENT_SYNC_ENDED:
                        report_sync_ended(&event->sync);
                        break;
                case EVENT_SYNC_JUDGED:
                        report_sync_judged(&event->sync);
                        break;
                case EVENT_SYNCS_UNHELPFUL:
                        report_syncs_unhelpful(&event->sync);
                        break;
                case EVENT_STILL_PAUSED:
                        report_still_paused(event);
                        break;
                case EVENT_WAITING:
                        report_waiting(event);
                        break;
                default:
                        break;
                }
        }
}

/* Status */

static void describe_workers(const Engine *engine, char *buffer, size_t size) {
        const Run *longest = engine_longest_run(engine);
        uint32_t n_spinning = engine_n_spinning(engine), n_waiting = engine_n_waiting(engine);
        char run[64];

        if (n_spinning + n_waiting == 0 || !longest)
                (void) snprintf(buffer, size, "no matching worker is running");
        else
                (void) snprintf(buffer, size, "%" PRIu32 " spinning and %" PRIu32 " waiting, longest run %s",
                                n_spinning, n_waiting,
                                describe_duration(engine_run_usec(engine, longest), run, sizeof(run)));
}

const char *report_limits(const Engine *engine, const Settings *settings, char *buffer, size_t size) {
        char threshold[64], crowd_threshold[64];
        int n;

        n = snprintf(buffer, size, "stuck after %s",
                     format_duration(settings->threshold_usec, threshold, sizeof(threshold)));
        if (settings->crowd_size > 0)
                (void) snprintf(buffer + n, size - (size_t) n, ", or a crowd of %.4g for %s",
                                engine_crowd_size(engine),
                                format_duration(settings->crowd_threshold_usec, crowd_threshold,
                                                sizeof(crowd_threshold)));
        return buffer;
}

/* The result of the last sync, whose Recovery time is not over. */
static const char *describe_last_sync(const ReportContext *context) {
        const Sync *sync = engine_last_sync(context->engine);

        if (context->settings->dry_run)
                return "would have synced";
        if (!sync)
                return "synced";
        if (sync->result == SYNC_STALLED)
                return "the last sync did not end";
        switch (sync->helped) {
        case HELPED_YES:
                return "synced, which helped";
        case HELPED_NO:
                return "synced, which did not help";
        default:
                return "synced";
        }
}

/* "paused by 2 inhibitors" */
static const char *describe_pause(const Engine *engine, char *buffer, size_t size) {
        const uint32_t n = engine_n_inhibitors(engine);
        char inhibitors[32];

        if (n == 0)
                return "paused";
        (void) snprintf(buffer, size, "paused %s %s",
                        engine_paused_until_usec(engine) > 0 ? "and held by" : "by",
                        describe_inhibitors(n, inhibitors, sizeof(inhibitors)));
        return buffer;
}

static int describe_state(const ReportContext *context, char *buffer, size_t size) {
        const Engine *engine = context->engine;
        char workers[160], limits[160], duration[64], pause[64];
        const Sync *sync;

        describe_workers(engine, workers, sizeof(workers));
        (void) report_limits(engine, context->settings, limits, sizeof(limits));

        switch (engine_state(engine)) {
        case ENGINE_BUSY:
                return snprintf(buffer, size, "%s (%s)", workers, limits);

        case ENGINE_SYNCING:
                sync = engine_sync(engine);
                return snprintf(buffer, size, "sync under way for %s (%s); %s",
                                describe_duration(
                                                usec_subtract(context->now_usec, sync->start.monotonic_usec),
                                                duration, sizeof(duration)),
                                describe_rule(sync->rule), workers);

        case ENGINE_RECOVERY:
                return snprintf(buffer, size, "%s; no other sync for the next %s; %s",
                                describe_last_sync(context),
                                describe_duration(
                                                usec_subtract(engine_recovery_end_usec(engine),
                                                              context->now_usec),
                                                duration, sizeof(duration)),
                                workers);

        case ENGINE_PAUSED:
                return snprintf(buffer, size, "%s, not syncing; %s%s",
                                describe_pause(engine, pause, sizeof(pause)), workers,
                                engine_episode(engine) ? ", and they are stuck" : "");

        default:
                return snprintf(buffer, size, "%s", workers);
        }
}

const char *report_status(const ReportContext *context, char *buffer, size_t size) {
        char text[REPORT_STATUS_MAX];

        if (context->fault[0])
                (void) snprintf(text, sizeof(text), "%s", context->fault);
        else
                (void) describe_state(context, text, sizeof(text));

        (void) snprintf(buffer, size, "%s%s%s%s%s%s", context->settings->dry_run ? "dry run: " : "",
                        context->fault[0] ? "fault: " : "", text,
                        engine_syncs_unhelpful(context->engine) >= ENGINE_UNHELPFUL_MAX
                                        ? "; syncs do not help here"
                                        : "",
                        context->polling_reason ? "; not receiving thread creation events: " : "",
                        context->polling_reason ?: "");
        return buffer;
}
