"""Candles as a diagnosis asks for them: ATRs at any instant, and the bar closes at which an entry could have been made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sigil_ext.bridge.bars import build_bars
from sigil_ext.research.diagnosis.compiling import compiled_with_rules
from sigil_ext.rules.indicators import CLOSE, PERIOD, wilder_atr

Floats = NDArray[np.float64]

MINUTE_MS = 60_000
HOUR_MS = 3_600_000


@compiled_with_rules
def _atrs(bars: Floats, period: int) -> Floats:
    found = np.empty(bars.shape[0])
    for i in range(bars.shape[0]):
        found[i] = wilder_atr(bars[: i + 1], period)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class SymbolCandles:
    """One symbol's minutes (Jesse's columns), the ATR of each closed bar, and where a signal bar closes.

    `closes` are indices of minutes that end a signal bar within the period: an entry there fills at that minute's close.
    """

    minutes: Floats
    ends_ms: NDArray[np.int64]
    atr_ends_ms: NDArray[np.int64]
    atrs: Floats
    closes: NDArray[np.int64]

    def atr_at(self, at_ms: int) -> float:
        """Return the ATR of the last bar that is closed at `at_ms`, NaN before there is one."""
        i = int(np.searchsorted(self.atr_ends_ms, at_ms, side="right")) - 1
        return float(self.atrs[i]) if i >= 0 else math.nan

    def closes_in_hour(self, at_ms: int) -> NDArray[np.int64]:
        """Return the indices of all bar closes in the same hour of the day."""
        hour = at_ms // HOUR_MS % 24
        found: NDArray[np.int64] = self.closes[self.ends_ms[self.closes] // HOUR_MS % 24 == hour]
        return found

    def covers(self, at_ms: int) -> bool:
        """Return whether there are candles from `at_ms` on, and one at most an hour before it."""
        i = int(np.searchsorted(self.ends_ms, at_ms, side="right")) - 1
        return 0 <= i < len(self.ends_ms) - 1 and at_ms - int(self.ends_ms[i]) <= HOUR_MS


class Candles:
    """The candles of a diagnosis by symbol, prepared when first asked for."""

    def __init__(
        self, minutes: Mapping[str, Floats], start_ms: int, finish_ms: int, signal_minutes: int, atr_minutes: int
    ) -> None:
        """Args: minutes: rows before `start_ms` are warm-up. start_ms, finish_ms: where random entries may lie."""
        self._minutes = minutes
        self._span = start_ms, finish_ms
        self._signal_ms, self._atr_ms = signal_minutes * MINUTE_MS, atr_minutes * MINUTE_MS
        self._ready: dict[str, SymbolCandles] = {}

    def of(self, symbol: str) -> SymbolCandles | None:
        """Return a symbol's candles, None where there are none."""
        if symbol not in self._minutes or not len(self._minutes[symbol]):
            return None
        if symbol not in self._ready:
            self._ready[symbol] = self._prepare(np.ascontiguousarray(self._minutes[symbol], dtype=np.float64))
        return self._ready[symbol]

    def _prepare(self, minutes: Floats) -> SymbolCandles:
        ends = minutes[:, 0].astype(np.int64) + MINUTE_MS
        bars = build_bars(minutes, self._atr_ms)
        start, finish = self._span
        # The last minute can be no entry: nothing comes after it.
        closes = np.flatnonzero((ends % self._signal_ms == 0) & (ends >= start) & (ends <= finish))
        closes = closes[closes < len(ends) - 1]
        return SymbolCandles(
            minutes, ends, bars[:, 0].astype(np.int64) + self._atr_ms, _atrs(bars, PERIOD), closes.astype(np.int64)
        )


def close_of(candles: SymbolCandles, index: int) -> float:
    """Return the close of minute number `index`."""
    return float(candles.minutes[index, CLOSE])
