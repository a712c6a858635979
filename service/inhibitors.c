/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The inhibitors: see inhibitors.h. */

#include "inhibitors.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "duration.h"
#include "log.h"

/* Like the messages of the bus, after everything else in the event loop. */
#define RELEASE_PRIORITY (SD_EVENT_PRIORITY_NORMAL + 10)

/* How many inhibitors_log_held() logs. */
#define LOGGED_MAX 5

typedef struct Held {
        Inhibitors *all;
        Inhibitor inhibitor;
        int fd; /* the write end */
        sd_event_source *source;
} Held;

struct Inhibitors {
        sd_event *event;
        inhibitors_released_t on_released;
        void *userdata;
        Held *held[INHIBITORS_MAX]; /* in the order in which they came */
        size_t n;
};

static Held *held_free(Held *held) {
        if (!held)
                return NULL;

        sd_event_source_disable_unref(held->source);
        closep(&held->fd);
        free(held);
        return NULL;
}
DEFINE_TRIVIAL_CLEANUP(Held *, held_free);

/* "backup (nightly dump), uid 0, pid 1234" */
#define DESCRIPTION_SIZE (INHIBITOR_WHO_MAX + INHIBITOR_WHY_MAX + 64)
static const char *describe(const Inhibitor *inhibitor, char buffer[static DESCRIPTION_SIZE]) {
        bool has_why = inhibitor->why[0] != '\0';

        (void) snprintf(buffer, DESCRIPTION_SIZE, "%s%s%s%s, uid %u, pid %d", inhibitor->who,
                        has_why ? " (" : "", inhibitor->why, has_why ? ")" : "", (unsigned) inhibitor->uid,
                        (int) inhibitor->pid);
        return buffer;
}

static const char *describe_age(const Inhibitor *inhibitor, char *buffer, size_t size) {
        uint64_t age_usec = usec_subtract(usec_now(CLOCK_MONOTONIC), inhibitor->since.monotonic_usec);

        return format_duration(round_duration(age_usec), buffer, size);
}

static void log_released(const Inhibitors *inhibitors, const Inhibitor *inhibitor) {
        char description[DESCRIPTION_SIZE], age[64];

        (void) describe(inhibitor, description);
        (void) describe_age(inhibitor, age, sizeof(age));
        if (inhibitors->n == 0)
                log_notice("Inhibitor released after %s: %s; it was the last", age, description);
        else
                log_notice("Inhibitor released after %s: %s; still held: %zu", age, description,
                           inhibitors->n);
}

static void remove_held(Inhibitors *inhibitors, const Held *held) {
        size_t i = 0;

        while (inhibitors->held[i] != held)
                i++;
        inhibitors->n--;
        memmove(inhibitors->held + i, inhibitors->held + i + 1,
                (inhibitors->n - i) * sizeof(inhibitors->held[0]));
}

/* EPOLLERR: the pipe has no reader left. */
static int on_closed(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        _cleanup_(held_freep) Held *held = userdata;
        Inhibitors *inhibitors = held->all;

        remove_held(inhibitors, held);
        log_released(inhibitors, &held->inhibitor);
        inhibitors->on_released(inhibitors->userdata);
        return 0;
}

static int held_new(Inhibitors *inhibitors, const Inhibitor *inhibitor, Held **ret, int *ret_fd) {
        _cleanup_(held_freep) Held *held = NULL;
        _cleanup_close_ int read_fd = -EBADF;
        int ends[2], r;

        held = calloc(1, sizeof(*held));
        if (!held)
                return -ENOMEM;
        held->all = inhibitors;
        held->inhibitor = *inhibitor;
        held->fd = -EBADF;

        if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        read_fd = ends[0];
        held->fd = ends[1];

        /* EPOLLERR is always reported, and nothing else is of interest. */
        r = sd_event_add_io(inhibitors->event, &held->source, held->fd, 0, on_closed, held);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(held->source, "inhibitor");
        r = sd_event_source_set_priority(held->source, RELEASE_PRIORITY);
        if (r < 0)
                return r;

        *ret = TAKE_POINTER(held);
        *ret_fd = take_fd(&read_fd);
        return 0;
}

static int check_room(const Inhibitors *inhibitors, uid_t uid) {
        size_t n = 0;

        for (size_t i = 0; i < inhibitors->n; i++)
                n += inhibitors->held[i]->inhibitor.uid == uid;

        if (uid != 0 && n >= INHIBITORS_PER_USER_MAX)
                return -EDQUOT;
        return inhibitors->n >= INHIBITORS_MAX ? -EBUSY : 0;
}

int inhibitors_add(Inhibitors *inhibitors, const Inhibitor *inhibitor, int *ret_fd) {
        char description[DESCRIPTION_SIZE];
        int r;

        r = check_room(inhibitors, inhibitor->uid);
        if (r < 0)
                return r;
        r = held_new(inhibitors, inhibitor, &inhibitors->held[inhibitors->n], ret_fd);
        if (r < 0)
                return r;

        inhibitors->n++;
        log_notice("Inhibitor held: %s; no automatic sync until it is released",
                   describe(inhibitor, description));
        return 0;
}

size_t inhibitors_count(const Inhibitors *inhibitors) {
        return inhibitors->n;
}

const Inhibitor *inhibitors_get(const Inhibitors *inhibitors, size_t index) {
        return &inhibitors->held[index]->inhibitor;
}

void inhibitors_log_held(const Inhibitors *inhibitors) {
        char description[DESCRIPTION_SIZE], age[64];

        for (size_t i = 0; i < inhibitors->n && i < LOGGED_MAX; i++) {
                const Inhibitor *inhibitor = inhibitors_get(inhibitors, i);

                log_notice("Inhibitor held for %s: %s", describe_age(inhibitor, age, sizeof(age)),
                           describe(inhibitor, description));
        }
        if (inhibitors->n > LOGGED_MAX)
                log_notice("%zu more inhibitors are held: see `wbctl inhibitors`",
                           inhibitors->n - LOGGED_MAX);
}

int inhibitors_new(sd_event *event, inhibitors_released_t on_released, void *userdata, Inhibitors **ret) {
        Inhibitors *inhibitors;

        inhibitors = calloc(1, sizeof(*inhibitors));
        if (!inhibitors)
                return -ENOMEM;

        inhibitors->event = sd_event_ref(event);
        inhibitors->on_released = on_released;
        inhibitors->userdata = userdata;
        *ret = inhibitors;
        return 0;
}

Inhibitors *inhibitors_free(Inhibitors *inhibitors) {
        if (!inhibitors)
                return NULL;

        for (size_t i = 0; i < inhibitors->n; i++)
                held_free(inhibitors->held[i]);
        sd_event_unref(inhibitors->event);
        free(inhibitors);
        return NULL;
}
