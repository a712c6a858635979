/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "syncer-priority.h"

#include <linux/capability.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "log.h"
#include "privileges.h"

void priority_init(SyncerPriority *priority, const char *socket_path) {
        *priority = (SyncerPriority){
                .socket_path = socket_path,
                .fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
        };
}

void priority_done(SyncerPriority *priority) {
        static const FlushWorkers none = {};

        priority_set(priority, &none);
        closep(&priority->fd);
        priority->fd = -EBADF;
}

/* By address, not over a connection: another program may listen there by now. */
static int send_workers(const SyncerPriority *priority, const FlushWorkers *workers) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        if (!priority->socket_path || priority->fd < 0)
                return -ENOENT;
        if (strlen(priority->socket_path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, priority->socket_path, strlen(priority->socket_path));

        return sendto(priority->fd, workers, sizeof(*workers), MSG_NOSIGNAL,
                      (const struct sockaddr *) &address, sizeof(address)) < 0
                               ? -errno
                               : 0;
}

void priority_self_test(const SyncerPriority *priority) {
        static const FlushWorkers none = {};

        (void) send_workers(priority, &none);
        if (privileges_has(CAP_SYS_NICE))
                flush_priority_self_test();
}

void priority_set(SyncerPriority *priority, const FlushWorkers *workers) {
        int r;

        if (workers->n == 0 && !priority->is_requested)
                return;

        r = send_workers(priority, workers);
        if ((r < 0 && privileges_has(CAP_SYS_NICE)) || priority->own.n > 0)
                r = flush_priority_set(&priority->own, workers);
        priority->is_requested = workers->n > 0;

        if (r < 0 && r != priority->last_error) {
                log_info("Can't give flush workers priority, so syncs may take longer: %s", errno_text(-r));
                priority->last_error = r;
        }
}
