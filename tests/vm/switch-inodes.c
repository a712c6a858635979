/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Makes the kernel switch very many inodes, for the VM tests: inodes that belong to one cgroup, which is then
 * removed.
 *
 *   switch-inodes create DIR COUNT   COUNT small files in 20 folders, each last read a year ago
 *   switch-inodes read DIR...        opens and reads each of them
 *   switch-inodes write DIR COUNT    COUNT small files in 20 folders, written and synced
 *
 * On a filesystem that is mounted with lazytime and strictatime, each read makes the inode dirty in the
 * reader's cgroup. So run "read" as the only process of a cgroup with the memory and io controllers, while
 * the inodes are not in memory. When it ends and its cgroup is removed, the kernel moves them all to the
 * parent. After "write" in such a cgroup they are clean, and move as well.
 *
 * Linked statically, so that it runs in any guest.
 */

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FOLDERS 20U
#define COUNT_MAX 10000000UL
#define YEAR_SEC (365 * 24 * 60 * 60)

static int fail(const char *what, const char *path) {
        int r = -errno;

        fprintf(stderr, "switch-inodes: cannot %s %s: %s\n", what, path, strerror(-r));
        return r;
}

/* times may be NULL. */
static int create_file(const char *path, const struct timespec times[2]) {
        static const char text[] = "a few bytes\n";
        int fd, r = 0;

        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0)
                return fail("create", path);

        if (write(fd, text, sizeof(text) - 1) != (ssize_t) (sizeof(text) - 1))
                r = fail("write", path);
        else if (times && futimens(fd, times) < 0)
                r = fail("set the times of", path);

        close(fd);
        return r;
}

static int create_files(const char *directory, unsigned long count, const struct timespec times[2]) {
        char path[4096];
        int r;

        for (unsigned folder = 0; folder < FOLDERS; folder++) {
                snprintf(path, sizeof(path), "%s/%u", directory, folder);
                if (mkdir(path, 0755) < 0)
                        return fail("create", path);
        }

        for (unsigned long i = 0; i < count; i++) {
                snprintf(path, sizeof(path), "%s/%lu/%lu", directory, i % FOLDERS, i / FOLDERS);
                r = create_file(path, times);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int create(const char *directory, unsigned long count) {
        struct timespec times[2];

        clock_gettime(CLOCK_REALTIME, &times[0]);
        times[0].tv_sec -= YEAR_SEC;
        times[1] = times[0];
        return create_files(directory, count, times);
}

static int write_and_sync(const char *directory, unsigned long count) {
        int r;

        r = create_files(directory, count, NULL);
        if (r < 0)
                return r;

        /* The kernel moves no inode of a cgroup that has a dirty one. Hence sync(2): syncfs(2) leaves the
         * inode of the block device dirty. And a second one, since the writes of the first make inodes dirty
         * again: with one sync, no worker spun in one run of two. */
        sync();
        sleep(1);
        sync();
        printf("wrote %lu files\n", count);
        return 0;
}

static int read_file(const char *path) {
        char buffer[64];
        int fd, r = 0;

        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return fail("open", path);

        if (read(fd, buffer, sizeof(buffer)) < 0)
                r = fail("read", path);

        close(fd);
        return r;
}

/* directories ends with NULL. */
static int read_all(char *const *directories) {
        unsigned long count = 0;
        FTSENT *entry;
        FTS *tree;
        int r = 0;

        /* FTS_NOSTAT: what is not a folder is read, and lost+found and the like are empty. */
        tree = fts_open(directories, FTS_PHYSICAL | FTS_NOCHDIR | FTS_NOSTAT | FTS_XDEV, NULL);
        if (!tree)
                return fail("read", directories[0]);

        while (r >= 0 && (errno = 0, entry = fts_read(tree)))
                switch (entry->fts_info) {
                case FTS_ERR:
                case FTS_DNR:
                        errno = entry->fts_errno;
                        r = fail("read", entry->fts_path);
                        break;
                case FTS_F:
                case FTS_NSOK:
                        r = read_file(entry->fts_path);
                        count++;
                        break;
                default:
                        break;
                }
        if (r >= 0 && errno != 0)
                r = fail("read", directories[0]);

        fts_close(tree);
        if (r < 0)
                return r;

        printf("read %lu files\n", count);
        return 0;
}

static int parse_count(const char *text, unsigned long *ret) {
        unsigned long count;
        char *end;

        errno = 0;
        count = strtoul(text, &end, 10);
        if (errno != 0 || *end != '\0' || text[0] < '0' || text[0] > '9' || count < 1 || count > COUNT_MAX) {
                fprintf(stderr, "switch-inodes: bad COUNT \"%s\": not a number from 1 to %lu\n", text,
                        COUNT_MAX);
                return -EINVAL;
        }

        *ret = count;
        return 0;
}

int main(int argc, char *argv[]) {
        unsigned long count;
        int r;

        if (argc == 4 && (strcmp(argv[1], "create") == 0 || strcmp(argv[1], "write") == 0)) {
                if (parse_count(argv[3], &count) < 0)
                        return EXIT_FAILURE;
                r = argv[1][0] == 'c' ? create(argv[2], count) : write_and_sync(argv[2], count);
                return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        }

        if (argc >= 3 && strcmp(argv[1], "read") == 0)
                return read_all(argv + 2) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;

        fprintf(stderr, "usage: switch-inodes create DIR COUNT\n"
                        "       switch-inodes read DIR...\n"
                        "       switch-inodes write DIR COUNT\n");
        return EXIT_FAILURE;
}
