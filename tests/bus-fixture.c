/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A bus of our own, with the daemon and its clients: see bus-fixture.h.
 *
 * GDBus serves as a transport only: a filter takes each message as it comes, in its worker thread, and keeps
 * it. So a test sees what came in which order, and waits for it without a main loop. That it is another
 * implementation of D-Bus than the daemon's is welcome.
 */

#include "bus-fixture.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

/* Before a call is made again for which the daemon's queue was too full. */
#define QUEUE_FULL_PAUSE_USEC (10 * 1000)

/* All folders that polkitd reads: it has no option for others. */
static const char *const polkit_folders[] = {
        "/usr/share/polkit-1/actions",
        "/usr/share/polkit-1/rules.d",
        "/etc/polkit-1/rules.d",
};

/* The kernel sends thread creation events in the host's network namespace only. */
static int host_network_fd = -EBADF;

/* ---- the surroundings ---- */

/* Puts a file with more lines over one of the system's, in our mount namespace only. */
static void extend_file(const char *path, const char *lines) {
        g_autofree char *text = NULL, *longer = NULL, *name = g_path_get_basename(path);
        g_autofree char *copy = g_build_filename(g_get_tmp_dir(), name, NULL);

        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        longer = g_strconcat(text, lines, NULL);
        g_assert_true(g_file_set_contents(copy, longer, -1, NULL));
        g_assert_cmpint(chmod(copy, 0644), ==, 0);
        g_assert_cmpint(mount(copy, path, NULL, MS_BIND, NULL), ==, 0);
}

bool fixture_isolate(void) {
        if (geteuid() != 0) {
                puts("1..0 # SKIP needs root, for a bus with many users");
                return false;
        }

        /* Over /run, so that the services of this machine are not met there either. */
        host_network_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        if (host_network_fd < 0 || unshare(CLONE_NEWNS | CLONE_NEWNET) < 0 ||
            mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") < 0) {
                printf("1..0 # SKIP needs namespaces: %s\n", g_strerror(errno));
                return false;
        }
        g_setenv("TMPDIR", "/run", true);
        (void) umask(0022);

        /* Our policies name the user that the package makes. */
        if (!getpwnam("wbwatch")) {
                extend_file("/etc/passwd", "wbwatch:x:64123:64123::/:/usr/sbin/nologin\n");
                extend_file("/etc/group", "wbwatch:x:64123:\n");
        }

        return true;
}

char *fixture_source_file(const char *name) {
        const char *root = g_getenv("WBWATCH_SOURCE_DIR");

        g_assert_nonnull(root);
        return g_build_filename(root, name, NULL);
}

static int milliseconds_left(const BusFixture *fixture) {
        return (int) MAX((fixture->deadline_usec - g_get_monotonic_time()) / 1000, 0);
}

/* ---- processes ---- */

typedef struct Cradle {
        pid_t parent;
        uid_t uid;
        gid_t gid;
        bool on_host_network;
} Cradle;

/* Runs in the child before the exec. The user first: its change takes the death signal away. */
static void set_up_child(gpointer data) {
        const Cradle *cradle = data;

        if (cradle->on_host_network && setns(host_network_fd, CLONE_NEWNET) < 0)
                _exit(EXIT_FAILURE);
        if (cradle->uid != UID_ROOT &&
            (setgroups(0, NULL) < 0 || setresgid(cradle->gid, cradle->gid, cradle->gid) < 0 ||
             setresuid(cradle->uid, cradle->uid, cradle->uid) < 0))
                _exit(EXIT_FAILURE);
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != cradle->parent)
                _exit(EXIT_FAILURE);
}

static gid_t group_of(uid_t uid) {
        const struct passwd *user = getpwuid(uid);

        g_assert_nonnull(user);
        return user->pw_gid;
}

/* What it prints is dropped unless a pipe for it is asked for: our own stdout is for TAP. */
static Process process_start(
                char **arguments,
                char **environment,
                const Cradle *cradle,
                int *ret_stdout,
                int *ret_stderr) {
        GSpawnFlags flags = G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_SEARCH_PATH;
        g_autoptr(GError) error = NULL;
        Process process = {};

        if (!ret_stdout)
                flags |= G_SPAWN_STDOUT_TO_DEV_NULL;
        (void) g_spawn_async_with_pipes(
                        NULL, arguments, environment, flags, set_up_child, (gpointer) cradle, &process.pid,
                        NULL, ret_stdout, ret_stderr, &error);
        g_assert_no_error(error);

        process.pidfd = pidfd_open(process.pid, 0);
        g_assert_cmpint(process.pidfd, >=, 0);
        return process;
}

void fixture_set_realtime(pid_t pid, bool realtime) {
        const struct sched_param parameter = { .sched_priority = realtime ? 2 : 0 };
        g_autofree char *path = g_strdup_printf("/proc/%d/task", (int) pid);
        g_autoptr(GDir) tasks = g_dir_open(path, 0, NULL);
        const char *task;

        g_assert_nonnull(tasks);
        while ((task = g_dir_read_name(tasks)))
                g_assert_no_errno(sched_setscheduler(
                                atoi(task), realtime ? SCHED_FIFO : SCHED_OTHER, &parameter));
}

static int process_wait_end(const BusFixture *fixture, Process *process) {
        struct pollfd death = { .fd = process->pidfd, .events = POLLIN };
        int status;

        if (poll(&death, 1, milliseconds_left(fixture)) != 1)
                g_error("process %d does not end", (int) process->pid);

        g_assert_cmpint(waitpid(process->pid, &status, 0), ==, process->pid);
        (void) close(process->pidfd);
        *process = (Process){};
        return status;
}

static void process_kill(const BusFixture *fixture, Process *process) {
        if (process->pid == 0)
                return;

        g_assert_cmpint(kill(process->pid, SIGKILL), ==, 0);
        (void) process_wait_end(fixture, process);
}

/* ---- the bus and polkit ---- */

static void write_file(const char *path, const char *text) {
        g_autoptr(GError) error = NULL;

        (void) g_file_set_contents(path, text, -1, &error);
        g_assert_no_error(error);
        g_assert_cmpint(chmod(path, 0644), ==, 0);
}

static char *bus_config_file(const BusFixture *fixture) {
        return g_build_filename(fixture->folder, "bus.conf", NULL);
}

static void write_bus_config(const BusFixture *fixture, bool with_policy) {
        g_autofree char *policy = fixture_source_file("dbus/org.wbwatch1.conf");
        g_autofree char *include = with_policy ? g_strdup_printf("<include>%s</include>", policy) : NULL;
        g_autofree char *config = bus_config_file(fixture);
        g_autofree char *text = g_strdup_printf(
                        "<!DOCTYPE busconfig PUBLIC '-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN'"
                        " 'http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd'>\n"
                        "<busconfig>\n"
                        "<type>system</type><listen>%s</listen><auth>EXTERNAL</auth>\n"
                        "<policy context='default'>\n"
                        "  <allow user='*'/><deny own='*'/><deny send_type='method_call'/>\n"
                        "  <allow send_type='signal'/>\n"
                        "  <allow receive_type='method_call'/><allow receive_type='method_return'/>\n"
                        "  <allow receive_type='error'/><allow receive_type='signal'/>\n"
                        "  <allow send_requested_reply='true' send_type='method_return'/>\n"
                        "  <allow send_requested_reply='true' send_type='error'/>\n"
                        "  <allow send_destination='org.freedesktop.DBus'"
                        " send_interface='org.freedesktop.DBus'/>\n"
                        "</policy>\n"
                        "<include ignore_missing='yes'>"
                        "/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf</include>\n"
                        "%s\n"
                        "</busconfig>\n",
                        fixture->bus_address, include ?: "");

        write_file(config, text);
}

static void start_bus(BusFixture *fixture, bool with_policy) {
        g_autofree char *config = bus_config_file(fixture);
        g_autofree char *option = g_strconcat("--config-file=", config, NULL);
        const char *arguments[] = {
                "dbus-daemon", option, "--nofork", "--nopidfile", "--nosyslog", "--print-address", NULL,
        };
        const Cradle cradle = { .parent = getpid() };
        struct pollfd printed = { .events = POLLIN };
        char address[256];

        write_bus_config(fixture, with_policy);
        fixture->bus = process_start((char **) arguments, NULL, &cradle, &printed.fd, NULL);

        /* It prints its address once it listens. */
        if (poll(&printed, 1, milliseconds_left(fixture)) != 1 ||
            read(printed.fd, address, sizeof(address)) <= 0)
                g_error("the bus does not start");
        (void) close(printed.fd);
}

void fixture_start_bus(BusFixture *fixture) {
        start_bus(fixture, /* with_policy= */ true);
}

void fixture_start_silent_bus(BusFixture *fixture) {
        _cleanup_close_ int errors = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        _cleanup_close_ int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

        g_assert_cmpint(dup2(nowhere, STDERR_FILENO), ==, STDERR_FILENO);
        fixture_start_bus(fixture);
        g_assert_cmpint(dup2(errors, STDERR_FILENO), ==, STDERR_FILENO);
}

void fixture_start_bus_without_policy(BusFixture *fixture) {
        start_bus(fixture, /* with_policy= */ false);
}

void fixture_install_policy(BusFixture *fixture) {
        _cleanup_client_ Client *client = client_new(fixture, UID_ROOT);

        write_bus_config(fixture, /* with_policy= */ true);
        (void) reply_content(client_ask(client, DBUS_NAME, DBUS_PATH, DBUS_NAME, "ReloadConfig", NULL));
}

void fixture_stop_bus(BusFixture *fixture) {
        process_kill(fixture, &fixture->bus);
}

void fixture_hold_bus(BusFixture *fixture, bool hold) {
        g_assert_cmpint(kill(fixture->bus.pid, hold ? SIGSTOP : SIGCONT), ==, 0);
}

/* Binds an empty folder over each that polkitd reads. */
static void hide_polkit_folders(const BusFixture *fixture) {
        for (size_t i = 0; i < ELEMENTSOF(polkit_folders); i++) {
                g_autofree char *folder = g_build_filename(fixture->folder, "polkit-XXXXXX", NULL);

                g_assert_nonnull(g_mkdtemp_full(folder, 0755));
                g_assert_cmpint(mount(folder, polkit_folders[i], NULL, MS_BIND, NULL), ==, 0);
        }
}

void fixture_start_polkit(BusFixture *fixture, const char *rules) {
        g_autofree char *policy = fixture_source_file("polkit/org.wbwatch1.policy"), *text = NULL;
        /* It changes its user, and that takes the signal away by which it would die with us. So it lives in a
         * pid namespace, whose first process is a shell that keeps the signal. */
        const char *arguments[] = {
                "unshare",
                "--pid",
                "--fork",
                "--kill-child",
                "sh",
                "-c",
                "/usr/lib/polkit-1/polkitd --no-debug & wait",
                NULL,
        };
        g_auto(GStrv) environment = g_get_environ();
        const Cradle cradle = { .parent = getpid() };

        hide_polkit_folders(fixture);
        g_assert_true(g_file_get_contents(policy, &text, NULL, NULL));
        write_file("/usr/share/polkit-1/actions/org.wbwatch1.policy", text);
        if (rules)
                write_file("/etc/polkit-1/rules.d/10-test.rules", rules);

        environment = g_environ_setenv(environment, "DBUS_SYSTEM_BUS_ADDRESS", fixture->bus_address, true);
        fixture->polkit = process_start((char **) arguments, environment, &cradle, NULL, NULL);

        _cleanup_client_ Client *client = client_new(fixture, UID_ROOT);
        g_free(client_wait_owner(client, POLKIT_NAME));
}

void fixture_stop_polkit(BusFixture *fixture) {
        if (fixture->polkit.pid == 0)
                return;

        process_kill(fixture, &fixture->polkit);
        for (size_t i = 0; i < ELEMENTSOF(polkit_folders); i++)
                g_assert_cmpint(umount2(polkit_folders[i], MNT_DETACH), ==, 0);
}

/* ---- the daemon ---- */

static void drain_notify(const BusFixture *fixture) {
        char message[4096];

        while (recv(fixture->notify_fd, message, sizeof(message), MSG_DONTWAIT) >= 0)
                ;
}

void fixture_wait_notify(BusFixture *fixture, const char *text) {
        struct pollfd message = { .fd = fixture->notify_fd, .events = POLLIN };
        g_autoptr(GString) all = g_string_new(NULL);

        while (poll(&message, 1, milliseconds_left(fixture)) == 1) {
                char buffer[4096];
                ssize_t n = recv(fixture->notify_fd, buffer, sizeof(buffer) - 1, 0);

                g_assert_cmpint(n, >=, 0);
                buffer[n] = '\0';
                if (strstr(buffer, text))
                        return;
                g_string_append_printf(all, "  %s\n", buffer);
        }

        g_error("the daemon does not say \"%s\" to the service manager, but\n%s", text, all->str);
}

/* Until the daemon and its helpers are gone. What was logged is shown, too. */
static gpointer read_log(gpointer userdata) {
        BusFixture *fixture = userdata;
        char buffer[4096];
        ssize_t n;

        while ((n = read(fixture->log_fd, buffer, sizeof(buffer))) > 0) {
                g_mutex_lock(&fixture->log_lock);
                g_string_append_len(fixture->log, buffer, n);
                g_cond_broadcast(&fixture->log_more);
                g_mutex_unlock(&fixture->log_lock);
                (void) fwrite(buffer, 1, (size_t) n, stderr);
        }

        return NULL;
}

void fixture_wait_log(BusFixture *fixture, const char *text) {
        bool in_time = true, found = false;

        g_mutex_lock(&fixture->log_lock);
        while (!(found = strstr(fixture->log->str, text)) && in_time)
                in_time = g_cond_wait_until(&fixture->log_more, &fixture->log_lock, fixture->deadline_usec);
        g_mutex_unlock(&fixture->log_lock);

        if (!found)
                g_error("the daemon does not log \"%s\"", text);
}

/* The program to start. Another user may not reach the build folder, below root's home: then a copy. */
static char *daemon_program(const BusFixture *fixture) {
        const char *wbwatchd = g_getenv("WBWATCHD");
        g_autofree char *copy = g_build_filename(fixture->folder, "wbwatchd", NULL);
        g_autoptr(GFile) original = NULL, target = g_file_new_for_path(copy);
        g_autoptr(GError) error = NULL;

        g_assert_nonnull(wbwatchd);
        if (fixture->daemon_uid == UID_ROOT)
                return g_strdup(wbwatchd);

        original = g_file_new_for_path(wbwatchd);
        (void) g_file_copy(original, target, G_FILE_COPY_OVERWRITE, NULL, NULL, NULL, &error);
        g_assert_no_error(error);
        g_assert_cmpint(chmod(copy, 0755), ==, 0);
        return g_steal_pointer(&copy);
}

/* AddressSanitizer wants to be the first library, and need not be. */
static char **preload_library(char **environment, const char *library) {
        g_autofree char *options =
                        g_strconcat(g_environ_getenv(environment, "ASAN_OPTIONS") ?: "",
                                    ":verify_asan_link_order=0", NULL);

        environment = g_environ_setenv(environment, "ASAN_OPTIONS", options, true);
        return g_environ_setenv(environment, "LD_PRELOAD", library, true);
}

void fixture_start_daemon(BusFixture *fixture, ...) {
        g_autoptr(GPtrArray) arguments = g_ptr_array_new();
        g_auto(GStrv) environment = g_get_environ();
        g_autofree char *notify = g_build_filename(fixture->folder, "notify", NULL);
        g_autofree char *wbwatchd = daemon_program(fixture);
        const char *argument;
        const Cradle cradle = {
                .parent = getpid(),
                .uid = fixture->daemon_uid,
                .gid = group_of(fixture->daemon_uid),
                .on_host_network = fixture->netlink,
        };
        va_list list;

        g_ptr_array_add(arguments, wbwatchd);
        g_ptr_array_add(arguments, (char *) "--proc-root");
        g_ptr_array_add(arguments, fixture->proc.root);
        g_ptr_array_add(arguments, (char *) "--config");
        g_ptr_array_add(arguments, fixture->config);
        va_start(list, fixture);
        while ((argument = va_arg(list, const char *)))
                g_ptr_array_add(arguments, (char *) argument);
        va_end(list);
        g_ptr_array_add(arguments, NULL);

        environment = g_environ_setenv(environment, "DBUS_SYSTEM_BUS_ADDRESS", fixture->bus_address, true);
        environment = g_environ_setenv(environment, "STATE_DIRECTORY", fixture->state_directory, true);
        environment = g_environ_setenv(environment, "NOTIFY_SOCKET", notify, true);
        environment = g_environ_unsetenv(environment, "WATCHDOG_USEC");
        if (fixture->preload)
                environment = preload_library(environment, fixture->preload);

        drain_notify(fixture);
        fixture->daemon = process_start(
                        (char **) arguments->pdata, environment, &cradle, NULL, &fixture->log_fd);
        fixture->log_reader = g_thread_new("log", read_log, fixture);
        fixture_wait_notify(fixture, "READY=1");
}

void fixture_stop_daemon(BusFixture *fixture) {
        g_assert_cmpint(kill(fixture->daemon.pid, SIGTERM), ==, 0);
        g_assert_cmpint(process_wait_end(fixture, &fixture->daemon), ==, 0);
        (void) g_thread_join(fixture->log_reader);
        (void) close(fixture->log_fd);
}

void fixture_kill_daemon(BusFixture *fixture) {
        process_kill(fixture, &fixture->daemon);
        (void) g_thread_join(fixture->log_reader);
        (void) close(fixture->log_fd);
}

void fixture_reload_daemon(BusFixture *fixture) {
        drain_notify(fixture);
        g_assert_cmpint(kill(fixture->daemon.pid, SIGHUP), ==, 0);
        fixture_wait_notify(fixture, "RELOADING=1");
        fixture_wait_notify(fixture, "READY=1");
}

void fixture_write_config(BusFixture *fixture, const char *text) {
        write_file(fixture->config, text);
}

static bool is_child_called(const char *pid, pid_t parent, const char *name) {
        g_autofree char *path = g_strdup_printf("/proc/%s/stat", pid), *text = NULL;
        g_autofree char *in_brackets = g_strdup_printf("(%s)", name);
        const char *found;
        int parent_found;
        char state;

        if (!g_file_get_contents(path, &text, NULL, NULL))
                return false;

        found = strstr(text, in_brackets);
        return found && sscanf(found + strlen(in_brackets), " %c %d", &state, &parent_found) == 2 &&
               parent_found == parent;
}

/* Calls the function for each of the daemon's helpers of that name, and counts them. */
static unsigned for_each_helper(
                const BusFixture *fixture,
                const char *name,
                void (*function)(pid_t pid, void *userdata),
                void *userdata) {
        g_autoptr(GDir) proc = g_dir_open("/proc", 0, NULL);
        const char *entry;
        unsigned n = 0;

        g_assert_nonnull(proc);
        while ((entry = g_dir_read_name(proc)))
                if (g_ascii_isdigit(entry[0]) && is_child_called(entry, fixture->daemon.pid, name)) {
                        function(atoi(entry), userdata);
                        n++;
                }

        return n;
}

static void set_pid(pid_t pid, void *userdata) {
        *(pid_t *) userdata = pid;
}

pid_t fixture_find_helper(const BusFixture *fixture, const char *name) {
        pid_t pid = 0;

        (void) for_each_helper(fixture, name, set_pid, &pid);
        return pid;
}

pid_t fixture_helper_pid(const BusFixture *fixture, const char *name) {
        pid_t pid = fixture_find_helper(fixture, name);

        if (pid == 0)
                g_error("the daemon has no child called %s", name);
        return pid;
}

static void append_pid(pid_t pid, void *userdata) {
        g_array_append_val((GArray *) userdata, pid);
}

GArray *fixture_helper_pids(const BusFixture *fixture, const char *name) {
        GArray *pids = g_array_new(false, false, sizeof(pid_t));

        (void) for_each_helper(fixture, name, append_pid, pids);
        return pids;
}

static void send_signal_to(pid_t pid, void *userdata) {
        g_assert_cmpint(kill(pid, *(const int *) userdata), ==, 0);
}

void fixture_signal_helper(const BusFixture *fixture, const char *name, int sig) {
        if (for_each_helper(fixture, name, send_signal_to, &sig) == 0)
                g_error("the daemon has no child called %s", name);
}

void fixture_add_worker(BusFixture *fixture) {
        g_autofree char *pids = g_strdup_printf("%d ", WORKER_PID);
        g_autofree char *stat = fake_proc_stat_text(WORKER_PID, WORKER_NAME, FLAGS_WORKER, WORKER_START_TIME);

        strrchr(stat, ')')[2] = 'R';
        fake_proc_write_comm(&fixture->proc, WORKER_PID, WORKER_NAME);
        fake_proc_write_stat(&fixture->proc, WORKER_PID, stat, strlen(stat));
        fake_proc_list(&fixture->proc, pids);
}

void fixture_remove_worker(BusFixture *fixture) {
        g_autofree char *stat = g_strdup_printf("%d/stat", WORKER_PID);
        g_autofree char *comm = g_strdup_printf("%d/comm", WORKER_PID);

        fake_proc_list(&fixture->proc, "");
        fake_proc_remove(&fixture->proc, stat);
        fake_proc_remove(&fixture->proc, comm);
}

/* ---- set up and tear down ---- */

static int open_notify_socket(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd;

        g_assert_cmpuint(
                        g_strlcpy(address.sun_path, path, sizeof(address.sun_path)), <,
                        sizeof(address.sun_path));
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(bind(fd, (const struct sockaddr *) &address, sizeof(address)), ==, 0);
        g_assert_cmpint(chmod(path, 0666), ==, 0);
        return fd;
}

void fixture_set_up(BusFixture *fixture, gconstpointer data) {
        g_autofree char *notify = NULL;

        fixture->deadline_usec = g_get_monotonic_time() + FIXTURE_TIMEOUT_SEC * G_USEC_PER_SEC;

        fixture->folder = g_dir_make_tmp("wbwatch-bus-XXXXXX", NULL);
        g_assert_nonnull(fixture->folder);
        g_assert_cmpint(chmod(fixture->folder, 0755), ==, 0);

        fixture->bus_address = g_strdup_printf("unix:path=%s/bus", fixture->folder);
        fixture->config = g_build_filename(fixture->folder, "wbwatch.conf", NULL);
        fixture->state_directory = g_build_filename(fixture->folder, "state", NULL);
        notify = g_build_filename(fixture->folder, "notify", NULL);
        fixture->notify_fd = open_notify_socket(notify);
        fixture_write_config(fixture, "");

        fixture->log = g_string_new(NULL);
        g_mutex_init(&fixture->log_lock);
        g_cond_init(&fixture->log_more);

        fixture->proc = fake_proc_new();
        g_assert_cmpint(chmod(fixture->proc.root, 0755), ==, 0);
}

/* The folders go with their filesystem, which is this program's own. */
void fixture_tear_down(BusFixture *fixture, gconstpointer data) {
        if (fixture->daemon.pid > 0)
                fixture_stop_daemon(fixture);
        fixture_stop_polkit(fixture);
        fixture_stop_bus(fixture);

        (void) close(fixture->notify_fd);
        fake_proc_done(&fixture->proc);
        (void) g_string_free(fixture->log, true);
        g_cond_clear(&fixture->log_more);
        g_mutex_clear(&fixture->log_lock);
        g_free(fixture->state_directory);
        g_free(fixture->config);
        g_free(fixture->bus_address);
        g_free(fixture->folder);
}

/* ---- clients ---- */

struct Client {
        BusFixture *fixture;
        GDBusConnection *connection;
        guint filter;
        bool filter_gone;
        bool interactive;

        GMutex lock; /* of what the worker thread adds to */
        GCond more;
        GPtrArray *messages;

        size_t next_signal; /* behind the last one waited for */
        size_t next_call;
};

/* Runs in GDBus's worker thread. It gets no message itself. */
static GDBusMessage *on_message(
                GDBusConnection *connection,
                GDBusMessage *message,
                gboolean incoming,
                gpointer userdata) {
        Client *client = userdata;

        if (!incoming)
                return message;

        g_mutex_lock(&client->lock);
        g_ptr_array_add(client->messages, message);
        g_cond_broadcast(&client->more);
        g_mutex_unlock(&client->lock);
        return NULL;
}

static void on_filter_gone(gpointer userdata) {
        Client *client = userdata;

        client->filter_gone = true;
}

/* The bus learns the user from the socket: it counts who connects. */
static GDBusConnection *connect_as(const char *address, uid_t uid) {
        g_autoptr(GError) error = NULL;
        GDBusConnection *connection;

        g_assert_cmpint(setegid(group_of(uid)), ==, 0);
        g_assert_cmpint(seteuid(uid), ==, 0);
        connection = g_dbus_connection_new_for_address_sync(
                        address,
                        G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                        G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
                        NULL, NULL, &error);
        g_assert_cmpint(seteuid(UID_ROOT), ==, 0);
        g_assert_cmpint(setegid(0), ==, 0);

        g_assert_no_error(error);
        return connection;
}

static GVariant *client_call_bus(Client *client, const char *member, GVariant *arguments) {
        guint32 serial = client_send(client, DBUS_NAME, DBUS_PATH, DBUS_NAME, member, arguments);

        return reply_content(client_wait_reply(client, serial));
}

Client *client_new(BusFixture *fixture, uid_t uid) {
        static const char *const rules[] = {
                "type='signal',sender='" BUS_NAME "'",
                "type='signal',sender='" DBUS_NAME "',member='NameOwnerChanged'",
        };
        Client *client = g_new0(Client, 1);

        client->fixture = fixture;
        client->messages = g_ptr_array_new_with_free_func(g_object_unref);
        g_mutex_init(&client->lock);
        g_cond_init(&client->more);

        client->connection = connect_as(fixture->bus_address, uid);
        client->filter = g_dbus_connection_add_filter(client->connection, on_message, client, on_filter_gone);

        for (size_t i = 0; i < ELEMENTSOF(rules); i++)
                (void) client_call_bus(client, "AddMatch", g_variant_new("(s)", rules[i]));
        return client;
}

Client *client_free(Client *client) {
        if (!client)
                return NULL;

        /* Fails when the bus has gone already. */
        (void) g_dbus_connection_close_sync(client->connection, NULL, NULL);
        g_dbus_connection_remove_filter(client->connection, client->filter);
        while (!client->filter_gone)
                (void) g_main_context_iteration(NULL, true);
        g_object_unref(client->connection);

        g_ptr_array_unref(client->messages);
        g_cond_clear(&client->more);
        g_mutex_clear(&client->lock);
        g_free(client);
        return NULL;
}

const char *client_unique_name(const Client *client) {
        return g_dbus_connection_get_unique_name(client->connection);
}

void client_allow_interaction(Client *client, bool allow) {
        client->interactive = allow;
}

/* ---- what came ---- */

typedef bool (*message_match_t)(GDBusMessage *message, const void *data);

static void describe_message(GString *text, GDBusMessage *message) {
        GVariant *body = g_dbus_message_get_body(message);
        g_autofree char *content = body ? g_variant_print(body, true) : NULL;

        g_string_append_printf(
                        text, "  %s %s %s\n", g_dbus_message_get_sender(message) ?: "",
                        g_dbus_message_get_member(message) ?: g_dbus_message_get_error_name(message) ?: "reply",
                        content ?: "");
}

/* Waits for the first message from *index on that matches; *index is behind it then. */
static GDBusMessage *client_wait(
                Client *client,
                size_t *index,
                message_match_t match,
                const void *data,
                const char *what) {
        g_autoptr(GString) text = NULL;
        GDBusMessage *found = NULL;
        bool in_time = true;

        g_mutex_lock(&client->lock);
        while (!found && in_time) {
                for (; !found && *index < client->messages->len; (*index)++)
                        if (match(client->messages->pdata[*index], data))
                                found = client->messages->pdata[*index];
                if (!found)
                        in_time = g_cond_wait_until(
                                        &client->more, &client->lock, client->fixture->deadline_usec);
        }
        if (!found) {
                text = g_string_new(NULL);
                for (size_t i = 0; i < client->messages->len; i++)
                        describe_message(text, client->messages->pdata[i]);
        }
        g_mutex_unlock(&client->lock);

        if (!found)
                g_error("%s does not come, but only\n%s", what, text->str);
        return found;
}

size_t client_count_messages(Client *client) {
        size_t n;

        g_mutex_lock(&client->lock);
        n = client->messages->len;
        g_mutex_unlock(&client->lock);
        return n;
}

static GDBusMessage *client_message(Client *client, size_t index) {
        GDBusMessage *message;

        g_mutex_lock(&client->lock);
        g_assert_cmpuint(index, <, client->messages->len);
        message = client->messages->pdata[index];
        g_mutex_unlock(&client->lock);
        return message;
}

size_t client_index_of(Client *client, GDBusMessage *message) {
        for (size_t i = 0; i < client_count_messages(client); i++)
                if (client_message(client, i) == message)
                        return i;

        g_error("no such message");
}

/* ---- calls and replies ---- */

static guint32 client_send_message(Client *client, GDBusMessage *message) {
        g_autoptr(GError) error = NULL;
        guint32 serial;

        (void) g_dbus_connection_send_message(
                        client->connection, message, G_DBUS_SEND_MESSAGE_FLAGS_NONE, &serial, &error);
        g_assert_no_error(error);
        return serial;
}

guint32 client_send(
                Client *client,
                const char *destination,
                const char *path,
                const char *interface,
                const char *member,
                GVariant *arguments) {
        g_autoptr(GDBusMessage) call = g_dbus_message_new_method_call(destination, path, interface, member);

        if (arguments)
                g_dbus_message_set_body(call, arguments);
        if (client->interactive)
                g_dbus_message_set_flags(call, G_DBUS_MESSAGE_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION);

        return client_send_message(client, call);
}

static bool is_reply_to(GDBusMessage *message, const void *data) {
        const guint32 *serial = data;
        GDBusMessageType type = g_dbus_message_get_message_type(message);

        return (type == G_DBUS_MESSAGE_TYPE_METHOD_RETURN || type == G_DBUS_MESSAGE_TYPE_ERROR) &&
               g_dbus_message_get_reply_serial(message) == *serial;
}

GDBusMessage *client_wait_reply(Client *client, guint32 serial) {
        size_t index = 0;

        return client_wait(client, &index, is_reply_to, &serial, "a reply");
}

bool client_has_reply(Client *client, guint32 serial) {
        for (size_t i = 0; i < client_count_messages(client); i++)
                if (is_reply_to(client_message(client, i), &serial))
                        return true;

        return false;
}

GDBusMessage *client_ask(
                Client *client,
                const char *destination,
                const char *path,
                const char *interface,
                const char *member,
                GVariant *arguments) {
        return client_wait_reply(
                        client, client_send(client, destination, path, interface, member, arguments));
}

GVariant *reply_content(GDBusMessage *reply) {
        g_autoptr(GError) error = NULL;

        (void) g_dbus_message_to_gerror(reply, &error);
        g_assert_no_error(error);
        return g_dbus_message_get_body(reply);
}

void assert_reply_error(GDBusMessage *reply, const char *name, const char *text) {
        const char *message = NULL;

        g_assert_cmpstr(g_dbus_message_get_error_name(reply), ==, name);
        g_variant_get(g_dbus_message_get_body(reply), "(&s)", &message);
        if (!strstr(message, text))
                g_error("\"%s\" is not in the error's message \"%s\"", text, message);
}

/* Whether the bus refused a call because too much waits for the daemon. */
static bool is_queue_full(GDBusMessage *reply) {
        const char *message = NULL;

        if (g_strcmp0(g_dbus_message_get_error_name(reply), ERROR_LIMITS_EXCEEDED) != 0)
                return false;

        g_variant_get(g_dbus_message_get_body(reply), "(&s)", &message);
        return strstr(message, "destination has a full message queue");
}

/* Calls our object. In a flood such a refusal is the bus's answer and the call has not reached the daemon: it
 * is made again, until the time of the test is over. Nothing says when there is room again. */
static GDBusMessage *client_ask_object(
                Client *client,
                const char *interface,
                const char *member,
                GVariant *arguments) {
        g_autoptr(GVariant) kept = arguments ? g_variant_ref_sink(arguments) : NULL;
        GDBusMessage *reply;

        for (;;) {
                reply = client_ask(client, BUS_NAME, BUS_PATH, interface, member, kept);
                if (!client->fixture->flooded || !is_queue_full(reply) ||
                    milliseconds_left(client->fixture) == 0)
                        return reply;
                g_usleep(QUEUE_FULL_PAUSE_USEC);
        }
}

guint32 client_send_method(Client *client, const char *method, GVariant *arguments) {
        return client_send(client, BUS_NAME, BUS_PATH, BUS_INTERFACE, method, arguments);
}

GVariant *client_call(Client *client, const char *method, GVariant *arguments) {
        return reply_content(client_ask_object(client, BUS_INTERFACE, method, arguments));
}

void client_call_fails(
                Client *client,
                const char *method,
                GVariant *arguments,
                const char *error,
                const char *text) {
        assert_reply_error(
                        client_wait_reply(client, client_send_method(client, method, arguments)), error,
                        text);
}

/* ---- properties ---- */

static GDBusMessage *client_ask_property(Client *client, const char *property) {
        return client_ask_object(
                        client, PROPERTIES_INTERFACE, "Get", g_variant_new("(ss)", BUS_INTERFACE, property));
}

static GVariant *reply_value(GDBusMessage *reply) {
        GVariant *value;

        g_variant_get(reply_content(reply), "(v)", &value);
        return value;
}

bool property_varies(const char *property) {
        return streq(property, "StatusText") || streq(property, "DirtyBytes") ||
               streq(property, "WritebackBytes");
}

GVariant *client_get(Client *client, const char *property) {
        return reply_value(client_ask_property(client, property));
}

void assert_property(Client *client, const char *property, const char *text) {
        g_autoptr(GVariant) value = client_get(client, property);
        g_autofree char *printed = g_variant_print(value, true);

        if (!streq(printed, text))
                g_error("%s is %s, not %s", property, printed, text);
}

guint32 client_send_set(Client *client, const char *property, GVariant *value) {
        return client_send(
                        client, BUS_NAME, BUS_PATH, PROPERTIES_INTERFACE, "Set",
                        g_variant_new("(ssv)", BUS_INTERFACE, property, value));
}

void client_set(Client *client, const char *property, GVariant *value) {
        (void) reply_content(client_wait_reply(client, client_send_set(client, property, value)));
}

void client_set_fails(
                Client *client,
                const char *property,
                GVariant *value,
                const char *error,
                const char *text) {
        assert_reply_error(client_wait_reply(client, client_send_set(client, property, value)), error, text);
}

/* When the first answer is here, the daemon has seen the calls and asked the bus who sent them, and the bus
 * has answered; when the second is, the daemon has seen these answers, too. */
void client_settle(Client *client) {
        for (unsigned i = 0; i < 2; i++)
                g_variant_unref(client_get(client, "Version"));
}

GVariant *set_properties_arguments(bool runtime, const char *properties) {
        g_autoptr(GError) error = NULL;
        GVariant *dictionary = g_variant_parse(G_VARIANT_TYPE_VARDICT, properties, NULL, NULL, &error);

        g_assert_no_error(error);
        return g_variant_new("(b@a{sv})", runtime, dictionary);
}

/* The changed properties of a PropertiesChanged signal of one of our interfaces, to be freed, or NULL. */
static GVariant *changed_properties(GDBusMessage *message) {
        if (g_dbus_message_get_message_type(message) != G_DBUS_MESSAGE_TYPE_SIGNAL ||
            g_strcmp0(g_dbus_message_get_member(message), "PropertiesChanged") != 0)
                return NULL;

        return g_variant_get_child_value(g_dbus_message_get_body(message), 1);
}

typedef struct PropertyMatch {
        const char *property;
        const char *text;
} PropertyMatch;

static bool is_change_to(GDBusMessage *message, const void *data) {
        const PropertyMatch *wanted = data;
        g_autoptr(GVariant) changed = changed_properties(message);
        g_autoptr(GVariant) value = changed ? g_variant_lookup_value(changed, wanted->property, NULL) : NULL;
        g_autofree char *printed = value ? g_variant_print(value, true) : NULL;

        return printed && streq(printed, wanted->text);
}

void client_wait_property(Client *client, const char *property, const char *text) {
        GDBusMessage *reply = client_ask_property(client, property);
        g_autofree char *what = g_strdup_printf("%s=%s", property, text);
        g_autoptr(GVariant) value = reply_value(reply);
        g_autofree char *printed = g_variant_print(value, true);
        const PropertyMatch wanted = { property, text };
        size_t index;

        if (streq(printed, text))
                return;

        index = client_index_of(client, reply);
        (void) client_wait(client, &index, is_change_to, &wanted, what);
}

char *client_history(Client *client, const char *property) {
        g_autoptr(GString) history = g_string_new(NULL);

        for (size_t i = 0; i < client_count_messages(client); i++) {
                g_autoptr(GVariant) changed = changed_properties(client_message(client, i));
                g_autoptr(GVariant) value = changed ? g_variant_lookup_value(changed, property, NULL) : NULL;
                g_autofree char *printed = NULL;

                if (!value)
                        continue;
                printed = g_variant_is_of_type(value, G_VARIANT_TYPE_STRING)
                                          ? g_variant_dup_string(value, NULL)
                                          : g_variant_print(value, false);
                g_string_append_printf(history, "%s%s", history->len > 0 ? " " : "", printed);
        }

        return g_string_free(g_steal_pointer(&history), false);
}

static int compare_strings(const void *a, const void *b) {
        const char *const *one = a, *const *other = b;

        return strcmp(*one, *other);
}

char *client_changes_between(Client *client, size_t from, size_t to) {
        g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(g_free);

        for (size_t i = from; i < to; i++) {
                g_autoptr(GVariant) changed = changed_properties(client_message(client, i));
                g_autoptr(GPtrArray) names = g_ptr_array_new();
                GVariantIter properties;
                const char *name;

                if (!changed)
                        continue;

                g_variant_iter_init(&properties, changed);
                while (g_variant_iter_next(&properties, "{&sv}", &name, NULL))
                        g_ptr_array_add(names, (char *) name);
                g_ptr_array_sort(names, compare_strings);
                g_ptr_array_add(names, NULL);
                g_ptr_array_add(all, g_strjoinv(" ", (char **) names->pdata));
        }

        g_ptr_array_add(all, NULL);
        return g_strjoinv("; ", (char **) all->pdata);
}

char *dictionary_text(GVariant *dictionary) {
        g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func(g_free);
        GVariantIter iterator;
        const char *key;
        GVariant *value;

        g_variant_iter_init(&iterator, dictionary);
        while (g_variant_iter_loop(&iterator, "{&sv}", &key, &value)) {
                g_autofree char *printed = g_variant_print(value, true);

                g_ptr_array_add(entries, g_strdup_printf("%s: %s", key, printed));
        }

        g_ptr_array_sort(entries, compare_strings);
        g_ptr_array_add(entries, NULL);
        return g_strjoinv(", ", (char **) entries->pdata);
}

/* ---- signals ---- */

static bool is_signal_called(GDBusMessage *message, const void *data) {
        return g_dbus_message_get_message_type(message) == G_DBUS_MESSAGE_TYPE_SIGNAL &&
               g_strcmp0(g_dbus_message_get_interface(message), BUS_INTERFACE) == 0 &&
               g_strcmp0(g_dbus_message_get_member(message), data) == 0;
}

GVariant *client_wait_signal(Client *client, const char *member) {
        return g_dbus_message_get_body(
                        client_wait(client, &client->next_signal, is_signal_called, member, member));
}

unsigned client_count_signals(Client *client, const char *member) {
        unsigned n = 0;

        for (size_t i = 0; i < client_count_messages(client); i++)
                if (is_signal_called(client_message(client, i), member))
                        n++;

        return n;
}

/* ---- names ---- */

typedef struct OwnerMatch {
        const char *name;
        bool owned;
} OwnerMatch;

static bool is_new_owner(GDBusMessage *message, const void *data) {
        const OwnerMatch *wanted = data;
        const char *name, *owner;

        if (g_dbus_message_get_message_type(message) != G_DBUS_MESSAGE_TYPE_SIGNAL ||
            g_strcmp0(g_dbus_message_get_member(message), "NameOwnerChanged") != 0)
                return false;

        g_variant_get(g_dbus_message_get_body(message), "(&s&s&s)", &name, NULL, &owner);
        return streq(name, wanted->name) && (owner[0] != '\0') == wanted->owned;
}

char *client_wait_owner(Client *client, const char *name) {
        const OwnerMatch wanted = { name, .owned = true };
        GDBusMessage *message;
        char *owner;
        size_t index;

        message = client_ask(
                        client, DBUS_NAME, DBUS_PATH, DBUS_NAME, "GetNameOwner", g_variant_new("(s)", name));
        if (g_dbus_message_get_message_type(message) == G_DBUS_MESSAGE_TYPE_METHOD_RETURN) {
                g_variant_get(reply_content(message), "(s)", &owner);
                return owner;
        }

        index = client_index_of(client, message);
        message = client_wait(client, &index, is_new_owner, &wanted, name);
        g_variant_get(g_dbus_message_get_body(message), "(&s&ss)", NULL, NULL, &owner);
        return owner;
}

void client_wait_no_owner(Client *client, const char *name) {
        const OwnerMatch wanted = { name, .owned = false };
        GDBusMessage *message;
        size_t index;

        message = client_ask(
                        client, DBUS_NAME, DBUS_PATH, DBUS_NAME, "GetNameOwner", g_variant_new("(s)", name));
        if (g_dbus_message_get_message_type(message) == G_DBUS_MESSAGE_TYPE_ERROR)
                return;

        index = client_index_of(client, message);
        (void) client_wait(client, &index, is_new_owner, &wanted, "a name without owner");
}

pid_t client_pid_of(Client *client, const char *name) {
        guint32 pid;

        g_variant_get(client_call_bus(client, "GetConnectionUnixProcessID", g_variant_new("(s)", name)),
                      "(u)", &pid);
        return (pid_t) pid;
}

void client_own_name(Client *client, const char *name) {
        assert_variant(client_call_bus(client, "RequestName", g_variant_new("(su)", name, 0)), "(uint32 1,)");
}

void client_release_name(Client *client, const char *name) {
        assert_variant(client_call_bus(client, "ReleaseName", g_variant_new("(s)", name)), "(uint32 1,)");
}

static bool is_call_of(GDBusMessage *message, const void *data) {
        return g_dbus_message_get_message_type(message) == G_DBUS_MESSAGE_TYPE_METHOD_CALL &&
               g_strcmp0(g_dbus_message_get_member(message), data) == 0;
}

GDBusMessage *client_wait_call(Client *client, const char *member) {
        return client_wait(client, &client->next_call, is_call_of, member, member);
}

void client_answer(Client *client, GDBusMessage *call, GVariant *content) {
        g_autoptr(GDBusMessage) reply = g_dbus_message_new_method_reply(call);

        if (content)
                g_dbus_message_set_body(reply, content);
        (void) client_send_message(client, reply);
}

void client_answer_error(Client *client, GDBusMessage *call, const char *error) {
        g_autoptr(GDBusMessage) reply = g_dbus_message_new_method_error_literal(call, error, error);

        (void) client_send_message(client, reply);
}
