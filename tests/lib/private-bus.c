/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A private system bus: see private-bus.h. */

#include "private-bus.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "deadline.h"
#include "macro.h"
#include "surroundings.h"

#define OPEN_POLICY                                                                                          \
        "<policy context='default'><allow user='*'/><allow own='*'/>"                                        \
        "<allow send_destination='*'/><allow receive_sender='*'/></policy>\n"

/* As /usr/share/dbus-1/system.conf has it. */
#define SYSTEM_POLICY                                                                                        \
        "<policy context='default'>\n"                                                                       \
        "  <allow user='*'/><deny own='*'/><deny send_type='method_call'/>\n"                                \
        "  <allow send_type='signal'/>\n"                                                                    \
        "  <allow receive_type='method_call'/><allow receive_type='method_return'/>\n"                       \
        "  <allow receive_type='error'/><allow receive_type='signal'/>\n"                                    \
        "  <allow send_requested_reply='true' send_type='method_return'/>\n"                                 \
        "  <allow send_requested_reply='true' send_type='error'/>\n"                                         \
        "  <allow send_destination='org.freedesktop.DBus'"                                                   \
        " send_interface='org.freedesktop.DBus'/>\n"                                                         \
        "</policy>\n"                                                                                        \
        "<include ignore_missing='yes'>"                                                                     \
        "/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf</include>\n"

static char *config_file(const char *folder) {
        return g_build_filename(folder, "bus.conf", NULL);
}

char *private_bus_address(const char *folder) {
        return g_strdup_printf("unix:path=%s/bus", folder);
}

void private_bus_set_policy(const char *folder, BusPolicy policy) {
        g_autofree char *shipped = NULL, *include = NULL, *text = NULL;
        g_autofree char *config = config_file(folder), *address = private_bus_address(folder);
        g_autoptr(GError) error = NULL;

        if (policy == BUS_POLICY_SHIPPED) {
                shipped = fixture_source_file("dbus/org.wbwatch1.conf");
                include = g_strdup_printf("<include>%s</include>\n", shipped);
        }
        text = g_strdup_printf(
                        "<!DOCTYPE busconfig PUBLIC '-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN'"
                        " 'http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd'>\n"
                        "<busconfig>\n"
                        "<type>system</type><listen>%s</listen><auth>EXTERNAL</auth>\n"
                        "<include ignore_missing='yes'>%s/extra.conf</include>\n"
                        "%s%s</busconfig>\n",
                        address, folder, policy == BUS_POLICY_OPEN ? OPEN_POLICY : SYSTEM_POLICY,
                        include ?: "");

        (void) g_file_set_contents(config, text, -1, &error);
        g_assert_no_error(error);
}

void private_bus_set_extra(const char *folder, const char *text) {
        g_autofree char *file = g_build_filename(folder, "extra.conf", NULL);
        g_autofree char *config = g_strdup_printf("<busconfig>%s</busconfig>\n", text);
        g_autoptr(GError) error = NULL;

        (void) g_file_set_contents(file, config, -1, &error);
        g_assert_no_error(error);
}

Process private_bus_start(const char *folder, BusPolicy policy, gint64 deadline_usec) {
        g_autofree char *config = config_file(folder), *option = g_strconcat("--config-file=", config, NULL);
        const char *const arguments[] = {
                "dbus-daemon", option, "--nofork", "--nopidfile", "--nosyslog", "--print-address", NULL,
        };
        struct pollfd printed = { .events = POLLIN };
        char address[256];
        Process bus;

        private_bus_set_policy(folder, policy);
        bus = process_start(arguments, NULL, &printed.fd, NULL);

        /* dbus-daemon prints its address once it listens. */
        if (poll(&printed, 1, deadline_msec_left(deadline_usec)) != 1 ||
            read(printed.fd, address, sizeof(address)) <= 0)
                g_error("the bus does not start");
        g_assert_no_errno(close(printed.fd));
        return bus;
}
