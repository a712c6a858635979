/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The users of connections: see bus-users.h. */

#include "bus-users.h"

#include <systemd/sd-bus.h>

#include "bus-reader.h"
#include "memory.h"
#include "names.h"

typedef struct Question {
        BusUsers *users;
} Question;

struct BusUsers {
        sd_bus *bus;
        bus_user_t on_user;
        void *userdata;
        Question questions[BUS_SENDERS_MAX]; /* by tag */
};

static int on_answer(sd_bus_message *answer, void *userdata, sd_bus_error *ret_error) {
        const Question *question = userdata;
        BusUsers *users = question->users;
        uint32_t uid = UID_UNKNOWN;
        bool known;

        known = !sd_bus_message_is_method_error(answer, NULL) && sd_bus_message_read(answer, "u", &uid) > 0;
        return users->on_user((uint32_t) (question - users->questions), known, uid, users->userdata);
}

int bus_users_ask(BusUsers *users, uint32_t tag, const char *name) {
        Question *question = users->questions + tag;

        question->users = users;
        return sd_bus_call_method_async(
                        users->bus, NULL, DBUS_NAME, DBUS_PATH, DBUS_INTERFACE, "GetConnectionUnixUser",
                        on_answer, question, "s", name);
}

int bus_users_work(BusUsers *users) {
        int r;

        while ((r = sd_bus_process(users->bus, NULL)) > 0)
                ;
        if (r < 0)
                return r;

        return sd_bus_is_open(users->bus) > 0 ? 0 : -ECONNRESET;
}

struct pollfd bus_users_pollfd(const BusUsers *users) {
        int fd = sd_bus_get_fd(users->bus), events = sd_bus_get_events(users->bus);

        return (struct pollfd){ .fd = fd, .events = (short) MAX(events, 0) };
}

/* Without a timeout for answers: a bus that does not answer serves nobody, and the daemon replaces the
 * connection that it reads from. */
static int start(sd_bus *bus, int socket) {
        int r;

        r = sd_bus_set_fd(bus, socket, socket);
        if (r < 0) {
                (void) close(socket);
                return r;
        }
        r = sd_bus_set_bus_client(bus, true);
        if (r < 0)
                return r;
        r = sd_bus_set_method_call_timeout(bus, UINT64_MAX);
        if (r < 0)
                return r;

        return sd_bus_start(bus);
}

int bus_users_new(int socket, bus_user_t on_user, void *userdata, BusUsers **ret) {
        _cleanup_(bus_users_freep) BusUsers *users = NULL;
        int r;

        users = memory_new_sparse(sizeof(*users));
        if (!users) {
                (void) close(socket);
                return -ENOMEM;
        }
        users->on_user = on_user;
        users->userdata = userdata;

        r = sd_bus_new(&users->bus);
        if (r < 0) {
                (void) close(socket);
                return r;
        }
        r = start(users->bus, socket);
        if (r < 0)
                return r;

        *ret = TAKE_POINTER(users);
        return 0;
}

BusUsers *bus_users_free(BusUsers *users) {
        if (!users)
                return NULL;

        sd_bus_close_unref(users->bus);
        memory_free_sparse(users, sizeof(*users));
        return NULL;
}
