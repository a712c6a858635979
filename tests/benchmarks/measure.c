/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Shared by all benchmarks: see measure.h. */

#include "measure.h"
#include "names.h"

#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "daemon.h"
#include "deadline.h"
#include "kernel-files.h"
#include "private-bus.h"
#include "process-info.h"
#include "surroundings.h"

#define EXIT_SKIP 77

/* Much longer than any wait here: a wait that takes this long is a failure. */
#define PATIENCE_SEC 60

/* For all written files; isolate() mounts a filesystem in memory there. */
#define FOLDER "/run"
#define SETTINGS_FILE FOLDER "/settings.conf"

bool measure_short;

static Process the_bus;

/* Surroundings. */

void measure_skip(const char *format, ...) {
        va_list arguments;

        fputs("SKIP: ", stdout);
        va_start(arguments, format);
        vprintf(format, arguments);
        va_end(arguments);
        putchar('\n');
        exit(EXIT_SKIP);
}

void measure_begin(int argc, char **argv) {
        int r;

        measure_short = argc > 1 && streq(argv[1], "--short");
        if (argc > (measure_short ? 2 : 1)) {
                fprintf(stderr, "%s: %s: it takes --short or nothing\n", argv[0], argv[argc - 1]);
                exit(2);
        }

        (void) setlinebuf(stdout);
        if (geteuid() != 0)
                measure_skip("it needs root");

        r = isolate(0);
        if (r < 0)
                measure_skip("it needs a mount namespace: %s", g_strerror(-r));
}

void measure_own_libraries(void) {
        const char *const arguments[] = { "ldd", g_getenv("WBWATCHD"), NULL };
        g_autofree char *output = NULL;
        g_auto(GStrv) words = NULL;

        g_assert_true(
                        g_spawn_sync(NULL, (char **) arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL,
                                     &output, NULL, NULL, NULL));
        words = g_strsplit_set(output, " \t\n", -1);
        for (char **word = words; *word; word++) {
                char copy[] = "/var/tmp/wbwatch-library-XXXXXX";
                g_autofree char *name = g_path_get_basename(*word), *text = NULL;
                size_t size;
                int fd;

                if ((*word)[0] != '/' || g_str_has_prefix(name, "libc.") || g_str_has_prefix(name, "libm.") ||
                    g_str_has_prefix(name, "ld-"))
                        continue;

                /* Written to the disk, since dirty pages would count as private. */
                g_assert_true(g_file_get_contents(*word, &text, &size, NULL));
                fd = mkstemp(copy);
                g_assert_no_errno(fd);
                g_assert_cmpint(write(fd, text, size), ==, size);
                g_assert_no_errno(fchmod(fd, 0755));
                g_assert_no_errno(fsync(fd));
                g_assert_no_errno(close(fd));
                g_assert_no_errno(mount(copy, *word, NULL, MS_BIND, NULL));
                g_assert_no_errno(unlink(copy));
        }
}

/* Figures. */

Samples samples_new(void) {
        return (Samples){ .values = g_array_new(false, false, sizeof(double)) };
}

void samples_done(Samples *samples) {
        g_array_unref(samples->values);
}

void samples_add(Samples *samples, double value) {
        g_array_append_val(samples->values, value);
}

static int compare_doubles(const void *a, const void *b) {
        const double *one = a, *other = b;

        return (*one > *other) - (*one < *other);
}

static double samples_at(const Samples *samples, size_t i) {
        return g_array_index(samples->values, double, i);
}

double samples_median(const Samples *samples) {
        size_t n = samples->values->len;

        g_assert_cmpuint(n, >, 0);
        g_array_sort(samples->values, compare_doubles);
        return (samples_at(samples, (n - 1) / 2) + samples_at(samples, n / 2)) / 2;
}

_printf_(1, 0) static void print_name(const char *format, va_list arguments) {
        g_autofree char *name = g_strdup_vprintf(format, arguments);

        printf("%-44s ", name);
}

void samples_report(const Samples *samples, const char *unit, const char *format, ...) {
        double median = samples_median(samples); /* sorts them, too */
        size_t n = samples->values->len;
        va_list arguments;

        va_start(arguments, format);
        print_name(format, arguments);
        va_end(arguments);
        printf("%.4g %s (%.4g to %.4g, %zu runs)\n", median, unit, samples_at(samples, 0),
               samples_at(samples, n - 1), n);
}

void report(double value, const char *unit, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        print_name(format, arguments);
        va_end(arguments);
        printf("%.6g %s\n", value, unit);
}

double thread_cpu_usec(void) {
        struct timespec time;

        g_assert_no_errno(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time));
        return (double) time.tv_sec * 1e6 + (double) time.tv_nsec / 1e3;
}

/* Processes. */

bool is_installed(const char *program) {
        g_autofree char *path = g_find_program_in_path(program);

        return path;
}

static void need(const char *program) {
        if (!is_installed(program))
                measure_skip("%s is not installed", program);
}

static gint64 soon_usec(void) {
        return deadline_in_sec(PATIENCE_SEC);
}

Process peer_start(const char *const *arguments, int *ret_stdout, int *ret_stderr) {
        need(arguments[0]);
        return process_start(arguments, &(ProcessSettings){ .drops_stderr = true }, ret_stdout, ret_stderr);
}

void peer_wait_end(Process *peer) {
        (void) process_wait_end(peer, soon_usec());
}

void peer_stop(Process *peer, int sig) {
        g_assert_no_errno(kill(peer->pid, sig));
        peer_wait_end(peer);
}

/* Receives the next message to the service manager. */
static void take_notify(Daemon *daemon) {
        g_autofree char *message = notify_socket_take(&daemon->notify, soon_usec());

        if (!message)
                g_error("wbwatchd does not say that it is ready and receives thread creation events; it "
                        "can't receive them in a container");

        if (strstr(message, "READY=1"))
                daemon->ready_usec = usec_now(CLOCK_MONOTONIC);
        if (g_str_has_prefix(message, "STATUS="))
                daemon->listening = !strstr(message, "not receiving thread creation events");
}

Daemon daemon_begin(const char *wrapper, int *ret_log, const char *settings, ...) {
        g_autofree char *text = g_strdup_printf("[Watch]\n%s", settings);
        g_autofree char *bus_address = private_bus_address(FOLDER);
        g_autoptr(GPtrArray) arguments = g_ptr_array_new();
        Daemon daemon = { .notify = notify_socket_new(FOLDER) };
        const char *argument;
        va_list list;

        g_assert_true(g_file_set_contents(SETTINGS_FILE, text, -1, NULL));
        g_ptr_array_add(arguments, (char *) "--config");
        g_ptr_array_add(arguments, (char *) SETTINGS_FILE);
        va_start(list, settings);
        while ((argument = va_arg(list, const char *)))
                g_ptr_array_add(arguments, (char *) argument);
        va_end(list);
        g_ptr_array_add(arguments, NULL);

        daemon.started_usec = usec_now(CLOCK_MONOTONIC);
        daemon.process = daemon_start(
                        &(const DaemonSettings){
                                        .folder = FOLDER,
                                        .wrapper = wrapper,
                                        .bus_address = bus_address,
                                        .state_directory = FOLDER,
                        },
                        &daemon.notify, (const char *const *) arguments->pdata, ret_log);
        while (daemon.ready_usec == 0)
                take_notify(&daemon);

        return daemon;
}

void daemon_end(Daemon *daemon) {
        peer_stop(&daemon->process, SIGTERM);
        notify_socket_done(&daemon->notify);
}

void daemon_settle(Daemon *daemon) {
        sd_bus *bus = bus_connect();

        while (!daemon->listening)
                take_notify(daemon);
        bus_await_name(bus, BUS_NAME);
        sd_bus_flush_close_unref(bus);
}

/* The bus. */

void bus_start(void) {
        g_autofree char *address = private_bus_address(FOLDER);

        need("dbus-daemon");
        the_bus = private_bus_start(FOLDER, BUS_POLICY_OPEN, soon_usec());
        g_assert_true(g_setenv("DBUS_SYSTEM_BUS_ADDRESS", address, true));
}

void bus_stop(void) {
        peer_stop(&the_bus, SIGTERM);
}

sd_bus *bus_connect(void) {
        sd_bus *bus = NULL;
        const char *name;

        g_assert_cmpint(sd_bus_open_system(&bus), >=, 0);

        /* Completes the handshake: the bus disconnects clients that do not. */
        g_assert_cmpint(sd_bus_get_unique_name(bus, &name), >=, 0);
        return bus;
}

void bus_run(sd_bus *bus) {
        int r;

        while ((r = sd_bus_process(bus, NULL)) == 0)
                g_assert_cmpint(sd_bus_wait(bus, PATIENCE_SEC * USEC_PER_SEC), >, 0);
        g_assert_cmpint(r, >, 0);
}

static int on_owner_changed(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        bool *changed = userdata;

        *changed = true;
        return 0;
}

void bus_await_name(sd_bus *bus, const char *name) {
        _cleanup_(sd_bus_slot_unrefp) sd_bus_slot *slot = NULL;
        bool changed;

        g_assert_cmpint(sd_bus_match_signal(
                                        bus, &slot, DBUS_NAME, NULL, DBUS_INTERFACE, "NameOwnerChanged",
                                        on_owner_changed, &changed),
                        >=, 0);
        while (sd_bus_get_name_creds(bus, name, 0, NULL) < 0) {
                changed = false;
                while (!changed)
                        bus_run(bus);
        }
}

/* A process that is gone uses nothing. */
static char *text_or_nothing(pid_t pid, const char *file) {
        return process_text(pid, file) ?: g_strdup("");
}

/* The number after a key at the beginning of a line. */
static double number_after(const char *text, const char *key) {
        g_autofree char *line = g_strconcat("\n", key, NULL);
        const char *found = g_str_has_prefix(text, key) ? text : strstr(text, line);

        if (!found)
                return 0;
        return g_ascii_strtod(found + strlen(found == text ? key : line), NULL);
}

/* Calls function on the process, and on each child. */
static void for_family(pid_t pid, void (*function)(pid_t pid, void *data), void *data) {
        g_autofree char *file = g_strdup_printf("task/%d/children", (int) pid);
        g_autofree char *text = text_or_nothing(pid, file);
        g_auto(GStrv) children = g_strsplit(text, " ", -1);

        function(pid, data);
        for (char **child = children; *child; child++)
                if ((*child)[0])
                        function(atoi(*child), data);
}

static void add_usage(pid_t pid, void *data) {
        g_autofree char *folder = g_strdup_printf("/proc/%d/task", (int) pid);
        g_autoptr(GDir) threads = g_dir_open(folder, 0, NULL);
        const char *thread;
        Usage *usage = data;

        while (threads && (thread = g_dir_read_name(threads))) {
                g_autofree char *schedstat = text_or_nothing(atoi(thread), "schedstat");
                g_autofree char *status = text_or_nothing(atoi(thread), "status");

                usage->cpu_msec += g_ascii_strtod(schedstat, NULL) / 1e6;
                usage->wakeups += number_after(status, "voluntary_ctxt_switches:");
        }
}

Usage usage_of(pid_t pid) {
        Usage usage = {};

        for_family(pid, add_usage, &usage);
        return usage;
}

Usage usage_since(pid_t pid, Usage before) {
        Usage now = usage_of(pid);

        return (Usage){
                .cpu_msec = now.cpu_msec - before.cpu_msec,
                .wakeups = now.wakeups - before.wakeups,
        };
}

void await_quiet(pid_t pid) {
        for (unsigned n_quiet = 0; n_quiet < 20;) {
                Usage before = usage_of(pid), after;

                g_usleep(5000);
                after = usage_since(pid, before);
                n_quiet = after.cpu_msec > 0 ? 0 : n_quiet + 1;
        }
}

static void add_memory(pid_t pid, void *data) {
        g_autofree char *text = text_or_nothing(pid, "smaps_rollup");
        Memory *memory = data;

        memory->resident += number_after(text, "Rss:");
        memory->pss += number_after(text, "Pss:");
        memory->private_dirty += number_after(text, "Private_Dirty:");
        memory->private += number_after(text, "Private_Clean:") + number_after(text, "Private_Dirty:");
}

Memory memory_of(pid_t pid) {
        Memory memory = {};

        add_memory(pid, &memory);
        return memory;
}

Memory memory_with_children(pid_t pid) {
        Memory memory = {};

        for_family(pid, add_memory, &memory);
        return memory;
}

static void count_one(pid_t pid, void *data) {
        size_t *n = data;

        (*n)++;
}

size_t count_children(pid_t pid) {
        size_t n = 0;

        for_family(pid, count_one, &n);
        return n - 1;
}

size_t count_descriptors(pid_t pid) {
        g_autofree char *folder = g_strdup_printf("/proc/%d/fd", (int) pid);
        g_autoptr(GDir) descriptors = g_dir_open(folder, 0, NULL);
        size_t n = 0;

        g_assert_nonnull(descriptors);
        while (g_dir_read_name(descriptors))
                n++;
        return n;
}

static void add_traced(pid_t pid, void *data) {
        g_ptr_array_add(data, g_strdup("-p"));
        g_ptr_array_add(data, g_strdup_printf("%d", (int) pid));
}

Tracer trace_begin(pid_t pid) {
        g_autoptr(GPtrArray) arguments = g_ptr_array_new_with_free_func(g_free);
        Tracer tracer = { .file = g_strdup(FOLDER "/strace") };
        size_t n_traced = 1 + count_children(pid);

        g_ptr_array_add(arguments, g_strdup("strace"));
        g_ptr_array_add(arguments, g_strdup("--summary-only"));
        g_ptr_array_add(arguments, g_strdup("--summary-columns=calls,name"));
        g_ptr_array_add(arguments, g_strdup_printf("--output=%s", tracer.file));
        for_family(pid, add_traced, arguments);
        g_ptr_array_add(arguments, NULL);

        tracer.strace = peer_start((const char *const *) arguments->pdata, NULL, &tracer.log);
        while (n_traced-- > 0)
                g_free(read_line_with(tracer.log, "attached"));
        return tracer;
}

void trace_end(Tracer *tracer, const char *name, double *ret_all, double *ret_named) {
        g_autofree char *text = NULL;
        g_auto(GStrv) lines = NULL;

        peer_stop(&tracer->strace, SIGTERM);
        g_assert_no_errno(close(tracer->log));
        g_assert_true(g_file_get_contents(tracer->file, &text, NULL, NULL));

        *ret_all = *ret_named = 0;
        lines = g_strsplit(text, "\n", -1);
        for (char **line = lines; *line; line++) {
                char call[64];
                double calls;

                if (sscanf(*line, "%lf %63s", &calls, call) != 2 || streq(call, "total"))
                        continue;
                *ret_all += calls;
                if (streq(call, name))
                        *ret_named = calls;
        }
        g_free(tracer->file);
}

/* One for 500 ms of waiting, and one in 2 s: see CPU_TRIGGER in service/kernel-files.c. */
#define PRESSED_USEC (500 * USEC_PER_MSEC)
#define PRESSED_WINDOW_USEC (2 * USEC_PER_SEC)

static Pressed pressed_now(void) {
        Pressed pressed = { .begin_usec = usec_now(CLOCK_MONOTONIC) };
        _cleanup_close_ int fd = kernel_file_open(KERNEL_FILE_CPU_PRESSURE);
        char text[KERNEL_FILE_TEXT_MAX];

        if (fd >= 0 && kernel_file_read(fd, text) >= 0)
                (void) kernel_file_find(text, " total=", &pressed.total_usec, NULL);
        return pressed;
}

/* The first event may be for what was waited in the window before it. */
Pressed pressed_begin(void) {
        Pressed pressed = pressed_now();

        g_usleep(PRESSED_WINDOW_USEC);
        return pressed;
}

double pressed_since(Pressed before) {
        Pressed now = pressed_now();

        return (double) MIN(
                        (now.total_usec - before.total_usec) / PRESSED_USEC,
                        (now.begin_usec - before.begin_usec) / PRESSED_WINDOW_USEC + 1);
}

Listener listener_start(void) {
        g_autofree char *program = g_build_filename(g_getenv("BENCHMARKS"), "benchmark-listener", NULL);
        const char *const arguments[] = { program, NULL };
        Listener listener;

        listener.process = peer_start(arguments, &listener.fd, NULL);
        g_free(read_line_with(listener.fd, "listening"));
        return listener;
}

double listener_stop(Listener *listener) {
        g_autofree char *line = NULL;
        double n_created;

        g_assert_no_errno(kill(listener->process.pid, SIGTERM));
        line = read_line_with(listener->fd, "created");
        n_created = g_ascii_strtod(line, NULL);
        peer_wait_end(&listener->process);
        g_assert_no_errno(close(listener->fd));
        return n_created;
}
