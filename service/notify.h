/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Messages to the service manager, by the protocol of sd_notify(3). Does not block, unlike libsystemd's
 * sd_notify(), which waits while the socket is full, as it may be when the machine hangs. */

#include <systemd/sd-event.h>

#include "macro.h"

/* Opens the socket that $NOTIFY_SOCKET names. Without it, and after a failure (negative errno), messages are
 * ignored. */
int notify_open(void);
void notify_close(void);

/* Sends newline-separated assignments, such as "STATUS=...". -EAGAIN if the socket is full. */
int notify_send(const char *format, ...) _printf_(1, 2);

/* Sends READY=1, and repeats it from the event loop until it is accepted: a service manager that does not
 * receive it stops the service. */
void notify_ready(sd_event *event);
