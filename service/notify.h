/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Messages to the service manager (sd_notify(3)'s protocol), sent without ever blocking: libsystemd's
 * sd_notify() waits for room in the socket, and nobody may be reading it when the machine hangs. */

#include "macro.h"

/* Opens the socket that $NOTIFY_SOCKET names; without one every message is a no-op. Negative errno is for the
 * log only. */
int notify_open(void);
void notify_close(void);

/* Sends newline-separated assignments, like "READY=1\nSTATUS=...". -EAGAIN when nobody takes it. */
int notify_send(const char *format, ...) _printf_(1, 2);
