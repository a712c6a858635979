/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The manager: one event loop that feeds the engine with what is seen and requested, executes what it says,
 * and reports it. It never waits for anything that can hang (sync, disk, bus, polkit, log, service manager).
 */

#include "engine.h"
#include "report.h"
#include "settings.h"

typedef struct Manager Manager;

typedef struct ManagerOptions {
        SettingsPaths paths;
        const char *proc_root;
        bool use_bus;
} ManagerOptions;

/* Starts the helper processes, so call it early and with a single thread. options and its strings must
 * outlive the manager. Negative errno after it was logged. */
int manager_new(const ManagerOptions *options, const Settings *settings, Manager **ret);
Manager *manager_free(Manager *manager);
DEFINE_TRIVIAL_CLEANUP(Manager *, manager_free);

/* Runs the self-test, scans for the first time, says READY, and runs until SIGTERM or SIGINT. Negative errno,
 * logged, when the self-test or the loop fails. */
int manager_run(Manager *manager);

/* For the bus: what there is to show. */

const Engine *manager_engine(const Manager *manager);
const Settings *manager_settings(const Manager *manager);
bool manager_listening(const Manager *manager); /* thread creation events are received */
uint64_t manager_lost_events(const Manager *manager);
const char *manager_fault(const Manager *manager); /* why scans do not see all they should; "" when they do */

/* Bytes that wait to be written and that are being written, read from meminfo now; 0 where it can't be read.
 */
void manager_dirty_bytes(const Manager *manager, uint64_t *ret_dirty, uint64_t *ret_writeback);

/* The filesystems of the last sync, the one under way included. Valid until the loop goes on. */
const FilesystemSync *manager_filesystem_results(const Manager *manager, size_t *ret_n);

/* What is seen, and why it acts or does not, in one line. A size of REPORT_STATUS_MAX always suffices. */
const char *manager_status(const Manager *manager, char *buffer, size_t size);

/* For the bus: the requests of authorized callers. */

void manager_pause(Manager *manager, uint64_t usec);
void manager_resume(Manager *manager);

/* Starts a sync, or another one right after the one under way. */
void manager_request_sync(Manager *manager);

/* Syncs the filesystem that holds an absolute path, independently of everything else:
 * bus_filesystem_synced() reports its end, with the id. -EBUSY when too many are under way or hang. */
int manager_sync_filesystem(Manager *manager, const char *path, uint64_t *ret_id);

/* Applies checked settings, until the next start or reload. */
void manager_apply_settings(Manager *manager, const Settings *settings);

/* Stores the settings of the mask (1 << SettingId) to last; bus_settings_stored() reports the result. -EBUSY
 * while another change is being stored. It does not apply the settings. */
int manager_store_settings(Manager *manager, const Settings *settings, unsigned ids);
