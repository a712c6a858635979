/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The listening sockets: see sockets.h. */

#include "sockets.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "text.h"

#define PRIVATE_NAME "private"
#define PUBLIC_NAME "public"
#define LOCK_NAME "lock"

/* sun_path, without the NUL at its end. */
#define PATH_MAX_BYTES (sizeof(((struct sockaddr_un *) NULL)->sun_path) - 1)

/* Connections that wait to be accepted, which takes as long as the process needs to get a CPU. */
#define BACKLOG 128

int sockets_check_folder(const char *folder, size_t *ret_max) {
        *ret_max = PATH_MAX_BYTES - strlen("/" PRIVATE_NAME);
        if (folder[0] != '/')
                return -EINVAL;

        return strlen(folder) <= *ret_max ? 0 : -ENAMETOOLONG;
}

static int fail(int error, char **ret_error, const char *what, const char *path) {
        return refuse(error, ret_error, "can't %s %s: %s", what, path, errno_text(-error));
}

/* Anyone may reach the public socket in it. Returns whether the folder was missing. */
static int make_folder(const char *folder) {
        mode_t mask = umask(0022);
        int r;

        r = mkdir(folder, 0755) >= 0 ? 1 : errno == EEXIST ? 0 : -errno;
        (void) umask(mask);
        return r;
}

/* Opens the lock file and locks it. -EWOULDBLOCK if another daemon has it. -ESTALE if that daemon has just
 * removed it: another file may have its name by now. */
static int lock_file(const char *path, int *ret_fd) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);
        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (st.st_nlink == 0)
                return -ESTALE;

        *ret_fd = take_fd(&fd);
        return 0;
}

/* A lock file, since anyone who can open a folder could lock the folder itself. */
static int lock_folder(Sockets *sockets, char **ret_error) {
        int r;

        r = make_folder(sockets->folder);
        if (r < 0)
                return fail(r, ret_error, "make the folder", sockets->folder);
        sockets->made_folder = r > 0;

        do
                r = lock_file(sockets->lock_path, &sockets->lock_fd);
        while (r == -ESTALE);
        if (r == -EWOULDBLOCK)
                return refuse(-EADDRINUSE, ret_error, "another wbwatchd has the sockets in %s",
                              sockets->folder);
        return r < 0 ? fail(r, ret_error, "lock", sockets->lock_path) : 0;
}

/* Removes a socket that is left over. Nobody listens on it, since we have the lock. */
static int remove_left_over(const char *path, char **ret_error) {
        struct stat st;

        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : fail(-errno, ret_error, "check", path);
        if (!S_ISSOCK(st.st_mode))
                return refuse(-EEXIST, ret_error, "%s exists, and is not a socket", path);

        return unlink(path) < 0 ? fail(-errno, ret_error, "remove", path) : 0;
}

/* The file gets its mode when it is made: later would be too late for who must not connect. */
static int bind_with_mode(int fd, const char *path, mode_t mode) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        mode_t mask;
        int r;

        memcpy(address.sun_path, path, strlen(path) + 1);
        mask = umask(0777 & ~mode);
        r = bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0 ? -errno : 0;
        (void) umask(mask);
        return r;
}

static int open_listener(Listener *listener, char **ret_error) {
        int r;

        r = remove_left_over(listener->path, ret_error);
        if (r < 0)
                return r;

        listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (listener->fd < 0)
                return fail(-errno, ret_error, "make", listener->path);
        r = bind_with_mode(listener->fd, listener->path, listener->is_private ? 0600 : 0666);
        if (r < 0)
                return fail(r, ret_error, "make", listener->path);
        listener->exists = true;

        if (listen(listener->fd, BACKLOG) < 0)
                return fail(-errno, ret_error, "listen on", listener->path);
        return 0;
}

/* NULL if there is no memory. */
static char *path_in(const char *folder, const char *name) {
        char *path;

        return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

int sockets_open(const char *folder, Sockets **ret, char **ret_error) {
        _cleanup_(sockets_freep) Sockets *sockets = NULL;
        char *private_path;
        int r;

        sockets = malloc(sizeof(*sockets));
        if (!sockets)
                return fail(-ENOMEM, ret_error, "open the sockets in", folder);

        private_path = path_in(folder, PRIVATE_NAME);
        *sockets = (Sockets){
                .folder = strdup(folder),
                .lock_path = path_in(folder, LOCK_NAME),
                .lock_fd = -EBADF,
                .private = { .process_name = "wbwatch-private",
                             .is_private = true,
                             .fd = -EBADF,
                             .path = private_path,
                             .private_path = private_path },
                .public = { .process_name = "wbwatch-public",
                            .fd = -EBADF,
                            .path = path_in(folder, PUBLIC_NAME),
                            .private_path = private_path },
        };
        if (!sockets->folder || !sockets->lock_path || !private_path || !sockets->public.path)
                return fail(-ENOMEM, ret_error, "open the sockets in", folder);

        r = lock_folder(sockets, ret_error);
        if (r < 0)
                return r;
        r = open_listener(&sockets->private, ret_error);
        if (r < 0)
                return r;
        r = open_listener(&sockets->public, ret_error);
        if (r < 0)
                return r;

        *ret = TAKE_POINTER(sockets);
        return 0;
}

static void listener_done(Listener *listener) {
        if (listener->exists)
                (void) unlink(listener->path);
        closep(&listener->fd);
        free(listener->path);
}

/* The lock comes last: afterwards the names may belong to another daemon. */
Sockets *sockets_free(Sockets *sockets) {
        if (!sockets)
                return NULL;

        listener_done(&sockets->public);
        listener_done(&sockets->private);
        if (sockets->lock_fd >= 0)
                (void) unlink(sockets->lock_path);
        closep(&sockets->lock_fd);
        if (sockets->made_folder)
                (void) rmdir(sockets->folder);
        free(sockets->lock_path);
        free(sockets->folder);
        free(sockets);
        return NULL;
}
