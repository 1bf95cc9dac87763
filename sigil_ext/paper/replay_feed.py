"""A feed of recorded candles: the same minutes in the same order, at any speed. Start at `ReplayFeed.minutes`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Literal

from sigil_ext.bridge.candle_files import CandleSet
from sigil_ext.errors import UnknownSymbol, UsageError
from sigil_ext.paper.feed import MINUTE_MS, Clock, ClosedMinute, FeedEvent, Row, SystemClock

Speed = float | Literal["max"]


class ReplayFeed:
    """Replays candle sets from their first minute to their last, minutes without a candle included as empty ones."""

    def __init__(
        self,
        candles: Mapping[str, CandleSet],
        *,
        speed: Speed = "max",
        finish_ms: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Replay `candles`, by symbol as `load_candles` gives them.

        Args:
            speed: minutes of the recording in a minute of `clock`; "max" never waits.
            finish_ms: end before the minute that opens then; None for the last recorded one.
        Raises:
            UsageError: there is no candle, or `speed` is not above zero.
        """
        if not candles:
            raise UsageError("nothing to replay: no candles were given")
        if speed != "max" and not speed > 0:
            raise UsageError(f"speed must be above 0 or 'max', was {speed}")
        self._candles = candles
        self._speed: Speed = speed
        self._clock = clock or SystemClock()
        self._first = min(int(s.candles[0, 0]) for s in candles.values())
        last = max(int(s.candles[-1, 0]) for s in candles.values())
        self._last = last if finish_ms is None else min(last, -(-finish_ms // MINUTE_MS) * MINUTE_MS - MINUTE_MS)
        self._done = 0
        self._total = self._minutes_after(None)

    @property
    def never_waits(self) -> bool:
        """Return whether every minute is there as soon as it is asked for."""
        return self._speed == "max"

    @property
    def progress(self) -> tuple[int, int]:
        """Return how many minutes were given out, and how many there are in all since `after_ms`."""
        return self._done, self._total

    def _minutes_after(self, after_ms: int | None) -> int:
        begin = self._first if after_ms is None else max(self._first, after_ms + MINUTE_MS)
        return max(0, (self._last - begin) // MINUTE_MS + 1)

    async def minutes(self, symbols: Sequence[str], after_ms: int | None) -> AsyncIterator[ClosedMinute]:
        """Yield the recorded minutes after `after_ms`, of the candles of `symbols`, then end.

        Raises:
            UnknownSymbol: one of `symbols` was not recorded.
        """
        chosen = sorted(set(symbols))
        for symbol in chosen:
            if symbol not in self._candles:
                raise UnknownSymbol(symbol, self._candles)
        self._done, self._total = 0, self._minutes_after(after_ms)
        begin = self._last + MINUTE_MS - self._total * MINUTE_MS
        cursors = [_Cursor(self._candles[symbol], begin) for symbol in chosen]
        started_ms = self._clock.now_ms()
        for done in range(self._total):
            open_ms = begin + done * MINUTE_MS
            if self._speed != "max":
                # Measured from the start, so that slow processing does not add up.
                due_ms = started_ms + (done + 1) * MINUTE_MS / self._speed
                wait_s = (due_ms - self._clock.now_ms()) / 1000
                if wait_s > 0:
                    await self._clock.sleep(wait_s)
            candles = {c.symbol: c.row() for c in cursors if c.time == open_ms}
            self._done = done + 1
            yield ClosedMinute(open_ms, candles)

    def events(self) -> list[FeedEvent]:
        """Return nothing: a recording holds no surprises."""
        return []

    async def close(self) -> None:
        """Do nothing: nothing is open."""


class _Cursor:
    """Walks through one symbol's candles; `time` is the open time of the next, -1 at the end."""

    def __init__(self, candle_set: CandleSet, begin_ms: int) -> None:
        self.symbol = candle_set.symbol
        self._rows = candle_set.candles
        self._index = int(self._rows[:, 0].searchsorted(begin_ms))
        self.time = self._time()

    def row(self) -> Row:
        """Return the next candle and step past it."""
        stamp, open_, close, high, low, volume = self._rows[self._index].tolist()
        self._index += 1
        self.time = self._time()
        return (stamp, open_, close, high, low, volume)

    def _time(self) -> int:
        return int(self._rows[self._index, 0]) if self._index < len(self._rows) else -1
