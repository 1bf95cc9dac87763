"""Walk the minutes after an entry under any exit rule: where would this position have ended?

The decisions are the rules' own functions; what stands here is the order in which a minute brings them, as Jesse's simulator
does: a resting stop fills at its price or at the open of a minute that opens beyond it, and at the close of each signal bar
the trail is raised and the exits at the close are asked. Nothing else of a session takes part: no cash, no other position.
Start at `walk`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research.diagnosis.candles import SymbolCandles
from sigil_ext.research.diagnosis.compiling import compiled_with_rules
from sigil_ext.research.diagnosis.entries import Buy, ExitRule
from sigil_ext.rules.indicators import CLOSE, HIGH, LOW, OPEN
from sigil_ext.rules.stops import hard_stop_pct, is_flat, is_trail, leaves_at_close, stop_price, trail_stop

Floats = NDArray[np.float64]

HARD_STOP, ATR_TRAIL, FLAT, SESSION_END = 0, 1, 2, 3
REASONS = ("hard_stop", "atr_trail", "flat_no_move", "session_end")


@compiled_with_rules
def _walk_one(
    minutes: Floats, first: int, times: NDArray[np.int64], prices: Floats, qtys: Floats, atr: float, rule: Floats
) -> tuple[float, int, int, float, int]:
    """Return (exit price, end of the exit's minute, reason, stop percent, buys taken). `rule`: see `_figures`."""
    multiplier, floor_pct, cap_pct, activation, trail = rule[0], rule[1], rule[2], rule[3], rule[4]
    after, max_move, bar_ms, kept = rule[5], rule[6], int(rule[7]), 1.0 - rule[8]
    opened, entry, qty = times[0], prices[0], qtys[0] * kept
    stop_pct = hard_stop_pct(atr, entry, multiplier, floor_pct, cap_pct)
    hard = stop_price(entry, stop_pct)
    stop, high, low, taken = hard, entry, entry, 1
    bar_high, bar_low, bar = entry, entry, opened // bar_ms
    for i in range(first, minutes.shape[0]):
        end = int(minutes[i, 0]) + 60_000
        # A bar whose last minute is absent ends with the symbol's next minute, and is looked at after that one.
        late = (end - 60_000) // bar_ms > bar
        if late:
            high, low = max(high, bar_high), min(low, bar_low)
            bar_high, bar_low, bar = entry, entry, (end - 60_000) // bar_ms
        if minutes[i, OPEN] <= stop:
            return minutes[i, OPEN], end, ATR_TRAIL if is_trail(stop, hard) else HARD_STOP, stop_pct, taken
        if minutes[i, LOW] <= stop:
            return stop, end, ATR_TRAIL if is_trail(stop, hard) else HARD_STOP, stop_pct, taken
        bar_high, bar_low = max(bar_high, minutes[i, HIGH]), min(bar_low, minutes[i, LOW])
        whole = end % bar_ms == 0
        if not (whole or late):
            continue
        if whole:
            high, low = max(high, bar_high), min(low, bar_low)
            bar_high, bar_low, bar = entry, entry, end // bar_ms
        close = minutes[i, CLOSE]
        stop = trail_stop(entry, stop, high, atr, activation, trail)
        if leaves_at_close(stop, close):
            return close, end, ATR_TRAIL if is_trail(stop, hard) else HARD_STOP, stop_pct, taken
        if is_flat((end - opened) / 60_000.0, after, entry, high, low, max_move):
            return close, end, FLAT, stop_pct, taken
        while taken < times.shape[0] and times[taken] <= end:
            # Jesse's average: the coins held, less the fee taken from them, with the whole of the new order.
            entry = (entry * qty + prices[taken] * qtys[taken]) / (qty + qtys[taken])
            qty += qtys[taken] * kept
            hard = max(hard, stop_price(entry, stop_pct))
            stop = max(stop, hard)
            taken += 1
    last = minutes.shape[0] - 1
    return minutes[last, CLOSE], int(minutes[last, 0]) + 60_000, SESSION_END, stop_pct, taken


@compiled_with_rules
def _walk_many(
    minutes: Floats, firsts: NDArray[np.int64], times: NDArray[np.int64], prices: Floats, atrs: Floats, rule: Floats
) -> tuple[Floats, NDArray[np.int64]]:
    exits, reasons = np.empty(firsts.shape[0]), np.empty(firsts.shape[0], dtype=np.int64)
    one = np.ones(1)
    for k in range(firsts.shape[0]):
        found = _walk_one(minutes, firsts[k], times[k : k + 1], prices[k : k + 1], one, atrs[k], rule)
        exits[k], reasons[k] = found[0], found[2]
    return exits, reasons


@dataclass(frozen=True, slots=True)
class Walked:
    """Where a walk ended. `buys` of the position had been made by then; a wider stop may take in more than a near one."""

    exit_price: float
    closed_at_ms: int
    reason: str
    stop_pct: float
    buys: int


def walk(candles: SymbolCandles, buys: tuple[Buy, ...], atr: float, rule: ExitRule) -> Walked:
    """Return how a position made of `buys` ends under `rule`; at the last close if the candles end first.

    Args:
        atr: ATR at the first buy in price units; NaN: the fixed stop at `rule.floor_pct`, and no trail.
    """
    times = np.array([b.at_ms for b in buys], dtype=np.int64)
    prices, qtys = np.array([b.price for b in buys]), np.array([b.qty for b in buys])
    first = int(np.searchsorted(candles.minutes[:, 0], times[0], side="left"))
    price, end, reason, stop_pct, taken = _walk_one(candles.minutes, first, times, prices, qtys, atr, _figures(rule))
    return Walked(float(price), int(end), REASONS[reason], float(stop_pct), int(taken))


def walk_many(candles: SymbolCandles, indices: NDArray[np.int64], rule: ExitRule) -> tuple[Floats, NDArray[np.int64]]:
    """Return (exit over entry - 1, reason number) of entries at the closes of the minutes `indices`."""
    prices = candles.minutes[indices, CLOSE]
    times = candles.ends_ms[indices]
    places = np.searchsorted(candles.atr_ends_ms, times, side="right") - 1
    atrs = np.where(places >= 0, candles.atrs[places], np.nan) if len(candles.atrs) else np.full(len(times), np.nan)
    exits, reasons = _walk_many(candles.minutes, indices + 1, times, prices, atrs, _figures(rule))
    return exits / prices - 1.0, reasons


def _figures(rule: ExitRule) -> Floats:
    return np.array(
        [
            rule.multiplier, rule.floor_pct, rule.cap_pct, rule.activation_atr, rule.trail_multiplier,
            rule.flat_after_minutes, rule.flat_max_move_pct, rule.signal_minutes * 60_000.0, rule.cost_rate,
        ]
    )  # fmt: skip
