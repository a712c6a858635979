/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A FUSE filesystem with one file, "data", whose pages stay dirty in the kernel (FUSE_WRITEBACK_CACHE). While
 * this server is stopped, writing them back hangs.
 *
 *   fuse-server DIR    mounts it on DIR and serves until it is unmounted
 *
 * Implements the kernel's protocol (linux/fuse.h) without a library, and is linked statically, so that it
 * runs in any guest.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILE_ID 2
#define FILE_SIZE (16U * 1024 * 1024)
#define CACHED_SEC 3600
#define WRITE_MAX (128U * 1024)

static int reply(int fd, uint64_t id, int error, const void *data, size_t size) {
        struct fuse_out_header header = {
                .len = (uint32_t) (sizeof(header) + size),
                .error = error,
                .unique = id,
        };
        struct iovec parts[] = { { &header, sizeof(header) }, { (void *) data, size } };

        return writev(fd, parts, size > 0 ? 2 : 1) < 0 ? -errno : 0;
}

static struct fuse_attr attributes_of(uint64_t id) {
        return (struct fuse_attr){
                .ino = id,
                .size = id == FILE_ID ? FILE_SIZE : 0,
                .mode = id == FILE_ID ? S_IFREG | 0644 : S_IFDIR | 0755,
                .nlink = 1,
                .blksize = 4096,
        };
}

static int reply_init(int fd, uint64_t id) {
        struct fuse_init_out out = {
                .major = FUSE_KERNEL_VERSION,
                .minor = 31,
                .flags = FUSE_WRITEBACK_CACHE | FUSE_BIG_WRITES,
                .max_write = WRITE_MAX,
        };

        return reply(fd, id, 0, &out, sizeof(out));
}

static int reply_lookup(int fd, uint64_t id, const char *name) {
        struct fuse_entry_out out = {
                .nodeid = FILE_ID,
                .entry_valid = CACHED_SEC,
                .attr_valid = CACHED_SEC,
                .attr = attributes_of(FILE_ID),
        };

        if (strcmp(name, "data") != 0)
                return reply(fd, id, -ENOENT, NULL, 0);
        return reply(fd, id, 0, &out, sizeof(out));
}

static int reply_attributes(int fd, uint64_t id, uint64_t node) {
        struct fuse_attr_out out = { .attr_valid = CACHED_SEC, .attr = attributes_of(node) };

        return reply(fd, id, 0, &out, sizeof(out));
}

static int reply_read(int fd, uint64_t id, uint32_t size) {
        static const char zeros[WRITE_MAX];

        return reply(fd, id, 0, zeros, size < sizeof(zeros) ? size : sizeof(zeros));
}

static int serve(int fd, const struct fuse_in_header *header, const void *body) {
        struct fuse_write_out written;

        switch (header->opcode) {
        case FUSE_INIT:
                return reply_init(fd, header->unique);
        case FUSE_LOOKUP:
                return reply_lookup(fd, header->unique, body);
        case FUSE_GETATTR:
        case FUSE_SETATTR:
                return reply_attributes(fd, header->unique, header->nodeid);
        case FUSE_OPEN:
        case FUSE_OPENDIR:
                return reply(fd, header->unique, 0, &(struct fuse_open_out){}, sizeof(struct fuse_open_out));
        case FUSE_READ:
                return reply_read(fd, header->unique, ((const struct fuse_read_in *) body)->size);
        case FUSE_WRITE:
                written = (struct fuse_write_out){ .size = ((const struct fuse_write_in *) body)->size };
                return reply(fd, header->unique, 0, &written, sizeof(written));
        case FUSE_FLUSH:
        case FUSE_FSYNC:
        case FUSE_RELEASE:
        case FUSE_RELEASEDIR:
                return reply(fd, header->unique, 0, NULL, 0);
        case FUSE_FORGET:
        case FUSE_BATCH_FORGET:
        case FUSE_INTERRUPT:
                return 0; /* these have no reply */
        default:
                return reply(fd, header->unique, -ENOSYS, NULL, 0);
        }
}

int main(int argc, char *argv[]) {
        static char request[WRITE_MAX + 8192] __attribute__((aligned(8)));
        char options[128];
        int fd;

        if (argc != 2) {
                fprintf(stderr, "usage: fuse-server DIR\n");
                return EXIT_FAILURE;
        }

        fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
        if (fd < 0) {
                fprintf(stderr, "fuse-server: cannot open /dev/fuse: %m\n");
                return EXIT_FAILURE;
        }
        snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
        if (mount("fuse-server", argv[1], "fuse", 0, options) < 0) {
                fprintf(stderr, "fuse-server: cannot mount on %s: %m\n", argv[1]);
                return EXIT_FAILURE;
        }

        for (;;) {
                ssize_t n = read(fd, request, sizeof(request));

                if (n < 0 && errno == ENODEV)
                        return EXIT_SUCCESS; /* unmounted */
                if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT))
                        continue;
                if (n < (ssize_t) sizeof(struct fuse_in_header)) {
                        fprintf(stderr, "fuse-server: cannot read a request: %m\n");
                        return EXIT_FAILURE;
                }
                if (serve(fd, (const struct fuse_in_header *) request,
                          request + sizeof(struct fuse_in_header)) < 0) {
                        fprintf(stderr, "fuse-server: cannot reply: %m\n");
                        return EXIT_FAILURE;
                }
        }
}
