"""People act on a session that is killed and started again meanwhile: every difference to the backtest is theirs.

    python benchmarks/chaos/people.py --acts 60

Pauses, trips, bans, lifts, closings and flattenings at random moments, of a session that runs, is stopped or is killed; a
third of the acts is killed itself. At the end the session runs to the end of the recording. Then the audit has a cause
for each difference, cash is what the closed trades made of the balance, and no row is there twice.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.chaos.common import (
    Process,
    Sandbox,
    Verdict,
    Watch,
    common_options,
    duplicates,
    sandbox,
    workplace,
)
from benchmarks.chaos.reference import paper
from sigil_ext.db.connection import Database
from sigil_ext.settings.overlays import load_variant

ACTS = ("pause", "resume", "trip", "reset", "ban", "add", "lift", "close", "flatten")
PACE = 6000  # times real time: the recording lasts long enough to act in it


@dataclass
class Crowd:
    """The session of `box`, and people who act on it; `done` counts the acts by name and exit status."""

    box: Sandbox
    line: list[str]
    variant: str
    database: Database
    rng: random.Random
    done: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    tracebacks: list[str] = field(default_factory=list)
    _session: Process | None = None

    def disturb(self) -> None:
        """One act, killed or not, or a kill, a stop or a start of the session."""
        if self._session is None or self._session.poll() is not None:
            if self.rng.random() < 0.7:
                self._session = self.box.start(*self.line, "--speed", str(PACE), "--keep-open", said="session")
        elif self.rng.random() < 0.15:
            self.stop(self.rng.choice((signal.SIGKILL, signal.SIGTERM)))
        time.sleep(self.rng.choice((0.0, self.rng.uniform(0, 3))))  # several within a bar, or hours of market between
        name = self.rng.choice(ACTS)
        act = self.box.start(*self._command(name), said="act")
        if self.rng.random() < 1 / 3:
            time.sleep(self.rng.uniform(0, 0.4))
            act.send_signal(signal.SIGKILL)
        status = act.wait()
        self.done[f"{name}: {'killed' if status < 0 else 'done' if status == 0 else 'refused'}"] += 1
        if "Traceback" in (said := self.box.said("act")):
            self.tracebacks.append(said)

    def stop(self, number: int) -> None:
        """End the session by a signal."""
        if self._session is not None and self._session.poll() is None:
            self._session.send_signal(number)
            self._session.wait()
            self.kills += number == signal.SIGKILL

    def _command(self, name: str) -> list[str]:
        why = ["--variant", self.variant, "--reason", f"{name} of a test"]
        hours = ["--hours", str(self.rng.choice((1, 5, 30)))]
        match name:
            case "pause" | "resume" | "flatten":
                return [name, *why]
            case "trip" | "reset":
                return ["breaker", name, *why]
            case "ban" | "add":
                return ["protections", name, self._symbol(), *hours, "--new", *why]
            case "lift":
                return ["protections", "lift", self._symbol(barred=True), *why]
            case _:
                return ["positions", "close", self._symbol(held=True), *why]

    def _symbol(self, *, barred: bool = False, held: bool = False) -> str:
        symbols = sorted(file.name.split("-")[0].removesuffix("USDT") + "-USDT" for file in self._candles())
        chosen: list[Any] = []
        with self.database.transaction() as cur:
            if held:
                cur.execute("SELECT symbol FROM micro_positions WHERE status = 'open' ORDER BY id")
            else:
                cur.execute("SELECT symbol FROM symbol_protections WHERE %s ORDER BY symbol", (barred,))
            chosen = [row[0] for row in cur.fetchall()]
        return str(self.rng.choice(chosen or symbols))

    def _candles(self) -> list[Path]:
        return [file for file in (self.box.project.root / "sample").iterdir() if file.suffix == ".parquet"]


def disturb(options: argparse.Namespace, folder: Path, verdict: Verdict) -> None:
    """Let people act, then let the session come to its end, and look whether everything agrees."""
    line = paper(options)
    with sandbox(folder) as box:
        database = box.database(options.variant)
        if options.preloaded:
            box.preload()
        crowd = Crowd(box, line, options.variant, database, random.Random(options.seed))
        watch = Watch(database)
        for number in range(options.acts):
            crowd.disturb()
            if (number + 1) % max(1, options.acts // 10) == 0:
                print(f"    {number + 1} acts", flush=True)
        crowd.stop(signal.SIGKILL)
        for again in ("resume", "breaker reset"):  # refused where there is nothing to undo
            box.start(*again.split(), "--variant", options.variant, "--reason", "the end of a test").wait()
        before = watch.last_minute()
        last = box.start(*line, "--json", str(folder / "trades.json"))
        verdict.check("the last one ends well", last.wait() == 0, box.said()[-300:])
        verdict.figure("acts", dict(sorted(crowd.done.items())))
        verdict.figure("kills of the session", crowd.kills)
        verdict.figure("minutes left when they went", round((watch.last_minute() - before) / 60_000))
        watch.close()
        verdict.check("nobody saw a traceback", not crowd.tracebacks, crowd.tracebacks[:1])
        _agrees(box, options, database, verdict)
        database.close()


def _agrees(box: Sandbox, options: argparse.Namespace, database: Database, verdict: Verdict) -> None:
    audit = box.start("audit", "--variant", options.variant, "--json", said="audit")
    status = audit.wait()
    text = box.said("audit")
    report = json.loads(text[text.index("{") : text.rindex("}") + 1])
    causes = Counter(d["cause"] or "no known cause" for d in report["differences"])
    verdict.figure("trades equal to the backtest's", report["matched"])
    verdict.figure("causes of the other differences", dict(causes))
    verdict.check("every difference has a cause", report["unexplained"] == status == 0, report["differences"][:3])
    with database.transaction() as cur:
        cur.execute("SELECT count(*), count(*) FILTER (WHERE status = 'open'), sum(pnl_usd) FROM micro_positions")
        (count, still_open, pnl), *_ = cur.fetchall()
        cur.execute("SELECT equity_usd, cash_usd FROM equity_snapshots ORDER BY at DESC LIMIT 1")
        (equity, cash), *_ = cur.fetchall()
    verdict.figure("positions", count)
    verdict.check("none is left open", still_open == 0 and equity == cash)
    balance = load_variant(options.variant).settings.sizing.starting_balance
    off = abs(equity - balance - float(pnl))
    verdict.check("cash is the balance and what the trades made", off < 1e-6, off)
    doubled = {table: n for table, n in duplicates(database).items() if n and table != "protection_events"}
    verdict.check("nothing is there twice", not doubled, doubled)


def main(arguments: list[str]) -> int:
    """Run it; 1 when anything disagrees."""
    options = parse(arguments)
    verdict = Verdict(f"{options.acts} acts on '{options.variant}', seed {options.seed}")
    with workplace(options.keep) as folder:
        disturb(options, folder, verdict)
    return verdict.end(options.json)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = common_options(__doc__)
    parser.add_argument("--acts", type=int, default=60)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
