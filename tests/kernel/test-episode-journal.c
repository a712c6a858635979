/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The journal entries of episodes. They are received as journald would receive them, put together again, and
 * compared with the record that the engine has.
 */

#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>

#include "journal-socket.h"
#include "log.h"
#include "messages.h"
#include "report.h"
#include "surroundings.h"

#define WORK "inode_switch_wbs"
#define N_WORKERS 5
#define ENTRIES_MAX 64

/* An entry: lines of "NAME=value". */
typedef struct Entry {
        char *text;
        char **lines;
} Entry;

typedef struct Fixture {
        int journal_fd;
        Engine *engine;
        Moment now;
        Worker workers[N_WORKERS];
        Entry entries[ENTRIES_MAX];
        size_t n_entries;
        Episode ended;
} Fixture;

static bool isolated;

static void set_up(Fixture *f, gconstpointer data) {
        Settings settings;

        settings_init(&settings);
        f->now = (Moment){ .monotonic_usec = 1000 * USEC_PER_SEC, .realtime_usec = 1700000000123456 };
        g_assert_cmpint(engine_new(&settings, 8, f->now, &f->engine), ==, 0);
        for (int i = 0; i < N_WORKERS; i++) {
                f->workers[i] = (Worker){ .pid = 100 + i, .start_time = 7000 + (uint64_t) i, .state = 'R' };
                (void) snprintf(f->workers[i].name, sizeof(f->workers[i].name), "kworker/%d:0+" WORK, i);
        }
        f->workers[N_WORKERS - 1].state = 'D';

        if (!isolated)
                return;
        f->journal_fd = journal_new();
        log_set_target(LOG_TARGET_JOURNAL);
}

static void tear_down(Fixture *f, gconstpointer data) {
        engine_free(f->engine);
        for (size_t i = 0; i < f->n_entries; i++) {
                g_free(f->entries[i].text);
                g_strfreev(f->entries[i].lines);
        }
        if (isolated)
                journal_free(f->journal_fd);
}

static bool skips(void) {
        if (!isolated)
                g_test_skip("needs root, for a journal of its own");
        return !isolated;
}

static void receive(Fixture *f) {
        static char text[65536];
        ssize_t n;

        while ((n = recv(f->journal_fd, text, sizeof(text) - 1, MSG_DONTWAIT)) > 0) {
                Entry *entry = &f->entries[f->n_entries++];

                g_assert_cmpuint(f->n_entries, <=, ENTRIES_MAX);
                text[n] = '\0';
                *entry = (Entry){ .text = g_strdup(text), .lines = g_strsplit(text, "\n", -1) };
        }
}

/* As the manager does it. */
static void report(Fixture *f, EngineEvents *events) {
        Evidence evidence = {};

        evidence_set(&evidence, EVIDENCE_DIRTY, f->now.monotonic_usec);
        evidence_set(&evidence, EVIDENCE_IO_PRESSURE_AVG10, 1234);
        if (engine_events_want_evidence(events))
                engine_note_evidence(f->engine, &evidence, events);
        report_events(events);
        receive(f);
}

/* A second later so many of the workers run, and have used a CPU each. */
static void scan(Fixture *f, size_t n_workers) {
        static const Worker other = { .pid = 9, .state = 'R', .name = "kworker/9:9+events_unbound" };
        EngineEvents events = { .n = 0 };

        f->now.monotonic_usec += USEC_PER_SEC;
        f->now.realtime_usec += USEC_PER_SEC;
        for (size_t i = 0; i < n_workers; i++)
                f->workers[i].cpu_usec += USEC_PER_SEC;
        engine_scan(f->engine, f->now, f->workers, n_workers, &events);
        engine_note_others(f->engine, &other, 1);
        if (engine_events_find(&events, EVENT_CONFIRM))
                engine_confirm(f->engine, f->now, f->workers, n_workers, &events);
        report(f, &events);
}

static void begin_episode(Fixture *f) {
        while (!engine_sync(f->engine))
                scan(f, N_WORKERS);
}

static void answer(Fixture *f) {
        static const FilesystemSync filesystems[] = {
                { .mountpoint = "/srv/a b",
                  .type = "xfs",
                  .result = FILESYSTEM_TIMEOUT,
                  .duration_usec = 10 },
                { .mountpoint = "/", .type = "ext4", .result = FILESYSTEM_OK, .duration_usec = 20 },
        };
        EngineEvents events = { .n = 0 };

        engine_filesystems_synced(
                        f->engine, f->now, true, SYNC_STALLED, filesystems, ELEMENTSOF(filesystems), &events);
        report(f, &events);
}

/* Reading */

static const Entry *find_entry(const Fixture *f, const char *message_id, size_t n) {
        g_autofree char *field = g_strconcat("MESSAGE_ID=", message_id, NULL);

        for (size_t i = 0; i < f->n_entries; i++)
                if (g_strv_contains((const char *const *) f->entries[i].lines, field) && n-- == 0)
                        return &f->entries[i];
        return NULL;
}

static unsigned count(const Entry *entry, const char *name) {
        g_autofree char *prefix = g_strconcat(name, "=", NULL);
        unsigned n = 0;

        for (char **line = entry->lines; *line; line++)
                n += g_str_has_prefix(*line, prefix);
        return n;
}

/* The n-th value of the field, or NULL. */
static const char *get(const Entry *entry, const char *name, size_t n) {
        g_autofree char *prefix = g_strconcat(name, "=", NULL);

        for (char **line = entry->lines; *line; line++)
                if (g_str_has_prefix(*line, prefix) && n-- == 0)
                        return *line + strlen(prefix);
        return NULL;
}

#define assert_field(entry, name, ...)                                                                       \
        do {                                                                                                 \
                g_autofree char *_expected = g_strdup_printf(__VA_ARGS__);                                   \
                g_assert_cmpstr(get(entry, name, 0), ==, _expected);                                         \
        } while (false)

static void assert_workers(const Entry *entry, const Episode *episode) {
        g_assert_cmpuint(count(entry, "WORKER"), ==, episode->n_workers);
        for (uint32_t i = 0; i < episode->n_workers; i++) {
                const EpisodeWorker *worker = &episode->workers[i];
                g_autofree char *expected =
                                g_strdup_printf("%d %" PRIu64 " %" PRIu64 " %" PRIu64 " %s",
                                                worker->worker.pid, worker->worker.start_time,
                                                worker->run_usec, worker->cpu_usec, worker->worker.name);

                g_assert_cmpstr(get(entry, "WORKER", i), ==, expected);
        }
}

static void assert_episode_fields(const Entry *entry, const Episode *episode) {
        assert_field(entry, "EPISODE", "%" PRIu64, episode->id);
        assert_field(entry, "RULE", "%s", engine_rule_to_string(episode->rule));
        assert_field(entry, "WORK", "%s", episode->work);
        assert_field(entry, "START_USEC", "%" PRIu64, episode->start.realtime_usec);
        assert_field(entry, "WORKERS", "%u", episode->worker_max);
        assert_field(entry, "SPINNING_MAX", "%u", episode->spinning_max);
        assert_field(entry, "WAITING_MAX", "%u", episode->waiting_max);
        assert_field(entry, "DRY_RUN", "no");
        assert_workers(entry, episode);
        g_assert_cmpuint(count(entry, "ALSO_SPINNING"), ==, episode->n_also_spinning);
        for (uint32_t i = 0; i < episode->n_also_spinning; i++)
                g_assert_cmpstr(get(entry, "ALSO_SPINNING", i), ==, episode->also_spinning[i]);
}

static void assert_evidence(const Entry *entry, const Evidence *evidence) {
        char value[32];

        for (EvidenceId id = 0; id < _EVIDENCE_MAX; id++)
                g_assert_cmpstr(get(entry, evidence_table[id].field, 0), ==,
                                evidence_has(evidence, id)
                                                ? evidence_format(evidence, id, value, sizeof(value))
                                                : NULL);
}

static void assert_sync_fields(const Entry *entry, const Sync *sync) {
        assert_field(entry, "SYNC", "%" PRIu64, sync->id);
        assert_field(entry, "EPISODE", "%" PRIu64, sync->episode_id);
        assert_field(entry, "RULE", "%s", engine_rule_to_string(sync->rule));
        assert_field(entry, "START_USEC", "%" PRIu64, sync->start.realtime_usec);
        assert_field(entry, "METHOD", "%s", sync_method_to_string(sync->method));
        assert_field(entry, "DRY_RUN", "no");
}

/* An entry about a sync that is under way. */
static void assert_not_ended(const Entry *entry) {
        g_assert_cmpuint(count(entry, "RESULT"), ==, 0);
        g_assert_cmpuint(count(entry, "DURATION_USEC"), ==, 0);
}

static void assert_samples(const Entry *entry, const Episode *episode) {
        g_auto(GStrv) samples = g_strsplit(get(entry, "WBWATCH_SAMPLES", 0), " ", -1);

        g_assert_cmpuint(g_strv_length(samples), ==, episode->samples.n);
        for (uint32_t i = 0; i < episode->samples.n; i++) {
                const Sample *sample = &episode->samples.samples[i];
                g_autofree char *expected =
                                g_strdup_printf("%" PRIu64 ",%u,%u", episode_sample_usec(episode, sample),
                                                sample->n_spinning, sample->n_waiting);

                g_assert_cmpstr(samples[i], ==, expected);
        }
}

static void assert_beginning(const Fixture *f, const Episode *episode) {
        const Entry *started = find_entry(f, MESSAGE_EPISODE_STARTED, 0),
                    *sync_started = find_entry(f, MESSAGE_SYNC_STARTED, 0);

        g_assert_nonnull(started);
        assert_field(started, "EPISODE", "%" PRIu64, episode->id);
        assert_field(started, "START_USEC", "%" PRIu64, episode->start.realtime_usec);
        assert_evidence(started, &episode->evidence);
        g_assert_nonnull(sync_started);
        assert_sync_fields(sync_started, &episode->syncs[0]);
        assert_evidence(sync_started, &episode->syncs[0].evidence);
        assert_not_ended(sync_started);
}

/* Cases */

/* All that the engine has of an episode. */
static void test_episode(Fixture *f, gconstpointer data) {
        const Entry *synced, *judged, *ended;
        const Episode *episode;
        const Sync *sync;

        if (skips())
                return;
        begin_episode(f);
        answer(f);
        while (engine_n_episodes(f->engine) == 0)
                scan(f, 0);

        engine_ended_episode(f->engine, 0, &f->ended);
        episode = &f->ended;
        sync = &episode->syncs[0];
        g_assert_cmpuint(episode->n_syncs, ==, 1);
        g_assert_cmpuint(episode->n_workers, ==, N_WORKERS);
        g_assert_cmpuint(episode->n_also_spinning, ==, 1);
        g_assert_cmpuint(episode->samples.n, >, 2);
        assert_beginning(f, episode);

        synced = find_entry(f, MESSAGE_SYNC_STALLED, 0);
        g_assert_nonnull(synced);
        assert_sync_fields(synced, sync);
        assert_field(synced, "RESULT", "stalled");
        assert_field(synced, "DURATION_USEC", "%" PRIu64, sync->duration_usec);
        g_assert_cmpuint(count(synced, "FILESYSTEM"), ==, 2);
        g_assert_cmpstr(get(synced, "FILESYSTEM", 0), ==, "timeout 10 xfs /srv/a b");
        g_assert_cmpstr(get(synced, "FILESYSTEM", 1), ==, "ok 20 ext4 /");

        judged = find_entry(f, MESSAGE_SYNC_JUDGED, 0);
        g_assert_nonnull(judged);
        assert_sync_fields(judged, sync);
        assert_field(judged, "HELPED", "%s", sync_helped_to_string(sync->helped));
        g_assert_cmpint(sync->helped, !=, HELPED_PENDING);

        ended = find_entry(f, MESSAGE_EPISODE_ENDED, 0);
        g_assert_nonnull(ended);
        assert_episode_fields(ended, episode);
        assert_field(ended, "OUTCOME", "%s", episode_outcome_to_string(episode->outcome));
        assert_field(ended, "END_USEC", "%" PRIu64, episode->end.realtime_usec);
        assert_field(ended, "SYNCS", "1");
        assert_samples(ended, episode);
}

/* What the journal has if the daemon is killed in the middle. */
static void test_killed(Fixture *f, gconstpointer data) {
        const Episode *episode;

        if (skips())
                return;
        begin_episode(f);
        episode = engine_episode(f->engine);
        assert_beginning(f, episode);
        assert_workers(find_entry(f, MESSAGE_EPISODE_STARTED, 0), episode);
}

/* The stall ends before the sync does. */
static void test_judged_early(Fixture *f, gconstpointer data) {
        const Entry *judged;

        if (skips())
                return;
        begin_episode(f);
        while (engine_n_episodes(f->engine) == 0)
                scan(f, 0);
        g_assert_nonnull(engine_sync(f->engine));
        judged = find_entry(f, MESSAGE_SYNC_JUDGED, 0);
        assert_field(judged, "HELPED", "yes");
        assert_not_ended(judged);

        answer(f);
        assert_field(find_entry(f, MESSAGE_SYNC_STALLED, 0), "RESULT", "stalled");
}

/* A sync that began before its episode names it later. */
static void test_adopted(Fixture *f, gconstpointer data) {
        EngineEvents events = { .n = 0 };
        const Entry *judged;

        if (skips())
                return;
        scan(f, N_WORKERS);
        engine_request_sync(f->engine, f->now, &events);
        report(f, &events);
        assert_field(find_entry(f, MESSAGE_SYNC_STARTED, 0), "EPISODE", "0");
        while (!engine_episode(f->engine))
                scan(f, N_WORKERS);
        events.n = 0;
        engine_sync_ended(f->engine, f->now, SYNC_OK, &events);
        report(f, &events);
        assert_field(find_entry(f, MESSAGE_SYNC_FINISHED, 0), "EPISODE", "1");
        while (engine_n_episodes(f->engine) == 0)
                scan(f, 0);
        judged = find_entry(f, MESSAGE_SYNC_JUDGED, 0);
        assert_field(judged, "SYNC", "1");
        assert_field(judged, "EPISODE", "1");
}

/* With SyncMethod=syncfs nothing follows the filesystems, of which there is none. */
static void test_nothing_to_sync(Fixture *f, gconstpointer data) {
        const FilesystemSync none = {};
        EngineEvents events = { .n = 0 };
        Settings settings;
        const Entry *finished;

        if (skips())
                return;
        settings_init(&settings);
        settings.sync_method = SYNC_METHOD_SYNCFS;
        engine_set_settings(f->engine, f->now, &settings, &events);
        engine_request_sync(f->engine, f->now, &events);
        report(f, &events);
        events.n = 0;
        engine_filesystems_synced(f->engine, f->now, /* has_any= */ false, SYNC_OK, &none, 0, &events);
        report(f, &events);

        finished = find_entry(f, MESSAGE_SYNC_FINISHED, 0);
        g_assert_nonnull(finished);
        assert_field(finished, "RESULT", "failed");
        assert_field(finished, "MESSAGE",
                     "Sync 1 failed: no filesystem with cgroup writeback was found, or listing them failed");
}

/* The largest record: the entry has all but some of the workers. */
static void test_largest(Fixture *f, gconstpointer data) {
        static EngineEvents events;
        Episode *episode = &events.episode;
        const Entry *ended;
        unsigned n;

        if (skips())
                return;
        episode->start.realtime_usec = UINT64_MAX / 2;
        episode->end = (Moment){ .monotonic_usec = UINT64_MAX, .realtime_usec = UINT64_MAX };
        episode->rule = RULE_WORKER;
        episode->outcome = OUTCOME_RECOVERED;
        memset(episode->work, 'w', WORKER_NAME_MAX);
        episode->samples.n = SAMPLES_MAX;
        for (size_t i = 0; i < SAMPLES_MAX; i++)
                episode->samples.samples[i] = (Sample){ UINT32_MAX, UINT16_MAX, UINT16_MAX };
        episode->n_also_spinning = EPISODE_ALSO_SPINNING_MAX;
        for (size_t i = 0; i < EPISODE_ALSO_SPINNING_MAX; i++)
                memset(episode->also_spinning[i], 'a', WORKER_NAME_MAX);
        episode->n_workers = EPISODE_WORKERS_MAX;
        for (size_t i = 0; i < EPISODE_WORKERS_MAX; i++) {
                episode->workers[i] = (EpisodeWorker){
                        .worker = { .pid = INT32_MAX, .start_time = UINT64_MAX },
                        .run_usec = UINT64_MAX,
                        .cpu_usec = UINT64_MAX,
                };
                memset(episode->workers[i].worker.name, 'n', WORKER_NAME_MAX);
        }
        events.n = 1;
        events.events[0].type = EVENT_EPISODE_ENDED;
        report(f, &events);

        ended = find_entry(f, MESSAGE_EPISODE_ENDED, 0);
        g_assert_nonnull(ended);
        assert_samples(ended, episode);
        assert_field(ended, "END_USEC", "%" PRIu64, UINT64_MAX);
        assert_field(ended, "OUTCOME", "recovered");
        g_assert_cmpuint(count(ended, "ALSO_SPINNING"), ==, EPISODE_ALSO_SPINNING_MAX);
        n = count(ended, "WORKER");
        g_test_message("%u of %u workers", n, EPISODE_WORKERS_MAX);
        g_assert_cmpuint(n, >=, 16);
}

/* A pause is reported with the time that is left. */
static void test_still_paused(Fixture *f, gconstpointer data) {
        EngineEvents events = { .n = 2 };

        if (skips())
                return;
        events.events[0] = (EngineEvent){ .type = EVENT_STILL_PAUSED,
                                          .usec = 2 * USEC_PER_HOUR,
                                          .left_usec = USEC_PER_HOUR };
        events.events[1] = (EngineEvent){ .type = EVENT_STILL_PAUSED,
                                          .usec = USEC_PER_HOUR,
                                          .left_usec = USEC_INFINITY };
        report(f, &events);
        g_assert_cmpuint(f->n_entries, ==, 2);
        assert_field(&f->entries[0], "MESSAGE", "Paused for 2h: no automatic sync for another 1h");
        assert_field(&f->entries[0], "PRIORITY", "5");
        assert_field(&f->entries[1], "MESSAGE", "Paused for 1h: no automatic sync until resumed");
}

#define ADD(path, test) g_test_add("/report/" path, Fixture, NULL, set_up, test, tear_down)

int main(int argc, char **argv) {
        isolated = geteuid() == 0 && isolate(0) >= 0;
        g_test_init(&argc, &argv, NULL);

        ADD("episode", test_episode);
        ADD("killed", test_killed);
        ADD("judged-early", test_judged_early);
        ADD("nothing-to-sync", test_nothing_to_sync);
        ADD("adopted", test_adopted);
        ADD("largest", test_largest);
        ADD("still-paused", test_still_paused);

        return g_test_run();
}
