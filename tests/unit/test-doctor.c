/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What wbctl finds out by itself, without a daemon: the running workers, and all of `wbctl doctor`. */

#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "client.h"
#include "doctor.h"
#include "fake-proc.h"
#include "findings.h"
#include "kernel-table.h"
#include "local-workers.h"
#include "run-wbctl.h"
#include "running-kernel.h"
#include "tally.h"

static void test_local_workers(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        g_autoptr(GVariant) workers = NULL;
        g_autofree char *text = NULL, *fault = NULL;

        fake_proc_add(&proc, 11, "kworker/0:1-inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_add(&proc, 12, "kworker/0:2+inode_switch_wbs", FLAGS_WORKER, 200);
        fake_proc_add(&proc, 13, "kworker/0:3+events", FLAGS_WORKER, 300);
        fake_proc_add(&proc, 14, "kworker/0:4+inode_switch_wbs", FLAGS_USER, 400);
        fake_proc_list(&proc, "11 12 13 14 ");

        g_assert_cmpint(local_workers_list(proc.root, "kworker/*inode*", &workers, &fault), ==, 0);
        g_assert_null(fault);
        text = g_variant_print(workers, TRUE);
        g_assert_cmpstr(text, ==,
                        "[{'PID': <uint32 12>, 'StartTime': <uint64 200>, "
                        "'Name': <'kworker/0:2+inode_switch_wbs'>, 'CPUUSec': <uint64 70000>, 'State': "
                        "<'D'>}]");
}

static void test_local_workers_unseen(void) {
        _cleanup_fake_proc_ FakeProc proc = fake_proc_new();
        g_autoptr(GVariant) workers = NULL;
        g_autofree char *fault = NULL;

        fake_proc_add(&proc, 2, "kthreadd", FLAGS_USER, 1);
        g_assert_cmpint(local_workers_list(proc.root, "kworker/*", &workers, &fault), ==, 0);
        g_assert_cmpuint(g_variant_n_children(workers), ==, 0);
        g_assert_cmpstr(fault, ==, "the proc root is not a proc filesystem");

        g_assert_cmpint(local_workers_list("/nowhere", "kworker/*", &workers, &fault), ==, -ENOENT);
}

/* The table of kernels */

static char *table_path(void) {
        return g_build_filename(g_getenv("WBWATCH_SOURCE_DIR"), "client/kernels.conf", NULL);
}

static KernelTable *shipped_table(void) {
        KernelTable *table = kernel_table_new();
        g_autofree char *path = table_path(), *text = NULL, *error = NULL;

        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        kernel_table_add(table, text, path, &error);
        g_assert_cmpstr(error, ==, NULL);
        return table;
}

/* The answers for all bugs that an update ends, in the order of the table: '-' not affected, 'A' affected,
 * '?' unknown. */
static char *judge_all(const KernelTable *table, const Kernel *kernel) {
        static const char letters[] = { [ANSWER_NO] = '-', [ANSWER_YES] = 'A', [ANSWER_UNKNOWN] = '?' };
        GString *answers = g_string_new(NULL);

        for (size_t i = 0; i < table->fixes->len; i++) {
                const KernelFix *fix = table->fixes->pdata[i];
                g_autofree char *evidence = NULL;

                if (streq(fix->name, FIX_DIRTYTIME_ZERO))
                        continue;
                g_string_append_c(answers, letters[kernel_judge(table, fix, kernel, &evidence)]);
                g_test_message("%s %s: %s", kernel->release, fix->name, evidence);
                g_assert_cmpuint(strlen(evidence), >, 0);
        }
        return g_string_free(answers, FALSE);
}

#define GCC "gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0, GNU ld (GNU Binutils for Debian) 2.40"

/* stall-2025, use-after-free, umount-race, stall-2026 */
static void test_releases(void) {
        static const struct {
                const char *release, *answers, *proc_version;
        } cases[] = {
                /* kernel.org */
                { "4.19.325", "----", NULL },
                { "5.10.260", "--A-", NULL },
                { "5.10.261", "----", NULL },
                { "5.15.198", "A-A-", NULL },
                { "6.1.170", "A-A-", NULL },
                { "6.1.178", "---?", NULL },
                { "6.6.146", "A---", NULL },
                { "6.6.147", "---A", NULL },
                { "6.6.158", "----", NULL },
                { "6.12.60", "A-A-", NULL },
                { "6.12.94", "--AA", NULL },
                { "6.12.111", "---A", NULL },
                { "6.17.0-rc7", "A-A-", NULL },
                { "6.18.0", "-AAA", NULL },
                { "6.18.20", "-AAA", NULL },
                { "6.18.44-fc-v669", "---A", NULL },
                { "6.18.55", "----", NULL },
                { "6.19.14", "-AAA", NULL },
                { "7.1.3", "--AA", NULL },
                { "7.2.9", "----", NULL },
                { "7.3.0-rc4", "---A", NULL },
                { "7.3.0-rc5", "----", NULL },
                { "8.0.1", "----", NULL },
                /* built upon it */
                { "7.2.8-x64v2-xanmod1", "---A", NULL },
                { "6.17.4-arch1-1", "A-A-", NULL },
                { "6.18.0-arch1-1", "-AAA", NULL },
                { "6.12.60-0-lts", "A-A-", NULL },
                { "6.12.47+rpt-rpi-2712", "A-A-", NULL },
                { "6.8.12-10-pve", "A-A-", NULL },
                { "6.6.87.2-microsoft-standard-WSL2", "A-A-", NULL },
                { "6.1.158-178.288.amzn2023.x86_64", "A-A-", NULL },
                { "6.17.5-200.fc42.x86_64", "A-A-", NULL },
                { "6.18.0-061800-generic", "-AAA", NULL },
                { "6.6.158+", "----", NULL },
                /* Debian: the number is in /proc/version */
                { "6.12.112+deb13-amd64", "----", NULL },
                { "6.12.94+deb13-amd64", "--AA", NULL },
                { "6.1.0-40-amd64", "????", NULL },
                { "6.1.0-40-amd64", "A-A-",
                  "Linux version 6.1.0-40-amd64 (" GCC ") #1 SMP Debian 6.1.153-1 (2025-09-20)" },
                { "6.1.0-50-amd64", "---?",
                  "Linux version 6.1.0-50-amd64 (gcc-12) #1 SMP Debian 6.1.178-1 (2026-08-01)" },
                { "6.12.111-own", "---A",
                  "Linux version 6.12.111-own (root@vm) (" GCC ") #1 SMP PREEMPT_DYNAMIC Wed Nov 25" },
                { "5.10.0-36-amd64", "--A-",
                  "Linux version 5.10.0-36-amd64 #1 SMP Debian 5.10.244-1 (2025-09-29)" },
                /* X.Y.0-...: shows nothing, unless that release was reported */
                { "6.6.141.1-1.azl3", "A-A-", NULL },
                { "6.6.150.1-1.azl3", "---A", NULL },
                { "5.15.0-185-generic", "A???", NULL },
                { "6.8.0-49-generic", "A???", NULL },
                { "6.8.0-490-generic", "????", NULL },
                { "6.8.0-60-generic", "????", NULL },
                { "6.8.0-1019-gcp", "A???", NULL },
                { "6.8.0-1019-aws", "????", NULL },
                { "7.0.0-10-generic", "-???", NULL },
                { "4.18.0-553.el8_10.x86_64", "????", NULL },
                { "5.14.0-570.el9.x86_64", "????", NULL },
                { "6.12.0-55.el10.x86_64", "????", NULL },
                { "5.15.0-300.163.18.el9uek.x86_64", "????", NULL },
                { "6.4.0-150600.23.7-default", "????", NULL },
                { "7.0.0-10-default", "????", NULL },
                { "7.3.0-0.rc4.38.fc44.x86_64", "????", NULL },
                { "7.3.0-0.rc5.40.fc44.x86_64", "????", NULL },
                { "8.0.0-1-generic", "????", NULL },
                /* no versions */
                { "not a version", "????", NULL },
                { "", "????", NULL },
                { "6", "????", NULL },
                { "6.x", "????", NULL },
                { "-6.12.60", "????", NULL },
                { "99999999999999999999.1", "????", NULL },
        };
        _cleanup_(kernel_table_freep) KernelTable *table = shipped_table();

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Kernel kernel = KERNEL_NONE;
                g_autofree char *answers = NULL;

                kernel_set_release(&kernel, table, cases[i].release, cases[i].proc_version);
                answers = judge_all(table, &kernel);
                g_test_message("%s: %s", cases[i].release, answers);
                g_assert_cmpstr(answers, ==, cases[i].answers);
                kernel_done(&kernel);
        }
}

static void test_updates(void) {
        static const struct {
                const char *release, *update;
        } cases[] = {
                { "5.15.198", "6.6.158" }, { "6.1.170", "6.6.158" }, { "6.12.60", "6.12.112" },
                { "6.17.4", "6.18.55" },   { "6.18.20", "6.18.55" }, { "6.19.14", "7.2.9" },
                { "7.2.8", "7.2.9" },      { "7.3-rc1", "7.3-rc5" }, { "7.4.0", NULL },
        };
        _cleanup_(kernel_table_freep) KernelTable *table = shipped_table();

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Kernel kernel = KERNEL_NONE;
                g_autofree char *update = NULL;

                kernel_set_release(&kernel, table, cases[i].release, NULL);
                update = kernel_find_update(table, &kernel);
                g_assert_cmpstr(update, ==, cases[i].update);
                kernel_done(&kernel);
        }
}

/* What the kernel itself shows counts more than its number. */
static void test_shown(void) {
        static const struct {
                const char *release;
                Answer shown;
                const char *answers;
        } cases[] = {
                { "6.8.0-60-generic", ANSWER_YES, "-???" }, { "6.8.0-60-generic", ANSWER_NO, "A-?-" },
                { "6.12.94", ANSWER_NO, "A-?-" },           { "6.12.111", ANSWER_NO, "A---" },
                { "6.12.111", ANSWER_YES, "---A" },         { "6.12.60", ANSWER_YES, "-???" },
                { "4.19.325", ANSWER_NO, "----" },          { "not a version", ANSWER_YES, "-???" },
                { "8.0.0-1-generic", ANSWER_YES, "-???" },  { "7.0.0-10-generic", ANSWER_NO, "A-?-" },
        };
        _cleanup_(kernel_table_freep) KernelTable *table = shipped_table();

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Kernel kernel = { .has_fix_2025 = cases[i].shown, .shown_by = g_strdup("a file") };
                g_autofree char *answers = NULL;

                kernel_set_release(&kernel, table, cases[i].release, NULL);
                answers = judge_all(table, &kernel);
                g_test_message("%s, %d: %s", cases[i].release, cases[i].shown, answers);
                g_assert_cmpstr(answers, ==, cases[i].answers);
                kernel_done(&kernel);
        }
}

#define TABLE_START "[Table]\nDate=2026-11-20\n"
#define FIX_START TABLE_START "[Fix a]\nIntroduced=5.14\nFixed=6.18\n"

static void test_table_errors(void) {
        static const struct {
                const char *text, *words;
        } cases[] = {
                { "", "[Table] has no Date=" },
                { "Date=2026-11-20", "FILE: Key file does not start with a group" },
                { "[Table]\nDate=yesterday\n", "FILE: [Table] Date=: \"yesterday\" is not a date" },
                { TABLE_START "Colour=red\n", "FILE: [Table] Colour=: unknown key" },
                { TABLE_START "[Color]\nRed=yes\n", "FILE: [Color] Red=: unknown section" },
                { TABLE_START "[Fix a]\nFixed=6.18\n",
                  "FILE: [Fix a] has neither Introduced= nor BroughtBy=" },
                { TABLE_START "[Fix a]\nIntroduced=5.14\n", "FILE: [Fix a] has no Fixed=" },
                { TABLE_START "[Fix a]\nBroughtBy=b\nFixed=6.18\n", "BroughtBy=b: there is no such fix" },
                { TABLE_START "[Fix \"a\"]\nFixed=6.18\n", "a name has only a-z, 0-9 and -" },
                { FIX_START "Fixed=6.18 6.12.x\n", "FILE: [Fix a] Fixed=: \"6.12.x\" is not a version" },
                { FIX_START "Partly=6\n", "\"6\" is not a version" },
                { FIX_START "Unknown=6.1-rcx\n", "\"6.1-rcx\" is not a version" },
                { FIX_START "Rejected=yes\n", "[Fix a] Rejected=: unknown key" },
                { TABLE_START "[Distribution X]\nNumbers=good\n", "\"good\" is not kernel.org" },
                { TABLE_START "[Distribution X]\nColour=red\n", "[Distribution X] Colour=: unknown key" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(kernel_table_freep) KernelTable *table = kernel_table_new();
                g_autofree char *error = NULL;

                g_assert_cmpint(kernel_table_add(table, cases[i].text, "FILE", &error), ==, -EINVAL);
                g_test_message("%s", error);
                g_assert_nonnull(strstr(error, cases[i].words));
        }
}

/* A second file replaces keys, and adds sections. */
static void test_table_extended(void) {
        _cleanup_(kernel_table_freep) KernelTable *table = shipped_table();
        g_autofree char *answers = NULL;
        Kernel kernel = KERNEL_NONE;

        g_assert_cmpint(kernel_table_add(
                                        table,
                                        "[Fix stall-2025]\nFixed=6.18 5.15.190\n"
                                        "[Fix umount-race]\nNotAffected=6.17.0-*\n"
                                        "[Fix new]\nIntroduced=5.15.100\nFixed=7.0\n"
                                        "[Distribution Mine]\nRelease=*-mine\nNumbers=kernel.org\n",
                                        "FILE", NULL),
                        ==, 0);
        kernel_set_release(&kernel, table, "5.15.198", NULL);
        answers = judge_all(table, &kernel);
        g_assert_cmpstr(answers, ==, "-AAAA");
        kernel_done(&kernel);

        kernel = KERNEL_NONE;
        kernel_set_release(&kernel, table, "6.17.0-mine", NULL);
        g_assert_true(kernel.is_exact);
        g_free(answers);
        answers = judge_all(table, &kernel);
        g_assert_cmpstr(answers, ==, "A----");
        kernel_done(&kernel);
}

/* Observed workers */

typedef struct MadeWorker {
        const char *name;
        char state;
        pid_t pid;
        uint64_t cpu_usec;
} MadeWorker;

static void tally_made(Tally *tally, uint64_t now_usec, const MadeWorker *made, size_t n) {
        Worker workers[8] = {};
        const KworkerScan scan = { .workers = workers, .n_workers = n };

        for (size_t i = 0; i < n; i++) {
                workers[i] = (Worker){ .pid = made[i].pid,
                                       .state = made[i].state,
                                       .cpu_usec = made[i].cpu_usec };
                (void) g_strlcpy(workers[i].name, made[i].name, sizeof(workers[i].name));
        }
        tally_add(tally, &scan, now_usec);
}

static void test_tally(void) {
        _cleanup_(tally_freep) Tally *tally = tally_new();
        g_autofree char *text = NULL;

        /* One takes half a CPU, one waits, a third is always ready but never gets a CPU. */
        for (unsigned i = 0; i <= 10; i++)
                tally_made(tally, i * USEC_PER_SEC,
                           (MadeWorker[]){
                                           { "kworker/0:1+a", 'R', 11, i * USEC_PER_SEC / 2 },
                                           { "kworker/0:2+a", 'D', 12, 0 },
                                           { "kworker/0:3+b", 'R', 13, 7 },
                                           { "kworker/0:4+c", 'R', 14, i * USEC_PER_SEC },
                           },
                           i % 2 ? 3 : 4);

        g_assert_true(work_spins_on(tally, tally_find(tally, "a")));
        g_assert_true(work_runs_on(tally, tally_find(tally, "b")));
        g_assert_false(work_spins_on(tally, tally_find(tally, "b")));
        g_assert_false(work_runs_on(tally, tally_find(tally, "c")));
        g_assert_null(tally_find(tally, "d"));
        g_assert_false(work_runs_on(tally, NULL));

        text = work_describe(tally, tally_find(tally, "a"));
        g_assert_cmpstr(text, ==,
                        "up to 1 spinning, up to 1 waiting; running in 11 of 11 scans over 10s, 50 % of a "
                        "CPU");
}

/* The whole program on made trees */

typedef struct Tree {
        FakeProc proc;
        char *root;
} Tree;

static void tree_write_data(const Tree *tree, const char *name, const char *data, size_t size) {
        g_autofree char *path = g_build_filename(tree->root, name, NULL), *folder = g_path_get_dirname(path);

        g_assert_cmpint(g_mkdir_with_parents(folder, 0755), ==, 0);
        g_assert_true(g_file_set_contents(path, data, (gssize) size, NULL));
}

static void tree_write(const Tree *tree, const char *name, const char *text) {
        tree_write_data(tree, name, text, strlen(text));
}

static void tree_remove(const Tree *tree, const char *name) {
        g_autofree char *path = g_build_filename(tree->root, name, NULL);

        g_assert_cmpint(g_remove(path), ==, 0);
}

static void tree_done(Tree *tree) {
        const char *arguments[] = { "rm", "-r", tree->root, NULL };

        g_assert_true(
                        g_spawn_sync(NULL, (char **) arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                                     NULL, NULL, NULL));
        g_free(tree->root);
        fake_proc_done(&tree->proc);
}
#define _cleanup_tree_ _cleanup_(tree_done)

#define MOUNT "26 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"
#define MOUNT_LAZYTIME "27 1 8:2 / /srv rw,relatime shared:1 - xfs /dev/sdb1 rw,lazytime,attr2\n"

/* A machine with this kernel on which a stall can happen, and that has no sign of it. */
static Tree tree_new(const char *release) {
        Tree tree = { .proc = fake_proc_new(), .root = g_dir_make_tmp("wbwatch-doctor-XXXXXX", NULL) };
        g_autofree char *proc = g_build_filename(tree.root, "proc", NULL);

        g_assert_nonnull(tree.root);
        g_assert_cmpint(symlink(tree.proc.root, proc), ==, 0);
        fake_proc_add(&tree.proc, 11, "kworker/0:1-inode_switch_wbs", FLAGS_WORKER, 100);
        fake_proc_list(&tree.proc, "11 ");

        tree_write(&tree, "proc/sys/kernel/osrelease", release);
        tree_write(&tree, "proc/version", "Linux version");
        tree_write(&tree, "proc/sys/vm/dirtytime_expire_seconds", "43200\n");
        tree_write(&tree, "proc/self/mountinfo", MOUNT MOUNT_LAZYTIME);
        tree_write(&tree, "proc/meminfo", "MemTotal: 1 kB\nDirty: 2048 kB\nWriteback: 1024 kB\n");
        tree_write(&tree, "proc/pressure/io", "some avg10=12.34 avg60=0.00 avg300=0.00 total=1\n");
        tree_write(&tree, "sys/fs/cgroup/cgroup.subtree_control", "cpu io memory pids\n");
        tree_write(&tree, "sys/fs/cgroup/cgroup.stat", "nr_descendants 3\nnr_dying_descendants 17\n");
        tree_write(&tree, "etc/os-release", "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n");
        tree_write(&tree, "dev/kmsg", "5,0,0,-;Linux version 6.12.60\n SUBSYSTEM=x\n");
        return tree;
}

/* Runs `wbctl doctor` on the tree, with a single scan. */
static int run_doctor(const Tree *tree, const char *options, char **ret_out) {
        g_autofree char *table = table_path(), *arguments = NULL, *err = NULL;
        int status;

        arguments = g_strdup_printf(
                        "doctor --root='%s' --table='%s' --observe=0 %s", tree->root, table, options);
        status = run_wbctl(arguments, NULL, ret_out, &err);
        g_test_message("%d\n%s%s", status, *ret_out, err);
        g_assert_cmpstr(err, ==, "");
        return status;
}

/* The text in one line. */
static char *unwrap(const char *text) {
        g_autoptr(GRegex) breaks = g_regex_new("\\s+", 0, 0, NULL);

        return g_regex_replace_literal(breaks, text, -1, 0, " ", 0, NULL);
}

static void assert_words(const char *out, const char *const *words) {
        g_autofree char *text = unwrap(out);

        for (; *words; words++)
                if (!strstr(text, *words))
                        g_test_fail_printf("\"%s\" is missing", *words);
}

static void assert_doctor(const Tree *tree, Verdict verdict, const char *const *words) {
        g_autofree char *out = NULL;

        g_assert_cmpint(run_doctor(tree, "", &out), ==, verdict);
        assert_words(out, words);
}
#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void test_doctor_affected(void) {
        _cleanup_tree_ Tree tree = tree_new("6.12.60");

        assert_doctor(&tree, VERDICT_AFFECTED,
                      WORDS("Affected: this kernel (6.12.60)",
                            "6.12.60, Debian GNU/Linux 13 (trixie); table of 20",
                            "stall-2025 bad 6.12.60 has only some of the changes, which made it worse for "
                            "some; fixed in "
                            "6.12.94",
                            "use-after-free ok", "cgroups note version 2 with memory and io",
                            "filesystems note / (ext4), /srv (xfs)",
                            "lazytime note /srv: makes stall-2025 likely",
                            "dying cgroups note 17 control groups", "dirty note 3.0 MiB",
                            "PSI note tasks waited, of the last 10s: io 12 %",
                            "inode_switch_wbs ok none was running in 1 scan",
                            "kernel log ok no sign in 1 lines", "wbwatchd bad No system bus",
                            "Update the kernel to 6.12.112", "Mount without lazytime", "Price: a reboot."));
}

static void test_doctor_fixed(void) {
        _cleanup_tree_ Tree tree = tree_new("6.12.112+deb13-amd64");
        g_autofree char *out = NULL;

        assert_doctor(&tree, VERDICT_NOT_AFFECTED,
                      WORDS("Not affected: the kernel does not have these bugs."));
        (void) run_doctor(&tree, "", &out);
        g_assert_null(strstr(out, "What to do"));
}

static void test_doctor_untold(void) {
        _cleanup_tree_ Tree tree = tree_new("5.14.0-570.el9.x86_64");

        assert_doctor(&tree, VERDICT_UNKNOWN,
                      WORDS("Unknown: the kernel 5.14.0-570.el9.x86_64", "stall-2025 unknown",
                            "does not show whether it has 9a6ebbdbd412", "changelog of the kernel package"));
}

/* What the running kernel shows, on a kernel whose number does not. */
static void test_doctor_running_kernel(void) {
        static const char with[] = "x\0inode_switch_wbs_context\0switch_wbs_ctxs\0y";
        static const char without[] = "x\0inode_switch_wbs_context\0switch_wbs_ctxs_more\0y";
        static const char other[] = "x\0task_struct\0y";
        _cleanup_tree_ Tree tree = tree_new("6.8.0-60-generic");

        assert_doctor(&tree, VERDICT_UNKNOWN, WORDS("stall-2025 unknown"));

        tree_write(&tree, "sys/kernel/tracing/events/writeback/inode_switch_wbs_queue/id", "1");
        assert_doctor(&tree, VERDICT_UNKNOWN, WORDS("stall-2025 ok", "inode_switch_wbs_queue exists"));
        tree_write(&tree, "proc/kallsyms",
                   "0000 T inode_switch_wbs_work_fn_more\n0000 t inode_switch_wbs_work_fn\n");
        assert_doctor(&tree, VERDICT_AFFECTED,
                      WORDS("stall-2025 bad", "/proc/kallsyms has t inode_switch_wbs_work_fn"));
        tree_write(&tree, "proc/kallsyms", "0000 T inode_switch_wbs_work_fn\n");
        assert_doctor(&tree, VERDICT_UNKNOWN,
                      WORDS("stall-2025 ok", "/proc/kallsyms has T inode_switch_wbs_work_fn"));

        tree_write_data(&tree, "sys/kernel/btf/vmlinux", other, sizeof(other));
        assert_doctor(&tree, VERDICT_UNKNOWN, WORDS("/proc/kallsyms has T"));
        tree_write_data(&tree, "sys/kernel/btf/vmlinux", without, sizeof(without));
        assert_doctor(&tree, VERDICT_AFFECTED, WORDS("stall-2025 bad", "/sys/kernel/btf/vmlinux lacks"));
        tree_write_data(&tree, "sys/kernel/btf/vmlinux", with, sizeof(with));
        assert_doctor(&tree, VERDICT_UNKNOWN, WORDS("stall-2025 ok", "/sys/kernel/btf/vmlinux has"));
}

static void test_doctor_conditions(void) {
        _cleanup_tree_ Tree tree = tree_new("6.12.60");

        tree_write(&tree, "proc/self/mountinfo", MOUNT "30 1 0:9 / /tmp rw - tmpfs tmpfs rw,lazytime\n");
        assert_doctor(&tree, VERDICT_AFFECTED,
                      WORDS("filesystems note / (ext4) lazytime ok no filesystem has it"));

        tree_write(&tree, "proc/self/mountinfo", "30 1 0:9 / / rw - zfs pool rw\n");
        assert_doctor(&tree, VERDICT_NOT_AFFECTED,
                      WORDS("they cannot occur in this setup", "filesystems ok none is"));
        tree_write(&tree, "proc/self/mountinfo", MOUNT);

        tree_write(&tree, "sys/fs/cgroup/cgroup.subtree_control", "memory\n");
        tree_write(&tree, "sys/fs/cgroup/cgroup.controllers", "memory pids\n");
        assert_doctor(&tree, VERDICT_NOT_AFFECTED, WORDS("cgroups ok no version 2 with both memory and io"));
        tree_write(&tree, "sys/fs/cgroup/cgroup.controllers", "io memory\n");
        assert_doctor(&tree, VERDICT_AFFECTED,
                      WORDS("cgroups note version 2, with memory and io not both enabled now"));
        tree_remove(&tree, "sys/fs/cgroup/cgroup.controllers");
        tree_remove(&tree, "sys/fs/cgroup/cgroup.subtree_control");
        tree_write(&tree, "proc/1/mountinfo", MOUNT);
        assert_doctor(&tree, VERDICT_NOT_AFFECTED, WORDS("cgroups ok no version 2"));

        /* This one needs no control groups. */
        tree_write(&tree, "proc/sys/vm/dirtytime_expire_seconds", "0\n");
        assert_doctor(&tree, VERDICT_AFFECTED,
                      WORDS("dirtytime-zero unknown vm.dirtytime_expire_seconds is 0"));
}

#define CGROUPS "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t0\t9\t1\n"
#define CGROUP2 "31 1 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"

/* Without /sys, as in a chroot: that no control file is there does not show that there are none. */
static void test_doctor_without_cgroups(void) {
        static const struct {
                const char *cgroups, *init_mounts;
                Verdict verdict;
        } cases[] = {
                { NULL, NULL, VERDICT_UNKNOWN },
                { CGROUPS, NULL, VERDICT_UNKNOWN },
                { CGROUPS "memory\t0\t9\t1\nblkio\t0\t9\t1\n", MOUNT CGROUP2, VERDICT_UNKNOWN },
                { CGROUPS "memory\t0\t9\t1\nblkio\t0\t9\t1\n", MOUNT, VERDICT_NOT_AFFECTED },
                { CGROUPS "memory\t4\t9\t1\n", MOUNT CGROUP2, VERDICT_NOT_AFFECTED },
                { CGROUPS "memory\t0\t9\t0\n", MOUNT CGROUP2, VERDICT_NOT_AFFECTED },
                { CGROUPS "blkio\t5\t9\t1\n", NULL, VERDICT_NOT_AFFECTED },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_tree_ Tree tree = tree_new("6.8.0-60-generic");

                tree_remove(&tree, "sys/fs/cgroup/cgroup.subtree_control");
                if (cases[i].cgroups)
                        tree_write(&tree, "proc/cgroups", cases[i].cgroups);
                if (cases[i].init_mounts)
                        tree_write(&tree, "proc/1/mountinfo", cases[i].init_mounts);
                assert_doctor(&tree, cases[i].verdict,
                              cases[i].verdict == VERDICT_UNKNOWN
                                              ? WORDS("cgroups unknown /sys/fs/cgroup/cgroup.controllers "
                                                      "cannot be read")
                                              : WORDS("cgroups ok no version 2"));
        }
}

/* A container hides workers, filesystems and control groups of the host. */
static void test_doctor_container(void) {
        _cleanup_tree_ Tree tree = tree_new("6.12.60");

        fake_proc_list(&tree.proc, "");
        fake_proc_remove(&tree.proc, "2/stat");
        fake_proc_remove(&tree.proc, "11/stat");
        tree_write(&tree, "proc/self/mountinfo", "30 1 0:9 / / rw - overlay overlay rw\n");
        tree_write(&tree, "sys/fs/cgroup/cgroup.type", "domain\n");
        tree_write(&tree, "sys/fs/cgroup/cgroup.controllers", "cpu\n");
        assert_doctor(&tree, VERDICT_AFFECTED,
                      WORDS("workers unknown kernel workers cannot be seen: ", "the host may differ",
                            "the host may have some"));

        tree_write(&tree, "sys/fs/cgroup/cgroup.controllers", "cpu io memory\n");
        assert_doctor(&tree, VERDICT_AFFECTED, WORDS("cgroups note version 2 with memory and io"));
}

/* The same in a real PID namespace. */
static void test_doctor_pid_namespace(void) {
        const char *arguments[] = {
                "unshare",      "--user",          "--map-root-user", "--pid",       "--fork",
                "--mount-proc", g_getenv("WBCTL"), "doctor",          "--observe=0", NULL
        };
        g_autoptr(GError) error = NULL;
        g_autofree char *out = NULL, *err = NULL;
        int status;

        g_spawn_sync(NULL, (char **) arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, &status,
                     &error);
        g_assert_no_error(error);
        g_test_message("%s%s", out, err);
        if (g_str_has_prefix(err, "unshare: ")) {
                g_test_skip("no namespaces may be made here");
                return;
        }
        assert_words(out,
                     WORDS("workers unknown kernel workers cannot be seen: this process is in its own PID "
                           "namespace (a container)",
                           "Examine the host: "));
}

/* The caller's bus is not the one of another root. */
static void test_doctor_other_bus(void) {
        _cleanup_tree_ Tree tree = tree_new("6.12.60");
        const char *arguments[] = { "env",
                                    "-u",
                                    "DBUS_SYSTEM_BUS_ADDRESS",
                                    g_getenv("WBCTL"),
                                    "doctor",
                                    "--observe=0",
                                    "--root",
                                    tree.root,
                                    "--table",
                                    NULL,
                                    NULL };
        g_autofree char *table = table_path(), *out = NULL, *text = NULL;
        g_autoptr(GError) error = NULL;
        int status;

        arguments[ELEMENTSOF(arguments) - 2] = table;
        g_spawn_sync(NULL, (char **) arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, NULL, &status,
                     &error);
        g_assert_no_error(error);
        g_test_message("%s", out);
        assert_words(out, WORDS("wbwatchd unknown not examined with --root"));
        text = unwrap(out);
        g_assert_null(strstr(text, "Install and start wbwatchd"));
        g_assert_null(strstr(text, "at boot"));
}

/* As with a proc filesystem that hides all but processes. */
static void test_doctor_part_of_proc(void) {
        _cleanup_tree_ Tree tree = tree_new("");

        tree_remove(&tree, "proc/meminfo");
        tree_remove(&tree, "proc/pressure/io");
        assert_doctor(&tree, VERDICT_UNKNOWN,
                      WORDS("Unknown: the release of the kernel cannot be read.",
                            "dirty note /proc/meminfo cannot be read",
                            "PSI note /proc/pressure cannot be read"));
}

/* What it says about a daemon with these properties, and a unit in this state. */
static char *check_daemon(const char *properties, const char *unit) {
        _cleanup_(findings_freep) Findings *findings = findings_new();
        Doctor doctor = { .root = "/", .findings = findings };
        const Terminal terminal = { .columns = 80 };
        g_autoptr(GString) text = g_string_new(NULL);

        for (DoctorJob job = 0; job < _JOB_MAX; job++)
                doctor.jobs[job].result = g_string_new(NULL);
        g_string_printf(doctor.jobs[JOB_DAEMON].result, "+(%s, @aa{sv} [])", properties);
        g_string_assign(doctor.jobs[JOB_UNIT].result, unit);
        doctor_check_daemon(&doctor);

        findings->summary = g_strdup("");
        findings_append_text(text, &terminal, findings);
        for (DoctorJob job = 0; job < _JOB_MAX; job++)
                g_string_free(doctor.jobs[job].result, TRUE);
        g_test_message("%s", text->str);
        return g_string_free(g_steal_pointer(&text), FALSE);
}

#define PROPERTIES "'State': <'idle'>, 'Glob': <'kworker/*+x'>, 'DryRun': <true>"

/* What the command line sets comes back at the next start. */
static void test_doctor_daemon(void) {
        g_autofree char *bus = check_daemon(
                        "{" PROPERTIES ", 'SettingOrigins': <{'DryRun': 'bus', 'Glob': 'built-in'}>}",
                        "enabled");
        g_autofree char *command_line = check_daemon(
                        "{" PROPERTIES ", 'SettingOrigins': <{'DryRun': 'command line', 'Glob': 'command "
                        "line'}>}",
                        "enabled-runtime");

        assert_words(bus, WORDS("End the dry run: `wbctl set DryRun=no`. ",
                                "`wbctl set 'Glob=kworker/*inode_switch_wbs*'`. ",
                                "at boot ok wbwatchd.service is enabled"));
        assert_words(command_line,
                     WORDS("End the dry run: `wbctl set DryRun=no`; and remove it from the command line of "
                           "wbwatchd, which sets it again at the next start.",
                           "`wbctl set 'Glob=kworker/*inode_switch_wbs*'`; and remove it from the",
                           "at boot bad wbwatchd.service is enabled-runtime",
                           "Start wbwatchd at each boot: `systemctl enable --now wbwatchd`."));
}

#define HOGGED                                                                                               \
        "workqueue: inode_switch_wbs_work_fn hogged CPU for >10000us 8 times, consider switching to "        \
        "WQ_UNBOUND"

/* Only lines of the kernel count, and their absence proves nothing. */
static void test_doctor_log(void) {
        _cleanup_tree_ Tree tree = tree_new("6.8.0-60-generic");

        /* 12: facility 1, as for everything that a program writes to /dev/kmsg. */
        tree_write(&tree, "dev/kmsg",
                   "12,1,1,-;" HOGGED "\n4,2,2,-;something else: 4,3,3,-;x\n 4,1,1,-;" HOGGED "\n");
        assert_doctor(&tree, VERDICT_UNKNOWN, WORDS("kernel log ok no sign in 1 lines"));

        tree_write(&tree, "dev/kmsg", "");
        assert_doctor(&tree, VERDICT_UNKNOWN, WORDS("kernel log unknown /dev/kmsg: no line of the kernel"));
        tree_remove(&tree, "dev/kmsg");
        assert_doctor(&tree, VERDICT_UNKNOWN,
                      WORDS("kernel log unknown /dev/kmsg: No such file or directory; journal: "));

        tree_write(&tree, "dev/kmsg",
                   "4,1,1,-;" HOGGED "\n4,9,9,-;" HOGGED "\n"
                   "4,2,2,-;workqueue: WQ_MEM_RECLAIM nvme-wq:x is flushing !WQ_MEM_RECLAIM events:y\n"
                   "3,3,3,-;INFO: task kworker/u8:1:77 blocked for more than 120 seconds.\n");
        assert_doctor(&tree, VERDICT_AFFECTED,
                      WORDS("Affected: the log of the kernel has signs of stalls.",
                            "kernel log bad " HOGGED " (2 lines): a sign of stall-2025",
                            "nvme-wq:x is flushing !WQ_MEM_RECLAIM events:y (1 line): a work that must run "
                            "when memory is short",
                            "blocked for more than 120 seconds. (1 line)"));

        /* A kernel with the fixes logs it as well, at a large but healthy switch. */
        tree_write(&tree, "proc/sys/kernel/osrelease", "6.12.112");
        assert_doctor(&tree, VERDICT_NOT_AFFECTED, WORDS("kernel log note " HOGGED));
}

/* Running workers, in a single scan. Whether they go on for long is tested above. */
static void test_doctor_workers(void) {
        _cleanup_tree_ Tree tree = tree_new("6.12.60");
        g_autofree char *out = NULL;

        fake_proc_put(&tree.proc, &(FakeThread){ .pid = 12,
                                                 .name = "kworker/0:2+inode_switch_wbs",
                                                 .flags = FLAGS_WORKER,
                                                 .state = 'R' });
        fake_proc_add(&tree.proc, 13, "kworker/u8:3+flush-8:16", FLAGS_WORKER, 300);
        fake_proc_add(&tree.proc, 14, "kworker/0:4+events", FLAGS_WORKER, 300);
        fake_proc_add(&tree.proc, 15, "kworker/0:5+xfs-sync/sda1", FLAGS_USER, 300);
        fake_proc_list(&tree.proc, "11 12 13 14 15 ");
        assert_doctor(&tree, VERDICT_AFFECTED,
                      WORDS("inode_switch_wbs note up to 1 spinning, up to 0 waiting; running in 1 of 1 "
                            "scans",
                            "other writeback note flush-8:16, up to 0 spinning, up to 1 waiting",
                            "waits for a disk"));

        (void) run_doctor(&tree, "", &out);
        g_assert_null(strstr(out, "events, up to"));
        g_assert_null(strstr(out, "xfs-sync/sda1, up to"));
}

/* by_turns: in a third of the steps the first one waits. */
static FakeThread spinning_thread(const char *const *names, int i, uint64_t cpu_usec, bool by_turns) {
        return (FakeThread){
                .pid = 20 + i,
                .name = names[i],
                .flags = FLAGS_WORKER,
                .state = by_turns && i == 0 && g_random_int_range(0, 3) == 0 ? 'D' : 'R',
                .cpu_time = cpu_usec / 10000,
        };
}

/* Replaces the stat of a thread at once, but unlike fake_proc_put() without waiting for the disk. */
static void replace_stat(const Tree *tree, const FakeThread *thread) {
        g_autofree char *text = fake_thread_stat_text(thread),
                        *name = g_strdup_printf("%d", (int) thread->pid);
        g_autofree char *path = g_build_filename(tree->proc.root, name, "stat", NULL);
        g_autofree char *new_path = g_build_filename(tree->root, "stat", NULL);

        g_assert_true(g_file_set_contents_full(new_path, text, -1, G_FILE_SET_CONTENTS_NONE, 0644, NULL));
        g_assert_cmpint(rename(new_path, path), ==, 0);
}

/* A process that lets workers with these names use CPU time, until it is killed: so much at each step that
 * one step suffices, even if a busy machine delays the others. */
static pid_t spin(const Tree *tree, const char *const *names, bool by_turns) {
        pid_t pid;

        for (int i = 0; names[i]; i++) {
                const FakeThread thread = spinning_thread(names, i, 0, by_turns);

                fake_proc_put(&tree->proc, &thread);
        }
        pid = fork();
        g_assert_cmpint(pid, >=, 0);
        if (pid > 0)
                return pid;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (uint64_t cpu_usec = 0;; cpu_usec += USEC_PER_SEC) {
                for (int i = 0; names[i]; i++) {
                        const FakeThread thread = spinning_thread(names, i, cpu_usec, by_turns);

                        replace_stat(tree, &thread);
                }
                (void) usleep(20 * USEC_PER_MSEC);
        }
}

/* What doctor finds while workers with these names spin: up to four. */
static void assert_spinning_so(
                const Tree *tree,
                const char *const *names,
                bool by_turns,
                Verdict verdict,
                const char *const *words) {
        g_autofree char *out = NULL;
        pid_t pid = spin(tree, names, by_turns);

        fake_proc_list(&tree->proc, "20 21 22 23 ");
        g_assert_cmpint(run_doctor(tree, by_turns ? "--observe=4s" : "--observe=1s", &out), ==, verdict);
        g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
        g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
        assert_words(out, words);
}

static void assert_spinning(
                const Tree *tree,
                const char *const *names,
                Verdict verdict,
                const char *const *words) {
        assert_spinning_so(tree, names, false, verdict, words);
}

static void test_doctor_stall(void) {
        _cleanup_tree_ Tree tree = tree_new("6.8.0-60-generic");

        tree_write(&tree, "proc/self/mountinfo", "26 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw,stripe=32\n");
        assert_spinning(&tree,
                        WORDS("kworker/0:1+inode_switch_wbs", "kworker/0:2+inode_switch_wbs",
                              "kworker/u8:3+flush-8:0"),
                        VERDICT_AFFECTED,
                        WORDS("A stall is under way: workers spin in inode_switch_wbs.",
                              "inode_switch_wbs bad up to 2 spinning", "other writeback note flush-8:0, ",
                              "with ext4 and stripe=, see kernel bug 217965",
                              "Sync now: ", "Do not write 2 or 3 to"));
}

static void test_doctor_rescans(void) {
        _cleanup_tree_ Tree tree = tree_new("6.12.111");

        assert_spinning(&tree, WORDS("kworker/0:1+inode_switch_wbs", "kworker/u8:2+events_unbound"),
                        VERDICT_AFFECTED,
                        WORDS("A stall is under way that a sync does not end (stall-2026).",
                              "inode_switch_wbs bad", "events_unbound bad up to 1 spinning",
                              "beside inode_switch_wbs this is stall-2026", "Sync now: `wbctl sync`, ",
                              "dirty, and may not end this stall."));
}

/* The worker that switches waits for the other one by turns. That counts only where the bug is known. */
static void test_doctor_rescans_by_turns(void) {
        _cleanup_tree_ Tree tree = tree_new("6.12.111");
        const char *const *names = WORDS("kworker/0:1+inode_switch_wbs", "kworker/u8:2+events_unbound");

        assert_spinning_so(
                        &tree, names, true, VERDICT_AFFECTED,
                        WORDS("A stall is under way that a sync does not end (stall-2026).",
                              "events_unbound bad up to 1 spinning"));
        tree_write(&tree, "proc/sys/kernel/osrelease", "6.12.112");
        assert_spinning_so(
                        &tree, names, true, VERDICT_NOT_AFFECTED,
                        WORDS("events_unbound note up to 1 spinning"));
}

/* Beside any stall another work of that queue may spin: the kernel decides which bug it is. */
static void test_doctor_rescans_of_others(void) {
        _cleanup_tree_ Tree tree = tree_new("6.12.60");
        const char *const *names = WORDS("kworker/0:1+inode_switch_wbs", "kworker/u8:2+events_unbound");

        assert_spinning(&tree, names, VERDICT_AFFECTED,
                        WORDS("A stall is under way: workers spin in inode_switch_wbs.",
                              "any other work of that queue may be the reason",
                              "as long as writing what is dirty."));
        tree_write(&tree, "proc/sys/kernel/osrelease", "6.8.0-60-generic");
        assert_spinning(&tree, names, VERDICT_AFFECTED,
                        WORDS("A stall is under way that a sync may not end (it may be stall-2026).",
                              "beside inode_switch_wbs this may be stall-2026",
                              "dirty, and may not end this stall."));
}

/* A kernel without these bugs may switch many inodes with one worker for some time. */
static void test_doctor_long_switch(void) {
        _cleanup_tree_ Tree tree = tree_new("6.12.112");

        assert_spinning(&tree, WORDS("kworker/0:1+inode_switch_wbs"), VERDICT_NOT_AFFECTED,
                        WORDS("inode_switch_wbs note up to 1 spinning"));
}

static void test_doctor_without_table(void) {
        _cleanup_tree_ Tree tree = tree_new("6.12.60");
        g_autofree char *out = NULL;

        g_assert_cmpint(run_doctor(&tree, "--table=/nonexistent/table", &out), ==, VERDICT_UNKNOWN);
        assert_words(out, WORDS("Unknown: the table of kernels cannot be read.",
                                "table unknown /nonexistent/table: No such file or directory"));
}

/* Even where no stall can happen: the setting needs no control groups, and is read without the table. */
static void test_doctor_without_table_and_cgroups(void) {
        _cleanup_tree_ Tree tree = tree_new("6.12.60");
        g_autofree char *empty = NULL, *nrpe = NULL, *zero = NULL;

        tree_write(&tree, "sys/fs/cgroup/cgroup.subtree_control", "\n");
        tree_write(&tree, "sys/fs/cgroup/cgroup.controllers", "\n");
        g_assert_cmpint(run_doctor(&tree, "--table=/dev/null", &empty), ==, VERDICT_UNKNOWN);
        assert_words(empty, WORDS("Unknown: the table of kernels cannot be read.", "cgroups ok no version 2",
                                  "dirtytime-zero ok vm.dirtytime_expire_seconds is 43200"));
        g_assert_cmpint(run_doctor(&tree, "--table=/dev/null --batch=nrpe", &nrpe), ==, VERDICT_UNKNOWN);
        g_assert_true(g_str_has_prefix(nrpe, "WBWATCH UNKNOWN - Unknown: "));

        tree_write(&tree, "proc/sys/vm/dirtytime_expire_seconds", "0\n");
        g_assert_cmpint(run_doctor(&tree, "--table=/dev/null", &zero), ==, VERDICT_UNKNOWN);
        assert_words(zero, WORDS("dirtytime-zero unknown vm.dirtytime_expire_seconds is 0: ",
                                 "Set vm.dirtytime_expire_seconds to another value than 0"));
}

static void test_doctor_formats(void) {
        _cleanup_tree_ Tree tree = tree_new("6.12.60|x");
        g_autofree char *json = NULL, *nrpe = NULL, *prometheus = NULL, *other = NULL, *text = NULL;
        g_auto(GStrv) lines = NULL;

        g_assert_cmpint(run_doctor(&tree, "--batch=json", &json), ==, VERDICT_AFFECTED);
        g_assert_true(g_str_has_prefix(json, "{\"Verdict\":\"affected\",\"Summary\":\"Affected: "));
        g_assert_nonnull(
                        strstr(json, "{\"Section\":\"kernel\",\"Check\":\"stall-2025\",\"Result\":\"bad\","
                                     "\"Evidence\":\"6.12.60 "));
        g_assert_nonnull(strstr(json, "\"TableDate\":\"20"));
        g_assert_cmpint(run_doctor(&tree, "--json", &other), ==, VERDICT_AFFECTED);
        g_assert_cmpstr(other, ==, json);

        g_assert_cmpint(run_doctor(&tree, "--batch nrpe", &nrpe), ==, VERDICT_AFFECTED);
        g_assert_cmpstr(nrpe, ==,
                        "WBWATCH CRITICAL - Affected: this kernel (6.12.60/x) can stall or crash when "
                        "control groups are "
                        "removed.\n");

        g_assert_cmpint(run_doctor(&tree, "--batch=prometheus", &prometheus), ==, VERDICT_AFFECTED);
        g_assert_nonnull(strstr(
                        prometheus,
                        "# TYPE wbwatch_kernel_fixed gauge\nwbwatch_kernel_fixed{fix=\"stall-2025\"} 0\n"
                        "wbwatch_kernel_fixed{fix=\"use-after-free\"} 1\n"
                        "wbwatch_kernel_fixed{fix=\"umount-race\"} 0\n"
                        "wbwatch_kernel_fixed{fix=\"stall-2026\"} 1\n# HELP "));
        g_assert_nonnull(
                        strstr(prometheus, "wbwatch_doctor_verdict{verdict=\"not-affected\"} 0\n"
                                           "wbwatch_doctor_verdict{verdict=\"affected\"} 1\n"
                                           "wbwatch_doctor_verdict{verdict=\"unknown\"} 0\n"));

        g_assert_cmpint(run_doctor(&tree, "--batch=text", &text), ==, VERDICT_AFFECTED);
        lines = g_strsplit(text, "\n", -1);
        for (char **line = lines; *line; line++)
                g_assert_cmpint(g_utf8_strlen(*line, -1), <=, 80);
}

static void test_doctor_command_line(void) {
        static const struct {
                const char *arguments;
                int status;
                const char *words;
        } cases[] = {
                { "doctor --batch=xml", EXIT_DOCTOR_USAGE,
                  "--batch=xml: the formats are text, json, nrpe and prometheus" },
                { "doctor --batch", EXIT_DOCTOR_USAGE, "--batch" },
                { "doctor --frobnicate", EXIT_DOCTOR_USAGE, "--frobnicate" },
                { "doctor now", EXIT_DOCTOR_USAGE, "Unexpected argument \"now\"" },
                { "doctor --runtime", EXIT_DOCTOR_USAGE, "--runtime" },
                { "doctor --observe=soon", EXIT_DOCTOR_USAGE, "--observe=soon: not a duration" },
                { "doctor --root=/nonexistent", EXIT_DOCTOR_USAGE, "--root=/nonexistent: no proc there." },
                { "doctor --observe=2h", EXIT_DOCTOR_USAGE, "at most 1h" },
                { "status --batch=json", EXIT_USAGE, "--batch works with doctor only" },
                { "get --root=/", EXIT_USAGE, "--root works with doctor, report, list and status only" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *out = NULL, *err = NULL;

                g_assert_cmpint(run_wbctl(cases[i].arguments, NULL, &out, &err), ==, cases[i].status);
                g_test_message("%s: %s", cases[i].arguments, err);
                g_assert_cmpstr(out, ==, "");
                g_assert_nonnull(strstr(err, cases[i].words));
        }
}

/* Mountpoints are bytes. */
static void test_doctor_bytes(void) {
        _cleanup_tree_ Tree tree = tree_new("6.12.60");
        g_autofree char *json = NULL;

        tree_write(&tree, "proc/self/mountinfo", "26 1 8:1 / /a\xff rw - ext4 /dev/sda1 rw\n");
        g_assert_cmpint(run_doctor(&tree, "--batch=json", &json), ==, VERDICT_AFFECTED);
        g_assert_nonnull(strstr(json, "\"/a\357\277\275 (ext4)\""));
}

/* A command is copied whole. */
static void test_doctor_wrapped(void) {
        _cleanup_(findings_freep) Findings *findings = findings_new();
        const Terminal terminal = { .columns = 40 };
        g_autoptr(GString) out = g_string_new(NULL);

        findings->verdict = VERDICT_AFFECTED;
        findings->summary = g_strdup("A ` and no end of it, so that this is wrapped.");
        findings_advise(findings, "Watch the workers of it: `wbctl set 'Glob=x'`.");
        findings_advise(findings, "Do: `a command that is wider than the whole line` now.");
        findings_append_text(out, &terminal, findings);
        g_assert_cmpstr(out->str, ==,
                        "A ` and no end of it, so that this is\nwrapped.\n"
                        "\nWhat to do:\n"
                        "  - Watch the workers of it:\n    `wbctl set 'Glob=x'`.\n"
                        "  - Do:\n    `a command that is wider than the whole line`\n    now.\n");
}

/* A bus that accepts connections and then is silent; and files whose disk does not answer, as FIFOs. */
static void test_doctor_hangs(void) {
        _cleanup_tree_ Tree tree = tree_new("6.12.60");
        g_autofree char *socket_path = g_build_filename(tree.root, "bus", NULL);
        g_autofree char *address = g_strdup_printf("unix:path=%s", socket_path);
        g_autofree char *fifo = g_build_filename(tree.root, "fifo", NULL), *arguments = NULL, *out = NULL,
                        *err = NULL;
        _cleanup_close_ int bus = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un name = { .sun_family = AF_UNIX };
        uint64_t begin_usec = usec_now(CLOCK_MONOTONIC);

        g_assert_cmpuint(
                        g_strlcpy(name.sun_path, socket_path, sizeof(name.sun_path)), <,
                        sizeof(name.sun_path));
        g_assert_cmpint(bind(bus, (struct sockaddr *) &name, sizeof(name)), ==, 0);
        g_assert_cmpint(listen(bus, 8), ==, 0);
        g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);

        arguments = g_strdup_printf("doctor --root='%s' --table='%s'", tree.root, fifo);
        g_assert_cmpint(run_wbctl(arguments, address, &out, &err), ==, VERDICT_UNKNOWN);
        g_test_message("%s%s", out, err);
        g_assert_cmpuint(usec_now(CLOCK_MONOTONIC) - begin_usec, <, 5 * USEC_PER_SEC);
        assert_words(out, WORDS("wbwatchd unknown it or the bus did not answer in time",
                                "/fifo: no answer in time", "inode_switch_wbs ok none was running in 1",
                                "kernel log ok"));
}

/* Below another root, a file of /proc or /sys may be anything. */
static void test_doctor_hanging_files(void) {
        static const char *const names[] = {
                "proc/sys/kernel/osrelease", "proc/version",  "proc/kallsyms",
                "proc/1/mountinfo",          "proc/cgroups",  "sys/fs/cgroup/cgroup.controllers",
                "proc/self/mountinfo",       "proc/meminfo",  "proc/sys/vm/dirtytime_expire_seconds",
                "sys/kernel/btf/vmlinux",    "etc/os-release"
        };
        _cleanup_tree_ Tree tree = tree_new("6.12.60");
        uint64_t begin_usec;

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                g_autofree char *path = g_build_filename(tree.root, names[i], NULL);

                tree_write(&tree, names[i], "");
                tree_remove(&tree, names[i]);
                g_assert_cmpint(mkfifo(path, 0600), ==, 0);
        }

        begin_usec = usec_now(CLOCK_MONOTONIC);
        assert_doctor(&tree, VERDICT_UNKNOWN,
                      WORDS("filesystems unknown /proc/self/mountinfo: no answer in time",
                            "dirty note /proc/meminfo cannot be read",
                            "dirtytime-zero note vm.dirtytime_expire_seconds cannot be read"));
        g_assert_cmpuint(usec_now(CLOCK_MONOTONIC) - begin_usec, <, 5 * USEC_PER_SEC);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/doctor/local-workers/listed", test_local_workers);
        g_test_add_func("/doctor/local-workers/unseen", test_local_workers_unseen);
        g_test_add_func("/doctor/kernels/releases", test_releases);
        g_test_add_func("/doctor/kernels/updates", test_updates);
        g_test_add_func("/doctor/kernels/shown", test_shown);
        g_test_add_func("/doctor/kernels/table-errors", test_table_errors);
        g_test_add_func("/doctor/kernels/table-extended", test_table_extended);
        g_test_add_func("/doctor/tally", test_tally);
        g_test_add_func("/doctor/affected", test_doctor_affected);
        g_test_add_func("/doctor/fixed", test_doctor_fixed);
        g_test_add_func("/doctor/untold", test_doctor_untold);
        g_test_add_func("/doctor/running-kernel", test_doctor_running_kernel);
        g_test_add_func("/doctor/conditions", test_doctor_conditions);
        g_test_add_func("/doctor/without-cgroups", test_doctor_without_cgroups);
        g_test_add_func("/doctor/container", test_doctor_container);
        g_test_add_func("/doctor/pid-namespace", test_doctor_pid_namespace);
        g_test_add_func("/doctor/other-bus", test_doctor_other_bus);
        g_test_add_func("/doctor/part-of-proc", test_doctor_part_of_proc);
        g_test_add_func("/doctor/daemon", test_doctor_daemon);
        g_test_add_func("/doctor/log", test_doctor_log);
        g_test_add_func("/doctor/workers", test_doctor_workers);
        g_test_add_func("/doctor/stall", test_doctor_stall);
        g_test_add_func("/doctor/rescans", test_doctor_rescans);
        g_test_add_func("/doctor/rescans-by-turns", test_doctor_rescans_by_turns);
        g_test_add_func("/doctor/rescans-of-others", test_doctor_rescans_of_others);
        g_test_add_func("/doctor/long-switch", test_doctor_long_switch);
        g_test_add_func("/doctor/without-table", test_doctor_without_table);
        g_test_add_func("/doctor/without-table-and-cgroups", test_doctor_without_table_and_cgroups);
        g_test_add_func("/doctor/formats", test_doctor_formats);
        g_test_add_func("/doctor/command-line", test_doctor_command_line);
        g_test_add_func("/doctor/bytes", test_doctor_bytes);
        g_test_add_func("/doctor/wrapped", test_doctor_wrapped);
        g_test_add_func("/doctor/hangs", test_doctor_hangs);
        g_test_add_func("/doctor/hanging-files", test_doctor_hanging_files);
        return g_test_run();
}
