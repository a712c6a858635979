/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Any bytes as the beginning of a D-Bus message. Nothing is read beyond the header, and what GDBus takes for
 * a message, or writes, has the same size, type, serials, flag and names here. */

#include "fuzz.h"

#include <gio/gio.h>

#include "bus-header.h"

#define SENDER_MAX_BYTES 31

/* A sender in a call that we write is read from it again. */
static void check_written(const BusHeader *header) {
        uint8_t buffer[BUS_HEADER_CALL_SIZE_MAX];
        size_t n, header_size, size;
        BusHeader again;

        if (!header->sender || strlen(header->sender) > SENDER_MAX_BYTES)
                return;

        n = bus_header_write_call(
                        buffer, &(BusCall){ .serial = header->serial,
                                            .path = "/",
                                            .interface = "a.b",
                                            .member = "C",
                                            .sender = header->sender,
                                            .argument = header->sender });
        fuzz_assert(n <= sizeof(buffer));
        fuzz_assert(bus_header_sizes(buffer, &header_size, &size) >= 0);
        fuzz_assert(size == n && header_size < n);
        fuzz_assert(bus_header_read(buffer, header_size, &again) >= 0);
        fuzz_assert(again.type == SD_BUS_MESSAGE_METHOD_CALL && again.expects_reply);
        fuzz_assert(again.serial == header->serial);
        fuzz_assert(streq(again.sender, header->sender));
}

/* A message that gets a sender has it, and is the same otherwise. */
static void check_added(GDBusMessage *message) {
        g_autoptr(GDBusMessage) parsed = NULL;
        g_autofree uint8_t *longer = NULL;
        g_autofree guchar *blob = NULL;
        size_t header_size, size, n;
        BusHeader header, again;
        gsize blob_size;

        blob = g_dbus_message_to_blob(message, &blob_size, G_DBUS_CAPABILITY_FLAGS_NONE, NULL);
        if (!blob || bus_header_sizes(blob, &header_size, &size) < 0 ||
            bus_header_read(blob, header_size, &header) < 0 || header.sender)
                return;

        longer = g_malloc(size + BUS_HEADER_SENDER_SIZE_MAX);
        n = bus_header_add_sender(blob, header_size, size, ":1.18446744073709551615", longer);
        fuzz_assert(n <= size + BUS_HEADER_SENDER_SIZE_MAX);
        fuzz_assert(bus_header_sizes(longer, &header_size, &size) >= 0 && size == n);
        fuzz_assert(bus_header_read(longer, header_size, &again) >= 0);
        fuzz_assert(streq(again.sender, ":1.18446744073709551615"));
        parsed = g_dbus_message_new_from_blob(longer, n, G_DBUS_CAPABILITY_FLAGS_NONE, NULL);
        fuzz_assert(parsed && streq(g_dbus_message_get_sender(parsed), again.sender));
        fuzz_assert(again.type == header.type && again.serial == header.serial);
        fuzz_assert(memcmp(longer + header_size, blob + blob_size - (n - header_size), n - header_size) == 0);
}

/* Whether the specification gives the types of all its fields to some field. */
static bool has_known_types(GDBusMessage *message) {
        for (unsigned field = 0; field <= UINT8_MAX; field++) {
                GVariant *value = g_dbus_message_get_header(message, (GDBusMessageHeaderField) field);

                if (value && !strchr("sogu", *g_variant_get_type_string(value)))
                        return false;
        }

        return true;
}

static void check_text(GDBusMessage *message, GDBusMessageHeaderField field, const char *text) {
        GVariant *value = g_dbus_message_get_header(message, field);

        if (!value)
                fuzz_assert(!text);
        else if (g_variant_is_of_type(value, G_VARIANT_TYPE_STRING))
                fuzz_assert(streq(text, g_variant_get_string(value, NULL)));
}

static void check_same(GDBusMessage *message, const BusHeader *header) {
        bool expects_reply = !(g_dbus_message_get_flags(message) & G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED);

        fuzz_assert(header->type == g_dbus_message_get_message_type(message));
        fuzz_assert(header->serial == g_dbus_message_get_serial(message));
        fuzz_assert(header->expects_reply == expects_reply);
        fuzz_assert(header->n_fds == g_dbus_message_get_num_unix_fds(message));
        fuzz_assert(header->reply_serial == g_dbus_message_get_reply_serial(message));
        check_text(message, G_DBUS_MESSAGE_HEADER_FIELD_SENDER, header->sender);
        check_text(message, G_DBUS_MESSAGE_HEADER_FIELD_DESTINATION, header->destination);
        check_text(message, G_DBUS_MESSAGE_HEADER_FIELD_ERROR_NAME, header->error_name);
}

/* As GDBus writes it: where it reads, it lets texts go beyond the fields. */
static void check_rewritten(GDBusMessage *message) {
        g_autofree guchar *blob = NULL;
        size_t header_size, size;
        BusHeader header;
        gsize blob_size;

        blob = g_dbus_message_to_blob(message, &blob_size, G_DBUS_CAPABILITY_FLAGS_NONE, NULL);
        if (!blob || !has_known_types(message))
                return;

        fuzz_assert(bus_header_sizes(blob, &header_size, &size) >= 0);
        fuzz_assert(size == blob_size);
        fuzz_assert(bus_header_read(blob, header_size, &header) >= 0);
        check_same(message, &header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t input_size) {
        g_autoptr(GDBusMessage) message = NULL;
        g_autofree uint8_t *copy = NULL;
        size_t header_size, size;
        BusHeader header;
        int r;

        if (input_size < BUS_HEADER_FIXED_SIZE)
                return 0;
        message = g_dbus_message_new_from_blob(
                        (guchar *) data, input_size, G_DBUS_CAPABILITY_FLAGS_NONE, NULL);
        if (message) {
                check_rewritten(message);
                check_added(message);
        }

        r = bus_header_sizes(data, &header_size, &size);
        if (r < 0)
                return 0;
        fuzz_assert(BUS_HEADER_FIXED_SIZE <= header_size && header_size <= size);
        if (header_size > input_size)
                return 0;

        /* A copy, so that AddressSanitizer sees a read beyond. */
        copy = g_memdup2(data, header_size);
        r = bus_header_read(copy, header_size, &header);
        if (r < 0)
                return 0;
        check_written(&header);
        if (message)
                check_same(message, &header);
        return 0;
}
