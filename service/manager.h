/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The manager: one event loop that feeds the engine with what is seen and asked, carries out what it says,
 * and tells people. All that can hang (sync, disk, bus, polkit, log, service manager) is asked without
 * waiting.
 */

#include "engine.h"
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

/* Rehearses, looks for the first time, says READY, and runs until SIGTERM or SIGINT. Negative errno, logged,
 * when the rehearsal or the loop fails. */
int manager_run(Manager *manager);

/* For the bus: what there is to show. */

const Engine *manager_engine(const Manager *manager);
const Settings *manager_settings(const Manager *manager);
bool manager_listening(const Manager *manager); /* births of kernel threads are told by the kernel */
uint64_t manager_lost_events(const Manager *manager);

/* What is seen, and why it acts or does not, in one line. A size of MANAGER_STATUS_MAX always suffices. */
#define MANAGER_STATUS_MAX 512
const char *manager_status(const Manager *manager, char *buffer, size_t size);

/* For the bus: what can be asked, by those who may. */

void manager_pause(Manager *manager, uint64_t usec);
void manager_resume(Manager *manager);

/* Starts a sync, or another one right after the one under way. */
void manager_force_sync(Manager *manager);

/* Puts checked settings into force, until the next start or reload. */
void manager_apply_settings(Manager *manager, const Settings *settings);

/* Stores the settings of the mask (1 << SettingId) to last; bus_settings_stored() tells how that went. -EBUSY
 * while another change is being stored. Nothing is put into force by it. */
int manager_store_settings(Manager *manager, const Settings *settings, unsigned ids);
