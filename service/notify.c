/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The protocol of sd_notify(3): each message is a datagram of assignments to the AF_UNIX socket that
 * $NOTIFY_SOCKET names; a leading @ means the abstract namespace. */

#include "notify.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "log.h"

#define READY_INTERVAL_USEC (250 * USEC_PER_MSEC)

static struct {
        int fd;
        struct sockaddr_un address;
        socklen_t address_size;
        sd_event_source *ready_source; /* repeats READY=1 */
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
        the_manager.ready_source = sd_event_source_disable_unref(the_manager.ready_source);
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

static int on_ready_due(sd_event_source *source, uint64_t usec, void *userdata) {
        if (notify_send("READY=1") >= 0)
                return 0;

        /* A timer, not EPOLLOUT: the error may be another than a full socket, and the socket may be replaced.
         */
        (void) sd_event_source_set_time_relative(source, READY_INTERVAL_USEC);
        (void) sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

void notify_ready(sd_event *event) {
        int r;

        the_manager.ready_source = sd_event_source_disable_unref(the_manager.ready_source);
        r = notify_send("READY=1");
        if (r >= 0)
                return;

        log_debug("The service manager does not accept READY=1, retrying: %s", errno_text(-r));
        r = sd_event_add_time_relative(
                        event, &the_manager.ready_source, CLOCK_MONOTONIC, READY_INTERVAL_USEC, 0,
                        on_ready_due, NULL);
        if (r < 0)
                log_error("Can't repeat READY=1 to the service manager: %s", errno_text(-r));
}
