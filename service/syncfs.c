/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "syncfs.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdalign.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* Since Linux 5.8 and 5.12. The C library headers of Debian 12 lack STATX_MNT_ID. */
#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000U
#endif
#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif

/* A line has at most two escaped paths and the mount options. Longer lines are skipped: only overlays have
 * them. */
#define LINE_MAX_BYTES 16384

/* Reads a file of the kernel line by line. The kernel returns it in parts. */
typedef struct LineReader {
        int fd;
        size_t begin, end; /* what was read but not returned yet */
        bool skipping;     /* the rest of a line that was too long */
} LineReader;

/* For one reader at a time. Static, so that only pages in use are touched: the first, unless there is a
 * longer line. */
#define READER_PAGE ((size_t) 4096)
static alignas(READER_PAGE) char reader_buffer[LINE_MAX_BYTES];

static int line_reader_open(LineReader *reader, const char *path) {
        *reader = (LineReader){ .fd = open(path, O_RDONLY | O_CLOEXEC) };

        return reader->fd < 0 ? -errno : 0;
}

static void line_reader_done(LineReader *reader) {
        closep(&reader->fd);
}

/* Appends more text to the buffer. Returns 0 at the end of the file. */
static int line_reader_fill(LineReader *reader) {
        size_t size;
        ssize_t n;

        memmove(reader_buffer, reader_buffer + reader->begin, reader->end - reader->begin);
        reader->end -= reader->begin;
        reader->begin = 0;

        if (reader->end == sizeof(reader_buffer)) {
                reader->end = 0;
                reader->skipping = true;
        }

        size = reader->end < READER_PAGE ? READER_PAGE : sizeof(reader_buffer);
        do
                n = read(reader->fd, reader_buffer + reader->end, size - reader->end);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;

        reader->end += (size_t) n;
        return n > 0;
}

/* Reads the next line, valid until the next call. Returns 1, 0 at the end, or negative errno. */
static int line_reader_next(LineReader *reader, char **ret) {
        for (;;) {
                char *line = reader_buffer + reader->begin,
                     *end = memchr(line, '\n', reader->end - reader->begin);
                bool skip = reader->skipping;
                int r;

                if (!end) {
                        r = line_reader_fill(reader);
                        if (r <= 0)
                                return r;
                        continue;
                }

                *end = '\0';
                reader->begin = (size_t) (end + 1 - reader_buffer);
                reader->skipping = false;
                if (!skip) {
                        *ret = line;
                        return 1;
                }
        }
}

static int mounts_open(LineReader *reader) {
        return line_reader_open(reader, "/proc/self/mountinfo");
}

/* Reads the next mount. Returns as line_reader_next(). */
static int mounts_next(LineReader *reader, Mount *ret) {
        char *line;
        int r;

        do
                r = line_reader_next(reader, &line);
        while (r > 0 && mount_parse(line, ret) < 0);
        return r;
}

/* Falls back to open(2) if openat2(2) does not exist or a sandbox forbids it. */
static int open_path(const char *path, uint64_t flags, uint64_t resolve) {
        struct open_how how = {
                .flags = flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW,
                .resolve = resolve | RESOLVE_NO_SYMLINKS,
        };
        int fd;

        if (flags & O_PATH)
                how.flags &= ~(uint64_t) (O_NONBLOCK | O_NOCTTY);

        fd = (int) syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
        if (fd < 0 && (errno == ENOSYS || errno == EPERM || errno == EINVAL))
                fd = open(path, (int) how.flags);
        return fd < 0 ? -errno : fd;
}

/* Opens a folder or a file (containers mount files), but nothing else: opening a device would have side
 * effects. */
static int open_mountpoint_once(const char *path, uint64_t resolve) {
        _cleanup_close_ int path_fd = -EBADF;
        struct stat st;
        int fd;

        fd = open_path(path, O_RDONLY | O_DIRECTORY, resolve);
        if (fd != -ENOTDIR)
                return fd;

        path_fd = open_path(path, O_PATH, resolve);
        if (path_fd < 0)
                return path_fd;
        if (fstat(path_fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -ENOTDIR;

        return open_path(path, O_RDONLY, resolve);
}

/* First tries a lookup from the kernel's cache, which never waits for a disk or a server. If that fails, the
 * path leads through a network filesystem or is not cached, and only this helper waits. */
static int open_mountpoint(const char *path, bool may_wait) {
        int fd = open_mountpoint_once(path, RESOLVE_CACHED);

        return fd == -EAGAIN && may_wait ? open_mountpoint_once(path, 0) : fd;
}

/* -ESTALE if the descriptor is not on this mount: another may be mounted over it, or replace it in a sandbox.
 * Before Linux 5.8 only the device is known. With by_device the device must match, too. */
static int check_mount(int fd, const Mount *mount, bool by_device) {
        struct statx stx;
        bool has_id, on_device;

        if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &stx) < 0)
                return -errno;

        has_id = stx.stx_mask & STATX_MNT_ID;
        on_device = stx.stx_dev_major == mount->major && stx.stx_dev_minor == mount->minor;
        if (has_id && stx.stx_mnt_id != mount->id)
                return -ESTALE;
        return on_device || (has_id && !by_device) ? 0 : -ESTALE;
}

/* by_device: see check_mount(). */
static int open_mount(const Mount *mount, bool may_wait, bool by_device) {
        _cleanup_close_ int fd = open_mountpoint(mount->mountpoint, may_wait);
        int r;

        if (fd < 0)
                return fd;
        r = check_mount(fd, mount, by_device);
        if (r < 0)
                return r;
        return take_fd(&fd);
}

/* Opens the filesystem at its mount in the list. While the request waited for a helper, another filesystem
 * may have got the same mount ID. */
static int open_listed(const SyncfsRequest *wanted) {
        const Mount mount = {
                .id = wanted->mount_id,
                .major = wanted->major,
                .minor = wanted->minor,
                .mountpoint = wanted->path,
        };

        return open_mount(&mount, /* may_wait= */ false, /* by_device= */ true);
}

/* Opens the filesystem at the first of its mounts that can be opened, among those that show its root
 * (is_whole), or those that show a part. -ENODEV if there are none. */
static int open_filesystem_by(const SyncfsRequest *wanted, bool is_whole, bool may_wait) {
        _cleanup_(line_reader_done) LineReader reader;
        int r, first_error = -ENODEV;
        Mount mount;

        r = mounts_open(&reader);
        if (r < 0)
                return r;

        while ((r = mounts_next(&reader, &mount)) > 0) {
                int fd;

                if (mount.major != wanted->major || mount.minor != wanted->minor ||
                    mount_is_whole(&mount) != is_whole)
                        continue;

                fd = open_mount(&mount, may_wait, /* by_device= */ false);
                if (fd >= 0)
                        return fd;
                if (first_error == -ENODEV || fd == -EAGAIN)
                        first_error = fd;
        }

        return r < 0 ? r : first_error;
}

static int open_filesystem_once(const SyncfsRequest *wanted, bool may_wait) {
        int whole, part;

        whole = open_filesystem_by(wanted, /* is_whole= */ true, may_wait);
        if (whole >= 0)
                return whole;
        part = open_filesystem_by(wanted, /* is_whole= */ false, may_wait);
        if (part >= 0)
                return part;
        return whole == -ENODEV || part == -EAGAIN ? part : whole;
}

/* Tries all mounts without waiting before it waits for one. That of the list comes first: usually it is
 * there, and then nothing else need be read. Not on Btrfs, whose subvolumes have devices of their own. */
static int open_filesystem(const SyncfsRequest *wanted) {
        int fd = wanted->mount_id != 0 && wanted->major != 0 ? open_listed(wanted) : -ESTALE;

        if (fd >= 0)
                return fd;

        fd = open_filesystem_once(wanted, /* may_wait= */ false);
        return fd == -EAGAIN && !wanted->self_test ? open_filesystem_once(wanted, /* may_wait= */ true) : fd;
}

/* Closes the descriptor at once: while it is open, the filesystem can't be unmounted. */
static size_t serve_filesystem(const SyncfsRequest *wanted, SyncfsReply *reply) {
        int fd = open_filesystem(wanted);

        reply->entered_usec = usec_now(CLOCK_MONOTONIC);
        if (fd < 0) {
                reply->error = fd;
                return sizeof(*reply);
        }

        reply->is_reached = true;
        if (!wanted->self_test && syncfs(fd) < 0)
                reply->error = -errno;
        (void) close(fd);
        reply->duration_usec = usec_subtract(usec_now(CLOCK_MONOTONIC), reply->entered_usec);
        return sizeof(*reply);
}

static size_t serve_everything(const SyncfsRequest *wanted, SyncfsReply *reply) {
        reply->is_reached = true;
        reply->entered_usec = usec_now(CLOCK_MONOTONIC);
        if (!wanted->self_test)
                sync();
        reply->duration_usec = usec_subtract(usec_now(CLOCK_MONOTONIC), reply->entered_usec);
        return sizeof(*reply);
}

/* The id of the mount that holds a path. */
static int find_mount_id(const char *path, uint64_t *ret) {
        _cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
        struct statx stx;

        if (fd < 0 || statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &stx) < 0)
                return -errno;
        if (!(stx.stx_mask & STATX_MNT_ID))
                return -EOPNOTSUPP;

        *ret = stx.stx_mnt_id;
        return 0;
}

static int list_filesystems(const SyncfsRequest *wanted, FilesystemList *list) {
        _cleanup_(line_reader_done) LineReader reader = { .fd = -EBADF };
        bool one = wanted->path[0] != '\0';
        uint64_t mount_id = 0;
        Mount mount;
        int r;

        if (one) {
                r = find_mount_id(wanted->path, &mount_id);
                if (r < 0)
                        return r;
        }

        r = mounts_open(&reader);
        if (r < 0)
                return r;

        while ((r = mounts_next(&reader, &mount)) > 0)
                if (one ? mount.id == mount_id : mount_has_cgroup_writeback(&mount))
                        filesystems_add(list, &mount);
        if (r < 0)
                return r;

        return one && list->n == 0 ? -ENODEV : 0;
}

/* Sets the size of the filesystem on the device of this line. Returns whether there is one. */
static bool set_size(const FilesystemList *list, uint64_t sizes[static FILESYSTEMS_MAX], const char *line) {
        unsigned device_major, device_minor;
        unsigned long long size;

        if (sscanf(line, "%u %u %llu", &device_major, &device_minor, &size) != 3)
                return false;

        for (uint32_t i = 0; i < list->n; i++)
                if (list->filesystems[i].major == device_major &&
                    list->filesystems[i].minor == device_minor) {
                        sizes[i] = size;
                        return true;
                }
        return false;
}

/* Reads the sizes of the block devices, in KiB, without disk I/O (block/genhd.c of the kernel: major, minor,
 * blocks, name). The device number of Btrfs belongs to no block device; it counts as large. A device that
 * is not there counts as empty. */
static void read_sizes(const FilesystemList *list, uint64_t sizes[static FILESYSTEMS_MAX]) {
        _cleanup_(line_reader_done) LineReader reader;
        uint32_t n_unknown = 0;
        char *line;

        for (uint32_t i = 0; i < list->n; i++) {
                bool on_device = list->filesystems[i].major != 0;

                sizes[i] = on_device ? 0 : UINT64_MAX;
                n_unknown += on_device;
        }

        if (line_reader_open(&reader, "/proc/partitions") < 0)
                return;
        while (n_unknown > 0 && line_reader_next(&reader, &line) > 0)
                n_unknown -= set_size(list, sizes, line);
}

/* Sorts by size, largest first, then by order of mounting: if filesystems have to queue, one with very many
 * inodes should not be last. */
static void sort_by_size(FilesystemList *list) {
        uint64_t sizes[FILESYSTEMS_MAX];

        read_sizes(list, sizes);
        for (uint32_t i = 0; i < list->n; i++) {
                Filesystem filesystem = list->filesystems[i];
                uint64_t size = sizes[i];
                uint32_t place = i;

                for (; place > 0 && sizes[place - 1] < size; place--) {
                        list->filesystems[place] = list->filesystems[place - 1];
                        sizes[place] = sizes[place - 1];
                }
                list->filesystems[place] = filesystem;
                sizes[place] = size;
        }
}

static size_t serve_list(const SyncfsRequest *wanted, SyncfsList *reply) {
        reply->list.n = 0;
        reply->error = list_filesystems(wanted, &reply->list);
        if (wanted->self_test || reply->list.n > SYNCFS_AT_ONCE)
                sort_by_size(&reply->list);
        return offsetof(SyncfsList, list.filesystems) + reply->list.n * sizeof(reply->list.filesystems[0]);
}

size_t syncfs_request_size(const SyncfsRequest *request) {
        return offsetof(SyncfsRequest, path) + strlen(request->path) + 1;
}

size_t syncfs_serve(const void *request, size_t size, void *reply, void *userdata) {
        const SyncfsRequest *wanted = request;

        if (size <= offsetof(SyncfsRequest, path) || size > sizeof(*wanted) ||
            ((const char *) request)[size - 1] != '\0')
                return 0;

        if (wanted->order != SYNCFS_ORDER_LIST)
                memset(reply, 0, sizeof(SyncfsReply));
        if (wanted->self_test >= SELF_TEST_ATTACH && wanted->self_test < SELF_TEST_ATTACH + _KERNEL_FILE_MAX)
                serve_attach(kernel_file_open(wanted->self_test - SELF_TEST_ATTACH));
        switch (wanted->order) {
        case SYNCFS_ORDER_LIST:
                return serve_list(wanted, reply);
        case SYNCFS_ORDER_FILESYSTEM:
                return serve_filesystem(wanted, reply);
        case SYNCFS_ORDER_EVERYTHING:
                return serve_everything(wanted, reply);
        default:
                return 0;
        }
}
