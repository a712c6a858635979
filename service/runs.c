/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "runs.h"

#define RUNS_WAITING_MAX (ENGINE_RUNS_MAX / 2)

const Run *runs_table(const Runs *runs) {
        return runs->tables[runs->is_second];
}

static int compare_workers(const Worker *a, const Worker *b) {
        if (a->pid != b->pid)
                return a->pid < b->pid ? -1 : 1;
        if (a->start_time != b->start_time)
                return a->start_time < b->start_time ? -1 : 1;
        return 0;
}

/* Finds the run that a worker continues: the same thread in the same work. Both tables are sorted; the search
 * begins at *i and updates it. */
static const Run *find_run(const Runs *runs, const Worker *worker, size_t *i) {
        const Run *table = runs_table(runs);

        while (*i < runs->n && compare_workers(&table[*i].worker, worker) < 0)
                (*i)++;

        if (*i < runs->n && worker_same(&table[*i].worker, worker) &&
            streq(table[*i].worker.name, worker->name))
                return &table[*i];

        return NULL;
}

/* The room for new runs. Continued runs are kept first, since they are longer. */
static size_t count_free(const Runs *runs, const Worker *workers, size_t n_workers) {
        size_t n_known = 0;

        for (size_t i = 0, k = 0; i < n_workers; i++)
                if (find_run(runs, &workers[i], &k))
                        n_known++;

        return ENGINE_RUNS_MAX - n_known;
}

static Run next_run(const Run *before, uint64_t now_usec, const Worker *worker) {
        Run run = {
                .worker = *worker,
                .since_usec = before ? before->since_usec : now_usec,
        };

        if (!worker_spins(worker))
                run.waiting_since_usec = before && before->waiting_since_usec > 0 ? before->waiting_since_usec
                                                                                  : now_usec;
        return run;
}

void runs_update(Runs *runs, Loads *loads, uint64_t now_usec, const Worker *workers, size_t n_workers) {
        size_t n_free = count_free(runs, workers, n_workers), n = 0;
        size_t n_free_spinning = MIN(n_free, (size_t) ENGINE_RUNS_MAX - RUNS_WAITING_MAX);
        size_t n_free_waiting = n_free - n_free_spinning;
        Run *next = runs->tables[!runs->is_second];

        runs->n_spinning = runs->n_waiting = 0;

        for (size_t i = 0, k = 0; i < n_workers; i++) {
                const Worker *worker = &workers[i];
                const Run *before = find_run(runs, worker, &k);
                bool spins = worker_spins(worker);
                size_t *n_room = spins ? &n_free_spinning : &n_free_waiting;

                (*(spins ? &runs->n_spinning : &runs->n_waiting))++;
                loads_count(loads, worker,
                            before ? usec_subtract(worker->cpu_usec, before->worker.cpu_usec) : 0);

                if (!before) {
                        if (*n_room == 0)
                                continue;
                        (*n_room)--;
                }
                next[n++] = next_run(before, now_usec, worker);
        }

        runs->is_second = !runs->is_second;
        runs->n = n;
}

void runs_shift(Runs *runs, uint64_t usec) {
        Run *table = runs->tables[runs->is_second];

        for (size_t i = 0; i < runs->n; i++) {
                table[i].since_usec += usec;
                if (table[i].waiting_since_usec > 0)
                        table[i].waiting_since_usec += usec;
        }
}

const Run *runs_longest(const Runs *runs) {
        const Run *table = runs_table(runs), *longest = NULL;

        for (size_t i = 0; i < runs->n; i++)
                if (!longest || table[i].since_usec < longest->since_usec)
                        longest = &table[i];

        return longest;
}

const Run *runs_find_work(const Runs *runs, const char *work) {
        const Run *table = runs_table(runs), *waiting = NULL;

        for (size_t i = 0; i < runs->n; i++) {
                if (!run_is_of_work(&table[i], work))
                        continue;
                if (table[i].waiting_since_usec == 0)
                        return &table[i];
                waiting = &table[i];
        }

        return waiting;
}

static const Run *longest_waiting(const Runs *runs) {
        const Run *table = runs_table(runs), *longest = NULL;

        for (size_t i = 0; i < runs->n; i++)
                if (table[i].waiting_since_usec > 0 &&
                    (!longest || table[i].waiting_since_usec < longest->waiting_since_usec))
                        longest = &table[i];

        return longest;
}

const Run *runs_report_waiting(Runs *runs, uint64_t now_usec, uint64_t threshold_usec, bool is_expected) {
        const Run *longest;

        if (runs->n_waiting > 0)
                runs->last_waiting_usec = now_usec;
        else if (now_usec >= usec_add(runs->last_waiting_usec, threshold_usec))
                runs->waiting_reported = false;

        if (runs->waiting_reported || is_expected)
                return NULL;

        longest = longest_waiting(runs);
        if (!longest || now_usec - longest->waiting_since_usec < threshold_usec)
                return NULL;

        runs->waiting_reported = true;
        return longest;
}
