/* SPDX-License-Identifier: GPL-3.0-or-later */

/* How long a user, or a monitoring system, waits for wbctl: from before the fork to its end. */

#include "measure.h"

static void run_client(const char *verb, Samples *msec) {
        const char *const arguments[] = { g_getenv("WBCTL"), verb, NULL };
        uint64_t begin_usec = usec_now(CLOCK_MONOTONIC);
        Process client = peer_start(arguments, NULL, NULL);

        peer_wait_end(&client);
        samples_add(msec, (double) (usec_now(CLOCK_MONOTONIC) - begin_usec) / 1000);
}

int main(int argc, char **argv) {
        static const char *const verbs[] = { "health", "status" };
        Daemon daemon;

        measure_begin(argc, argv);
        bus_start();
        daemon = daemon_begin(NULL, NULL, "", "--dry-run", NULL);
        daemon_settle(&daemon);
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++) {
                _cleanup_samples_ Samples msec = samples_new();

                for (unsigned k = 0; k < (measure_short ? 3 : 20); k++)
                        run_client(verbs[i], &msec);
                samples_report(&msec, "ms", "client/%s/end", verbs[i]);
        }
        daemon_end(&daemon);
        bus_stop();
        return EXIT_SUCCESS;
}
