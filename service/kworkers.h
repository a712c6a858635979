/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Reads the running kernel workers from a proc root, scan after scan. */

#include "worker.h"

/* Workers of other works that spin, of which a scan names so many at most. */
#define KWORKER_OTHERS_MAX 8

typedef struct KworkerReader KworkerReader;

/* Opens the proc root, a folder like /proc. It is kept open: a scan opens nothing outside of it.
 * Negative errno when the folder can't be opened. */
int kworker_reader_new(const char *proc_root, KworkerReader **ret);
KworkerReader *kworker_reader_free(KworkerReader *reader);
DEFINE_TRIVIAL_CLEANUP(KworkerReader *, kworker_reader_free);

/* What one scan found. The arrays belong to the reader and hold until its next scan. */
typedef struct KworkerScan {
        const Worker *workers; /* the running workers whose name matches, sorted by pid */
        size_t n_workers;
        const Worker *others; /* spinning workers whose name does not match, if they were requested */
        size_t n_others;
        bool found_kthread; /* some kernel thread was seen; a scan without any is a fault */
        int trouble; /* 0, or the negative errno for which something that may well exist could not be read:
                      * want of descriptors or memory, or an I/O error. The scan is not whole then. */
} KworkerScan;

/* Scans once: every kernel worker (PF_KTHREAD and PF_WQ_WORKER) that runs, and whose whole name matches the
 * glob with fnmatch(3), FNM_EXTMATCH; with want_others also those that spin (state R) in another work.
 * Candidates come from 2/task/2/children, so that the cost does not grow with the number of user processes;
 * where that file is absent (no CONFIG_PROC_CHILDREN) or hidden, from the whole folder. A worker that the
 * last scan saw and that the list leaves out is read by its pid: a list read in several pieces may miss one.
 * Vanishing entries are normal. A worker of the last scan that cannot be read for want of descriptors or
 * memory, or by an I/O error, is kept as it was, since not seeing is not the same as being gone. Where the
 * process or the machine has no descriptor left, files that were kept open for speed are closed and the scan
 * goes on with one descriptor at a time. Does not allocate unless there are more kernel threads than ever
 * before, or more running workers than at any of the last few scans. Negative errno only when nothing could
 * be read at all; ret is untouched then. */
int kworker_reader_scan(KworkerReader *reader, const char *glob, bool want_others, KworkerScan *ret);

/* Why a scan may have found no kernel thread at all, for people: hidepid, a foreign pid namespace, or a
 * folder that is no proc filesystem; or why the last one was not whole (trouble). A static text. Reads files
 * outside of the hot path: call it once per fault, not per scan. */
const char *kworker_reader_fault_reason(KworkerReader *reader);
