/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The format is that of proc_pid_mountinfo(5). */

#include "filesystems.h"

/* Those with SB_I_CGROUPWB in the kernel: only these switch inodes between cgroups. ext4 also implements ext2
 * and ext3. */
static const char *const types_with_cgroup_writeback[] = { "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs" };

static bool is_octal(char c) {
        return c >= '0' && c <= '7';
}

/* The kernel escapes blanks, newlines, '#' and '\' as \ooo. */
static void decode(char *text) {
        char *to = text;

        for (const char *from = text; *from;)
                if (from[0] == '\\' && is_octal(from[1]) && is_octal(from[2]) && is_octal(from[3])) {
                        *to++ = (char) ((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
                        from += 4;
                } else
                        *to++ = *from++;
        *to = '\0';
}

/* The next field, or NULL at the end of the line. */
static char *next_field(char **line) {
        char *field = strsep(line, " ");

        return field && field[0] ? field : NULL;
}

static int parse_number(const char *text, char end, uint64_t maximum, uint64_t *ret, const char **ret_end) {
        char *stop;
        uint64_t number;

        if (text[0] < '0' || text[0] > '9')
                return -EBADMSG;
        errno = 0;
        number = strtoull(text, &stop, 10);
        if (errno != 0 || *stop != end || number > maximum)
                return -EBADMSG;

        *ret = number;
        if (ret_end)
                *ret_end = stop + 1;
        return 0;
}

static int parse_device(const char *text, Mount *mount) {
        uint64_t major, minor;
        const char *rest;

        if (parse_number(text, ':', UINT32_MAX, &major, &rest) < 0 ||
            parse_number(rest, '\0', UINT32_MAX, &minor, NULL) < 0)
                return -EBADMSG;

        mount->major = (uint32_t) major;
        mount->minor = (uint32_t) minor;
        return 0;
}

int mount_parse(char *line, Mount *ret) {
        char *id = next_field(&line), *parent = next_field(&line), *device = next_field(&line),
             *root = next_field(&line), *mountpoint = next_field(&line), *options = next_field(&line),
             *field = options, *type;
        Mount mount;

        if (!id || !parent || !device || !root || !mountpoint ||
            parse_number(id, '\0', UINT64_MAX, &mount.id, NULL) < 0 || parse_device(device, &mount) < 0)
                return -EBADMSG;

        /* After the options, any number of optional fields up to a "-". */
        while (field && !streq(field, "-"))
                field = next_field(&line);
        type = field ? next_field(&line) : NULL;
        if (!type)
                return -EBADMSG;

        decode(root);
        decode(mountpoint);
        decode(type);
        mount.root = root;
        mount.mountpoint = mountpoint;
        mount.type = type;
        mount.options = options;
        mount.source = strsep(&line, " ") ?: "";
        mount.super_options = strsep(&line, " ") ?: "";
        *ret = mount;
        return 0;
}

bool mount_has_cgroup_writeback(const Mount *mount) {
        for (size_t i = 0; i < ELEMENTSOF(types_with_cgroup_writeback); i++)
                if (streq(mount->type, types_with_cgroup_writeback[i]))
                        return true;
        return false;
}

bool mount_is_whole(const Mount *mount) {
        return streq(mount->root, "/");
}

/* Truncates at a character boundary: D-Bus requires valid UTF-8. Returns whether the whole text has room. */
static bool copy_text(char *to, size_t size, const char *from) {
        size_t length = strnlen(from, size);
        bool is_whole = length < size;

        if (!is_whole)
                for (length = size - 1; length > 0 && ((uint8_t) from[length] & 0xC0) == 0x80;)
                        length--;
        memcpy(to, from, length);
        memset(to + length, 0, size - length);
        return is_whole;
}

static Filesystem *find(FilesystemList *list, const Mount *mount) {
        for (uint32_t i = 0; i < list->n; i++) {
                Filesystem *filesystem = list->filesystems + i;

                if (filesystem->major == mount->major && filesystem->minor == mount->minor)
                        return filesystem;
        }
        return NULL;
}

void filesystems_add(FilesystemList *list, const Mount *mount) {
        Filesystem *filesystem = find(list, mount);

        if (filesystem ? filesystem->is_whole || !mount_is_whole(mount) : list->n >= FILESYSTEMS_MAX)
                return;
        if (!filesystem)
                filesystem = list->filesystems + list->n++;

        filesystem->major = mount->major;
        filesystem->minor = mount->minor;
        filesystem->is_whole = mount_is_whole(mount);
        filesystem->mount_id =
                        copy_text(filesystem->mountpoint, sizeof(filesystem->mountpoint), mount->mountpoint)
                                        ? mount->id
                                        : 0;
        (void) copy_text(filesystem->type, sizeof(filesystem->type), mount->type);
}
