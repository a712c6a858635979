// SPDX-License-Identifier: GPL-3.0-or-later

// The headline of the page in Cockpit for given properties, which is that of `wbctl status`. Prints TAP.

import assert from "node:assert/strict";

globalThis.window = { cockpit: {
    gettext: text => text,
    ngettext: (one, many, n) => n === 1 ? one : many,
    format: (text, ...values) => text.replace(/\$(\d)/g, (_, i) => values[i]),
} };
const { headlineOf } = await import("../../client/cockpit/src/verdict.js");

const SEC = 1e6;
const now = 1700000000 * SEC;
const healthy = {
    State: "idle", StateSinceUSec: now - 2 * SEC, Fault: "", Glob: "kworker/*", DryRun: false, WorkerCount: 0, PausedUntilUSec: 0,
    Inhibitors: [], SyncsUnhelpful: 0, LastSyncUSec: 0, LastSyncDurationUSec: 0, LastSyncResult: "", FilesystemResults: [],
};
const answered = { Mountpoint: "/", DurationUSec: 30000, Result: "ok" };
const stalledWith = (...filesystems) => ({
    LastSyncResult: "stalled", LastSyncUSec: now - 360 * SEC, LastSyncDurationUSec: 10 * SEC,
    FilesystemResults: [answered, ...filesystems],
});
const frozen = { Mountpoint: "/srv", DurationUSec: 10 * SEC, Result: "timeout" };
const HANGS = "A sync has not returned for 6min: a disk or a filesystem does not answer.";
const ongoing = [{ Outcome: "ongoing", Work: "w" }];
const pausedLong = { State: "paused", StateSinceUSec: now - 25 * 3600 * SEC };

const cases = {
    "well": [{}, [], "All is well", ["All is well: no matching worker is running."]],
    "sync/under-way": [{ State: "syncing", ...stalledWith(frozen) }, [], "Syncing", ["A sync has been under way for 2s."]],
    "sync/hangs": [stalledWith(frozen), [], "A sync hangs", [HANGS]],
    "sync/hangs-in-a-stall": [{ State: "recovery", ...stalledWith(frozen) }, ongoing, "Stuck",
                              [`Kernel workers are stuck in w (none running). ${HANGS}`]],
    "sync/late": [stalledWith({ ...frozen, Result: "ok", DurationUSec: 15 * SEC }), [], "All is well",
                  ["All is well: no matching worker is running."]],
    "sync/slow": [stalledWith({ ...frozen, Result: "slow" }), [], "All is well", ["All is well: no matching worker is running."]],
    "sync/stalled": [stalledWith(), [], "A sync stalled",
                     ["The last sync, 6min ago, stalled: a disk or a filesystem did not answer. “Sync now” tries again."]],
    "pause/long": [pausedLong, [], "Not protected", ["The pause has lasted 25h; “Resume” ends it.", "Paused: no automatic syncs."]],
    "pause/long-by-inhibitors": [{ ...pausedLong, Inhibitors: [{ Who: "x" }, { Who: "y" }] }, [], "Not protected",
                                 ["The pause has lasted 25h; the inhibitors below make it last.",
                                  "Paused by 2 inhibitors: no automatic syncs."]],
    "pause/inhibited-during-a-sync": [{ State: "syncing", Inhibitors: [{ Who: "x" }] }, [], "Not protected",
                                      ["A sync has been under way for 2s.", "Paused by 1 inhibitor: no automatic syncs."]],
    "pause/inhibited-in-a-stall": [{ State: "paused", Inhibitors: [{ Who: "x" }] }, ongoing, "Stuck",
                                   ["Kernel workers are stuck in w (none running). No sync follows by itself: “Sync now” syncs.",
                                    "Paused by 1 inhibitor: no automatic syncs."]],
};

Object.entries(cases).forEach(([name, [properties, episodes, title, sentences]], i) => {
    const headline = headlineOf({ connection: "running", properties: { ...healthy, ...properties }, episodes, now });

    try {
        assert.deepEqual({ title: headline.title, sentences: headline.sentences }, { title, sentences });
        console.log(`ok ${i + 1} /cockpit-verdict/${name}`);
    } catch (error) {
        console.log(`not ok ${i + 1} /cockpit-verdict/${name}`);
        console.log(error.message.replace(/^/gm, "# "));
        process.exitCode = 1;
    }
});
console.log(`1..${Object.keys(cases).length}`);
