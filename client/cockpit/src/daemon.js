// SPDX-License-Identifier: GPL-3.0-or-later

// wbwatchd on the bus: what is known about it, and the calls that change it.
//
// Calls go to the unique name of the daemon that runs, never to org.wbwatch1: so none of them can start it. Signals cost no
// calls. Properties without signals are read once a second while workers run, and once a minute otherwise.

const { cockpit } = window;

const NAME = "org.wbwatch1";
const PATH = "/org/wbwatch1";
const BUS = ["/org/freedesktop/DBus", "org.freedesktop.DBus"];
const PROPERTIES = "org.freedesktop.DBus.Properties";

export const ACTIONS = ["configure", "pause", "force-sync"];

const TICK_MSEC = 1000;
const IDLE_MSEC = 60 * 1000;
const ANSWER_MSEC = 5000;

// Of the live plot.
export const HISTORY_USEC = 600 * 1000 * 1000;

const usecNow = () => Date.now() * 1000;

// a{sv} as a plain object.
export function plain(value) {
    if (Array.isArray(value))
        return value.map(plain);
    if (!value || typeof value !== "object")
        return value;
    if ("t" in value && "v" in value && typeof value.t === "string")
        return plain(value.v);
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
}

function inTime(promise) {
    let timer;
    const timeout = new Promise((resolve, reject) => {
        timer = setTimeout(() => reject(Object.assign(new Error("timeout"), { isTimeout: true })), ANSWER_MSEC);
    });

    return Promise.race([promise, timeout]).finally(() => clearTimeout(timer));
}

export class Daemon {
    constructor(onChange) {
        this.onChange = onChange;
        this.owner = null; // its unique name on the bus
        this.subscriptions = [];
        // connecting, running, stopped, silent (does not answer), failed (answers with an error), no-bus
        this.connection = "connecting";
        this.error = null;
        this.properties = null;
        this.workers = [];
        this.episodes = null;
        this.history = [];
        this.limited = null; // whether access is limited; null: not yet known
        this.allowed = {}; // by action
        this.reading = false;
        this.readMsec = 0;
        this.turn = 0;
        this.staleEpisodes = false;
    }

    start() {
        this.bus = cockpit.dbus(null, { bus: "system", superuser: "try" });
        this.bus.addEventListener("close", (event, options) => this.setOwner(null, "no-bus", options));
        this.bus.subscribe({ name: BUS[1], interface: BUS[1], member: "NameOwnerChanged", path: BUS[0], arg0: NAME },
                           (path, iface, member, args) => this.setOwner(args[2] || null));
        this.bus.call(...BUS, "GetNameOwner", [NAME], { name: BUS[1], type: "s" })
                .then(([owner]) => this.setOwner(owner), () => this.setOwner(null));

        this.permission = cockpit.permission({ admin: true });
        this.permission.addEventListener("changed", () => this.onPermission());
        this.onPermission();

        this.repeat();
    }

    get now() {
        return usecNow();
    }

    get isBusy() {
        return this.properties.State !== "idle" || this.properties.WorkerCount > 0;
    }

    // Not at an interval: after a delay, ticks would follow each other too fast.
    repeat() {
        this.tick();
        setTimeout(() => this.repeat(), TICK_MSEC);
    }

    // Who may do what

    async onPermission() {
        if (this.permission.allowed === null)
            return;
        this.limited = !this.permission.allowed;
        for (const action of ACTIONS)
            this.allowed[action] = !this.limited || await this.askPolkit(action);
        this.onChange();
    }

    // Rules of polkit may allow some actions to a user who has limited access.
    async askPolkit(action) {
        await this.bus.wait(); // before that it has no unique name
        const subject = ["system-bus-name", { name: { t: "s", v: this.bus.unique_name } }];

        try {
            const [[authorized]] = await this.bus.call(
                "/org/freedesktop/PolicyKit1/Authority", "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization",
                [subject, `${NAME}.${action}`, {}, 0, ""],
                { name: "org.freedesktop.PolicyKit1", type: "(sa{sv})sa{ss}us" });
            return authorized;
        } catch {
            return false; // without polkit only root may
        }
    }

    // Reading

    setOwner(owner, connection = "stopped") {
        if (this.connection === "no-bus" || (this.owner === owner && this.connection === connection))
            return;
        this.owner = owner;
        this.subscribe(owner);
        this.connection = owner ? "connecting" : connection;
        this.properties = null;
        this.workers = [];
        this.episodes = null;
        this.reading = false;
        this.readMsec = 0;
        this.staleEpisodes = true;
        this.onChange();
        this.tick();
    }

    subscribe(name) {
        this.subscriptions.forEach(subscription => subscription.remove());
        this.subscriptions = !name ? [] : [
            this.bus.subscribe({ name, interface: NAME, path: PATH }, (path, iface, member) => this.onSignal(member)),
            this.bus.subscribe({ name, interface: PROPERTIES, member: "PropertiesChanged", path: PATH, arg0: NAME },
                               (path, iface, member, args) => this.onPropertiesChanged(args[1])),
        ];
    }

    onSignal(member) {
        if (member.startsWith("Episode") || member.startsWith("Sync"))
            this.staleEpisodes = true;
    }

    onPropertiesChanged(changes) {
        if (!this.properties)
            return;
        const wasBusy = this.isBusy;
        Object.assign(this.properties, plain(changes));
        // The last values of the properties without signals.
        if (wasBusy !== this.isBusy)
            this.readMsec = 0;
        this.onChange();
    }

    tick() {
        if (!this.owner || cockpit.hidden)
            return;
        const idleMsec = Date.now() - this.readMsec;
        if (!this.reading && (!this.properties || this.isBusy || this.staleEpisodes || idleMsec >= IDLE_MSEC))
            this.read(this.owner);
        else
            this.onChange(); // times pass
    }

    async read(owner) {
        this.reading = true;
        try {
            await this.readOnce(owner);
            if (owner === this.owner)
                this.connection = "running";
        } catch (error) {
            if (owner === this.owner)
                [this.connection, this.error] = [error.isTimeout ? "silent" : "failed", error];
        }
        if (owner !== this.owner)
            return;
        this.reading = false;
        this.onChange();
    }

    // At most two calls.
    async readOnce(owner) {
        const [properties] = await this.get(PROPERTIES, "GetAll", [NAME], "s");

        if (owner !== this.owner)
            return;
        this.properties = plain(properties);
        this.readMsec = Date.now();
        this.note();

        const ongoing = this.episodes?.at(-1)?.Outcome === "ongoing";
        this.turn++;
        if (!this.properties.WorkerCount)
            this.workers = [];
        if (this.staleEpisodes || (ongoing && this.turn % 2 === 0)) {
            this.staleEpisodes = false;
            const [episodes] = await this.get(NAME, "ListEpisodes", []);
            if (owner === this.owner)
                this.episodes = plain(episodes);
        } else if (this.properties.WorkerCount) {
            const [workers] = await this.get(NAME, "ListWorkers", []);
            if (owner === this.owner)
                this.workers = plain(workers);
        }
    }

    note() {
        const { SpinningCount, WaitingCount, DirtyBytes, WritebackBytes } = this.properties;
        const now = usecNow();

        this.history.push({ time: now, spinning: SpinningCount, waiting: WaitingCount, dirty: DirtyBytes, writeback: WritebackBytes });
        // One more, so that the plot begins at its left edge.
        while (this.history.length > 1 && this.history[1].time < now - HISTORY_USEC)
            this.history.shift();
    }

    get(iface, method, args, type) {
        return inTime(this.call(iface, method, args, type));
    }

    call(iface, method, args, type) {
        if (!this.owner)
            return Promise.reject(new Error("wbwatchd is not running"));
        return this.bus.call(PATH, iface, method, args, { name: this.owner, ...(type !== undefined && { type }) });
    }

    // Changes. They take as long as they take: a sync may take minutes.

    pause() {
        return this.call(NAME, "Pause", [], "");
    }

    pauseFor(usec) {
        return this.call(NAME, "PauseFor", [usec], "t");
    }

    resume() {
        return this.call(NAME, "Resume", [], "");
    }

    sync() {
        return this.call(NAME, "ForceSync", [], "").then(([usec]) => usec);
    }

    syncFilesystem(path) {
        return this.call(NAME, "SyncFilesystem", [path], "s").then(([usec]) => usec);
    }

    set(property, type, value, runtime) {
        return this.call(NAME, "SetProperties", [runtime, { [property]: { t: type, v: value } }], "ba{sv}");
    }

    // No names: all.
    reset(names, runtime) {
        return this.call(NAME, "ResetProperties", [runtime, names], "bas");
    }
}
