/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Any bytes as the files of a proc root: the list of kthreadd's children, and comm and stat of one of them,
 * separated by two newlines. The result of a scan is compared with each rule. The tree is on a detached
 * filesystem in memory, which vanishes with the process.
 */

#include "fuzz.h"

#include <fcntl.h>
#include <glib.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "kworkers.h"

#define SEPARATOR "\n\n"
#define PID "10"
#define PID_NUMBER 10
#define GLOB "kworker/*inode_switch_wbs*"

/* The number of bytes that is read. */
#define STAT_SIZE 1024

static const char good_stat[] =
                PID " (kworker/0:1+inode_switch_wbs) D 2 0 0 0 -1 69238880 0 0 0 0 3 4 0 0 20 0 1 0 "
                    "99 0 0\n";

/* A folder on a detached mount: needs root, or a user namespace. */
static int make_root(void) {
        _cleanup_close_ int context = -EBADF;

        context = fsopen("tmpfs", FSOPEN_CLOEXEC);
        if (context < 0 && errno == EPERM && unshare(CLONE_NEWUSER | CLONE_NEWNS) >= 0)
                context = fsopen("tmpfs", FSOPEN_CLOEXEC);
        if (context < 0 || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                return -errno;

        return fsmount(context, FSMOUNT_CLOEXEC, 0);
}

static void write_file(int root, const char *path, const void *data, size_t size) {
        _cleanup_close_ int fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        fuzz_assert(fd >= 0);
        fuzz_assert(write(fd, data, size) == (ssize_t) size);
}

static int get_root(void) {
        static const char *const folders[] = { "2", "2/task", "2/task/2", PID };
        static int root = -EBADF;

        if (root >= 0)
                return root;

        root = make_root();
        if (root < 0) {
                fprintf(stderr, "needs to be root, or user namespaces\n");
                exit(77);
        }
        for (size_t i = 0; i < ELEMENTSOF(folders); i++)
                fuzz_assert(mkdirat(root, folders[i], 0755) >= 0);
        return root;
}

/* Removes the first part, and returns it. */
static size_t next_part(const uint8_t **data, size_t *size, const uint8_t **ret_part) {
        const uint8_t *end = memmem(*data, *size, SEPARATOR, strlen(SEPARATOR));
        size_t n = end ? (size_t) (end - *data) : *size, n_taken = end ? n + strlen(SEPARATOR) : n;

        *ret_part = *data;
        *data += n_taken;
        *size -= n_taken;
        return n;
}

/* Whether a list names a thread. If it names none, all threads of the folder count. */
static bool list_has(const uint8_t *list, size_t size, uint64_t wanted) {
        bool names_any = false;

        for (size_t begin = 0, end; begin < size; begin = end + 1) {
                g_autofree char *word = NULL;
                guint64 pid;

                for (end = begin; end < size && !g_ascii_isspace(list[end]);)
                        end++;
                word = g_strndup((const char *) list + begin, end - begin);
                if (strspn(word, "0123456789") != end - begin ||
                    !g_ascii_string_to_unsigned(word, 10, 1, INT32_MAX, &pid, NULL))
                        continue;
                if (pid == wanted)
                        return true;
                names_any = true;
        }

        return !names_any;
}

/* What a name says about a worker. */
typedef enum Verdict {
        NOT_RUNNING,
        OTHER_WORK,
        MATCHES,
} Verdict;

static Verdict judge_name(const char *name) {
        const char *rest = g_str_has_prefix(name, "kworker/") ? name + strlen("kworker/") : "";

        if (!worker_name_work(name))
                return NOT_RUNNING;
        return strstr(rest, "inode_switch_wbs") ? MATCHES : OTHER_WORK;
}

static Verdict judge_comm(const uint8_t *comm, size_t size) {
        char name[WORKER_NAME_MAX + 1] = "";

        if (size > 0 && size <= WORKER_NAME_MAX + 1 && comm[size - 1] == '\n')
                size--;
        if (size > 0)
                memcpy(name, comm, MIN(size, (size_t) WORKER_NAME_MAX));
        return judge_name(name);
}

static Verdict judge_stat(const uint8_t *stat, size_t size, Worker *ret) {
        const uint64_t wanted = PF_KTHREAD | PF_WQ_WORKER;
        uint64_t flags;

        if (worker_parse_stat((const char *) stat, MIN(size, (size_t) STAT_SIZE), ret, &flags) < 0 ||
            ret->pid != PID_NUMBER || (flags & wanted) != wanted)
                return NOT_RUNNING;
        return judge_name(ret->name);
}

static void check_workers(const Worker *workers, size_t n_workers, const Worker *expected) {
        fuzz_assert(n_workers == (expected ? 1 : 0));
        if (expected)
                fuzz_assert(memcmp(workers, expected, sizeof(*expected)) == 0);
}

static void check_scan(KworkerReader *reader, bool want_others, const Worker *worker, const Worker *other) {
        KworkerScan scan = {};

        if (kworker_reader_scan(reader, GLOB, want_others, &scan) < 0) {
                fuzz_assert(!worker && !other);
                return;
        }

        check_workers(scan.workers, scan.n_workers, worker);
        check_workers(scan.others, scan.n_others, other);
        fuzz_assert(scan.trouble == 0);
        if (worker || other)
                fuzz_assert(scan.found_kthread);
        if (!scan.found_kthread)
                fuzz_assert(kworker_reader_fault_reason(reader));
}

/* What comm and stat say about the worker, if it is listed. */
static void check_scans(int root, Verdict comm, Verdict stat, const Worker *worker) {
        KworkerReader *reader = NULL;
        const Worker *matching = stat == MATCHES ? worker : NULL,
                     *spinning = stat == OTHER_WORK && worker->state == 'R' ? worker : NULL;
        char path[64];

        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", root);
        fuzz_assert(kworker_reader_new(path, &reader) >= 0);

        /* The second scan finds the workers of the first. */
        for (unsigned i = 0; i < 2; i++)
                check_scan(reader, /* want_others= */ false, comm == MATCHES ? matching : NULL, NULL);
        for (unsigned i = 0; i < 2; i++)
                check_scan(reader, /* want_others= */ true, comm != NOT_RUNNING ? matching : NULL,
                           comm != NOT_RUNNING ? spinning : NULL);

        kworker_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        int root = get_root();
        Worker worker = {};
        const uint8_t *part;
        Verdict comm, stat;
        bool listed;
        size_t n;

        n = next_part(&data, &size, &part);
        write_file(root, "2/task/2/children", part, n);
        listed = list_has(part, n, PID_NUMBER);

        n = next_part(&data, &size, &part);
        write_file(root, PID "/comm", part, n);
        comm = listed ? judge_comm(part, n) : NOT_RUNNING;

        /* Without a third part the stat is valid. */
        if (size == 0) {
                data = (const uint8_t *) good_stat;
                size = strlen(good_stat);
        }
        write_file(root, PID "/stat", data, size);
        stat = judge_stat(data, size, &worker);

        check_scans(root, comm, stat, &worker);
        return 0;
}
