/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Settings on disk, through a helper process, so that the event loop never waits for the disk. Reads the
 * configuration for a reload, and stores what is set permanently over the bus.
 */

#include "helper.h"
#include "settings-files.h"

typedef struct Storage Storage;

typedef struct StorageHandlers {
        /* The configuration was read: settings is complete and valid, or NULL with negative r. Warnings have
         * already been logged. */
        void (*loaded)(int r, const Settings *settings, void *userdata);

        /* The permanent settings were stored. If r < 0 they were not, and the file is unchanged. */
        void (*stored)(int r, void *userdata);

        /* The permanent settings were removed, and settings is the configuration without them; or NULL with
         * negative r, and the file is unchanged. */
        void (*reset)(int r, const Settings *settings, void *userdata);
} StorageHandlers;

/* paths is copied, but what it points to must outlive the storage. */
int storage_new(sd_event *event,
                const SettingsPaths *paths,
                const StorageHandlers *handlers,
                void *userdata,
                Storage **ret);
Storage *storage_free(Storage *storage);
DEFINE_TRIVIAL_CLEANUP(Storage *, storage_free);

/* Requests the whole configuration. -EBUSY while another request is under way. */
int storage_load(Storage *storage);

/* Requests that these settings (a mask of 1 << SettingId) are written to the permanent file, in addition to
 * those that it has. The file is replaced atomically, once the new one is on disk; its folder is created if
 * missing. -EBUSY while another request is under way, -EOPNOTSUPP if there is no permanent file. */
int storage_store(Storage *storage, const Settings *settings, unsigned ids);

/* Requests that these settings (a mask, or 0) are removed from the permanent file, and the configuration that
 * is in effect then, without warnings. The file is replaced as above, and only if it has one of them. -EBUSY
 * while another request is under way. */
int storage_reset(Storage *storage, unsigned ids);
