/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Settings on the disk, through a helper process: the daemon's loop never waits for the disk. Reads the
 * configuration anew for a reload, and keeps what is set permanently over the bus.
 */

#include "helper.h"
#include "settings.h"

typedef struct Storage Storage;

/* The configuration was read: settings is whole and checked, or NULL with negative r. The warnings were
 * logged already. */
typedef void (*storage_loaded_t)(int r, const Settings *settings, void *userdata);

/* The lasting settings were stored, or not: then r < 0 and the file is as it was. */
typedef void (*storage_stored_t)(int r, void *userdata);

/* paths is copied flat: the strings and the overrides must live as long as the storage. */
int storage_new(sd_event *event,
                const SettingsPaths *paths,
                storage_loaded_t loaded,
                storage_stored_t stored,
                void *userdata,
                Storage **ret);
Storage *storage_free(Storage *storage);
DEFINE_TRIVIAL_CLEANUP(Storage *, storage_free);

/* Requests that the whole configuration is read anew. -EBUSY while anything is under way. */
int storage_load(Storage *storage);

/* Requests that these settings (a bit mask of 1 << SettingId) are written to the lasting file, beside those
 * that it holds: into a new file that replaces the old one when it is whole and on the disk. Its folder is
 * made when missing. -EBUSY while anything is under way. */
int storage_store(Storage *storage, const Settings *settings, unsigned ids);
