/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Any values of a message as wbctl shows them: as GVariants, and as JSON, which must be JSON. */

#include "messages.h"

#include <glib.h>
#include <sys/socket.h>

#include "json.h"
#include "values.h"

static const char *skip_value(const char *p);

static const char *skip_string(const char *p) {
        fuzz_assert(*p == '"');
        for (p++; *p != '"'; p++) {
                fuzz_assert((unsigned char) *p >= 0x20 && *p != 0x7f);
                if (*p != '\\')
                        continue;

                p++;
                fuzz_assert(*p != '\0' && strchr("\"\\ntu", *p));
                for (unsigned i = 0; *p == 'u' && i < 4; i++)
                        fuzz_assert(g_ascii_isxdigit(p[i + 1]));
        }
        return p + 1;
}

static const char *skip_number(const char *p) {
        char *end;

        fuzz_assert(*p == '-' || g_ascii_isdigit(*p)); /* neither "nan" nor "inf" */
        (void) g_ascii_strtod(p, &end);
        fuzz_assert(end > p);
        return end;
}

static const char *skip_list(const char *p, char end, bool has_keys) {
        if (*++p == end)
                return p + 1;

        for (;; p++) {
                if (has_keys) {
                        p = skip_string(p);
                        fuzz_assert(*p++ == ':');
                }
                p = skip_value(p);
                if (*p == end)
                        return p + 1;
                fuzz_assert(*p == ',');
        }
}

static const char *skip_value(const char *p) {
        static const char *const words[] = { "true", "false", "null" };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (g_str_has_prefix(p, words[i]))
                        return p + strlen(words[i]);

        switch (*p) {
        case '"':
                return skip_string(p);
        case '{':
                return skip_list(p, '}', true);
        case '[':
                return skip_list(p, ']', false);
        default:
                return skip_number(p);
        }
}

/* A message needs a connection that was started. */
static sd_bus *get_bus(void) {
        static sd_bus *bus;
        int fds[2];

        if (bus)
                return bus;

        fuzz_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) >= 0);
        fuzz_assert(sd_bus_new(&bus) >= 0);
        fuzz_assert(sd_bus_set_fd(bus, fds[0], fds[0]) >= 0);
        fuzz_assert(sd_bus_start(bus) >= 0);
        return bus;
}

static sd_bus_message *new_message(Input *input) {
        sd_bus_message *m;

        fuzz_assert(sd_bus_message_new(get_bus(), &m, SD_BUS_MESSAGE_SIGNAL) >= 0);
        append_anything(m, input);
        fuzz_assert(sd_bus_message_seal(m, 1, 0) >= 0);
        return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Input input = { .data = data, .size = size };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = new_message(&input);
        g_autoptr(GString) out = g_string_new(NULL);
        g_autoptr(GVariant) arguments = NULL;
        g_autofree char *signature = NULL;

        fuzz_assert(arguments_from_message(m, &arguments) >= 0);
        signature = g_strdup_printf("(%s)", sd_bus_message_get_signature(m, /* complete= */ true));
        fuzz_assert(streq(g_variant_get_type_string(arguments), signature));

        json_append(out, arguments);
        fuzz_assert(g_utf8_validate(out->str, (gssize) out->len, NULL));
        fuzz_assert(*skip_value(out->str) == '\0');
        return 0;
}
