"""The arrays that compiled code is given, by name: what the market is, what a scan said, what fired, what a cell is.

Everything is counted: symbols by name from 0, bars and minutes of all symbols one after the other, times in whole minutes
since 1970, instants of protections in microseconds. `slot` is the number of an instant at which some strategy is asked.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Tape(NamedTuple):
    """The market at one signal timeframe."""

    bars: Floats  # (n, 6) Jesse's column order, symbol after symbol
    asked: Bools  # (n,) whether the strategy is asked at the bar's end
    first: Ints  # (n,) number of the bar's first minute among its symbol's
    last_bar: Ints  # (symbols,) number of a symbol's last bar
    minutes: Ints  # (symbols,) address of a symbol's candles, rows of six floats in Jesse's column order
    counts: Ints  # (symbols,) how many there are
    length: int  # minutes of a bar
    end: int  # when the run ends
    slots: NDArray[np.int32]  # (slots,) when some strategy is asked
    next_day: NDArray[np.int32]  # (slots,) the first slot of the next day
    closes: Floats  # (slots, symbols) last close by then; empty where no cell asks for equity
    one_clock: bool  # no symbol has a hole: Jesse then shows the minutes of one instant symbol after symbol


class Scans(NamedTuple):
    """What the scans of one universe said, bans and open positions left aside."""

    minutes: NDArray[np.int32]  # (scans,)
    of_slot: NDArray[np.int32]  # (slots,) the last scan by then
    passed: Bools  # (scans, symbols) by every filter but the ban's
    accepted: Bools  # (scans, symbols) passed and ranked in
    atr_pct: Floats  # (scans, symbols)
    volume: Floats
    change: Floats
    size: int
    weights: tuple[float, float, float]


class Signals(NamedTuple):
    """What one entry rule fired at, in order of time and symbol."""

    slot: NDArray[np.int32]
    symbol: NDArray[np.int16]
    bar: Ints
    gap: Floats  # minutes
    atr: Floats


# One cell, as bare numbers: the settings, durations in the unit that the rule counts in.
CELL = np.dtype(
    [
        ("multiplier", np.float64),
        ("floor_pct", np.float64),
        ("cap_pct", np.float64),
        ("activation_atr", np.float64),
        ("trail_multiplier", np.float64),
        ("flat_after", np.float64),
        ("flat_max_move_pct", np.float64),
        ("starting_balance", np.float64),
        ("risk_per_trade_usd", np.float64),
        ("max_position_usd", np.float64),
        ("position_pct", np.float64),
        ("min_notional_usd", np.float64),
        ("cost_rate", np.float64),
        ("max_gap", np.float64),
        ("daily_loss_pct", np.float64),
        ("max_drawdown_pct", np.float64),
        ("consecutive_losses", np.int64),
        ("max_open_positions", np.int64),
        ("cooldown_us", np.int64),
        ("cooldown_from_close", np.bool_),
        ("ban_window_us", np.int64),
        ("stacks", np.bool_),
    ],
    align=True,
)

# An open position, in the order of entries.
POSITION = np.dtype(
    [
        ("key", np.int64),  # of its exit
        ("signal", np.int64),
        ("symbol", np.int64),
        ("opened", np.int64),
        ("entry", np.float64),  # average price, as Jesse has it
        ("qty", np.float64),
        ("held_qty", np.float64),  # what the exchange left of it
        ("pending", np.float64),  # asked for and not bought
        ("paid", np.float64),
        ("entries", np.int64),
        ("last_qty", np.float64),  # of the last order to buy
        ("last_price", np.float64),
        ("bar", np.int64),  # what moves, as it was at the end of this bar
        ("stop", np.float64),
        ("high_water", np.float64),
        ("low_water", np.float64),
        ("atr", np.float64),
        ("stop_pct", np.float64),
        ("hard_stop", np.float64),
        ("cap_bound", np.bool_),
        ("cash_bound", np.bool_),
    ],
    align=True,
)

# What is known of one symbol in one cell. Instants in microseconds, 0 = never.
STANDING = np.dtype(
    [
        ("place", np.int64),  # among the open positions, -1 for none
        ("exit_key", np.int64),  # of its last position
        ("cooldown_until", np.int64),
        ("ban_until", np.int64),
        ("violations", np.int64),
        ("last_violation", np.int64),
    ],
    align=True,
)

# What is known of the account in one cell.
ACCOUNT = np.dtype(
    [
        ("cash", np.float64),
        ("day_start", np.float64),
        ("peak", np.float64),
        ("day", np.int64),
        ("slot", np.int64),  # the last one that equity was marked at
        ("losses", np.int64),
        ("open", np.int64),
        ("next_key", np.int64),
        ("trades", np.int64),
        ("scan", np.int64),
        ("latest_ban", np.int64),
        ("tripped", np.bool_),
        ("own_scan", np.bool_),  # a ban changed what the scan said
    ],
    align=True,
)
