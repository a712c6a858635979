/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "proc-fault.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "macro.h"

/* The initial PID namespace has this inode in every kernel (include/linux/proc_ns.h: PROC_PID_INIT_INO). */
#define INITIAL_PID_NAMESPACE "pid:[4026531836]"

DEFINE_TRIVIAL_CLEANUP(FILE *, fclose);

/* Whether the proc root was mounted with hidepid=. */
static int mount_has_hidepid(int root_fd) {
        _cleanup_(fclosep) FILE *file = NULL;
        _cleanup_free_ char *line = NULL;
        size_t size = 0;
        struct stat st;
        int fd;

        if (fstat(root_fd, &st) < 0)
                return -errno;

        fd = openat(root_fd, "self/mountinfo", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        file = fdopen(fd, "r");
        if (!file) {
                closep(&fd);
                return -errno;
        }

        while (getline(&line, &size, file) >= 0) {
                unsigned device_major, device_minor;
                const char *option;

                if (sscanf(line, "%*u %*u %u:%u", &device_major, &device_minor) != 2 ||
                    makedev(device_major, device_minor) != st.st_dev)
                        continue;

                option = strstr(line, " - "); /* the superblock's options follow */
                if (option)
                        option = strstr(option, "hidepid=");
                return option && !startswith(option, "hidepid=0") && !startswith(option, "hidepid=off");
        }

        return false;
}

/* Why the folder may have no kernel threads. */
static const char *absence_reason(int root_fd) {
        char namespace[64];
        struct statfs sfs;
        bool is_hidden;
        ssize_t n;

        if (fstatfs(root_fd, &sfs) < 0 || sfs.f_type != PROC_SUPER_MAGIC)
                return "the proc root is not a proc filesystem: correct --proc-root";

        /* `self` exists only for processes in the filesystem's PID namespace. */
        n = readlinkat(root_fd, "self/ns/pid", namespace, sizeof(namespace) - 1);
        if (n < 0 && errno == ENOENT)
                return "the proc root belongs to another PID namespace (a container's): "
                       "set --proc-root to the host's /proc";

        /* If both apply, report hidepid, except to root: nothing is hidden from the host's root. */
        is_hidden = mount_has_hidepid(root_fd) > 0;
        if (n >= 0 && (!is_hidden || geteuid() == 0)) {
                namespace[n] = '\0';
                if (!streq(namespace, INITIAL_PID_NAMESPACE))
                        return "this process is in its own PID namespace (a container): "
                               "set --proc-root to the host's /proc";
        }
        if (is_hidden)
                return "the mount option hidepid hides kernel threads from this user: "
                       "mount proc with gid= of one of its groups, or without hidepid";

        return "the proc root has no kernel threads, and neither hidepid nor a PID namespace explains it";
}

const char *proc_fault_reason(int root_fd, int trouble) {
        switch (trouble) {
        case 0:
                return absence_reason(root_fd);
        case -EMFILE:
                return "this process has no file descriptors left";
        case -ENFILE:
                return "the system has no file descriptors left";
        case -ENOMEM:
                return "not enough memory to read the proc root";
        default:
                return "a file of the proc root cannot be read (I/O error)";
        }
}
