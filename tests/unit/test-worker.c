/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The texts of a kernel worker: its name, and its stat. */

#include <stdio.h>
#include <sys/prctl.h>

#include <glib.h>

#include "fake-proc.h"
#include "worker.h"

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

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/worker/name/work", test_name_work);
        g_test_add_func("/worker/stat/good", test_stat_good);
        g_test_add_func("/worker/stat/names", test_stat_names);
        g_test_add_func("/worker/stat/garbage", test_stat_garbage);
        g_test_add_func("/worker/stat/of-kernel", test_stat_of_kernel);

        return g_test_run();
}
