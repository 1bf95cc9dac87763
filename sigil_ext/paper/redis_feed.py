"""A feed from a Redis stream that `publisher` fills: each session goes on after the minute it processed last.

Nothing is kept in Redis about readers: where a session stands is in its own database. Start at `RedisFeed.minutes`.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Literal, cast

import redis.asyncio as aioredis

from sigil_ext.bridge.candle_checks import describe_time
from sigil_ext.errors import UsageError
from sigil_ext.paper.feed import MINUTE_MS, ClosedMinute, EventKind, Feed, FeedEvent, SteadyClock, SystemClock
from sigil_ext.paper.publisher import end_of, holder_of, lock_key
from sigil_ext.paper.redis_link import LONGEST_WAIT_S, Link, ServerLost, Where
from sigil_ext.paper.stream_entry import NOTHING, Entry, EntryId, decode, format_id, parse_id

OnGap = Literal["wait", "fill"]

_BATCH = 100
_BLOCK_MS = 1000
_FIRST_WAIT_S = 0.1
_EVENTS_KEPT = 10_000


class RedisFeed:
    """Reads closed minutes from a stream. `counts` holds how often each kind of event came."""

    def __init__(
        self,
        where: Where,
        stream: str,
        *,
        on_gap: OnGap = "wait",
        filler: Feed | None = None,
        patience_s: float = 120.0,
        stale_after: int = 10,
        clock: SteadyClock | None = None,
    ) -> None:
        """Prepare a feed; nothing is connected before `minutes` is asked for the first one.

        Args:
            where: the server's URL, or what finds it, asked again whenever the server is lost.
            on_gap: where minutes are trimmed, the server is gone or nothing is published: "wait" goes on with what the
                stream has, telling what is missing; "fill" takes what is missing from `filler`.
            filler: another feed, the exchange's as a rule.
            patience_s: how long the server may be gone, or the stream silent, before that is told and `filler` is asked,
                and how long `filler` may say nothing about a hole before it is left.
            stale_after: minutes without a candle after which a symbol is told to be stale.
        Raises:
            UsageError: "fill" without a filler.
        """
        if on_gap == "fill" and filler is None:
            raise UsageError("a Redis feed that fills gaps needs a feed to fill them from")
        self._stream = stream
        self._filler = filler if on_gap == "fill" else None
        self._patience_s = patience_s
        self._stale_after = stale_after
        self._clock = clock or SystemClock()
        self._link = Link(where, self._note)
        self._events: deque[FeedEvent] = deque(maxlen=_EVENTS_KEPT)
        self._silent: Counter[str] = Counter()
        self._is_quiet = False
        self._wait_s = _FIRST_WAIT_S
        self.counts: Counter[str] = Counter()

    async def minutes(self, symbols: Sequence[str], after_ms: int | None) -> AsyncIterator[ClosedMinute]:
        """Yield the published minutes; without `after_ms` those that are published from now on. Ends where a recording
        ends that was published, else never.

        Raises:
            SigilError: the server refuses us from the start.
        """
        chosen = sorted(set(symbols))
        last = after_ms
        async with aclosing(cast(Any, self._arriving(chosen, after_ms))) as arriving:
            async for minute in arriving:
                # Whatever stream and filler leave out, a reader gets every minute.
                while last is not None and minute.open_ms > last + MINUTE_MS:
                    last += MINUTE_MS
                    yield self._of(ClosedMinute(last, {}, downtime=True), chosen)
                last = minute.open_ms
                yield self._of(minute, chosen)

    def events(self) -> list[FeedEvent]:
        """Return what happened since the last call, oldest first, and forget it."""
        events = list(self._events)
        self._events.clear()
        if self._filler is not None:
            events += self._own(self._filler.events())
        return sorted(events, key=lambda e: e.at_ms)

    async def close(self) -> None:
        """Give back the connection, and the filler's. May be called twice."""
        await self._link.close()
        if self._filler is not None:
            await self._filler.close()

    # --- reading ------------------------------------------------------------------------------------------------------

    async def _arriving(self, symbols: list[str], last: int | None) -> AsyncIterator[ClosedMinute]:
        """Yield minutes later than `last` in order, perhaps with gaps that nobody could fill."""
        heard_ms = self._clock.steady_ms()
        seen = None if last is None else (last, 0)
        ended = False
        while True:
            seen, entries = await self._next(seen, may_wait=not ended)
            if ended and not entries and not self._link.is_lost:
                return
            if last is None and seen is not None and seen != NOTHING and not entries:
                last = seen[0]
            for entry in entries:
                ended = entry is None  # perhaps not for good: the recording may have been published further
                if entry is None:
                    continue
                self._hear()
                if last is not None and entry.minute.open_ms > last + MINUTE_MS:
                    async for minute in self._fill(symbols, last, entry.minute.open_ms):
                        yield minute
                last, heard_ms = entry.minute.open_ms, self._clock.steady_ms()
                self._pass_on(entry, symbols)
                yield entry.minute
            if not entries and self._clock.steady_ms() - heard_ms > self._patience_s * 1000:
                await self._miss()
                if self._filler is not None:
                    async for minute in self._meanwhile(symbols, last):
                        last = minute.open_ms
                        seen = (last, 0)
                        yield minute
                    heard_ms = self._clock.steady_ms()

    async def _next(self, seen: EntryId | None, may_wait: bool) -> tuple[EntryId | None, list[Entry | None]]:
        """Return the entries after `seen`, after a second none at the latest, and the id of the last one; an entry that is
        None is a recording's end. Without `seen` return the end of the stream, where a new reader begins."""
        try:
            if seen is None:
                return await self._link.ask(lambda client: end_of(client, self._stream)), []
            found = await self._link.ask(lambda client: self._read(client, seen, may_wait))
            self._wait_s = _FIRST_WAIT_S
            return found
        except ServerLost:
            await self._clock.sleep(self._wait_s)
            self._wait_s = min(self._wait_s * 2, LONGEST_WAIT_S)
            return seen, []

    async def _read(self, client: aioredis.Redis, seen: EntryId, may_wait: bool) -> tuple[EntryId, list[Entry | None]]:
        block_ms = _BLOCK_MS if may_wait else None
        answer: Any = await client.xread({self._stream: format_id(seen)}, count=_BATCH, block=block_ms)
        entries: list[Entry | None] = []
        for entry_id, fields in answer[0][1] if answer else []:
            seen = parse_id(entry_id)
            try:
                entries.append(decode(entry_id, fields))
            except ValueError as error:
                self._note("garbage", f"entry {entry_id} of {self._stream}: {error}")
        return seen, entries

    def _of(self, minute: ClosedMinute, symbols: list[str]) -> ClosedMinute:
        """Return `minute` with the candles of `symbols` only, and follow who is silent."""
        candles = {s: minute.candles[s] for s in symbols if s in minute.candles}
        for symbol in symbols:
            if symbol not in candles:
                self._silent[symbol] += 1
                if self._silent[symbol] == self._stale_after:
                    self._note("stale", f"no candle for {self._stale_after} min", symbol)
            elif self._silent.pop(symbol, 0) >= self._stale_after:
                self._note("fresh", "candles again", symbol)
        return ClosedMinute(minute.open_ms, candles, minute.downtime)

    def _pass_on(self, entry: Entry, symbols: list[str]) -> None:
        """Tell what the publisher met, and at once which symbols it does not publish: they will not come by waiting."""
        for event in self._own(entry.events):
            if event.symbol is None or event.symbol in symbols:
                self.counts[event.kind] += 1
                self._events.append(event)
        for symbol in symbols:
            known = symbol in entry.minute.candles or symbol in entry.absent
            if not known and self._silent[symbol] < self._stale_after:
                self._silent[symbol] = self._stale_after
                self._note("stale", f"is not published in stream {self._stream}", symbol)

    # --- gaps ---------------------------------------------------------------------------------------------------------

    async def _fill(self, symbols: list[str], last: int, until: int) -> AsyncIterator[ClosedMinute]:
        """Yield what the filler has of the minutes between `last` and `until`, and tell what was missing."""
        missing = (until - last) // MINUTE_MS - 1
        span = f"{describe_time(last + MINUTE_MS)} to {describe_time(until - MINUTE_MS)}"
        fetched = 0
        if self._filler is not None:
            async with aclosing(cast(Any, self._filler.minutes(symbols, last))) as minutes:
                while (minute := await self._soon(minutes)) is not None and minute.open_ms < until:
                    fetched += 1
                    yield ClosedMinute(minute.open_ms, minute.candles, downtime=True)
                    if minute.open_ms == until - MINUTE_MS:
                        break
        if fetched:
            self._note("hole_filled", f"{fetched} min were not in stream {self._stream} and were fetched, {span}")
        if fetched < missing:
            self._note("hole_left", f"{missing - fetched} min are not in stream {self._stream}, {span}")

    async def _soon(self, minutes: Any) -> ClosedMinute | None:
        """Return the filler's next minute; None if it ends or takes too long: a filler that is gone must not hold up what
        the stream has."""
        try:
            async with asyncio.timeout(self._patience_s):
                return await _next_of(minutes)
        except TimeoutError:
            return None

    async def _meanwhile(self, symbols: list[str], last: int | None) -> AsyncIterator[ClosedMinute]:
        """Yield minutes of the filler until the stream has a later one."""
        assert self._filler is not None
        async with aclosing(cast(Any, self._filler.minutes(symbols, last))) as minutes:
            while True:
                waiting = asyncio.create_task(_next_of(minutes))
                try:
                    while not waiting.done():
                        await asyncio.wait([waiting], timeout=_BLOCK_MS / 1000)
                        if not waiting.done() and await self._has_after(last):
                            return
                    minute = waiting.result()
                finally:
                    waiting.cancel()
                    await asyncio.wait([waiting])
                if minute is None:
                    return
                last = minute.open_ms
                yield minute
                if await self._has_after(last):
                    return

    async def _has_after(self, open_ms: int | None) -> bool:
        try:
            newest, _ = await self._link.ask(lambda client: end_of(client, self._stream))
        except ServerLost:
            return False
        return newest > (open_ms or 0)

    # --- what is told -------------------------------------------------------------------------------------------------

    async def _miss(self) -> None:
        """Tell once that nothing comes, and whether there is a publisher."""
        if self._is_quiet or self._link.is_lost:
            return
        try:
            holder = await self._link.ask(lambda client: client.get(lock_key(self._stream)))
        except ServerLost:
            return
        self._is_quiet = True
        who = f"its publisher ({holder_of(str(holder))}) waits too" if holder else "it has no publisher"
        self._note("lost", f"nothing came in stream {self._stream} for {self._patience_s:.0f} s; {who}")

    def _hear(self) -> None:
        if self._is_quiet:
            self._is_quiet = False
            self._note("back", f"stream {self._stream} goes on")

    def _own(self, events: Sequence[FeedEvent]) -> list[FeedEvent]:
        """Return those of another feed's events that are not judged here as well."""
        return [e for e in events if e.kind not in ("stale", "fresh")]

    def _note(self, kind: EventKind, detail: str, symbol: str | None = None) -> None:
        self.counts[kind] += 1
        self._events.append(FeedEvent(self._clock.now_ms(), kind, symbol, detail))


async def _next_of(minutes: Any) -> ClosedMinute | None:
    """Return the next minute, None at the end."""
    try:
        return cast(ClosedMinute, await anext(minutes))
    except StopAsyncIteration:
        return None
