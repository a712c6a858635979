/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "flooded-daemon.h"

#include <fcntl.h>
#include <pwd.h>

#include "deadline.h"

/* What the daemon may keep of it after a flood. */
#define MEMORY_AFTER_KIB (MEMORY_PEAK_KIB / 2)

/* AddressSanitizer copies the whole of a message whenever sd-bus has read another part; and a list of 500
 * takes some 25 ms there, while a caller waits for those of three others. */
#ifdef HAS_ADDRESS_SANITIZER
#define LARGE_TEXT_SIZE (3 * 1024 * 1024)
#define N_LISTED_WORKERS 50
#else
#define LARGE_TEXT_SIZE (30 * 1024 * 1024)
#define N_LISTED_WORKERS 500
#endif

Client *start_flooded(BusFixture *fixture, const char *settings) {
        fixture->deadline_usec = deadline_in_sec(FLOOD_TIMEOUT_SEC);
        fixture->flooded = true;
        fixture_start_silent_bus(fixture);
        return fixture_start(fixture, settings);
}

static uid_t uid_of(const char *name) {
        const struct passwd *user = getpwnam(name);

        g_assert_nonnull(user);
        return user->pw_uid;
}

Client *start_silent_polkit(BusFixture *fixture) {
        Client *polkit = client_new(fixture, uid_of("polkitd"));

        client_own_name(polkit, POLKIT_NAME);
        return polkit;
}

void add_listed_workers(const BusFixture *fixture, Client *client) {
        g_autoptr(GString) list = g_string_new(NULL);

        for (unsigned i = 0; i < N_LISTED_WORKERS; i++) {
                g_autofree char *name = g_strdup_printf("kworker/%u:1+inode_switch_wbs", i);

                fake_proc_add(&fixture->proc, 10000 + (pid_t) i, name, FLAGS_WORKER, 5678);
                g_string_append_printf(list, "%u ", 10000 + i);
        }
        fake_proc_list(&fixture->proc, list->str);

        /* An empty list is taken for a hidden one, so that a scan may have seen a part of them. */
        for (;;) {
                g_autoptr(GVariant) count = client_get(client, "WorkerCount");

                if (g_variant_get_uint32(count) == N_LISTED_WORKERS)
                        break;
        }
}

GVariant *large_text(void) {
        g_autofree char *text = g_strnfill(LARGE_TEXT_SIZE, 'x');

        return g_variant_new_string(text);
}

/* The processes that handle calls. The reader is another one after the connection was replaced. */
static void find_processes(const BusFixture *fixture, pid_t ret[static 2]) {
        ret[0] = fixture->daemon.pid;
        ret[1] = fixture_helper_pid(fixture, fixture->socket ? HELPER_PUBLIC : HELPER_BUS);
}

void memory_begin(const BusFixture *fixture) {
        pid_t pids[2];

        find_processes(fixture, pids);
        for (size_t i = 0; i < ELEMENTSOF(pids); i++) {
                g_autofree char *path = g_strdup_printf("/proc/%d/clear_refs", (int) pids[i]);
                _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

                g_assert_cmpint(write(fd, "5", 1), ==, 1);
        }
}

/* AddressSanitizer keeps what is freed, so that there is no bound. */
void memory_check(const BusFixture *fixture, const char *what) {
        uint64_t peak = 0, after = 0;
        pid_t pids[2];

        find_processes(fixture, pids);
        for (size_t i = 0; i < ELEMENTSOF(pids); i++) {
                peak += process_status_number(pids[i], "VmHWM:");
                after += process_status_number(pids[i], "VmRSS:");
        }

        g_test_message("%s: %" G_GUINT64_FORMAT " KiB at most, %" G_GUINT64_FORMAT " KiB after", what, peak,
                       after);
#ifndef HAS_ADDRESS_SANITIZER
        g_assert_cmpuint(peak, <, MEMORY_PEAK_KIB);
        g_assert_cmpuint(after, <, MEMORY_AFTER_KIB);
#endif
}
