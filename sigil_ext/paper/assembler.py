"""Closed candles of many symbols, in any order, to whole minutes in time order.

Pure: time is an argument, nothing is awaited. The past never changes: what comes after its minute was given out is counted
and told, not applied. Start at `MinuteAssembler.on_candle`.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Sequence

from sigil_ext.paper.feed import MINUTE_MS, ClosedMinute, EventKind, FeedEvent, Row

REMEMBERED_MINUTES = 120  # how far back a repeated candle is compared with the one that was given out
_EVENTS_KEPT = 10_000
_EARLIEST_MS = 946_684_800_000  # 2000-01-01, before any exchange of coins


class MinuteAssembler:
    """Gives out a minute when the candle of every symbol is in or known to be absent, or when the grace is over.

    `counts` holds how often each kind of event came, and under "accepted" and "absent" the candles given out and missed.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        grace_ms: int,
        *,
        after_ms: int | None = None,
        stale_after: int = 10,
        ahead_ms: int = MINUTE_MS,
    ) -> None:
        """Begin after the minute `after_ms`, or with the earliest candle that comes before anything is given out.

        Args:
            symbols: whose candles are waited for.
            grace_ms: how long after its end a minute waits for the missing ones, >= 0.
            stale_after: minutes without a candle after which a symbol is told to be stale, >= 1.
            ahead_ms: how far beyond `now_ms` a candle may end; more is garbage (clocks differ by seconds, not minutes).
        Raises:
            ValueError: an argument is out of range, or there is no symbol.
        """
        if not symbols:
            raise ValueError("a feed needs at least one symbol")
        if grace_ms < 0 or stale_after < 1 or ahead_ms < 0:
            raise ValueError("grace_ms and ahead_ms must be >= 0, stale_after >= 1")
        if after_ms is not None and after_ms % MINUTE_MS:
            raise ValueError(f"after_ms must be the open time of a minute, was {after_ms}")
        self.symbols = tuple(sorted(set(symbols)))
        self.counts: Counter[str] = Counter()
        self._grace_ms = grace_ms
        self._stale_after = stale_after
        self._ahead_ms = ahead_ms
        self._next: int | None = None if after_ms is None else after_ms + MINUTE_MS
        self._begun = after_ms is not None  # whether the first minute is settled
        self._awaited = set(self.symbols)
        self._pending: dict[int, dict[str, Row]] = {}
        self._absent: dict[int, set[str]] = {}
        self._given: dict[int, dict[str, Row]] = {}
        self._missed: dict[int, dict[str, Row]] = {}  # what came too late; a repeat of it is seen as one
        self._newest: dict[str, int] = {}
        self._silent: Counter[str] = Counter()
        self._events: deque[FeedEvent] = deque(maxlen=_EVENTS_KEPT)

    @property
    def next_ms(self) -> int | None:
        """Return the open time of the minute that is given out next; None before the first candle."""
        return self._next

    @property
    def stale(self) -> frozenset[str]:
        """Return the symbols that have been silent for `stale_after` minutes or more."""
        return frozenset(s for s, n in self._silent.items() if n >= self._stale_after)

    def lacks(self, open_ms: int) -> list[str]:
        """Return the symbols that minute `open_ms` still waits for."""
        known = self._pending.get(open_ms, {}).keys() | self._absent.get(open_ms, set())
        return sorted(self._awaited - known)

    def told(self, symbol: str, open_ms: int) -> Row | None:
        """Return the newest value known of a candle whose minute was given out, None where there is none.

        That is the value in the minute, or the one that came too late to get into it.
        """
        late = self._missed.get(open_ms, {}).get(symbol)
        return late or self._given.get(open_ms, {}).get(symbol)

    def remembers(self, open_ms: int) -> bool:
        """Return whether the minute was given out, and not so long ago that it is forgotten."""
        return open_ms in self._given

    def on_candle(self, symbol: str, row: Row, now_ms: int) -> list[ClosedMinute]:
        """Take a CLOSED candle; return the minutes that are complete by it."""
        self.hold(symbol, row, now_ms)
        return self._give(now_ms)

    def on_absent(self, symbol: str, open_ms: int, now_ms: int) -> list[ClosedMinute]:
        """Take notice that the exchange has no candle of `symbol` for a minute that is over; return complete minutes."""
        if self._next is not None and open_ms >= self._next:
            self._absent.setdefault(open_ms, set()).add(symbol)
        return self._give(now_ms)

    def on_time(self, now_ms: int) -> list[ClosedMinute]:
        """Return the minutes whose grace is over at `now_ms`."""
        return self._give(now_ms)

    def hold(self, symbol: str, row: Row, now_ms: int) -> bool:
        """Take a closed candle without giving anything out; return whether it will be part of a minute."""
        fault = self._fault(symbol, row, now_ms)
        if fault:
            self.note("garbage", symbol, fault, now_ms)
            return False
        open_ms = int(row[0])
        if self._next is None or (open_ms < self._next and not self._begun):
            self._next = open_ms
        if open_ms < self._next:
            self._after_the_fact(symbol, open_ms, row, now_ms)
            return False
        minute = self._pending.setdefault(open_ms, {})
        before = minute.get(symbol)
        if before == row:
            self.note("duplicate", symbol, f"{_clock(open_ms)} came again, with the same values", now_ms)
            return False
        if before is not None:
            self.note(
                "revised", symbol, f"{_clock(open_ms)} changed before it was used: {_change(before, row)}", now_ms
            )
        elif open_ms < self._newest.get(symbol, open_ms):
            self.note("out_of_order", symbol, f"{_clock(open_ms)} came after a later one", now_ms)
        minute[symbol] = row
        self._absent.get(open_ms, set()).discard(symbol)
        self._newest[symbol] = max(open_ms, self._newest.get(symbol, open_ms))
        return True

    def release(self, until_ms: int, now_ms: int) -> list[ClosedMinute]:
        """Return all minutes up to and including `until_ms`, as they are held now, marked as fetched after the fact."""
        ready: list[ClosedMinute] = []
        while self._next is not None and self._next <= until_ms:
            ready.append(self._give_one(self._next, now_ms, downtime=True))
        return ready

    def await_only(self, symbols: Iterable[str]) -> None:
        """Wait for the candles of `symbols` only: the others are halted. Their candles are still taken when they come."""
        self._awaited = set(symbols) & set(self.symbols)

    def note(self, kind: EventKind, symbol: str | None, detail: str, now_ms: int) -> None:
        """Count an event and keep it for `events`."""
        self.counts[kind] += 1
        self._events.append(FeedEvent(now_ms, kind, symbol, detail))

    def events(self) -> list[FeedEvent]:
        """Return the events since the last call, oldest first, and forget them."""
        events = list(self._events)
        self._events.clear()
        return events

    def _give(self, now_ms: int) -> list[ClosedMinute]:
        ready: list[ClosedMinute] = []
        while self._next is not None and self._is_due(self._next, now_ms):
            ready.append(self._give_one(self._next, now_ms, downtime=False))
        return ready

    def _is_due(self, open_ms: int, now_ms: int) -> bool:
        end = open_ms + MINUTE_MS
        if now_ms >= end + self._grace_ms:
            return True
        # While every symbol is halted nothing tells that a minute is over but the grace.
        return bool(self._awaited) and not self.lacks(open_ms)

    def _give_one(self, open_ms: int, now_ms: int, *, downtime: bool) -> ClosedMinute:
        held = self._pending.pop(open_ms, {})
        self._absent.pop(open_ms, None)
        candles = {symbol: held[symbol] for symbol in sorted(held)}
        self._given[open_ms] = candles
        self._given.pop(open_ms - REMEMBERED_MINUTES * MINUTE_MS, None)
        self._missed.pop(open_ms - REMEMBERED_MINUTES * MINUTE_MS, None)
        self._next = open_ms + MINUTE_MS
        self._begun = True
        self.counts["accepted"] += len(candles)
        self.counts["absent"] += len(self.symbols) - len(candles)
        self._follow_silence(open_ms, candles, now_ms)
        return ClosedMinute(open_ms, candles, downtime)

    def _follow_silence(self, open_ms: int, candles: dict[str, Row], now_ms: int) -> None:
        for symbol in self.symbols:
            if symbol not in candles:
                self._silent[symbol] += 1
                if self._silent[symbol] == self._stale_after:
                    self.note("stale", symbol, f"no candle for {self._stale_after} min at {_clock(open_ms)}", now_ms)
                continue
            silent = self._silent.pop(symbol, 0)
            if silent >= self._stale_after:
                self.note("fresh", symbol, f"candles again at {_clock(open_ms)}, after {silent} min without", now_ms)

    def _after_the_fact(self, symbol: str, open_ms: int, row: Row, now_ms: int) -> None:
        assert self._next is not None
        if open_ms not in self._given:
            self.note("late", symbol, f"{_clock(open_ms)} came long after its minute was given out", now_ms)
            return
        known = self.told(symbol, open_ms)
        if known == row:
            self.note("duplicate", symbol, f"{_clock(open_ms)} came again, with the same values", now_ms)
            return
        self._missed.setdefault(open_ms, {})[symbol] = row
        if known is None:
            self.note("late", symbol, f"{_clock(open_ms)} came after its minute was given out", now_ms)
        else:
            self.note("revised", symbol, f"{_clock(open_ms)} changed after it was used: {_change(known, row)}", now_ms)

    def _fault(self, symbol: str, row: Row, now_ms: int) -> str | None:
        if symbol not in self.symbols:
            return f"{symbol} was not asked for"
        return candle_fault(row, now_ms + self._ahead_ms)


def candle_fault(row: Row, latest_ms: int) -> str | None:
    """Return why this cannot be a candle that ended at `latest_ms` or before; None where it can."""
    if len(row) != 6 or not all(isinstance(v, int | float) and math.isfinite(v) for v in row):
        return f"not six numbers: {row!r:.120}"
    stamp, open_, close, high, low, volume = row
    if stamp % MINUTE_MS or stamp < _EARLIEST_MS:
        return f"{stamp:.0f} is not the open time of a minute"
    if stamp + MINUTE_MS > latest_ms:
        return f"{_clock(int(stamp))} lies in the future"
    if low <= 0 or high < max(open_, close, low) or low > min(open_, close):
        return f"an impossible bar at {_clock(int(stamp))}: {row[1:]}"
    if volume < 0:
        return f"{_clock(int(stamp))} has a volume of {volume}"
    return None


def _clock(open_ms: int) -> str:
    minutes = open_ms // MINUTE_MS % 1440
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _change(old: Row, new: Row) -> str:
    names = ("open", "close", "high", "low", "volume")
    return ", ".join(f"{n} {a:.12g} -> {b:.12g}" for n, a, b in zip(names, old[1:], new[1:], strict=True) if a != b)
