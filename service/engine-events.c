/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "engine-events.h"

#include <assert.h>

const EngineEvent *engine_events_find(const EngineEvents *events, EngineEventType type) {
        for (size_t i = 0; i < events->n; i++)
                if (events->events[i].type == type)
                        return &events->events[i];

        return NULL;
}

bool engine_events_want_evidence(const EngineEvents *events) {
        return engine_events_find(events, EVENT_EPISODE_STARTED) ||
               engine_events_find(events, EVENT_SYNC_STARTED);
}

EngineEvent *engine_events_add(EngineEvents *events, EngineEventType type) {
        EngineEvent *event;

        assert(events->n < ENGINE_EVENTS_MAX);
        event = &events->events[events->n++];
        event->type = type;
        return event;
}

void engine_events_add_once(EngineEvents *events, EngineEventType type) {
        if (!engine_events_find(events, type))
                (void) engine_events_add(events, type);
}

void engine_events_add_sync(EngineEvents *events, EngineEventType type, const Sync *sync) {
        engine_events_add(events, type)->sync = *sync;
}

void engine_events_add_episode(EngineEvents *events, EngineEventType type, const Episode *episode) {
        episode_copy(&events->episode, episode);
        (void) engine_events_add(events, type);
}
