"""Candles by request: a few symbols at a time, as patiently as it takes, and when the exchange answered last.

Never here: what an answer means for a minute (`exchange_feed`). Start at `CandleReader.newest`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from sigil_ext.paper.exchange_client import ExchangeClient, Note, NotListed, Unreachable, Unreadable
from sigil_ext.paper.exchange_history import fetch_range, span_of
from sigil_ext.paper.feed import MINUTE_MS, Row, SteadyClock

T = TypeVar("T")

_READERS = 8
_TRIES = 5  # answers that cannot be read, while others can, until a symbol's past is given up


@dataclass(frozen=True, slots=True)
class Answer:
    """Candles of a symbol as they were answered; `asked_ms` by the exchange's clock.

    `is_over`: when it was asked, the websocket had told already that the minute is over.
    """

    rows: list[Row]
    asked_ms: int
    is_over: bool


class CandleReader:
    """Asks one exchange for candles of 1m."""

    def __init__(self, client: ExchangeClient, clock: SteadyClock, now_ms: Callable[[], int], note: Note) -> None:
        """Args: now_ms: the exchange's time."""
        self._client, self._clock, self._now, self._note = client, clock, now_ms, note
        self._places = asyncio.Semaphore(_READERS)
        self.answered_ms = 0  # when the last request that was answered was sent

    async def newest(self, symbol: str, open_ms: int) -> Answer:
        """Return the candles around a minute that is just over.

        Raises:
            Unreachable: no usable answer. NotListed: the exchange does not know the symbol (any more).
        """
        async with self._places:
            asked = self._now()
            is_over = self._client.is_followed(symbol, open_ms)
            rows = await self._client.candles(symbol, open_ms - 2 * MINUTE_MS, 6)
        self.answered_ms = max(self.answered_ms, asked)
        return Answer(rows, asked, is_over)

    async def past(self, symbol: str, begin_ms: int, until_ms: int) -> list[Row]:
        """Return the candles that open in [begin_ms, until_ms]; none where the exchange has none to be read, which is told."""
        began, unread = self._now(), 0

        async def page(symbol: str, since_ms: int, limit: int) -> list[Row]:
            nonlocal unread
            try:
                async with self._places:
                    asked = self._now()
                    rows = await self._client.candles(symbol, since_ms, limit, wait=True)
            except Unreadable:
                unread += 1
                if unread >= _TRIES and self.answered_ms >= began:
                    raise NotListed(symbol) from None
                raise
            self.answered_ms = max(self.answered_ms, asked)
            return rows

        async def patient_page(symbol: str, since_ms: int, limit: int) -> list[Row]:
            return await self.patiently(page, symbol, since_ms, limit)

        try:
            return await fetch_range(patient_page, symbol, begin_ms, until_ms)
        except NotListed:
            if unread:
                self._note("hole_left", symbol, f"answers cannot be read, {span_of(begin_ms, until_ms)}")
            return []

    async def patiently(self, call: Callable[..., Awaitable[T]], *args: object) -> T:
        """Return what `call` returns, trying again for as long as the exchange is unreachable."""
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(Unreachable),
            wait=tenacity.wait_exponential_jitter(multiplier=0.5, max=30, jitter=0.5),
            sleep=self._clock.sleep,
        )
        return await retrying(call, *args)
