/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The kernel's own lines in /dev/kmsg. Programs can write the same words there, but not as the kernel. */

#include <glib.h>

#include "macro.h"

/* Opens the file below root, for reading without waiting. Negative errno. */
int kernel_log_open(const char *root);

/* Reads what is there, and passes on each line of the kernel, with its time since the start of the kernel.
 * Negative errno if not all could be read. */
int kernel_log_read(int fd, void (*add)(void *userdata, uint64_t usec, const char *text), void *userdata);
