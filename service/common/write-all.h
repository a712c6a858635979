/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

#include "macro.h"

/* Writes all of the data, however often write(2) must be called for that. Returns negative errno, and may
 * then have written a part of it. */
int write_all(int fd, const void *data, size_t size);
