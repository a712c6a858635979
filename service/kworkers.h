/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Scans a proc root for running kernel workers. */

#include "worker.h"

/* The most spinning workers of other works that a scan returns. */
#define KWORKER_OTHERS_MAX 8

typedef struct KworkerReader KworkerReader;

/* Opens the proc root, a folder like /proc, and keeps it open: a scan opens no file outside it. Returns
 * negative errno if the folder can't be opened. */
int kworker_reader_new(const char *proc_root, KworkerReader **ret);
KworkerReader *kworker_reader_free(KworkerReader *reader);
DEFINE_TRIVIAL_CLEANUP(KworkerReader *, kworker_reader_free);

/* The result of a scan. The arrays belong to the reader, and are valid until its next scan. */
typedef struct KworkerScan {
        const Worker *workers; /* the running workers whose name matches, sorted by pid */
        size_t n_workers;
        const Worker *others; /* with want_others: spinning workers whose name does not match */
        size_t n_others;
        FlushWorkers flush_workers; /* those whose name does not match, then idle ones that may flush next */
        bool found_kthread;         /* a kernel thread was seen; a scan without any is a fault */
        /* 0, or why the scan is incomplete, as negative errno: no descriptors or memory left, or an I/O
         * error. */
        int trouble;
} KworkerScan;

/* Finds the running kernel workers (PF_KTHREAD and PF_WQ_WORKER) whose whole name matches the glob with
 * fnmatch(3), FNM_EXTMATCH; with want_others also those that spin (state R) in another work. See
 * kthread_list_read() for where candidates come from. A worker of the last scan that is missing from the list
 * is read by its pid, since a list read in several parts may miss one. Threads may vanish during a scan. A
 * worker of the last scan that can't be read because no descriptors or memory are left, or because of an I/O
 * error, is kept as it was: it need not be gone. If the process or the machine has no descriptors left, files
 * kept open for speed are closed, and the scan continues with one descriptor at a time. Allocates only if
 * there are more kernel threads than ever before, or more running workers than at any of the last few scans.
 * Returns negative errno only if nothing could be read. */
int kworker_reader_scan(KworkerReader *reader, const char *glob, bool want_others, KworkerScan *ret);

/* Explains why scans find no kernel thread, or why the last scan was incomplete: see proc_fault_reason(). */
const char *kworker_reader_fault_reason(const KworkerReader *reader);
