/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The helper process, with real processes that hang, die and are killed. */

#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "child.h"
#include "helper.h"
#include "process-info.h"

/* Far beyond what anything here takes: a wait that ends by it is a failure. */
#define PATIENCE_SEC 20

/* What the processes of one test share. */
typedef struct Shared {
        sem_t serving; /* posted by the helper when it begins to serve */
        sem_t accepts; /* posted by the spawner whenever it has no connection open */
        sem_t ready;   /* posted by a stand-in for the daemon, which then awaits go */
        sem_t go;
        pid_t helper_pid;
} Shared;

typedef struct Fixture {
        sd_event *event;
        Helper *helper;
        Shared *shared;
        unsigned n_replies;
        bool free_in_reply;
        int result;
        GByteArray *reply;
        int attached_fd;

        /* Another program that forks helpers, if there is one. */
        pid_t spawner;
        char *socket_folder, *socket_path;
} Fixture;

static bool is_prepared;

static void prepare(void) {
        is_prepared = true;
}

/* The helper's side: does what the request's first letter says. */
static size_t serve(const void *request, size_t size, void *reply, void *userdata) {
        Fixture *f = userdata;
        char order = size > 0 ? *(const char *) request : 'e';

        (void) sem_post(&f->shared->serving);

        switch (order) {
        case 'h': /* hang */
                for (;;)
                        (void) pause();
        case 'd': /* die */
                _exit(EXIT_FAILURE);
        case 'a': /* attach */
                serve_attach(open("/proc/self/comm", O_RDONLY | O_CLOEXEC));
                return 0;
        case 'p': /* whether the preparation took place */
                *(char *) reply = is_prepared ? 'y' : 'n';
                return 1;
        default: /* echo */
                if (size > 0)
                        memcpy(reply, request, size);
                return size;
        }
}

static void on_reply(int r, const void *reply, size_t size, void *userdata) {
        Fixture *f = userdata;

        f->n_replies++;
        f->result = r;
        g_byte_array_set_size(f->reply, 0);
        if (r >= 0)
                g_byte_array_append(f->reply, reply, (guint) size);
        f->attached_fd = helper_acquire_attached(f->helper);

        if (f->free_in_reply)
                f->helper = helper_free(f->helper);
}

static void await_semaphore(sem_t *semaphore) {
        struct timespec deadline;
        int r;

        (void) clock_gettime(CLOCK_REALTIME, &deadline);
        deadline.tv_sec += PATIENCE_SEC;
        do
                r = sem_timedwait(semaphore, &deadline);
        while (r < 0 && errno == EINTR);
        g_assert_cmpint(r, ==, 0);
}

static void await_replies(Fixture *f, unsigned n) {
        while (f->n_replies < n)
                g_assert_cmpint(sd_event_run(f->event, PATIENCE_SEC * USEC_PER_SEC), >, 0);

        g_assert_cmpuint(f->n_replies, ==, n);
}

static void await_readable(int fd) {
        struct pollfd item = { .fd = fd, .events = POLLIN };

        g_assert_cmpint(poll(&item, 1, PATIENCE_SEC * 1000), ==, 1);
}

/* Waits until a child has ended, and leaves it to be reaped. */
static void await_zombie(pid_t pid) {
        _cleanup_close_ int pidfd = pidfd_open(pid, 0);

        g_assert_cmpint(pidfd, >=, 0);
        await_readable(pidfd);
}

/* The forked helper: the only child besides the program that forks others. 0: there is none. */
static pid_t helper_pid(const Fixture *f) {
        g_autoptr(GArray) children = process_children(getpid(), NULL);
        pid_t found = 0;

        for (guint i = 0; i < children->len; i++) {
                pid_t pid = g_array_index(children, pid_t, i);

                if (pid == f->spawner)
                        continue;
                g_assert_cmpint(found, ==, 0);
                found = pid;
        }
        return found;
}

/* Needs no descriptor. */
static void assert_no_child(void) {
        siginfo_t info;

        g_assert_cmpint(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT | WNOHANG), ==, -1);
        g_assert_cmpint(errno, ==, ECHILD);
}

/* Runs whatever waits in the event loop by now. */
static void run_pending(sd_event *event) {
        int r;

        while ((r = sd_event_run(event, 0)) > 0)
                ;
        g_assert_cmpint(r, ==, 0);
}

static void run_remote(void *userdata) {
        Fixture *f = userdata;

        f->shared->helper_pid = getpid();
        serve_run(serve, f);
}

/* A second process accepts connections, and forks a helper for each. The test knows the last one. */
static void start_spawner(Fixture *f) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        pid_t test = getpid();

        f->socket_folder = g_dir_make_tmp("wbwatch-helper-XXXXXX", NULL);
        g_assert_nonnull(f->socket_folder);
        f->socket_path = g_build_filename(f->socket_folder, "socket", NULL);
        g_assert_cmpint(listen_fd, >=, 0);
        g_assert_cmpint(g_strlcpy(address.sun_path, f->socket_path, sizeof(address.sun_path)), <,
                        sizeof(address.sun_path));
        g_assert_cmpint(bind(listen_fd, (struct sockaddr *) &address, sizeof(address)), ==, 0);
        g_assert_cmpint(listen(listen_fd, 16), ==, 0);

        f->spawner = fork();
        g_assert_cmpint(f->spawner, >=, 0);
        if (f->spawner > 0)
                return;

        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != test)
                _exit(EXIT_FAILURE);
        for (;;) {
                _cleanup_close_ int fd =
                                sem_post(&f->shared->accepts) < 0 ? -EBADF : accept(listen_fd, NULL, NULL);
                const ChildOptions options = {
                        .name = "test-remote",
                        .fd = fd,
                        .outlives_parent = true,
                        .run = run_remote,
                        .userdata = f,
                };
                pid_t pid;

                if (fd < 0 || child_fork(&options, &pid) < 0)
                        _exit(EXIT_FAILURE);
        }
}

static void stop_spawner(Fixture *f) {
        if (f->spawner == 0)
                return;

        (void) kill(f->spawner, SIGKILL);
        (void) unlink(f->socket_path);
        (void) rmdir(f->socket_folder);
        g_free(f->socket_path);
        g_free(f->socket_folder);
}

static void start_remote_helper(Fixture *f) {
        const HelperOptions options = {
                .name = "test-helper",
                .socket_path = f->socket_path,
                .serve = serve,
                .on_reply = on_reply,
                .userdata = f,
        };

        g_assert_cmpint(helper_new_full(f->event, &options, &f->helper), ==, 0);
}

static void fixture_set_up(Fixture *f, gconstpointer data) {
        f->reply = g_byte_array_new();
        f->shared = mmap(NULL, sizeof(*f->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        g_assert_true(f->shared != MAP_FAILED);
        g_assert_cmpint(sem_init(&f->shared->serving, 1, 0), ==, 0);
        g_assert_cmpint(sem_init(&f->shared->accepts, 1, 0), ==, 0);
        g_assert_cmpint(sem_init(&f->shared->ready, 1, 0), ==, 0);
        g_assert_cmpint(sem_init(&f->shared->go, 1, 0), ==, 0);
        g_assert_cmpint(sd_event_new(&f->event), ==, 0);
}

static void fixture_set_up_helper(Fixture *f, gconstpointer data) {
        fixture_set_up(f, data);
        g_assert_cmpint(helper_new(f->event, "test-helper", serve, on_reply, f, &f->helper), ==, 0);
}

static void fixture_tear_down(Fixture *f, gconstpointer data) {
        helper_free(f->helper);
        stop_spawner(f);
        sd_event_unref(f->event);
        (void) munmap(f->shared, sizeof(*f->shared));
        g_byte_array_unref(f->reply);

        /* Whatever still ends is reaped here, so that the next test starts without children. */
        while (waitpid(-1, NULL, 0) > 0)
                ;
}

static void test_request_and_reply(Fixture *f, gconstpointer data) {
        _cleanup_free_ char *request = malloc(HELPER_PACKET_MAX + 1);
        static const size_t sizes[] = { 0, 1, 4096, HELPER_PACKET_MAX };
        pid_t pid = helper_pid(f);

        g_assert_nonnull(request);
        memset(request, 'e', HELPER_PACKET_MAX + 1);

        for (unsigned i = 0; i < ELEMENTSOF(sizes); i++) {
                g_assert_cmpint(helper_request(f->helper, request, sizes[i]), ==, 0);
                await_replies(f, i + 1);
                g_assert_cmpint(f->result, ==, 0);
                g_assert_cmpmem(f->reply->data, f->reply->len, request, sizes[i]);
        }

        g_assert_cmpint(helper_request(f->helper, request, HELPER_PACKET_MAX + 1), ==, -EMSGSIZE);
        g_assert_cmpint(helper_request(f->helper, request, 1), ==, 0);
        await_replies(f, ELEMENTSOF(sizes) + 1);
        g_assert_cmpint(helper_pid(f), ==, pid);
}

static void test_one_at_a_time(Fixture *f, gconstpointer data) {
        g_assert_cmpint(helper_request(f->helper, "first", 5), ==, 0);
        g_assert_cmpint(helper_request(f->helper, "second", 6), ==, -EBUSY);
        await_replies(f, 1);
        g_assert_cmpmem(f->reply->data, f->reply->len, "first", 5);

        g_assert_cmpint(helper_request(f->helper, "third", 5), ==, 0);
        await_replies(f, 2);
        g_assert_cmpmem(f->reply->data, f->reply->len, "third", 5);
}

static void test_long_name(Fixture *f, gconstpointer data) {
        Helper *helper = (Helper *) f;

        g_assert_cmpint(helper_new(f->event, "sixteen letters!", serve, on_reply, f, &helper), ==, -EINVAL);
        g_assert_true(helper == (Helper *) f);
}

static void test_killed_in_a_request(Fixture *f, gconstpointer data) {
        pid_t pid = helper_pid(f);

        g_assert_cmpint(helper_request(f->helper, "hang", 4), ==, 0);
        await_semaphore(&f->shared->serving);
        g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
        await_replies(f, 1);
        g_assert_cmpint(f->result, ==, -EPIPE);

        /* The dead one was reaped, and the next one is there before it is requested. */
        g_assert_cmpint(waitpid(pid, NULL, WNOHANG), ==, -1);
        g_assert_cmpint(helper_pid(f), >, 0);
        g_assert_cmpint(helper_pid(f), !=, pid);
        g_assert_cmpint(helper_request(f->helper, "echo", 4), ==, 0);
        await_replies(f, 2);
        g_assert_cmpmem(f->reply->data, f->reply->len, "echo", 4);

        run_pending(f->event);
        g_assert_cmpuint(f->n_replies, ==, 2);
}

static void test_dies_in_a_request(Fixture *f, gconstpointer data) {
        g_assert_cmpint(helper_request(f->helper, "die", 3), ==, 0);
        await_replies(f, 1);
        g_assert_cmpint(f->result, ==, -EPIPE);

        g_assert_cmpint(helper_request(f->helper, "echo", 4), ==, 0);
        await_replies(f, 2);
        g_assert_cmpint(f->result, ==, 0);
}

static void test_killed_while_idle(Fixture *f, gconstpointer data) {
        pid_t pid = helper_pid(f);

        g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
        while (helper_pid(f) == pid)
                g_assert_cmpint(sd_event_run(f->event, PATIENCE_SEC * USEC_PER_SEC), >, 0);
        g_assert_cmpint(waitpid(pid, NULL, WNOHANG), ==, -1);

        g_assert_cmpint(helper_request(f->helper, "echo", 4), ==, 0);
        await_replies(f, 1);
        g_assert_cmpint(f->result, ==, 0);
}

/* Also faster than the event loop hears of it, and more often than deaths are answered by a new helper. */
static void test_killed_over_and_over(Fixture *f, gconstpointer data) {
        for (unsigned i = 0; i < 50; i++) {
                pid_t pid = helper_pid(f);

                g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
                await_zombie(pid);
                g_assert_cmpint(helper_request(f->helper, "echo", 4), ==, 0);
                await_replies(f, i + 1);
                g_assert_cmpint(f->result, ==, 0);
                g_assert_cmpint(helper_pid(f), !=, pid);
        }
}

static void test_cannot_be_replaced(Fixture *f, gconstpointer data) {
        struct rlimit limit, none;

        g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
        none = limit;
        none.rlim_cur = 0;

        g_assert_cmpint(helper_request(f->helper, "die", 3), ==, 0);
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);
        await_replies(f, 1);
        g_assert_cmpint(f->result, ==, -EPIPE);
        assert_no_child();
        g_assert_cmpint(helper_request(f->helper, "echo", 4), ==, -EMFILE);

        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
        g_assert_cmpint(helper_request(f->helper, "echo", 4), ==, 0);
        await_replies(f, 2);
        g_assert_cmpint(f->result, ==, 0);
}

/* It is there before any request. */
static void test_replaced_later(Fixture *f, gconstpointer data) {
        struct rlimit limit, none;
        pid_t pid;

        g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
        none = limit;
        none.rlim_cur = 0;

        g_assert_cmpint(helper_request(f->helper, "die", 3), ==, 0);
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);
        await_replies(f, 1);
        helper_ensure(f->helper);
        assert_no_child();

        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
        helper_ensure(f->helper);
        pid = helper_pid(f);
        g_assert_cmpint(pid, >, 0);

        helper_ensure(f->helper);
        g_assert_cmpint(helper_request(f->helper, "echo", 4), ==, 0);
        g_assert_cmpint(helper_pid(f), ==, pid);
        await_replies(f, 2);
        g_assert_cmpint(f->result, ==, 0);
}

static void test_reply_before_death(Fixture *f, gconstpointer data) {
        pid_t pid = helper_pid(f);

        g_assert_cmpint(helper_request(f->helper, "echo", 4), ==, 0);

        /* The loop's descriptor is readable: the reply is there. Nothing takes it yet. */
        await_readable(sd_event_get_fd(f->event));
        g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
        await_zombie(pid);

        await_replies(f, 1);
        g_assert_cmpint(f->result, ==, 0);
        g_assert_cmpmem(f->reply->data, f->reply->len, "echo", 4);

        run_pending(f->event);
        g_assert_cmpuint(f->n_replies, ==, 1);
        g_assert_cmpint(helper_pid(f), !=, pid);
}

static void test_freed_in_its_reply(Fixture *f, gconstpointer data) {
        f->free_in_reply = true;
        g_assert_cmpint(helper_request(f->helper, data, strlen(data)), ==, 0);
        await_replies(f, 1);
        g_assert_null(f->helper);
        run_pending(f->event);
}

/* One that has no time to end when it is freed: another helper's helper_ensure() reaps it. */
static void test_freed_before_it_ended(Fixture *f, gconstpointer data) {
        Helper *other;
        pid_t pid = helper_pid(f);

        g_assert_cmpint(helper_new(f->event, "other", serve, on_reply, f, &other), >=, 0);

        g_assert_no_errno(kill(pid, SIGSTOP));
        f->helper = helper_free(f->helper);
        helper_ensure(other);
        g_assert_no_errno(kill(pid, 0));

        g_assert_no_errno(kill(pid, SIGCONT));
        await_zombie(pid);
        helper_ensure(other);
        g_assert_cmpint(kill(pid, 0), <, 0);
        g_assert_cmpint(errno, ==, ESRCH);

        helper_free(other);
}

static void test_freed_while_idle(Fixture *f, gconstpointer data) {
        _cleanup_close_ int pidfd = pidfd_open(helper_pid(f), 0);

        g_assert_cmpint(pidfd, >=, 0);
        f->helper = helper_free(f->helper);
        await_readable(pidfd);
}

/* A second process plays the daemon: its helper hangs in a request, and the test holds pidfds of both. */
static void start_daemon_with_hanging_helper(
                Fixture *f,
                pid_t *ret_pid,
                int *ret_pidfd,
                int *ret_helper_pidfd) {
        pid_t pid = fork();

        g_assert_cmpint(pid, >=, 0);
        if (pid == 0) {
                sd_event *event;
                Helper *helper;

                g_assert_cmpint(sd_event_new(&event), ==, 0);
                g_assert_cmpint(helper_new(event, "test-helper", serve, on_reply, f, &helper), ==, 0);
                g_assert_cmpint(helper_request(helper, "hang", 4), ==, 0);
                await_semaphore(&f->shared->serving);
                f->shared->helper_pid = youngest_child();
                (void) sem_post(&f->shared->ready);
                await_semaphore(&f->shared->go);
                helper_free(helper);
                _exit(EXIT_SUCCESS);
        }

        await_semaphore(&f->shared->ready);
        *ret_pid = pid;
        *ret_pidfd = pidfd_open(pid, 0);
        *ret_helper_pidfd = pidfd_open(f->shared->helper_pid, 0);
        g_assert_cmpint(*ret_pidfd, >=, 0);
        g_assert_cmpint(*ret_helper_pidfd, >=, 0);
}

/* Waits for a process to end, and kills one that does not, so that the failing test leaves nothing behind. */
static bool ends_by_itself(int pidfd, pid_t pid) {
        struct pollfd end = { .fd = pidfd, .events = POLLIN };

        if (poll(&end, 1, PATIENCE_SEC * 1000) == 1)
                return true;

        (void) kill(pid, SIGKILL);
        return false;
}

static void test_hang_holds_up_nobody(Fixture *f, gconstpointer data) {
        _cleanup_close_ int pidfd = -EBADF, helper_pidfd = -EBADF;
        pid_t pid;
        int status;

        start_daemon_with_hanging_helper(f, &pid, &pidfd, &helper_pidfd);
        (void) sem_post(&f->shared->go);

        g_assert_true(ends_by_itself(pidfd, pid));
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_cmpint(status, ==, 0);
        g_assert_true(ends_by_itself(helper_pidfd, f->shared->helper_pid));
}

static void test_dies_with_its_daemon(Fixture *f, gconstpointer data) {
        _cleanup_close_ int pidfd = -EBADF, helper_pidfd = -EBADF;
        pid_t pid;

        start_daemon_with_hanging_helper(f, &pid, &pidfd, &helper_pidfd);
        g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
        g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);

        g_assert_true(ends_by_itself(helper_pidfd, f->shared->helper_pid));
}

static void on_signal(int sig) {
}

/* The value behind "KEY:\t" in /proc/PID/status. */
static char *process_status(pid_t pid, const char *key) {
        g_autofree char *path = g_strdup_printf("/proc/%d/status", pid);
        g_autofree char *text = NULL;
        g_autofree char *start = g_strdup_printf("\n%s:\t", key);
        g_autofree char *value = NULL;

        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        value = g_strconcat("\n", text, NULL);
        g_assert_nonnull(strstr(value, start));
        return g_strndup(
                        strstr(value, start) + strlen(start),
                        strcspn(strstr(value, start) + strlen(start), "\n"));
}

/* What a daemon has open, blocked, handled and ignored is not the helper's. */
static void test_inherits_nothing(Fixture *f, gconstpointer data) {
        g_autofree char *folder = NULL, *name = NULL, *blocked = NULL, *ignored = NULL, *caught = NULL;
        _cleanup_close_ int low = -EBADF, high = -EBADF;
        uint64_t mask;
        sigset_t set, old;
        const char *entry;
        unsigned n = 0;
        GDir *dir;

        low = open("/dev/null", O_RDONLY);
        g_assert_cmpint(low, >, 2);
        high = fcntl(low, F_DUPFD, 900);
        g_assert_cmpint(high, >=, 900);
        g_assert_cmpint(sigfillset(&set), ==, 0);
        g_assert_cmpint(sigprocmask(SIG_SETMASK, &set, &old), ==, 0);
        g_assert_true(signal(SIGUSR1, on_signal) != SIG_ERR);
        g_assert_true(signal(SIGTERM, SIG_IGN) != SIG_ERR);

        g_assert_cmpint(helper_new(f->event, "test-helper", serve, on_reply, f, &f->helper), ==, 0);
        g_assert_cmpint(helper_request(f->helper, "echo", 4), ==, 0);
        await_replies(f, 1);

        g_assert_true(signal(SIGUSR1, SIG_DFL) != SIG_ERR);
        g_assert_true(signal(SIGTERM, SIG_DFL) != SIG_ERR);
        g_assert_cmpint(sigprocmask(SIG_SETMASK, &old, NULL), ==, 0);

        folder = g_strdup_printf("/proc/%d/fd", helper_pid(f));
        dir = g_dir_open(folder, 0, NULL);
        g_assert_nonnull(dir);
        while ((entry = g_dir_read_name(dir))) {
                g_assert_cmpint(atoi(entry), <=, 3);
                n++;
        }
        g_dir_close(dir);
        g_assert_cmpuint(n, >=, 1);

        name = process_status(helper_pid(f), "Name");
        blocked = process_status(helper_pid(f), "SigBlk");
        ignored = process_status(helper_pid(f), "SigIgn");
        caught = process_status(helper_pid(f), "SigCgt");
        g_assert_cmpstr(name, ==, "test-helper");
        g_assert_cmpstr(blocked, ==, "0000000000000000");
        g_assert_cmpstr(caught, ==, "0000000000000000");
        mask = g_ascii_strtoull(ignored, NULL, 16);
        g_assert_cmphex(mask, ==, (1U << (SIGINT - 1)) | (1U << (SIGHUP - 1)));
}

static void test_passes_a_descriptor(Fixture *f, gconstpointer data) {
        char name[32];

        g_assert_cmpint(helper_request(f->helper, "attach", 6), ==, 0);
        await_replies(f, 1);
        g_assert_cmpint(f->attached_fd, >=, 0);
        g_assert_cmpint(read(f->attached_fd, name, sizeof(name)), ==, strlen("test-helper\n"));
        g_assert_cmpint(close(f->attached_fd), ==, 0);

        g_assert_cmpint(helper_request(f->helper, "echo", 4), ==, 0);
        await_replies(f, 2);
        g_assert_cmpint(f->attached_fd, <, 0);
}

static void test_prepares(Fixture *f, gconstpointer data) {
        const HelperOptions options = {
                .name = "test-helper",
                .serve = serve,
                .prepare = prepare,
                .on_reply = on_reply,
                .userdata = f,
        };

        g_assert_cmpint(helper_new_full(f->event, &options, &f->helper), ==, 0);
        g_assert_cmpint(helper_request(f->helper, "prepared", 8), ==, 0);
        await_replies(f, 1);
        g_assert_cmpmem(f->reply->data, f->reply->len, "y", 1);
        g_assert_false(is_prepared);
}

static void test_remote(Fixture *f, gconstpointer data) {
        _cleanup_close_ int pidfd = -EBADF;

        start_spawner(f);
        start_remote_helper(f);
        g_assert_true(helper_is_remote(f->helper));
        g_assert_cmpint(helper_pid(f), ==, 0);

        g_assert_cmpint(helper_request(f->helper, "echo", 4), ==, 0);
        await_replies(f, 1);
        g_assert_cmpint(f->result, ==, 0);
        g_assert_cmpmem(f->reply->data, f->reply->len, "echo", 4);

        /* It ends with its connection. */
        pidfd = pidfd_open(f->shared->helper_pid, 0);
        g_assert_cmpint(pidfd, >=, 0);
        f->helper = helper_free(f->helper);
        await_readable(pidfd);
}

/* In a request, and while idle; and the next request gets another one. */
static void test_remote_killed(Fixture *f, gconstpointer data) {
        pid_t pid;

        start_spawner(f);
        start_remote_helper(f);
        g_assert_cmpint(helper_request(f->helper, "hang", 4), ==, 0);
        await_semaphore(&f->shared->serving);
        pid = f->shared->helper_pid;
        g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
        await_replies(f, 1);
        g_assert_cmpint(f->result, ==, -EPIPE);
        g_assert_false(helper_is_remote(f->helper));

        helper_ensure(f->helper);
        g_assert_true(helper_is_remote(f->helper));
        g_assert_cmpint(helper_request(f->helper, "echo", 4), ==, 0);
        await_replies(f, 2);
        g_assert_cmpint(f->result, ==, 0);
        g_assert_cmpint(f->shared->helper_pid, !=, pid);

        /* Nobody else has the helper's end of the connection open any more. */
        for (unsigned i = 0; i < 3; i++)
                await_semaphore(&f->shared->accepts);

        /* Before the event loop hears of it. */
        {
                _cleanup_close_ int pidfd = pidfd_open(f->shared->helper_pid, 0);

                g_assert_cmpint(kill(f->shared->helper_pid, SIGKILL), ==, 0);
                await_readable(pidfd);
        }
        g_assert_cmpint(helper_request(f->helper, "echo", 4), ==, 0);
        await_replies(f, 3);
        g_assert_cmpint(f->result, ==, 0);
}

/* Then it is forked, and so is the next one of a program that ended. */
static void test_nobody_listens(Fixture *f, gconstpointer data) {
        start_spawner(f);
        start_remote_helper(f);
        g_assert_cmpint(kill(f->spawner, SIGKILL), ==, 0);
        await_zombie(f->spawner);
        g_assert_cmpint(helper_request(f->helper, "die", 3), ==, 0);
        await_replies(f, 1);
        g_assert_cmpint(f->result, ==, -EPIPE);

        g_assert_cmpint(helper_request(f->helper, "echo", 4), ==, 0);
        await_replies(f, 2);
        g_assert_cmpint(f->result, ==, 0);
        g_assert_false(helper_is_remote(f->helper));
}

#define ADD(path, data, set_up, test)                                                                        \
        g_test_add("/" path, Fixture, data, fixture_##set_up, test, fixture_tear_down)

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);

        /* A helper that outlives its daemon comes to this process, which reaps it. */
        g_assert_cmpint(prctl(PR_SET_CHILD_SUBREAPER, 1), ==, 0);

        ADD("helper/request-and-reply", NULL, set_up_helper, test_request_and_reply);
        ADD("helper/one-at-a-time", NULL, set_up_helper, test_one_at_a_time);
        ADD("helper/long-name", NULL, set_up, test_long_name);
        ADD("helper/killed-in-a-request", NULL, set_up_helper, test_killed_in_a_request);
        ADD("helper/dies-in-a-request", NULL, set_up_helper, test_dies_in_a_request);
        ADD("helper/killed-while-idle", NULL, set_up_helper, test_killed_while_idle);
        ADD("helper/killed-over-and-over", NULL, set_up_helper, test_killed_over_and_over);
        ADD("helper/cannot-be-replaced", NULL, set_up_helper, test_cannot_be_replaced);
        ADD("helper/replaced-later", NULL, set_up_helper, test_replaced_later);
        ADD("helper/reply-before-death", NULL, set_up_helper, test_reply_before_death);
        ADD("helper/freed-in-its-reply", "echo", set_up_helper, test_freed_in_its_reply);
        ADD("helper/freed-in-its-death", "die", set_up_helper, test_freed_in_its_reply);
        ADD("helper/freed-while-idle", NULL, set_up_helper, test_freed_while_idle);
        ADD("helper/freed-before-it-ended", NULL, set_up_helper, test_freed_before_it_ended);
        ADD("helper/hang-holds-up-nobody", NULL, set_up, test_hang_holds_up_nobody);
        ADD("helper/dies-with-its-daemon", NULL, set_up, test_dies_with_its_daemon);
        ADD("helper/inherits-nothing", NULL, set_up, test_inherits_nothing);
        ADD("helper/passes-a-descriptor", NULL, set_up_helper, test_passes_a_descriptor);
        ADD("helper/prepares", NULL, set_up, test_prepares);
        ADD("helper/remote", NULL, set_up, test_remote);
        ADD("helper/remote-killed", NULL, set_up, test_remote_killed);
        ADD("helper/nobody-listens", NULL, set_up, test_nobody_listens);

        return g_test_run();
}
