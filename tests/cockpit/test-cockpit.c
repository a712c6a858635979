/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The page in Cockpit: bus, polkitd, wbwatchd, stuck workers and cockpit-ws for tests/cockpit/page.mjs, which
 * drives a Chromium and prints TAP. The script asks for each of them by a line on descriptor 3, and gets a
 * line when it is done. All of it is in the namespaces of this program, that of the network included, and
 * dies with it.
 */

#include <net/if.h>
#include <pwd.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "bus-fixture.h"
#include "deadline.h"
#include "own-disk.h"
#include "stuck-worker.h"

/* Longer than the script takes. */
#define HOLD_SEC 120
#define SCRIPT_SEC 240

/* The descriptor of the requests in the script. */
#define SCRIPT_FD 3

typedef struct Stage {
        BusFixture fixture;
        StuckWorker stuck;
        OwnDisk disk;
        Process sessions[2]; /* of root, of nobody */
        int fd;
} Stage;

/* ---- what the script may request; the argument is the rest of the line ---- */

static void start_bus(Stage *stage, const char *argument) {
        fixture_start_bus(&stage->fixture);
}

static void start_polkit(Stage *stage, const char *rules) {
        fixture_start_polkit(&stage->fixture, rules);
}

static void stop_polkit(Stage *stage, const char *argument) {
        fixture_stop_polkit(&stage->fixture);
}

static void write_config(Stage *stage, const char *text) {
        g_autofree char *lines = g_strcompress(text);

        fixture_write_config(&stage->fixture, lines);
}

static void start_daemon(Stage *stage, const char *argument) {
        fixture_start_daemon(&stage->fixture, NULL);
}

/* One that sees the kernel's own workers. */
static void start_real_daemon(Stage *stage, const char *argument) {
        fixture_start_daemon(&stage->fixture, "--proc-root", "/proc", NULL);
}

static void stop_daemon(Stage *stage, const char *argument) {
        fixture_stop_daemon(&stage->fixture);
}

static void kill_daemon(Stage *stage, const char *argument) {
        fixture_kill_daemon(&stage->fixture);
}

static void hold_daemon(Stage *stage, const char *argument) {
        g_assert_no_errno(kill(stage->fixture.daemon.pid, SIGSTOP));
}

static void continue_daemon(Stage *stage, const char *argument) {
        g_assert_no_errno(kill(stage->fixture.daemon.pid, SIGCONT));
}

static void hold_helpers(Stage *stage, const char *name) {
        fixture_signal_helper(&stage->fixture, name, SIGSTOP);
}

static void continue_helpers(Stage *stage, const char *name) {
        fixture_signal_helper(&stage->fixture, name, SIGCONT);
}

/* "PID STATE TICKS NAME" */
static void put_worker(Stage *stage, const char *argument) {
        g_auto(GStrv) words = g_strsplit(argument, " ", 4);

        g_assert_cmpuint(g_strv_length(words), ==, 4);
        fake_proc_put(&stage->fixture.proc, &(FakeThread){
                                                            .pid = atoi(words[0]),
                                                            .name = words[3],
                                                            .flags = FLAGS_WORKER,
                                                            .start_time = 5678,
                                                            .cpu_time = strtoul(words[2], NULL, 10),
                                                            .state = words[1][0],
                                            });
}

/* The pids of all workers, each followed by a space. */
static void list_workers(Stage *stage, const char *pids) {
        fake_proc_list(&stage->fixture.proc, pids);
}

static void begin_stuck_worker(Stage *stage, const char *argument) {
        stuck_worker_begin(&stage->stuck, HOLD_SEC);
}

static void release_stuck_worker(Stage *stage, const char *argument) {
        stuck_worker_let_go(&stage->stuck);
}

/* "PORT": cockpit-ws as a user, on this port of loopback. Its programs and pages are in bin and share of the
 * folder. */
static Process start_session(Stage *stage, uid_t uid, const char *port) {
        const char *const arguments[] = {
                "/usr/lib/cockpit/cockpit-ws",    "--no-tls", "--address", "127.0.0.1", "--port", port,
                "--local-session=cockpit-bridge", NULL,
        };
        const char *folder = stage->fixture.folder;
        g_autofree char *path = g_strdup_printf("%s/bin:%s", folder, g_getenv("PATH"));
        g_autofree char *share = g_strdup_printf("%s/share:/usr/share", folder);
        g_autofree char *home = g_strdup_printf("%s/home-%u", folder, uid);
        g_auto(GStrv) environment = g_get_environ();

        g_assert_no_errno(mkdir(home, 0700));
        g_assert_no_errno(chown(home, uid, group_of(uid)));
        environment = g_environ_setenv(
                        environment, "DBUS_SYSTEM_BUS_ADDRESS", stage->fixture.bus_address, true);
        environment = g_environ_setenv(environment, "PATH", path, true);
        environment = g_environ_setenv(environment, "XDG_DATA_DIRS", share, true);
        environment = g_environ_setenv(environment, "XDG_RUNTIME_DIR", home, true);
        environment = g_environ_setenv(environment, "HOME", home, true);
        environment = g_environ_setenv(environment, "USER", getpwuid(uid)->pw_name, true);
        /* It starts these otherwise, and leaves them behind when it is killed. */
        environment = g_environ_setenv(environment, "SSH_AUTH_SOCK", "/dev/null", true);
        environment = g_environ_setenv(environment, "DBUS_SESSION_BUS_ADDRESS", "unix:path=/dev/null", true);
        return process_start(
                        arguments, &(ProcessSettings){ .environment = environment, .uid = uid }, NULL, NULL);
}

static void start_root_session(Stage *stage, const char *port) {
        stage->sessions[0] = start_session(stage, UID_ROOT, port);
}

static void start_nobody_session(Stage *stage, const char *port) {
        stage->sessions[1] = start_session(stage, UID_NOBODY, port);
}

/* A filesystem that a sync must sync. */
static void make_disk(Stage *stage, const char *argument) {
        stage->disk = own_disk_new();
}

static const struct {
        const char *name;
        void (*run)(Stage *stage, const char *argument);
} requests[] = {
        { "start-bus", start_bus },
        { "start-polkit", start_polkit },
        { "stop-polkit", stop_polkit },
        { "write-config", write_config },
        { "start-daemon", start_daemon },
        { "start-real-daemon", start_real_daemon },
        { "stop-daemon", stop_daemon },
        { "kill-daemon", kill_daemon },
        { "hold-daemon", hold_daemon },
        { "continue-daemon", continue_daemon },
        { "hold-helpers", hold_helpers },
        { "continue-helpers", continue_helpers },
        { "put-worker", put_worker },
        { "list-workers", list_workers },
        { "begin-stuck-worker", begin_stuck_worker },
        { "release-stuck-worker", release_stuck_worker },
        { "make-disk", make_disk },
        { "start-root-session", start_root_session },
        { "start-nobody-session", start_nobody_session },
};

static void execute(Stage *stage, const char *line) {
        g_auto(GStrv) words = g_strsplit(line, " ", 2);

        stage->fixture.deadline_usec = deadline_in_sec(FIXTURE_TIMEOUT_SEC);
        for (size_t i = 0; i < ELEMENTSOF(requests); i++)
                if (streq(requests[i].name, words[0])) {
                        requests[i].run(stage, words[1] ?: "");
                        return;
                }
        g_error("'%s' is no request", line);
}

/* ---- the script ---- */

typedef struct Script {
        const char *path;
        int fd;
} Script;

static void execute_script(const void *data) {
        const Script *script = data;

        if (dup2(script->fd, SCRIPT_FD) < 0)
                _exit(EXIT_FAILURE);
        (void) execlp("node", "node", script->path, NULL);
}

static int run_script(Stage *stage) {
        g_autofree char *path = fixture_source_file("tests/cockpit/page.mjs");
        int fds[2];
        Process script;
        char *line;

        g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
        script = process_fork(execute_script, &(const Script){ path, fds[1] });
        g_assert_no_errno(close(fds[1]));
        while ((line = read_line(fds[0])) && *line) {
                execute(stage, line);
                g_assert_cmpint(write(fds[0], "done\n", 5), ==, 5);
                g_free(line);
        }
        g_free(line);
        g_assert_no_errno(close(fds[0]));
        return process_wait_end(&script, deadline_in_sec(SCRIPT_SEC));
}

/* ---- the surroundings ---- */

/* Our network namespace has nothing but a loopback device, which is off. */
static void switch_loopback_on(void) {
        struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        g_assert_no_errno(fd);
        g_assert_no_errno(ioctl(fd, SIOCSIFFLAGS, &request));
        g_assert_no_errno(close(fd));
}

/* The manifest demands our activation file. */
static void install_activation_file(const BusFixture *fixture) {
        g_autofree char *folder = g_build_filename(fixture->folder, "services", NULL), *text = NULL;
        g_autofree char *source = fixture_source_file("dbus/org.wbwatch1.service");
        g_autofree char *target = g_build_filename(folder, "org.wbwatch1.service", NULL);

        g_assert_no_errno(mkdir(folder, 0755));
        g_assert_true(g_file_get_contents(source, &text, NULL, NULL));
        g_assert_true(g_file_set_contents(target, text, -1, NULL));
        g_assert_no_errno(chmod(target, 0644));
        g_assert_no_errno(mount(folder, "/usr/share/dbus-1/system-services", NULL, MS_BIND, NULL));
}

static void export_names(const BusFixture *fixture) {
        g_assert_true(g_setenv("WBWATCH_STAGE", fixture->folder, true));
        g_assert_true(g_setenv("WBWATCH_STAGE_BUS", fixture->bus_address, true));
        g_assert_true(g_setenv("WBWATCH_STAGE_PROC", fixture->proc.root, true));
}

int main(int argc, char *argv[]) {
        Stage stage = {};
        int status;

        if (!fixture_isolate())
                return EXIT_SUCCESS;
        g_test_init(&argc, &argv, NULL);
        switch_loopback_on();

        fixture_set_up(&stage.fixture, NULL);
        stage.fixture.netlink = true;
        install_activation_file(&stage.fixture);
        export_names(&stage.fixture);
        status = run_script(&stage);

        if (stage.disk.folder)
                own_disk_done(&stage.disk);
        for (size_t i = 0; i < ELEMENTSOF(stage.sessions); i++)
                process_kill(&stage.sessions[i], deadline_in_sec(FIXTURE_TIMEOUT_SEC));
        stage.fixture.deadline_usec = deadline_in_sec(FIXTURE_TIMEOUT_SEC);
        fixture_tear_down(&stage.fixture, NULL);
        return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}
