"""Entries of a cell: how much is bought, what a new position is, what one more purchase makes of it. Start at `enter`."""

from __future__ import annotations

from sigil_ext.research.kernel.account import equity_at
from sigil_ext.research.kernel.compiling import inlined, kernel
from sigil_ext.research.kernel.decimals import decimal_sum
from sigil_ext.research.kernel.guard import NO_CASH, TOO_SMALL, TRIPPED, bar
from sigil_ext.research.kernel.paths import FAR, walk
from sigil_ext.research.kernel.scan import MINUTE_US
from sigil_ext.research.kernel.shapes import Row
from sigil_ext.research.kernel.views import (
    account_of,
    bars,
    path_numbers,
    paths,
    places,
    positions,
    signal_atrs,
    signal_bars,
    signal_slots,
    signal_symbols,
    slots,
    standings,
    taken,
)
from sigil_ext.rules.indicators import CLOSE
from sigil_ext.rules.sizing import position_size
from sigil_ext.rules.stops import hard_stop_pct, stop_price


@inlined
def size(w: Row, cell: Row, slot: int, price: float, stop_pct: float) -> tuple[float, bool, bool, int]:
    """Return (quantity, cap bound, cash bound, why it is refused or -1)."""
    equity = 0.0
    if cell.risk_per_trade_usd == 0.0:
        equity = equity_at(w, slot)
    qty, cap_bound, cash_bound = position_size(
        price, stop_pct, equity, account_of(w).cash, cell.risk_per_trade_usd, cell.max_position_usd, cell.position_pct
    )
    notional = qty * price
    reason = -1
    if not (notional > 0.0 and notional >= cell.min_notional_usd):
        reason = NO_CASH if cash_bound else TOO_SMALL
    return qty, cap_bound, cash_bound, reason


@inlined
def path_of(w: Row, i: int, cell: Row) -> int:
    """Return the number of the path that begins at signal `i`, a new one where it is not known; its stop is set."""
    number = path_numbers(w)[i]
    if number == 0:
        w.path_count += 1
        number = w.path_count
        path_numbers(w)[i] = number
        path, entry = paths(w)[number], bars(w)[signal_bars(w)[i], CLOSE]
        path.key = 0
        path.stop_pct = hard_stop_pct(signal_atrs(w)[i], entry, cell.multiplier, cell.floor_pct, cell.cap_pct)
        path.hard_stop = stop_price(entry, path.stop_pct)
    return int(number)


@kernel
def enter(w: Row, i: int, cell: Row) -> int:
    """Open a position at signal `i`; return why it was refused, -1 where it was not."""
    symbol, slot = signal_symbols(w)[i], signal_slots(w)[i]
    account, standing = account_of(w), standings(w)[symbol]
    number = path_of(w, i, cell)
    path, entry = paths(w)[number], bars(w)[signal_bars(w)[i], CLOSE]
    qty, cap_bound, cash_bound, reason = size(w, cell, slot, entry, path.stop_pct)
    if reason >= 0:
        return reason
    now_us = slots(w)[slot] * MINUTE_US
    # The store asks again: a position that was left at this very close may have brought a bar or the breaker.
    reason = TRIPPED if account.tripped else bar(w, now_us, cell, symbol)
    if reason >= 0:
        taken(w)[account.taken] = ~i
        account.taken += 1
        return reason
    paid = qty * entry
    account.cash = decimal_sum(account.cash, -paid)
    place = places(w)[account.open]
    position = positions(w)[place]
    position.path, position.symbol, position.opened, position.atr = number, symbol, slots(w)[slot], signal_atrs(w)[i]
    position.qty, position.held_qty, position.pending, position.paid = qty, qty * (1 - cell.cost_rate), 0.0, paid
    position.marked_qty = (qty + 0.0) * (1 - cell.cost_rate)
    position.entries, position.last_qty, position.last_price = 1, qty, entry
    position.entry, position.stop_pct, position.hard_stop = entry, path.stop_pct, path.hard_stop
    position.bar, position.stop = signal_bars(w)[i], path.hard_stop
    position.high_water = position.low_water = entry
    position.cap_bound, position.cash_bound = cap_bound, cash_bound
    if path.key == 0:
        walk(w, position, cell, FAR, path)
    position.key = path.key
    standing.place = place
    account.open += 1
    account.judged = False
    account.next_key = min(account.next_key, position.key)
    if not cell.cooldown_from_close and cell.cooldown_us > 0:
        standing.cooldown_until = max(standing.cooldown_until, now_us + cell.cooldown_us)
    taken(w)[account.taken] = i
    account.taken += 1
    return -1


@kernel
def increase(w: Row, i: int, cell: Row) -> int:
    """Stack signal `i` on the open position of its symbol; return why it was refused, -1 where it was not."""
    account = account_of(w)
    position = positions(w)[standings(w)[signal_symbols(w)[i]].place]
    price = bars(w)[signal_bars(w)[i], CLOSE]
    qty, _, _, reason = size(w, cell, signal_slots(w)[i], price, position.stop_pct)
    if reason >= 0:
        return reason
    account.judged = False
    if qty == position.last_qty and price == position.last_price:
        position.pending = qty  # Jesse takes an order like the last one for that one, and buys nothing
        position.marked_qty = (position.qty + qty) * (1 - cell.cost_rate)
        return -1
    path = paths(w)[position.path]
    walk(w, position, cell, signal_bars(w)[i], path)
    account.cash = decimal_sum(account.cash, -(qty * price))
    position.entry = (qty * price + position.held_qty * position.entry) / (qty + position.held_qty)
    position.held_qty = decimal_sum(position.held_qty, qty * (1 - cell.cost_rate))
    position.qty, position.pending, position.paid = position.qty + qty, 0.0, position.paid + qty * price
    position.marked_qty = (position.qty + 0.0) * (1 - cell.cost_rate)
    position.entries, position.last_qty, position.last_price = position.entries + 1, qty, price
    position.hard_stop = max(position.hard_stop, stop_price(position.entry, position.stop_pct))
    position.bar, position.stop = signal_bars(w)[i], max(path.stop, position.hard_stop)
    position.high_water, position.low_water = path.high_water, path.low_water
    walk(w, position, cell, FAR, path)
    position.key = path.key
    account.next_key = position.key
    for k in range(account.open):
        account.next_key = min(account.next_key, positions(w)[places(w)[k]].key)
    return -1
