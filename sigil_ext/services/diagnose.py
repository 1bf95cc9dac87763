"""Diagnose hard stops: of backtests that are run now, or of what databases hold. Start at `of_backtests`, `of_databases`."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.bridge.simulate import SimulationRequest
from sigil_ext.bridge.worker import run_all
from sigil_ext.db import paper_periods, reading
from sigil_ext.db.auditing import AuditRecords
from sigil_ext.db.connection import Database
from sigil_ext.db.journal import Journal
from sigil_ext.errors import UsageError
from sigil_ext.research.backtest_notes import LEGACY, LEGACY_NOTES
from sigil_ext.research.diagnosis import ExitRule, Position, Run, diagnose
from sigil_ext.research.diagnosis.entries import from_rows, from_trades
from sigil_ext.research.diagnosis.parts import Today
from sigil_ext.services import shelf
from sigil_ext.services.database import open_database
from sigil_ext.services.market import CandleSource, read_market
from sigil_ext.settings.overlays import Variant, flatten, load_variant, merge
from sigil_ext.settings.project import Project
from sigil_ext.settings.temporary import temporary_folder

Floats = NDArray[np.float64]
Progress = Callable[[str, float], None]

DAY_MS = 86_400_000
WARM_UP_MS = 30 * DAY_MS  # more than the ATR looks back on any timeframe of a variant
EARLIER_BOT = "(earlier bot)"


@dataclass(frozen=True, slots=True)
class Conditions:
    """On which candles, over which period, with which seed. `candles` None (databases only): what paper recorded."""

    candles: CandleSource | None
    candles_name: str
    start_ms: int | None = None
    finish_ms: int | None = None
    exchange: str = "Binance Spot"
    workers: int | None = None
    seed: int = 1


def of_backtests(
    variants: Sequence[Variant], conditions: Conditions, project: Project, progress: Progress = lambda what, share: None
) -> dict[str, Any]:
    """Backtest `variants` and return the diagnosis.

    Raises:
        UsageError: the period is empty. CandleError: there are no candles in it. SimulationFailed: Jesse broke off.
    """
    assert conditions.candles is not None
    market = read_market(variants, conditions.candles, conditions.start_ms, conditions.finish_ms, conditions.exchange)
    with temporary_folder("candles") as folder:
        files = market.write(folder)
        requests = [
            SimulationRequest(v, files, market.start_ms, market.finish_ms, conditions.exchange) for v in variants
        ]
        workers = conditions.workers or min(len(requests), os.cpu_count() or 1)
        results = run_all(requests, workers, lambda i, share: progress(f"backtest of {variants[i].name}", share))
    runs = [
        _run(v.name, from_trades(r.record.trades), v, LEGACY_NOTES if v.name == LEGACY else ())
        for v, r in zip(variants, results, strict=True)
    ]
    return diagnose(
        runs, market.candles, start_ms=market.start_ms, finish_ms=market.finish_ms, today=_today(project),
        seed=conditions.seed, source=f"backtests on {conditions.candles_name}", intervals=market.intervals,
        progress=lambda name, share: progress(f"diagnosis of {name}", share),
    )  # fmt: skip


def of_databases(
    names: Sequence[str], conditions: Conditions, project: Project, progress: Progress = lambda what, share: None
) -> dict[str, Any]:
    """Return the diagnosis of the closed positions that the databases of the variants `names` hold.

    Rows without a stop are the earlier bot's and make a run of their own, under the rules of `legacy`.

    Raises:
        UsageError: no database holds a closed position in the period, or one waits for `sigil migrate up`.
    """
    runs: list[Run] = []
    recorded: dict[str, list[Floats]] = {}
    for name in names:
        database = open_database(name, project)
        runs += _runs_of(database, name, conditions, project)
        if conditions.candles is None:
            for symbol, rows in _recorded(database).items():
                recorded.setdefault(symbol, []).append(rows)
        progress(f"database of {name}", 1.0)
    every = [p for run in runs for p in run.positions]
    if not every:
        raise UsageError(
            f"no closed position in the database of {', '.join(names)} in that period; sigil positions list --variant {names[0]} "
            "shows what is there"
        )
    start, finish = min(p.opened_at_ms for p in every), max(p.closed_at_ms for p in every)
    intervals: dict[str, int] = {}
    if conditions.candles is not None:
        sets = conditions.candles(start - WARM_UP_MS, None)
        minutes: Mapping[str, Floats] = {s: c.candles for s, c in sets.items()}
        intervals = {s: c.interval_minutes for s, c in sets.items()}
    else:
        minutes = {s: _joined(parts) for s, parts in recorded.items()}
    where = conditions.candles_name if conditions.candles is not None else "the candles that paper recorded"
    return diagnose(
        runs, minutes, start_ms=start, finish_ms=finish, today=_today(project), seed=conditions.seed,
        source=f"databases of {', '.join(names)}, {where}", intervals=intervals,
        progress=lambda name, share: progress(f"diagnosis of {name}", share),
    )  # fmt: skip


def keep(project: Project, document: Mapping[str, Any], page: str) -> shelf.Shelved:
    """Put a diagnosis on the shelf and return its entry."""
    names = ", ".join(run["name"] for run in document["runs"])
    title = f"Hard stops of {names}, {document['start'][:10]} to {document['finish'][:10]}"
    return shelf.put(project, "diagnosis", document, title=title, page=page, now=datetime.now(UTC))


def _run(name: str, positions: tuple[Position, ...], variant: Variant, notes: Sequence[str] = ()) -> Run:
    s = variant.settings
    return Run(name, positions, ExitRule.of(s), flatten(s), tuple(notes))


def _today(project: Project) -> Today:
    """Return the protections of baseline, which re-entries are judged by."""
    settings = load_variant("baseline", project=project).settings
    return Today(settings.guard.cooldown_hours, settings.ban)


def _runs_of(database: Database, name: str, conditions: Conditions, project: Project) -> list[Run]:
    rows = [
        r
        for r in reading.positions(database)
        if r.status == "closed" and _within(r.opened_at.timestamp() * 1000, conditions)
    ]
    ours, earlier = (
        from_rows(r for r in rows if r.stop_pct is not None),
        from_rows(r for r in rows if r.stop_pct is None),
    )
    runs = []
    if ours:
        sessions = paper_periods.sessions(database)
        variant = (
            merge(name, [("session", dict(sessions[-1].settings))])
            if sessions and sessions[-1].strategy is None
            else load_variant(name, project=project)
        )
        notes = ["Paper history under the settings of its newest session."]
        if any(r.increases for r in rows if r.stop_pct is not None):
            notes.append("A position that was increased counts as one entry at its average price.")
        runs.append(_run(name, ours, variant, notes))
    if earlier:
        runs.append(
            _run(
                f"{name} {EARLIER_BOT}", earlier, load_variant(LEGACY, project=project),
                ["Rows of the earlier bot: no stop and no ATR was stored; the stop is taken to be legacy's fixed one."],
            )
        )  # fmt: skip
    return runs


def _within(at_ms: float, conditions: Conditions) -> bool:
    start = -math.inf if conditions.start_ms is None else conditions.start_ms
    finish = math.inf if conditions.finish_ms is None else conditions.finish_ms
    return start <= at_ms < finish


def _recorded(database: Database) -> dict[str, Floats]:
    """Return every candle that the paper sessions of a database recorded, by symbol."""
    parts: dict[str, list[Floats]] = {}
    journal = Journal(database)
    for session in paper_periods.sessions(database):
        found = journal.session(session.id)
        if found is None:
            continue
        for symbol, rows in AuditRecords(database, found).candles()[0].items():
            parts.setdefault(symbol, []).append(rows)
    return {symbol: _joined(rows) for symbol, rows in parts.items()}


def _joined(parts: Sequence[Floats]) -> Floats:
    """Return the candles of several records as one, each minute once."""
    rows = np.concatenate(parts)
    _, first = np.unique(rows[:, 0], return_index=True)
    found: Floats = rows[first]
    return found
