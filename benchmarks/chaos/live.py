"""A live session loses its database: exits go on, entries are refused, and everything is in the tables when it is back.

    python benchmarks/chaos/live.py --outages 3 --speed 3000

The session behaves as on a live feed (it does not wait for its database, and every commit waits for the disk); its minutes come
from a recording at an accelerated pace. After the last outage it is killed and started once more. What must hold: no position
was opened while the database was away; every trade that an undisturbed session makes too is the same in every field, exits
during an outage included; each minute, position and alert is there once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.chaos.common import MINUTE_MS, Verdict, Watch, common_options, duplicates, period, sandbox, workplace
from benchmarks.chaos.database import KINDS, strike
from benchmarks.chaos.reference import Undisturbed, trades_in, undisturbed
from sigil_ext.db.connection import Database


def session(options: argparse.Namespace, log: Path, result: Path) -> None:
    """Be the session, in this process: say of each minute whether the database was lost, write the trades at the end."""
    from sigil_ext.paper.conduct import Conduct
    from sigil_ext.paper.loop import run
    from sigil_ext.paper.session import PaperSession
    from sigil_ext.research.backtest_report import trade_row
    from sigil_ext.services.backtest import parse_instant
    from sigil_ext.services.database import open_database
    from sigil_ext.services.paper_feeds import PaperRequest, open_source
    from sigil_ext.settings.overlays import load_variant
    from sigil_ext.settings.project import find_project

    project = find_project()
    loaded = load_variant(options.variant)
    request = PaperRequest(
        loaded, feed="replay", candles=options.candles, speed=options.speed,
        start_ms=parse_instant(options.start, "--start") if options.start else None,
        finish_ms=parse_instant(options.finish, "--finish") if options.finish else None,
    )  # fmt: skip
    source = open_source(request, project, None, lambda event: None)
    database = open_database(options.variant, project)
    paper = PaperSession(loaded, database, Conduct("replay", patient=False, alerts=True, durable=True))

    async def work() -> None:
        beginning = await source.begin()
        await asyncio.to_thread(paper.open, beginning)
        after = paper.recorded.start_ms - MINUTE_MS
        with log.open("a") as lines:

            def note(state: PaperSession) -> None:
                print(state.last_ms, int(state.lost_since is not None), file=lines, flush=True)

            report = await run(paper, source.feed, after_ms=after, stop=asyncio.Event(), until_end=True, progress=note)
        result.write_text(json.dumps({"trades": [trade_row(t) for t in report.trades]}), encoding="utf-8")

    with (
        tempfile.TemporaryDirectory() as elsewhere
    ):  # Jesse opens a database of its own when it is imported in a project
        os.chdir(elsewhere)
        asyncio.run(work())
        os.chdir("/")


def progress(log: Path) -> int:
    """Return the open time of the last minute that the session processed, database or not."""
    try:
        lines = log.read_text().splitlines()
    except FileNotFoundError:
        return 0
    return int(lines[-1].split()[0]) if lines else 0


def wait_until(process: subprocess.Popen[str], log: Path, minute: int) -> bool:
    """Return whether the session came to `minute` before it ended."""
    while process.poll() is None:
        if progress(log) >= minute:
            return True
        time.sleep(0.02)
    return False


def places(whole: Undisturbed, count: int, length: int, rng: random.Random) -> list[int]:
    """Return `count` minutes, each followed by `length` minutes in which the undisturbed session both enters and leaves."""
    span = length * MINUTE_MS
    good = [
        left - rng.randrange(1, length) * MINUTE_MS
        for begin, left in whole.spans
        if left < whole.last_ms - 2 * span and begin < left - span
    ]
    good = [at for at in good if any(at < b <= at + span for b, _ in whole.spans)] or good
    chosen: list[int] = []
    for at in sorted(rng.sample(good, len(good))):
        if not chosen or at > chosen[-1] + 3 * span:
            chosen.append(at)
    step = max(1, len(chosen) // count)
    return chosen[::step][:count]


def disturb(options: argparse.Namespace, folder: Path, whole: Undisturbed, verdict: Verdict) -> None:
    """Take the server away under a live session and judge what it did meanwhile and wrote afterwards."""
    with sandbox(folder) as box:
        database = box.database(options.variant)
        log, result = folder / "minutes.log", folder / "trades.json"
        line = [
            str(Path(__file__).resolve()), "--variant", options.variant, *period(options), "--speed", str(options.speed),
            "--session", str(log), str(result),
        ]  # fmt: skip
        process = box.python(*line)
        rng = random.Random(options.seed)
        for number, at in enumerate(places(whole, options.outages, options.minutes, rng)):
            if not wait_until(process, log, at):
                break
            watch = Watch(database)
            strike(box, watch, KINDS[number % 3], options.minutes * 60 / options.speed)
            watch.close()
            print(f"    outage {number + 1}, {KINDS[number % 3]}", flush=True)
        wait_until(process, log, progress(log) + options.minutes * MINUTE_MS // 2)
        verdict.check("the session lived through all of them", process.poll() is None, box.said()[-600:])
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = box.python(*line)
        verdict.check("killed after the last, it goes on to the end", process.wait() == 0, box.said()[-600:])
        judge(verdict, whole, database, log, trades_in(result))
        database.close()


def main(arguments: list[str]) -> int:
    """Run it; 1 when something does not hold."""
    options = parse(arguments)
    if options.session is not None:
        session(options, *options.session)
        return 0
    verdict = Verdict(
        f"{options.outages} outages under a live session of '{options.variant}', speed {options.speed:.0f}"
    )
    with workplace(options.keep) as folder:
        whole = undisturbed(folder / "alone", options)
        verdict.figure("trades of the undisturbed run", len(whole.trades))
        disturb(options, folder / "live", whole, verdict)
    return verdict.end(options.json)


def judge(verdict: Verdict, whole: Undisturbed, database: Database, log: Path, found: list[dict[str, Any]]) -> None:
    """Compare what the session left behind with what it may have left."""
    noted = [line.split() for line in log.read_text().splitlines()]
    lost = {int(minute) for minute, flag in noted if flag == "1"}
    verdict.figure("minutes without a database", len(lost))
    with database.transaction() as cur:
        cur.execute("SELECT count(*) FROM paper_minutes")
        verdict.check("every minute is recorded", (cur.fetchone() or [0])[0] == len(whole.tables["paper_minutes"]))
        cur.execute(
            "SELECT symbol, (extract(epoch FROM opened_at) * 1000)::bigint, (extract(epoch FROM closed_at) * 1000)::bigint,"
            " entry_price, exit_price, exit_reason FROM micro_positions ORDER BY opened_at, symbol"
        )
        rows = cur.fetchall()
        cur.execute("SELECT count(*)::int FROM signals WHERE reject_reason = 'database_lost' AND NOT acted")
        refused = int((cur.fetchone() or [0])[0])
        cur.execute("SELECT event, count(*)::int FROM alerts WHERE event IN ('entry', 'exit') GROUP BY event")
        alerts = dict(cur.fetchall())
    # What is decided at a minute's end carries the time at which it ended.
    entered = [row for row in rows if row[1] - MINUTE_MS in lost]
    left = [row for row in rows if row[2] - MINUTE_MS in lost]
    verdict.figure("entries refused as database_lost", refused)
    verdict.check("some entry was refused", refused > 0)
    verdict.check("no position was opened without the database", not entered, entered)
    verdict.figure("exits while the database was away", len(left))
    verdict.check("there were some", bool(left))
    mine = {(t["symbol"], t["opened_at"]): t for t in found}
    theirs = {(t["symbol"], t["opened_at"]): t for t in whole.trades}
    common = mine.keys() & theirs.keys()
    verdict.figure(
        "trades, of these in both, differing", [len(mine), len(common), sum(mine[k] != theirs[k] for k in common)]
    )
    verdict.check("trades of both are equal", all(mine[k] == theirs[k] for k in common))
    before = [k for k, t in theirs.items() if not lost or _ms(t["opened_at"]) - MINUTE_MS < min(lost)]
    verdict.check("what was entered before the first outage is there", all(k in mine for k in before))
    stored = [(r[3], r[4], r[5]) for r in rows]
    reported = [(t["entry_price"], t["exit_price"], t["exit_reason"]) for t in found]
    verdict.check("tables and the restarted session's trades agree", sorted(stored) == sorted(reported))
    ended_itself = sum(row[5] != "session_end" for row in rows)
    verdict.figure("alerts of entries and exits", alerts)
    verdict.check("one alert an entry, one an exit", alerts == {"entry": len(rows), "exit": ended_itself})
    doubled = {table: n for table, n in duplicates(database).items() if n}
    verdict.check("nothing is there twice", not doubled, doubled)


def _ms(text: str) -> int:
    from datetime import datetime

    return int(datetime.fromisoformat(text).timestamp() * 1000)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = common_options(__doc__)
    parser.add_argument("--outages", type=int, default=3)
    parser.add_argument(
        "--minutes", type=int, default=120, help="least length of an outage, in minutes of the recording"
    )
    parser.add_argument("--speed", type=float, default=3000.0, help="minutes of the recording in one minute")
    parser.add_argument("--session", type=Path, nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
