// SPDX-License-Identifier: GPL-3.0-or-later

// Plots: of the last ten minutes, and of an episode.

import { HISTORY_USEC } from "./daemon.js";
import { describeFilesystem, useWidth } from "./parts.jsx";
import { _, format, formatBytes, formatSpan } from "./words.js";

const HEIGHT = 110;
const TOP = 16;
const BOTTOM = 18;
const LEFT = 58;
const RIGHT = 8;
const ROW = 30; // of a filesystem
const ROWS_MAX = 12;
const GLYPH = 8; // a wide one of .wb-tick

// From a range of times to pixels.
const scaleOf = (begin, end, width) => time =>
    LEFT + (Math.min(Math.max(time, begin), end) - begin) / Math.max(end - begin, 1) * (width - LEFT - RIGHT);

// A value holds until the next one: [[time, value], ...] as a path.
function stepPath(points, x, y, end) {
    let path = "";

    points.forEach(([time, value], i) => {
        path += i === 0 ? `M${x(time)} ${y(value)}` : `H${x(time)}V${y(value)}`;
    });
    return path && path + `H${x(end)}`;
}

// The lines of one panel, above a common axis.
function Panel({ top, width, begin, end, lines, maximum, formatMaximum }) {
    const x = scaleOf(begin, end, width);
    const floor = top + HEIGHT - BOTTOM;
    const y = value => floor - value / Math.max(maximum, 1) * (HEIGHT - TOP - BOTTOM);

    return (
        <g>
          <line class="wb-axis" x1={LEFT} y1={floor} x2={width - RIGHT} y2={floor} />
          <line class="wb-grid" x1={LEFT} y1={top + TOP} x2={width - RIGHT} y2={top + TOP} />
          <text class="wb-tick" x={LEFT - 6} y={top + TOP + 4} text-anchor="end">{formatMaximum(Math.max(maximum, 1))}</text>
          <text class="wb-tick" x={LEFT - 6} y={floor + 4} text-anchor="end">0</text>
          {lines.map(({ name, points }) => {
              const path = stepPath(points, x, y, end);
              return path && (
                  <g key={name}>
                    {name === "spinning" && <path class="wb-area" d={`${path}V${floor}H${x(points[0][0])}Z`} />}
                    <path class={`wb-line wb-${name}`} d={path} />
                  </g>
              );
          })}
        </g>
    );
}

const Key = ({ names }) =>
    <ul class="wb-key">
      {names.map(([name, text]) =>
          <li key={name}>
            <svg width="24" height="10" aria-hidden="true"><line class={`wb-line wb-${name}`} x1="0" y1="5" x2="24" y2="5" /></svg>
            {text}
          </li>)}
    </ul>;

const maximumOf = points => points.reduce((most, [, value]) => Math.max(most, value), 0);

const lineOf = (history, name) => history.map(entry => [entry.time, entry[name]]);

export function LivePlot({ history, now }) {
    const [ref, width] = useWidth();
    const begin = now - HISTORY_USEC;
    const last = history.at(-1);
    const [spinning, waiting, dirty, writeback] = ["spinning", "waiting", "dirty", "writeback"].map(name => lineOf(history, name));
    const workersMax = Math.max(maximumOf(spinning), maximumOf(waiting));
    const bytesMax = Math.max(maximumOf(dirty), maximumOf(writeback));
    const summary = last && format(
        _("At most $0 spinning and $1 waiting at once, $2 dirty, $3 in writeback. Now $4 spinning, $5 waiting, $6 dirty, $7 in writeback."),
        maximumOf(spinning), maximumOf(waiting), formatBytes(maximumOf(dirty)), formatBytes(maximumOf(writeback)),
        last.spinning, last.waiting, formatBytes(last.dirty), formatBytes(last.writeback));

    return (
        <figure class="wb-figure" ref={ref}>
          <Key names={[["spinning", _("spinning workers")], ["waiting", _("waiting workers")],
                       ["dirty", _("Dirty")], ["writeback", _("Writeback")]]} />
          {width > 0 && last &&
            <svg class="wb-plot" width={width} height={2 * HEIGHT} role="img" aria-label={_("Workers, Dirty and Writeback over the last ten minutes")}>
              <Panel top={0} width={width} begin={begin} end={now} maximum={workersMax} formatMaximum={String}
                     lines={[{ name: "spinning", points: spinning }, { name: "waiting", points: waiting }]} />
              <Panel top={HEIGHT - 8} width={width} begin={begin} end={now} maximum={bytesMax} formatMaximum={formatBytes}
                     lines={[{ name: "dirty", points: dirty }, { name: "writeback", points: writeback }]} />
              <text class="wb-tick" x={LEFT} y={2 * HEIGHT - 10}>{_("10min ago")}</text>
              <text class="wb-tick" x={width - RIGHT} y={2 * HEIGHT - 10} text-anchor="end">{_("now")}</text>
            </svg>}
          <figcaption class="wb-hint">{summary ?? _("Nothing has been read yet.")}</figcaption>
        </figure>
    );
}

// The filesystems of an episode's syncs, each as a bar from its sync's start on.
const barsOf = syncs => syncs.flatMap(sync =>
    (sync.Filesystems ?? []).map(filesystem => ({ sync, filesystem }))).slice(0, ROWS_MAX);

// What fits; the table below has all of it.
function cut(text, width) {
    const most = Math.floor(width / GLYPH);

    return text.length > most ? text.slice(0, most - 1) + "…" : text;
}

function Bars({ top, width, bars, x, end }) {
    return bars.map(({ sync, filesystem }, i) => {
        const y = top + i * ROW;
        const begin = x(sync.StartUSec);
        const isOpen = ["pending", "slow"].includes(filesystem.Result) && !sync.Result;
        const until = isOpen ? x(end) : x(sync.StartUSec + filesystem.DurationUSec);

        return (
            <g key={i}>
              <text class="wb-tick" x="2" y={y + 12}>
                {cut(format(_("sync $0: $1"), sync.Id, describeFilesystem(filesystem, filesystem.DurationUSec ? formatSpan(filesystem.DurationUSec) : "")), width)}
              </text>
              <rect class={filesystem.Result === "ok" ? "wb-bar" : "wb-bar wb-bar-bad"} x={begin} y={y + 17} width={Math.max(until - begin, 3)} height="8" />
            </g>
        );
    });
}

export function EpisodePlot({ episode, now }) {
    const [ref, width] = useWidth();
    const samples = episode.Samples ?? [];
    const syncs = episode.Syncs ?? [];
    const bars = barsOf(syncs);
    const begin = Math.min(episode.StartUSec, samples[0]?.[0] ?? Infinity);
    const end = Math.max(episode.EndUSec ?? now, samples.at(-1)?.[0] ?? 0,
                         ...syncs.map(sync => sync.StartUSec + (sync.DurationUSec ?? 0)));
    const x = scaleOf(begin, end, width);
    const spinning = samples.map(([time, count]) => [time, count]);
    const waiting = samples.map(([time, , count]) => [time, count]);
    const height = HEIGHT + 14 + bars.length * ROW;

    return (
        <figure class="wb-figure" ref={ref}>
          <Key names={[["spinning", _("spinning workers")], ["waiting", _("waiting workers")], ["sync", _("start of a sync")]]} />
          {width > 0 &&
            <svg class="wb-plot" width={width} height={height} role="img"
                 aria-label={format(_("Workers of episode $0 over time; the tables below have the figures"), episode.Id)}>
              <Panel top={0} width={width} begin={begin} end={end} maximum={Math.max(maximumOf(spinning), maximumOf(waiting))}
                     formatMaximum={String} lines={[{ name: "spinning", points: spinning }, { name: "waiting", points: waiting }]} />
              {syncs.map(sync =>
                  <g key={sync.Id}>
                    <line class="wb-line wb-sync" x1={x(sync.StartUSec)} x2={x(sync.StartUSec)} y1={TOP - 2} y2={height} />
                    <text class="wb-tick" x={x(sync.StartUSec)} y={TOP - 5} text-anchor={x(sync.StartUSec) > width / 2 ? "end" : "start"}>
                      {sync.DryRun ? format(_("dry run $0"), sync.Id) : format(_("sync $0"), sync.Id)}
                    </text>
                  </g>)}
              <text class="wb-tick" x={LEFT} y={HEIGHT - 2}>0</text>
              <text class="wb-tick" x={width - RIGHT} y={HEIGHT - 2} text-anchor="end">{formatSpan(end - begin)}</text>
              <Bars top={HEIGHT + 8} width={width} bars={bars} x={x} end={end} />
            </svg>}
        </figure>
    );
}
