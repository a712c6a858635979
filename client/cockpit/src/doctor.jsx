// SPDX-License-Identifier: GPL-3.0-or-later

// The verdict of `wbctl doctor`: whether this machine can have the stall.

import { useState } from "preact/hooks";

import { Alert, Button, Card, Label, Problem, SimpleTable, useAction } from "./parts.jsx";
import { _ } from "./words.js";

const { cockpit } = window;

const LEVELS = { "not affected": "success", affected: "danger" };
const RESULTS = { ok: "success", note: "info", bad: "danger", unknown: "warning" };

// Its exit status is the verdict; only without output it failed.
const examine = () => new Promise((resolve, reject) => {
    cockpit.spawn(["wbctl", "doctor", "--batch", "json"], { superuser: "try", err: "message" })
            .then(output => resolve(JSON.parse(output)))
            .catch((error, output) => {
                try {
                    resolve(JSON.parse(output));
                } catch {
                    reject(error);
                }
            });
});

const Report = ({ report }) =>
    <div class="wb-below">
      <Alert level={LEVELS[report.Verdict] ?? "warning"} title={report.Summary}>{report.KernelRelease}</Alert>
      {report.Advice.length > 0 && <h3 class="wb-heading">{_("What to do")}</h3>}
      <ol class="wb-list wb-numbered">{report.Advice.map(advice => <li key={advice}>{advice}</li>)}</ol>
      <SimpleTable label={_("Checks")} columns={[_("Check"), _("Result"), _("Evidence")]}
             rows={report.Checks.map(({ Section, Check, Result, Evidence }) => ({
                 key: Section + Check,
                 cells: [`${Section}: ${Check}`, <Label key="r" level={RESULTS[Result]}>{Result}</Label>, Evidence],
             }))} />
    </div>;

export function Doctor() {
    const [report, setReport] = useState(null);
    const action = useAction();

    return (
        <Card title={_("Is this machine affected?")} id="doctor">
          <div class="wb-buttons">
            <Button disabled={action.running} onClick={() => action.run(async () => setReport(await examine()))}>{_("Examine")}</Button>
            <span role="status">{action.running && _("Examining the kernel, the setup and the running workers, for 5s.")}</span>
          </div>
          <Problem error={action.error} />
          {report && <Report report={report} />}
        </Card>
    );
}
