/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Any bytes on the connection over which the bus says who the callers are, between its right
 * answers, and questions about any names. Until such bytes come, each user is the one that the bus named,
 * each question has one answer, and an unanswered one is repeated.
 */

#include "fuzz.h"

#include <sys/socket.h>
#include <sys/syscall.h>

#include "asked-bus.h"
#include "bus-header.h"
#include "bus-users.h"
#include "names.h"

/* More than the table has. */
#define NAMES 3000

#define PIECE_MAX 64

/* More would only take time. */
#define STEPS_MAX 50

/* Answers fewer than the socket has room for. */
#define BATCH 64

static uint64_t clock_usec;

/* Replaces that of libc. libFuzzer measures its own time by other means. */
int clock_gettime(clockid_t clock, struct timespec *time) {
        if (clock != CLOCK_MONOTONIC)
                return (int) syscall(SYS_clock_gettime, clock, time);

        *time = (struct timespec){ .tv_sec = (time_t) (clock_usec / USEC_PER_SEC) };
        return 0;
}

typedef struct Fuzz {
        BusUsers *users;
        int fd;
        AskedBus asked;
        bool broken; /* any bytes have come: answers may be lost in them */
        bool is_asked[BUS_USERS_MAX];
        unsigned n_asked;
} Fuzz;

/* The user is the number in the name. */
static void ask(Fuzz *fuzz, unsigned i) {
        char name[BUS_HEADER_SENDER_MAX + 1];
        size_t number;
        uid_t uid;
        int r;

        (void) snprintf(name, sizeof(name), ":1.%u", i);
        r = bus_users_find(fuzz->users, name, &number, &uid);
        if (r == 0) {
                fuzz_assert(number < BUS_USERS_MAX);
                fuzz->n_asked += !fuzz->is_asked[number];
                fuzz->is_asked[number] = true;
                return;
        }

        fuzz_assert(r == 1);
        if (uid == UID_UNKNOWN)
                fuzz_assert(fuzz->n_asked == BUS_USERS_MAX);
        else
                fuzz_assert(fuzz->broken || uid == i);
}

static int on_user(size_t number, bool is_gone, uid_t uid, void *userdata) {
        Fuzz *fuzz = userdata;

        fuzz_assert(number < BUS_USERS_MAX && fuzz->is_asked[number]);
        fuzz_assert(!is_gone || uid == UID_UNKNOWN);
        fuzz->is_asked[number] = false;
        fuzz->n_asked--;
        return 0;
}

/* False once the connection is useless, which only bytes that no bus sends make it. */
static bool work(Fuzz *fuzz) {
        struct pollfd fd;

        do {
                if (bus_users_work(fuzz->users) < 0) {
                        fuzz_assert(fuzz->broken);
                        return false;
                }
                fd = bus_users_pollfd(fuzz->users);
        } while (poll(&fd, 1, 0) > 0);
        return true;
}

/* Answers up to n questions. False once the connection is useless. */
static bool answer(Fuzz *fuzz, unsigned n) {
        guint32 serial;
        char *name;

        for (; n > 0 && asked_bus_take(&fuzz->asked, &serial, &name); n--) {
                asked_bus_answer(&fuzz->asked, serial, (uid_t) strtoul(name + strlen(":1."), NULL, 10));
                g_free(name);
                if (n % BATCH == 0 && !work(fuzz))
                        return false;
        }

        return true;
}

static bool step(Fuzz *fuzz, const uint8_t **data, size_t *size) {
        const uint8_t which = (*data)[0], how = *size > 1 ? (*data)[1] : 0;
        size_t n = 0;

        *data += MIN(*size, 2);
        *size -= MIN(*size, 2);
        switch (which % 4) {
        case 0:
                for (unsigned i = 0; i <= (how == UINT8_MAX ? how : how % 8U); i++)
                        ask(fuzz, (which * 16U + i) % NAMES);
                break;
        case 1:
                if (!answer(fuzz, how))
                        return false;
                break;
        case 2:
                clock_usec += how * USEC_PER_SEC;
                break;
        default:
                n = MIN(*size, how % PIECE_MAX);
                fuzz->broken = fuzz->broken || n > 0;
                (void) send(fuzz->asked.fd, *data, n, MSG_NOSIGNAL | MSG_DONTWAIT);
                *data += n;
                *size -= n;
        }
        return work(fuzz);
}

/* Whatever was lost is asked again. */
static void ask_until_answered(Fuzz *fuzz) {
        for (unsigned i = 0; i < 3 && fuzz->n_asked > 0; i++) {
                clock_usec += USEC_PER_MINUTE;
                if (!work(fuzz) || !answer(fuzz, UINT_MAX) || !work(fuzz))
                        return;
        }
        fuzz_assert(fuzz->broken || fuzz->n_asked == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Fuzz fuzz = {};
        bool usable = true;

        clock_usec = USEC_PER_HOUR;
        asked_bus_init(&fuzz.asked, &fuzz.fd);
        fuzz_assert(bus_users_new(fuzz.fd, on_user, &fuzz, &fuzz.users) >= 0);
        for (unsigned i = 0; i < STEPS_MAX && usable && size > 0; i++)
                usable = step(&fuzz, &data, &size);
        if (usable)
                ask_until_answered(&fuzz);
        bus_users_free(fuzz.users);
        asked_bus_done(&fuzz.asked);
        (void) close(fuzz.fd);
        return 0;
}
