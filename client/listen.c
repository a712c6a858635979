/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "listen.h"

#include <glib.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define BACKLOG 128

#define PORT_MAX 65535

/* Splits an address; *ret_host is NULL for all addresses. */
static int split(const char *address, char **ret_host, char **ret_port) {
        const char *colon = strrchr(address, ':');
        g_autofree char *host = NULL;
        guint64 port;

        if (!colon || !g_ascii_string_to_unsigned(colon + 1, 10, 0, PORT_MAX, &port, NULL))
                return -EINVAL;
        host = g_strndup(address, (size_t) (colon - address));
        if (*host == '[') {
                if (!g_str_has_suffix(host, "]"))
                        return -EINVAL;
                memmove(host, host + 1, strlen(host));
                host[strlen(host) - 1] = '\0';
        } else if (strchr(host, ':'))
                return -EINVAL;

        *ret_port = g_strdup(colon + 1);
        *ret_host = *host ? g_steal_pointer(&host) : NULL;
        return 0;
}

static int open_socket(const struct addrinfo *info, bool both_families) {
        _cleanup_close_ int fd = -EBADF;
        int on = 1, only_v6 = !both_families;

        fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
                return -errno;
        if (info->ai_family == AF_INET6 &&
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof(only_v6)) < 0)
                return -errno;
        if (bind(fd, info->ai_addr, info->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
                return -errno;
        return take_fd(&fd);
}

/* The first address that works. Of the addresses for all, that of IPv6 is for both families. */
static int open_first(const struct addrinfo *list, bool is_all) {
        int r = -EADDRNOTAVAIL;

        for (int family = AF_INET6; is_all && family == AF_INET6; family = AF_UNSPEC)
                for (const struct addrinfo *info = list; info && r < 0; info = info->ai_next)
                        if (info->ai_family == family)
                                r = open_socket(info, true);
        for (const struct addrinfo *info = list; info && r < 0 && r != -EADDRINUSE; info = info->ai_next)
                r = open_socket(info, false);
        return r;
}

int listen_on(const char *address, int *ret_fd, char **ret_error) {
        static const struct addrinfo hints = {
                .ai_socktype = SOCK_STREAM,
                .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
        };
        g_autofree char *host = NULL, *port = NULL;
        struct addrinfo *list;
        int r;

        r = split(address, &host, &port);
        if (r < 0) {
                *ret_error = g_strdup_printf(
                                "\"%s\" is not an address: expected HOST:PORT, [IPv6]:PORT or :PORT, with a "
                                "port from 0 to %d",
                                address, PORT_MAX);
                return r;
        }
        r = getaddrinfo(host, port, &hints, &list);
        if (r != 0) {
                *ret_error = g_strdup_printf("\"%s\": %s", address, gai_strerror(r));
                return -EADDRNOTAVAIL;
        }
        r = open_first(list, !host);
        freeaddrinfo(list);
        if (r < 0) {
                *ret_error = g_strdup_printf("cannot listen on \"%s\": %s", address, errno_text(-r));
                return r;
        }
        *ret_fd = r;
        return 0;
}

char *listen_describe(int fd) {
        struct sockaddr_storage address = {};
        socklen_t size = sizeof(address);
        char host[NI_MAXHOST], port[NI_MAXSERV];

        if (getsockname(fd, (struct sockaddr *) &address, &size) < 0 ||
            (address.ss_family != AF_INET && address.ss_family != AF_INET6) ||
            getnameinfo((struct sockaddr *) &address, size, host, sizeof(host), port, sizeof(port),
                        NI_NUMERICHOST | NI_NUMERICSERV) != 0)
                return g_strdup("a socket");
        return g_strdup_printf(strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}
