/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The soak: real stuck kernel workers come and go, and meanwhile random faults are thrown at the real daemon,
 * singly and together. It must miss no stuck worker, sync for nothing else, one sync at a time, live through
 * all of it, and keep no more memory, descriptors and children than it had.
 *
 * WBWATCH_SOAK_SEC says how long; WBWATCH_SEED has the same faults thrown again. The order of faults comes
 * from the seed; when the kernel and the daemon do their part does not.
 *
 * The stuck workers are behind a frozen filesystem, so that they wait, and so does each sync:
 * CountWaiting=yes. A sync of the daemon begins with syncfs(2) of each filesystem; sync(2) follows while the
 * stall goes on, stalls like the syncfs(2) of the filesystem that is stuck, and both hold their helpers until
 * all is thawed.
 *
 * Two witnesses see what happens without the daemon's bus and log, which are at fault here: a thread that
 * watches the workers in /proc, and a library in the daemon that writes down every sync(2) and syncfs(2)
 * (sync-record.h).
 *
 * It goes in rounds. Each begins with a while of chaos. Then all faults end, nothing is stuck any more, and
 * what the daemon holds is counted; at last there is calm, in which no sync may be made.
 */

#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "bus-fixture.h"
#include "flooder.h"
#include "storm.h"
#include "stuck-worker.h"
#include "sync-record.h"

#define LENGTH_SEC_DEFAULT 20

/* A round's chaos, and its calm. */
#define CHAOS_MIN_MSEC 8000
#define CHAOS_MAX_MSEC 16000
#define CALM_MSEC 1500

/* The daemon is killed or stopped in every so-manieth round only: what leaks would begin anew with it. */
#define RESTARTING_ROUND 2
#define RESTARTING_ROUNDS 8

/* What is set in files and over the bus stays between these. */
#define THRESHOLD_MIN_USEC (1 * USEC_PER_SEC)
#define THRESHOLD_MAX_USEC (2 * USEC_PER_SEC)
#define POLL_MAX_USEC (200 * USEC_PER_MSEC)
#define RECOVERY_USEC (1 * USEC_PER_SEC)
#define BACKOFF_MAX 16
#define UNHELPFUL_MAX 5
#define FILESYSTEM_TIMEOUT_USEC (1 * USEC_PER_SEC)
#define SYNC_TIMEOUT_MAX_USEC (3 * USEC_PER_SEC)
#define SETTINGS                                                                                             \
        "[Watch]\n"                                                                                          \
        "Glob=kworker/*+flush-7:*\n"                                                                         \
        "CountWaiting=yes\n"                                                                                 \
        "CrowdSize=0\n"                                                                                      \
        "IdleScanIntervalSec=1s\n"                                                                           \
        "FilesystemTimeoutSec=1s\n"                                                                          \
        "RecoverySec=1s\n"

/* A worker may get stuck right after an idle scan, and the next one come later by a tenth of its interval. */
#define IDLE_SCAN_USEC (1100 * USEC_PER_MSEC)

/* Rule `worker` needs this share of the threshold. */
#define RUN_MIN_USEC (THRESHOLD_MIN_USEC * 9 / 10)

/* From the answer of the filesystems to sync(2), and until a stall that has ended is known to have. */
#define SETTLE_USEC (5 * USEC_PER_SEC)

/* A sync that failed, since its helper was killed, is followed by another one at once. */
#define DISTURBED_USEC (3 * USEC_PER_SEC)

/* How much later a sync may begin than the daemon had to act. The promise is 250 ms on a machine whose
 * CPUs are taken; this machine has its processes stopped and started all the time, and is nobody's own. */
#define LATE_MAX_USEC (1 * USEC_PER_SEC)

/* How often the workers are scanned. For so long one may not have been seen running and yet count as
 * running all the time, in the daemon's favour: it may scan less often. */
#define WATCH_USEC (20 * USEC_PER_MSEC)
#define GAP_USEC (500 * USEC_PER_MSEC)

/* All that is long past is forgotten. */
#define FORGET_USEC (30 * USEC_PER_SEC)

/* For the filesystems, for single ones, for sync(2), for the disk, for the log. */
#define HELPER_SYNCFS "wbwatchd-syncfs"
#define N_CHILDREN (4 + 2 + 3)

/* What it may have more of its own memory than after its first round: the records of 64 episodes, and what
 * the C library keeps of a flood's messages, in arenas that are torn by then. */
#define MEMORY_GROWTH_KIB 2048

/* Whom polkit lets do everything. */
#define UID_DAEMON 1
static const char polkit_rules[] = "polkit.addRule(function(action, subject) {\n"
                                   "    if (subject.user == 'daemon') return polkit.Result.YES;\n"
                                   "});\n";

/* What a fault holds, so that none is thrown whose effects could be taken for those of another. */
typedef enum Thing {
        THING_BUS = 1 << 0,
        THING_POLKIT = 1 << 1,
        THING_LOG = 1 << 2,
        THING_SYNC_HELPER = 1 << 3,
        THING_STORAGE_HELPER = 1 << 4,
        THING_SIGHT = 1 << 5, /* that the daemon sees anything at all */
        THING_PAUSE = 1 << 6,
        THING_FLOOD = 1 << 7,
        THING_CPUS = 1 << 8,
        THING_FORKS = 1 << 9,
        THING_DAEMON = 1 << 10,
} Thing;

/* A worker that was seen running at every scan of the watching thread. */
typedef struct Run {
        pid_t pid;
        char name[64];
        uint64_t since_usec, last_usec;
        uint64_t chain_usec; /* since when its work has been running, with short gaps */
        bool counted;        /* as one that was stuck for long enough */
} Run;

/* Calls whose answers count. */
typedef enum QuestionKind {
        QUESTION_SYNC,
        QUESTION_PAUSE,
        QUESTION_RESUME,
        QUESTION_REFUSED, /* must be */
} QuestionKind;

/* One that is not answered yet. */
typedef struct Question {
        Client *client;
        guint32 serial;
        uint64_t sent_usec;
        QuestionKind kind;
} Question;

typedef enum StuckState {
        STUCK_NONE,
        STUCK_BEGINS,
        STUCK_IS,
        STUCK_ENDS,
} StuckState;

/* What the daemon holds when nothing happens. */
typedef struct Holding {
        unsigned n_descriptors; /* but for those in /proc */
        unsigned n_children;
        uint64_t memory_kib;
} Holding;

typedef struct Soak {
        BusFixture *fixture;
        GRand *random;
        uint64_t begin_usec;
        GQueue history; /* what was done, as text */

        Client *root, *nobody, *allowed; /* NULL while there is no bus */
        GArray *questions;

        /* The watching thread's. */
        GThread *watcher;
        GMutex lock;
        GArray *runs;
        bool watched; /* no more */

        SyncRecords *syncs;
        unsigned n_syncs, n_filesystem_syncs; /* judged */

        /* From when on the daemon can be expected to see, and to act; infinite while it can't. */
        uint64_t ready_usec, sight_usec, able_usec;
        uint64_t syncing_usec;          /* until when it was seen syncing */
        uint64_t paused_usec;           /* since when it surely is, or infinite */
        uint64_t helper_held_usec;      /* since when the sync helper was held last, */
        uint64_t helper_let_go_usec;    /* until when */
        uint64_t helper_disturbed_usec; /* when something was done to one last; infinite while it is held */
        unsigned n_unhelpful;           /* syncs that may have doubled the Recovery time */
        uint64_t group_usec;            /* when the last sync began, which may have several parts */
        unsigned n_requested;           /* syncs that were requested and may be to come */
        unsigned n_lost_questions;      /* such ones that will not be answered any more */

        StuckState stuck_state;
        StuckWorker stuck;
        uint64_t stuck_next_usec;
        bool at_rest; /* nobody gets stuck */

        unsigned held;    /* of enum Thing */
        unsigned at_once; /* so many may last in this round */
        bool restarting;  /* the daemon may be restarted in this round */
        bool resuming;    /* a pause is about to be taken back */
        uint64_t next_fault_usec;
        pid_t polkitd, flood, storm, hogs[256];
        struct rlimit limit;

        Holding baseline;
        pid_t baseline_daemon;

        /* What was held. */
        unsigned n_rounds, n_stuck, n_runs, n_answered, n_sync_answers, n_daemons, n_old_helpers;
        uint64_t longest_wait_usec, peak_kib, most_grown_kib;
        unsigned most_descriptors, most_unhelpful;
} Soak;

/* ---- messages ---- */

static void note(Soak *soak, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void note(Soak *soak, const char *format, ...) {
        uint64_t usec = usec_now(CLOCK_MONOTONIC) - soak->begin_usec;
        g_autofree char *text = NULL;
        va_list list;

        va_start(list, format);
        text = g_strdup_vprintf(format, list);
        va_end(list);
        g_queue_push_tail(&soak->history, g_strdup_printf("%8.3f  %s", (double) usec / 1e6, text));
        if (soak->history.length > 100)
                g_free(g_queue_pop_head(&soak->history));
}

/* Ends the program, with what was done before. */
static void __attribute__((noreturn)) fail(Soak *soak, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void fail(Soak *soak, const char *format, ...) {
        uint64_t usec = usec_now(CLOCK_MONOTONIC) - soak->begin_usec;
        g_autofree char *text = NULL;
        va_list list;

        for (GList *l = soak->history.head; l; l = l->next)
                g_test_message("%s", (const char *) l->data);
        va_start(list, format);
        text = g_strdup_vprintf(format, list);
        va_end(list);
        g_error("%8.3f  %s", (double) usec / 1e6, text);
}

/* ---- chance ---- */

static unsigned any_number(Soak *soak, unsigned min, unsigned max) {
        return (unsigned) g_rand_int_range(soak->random, (gint32) min, (gint32) max + 1);
}

static bool one_in(Soak *soak, unsigned n) {
        return any_number(soak, 1, n) == 1;
}

static uint64_t in_any_msec(Soak *soak, unsigned min_msec, unsigned max_msec) {
        return usec_now(CLOCK_MONOTONIC) + any_number(soak, min_msec, max_msec) * USEC_PER_MSEC;
}

static uint64_t any_threshold_usec(Soak *soak) {
        return THRESHOLD_MIN_USEC + any_number(soak, 0, 4) * (THRESHOLD_MAX_USEC - THRESHOLD_MIN_USEC) / 4;
}

/* ---- the workers ---- */

static bool read_comm(pid_t pid, char *name, size_t size) {
        g_autofree char *path = g_strdup_printf("/proc/%d/comm", (int) pid);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, name, size - 1);

        if (n <= 0)
                return false;
        name[n] = '\0';
        (void) g_strchomp(name);
        return true;
}

static bool is_called(pid_t pid, const char *name) {
        char found[64];

        return read_comm(pid, found, sizeof(found)) && streq(found, name);
}

static bool is_same_work(const char *a, const char *b) {
        return streq(strchr(a, '+'), strchr(b, '+'));
}

/* Workers of one work are judged together. */
static void note_running(Soak *soak, pid_t pid, const char *name, uint64_t last_scan_usec) {
        uint64_t now_usec = usec_now(CLOCK_MONOTONIC);
        Run run = { .pid = pid, .since_usec = now_usec, .last_usec = now_usec, .chain_usec = now_usec };

        for (guint i = soak->runs->len; i-- > 0;) {
                Run *known = &g_array_index(soak->runs, Run, i);

                if (!is_same_work(known->name, name))
                        continue;
                if (known->pid == pid && streq(known->name, name) && known->last_usec >= last_scan_usec) {
                        known->last_usec = now_usec;
                        return;
                }
                if (now_usec - known->last_usec <= GAP_USEC)
                        run.chain_usec = MIN(run.chain_usec, known->chain_usec);
        }

        (void) g_strlcpy(run.name, name, sizeof(run.name));
        g_array_append_val(soak->runs, run);
}

/* Its own way to find them, all over /proc. */
static gpointer watch_workers(gpointer userdata) {
        const struct sched_param parameter = { .sched_priority = 2 };
        uint64_t last_scan_usec = 0;
        Soak *soak = userdata;
        bool ended = false;

        /* Before what takes the CPUs, where that may be. */
        (void) sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &parameter);

        while (!ended) {
                uint64_t scan_usec = usec_now(CLOCK_MONOTONIC);
                g_autoptr(GDir) proc = g_dir_open("/proc", 0, NULL);
                const char *entry;
                char name[64];

                g_assert_nonnull(proc);
                while ((entry = g_dir_read_name(proc))) {
                        if (!g_ascii_isdigit(entry[0]) || !read_comm(atoi(entry), name, sizeof(name)) ||
                            !g_str_has_prefix(name, "kworker/") || !strstr(name, "+flush-7:"))
                                continue;
                        g_mutex_lock(&soak->lock);
                        note_running(soak, atoi(entry), name, last_scan_usec);
                        g_mutex_unlock(&soak->lock);
                }
                last_scan_usec = scan_usec;

                g_mutex_lock(&soak->lock);
                ended = soak->watched;
                g_mutex_unlock(&soak->lock);
                g_usleep(WATCH_USEC);
        }

        return NULL;
}

/* Whether there was a moment at which some worker had been running for a threshold. */
static bool was_stuck_between(Soak *soak, uint64_t from_usec, uint64_t to_usec) {
        bool found = false;

        g_mutex_lock(&soak->lock);
        for (guint i = 0; i < soak->runs->len && !found; i++) {
                const Run *run = &g_array_index(soak->runs, Run, i);

                /* The daemon may have seen it a scan before. */
                found = run->chain_usec + RUN_MIN_USEC <= to_usec + POLL_MAX_USEC &&
                        run->last_usec + GAP_USEC >= from_usec;
        }
        g_mutex_unlock(&soak->lock);
        return found;
}

/* ---- the syncs ---- */

/* One whose helper was killed never reports its end; and its pid may be another process's soon after. */
static bool is_under_way(SyncRecord *sync) {
        if (atomic_load(&sync->left_usec) > 0)
                return false;
        if (!is_called(sync->pid, HELPER_SYNC) && !is_called(sync->pid, HELPER_SYNCFS))
                sync->died = true;
        return !sync->died;
}

static unsigned count_syncs(const Soak *soak) {
        return MIN(atomic_load(&soak->syncs->n), (unsigned) SYNC_RECORDS_MAX);
}

static unsigned count_filesystem_syncs(const Soak *soak) {
        return MIN(atomic_load(&soak->syncs->n_filesystems), (unsigned) SYNC_RECORDS_MAX);
}

/* The last one of the daemon that runs now, or NULL. */
static SyncRecord *last_sync(const Soak *soak, SyncRecord *table, unsigned n) {
        while (n-- > 0)
                if (table[n].daemon == soak->fixture->daemon.pid)
                        return &table[n];

        return NULL;
}

/* Until when the daemon may have been syncing: after the filesystems it waits for the stall's end, and then
 * for sync(2), which ends for it by its timeout at the latest, if the disks make no progress. */
static void note_syncing(Soak *soak) {
        SyncRecord *filesystem = last_sync(soak, soak->syncs->filesystems, count_filesystem_syncs(soak));
        SyncRecord *everything = last_sync(soak, soak->syncs->records, count_syncs(soak));
        uint64_t now_usec = usec_now(CLOCK_MONOTONIC), until_usec;

        if (filesystem) {
                until_usec = atomic_load(&filesystem->entered_usec) + FILESYSTEM_TIMEOUT_USEC + SETTLE_USEC;
                soak->syncing_usec = MAX(soak->syncing_usec, until_usec);
        }
        if (everything) {
                until_usec = is_under_way(everything) ? now_usec : atomic_load(&everything->left_usec);
                soak->syncing_usec = MAX(soak->syncing_usec, until_usec);
        }
}

/* The longest that the Recovery time can be now, and never shorter than it takes to be stuck anew: the end of
 * a sync empties what was counted. */
static uint64_t recovery_usec(const Soak *soak) {
        return MAX(RECOVERY_USEC * MIN(1u << MIN(soak->n_unhelpful, 8u), (unsigned) BACKOFF_MAX),
                   THRESHOLD_MAX_USEC + POLL_MAX_USEC);
}

/* Since when the daemon could see a worker. */
static uint64_t seen_usec(const Soak *soak, const Run *run) {
        return MAX(run->since_usec, MAX(soak->ready_usec, soak->sight_usec));
}

/* When it had to act at the latest. */
static uint64_t due_usec(const Soak *soak, const Run *run) {
        return MAX(usec_add(seen_usec(soak, run), IDLE_SCAN_USEC + THRESHOLD_MAX_USEC), soak->able_usec);
}

/* Each run that is longer than it may be without a sync has one. To be called before anything changes for the
 * daemon, too. */
static void judge_runs(Soak *soak) {
        uint64_t now_usec = usec_now(CLOCK_MONOTONIC), recovered_usec;
        g_autofree char *missed = NULL;

        note_syncing(soak);
        recovered_usec = soak->syncing_usec > 0 ? usec_add(soak->syncing_usec, recovery_usec(soak)) : 0;

        g_mutex_lock(&soak->lock);
        for (guint i = soak->runs->len; i-- > 0;) {
                Run *run = &g_array_index(soak->runs, Run, i);
                uint64_t length_usec = run->last_usec - run->since_usec;

                if (length_usec >= IDLE_SCAN_USEC + THRESHOLD_MAX_USEC && !run->counted) {
                        run->counted = true;
                        soak->n_runs++;
                }
                if (run->last_usec > usec_add(MAX(due_usec(soak, run), recovered_usec), LATE_MAX_USEC))
                        missed = g_strdup_printf(
                                        "%s (pid %d) runs for %" G_GUINT64_FORMAT " ms, and no sync",
                                        run->name, (int) run->pid, length_usec / USEC_PER_MSEC);
                if (usec_subtract(now_usec, run->last_usec) > FORGET_USEC)
                        g_array_remove_index_fast(soak->runs, i);
        }
        g_mutex_unlock(&soak->lock);

        if (missed)
                fail(soak, "missed: %s", missed);
}

/* How long a worker waited for it that the daemon could see and act upon. */
static void measure_wait(Soak *soak, uint64_t entered_usec) {
        uint64_t able_usec = soak->able_usec, wait_usec = 0;
        bool answers = false;

        if (soak->syncing_usec > 0)
                able_usec = MAX(able_usec, soak->syncing_usec + recovery_usec(soak));

        g_mutex_lock(&soak->lock);
        for (guint i = 0; i < soak->runs->len; i++) {
                const Run *run = &g_array_index(soak->runs, Run, i);

                if (run->last_usec + WATCH_USEC * 2 < entered_usec ||
                    run->since_usec + RUN_MIN_USEC > entered_usec)
                        continue;
                answers = true;
                wait_usec = MAX(wait_usec, usec_subtract(entered_usec, MAX(seen_usec(soak, run), able_usec)));
        }
        g_mutex_unlock(&soak->lock);

        if (answers)
                soak->n_answered++;
        soak->longest_wait_usec = MAX(soak->longest_wait_usec, wait_usec);
}

/* How a sync that follows a recent one of the same daemon may begin. */
static void judge_against(Soak *soak, const SyncRecord *sync, SyncRecord *other, bool automatic) {
        uint64_t entered_usec = atomic_load(&sync->entered_usec), left_usec = atomic_load(&other->left_usec);

        if (left_usec > entered_usec || (other->pid != sync->pid && is_under_way(other)))
                fail(soak, "two syncs at once of %s", sync->device ? "a filesystem" : "everything");

        /* One that timed out is repeated for the sync under way once it has returned. */
        if (sync->device && left_usec > atomic_load(&other->entered_usec) + FILESYSTEM_TIMEOUT_USEC)
                return;
        if (automatic && left_usec > 0 && entered_usec < left_usec + RECOVERY_USEC)
                fail(soak, "a sync within the recovery time");
}

/* The last one of the same daemon: never two of the same at once, and none within the Recovery time unless
 * requested, or after something was done to a helper. */
static void judge_against_last(Soak *soak, SyncRecord *table, const SyncRecord *sync, bool automatic) {
        if (usec_subtract(atomic_load(&sync->entered_usec), soak->helper_disturbed_usec) < DISTURBED_USEC)
                automatic = false;

        for (size_t i = (size_t) (sync - table); i-- > 0;)
                if (table[i].daemon == sync->daemon && table[i].device == sync->device) {
                        judge_against(soak, sync, &table[i], automatic);
                        return;
                }
}

/* Whether it is a part of the sync that began with the filesystems at group_usec. */
static bool is_in_group(const Soak *soak, const SyncRecord *sync) {
        uint64_t usec = FILESYSTEM_TIMEOUT_USEC + GAP_USEC;

        if (sync->device == 0)
                usec += SETTLE_USEC;
        return soak->group_usec > 0 && atomic_load(&sync->entered_usec) < soak->group_usec + usec;
}

/* Since when the reason for a sync may be gone. */
static uint64_t reason_usec(const Soak *soak, const SyncRecord *sync) {
        uint64_t entered_usec = atomic_load(&sync->entered_usec), from_usec = entered_usec - GAP_USEC;

        /* That a stall has ended is known after a while. */
        if (is_in_group(soak, sync))
                from_usec -= SETTLE_USEC;

        /* While the helpers were held, the sync may have waited. */
        if (soak->helper_held_usec > 0 && entered_usec < usec_add(soak->helper_let_go_usec, USEC_PER_SEC))
                from_usec = MIN(from_usec, soak->helper_held_usec - GAP_USEC);

        return from_usec;
}

/* Was it for a worker, or requested? */
static void judge_sync(Soak *soak, SyncRecord *table, const SyncRecord *sync) {
        uint64_t entered_usec = atomic_load(&sync->entered_usec), from_usec = reason_usec(soak, sync);
        bool is_filesystem = sync->device != 0, begins = !is_in_group(soak, sync), stuck, paused, requested;

        stuck = was_stuck_between(soak, from_usec, entered_usec);
        /* What has begun goes on in a pause. */
        paused = begins && soak->paused_usec < from_usec;
        requested = soak->n_requested > 0;
        if ((!stuck || paused) && !requested)
                fail(soak, "%s of %s", paused ? "a sync in a pause" : "a sync for nothing",
                     is_filesystem ? "a filesystem" : "everything");
        if ((!stuck || paused) && !is_filesystem)
                soak->n_requested--;

        note(soak, "sync of %s by helper %d of daemon %d, %s", is_filesystem ? "a filesystem" : "everything",
             (int) sync->pid, (int) sync->daemon, stuck ? "for a worker" : "requested");
        judge_against_last(soak, table, sync, !requested);
        if (!begins)
                return;

        measure_wait(soak, entered_usec);
        soak->n_unhelpful++;
        soak->group_usec = entered_usec;
}

static void judge_syncs(Soak *soak) {
        for (;;) {
                SyncRecord *sync = &soak->syncs->records[soak->n_syncs],
                           *filesystem = &soak->syncs->filesystems[soak->n_filesystem_syncs];
                uint64_t usec = atomic_load(&sync->entered_usec),
                         filesystem_usec = atomic_load(&filesystem->entered_usec);

                /* In the order in which they were entered; 0: not yet. */
                if (filesystem_usec > 0 && (usec == 0 || filesystem_usec < usec)) {
                        judge_sync(soak, soak->syncs->filesystems, filesystem);
                        soak->n_filesystem_syncs++;
                } else if (usec > 0) {
                        judge_sync(soak, soak->syncs->records, sync);
                        soak->n_syncs++;
                } else
                        return;
                note_syncing(soak);
        }
}

/* ---- questions over the bus ---- */

static void ask(Soak *soak, Client *client, QuestionKind kind, const char *method, GVariant *arguments) {
        Question question = { .client = client, .sent_usec = usec_now(CLOCK_MONOTONIC), .kind = kind };

        if (kind == QUESTION_SYNC)
                soak->n_requested++;
        question.serial = client_send_method(client, method, arguments);
        g_array_append_val(soak->questions, question);
}

static bool has_sync_since(const SyncRecord *table, unsigned n, uint64_t usec) {
        while (n-- > 0)
                if (atomic_load(&table[n].entered_usec) >= usec && atomic_load(&table[n].left_usec) > 0)
                        return true;

        return false;
}

/* A reply to ForceSync comes when a sync that began after the call has ended. */
static void judge_sync_answer(Soak *soak, uint64_t sent_usec) {
        if (!has_sync_since(soak->syncs->records, count_syncs(soak), sent_usec) &&
            !has_sync_since(soak->syncs->filesystems, count_filesystem_syncs(soak), sent_usec))
                fail(soak, "a call of ForceSync was answered without a sync");
}

static void on_answer(Soak *soak, const Question *question) {
        GDBusMessage *reply = client_wait_reply(question->client, question->serial);
        bool good = g_dbus_message_get_message_type(reply) == G_DBUS_MESSAGE_TYPE_METHOD_RETURN;

        if (!good)
                return;

        switch (question->kind) {
        case QUESTION_SYNC:
                judge_sync_answer(soak, question->sent_usec);
                soak->n_sync_answers++;
                break;

        case QUESTION_PAUSE:
                if (!soak->resuming)
                        soak->paused_usec = usec_now(CLOCK_MONOTONIC);
                break;

        case QUESTION_RESUME:
                soak->able_usec = usec_now(CLOCK_MONOTONIC);
                soak->resuming = false;
                soak->held &= ~THING_PAUSE;
                note(soak, "resumed");
                break;

        case QUESTION_REFUSED:
                fail(soak, "a call was not refused");
        }
}

static bool question_is_open(const Soak *soak, QuestionKind kind) {
        for (guint i = 0; i < soak->questions->len; i++)
                if (g_array_index(soak->questions, Question, i).kind == kind)
                        return true;

        return false;
}

/* First the answers, and then the syncs that came before them. */
static void take_answers(Soak *soak) {
        for (guint i = 0; i < soak->questions->len;) {
                Question question = g_array_index(soak->questions, Question, i);

                if (!client_has_reply(question.client, question.serial)) {
                        i++;
                        continue;
                }
                g_array_remove_index(soak->questions, i);
                on_answer(soak, &question);
        }

        judge_syncs(soak);
        if (soak->n_lost_questions == 0 && !question_is_open(soak, QUESTION_SYNC))
                soak->n_requested = 0;
}

static void drop_client(Soak *soak, Client **client) {
        for (guint i = soak->questions->len; i-- > 0;) {
                const Question *question = &g_array_index(soak->questions, Question, i);

                if (question->client != *client)
                        continue;
                if (question->kind == QUESTION_SYNC)
                        soak->n_lost_questions++;
                g_array_remove_index(soak->questions, i);
        }

        *client = client_free(*client);
}

static void drop_clients(Soak *soak) {
        drop_client(soak, &soak->root);
        drop_client(soak, &soak->nobody);
        drop_client(soak, &soak->allowed);
}

static void make_clients(Soak *soak) {
        soak->root = client_new(soak->fixture, UID_ROOT);
        soak->nobody = client_new(soak->fixture, UID_NOBODY);
        soak->allowed = client_new(soak->fixture, UID_DAEMON);
}

/* ---- processes ---- */

/* A process that does this alone, and dies with the test. */
static pid_t start_child(void (*function)(const void *data), const void *data) {
        pid_t parent = getpid(), pid = fork();

        g_assert_no_errno(pid);
        if (pid == 0) {
                if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
                        _exit(EXIT_FAILURE);
                function(data);
                _exit(EXIT_SUCCESS);
        }
        return pid;
}

static void end_child(pid_t *pid) {
        g_assert_no_errno(kill(*pid, SIGKILL));
        g_assert_cmpint(waitpid(*pid, NULL, 0), ==, *pid);
        *pid = 0;
}

/* The children of a process, to be freed. */
static GArray *children_of(pid_t parent) {
        GArray *children = g_array_new(false, false, sizeof(pid_t));
        g_autoptr(GDir) proc = g_dir_open("/proc", 0, NULL);
        const char *entry;

        g_assert_nonnull(proc);
        while ((entry = g_dir_read_name(proc))) {
                g_autofree char *path = g_strdup_printf("/proc/%s/stat", entry), *text = NULL;
                pid_t pid = atoi(entry);
                int found;

                if (pid > 0 && g_file_get_contents(path, &text, NULL, NULL) &&
                    sscanf(strrchr(text, ')'), ") %*c %d", &found) == 1 && found == parent)
                        g_array_append_val(children, pid);
        }

        return children;
}

static void start_daemon(Soak *soak) {
        fixture_start_daemon(soak->fixture, "--proc-root", "/proc", "--verbose", NULL);
        soak->ready_usec = usec_now(CLOCK_MONOTONIC);
        soak->n_daemons++;
        note(soak, "daemon %d is ready", (int) soak->fixture->daemon.pid);
}

/* The kernel's and the daemon's word for it that it has not ended by itself. */
static void judge_daemon(Soak *soak) {
        struct pollfd death = { .fd = soak->fixture->daemon.pidfd, .events = POLLIN };
        siginfo_t info = {};

        if (soak->fixture->daemon.pid == 0 || poll(&death, 1, 0) == 0)
                return;

        (void) waitid(P_PID, (id_t) soak->fixture->daemon.pid, &info, WEXITED | WNOWAIT);
        fail(soak, "the daemon ended by itself: %s %d", info.si_code == CLD_EXITED ? "status" : "signal",
             info.si_status);
}

/* ---- the faults ---- */

/* Begins one, which lasts for some time if it has an end; false when it could not be done just now. */
typedef bool (*fault_begin_t)(Soak *soak);
typedef void (*fault_end_t)(Soak *soak);

typedef struct Fault {
        const char *name;
        fault_begin_t begin;
        fault_end_t end;
        unsigned min_msec, max_msec;
        unsigned holds;    /* from its beginning to its end */
        unsigned needs;    /* nobody else may hold that when it begins */
        bool dealt;        /* since all were */
        uint64_t end_usec; /* 0: does not last now */
        unsigned n_thrown;
} Fault;

static bool stop_bus(Soak *soak) {
        fixture_hold_bus(soak->fixture, true);
        return true;
}

static void continue_bus(Soak *soak) {
        fixture_hold_bus(soak->fixture, false);
}

/* polkitd ends with its bus. */
static bool kill_bus(Soak *soak) {
        fixture_stop_bus(soak->fixture);
        drop_clients(soak);
        return true;
}

static void restart_bus(Soak *soak) {
        fixture_start_silent_bus(soak->fixture);
        fixture_stop_polkit(soak->fixture);
        fixture_start_polkit(soak->fixture, polkit_rules);
        make_clients(soak);
}

/* With questions to it that have to wait. */
static bool stop_polkit(Soak *soak) {
        soak->polkitd = client_pid_of(soak->root, POLKIT_NAME);
        g_assert_no_errno(kill(soak->polkitd, SIGSTOP));
        ask(soak, soak->nobody, QUESTION_REFUSED, "Pause", NULL);
        ask(soak, soak->allowed, QUESTION_SYNC, "ForceSync", NULL);
        return true;
}

static void continue_polkit(Soak *soak) {
        g_assert_no_errno(kill(soak->polkitd, SIGCONT));
}

static bool kill_polkit(Soak *soak) {
        ask(soak, soak->allowed, QUESTION_SYNC, "ForceSync", NULL);
        fixture_stop_polkit(soak->fixture);
        ask(soak, soak->nobody, QUESTION_REFUSED, "Pause", NULL);
        return true;
}

static void restart_polkit(Soak *soak) {
        fixture_start_polkit(soak->fixture, polkit_rules);
}

/* One of that name, or none: the last one has just died, and there was no descriptor left for the next. */
static void signal_helper(Soak *soak, const char *name, int sig) {
        pid_t pid = fixture_find_helper(soak->fixture, name);

        if (pid > 0)
                (void) kill(pid, sig);
}

/* All those that sync. */
static void signal_sync_helpers(Soak *soak, int sig) {
        g_autoptr(GArray) children = children_of(soak->fixture->daemon.pid);

        for (guint i = 0; i < children->len; i++) {
                pid_t pid = g_array_index(children, pid_t, i);

                if (is_called(pid, HELPER_SYNC) || is_called(pid, HELPER_SYNCFS))
                        (void) kill(pid, sig);
        }
}

/* As little as there can be. */
static void make_pipe_small(int fd) {
        (void) fcntl(fd, F_SETPIPE_SZ, 4096);
}

/* The reading thread of the fixture waits, and the daemon is made to say more than the pipes hold. */
static bool leave_log_unread(Soak *soak) {
        g_autofree char *path = g_strdup_printf(
                        "/proc/%d/fd/3", (int) fixture_find_helper(soak->fixture, HELPER_LOG));
        _cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

        if (fd < 0)
                return false;
        make_pipe_small(fd);
        make_pipe_small(soak->fixture->log_fd);
        g_mutex_lock(&soak->fixture->log_lock);
        for (unsigned i = 0; i < 100; i++) {
                g_autofree char *filling = g_strnfill(200, i % 2 == 0 ? 'x' : 'y');
                g_autofree char *glob = g_strdup_printf("kworker/*+flush-7:@(*|%s)", filling);

                (void) client_send_set(soak->root, "Glob", g_variant_new_string(glob));
        }
        return true;
}

static void read_log_again(Soak *soak) {
        g_mutex_unlock(&soak->fixture->log_lock);
}

static bool kill_log_writer(Soak *soak) {
        signal_helper(soak, HELPER_LOG, SIGKILL);
        return true;
}

static bool stop_sync_helpers(Soak *soak) {
        soak->helper_held_usec = usec_now(CLOCK_MONOTONIC);
        soak->helper_let_go_usec = soak->helper_disturbed_usec = soak->able_usec = USEC_INFINITY;
        signal_sync_helpers(soak, SIGSTOP);
        return true;
}

/* Meanwhile there may have been a sync that nobody saw. */
static void continue_sync_helpers(Soak *soak) {
        uint64_t now_usec = usec_now(CLOCK_MONOTONIC);

        signal_sync_helpers(soak, SIGCONT);
        soak->helper_let_go_usec = soak->helper_disturbed_usec = soak->able_usec = now_usec;
        soak->syncing_usec = MAX(soak->syncing_usec, now_usec + SYNC_TIMEOUT_MAX_USEC);
        soak->n_unhelpful++;
}

static bool kill_sync_helper(Soak *soak) {
        uint64_t now_usec = usec_now(CLOCK_MONOTONIC);

        signal_helper(soak, one_in(soak, 2) ? HELPER_SYNC : HELPER_SYNCFS, SIGKILL);
        soak->able_usec = MAX(soak->able_usec, now_usec);
        soak->helper_disturbed_usec = now_usec;
        return true;
}

static bool stop_storage_helper(Soak *soak) {
        signal_helper(soak, HELPER_STORAGE, SIGSTOP);
        (void) kill(soak->fixture->daemon.pid, SIGHUP);
        return true;
}

static void continue_storage_helper(Soak *soak) {
        signal_helper(soak, HELPER_STORAGE, SIGCONT);
}

static bool kill_storage_helper(Soak *soak) {
        (void) kill(soak->fixture->daemon.pid, SIGHUP);
        signal_helper(soak, HELPER_STORAGE, SIGKILL);
        return true;
}

static void write_settings(Soak *soak, const char *more) {
        static const char *const methods[] = { "auto", "auto", "auto", "syncfs", "sync" };
        g_autofree char *text = g_strdup_printf(
                        SETTINGS "ThresholdSec=%" G_GUINT64_FORMAT
                                 "ms\nPollIntervalSec=%ums\nSyncTimeoutSec=%us\n"
                                 "SyncMethod=%s\n%s",
                        any_threshold_usec(soak) / USEC_PER_MSEC, any_number(soak, 1, 2) * 100,
                        any_number(soak, 1, 3), methods[any_number(soak, 0, ELEMENTSOF(methods) - 1)], more);

        fixture_write_config(soak->fixture, text);
}

static bool reload(Soak *soak) {
        write_settings(soak, "");
        (void) kill(soak->fixture->daemon.pid, SIGHUP);
        return true;
}

/* What is wrong is reported, and the rest counts. */
static bool reload_nonsense(Soak *soak) {
        write_settings(soak,
                       "Nonsense=1\nThresholdSec=never\nGlob=\nPollIntervalSec=-1\n\x01\xff\nDryRun=perhaps\n"
                       "[Other]\nThresholdSec=1h\n");
        (void) kill(soak->fixture->daemon.pid, SIGHUP);
        return true;
}

/* For ever, or for a time that may be over before it is taken back. */
static bool pause_daemon(Soak *soak) {
        soak->able_usec = USEC_INFINITY;
        if (one_in(soak, 2))
                ask(soak, soak->root, QUESTION_PAUSE, "Pause", NULL);
        else
                (void) client_send_method(
                                soak->root, "PauseFor",
                                g_variant_new("(t)", any_number(soak, 1, 3000) * USEC_PER_MSEC));
        return true;
}

/* It is over when that was answered: see resume(). */
static void end_pause(Soak *soak) {
        soak->paused_usec = USEC_INFINITY;
        soak->resuming = true;
        soak->held |= THING_PAUSE;
}

static void resume(Soak *soak) {
        if (soak->resuming && soak->root && !question_is_open(soak, QUESTION_RESUME))
                ask(soak, soak->root, QUESTION_RESUME, "Resume", NULL);
}

static bool force_sync(Soak *soak) {
        for (unsigned i = any_number(soak, 1, 3); i > 0; i--)
                ask(soak, one_in(soak, 2) ? soak->root : soak->allowed, QUESTION_SYNC, "ForceSync", NULL);
        return true;
}

static bool change_settings(Soak *soak) {
        g_autofree char *settings = g_strdup_printf(
                        "{'ThresholdUSec': <uint64 %" G_GUINT64_FORMAT ">}", any_threshold_usec(soak));

        (void) client_send_method(
                        soak->root, "SetProperties", set_properties_arguments(one_in(soak, 2), settings));
        (void) client_send_set(soak->root, "ThresholdUSec", g_variant_new_uint64(any_threshold_usec(soak)));
        (void) client_send_set(soak->root, "Glob", g_variant_new_string("")); /* is refused */
        return true;
}

static bool begin_flood(Soak *soak) {
        enum {
                N_CONNECTIONS = 8
        };
        static const char *const methods[] = { "Pause", "ForceSync", "ListEpisodes", "ListWorkers" };
        unsigned which = any_number(soak, 0, ELEMENTSOF(methods));

        soak->flood = flood_start(
                        crowd_new_of(soak->fixture, UID_NOBODY, N_CONNECTIONS),
                        which == ELEMENTSOF(methods) ? call_get_state()
                                                     : call_of(BUS_INTERFACE, methods[which], NULL),
                        /* reads= */ one_in(soak, 2));
        return true;
}

static void end_flood(Soak *soak) {
        flood_stop(soak->flood);
}

static void spin(const void *data) {
        for (;;)
                __asm__ volatile("");
}

static unsigned count_hogs(void) {
        return (unsigned) MIN(8 * sysconf(_SC_NPROCESSORS_ONLN), (long) ELEMENTSOF(((Soak *) NULL)->hogs));
}

static bool take_cpus(Soak *soak) {
        for (unsigned i = 0; i < count_hogs(); i++)
                soak->hogs[i] = start_child(spin, NULL);
        return true;
}

static void free_cpus(Soak *soak) {
        for (unsigned i = 0; i < count_hogs(); i++)
                end_child(&soak->hogs[i]);
}

static void fork_for_ever(const void *data) {
        for (;;)
                fork_often(1000);
}

static bool begin_storm(Soak *soak) {
        soak->storm = start_child(fork_for_ever, NULL);
        return true;
}

static void end_storm(Soak *soak) {
        end_child(&soak->storm);
}

/* It can open nothing any more, and may lose its sync helper for which there is no other one then. */
static bool take_descriptors(Soak *soak) {
        struct rlimit none;

        soak->sight_usec = USEC_INFINITY;
        g_assert_no_errno(prlimit(soak->fixture->daemon.pid, RLIMIT_NOFILE, NULL, &soak->limit));
        none = (struct rlimit){ .rlim_cur = 0, .rlim_max = soak->limit.rlim_max };
        g_assert_no_errno(prlimit(soak->fixture->daemon.pid, RLIMIT_NOFILE, &none, NULL));
        if (!(soak->held & THING_SYNC_HELPER) && one_in(soak, 2))
                (void) kill_sync_helper(soak);
        return true;
}

static void give_descriptors(Soak *soak) {
        g_assert_no_errno(prlimit(soak->fixture->daemon.pid, RLIMIT_NOFILE, &soak->limit, NULL));
        soak->sight_usec = usec_now(CLOCK_MONOTONIC);
        if (soak->helper_disturbed_usec != USEC_INFINITY)
                soak->helper_disturbed_usec = soak->sight_usec;
}

static void fork_much(const void *data) {
        fork_often(5000);
}

/* More thread creation events than its socket holds, while it does not run. From then on it receives each. In
 * a container it has no such socket. */
static bool overrun_netlink(Soak *soak) {
        _cleanup_close_ int fd = steal_netlink_socket(soak->fixture);
        int unused = 0;
        pid_t pid;

        if (fd < 0)
                return false;

        (void) setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused));
        g_assert_no_errno(kill(soak->fixture->daemon.pid, SIGSTOP));
        pid = start_child(fork_much, NULL);
        g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
        g_assert_no_errno(kill(soak->fixture->daemon.pid, SIGCONT));
        soak->able_usec = MAX(soak->able_usec, usec_now(CLOCK_MONOTONIC));
        return true;
}

static uint64_t status_kib(const Soak *soak, const char *field) {
        g_autofree char *path = g_strdup_printf("/proc/%d/status", (int) soak->fixture->daemon.pid),
                        *text = NULL;
        const char *found;

        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        found = strstr(text, field);
        g_assert_nonnull(found);
        return g_ascii_strtoull(found + strlen(field), NULL, 10);
}

/* All that was known of it is over. */
static void forget_daemon(Soak *soak) {
        soak->ready_usec = USEC_INFINITY;
        soak->able_usec = soak->syncing_usec = 0;
        soak->paused_usec = USEC_INFINITY;
        soak->helper_held_usec = soak->helper_disturbed_usec = soak->group_usec = 0;
        soak->n_unhelpful = 0;
}

static bool kill_daemon(Soak *soak) {
        soak->peak_kib = MAX(soak->peak_kib, status_kib(soak, "VmHWM:"));
        fixture_kill_daemon(soak->fixture);
        forget_daemon(soak);
        return true;
}

static bool stop_daemon(Soak *soak) {
        soak->peak_kib = MAX(soak->peak_kib, status_kib(soak, "VmHWM:"));
        fixture_stop_daemon(soak->fixture);
        forget_daemon(soak);
        return true;
}

/* With it, what was held of it is gone. */
#define DAEMON_THINGS                                                                                        \
        (THING_DAEMON | THING_LOG | THING_SYNC_HELPER | THING_STORAGE_HELPER | THING_SIGHT | THING_PAUSE)

static Fault faults[] = {
        { "bus stopped", stop_bus, continue_bus, 200, 4000, THING_BUS },
        { "bus killed", kill_bus, restart_bus, 0, 2500, THING_BUS | THING_POLKIT, 0 },
        { "polkitd stopped", stop_polkit, continue_polkit, 200, 4000, THING_POLKIT, THING_BUS },
        { "polkitd killed", kill_polkit, restart_polkit, 0, 2500, THING_BUS | THING_POLKIT, 0 },
        { "log not read", leave_log_unread, read_log_again, 500, 5000, THING_LOG, THING_BUS | THING_DAEMON },
        { "log writer killed", kill_log_writer, NULL, 0, 0, 0, THING_DAEMON },
        { "sync helpers stopped", stop_sync_helpers, continue_sync_helpers, 200, 3000, THING_SYNC_HELPER,
          THING_DAEMON | THING_PAUSE },
        { "sync helper killed", kill_sync_helper, NULL, 0, 0, THING_SYNC_HELPER, THING_DAEMON },
        { "storage helper stopped", stop_storage_helper, continue_storage_helper, 200, 3000,
          THING_STORAGE_HELPER, THING_DAEMON },
        { "storage helper killed", kill_storage_helper, NULL, 0, 0, THING_STORAGE_HELPER, THING_DAEMON },
        { "reload", reload, NULL, 0, 0, 0, THING_DAEMON },
        { "reload of nonsense", reload_nonsense, NULL, 0, 0, 0, THING_DAEMON },
        { "pause", pause_daemon, end_pause, 300, 3000, THING_PAUSE,
          THING_BUS | THING_DAEMON | THING_SYNC_HELPER },
        { "forced sync", force_sync, NULL, 0, 0, 0, THING_BUS | THING_DAEMON },
        { "settings changed", change_settings, NULL, 0, 0, 0, THING_BUS | THING_DAEMON },
        { "flood of calls", begin_flood, end_flood, 500, 2000, THING_FLOOD, THING_BUS },
        { "CPUs taken", take_cpus, free_cpus, 1000, 3000, THING_CPUS, 0 },
        { "storm of forks", begin_storm, end_storm, 500, 2000, THING_FORKS, 0 },
        { "no descriptors", take_descriptors, give_descriptors, 200, 2000, THING_SIGHT, THING_DAEMON },
        { "netlink overrun", overrun_netlink, NULL, 0, 0, THING_SIGHT, THING_DAEMON | THING_CPUS },
        { "daemon killed", kill_daemon, start_daemon, 0, 1500, DAEMON_THINGS, 0 },
        { "daemon stopped", stop_daemon, start_daemon, 0, 1500, DAEMON_THINGS, 0 },
};

static bool restarts_daemon(const Fault *fault) {
        return fault->holds & THING_DAEMON;
}

static unsigned count_lasting_faults(void) {
        unsigned n = 0;

        for (size_t i = 0; i < ELEMENTSOF(faults); i++)
                if (faults[i].end_usec > 0)
                        n++;
        return n;
}

static void throw_fault(Soak *soak, Fault *fault) {
        note(soak, "%s", fault->name);
        judge_runs(soak);
        if (!fault->begin(soak))
                return;

        fault->n_thrown++;
        if (fault->end) {
                soak->held |= fault->holds;
                fault->end_usec = in_any_msec(soak, fault->min_msec, fault->max_msec);
        }
}

static void end_fault(Soak *soak, Fault *fault) {
        note(soak, "end of: %s", fault->name);
        judge_runs(soak);
        fault->end_usec = 0;
        soak->held &= ~fault->holds;
        fault->end(soak);
}

/* Each comes once before any comes again. */
static Fault *choose_fault(Soak *soak) {
        Fault *possible[ELEMENTSOF(faults)];
        bool any_left = false;
        unsigned n = 0;

        for (size_t i = 0; i < ELEMENTSOF(faults); i++) {
                Fault *fault = &faults[i];

                if (fault->dealt || (restarts_daemon(fault) && !soak->restarting))
                        continue;
                any_left = true;
                if (((fault->holds | fault->needs) & soak->held) == 0)
                        possible[n++] = fault;
        }

        if (!any_left)
                for (size_t i = 0; i < ELEMENTSOF(faults); i++)
                        faults[i].dealt = false;
        if (n == 0)
                return NULL;

        n = any_number(soak, 0, n - 1);
        possible[n]->dealt = true;
        return possible[n];
}

static void move_faults(Soak *soak) {
        uint64_t now_usec = usec_now(CLOCK_MONOTONIC);
        Fault *fault;

        for (size_t i = 0; i < ELEMENTSOF(faults); i++)
                if (faults[i].end_usec > 0 && (soak->at_rest || now_usec >= faults[i].end_usec))
                        end_fault(soak, &faults[i]);
        resume(soak);

        if (soak->at_rest || now_usec < soak->next_fault_usec || count_lasting_faults() >= soak->at_once)
                return;
        fault = choose_fault(soak);
        if (fault)
                throw_fault(soak, fault);
        soak->next_fault_usec = in_any_msec(soak, 0, 1500 / soak->at_once);
}

/* ---- the stuck workers ---- */

static bool has_said_something(const StuckWorker *stuck) {
        struct pollfd line = { .fd = stuck->stdout_fd, .events = POLLIN };

        return poll(&line, 1, 0) == 1;
}

static void move_stuck(Soak *soak) {
        /* Longer than any of them takes; if this program hangs, it ends. */
        const unsigned hold_sec = 60;
        bool now = usec_now(CLOCK_MONOTONIC) >= soak->stuck_next_usec;

        switch (soak->stuck_state) {
        case STUCK_NONE:
                if (soak->at_rest || !now)
                        break;
                stuck_worker_start(&soak->stuck, hold_sec);
                soak->stuck_state = STUCK_BEGINS;
                break;

        case STUCK_BEGINS:
                if (!has_said_something(&soak->stuck))
                        break;
                stuck_worker_wait_line(&soak->stuck, "stuck");
                soak->stuck_state = STUCK_IS;
                soak->n_stuck++;
                note(soak, "a worker is stuck");
                /* Some not for long enough. */
                soak->stuck_next_usec =
                                one_in(soak, 4) ? in_any_msec(soak, 0, 800) : in_any_msec(soak, 4000, 9000);
                break;

        case STUCK_IS:
                if (!soak->at_rest && !now)
                        break;
                note(soak, "it is released");
                stuck_worker_ask_to_let_go(&soak->stuck);
                soak->stuck_state = STUCK_ENDS;
                break;

        case STUCK_ENDS:
                if (!has_said_something(&soak->stuck))
                        break;
                stuck_worker_let_go(&soak->stuck);
                note(soak, "all is released");
                soak->stuck_state = STUCK_NONE;
                soak->stuck_next_usec = in_any_msec(soak, 200, 2500);
                break;
        }
}

/* ---- the rounds ---- */

static void tick(Soak *soak) {
        soak->fixture->deadline_usec = g_get_monotonic_time() + FIXTURE_TIMEOUT_SEC * G_USEC_PER_SEC;

        judge_daemon(soak);
        take_answers(soak);
        judge_runs(soak);
        move_stuck(soak);
        move_faults(soak);
        g_usleep(10 * USEC_PER_MSEC);
}

static void pass_time(Soak *soak, unsigned msec) {
        uint64_t end_usec = usec_now(CLOCK_MONOTONIC) + msec * USEC_PER_MSEC;

        while (usec_now(CLOCK_MONOTONIC) < end_usec)
                tick(soak);
}

/* Nobody is stuck, no fault lasts, and no question is open. */
static void end_all(Soak *soak) {
        gint64 deadline_usec = g_get_monotonic_time() + FIXTURE_TIMEOUT_SEC * G_USEC_PER_SEC;

        soak->at_rest = true;
        do {
                tick(soak);
                if (g_get_monotonic_time() > deadline_usec)
                        fail(soak, "it does not come to rest: held %#x, %u questions, stuck %d", soak->held,
                             soak->questions->len, soak->stuck_state);
        } while (soak->held != 0 || soak->questions->len > 0 || soak->stuck_state != STUCK_NONE);
}

static void __attribute__((noreturn)) fail_with_children(Soak *soak) {
        g_autoptr(GArray) children = children_of(soak->fixture->daemon.pid);
        g_autoptr(GString) all = g_string_new(NULL);

        for (guint i = 0; i < children->len; i++) {
                g_autofree char *path =
                                g_strdup_printf("/proc/%d/stat", (int) g_array_index(children, pid_t, i));
                g_autofree char *text = NULL;

                if (g_file_get_contents(path, &text, NULL, NULL))
                        g_string_append_printf(all, "\n%s", text);
        }
        fail(soak, "the daemon has other children than its own:%s", all->str);
}

static unsigned count_children(const Soak *soak) {
        g_autoptr(GArray) children = children_of(soak->fixture->daemon.pid);

        return children->len;
}

/* Where no helper could be started anew, since there was no descriptor left, it comes with the next scan, and
 * those in place of helpers that hung go with it. */
static void await_helpers(Soak *soak) {
        for (unsigned n_scans = 0; count_children(soak) != N_CHILDREN; n_scans++) {
                if (n_scans > 10)
                        fail_with_children(soak);
                g_usleep(IDLE_SCAN_USEC);
        }
}

/* Each stall was ended while a sync was under way, and so all but the first syncs of it seem to have helped.
 */
static void judge_unhelpful(Soak *soak) {
        g_autoptr(GVariant) value = client_get(soak->root, "SyncsUnhelpful");

        soak->n_unhelpful = g_variant_get_uint32(value);
        soak->most_unhelpful = MAX(soak->most_unhelpful, soak->n_unhelpful);
        if (soak->n_unhelpful >= UNHELPFUL_MAX)
                fail(soak, "%u syncs in a row did not help", soak->n_unhelpful);
}

/* And the daemon has nothing to do, and what it needs. The helper for the disk and the writer of the log come
 * when they are needed: for a reload, and to report it. */
static void come_to_rest(Soak *soak) {
        end_all(soak);
        drop_clients(soak);
        make_clients(soak);
        g_free(client_wait_owner(soak->root, BUS_NAME));
        client_wait_property(soak->root, "State", "'idle'");

        write_settings(soak, "");
        fixture_reload_daemon(soak->fixture);
        await_helpers(soak);

        judge_syncs(soak);
        judge_unhelpful(soak);
        soak->n_requested = soak->n_lost_questions = 0;
        soak->helper_held_usec = 0;
        note(soak, "at rest");
}

/* The helpers of daemons that were killed or stopped are ours, and have ended: what held them is gone. */
static void end_old_helpers(Soak *soak) {
        g_autoptr(GArray) children = children_of(getpid());

        for (guint i = 0; i < children->len; i++) {
                pid_t pid = g_array_index(children, pid_t, i);

                if (!is_called(pid, HELPER_SYNC) && !is_called(pid, HELPER_SYNCFS) &&
                    !is_called(pid, HELPER_STORAGE) && !is_called(pid, HELPER_LOG))
                        continue;
                for (unsigned tries = 0; waitpid(pid, NULL, WNOHANG) == 0; tries++) {
                        if (tries > 1000)
                                fail(soak, "a helper of a daemon that is gone does not end");
                        g_usleep(10 * USEC_PER_MSEC);
                }
                soak->n_old_helpers++;
        }
}

static unsigned count_descriptors(const Soak *soak) {
        g_autofree char *folder = g_strdup_printf("/proc/%d/fd", (int) soak->fixture->daemon.pid);
        g_autoptr(GDir) descriptors = g_dir_open(folder, 0, NULL);
        const char *name;
        unsigned n = 0;

        g_assert_nonnull(descriptors);
        while ((name = g_dir_read_name(descriptors))) {
                g_autofree char *path = g_build_filename(folder, name, NULL);
                g_autofree char *target = g_file_read_link(path, NULL);

                /* It keeps one of each kernel thread, and those come and go. */
                if (target && !g_str_has_prefix(target, "/proc"))
                        n++;
        }

        return n;
}

/* Memory that is its own alone, written to. */
static uint64_t own_memory_kib(const Soak *soak) {
        g_autofree char *path = g_strdup_printf("/proc/%d/smaps_rollup", (int) soak->fixture->daemon.pid),
                        *text = NULL;
        const char *found;

        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        found = strstr(text, "Private_Dirty:");
        g_assert_nonnull(found);
        return g_ascii_strtoull(found + strlen("Private_Dirty:"), NULL, 10);
}

static Holding count_holding(const Soak *soak) {
        return (Holding){
                .n_descriptors = count_descriptors(soak),
                .n_children = count_children(soak),
                .memory_kib = own_memory_kib(soak),
        };
}

/* After a daemon's first round it has all that it needs. It may come to have more memory by a bound, and
 * nothing else. */
static void judge_holding(Soak *soak) {
        Holding holding = count_holding(soak);
        uint64_t grown_kib;

        soak->peak_kib = MAX(soak->peak_kib, status_kib(soak, "VmHWM:"));
        soak->most_descriptors = MAX(soak->most_descriptors, holding.n_descriptors);
        if (soak->baseline_daemon != soak->fixture->daemon.pid) {
                soak->baseline_daemon = soak->fixture->daemon.pid;
                soak->baseline = holding;
        }
        grown_kib = usec_subtract(holding.memory_kib, soak->baseline.memory_kib);
        soak->most_grown_kib = MAX(soak->most_grown_kib, grown_kib);

        if (holding.n_children != N_CHILDREN)
                fail_with_children(soak);
        if (holding.n_descriptors > soak->baseline.n_descriptors)
                fail(soak, "the daemon has %u descriptors, and had %u", holding.n_descriptors,
                     soak->baseline.n_descriptors);
#ifndef HAS_ADDRESS_SANITIZER /* it keeps what is freed */
        if (grown_kib > MEMORY_GROWTH_KIB)
                fail(soak, "the daemon's memory grew by %" G_GUINT64_FORMAT " KiB", grown_kib);
        if (soak->peak_kib > MEMORY_PEAK_KIB)
                fail(soak, "the daemon took %" G_GUINT64_FORMAT " KiB", soak->peak_kib);
#endif
}

static void pass_round(Soak *soak) {
        unsigned n_syncs, n_filesystem_syncs;

        soak->at_rest = false;
        soak->at_once = any_number(soak, 1, 4);
        soak->restarting = soak->n_rounds % RESTARTING_ROUNDS == RESTARTING_ROUND;
        note(soak, "round %u", soak->n_rounds);
        pass_time(soak, any_number(soak, CHAOS_MIN_MSEC, CHAOS_MAX_MSEC));

        come_to_rest(soak);
        end_old_helpers(soak);
        judge_holding(soak);

        n_syncs = count_syncs(soak);
        n_filesystem_syncs = count_filesystem_syncs(soak);
        pass_time(soak, CALM_MSEC);
        if (count_syncs(soak) != n_syncs || count_filesystem_syncs(soak) != n_filesystem_syncs)
                fail(soak, "a sync in the calm");
        soak->n_rounds++;
}

/* ---- beginning and end ---- */

static SyncRecords *share_sync_records(const BusFixture *fixture) {
        g_autofree char *path = g_build_filename(fixture->folder, "syncs", NULL);
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        void *memory;

        g_assert_no_errno(fd);
        g_assert_no_errno(ftruncate(fd, sizeof(SyncRecords)));
        memory = mmap(NULL, sizeof(SyncRecords), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        g_assert_true(memory != MAP_FAILED);
        (void) setenv(SYNC_RECORD_VARIABLE, path, true);
        return memory;
}

static unsigned number_from_environment(const char *name, unsigned otherwise) {
        const char *text = g_getenv(name);

        return text ? (unsigned) g_ascii_strtoull(text, NULL, 10) : otherwise;
}

static void begin_soak(Soak *soak, BusFixture *fixture) {
        *soak = (Soak){
                .fixture = fixture,
                .begin_usec = usec_now(CLOCK_MONOTONIC),
                .questions = g_array_new(false, false, sizeof(Question)),
                .runs = g_array_new(false, false, sizeof(Run)),
                .paused_usec = USEC_INFINITY,
                .syncs = share_sync_records(fixture),
        };
        g_queue_init(&soak->history);
        g_mutex_init(&soak->lock);

        fixture->netlink = true;
        fixture->preload = g_getenv("WBWATCH_SYNC_RECORDER");
        g_assert_nonnull(fixture->preload);
}

static void end_soak(Soak *soak) {
        drop_clients(soak);
        g_mutex_lock(&soak->lock);
        soak->watched = true;
        g_mutex_unlock(&soak->lock);
        (void) g_thread_join(soak->watcher);

        g_mutex_clear(&soak->lock);
        g_queue_clear_full(&soak->history, g_free);
        (void) g_array_unref(soak->questions);
        (void) g_array_unref(soak->runs);
        (void) munmap(soak->syncs, sizeof(SyncRecords));
        g_rand_free(soak->random);
}

static unsigned count_dropped_lines(const BusFixture *fixture) {
        static const char reported[] = " log line"; /* " was", "s were", " dropped" */
        const char *found = fixture->log->str;
        unsigned n = 0;

        while ((found = strstr(found, reported))) {
                const char *number = found;

                while (number > fixture->log->str && g_ascii_isdigit(number[-1]))
                        number--;
                n += (unsigned) atoi(number);
                found += strlen(reported);
        }

        return n;
}

static void print_table(Soak *soak) {
        g_test_message("thrown:");
        for (size_t i = 0; i < ELEMENTSOF(faults); i++)
                g_test_message("%8u  %s", faults[i].n_thrown, faults[i].name);
        g_test_message("held, in %u rounds and %.0f s:", soak->n_rounds,
                       (double) (usec_now(CLOCK_MONOTONIC) - soak->begin_usec) / 1e6);
        g_test_message("%8u  workers got stuck, %u for so long that a sync was due", soak->n_stuck,
                       soak->n_runs);
        g_test_message("%8u  calls of syncfs() and %u of sync(), none for nothing",
                       count_filesystem_syncs(soak), count_syncs(soak));
        g_test_message("%8u  syncs began while a worker was stuck", soak->n_answered);
        g_test_message("%8u  syncs in a row at most seemed not to help", soak->most_unhelpful);
        g_test_message("%8u  calls of ForceSync were answered well", soak->n_sync_answers);
        g_test_message("%8" G_GUINT64_FORMAT
                       "  ms was the longest that a worker in sight waited for its sync "
                       "(threshold up to %" G_GUINT64_FORMAT ", bound %" G_GUINT64_FORMAT ")",
                       soak->longest_wait_usec / USEC_PER_MSEC, THRESHOLD_MAX_USEC / USEC_PER_MSEC,
                       (IDLE_SCAN_USEC + THRESHOLD_MAX_USEC + LATE_MAX_USEC) / USEC_PER_MSEC);
        g_test_message("%8" G_GUINT64_FORMAT "  KiB of memory at most", soak->peak_kib);
        g_test_message("%8" G_GUINT64_FORMAT "  KiB of own memory more than after a daemon's first round",
                       soak->most_grown_kib);
        g_test_message("%8u  descriptors at most, besides those in /proc", soak->most_descriptors);
        g_test_message("%8u  daemons with %u children each; %u of these outlived theirs, and ended",
                       soak->n_daemons, N_CHILDREN, soak->n_old_helpers);
        g_test_message("%8u  log lines were dropped, and reported", count_dropped_lines(soak->fixture));
}

static void test_soak(BusFixture *fixture, gconstpointer data) {
        unsigned length_sec = number_from_environment("WBWATCH_SOAK_SEC", LENGTH_SEC_DEFAULT);
        guint32 seed = number_from_environment("WBWATCH_SEED", g_random_int());
        Soak soak;

        g_test_message("WBWATCH_SEED=%" G_GUINT32_FORMAT " WBWATCH_SOAK_SEC=%u", seed, length_sec);
        begin_soak(&soak, fixture);
        soak.random = g_rand_new_with_seed(seed);
        soak.watcher = g_thread_new("watcher", watch_workers, &soak);

        fixture_start_silent_bus(fixture);
        fixture_start_polkit(fixture, polkit_rules);
        make_clients(&soak);
        write_settings(&soak, "");
        start_daemon(&soak);
        g_free(client_wait_owner(soak.root, BUS_NAME));

        while (usec_now(CLOCK_MONOTONIC) < soak.begin_usec + length_sec * USEC_PER_SEC)
                pass_round(&soak);

        print_table(&soak);
        end_soak(&soak);
}

/* All that was begun by this program and by what it began has ended, and nothing is frozen any more. */
static void tear_down(BusFixture *fixture, gconstpointer data) {
        gint64 deadline_usec;
        pid_t pid;

        fixture_tear_down(fixture, data);

        deadline_usec = g_get_monotonic_time() + FIXTURE_TIMEOUT_SEC * G_USEC_PER_SEC;
        while ((pid = waitpid(-1, NULL, WNOHANG)) >= 0) {
                g_assert_cmpint(g_get_monotonic_time(), <, deadline_usec);
                if (pid == 0)
                        g_usleep(10 * USEC_PER_MSEC);
        }
        g_assert_cmpint(errno, ==, ECHILD);
        g_assert_cmpuint(stuck_worker_count_devices(), ==, 0);
        sync();
}

int main(int argc, char **argv) {
        if (!fixture_isolate())
                return EXIT_SUCCESS;
        g_test_init(&argc, &argv, NULL);

        /* What is left behind comes to us. */
        g_assert_no_errno(prctl(PR_SET_CHILD_SUBREAPER, 1));

        g_test_add("/soak", BusFixture, NULL, fixture_set_up, test_soak, tear_down);
        return g_test_run();
}
