/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* An episode without the unused rows of its tables: most episodes need a tenth of the room of an Episode. */

#include "episode.h"

/* The bytes that any episode needs at most. */
#define EPISODE_PACKED_MAX sizeof(Episode)

size_t episode_packed_size(const Episode *episode);

/* Packs into episode_packed_size() bytes. */
void episode_pack(const Episode *episode, uint8_t *packed);

void episode_unpack(const uint8_t *packed, Episode *ret);
