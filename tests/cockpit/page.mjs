// SPDX-License-Identifier: GPL-3.0-or-later

// The page in Cockpit, in a real Chromium. Started by test-cockpit.c; prints TAP. With WBWATCH_SCREENSHOTS=FOLDER each
// state is also drawn, light and dark, at 400 and 1280 pixels.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

import { parsePo, poScript } from "../../client/cockpit/po.mjs";
import * as stage from "./stage.mjs";

const require = createRequire(path.join(process.env.WBWATCH_COCKPIT_MODULES, "package.json"));
const { chromium } = require("playwright-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const { putWorkers, request } = stage;

const BUNDLE_MAX = 500 * 1000;
const WAIT_MSEC = 15 * 1000;
const screenshots = process.env.WBWATCH_SCREENSHOTS;

// Stuck after a second of waiting, so that a fake worker that uses no CPU time suffices.
const FAST = "[Watch]\\nIdleScanIntervalSec=1s\\nPollIntervalSec=100ms\\nRecoverySec=1s\\n";
const STUCK = FAST + "ThresholdSec=1s\\nCrowdSize=0\\nCountWaiting=yes\\n";
const REAL = "[Watch]\\nGlob=kworker/*+flush-7:*\\nThresholdSec=1s\\nCrowdSize=0\\nIdleScanIntervalSec=1s\\nRecoverySec=1s\\n" +
    "FilesystemTimeoutSec=1s\\nSyncTimeoutSec=2s\\nCountWaiting=yes\\n";

let page;
let count = 0;
let looks = 0;
const complaints = []; // of the browser, about scripts and the content security policy

// Each continues where the one before has ended: none can follow one that failed.
async function test(name, run) {
    const begin = Date.now();

    count++;
    try {
        await run();
        console.log(`ok ${count} /cockpit/${name}`);
        console.log(`# ${Date.now() - begin} ms`);
    } catch (error) {
        console.log(`not ok ${count} /cockpit/${name}`);
        console.log(String(error.stack).replace(/^/gm, "# "));
        await page?.screenshot({ path: path.join(screenshots ?? stage.folder, "failed.png"), fullPage: true }).catch(() => {});
        process.exit(1);
    }
}

// ---- the browser ----

async function openPage(browser, address, options = {}) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, reducedMotion: "reduce", ...options });
    const opened = await context.newPage();

    opened.setDefaultTimeout(WAIT_MSEC);
    await opened.addInitScript(() => document.addEventListener("securitypolicyviolation", event =>
        console.error(`content security policy: ${event.violatedDirective} ${event.blockedURI}`)));
    opened.on("console", message => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
    opened.on("pageerror", error => complaints.push(String(error.stack)));
    if (options.fakeClock)
        await opened.clock.install();
    opened.response = await opened.goto(address);
    return opened;
}

const headline = title => page.locator("header").getByText(title, { exact: true })
        .waitFor();
const says = text => page.getByText(text).first()
        .waitFor();
const card = id => page.locator(`#${id}`);
const button = (name, where = page) => where.getByRole("button", { name, exact: true });

// ---- what holds in each state ----

const setStyle = style => page.evaluate(choice => {
    localStorage.setItem("shell:style", choice);
    window.dispatchEvent(new CustomEvent("cockpit-style", { detail: { style: choice } }));
}, style);

async function findViolations() {
    await page.evaluate(script => { window.axe ?? window.eval(script) }, axe).catch(() => {});
    const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(node => node.html.slice(0, 200) + " " + node.any.map(one => one.message).join("; ")).join(" | ")}`);
}

async function draw(name) {
    if (screenshots)
        await page.screenshot({ path: path.join(screenshots, `${name}.png`), fullPage: true });
}

// Readable for people and for axe, narrow and wide, in the style that is its turn.
async function look(name, ...styles) {
    looks++;
    if (screenshots)
        styles = ["dark", "light"];
    else if (!styles.length)
        styles = [looks % 2 ? "dark" : "light"];
    for (const style of styles) {
        await setStyle(style);
        assert.deepEqual(await findViolations(), [], `${name}, ${style}`);
        await draw(`${name}-${style}-1280`);
        await page.setViewportSize({ width: 400, height: 800 });
        await page.waitForFunction(() => window.innerWidth === 400);
        await page.waitForTimeout(100); // plots follow
        assert.deepEqual(await page.evaluate(findWide), [], `${name}: within 400 pixels`);
        await draw(`${name}-${style}-400`);
        await page.setViewportSize({ width: 1280, height: 900 });
    }
}

const findWide = () => [...document.querySelectorAll("body *")].filter(element => element.getBoundingClientRect().right > 400)
        .map(element => element.outerHTML.slice(0, 200));

// Each text in quotation marks, as the language de. The bridge lists the page's files when a session begins.
function installTranslation() {
    const template = path.join(stage.folder, "wbwatch.pot");
    execFileSync("node", [path.join(process.env.WBWATCH_SOURCE_DIR, "client/cockpit/build.mjs"), "--pot", template]);
    const entries = parsePo(fs.readFileSync(template, "utf8")).map(entry =>
        ({ ...entry, texts: entry.id ? [`«${entry.id}»`] : ["Language: de\nPlural-Forms: nplurals=2; plural=n != 1;\n"] }));
    assert.ok(entries.length > 150);
    fs.writeFileSync(path.join(stage.installed, "po.de.js"), poScript(entries));
}

// ---- start ----

stage.install();
installTranslation();
await request("start-bus");
await request("write-config", FAST);
const address = await stage.startSession("root");
const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
});
const calls = stage.countCalls();
page = await openPage(browser, address);

await test("bundle", () => {
    const names = fs.readdirSync(stage.installed).filter(name => !name.startsWith("po."));
    const size = names.reduce((sum, name) => sum + fs.statSync(path.join(stage.installed, name)).size, 0);
    console.log(`# the bundle has ${size} bytes`);
    assert.ok(size <= BUNDLE_MAX);
});

await test("policy", () => {
    const policy = page.response.headers()["content-security-policy"];
    assert.match(policy, /default-src 'self'/);
    assert.doesNotMatch(policy, /unsafe/);
});

await test("not-running", async () => {
    await headline("Not running");
    await says("systemctl enable --now wbwatchd");
    await look("not-running");
});

await test("doctor-fails", async () => {
    fs.renameSync(stage.wbctl, stage.wbctl + "-away");
    await button("Examine").click();
    await says("That failed");
    fs.renameSync(stage.wbctl + "-away", stage.wbctl);
});

await test("doctor", async () => {
    await button("Examine").click();
    await says("Examining the kernel");
    await page.getByRole("table", { name: "Checks" }).waitFor();
    await says(/inode_switch_wbs/);
    await look("doctor");
});

await test("activation", async () => {
    assert.ok(!fs.existsSync(stage.activated), "the page started the daemon");
    await stage.activate();
});

// ---- a healthy machine ----

await test("well", async () => {
    await request("start-daemon");
    await headline("All is well");
    await says("No stall since wbwatchd started");
    await look("well", "dark", "light");
});

await test("keyboard", async () => {
    await page.locator("body").press("Tab");
    for (let i = 0; i < 60 && !await button("Edit DryRun").evaluate(element => element === document.activeElement); i++)
        await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.getByRole("combobox", { name: "DryRun" }).waitFor();
    await page.keyboard.press("ArrowDown"); // from no
    await page.keyboard.press("Escape");
    await button("Edit DryRun").waitFor();
});

const VALUES = {
    Glob: "kworker/*+inode_switch_wb*", ThresholdSec: "20s", CrowdSize: "6", CrowdThresholdSec: "1min 30s", CountWaiting: "yes",
    PollIntervalSec: "500ms", IdleScanIntervalSec: "2s", RecoverySec: "1h", SyncMethod: "syncfs", FilesystemTimeoutSec: "5s",
    SyncTimeoutSec: "2min", DryRun: "yes",
};

const row = key => page.getByRole("row").filter({ has: page.getByRole("rowheader", { name: key }) });

async function edit(key, value) {
    await button(`Edit ${key}`).click();
    const input = page.getByLabel(key, { exact: true });
    await (await input.evaluate(element => element.tagName) === "SELECT" ? input.selectOption(value) : input.fill(value));
}

await test("settings", async () => {
    for (const [key, value] of Object.entries(VALUES)) {
        await edit(key, value);
        await page.getByLabel("only until the next start or reload").check();
        await button("Save").click();
        await row(key).getByText(value, { exact: true })
                .waitFor();
        await row(key).getByText("bus", { exact: true })
                .waitFor();
    }
    await headline("Dry run");
    await headline("Not protected");
    await says("Dry run: no automatic syncs.");
    await look("dry-run");
    await button("Reset ThresholdSec").click();
    await row("ThresholdSec").getByText("built-in")
            .waitFor();
    await button("Reset all that was set here").click();
    await headline("All is well");
    await button("Reset all that was set here").waitFor({ state: "detached" });
});

await test("settings-permanent", async () => {
    await edit("CrowdSize", "7");
    await button("Save").click();
    await row("CrowdSize").getByText("bus (permanent)")
            .waitFor();
    await button("Reset CrowdSize").click();
    await row("CrowdSize").getByText("built-in")
            .waitFor();
});

await test("settings-refused", async () => {
    await edit("ThresholdSec", "1ms");
    await button("Save").click();
    await says(/ThresholdUSec.*1s/);
    await page.getByLabel("ThresholdSec", { exact: true }).fill("soon");
    await button("Save").click();
    await says("“soon” is no duration");
    await look("refused", "dark", "light");
    await button("Cancel").click();
    await edit("CrowdSize", "many");
    await button("Save").click();
    await says("“many” is no number");
    await button("Cancel").click();
});

await test("glob", async () => {
    await edit("Glob", "nothing/*");
    await button("Save").click();
    await headline("Not protected");
    await says("Glob matches no kernel worker");
    await button("Reset Glob").click();
    await headline("All is well");
});

await test("pause", async () => {
    await button("Pause").click();
    await says(/Paused until \d.*\(in 59min 59s|Paused until \d.*\(in 1h/);
    await headline("Not protected");
    await look("paused");
    await button("Resume").click();
    await says("Not paused.");
    await page.getByLabel("Suspend automatic syncs").selectOption("until resumed");
    await button("Pause").click();
    await says("Paused until resumed:");
    await button("Resume").click();
    await headline("All is well");
});

// Where wbctl has the verb.
if (/^ *inhibit /m.test(execFileSync(process.env.WBCTL, ["--help"], { encoding: "utf8" })))
    await test("inhibitors", async () => {
        const holder = spawn(process.env.WBCTL, ["inhibit", "--who=backup", "--why=a snapshot", "sleep", "60"],
                             { stdio: "inherit", env: { ...process.env, DBUS_SYSTEM_BUS_ADDRESS: process.env.WBWATCH_STAGE_BUS } });
        await page.getByRole("table", { name: "Inhibitors" }).getByText("a snapshot")
                .waitFor();
        await headline("Not protected");
        await look("inhibited");
        holder.kill();
        await says("Not paused.");
    });

await test("sync", async () => {
    await request("make-disk");
    await button("Sync now").click();
    await says(/Synced in /);
    await says(/Last sync: .*ok after/);
    await card("sync").getByText(/\/run\/.* \(.*\): ok/)
            .waitFor();
});

await test("syncing", async () => {
    await request("hold-helpers", "wbwatchd-syncfs");
    await button("Sync now").click();
    await says(/A sync has been under way for .* filesystems have answered/);
    await headline("Syncing");
    await request("continue-helpers", "wbwatchd-syncfs");
    await says(/Synced in /);
});

await test("sync-filesystem", async () => {
    await headline("All is well");
    await page.getByLabel("One filesystem, by a path in it").fill(stage.folder);
    await button("Sync it").click();
    await says(/The filesystem that holds .* answered after/);
    await page.getByLabel("One filesystem, by a path in it").fill("no/absolute/path");
    await button("Sync it").click();
    await card("sync").getByText("That failed")
            .waitFor();
});

// ---- workers ----

await test("waiting", async () => {
    await putWorkers([[101, "D"], [102, "D"]]);
    await headline("Not stuck");
    await says(/matching workers: 2 waiting/);
    await page.getByRole("table", { name: "Running workers" }).getByText("waiting (D)")
            .first()
            .waitFor();
    await look("waiting");
});

await test("busy-calls", async () => {
    const before = calls.length;
    const begin = Date.now();
    await page.waitForTimeout(4000);
    const sec = (Date.now() - begin) / 1000;
    console.log(`# busy: ${calls.length - before} calls in ${sec} s`);
    assert.ok(calls.length - before > sec && calls.length - before <= 2 * (sec + 1));
});

await test("silent", async () => {
    await request("hold-daemon");
    await headline("Not answering");
    await look("silent");
    await request("continue-daemon");
    await headline("Not stuck");
    await putWorkers([]);
    await headline("All is well");
});

await test("fault", async () => {
    stage.hideThreads();
    await headline("Not protected");
    await says("Stalls may go undetected");
    await look("fault");
    stage.showThreads();
    await headline("All is well");
});

await test("killed", async () => {
    await request("kill-daemon");
    await headline("Not running");
    assert.equal(await page.getByRole("heading", { name: "Settings" }).count(), 0);
    await request("write-config", STUCK);
    await request("start-daemon");
    await headline("All is well");
});

await test("stuck-dry-run", async () => {
    await edit("DryRun", "yes");
    await button("Save").click();
    await headline("Dry run");
    await putWorkers([[101, "R"], [102, "D"]]);
    await headline("Stuck");
    await says("Kernel workers are stuck in inode_switch_wbs (1 spinning, 1 waiting; longest run");
    await says("ongoing");
    await putWorkers([]);
    await says("cleared: it ended without a sync");
    await says("dry run", { exact: true });
    await button("Show episode 1").click();
    await says("dry run: nothing was synced");
    await button("Reset DryRun").click();
    await button("Reset DryRun").waitFor({ state: "detached" });
    await request("stop-daemon");
    await headline("Not running");
});

// ---- a real stuck worker ----

await test("real-stuck-worker", async () => {
    await request("write-config", REAL);
    await request("start-real-daemon");
    await headline("All is well");
    await request("begin-stuck-worker");
    await headline("Stuck");
    await says(/Kernel workers are stuck in flush-7:\d+ \(1 waiting/);
    await button("Show episode 1").click();
    await page.locator(".wb-plot .wb-sync").first()
            .waitFor({ state: "attached" });
    await page.locator(".wb-bar-bad").first()
            .waitFor({ state: "attached" });
    await card("sync").getByText(/\/inner \(ext4\): (pending|slow|timeout)/)
            .waitFor();
    await says(/A sync has (not returned|been under way) for/);
    await look("stuck");
    await request("release-stuck-worker");
    await page.getByText("ongoing").waitFor({ state: "detached" });
    await says(/recovered: a sync helped|outlived: there were syncs, none helped/);
    await page.getByRole("table", { name: "Syncs of episode 1" }).getByText(/\/inner \(ext4\)/)
            .first()
            .waitFor();
    await look("episode", "dark", "light");
    await request("stop-daemon");
});

// ---- how much it asks ----

await test("idle-calls", async () => {
    await request("write-config", FAST);
    await request("start-daemon");
    const own = page;
    page = await openPage(browser, address, { fakeClock: true });
    await headline("All is well");
    await own.close();
    await page.clock.runFor(2000);
    await page.waitForTimeout(500);
    const minutes = () => page.evaluate(() => Date.now() / 60000);
    const [before, begin] = [calls.length, await minutes()];
    // In steps, since answers come in real time: the page must not take them for late.
    for (let sec = 0; sec < 240; sec += 2) {
        await page.clock.runFor(2000);
        await page.waitForTimeout(40);
    }
    const passed = await minutes() - begin;
    console.log(`# idle: ${calls.length - before} calls in ${passed.toFixed(1)} minutes of the page's clock`);
    assert.ok(calls.length - before >= 3 && calls.length - before <= Math.ceil(passed));
    await page.close();
});

// ---- limited access ----

const deny = path.join(stage.folder, "deny");
const PAUSE_ONLY = `polkit.addRule(function(action, subject) { if (subject.user != "nobody") return; ` +
    `return action.id == "org.wbwatch1.pause" ? polkit.Result.YES : polkit.Result.NO; });`;
const UNTIL_DENIED = `polkit.addRule(function(action, subject) { if (subject.user != "nobody") return; ` +
    `try { polkit.spawn(["test", "-e", "${deny}"]); return polkit.Result.NO; } catch (error) { return polkit.Result.YES; } });`;

let limited;

await test("limited", async () => {
    await request("start-polkit", PAUSE_ONLY);
    limited = await stage.startSession("nobody");
    page = await openPage(browser, limited);
    await says("Limited access");
    await says("You may not: change settings, sync.");
    await headline("All is well");
    assert.ok(await button("Sync now").isDisabled());
    assert.ok(await button("Edit Glob").isDisabled());
    await look("limited");
    await button("Pause").click();
    await says(/Paused until/);
    await button("Resume").click();
    await says("Not paused.");
    await request("stop-polkit");
    await page.close();
});

// Clicks what makes this call, and waits for its refusal; each leaves its own alert.
async function refuses(member, where, act) {
    const before = calls.length;

    await act();
    await where.getByText("Not authorized").waitFor();
    assert.ok(calls.slice(before).includes(member), member);
}

await test("denied", async () => {
    fs.rmSync(deny, { force: true });
    await request("start-polkit", UNTIL_DENIED);
    page = await openPage(browser, limited);
    await headline("All is well");
    await button("Pause").click();
    await button("Resume").waitFor();
    await edit("CrowdSize", "7");
    await button("Save").click();
    await button("Reset CrowdSize").waitFor();
    fs.writeFileSync(deny, "");
    await refuses("Resume", card("pause"), () => button("Resume").click());
    await refuses("PauseFor", card("pause"), () => button("Pause").click());
    await page.getByLabel("Suspend automatic syncs").selectOption("until resumed");
    await refuses("Pause", card("pause"), () => button("Pause").click());
    await refuses("ForceSync", card("sync"), () => button("Sync now").click());
    await page.getByLabel("One filesystem, by a path in it").fill("/");
    await refuses("SyncFilesystem", card("sync").locator("form"), () => button("Sync it").click());
    await refuses("ResetProperties", row("CrowdSize"), () => button("Reset CrowdSize").click());
    await refuses("ResetProperties", card("settings").locator("> .pf-v6-c-card__body > .wb-alert"), () => button("Reset all that was set here").click());
    await refuses("SetProperties", row("ThresholdSec"), async () => { await edit("ThresholdSec", "8s"); await button("Save").click() });
    await row("CrowdSize").getByText("7", { exact: true })
            .waitFor();
    await says("Paused until");
    await look("denied");
    await page.close();
});

// ---- words ----

await test("translated", async () => {
    page = await openPage(browser, address, { locale: "de-DE" });
    await headline("«Not protected»"); // still paused
    await page.close();
});

await test("no-complaints", () => assert.deepEqual(complaints, []));

await browser.close();
console.log(`1..${count}`);
process.exit(); // dbus-monitor, which ends with us, would keep us waiting
