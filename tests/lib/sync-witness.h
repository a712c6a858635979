/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The test's end of sync-record.h: the system calls that the daemon's helpers really make. */

#include "bus-fixture.h"
#include "sync-record.h"

/* Records the calls of all daemons that the fixture starts from now on. */
SyncRecords *sync_witness_new(BusFixture *fixture);

/* The daemons that the fixture starts from now on are not recorded. */
void sync_witness_free(SyncRecords *records);
