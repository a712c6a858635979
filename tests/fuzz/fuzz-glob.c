/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Any text as a glob, and the text after its NUL as a name. An accepted glob is matched within bounded time:
 * fnmatch(3) needs exponential time for some. A glob that is reported to match no kernel worker matches none.
 */

#include "fuzz.h"

#include <assert.h>
#include <fnmatch.h>
#include <glib.h>

#include "glob.h"
#include "settings.h"
#include "worker.h"

/* Ten times the worst known case, see glob.h: this machine may be slow. fnmatch(3) allocates memory
 * for pattern lists, which AddressSanitizer slows. */
#ifdef HAS_ADDRESS_SANITIZER
#define MATCH_USEC_MAX (500 * USEC_PER_MSEC)
#else
#define MATCH_USEC_MAX (50 * USEC_PER_MSEC)
#endif

/* Shows libFuzzer which inputs are slow: fnmatch(3) is not instrumented. */
static uint8_t slowness[32] __attribute__((section("__libfuzzer_extra_counters"), used));

static void check_kworker(const char *glob, const char *name) {
        char worker[WORKER_NAME_MAX + 1] = "kworker/";

        (void) g_strlcat(worker, name, sizeof(worker));
        fuzz_assert(fnmatch(glob, worker, FNM_EXTMATCH) != 0 || glob_can_match_kworker(glob));
        fuzz_assert(!g_str_has_prefix(glob, "kworker/") || glob_can_match_kworker(glob));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text = fuzz_text(data, size), *error = NULL;
        /* Without a name, one of the slowest kind is used. */
        char name[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        const char *after = text + strlen(text) + 1;
        uint64_t start_usec, used_usec;
        Settings settings;

        static_assert(sizeof(name) == WORKER_NAME_MAX + 1, "as long as a name can be");
        if (after < text + size)
                (void) g_strlcpy(name, after, sizeof(name));

        settings_init(&settings);
        if (settings_set_glob(&settings, SETTING_GLOB, text, ORIGIN_BUS_RUNTIME, &error) < 0) {
                fuzz_assert(error && g_utf8_validate(error, -1, NULL));
                free(error);
        } else {
                fuzz_assert(streq(settings.glob, text));
                start_usec = usec_now(CLOCK_THREAD_CPUTIME_ID);
                (void) fnmatch(settings.glob, name, FNM_EXTMATCH);
                used_usec = usec_now(CLOCK_THREAD_CPUTIME_ID) - start_usec;
                slowness[g_bit_storage(used_usec) % sizeof(slowness)] = 1;
                fuzz_assert(used_usec < MATCH_USEC_MAX);
                check_kworker(settings.glob, name);
        }

        free(text);
        return 0;
}
