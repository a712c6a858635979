/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Leaves dirty pages in a file, and keeps it open, because closing would write them back on some filesystems.
 *
 *   dirty-pages FILE [PID]
 *
 * FILE is created if it is missing. PID is a FUSE server: it is stopped (SIGSTOP) after the first page, when
 * it has answered all requests that opening and writing needs. Prints "dirty" when all pages are dirty, and
 * then waits until it is killed.
 *
 * Linked statically, so that it runs in any guest.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PAGE_SIZE 4096
/* Few: the kernel soon blocks writers of a FUSE filesystem whose server does not answer. */
#define PAGES 4

static int fail(const char *what, const char *path) {
        fprintf(stderr, "dirty-pages: cannot %s %s: %m\n", what, path);
        return EXIT_FAILURE;
}

int main(int argc, char *argv[]) {
        static const char page[PAGE_SIZE] = { 'x' };
        int fd;

        if (argc != 2 && argc != 3) {
                fprintf(stderr, "usage: dirty-pages FILE [PID]\n");
                return EXIT_FAILURE;
        }

        fd = open(argv[1], O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0)
                return fail("open", argv[1]);

        for (int i = 0; i < PAGES; i++) {
                if (write(fd, page, sizeof(page)) != (ssize_t) sizeof(page))
                        return fail("write", argv[1]);
                if (i == 0 && argc == 3 && kill((pid_t) atoi(argv[2]), SIGSTOP) < 0)
                        return fail("stop process", argv[2]);
        }

        puts("dirty");
        fflush(stdout);
        for (;;)
                pause();
}
