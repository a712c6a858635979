/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The summary of a report: what a kernel developer reads first, in the order in which
 * Documentation/admin-guide/reporting-issues.rst wants it, and what the archive has and lacks. */

#include "report-parts.h"

char *report_summary(const ReportOptions *options, const PartResult *results, uint64_t now_usec);
