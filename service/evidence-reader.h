/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Reads the evidence that files of the kernel provide. */

#include "evidence.h"
#include "kernel-files.h"

/* Adds what these files have, by their descriptors; negative: not open. What can't be read is left out. Opens
 * nothing, and needs no disk, but may wait in the kernel: vmstat allocates memory for each read, and the
 * pressure files take a lock that a kernel thread may hold. */
void evidence_read(Evidence *evidence, const int files[static _KERNEL_FILE_MAX]);
