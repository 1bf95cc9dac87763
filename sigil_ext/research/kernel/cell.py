"""Cells in time order over all symbols: guard, cash, protections, breaker and universe around positions' paths.

The order of one instant is Jesse's: stops that fill within the minute, symbol by symbol; then equity is marked and the
pool scanned; then each symbol by name is guarded, asked to leave and asked to enter. A number that sorts so stands for
each exit and each signal (`paths.key_of`). Start at `simulate`.
"""

from __future__ import annotations

import math

from sigil_ext.research.kernel.account import mark_until, watches
from sigil_ext.research.kernel.compiling import kernel
from sigil_ext.research.kernel.entries import enter, increase, path_of, size
from sigil_ext.research.kernel.exits import NEVER, close_until
from sigil_ext.research.kernel.guard import NO_CASH, TOO_SMALL, TRIPPED, refusal
from sigil_ext.research.kernel.paths import key_of
from sigil_ext.research.kernel.shapes import REFUSALS, Bools, Row, Rows
from sigil_ext.research.kernel.views import (
    account_of,
    bars,
    cell_of,
    path_numbers,
    paths,
    places,
    positions,
    refused,
    signal_bars,
    signal_slots,
    signal_symbols,
    slots,
    standings,
    taken,
)
from sigil_ext.rules.guard import short_of_cash
from sigil_ext.rules.indicators import CLOSE

DONE, TOO_MANY_DIGITS = 0, 1


@kernel
def simulate(worlds: Rows, like_before: Bools, outcomes: Rows, trades: Rows) -> Rows:
    """Run cells of equal signals, scans, bans, stops, trails and flat exits one after the other; return the trades of all.

    Args:
        worlds: one row of WORLD. like_before: whether a cell differs from the one before in money alone.
        outcomes: rows of OUTCOME, to be filled. trades: rows of TRADE, room to begin with.
    """
    w = worlds[0]
    repeatable, stacked, count, begun = False, False, 0, 0
    for c in range(w.cell_count):
        w.now = c
        cell, account, done = cell_of(w), account_of(w), False
        if repeatable and like_before[c]:
            clear(w, cell, begun)
            trades, done = repeat(w, cell, trades, count)
            if done:
                for reason in range(REFUSALS):
                    refused(w)[c, reason] = refused(w)[c - 1, reason]
        if not done:
            clear(w, cell, begun)
            if cell.stacks or stacked:  # a position that is increased takes another way out
                w.path_count = 0
                for i in range(w.signal_count):
                    path_numbers(w)[i] = 0
            stacked = cell.stacks
            trades = run(w, cell, trades)
            count = account.taken
            money = refused(w)[c, NO_CASH] + refused(w)[c, TOO_SMALL] + refused(w)[c, TRIPPED]
            repeatable = money == 0 and not cell.stacks
        begun = account.trades
        outcomes[c].end, outcomes[c].cash = begun, account.cash
        outcomes[c].status = TOO_MANY_DIGITS if math.isnan(account.cash) else DONE
    return trades


@kernel
def clear(w: Row, cell: Row, trades: int) -> None:
    """Forget the cell before, of which `trades` are written."""
    account = account_of(w)
    account.cash = account.day_start = account.peak = cell.starting_balance
    account.day = account.slot = account.scan = -1
    account.losses = account.open = account.taken = account.latest_ban = account.kept = 0
    account.tripped = account.own_scan = account.ranked = account.judged = account.may_trip = False
    account.next_key, account.trades = NEVER, trades
    for place in range(w.place_count):
        places(w)[place] = place
    for s in range(w.symbols):
        standing = standings(w)[s]
        standing.place = standing.exit_key = -1
        standing.cooldown_until = standing.ban_until = standing.violations = standing.last_violation = 0
    for reason in range(REFUSALS):
        refused(w)[w.now, reason] = 0


@kernel
def run(w: Row, cell: Row, trades: Rows) -> Rows:
    """Run one cell; return the trades."""
    account, watched = account_of(w), watches(cell)
    n = w.signal_count
    for i in range(n):
        symbol, slot = signal_symbols(w)[i], signal_slots(w)[i]
        key = key_of(slots(w)[slot], 1, symbol, w.symbols)
        if account.next_key < key:
            trades = close_until(w, key, cell, trades)
        if account.tripped:
            refused(w)[w.now, TRIPPED] += n - i
            break
        if watched and slot > account.slot:
            mark_until(w, cell, slot)
        reason = refusal(w, i, cell)
        if reason < 0:
            place = standings(w)[symbol].place
            if place >= 0 and positions(w)[place].key != key:
                reason = increase(w, i, cell)
            else:
                if place >= 0:  # left at this very close, and the guard was asked before
                    trades = close_until(w, key + 1, cell, trades)
                reason = enter(w, i, cell)
            if math.isnan(account.cash):
                break
        if reason >= 0:
            refused(w)[w.now, reason] += 1
    return close_until(w, NEVER, cell, trades)


@kernel
def repeat(w: Row, cell: Row, trades: Rows, count: int) -> tuple[Rows, bool]:
    """Run one cell that differs from the last one in money alone: what that one took, this one takes.

    Return the trades and whether that was right: not where this cell's money would have had a say of its own.
    """
    account, watched = account_of(w), watches(cell)
    if short_of_cash(account.cash, cell.min_notional_usd):
        return trades, False
    for t in range(count):
        entered = taken(w)[t] >= 0
        i = taken(w)[t] if entered else ~taken(w)[t]
        symbol, slot = signal_symbols(w)[i], signal_slots(w)[i]
        key = key_of(slots(w)[slot], 1, symbol, w.symbols)
        trades = close_until(w, key, cell, trades)
        if watched:
            mark_until(w, cell, slot)
        if standings(w)[symbol].place >= 0:
            trades = close_until(w, key + 1, cell, trades)
        if account.tripped:
            return trades, False
        if entered:
            reason = enter(w, i, cell)
        else:
            path = paths(w)[path_of(w, i, cell)]
            price = bars(w)[signal_bars(w)[i], CLOSE]
            _, _, _, reason = size(w, cell, slot, price, path.stop_pct)
            account.taken += 1
        if reason >= 0 or not account.cash >= 0.0 or short_of_cash(account.cash, cell.min_notional_usd):
            return trades, False
    n = w.signal_count
    if n > 0:
        symbol, slot = signal_symbols(w)[n - 1], signal_slots(w)[n - 1]
        key = key_of(slots(w)[slot], 1, symbol, w.symbols)
        trades = close_until(w, key, cell, trades)
        if watched:
            mark_until(w, cell, slot)
        if account.tripped:
            return trades, False
    return close_until(w, NEVER, cell, trades), True
