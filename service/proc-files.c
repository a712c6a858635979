/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "proc-files.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/vfs.h>

/* The most names kept open: enough for all threads of a machine with hundreds of CPUs. Each costs the kernel
 * 5 KiB, so with spare_memory only the smaller number is kept. */
#define KEPT_COMMS_MAX 8192
#define KEPT_COMMS_FEW 256

/* The same for the stats of running workers. */
#define KEPT_STATS_MAX 256

/* After a lack of descriptors, files are kept again only after this many complete scans in a row, so that
 * closing and opening do not alternate. */
#define SCANS_BEFORE_KEEPING 60

#define PATH_SIZE 32

static int kept_files_new(KeptFiles *kept, size_t n_max) {
        if (n_max == 0)
                return 0;

        kept->files = calloc(n_max, sizeof(KeptFile));
        kept->new_files = calloc(n_max, sizeof(KeptFile));
        kept->n_max = n_max;
        return kept->files && kept->new_files ? 0 : -ENOMEM;
}

/* Closes the files of the last scan that this one has not reached, and those of this one. */
static size_t kept_files_close(KeptFiles *kept) {
        size_t n_closed = kept->n_files - kept->next + kept->n_new_files;

        for (size_t i = kept->next; i < kept->n_files; i++)
                (void) close(kept->files[i].fd);
        for (size_t i = 0; i < kept->n_new_files; i++)
                (void) close(kept->new_files[i].fd);

        kept->next = kept->n_files = kept->n_new_files = kept->n_allowed = 0;
        return n_closed;
}

static void kept_files_free(KeptFiles *kept) {
        (void) kept_files_close(kept);
        free(kept->files);
        free(kept->new_files);
}

KeptFile kept_files_acquire(KeptFiles *kept, pid_t pid) {
        /* Files of lower pids belong to threads that are gone. */
        for (; kept->next < kept->n_files; kept->next++) {
                const KeptFile *file = kept->files + kept->next;

                if (file->pid > pid)
                        break;
                if (file->pid == pid) {
                        kept->next++;
                        return *file;
                }
                (void) close(file->fd);
        }

        return KEPT_FILE_NONE(pid);
}

void kept_files_keep(KeptFiles *kept, KeptFile file) {
        size_t n_taken = kept->n_new_files + kept->n_files - kept->next;

        if (file.fd < 0)
                return;
        if (n_taken >= kept->n_allowed) {
                (void) close(file.fd);
                return;
        }

        kept->new_files[kept->n_new_files++] = file;
}

/* Closes files that this scan did not reach, and keeps the others for the next. */
static void kept_files_swap(KeptFiles *kept) {
        KeptFile *files = kept->files;

        for (; kept->next < kept->n_files; kept->next++)
                (void) close(kept->files[kept->next].fd);

        kept->files = kept->new_files;
        kept->n_files = kept->n_new_files;
        kept->new_files = files;
        kept->n_new_files = 0;
        kept->next = 0;
}

int proc_files_open(ProcFiles *files, const char *root) {
        struct rlimit limit;
        struct statfs sfs;
        rlim_t n_max = 0;
        int r;

        *files = PROC_FILES_NONE;
        files->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (files->root_fd < 0)
                return -errno;
        if (fstatfs(files->root_fd, &sfs) < 0)
                return -errno;
        files->is_procfs = sfs.f_type == PROC_SUPER_MAGIC;

        if (files->is_procfs && getrlimit(RLIMIT_NOFILE, &limit) >= 0)
                n_max = limit.rlim_cur / 2;
        r = kept_files_new(&files->comms, MIN(n_max, (rlim_t) KEPT_COMMS_MAX));
        if (r >= 0)
                r = kept_files_new(&files->stats, MIN(n_max, (rlim_t) KEPT_STATS_MAX));
        return r;
}

void proc_files_close(ProcFiles *files) {
        kept_files_free(&files->comms);
        kept_files_free(&files->stats);
        closep(&files->root_fd);
        *files = PROC_FILES_NONE;
}

void proc_files_begin_scan(ProcFiles *files, bool spare_memory) {
        bool keep = files->n_scans_before_keeping == 0;
        size_t n_few = MIN(files->comms.n_max, MAX((size_t) KEPT_COMMS_FEW, files->comms.n_files));

        files->trouble = 0;
        files->comms.n_allowed = !keep ? 0 : spare_memory ? n_few : files->comms.n_max;
        files->stats.n_allowed = keep ? files->stats.n_max : 0;
}

void proc_files_end_scan(ProcFiles *files) {
        kept_files_swap(&files->comms);
        kept_files_swap(&files->stats);

        if (files->n_scans_before_keeping > 0)
                files->n_scans_before_keeping =
                                files->trouble < 0 ? SCANS_BEFORE_KEEPING : files->n_scans_before_keeping - 1;
}

/* Called when no descriptors are left. Returns whether there are some again. */
static bool close_kept_files(ProcFiles *files) {
        files->n_scans_before_keeping = SCANS_BEFORE_KEEPING;
        return kept_files_close(&files->comms) + kept_files_close(&files->stats) > 0;
}

static int open_file(ProcFiles *files, pid_t pid, const char *name) {
        char path[PATH_SIZE];

        (void) snprintf(path, sizeof(path), "%d/%s", (int) pid, name);
        for (;;) {
                int fd, r;

                fd = openat(files->root_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
                if (fd >= 0)
                        return fd;

                r = -errno;
                if ((r != -EMFILE && r != -ENFILE) || !close_kept_files(files))
                        return r;
        }
}

ssize_t proc_files_read(ProcFiles *files, pid_t pid, const char *name, int *fd, char *buffer, size_t size) {
        for (;;) {
                bool was_open = *fd >= 0;
                ssize_t n;

                if (!was_open) {
                        int r = open_file(files, pid, name);

                        if (r < 0)
                                return r;
                        *fd = r;
                }

                n = pread(*fd, buffer, size, 0);
                if (n > 0)
                        return n;

                /* These files are never empty while their thread exists. */
                n = n < 0 ? -errno : -EBADMSG;
                closep(fd);
                *fd = -EBADF;
                if (!was_open)
                        return n;
        }
}

void proc_files_release(const ProcFiles *files, int *fd) {
        if (files->is_procfs)
                return;

        closep(fd);
        *fd = -EBADF;
}

bool proc_error_means_absent(int r) {
        switch (r) {
        case -ENOENT:
        case -ESRCH:
        case -EACCES:
        case -EPERM:
        case -ENOTDIR:
        case -EISDIR:
        case -ELOOP:
        case -EBADMSG:
                return true;
        default:
                return false;
        }
}

void proc_files_note_error(ProcFiles *files, int r) {
        if (!proc_error_means_absent(r))
                files->trouble = r;
}
