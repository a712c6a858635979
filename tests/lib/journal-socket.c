/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "journal-socket.h"

#include <glib.h>
#include <glib/gstdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int journal_new(void) {
        const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };
        g_autofree char *folder = g_path_get_dirname(JOURNAL_SOCKET);
        int fd;

        g_assert_no_errno(g_mkdir_with_parents(folder, 0755));
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        g_assert_no_errno(fd);
        g_assert_no_errno(bind(fd, (const struct sockaddr *) &address, sizeof(address)));
        return fd;
}

void journal_free(int fd) {
        g_assert_no_errno(close(fd));
        g_assert_no_errno(unlink(JOURNAL_SOCKET));
}
