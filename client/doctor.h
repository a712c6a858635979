/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The checks of `wbctl doctor`. Each adds its findings, and sets what the verdict and the advice depend on.
 */

#include "findings.h"
#include "jobs.h"
#include "kernel-table.h"
#include "tally.h"

/* How long the workers are observed, and how much longer answers may take: 5s with time to spare on a busy
 * machine. A shorter observation leaves answers the same time. */
#define OBSERVE_USEC (3500 * USEC_PER_MSEC)
#define ANSWER_MARGIN_USEC (500 * USEC_PER_MSEC)

/* What may hang, and is read in child processes while the workers are observed. */
typedef enum DoctorJob {
        JOB_SIGN,
        JOB_TABLE,
        JOB_LOCAL_TABLE,
        JOB_DISTRIBUTION,
        JOB_KMSG,
        JOB_JOURNAL,
        JOB_INIT_MOUNTS,
        JOB_OWN_MOUNTS,
        JOB_CONTROLLERS,
        JOB_DAEMON,
        JOB_UNIT,
        _JOB_MAX,
} DoctorJob;

typedef struct Doctor {
        const char *root;       /* where proc, sys, dev and etc are */
        const char *table_path; /* of the only table, or NULL */
        Job jobs[_JOB_MAX];
        uint64_t deadline_usec;
        Findings *findings;
        KernelTable *table; /* NULL if it cannot be read */
        Kernel kernel;

        Answer kernel_affected; /* by a bug that an update ends */
        Answer stalls;          /* whether the kernel has stall-2025 */
        Answer rescans;         /* whether the kernel has stall-2026 */
        Answer can_happen;      /* the conditions besides the kernel */
        bool sees_kthreads;     /* otherwise this may be a container, which hides more of the host */
        bool dirtytime_is_zero;
        bool has_lazytime;
        bool has_stripe;     /* ext4 with stripe= */
        bool stalls_now;     /* workers of inode_switch_wbs spin */
        Answer rescans_now;  /* and the kernel scans its list again and again */
        bool stalled_before; /* wbwatchd recorded it */
        bool log_has_sign;   /* the kernel's log has a sign of it */
        bool root_shows_more;
        bool daemon_answers;
} Doctor;

/* Whether root is not this machine's. */
bool doctor_has_other_root(const Doctor *doctor);

/* Whether the bus is the one of the examined machine: with another root, only if the caller names it. */
bool doctor_has_bus(const Doctor *doctor);

/* The text of a file in proc or sys below root, whose reading needs neither a disk nor a lock that is held
 * for long; or NULL. */
char *doctor_read(const Doctor *doctor, const char *name);

/* The complete result of a job, or NULL. */
const char *doctor_job_text(const Doctor *doctor, DoctorJob job);

/* Why the result of a job is not complete, or NULL. */
char *doctor_job_failure(const Job *job);

/* The functions of jobs: see Job.run. userdata is the Doctor. */
int doctor_write_kmsg(const void *userdata, FILE *out);
int doctor_write_journal(const void *userdata, FILE *out);
int doctor_write_daemon(const void *userdata, FILE *out);
int doctor_write_unit(const void *userdata, FILE *out);

/* The others. doctor->kernel must be set, and the jobs must have ended. */
void doctor_check_kernel(Doctor *doctor);
void doctor_check_conditions(Doctor *doctor);
void doctor_check_pressure(Doctor *doctor);

/* The running workers, scanned again and again for some time. What is judged about them depends on the
 * kernel and on the conditions. */
typedef struct Observation {
        Tally *tally;
        char *fault; /* why some workers may be missing, or NULL */
} Observation;

void doctor_observe_workers(const Doctor *doctor, uint64_t end_usec, Observation *ret);
void doctor_check_workers(Doctor *doctor, Observation *observation);

void doctor_check_log(Doctor *doctor);
void doctor_check_daemon(Doctor *doctor);

/* The verdict, its summary and the advice, from all of that. */
void doctor_conclude(Doctor *doctor);
