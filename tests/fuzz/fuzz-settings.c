/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Any bytes as a settings file. Accepted values are within their bounds, and are the same after formatting
 * and parsing. */

#include "fuzz.h"

#include <glib.h>

#include "glob.h"
#include "settings-files.h"

static void on_warning(const char *warning, void *userdata) {
        fuzz_assert(g_utf8_validate(warning, -1, NULL));
}

/* The only accepted value with a warning is a glob that matches no kernel worker. */
static void on_second_warning(const char *warning, void *userdata) {
        const Settings *settings = userdata;

        if (g_str_has_prefix(warning, "file:2: Glob=") && !glob_can_match_kworker(settings->glob))
                return;

        fprintf(stderr, "%s\n", warning);
        abort();
}

static void check_bounds(const Settings *settings, SettingId id, const char *path) {
        const SettingInfo *info = &setting_table[id];
        uint64_t value = info->type == SETTING_TYPE_GLOB ? strlen(settings->glob)
                                                         : settings_get_number(settings, id);

        fuzz_assert(value >= info->minimum && value <= info->maximum);
        fuzz_assert(memchr(settings->places[id], '\0', sizeof(settings->places[id])));
        fuzz_assert(g_utf8_validate(settings->places[id], -1, NULL));
        fuzz_assert(settings->origins[id] == (*settings->places[id] ? ORIGIN_FILE : ORIGIN_BUILT_IN));
        if (settings->origins[id] == ORIGIN_FILE) {
                const char *line = strrchr(settings->places[id], ':');

                fuzz_assert(line && line[1 + strspn(line + 1, "0123456789")] == '\0');
                fuzz_assert(strncmp(settings->places[id], path, (size_t) (line - settings->places[id])) == 0);
        }
}

/* Paths are cut in origins, perhaps in the middle of a character. */
#define LONG_PATH REPEAT(REPEAT("ü"))
#define REPEAT(text) text text text text text text text text text text text text

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_autoptr(GString) written = g_string_new("[Watch]\n");
        const char *path = size % 2 == 0 ? "file" : LONG_PATH;
        char *text = fuzz_text(data, size);
        Settings settings, again;

        settings_init(&settings);
        (void) settings_parse_text(&settings, text, size, path, ORIGIN_FILE, on_warning, NULL);
        free(text);

        for (SettingId id = 0; id < _SETTING_MAX; id++) {
                char value[SETTINGS_GLOB_MAX + 1];

                check_bounds(&settings, id, path);
                g_string_append_printf(
                                written, "%s=%s\n", setting_table[id].key,
                                settings_format(&settings, id, value, sizeof(value)));
        }

        settings_init(&again);
        (void) settings_parse_text(
                        &again, written->str, written->len, "file", ORIGIN_FILE, on_second_warning,
                        &settings);
        fuzz_assert(streq(settings.glob, again.glob));
        for (SettingId id = 0; id < _SETTING_MAX; id++)
                if (setting_table[id].type != SETTING_TYPE_GLOB)
                        fuzz_assert(settings_get_number(&settings, id) == settings_get_number(&again, id));

        return 0;
}
