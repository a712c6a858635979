/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The MESSAGE_IDs of wbwatchd's journal entries. service/wbwatch.catalog explains each and shows its fields,
 * so both files must change together. An id is never reused for another meaning.
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
 *   START_USEC=     when the episode or the sync began, CLOCK_REALTIME; with the boot, what identifies it
 *   END_USEC=       when the episode ended, CLOCK_REALTIME: the last scan with a spinning worker
 *   SPINNING_MAX=   how many workers spun at most at once in the episode
 *   WAITING_MAX=    how many waited at most at once
 *   HELPED=         whether the sync helped: "yes" or "no"
 *   SYNCS=          how many syncs began in the episode
 *   DRY_RUN=        "yes" or "no"
 *
 * Fields that an entry has several times, or not at all; the last part is the rest of the text:
 *
 *   WORKER=         a worker of the episode, the longest run first: PID START_TIME RUNNING_USEC CPU_USEC NAME
 *   ALSO_SPINNING=  the name of a spinning worker of another work
 *   FILESYSTEM=     a filesystem of the sync: RESULT DURATION_USEC TYPE MOUNTPOINT
 *
 * The evidence of an episode and of a sync: the fields of evidence_table (common/evidence.c), without those
 * that could not be read.
 *
 *   WBWATCH_SAMPLES=  the samples of an episode, separated by spaces: REALTIME_USEC,SPINNING,WAITING
 */

/* EPISODE, RULE, WORK, START_USEC, WORKER_PID, WORKER_NAME, RUNNING_USEC, WORKERS, SPINNING_MAX, WAITING_MAX,
 * DRY_RUN, WORKER, ALSO_SPINNING, evidence */
#define MESSAGE_EPISODE_STARTED "960e25aeaa404138a4b82d9e05611762"

/* EPISODE, RULE, WORK, OUTCOME, START_USEC, END_USEC, DURATION_USEC, WORKERS, SPINNING_MAX, WAITING_MAX,
 * SYNCS, DRY_RUN, WORKER, ALSO_SPINNING, WBWATCH_SAMPLES */
#define MESSAGE_EPISODE_ENDED "1dd7e386a41b4e68a0bb5f5b77c5caa4"

/* SYNC, EPISODE, RULE, START_USEC, WORKERS, RUNNING_USEC, METHOD, DRY_RUN, evidence */
#define MESSAGE_SYNC_STARTED "faeb54929aae46ebb230b6b9f0dfaf2f"

/* SYNC, EPISODE, RULE, START_USEC, WORKERS, DURATION_USEC, RESULT, METHOD, DRY_RUN, FILESYSTEM */
#define MESSAGE_SYNC_FINISHED "4b44eedba0084e51b066055f98f3480a"

/* SYNC, EPISODE, RULE, START_USEC, WORKERS, DURATION_USEC, RESULT, METHOD, DRY_RUN, FILESYSTEM */
#define MESSAGE_SYNC_STALLED "a7aeb455f5f44d8fb6b29fcac01a8e61"

/* SYNC, EPISODE, RULE, START_USEC, WORKERS, DURATION_USEC, RESULT, METHOD, DRY_RUN: of the last sync that did
 * not help */
#define MESSAGE_SYNCS_UNHELPFUL "82f5c60c8f16471e8a144f26afb2910b"

/* The fields of MESSAGE_SYNC_FINISHED without FILESYSTEM, and HELPED: only now is it known whether the sync
 * helped, and in which episode. Without DURATION_USEC and RESULT if it has not ended yet: its stall has */
#define MESSAGE_SYNC_JUDGED "16d6c9079e0c493fab620620b63be5a1"

/* WORKER_PID, WORKER_NAME, RUNNING_USEC, WORKERS */
#define MESSAGE_WAITING "9b0582f9b0ca404da68923dca241a9a2"

/* None: the message has the likely reason. */
#define MESSAGE_NO_KERNEL_THREADS "09b8d6f4ebb64ae285d74a400612d1ac"

/* None: the message has the reason. */
#define MESSAGE_SCAN_INCOMPLETE "2c03ca6512204e0d99e4ccb02a8cb83c"
