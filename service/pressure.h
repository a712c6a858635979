/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* CPU pressure: the kernel's event that tasks had to wait for a CPU (Documentation/accounting/psi.rst).
 * Nothing is read or written, so that nothing can block. */

#include <systemd/sd-event.h>

#include "macro.h"

typedef struct Pressure Pressure;

typedef void (*pressure_handler_t)(void *userdata);

/* Calls the handler for each event of a trigger (KERNEL_FILE_CPU_TRIGGER), in the order of scans. The
 * descriptor is the pressure's from now on, even on failure: a negative errno, -EBADF for a negative
 * descriptor. */
int pressure_new(sd_event *event, int fd, pressure_handler_t handler, void *userdata, Pressure **ret);

/* Whether events wake this process; at first they do. The kernel keeps one that occurs meanwhile. Ignores
 * NULL. */
void pressure_set_enabled(Pressure *pressure, bool enabled);

Pressure *pressure_free(Pressure *pressure);
DEFINE_TRIVIAL_CLEANUP(Pressure *, pressure_free);
