// SPDX-License-Identifier: GPL-3.0-or-later

// Sync, pause and resume, inhibitors.

import { useState } from "preact/hooks";

import { Button, Card, describeFilesystem, Label, Problem, SimpleTable, useAction } from "./parts.jsx";
import { describePause, inhibitors } from "./verdict.js";
import { _, format, formatBytes, formatDuration, formatSpan, formatTimeAgo, USEC } from "./words.js";

const LEVELS = { ok: "success", pending: "info", slow: "warning", timeout: "danger", unreachable: "danger", failed: "danger" };

// How long it has been, where it still goes on.
function spanOf({ Result, DurationUSec }, daemon) {
    const { State, StateSinceUSec } = daemon.properties;
    const open = State === "syncing" && ["pending", "slow"].includes(Result);
    const usec = open ? Math.max(daemon.now - StateSinceUSec, 0) : DurationUSec;

    return usec > 0 ? formatSpan(usec) : "";
}

const Filesystems = ({ daemon, filesystems }) =>
    <ul class="wb-list" aria-label={_("Filesystems of the sync")}>
      {filesystems.map((filesystem, i) =>
          <li key={i}>
            <Label level={LEVELS[filesystem.Result]}>{filesystem.Result}</Label>
            {" "}<span class="wb-value">{describeFilesystem(filesystem, spanOf(filesystem, daemon))}</span>
          </li>)}
    </ul>;

function describeLastSync({ LastSyncUSec, LastSyncResult, LastSyncDurationUSec }, now) {
    if (!LastSyncUSec)
        return _("No sync since wbwatchd started.");
    return format(_("Last sync: $0: $1 after $2."), formatTimeAgo(LastSyncUSec, now), LastSyncResult, formatSpan(LastSyncDurationUSec));
}

function SyncProgress({ daemon }) {
    const { properties } = daemon;
    const filesystems = properties.FilesystemResults ?? [];
    const answered = filesystems.filter(({ Result }) => !["pending", "slow"].includes(Result)).length;

    return (
        <div role="status" class="wb-below">
          {properties.State === "syncing"
              ? <p>{format(_("A sync has been under way for $0: $1 of $2 filesystems have answered; $3 dirty, $4 in writeback."),
                           formatSpan(Math.max(daemon.now - properties.StateSinceUSec, 0)), answered, filesystems.length,
                           formatBytes(properties.DirtyBytes), formatBytes(properties.WritebackBytes))}</p>
              : <p>{describeLastSync(properties, daemon.now)}</p>}
          {filesystems.length > 0 && <Filesystems daemon={daemon} filesystems={filesystems} />}
        </div>
    );
}

function SyncFilesystem({ daemon, mayChange }) {
    const [path, setPath] = useState("");
    const [answer, setAnswer] = useState("");
    const action = useAction();

    const submit = event => {
        event.preventDefault();
        setAnswer("");
        action.run(async () => {
            const usec = await daemon.syncFilesystem(path);
            setAnswer(format(_("The filesystem that holds $0 answered after $1."), path, formatSpan(usec)));
        });
    };

    return (
        <form class="wb-form wb-below" onSubmit={submit}>
          <label for="sync-path">{_("One filesystem, by a path in it")}</label>
          <div class="wb-buttons">
            <span class="pf-v6-c-form-control wb-input">
              <input id="sync-path" type="text" placeholder="/" autocomplete="off" spellcheck={false} required value={path}
                     onInput={event => setPath(event.currentTarget.value)} />
            </span>
            <Button type="submit" disabled={!mayChange || action.running}>{_("Sync it")}</Button>
          </div>
          <p role="status">{action.running ? _("Syncing …") : answer}</p>
          <Problem error={action.error} />
        </form>
    );
}

export function Sync({ daemon }) {
    const [answer, setAnswer] = useState("");
    const action = useAction();
    const mayChange = daemon.allowed["force-sync"] === true;

    const sync = () => {
        setAnswer("");
        action.run(async () => setAnswer(format(_("Synced in $0."), formatSpan(await daemon.sync()))));
    };

    return (
        <Card title={_("Sync")} id="sync">
          <div class="wb-buttons">
            <Button primary disabled={!mayChange || action.running} onClick={sync}>{_("Sync now")}</Button>
            <span role="status">{action.running ? _("Requested; waiting for its end.") : answer}</span>
          </div>
          {daemon.properties.DryRun && <p class="wb-hint">{_("Dry run: automatic syncs are not made, but this one is.")}</p>}
          <Problem error={action.error} />
          <SyncProgress daemon={daemon} />
          <SyncFilesystem daemon={daemon} mayChange={mayChange} />
        </Card>
    );
}

const PAUSES = [15 * USEC.MIN, USEC.HOUR, 8 * USEC.HOUR, 24 * USEC.HOUR];

const Inhibitors = ({ list, now }) =>
    <SimpleTable label={_("Inhibitors")} columns={[_("Who"), _("Why"), _("User"), _("Process"), _("Since")]}
           rows={list.map(({ Who, Why, UID, PID, SinceUSec }, i) => ({
               key: i, cells: [Who, Why, UID, PID, formatTimeAgo(SinceUSec, now)],
           }))} />;

export function Pause({ daemon }) {
    const [choice, setChoice] = useState(String(USEC.HOUR));
    const action = useAction();
    const { properties, now } = daemon;
    const list = inhibitors(properties);
    const mayChange = daemon.allowed.pause === true;
    const disabled = !mayChange || action.running;
    const isOn = properties.PausedUntilUSec !== 0;

    const pause = event => {
        event.preventDefault();
        action.run(() => choice === "forever" ? daemon.pause() : daemon.pauseFor(Number(choice)));
    };

    return (
        <Card title={_("Pause")} id="pause">
          <p>{isOn || list.length > 0
              ? format(_("Paused $0: wbwatchd watches and reports, but makes no automatic sync."),
                       describePause(properties, usec => formatTimeAgo(usec, now)))
              : _("Not paused.")}</p>
          <form class="wb-form" onSubmit={pause}>
            <label for="pause-for">{_("Suspend automatic syncs")}</label>
            <div class="wb-buttons">
              <span class="pf-v6-c-form-control wb-input">
                <select id="pause-for" value={choice} onChange={event => setChoice(event.currentTarget.value)}>
                  {PAUSES.map(usec => <option key={usec} value={usec}>{format(_("for $0"), formatDuration(usec))}</option>)}
                  <option value="forever">{_("until resumed")}</option>
                </select>
              </span>
              <Button type="submit" disabled={disabled}>{_("Pause")}</Button>
              {isOn && <Button primary disabled={disabled} onClick={() => action.run(() => daemon.resume())}>{_("Resume")}</Button>}
            </div>
          </form>
          <Problem error={action.error} />
          {list.length > 0 && <Inhibitors list={list} now={now} />}
          {list.length > 0 && <p class="wb-hint">{_("“Resume” does not end inhibitors: the programs that hold them do.")}</p>}
        </Card>
    );
}
