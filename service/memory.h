/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

#include <stddef.h>

/*
 * The memory of this process: the code and data that the worst minute needs stay in it, whatever happens to
 * the disks; what only the start needed is given up.
 */

/* Gives up all code and constants that have been used so far, locks what is used from now on, and reads from
 * the disk what the event loop uses: this program, and the libraries that do its work. Logs what it can't do,
 * and goes on without. */
void memory_settle(void);

/* Returns unused memory of an array to the kernel, from its n_kept-th element on, up to its n-th: whole pages
 * of it, where the kernel can (Linux 5.18). The array stays allocated; those elements are lost. */
void memory_return_unused(void *array, size_t element_size, size_t n_kept, size_t n);
