/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * For tests over the bus: a private system bus with our policy, optionally the real polkitd, the real
 * wbwatchd, and clients of any user. Needs root.
 *
 * A test waits for messages, never for a time; a message that takes longer than FIXTURE_TIMEOUT_SEC fails it.
 * Everything lives in a mount namespace, on a filesystem in memory, and in processes that die with the test
 * program, so that nothing is left over, however the program ends.
 */

#include "bus-client.h"
#include "daemon-log.h"
#include "daemon.h"
#include "fake-proc.h"
#include "macro.h"
#include "notify-socket.h"
#include "process-info.h"
#include "process.h"
#include "surroundings.h"

/* The sum of all waits of one test; generous, for a busy machine. */
#define FIXTURE_TIMEOUT_SEC 100

/* The most memory that the daemon may use in any flood: 6 MiB of its own, 16 MiB of waiting calls, and the
 * messages that wait to be sent. */
#define MEMORY_PEAK_KIB (32 * 1024)

struct BusFixture {
        char *folder; /* for any files; readable by every user */
        char *bus_address;
        char *config;          /* the settings file of the daemon; empty at first */
        char *state_directory; /* where the daemon stores permanent settings */
        char *socket_folder;   /* where the daemon's sockets are */
        const char *socket;    /* to which of them clients and flooders connect; NULL: to the bus */
        FakeProc proc;         /* the daemon's proc root; at first with kthreadd alone */
        NotifySocket notify;
        uid_t daemon_uid;    /* root unless set */
        const char *wrapper; /* a command that executes the daemon, or NULL */
        bool netlink;        /* the daemon may receive thread creation events; otherwise it polls */
        bool flooded;        /* calls that find the daemon's queue full are repeated */
        const char *preload; /* LD_PRELOAD of the daemon, or NULL */
        gint64 deadline_usec;
        Process bus, polkit, daemon;
        DaemonLog log;
};

/* Moves the test program into new mount and network namespaces. To be called once, at the start of main(),
 * before g_test_init(). If that is not permitted, it prints a TAP skip and returns false: main() must end. */
bool fixture_isolate(void);

/* For g_test_add(). The first starts nothing; the second stops everything, and fails the test if the daemon
 * does not end with success. */
void fixture_set_up(BusFixture *fixture, gconstpointer data);
void fixture_tear_down(BusFixture *fixture, gconstpointer data);
#define FIXTURE_TEST(path, function)                                                                         \
        g_test_add(path, BusFixture, NULL, fixture_set_up, function, fixture_tear_down)

/* A system bus, with our policy, or without it until it is installed. After a stop it can be started again on
 * the same address. */
void fixture_start_bus(BusFixture *fixture);
void fixture_start_silent_bus(BusFixture *fixture); /* in floods it logs very much */
void fixture_start_bus_without_policy(BusFixture *fixture);
void fixture_install_policy(BusFixture *fixture);
void fixture_stop_bus(BusFixture *fixture);

/* The real polkitd, with our actions and with these rules only (JavaScript, or NULL). */
void fixture_start_polkit(BusFixture *fixture, const char *rules);
void fixture_stop_polkit(BusFixture *fixture);

/* SIGSTOP and SIGCONT for the bus. */
void fixture_hold_bus(BusFixture *fixture, bool hold);

/* Starts the daemon on the fake proc tree and the settings file, with these arguments up to NULL; returns
 * when it is ready. Does not wait until it is on the bus. */
void fixture_start_daemon(BusFixture *fixture, ...) G_GNUC_NULL_TERMINATED;

/* Starts the bus, unless it runs, and the daemon with these settings; returns a connection of root, or of
 * this user, once the daemon is on the bus. */
Client *fixture_start(BusFixture *fixture, const char *settings);
Client *fixture_start_for(BusFixture *fixture, const char *settings, uid_t uid);
void fixture_stop_daemon(BusFixture *fixture);

/* SIGKILL, as from the OOM killer or the watchdog. */
void fixture_kill_daemon(BusFixture *fixture);

/* Sends SIGHUP, and waits until the reload has ended. */
void fixture_reload_daemon(BusFixture *fixture);

/* Waits for a message from the daemon to the service manager that contains this text. */
void fixture_wait_notify(BusFixture *fixture, const char *text);

/* Waits until the daemon has logged this text. */
void fixture_wait_log(BusFixture *fixture, const char *text);

void fixture_write_config(BusFixture *fixture, const char *text);

/* The daemon's helper processes with this name (HELPER_*) that have not ended: one of them, all (to be
 * freed), a signal to all. */
pid_t fixture_find_helper(const BusFixture *fixture, const char *name); /* or 0 */
pid_t fixture_helper_pid(const BusFixture *fixture, const char *name);
GArray *fixture_helper_pids(const BusFixture *fixture, const char *name); /* of pid_t */
void fixture_signal_helper(const BusFixture *fixture, const char *name, int sig);

/* Adds a spinning worker to the proc tree, and removes it. It uses no CPU time, so that it is stuck with
 * CountWaiting=yes only. */
#define WORKER_PID 1234
#define WORKER_START_TIME 5678
#define WORKER_NAME "kworker/0:1+inode_switch_wbs"
void fixture_add_worker(BusFixture *fixture);
void fixture_remove_worker(BusFixture *fixture);
