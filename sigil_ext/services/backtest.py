"""Backtest: candles from a folder or from Jesse's table, runs in child processes, a report a run.

Start at `run_backtest`; `keep` puts its reports on the shelf.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sigil_ext.bridge.simulate import SimulationRequest, StrategyRun
from sigil_ext.bridge.worker import run_all
from sigil_ext.errors import UsageError
from sigil_ext.research.backtest_report import build_report
from sigil_ext.services import shelf
from sigil_ext.services.market import CandleSource, folder_source, read_market, table_source
from sigil_ext.settings.overlays import Variant
from sigil_ext.settings.project import Project
from sigil_ext.settings.temporary import temporary_folder

__all__ = ["BacktestPlan", "CandleSource", "folder_source", "keep", "parse_instant", "run_backtest", "table_source"]

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class BacktestPlan:
    """What to backtest: variants or foreign strategies, and where their candles come from.

    `candles` gives the candles of [start_ms, finish_ms) by symbol; `finish` is exclusive.
    """

    runs: tuple[Variant | StrategyRun, ...]
    candles: CandleSource
    start_ms: int | None = None
    finish_ms: int | None = None
    exchange: str = "Binance Spot"
    workers: int | None = None


def parse_instant(text: str, option: str) -> int:
    """Return milliseconds since 1970 for `2025-06-17`, `2025-06-17T03:15` or `2025-06-17 03:15`, read as UTC.

    Raises:
        UsageError: the text is no such date, or it has seconds, of which candles know nothing.
    """
    cleaned = text.strip().replace(" ", "T")
    try:
        if not re.match(r"^\d{4}-\d{2}-\d{2}", cleaned):
            raise ValueError(text)
        moment = datetime.fromisoformat(cleaned)
    except ValueError:
        raise UsageError(f"{option} '{text}' is not a date; write 2025-06-17 or 2025-06-17T03:15 (UTC)") from None
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if aware.second or aware.microsecond:
        raise UsageError(
            f"{option} '{text}' is within a minute, and candles are whole ones; write {aware:%Y-%m-%dT%H:%M} (UTC)"
        )
    return int(aware.timestamp()) * 1000


def run_backtest(plan: BacktestPlan, on_progress: Progress = lambda label, share: None) -> list[dict[str, Any]]:
    """Run every run of `plan`, several at once, and return their reports in order.

    Raises:
        UsageError: the period is empty. CandleError: there are no candles in it. SimulationFailed: Jesse broke off.
    """
    market = read_market(plan.runs, plan.candles, plan.start_ms, plan.finish_ms, plan.exchange)
    with temporary_folder("candles") as folder:
        shared = market.write(folder)
        requests = [SimulationRequest(r, shared, market.start_ms, market.finish_ms, plan.exchange) for r in plan.runs]
        labels = [request.label for request in requests]
        for label in labels:
            on_progress(label, 0.0)
        workers = plan.workers or min(len(requests), os.cpu_count() or 1)
        results = run_all(requests, workers, lambda index, share: on_progress(labels[index], share))
    return [
        build_report(result, run, interval_minutes=market.intervals)
        for result, run in zip(results, plan.runs, strict=True)
    ]


def keep(
    project: Project, reports: Sequence[Mapping[str, Any]], *, overrides: Sequence[str] = (), page: str | None = None
) -> shelf.Shelved:
    """Put the reports of one run on the shelf as `{"reports": [...]}` and return the entry.

    Raises:
        UsageError: storage cannot be written.
    """
    names = ", ".join(str(r["variant"]) for r in reports)
    changed = f" with {', '.join(overrides)}" if overrides else ""
    title = f"{names}{changed}, {reports[0]['start'][:10]} to {reports[0]['finish'][:10]}"
    return shelf.put(project, "backtest", {"reports": list(reports)}, title=title, page=page, now=datetime.now(UTC))
