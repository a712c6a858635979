/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The service manager's end of sd_notify(3): see notify-socket.h. */

#include "notify-socket.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "deadline.h"

NotifySocket notify_socket_new(const char *folder) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        NotifySocket notify = { .path = g_build_filename(folder, "notify", NULL) };

        g_assert_cmpuint(
                        g_strlcpy(address.sun_path, notify.path, sizeof(address.sun_path)), <,
                        sizeof(address.sun_path));
        notify.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        g_assert_no_errno(notify.fd);
        g_assert_no_errno(bind(notify.fd, (const struct sockaddr *) &address, sizeof(address)));
        g_assert_no_errno(chmod(notify.path, 0666));
        return notify;
}

void notify_socket_done(NotifySocket *notify) {
        g_assert_no_errno(close(notify->fd));
        g_assert_no_errno(unlink(notify->path));
        g_free(notify->path);
        *notify = (NotifySocket){};
}

void notify_socket_drain(const NotifySocket *notify) {
        char byte;

        while (recv(notify->fd, &byte, 1, MSG_DONTWAIT) >= 0)
                ;
}

char *notify_socket_take(const NotifySocket *notify, gint64 deadline_usec) {
        struct pollfd message = { .fd = notify->fd, .events = POLLIN };
        char buffer[4096];
        ssize_t n;

        if (poll(&message, 1, deadline_msec_left(deadline_usec)) != 1)
                return NULL;

        n = recv(notify->fd, buffer, sizeof(buffer), 0);
        g_assert_no_errno(n);
        return g_strndup(buffer, (size_t) n);
}

void notify_socket_wait(const NotifySocket *notify, const char *text, gint64 deadline_usec) {
        g_autoptr(GString) all = g_string_new(NULL);

        for (;;) {
                g_autofree char *message = notify_socket_take(notify, deadline_usec);

                if (!message)
                        g_error("the daemon does not say \"%s\" to the service manager, but\n%s", text,
                                all->str);
                if (strstr(message, text))
                        return;
                g_string_append_printf(all, "  %s\n", message);
        }
}
