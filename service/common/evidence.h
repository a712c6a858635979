/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Evidence: figures of the kernel about the memory, the writeback and the workers of a stall, which cost
 * little to read. It is kept in each episode and in each sync. One table has the names on the bus and in the
 * journal.
 */

#include "macro.h"

typedef enum EvidenceId {
        EVIDENCE_DIRTY,
        EVIDENCE_WRITEBACK,
        EVIDENCE_VMSCAN_WRITES,
        EVIDENCE_ALLOCATION_STALLS,
        EVIDENCE_CPU_PRESSURE_AVG10,
        EVIDENCE_CPU_PRESSURE_TOTAL,
        EVIDENCE_IO_PRESSURE_AVG10,
        EVIDENCE_IO_PRESSURE_TOTAL,
        EVIDENCE_MEMORY_PRESSURE_AVG10,
        EVIDENCE_MEMORY_PRESSURE_TOTAL,
        EVIDENCE_DYING_CGROUPS,
        EVIDENCE_WORKERS_CPU,
        EVIDENCE_PENDING_FILESYSTEMS,
        _EVIDENCE_MAX,
} EvidenceId;

typedef enum EvidenceUnit {
        EVIDENCE_UNIT_BYTES,   /* D-Bus t */
        EVIDENCE_UNIT_COUNT,   /* D-Bus t */
        EVIDENCE_UNIT_USEC,    /* D-Bus t */
        EVIDENCE_UNIT_PERCENT, /* D-Bus d; in the journal with two decimals, like 12.34 */
} EvidenceUnit;

typedef struct EvidenceInfo {
        const char *key;   /* in the dictionary Evidence on the bus */
        const char *field; /* in the journal */
        EvidenceUnit unit;
        bool is_total;       /* counts from the boot on: what happened is the difference of two */
        const char *meaning; /* one line */
} EvidenceInfo;

extern const EvidenceInfo evidence_table[_EVIDENCE_MAX];

/* What could not be read is missing, not zero. */
typedef struct Evidence {
        uint32_t present;               /* a mask of 1 << EvidenceId */
        uint64_t values[_EVIDENCE_MAX]; /* percents in hundredths */
} Evidence;

void evidence_set(Evidence *evidence, EvidenceId id, uint64_t value);
void evidence_unset(Evidence *evidence, EvidenceId id);
bool evidence_has(const Evidence *evidence, EvidenceId id);

/* Formats the value as in the journal. 32 bytes always suffice. Returns buffer. */
const char *evidence_format(const Evidence *evidence, EvidenceId id, char *buffer, size_t size);
