/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "local-workers.h"

#include <time.h>

#include "kworkers.h"

/* A worker that flickers is seen in most scans, or in none. */
#define SCAN_INTERVAL_USEC (250 * USEC_PER_MSEC)

/* In the order of ListWorkers. */
static GVariant *worker_to_variant(const Worker *worker) {
        g_autofree char *name = g_utf8_make_valid(worker->name, -1);
        GVariantBuilder builder;

        g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
        g_variant_builder_add(&builder, "{sv}", "PID", g_variant_new_uint32((uint32_t) worker->pid));
        g_variant_builder_add(&builder, "{sv}", "StartTime", g_variant_new_uint64(worker->start_time));
        g_variant_builder_add(&builder, "{sv}", "Name", g_variant_new_string(name));
        g_variant_builder_add(&builder, "{sv}", "CPUUSec", g_variant_new_uint64(worker->cpu_usec));
        g_variant_builder_add(
                        &builder, "{sv}", "State", g_variant_new_take_string(g_strndup(&worker->state, 1)));
        return g_variant_builder_end(&builder);
}

/* Why the scan may have missed workers, or NULL. What follows the colon is advice for the daemon's options.
 */
static char *describe_fault(const KworkerReader *reader, const KworkerScan *scan) {
        const char *reason;

        if (scan->found_kthread && scan->trouble == 0)
                return NULL;
        reason = kworker_reader_fault_reason(reader);
        return g_strndup(reason, strcspn(reason, ":"));
}

int local_workers_list(const char *proc_root, const char *glob, GVariant **ret, char **ret_fault) {
        _cleanup_(kworker_reader_freep) KworkerReader *reader = NULL;
        GVariantBuilder builder;
        KworkerScan scan;
        int r;

        r = kworker_reader_new(proc_root, &reader);
        if (r >= 0)
                r = kworker_reader_scan(reader, glob, /* want_others= */ false, &scan);
        if (r < 0)
                return r;

        g_variant_builder_init(&builder, G_VARIANT_TYPE("aa{sv}"));
        for (size_t i = 0; i < scan.n_workers; i++)
                g_variant_builder_add_value(&builder, worker_to_variant(scan.workers + i));
        *ret = g_variant_ref_sink(g_variant_builder_end(&builder));
        *ret_fault = describe_fault(reader, &scan);
        return 0;
}

static void sleep_usec(uint64_t usec) {
        const struct timespec time = {
                .tv_sec = (time_t) (usec / USEC_PER_SEC),
                .tv_nsec = (long) (usec % USEC_PER_SEC * NSEC_PER_USEC),
        };

        (void) nanosleep(&time, NULL);
}

int local_workers_observe(
                const char *proc_root,
                unsigned n_scans,
                uint64_t end_usec,
                Tally *tally,
                char **ret_fault) {
        _cleanup_(kworker_reader_freep) KworkerReader *reader = NULL;
        g_autofree char *fault = NULL;
        int r;

        r = kworker_reader_new(proc_root, &reader);
        if (r < 0)
                return r;

        for (;;) {
                uint64_t now_usec = usec_now(CLOCK_MONOTONIC);
                KworkerScan scan;

                r = kworker_reader_scan(reader, "kworker/*", /* want_others= */ false, &scan);
                if (r < 0)
                        return r;
                tally_add(tally, &scan, now_usec);
                fault = fault ?: describe_fault(reader, &scan);
                if (now_usec >= end_usec && tally->n_scans >= n_scans)
                        break;
                sleep_usec(now_usec < end_usec ? MIN(SCAN_INTERVAL_USEC, end_usec - now_usec)
                                               : SCAN_INTERVAL_USEC);
        }

        *ret_fault = g_steal_pointer(&fault);
        return 0;
}
