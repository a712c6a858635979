/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Any bytes as input from a bus: calls of every member with any values, by several callers, and answers of
 * the bus and of polkit that are right, wrong or nonsense. The bus is the other end of a socket; the manager
 * is a fake with the real engine, without processes and with a fake clock.
 *
 * Each call that expects a reply gets one, and no other call does; all sent messages are valid; the settings
 * stay within their bounds; and a sync begins only if an authorized caller requested it, or a worker is
 * stuck.
 */

#include "messages.h"

#include <fcntl.h>
#include <glib.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "asked-bus.h"
#include "bus-reader.h"
#include "bus.h"
#include "log.h"
#include "names.h"
#include "peers.h"

/* More than may wait for authorization, and of one caller at once more than it may have open. */
#define CALLS_MAX 800
#define BURST 140

#define WORKERS_MAX 4

/* Real time. A message that has not arrived by then never will. */
#define SETTLE_USEC (10 * USEC_PER_SEC)

typedef struct Call {
        uint64_t cookie;
        const char *sender;
        bool expects_reply;
        bool may_be_silent; /* the bus reported that the caller is gone */
        unsigned n_replies;
} Call;

static const struct {
        const char *name;
        uint32_t uid;
} callers[] = { { ":1.1", 0 },    { ":1.2", 1000 }, { ":1.3", 1000 },
                { ":1.4", 1001 }, { ":1.5", 1002 }, { NULL, 0 } };

/* The arguments: a signature, in which P stands for a property and a value (sv). */
static const struct {
        const char *path, *interface, *member, *arguments;
} members[] = {
        { BUS_PATH, BUS_INTERFACE, "Pause", "" },
        { BUS_PATH, BUS_INTERFACE, "PauseFor", "t" },
        { BUS_PATH, BUS_INTERFACE, "Resume", "" },
        { BUS_PATH, BUS_INTERFACE, "ForceSync", "" },
        { BUS_PATH, BUS_INTERFACE, "SetProperties", "ba{P}" },
        { BUS_PATH, BUS_INTERFACE, "ListWorkers", "" },
        { BUS_PATH, BUS_INTERFACE, "ListEpisodes", "" },
        { BUS_PATH, PROPERTIES_INTERFACE, "Get", "ss" },
        { BUS_PATH, PROPERTIES_INTERFACE, "GetAll", "s" },
        { BUS_PATH, PROPERTIES_INTERFACE, "Set", "sP" },
        { BUS_PATH, INTROSPECTABLE_INTERFACE, "Introspect", "" },
        { BUS_PATH, PEER_INTERFACE, "Ping", "" },
        { BUS_PATH, PEER_INTERFACE, "GetMachineId", "" },
        { BUS_PATH, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", "" },
        { LOG_CONTROL_PATH, PROPERTIES_INTERFACE, "Get", "ss" },
        { LOG_CONTROL_PATH, PROPERTIES_INTERFACE, "GetAll", "s" },
        { LOG_CONTROL_PATH, PROPERTIES_INTERFACE, "Set", "sP" },
        { LOG_CONTROL_PATH, INTROSPECTABLE_INTERFACE, "Introspect", "" },
        { BUS_PATH, BUS_INTERFACE, "SyncFilesystem", "s" },
        { BUS_PATH, BUS_INTERFACE, "ResetProperties", "bas" },
        { BUS_PATH, BUS_INTERFACE, "Inhibit", "ss" },
};

struct Manager {
        Settings settings;
        Engine *engine;
        Bus *bus;
        Moment now;

        bool may_sync;            /* it was requested, or a worker is stuck */
        bool filesystems_pending; /* of the sync under way */
        bool storing;
        Settings stored; /* while storing */
        bool has_fault;
        uint64_t last_single_id, open_single_id; /* of SyncFilesystem; 0: none is open */
        FilesystemSync results[2];
        size_t n_results;
        Inhibitors *inhibitors;
};

/* Replaces that of libc: the thread's CPU time stands still, so that no call waits for its budget. */
int clock_gettime(clockid_t clock, struct timespec *time) {
        if (clock == CLOCK_THREAD_CPUTIME_ID) {
                *time = (struct timespec){};
                return 0;
        }

        return (int) syscall(SYS_clock_gettime, clock, time);
}

/* The manager, as the bus sees it */

static void check_settings(const Settings *settings) {
        for (SettingId id = 0; id < _SETTING_MAX; id++) {
                const SettingInfo *info = &setting_table[id];
                uint64_t value = info->type == SETTING_TYPE_GLOB ? strlen(settings->glob)
                                                                 : settings_get_number(settings, id);

                fuzz_assert(value >= info->minimum && value <= info->maximum);
        }
}

static void manager_note_evidence(Manager *manager, EngineEvents *events) {
        Evidence evidence = {};

        for (EvidenceId id = 0; id < _EVIDENCE_MAX; id++)
                evidence_set(&evidence, id, manager->now.monotonic_usec);
        if (engine_events_want_evidence(events))
                engine_note_evidence(manager->engine, &evidence, events);
}

/* The filesystems of a sync, as the helpers would list them. */
static void manager_begin_sync(Manager *manager, const Sync *sync) {
        fuzz_assert(manager->may_sync);
        manager->may_sync = false;

        fuzz_assert(sync->dry_run == (sync->rule != RULE_NONE && manager->settings.dry_run));
        manager->filesystems_pending = !sync->dry_run && sync->method != SYNC_METHOD_SYNC;
        manager->n_results = 0;
        if (!manager->filesystems_pending)
                return;

        /* Names may contain any bytes, and are cut anywhere. */
        manager->results[manager->n_results++] = (FilesystemSync){ .mountpoint = "/", .type = "ext4" };
        manager->results[manager->n_results++] =
                        (FilesystemSync){ .mountpoint = "/m\xff\n\xc3", .type = "\xc3\xbc" };
        bus_report_filesystems(manager->bus);
}

static void manager_execute(Manager *manager, EngineEvents *events) {
        const EngineEvent *started = engine_events_find(events, EVENT_SYNC_STARTED);

        if (started)
                manager_begin_sync(manager, &started->sync);
        manager_note_evidence(manager, events);

        bus_report(manager->bus, events);
        if (started && started->sync.dry_run) {
                EngineEvents more = { .n = 0 };

                engine_sync_ended(manager->engine, manager->now, SYNC_PENDING, &more);
                manager_execute(manager, &more);
        }
}

const Engine *manager_engine(const Manager *manager) {
        return manager->engine;
}

const Settings *manager_settings(const Manager *manager) {
        return &manager->settings;
}

uint64_t manager_start_usec(const Manager *manager) {
        return 1;
}

bool manager_listening(const Manager *manager) {
        return true;
}

uint64_t manager_lost_events(const Manager *manager) {
        return 7;
}

const char *manager_fault(const Manager *manager) {
        return manager->has_fault ? "none of the \xff is seen\n" : "";
}

void manager_dirty_bytes(const Manager *manager, uint64_t *ret_dirty, uint64_t *ret_writeback) {
        *ret_dirty = UINT64_MAX;
        *ret_writeback = 0;
}

const FilesystemSync *manager_filesystem_results(const Manager *manager, size_t *ret_n) {
        *ret_n = manager->n_results;
        return manager->results;
}

const char *manager_status(const Manager *manager, char *buffer, size_t size) {
        (void) g_strlcpy(buffer, "fuzzed", size);
        return buffer;
}

void manager_pause(Manager *manager, uint64_t usec) {
        EngineEvents events = { .n = 0 };

        fuzz_assert(usec > 0);
        engine_pause(manager->engine, manager->now, usec, &events);
        manager_execute(manager, &events);
}

void manager_resume(Manager *manager) {
        EngineEvents events = { .n = 0 };

        engine_resume(manager->engine, manager->now, &events);
        manager_execute(manager, &events);
}

const Inhibitors *manager_inhibitors(const Manager *manager) {
        return manager->inhibitors;
}

static void update_inhibitors(void *userdata) {
        Manager *manager = userdata;
        EngineEvents events = { .n = 0 };

        engine_set_inhibitors(
                        manager->engine, manager->now, (uint32_t) inhibitors_count(manager->inhibitors),
                        &events);
        manager_execute(manager, &events);
}

int manager_inhibit(Manager *manager, const Inhibitor *inhibitor, int *ret_fd) {
        int r;

        fuzz_assert(inhibitor->who[0] != '\0' && g_utf8_validate(inhibitor->who, -1, NULL));
        fuzz_assert(g_utf8_validate(inhibitor->why, -1, NULL));
        r = inhibitors_add(manager->inhibitors, inhibitor, ret_fd);
        if (r < 0)
                return r;

        update_inhibitors(manager);
        return 0;
}

void manager_request_sync(Manager *manager) {
        EngineEvents events = { .n = 0 };

        manager->may_sync = true;
        engine_request_sync(manager->engine, manager->now, &events);
        manager_execute(manager, &events);
}

int manager_sync_filesystem(Manager *manager, const char *path, uint64_t *ret_id) {
        fuzz_assert(path[0] == '/' && strlen(path) < PATH_MAX);
        if (manager->open_single_id != 0)
                return -EBUSY;
        if (streq(path, "/"))
                return -EPIPE;

        *ret_id = manager->open_single_id = ++manager->last_single_id;
        return 0;
}

void manager_apply_settings(Manager *manager, const Settings *settings) {
        EngineEvents events = { .n = 0 };

        check_settings(settings);
        manager->settings = *settings;
        bus_report_settings(manager->bus, (1u << _SETTING_MAX) - 1);
        engine_set_settings(manager->engine, manager->now, settings, &events);
        manager_execute(manager, &events);
}

int manager_store_settings(Manager *manager, const Settings *settings, unsigned ids) {
        check_settings(settings);
        fuzz_assert(ids != 0 && ids < 1u << _SETTING_MAX);
        if (manager->storing)
                return -EBUSY;
        if (ids == 1u << SETTING_CROWD_SIZE)
                return -EPIPE;

        manager->storing = true;
        manager->stored = *settings;
        return 0;
}

int manager_reset_settings(Manager *manager, bool is_runtime, unsigned ids) {
        fuzz_assert(ids != 0 && ids < 1u << _SETTING_MAX);
        if (is_runtime)
                return 0;
        if (manager->storing)
                return -EBUSY;

        manager->storing = true;
        settings_init(&manager->stored);
        return 1;
}

/* The bus, as its other end */

typedef struct Fuzz {
        Manager manager;
        sd_event *event;
        sd_bus *peer;
        GQueue questions; /* to the bus and to polkit, in their order */
        Call calls[CALLS_MAX];
        size_t n_calls;
        bool obliging; /* questions are answered at once and correctly */
        bool lost;     /* the connection is unusable */
} Fuzz;

static Call *find_call(Fuzz *fuzz, uint64_t cookie) {
        for (size_t i = 0; i < fuzz->n_calls; i++)
                if (fuzz->calls[i].cookie == cookie)
                        return fuzz->calls + i;

        return NULL;
}

static void take_reply(Fuzz *fuzz, sd_bus_message *m) {
        uint64_t cookie;
        Call *call;

        fuzz_assert(sd_bus_message_get_reply_cookie(m, &cookie) >= 0);
        call = find_call(fuzz, cookie);
        fuzz_assert(call);
        fuzz_assert(call->expects_reply);
        fuzz_assert(g_strcmp0(sd_bus_message_get_destination(m), call->sender) == 0);
        fuzz_assert(++call->n_replies == 1);
}

static int on_peer_message(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Fuzz *fuzz = userdata;
        const char *signature = sd_bus_message_get_signature(m, /* complete= */ true);

        /* A bus would close the connection because of an invalid value. */
        if (*signature != '\0')
                fuzz_assert(sd_bus_message_skip(m, signature) >= 0);
        fuzz_assert(sd_bus_message_rewind(m, /* complete= */ true) >= 0);

        if (sd_bus_message_is_method_call(m, NULL, NULL))
                g_queue_push_tail(&fuzz->questions, sd_bus_message_ref(m));
        else if (!sd_bus_message_is_signal(m, NULL, NULL))
                take_reply(fuzz, m);
        return 1;
}

static int get_listener(void) {
        static int listener = -EBADF;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        g_autofree char *variable = NULL;
        int n;

        if (listener >= 0)
                return listener;

        /* An abstract name leaves no file behind. */
        n = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "wbwatch-fuzz-%d", (int) getpid());
        variable = g_strdup_printf("unix:abstract=%s", address.sun_path + 1);
        fuzz_assert(setenv("DBUS_SYSTEM_BUS_ADDRESS", variable, 1) >= 0);

        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        fuzz_assert(listener >= 0);
        fuzz_assert(bind(listener, (const struct sockaddr *) &address,
                         (socklen_t) (offsetof(struct sockaddr_un, sun_path) + 1 + (size_t) n)) >= 0);
        fuzz_assert(listen(listener, 4) >= 0);
        return listener;
}

/* Reading from the bus: here instead of in a process of its own. Instead of the bus, callers[] says who the
 * users are; those of other names are not known. */
static struct {
        BusReader *reader;
        int fds[3]; /* what it reads from: the first and the last are ends of pairs, the other is a copy */
        AskedBus asked;
} reading;

/* Returns false if there was no question. */
static bool answer_reader(void) {
        g_autofree char *name = NULL;
        guint32 serial;

        if (!asked_bus_take(&reading.asked, &serial, &name))
                return false;

        for (size_t i = 0; callers[i].name; i++)
                if (streq(name, callers[i].name)) {
                        asked_bus_answer(&reading.asked, serial, callers[i].uid);
                        return true;
                }
        asked_bus_refuse(&reading.asked, serial, "org.freedesktop.DBus.Error.Failed");
        return true;
}

static void stop_reading(void) {
        if (!reading.reader)
                return;

        reading.reader = bus_reader_free(reading.reader);
        asked_bus_done(&reading.asked);
        for (size_t i = 0; i < ELEMENTSOF(reading.fds); i++)
                (void) close(reading.fds[i]);
}

int bus_reader_start(int socket, int *ret_fd, Child *ret_child) {
        int pair[2];

        stop_reading();
        fuzz_assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) >= 0);
        reading.fds[0] = pair[1];
        reading.fds[1] = fcntl(socket, F_DUPFD_CLOEXEC, 3);
        fuzz_assert(reading.fds[1] >= 0);
        asked_bus_init(&reading.asked, &reading.fds[2]);
        fuzz_assert(bus_reader_new(reading.fds[0], reading.fds[1], reading.fds[2], &reading.reader) >= 0);

        *ret_fd = pair[0];
        *ret_child = CHILD_NONE;
        return 0;
}

/* Only the bus is fuzzed. */
int peers_start(const Listener *listener, int link_fd, int *ret_fd, Child *ret_child) {
        return -EOPNOTSUPP;
}

static bool read_some(void) {
        if (!reading.reader || (!answer_reader() && bus_reader_wait(reading.reader, 0) <= 0))
                return false;

        if (bus_reader_work(reading.reader) < 0)
                stop_reading();
        return true;
}

/* Lets all ends process all that is possible without waiting. */
static void run(Fuzz *fuzz) {
        bool more;

        do {
                more = sd_event_run(fuzz->event, 0) > 0;
                while (read_some())
                        more = true;
                while (fuzz->peer && sd_bus_process(fuzz->peer, NULL) > 0)
                        more = true;
        } while (more);
}

/* An abandoned connection is closed after a while. */
static void send_message(Fuzz *fuzz, sd_bus_message *m, const char *sender, uint64_t *ret_cookie) {
        if (sender)
                fuzz_assert(sd_bus_message_set_sender(m, sender) >= 0);
        fuzz_assert(sd_bus_send(fuzz->peer, m, ret_cookie) >= 0 || fuzz->lost);
}

static bool is_question(sd_bus_message *question, const char *member) {
        return sd_bus_message_is_method_call(question, NULL, member);
}

/* A correct answer: choice selects one, if there are several. */
static void append_right_answer(sd_bus_message *answer, sd_bus_message *question, uint8_t choice) {
        if (is_question(question, "Hello"))
                fuzz_assert(sd_bus_message_append(answer, "s", ":1.0") >= 0);
        else if (is_question(question, "RequestName"))
                fuzz_assert(sd_bus_message_append(answer, "u", choice % 2 + 1) >= 0);
        else if (is_question(question, "GetConnectionCredentials")) {
                fuzz_assert(sd_bus_message_append(
                                            answer, "a{sv}", 2, "ProcessID", "u", choice, "UnixUserID", "u",
                                            choice % 2) >= 0);
        } else if (is_question(question, "NameHasOwner"))
                fuzz_assert(sd_bus_message_append(answer, "b", !(choice & 1)) >= 0);
        else
                fuzz_assert(sd_bus_message_append(
                                            answer, "(bba{ss})", !(choice & 1), choice & 2 ? 1 : 0, 1, "key",
                                            "value") >= 0);
}

static sd_bus_message *new_error_answer(Input *input, sd_bus_message *question) {
        static const char *const names[] = {
                SD_BUS_ERROR_ACCESS_DENIED,
                SD_BUS_ERROR_SERVICE_UNKNOWN,
                SD_BUS_ERROR_NAME_HAS_NO_OWNER,
                SD_BUS_ERROR_NO_REPLY,
                SD_BUS_ERROR_TIMEOUT,
                SD_BUS_ERROR_LIMITS_EXCEEDED,
                "org.freedesktop.DBus.Error.Spawn.ChildExited",
                "org.freedesktop.systemd1.NoSuchUnit",
                "a.b",
        };
        uint8_t which = input_byte(input);
        char buffer[INPUT_TEXT_MAX + 1];
        g_autofree char *text = g_utf8_make_valid(input_text(input, buffer), -1);
        sd_bus_message *answer;
        sd_bus_error error = {
                .name = names[which % ELEMENTSOF(names)],
                .message = which & 0x80 ? text : NULL,
        };

        fuzz_assert(sd_bus_message_new_method_error(question, &answer, &error) >= 0);
        return answer;
}

/* From now on the connection may be abandoned, and waiting callers get no reply. */
static void note_consequences(Fuzz *fuzz, sd_bus_message *question) {
        const char *name;

        if (is_question(question, "RequestName"))
                fuzz->lost = true;
        if (is_question(question, "NameHasOwner") && sd_bus_message_read(question, "s", &name) >= 0)
                for (size_t i = 0; i < fuzz->n_calls; i++)
                        if (g_strcmp0(fuzz->calls[i].sender, name) == 0)
                                fuzz->calls[i].may_be_silent = true;
}

/* Answers the first question: correctly, with an error, or with any message. */
static void answer_question(Fuzz *fuzz, Input *input) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *question = g_queue_pop_head(&fuzz->questions),
                                                        *answer = NULL;
        uint8_t kind = input_byte(input), choice = kind >> 2;

        if (!question)
                return;

        if ((kind & 3) == 3) {
                answer = new_error_answer(input, question);
                note_consequences(fuzz, question);
        } else {
                fuzz_assert(sd_bus_message_new_method_return(question, &answer) >= 0);
                if ((kind & 3) == 2) {
                        append_anything(answer, input);
                        note_consequences(fuzz, question);
                } else {
                        append_right_answer(answer, question, choice);
                        if (is_question(question, "NameHasOwner") && (choice & 1)) {
                                (void) sd_bus_message_rewind(question, /* complete= */ true);
                                note_consequences(fuzz, question);
                        }
                }
        }

        send_message(fuzz, answer, "org.freedesktop.DBus", NULL);
}

/* A setting with a value of its type. */
static void append_property(sd_bus_message *m, Input *input) {
        static const char *const types[] = {
                [SETTING_TYPE_GLOB] = "s",    [SETTING_TYPE_USEC] = "t",   [SETTING_TYPE_UNSIGNED] = "u",
                [SETTING_TYPE_BOOLEAN] = "b", [SETTING_TYPE_METHOD] = "s",
        };
        uint8_t which = input_byte(input);
        const char *type = "s";

        if (which < _SETTING_MAX) {
                fuzz_assert(sd_bus_message_append(m, "s", setting_table[which].property) >= 0);
                type = types[setting_table[which].type];
        } else if (which < 128)
                fuzz_assert(sd_bus_message_append(m, "s", which & 1 ? "LogLevel" : "LogTarget") >= 0);
        else {
                append_values(m, input, "sv");
                return;
        }

        fuzz_assert(sd_bus_message_open_container(m, 'v', type) >= 0);
        append_values(m, input, type);
        fuzz_assert(sd_bus_message_close_container(m) >= 0);
}

static void append_properties(sd_bus_message *m, Input *input) {
        fuzz_assert(sd_bus_message_open_container(m, 'a', "{sv}") >= 0);
        for (unsigned i = input_byte(input) % 5; i > 0; i--) {
                fuzz_assert(sd_bus_message_open_container(m, 'e', "sv") >= 0);
                append_property(m, input);
                fuzz_assert(sd_bus_message_close_container(m) >= 0);
        }
        fuzz_assert(sd_bus_message_close_container(m) >= 0);
}

/* Appends the arguments of a member. */
static void append_arguments(sd_bus_message *m, Input *input, size_t member) {
        const char *arguments = members[member].arguments;
        const char *interface = g_str_has_prefix(members[member].path, "/org/freedesktop/")
                                                ? LOG_CONTROL_INTERFACE
                                                : "org.wbwatch1";

        if (streq(arguments, "ba{P}")) {
                append_values(m, input, "b");
                append_properties(m, input);
        } else if (streq(arguments, "sP")) {
                fuzz_assert(sd_bus_message_append(m, "s", interface) >= 0);
                append_property(m, input);
        } else
                append_values(m, input, arguments);
}

/* Calls a member. */
static void call_member(Fuzz *fuzz, Input *input) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        uint8_t which = input_byte(input), flags = input_byte(input);
        size_t i = which % ELEMENTSOF(members);
        const char *sender = callers[which / ELEMENTSOF(members) % ELEMENTSOF(callers)].name;
        bool expects_reply = (flags & 0x70) != 0;
        Call *call = fuzz->calls + fuzz->n_calls;

        if (fuzz->n_calls == CALLS_MAX)
                return;

        fuzz_assert(sd_bus_message_new_method_call(
                                    fuzz->peer, &m, "org.wbwatch1", members[i].path,
                                    flags & 4 ? NULL : members[i].interface, members[i].member) >= 0);
        if (flags & 8)
                fuzz_assert(sd_bus_message_set_allow_interactive_authorization(m, true) >= 0);
        fuzz_assert(sd_bus_message_set_expect_reply(m, expects_reply) >= 0);
        if (flags & 0x80)
                append_anything(m, input);
        else
                append_arguments(m, input, i);

        *call = (Call){ .sender = sender, .expects_reply = expects_reply };
        send_message(fuzz, m, sender, &call->cookie);
        fuzz->n_calls++;
}

/* An unexpected message: a signal, or a reply to no call. */
static void send_unasked(Fuzz *fuzz, Input *input) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        static const char *const names[] = { "NameOwnerChanged", "NameLost", "NameAcquired", "Disconnected" };
        uint8_t which = input_byte(input);

        fuzz_assert(sd_bus_message_new_signal(
                                    fuzz->peer, &m, DBUS_PATH, DBUS_INTERFACE,
                                    names[which % ELEMENTSOF(names)]) >= 0);
        append_anything(m, input);
        send_message(fuzz, m, which & 0x80 ? "org.freedesktop.DBus" : ":1.2", NULL);
}

/* The manager's inputs */

static void take_workers(Input *input, Worker workers[static WORKERS_MAX], size_t *ret_n) {
        size_t n = input_byte(input) % (WORKERS_MAX + 1);

        for (size_t i = 0; i < n; i++) {
                char buffer[INPUT_TEXT_MAX + 1];

                workers[i] = (Worker){
                        .pid = (pid_t) i + 1,
                        .start_time = 1000,
                        .cpu_usec = input_number(input) / 2,
                        .state = "RDSI"[i % 4],
                };
                (void) g_strlcpy(workers[i].name, input_text(input, buffer), sizeof(workers[i].name));
        }

        *ret_n = n;
}

/* Time passes, and then workers are seen. */
static void scan(Fuzz *fuzz, uint64_t usec, const Worker *workers, size_t n) {
        Manager *manager = &fuzz->manager;
        EngineEvents events = { .n = 0 };

        manager->now.monotonic_usec += usec;
        manager->now.realtime_usec += usec;

        engine_scan(manager->engine, manager->now, workers, n, &events);
        if (n > 0)
                engine_note_others(manager->engine, workers, 1);
        if (engine_events_find(&events, EVENT_CONFIRM)) {
                fuzz_assert(engine_state(manager->engine) != ENGINE_PAUSED);
                manager->may_sync = true;
                engine_confirm(manager->engine, manager->now, workers, n, &events);
        }
        manager_execute(manager, &events);
}

/* Workers run for a while, and use CPU time; they may be gone afterwards, which ends an episode. */
static void live(Fuzz *fuzz, Input *input) {
        uint8_t how = input_byte(input);
        unsigned n_scans = (how % 8 + 1) * (input_byte(input) % 64);
        Worker workers[WORKERS_MAX];
        size_t n;

        take_workers(input, workers, &n);
        for (unsigned i = 0; i < n_scans; i++) {
                for (size_t k = 0; k < n; k++)
                        workers[k].cpu_usec += USEC_PER_SEC;
                scan(fuzz, USEC_PER_SEC, workers, n);
        }
        for (unsigned i = how & 0x80 ? 8 : 0; i > 0; i--)
                scan(fuzz, USEC_PER_SEC, NULL, 0);
}

/* Ends a part of a sync: its filesystems, or sync(2). */
static void end_sync(Fuzz *fuzz, uint8_t how) {
        static const SyncResult results[] = { SYNC_OK, SYNC_FAILED, SYNC_STALLED };
        SyncResult result = results[how % ELEMENTSOF(results)];
        Manager *manager = &fuzz->manager;
        EngineEvents events = { .n = 0 };

        if (manager->filesystems_pending) {
                manager->filesystems_pending = false;
                for (size_t i = 0; i < manager->n_results; i++)
                        manager->results[i].result = (FilesystemResult) (how % (FILESYSTEM_FAILED + 1));
                bus_report_filesystems(manager->bus);
                engine_filesystems_synced(
                                manager->engine, manager->now, !(how & 0x80), result, manager->results,
                                manager->n_results, &events);
        } else
                engine_sync_ended(manager->engine, manager->now, result, &events);
        manager_execute(manager, &events);
}

/* Of SyncFilesystem. A caller may be lost by then. */
static void end_single(Fuzz *fuzz, uint8_t how) {
        Manager *manager = &fuzz->manager;
        uint64_t id = manager->open_single_id;

        if (id == 0)
                return;

        manager->open_single_id = 0;
        bus_filesystem_synced(
                        manager->bus, id, (FilesystemResult) (how % (FILESYSTEM_FAILED + 1)), how * 12345ULL,
                        how & 1 ? -EPIPE : -EIO);
}

static void end_store(Fuzz *fuzz, uint8_t how) {
        if (!fuzz->manager.storing)
                return;

        fuzz->manager.storing = false;
        if (!(how & 1))
                manager_apply_settings(&fuzz->manager, &fuzz->manager.stored);
        bus_settings_stored(fuzz->manager.bus, how & 1 ? -EIO : 0);
}

/* Reports of the manager that are not events. */
static void report_changes(Fuzz *fuzz, uint8_t which) {
        if (which & 0x40) {
                fuzz->manager.has_fault = !fuzz->manager.has_fault;
                bus_report_fault(fuzz->manager.bus);
        }
        if (which & 0x80)
                bus_report_event_source(fuzz->manager.bus);
}

static void start(Fuzz *fuzz) {
        Manager *manager = &fuzz->manager;
        int listener = get_listener(), fd;

        log_set_muted(true);
        log_set_max_level(LOG_DEBUG);
        log_set_target(LOG_TARGET_STDERR);

        settings_init(&manager->settings);
        manager->now = (Moment){ .monotonic_usec = USEC_PER_HOUR, .realtime_usec = USEC_PER_DAY };
        fuzz_assert(engine_new(&manager->settings, /* n_cpus= */ 2, manager->now, &manager->engine) >= 0);
        fuzz_assert(sd_event_new(&fuzz->event) >= 0);
        fuzz_assert(inhibitors_new(fuzz->event, update_inhibitors, manager, &manager->inhibitors) >= 0);
        fuzz_assert(bus_add(fuzz->event, manager, NULL, &manager->bus) >= 0);
        fuzz_assert(sd_event_run(fuzz->event, USEC_PER_SEC) > 0);

        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        fuzz_assert(fd >= 0);
        fuzz_assert(sd_bus_new(&fuzz->peer) >= 0);
        fuzz_assert(sd_bus_set_fd(fuzz->peer, fd, fd) >= 0);
        fuzz_assert(sd_bus_negotiate_fds(fuzz->peer, true) >= 0);
        fuzz_assert(sd_bus_set_server(
                                    fuzz->peer, true,
                                    SD_ID128_MAKE(01, 02, 03, 04, 05, 06, 07, 08, 09, 0a, 0b, 0c, 0d, 0e, 0f,
                                                  10)) >= 0);
        fuzz_assert(sd_bus_add_filter(fuzz->peer, NULL, on_peer_message, fuzz) >= 0);
        fuzz_assert(sd_bus_start(fuzz->peer) >= 0);

        /* sd-bus sends Hello itself. */
        while (g_queue_is_empty(&fuzz->questions))
                run(fuzz);
        answer_question(fuzz, &(Input){});
        run(fuzz);
        fuzz_assert(is_question(g_queue_peek_head(&fuzz->questions), "RequestName"));
}

static bool is_settled(Fuzz *fuzz) {
        for (size_t i = 0; i < fuzz->n_calls; i++) {
                const Call *call = fuzz->calls + i;

                if (call->expects_reply && !call->may_be_silent && call->n_replies == 0)
                        return false;
        }

        return g_queue_is_empty(&fuzz->questions);
}

/* All open questions are answered correctly, and all syncs end; then every caller has a reply. */
static void settle(Fuzz *fuzz) {
        uint64_t end_usec = usec_now(CLOCK_MONOTONIC) + SETTLE_USEC;

        while (!fuzz->lost && !is_settled(fuzz)) {
                fuzz_assert(usec_now(CLOCK_MONOTONIC) < end_usec);
                while (!g_queue_is_empty(&fuzz->questions))
                        answer_question(fuzz, &(Input){});
                end_store(fuzz, 0);
                end_single(fuzz, FILESYSTEM_OK);
                end_sync(fuzz, 0);
                scan(fuzz, SYNC_HELPED_WITHIN_USEC, NULL, 0);
                run(fuzz);
                if (!is_settled(fuzz))
                        (void) sd_event_run(fuzz->event, USEC_PER_MSEC);
        }
}

static void unref_message(void *m) {
        sd_bus_message_unref(m);
}

static void finish(Fuzz *fuzz) {
        bus_free(fuzz->manager.bus);
        inhibitors_free(fuzz->manager.inhibitors);
        stop_reading();
        engine_free(fuzz->manager.engine);
        g_queue_clear_full(&fuzz->questions, unref_message);
        sd_bus_close_unref(fuzz->peer);
        sd_event_unref(fuzz->event);
}

static void step(Fuzz *fuzz, Input *input) {
        uint8_t which = input_byte(input), how;
        Input again = *input;

        switch (which % 16) {
        default:
                call_member(fuzz, input);
                for (unsigned i = which >= 0xf0 ? BURST : 0; i > 0; i--)
                        call_member(fuzz, &(Input){ .data = again.data, .size = again.size });
                break;
        case 8:
        case 9:
        case 10:
        case 11:
                answer_question(fuzz, input);
                break;
        case 12:
                how = input_byte(input);
                end_single(fuzz, how);
                end_sync(fuzz, how);
                break;
        case 13:
                how = input_byte(input);
                end_store(fuzz, how);
                report_changes(fuzz, how);
                break;
        case 14:
                live(fuzz, input);
                break;
        case 15:
                if (which == UINT8_MAX) {
                        fuzz->peer = sd_bus_close_unref(fuzz->peer);
                        fuzz->lost = true;
                } else
                        send_unasked(fuzz, input);
        }

        /* Otherwise several messages arrive at once. */
        if (which < 0xc0 || !fuzz->peer)
                run(fuzz);
        while (fuzz->obliging && fuzz->peer && !g_queue_is_empty(&fuzz->questions)) {
                answer_question(fuzz, &(Input){});
                run(fuzz);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static Fuzz fuzz;
        Input input = { .data = data, .size = size };

        fuzz = (Fuzz){};
        start(&fuzz);
        fuzz.obliging = input_byte(&input) & 1;
        while (input.size > 0 && fuzz.peer)
                step(&fuzz, &input);
        if (fuzz.peer)
                settle(&fuzz);
        check_settings(&fuzz.manager.settings);
        finish(&fuzz);

        return 0;
}
