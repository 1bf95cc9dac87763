"""Candles of the past, page by page, whatever an exchange makes of `since` and `limit`.

Some exchanges give the candles that follow `since`, some those of a window that begins there, some only the newest ones. Start
at `fetch_range`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence

from sigil_ext.bridge.candle_checks import describe_time
from sigil_ext.paper.feed import MINUTE_MS, ClosedMinute, EventKind, Row

PAGE = 1000  # candles asked for at once; an exchange that gives fewer is asked again
Fetch = Callable[[str, int, int], Awaitable[list[Row]]]


async def fetch_range(fetch: Fetch, symbol: str, begin_ms: int, until_ms: int, *, page: int = PAGE) -> list[Row]:
    """Return the candles whose open time lies in [begin_ms, until_ms], each once, oldest first.

    Args:
        fetch: asked for (symbol, since_ms, limit); the candles it returns are in order.
        page: the largest `limit` it is asked for, >= 2.
    """
    rows: list[Row] = []
    cursor = begin_ms
    while cursor <= until_ms:
        limit = min(page, (until_ms - cursor) // MINUTE_MS + 2)  # one more: a page that goes beyond the end is the last
        found = await fetch(symbol, cursor, limit)
        inside = [row for row in found if cursor <= row[0] <= until_ms]
        rows += inside
        if found and found[-1][0] >= until_ms:
            break
        # Nothing in a window that the exchange reckons from `since` does not mean nothing after it.
        cursor = int(inside[-1][0]) + MINUTE_MS if inside else cursor + limit * MINUTE_MS
    return rows


def holes(minutes: Sequence[ClosedMinute]) -> Iterator[tuple[EventKind, str]]:
    """Yield what is to be told of minutes that were fetched afterwards: how many came, and each stretch that has no candle."""
    empty = [m.open_ms for m in minutes if not m.candles]
    if len(empty) < len(minutes):
        span = span_of(minutes[0].open_ms, minutes[-1].open_ms)
        yield "hole_filled", f"{len(minutes) - len(empty)} min fetched afterwards, {span}"
    begin = 0
    for i in range(1, len(empty) + 1):
        if i == len(empty) or empty[i] != empty[i - 1] + MINUTE_MS:
            span = span_of(empty[begin], empty[i - 1])
            yield "hole_left", f"the exchange has no candle for {i - begin} min, {span}"
            begin = i


def span_of(first_ms: int, last_ms: int) -> str:
    """Return a stretch of minutes as people read it."""
    return f"{describe_time(first_ms)} to {describe_time(last_ms)}"
