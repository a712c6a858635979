/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Messages to the service manager: see notify.h. The protocol is that of sd_notify(3): one datagram with
 * assignments to the AF_UNIX socket that $NOTIFY_SOCKET names, a leading @ standing for the abstract
 * namespace. */

#include "notify.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct {
        int fd;
        struct sockaddr_un address;
        socklen_t address_size;
} the_manager = {
        .fd = -EBADF,
};

int notify_open(void) {
        const char *path = getenv("NOTIFY_SOCKET");
        size_t length;

        if (!path || !path[0])
                return 0;

        length = strlen(path);
        if ((path[0] != '/' && path[0] != '@') || length >= sizeof(the_manager.address.sun_path))
                return -EINVAL;

        the_manager.address.sun_family = AF_UNIX;
        memcpy(the_manager.address.sun_path, path, length);
        if (path[0] == '@')
                the_manager.address.sun_path[0] = '\0';
        the_manager.address_size = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + length);

        the_manager.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        return the_manager.fd < 0 ? -errno : 0;
}

void notify_close(void) {
        closep(&the_manager.fd);
        the_manager.fd = -EBADF;
}

int notify_send(const char *format, ...) {
        char message[1024];
        va_list arguments;
        int n;

        if (the_manager.fd < 0)
                return 0;

        va_start(arguments, format);
        n = vsnprintf(message, sizeof(message), format, arguments);
        va_end(arguments);
        if (n < 0 || (size_t) n >= sizeof(message))
                return -EMSGSIZE;

        if (sendto(the_manager.fd, message, (size_t) n, MSG_DONTWAIT | MSG_NOSIGNAL,
                   (const struct sockaddr *) &the_manager.address, the_manager.address_size) < 0)
                return -errno;

        return 0;
}
