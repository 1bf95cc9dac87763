"""A market to run on: the candles of a source, cut to a period with the warm-up that the runs need.

One answer for backtest, grid and walk-forward, so that a cell of a grid is the backtest of its settings. Start at
`read_market`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sigil_ext.bridge.candle_files import CandleSet, load_candles
from sigil_ext.bridge.simulate import StrategyRun
from sigil_ext.errors import CandleError, UsageError
from sigil_ext.instants import clock
from sigil_ext.settings.lookback import lookback_minutes
from sigil_ext.settings.models import TIMEFRAME_MINUTES
from sigil_ext.settings.overlays import Variant

MINUTE_MS = 60_000

Run = Variant | StrategyRun
CandleSource = Callable[[int | None, int | None], Mapping[str, CandleSet]]


@dataclass(frozen=True, slots=True, eq=False)
class Market:
    """Candles by symbol (Jesse's columns; those before `start_ms` are warm-up) of a period, `finish_ms` exclusive.

    `intervals` is the length of the recorded bars in minutes, by symbol.
    """

    candles: Mapping[str, NDArray[np.float64]]
    start_ms: int
    finish_ms: int
    intervals: Mapping[str, int]
    exchange: str = "Binance Spot"

    @property
    def symbols(self) -> list[str]:
        """The symbols by name, the order in which both engines number them."""
        return sorted(self.candles)

    def cut(self, start_ms: int, finish_ms: int, runs: Iterable[Run]) -> Market:
        """Return the part [start_ms, finish_ms) of this market, with the warm-up that `runs` need and no candle after it.

        Raises:
            CandleError: no candle lies in it.
        """
        warm_from = start_ms - _warmup_minutes(tuple(runs)) * MINUTE_MS
        rows = {}
        for symbol, all_rows in self.candles.items():
            first, last = np.searchsorted(all_rows[:, 0], (warm_from, finish_ms))
            if last > np.searchsorted(all_rows[:, 0], start_ms):
                rows[symbol] = all_rows[first:last]
        if not rows:
            raise CandleError(f"there are no candles from {clock(start_ms)} to {clock(finish_ms)}")
        return Market(rows, start_ms, finish_ms, {s: self.intervals[s] for s in rows}, self.exchange)

    def write(self, folder: Path) -> dict[str, Path]:
        """Write the candles where simulation processes map them, and return the files."""
        files = {symbol: folder / f"{symbol}.npy" for symbol in self.candles}
        for symbol, path in files.items():
            np.save(path, self.candles[symbol])
        return files


def read_market(
    runs: Iterable[Run], source: CandleSource, start_ms: int | None, finish_ms: int | None, exchange: str
) -> Market:
    """Return the market that `runs` are to be run on together.

    Args:
        start_ms, finish_ms: what was asked for; None begins at the first whole bar and ends with the candles.
    Raises:
        UsageError: the period is empty. CandleError: there are no candles in it.
    """
    runs = tuple(runs)
    if start_ms is not None and finish_ms is not None and start_ms >= finish_ms:
        raise UsageError(f"--start {clock(start_ms)} is not before --finish {clock(finish_ms)}")
    warm_from = None if start_ms is None else start_ms - _warmup_minutes(runs) * MINUTE_MS
    sets = source(warm_from, finish_ms)
    first = _boundary(min(c.start_ms for c in sets.values()), runs)
    last_ms = max(c.finish_ms for c in sets.values())
    begin_ms = first if start_ms is None else max(start_ms, first)
    if begin_ms >= last_ms:
        raise CandleError(f"there are no candles from {clock(begin_ms)} on; they end at {clock(last_ms)}")
    rows = {symbol: c.candles for symbol, c in sets.items()}
    if start_ms is None:  # a first bar that is cut off is no bar
        rows = {symbol: r[np.searchsorted(r[:, 0], begin_ms) :] for symbol, r in rows.items()}
    return Market(rows, begin_ms, last_ms, {symbol: c.interval_minutes for symbol, c in sets.items()}, exchange)


def folder_source(folder: Path, symbols: Sequence[str] | None) -> CandleSource:
    """Return a source that reads the candle files of `folder`."""
    return lambda start_ms, finish_ms: load_candles(folder, symbols, start_ms, finish_ms)


def table_source(exchange: str, symbols: Sequence[str] | None) -> CandleSource:
    """Return a source that reads Jesse's own 1m candle table."""

    def source(start_ms: int | None, finish_ms: int | None) -> Mapping[str, CandleSet]:
        from sigil_ext.services.candles import read_table

        return read_table(exchange, symbols, start_ms, finish_ms)

    return source


def _boundary(first_ms: int, runs: Iterable[Run]) -> int:
    """Return the first instant from `first_ms` on at which a bar of every timeframe begins."""
    step = max(max(_timeframes(run)) for run in runs) * MINUTE_MS
    return -(-first_ms // step) * step


def _warmup_minutes(runs: Iterable[Run]) -> int:
    """Return how much history before the start makes every figure what it would be with all of it."""
    return max(lookback_minutes(run, max(_timeframes(run))) for run in runs)


def _timeframes(run: Run) -> list[int]:
    if isinstance(run, Variant):
        return [run.settings.signal_minutes, run.settings.atr_minutes]
    return [TIMEFRAME_MINUTES[t] for t in (run.timeframe, *run.data_timeframes)]
