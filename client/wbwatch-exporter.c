/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Serves the metrics of wbwatchd to Prometheus. One thread: requests wait for each other, at most for one
 * answer of the daemon (see PAGES_SHARED_USEC).
 */

#include <glib.h>
#include <locale.h>
#include <microhttpd.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>

#include "exporter-pages.h"
#include "kernel-fixes.h"
#include "listen.h"
#include "option-help.h"

#define EXIT_USAGE 2

/* On all addresses, as other exporters do: Prometheus mostly runs elsewhere. The port: docs/monitoring.md. */
#define DEFAULT_ADDRESS ":10917"

/* How long the files that show the bugs of the kernel may take at the start. */
#define KERNEL_TIMEOUT_USEC (5 * USEC_PER_SEC)

/* A systemd socket unit may have several addresses. */
#define LISTENERS_MAX 8

/* Further clients wait until others are done. */
#define CONNECTIONS_MAX 64u
/* Further ones of the same address are closed: one client that sends a byte now and then could keep all. */
#define CONNECTIONS_PER_ADDRESS_MAX 16u
/* Clients that send nothing for so long are dropped. */
#define CONNECTION_TIMEOUT_SEC 10u
/* For the headers of a request and its answer. */
#define CONNECTION_MEMORY ((size_t) 16 * 1024)

static char *listen_address, *telemetry_path, *socket_path, *table_path;
static gboolean systemd_socket, show_version, show_help;

static const GOptionEntry entries[] = {
        { "web.listen-address", 0, 0, G_OPTION_ARG_STRING, &listen_address,
          "Listen there (" DEFAULT_ADDRESS ": on all addresses)", "[HOST]:PORT" },
        { "web.telemetry-path", 0, 0, G_OPTION_ARG_STRING, &telemetry_path, "Path of the metrics (/metrics)",
          "PATH" },
        { "web.systemd-socket", 0, 0, G_OPTION_ARG_NONE, &systemd_socket,
          "Use the sockets that systemd passes", NULL },
        { "socket", 0, 0, G_OPTION_ARG_FILENAME, &socket_path,
          "Read from this socket of wbwatchd, never from the bus", "PATH" },
        { "table", 0, 0, G_OPTION_ARG_FILENAME, &table_path, "Read this table of kernels", "FILE" },
        { "version", 0, 0, G_OPTION_ARG_NONE, &show_version, "Print the version", NULL },
        { "help", 'h', 0, G_OPTION_ARG_NONE, &show_help, "Show this help", NULL },
        {},
};

static void complain(const char *format, ...) _printf_(1, 2);
static void complain(const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        (void) fputs("wbwatch-exporter: ", stderr);
        (void) vfprintf(stderr, format, arguments);
        (void) fputc('\n', stderr);
        va_end(arguments);
}

/* Requests */

static enum MHD_Result send_page(struct MHD_Connection *connection, const Page *page, const char *allow) {
        struct MHD_Response *response = MHD_create_response_from_buffer(
                        strlen(page->text), page->text, MHD_RESPMEM_MUST_COPY);
        enum MHD_Result r;

        if (!response)
                return MHD_NO;
        r = MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, page->media_type);
        if (r == MHD_YES && page->varies)
                r = MHD_add_response_header(response, MHD_HTTP_HEADER_VARY, MHD_HTTP_HEADER_ACCEPT);
        if (r == MHD_YES && allow)
                r = MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
        if (r == MHD_YES)
                r = MHD_queue_response(connection, page->status, response);
        MHD_destroy_response(response);
        return r;
}

/* A list may be spread over several headers (RFC 9110, section 5.3). */
static enum MHD_Result append_accept(
                void *userdata,
                enum MHD_ValueKind kind,
                const char *name,
                const char *value) {
        GString *accept = userdata;

        if (value && g_ascii_strcasecmp(name, MHD_HTTP_HEADER_ACCEPT) == 0)
                g_string_append_printf(accept, "%s%s", accept->len > 0 ? "," : "", value);
        return MHD_YES;
}

/* Answered as soon as the headers are there. libmicrohttpd itself sends no body for HEAD. */
static enum MHD_Result on_request(
                void *userdata,
                struct MHD_Connection *connection,
                const char *path,
                const char *method,
                const char *version,
                const char *upload,
                size_t *upload_size,
                void **request) {
        Page refusal = { 405, "text/plain; charset=utf-8", (char *) "Method not allowed\n", false };
        g_autoptr(GString) accept = g_string_new(NULL);
        _cleanup_(page_done) Page page = {};

        if (!streq(method, MHD_HTTP_METHOD_GET) && !streq(method, MHD_HTTP_METHOD_HEAD))
                return send_page(connection, &refusal, "GET, HEAD");
        (void) MHD_get_connection_values(connection, MHD_HEADER_KIND, append_accept, accept);
        page = pages_get(userdata, path, accept->len > 0 ? accept->str : NULL);
        return send_page(connection, &page, NULL);
}

/* Listening */

typedef struct Server {
        Pages pages;
        size_t n_listeners;
        struct MHD_Daemon *listeners[LISTENERS_MAX];
        struct pollfd fds[LISTENERS_MAX + 1]; /* theirs, and the one for signals */
} Server;

static void server_done(Server *server) {
        for (size_t i = 0; i < server->n_listeners; i++)
                MHD_stop_daemon(server->listeners[i]);
        pages_done(&server->pages);
}

/* Owns the descriptor. */
static int server_add(Server *server, int fd) {
        g_autofree char *where = listen_describe(fd);
        struct MHD_Daemon *listener = MHD_start_daemon(
                        MHD_USE_EPOLL, 0, NULL, NULL, on_request, &server->pages, MHD_OPTION_LISTEN_SOCKET,
                        fd, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
                        CONNECTIONS_PER_ADDRESS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, CONNECTION_TIMEOUT_SEC,
                        MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, MHD_OPTION_END);
        const union MHD_DaemonInfo *info;

        if (!listener) {
                complain("Cannot serve %s: %s.", where, errno_text(errno));
                (void) close(fd);
                return -EIO;
        }
        server->listeners[server->n_listeners] = listener;
        info = MHD_get_daemon_info(listener, MHD_DAEMON_INFO_EPOLL_FD);
        server->fds[server->n_listeners++] = (struct pollfd){ .fd = info->epoll_fd, .events = POLLIN };
        (void) fprintf(stderr, "Listening on http://%s%s\n", where, server->pages.metrics_path);
        return 0;
}

static int add_systemd_sockets(Server *server) {
        int n = sd_listen_fds(true), r;

        if (n <= 0) {
                complain("--web.systemd-socket: systemd passes no socket. Start wbwatch-exporter.socket.");
                return -ENOTCONN;
        }
        if (n > LISTENERS_MAX) {
                complain("--web.systemd-socket: %d sockets exceed the maximum of %d.", n, LISTENERS_MAX);
                return -E2BIG;
        }
        for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + n; fd++) {
                if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, /* listening= */ 1) <= 0) {
                        complain("--web.systemd-socket: expected listening stream sockets.");
                        return -EINVAL;
                }
                r = server_add(server, fd);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_own_socket(Server *server) {
        g_autofree char *error = NULL;
        int fd, r;

        r = listen_on(listen_address ?: DEFAULT_ADDRESS, &fd, &error);
        if (r < 0) {
                complain("--web.listen-address: %s.", error);
                return r;
        }
        return server_add(server, fd);
}

static int add_signals(Server *server) {
        sigset_t mask;
        int fd;

        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGTERM);
        (void) sigaddset(&mask, SIGINT);
        (void) signal(SIGPIPE, SIG_IGN);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
        if (fd < 0)
                return -errno;
        server->fds[server->n_listeners] = (struct pollfd){ .fd = fd, .events = POLLIN };
        return 0;
}

/* Until a client must be dropped, in milliseconds; -1: there is none. */
static int listener_timeout(struct MHD_Daemon *listener) {
        unsigned long long timeout;

        return MHD_get_timeout(listener, &timeout) == MHD_YES ? (int) MIN(timeout, 1000ull) : -1;
}

/* Until MHD_run() must be called. After a run in which clients may have gone once more at once: past
 * CONNECTIONS_MAX, libmicrohttpd begins to accept again with the next run only. */
static int server_timeout(const Server *server, bool was_active) {
        int shortest = was_active ? 0 : -1;

        for (size_t i = 0; i < server->n_listeners; i++) {
                int timeout = listener_timeout(server->listeners[i]);

                if (timeout >= 0)
                        shortest = shortest < 0 ? timeout : MIN(shortest, timeout);
        }
        return shortest;
}

/* Until SIGTERM or SIGINT. */
static int server_run(Server *server) {
        const struct pollfd *signals = &server->fds[server->n_listeners];
        bool was_active = false;

        while (signals->revents == 0) {
                int timeout = server_timeout(server, was_active), n;

                n = poll(server->fds, server->n_listeners + 1, timeout);
                if (n < 0 && errno != EINTR)
                        return -errno;
                was_active = n > 0 || timeout > 0;
                for (size_t i = 0; i < server->n_listeners; i++)
                        (void) MHD_run(server->listeners[i]);
        }
        return 0;
}

static int serve(void) {
        _cleanup_(server_done) Server server = { .pages.metrics_path = telemetry_path ?: "/metrics",
                                                 .pages.socket = socket_path };
        KernelFixes kernel;
        int r;

        kernel_fixes_start(&kernel, table_path);
        server.pages.fixes = kernel_fixes_finish(&kernel, usec_now(CLOCK_MONOTONIC) + KERNEL_TIMEOUT_USEC);
        if ((systemd_socket ? add_systemd_sockets(&server) : add_own_socket(&server)) < 0)
                return EXIT_FAILURE;
        r = add_signals(&server);
        if (r >= 0) {
                (void) sd_notify(false, "READY=1");
                r = server_run(&server);
        }
        if (r < 0)
                complain("Cannot serve: %s.", errno_text(-r));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* The command line */

static int refuse_usage(const char *format, ...) _printf_(1, 2);
static int refuse_usage(const char *format, ...) {
        g_autofree char *words = NULL;
        va_list arguments;

        va_start(arguments, format);
        words = g_strdup_vprintf(format, arguments);
        va_end(arguments);
        complain("%s. See `wbwatch-exporter --help`.", words);
        return EXIT_USAGE;
}

/* Returns 0 or an exit status. */
static int check_options(char **arguments) {
        if (arguments[0])
                return refuse_usage("Unexpected argument \"%s\"", arguments[0]);
        if (systemd_socket && listen_address)
                return refuse_usage("--web.systemd-socket and --web.listen-address exclude each other");
        if (telemetry_path && *telemetry_path != '/')
                return refuse_usage("--web.telemetry-path: \"%s\" must begin with a slash", telemetry_path);
        if (telemetry_path && streq(telemetry_path, "/healthz"))
                return refuse_usage("--web.telemetry-path: /healthz is another page");
        return 0;
}

int main(int argc, char **argv) {
        g_autoptr(GOptionContext) context = g_option_context_new(NULL);
        g_autoptr(GError) error = NULL;
        int status;

        (void) setlocale(LC_CTYPE, "");
        g_option_context_set_help_enabled(context, FALSE); /* see option_help_print() */
        g_option_context_set_summary(context, "Serves the metrics of wbwatchd to Prometheus.");
        g_option_context_add_main_entries(context, entries, NULL);
        if (!g_option_context_parse(context, &argc, &argv, &error))
                return refuse_usage("%s", error->message);
        if (show_help) {
                option_help_print(context);
                return EXIT_SUCCESS;
        }
        if (show_version) {
                printf("wbwatch-exporter %s\n", WBWATCH_VERSION);
                return EXIT_SUCCESS;
        }
        status = check_options(argv + 1);
        return status != 0 ? status : serve();
}
