/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "tally.h"

#include "terminal.h"

/* Nearly all scans: workers of a stall flicker. */
#define NEARLY_ALL 0.9

/* The daemon's rules need as much CPU time (docs/detection.md). */
#define CPU_SHARE_MIN 0.2

static void work_free(WorkTally *work) {
        g_free(work->work);
        g_free(work);
}

Tally *tally_new(void) {
        Tally *tally = g_new0(Tally, 1);

        tally->works = g_ptr_array_new_with_free_func((GDestroyNotify) work_free);
        tally->last = g_array_new(FALSE, FALSE, sizeof(Worker));
        return tally;
}

Tally *tally_free(Tally *tally) {
        if (!tally)
                return NULL;
        g_ptr_array_unref(tally->works);
        g_array_unref(tally->last);
        g_free(tally);
        return NULL;
}

const WorkTally *tally_find(const Tally *tally, const char *work) {
        for (size_t i = 0; i < tally->works->len; i++) {
                const WorkTally *candidate = tally->works->pdata[i];

                if (streq(candidate->work, work))
                        return candidate;
        }
        return NULL;
}

static WorkTally *work_for(Tally *tally, const char *name) {
        WorkTally *work = (WorkTally *) tally_find(tally, name);

        if (!work) {
                work = g_new0(WorkTally, 1);
                work->work = g_strdup(name);
                g_ptr_array_add(tally->works, work);
        }
        return work;
}

/* The CPU time that it has used since the last scan, if it was running then. */
static uint64_t cpu_since_last(const Tally *tally, const Worker *worker) {
        for (size_t i = 0; i < tally->last->len; i++) {
                const Worker *before = &g_array_index(tally->last, Worker, i);

                if (worker_same(before, worker))
                        return usec_subtract(worker->cpu_usec, before->cpu_usec);
        }
        return 0;
}

/* The workers of one work in one scan. */
static void add_work(Tally *tally, const KworkerScan *scan, const char *name) {
        WorkTally *work = work_for(tally, name);
        unsigned n_spinning = 0, n_waiting = 0;

        for (size_t i = 0; i < scan->n_workers; i++) {
                const Worker *worker = scan->workers + i;

                if (!streq(worker_name_work(worker->name), name))
                        continue;
                work->cpu_usec += cpu_since_last(tally, worker);
                *(worker_spins(worker) ? &n_spinning : &n_waiting) += 1;
        }

        work->n_scans_running++;
        work->n_scans_spinning += n_spinning > 0;
        work->n_spinning += n_spinning;
        work->most_spinning = MAX(work->most_spinning, n_spinning);
        work->most_waiting = MAX(work->most_waiting, n_waiting);
}

/* Whether an earlier worker of the scan runs the same work. */
static bool is_repeated(const KworkerScan *scan, size_t i) {
        const char *work = worker_name_work(scan->workers[i].name);

        for (size_t j = 0; j < i; j++)
                if (streq(worker_name_work(scan->workers[j].name), work))
                        return true;
        return false;
}

void tally_add(Tally *tally, const KworkerScan *scan, uint64_t now_usec) {
        if (tally->n_scans++ == 0)
                tally->begin_usec = now_usec;
        tally->end_usec = now_usec;

        for (size_t i = 0; i < scan->n_workers; i++)
                if (!is_repeated(scan, i))
                        add_work(tally, scan, worker_name_work(scan->workers[i].name));

        g_array_set_size(tally->last, 0);
        g_array_append_vals(tally->last, scan->workers, (guint) scan->n_workers);
}

bool work_runs_on(const Tally *tally, const WorkTally *work) {
        return work && work->n_scans_running >= NEARLY_ALL * tally->n_scans;
}

static double cpu_share(const Tally *tally, const WorkTally *work) {
        uint64_t usec = usec_subtract(tally->end_usec, tally->begin_usec);

        return usec > 0 ? (double) work->cpu_usec / (double) usec : 0;
}

bool work_spins_on(const Tally *tally, const WorkTally *work) {
        return work && work->n_scans_spinning >= NEARLY_ALL * tally->n_scans &&
               cpu_share(tally, work) >= CPU_SHARE_MIN;
}

char *work_describe(const Tally *tally, const WorkTally *work) {
        g_autofree char *span = span_format(usec_subtract(tally->end_usec, tally->begin_usec));

        return g_strdup_printf(
                        "up to %u spinning, up to %u waiting; running in %u of %u scans over %s, %.0f %% of "
                        "a CPU",
                        work->most_spinning, work->most_waiting, work->n_scans_running, tally->n_scans, span,
                        100 * cpu_share(tally, work));
}
