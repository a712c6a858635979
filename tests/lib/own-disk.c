/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A private filesystem: see own-disk.h. */

#include "own-disk.h"

#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define OWN_DISK_SIZE (64 << 20)

void run_program(const char *const *arguments) {
        g_autoptr(GError) error = NULL;
        int status;

        (void) g_spawn_sync(
                        NULL, (char **) arguments, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL,
                        NULL, NULL, NULL, NULL, &status, &error);
        g_assert_no_error(error);
        (void) g_spawn_check_wait_status(status, &error);
        g_assert_no_error(error);
}

/* No read-ahead: a page is in memory only if it was requested, not by luck. */
static void read_nothing_ahead(const char *folder) {
        g_autofree char *path = NULL;
        struct stat st;
        FILE *file;

        g_assert_no_errno(stat(folder, &st));
        path = g_strdup_printf(
                        "/sys/dev/block/%u:%u/queue/read_ahead_kb", major(st.st_dev), minor(st.st_dev));
        file = g_fopen(path, "we");
        g_assert_nonnull(file);
        g_assert_cmpint(fputs("0", file), >=, 0);
        g_assert_cmpint(fclose(file), ==, 0);
}

static OwnDisk own_disk_in(const char *folder, off_t size) {
        OwnDisk disk = { .folder = g_dir_make_tmp("wbwatch-disk-XXXXXX", NULL) };
        g_autofree char *name = NULL, *image = NULL;
        int fd;

        g_assert_nonnull(disk.folder);
        name = g_path_get_basename(disk.folder);
        image = g_strdup_printf("%s/%s.img", folder, name);
        fd = open(image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        g_assert_no_errno(fd);
        g_assert_no_errno(ftruncate(fd, size));
        g_assert_no_errno(close(fd));

        /* The loop device vanishes with its mount, and the image with the loop device. */
        run_program((const char *const[]){ "mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0",
                                           image, NULL });
        run_program((const char *const[]){ "mount", "-o", "loop", image, disk.folder, NULL });
        g_assert_no_errno(unlink(image));
        read_nothing_ahead(disk.folder);

        disk.fd = open(disk.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        g_assert_no_errno(disk.fd);
        return disk;
}

OwnDisk own_disk_new(void) {
        return own_disk_in(g_get_tmp_dir(), OWN_DISK_SIZE);
}

OwnDisk own_disk_new_large(void) {
        return own_disk_in(g_get_tmp_dir(), 2 * (off_t) OWN_DISK_SIZE);
}

OwnDisk own_disk_new_on(const OwnDisk *outer) {
        return own_disk_in(outer->folder, OWN_DISK_SIZE);
}

static void thaw(const void *data) {
        const char *folder = data;
        int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        (void) ioctl(fd, FITHAW, 0);
}

void own_disk_freeze(OwnDisk *disk) {
        disk->thaw = undo_later(thaw, disk->folder);
        g_assert_no_errno(ioctl(disk->fd, FIFREEZE, 0));
}

void own_disk_thaw(OwnDisk *disk) {
        undo_now(&disk->thaw);
}

void own_disk_done(OwnDisk *disk) {
        own_disk_thaw(disk);
        g_assert_no_errno(close(disk->fd));
        g_assert_no_errno(umount2(disk->folder, MNT_DETACH));
        g_assert_no_errno(rmdir(disk->folder));
        g_free(disk->folder);
}
