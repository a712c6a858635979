/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The headers of D-Bus messages, held against those that GDBus writes and reads. */

#include <gio/gio.h>
#include <gio/gunixfdlist.h>

#include "bus-header.h"

#define N_FDS 3

/* A copy of the header alone, so that AddressSanitizer sees a read beyond. Its sender must lie in it. */
static int read_copy(const uint8_t *message, size_t header_size, char sender[static 256]) {
        g_autofree uint8_t *copy = g_memdup2(message, header_size);
        BusHeader header = {};
        int r;

        r = bus_header_read(copy, header_size, &header);
        (void) g_strlcpy(sender, header.sender ?: "", 256);
        return r;
}

/* A call with all fields that a call can have. */
static GDBusMessage *new_call(GDBusMessageByteOrder order) {
        GDBusMessage *message = g_dbus_message_new_method_call("a.b", "/c/d", "e.f", "G");
        g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();

        g_dbus_message_set_byte_order(message, order);
        g_dbus_message_set_sender(message, ":1.23");
        g_dbus_message_set_serial(message, 0x01020304);
        g_dbus_message_set_body(message, g_variant_new("(sau)", "text", NULL));
        for (unsigned i = 0; i < N_FDS; i++)
                g_assert_cmpint(g_unix_fd_list_append(fds, STDERR_FILENO, NULL), >=, 0);
        g_dbus_message_set_unix_fd_list(message, fds);
        return message;
}

static uint8_t *to_blob(GDBusMessage *message, gsize *ret_size) {
        g_autoptr(GError) error = NULL;
        uint8_t *blob;

        blob = g_dbus_message_to_blob(message, ret_size, G_DBUS_CAPABILITY_FLAGS_UNIX_FD_PASSING, &error);
        g_assert_no_error(error);
        return blob;
}

static void check_read(GDBusMessageByteOrder order) {
        g_autoptr(GDBusMessage) message = new_call(order);
        size_t header_size, size;
        BusHeader header;

        for (unsigned flags = 0; flags <= G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED; flags++) {
                g_autofree uint8_t *blob = NULL;
                gsize blob_size;

                g_dbus_message_set_flags(message, flags);
                blob = to_blob(message, &blob_size);
                g_assert_cmpint(bus_header_sizes(blob, &header_size, &size), ==, 0);
                g_assert_cmpuint(size, ==, blob_size);
                g_assert_cmpuint(header_size, <, size);
                g_assert_cmpint(bus_header_read(blob, header_size, &header), ==, 0);
                g_assert_cmpuint(header.type, ==, SD_BUS_MESSAGE_METHOD_CALL);
                g_assert_cmpint(header.expects_reply, ==, flags == 0);
                g_assert_cmpuint(header.serial, ==, 0x01020304);
                g_assert_cmpstr(header.sender, ==, ":1.23");
                g_assert_cmpuint(header.n_fds, ==, N_FDS);
        }
}

static void test_read(void) {
        check_read(G_DBUS_MESSAGE_BYTE_ORDER_LITTLE_ENDIAN);
        check_read(G_DBUS_MESSAGE_BYTE_ORDER_BIG_ENDIAN);
}

static void test_without_sender(void) {
        g_autoptr(GDBusMessage) message = new_call(G_DBUS_MESSAGE_BYTE_ORDER_LITTLE_ENDIAN);
        g_autofree uint8_t *blob = NULL;
        size_t header_size, size;
        BusHeader header;
        gsize blob_size;

        g_dbus_message_set_sender(message, NULL);
        blob = to_blob(message, &blob_size);
        g_assert_cmpint(bus_header_sizes(blob, &header_size, &size), ==, 0);
        g_assert_cmpint(bus_header_read(blob, header_size, &header), ==, 0);
        g_assert_null(header.sender);
}

static void check_reply(GDBusMessageByteOrder order) {
        g_autoptr(GDBusMessage) call = new_call(order), reply = NULL, error = NULL;
        g_autofree uint8_t *reply_blob = NULL, *error_blob = NULL;
        size_t header_size, size;
        BusHeader header;
        gsize blob_size;

        reply = g_dbus_message_new_method_reply(call);
        g_dbus_message_set_byte_order(reply, order);
        g_dbus_message_set_serial(reply, 9);
        g_dbus_message_set_body(reply, g_variant_new("(u)", 0x05060708));
        reply_blob = to_blob(reply, &blob_size);
        g_assert_cmpint(bus_header_sizes(reply_blob, &header_size, &size), ==, 0);
        g_assert_cmpint(bus_header_read(reply_blob, header_size, &header), ==, 0);
        g_assert_cmpuint(header.type, ==, SD_BUS_MESSAGE_METHOD_RETURN);
        g_assert_cmpuint(header.reply_serial, ==, 0x01020304);
        g_assert_cmpstr(header.destination, ==, ":1.23");
        g_assert_null(header.error_name);
        g_assert_cmpuint(bus_header_read_number(reply_blob, header_size), ==, 0x05060708);

        error = g_dbus_message_new_method_error_literal(call, "a.b.C", "text");
        g_dbus_message_set_byte_order(error, order);
        g_dbus_message_set_serial(error, 9);
        error_blob = to_blob(error, &blob_size);
        g_assert_cmpint(bus_header_sizes(error_blob, &header_size, &size), ==, 0);
        g_assert_cmpint(bus_header_read(error_blob, header_size, &header), ==, 0);
        g_assert_cmpuint(header.type, ==, SD_BUS_MESSAGE_METHOD_ERROR);
        g_assert_cmpuint(header.reply_serial, ==, 0x01020304);
        g_assert_cmpstr(header.error_name, ==, "a.b.C");
}

static void test_reply(void) {
        check_reply(G_DBUS_MESSAGE_BYTE_ORDER_LITTLE_ENDIAN);
        check_reply(G_DBUS_MESSAGE_BYTE_ORDER_BIG_ENDIAN);
}

/* Each byte wrong in each way: nothing is read beyond the header, and a size is never too small for it. */
static void test_broken(void) {
        g_autoptr(GDBusMessage) message = new_call(G_DBUS_MESSAGE_BYTE_ORDER_LITTLE_ENDIAN);
        gsize blob_size;
        g_autofree uint8_t *blob = to_blob(message, &blob_size);
        unsigned n_refused = 0;
        size_t whole_size, size;

        g_assert_cmpint(bus_header_sizes(blob, &whole_size, &size), ==, 0);
        for (size_t i = 0; i < whole_size; i++)
                for (unsigned value = 0; value <= UINT8_MAX; value++) {
                        uint8_t before = blob[i];
                        size_t header_size;
                        char sender[256];

                        blob[i] = (uint8_t) value;
                        if (bus_header_sizes(blob, &header_size, &size) < 0)
                                n_refused++;
                        else {
                                g_assert_cmpuint(header_size, >=, BUS_HEADER_FIXED_SIZE);
                                g_assert_cmpuint(size, >=, header_size);
                                if (header_size <= blob_size && read_copy(blob, header_size, sender) < 0)
                                        n_refused++;
                        }
                        blob[i] = before;
                }

        g_assert_cmpuint(n_refused, >, 0);
}

static void test_sizes(void) {
        static const struct {
                uint8_t message[BUS_HEADER_FIXED_SIZE];
                int result;
        } cases[] = {
                { { 'l', 1, 0, 1 }, 0 },
                { { 'x', 1, 0, 1 }, -EBADMSG },
                { { 'l', 1, 0, 2 }, -EBADMSG },
                { { 'l', 1, 0, 1, 0, 0, 0, 8 }, -EBADMSG }, /* 128 MiB and 16 B */
                { { 'l', 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff },
                  -EBADMSG }, /* no overflow */
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                size_t header_size, size;

                g_assert_cmpint(bus_header_sizes(cases[i].message, &header_size, &size), ==, cases[i].result);
        }
}

static GDBusMessage *write_call(const BusCall *call) {
        uint8_t buffer[BUS_HEADER_CALL_SIZE_MAX];
        g_autoptr(GError) error = NULL;
        GDBusMessage *message;
        size_t size;

        size = bus_header_write_call(buffer, call);
        message = g_dbus_message_new_from_blob(buffer, size, G_DBUS_CAPABILITY_FLAGS_NONE, &error);
        g_assert_no_error(error);
        g_assert_cmpint(g_dbus_message_get_message_type(message), ==, G_DBUS_MESSAGE_TYPE_METHOD_CALL);
        g_assert_cmpint(g_dbus_message_get_flags(message), ==, G_DBUS_MESSAGE_FLAGS_NONE);
        g_assert_cmpuint(g_dbus_message_get_serial(message), ==, call->serial);
        g_assert_cmpstr(g_dbus_message_get_path(message), ==, call->path);
        g_assert_cmpstr(g_dbus_message_get_interface(message), ==, call->interface);
        g_assert_cmpstr(g_dbus_message_get_member(message), ==, call->member);
        g_assert_cmpstr(g_dbus_message_get_sender(message), ==, call->sender);
        g_assert_cmpstr(g_dbus_message_get_destination(message), ==, call->destination);
        return message;
}

static void test_write(void) {
        BusCall call = { .serial = 77, .path = "/a", .interface = "b.c", .member = "D" };
        g_autoptr(GDBusMessage) from = NULL, to = NULL;
        const char *argument;

        call.sender = ":1.5";
        from = write_call(&call);
        g_assert_null(g_dbus_message_get_body(from));

        call.sender = NULL;
        call.destination = "e.f";
        call.argument = ":1.23";
        to = write_call(&call);
        g_variant_get(g_dbus_message_get_body(to), "(&s)", &argument);
        g_assert_cmpstr(argument, ==, call.argument);
}

/* With the longest strings the buffer is still large enough. */
static void test_write_longest(void) {
        g_autofree char *path = g_strnfill(32, 'a'), *interface = g_strnfill(32, 'b'),
                        *member = g_strnfill(32, 'c'), *destination = g_strnfill(32, 'd'),
                        *argument = g_strnfill(32, 'e');
        g_autoptr(GDBusMessage) message = NULL;

        path[0] = '/';
        interface[1] = destination[1] = '.';
        message = write_call(&(BusCall){ .serial = 1,
                                         .path = path,
                                         .interface = interface,
                                         .member = member,
                                         .destination = destination,
                                         .argument = argument });
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/bus-header/read", test_read);
        g_test_add_func("/bus-header/without-sender", test_without_sender);
        g_test_add_func("/bus-header/reply", test_reply);
        g_test_add_func("/bus-header/broken", test_broken);
        g_test_add_func("/bus-header/sizes", test_sizes);
        g_test_add_func("/bus-header/write", test_write);
        g_test_add_func("/bus-header/write-longest", test_write_longest);

        return g_test_run();
}
