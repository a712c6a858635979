/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "write-all.h"

int write_all(int fd, const void *data, size_t size) {
        const char *next = data;

        while (size > 0) {
                ssize_t n = write(fd, next, size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;

                next += n;
                size -= (size_t) n;
        }

        return 0;
}
