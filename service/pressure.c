/* SPDX-License-Identifier: GPL-3.0-or-later */

/* CPU pressure: see pressure.h. */

#include "pressure.h"

#include <sys/epoll.h>

#include "log.h"

/* Like scans: see TIMER_PRIORITY in manager.c. */
#define PRESSURE_PRIORITY (SD_EVENT_PRIORITY_IMPORTANT - 10)

struct Pressure {
        sd_event_source *source; /* owns the descriptor; NULL once the kernel has ended the trigger */
        pressure_handler_t handler;
        void *userdata;
};

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Pressure *pressure = userdata;

        /* The trigger is gone (psi_trigger_poll()): it would be reported again and again. */
        if (events & (EPOLLERR | EPOLLHUP)) {
                log_debug("The kernel has ended its reports of CPU pressure");
                pressure->source = sd_event_source_disable_unref(source);
                return 0;
        }

        /* To poll was to take the event. */
        pressure->handler(pressure->userdata);
        return 0;
}

int pressure_new(sd_event *event, int fd, pressure_handler_t handler, void *userdata, Pressure **ret) {
        _cleanup_(pressure_freep) Pressure *pressure = NULL;
        _cleanup_close_ int owned_fd = fd;
        int r;

        if (fd < 0)
                return -EBADF;
        pressure = calloc(1, sizeof(*pressure));
        if (!pressure)
                return -ENOMEM;

        pressure->handler = handler;
        pressure->userdata = userdata;
        r = sd_event_add_io(event, &pressure->source, fd, EPOLLPRI, on_io, pressure);
        if (r >= 0)
                r = sd_event_source_set_io_fd_own(pressure->source, true);
        if (r < 0)
                return r;
        (void) take_fd(&owned_fd);

        r = sd_event_source_set_priority(pressure->source, PRESSURE_PRIORITY);
        if (r < 0)
                return r;

        *ret = TAKE_POINTER(pressure);
        return 0;
}

void pressure_set_enabled(Pressure *pressure, bool enabled) {
        if (pressure && pressure->source)
                (void) sd_event_source_set_enabled(pressure->source, enabled ? SD_EVENT_ON : SD_EVENT_OFF);
}

Pressure *pressure_free(Pressure *pressure) {
        if (!pressure)
                return NULL;

        (void) sd_event_source_disable_unref(pressure->source);
        free(pressure);
        return NULL;
}
