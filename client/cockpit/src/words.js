// SPDX-License-Identifier: GPL-3.0-or-later

// Texts: translated, and numbers as wbctl writes them. base1/cockpit.js defines cockpit.

const { cockpit } = window;

export const _ = text => cockpit.gettext(text);
export const ngettext = (one, many, n) => cockpit.ngettext(one, many, n);
export const format = (text, ...values) => cockpit.format(text, ...values);

const MSEC = 1000;
const SEC = 1000 * MSEC;
const MIN = 60 * SEC;
const HOUR = 60 * MIN;
const DAY = 24 * HOUR;

export const USEC = { MSEC, SEC, MIN, HOUR, DAY };

// Name, length, the shortest duration in which it occurs, digits after the point of the last part.
const UNITS = [
    ["d", DAY, 2 * DAY, 0],
    ["h", HOUR, HOUR, 0],
    ["min", MIN, MIN, 0],
    ["s", SEC, SEC, 6],
    ["ms", MSEC, MSEC, 3],
    ["us", 1, 1, 0],
];

// UINT64_MAX is -1 or 1.8e19 in JSON, depending on the bridge.
export const isInfinite = usec => usec < 0 || usec > 1e19;

// A duration exactly, as systemd spells it: "1min 30s".
export function formatDuration(usec) {
    const parts = [];

    if (isInfinite(usec))
        return "infinity";
    if (usec === 0)
        return "0";
    for (const [name, length, from, digits] of UNITS) {
        if (usec < from)
            continue;
        const number = digits ? Number((usec / length).toFixed(digits)) : Math.floor(usec / length);
        parts.push(number + name);
        usec = digits ? 0 : usec % length;
        if (usec === 0)
            break;
    }
    return parts.join(" ");
}

// The same, rounded: for durations that were measured.
export function formatSpan(usec) {
    const unit = [[DAY, HOUR], [HOUR, MIN], [MIN, SEC], [SEC, 100 * MSEC], [MSEC, MSEC], [0, 1]]
            .find(([from]) => usec >= from)?.[1] ?? 1;

    return formatDuration(isInfinite(usec) ? usec : Math.round(usec / unit) * unit);
}

const UNIT_NAMES = {
    seconds: SEC, second: SEC, sec: SEC, s: SEC,
    minutes: MIN, minute: MIN, min: MIN, m: MIN,
    msec: MSEC, ms: MSEC,
    hours: HOUR, hour: HOUR, hr: HOUR, h: HOUR,
    days: DAY, day: DAY, d: DAY,
    weeks: 7 * DAY, week: 7 * DAY, w: 7 * DAY,
    usec: 1, us: 1,
};

// The microseconds of "1min 30s" or of a number of seconds; null if it is none.
export function parseDuration(text) {
    const part = /\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-z]*)\s*/y;
    let sum = 0;

    if (!text.trim())
        return null;
    while (part.lastIndex < text.length) {
        const match = part.exec(text);
        const unit = match && (match[2] ? UNIT_NAMES[match[2]] : SEC);
        if (!unit)
            return null;
        sum += Number(match[1]) * unit;
    }
    return Math.round(sum);
}

export function formatBytes(bytes) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let unit = 0;

    for (; bytes >= 1024 && unit + 1 < units.length; unit++)
        bytes /= 1024;
    return bytes.toFixed(unit ? 1 : 0) + " " + units[unit];
}

// A point in time with its zone: "2026-11-30 01:20:03 GMT+1".
export function formatTime(usec) {
    const date = new Date(usec / MSEC);
    const two = number => String(number).padStart(2, "0");
    const zone = new Intl.DateTimeFormat("en", { timeZoneName: "short" }).formatToParts(date)
            .find(part => part.type === "timeZoneName").value;

    return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
        `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())} ${zone}`;
}

// The same with its distance from now: "... (3min 2s ago)".
export function formatTimeAgo(usec, now) {
    const past = Math.floor(Math.abs(now - usec) / SEC) * SEC;

    if (past === 0)
        return format(_("$0 (now)"), formatTime(usec));
    return format(usec > now ? _("$0 (in $1)") : _("$0 ($1 ago)"), formatTime(usec), formatSpan(past));
}
