"""Candle checks: is a series what it says it is? One pass over an array, the first bad row named.

Pure numpy: no files, no database, no Jesse. Start at `check_candles`. What the exchange really did (absent bars, bars
without a trade, wild moves) is reported; what cannot be true (impossible bars, two bars at one time) is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from sigil_ext.errors import CandleError

TIMESTAMP, OPEN, CLOSE, HIGH, LOW, VOLUME = range(6)  # Jesse's order: close before high
COLUMNS = ("timestamp", "open", "close", "high", "low", "volume")
MINUTE_MS = 60_000

_EARLIEST_S = 946_684_800  # 2000-01-01, before any exchange of coins
_LATEST_S = 4_102_444_800  # 2100-01-01
_UNITS = (  # ticks a second, name, way to milliseconds
    (1, "seconds", "multiply by 1000"),
    (1_000_000, "microseconds", "divide by 1000"),
    (1_000_000_000, "nanoseconds", "divide by 1000000"),
)

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Gap:
    """Bars that are absent between two that are there, all named by their open times."""

    after: datetime
    before: datetime
    missing: int


@dataclass(frozen=True, slots=True)
class CandleReport:
    """What a good series holds. `finish` is the instant the last bar closes, so [start, finish) is the period.

    `largest_move_pct` is the largest change from one row's close to the next row's, signed, in percent.
    """

    rows: int
    start: datetime
    finish: datetime
    interval_minutes: int
    gaps: tuple[Gap, ...]
    missing: int
    zero_volume: int
    largest_move_pct: float

    @property
    def missing_pct(self) -> float:
        """Return absent bars in percent of those that the period has room for."""
        return 100 * self.missing / (self.rows + self.missing)

    @property
    def zero_volume_pct(self) -> float:
        return 100 * self.zero_volume / self.rows


def check_candles(
    candles: Array, interval_minutes: int, where: str, *, first_row: int = 1, row_word: str = "row"
) -> CandleReport:
    """Return what `candles` hold, or refuse them with the first bad row named.

    Args:
        candles: shape (n, 6) in Jesse's column order; timestamps are the bars' open times in ms since 1970 UTC.
        interval_minutes: length of a bar; every open time must be a whole multiple of it.
        where: the file or table that the error names.
        first_row: number of the first row in that file (2 in a CSV file, whose header is line 1).
    Raises:
        CandleError: there is no row; a value is not a finite number; a time is in other units, off the grid of the
            interval, twice there or out of order; a price is not above zero; high and low do not enclose open and close;
            the volume is negative.
    """
    if candles.ndim != 2 or candles.shape[1] != len(COLUMNS):
        raise ValueError(f"candles must have shape (n, {len(COLUMNS)}), had {candles.shape}")
    if len(candles) == 0:
        raise CandleError(f"{where} holds no candles")
    for find in _DEFECTS_BY_ROW:
        bad = find(candles, interval_minutes)
        if bad.any():
            _refuse(candles, interval_minutes, where, first_row, row_word)
    return _report(candles, interval_minutes)


def at_ms(timestamp_ms: float) -> datetime:
    """Return the instant `timestamp_ms` milliseconds after 1970, as an aware UTC datetime."""
    return datetime.fromtimestamp(timestamp_ms / 1000, tz=UTC)


def describe_time(timestamp_ms: float) -> str:
    """Return `2025-06-16 21:00 UTC`, with seconds only where there are any, and the bare number where it is no time."""
    if not _EARLIEST_S * 1000 <= timestamp_ms < _LATEST_S * 1000:
        return f"{timestamp_ms:.0f}" if np.isfinite(timestamp_ms) else str(timestamp_ms)
    instant = at_ms(timestamp_ms)
    return instant.strftime("%Y-%m-%d %H:%M UTC" if timestamp_ms % MINUTE_MS == 0 else "%Y-%m-%d %H:%M:%S.%f UTC")


# --- what makes a row bad: each returns one bool a row ------------------------------------------------------------------
Mask = npt.NDArray[np.bool_]


def _not_a_number(c: Array, interval_minutes: int) -> Mask:
    return np.asarray(~np.isfinite(c).all(axis=1))


def _wrong_units(c: Array, interval_minutes: int) -> Mask:
    return np.asarray((c[:, TIMESTAMP] < _EARLIEST_S * 1000) | (c[:, TIMESTAMP] >= _LATEST_S * 1000))


def _off_grid(c: Array, interval_minutes: int) -> Mask:
    return np.asarray(c[:, TIMESTAMP] % (interval_minutes * MINUTE_MS) != 0)


def _not_after_previous(c: Array, interval_minutes: int) -> Mask:
    bad = np.zeros(len(c), dtype=np.bool_)
    np.less_equal(c[1:, TIMESTAMP], c[:-1, TIMESTAMP], out=bad[1:])
    return bad


def _price_not_above_zero(c: Array, interval_minutes: int) -> Mask:
    return np.asarray((c[:, OPEN : LOW + 1] <= 0).any(axis=1))


def _high_too_low(c: Array, interval_minutes: int) -> Mask:
    return np.asarray(c[:, HIGH] < c[:, OPEN : LOW + 1].max(axis=1))


def _low_too_high(c: Array, interval_minutes: int) -> Mask:
    return np.asarray(c[:, LOW] > c[:, OPEN : LOW + 1].min(axis=1))


def _negative_volume(c: Array, interval_minutes: int) -> Mask:
    return np.asarray(c[:, VOLUME] < 0)


# On one row the first of these is the one that is told: a time in seconds is not also "off the grid".
_DEFECTS_BY_ROW: tuple[Callable[[Array, int], Mask], ...] = (
    _not_a_number,
    _wrong_units,
    _off_grid,
    _not_after_previous,
    _price_not_above_zero,
    _high_too_low,
    _low_too_high,
    _negative_volume,
)


def _refuse(candles: Array, interval_minutes: int, where: str, first_row: int, row_word: str) -> None:
    with np.errstate(invalid="ignore"):  # comparisons with NaN; such a row is found by the first check
        masks = [find(candles, interval_minutes) for find in _DEFECTS_BY_ROW]
    first = [int(mask.argmax()) if mask.any() else len(candles) for mask in masks]
    index = min(first)
    row = candles[index]
    problem = _explain(first.index(index), candles, index, interval_minutes, f"{row_word} {{}}".format, first_row)
    values = ", ".join(f"{name} {row[i]:.12g}" for i, name in enumerate(COLUMNS) if i != TIMESTAMP)
    raise CandleError(
        f"{where}, {row_word} {index + first_row} ({describe_time(row[TIMESTAMP])}): {problem} ({values})"
    )


def _explain(
    defect: int, candles: Array, index: int, interval_minutes: int, row_name: Callable[[int], str], first_row: int
) -> str:
    row = candles[index]
    found = _DEFECTS_BY_ROW[defect]
    if found is _not_a_number:
        column = int((~np.isfinite(row)).argmax())
        return f"{COLUMNS[column]} is {row[column]}, not a number"
    if found is _wrong_units:
        return _units_hint(row[TIMESTAMP])
    if found is _off_grid:
        return f"the open time is not a whole multiple of {interval_minutes} min; is the interval in the name right?"
    if found is _not_after_previous:
        before = f"{row_name(index - 1 + first_row)} ({describe_time(candles[index - 1, TIMESTAMP])})"
        if row[TIMESTAMP] == candles[index - 1, TIMESTAMP]:
            return f"duplicate of {before}: one time, two candles"
        return f"out of order: it comes after {before}; sort the rows by timestamp"
    if found is _price_not_above_zero:
        column = OPEN + int((row[OPEN : LOW + 1] <= 0).argmax())
        return f"{COLUMNS[column]} is {row[column]:.12g}, a price must be above zero"
    if found is _high_too_low:
        return "impossible bar: high is below open, close or low"
    if found is _low_too_high:
        return "impossible bar: low is above open or close"
    return f"volume is {row[VOLUME]:.12g}, it cannot be negative"


def _units_hint(timestamp: float) -> str:
    for ticks, name, remedy in _UNITS:
        if _EARLIEST_S * ticks <= timestamp < _LATEST_S * ticks:
            return f"timestamp {timestamp:.0f} looks like {name}; {remedy}, it must be milliseconds since 1970 UTC"
    return f"timestamp {timestamp:.12g} is no time between 2000 and 2100 in milliseconds since 1970 UTC"


def _report(candles: Array, interval_minutes: int) -> CandleReport:
    times, closes = candles[:, TIMESTAMP], candles[:, CLOSE]
    interval_ms = interval_minutes * MINUTE_MS
    steps = np.diff(times)
    gaps = tuple(
        Gap(at_ms(times[i]), at_ms(times[i + 1]), int(steps[i]) // interval_ms - 1)
        for i in np.flatnonzero(steps > interval_ms)
    )
    moves = np.diff(closes) / closes[:-1] * 100
    return CandleReport(
        rows=len(candles),
        start=at_ms(times[0]),
        finish=at_ms(times[-1] + interval_ms),
        interval_minutes=interval_minutes,
        gaps=gaps,
        missing=sum(gap.missing for gap in gaps),
        zero_volume=int((candles[:, VOLUME] == 0).sum()),
        largest_move_pct=float(moves[np.abs(moves).argmax()]) if len(moves) else 0.0,
    )
