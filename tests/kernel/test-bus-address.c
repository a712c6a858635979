/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Addresses of a bus, and sockets that listen there. */

#include <glib.h>
#include <glib/gstdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "bus-address.h"

static int listen_at(const char *path, size_t size) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd;

        memcpy(address.sun_path, path, size);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        g_assert_cmpint(fd, >=, 0);
        g_assert_no_errno(
                        bind(fd, (const struct sockaddr *) &address,
                             (socklen_t) (offsetof(struct sockaddr_un, sun_path) + size)));
        g_assert_no_errno(listen(fd, 4));
        return fd;
}

static void assert_connects(int listener, const char *addresses) {
        _cleanup_close_ int fd = -EBADF, accepted = -EBADF;

        g_assert_cmpint(bus_address_connect(addresses, &fd), ==, 0);
        accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        g_assert_cmpint(accepted, >=, 0);
}

static void test_path(void) {
        g_autofree char *folder = g_dir_make_tmp("wbwatch-XXXXXX", NULL);
        g_autofree char *path = g_build_filename(folder, "a,b %;c", NULL);
        g_autofree char *escaped = g_strdup_printf("unix:path=%s/a%%2cb %%25%%3Bc", folder);
        g_autofree char *with_guid = g_strconcat(escaped, ",guid=0123", NULL);
        g_autofree char *list = g_strdup_printf("tcp:host=x;unix:path=%s/none;%s", folder, escaped);
        _cleanup_close_ int listener = listen_at(path, strlen(path) + 1);

        assert_connects(listener, escaped);
        assert_connects(listener, with_guid);
        assert_connects(listener, list);

        g_assert_no_errno(g_unlink(path));
        g_assert_no_errno(g_rmdir(folder));
}

static void test_abstract(void) {
        char path[64] = {};
        g_autofree char *address = NULL;
        _cleanup_close_ int listener = -EBADF;
        int n = snprintf(path + 1, sizeof(path) - 1, "wbwatch-test-%d", (int) getpid());

        listener = listen_at(path, (size_t) n + 1);
        address = g_strconcat("unix:abstract=", path + 1, NULL);
        assert_connects(listener, address);
}

static void test_broken(void) {
        static const struct {
                const char *addresses;
                int result;
        } cases[] = {
                { "", -EAFNOSUPPORT },
                { "tcp:host=localhost,port=1", -EAFNOSUPPORT },
                { "unix:", -EAFNOSUPPORT },
                { "unix:path=", -EINVAL },
                { "unix:path=%", -EINVAL },
                { "unix:path=%2", -EINVAL },
                { "unix:path=%zz", -EINVAL },
                { "unix:path=%00", -EINVAL },
                { "unix:path=%+1", -EINVAL },
                { "unix:path=% 1", -EINVAL },
                { "unix:path=%-1", -EINVAL },
                { "unix:path=/nonexistent/socket", -ENOENT },
                { "unix:path=/nonexistent/socket;tcp:host=x", -ENOENT },
        };
        g_autofree char *name = g_strnfill(200, 'x');
        g_autofree char *longest = g_strconcat("unix:path=/", name, NULL);
        int fd = -EBADF;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                g_assert_cmpint(bus_address_connect(cases[i].addresses, &fd), ==, cases[i].result);
        g_assert_cmpint(bus_address_connect(longest, &fd), ==, -ENAMETOOLONG);
        g_assert_cmpint(fd, ==, -EBADF);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/bus-address/path", test_path);
        g_test_add_func("/bus-address/abstract", test_abstract);
        g_test_add_func("/bus-address/broken", test_broken);

        return g_test_run();
}
