/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Kernel workers read from proc trees: made up ones in temporary folders for everything that a kernel cannot
 * be asked to show, and the real one, in namespaces of our own where hidepid and containers are concerned.
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

static KworkerLook look_at(KworkerReader *reader, const char *glob) {
        KworkerLook look = {};

        g_assert_cmpint(kworker_reader_look(reader, glob, &look), ==, 0);
        for (size_t i = 1; i < look.n_workers; i++)
                g_assert_cmpint(look.workers[i - 1].pid, <, look.workers[i].pid);
        return look;
}

/* From here on every open fails with EMFILE. */
static struct rlimit take_descriptors_away(void) {
        struct rlimit before, none;

        g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
        none = before;
        none.rlim_cur = 0;
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);
        return before;
}

static void give_descriptors_back(const struct rlimit *before) {
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

/* ---- names ---- */

static void test_name_work(void) {
        static const struct {
                const char *name;
                const char *work;
        } cases[] = {
                /* per CPU */
                { "kworker/0:1+inode_switch_wbs", "inode_switch_wbs" },
                { "kworker/0:1H+kblockd", "kblockd" },
                { "kworker/127:4096+events", "events" },
                { "kworker/0:1-inode_switch_wbs", NULL },
                { "kworker/0:1H-kblockd", NULL },
                { "kworker/0:1", NULL },
                { "kworker/0:1H", NULL },
                /* unbound */
                { "kworker/u8:3+flush-7:1", "flush-7:1" },
                { "kworker/u8:3+loop1", "loop1" },
                { "kworker/u8:3-flush-7:1", NULL },
                { "kworker/u8:0-ext4-rsv-conversion", NULL },
                { "kworker/u8:3", NULL },
                { "kworker/u9:0H+x", "x" },
                /* the mark is the one behind the id, whatever the work is called */
                { "kworker/0:1-a+b", NULL },
                { "kworker/0:1+a-b", "a-b" },
                { "kworker/0:1+a+b", "a+b" },
                { "kworker/0:1++", "+" },
                { "kworker/0:1+", "" },
                { "kworker/0:1-", NULL },
                { "kworker/0:1+ )(\n", " )(\n" },
                { "kworker/0:1+\xff\xfe", "\xff\xfe" },
                /* rescuers */
                { "kworker/R-xfs_mru_cache", NULL },
                { "kworker/R-ext4-rsv-conversion", NULL },
                { "kworker/R-quota_events_unbound", NULL },
                { "kworker/R-writeback+flush-8:0", "flush-8:0" },
                { "kworker/R-ext4-rsv-conversion+ext4-rsv-conversion", "ext4-rsv-conversion" },
                { "kworker/R-writeback-flush-8:0", NULL },
                { "kworker/R-", NULL },
                { "kworker/R", NULL },
                { "kworker/R+x", NULL },
                /* ids that kernels before 6.10 cut at 15 bytes */
                { "kworker/u1024:1+events_unbound", "events_unbound" },
                { "kworker/u16384:+events_unbound", "events_unbound" },
                { "kworker/u131072+events_unbound", "events_unbound" },
                { "kworker/u16384:-events_unbound", NULL },
                /* on their way out */
                { "kworker/dying", NULL },
                { "kworker/dying+x", NULL },
                /* others */
                { "", NULL },
                { "+", NULL },
                { "kworker", NULL },
                { "kworker/", NULL },
                { "kworker/+x", NULL },
                { "kworker/u", NULL },
                { "kworker/u+x", NULL },
                { "kworker/:1+x", NULL },
                { "kworker/0:1 +x", NULL },
                { "kworker/0:1h+x", NULL },
                { "kworker/0:1:2+x", NULL },
                { "kworker/uu8:1+x", NULL },
                { " kworker/0:1+x", NULL },
                { "Kworker/0:1+x", NULL },
                { "xkworker/0:1+x", NULL },
                { "inode_switch_wbs+inode_switch_wbs", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_test_message("case %zu", i);
                g_assert_cmpstr(worker_name_work(cases[i].name), ==, cases[i].work);
        }
}

/* ---- stat ---- */

/* Parses a copy of exactly that size, so that a sanitizer sees every read beyond it. */
static int parse_copy(const char *text, size_t size, Worker *ret, uint64_t *ret_flags) {
        _cleanup_free_ char *copy = malloc(size);

        g_assert_nonnull(copy);
        memcpy(copy, text, size);
        return worker_parse_stat(copy, size, ret, ret_flags);
}

static void test_stat_good(void) {
        uint64_t usec_per_tick = USEC_PER_SEC / (uint64_t) sysconf(_SC_CLK_TCK);
        static const char text[] = "4194304 (kworker/u8:3+flush-7:1) D 2 0 0 0 -1 69238880 1 2 3 4 500 1800 "
                                   "-5 -6 20 -20 1 0 "
                                   "182095 0 0 18446744073709551615 0\n";
        Worker worker = {};
        uint64_t flags = 0;

        g_assert_cmpint(parse_copy(text, strlen(text), &worker, &flags), ==, 0);
        g_assert_cmpint(worker.pid, ==, 4194304);
        g_assert_cmpstr(worker.name, ==, "kworker/u8:3+flush-7:1");
        g_assert_cmpint(worker.state, ==, 'D');
        g_assert_cmpuint(worker.start_time, ==, 182095);
        g_assert_cmpuint(worker.cpu_usec, ==, 2300 * usec_per_tick);
        g_assert_cmphex(flags, ==, FLAGS_WORKER);
}

static void test_stat_names(void) {
        static const char *const names[] = {
                "",
                ")",
                "(",
                "()",
                "a b",
                "a) R 2 0 0 0 -1 2097184 0 0 0 0 0 0 0 0 20 0 1 0 7 0 (",
                "a) R 2 0 0 0 -1 2097184 0 0 0 0 0 0 0 0 20 0 1 0 7 0",
                "a\nb\n",
                "a\tb\\c\\n",
                "kworker/0:1+\xff\xc3\x28\x80",
                "kworker/0:1+456789012345678901234567890123456789012345678901234", /* 63 bytes */
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                g_autofree char *text = fake_proc_stat_text(7, names[i], FLAGS_WORKER, 99);
                Worker worker = {};
                uint64_t flags = 0;

                g_assert_cmpint(parse_copy(text, strlen(text), &worker, &flags), ==, 0);
                g_assert_cmpstr(worker.name, ==, names[i]);
                g_assert_cmpint(worker.state, ==, 'D');
                g_assert_cmpuint(worker.start_time, ==, 99);
                g_assert_cmphex(flags, ==, FLAGS_WORKER);
        }

        /* What no kernel shows is cut at the size that there is. */
        for (size_t size = 62; size < 200; size++) {
                g_autofree char *name = g_strnfill(size, 'x');
                g_autofree char *text = fake_proc_stat_text(7, name, FLAGS_WORKER, 99);
                Worker worker = {};
                uint64_t flags;

                g_assert_cmpint(parse_copy(text, strlen(text), &worker, &flags), ==, 0);
                g_assert_cmpuint(strlen(worker.name), ==, MIN(size, (size_t) WORKER_NAME_MAX));
                g_assert_cmpuint(worker.start_time, ==, 99);
        }
}

static void test_stat_garbage(void) {
        static const char *const texts[] = {
                "",
                " ",
                "\n",
                "7",
                "7 ",
                "7 (",
                "7 (a",
                "7 (a)",
                "7 (a) ",
                "7 (a) R",
                "7 (a) R ",
                "7 a R 2 0 0 0 -1 1 0 0 0 0 3 4 0 0 20 0 1 0 99 0\n",
                "7 a) R 2 0 0 0 -1 1 0 0 0 0 3 4 0 0 20 0 1 0 99 0\n",
                "7 )a( R 2 0 0 0 -1 1 0 0 0 0 3 4 0 0 20 0 1 0 99 0\n",
                "(a) R 2 0 0 0 -1 1 0 0 0 0 3 4 0 0 20 0 1 0 99 0\n",
                " 7 (a) R 2 0 0 0 -1 1 0 0 0 0 3 4 0 0 20 0 1 0 99 0\n",
                "0 (a) R 2 0 0 0 -1 1 0 0 0 0 3 4 0 0 20 0 1 0 99 0\n",
                "-7 (a) R 2 0 0 0 -1 1 0 0 0 0 3 4 0 0 20 0 1 0 99 0\n",
                "2147483648 (a) R 2 0 0 0 -1 1 0 0 0 0 3 4 0 0 20 0 1 0 99 0\n",
                "18446744073709551623 (a) R 2 0 0 0 -1 1 0 0 0 0 3 4 0 0 20 0 1 0 99 0\n",
                "7 (a)R 2 0 0 0 -1 1 0 0 0 0 3 4 0 0 20 0 1 0 99 0\n",
                "7 (a) 5 2 0 0 0 -1 1 0 0 0 0 3 4 0 0 20 0 1 0 99 0\n",
                "7 (a) RR 2 0 0 0 -1 1 0 0 0 0 3 4 0 0 20 0 1 0 99 0\n",
                "7 (a) R  2 0 0 0 -1 1 0 0 0 0 3 4 0 0 20 0 1 0 99 0\n",
                "7 (a) R x 0 0 0 -1 1 0 0 0 0 3 4 0 0 20 0 1 0 99 0\n",
                "7 (a) R 2 0 0 0 -1 1 0 0 0 0 3 4 0 0 20 0 1 0 99\n0 )",
                "7 (a) R 2 0 0 0 -1 -1 0 0 0 0 3 4 0 0 20 0 1 0 99 0\n",
                "7 (a) R 2 0 0 0 -1 1 0 0 0 0 -3 4 0 0 20 0 1 0 99 0\n",
                "7 (a) R 2 0 0 0 -1 1 0 0 0 0 3 -4 0 0 20 0 1 0 99 0\n",
                "7 (a) R 2 0 0 0 -1 1 0 0 0 0 3 4 0 0 20 0 1 0 -99 0\n",
                "7 (a) R 2 0 0 0 - 1 0 0 0 0 3 4 0 0 20 0 1 0 99 0\n",
                "7 (a) R 2 0 0 0 -1 18446744073709551616 0 0 0 0 3 4 0 0 20 0 1 0 99 0\n",
                "7 (a) R 2 0 0 0 -1 1 0 0 0 0 3 4 0 0 20 0 1 0 18446744073709551616 0\n",
                "7 (a) R 2 0 0 0 -1 1 0 0 0 0 3 4 0 0 20 0 1 0 99999999999999999999999999 0\n",
                /* CPU time that overflows as a sum, and in microseconds */
                "7 (a) R 2 0 0 0 -1 1 0 0 0 0 18446744073709551615 1 0 0 20 0 1 0 99 0\n",
                "7 (a) R 2 0 0 0 -1 1 0 0 0 0 18446744073709551615 0 0 0 20 0 1 0 99 0\n",
                "7 (a) R 2 0 0 0 -1 1 0 0 0 0 3.5 4 0 0 20 0 1 0 99 0\n",
                "7 (a) R 2,0,0,0,-1,1,0,0,0,0,3,4,0,0,20,0,1,0,99,0\n",
                "\x7f\x45\x4c\x46\x02\x01\x01\xff\xff\xff",
        };
        static const char with_nul[] = "7 (a\0b) R 2 0 0 0 -1 1 0 0 0 0 3 4 0 0 20 0 1 0 99 0\n";
        const Worker untouched = { .pid = 1234, .start_time = 5678, .name = "untouched" };
        const char *cut_at;
        g_autofree char *good = fake_proc_stat_text(7, "a", FLAGS_WORKER, 99);
        uint64_t flags = 4321;
        Worker worker = untouched;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                g_test_message("text %zu", i);
                g_assert_cmpint(parse_copy(texts[i], strlen(texts[i]), &worker, &flags), ==, -EBADMSG);
        }
        g_assert_cmpint(parse_copy(with_nul, sizeof(with_nul) - 1, &worker, &flags), ==, -EBADMSG);

        /* Cut anywhere before the end of the start time it is nothing, right behind it it is good. */
        cut_at = strstr(good, " 99 ") + strlen(" 99 ");
        for (size_t size = 0; size < (size_t) (cut_at - good); size++)
                g_assert_cmpint(parse_copy(good, size, &worker, &flags), ==, -EBADMSG);

        g_assert_cmpmem(&worker, sizeof(worker), &untouched, sizeof(untouched));
        g_assert_cmpuint(flags, ==, 4321);
        g_assert_cmpint(parse_copy(good, (size_t) (cut_at - good), &worker, &flags), ==, 0);
}

/* What the kernel itself makes of a hostile name. */
static void test_stat_of_kernel(void) {
        static const char name[] = "a\nb) R 2 (\\\xff)";
        char before[16] = {};
        g_autofree char *text = NULL;
        Worker worker = {};
        uint64_t flags = 0;
        gsize size;

        g_assert_cmpint(prctl(PR_GET_NAME, before), ==, 0);
        g_assert_cmpint(prctl(PR_SET_NAME, name), ==, 0);
        g_assert_true(g_file_get_contents("/proc/thread-self/stat", &text, &size, NULL));
        g_assert_cmpint(prctl(PR_SET_NAME, before), ==, 0);

        g_assert_cmpint(worker_parse_stat(text, size, &worker, &flags), ==, 0);
        g_assert_cmpint(worker.pid, ==, gettid());
        g_assert_cmpstr(worker.name, ==, name);
        g_assert_cmpint(worker.state, ==, 'R');
        g_assert_cmpuint(worker.start_time, >, 0);
        g_assert_cmphex(flags & 0x00200020, ==, 0);
}

/* ---- looks at made up trees ---- */

static void test_look(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        uint64_t usec_per_tick = USEC_PER_SEC / (uint64_t) sysconf(_SC_CLK_TCK);
        KworkerLook look;

        fake_proc_add(&proc, 10, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 11, "kworker/0:2-inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 12, "kworker/0:3", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 13, "kworker/R-inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 14, "kworker/u8:1+flush-8:0", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 15, "ksoftirqd/0", FLAGS_KTHREAD, 100);
        fake_proc_add(&proc, 16, "kworker/R-writeback+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_list(&proc, "10 11 12 13 14 15 16 ");

        look = look_at(reader, DEFAULT_GLOB);
        g_assert_true(look.found_kthread);
        g_assert_false(look.incomplete);
        g_assert_cmpuint(look.n_workers, ==, 2);
        g_assert_cmpint(look.workers[0].pid, ==, 10);
        g_assert_cmpstr(look.workers[0].name, ==, "kworker/0:1+inode_switch_wbs");
        g_assert_cmpuint(look.workers[0].start_time, ==, 100);
        g_assert_cmpuint(look.workers[0].cpu_usec, ==, 7 * usec_per_tick);
        g_assert_cmpint(look.workers[0].state, ==, 'D');
        g_assert_cmpint(look.workers[1].pid, ==, 16);

        /* The next look sees what has become of them. */
        fake_proc_add(&proc, 10, "kworker/0:1-inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 11, "kworker/0:2+inode_switch_wbs", FLAGS_WORKER, 100);
        look = look_at(reader, DEFAULT_GLOB);
        g_assert_cmpuint(look.n_workers, ==, 2);
        g_assert_cmpint(look.workers[0].pid, ==, 11);
        g_assert_cmpint(look.workers[1].pid, ==, 16);

        fake_proc_list(&proc, "15 ");
        fake_proc_add(&proc, 11, "kworker/0:2", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 16, "kworker/R-writeback", FLAGS_WORKER, 100);
        look = look_at(reader, DEFAULT_GLOB);
        g_assert_true(look.found_kthread);
        g_assert_cmpuint(look.n_workers, ==, 0);
}

static void test_look_globs(void) {
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
                g_assert_cmpuint(look_at(reader, cases[i].glob).n_workers, ==, cases[i].n_workers);
        }
}

static void test_look_names(void) {
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
        KworkerLook look;

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                pid_t pid = 10 + (pid_t) i;

                fake_proc_add(&proc, pid, names[i], FLAGS_WORKER, 100);
                g_string_append_printf(list, "%d ", (int) pid);
        }
        fake_proc_list(&proc, list->str);

        look = look_at(reader, "kworker/*");
        g_assert_cmpuint(look.n_workers, ==, ELEMENTSOF(names));
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                g_assert_cmpstr(look.workers[i].name, ==, names[i]);

        /* Only the newline that ends the file is no part of the name. */
        g_assert_cmpuint(look_at(reader, "kworker/*ends\n").n_workers, ==, 1);
        g_assert_cmpuint(look_at(reader, "kworker/*ends").n_workers, ==, 0);

        /* Both files are cut at the same place, if need be. */
        fake_proc_add(&proc, 10, "kworker/0:1+456789012345678901234567890123456789012345678901234XY",
                      FLAGS_WORKER, 100);
        look = look_at(reader, "kworker/*1234");
        g_assert_cmpuint(look.n_workers, ==, 2);
        g_assert_cmpuint(strlen(look.workers[0].name), ==, WORKER_NAME_MAX);
}

/* Only kernel workers count, whatever others call themselves. */
static void test_look_others(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        KworkerLook look;

        fake_proc_add(&proc, 10, "kworker/9:9+inode_switch_wbs", FLAGS_USER, 100);
        fake_proc_add(&proc, 11, "kworker/9:9+inode_switch_wbs", FLAGS_KTHREAD, 100);
        fake_proc_add(&proc, 12, "kworker/9:9+inode_switch_wbs", FLAGS_USER | 0x20, 100);
        fake_proc_list(&proc, "10 11 12 ");
        look = look_at(reader, DEFAULT_GLOB);
        g_assert_cmpuint(look.n_workers, ==, 0);
        g_assert_true(look.found_kthread);
        g_assert_false(look.incomplete);

        /* The same where user processes are listed too. */
        fake_proc_remove(&proc, "2/task/2/children");
        g_assert_cmpuint(look_at(reader, DEFAULT_GLOB).n_workers, ==, 0);
}

static void test_look_pid_reuse(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        KworkerLook look;
        Worker before;

        fake_proc_add(&proc, 10, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_list(&proc, "10 ");
        look = look_at(reader, DEFAULT_GLOB);
        g_assert_cmpuint(look.n_workers, ==, 1);
        before = look.workers[0];

        look = look_at(reader, DEFAULT_GLOB);
        g_assert_true(worker_same(&before, look.workers));

        fake_proc_add(&proc, 10, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 101);
        look = look_at(reader, DEFAULT_GLOB);
        g_assert_cmpuint(look.n_workers, ==, 1);
        g_assert_cmpuint(look.workers[0].start_time, ==, 101);
        g_assert_false(worker_same(&before, look.workers));

        /* A worker's pid that a user process has now. */
        fake_proc_add(&proc, 10, "kworker/0:1+inode_switch_wbs", FLAGS_USER, 102);
        g_assert_cmpuint(look_at(reader, DEFAULT_GLOB).n_workers, ==, 0);
}

static void test_look_vanishing(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        g_autofree char *idle = fake_proc_stat_text(14, "kworker/0:5-inode_switch_wbs", FLAGS_WORKER, 100);
        g_autofree char *other = fake_proc_stat_text(15, "kworker/0:6+events", FLAGS_WORKER, 100);
        g_autofree char *foreign =
                        fake_proc_stat_text(999, "kworker/0:7+inode_switch_wbs", FLAGS_WORKER, 100);
        KworkerLook look;

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

        look = look_at(reader, DEFAULT_GLOB);
        g_assert_cmpuint(look.n_workers, ==, 1);
        g_assert_cmpint(look.workers[0].pid, ==, 10);
        g_assert_false(look.incomplete);

        /* One that ran is gone, but still listed. */
        fake_proc_remove(&proc, "10/comm");
        fake_proc_remove(&proc, "10/stat");
        look = look_at(reader, DEFAULT_GLOB);
        g_assert_cmpuint(look.n_workers, ==, 0);
        g_assert_false(look.incomplete);
        g_assert_true(look.found_kthread);

        /* And all the others. */
        fake_proc_remove(&proc, "2/task/2/children");
        fake_proc_remove(&proc, "2/stat");
        for (int pid = 13; pid <= 16; pid++) {
                g_autofree char *file = g_strdup_printf("%d/stat", pid);

                fake_proc_remove(&proc, file);
        }
        look = look_at(reader, DEFAULT_GLOB);
        g_assert_cmpuint(look.n_workers, ==, 0);
        g_assert_false(look.found_kthread);
        g_assert_false(look.incomplete);
}

#define TEXT(literal)                                                                                        \
        { literal, sizeof(literal) - 1 }

static void test_look_garbage(void) {
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
        g_assert_cmpuint(look_at(reader, DEFAULT_GLOB).n_workers, ==, 1);

        for (size_t i = 0; i < ELEMENTSOF(stats); i++) {
                KworkerLook look;

                fake_proc_write_stat(&proc, 10, stats[i].text, stats[i].size);
                look = look_at(reader, DEFAULT_GLOB);
                g_assert_cmpuint(look.n_workers, ==, 0);
                g_assert_true(look.found_kthread);
        }
        fake_proc_write_stat(&proc, 10, long_text, strlen(long_text));
        g_assert_cmpuint(look_at(reader, DEFAULT_GLOB).n_workers, ==, 0);

        fake_proc_write(&proc, "10/comm", "", 0);
        g_assert_cmpuint(look_at(reader, DEFAULT_GLOB).n_workers, ==, 0);
        fake_proc_write(&proc, "10/comm", "\n", 1);
        g_assert_cmpuint(look_at(reader, DEFAULT_GLOB).n_workers, ==, 0);
        fake_proc_write(&proc, "10/comm", long_text, strlen(long_text));
        g_assert_cmpuint(look_at(reader, DEFAULT_GLOB).n_workers, ==, 0);
}

/* Lists in any order, with doubles, with what is no pid, cut anywhere by the reads. */
static void test_look_list(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        g_autoptr(GString) list = g_string_new(NULL);
        KworkerLook look;

        fake_proc_add(&proc, 5, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 1);
        fake_proc_add(&proc, 77, "kworker/0:2+inode_switch_wbs", FLAGS_WORKER, 2);
        fake_proc_add(&proc, 123456, "kworker/0:3+inode_switch_wbs", FLAGS_WORKER, 3);
        fake_proc_add(&proc, INT32_MAX, "kworker/0:4+inode_switch_wbs", FLAGS_WORKER, 4);

        fake_proc_list(&proc, "77 5 2147483647 5 77 123456 5");
        g_assert_cmpuint(look_at(reader, DEFAULT_GLOB).n_workers, ==, 4);

        /* Nothing of this is a pid: not -77, no part of an overlong number or of 0x4d, and not 77 of +77. */
        fake_proc_add(&proc, 77, "kworker/0:2-inode_switch_wbs", FLAGS_WORKER, 2);
        look_at(reader, DEFAULT_GLOB);
        fake_proc_add(&proc, 77, "kworker/0:2+inode_switch_wbs", FLAGS_WORKER, 2);
        fake_proc_list(&proc, "123456 -77 +77 x77 77x 0x4d 99999999977 18446744073709551693 2147483648 0 "
                              "\xff\n\t5\n");
        look = look_at(reader, DEFAULT_GLOB);
        g_assert_cmpuint(look.n_workers, ==, 3);
        g_assert_cmpint(look.workers[0].pid, ==, 5);
        g_assert_cmpint(look.workers[1].pid, ==, 123456);
        g_assert_cmpint(look.workers[2].pid, ==, INT32_MAX); /* of the last look */

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
                g_assert_cmpuint(look_at(fresh, DEFAULT_GLOB).n_workers, ==, 3);
        }
}

/* A list read in pieces may leave a child out. */
static void test_look_missing_in_list(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        KworkerLook look;

        for (pid_t pid = 10; pid < 20; pid++)
                fake_proc_add(&proc, pid, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_list(&proc, "10 11 12 13 14 15 16 17 18 19 ");
        g_assert_cmpuint(look_at(reader, DEFAULT_GLOB).n_workers, ==, 10);

        fake_proc_list(&proc, "11 12 15 16 18 ");
        for (int i = 0; i < 3; i++) {
                look = look_at(reader, DEFAULT_GLOB);
                g_assert_cmpuint(look.n_workers, ==, 10);
                g_assert_cmpint(look.workers[0].pid, ==, 10);
                g_assert_cmpint(look.workers[9].pid, ==, 19);
        }

        /* No longer looked for once it has gone idle. */
        fake_proc_add(&proc, 19, "kworker/0:1-inode_switch_wbs", FLAGS_WORKER, 100);
        g_assert_cmpuint(look_at(reader, DEFAULT_GLOB).n_workers, ==, 9);
        fake_proc_add(&proc, 19, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 100);
        g_assert_cmpuint(look_at(reader, DEFAULT_GLOB).n_workers, ==, 9);
}

/* Without CONFIG_PROC_CHILDREN, or with a list that shows nothing. */
static void test_look_without_list(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        KworkerLook look;

        fake_proc_add(&proc, 1, "init", FLAGS_USER, 0);
        fake_proc_add(&proc, 10, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 4000, "kworker/0:2+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_write(&proc, "self/comm", "kworker/0:3+inode_switch_wbs\n", 29);
        fake_proc_write(&proc, "11x/comm", "kworker/0:3+inode_switch_wbs\n", 29);
        fake_proc_write(&proc, "meminfo", "MemTotal: 1 kB\n", 15);

        look = look_at(reader, DEFAULT_GLOB); /* the list is empty */
        g_assert_cmpuint(look.n_workers, ==, 2);
        g_assert_true(look.found_kthread);
        g_assert_false(look.incomplete);

        fake_proc_remove(&proc, "2/task/2/children");
        for (pid_t pid = 4001; pid < 4004; pid++) {
                fake_proc_add(&proc, pid, "kworker/0:4+inode_switch_wbs", FLAGS_WORKER, 100);
                look = look_at(reader, DEFAULT_GLOB);
                g_assert_cmpuint(look.n_workers, ==, (size_t) (pid - 4000 + 2));
                g_assert_cmpint(look.workers[0].pid, ==, 10);
                g_assert_cmpint(look.workers[1].pid, ==, 4000);
                g_assert_cmpint(look.workers[look.n_workers - 1].pid, ==, pid);
                g_assert_true(look.found_kthread);
                g_assert_false(look.incomplete);
        }

        /* It comes back. */
        fake_proc_list(&proc, "10 ");
        fake_proc_add(&proc, 4004, "kworker/0:4+inode_switch_wbs", FLAGS_WORKER, 100);
        g_assert_cmpuint(look_at(reader, DEFAULT_GLOB).n_workers, ==, 5);
}

/* A kernel thread is found by kthreadd, else by any that is listed. */
static void test_look_found_kthread(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        KworkerLook look;

        fake_proc_list(&proc, "10 11 ");
        fake_proc_add(&proc, 2, "sh", FLAGS_USER, 0);
        fake_proc_add(&proc, 10, "kworker/0:1+inode_switch_wbs", FLAGS_USER, 100);
        fake_proc_add(&proc, 11, "bash", FLAGS_USER, 100);
        look = look_at(reader, DEFAULT_GLOB);
        g_assert_false(look.found_kthread);
        g_assert_false(look.incomplete);
        g_assert_cmpuint(look.n_workers, ==, 0);

        fake_proc_add(&proc, 2, "kthreadd", FLAGS_KTHREAD, 0);
        g_assert_true(look_at(reader, DEFAULT_GLOB).found_kthread);
        fake_proc_add(&proc, 2, "sh", FLAGS_USER, 0);
        g_assert_false(look_at(reader, DEFAULT_GLOB).found_kthread);

        fake_proc_add(&proc, 11, "ksoftirqd/0", FLAGS_KTHREAD, 100);
        g_assert_true(look_at(reader, DEFAULT_GLOB).found_kthread);
        fake_proc_remove(&proc, "2/stat");
        g_assert_true(look_at(reader, DEFAULT_GLOB).found_kthread);
        fake_proc_remove(&proc, "11/stat");
        g_assert_false(look_at(reader, DEFAULT_GLOB).found_kthread);
}

static void test_look_5000(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        g_autoptr(GString) list = g_string_new(NULL);
        struct mallinfo2 before, after;
        KworkerLook look;

        /* Born in another order than that of their pids, as after the highest pid. */
        for (pid_t i = 0; i < 5000; i++) {
                pid_t pid = 10 + (i + 2000) % 5000;

                fake_proc_add(&proc, pid, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, (unsigned long) pid);
                g_string_append_printf(list, "%d ", (int) pid);
        }
        fake_proc_list(&proc, list->str);

        look = look_at(reader, DEFAULT_GLOB);
        g_assert_cmpuint(look.n_workers, ==, 5000);
        for (pid_t i = 0; i < 5000; i++) {
                g_assert_cmpint(look.workers[i].pid, ==, 10 + i);
                g_assert_cmpuint(look.workers[i].start_time, ==, (uint64_t) (10 + i));
        }

        /* Once it has grown, nothing does. */
        before = mallinfo2();
        look = look_at(reader, DEFAULT_GLOB);
        g_assert_cmpuint(look.n_workers, ==, 5000);
        look = look_at(reader, "kworker/+([0-9]):@(1|2)+!(x)");
        g_assert_cmpuint(look.n_workers, ==, 5000);
        look = look_at(reader, "none");
        g_assert_cmpuint(look.n_workers, ==, 0);
        look = look_at(reader, DEFAULT_GLOB);
        g_assert_cmpuint(look.n_workers, ==, 5000);
        after = mallinfo2();
        g_assert_cmpuint(before.uordblks, ==, after.uordblks);
        g_assert_cmpuint(before.hblkhd, ==, after.hblkhd);
}

/* An ordinary machine's looks need no memory from the first one on, with a list and without. */
static void test_look_allocates_nothing(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        _cleanup_reader_ KworkerReader *real = reader_new("/proc");
        struct mallinfo2 before, after;

        fake_proc_add(&proc, 10, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 11, "kworker/0:2-inode_switch_wbs", FLAGS_WORKER, 100);

        before = mallinfo2();
        for (int i = 0; i < 3; i++) {
                g_assert_cmpuint(look_at(reader, DEFAULT_GLOB).n_workers, ==, 1);
                (void) look_at(real, DEFAULT_GLOB);
        }
        after = mallinfo2();
        g_assert_cmpuint(before.uordblks, ==, after.uordblks);
        g_assert_cmpuint(before.hblkhd, ==, after.hblkhd);
}

/* ---- want of descriptors and memory ---- */

static void test_look_without_descriptors(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        struct rlimit limit;
        KworkerLook look;
        int r;

        fake_proc_add(&proc, 10, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 11, "kworker/0:2-inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_list(&proc, "10 11 ");
        g_assert_cmpuint(look_at(reader, DEFAULT_GLOB).n_workers, ==, 1);

        limit = take_descriptors_away();
        for (int i = 0; i < 3; i++) {
                r = kworker_reader_look(reader, DEFAULT_GLOB, &look);
                if (r < 0 || !look.incomplete)
                        break;
        }
        give_descriptors_back(&limit);
        g_assert_cmpint(r, ==, 0);
        g_assert_true(look.incomplete);
        g_assert_true(look.found_kthread);
        g_assert_cmpuint(look.n_workers, ==, 1);
        g_assert_cmpint(look.workers[0].pid, ==, 10);
        g_assert_cmpuint(look.workers[0].start_time, ==, 100);
        g_assert_cmpstr(look.workers[0].name, ==, "kworker/0:1+inode_switch_wbs");

        /* Kept, but only for whom it was. */
        limit = take_descriptors_away();
        r = kworker_reader_look(reader, "kworker/*+events", &look);
        give_descriptors_back(&limit);
        g_assert_cmpint(r, ==, 0);
        g_assert_true(look.incomplete);
        g_assert_cmpuint(look.n_workers, ==, 0);

        look = look_at(reader, DEFAULT_GLOB);
        g_assert_false(look.incomplete);
        g_assert_cmpuint(look.n_workers, ==, 1);
}

/* The first look of all. */
static void test_look_never_had_descriptors(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        struct rlimit limit;
        KworkerLook look;
        const char *reason;
        int r;

        fake_proc_add(&proc, 10, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_list(&proc, "10 ");

        limit = take_descriptors_away();
        r = kworker_reader_look(reader, DEFAULT_GLOB, &look);
        reason = kworker_reader_fault_reason(reader);
        give_descriptors_back(&limit);
        g_assert_cmpint(r, ==, 0);
        g_assert_true(look.incomplete);
        g_assert_false(look.found_kthread);
        g_assert_cmpstr(reason, ==, "this process has no file descriptor left");

        look = look_at(reader, DEFAULT_GLOB);
        g_assert_cmpuint(look.n_workers, ==, 1);
        g_assert_true(look.found_kthread);
        g_assert_false(look.incomplete);
}

/* A thread whose files cannot be read while all others can: nobody knows what it does. A folder in the place
 * of the file stands for nothing at all, a socket for an error that says nothing. */
static void test_look_io_error(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        g_autofree char *path = g_build_filename(proc.root, "10/comm", NULL);
        KworkerLook look;

        fake_proc_add(&proc, 10, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 11, "kworker/0:2+inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_list(&proc, "10 11 ");
        g_assert_cmpuint(look_at(reader, DEFAULT_GLOB).n_workers, ==, 2);

        fake_proc_remove(&proc, "10/comm");
        g_assert_cmpint(mknod(path, S_IFSOCK | 0644, 0), ==, 0);
        fake_proc_add(&proc, 11, "kworker/0:2-inode_switch_wbs", FLAGS_WORKER, 100);
        look = look_at(reader, DEFAULT_GLOB);
        g_assert_true(look.incomplete);
        g_assert_cmpuint(look.n_workers, ==, 1);
        g_assert_cmpint(look.workers[0].pid, ==, 10);

        fake_proc_remove(&proc, "10/comm");
        g_assert_cmpint(mkdir(path, 0755), ==, 0);
        look = look_at(reader, DEFAULT_GLOB);
        g_assert_false(look.incomplete);
        g_assert_cmpuint(look.n_workers, ==, 0);
}

/* A fifo never makes it wait. */
static void test_look_fifo(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        g_autofree char *path = g_build_filename(proc.root, "10/stat", NULL);

        fake_proc_write_comm(&proc, 10, "kworker/0:1+inode_switch_wbs");
        g_assert_cmpint(mkfifo(path, 0644), ==, 0);
        fake_proc_list(&proc, "10 ");
        g_assert_cmpuint(look_at(reader, DEFAULT_GLOB).n_workers, ==, 0);
}

#ifndef HAS_ADDRESS_SANITIZER /* it allocates beside malloc() and ends the process when it cannot */
static void test_look_without_memory(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        _cleanup_reader_ KworkerReader *reader = reader_new(proc.root);
        g_autoptr(GString) list = g_string_new(NULL);
        g_autofree char *statm = NULL;
        struct rlimit limit, none;
        KworkerLook look = {};
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

        r = kworker_reader_look(reader, DEFAULT_GLOB, &look);
        while (hogs) {
                void *next = *(void **) hogs;

                free(hogs);
                hogs = next;
        }
        g_assert_cmpint(setrlimit(RLIMIT_AS, &limit), ==, 0);

        g_assert_cmpint(r, ==, 0);
        g_assert_true(look.incomplete);
        g_assert_true(look.found_kthread);
        g_assert_cmpuint(look.n_workers, ==, 4096); /* as many as always fit */

        look = look_at(reader, DEFAULT_GLOB);
        g_assert_false(look.incomplete);
        g_assert_cmpuint(look.n_workers, ==, 5000);
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
        KworkerLook look;

        fake_proc_remove(&proc, "2/task/2/children");
        fake_proc_remove(&proc, "2/comm");
        fake_proc_remove(&proc, "2/stat");
        look = look_at(reader, DEFAULT_GLOB);
        g_assert_false(look.found_kthread);
        g_assert_false(look.incomplete);
        g_assert_cmpuint(look.n_workers, ==, 0);
        g_assert_cmpstr(kworker_reader_fault_reason(reader), ==,
                        "the proc root is not a proc filesystem: correct --proc-root");
}

/* A folder that is removed under the reader. */
static void test_root_vanishes(void) {
        g_autofree char *root = g_dir_make_tmp("wbwatch-kworkers-XXXXXX", NULL);
        _cleanup_reader_ KworkerReader *reader = NULL;
        KworkerLook look = { .n_workers = 4321 };

        g_assert_nonnull(root);
        reader = reader_new(root);
        g_assert_cmpint(remove(root), ==, 0);
        g_assert_cmpint(kworker_reader_look(reader, DEFAULT_GLOB, &look), ==, -ENOENT);
        g_assert_cmpuint(look.n_workers, ==, 4321);
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
static GHashTable *scan_kthreads(void) {
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

        /* It is not known when the worker begins: look for it for a while, and give more work in case it was
         * missed. */
        for (int i = 0; i < 100 && !seen; i++) {
                give_kernel_work();

                for (int j = 0; j < 1000 && !seen; j++) {
                        KworkerLook look = look_at(reader, "kworker/*+netns");
                        g_autoptr(GHashTable) kthreads = NULL;

                        g_assert_true(look.found_kthread);
                        if (look.n_workers == 0)
                                continue;

                        kthreads = scan_kthreads();
                        for (size_t k = 0; k < look.n_workers; k++) {
                                const KthreadInfo *info = g_hash_table_lookup(
                                                kthreads, GINT_TO_POINTER(look.workers[k].pid));

                                g_assert_nonnull(info);
                                g_assert_true(info->is_worker);
                                g_assert_cmpuint(info->start_time, ==, look.workers[k].start_time);
                                g_assert_cmpstr(worker_name_work(look.workers[k].name), ==, "netns");
                        }
                        seen = true;
                }
        }

        g_assert_true(seen);
}

/* Whatever runs here, every worker that is found is one. */
static void test_real_looks(void) {
        _cleanup_reader_ KworkerReader *reader = reader_new("/proc");

        if (skip_without_kernel_threads())
                return;

        for (int i = 0; i < 200; i++) {
                KworkerLook look = look_at(reader, "*");
                g_autoptr(GHashTable) kthreads = NULL;

                g_assert_true(look.found_kthread);
                g_assert_false(look.incomplete);
                if (i % 50 != 0 && look.n_workers == 0)
                        continue;

                /* A worker may end in between, but it cannot be somebody else's. */
                kthreads = scan_kthreads();
                g_assert_cmpuint(g_hash_table_size(kthreads), >, 0);
                for (size_t k = 0; k < look.n_workers; k++) {
                        const KthreadInfo *info =
                                        g_hash_table_lookup(kthreads, GINT_TO_POINTER(look.workers[k].pid));

                        if (info && info->start_time == look.workers[k].start_time)
                                g_assert_true(info->is_worker);
                        g_assert_nonnull(worker_name_work(look.workers[k].name));
                }
        }
}

/* What stays open is bounded, is given back, and carries a look on where no descriptor is left. */
static void test_real_descriptors(void) {
        size_t n_before = count_descriptors(), n_open;
        g_autoptr(GHashTable) kthreads = scan_kthreads();
        KworkerReader *reader;
        struct rlimit before, few, limit;
        KworkerLook look = {};
        int r;

        if (skip_without_kernel_threads())
                return;

        reader = reader_new("/proc");
        for (int i = 0; i < 3; i++)
                (void) look_at(reader, DEFAULT_GLOB);
        n_open = count_descriptors() - n_before;
        g_assert_cmpuint(n_open, >, MIN(g_hash_table_size(kthreads), 8192) / 2);
        g_assert_cmpuint(n_open, <=, 8192 + 256 + 2);

        limit = take_descriptors_away();
        r = kworker_reader_look(reader, DEFAULT_GLOB, &look);
        give_descriptors_back(&limit);
        g_assert_cmpint(r, ==, 0);
        g_assert_true(look.found_kthread);

        reader = kworker_reader_free(reader);
        g_assert_cmpuint(count_descriptors(), ==, n_before);

        g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
        few = before;
        few.rlim_cur = 40;
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &few), ==, 0);
        reader = reader_new("/proc");
        for (int i = 0; i < 3; i++)
                (void) look_at(reader, DEFAULT_GLOB);
        n_open = count_descriptors() - n_before;
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
        g_assert_cmpuint(n_open, <=, 40 / 2 + 3);

        reader = kworker_reader_free(reader);
        g_assert_cmpuint(count_descriptors(), ==, n_before);
}

/* ---- hidepid and containers: in namespaces of our own, which vanish with the child ---- */

/* What a child saw: read from a pipe, since it has no other way to tell. */
typedef struct Sight {
        int r;
        bool found_kthread;
        bool incomplete;
        size_t n_workers;
        char reason[256];
} Sight;

static Sight see(const char *root) {
        _cleanup_reader_ KworkerReader *reader = NULL;
        Sight sight = {};
        KworkerLook look;

        sight.r = kworker_reader_new(root, &reader);
        for (int i = 0; i < 2 && sight.r >= 0; i++)
                sight.r = kworker_reader_look(reader, DEFAULT_GLOB, &look);
        if (sight.r >= 0) {
                sight.found_kthread = look.found_kthread;
                sight.incomplete = look.incomplete;
                sight.n_workers = look.n_workers;
                (void) g_strlcpy(sight.reason, kworker_reader_fault_reason(reader), sizeof(sight.reason));
        }

        return sight;
}

/* Mounts a proc filesystem over /proc, for this process and its children alone. */
static int mount_proc(const char *options) {
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return -errno;
        if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0)
                return -errno;
        return 0;
}

/* Looks from a child with such a mount, as root or as nobody. */
static Sight see_with_mount(const char *options, bool as_nobody) {
        Sight sight = {};
        int pipe_fds[2], status;
        pid_t pid;

        g_assert_cmpint(pipe2(pipe_fds, O_CLOEXEC), ==, 0);
        pid = fork();
        g_assert_cmpint(pid, >=, 0);
        if (pid == 0) {
                sight.r = mount_proc(options);
                if (sight.r >= 0 && as_nobody &&
                    (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
                        sight.r = -errno;
                if (sight.r >= 0)
                        sight = see("/proc");
                _exit(write(pipe_fds[1], &sight, sizeof(sight)) == sizeof(sight) ? EXIT_SUCCESS
                                                                                 : EXIT_FAILURE);
        }

        (void) close(pipe_fds[1]);
        g_assert_cmpint(read(pipe_fds[0], &sight, sizeof(sight)), ==, sizeof(sight));
        (void) close(pipe_fds[0]);
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_cmpint(status, ==, 0);
        return sight;
}

static void test_hidepid(void) {
        Sight sight;

        if (!may_make_namespaces) {
                g_test_skip("needs root, to mount");
                return;
        }
        if (skip_without_kernel_threads())
                return;

        for (int value = 1; value <= 2; value++) {
                g_autofree char *options = g_strdup_printf("hidepid=%d", value);

                sight = see_with_mount(options, true);
                g_assert_cmpint(sight.r, ==, 0);
                g_assert_false(sight.found_kthread);
                g_assert_false(sight.incomplete);
                g_assert_cmpuint(sight.n_workers, ==, 0);
                g_assert_nonnull(strstr(sight.reason, "hidepid hides them"));

                /* root sees all the same */
                sight = see_with_mount(options, false);
                g_assert_cmpint(sight.r, ==, 0);
                g_assert_true(sight.found_kthread);
        }

        /* nobody does too, where nothing is hidden, and in the group that the mount names */
        sight = see_with_mount(NULL, true);
        g_assert_cmpint(sight.r, ==, 0);
        g_assert_true(sight.found_kthread);
        g_assert_nonnull(strstr(sight.reason, "neither hidepid nor")); /* it was not to be asked */
        sight = see_with_mount("hidepid=2,gid=65534", true);
        g_assert_cmpint(sight.r, ==, 0);
        g_assert_true(sight.found_kthread);
}

/* A container looks at its own /proc, and the host at the container's. */
static void test_foreign_pid_namespace(void) {
        g_autofree char *root = NULL;
        int own, up[2], down[2], status;
        Sight sight;
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

                /* The container's first process: tells what it sees, and stays until the host has looked.
                 * When the host ends before, that ends the read too. */
                (void) close(down[1]);
                sight = (Sight){ .r = mount_proc(NULL) };
                if (sight.r >= 0)
                        sight = see("/proc");
                if (write(up[1], &sight, sizeof(sight)) != sizeof(sight) || read(down[0], &c, 1) < 0)
                        _exit(EXIT_FAILURE);
                _exit(EXIT_SUCCESS);
        }
        g_assert_cmpint(setns(own, CLONE_NEWPID), ==, 0);
        (void) close(own);
        (void) close(up[1]);
        (void) close(down[0]);

        g_assert_cmpint(read(up[0], &sight, sizeof(sight)), ==, sizeof(sight));
        g_assert_cmpint(sight.r, ==, 0);
        g_assert_false(sight.found_kthread);
        g_assert_false(sight.incomplete);
        g_assert_nonnull(strstr(sight.reason, "this is a pid namespace of its own"));

        root = g_strdup_printf("/proc/%d/root/proc", (int) pid);
        sight = see(root);
        g_assert_cmpint(sight.r, ==, 0);
        g_assert_false(sight.found_kthread);
        g_assert_nonnull(strstr(sight.reason, "that of another pid namespace"));

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

        g_test_add_func("/kworkers/name/work", test_name_work);
        g_test_add_func("/kworkers/stat/good", test_stat_good);
        g_test_add_func("/kworkers/stat/names", test_stat_names);
        g_test_add_func("/kworkers/stat/garbage", test_stat_garbage);
        g_test_add_func("/kworkers/stat/of-kernel", test_stat_of_kernel);
        g_test_add_func("/kworkers/look/marks", test_look);
        g_test_add_func("/kworkers/look/globs", test_look_globs);
        g_test_add_func("/kworkers/look/names", test_look_names);
        g_test_add_func("/kworkers/look/others", test_look_others);
        g_test_add_func("/kworkers/look/pid-reuse", test_look_pid_reuse);
        g_test_add_func("/kworkers/look/vanishing", test_look_vanishing);
        g_test_add_func("/kworkers/look/garbage", test_look_garbage);
        g_test_add_func("/kworkers/look/list", test_look_list);
        g_test_add_func("/kworkers/look/missing-in-list", test_look_missing_in_list);
        g_test_add_func("/kworkers/look/without-list", test_look_without_list);
        g_test_add_func("/kworkers/look/found-kthread", test_look_found_kthread);
        g_test_add_func("/kworkers/look/5000", test_look_5000);
        g_test_add_func("/kworkers/look/allocates-nothing", test_look_allocates_nothing);
        g_test_add_func("/kworkers/look/without-descriptors", test_look_without_descriptors);
        g_test_add_func("/kworkers/look/never-had-descriptors", test_look_never_had_descriptors);
        g_test_add_func("/kworkers/look/io-error", test_look_io_error);
        g_test_add_func("/kworkers/look/fifo", test_look_fifo);
#ifndef HAS_ADDRESS_SANITIZER
        g_test_add_func("/kworkers/look/without-memory", test_look_without_memory);
#endif
        g_test_add_func("/kworkers/new/errors", test_new_errors);
        g_test_add_func("/kworkers/fault/not-a-procfs", test_not_a_procfs);
        g_test_add_func("/kworkers/fault/root-vanishes", test_root_vanishes);
        g_test_add_func("/kworkers/fault/hidepid", test_hidepid);
        g_test_add_func("/kworkers/fault/foreign-pid-namespace", test_foreign_pid_namespace);
        g_test_add_func("/kworkers/real/worker", test_real_worker);
        g_test_add_func("/kworkers/real/looks", test_real_looks);
        g_test_add_func("/kworkers/real/descriptors", test_real_descriptors);

        return g_test_run();
}
