/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* What the running kernel itself shows about the fix of 2025, whatever its version number says. Works without
 * root. */

#include "kernel-table.h"

/* Sets has_fix_2025 and shown_by from files in proc and sys below root. */
void running_kernel_read(const char *root, Kernel *kernel);
