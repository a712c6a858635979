/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "messages.h"
#include "names.h"

#include <glib.h>

#define NESTING_MAX 12
#define SIGNATURE_MAX 60

#define BASIC_TYPES "ybnqiuxtdsog"

uint8_t input_byte(Input *input) {
        if (input->size == 0)
                return 0;

        input->size--;
        return *input->data++;
}

static void input_bytes(Input *input, void *ret, size_t size) {
        for (uint8_t *p = ret; size > 0; size--)
                *p++ = input_byte(input);
}

uint64_t input_number(Input *input) {
        static const uint64_t numbers[] = {
                0,           1,
                2,           4,
                10,          16,
                63,          64,
                10000,       10001,
                99999,       100000,
                999999,      1000000,
                60000000,    60000001,
                600000000,   600000001,
                3600000000,  3600000001,
                86400000000, 86400000001,
                INT32_MAX,   UINT32_MAX,
                INT64_MAX,   UINT64_MAX - 1,
                UINT64_MAX,
        };
        uint8_t which = input_byte(input);
        uint64_t number;

        if (which < ELEMENTSOF(numbers))
                return numbers[which];
        if (which < 128)
                return input_byte(input);
        input_bytes(input, &number, sizeof(number));
        return number;
}

const char *input_text(Input *input, char buffer[static INPUT_TEXT_MAX + 1]) {
        static const char *const texts[] = {
                "",
                "Glob",
                "ThresholdUSec",
                "CrowdSize",
                "CrowdThresholdUSec",
                "PollIntervalUSec",
                "IdleScanIntervalUSec",
                "RecoveryUSec",
                "SyncTimeoutUSec",
                "DryRun",
                "SettingOrigins",
                "State",
                "Version",
                "LogLevel",
                "LogTarget",
                "SyslogIdentifier",
                "debug",
                "emerg",
                "console",
                "journal",
                "org.wbwatch1",
                LOG_CONTROL_INTERFACE,
                "org.freedesktop.DBus",
                PROPERTIES_INTERFACE,
                INTROSPECTABLE_INTERFACE,
                PEER_INTERFACE,
                "org.freedesktop.DBus.ObjectManager",
                DBUS_LOCAL,
                ":1.1",
                "kworker/*inode_switch_wbs*",
                "kworker/+([0-9]):+([0-9])*([HIX])+inode_switch_wbs",
                "*!(a*)+(b)@(c|d)",
                "\xc3\xbc",
                " ",
                "%s%n",
                "CountWaiting",
                "SyncMethod",
                "FilesystemTimeoutUSec",
                "FilesystemResults",
                "Fault",
                "auto",
                "sync",
                "syncfs",
                "/",
                "/srv/\n",
        };
        uint8_t which = input_byte(input);
        size_t size;

        if (which < ELEMENTSOF(texts))
                return texts[which];

        size = input_byte(input);
        if (which == UINT8_MAX)
                size = INPUT_TEXT_MAX;
        input_bytes(input, buffer, size);
        buffer[size] = '\0';
        return buffer;
}

/* Adds one complete type to a signature. */
static void make_type(Input *input, GString *signature, unsigned nesting, bool basic) {
        uint8_t which = input_byte(input);

        if (basic || which >= 80 || nesting >= NESTING_MAX || signature->len >= SIGNATURE_MAX) {
                g_string_append_c(signature, BASIC_TYPES[which % strlen(BASIC_TYPES)]);
                return;
        }

        if (which < 20)
                g_string_append_c(signature, 'v');
        else if (which < 40) {
                g_string_append_c(signature, 'a');
                make_type(input, signature, nesting + 1, false);
        } else if (which < 60) {
                g_string_append(signature, "a{");
                make_type(input, signature, nesting + 1, true);
                make_type(input, signature, nesting + 1, false);
                g_string_append_c(signature, '}');
        } else {
                g_string_append_c(signature, '(');
                for (unsigned i = input_byte(input) % 4 + 1; i > 0; i--)
                        make_type(input, signature, nesting + 1, false);
                g_string_append_c(signature, ')');
        }
}

/* The end of the complete type at the start of the signature. */
static const char *type_end(const char *type) {
        unsigned n_open = 0;

        while (*type == 'a')
                type++;
        do {
                if (*type == '(' || *type == '{')
                        n_open++;
                else if (*type == ')' || *type == '}')
                        n_open--;
                else if (*type == '\0')
                        return type;
                type++;
        } while (n_open > 0);

        return type;
}

static void append_basic(sd_bus_message *m, Input *input, char type) {
        static const char *const paths[] = { "/", BUS_PATH, LOG_CONTROL_PATH, "/a_1" };
        static const char *const signatures[] = { "", "s", "a{sv}", "(ii)", "aaaaaaaaaaay" };
        g_autofree char *valid = NULL;
        char buffer[INPUT_TEXT_MAX + 1];
        const char *text = NULL;
        uint64_t number;
        int boolean;

        switch (type) {
        case 's':
                /* A bus delivers valid UTF-8 only. */
                text = valid = g_utf8_make_valid(input_text(input, buffer), -1);
                break;
        case 'o':
                text = paths[input_byte(input) % ELEMENTSOF(paths)];
                break;
        case 'g':
                text = signatures[input_byte(input) % ELEMENTSOF(signatures)];
                break;
        case 'b':
                boolean = input_byte(input) & 1;
                fuzz_assert(sd_bus_message_append_basic(m, type, &boolean) >= 0);
                return;
        default:
                number = input_number(input);
                fuzz_assert(sd_bus_message_append_basic(m, type, &number) >= 0);
                return;
        }

        fuzz_assert(sd_bus_message_append_basic(m, type, text) >= 0);
}

static void append_container(sd_bus_message *m, Input *input, char type, const char *contents) {
        fuzz_assert(sd_bus_message_open_container(m, type, contents) >= 0);
        append_values(m, input, contents);
        fuzz_assert(sd_bus_message_close_container(m) >= 0);
}

static void append_array(sd_bus_message *m, Input *input, const char *contents) {
        uint8_t n = input_byte(input);

        fuzz_assert(sd_bus_message_open_container(m, 'a', contents) >= 0);
        for (n = n < 250 ? n % 5 : n; n > 0 && input->size > 0; n--)
                append_values(m, input, contents);
        fuzz_assert(sd_bus_message_close_container(m) >= 0);
}

static void append_variant(sd_bus_message *m, Input *input) {
        g_autoptr(GString) signature = g_string_new(NULL);
        static unsigned nesting;

        make_type(input, signature, nesting < NESTING_MAX ? 0 : NESTING_MAX, false);
        nesting++;
        append_container(m, input, 'v', signature->str);
        nesting--;
}

void append_values(sd_bus_message *m, Input *input, const char *signature) {
        while (*signature != '\0') {
                const char *end = type_end(signature);
                g_autofree char *contents = NULL;

                switch (*signature) {
                case 'v':
                        append_variant(m, input);
                        break;
                case 'a':
                        contents = g_strndup(signature + 1, (gsize) (end - signature - 1));
                        append_array(m, input, contents);
                        break;
                case '(':
                case '{':
                        contents = g_strndup(signature + 1, (gsize) (end - signature - 2));
                        append_container(m, input, *signature == '(' ? 'r' : 'e', contents);
                        break;
                default:
                        append_basic(m, input, *signature);
                }

                signature = end;
        }
}

void append_anything(sd_bus_message *m, Input *input) {
        g_autoptr(GString) signature = g_string_new(NULL);

        for (unsigned i = input_byte(input) % 5; i > 0; i--)
                make_type(input, signature, 0, false);
        append_values(m, input, signature->str);
}
