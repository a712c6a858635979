/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The manager: one event loop that passes scans and requests to the engine, executes its events, and reports
 * them. It never waits for anything that can hang (sync, disk, bus, polkit, log, service manager).
 */

#include "engine.h"
#include "inhibitors.h"
#include "report.h"
#include "settings-files.h"

typedef struct Manager Manager;

typedef struct ManagerOptions {
        SettingsPaths paths;
        const char *proc_root;
        bool use_bus;
        const char *socket_folder; /* NULL: no sockets */
        int connector_fd;          /* from connector_open(), or its error */
} ManagerOptions;

/* Starts the helper processes, so it must be called early and with a single thread. options, its strings and
 * its descriptor must outlive the manager. Negative errno, logged, on failure. */
int manager_new(const ManagerOptions *options, const Settings *settings, Manager **ret);
Manager *manager_free(Manager *manager);
DEFINE_TRIVIAL_CLEANUP(Manager *, manager_free);

/* Runs the self-test, scans for the first time, notifies READY, and runs until SIGTERM or SIGINT. Negative
 * errno, logged, when the self-test or the loop fails. */
int manager_run(Manager *manager);

/* For the bus: the state to show. */

const Engine *manager_engine(const Manager *manager);
const Settings *manager_settings(const Manager *manager);
uint64_t manager_start_usec(const Manager *manager); /* CLOCK_REALTIME */
bool manager_listening(const Manager *manager);      /* thread creation events are received */
uint64_t manager_lost_events(const Manager *manager);
const char *manager_fault(const Manager *manager); /* why scans do not see all they should; "" when they do */

/* Dirty and Writeback of /proc/meminfo in bytes, read now; 0 if it can't be read. */
void manager_dirty_bytes(const Manager *manager, uint64_t *ret_dirty, uint64_t *ret_writeback);

/* The filesystems of the last sync, or of the one under way. Valid until the event loop continues. */
const FilesystemSync *manager_filesystem_results(const Manager *manager, size_t *ret_n);

const Inhibitors *manager_inhibitors(const Manager *manager);

/* What the daemon sees, and why it acts or does not, in one line. A size of REPORT_STATUS_MAX always
 * suffices. */
const char *manager_status(const Manager *manager, char *buffer, size_t size);

/* For the bus: the requests of authorized callers. */

void manager_pause(Manager *manager, uint64_t usec);
void manager_resume(Manager *manager);

/* Suspends automatic syncs until every copy of the descriptor *ret_fd, which the caller owns, is closed.
 * Errors are those of inhibitors_add(). */
int manager_inhibit(Manager *manager, const Inhibitor *inhibitor, int *ret_fd);

/* Starts a sync, or another one right after the one under way. */
void manager_request_sync(Manager *manager);

/* Syncs the filesystem that holds an absolute path, independently of everything else:
 * bus_filesystem_synced() reports its end, with the id. -EBUSY when too many are under way or hang. */
int manager_sync_filesystem(Manager *manager, const char *path, uint64_t *ret_id);

/* Applies checked settings, until the next start or reload. */
void manager_apply_settings(Manager *manager, const Settings *settings);

/* Stores the settings of the mask (1 << SettingId) permanently, and applies them once they are on disk over
 * the settings in force then, even if the caller has left. bus_settings_stored() then reports the result.
 * -EBUSY while other settings are being stored or read. */
int manager_store_settings(Manager *manager, const Settings *settings, unsigned ids);

/* Takes back those settings of the mask that were set over the bus: they get the values of the configuration
 * files and the command line. is_runtime: only what was not set permanently. Returns 1 if
 * bus_settings_stored() reports the result later, 0 if there was nothing to take back; -EBUSY as above. */
int manager_reset_settings(Manager *manager, bool is_runtime, unsigned ids);
