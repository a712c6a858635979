/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Scans a proc root for running kernel workers.
 *
 * A scan lists the kernel threads and reads the name of each (comm, cheap), at most scans only of workers. It
 * reads stat only if the name shows a matching work or, with want_others, any work; and of the workers of the
 * last scan, instead of the name. If none of these is a kernel thread, it reads a few more stats to find one.
 * Since the files are read at different times, only stat decides: its name, state, flags and times are
 * consistent.
 */

#include "kworkers.h"

#include <fnmatch.h>
#include <sys/mman.h>

#include "kthread-list.h"
#include "proc-fault.h"
#include "proc-files.h"

/* The most stats that a scan reads to find out whether there are kernel threads at all. If there are, the
 * first or second is one. */
#define KTHREAD_PROBES_MAX 100

/* The most stats that a scan reads of workers that run another work. */
#define OTHER_READS_MAX 64

/* The names of kernel threads that are no workers are read at one scan of this many. They never become
 * workers; only their pids may be used again, by a worker. */
#define OTHERS_PERIOD 8

/* The initial size, so that the first stall of an ordinary machine needs no allocation. */
#define WORKERS_MIN 4096

/* After this many scans in a row with few workers, memory needed for many is returned to the kernel. */
#define CALM_SCANS 8
#define CALM_WORKERS 128

/* A stat is about 350 bytes; its fields up to the 22nd always fit. */
#define STAT_SIZE 1024

typedef struct WorkerArray {
        Worker *workers;
        size_t n_workers;
        size_t n_allocated;
} WorkerArray;

struct KworkerReader {
        ProcFiles files;
        KthreadList list;
        int kthreadd_fd; /* the stat of kthreadd: kept open, or negative */

        /* The workers of the last scan and of the one under way. */
        WorkerArray found[2];
        WorkerArray *last, *current;
        bool storm; /* many workers were seen since unused memory was last returned */
        unsigned n_calm_scans;

        /* Spinning workers of other works. */
        Worker others[KWORKER_OTHERS_MAX];
        size_t n_others;
        unsigned n_other_reads;
        FlushWorkers flush_workers, may_flush;

        unsigned n_scans;
        bool found_kthread;
};

/* What a scan searches for. */
typedef struct ScanOptions {
        const char *glob;
        bool want_others;
} ScanOptions;

/* Whether the name is that of a running kernel worker, and matches. A glob that fnmatch() can't parse matches
 * none. */
static bool name_counts(const char *name, const char *glob) {
        return worker_name_work(name) && fnmatch(glob, name, FNM_EXTMATCH) == 0;
}

/* Both arrays grow together, so that the next scan need not grow the other. */
static int add_worker(KworkerReader *reader, const Worker *worker) {
        for (size_t i = 0; i < ELEMENTSOF(reader->found); i++) {
                WorkerArray *array = reader->found + i;
                Worker *workers;

                if (reader->current->n_workers < array->n_allocated)
                        continue;

                workers = reallocarray(array->workers, array->n_allocated * 2, sizeof(Worker));
                if (!workers)
                        return -ENOMEM;
                array->workers = workers;
                array->n_allocated *= 2;
        }

        reader->current->workers[reader->current->n_workers++] = *worker;
        return 0;
}

/* Returns the memory of the elements n_kept to n of an array to the kernel, in whole pages, where supported
 * (Linux 5.18). The array stays allocated; the contents of those elements are lost. */
static void return_unused(void *array, size_t element_size, size_t n_kept, size_t n) {
        uintptr_t page_size = (uintptr_t) sysconf(_SC_PAGESIZE);
        uintptr_t begin = (uintptr_t) array + n_kept * element_size,
                  end = (uintptr_t) array + n * element_size;

        begin = (begin + page_size - 1) / page_size * page_size;
        end = end / page_size * page_size;
        if (begin < end)
                (void) madvise((void *) begin, end - begin, MADV_DONTNEED_LOCKED);
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
                return_unused(reader->found[i].workers, sizeof(Worker), CALM_WORKERS,
                              reader->found[i].n_allocated);
        reader->storm = false;
}

/* Reads the name of a thread. fd: as proc_files_read(). */
static int read_name(KworkerReader *reader, pid_t pid, int *fd, char name[static WORKER_NAME_MAX + 1]) {
        ssize_t n;

        n = proc_files_read(&reader->files, pid, "comm", fd, name, WORKER_NAME_MAX + 1);
        if (n <= 0) /* never 0 */
                return (int) n;

        /* A newline ends the file; others are part of the name. Longer names are truncated. */
        if (name[n - 1] == '\n' || n > WORKER_NAME_MAX)
                n--;
        name[n] = '\0';
        return 0;
}

/* Reads the stat of a thread. Sets found_kthread if it is a kernel thread. fd: as proc_files_read(). */
static int read_stat(KworkerReader *reader, pid_t pid, int *fd, Worker *ret, uint64_t *ret_flags) {
        char text[STAT_SIZE];
        ssize_t n;
        int r;

        n = proc_files_read(&reader->files, pid, "stat", fd, text, sizeof(text));
        if (n < 0)
                return (int) n;

        r = worker_parse_stat(text, (size_t) n, ret, ret_flags);
        if (r < 0)
                return r;

        if (*ret_flags & PF_KTHREAD)
                reader->found_kthread = true;
        return 0;
}

/* Adds a kernel worker that runs another work to others, if it spins. */
static void note_other(KworkerReader *reader, const Worker *worker) {
        if (reader->n_others < KWORKER_OTHERS_MAX && worker_spins(worker) && worker_name_work(worker->name))
                reader->others[reader->n_others++] = *worker;
}

/* Scans the stat of a thread. fd is its kept stat, now owned by this function, or negative. Returns as
 * scan_thread(). */
static int scan_stat(KworkerReader *reader, pid_t pid, int fd, const ScanOptions *options, Worker *ret) {
        _cleanup_close_ int stat_fd = fd;
        uint64_t flags;
        Worker worker;
        int r;

        r = read_stat(reader, pid, &stat_fd, &worker, &flags);
        if (r < 0)
                return r;
        if (worker.pid != pid)
                return -EBADMSG;
        if (!worker_has_flags(flags))
                return 0;
        if (!name_counts(worker.name, options->glob)) {
                if (options->want_others)
                        note_other(reader, &worker);
                return 0;
        }

        kept_files_keep(&reader->files.stats, (KeptFile){ .pid = pid, .fd = take_fd(&stat_fd) });
        *ret = worker;
        return 1;
}

static void add_pid(FlushWorkers *workers, pid_t pid) {
        if (workers->n < FLUSH_WORKERS_MAX)
                workers->pids[workers->n++] = pid;
}

/* Scans a thread whose name does not match. It may spin in another work, or may have begun a matching one
 * since its name was read. An error is recorded, but does not keep the thread's state of the last scan. */
static int scan_other(
                KworkerReader *reader,
                pid_t pid,
                const char *name,
                const ScanOptions *options,
                Worker *ret) {
        int r;

        if (worker_name_flushes(name))
                add_pid(&reader->flush_workers, pid);
        else if (worker_name_may_flush(name))
                add_pid(&reader->may_flush, pid);

        if (!options->want_others || !worker_name_work(name))
                return 0;
        if (reader->n_others == KWORKER_OTHERS_MAX || reader->n_other_reads == OTHER_READS_MAX)
                return 0;

        reader->n_other_reads++;
        r = scan_stat(reader, pid, -EBADF, options, ret);
        if (r < 0) {
                proc_files_note_error(&reader->files, r);
                return 0;
        }
        return r;
}

/* Whether a name says that its thread never was a worker and never will be one. A new thread has the name of
 * kthreadd until its creator gives it its own (kernel/kthread.c of the kernel). */
static bool is_name_of_other(const char *name) {
        return !startswith(name, "kworker/") && !streq(name, "kthreadd");
}

/* Scans one thread. Returns 1 for a worker that counts, 0 for any other thread, or a negative errno. */
static int scan_thread(KworkerReader *reader, pid_t pid, const ScanOptions *options, Worker *ret) {
        KeptFile stat = kept_files_acquire(&reader->files.stats, pid);
        KeptFile comm = kept_files_acquire(&reader->files.comms, pid);
        char name[WORKER_NAME_MAX + 1];
        int r;

        if (stat.fd < 0 && comm.is_other && reader->n_scans % OTHERS_PERIOD != 0) {
                kept_files_keep(&reader->files.comms, comm);
                return 0;
        }

        /* It was running at the last scan. Unless the thread is gone, its stat suffices. */
        if (stat.fd >= 0) {
                r = scan_stat(reader, pid, stat.fd, options, ret);
                if (r >= 0) {
                        kept_files_keep(&reader->files.comms, comm);
                        return r;
                }
        }

        r = read_name(reader, pid, &comm.fd, name);
        if (r < 0)
                return r;

        /* In a list of all processes, only names of workers are kept open. */
        comm.is_other = is_name_of_other(name);
        if (reader->list.kthreads_only || !comm.is_other)
                kept_files_keep(&reader->files.comms, comm);
        else
                (void) close(comm.fd);

        if (!name_counts(name, options->glob))
                return scan_other(reader, pid, name, options, ret);
        return scan_stat(reader, pid, -EBADF, options, ret);
}

/* Returns the next pid to scan, from the list, from the workers of the last scan, or from both, which are
 * sorted; 0 at the end. i and last are indexes, since the arrays move when they grow. *ret_before is the
 * worker of the last scan, or NULL; valid until a worker is added. */
static pid_t next_pid(const KworkerReader *reader, size_t *i, size_t *last, const Worker **ret_before) {
        const Worker *before = *last < reader->last->n_workers ? reader->last->workers + *last : NULL;
        pid_t listed = *i < reader->list.n_pids ? reader->list.pids[*i] : 0;

        if (before && listed > 0 && before->pid > listed)
                before = NULL;
        if (before)
                (*last)++;
        if (listed > 0 && (!before || before->pid == listed))
                (*i)++;

        *ret_before = before;
        return before ? before->pid : listed;
}

/* Scans all threads in the list, and the workers of the last scan that are not in it, in ascending order.
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
                        proc_files_note_error(&reader->files, r);
                        if (before && !proc_error_means_absent(r) &&
                            name_counts(before->name, options->glob)) {
                                worker = *before;
                                r = 1;
                        }
                }
                if (r <= 0)
                        continue;

                r = add_worker(reader, &worker);
                if (r < 0)
                        proc_files_note_error(&reader->files, r);
        }

        return n_read;
}

/* Searches for any kernel thread, if no worker was found. */
static void find_kthread(KworkerReader *reader) {
        Worker worker;
        uint64_t flags;
        int r;

        r = read_stat(reader, KTHREADD_PID, &reader->kthreadd_fd, &worker, &flags);
        proc_files_release(&reader->files, &reader->kthreadd_fd);
        if (r < 0)
                proc_files_note_error(&reader->files, r);

        for (size_t i = 0;
             !reader->found_kthread && i < MIN(reader->list.n_pids, (size_t) KTHREAD_PROBES_MAX); i++) {
                _cleanup_close_ int fd = -EBADF;

                r = read_stat(reader, reader->list.pids[i], &fd, &worker, &flags);
                if (r < 0)
                        proc_files_note_error(&reader->files, r);
        }
}

static void begin_scan(KworkerReader *reader) {
        return_unused_memory(reader);
        proc_files_begin_scan(&reader->files, /* spare_memory= */ reader->last->n_workers > 0);

        reader->n_scans++;
        reader->found_kthread = false;
        reader->current->n_workers = 0;
        reader->n_others = 0;
        reader->n_other_reads = 0;
        reader->flush_workers.n = reader->may_flush.n = 0;
}

static void swap_workers(KworkerReader *reader) {
        WorkerArray *workers = reader->last;

        reader->last = reader->current;
        reader->current = workers;
        if (reader->last->n_workers > CALM_WORKERS)
                reader->storm = true;
}

int kworker_reader_scan(KworkerReader *reader, const char *glob, bool want_others, KworkerScan *ret) {
        const ScanOptions options = { .glob = glob, .want_others = want_others };
        bool found_kthread_before = reader->found_kthread;
        size_t n_read;
        int r;

        begin_scan(reader);
        r = kthread_list_read(&reader->list, &reader->files);
        n_read = scan_threads(reader, &options);
        if (!reader->found_kthread)
                find_kthread(reader);
        proc_files_end_scan(&reader->files);

        /* They could not be read, but need not be gone. */
        if (reader->files.trouble < 0 && !reader->found_kthread)
                reader->found_kthread = found_kthread_before;

        if (r < 0 && n_read == 0 && reader->current->n_workers == 0)
                return r;
        swap_workers(reader);
        for (uint32_t i = 0; i < reader->may_flush.n; i++)
                add_pid(&reader->flush_workers, reader->may_flush.pids[i]);

        *ret = (KworkerScan){
                .workers = reader->last->workers,
                .n_workers = reader->last->n_workers,
                .others = reader->others,
                .n_others = reader->n_others,
                .flush_workers = reader->flush_workers,
                .found_kthread = reader->found_kthread,
                .trouble = reader->files.trouble,
        };
        return 0;
}

const char *kworker_reader_fault_reason(const KworkerReader *reader) {
        return proc_fault_reason(reader->files.root_fd, reader->files.trouble);
}

int kworker_reader_new(const char *proc_root, KworkerReader **ret) {
        _cleanup_(kworker_reader_freep) KworkerReader *reader = NULL;
        int r;

        reader = calloc(1, sizeof(*reader));
        if (!reader)
                return -ENOMEM;
        reader->kthreadd_fd = -EBADF;
        reader->list = KTHREAD_LIST_NONE;
        reader->last = reader->found;
        reader->current = reader->found + 1;

        r = proc_files_open(&reader->files, proc_root);
        if (r >= 0)
                r = kthread_list_init(&reader->list);
        if (r < 0)
                return r;

        for (size_t i = 0; i < ELEMENTSOF(reader->found); i++) {
                reader->found[i].n_allocated = WORKERS_MIN;
                reader->found[i].workers = reallocarray(NULL, WORKERS_MIN, sizeof(Worker));
                if (!reader->found[i].workers)
                        return -ENOMEM;
        }

        *ret = TAKE_POINTER(reader);
        return 0;
}

KworkerReader *kworker_reader_free(KworkerReader *reader) {
        if (!reader)
                return NULL;

        closep(&reader->kthreadd_fd);
        kthread_list_done(&reader->list);
        proc_files_close(&reader->files);

        for (size_t i = 0; i < ELEMENTSOF(reader->found); i++)
                free(reader->found[i].workers);
        free(reader);
        return NULL;
}
