/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The events of the engine: what happened and what to do, in the order of the decisions. Each holds a copy of
 * what it describes, so that consumers need not read the engine. */

#include "episode.h"
#include "worker.h"

typedef enum EngineEventType {
        EVENT_CONFIRM,         /* scan again at once, and call engine_confirm() */
        EVENT_UNCONFIRMED,     /* that scan found no spinning worker of the work: no sync */
        EVENT_SYNC_STARTED,    /* start the sync now, unless it is a dry run: sync */
        EVENT_SYNC_EVERYTHING, /* syncing the filesystems did not end the stall; call sync(2) now: sync */
        EVENT_SYNC_ENDED,      /* sync */
        EVENT_SYNC_JUDGED,     /* it is known whether the sync helped: sync */
        EVENT_SYNCS_UNHELPFUL, /* too many in a row did not help; reported once: sync is the last */
        EVENT_EPISODE_STARTED, /* see EngineEvents.episode */
        EVENT_EPISODE_ENDED,   /* see EngineEvents.episode */
        EVENT_WAITING,         /* a worker has waited for the threshold; reported once: worker, count, usec */
        EVENT_STILL_PAUSED,    /* once an hour while paused: usec since its beginning, left_usec; count of
                                * inhibitors */
        EVENT_STATE_CHANGED,
        EVENT_PAUSE_CHANGED,
        EVENT_INHIBITORS_CHANGED, /* one came or was released */
        EVENT_UNHELPFUL_CHANGED,  /* engine_syncs_unhelpful() */
} EngineEventType;

typedef struct EngineEvent {
        EngineEventType type;
        Sync sync;
        Worker worker;
        uint32_t count;
        uint64_t usec;
        uint64_t left_usec; /* of a pause; USEC_INFINITY: until resumed; 0: there are inhibitors only */
} EngineEvent;

#define ENGINE_EVENTS_MAX 16

/* The inputs of the engine append to the list; the caller sets n = 0 first. One input begins or ends at most
 * one episode. */
typedef struct EngineEvents {
        size_t n;
        EngineEvent events[ENGINE_EVENTS_MAX];
        Episode episode;
} EngineEvents;

/* The first event of the type, or NULL. */
const EngineEvent *engine_events_find(const EngineEvents *events, EngineEventType type);

/* Whether the events want evidence: see engine_note_evidence(). */
bool engine_events_want_evidence(const EngineEvents *events);

/* For the engine and its parts. Returns the new event, in which the caller sets the members of its type. */
EngineEvent *engine_events_add(EngineEvents *events, EngineEventType type);

/* Adds the event unless the list has one of this type: several causes in one input are one change. */
void engine_events_add_once(EngineEvents *events, EngineEventType type);

void engine_events_add_sync(EngineEvents *events, EngineEventType type, const Sync *sync);
void engine_events_add_episode(EngineEvents *events, EngineEventType type, const Episode *episode);
