/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Runs in the helpers that sync: see syncfs.h. */

#include "syncfs.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* Since Linux 5.8, and 5.12; Debian 12's headers of the C library do not have the first. */
#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000U
#endif
#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif

/* A line holds two paths at most, each escaped, and the options of its mount. A longer one is skipped: only
 * overlays have such. */
#define LINE_MAX_BYTES 16384

/* Reads mountinfo line by line, in parts as the kernel gives it out. */
typedef struct MountReader {
        int fd;
        size_t begin, end; /* of what was read and not yet returned */
        bool skipping;     /* the rest of a line that was too long */
} MountReader;

/* One reader at a time. Static: only the pages that are used are ever touched. */
static char reader_buffer[LINE_MAX_BYTES];

static int mount_reader_open(MountReader *reader) {
        *reader = (MountReader){ .fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC) };

        return reader->fd < 0 ? -errno : 0;
}

static void mount_reader_done(MountReader *reader) {
        closep(&reader->fd);
}

/* Reads more behind what is there. 0 at the end of the text. */
static int mount_reader_fill(MountReader *reader) {
        ssize_t n;

        memmove(reader_buffer, reader_buffer + reader->begin, reader->end - reader->begin);
        reader->end -= reader->begin;
        reader->begin = 0;

        if (reader->end == sizeof(reader_buffer)) {
                reader->end = 0;
                reader->skipping = true;
        }

        do
                n = read(reader->fd, reader_buffer + reader->end, sizeof(reader_buffer) - reader->end);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;

        reader->end += (size_t) n;
        return n > 0;
}

/* The next mount: 1, 0 at the end, or negative errno. */
static int mount_reader_next(MountReader *reader, Mount *ret) {
        for (;;) {
                char *line = reader_buffer + reader->begin,
                     *end = memchr(line, '\n', reader->end - reader->begin);
                bool skip = reader->skipping;
                int r;

                if (!end) {
                        r = mount_reader_fill(reader);
                        if (r <= 0)
                                return r;
                        continue;
                }

                *end = '\0';
                reader->begin = (size_t) (end + 1 - reader_buffer);
                reader->skipping = false;
                if (!skip && mount_parse(line, ret) >= 0)
                        return 1;
        }
}

/* Without openat2(2), or where a sandbox refuses it, the plain open has to do. */
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

/* Opens a folder, or a file where that is what is mounted (as in containers), but nothing else: to open a
 * device would have effects. */
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

/* First by what the kernel has in memory, which never waits: not for a disk, nor for a server. Where that
 * does not suffice the way to it leads over a network filesystem, or was forgotten, and this helper alone
 * waits. */
static int open_mountpoint(const char *path, bool may_wait) {
        int fd = open_mountpoint_once(path, RESOLVE_CACHED);

        return fd == -EAGAIN && may_wait ? open_mountpoint_once(path, 0) : fd;
}

/* Whether the descriptor is on that very mount: another one may be mounted over it, or stand in for it in a
 * sandbox. */
static int check_mount(int fd, const Mount *mount) {
        struct statx stx;

        if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &stx) < 0)
                return -errno;

        if (!(stx.stx_mask & STATX_MNT_ID)) /* before Linux 5.8 */
                return stx.stx_dev_major == mount->major && stx.stx_dev_minor == mount->minor ? 0 : -ESTALE;
        return stx.stx_mnt_id == mount->id ? 0 : -ESTALE;
}

static int open_mount(const Mount *mount, bool may_wait) {
        _cleanup_close_ int fd = open_mountpoint(mount->mountpoint, may_wait);
        int r;

        if (fd < 0)
                return fd;
        r = check_mount(fd, mount);
        if (r < 0)
                return r;
        return take_fd(&fd);
}

/* Opens the filesystem at the first of its mounts that can be opened, of those that show its root or of those
 * that show a part. -ENODEV when there is none of them. */
static int open_filesystem_by(const SyncfsRequest *wanted, bool is_whole, bool may_wait) {
        _cleanup_(mount_reader_done) MountReader reader;
        int r, first_error = -ENODEV;
        Mount mount;

        r = mount_reader_open(&reader);
        if (r < 0)
                return r;

        while ((r = mount_reader_next(&reader, &mount)) > 0) {
                int fd;

                if (mount.major != wanted->major || mount.minor != wanted->minor ||
                    mount_is_whole(&mount) != is_whole)
                        continue;

                fd = open_mount(&mount, may_wait);
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

/* All mounts are tried without waiting before one is waited for. */
static int open_filesystem(const SyncfsRequest *wanted) {
        int fd = open_filesystem_once(wanted, /* may_wait= */ false);

        return fd == -EAGAIN && !wanted->self_test ? open_filesystem_once(wanted, /* may_wait= */ true) : fd;
}

/* The descriptor is closed at once: while it is open, the filesystem can't be unmounted. */
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

/* The mount that holds a path. */
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
        _cleanup_(mount_reader_done) MountReader reader = { .fd = -EBADF };
        bool one = wanted->path[0] != '\0';
        uint64_t mount_id = 0;
        Mount mount;
        int r;

        if (one) {
                r = find_mount_id(wanted->path, &mount_id);
                if (r < 0)
                        return r;
        }

        r = mount_reader_open(&reader);
        if (r < 0)
                return r;

        while ((r = mount_reader_next(&reader, &mount)) > 0)
                if (one ? mount.id == mount_id : mount_has_cgroup_writeback(&mount))
                        filesystems_add(list, &mount);
        if (r < 0)
                return r;

        return one && list->n == 0 ? -ENODEV : 0;
}

/* The size of a block device in sectors, which sysfs knows without a disk
 * (Documentation/ABI/stable/sysfs-block). Btrfs shows a device number that belongs to no block device: it
 * counts as large. */
static uint64_t device_sectors(const Filesystem *filesystem) {
        _cleanup_close_ int fd = -EBADF;
        char path[64], text[32];
        ssize_t n;

        if (filesystem->major == 0)
                return UINT64_MAX;

        (void) snprintf(path, sizeof(path), "/sys/dev/block/%" PRIu32 ":%" PRIu32 "/size", filesystem->major,
                        filesystem->minor);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        if (n < 0)
                return 0;
        text[n] = '\0';
        return strtoull(text, NULL, 10);
}

/* Puts the largest first, those of one size in the order of mounting: where they take turns, the one with
 * very many inodes should not come last. */
static void sort_by_size(FilesystemList *list) {
        uint64_t sectors[FILESYSTEMS_MAX];

        for (uint32_t i = 0; i < list->n; i++) {
                Filesystem filesystem = list->filesystems[i];
                uint64_t size = device_sectors(&filesystem);
                uint32_t place = i;

                for (; place > 0 && sectors[place - 1] < size; place--) {
                        list->filesystems[place] = list->filesystems[place - 1];
                        sectors[place] = sectors[place - 1];
                }
                list->filesystems[place] = filesystem;
                sectors[place] = size;
        }
}

static size_t serve_list(const SyncfsRequest *wanted, SyncfsList *reply) {
        reply->list.n = 0;
        reply->error = list_filesystems(wanted, &reply->list);
        if (wanted->self_test || reply->list.n > SYNCFS_AT_ONCE)
                sort_by_size(&reply->list);
        /* The daemon's own /proc may not have it (ProcSubset=pid). */
        if (wanted->self_test)
                serve_attach(open("/proc/meminfo", O_RDONLY | O_CLOEXEC));
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

void syncfs_drop_privileges(void) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
        bool has_more = false;

        (void) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        (void) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        if (syscall(SYS_capget, &header, data) < 0)
                return;

        for (size_t i = 0; i < ELEMENTSOF(data); i++) {
                uint32_t kept = i == 0 ? data[i].permitted & (1U << CAP_DAC_READ_SEARCH) : 0;

                has_more = has_more || data[i].permitted != kept;
                data[i] = (struct __user_cap_data_struct){ .permitted = kept, .effective = kept };
        }

        /* Where its unit gave it no more, the unit's filter of system calls may not know capset(2). */
        if (!has_more)
                return;
        if (geteuid() == 0)
                (void) prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED);
        (void) syscall(SYS_capset, &header, data);
}
