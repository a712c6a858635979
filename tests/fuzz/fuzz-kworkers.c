/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Any bytes as the files of a proc root: the list of kthreadd's children, and comm and stat of one of them,
 * each behind a line that ends with two newlines. The tree is on a filesystem in memory that has no place in
 * the machine's tree, so that it goes with the process however that ends.
 */

#include "fuzz.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "kworkers.h"

#define SEPARATOR "\n\n"
#define PID "10"
#define GLOB "kworker/*inode_switch_wbs*"

static const char good_stat[] =
                PID " (kworker/0:1+inode_switch_wbs) D 2 0 0 0 -1 69238880 0 0 0 0 3 4 0 0 20 0 1 0 "
                    "99 0 0\n";

/* A folder as few can have it: root, or whoever may be root of a namespace. */
static int make_root(void) {
        _cleanup_close_ int context = -EBADF;

        context = fsopen("tmpfs", FSOPEN_CLOEXEC);
        if (context < 0 && errno == EPERM && unshare(CLONE_NEWUSER | CLONE_NEWNS) >= 0)
                context = fsopen("tmpfs", FSOPEN_CLOEXEC);
        if (context < 0 || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                return -errno;

        return fsmount(context, FSMOUNT_CLOEXEC, 0);
}

static void write_file(int root, const char *path, const void *data, size_t size) {
        _cleanup_close_ int fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        fuzz_assert(fd >= 0);
        fuzz_assert(write(fd, data, size) == (ssize_t) size);
}

static int get_root(void) {
        static const char *const folders[] = { "2", "2/task", "2/task/2", PID };
        static int root = -EBADF;

        if (root >= 0)
                return root;

        root = make_root();
        if (root < 0) {
                fprintf(stderr, "needs to be root, or user namespaces\n");
                exit(77);
        }
        for (size_t i = 0; i < ELEMENTSOF(folders); i++)
                fuzz_assert(mkdirat(root, folders[i], 0755) >= 0);
        return root;
}

/* Cuts a part off the front. */
static size_t next_part(const uint8_t **data, size_t *size, const uint8_t **ret_part) {
        const uint8_t *end = memmem(*data, *size, SEPARATOR, strlen(SEPARATOR));
        size_t n = end ? (size_t) (end - *data) : *size, n_taken = end ? n + strlen(SEPARATOR) : n;

        *ret_part = *data;
        *data += n_taken;
        *size -= n_taken;
        return n;
}

static void check_look(int root) {
        KworkerReader *reader = NULL;
        char path[64];

        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", root);
        fuzz_assert(kworker_reader_new(path, &reader) >= 0);

        /* The second look meets what the first one has kept. */
        for (unsigned i = 0; i < 2; i++) {
                KworkerLook look = {};

                if (kworker_reader_look(reader, GLOB, &look) < 0)
                        continue;
                fuzz_assert(look.n_workers <= 2);
                for (size_t j = 0; j < look.n_workers; j++) {
                        fuzz_assert(look.workers[j].pid > 0);
                        fuzz_assert(worker_name_work(look.workers[j].name));
                        fuzz_assert(strstr(look.workers[j].name, "inode_switch_wbs"));
                }
        }

        kworker_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        int root = get_root();
        const uint8_t *part;
        size_t n;

        n = next_part(&data, &size, &part);
        write_file(root, "2/task/2/children", part, n);
        n = next_part(&data, &size, &part);
        write_file(root, PID "/comm", part, n);

        /* Without a third part the stat is a good one. */
        if (size == 0)
                write_file(root, PID "/stat", good_stat, strlen(good_stat));
        else
                write_file(root, PID "/stat", data, size);

        check_look(root);
        return 0;
}
