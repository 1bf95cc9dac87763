"""Why a signal may not be entered, in the order of `rules.guard.GUARD_CHECKS`. Start at `refusal`."""

from __future__ import annotations

from sigil_ext.research.kernel.compiling import inlined
from sigil_ext.research.kernel.paths import key_of
from sigil_ext.research.kernel.scan import MINUTE_US, accepts, look
from sigil_ext.research.kernel.shapes import Row
from sigil_ext.research.kernel.views import (
    account_of,
    scan_minutes,
    scan_of,
    signal_gaps,
    signal_slots,
    signal_symbols,
    slots,
    standings,
)
from sigil_ext.rules.guard import short_of_cash

# Numbers in REFUSAL_REASONS.
TRIPPED, NOT_IN_UNIVERSE, POSITION_OPEN, COOLDOWN, BAN, MAX_OPEN, NO_CASH, STALE, TOO_SMALL = 0, 2, 3, 4, 5, 6, 7, 8, 9


@inlined
def refusal(w: Row, i: int, cell: Row) -> int:
    """Return why signal `i` may not be entered, -1 where the guard is open."""
    symbol, slot = signal_symbols(w)[i], signal_slots(w)[i]
    standing, account = standings(w)[symbol], account_of(w)
    if account.tripped:
        return TRIPPED
    scan = scan_of(w)[slot]
    if scan != account.scan:
        look(w, scan)
    # What was open at the scan stays in until the next.
    if (
        standing.place < 0
        and standing.exit_key < key_of(scan_minutes(w)[scan], 1, 0, w.symbols)
        and not accepts(w, symbol)
    ):
        return NOT_IN_UNIVERSE
    if standing.place >= 0 and not cell.stacks:
        return POSITION_OPEN
    barred = bar(w, slots(w)[slot] * MINUTE_US, cell, symbol)
    if barred >= 0:
        return barred
    if short_of_cash(account.cash, cell.min_notional_usd):
        return NO_CASH
    if signal_gaps(w)[i] > cell.max_gap:
        return STALE
    return -1


@inlined
def bar(w: Row, now_us: int, cell: Row, symbol: int) -> int:
    """Return what the store says of a symbol, -1 where nothing: it is asked by the guard and again before an entry."""
    standing = standings(w)[symbol]
    if now_us < standing.ban_until:
        return BAN
    if now_us < standing.cooldown_until:
        return COOLDOWN
    if account_of(w).open >= cell.max_open_positions:
        return MAX_OPEN
    return -1
