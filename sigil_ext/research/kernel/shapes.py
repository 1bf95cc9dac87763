"""The arrays that compiled code is given, by name: what the market is, what a scan said, what fired, what a cell is.

Everything is counted: symbols by name from 0, bars and minutes of all symbols one after the other, times in whole minutes
since 1970, instants of protections in microseconds. `slot` is the number of an instant at which some strategy is asked.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Row: TypeAlias = Any  # a record of this file; its fields are attributes in compiled code
Rows: TypeAlias = Any
REFUSALS = 12  # reasons to refuse a signal


class Tape(NamedTuple):
    """The market at one signal timeframe."""

    bars: Floats  # (n, 6) Jesse's column order, symbol after symbol
    asked: Bools  # (n,) whether the strategy is asked at the bar's end
    first: Ints  # (n,) number of the bar's first minute among its symbol's
    last_bar: Ints  # (symbols,) number of a symbol's last bar
    minutes: Ints  # (symbols,) address of a symbol's candles, rows of six floats in Jesse's column order
    counts: Ints  # (symbols,) how many there are
    dips: Ints  # (symbols,) address of the lowest price of each that a stop can meet
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
    # Where bans are possible, else empty: who passed, from the least figure to the greatest, for each of the three.
    order: NDArray[np.int16]  # (scans, 3, most that passed)
    opens: Bools  # whether the figure is another than the one before


class Signals(NamedTuple):
    """What one entry rule fired at, in order of time and symbol."""

    slot: NDArray[np.int32]
    symbol: NDArray[np.int16]
    bar: Ints
    gap: Floats  # minutes
    atr: Floats


# One position from its entry to its exit.
PATH = np.dtype(
    [
        ("key", np.int64),
        ("price", np.float64),
        ("stop", np.float64),
        ("high_water", np.float64),
        ("low_water", np.float64),
        ("stop_pct", np.float64),  # at the entry
        ("hard_stop", np.float64),  # at the entry
        ("minute", np.int64),
        ("slot", np.int64),  # the last one before the exit
        ("kind", np.int8),
        ("reason", np.int8),
    ],
    align=True,
)

# What one thread works with: the addresses of its arrays (read by views.py) and what they have in common. One record, because
# a tuple of arrays is handed from function to function number by number, some hundred of them.
WORLD = np.dtype(
    [(name, np.int64) for name in (
        "bars", "asked", "first", "last_bars", "minutes", "counts", "dips", "slots", "next_days", "closes",  # of Tape
        "scan_minutes", "scan_of", "passed", "accepted", "order", "opens",  # of Scans
        "signal_slots", "signal_symbols", "signal_bars", "signal_gaps", "signal_atrs",  # of Signals
        "path_numbers",  # (signals,) of the path that begins at a signal, 0 where it is not known
        "paths",  # rows of PATH, the exits that are known; row 0 is nobody's
        "cells", "bans",  # rows of CELL; length of the ban that violation number n brings, the last one for further ones
        "accounts", "positions", "standings",  # of the cell that is run: one row, one a place, one a symbol
        "places",  # numbers of positions: first the open ones, in the order of entries, then those that are free
        "kept", "scores", "shares",  # (symbols,) of a scan of its own: who passed unbanned, their scores, room to count in
        "refused",  # (cells, reasons) signals
        "taken",  # (signals,) that were entered; ~ those that were refused only once they were sized
        "symbols", "bar_count", "slot_count", "scan_count", "signal_count", "place_count", "cell_count", "ban_count",
        "most_passed", "path_count", "length", "end", "one_clock", "universe_size",
        "now",  # the cell that is run
    )]
    + [("weights", np.float64, (3,))],
    align=True,
)  # fmt: skip

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
        ("path", np.int64),
        ("symbol", np.int64),
        ("opened", np.int64),
        ("entry", np.float64),  # average price, as Jesse has it
        ("qty", np.float64),
        ("held_qty", np.float64),  # what the exchange left of it
        ("pending", np.float64),  # asked for and not bought
        ("marked_qty", np.float64),  # what equity counts
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
        ("place", np.int64),  # of its open position, -1 for none
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
        ("taken", np.int64),
        ("scan", np.int64),
        ("latest_ban", np.int64),
        ("kept", np.int64),  # how many the cell's own scan keeps
        ("tripped", np.bool_),
        ("own_scan", np.bool_),  # a ban changed what the scan said
        ("ranked", np.bool_),  # and who is kept has been scored
        ("judged", np.bool_),  # `may_trip` is known of the positions as they are
        ("may_trip", np.bool_),
    ],
    align=True,
)

# What became of one cell.
OUTCOME = np.dtype(
    [
        ("end", np.int64),  # number of the trade after its last one
        ("cash", np.float64),
        ("status", np.int64),
    ],
    align=True,
)
