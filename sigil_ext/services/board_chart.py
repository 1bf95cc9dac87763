"""A candle chart of one symbol from the recorded minutes, with the positions on it and the way each stop went.

The stop's way is not stored: it follows from the entry, the ATR kept with it, and the bars since, by the same rule that
moved it. Start at `candle_chart`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.db import board, reading
from sigil_ext.db.connection import Database
from sigil_ext.db.reading import PositionRow
from sigil_ext.errors import SettingsError, UsageError
from sigil_ext.rules.stops import stop_price, trail_stop
from sigil_ext.settings.models import VariantSettings
from sigil_ext.settings.overlays import merge

BAR_MINUTES: Mapping[str, int] = {"1m": 1, "5m": 5, "15m": 15, "1h": 60, "4h": 240}
BARS_SHOWN = 400
MOST_MINUTES = 10 * 24 * 60
MINUTE_MS = 60_000
# Interpreted: a few hundred calls are nothing, and the first compiled one would cost a second of somebody's page. The
# floats are the same, which is a law of `rules.compiled`.
_trail_stop = getattr(trail_stop, "py_func", trail_stop)
_stop_price = getattr(stop_price, "py_func", stop_price)


@dataclass(frozen=True, slots=True)
class StopPath:
    """The stop of one position over time, as (time, price); the first is the hard stop at the entry."""

    position: PositionRow
    points: tuple[tuple[datetime, float], ...]


@dataclass(frozen=True, slots=True)
class CandleChart:
    """Bars of (open time in s, open, high, low, close, volume), oldest first, and the positions that they overlap."""

    symbol: str
    bar: str
    bars: tuple[tuple[int, float, float, float, float, float], ...]
    stops: tuple[StopPath, ...]


def candle_chart(database: Database, symbol: str, bar: str = "15m", until: datetime | None = None) -> CandleChart:
    """Return the last bars of `symbol` that were recorded, up to `until` if given.

    Raises:
        UsageError: no such bar.
    """
    if bar not in BAR_MINUTES:
        raise UsageError(f"no bar '{bar}'; known: {', '.join(BAR_MINUTES)}")
    empty = CandleChart(symbol, bar, (), ())
    session = board.last_session(database)
    if session is None:
        return empty
    end = until or _record_ends(database, session.id) or session.begins
    since = end - timedelta(minutes=min(BARS_SHOWN * BAR_MINUTES[bar], MOST_MINUTES))
    minutes = board.minutes(database, symbol, since, end)
    if not len(minutes):
        return empty
    positions = [
        row
        for row in reading.positions(database)
        if row.symbol == symbol
        and row.status != "superseded"
        and row.opened_at <= end
        and (row.closed_at is None or row.closed_at >= since)
    ]
    if (first := min((row.opened_at for row in positions), default=since)) < since:
        held = board.minutes(database, symbol, first, end)  # a stop's way begins with its entry
    else:
        held = minutes
    stops = tuple(_stop_path(database, row, held, end) for row in positions)
    return CandleChart(symbol, bar, tuple(_bars(minutes, BAR_MINUTES[bar])), stops)


def _record_ends(database: Database, session: int) -> datetime | None:
    hours = board.minutes_by_hour(database, session, 0)
    return hours[-1].begins + timedelta(hours=1) if hours else None


def _bars(minutes: NDArray[np.float64], length: int) -> list[tuple[int, float, float, float, float, float]]:
    """Return bars of `length` minutes; the minutes' columns are Jesse's: time, open, close, high, low, volume."""
    number = (minutes[:, 0] // (length * MINUTE_MS)).astype(np.int64)
    first = np.flatnonzero(np.diff(number, prepend=number[0] - 1))
    last = np.append(first[1:], len(minutes)) - 1
    high, low = np.maximum.reduceat(minutes[:, 3], first), np.minimum.reduceat(minutes[:, 4], first)
    volume = np.add.reduceat(minutes[:, 5], first)
    seconds = number[first] * length * 60
    table = zip(seconds, minutes[first, 1], high, low, minutes[last, 2], volume, strict=True)
    return [(int(t), float(o), float(h), float(lo), float(c), float(v)) for t, o, h, lo, c, v in table]


def _stop_path(database: Database, row: PositionRow, minutes: NDArray[np.float64], end: datetime) -> StopPath:
    """Return the way of a position's stop: known at the entry by its distance, moved at the close of each signal bar."""
    if row.stop_pct is None:
        flat = row.stop_price
        return StopPath(row, () if flat is None else ((row.opened_at, flat), (row.closed_at or end, flat)))
    stop = _stop_price(row.entry_price, row.stop_pct)
    points = [(row.opened_at, stop)]
    until = min(row.closed_at or end, end)
    settings = _settings(board.settings_at(database, row.opened_at), database.variant)
    if settings is not None and row.atr_at_entry is not None:
        opened_ms, until_ms = row.opened_at.timestamp() * 1000, until.timestamp() * 1000
        minutes = minutes[(minutes[:, 0] >= opened_ms) & (minutes[:, 0] < until_ms)]
        high = row.entry_price
        length = settings.signal_minutes
        for seconds, _, bar_high, _, _, _ in _bars(minutes, length) if len(minutes) else ():
            closes = datetime.fromtimestamp(seconds + length * 60, UTC)
            if closes > until:
                break  # a bar is looked at once it has closed
            high = max(high, bar_high)
            trail = settings.trail
            moved = _trail_stop(row.entry_price, stop, high, row.atr_at_entry, trail.activation_atr, trail.multiplier)
            if moved > stop:
                points += [(closes, stop), (closes, moved)]
                stop = moved
    points.append((until, stop))
    return StopPath(row, tuple(points))


def _settings(recorded: Mapping[str, Any] | None, variant: str) -> VariantSettings | None:
    """Return the settings of a session; None of a strategy of the user's own, and of another version of Sigil."""
    if recorded is None:
        return None
    try:
        return merge(variant, [("its session", dict(recorded))]).settings
    except SettingsError:
        return None
