/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * 1,000 scrapes a minute of wbwatch-exporter, evenly spread: what they cost wbwatchd and the exporter, and
 * how long a client waits. Most of them share an answer of wbwatchd; those that do not are also measured
 * alone.
 */

#include <stdio.h>

#include "exporter-pages.h"
#include "measure.h"
#include "prometheus.h"

#define SCRAPES_PER_MINUTE 1000

/* Returns the address on which it listens. */
static char *exporter_start(Process *exporter) {
        const char *const arguments[] = { g_getenv("WBWATCH_EXPORTER"), "--web.listen-address=127.0.0.1:0",
                                          NULL };
        g_autofree char *line = NULL, *address = NULL;
        int stderr_fd;

        *exporter = peer_start(arguments, NULL, &stderr_fd);
        line = read_line_with(stderr_fd, "http://");
        address = g_strdup(strstr(line, "http://") + strlen("http://"));
        *strchrnul(address, '/') = '\0';
        return g_steal_pointer(&address);
}

static void scrape(const char *address, Samples *wait_usec) {
        uint64_t begin_usec = usec_now(CLOCK_MONOTONIC);
        g_autofree char *answer = http_request(address, "GET", "/metrics", "");

        samples_add(wait_usec, (double) (usec_now(CLOCK_MONOTONIC) - begin_usec));
        if (!strstr(answer, "\nwbwatch_up 1\n"))
                g_error("no answer: %s", answer);
}

static void measure_rate(const char *address, pid_t daemon, pid_t exporter, unsigned n) {
        _cleanup_samples_ Samples wait_usec = samples_new();
        Usage daemon_before = usage_of(daemon), exporter_before = usage_of(exporter);
        uint64_t begin_usec = usec_now(CLOCK_MONOTONIC);
        double elapsed_msec;

        for (unsigned i = 0; i < n; i++) {
                uint64_t due_usec = begin_usec + i * USEC_PER_MINUTE / SCRAPES_PER_MINUTE;

                g_usleep((gulong) usec_subtract(due_usec, usec_now(CLOCK_MONOTONIC)));
                scrape(address, &wait_usec);
        }
        elapsed_msec = (double) (usec_now(CLOCK_MONOTONIC) - begin_usec) / 1000;
        samples_report(&wait_usec, "us", "exporter/shared/wait");
        report(usage_since(daemon, daemon_before).cpu_msec / elapsed_msec * 100, "%",
               "exporter/wbwatchd/cpu");
        report(usage_since(exporter, exporter_before).cpu_msec / elapsed_msec * 100, "%",
               "exporter/exporter/cpu");
}

static void measure_alone(const char *address, unsigned n) {
        _cleanup_samples_ Samples wait_usec = samples_new();

        for (unsigned i = 0; i < n; i++) {
                g_usleep(PAGES_SHARED_USEC + 10 * USEC_PER_MSEC);
                scrape(address, &wait_usec);
        }
        samples_report(&wait_usec, "us", "exporter/alone/wait");
}

int main(int argc, char **argv) {
        g_autofree char *address = NULL;
        Process exporter;
        Daemon daemon;

        measure_begin(argc, argv);
        bus_start();
        daemon = daemon_begin(NULL, NULL, "", "--dry-run", NULL);
        daemon_settle(&daemon);
        address = exporter_start(&exporter);
        measure_alone(address, measure_short ? 3 : 10);
        measure_rate(address, daemon.process.pid, exporter.pid,
                     measure_short ? SCRAPES_PER_MINUTE / 12 : SCRAPES_PER_MINUTE);
        peer_stop(&exporter, SIGTERM);
        daemon_end(&daemon);
        bus_stop();
        return EXIT_SUCCESS;
}
