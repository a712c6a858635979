/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "destination.h"

#include <glib.h>

#include "client.h"

#define DEFAULT_ADDRESS "unix:path=/run/dbus/system_bus_socket"

/* wbwatchd(8) has them. */
#define SOCKET_PRIVATE "/run/wbwatchd/private"
#define SOCKET_PUBLIC "/run/wbwatchd/public"

static Destination wanted = { .kind = DESTINATION_BUS };

static const char *named_bus(void) {
        const char *address = getenv("DBUS_SYSTEM_BUS_ADDRESS");

        return address && *address ? address : NULL;
}

const Destination *destination_sockets(void) {
        static const Destination sockets[] = {
                { DESTINATION_SOCKET, SOCKET_PRIVATE },
                { DESTINATION_SOCKET, SOCKET_PUBLIC },
                {},
        };

        return named_bus() ? sockets + ELEMENTSOF(sockets) - 1 : sockets;
}

const Destination *destination_get(void) {
        return &wanted;
}

bool destination_is_remote(void) {
        return wanted.kind == DESTINATION_HOST || wanted.kind == DESTINATION_MACHINE;
}

bool destination_is_container(void) {
        return wanted.kind == DESTINATION_MACHINE ||
               (wanted.kind == DESTINATION_HOST && strchr(wanted.name, '/'));
}

bool destination_is_below(const char *root) {
        return streq(root, "/") || named_bus() || wanted.kind == DESTINATION_SOCKET;
}

/* The command line */

/* libsystemd ignores a container with an invalid name, or one of digits alone, and connects to the host. */
static bool container_is_valid(const char *name) {
        return strlen(name) <= 64 && g_regex_match_simple(
                                                     "^(?=.*[^0-9])[a-zA-Z0-9_-]+([.][a-zA-Z0-9_-]+)*$", name,
                                                     G_REGEX_DOLLAR_ENDONLY, 0);
}

static bool port_is_valid(const char *text) {
        guint64 port;

        return g_ascii_string_to_unsigned(text, 10, 1, UINT16_MAX, &port, NULL);
}

/* No part begins with a dash: ssh would take it for an option. */
#define HOST_REGEX                                                                                           \
        "^(?:(?<user>[^/\\s-][^/\\s]*)@)?"                                                                   \
        "(?:\\[(?<address>[0-9a-fA-F:.]+(?:%[0-9a-zA-Z_.-]+)?)\\]|(?<name>[^][:/@\\s-][^][:/@\\s]*))"        \
        "(?::(?<port>[^/]*))?(?:/(?<container>.*))?$"

/* NULL where the part is missing; "" where it is empty. */
static char *take_part(const GMatchInfo *match, const char *name) {
        int begin, end;

        if (!g_match_info_fetch_named_pos(match, name, &begin, &end) || begin < 0)
                return NULL;
        return g_match_info_fetch_named(match, name);
}

bool host_parse(const char *text, Host *ret) {
        g_autoptr(GRegex) regex = g_regex_new(HOST_REGEX, G_REGEX_DOLLAR_ENDONLY | G_REGEX_RAW, 0, NULL);
        g_autoptr(GMatchInfo) match = NULL;

        *ret = (Host){};
        if (!g_regex_match(regex, text, 0, &match))
                return false;
        *ret = (Host){
                .user = take_part(match, "user"),
                .name = take_part(match, "address") ?: take_part(match, "name"),
                .port = take_part(match, "port"),
                .container = take_part(match, "container"),
        };
        return true;
}

void host_done(Host *host) {
        g_free(host->user);
        g_free(host->name);
        g_free(host->port);
        g_free(host->container);
}

static char *check_host(const char *text) {
        _cleanup_(host_done) Host host = {};

        if (!host_parse(text, &host))
                return g_strdup_printf("--host: \"%s\" is not [USER@]HOST[:PORT][/CONTAINER]", text);
        if (host.port && !port_is_valid(host.port))
                return g_strdup_printf("--host: the port \"%s\" is not a number from 1 to 65535", host.port);
        if (host.container && !container_is_valid(host.container))
                return g_strdup_printf("--host: \"%s\" is not the name of a container", host.container);
        return NULL;
}

/* What is wrong, or NULL. */
static char *check(const char *socket, const char *host, const char *machine) {
        if (!!socket + !!host + !!machine > 1)
                return g_strdup("Give only one of --socket, --host and --machine");
        if (host)
                return check_host(host);
        if (machine && !container_is_valid(machine))
                return g_strdup_printf("--machine: \"%s\" is not the name of a container", machine);
        if (socket && !*socket)
                return g_strdup("--socket: the path is empty");
        return NULL;
}

char *destination_set(const char *socket, const char *host, const char *machine) {
        char *words = check(socket, host, machine);

        if (!words)
                wanted = (Destination){
                        .kind = socket    ? DESTINATION_SOCKET
                                : host    ? DESTINATION_HOST
                                : machine ? DESTINATION_MACHINE
                                          : DESTINATION_BUS,
                        .name = socket    ?: host ?: machine,
                };
        return words;
}

/* Connecting */

/* wbwatchd is at the other end itself: there is no Hello, and there are no names. */
static int start_socket(const char *path, sd_bus **ret) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        g_autofree char *escaped = g_uri_escape_string(path, "/", FALSE), *address = NULL;
        int r;

        address = g_strdup_printf("unix:path=%s", escaped);
        r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_address(bus, address);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r < 0)
                return r;
        *ret = TAKE_POINTER(bus);
        return 0;
}

int destination_start(const Destination *destination, sd_bus **ret) {
        switch (destination->kind) {
        case DESTINATION_SOCKET:
                return start_socket(destination->name, ret);
        case DESTINATION_HOST:
                return sd_bus_open_system_remote(ret, destination->name);
        case DESTINATION_MACHINE:
                return sd_bus_open_system_machine(ret, destination->name);
        default:
                return sd_bus_open_system(ret);
        }
}

/* Messages */

char *destination_format(const Destination *destination) {
        switch (destination->kind) {
        case DESTINATION_SOCKET:
                return g_strdup_printf("wbwatchd at %s", destination->name);
        case DESTINATION_HOST:
                return g_strdup(destination->name);
        case DESTINATION_MACHINE:
                return g_strdup_printf("the container %s", destination->name);
        default:
                return g_strdup_printf("the system bus at %s", named_bus() ?: DEFAULT_ADDRESS);
        }
}

char *destination_suffix(void) {
        g_autofree char *name = NULL;

        if (!destination_is_remote())
                return g_strdup("");
        name = destination_format(&wanted);
        return g_strdup_printf(" %s %s", wanted.kind == DESTINATION_HOST ? "on" : "in", name);
}

static int explain_host(const char *host, int error, char **ret_words) {
        *ret_words = error == -ETIMEDOUT
                                     ? g_strdup_printf("%s did not answer in time.", host)
                                     : g_strdup_printf("No connection to the system bus of %s: %s.\n"
                                                       "If ssh printed no reason: systemd-stdio-bridge is "
                                                       "needed there, and a bus.\nWithout a bus: `ssh HOST "
                                                       "wbctl ...`.",
                                                       host, g_strerror(-error));
        return EXIT_NO_BUS;
}

static int explain_machine(const char *machine, int error, char **ret_words) {
        if (error == -ETIMEDOUT)
                *ret_words = g_strdup_printf("The system bus of the container %s does not answer.", machine);
        else if (error == -EHOSTDOWN)
                *ret_words = g_strdup_printf(
                                "There is no running container %s: `machinectl` lists them.", machine);
        else if (error == -EPERM || error == -EACCES) {
                *ret_words = g_strdup_printf(
                                "Only root may enter the container %s: run wbctl with sudo.", machine);
                return EXIT_NOT_AUTHORIZED;
        } else
                *ret_words = g_strdup_printf(
                                "No system bus in the container %s: %s.", machine, g_strerror(-error));
        return EXIT_NO_BUS;
}

static int explain_socket(const char *path, int error, char **ret_words) {
        switch (error) {
        case -ETIMEDOUT:
                *ret_words = g_strdup_printf("wbwatchd at %s does not answer.", path);
                return EXIT_FAILURE;
        case -EACCES:
        case -EPERM:
                *ret_words = g_strdup_printf(
                                "Not authorized to use %s.\nRun wbctl with sudo; or only read, "
                                "with --socket=" SOCKET_PUBLIC ".",
                                path);
                return EXIT_NOT_AUTHORIZED;
        default:
                *ret_words =
                                g_strdup_printf("wbwatchd is not running, or has no socket at %s: %s.\n"
                                                "In a container, the host's /run/wbwatchd must be mounted.",
                                                path, g_strerror(-error));
                return EXIT_NO_DAEMON;
        }
}

static int explain_bus(int error, char **ret_words) {
        const char *address = named_bus() ?: DEFAULT_ADDRESS;

        if (error == -ETIMEDOUT)
                *ret_words = g_strdup_printf(
                                "The system bus at %s does not answer. wbwatchd keeps working "
                                "without it; see its log.",
                                address);
        else if (named_bus())
                *ret_words = g_strdup_printf(
                                "No system bus at %s: %s.\nStart dbus.service. Without a bus, "
                                "unset DBUS_SYSTEM_BUS_ADDRESS, or use --socket.",
                                address, g_strerror(-error));
        else
                *ret_words = g_strdup_printf(
                                "No system bus at %s: %s; and no socket of wbwatchd in "
                                "/run/wbwatchd.\nStart wbwatchd, and dbus.service if there is "
                                "one. In a container, mount the host's /run/wbwatchd.\n"
                                "If wbwatchd is on another bus or socket, set "
                                "DBUS_SYSTEM_BUS_ADDRESS or --socket.",
                                address, g_strerror(-error));
        return EXIT_NO_BUS;
}

int destination_explain(const Destination *destination, int error, char **ret_words) {
        switch (destination->kind) {
        case DESTINATION_SOCKET:
                return explain_socket(destination->name, error, ret_words);
        case DESTINATION_HOST:
                return explain_host(destination->name, error, ret_words);
        case DESTINATION_MACHINE:
                return explain_machine(destination->name, error, ret_words);
        default:
                return explain_bus(error, ret_words);
        }
}
