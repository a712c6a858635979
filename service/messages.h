/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The MESSAGE_IDs of wbwatchd's journal entries. service/wbwatch.catalog explains each, and shows the fields
 * to people, so that both files change together. An id is never reused for another meaning.
 *
 * Their fields, as text; times are microseconds:
 *
 *   EPISODE=        number of the episode as on the bus, 0 for a sync outside of one
 *   RULE=           the rule that called it: "worker" or "crowd"; empty for a sync that somebody asked for
 *   WORKER_PID=     thread id of the worker that has been running for the longest time
 *   WORKER_NAME=    its whole name
 *   RUNNING_USEC=   for how long it has been seen running
 *   WORKERS=        how many ran: now, or when the sync was asked for, or at most at once in the episode
 *   SYNC=           number of the sync as on the bus
 *   DURATION_USEC=  how long the sync or the episode took; of a stalled sync, how long it has taken so far
 *   RESULT=         of a sync: "ok", "stalled" or "failed"
 *   OUTCOME=        of an episode: "recovered" or "cleared"
 *   DRY_RUN=        "yes" or "no"
 */

/* EPISODE, RULE, WORKER_PID, WORKER_NAME, RUNNING_USEC, WORKERS, DRY_RUN */
#define MESSAGE_EPISODE_STARTED "960e25aeaa404138a4b82d9e05611762"

/* EPISODE, RULE, OUTCOME, DURATION_USEC, WORKERS, DRY_RUN */
#define MESSAGE_EPISODE_ENDED "1dd7e386a41b4e68a0bb5f5b77c5caa4"

/* SYNC, EPISODE, RULE, WORKERS, DRY_RUN; WORKER_PID, WORKER_NAME, RUNNING_USEC when a worker ran */
#define MESSAGE_SYNC_STARTED "faeb54929aae46ebb230b6b9f0dfaf2f"

/* SYNC, EPISODE, RULE, WORKERS, DURATION_USEC, RESULT, DRY_RUN */
#define MESSAGE_SYNC_FINISHED "4b44eedba0084e51b066055f98f3480a"

/* SYNC, EPISODE, RULE, WORKERS, DURATION_USEC, RESULT, DRY_RUN */
#define MESSAGE_SYNC_STALLED "a7aeb455f5f44d8fb6b29fcac01a8e61"

/* None: the message has the likely reason. */
#define MESSAGE_NO_KERNEL_THREADS "09b8d6f4ebb64ae285d74a400612d1ac"
