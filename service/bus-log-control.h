/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* org.freedesktop.LogControl1(5): `systemctl service-log-level wbwatchd debug`. */

#include "authority.h"

/* Adds the object to a connection. authority must outlive the connection. */
int bus_log_control_add(sd_bus *connection, Authority *authority);
