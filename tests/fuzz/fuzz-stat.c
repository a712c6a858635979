/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Any bytes as the text of /proc/PID/stat, and as a worker's name. */

#include "fuzz.h"

#include "kworkers.h"

static void check_work(const char *name) {
        const char *work = worker_name_work(name);

        if (work) {
                fuzz_assert(work > name && work <= name + strlen(name));
                fuzz_assert(work[-1] == '+');
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const Worker untouched = { .pid = 1234, .start_time = 5678, .name = "untouched" };
        Worker worker = untouched;
        char *text = fuzz_text(data, size);
        uint64_t flags = 4321;
        int r;

        r = worker_parse_stat(text, size, &worker, &flags);
        if (r >= 0) {
                fuzz_assert(worker.pid > 0);
                fuzz_assert(worker.state != '\0');
                fuzz_assert(memchr(worker.name, '\0', sizeof(worker.name)));
                check_work(worker.name);
        } else {
                fuzz_assert(r == -EBADMSG);
                fuzz_assert(memcmp(&worker, &untouched, sizeof(worker)) == 0);
                fuzz_assert(flags == 4321);
        }

        check_work(text);
        free(text);
        return 0;
}
