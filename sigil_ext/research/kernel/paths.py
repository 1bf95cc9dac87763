"""One position from its entry to its exit, as Jesse would lead it: the resting stop, the trail, the flat exit.

A path depends on the entry, the stop, the trail and the flat exit alone, not on sizes or on other positions, so cells that
differ in those share it. Walked are whole bars; minutes are looked at only in a bar whose low reaches the stop. Start at
`walk`.
"""

from __future__ import annotations

import math

from sigil_ext.research.kernel.compiling import inlined, kernel
from sigil_ext.research.kernel.shapes import Row
from sigil_ext.research.kernel.views import asked, bars, dips_of, first, last_bars, minutes_of, slots
from sigil_ext.rules.indicators import CLOSE, HIGH, LOW, OPEN
from sigil_ext.rules.stops import is_flat, is_trail, leaves_at_close, trail_stop

MINUTE_MS = 60_000

# How a path ends, in the order of one minute: a stop fills within it, a strategy leaves at its close, the run is over.
FILLED, AT_CLOSE, AT_END, STILL_OPEN = 0, 1, 2, 3
HARD_STOP, ATR_TRAIL, FLAT, SESSION_END = 0, 1, 2, 6  # of EXIT_REASONS
LATE_BARS = 16  # that a strategy looks back on where a market paused across ends of bars
FAR = 1 << 60
NEAR = 0.99  # of a close: no stop under that is so near that `leaves_at_close` would say yes


@inlined
def key_of(minute: int, kind: int, symbol: int, symbols: int) -> int:
    """Return what sorts the acts of a run: fills of a minute (kind 0), then acts at its close (1), then the end (2)."""
    return (minute * 3 + kind) * symbols + symbol


@inlined
def slot_by(w: Row, minute: int) -> int:
    """Return the last slot at or before `minute`, -1 before the first."""
    low, high = 0, w.slot_count
    while low < high:
        middle = (low + high) // 2
        if slots(w)[middle] <= minute:
            low = middle + 1
        else:
            high = middle
    return low - 1


@kernel
def walk(w: Row, position: Row, cell: Row, until_bar: int, path: Row) -> None:
    """Lead a position from its last change to its exit, written into `path`, or to the end of `until_bar`."""
    symbol = position.symbol
    last_bar = last_bars(w)[symbol]
    minutes, dips = minutes_of(w, symbol), dips_of(w, symbol)
    stop, high_water, low_water = position.stop, position.high_water, position.low_water
    entry, hard_stop, atr = position.entry, position.hard_stop, position.atr
    # What begins then or later is old enough by its end to be left as flat.
    aged_ms = (position.opened - w.length + math.ceil(cell.flat_after)) * MINUTE_MS
    may_be_flat = True
    unseen = position.bar + 1
    path.kind = STILL_OPEN
    j = unseen
    while j <= last_bar and j <= until_bar:
        low, high = bars(w)[j, LOW], bars(w)[j, HIGH]
        if low <= stop:
            last = first(w)[j + 1] if j < last_bar else minutes.shape[0]
            for i in range(first(w)[j], last):
                if dips[i] <= stop:
                    path.kind, path.minute = FILLED, int(minutes[i, 0]) // MINUTE_MS + 1
                    path.price = minutes[i, OPEN] if minutes[i, OPEN] <= stop else stop
                    path.reason = ATR_TRAIL if is_trail(stop, hard_stop) else HARD_STOP
                    break
            if path.kind == FILLED:
                break
        if asked(w)[j]:
            high_water, low_water = max(high_water, high), min(low_water, low)
            for b in range(max(unseen, j + 1 - LATE_BARS), j):
                high_water, low_water = max(high_water, bars(w)[b, HIGH]), min(low_water, bars(w)[b, LOW])
            unseen = j + 1
            stop = trail_stop(entry, stop, high_water, atr, cell.activation_atr, cell.trail_multiplier)
            close = bars(w)[j, CLOSE]
            if stop > NEAR * close and leaves_at_close(stop, close):
                path.kind, path.reason = AT_CLOSE, ATR_TRAIL if is_trail(stop, hard_stop) else HARD_STOP
                break
            if may_be_flat and bars(w)[j, 0] >= aged_ms:
                age = float(int(bars(w)[j, 0]) // MINUTE_MS + w.length - position.opened)
                if is_flat(age, cell.flat_after, entry, high_water, low_water, cell.flat_max_move_pct):
                    path.kind, path.reason = AT_CLOSE, FLAT
                    break
                may_be_flat = False  # it moved, and has moved from then on
        j += 1
    path.stop, path.high_water, path.low_water = stop, high_water, low_water
    if path.kind == AT_CLOSE:
        path.minute, path.price = int(bars(w)[j, 0]) // MINUTE_MS + w.length, bars(w)[j, CLOSE]
    elif path.kind == STILL_OPEN and until_bar >= last_bar:
        path.kind, path.reason = AT_END, SESSION_END
        path.minute, path.price = w.end, bars(w)[last_bar, CLOSE]
    path.key = key_of(path.minute, path.kind, symbol, w.symbols)
    path.slot = slot_by(w, path.minute - 1 if path.kind == FILLED else path.minute)
