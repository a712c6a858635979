/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The verbs inhibit and inhibitors. `wbctl inhibit` holds the descriptor itself, and does not pass it on: a
 * service that the command leaves behind would hold it, too. With --host, a wbctl there holds it, for as long
 * as its stdin is open.
 */

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "client.h"
#include "connection.h"
#include "destination.h"
#include "json.h"
#include "remote.h"
#include "values.h"

/* The exit statuses of shells and systemd-inhibit(1) for a command that can't be executed, that is not found,
 * and that a signal ended. */
#define EXIT_CANNOT_EXECUTE 126
#define EXIT_NOT_FOUND 127
#define EXIT_SIGNAL 128

/* Long enough to type a password. */
#define INHIBIT_TIMEOUT_USEC (6 * USEC_PER_MINUTE)

#define RETRY_USEC USEC_PER_SEC

/* The daemon refuses longer texts. */
#define DEFAULT_WHO_MAX 255

static const Request request_inhibit = {
        .member = METHOD_INHIBIT,
        .purpose = "suspend automatic syncs",
        .action = ACTION_PAUSE,
};

/* A command that runs, and the inhibitor. */
typedef struct Run {
        const char *who, *why;
        int fd;         /* of the inhibitor, or the output of the host; negative while it is lost */
        pid_t host;     /* ssh to the host; 0: there is none */
        int host_stdin; /* open as long as the inhibitor must exist there */
        pid_t pid;
        sd_event *event;
        sd_event_source *hold, *retry;
} Run;

/* Acquiring */

static int make_call(sd_bus *bus, const char *who, const char *why, sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        r = request_new(bus, &request_inhibit, &message);
        if (r < 0)
                return r;
        r = sd_bus_message_append(message, "ss", who, why);
        if (r < 0)
                return r;

        *ret = TAKE_POINTER(message);
        return 0;
}

/* The message owns its descriptor. */
static int read_fd(sd_bus_message *reply, int *ret_fd) {
        int fd, r;

        r = sd_bus_message_read(reply, "h", &fd);
        if (r < 0)
                return r;
        fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
                return -errno;

        *ret_fd = fd;
        return 0;
}

/* Returns 0 or an exit status, after an error message on stderr. */
static int acquire(const Options *options, const char *who, const char *why, int *ret_fd) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL, *reply = NULL;
        int r;

        r = connection_open_or_complain(&bus);
        if (r != 0)
                return r;
        r = make_call(bus, who, why, &message);
        if (r < 0)
                return request_failed(&request_inhibit, r);
        r =
                        request_change(bus, &request_inhibit, message, options->ask_password,
                                       INHIBIT_TIMEOUT_USEC, NULL, NULL, &reply);
        if (r != 0)
                return r;
        r = read_fd(reply, ret_fd);
        return r < 0 ? request_failed(&request_inhibit, r) : 0;
}

/* The same while the command runs: starts nothing, asks for no password, and waits for no longer than a
 * reading call. Returns 0, or an exit status with its words. */
static int acquire_again(const Run *run, int *ret_fd, char **ret_words) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL, *reply = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        r = connection_open(&bus);
        if (r < 0)
                return connection_explain(r, ret_words);
        r = make_call(bus, run->who, run->why, &message);
        if (r >= 0)
                r = sd_bus_message_set_auto_start(message, false);
        if (r >= 0)
                r = sd_bus_call(bus, message, ANSWER_TIMEOUT_USEC, &error, &reply);
        if (r >= 0)
                r = read_fd(reply, ret_fd);
        if (r >= 0)
                return 0;

        /* It may be about to start, or to end. */
        if (r == -ETIMEDOUT || sd_bus_is_open(bus) <= 0) {
                *ret_words = g_strdup("wbwatchd does not answer");
                return EXIT_NO_DAEMON;
        }
        return error_explain(
                        &request_inhibit, error.name ?: SD_BUS_ERROR_FAILED, error.message ?: g_strerror(-r),
                        false, 0, ret_words);
}

/* Acquiring on a host */

/* What the wbctl there runs prints this line once the inhibitor is held; the shell may print more before. */
#define HELD "wbctl: the inhibitor is held"
#define HELD_OUTPUT_MAX (64 * 1024)

/* The wbctl there has this time to end once it may. */
#define HOST_ENDS_WITHIN_USEC (5 * USEC_PER_SEC)

static bool ends_with_held(const GString *text) {
        static const char line[] = "\n" HELD "\n";
        size_t length = strlen(line);

        return text->len >= length && memcmp(text->str + text->len - length, line, length) == 0;
}

/* Reads up to that line. False: the output, its room or the time ended before. */
static bool read_held(int fd, uint64_t deadline_usec) {
        g_autoptr(GString) text = g_string_new("\n");

        while (!ends_with_held(text)) {
                uint64_t left_usec = usec_subtract(deadline_usec, usec_now(CLOCK_MONOTONIC));
                struct pollfd input = { .fd = fd, .events = POLLIN };
                char byte;

                if (left_usec == 0 || text->len > HELD_OUTPUT_MAX)
                        return false;
                if (poll(&input, 1, (int) (MIN(left_usec, USEC_PER_MINUTE) / USEC_PER_MSEC) + 1) <= 0)
                        continue;
                if (read(fd, &byte, 1) <= 0)
                        return false;
                g_string_append_c(text, byte);
        }
        return true;
}

/* Ends its stdin, and with it the inhibitor. Returns as remote_wait(). */
static int host_release(Run *run, uint64_t timeout_usec) {
        pid_t pid = run->host;

        closep(&run->host_stdin);
        run->host_stdin = -EBADF;
        run->host = 0;
        return remote_wait(pid, timeout_usec);
}

static int host_start(Run *run) {
        g_autofree char *who = g_strdup_printf("--who=%s", run->who);
        g_autofree char *why = g_strdup_printf("--why=%s", run->why);
        static const char command[] = "printf '\\n" HELD "\\n' && exec cat";
        const char *const words[] = { "inhibit", who,     why, "--no-ask-password", "--", "sh",
                                      "-c",      command, NULL };
        _cleanup_close_ int in = -EBADF, out = -EBADF;
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        in = fds[0];
        run->host_stdin = fds[1];
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        run->fd = fds[0];
        out = fds[1];
        return remote_start(words, in, out, true, &run->host);
}

/* Returns 0, or an exit status after an error message on stderr. */
static int host_acquire(Run *run) {
        uint64_t deadline_usec =
                        usec_add(usec_now(CLOCK_MONOTONIC), connection_timeout(INHIBIT_TIMEOUT_USEC));
        g_autofree char *explanation = NULL;
        int r;

        r = host_start(run);
        if (r >= 0 && read_held(run->fd, deadline_usec))
                return 0;

        if (r >= 0)
                r = host_release(run, usec_subtract(deadline_usec, usec_now(CLOCK_MONOTONIC)));
        explanation = remote_explain(r);
        complain("%s", explanation);
        return r > 0 && r < EXIT_CANNOT_EXECUTE ? r : EXIT_NO_BUS;
}

/* While the command runs */

static int run_watch(Run *run);

static int run_retry_later(Run *run) {
        int r;

        r = sd_event_source_set_time_relative(run->retry, RETRY_USEC);
        return r < 0 ? r : sd_event_source_set_enabled(run->retry, SD_EVENT_ONESHOT);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Run *run = userdata;
        g_autofree char *words = NULL;
        int r;

        r = acquire_again(run, &run->fd, &words);
        if (r == EXIT_NO_DAEMON || r == EXIT_NO_BUS)
                return run_retry_later(run);
        if (r != 0) {
                complain("Automatic syncs are no longer suspended, and the command goes on: %s", words);
                return 0;
        }

        complain("wbwatchd is back, and automatic syncs are suspended again.");
        return run_watch(run);
}

/* Only the end of the daemon closes the other end; with --host, only the end of ssh or of the wbctl there.
 * That wbctl acquires the inhibitor again by itself when the daemon there ends. */
static int on_released(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Run *run = userdata;
        char buffer[256];

        if (run->host > 0 && read(fd, buffer, sizeof(buffer)) > 0)
                return 0;

        run->hold = sd_event_source_disable_unref(run->hold);
        closep(&run->fd);
        run->fd = -EBADF;
        if (run->host > 0) {
                complain("Lost the connection to %s, and with it the suspension of automatic syncs. The "
                         "command goes on.",
                         destination_get()->name);
                return 0;
        }
        complain("wbwatchd has ended, and with it the suspension of automatic syncs. The command goes on; "
                 "wbctl suspends them again once wbwatchd is back.");
        return run_retry_later(run);
}

static int run_watch(Run *run) {
        return sd_event_add_io(run->event, &run->hold, run->fd, EPOLLIN, on_released, run);
}

/* What the kernel sends for a terminal goes to the command as well. */
static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        const Run *run = userdata;

        if (info->ssi_code != SI_KERNEL)
                (void) kill(run->pid, (int) info->ssi_signo);
        return 0;
}

static int on_ended(sd_event_source *source, const siginfo_t *info, void *userdata) {
        const Run *run = userdata;

        return sd_event_exit(
                        run->event,
                        info->si_code == CLD_EXITED ? info->si_status : EXIT_SIGNAL + info->si_status);
}

/* Returns the exit status of the command, or negative errno. */
static int run_wait(Run *run, const sigset_t *signals) {
        _cleanup_(sd_event_source_unrefp) sd_event_source *child = NULL;
        int r;

        r = sd_event_add_child(run->event, &child, run->pid, WEXITED, on_ended, run);
        for (int sig = 1; r >= 0 && sig < _NSIG; sig++)
                if (sig != SIGCHLD && sigismember(signals, sig) > 0)
                        r = sd_event_add_signal(run->event, NULL, sig, on_signal, run);
        if (r < 0)
                return r;
        r = sd_event_add_time(run->event, &run->retry, CLOCK_MONOTONIC, 0, 0, on_retry, run);
        if (r >= 0)
                r = sd_event_source_set_enabled(run->retry, SD_EVENT_OFF);
        if (r >= 0)
                r = run_watch(run);
        return r < 0 ? r : sd_event_loop(run->event);
}

/* In the child. */
static void execute(char **command, const sigset_t *mask) {
        int error;

        (void) sigprocmask(SIG_SETMASK, mask, NULL);
        (void) execvp(command[0], command);
        error = errno;
        complain("Cannot run %s: %s.", command[0], g_strerror(error));
        _exit(error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE);
}

static void run_done(Run *run) {
        sd_event_source_unref(run->hold);
        sd_event_source_unref(run->retry);
        sd_event_unref(run->event);
        if (run->host > 0)
                (void) host_release(run, HOST_ENDS_WITHIN_USEC);
        closep(&run->host_stdin);
        closep(&run->fd);
}

/* wbctl must outlive the command: it waits behind signals that would end it. */
static int run_command(Run *run, char **command) {
        static const int numbers[] = { SIGCHLD, SIGINT, SIGQUIT, SIGTERM, SIGHUP };
        sigset_t signals, mask;
        int r;

        (void) sigemptyset(&signals);
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                (void) sigaddset(&signals, numbers[i]);
        if (sigprocmask(SIG_BLOCK, &signals, &mask) < 0)
                return -errno;
        r = sd_event_new(&run->event);
        if (r < 0)
                return r;

        run->pid = fork();
        if (run->pid < 0)
                return -errno;
        if (run->pid == 0)
                execute(command, &mask);
        return run_wait(run, &signals);
}

/* The first word of the command, or its end, as valid text. */
static char *default_who(const char *word) {
        g_autofree char *who = g_utf8_make_valid(word, -1);
        const char *end = who;

        while (strlen(end) > DEFAULT_WHO_MAX)
                end = g_utf8_next_char(end);
        return *end ? g_strdup(end) : g_strdup("wbctl");
}

static int check_text(const char *option, const char *text) {
        if (!text || g_utf8_validate(text, -1, NULL))
                return 0;
        complain("The value of --%s is not valid UTF-8.", option);
        return EXIT_USAGE;
}

int verb_inhibit(const Options *options, char **arguments) {
        g_autofree char *who = options->who ? g_strdup(options->who) : default_who(arguments[0]);
        _cleanup_(run_done) Run run = {
                .who = who,
                .why = options->why ?: "",
                .fd = -EBADF,
                .host_stdin = -EBADF,
        };
        int r;

        r = check_text("who", options->who);
        if (r == 0)
                r = check_text("why", options->why);
        if (r == 0 && destination_get()->kind == DESTINATION_HOST)
                r = host_acquire(&run);
        else if (r == 0)
                r = acquire(options, run.who, run.why, &run.fd);
        if (r != 0)
                return r;

        r = run_command(&run, arguments);
        if (r < 0) {
                complain("Cannot wait for the command: %s.", g_strerror(-r));
                return EXIT_FAILURE;
        }
        return r;
}

/* inhibitors */

void inhibitors_append(GString *out, const Terminal *terminal, GVariant *inhibitors, uint64_t now_usec) {
        static const char *const headings[] = { "WHO", "UID", "PID", "SINCE", "WHY", NULL };
        _cleanup_(table_freep) Table *table = table_new(ELEMENTSOF(headings) - 1);

        if (!inhibitors || g_variant_n_children(inhibitors) == 0) {
                g_string_append(out, "No inhibitor is held.\n");
                return;
        }
        table_set_width(table, terminal);
        table_add_all(table, headings);
        for (size_t i = 0; i < g_variant_n_children(inhibitors); i++) {
                g_autoptr(GVariant) inhibitor = g_variant_get_child_value(inhibitors, i);
                uint64_t since_usec;

                table_add_owned(table, lookup_escaped(terminal, inhibitor, "Who"));
                table_add_owned(table, g_strdup_printf("%" PRIu64, lookup_number_or_zero(inhibitor, "UID")));
                table_add_owned(table, g_strdup_printf("%" PRIu64, lookup_number_or_zero(inhibitor, "PID")));
                table_add_owned(table, lookup_number(inhibitor, "SinceUSec", &since_usec)
                                                       ? time_format(since_usec, now_usec)
                                                       : g_strdup("?"));
                table_add_owned(table, lookup_escaped(terminal, inhibitor, "Why"));
        }
        table_append(table, out, "");
}

/* How many the brief list names. */
#define BRIEF_MAX 3

void inhibitors_append_briefly(GString *out, const Terminal *terminal, GVariant *inhibitors) {
        size_t n = g_variant_n_children(inhibitors);

        for (size_t i = 0; i < n && i < BRIEF_MAX; i++) {
                g_autoptr(GVariant) inhibitor = g_variant_get_child_value(inhibitors, i);
                g_autofree char *who = lookup_escaped(terminal, inhibitor, "Who");

                g_string_append_printf(
                                out, "%s%s (pid %" PRIu64 ")", i == 0 ? "" : ", ", who,
                                lookup_number_or_zero(inhibitor, "PID"));
        }
        if (n > BRIEF_MAX)
                g_string_append_printf(out, " and %zu more", n - BRIEF_MAX);
}

int verb_inhibitors(const Options *options, char **arguments) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        g_autoptr(GVariant) properties = NULL, inhibitors = NULL;
        g_autoptr(GString) out = g_string_new(NULL);
        int r;

        r = connection_open_or_complain(&bus);
        if (r == 0)
                r = request_properties(bus, &properties);
        if (r != 0)
                return r;

        /* An older daemon has none. */
        inhibitors = lookup_list(properties, "Inhibitors");
        if (!options->json)
                inhibitors_append(out, &options->terminal, inhibitors, usec_now(CLOCK_REALTIME));
        else if (inhibitors) {
                json_print(inhibitors);
                return EXIT_SUCCESS;
        } else
                g_string_append(out, "[]\n");
        text_print(out);
        return EXIT_SUCCESS;
}
