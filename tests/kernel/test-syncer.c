/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The syncer, on filesystems of the test's own: what is mounted how, which of them hang, and who dies. The
 * test has a mount namespace and a /tmp of its own, which go with it. */

#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "fake-proc.h"
#include "flush-priority.h"
#include "log.h"
#include "own-disk.h"
#include "process-info.h"
#include "syncer.h"

/* Far beyond what anything here takes: a wait that ends by it is a failure. */
#define PATIENCE_USEC (60 * USEC_PER_SEC)

/* A timeout that is not to be reached, and one that is. */
#define LONG_USEC USEC_PER_HOUR
#define SHORT_USEC (1500 * USEC_PER_MSEC)

#define DISKS_MAX 10
#define CALLS_MAX 256

typedef enum Behaviour {
        BEHAVE_REALLY,
        BEHAVE_HANG,
        BEHAVE_FAIL,
        BEHAVE_DIE,
} Behaviour;

/* What test and helpers share: how the system calls behave, and which were made. */
typedef struct Shared {
        struct {
                dev_t device; /* 0: sync(2) */
                Behaviour behaviour;
        } plans[DISKS_MAX + 1];
        unsigned n_plans;
        sem_t entered; /* posted by whoever hangs now */
        sem_t release;

        atomic_uint n_calls;
        dev_t calls[CALLS_MAX];
        pid_t pids[CALLS_MAX];
} Shared;

static Shared *shared;

typedef struct Fixture {
        const char *priority_path;
        sd_event *event;
        Syncer *syncer;
        OwnDisk disks[DISKS_MAX];
        unsigned n_disks;

        unsigned n_synced, n_everything, n_changed, n_self_tested;
        bool has_any;
        SyncResult result, everything_result;

        unsigned n_single;
        uint64_t single_id, single_usec;
        FilesystemResult single_result;
        int single_error;

        uint64_t entered_usec, duration_usec;
        int self_tested;
        FilesystemSync list[FILESYSTEMS_MAX];
        size_t n_list;
} Fixture;

/* The system calls, as the helpers make them: the program's own come before those of the C library. */

static Behaviour plan_of(dev_t device, bool *ret_is_known) {
        for (unsigned i = 0; i < shared->n_plans; i++)
                if (shared->plans[i].device == device) {
                        *ret_is_known = true;
                        return shared->plans[i].behaviour;
                }
        *ret_is_known = false;
        return BEHAVE_REALLY;
}

/* Whether the real call must be made. Filesystems that are not the test's own are left alone. */
static bool behave(dev_t device, int *ret_error) {
        unsigned i = atomic_fetch_add(&shared->n_calls, 1) % CALLS_MAX;
        bool is_known;

        shared->calls[i] = device;
        shared->pids[i] = getpid();
        *ret_error = 0;

        switch (plan_of(device, &is_known)) {
        case BEHAVE_HANG:
                (void) sem_post(&shared->entered);
                while (sem_wait(&shared->release) < 0)
                        ;
                return true;
        case BEHAVE_FAIL:
                *ret_error = EIO;
                return false;
        case BEHAVE_DIE:
                (void) raise(SIGKILL);
                return false;
        case BEHAVE_REALLY:
                return is_known;
        }
        return false;
}

int syncfs(int fd) {
        struct stat st;
        int error;

        if (fstat(fd, &st) < 0)
                return -1;
        if (behave(st.st_dev, &error))
                return (int) syscall(SYS_syncfs, fd);
        errno = error;
        return error ? -1 : 0;
}

void sync(void) {
        int error;

        if (behave(0, &error))
                (void) syscall(SYS_sync);
}

static void plan(dev_t device, Behaviour behaviour) {
        unsigned i = 0;

        while (i < shared->n_plans && shared->plans[i].device != device)
                i++;
        g_assert_cmpuint(i, <, G_N_ELEMENTS(shared->plans));
        shared->plans[i].device = device;
        shared->plans[i].behaviour = behaviour;
        shared->n_plans = MAX(shared->n_plans, i + 1);
}

static unsigned count_calls(dev_t device) {
        unsigned n = 0;

        for (unsigned i = 0; i < atomic_load(&shared->n_calls) && i < CALLS_MAX; i++)
                n += shared->calls[i] == device;
        return n;
}

static pid_t pid_of_call(dev_t device) {
        for (unsigned i = 0; i < atomic_load(&shared->n_calls) && i < CALLS_MAX; i++)
                if (shared->calls[i] == device)
                        return shared->pids[i];
        g_assert_not_reached();
}

static void await_entered(unsigned n) {
        struct timespec deadline;

        (void) clock_gettime(CLOCK_REALTIME, &deadline);
        deadline.tv_sec += (time_t) (PATIENCE_USEC / USEC_PER_SEC);
        while (n > 0) {
                int r = sem_timedwait(&shared->entered, &deadline);

                g_assert_true(r == 0 || errno == EINTR);
                n -= r == 0;
        }
}

static void release(unsigned n) {
        for (unsigned i = 0; i < n; i++)
                g_assert_no_errno(sem_post(&shared->release));
}

/* The fixture. */

static void on_synced(bool has_any, SyncResult result, const FilesystemSync *list, size_t n, void *userdata) {
        Fixture *f = userdata;

        f->n_synced++;
        f->has_any = has_any;
        f->result = result;
        f->n_list = MIN(n, G_N_ELEMENTS(f->list));
        if (n > 0)
                memcpy(f->list, list, f->n_list * sizeof(*list));
}

static void on_single(
                uint64_t id,
                FilesystemResult result,
                uint64_t duration_usec,
                int error,
                void *userdata) {
        Fixture *f = userdata;

        f->n_single++;
        f->single_id = id;
        f->single_result = result;
        f->single_usec = duration_usec;
        f->single_error = error;
}

static void on_everything(SyncResult result, uint64_t entered_usec, uint64_t duration_usec, void *userdata) {
        Fixture *f = userdata;

        f->n_everything++;
        f->everything_result = result;
        f->entered_usec = entered_usec;
        f->duration_usec = duration_usec;
}

static void on_changed(void *userdata) {
        Fixture *f = userdata;

        f->n_changed++;
}

static void on_self_tested(int r, void *userdata) {
        Fixture *f = userdata;

        f->n_self_tested++;
        f->self_tested = r;
}

static void start_syncer(Fixture *f, const char *socket_path) {
        static const SyncerHandlers handlers = {
                .filesystems_synced = on_synced,
                .filesystem_synced = on_single,
                .everything_synced = on_everything,
                .filesystems_changed = on_changed,
                .self_tested = on_self_tested,
        };

        g_assert_no_errno(syncer_new(f->event, socket_path, f->priority_path, &handlers, f, &f->syncer));
}

static void set_up(Fixture *f, gconstpointer data) {
        shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        g_assert_true(shared != MAP_FAILED);
        g_assert_no_errno(sem_init(&shared->entered, 1, 0));
        g_assert_no_errno(sem_init(&shared->release, 1, 0));
        g_assert_cmpint(sd_event_new(&f->event), ==, 0);
}

static void tear_down(Fixture *f, gconstpointer data) {
        release(DISKS_MAX * 2);
        syncer_free(f->syncer);
        sd_event_unref(f->event);
        for (unsigned i = 0; i < f->n_disks; i++)
                own_disk_done(f->disks + i);

        while (waitpid(-1, NULL, 0) > 0)
                ;
        (void) munmap(shared, sizeof(*shared));
}

static dev_t device_of(const char *path) {
        struct stat st;

        g_assert_no_errno(stat(path, &st));
        return st.st_dev;
}

/* Mounts one more filesystem, and returns its device. An open descriptor would keep it mounted. */
static dev_t add_this_disk(Fixture *f, OwnDisk disk) {
        dev_t device = device_of(disk.folder);

        g_assert_cmpuint(f->n_disks, <, DISKS_MAX);
        f->disks[f->n_disks++] = disk;
        plan(device, BEHAVE_REALLY);
        return device;
}

static dev_t add_disk(Fixture *f) {
        return add_this_disk(f, own_disk_new());
}

static void write_file(const char *folder, const char *name, size_t size) {
        g_autofree char *path = g_build_filename(folder, name, NULL), *data = g_malloc0(size + 1);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        g_assert_no_errno(fd);
        g_assert_cmpint(write(fd, data, size), ==, (ssize_t) size);
}

#define AWAIT(f, condition)                                                                                  \
        while (!(condition))                                                                                 \
        g_assert_cmpint(sd_event_run((f)->event, PATIENCE_USEC), >, 0)

static void sync_filesystems(Fixture *f, uint64_t timeout_usec) {
        unsigned n = f->n_synced;

        g_assert_no_errno(syncer_sync_filesystems(f->syncer, timeout_usec));
        AWAIT(f, f->n_synced > n);
        g_assert_cmpuint(f->n_synced, ==, n + 1);
}

static const FilesystemSync *find_in(const FilesystemSync *list, size_t n, const char *mountpoint) {
        for (size_t i = 0; i < n; i++)
                if (streq(list[i].mountpoint, mountpoint))
                        return list + i;
        return NULL;
}

/* What was reported at the end of the request. */
static FilesystemResult reported(const Fixture *f, const char *mountpoint) {
        const FilesystemSync *sync = find_in(f->list, f->n_list, mountpoint);

        g_assert_nonnull(sync);
        return sync->result;
}

/* What it is by now. */
static FilesystemResult current(const Fixture *f, const char *mountpoint) {
        size_t n;
        const FilesystemSync *list = syncer_results(f->syncer, &n), *sync = find_in(list, n, mountpoint);

        g_assert_nonnull(sync);
        return sync->result;
}

/* What is mounted how. */

static void test_all(Fixture *f, gconstpointer data) {
        dev_t devices[3];
        uint64_t first_usec, last_usec;

        start_syncer(f, NULL);
        for (unsigned i = 0; i < G_N_ELEMENTS(devices); i++)
                devices[i] = add_disk(f);

        g_assert_no_errno(syncer_sync_filesystems(f->syncer, LONG_USEC));
        g_assert_cmpint(syncer_sync_filesystems(f->syncer, LONG_USEC), ==, -EBUSY);
        AWAIT(f, f->n_synced > 0);

        g_assert_true(f->has_any);
        g_assert_cmpint(f->result, ==, SYNC_OK);
        for (unsigned i = 0; i < G_N_ELEMENTS(devices); i++) {
                g_assert_cmpuint(count_calls(devices[i]), ==, 1);
                g_assert_cmpint(reported(f, f->disks[i].folder), ==, FILESYSTEM_OK);
                g_assert_cmpint(current(f, f->disks[i].folder), ==, FILESYSTEM_OK);
                g_assert_cmpstr(find_in(f->list, f->n_list, f->disks[i].folder)->type, ==, "ext4");
        }
        for (size_t i = 1; i < f->n_list; i++)
                g_assert_cmpuint(f->list[i - 1].duration_usec, >=, f->list[i].duration_usec);
        syncer_entered(f->syncer, &first_usec, &last_usec);
        g_assert_cmpuint(first_usec, >, 0);
        g_assert_cmpuint(last_usec, >=, first_usec);
        g_assert_cmpuint(f->n_changed, >, 0);

        sync_filesystems(f, LONG_USEC);
        g_assert_cmpuint(count_calls(devices[0]), ==, 2);
}

static char *make_folder(const char *name) {
        g_autofree char *template = g_strdup_printf("wbwatch-%s-XXXXXX", name);
        char *folder = g_dir_make_tmp(template, NULL);

        g_assert_nonnull(folder);
        return folder;
}

static void test_xfs(Fixture *f, gconstpointer data) {
        g_autofree char *folder = make_folder("xfs"), *image = g_strconcat(folder, ".img", NULL);
        _cleanup_close_ int fd = open(image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        dev_t device;

        g_assert_no_errno(fd);
        g_assert_no_errno(ftruncate(fd, 320 << 20));
        run_program((const char *const[]){ "mkfs.xfs", "-q", image, NULL });
        run_program((const char *const[]){ "mount", "-o", "loop", image, folder, NULL });
        device = device_of(folder);
        plan(device, BEHAVE_REALLY);
        write_file(folder, "a", 4096);

        start_syncer(f, NULL);
        sync_filesystems(f, LONG_USEC);
        g_assert_cmpint(reported(f, folder), ==, FILESYSTEM_OK);
        g_assert_cmpstr(find_in(f->list, f->n_list, folder)->type, ==, "xfs");
        g_assert_cmpuint(count_calls(device), ==, 1);

        g_assert_no_errno(umount2(folder, 0));
        g_assert_no_errno(unlink(image));
        g_assert_no_errno(rmdir(folder));
}

/* It can be unmounted at once, and is not seen any more then. */
static void test_unmounted(Fixture *f, gconstpointer data) {
        OwnDisk *disk;

        start_syncer(f, NULL);
        (void) add_disk(f);
        disk = f->disks;
        g_assert_no_errno(close(disk->fd));

        for (unsigned i = 0; i < 3; i++) {
                write_file(disk->folder, "a", 65536);
                sync_filesystems(f, LONG_USEC);
                g_assert_cmpint(reported(f, disk->folder), ==, FILESYSTEM_OK);
        }
        g_assert_no_errno(umount2(disk->folder, 0));

        sync_filesystems(f, LONG_USEC);
        g_assert_null(find_in(f->list, f->n_list, disk->folder));

        g_assert_no_errno(rmdir(disk->folder));
        g_free(disk->folder);
        f->n_disks = 0;
}

/* A root that nobody but its owner may open. */
static void test_mode_0700(Fixture *f, gconstpointer data) {
        start_syncer(f, NULL);
        (void) add_disk(f);
        g_assert_no_errno(chown(f->disks[0].folder, 12345, 12345));
        g_assert_no_errno(chmod(f->disks[0].folder, 0700));

        sync_filesystems(f, LONG_USEC);
        g_assert_cmpint(reported(f, f->disks[0].folder), ==, FILESYSTEM_OK);
}

/* CAP_DAC_READ_SEARCH alone. */
static void test_privileges(Fixture *f, gconstpointer data) {
        dev_t device = add_disk(f);
        pid_t pid;

        start_syncer(f, NULL);
        sync_filesystems(f, LONG_USEC);
        pid = pid_of_call(device);
        g_assert_cmphex(process_status_mask(pid, "\nCapEff:\t"), ==, 1 << 2);
        g_assert_cmphex(process_status_mask(pid, "\nCapPrm:\t"), ==, 1 << 2);
        g_assert_cmphex(process_status_mask(pid, "\nCapInh:\t"), ==, 0);
        g_assert_cmphex(process_status_mask(pid, "\nCapAmb:\t"), ==, 0);
        g_assert_cmphex(process_status_mask(pid, "\nNoNewPrivs:\t"), ==, 1);
}

/* Where only a part of it is mounted; a folder or a file. */
static void test_bind_mount(Fixture *f, gconstpointer data) {
        g_autofree char *part = make_folder("part"), *inner = NULL, *file = NULL, *target = NULL;
        OwnDisk *disk = f->disks;
        dev_t device;

        /* First, since a helper that has not begun yet still has the descriptors of this process. */
        start_syncer(f, NULL);
        device = add_disk(f);
        inner = g_build_filename(disk->folder, "inner", NULL);
        file = g_build_filename(disk->folder, "file", NULL);
        target = g_strconcat(part, ".file", NULL);
        g_assert_no_errno(mkdir(inner, 0700));
        write_file(disk->folder, "file", 1);
        g_assert_true(g_file_set_contents(target, "", 0, NULL));
        g_assert_no_errno(mount(inner, part, NULL, MS_BIND, NULL));
        g_assert_no_errno(mount(file, target, NULL, MS_BIND, NULL));

        sync_filesystems(f, LONG_USEC);
        g_assert_cmpint(reported(f, disk->folder), ==, FILESYSTEM_OK);
        g_assert_cmpuint(count_calls(device), ==, 1);

        g_assert_no_errno(close(disk->fd));
        g_assert_no_errno(umount2(disk->folder, 0));
        sync_filesystems(f, LONG_USEC);
        g_assert_cmpint(reported(f, part), ==, FILESYSTEM_OK);
        g_assert_cmpuint(count_calls(device), ==, 2);

        g_assert_no_errno(umount2(part, 0));
        sync_filesystems(f, LONG_USEC);
        g_assert_cmpint(reported(f, target), ==, FILESYSTEM_OK);
        g_assert_cmpuint(count_calls(device), ==, 3);

        g_assert_no_errno(umount2(target, 0));
        g_assert_no_errno(unlink(target));
        g_assert_no_errno(rmdir(part));
        g_assert_no_errno(rmdir(disk->folder));
        g_free(disk->folder);
        f->n_disks = 0;
}

/* Another one is mounted over it: that one must not pass for it. A second mount makes it reachable. */
static void test_hidden(Fixture *f, gconstpointer data) {
        g_autofree char *other = make_folder("other");
        dev_t device = add_disk(f), cover;

        g_assert_no_errno(mount("tmpfs", f->disks[0].folder, "tmpfs", 0, NULL));
        cover = device_of(f->disks[0].folder);
        start_syncer(f, NULL);
        sync_filesystems(f, LONG_USEC);
        g_assert_cmpint(reported(f, f->disks[0].folder), ==, FILESYSTEM_UNREACHABLE);
        g_assert_cmpuint(count_calls(device), ==, 0);
        g_assert_cmpuint(count_calls(cover), ==, 0);

        g_assert_no_errno(umount2(f->disks[0].folder, 0));
        g_assert_no_errno(mount(f->disks[0].folder, other, NULL, MS_BIND, NULL));
        g_assert_no_errno(mount("tmpfs", f->disks[0].folder, "tmpfs", 0, NULL));
        sync_filesystems(f, LONG_USEC);
        g_assert_cmpint(reported(f, f->disks[0].folder), ==, FILESYSTEM_OK);
        g_assert_cmpuint(count_calls(device), ==, 1);

        g_assert_no_errno(umount2(other, 0));
        g_assert_no_errno(umount2(f->disks[0].folder, 0));
        g_assert_no_errno(rmdir(other));
}

/* One that is detached is in no list, though it lives on: that is for sync(2). */
static void test_detached(Fixture *f, gconstpointer data) {
        dev_t device = add_disk(f);

        start_syncer(f, NULL);
        g_assert_no_errno(umount2(f->disks[0].folder, MNT_DETACH));
        sync_filesystems(f, LONG_USEC);
        g_assert_null(find_in(f->list, f->n_list, f->disks[0].folder));
        g_assert_cmpuint(count_calls(device), ==, 0);

        g_assert_no_errno(close(f->disks[0].fd));
        g_assert_no_errno(rmdir(f->disks[0].folder));
        g_free(f->disks[0].folder);
        f->n_disks = 0;
}

static void sync_path_within(Fixture *f, const char *path, uint64_t timeout_usec) {
        unsigned n = f->n_single, n_synced = f->n_synced;
        uint64_t id;

        g_assert_no_errno(syncer_sync_filesystem(f->syncer, path, timeout_usec, &id));
        AWAIT(f, f->n_single > n);
        g_assert_cmpuint(f->n_single, ==, n + 1);
        g_assert_cmpuint(f->single_id, ==, id);
        g_assert_cmpuint(f->n_synced, ==, n_synced);
}

static void sync_path(Fixture *f, const char *path) {
        sync_path_within(f, path, LONG_USEC);
}

static void test_path(Fixture *f, gconstpointer data) {
        g_autofree char *long_path = g_strnfill(PATH_MAX, '/'), *path = NULL, *link = NULL;
        dev_t device = add_disk(f), other = add_disk(f);
        uint64_t id;
        size_t n;

        start_syncer(f, NULL);
        write_file(f->disks[0].folder, "a", 1);
        path = g_build_filename(f->disks[0].folder, "a", NULL);
        sync_path(f, path);
        g_assert_cmpint(f->single_result, ==, FILESYSTEM_OK);
        g_assert_cmpuint(count_calls(device), ==, 1);
        g_assert_cmpuint(count_calls(other), ==, 0);

        link = g_build_filename(f->disks[1].folder, "link", NULL);
        g_assert_no_errno(symlink(path, link));
        sync_path(f, link);
        g_assert_cmpint(f->single_result, ==, FILESYSTEM_OK);
        g_assert_cmpuint(count_calls(device), ==, 2);
        g_assert_cmpuint(count_calls(other), ==, 0);

        /* Of whatever type. */
        sync_path(f, "/tmp");
        g_assert_cmpint(f->single_result, ==, FILESYSTEM_OK);
        g_assert_cmpuint(count_calls(device_of("/tmp")), ==, 1);

        sync_path(f, "/there/is/none");
        g_assert_cmpint(f->single_result, ==, FILESYSTEM_UNREACHABLE);
        g_assert_cmpint(f->single_error, ==, -ENOENT);

        plan(device, BEHAVE_FAIL);
        sync_path(f, path);
        g_assert_cmpint(f->single_result, ==, FILESYSTEM_FAILED);
        g_assert_cmpint(f->single_error, ==, -EIO);
        plan(device, BEHAVE_DIE);
        sync_path(f, path);
        g_assert_cmpint(f->single_result, ==, FILESYSTEM_FAILED);
        g_assert_cmpint(f->single_error, ==, -EPIPE);
        plan(device, BEHAVE_REALLY);
        sync_path(f, path);
        g_assert_cmpint(f->single_result, ==, FILESYSTEM_OK);

        g_assert_cmpint(syncer_sync_filesystem(f->syncer, "", LONG_USEC, &id), ==, -EINVAL);
        g_assert_cmpint(syncer_sync_filesystem(f->syncer, "relative", LONG_USEC, &id), ==, -EINVAL);
        g_assert_cmpint(syncer_sync_filesystem(f->syncer, long_path, LONG_USEC, &id), ==, -ENAMETOOLONG);
        long_path[PATH_MAX - 1] = '\0';
        sync_path(f, long_path);
        g_assert_cmpint(f->single_result, !=, FILESYSTEM_FAILED);

        /* These are no results of the sync of all. */
        (void) syncer_results(f->syncer, &n);
        g_assert_cmpuint(n, ==, 0);
        g_assert_cmpuint(f->n_changed, ==, 0);
}

/* One that hangs delays no sync of all, neither before its time is over nor after it, and the other way
 * round. */
static void test_path_hangs(Fixture *f, gconstpointer data) {
        dev_t device = add_disk(f), other = add_disk(f);
        const char *folder = f->disks[0].folder;
        uint64_t id;

        start_syncer(f, NULL);
        plan(device, BEHAVE_HANG);
        g_assert_no_errno(syncer_sync_filesystem(f->syncer, folder, SHORT_USEC, &id));
        AWAIT(f, count_calls(device) == 1);
        await_entered(1);

        plan(device, BEHAVE_REALLY);
        sync_filesystems(f, LONG_USEC);
        g_assert_cmpint(f->result, ==, SYNC_OK);
        g_assert_cmpint(reported(f, folder), ==, FILESYSTEM_OK);
        g_assert_cmpuint(count_calls(device), ==, 2);

        AWAIT(f, f->n_single > 0);
        g_assert_cmpint(f->single_result, ==, FILESYSTEM_TIMEOUT);
        g_assert_cmpuint(f->single_usec, ==, SHORT_USEC);
        sync_filesystems(f, LONG_USEC);
        g_assert_cmpint(f->result, ==, SYNC_OK);
        g_assert_cmpuint(count_calls(device), ==, 3);

        /* Nothing piles up behind it, and another one has a helper. */
        sync_path(f, folder);
        g_assert_cmpint(f->single_result, ==, FILESYSTEM_TIMEOUT);
        g_assert_cmpuint(count_calls(device), ==, 3);
        sync_path(f, "/tmp");
        g_assert_cmpint(f->single_result, ==, FILESYSTEM_OK);

        /* Both helpers hang: the next scan starts others. */
        plan(other, BEHAVE_HANG);
        sync_path_within(f, f->disks[1].folder, SHORT_USEC);
        g_assert_cmpint(f->single_result, ==, FILESYSTEM_TIMEOUT);
        g_assert_cmpint(syncer_sync_filesystem(f->syncer, "/tmp", LONG_USEC, &id), ==, -EBUSY);
        syncer_ensure_helpers(f->syncer);
        sync_path(f, "/tmp");
        g_assert_cmpint(f->single_result, ==, FILESYSTEM_OK);

        plan(other, BEHAVE_REALLY);
        release(2);
        do
                sync_path(f, folder);
        while (f->single_result == FILESYSTEM_TIMEOUT);
        g_assert_cmpint(f->single_result, ==, FILESYSTEM_OK);
        g_assert_cmpuint(count_calls(device), ==, 4);
}

/* While all filesystems are synced, and one of them hangs. */
static void test_path_meanwhile(Fixture *f, gconstpointer data) {
        dev_t device = add_disk(f), other = add_disk(f);

        start_syncer(f, NULL);
        plan(device, BEHAVE_HANG);
        g_assert_no_errno(syncer_sync_filesystems(f->syncer, LONG_USEC));
        AWAIT(f, count_calls(device) == 1 && count_calls(other) == 1);
        await_entered(1);

        plan(device, BEHAVE_REALLY);
        sync_path(f, f->disks[1].folder);
        g_assert_cmpint(f->single_result, ==, FILESYSTEM_OK);
        sync_path(f, f->disks[0].folder);
        g_assert_cmpint(f->single_result, ==, FILESYSTEM_OK);
        g_assert_cmpuint(count_calls(device), ==, 2);
        g_assert_cmpuint(f->n_synced, ==, 0);

        release(1);
        AWAIT(f, f->n_synced > 0);
        g_assert_cmpint(f->result, ==, SYNC_OK);
}

/* Which of them hang. */

static Evidence read_evidence(Fixture *f) {
        Evidence evidence = {};

        syncer_read_evidence(f->syncer, &evidence);
        g_assert_true(evidence_has(&evidence, EVIDENCE_PENDING_FILESYSTEMS));
        return evidence;
}

static uint64_t count_pending(Fixture *f) {
        return read_evidence(f).values[EVIDENCE_PENDING_FILESYSTEMS];
}

static void test_hang(Fixture *f, gconstpointer data) {
        dev_t device = add_disk(f), other = add_disk(f);
        const char *folder = f->disks[0].folder;
        uint64_t first_usec, last_usec, before_usec;

        start_syncer(f, NULL);
        plan(device, BEHAVE_HANG);

        /* It holds nobody up, and comes first in the list. */
        g_assert_cmpuint(count_pending(f), ==, 0);
        sync_filesystems(f, SHORT_USEC);
        g_assert_cmpuint(count_pending(f), ==, 1);
        g_assert_cmpint(f->result, ==, SYNC_STALLED);
        g_assert_cmpstr(f->list[0].mountpoint, ==, folder);
        g_assert_cmpint(f->list[0].result, ==, FILESYSTEM_TIMEOUT);
        g_assert_cmpuint(f->list[0].duration_usec, >=, SHORT_USEC);
        g_assert_cmpint(reported(f, f->disks[1].folder), ==, FILESYSTEM_OK);
        /* It was requested before the other one was entered. */
        syncer_entered(f->syncer, &first_usec, &last_usec);
        g_assert_cmpuint(first_usec, >, 0);

        /* It is left out, which costs no time, and the other one is synced. */
        sync_filesystems(f, LONG_USEC);
        g_assert_cmpint(f->result, ==, SYNC_STALLED);
        g_assert_cmpint(reported(f, folder), ==, FILESYSTEM_TIMEOUT);
        g_assert_cmpuint(count_calls(device), ==, 1);
        g_assert_cmpuint(count_calls(other), ==, 2);

        /* Neither does the path of the other one care, nor is its own synced twice. */
        sync_path(f, f->disks[1].folder);
        g_assert_cmpint(f->single_result, ==, FILESYSTEM_OK);
        g_assert_cmpuint(count_calls(other), ==, 3);
        before_usec = usec_now(CLOCK_MONOTONIC);
        sync_path(f, folder);
        g_assert_cmpint(f->single_result, ==, FILESYSTEM_TIMEOUT);
        g_assert_cmpuint(f->single_usec, >=, before_usec - last_usec);
        g_assert_cmpuint(count_calls(device), ==, 1);

        plan(device, BEHAVE_REALLY);
        release(1);
        AWAIT(f, current(f, folder) == FILESYSTEM_OK);
        g_assert_cmpuint(count_pending(f), ==, 0);

        sync_filesystems(f, LONG_USEC);
        g_assert_cmpint(f->result, ==, SYNC_OK);
        g_assert_cmpuint(count_calls(device), ==, 2);
}

/* One that still hung when a request began returns while that is under way: it is synced once more. */
static void test_returns_meanwhile(Fixture *f, gconstpointer data) {
        dev_t device = add_disk(f), other = add_disk(f);
        unsigned n;

        start_syncer(f, NULL);
        plan(device, BEHAVE_HANG);
        sync_filesystems(f, SHORT_USEC);

        plan(device, BEHAVE_REALLY);
        plan(other, BEHAVE_HANG);
        await_entered(1);
        n = f->n_synced;
        g_assert_no_errno(syncer_sync_filesystems(f->syncer, LONG_USEC));
        AWAIT(f, count_calls(other) == 2);
        await_entered(1);
        /* That of this request is not a pending one. */
        g_assert_cmpuint(count_pending(f), ==, 1);

        /* Whichever of the two is released: both are in the end. */
        plan(other, BEHAVE_REALLY);
        release(2);
        AWAIT(f, f->n_synced > n);
        g_assert_cmpuint(count_calls(other), ==, 2);
        g_assert_cmpint(f->result == SYNC_OK ? 2 : 1, ==, count_calls(device));
}

/* It returns before the mounts are listed: it is not in the list twice, nor synced twice at once. */
static void test_returns_before_list(Fixture *f, gconstpointer data) {
        dev_t device = add_disk(f);
        g_autoptr(GArray) others = NULL;
        pid_t hanging;
        unsigned n;

        start_syncer(f, NULL);
        plan(device, BEHAVE_HANG);
        sync_filesystems(f, SHORT_USEC);
        await_entered(1);
        plan(device, BEHAVE_REALLY);
        hanging = pid_of_call(device);

        others = process_children(getpid(), "wbwatchd-syncfs");
        for (guint i = 0; i < others->len; i++)
                if (g_array_index(others, pid_t, i) != hanging)
                        g_assert_no_errno(kill(g_array_index(others, pid_t, i), SIGSTOP));
        n = f->n_synced;
        g_assert_no_errno(syncer_sync_filesystems(f->syncer, LONG_USEC));
        release(1);
        AWAIT(f, current(f, f->disks[0].folder) == FILESYSTEM_PENDING);

        for (guint i = 0; i < others->len; i++)
                g_assert_no_errno(kill(g_array_index(others, pid_t, i), SIGCONT));
        AWAIT(f, f->n_synced > n);
        g_assert_cmpint(f->result, ==, SYNC_OK);
        g_assert_cmpuint(count_calls(device), ==, 2);
}

/* So many start at once (SYNCFS_AT_ONCE). */
#define N_HELPERS 4

/* The largest comes first, though it was mounted last; the others follow in the order of mounting. */
static void test_more_than_helpers(Fixture *f, gconstpointer data) {
        dev_t devices[DISKS_MAX];
        unsigned n = 0;

        for (unsigned i = 0; i < DISKS_MAX; i++) {
                devices[i] = add_this_disk(f, i < DISKS_MAX - 1 ? own_disk_new() : own_disk_new_large());
                plan(devices[i], BEHAVE_HANG);
        }
        start_syncer(f, NULL);

        /* The machine's own filesystems are larger, and do not hang. */
        g_assert_no_errno(syncer_sync_filesystems(f->syncer, LONG_USEC));
        AWAIT(f, ({
                      n = 0;
                      for (unsigned i = 0; i < DISKS_MAX; i++)
                              n += count_calls(devices[i]);
                      n >= N_HELPERS;
              }));
        await_entered(N_HELPERS);
        g_assert_cmpuint(n, ==, N_HELPERS);
        g_assert_cmpuint(count_calls(devices[DISKS_MAX - 1]), ==, 1);
        for (unsigned i = N_HELPERS - 1; i < DISKS_MAX - 1; i++)
                g_assert_cmpuint(count_calls(devices[i]), ==, 0);

        release(DISKS_MAX);
        AWAIT(f, f->n_synced > 0);
        g_assert_cmpint(f->result, ==, SYNC_OK);
        for (unsigned i = 0; i < DISKS_MAX; i++)
                g_assert_cmpuint(count_calls(devices[i]), ==, 1);
}

static void reopen_disk(OwnDisk *disk) {
        disk->fd = open(disk->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        g_assert_no_errno(disk->fd);
}

static void unmount_disk(OwnDisk *disk) {
        g_assert_no_errno(close(disk->fd));
        g_assert_no_errno(umount2(disk->folder, 0));
}

static void bind_mount(const char *from, const char *to) {
        g_assert_no_errno(mount(from, to, NULL, MS_BIND, NULL));
}

/* While they wait for a helper, another takes the place of one (and the id of its mount, which the kernel
 * uses again), and one is mounted elsewhere. */
static void test_mounts_change(Fixture *f, gconstpointer data) {
        g_autofree char *elsewhere = make_folder("elsewhere");
        OwnDisk *replaced = f->disks + N_HELPERS, *moved = replaced + 1, *other = moved + 1;
        dev_t devices[N_HELPERS + 3];

        start_syncer(f, NULL);
        for (unsigned i = 0; i < ELEMENTSOF(devices); i++) {
                devices[i] = add_disk(f);
                plan(devices[i], i < N_HELPERS ? BEHAVE_HANG : BEHAVE_REALLY);
        }

        g_assert_no_errno(syncer_sync_filesystems(f->syncer, LONG_USEC));
        for (unsigned i = 0; i < N_HELPERS; i++)
                AWAIT(f, count_calls(devices[i]) > 0);
        unmount_disk(replaced);
        bind_mount(other->folder, replaced->folder);
        bind_mount(moved->folder, elsewhere);
        unmount_disk(moved);

        release(N_HELPERS);
        AWAIT(f, f->n_synced > 0);
        g_assert_cmpint(reported(f, replaced->folder), ==, FILESYSTEM_UNREACHABLE);
        g_assert_cmpint(reported(f, moved->folder), ==, FILESYSTEM_OK);
        g_assert_cmpint(reported(f, other->folder), ==, FILESYSTEM_OK);
        for (unsigned i = 0; i < ELEMENTSOF(devices); i++)
                g_assert_cmpuint(count_calls(devices[i]), ==, devices[i] == devices[N_HELPERS] ? 0 : 1);

        reopen_disk(replaced);
        bind_mount(elsewhere, moved->folder);
        reopen_disk(moved);
        g_assert_no_errno(umount2(elsewhere, 0));
        g_assert_no_errno(rmdir(elsewhere));
}

/* It says so until a helper has the last filesystem. */
static void test_handing_out(Fixture *f, gconstpointer data) {
        dev_t devices[N_HELPERS + 1];

        for (unsigned i = 0; i <= N_HELPERS; i++) {
                devices[i] = add_disk(f);
                plan(devices[i], BEHAVE_HANG);
        }
        start_syncer(f, NULL);
        g_assert_false(syncer_is_handing_out(f->syncer));

        g_assert_no_errno(syncer_sync_filesystems(f->syncer, LONG_USEC));
        g_assert_true(syncer_is_handing_out(f->syncer));
        AWAIT(f, sem_trywait(&shared->entered) == 0);
        g_assert_true(syncer_is_handing_out(f->syncer));
        g_assert_cmpuint(count_calls(devices[N_HELPERS]), ==, 0);

        release(1);
        AWAIT(f, !syncer_is_handing_out(f->syncer));
        g_assert_cmpuint(f->n_synced, ==, 0);
        release(N_HELPERS);
        AWAIT(f, f->n_synced > 0);
        g_assert_cmpint(f->result, ==, SYNC_OK);
        g_assert_cmpuint(count_calls(devices[N_HELPERS]), ==, 1);
        g_assert_false(syncer_is_handing_out(f->syncer));

        /* The time is over before they are listed. */
        g_assert_no_errno(syncer_sync_filesystems(f->syncer, 0));
        AWAIT(f, f->n_synced > 1);
        g_assert_false(syncer_is_handing_out(f->syncer));
}

/* As many hang as there are helpers: substitutes sync the others. */
static void test_substitutes(Fixture *f, gconstpointer data) {
        dev_t devices[DISKS_MAX];

        for (unsigned i = 0; i < DISKS_MAX; i++) {
                devices[i] = add_disk(f);
                plan(devices[i], i < N_HELPERS ? BEHAVE_HANG : BEHAVE_REALLY);
        }
        start_syncer(f, NULL);

        sync_filesystems(f, SHORT_USEC);
        g_assert_cmpint(f->result, ==, SYNC_STALLED);
        g_assert_cmpint(reported(f, f->disks[9].folder), ==, FILESYSTEM_TIMEOUT);
        g_assert_cmpuint(count_calls(devices[9]), ==, 0);

        syncer_ensure_helpers(f->syncer);
        AWAIT(f, current(f, f->disks[8].folder) == FILESYSTEM_OK &&
                                 current(f, f->disks[9].folder) == FILESYSTEM_OK);

        sync_filesystems(f, LONG_USEC);
        g_assert_cmpuint(count_calls(devices[9]), ==, 2);
        g_assert_cmpuint(count_calls(devices[0]), ==, 1);
}

/* One that a substitute syncs after its request has ended hangs, too: its path is not synced behind it. */
static void test_substitute_hangs(Fixture *f, gconstpointer data) {
        dev_t devices[N_HELPERS + 1];
        const char *last;

        for (unsigned i = 0; i <= N_HELPERS; i++) {
                devices[i] = add_disk(f);
                plan(devices[i], BEHAVE_HANG);
        }
        last = f->disks[N_HELPERS].folder;
        start_syncer(f, NULL);

        sync_filesystems(f, SHORT_USEC);
        g_assert_cmpint(f->result, ==, SYNC_STALLED);
        g_assert_cmpuint(count_calls(devices[N_HELPERS]), ==, 0);
        syncer_ensure_helpers(f->syncer);
        await_entered(N_HELPERS + 1);

        sync_path(f, last);
        g_assert_cmpint(f->single_result, ==, FILESYSTEM_TIMEOUT);
        g_assert_cmpuint(count_calls(devices[N_HELPERS]), ==, 1);

        release(N_HELPERS + 1);
        AWAIT(f, current(f, last) == FILESYSTEM_OK);
}

/* Real ones: the kernel does not return from syncfs(2) while the disk below does not answer. */
static void test_frozen(Fixture *f, gconstpointer data) {
        g_autofree char *folder = make_folder("inner"), *image = NULL;
        _cleanup_close_ int pidfd = -EBADF, fd = -EBADF;
        OwnDisk *outer;
        dev_t inner;

        (void) add_disk(f);
        outer = f->disks;
        image = g_build_filename(outer->folder, "image", NULL);
        fd = open(image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        g_assert_no_errno(fd);
        g_assert_no_errno(posix_fallocate(fd, 0, 16 << 20));
        run_program((const char *const[]){ "mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0",
                                           image, NULL });
        run_program((const char *const[]){ "mount", "-o", "loop", image, folder, NULL });
        inner = device_of(folder);
        plan(inner, BEHAVE_REALLY);
        (void) add_disk(f);
        start_syncer(f, NULL);
        sync_filesystems(f, LONG_USEC);
        g_assert_cmpint(f->result, ==, SYNC_OK);

        own_disk_freeze(outer);
        write_file(folder, "a", 1 << 20);
        sync_filesystems(f, SHORT_USEC);
        g_assert_cmpint(f->result, ==, SYNC_STALLED);
        g_assert_cmpint(reported(f, f->disks[1].folder), ==, FILESYSTEM_OK);
        g_assert_cmpint(reported(f, folder), ==, FILESYSTEM_TIMEOUT);
        own_disk_thaw(outer);
        AWAIT(f, current(f, folder) == FILESYSTEM_OK);

        /* Its end does not wait for the helper, which ends with the hang. */
        own_disk_freeze(outer);
        write_file(folder, "b", 1 << 20);
        atomic_store(&shared->n_calls, 0);
        sync_filesystems(f, SHORT_USEC);
        pidfd = pidfd_open(pid_of_call(inner), 0);
        g_assert_no_errno(pidfd);
        f->syncer = syncer_free(f->syncer);
        g_assert_cmpint(poll(&(struct pollfd){ .fd = pidfd, .events = POLLIN }, 1, 0), ==, 0);
        own_disk_thaw(outer);
        g_assert_cmpint(poll(&(struct pollfd){ .fd = pidfd, .events = POLLIN }, 1,
                             (int) (PATIENCE_USEC / USEC_PER_MSEC)),
                        ==, 1);
        g_assert_no_errno(umount2(folder, 0));
        g_assert_no_errno(rmdir(folder));
}

#define MEMINFO "/tmp/meminfo"
#define MEMINFO_DIRTY_KIB 4000000000

/* Dirty and Writeback of /proc/meminfo, as the test writes them. */
typedef struct Meminfo {
        int fd;
        unsigned dirty_kib, step_kib;
        sd_event_source *timer;
} Meminfo;

static void meminfo_write(Meminfo *meminfo) {
        g_autofree char *text = g_strdup_printf(
                        "MemTotal: 1 kB\nDirty: %10u kB\nWriteback: %10u kB\nWritebackTmp: 7 kB\n",
                        meminfo->dirty_kib, 0U);

        g_assert_cmpint(pwrite(meminfo->fd, text, strlen(text), 0), ==, (ssize_t) strlen(text));
}

static int on_meminfo_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Meminfo *meminfo = userdata;

        meminfo->dirty_kib -= meminfo->step_kib;
        meminfo_write(meminfo);
        g_assert_cmpint(sd_event_source_set_time(source, usec + 100 * USEC_PER_MSEC), >=, 0);
        return sd_event_source_set_enabled(source, SD_EVENT_ON);
}

static void meminfo_begin(Meminfo *meminfo, sd_event *event) {
        meminfo->fd = open(MEMINFO, O_RDWR | O_CLOEXEC);
        g_assert_no_errno(meminfo->fd);
        meminfo->dirty_kib = MEMINFO_DIRTY_KIB;
        meminfo_write(meminfo);
        g_assert_cmpint(sd_event_add_time_relative(
                                        event, &meminfo->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC,
                                        on_meminfo_timer, meminfo),
                        ==, 0);
}

static void meminfo_end(Meminfo *meminfo) {
        sd_event_source_disable_unref(meminfo->timer);
        meminfo->dirty_kib = MEMINFO_DIRTY_KIB;
        meminfo_write(meminfo);
        g_assert_no_errno(close(meminfo->fd));
}

/* For all tests: what others write on this machine is no progress here. */
static bool meminfo_mount(void) {
        Meminfo meminfo = { .dirty_kib = MEMINFO_DIRTY_KIB };

        meminfo.fd = open(MEMINFO, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (meminfo.fd < 0)
                return false;
        meminfo_write(&meminfo);
        (void) close(meminfo.fd);
        return mount(MEMINFO, "/proc/meminfo", NULL, MS_BIND, NULL) >= 0;
}

/* While the disks make progress it is called slow. */
static void test_slow(Fixture *f, gconstpointer data) {
        dev_t device = add_disk(f);
        const char *folder = f->disks[0].folder;
        uint64_t dirty, writeback;
        Meminfo meminfo = { .step_kib = 1000 };

        meminfo_begin(&meminfo, f->event);
        start_syncer(f, NULL);
        g_assert_no_errno(syncer_dirty_bytes(f->syncer, &dirty, &writeback));
        g_assert_cmpuint(dirty, ==, (uint64_t) MEMINFO_DIRTY_KIB * 1024);
        g_assert_cmpuint(writeback, ==, 0);

        plan(device, BEHAVE_HANG);
        sync_filesystems(f, 2 * SHORT_USEC);
        g_assert_cmpint(f->result, ==, SYNC_OK);
        g_assert_cmpint(reported(f, folder), ==, FILESYSTEM_SLOW);

        /* No more progress. */
        meminfo.step_kib = 0;
        AWAIT(f, current(f, folder) == FILESYSTEM_TIMEOUT);
        meminfo_end(&meminfo);

        plan(device, BEHAVE_REALLY);
        release(1);
        AWAIT(f, current(f, folder) == FILESYSTEM_OK);
}

/* Who dies, or fails. */

static void test_dies(Fixture *f, gconstpointer data) {
        dev_t device = add_disk(f), failing = add_disk(f);

        (void) add_disk(f);
        start_syncer(f, NULL);
        plan(device, BEHAVE_DIE);
        plan(failing, BEHAVE_FAIL);
        sync_filesystems(f, LONG_USEC);
        g_assert_cmpint(f->result, ==, SYNC_FAILED);
        g_assert_cmpint(reported(f, f->disks[0].folder), ==, FILESYSTEM_FAILED);
        g_assert_cmpint(reported(f, f->disks[1].folder), ==, FILESYSTEM_FAILED);
        g_assert_cmpint(reported(f, f->disks[2].folder), ==, FILESYSTEM_OK);

        plan(device, BEHAVE_REALLY);
        plan(failing, BEHAVE_REALLY);
        sync_filesystems(f, LONG_USEC);
        g_assert_cmpint(f->result, ==, SYNC_OK);
}

/* sync(2). */

static void sync_everything(Fixture *f, uint64_t timeout_usec) {
        unsigned n = f->n_everything;

        g_assert_no_errno(syncer_sync_everything(f->syncer, timeout_usec));
        AWAIT(f, f->n_everything > n);
        g_assert_cmpuint(f->n_everything, ==, n + 1);
}

static void test_everything(Fixture *f, gconstpointer data) {
        uint64_t before = usec_now(CLOCK_MONOTONIC);

        start_syncer(f, NULL);
        g_assert_no_errno(syncer_sync_everything(f->syncer, LONG_USEC));
        g_assert_cmpint(syncer_sync_everything(f->syncer, LONG_USEC), ==, -EBUSY);
        AWAIT(f, f->n_everything > 0);
        g_assert_cmpint(f->everything_result, ==, SYNC_OK);
        g_assert_cmpuint(f->entered_usec, >=, before);
        g_assert_cmpuint(f->entered_usec + f->duration_usec, <=, usec_now(CLOCK_MONOTONIC));
        g_assert_cmpuint(count_calls(0), ==, 1);
        g_assert_cmpuint(atomic_load(&shared->n_calls), ==, 1);
}

static void test_everything_hangs(Fixture *f, gconstpointer data) {
        start_syncer(f, NULL);
        plan(0, BEHAVE_HANG);
        sync_everything(f, SHORT_USEC);
        g_assert_cmpint(f->everything_result, ==, SYNC_STALLED);

        /* Nothing piles up behind it, and the filesystems are synced all the same. */
        sync_everything(f, LONG_USEC);
        g_assert_cmpint(f->everything_result, ==, SYNC_STALLED);
        g_assert_cmpuint(count_calls(0), ==, 1);
        (void) add_disk(f);
        sync_filesystems(f, LONG_USEC);
        g_assert_cmpint(reported(f, f->disks[0].folder), ==, FILESYSTEM_OK);

        /* As soon as it has returned, there is a next one. */
        plan(0, BEHAVE_FAIL);
        release(1);
        do
                sync_everything(f, SHORT_USEC);
        while (f->everything_result == SYNC_STALLED);
        g_assert_cmpint(f->everything_result, ==, SYNC_OK);
        g_assert_cmpuint(count_calls(0), ==, 2);
}

static void test_everything_progresses(Fixture *f, gconstpointer data) {
        Meminfo meminfo = { .step_kib = 1000 };

        meminfo_begin(&meminfo, f->event);
        start_syncer(f, NULL);
        plan(0, BEHAVE_HANG);
        g_assert_no_errno(syncer_sync_everything(f->syncer, SHORT_USEC));
        await_entered(1);

        /* Twice its timeout, and it goes on. */
        AWAIT(f, meminfo.dirty_kib <= MEMINFO_DIRTY_KIB - 30 * 1000);
        g_assert_cmpuint(f->n_everything, ==, 0);

        meminfo.step_kib = 0;
        AWAIT(f, f->n_everything > 0);
        g_assert_cmpint(f->everything_result, ==, SYNC_STALLED);
        meminfo_end(&meminfo);
}

static void test_everything_dies(Fixture *f, gconstpointer data) {
        start_syncer(f, NULL);
        plan(0, BEHAVE_DIE);
        sync_everything(f, LONG_USEC);
        g_assert_cmpint(f->everything_result, ==, SYNC_FAILED);

        plan(0, BEHAVE_FAIL);
        sync_everything(f, LONG_USEC);
        g_assert_cmpint(f->everything_result, ==, SYNC_OK);
}

/* The self-test, and the program that forks helpers. */

static void self_test(Fixture *f) {
        unsigned n = f->n_self_tested;
        uint64_t id;

        g_assert_no_errno(syncer_self_test(f->syncer));
        g_assert_cmpint(syncer_self_test(f->syncer), ==, -EBUSY);
        g_assert_cmpint(syncer_sync_filesystems(f->syncer, LONG_USEC), ==, -EBUSY);
        g_assert_cmpint(syncer_sync_filesystem(f->syncer, "/tmp", LONG_USEC, &id), ==, -EBUSY);
        g_assert_cmpint(syncer_sync_everything(f->syncer, LONG_USEC), ==, -EBUSY);
        AWAIT(f, f->n_self_tested > n);
}

static void test_self_test(Fixture *f, gconstpointer data) {
        dev_t device = add_disk(f);
        size_t n;

        start_syncer(f, NULL);
        self_test(f);
        g_assert_cmpint(f->self_tested, ==, 0);
        g_assert_cmpuint(atomic_load(&shared->n_calls), ==, 0);
        (void) syncer_results(f->syncer, &n);
        g_assert_cmpuint(n, ==, 0);
        g_assert_cmpuint(f->n_synced, ==, 0);

        sync_filesystems(f, LONG_USEC);
        g_assert_cmpint(f->result, ==, SYNC_OK);
        g_assert_cmpuint(count_calls(device), ==, 1);
}

#define SOCKET "/tmp/wbwatch-test-socket"
#define PRIORITY_SOCKET "/tmp/wbwatch-test-priority"

/* Beyond the descriptors that start_program() replaces. */
static int bind_socket(const char *path, int type) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
        int bound_fd;

        g_assert_no_errno(fd);
        (void) unlink(path);
        memcpy(address.sun_path, path, strlen(path));
        g_assert_no_errno(bind(fd, (struct sockaddr *) &address, sizeof(address)));
        bound_fd = fcntl(fd, F_DUPFD_CLOEXEC, 10);
        g_assert_no_errno(bound_fd);
        return bound_fd;
}

static int listen_at_socket(void) {
        int fd = bind_socket(SOCKET, SOCK_SEQPACKET);

        g_assert_no_errno(listen(fd, 64));
        return fd;
}

/* Those of the capabilities that its unit gives the program that this process has. A container may lack
 * CAP_SYS_RESOURCE. */
static uint64_t given_capabilities(void) {
        return process_status_mask(getpid(), "\nCapPrm:\t") &
               (CAP_TO_MASK(CAP_DAC_READ_SEARCH) | CAP_TO_MASK(CAP_SYS_RESOURCE) | CAP_TO_MASK(CAP_SYS_NICE));
}

/* Becomes another user with these capabilities. */
static void become_user(void) {
        const uint32_t given = (uint32_t) given_capabilities();
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        const struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
                { .effective = given, .permitted = given, .inheritable = given },
        };

        if (prctl(PR_SET_KEEPCAPS, 1) < 0 || setresgid(12345, 12345, 12345) < 0 ||
            setresuid(12345, 12345, 12345) < 0 || syscall(SYS_capset, &header, data) < 0)
                _exit(EXIT_FAILURE);
        for (int capability = 0; capability < 32; capability++)
                if (given & (UINT32_C(1) << capability) &&
                    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0)
                        _exit(EXIT_FAILURE);
}

/* As its unit starts it, or as that of an earlier version did (no priority_fd); also with mounts of its own,
 * or as another user. */
static pid_t start_program_with(int listen_fd, int priority_fd, int flags, bool as_user) {
        const char *program = g_getenv("WBWATCH_SYNCFS");
        pid_t pid, test = getpid();

        g_assert_nonnull(program);
        pid = fork();
        g_assert_no_errno(pid);
        if (pid > 0)
                return pid;

        (void) close(4);
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != test || dup2(listen_fd, 3) < 0 ||
            (priority_fd >= 0 && dup2(priority_fd, 4) < 0) || unshare(flags) < 0)
                _exit(EXIT_FAILURE);
        g_setenv("LISTEN_PID", g_strdup_printf("%d", (int) getpid()), TRUE);
        g_setenv("LISTEN_FDS", "1", TRUE);
        if (as_user)
                become_user();
        (void) execl(program, program, NULL);
        _exit(EXIT_FAILURE);
}

static pid_t start_program(int listen_fd, int flags, bool as_user) {
        return start_program_with(listen_fd, -EBADF, flags, as_user);
}

static void test_program(Fixture *f, gconstpointer data) {
        _cleanup_close_ int listen_fd = listen_at_socket();
        dev_t device = add_disk(f);
        pid_t pid;

        /* The syncer may be there first. */
        start_syncer(f, SOCKET);
        pid = start_program(listen_fd, 0, false);
        self_test(f);
        g_assert_cmpint(f->self_tested, ==, 0);

        write_file(f->disks[0].folder, "a", 4096);
        sync_path(f, f->disks[0].folder);
        g_assert_cmpint(f->single_result, ==, FILESYSTEM_OK);
        /* It did that, and not a fork of this program. */
        g_assert_cmpuint(count_calls(device), ==, 0);

        /* It ends, and all its helpers with it; another one listens. */
        g_assert_no_errno(kill(pid, SIGKILL));
        g_assert_no_errno(waitpid(pid, NULL, 0));
        pid = start_program(listen_fd, 0, false);
        sync_path(f, f->disks[0].folder);
        g_assert_cmpint(f->single_result, ==, FILESYSTEM_OK);
        g_assert_cmpuint(count_calls(device), ==, 0);

        /* It ends, and nobody listens any more. */
        g_assert_no_errno(kill(pid, SIGKILL));
        g_assert_no_errno(waitpid(pid, NULL, 0));
        closep(&listen_fd);
        listen_fd = -EBADF;
        sync_path(f, f->disks[0].folder);
        g_assert_cmpint(f->single_result, ==, FILESYSTEM_OK);
        g_assert_cmpuint(count_calls(device), ==, 1);
        (void) unlink(SOCKET);
}

/* It sees what the sandbox of the syncer hides: a filesystem (ProtectHome=), and all of /proc but processes
 * (ProcSubset=pid). */
static void test_program_outside(Fixture *f, gconstpointer data) {
        _cleanup_close_ int listen_fd = listen_at_socket();
        _cleanup_close_ int trigger_fd = kernel_file_open(KERNEL_FILE_CPU_TRIGGER), attached_fd = -EBADF;
        uint64_t dirty, writeback;
        const char *folder;
        uint32_t present;
        pid_t pid;

        (void) add_disk(f);
        folder = f->disks[0].folder;
        pid = start_program(listen_fd, CLONE_NEWNS, false);
        start_syncer(f, SOCKET);
        self_test(f);
        present = read_evidence(f).present;
        g_assert_cmpuint(present & (1u << EVIDENCE_DIRTY), !=, 0);
        f->syncer = syncer_free(f->syncer);

        g_assert_no_errno(mount("tmpfs", folder, "tmpfs", 0, NULL));
        g_assert_no_errno(mount("proc", "/proc", "proc", 0, "subset=pid"));
        start_syncer(f, SOCKET);
        g_assert_cmpint(syncer_dirty_bytes(f->syncer, &dirty, &writeback), ==, -ENODATA);
        g_assert_cmpuint(
                        read_evidence(f).present & ~(1u << EVIDENCE_DYING_CGROUPS), ==,
                        1u << EVIDENCE_PENDING_FILESYSTEMS);
        g_assert_cmpint(syncer_take_cpu_trigger(f->syncer), <, 0);
        self_test(f);
        g_assert_cmpuint(read_evidence(f).present, ==, present);
        g_assert_cmpint(f->self_tested, ==, 0);
        attached_fd = syncer_take_cpu_trigger(f->syncer);
        g_assert_true(attached_fd >= 0 || trigger_fd < 0);
        g_assert_no_errno(syncer_dirty_bytes(f->syncer, &dirty, &writeback));
        g_assert_cmpuint(dirty, ==, (uint64_t) MEMINFO_DIRTY_KIB * 1024);
        sync_filesystems(f, LONG_USEC);
        g_assert_cmpint(reported(f, folder), ==, FILESYSTEM_OK);

        g_assert_no_errno(kill(pid, SIGKILL));
        g_assert_no_errno(umount2("/proc", 0));
        g_assert_no_errno(umount2(folder, 0));
        (void) unlink(SOCKET);
}

static pid_t child_of(pid_t pid) {
        g_autofree char *path = g_strdup_printf("/proc/%d/task/%d/children", (int) pid, (int) pid),
                        *text = NULL;

        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        g_assert_cmpint(atoi(text), >, 0);
        return atoi(text);
}

/* It gives one of its capabilities up before it starts a helper, and its helpers all but one. */
static void test_program_capabilities(Fixture *f, gconstpointer data) {
        static const char *const sets[] = { "\nCapEff:\t", "\nCapPrm:\t", "\nCapAmb:\t" };
        _cleanup_close_ int listen_fd = listen_at_socket();
        pid_t pid;

        (void) add_disk(f);
        if (!(given_capabilities() & CAP_TO_MASK(CAP_SYS_RESOURCE)))
                g_test_message("without CAP_SYS_RESOURCE, which this container lacks");

        pid = start_program(listen_fd, 0, true);
        start_syncer(f, SOCKET);
        self_test(f);
        g_assert_cmpint(f->self_tested, ==, 0);

        for (size_t i = 0; i < ELEMENTSOF(sets); i++) {
                g_assert_cmphex(process_status_mask(pid, sets[i]), ==,
                                given_capabilities() & ~(uint64_t) CAP_TO_MASK(CAP_SYS_RESOURCE));
                g_assert_cmphex(process_status_mask(child_of(pid), sets[i]), ==,
                                streq(sets[i], "\nCapAmb:\t") ? 0 : CAP_TO_MASK(CAP_DAC_READ_SEARCH));
        }

        g_assert_no_errno(kill(pid, SIGKILL));
        (void) unlink(SOCKET);
}

/* A program whose helpers die at once, or one that does not answer. */
static void test_bad_program(Fixture *f, gconstpointer data) {
        _cleanup_close_ int listen_fd = listen_at_socket();
        dev_t device = add_disk(f);
        pid_t pid = 0;

        if (data) {
                pid = fork();
                g_assert_no_errno(pid);
                if (pid == 0) {
                        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                        for (;;)
                                (void) close(accept(listen_fd, NULL, NULL));
                }
        }

        start_syncer(f, SOCKET);
        self_test(f);
        g_assert_cmpint(f->self_tested, ==, 0);
        sync_filesystems(f, LONG_USEC);
        g_assert_cmpint(reported(f, f->disks[0].folder), ==, FILESYSTEM_OK);
        g_assert_cmpuint(count_calls(device), ==, 1);

        if (pid > 0)
                (void) kill(pid, SIGKILL);
        (void) unlink(SOCKET);
}

/* Flush workers. A process of the test stands for one: a file over its stat says that it is. */

static pid_t start_flush_worker(void) {
        g_autofree char *stat = NULL, *fake = NULL, *text = NULL;
        pid_t pid = fake_thread_process();

        stat = g_strdup_printf("/proc/%d/stat", (int) pid);
        fake = g_strdup_printf("/tmp/stat-%d", (int) pid);
        text = fake_thread_stat_text(&(FakeThread){ pid, "kworker/u8:3+flush-8:0", FLAGS_WORKER });
        g_assert_true(g_file_set_contents(fake, text, -1, NULL));
        g_assert_no_errno(chmod(fake, 0644));
        g_assert_no_errno(mount(fake, stat, NULL, MS_BIND, NULL));
        return pid;
}

static void stop_flush_worker(pid_t pid) {
        g_autofree char *stat = g_strdup_printf("/proc/%d/stat", (int) pid);

        g_assert_no_errno(umount2(stat, MNT_DETACH));
        g_assert_no_errno(kill(pid, SIGKILL));
        g_assert_no_errno(waitpid(pid, NULL, 0));
}

/* There is no event for it. */
static void await_nice(pid_t pid, int nice) {
        uint64_t end_usec = usec_now(CLOCK_MONOTONIC) + PATIENCE_USEC;

        while (getpriority(PRIO_PROCESS, (id_t) pid) != nice) {
                g_assert_cmpuint(usec_now(CLOCK_MONOTONIC), <, end_usec);
                g_usleep(1000);
        }
}

/* Returns the number of workers that the next datagram names, or -1 if there is none. */
static int receive_workers(int fd, pid_t *ret_first) {
        FlushWorkers workers;
        ssize_t n = recv(fd, &workers, sizeof(workers), MSG_DONTWAIT);

        if (n < 0)
                return -1;
        g_assert_cmpint(n, ==, sizeof(workers));
        *ret_first = workers.pids[0];
        return (int) workers.n;
}

static const FlushWorkers no_workers = {};

/* Begins a sync that hangs until end_hanging_sync(). */
static void begin_hanging_sync(Fixture *f, dev_t device, uint64_t timeout_usec) {
        plan(device, BEHAVE_HANG);
        g_assert_no_errno(syncer_sync_filesystems(f->syncer, timeout_usec));
        AWAIT(f, sem_trywait(&shared->entered) == 0);
}

static void end_hanging_sync(Fixture *f, const char *folder) {
        release(1);
        AWAIT(f, current(f, folder) == FILESYSTEM_OK);
}

/* The daemon names them as soon as a helper syncs, and none afterwards. */
static void test_flush_workers_named(Fixture *f, gconstpointer data) {
        _cleanup_close_ int fd = bind_socket(PRIORITY_SOCKET, SOCK_DGRAM);
        const FlushWorkers workers = { .n = 1, .pids = { 12345 } };
        dev_t device = add_disk(f);
        const char *folder = f->disks[0].folder;
        pid_t first = 0;

        f->priority_path = PRIORITY_SOCKET;
        start_syncer(f, NULL);
        syncer_set_flush_workers(f->syncer, &workers);
        g_assert_cmpint(receive_workers(fd, &first), ==, -1);

        begin_hanging_sync(f, device, SHORT_USEC);
        g_assert_cmpint(receive_workers(fd, &first), ==, 1);
        g_assert_cmpint(first, ==, 12345);
        g_assert_cmpint(receive_workers(fd, &first), ==, -1);
        syncer_set_flush_workers(f->syncer, &no_workers);
        g_assert_cmpint(receive_workers(fd, &first), ==, 0);
        syncer_set_flush_workers(f->syncer, &no_workers);
        g_assert_cmpint(receive_workers(fd, &first), ==, -1);
        syncer_set_flush_workers(f->syncer, &workers);
        g_assert_cmpint(receive_workers(fd, &first), ==, 1);
        g_assert_cmpint(first, ==, 12345);

        /* Its timeout changes nothing. Each call sends one: otherwise the other side takes this process for
         * dead. */
        AWAIT(f, f->n_synced == 1);
        g_assert_cmpint(receive_workers(fd, &first), ==, -1);
        syncer_set_flush_workers(f->syncer, &workers);
        g_assert_cmpint(receive_workers(fd, &first), ==, 1);
        end_hanging_sync(f, folder);
        g_assert_cmpint(receive_workers(fd, &first), ==, 0);
        syncer_set_flush_workers(f->syncer, &no_workers);
        g_assert_cmpint(receive_workers(fd, &first), ==, -1);
        begin_hanging_sync(f, device, LONG_USEC);
        g_assert_cmpint(receive_workers(fd, &first), ==, -1);
        end_hanging_sync(f, folder);

        /* So does the end of the syncer. */
        syncer_set_flush_workers(f->syncer, &workers);
        begin_hanging_sync(f, device, LONG_USEC);
        g_assert_cmpint(receive_workers(fd, &first), ==, 1);
        f->syncer = syncer_free(f->syncer);
        g_assert_cmpint(receive_workers(fd, &first), ==, 0);
        (void) unlink(PRIORITY_SOCKET);
}

/* What a filter forbids shows itself at the start. */
static void test_flush_workers_self_test(Fixture *f, gconstpointer data) {
        _cleanup_close_ int fd = bind_socket(PRIORITY_SOCKET, SOCK_DGRAM);
        pid_t first = 0;

        (void) add_disk(f);
        f->priority_path = PRIORITY_SOCKET;
        start_syncer(f, NULL);
        self_test(f);
        g_assert_cmpint(receive_workers(fd, &first), ==, 0);
        (void) unlink(PRIORITY_SOCKET);
}

/* Where nobody listens, a process with the capability does it by itself. */
static void test_flush_workers_alone(Fixture *f, gconstpointer data) {
        dev_t device;
        pid_t pid;

        if (!(given_capabilities() & CAP_TO_MASK(CAP_SYS_NICE))) {
                g_test_skip("needs CAP_SYS_NICE");
                return;
        }

        pid = start_flush_worker();
        device = add_disk(f);
        f->priority_path = data;
        start_syncer(f, NULL);
        syncer_set_flush_workers(f->syncer, &(FlushWorkers){ .n = 1, .pids = { pid } });
        begin_hanging_sync(f, device, LONG_USEC);
        g_assert_cmpint(getpriority(PRIO_PROCESS, (id_t) pid), ==, FLUSH_PRIORITY_NICE);
        end_hanging_sync(f, f->disks[0].folder);
        g_assert_cmpint(getpriority(PRIO_PROCESS, (id_t) pid), ==, 0);
        stop_flush_worker(pid);
}

/* The log has the reason once: that nobody listens, since this process lacks the capability. */
static void test_flush_workers_refused(Fixture *f, gconstpointer data) {
        const FlushWorkers workers = { .n = 1, .pids = { 12345 } };
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct capabilities[_LINUX_CAPABILITY_U32S_3];
        dev_t device;

        if (!g_test_subprocess()) {
                g_test_trap_subprocess(NULL, PATIENCE_USEC, G_TEST_SUBPROCESS_DEFAULT);
                g_test_trap_assert_passed();
                g_test_trap_assert_stderr("*Can't give flush workers priority*No such file or directory*");
                g_test_trap_assert_stderr_unmatched("*Can't give*Can't give*");
                return;
        }

        device = add_disk(f);
        log_set_max_level(LOG_INFO);
        f->priority_path = "/tmp/nobody-listens-here";
        start_syncer(f, NULL);
        begin_hanging_sync(f, device, LONG_USEC);
        g_assert_no_errno(syscall(SYS_capget, &header, capabilities));
        capabilities[0].effective &= ~CAP_TO_MASK(CAP_SYS_NICE);
        g_assert_no_errno(syscall(SYS_capset, &header, capabilities));
        syncer_set_flush_workers(f->syncer, &workers);
        syncer_set_flush_workers(f->syncer, &no_workers);
        syncer_set_flush_workers(f->syncer, &workers);
        end_hanging_sync(f, f->disks[0].folder);
}

static void send_workers(const FlushWorkers *workers) {
        struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = PRIORITY_SOCKET };
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        g_assert_no_errno(fd);
        g_assert_cmpint(sendto(fd, workers, sizeof(*workers), 0, (struct sockaddr *) &address,
                               sizeof(address)),
                        ==, sizeof(*workers));
}

static void connect_once(void) {
        struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = SOCKET };
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

        g_assert_no_errno(fd);
        g_assert_no_errno(connect(fd, (struct sockaddr *) &address, sizeof(address)));
}

/* The program executes requests. It restores nice values when they are not requested any more, when no
 * request comes any more, however many connections do, and when it ends. */
static void test_program_flush_workers(Fixture *f, gconstpointer data) {
        _cleanup_close_ int listen_fd = listen_at_socket(),
                            priority_fd = bind_socket(PRIORITY_SOCKET, SOCK_DGRAM);
        uint64_t sent_usec, end_usec;
        pid_t first, second, pid;
        int status;

        if (!(given_capabilities() & CAP_TO_MASK(CAP_SYS_NICE))) {
                g_test_skip("needs CAP_SYS_NICE");
                return;
        }

        first = start_flush_worker();
        second = start_flush_worker();
        pid = start_program_with(listen_fd, priority_fd, 0, true);
        send_workers(&(FlushWorkers){ .n = 2, .pids = { first, second } });
        await_nice(first, FLUSH_PRIORITY_NICE);
        await_nice(second, FLUSH_PRIORITY_NICE);
        sent_usec = usec_now(CLOCK_MONOTONIC);
        send_workers(&(FlushWorkers){ .n = 1, .pids = { second } });
        await_nice(first, 0);
        g_assert_cmpint(getpriority(PRIO_PROCESS, (id_t) second), ==, FLUSH_PRIORITY_NICE);

        end_usec = usec_now(CLOCK_MONOTONIC) + PATIENCE_USEC;
        while (getpriority(PRIO_PROCESS, (id_t) second) != 0) {
                g_assert_cmpuint(usec_now(CLOCK_MONOTONIC), <, end_usec);
                connect_once();
                g_usleep(100 * USEC_PER_MSEC);
        }
        g_assert_cmpuint(usec_now(CLOCK_MONOTONIC) - sent_usec, >=, FLUSH_PRIORITY_LEASE_USEC);

        send_workers(&(FlushWorkers){ .n = 1, .pids = { first } });
        await_nice(first, FLUSH_PRIORITY_NICE);
        g_assert_no_errno(kill(pid, SIGTERM));
        g_assert_no_errno(waitpid(pid, &status, 0));
        g_assert_cmpint(status, ==, 0);
        g_assert_cmpint(getpriority(PRIO_PROCESS, (id_t) first), ==, 0);

        (void) unlink(SOCKET);
        (void) unlink(PRIORITY_SOCKET);
        stop_flush_worker(first);
        stop_flush_worker(second);
}

#define ADD(path, data, test) g_test_add("/syncer/" path, Fixture, data, set_up, test, tear_down)

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);

        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("tmpfs", "/tmp", "tmpfs", 0, "mode=1777") < 0 || !meminfo_mount()) {
                puts("1..0 # SKIP needs root and a mount namespace of its own");
                return EXIT_SUCCESS;
        }
        g_unsetenv("TMPDIR");
        /* A helper that outlives its syncer comes to this process, which reaps it. */
        g_assert_no_errno(prctl(PR_SET_CHILD_SUBREAPER, 1));

        ADD("all", NULL, test_all);
        ADD("xfs", NULL, test_xfs);
        ADD("unmounted", NULL, test_unmounted);
        ADD("mode-0700", NULL, test_mode_0700);
        ADD("privileges", NULL, test_privileges);
        ADD("bind-mount", NULL, test_bind_mount);
        ADD("hidden", NULL, test_hidden);
        ADD("detached", NULL, test_detached);
        ADD("path", NULL, test_path);
        ADD("path-hangs", NULL, test_path_hangs);
        ADD("path-meanwhile", NULL, test_path_meanwhile);
        ADD("hang", NULL, test_hang);
        ADD("returns-meanwhile", NULL, test_returns_meanwhile);
        ADD("returns-before-list", NULL, test_returns_before_list);
        ADD("more-than-helpers", NULL, test_more_than_helpers);
        ADD("mounts-change", NULL, test_mounts_change);
        ADD("handing-out", NULL, test_handing_out);
        ADD("substitutes", NULL, test_substitutes);
        ADD("substitute-hangs", NULL, test_substitute_hangs);
        ADD("frozen", NULL, test_frozen);
        ADD("slow", NULL, test_slow);
        ADD("dies", NULL, test_dies);
        ADD("everything", NULL, test_everything);
        ADD("everything-hangs", NULL, test_everything_hangs);
        ADD("everything-progresses", NULL, test_everything_progresses);
        ADD("everything-dies", NULL, test_everything_dies);
        ADD("self-test", NULL, test_self_test);
        ADD("program", NULL, test_program);
        ADD("program-outside", NULL, test_program_outside);
        ADD("program-capabilities", NULL, test_program_capabilities);
        ADD("flush-workers-named", NULL, test_flush_workers_named);
        ADD("flush-workers-self-test", NULL, test_flush_workers_self_test);
        ADD("flush-workers-refused", NULL, test_flush_workers_refused);
        ADD("flush-workers-alone", NULL, test_flush_workers_alone);
        ADD("flush-workers-nobody", "/tmp/nobody-listens-here", test_flush_workers_alone);
        ADD("program-flush-workers", NULL, test_program_flush_workers);
        ADD("program-that-fails", "fails", test_bad_program);
        ADD("program-that-hangs", NULL, test_bad_program);

        return g_test_run();
}
