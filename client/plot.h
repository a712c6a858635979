/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The plot of an episode, in text. */

#include <glib.h>

#include "terminal.h"

/* Appends a plot of the spinning workers over time, at most 80 columns wide: from samples (an a(tuu): time,
 * spinning, waiting), with a mark and the number of each sync (an aa{sv}) at its start. Appends nothing if
 * there are less than two samples. ASCII if the terminal is not UTF-8. */
void plot_append(GString *out, const Terminal *terminal, GVariant *samples, GVariant *syncs);
