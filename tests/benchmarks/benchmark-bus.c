/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The cost of a reply on the bus for the service, and the caller's wait for it: wbwatchd with 2,000 running
 * workers, and systemd-hostnamed on the same bus.
 *
 * The services take turns. Their CPU time counts; the rest of the wait is due to the bus and the caller.
 */

#include "measure.h"
#include "names.h"

#define HOSTNAMED "/lib/systemd/systemd-hostnamed"
#define N_WORKERS 2000

typedef struct Service {
        const char *name, *path, *property;
        pid_t pid;
} Service;

typedef enum Question {
        QUESTION_GET,
        QUESTION_GET_ALL,
        QUESTION_LIST_WORKERS,
} Question;

/* Calls once. The reply is read by libsystemd, not examined. */
static void ask(sd_bus *bus, const Service *service, Question question) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        switch (question) {
        case QUESTION_GET:
                r = sd_bus_call_method(
                                bus, service->name, service->path, PROPERTIES_INTERFACE, "Get", &error,
                                &reply, "ss", service->name, service->property);
                break;
        case QUESTION_GET_ALL:
                r = sd_bus_call_method(
                                bus, service->name, service->path, PROPERTIES_INTERFACE, "GetAll", &error,
                                &reply, "s", service->name);
                break;
        default:
                r = sd_bus_call_method(
                                bus, service->name, service->path, service->name, "ListWorkers", &error,
                                &reply, NULL);
        }
        if (r < 0)
                g_error("%s does not answer: %s", service->name, error.message ?: g_strerror(-r));
}

/* n replies to one call: the CPU time of one, and the wait for each. */
static void ask_many(
                sd_bus *bus,
                const Service *service,
                Question question,
                unsigned n,
                Samples *cpu_usec,
                Samples *wait_usec) {

        Usage before = usage_of(service->pid);

        for (unsigned i = 0; i < n; i++) {
                uint64_t begin_usec = usec_now(CLOCK_MONOTONIC);

                ask(bus, service, question);
                samples_add(wait_usec, (double) (usec_now(CLOCK_MONOTONIC) - begin_usec));
        }
        await_quiet(service->pid);
        samples_add(cpu_usec, usage_since(service->pid, before).cpu_msec * 1000 / n);
}

static void measure_question(
                sd_bus *bus,
                const Service *services,
                size_t n_services,
                Question question,
                unsigned n_rounds,
                unsigned n,
                const char *name) {

        static const char *const names[] = { "wbwatchd", "hostnamed" };
        Samples cpu_usec[2], wait_usec[2];

        for (size_t i = 0; i < n_services; i++) {
                cpu_usec[i] = samples_new();
                wait_usec[i] = samples_new();
                ask(bus, &services[i], question);
        }

        for (unsigned round = 0; round < n_rounds; round++)
                for (size_t i = 0; i < n_services; i++)
                        ask_many(bus, &services[i], question, n, &cpu_usec[i], &wait_usec[i]);

        for (size_t i = 0; i < n_services; i++) {
                samples_report(&cpu_usec[i], "us", "bus/%s/%s/cpu", name, names[i]);
                samples_report(&wait_usec[i], "us", "bus/%s/%s/wait", name, names[i]);
                samples_done(&cpu_usec[i]);
                samples_done(&wait_usec[i]);
        }
}

static void add_workers(const FakeProc *proc) {
        g_autoptr(GString) list = g_string_new(NULL);

        for (pid_t pid = 3; pid < 3 + N_WORKERS; pid++) {
                g_autofree char *name = g_strdup_printf("kworker/u16:%d+inode_switch_wbs", (int) pid);

                fake_proc_add(proc, pid, name, FLAGS_WORKER, /* start_time= */ 100);
                g_string_append_printf(list, "%d ", (int) pid);
        }
        fake_proc_list(proc, list->str);
}

int main(int argc, char **argv) {
        static const char *const hostnamed[] = { HOSTNAMED, NULL };
        Service services[] = {
                { .name = BUS_NAME, .path = BUS_PATH, .property = "State" },
                { .name = "org.freedesktop.hostname1",
                  .path = "/org/freedesktop/hostname1",
                  .property = "Hostname" },
        };
        size_t n_services = is_installed(HOSTNAMED) ? 2 : 1;
        unsigned n_rounds, n;
        FakeProc proc;
        Daemon daemon;
        Process peer;
        sd_bus *bus;

        measure_begin(argc, argv);
        bus_start();
        n_rounds = measure_short ? 2 : 10;
        n = measure_short ? 50 : 200;

        proc = fake_proc_new();
        add_workers(&proc);
        bus = bus_connect();

        /* It scans once, and not again during the calls. */
        daemon =
                        daemon_begin(NULL, NULL, "ThresholdSec=24h\nCrowdSize=0\nPollIntervalSec=1min\n",
                                     "--dry-run", "--proc-root", proc.root, NULL);
        daemon_settle(&daemon);
        await_quiet(daemon.process.pid);
        services[0].pid = daemon.process.pid;
        if (n_services > 1) {
                peer = peer_start(hostnamed, NULL, NULL);
                services[1].pid = peer.pid;
                bus_await_name(bus, services[1].name);
        }

        measure_question(bus, services, n_services, QUESTION_GET, n_rounds, n, "Get");
        measure_question(bus, services, n_services, QUESTION_GET_ALL, n_rounds, n, "GetAll");
        measure_question(bus, services, 1, QUESTION_LIST_WORKERS, n_rounds, 1, "ListWorkers");

        sd_bus_flush_close_unref(bus);
        if (n_services > 1)
                peer_stop(&peer, SIGTERM);
        daemon_end(&daemon);
        bus_stop();
        return EXIT_SUCCESS;
}
