/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The cost of a scan of the kernel workers, with few and many processes, and with few and many kernel
 * threads.
 *
 * A test cannot create 6,000 kernel threads. But in a new pid namespace with its own proc filesystem, pid 2
 * can be any process, and its children are listed and read like those of kthreadd. Files are mounted over the
 * stat of pid 2, and over comm and stat of the children that appear as running workers. So each figure is one
 * of the real proc filesystem.
 */

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "evidence-reader.h"
#include "kworkers.h"
#include "measure.h"

#define PROC_ROOT "/run/proc"
#define KTHREADD_PID 2

/* The number of workers that the real bug shows at once. */
#define N_RUNNING 16

#define GLOB "kworker/*inode_switch_wbs*"

/* Enough for a process that only sleeps. */
#define STACK_SIZE 4096

typedef struct World {
        pid_t init; /* its first process; the others end with it */
} World;

G_NORETURN static int sleep_forever(void *unused) {
        for (;;)
                (void) pause();
}

/* Starts n processes that share this one's memory. They end with their pid namespace. */
static void start_sleepers(unsigned n) {
        uint8_t *stacks;

        if (n == 0)
                return;

        stacks = mmap(NULL, (size_t) n * STACK_SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        g_assert_true(stacks != MAP_FAILED);
        for (unsigned i = 1; i <= n; i++)
                if (clone(sleep_forever, stacks + (size_t) i * STACK_SIZE, CLONE_VM | SIGCHLD, NULL) < 0)
                        g_error("can't start a process, after %u: %s", i - 1, g_strerror(errno));
}

static void notify(int fd, char c) {
        g_assert_cmpint(write(fd, &c, 1), ==, 1);
}

static void await_notification(int fd) {
        char c;

        if (read(fd, &c, 1) != 1)
                _exit(EXIT_FAILURE);
}

/* Pid 1 of the namespace: starts pid 2, which starts the kernel threads, and then the other processes. */
G_NORETURN static void run_init(unsigned n_kthreads, unsigned n_others, int started_fd) {
        int ready[2];
        pid_t kthreadd;

        g_assert_no_errno(prctl(PR_SET_PDEATHSIG, SIGKILL));
        g_assert_no_errno(mount("proc", PROC_ROOT, "proc", 0, NULL));
        g_assert_no_errno(pipe2(ready, O_CLOEXEC));

        kthreadd = fork();
        g_assert_no_errno(kthreadd);
        if (kthreadd == 0) {
                g_assert_no_errno(prctl(PR_SET_NAME, "kworker/0:1-eve"));
                start_sleepers(n_kthreads);
                notify(ready[1], 'r');
                (void) sleep_forever(NULL);
        }
        g_assert_cmpint(kthreadd, ==, KTHREADD_PID);
        await_notification(ready[0]);

        start_sleepers(n_others);
        notify(started_fd, 'r');
        (void) sleep_forever(NULL);
}

/* Mounts a file with this text over one in the proc root. */
static void cover(pid_t pid, const char *name, const char *text) {
        g_autofree char *path = g_strdup_printf(PROC_ROOT "/%d/%s", (int) pid, name);
        g_autofree char *cover = g_strdup_printf("/run/%d-%s", (int) pid, name);

        g_assert_true(g_file_set_contents(cover, text, -1, NULL));
        g_assert_no_errno(mount(cover, path, NULL, MS_BIND, NULL));
}

static void cover_worker(pid_t pid) {
        g_autofree char *name = g_strdup_printf("kworker/0:%d+inode_switch_wbs", (int) pid);
        g_autofree char *stat = fake_proc_stat_text(pid, name, FLAGS_WORKER, /* start_time= */ 100);
        g_autofree char *comm = g_strconcat(name, "\n", NULL);

        cover(pid, "stat", stat);
        cover(pid, "comm", comm);
}

static World world_new(unsigned n_kthreads, unsigned n_others) {
        g_autofree char *kthreadd = fake_proc_stat_text(2, "kthreadd", FLAGS_KTHREAD, /* start_time= */ 0);
        World world;
        int started[2];

        (void) mkdir(PROC_ROOT, 0755);
        g_assert_no_errno(pipe2(started, O_CLOEXEC));

        world.init = (pid_t) syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL);
        if (world.init < 0)
                measure_skip("it needs a pid namespace: %s", g_strerror(errno));
        if (world.init == 0)
                run_init(n_kthreads, n_others, started[1]);

        g_assert_no_errno(close(started[1]));
        await_notification(started[0]);
        g_assert_no_errno(close(started[0]));

        cover(KTHREADD_PID, "stat", kthreadd);
        for (pid_t pid = KTHREADD_PID + 1; pid <= KTHREADD_PID + N_RUNNING; pid++)
                cover_worker(pid);
        return world;
}

static void world_done(World *world) {
        g_assert_no_errno(umount2(PROC_ROOT, MNT_DETACH));
        g_assert_no_errno(kill(world->init, SIGKILL));
        g_assert_cmpint(waitpid(world->init, NULL, 0), ==, world->init);
}

/* n scans at this interval that find n_running workers. */
static void measure_scans(
                const char *glob,
                size_t n_running,
                unsigned n,
                unsigned pause_usec,
                Samples *usec) {
        _cleanup_(kworker_reader_freep) KworkerReader *reader = NULL;
        KworkerScan scan;

        g_assert_cmpint(kworker_reader_new(PROC_ROOT, &reader), ==, 0);
        for (unsigned i = 0; i <= n; i++) {
                double begin_usec;

                g_usleep(pause_usec);
                begin_usec = thread_cpu_usec();
                g_assert_cmpint(kworker_reader_scan(reader, glob, /* want_others= */ false, &scan), ==, 0);
                /* The first scan opens the files that the others keep open. */
                if (i > 0)
                        samples_add(usec, thread_cpu_usec() - begin_usec);

                g_assert_true(scan.found_kthread);
                g_assert_cmpuint(scan.n_workers, ==, n_running);
        }
}

/* The least that a scan of all names can cost: it reads the files that a scan reads, in a row, and does
 * nothing else. */
static void measure_plain_reads(unsigned n_kthreads, unsigned n, Samples *usec) {
        int *fds = g_new(int, n_kthreads + 1);
        char text[4096];

        for (unsigned i = 0; i <= n_kthreads; i++) {
                g_autofree char *path =
                                i == n_kthreads ? g_strdup_printf(PROC_ROOT "/%d/task/%d/children",
                                                                  KTHREADD_PID, KTHREADD_PID)
                                                : g_strdup_printf(PROC_ROOT "/%u/%s", KTHREADD_PID + 1 + i,
                                                                  i < N_RUNNING ? "stat" : "comm");

                fds[i] = open(path, O_RDONLY | O_CLOEXEC);
                g_assert_no_errno(fds[i]);
        }
        for (unsigned i = 0; i <= n; i++) {
                double begin_usec = thread_cpu_usec();

                for (unsigned k = 0; k <= n_kthreads; k++)
                        g_assert_cmpint(pread(fds[k], text, sizeof(text), 0), >, 0);
                if (i > 0)
                        samples_add(usec, thread_cpu_usec() - begin_usec);
        }

        for (unsigned i = 0; i <= n_kthreads; i++)
                g_assert_no_errno(close(fds[i]));
        g_free(fds);
}

/* Scans like the Rust tool: reads the folder and the stat of each process. */
static unsigned scan_folder(void) {
        DIR *folder = opendir(PROC_ROOT);
        struct dirent *entry;
        unsigned n = 0;

        g_assert_nonnull(folder);
        while ((entry = readdir(folder))) {
                _cleanup_close_ int fd = -EBADF;
                char path[300], text[1024];
                Worker worker;
                uint64_t flags;
                ssize_t size;

                if (!g_ascii_isdigit(entry->d_name[0]))
                        continue;
                (void) snprintf(path, sizeof(path), "%s/stat", entry->d_name);
                fd = openat(dirfd(folder), path, O_RDONLY | O_CLOEXEC);
                size = fd < 0 ? -1 : read(fd, text, sizeof(text));
                if (size > 0 && worker_parse_stat(text, (size_t) size, &worker, &flags) >= 0 &&
                    worker_name_work(worker.name))
                        n++;
        }
        g_assert_no_errno(closedir(folder));
        return n;
}

static void measure_folder_scans(unsigned n, unsigned pause_usec, Samples *usec) {
        for (unsigned i = 0; i <= n; i++) {
                double begin_usec;

                g_usleep(pause_usec);
                begin_usec = thread_cpu_usec();
                g_assert_cmpuint(scan_folder(), ==, N_RUNNING);
                if (i > 0)
                        samples_add(usec, thread_cpu_usec() - begin_usec);
        }
}

/* The whole busy daemon: the scan, the engine, and the event loop. */
static void measure_daemon(unsigned n_processes) {
        Daemon daemon =
                        daemon_begin(NULL, NULL, "PollIntervalSec=100ms\nThresholdSec=1h\nCrowdSize=0\n",
                                     "--proc-root", PROC_ROOT, NULL);
        unsigned n_parts = measure_short ? 1 : 5;
        _cleanup_samples_ Samples usec = samples_new();
        double calls, scans;
        Tracer tracer;

        daemon_settle(&daemon);
        for (unsigned i = 0; i < n_parts; i++) {
                Usage before = usage_of(daemon.process.pid), used;

                g_usleep(1 * USEC_PER_SEC);
                used = usage_since(daemon.process.pid, before);
                samples_add(&usec, used.cpu_msec * 1000 / used.wakeups);
        }
        samples_report(&usec, "us", "scan/daemon/%u/cpu", n_processes);

        tracer = trace_begin(daemon.process.pid);
        g_usleep(1 * USEC_PER_SEC);
        trace_end(&tracer, "epoll_wait", &calls, &scans);
        report(calls / scans, "calls", "scan/daemon/%u/system-calls", n_processes);
        daemon_end(&daemon);
}

static void measure_world(unsigned n_kthreads, unsigned total) {
        _cleanup_samples_ Samples scan_usec = samples_new(), reads_usec = samples_new(),
                                  cold_scan_usec = samples_new(), folder_usec = samples_new(),
                                  cold_folder_usec = samples_new();
        unsigned n = measure_short ? 5 : 30;

        measure_scans(GLOB, N_RUNNING, n * 10, 0, &scan_usec);
        samples_report(&scan_usec, "us", "scan/%u/cpu", total);
        measure_plain_reads(n_kthreads, n * 10, &reads_usec);
        samples_report(&reads_usec, "us", "scan/%u/plain-reads-cpu", total);
        measure_folder_scans(n, 0, &folder_usec);
        samples_report(&folder_usec, "us", "scan/%u/folder-cpu", total);

        /* Data that is used ten times a second must be fetched into the caches each time. */
        measure_scans(GLOB, N_RUNNING, n, 100 * USEC_PER_MSEC, &cold_scan_usec);
        samples_report(&cold_scan_usec, "us", "scan/%u/cold-cpu", total);
        measure_folder_scans(n, 100 * USEC_PER_MSEC, &cold_folder_usec);
        samples_report(&cold_folder_usec, "us", "scan/%u/cold-folder-cpu", total);

        measure_daemon(total);
}

/* With many processes. */
static void measure_processes(void) {
        static const unsigned totals[] = { 200, 20000 };

        for (size_t i = 0; i < ELEMENTSOF(totals); i++) {
                World world = world_new(60, (measure_short ? MIN(totals[i], 4000) : totals[i]) - 60 - 2);

                measure_world(60, totals[i]);
                world_done(&world);
        }
}

/* With many kernel threads. */
static void measure_kthreads(void) {
        static const unsigned totals[] = { 60, 600, 6000 };

        for (size_t i = 0; i < ELEMENTSOF(totals); i++) {
                _cleanup_samples_ Samples usec = samples_new();
                World world = world_new(totals[i], 200);

                measure_scans("kworker/*none*", 0, measure_short ? 20 : 200, 0, &usec);
                samples_report(&usec, "us", "idle-scan/%u/cpu", totals[i]);
                report(samples_median(&usec) / totals[i], "us", "idle-scan/%u/cpu-of-each", totals[i]);
                world_done(&world);
        }
}

/* What is read once for each sync. */
static void measure_evidence(void) {
        _cleanup_samples_ Samples usec = samples_new();
        int files[_KERNEL_FILE_MAX];

        for (KernelFile file = 0; file < _KERNEL_FILE_MAX; file++)
                files[file] = kernel_file_open(file);
        for (unsigned i = 0; i < (measure_short ? 20 : 200); i++) {
                double begin_usec = thread_cpu_usec();
                Evidence evidence = {};

                evidence_read(&evidence, files);
                samples_add(&usec, thread_cpu_usec() - begin_usec);
        }
        samples_report(&usec, "us", "evidence/cpu");
        for (KernelFile file = 0; file < _KERNEL_FILE_MAX; file++)
                closep(&files[file]);
}

int main(int argc, char **argv) {
        measure_begin(argc, argv);
        bus_start();
        measure_kthreads();
        measure_processes();
        measure_evidence();
        bus_stop();
        return EXIT_SUCCESS;
}
