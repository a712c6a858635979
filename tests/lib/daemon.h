/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The real wbwatchd ($WBWATCHD) as a process of a test, as a service manager starts it; and its helpers. */

#include "notify-socket.h"
#include "process.h"

typedef struct DaemonSettings {
        const char *folder;  /* of the test, readable by every user */
        const char *wrapper; /* a command that executes the daemon, words separated by spaces; or NULL */
        const char *bus_address;
        const char *state_directory; /* where it stores permanent settings */
        const char *preload;         /* LD_PRELOAD, or NULL */
        uid_t uid;
        int network_fd; /* the network namespace that it enters; 0: that of the test */
} DaemonSettings;

/* Starts it with these arguments. It notifies the socket when it is ready; ret_log is a pipe with its log
 * (NULL: the log is dropped). */
Process daemon_start(
                const DaemonSettings *settings,
                const NotifySocket *notify,
                const char *const *arguments,
                int *ret_log);

/* The names of its helper processes; several may share one. The first calls sync(2), those with the second
 * name call syncfs(2): stopping them makes the sync hang. */
#define HELPER_SYNC "wbwatchd-sync"
#define HELPER_SYNCFS "wbwatchd-syncfs"
#define HELPER_STORAGE "wbwatch-storage"
#define HELPER_LOG "wbwatchd-log"
#define HELPER_BUS "wbwatchd-bus"
#define HELPER_PRIVATE "wbwatch-private"
#define HELPER_PUBLIC "wbwatch-public"
