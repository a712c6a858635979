/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "evidence.h"

#include <inttypes.h>
#include <stdio.h>

const EvidenceInfo evidence_table[_EVIDENCE_MAX] = {
        [EVIDENCE_DIRTY] = {
                .key = "DirtyBytes",
                .field = "WBWATCH_DIRTY_BYTES",
                .unit = EVIDENCE_UNIT_BYTES,
                .meaning = "data in memory that must be written to disk",
        },
        [EVIDENCE_WRITEBACK] = {
                .key = "WritebackBytes",
                .field = "WBWATCH_WRITEBACK_BYTES",
                .unit = EVIDENCE_UNIT_BYTES,
                .meaning = "data that is being written to disk",
        },
        [EVIDENCE_VMSCAN_WRITES] = {
                .key = "VmscanWrites",
                .field = "WBWATCH_VMSCAN_WRITES",
                .unit = EVIDENCE_UNIT_COUNT,
                .is_total = true,
                .meaning = "pages that memory reclaim wrote itself",
        },
        [EVIDENCE_ALLOCATION_STALLS] = {
                .key = "AllocationStalls",
                .field = "WBWATCH_ALLOCATION_STALLS",
                .unit = EVIDENCE_UNIT_COUNT,
                .is_total = true,
                .meaning = "allocations that had to reclaim memory first (direct reclaim)",
        },
        [EVIDENCE_CPU_PRESSURE_AVG10] = {
                .key = "CPUPressureAvg10",
                .field = "WBWATCH_CPU_PRESSURE_AVG10",
                .unit = EVIDENCE_UNIT_PERCENT,
                .meaning = "share of the last 10 s in which a task waited for a CPU",
        },
        [EVIDENCE_CPU_PRESSURE_TOTAL] = {
                .key = "CPUPressureTotalUSec",
                .field = "WBWATCH_CPU_PRESSURE_TOTAL_USEC",
                .unit = EVIDENCE_UNIT_USEC,
                .is_total = true,
                .meaning = "time in which a task waited for a CPU",
        },
        [EVIDENCE_IO_PRESSURE_AVG10] = {
                .key = "IOPressureAvg10",
                .field = "WBWATCH_IO_PRESSURE_AVG10",
                .unit = EVIDENCE_UNIT_PERCENT,
                .meaning = "share of the last 10 s in which a task waited for I/O",
        },
        [EVIDENCE_IO_PRESSURE_TOTAL] = {
                .key = "IOPressureTotalUSec",
                .field = "WBWATCH_IO_PRESSURE_TOTAL_USEC",
                .unit = EVIDENCE_UNIT_USEC,
                .is_total = true,
                .meaning = "time in which a task waited for I/O",
        },
        [EVIDENCE_MEMORY_PRESSURE_AVG10] = {
                .key = "MemoryPressureAvg10",
                .field = "WBWATCH_MEMORY_PRESSURE_AVG10",
                .unit = EVIDENCE_UNIT_PERCENT,
                .meaning = "share of the last 10 s in which a task waited for memory",
        },
        [EVIDENCE_MEMORY_PRESSURE_TOTAL] = {
                .key = "MemoryPressureTotalUSec",
                .field = "WBWATCH_MEMORY_PRESSURE_TOTAL_USEC",
                .unit = EVIDENCE_UNIT_USEC,
                .is_total = true,
                .meaning = "time in which a task waited for memory",
        },
        [EVIDENCE_DYING_CGROUPS] = {
                .key = "DyingCgroups",
                .field = "WBWATCH_DYING_CGROUPS",
                .unit = EVIDENCE_UNIT_COUNT,
                .meaning = "cgroups that were removed but still hold memory",
        },
        [EVIDENCE_WORKERS_CPU] = {
                .key = "WorkersCPU",
                .field = "WBWATCH_WORKERS_CPU",
                .unit = EVIDENCE_UNIT_PERCENT,
                .meaning = "CPU use of the stuck workers over the last 5 s; 100 is one CPU",
        },
        [EVIDENCE_PENDING_FILESYSTEMS] = {
                .key = "PendingFilesystems",
                .field = "WBWATCH_PENDING_FILESYSTEMS",
                .unit = EVIDENCE_UNIT_COUNT,
                .meaning = "filesystems whose earlier sync has not returned",
        },
};

void evidence_set(Evidence *evidence, EvidenceId id, uint64_t value) {
        evidence->present |= UINT32_C(1) << id;
        evidence->values[id] = value;
}

void evidence_unset(Evidence *evidence, EvidenceId id) {
        evidence->present &= ~(UINT32_C(1) << id);
}

bool evidence_has(const Evidence *evidence, EvidenceId id) {
        return evidence->present & (UINT32_C(1) << id);
}

const char *evidence_format(const Evidence *evidence, EvidenceId id, char *buffer, size_t size) {
        uint64_t value = evidence->values[id];

        if (evidence_table[id].unit == EVIDENCE_UNIT_PERCENT)
                (void) snprintf(buffer, size, "%" PRIu64 ".%02u", value / 100, (unsigned) (value % 100));
        else
                (void) snprintf(buffer, size, "%" PRIu64, value);
        return buffer;
}
