/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The engine's data as D-Bus messages: see bus-messages.h. */

#include "bus-messages.h"

#include <stdlib.h>

#include "log.h"
#include "names.h"
#include "text.h"

/* How much of an external text is shown; the names of workers and mount points are shorter. */
#define TEXT_MAX_BYTES 127

/* Appends element i as an a{sv}. */
typedef int (*append_element_t)(sd_bus_message *m, const void *elements, size_t i);

/* Appends an aa{sv}. */
static int append_dictionaries(sd_bus_message *m, append_element_t append, const void *elements, size_t n) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "a{sv}");
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = append(m, elements, i);
        if (r < 0)
                return r;

        return sd_bus_message_close_container(m);
}

/* Opens an {sv} with its key and variant; close_entry() closes both. */
static int open_entry(sd_bus_message *m, const char *key, const char *type) {
        int r;

        r = sd_bus_message_open_container(m, 'e', "sv");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "s", key);
        if (r < 0)
                return r;
        return sd_bus_message_open_container(m, 'v', type);
}

static int close_entry(sd_bus_message *m) {
        int r;

        r = sd_bus_message_close_container(m);
        if (r < 0)
                return r;
        return sd_bus_message_close_container(m);
}

/* Appends an {sv} whose value is an aa{sv}. */
static int append_dictionaries_entry(
                sd_bus_message *m,
                const char *key,
                append_element_t append,
                const void *elements,
                size_t n) {
        int r;

        r = open_entry(m, key, "aa{sv}");
        if (r < 0)
                return r;
        r = append_dictionaries(m, append, elements, n);
        if (r < 0)
                return r;
        return close_entry(m);
}

/* Appends an entry with an external text, escaped: a name, a work, a mount point. */
static int append_text_entry(sd_bus_message *m, const char *key, const char *text) {
        char escaped[TEXT_MAX_BYTES * 4 + 1];

        text_escape(text, TEXT_ESCAPE_CONTROL, escaped, sizeof(escaped));
        return sd_bus_message_append(m, "{sv}", key, "s", escaped);
}

static int append_filesystem(sd_bus_message *m, const void *elements, size_t i) {
        const FilesystemSync *filesystem = (const FilesystemSync *) elements + i;
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        r = append_text_entry(m, "Mountpoint", filesystem->mountpoint);
        if (r < 0)
                return r;
        r = append_text_entry(m, "Type", filesystem->type);
        if (r < 0)
                return r;
        r = sd_bus_message_append(
                        m, "{sv}{sv}", "DurationUSec", "t", filesystem->duration_usec, "Result", "s",
                        filesystem_result_to_string(filesystem->result));
        if (r < 0)
                return r;

        return sd_bus_message_close_container(m);
}

int bus_append_filesystems(sd_bus_message *m, const FilesystemSync *filesystems, size_t n) {
        return append_dictionaries(m, append_filesystem, filesystems, n);
}

static int append_inhibitor(sd_bus_message *m, const void *elements, size_t i) {
        const Inhibitor *inhibitor = inhibitors_get(elements, i);

        return sd_bus_message_append(
                        m, "a{sv}", 5, "Who", "s", inhibitor->who, "Why", "s", inhibitor->why, "UID", "u",
                        (uint32_t) inhibitor->uid, "PID", "u", (uint32_t) inhibitor->pid, "SinceUSec", "t",
                        inhibitor->since.realtime_usec);
}

int bus_append_inhibitors(sd_bus_message *m, const Inhibitors *inhibitors) {
        return append_dictionaries(m, append_inhibitor, inhibitors, inhibitors_count(inhibitors));
}

static int append_evidence_value(sd_bus_message *m, const Evidence *evidence, EvidenceId id) {
        const EvidenceInfo *info = &evidence_table[id];

        if (info->unit == EVIDENCE_UNIT_PERCENT)
                return sd_bus_message_append(m, "{sv}", info->key, "d", (double) evidence->values[id] / 100);
        return sd_bus_message_append(m, "{sv}", info->key, "t", evidence->values[id]);
}

/* Appends the entry Evidence. */
static int append_evidence(sd_bus_message *m, const Evidence *evidence) {
        int r;

        r = open_entry(m, "Evidence", "a{sv}");
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(m, 'a', "{sv}");
        for (EvidenceId id = 0; r >= 0 && id < _EVIDENCE_MAX; id++)
                if (evidence_has(evidence, id))
                        r = append_evidence_value(m, evidence, id);
        if (r < 0)
                return r;
        r = sd_bus_message_close_container(m);
        if (r < 0)
                return r;

        return close_entry(m);
}

/* Appends the entry Samples. */
static int append_samples(sd_bus_message *m, const Episode *episode) {
        int r;

        r = open_entry(m, "Samples", "a(tuu)");
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(m, 'a', "(tuu)");
        for (uint32_t i = 0; r >= 0 && i < episode->samples.n; i++) {
                const Sample *sample = &episode->samples.samples[i];

                r = sd_bus_message_append(
                                m, "(tuu)", episode_sample_usec(episode, sample),
                                (uint32_t) sample->n_spinning, (uint32_t) sample->n_waiting);
        }
        if (r < 0)
                return r;
        r = sd_bus_message_close_container(m);
        if (r < 0)
                return r;

        return close_entry(m);
}

static int append_sync_filesystems(sd_bus_message *m, const Sync *sync) {
        return append_dictionaries_entry(
                        m, "Filesystems", append_filesystem, sync->filesystems, sync->n_filesystems);
}

/* The entries that SyncFinished and the syncs of an episode share. */
static int append_sync_entries(sd_bus_message *m, const Sync *sync) {
        int r;

        r = sd_bus_message_append(
                        m, "{sv}{sv}{sv}{sv}{sv}{sv}{sv}", "StartUSec", "t", sync->start.realtime_usec,
                        "DurationUSec", "t", sync->duration_usec, "Result", "s",
                        sync_result_to_string(sync->result), "Helped", "s",
                        sync_helped_to_string(sync->helped), "Method", "s",
                        sync_method_to_string(sync->method), "Requested", "b",
                        (int) (sync->rule == RULE_NONE), "DryRun", "b", (int) sync->dry_run);
        if (r < 0)
                return r;
        r = append_evidence(m, &sync->evidence);
        if (r < 0)
                return r;

        return append_sync_filesystems(m, sync);
}

static int append_episode_sync(sd_bus_message *m, const void *elements, size_t i) {
        const Sync *sync = (const Sync *) elements + i;
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        r = sd_bus_message_append(
                        m, "{sv}{sv}", "Id", "t", sync->id, "Rule", "s", engine_rule_to_string(sync->rule));
        if (r < 0)
                return r;
        r = append_sync_entries(m, sync);
        if (r < 0)
                return r;

        return sd_bus_message_close_container(m);
}

/* The entries that workers in ListWorkers and those of an episode share. */
static int append_worker_entries(
                sd_bus_message *m,
                const Worker *worker,
                uint64_t run_usec,
                uint64_t cpu_usec) {
        int r;

        r = append_text_entry(m, "Name", worker->name);
        if (r < 0)
                return r;

        return sd_bus_message_append(
                        m, "{sv}{sv}{sv}{sv}", "PID", "u", (uint32_t) worker->pid, "StartTime", "t",
                        worker->start_time, "RunningUSec", "t", run_usec, "CPUUSec", "t", cpu_usec);
}

static int append_episode_worker(sd_bus_message *m, const void *elements, size_t i) {
        const EpisodeWorker *noted = (const EpisodeWorker *) elements + i;
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        r = append_worker_entries(m, &noted->worker, noted->run_usec, noted->cpu_usec);
        if (r < 0)
                return r;

        return sd_bus_message_close_container(m);
}

static int append_also_spinning(sd_bus_message *m, const Episode *episode) {
        int r;

        r = open_entry(m, "AlsoSpinning", "as");
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(m, 'a', "s");
        for (size_t i = 0; r >= 0 && i < episode->n_also_spinning; i++) {
                char name[sizeof(episode->also_spinning[i]) * 4];

                text_escape(episode->also_spinning[i], TEXT_ESCAPE_CONTROL, name, sizeof(name));
                r = sd_bus_message_append(m, "s", name);
        }
        if (r < 0)
                return r;
        r = sd_bus_message_close_container(m);
        if (r < 0)
                return r;

        return close_entry(m);
}

static int append_episode_counts(sd_bus_message *m, const Episode *episode) {
        return sd_bus_message_append(
                        m, "{sv}{sv}{sv}{sv}", "WorkerCount", "u", episode->worker_max, "SpinningMax", "u",
                        episode->spinning_max, "WaitingMax", "u", episode->waiting_max, "SyncCount", "u",
                        episode->sync_count);
}

static int append_episode_entries(sd_bus_message *m, const Episode *episode) {
        int r;

        r = sd_bus_message_append(
                        m, "{sv}{sv}{sv}{sv}", "Id", "t", episode->id, "Rule", "s",
                        engine_rule_to_string(episode->rule), "StartUSec", "t", episode->start.realtime_usec,
                        "Outcome", "s", episode_outcome_to_string(episode->outcome));
        if (r >= 0 && episode->outcome != OUTCOME_ONGOING)
                r = sd_bus_message_append(m, "{sv}", "EndUSec", "t", episode->end.realtime_usec);
        if (r >= 0)
                r = append_text_entry(m, "Work", episode->work);
        if (r >= 0)
                r = append_episode_counts(m, episode);
        if (r >= 0)
                r = append_also_spinning(m, episode);
        if (r >= 0)
                r = append_evidence(m, &episode->evidence);
        if (r >= 0)
                r = append_samples(m, episode);
        if (r >= 0)
                r = append_dictionaries_entry(
                                m, "Workers", append_episode_worker, episode->workers, episode->n_workers);
        if (r >= 0)
                r = append_dictionaries_entry(
                                m, "Syncs", append_episode_sync, episode->syncs, episode->n_syncs);
        return r;
}

static int append_episode(sd_bus_message *m, const Episode *episode) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        r = append_episode_entries(m, episode);
        if (r < 0)
                return r;

        return sd_bus_message_close_container(m);
}

/* Lists */

static int compare_runs(const void *a, const void *b) {
        const Run *const *one = a, *const *other = b;

        if ((*one)->since_usec != (*other)->since_usec)
                return (*one)->since_usec < (*other)->since_usec ? -1 : 1;
        return (*one)->worker.pid < (*other)->worker.pid ? -1 : 1;
}

static int append_run(sd_bus_message *m, const Engine *engine, const Run *run) {
        uint64_t run_usec = engine_run_usec(engine, run), waiting_usec;
        const char state[] = { run->worker.state, '\0' };
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        r = append_worker_entries(m, &run->worker, run_usec, run->worker.cpu_usec);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "{sv}", "State", "s", state);
        if (r >= 0 && run->waiting_since_usec > 0) {
                waiting_usec = usec_subtract(run->since_usec + run_usec, run->waiting_since_usec);
                r = sd_bus_message_append(m, "{sv}", "WaitingUSec", "t", waiting_usec);
        }
        if (r < 0)
                return r;

        return sd_bus_message_close_container(m);
}

int bus_append_workers(sd_bus_message *m, const Engine *engine) {
        _cleanup_free_ const Run **sorted = NULL;
        const Run *runs;
        size_t n;
        int r;

        runs = engine_runs(engine, &n);
        sorted = calloc(n + 1, sizeof(*sorted));
        if (!sorted)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                sorted[i] = &runs[i];
        qsort(sorted, n, sizeof(*sorted), compare_runs);

        r = sd_bus_message_open_container(m, 'a', "a{sv}");
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = append_run(m, engine, sorted[i]);
        if (r < 0)
                return r;

        return sd_bus_message_close_container(m);
}

int bus_append_episodes(sd_bus_message *m, const Engine *engine) {
        const Episode *ongoing = engine_episode(engine);
        Episode ended;
        size_t n = engine_n_episodes(engine);
        int r;

        r = sd_bus_message_open_container(m, 'a', "a{sv}");

        /* The ongoing episode is one of the newest 64. */
        for (size_t i = ongoing && n == ENGINE_EPISODES_MAX ? 1 : 0; r >= 0 && i < n; i++) {
                engine_ended_episode(engine, i, &ended);
                r = append_episode(m, &ended);
        }
        if (r >= 0 && ongoing)
                r = append_episode(m, ongoing);
        if (r < 0)
                return r;

        return sd_bus_message_close_container(m);
}

/* Signals */

/* Opens a signal and its last argument, a dictionary; send_signal() closes and sends it. */
static int open_signal(
                sd_bus *connection,
                const char *member,
                uint64_t id,
                const uint64_t *episode_id,
                sd_bus_message **ret) {

        _cleanup_(sd_bus_message_unrefp) sd_bus_message *signal = NULL;
        int r;

        r = sd_bus_message_new_signal(connection, &signal, BUS_PATH, BUS_INTERFACE, member);
        if (r < 0)
                return r;
        r = sd_bus_message_append(signal, "t", id);
        if (r >= 0 && episode_id)
                r = sd_bus_message_append(signal, "t", *episode_id);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(signal, 'a', "{sv}");
        if (r < 0)
                return r;

        *ret = TAKE_POINTER(signal);
        return 0;
}

static int send_signal(sd_bus *connection, sd_bus_message *signal) {
        int r;

        r = sd_bus_message_close_container(signal);
        if (r < 0)
                return r;

        return sd_bus_send(connection, signal, NULL);
}

static int emit_episode_started(sd_bus *connection, const Episode *episode) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *signal = NULL;
        const EpisodeWorker *longest = episode->workers; /* zeroed if none was recorded */
        int r;

        r = open_signal(connection, "EpisodeStarted", episode->id, NULL, &signal);
        if (r < 0)
                return r;
        r = sd_bus_message_append(
                        signal, "{sv}{sv}{sv}{sv}{sv}", "Rule", "s", engine_rule_to_string(episode->rule),
                        "StartUSec", "t", episode->start.realtime_usec, "WorkerCount", "u",
                        episode->worker_max, "LongestRunUSec", "t", longest->run_usec, "DryRun", "b",
                        (int) episode->dry_run);
        if (r >= 0)
                r = append_text_entry(signal, "Work", episode->work);
        if (r >= 0)
                r = append_text_entry(signal, "Name", longest->worker.name);
        if (r < 0)
                return r;

        return send_signal(connection, signal);
}

static int emit_episode_ended(sd_bus *connection, const Episode *episode) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *signal = NULL;
        int r;

        r = open_signal(connection, "EpisodeEnded", episode->id, NULL, &signal);
        if (r < 0)
                return r;
        r = append_episode_entries(signal, episode);
        if (r < 0)
                return r;

        return send_signal(connection, signal);
}

static int emit_sync_started(sd_bus *connection, const Sync *sync) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *signal = NULL;
        int r;

        r = open_signal(connection, "SyncStarted", sync->id, &sync->episode_id, &signal);
        if (r < 0)
                return r;
        r = sd_bus_message_append(
                        signal, "{sv}{sv}{sv}{sv}{sv}{sv}{sv}", "StartUSec", "t", sync->start.realtime_usec,
                        "Rule", "s", engine_rule_to_string(sync->rule), "WorkerCount", "u",
                        sync->worker_count, "LongestRunUSec", "t", sync->longest_run_usec, "Method", "s",
                        sync_method_to_string(sync->method), "Requested", "b",
                        (int) (sync->rule == RULE_NONE), "DryRun", "b", (int) sync->dry_run);
        if (r < 0)
                return r;

        return send_signal(connection, signal);
}

static int emit_sync_finished(sd_bus *connection, const Sync *sync) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *signal = NULL;
        int r;

        r = open_signal(connection, "SyncFinished", sync->id, &sync->episode_id, &signal);
        if (r < 0)
                return r;
        r = append_sync_entries(signal, sync);
        if (r < 0)
                return r;

        return send_signal(connection, signal);
}

int bus_emit_event(sd_bus *connection, const EngineEvent *event, const Episode *episode) {
        switch (event->type) {
        case EVENT_EPISODE_STARTED:
                return emit_episode_started(connection, episode);
        case EVENT_EPISODE_ENDED:
                return emit_episode_ended(connection, episode);
        case EVENT_SYNC_STARTED:
                return emit_sync_started(connection, &event->sync);
        case EVENT_SYNC_ENDED:
                return emit_sync_finished(connection, &event->sync);
        default:
                return 0;
        }
}
