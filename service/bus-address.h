/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The address of a bus. */

#include "macro.h"

/* The list of addresses of the system bus. */
const char *bus_address(void);

/* Connects to the first reachable address of a list in the syntax of the D-Bus specification:
 * "unix:path=/run/dbus/system_bus_socket;unix:abstract=x". Does not block: -EAGAIN if the bus is not
 * accepting connections now. Skips addresses other than unix:path= and unix:abstract=; -EAFNOSUPPORT if there
 * are only such. The descriptor is non-blocking and owned by the caller. */
int bus_address_connect(const char *addresses, int *ret_fd);
