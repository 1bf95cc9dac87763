"""Backtest: candles from a folder or from Jesse's table, runs in child processes, a report a run.

Start at `run_backtest`.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from sigil_ext.bridge.candle_files import CandleSet, load_candles
from sigil_ext.bridge.simulate import SimulationRequest, StrategyRun
from sigil_ext.bridge.worker import run_all
from sigil_ext.errors import CandleError, UsageError
from sigil_ext.research.backtest_report import build_report
from sigil_ext.settings.lookback import lookback_minutes
from sigil_ext.settings.models import TIMEFRAME_MINUTES
from sigil_ext.settings.overlays import Variant

DAY_MS = 86_400_000
MINUTE_MS = 60_000

Progress = Callable[[str, float], None]
CandleSource = Callable[[int | None, int | None], Mapping[str, CandleSet]]


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


def folder_source(folder: Path, symbols: Sequence[str] | None) -> CandleSource:
    """Return a source that reads the candle files of `folder`."""
    return lambda start_ms, finish_ms: load_candles(folder, symbols, start_ms, finish_ms)


def run_backtest(plan: BacktestPlan, on_progress: Progress = lambda label, share: None) -> list[dict[str, Any]]:
    """Run every run of `plan`, several at once, and return their reports in order.

    Raises:
        UsageError: the period is empty. CandleError: there are no candles in it. SimulationFailed: Jesse broke off.
    """
    if plan.start_ms is not None and plan.finish_ms is not None and plan.start_ms >= plan.finish_ms:
        raise UsageError(f"--start {_day(plan.start_ms)} is not before --finish {_day(plan.finish_ms)}")
    warm_from = None if plan.start_ms is None else plan.start_ms - _warmup_minutes(plan.runs) * MINUTE_MS
    candles = plan.candles(warm_from, plan.finish_ms)
    first = min(c.start_ms for c in candles.values())
    finish_ms = max(c.finish_ms for c in candles.values())
    start_ms = _boundary(first, plan.runs) if plan.start_ms is None else max(plan.start_ms, _boundary(first, plan.runs))
    if start_ms >= finish_ms:
        raise CandleError(f"there are no candles from {_day(start_ms)} on; they end at {_day(finish_ms)}")
    with tempfile.TemporaryDirectory(prefix="sigil-candles-") as folder:
        shared = {symbol: _share(Path(folder), c, start_ms, plan.start_ms) for symbol, c in candles.items()}
        requests = [SimulationRequest(run, shared, start_ms, finish_ms, plan.exchange) for run in plan.runs]
        labels = [request.label for request in requests]
        for label in labels:
            on_progress(label, 0.0)
        workers = plan.workers or min(len(requests), os.cpu_count() or 1)
        results = run_all(requests, workers, lambda index, share: on_progress(labels[index], share))
    intervals = {symbol: c.interval_minutes for symbol, c in candles.items()}
    return [
        build_report(result, run, interval_minutes=intervals) for result, run in zip(results, plan.runs, strict=True)
    ]


def _share(folder: Path, candles: CandleSet, start_ms: int, asked_ms: int | None) -> Path:
    """Write one symbol's candles where the simulation processes map them, and return the file."""
    rows = candles.candles
    if asked_ms is None:
        rows = rows[np.searchsorted(rows[:, 0], start_ms) :]  # a first bar that is cut off is no bar
    path = folder / f"{candles.symbol}.npy"
    np.save(path, rows)
    return path


def _boundary(first_ms: int, runs: Iterable[Variant | StrategyRun]) -> int:
    """Return the first instant from `first_ms` on at which a bar of every timeframe begins."""
    step = max(max(_timeframes(run)) for run in runs) * MINUTE_MS
    return -(-first_ms // step) * step


def _warmup_minutes(runs: Iterable[Variant | StrategyRun]) -> int:
    """Return how much history before the start makes every figure what it would be with all of it."""
    return max(lookback_minutes(run, max(_timeframes(run))) for run in runs)


def _timeframes(run: Variant | StrategyRun) -> list[int]:
    if isinstance(run, Variant):
        return [run.settings.signal_minutes, run.settings.atr_minutes]
    return [TIMEFRAME_MINUTES[t] for t in (run.timeframe, *run.data_timeframes)]


def _day(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def table_source(exchange: str, symbols: Sequence[str] | None) -> CandleSource:
    """Return a source that reads Jesse's own 1m candle table."""

    def source(start_ms: int | None, finish_ms: int | None) -> Mapping[str, CandleSet]:
        from sigil_ext.services.candles import read_table

        return read_table(exchange, symbols, start_ms, finish_ms)

    return source
