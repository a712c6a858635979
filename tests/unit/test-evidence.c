/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The evidence in texts as the kernel writes them, the whole ones and parts of them, and its table. */

#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <sys/mman.h>

#include "evidence-reader.h"

/* As many lines as the kernel has. */
#define VMSTAT_FILLER 150

typedef struct Files {
        int fds[_KERNEL_FILE_MAX];
} Files;

static void set_up(Files *files, gconstpointer data) {
        for (KernelFile file = 0; file < _KERNEL_FILE_MAX; file++)
                files->fds[file] = -EBADF;
}

static void tear_down(Files *files, gconstpointer data) {
        for (KernelFile file = 0; file < _KERNEL_FILE_MAX; file++)
                closep(&files->fds[file]);
}

static void provide(Files *files, KernelFile file, const char *text) {
        closep(&files->fds[file]);
        files->fds[file] = memfd_create("file", MFD_CLOEXEC);
        g_assert_cmpint(files->fds[file], >=, 0);
        g_assert_cmpint(write(files->fds[file], text, strlen(text)), ==, (ssize_t) strlen(text));
}

static void provide_vmstat(Files *files, const char *stalls) {
        g_autoptr(GString) text = g_string_new("nr_free_pages 1\nnr_zone_write_pending 7\n");

        g_string_append(text, "nr_dirty_threshold 8\nnr_dirty 3\nnr_writeback_temp 9\nnr_writeback 5\n");
        for (unsigned i = 0; i < VMSTAT_FILLER; i++)
                g_string_append_printf(text, "nr_filler_of_some_length_%u %u\n", i, i);
        g_string_append_printf(text, "nr_vmscan_write 11\nnr_vmscan_immediate_reclaim 13\n%s", stalls);
        g_assert_cmpuint(text->len, >, 4096);
        provide(files, KERNEL_FILE_VMSTAT, text->str);
}

static Evidence read_all(const Files *files) {
        Evidence evidence = {};

        evidence_read(&evidence, files->fds);
        return evidence;
}

static void assert_value(const Evidence *evidence, EvidenceId id, uint64_t value) {
        g_assert_true(evidence_has(evidence, id));
        g_assert_cmpuint(evidence->values[id], ==, value);
}

#define PRESSURE(some, total)                                                                                \
        "some avg10=" some " avg60=9.99 avg300=8.88 total=" total                                            \
        "\nfull avg10=7.77 avg60=6.66 avg300=5.55 total=4\n"

static void test_whole(Files *files, gconstpointer data) {
        uint64_t page_size = (uint64_t) sysconf(_SC_PAGESIZE);
        Evidence evidence;

        provide_vmstat(files, "allocstall_dma 1\nallocstall_normal 20\nallocstall_movable 300\npgskip 4\n");
        provide(files, KERNEL_FILE_CPU_PRESSURE, PRESSURE("12.34", "18446744073709551615"));
        provide(files, KERNEL_FILE_IO_PRESSURE, PRESSURE("0.00", "0"));
        provide(files, KERNEL_FILE_MEMORY_PRESSURE, PRESSURE("100.00", "6"));
        provide(files, KERNEL_FILE_CGROUP_STAT, "nr_descendants 50\nnr_dying_descendants 17\n");
        evidence = read_all(files);

        assert_value(&evidence, EVIDENCE_DIRTY, 3 * page_size);
        assert_value(&evidence, EVIDENCE_WRITEBACK, 5 * page_size);
        assert_value(&evidence, EVIDENCE_VMSCAN_WRITES, 11);
        assert_value(&evidence, EVIDENCE_ALLOCATION_STALLS, 321);
        assert_value(&evidence, EVIDENCE_CPU_PRESSURE_AVG10, 1234);
        assert_value(&evidence, EVIDENCE_CPU_PRESSURE_TOTAL, UINT64_MAX);
        assert_value(&evidence, EVIDENCE_IO_PRESSURE_AVG10, 0);
        assert_value(&evidence, EVIDENCE_IO_PRESSURE_TOTAL, 0);
        assert_value(&evidence, EVIDENCE_MEMORY_PRESSURE_AVG10, 10000);
        assert_value(&evidence, EVIDENCE_MEMORY_PRESSURE_TOTAL, 6);
        assert_value(&evidence, EVIDENCE_DYING_CGROUPS, 17);
        /* The engine and the syncer know these. */
        g_assert_false(evidence_has(&evidence, EVIDENCE_WORKERS_CPU));
        g_assert_false(evidence_has(&evidence, EVIDENCE_PENDING_FILESYSTEMS));
}

/* What is missing is left out, and the rest is not. */
static void test_parts(Files *files, gconstpointer data) {
        Evidence evidence = read_all(files);

        g_assert_cmpuint(evidence.present, ==, 0);

        provide_vmstat(files, "");
        evidence = read_all(files);
        g_assert_cmpuint(
                        evidence.present, ==,
                        1u << EVIDENCE_DIRTY | 1u << EVIDENCE_WRITEBACK | 1u << EVIDENCE_VMSCAN_WRITES);

        provide(files, KERNEL_FILE_VMSTAT, "");
        provide(files, KERNEL_FILE_IO_PRESSURE, "some avg10=1.2 avg60=0.00 avg300=0.00 total=5\n");
        provide(files, KERNEL_FILE_MEMORY_PRESSURE, "some avg10=3.45");
        provide(files, KERNEL_FILE_CGROUP_STAT, "nr_descendants 50\nnr_dying_descendants \n");
        evidence = read_all(files);
        g_assert_cmpuint(
                        evidence.present, ==,
                        1u << EVIDENCE_IO_PRESSURE_TOTAL | 1u << EVIDENCE_MEMORY_PRESSURE_AVG10);
        assert_value(&evidence, EVIDENCE_MEMORY_PRESSURE_AVG10, 345);
}

/* A file is read again from its beginning. A text of any length does no harm. */
static void test_again(Files *files, gconstpointer data) {
        g_autofree char *filler = g_strnfill(3 * KERNEL_FILE_TEXT_MAX, 'x');
        g_autofree char *long_text = g_strconcat("\nnr_dirty 1\n", filler, "\nnr_writeback 1\n", NULL);
        Evidence evidence;

        provide(files, KERNEL_FILE_CGROUP_STAT, "nr_descendants 5\nnr_dying_descendants 1\n");
        for (unsigned i = 0; i < 2; i++) {
                evidence = read_all(files);
                assert_value(&evidence, EVIDENCE_DYING_CGROUPS, 1);
        }

        provide(files, KERNEL_FILE_VMSTAT, long_text);
        evidence = read_all(files);
        g_assert_true(evidence_has(&evidence, EVIDENCE_DIRTY));
        g_assert_false(evidence_has(&evidence, EVIDENCE_WRITEBACK));
}

/* A file that returns its text in parts, as the kernel does. */
static void test_read_in_parts(Files *files, gconstpointer data) {
        char text[KERNEL_FILE_TEXT_MAX];
        _cleanup_close_ int fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);

        if (fd < 0) {
                g_test_skip("needs /proc/kallsyms");
                return;
        }
        g_assert_cmpint(read(fd, text, sizeof(text)), <, KERNEL_FILE_TEXT_MAX - 1);
        g_assert_cmpint(kernel_file_read(fd, text), ==, 0);
        g_assert_cmpuint(strlen(text), ==, KERNEL_FILE_TEXT_MAX - 1);
}

/* The real files, of which every kernel has vmstat. */
static void test_kernel(Files *files, gconstpointer data) {
        Evidence evidence;

        for (KernelFile file = 0; file < _KERNEL_FILE_MAX; file++)
                files->fds[file] = kernel_file_open(file);
        evidence = read_all(files);
        for (EvidenceId id = EVIDENCE_DIRTY; id <= EVIDENCE_ALLOCATION_STALLS; id++)
                g_assert_true(evidence_has(&evidence, id));
        g_assert_cmpint(evidence_has(&evidence, EVIDENCE_CPU_PRESSURE_AVG10), ==,
                        g_file_test("/proc/pressure/cpu", G_FILE_TEST_EXISTS));
        g_assert_cmpint(evidence_has(&evidence, EVIDENCE_DYING_CGROUPS), ==,
                        g_file_test("/sys/fs/cgroup/cgroup.stat", G_FILE_TEST_EXISTS) &&
                                        !g_file_test("/sys/fs/cgroup/cgroup.events", G_FILE_TEST_EXISTS));
}

static void test_table(Files *files, gconstpointer data) {
        g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);

        for (EvidenceId id = 0; id < _EVIDENCE_MAX; id++) {
                const EvidenceInfo *info = &evidence_table[id];

                g_assert_true(g_str_has_prefix(info->field, "WBWATCH_"));
                g_assert_nonnull(info->meaning);
                g_assert_true(g_hash_table_add(names, (char *) info->key));
                g_assert_true(g_hash_table_add(names, (char *) info->field));
        }
}

static void test_format(Files *files, gconstpointer data) {
        Evidence evidence = {};
        char text[32];

        evidence_set(&evidence, EVIDENCE_DIRTY, UINT64_MAX);
        evidence_set(&evidence, EVIDENCE_IO_PRESSURE_AVG10, 1205);
        evidence_set(&evidence, EVIDENCE_CPU_PRESSURE_AVG10, UINT64_MAX);
        g_assert_cmpstr(evidence_format(&evidence, EVIDENCE_DIRTY, text, sizeof(text)), ==,
                        "18446744073709551615");
        g_assert_cmpstr(evidence_format(&evidence, EVIDENCE_IO_PRESSURE_AVG10, text, sizeof(text)), ==,
                        "12.05");
        g_assert_cmpstr(evidence_format(&evidence, EVIDENCE_CPU_PRESSURE_AVG10, text, sizeof(text)), ==,
                        "184467440737095516.15");
}

#define ADD(path, test) g_test_add("/evidence/" path, Files, NULL, set_up, test, tear_down)

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);

        ADD("whole", test_whole);
        ADD("parts", test_parts);
        ADD("again", test_again);
        ADD("read-in-parts", test_read_in_parts);
        ADD("kernel", test_kernel);
        ADD("table", test_table);
        ADD("format", test_format);

        return g_test_run();
}
