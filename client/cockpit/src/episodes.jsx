// SPDX-License-Identifier: GPL-3.0-or-later

// The episodes: a list, and each in full.

import { useState } from "preact/hooks";

import { Button, Card, describeFilesystem, Facts, Label, SimpleTable } from "./parts.jsx";
import { EpisodePlot } from "./plot.jsx";
import { _, format, formatSpan, formatTime, ngettext } from "./words.js";

// A page of them.
const SHOWN = 10;

const LEVELS = { recovered: "success", cleared: "info", outlived: "danger", ongoing: "warning" };

const OUTCOMES = {
    recovered: () => _("recovered: a sync helped"),
    cleared: () => _("cleared: it ended without a sync"),
    outlived: () => _("outlived: there were syncs, none helped"),
    ongoing: () => _("ongoing"),
};

const lengthOf = (episode, now) => formatSpan(Math.max((episode.EndUSec ?? now) - episode.StartUSec, 0));

function describeSyncs({ SyncCount, Syncs }) {
    if (SyncCount > 0)
        return format(ngettext("$0 sync", "$0 syncs", SyncCount), SyncCount);
    return Syncs?.at(-1)?.DryRun ? _("dry run") : _("no sync");
}

function describeCause(sync) {
    if (sync.DryRun)
        return _("dry run: nothing was synced");
    return sync.Requested ? _("requested") : _("automatic");
}

const Syncs = ({ episode }) =>
    <SimpleTable label={format(_("Syncs of episode $0"), episode.Id)}
           columns={[_("Sync"), _("After"), _("Took"), _("Result"), _("Helped"), _("Method"), _("Cause"), _("Filesystems")]}
           rows={episode.Syncs.map(sync => ({
               key: sync.Id,
               cells: [
                   sync.Id, formatSpan(Math.max(sync.StartUSec - episode.StartUSec, 0)), formatSpan(sync.DurationUSec), sync.Result || "–",
                   sync.DryRun ? "–" : sync.Helped, sync.Method, describeCause(sync),
                   <ul key="f">{(sync.Filesystems ?? []).map((filesystem, i) =>
                       <li key={i}>{describeFilesystem(filesystem, filesystem.DurationUSec ? formatSpan(filesystem.DurationUSec) : "")}</li>)}</ul>,
               ],
           }))} />;

function Details({ episode, now }) {
    return (
        <div class="wb-details" id={`episode-${episode.Id}`}>
          <Facts facts={[
              [_("Began"), formatTime(episode.StartUSec)],
              [_("Ended"), episode.EndUSec ? formatTime(episode.EndUSec) : null],
              [_("Rule"), episode.Rule],
              [_("At most"), format(_("$0 running, $1 spinning, $2 waiting at once"), episode.WorkerCount, episode.SpinningMax, episode.WaitingMax)],
              [_("Also spinning"), episode.AlsoSpinning?.length ? episode.AlsoSpinning.join(", ") : null],
          ]} />
          <EpisodePlot episode={episode} now={now} />
          {episode.Syncs?.length > 0 && <Syncs episode={episode} />}
        </div>
    );
}

function Episode({ episode, now }) {
    const [open, setOpen] = useState(false);
    const outcome = OUTCOMES[episode.Outcome]?.() ?? episode.Outcome;

    return (
        <li class="wb-episode">
          <div class="wb-episode-line">
            <Button small aria-expanded={open} aria-controls={open ? `episode-${episode.Id}` : undefined}
                    label={format(open ? _("Hide episode $0") : _("Show episode $0"), episode.Id)}
                    onClick={() => setOpen(!open)}>{open ? _("Hide") : _("Show")}</Button>
            <span class="wb-episode-id">{format(_("Episode $0"), episode.Id)}</span>
            <Label level={LEVELS[episode.Outcome]}>{outcome}</Label>
            <span>{formatTime(episode.StartUSec)}</span>
            <span>{format(_("lasted $0"), lengthOf(episode, now))}</span>
            <span>{describeSyncs(episode)}</span>
            <span class="wb-value">{format(_("$0 $1"), episode.WorkerCount, episode.Work)}</span>
          </div>
          {open && <Details episode={episode} now={now} />}
        </li>
    );
}

export function Episodes({ episodes, now }) {
    const [all, setAll] = useState(false);
    const newestFirst = [...episodes ?? []].reverse();
    const shown = all ? newestFirst : newestFirst.slice(0, SHOWN);

    return (
        <Card title={_("Episodes")} id="episodes">
          {episodes === null && <p>{_("wbwatchd did not list its episodes.")}</p>}
          {episodes?.length === 0 && <p>{_("No stall since wbwatchd started. `wbctl episodes` lists those of earlier boots.")}</p>}
          <ul class="wb-episodes">{shown.map(episode => <Episode key={episode.Id} episode={episode} now={now} />)}</ul>
          {shown.length < newestFirst.length &&
            <Button onClick={() => setAll(true)}>{format(_("Show all $0"), newestFirst.length)}</Button>}
        </Card>
    );
}
