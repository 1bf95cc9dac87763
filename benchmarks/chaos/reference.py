"""What a disturbed session must equal: the same session left alone, and the backtest. Start at `undisturbed`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.chaos.common import Sandbox, Tables, period, sandbox, tables

# What the backtest alone measures, and a number that skips when a transaction is undone: the tables are compared by the
# time of the scan instead.
NOT_COMPARED = {"next_24h_high_pct", "next_24h_low_pct", "universe_id"}


@dataclass
class Undisturbed:
    """The run that nobody touches: what it traded, what it left behind, and the minutes in which it entered or left."""

    trades: list[dict[str, Any]]
    tables: Tables
    seconds: float
    eventful: list[int]
    first_ms: int
    last_ms: int
    spans: list[tuple[int, int]]
    """When each trade began and ended, ms."""


def paper(options: argparse.Namespace) -> list[str]:
    """Return the command that runs the session."""
    changes = [part for text in options.set for part in ("--set", text)]
    return ["run", "paper", "--variant", options.variant, *period(options), *changes]


def undisturbed(folder: Path, options: argparse.Namespace) -> Undisturbed:
    """Run the session with nobody near it."""
    with sandbox(folder) as box:
        result = folder / "trades.json"
        began = time.monotonic()
        box.sigil(*paper(options), "--json", str(result))
        took = time.monotonic() - began
        database = box.database(options.variant)
        with database.transaction() as cur:
            cur.execute(
                "SELECT DISTINCT (extract(epoch FROM at) * 1000)::bigint - 60000 FROM (SELECT opened_at AS at FROM"
                " micro_positions UNION ALL SELECT closed_at FROM micro_positions) AS e ORDER BY 1"
            )
            eventful = [row[0] for row in cur.fetchall()]
            cur.execute(
                "SELECT (extract(epoch FROM opened_at) * 1000)::bigint, (extract(epoch FROM closed_at) * 1000)::bigint"
                " FROM micro_positions ORDER BY 1, 2"
            )
            spans = [(row[0], row[1]) for row in cur.fetchall()]
            cur.execute("SELECT min(open_ms), max(open_ms) FROM paper_minutes")
            first, last = cur.fetchone() or (0, 0)
        found = tables(database)
        database.close()
        return Undisturbed(trades_in(result), found, took, eventful, first, last, spans)


def trades_in(file: Path) -> list[dict[str, Any]]:
    """Return the trades that `--json` wrote."""
    return comparable(json.loads(file.read_text(encoding="utf-8"))["trades"])


def backtest_trades(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the trades of a backtest."""
    line = ["backtest", *paper(options)[2:], "--json"]
    said = subprocess.run(
        [sys.executable, "-m", "sigil_ext", *line], cwd=folder, env=Sandbox(folder / "backtest").environment(),
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return comparable(json.loads(said.stdout)["trades"])


def comparable(trades: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return trades without what need not be equal."""
    return [{k: v for k, v in trade.items() if k not in NOT_COMPARED} for trade in trades]
