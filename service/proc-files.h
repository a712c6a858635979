/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The files of threads in a proc root. On a real proc filesystem, files that the next scan will read again
 * are kept open: reading one then takes one system call instead of three, and a tenth of the time. If the
 * process or the machine has no descriptors left, they are closed, and each is opened again only while it is
 * read.
 */

#include <sys/types.h>

#include "macro.h"

typedef struct KeptFile {
        pid_t pid;
        int fd;
        bool is_other; /* of a thread that is no kernel worker */
} KeptFile;

#define KEPT_FILE_NONE(p) ((KeptFile){ .pid = (p), .fd = -EBADF })

/* The kept files of the last scan and of the scan under way, sorted by pid. */
typedef struct KeptFiles {
        KeptFile *files, *new_files;
        size_t n_files, n_new_files;
        size_t next;      /* the first in files that this scan has not reached */
        size_t n_max;     /* room */
        size_t n_allowed; /* how many this scan may keep */
} KeptFiles;

typedef struct ProcFiles {
        int root_fd;
        bool is_procfs;  /* otherwise files may be replaced, and none are kept open */
        KeptFiles comms; /* of the lowest pids */
        KeptFiles stats; /* of running workers */
        unsigned n_scans_before_keeping;
        int trouble; /* the error that made the last scan incomplete, or 0 */
} ProcFiles;

#define PROC_FILES_NONE ((ProcFiles){ .root_fd = -EBADF })

/* Opens the proc root, a folder like /proc, and keeps it open. Everything else is opened relative to it.
 * Returns negative errno if the folder can't be opened. proc_files_close() may be called either way. */
int proc_files_open(ProcFiles *files, const char *root);
void proc_files_close(ProcFiles *files);

/* Between the two calls, files must be taken and kept in ascending order of pids. spare_memory: keep few
 * files, to leave memory to others in a stall with many workers. */
void proc_files_begin_scan(ProcFiles *files, bool spare_memory);
void proc_files_end_scan(ProcFiles *files);

/* Returns the kept file of a thread, now owned by the caller, or one whose descriptor is negative. */
KeptFile kept_files_acquire(KeptFiles *kept, pid_t pid);

/* Keeps an open file for the next scan, or closes it if no more may be kept. Owns its descriptor from now on.
 * Ignores a file whose descriptor is negative. */
void kept_files_keep(KeptFiles *kept, KeptFile file);

/* Reads a file of a thread from its start with one read(2): the proc filesystem returns a short file whole.
 * *fd is the kept file, or negative. A kept file belongs to the thread for which it was opened. If the pid
 * has been reused, the file of the new thread is opened instead. Returns the size, which is not 0; *fd is
 * then open, for kept_files_keep() or close(). On failure it is closed. Does not block, even if the folder is
 * not procfs and the file is a FIFO. */
ssize_t proc_files_read(ProcFiles *files, pid_t pid, const char *name, int *fd, char *buffer, size_t size);

/* For a file that is kept outside KeptFiles: closes it if none may be kept. */
void proc_files_release(const ProcFiles *files, int *fd);

/* Whether an error means that the file does not exist, is hidden from this user, or is malformed, so that
 * trying again is useless. Other errors (no descriptors or memory left, I/O errors) say nothing about the
 * thread. */
bool proc_error_means_absent(int r);

/* Sets trouble if the error does not mean that. */
void proc_files_note_error(ProcFiles *files, int r);
