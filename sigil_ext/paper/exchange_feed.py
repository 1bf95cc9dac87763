"""A feed of live candles from an exchange: the websocket tells that a candle has closed, a request tells what it is.

A minute is never given up while the exchange cannot be heard: it is fetched when the exchange is back, like minutes that
passed while nothing ran, and then marked as downtime. Never here: the exchange's own dialect (`exchange_client`), what the
websockets saw (`exchange_watch`), how candles are asked for (`exchange_reader`), which symbols trade (`exchange_listings`),
the order of minutes (`assembler`). Start at `ExchangeFeed.minutes`.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Collection, Coroutine, Sequence
from typing import Literal

from sigil_ext.errors import UnknownSymbol, UsageError
from sigil_ext.paper.assembler import MinuteAssembler
from sigil_ext.paper.exchange_client import NOT_LISTED, ExchangeClient, NotListed, Unreachable, Unreadable
from sigil_ext.paper.exchange_history import PAGE, holes
from sigil_ext.paper.exchange_listings import Listings
from sigil_ext.paper.exchange_reader import CandleReader
from sigil_ext.paper.exchange_time import ExchangeTime
from sigil_ext.paper.exchange_watch import Watch
from sigil_ext.paper.feed import MINUTE_MS, ClosedMinute, EventKind, FeedEvent, Row, SteadyClock, SystemClock

Confirm = Literal["auto", "always", "doubtful"]

_TICK_S = 0.1
_RETRY_S, _LONGEST_RETRY_S = 1.0, 30.0
_OVERDUE_MS = 30_000  # this long after its grace a minute is fetched as history
_RECHECK_S = 5.0
_RECHECK_MINUTES = 30
_EVENTS_KEPT = 10_000


class ExchangeFeed:
    """Public candles of one exchange; see `docs/feeds.md` for what the settings do."""

    def __init__(
        self,
        name: str,
        rest_url: str | None = None,
        ws_url: str | None = None,
        *,
        grace_ms: int = 10_000,
        settle_ms: int = 1000,
        confirm: Confirm = "auto",
        stale_after: int = 10,
        rest_interval_ms: float | None = None,
        housekeeping_s: float = 600.0,
        clock: SteadyClock | None = None,
    ) -> None:
        """Prepare a feed; nothing is connected before `minutes` is asked for the first one.

        Args:
            name: as ccxt spells it: binance, kraken, ...
            rest_url, ws_url: scheme and host instead of the exchange's own.
            grace_ms: how long after its end a minute waits for a candle that does not come.
            settle_ms: how long after its end a candle is asked for where the websocket did not tell that it closed.
            confirm: "always" asks again for every closed candle; "doubtful" only where the connection was not whole for
                the entire minute, which a large pool needs to stay within an exchange's limits; "auto" is "always" for
                a pool that can be asked for within half the grace.
            stale_after: minutes without a candle after which a symbol is told to be stale.
            rest_interval_ms: shortest time between requests; None for what ccxt holds right.
            housekeeping_s: how often it is looked which symbols trade.
        Raises:
            UsageError: ccxt knows no such exchange, or it has no candles of one minute.
        """
        self.name = name
        self._clock: SteadyClock = clock or SystemClock()
        self._early: deque[FeedEvent] = deque(maxlen=_EVENTS_KEPT)
        self._assembler: MinuteAssembler | None = None
        self._client = ExchangeClient(
            name, self._clock, self._note, rest_url=rest_url, ws_url=ws_url, rest_interval_ms=rest_interval_ms
        )
        self._time = ExchangeTime(self._client, self._clock)
        self._now = self._time.now_ms
        self._grace_ms, self._settle_ms, self._confirm = grace_ms, settle_ms, confirm
        self._stale_after, self._housekeeping_s = stale_after, housekeeping_s
        self._confirms_all = True
        self._tasks: set[asyncio.Task[None]] = set()
        self._reader = CandleReader(self._client, self._clock, self._now, self._note)
        self._forget(())

    def _forget(self, symbols: tuple[str, ...]) -> None:
        self._symbols = symbols
        self._assembler = None
        self._watch = Watch(self._client, self._clock, self._now, self._note, self._spawn)
        self._listings = Listings(self._client, symbols, self._note, self._await_only)
        self._reads: dict[str, asyncio.Task[None]] = {}
        self._tried: dict[str, int] = {}  # symbol -> minute that was asked for, and will not be answered better
        self._retry_at: dict[str, int] = {}
        self._failures: Counter[str] = Counter()
        self._reader.answered_ms = 0
        self._ready: deque[ClosedMinute] = deque()
        self._broken: BaseException | None = None

    @property
    def counts(self) -> Counter[str]:
        """Return how often each kind of event came, and the candles accepted and absent."""
        return self._assembler.counts if self._assembler else Counter()

    @property
    def skew_ms(self) -> int:
        """Return how far the exchange's clock is ahead of this machine's."""
        return self._time.skew_ms

    async def minutes(self, symbols: Sequence[str], after_ms: int | None) -> AsyncIterator[ClosedMinute]:
        """Yield closed minutes for ever; without `after_ms` from the minute on that is open now.

        Raises:
            UnknownSymbol: the exchange knows none of `symbols`.
            UsageError: all candles shall be confirmed, and the exchange's limits do not allow that many requests.
        """
        try:
            await self._begin(tuple(sorted(set(symbols))), after_ms)
            allowance = 0
            while True:
                if self._broken is not None:
                    raise self._broken
                if self._now() >= self._next_end() + self._grace_ms + allowance:
                    async for minute in self._catch_up():
                        yield minute
                allowance = _OVERDUE_MS
                self._tick()
                while self._ready:
                    yield self._ready.popleft()
                until_end_s = (self._next_end() - self._now()) / 1000
                await self._clock.sleep(min(max(until_end_s, _TICK_S), 1.0))
        finally:
            await self._end(self._tasks | set(self._reads.values()))

    async def _begin(self, symbols: tuple[str, ...], after_ms: int | None) -> None:
        self._early.extend(self.events())
        self._forget(symbols)
        self._confirms_all = self._can_confirm_all()
        await self._reader.patiently(self._client.load)
        await self._reader.patiently(self._measure)
        if all(self._client.why_not(s) == NOT_LISTED for s in symbols):
            raise UnknownSymbol(symbols[0], self._client.listed())
        last = self._now() // MINUTE_MS * MINUTE_MS - MINUTE_MS if after_ms is None else after_ms
        self._assembler = MinuteAssembler(symbols, self._grace_ms, after_ms=last, stale_after=self._stale_after)
        for event in self._early:
            self._assembler.note(event.kind, event.symbol, event.detail, event.at_ms)
        self._early.clear()
        self._watch.follow(self._listings.follow())
        self._spawn(self._keep_house())
        self._spawn(self._recheck())

    def events(self) -> list[FeedEvent]:
        """Return what happened since the last call, oldest first, and forget it."""
        if self._assembler is not None:
            return self._assembler.events()
        events = list(self._early)
        self._early.clear()
        return events

    async def close(self) -> None:
        """End the background work and give back all connections. May be called twice."""
        await self._end(self._tasks | set(self._reads.values()))
        await self._client.close()

    # --- live ---------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Take what has closed, ask for what is doubtful, give up what nobody has."""
        assembler, now = self._here(), self._now()
        open_ms = self._next()
        end = open_ms + MINUTE_MS
        if now < end:
            return
        for symbol in list(self._listings.halted):
            if self._client.is_trading(symbol, open_ms):
                self._listings.doubt_halt(symbol)
        is_settled = now >= end + self._settle_ms
        for symbol in assembler.lacks(open_ms):
            row = None if self._confirms_all else self._seen(symbol, open_ms, now)
            if row is not None:
                self._take(symbol, row)
            elif not (is_settled or self._client.is_followed(symbol, open_ms)):
                continue
            elif self._is_worth_asking(symbol, open_ms):
                self._ask(symbol, open_ms, now)
            elif self._is_silence_sure(now, end):
                self._ready.extend(assembler.on_absent(symbol, open_ms, min(now, end + self._grace_ms - 1)))
        if self._next() == open_ms and now >= end + self._grace_ms:
            self._give_up(open_ms)

    def _seen(self, symbol: str, open_ms: int, now: int) -> Row | None:
        """Return the candle as the websocket gave it, once nothing more can come of it."""
        end = open_ms + MINUTE_MS
        row = None
        if self._client.says_final or now >= end + self._settle_ms:
            row = self._watch.closed(symbol, open_ms)
        if row is None and not self._client.says_final and self._is_silence_sure(now, end):
            row = self._watch.last(symbol, open_ms)
        return row

    def _is_silence_sure(self, now: int, end: int) -> bool:
        """Return whether what the websocket has not said of a minute by now, it will not say, since it is still heard."""
        return now >= end + self._grace_ms / 2 and self._heard_ms() >= end

    def _is_worth_asking(self, symbol: str, open_ms: int) -> bool:
        """Return whether there is need and room for a request.

        A symbol that is silent on a whole connection most probably had no trade. In a large pool of thin coins there are
        many of those, and to ask for each would take longer than the minute.
        """
        if self._confirms_all or self._client.is_followed(symbol, open_ms) or not self._watch.is_whole(symbol, open_ms):
            return True
        return (len(self._reads) + 1) * self._client.request_s * 1000 <= self._grace_ms / 2

    def _take(self, symbol: str, row: Row) -> None:
        # The grace is ours to end (`_give_up`), so the assembler's clock stays short of it.
        now = min(self._now(), self._next_end() + self._grace_ms - 1)
        self._ready.extend(self._here().on_candle(symbol, row, now))

    def _give_up(self, open_ms: int) -> None:
        """Give the minute out without the candles that are not to be had; hold it while the exchange is not heard."""
        assembler, end = self._here(), open_ms + MINUTE_MS
        for symbol in assembler.lacks(open_ms):
            row = self._seen(symbol, open_ms, self._now())
            if row is not None:
                self._take(symbol, row)
        lacking = assembler.lacks(open_ms) if self._next() == open_ms else []
        if self._next() == open_ms and all(self._is_absent(symbol, open_ms) for symbol in lacking):
            self._ready.extend(assembler.on_time(end + self._grace_ms))

    def _is_absent(self, symbol: str, open_ms: int) -> bool:
        """Return whether a candle that has not come by the end of the grace is not there, as far as can be known."""
        if self._tried.get(symbol) == open_ms:
            return True
        if not self._watch.is_whole(symbol, open_ms) or self._client.was_seen(symbol, open_ms):
            return False
        if self._client.is_struggling:  # only the websocket is left: it must have brought candles since
            return self._watch.candle_ms >= open_ms + MINUTE_MS
        return not self._confirms_all and self._heard_ms() >= open_ms + MINUTE_MS

    def _heard_ms(self) -> int:
        """Return when the last message of any kind came through a websocket."""
        at = self._client.message_ms
        return 0 if at is None else self._now() - (self._clock.steady_ms() - at)

    def _ask(self, symbol: str, open_ms: int, now: int) -> None:
        if symbol in self._reads or now < self._retry_at.get(symbol, 0):
            return
        task = asyncio.create_task(self._read(symbol, open_ms))
        self._reads[symbol] = task
        task.add_done_callback(lambda _: self._reads.pop(symbol, None))
        task.add_done_callback(self._ended)

    async def _read(self, symbol: str, open_ms: int) -> None:
        try:
            answer = await self._reader.newest(symbol, open_ms)
        except Unreachable as error:
            if isinstance(error, Unreadable):
                self._failures[symbol] += 1
                # Its candle is given up when other symbols' can be read: it is not the exchange that is broken.
                if self._reader.answered_ms >= open_ms + MINUTE_MS:
                    self._tried[symbol] = open_ms
            wait_s = min(_RETRY_S * 2 ** min(self._failures[symbol], 10), _LONGEST_RETRY_S)
            self._retry_at[symbol] = self._now() + int(wait_s * 1000)
            return
        except NotListed:
            self._listings.halt(symbol, NOT_LISTED)
            return
        self._failures[symbol] = 0
        self._tried[symbol] = open_ms
        self._retry_at[symbol] = self._now() + int(_RETRY_S * 1000)
        newest = max((int(row[0]) for row in answer.rows), default=0)
        for row in answer.rows:
            at = int(row[0])
            is_settled = at + MINUTE_MS + self._settle_ms <= answer.asked_ms
            if at < newest or is_settled or (answer.is_over and at == open_ms):
                self._compare_or_take(symbol, row, at, open_ms)
        if newest > open_ms == self._next() and open_ms not in {int(row[0]) for row in answer.rows}:
            now = min(self._now(), open_ms + MINUTE_MS + self._grace_ms - 1)
            self._ready.extend(self._here().on_absent(symbol, open_ms, now))

    def _compare_or_take(self, symbol: str, row: Row, at: int, wanted: int) -> None:
        assembler = self._here()
        if at == wanted == self._next():
            if row[5] > 0:
                self._watch.trades_unseen(symbol, at)
            if symbol in assembler.lacks(at):
                self._take(symbol, row)
        elif assembler.remembers(at) and assembler.told(symbol, at) != row:
            if row[5] == 0 and assembler.told(symbol, at) is None:
                return  # Kraken's requests give an empty candle where its websocket gives none: no news
            assembler.on_candle(symbol, row, min(self._now(), self._next_end()))

    # --- history ------------------------------------------------------------------------------------------------------

    async def _catch_up(self) -> AsyncIterator[ClosedMinute]:
        """Fetch the minutes whose grace is over, page by page, and yield them as downtime."""
        assembler = self._here()
        await self._end(set(self._reads.values()))
        while self._ready:
            yield self._ready.popleft()
        while True:
            overdue = (self._now() - self._grace_ms) // MINUTE_MS * MINUTE_MS - MINUTE_MS
            begin = self._next()
            if begin > overdue:
                return
            until = min(overdue, begin + (PAGE - 3) * MINUTE_MS)
            found = await asyncio.gather(*(self._reader.past(s, begin, until) for s in self._symbols))
            now = self._now()
            for symbol, rows in zip(self._symbols, found, strict=True):
                for row in rows:
                    assembler.hold(symbol, row, now)
                if symbol in self._listings.halted and rows and rows[-1][5] > 0 and rows[-1][0] >= until - MINUTE_MS:
                    self._listings.doubt_halt(symbol)
            minutes = assembler.release(until, now)
            for kind, detail in holes(minutes):
                assembler.note(kind, None, detail, now)
            for minute in minutes:
                yield minute

    # --- in the background --------------------------------------------------------------------------------------------

    async def _keep_house(self) -> None:
        """Compare the clocks every minute, and look at the listings now and then."""
        clocks_at = listings_at = self._clock.steady_ms()
        while True:
            await self._clock.sleep(_RECHECK_S)
            now = self._clock.steady_ms()
            try:
                # Beside the requests for candles an answer would take too long to tell the time.
                if now - clocks_at >= MINUTE_MS and not self._reads:
                    clocks_at = now
                    await self._measure()
                if now - listings_at >= self._housekeeping_s * 1000:
                    listings_at = now
                    await self._client.load()
                    self._watch.follow(self._listings.follow())
            except Unreachable:
                continue

    async def _recheck(self) -> None:
        """Ask again for candles given out, one symbol after the other, to learn of those the exchange has revised."""
        turn = 0
        while True:
            await self._clock.sleep(_RECHECK_S)
            symbol = self._symbols[turn % len(self._symbols)]
            turn += 1
            if self._client.is_down or symbol in self._listings.halted:
                continue
            begin = self._next() - _RECHECK_MINUTES * MINUTE_MS
            try:
                rows = await self._client.candles(symbol, begin, _RECHECK_MINUTES)
            except (Unreachable, NotListed):
                continue
            for row in rows:
                if row[0] < self._next():
                    self._compare_or_take(symbol, row, int(row[0]), -1)

    async def _measure(self) -> None:
        event = await self._time.measure()
        if event is not None:
            self._note(event.kind, event.symbol, event.detail)

    # --- small things -------------------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Keep what ended a task that never ends: a mistake of ours, which must not pass in silence."""
        self._tasks.discard(task)
        if not task.cancelled():
            self._broken = self._broken or task.exception()

    @staticmethod
    async def _end(tasks: set[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _can_confirm_all(self) -> bool:
        needed_s = len(self._symbols) * self._client.request_s
        if self._confirm == "always" and needed_s * 1000 > self._grace_ms:
            raise UsageError(
                f"{self.name} allows a request every {self._client.request_s:.2g} s, so asking for {len(self._symbols)} "
                f"candles takes {needed_s:.0f} s, longer than the grace of {self._grace_ms / 1000:g} s; "
                "use confirm 'doubtful', a longer grace, or fewer symbols"
            )
        return self._confirm == "always" or (self._confirm == "auto" and needed_s * 1000 <= self._grace_ms / 2)

    def _await_only(self, symbols: Collection[str]) -> None:
        self._here().await_only(symbols)

    def _here(self) -> MinuteAssembler:
        assert self._assembler is not None
        return self._assembler

    def _next(self) -> int:
        open_ms = self._here().next_ms
        assert open_ms is not None
        return open_ms

    def _next_end(self) -> int:
        return self._next() + MINUTE_MS

    def _note(self, kind: EventKind, symbol: str | None, detail: str) -> None:
        if self._assembler is not None:
            self._assembler.note(kind, symbol, detail, self._now())
        else:
            self._early.append(FeedEvent(self._now(), kind, symbol, detail))
