"""A market that runs on its own clock: recorded minutes that form, close, and may be revised. Pure but for the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from sigil_ext.bridge.candle_files import CandleSet
from sigil_ext.paper.feed import MINUTE_MS, Row


class MarketClock:
    """Market time: begins at `start_ms` and runs `speed` times as fast as the loop's. Also the feed's clock in tests."""

    def __init__(self, start_ms: int, speed: float = 1.0) -> None:
        self.speed = speed
        self._start_ms = start_ms
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()

    def now_ms(self) -> int:
        return self._start_ms + self.steady_ms()

    def steady_ms(self) -> int:
        return int((self._loop.time() - self._began) * 1000 * self.speed)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.speed)

    def jump(self, ms: int) -> None:
        self._start_ms += ms


class ShiftedClock:
    """A clock that is wrong by `off_ms`, which may be changed while it runs, as a person setting it does."""

    def __init__(self, clock: MarketClock, off_ms: int) -> None:
        self._clock, self.off_ms = clock, off_ms

    def now_ms(self) -> int:
        return self._clock.now_ms() + self.off_ms

    def steady_ms(self) -> int:
        return self._clock.steady_ms()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)


class Market:
    """What trades, by Jesse's names. `revise` changes a candle from now on, as exchanges do."""

    def __init__(self, candles: Mapping[str, CandleSet], clock: MarketClock) -> None:
        self.clock = clock
        self.symbols = sorted(candles)
        self.halted: set[str] = set()
        self.delisted: set[str] = set()
        self.rows: dict[str, dict[int, Row]] = {
            symbol: {int(row[0]): tuple(row) for row in s.candles.tolist()} for symbol, s in candles.items()
        }

    @property
    def listed(self) -> list[str]:
        return [symbol for symbol in self.symbols if symbol not in self.delisted]

    def revise(self, symbol: str, open_ms: int, close: float) -> Row:
        stamp, open_, _, high, low, volume = self.rows[symbol][open_ms]
        row = (stamp, open_, close, max(high, close), min(low, close), volume)
        self.rows[symbol][open_ms] = row
        return row

    def forming(self, symbol: str, now_ms: int) -> Row | None:
        """Return the minute that is open now, as far as it has got."""
        open_ms = now_ms // MINUTE_MS * MINUTE_MS
        row = self.rows[symbol].get(open_ms)
        if row is None:
            return None
        stamp, open_, close, _, _, volume = row
        part = (now_ms - open_ms) / MINUTE_MS
        now = open_ + (close - open_) * part
        return (stamp, open_, now, max(open_, now), min(open_, now), volume * part)

    def rows_from(self, symbol: str, since_ms: int, now_ms: int, limit: int) -> list[Row]:
        """Return the candles from `since_ms` on, oldest first, the one that is forming last."""
        current = now_ms // MINUTE_MS * MINUTE_MS
        begin = -(-since_ms // MINUTE_MS) * MINUTE_MS
        found: list[Row] = []
        for open_ms in range(begin, current, MINUTE_MS):
            if len(found) == limit:
                return found
            if open_ms in self.rows[symbol]:
                found.append(self.rows[symbol][open_ms])
        forming = self.forming(symbol, now_ms)
        if forming is not None and current >= begin and len(found) < limit:
            found.append(forming)
        return found
