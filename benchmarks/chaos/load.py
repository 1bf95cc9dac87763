"""How much a session can carry: time from a closed minute to its durable commit, restart, memory over a week, replay speed.

    python benchmarks/chaos/load.py latency --symbols 300
    python benchmarks/chaos/load.py restart --symbols 100
    python benchmarks/chaos/load.py memory --symbols 100 --days 7
    python benchmarks/chaos/load.py speed
    python benchmarks/chaos/load.py week --symbols 100 --days 7 --pace 60

Candles are made up (`market.py`), but for `speed`, which replays the bundled ones. The database is a real embedded server on
this machine's disk; but for `speed` every commit waits for the disk, as in a live session. `week` runs the four variants
under their supervisor and takes a week divided by the pace: 2.8 hours at 60.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.chaos import market
from benchmarks.chaos.common import MINUTE_MS, SAMPLE, Verdict, percentile, sandbox, spread, workplace

if TYPE_CHECKING:
    from sigil_ext.paper.session import PaperSession


# --- in the child process: a session driven directly ---------------------------------------------------------------------


def open_session(options: argparse.Namespace, rows: dict[str, Any], *, anew: bool) -> PaperSession:
    """Return a session that behaves as live, begun on the made-up market or gone on with."""
    from sigil_ext.paper.conduct import Beginning, Conduct
    from sigil_ext.paper.session import PaperSession
    from sigil_ext.services.database import open_database
    from sigil_ext.settings.overlays import load_variant
    from sigil_ext.settings.project import find_project

    database = open_database(options.variant, find_project())
    os.chdir(
        tempfile.mkdtemp(prefix="sigil-load-")
    )  # Jesse opens a database of its own when it is imported in a project
    session = PaperSession(
        load_variant(options.variant), database, Conduct("replay", patient=False, alerts=True, durable=not options.lazy)
    )
    warm = options.warmup_days * 1440
    start = market.START_MS + warm * MINUTE_MS
    session.open(Beginning(sorted(rows), start, {s: r[:warm] for s, r in rows.items()}) if anew else None)
    return session


def minute_of(rows: dict[str, Any], index: int) -> Any:
    """Return the closed minute at `index`."""
    from sigil_ext.paper.feed import ClosedMinute

    return ClosedMinute(
        int(market.START_MS + index * MINUTE_MS), {symbol: tuple(r[index].tolist()) for symbol, r in rows.items()}
    )


def latency(options: argparse.Namespace) -> dict[str, Any]:
    """Process minutes one after the other and time each."""
    rows = market.candles(options.symbols, options.warmup_days * 1440 + options.minutes, options.seed)
    session = open_session(options, rows, anew=True)
    first = options.warmup_days * 1440
    took: list[tuple[int, float, float]] = []
    for index in range(first, first + options.minutes):
        minute = minute_of(rows, index)
        began, cpu = time.perf_counter(), time.process_time()
        session.process(minute)
        took.append((index + 1, (time.perf_counter() - began) * 1000, (time.process_time() - cpu) * 1000))
        if options.pause:
            time.sleep(options.pause)
    trades = len(session.host.trades)
    session.stopped("measured")
    session.close()
    warmed = took[options.warm :]
    groups = {
        "all": warmed,
        "plain": [t for t in warmed if t[0] % 15],
        "bar closes": [t for t in warmed if t[0] % 15 == 0 and t[0] % 60],
        "hour closes (scan)": [t for t in warmed if t[0] % 60 == 0],
    }
    return {
        "trades": trades,
        "peak memory, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        **{
            name: {
                "n": len(g), "p50 ms": round(percentile([t[1] for t in g], 0.5), 1),
                "p99 ms": round(percentile([t[1] for t in g], 0.99), 1), "max ms": round(max(t[1] for t in g), 1),
                "p99 CPU ms": round(percentile([t[2] for t in g], 0.99), 1),
            }
            for name, g in groups.items() if g
        },
    }  # fmt: skip


def resume(options: argparse.Namespace) -> dict[str, Any]:
    """Go on with the recorded session and process one minute."""
    begun = time.monotonic()
    rows = market.candles(options.symbols, options.warmup_days * 1440 + options.minutes + 1, options.seed)
    began = time.monotonic()
    session = open_session(options, rows, anew=False)
    opened = time.monotonic()
    session.process(minute_of(rows, options.warmup_days * 1440 + options.minutes))
    done = time.monotonic()
    report = {"rebuilt": session.rebuilt, "open, s": opened - began, "first minute, s": done - opened, "done": done,
              "market, s": began - begun}  # fmt: skip
    session.close()
    return report


def memory(options: argparse.Namespace) -> dict[str, Any]:
    """Process days of minutes and look at the memory every twelve hours."""
    total = options.days * 1440
    rows = market.candles(options.symbols, options.warmup_days * 1440 + total, options.seed)
    session = open_session(options, rows, anew=True)
    seen = []
    for number in range(total):
        session.process(minute_of(rows, options.warmup_days * 1440 + number))
        if (number + 1) % 720 == 0:
            seen.append(resident_mb())
            print(f"    {(number + 1) / 1440:.1f} days, {seen[-1]} MB", file=sys.stderr, flush=True)
    trades = len(session.host.trades)
    session.stopped("measured")
    session.close()
    return {"trades": trades, "MB every 12 h": seen}


def speed(options: argparse.Namespace) -> dict[str, Any]:
    """Time the same variant on the same candles in Jesse's step simulator and as a paper replay, in turn."""
    import numpy as np

    from sigil_ext.bridge.candle_files import load_candles
    from sigil_ext.bridge.paper_host import PaperHost
    from sigil_ext.bridge.simulate import SimulationRequest, simulate
    from sigil_ext.db.memory_store import MemoryStore
    from sigil_ext.paper.conduct import Beginning, Conduct
    from sigil_ext.paper.replay_feed import ReplayFeed
    from sigil_ext.paper.session import PaperSession
    from sigil_ext.services.database import open_database
    from sigil_ext.services.paper_feeds import GROUP_MINUTES
    from sigil_ext.settings.overlays import load_variant
    from sigil_ext.settings.project import find_project

    loaded, variant = load_candles(SAMPLE), load_variant(options.variant)
    database = open_database(options.variant, find_project())
    os.chdir(tempfile.mkdtemp(prefix="sigil-load-"))
    paths = {}
    for symbol, candle_set in loaded.items():
        paths[symbol] = Path(f"{symbol}.npy").resolve()
        np.save(paths[symbol], candle_set.candles)
    first, last = min(c.start_ms for c in loaded.values()), max(c.finish_ms for c in loaded.values())

    def simulated() -> tuple[float, int]:
        began = time.process_time()
        trades = len(simulate(SimulationRequest(variant, paths, first, last)).record.trades)
        return time.process_time() - began, trades

    async def replayed() -> tuple[float, int]:
        session = PaperSession(variant, database, Conduct(group=GROUP_MINUTES))
        session.open(Beginning(sorted(loaded), first, {}))
        minutes = [m async for m in ReplayFeed(loaded).minutes(sorted(loaded), first - MINUTE_MS)]
        began = time.process_time()
        for minute in minutes:
            session.process(minute)
        session.finish()
        took = time.process_time() - began
        trades = len(session.host.trades)
        session.host.host.close()
        session.close()
        with database.transaction() as cur:
            cur.execute("TRUNCATE micro_positions, symbol_protections, system_state, refusals CASCADE")
        return took, trades

    async def host_alone() -> tuple[float, int]:
        host = PaperHost(variant, sorted(loaded), first, {}, {}, {})
        host.live(MemoryStore(variant.name))
        minutes = [m async for m in ReplayFeed(loaded).minutes(sorted(loaded), first - MINUTE_MS)]
        began = time.process_time()
        for minute in minutes:
            host.minute(minute.open_ms, minute.candles)
        host.finish()
        took = time.process_time() - began
        trades = len(host.trades)
        host.host.close()
        return took, trades

    def once() -> tuple[tuple[float, int], ...]:
        return simulated(), asyncio.run(host_alone()), asyncio.run(replayed())

    rounds = [once() for _ in range(options.pairs + 1)][1:]  # the first compiles
    names = ("simulator", "host", "paper")
    return {
        "trades": [trades for _, trades in rounds[0]],
        **{name: [r[place][0] for r in rounds] for place, name in enumerate(names)},
    }


def resident_mb() -> int:
    """Return the memory of this process, MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1_000_000


# --- in the parent --------------------------------------------------------------------------------------------------------


def in_child(folder: Path, part: str, arguments: list[str]) -> dict[str, Any]:
    """Run a part in a process of its own, on the server of the project in `folder`, and return what it found."""
    with sandbox(folder) as box:
        done = subprocess.run(
            [sys.executable, str(Path(__file__).resolve()), part, *arguments, "--child"], cwd=folder,
            env=box.environment(), stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure_latency(verdict: Verdict, options: argparse.Namespace, folder: Path, arguments: list[str]) -> None:
    """Print the distribution of a minute's time."""
    for name, value in in_child(folder, "latency", arguments).items():
        verdict.figure(name, value)
    verdict.check("p99 under 150 ms", verdict.figures["all"]["p99 ms"] < 150, verdict.figures["all"])


def measure_restart(verdict: Verdict, options: argparse.Namespace, folder: Path, arguments: list[str]) -> None:
    """Fill a record, kill its session, and time the next one from its start to its first committed minute."""
    # As far from the last checkpoint as a session can be.
    options.minutes = 2 * 240 - 1
    arguments = [*arguments, "--minutes", str(options.minutes)]
    in_child(folder, "latency", arguments)
    walls = []
    with sandbox(folder) as box:
        box.database(options.variant).close()
        for _ in range(options.pairs):
            began = time.monotonic()
            found = in_child_running(folder, arguments, box.environment())
            walls.append(found.pop("done") - began - found.pop("market, s"))
            verdict.figure("parts", {k: round(v, 2) for k, v in found.items()})
            with box.database(options.variant).transaction() as cur:  # the same work again
                cur.execute("DELETE FROM paper_minutes WHERE open_ms = (SELECT max(open_ms) FROM paper_minutes)")
    verdict.figure("start to first committed minute, s", spread(walls))
    verdict.check("under 10 s", max(walls) < 10)


def in_child_running(folder: Path, arguments: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """Run `resume` on the running server; time.monotonic is the machine's and can be compared between processes."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "resume", *arguments, "--child"], cwd=folder, env=environment,
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure_memory(verdict: Verdict, options: argparse.Namespace, folder: Path, arguments: list[str]) -> None:
    """Print the memory over the days."""
    found = in_child(folder, "memory", arguments)
    for name, value in found.items():
        verdict.figure(name, value)
    seen = found["MB every 12 h"]
    half = seen[len(seen) // 2 :]
    verdict.figure("second half, growth in MB", half[-1] - half[0])
    verdict.check("flat: under 5 % growth in the second half", half[-1] < half[0] * 1.05)


def measure_speed(verdict: Verdict, options: argparse.Namespace, folder: Path, arguments: list[str]) -> None:
    """Print CPU seconds of both and their ratio."""
    found = in_child(folder, "speed", arguments)
    verdict.check("equal number of trades", len(set(found["trades"])) == 1, found["trades"])
    verdict.figure("Jesse's step simulator, CPU s", spread(found["simulator"], 2))
    verdict.figure("host without a database, CPU s", spread(found["host"], 2))
    verdict.figure("paper replay with its database, CPU s", spread(found["paper"], 2))
    ratios = [a / b for a, b in zip(found["simulator"], found["paper"], strict=True)]
    verdict.figure("replay as fast as the simulator, times", spread(ratios, 2))
    verdict.check("at least half as fast", statistics.median(ratios) >= 0.5)


def measure_week(verdict: Verdict, options: argparse.Namespace, folder: Path, arguments: list[str]) -> None:
    """Run the four variants under their supervisor, and follow their memory and CPU time."""
    candles = folder / "candles"
    market.write(candles, market.candles(options.symbols, (options.warmup_days + options.days) * 1440, options.seed))
    begin = time.strftime("%Y-%m-%d", time.gmtime(market.START_MS / 1000 + options.warmup_days * 86400))
    seen: dict[int, list[int]] = {}
    with sandbox(folder) as box:
        process = box.start(
            "run", "paper", "--all", "--candles", str(candles), "--start", begin, "--speed", str(options.pace),
            "--json", str(folder / "week.json"),
        )  # fmt: skip
        began = time.monotonic()
        while process.poll() is None:
            time.sleep(30)
            for child in children(process.pid):
                seen.setdefault(child, []).append(resident_of(child))
            print(f"    {(time.monotonic() - began) / 60:.0f} min, MB {[v[-1] for v in seen.values()]}", flush=True)
        verdict.check("the four ran to their end", process.returncode == 0, box.said()[-600:])
    verdict.figure("wall, min", round((time.monotonic() - began) / 60, 1))
    verdict.figure("processes", len(seen))
    # A session keeps two to four days of minutes a symbol: its memory grows until it has them.
    quarters = [
        [round(statistics.mean(v[len(v) * q // 4 : len(v) * (q + 1) // 4])) for q in range(4)] for v in seen.values()
    ]
    verdict.figure("MB, mean of each quarter", quarters)
    verdict.check("memory flat: the last quarter within 5 % of the third", all(q[3] < q[2] * 1.05 for q in quarters))


def children(pid: int) -> list[int]:
    """Return the processes that `pid` started."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(line) for line in found.split()]


def resident_of(pid: int) -> int:
    """Return the memory of a process, MB; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1_000_000
    except OSError:
        return 0


PARTS = {"latency": latency, "resume": resume, "memory": memory, "speed": speed}
MEASURES = {
    "latency": measure_latency, "restart": measure_restart, "memory": measure_memory, "speed": measure_speed,
    "week": measure_week,
}  # fmt: skip


def main(arguments: list[str]) -> int:
    """Run it; 1 when a target is missed."""
    options = parse(arguments)
    if options.child:
        print(json.dumps(PARTS[options.what](options)))
        return 0
    verdict = Verdict(f"{options.what}, '{options.variant}', {options.symbols} symbols")
    with workplace(options.keep) as folder:
        MEASURES[options.what](verdict, options, folder, arguments[1:])
    return verdict.end(options.json)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=sorted({*PARTS, *MEASURES}))
    parser.add_argument("--variant", default="unhinged")
    parser.add_argument("--symbols", type=int, default=300)
    parser.add_argument("--minutes", type=int, default=960, help="of latency")
    parser.add_argument(
        "--warmup-days", type=int, default=3, help="of candles before the session; a live one fetches 12"
    )
    parser.add_argument("--warm", type=int, default=30, help="minutes of latency that are not counted")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two minutes of latency")
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--pairs", type=int, default=5, help="repetitions of speed and restart")
    parser.add_argument("--pace", type=float, default=60.0, help="of week: minutes of the market in one minute")
    parser.add_argument("--lazy", action="store_true", help="do not wait for the disk at a commit")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
