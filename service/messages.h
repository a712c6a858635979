/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The MESSAGE_IDs of wbwatchd's journal entries. service/wbwatch.catalog explains each, and shows the fields
 * to people, so that both files change together. An id is never reused for another meaning.
 *
 * Their fields, as text; times are microseconds:
 *
 *   EPISODE=        number of the episode as on the bus, 0 for a sync outside of one
 *   RULE=           the rule that held: "worker" or "crowd"; empty for a sync that somebody requested
 *   WORK=           what the stuck workers run: the text behind the "+" of their names
 *   WORKER_PID=     thread id of the longest-running worker, or of the one that has waited longest
 *   WORKER_NAME=    its whole name
 *   RUNNING_USEC=   for how long it has been seen running, or waiting
 *   WORKERS=        how many ran: now, or when the sync was requested, or at most at once in the episode
 *   SYNC=           number of the sync as on the bus
 *   DURATION_USEC=  how long the sync or the episode took; of a stalled sync, how long it has taken so far
 *   RESULT=         of a sync: "ok", "stalled" or "failed"
 *   METHOD=         of a sync: "auto", "sync" or "syncfs"
 *   OUTCOME=        of an episode: "recovered", "cleared" or "outlived"
 *   SYNCS=          how many syncs began in the episode
 *   DRY_RUN=        "yes" or "no"
 */

/* EPISODE, RULE, WORK, WORKER_PID, WORKER_NAME, RUNNING_USEC, WORKERS, DRY_RUN */
#define MESSAGE_EPISODE_STARTED "960e25aeaa404138a4b82d9e05611762"

/* EPISODE, RULE, WORK, OUTCOME, DURATION_USEC, WORKERS, SYNCS, DRY_RUN */
#define MESSAGE_EPISODE_ENDED "1dd7e386a41b4e68a0bb5f5b77c5caa4"

/* SYNC, EPISODE, RULE, WORKERS, RUNNING_USEC, METHOD, DRY_RUN */
#define MESSAGE_SYNC_STARTED "faeb54929aae46ebb230b6b9f0dfaf2f"

/* SYNC, EPISODE, RULE, WORKERS, DURATION_USEC, RESULT, METHOD, DRY_RUN */
#define MESSAGE_SYNC_FINISHED "4b44eedba0084e51b066055f98f3480a"

/* SYNC, EPISODE, RULE, WORKERS, DURATION_USEC, RESULT, METHOD, DRY_RUN */
#define MESSAGE_SYNC_STALLED "a7aeb455f5f44d8fb6b29fcac01a8e61"

/* SYNC, EPISODE, RULE, WORKERS, DURATION_USEC, RESULT, METHOD, DRY_RUN: of the last sync that did not help */
#define MESSAGE_SYNCS_UNHELPFUL "82f5c60c8f16471e8a144f26afb2910b"

/* WORKER_PID, WORKER_NAME, RUNNING_USEC, WORKERS */
#define MESSAGE_WAITING "9b0582f9b0ca404da68923dca241a9a2"

/* None: the message has the likely reason. */
#define MESSAGE_NO_KERNEL_THREADS "09b8d6f4ebb64ae285d74a400612d1ac"

/* None: the message has the reason. */
#define MESSAGE_SCAN_INCOMPLETE "2c03ca6512204e0d99e4ccb02a8cb83c"
