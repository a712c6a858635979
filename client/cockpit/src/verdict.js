// SPDX-License-Identifier: GPL-3.0-or-later

// Whether all is well, as client/verdict.c decides it, in its words.

import { _, format, formatSpan, isInfinite, ngettext, USEC } from "./words.js";

// After this many automatic syncs in a row that did not help, wbwatchd reports that they do not help here.
const SYNCS_UNHELPFUL_REPORTED = 5;

// A pause that has lasted this long may have been forgotten.
const PAUSE_LONG_USEC = USEC.DAY;

export const inhibitors = properties => properties.Inhibitors ?? [];

// A sync under way hides from State that automatic syncs are suspended.
const isSuspended = properties =>
    properties.State === "paused" || inhibitors(properties).length > 0 || properties.PausedUntilUSec !== 0;

const isUnhelpful = properties => properties.SyncsUnhelpful >= SYNCS_UNHELPFUL_REPORTED;

// What has become of a sync that stalled, which counts as ended: "sync-hangs", "sync-stalled", or null if nothing hangs.
// The result of a filesystem changes when its sync returns after all; a sync(2) leaves no such trace.
function judgeLastSync({ LastSyncResult, LastSyncDurationUSec, FilesystemResults = [] }) {
    if (LastSyncResult !== "stalled")
        return null;
    if (FilesystemResults.some(({ Result }) => ["timeout", "pending"].includes(Result)))
        return "sync-hangs";
    return FilesystemResults.some(({ Result, DurationUSec }) => Result === "slow" || DurationUSec > LastSyncDurationUSec)
        ? null
        : "sync-stalled";
}

// As service/common/glob.c: what stands before the first special character must begin like a worker's name.
function matchesNothing(glob) {
    const [literal] = glob.match(/^([^*?[\\@!+]|[@!+](?!\())*/);

    return !literal.startsWith("kworker/") && !"kworker/".startsWith(literal);
}

export function verdictOf(properties, episodes, now) {
    const newest = episodes?.at(-1);

    if (newest?.Outcome === "ongoing")
        return "stuck";
    if (!episodes)
        return "unknown";
    if (properties.Fault)
        return "fault";
    if (matchesNothing(properties.Glob))
        return "glob";
    // What is known of the last sync is about another one.
    if (properties.State === "syncing")
        return "syncing";
    if (judgeLastSync(properties))
        return judgeLastSync(properties);
    if (isUnhelpful(properties))
        return "unhelpful";
    if (properties.SyncsUnhelpful > 0 && newest?.Outcome === "outlived")
        return "outlived";
    if (properties.State === "paused" && now - properties.StateSinceUSec > PAUSE_LONG_USEC)
        return "paused-long";
    if (properties.State === "recovery")
        return "recovery";
    return properties.WorkerCount === 0 && properties.State === "idle" ? "well" : "running";
}

// "6 spinning, 2 waiting; longest run 31s"
export function describeWorkers({ SpinningCount, WaitingCount, LongestRunUSec }) {
    const parts = [];

    if (SpinningCount)
        parts.push(format(_("$0 spinning"), SpinningCount));
    if (WaitingCount)
        parts.push(format(_("$0 waiting"), WaitingCount));
    if (!parts.length)
        return _("none running");
    return format(_("$0; longest run $1"), parts.join(", "), formatSpan(LongestRunUSec));
}

const describeSync = (properties, now) =>
    format(_("A sync has been under way for $0."), formatSpan(now - properties.StateSinceUSec));

const describeHang = (properties, now) =>
    format(_("A sync has not returned for $0: a disk or a filesystem does not answer."),
           formatSpan(now - properties.LastSyncUSec));

function describeUnhelpful(properties) {
    return isUnhelpful(properties)
        ? format(_("Syncs do not help here: the last $0 did not end a stall. At most one per hour follows."), properties.SyncsUnhelpful)
        : _("Syncs did not end the last stall.");
}

// What happens next in a stall.
function describeOutlook(properties, now) {
    if (properties.State === "syncing")
        return describeSync(properties, now);
    if (isSuspended(properties) || properties.DryRun)
        return _("No sync follows by itself: “Sync now” syncs.");
    if (judgeLastSync(properties) === "sync-hangs")
        return describeHang(properties, now);
    if (isUnhelpful(properties))
        return describeUnhelpful(properties);
    return properties.State === "recovery"
        ? _("A sync has ended; another one follows after the recovery time.")
        : _("A sync follows.");
}

function describeSentence(verdict, properties, newest, now) {
    const workers = describeWorkers(properties);

    switch (verdict) {
    case "well":
        return _("All is well: no matching worker is running.");
    case "recovery":
        return format(newest?.Syncs?.at(-1)?.DryRun
            ? _("Recovery time after a dry run; matching workers: $0.")
            : _("Recovery time after a sync; matching workers: $0."), workers);
    case "syncing":
        return describeSync(properties, now);
    case "sync-hangs":
        return describeHang(properties, now);
    case "sync-stalled":
        return format(_("The last sync, $0 ago, stalled: a disk or a filesystem did not answer. “Sync now” tries again."),
                      formatSpan(now - properties.LastSyncUSec));
    case "unknown":
        return format(_("It is not known whether workers are stuck; matching workers: $0."), workers);
    case "stuck":
        return format(_("Kernel workers are stuck in $0 ($1). $2"), newest.Work, workers, describeOutlook(properties, now));
    case "unhelpful":
    case "outlived":
        return describeUnhelpful(properties);
    case "paused-long":
        return format(inhibitors(properties).length
            ? _("The pause has lasted $0; the inhibitors below make it last.")
            : _("The pause has lasted $0; “Resume” ends it."), formatSpan(now - properties.StateSinceUSec));
    case "fault":
        return format(_("Stalls may go undetected: $0"), properties.Fault);
    case "glob":
        return _("No stall can be detected: Glob matches no kernel worker.");
    default:
        return format(_("Not stuck; matching workers: $0."), workers);
    }
}

const TITLES = {
    well: () => [_("All is well"), "success"],
    running: () => [_("Not stuck"), "info"],
    recovery: () => [_("Recovery"), "info"],
    syncing: () => [_("Syncing"), "info"],
    unknown: () => [_("Not known"), "warning"],
    stuck: () => [_("Stuck"), "danger"],
    "sync-hangs": () => [_("A sync hangs"), "danger"],
    "sync-stalled": () => [_("A sync stalled"), "danger"],
    unhelpful: () => [_("Syncs do not help"), "danger"],
    outlived: () => [_("Syncs did not help"), "danger"],
    "paused-long": () => [_("Not protected"), "danger"],
    fault: () => [_("Not protected"), "danger"],
    glob: () => [_("Not protected"), "danger"],
};

// Without a running daemon.
function describeAbsence(connection, error) {
    switch (connection) {
    case "connecting":
        return { title: _("Connecting"), level: "info", sentences: [_("Asking wbwatchd.")] };
    case "silent":
        return { title: _("Not answering"), level: "danger",
                 sentences: [_("wbwatchd is running, but has not answered for 5s. It is asked again and again.")] };
    case "failed":
        return { title: _("Not answering"), level: "danger",
                 sentences: [format(_("wbwatchd is running, but this page cannot read what it says: $0"), error.message)] };
    case "no-bus":
        return { title: _("No connection"), level: "danger",
                 sentences: [_("The system bus cannot be reached. wbwatchd may be running all the same.")] };
    default:
        return { title: _("Not running"), level: "danger",
                 sentences: [_("wbwatchd is not running: no stall is detected, and none is ended.")] };
    }
}

const describeSuspension = n => n
    ? format(ngettext("Paused by $0 inhibitor: no automatic syncs.", "Paused by $0 inhibitors: no automatic syncs.", n), n)
    : _("Paused: no automatic syncs.");

// The headline: { title, level, sentences }.
export function headlineOf({ connection, error, properties, episodes, now }) {
    if (connection !== "running" || !properties)
        return describeAbsence(connection, error);

    const verdict = verdictOf(properties, episodes, now);
    const sentences = [describeSentence(verdict, properties, episodes?.at(-1), now)];
    let [title, level] = TITLES[verdict]();

    if (isSuspended(properties))
        sentences.push(describeSuspension(inhibitors(properties).length));
    if (properties.DryRun)
        sentences.push(_("Dry run: no automatic syncs."));
    if (sentences.length > 1 && level !== "danger")
        [title, level] = [_("Not protected"), "warning"];
    return { title, level, sentences };
}

export function describePause(properties, describeTime) {
    const until = properties.PausedUntilUSec;

    if (until === 0)
        return _("by inhibitors");
    return isInfinite(until) ? _("until resumed") : format(_("until $0"), describeTime(until));
}
