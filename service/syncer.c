/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Calls sync(2) in a helper process: see syncer.h. */

#include "syncer.h"

struct Syncer {
        Helper *helper;
        syncer_ended_t ended;
        void *userdata;
};

typedef enum SyncRequest {
        SYNC_REQUEST_SYNC,
        SYNC_REQUEST_REHEARSE,
} SyncRequest;

/* What the helper process tells about a sync. */
typedef struct SyncReport {
        uint64_t entered_usec;
        uint64_t duration_usec;
} SyncReport;

/* Runs in the helper process. */
static size_t serve_sync(const void *request, size_t size, void *reply, void *userdata) {
        SyncRequest wanted;
        SyncReport report;

        if (size != sizeof(wanted))
                return 0;
        memcpy(&wanted, request, sizeof(wanted));

        report.entered_usec = usec_now(CLOCK_MONOTONIC);
        if (wanted == SYNC_REQUEST_SYNC)
                sync();
        report.duration_usec = usec_subtract(usec_now(CLOCK_MONOTONIC), report.entered_usec);

        memcpy(reply, &report, sizeof(report));
        return sizeof(report);
}

static void on_reply(int r, const void *reply, size_t size, void *userdata) {
        Syncer *syncer = userdata;
        SyncReport report = {};

        if (r >= 0 && size != sizeof(report))
                r = -EBADMSG;
        if (r >= 0)
                memcpy(&report, reply, sizeof(report));

        syncer->ended(r < 0 ? r : 0, report.entered_usec, report.duration_usec, syncer->userdata);
}

int syncer_new(sd_event *event, syncer_ended_t ended, void *userdata, Syncer **ret) {
        _cleanup_(syncer_freep) Syncer *syncer = NULL;
        int r;

        syncer = calloc(1, sizeof(*syncer));
        if (!syncer)
                return -ENOMEM;

        syncer->ended = ended;
        syncer->userdata = userdata;

        r = helper_new(event, "wbwatchd-sync", serve_sync, on_reply, syncer, &syncer->helper);
        if (r < 0)
                return r;

        *ret = TAKE_POINTER(syncer);
        return 0;
}

Syncer *syncer_free(Syncer *syncer) {
        if (!syncer)
                return NULL;

        helper_free(syncer->helper);
        free(syncer);
        return NULL;
}

static int syncer_request(Syncer *syncer, SyncRequest request) {
        return helper_request(syncer->helper, &request, sizeof(request));
}

int syncer_start(Syncer *syncer) {
        return syncer_request(syncer, SYNC_REQUEST_SYNC);
}

void syncer_ensure_helper(Syncer *syncer) {
        helper_ensure(syncer->helper);
}

int syncer_rehearse(Syncer *syncer) {
        return syncer_request(syncer, SYNC_REQUEST_REHEARSE);
}
