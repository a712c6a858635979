/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The load of each work, scan by scan. */

#include <glib.h>
#include <stdio.h>

#include "load.h"

#define WORK "inode_switch_wbs"
#define SECONDS(n) ((uint64_t) ((n) *1e6))

typedef struct Fixture {
        Loads loads;
        LoadRules rules;
        uint64_t now_usec;
        char state;
        uint64_t cpu_usec; /* that each worker uses between two scans */
} Fixture;

static void set_up(Fixture *f, gconstpointer data) {
        f->now_usec = SECONDS(1000);
        f->state = 'R';
        f->cpu_usec = SECONDS(1);
        f->rules = (LoadRules){
                .crowd_size = 4,
                .crowd_threshold_usec = SECONDS(10),
                .threshold_usec = SECONDS(30),
        };
}

static void tear_down(Fixture *f, gconstpointer data) {
}

static void count(Fixture *f, const char *work, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                Worker worker = { .pid = (pid_t) i + 10, .state = f->state };

                (void) snprintf(worker.name, sizeof(worker.name), "kworker/0:1+%s", work);
                loads_count(&f->loads, &worker, f->cpu_usec);
        }
}

/* Scans usec after the scan before; it stands for as long. */
static void scan_after(Fixture *f, uint64_t usec, unsigned n) {
        f->now_usec += usec;
        loads_begin(&f->loads);
        count(f, WORK, n);
        loads_end(&f->loads, f->now_usec, usec, &f->rules);
}

static void scan_for(Fixture *f, unsigned seconds, unsigned n) {
        for (unsigned i = 0; i < seconds; i++)
                scan_after(f, SECONDS(1), n);
}

static bool is_crowd(const Fixture *f, const char *work) {
        const Load *load = loads_find(&f->loads, work);

        return load && load_is_crowd(load, f->now_usec, &f->rules);
}

static bool has_stuck_worker(const Fixture *f, const char *work) {
        const Load *load = loads_find(&f->loads, work);

        return load && load_has_stuck_worker(load, f->now_usec, &f->rules);
}

static double mean(const Fixture *f) {
        const Load *load = loads_find(&f->loads, WORK);

        return load ? load_mean(load, f->now_usec) : 0;
}

static void test_crowd(Fixture *f, gconstpointer data) {
        static const struct {
                double crowd_size;
                unsigned n, scans; /* so many scans of n make a crowd; 0: none does */
        } cases[] = {
                { 4, 3, 0 },   { 4, 4, 10 },  { 4, 5, 8 },   { 4, 8, 5 },    { 4, 12, 4 }, { 4, 44, 4 },
                { 1.5, 1, 0 }, { 1.5, 2, 8 }, { 1.5, 3, 5 }, { 1.5, 44, 4 }, { 0, 44, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                unsigned scans = 0;

                memset(&f->loads, 0, sizeof(f->loads));
                f->rules.crowd_size = cases[i].crowd_size;
                do {
                        scan_after(f, SECONDS(1), cases[i].n);
                        scans++;
                } while (!is_crowd(f, WORK) && scans < 100);

                g_test_message("%u of %g", cases[i].n, cases[i].crowd_size);
                g_assert_cmpuint(scans, ==, cases[i].scans ?: 100);
        }
}

static void test_window_slides(Fixture *f, gconstpointer data) {
        /* 33 worker-seconds each time, with more than the window between them. */
        for (unsigned i = 0; i < 20; i++) {
                scan_for(f, 3, 11);
                g_assert_false(is_crowd(f, WORK));
                scan_for(f, 11, 0);
                g_assert_false(is_crowd(f, WORK));
        }

        /* What is older than the window counts no more; the scan at its edge counts by its share. */
        scan_for(f, 10, 4);
        g_assert_true(is_crowd(f, WORK));
        scan_after(f, SECONDS(0.5), 0);
        g_assert_false(is_crowd(f, WORK));
}

static void test_worker(Fixture *f, gconstpointer data) {
        scan_for(f, 26, 1);
        g_assert_false(has_stuck_worker(f, WORK));
        scan_for(f, 1, 1);
        g_assert_true(has_stuck_worker(f, WORK));

        /* Several at once count for one. */
        memset(&f->loads, 0, sizeof(f->loads));
        scan_for(f, 20, 3);
        g_assert_false(has_stuck_worker(f, WORK));

        /* Three seconds without one are the most. */
        memset(&f->loads, 0, sizeof(f->loads));
        scan_for(f, 20, 1);
        scan_for(f, 3, 0);
        scan_for(f, 7, 1);
        g_assert_true(has_stuck_worker(f, WORK));

        memset(&f->loads, 0, sizeof(f->loads));
        scan_for(f, 20, 1);
        scan_for(f, 4, 0);
        scan_for(f, 20, 1);
        g_assert_false(has_stuck_worker(f, WORK));
}

static void test_cpu_time(Fixture *f, gconstpointer data) {
        f->cpu_usec = 0;
        scan_for(f, 100, 12);
        g_assert_false(is_crowd(f, WORK));
        g_assert_false(has_stuck_worker(f, WORK));

        f->cpu_usec = SECONDS(0.15);
        scan_for(f, 100, 1);
        g_assert_false(has_stuck_worker(f, WORK));
        f->cpu_usec = SECONDS(0.25);
        scan_for(f, 31, 1);
        g_assert_true(has_stuck_worker(f, WORK));
}

static void test_waiting(Fixture *f, gconstpointer data) {
        f->state = 'D';
        scan_for(f, 100, 12);
        g_assert_false(is_crowd(f, WORK));
        g_assert_false(has_stuck_worker(f, WORK));
        g_assert_cmpuint(loads_find(&f->loads, WORK)->n_waiting, ==, 12);
        g_assert_cmpuint(loads_find(&f->loads, WORK)->n_spinning, ==, 0);
        g_assert_cmpuint(load_count(loads_find(&f->loads, WORK), &f->rules), ==, 0);

        /* They count, and need no CPU time. */
        f->rules.count_waiting = true;
        f->cpu_usec = 0;
        g_assert_cmpuint(load_count(loads_find(&f->loads, WORK), &f->rules), ==, 12);
        scan_for(f, 30, 12);
        g_assert_true(is_crowd(f, WORK));
        g_assert_true(has_stuck_worker(f, WORK));
}

static void test_mean(Fixture *f, gconstpointer data) {
        scan_for(f, 10, 4);
        g_assert_cmpfloat_with_epsilon(mean(f), 4, 0.01);
        scan_for(f, 1, 0);
        g_assert_cmpfloat_with_epsilon(mean(f), 3.2, 0.01);
        scan_for(f, 3, 0);
        g_assert_cmpfloat_with_epsilon(mean(f), 0.8, 0.01);
        scan_for(f, 1, 0);
        g_assert_cmpfloat_with_epsilon(mean(f), 0, 0.01);
}

static void test_empty(Fixture *f, gconstpointer data) {
        scan_for(f, 30, 6);
        g_assert_true(is_crowd(f, WORK));
        g_assert_true(has_stuck_worker(f, WORK));

        loads_empty(&f->loads);
        g_assert_false(is_crowd(f, WORK));
        g_assert_false(has_stuck_worker(f, WORK));
        g_assert_cmpfloat_with_epsilon(mean(f), 6, 0.01);

        /* The count begins anew. */
        scan_for(f, 6, 6);
        g_assert_false(is_crowd(f, WORK));
        scan_for(f, 1, 6);
        g_assert_true(is_crowd(f, WORK));
}

static void test_shift(Fixture *f, gconstpointer data) {
        scan_for(f, 5, 4);
        loads_shift(&f->loads, SECONDS(3600));
        f->now_usec += SECONDS(3600);
        scan_for(f, 4, 4);
        g_assert_false(is_crowd(f, WORK));
        scan_for(f, 1, 4);
        g_assert_true(is_crowd(f, WORK));
}

/* What a scan stands for need not be the time since the scan before. */
static void test_weight(Fixture *f, gconstpointer data) {
        for (unsigned i = 0; i < 100; i++) {
                f->now_usec += SECONDS(2);
                loads_begin(&f->loads);
                count(f, WORK, 6);
                loads_end(&f->loads, f->now_usec, SECONDS(1), &f->rules);
                g_assert_false(is_crowd(f, WORK));
        }

        for (unsigned i = 0; i < 100; i++) {
                f->now_usec += SECONDS(1);
                loads_begin(&f->loads);
                count(f, WORK, 12);
                loads_end(&f->loads, f->now_usec, 0, &f->rules);
        }
        g_assert_false(is_crowd(f, WORK));
}

static void test_forgotten(Fixture *f, gconstpointer data) {
        scan_for(f, 3, 1);
        scan_for(f, 28, 0);
        g_assert_nonnull(loads_find(&f->loads, WORK));
        scan_for(f, 10, 0);
        g_assert_null(loads_find(&f->loads, WORK));
}

/* A work that is forgotten leaves the others as they were. */
static void test_one_forgotten(Fixture *f, gconstpointer data) {
        for (unsigned i = 0; i < 42; i++) {
                f->now_usec += SECONDS(1);
                loads_begin(&f->loads);
                count(f, "first", i < 3 ? 1 : 0);
                count(f, WORK, 5);
                count(f, "last", i == 41 ? 1 : 0);
                loads_end(&f->loads, f->now_usec, SECONDS(1), &f->rules);

                g_assert_cmpuint(loads_find(&f->loads, WORK)->n_spinning, ==, 5);
                g_assert_cmpint(is_crowd(f, WORK), ==, i >= 7);
                g_assert_cmpfloat_with_epsilon(mean(f), 5, 0.01);
        }

        g_assert_null(loads_find(&f->loads, "first"));
        g_assert_cmpuint(loads_find(&f->loads, "last")->n_spinning, ==, 1);
}

/* One scan of many works, and of the largest one before or after them. */
static void scan_many(Fixture *f, unsigned n_others, unsigned n_before, unsigned n_after) {
        f->now_usec += SECONDS(1);
        loads_begin(&f->loads);
        count(f, "largest", n_before);
        for (unsigned i = 0; i < n_others; i++) {
                char work[16];

                (void) snprintf(work, sizeof(work), "other%u", i);
                count(f, work, 1);
        }
        count(f, "largest", n_after);
        loads_end(&f->loads, f->now_usec, SECONDS(1), &f->rules);
}

static void test_many_works(Fixture *f, gconstpointer data) {
        static const struct {
                unsigned n_others, seconds, n_before, n_after;
        } cases[] = {
                { LOADS_MAX, 0, 14, 0 },      { LOADS_MAX, 0, 0, 14 },     { 3 * LOADS_MAX, 0, 14, 0 },
                { 3 * LOADS_MAX, 0, 0, 14 },  { LOADS_MAX, 60, 14, 0 },    { LOADS_MAX, 60, 0, 14 },
                { 3 * LOADS_MAX, 60, 0, 14 }, { 3 * LOADS_MAX, 60, 6, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                memset(&f->loads, 0, sizeof(f->loads));
                for (unsigned k = 0; k < cases[i].seconds; k++)
                        scan_many(f, cases[i].n_others, 0, 0);
                for (unsigned k = 0; k < 10; k++)
                        scan_many(f, cases[i].n_others, cases[i].n_before, cases[i].n_after);

                g_test_message("%u others since %u s", cases[i].n_others, cases[i].seconds);
                g_assert_true(is_crowd(f, "largest"));
                g_assert_cmpuint(
                                loads_find(&f->loads, "largest")->n_spinning, ==,
                                cases[i].n_before + cases[i].n_after);
        }
}

/* However many scans lie in a window, it keeps WINDOW_PARTS_MAX parts, and stays right. */
static void test_long_windows(Fixture *f, gconstpointer data) {
        f->rules.crowd_threshold_usec = SECONDS(3600);
        f->rules.threshold_usec = SECONDS(24 * 3600);

        scan_for(f, 3500, 4);
        g_assert_false(is_crowd(f, WORK));
        scan_for(f, 150, 4);
        g_assert_true(is_crowd(f, WORK));
        scan_for(f, 180, 0);
        g_assert_false(is_crowd(f, WORK));
        g_assert_cmpfloat_with_epsilon(mean(f), 0, 0.01);

        /* At the shortest interval. */
        memset(&f->loads, 0, sizeof(f->loads));
        f->rules.crowd_threshold_usec = SECONDS(10);
        f->rules.threshold_usec = SECONDS(30);
        for (unsigned i = 0; i < 97; i++)
                scan_after(f, SECONDS(0.1), 4);
        g_assert_false(is_crowd(f, WORK));
        for (unsigned i = 0; i < 6; i++)
                scan_after(f, SECONDS(0.1), 4);
        g_assert_true(is_crowd(f, WORK));
        g_assert_cmpfloat_with_epsilon(mean(f), 4, 0.15);
        for (unsigned i = 0; i < 52; i++)
                scan_after(f, SECONDS(0.1), 0);
        g_assert_cmpfloat_with_epsilon(mean(f), 0, 0.01);
}

int main(int argc, char **argv) {
        static const struct {
                const char *path;
                void (*test)(Fixture *, gconstpointer);
        } tests[] = {
                { "/load/crowd", test_crowd },
                { "/load/window-slides", test_window_slides },
                { "/load/worker", test_worker },
                { "/load/cpu-time", test_cpu_time },
                { "/load/waiting", test_waiting },
                { "/load/mean", test_mean },
                { "/load/empty", test_empty },
                { "/load/shift", test_shift },
                { "/load/weight", test_weight },
                { "/load/forgotten", test_forgotten },
                { "/load/one-forgotten", test_one_forgotten },
                { "/load/many-works", test_many_works },
                { "/load/long-windows", test_long_windows },
        };

        g_test_init(&argc, &argv, NULL);
        for (size_t i = 0; i < ELEMENTSOF(tests); i++)
                g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].test, tear_down);

        return g_test_run();
}
