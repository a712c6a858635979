/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The engine, driven by a clock of the test's own: no kernel, no bus, no waiting. */

#include <glib.h>
#include <stdio.h>

#include "engine.h"
#include "load.h"

#define WORK "inode_switch_wbs"
#define OTHER_WORK "inode_switch_wbs2"
#define SECONDS(n) ((uint64_t) ((n) *1e6))
#define NEVER USEC_INFINITY

#define GROUPS_MAX (TALLIES_MAX + 16)
#define GROUP_WORKERS_MAX 1000
#define TURNS_MAX 4
#define WORKERS_MAX 4096
#define SYNCS_MAX 256
#define EVENT_TYPES (EVENT_UNHELPFUL_CHANGED + 1)

/* Workers of one work. The first n_spinning of its threads spin, the next ones wait. */
typedef struct Group {
        const char *work;
        uint32_t n_spinning, n_waiting;
        double cpus;                   /* how many CPUs the spinning ones use together */
        unsigned turn;                 /* which threads run the work now: others in each turn */
        uint64_t used_usec[TURNS_MAX]; /* the CPU time that each thread of a turn has used */
} Group;

/* The answers to a sync: how long each part takes, and what ends the stall of all works. */
typedef struct Answers {
        uint64_t filesystems_usec; /* NEVER: they hang */
        uint64_t everything_usec;
        bool no_filesystems, one_fails;
        bool filesystems_cure, everything_cures;
        uint64_t cure_usec; /* so long after the answer */
} Answers;

typedef struct Fixture {
        Engine *engine;
        Settings settings;
        Moment now;
        unsigned n_cpus;

        Group groups[GROUPS_MAX];
        size_t n_groups;
        Worker workers[WORKERS_MAX];
        size_t n_workers;
        bool failing;            /* scans see nothing at all */
        const Group *at_confirm; /* what the first group has become when EVENT_CONFIRM is answered */

        Evidence evidence; /* figures of the kernel */
        Answers answers;
        uint64_t filesystems_at_usec, everything_at_usec, cure_at_usec; /* NEVER: not due */

        /* What the engine said. */
        EngineEvents events; /* of the last input */
        uint64_t count[EVENT_TYPES];
        uint64_t when_usec[EVENT_TYPES]; /* the last one */
        Sync last[EVENT_TYPES];
        EngineEvent waiting, still_paused;
        Episode ended, shown;
        uint64_t syncs_usec[SYNCS_MAX]; /* the starts of the first syncs, dry runs included */
        EngineRule rules[SYNCS_MAX];

        /* What follows from it, kept apart from the engine. */
        bool syncing, everything, confirm_due, confirming;
        Sync sync;
        uint64_t n_sync_ids, n_judged, n_real, n_failed_scans;
        bool in_episode;
        uint64_t n_episode_ids;

        /* Before the input. */
        EngineState state_before;
        uint32_t unhelpful_before, inhibitors_before;
        uint64_t paused_before_usec, recovery_before_usec;
} Fixture;

static void start(Fixture *f, unsigned n_cpus) {
        if (f->engine)
                engine_free(f->engine);
        memset(f, 0, sizeof(*f));

        settings_init(&f->settings);
        f->now = (Moment){ .monotonic_usec = SECONDS(1000), .realtime_usec = SECONDS(1700000000) };
        f->n_cpus = n_cpus;
        f->answers = (Answers){ .filesystems_usec = SECONDS(0.4), .everything_usec = SECONDS(0.5) };
        f->filesystems_at_usec = f->everything_at_usec = f->cure_at_usec = NEVER;
        g_assert_cmpint(engine_new(&f->settings, n_cpus, f->now, &f->engine), ==, 0);
}

static void set_up(Fixture *f, gconstpointer data) {
        start(f, 8);
}

static void tear_down(Fixture *f, gconstpointer data) {
        engine_free(f->engine);
}

/* The world */

static Group *group(Fixture *f, size_t index) {
        for (; f->n_groups <= index; f->n_groups++)
                f->groups[f->n_groups] = (Group){ .work = f->n_groups == 0 ? WORK : OTHER_WORK, .cpus = 1 };
        return &f->groups[index];
}

/* From now on so many workers of the index-th work spin and wait. */
static void run_workers(Fixture *f, size_t index, uint32_t n_spinning, uint32_t n_waiting) {
        group(f, index)->n_spinning = n_spinning;
        group(f, index)->n_waiting = n_waiting;
}

static void build_group(Fixture *f, size_t index, const Group *g) {
        for (uint32_t i = 0; i < g->n_spinning + g->n_waiting; i++) {
                Worker *worker = &f->workers[f->n_workers++];

                g_assert_cmpuint(f->n_workers, <=, WORKERS_MAX);
                *worker = (Worker){
                        .pid = (pid_t) (index * TURNS_MAX + g->turn % TURNS_MAX) * GROUP_WORKERS_MAX +
                               (pid_t) i + 10,
                        .start_time = 100,
                        .cpu_usec = SECONDS(500) + g->used_usec[g->turn % TURNS_MAX],
                        .state = i < g->n_spinning ? 'R' : 'D',
                };
                (void) snprintf(worker->name, sizeof(worker->name), "kworker/0:1+%s", g->work);
        }
}

static void build_workers(Fixture *f, const Group *first) {
        f->n_workers = 0;
        for (size_t i = 0; i < f->n_groups; i++)
                build_group(f, i, i == 0 && first ? first : &f->groups[i]);
}

static void advance(Fixture *f, uint64_t usec) {
        f->now.monotonic_usec += usec;
        f->now.realtime_usec += usec;

        for (size_t i = 0; i < f->n_groups; i++) {
                Group *g = &f->groups[i];

                if (g->n_spinning > 0)
                        g->used_usec[g->turn % TURNS_MAX] +=
                                        (uint64_t) ((double) usec * g->cpus / g->n_spinning);
        }
}

/* Inputs, and what must hold after each of them */

static void begin_input(Fixture *f) {
        f->events.n = 0;
        f->state_before = engine_state(f->engine);
        f->unhelpful_before = engine_syncs_unhelpful(f->engine);
        f->paused_before_usec = engine_paused_until_usec(f->engine);
        f->inhibitors_before = engine_n_inhibitors(f->engine);
        f->recovery_before_usec = engine_recovery_end_usec(f->engine);
}

static void check_state(const Fixture *f) {
        EngineState state = engine_state(f->engine);
        bool paused = engine_paused_until_usec(f->engine) > 0 || engine_n_inhibitors(f->engine) > 0;

        g_assert_cmpint(f->syncing, ==, engine_sync(f->engine) != NULL);
        g_assert_cmpint(f->syncing, ==, state == ENGINE_SYNCING);
        if (!f->syncing)
                g_assert_cmpint(paused, ==, state == ENGINE_PAUSED);
        if (state == ENGINE_RECOVERY)
                g_assert_cmpuint(engine_recovery_end_usec(f->engine), >, 0);
        if (state != f->state_before)
                g_assert_nonnull(engine_events_find(&f->events, EVENT_STATE_CHANGED));
        g_assert_cmpint(f->in_episode, ==, engine_episode(f->engine) != NULL);
        g_assert_cmpuint(engine_sync_count(f->engine), ==, f->n_real);
        g_assert_cmpuint(engine_next_sync_id(f->engine), ==, f->n_sync_ids + 1);
        g_assert_cmpint(engine_syncs_unhelpful(f->engine) != f->unhelpful_before, ==,
                        engine_events_find(&f->events, EVENT_UNHELPFUL_CHANGED) != NULL);
}

static bool notes(const Episode *episode, const char *work) {
        for (size_t i = 0; i < episode->n_also_spinning; i++)
                if (strstr(episode->also_spinning[i], work))
                        return true;

        return episode->n_also_spinning == EPISODE_ALSO_SPINNING_MAX;
}

static bool frees_somebody(const Fixture *f) {
        const Episode *episode = engine_episode(f->engine);

        for (size_t i = 0; episode && i < f->n_workers; i++) {
                const char *work_of_worker = worker_name_work(f->workers[i].name);

                if (!worker_spins(&f->workers[i]) && !f->settings.count_waiting)
                        continue;
                if (streq(episode->work, work_of_worker) || notes(episode, work_of_worker))
                        return true;
        }

        return false;
}

/* A sync that nobody requested. */
static void check_automatic_sync(const Fixture *f) {
        g_assert_true(f->confirming);
        g_assert_true(frees_somebody(f));
        g_assert_cmpuint(f->paused_before_usec, ==, 0);
        g_assert_cmpuint(f->inhibitors_before, ==, 0);
        g_assert_cmpuint(f->recovery_before_usec, <=, f->now.monotonic_usec);
}

static void on_sync_started(Fixture *f, const Sync *sync) {
        g_assert_false(f->syncing);
        g_assert_cmpuint(sync->id, ==, f->n_sync_ids + 1);
        g_assert_cmpuint(sync->start.monotonic_usec, ==, f->now.monotonic_usec);
        g_assert_cmpint(sync->result, ==, SYNC_PENDING);
        if (sync->rule != RULE_NONE)
                check_automatic_sync(f);

        if (f->n_sync_ids < SYNCS_MAX) {
                f->syncs_usec[f->n_sync_ids] = f->now.monotonic_usec;
                f->rules[f->n_sync_ids] = sync->rule;
        }
        f->syncing = true;
        f->everything = false;
        f->sync = *sync;
        f->n_sync_ids++;
        if (!sync->dry_run)
                f->n_real++;

        if (sync->dry_run)
                return;

        if (sync->method == SYNC_METHOD_SYNC)
                f->everything_at_usec = usec_add(f->now.monotonic_usec, f->answers.everything_usec);
        else
                f->filesystems_at_usec = usec_add(f->now.monotonic_usec, f->answers.filesystems_usec);
}

static void on_sync_everything(Fixture *f, const Sync *sync) {
        g_assert_true(f->syncing);
        g_assert_false(f->everything);
        g_assert_cmpuint(sync->id, ==, f->sync.id);
        g_assert_false(sync->dry_run);
        g_assert_cmpint(sync->method, ==, SYNC_METHOD_AUTO);

        f->everything = true;
        f->everything_at_usec = usec_add(f->now.monotonic_usec, f->answers.everything_usec);
}

static void on_sync_ended(Fixture *f, const Sync *sync) {
        g_assert_true(f->syncing);
        g_assert_cmpuint(sync->id, ==, f->sync.id);
        g_assert_cmpint(sync->dry_run, ==, f->sync.dry_run);
        f->syncing = false;
        f->filesystems_at_usec = f->everything_at_usec = NEVER;
}

static void on_sync_judged(Fixture *f, const Sync *sync) {
        g_assert_cmpuint(sync->id, >, f->n_judged);
        g_assert_cmpuint(sync->id, <=, f->n_sync_ids);
        g_assert_cmpint(sync->helped, !=, HELPED_PENDING);
        f->n_judged = sync->id;
}

/* Valid until the next call. */
static const Episode *ended_episode(Fixture *f, size_t index) {
        engine_ended_episode(f->engine, index, &f->shown);
        return &f->shown;
}

static void on_episode_started(Fixture *f) {
        const Episode *episode = &f->events.episode;

        g_assert_false(f->in_episode);
        g_assert_null(engine_events_find(&f->events, EVENT_EPISODE_ENDED));
        g_assert_cmpuint(episode->id, ==, ++f->n_episode_ids);
        g_assert_cmpint(episode->outcome, ==, OUTCOME_ONGOING);
        g_assert_cmpuint(episode->start.monotonic_usec, ==, f->now.monotonic_usec);
        g_assert_cmpuint(episode->end.monotonic_usec, ==, 0);
        g_assert_cmpint(episode->rule, !=, RULE_NONE);
        g_assert_cmpstr(episode->work, !=, "");
        f->in_episode = true;
}

static void on_episode_ended(Fixture *f) {
        const Episode *episode = &f->events.episode;

        g_assert_true(f->in_episode);
        g_assert_cmpuint(episode->id, ==, f->n_episode_ids);
        g_assert_cmpint(episode->outcome, !=, OUTCOME_ONGOING);
        g_assert_cmpuint(episode->end.monotonic_usec, >=, episode->start.monotonic_usec);
        g_assert_cmpuint(episode->end.monotonic_usec, <=, f->now.monotonic_usec);
        g_assert_cmpuint(ended_episode(f, engine_n_episodes(f->engine) - 1)->id, ==, episode->id);
        f->in_episode = false;
        f->ended = *episode;
}

static void on_event(Fixture *f, const EngineEvent *event) {
        switch (event->type) {
        case EVENT_CONFIRM:
                f->confirm_due = true;
                break;
        case EVENT_SYNC_STARTED:
                on_sync_started(f, &event->sync);
                break;
        case EVENT_SYNC_EVERYTHING:
                on_sync_everything(f, &event->sync);
                break;
        case EVENT_SYNC_ENDED:
                on_sync_ended(f, &event->sync);
                break;
        case EVENT_SYNC_JUDGED:
                on_sync_judged(f, &event->sync);
                break;
        case EVENT_WAITING:
                f->waiting = *event;
                break;
        case EVENT_EPISODE_STARTED:
                on_episode_started(f);
                break;
        case EVENT_EPISODE_ENDED:
                on_episode_ended(f);
                break;
        case EVENT_STILL_PAUSED:
                f->still_paused = *event;
                break;
        case EVENT_UNCONFIRMED:
        case EVENT_SYNCS_UNHELPFUL:
        case EVENT_STATE_CHANGED:
        case EVENT_PAUSE_CHANGED:
        case EVENT_INHIBITORS_CHANGED:
        case EVENT_UNHELPFUL_CHANGED:
                break;
        }
}

static void end_input(Fixture *f) {
        g_assert_cmpuint(f->events.n, <=, ENGINE_EVENTS_MAX);
        if (engine_events_want_evidence(&f->events))
                engine_note_evidence(f->engine, &f->evidence, &f->events);

        for (size_t i = 0; i < f->events.n; i++) {
                const EngineEvent *event = &f->events.events[i];

                g_assert_cmpuint(event->type, <, EVENT_TYPES);
                f->count[event->type]++;
                f->when_usec[event->type] = f->now.monotonic_usec;
                f->last[event->type] = event->sync;
                on_event(f, event);
        }
        check_state(f);
}

/* Answers EVENT_CONFIRM, and then a dry run's sync, as the manager does. */
static void confirm(Fixture *f) {
        if (!f->confirm_due)
                return;

        f->confirm_due = false;
        build_workers(f, f->at_confirm);
        begin_input(f);
        f->confirming = true;
        engine_confirm(f->engine, f->now, f->workers, f->n_workers, &f->events);
        end_input(f);
        f->confirming = false;
        g_assert_false(f->confirm_due);
}

static void end_sync_with(Fixture *f, SyncResult result) {
        f->everything_at_usec = NEVER;
        begin_input(f);
        engine_sync_ended(f->engine, f->now, result, &f->events);
        end_input(f);
}

static void end_dry_run(Fixture *f) {
        while (f->syncing && f->sync.dry_run)
                end_sync_with(f, SYNC_PENDING);
}

static void scan(Fixture *f) {
        bool exact;

        begin_input(f);
        if (f->failing) {
                f->n_failed_scans++;
                engine_scan_failed(f->engine, f->now, &f->events);
        } else {
                build_workers(f, NULL);
                engine_scan(f->engine, f->now, f->workers, f->n_workers, &f->events);
        }
        end_input(f);
        confirm(f);
        end_dry_run(f);

        /* Otherwise the loop would scan again and again. */
        g_assert_cmpuint(engine_wake_usec(f->engine, &exact), >, f->now.monotonic_usec);
}

static void filesystems_answer_with(Fixture *f, SyncResult result, uint32_t n) {
        FilesystemSync filesystems[SYNC_FILESYSTEMS_MAX] = {};

        for (uint32_t i = 0; i < n; i++) {
                (void) snprintf(filesystems[i].mountpoint, sizeof(filesystems[i].mountpoint), "/srv/%u", i);
                g_strlcpy(filesystems[i].type, "ext4", sizeof(filesystems[i].type));
                filesystems[i].duration_usec = f->answers.filesystems_usec;
                filesystems[i].result = FILESYSTEM_OK;
        }
        if (f->answers.one_fails) {
                filesystems[0].result = FILESYSTEM_FAILED;
                result = SYNC_FAILED;
        }

        f->filesystems_at_usec = NEVER;
        begin_input(f);
        engine_filesystems_synced(f->engine, f->now, n > 0, result, filesystems, n, &f->events);
        end_input(f);
}

static void request_sync(Fixture *f) {
        begin_input(f);
        engine_request_sync(f->engine, f->now, &f->events);
        end_input(f);
}

static void pause_for(Fixture *f, uint64_t usec) {
        begin_input(f);
        engine_pause(f->engine, f->now, usec, &f->events);
        end_input(f);
}

static void resume(Fixture *f) {
        begin_input(f);
        engine_resume(f->engine, f->now, &f->events);
        end_input(f);
}

static void inhibit(Fixture *f, uint32_t n) {
        begin_input(f);
        engine_set_inhibitors(f->engine, f->now, n, &f->events);
        end_input(f);
        g_assert_cmpuint(engine_n_inhibitors(f->engine), ==, n);
}

static void set(Fixture *f, SettingId id, const char *value) {
        _cleanup_free_ char *error = NULL;

        g_assert_cmpint(settings_set_text(&f->settings, id, value, ORIGIN_FILE, &error), ==, 0);
        begin_input(f);
        engine_set_settings(f->engine, f->now, &f->settings, &f->events);
        end_input(f);
}

/* Time */

static uint64_t wake_usec(const Fixture *f) {
        bool exact;

        return engine_wake_usec(f->engine, &exact);
}

static uint64_t next_usec(const Fixture *f) {
        uint64_t next = MIN(wake_usec(f), f->cure_at_usec);

        next = MIN(next, MIN(f->filesystems_at_usec, f->everything_at_usec));
        return MAX(next, f->now.monotonic_usec);
}

static void cure_when_due(Fixture *f) {
        if (f->now.monotonic_usec < f->cure_at_usec)
                return;

        f->cure_at_usec = NEVER;
        for (size_t i = 0; i < f->n_groups; i++)
                f->groups[i].n_spinning = f->groups[i].n_waiting = 0;
}

static void cure_later(Fixture *f, bool cures) {
        if (cures)
                f->cure_at_usec = f->now.monotonic_usec + f->answers.cure_usec;
}

/* What is due by now. */
static void work(Fixture *f) {
        uint64_t now_usec = f->now.monotonic_usec;

        cure_when_due(f);
        if (f->filesystems_at_usec <= now_usec) {
                cure_later(f, f->answers.filesystems_cure);
                filesystems_answer_with(f, SYNC_OK, f->answers.no_filesystems ? 0 : 2);
        }
        if (f->everything_at_usec <= now_usec) {
                cure_later(f, f->answers.everything_cures);
                end_sync_with(f, SYNC_OK);
        }
        cure_when_due(f);
        if (wake_usec(f) <= now_usec)
                scan(f);
}

static void run(Fixture *f, uint64_t usec) {
        uint64_t end_usec = f->now.monotonic_usec + usec;

        for (;;) {
                uint64_t next = next_usec(f);

                if (next > end_usec)
                        break;
                advance(f, next - f->now.monotonic_usec);
                work(f);
        }
        advance(f, end_usec - f->now.monotonic_usec);
}

/* Runs until the engine says that. Returns how long it took: NEVER where that is longer than limit_usec. */
static uint64_t run_until(Fixture *f, EngineEventType type, uint64_t limit_usec) {
        uint64_t begin_usec = f->now.monotonic_usec, n = f->count[type];

        while (f->count[type] == n) {
                uint64_t next = next_usec(f);

                if (next > begin_usec + limit_usec) {
                        advance(f, begin_usec + limit_usec - f->now.monotonic_usec);
                        return NEVER;
                }
                advance(f, next - f->now.monotonic_usec);
                work(f);
        }

        return f->now.monotonic_usec - begin_usec;
}

/* Runs until the next scan, usec from now, even if the engine is idle. */
static void run_to_scan(Fixture *f, uint64_t usec) {
        if (wake_usec(f) > f->now.monotonic_usec + usec)
                engine_thread_created(f->engine, f->now);
        run(f, usec);
}

/* Each digit of the pattern is how many workers of a work spin at one scan, a second after the one before. */
static void run_pattern(Fixture *f, size_t index, const char *pattern, unsigned seconds) {
        for (unsigned i = 0; i < seconds; i++) {
                run_workers(f, index, (uint32_t) (pattern[i % strlen(pattern)] - '0'), 0);
                run_to_scan(f, SECONDS(1));
        }
}

/* The first scan that finds so many: a thread creation event has made it due. */
static void begin(Fixture *f, uint32_t n_spinning, uint32_t n_waiting) {
        run_workers(f, 0, n_spinning, n_waiting);
        engine_thread_created(f->engine, f->now);
        advance(f, next_usec(f) - f->now.monotonic_usec);
        scan(f);
}

/* A crowd that is detected, and whose sync has begun. */
static void begin_crowd(Fixture *f) {
        begin(f, 12, 0);
        g_assert_cmpuint(run_until(f, EVENT_SYNC_STARTED, SECONDS(10)), !=, NEVER);
}

static void be_cured_by_filesystems(Fixture *f) {
        f->answers.filesystems_cure = true;
        f->answers.cure_usec = SECONDS(0.2);
}

#define assert_state(f, expected)                                                                            \
        g_assert_cmpstr(engine_state_to_string(engine_state((f)->engine)), ==, expected)

#define assert_none(f, type) g_assert_cmpuint((f)->count[type], ==, 0)
#define assert_once(f, type) g_assert_cmpuint((f)->count[type], ==, 1)

/* When a work is stuck */

static void test_idle(Fixture *f, gconstpointer data) {
        bool exact;

        scan(f);
        assert_state(f, "idle");
        g_assert_cmpuint(engine_wake_usec(f->engine, &exact), ==, f->now.monotonic_usec + SECONDS(10));
        g_assert_false(exact);

        begin(f, 1, 1);
        assert_state(f, "busy");
        g_assert_cmpuint(engine_n_spinning(f->engine), ==, 1);
        g_assert_cmpuint(engine_n_waiting(f->engine), ==, 1);
        g_assert_cmpuint(engine_wake_usec(f->engine, &exact), ==, f->now.monotonic_usec + SECONDS(1));
        g_assert_true(exact);

        run_workers(f, 0, 0, 0);
        run(f, SECONDS(20));
        assert_state(f, "idle");
        g_assert_cmpuint(engine_n_spinning(f->engine) + engine_n_waiting(f->engine), ==, 0);
}

static void test_intervals(Fixture *f, gconstpointer data) {
        static const struct {
                const char *poll, *crowd_threshold;
                uint64_t expected_usec;
        } cases[] = {
                { "1s", "10s", SECONDS(1) },  { "100ms", "10s", SECONDS(0.1) }, { "1min", "10s", SECONDS(2) },
                { "1s", "1s", SECONDS(0.2) }, { "1min", "1h", SECONDS(60) },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                start(f, 8);
                set(f, SETTING_THRESHOLD, "1d");
                set(f, SETTING_POLL_INTERVAL, cases[i].poll);
                set(f, SETTING_CROWD_THRESHOLD, cases[i].crowd_threshold);
                begin(f, 1, 0);
                g_assert_cmpuint(wake_usec(f) - f->now.monotonic_usec, ==, cases[i].expected_usec);
        }
}

static void test_crowd_times(Fixture *f, gconstpointer data) {
        static const struct {
                unsigned n_cpus;
                uint32_t n_spinning;
                uint64_t expected_usec;
        } cases[] = {
                /* 4 in force */
                { 8, 3, NEVER },
                { 8, 4, SECONDS(9) },
                { 8, 5, SECONDS(7) },
                { 8, 6, SECONDS(6) },
                { 8, 8, SECONDS(4) },
                { 8, 10, SECONDS(3) },
                { 8, 12, SECONDS(3) },
                { 8, 44, SECONDS(3) },
                { 8, 1000, SECONDS(3) },
                /* 3 in force */
                { 4, 2, NEVER },
                { 4, 3, SECONDS(9) },
                { 4, 9, SECONDS(3) },
                { 4, 100, SECONDS(3) },
                /* 1.5 in force */
                { 2, 1, NEVER },
                { 2, 2, SECONDS(7) },
                { 2, 3, SECONDS(4) },
                { 2, 44, SECONDS(3) },
                { 1, 2, SECONDS(7) },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                start(f, cases[i].n_cpus);
                set(f, SETTING_THRESHOLD, "1d");
                begin(f, cases[i].n_spinning, 0);
                g_test_message("%u CPUs, %u spinning", cases[i].n_cpus, cases[i].n_spinning);
                g_assert_cmpuint(
                                run_until(f, EVENT_EPISODE_STARTED, SECONDS(300)), ==,
                                cases[i].expected_usec);
                if (cases[i].expected_usec == NEVER) {
                        assert_none(f, EVENT_CONFIRM);
                        assert_none(f, EVENT_SYNC_STARTED);
                        continue;
                }

                assert_once(f, EVENT_SYNC_STARTED);
                g_assert_cmpint(f->last[EVENT_SYNC_STARTED].rule, ==, RULE_CROWD);
                g_assert_cmpuint(f->last[EVENT_SYNC_STARTED].worker_count, ==, cases[i].n_spinning);
                g_assert_cmpint(engine_episode(f->engine)->rule, ==, RULE_CROWD);
                g_assert_cmpstr(engine_episode(f->engine)->work, ==, WORK);
        }
}

/* A scan counts for three times the crowd size at most. */
static void test_burst(Fixture *f, gconstpointer data) {
        run_pattern(f, 0, "10", 60);
        run_workers(f, 0, 44, 0);
        run(f, SECONDS(1));
        run_pattern(f, 0, "10", 60);
        assert_none(f, EVENT_EPISODE_STARTED);

        run_workers(f, 0, 1000, 0);
        run(f, SECONDS(1));
        run_pattern(f, 0, "10", 60);
        assert_none(f, EVENT_EPISODE_STARTED);
        assert_none(f, EVENT_CONFIRM);
}

static void test_snapshots(Fixture *f, gconstpointer data) {
        /* The process was stopped in between. */
        for (unsigned i = 0; i < 60; i++) {
                begin(f, 44, 0);
                advance(f, SECONDS(60));
        }
        assert_none(f, EVENT_EPISODE_STARTED);
        assert_none(f, EVENT_CONFIRM);

        start(f, 8);
        for (unsigned i = 0; i < 600; i++) {
                begin(f, 2, 0);
                advance(f, SECONDS(7));
        }
        assert_none(f, EVENT_EPISODE_STARTED);
}

static void test_cpu_time(Fixture *f, gconstpointer data) {
        static const struct {
                uint32_t n_spinning;
                double cpus;
                bool stuck;
        } cases[] = {
                { 12, 0, false },  { 12, .1, false }, { 12, .15, false }, { 12, .3, true },  { 12, 6, true },
                { 4, .15, false }, { 4, .3, true },   { 1, 0, false },    { 1, .15, false }, { 1, .3, true },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                start(f, 8);
                group(f, 0)->cpus = cases[i].cpus;
                g_test_message("%u spinning use %g CPUs", cases[i].n_spinning, cases[i].cpus);
                begin(f, cases[i].n_spinning, 0);
                run(f, cases[i].stuck ? SECONDS(35) : SECONDS(600));
                g_assert_cmpuint(f->count[EVENT_EPISODE_STARTED], ==, cases[i].stuck ? 1 : 0);
                if (!cases[i].stuck)
                        assert_none(f, EVENT_CONFIRM);
        }
}

/* The CPU time that workers used before they were seen proves nothing. */
static void test_cpu_time_of_before(Fixture *f, gconstpointer data) {
        group(f, 0)->cpus = 0;
        for (unsigned i = 0; i < 100; i++) {
                group(f, 0)->turn++;
                begin(f, 12, 0);
                run(f, SECONDS(3));
        }
        assert_none(f, EVENT_EPISODE_STARTED);
}

static void test_waiting(Fixture *f, gconstpointer data) {
        static const uint32_t counts[] = { 1, 8, 300 };

        for (size_t i = 0; i < ELEMENTSOF(counts); i++) {
                start(f, 2);
                begin(f, 0, counts[i]);
                g_assert_cmpuint(run_until(f, EVENT_WAITING, SECONDS(60)), ==, SECONDS(30));
                g_assert_cmpuint(f->waiting.count, ==, counts[i]);
                g_assert_cmpuint(f->waiting.usec, ==, SECONDS(30));
                g_assert_cmpstr(worker_name_work(f->waiting.worker.name), ==, WORK);

                run(f, SECONDS(3600));
                assert_once(f, EVENT_WAITING);
                assert_none(f, EVENT_EPISODE_STARTED);
                assert_none(f, EVENT_CONFIRM);
                assert_state(f, "busy");
        }

        /* Others, an hour later, are reported again. */
        run_workers(f, 0, 0, 0);
        run(f, SECONDS(3600));
        begin(f, 0, 1);
        g_assert_cmpuint(run_until(f, EVENT_WAITING, SECONDS(60)), ==, SECONDS(30));
}

/* Waiting in between counts neither as spinning nor as one long wait. */
static void test_waiting_in_turns(Fixture *f, gconstpointer data) {
        for (unsigned i = 0; i < 60; i++) {
                run_workers(f, 0, i % 2 == 0 ? 1 : 0, i % 2 == 0 ? 7 : 8);
                run_to_scan(f, SECONDS(1));
        }
        assert_none(f, EVENT_EPISODE_STARTED);

        start(f, 8);
        for (unsigned i = 0; i < 60; i++) {
                run_workers(f, 0, i % 10 == 0 ? 1 : 0, i % 10 == 0 ? 0 : 1);
                run_to_scan(f, SECONDS(1));
        }
        assert_none(f, EVENT_EPISODE_STARTED);
        assert_none(f, EVENT_WAITING);
}

static void test_count_waiting(Fixture *f, gconstpointer data) {
        set(f, SETTING_COUNT_WAITING, "yes");
        begin(f, 0, 12);
        g_assert_cmpuint(run_until(f, EVENT_SYNC_STARTED, SECONDS(60)), ==, SECONDS(3));
        g_assert_cmpint(f->last[EVENT_SYNC_STARTED].rule, ==, RULE_CROWD);

        start(f, 8);
        set(f, SETTING_COUNT_WAITING, "yes");
        begin(f, 0, 1);
        g_assert_cmpuint(run_until(f, EVENT_SYNC_STARTED, SECONDS(60)), <=, SECONDS(30));
        g_assert_cmpint(f->last[EVENT_SYNC_STARTED].rule, ==, RULE_WORKER);
}

static void test_poll_interval(Fixture *f, gconstpointer data) {
        static const char *const intervals[] = { "100ms", "250ms", "1s", "2s", "1min" };
        static const uint32_t counts[] = { 4, 6, 14 };

        /* Scans every second see a worker up to a second after it began. */
        for (size_t i = 0; i < ELEMENTSOF(counts); i++) {
                uint64_t expected_usec;

                start(f, 8);
                begin(f, counts[i], 0);
                expected_usec = run_until(f, EVENT_EPISODE_STARTED, SECONDS(15)) + SECONDS(1);

                for (size_t k = 0; k < ELEMENTSOF(intervals); k++) {
                        start(f, 8);
                        set(f, SETTING_POLL_INTERVAL, intervals[k]);
                        begin(f, counts[i], 0);
                        g_test_message("%u spinning, scans every %s", counts[i], intervals[k]);
                        g_assert_cmpuint(run_until(f, EVENT_EPISODE_STARTED, SECONDS(60)), <=, expected_usec);
                }
        }

        /* With the gaps that workers show at a batch's end: a scan in ten finds none. */
        start(f, 8);
        set(f, SETTING_POLL_INTERVAL, "100ms");
        for (unsigned i = 0; f->count[EVENT_EPISODE_STARTED] == 0; i++) {
                g_assert_cmpuint(i, <, 110);
                run_workers(f, 0, i % 10 < 2 ? 0 : 8, 0);
                run_to_scan(f, SECONDS(0.1));
        }
}

static void run_other_works(Fixture *f, size_t n, uint32_t n_spinning) {
        static char names[GROUPS_MAX][40];

        for (size_t i = 1; i <= n; i++) {
                (void) snprintf(names[i], sizeof(names[i]), WORK "_%zu", i);
                group(f, i)->work = names[i];
                group(f, i)->cpus = 0.01;
                run_workers(f, i, n_spinning, 0);
        }
}

static void test_many_works(Fixture *f, gconstpointer data) {
        static const size_t counts[] = { 15, 16, LOADS_MAX - 1, LOADS_MAX, LOADS_MAX + 14, GROUPS_MAX - 2 };

        for (size_t i = 0; i < ELEMENTSOF(counts); i++) {
                start(f, 8);
                group(f, 0);
                run_other_works(f, counts[i], 1);
                scan(f);
                run(f, SECONDS(20));

                /* The last one in a scan, and the first one. */
                group(f, counts[i] + 1)->work = "crowd";
                run_workers(f, counts[i] + 1, 14, 0);
                scan(f);
                g_test_message("%zu other works", counts[i]);
                g_assert_cmpuint(run_until(f, EVENT_EPISODE_STARTED, SECONDS(10)), !=, NEVER);
                g_assert_cmpstr(engine_episode(f->engine)->work, ==, "crowd");

                start(f, 8);
                group(f, 0);
                run_other_works(f, counts[i], 1);
                scan(f);
                run(f, SECONDS(20));
                begin(f, 14, 0);
                g_assert_cmpuint(run_until(f, EVENT_EPISODE_STARTED, SECONDS(10)), !=, NEVER);
                g_assert_cmpstr(engine_episode(f->engine)->work, ==, WORK);
        }
}

/* Waiting workers that count are as many as spinning ones. */
static void test_many_works_that_wait(Fixture *f, gconstpointer data) {
        set(f, SETTING_COUNT_WAITING, "yes");
        set(f, SETTING_THRESHOLD, "1d");
        group(f, 0);
        run_other_works(f, LOADS_MAX, 1);
        scan(f);
        run(f, SECONDS(20));
        run_workers(f, 0, 0, 14);
        scan(f);
        g_assert_cmpuint(run_until(f, EVENT_EPISODE_STARTED, SECONDS(20)), !=, NEVER);
        g_assert_cmpstr(engine_episode(f->engine)->work, ==, WORK);
}

static void test_works_are_judged_apart(Fixture *f, gconstpointer data) {
        /* Three workers each of many works are no crowd. */
        run_workers(f, 0, 3, 0);
        run_other_works(f, 10, 3);
        for (size_t i = 1; i <= 10; i++)
                f->groups[i].cpus = 1;
        set(f, SETTING_THRESHOLD, "1d");
        scan(f);
        run(f, SECONDS(300));
        assert_none(f, EVENT_EPISODE_STARTED);
}

/* The rule of a work that has gone holds no longer for another one that runs. */
static void test_other_work_is_not_synced_for(Fixture *f, gconstpointer data) {
        pause_for(f, USEC_INFINITY);
        begin(f, 44, 0);
        g_assert_cmpuint(run_until(f, EVENT_EPISODE_STARTED, SECONDS(10)), !=, NEVER);
        g_assert_cmpstr(engine_episode(f->engine)->work, ==, WORK);

        run_workers(f, 0, 0, 0);
        run_workers(f, 1, 1, 0);
        resume(f);
        run(f, SECONDS(20));
        assert_none(f, EVENT_CONFIRM);
        assert_none(f, EVENT_SYNC_STARTED);
        assert_once(f, EVENT_EPISODE_ENDED);
}

static void test_crowd_size(Fixture *f, gconstpointer data) {
        static const struct {
                unsigned n_cpus;
                const char *set;
                double expected;
        } cases[] = {
                { 1, NULL, 1.5 },  { 2, NULL, 1.5 }, { 3, NULL, 2.25 },  { 4, NULL, 3 },
                { 5, NULL, 3.75 }, { 6, NULL, 4 },   { 64, NULL, 4 },    { 1, "4", 4 },
                { 2, "1", 1 },     { 64, "4", 4 },   { 64, "100", 100 }, { 2, "0", 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                start(f, cases[i].n_cpus);
                if (cases[i].set)
                        set(f, SETTING_CROWD_SIZE, cases[i].set);
                g_assert_cmpfloat_with_epsilon(engine_crowd_size(f->engine), cases[i].expected, 1e-9);
        }
}

static void test_crowd_off(Fixture *f, gconstpointer data) {
        set(f, SETTING_CROWD_SIZE, "0");
        set(f, SETTING_THRESHOLD, "1d");
        begin(f, 100, 0);
        run(f, SECONDS(600));
        assert_none(f, EVENT_EPISODE_STARTED);

        /* The other rule holds nevertheless. */
        start(f, 8);
        set(f, SETTING_CROWD_SIZE, "0");
        begin(f, 100, 0);
        g_assert_cmpuint(run_until(f, EVENT_EPISODE_STARTED, SECONDS(30)), >=, SECONDS(26));
        g_assert_cmpint(engine_episode(f->engine)->rule, ==, RULE_WORKER);
}

static void test_cpus_change(Fixture *f, gconstpointer data) {
        set(f, SETTING_THRESHOLD, "1d");
        begin(f, 2, 0);
        run(f, SECONDS(60));
        assert_none(f, EVENT_EPISODE_STARTED);

        engine_set_cpus(f->engine, 2);
        g_assert_cmpfloat_with_epsilon(engine_crowd_size(f->engine), 1.5, 1e-9);
        g_assert_cmpuint(run_until(f, EVENT_EPISODE_STARTED, SECONDS(8)), !=, NEVER);

        /* A size that somebody set stays. */
        set(f, SETTING_CROWD_SIZE, "3");
        engine_set_cpus(f->engine, 1);
        g_assert_cmpfloat_with_epsilon(engine_crowd_size(f->engine), 3, 1e-9);
}

/* Linux 6.1 on two CPUs: one worker on each at most, with gaps. */
static void test_two_cpus(Fixture *f, gconstpointer data) {
        static const char *const patterns[] = { "2221222021", "2222022102", "2202212122" };

        for (size_t i = 0; i < ELEMENTSOF(patterns); i++) {
                start(f, 2);
                group(f, 0)->cpus = 1.6;
                run_pattern(f, 0, patterns[i], 15);
                g_test_message("%s", patterns[i]);
                assert_once(f, EVENT_EPISODE_STARTED);
                assert_once(f, EVENT_SYNC_STARTED);
        }
}

static void test_flickering_crowd(Fixture *f, gconstpointer data) {
        /* Every third scan finds nobody, on average it is a crowd of 6. */
        run_pattern(f, 0, "990", 12);
        assert_once(f, EVENT_EPISODE_STARTED);
        g_assert_cmpint(engine_episode(f->engine)->rule, ==, RULE_CROWD);

        /* One of two is too little: 3.5 on average. */
        start(f, 8);
        run_pattern(f, 0, "70", 300);
        assert_none(f, EVENT_EPISODE_STARTED);
}

static void test_worker_rule(Fixture *f, gconstpointer data) {
        begin(f, 1, 0);
        g_assert_cmpuint(run_until(f, EVENT_EPISODE_STARTED, SECONDS(60)), ==, SECONDS(26));
        assert_once(f, EVENT_SYNC_STARTED);
        g_assert_cmpint(f->last[EVENT_SYNC_STARTED].rule, ==, RULE_WORKER);
        g_assert_cmpuint(f->last[EVENT_SYNC_STARTED].longest_run_usec, ==, SECONDS(26));
        g_assert_cmpint(engine_episode(f->engine)->rule, ==, RULE_WORKER);
        g_assert_cmpuint(engine_longest_run(f->engine)->since_usec, ==, f->now.monotonic_usec - SECONDS(26));
}

/* An idle scan stands for more time than it saw, but not for a short threshold. */
static void test_worker_rule_at_an_idle_scan(Fixture *f, gconstpointer data) {
        static const struct {
                const char *threshold, *crowd_size;
                uint64_t run_usec_min;
        } cases[] = {
                { "1s", "4", SECONDS(0.7) },
                { "1s", "0", SECONDS(0.7) },
                { "5s", "4", SECONDS(3) },
                { "30s", "0", SECONDS(20) },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                start(f, 8);
                set(f, SETTING_THRESHOLD, cases[i].threshold);
                set(f, SETTING_CROWD_SIZE, cases[i].crowd_size);
                set(f, SETTING_COUNT_WAITING, "yes");
                scan(f);
                run(f, SECONDS(9));
                run_workers(f, 0, 0, 1);
                g_assert_cmpuint(run_until(f, EVENT_SYNC_STARTED, SECONDS(60)), !=, NEVER);
                g_test_message("ThresholdSec=%s, CrowdSize=%s", cases[i].threshold, cases[i].crowd_size);
                g_assert_cmpuint(f->last[EVENT_SYNC_STARTED].longest_run_usec, >=, cases[i].run_usec_min);
        }
}

static void test_worker_rule_with_gaps(Fixture *f, gconstpointer data) {
        static const struct {
                const char *pattern;
                bool stuck;
        } cases[] = {
                { "1111111111", true },  { "11111111111111111110", true },
                { "1111111110", true },  { "11110", false },
                { "1110", false },       { "10", false },
                { "1111110", false },    { "1111111100", false },
                { "0000100000", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                start(f, 8);
                run_pattern(f, 0, cases[i].pattern, cases[i].stuck ? 45 : 600);
                g_test_message("%s", cases[i].pattern);
                g_assert_cmpuint(f->count[EVENT_EPISODE_STARTED], ==, cases[i].stuck ? 1 : 0);
        }
}

/* One worker after the other runs the work, each for so many seconds. */
static void test_worker_rule_in_turns(Fixture *f, gconstpointer data) {
        static const unsigned turns[] = { 10, 5, 2 };

        for (size_t i = 0; i < ELEMENTSOF(turns); i++) {
                start(f, 8);
                for (unsigned k = 0; k < 31; k++) {
                        group(f, 0)->turn = k / turns[i];
                        run_workers(f, 0, 1, 0);
                        run_to_scan(f, SECONDS(1));
                }
                g_test_message("turns of %u s", turns[i]);
                assert_once(f, EVENT_EPISODE_STARTED);
                g_assert_cmpint(f->last[EVENT_SYNC_STARTED].rule, ==, RULE_WORKER);
        }
}

static void test_crowd_in_turns(Fixture *f, gconstpointer data) {
        for (unsigned i = 0; i < 10; i++) {
                group(f, 0)->turn = i / 2;
                run_workers(f, 0, 6, 0);
                run_to_scan(f, SECONDS(1));
        }
        assert_once(f, EVENT_EPISODE_STARTED);
        g_assert_cmpint(engine_episode(f->engine)->rule, ==, RULE_CROWD);
}

static void test_age_does_not_count(Fixture *f, gconstpointer data) {
        /* A suspended machine ages nobody: only CLOCK_REALTIME goes on, and may jump. */
        begin(f, 1, 0);
        run(f, SECONDS(10));
        f->now.realtime_usec += USEC_PER_DAY;
        run(f, SECONDS(10));
        f->now.realtime_usec -= 2 * USEC_PER_DAY;
        assert_none(f, EVENT_EPISODE_STARTED);
        g_assert_cmpuint(run_until(f, EVENT_EPISODE_STARTED, SECONDS(60)), ==, SECONDS(6));
}

static void test_reused_pid(Fixture *f, gconstpointer data) {
        size_t n;

        begin(f, 1, 0);
        run(f, SECONDS(5));
        g_assert_cmpuint(engine_run_usec(f->engine, engine_longest_run(f->engine)), ==, SECONDS(5));

        /* The same pid runs another work: a new run. */
        f->groups[0].work = OTHER_WORK;
        run(f, SECONDS(1));
        g_assert_cmpuint(engine_run_usec(f->engine, engine_longest_run(f->engine)), ==, 0);
        g_assert_cmpstr(engine_runs(f->engine, &n)[0].worker.name, ==, "kworker/0:1+" OTHER_WORK);
        g_assert_cmpuint(n, ==, 1);

        /* And a thread that changes its work every 20 s is not stuck. */
        for (unsigned i = 0; i < 10; i++) {
                f->groups[0].work = i % 2 ? OTHER_WORK : WORK;
                run(f, SECONDS(20));
        }
        assert_none(f, EVENT_EPISODE_STARTED);
}

/* Confirmation */

static void expect_unconfirmed(Fixture *f, const Group *at_confirm) {
        begin(f, 12, 0);
        f->at_confirm = at_confirm;
        g_assert_cmpuint(run_until(f, EVENT_CONFIRM, SECONDS(10)), !=, NEVER);
        assert_once(f, EVENT_UNCONFIRMED);
        assert_none(f, EVENT_SYNC_STARTED);
        g_assert_null(engine_sync(f->engine));

        /* It was between two batches. */
        f->at_confirm = NULL;
        g_assert_cmpuint(run_until(f, EVENT_SYNC_STARTED, SECONDS(10)), !=, NEVER);
        assert_once(f, EVENT_UNCONFIRMED);
}

static void test_unconfirmed(Fixture *f, gconstpointer data) {
        static const Group nobody = { .work = WORK }, waits = { .work = WORK, .n_waiting = 12 },
                           other = { .work = OTHER_WORK, .n_spinning = 12 };

        expect_unconfirmed(f, &nobody);
        start(f, 8);
        expect_unconfirmed(f, &waits);
        start(f, 8);
        expect_unconfirmed(f, &other);

        /* Somebody else still runs, but not this work. */
        start(f, 8);
        run_workers(f, 1, 1, 0);
        expect_unconfirmed(f, &nobody);
}

static void test_confirmed_by_another_worker(Fixture *f, gconstpointer data) {
        static const Group another = { .work = WORK, .n_spinning = 1, .turn = 1 };

        begin(f, 12, 0);
        f->at_confirm = &another;
        run(f, SECONDS(5));
        assert_none(f, EVENT_UNCONFIRMED);
        assert_once(f, EVENT_SYNC_STARTED);
}

/* A crowd, up to the scan that wants to be confirmed. */
static void scan_until_confirm(Fixture *f) {
        begin(f, 12, 0);
        while (f->count[EVENT_CONFIRM] == 0) {
                advance(f, wake_usec(f) - f->now.monotonic_usec);
                build_workers(f, NULL);
                begin_input(f);
                engine_scan(f->engine, f->now, f->workers, f->n_workers, &f->events);
                end_input(f);
        }
}

static void test_pause_between_scan_and_confirm(Fixture *f, gconstpointer data) {
        scan_until_confirm(f);
        pause_for(f, USEC_INFINITY);
        confirm(f);
        assert_none(f, EVENT_SYNC_STARTED);
}

static void test_inhibitor_between_scan_and_confirm(Fixture *f, gconstpointer data) {
        scan_until_confirm(f);
        inhibit(f, 1);
        confirm(f);
        assert_none(f, EVENT_SYNC_STARTED);
}

/* Without valid scans */

static void test_failed_scans(Fixture *f, gconstpointer data) {
        begin(f, 1, 0);
        run(f, SECONDS(10));
        f->failing = true;
        run(f, SECONDS(60));
        assert_none(f, EVENT_EPISODE_STARTED);
        assert_state(f, "busy");

        /* The 16 s that are missing: not more, and not less. */
        f->failing = false;
        run(f, SECONDS(14));
        assert_none(f, EVENT_EPISODE_STARTED);
        g_assert_cmpuint(run_until(f, EVENT_EPISODE_STARTED, SECONDS(4)), !=, NEVER);

        /* Not seeing anybody does not end it. */
        f->failing = true;
        run(f, SECONDS(120));
        assert_none(f, EVENT_EPISODE_ENDED);

        f->failing = false;
        run_workers(f, 0, 0, 0);
        g_assert_cmpuint(run_until(f, EVENT_EPISODE_ENDED, SECONDS(7)), !=, NEVER);
}

static void test_failed_scans_of_a_crowd(Fixture *f, gconstpointer data) {
        /* A scan in two fails: after 15 s half of the worker-seconds that it takes have been seen. */
        for (unsigned i = 0; i < 15; i++) {
                f->failing = i % 2 == 1;
                run_workers(f, 0, 4, 0);
                run_to_scan(f, SECONDS(1));
        }
        assert_none(f, EVENT_EPISODE_STARTED);

        start(f, 8);
        f->failing = true;
        begin(f, 44, 0);
        run(f, SECONDS(600));
        assert_none(f, EVENT_EPISODE_STARTED);
        g_assert_cmpuint(engine_n_spinning(f->engine), ==, 0);
}

/* Episodes */

static void test_episode_ends(Fixture *f, gconstpointer data) {
        static const struct {
                uint32_t n;
                EngineRule rule;
        } cases[] = { { 1, RULE_WORKER }, { 4, RULE_CROWD }, { 12, RULE_CROWD }, { 44, RULE_CROWD } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint64_t last_usec;

                start(f, 8);
                pause_for(f, USEC_INFINITY);
                begin(f, cases[i].n, 0);
                run(f, SECONDS(60));
                assert_once(f, EVENT_EPISODE_STARTED);
                assert_none(f, EVENT_EPISODE_ENDED);

                last_usec = f->now.monotonic_usec;
                run_workers(f, 0, 0, 0);
                g_assert_cmpuint(run_until(f, EVENT_EPISODE_ENDED, SECONDS(30)), <=, SECONDS(6));
                g_assert_cmpint(f->ended.rule, ==, cases[i].rule);
                g_assert_cmpint(f->ended.outcome, ==, OUTCOME_CLEARED);
                g_assert_cmpuint(f->ended.end.monotonic_usec, ==, last_usec);
                g_assert_cmpuint(f->ended.spinning_max, ==, cases[i].n);
                g_assert_cmpuint(f->ended.waiting_max, ==, 0);
                g_assert_cmpuint(f->ended.worker_max, ==, cases[i].n);
                g_assert_cmpuint(f->ended.sync_count, ==, 0);
        }
}

static void test_episode_is_not_ended_by_gaps(Fixture *f, gconstpointer data) {
        pause_for(f, USEC_INFINITY);
        begin(f, 12, 0);
        run(f, SECONDS(10));
        assert_once(f, EVENT_EPISODE_STARTED);

        /* Two scans in a row without anybody, as in the recorded stalls. */
        run_pattern(f, 0, "90089", 300);
        assert_once(f, EVENT_EPISODE_STARTED);
        assert_none(f, EVENT_EPISODE_ENDED);
}

/* The worker of the stall of 2026 waits for an instant again and again. A scan a second would find just that.
 */
static void test_waits_for_an_instant(Fixture *f, gconstpointer data) {
        pause_for(f, USEC_INFINITY);
        begin(f, 1, 0);
        g_assert_cmpuint(run_until(f, EVENT_EPISODE_STARTED, SECONDS(60)), !=, NEVER);

        for (unsigned i = 0; i < 60; i++) {
                bool waits = i % 4 == 3;

                run_workers(f, 0, waits ? 0 : 1, waits ? 1 : 0);
                run(f, SECONDS(0.25));
        }
        assert_none(f, EVENT_EPISODE_ENDED);
}

static void test_healthy_work_keeps_no_episode_open(Fixture *f, gconstpointer data) {
        static const char *const patterns[] = { "10", "01", "10100", "1000", "0110000" };
        static const uint32_t counts[] = { 1, 12 };

        for (size_t k = 0; k < ELEMENTSOF(counts); k++)
                for (size_t i = 0; i < ELEMENTSOF(patterns); i++) {
                        start(f, 8);
                        pause_for(f, USEC_INFINITY);
                        begin(f, counts[k], 0);
                        run(f, SECONDS(40));
                        assert_once(f, EVENT_EPISODE_STARTED);

                        g_test_message("%u, then %s", counts[k], patterns[i]);
                        run_pattern(f, 0, patterns[i], 8);
                        assert_once(f, EVENT_EPISODE_ENDED);
                        run_pattern(f, 0, patterns[i], 600);
                        assert_once(f, EVENT_EPISODE_STARTED);
                }
}

/* However soon after another one a stall begins, it is detected in time. */
static void test_soon_after_another(Fixture *f, gconstpointer data) {
        for (uint64_t gap_usec = 0; gap_usec <= SECONDS(8); gap_usec += SECONDS(0.1)) {
                start(f, 8);
                set(f, SETTING_THRESHOLD, "1s");
                set(f, SETTING_POLL_INTERVAL, "100ms");
                pause_for(f, USEC_INFINITY);
                begin(f, 1, 0);
                g_assert_cmpuint(run_until(f, EVENT_EPISODE_STARTED, SECONDS(5)), <=, SECONDS(1.1));
                run_workers(f, 0, 0, 0);
                g_assert_cmpuint(run_until(f, EVENT_EPISODE_ENDED, SECONDS(10)), !=, NEVER);
                run(f, gap_usec);

                g_test_message("after %" G_GUINT64_FORMAT " ms", gap_usec / USEC_PER_MSEC);
                begin(f, 1, 0);
                g_assert_cmpuint(run_until(f, EVENT_EPISODE_STARTED, SECONDS(5)), <=, SECONDS(1.1));
        }
}

static void test_other_works_keep_no_episode_open(Fixture *f, gconstpointer data) {
        pause_for(f, USEC_INFINITY);
        begin(f, 12, 0);
        run(f, SECONDS(10));
        run_workers(f, 0, 0, 0);
        run_workers(f, 1, 3, 0);
        run(f, SECONDS(8));
        assert_once(f, EVENT_EPISODE_ENDED);
}

static void test_waiting_keeps_it_open_during_our_sync(Fixture *f, gconstpointer data) {
        uint64_t last_usec;

        f->answers.filesystems_usec = NEVER;
        begin_crowd(f);
        run(f, SECONDS(3));
        last_usec = f->now.monotonic_usec;
        run_workers(f, 0, 0, 12);
        run(f, SECONDS(60));
        assert_none(f, EVENT_EPISODE_ENDED);
        assert_state(f, "syncing");

        /* Our sync has ended: now they wait for something else. */
        filesystems_answer_with(f, SYNC_OK, 1);
        run(f, SECONDS(15));
        assert_once(f, EVENT_EPISODE_ENDED);
        g_assert_cmpuint(f->ended.end.monotonic_usec, ==, last_usec);
        g_assert_cmpint(f->ended.outcome, ==, OUTCOME_RECOVERED);
        g_assert_cmpuint(f->ended.waiting_max, ==, 12);
        g_assert_cmpuint(f->ended.spinning_max, ==, 12);

        /* Without a sync of ours it ends. */
        start(f, 8);
        pause_for(f, USEC_INFINITY);
        begin(f, 12, 0);
        run(f, SECONDS(10));
        run_workers(f, 0, 0, 12);
        g_assert_cmpuint(run_until(f, EVENT_EPISODE_ENDED, SECONDS(8)), !=, NEVER);
}

static void test_one_episode_at_a_time(Fixture *f, gconstpointer data) {
        pause_for(f, USEC_INFINITY);
        begin(f, 12, 0);
        run(f, SECONDS(10));
        run_workers(f, 1, 12, 0);
        run(f, SECONDS(20));
        assert_once(f, EVENT_EPISODE_STARTED);
        g_assert_cmpstr(engine_episode(f->engine)->work, ==, WORK);
        g_assert_true(notes(engine_episode(f->engine), OTHER_WORK));
        g_assert_cmpuint(engine_episode(f->engine)->n_also_spinning, ==, 1);

        /* The other one goes on, and gets an episode of its own. */
        run_workers(f, 0, 0, 0);
        run(f, SECONDS(7));
        assert_once(f, EVENT_EPISODE_ENDED);
        g_assert_cmpstr(f->ended.work, ==, WORK);
        run(f, SECONDS(15));
        g_assert_cmpuint(f->count[EVENT_EPISODE_STARTED], ==, 2);
        g_assert_cmpstr(engine_episode(f->engine)->work, ==, OTHER_WORK);
}

/* One sync serves all works. */
static void test_one_sync_for_all_works(Fixture *f, gconstpointer data) {
        be_cured_by_filesystems(f);
        run_workers(f, 1, 12, 0);
        begin(f, 12, 0);
        run(f, SECONDS(60));
        assert_once(f, EVENT_SYNC_STARTED);
        g_assert_cmpuint(f->count[EVENT_EPISODE_STARTED], ==, f->count[EVENT_EPISODE_ENDED]);
}

static void test_others_are_noted(Fixture *f, gconstpointer data) {
        Worker others[EPISODE_ALSO_SPINNING_MAX + 4] = {};

        for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                others[i] = (Worker){ .pid = 7, .state = 'R' };
                (void) snprintf(others[i].name, sizeof(others[i].name), "kworker/u8:%zu+other", i);
        }

        /* Outside of an episode there is nothing to note them in. */
        engine_note_others(f->engine, others, ELEMENTSOF(others));

        pause_for(f, USEC_INFINITY);
        begin(f, 12, 0);
        run(f, SECONDS(10));
        engine_note_others(f->engine, others, 1);
        engine_note_others(f->engine, others, 1);
        g_assert_cmpuint(engine_episode(f->engine)->n_also_spinning, ==, 1);
        g_assert_cmpstr(engine_episode(f->engine)->also_spinning[0], ==, others[0].name);
        engine_note_others(f->engine, others, ELEMENTSOF(others));
        g_assert_cmpuint(engine_episode(f->engine)->n_also_spinning, ==, EPISODE_ALSO_SPINNING_MAX);
}

static void test_longest_runs_are_kept(Fixture *f, gconstpointer data) {
        const Episode *episode;

        /* One more each second; all stay. */
        set(f, SETTING_CROWD_SIZE, "0");
        pause_for(f, USEC_INFINITY);
        for (uint32_t i = 1; i <= EPISODE_WORKERS_MAX + 8; i++) {
                run_workers(f, 0, i, 0);
                run_to_scan(f, SECONDS(1));
        }

        episode = engine_episode(f->engine);
        g_assert_cmpuint(episode->n_workers, ==, EPISODE_WORKERS_MAX);
        g_assert_cmpint(episode->workers[0].worker.pid, ==, 10);
        for (size_t i = 0; i < episode->n_workers; i++) {
                g_assert_cmpint(episode->workers[i].worker.pid, <, 10 + EPISODE_WORKERS_MAX);
                if (i > 0)
                        g_assert_cmpuint(episode->workers[i].run_usec, <=, episode->workers[i - 1].run_usec);
        }
        g_assert_cmpuint(episode->workers[0].run_usec, ==, SECONDS(EPISODE_WORKERS_MAX + 7));
        g_assert_cmpuint(episode->worker_max, ==, EPISODE_WORKERS_MAX + 8);
}

static void test_longest_runs_come_late(Fixture *f, gconstpointer data) {
        const Episode *episode;

        /* The table is full of short runs when the long ones come. */
        pause_for(f, USEC_INFINITY);
        begin(f, 100, 0);
        run(f, SECONDS(5));
        assert_once(f, EVENT_EPISODE_STARTED);
        group(f, 0)->turn = 1;
        run_workers(f, 0, 12, 0);
        run(f, SECONDS(60));

        episode = engine_episode(f->engine);
        g_assert_cmpuint(episode->n_workers, ==, EPISODE_WORKERS_MAX);
        for (size_t i = 0; i < 12; i++) {
                g_assert_cmpint(episode->workers[i].worker.pid, >=, GROUP_WORKERS_MAX + 10);
                g_assert_cmpuint(episode->workers[i].run_usec, >=, SECONDS(58));
        }
        g_assert_cmpuint(episode->worker_max, ==, 100);
}

static void test_cpu_time_of_an_episode(Fixture *f, gconstpointer data) {
        group(f, 0)->cpus = 0.5;
        pause_for(f, USEC_INFINITY);
        begin(f, 1, 0);
        run(f, SECONDS(60));
        assert_once(f, EVENT_EPISODE_STARTED);
        g_assert_cmpuint(engine_episode(f->engine)->n_workers, ==, 1);
        g_assert_cmpuint(engine_episode(f->engine)->workers[0].cpu_usec, >=, SECONDS(16));
        g_assert_cmpuint(engine_episode(f->engine)->workers[0].cpu_usec, <=, SECONDS(30.5));
        g_assert_cmpuint(engine_episode(f->engine)->workers[0].run_usec, ==, SECONDS(60));
}

static void assert_evidence(const Evidence *evidence, uint64_t dirty, uint64_t workers_cpu) {
        g_assert_true(evidence_has(evidence, EVIDENCE_DIRTY));
        g_assert_cmpuint(evidence->values[EVIDENCE_DIRTY], ==, dirty);
        g_assert_false(evidence_has(evidence, EVIDENCE_WRITEBACK));
        g_assert_true(evidence_has(evidence, EVIDENCE_WORKERS_CPU));
        g_assert_cmpuint(evidence->values[EVIDENCE_WORKERS_CPU], >=, workers_cpu * 9 / 10);
        g_assert_cmpuint(evidence->values[EVIDENCE_WORKERS_CPU], <=, workers_cpu * 11 / 10);
}

/* The episode has that of its beginning, and each of its syncs its own; so have the copies in the events. */
static void test_evidence(Fixture *f, gconstpointer data) {
        const Episode *episode;
        const Sync *syncs;

        group(f, 0)->cpus = 2;
        f->answers.everything_cures = true;
        f->answers.cure_usec = SECONDS(10);
        evidence_set(&f->evidence, EVIDENCE_DIRTY, 1000);
        begin_crowd(f);
        assert_evidence(&f->last[EVENT_SYNC_STARTED].evidence, 1000, 20000);
        assert_evidence(&f->events.episode.evidence, 1000, 20000);

        /* Another one, as soon as this one ends. */
        evidence_set(&f->evidence, EVIDENCE_DIRTY, 2000);
        request_sync(f);
        run(f, SECONDS(60));
        assert_once(f, EVENT_EPISODE_ENDED);

        episode = ended_episode(f, 0);
        syncs = episode->syncs;
        assert_evidence(&episode->evidence, 1000, 20000);
        g_assert_cmpuint(episode->n_syncs, >=, 2);
        assert_evidence(&syncs[0].evidence, 1000, 20000);
        assert_evidence(&syncs[episode->n_syncs - 1].evidence, 2000, 20000);
        assert_evidence(&f->ended.evidence, 1000, 20000);
}

/* Outside of an episode there are no workers of it. */
static void test_evidence_without_episode(Fixture *f, gconstpointer data) {
        evidence_set(&f->evidence, EVIDENCE_DIRTY, 0);
        request_sync(f);
        g_assert_cmpuint(f->last[EVENT_SYNC_STARTED].evidence.present, ==, 1u << EVIDENCE_DIRTY);
        g_assert_cmpuint(engine_sync(f->engine)->evidence.present, ==, 1u << EVIDENCE_DIRTY);
}

/* What else spins is noted after the event, and reported with it. */
static void test_others_at_the_beginning(Fixture *f, gconstpointer data) {
        pause_for(f, USEC_INFINITY);
        run_workers(f, 1, 12, 0);
        begin(f, 13, 0);
        g_assert_cmpuint(run_until(f, EVENT_EPISODE_STARTED, SECONDS(10)), !=, NEVER);
        g_assert_cmpuint(f->events.episode.n_also_spinning, ==, 1);
}

/* The samples cover the whole episode at equal distances, however long it is. */
static void test_samples(Fixture *f, gconstpointer data) {
        static const unsigned seconds[] = { 1, SAMPLES_MAX - 1, SAMPLES_MAX, 2 * SAMPLES_MAX, 12345 };

        for (size_t i = 0; i < ELEMENTSOF(seconds); i++) {
                const Samples *samples;
                uint64_t step_usec;

                start(f, 8);
                pause_for(f, USEC_INFINITY);
                begin(f, 12, 3);
                g_assert_cmpuint(run_until(f, EVENT_EPISODE_STARTED, SECONDS(10)), !=, NEVER);
                run(f, SECONDS(seconds[i]));

                samples = &engine_episode(f->engine)->samples;
                g_assert_cmpuint(samples->n, <=, SAMPLES_MAX);
                g_assert_cmpuint(samples->n, >, MIN(seconds[i], SAMPLES_MAX / 2));
                step_usec = EPISODE_SCAN_USEC << samples->n_halved;
                g_assert_cmpuint(step_usec * samples->n, >, SECONDS(seconds[i]));
                g_assert_cmpuint(step_usec * (samples->n - 1), <=, SECONDS(seconds[i]));
                for (uint32_t k = 0; k < samples->n; k++) {
                        const Sample *sample = &samples->samples[k];

                        g_assert_cmpuint(
                                        episode_sample_usec(engine_episode(f->engine), sample), ==,
                                        engine_episode(f->engine)->start.realtime_usec + k * step_usec);
                        g_assert_cmpuint(sample->n_spinning, ==, 12);
                        g_assert_cmpuint(sample->n_waiting, ==, 3);
                }
        }
}

/* The last samples have the end; the history keeps them. */
static void test_samples_of_an_ended_episode(Fixture *f, gconstpointer data) {
        const Samples *samples;

        be_cured_by_filesystems(f);
        begin_crowd(f);
        run(f, SECONDS(60));
        samples = &ended_episode(f, 0)->samples;
        g_assert_cmpuint(samples->n, >=, 3);
        g_assert_cmpuint(samples->samples[0].n_spinning, ==, 12);
        g_assert_cmpuint(samples->samples[samples->n - 1].n_spinning, ==, 0);
        g_assert_cmpmem(samples->samples, samples->n * sizeof(Sample), f->ended.samples.samples,
                        f->ended.samples.n * sizeof(Sample));
}

static void assert_same_episode(const Episode *a, const Episode *b) {
        g_autofree uint8_t *packed_a = g_malloc(EPISODE_PACKED_MAX), *packed_b = g_malloc(EPISODE_PACKED_MAX);

        episode_pack(a, packed_a);
        episode_pack(b, packed_b);
        g_assert_cmpmem(packed_a, episode_packed_size(a), packed_b, episode_packed_size(b));
}

/* The newest ones are kept, whatever room each needs. */
static void test_history(Fixture *f, gconstpointer data) {
        static Episode episodes[ENGINE_EPISODES_MAX + 6];

        be_cured_by_filesystems(f);
        for (unsigned i = 0; i < ELEMENTSOF(episodes); i++) {
                begin(f, 5 + i * 7 % 30, i % 3);
                g_assert_cmpuint(run_until(f, EVENT_SYNC_STARTED, SECONDS(10)), !=, NEVER);
                run(f, SECONDS(60));
                g_assert_cmpint(f->ended.outcome, ==, OUTCOME_RECOVERED);
                /* Its sync has ended after it. */
                episodes[i] = *ended_episode(f, engine_n_episodes(f->engine) - 1);
                g_assert_cmpuint(episodes[i].id, ==, i + 1);
                g_assert_cmpint(episodes[i].syncs[0].result, ==, SYNC_OK);
                g_assert_cmpuint(episode_packed_size(&episodes[i]), <, EPISODE_PACKED_MAX / 2);
        }
        for (size_t i = 0; i < ENGINE_EPISODES_MAX; i++)
                assert_same_episode(ended_episode(f, i), &episodes[i + 6]);
        g_assert_cmpuint(engine_n_episodes(f->engine), ==, ENGINE_EPISODES_MAX);
        g_assert_cmpuint(ended_episode(f, 0)->id, ==, 7);
        g_assert_cmpuint(ended_episode(f, ENGINE_EPISODES_MAX - 1)->id, ==, ENGINE_EPISODES_MAX + 6);
}

static void test_many_workers(Fixture *f, gconstpointer data) {
        uint64_t begin_usec = f->now.monotonic_usec;
        size_t n;

        for (size_t i = 0; i < 4; i++) {
                group(f, i)->work = WORK;
                run_workers(f, i, GROUP_WORKERS_MAX, 0);
        }
        scan(f);
        (void) engine_runs(f->engine, &n);
        g_assert_cmpuint(n, >=, ENGINE_RUNS_MAX / 2);
        g_assert_cmpuint(n, <=, ENGINE_RUNS_MAX);
        g_assert_cmpuint(engine_n_spinning(f->engine), ==, 4 * GROUP_WORKERS_MAX);
        g_assert_cmpuint(run_until(f, EVENT_EPISODE_STARTED, SECONDS(10)), !=, NEVER);
        g_assert_cmpuint(engine_episode(f->engine)->worker_max, ==, 4 * GROUP_WORKERS_MAX);
        g_assert_cmpuint(
                        f->last[EVENT_SYNC_STARTED].longest_run_usec, ==, f->now.monotonic_usec - begin_usec);
}

/* The largest stall that was ever reported had 2,000 workers: far more than runs are kept. */
static void test_many_workers_on_one_cpu(Fixture *f, gconstpointer data) {
        start(f, 1);
        for (size_t i = 0; i < 2; i++) {
                group(f, i)->work = WORK;
                f->groups[i].cpus = 0.45;
                run_workers(f, i, GROUP_WORKERS_MAX, 0);
        }
        engine_thread_created(f->engine, f->now);
        g_assert_cmpuint(run_until(f, EVENT_EPISODE_STARTED, SECONDS(15)), !=, NEVER);
}

/* Of very many workers the longest runs are kept, whatever their pids are. */
static void test_longest_of_many_runs(Fixture *f, gconstpointer data) {
        pause_for(f, USEC_INFINITY);
        group(f, 0);
        group(f, 1)->work = WORK;
        run_workers(f, 1, 1, 0);
        scan(f);
        run(f, SECONDS(20));
        for (unsigned i = 0; i < 20; i++) {
                group(f, 0)->turn = i;
                run_workers(f, 0, GROUP_WORKERS_MAX, 0);
                run(f, SECONDS(1));
        }
        g_assert_cmpuint(engine_run_usec(f->engine, engine_longest_run(f->engine)), ==, SECONDS(40));
}

/* Syncs, and whether they help */

static void test_outcomes(Fixture *f, gconstpointer data) {
        static const struct {
                uint64_t cure_usec; /* after the end of the sync */
                SyncHelped helped;
        } cases[] = {
                { 0, HELPED_YES },
                { SECONDS(1), HELPED_YES },
                { SECONDS(3.1), HELPED_YES },
                { SECONDS(4.2), HELPED_YES },
                { SECONDS(8), HELPED_NO },
                { SECONDS(20), HELPED_NO },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                bool helped = cases[i].helped == HELPED_YES;

                start(f, 8);
                set(f, SETTING_SYNC_METHOD, "sync");
                f->answers.everything_cures = true;
                f->answers.cure_usec = cases[i].cure_usec;
                begin_crowd(f);
                run(f, SECONDS(28));

                g_test_message("over %g s after the sync", (double) cases[i].cure_usec / 1e6);
                assert_once(f, EVENT_SYNC_STARTED);
                assert_once(f, EVENT_SYNC_ENDED);
                assert_once(f, EVENT_SYNC_JUDGED);
                assert_once(f, EVENT_EPISODE_ENDED);
                g_assert_cmpint(f->last[EVENT_SYNC_JUDGED].helped, ==, cases[i].helped);
                g_assert_cmpint(f->ended.outcome, ==, helped ? OUTCOME_RECOVERED : OUTCOME_OUTLIVED);
                g_assert_cmpuint(f->ended.sync_count, ==, 1);
                g_assert_cmpuint(f->ended.n_syncs, ==, 1);
                g_assert_cmpint(f->ended.syncs[0].helped, ==, cases[i].helped);
                g_assert_cmpint(f->ended.syncs[0].result, ==, SYNC_OK);
                g_assert_cmpuint(f->ended.syncs[0].episode_id, ==, f->ended.id);
                g_assert_cmpuint(engine_syncs_unhelpful(f->engine), ==, helped ? 0 : 1);
        }
}

static void test_ends_while_syncing(Fixture *f, gconstpointer data) {
        f->answers.filesystems_usec = SECONDS(60);
        begin_crowd(f);
        run(f, SECONDS(20));
        run_workers(f, 0, 0, 0);
        run(f, SECONDS(10));
        assert_once(f, EVENT_EPISODE_ENDED);
        g_assert_cmpint(f->ended.outcome, ==, OUTCOME_RECOVERED);
        assert_state(f, "syncing");

        /* The stall is over when they answer: nothing more to do. */
        run(f, SECONDS(60));
        assert_once(f, EVENT_SYNC_ENDED);
        assert_none(f, EVENT_SYNC_EVERYTHING);
        g_assert_cmpint(ended_episode(f, 0)->syncs[0].result, ==, SYNC_OK);
        g_assert_cmpint(ended_episode(f, 0)->syncs[0].helped, ==, HELPED_YES);
        g_assert_cmpuint(engine_syncs_unhelpful(f->engine), ==, 0);
}

/* A requested sync frees the stall that is detected while it is under way. */
static void test_requested_before_the_rule(Fixture *f, gconstpointer data) {
        be_cured_by_filesystems(f);
        f->answers.filesystems_usec = SECONDS(3.5);
        begin(f, 12, 0);
        request_sync(f);
        run(f, SECONDS(3));
        assert_once(f, EVENT_EPISODE_STARTED);
        run(f, SECONDS(20));
        assert_once(f, EVENT_SYNC_STARTED);
        assert_once(f, EVENT_EPISODE_ENDED);
        g_assert_cmpint(f->ended.outcome, ==, OUTCOME_RECOVERED);
        g_assert_cmpuint(f->ended.n_syncs, ==, 1);
        g_assert_cmpuint(f->ended.sync_count, ==, 1);
        g_assert_cmpint(f->ended.syncs[0].rule, ==, RULE_NONE);
}

static void test_cleared(Fixture *f, gconstpointer data) {
        pause_for(f, USEC_INFINITY);
        begin(f, 12, 0);
        run(f, SECONDS(10));
        g_assert_cmpint(engine_episode(f->engine)->outcome, ==, OUTCOME_ONGOING);
        run_workers(f, 0, 0, 0);
        run(f, SECONDS(10));
        g_assert_cmpint(f->ended.outcome, ==, OUTCOME_CLEARED);
        g_assert_cmpuint(f->ended.n_syncs, ==, 0);
}

/* The second of two syncs helps. */
static void test_helped_later(Fixture *f, gconstpointer data) {
        begin_crowd(f);
        run(f, SECONDS(15));
        be_cured_by_filesystems(f);
        run(f, SECONDS(120));
        g_assert_cmpuint(f->n_sync_ids, ==, 2);
        g_assert_cmpint(f->ended.outcome, ==, OUTCOME_RECOVERED);
        g_assert_cmpint(f->ended.syncs[0].helped, ==, HELPED_NO);
        g_assert_cmpint(f->ended.syncs[1].helped, ==, HELPED_YES);
        g_assert_cmpuint(f->ended.sync_count, ==, 2);
        g_assert_cmpuint(engine_syncs_unhelpful(f->engine), ==, 0);
}

/* A sync that is requested at the end of another one says nothing of that one: the stall ends a moment after
 * both. */
static void test_requested_at_the_end_of_another(Fixture *f, gconstpointer data) {
        set(f, SETTING_SYNC_METHOD, "sync");
        f->answers.everything_cures = true;
        f->answers.cure_usec = SECONDS(2);
        begin_crowd(f);
        request_sync(f);
        run(f, SECONDS(20));
        g_assert_cmpuint(f->n_sync_ids, ==, 2);
        assert_once(f, EVENT_EPISODE_ENDED);
        g_assert_cmpint(f->ended.syncs[0].helped, ==, HELPED_YES);
        g_assert_cmpuint(engine_syncs_unhelpful(f->engine), ==, 0);
}

/* One filesystem fails, as on a dying disk, and the others are synced: that counts as a sync. */
static void test_one_filesystem_fails(Fixture *f, gconstpointer data) {
        set(f, SETTING_SYNC_METHOD, "syncfs");
        f->answers.one_fails = true;
        begin_crowd(f);
        run(f, SECONDS(3600));
        g_assert_cmpint(engine_last_sync(f->engine)->result, ==, SYNC_FAILED);
        g_assert_cmpint(f->last[EVENT_SYNC_JUDGED].helped, ==, HELPED_NO);
        assert_once(f, EVENT_SYNCS_UNHELPFUL);
        g_assert_cmpuint(f->n_sync_ids, <=, 8);

        start(f, 8);
        set(f, SETTING_SYNC_METHOD, "syncfs");
        f->answers.one_fails = true;
        be_cured_by_filesystems(f);
        begin_crowd(f);
        run(f, SECONDS(20));
        g_assert_cmpint(f->ended.outcome, ==, OUTCOME_RECOVERED);
}

/* A dry run does not hide the real sync before it. */
static void test_dry_run_after_a_sync(Fixture *f, gconstpointer data) {
        set(f, SETTING_RECOVERY, "0");
        set(f, SETTING_SYNC_METHOD, "sync");
        begin_crowd(f);
        run(f, SECONDS(1));
        set(f, SETTING_DRY_RUN, "yes");
        run(f, SECONDS(30));
        g_assert_cmpuint(engine_episode(f->engine)->n_syncs, >=, 2);
        g_assert_cmpuint(engine_episode(f->engine)->sync_count, ==, 1);
        g_assert_cmpint(engine_episode(f->engine)->syncs[0].helped, ==, HELPED_NO);
        g_assert_cmpuint(engine_syncs_unhelpful(f->engine), ==, 1);
}

/* The newest syncs are kept. */
static void test_many_syncs_in_an_episode(Fixture *f, gconstpointer data) {
        begin_crowd(f);
        for (unsigned i = 0; i < EPISODE_SYNCS_MAX + 5; i++) {
                run(f, SECONDS(10));
                request_sync(f);
        }
        run(f, SECONDS(5));
        g_assert_cmpuint(engine_episode(f->engine)->sync_count, ==, f->n_sync_ids);
        g_assert_cmpuint(engine_episode(f->engine)->n_syncs, ==, EPISODE_SYNCS_MAX);
        for (size_t i = 0; i < EPISODE_SYNCS_MAX; i++)
                g_assert_cmpuint(
                                engine_episode(f->engine)->syncs[i].id, ==,
                                f->n_sync_ids - EPISODE_SYNCS_MAX + 1 + i);
}

/* A worker that spins for 4.5 h, whatever is synced. */
static void test_unhelpful_for_hours(Fixture *f, gconstpointer data) {
        static const uint32_t counts[] = { 1, 12 };

        for (size_t k = 0; k < ELEMENTSOF(counts); k++) {
                start(f, 8);
                begin(f, counts[k], 0);
                run(f, SECONDS(4.5 * 3600));

                g_test_message("%u spinning: %" G_GUINT64_FORMAT " syncs", counts[k], f->n_sync_ids);
                g_assert_cmpuint(f->n_sync_ids, >=, 7);
                g_assert_cmpuint(f->n_sync_ids, <=, 10);
                for (size_t i = 1; i < f->n_sync_ids; i++) {
                        uint64_t gap_usec = f->syncs_usec[i] - f->syncs_usec[i - 1];

                        if (i >= ENGINE_UNHELPFUL_MAX) {
                                g_assert_cmpuint(gap_usec, >=, USEC_PER_HOUR);
                                g_assert_cmpuint(gap_usec, <=, USEC_PER_HOUR + SECONDS(60));
                                continue;
                        }
                        g_assert_cmpuint(gap_usec, >=, SECONDS(30) << (i - 1));
                        g_assert_cmpuint(gap_usec, <=, (SECONDS(30) << i) + SECONDS(60));
                }

                assert_once(f, EVENT_EPISODE_STARTED);
                assert_once(f, EVENT_SYNCS_UNHELPFUL);
                g_assert_cmpuint(f->last[EVENT_SYNCS_UNHELPFUL].id, ==, ENGINE_UNHELPFUL_MAX);
                g_assert_cmpuint(engine_syncs_unhelpful(f->engine), ==, f->n_sync_ids);
                g_assert_cmpuint(f->count[EVENT_UNHELPFUL_CHANGED], ==, f->n_sync_ids);
                g_assert_cmpuint(f->count[EVENT_SYNC_JUDGED], ==, f->n_sync_ids);

                run_workers(f, 0, 0, 0);
                run(f, SECONDS(10));
                g_assert_cmpint(f->ended.outcome, ==, OUTCOME_OUTLIVED);
        }
}

static void be_unhelpful(Fixture *f, unsigned n) {
        begin_crowd(f);
        while (engine_syncs_unhelpful(f->engine) < n)
                g_assert_cmpuint(run_until(f, EVENT_UNHELPFUL_CHANGED, SECONDS(1200)), !=, NEVER);
}

/* The next stall, a while later, is not answered before the hour is over. */
static void test_unhelpful_across_episodes(Fixture *f, gconstpointer data) {
        uint64_t last_usec;

        be_unhelpful(f, ENGINE_UNHELPFUL_MAX);
        last_usec = f->when_usec[EVENT_SYNC_ENDED];
        run_workers(f, 0, 0, 0);
        run(f, SECONDS(600));
        assert_once(f, EVENT_EPISODE_ENDED);

        begin(f, 12, 0);
        g_assert_cmpuint(run_until(f, EVENT_SYNC_STARTED, SECONDS(3600)), !=, NEVER);
        g_assert_cmpuint(f->now.monotonic_usec - last_usec, >=, USEC_PER_HOUR);
        g_assert_cmpuint(f->count[EVENT_EPISODE_STARTED], ==, 2);
}

static void test_reset_when_helped(Fixture *f, gconstpointer data) {
        uint64_t gap_usec;

        be_unhelpful(f, 3);
        be_cured_by_filesystems(f);
        run(f, SECONDS(600));
        g_assert_cmpint(f->ended.outcome, ==, OUTCOME_RECOVERED);
        g_assert_cmpuint(engine_syncs_unhelpful(f->engine), ==, 0);

        /* As at the start. */
        f->answers.filesystems_cure = false;
        begin(f, 12, 0);
        g_assert_cmpuint(run_until(f, EVENT_SYNC_STARTED, SECONDS(60)), ==, SECONDS(3));
        gap_usec = run_until(f, EVENT_SYNC_STARTED, SECONDS(600));
        g_assert_cmpuint(gap_usec, >=, SECONDS(30));
        g_assert_cmpuint(gap_usec, <=, SECONDS(80));
}

static void test_reset_after_an_hour(Fixture *f, gconstpointer data) {
        static const unsigned counts[] = { 3, ENGINE_UNHELPFUL_MAX };

        for (size_t i = 0; i < ELEMENTSOF(counts); i++) {
                start(f, 8);
                be_unhelpful(f, counts[i]);
                run_workers(f, 0, 0, 0);
                run(f, SECONDS(50 * 60));
                g_assert_cmpint(f->ended.outcome, ==, OUTCOME_OUTLIVED);
                g_assert_cmpuint(engine_syncs_unhelpful(f->engine), ==, counts[i]);
                run(f, SECONDS(12 * 60));
                g_assert_cmpuint(engine_syncs_unhelpful(f->engine), ==, 0);
                assert_state(f, "idle");

                begin(f, 12, 0);
                g_assert_cmpuint(run_until(f, EVENT_SYNC_STARTED, SECONDS(60)), ==, SECONDS(3));
        }
}

/* Stalls that are freed at once, over a healthy worker of the same work. */
static void test_stalls_every_90s(Fixture *f, gconstpointer data) {
        be_cured_by_filesystems(f);
        group(f, 1)->work = WORK;
        for (unsigned i = 0; i < 20 * 90; i++) {
                if (i % 90 == 0)
                        run_workers(f, 0, 12, 0);
                run_workers(f, 1, i % 3 != 2, 0);
                run_to_scan(f, SECONDS(1));
                if (i % 90 == 10)
                        g_assert_cmpuint(f->n_sync_ids, ==, i / 90 + 1);
                g_assert_cmpuint(engine_syncs_unhelpful(f->engine), ==, 0);
        }
        g_assert_cmpuint(f->n_sync_ids, ==, 20);
        g_assert_cmpuint(f->count[EVENT_EPISODE_STARTED], ==, 20);
        g_assert_cmpuint(f->count[EVENT_EPISODE_ENDED], ==, 20);
        g_assert_cmpint(f->ended.outcome, ==, OUTCOME_RECOVERED);
}

static void test_short_recovery(Fixture *f, gconstpointer data) {
        static const char *const recoveries[] = { "0", "1s", "5s", "30s" };

        for (size_t i = 0; i < 2 * ELEMENTSOF(recoveries); i++) {
                start(f, 8);
                set(f, SETTING_RECOVERY, recoveries[i / 2]);
                set(f, SETTING_SYNC_METHOD, i % 2 ? "sync" : "auto");
                f->answers.filesystems_cure = f->answers.everything_cures = true;
                begin_crowd(f);
                run(f, SECONDS(1));
                run_pattern(f, 0, "110", 600);
                g_test_message("Recovery %s, method %s", recoveries[i / 2], i % 2 ? "sync" : "auto");
                g_assert_cmpuint(f->n_sync_ids, ==, 1);
                assert_once(f, EVENT_EPISODE_STARTED);
                assert_once(f, EVENT_EPISODE_ENDED);
        }
}

static void test_failed_sync(Fixture *f, gconstpointer data) {
        begin_crowd(f);
        f->filesystems_at_usec = NEVER;
        end_sync_with(f, SYNC_FAILED);
        assert_once(f, EVENT_SYNC_ENDED);
        g_assert_cmpint(engine_last_sync(f->engine)->result, ==, SYNC_FAILED);
        g_assert_cmpint(engine_episode(f->engine)->syncs[0].result, ==, SYNC_FAILED);

        /* The stall is answered again, but not without any pause. */
        run(f, SECONDS(200));
        g_assert_cmpuint(f->n_sync_ids, >=, 2);
        g_assert_cmpuint(f->n_sync_ids, <=, 20);
}

static void test_stalled_sync(Fixture *f, gconstpointer data) {
        set(f, SETTING_SYNC_METHOD, "sync");
        f->answers.everything_usec = NEVER;
        begin_crowd(f);
        run(f, SECONDS(300));
        assert_once(f, EVENT_SYNC_STARTED);
        end_sync_with(f, SYNC_STALLED);
        g_assert_cmpint(engine_last_sync(f->engine)->result, ==, SYNC_STALLED);
        g_assert_cmpuint(engine_last_sync(f->engine)->duration_usec, ==, SECONDS(300));
        g_assert_false(engine_state(f->engine) == ENGINE_SYNCING);
        run(f, SECONDS(10));
        g_assert_cmpint(f->last[EVENT_SYNC_JUDGED].helped, ==, HELPED_NO);
}

static void test_recovery(Fixture *f, gconstpointer data) {
        bool exact;

        be_cured_by_filesystems(f);
        set(f, SETTING_SYNC_METHOD, "syncfs");
        begin_crowd(f);
        g_assert_cmpuint(run_until(f, EVENT_SYNC_ENDED, SECONDS(10)), !=, NEVER);
        assert_state(f, "recovery");
        g_assert_cmpuint(engine_recovery_end_usec(f->engine), ==, f->now.monotonic_usec + SECONDS(30));

        /* It ends by time alone. */
        run(f, SECONDS(29.9));
        assert_state(f, "recovery");
        (void) engine_wake_usec(f->engine, &exact);
        g_assert_true(exact);
        run(f, SECONDS(0.1));
        assert_state(f, "idle");
        g_assert_cmpuint(engine_state_since(f->engine).monotonic_usec, ==, f->now.monotonic_usec);
}

/* Dry runs */

static void test_dry_run(Fixture *f, gconstpointer data) {
        set(f, SETTING_DRY_RUN, "yes");
        begin_crowd(f);
        g_assert_true(f->last[EVENT_SYNC_STARTED].dry_run);
        g_assert_true(f->last[EVENT_SYNC_ENDED].dry_run);
        g_assert_true(engine_episode(f->engine)->dry_run);
        run(f, SECONDS(4.5 * 3600));

        /* Everything but the sync, no more often than real ones come, and without an effect. */
        g_assert_cmpuint(f->n_sync_ids, <=, SECONDS(4.5 * 3600) / SECONDS(30));
        g_assert_cmpuint(engine_sync_count(f->engine), ==, 0);
        g_assert_cmpuint(engine_syncs_unhelpful(f->engine), ==, 0);
        g_assert_null(engine_last_sync(f->engine));
        assert_none(f, EVENT_SYNCS_UNHELPFUL);
        assert_none(f, EVENT_SYNC_EVERYTHING);

        run_workers(f, 0, 0, 0);
        run(f, SECONDS(10));
        assert_once(f, EVENT_EPISODE_ENDED);
        g_assert_cmpint(f->ended.outcome, ==, OUTCOME_CLEARED);
        g_assert_cmpuint(f->ended.sync_count, ==, 0);
        g_assert_true(f->ended.dry_run);
        for (size_t i = 0; i < f->ended.n_syncs; i++) {
                g_assert_true(f->ended.syncs[i].dry_run);
                g_assert_cmpint(f->ended.syncs[i].helped, !=, HELPED_YES);
        }
}

static void test_dry_run_ends(Fixture *f, gconstpointer data) {
        static const double durations[] = { 4, 10, 33, 100, 500, 3600 };

        for (size_t i = 0; i < ELEMENTSOF(durations); i++) {
                start(f, 8);
                set(f, SETTING_DRY_RUN, "yes");
                begin_crowd(f);
                run(f, SECONDS(durations[i]));
                set(f, SETTING_DRY_RUN, "no");
                g_test_message("after %g s", durations[i]);
                g_assert_cmpuint(run_until(f, EVENT_SYNC_STARTED, SECONDS(600)), <=, SECONDS(10));
                g_assert_false(f->last[EVENT_SYNC_STARTED].dry_run);
        }
}

static void test_dry_run_between(Fixture *f, gconstpointer data) {
        be_unhelpful(f, 3);
        set(f, SETTING_DRY_RUN, "yes");
        run(f, SECONDS(900));
        g_assert_cmpuint(engine_syncs_unhelpful(f->engine), ==, 3);
        set(f, SETTING_DRY_RUN, "no");
        g_assert_cmpuint(run_until(f, EVENT_SYNC_STARTED, SECONDS(10)), !=, NEVER);
        g_assert_cmpuint(engine_sync_count(f->engine), ==, 4);
}

static void test_requested_in_dry_run(Fixture *f, gconstpointer data) {
        be_cured_by_filesystems(f);
        set(f, SETTING_DRY_RUN, "yes");
        begin_crowd(f);
        g_assert_cmpuint(engine_sync_count(f->engine), ==, 0);

        request_sync(f);
        g_assert_false(f->sync.dry_run);
        g_assert_cmpint(f->sync.rule, ==, RULE_NONE);
        run(f, SECONDS(20));
        g_assert_cmpuint(engine_sync_count(f->engine), ==, 1);
        g_assert_nonnull(engine_last_sync(f->engine));
        g_assert_cmpint(f->ended.outcome, ==, OUTCOME_RECOVERED);
        g_assert_cmpuint(f->ended.sync_count, ==, 1);
}

/* Pauses and requests */

static void test_pause(Fixture *f, gconstpointer data) {
        scan(f);
        pause_for(f, USEC_INFINITY);
        assert_once(f, EVENT_PAUSE_CHANGED);
        assert_state(f, "paused");
        g_assert_cmpuint(engine_paused_until_usec(f->engine), ==, USEC_INFINITY);

        /* It watches, and does not sync. */
        begin(f, 12, 0);
        run(f, SECONDS(600));
        assert_once(f, EVENT_EPISODE_STARTED);
        assert_none(f, EVENT_CONFIRM);
        assert_none(f, EVENT_SYNC_STARTED);

        /* A requested one does. */
        request_sync(f);
        assert_state(f, "syncing");
        run(f, SECONDS(10));
        assert_state(f, "paused");
        g_assert_cmpuint(engine_sync_count(f->engine), ==, 1);

        /* What is due is made up for. */
        run(f, SECONDS(60));
        resume(f);
        g_assert_cmpuint(f->count[EVENT_PAUSE_CHANGED], ==, 2);
        g_assert_cmpuint(engine_paused_until_usec(f->engine), ==, 0);
        g_assert_cmpuint(run_until(f, EVENT_SYNC_STARTED, SECONDS(60)), !=, NEVER);

        /* Without a pause there is nothing to resume. */
        resume(f);
        g_assert_cmpuint(f->events.n, ==, 0);
}

static void test_pause_for(Fixture *f, gconstpointer data) {
        bool exact;

        scan(f);
        pause_for(f, SECONDS(100));
        g_assert_cmpuint(engine_paused_until_usec(f->engine), ==, f->now.realtime_usec + SECONDS(100));
        run(f, SECONDS(95));
        (void) engine_wake_usec(f->engine, &exact);
        g_assert_true(exact);
        g_assert_cmpuint(run_until(f, EVENT_PAUSE_CHANGED, SECONDS(10)), ==, SECONDS(5));
        assert_state(f, "idle");
        g_assert_cmpuint(engine_paused_until_usec(f->engine), ==, 0);

        /* A later one replaces an earlier one. */
        pause_for(f, USEC_INFINITY);
        pause_for(f, SECONDS(5));
        g_assert_cmpuint(run_until(f, EVENT_PAUSE_CHANGED, SECONDS(10)), ==, SECONDS(5));
}

/* A forgotten pause is reported every hour, by the next idle scan. */
static void test_pause_is_reported(Fixture *f, gconstpointer data) {
        scan(f);
        pause_for(f, SECONDS(3 * 3600));
        run(f, SECONDS(3600 - 1));
        assert_none(f, EVENT_STILL_PAUSED);
        run(f, SECONDS(20));
        assert_once(f, EVENT_STILL_PAUSED);
        g_assert_cmpuint(f->still_paused.usec, >=, SECONDS(3600));
        g_assert_cmpuint(f->still_paused.usec + f->still_paused.left_usec, ==, SECONDS(3 * 3600));
        run(f, SECONDS(10 * 3600));
        g_assert_cmpuint(f->count[EVENT_STILL_PAUSED], ==, 2);

        /* A new pause begins a new hour, and one without end says so. */
        pause_for(f, USEC_INFINITY);
        run(f, SECONDS(3600 - 20));
        pause_for(f, USEC_INFINITY);
        run(f, SECONDS(3600 - 20));
        g_assert_cmpuint(f->count[EVENT_STILL_PAUSED], ==, 2);
        run(f, SECONDS(40));
        g_assert_cmpuint(f->count[EVENT_STILL_PAUSED], ==, 3);
        g_assert_cmpuint(f->still_paused.left_usec, ==, USEC_INFINITY);
        resume(f);
        run(f, SECONDS(2 * 3600));
        g_assert_cmpuint(f->count[EVENT_STILL_PAUSED], ==, 3);
}

/* Inhibitors suspend automatic syncs, as a pause does, and neither ends the other. */
static void test_inhibitors(Fixture *f, gconstpointer data) {
        scan(f);
        inhibit(f, 1);
        assert_once(f, EVENT_INHIBITORS_CHANGED);
        assert_none(f, EVENT_PAUSE_CHANGED);
        assert_state(f, "paused");
        g_assert_cmpuint(engine_paused_until_usec(f->engine), ==, 0);

        begin(f, 12, 0);
        run(f, SECONDS(600));
        assert_once(f, EVENT_EPISODE_STARTED);
        assert_none(f, EVENT_CONFIRM);
        assert_none(f, EVENT_SYNC_STARTED);
        request_sync(f);
        assert_state(f, "syncing");
        run(f, SECONDS(10));
        assert_state(f, "paused");
        g_assert_cmpuint(engine_sync_count(f->engine), ==, 1);

        pause_for(f, USEC_INFINITY);
        resume(f);
        assert_state(f, "paused");
        pause_for(f, SECONDS(60));
        inhibit(f, 2);
        inhibit(f, 0);
        assert_state(f, "paused");
        g_assert_cmpuint(f->count[EVENT_SYNC_STARTED], ==, 1);

        /* The stall is still there. */
        run(f, SECONDS(62));
        g_assert_cmpuint(f->count[EVENT_PAUSE_CHANGED], ==, 4);
        g_assert_cmpuint(f->count[EVENT_SYNC_STARTED], ==, 2);
}

/* The same reminder as that of a pause, counted from when automatic syncs were suspended first. */
static void test_inhibitors_are_reported(Fixture *f, gconstpointer data) {
        scan(f);
        inhibit(f, 1);
        run(f, SECONDS(1800));
        inhibit(f, 2);
        run(f, SECONDS(1800 - 1));
        assert_none(f, EVENT_STILL_PAUSED);
        run(f, SECONDS(20));
        assert_once(f, EVENT_STILL_PAUSED);
        g_assert_cmpuint(f->still_paused.usec, >=, SECONDS(3600));
        g_assert_cmpuint(f->still_paused.count, ==, 2);
        g_assert_cmpuint(f->still_paused.left_usec, ==, 0);

        /* Neither a pause nor the release of another one begins a new hour. */
        pause_for(f, SECONDS(3 * 3600));
        inhibit(f, 1);
        run(f, SECONDS(3600));
        g_assert_cmpuint(f->count[EVENT_STILL_PAUSED], ==, 2);
        g_assert_cmpuint(f->still_paused.usec, >=, SECONDS(2 * 3600));
        g_assert_cmpuint(f->still_paused.count, ==, 1);
        g_assert_cmpuint(f->still_paused.left_usec, >, 0);

        resume(f);
        inhibit(f, 0);
        run(f, SECONDS(2 * 3600));
        g_assert_cmpuint(f->count[EVENT_STILL_PAUSED], ==, 2);

        /* A later one begins a new hour. */
        inhibit(f, 1);
        run(f, SECONDS(3600 - 1));
        g_assert_cmpuint(f->count[EVENT_STILL_PAUSED], ==, 2);
        run(f, SECONDS(20));
        g_assert_cmpuint(f->count[EVENT_STILL_PAUSED], ==, 3);
}

static void test_resume_in_a_stall(Fixture *f, gconstpointer data) {
        pause_for(f, SECONDS(100));
        begin(f, 12, 0);
        run(f, SECONDS(98));
        assert_none(f, EVENT_SYNC_STARTED);
        g_assert_cmpuint(run_until(f, EVENT_SYNC_STARTED, SECONDS(3)), !=, NEVER);
}

static void test_pause_while_syncing(Fixture *f, gconstpointer data) {
        f->answers.filesystems_usec = SECONDS(20);
        begin_crowd(f);
        pause_for(f, USEC_INFINITY);
        assert_state(f, "syncing");
        run(f, SECONDS(60));
        assert_once(f, EVENT_SYNC_ENDED);
        assert_state(f, "paused");
        run(f, SECONDS(600));
        assert_once(f, EVENT_SYNC_STARTED);
}

static void test_requests(Fixture *f, gconstpointer data) {
        scan(f);
        g_assert_cmpuint(engine_next_sync_id(f->engine), ==, 1);
        request_sync(f);
        assert_once(f, EVENT_SYNC_STARTED);
        g_assert_cmpuint(engine_sync(f->engine)->id, ==, 1);
        g_assert_cmpint(engine_sync(f->engine)->rule, ==, RULE_NONE);
        g_assert_cmpuint(engine_sync(f->engine)->episode_id, ==, 0);
        assert_state(f, "syncing");

        /* Those that come during one share the next one. */
        for (unsigned i = 0; i < 1000; i++) {
                request_sync(f);
                g_assert_cmpuint(f->events.n, ==, 0);
                g_assert_cmpuint(engine_next_sync_id(f->engine), ==, 2);
        }

        /* It begins with the end of the first. */
        g_assert_cmpuint(run_until(f, EVENT_SYNC_ENDED, SECONDS(5)), !=, NEVER);
        g_assert_cmpuint(f->count[EVENT_SYNC_STARTED], ==, 2);
        g_assert_cmpuint(f->when_usec[EVENT_SYNC_STARTED], ==, f->now.monotonic_usec);
        g_assert_cmpuint(engine_last_sync(f->engine)->id, ==, 1);
        g_assert_cmpuint(engine_sync(f->engine)->id, ==, 2);
        run(f, SECONDS(5));
        g_assert_cmpuint(f->count[EVENT_SYNC_STARTED], ==, 2);
        g_assert_cmpuint(f->count[EVENT_SYNC_ENDED], ==, 2);
        g_assert_cmpuint(engine_sync_count(f->engine), ==, 2);

        /* And also in the Recovery time. */
        request_sync(f);
        g_assert_cmpuint(f->count[EVENT_SYNC_STARTED], ==, 3);
}

static void test_requested_during_an_automatic_one(Fixture *f, gconstpointer data) {
        begin_crowd(f);
        request_sync(f);
        assert_once(f, EVENT_SYNC_STARTED);
        g_assert_cmpuint(run_until(f, EVENT_SYNC_ENDED, SECONDS(20)), !=, NEVER);
        g_assert_cmpuint(f->count[EVENT_SYNC_STARTED], ==, 2);
        g_assert_cmpint(f->sync.rule, ==, RULE_NONE);
}

/* The parts of a sync */

static void test_filesystems_suffice(Fixture *f, gconstpointer data) {
        static const double delays[] = { 0, 0.2, 1 };

        for (size_t i = 0; i < ELEMENTSOF(delays); i++) {
                start(f, 8);
                be_cured_by_filesystems(f);
                f->answers.cure_usec = SECONDS(delays[i]);
                begin_crowd(f);
                g_assert_cmpint(f->sync.method, ==, SYNC_METHOD_AUTO);
                g_assert_cmpuint(run_until(f, EVENT_SYNC_ENDED, SECONDS(7)), !=, NEVER);
                assert_none(f, EVENT_SYNC_EVERYTHING);
                g_assert_cmpint(f->last[EVENT_SYNC_ENDED].result, ==, SYNC_OK);
                g_assert_cmpuint(f->last[EVENT_SYNC_ENDED].n_filesystems, ==, 2);
                g_assert_cmpstr(f->last[EVENT_SYNC_ENDED].filesystems[1].mountpoint, ==, "/srv/1");
                g_assert_cmpint(f->last[EVENT_SYNC_ENDED].filesystems[1].result, ==, FILESYSTEM_OK);
                run(f, SECONDS(10));
                g_assert_cmpint(f->ended.outcome, ==, OUTCOME_RECOVERED);
                g_assert_cmpuint(f->ended.syncs[0].n_filesystems, ==, 2);
                assert_none(f, EVENT_SYNC_EVERYTHING);
        }
}

static void test_filesystems_do_not_suffice(Fixture *f, gconstpointer data) {
        uint64_t answered_usec;

        f->answers.everything_cures = true;
        begin_crowd(f);
        answered_usec = f->filesystems_at_usec;
        g_assert_cmpuint(run_until(f, EVENT_SYNC_EVERYTHING, SECONDS(10)), !=, NEVER);
        g_assert_cmpuint(f->now.monotonic_usec, >=, answered_usec + SECONDS(5));
        g_assert_cmpuint(f->now.monotonic_usec, <=, answered_usec + SECONDS(6));
        assert_none(f, EVENT_SYNC_ENDED);
        assert_state(f, "syncing");
        g_assert_cmpuint(run_until(f, EVENT_SYNC_ENDED, SECONDS(1)), ==, SECONDS(0.5));
        run(f, SECONDS(20));
        g_assert_cmpint(f->ended.outcome, ==, OUTCOME_RECOVERED);
        assert_once(f, EVENT_SYNC_STARTED);
        assert_once(f, EVENT_SYNC_EVERYTHING);
        assert_once(f, EVENT_SYNC_JUDGED);
}

/* Without scans the stall may go on: sync(2) follows, and the sync ends. */
static void test_scans_fail_after_filesystems(Fixture *f, gconstpointer data) {
        uint64_t answered_usec;

        begin_crowd(f);
        answered_usec = f->filesystems_at_usec;
        run(f, SECONDS(2));
        f->failing = true;
        g_assert_cmpuint(run_until(f, EVENT_SYNC_EVERYTHING, SECONDS(10)), !=, NEVER);
        g_assert_cmpuint(f->now.monotonic_usec, >=, answered_usec + SECONDS(5));
        g_assert_cmpuint(run_until(f, EVENT_SYNC_ENDED, SECONDS(1)), ==, f->answers.everything_usec);
        assert_once(f, EVENT_SYNC_STARTED);

        /* The last scan saw that none spins any more, but the mean had not fallen yet. */
        start(f, 8);
        begin_crowd(f);
        run(f, SECONDS(3));
        run_workers(f, 0, 0, 0);
        run(f, SECONDS(2.6));
        assert_none(f, EVENT_EPISODE_ENDED);
        f->failing = true;
        g_assert_cmpuint(run_until(f, EVENT_SYNC_EVERYTHING, SECONDS(10)), !=, NEVER);

        /* A scan that fails alone is not a reason. */
        start(f, 8);
        be_cured_by_filesystems(f);
        begin_crowd(f);
        run(f, SECONDS(4));
        f->failing = true;
        run(f, SECONDS(2));
        f->failing = false;
        run(f, SECONDS(20));
        assert_none(f, EVENT_SYNC_EVERYTHING);
        assert_once(f, EVENT_EPISODE_ENDED);
}

static void test_filesystems_time_out(Fixture *f, gconstpointer data) {
        begin_crowd(f);
        advance(f, SECONDS(10));
        filesystems_answer_with(f, SYNC_STALLED, 3);
        g_assert_cmpuint(run_until(f, EVENT_SYNC_EVERYTHING, SECONDS(6)), !=, NEVER);
}

static void test_no_filesystems(Fixture *f, gconstpointer data) {
        f->answers.no_filesystems = true;
        begin_crowd(f);
        g_assert_cmpuint(run_until(f, EVENT_SYNC_EVERYTHING, SECONDS(10)), ==, f->answers.filesystems_usec);
        g_assert_cmpuint(run_until(f, EVENT_SYNC_ENDED, SECONDS(10)), ==, f->answers.everything_usec);
        g_assert_cmpuint(engine_last_sync(f->engine)->n_filesystems, ==, 0);
        g_assert_cmpuint(engine_last_sync(f->engine)->duration_usec, ==, SECONDS(0.9));
}

static void test_methods(Fixture *f, gconstpointer data) {
        set(f, SETTING_SYNC_METHOD, "syncfs");
        begin_crowd(f);
        g_assert_cmpint(f->sync.method, ==, SYNC_METHOD_SYNCFS);
        g_assert_cmpuint(run_until(f, EVENT_SYNC_ENDED, SECONDS(7)), !=, NEVER);
        request_sync(f);
        run(f, SECONDS(3600));
        assert_none(f, EVENT_SYNC_EVERYTHING);
        g_assert_false(f->syncing);

        start(f, 8);
        set(f, SETTING_SYNC_METHOD, "syncfs");
        f->answers.no_filesystems = true;
        begin_crowd(f);
        g_assert_cmpuint(run_until(f, EVENT_SYNC_ENDED, SECONDS(7)), !=, NEVER);
        run(f, SECONDS(20));
        assert_none(f, EVENT_SYNC_EVERYTHING);

        start(f, 8);
        set(f, SETTING_SYNC_METHOD, "sync");
        begin_crowd(f);
        g_assert_cmpint(f->sync.method, ==, SYNC_METHOD_SYNC);
        g_assert_cmpuint(run_until(f, EVENT_SYNC_ENDED, SECONDS(7)), ==, f->answers.everything_usec);
        assert_none(f, EVENT_SYNC_EVERYTHING);
}

static void test_requested_parts(Fixture *f, gconstpointer data) {
        /* After the filesystems at once, in a stall and without one. */
        scan(f);
        request_sync(f);
        g_assert_cmpuint(run_until(f, EVENT_SYNC_EVERYTHING, SECONDS(10)), ==, f->answers.filesystems_usec);
        g_assert_cmpuint(run_until(f, EVENT_SYNC_ENDED, SECONDS(10)), ==, f->answers.everything_usec);

        start(f, 8);
        pause_for(f, USEC_INFINITY);
        begin(f, 12, 0);
        run(f, SECONDS(10));
        request_sync(f);
        g_assert_cmpuint(run_until(f, EVENT_SYNC_EVERYTHING, SECONDS(10)), ==, f->answers.filesystems_usec);
}

static void test_answers_without_a_sync(Fixture *f, gconstpointer data) {
        scan(f);
        filesystems_answer_with(f, SYNC_OK, 1);
        g_assert_cmpuint(f->events.n, ==, 0);
        end_sync_with(f, SYNC_OK);
        g_assert_cmpuint(f->events.n, ==, 0);
        assert_state(f, "idle");
        g_assert_null(engine_last_sync(f->engine));
}

/* More filesystems than a sync keeps. */
static void test_many_filesystems(Fixture *f, gconstpointer data) {
        FilesystemSync filesystems[100] = {};

        begin_crowd(f);
        begin_input(f);
        engine_filesystems_synced(
                        f->engine, f->now, true, SYNC_OK, filesystems, ELEMENTSOF(filesystems), &f->events);
        end_input(f);
        g_assert_cmpuint(engine_sync(f->engine)->n_filesystems, ==, SYNC_FILESYSTEMS_MAX);
}

/* Wakeups */

static void test_thread_created(Fixture *f, gconstpointer data) {
        scan(f);
        run(f, SECONDS(3));

        /* A scan follows a PollInterval later, once, however many there are. */
        engine_thread_created(f->engine, f->now);
        g_assert_cmpuint(wake_usec(f), ==, f->now.monotonic_usec + SECONDS(1));
        advance(f, SECONDS(0.5));
        engine_thread_created(f->engine, f->now);
        g_assert_cmpuint(wake_usec(f), ==, f->now.monotonic_usec + SECONDS(0.5));
        run(f, SECONDS(2));
        g_assert_cmpuint(wake_usec(f), >=, f->now.monotonic_usec + SECONDS(5));

        /* Without such events idle scans come as often. */
        engine_set_polling(f->engine, true);
        scan(f);
        g_assert_cmpuint(wake_usec(f), ==, f->now.monotonic_usec + SECONDS(1));
        engine_set_polling(f->engine, false);
        scan(f);
        g_assert_cmpuint(wake_usec(f), ==, f->now.monotonic_usec + SECONDS(10));
}

/* Whenever it comes: a scan sees its work a PollInterval later, or at the scan after that. */
static void test_thread_created_before_idle(Fixture *f, gconstpointer data) {
        for (uint64_t offset_usec = 0; offset_usec < SECONDS(14); offset_usec += 50 * USEC_PER_MSEC) {
                uint64_t created_usec;

                start(f, 8);
                begin(f, 1, 0);
                run_workers(f, 0, 0, 0);
                run(f, offset_usec);

                created_usec = f->now.monotonic_usec;
                engine_thread_created(f->engine, f->now);
                do {
                        advance(f, next_usec(f) - f->now.monotonic_usec);
                        work(f);
                } while (f->now.monotonic_usec < created_usec + SECONDS(1));
                g_assert_cmpuint(f->now.monotonic_usec, <=, created_usec + SECONDS(2));
        }
}

/* A scan that saw nothing has not seen the new thread either. */
static void test_thread_created_and_failed_scan(Fixture *f, gconstpointer data) {
        scan(f);
        engine_thread_created(f->engine, f->now);
        f->failing = true;
        run(f, SECONDS(1));
        g_assert_cmpuint(f->n_failed_scans, ==, 1);
        g_assert_cmpuint(wake_usec(f), ==, f->now.monotonic_usec + SECONDS(1));
}

static void test_wakes_while_syncing(Fixture *f, gconstpointer data) {
        f->answers.filesystems_usec = NEVER;
        request_sync(f);
        scan(f);
        run(f, SECONDS(60));
        g_assert_cmpuint(wake_usec(f), <=, f->now.monotonic_usec + SECONDS(10));
        assert_state(f, "syncing");
}

/* As often as needed to see its end, and flush workers; but costly scans are rarer. */
static void test_wakes_during_an_episode(Fixture *f, gconstpointer data) {
        pause_for(f, USEC_INFINITY);
        begin(f, 12, 0);
        g_assert_cmpuint(wake_usec(f), ==, f->now.monotonic_usec + SECONDS(1));
        g_assert_cmpuint(run_until(f, EVENT_EPISODE_STARTED, SECONDS(10)), !=, NEVER);
        g_assert_cmpuint(wake_usec(f), ==, f->now.monotonic_usec + EPISODE_SCAN_USEC);

        engine_set_scan_cost(f->engine, SECONDS(0.125));
        g_assert_cmpuint(wake_usec(f), ==, f->now.monotonic_usec + SECONDS(0.5));
        engine_set_scan_cost(f->engine, SECONDS(0.5));
        g_assert_cmpuint(wake_usec(f), ==, f->now.monotonic_usec + SECONDS(1));
        set(f, SETTING_POLL_INTERVAL, "100ms");
        engine_set_scan_cost(f->engine, 0);
        g_assert_cmpuint(wake_usec(f), ==, f->now.monotonic_usec + SECONDS(0.1));

        run_workers(f, 0, 0, 0);
        g_assert_cmpuint(run_until(f, EVENT_EPISODE_ENDED, SECONDS(10)), !=, NEVER);
        set(f, SETTING_POLL_INTERVAL, "1s");
        g_assert_cmpuint(wake_usec(f), ==, f->now.monotonic_usec + SECONDS(1));
}

/* Settings that change */

static void test_changed_thresholds(Fixture *f, gconstpointer data) {
        begin(f, 1, 0);
        run(f, SECONDS(20));
        set(f, SETTING_THRESHOLD, "5s");
        g_assert_cmpuint(run_until(f, EVENT_EPISODE_STARTED, SECONDS(10)), <=, SECONDS(1));

        start(f, 8);
        begin(f, 1, 0);
        run(f, SECONDS(20));
        set(f, SETTING_THRESHOLD, "1h");
        run(f, SECONDS(3000));
        assert_none(f, EVENT_EPISODE_STARTED);
        g_assert_cmpuint(run_until(f, EVENT_EPISODE_STARTED, SECONDS(600)), !=, NEVER);

        start(f, 8);
        set(f, SETTING_THRESHOLD, "1d");
        begin(f, 3, 0);
        run(f, SECONDS(60));
        set(f, SETTING_CROWD_SIZE, "2");
        g_assert_cmpuint(run_until(f, EVENT_EPISODE_STARTED, SECONDS(5)), !=, NEVER);
        g_assert_cmpint(engine_episode(f->engine)->rule, ==, RULE_CROWD);

        start(f, 8);
        begin(f, 0, 12);
        run(f, SECONDS(60));
        set(f, SETTING_COUNT_WAITING, "yes");
        g_assert_cmpuint(run_until(f, EVENT_EPISODE_STARTED, SECONDS(10)), !=, NEVER);
}

static void test_changed_recovery(Fixture *f, gconstpointer data) {
        set(f, SETTING_RECOVERY, "1h");
        begin_crowd(f);
        run(f, SECONDS(100));
        assert_state(f, "recovery");
        set(f, SETTING_RECOVERY, "1s");
        g_assert_cmpuint(run_until(f, EVENT_SYNC_STARTED, SECONDS(10)), <=, SECONDS(2));
}

/* What is set during an episode neither ends it nor begins another one. */
static void test_changed_in_an_episode(Fixture *f, gconstpointer data) {
        pause_for(f, USEC_INFINITY);
        begin(f, 12, 0);
        run(f, SECONDS(10));
        set(f, SETTING_CROWD_SIZE, "0");
        run(f, SECONDS(10));
        set(f, SETTING_CROWD_SIZE, "10");
        run(f, SECONDS(10));
        set(f, SETTING_POLL_INTERVAL, "100ms");
        run(f, SECONDS(10));
        set(f, SETTING_CROWD_THRESHOLD, "1h");
        run(f, SECONDS(10));
        assert_once(f, EVENT_EPISODE_STARTED);
        assert_none(f, EVENT_EPISODE_ENDED);

        /* It ends nevertheless. */
        run_workers(f, 0, 0, 0);
        run(f, SECONDS(8));
        assert_once(f, EVENT_EPISODE_ENDED);
}

/* A long threshold has far more scans in it than a window has parts. */
static void test_long_thresholds(Fixture *f, gconstpointer data) {
        uint64_t usec;

        set(f, SETTING_CROWD_THRESHOLD, "1h");
        set(f, SETTING_THRESHOLD, "1d");
        begin(f, 4, 0);
        usec = run_until(f, EVENT_EPISODE_STARTED, SECONDS(2 * 3600));
        g_assert_cmpuint(usec, >=, SECONDS(3599) - SECONDS(60));
        g_assert_cmpuint(usec, <=, SECONDS(3599) + SECONDS(60));

        start(f, 8);
        set(f, SETTING_CROWD_SIZE, "0");
        set(f, SETTING_THRESHOLD, "6h");
        begin(f, 1, 0);
        usec = run_until(f, EVENT_EPISODE_STARTED, SECONDS(7 * 3600));
        g_assert_cmpuint(usec, >=, SECONDS(5.3 * 3600));
        g_assert_cmpuint(usec, <=, SECONDS(5.6 * 3600));
}

static void test_names(Fixture *f, gconstpointer data) {
        static const char *const states[] = { "idle", "busy", "syncing", "recovery", "paused" };

        for (size_t i = 0; i < ELEMENTSOF(states); i++)
                g_assert_cmpstr(engine_state_to_string((EngineState) i), ==, states[i]);

        g_assert_cmpstr(engine_rule_to_string(RULE_WORKER), ==, "worker");
        g_assert_cmpstr(engine_rule_to_string(RULE_CROWD), ==, "crowd");
        g_assert_cmpstr(episode_outcome_to_string(OUTCOME_ONGOING), ==, "ongoing");
        g_assert_cmpstr(episode_outcome_to_string(OUTCOME_RECOVERED), ==, "recovered");
        g_assert_cmpstr(episode_outcome_to_string(OUTCOME_CLEARED), ==, "cleared");
        g_assert_cmpstr(episode_outcome_to_string(OUTCOME_OUTLIVED), ==, "outlived");
        g_assert_cmpstr(sync_helped_to_string(HELPED_PENDING), ==, "pending");
        g_assert_cmpstr(sync_helped_to_string(HELPED_YES), ==, "yes");
        g_assert_cmpstr(sync_helped_to_string(HELPED_NO), ==, "no");
        g_assert_cmpstr(sync_result_to_string(SYNC_OK), ==, "ok");
        g_assert_cmpstr(sync_result_to_string(SYNC_STALLED), ==, "stalled");
        g_assert_cmpstr(sync_result_to_string(SYNC_FAILED), ==, "failed");
        g_assert_cmpstr(filesystem_result_to_string(FILESYSTEM_OK), ==, "ok");
        g_assert_cmpstr(filesystem_result_to_string(FILESYSTEM_PENDING), ==, "pending");
        g_assert_cmpstr(filesystem_result_to_string(FILESYSTEM_SLOW), ==, "slow");
        g_assert_cmpstr(filesystem_result_to_string(FILESYSTEM_TIMEOUT), ==, "timeout");
        g_assert_cmpstr(filesystem_result_to_string(FILESYSTEM_UNREACHABLE), ==, "unreachable");
        g_assert_cmpstr(filesystem_result_to_string(FILESYSTEM_FAILED), ==, "failed");
}

/* Random inputs */

static GRand *random_new(void) {
        const char *text = g_getenv("WBWATCH_SEED");
        uint32_t seed = text ? (uint32_t) g_ascii_strtoull(text, NULL, 10) : (uint32_t) g_test_rand_int();

        g_test_message("WBWATCH_SEED=%u", seed);
        return g_rand_new_with_seed(seed);
}

static uint32_t below(GRand *rand, uint32_t n) {
        return (uint32_t) g_rand_int_range(rand, 0, (gint32) n);
}

#ifdef HAS_ADDRESS_SANITIZER
#define RANDOM_EVENTS 100000
#define RANDOM_ROUNDS 100
#else
#define RANDOM_EVENTS 1000000
#define RANDOM_ROUNDS 1000
#endif

static void change_group(Fixture *f, GRand *rand) {
        static const uint32_t sizes[] = { 0, 0, 0, 1, 1, 2, 6, 9, 44 };
        Group *g = group(f, below(rand, 3));

        g->n_spinning = sizes[below(rand, ELEMENTSOF(sizes))];
        g->n_waiting = below(rand, 4) == 0 ? sizes[below(rand, ELEMENTSOF(sizes))] : 0;
        g->turn += below(rand, 2);
        g->cpus = below(rand, 4) == 0 ? 0.05 : 1.5;
        engine_thread_created(f->engine, f->now);
}

static void change_answers(Fixture *f, GRand *rand) {
        f->answers = (Answers){
                .filesystems_usec = below(rand, 10) == 0 ? SECONDS(40) : below(rand, 3000000),
                .everything_usec = below(rand, 10) == 0 ? SECONDS(40) : below(rand, 3000000),
                .no_filesystems = below(rand, 5) == 0,
                .filesystems_cure = below(rand, 2) == 0,
                .everything_cures = below(rand, 2) == 0,
                .cure_usec = below(rand, 7000000),
        };
}

static void change_settings(Fixture *f, GRand *rand) {
        static const struct {
                SettingId id;
                const char *values[3];
        } changes[] = {
                { SETTING_THRESHOLD, { "30s", "5s", "2min" } },
                { SETTING_RECOVERY, { "30s", "0", "2min" } },
                { SETTING_SYNC_METHOD, { "auto", "sync", "syncfs" } },
                { SETTING_DRY_RUN, { "no", "yes", "no" } },
                { SETTING_COUNT_WAITING, { "no", "yes", "no" } },
        };
        uint32_t i = below(rand, ELEMENTSOF(changes));

        set(f, changes[i].id, changes[i].values[below(rand, 3)]);
}

static void random_input(Fixture *f, GRand *rand) {
        static const Group nobody = { .work = WORK };
        uint32_t input = below(rand, 1000);

        f->at_confirm = below(rand, 10) == 0 ? &nobody : NULL;

        if (input < 890) {
                if (below(rand, 40) == 0)
                        change_group(f, rand);
                f->failing = below(rand, 100) == 0;
                advance(f, next_usec(f) - f->now.monotonic_usec + below(rand, 2) * below(rand, 100000));
                work(f);
                f->failing = false;
        } else if (input < 960) {
                advance(f, below(rand, 500000));
                engine_thread_created(f->engine, f->now);
        } else if (input < 970)
                change_answers(f, rand);
        else if (input < 975)
                pause_for(f, below(rand, 60000000) + 1);
        else if (input < 978)
                resume(f);
        else if (input < 980)
                inhibit(f, below(rand, 3));
        else if (input < 985)
                request_sync(f);
        else if (input < 990)
                change_settings(f, rand);
        else if (input < 995)
                engine_set_cpus(f->engine, below(rand, 8) + 1);
        else if (f->syncing)
                end_sync_with(f, below(rand, 2) ? SYNC_FAILED : SYNC_STALLED);
}

/* A crowd that has been there for long enough must have been answered, unless something holds the syncs. */
static bool must_be_answered(const Fixture *f) {
        return f->groups[0].n_spinning >= 6 && f->groups[0].cpus > 1 && !f->at_confirm &&
               engine_state(f->engine) != ENGINE_PAUSED && engine_state(f->engine) != ENGINE_RECOVERY &&
               engine_state(f->engine) != ENGINE_SYNCING;
}

static void test_random(Fixture *f, gconstpointer data) {
        g_autoptr(GRand) rand = random_new();
        uint64_t since_usec = f->now.monotonic_usec, n_episodes = 0;

        group(f, 2)->work = "a_third_work";
        group(f, 0);
        for (unsigned i = 0; i < RANDOM_EVENTS; i++) {
                uint64_t before = f->n_sync_ids + f->count[EVENT_SYNC_ENDED] + f->n_failed_scans +
                                  f->count[EVENT_EPISODE_ENDED] + f->groups[0].turn;
                uint64_t after;

                random_input(f, rand);
                after = f->n_sync_ids + f->count[EVENT_SYNC_ENDED] + f->n_failed_scans +
                        f->count[EVENT_EPISODE_ENDED] + f->groups[0].turn;
                n_episodes = f->count[EVENT_EPISODE_ENDED];

                if (!must_be_answered(f) || before != after)
                        since_usec = f->now.monotonic_usec;
                g_assert_cmpuint(f->now.monotonic_usec - since_usec, <=, SECONDS(12));
        }

        g_test_message("%" G_GUINT64_FORMAT " episodes, %" G_GUINT64_FORMAT " syncs", n_episodes,
                       f->n_sync_ids);
        g_assert_cmpuint(n_episodes, >, RANDOM_EVENTS / 5000);
        g_assert_cmpuint(f->n_sync_ids, >, RANDOM_EVENTS / 5000);
        g_assert_cmpuint(f->count[EVENT_UNCONFIRMED], >, 0);
}

/* At most two scans in five in a row find a worker: less than half a worker over any 5 s. */
static void run_healthy(Fixture *f, GRand *rand, unsigned seconds) {
        unsigned last[4] = {};

        for (unsigned i = 0; i < seconds; i++) {
                unsigned n = last[0] + last[1] + last[2] + last[3] < 2 ? below(rand, 2) : 0;

                last[i % 4] = n;
                run_workers(f, 0, n, 0);
                group(f, 0)->turn += below(rand, 2);
                run_to_scan(f, SECONDS(1));
        }
}

static void test_random_healthy(Fixture *f, gconstpointer data) {
        g_autoptr(GRand) rand = random_new();

        for (unsigned i = 0; i < RANDOM_ROUNDS; i++) {
                uint64_t n_syncs;

                run_workers(f, 0, below(rand, 2) ? 1 : 4 + below(rand, 20), 0);
                f->answers.filesystems_cure = below(rand, 2) == 0;
                scan(f);
                g_assert_cmpuint(run_until(f, EVENT_EPISODE_STARTED, SECONDS(31)), !=, NEVER);
                run(f, SECONDS(below(rand, 60)));

                run_healthy(f, rand, 8);
                if (f->syncing)
                        run_healthy(f, rand, 8);
                g_assert_cmpuint(f->count[EVENT_EPISODE_ENDED], ==, f->count[EVENT_EPISODE_STARTED]);

                n_syncs = f->n_sync_ids;
                run_healthy(f, rand, below(rand, 300));
                g_assert_cmpuint(f->n_sync_ids, ==, n_syncs);
                g_assert_cmpuint(f->count[EVENT_EPISODE_ENDED], ==, f->count[EVENT_EPISODE_STARTED]);
        }
}

static void random_stalls(Fixture *f, GRand *rand, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                f->answers.filesystems_cure = below(rand, 2) == 0;
                run_workers(f, 0, below(rand, 20), below(rand, 3));
                engine_thread_created(f->engine, f->now);
                run(f, SECONDS(below(rand, 90)));
                run_workers(f, 0, 0, 0);
                run(f, SECONDS(below(rand, 40)));
        }
}

/* Two engines get the same inputs; one of them had a dry run before. */
static void test_random_dry_run(Fixture *f, gconstpointer data) {
        g_autoptr(GRand) rand = random_new();
        g_autofree Fixture *other = g_new0(Fixture, 1);

        for (unsigned i = 0; i < RANDOM_ROUNDS / 10; i++) {
                uint32_t seed = g_rand_int(rand);
                uint64_t n_dry;

                start(f, 8);
                set(f, SETTING_DRY_RUN, "yes");
                random_stalls(f, rand, below(rand, 12) + 1);
                run(f, SECONDS(60));
                set(f, SETTING_DRY_RUN, "no");
                n_dry = f->n_sync_ids;

                start(other, 8);
                other->now = f->now;
                scan(other);
                scan(f);

                for (size_t k = 0; k < 2; k++) {
                        g_autoptr(GRand) same = g_rand_new_with_seed(seed);

                        random_stalls(k == 0 ? f : other, same, 30);
                }

                g_assert_cmpuint(f->n_sync_ids - n_dry, ==, other->n_sync_ids);
                for (size_t k = 0; k < other->n_sync_ids && n_dry + k < SYNCS_MAX; k++) {
                        g_assert_cmpuint(f->syncs_usec[n_dry + k], ==, other->syncs_usec[k]);
                        g_assert_cmpint(f->rules[n_dry + k], ==, other->rules[k]);
                }
                g_assert_cmpuint(
                                engine_syncs_unhelpful(f->engine), ==, engine_syncs_unhelpful(other->engine));
        }
        engine_free(other->engine);
}

int main(int argc, char **argv) {
        static const struct {
                const char *path;
                void (*test)(Fixture *, gconstpointer);
        } tests[] = {
                { "/engine/rules/idle", test_idle },
                { "/engine/rules/intervals", test_intervals },
                { "/engine/rules/crowd-times", test_crowd_times },
                { "/engine/rules/burst", test_burst },
                { "/engine/rules/snapshots", test_snapshots },
                { "/engine/rules/cpu-time", test_cpu_time },
                { "/engine/rules/cpu-time-of-before", test_cpu_time_of_before },
                { "/engine/rules/waiting", test_waiting },
                { "/engine/rules/waiting-in-turns", test_waiting_in_turns },
                { "/engine/rules/count-waiting", test_count_waiting },
                { "/engine/rules/poll-interval", test_poll_interval },
                { "/engine/rules/many-works", test_many_works },
                { "/engine/rules/many-works-that-wait", test_many_works_that_wait },
                { "/engine/rules/works-are-judged-apart", test_works_are_judged_apart },
                { "/engine/rules/other-work-is-not-synced-for", test_other_work_is_not_synced_for },
                { "/engine/rules/crowd-size", test_crowd_size },
                { "/engine/rules/crowd-off", test_crowd_off },
                { "/engine/rules/cpus-change", test_cpus_change },
                { "/engine/rules/two-cpus", test_two_cpus },
                { "/engine/rules/flickering-crowd", test_flickering_crowd },
                { "/engine/rules/worker-rule", test_worker_rule },
                { "/engine/rules/worker-rule-at-an-idle-scan", test_worker_rule_at_an_idle_scan },
                { "/engine/rules/worker-rule-with-gaps", test_worker_rule_with_gaps },
                { "/engine/rules/worker-rule-in-turns", test_worker_rule_in_turns },
                { "/engine/rules/crowd-in-turns", test_crowd_in_turns },
                { "/engine/rules/age-does-not-count", test_age_does_not_count },
                { "/engine/rules/reused-pid", test_reused_pid },
                { "/engine/confirm/unconfirmed", test_unconfirmed },
                { "/engine/confirm/confirmed-by-another-worker", test_confirmed_by_another_worker },
                { "/engine/confirm/pause-between-scan-and-confirm", test_pause_between_scan_and_confirm },
                { "/engine/confirm/inhibitor-between-scan-and-confirm",
                  test_inhibitor_between_scan_and_confirm },
                { "/engine/failed/failed-scans", test_failed_scans },
                { "/engine/failed/failed-scans-of-a-crowd", test_failed_scans_of_a_crowd },
                { "/engine/episode/episode-ends", test_episode_ends },
                { "/engine/episode/episode-is-not-ended-by-gaps", test_episode_is_not_ended_by_gaps },
                { "/engine/episode/waits-for-an-instant", test_waits_for_an_instant },
                { "/engine/episode/healthy-work-keeps-no-episode-open",
                  test_healthy_work_keeps_no_episode_open },
                { "/engine/episode/soon-after-another", test_soon_after_another },
                { "/engine/episode/other-works-keep-no-episode-open", test_other_works_keep_no_episode_open },
                { "/engine/episode/waiting-keeps-it-open-during-our-sync",
                  test_waiting_keeps_it_open_during_our_sync },
                { "/engine/episode/one-episode-at-a-time", test_one_episode_at_a_time },
                { "/engine/episode/one-sync-for-all-works", test_one_sync_for_all_works },
                { "/engine/episode/others-are-noted", test_others_are_noted },
                { "/engine/episode/longest-runs-are-kept", test_longest_runs_are_kept },
                { "/engine/episode/longest-runs-come-late", test_longest_runs_come_late },
                { "/engine/episode/cpu-time-of-an-episode", test_cpu_time_of_an_episode },
                { "/engine/episode/evidence", test_evidence },
                { "/engine/episode/evidence-without-episode", test_evidence_without_episode },
                { "/engine/episode/others-at-the-beginning", test_others_at_the_beginning },
                { "/engine/episode/samples", test_samples },
                { "/engine/episode/samples-of-an-ended-episode", test_samples_of_an_ended_episode },
                { "/engine/episode/history", test_history },
                { "/engine/episode/many-workers", test_many_workers },
                { "/engine/episode/many-workers-on-one-cpu", test_many_workers_on_one_cpu },
                { "/engine/episode/longest-of-many-runs", test_longest_of_many_runs },
                { "/engine/sync/outcomes", test_outcomes },
                { "/engine/sync/ends-while-syncing", test_ends_while_syncing },
                { "/engine/sync/requested-before-the-rule", test_requested_before_the_rule },
                { "/engine/sync/cleared", test_cleared },
                { "/engine/sync/helped-later", test_helped_later },
                { "/engine/sync/many-syncs-in-an-episode", test_many_syncs_in_an_episode },
                { "/engine/sync/requested-at-the-end-of-another", test_requested_at_the_end_of_another },
                { "/engine/sync/one-filesystem-fails", test_one_filesystem_fails },
                { "/engine/sync/dry-run-after-a-sync", test_dry_run_after_a_sync },
                { "/engine/sync/unhelpful-for-hours", test_unhelpful_for_hours },
                { "/engine/sync/unhelpful-across-episodes", test_unhelpful_across_episodes },
                { "/engine/sync/reset-when-helped", test_reset_when_helped },
                { "/engine/sync/reset-after-an-hour", test_reset_after_an_hour },
                { "/engine/sync/stalls-every-90s", test_stalls_every_90s },
                { "/engine/sync/short-recovery", test_short_recovery },
                { "/engine/sync/failed-sync", test_failed_sync },
                { "/engine/sync/stalled-sync", test_stalled_sync },
                { "/engine/sync/recovery", test_recovery },
                { "/engine/dry-run/dry-run", test_dry_run },
                { "/engine/dry-run/dry-run-ends", test_dry_run_ends },
                { "/engine/dry-run/dry-run-between", test_dry_run_between },
                { "/engine/dry-run/requested-in-dry-run", test_requested_in_dry_run },
                { "/engine/pause/pause", test_pause },
                { "/engine/pause/pause-for", test_pause_for },
                { "/engine/pause/pause-is-reported", test_pause_is_reported },
                { "/engine/pause/inhibitors", test_inhibitors },
                { "/engine/pause/inhibitors-are-reported", test_inhibitors_are_reported },
                { "/engine/pause/resume-in-a-stall", test_resume_in_a_stall },
                { "/engine/pause/pause-while-syncing", test_pause_while_syncing },
                { "/engine/pause/requests", test_requests },
                { "/engine/pause/requested-during-an-automatic-one", test_requested_during_an_automatic_one },
                { "/engine/parts/filesystems-suffice", test_filesystems_suffice },
                { "/engine/parts/filesystems-do-not-suffice", test_filesystems_do_not_suffice },
                { "/engine/parts/scans-fail-after-filesystems", test_scans_fail_after_filesystems },
                { "/engine/parts/filesystems-time-out", test_filesystems_time_out },
                { "/engine/parts/no-filesystems", test_no_filesystems },
                { "/engine/parts/methods", test_methods },
                { "/engine/parts/requested-parts", test_requested_parts },
                { "/engine/parts/answers-without-a-sync", test_answers_without_a_sync },
                { "/engine/parts/many-filesystems", test_many_filesystems },
                { "/engine/wakeups/thread-created", test_thread_created },
                { "/engine/wakeups/thread-created-before-idle", test_thread_created_before_idle },
                { "/engine/wakeups/thread-created-and-failed-scan", test_thread_created_and_failed_scan },
                { "/engine/wakeups/wakes-while-syncing", test_wakes_while_syncing },
                { "/engine/wakeups/wakes-during-an-episode", test_wakes_during_an_episode },
                { "/engine/settings/changed-thresholds", test_changed_thresholds },
                { "/engine/settings/changed-recovery", test_changed_recovery },
                { "/engine/settings/changed-in-an-episode", test_changed_in_an_episode },
                { "/engine/settings/long-thresholds", test_long_thresholds },
                { "/engine/settings/names", test_names },
                { "/engine/random/random", test_random },
                { "/engine/random/random-healthy", test_random_healthy },
                { "/engine/random/random-dry-run", test_random_dry_run },
        };

        g_test_init(&argc, &argv, NULL);
        for (size_t i = 0; i < ELEMENTSOF(tests); i++)
                g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].test, tear_down);

        return g_test_run();
}
