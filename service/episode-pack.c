/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "episode-pack.h"

typedef enum Direction {
        MEASURE,
        PACK,
        UNPACK,
} Direction;

typedef struct Packing {
        Direction direction;
        uint8_t *packed; /* only read if it is unpacked; NULL if it is measured */
        size_t size;     /* so far */
} Packing;

/* Copies what follows. */
static void copy(Packing *packing, void *data, size_t size) {
        if (packing->direction == PACK)
                memcpy(packing->packed + packing->size, data, size);
        else if (packing->direction == UNPACK)
                memcpy(data, packing->packed + packing->size, size);
        packing->size += size;
}

static void copy_sync(Packing *packing, Sync *sync) {
        copy(packing, sync, offsetof(Sync, filesystems));
        copy(packing, sync->filesystems, sync->n_filesystems * sizeof(sync->filesystems[0]));
}

/* The numbers of rows come before the rows. */
static void copy_episode(Packing *packing, Episode *episode) {
        copy(packing, episode, offsetof(Episode, samples.samples));
        copy(packing, episode->samples.samples, episode->samples.n * sizeof(episode->samples.samples[0]));
        copy(packing, episode->workers, episode->n_workers * sizeof(episode->workers[0]));
        copy(packing, episode->also_spinning, episode->n_also_spinning * sizeof(episode->also_spinning[0]));
        for (uint32_t i = 0; i < episode->n_syncs; i++)
                copy_sync(packing, &episode->syncs[i]);
}

size_t episode_packed_size(const Episode *episode) {
        Packing packing = { .direction = MEASURE };

        copy_episode(&packing, (Episode *) episode);
        return packing.size;
}

void episode_pack(const Episode *episode, uint8_t *packed) {
        Packing packing = { .direction = PACK, .packed = packed };

        copy_episode(&packing, (Episode *) episode);
}

void episode_unpack(const uint8_t *packed, Episode *ret) {
        Packing packing = { .direction = UNPACK, .packed = (uint8_t *) packed };

        copy_episode(&packing, ret);
}
