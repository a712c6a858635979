/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The journal fields of episodes and syncs: messages.h documents them. An episode can be put together from
 * them without the daemon. */

#include "episode.h"
#include "log.h"

/* The fields of every entry about an episode, with its workers. */
void fields_add_episode(LogFields *fields, const Episode *episode);

/* How it ended, with its samples. Must be added before its workers, which may fill the entry. */
void fields_add_episode_end(LogFields *fields, const Episode *episode);

/* The fields of every entry about a sync; how it ended, if it has. */
void fields_add_sync(LogFields *fields, const Sync *sync);
void fields_add_filesystems(LogFields *fields, const Sync *sync);
void fields_add_evidence(LogFields *fields, const Evidence *evidence);

/* How long the episode took, from its beginning to the last scan with a spinning worker. */
uint64_t episode_usec(const Episode *episode);
