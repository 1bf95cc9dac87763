"""What the market did, from the minutes that a variant's sessions recorded: last prices, bars, and the pool bought and held.

Reads only, and never a whole month of every symbol: of a minute only the wanted candle travels. Start at `bars`.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.bridge.bars import build_bars
from sigil_ext.db.connection import Database
from sigil_ext.db.panel import rows
from sigil_ext.db.recorded_minutes import RecordedMinutes
from sigil_ext.db.symbols import store_symbol
from sigil_ext.errors import UsageError
from sigil_ext.instants import utc

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
TIMEFRAMES: Mapping[str, int] = {"1m": 1, "5m": 5, "15m": 15, "1h": 60, "4h": 240, "1d": 1440}
MOST_MINUTES = 45_000  # a month
NEWEST_MINUTES = 15
MOST_KEPT = 128
MOST_BARS = 5000
_ROW = 6


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of recorded minutes; `at` is when it opens. The last one may still be growing."""

    at: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True)
class BenchmarkPoint:
    """The pool bought in equal parts and held, and the variant's wallet: percent since the beginning."""

    at: datetime
    pool_pct: float
    variant_pct: float | None


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What buying the whole pool at the session's first minute and doing nothing would have brought, before costs."""

    variant: str
    session_id: int
    symbols: int
    since: datetime
    until: datetime
    pool_pct: float
    variant_pct: float | None
    points: tuple[BenchmarkPoint, ...]


def last_prices(database: Database, names: Collection[str]) -> dict[str, tuple[float, datetime]]:
    """Return row name -> (close, end of its minute) of symbols that had a candle in the last minutes recorded."""
    if not names:
        return {}
    found: dict[str, tuple[float, datetime]] = {}
    wanted = {store_symbol(name): name for name in names}
    for session, symbols, open_ms, packed in rows(database, "newest_minutes", limit=NEWEST_MINUTES):
        at = utc(open_ms + MINUTE_MS)
        recorded = RecordedMinutes(database.variant, session, len(symbols))
        for row in recorded.unpack(open_ms, packed):
            if (name := wanted.get(symbols[int(row[0])])) is not None and name not in found:
                found[name] = (float(row[2]), at)
        if len(found) == len(wanted):
            break
    return found


def bars(
    database: Database,
    symbol: str,
    timeframe: str,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 500,
) -> list[Bar]:
    """Return the newest `limit` bars of `symbol` that open in [since, until), oldest first; no bar where nothing was seen.

    Raises:
        UsageError: no such timeframe.
    """
    if timeframe not in TIMEFRAMES:
        raise UsageError(f"timeframe '{timeframe}' is not known; known: {', '.join(TIMEFRAMES)}")
    length = TIMEFRAMES[timeframe] * MINUTE_MS
    last = rows(database, "last_minute_of_symbol", symbol=symbol)[0][0]
    if last is None:
        return []
    end = last + MINUTE_MS if until is None else min(_ms(until), last + MINUTE_MS)
    end += -end % length
    begin = max(end - limit * length, end - MOST_MINUTES * MINUTE_MS, 0)
    begin -= begin % length
    if since is not None:
        begin = max(begin, _ms(since) + -_ms(since) % length)
    if begin >= end:
        return []
    built = _built(database, symbol, length, begin, end)[-limit:]
    return [Bar(utc(int(r[0])), *(float(r[i]) for i in (1, 3, 4, 2, 5))) for r in built]


@dataclass(frozen=True, slots=True)
class _Kept:
    """Closed bars that were built before: those that open in [begin, end), both on a boundary."""

    sessions: tuple[Any, ...]
    begin: int
    end: int
    bars: NDArray[np.float64]


_kept: OrderedDict[tuple[str, str, int], _Kept] = OrderedDict()
_lock = threading.Lock()


def _built(database: Database, symbol: str, length: int, begin: int, end: int) -> NDArray[np.float64]:
    """Return the bars that open in [begin, end), both on a boundary of bars of `length` ms.

    What has closed does not change, so only what came since is read again.
    """
    sessions = tuple(rows(database, "sessions_with", symbol=symbol, since=0, until=2**62))
    key = (f"{database.variant} {database.address.place}", symbol, length)
    with _lock:
        known = _kept.get(key)
    if known is None or known.sessions != sessions or not known.begin <= begin <= known.end:
        known = _Kept(sessions, begin, begin, np.zeros((0, _ROW)))
    fresh = build_bars(_minutes(database, symbol, sessions, known.end, end), length)
    built = np.concatenate((known.bars, fresh))
    # The newest bar may still grow, and a minute may yet come in late before it: two bars are read again next time.
    closed = max(known.end, end - 2 * length)
    first = max(known.begin, closed - MOST_BARS * length)
    with _lock:
        _kept[key] = _Kept(sessions, first, closed, built[(built[:, 0] >= first) & (built[:, 0] < closed)])
        _kept.move_to_end(key)
        while len(_kept) > MOST_KEPT:
            _kept.popitem(last=False)
    return built[(built[:, 0] >= begin) & (built[:, 0] < end)]


def _minutes(
    database: Database, symbol: str, sessions: Sequence[Any], since_ms: int, until_ms: int
) -> NDArray[np.float64]:
    """Return the recorded candles of a symbol, Jesse's columns; where two sessions hold a minute, the later one's."""
    kept: dict[int, NDArray[np.float64]] = {}
    span = {"since": since_ms, "until": until_ms}
    for session, number, count, place in sessions if since_ms < until_ms else ():
        recorded = RecordedMinutes(database.variant, session, count)
        values = {"id": session, "place": place, "symbols": count, "limit": MOST_MINUTES, **span}
        for open_ms, packed in rows(database, "minutes_of_symbol", **values):
            for row in recorded.unpack(open_ms, packed):
                if int(row[0]) == number:
                    kept[open_ms] = row
    return np.array([(ms, *kept[ms][1:]) for ms in sorted(kept)], dtype=np.float64).reshape(-1, _ROW)


def benchmark(database: Database, points: int = 200) -> Benchmark | None:
    """Return the newest session's pool, bought and held, against the wallet; None where nothing was recorded."""
    with database.one_transaction(savepoints=False):
        return _benchmark(database, points)


def _benchmark(database: Database, points: int) -> Benchmark | None:
    sessions = rows(database, "last_session")
    if not sessions or sessions[0][2] is None:
        return None
    number, symbols, _, cash, adopted, cost_pct = sessions[0]
    first, last = rows(database, "minutes_span", id=number)[0]
    step = max((last - first) // points, MINUTE_MS)
    recorded = RecordedMinutes(database.variant, number, len(symbols))
    bought = _closes(database, recorded, first, min(first + HOUR_MS, last), oldest=True)
    if np.isnan(bought).all():
        return None
    sampled = rows(database, "sampled_minutes", id=number, since=first, until=last, step=step)
    price, curve = bought.copy(), []
    for open_ms, packed in sampled:
        candles = recorded.unpack(open_ms, packed)
        price[candles[:, 0].astype(np.int64)] = candles[:, 2]
        if open_ms == last:
            newest = _closes(database, recorded, max(last - HOUR_MS, first), last, oldest=False)
            price = np.where(np.isnan(newest), price, newest)
        curve.append((open_ms + MINUTE_MS, float(np.nanmean(price / bought) - 1) * 100))
    began = _began_with(cash, adopted, cost_pct, dict(zip(symbols, bought.tolist(), strict=True)))
    since, until = utc(curve[0][0]), utc(curve[-1][0])
    known = rows(database, "equity", first=since, last=until, step=max(step / 1000, 60.0))
    times = [curve[0][0], *(_ms(row[0]) for row in known)]
    usd = [began, *(float(row[1]) for row in known)]
    earned = [(usd[bisect_right(times, at) - 1] / began - 1) * 100 if began else None for at, _ in curve]
    told = tuple(BenchmarkPoint(utc(at), pool, own) for (at, pool), own in zip(curve, earned, strict=True))
    return Benchmark(
        database.variant, number, len(symbols), since, until, told[-1].pool_pct, told[-1].variant_pct, told
    )


def _closes(
    database: Database, recorded: RecordedMinutes, since: int, until: int, *, oldest: bool
) -> NDArray[np.float64]:
    """Return the oldest or newest close of each symbol in minutes that open in [since, until], NaN where there is none."""
    closes = np.full(recorded.symbols, np.nan)
    minutes = rows(database, "minutes_from_to", id=recorded.session, since=since, until=until)
    for open_ms, packed in reversed(minutes) if oldest else minutes:
        candles = recorded.unpack(open_ms, packed)
        closes[candles[:, 0].astype(np.int64)] = candles[:, 2]
    return closes


def _began_with(
    cash: float | None, adopted: Sequence[Mapping[str, Any]], cost_pct: float | None, prices: Mapping[str, float]
) -> float:
    """Return the wallet at the end of a session's first minute, USD: its cash and what it found open; 0: not known."""
    held = 0.0
    for position in adopted:
        price = prices.get(position["symbol"], np.nan)
        held += position["qty"] * (position["entry_price"] if np.isnan(price) else price)
    return (cash or 0.0) + held * (1 - (cost_pct or 0.0) / 100)


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
