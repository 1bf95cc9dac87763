"""The store of research: one variant's memory in plain dictionaries, gone with the process.

Keeps the same contract as `postgres_store.PostgresStore` (rules/ports.py), under the same tests. Reads are dictionary
look-ups of finished values, because a backtest asks a million times; the lists returned must not be changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sigil_ext.db.common import (
    SYSTEM,
    ActKind,
    EventKind,
    after_exit,
    averaged,
    demand_reason,
    refusal,
    unknown_position,
)
from sigil_ext.rules.ports import BanPolicy
from sigil_ext.rules.protections import lifted, with_ban, with_cooldown
from sigil_ext.rules.types import (
    Breaker,
    Entered,
    Entry,
    Exit,
    OpenPosition,
    OperatorAct,
    Protection,
    ProtectionEvent,
    RefusalCount,
    RefusalReason,
    Refused,
    Signal,
    UniverseScan,
)


class MemoryStore:
    """One variant's memory for the length of a run."""

    def __init__(self, variant: str) -> None:
        self._variant = variant
        self._breaker = Breaker()
        self._protections: dict[str, Protection] = {}
        self._open: dict[str, OpenPosition] = {}
        self._open_list: list[OpenPosition] = []
        self._symbols: list[str] = []  # of position n at n - 1, open or closed
        self._events: dict[str, list[ProtectionEvent]] = {}
        self._acts: list[OperatorAct] = []
        self._signals: list[tuple[Signal, bool, str | None]] = []
        self._refusals: dict[tuple[str, RefusalReason], RefusalCount] = {}
        self._scans: list[UniverseScan] = []

    @property
    def variant(self) -> str:
        return self._variant

    # --- what the guard reads -------------------------------------------------------------------------------------

    def breaker(self) -> Breaker:
        return self._breaker

    def protection(self, symbol: str) -> Protection | None:
        return self._protections.get(symbol)

    def protections(self) -> list[Protection]:
        return [self._protections[symbol] for symbol in sorted(self._protections)]

    def open_position(self, symbol: str) -> OpenPosition | None:
        return self._open.get(symbol)

    def open_positions(self) -> list[OpenPosition]:
        return self._open_list

    # --- positions ------------------------------------------------------------------------------------------------

    def enter(self, entry: Entry, *, stacking: bool = False) -> Entered | Refused:
        symbol = entry.symbol
        current = self._protections.get(symbol)
        # Stacking makes no difference here: there is no second table, and one open row a symbol is the law of this one.
        occupied = symbol in self._open
        refused = refusal(entry, self._breaker, current, occupied=occupied, open_positions=len(self._open))
        if refused:
            return refused
        self._symbols.append(symbol)
        number = len(self._symbols)
        self._open[symbol] = OpenPosition(
            id=number,
            symbol=symbol,
            opened_at=entry.at,
            entry_price=entry.price,
            qty=entry.qty,
            high_water=entry.price,
            stop_price=entry.stop_price,
            atr_at_entry=entry.atr_at_entry,
            stop_pct=entry.stop_pct,
            universe_id=entry.universe_id,
        )
        self._relist()
        if entry.cooldown_until is not None:
            after = with_cooldown(current, symbol, until=entry.cooldown_until, at=entry.at)
            self._keep(after, "cooldown", entry.at, SYSTEM, "position opened")
        if entry.signal is not None:
            self.record_signal(entry.signal, acted=True, reject_reason=None)
        return Entered(number)

    def increase(self, position_id: int, *, at: datetime, price: float, qty: float, stop_price: float) -> None:
        held = self._held(position_id)
        if held is None:
            raise unknown_position(position_id, self._variant)
        total, average = averaged(held.qty, held.entry_price, qty, price)
        self._open[held.symbol] = replace(held, qty=total, entry_price=average, stop_price=stop_price)
        self._relist()

    def move_stop(self, position_id: int, *, at: datetime, stop_price: float, high_water: float) -> None:
        held = self._held(position_id)
        if held is None:
            return
        self._open[held.symbol] = replace(
            held,
            stop_price=stop_price if held.stop_price is None else max(held.stop_price, stop_price),
            high_water=high_water if held.high_water is None else max(held.high_water, high_water),
        )
        self._relist()

    def close(self, exit: Exit, ban: BanPolicy, cooldown_until: datetime | None = None) -> Protection | None:
        held = self._held(exit.position_id)
        if self._symbols[exit.position_id - 1] != exit.symbol:
            raise unknown_position(exit.position_id, self._variant)
        current = self._protections.get(exit.symbol)
        if held is None:
            return current
        del self._open[exit.symbol]
        self._relist()
        for kind, reason, after in after_exit(current, exit, ban, cooldown_until):
            current = self._keep(after, kind, exit.at, SYSTEM, reason)
        return current

    def _held(self, position_id: int) -> OpenPosition | None:
        if not 0 < position_id <= len(self._symbols):
            raise unknown_position(position_id, self._variant)
        held = self._open.get(self._symbols[position_id - 1])
        return held if held is not None and held.id == position_id else None

    def _relist(self) -> None:
        self._open_list = sorted(self._open.values(), key=lambda p: (p.opened_at, p.id))

    # --- protections ----------------------------------------------------------------------------------------------

    def add_cooldown(
        self, symbol: str, *, until: datetime, at: datetime, actor: str, reason: str, acted_at: datetime | None = None
    ) -> Protection:
        after = with_cooldown(self._protections.get(symbol), symbol, until=until, at=at)
        self._acts.append(OperatorAct(acted_at or at, actor, "cooldown", symbol, reason.strip()))
        return self._keep(after, "manual_cooldown", at, actor, reason.strip())

    def add_ban(
        self, symbol: str, *, until: datetime, at: datetime, actor: str, reason: str, acted_at: datetime | None = None
    ) -> Protection:
        after = with_ban(self._protections.get(symbol), symbol, until=until, at=at)
        self._acts.append(OperatorAct(acted_at or at, actor, "ban", symbol, reason.strip()))
        return self._keep(after, "manual_ban", at, actor, reason.strip())

    def lift(
        self, symbol: str, *, at: datetime, actor: str, reason: str, acted_at: datetime | None = None
    ) -> Protection:
        reason = demand_reason(reason, "a lift")
        self._acts.append(OperatorAct(acted_at or at, actor, "lift", symbol, reason))
        return self._keep(lifted(self._protections.get(symbol), symbol, at=at), "lift", at, actor, reason)

    def protection_history(self, symbol: str) -> Sequence[ProtectionEvent]:
        return tuple(self._events.get(symbol, ()))

    def _keep(self, after: Protection, kind: EventKind, at: datetime, actor: str, reason: str) -> Protection:
        after = replace(after, reason=reason or after.reason)
        self._protections[after.symbol] = after
        self._events.setdefault(after.symbol, []).append(
            ProtectionEvent(
                after.symbol, at, kind, actor, reason, after.expires_at, after.ban_until, after.violation_count
            )
        )
        return after

    # --- breaker --------------------------------------------------------------------------------------------------

    def trip(self, *, at: datetime, actor: str, reason: str) -> Breaker:
        reason = self._judge("trip", at, actor, reason)
        if not self._breaker.tripped:
            self._breaker = replace(self._breaker, tripped=True, reason=reason, tripped_at=at, tripped_by=actor)
        return self._breaker

    def reset(self, *, at: datetime, actor: str, reason: str) -> Breaker:
        self._judge("reset", at, actor, reason)
        self._breaker = replace(self._breaker, tripped=False, reason=None, tripped_at=None, tripped_by=None)
        return self._breaker

    def pause(self, *, at: datetime, actor: str, reason: str) -> Breaker:
        reason = self._judge("pause", at, actor, reason)
        if not self._breaker.paused:
            self._breaker = replace(self._breaker, paused=True, pause_reason=reason, paused_at=at, paused_by=actor)
        return self._breaker

    def resume(self, *, at: datetime, actor: str, reason: str) -> Breaker:
        self._judge("resume", at, actor, reason)
        self._breaker = replace(self._breaker, paused=False, pause_reason=None, paused_at=None, paused_by=None)
        return self._breaker

    def acts(self) -> Sequence[OperatorAct]:
        return tuple(self._acts)

    def _judge(self, act: ActKind, at: datetime, actor: str, reason: str) -> str:
        reason = demand_reason(reason, f"a {act}")
        self._acts.append(OperatorAct(at, actor, act, None, reason))
        return reason

    # --- the record -----------------------------------------------------------------------------------------------

    def record_signal(self, signal: Signal, *, acted: bool, reject_reason: str | None) -> None:
        self._signals.append((signal, acted, reject_reason))

    def signals(self, since: datetime | None = None) -> list[tuple[Signal, bool, str | None]]:
        return sorted((row for row in self._signals if since is None or row[0].at >= since), key=lambda row: row[0].at)

    def count_refusal(self, symbol: str, reason: RefusalReason, *, at: datetime, signal: bool) -> None:
        key = (symbol, reason)
        if (old := self._refusals.get(key)) is None:
            self._refusals[key] = RefusalCount(symbol, reason, 1, int(signal), at, at)
            return
        first, last = min(old.first_at, at), max(old.last_at, at)
        self._refusals[key] = RefusalCount(symbol, reason, old.bars + 1, old.signals + signal, first, last)

    def refusals(self) -> list[RefusalCount]:
        return [self._refusals[key] for key in sorted(self._refusals)]

    def save_scan(self, scan: UniverseScan) -> int:
        self._scans.append(scan)
        return len(self._scans)

    def scan(self, universe_id: int) -> UniverseScan | None:
        return self._scans[universe_id - 1] if 0 < universe_id <= len(self._scans) else None

    def last_scan(self) -> tuple[int, UniverseScan] | None:
        return (len(self._scans), self._scans[-1]) if self._scans else None

    def known_symbols(self) -> list[str]:
        return sorted(
            {
                *self._symbols,
                *self._protections,
                *(signal.symbol for signal, _, _ in self._signals),
                *(symbol for symbol, _ in self._refusals),
                *(row.symbol for scan in self._scans for row in scan.rows),
            }
        )
