"""Stops and exits over bare numbers: the hard stop, the trail, the flat exit, and what a filled stop is called.

Precedence within one minute is hard stop, trail, flat: the two stops are one resting order at the higher of both levels,
which fills before a strategy looks at a closed bar, and only a position that is still open is asked whether it is flat.
Start at `hard_stop_pct`.
"""

from __future__ import annotations

import math

from sigil_ext.rules.compiled import compiled

# A stop this near under a close is executed at the close: Jesse turns it into a market order anyway.
NEAR_FRACTION = 0.00015


@compiled
def hard_stop_pct(atr: float, entry: float, multiplier: float, floor_pct: float, cap_pct: float) -> float:
    """Return the distance of the hard stop from the entry in percent: `multiplier` ATRs within [floor_pct, cap_pct].

    An ATR that is NaN, infinite or <= 0, and a multiplier of 0, give `floor_pct`: the fixed stop.

    Args:
        atr: ATR(14) at entry in price units. entry: entry price, > 0. multiplier: ATRs, >= 0.
        floor_pct, cap_pct: percent, 0 < floor_pct <= cap_pct < 100.
    """
    if multiplier <= 0.0 or not (atr > 0.0 and atr < math.inf):
        return floor_pct
    return min(max(multiplier * atr / entry * 100.0, floor_pct), cap_pct)


@compiled
def stop_price(entry: float, stop_pct: float) -> float:
    """Return the price `stop_pct` percent under `entry`."""
    return entry * (1.0 - stop_pct / 100.0)


@compiled
def trail_stop(
    entry: float, stop: float, high_water: float, atr: float, activation_atr: float, multiplier: float
) -> float:
    """Return the stop after a closed bar: raised by the trail once armed, else unchanged. Never lower than `stop`.

    Armed when the highest high since entry reached `activation_atr` ATRs above the entry; then `multiplier` ATRs under
    that high. Without a positive finite ATR there is no trail.

    Args:
        entry: entry price. stop: resting stop, the hard stop at first. high_water: highest high since entry.
        atr: ATR at entry in price units; the trail keeps it for life.
    """
    if not (atr > 0.0 and atr < math.inf) or high_water < entry + activation_atr * atr:
        return stop
    return max(stop, high_water - multiplier * atr)


@compiled
def leaves_at_close(stop: float, close: float) -> bool:
    """Return whether a stop raised to `stop` is reached already by the close it was raised on: sell at that close."""
    return stop >= close or abs(1.0 - stop / close) <= NEAR_FRACTION


@compiled
def is_trail(stop: float, hard_stop: float) -> bool:
    """Return whether a filled stop was the trail's (above the hard stop) and not the hard stop itself."""
    return stop > hard_stop


@compiled
def is_flat(
    age_minutes: float, after_minutes: float, entry: float, high_water: float, low_water: float, max_move_pct: float
) -> bool:
    """Return whether a position is old enough and never moved `max_move_pct` percent from its entry, up or down.

    Args:
        high_water, low_water: extremes since entry, both counting the entry itself. max_move_pct: percent; 0 = never flat.
    """
    if age_minutes < after_minutes:
        return False
    move_pct = max(high_water - entry, entry - low_water) / entry * 100.0
    return move_pct < max_move_pct
