# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds, measures what wbwatchd costs beside what others cost, and prints a table that shows which target is missed:
for tests/benchmark, which installs what is needed first.

How each figure is measured stands at the top of its benchmark-*.c; all of them are printed as they come, and below
the table is what its columns mean."""

import datetime
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent.parent
BUILD = SOURCE / "build/gcc"
PEERS = SOURCE / "build/peers"
PARTS = ["start", "bus", "scan", "forks", "memory", "deadline", "idle", "busy", "client", "exporter"]

HOSTS = 10_000
FORKS_PER_DAY = 1_000_000  # of one host: twelve a second
SECONDS_PER_DAY = 86_400


class Figure:
    """The median of some runs, or a value that there is but one of."""

    def __init__(self, value, unit="", least=None, most=None, runs=1):
        self.value, self.unit, self.runs = value, unit, runs
        self.least = value if least is None else least
        self.most = value if most is None else most


def number(value):
    """Three significant digits."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


class Figures(dict):
    """All that was measured, by name. A name that is missing was not measured here."""

    def read(self, text):
        pattern = re.compile(r"(\S+) +(\S+) (\S+)(?: \((\S+) to (\S+), (\d+) runs\))?")
        for line in text.splitlines():
            found = pattern.fullmatch(line)
            if found:
                name, value, unit, least, most, runs = found.groups()
                spread = (float(least), float(most), int(runs)) if runs else ()
                self[name] = Figure(float(value), unit, *spread)

    def value(self, name):
        return self[name].value


class Row:
    """A line of the table. shown: what wbwatchd takes; held against the target: value and limit."""

    def __init__(self, what, shown, target, value=None, limit=None, peers=(), then="", counts=False):
        self.what, self.shown, self.target, self.then, self.counts = what, shown, target, then, counts
        self.peers = ", ".join(peers)
        self.met = None if limit is None else value <= limit

    def verdict(self, short):
        """A few runs say nothing of a time."""
        if self.met is None or (short and not self.counts):
            return ""
        return "met" if self.met else "**missed**"


def spread(figure, scale=1):
    if figure.runs == 1:
        return ""
    return f" ({number(figure.least * scale)} to {number(figure.most * scale)}, {figure.runs} runs)"


def show(figure, unit=None, scale=1):
    return f"{number(figure.value * scale)} {unit or figure.unit}{spread(figure, scale)}"


def peer(figures, label, name, ours, unit=None, scale=1):
    """A peer's figure, and how many times ours it is; nothing where it was not measured."""
    if name not in figures:
        return []
    figure = figures[name]
    ratio = f" ({number(figure.value / ours)} x)" if ours > 0 else ""
    return [f"{label} {number(figure.value * scale)} {unit or figure.unit}{ratio}"]


def fork_rows(f):
    cpu = f["forks/wbwatchd/cpu"]
    yield Row("CPU of 200,000 forks while idle", show(cpu), "1 ms", cpu.value, 1,
              peer(f, "forkstat", "forks/forkstat/cpu", cpu.value)
              + peer(f, "bare listener", "forks/listener/cpu", cpu.value),
              "Rust tool 5217 ms, forkstat 6100 ms, bare listener 0")

    # A created thread wakes it twice: for the event, and for the scan that is due then. So does CPU pressure, at most.
    created, forks = f.value("forks/counted/created"), f"{f.value('forks/counted/forks'):,.0f} forks"
    allowed = f.value("forks/counted/idle-scans") + 2 * (created + f.value("forks/counted/pressed"))
    wakeups, calls = f.value("forks/counted/wakeups"), f.value("forks/counted/system-calls")
    yield Row(f"wakeups by {forks}, {number(created)} kernel threads created", number(wakeups),
              f"0 by forks; {number(allowed)} for idle scans, these threads and CPU pressure", wakeups, allowed,
              peer(f, f"of {f.value('forks/total'):,.0f}: forkstat", "forks/forkstat/wakeups", wakeups)
              + peer(f, "bare listener", "forks/listener/wakeups", wakeups),
              "of 200,000: Rust tool 225,862", counts=True)
    yield Row(f"system calls by {forks}", number(calls),
              f"0 by forks; {number(200 * allowed)} for idle scans, these threads and CPU pressure",
              calls, 200 * allowed, counts=True)

    alone, beside = f["forks/nobody/one-fork"], f["forks/wbwatchd/one-fork"]
    yield Row("one fork of a program beside it", f"{show(beside)}: {100 * (beside.value / alone.value - 1):+.1f} %",
              "within the spread alone", beside.value, alone.most,
              [f"alone {show(alone)}"] + peer(f, "beside forkstat", "forks/forkstat/one-fork", beside.value),
              "not measurable")


def idle_rows(f):
    seconds, created = f.value("idle/time"), f.value("idle/created")
    cpu, wakeups = f.value("idle/wbwatchd/cpu"), f.value("idle/wbwatchd/wakeups")
    part = f["idle/wbwatchd/cpu-of-10s"]
    scale = seconds / 60
    yield Row(f"CPU of {number(seconds)} s idle, {number(created)} kernel threads created",
              f"{number(cpu)} ms (each 10 s {number(part.least)} to {number(part.most)})", f"{number(scale)} ms",
              cpu, scale, peer(f, "earlyoom", "idle/earlyoom/cpu", cpu), "of 60 s: Rust tool 9.3 ms, earlyoom 3.84 ms")
    pressed = f.value("idle/pressed")
    allowed = 8 * scale + 2 * (created + pressed)
    yield Row(f"wakeups of {number(seconds)} s idle, {number(pressed)} events of CPU pressure", number(wakeups),
              f"{number(8 * scale)}, and 2 for each created thread and each event", wakeups, allowed,
              peer(f, "earlyoom", "idle/earlyoom/wakeups", wakeups), "of 60 s: Rust tool 277, earlyoom 60", counts=True)


def busy_rows(f):
    cpu, cgroups = f.value("busy/wbwatchd/cpu"), f.value("busy/cgroups-per-second")
    yield Row(f"CPU pressure all the time, {number(cgroups)} cgroups a second come and go", f"{number(cpu)} % of a CPU", "0.1 %",
              cpu, 0.1, peer(f, "earlyoom", "busy/earlyoom/cpu", cpu))


def client_rows(f):
    health = f["client/health/end"]
    yield Row("wbctl health, start to end", show(health), "20 ms", health.value, 20)
    yield Row("wbctl status, start to end", show(f["client/status/end"]), "")


def scan_rows(f):
    then = {200: "Rust tool 1.1 ms", 20000: "Rust tool 198 ms"}
    few, many = f["scan/200/cpu"], f["scan/20000/cpu"]
    for total, figure in (200, few), (20000, many):
        yield Row(f"one scan while busy, {total:,} processes", show(figure), "60 us", figure.value, 60,
                  peer(f, "the same files read in a row", f"scan/{total}/plain-reads-cpu", figure.value) +
                  peer(f, "readdir scan", f"scan/{total}/folder-cpu", figure.value), then[total])
    yield Row("the second as against the first", f"{100 * (many.value / few.value - 1):+.1f} %", "within 20 %",
              abs(many.value / few.value - 1), 0.2)
    for total in 200, 20000:
        cold = f[f"scan/{total}/cold-cpu"]
        yield Row(f"the same, 100 ms apart (cold caches), {total:,}", show(cold), "", None, None,
                  peer(f, "readdir scan", f"scan/{total}/cold-folder-cpu", cold.value))
    calls = [f.value(f"scan/daemon/{total}/system-calls") for total in (200, 20000)]
    yield Row("system calls of a scan, 60 kernel threads, 16 running", f"{calls[0]:.1f} and {calls[1]:.1f}",
              "124: 1 each, 3 for each running, 16 more", max(calls), 124, counts=True)
    for total in 60, 600, 6000:
        each = f[f"idle-scan/{total}/cpu-of-each"]
        all_of_them = f[f"idle-scan/{total}/cpu"]
        yield Row(f"one idle scan of {total:,} kernel threads, each",
                  f"{number(each.value)} us; all {show(all_of_them)}", "2.5 us", each.value, 2.5)
    yield Row("reading the evidence of a sync", show(f["evidence/cpu"]), "")


def memory_rows(f):
    for state, what in ("", "at rest"), ("-after-storm", "after a storm of 2,000 workers"):
        for kind, limit in ("pss", 2.5), ("private", 1.0), ("resident", None):
            ours, all_of_them = (f.value(f"memory/{who}{state}/{kind}") for who in ("wbwatchd", "all"))
            peers = []
            for name in () if state else ("earlyoom", "forkstat"):
                peers += peer(f, name, f"memory/{name}/{kind}", all_of_them, "MiB", 1 / 1024)
            then = {"pss": "others 0.2 to 1 MB", "resident": "others 1.7 to 2.4 MB"}.get(kind, "")
            yield Row(f"{kind.upper() if kind == 'pss' else kind} memory {what}",
                      f"{number(all_of_them / 1024)} MiB, of it the helpers {number((all_of_them - ours) / 1024)}",
                      f"{limit} MiB" if limit else "", all_of_them / 1024, limit, peers, "" if state else then)
    for what, name, limit in (("growth by a storm", "first-storm/growth", 256),
                              ("growth by a second storm", "second-storm/growth", 128),
                              (f"growth by {number(f.value('memory/episodes'))} episodes", "episodes/growth", 64)):
        grown = f.value(f"memory/{name}")
        yield Row(what, f"{number(grown)} KiB", f"{limit} KiB", grown, limit, counts=True)
    more = [f.value(f"memory/episodes/more-{kind}") for kind in ("children", "descriptors")]
    yield Row("processes and descriptors, after them", f"{more[0]:+.0f} and {more[1]:+.0f}", "no more", max(more), 0,
              counts=True)


def start_rows(f):
    ready = f["start/wbwatchd/ready"]
    yield Row("start until READY", show(ready), "10 ms", ready.value, 10,
              [f"`true`, start to end, {number(f.value('start/true/end'))} ms"], "Rust tool 3.3 ms")


def deadline_rows(f):
    scan = "from the scan at which a rule holds to the entry of"
    traced = f["deadline/strace/sync"]
    for what, name, limit, peers, then in (
            ("the first syncfs(2)", "first-syncfs", 0.5, (), ""),
            ("the last syncfs(2) of ten filesystems", "last-syncfs", 5, (), ""),
            ("sync(2)", "sync", 1, [f"by strace, its own cost in it, {show(traced, 'ms', 1e-3)}"], "Rust tool up to 1 s")):
        entered = f[f"deadline/{name}"]
        yield Row(f"{scan} {what}, median", show(entered, "ms", 1e-3), f"{limit} ms", entered.value, limit * 1000, peers, then)
        yield Row("the worst of these", f"{number(entered.most / 1000)} ms", "20 ms on a quiet machine", entered.most, 20000)


def bus_rows(f):
    for question in "Get", "GetAll":
        ours, name = f[f"bus/{question}/wbwatchd/cpu"], f"bus/{question}/hostnamed/cpu"
        yield Row(f"a bus answer, {question}: CPU", show(ours), "as hostnamed", ours.value, f[name].value if name in f else None,
                  peer(f, "hostnamed", name, ours.value))
        wait = f[f"bus/{question}/wbwatchd/wait"]
        yield Row(f"the caller's wait for {question}", show(wait), "", None, None,
                  peer(f, "hostnamed", f"bus/{question}/hostnamed/wait", wait.value))
    listed = f["bus/ListWorkers/wbwatchd/cpu"]
    yield Row("ListWorkers, 2,000 workers: CPU", show(listed, "ms", 1e-3), "10 ms", listed.value, 10000)


def exporter_rows(f):
    alone = f["exporter/alone/wait"]
    yield Row("a scrape of wbwatch-exporter, with a call: the client's wait", show(alone), "2 ms", alone.value, 2000)
    yield Row("the same, of a shared answer", show(f["exporter/shared/wait"]), "", None, None)
    daemon = f["exporter/wbwatchd/cpu"]
    yield Row("1,000 scrapes a minute: CPU", f"{number(daemon.value)} % of a CPU", "1 %", daemon.value, 1)


def fleet(f):
    """What HOSTS hosts pay in a day, in CPU seconds: by being idle, and by FORKS_PER_DAY forks of each host."""

    def of_a_day(idle_msec_of_60s, msec_of_200k_forks):
        idle = idle_msec_of_60s / 1000 / 60 * SECONDS_PER_DAY * HOSTS
        return idle, msec_of_200k_forks / 1000 / 200_000 * FORKS_PER_DAY * HOSTS

    minute = 60 / f.value("idle/time")
    costs = [("wbwatchd", *of_a_day(f.value("idle/wbwatchd/cpu") * minute, f.value("forks/wbwatchd/cpu")))]
    if "idle/earlyoom/cpu" in f:
        costs.append(("earlyoom", *of_a_day(f.value("idle/earlyoom/cpu") * minute, 0)))
    if "forks/forkstat/cpu" in f:
        costs.append(("forkstat", *of_a_day(0, f.value("forks/forkstat/cpu"))))
    costs.append(("the Rust tool, then", *of_a_day(9.3, 5217)))

    yield f"A fleet of {HOSTS:,} hosts with {FORKS_PER_DAY:,} forks a day on each pays in CPU seconds a day:"
    yield ""
    yield "| | idle | forks | together | in CPU hours |"
    yield "|---|---|---|---|---|"
    for name, idle, forks in costs:
        yield f"| {name} | {idle:,.0f} | {forks:,.0f} | {idle + forks:,.0f} | {(idle + forks) / 3600:,.1f} |"


SECTIONS = [fork_rows, idle_rows, busy_rows, scan_rows, memory_rows, start_rows, deadline_rows, bus_rows, client_rows, exporter_rows]


def run(*command, **environment):
    """Runs it, and shows what it printed only if it fails."""
    result = subprocess.run(command, cwd=SOURCE, env=os.environ | environment, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"{result.stdout}\ntests/benchmark: {' '.join(command)} failed")


def fetch_earlyoom():
    """Unpacked, not installed: its package would start it as a service."""
    path = os.environ["PATH"] + f":{PEERS}/usr/bin:/usr/sbin:/sbin"
    os.environ["PATH"] = path
    if subprocess.run(["sh", "-c", "command -v earlyoom"], stdout=subprocess.DEVNULL, check=False).returncode == 0:
        return
    PEERS.mkdir(parents=True, exist_ok=True)
    script = "apt-get -qq download earlyoom || { apt-get -qq update && apt-get -qq download earlyoom; } && dpkg -x *.deb ."
    if subprocess.run(["sh", "-c", script], cwd=PEERS, stdout=sys.stderr, check=False).returncode != 0:
        print("earlyoom can't be had, going on without", file=sys.stderr)


def build():
    fetch_earlyoom()
    if not (BUILD / "build.ninja").exists():
        run("meson", "setup", "-Dwerror=true", str(BUILD), CC="gcc")
    run("meson", "compile", "-C", str(BUILD))


def measure(short):
    """Runs all parts. Shows what they print, and returns it with the names of those that could not be run."""
    figures, failed = Figures(), []
    environment = os.environ | {"WBWATCHD": str(BUILD / "wbwatchd"), "BENCHMARKS": str(BUILD / "tests"),
                                "WBCTL": str(BUILD / "wbctl"), "WBWATCH_EXPORTER": str(BUILD / "wbwatch-exporter"),
                                "WBWATCH_SOURCE_DIR": str(SOURCE)}
    as_root = [] if os.geteuid() == 0 else ["sudo", "--preserve-env", "env", f"PATH={os.environ['PATH']}"]
    for part in PARTS:
        print(f"benchmark-{part}:", file=sys.stderr)
        command = as_root + [str(BUILD / f"tests/benchmark-{part}")] + (["--short"] if short else [])
        result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
        print(result.stdout, end="", file=sys.stderr, flush=True)
        if result.returncode == 0:
            figures.read(result.stdout)
        else:
            failed.append(f"benchmark-{part}: " + (result.stdout.strip().splitlines() or ["no figures"])[-1])
    return figures, failed


def rows_of(figures):
    for section in SECTIONS:
        try:
            yield from list(section(figures))
        except KeyError as missing:
            print(f"not measured: {missing}", file=sys.stderr)


def print_table(rows, figures, short):
    kernel, cpu = platform.release(), subprocess.run(["nproc"], capture_output=True, text=True, check=True).stdout.strip()
    command = "tests/benchmark --short" if short else "tests/benchmark"
    load = os.getloadavg()[1]
    print(f"Measured on {datetime.date.today()} with `{command}` (Linux {kernel}, {cpu} CPUs, load {load:.1f}):\n")
    print("| what | wbwatchd | beside it, in the same run | then | target | |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(f"| {row.what} | {row.shown} | {row.peers} | {row.then} | {row.target} | {row.verdict(short)} |")
    print("""
Figures are medians, with least and most in brackets; "3 x" means three times what wbwatchd takes. All that wbwatchd
takes is that of its helper processes, too. CPU is the process's schedstat, or its thread's CPU clock; wakeups are
voluntary context switches; memory is smaps_rollup, beside a dbus-daemon and a polkitd and nobody else who uses its
libraries; system calls are those of `strace -c`. "Then" was measured once on another machine, before wbwatchd was
written.
""")
    try:
        print("\n".join(fleet(figures)) + "\n")
    except KeyError as missing:
        print(f"not measured: {missing}", file=sys.stderr)


def main():
    if sys.argv[1:] not in ([], ["--short"]):
        print(f"tests/benchmark: {' '.join(sys.argv[1:])}: it takes --short or nothing", file=sys.stderr)
        return 2
    short = sys.argv[1:] == ["--short"]

    build()
    figures, not_measured = measure(short)
    rows = list(rows_of(figures))
    print_table(rows, figures, short)

    for row in rows:
        if row.verdict(short) not in ("", "met"):
            print(f"{'failed' if row.counts else 'missed'}: {row.what}: {row.shown}, the target is {row.target}")
    for text in not_measured:
        print(f"not measured: {text}")
    counts = [row.met for row in rows if row.counts]
    passed, failed = sum(counts), len(counts) - sum(counts)
    skipped = sum("SKIP" in text for text in not_measured)
    failed += len(not_measured) - skipped
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return int(failed > 0)


sys.exit(main())
