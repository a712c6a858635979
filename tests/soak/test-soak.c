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
 *
 * soak.h says which part is where.
 */

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "deadline.h"
#include "soak.h"

#define LENGTH_SEC_DEFAULT 20

/* A round's chaos, and its calm. */
#define CHAOS_MIN_MSEC 8000
#define CHAOS_MAX_MSEC 16000
#define CALM_MSEC 1500

/* The daemon is killed or stopped in every so-manieth round only: what leaks would begin anew with it. */
#define RESTARTING_ROUND 2
#define RESTARTING_ROUNDS 8

#define UNHELPFUL_MAX 5

/* For the filesystems, for single ones, for sync(2), for the disk, for the log, for the bus, for both
 * sockets. */
#define N_CHILDREN (4 + 2 + 4 + 2)

/* What it may have more of its own memory than after its first round: the records of 64 episodes, and what
 * the C library keeps of a flood's messages, in arenas that are torn by then. */
#define MEMORY_GROWTH_KIB 2048

/* ---- messages ---- */

void note(Soak *soak, const char *format, ...) {
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

void fail(Soak *soak, const char *format, ...) {
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

unsigned any_number(Soak *soak, unsigned min, unsigned max) {
        return (unsigned) g_rand_int_range(soak->random, (gint32) min, (gint32) max + 1);
}

bool one_in(Soak *soak, unsigned n) {
        return any_number(soak, 1, n) == 1;
}

uint64_t in_any_msec(Soak *soak, unsigned min_msec, unsigned max_msec) {
        return usec_now(CLOCK_MONOTONIC) + any_number(soak, min_msec, max_msec) * USEC_PER_MSEC;
}

uint64_t any_threshold_usec(Soak *soak) {
        return THRESHOLD_MIN_USEC + any_number(soak, 0, 4) * (THRESHOLD_MAX_USEC - THRESHOLD_MIN_USEC) / 4;
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

static void tick(Soak *soak) {
        soak->fixture->deadline_usec = deadline_in_sec(FIXTURE_TIMEOUT_SEC);

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
        gint64 deadline_usec = deadline_in_sec(FIXTURE_TIMEOUT_SEC);

        soak->at_rest = true;
        do {
                tick(soak);
                if (g_get_monotonic_time() > deadline_usec)
                        fail(soak, "it does not come to rest: held %#x, %u questions, stuck %d", soak->held,
                             soak->questions->len, soak->stuck_state);
        } while (soak->held != 0 || soak->questions->len > 0 || soak->stuck_state != STUCK_NONE);
}

static void __attribute__((noreturn)) fail_with_children(Soak *soak) {
        g_autoptr(GArray) children = process_children(soak->fixture->daemon.pid, NULL);
        g_autoptr(GString) all = g_string_new(NULL);

        for (guint i = 0; i < children->len; i++) {
                g_autofree char *text = process_text(g_array_index(children, pid_t, i), "stat");

                if (text)
                        g_string_append_printf(all, "\n%s", text);
        }
        fail(soak, "the daemon has other children than its own:%s", all->str);
}

static unsigned count_children(const Soak *soak) {
        g_autoptr(GArray) children = process_children(soak->fixture->daemon.pid, NULL);

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
        g_autoptr(GArray) children = process_children(getpid(), NULL);

        for (guint i = 0; i < children->len; i++) {
                pid_t pid = g_array_index(children, pid_t, i);

                if (!process_is_called(pid, HELPER_SYNC) && !process_is_called(pid, HELPER_SYNCFS) &&
                    !process_is_called(pid, HELPER_STORAGE) && !process_is_called(pid, HELPER_LOG))
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

static Holding count_holding(const Soak *soak) {
        return (Holding){
                .n_descriptors = count_descriptors(soak),
                .n_children = count_children(soak),
                .memory_kib = process_number(soak->fixture->daemon.pid, "smaps_rollup", "Private_Dirty:"),
        };
}

/* After a daemon's first round it has all that it needs. It may come to have more memory by a bound, and
 * nothing else. */
static void judge_holding(Soak *soak) {
        Holding holding = count_holding(soak);
        uint64_t grown_kib;

        soak->peak_kib = MAX(soak->peak_kib, process_status_number(soak->fixture->daemon.pid, "VmHWM:"));
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
                .syncs = sync_witness_new(fixture),
        };
        g_queue_init(&soak->history);
        g_mutex_init(&soak->lock);

        fixture->netlink = true;
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
        sync_witness_free(soak->syncs);
        g_rand_free(soak->random);
}

static unsigned count_dropped_lines(const BusFixture *fixture) {
        static const char reported[] = " log line"; /* " was", "s were", " dropped" */
        const char *found = fixture->log.text->str;
        unsigned n = 0;

        while ((found = strstr(found, reported))) {
                const char *number = found;

                while (number > fixture->log.text->str && g_ascii_isdigit(number[-1]))
                        number--;
                n += (unsigned) atoi(number);
                found += strlen(reported);
        }

        return n;
}

static void print_table(Soak *soak) {
        print_faults();
        g_test_message("held, in %u rounds and %.0f s:", soak->n_rounds,
                       (double) (usec_now(CLOCK_MONOTONIC) - soak->begin_usec) / 1e6);
        g_test_message("%8u  workers got stuck, %u for so long that a sync was due", soak->n_stuck,
                       soak->n_runs);
        g_test_message("%8u  calls of syncfs() and %u of sync(), none for nothing",
                       count_filesystem_syncs(soak), count_syncs(soak));
        g_test_message("%8u  syncs began while a worker was stuck", soak->n_answered);
        g_test_message("%8u  automatic syncs came after the Recovery time of the sync before", soak->n_gaps);
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

        deadline_usec = deadline_in_sec(FIXTURE_TIMEOUT_SEC);
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
