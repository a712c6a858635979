/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The nice values of flush workers. Processes of the test stand for the workers: a proc tree of its own says
 * that they are some. */

#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "fake-proc.h"
#include "flush-priority.h"
#include "privileges.h"

#define FLUSHING "kworker/u8:3+flush-8:0"

typedef struct Fixture {
        FakeProc proc;
        FlushPriority priority;
        pid_t pids[FLUSH_WORKERS_MAX + 1];
        unsigned n_pids;
} Fixture;

static void set_up(Fixture *f, gconstpointer data) {
        f->proc = fake_proc_new();
        f->priority = (FlushPriority){ .proc_root = f->proc.root };
}

static void tear_down(Fixture *f, gconstpointer data) {
        for (unsigned i = 0; i < f->n_pids; i++) {
                (void) kill(f->pids[i], SIGKILL);
                (void) waitpid(f->pids[i], NULL, 0);
        }
        fake_proc_done(&f->proc);
}

/* A process with this nice value, of which the proc tree says that it is this thread. */
static pid_t add_thread(Fixture *f, const char *name, unsigned flags, int nice) {
        pid_t pid = fake_thread_process();

        f->pids[f->n_pids++] = pid;
        g_assert_no_errno(setpriority(PRIO_PROCESS, (id_t) pid, nice));
        fake_proc_add(&f->proc, pid, name, flags, 100);
        return pid;
}

static int nice_of(pid_t pid) {
        errno = 0;
        return getpriority(PRIO_PROCESS, (id_t) pid);
}

static int set(Fixture *f, unsigned n, const pid_t *pids) {
        FlushWorkers workers = { .n = n };

        if (n > 0)
                memcpy(workers.pids, pids, n * sizeof(*pids));
        return flush_priority_set(&f->priority, &workers);
}

/* Each gets back what it had, as soon as it is not among the workers any more. */
static void test_raise_and_restore(Fixture *f, gconstpointer data) {
        const pid_t pids[] = {
                add_thread(f, FLUSHING, FLAGS_WORKER, 0),
                add_thread(f, "kworker/u8:4+flush-btrfs-1", FLAGS_WORKER, 5),
                add_thread(f, "kworker/u8:6", FLAGS_WORKER, 0),
                add_thread(f, "kworker/u8:7-flush-8:0", FLAGS_WORKER, 1),
                add_thread(f, "kworker/u8:5+flush-0:45", FLAGS_WORKER, -20),
        };

        g_assert_no_errno(set(f, ELEMENTSOF(pids), pids));
        for (size_t i = 0; i < 4; i++)
                g_assert_cmpint(nice_of(pids[i]), ==, FLUSH_PRIORITY_NICE);

        /* The first has come to another work. */
        fake_proc_add(&f->proc, pids[0], "kworker/u8:3+events_unbound", FLAGS_WORKER, 100);
        g_assert_no_errno(set(f, ELEMENTSOF(pids) - 1, pids + 1));
        g_assert_cmpint(nice_of(pids[0]), ==, 0);
        g_assert_cmpint(nice_of(pids[1]), ==, FLUSH_PRIORITY_NICE);

        g_assert_no_errno(set(f, 0, pids));
        g_assert_cmpint(nice_of(pids[1]), ==, 5);
        g_assert_cmpint(nice_of(pids[2]), ==, 0);
        g_assert_cmpint(nice_of(pids[3]), ==, 1);
        /* As the administrator has it. */
        g_assert_cmpint(nice_of(pids[4]), ==, -20);
        g_assert_cmpuint(f->priority.n, ==, 0);
}

/* Whatever the sender says. */
static void test_others(Fixture *f, gconstpointer data) {
        const pid_t pids[] = {
                add_thread(f, "kworker/0:3-flush-8:0", FLAGS_WORKER, 0),
                add_thread(f, "kworker/u8:4+events_unbound", FLAGS_WORKER, 0),
                add_thread(f, "kworker/R-writeback", FLAGS_WORKER, 0),
                add_thread(f, "kworker/0:1+inode_switch_wbs", FLAGS_WORKER, 0),
                add_thread(f, FLUSHING, FLAGS_KTHREAD, 0),
                add_thread(f, FLUSHING, FLAGS_USER | (unsigned) PF_WQ_WORKER, 0),
                add_thread(f, FLUSHING, FLAGS_USER, 0),
        };
        int own_nice = nice_of(0);

        g_assert_no_errno(set(f, ELEMENTSOF(pids), pids));
        for (size_t i = 0; i < ELEMENTSOF(pids); i++)
                g_assert_cmpint(nice_of(pids[i]), ==, 0);

        /* 0 and negative ones would be this process, and groups. */
        g_assert_no_errno(set(f, 4, (const pid_t[]){ 0, -1, -pids[0], 1 << 22 }));
        g_assert_cmpint(nice_of(0), ==, own_nice);
        g_assert_cmpuint(f->priority.n, ==, 0);
}

/* A worker that is gone, whose pid is by now that of a process or of another worker, or whose nice value
 * somebody else has set. */
static void test_changed(Fixture *f, gconstpointer data) {
        const pid_t gone = add_thread(f, FLUSHING, FLAGS_WORKER, 0),
                    reused = add_thread(f, FLUSHING, FLAGS_WORKER, 3),
                    another = add_thread(f, FLUSHING, FLAGS_WORKER, 3),
                    changed = add_thread(f, FLUSHING, FLAGS_WORKER, 3);
        g_autofree char *folder = g_strdup_printf("%d", (int) gone),
                        *stat = g_strdup_printf("%s/stat", folder);

        g_assert_no_errno(set(f, 4, (const pid_t[]){ gone, reused, another, changed }));
        g_assert_cmpint(nice_of(changed), ==, FLUSH_PRIORITY_NICE);
        fake_proc_remove(&f->proc, stat);
        fake_proc_add(&f->proc, reused, "cat", FLAGS_USER, 200);
        fake_proc_add(&f->proc, another, "kworker/0:1H-kblockd", FLAGS_WORKER, 200);
        g_assert_no_errno(setpriority(PRIO_PROCESS, (id_t) changed, 7));

        g_assert_no_errno(set(f, 0, NULL));
        g_assert_cmpint(nice_of(reused), ==, FLUSH_PRIORITY_NICE);
        g_assert_cmpint(nice_of(another), ==, FLUSH_PRIORITY_NICE);
        g_assert_cmpint(nice_of(changed), ==, 7);
        g_assert_cmpuint(f->priority.n, ==, 0);
}

/* What was left by a program that was killed. */
static void test_left_over(Fixture *f, gconstpointer data) {
        const pid_t pid = add_thread(f, FLUSHING, FLAGS_WORKER, FLUSH_PRIORITY_NICE);

        g_assert_no_errno(set(f, 1, &pid));
        g_assert_cmpint(nice_of(pid), ==, FLUSH_PRIORITY_NICE);
        g_assert_no_errno(set(f, 0, NULL));
        g_assert_cmpint(nice_of(pid), ==, 0);
}

/* As with hidepid=; a worker that has ended is no error. */
static void test_hidden(Fixture *f, gconstpointer data) {
        const pid_t pid = add_thread(f, FLUSHING, FLAGS_WORKER, 0);
        g_autofree char *stat = g_strdup_printf("%d/stat", (int) pid);

        fake_proc_remove(&f->proc, stat);
        g_assert_cmpint(set(f, 1, &pid), ==, -EPERM);
        g_assert_cmpint(nice_of(pid), ==, 0);

        g_assert_no_errno(kill(pid, SIGKILL));
        g_assert_no_errno(waitpid(pid, NULL, 0));
        f->n_pids--;
        g_assert_no_errno(set(f, 1, &pid));
}

/* A nice value that cannot be restored now is restored later. */
static void test_not_restored(Fixture *f, gconstpointer data) {
        const pid_t pid = add_thread(f, FLUSHING, FLAGS_WORKER, 3);
        struct rlimit limit, none;

        g_assert_no_errno(set(f, 1, &pid));
        g_assert_no_errno(getrlimit(RLIMIT_NOFILE, &limit));
        none = (struct rlimit){ .rlim_cur = 0, .rlim_max = limit.rlim_max };
        g_assert_no_errno(setrlimit(RLIMIT_NOFILE, &none));
        g_assert_cmpint(set(f, 0, NULL), ==, -EMFILE);
        g_assert_no_errno(setrlimit(RLIMIT_NOFILE, &limit));
        g_assert_cmpint(nice_of(pid), ==, FLUSH_PRIORITY_NICE);

        g_assert_no_errno(set(f, 0, NULL));
        g_assert_cmpint(nice_of(pid), ==, 3);
}

/* As many as there is room for; whoever leaves makes room. */
static void test_many(Fixture *f, gconstpointer data) {
        for (unsigned i = 0; i < ELEMENTSOF(f->pids); i++)
                (void) add_thread(f, FLUSHING, FLAGS_WORKER, 0);

        g_assert_no_errno(set(f, FLUSH_WORKERS_MAX, f->pids));
        g_assert_cmpuint(f->priority.n, ==, FLUSH_WORKERS_MAX);
        g_assert_no_errno(set(f, FLUSH_WORKERS_MAX, f->pids + 1));
        g_assert_cmpint(nice_of(f->pids[0]), ==, 0);
        g_assert_cmpint(nice_of(f->pids[FLUSH_WORKERS_MAX]), ==, FLUSH_PRIORITY_NICE);
}

/* Without the capability the error is returned, and nobody counts as having priority. */
static void test_refused(Fixture *f, gconstpointer data) {
        const pid_t worker = add_thread(f, FLUSHING, FLAGS_WORKER, 0);
        pid_t pid;
        int r, status;

        g_assert_no_errno(chmod(f->proc.root, 0755));
        pid = fork();
        g_assert_no_errno(pid);
        if (pid == 0) {
                if (setresuid(12345, 12345, 12345) < 0)
                        _exit(EXIT_FAILURE);
                r = set(f, 1, &worker);
                _exit((r == -EPERM || r == -EACCES) && f->priority.n == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
        }
        g_assert_no_errno(waitpid(pid, &status, 0));
        g_assert_cmpint(status, ==, 0);
        g_assert_cmpint(nice_of(worker), ==, 0);
}

/* The last one counts. Without any nothing changes, and malformed ones are named. */
static void test_datagrams(Fixture *f, gconstpointer data) {
        const pid_t first = add_thread(f, FLUSHING, FLAGS_WORKER, 0),
                    last = add_thread(f, FLUSHING, FLAGS_WORKER, 0);
        FlushWorkers workers[] = {
                { .n = 1, .pids = { first } },
                { .n = 1, .pids = { last } },
        };
        int fds[2];

        g_assert_no_errno(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds));
        for (size_t i = 0; i < ELEMENTSOF(workers); i++)
                g_assert_cmpint(send(fds[0], workers + i, sizeof(workers[i]), 0), ==, sizeof(workers[i]));
        g_assert_no_errno(flush_priority_receive(&f->priority, fds[1]));
        g_assert_cmpint(nice_of(first), ==, 0);
        g_assert_cmpint(nice_of(last), ==, FLUSH_PRIORITY_NICE);

        g_assert_cmpint(flush_priority_receive(&f->priority, fds[1]), ==, -EAGAIN);
        g_assert_cmpint(send(fds[0], workers, sizeof(workers[0]) - 1, 0), >, 0);
        g_assert_cmpint(flush_priority_receive(&f->priority, fds[1]), ==, -EBADMSG);
        g_assert_cmpint(send(fds[0], workers, sizeof(workers), 0), >, 0);
        g_assert_cmpint(flush_priority_receive(&f->priority, fds[1]), ==, -EBADMSG);
        workers[0].n = FLUSH_WORKERS_MAX + 1;
        g_assert_cmpint(send(fds[0], workers, sizeof(workers[0]), 0), >, 0);
        g_assert_cmpint(flush_priority_receive(&f->priority, fds[1]), ==, -EBADMSG);
        g_assert_cmpint(nice_of(last), ==, FLUSH_PRIORITY_NICE);

        (void) close(fds[0]);
        (void) close(fds[1]);
}

#define ADD(path, test) g_test_add("/flush-priority/" path, Fixture, NULL, set_up, test, tear_down)

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);

        if (geteuid() != 0 || !privileges_has(CAP_SYS_NICE)) {
                puts("1..0 # SKIP needs root and CAP_SYS_NICE");
                return EXIT_SUCCESS;
        }

        ADD("raise-and-restore", test_raise_and_restore);
        ADD("others", test_others);
        ADD("changed", test_changed);
        ADD("left-over", test_left_over);
        ADD("hidden", test_hidden);
        ADD("not-restored", test_not_restored);
        ADD("many", test_many);
        ADD("refused", test_refused);
        ADD("datagrams", test_datagrams);

        return g_test_run();
}
