/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "history.h"

void history_begin(History *history, Moment now, EngineRule rule, const char *work, bool dry_run) {
        episode_begin(&history->episode, ++history->n_begun, now, rule, work, dry_run);
        history->is_ongoing = true;
        history->last_spinning = now;
}

void history_update(
                History *history,
                Moment now,
                const Loads *loads,
                const Runs *runs,
                const LoadRules *rules) {
        Episode *episode = &history->episode;
        const Load *load = loads_find(loads, episode->work);
        const Run *table = runs_table(runs);

        episode_note_scan(episode, now, load ? load->n_spinning : 0, load ? load->n_waiting : 0);
        if (!load)
                return;

        if (load_count(load, rules) > 0)
                history->last_spinning = now;

        for (size_t i = 0; i < runs->n; i++)
                if (run_is_of_work(&table[i], episode->work))
                        episode_note_worker(
                                        episode, &table[i].worker,
                                        usec_subtract(now.monotonic_usec, table[i].since_usec));
}

/* Where the ended episode begins. */
static size_t ended_offset(const History *history, size_t index) {
        size_t offset = 0;

        for (size_t i = 0; i < index; i++)
                offset += history->sizes[i];
        return offset;
}

/* Gives an ended episode another size: those after it move. */
static void resize_ended(History *history, size_t index, size_t size) {
        uint8_t *end = history->ended + ended_offset(history, index + 1);

        memmove(end - history->sizes[index] + size, end,
                (size_t) (history->ended + history->ended_size - end));
        history->ended_size += size - history->sizes[index];
        history->sizes[index] = size;
}

static void store_ended(History *history, size_t index, const Episode *episode) {
        resize_ended(history, index, episode_packed_size(episode));
        episode_pack(episode, history->ended + ended_offset(history, index));
}

static void drop_first_ended(History *history) {
        resize_ended(history, 0, 0);
        memmove(history->sizes, history->sizes + 1, --history->n_ended * sizeof(history->sizes[0]));
}

static void append_ended(History *history, const Episode *episode) {
        if (history->n_ended == ENGINE_EPISODES_MAX)
                drop_first_ended(history);

        history->sizes[history->n_ended++] = 0;
        store_ended(history, history->n_ended - 1, episode);
}

void history_ended(const History *history, size_t index, Episode *ret) {
        episode_unpack(history->ended + ended_offset(history, index), ret);
}

const Episode *history_end(History *history, Moment now, uint64_t scan_interval_usec, uint32_t *ret_judged) {
        *ret_judged = episode_end(&history->episode, history->last_spinning, scan_interval_usec);
        history->is_ongoing = false;
        history->last_end_usec = now.monotonic_usec;
        append_ended(history, &history->episode);
        history->n_outcomes[history->episode.outcome]++;
        return &history->episode;
}

/* The newest is the likeliest. */
static void note_sync_in_ended(History *history, const Sync *sync) {
        for (size_t i = history->n_ended; i > 0; i--) {
                history_ended(history, i - 1, &history->unpacked);
                if (history->unpacked.id != sync->episode_id)
                        continue;

                episode_note_sync(&history->unpacked, sync);
                store_ended(history, i - 1, &history->unpacked);
                return;
        }
}

void history_note_sync(History *history, const Sync *sync) {
        if (history->is_ongoing && history->episode.id == sync->episode_id)
                episode_note_sync(&history->episode, sync);
        else if (sync->episode_id > 0)
                note_sync_in_ended(history, sync);
}
