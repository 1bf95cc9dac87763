"""The websockets of a feed: what was seen through them, and since when they have not been interrupted.

Tells that a connection is lost and back; never asks for a candle, never decides what is given out. Start at `Watch.follow`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence

from sigil_ext.paper.exchange_client import ExchangeClient, Note, Unreachable
from sigil_ext.paper.feed import MINUTE_MS, Clock, Row

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0

Spawn = Callable[[Coroutine[None, None, None]], asyncio.Task[None]]


class Watch:
    """Follows the candles of a set of symbols."""

    def __init__(
        self, client: ExchangeClient, clock: Clock, now_ms: Callable[[], int], note: Note, spawn: Spawn
    ) -> None:
        """Prepare.

        Args:
            now_ms: the exchange's time.
            spawn: starts work in the background and keeps hold of it.
        """
        self._client, self._clock, self._now, self._note, self._spawn = client, clock, now_ms, note, spawn
        self._followed: tuple[str, ...] = ()
        self._tasks: list[asyncio.Task[None]] = []
        self._whole_since: dict[str, int] = {}
        self._lost: set[str] = set()
        self._told_lost = False
        self.candle_ms = 0  # when the last candle came

    def follow(self, symbols: Sequence[str]) -> None:
        """Watch `symbols`, which the exchange must list: with one that it does not list, no group is accepted."""
        if tuple(symbols) == self._followed:
            return
        for task in self._tasks:
            task.cancel()
        self._followed = tuple(symbols)
        self._lost &= set(symbols)
        self._whole_since.clear()
        self._tasks = [self._spawn(self._follow_group(group)) for group in self._client.groups(symbols)]

    def is_whole(self, symbol: str, open_ms: int) -> bool:
        """Return whether the symbol's connection has held since before that minute began."""
        return self._whole_since.get(symbol, open_ms + MINUTE_MS) <= open_ms

    def closed(self, symbol: str, open_ms: int) -> Row | None:
        """Return the closed candle as it was seen, if the connection has held since before it began."""
        return self._client.watched(symbol, open_ms) if self.is_whole(symbol, open_ms) else None

    def last(self, symbol: str, open_ms: int) -> Row | None:
        """Return the candle as it was seen last, closed or not, if the connection has held since before it began."""
        return self._client.last_seen(symbol, open_ms) if self.is_whole(symbol, open_ms) else None

    def trades_unseen(self, symbol: str, open_ms: int) -> None:
        """Take note that a symbol traded in a minute: where nothing was seen since before it, the connection is deaf."""
        if self.is_whole(symbol, open_ms) and self.candle_ms < open_ms:
            self._client.break_off("connected, but without candles while there are trades")

    async def _follow_group(self, group: list[str]) -> None:
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                await self._client.watch(group)
                self._found(group)
                wait_s = _FIRST_WAIT_S
                while True:
                    self.candle_ms = self._now()
                    await self._client.watch(group)
            except Unreachable as error:
                self._lose(group, error)
                await self._clock.sleep(wait_s)
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    def _found(self, group: list[str]) -> None:
        self._whole_since.update(dict.fromkeys(group, self._now()))
        self._lost.difference_update(group)
        if self._told_lost and not self._lost:
            self._told_lost = False
            self._note("back", None, "websocket is connected again")

    def _lose(self, group: list[str], error: Exception) -> None:
        self._lost.update(group)
        for symbol in group:
            self._whole_since.pop(symbol, None)
        if not self._told_lost:
            self._told_lost = True
            self._note("lost", None, f"websocket: {error}")
