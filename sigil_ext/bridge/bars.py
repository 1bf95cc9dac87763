"""Larger bars from observed minutes, by the clock: the way Jesse's timestamp replay makes them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sigil_ext.rules.indicators import CLOSE, HIGH, LOW, OPEN, VOLUME, WINDOW

MINUTE_MS = 60_000


def closed_bars(minutes: NDArray[np.float64], bar_minutes: int, now_ms: int) -> NDArray[np.float64]:
    """Return the last bars of `bar_minutes` that are closed at `now_ms`, oldest first, at most `WINDOW` of them.

    A bar is made of the minutes that were observed within its span; a span without any is no bar.

    Args:
        minutes: candles in Jesse's column order, shape (n, 6), oldest first.
    """
    length = bar_minutes * MINUTE_MS
    end = now_ms - now_ms % length
    recent = minutes[-(WINDOW + 1) * bar_minutes :]
    first, last = np.searchsorted(recent[:, 0], (end - WINDOW * length, end))
    rows = recent[first:last]
    return build_bars(rows, length)


def build_bars(rows: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Return the bars of `length` ms that the minutes `rows` make up, oldest first, shape (n, 6)."""
    if len(rows) == 0:
        return np.zeros((0, 6))
    begins = (rows[:, 0] // length) * length
    starts = np.flatnonzero(np.r_[True, np.diff(begins) > 0])
    ends = np.r_[starts[1:], len(rows)] - 1
    bars = np.empty((len(starts), 6))
    bars[:, 0] = begins[starts]
    bars[:, OPEN] = rows[starts, OPEN]
    bars[:, CLOSE] = rows[ends, CLOSE]
    bars[:, HIGH] = np.maximum.reduceat(rows[:, HIGH], starts)
    bars[:, LOW] = np.minimum.reduceat(rows[:, LOW], starts)
    bars[:, VOLUME] = np.add.reduceat(rows[:, VOLUME], starts)
    return bars
