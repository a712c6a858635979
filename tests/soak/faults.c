/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The faults of the soak: see test-soak.c. */

#include "soak.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

#include "flooder.h"
#include "storm.h"

#define SETTINGS                                                                                             \
        "[Watch]\n"                                                                                          \
        "Glob=kworker/*+flush-7:*\n"                                                                         \
        "CountWaiting=yes\n"                                                                                 \
        "CrowdSize=0\n"                                                                                      \
        "IdleScanIntervalSec=1s\n"                                                                           \
        "FilesystemTimeoutSec=1s\n"                                                                          \
        "RecoverySec=2s\n"

const char polkit_rules[] = "polkit.addRule(function(action, subject) {\n"
                            "    if (subject.user == 'daemon') return polkit.Result.YES;\n"
                            "});\n";

void start_daemon(Soak *soak) {
        fixture_start_daemon(soak->fixture, "--proc-root", "/proc", "--verbose", NULL);
        soak->ready_usec = usec_now(CLOCK_MONOTONIC);
        soak->n_daemons++;
        note(soak, "daemon %d is ready", (int) soak->fixture->daemon.pid);
}

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
        g_autoptr(GArray) children = process_children(soak->fixture->daemon.pid, NULL);

        for (guint i = 0; i < children->len; i++) {
                pid_t pid = g_array_index(children, pid_t, i);

                if (process_is_called(pid, HELPER_SYNC) || process_is_called(pid, HELPER_SYNCFS))
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
        make_pipe_small(soak->fixture->log.fd);
        g_mutex_lock(&soak->fixture->log.lock);
        for (unsigned i = 0; i < 100; i++) {
                g_autofree char *filling = g_strnfill(200, i % 2 == 0 ? 'x' : 'y');
                g_autofree char *glob = g_strdup_printf("kworker/*+flush-7:@(*|%s)", filling);

                (void) client_send_set(soak->root, "Glob", g_variant_new_string(glob));
        }
        return true;
}

static void read_log_again(Soak *soak) {
        g_mutex_unlock(&soak->fixture->log.lock);
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

void write_settings(Soak *soak, const char *more) {
        static const char *const methods[] = { "auto", "auto", "syncfs", "sync" };
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
                soak->hogs[i] = process_fork(spin, NULL);
        return true;
}

static void free_cpus(Soak *soak) {
        for (unsigned i = 0; i < count_hogs(); i++)
                process_kill(&soak->hogs[i], soak->fixture->deadline_usec);
}

static void fork_for_ever(const void *data) {
        for (;;)
                fork_often(1000);
}

static bool begin_storm(Soak *soak) {
        soak->storm = process_fork(fork_for_ever, NULL);
        return true;
}

static void end_storm(Soak *soak) {
        process_kill(&soak->storm, soak->fixture->deadline_usec);
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
        _cleanup_close_ int fd = steal_netlink_socket(soak->fixture->daemon.pidfd);
        int unused = 0;
        Process forks;

        if (fd < 0)
                return false;

        (void) setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused));
        g_assert_no_errno(kill(soak->fixture->daemon.pid, SIGSTOP));
        forks = process_fork(fork_much, NULL);
        (void) process_wait_end(&forks, soak->fixture->deadline_usec);
        g_assert_no_errno(kill(soak->fixture->daemon.pid, SIGCONT));
        soak->able_usec = MAX(soak->able_usec, usec_now(CLOCK_MONOTONIC));
        return true;
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
        soak->peak_kib = MAX(soak->peak_kib, process_status_number(soak->fixture->daemon.pid, "VmHWM:"));
        fixture_kill_daemon(soak->fixture);
        forget_daemon(soak);
        return true;
}

static bool stop_daemon(Soak *soak) {
        soak->peak_kib = MAX(soak->peak_kib, process_status_number(soak->fixture->daemon.pid, "VmHWM:"));
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

void move_faults(Soak *soak) {
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

void print_faults(void) {
        g_test_message("thrown:");
        for (size_t i = 0; i < ELEMENTSOF(faults); i++)
                g_test_message("%8u  %s", faults[i].n_thrown, faults[i].name);
}
