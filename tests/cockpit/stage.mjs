// SPDX-License-Identifier: GPL-3.0-or-later

// What test-cockpit.c does for page.mjs, and the programs that page.mjs starts itself.

import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";

export const folder = process.env.WBWATCH_STAGE;

const socket = new net.Socket({ fd: 3 });
const waiting = [];
socket.setEncoding("utf8");
socket.on("data", data => data.split("\n").filter(Boolean)
        .forEach(() => waiting.shift()()));

// Asks test-cockpit.c for something; ends when it is done. If it cannot be done, test-cockpit.c ends, and so does this.
export const request = (...words) => new Promise(resolve => {
    waiting.push(resolve);
    socket.write(words.join(" ") + "\n");
});
socket.on("close", () => waiting.length && process.exit(1));

// The folder of the installed page, wbctl, and what the bus would leave behind had it started wbwatchd.
export const installed = path.join(folder, "share/cockpit/wbwatch");
export const wbctl = path.join(folder, "bin/wbctl");
export const activated = path.join(folder, "activated");

const MONITOR = `<policy user="root"><allow send_interface="org.freedesktop.DBus.Monitoring"/></policy>`;

// Installs the page and wbctl where the session of cockpit-ws expects them, and makes the bus start wbwatchd on demand.
export function install() {
    const services = path.join(folder, "activation");

    fs.mkdirSync(path.dirname(wbctl));
    fs.copyFileSync(process.env.WBCTL, wbctl);
    fs.cpSync(process.env.WBWATCH_COCKPIT_PAGE, installed, { recursive: true });

    fs.mkdirSync(services);
    fs.writeFileSync(path.join(services, "org.wbwatch1.service"),
                     `[D-BUS Service]\nName=org.wbwatch1\nExec=/usr/bin/touch ${activated}\n`);
    fs.writeFileSync(path.join(folder, "extra.conf"), `<busconfig><servicedir>${services}</servicedir>${MONITOR}</busconfig>`);
}

// A call that makes the bus start wbwatchd; ends when it has.
export async function activate() {
    spawnSync("dbus-send", [`--bus=${process.env.WBWATCH_STAGE_BUS}`, "--dest=org.wbwatch1", "/org/wbwatch1", "org.freedesktop.DBus.Peer.Ping"]);
    while (!fs.existsSync(activated))
        await new Promise(resolve => { setTimeout(resolve, 20) });
}

const proc = process.env.WBWATCH_STAGE_PROC;
let pids = [];

// The only workers of the fake proc tree from now on: [[pid, state, ticks], ...]
export async function putWorkers(workers) {
    const gone = pids.filter(pid => !workers.some(([other]) => other === pid));

    pids = workers.map(([pid]) => pid);
    for (const [pid, state, ticks = 7] of workers)
        await request("put-worker", pid, state, ticks, `kworker/0:${pid}+inode_switch_wbs`);
    await request("list-workers", pids.map(pid => `${pid} `).join(""));
    gone.forEach(pid => fs.rmSync(path.join(proc, String(pid)), { recursive: true }));
}

// Without this file the daemon sees no kernel threads.
const kthreadd = path.join(proc, "2/stat");
export const hideThreads = () => fs.renameSync(kthreadd, kthreadd + "-hidden");
export const showThreads = () => fs.renameSync(kthreadd + "-hidden", kthreadd);

// A port of loopback that is free; nobody else is in our network namespace.
const findPort = () => new Promise(resolve => {
    const server = net.createServer();
    server.listen(0, "127.0.0.1", () => {
        const { port } = server.address();
        server.close(() => resolve(port));
    });
});

const accepts = port => new Promise(resolve => {
    const client = net.connect(port, "127.0.0.1");
    client.on("connect", () => { client.destroy(); resolve(true) });
    client.on("error", () => resolve(false));
});

// cockpit-ws as "root" or "nobody"; returns its address.
export async function startSession(user) {
    const port = await findPort();

    await request(`start-${user}-session`, port);
    while (!await accepts(port))
        await new Promise(resolve => { setTimeout(resolve, 50) });
    return `http://127.0.0.1:${port}/cockpit/@localhost/wbwatch/index.html`;
}

// The calls to wbwatchd, as the bus sees them: their members.
export function countCalls() {
    const monitor = spawn("dbus-monitor", ["--address", process.env.WBWATCH_STAGE_BUS, "--profile", "type=method_call,path=/org/wbwatch1"],
                          { stdio: ["ignore", "pipe", "inherit"] });
    const calls = [];
    let rest = "";

    monitor.stdout.setEncoding("utf8").on("data", data => {
        const lines = (rest + data).split("\n");
        rest = lines.pop();
        calls.push(...lines.filter(line => line.startsWith("mc")).map(line => line.split("\t").at(-1)));
    });
    process.on("exit", () => monitor.kill("SIGKILL"));
    return calls;
}
