/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Kernel workers read from proc trees: made up ones in temporary folders for everything that a kernel does
 * not show on request, and the real one, in separate namespaces where hidepid and containers are concerned.
 */

#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <dirent.h>
#include <glib.h>
#include <grp.h>

#include "fake-proc.h"
#include "kworkers.h"

#define DEFAULT_GLOB "kworker/*inode_switch_wbs*"

#define NOBODY 65534

/* As root, outside of a container that forbids it. */
static bool may_make_namespaces = false;

/* ---- small helpers ---- */

#define _cleanup_reader_ _cleanup_(kworker_reader_freep)

static KworkerReader *reader_new(const char *root) {
        KworkerReader *reader = NULL;

        g_assert_cmpint(kworker_reader_new(root, &reader), ==, 0);
        return reader;
}

static KworkerScan scan_with(KworkerReader *reader, const char *glob, bool want_others) {
        KworkerScan scan = {};

        g_assert_cmpint(kworker_reader_scan(reader, glob, want_others, &scan), ==, 0);
        for (size_t i = 1; i < scan.n_workers; i++)
                g_assert_cmpint(scan.workers[i - 1].pid, <, scan.workers[i].pid);
        return scan;
}

static KworkerScan scan_once(KworkerReader *reader, const char *glob) {
        return scan_with(reader, glob, /* want_others= */ false);
}

static KworkerScan scan_others(KworkerReader *reader, const char *glob) {
        return scan_with(reader, glob, /* want_others= */ true);
}

/* From here on every open fails with EMFILE. */
static struct rlimit forbid_descriptors(void) {
        struct rlimit before, none;

        g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
        none = before;
        none.rlim_cur = 0;
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);
        return before;
}

/* From here on an open succeeds only after a close. */
static struct rlimit forbid_more_descriptors(void) {
        int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
        struct rlimit before, none;

        g_assert_cmpint(lowest, >=, 0);
        g_assert_cmpint(close(lowest), ==, 0);
        g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
        none = before;
        none.rlim_cur = (rlim_t) lowest;
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);
        return before;
}

static void allow_descriptors(const struct rlimit *before) {
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, before), ==, 0);
}

static size_t count_descriptors(void) {
        g_autoptr(GDir) folder = g_dir_open("/proc/self/fd", 0, NULL);
        size_t n = 0;

        g_assert_nonnull(folder);
        while (g_dir_read_name(folder))
                n++;
        return n;
}

/* ---- scans of made up trees ---- */

static void test_scan(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        uint64_t usec_per_tick = USEC_PER_SEC / (uint64_t) sysconf(_SC_CLK_TCK);
        KworkerScan scan;

        fake_proc_add(&proc, 10, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 11, "kworker/0:2-inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 12, "kworker/0:3", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 13, "kworker/R-inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 14, "kworker/u8:1+flush-8:0", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 15, "ksoftirqd/0", FLAGS_KTHREAD, 100);
        fake_proc_add(&proc, 16, "kworker/R-writeback+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_list(&proc, "10 11 12 13 14 15 16 ");

        scan = scan_once(reader, DEFAULT_GLOB);
        g_assert_true(scan.found_kthread);
        g_assert_cmpint(scan.trouble, ==, 0);
        g_assert_cmpuint(scan.n_workers, ==, 2);
        g_assert_cmpint(scan.workers[0].pid, ==, 10);
        g_assert_cmpstr(scan.workers[0].name, ==, "kworker/0:1+inode_switch_wbs");
        g_assert_cmpuint(scan.workers[0].start_time, ==, 100);
        g_assert_cmpuint(scan.workers[0].cpu_usec, ==, 7 * usec_per_tick);
        g_assert_cmpint(scan.workers[0].state, ==, 'D');
        g_assert_cmpint(scan.workers[1].pid, ==, 16);

        /* The next scan sees what has become of them. */
        fake_proc_add(&proc, 10, "kworker/0:1-inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 11, "kworker/0:2+inode_switch_wbs", FLAGS_WORKER, 100);
        scan = scan_once(reader, DEFAULT_GLOB);
        g_assert_cmpuint(scan.n_workers, ==, 2);
        g_assert_cmpint(scan.workers[0].pid, ==, 11);
        g_assert_cmpint(scan.workers[1].pid, ==, 16);

        fake_proc_list(&proc, "15 ");
        fake_proc_add(&proc, 11, "kworker/0:2", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 16, "kworker/R-writeback", FLAGS_WORKER, 100);
        scan = scan_once(reader, DEFAULT_GLOB);
        g_assert_true(scan.found_kthread);
        g_assert_cmpuint(scan.n_workers, ==, 0);
}

static void test_scan_globs(void) {
        static const struct {
                const char *glob;
                size_t n_workers;
        } cases[] = {
                { DEFAULT_GLOB, 1 },
                { "kworker/*", 3 },
                { "*", 3 }, /* everything that runs, never what is idle */
                { "kworker/0:1+inode_switch_wbs", 1 },
                { "kworker/0:1+inode_switch_wb", 0 }, /* the whole name */
                { "0:1+inode_switch_wbs", 0 },
                { "kworker/@(0|1):*", 2 },
                { "kworker/!(u*)", 2 },
                { "kworker/+([0-9]):+([0-9])+*", 2 },
                { "kworker/*+flush-?:[0-9]", 1 },
                { "kworker*wbs", 1 }, /* a star goes over the slash */
                { "kworker/*-*", 1 }, /* only where the work's name has it */
                { "kworker/u8:1+\\flush*", 1 },
                { "kworker/[", 0 },
                { "kworker/@(0", 0 },
                { "\xff*", 0 },
                { "", 0 },
        };
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);

        fake_proc_add(&proc, 10, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 11, "kworker/1:1+events", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 12, "kworker/u8:1+flush-7:1", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 13, "kworker/1:2-events", FLAGS_WORKER, 100);
        fake_proc_list(&proc, "10 11 12 13 ");

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_test_message("case %zu", i);
                g_assert_cmpuint(scan_once(reader, cases[i].glob).n_workers, ==, cases[i].n_workers);
        }
}

static void test_scan_names(void) {
        static const char *const names[] = {
                "kworker/0:1+with space",
                "kworker/0:1+with ) parenthesis",
                "kworker/0:1+) R 2 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 7 0 (",
                "kworker/0:1+with\nnewline",
                "kworker/0:1+ends\n",
                "kworker/0:1+\n\n",
                "kworker/0:1+\xff\xc3\x28\x80",
                "kworker/0:1+*?[",
                "kworker/0:1+456789012345678901234567890123456789012345678901234", /* 63 bytes */
        };
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        g_autoptr(GString) list = g_string_new(NULL);
        KworkerScan scan;

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                pid_t pid = 10 + (pid_t) i;

                fake_proc_add(&proc, pid, names[i], FLAGS_WORKER, 100);
                g_string_append_printf(list, "%d ", (int) pid);
        }
        fake_proc_list(&proc, list->str);

        scan = scan_once(reader, "kworker/*");
        g_assert_cmpuint(scan.n_workers, ==, ELEMENTSOF(names));
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                g_assert_cmpstr(scan.workers[i].name, ==, names[i]);

        /* Only the newline that ends the file is no part of the name. */
        g_assert_cmpuint(scan_once(reader, "kworker/*ends\n").n_workers, ==, 1);
        g_assert_cmpuint(scan_once(reader, "kworker/*ends").n_workers, ==, 0);

        /* Both files are cut at the same place, if need be. */
        fake_proc_add(&proc, 10, "kworker/0:1+456789012345678901234567890123456789012345678901234XY",
                      FLAGS_WORKER, 100);
        scan = scan_once(reader, "kworker/*1234");
        g_assert_cmpuint(scan.n_workers, ==, 2);
        g_assert_cmpuint(strlen(scan.workers[0].name), ==, WORKER_NAME_MAX);
}

/* Only kernel workers count, whatever others call themselves. */
static void test_scan_impostors(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        KworkerScan scan;

        fake_proc_add(&proc, 10, "kworker/9:9+inode_switch_wbs", FLAGS_USER, 100);
        fake_proc_add(&proc, 11, "kworker/9:9+inode_switch_wbs", FLAGS_KTHREAD, 100);
        fake_proc_add(&proc, 12, "kworker/9:9+inode_switch_wbs", FLAGS_USER | 0x20, 100);
        fake_proc_list(&proc, "10 11 12 ");
        scan = scan_once(reader, DEFAULT_GLOB);
        g_assert_cmpuint(scan.n_workers, ==, 0);
        g_assert_true(scan.found_kthread);
        g_assert_cmpint(scan.trouble, ==, 0);

        /* The same where user processes are listed too. */
        fake_proc_remove(&proc, "2/task/2/children");
        g_assert_cmpuint(scan_once(reader, DEFAULT_GLOB).n_workers, ==, 0);
}

/* The state is the kernel's letter. */
static void test_scan_state(void) {
        static const char letters[] = "RDSI";
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);

        fake_proc_list(&proc, "10 ");
        for (const char *letter = letters; *letter; letter++) {
                KworkerScan scan;

                fake_proc_put(&proc, &(FakeThread){ 10, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER,
                                                    .state = *letter });
                scan = scan_once(reader, DEFAULT_GLOB);
                g_assert_cmpuint(scan.n_workers, ==, 1);
                g_assert_cmpint(scan.workers[0].state, ==, *letter);
                g_assert_true(worker_spins(scan.workers) == (*letter == 'R'));
        }
}

/* Workers that spin in another work, if they are requested. */
static void test_scan_others(void) {
        static const FakeThread threads[] = {
                { 10, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, .state = 'R' },
                { 11, "kworker/0:2+events", FLAGS_WORKER, .start_time = 7, .state = 'R' },
                { 12, "kworker/u8:1+flush-8:0", FLAGS_WORKER, .state = 'D' },
                { 13, "kworker/u8:2+loop1", FLAGS_WORKER, .state = 'S' },
                { 14, "kworker/0:3-events", FLAGS_WORKER, .state = 'R' },
                { 15, "kworker/0:4", FLAGS_WORKER, .state = 'R' },
                { 16, "ksoftirqd/0", FLAGS_KTHREAD, .state = 'R' },
                { 17, "kworker/9:1+events", FLAGS_USER, .state = 'R' },
                { 18, "kworker/9:2+events", FLAGS_KTHREAD, .state = 'R' },
                { 19, "kworker/9:3+events", FLAGS_USER | 0x20, .state = 'R' },
                { 20, "kworker/R-mld-mld", FLAGS_WORKER, .state = 'R' },
                { 21, "kworker/R-mld+mld", FLAGS_WORKER, .state = 'R' },
                { 5, "kworker/u8:0-events_unbound", FLAGS_WORKER, .state = 'I' },
                { 6, "kworker/u8:3", FLAGS_WORKER, .state = 'I' },
                { 7, "kworker/u8:4+events_unbound", FLAGS_WORKER, .state = 'S' },
        };
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        KworkerScan scan;

        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                fake_proc_put(&proc, threads + i);
        fake_proc_list(&proc, "21 10 11 12 13 14 15 16 17 18 19 20 5 6 7 ");

        scan = scan_others(reader, DEFAULT_GLOB);
        g_assert_cmpint(scan.trouble, ==, 0);
        g_assert_cmpuint(scan.n_workers, ==, 1);
        g_assert_cmpint(scan.workers[0].pid, ==, 10);
        g_assert_cmpuint(scan.n_others, ==, 2);
        g_assert_cmpint(scan.others[0].pid, ==, 11);
        g_assert_cmpstr(scan.others[0].name, ==, "kworker/0:2+events");
        g_assert_cmpuint(scan.others[0].start_time, ==, 7);
        g_assert_cmpint(scan.others[1].pid, ==, 21);
        /* Those that may become flush workers come last. */
        g_assert_cmpuint(scan.flush_workers.n, ==, 3);
        g_assert_cmpint(scan.flush_workers.pids[0], ==, 12);
        g_assert_cmpint(scan.flush_workers.pids[1], ==, 5);
        g_assert_cmpint(scan.flush_workers.pids[2], ==, 6);

        /* The glob decides what is another work. */
        scan = scan_others(reader, "kworker/*+events");
        g_assert_cmpuint(scan.n_workers, ==, 1);
        g_assert_cmpint(scan.workers[0].pid, ==, 11);
        g_assert_cmpuint(scan.n_others, ==, 2);
        g_assert_cmpint(scan.others[0].pid, ==, 10);
        scan = scan_others(reader, "*");
        g_assert_cmpuint(scan.n_others, ==, 0);
        g_assert_cmpuint(scan.flush_workers.n, ==, 2);

        /* Only on request, but flush workers always. */
        scan = scan_once(reader, DEFAULT_GLOB);
        g_assert_cmpuint(scan.n_workers, ==, 1);
        g_assert_cmpuint(scan.n_others, ==, 0);
        g_assert_cmpuint(scan.flush_workers.n, ==, 3);

        /* The same where user processes are listed too. */
        fake_proc_remove(&proc, "2/task/2/children");
        scan = scan_others(reader, DEFAULT_GLOB);
        g_assert_cmpuint(scan.n_workers, ==, 1);
        g_assert_cmpuint(scan.n_others, ==, 2);
        g_assert_cmpuint(scan.flush_workers.n, ==, 3);
}

/* A worker that has gone over to other work between the reads of its name and its stat: stat decides. */
static void test_scan_others_changed(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        KworkerScan scan;

        fake_proc_put(&proc, &(FakeThread){ 10, "kworker/0:1+events", FLAGS_WORKER, .state = 'R' });
        fake_proc_write_comm(&proc, 10, "kworker/0:1+inode_switch_wbs");
        fake_proc_put(&proc, &(FakeThread){ 11, "kworker/0:2+inode_switch_wbs", FLAGS_WORKER, .state = 'R' });
        fake_proc_write_comm(&proc, 11, "kworker/0:2+events");
        fake_proc_put(&proc, &(FakeThread){ 12, "kworker/0:3-events", FLAGS_WORKER, .state = 'R' });
        fake_proc_write_comm(&proc, 12, "kworker/0:3+events");
        fake_proc_list(&proc, "10 11 12 ");

        scan = scan_others(reader, DEFAULT_GLOB);
        g_assert_cmpuint(scan.n_workers, ==, 1);
        g_assert_cmpint(scan.workers[0].pid, ==, 11);
        g_assert_cmpuint(scan.n_others, ==, 1);
        g_assert_cmpint(scan.others[0].pid, ==, 10);
        g_assert_cmpuint(scan_once(reader, DEFAULT_GLOB).n_others, ==, 0);
}

/* However many there are, only a few are named, and few stats are read. */
static void test_scan_others_limits(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        g_autoptr(GString) list = g_string_new(NULL);
        KworkerScan scan;

        for (pid_t pid = 10; pid < 210; pid++) {
                fake_proc_put(&proc, &(FakeThread){ pid, "kworker/0:1+events", FLAGS_WORKER, .state = 'R' });
                g_string_append_printf(list, "%d ", (int) pid);
        }
        fake_proc_add(&proc, 300, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 100);
        g_string_append(list, "300 ");
        fake_proc_add(&proc, 299, "kworker/u8:0", FLAGS_WORKER, 100);
        g_string_append(list, "299 ");
        for (pid_t pid = 301; pid <= 301 + FLUSH_WORKERS_MAX; pid++) {
                fake_proc_add(&proc, pid, "kworker/u8:1+flush-8:0", FLAGS_WORKER, 100);
                g_string_append_printf(list, "%d ", (int) pid);
        }
        fake_proc_list(&proc, list->str);

        for (int i = 0; i < 2; i++) {
                scan = scan_others(reader, DEFAULT_GLOB);
                g_assert_cmpuint(scan.n_workers, ==, 1);
                g_assert_cmpuint(scan.flush_workers.n, ==, FLUSH_WORKERS_MAX);
                g_assert_cmpint(scan.flush_workers.pids[0], ==, 301);
                g_assert_cmpuint(scan.n_others, ==, KWORKER_OTHERS_MAX);
                g_assert_cmpint(scan.others[KWORKER_OTHERS_MAX - 1].pid, ==, 10 + KWORKER_OTHERS_MAX - 1);
        }

        /* Those that wait count towards the reads, not towards the names. */
        for (pid_t pid = 10; pid < 10 + 63; pid++)
                fake_proc_add(&proc, pid, "kworker/0:1+events", FLAGS_WORKER, 100);
        scan = scan_others(reader, DEFAULT_GLOB);
        g_assert_cmpuint(scan.n_workers, ==, 1);
        g_assert_cmpuint(scan.n_others, ==, 1);
        g_assert_cmpint(scan.others[0].pid, ==, 10 + 63);
}

/* Another work's stat that cannot be read is trouble; one that is gone is not. In neither case is the thread
 * taken for what it was before. */
static void test_scan_others_unreadable(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        g_autofree char *path = g_build_filename(proc.root, "10/stat", NULL);
        KworkerScan scan;

        fake_proc_add(&proc, 10, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_list(&proc, "10 ");
        g_assert_cmpuint(scan_others(reader, DEFAULT_GLOB).n_workers, ==, 1);

        fake_proc_write_comm(&proc, 10, "kworker/0:1+events");
        fake_proc_remove(&proc, "10/stat");
        g_assert_cmpint(mknod(path, S_IFSOCK | 0644, 0), ==, 0);
        scan = scan_others(reader, DEFAULT_GLOB);
        g_assert_cmpint(scan.trouble, ==, -ENXIO);
        g_assert_cmpuint(scan.n_workers, ==, 0);
        g_assert_cmpuint(scan.n_others, ==, 0);
        g_assert_cmpint(scan_once(reader, DEFAULT_GLOB).trouble, ==, 0);

        fake_proc_remove(&proc, "10/stat");
        g_assert_cmpint(scan_others(reader, DEFAULT_GLOB).trouble, ==, 0);
}

static void test_scan_pid_reuse(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        KworkerScan scan;
        Worker before;

        fake_proc_add(&proc, 10, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_list(&proc, "10 ");
        scan = scan_once(reader, DEFAULT_GLOB);
        g_assert_cmpuint(scan.n_workers, ==, 1);
        before = scan.workers[0];

        scan = scan_once(reader, DEFAULT_GLOB);
        g_assert_true(worker_same(&before, scan.workers));

        fake_proc_add(&proc, 10, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 101);
        scan = scan_once(reader, DEFAULT_GLOB);
        g_assert_cmpuint(scan.n_workers, ==, 1);
        g_assert_cmpuint(scan.workers[0].start_time, ==, 101);
        g_assert_false(worker_same(&before, scan.workers));

        /* A worker's pid that a user process has now. */
        fake_proc_add(&proc, 10, "kworker/0:1+inode_switch_wbs", FLAGS_USER, 102);
        g_assert_cmpuint(scan_once(reader, DEFAULT_GLOB).n_workers, ==, 0);
}

static void test_scan_vanishing(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        g_autofree char *idle = fake_proc_stat_text(14, "kworker/0:5-inode_switch_wbs", FLAGS_WORKER, 100);
        g_autofree char *other = fake_proc_stat_text(15, "kworker/0:6+events", FLAGS_WORKER, 100);
        g_autofree char *foreign =
                        fake_proc_stat_text(999, "kworker/0:7+inode_switch_wbs", FLAGS_WORKER, 100);
        KworkerScan scan;

        fake_proc_add(&proc, 10, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 100);
        /* 11 has no folder, 12 no stat any more, 13 no comm any more */
        fake_proc_write_comm(&proc, 12, "kworker/0:3+inode_switch_wbs");
        fake_proc_add(&proc, 13, "kworker/0:4+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_remove(&proc, "13/comm");
        /* has gone idle, or on to other work, between the two reads */
        fake_proc_write_comm(&proc, 14, "kworker/0:5+inode_switch_wbs");
        fake_proc_write_stat(&proc, 14, idle, strlen(idle));
        fake_proc_write_comm(&proc, 15, "kworker/0:6+inode_switch_wbs");
        fake_proc_write_stat(&proc, 15, other, strlen(other));
        /* the stat of somebody else */
        fake_proc_write_comm(&proc, 16, "kworker/0:7+inode_switch_wbs");
        fake_proc_write_stat(&proc, 16, foreign, strlen(foreign));
        fake_proc_list(&proc, "10 11 12 13 14 15 16 ");

        scan = scan_once(reader, DEFAULT_GLOB);
        g_assert_cmpuint(scan.n_workers, ==, 1);
        g_assert_cmpint(scan.workers[0].pid, ==, 10);
        g_assert_cmpint(scan.trouble, ==, 0);

        /* One that ran is gone, but still listed. */
        fake_proc_remove(&proc, "10/comm");
        fake_proc_remove(&proc, "10/stat");
        scan = scan_once(reader, DEFAULT_GLOB);
        g_assert_cmpuint(scan.n_workers, ==, 0);
        g_assert_cmpint(scan.trouble, ==, 0);
        g_assert_true(scan.found_kthread);

        /* And all the others. */
        fake_proc_remove(&proc, "2/task/2/children");
        fake_proc_remove(&proc, "2/stat");
        for (int pid = 13; pid <= 16; pid++) {
                g_autofree char *file = g_strdup_printf("%d/stat", pid);

                fake_proc_remove(&proc, file);
        }
        scan = scan_once(reader, DEFAULT_GLOB);
        g_assert_cmpuint(scan.n_workers, ==, 0);
        g_assert_false(scan.found_kthread);
        g_assert_cmpint(scan.trouble, ==, 0);
}

#define TEXT(literal)                                                                                        \
        { literal, sizeof(literal) - 1 }

static void test_scan_garbage(void) {
        static const struct {
                const char *text;
                size_t size;
        } stats[] = {
                TEXT(""),
                TEXT("\n"),
                TEXT("\0\0\0\0"),
                TEXT("\xff\xfe\xfd"),
                TEXT("10 (kworker/0:1+inode_switch_wbs"),
                TEXT("10 (kworker/0:1+inode_switch_wbs) D 2 0 0 0 -1 69238880 0 0"),
                TEXT("10 (kworker/0:1+inode_switch_wbs) D 2 0 0 0 -1 -1 0 0 0 0 3 4 0 0 20 0 1 0 100 0\n"),
        };
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        g_autofree char *long_text = g_strnfill(100000, '9');

        fake_proc_add(&proc, 10, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_list(&proc, "10 ");
        g_assert_cmpuint(scan_once(reader, DEFAULT_GLOB).n_workers, ==, 1);

        for (size_t i = 0; i < ELEMENTSOF(stats); i++) {
                KworkerScan scan;

                fake_proc_write_stat(&proc, 10, stats[i].text, stats[i].size);
                scan = scan_once(reader, DEFAULT_GLOB);
                g_assert_cmpuint(scan.n_workers, ==, 0);
                g_assert_true(scan.found_kthread);
        }
        fake_proc_write_stat(&proc, 10, long_text, strlen(long_text));
        g_assert_cmpuint(scan_once(reader, DEFAULT_GLOB).n_workers, ==, 0);

        fake_proc_write(&proc, "10/comm", "", 0);
        g_assert_cmpuint(scan_once(reader, DEFAULT_GLOB).n_workers, ==, 0);
        fake_proc_write(&proc, "10/comm", "\n", 1);
        g_assert_cmpuint(scan_once(reader, DEFAULT_GLOB).n_workers, ==, 0);
        fake_proc_write(&proc, "10/comm", long_text, strlen(long_text));
        g_assert_cmpuint(scan_once(reader, DEFAULT_GLOB).n_workers, ==, 0);
}

/* Lists in any order, with doubles, with what is no pid, cut anywhere by the reads. */
static void test_scan_list(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        g_autoptr(GString) list = g_string_new(NULL);
        KworkerScan scan;

        fake_proc_add(&proc, 5, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 1);
        fake_proc_add(&proc, 77, "kworker/0:2+inode_switch_wbs", FLAGS_WORKER, 2);
        fake_proc_add(&proc, 123456, "kworker/0:3+inode_switch_wbs", FLAGS_WORKER, 3);
        fake_proc_add(&proc, INT32_MAX, "kworker/0:4+inode_switch_wbs", FLAGS_WORKER, 4);

        fake_proc_list(&proc, "77 5 2147483647 5 77 123456 5");
        g_assert_cmpuint(scan_once(reader, DEFAULT_GLOB).n_workers, ==, 4);

        /* Nothing of this is a pid: not -77, no part of an overlong number or of 0x4d, and not 77 of +77. */
        fake_proc_add(&proc, 77, "kworker/0:2-inode_switch_wbs", FLAGS_WORKER, 2);
        scan_once(reader, DEFAULT_GLOB);
        fake_proc_add(&proc, 77, "kworker/0:2+inode_switch_wbs", FLAGS_WORKER, 2);
        fake_proc_list(&proc, "123456 -77 +77 x77 77x 0x4d 99999999977 18446744073709551693 2147483648 0 "
                              "\xff\n\t5\n");
        scan = scan_once(reader, DEFAULT_GLOB);
        g_assert_cmpuint(scan.n_workers, ==, 3);
        g_assert_cmpint(scan.workers[0].pid, ==, 5);
        g_assert_cmpint(scan.workers[1].pid, ==, 123456);
        g_assert_cmpint(scan.workers[2].pid, ==, INT32_MAX); /* of the last scan */

        /* However the reads fall upon it: pids of processes that are not there, and ours at the end. */
        for (size_t shift = 0; shift < 8; shift++) {
                _cleanup_reader_ KworkerReader *fresh = reader_new(proc.root);

                g_string_truncate(list, 0);
                for (size_t i = 0; i < shift; i++)
                        g_string_append_c(list, ' ');
                for (unsigned i = 0; i < 5000; i++)
                        g_string_append_printf(list, "%u ", 999999 - i);
                while (list->len % 16384 != 16380)
                        g_string_append_c(list, ' ');
                g_string_truncate(list, list->len - shift);
                g_string_append(list, "123456 77 5");
                fake_proc_list(&proc, list->str);
                g_assert_cmpuint(scan_once(fresh, DEFAULT_GLOB).n_workers, ==, 3);
        }
}

/* A list read in pieces may leave a child out. */
static void test_scan_missing_in_list(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        KworkerScan scan;

        for (pid_t pid = 10; pid < 20; pid++)
                fake_proc_add(&proc, pid, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_list(&proc, "10 11 12 13 14 15 16 17 18 19 ");
        g_assert_cmpuint(scan_once(reader, DEFAULT_GLOB).n_workers, ==, 10);

        fake_proc_list(&proc, "11 12 15 16 18 ");
        for (int i = 0; i < 3; i++) {
                scan = scan_once(reader, DEFAULT_GLOB);
                g_assert_cmpuint(scan.n_workers, ==, 10);
                g_assert_cmpint(scan.workers[0].pid, ==, 10);
                g_assert_cmpint(scan.workers[9].pid, ==, 19);
        }

        /* No longer read once it has gone idle. */
        fake_proc_add(&proc, 19, "kworker/0:1-inode_switch_wbs", FLAGS_WORKER, 100);
        g_assert_cmpuint(scan_once(reader, DEFAULT_GLOB).n_workers, ==, 9);
        fake_proc_add(&proc, 19, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 100);
        g_assert_cmpuint(scan_once(reader, DEFAULT_GLOB).n_workers, ==, 9);
}

/* Without CONFIG_PROC_CHILDREN, or with a list that shows nothing. */
static void test_scan_without_list(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        KworkerScan scan;

        fake_proc_add(&proc, 1, "init", FLAGS_USER, 0);
        fake_proc_add(&proc, 10, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 4000, "kworker/0:2+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_write(&proc, "self/comm", "kworker/0:3+inode_switch_wbs\n", 29);
        fake_proc_write(&proc, "11x/comm", "kworker/0:3+inode_switch_wbs\n", 29);
        fake_proc_write(&proc, "meminfo", "MemTotal: 1 kB\n", 15);

        scan = scan_once(reader, DEFAULT_GLOB); /* the list is empty */
        g_assert_cmpuint(scan.n_workers, ==, 2);
        g_assert_true(scan.found_kthread);
        g_assert_cmpint(scan.trouble, ==, 0);

        fake_proc_remove(&proc, "2/task/2/children");
        for (pid_t pid = 4001; pid < 4004; pid++) {
                fake_proc_add(&proc, pid, "kworker/0:4+inode_switch_wbs", FLAGS_WORKER, 100);
                scan = scan_once(reader, DEFAULT_GLOB);
                g_assert_cmpuint(scan.n_workers, ==, (size_t) (pid - 4000 + 2));
                g_assert_cmpint(scan.workers[0].pid, ==, 10);
                g_assert_cmpint(scan.workers[1].pid, ==, 4000);
                g_assert_cmpint(scan.workers[scan.n_workers - 1].pid, ==, pid);
                g_assert_true(scan.found_kthread);
                g_assert_cmpint(scan.trouble, ==, 0);
        }

        /* It comes back. */
        fake_proc_list(&proc, "10 ");
        fake_proc_add(&proc, 4004, "kworker/0:4+inode_switch_wbs", FLAGS_WORKER, 100);
        g_assert_cmpuint(scan_once(reader, DEFAULT_GLOB).n_workers, ==, 5);
}

/* A kernel thread is found by kthreadd, else by any that is listed. */
static void test_scan_found_kthread(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        KworkerScan scan;

        fake_proc_list(&proc, "10 11 ");
        fake_proc_add(&proc, 2, "sh", FLAGS_USER, 0);
        fake_proc_add(&proc, 10, "kworker/0:1+inode_switch_wbs", FLAGS_USER, 100);
        fake_proc_add(&proc, 11, "bash", FLAGS_USER, 100);
        scan = scan_once(reader, DEFAULT_GLOB);
        g_assert_false(scan.found_kthread);
        g_assert_cmpint(scan.trouble, ==, 0);
        g_assert_cmpuint(scan.n_workers, ==, 0);

        fake_proc_add(&proc, 2, "kthreadd", FLAGS_KTHREAD, 0);
        g_assert_true(scan_once(reader, DEFAULT_GLOB).found_kthread);
        fake_proc_add(&proc, 2, "sh", FLAGS_USER, 0);
        g_assert_false(scan_once(reader, DEFAULT_GLOB).found_kthread);

        fake_proc_add(&proc, 11, "ksoftirqd/0", FLAGS_KTHREAD, 100);
        g_assert_true(scan_once(reader, DEFAULT_GLOB).found_kthread);
        fake_proc_remove(&proc, "2/stat");
        g_assert_true(scan_once(reader, DEFAULT_GLOB).found_kthread);
        fake_proc_remove(&proc, "11/stat");
        g_assert_false(scan_once(reader, DEFAULT_GLOB).found_kthread);
}

static void test_scan_5000(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        g_autoptr(GString) list = g_string_new(NULL);
        struct mallinfo2 before, after;
        KworkerScan scan;

        /* Created in another order than that of their pids, as after the highest pid. */
        for (pid_t i = 0; i < 5000; i++) {
                pid_t pid = 10 + (i + 2000) % 5000;

                fake_proc_add(&proc, pid, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, (unsigned long) pid);
                g_string_append_printf(list, "%d ", (int) pid);
        }

        /* Room grows while there are workers of the scan before. */
        fake_proc_list(&proc, "10 4000 5009 ");
        g_assert_cmpuint(scan_once(reader, DEFAULT_GLOB).n_workers, ==, 3);

        fake_proc_list(&proc, list->str);
        scan = scan_once(reader, DEFAULT_GLOB);
        g_assert_cmpuint(scan.n_workers, ==, 5000);
        for (pid_t i = 0; i < 5000; i++) {
                g_assert_cmpint(scan.workers[i].pid, ==, 10 + i);
                g_assert_cmpuint(scan.workers[i].start_time, ==, (uint64_t) (10 + i));
        }

        /* Once it has grown, nothing does. */
        before = mallinfo2();
        scan = scan_once(reader, DEFAULT_GLOB);
        g_assert_cmpuint(scan.n_workers, ==, 5000);
        scan = scan_once(reader, "kworker/+([0-9]):@(1|2)+!(x)");
        g_assert_cmpuint(scan.n_workers, ==, 5000);
        scan = scan_once(reader, "none");
        g_assert_cmpuint(scan.n_workers, ==, 0);
        scan = scan_once(reader, DEFAULT_GLOB);
        g_assert_cmpuint(scan.n_workers, ==, 5000);
        after = mallinfo2();
        g_assert_cmpuint(before.uordblks, ==, after.uordblks);
        g_assert_cmpuint(before.hblkhd, ==, after.hblkhd);
}

/* An ordinary machine's scans need no memory from the first one on, with a list and without. */
static void test_scan_allocates_nothing(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        _cleanup_reader_ KworkerReader *real = reader_new("/proc");
        struct mallinfo2 before, after;

        fake_proc_add(&proc, 10, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 11, "kworker/0:2-inode_switch_wbs", FLAGS_WORKER, 100);

        before = mallinfo2();
        for (int i = 0; i < 3; i++) {
                g_assert_cmpuint(scan_once(reader, DEFAULT_GLOB).n_workers, ==, 1);
                (void) scan_once(real, DEFAULT_GLOB);
        }
        after = mallinfo2();
        g_assert_cmpuint(before.uordblks, ==, after.uordblks);
        g_assert_cmpuint(before.hblkhd, ==, after.hblkhd);
}

/* ---- want of descriptors and memory ---- */

static void test_scan_without_descriptors(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        struct rlimit limit;
        KworkerScan scan;
        int r;

        fake_proc_add(&proc, 10, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 11, "kworker/0:2-inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_list(&proc, "10 11 ");
        g_assert_cmpuint(scan_once(reader, DEFAULT_GLOB).n_workers, ==, 1);

        limit = forbid_descriptors();
        for (int i = 0; i < 3; i++) {
                r = kworker_reader_scan(reader, DEFAULT_GLOB, /* want_others= */ false, &scan);
                if (r < 0 || scan.trouble == 0)
                        break;
        }
        allow_descriptors(&limit);
        g_assert_cmpint(r, ==, 0);
        g_assert_cmpint(scan.trouble, ==, -EMFILE);
        g_assert_true(scan.found_kthread);
        g_assert_cmpuint(scan.n_workers, ==, 1);
        g_assert_cmpint(scan.workers[0].pid, ==, 10);
        g_assert_cmpuint(scan.workers[0].start_time, ==, 100);
        g_assert_cmpstr(scan.workers[0].name, ==, "kworker/0:1+inode_switch_wbs");

        /* Kept, but only for whom it was. */
        limit = forbid_descriptors();
        r = kworker_reader_scan(reader, "kworker/*+events", /* want_others= */ false, &scan);
        allow_descriptors(&limit);
        g_assert_cmpint(r, ==, 0);
        g_assert_cmpint(scan.trouble, ==, -EMFILE);
        g_assert_cmpuint(scan.n_workers, ==, 0);

        scan = scan_once(reader, DEFAULT_GLOB);
        g_assert_cmpint(scan.trouble, ==, 0);
        g_assert_cmpuint(scan.n_workers, ==, 1);
}

/* The first scan of all. */
static void test_scan_never_had_descriptors(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        struct rlimit limit;
        KworkerScan scan;
        const char *reason;
        int r;

        fake_proc_add(&proc, 10, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_list(&proc, "10 ");

        limit = forbid_descriptors();
        r = kworker_reader_scan(reader, DEFAULT_GLOB, /* want_others= */ false, &scan);
        reason = kworker_reader_fault_reason(reader);
        allow_descriptors(&limit);
        g_assert_cmpint(r, ==, 0);
        g_assert_cmpint(scan.trouble, ==, -EMFILE);
        g_assert_false(scan.found_kthread);
        g_assert_cmpstr(reason, ==, "this process has no file descriptors left");

        scan = scan_once(reader, DEFAULT_GLOB);
        g_assert_cmpuint(scan.n_workers, ==, 1);
        g_assert_true(scan.found_kthread);
        g_assert_cmpint(scan.trouble, ==, 0);
}

/* A thread whose files cannot be read while all others can: nobody knows what it does. A folder in the place
 * of the file stands for nothing at all, a socket for an error that says nothing. */
static void test_scan_io_error(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        g_autofree char *path = g_build_filename(proc.root, "10/comm", NULL);
        KworkerScan scan;

        fake_proc_add(&proc, 10, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 11, "kworker/0:2+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_list(&proc, "10 11 ");
        g_assert_cmpuint(scan_once(reader, DEFAULT_GLOB).n_workers, ==, 2);

        fake_proc_remove(&proc, "10/comm");
        g_assert_cmpint(mknod(path, S_IFSOCK | 0644, 0), ==, 0);
        fake_proc_add(&proc, 11, "kworker/0:2-inode_switch_wbs", FLAGS_WORKER, 100);
        scan = scan_once(reader, DEFAULT_GLOB);
        g_assert_cmpint(scan.trouble, ==, -ENXIO);
        g_assert_cmpuint(scan.n_workers, ==, 1);
        g_assert_cmpint(scan.workers[0].pid, ==, 10);

        fake_proc_remove(&proc, "10/comm");
        g_assert_cmpint(mkdir(path, 0755), ==, 0);
        scan = scan_once(reader, DEFAULT_GLOB);
        g_assert_cmpint(scan.trouble, ==, 0);
        g_assert_cmpuint(scan.n_workers, ==, 0);
}

/* A fifo never makes it wait. */
static void test_scan_fifo(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        g_autofree char *path = g_build_filename(proc.root, "10/stat", NULL);

        fake_proc_write_comm(&proc, 10, "kworker/0:1+inode_switch_wbs");
        g_assert_cmpint(mkfifo(path, 0644), ==, 0);
        fake_proc_list(&proc, "10 ");
        g_assert_cmpuint(scan_once(reader, DEFAULT_GLOB).n_workers, ==, 0);
}

#ifndef HAS_ADDRESS_SANITIZER /* it allocates beside malloc() and ends the process when it cannot */
static void test_scan_without_memory(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        g_autoptr(GString) list = g_string_new(NULL);
        g_autofree char *statm = NULL;
        struct rlimit limit, none;
        KworkerScan scan = {};
        void *hogs = NULL;
        int r;

        for (pid_t pid = 10; pid < 5010; pid++) {
                fake_proc_add(&proc, pid, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 100);
                g_string_append_printf(list, "%d ", (int) pid);
        }
        fake_proc_list(&proc, list->str);

        g_assert_true(g_file_get_contents("/proc/self/statm", &statm, NULL, NULL));
        g_assert_cmpint(getrlimit(RLIMIT_AS, &limit), ==, 0);
        none = limit;
        none.rlim_cur = strtoul(statm, NULL, 10) * (rlim_t) sysconf(_SC_PAGESIZE);
        g_assert_cmpint(setrlimit(RLIMIT_AS, &none), ==, 0);

        /* What malloc() still has in stock. */
        for (void **hog; (hog = malloc(16 * 1024)); hogs = hog)
                *hog = hogs;

        r = kworker_reader_scan(reader, DEFAULT_GLOB, /* want_others= */ false, &scan);
        while (hogs) {
                void *next = *(void **) hogs;

                free(hogs);
                hogs = next;
        }
        g_assert_cmpint(setrlimit(RLIMIT_AS, &limit), ==, 0);

        g_assert_cmpint(r, ==, 0);
        g_assert_cmpint(scan.trouble, ==, -ENOMEM);
        g_assert_true(scan.found_kthread);
        g_assert_cmpuint(scan.n_workers, ==, 4096); /* as many as always fit */

        scan = scan_once(reader, DEFAULT_GLOB);
        g_assert_cmpint(scan.trouble, ==, 0);
        g_assert_cmpuint(scan.n_workers, ==, 5000);
}
#endif

/* ---- roots that are none ---- */

static void test_new_errors(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        g_autofree char *missing = g_build_filename(proc.root, "missing", NULL);
        g_autofree char *file = g_build_filename(proc.root, "2/comm", NULL);
        KworkerReader *reader = NULL;

        g_assert_cmpint(kworker_reader_new(missing, &reader), ==, -ENOENT);
        g_assert_cmpint(kworker_reader_new(file, &reader), ==, -ENOTDIR);
        g_assert_null(reader);
        g_assert_null(kworker_reader_free(NULL));
}

static void test_not_a_procfs(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        KworkerScan scan;

        fake_proc_remove(&proc, "2/task/2/children");
        fake_proc_remove(&proc, "2/comm");
        fake_proc_remove(&proc, "2/stat");
        scan = scan_once(reader, DEFAULT_GLOB);
        g_assert_false(scan.found_kthread);
        g_assert_cmpint(scan.trouble, ==, 0);
        g_assert_cmpuint(scan.n_workers, ==, 0);
        g_assert_cmpstr(kworker_reader_fault_reason(reader), ==,
                        "the proc root is not a proc filesystem: correct --proc-root");
}

/* A folder that is removed under the reader. */
static void test_root_vanishes(void) {
        g_autofree char *root = g_dir_make_tmp("wbwatch-kworkers-XXXXXX", NULL);
        _cleanup_reader_ KworkerReader *reader = NULL;
        KworkerScan scan = { .n_workers = 4321 };

        g_assert_nonnull(root);
        reader = reader_new(root);
        g_assert_cmpint(remove(root), ==, 0);
        g_assert_cmpint(kworker_reader_scan(reader, DEFAULT_GLOB, /* want_others= */ false, &scan), ==,
                        -ENOENT);
        g_assert_cmpuint(scan.n_workers, ==, 4321);
}

/* ---- the real kernel ---- */

/* In a container there are none to be seen. */
static bool skip_without_kernel_threads(void) {
        g_autofree char *namespace = g_file_read_link("/proc/self/ns/pid", NULL);

        if (g_strcmp0(namespace, "pid:[4026531836]") == 0)
                return false;

        g_test_skip("needs the initial pid namespace, to see kernel threads");
        return true;
}

typedef struct KthreadInfo {
        uint64_t start_time;
        bool is_worker;
} KthreadInfo;

/* Every kernel thread of /proc by its pid, read in another way than the reader's. */
static GHashTable *read_kthreads(void) {
        GHashTable *kthreads = g_hash_table_new_full(NULL, NULL, NULL, g_free);
        g_autoptr(GDir) folder = g_dir_open("/proc", 0, NULL);
        const char *name;

        g_assert_nonnull(folder);
        while ((name = g_dir_read_name(folder))) {
                g_autofree char *path = g_strdup_printf("/proc/%s/stat", name), *text = NULL;
                g_auto(GStrv) fields = NULL;
                uint64_t flags;
                KthreadInfo *info;

                if (!g_ascii_isdigit(name[0]) || !g_file_get_contents(path, &text, NULL, NULL))
                        continue;

                fields = g_strsplit(strrchr(text, ')') + 2, " ", -1); /* from the 3rd on */
                flags = g_ascii_strtoull(fields[9 - 3], NULL, 10);
                if (!(flags & 0x00200000))
                        continue;

                info = g_new0(KthreadInfo, 1);
                info->start_time = g_ascii_strtoull(fields[22 - 3], NULL, 10);
                info->is_worker = flags & 0x20;
                g_hash_table_insert(kthreads, GINT_TO_POINTER(atoi(name)), info);
        }

        return kthreads;
}

/* Has the kernel tear down a network namespace, which takes a worker of its workqueue `netns` some 10 ms. */
static void give_kernel_work(void) {
        pid_t pid;
        int status;

        pid = fork();
        g_assert_cmpint(pid, >=, 0);
        if (pid == 0)
                _exit(unshare(CLONE_NEWNET) < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_cmpint(status, ==, 0);
}

static void test_real_worker(void) {
        _cleanup_reader_ KworkerReader *reader = reader_new("/proc");
        bool seen = false;

        if (!may_make_namespaces) {
                g_test_skip("needs root, to give the kernel work");
                return;
        }
        if (skip_without_kernel_threads())
                return;

        /* It is not known when the worker begins: scan for a while, and give more work in case it was
         * missed. */
        for (int i = 0; i < 100 && !seen; i++) {
                give_kernel_work();

                for (int j = 0; j < 1000 && !seen; j++) {
                        KworkerScan scan = scan_once(reader, "kworker/*+netns");
                        g_autoptr(GHashTable) kthreads = NULL;

                        g_assert_true(scan.found_kthread);
                        if (scan.n_workers == 0)
                                continue;

                        kthreads = read_kthreads();
                        for (size_t k = 0; k < scan.n_workers; k++) {
                                const KthreadInfo *info = g_hash_table_lookup(
                                                kthreads, GINT_TO_POINTER(scan.workers[k].pid));

                                g_assert_nonnull(info);
                                g_assert_true(info->is_worker);
                                g_assert_cmpuint(info->start_time, ==, scan.workers[k].start_time);
                                g_assert_cmpstr(worker_name_work(scan.workers[k].name), ==, "netns");
                        }
                        seen = true;
                }
        }

        g_assert_true(seen);
}

/* Whatever runs here, every worker that is found is one, others too. */
static void test_real_scans(void) {
        _cleanup_reader_ KworkerReader *reader = reader_new("/proc");

        if (skip_without_kernel_threads())
                return;

        for (int i = 0; i < 200; i++) {
                KworkerScan scan = scan_others(reader, "*");
                g_autoptr(GHashTable) kthreads = NULL;

                g_assert_true(scan.found_kthread);
                g_assert_cmpint(scan.trouble, ==, 0);
                if (i % 50 != 0 && scan.n_workers == 0)
                        continue;

                /* A worker may end in between, but it cannot be somebody else's. */
                kthreads = read_kthreads();
                g_assert_cmpuint(g_hash_table_size(kthreads), >, 0);
                for (size_t k = 0; k < scan.n_workers; k++) {
                        const KthreadInfo *info =
                                        g_hash_table_lookup(kthreads, GINT_TO_POINTER(scan.workers[k].pid));

                        if (info && info->start_time == scan.workers[k].start_time)
                                g_assert_true(info->is_worker);
                        g_assert_nonnull(worker_name_work(scan.workers[k].name));
                }
        }
}

/* One that keeps half so many names. */
static KworkerReader *reader_new_with_limit(rlim_t n_descriptors) {
        struct rlimit before, few;
        KworkerReader *reader;

        g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
        few = before;
        few.rlim_cur = n_descriptors;
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &few), ==, 0);
        reader = reader_new("/proc");
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
        return reader;
}

/* What stays open is bounded, and is closed at the end. */
static void test_real_descriptors(void) {
        size_t n_before = count_descriptors(), n_open;
        g_autoptr(GHashTable) kthreads = read_kthreads();
        KworkerReader *reader;
        KworkerScan scan = {};
        struct rlimit limit;
        int r;

        if (skip_without_kernel_threads())
                return;

        reader = reader_new("/proc");
        for (int i = 0; i < 3; i++)
                (void) scan_once(reader, DEFAULT_GLOB);
        n_open = count_descriptors() - n_before;
        g_assert_cmpuint(n_open, >, MIN(g_hash_table_size(kthreads), 8192) / 2);
        g_assert_cmpuint(n_open, <=, 8192 + 256 + 2);

        limit = forbid_descriptors();
        r = kworker_reader_scan(reader, DEFAULT_GLOB, /* want_others= */ false, &scan);
        allow_descriptors(&limit);
        g_assert_cmpint(r, ==, 0);
        g_assert_true(scan.found_kthread);

        reader = kworker_reader_free(reader);
        g_assert_cmpuint(count_descriptors(), ==, n_before);

        reader = reader_new_with_limit(40);
        for (int i = 0; i < 3; i++)
                (void) scan_once(reader, DEFAULT_GLOB);
        n_open = count_descriptors() - n_before;
        g_assert_cmpuint(n_open, <=, 40 / 2 + 3);

        reader = kworker_reader_free(reader);
        g_assert_cmpuint(count_descriptors(), ==, n_before);
}

/* Where no descriptor is left, kept files are closed, and the scan is whole all the same. They are kept again
 * only after many whole scans. */
static void test_real_want_of_descriptors(void) {
        size_t n_before = count_descriptors(), n_lists = 3; /* the root, the children, and kthreadd's stat */
        g_autoptr(GHashTable) kthreads = read_kthreads();
        _cleanup_reader_ KworkerReader *reader = reader_new_with_limit(20);

        if (skip_without_kernel_threads())
                return;

        /* Others are opened at each scan. */
        g_assert_cmpuint(g_hash_table_size(kthreads), >, 20);
        (void) scan_once(reader, DEFAULT_GLOB);
        g_assert_cmpuint(count_descriptors(), ==, n_before + n_lists + 10);

        for (int i = 0; i < 3; i++) {
                struct rlimit limit = forbid_more_descriptors();
                KworkerScan scan = {};
                int r;

                r = kworker_reader_scan(reader, DEFAULT_GLOB, /* want_others= */ false, &scan);
                allow_descriptors(&limit);
                g_assert_cmpint(r, ==, 0);
                g_assert_cmpint(scan.trouble, ==, i == 0 ? 0 : -EMFILE);
                g_assert_true(scan.found_kthread);
                g_assert_cmpuint(count_descriptors(), ==, n_before + n_lists);
        }

        for (int i = 0; i < 60; i++) {
                g_assert_cmpint(scan_once(reader, DEFAULT_GLOB).trouble, ==, 0);
                g_assert_cmpuint(count_descriptors(), ==, n_before + n_lists);
        }
        g_assert_cmpint(scan_once(reader, DEFAULT_GLOB).trouble, ==, 0);
        g_assert_cmpuint(count_descriptors(), ==, n_before + n_lists + 10);
}

/* ---- hidepid and containers: in separate namespaces, which vanish with the child ---- */

/* What a child found, read from a pipe. */
typedef struct Finding {
        int r;
        bool found_kthread;
        int trouble;
        size_t n_workers;
        char reason[256];
} Finding;

static Finding find(const char *root) {
        _cleanup_reader_ KworkerReader *reader = NULL;
        Finding finding = {};
        KworkerScan scan;

        finding.r = kworker_reader_new(root, &reader);
        for (int i = 0; i < 2 && finding.r >= 0; i++)
                finding.r = kworker_reader_scan(reader, DEFAULT_GLOB, /* want_others= */ false, &scan);
        if (finding.r >= 0) {
                finding.found_kthread = scan.found_kthread;
                finding.trouble = scan.trouble;
                finding.n_workers = scan.n_workers;
                (void) g_strlcpy(finding.reason, kworker_reader_fault_reason(reader), sizeof(finding.reason));
        }

        return finding;
}

/* Mounts a proc filesystem over /proc, for this process and its children alone. */
static int mount_proc(const char *options) {
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return -errno;
        if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0)
                return -errno;
        return 0;
}

/* Scans in a child with such a mount, as root or as nobody. */
static Finding scan_with_mount(const char *options, bool as_nobody) {
        Finding finding = {};
        int pipe_fds[2], status;
        pid_t pid;

        g_assert_cmpint(pipe2(pipe_fds, O_CLOEXEC), ==, 0);
        pid = fork();
        g_assert_cmpint(pid, >=, 0);
        if (pid == 0) {
                finding.r = mount_proc(options);
                if (finding.r >= 0 && as_nobody &&
                    (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
                        finding.r = -errno;
                if (finding.r >= 0)
                        finding = find("/proc");
                _exit(write(pipe_fds[1], &finding, sizeof(finding)) == sizeof(finding) ? EXIT_SUCCESS
                                                                                       : EXIT_FAILURE);
        }

        (void) close(pipe_fds[1]);
        g_assert_cmpint(read(pipe_fds[0], &finding, sizeof(finding)), ==, sizeof(finding));
        (void) close(pipe_fds[0]);
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_cmpint(status, ==, 0);
        return finding;
}

static void test_hidepid(void) {
        Finding finding;

        if (!may_make_namespaces) {
                g_test_skip("needs root, to mount");
                return;
        }
        if (skip_without_kernel_threads())
                return;

        for (int value = 1; value <= 2; value++) {
                g_autofree char *options = g_strdup_printf("hidepid=%d", value);

                finding = scan_with_mount(options, true);
                g_assert_cmpint(finding.r, ==, 0);
                g_assert_false(finding.found_kthread);
                g_assert_cmpint(finding.trouble, ==, 0);
                g_assert_cmpuint(finding.n_workers, ==, 0);
                g_assert_nonnull(strstr(finding.reason, "hidepid hides kernel threads"));

                /* root sees all the same */
                finding = scan_with_mount(options, false);
                g_assert_cmpint(finding.r, ==, 0);
                g_assert_true(finding.found_kthread);
        }

        /* nobody does too, where nothing is hidden, and in the group that the mount names */
        finding = scan_with_mount(NULL, true);
        g_assert_cmpint(finding.r, ==, 0);
        g_assert_true(finding.found_kthread);
        g_assert_nonnull(strstr(finding.reason, "neither hidepid nor"));
        finding = scan_with_mount("hidepid=2,gid=65534", true);
        g_assert_cmpint(finding.r, ==, 0);
        g_assert_true(finding.found_kthread);
}

/* A container scans its own /proc, and the host the container's. */
static void test_foreign_pid_namespace(void) {
        g_autofree char *root = NULL;
        int own, up[2], down[2], status;
        Finding finding;
        pid_t pid;

        if (!may_make_namespaces) {
                g_test_skip("needs root, to make a pid namespace");
                return;
        }

        g_assert_cmpint(pipe2(up, O_CLOEXEC), ==, 0);
        g_assert_cmpint(pipe2(down, O_CLOEXEC), ==, 0);
        own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
        g_assert_cmpint(own, >=, 0);

        g_assert_cmpint(unshare(CLONE_NEWPID), ==, 0); /* for the next children alone */
        pid = fork();
        g_assert_cmpint(pid, >=, 0);
        if (pid == 0) {
                char c;

                /* The container's first process: sends what it found, and stays until the host has scanned.
                 * When the host ends before, that ends the read too. */
                (void) close(down[1]);
                finding = (Finding){ .r = mount_proc(NULL) };
                if (finding.r >= 0)
                        finding = find("/proc");
                if (write(up[1], &finding, sizeof(finding)) != sizeof(finding) || read(down[0], &c, 1) < 0)
                        _exit(EXIT_FAILURE);
                _exit(EXIT_SUCCESS);
        }
        g_assert_cmpint(setns(own, CLONE_NEWPID), ==, 0);
        (void) close(own);
        (void) close(up[1]);
        (void) close(down[0]);

        g_assert_cmpint(read(up[0], &finding, sizeof(finding)), ==, sizeof(finding));
        g_assert_cmpint(finding.r, ==, 0);
        g_assert_false(finding.found_kthread);
        g_assert_cmpint(finding.trouble, ==, 0);
        g_assert_nonnull(strstr(finding.reason, "is in its own PID namespace"));

        root = g_strdup_printf("/proc/%d/root/proc", (int) pid);
        finding = find(root);
        g_assert_cmpint(finding.r, ==, 0);
        g_assert_false(finding.found_kthread);
        g_assert_nonnull(strstr(finding.reason, "belongs to another PID namespace"));

        (void) close(down[1]);
        (void) close(up[0]);
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_cmpint(status, ==, 0);
}

/* Temporary folders in a filesystem that is this process's own, and vanishes with it however it ends. */
static void make_private_tmp(void) {
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("tmpfs", "/mnt", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
                return;

        g_setenv("TMPDIR", "/mnt", true);
        may_make_namespaces = true;
}

int main(int argc, char *argv[]) {
        make_private_tmp();
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/kworkers/scan/marks", test_scan);
        g_test_add_func("/kworkers/scan/globs", test_scan_globs);
        g_test_add_func("/kworkers/scan/names", test_scan_names);
        g_test_add_func("/kworkers/scan/impostors", test_scan_impostors);
        g_test_add_func("/kworkers/scan/state", test_scan_state);
        g_test_add_func("/kworkers/scan/others", test_scan_others);
        g_test_add_func("/kworkers/scan/others-changed", test_scan_others_changed);
        g_test_add_func("/kworkers/scan/others-limits", test_scan_others_limits);
        g_test_add_func("/kworkers/scan/others-unreadable", test_scan_others_unreadable);
        g_test_add_func("/kworkers/scan/pid-reuse", test_scan_pid_reuse);
        g_test_add_func("/kworkers/scan/vanishing", test_scan_vanishing);
        g_test_add_func("/kworkers/scan/garbage", test_scan_garbage);
        g_test_add_func("/kworkers/scan/list", test_scan_list);
        g_test_add_func("/kworkers/scan/missing-in-list", test_scan_missing_in_list);
        g_test_add_func("/kworkers/scan/without-list", test_scan_without_list);
        g_test_add_func("/kworkers/scan/found-kthread", test_scan_found_kthread);
        g_test_add_func("/kworkers/scan/5000", test_scan_5000);
        g_test_add_func("/kworkers/scan/allocates-nothing", test_scan_allocates_nothing);
        g_test_add_func("/kworkers/scan/without-descriptors", test_scan_without_descriptors);
        g_test_add_func("/kworkers/scan/never-had-descriptors", test_scan_never_had_descriptors);
        g_test_add_func("/kworkers/scan/io-error", test_scan_io_error);
        g_test_add_func("/kworkers/scan/fifo", test_scan_fifo);
#ifndef HAS_ADDRESS_SANITIZER
        g_test_add_func("/kworkers/scan/without-memory", test_scan_without_memory);
#endif
        g_test_add_func("/kworkers/new/errors", test_new_errors);
        g_test_add_func("/kworkers/fault/not-a-procfs", test_not_a_procfs);
        g_test_add_func("/kworkers/fault/root-vanishes", test_root_vanishes);
        g_test_add_func("/kworkers/fault/hidepid", test_hidepid);
        g_test_add_func("/kworkers/fault/foreign-pid-namespace", test_foreign_pid_namespace);
        g_test_add_func("/kworkers/real/worker", test_real_worker);
        g_test_add_func("/kworkers/real/scans", test_real_scans);
        g_test_add_func("/kworkers/real/descriptors", test_real_descriptors);
        g_test_add_func("/kworkers/real/want-of-descriptors", test_real_want_of_descriptors);

        return g_test_run();
}
