"""The account of a cell: equity as Jesse marks it, and the breaker that watches it. Start at `mark_until`."""

from __future__ import annotations

from sigil_ext.research.kernel.compiling import inlined, kernel
from sigil_ext.research.kernel.shapes import Row
from sigil_ext.research.kernel.views import account_of, closes, minutes_of, next_days, places, positions, slots
from sigil_ext.rules.breaker import fell, lost_in_a_row
from sigil_ext.rules.indicators import CLOSE

DAY_MINUTES = 1440


@inlined
def equity_at(w: Row, slot: int) -> float:
    """Return cash plus every open position at its last price, in USD."""
    held = 0.0
    for k in range(account_of(w).open):
        position = positions(w)[places(w)[k]]
        held += position.marked_qty * closes(w)[slot, position.symbol]
    return float(account_of(w).cash + held)


@kernel
def equity_within(w: Row, minute: int, symbol: int) -> float:
    """Return the equity at a fill of `symbol` within the minute that ends at `minute`."""
    held = 0.0
    for k in range(account_of(w).open):
        position = positions(w)[places(w)[k]]
        other = position.symbol
        until = minute - 1 if w.one_clock and other > symbol else minute
        minutes = minutes_of(w, other)
        low, high = 0, minutes.shape[0]
        while low < high:
            middle = (low + high) // 2
            if minutes[middle, 0] < until * 60_000.0:
                low = middle + 1
            else:
                high = middle
        held += position.marked_qty * minutes[low - 1, CLOSE]
    return float(account_of(w).cash + held)


@inlined
def watches(cell: Row) -> bool:
    """Return whether the breaker looks at marked equity."""
    return bool(cell.daily_loss_pct > 0.0 or cell.max_drawdown_pct > 0.0)


@inlined
def trips(equity: float, account: Row, cell: Row) -> bool:
    """Return whether one of the breaker's limits is reached."""
    return (
        fell(equity, account.day_start, cell.daily_loss_pct)
        or fell(equity, account.peak, cell.max_drawdown_pct)
        or lost_in_a_row(account.losses, cell.consecutive_losses)
    )


@inlined
def mark_until(w: Row, cell: Row, until: int) -> None:
    """Mark equity at every slot up to `until`, that one included, positions being what they are; trip the breaker."""
    account = account_of(w)
    slot = account.slot + 1
    while slot <= until and not account.tripped:
        day = slots(w)[slot] // DAY_MINUTES
        fresh = day != account.day
        if not fresh and not may_trip(w, cell):
            slot = next_days(w)[slot]
            continue
        equity = equity_at(w, slot)
        if fresh:
            account.day, account.day_start, account.judged = day, equity, False
        account.peak = max(account.peak, equity)
        if trips(equity, account, cell):
            account.tripped = True
        slot += 1
    account.slot = max(account.slot, until)


@inlined
def may_trip(w: Row, cell: Row) -> bool:
    """Return whether a mark of today can trip: not where even with every position at its stop too little is lost.

    At a mark an open position's price is above its stop, or it would have been filled.
    """
    account = account_of(w)
    if not account.judged:
        least = account.cash
        for k in range(account.open):
            position = positions(w)[places(w)[k]]
            least += position.held_qty * position.hard_stop
        account.may_trip = cell.max_drawdown_pct > 0.0 or fell(
            least * (1 - 1e-9), account.day_start, cell.daily_loss_pct
        )
        account.judged = True
    return bool(account.may_trip)
