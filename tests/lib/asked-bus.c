/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "asked-bus.h"

#include <sys/socket.h>

#include "names.h"

static const char authentication[] = "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";

void asked_bus_init(AskedBus *bus, int *ret_fd) {
        int pair[2];

        g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair));
        *bus = (AskedBus){ .fd = pair[0], .received = g_byte_array_new() };
        *ret_fd = pair[1];
}

void asked_bus_done(AskedBus *bus) {
        g_byte_array_unref(bus->received);
        (void) close(bus->fd);
}

void asked_bus_send(const AskedBus *bus, GDBusMessage *message) {
        g_autoptr(GError) error = NULL;
        g_autofree guchar *blob = NULL;
        gsize size;

        blob = g_dbus_message_to_blob(message, &size, G_DBUS_CAPABILITY_FLAGS_NONE, &error);
        g_assert_no_error(error);
        g_assert_cmpint(send(bus->fd, blob, size, MSG_NOSIGNAL), ==, size);
}

static void answer(
                const AskedBus *bus,
                GDBusMessageType type,
                guint32 serial,
                const char *error,
                GVariant *body) {
        g_autoptr(GDBusMessage) message = g_dbus_message_new();

        g_dbus_message_set_message_type(message, type);
        g_dbus_message_set_serial(message, 1);
        g_dbus_message_set_sender(message, DBUS_NAME);
        g_dbus_message_set_reply_serial(message, serial);
        if (error)
                g_dbus_message_set_error_name(message, error);
        g_dbus_message_set_body(message, body);
        asked_bus_send(bus, message);
}

void asked_bus_answer(const AskedBus *bus, guint32 serial, uid_t uid) {
        answer(bus, G_DBUS_MESSAGE_TYPE_METHOD_RETURN, serial, NULL, g_variant_new("(u)", uid));
}

void asked_bus_refuse(const AskedBus *bus, guint32 serial, const char *error) {
        answer(bus, G_DBUS_MESSAGE_TYPE_ERROR, serial, error, g_variant_new("(s)", "no"));
}

static void receive(const AskedBus *bus) {
        guint8 buffer[4096];
        ssize_t n;

        while ((n = recv(bus->fd, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0)
                g_byte_array_append(bus->received, buffer, (guint) n);
}

/* Answers both lines once all of it has arrived. */
static bool authenticate(AskedBus *bus) {
        static const char lines[] = "DATA\r\nOK " ASKED_BUS_GUID "\r\n";
        const guint size = sizeof(authentication) - 1;

        if (bus->authenticated)
                return true;
        if (bus->received->len < size)
                return false;

        g_assert_cmpmem(bus->received->data, size, authentication, size);
        g_byte_array_remove_range(bus->received, 0, size);
        g_assert_cmpint(send(bus->fd, lines, sizeof(lines) - 1, MSG_NOSIGNAL), ==, sizeof(lines) - 1);
        bus->authenticated = true;
        return true;
}

/* NULL: none has come. */
static GDBusMessage *take_message(AskedBus *bus) {
        g_autoptr(GError) error = NULL;
        GDBusMessage *message;
        gssize size;

        if (bus->received->len < 16)
                return NULL;
        size = g_dbus_message_bytes_needed(bus->received->data, bus->received->len, &error);
        g_assert_no_error(error);
        if (bus->received->len < size)
                return NULL;

        message = g_dbus_message_new_from_blob(
                        bus->received->data, (gsize) size, G_DBUS_CAPABILITY_FLAGS_NONE, &error);
        g_assert_no_error(error);
        g_byte_array_remove_range(bus->received, 0, (guint) size);
        g_assert_cmpstr(g_dbus_message_get_destination(message), ==, DBUS_NAME);
        g_assert_cmpstr(g_dbus_message_get_path(message), ==, DBUS_PATH);
        g_assert_cmpstr(g_dbus_message_get_interface(message), ==, DBUS_INTERFACE);
        return message;
}

bool asked_bus_take(AskedBus *bus, guint32 *ret_serial, char **ret_name) {
        receive(bus);
        while (authenticate(bus)) {
                g_autoptr(GDBusMessage) message = take_message(bus);

                if (!message)
                        return false;
                if (g_strcmp0(g_dbus_message_get_member(message), "Hello") == 0) {
                        answer(bus, G_DBUS_MESSAGE_TYPE_METHOD_RETURN, g_dbus_message_get_serial(message),
                               NULL, g_variant_new("(s)", ":1.0"));
                        continue;
                }

                g_assert_cmpstr(g_dbus_message_get_member(message), ==, "GetConnectionUnixUser");
                *ret_serial = g_dbus_message_get_serial(message);
                g_variant_get(g_dbus_message_get_body(message), "(s)", ret_name);
                return true;
        }

        return false;
}
