/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The verb sync: asks for a sync, waits for as long as it takes, and shows meanwhile how it goes. */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "agent.h"
#include "client.h"
#include "connection.h"

static bool meminfo_find(const char *text, const char *name, uint64_t *ret_kib) {
        size_t length = strlen(name);

        for (const char *line = text; line; line = strchr(line, '\n')) {
                if (*line == '\n')
                        line++;
                if (strncmp(line, name, length) == 0 && line[length] == ':') {
                        char *end;

                        errno = 0;
                        *ret_kib = g_ascii_strtoull(line + length + 1, &end, 10);
                        return errno == 0 && end != line + length + 1;
                }
        }
        return false;
}

int meminfo_parse(const char *text, uint64_t *ret_bytes) {
        uint64_t dirty_kib, writeback_kib;

        if (!meminfo_find(text, "Dirty", &dirty_kib) || !meminfo_find(text, "Writeback", &writeback_kib))
                return -EBADMSG;

        *ret_bytes = (dirty_kib + writeback_kib) * 1024;
        return 0;
}

static int meminfo_read(uint64_t *ret_bytes) {
        _cleanup_close_ int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
        char text[8192];
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = read(fd, text, sizeof(text) - 1);
        if (n < 0)
                return -errno;
        text[n] = '\0';
        return meminfo_parse(text, ret_bytes);
}

typedef struct Progress {
        bool begun;
        bool known; /* whether start_bytes is */
        uint64_t start_bytes;
} Progress;

static int on_sync_started(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Progress *progress = userdata;

        progress->begun = true;
        return 0;
}

static void print_progress(const Progress *progress, uint64_t elapsed_usec) {
        g_autofree char *elapsed = span_format(elapsed_usec / USEC_PER_SEC * USEC_PER_SEC);
        uint64_t bytes;

        printf("Syncing for %s", elapsed);
        if (progress->known && meminfo_read(&bytes) >= 0) {
                g_autofree char *left = bytes_format(bytes), *start = bytes_format(progress->start_bytes);

                printf(": %s left to write, %s at first", left, start);
        }
}

/* Writes the line anew: how long it has taken, and what is left to be written. */
static void show_progress(uint64_t elapsed_usec, void *userdata) {
        const Progress *progress = userdata;

        if (!progress->begun)
                return;

        printf("\r\033[K");
        if (elapsed_usec != USEC_INFINITY)
                print_progress(progress, elapsed_usec);
        (void) fflush(stdout);
}

static void tell_synced(const Options *options, uint64_t duration_usec) {
        g_autofree char *span = span_format(duration_usec);

        if (options->json)
                printf("{\"DurationUSec\":%" PRIu64 "}\n", duration_usec);
        else
                printf("Synced in %s.\n", span);
}

int verb_sync(const Options *options, char **arguments) {
        static const Request request = {
                .member = "ForceSync",
                .purpose = "sync",
                .action = "org.wbwatch1.force-sync",
        };
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL, *reply = NULL;
        bool shows = options->terminal.erases && !options->json;
        Progress progress = {};
        uint64_t duration_usec;
        int r;

        r = connection_open_or_complain(&bus);
        if (r != 0)
                return r;
        r = request_new(bus, &request, &message);
        if (r < 0)
                return request_failed(&request, r);

        if (shows) {
                progress.known = meminfo_read(&progress.start_bytes) >= 0;
                /* While a password may be asked for, the line belongs to the prompt. */
                progress.begun = !(options->ask_password && agent_is_of_use());
                (void) sd_bus_match_signal(
                                bus, NULL, WBWATCH_NAME, WBWATCH_PATH, WBWATCH_INTERFACE, "SyncStarted",
                                on_sync_started, &progress);
        }

        r =
                        request_change(bus, &request, message, options->ask_password, USEC_INFINITY,
                                       shows ? show_progress : NULL, &progress, &reply);
        if (r == EXIT_INTERRUPTED)
                complain("Not waiting any longer. A sync that has begun goes on without wbctl: see `wbctl "
                         "status`.");
        if (r != 0)
                return r;

        r = sd_bus_message_read(reply, "t", &duration_usec);
        if (r < 0)
                return request_failed(&request, r);
        tell_synced(options, duration_usec);
        return EXIT_SUCCESS;
}
