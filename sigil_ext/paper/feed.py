"""The feed contract: where the paper engine gets its closed minutes from, whatever stands behind them.

A feed yields minutes in time order, each once and none left out: the open time of a minute is that of the one before plus
60,000 ms. What the exchange did not give stays absent, so a minute may be empty. Everything unusual that happened on the
way is told by `events`, never by an exception. Never here: decisions, storage. Start at `Feed`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

MINUTE_MS = 60_000

Row = tuple[float, float, float, float, float, float]
"""A closed candle in Jesse's column order: open time in ms, open, close, high, low, volume."""

EventKind = Literal[
    "lost", "back", "late", "duplicate", "revised", "out_of_order", "hole_filled", "hole_left", "stale", "fresh",
    "halted", "clock_skew", "garbage", "rate_limited",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class ClosedMinute:
    """All closed candles of one minute.

    `open_ms` is the minute's open time, `candles` is sorted by symbol (TST-USDT) and holds only what there is. `downtime`
    says that the minute was fetched after the fact: nobody could have acted on it when it closed.
    """

    open_ms: int
    candles: Mapping[str, Row]
    downtime: bool = False


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """Something unusual that a feed met and dealt with; `detail` is a sentence for people."""

    at_ms: int
    kind: EventKind
    symbol: str | None
    detail: str


class Feed(Protocol):
    """A source of closed minutes."""

    def minutes(self, symbols: Sequence[str], after_ms: int | None) -> AsyncIterator[ClosedMinute]:
        """Yield the minutes after `after_ms`, the open time of the last minute processed; None: from the feed's start."""
        ...

    def events(self) -> list[FeedEvent]:
        """Return what happened since the last call, oldest first, and forget it."""
        ...

    async def close(self) -> None:
        """Give back connections and tasks. May be called twice."""
        ...


class Clock(Protocol):
    """Time as a feed sees it; tests let it run faster."""

    def now_ms(self) -> int:
        """Return the time in ms since 1970 UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return when `seconds` of this clock are over."""
        ...


class SteadyClock(Clock, Protocol):
    """A clock that also measures how long things take, whatever is done to the time of day."""

    def steady_ms(self) -> int:
        """Return ms since some moment; never set, never going back."""
        ...


class SystemClock:
    """The clock on the wall."""

    def steady_ms(self) -> int:
        """Return ms since the machine started; it stands still while the machine sleeps."""
        return int(time.monotonic() * 1000)

    def now_ms(self) -> int:
        """Return the time in ms since 1970 UTC."""
        return int(time.time() * 1000)

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)
