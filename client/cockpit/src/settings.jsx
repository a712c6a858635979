// SPDX-License-Identifier: GPL-3.0-or-later

// The settings: values, origins, bounds; set and reset.

import { useState } from "preact/hooks";

import { Button, Card, Cell, Problem, Row, Table, useAction } from "./parts.jsx";
import { _, format, formatDuration, parseDuration, USEC } from "./words.js";

const { SEC, MIN, HOUR, DAY, MSEC } = USEC;

// Property, key of files, type, bounds: as service/common/settings.c has them.
export const SETTINGS = [
    ["Glob", "Glob", "glob", 1, 255, () => _("Which kernel workers are watched")],
    ["ThresholdUSec", "ThresholdSec", "duration", SEC, DAY, () => _("Rule worker: a work is stuck in which a worker has been spinning this long")],
    ["CrowdSize", "CrowdSize", "number", 0, 10000, () => _("Rule crowd: a work is stuck in which this many workers have been spinning; 0 turns it off")],
    ["CrowdThresholdUSec", "CrowdThresholdSec", "duration", SEC, DAY, () => _("For how long the crowd must have been spinning")],
    ["CountWaiting", "CountWaiting", "boolean", 0, 1, () => _("Waiting workers count like spinning ones")],
    ["PollIntervalUSec", "PollIntervalSec", "duration", 100 * MSEC, MIN, () => _("How often it scans while a worker runs")],
    ["IdleScanIntervalUSec", "IdleScanIntervalSec", "duration", SEC, 10 * MIN, () => _("How often it scans while none runs")],
    ["RecoveryUSec", "RecoverySec", "duration", 0, HOUR, () => _("For how long no automatic sync follows a sync")],
    ["SyncMethod", "SyncMethod", "method", 0, 0, () => _("How to sync")],
    ["FilesystemTimeoutUSec", "FilesystemTimeoutSec", "duration", SEC, HOUR, () => _("For how long a sync waits for one filesystem")],
    ["SyncTimeoutUSec", "SyncTimeoutSec", "duration", SEC, DAY, () => _("A sync without progress for this long is reported as stalled")],
    ["DryRun", "DryRun", "boolean", 0, 1, () => _("Do everything but the sync")],
].map(([property, key, type, minimum, maximum, describe]) => ({ property, key, type, minimum, maximum, describe }));

const METHODS = ["auto", "sync", "syncfs"];
const SIGNATURES = { glob: "s", method: "s", boolean: "b", duration: "t", number: "u" };

function describeBounds({ type, minimum, maximum }) {
    switch (type) {
    case "glob":
        return format(_("$0 to $1 bytes"), minimum, maximum);
    case "duration":
        return format(_("$0 to $1"), formatDuration(minimum), formatDuration(maximum));
    case "number":
        return format(_("$0 to $1"), minimum, maximum);
    case "method":
        return METHODS.join(", ");
    default:
        return "yes, no";
    }
}

export function formatValue({ type }, value) {
    if (type === "boolean")
        return value ? "yes" : "no";
    return type === "duration" ? formatDuration(value) : String(value);
}

// The value that was typed. wbwatchd checks the bounds, and its refusal names them.
export function parseValue({ type, key }, text) {
    let value = text;

    if (type === "boolean")
        value = text === "yes";
    else if (type === "duration")
        value = parseDuration(text);
    else if (type === "number")
        value = /^\d+$/.test(text.trim()) ? Number(text) : null;
    if (value === null)
        throw new Error(type === "duration"
            ? format(_("$0: “$1” is no duration like 10s or 1min 30s"), key, text)
            : format(_("$0: “$1” is no number"), key, text));
    return value;
}

const Select = ({ values, ...props }) =>
    <span class="pf-v6-c-form-control wb-input">
      <select {...props}>{values.map(value => <option key={value}>{value}</option>)}</select>
    </span>;

function Input({ setting, ...props }) {
    if (setting.type === "boolean")
        return <Select values={["yes", "no"]} {...props} />;
    if (setting.type === "method")
        return <Select values={METHODS} {...props} />;
    return <span class="pf-v6-c-form-control wb-input"><input type="text" autocomplete="off" spellcheck={false} {...props} /></span>;
}

function Editor({ daemon, setting, value, onDone }) {
    const [text, setText] = useState(formatValue(setting, value));
    const [runtime, setRuntime] = useState(false);
    const action = useAction();

    const save = event => {
        event.preventDefault();
        action.run(async () => {
            await daemon.set(setting.property, SIGNATURES[setting.type], parseValue(setting, text), runtime);
            onDone();
        });
    };

    return (
        <form class="wb-editor" onSubmit={save} onKeyDown={event => event.key === "Escape" && onDone()}>
          <Input setting={setting} value={text} aria-label={setting.key} ref={focusOnce}
                 onInput={event => setText(event.currentTarget.value)} />
          <label class="wb-check">
            <input type="checkbox" checked={runtime} onChange={event => setRuntime(event.currentTarget.checked)} />
            {_("only until the next start or reload")}
          </label>
          <div class="wb-buttons">
            <Button type="submit" primary disabled={action.running}>{_("Save")}</Button>
            <Button onClick={onDone}>{_("Cancel")}</Button>
          </div>
          <Problem error={action.error} />
        </form>
    );
}

function Setting({ daemon, setting, columns, mayChange }) {
    const [editing, setEditing] = useState(false);
    const action = useAction();
    const { properties } = daemon;
    const origin = properties.SettingOrigins?.[setting.property] ?? "";
    const value = properties[setting.property];

    if (value === undefined)
        return null;
    return (
        <Row>
          <Cell column={columns[0]} header>
            {setting.key}
            <div class="wb-hint">{setting.describe()}</div>
          </Cell>
          <Cell column={columns[1]}>
            {editing
                ? <Editor daemon={daemon} setting={setting} value={value} onDone={() => setEditing(false)} />
                : <span>{formatValue(setting, value)}</span>}
            <Problem error={action.error} />
          </Cell>
          <Cell column={columns[2]}>{origin}</Cell>
          <Cell column={columns[3]}>{describeBounds(setting)}</Cell>
          <Cell column={columns[4]}>
            <div class="wb-buttons">
              {!editing && <Button small disabled={!mayChange} label={format(_("Edit $0"), setting.key)}
                                   onClick={() => setEditing(true)}>{_("Edit")}</Button>}
              {origin.startsWith("bus") &&
                <Button small disabled={!mayChange || action.running} label={format(_("Reset $0"), setting.key)}
                        onClick={() => action.run(() => daemon.reset([setting.property], false))}>{_("Reset")}</Button>}
            </div>
          </Cell>
        </Row>
    );
}

// The focus goes to a field that a click opened.
const focusOnce = component => component?.base?.querySelector("input, select")?.focus();

export function Settings({ daemon }) {
    const action = useAction();
    const mayChange = daemon.allowed.configure === true;
    const columns = [_("Setting"), _("Value"), _("Origin"), _("Allowed"), _("Change")];
    const origins = Object.values(daemon.properties.SettingOrigins ?? {});

    return (
        <Card title={_("Settings")} id="settings">
          <Table label={_("Settings")} columns={columns}>
            {SETTINGS.map(setting => <Setting key={setting.key} daemon={daemon} setting={setting} columns={columns} mayChange={mayChange} />)}
          </Table>
          {origins.some(origin => origin.startsWith("bus")) &&
            <div class="wb-buttons wb-below">
              <Button disabled={!mayChange || action.running}
                      onClick={() => action.run(() => daemon.reset([], false))}>{_("Reset all that was set here")}</Button>
            </div>}
          <Problem error={action.error} />
        </Card>
    );
}
