"""Following a feed while things are done to its exchange, and checking what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing

from sigil_ext.paper.exchange_feed import ExchangeFeed
from sigil_ext.paper.feed import MINUTE_MS, ClosedMinute, FeedEvent
from tests.integration.feeds.bench import Bench, truth

Act = Callable[[ClosedMinute], Awaitable[None]]


def check(market: Bench, minutes: Sequence[ClosedMinute]) -> None:
    """Every minute once, in order, and as it was recorded."""
    recorded = truth(market.candles)
    assert [m.open_ms for m in minutes] == [minutes[0].open_ms + i * MINUTE_MS for i in range(len(minutes))]
    assert [dict(m.candles) for m in minutes] == [recorded.get(m.open_ms, {}) for m in minutes]


async def watch(market: Bench, feed: ExchangeFeed, count: int, act: Act) -> list[ClosedMinute]:
    """Take `count` minutes, two of the past first, and call `act` after each."""
    minutes: list[ClosedMinute] = []
    async with aclosing(feed.minutes(market.symbols, market.first_ms + 57 * MINUTE_MS)) as stream:
        async for minute in stream:
            minutes.append(minute)
            if len(minutes) == count:
                break
            await act(minute)
    return minutes


def once(number: int, what: Callable[[], Awaitable[None] | None]) -> Act:
    """Do `what` after the minute with this number."""
    seen = 0

    async def act(_: ClosedMinute) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            done = what()
            if done is not None:
                await done

    return act


def kinds(events: Sequence[FeedEvent]) -> Counter[str]:
    return Counter(e.kind for e in events)
