"""The market as compiled code reads it: candles once, and what is derived from them kept for every cell that shares it.

Start at `KernelMarket.of`; `tape`, `scans` and `signals` are what a cell is run on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sigil_ext.bridge.replay import shares_one_clock
from sigil_ext.errors import CandleError
from sigil_ext.research.kernel import bars as made
from sigil_ext.research.kernel.cell import accept_all
from sigil_ext.research.kernel.scanning import passes, scan_slots
from sigil_ext.research.kernel.shapes import Bools, Floats, Ints, Scans, Signals, Tape
from sigil_ext.rules.universe import limits_of
from sigil_ext.settings.models import EntrySettings, UniverseSettings

MINUTE_MS = 60_000
LONGEST_LOOKBACK = 200  # that the settings allow for a breakout
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Bars:
    """The bars of one timeframe, symbol after symbol; `offsets` has one more than there are symbols."""

    bars: Floats
    asked: Bools
    first: Ints
    offsets: Ints


@dataclass(slots=True, eq=False)
class KernelMarket:
    """Candles of a period by symbol, and what was derived from them so far.

    Attributes:
        symbols: by name, as trades number them. candles: of each symbol, shape (n, 6), Jesse's column order.
        start_ms: nothing is decided before; candles before it are warm-up. finish_ms: end of the run, exclusive.
    """

    symbols: tuple[str, ...]
    candles: tuple[Floats, ...]
    start_ms: int
    finish_ms: int
    workers: int = 1
    _kept: dict[Hashable, Any] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @classmethod
    def of(cls, candles: Mapping[str, NDArray[np.float64]], start_ms: int, finish_ms: int) -> KernelMarket:
        """Return the market of `candles` (TST-USDT -> rows in Jesse's column order, oldest first).

        Raises:
            CandleError: no candle lies within the period.
        """
        symbols = tuple(sorted(candles))
        # Compiled code is given the address of each symbol's rows.
        rows = tuple(
            np.ascontiguousarray(candles[s][: np.searchsorted(candles[s][:, 0], finish_ms)], dtype=np.float64)
            for s in symbols
        )
        if not any(len(r) and r[-1, 0] >= start_ms for r in rows):
            raise CandleError("no candle lies within the period that the kernel is to run")
        return cls(symbols, rows, start_ms, finish_ms)

    def by_symbol(self) -> dict[str, Floats]:
        """Return the candles by symbol, as `of` takes them."""
        return dict(zip(self.symbols, self.candles, strict=True))

    # --- what a cell is run on ------------------------------------------------------------------------------------

    def tape(self, signal_minutes: int, atr_minutes: int, *, with_closes: bool) -> Tape:
        """Return the market at one signal timeframe; `with_closes` where equity is asked for."""
        bars = self._bars(signal_minutes)
        slots, next_day = self._slots(signal_minutes)
        addresses, counts = self._minutes()
        closes = self._closes(signal_minutes) if with_closes else np.zeros((0, 0))
        one_clock = self._once(
            ("clock", max(signal_minutes, atr_minutes)),
            lambda: shares_one_clock(self.by_symbol(), self.start_ms, max(signal_minutes, atr_minutes)),
        )
        return Tape(
            bars.bars, bars.asked, bars.first, bars.offsets[1:] - 1, addresses, counts, signal_minutes,
            self.end_minute, slots, next_day, closes, bool(one_clock),
        )  # fmt: skip

    def scans(self, universe: UniverseSettings, signal_minutes: int, atr_minutes: int) -> Scans:
        """Return what the scans of a universe say while nothing is banned or held."""
        return self._once(
            ("scans", universe, signal_minutes, atr_minutes),
            lambda: self._scan(universe, signal_minutes, atr_minutes),
        )

    def signals(self, entry: EntrySettings, signal_minutes: int, atr_minutes: int) -> Signals:
        """Return what the entry rule fires at, by time and symbol. Not kept: there may be a thousand entry rules."""
        bars, rises = self._bars(signal_minutes), self._rises(signal_minutes)
        slots, _ = self._slots(signal_minutes)
        found = self._each(lambda s: self._fired(s, bars, rises, entry, signal_minutes))
        at = np.concatenate([f[0] for f in found])
        gaps = np.concatenate([f[1] for f in found])
        symbol = np.repeat(np.arange(len(found), dtype=np.int16), [len(f[0]) for f in found])
        minute = (bars.bars[at, 0] // MINUTE_MS).astype(np.int64) + signal_minutes
        order = np.lexsort((symbol, minute))
        at, symbol, minute = at[order], symbol[order], minute[order]
        return Signals(
            np.searchsorted(slots, minute).astype(np.int32), symbol, at, gaps[order],
            self._atr_by(atr_minutes, symbol, minute),
        )  # fmt: skip

    @property
    def end_minute(self) -> int:
        """Return the minute in which the last candle of any symbol ends."""
        return max(int(rows[-1, 0]) // MINUTE_MS + 1 for rows in self.candles if len(rows))

    # --- derived once ---------------------------------------------------------------------------------------------

    def _once(self, key: Hashable, make: Callable[[], T]) -> T:
        with self._lock:
            if key not in self._kept:
                self._kept[key] = make()
            kept: T = self._kept[key]
            return kept

    def _each(self, work: Callable[[int], T]) -> list[T]:
        """Return `work` of every symbol's number, on several threads where there are several workers."""
        numbers = range(len(self.symbols))
        if self.workers <= 1:
            return [work(s) for s in numbers]
        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(work, numbers))

    def _minutes(self) -> tuple[Ints, Ints]:
        return self._once(
            "minutes",
            lambda: (
                np.array([rows.ctypes.data for rows in self.candles], dtype=np.int64),
                np.array([len(rows) for rows in self.candles], dtype=np.int64),
            ),
        )

    def _bars(self, length: int) -> _Bars:
        def make() -> _Bars:
            offsets = _offsets(self._each(lambda s: made.count_bars(self.candles[s], length)))
            n = int(offsets[-1])
            bars, asked, first = np.empty((n, 6)), np.zeros(n, np.bool_), np.empty(n, np.int64)

            def build(s: int) -> None:
                part = slice(offsets[s], offsets[s + 1])
                made.build(self.candles[s], length, self.start_ms, bars[part], first[part], asked[part])

            self._each(build)
            return _Bars(bars, asked, first, offsets)

        return self._once(("bars", length), make)

    def _rises(self, length: int) -> NDArray[np.int16]:
        def make() -> NDArray[np.int16]:
            b = self._bars(length)
            counts = np.empty(len(b.bars), np.int16)

            def count(s: int) -> None:
                part = slice(b.offsets[s], b.offsets[s + 1])
                made.rises(b.bars[part], LONGEST_LOOKBACK, counts[part])

            self._each(count)
            return counts

        return self._once(("rises", length), make)

    def _atr(self, length: int) -> Floats:
        def make() -> Floats:
            b = self._bars(length)
            atr = np.empty(len(b.bars))

            def fill(s: int) -> None:
                part = slice(b.offsets[s], b.offsets[s + 1])
                made.atr_of_each(b.bars[part], atr[part])

            self._each(fill)
            return atr

        return self._once(("atr", length), make)

    def _atr_by(self, length: int, symbol: NDArray[np.int16], minute: Ints) -> Floats:
        """Return the ATR of the last bar of `length` minutes that ended by each minute, NaN without one."""
        b, atr = self._bars(length), self._atr(length)
        out = np.full(len(symbol), np.nan)
        for s in range(len(self.symbols)):
            mine = np.flatnonzero(symbol == s)
            ends = b.bars[b.offsets[s] : b.offsets[s + 1], 0] / MINUTE_MS + length
            closed = np.searchsorted(ends, minute[mine], side="right")
            known = closed > 0
            out[mine[known]] = atr[b.offsets[s] + closed[known] - 1]
        return out

    def _slots(self, length: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        def make() -> tuple[NDArray[np.int32], NDArray[np.int32]]:
            b = self._bars(length)
            slots = np.unique((b.bars[b.asked, 0] // MINUTE_MS).astype(np.int32) + np.int32(length))
            days = slots // 1440
            return slots, np.searchsorted(days, days, side="right").astype(np.int32)

        return self._once(("slots", length), make)

    def _closes(self, length: int) -> Floats:
        def make() -> Floats:
            slots, _ = self._slots(length)
            times = slots.astype(np.int64) * MINUTE_MS
            closes = np.empty((len(slots), len(self.symbols)))
            self._each(lambda s: made.closes_at(self.candles[s], times, closes[:, s]))
            return closes

        return self._once(("closes", length), make)

    def _fired(
        self, s: int, b: _Bars, rises: NDArray[np.int16], entry: EntrySettings, length: int
    ) -> tuple[Ints, Floats]:
        part = slice(b.offsets[s], b.offsets[s + 1])
        room = int(np.count_nonzero(rises[part] >= entry.breakout_lookback))
        at, gaps = np.empty(room, np.int32), np.empty(room)
        found = made.signals_of(
            self.candles[s], b.bars[part], b.first[part], b.asked[part], rises[part], length,
            entry.breakout_lookback, entry.volume_factor, entry.volume_lookback, entry.rsi_min, entry.rsi_max, at, gaps,
        )  # fmt: skip
        return at[:found].astype(np.int64) + b.offsets[s], gaps[:found]

    def _measures(self, every_ms: int, length: int) -> tuple[NDArray[np.int32], NDArray[np.int32], Floats]:
        def make() -> tuple[NDArray[np.int32], NDArray[np.int32], Floats]:
            slots, _ = self._slots(length)
            of_slot = np.empty(len(slots), np.int32)
            count = scan_slots(slots, every_ms, of_slot)
            minutes = slots[np.searchsorted(of_slot, np.arange(count))]
            times = minutes.astype(np.int64) * MINUTE_MS
            measures = np.empty((len(self.symbols), count, made.MEASURES))
            self._each(lambda s: made.measures_of(self.candles[s], times, measures[s]))
            return minutes, of_slot, measures

        return self._once(("measures", every_ms, length), make)

    def _atr_pct(self, every_ms: int, length: int, atr_minutes: int) -> Floats:
        def make() -> Floats:
            minutes, _, measures = self._measures(every_ms, length)
            b, atr = self._bars(atr_minutes), self._atr(atr_minutes)
            times = minutes.astype(np.int64) * MINUTE_MS
            out = np.empty((len(self.symbols), len(minutes)))

            def fill(s: int) -> None:
                part = slice(b.offsets[s], b.offsets[s + 1])
                made.atr_pct_at(
                    self.candles[s], b.bars[part], atr[part], atr_minutes, times,
                    measures[s, :, made.PRICE], out[s],
                )  # fmt: skip

            self._each(fill)
            return out

        return self._once(("atr_pct", every_ms, length, atr_minutes), make)

    def _scan(self, universe: UniverseSettings, length: int, atr_minutes: int) -> Scans:
        every_ms = int(universe.every.total_seconds() * 1000)
        minutes, of_slot, measures = self._measures(every_ms, length)
        atr_pct = self._atr_pct(every_ms, length, atr_minutes)
        passed = np.empty((len(minutes), len(self.symbols)), np.bool_)
        passes(measures, atr_pct, limits_of(universe), passed)
        score = universe.score
        scans = Scans(
            minutes, of_slot, passed, np.zeros_like(passed), np.ascontiguousarray(atr_pct.T),
            np.ascontiguousarray(measures[:, :, made.QUOTE_VOLUME].T), np.ascontiguousarray(measures[:, :, made.CHANGE].T),
            universe.size, (score.atr, score.volume, score.change),
        )  # fmt: skip
        accept_all(scans)
        return scans


def _offsets(counts: Iterable[int]) -> Ints:
    return np.concatenate(([0], np.cumsum(np.array(list(counts), dtype=np.int64)))).astype(np.int64)
