"""One cell in time order over all symbols: guard, cash, protections, breaker and universe around positions' paths.

The order of one instant is Jesse's: stops that fill within the minute, symbol by symbol; then equity is marked and the
pool scanned; then each symbol by name is guarded, asked to leave and asked to enter. A number that sorts so stands for
each exit and each signal (`key_of`). Start at `simulate`.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from sigil_ext.research.kernel.compiling import kernel
from sigil_ext.research.kernel.decimals import decimal_sum
from sigil_ext.research.kernel.lending import lent, rows_at
from sigil_ext.research.kernel.paths import AT_CLOSE, FILLED, HARD_STOP, HIGH_WATER, LOW_WATER, STOP, walk
from sigil_ext.research.kernel.shapes import Bools, Ints, Scans, Signals, Tape
from sigil_ext.rules.breaker import fell, lost_in_a_row
from sigil_ext.rules.guard import short_of_cash
from sigil_ext.rules.indicators import CLOSE
from sigil_ext.rules.protections import violations_left
from sigil_ext.rules.sizing import position_size, risk_usd
from sigil_ext.rules.stops import hard_stop_pct, stop_price
from sigil_ext.rules.universe import weighted_ranks

Row: TypeAlias = Any  # a record of shapes.py; its fields are attributes in compiled code
Rows: TypeAlias = Any
MINUTE_US = 60_000_000
DAY_MINUTES = 1440
NEVER = np.iinfo(np.int64).max
FAR = 1 << 60

# Numbers in REFUSAL_REASONS, in the order in which the guard asks.
TRIPPED, NOT_IN_UNIVERSE, POSITION_OPEN, COOLDOWN, BAN, MAX_OPEN, NO_CASH, STALE, TOO_SMALL = 0, 2, 3, 4, 5, 6, 7, 8, 9
REFUSALS = 12
DONE, TOO_MANY_DIGITS = 0, 1


@kernel
def key_of(minute: int, kind: int, symbol: int, symbols: int) -> int:
    """Return what sorts the acts of a run: fills of a minute (kind 0), then acts at its close (1), then the end (2)."""
    return (minute * 3 + kind) * symbols + symbol


@kernel
def equity_at(tape: Tape, positions: Rows, account: Row, rate: float, slot: int) -> float:
    """Return cash plus every open position at its last price, in USD."""
    held = 0.0
    for k in range(account.open):
        held += (positions[k].qty + positions[k].pending) * (1 - rate) * tape.closes[slot, positions[k].symbol]
    return float(account.cash + held)


@kernel
def equity_within(tape: Tape, positions: Rows, account: Row, rate: float, minute: int, symbol: int) -> float:
    """Return the equity at a fill of `symbol` within the minute that ends at `minute`."""
    held = 0.0
    for k in range(account.open):
        other = positions[k].symbol
        until = minute - 1 if tape.one_clock and other > symbol else minute
        minutes = rows_at(tape.minutes[other], tape.counts[other])
        low, high = 0, minutes.shape[0]
        while low < high:
            middle = (low + high) // 2
            if minutes[middle, 0] < until * 60_000.0:
                low = middle + 1
            else:
                high = middle
        held += (positions[k].qty + positions[k].pending) * (1 - rate) * minutes[low - 1, CLOSE]
    return float(account.cash + held)


@kernel
def trips(equity: float, account: Row, cell: Row) -> bool:
    """Return whether one of the breaker's limits is reached."""
    return (
        fell(equity, account.day_start, cell.daily_loss_pct)
        or fell(equity, account.peak, cell.max_drawdown_pct)
        or lost_in_a_row(account.losses, cell.consecutive_losses)
    )


@kernel
def mark_until(tape: Tape, positions: Rows, account: Row, cell: Row, until: int) -> None:
    """Mark equity at every slot up to `until`, that one included, positions being what they are; trip the breaker."""
    slot = account.slot + 1
    while slot <= until and not account.tripped:
        day = tape.slots[slot] // DAY_MINUTES
        fresh = day != account.day
        if not fresh and not may_trip(positions, account, cell):
            slot = tape.next_day[slot]
            continue
        equity = equity_at(tape, positions, account, cell.cost_rate, slot)
        if fresh:
            account.day, account.day_start = day, equity
        account.peak = max(account.peak, equity)
        if trips(equity, account, cell):
            account.tripped = True
        slot += 1
    account.slot = max(account.slot, until)


@kernel
def may_trip(positions: Rows, account: Row, cell: Row) -> bool:
    """Return whether a mark of today can trip: not where even with every position at its stop too little is lost.

    At a mark an open position's price is above its stop, or it would have been filled.
    """
    if cell.max_drawdown_pct > 0.0:
        return True
    least = account.cash
    for k in range(account.open):
        least += positions[k].held_qty * positions[k].hard_stop
    return fell(least * (1 - 1e-9), account.day_start, cell.daily_loss_pct)


@kernel
def slot_by(tape: Tape, minute: int) -> int:
    """Return the last slot at or before `minute`, -1 before the first."""
    low, high = 0, tape.slots.shape[0]
    while low < high:
        middle = (low + high) // 2
        if tape.slots[middle] <= minute:
            low = middle + 1
        else:
            high = middle
    return low - 1


@kernel
def rank_in(passing: Ints, count: int, scan: int, scans: Scans, accepted: Bools) -> None:
    """Set `accepted` of the best of the `passing` symbols by score, ties by name."""
    atr, volume, change = np.empty(count), np.empty(count), np.empty(count)
    for i in range(count):
        atr[i] = scans.atr_pct[scan, passing[i]]
        volume[i] = scans.volume[scan, passing[i]]
        change[i] = scans.change[scan, passing[i]]
    scores = weighted_ranks(atr, volume, change, scans.weights)
    for i in range(count):
        ahead = 0
        for j in range(count):
            if scores[j] > scores[i] or (scores[j] == scores[i] and j < i):
                ahead += 1
        accepted[passing[i]] = ahead < scans.size


@kernel
def look(scans: Scans, scan: int, account: Row, standings: Rows, accepted: Bools) -> None:
    """Make `scan` the last one; where a ban changes what it said, `accepted` says it anew."""
    if scan == account.scan:
        return
    account.scan, account.own_scan = scan, False
    now_us = scans.minutes[scan] * MINUTE_US
    if account.latest_ban <= now_us:
        return
    symbols = standings.shape[0]
    passing = np.empty(symbols, np.int64)
    count = 0
    for s in range(symbols):
        if scans.passed[scan, s]:
            if standings[s].ban_until > now_us:
                account.own_scan = True
            else:
                passing[count] = s
                count += 1
    if account.own_scan:
        accepted[:] = False
        rank_in(passing, count, scan, scans, accepted)


@kernel
def accept_all(scans: Scans) -> None:
    """Fill what each scan accepts while nothing is banned."""
    passing = np.empty(scans.passed.shape[1], np.int64)
    for scan in range(scans.passed.shape[0]):
        count = 0
        for s in range(scans.passed.shape[1]):
            if scans.passed[scan, s]:
                passing[count] = s
                count += 1
        rank_in(passing, count, scan, scans, scans.accepted[scan])


@kernel
def refusal(
    tape: Tape,
    scans: Scans,
    signals: Signals,
    i: int,
    cell: Row,
    account: Row,
    standings: Rows,
    accepted: Bools,
) -> int:
    """Return why signal `i` may not be entered, -1 where the guard is open. The order is that of GUARD_CHECKS."""
    symbol, slot = signals.symbol[i], signals.slot[i]
    standing = standings[symbol]
    symbols = standings.shape[0]
    if account.tripped:
        return TRIPPED
    scan = scans.of_slot[slot]
    look(scans, scan, account, standings, accepted)
    inside = accepted[symbol] if account.own_scan else scans.accepted[scan, symbol]
    # What was open at the scan stays in until the next.
    if not inside and standing.place < 0 and standing.exit_key < key_of(scans.minutes[scan], 1, 0, symbols):
        return NOT_IN_UNIVERSE
    if standing.place >= 0 and not cell.stacks:
        return POSITION_OPEN
    now_us = tape.slots[slot] * MINUTE_US
    if now_us < standing.ban_until:
        return BAN
    if now_us < standing.cooldown_until:
        return COOLDOWN
    if account.open >= cell.max_open_positions:
        return MAX_OPEN
    if short_of_cash(account.cash, cell.min_notional_usd):
        return NO_CASH
    if signals.gap[i] > cell.max_gap:
        return STALE
    return -1


@kernel
def follow(tape: Tape, position: Row, atr: float, cell: Row, until_bar: int, path: Row) -> None:
    """Lead a position from its last change to its exit, written into `path`, or to the end of `until_bar`."""
    state = np.empty(3)
    state[STOP], state[HIGH_WATER], state[LOW_WATER] = position.stop, position.high_water, position.low_water
    symbol = position.symbol
    minute, kind, reason, price, at = walk(
        tape.bars, tape.asked, tape.first, rows_at(tape.minutes[symbol], tape.counts[symbol]), tape.length, tape.end,
        tape.last_bar[symbol],
        position.bar, until_bar, position.opened, position.entry, position.hard_stop, atr,
        cell.activation_atr, cell.trail_multiplier, cell.flat_after, cell.flat_max_move_pct, state,
    )  # fmt: skip
    path.key = key_of(minute, kind, symbol, tape.last_bar.shape[0])
    path.minute, path.kind, path.reason, path.price, path.bar = minute, kind, reason, price, at
    path.stop, path.high_water, path.low_water = state[STOP], state[HIGH_WATER], state[LOW_WATER]


@kernel
def size(
    tape: Tape, cell: Row, account: Row, positions: Rows, slot: int, price: float, stop_pct: float
) -> tuple[float, bool, bool, int]:
    """Return (quantity, cap bound, cash bound, why it is refused or -1)."""
    equity = 0.0
    if cell.risk_per_trade_usd == 0.0:
        equity = equity_at(tape, positions, account, cell.cost_rate, slot)
    qty, cap_bound, cash_bound = position_size(
        price, stop_pct, equity, account.cash, cell.risk_per_trade_usd, cell.max_position_usd, cell.position_pct
    )
    notional = qty * price
    reason = -1
    if not (notional > 0.0 and notional >= cell.min_notional_usd):
        reason = NO_CASH if cash_bound else TOO_SMALL
    return qty, cap_bound, cash_bound, reason


@kernel
def enter(
    tape: Tape, signals: Signals, i: int, cell: Row, account: Row, positions: Rows, standings: Rows, paths: Rows
) -> int:
    """Open a position at signal `i`; return why it was refused, -1 where it was not."""
    symbol, slot, atr = signals.symbol[i], signals.slot[i], signals.atr[i]
    entry = tape.bars[signals.bar[i], CLOSE]
    stop_pct = hard_stop_pct(atr, entry, cell.multiplier, cell.floor_pct, cell.cap_pct)
    qty, cap_bound, cash_bound, reason = size(tape, cell, account, positions, slot, entry, stop_pct)
    if reason >= 0:
        return reason
    standing = standings[symbol]
    now_us = tape.slots[slot] * MINUTE_US
    # The store asks again: a position that was left at this very close may have brought a bar or the breaker.
    if account.tripped:
        return TRIPPED
    if now_us < standing.ban_until:
        return BAN
    if now_us < standing.cooldown_until:
        return COOLDOWN
    if account.open >= cell.max_open_positions:
        return MAX_OPEN
    paid = qty * entry
    account.cash = decimal_sum(account.cash, -paid)
    position = positions[account.open]
    position.signal, position.symbol, position.opened, position.atr = i, symbol, tape.slots[slot], atr
    position.qty, position.held_qty, position.pending, position.paid = qty, qty * (1 - cell.cost_rate), 0.0, paid
    position.entries, position.last_qty, position.last_price = 1, qty, entry
    position.entry, position.stop_pct, position.hard_stop = entry, stop_pct, stop_price(entry, stop_pct)
    position.bar, position.stop = signals.bar[i], position.hard_stop
    position.high_water = position.low_water = entry
    position.cap_bound, position.cash_bound = cap_bound, cash_bound
    if paths[i].key == 0:
        follow(tape, position, atr, cell, FAR, paths[i])
    position.key = paths[i].key
    standing.place = account.open
    account.open += 1
    account.next_key = min(account.next_key, position.key)
    if not cell.cooldown_from_close and cell.cooldown_us > 0:
        standing.cooldown_until = max(standing.cooldown_until, now_us + cell.cooldown_us)
    return -1


@kernel
def increase(
    tape: Tape, signals: Signals, i: int, cell: Row, account: Row, positions: Rows, standings: Rows, paths: Rows
) -> int:
    """Stack signal `i` on the open position of its symbol; return why it was refused, -1 where it was not."""
    position = positions[standings[signals.symbol[i]].place]
    price = tape.bars[signals.bar[i], CLOSE]
    qty, _, _, reason = size(tape, cell, account, positions, signals.slot[i], price, position.stop_pct)
    if reason >= 0:
        return reason
    if qty == position.last_qty and price == position.last_price:
        position.pending = qty  # Jesse takes an order like the last one for that one, and buys nothing
        return -1
    path = paths[position.signal]
    follow(tape, position, position.atr, cell, signals.bar[i], path)
    account.cash = decimal_sum(account.cash, -(qty * price))
    position.entry = (qty * price + position.held_qty * position.entry) / (qty + position.held_qty)
    position.held_qty = decimal_sum(position.held_qty, qty * (1 - cell.cost_rate))
    position.qty, position.pending, position.paid = position.qty + qty, 0.0, position.paid + qty * price
    position.entries, position.last_qty, position.last_price = position.entries + 1, qty, price
    position.hard_stop = max(position.hard_stop, stop_price(position.entry, position.stop_pct))
    position.bar, position.stop = signals.bar[i], max(path.stop, position.hard_stop)
    position.high_water, position.low_water = path.high_water, path.low_water
    follow(tape, position, position.atr, cell, FAR, path)
    position.key = path.key
    account.next_key = NEVER
    for k in range(account.open):
        account.next_key = min(account.next_key, positions[k].key)
    return -1


@kernel
def remove(positions: Rows, place: int, account: Row, standings: Rows) -> None:
    """Take a position out, the others keep their order."""
    standings[positions[place].symbol].place = -1
    for k in range(place, account.open - 1):
        positions[k] = positions[k + 1]
        standings[positions[k].symbol].place = k
    account.open -= 1
    account.next_key = NEVER
    for k in range(account.open):
        account.next_key = min(account.next_key, positions[k].key)


@kernel
def note(trades: Rows, position: Row, path: Row, rate: float, account: Row) -> Rows:
    """Write a closed position down as a row of TRADE and return the rows, which may have had to grow."""
    n = account.trades
    if n == trades.shape[0]:
        grown = np.empty(2 * n, trades.dtype)
        grown[:n] = trades
        trades = grown
    received = position.held_qty * path.price
    row = trades[n]
    row.symbol, row.opened_at_ms, row.closed_at_ms = position.symbol, position.opened * 60_000, path.minute * 60_000
    row.entry_price = position.entry if position.entries == 1 else position.paid / position.qty
    row.exit_price, row.qty = path.price, position.qty
    row.fee = (position.paid + received) * rate
    row.pnl_usd = received * (1 - rate) - position.paid
    row.notional_usd, row.atr_at_entry, row.stop_pct = position.paid, position.atr, position.stop_pct
    row.hard_stop_price, row.stop_price, row.high_water = position.hard_stop, path.stop, path.high_water
    row.risk_usd = risk_usd(position.paid, position.stop_pct)
    row.entries, row.exit_reason = position.entries, path.reason
    row.cap_bound, row.cash_bound = position.cap_bound, position.cash_bound
    account.trades = n + 1
    account.losses = account.losses + 1 if row.pnl_usd < 0 else 0
    return trades


@kernel
def protect(
    tape: Tape,
    scans: Scans,
    cell: Row,
    ban_us: Ints,
    symbol: int,
    path: Row,
    account: Row,
    standings: Rows,
    accepted: Bools,
) -> None:
    """Write what an exit does to its symbol's protections."""
    standing = standings[symbol]
    at_us = path.minute * MINUTE_US
    if path.reason == HARD_STOP:
        left = 0
        if standing.violations > 0:
            left = standing.violations
            if at_us > standing.last_violation:
                left = violations_left(left, at_us - standing.last_violation, cell.ban_window_us)
        standing.violations, standing.last_violation = left + 1, at_us
        length = ban_us[min(standing.violations, ban_us.shape[0] - 1)]
        if length > 0:
            # The scan before this ban must be read without it.
            slot = slot_by(tape, path.minute if path.kind == AT_CLOSE else path.minute - 1)
            if slot >= 0:
                look(scans, scans.of_slot[slot], account, standings, accepted)
            standing.ban_until = max(standing.ban_until, at_us + length)
            account.latest_ban = max(account.latest_ban, standing.ban_until)
    if cell.cooldown_from_close and cell.cooldown_us > 0:
        standing.cooldown_until = max(standing.cooldown_until, at_us + cell.cooldown_us)


@kernel
def close_until(
    key: int,
    tape: Tape,
    scans: Scans,
    cell: Row,
    ban_us: Ints,
    account: Row,
    positions: Rows,
    standings: Rows,
    accepted: Bools,
    paths: Rows,
    trades: Rows,
) -> Rows:
    """Close every position whose exit comes before `key`, one after the other; return the trades."""
    watches = cell.daily_loss_pct > 0.0 or cell.max_drawdown_pct > 0.0
    while account.next_key < key:
        place = 0
        while positions[place].key != account.next_key:
            place += 1
        path = paths[positions[place].signal]
        symbol = positions[place].symbol
        if watches and not account.tripped:
            mark_until(
                tape, positions, account, cell, slot_by(tape, path.minute - 1 if path.kind == FILLED else path.minute)
            )
        received = positions[place].held_qty * path.price
        account.cash = decimal_sum(account.cash, received * (1 - cell.cost_rate))
        trades = note(trades, positions[place], path, cell.cost_rate, account)
        standings[symbol].exit_key = path.key
        remove(positions, place, account, standings)
        protect(tape, scans, cell, ban_us, symbol, path, account, standings, accepted)
        if cell.consecutive_losses > 0 and not account.tripped:
            if path.kind == FILLED:
                equity = equity_within(tape, positions, account, cell.cost_rate, path.minute, symbol)
            else:
                equity = equity_at(tape, positions, account, cell.cost_rate, slot_by(tape, path.minute))
            account.tripped = trips(equity, account, cell)
    return trades


@kernel
def simulate(
    tape: Tape,
    scans: Scans,
    signals: Signals,
    cell: Row,
    ban_us: Ints,
    paths: Rows,
    blank: Rows,
    accounts: Rows,
    positions: Rows,
    standings: Rows,
    refused: Ints,
    accepted: Bools,
) -> tuple[Rows, float, int]:
    """Run one cell; return (trades, cash at the end, DONE or what went wrong).

    Args:
        ban_us: length of the ban that violation number n brings, the last one for all further ones.
        paths: what is known of the exits, of all signals, shared by cells of equal stops. blank: an empty array of TRADE.
        accounts, positions, standings: of zeros: one, and one a symbol. accepted: of falses, a symbol each. refused: to be
            counted in, by reason.
    """
    return run(
        Tape(
            lent(tape.bars), lent(tape.asked), lent(tape.first), lent(tape.last_bar), lent(tape.minutes), lent(tape.counts), tape.length, tape.end, lent(tape.slots), lent(tape.next_day),
            lent(tape.closes), tape.one_clock,
        ),
        Scans(
            lent(scans.minutes), lent(scans.of_slot), lent(scans.passed), lent(scans.accepted), lent(scans.atr_pct),
            lent(scans.volume), lent(scans.change), scans.size, scans.weights,
        ),
        Signals(
            lent(signals.slot), lent(signals.symbol), lent(signals.bar), lent(signals.gap), lent(signals.atr)
        ),
        cell, lent(ban_us), lent(paths), blank, accounts[0], lent(positions), lent(standings), lent(refused),
        lent(accepted),
    )  # fmt: skip


@kernel
def run(
    tape: Tape,
    scans: Scans,
    signals: Signals,
    cell: Row,
    ban_us: Ints,
    paths: Rows,
    blank: Rows,
    account: Row,
    positions: Rows,
    standings: Rows,
    refused: Ints,
    accepted: Bools,
) -> tuple[Rows, float, int]:
    """Do what `simulate` says, on arrays that are lent."""
    symbols = standings.shape[0]
    account.cash = account.day_start = account.peak = cell.starting_balance
    account.day = account.slot = account.scan = -1
    account.next_key = NEVER
    for s in range(symbols):
        standings[s].place = standings[s].exit_key = -1
    trades = np.empty(32, blank.dtype)
    watches = cell.daily_loss_pct > 0.0 or cell.max_drawdown_pct > 0.0
    n = signals.slot.shape[0]
    for i in range(n):
        symbol, slot = signals.symbol[i], signals.slot[i]
        key = key_of(tape.slots[slot], 1, symbol, symbols)
        if account.next_key < key:
            trades = close_until(key, tape, scans, cell, ban_us, account, positions, standings, accepted, paths, trades)
        if account.tripped:
            refused[TRIPPED] += n - i
            break
        if watches:
            mark_until(tape, positions, account, cell, slot)
        reason = refusal(tape, scans, signals, i, cell, account, standings, accepted)
        place = standings[symbol].place
        if reason < 0 and place >= 0 and positions[place].key != key:
            reason = increase(tape, signals, i, cell, account, positions, standings, paths)
        elif reason < 0:
            if place >= 0:  # left at this very close, and the guard was asked before
                trades = close_until(
                    key + 1, tape, scans, cell, ban_us, account, positions, standings, accepted, paths, trades
                )
            reason = enter(tape, signals, i, cell, account, positions, standings, paths)
        if reason >= 0:
            refused[reason] += 1
        if math.isnan(account.cash):
            return trades[:0], account.cash, TOO_MANY_DIGITS
    trades = close_until(NEVER, tape, scans, cell, ban_us, account, positions, standings, accepted, paths, trades)
    status = TOO_MANY_DIGITS if math.isnan(account.cash) else DONE
    return trades[: account.trades].copy(), account.cash, status
