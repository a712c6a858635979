/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "evidence-reader.h"

#include <ctype.h>

/* The number of a line of vmstat, times factor. */
static void read_vmstat_line(
                Evidence *evidence,
                EvidenceId id,
                const char *text,
                const char *key,
                uint64_t factor) {
        uint64_t value;

        if (kernel_file_find(text, key, &value, NULL))
                evidence_set(evidence, id, value * factor);
}

/* There is one line for each zone of memory: allocstall_normal, allocstall_movable ... */
static void read_allocation_stalls(Evidence *evidence, const char *text) {
        static const char key[] = "\nallocstall_";
        uint64_t total = 0, value;
        bool found = false;

        for (const char *line = text; (line = strstr(line, key)); line += strlen(key)) {
                const char *space = strchr(line, ' ');

                if (!space || !kernel_file_find(space, " ", &value, NULL))
                        continue;
                total += value;
                found = true;
        }

        if (found)
                evidence_set(evidence, EVIDENCE_ALLOCATION_STALLS, total);
}

static void read_vmstat(Evidence *evidence, const char *text) {
        uint64_t page_size = (uint64_t) sysconf(_SC_PAGESIZE);

        read_vmstat_line(evidence, EVIDENCE_DIRTY, text, "\nnr_dirty ", page_size);
        read_vmstat_line(evidence, EVIDENCE_WRITEBACK, text, "\nnr_writeback ", page_size);
        read_vmstat_line(evidence, EVIDENCE_VMSCAN_WRITES, text, "\nnr_vmscan_write ", 1);
        read_allocation_stalls(evidence, text);
}

/* "some avg10=1.23 avg60=... avg300=... total=456", then a line that begins with "full". */
static void read_pressure(Evidence *evidence, EvidenceId avg10, EvidenceId total, const char *text) {
        uint64_t percent, usec;
        const char *end;

        if (kernel_file_find(text, "some avg10=", &percent, &end) && end[0] == '.' &&
            isdigit((unsigned char) end[1]) && isdigit((unsigned char) end[2]))
                evidence_set(evidence, avg10,
                             percent * 100 + (uint64_t) (end[1] - '0') * 10 + (uint64_t) (end[2] - '0'));
        if (kernel_file_find(text, " total=", &usec, NULL))
                evidence_set(evidence, total, usec);
}

static void read_cgroup_stat(Evidence *evidence, const char *text) {
        uint64_t n;

        if (kernel_file_find(text, "\nnr_dying_descendants ", &n, NULL))
                evidence_set(evidence, EVIDENCE_DYING_CGROUPS, n);
}

static void read_file(Evidence *evidence, KernelFile file, const char *text) {
        switch (file) {
        case KERNEL_FILE_VMSTAT:
                read_vmstat(evidence, text);
                break;
        case KERNEL_FILE_CPU_PRESSURE:
                read_pressure(evidence, EVIDENCE_CPU_PRESSURE_AVG10, EVIDENCE_CPU_PRESSURE_TOTAL, text);
                break;
        case KERNEL_FILE_IO_PRESSURE:
                read_pressure(evidence, EVIDENCE_IO_PRESSURE_AVG10, EVIDENCE_IO_PRESSURE_TOTAL, text);
                break;
        case KERNEL_FILE_MEMORY_PRESSURE:
                read_pressure(evidence, EVIDENCE_MEMORY_PRESSURE_AVG10, EVIDENCE_MEMORY_PRESSURE_TOTAL, text);
                break;
        case KERNEL_FILE_CGROUP_STAT:
                read_cgroup_stat(evidence, text);
                break;
        default:
                break;
        }
}

void evidence_read(Evidence *evidence, const int files[static _KERNEL_FILE_MAX]) {
        char text[KERNEL_FILE_TEXT_MAX];

        for (KernelFile file = KERNEL_FILE_VMSTAT; file < _KERNEL_FILE_MAX; file++)
                if (file != KERNEL_FILE_CPU_TRIGGER && files[file] >= 0 &&
                    kernel_file_read(files[file], text) >= 0)
                        read_file(evidence, file, text);
}
