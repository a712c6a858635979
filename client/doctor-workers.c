/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What the kernel's workers do now. */

#include "doctor.h"
#include "local-workers.h"

#define SWITCHING "inode_switch_wbs"
#define RESCANNING "events_unbound"

/* The share of scans. Recorded: it spun in about half of them. */
#define SPINS_BY_TURNS 0.25

/* A kernel with the fix may switch very many inodes with one worker for some seconds. */
static bool is_stall(const Doctor *doctor, const Tally *tally, const WorkTally *work) {
        return work && work_spins_on(tally, work) &&
               (doctor->kernel_affected != ANSWER_NO || work->n_spinning >= 2 * tally->n_scans);
}

/* In the stall of 2026 the worker that switches waits for the one that rescans, by turns with spinning. */
static bool is_rescan(const Doctor *doctor, const Tally *tally, const WorkTally *work) {
        return work && doctor->rescans == ANSWER_YES && work_spins_on(tally, tally_find(tally, RESCANNING)) &&
               work_runs_on(tally, work) && work->n_scans_spinning >= SPINS_BY_TURNS * tally->n_scans;
}

static void add_switching(Doctor *doctor, const Tally *tally) {
        const WorkTally *work = tally_find(tally, SWITCHING);
        g_autofree char *described = work ? work_describe(tally, work) : NULL;

        doctor->stalls_now = is_stall(doctor, tally, work) || is_rescan(doctor, tally, work);
        findings_add(doctor->findings, SECTION_NOW, SWITCHING,
                     doctor->stalls_now ? RESULT_BAD
                     : work             ? RESULT_NOTE
                                        : RESULT_OK,
                     work ? g_steal_pointer(&described)
                          : g_strdup_printf("none was running in %u scan%s", tally->n_scans,
                                            tally->n_scans == 1 ? "" : "s"));
}

/* In other stalls this work may spin, too. */
static void add_rescanning(Doctor *doctor, const Tally *tally) {
        const WorkTally *work = tally_find(tally, RESCANNING);
        static const char *const meanings[] = {
                [ANSWER_NO] = "any other work of that queue may be the reason",
                [ANSWER_YES] = "beside " SWITCHING " this is stall-2026",
                [ANSWER_UNKNOWN] = "beside " SWITCHING " this may be stall-2026",
        };
        g_autofree char *described = NULL;

        if (!work_spins_on(tally, work))
                return;
        described = work_describe(tally, work);
        doctor->rescans_now = doctor->stalls_now ? doctor->rescans : ANSWER_NO;
        findings_add(doctor->findings, SECTION_NOW, RESCANNING,
                     doctor->rescans_now == ANSWER_NO ? RESULT_NOTE : RESULT_BAD,
                     g_strdup_printf("%s: %s", described, meanings[doctor->rescans_now]));
}

/* Other work of writeback, which has bugs of its own. */
static bool is_writeback(const char *work) {
        static const char *const prefixes[] = { "flush-", "xfs-", "loop", "writeback", "ext4-", "btrfs-" };

        for (size_t i = 0; i < ELEMENTSOF(prefixes); i++)
                if (g_str_has_prefix(work, prefixes[i]))
                        return true;
        return false;
}

static void add_writeback(Doctor *doctor, const Tally *tally) {
        for (size_t i = 0; i < tally->works->len; i++) {
                const WorkTally *work = tally->works->pdata[i];
                bool spins_on = work_spins_on(tally, work);
                g_autofree char *described = NULL;
                const char *meaning;

                if (!is_writeback(work->work) || !work_runs_on(tally, work))
                        continue;
                if (!spins_on)
                        meaning = "waits for a disk: normal with a slow one, but a dead one hangs it for "
                                  "ever";
                else if (doctor->has_stripe && g_str_has_prefix(work->work, "flush-"))
                        meaning = "with ext4 and stripe=, see kernel bug 217965, which is another one";
                else
                        meaning = "a bug of that filesystem or much to write; no stall of " SWITCHING;
                described = work_describe(tally, work);
                findings_add(doctor->findings, SECTION_NOW, "other writeback", RESULT_NOTE,
                             g_strdup_printf("%s, %s: %s", work->work, described, meaning));
        }
}

void doctor_observe_workers(const Doctor *doctor, uint64_t end_usec, Observation *ret) {
        g_autofree char *proc_root = g_build_filename(doctor->root, "proc", NULL);
        int r;

        *ret = (Observation){ .tally = tally_new() };
        r = local_workers_observe(proc_root, /* n_scans= */ 1, end_usec, ret->tally, &ret->fault);
        if (r < 0)
                ret->fault = g_strdup(g_strerror(-r));
}

void doctor_check_workers(Doctor *doctor, Observation *observation) {
        _cleanup_(tally_freep) Tally *tally = TAKE_POINTER(observation->tally);
        g_autofree char *fault = TAKE_POINTER(observation->fault);

        if (fault)
                findings_add(doctor->findings, SECTION_NOW, "workers", RESULT_UNKNOWN,
                             g_strdup_printf("kernel workers cannot be seen: %s", fault));
        if (!fault || tally->works->len > 0) {
                add_switching(doctor, tally);
                add_rescanning(doctor, tally);
                add_writeback(doctor, tally);
        }
}
