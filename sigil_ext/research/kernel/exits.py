"""Exits of a cell: positions closed one after the other, each written down, its symbol's protections brought up to date.

Start at `close_until`.
"""

from __future__ import annotations

import numpy as np

from sigil_ext.research.kernel.account import equity_at, equity_within, mark_until, trips, watches
from sigil_ext.research.kernel.compiling import inlined, kernel
from sigil_ext.research.kernel.decimals import decimal_sum
from sigil_ext.research.kernel.paths import FILLED, HARD_STOP
from sigil_ext.research.kernel.scan import MINUTE_US, look
from sigil_ext.research.kernel.shapes import Row, Rows
from sigil_ext.research.kernel.views import account_of, bans, paths, places, positions, scan_of, standings
from sigil_ext.rules.protections import violations_left
from sigil_ext.rules.sizing import risk_usd

NEVER = np.iinfo(np.int64).max


@kernel
def close_until(w: Row, key: int, cell: Row, trades: Rows) -> Rows:
    """Close every position whose exit comes before `key`, one after the other; return the trades."""
    account = account_of(w)
    while account.next_key < key:
        k = 0
        while positions(w)[places(w)[k]].key != account.next_key:
            k += 1
        position = positions(w)[places(w)[k]]
        path, symbol = paths(w)[position.path], position.symbol
        if watches(cell) and not account.tripped:
            mark_until(w, cell, path.slot)
        received = position.held_qty * path.price
        account.cash = decimal_sum(account.cash, received * (1 - cell.cost_rate))
        trades = note(trades, position, path, received, cell.cost_rate, account)
        standings(w)[symbol].exit_key = path.key
        remove(w, k)
        protect(w, cell, symbol, path)
        if cell.consecutive_losses > 0 and not account.tripped:
            if path.kind == FILLED:
                equity = equity_within(w, path.minute, symbol)
            else:
                equity = equity_at(w, path.slot)
            account.tripped = trips(equity, account, cell)
    return trades


@inlined
def remove(w: Row, k: int) -> None:
    """Free the place of the position that is number `k` in the order of entries."""
    account, place = account_of(w), places(w)[k]
    standings(w)[positions(w)[place].symbol].place = -1
    account.open -= 1
    for later in range(k, account.open):
        places(w)[later] = places(w)[later + 1]
    places(w)[account.open] = place
    account.judged = False
    account.next_key = NEVER
    for other in range(account.open):
        account.next_key = min(account.next_key, positions(w)[places(w)[other]].key)


@inlined
def note(trades: Rows, position: Row, path: Row, received: float, rate: float, account: Row) -> Rows:
    """Write a closed position down as a row of TRADE and return the rows, which may have had to grow."""
    n = account.trades
    if n == trades.shape[0]:
        grown = np.empty(2 * n, trades.dtype)
        grown[:n] = trades
        trades = grown
    row = trades[n]
    row.symbol, row.opened_at_ms, row.closed_at_ms = position.symbol, position.opened * 60_000, path.minute * 60_000
    row.entry_price = position.entry if position.entries == 1 else position.paid / position.qty
    row.exit_price, row.qty = path.price, position.qty
    row.fee = (position.paid + received) * rate
    pnl_usd = received * (1 - rate) - position.paid
    row.pnl_usd = pnl_usd
    row.notional_usd, row.atr_at_entry, row.stop_pct = position.paid, position.atr, position.stop_pct
    row.hard_stop_price, row.stop_price, row.high_water = position.hard_stop, path.stop, path.high_water
    row.risk_usd = risk_usd(position.paid, position.stop_pct)
    row.entries, row.exit_reason = position.entries, path.reason
    row.cap_bound, row.cash_bound = position.cap_bound, position.cash_bound
    account.trades = n + 1
    account.losses = account.losses + 1 if pnl_usd < 0 else 0
    return trades


@inlined
def protect(w: Row, cell: Row, symbol: int, path: Row) -> None:
    """Write what an exit does to its symbol's protections."""
    standing, account = standings(w)[symbol], account_of(w)
    at_us = path.minute * MINUTE_US
    if path.reason == HARD_STOP:
        left = 0
        if standing.violations > 0:
            left = standing.violations
            if at_us > standing.last_violation:
                left = violations_left(left, at_us - standing.last_violation, cell.ban_window_us)
        standing.violations, standing.last_violation = left + 1, at_us
        length = bans(w)[min(standing.violations, w.ban_count - 1)]
        if length > 0:
            if path.slot >= 0:  # the scan before this ban must be read without it
                look(w, scan_of(w)[path.slot])
            standing.ban_until = max(standing.ban_until, at_us + length)
            account.latest_ban = max(account.latest_ban, standing.ban_until)
    if cell.cooldown_from_close and cell.cooldown_us > 0:
        standing.cooldown_until = max(standing.cooldown_until, at_us + cell.cooldown_us)
