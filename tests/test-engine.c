/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The engine, driven by a clock of our own: no kernel, no bus, no waiting. */

#include <glib.h>
#include <stdio.h>

#include "engine.h"

#define GLOB_WORK "inode_switch_wbs"
#define SECONDS(n) ((uint64_t) ((n) *1e6))

/* An engine, its clock, and the workers that run. */
typedef struct Fixture {
        Engine *engine;
        Settings settings;
        Moment now;
        Worker workers[4096];
        size_t n_workers;
        unsigned actions; /* all that it has said since they were last taken */
} Fixture;

static void fixture_set_up(Fixture *fixture, gconstpointer data) {
        settings_init(&fixture->settings);
        fixture->now = (Moment){ .monotonic_usec = SECONDS(1000), .realtime_usec = SECONDS(1700000000) };
        g_assert_cmpint(engine_new(&fixture->settings, fixture->now, &fixture->engine), ==, 0);
}

static void fixture_tear_down(Fixture *fixture, gconstpointer data) {
        engine_free(fixture->engine);
}

static Worker worker(pid_t pid, uint64_t start_time, const char *name) {
        Worker made = { .pid = pid, .start_time = start_time, .state = 'R' };

        g_strlcpy(made.name, name, sizeof(made.name));
        return made;
}

/* Runs n workers of the bug, with pids from first on. */
static void run_workers(Fixture *fixture, pid_t first, size_t n) {
        fixture->n_workers = n;
        for (size_t i = 0; i < n; i++)
                fixture->workers[i] = worker(first + (pid_t) i, 100, "kworker/0:1+" GLOB_WORK);
}

static unsigned take_actions(Fixture *fixture) {
        unsigned actions = fixture->actions;

        fixture->actions = 0;
        return actions;
}

static unsigned look_without_confirming(Fixture *fixture) {
        unsigned actions;

        actions = engine_look(fixture->engine, fixture->now, fixture->workers, fixture->n_workers);
        fixture->actions |= actions;
        return actions;
}

/* What the manager does at a wakeup. */
static void look(Fixture *fixture) {
        if (look_without_confirming(fixture) & ENGINE_LOOK_AGAIN)
                fixture->actions |= engine_confirm(
                                fixture->engine, fixture->now, fixture->workers, fixture->n_workers);
}

static void advance(Fixture *fixture, uint64_t usec) {
        fixture->now.monotonic_usec += usec;
        fixture->now.realtime_usec += usec;
}

static uint64_t wake_usec(const Fixture *fixture) {
        bool exact;

        return engine_wake_usec(fixture->engine, &exact);
}

/* Lets time pass with a look at each wakeup, until the end of it. */
static void pass(Fixture *fixture, uint64_t usec) {
        uint64_t end_usec = fixture->now.monotonic_usec + usec;

        for (;;) {
                uint64_t next_usec = wake_usec(fixture);

                g_assert_cmpuint(next_usec, >, fixture->now.monotonic_usec);
                if (next_usec > end_usec)
                        break;
                advance(fixture, next_usec - fixture->now.monotonic_usec);
                look(fixture);
        }
        advance(fixture, end_usec - fixture->now.monotonic_usec);
}

/* The same until the engine says one of these; how long that took. */
static uint64_t pass_until(Fixture *fixture, unsigned actions) {
        uint64_t begin_usec = fixture->now.monotonic_usec;

        while (!(fixture->actions & actions)) {
                uint64_t next_usec = wake_usec(fixture);

                g_assert_cmpuint(next_usec, >, fixture->now.monotonic_usec);
                g_assert_cmpuint(next_usec, <, begin_usec + USEC_PER_DAY);
                advance(fixture, next_usec - fixture->now.monotonic_usec);
                look(fixture);
        }

        return fixture->now.monotonic_usec - begin_usec;
}

static void end_sync(Fixture *fixture, uint64_t duration_usec) {
        fixture->actions |= engine_sync_ended(fixture->engine, fixture->now, SYNC_OK, duration_usec);
}

static void set(Fixture *fixture, SettingId id, uint64_t value) {
        _cleanup_free_ char *error = NULL;

        g_assert_cmpint(settings_set_number(&fixture->settings, id, value, "test", &error), ==, 0);
        fixture->actions |= engine_set_settings(fixture->engine, fixture->now, &fixture->settings);
}

#define assert_state(fixture, expected)                                                                      \
        g_assert_cmpstr(engine_state_to_string(engine_state((fixture)->engine)), ==, expected)

#define assert_actions(taken, expected) g_assert_cmphex((taken), ==, (unsigned) (expected))

static void test_worker_rule(Fixture *fixture, gconstpointer data) {
        const Episode *episode;

        look(fixture);
        assert_state(fixture, "idle");
        assert_actions(take_actions(fixture), 0);

        run_workers(fixture, 50, 1);
        look(fixture);
        assert_state(fixture, "busy");
        assert_actions(take_actions(fixture), ENGINE_STATE_CHANGED);

        /* Not before the threshold, and exactly at it. */
        pass(fixture, SECONDS(30) - 1);
        assert_actions(take_actions(fixture), 0);
        g_assert_cmpuint(wake_usec(fixture), ==, fixture->now.monotonic_usec + 1);

        pass(fixture, 1);
        assert_actions(take_actions(fixture),
                       ENGINE_EPISODE_STARTED | ENGINE_LOOK_AGAIN | ENGINE_START_SYNC | ENGINE_STATE_CHANGED);
        assert_state(fixture, "syncing");
        g_assert_cmpint(engine_sync(fixture->engine)->rule, ==, RULE_WORKER);
        g_assert_cmpuint(engine_sync(fixture->engine)->oldest_usec, ==, SECONDS(30));
        g_assert_cmpuint(engine_sync_count(fixture->engine), ==, 1);

        advance(fixture, SECONDS(0.4));
        end_sync(fixture, SECONDS(0.4));
        assert_actions(take_actions(fixture), ENGINE_SYNC_ENDED | ENGINE_STATE_CHANGED);
        assert_state(fixture, "recovery");
        g_assert_cmpint(engine_last_sync(fixture->engine)->result, ==, SYNC_OK);

        /* The worker goes: two looks in a row end the episode. */
        fixture->n_workers = 0;
        look(fixture);
        assert_actions(take_actions(fixture), 0);
        pass(fixture, SECONDS(1));
        assert_actions(take_actions(fixture), ENGINE_EPISODE_ENDED);
        g_assert_null(engine_episode(fixture->engine));
        g_assert_cmpuint(engine_n_episodes(fixture->engine), ==, 1);

        episode = engine_ended_episode(fixture->engine, 0);
        g_assert_cmpint(episode->outcome, ==, OUTCOME_RECOVERED);
        g_assert_cmpint(episode->rule, ==, RULE_WORKER);
        g_assert_cmpuint(episode->worker_count, ==, 1);
        g_assert_cmpuint(episode->n_workers, ==, 1);
        g_assert_cmpint(episode->workers[0].worker.pid, ==, 50);
        g_assert_cmpuint(episode->workers[0].running_usec, ==, SECONDS(30));
        g_assert_cmpuint(episode->n_syncs, ==, 1);
        g_assert_cmpint(episode->syncs[0].result, ==, SYNC_OK);
        g_assert_cmpuint(episode->syncs[0].duration_usec, ==, SECONDS(0.4));
        g_assert_cmpuint(episode->end.monotonic_usec - episode->start.monotonic_usec, ==, SECONDS(1.4));

        /* Recovery ends by time alone, 30 s after the sync. */
        pass(fixture, SECONDS(28.99));
        assert_state(fixture, "recovery");
        pass(fixture, SECONDS(0.01));
        assert_state(fixture, "idle");
}

static void test_age_does_not_count(Fixture *fixture, gconstpointer data) {
        /* A thread of days begins to work now, and a suspended machine ages nobody: only CLOCK_REALTIME went
         * on. */
        fixture->workers[0] = worker(7, 1, "kworker/u8:0+" GLOB_WORK);
        fixture->n_workers = 1;
        look(fixture);
        fixture->now.realtime_usec += USEC_PER_DAY;
        pass(fixture, SECONDS(29.9));
        assert_state(fixture, "busy");

        fixture->now.realtime_usec -= 2 * USEC_PER_DAY;
        g_assert_cmpuint(pass_until(fixture, ENGINE_START_SYNC), ==, SECONDS(0.1));
}

static void test_reused_pid(Fixture *fixture, gconstpointer data) {
        run_workers(fixture, 50, 1);
        look(fixture);
        pass(fixture, SECONDS(20));
        fixture->workers[0].start_time++;
        pass(fixture, SECONDS(29));
        assert_actions(take_actions(fixture), ENGINE_STATE_CHANGED);
        assert_state(fixture, "busy");
        pass_until(fixture, ENGINE_START_SYNC);
}

static void test_other_work(Fixture *fixture, gconstpointer data) {
        /* The same thread at each look, but with another work every 20 s: none of them is stuck. */
        run_workers(fixture, 50, 1);
        for (unsigned i = 0; i < 10; i++) {
                snprintf(fixture->workers[0].name, sizeof(fixture->workers[0].name), "kworker/0:1+%s%u",
                         GLOB_WORK, i);
                look(fixture);
                pass(fixture, SECONDS(20));
        }
        g_assert_cmpuint(engine_sync_count(fixture->engine), ==, 0);
        assert_state(fixture, "busy");
}

static void test_interrupted_run(Fixture *fixture, gconstpointer data) {
        run_workers(fixture, 50, 1);
        look(fixture);
        pass(fixture, SECONDS(29));

        /* One look finds it idle: its time begins anew, the state bears it. */
        fixture->n_workers = 0;
        pass(fixture, SECONDS(1));
        assert_state(fixture, "busy");
        fixture->n_workers = 1;
        pass(fixture, SECONDS(1));
        g_assert_cmpuint(engine_running_usec(fixture->engine, engine_oldest_worker(fixture->engine)), ==, 0);
        pass(fixture, SECONDS(29));
        g_assert_cmpuint(engine_sync_count(fixture->engine), ==, 0);
        pass(fixture, SECONDS(1));
        g_assert_cmpuint(engine_sync_count(fixture->engine), ==, 1);
}

static void test_unconfirmed(Fixture *fixture, gconstpointer data) {
        Worker gone;

        run_workers(fixture, 50, 1);
        look(fixture);
        advance(fixture, SECONDS(30));
        g_assert_true(look_without_confirming(fixture) & ENGINE_LOOK_AGAIN);

        /* Idle by the second look: nothing is done, and its time is not held over. */
        take_actions(fixture);
        g_assert_cmphex(engine_confirm(fixture->engine, fixture->now, NULL, 0), ==, ENGINE_UNCONFIRMED);
        assert_state(fixture, "busy");
        g_assert_null(engine_sync(fixture->engine));
        g_assert_cmpuint(engine_sync_count(fixture->engine), ==, 0);
        pass(fixture, SECONDS(29));
        g_assert_cmpuint(engine_sync_count(fixture->engine), ==, 0);

        /* The same pid, but another thread. */
        pass_until(fixture, ENGINE_SYNC_ENDED | ENGINE_START_SYNC);
        end_sync(fixture, 1);
        pass(fixture, SECONDS(29));
        advance(fixture, SECONDS(1));
        g_assert_true(look_without_confirming(fixture) & ENGINE_LOOK_AGAIN);
        gone = fixture->workers[0];
        gone.start_time++;
        g_assert_cmphex(engine_confirm(fixture->engine, fixture->now, &gone, 1) & ~ENGINE_STATE_CHANGED, ==,
                        ENGINE_UNCONFIRMED);
}

/* Lets size workers take turns: each runs for 5 s, with a look in between that finds only the others. */
static void take_turns(Fixture *fixture, size_t size, unsigned seconds) {
        for (unsigned i = 0; i < seconds && !engine_sync(fixture->engine); i++) {
                run_workers(fixture, 50 + (pid_t) (i / 5) * 100, size);
                look(fixture);
                if (!engine_sync(fixture->engine))
                        pass(fixture, SECONDS(1));
        }
}

static void test_crowd_rule(Fixture *fixture, gconstpointer data) {
        uint64_t begin_usec = fixture->now.monotonic_usec;

        take_turns(fixture, 4, 60);
        g_assert_nonnull(engine_sync(fixture->engine));
        g_assert_cmpint(engine_sync(fixture->engine)->rule, ==, RULE_CROWD);
        g_assert_cmpuint(fixture->now.monotonic_usec - begin_usec, ==, SECONDS(10));
        g_assert_cmpint(engine_episode(fixture->engine)->rule, ==, RULE_CROWD);
}

static void test_crowd_too_small(Fixture *fixture, gconstpointer data) {
        take_turns(fixture, 3, 300);
        g_assert_cmpuint(engine_sync_count(fixture->engine), ==, 0);
}

static void test_crowd_off(Fixture *fixture, gconstpointer data) {
        set(fixture, SETTING_CROWD_SIZE, 0);
        take_turns(fixture, 100, 300);
        g_assert_cmpuint(engine_sync_count(fixture->engine), ==, 0);
}

static void test_crowd_of_different_works(Fixture *fixture, gconstpointer data) {
        for (unsigned i = 0; i < 60; i++) {
                for (unsigned k = 0; k < 8; k++) {
                        fixture->workers[k] = worker(50 + (pid_t) k, 1000 + i, "");
                        snprintf(fixture->workers[k].name, sizeof(fixture->workers[k].name),
                                 "kworker/0:1+" GLOB_WORK "%u", k / 3);
                }
                fixture->n_workers = 8;
                look(fixture);
                pass(fixture, SECONDS(1));
        }
        g_assert_cmpuint(engine_sync_count(fixture->engine), ==, 0);
}

static void test_crowd_flickers(Fixture *fixture, gconstpointer data) {
        /* Every third look finds nobody. On the average it is a crowd of 6. */
        for (unsigned i = 0; !(fixture->actions & ENGINE_EPISODE_STARTED); i++) {
                g_assert_cmpuint(i, <, 30);
                run_workers(fixture, 50 + (pid_t) i * 100, i % 3 == 2 ? 0 : 9);
                look(fixture);
                advance(fixture, SECONDS(1));
        }
        g_assert_cmpint(engine_episode(fixture->engine)->rule, ==, RULE_CROWD);
}

static void test_crowd_breaks(Fixture *fixture, gconstpointer data) {
        /* Two looks in a row without anybody: it begins anew, however large it is. */
        for (unsigned i = 0; i < 120; i++) {
                run_workers(fixture, 50 + (pid_t) i * 100, i % 8 < 2 ? 0 : 50);
                look(fixture);
                advance(fixture, SECONDS(1));
        }
        g_assert_cmpuint(engine_sync_count(fixture->engine), ==, 0);
        g_assert_false(fixture->actions & ENGINE_EPISODE_STARTED);
}

static void test_crowd_average_is_of_late(Fixture *fixture, gconstpointer data) {
        /* One worker that takes turns for minutes must not hide a crowd that comes then: it is the last 10 s
         * that count. Nor does a crowd of before count any more. */
        take_turns(fixture, 1, 300);
        g_assert_cmpuint(engine_sync_count(fixture->engine), ==, 0);
        take_turns(fixture, 5, 12);
        g_assert_cmpuint(engine_sync_count(fixture->engine), ==, 1);
}

static void test_crowd_not_confirmed_by_nobody(Fixture *fixture, gconstpointer data) {
        for (unsigned i = 0; i < 10; i++) {
                run_workers(fixture, 50 + (pid_t) i * 100, 6);
                look(fixture);
                pass(fixture, i < 9 ? SECONDS(1) : SECONDS(1) - 1);
        }
        advance(fixture, 1);
        g_assert_true(look_without_confirming(fixture) & ENGINE_LOOK_AGAIN);
        g_assert_true(engine_confirm(fixture->engine, fixture->now, NULL, 0) & ENGINE_UNCONFIRMED);
        g_assert_cmpuint(engine_sync_count(fixture->engine), ==, 0);

        /* It was between two batches. */
        pass(fixture, SECONDS(1));
        g_assert_cmpuint(engine_sync_count(fixture->engine), ==, 1);
}

static void test_crowd_long_memory(Fixture *fixture, gconstpointer data) {
        /* A long span has more looks in it than points are kept: the average stays right. */
        set(fixture, SETTING_CROWD_THRESHOLD, SECONDS(3600));
        take_turns(fixture, 4, 3599);
        g_assert_cmpuint(engine_sync_count(fixture->engine), ==, 0);
        take_turns(fixture, 4, 3);
        g_assert_cmpuint(engine_sync_count(fixture->engine), ==, 1);
}

static void make_stuck(Fixture *fixture) {
        run_workers(fixture, 50, 1);
        look(fixture);
        pass_until(fixture, ENGINE_START_SYNC);
        take_actions(fixture);
}

static void test_recovery_and_backoff(Fixture *fixture, gconstpointer data) {
        static const unsigned expected[] = { 1, 2, 4, 8, 16, 16, 16 };

        make_stuck(fixture);
        for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
                end_sync(fixture, 1);
                assert_state(fixture, "recovery");
                take_actions(fixture);
                g_assert_cmpuint(pass_until(fixture, ENGINE_START_SYNC), ==, expected[i] * SECONDS(30));
                g_assert_cmpuint(engine_n_episodes(fixture->engine), ==, 0);
        }

        /* The episode's end resets it. */
        end_sync(fixture, 1);
        fixture->n_workers = 0;
        pass_until(fixture, ENGINE_EPISODE_ENDED);
        g_assert_cmpuint(engine_ended_episode(fixture->engine, 0)->sync_count, ==, 8);
        pass(fixture, SECONDS(1000));
        take_actions(fixture);
        make_stuck(fixture);
        end_sync(fixture, 1);
        take_actions(fixture);
        g_assert_cmpuint(pass_until(fixture, ENGINE_START_SYNC), ==, SECONDS(30));
}

static void test_backoff_of_a_crowd(Fixture *fixture, gconstpointer data) {
        static const unsigned expected[] = { 1, 2, 4, 8, 16, 16 };

        /* They take turns, and are never freed as a crowd. */
        take_turns(fixture, 5, 12);
        for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
                uint64_t begin_usec = fixture->now.monotonic_usec;

                end_sync(fixture, 1);
                take_turns(fixture, 5, 600);
                g_assert_nonnull(engine_sync(fixture->engine));
                g_assert_cmpint(engine_sync(fixture->engine)->rule, ==, RULE_CROWD);
                g_assert_cmpuint(fixture->now.monotonic_usec - begin_usec, ==, expected[i] * SECONDS(30));
        }
}

static void test_no_backoff_when_somebody_is_freed(Fixture *fixture, gconstpointer data) {
        run_workers(fixture, 50, 3);
        look(fixture);
        pass_until(fixture, ENGINE_START_SYNC);
        for (unsigned i = 0; i < 2; i++) {
                end_sync(fixture, 1);
                fixture->n_workers--;
                take_actions(fixture);
                g_assert_cmpuint(pass_until(fixture, ENGINE_START_SYNC), ==, SECONDS(30));
        }
}

static void test_no_recovery_time(Fixture *fixture, gconstpointer data) {
        set(fixture, SETTING_RECOVERY, 0);
        make_stuck(fixture);
        end_sync(fixture, 1);
        assert_state(fixture, "busy");
        take_actions(fixture);
        g_assert_cmpuint(pass_until(fixture, ENGINE_START_SYNC), ==, SECONDS(1));
}

static void test_failed_sync(Fixture *fixture, gconstpointer data) {
        /* The helper was killed: that had no effect to wait for. */
        make_stuck(fixture);
        fixture->actions |= engine_sync_ended(fixture->engine, fixture->now, SYNC_FAILED, 0);
        assert_state(fixture, "busy");
        g_assert_cmpint(engine_last_real_sync(fixture->engine)->result, ==, SYNC_FAILED);
        take_actions(fixture);
        g_assert_cmpuint(pass_until(fixture, ENGINE_START_SYNC), ==, SECONDS(1));

        /* One that was never made recovered nobody. */
        fixture->actions |= engine_sync_ended(fixture->engine, fixture->now, SYNC_FAILED, 0);
        fixture->n_workers = 0;
        pass_until(fixture, ENGINE_EPISODE_ENDED);
        g_assert_cmpint(engine_ended_episode(fixture->engine, 0)->outcome, ==, OUTCOME_CLEARED);
}

static void test_stalled_sync(Fixture *fixture, gconstpointer data) {
        make_stuck(fixture);
        g_assert_cmpuint(pass_until(fixture, ENGINE_SYNC_STALLED), ==, SECONDS(300));
        g_assert_cmpint(engine_last_real_sync(fixture->engine)->result, ==, SYNC_STALLED);
        g_assert_cmpuint(engine_last_real_sync(fixture->engine)->duration_usec, ==, SECONDS(300));
        assert_state(fixture, "syncing");

        /* Told once, not repeated, however long it takes. */
        take_actions(fixture);
        pass(fixture, SECONDS(7200));
        assert_actions(take_actions(fixture), 0);
        g_assert_cmpuint(engine_sync_count(fixture->engine), ==, 1);
        end_sync(fixture, SECONDS(7500));
        g_assert_cmpint(engine_last_real_sync(fixture->engine)->result, ==, SYNC_OK);
        assert_state(fixture, "recovery");
}

static void test_sync_outlives_episode(Fixture *fixture, gconstpointer data) {
        make_stuck(fixture);
        fixture->n_workers = 0;
        pass_until(fixture, ENGINE_EPISODE_ENDED);
        assert_state(fixture, "syncing");
        g_assert_cmpint(engine_ended_episode(fixture->engine, 0)->syncs[0].result, ==, SYNC_PENDING);
        end_sync(fixture, 5);
        g_assert_cmpint(engine_ended_episode(fixture->engine, 0)->syncs[0].result, ==, SYNC_OK);
        g_assert_cmpint(engine_ended_episode(fixture->engine, 0)->outcome, ==, OUTCOME_RECOVERED);
}

static void test_pause(Fixture *fixture, gconstpointer data) {
        look(fixture);
        fixture->actions |= engine_pause(fixture->engine, fixture->now, USEC_INFINITY);
        assert_actions(take_actions(fixture), ENGINE_PAUSE_CHANGED | ENGINE_STATE_CHANGED);
        assert_state(fixture, "paused");
        g_assert_cmpuint(engine_paused_until_usec(fixture->engine), ==, USEC_INFINITY);

        /* It watches and reports, and does not sync. */
        run_workers(fixture, 50, 1);
        look(fixture);
        pass(fixture, SECONDS(600));
        assert_actions(take_actions(fixture), ENGINE_EPISODE_STARTED);
        g_assert_cmpuint(engine_sync_count(fixture->engine), ==, 0);

        /* ForceSync still works. */
        fixture->actions |= engine_force_sync(fixture->engine, fixture->now);
        assert_state(fixture, "syncing");
        end_sync(fixture, 1);
        assert_state(fixture, "paused");

        /* What was overdue is made up for after Resume, and the Recovery time. */
        take_actions(fixture);
        fixture->actions |= engine_resume(fixture->engine, fixture->now);
        assert_actions(take_actions(fixture), ENGINE_PAUSE_CHANGED | ENGINE_STATE_CHANGED);
        g_assert_cmpuint(engine_paused_until_usec(fixture->engine), ==, 0);
        g_assert_cmpuint(pass_until(fixture, ENGINE_START_SYNC), ==, SECONDS(30));

        /* Resume without a pause is nothing. */
        end_sync(fixture, 1);
        g_assert_cmphex(engine_resume(fixture->engine, fixture->now), ==, 0);
}

static void test_pause_for(Fixture *fixture, gconstpointer data) {
        bool exact;

        look(fixture);
        fixture->actions |= engine_pause(fixture->engine, fixture->now, SECONDS(100));
        g_assert_cmpuint(
                        engine_paused_until_usec(fixture->engine), ==,
                        fixture->now.realtime_usec + SECONDS(100));
        take_actions(fixture);

        /* Its end comes by its own, in time. */
        pass(fixture, SECONDS(95));
        (void) engine_wake_usec(fixture->engine, &exact);
        g_assert_true(exact);
        g_assert_cmpuint(pass_until(fixture, ENGINE_PAUSE_CHANGED), ==, SECONDS(5));
        assert_state(fixture, "idle");
        g_assert_cmpuint(engine_paused_until_usec(fixture->engine), ==, 0);

        /* A later one replaces an earlier one. */
        fixture->actions = engine_pause(fixture->engine, fixture->now, USEC_INFINITY);
        fixture->actions |= engine_pause(fixture->engine, fixture->now, SECONDS(5));
        take_actions(fixture);
        g_assert_cmpuint(pass_until(fixture, ENGINE_PAUSE_CHANGED), ==, SECONDS(5));
}

static void test_cleared(Fixture *fixture, gconstpointer data) {
        engine_pause(fixture->engine, fixture->now, USEC_INFINITY);
        run_workers(fixture, 50, 2);
        look(fixture);
        pass_until(fixture, ENGINE_EPISODE_STARTED);
        g_assert_cmpint(engine_episode(fixture->engine)->outcome, ==, OUTCOME_ONGOING);
        fixture->n_workers = 0;
        pass_until(fixture, ENGINE_EPISODE_ENDED);
        g_assert_cmpint(engine_ended_episode(fixture->engine, 0)->outcome, ==, OUTCOME_CLEARED);
}

static void test_force_sync(Fixture *fixture, gconstpointer data) {
        look(fixture);
        g_assert_cmpuint(engine_next_sync_id(fixture->engine), ==, 1);
        fixture->actions |= engine_force_sync(fixture->engine, fixture->now);
        assert_actions(take_actions(fixture), ENGINE_START_SYNC | ENGINE_STATE_CHANGED);
        g_assert_cmpuint(engine_sync(fixture->engine)->id, ==, 1);
        g_assert_cmpint(engine_sync(fixture->engine)->rule, ==, RULE_NONE);
        g_assert_cmpuint(engine_sync(fixture->engine)->episode_id, ==, 0);

        /* Those who come during one share the next. */
        for (unsigned i = 0; i < 1000; i++) {
                g_assert_cmpuint(engine_next_sync_id(fixture->engine), ==, 2);
                fixture->actions |= engine_force_sync(fixture->engine, fixture->now);
        }
        assert_actions(take_actions(fixture), 0);

        end_sync(fixture, 7);
        assert_actions(take_actions(fixture), ENGINE_SYNC_ENDED | ENGINE_START_SYNC);
        g_assert_cmpuint(engine_last_sync(fixture->engine)->id, ==, 1);
        g_assert_cmpuint(engine_sync(fixture->engine)->id, ==, 2);
        assert_state(fixture, "syncing");
        end_sync(fixture, 7);
        assert_actions(take_actions(fixture), ENGINE_SYNC_ENDED | ENGINE_STATE_CHANGED);
        g_assert_cmpuint(engine_sync_count(fixture->engine), ==, 2);
        assert_state(fixture, "recovery");

        /* And at once in recovery, too. */
        fixture->actions |= engine_force_sync(fixture->engine, fixture->now);
        g_assert_true(fixture->actions & ENGINE_START_SYNC);

        /* One end too many is ignored. */
        end_sync(fixture, 7);
        g_assert_cmphex(engine_sync_ended(fixture->engine, fixture->now, SYNC_OK, 0), ==, 0);
}

static void test_dry_run(Fixture *fixture, gconstpointer data) {
        set(fixture, SETTING_DRY_RUN, true);
        make_stuck(fixture);
        g_assert_true(engine_sync(fixture->engine)->dry_run);
        fixture->actions |= engine_sync_ended(fixture->engine, fixture->now, SYNC_PENDING, 0);
        assert_state(fixture, "recovery");

        /* Everything but the sync: none is counted, none is the last one, none recovered anybody. */
        g_assert_cmpuint(engine_sync_count(fixture->engine), ==, 0);
        g_assert_null(engine_last_real_sync(fixture->engine));
        fixture->n_workers = 0;
        pass_until(fixture, ENGINE_EPISODE_ENDED);
        g_assert_cmpint(engine_ended_episode(fixture->engine, 0)->outcome, ==, OUTCOME_CLEARED);
        g_assert_true(engine_ended_episode(fixture->engine, 0)->syncs[0].dry_run);
}

static void test_changed_settings(Fixture *fixture, gconstpointer data) {
        /* A lower threshold holds for the worker that runs already: at the next look, which is a poll away.
         */
        run_workers(fixture, 50, 1);
        look(fixture);
        pass(fixture, SECONDS(20));
        set(fixture, SETTING_THRESHOLD, SECONDS(5));
        g_assert_cmpuint(pass_until(fixture, ENGINE_START_SYNC), <=, SECONDS(1));
        end_sync(fixture, 1);

        /* So does a shorter Recovery time in recovery. */
        pass(fixture, SECONDS(3));
        take_actions(fixture);
        set(fixture, SETTING_RECOVERY, SECONDS(4));
        g_assert_cmpuint(pass_until(fixture, ENGINE_START_SYNC), ==, SECONDS(1));

        /* And a shorter timeout for the sync under way. */
        take_actions(fixture);
        pass(fixture, SECONDS(3));
        set(fixture, SETTING_SYNC_TIMEOUT, SECONDS(5));
        g_assert_cmpuint(pass_until(fixture, ENGINE_SYNC_STALLED), ==, SECONDS(2));
}

static void test_failed_look(Fixture *fixture, gconstpointer data) {
        /* Not seeing is not peace: a look that saw nothing at all ends neither a run nor an episode. */
        run_workers(fixture, 50, 1);
        look(fixture);
        for (unsigned i = 0; i < 29; i++) {
                advance(fixture, SECONDS(1));
                fixture->actions |= engine_look_failed(fixture->engine, fixture->now);
        }
        assert_state(fixture, "busy");
        g_assert_false(fixture->actions & ENGINE_START_SYNC);

        /* But it was not seen running meanwhile. */
        g_assert_cmpuint(engine_running_usec(fixture->engine, engine_oldest_worker(fixture->engine)), ==, 0);
        g_assert_cmpuint(pass_until(fixture, ENGINE_START_SYNC), ==, SECONDS(30));
}

static void test_wakeups(Fixture *fixture, gconstpointer data) {
        bool exact;

        look(fixture);
        g_assert_cmpuint(
                        engine_wake_usec(fixture->engine, &exact), ==,
                        fixture->now.monotonic_usec + SECONDS(10));
        g_assert_false(exact);

        /* A birth makes it look a PollInterval later, once, however many there are. */
        engine_hint(fixture->engine, fixture->now);
        g_assert_cmpuint(wake_usec(fixture), ==, fixture->now.monotonic_usec + SECONDS(1));
        advance(fixture, SECONDS(0.5));
        engine_hint(fixture->engine, fixture->now);
        g_assert_cmpuint(wake_usec(fixture), ==, fixture->now.monotonic_usec + SECONDS(0.5));
        advance(fixture, SECONDS(0.5));
        look(fixture);
        g_assert_cmpuint(wake_usec(fixture), ==, fixture->now.monotonic_usec + SECONDS(10));

        /* Deaf for births, it polls. */
        engine_set_polling(fixture->engine, true);
        g_assert_cmpuint(wake_usec(fixture), ==, fixture->now.monotonic_usec + SECONDS(1));
        engine_set_polling(fixture->engine, false);

        /* Busy, it polls; at the earliest deadline it is exact. A birth adds no look. */
        run_workers(fixture, 50, 1);
        look(fixture);
        advance(fixture, SECONDS(0.01));
        engine_hint(fixture->engine, fixture->now);
        pass(fixture, SECONDS(0.99));
        g_assert_cmpuint(wake_usec(fixture), ==, fixture->now.monotonic_usec + SECONDS(1));
        engine_set_polling(fixture->engine, false);
        fixture->n_workers = 0;
        pass(fixture, SECONDS(2));
        run_workers(fixture, 50, 1);
        look(fixture);
        g_assert_cmpuint(
                        engine_wake_usec(fixture->engine, &exact), ==,
                        fixture->now.monotonic_usec + SECONDS(1));
        g_assert_true(exact);
        set(fixture, SETTING_POLL_INTERVAL, SECONDS(60));
        g_assert_cmpuint(wake_usec(fixture), ==, fixture->now.monotonic_usec + SECONDS(10)); /* the crowd's */
        set(fixture, SETTING_CROWD_SIZE, 0);
        g_assert_cmpuint(wake_usec(fixture), ==, fixture->now.monotonic_usec + SECONDS(30));
}

static void test_many_workers(Fixture *fixture, gconstpointer data) {
        size_t n;

        run_workers(fixture, 50, G_N_ELEMENTS(fixture->workers));
        look(fixture);
        (void) engine_workers(fixture->engine, &n);
        g_assert_cmpuint(n, ==, G_N_ELEMENTS(fixture->workers));
        g_assert_cmpuint(pass_until(fixture, ENGINE_START_SYNC), ==, SECONDS(10));
        g_assert_cmpuint(engine_episode(fixture->engine)->worker_count, ==, G_N_ELEMENTS(fixture->workers));
        g_assert_cmpuint(engine_episode(fixture->engine)->n_workers, ==, ENGINE_EPISODE_WORKERS_MAX);
}

static void test_longest_runs_are_kept(Fixture *fixture, gconstpointer data) {
        const Episode *episode;

        /* 40 workers come one a second, and stay: an episode remembers those of the longest runs. */
        set(fixture, SETTING_CROWD_SIZE, 0);
        engine_pause(fixture->engine, fixture->now, USEC_INFINITY);
        for (size_t i = 1; i <= 40; i++) {
                run_workers(fixture, 50, i);
                look(fixture);
                pass(fixture, SECONDS(1));
        }
        episode = engine_episode(fixture->engine);
        g_assert_cmpuint(episode->n_workers, ==, ENGINE_EPISODE_WORKERS_MAX);
        for (size_t i = 0; i < episode->n_workers; i++)
                g_assert_cmpint(episode->workers[i].worker.pid, <, 50 + ENGINE_EPISODE_WORKERS_MAX);
        g_assert_cmpint(episode_longest_run(episode)->worker.pid, ==, 50);
        g_assert_cmpuint(episode_longest_run(episode)->running_usec, ==, SECONDS(40));
}

static void test_cpu_time(Fixture *fixture, gconstpointer data) {
        run_workers(fixture, 50, 1);
        fixture->workers[0].cpu_usec = SECONDS(500);
        look(fixture);
        fixture->workers[0].cpu_usec = SECONDS(507);
        pass_until(fixture, ENGINE_START_SYNC);
        g_assert_cmpuint(engine_episode(fixture->engine)->workers[0].cpu_usec, ==, SECONDS(7));
}

static void test_history(Fixture *fixture, gconstpointer data) {
        for (unsigned i = 0; i < 70; i++) {
                make_stuck(fixture);
                end_sync(fixture, 1);
                fixture->n_workers = 0;
                pass_until(fixture, ENGINE_EPISODE_ENDED);
                pass(fixture, SECONDS(40));
        }
        g_assert_cmpuint(engine_n_episodes(fixture->engine), ==, 64);
        g_assert_cmpuint(engine_ended_episode(fixture->engine, 0)->id, ==, 7);
        g_assert_cmpuint(engine_ended_episode(fixture->engine, 63)->id, ==, 70);
}

/* Threads are used again: what one did in an episode says nothing about the next one. */
static void test_same_worker_again(Fixture *fixture, gconstpointer data) {
        const Episode *episode;

        set(fixture, SETTING_CROWD_SIZE, 0);
        engine_pause(fixture->engine, fixture->now, USEC_INFINITY);
        run_workers(fixture, 50, 2);
        look(fixture);
        pass(fixture, SECONDS(100));
        fixture->n_workers = 0;
        pass_until(fixture, ENGINE_EPISODE_ENDED);

        fixture->workers[0].cpu_usec = SECONDS(60);
        fixture->n_workers = 1;
        look(fixture);
        fixture->workers[0].cpu_usec = SECONDS(67);
        pass(fixture, SECONDS(30));
        episode = engine_episode(fixture->engine);
        g_assert_nonnull(episode);
        g_assert_cmpuint(episode->n_workers, ==, 1);
        g_assert_cmpuint(episode->workers[0].running_usec, ==, SECONDS(30));
        g_assert_cmpuint(episode->workers[0].cpu_usec, ==, SECONDS(7));

        /* Nor does another thread take its place. */
        run_workers(fixture, 70, 1);
        look(fixture);
        fixture->n_workers = 0;
        (void) take_actions(fixture);
        pass_until(fixture, ENGINE_EPISODE_ENDED);
        run_workers(fixture, 70, 1);
        look(fixture);
        pass(fixture, SECONDS(30));
        episode = engine_episode(fixture->engine);
        g_assert_cmpuint(episode->n_workers, ==, 1);
        g_assert_cmpint(episode->workers[0].worker.pid, ==, 70);
}

/* Random inputs, and what must hold after each. */

static void test_random(Fixture *fixture, gconstpointer data) {
        bool syncing = false, paused = false, episode = false;
        uint64_t n_started = 0, n_ended = 0, recovery_end_usec = 0, stuck_since_usec = 0;

        for (unsigned i = 0; i < 1000000; i++) {
                unsigned actions = 0, before = fixture->actions;
                int event = g_test_rand_int_range(0, 100);
                bool forced = false;

                fixture->actions = 0;

                if (event < 80) {
                        /* The time comes to look, and perhaps something has changed since. */
                        advance(fixture, wake_usec(fixture) - fixture->now.monotonic_usec);
                        if (g_test_rand_int_range(0, 20) == 0)
                                run_workers(fixture, 50 + g_test_rand_int_range(0, 3) * 10,
                                            (size_t) g_test_rand_int_range(0, 9));
                        look(fixture);
                } else if (event < 90) {
                        advance(fixture, (uint64_t) g_test_rand_int_range(0, 500000));
                        if (fixture->now.monotonic_usec < wake_usec(fixture))
                                engine_hint(fixture->engine, fixture->now);
                } else if (event < 94) {
                        if (syncing)
                                fixture->actions |= engine_sync_ended(
                                                fixture->engine, fixture->now,
                                                g_test_rand_int_range(0, 8) ? SYNC_OK : SYNC_FAILED, 5);
                        forced = true; /* one that was asked for during it may follow */
                } else if (event < 95) {
                        fixture->actions |=
                                        engine_pause(fixture->engine, fixture->now,
                                                     (uint64_t) g_test_rand_int_range(1, 60000000));
                } else if (event < 96) {
                        fixture->actions |= engine_resume(fixture->engine, fixture->now);
                } else if (event < 97) {
                        forced = true;
                        fixture->actions |= engine_force_sync(fixture->engine, fixture->now);
                } else if (event < 98) {
                        set(fixture, SETTING_THRESHOLD,
                            (uint64_t) g_test_rand_int_range(1, 60) * USEC_PER_SEC);
                        set(fixture, SETTING_RECOVERY,
                            (uint64_t) g_test_rand_int_range(0, 60) * USEC_PER_SEC);
                } else
                        fixture->actions |= engine_look_failed(fixture->engine, fixture->now);

                actions = fixture->actions;
                fixture->actions = before;

                /* Never two at once. */
                if (actions & ENGINE_SYNC_ENDED) {
                        g_assert_true(syncing);
                        syncing = false;
                }
                if (actions & ENGINE_START_SYNC) {
                        g_assert_false(syncing);
                        syncing = true;
                        /* None by itself while paused or in the Recovery time. */
                        if (!forced) {
                                g_assert_cmpuint(engine_paused_until_usec(fixture->engine), ==, 0);
                                g_assert_cmpuint(fixture->now.monotonic_usec, >=, recovery_end_usec);
                        }
                }
                g_assert_true(syncing == !!engine_sync(fixture->engine));
                recovery_end_usec = engine_recovery_end_usec(fixture->engine);
                paused = engine_paused_until_usec(fixture->engine) > 0;

                /* No episode lost. */
                if (actions & ENGINE_EPISODE_STARTED) {
                        g_assert_false(episode);
                        episode = true;
                        g_assert_cmpuint(engine_episode(fixture->engine)->id, ==, ++n_started);
                }
                if (actions & ENGINE_EPISODE_ENDED) {
                        g_assert_true(episode);
                        episode = false;
                        n_ended++;
                        g_assert_cmpuint(
                                        engine_ended_episode(
                                                        fixture->engine,
                                                        engine_n_episodes(fixture->engine) - 1)
                                                        ->id,
                                        ==, n_ended);
                }

                /* Never stuck and unanswered for longer than until the next look after it may act. */
                if (event < 80) {
                        const RunningWorker *oldest = engine_oldest_worker(fixture->engine);
                        bool unanswered = oldest &&
                                          engine_running_usec(fixture->engine, oldest) >=
                                                          fixture->settings.threshold_usec &&
                                          !syncing && !paused &&
                                          fixture->now.monotonic_usec >= recovery_end_usec;

                        if (!unanswered)
                                stuck_since_usec = 0;
                        else
                                stuck_since_usec = stuck_since_usec ?: fixture->now.monotonic_usec;
                        g_assert_cmpuint(stuck_since_usec, ==, 0);
                }
        }

        g_test_message("%" G_GUINT64_FORMAT " episodes, %" G_GUINT64_FORMAT " syncs", n_started,
                       engine_sync_count(fixture->engine));
        g_assert_cmpuint(n_started, >, 1000);
        g_assert_cmpuint(engine_sync_count(fixture->engine), >, 1000);
}

/* Recorded stalls, look by look: tests/traces/README says how they were made. */

typedef struct TraceLook {
        uint64_t at_usec;
        GArray *workers; /* the running ones */
} TraceLook;

typedef struct Trace {
        GArray *looks;
        GArray *births_usec;
        uint64_t first_running_usec;
        uint64_t last_running_usec;
} Trace;

static int compare_workers(gconstpointer a, gconstpointer b) {
        return ((const Worker *) a)->pid - ((const Worker *) b)->pid;
}

static void trace_look_clear(gpointer look_pointer) {
        g_array_unref(((TraceLook *) look_pointer)->workers);
}

static void trace_add(Trace *trace, uint64_t at_usec, const Worker *seen) {
        TraceLook *last = trace->looks->len > 0
                                          ? &g_array_index(trace->looks, TraceLook, trace->looks->len - 1)
                                          : NULL;

        if (!last || last->at_usec != at_usec) {
                TraceLook added = { at_usec, g_array_new(FALSE, FALSE, sizeof(Worker)) };

                g_array_append_val(trace->looks, added);
                last = &g_array_index(trace->looks, TraceLook, trace->looks->len - 1);
        }
        if (!seen || !worker_name_work(seen->name))
                return;

        g_array_append_val(last->workers, *seen);
        if (trace->first_running_usec == 0)
                trace->first_running_usec = at_usec;
        trace->last_running_usec = at_usec;
}

static void trace_read(const char *name, Trace *trace) {
        g_autofree char *path = g_test_build_filename(G_TEST_DIST, "traces", name, NULL), *text = NULL;
        g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
        g_autoptr(GArray) first_seen_usec = g_array_new(FALSE, FALSE, sizeof(uint64_t));
        g_autoptr(GArray) start_usec = g_array_new(FALSE, FALSE, sizeof(uint64_t));
        g_autoptr(GError) error = NULL;
        g_auto(GStrv) lines = NULL;
        uint64_t boot_usec = 0;

        g_file_get_contents(path, &text, NULL, &error);
        g_assert_no_error(error);
        lines = g_strsplit(text, "\n", -1);

        *trace = (Trace){
                .looks = g_array_new(FALSE, FALSE, sizeof(TraceLook)),
                .births_usec = g_array_new(FALSE, FALSE, sizeof(uint64_t)),
        };
        g_array_set_clear_func(trace->looks, trace_look_clear);

        for (char **line = lines; *line; line++) {
                unsigned long long at, pid, start, cpu;
                char state, worker_name[64];
                Worker made;
                uint64_t usec;
                int n;

                n = sscanf(*line, "%llu %llu %llu %c %llu %63s", &at, &pid, &start, &state, &cpu,
                           worker_name);
                if (n != 1 && n != 6)
                        continue;

                if (n == 1) {
                        trace_add(trace, at * 1000, NULL);
                        continue;
                }
                made = worker((pid_t) pid, start, worker_name);
                made.cpu_usec = cpu * 10000;
                trace_add(trace, at * 1000, &made);

                if (g_hash_table_add(seen, GSIZE_TO_POINTER(pid * 1000000 + start))) {
                        usec = at * 1000;
                        g_array_append_val(first_seen_usec, usec);
                        usec = start * 10000;
                        g_array_append_val(start_usec, usec);
                        /* Nobody is seen before its birth: so late, after boot, the trace began at the
                         * latest. */
                        boot_usec = MAX(boot_usec, usec_subtract(usec, at * 1000));
                }
        }

        for (guint i = 0; i < start_usec->len; i++) {
                uint64_t start = g_array_index(start_usec, uint64_t, i);

                if (start >= boot_usec) {
                        start -= boot_usec;
                        g_array_append_val(trace->births_usec, start);
                }
        }
        for (guint i = 0; i < trace->looks->len; i++)
                g_array_sort(g_array_index(trace->looks, TraceLook, i).workers, compare_workers);
}

static void trace_done(Trace *trace) {
        g_array_unref(trace->looks);
        g_array_unref(trace->births_usec);
}

/* Replays a trace, the first look offset after its begin; when it was first called stuck, or USEC_INFINITY. A
 * sync is taken to end at once. */
static uint64_t replay(const Trace *trace, uint64_t offset_usec, uint64_t *ret_n_syncs) {
        g_autoptr(GArray) births = g_array_copy(trace->births_usec);
        const TraceLook *end = &g_array_index(trace->looks, TraceLook, trace->looks->len - 1);
        uint64_t now_usec = offset_usec, stuck_usec = USEC_INFINITY;
        Engine *engine;
        Settings settings;
        guint at = 0;

        settings_init(&settings);
        g_assert_cmpint(engine_new(&settings, (Moment){}, &engine), ==, 0);

        while (now_usec <= end->at_usec) {
                const TraceLook *shown;
                Moment now = { .monotonic_usec = now_usec, .realtime_usec = now_usec };
                uint64_t next_usec;
                unsigned actions;
                bool exact;

                while (at + 1 < trace->looks->len &&
                       g_array_index(trace->looks, TraceLook, at + 1).at_usec <= now_usec)
                        at++;
                shown = &g_array_index(trace->looks, TraceLook, at);

                actions =
                                engine_look(engine, now, (const Worker *) (const void *) shown->workers->data,
                                            shown->workers->len);
                if (actions & ENGINE_EPISODE_STARTED)
                        stuck_usec = MIN(stuck_usec, now_usec);
                if (actions & ENGINE_LOOK_AGAIN)
                        actions |= engine_confirm(
                                        engine, now, (const Worker *) (const void *) shown->workers->data,
                                        shown->workers->len);
                if (actions & ENGINE_START_SYNC)
                        (void) engine_sync_ended(engine, now, SYNC_OK, 0);

                /* Births up to the next wakeup may move it. */
                next_usec = engine_wake_usec(engine, &exact);
                for (guint i = 0; i < births->len; i++) {
                        uint64_t *birth_usec = &g_array_index(births, uint64_t, i);

                        if (*birth_usec > now_usec && *birth_usec < next_usec) {
                                engine_hint(engine, (Moment){ *birth_usec, *birth_usec });
                                next_usec = engine_wake_usec(engine, &exact);
                        }
                }
                g_assert_cmpuint(next_usec, >, now_usec);
                now_usec = next_usec;
        }

        *ret_n_syncs = engine_sync_count(engine);
        engine_free(engine);
        return stuck_usec;
}

static void test_trace(gconstpointer name) {
        bool stall = g_str_has_prefix(name, "stall");
        uint64_t latest_usec = 0, n_syncs;
        Trace trace;

        trace_read(name, &trace);

        /* Wherever the sweeps happen to fall. */
        for (uint64_t offset_usec = 0; offset_usec < 10 * USEC_PER_SEC; offset_usec += 50 * USEC_PER_MSEC) {
                uint64_t stuck_usec;

                if (offset_usec > 0 && offset_usec >= trace.first_running_usec && stall)
                        break; /* the daemon runs before the stall does */

                stuck_usec = replay(&trace, offset_usec, &n_syncs);
                if (stall) {
                        g_assert_cmpuint(stuck_usec, <=, trace.first_running_usec + 15 * USEC_PER_SEC);
                        latest_usec = MAX(latest_usec, stuck_usec - trace.first_running_usec);
                } else {
                        g_assert_cmpuint(stuck_usec, ==, USEC_INFINITY);
                        g_assert_cmpuint(n_syncs, ==, 0);
                }
        }

        g_test_message("%s: called stuck %" G_GUINT64_FORMAT
                       " ms after its first running worker, at the latest",
                       (const char *) name, latest_usec / 1000);
        trace_done(&trace);
}

int main(int argc, char **argv) {
        static const struct {
                const char *path;
                void (*test)(Fixture *, gconstpointer);
        } tests[] = {
                { "/engine/worker-rule", test_worker_rule },
                { "/engine/age-does-not-count", test_age_does_not_count },
                { "/engine/reused-pid", test_reused_pid },
                { "/engine/other-work", test_other_work },
                { "/engine/interrupted-run", test_interrupted_run },
                { "/engine/unconfirmed", test_unconfirmed },
                { "/engine/crowd/rule", test_crowd_rule },
                { "/engine/crowd/too-small", test_crowd_too_small },
                { "/engine/crowd/off", test_crowd_off },
                { "/engine/crowd/different-works", test_crowd_of_different_works },
                { "/engine/crowd/flickers", test_crowd_flickers },
                { "/engine/crowd/breaks", test_crowd_breaks },
                { "/engine/crowd/average-is-of-late", test_crowd_average_is_of_late },
                { "/engine/crowd/not-confirmed-by-nobody", test_crowd_not_confirmed_by_nobody },
                { "/engine/crowd/long-memory", test_crowd_long_memory },
                { "/engine/recovery-and-backoff", test_recovery_and_backoff },
                { "/engine/backoff-of-a-crowd", test_backoff_of_a_crowd },
                { "/engine/no-backoff-when-somebody-is-freed", test_no_backoff_when_somebody_is_freed },
                { "/engine/no-recovery-time", test_no_recovery_time },
                { "/engine/failed-sync", test_failed_sync },
                { "/engine/stalled-sync", test_stalled_sync },
                { "/engine/sync-outlives-episode", test_sync_outlives_episode },
                { "/engine/pause", test_pause },
                { "/engine/pause-for", test_pause_for },
                { "/engine/cleared", test_cleared },
                { "/engine/force-sync", test_force_sync },
                { "/engine/dry-run", test_dry_run },
                { "/engine/changed-settings", test_changed_settings },
                { "/engine/failed-look", test_failed_look },
                { "/engine/wakeups", test_wakeups },
                { "/engine/many-workers", test_many_workers },
                { "/engine/longest-runs-are-kept", test_longest_runs_are_kept },
                { "/engine/cpu-time", test_cpu_time },
                { "/engine/history", test_history },
                { "/engine/same-worker-again", test_same_worker_again },
                { "/engine/random", test_random },
        };
        static const char *const traces[] = {
                "stall-60k.trace",
                "stall-60k-synced.trace",
                "healthy-120k.trace",
                "healthy-churn.trace",
        };

        g_test_init(&argc, &argv, NULL);

        for (size_t i = 0; i < ELEMENTSOF(tests); i++)
                g_test_add(tests[i].path, Fixture, NULL, fixture_set_up, tests[i].test, fixture_tear_down);

        for (size_t i = 0; i < ELEMENTSOF(traces); i++) {
                g_autofree char *path = g_strconcat("/engine/trace/", traces[i], NULL);

                g_test_add_data_func(path, traces[i], test_trace);
        }

        return g_test_run();
}
