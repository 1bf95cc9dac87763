"""One position from its entry to its exit, as Jesse would lead it: the resting stop, the trail, the flat exit.

A path depends on the entry, the stop, the trail and the flat exit alone, not on sizes or on other positions, so cells that
differ in those share it. Walked are whole bars; minutes are looked at only in a bar whose low reaches the stop. Start at
`walk`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research.kernel.compiling import kernel
from sigil_ext.rules.indicators import CLOSE, HIGH, LOW, OPEN
from sigil_ext.rules.stops import is_flat, is_trail, leaves_at_close, trail_stop

Floats = NDArray[np.float64]

# How a path ends, in the order of one minute: a stop fills within it, a strategy leaves at its close, the run is over.
FILLED, AT_CLOSE, AT_END, STILL_OPEN = 0, 1, 2, 3
HARD_STOP, ATR_TRAIL, FLAT, SESSION_END = 0, 1, 2, 6  # of EXIT_REASONS
LATE_BARS = 16  # that a strategy looks back on where a market paused across ends of bars

# Of a position: what moves while it is open.
STOP, HIGH_WATER, LOW_WATER = range(3)

PATH = np.dtype(
    [
        ("key", np.int64),
        ("bar", np.int64),
        ("price", np.float64),
        ("stop", np.float64),
        ("high_water", np.float64),
        ("low_water", np.float64),
        ("minute", np.int32),
        ("kind", np.int8),
        ("reason", np.int8),
    ]
)


@kernel
def walk(
    bars: Floats,
    asked: NDArray[np.bool_],
    first: NDArray[np.int64],
    minutes: Floats,
    length: int,
    end_minute: int,
    last_bar: int,
    from_bar: int,
    until_bar: int,
    opened: int,
    entry: float,
    hard_stop: float,
    atr: float,
    activation_atr: float,
    trail_multiplier: float,
    flat_after: float,
    flat_max_move_pct: float,
    state: Floats,
) -> tuple[int, int, int, float, int]:
    """Lead a position from the end of `from_bar` on; return (minute, kind, reason, price, bar) of its exit.

    Args:
        bars, asked, first: of all symbols. minutes: the symbol's candles.
        length: minutes of a bar. end_minute: end of the run. last_bar: the symbol's last one.
        from_bar: the position is as `state` says at its end. until_bar: the bar after whose end nothing is looked at.
        opened: minute of the entry. entry, hard_stop, atr: of the position; the rest as in the settings, times in minutes.
        state: stop, high water, low water; moved along.
    """
    unseen = from_bar + 1
    for j in range(from_bar + 1, last_bar + 1):
        if j > until_bar:
            return 0, STILL_OPEN, 0, 0.0, j - 1
        stop = state[STOP]
        if bars[j, LOW] <= stop:
            reason = ATR_TRAIL if is_trail(stop, hard_stop) else HARD_STOP
            for i in range(first[j], first[j + 1] if j < last_bar else minutes.shape[0]):
                if minutes[i, OPEN] <= stop:
                    return int(minutes[i, 0]) // 60_000 + 1, FILLED, reason, minutes[i, OPEN], j
                if minutes[i, LOW] <= stop:
                    return int(minutes[i, 0]) // 60_000 + 1, FILLED, reason, stop, j
        if not asked[j]:
            continue
        for b in range(max(unseen, j + 1 - LATE_BARS), j + 1):
            state[HIGH_WATER] = max(state[HIGH_WATER], bars[b, HIGH])
            state[LOW_WATER] = min(state[LOW_WATER], bars[b, LOW])
        unseen = j + 1
        stop = trail_stop(entry, stop, state[HIGH_WATER], atr, activation_atr, trail_multiplier)
        state[STOP] = stop
        close = bars[j, CLOSE]
        now = int(bars[j, 0]) // 60_000 + length
        if leaves_at_close(stop, close):
            return now, AT_CLOSE, ATR_TRAIL if is_trail(stop, hard_stop) else HARD_STOP, close, j
        age = float(now - opened)
        if age >= flat_after and is_flat(
            age, flat_after, entry, state[HIGH_WATER], state[LOW_WATER], flat_max_move_pct
        ):
            return now, AT_CLOSE, FLAT, close, j
    return end_minute, AT_END, SESSION_END, bars[last_bar, CLOSE], last_bar
