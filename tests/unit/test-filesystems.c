/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The filesystems of a mountinfo text. */

#include <glib.h>

#include "filesystems.h"

typedef struct ParseCase {
        const char *line;
        int result;
        Mount mount;
} ParseCase;

static const ParseCase parse_cases[] = {
        { "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue",
          0,
          { 36, 98, 0, "/mnt1", "/mnt2", "ext3" } },
        { "21 1 254:1 / / rw - ext4 /dev/vda1 rw", 0, { 21, 254, 1, "/", "/", "ext4" } },
        { "4294967296 1 0:45 / /a rw shared:1 master:2 propagate_from:3 unbindable - btrfs none rw",
          0,
          { UINT64_C(4294967296), 0, 45, "/", "/a", "btrfs" } },
        /* What the kernel escapes, and what only looks like it. */
        { "1 2 3:4 / /a\\040b\\011c\\012d\\134e\\043f rw - xfs /dev/a rw",
          0,
          { 1, 3, 4, "/", "/a b\tc\nd\\e#f", "xfs" } },
        { "1 2 3:4 / /a\\08\\1 rw - xfs /dev/a rw", 0, { 1, 3, 4, "/", "/a\\08\\1", "xfs" } },
        { "1 2 3:4 / /caf\303\251 rw - f2fs /dev/a rw", 0, { 1, 3, 4, "/", "/caf\303\251", "f2fs" } },
        /* The device may be called "-", and may be empty. */
        { "1 2 3:4 / /a rw - ext2 - rw", 0, { 1, 3, 4, "/", "/a", "ext2" } },
        { "1 2 3:4 / /a rw - ext2  rw", 0, { 1, 3, 4, "/", "/a", "ext2" } },
        { "1 2 3:4 / /a rw - fuse.sshfs x rw", 0, { 1, 3, 4, "/", "/a", "fuse.sshfs" } },
        /* None. */
        { "", -EBADMSG, {} },
        { "1", -EBADMSG, {} },
        { "1 2 3:4 / /a", -EBADMSG, {} },
        { "1 2 3:4 / /a rw", -EBADMSG, {} },
        { "1 2 3:4 / /a rw -", -EBADMSG, {} },
        { "1 2 3:4 / /a rw - ", -EBADMSG, {} },
        { "x 2 3:4 / /a rw - ext4 a rw", -EBADMSG, {} },
        { "-1 2 3:4 / /a rw - ext4 a rw", -EBADMSG, {} },
        { "1x 2 3:4 / /a rw - ext4 a rw", -EBADMSG, {} },
        { "1 2 3 / /a rw - ext4 a rw", -EBADMSG, {} },
        { "1 2 3: / /a rw - ext4 a rw", -EBADMSG, {} },
        { "1 2 :4 / /a rw - ext4 a rw", -EBADMSG, {} },
        { "1 2 3:4:5 / /a rw - ext4 a rw", -EBADMSG, {} },
        { "1 2 4294967296:4 / /a rw - ext4 a rw", -EBADMSG, {} },
        { "99999999999999999999 2 3:4 / /a rw - ext4 a rw", -EBADMSG, {} },
        { "1 2 3:4  /a rw - ext4 a rw", -EBADMSG, {} },
        { "1 2 3:4 / /a rw  ext4 a rw", -EBADMSG, {} },
};

static void test_parse(void) {
        for (unsigned i = 0; i < G_N_ELEMENTS(parse_cases); i++) {
                const ParseCase *c = parse_cases + i;
                g_autofree char *line = g_strdup(c->line);
                Mount mount = { .id = 4711 };

                g_test_message("%s", c->line);
                g_assert_cmpint(mount_parse(line, &mount), ==, c->result);
                if (c->result < 0) {
                        g_assert_cmpuint(mount.id, ==, 4711);
                        continue;
                }
                g_assert_cmpuint(mount.id, ==, c->mount.id);
                g_assert_cmpuint(mount.major, ==, c->mount.major);
                g_assert_cmpuint(mount.minor, ==, c->mount.minor);
                g_assert_cmpstr(mount.root, ==, c->mount.root);
                g_assert_cmpstr(mount.mountpoint, ==, c->mount.mountpoint);
                g_assert_cmpstr(mount.type, ==, c->mount.type);
        }
}

/* The texts that are passed on as they are. */
static void test_texts(void) {
        static const struct {
                const char *line, *options, *source, *super_options;
        } cases[] = {
                { "36 35 98:0 / /a rw,noatime master:1 - ext3 /dev/root rw,errors=continue", "rw,noatime",
                  "/dev/root", "rw,errors=continue" },
                { "1 2 3:4 / /a ro - nfs server:/a\\040b rw", "ro", "server:/a\\040b", "rw" },
                { "1 2 3:4 / /a rw - ext2  rw", "rw", "", "rw" },
                { "1 2 3:4 / /a rw - ext2", "rw", "", "" },
        };

        for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autofree char *line = g_strdup(cases[i].line);
                Mount mount;

                g_assert_cmpint(mount_parse(line, &mount), ==, 0);
                g_assert_cmpstr(mount.options, ==, cases[i].options);
                g_assert_cmpstr(mount.source, ==, cases[i].source);
                g_assert_cmpstr(mount.super_options, ==, cases[i].super_options);
        }
}

static void test_types(void) {
        static const char *const with[] = { "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs" };
        static const char *const without[] = { "tmpfs", "nfs",   "nfs4", "fuse",     "overlay", "ext",
                                               "ext44", "exfat", "zfs",  "bcachefs", "proc",    "" };

        for (unsigned i = 0; i < G_N_ELEMENTS(with); i++)
                g_assert_true(mount_has_cgroup_writeback(&(Mount){ .type = with[i] }));
        for (unsigned i = 0; i < G_N_ELEMENTS(without); i++)
                g_assert_false(mount_has_cgroup_writeback(&(Mount){ .type = without[i] }));
}

static void add(FilesystemList *list, uint32_t minor, const char *root, const char *mountpoint) {
        const Mount mount = {
                .id = 1,
                .major = 8,
                .minor = minor,
                .root = root,
                .mountpoint = mountpoint,
                .type = "ext4",
        };

        filesystems_add(list, &mount);
}

/* Each once, in the order of mounting; and the mount that shows all of it is what it is called by. */
static void test_each_once(void) {
        FilesystemList list = {};

        add(&list, 1, "/", "/");
        add(&list, 2, "/var/lib/x", "/x");
        add(&list, 1, "/etc/hosts", "/run/hosts");
        add(&list, 3, "/", "/home");
        add(&list, 2, "/", "/var");
        add(&list, 2, "/", "/var/again");
        add(&list, 2, "/y", "/y");
        add(&list, 3, "/", "/home2");

        g_assert_cmpuint(list.n, ==, 3);
        g_assert_cmpuint(list.filesystems[0].minor, ==, 1);
        g_assert_cmpstr(list.filesystems[0].mountpoint, ==, "/");
        g_assert_cmpuint(list.filesystems[1].minor, ==, 2);
        g_assert_cmpstr(list.filesystems[1].mountpoint, ==, "/var");
        g_assert_cmpstr(list.filesystems[1].type, ==, "ext4");
        g_assert_cmpuint(list.filesystems[2].minor, ==, 3);
        g_assert_cmpstr(list.filesystems[2].mountpoint, ==, "/home");
}

static void test_bounds(void) {
        g_autofree char *long_name = g_strnfill(300, 'a');
        FilesystemList list = {};

        long_name[0] = '/';
        for (uint32_t i = 0; i < FILESYSTEMS_MAX + 10; i++)
                add(&list, i, "/", long_name);
        g_assert_cmpuint(list.n, ==, FILESYSTEMS_MAX);
        g_assert_cmpuint(
                        strlen(list.filesystems[0].mountpoint), ==,
                        sizeof(list.filesystems[0].mountpoint) - 1);
        g_assert_true(g_str_has_prefix(long_name, list.filesystems[0].mountpoint));

        /* One that is there is still found. */
        add(&list, FILESYSTEMS_MAX - 1, "/", "/b");
        g_assert_cmpuint(list.n, ==, FILESYSTEMS_MAX);

        /* Not cut within a character. */
        list.n = 0;
        for (unsigned shift = 0; shift < 4; shift++) {
                g_autoptr(GString) text = g_string_new("/xxx");

                g_string_truncate(text, shift + 1);
                while (text->len < 200)
                        g_string_append(text, "\360\237\230\200");
                add(&list, shift, "/", text->str);
                g_assert_true(g_utf8_validate(list.filesystems[shift].mountpoint, -1, NULL));
                g_assert_cmpuint(
                                strlen(list.filesystems[shift].mountpoint), >=,
                                sizeof(list.filesystems[0].mountpoint) - 4);
        }
}

/* Whatever is in it: nothing beyond the line is read or written (AddressSanitizer sees that). */
static void test_garbage(void) {
        static const char alphabet[] = "0123456789 :/\\-ext4";

        for (unsigned i = 0; i < 100000; i++) {
                size_t length = (size_t) g_test_rand_int_range(0, 60);
                char *line = g_malloc(length + 1);
                Mount mount;

                for (size_t j = 0; j < length; j++)
                        line[j] = alphabet[g_test_rand_int_range(0, sizeof(alphabet) - 1)];
                line[length] = '\0';
                if (mount_parse(line, &mount) >= 0) {
                        g_assert_true(mount.type >= line && mount.type < line + length);
                        g_assert_true(mount.mountpoint[0] != '\0');
                }
                g_free(line);
        }
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/filesystems/parse", test_parse);
        g_test_add_func("/filesystems/texts", test_texts);
        g_test_add_func("/filesystems/types", test_types);
        g_test_add_func("/filesystems/each-once", test_each_once);
        g_test_add_func("/filesystems/bounds", test_bounds);
        g_test_add_func("/filesystems/garbage", test_garbage);

        return g_test_run();
}
