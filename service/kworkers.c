/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Reads the running kernel workers from a proc root.
 *
 * A scan lists the kernel threads, reads the name of each (comm, cheap), and the whole stat only of those
 * whose name says that they run a work that is wanted. The two files are read at different moments, so that
 * stat alone decides: its name, state, flags and times are of one moment. Everything is opened relative to
 * the folder that was opened at first, and what a scan needs again (the list, the names of threads, the stats
 * of running workers) stays open on a real proc filesystem: a scan then costs a third or less. Where the
 * process or the machine has no descriptor left, all of these but the list are closed, so that each file can
 * be opened again for a moment.
 */

#include <fcntl.h>
#include <fnmatch.h>
#include <linux/magic.h>
#include <stdalign.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <dirent.h>
#include <glib.h>

#include "kworkers.h"
#include "memory.h"

/* Flags of a task (include/linux/sched.h of the kernel), as field 9 of stat shows them. */
#define PF_WQ_WORKER UINT64_C(0x00000020)
#define PF_KTHREAD UINT64_C(0x00200000)

/* The children of pid 2 (kthreadd) are the kernel threads. */
#define KTHREADD_CHILDREN "2/task/2/children"
#define KTHREADD_STAT "2/stat"

/* The initial pid namespace has this inode in every kernel (include/linux/proc_ns.h: PROC_PID_INIT_INO). */
#define INITIAL_PID_NAMESPACE "pid:[4026531836]"

/* Names kept open at most: those of all threads even of a machine with hundreds of CPUs. Reading a kept one
 * takes one system call instead of three, and a tenth of the time; it costs the kernel 5 KiB. While workers
 * run, only this smaller number is kept: in a stall with many workers, memory is for others. */
#define KEPT_NAMES_MAX 8192
#define KEPT_NAMES_FEW 256

/* The same for the stats of running workers. */
#define KEPT_STATS_MAX 256

/* After a want of descriptors files are kept again when so many scans in a row were whole: if the want lasts,
 * closing and opening them must not alternate. */
#define SCANS_BEFORE_KEEPING 60

/* How many threads' stats a scan reads at most just to learn whether there is a kernel thread at all. Where
 * there is one, it is the first or second. */
#define KTHREAD_PROBES_MAX 100

/* How many stats a scan reads at most of workers that run another work. */
#define OTHER_READS_MAX 64

/* To start with, so that an ordinary machine's first stall needs no memory. */
#define PIDS_MIN 4096
#define WORKERS_MIN 4096

/* After so many scans in a row that found few workers, the memory that many of them needed is returned. */
#define CALM_SCANS 8
#define CALM_WORKERS 128

/* A stat is about 350 bytes; its fields up to the 22nd always fit. */
#define STAT_SIZE 1024

#define PATH_SIZE 32

typedef struct KeptFile {
        pid_t pid;
        int fd;
} KeptFile;

/* Files of threads, sorted by pid: of the last scan, and of the one under way. */
typedef struct KeptFiles {
        KeptFile *files, *new_files;
        size_t n_files, n_new_files;
        size_t next; /* the first of files that the scan under way has not reached */
        size_t n_max;
} KeptFiles;

typedef struct WorkerArray {
        Worker *workers;
        size_t n_workers;
        size_t n_allocated;
} WorkerArray;

struct KworkerReader {
        int root_fd;
        bool is_procfs; /* else its files may be replaced by others, and none is kept open */

        int children_fd; /* kept, or negative */
        int kthreadd_fd; /* kept, or negative */

        KeptFiles names; /* comm: of the lowest pids */
        KeptFiles stats; /* stat: of running workers */
        unsigned n_scans_before_keeping;

        /* The threads of the scan under way: sorted, without doubles. */
        pid_t *pids;
        size_t n_pids;
        size_t n_pids_allocated;

        /* The workers of the last scan and of the one under way. */
        WorkerArray found[2];
        WorkerArray *last, *current;
        bool storm; /* more workers than a few since unused memory was returned */
        unsigned n_calm_scans;

        /* Spinning workers of other works. */
        Worker others[KWORKER_OTHERS_MAX];
        size_t n_others;
        unsigned n_other_reads;

        bool found_kthread;
        int trouble; /* the error for which the last scan was not whole, or 0 */

        /* One read of the list gives a page at most, one of the folder as much as fits. */
        alignas(struct dirent64) char buffer[4 * 4096];
};

/* What a scan must find. */
typedef struct ScanOptions {
        const char *glob;
        bool want_others;
        bool kthreads_only; /* no other threads were listed */
} ScanOptions;

DEFINE_TRIVIAL_CLEANUP(FILE *, fclose);

static bool is_kworker(uint64_t flags) {
        return (flags & PF_KTHREAD) && (flags & PF_WQ_WORKER);
}

/* Whether a name is that of a running kernel worker, and matches. A glob that fnmatch() cannot parse matches
 * none. */
static bool name_counts(const char *name, const char *glob) {
        return worker_name_work(name) && fnmatch(glob, name, FNM_EXTMATCH) == 0;
}

/* The file is not there (any more), is hidden from this user, or holds no such text: another try would find
 * nothing either. Every other error says nothing about the thread: want of descriptors or memory, or an I/O
 * error. */
static bool error_means_absent(int r) {
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

/* Remembers that something could not be read that may well be there. */
static void note_error(KworkerReader *reader, int r) {
        if (!error_means_absent(r))
                reader->trouble = r;
}

/* Closes those of the last scan that this one has not reached yet, and those of this one. */
static size_t kept_files_close(KeptFiles *kept) {
        size_t n_closed = kept->n_files - kept->next + kept->n_new_files;

        for (size_t i = kept->next; i < kept->n_files; i++)
                (void) close(kept->files[i].fd);
        for (size_t i = 0; i < kept->n_new_files; i++)
                (void) close(kept->new_files[i].fd);

        kept->next = kept->n_files = kept->n_new_files = 0;
        return n_closed;
}

/* For want of descriptors. Returns whether there are some again. */
static bool close_kept_files(KworkerReader *reader) {
        reader->n_scans_before_keeping = SCANS_BEFORE_KEEPING;
        return kept_files_close(&reader->names) + kept_files_close(&reader->stats) > 0;
}

/* Never waits, also where a plain folder has a fifo instead of the file. */
static int open_file(KworkerReader *reader, const char *path) {
        for (;;) {
                int fd, r;

                fd = openat(reader->root_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
                if (fd >= 0)
                        return fd;

                r = -errno;
                if ((r != -EMFILE && r != -ENFILE) || !close_kept_files(reader))
                        return r;
        }
}

static int open_file_of(KworkerReader *reader, pid_t pid, const char *name) {
        char path[PATH_SIZE];

        (void) snprintf(path, sizeof(path), "%d/%s", (int) pid, name);
        return open_file(reader, path);
}

/* Reads a file from its start; the proc filesystem gives a short one whole in one read. Returns the size. */
static ssize_t read_text(int fd, char *buffer, size_t size) {
        ssize_t n;

        n = pread(fd, buffer, size, 0);
        return n < 0 ? -errno : n;
}

/* Reads the name of a thread. fd is its open comm, or negative; the caller must close it in any case. A kept
 * comm is tied to the thread that it was opened for, never to one that got its pid later: then reading it
 * fails, and that of the pid's new thread is opened instead. */
static int read_name(KworkerReader *reader, pid_t pid, int *fd, char name[static WORKER_NAME_MAX + 1]) {
        bool was_open = *fd >= 0;
        ssize_t n;

        for (;;) {
                if (*fd < 0) {
                        int r = open_file_of(reader, pid, "comm");
                        if (r < 0)
                                return r;
                        *fd = r;
                }

                n = read_text(*fd, name, WORKER_NAME_MAX + 1);
                if (n >= 0)
                        break;
                if (!was_open)
                        return (int) n;

                closep(fd);
                *fd = -EBADF;
                was_open = false;
        }

        /* One newline ends the file; others are the name's own. A longer name is cut. */
        if (n > 0 && (name[n - 1] == '\n' || n > WORKER_NAME_MAX))
                n--;
        name[n] = '\0';
        return 0;
}

/* Reads an open stat, and takes note of a kernel thread. */
static int read_stat(KworkerReader *reader, int fd, Worker *ret, uint64_t *ret_flags) {
        char text[STAT_SIZE];
        ssize_t n;
        int r;

        n = read_text(fd, text, sizeof(text));
        if (n < 0)
                return (int) n;

        r = worker_parse_stat(text, (size_t) n, ret, ret_flags);
        if (r < 0)
                return r;

        if (*ret_flags & PF_KTHREAD)
                reader->found_kthread = true;
        return 0;
}

static int add_pid(KworkerReader *reader, pid_t pid) {
        if (reader->n_pids == reader->n_pids_allocated) {
                pid_t *pids = g_try_renew(pid_t, reader->pids, reader->n_pids_allocated * 2);

                if (!pids)
                        return -ENOMEM;
                reader->pids = pids;
                reader->n_pids_allocated *= 2;
        }

        reader->pids[reader->n_pids++] = pid;
        return 0;
}

/* Both arrays grow together, so that the next scan does not need to grow the other. */
static int add_worker(KworkerReader *reader, const Worker *worker) {
        for (size_t i = 0; i < ELEMENTSOF(reader->found); i++) {
                WorkerArray *array = reader->found + i;
                Worker *workers;

                if (reader->current->n_workers < array->n_allocated)
                        continue;

                workers = g_try_renew(Worker, array->workers, array->n_allocated * 2);
                if (!workers)
                        return -ENOMEM;
                array->workers = workers;
                array->n_allocated *= 2;
        }

        reader->current->workers[reader->current->n_workers++] = *worker;
        return 0;
}

/* Returns unused memory to the kernel. */
static void return_unused_memory(KworkerReader *reader) {
        if (!reader->storm || reader->last->n_workers > CALM_WORKERS) {
                reader->n_calm_scans = 0;
                return;
        }
        if (++reader->n_calm_scans < CALM_SCANS)
                return;

        for (size_t i = 0; i < ELEMENTSOF(reader->found); i++)
                memory_return_unused(
                                reader->found[i].workers, sizeof(Worker), CALM_WORKERS,
                                reader->found[i].n_allocated);
        reader->storm = false;
}

/* The pid that a text spells, or 0: an overlong number and any other text is no thread's. */
typedef struct PidParser {
        int64_t pid;
        bool broken;
} PidParser;

static void pid_parser_take(PidParser *parser, char c) {
        if (!g_ascii_isdigit(c)) {
                parser->broken = true;
                return;
        }

        parser->pid = parser->pid * 10 + (c - '0');
        if (parser->pid > INT32_MAX) {
                parser->pid = 0;
                parser->broken = true;
        }
}

static pid_t pid_parser_end(PidParser *parser) {
        pid_t pid = parser->broken ? 0 : (pid_t) parser->pid;

        *parser = (PidParser){};
        return pid;
}

/* Reads a list of pids to its end: a read gives a part of it, which may end within a number. */
static int read_list(KworkerReader *reader, int fd) {
        PidParser parser = {};
        off_t offset = 0;
        pid_t pid;

        for (;;) {
                ssize_t n;

                n = pread(fd, reader->buffer, sizeof(reader->buffer), offset);
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                offset += n;

                for (ssize_t i = 0; i < n; i++) {
                        int r;

                        if (!g_ascii_isspace(reader->buffer[i])) {
                                pid_parser_take(&parser, reader->buffer[i]);
                                continue;
                        }

                        pid = pid_parser_end(&parser);
                        if (pid == 0)
                                continue;
                        r = add_pid(reader, pid);
                        if (r < 0)
                                return r;
                }
        }

        pid = pid_parser_end(&parser);
        return pid == 0 ? 0 : add_pid(reader, pid);
}

/* Lists the children of kthreadd. A kept list that is empty or fails belongs to a pid 2 that is gone, in
 * a foreign namespace. */
static int list_children(KworkerReader *reader) {
        bool was_open = reader->children_fd >= 0;
        int r;

        for (;;) {
                reader->n_pids = 0;

                if (reader->children_fd < 0) {
                        r = open_file(reader, KTHREADD_CHILDREN);
                        if (r < 0)
                                return r;
                        reader->children_fd = r;
                }

                r = read_list(reader, reader->children_fd);
                if (r >= 0 && reader->n_pids == 0)
                        r = -ENOENT;
                if (r < 0 || !reader->is_procfs) {
                        closep(&reader->children_fd);
                        reader->children_fd = -EBADF;
                }
                if (r >= 0 || r == -ENOMEM || !was_open)
                        return r;

                was_open = false;
        }
}

/* Lists every process there is. */
static int list_folder(KworkerReader *reader) {
        reader->n_pids = 0;

        if (lseek(reader->root_fd, 0, SEEK_SET) < 0)
                return -errno;

        for (;;) {
                ssize_t n;

                n = getdents64(reader->root_fd, reader->buffer, sizeof(reader->buffer));
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return 0;

                for (ssize_t i = 0; i < n;) {
                        const struct dirent64 *entry = (const void *) (reader->buffer + i);
                        PidParser parser = {};
                        pid_t pid;
                        int r;

                        i += entry->d_reclen;
                        for (const char *p = entry->d_name; *p; p++)
                                pid_parser_take(&parser, *p);

                        pid = pid_parser_end(&parser);
                        if (pid == 0)
                                continue;
                        r = add_pid(reader, pid);
                        if (r < 0)
                                return r;
                }
        }
}

static void sift_down(pid_t *heap, size_t n, size_t i) {
        pid_t pid = heap[i];

        for (size_t child = 2 * i + 1; child < n; child = 2 * i + 1) {
                if (child + 1 < n && heap[child + 1] > heap[child])
                        child++;
                if (heap[child] <= pid)
                        break;
                heap[i] = heap[child];
                i = child;
        }

        heap[i] = pid;
}

/* Sorts the pids and drops doubles. A heap sort, since qsort() allocates. Lists are in the order of
 * creation: already sorted, until the pids begin again from below. */
static void sort_pids(KworkerReader *reader) {
        pid_t *pids = reader->pids;
        size_t n = reader->n_pids, n_different = 0;
        bool sorted = true;

        for (size_t i = 1; i < n && sorted; i++)
                sorted = pids[i - 1] < pids[i];
        if (sorted)
                return;

        for (size_t i = n / 2; i > 0; i--)
                sift_down(pids, n, i - 1);
        for (size_t i = n - 1; i > 0; i--) {
                pid_t largest = pids[0];

                pids[0] = pids[i];
                pids[i] = largest;
                sift_down(pids, i, 0);
        }

        for (size_t i = 0; i < n; i++)
                if (n_different == 0 || pids[i] != pids[n_different - 1])
                        pids[n_different++] = pids[i];
        reader->n_pids = n_different;
}

/* Lists the threads to scan, and whether these should be kernel threads only. What could be listed before an
 * error is there. */
static int list_threads(KworkerReader *reader, bool *ret_kthreads_only) {
        int r;

        *ret_kthreads_only = true;
        r = list_children(reader);
        if (r < 0 && r != -ENOMEM) { /* without memory the longer list would be no better */
                note_error(reader, r);
                *ret_kthreads_only = false;
                r = list_folder(reader);
        }
        if (r < 0)
                note_error(reader, r);

        sort_pids(reader);
        return r;
}

/* Takes the kept file of a thread, or a negative value. Must be called in ascending order of pids; files in
 * between belong to threads that are gone. */
static int take_kept_file(KeptFiles *kept, pid_t pid) {
        for (; kept->next < kept->n_files; kept->next++) {
                const KeptFile *file = kept->files + kept->next;

                if (file->pid > pid)
                        break;
                if (file->pid == pid) {
                        kept->next++;
                        return file->fd;
                }
                (void) close(file->fd);
        }

        return -EBADF;
}

/* Keeps an open file for the next scan, or closes it where so many are kept. */
static void keep_file(KeptFiles *kept, size_t n_max, pid_t pid, int fd) {
        size_t n_taken = kept->n_new_files + kept->n_files - kept->next;

        if (n_taken >= MIN(kept->n_max, n_max)) {
                (void) close(fd);
                return;
        }

        kept->new_files[kept->n_new_files++] = (KeptFile){ .pid = pid, .fd = fd };
}

/* At the end of a scan: closes what it did not reach, and passes the others to the next one. */
static void swap_kept_files(KeptFiles *kept) {
        KeptFile *files = kept->files;

        for (; kept->next < kept->n_files; kept->next++)
                (void) close(kept->files[kept->next].fd);

        kept->files = kept->new_files;
        kept->n_files = kept->n_new_files;
        kept->new_files = files;
        kept->n_new_files = 0;
        kept->next = 0;
}

static void keep_name(KworkerReader *reader, pid_t pid, int fd) {
        size_t n_max = reader->last->n_workers == 0 ? KEPT_NAMES_MAX
                                                    : MAX((size_t) KEPT_NAMES_FEW, reader->names.n_files);

        keep_file(&reader->names, reader->n_scans_before_keeping > 0 ? 0 : n_max, pid, fd);
}

static void keep_stat(KworkerReader *reader, pid_t pid, int fd) {
        keep_file(&reader->stats, reader->n_scans_before_keeping > 0 ? 0 : KEPT_STATS_MAX, pid, fd);
}

/* Notes a kernel worker that runs another work, if it spins. */
static void note_other(KworkerReader *reader, const Worker *worker) {
        if (reader->n_others < KWORKER_OTHERS_MAX && worker_spins(worker) && worker_name_work(worker->name))
                reader->others[reader->n_others++] = *worker;
}

/* Scans the stat of a thread. fd is its kept stat, which it takes over, or negative. Returns as
 * scan_thread(). */
static int scan_stat(KworkerReader *reader, pid_t pid, int fd, const ScanOptions *options, Worker *ret) {
        Worker worker;
        uint64_t flags;
        int r;

        r = fd < 0 ? -EBADF : read_stat(reader, fd, &worker, &flags);
        if (r < 0) {
                /* There is none, or the thread that it was opened for is gone. */
                closep(&fd);
                fd = open_file_of(reader, pid, "stat");
                if (fd < 0)
                        return fd;
                r = read_stat(reader, fd, &worker, &flags);
        }
        if (r >= 0 && worker.pid != pid)
                r = -EBADMSG;
        if (r >= 0)
                r = is_kworker(flags) && name_counts(worker.name, options->glob);
        if (r > 0) {
                keep_stat(reader, pid, fd);
                *ret = worker;
                return 1;
        }

        (void) close(fd);
        if (r == 0 && options->want_others && is_kworker(flags))
                note_other(reader, &worker);
        return r;
}

/* Scans a thread whose name does not match. It may run another work that is wanted, or may have gone over to
 * a matching one since its name was read. An error is noted, and is none of this thread's: nothing that was
 * known of it before is kept. */
static int scan_other(
                KworkerReader *reader,
                pid_t pid,
                const char *name,
                const ScanOptions *options,
                Worker *ret) {
        int r;

        if (!options->want_others || reader->n_others == KWORKER_OTHERS_MAX ||
            reader->n_other_reads == OTHER_READS_MAX || !worker_name_work(name))
                return 0;

        reader->n_other_reads++;
        r = scan_stat(reader, pid, -EBADF, options, ret);
        if (r < 0) {
                note_error(reader, r);
                return 0;
        }
        return r;
}

/* Scans one thread. Returns 1 for a worker that counts, 0 for any other thread, or a negative errno. */
static int scan_thread(KworkerReader *reader, pid_t pid, const ScanOptions *options, Worker *ret) {
        _cleanup_close_ int stat_fd = take_kept_file(&reader->stats, pid);
        char name[WORKER_NAME_MAX + 1];
        int fd, r;

        fd = take_kept_file(&reader->names, pid);

        /* It ran at the last scan. Its stat shows all that its name does, unless the thread is gone. */
        if (stat_fd >= 0) {
                r = scan_stat(reader, pid, take_fd(&stat_fd), options, ret);
                if (r >= 0) {
                        if (fd >= 0)
                                keep_name(reader, pid, fd);
                        return r;
                }
        }

        r = read_name(reader, pid, &fd, name);
        if (fd >= 0) {
                /* In a list of all processes only the workers' are worth it. */
                if (r >= 0 && (options->kthreads_only || strncmp(name, "kworker/", strlen("kworker/")) == 0))
                        keep_name(reader, pid, fd);
                else
                        (void) close(fd);
        }
        if (r < 0)
                return r;

        if (!name_counts(name, options->glob))
                return scan_other(reader, pid, name, options, ret);
        return scan_stat(reader, pid, -EBADF, options, ret);
}

/* Takes the next pid to scan, from the list, from the last scan's workers, or from both; both are sorted. i
 * and last are indexes, since the arrays move when they grow. ret_before gets the worker or NULL, until the
 * next one is added. Returns 0 at the end. */
static pid_t next_pid(const KworkerReader *reader, size_t *i, size_t *last, const Worker **ret_before) {
        const Worker *before = *last < reader->last->n_workers ? reader->last->workers + *last : NULL;
        pid_t listed = *i < reader->n_pids ? reader->pids[*i] : 0;

        if (before && listed > 0 && before->pid > listed)
                before = NULL;
        if (before)
                (*last)++;
        if (listed > 0 && (!before || before->pid == listed))
                (*i)++;

        *ret_before = before;
        return before ? before->pid : listed;
}

/* Scans all threads that are listed, and the workers of the last scan that are not. The result is sorted.
 * Returns how many threads could be scanned. */
static size_t scan_threads(KworkerReader *reader, const ScanOptions *options) {
        size_t i = 0, last = 0, n_read = 0;
        const Worker *before;
        pid_t pid;

        while ((pid = next_pid(reader, &i, &last, &before)) > 0) {
                Worker worker;
                int r;

                r = scan_thread(reader, pid, options, &worker);
                if (r >= 0)
                        n_read++;
                else {
                        note_error(reader, r);
                        if (before && !error_means_absent(r) && name_counts(before->name, options->glob)) {
                                worker = *before;
                                r = 1;
                        }
                }
                if (r <= 0)
                        continue;

                r = add_worker(reader, &worker);
                if (r < 0)
                        note_error(reader, r);
        }

        swap_kept_files(&reader->names);
        swap_kept_files(&reader->stats);
        return n_read;
}

/* Reads the stat of pid 2, kept open like the list. */
static int read_kthreadd(KworkerReader *reader) {
        bool was_open = reader->kthreadd_fd >= 0;
        Worker worker;
        uint64_t flags;
        int r;

        for (;;) {
                if (reader->kthreadd_fd < 0) {
                        r = open_file(reader, KTHREADD_STAT);
                        if (r < 0)
                                return r;
                        reader->kthreadd_fd = r;
                }

                r = read_stat(reader, reader->kthreadd_fd, &worker, &flags);
                if (r < 0 || !reader->is_procfs) {
                        closep(&reader->kthreadd_fd);
                        reader->kthreadd_fd = -EBADF;
                }
                if (r >= 0 || !was_open)
                        return r;

                was_open = false;
        }
}

/* Finds a kernel thread, if there is any, where no worker has shown one. */
static void find_kthread(KworkerReader *reader) {
        int r;

        r = read_kthreadd(reader);
        if (r < 0)
                note_error(reader, r);

        for (size_t i = 0; !reader->found_kthread && i < MIN(reader->n_pids, (size_t) KTHREAD_PROBES_MAX);
             i++) {
                _cleanup_close_ int fd = -EBADF;
                Worker worker;
                uint64_t flags;

                r = fd = open_file_of(reader, reader->pids[i], "stat");
                if (r >= 0)
                        r = read_stat(reader, fd, &worker, &flags);
                if (r < 0)
                        note_error(reader, r);
        }
}

static void begin_scan(KworkerReader *reader) {
        return_unused_memory(reader);

        reader->trouble = 0;
        reader->found_kthread = false;
        reader->current->n_workers = 0;
        reader->n_others = 0;
        reader->n_other_reads = 0;
}

/* Counts the whole scans after a want of descriptors. */
static void count_scan(KworkerReader *reader) {
        if (reader->n_scans_before_keeping == 0)
                return;

        if (reader->trouble < 0)
                reader->n_scans_before_keeping = SCANS_BEFORE_KEEPING;
        else
                reader->n_scans_before_keeping--;
}

static void swap_workers(KworkerReader *reader) {
        WorkerArray *workers = reader->last;

        reader->last = reader->current;
        reader->current = workers;
        if (reader->last->n_workers > CALM_WORKERS)
                reader->storm = true;
}

int kworker_reader_scan(KworkerReader *reader, const char *glob, bool want_others, KworkerScan *ret) {
        ScanOptions options = { .glob = glob, .want_others = want_others };
        bool found_kthread_before = reader->found_kthread;
        size_t n_read;
        int r;

        begin_scan(reader);

        r = list_threads(reader, &options.kthreads_only);
        n_read = scan_threads(reader, &options);
        if (!reader->found_kthread)
                find_kthread(reader);

        /* Not seeing is not the same as being gone. */
        if (reader->trouble < 0 && !reader->found_kthread)
                reader->found_kthread = found_kthread_before;

        count_scan(reader);
        if (r < 0 && n_read == 0 && reader->current->n_workers == 0)
                return r;
        swap_workers(reader);

        *ret = (KworkerScan){
                .workers = reader->last->workers,
                .n_workers = reader->last->n_workers,
                .others = reader->others,
                .n_others = reader->n_others,
                .found_kthread = reader->found_kthread,
                .trouble = reader->trouble,
        };
        return 0;
}

/* Whether the proc root was mounted to hide other users' processes. */
static int mount_has_hidepid(const KworkerReader *reader) {
        _cleanup_(fclosep) FILE *file = NULL;
        _cleanup_free_ char *line = NULL;
        size_t size = 0;
        struct stat st;
        int fd;

        if (fstat(reader->root_fd, &st) < 0)
                return -errno;

        fd = openat(reader->root_fd, "self/mountinfo", O_RDONLY | O_CLOEXEC);
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
                return option && !g_str_has_prefix(option, "hidepid=0") &&
                       !g_str_has_prefix(option, "hidepid=off");
        }

        return false;
}

const char *kworker_reader_fault_reason(KworkerReader *reader) {
        char namespace[64];
        struct statfs sfs;
        bool is_hidden;
        ssize_t n;

        switch (reader->trouble) {
        case 0:
                break;
        case -EMFILE:
                return "this process has no file descriptor left";
        case -ENFILE:
                return "the system has no file descriptor left";
        case -ENOMEM:
                return "no memory is left to read the proc root";
        default:
                return "a file of the proc root cannot be read (I/O error)";
        }

        if (fstatfs(reader->root_fd, &sfs) < 0 || sfs.f_type != PROC_SUPER_MAGIC)
                return "the proc root is not a proc filesystem: correct --proc-root";

        /* Only a process that has a pid in the filesystem's namespace has a `self` there. */
        n = readlinkat(reader->root_fd, "self/ns/pid", namespace, sizeof(namespace) - 1);
        if (n < 0 && errno == ENOENT)
                return "the proc root is that of another pid namespace, of a container: "
                       "give the host's /proc by --proc-root";

        /* Of both hidepid comes first, except for root: nothing is hidden from the root of the host. */
        is_hidden = mount_has_hidepid(reader) > 0;
        if (n >= 0 && (!is_hidden || geteuid() == 0)) {
                namespace[n] = '\0';
                if (!streq(namespace, INITIAL_PID_NAMESPACE))
                        return "this process is in a pid namespace of its own, a container: "
                               "give the host's /proc by --proc-root";
        }
        if (is_hidden)
                return "the mount option hidepid hides kernel threads from this user: "
                       "mount proc with gid= of one of its groups, or without hidepid";

        return "the proc root has no kernel thread, and neither hidepid nor a pid namespace explains it";
}

static int kept_files_new(KeptFiles *kept, size_t n_max) {
        kept->files = g_try_new(KeptFile, n_max);
        kept->new_files = g_try_new(KeptFile, n_max);
        kept->n_max = n_max;
        return n_max > 0 && (!kept->files || !kept->new_files) ? -ENOMEM : 0;
}

static void kept_files_done(KeptFiles *kept) {
        for (size_t i = 0; i < kept->n_files; i++)
                (void) close(kept->files[i].fd);
        g_free(kept->files);
        g_free(kept->new_files);
}

int kworker_reader_new(const char *proc_root, KworkerReader **ret) {
        _cleanup_(kworker_reader_freep) KworkerReader *reader = NULL;
        rlim_t n_max = 0;
        struct rlimit limit;
        struct statfs sfs;
        int r;

        reader = g_try_new0(KworkerReader, 1);
        if (!reader)
                return -ENOMEM;
        reader->children_fd = reader->kthreadd_fd = -EBADF;
        reader->last = reader->found;
        reader->current = reader->found + 1;

        reader->root_fd = open(proc_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (reader->root_fd < 0)
                return -errno;
        if (fstatfs(reader->root_fd, &sfs) < 0)
                return -errno;
        reader->is_procfs = sfs.f_type == PROC_SUPER_MAGIC;

        if (reader->is_procfs && getrlimit(RLIMIT_NOFILE, &limit) >= 0)
                n_max = limit.rlim_cur / 2;
        r = kept_files_new(&reader->names, MIN(n_max, (rlim_t) KEPT_NAMES_MAX));
        if (r >= 0)
                r = kept_files_new(&reader->stats, MIN(n_max, (rlim_t) KEPT_STATS_MAX));
        if (r < 0)
                return r;

        reader->n_pids_allocated = PIDS_MIN;
        reader->pids = g_try_new(pid_t, PIDS_MIN);
        if (!reader->pids)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTSOF(reader->found); i++) {
                reader->found[i].n_allocated = WORKERS_MIN;
                reader->found[i].workers = g_try_new(Worker, WORKERS_MIN);
                if (!reader->found[i].workers)
                        return -ENOMEM;
        }

        *ret = TAKE_POINTER(reader);
        return 0;
}

KworkerReader *kworker_reader_free(KworkerReader *reader) {
        if (!reader)
                return NULL;

        kept_files_done(&reader->names);
        kept_files_done(&reader->stats);
        closep(&reader->children_fd);
        closep(&reader->kthreadd_fd);
        closep(&reader->root_fd);

        for (size_t i = 0; i < ELEMENTSOF(reader->found); i++)
                g_free(reader->found[i].workers);
        g_free(reader->pids);
        g_free(reader);
        return NULL;
}
