/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * wbwatch-exporter with the real daemon: its pages and formats, a daemon that is down or does not answer,
 * very many scrapes; and a real Prometheus, which scrapes it and node_exporter while a real worker is stuck.
 */

#include <gio/gio.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "bus-fixture.h"
#include "deadline.h"
#include "private-bus.h"
#include "prometheus.h"
#include "run-wbctl.h"
#include "stuck-worker.h"

#define PUBLIC_SOCKET "/run/wbwatchd/public"

/* Prometheus gives up a scrape after 10 s. */
#define ANSWERS_WITHIN_SEC 8

typedef struct Exporter {
        Process process;
        char *address; /* "127.0.0.1:41231" */
        int stderr_fd;
} Exporter;

/* The network namespace of the test has a loopback interface only, which is down. */
static void set_loopback_up(void) {
        _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };

        g_assert_no_errno(ioctl(fd, SIOCSIFFLAGS, &request));
}

static Exporter exporter_start(BusFixture *fixture, const char *option) {
        const char *arguments[] = { g_getenv("WBWATCH_EXPORTER"), "--web.listen-address=127.0.0.1:0", option,
                                    NULL };
        ProcessSettings settings = { .environment = g_get_environ(), .uid = UID_NOBODY };
        Exporter exporter = {};
        g_autofree char *line = NULL;

        settings.environment = g_environ_setenv(
                        settings.environment, "DBUS_SYSTEM_BUS_ADDRESS", fixture->bus_address, true);
        exporter.process = process_start(arguments, &settings, NULL, &exporter.stderr_fd);
        g_strfreev(settings.environment);
        line = read_line_with(exporter.stderr_fd, "Listening on http://");
        exporter.address = g_strdup(strstr(line, "http://") + strlen("http://"));
        *strchr(exporter.address, '/') = '\0';
        return exporter;
}

/* SIGTERM ends it with success. */
static void exporter_stop(BusFixture *fixture, Exporter *exporter) {
        g_assert_no_errno(kill(exporter->process.pid, SIGTERM));
        g_assert_cmpint(process_wait_end(&exporter->process, fixture->deadline_usec), ==, 0);
        (void) close(exporter->stderr_fd);
        g_free(exporter->address);
}

static void assert_answer(
                const Exporter *exporter,
                const char *method,
                const char *path,
                const char *status,
                const char *part) {
        g_autofree char *answer = http_request(exporter->address, method, path, "");

        g_test_message("%s %s: %s", method, path, answer);
        g_assert_true(g_str_has_prefix(answer, status));
        g_assert_nonnull(strstr(answer, part));
        if (streq(method, "HEAD"))
                g_assert_cmpstr(http_content(answer), ==, "");
}

/* The metrics, which all parsers must accept in both formats and read alike. */
static char *scrape(const Exporter *exporter) {
        g_autofree char *text = http_request(exporter->address, "GET", "/metrics", "");
        g_autofree char *openmetrics = http_request(
                        exporter->address, "GET", "/metrics",
                        "Accept: text/plain;q=0.5\r\nAccept: application/openmetrics-text;version=1.0.0\r\n");

        g_assert_nonnull(strstr(text, "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
        g_assert_nonnull(strstr(
                        openmetrics,
                        "\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
        if (prometheus_is_there()) {
                g_autofree char *samples = metrics_parse(http_content(text), false);
                g_autofree char *same = metrics_parse(http_content(openmetrics), true);

                g_assert_nonnull(strstr(samples, "wbwatch_up"));
                g_assert_nonnull(strstr(same, "wbwatch_up"));
        }
        return g_strdup(http_content(text));
}

static void assert_up(const Exporter *exporter, bool is_up) {
        gint64 start_usec = g_get_monotonic_time();
        g_autofree char *text = NULL;

        /* The answer of up to a second ago may be shared once. */
        do {
                g_free(text);
                text = scrape(exporter);
        } while (!strstr(text, is_up ? "wbwatch_up 1\n" : "wbwatch_up 0\n") &&
                 g_get_monotonic_time() - start_usec < ANSWERS_WITHIN_SEC * G_USEC_PER_SEC);
        g_assert_nonnull(strstr(text, is_up ? "wbwatch_up 1\n" : "wbwatch_up 0\n"));
        g_assert_true(!strstr(text, "wbwatch_state") == !is_up);
}

static void test_pages(BusFixture *fixture, gconstpointer data) {
        Exporter exporter = exporter_start(fixture, NULL);

        assert_answer(&exporter, "GET", "/metrics", "HTTP/1.1 200 ", "\nwbwatch_up 0\n");
        assert_answer(&exporter, "HEAD", "/metrics", "HTTP/1.1 200 ", "\r\nContent-Length: ");
        assert_answer(&exporter, "GET", "/healthz", "HTTP/1.1 200 ", "\r\n\r\nOK\n");
        assert_answer(&exporter, "GET", "/", "HTTP/1.1 200 ", "<a href=\"/metrics\">");
        assert_answer(&exporter, "GET", "/metrics/", "HTTP/1.1 404 ", "Not found\n");
        assert_answer(&exporter, "GET", "/metrics?x=1", "HTTP/1.1 200 ", "\nwbwatch_up 0\n");
        assert_answer(&exporter, "HEAD", "/nothing", "HTTP/1.1 404 ", "\r\n");
        assert_answer(&exporter, "POST", "/metrics", "HTTP/1.1 405 ", "\r\nAllow: GET, HEAD\r\n");
        assert_answer(&exporter, "DELETE", "/nothing", "HTTP/1.1 405 ", "\r\nAllow: GET, HEAD\r\n");
        exporter_stop(fixture, &exporter);
}

static void test_path(BusFixture *fixture, gconstpointer data) {
        Exporter exporter = exporter_start(fixture, "--web.telemetry-path=/a&b");

        assert_answer(&exporter, "GET", "/a&b", "HTTP/1.1 200 ", "\nwbwatch_up 0\n");
        assert_answer(&exporter, "GET", "/", "HTTP/1.1 200 ", "<a href=\"/a&amp;b\">");
        assert_answer(&exporter, "GET", "/metrics", "HTTP/1.1 404 ", "Not found\n");
        exporter_stop(fixture, &exporter);
}

/* An address with a port that is free in the network namespace of the test. */
static char *free_address(void) {
        _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(address);

        g_assert_no_errno(bind(fd, (struct sockaddr *) &address, size));
        g_assert_no_errno(getsockname(fd, (struct sockaddr *) &address, &size));
        return g_strdup_printf("127.0.0.1:%u", ntohs(address.sin_port));
}

/* As from a socket unit: the first client starts it. */
static void test_systemd_socket(BusFixture *fixture, gconstpointer data) {
        g_autofree char *address = free_address(), *option = g_strdup_printf("--listen=%s", address);
        const char *arguments[] = { "systemd-socket-activate", option, g_getenv("WBWATCH_EXPORTER"),
                                    "--web.systemd-socket", NULL };
        Exporter exporter = { .address = g_strdup(address) };

        exporter.process = process_start(arguments, NULL, NULL, &exporter.stderr_fd);
        g_free(read_line_with(exporter.stderr_fd, "Listening on "));
        assert_answer(&exporter, "GET", "/healthz", "HTTP/1.1 200 ", "OK\n");
        assert_answer(&exporter, "GET", "/metrics", "HTTP/1.1 200 ", "\nwbwatch_up 0\n");
        exporter_stop(fixture, &exporter);
}

static void test_command_line(BusFixture *fixture, gconstpointer data) {
        static const struct {
                const char *argument, *words;
                int status;
        } rows[] = {
                { "--web.listen-address=nonsense", "\"nonsense\" is not an address", 1 },
                { "--web.listen-address=127.0.0.1:65536", "with a port from 0 to 65535", 1 },
                { "--web.listen-address=::1:0", "expected HOST:PORT, [IPv6]:PORT or :PORT", 1 },
                { "--web.listen-address=192.0.2.1:0", "cannot listen on \"192.0.2.1:0\": Cannot assign", 1 },
                { "--web.systemd-socket", "systemd passes no socket", 1 },
                { "--web.telemetry-path=metrics", "\"metrics\" must begin with a slash", 2 },
                { "--web.telemetry-path=/healthz", "/healthz is another page", 2 },
                { "extra", "Unexpected argument \"extra\"", 2 },
                { "--nonsense", "Unknown option --nonsense", 2 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const char *arguments[] = { g_getenv("WBWATCH_EXPORTER"), rows[i].argument, NULL };
                int stderr_fd;
                Process process = process_start(arguments, NULL, NULL, &stderr_fd);
                g_autofree char *line = read_line_with(stderr_fd, "wbwatch-exporter: ");

                g_test_message("%s", line);
                g_assert_nonnull(strstr(line, rows[i].words));
                g_assert_cmpint(WEXITSTATUS(process_wait_end(&process, fixture->deadline_usec)), ==,
                                rows[i].status);
                (void) close(stderr_fd);
        }
}

/* Down, up, silent, up, killed: over the socket, or over the bus. The exporter starts nothing. */
static void check_daemon(BusFixture *fixture, bool over_bus) {
        Exporter exporter;

        fixture_start_bus(fixture);
        exporter = exporter_start(fixture, NULL);
        assert_up(&exporter, false);

        fixture_start_daemon(fixture, over_bus ? "--socket-dir=" : "--socket-dir=/run/wbwatchd", NULL);
        if (over_bus) {
                _cleanup_client_ Client *client = client_new(fixture, UID_ROOT);

                g_free(client_wait_owner(client, BUS_NAME));
        } else
                fixture_stop_bus(fixture);
        g_assert_cmpint(g_file_test(PUBLIC_SOCKET, G_FILE_TEST_EXISTS), ==, !over_bus);
        assert_up(&exporter, true);

        g_assert_no_errno(kill(fixture->daemon.pid, SIGSTOP));
        assert_up(&exporter, false);
        g_assert_no_errno(kill(fixture->daemon.pid, SIGCONT));
        assert_up(&exporter, true);

        fixture_kill_daemon(fixture);
        assert_up(&exporter, false);
        exporter_stop(fixture, &exporter);
}

static void test_over_bus(BusFixture *fixture, gconstpointer data) {
        check_daemon(fixture, true);
}

static void test_over_socket(BusFixture *fixture, gconstpointer data) {
        check_daemon(fixture, false);
}

/* The given socket only, never the bus. */
static void test_socket_option(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = NULL;
        g_autofree char *option = g_strdup_printf("--socket=%s/public", fixture->socket_folder);
        Exporter right, wrong;

        fixture_start_bus(fixture);
        client = client_new(fixture, UID_ROOT);
        fixture_start_daemon(fixture, NULL);
        g_free(client_wait_owner(client, BUS_NAME));
        right = exporter_start(fixture, option);
        wrong = exporter_start(fixture, "--socket=/nonexistent");
        assert_up(&right, true);
        assert_up(&wrong, false);
        exporter_stop(fixture, &right);
        exporter_stop(fixture, &wrong);
}

/* Many scrapes share an answer: the daemon is asked once in a second. Counted by a monitor of the bus. */

#define SCRAPES 1000

#define MONITOR_POLICY                                                                                       \
        "<policy user='root'><allow send_destination='org.freedesktop.DBus'"                                 \
        " send_interface='org.freedesktop.DBus.Monitoring'/></policy>"

/* How many calls GetAll there have been before that of this client. */
static unsigned count_calls_before(Client *monitor, const Client *client) {
        unsigned n = 0;

        while (!streq(g_dbus_message_get_sender(client_wait_call(monitor, "GetAll")),
                      client_unique_name(client)))
                n++;
        return n;
}

static void become_monitor(Client *client) {
        const char *const rules[] = { "type='method_call',member='GetAll'", NULL };

        (void) client_ask(
                        client, DBUS_NAME, DBUS_PATH, "org.freedesktop.DBus.Monitoring", "BecomeMonitor",
                        g_variant_new("(^asu)", rules, 0));
}

static gpointer scrape_often(gpointer data) {
        const Exporter *exporter = data;

        for (unsigned i = 0; i < SCRAPES / 4; i++) {
                g_autofree char *answer = http_request(exporter->address, "GET", "/metrics", "");

                g_assert_true(g_str_has_prefix(answer, "HTTP/1.1 200 "));
        }
        return NULL;
}

static void test_many_scrapes(BusFixture *fixture, gconstpointer data) {
        _cleanup_client_ Client *client = NULL, *monitor = NULL;
        gint64 start_usec, seconds;
        GThread *threads[4];
        Exporter exporter;
        unsigned n;

        private_bus_set_extra(fixture->folder, MONITOR_POLICY);
        fixture_start_bus(fixture);
        client = client_new(fixture, UID_ROOT);
        fixture_start_daemon(fixture, "--socket-dir=", NULL);
        g_free(client_wait_owner(client, BUS_NAME));
        monitor = client_new(fixture, UID_ROOT);
        become_monitor(monitor);
        exporter = exporter_start(fixture, NULL);

        start_usec = g_get_monotonic_time();
        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                threads[i] = g_thread_new("scrape", scrape_often, &exporter);
        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                (void) g_thread_join(threads[i]);
        seconds = (g_get_monotonic_time() - start_usec) / G_USEC_PER_SEC;

        (void) client_ask(
                        client, BUS_NAME, BUS_PATH, PROPERTIES_INTERFACE, "GetAll",
                        g_variant_new("(s)", BUS_INTERFACE));
        n = count_calls_before(monitor, client);
        g_test_message("%u scrapes in %d s: %u calls", SCRAPES, (int) seconds, n);
        g_assert_cmpuint(n, >=, 1);
        g_assert_cmpuint(n, <=, seconds + 1);
        exporter_stop(fixture, &exporter);
}

static unsigned count_fds(pid_t pid) {
        g_autofree char *path = g_strdup_printf("/proc/%d/fd", (int) pid);
        g_autoptr(GDir) fds = g_dir_open(path, 0, NULL);
        unsigned n = 0;

        g_assert_nonnull(fds);
        while (g_dir_read_name(fds))
                n++;
        return n;
}

/* A connection from 127.0.0.N, which requests nothing. */
static GSocketConnection *connect_from(const Exporter *exporter, unsigned n) {
        g_autofree char *address = g_strdup_printf("127.0.0.%u", n);
        g_autoptr(GSocketAddress) local = g_inet_socket_address_new_from_string(address, 0);
        g_autoptr(GSocketClient) client = http_client_new();
        g_autoptr(GError) error = NULL;
        GSocketConnection *connection;

        g_socket_client_set_local_address(client, local);
        connection = g_socket_client_connect_to_host(client, exporter->address, 80, NULL, &error);
        g_assert_no_error(error);
        return connection;
}

/* Clients that do not end their request are too many at once: those that do must wait, and are served when
 * these are gone. */
static void test_many_clients(BusFixture *fixture, gconstpointer data) {
        Exporter exporter = exporter_start(fixture, NULL);
        g_autoptr(GPtrArray) connections = g_ptr_array_new_with_free_func(g_object_unref);
        g_autofree char *answer = NULL;

        for (unsigned i = 0; i < 100; i++)
                g_ptr_array_add(connections, connect_from(&exporter, 2 + i / 10));
        g_assert_cmpint(count_fds(exporter.process.pid), <, 80);
        g_ptr_array_set_size(connections, 0);
        answer = http_request(exporter.address, "GET", "/healthz", "");
        g_assert_true(g_str_has_prefix(answer, "HTTP/1.1 200 "));
        exporter_stop(fixture, &exporter);
}

/* Whether the exporter has closed it; waits for that if wanted. */
static bool is_closed(GSocketConnection *connection, bool wait) {
        GSocket *socket = g_socket_connection_get_socket(connection);
        char byte;

        return g_socket_receive_with_blocking(socket, &byte, 1, wait, NULL, NULL) == 0;
}

/* One that keeps as many connections as it gets, by whatever it sends, leaves enough for others. */
static void test_one_greedy_client(BusFixture *fixture, gconstpointer data) {
        Exporter exporter = exporter_start(fixture, NULL);
        g_autoptr(GPtrArray) connections = g_ptr_array_new_with_free_func(g_object_unref);
        g_autofree char *answer = NULL;

        for (unsigned i = 0; i < 64; i++)
                g_ptr_array_add(connections, connect_from(&exporter, 2));
        for (unsigned i = 16; i < 64; i++)
                g_assert_true(is_closed(connections->pdata[i], true));
        for (unsigned i = 0; i < 16; i++)
                g_assert_false(is_closed(connections->pdata[i], false));
        answer = http_request(exporter.address, "GET", "/healthz", "");
        g_assert_true(g_str_has_prefix(answer, "HTTP/1.1 200 "));
        g_assert_false(is_closed(connections->pdata[0], false));
        exporter_stop(fixture, &exporter);
}

/* Prometheus */

/* The rules with a shorter "for", so that the test does not take minutes. */
static void write_rules(const char *folder) {
        g_autofree char *source = fixture_source_file("service/deploy/prometheus/wbwatch.rules.yml");
        g_autofree char *path = g_build_filename(folder, "wbwatch.rules.yml", NULL), *text = NULL;
        g_autoptr(GString) rules = NULL;

        g_assert_true(g_file_get_contents(source, &text, NULL, NULL));
        rules = g_string_new(text);
        g_assert_cmpuint(g_string_replace(rules, "for: 2m", "for: 1s", 0), >, 0);
        g_assert_true(g_file_set_contents(path, rules->str, -1, NULL));
}

static Process start_prometheus(
                const char *folder,
                const char *address,
                const char *exporter,
                const char *node_exporter) {
        g_autofree char *program = prometheus_program("prometheus");
        g_autofree char *config = g_build_filename(folder, "prometheus.yml", NULL);
        g_autofree char *text =
                        g_strdup_printf("global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
                                        "rule_files: [wbwatch.rules.yml]\n"
                                        "scrape_configs:\n"
                                        "  - {job_name: wbwatch, static_configs: [{targets: ['%s']}]}\n"
                                        "  - {job_name: node, static_configs: [{targets: ['%s']}]}\n",
                                        exporter, node_exporter);
        g_autofree char *config_option = g_strdup_printf("--config.file=%s", config);
        g_autofree char *data_option = g_strdup_printf("--storage.tsdb.path=%s/data", folder);
        g_autofree char *address_option = g_strdup_printf("--web.listen-address=%s", address);
        const char *arguments[] = { program, config_option, data_option, address_option, NULL };
        const ProcessSettings settings = { .drops_stderr = true };

        write_rules(folder);
        g_assert_true(g_file_set_contents(config, text, -1, NULL));
        return process_start(arguments, &settings, NULL, NULL);
}

static Process start_node_exporter(const char *folder, const char *address) {
        g_autofree char *program = prometheus_program("prometheus-node-exporter");
        g_autofree char *folder_option = g_strdup_printf("--collector.textfile.directory=%s", folder);
        g_autofree char *address_option = g_strdup_printf("--web.listen-address=%s", address);
        const char *arguments[] = { program,
                                    "--collector.disable-defaults",
                                    "--collector.textfile",
                                    folder_option,
                                    address_option,
                                    NULL };
        const ProcessSettings settings = { .drops_stderr = true };

        return process_start(arguments, &settings, NULL, NULL);
}

/* What `wbctl metrics` writes for node_exporter: as a timer would, at each call. */
static void write_textfile(BusFixture *fixture) {
        g_autofree char *arguments = g_strdup_printf("metrics --output=%s/wbwatch.prom", fixture->folder);
        g_autofree char *out = NULL, *err = NULL;

        g_assert_cmpint(run_wbctl(arguments, fixture->bus_address, &out, &err), ==, 0);
}

/* The answer of Prometheus to a query. */
static char *query(const char *address, const char *expression) {
        g_autofree char *escaped = g_uri_escape_string(expression, NULL, false);
        g_autofree char *path = g_strdup_printf("/api/v1/query?query=%s", escaped);

        return http_request(address, "GET", path, "");
}

/* Waits until the query has this number of results. */
static void wait_results(BusFixture *fixture, const char *address, const char *expression, unsigned n) {
        for (;;) {
                g_autofree char *answer = query(address, expression);
                unsigned found = 0;

                for (const char *i = answer; (i = strstr(i, "\"metric\":")); i++)
                        found++;
                if (strstr(answer, "\"status\":\"success\"") && found == n)
                        return;
                if (g_get_monotonic_time() > fixture->deadline_usec)
                        g_error("%s: %s", expression, answer);
                write_textfile(fixture);
                g_usleep(G_USEC_PER_SEC / 10); /* its interval is a second; it cannot be awaited */
        }
}

/* Prometheus itself must understand each expression of the dashboard. */
static void check_dashboard(const char *address) {
        g_autofree char *path = fixture_source_file("service/deploy/grafana/wbwatch.json"), *text = NULL;
        g_autoptr(GRegex) regex = g_regex_new("\"expr\": \"((?:[^\"\\\\]|\\\\.)*)\"", 0, 0, NULL);
        g_autoptr(GMatchInfo) match = NULL;
        unsigned n = 0;

        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        for (g_regex_match(regex, text, 0, &match); g_match_info_matches(match);
             g_match_info_next(match, NULL)) {
                g_autofree char *escaped = g_match_info_fetch(match, 1);
                g_autofree char *expression = g_strcompress(escaped), *answer = NULL;

                answer = query(address, expression);
                if (!strstr(answer, "\"status\":\"success\""))
                        g_error("%s: %s", expression, answer);
                n++;
        }
        g_assert_cmpuint(n, >, 10);
}

#define ALERT(name, state) "ALERTS{alertname=\"" name "\",alertstate=\"" state "\"}"

/* The worker waits, which counts with CountWaiting; nothing syncs, since sync(2) would hang. */
#define STUCK_CONFIG                                                                                         \
        "[Watch]\nGlob=kworker/*+flush-7:*\nThresholdSec=1s\nIdleScanIntervalSec=1s\nCrowdSize=0\n"          \
        "CountWaiting=yes\nDryRun=yes\n"

static void test_alert(BusFixture *fixture, gconstpointer data) {
        g_autofree char *address = free_address(), *node_address = free_address();
        _cleanup_client_ Client *client = NULL;
        Process prometheus, node_exporter;
        StuckWorker stuck;
        Exporter exporter;

        if (!prometheus_is_there())
                return;
        fixture->netlink = true;
        fixture_start_bus(fixture);
        client = client_new(fixture, UID_NOBODY);
        fixture_write_config(fixture, STUCK_CONFIG);
        fixture_start_daemon(fixture, "--proc-root", "/proc", NULL);
        g_free(client_wait_owner(client, BUS_NAME));
        exporter = exporter_start(fixture, NULL);
        write_textfile(fixture);
        node_exporter = start_node_exporter(fixture->folder, node_address);
        prometheus = start_prometheus(fixture->folder, address, exporter.address, node_address);
        wait_results(fixture, address, "wbwatch_up == 1", 2);
        wait_results(fixture, address, "ALERTS", 0);
        check_dashboard(address);

        stuck_worker_begin(&stuck, 60);
        wait_results(fixture, address, "wbwatch_workers{kind=\"waiting\"} > 0", 2);
        wait_results(fixture, address, ALERT("WbwatchWorkersStuck", "firing"), 2);
        stuck_worker_let_go(&stuck);
        wait_results(fixture, address, "wbwatch_episodes_total{outcome=\"cleared\"} == 1", 2);
        wait_results(fixture, address, "ALERTS{alertname=\"WbwatchWorkersStuck\"}", 0);

        process_kill(&prometheus, fixture->deadline_usec);
        process_kill(&node_exporter, fixture->deadline_usec);
        exporter_stop(fixture, &exporter);
}

int main(int argc, char **argv) {
        if (!fixture_isolate())
                return 0;
        set_loopback_up();
        g_test_init(&argc, &argv, NULL);

        FIXTURE_TEST("/exporter/pages", test_pages);
        FIXTURE_TEST("/exporter/path", test_path);
        FIXTURE_TEST("/exporter/systemd-socket", test_systemd_socket);
        FIXTURE_TEST("/exporter/command-line", test_command_line);
        FIXTURE_TEST("/exporter/over-bus", test_over_bus);
        FIXTURE_TEST("/exporter/over-socket", test_over_socket);
        FIXTURE_TEST("/exporter/socket-option", test_socket_option);
        FIXTURE_TEST("/exporter/many-scrapes", test_many_scrapes);
        FIXTURE_TEST("/exporter/many-clients", test_many_clients);
        FIXTURE_TEST("/exporter/one-greedy-client", test_one_greedy_client);
        FIXTURE_TEST("/exporter/alert", test_alert);
        return g_test_run();
}
