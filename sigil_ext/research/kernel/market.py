"""The market as compiled code reads it: candles once, and what is derived from them kept for every cell that shares it.

Start at `KernelMarket.of`; `tape`, `scans` and `signals` are what a cell is run on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sigil_ext.bridge.replay import shares_one_clock
from sigil_ext.errors import CandleError
from sigil_ext.research.kernel import bars as made
from sigil_ext.research.kernel import indicators, measures
from sigil_ext.research.kernel.ranking import accept_all, sort_all
from sigil_ext.research.kernel.scanning import passes, scan_slots
from sigil_ext.research.kernel.shapes import Floats, Ints, Scans, Signals, Tape
from sigil_ext.research.kernel.timeframe import Bars, Ranges, addresses_of, offsets_of
from sigil_ext.rules.universe import limits_of
from sigil_ext.settings.models import EntrySettings, UniverseSettings

MINUTE_MS = 60_000
LONGEST_LOOKBACK = 200  # that the settings allow for a breakout
T = TypeVar("T")


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

    def tape(self, signal_minutes: int, atr_minutes: int, *, with_closes: bool, with_clock: bool = False) -> Tape:
        """Return the market at one signal timeframe.

        `with_closes` where equity is asked for, `with_clock` where it is asked for within a minute.
        """
        bars = self._bars(signal_minutes)
        slots, next_day = self._slots(signal_minutes)
        addresses, counts = self._minutes()
        closes = self._closes(signal_minutes) if with_closes else np.zeros((0, 0))
        one_clock = with_clock and self._once(
            ("clock", max(signal_minutes, atr_minutes)),
            lambda: shares_one_clock(self.by_symbol(), self.start_ms, max(signal_minutes, atr_minutes)),
        )
        return Tape(
            bars.bars, bars.asked, bars.first, bars.offsets[1:] - 1, addresses, counts, addresses_of(self._dips()),
            signal_minutes, self.end_minute, slots, next_day, closes, bool(one_clock),
        )  # fmt: skip

    def scans(self, universe: UniverseSettings, signal_minutes: int, atr_minutes: int, *, with_bans: bool) -> Scans:
        """Return what the scans of a universe say while nothing is banned or held; `with_bans` where something may be."""
        key = (universe, signal_minutes, atr_minutes)
        scans = self._once(("scans", *key), lambda: self._scan(*key))
        return self._once(("sorted", *key), lambda: sort_all(scans)) if with_bans else scans

    def signals(self, entry: EntrySettings, signal_minutes: int, atr_minutes: int) -> Signals:
        """Return what the entry rule fires at, by time and symbol. Not kept: there may be a thousand entry rules."""
        bars, rises = self._bars(signal_minutes), self._rises(signal_minutes)
        ranges, atr = self._ranges(atr_minutes, signal_minutes), self._atr(atr_minutes, signal_minutes)
        slots, _ = self._slots(signal_minutes)

        def fired(s: int) -> tuple[Ints, Ints, Floats, Floats]:
            at, gaps = self._fired(s, bars, rises, entry, signal_minutes)
            minute = (bars.bars[at, 0] // MINUTE_MS).astype(np.int64) + signal_minutes
            known = np.empty(len(at))
            indicators.atr_by(ranges.bars[ranges.of(s)], atr[ranges.of(s)], atr_minutes, minute, known)
            return at, np.searchsorted(slots, minute), gaps, known

        found = self._each(fired)
        at, slot, gaps, known = (np.concatenate([f[k] for f in found]) for k in range(4))
        symbol = np.repeat(np.arange(len(found), dtype=np.int16), [len(f[0]) for f in found])
        order = indicators.in_time(slot, len(slots))
        return Signals(slot[order].astype(np.int32), symbol[order], at[order], gaps[order], known[order])

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
            lambda: (addresses_of(self.candles), np.array([len(rows) for rows in self.candles], dtype=np.int64)),
        )

    def _dips(self) -> list[Floats]:
        def dips(s: int) -> Floats:
            found = np.empty(len(self.candles[s]))
            made.dips_of(self.candles[s], found)
            return found

        return self._once("dips", lambda: self._each(dips))

    def _bars(self, length: int) -> Bars:
        def make() -> Bars:
            offsets = offsets_of(self._each(lambda s: made.count_bars(self.candles[s], length)))
            n = int(offsets[-1])
            built = Bars(np.empty((n, 6)), offsets, np.zeros(n, np.bool_), np.empty(n, np.int64))

            def build(s: int) -> None:
                part = built.of(s)
                made.build(
                    self.candles[s], length, self.start_ms, built.bars[part], built.first[part], built.asked[part]
                )

            self._each(build)
            return built

        return self._once(("bars", length), make)

    def _ranges(self, length: int, fine: int) -> Ranges:
        """Return bars of `length` minutes without volumes, from those of `fine` minutes where they divide it."""
        if length == fine or length % fine or ("bars", length) in self._kept:
            whole = self._bars(length)
            return Ranges(whole.bars, whole.offsets)

        def make() -> Ranges:
            b = self._bars(fine)

            def merge(s: int) -> Floats:
                bars = np.empty((int(b.offsets[s + 1] - b.offsets[s]), 6))
                return bars[: made.merged(b.bars[b.of(s)], length, bars)]

            parts = self._each(merge)
            return Ranges(np.concatenate(parts), offsets_of(len(p) for p in parts))

        return self._once(("ranges", length), make)

    def _rises(self, length: int) -> NDArray[np.int16]:
        def make() -> NDArray[np.int16]:
            b = self._bars(length)
            counts = np.empty(len(b.bars), np.int16)
            self._each(lambda s: indicators.rises(b.bars[b.of(s)], LONGEST_LOOKBACK, counts[b.of(s)]))
            return counts

        return self._once(("rises", length), make)

    def _atr(self, length: int, fine: int) -> Floats:
        def make() -> Floats:
            r = self._ranges(length, fine)
            atr = np.empty(len(r.bars))
            self._each(lambda s: indicators.atr_of_each(r.bars[r.of(s)], atr[r.of(s)]))
            return atr

        return self._once(("atr", length), make)

    def _slots(self, length: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        def make() -> tuple[NDArray[np.int32], NDArray[np.int32]]:
            b = self._bars(length)
            first = min(int(rows[0, 0]) for rows in self.candles if len(rows)) // MINUTE_MS // length * length
            marks = np.zeros((self.end_minute - first) // length + 2, np.bool_)
            made.mark_ends(b.bars, b.asked, length, first, marks)
            slots = (np.flatnonzero(marks) * length + first).astype(np.int32)
            days = slots // 1440
            return slots, np.searchsorted(days, days, side="right").astype(np.int32)

        return self._once(("slots", length), make)

    def _closes(self, length: int) -> Floats:
        def make() -> Floats:
            b, (slots, _) = self._bars(length), self._slots(length)
            times = slots.astype(np.int64) * MINUTE_MS
            closes = np.empty((len(slots), len(self.symbols)))
            self._each(lambda s: made.closes_at(b.bars[b.of(s)], times, closes[:, s]))
            return closes

        return self._once(("closes", length), make)

    def _fired(
        self, s: int, b: Bars, rises: NDArray[np.int16], entry: EntrySettings, length: int
    ) -> tuple[Ints, Floats]:
        part = b.of(s)
        room = int(np.count_nonzero(rises[part] >= entry.breakout_lookback))
        at, gaps = np.empty(room, np.int32), np.empty(room)
        found = indicators.signals_of(
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
            found = np.empty((len(self.symbols), count, measures.MEASURES))
            rooms = threading.local()  # one a thread: fresh memory for each symbol would cost as much as the work

            def measure(s: int) -> None:
                if not hasattr(rooms, "own"):
                    rooms.own = np.empty((2, max(len(rows) for rows in self.candles)))
                measures.measures_of(self.candles[s], times, rooms.own, found[s])

            self._each(measure)
            return minutes, of_slot, found

        return self._once(("measures", every_ms, length), make)

    def _atr_pct(self, every_ms: int, length: int, atr_minutes: int) -> Floats:
        def make() -> Floats:
            minutes, _, found = self._measures(every_ms, length)
            b, r, atr = self._bars(length), self._ranges(atr_minutes, length), self._atr(atr_minutes, length)
            times = minutes.astype(np.int64) * MINUTE_MS
            out = np.empty((len(self.symbols), len(minutes)))

            def fill(s: int) -> None:
                measures.atr_pct_at(
                    self.candles[s], b.bars[b.of(s)], b.first[b.of(s)], r.bars[r.of(s)], atr[r.of(s)], atr_minutes,
                    times, found[s, :, measures.PRICE], out[s],
                )  # fmt: skip

            self._each(fill)
            return out

        return self._once(("atr_pct", every_ms, length, atr_minutes), make)

    def _scan(self, universe: UniverseSettings, length: int, atr_minutes: int) -> Scans:
        every_ms = int(universe.every.total_seconds() * 1000)
        minutes, of_slot, found = self._measures(every_ms, length)
        atr_pct = self._atr_pct(every_ms, length, atr_minutes)
        passed = np.empty((len(minutes), len(self.symbols)), np.bool_)
        passes(found, atr_pct, limits_of(universe), passed)
        score = universe.score
        scans = Scans(
            minutes, of_slot, passed, np.zeros_like(passed), np.ascontiguousarray(atr_pct.T),
            np.ascontiguousarray(found[:, :, measures.QUOTE_VOLUME].T),
            np.ascontiguousarray(found[:, :, measures.CHANGE].T),
            universe.size, (score.atr, score.volume, score.change), np.zeros((0, 3, 0), np.int16),
            np.zeros((0, 3, 0), np.bool_),
        )  # fmt: skip
        accept_all(scans)
        return scans
