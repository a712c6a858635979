// SPDX-License-Identifier: GPL-3.0-or-later

// The page: what wbwatchd says, and its controls.

import { render } from "preact";

import { Pause, Sync } from "./controls.jsx";
import { ACTIONS, Daemon } from "./daemon.js";
import { Doctor } from "./doctor.jsx";
import { Episodes } from "./episodes.jsx";
import { Alert, Card, Facts, Label, SimpleTable } from "./parts.jsx";
import { LivePlot } from "./plot.jsx";
import { Settings } from "./settings.jsx";
import { followTheme } from "./theme.js";
import { describeWorkers, headlineOf } from "./verdict.js";
import { _, format, formatSpan, formatTimeAgo } from "./words.js";

const { cockpit } = window;

function Headline({ daemon }) {
    const { title, level, sentences } = headlineOf(daemon);

    return (
        <header class={`wb-headline wb-${level}`}>
          <h1 class="wb-title">{_("Writeback workers")}</h1>
          <div role="status" class="wb-verdict">
            <Label level={level}>{title}</Label>
            {daemon.properties?.DryRun && <>{" "}<Label level="warning">{_("Dry run")}</Label></>}
            {sentences.map(sentence => <p key={sentence}>{sentence}</p>)}
          </div>
        </header>
    );
}

const ACTION_NAMES = {
    configure: () => _("change settings"),
    pause: () => _("pause and resume"),
    "force-sync": () => _("sync"),
};

function Access({ daemon }) {
    const missing = ACTIONS.filter(action => daemon.allowed[action] === false);

    if (!daemon.limited || !missing.length)
        return null;
    return (
        <Alert level="info" title={_("Limited access")}>
          {format(_("Everything on this page may be read. You may not: $0. For that, turn on administrative access at the top of Cockpit, or ask for a rule of polkit."),
                  missing.map(action => ACTION_NAMES[action]()).join(", "))}
        </Alert>
    );
}

function Absence({ connection }) {
    if (connection !== "stopped")
        return null;
    return (
        <Alert level="info" title={_("How to start it")}>
          {_("This page starts nothing by itself. As root:")} <code>systemctl enable --now wbwatchd</code>
        </Alert>
    );
}

function describeState({ State, StateSinceUSec }, now) {
    return format(_("$0 since $1"), State, formatTimeAgo(StateSinceUSec, now));
}

function Workers({ daemon }) {
    const { properties, workers, now } = daemon;

    return (
        <Card title={_("Now")} id="now">
          <Facts facts={[
              [_("State"), describeState(properties, now)],
              [_("Why"), properties.StatusText],
              [_("Workers"), describeWorkers(properties)],
              [_("Crowd size"), properties.CrowdSizeInForce > 0 ? format(_("$0 in force"), properties.CrowdSizeInForce) : _("rule off")],
              [_("Events"), format(_("$0, overrun $1 times"), properties.EventSource, properties.LostEvents)],
              [_("Version"), properties.Version],
          ]} />
          {workers.length > 0 &&
            <SimpleTable label={_("Running workers")} columns={[_("PID"), _("State"), _("Running"), _("CPU"), _("Name")]}
                   rows={workers.map(worker => ({
                       key: `${worker.PID}-${worker.StartTime}`,
                       cells: [worker.PID, worker.State === "R" ? _("spinning") : format(_("waiting ($0)"), worker.State),
                               formatSpan(worker.RunningUSec), formatSpan(worker.CPUUSec),
                               <span key="n" class="wb-value">{worker.Name}</span>],
                   }))} />}
        </Card>
    );
}

const Plot = ({ daemon }) =>
    <Card title={_("Last ten minutes")} id="history">
      <LivePlot history={daemon.history} now={daemon.now} />
    </Card>;

function Page({ daemon }) {
    const known = daemon.connection === "running";

    return (
        <main class="wb-page">
          <Headline daemon={daemon} />
          <Absence connection={daemon.connection} />
          <Access daemon={daemon} />
          <div class="wb-cards">
            {known && <Workers daemon={daemon} />}
            {known && <Plot daemon={daemon} />}
            {known && <Sync daemon={daemon} />}
            {known && <Pause daemon={daemon} />}
          </div>
          {known && <Episodes episodes={daemon.episodes} now={daemon.now} />}
          {known && <Settings daemon={daemon} />}
          <Doctor />
        </main>
    );
}

function start() {
    const daemon = new Daemon(() => render(<Page daemon={daemon} />, document.body));

    followTheme();
    cockpit.translate();
    document.documentElement.lang = cockpit.language.replace("_", "-");
    document.documentElement.dir = cockpit.language_direction;
    render(<Page daemon={daemon} />, document.body);
    daemon.start();
}

start();
