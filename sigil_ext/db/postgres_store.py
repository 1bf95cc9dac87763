"""The store that survives: one variant's memory in its PostgreSQL database.

Keeps the same contract as `memory_store.MemoryStore` (rules/ports.py), under the same tests. Which steps make one
transaction, and under which locks (`locks.py`), is said here; what a row holds in `positions.py`, `protections.py`,
`state.py` and `record.py`. Start at `enter`, the entry transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import psycopg2
from psycopg2.extensions import cursor

from sigil_ext.db import locks, positions, protections, record, state
from sigil_ext.db.common import SYSTEM, ActKind, after_exit, demand_reason, refusal
from sigil_ext.db.connection import Database
from sigil_ext.rules.ports import BanPolicy
from sigil_ext.rules.protections import lifted, with_ban, with_cooldown
from sigil_ext.rules.types import (
    Breaker,
    Entered,
    Entry,
    Exit,
    ExitReason,
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


class PostgresStore:
    """One variant's memory in a database. Every method is one transaction.

    Each raises DatabaseUnavailable when the server is lost.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    @property
    def variant(self) -> str:
        return self.database.variant

    # --- what the guard reads -------------------------------------------------------------------------------------

    def breaker(self) -> Breaker:
        with self.database.transaction() as cur:
            return state.breaker(cur)

    def protection(self, symbol: str) -> Protection | None:
        with self.database.transaction() as cur:
            return protections.of_symbol(cur, symbol)

    def protections(self) -> list[Protection]:
        with self.database.transaction() as cur:
            return protections.every(cur)

    def open_position(self, symbol: str) -> OpenPosition | None:
        with self.database.transaction() as cur:
            return positions.open_on(cur, self.variant, symbol)

    def open_positions(self) -> list[OpenPosition]:
        with self.database.transaction() as cur:
            return positions.all_open(cur, self.variant)

    # --- positions ------------------------------------------------------------------------------------------------

    def enter(self, entry: Entry, *, stacking: bool = False) -> Entered | Refused:
        try:
            with self.database.transaction(savepoint=True) as cur:
                return self._enter(cur, entry, stacking)
        except psycopg2.errors.UniqueViolation:
            # The last line of defence: a writer that takes no lock, such as the earlier bot, was quicker.
            return Refused(entry.symbol, entry.at, "position_open", "the unique index refused a second open row")
        except psycopg2.errors.LockNotAvailable:
            return Refused(entry.symbol, entry.at, "entry_in_progress", "waited too long for another writer")

    def _enter(self, cur: cursor, entry: Entry, stacking: bool) -> Entered | Refused:
        # One entry of a variant at a time, so that two symbols cannot both take the last free place.
        if not locks.try_entry(cur, self.variant, entry.symbol):
            return Refused(entry.symbol, entry.at, "entry_in_progress")
        breaker, current, held = positions.before_entry(cur, self.variant, entry.symbol)
        occupied = not stacking and entry.symbol in held
        refused = refusal(entry, breaker, current, occupied=occupied, open_positions=len(held))
        if refused:
            return refused
        return Entered(self._insert_entry(cur, entry, current))

    def _insert_entry(self, cur: cursor, entry: Entry, current: Protection | None) -> int:
        position_id = positions.insert(cur, self.variant, entry)
        if entry.cooldown_until is not None:
            after = with_cooldown(current, entry.symbol, until=entry.cooldown_until, at=entry.at)
            protections.keep(cur, "protect", after, "cooldown", entry.at, SYSTEM, "position opened")
        if entry.signal is not None:
            record.insert_signal(cur, entry.signal, acted=True, reject_reason=None)
        return position_id

    def increase(self, position_id: int, *, at: datetime, price: float, qty: float, stop_price: float) -> None:
        with self.database.transaction() as cur:
            positions.increase(cur, self.variant, position_id, at=at, price=price, qty=qty, stop_price=stop_price)

    def move_stop(self, position_id: int, *, at: datetime, stop_price: float, high_water: float) -> None:
        with self.database.transaction() as cur:
            positions.move_stop(cur, self.variant, position_id, at=at, stop_price=stop_price, high_water=high_water)

    def move_stops(self, moves: Sequence[tuple[int, datetime, float, float]]) -> None:
        """Note many moves at once, in their order: position, when, stop price, high water. Closed ones are passed over."""
        with self.database.transaction() as cur:
            positions.move_stops(cur, moves)

    def close(self, exit: Exit, ban: BanPolicy, cooldown_until: datetime | None = None) -> Protection | None:
        with self.database.transaction() as cur:
            locks.wait_for_symbol(cur, self.variant, exit.symbol)
            current = protections.of_symbol(cur, exit.symbol)
            if not positions.close(cur, self.variant, exit):
                return current
            for kind, reason, after in after_exit(current, exit, ban, cooldown_until):
                query = "protect" if kind == "cooldown" else "count_violation"
                current = protections.keep(cur, query, after, kind, exit.at, SYSTEM, reason)
            return current

    def close_found(
        self, position: OpenPosition, *, at: datetime, price: float | None, reason: ExitReason, fees_usd: float | None,
        pnl_usd: float | None,
    ) -> bool:  # fmt: skip
        """Close the row of a position that no session manages; its symbol's protection stays. False: it was closed before.

        Args:
            price, fees_usd, pnl_usd: None where no price is known; the row then says neither price nor P&L.
        """
        with self.database.transaction() as cur:
            return positions.close_found(
                cur, self.variant, position, at=at, price=price, reason=reason, fees_usd=fees_usd, pnl_usd=pnl_usd
            )

    def hold(self, symbol: str) -> None:
        """Keep others from changing the symbol's protection or entering it until the caller's transaction is over."""
        with self.database.transaction() as cur:
            locks.wait_for_symbol(cur, self.variant, symbol)

    def write_excursions(self, excursions: Sequence[tuple[int, float, float]]) -> None:
        """Note how far closed positions went against their entries and in their favour: position, MAE and MFE in R."""
        with self.database.transaction() as cur:
            positions.write_excursions(cur, self.variant, excursions)

    def note_downtime(self, position_id: int) -> None:
        """Mark a position that was entered or left on candles fetched after an outage."""
        with self.database.transaction() as cur:
            positions.note_downtime(cur, self.variant, position_id)

    # --- protections ----------------------------------------------------------------------------------------------

    def add_cooldown(
        self, symbol: str, *, until: datetime, at: datetime, actor: str, reason: str, acted_at: datetime | None = None
    ) -> Protection:
        with self.database.transaction() as cur:
            locks.wait_for_symbol(cur, self.variant, symbol)
            after = with_cooldown(protections.of_symbol(cur, symbol), symbol, until=until, at=at)
            state.insert_act(cur, OperatorAct(acted_at or at, actor, "cooldown", symbol, reason.strip()))
            return protections.keep(cur, "protect", after, "manual_cooldown", at, actor, reason.strip())

    def add_ban(
        self, symbol: str, *, until: datetime, at: datetime, actor: str, reason: str, acted_at: datetime | None = None
    ) -> Protection:
        with self.database.transaction() as cur:
            locks.wait_for_symbol(cur, self.variant, symbol)
            after = with_ban(protections.of_symbol(cur, symbol), symbol, until=until, at=at)
            state.insert_act(cur, OperatorAct(acted_at or at, actor, "ban", symbol, reason.strip()))
            return protections.keep(cur, "protect", after, "manual_ban", at, actor, reason.strip())

    def lift(
        self, symbol: str, *, at: datetime, actor: str, reason: str, acted_at: datetime | None = None
    ) -> Protection:
        reason = demand_reason(reason, "a lift")
        with self.database.transaction() as cur:
            locks.wait_for_symbol(cur, self.variant, symbol)
            after = lifted(protections.of_symbol(cur, symbol), symbol, at=at)
            state.insert_act(cur, OperatorAct(acted_at or at, actor, "lift", symbol, reason))
            return protections.keep(cur, "lift", after, "lift", at, actor, reason)

    def protection_history(self, symbol: str) -> Sequence[ProtectionEvent]:
        with self.database.transaction() as cur:
            return protections.events(cur, symbol)

    # --- breaker --------------------------------------------------------------------------------------------------

    def trip(self, *, at: datetime, actor: str, reason: str) -> Breaker:
        reason = demand_reason(reason, "a trip")
        with self.database.transaction() as cur:
            now = self._judge(cur, "trip", at, actor, reason)
            if now.tripped:
                return now
            state.write(cur, "breaker", at, tripped=True, reason=reason, at=at.isoformat(), by=actor)
            return replace(now, tripped=True, reason=reason, tripped_at=at, tripped_by=actor)

    def reset(self, *, at: datetime, actor: str, reason: str) -> Breaker:
        reason = demand_reason(reason, "a reset")
        with self.database.transaction() as cur:
            now = self._judge(cur, "reset", at, actor, reason)
            state.write(cur, "breaker", at, tripped=False)
            return replace(now, tripped=False, reason=None, tripped_at=None, tripped_by=None)

    def pause(self, *, at: datetime, actor: str, reason: str) -> Breaker:
        reason = demand_reason(reason, "a pause")
        with self.database.transaction() as cur:
            now = self._judge(cur, "pause", at, actor, reason)
            if now.paused:
                return now
            state.write(cur, "pause", at, paused=True, reason=reason, at=at.isoformat(), by=actor)
            return replace(now, paused=True, pause_reason=reason, paused_at=at, paused_by=actor)

    def resume(self, *, at: datetime, actor: str, reason: str) -> Breaker:
        reason = demand_reason(reason, "a resume")
        with self.database.transaction() as cur:
            now = self._judge(cur, "resume", at, actor, reason)
            state.write(cur, "pause", at, paused=False)
            return replace(now, paused=False, pause_reason=None, paused_at=None, paused_by=None)

    def acts(self) -> Sequence[OperatorAct]:
        with self.database.transaction() as cur:
            return state.acts(cur)

    def _judge(self, cur: cursor, act: ActKind, at: datetime, actor: str, reason: str) -> Breaker:
        locks.wait_for_variant(cur, self.variant)
        state.insert_act(cur, OperatorAct(at, actor, act, None, reason))
        return state.breaker(cur)

    # --- the record -----------------------------------------------------------------------------------------------

    def record_signal(self, signal: Signal, *, acted: bool, reject_reason: str | None) -> None:
        with self.database.transaction() as cur:
            record.insert_signal(cur, signal, acted=acted, reject_reason=reject_reason)

    def record_signals(self, signals: Sequence[tuple[Signal, bool, str | None]]) -> None:
        """Record many at once, in their order: the signal, whether it was acted upon, why it was not."""
        with self.database.transaction() as cur:
            record.insert_signals(cur, signals)

    def signals(self, since: datetime | None = None) -> list[tuple[Signal, bool, str | None]]:
        with self.database.transaction() as cur:
            return record.signals(cur, since)

    def count_refusal(self, symbol: str, reason: RefusalReason, *, at: datetime, signal: bool) -> None:
        with self.database.transaction() as cur:
            record.count_refusal(cur, symbol, reason, at=at, signal=signal)

    def count_refusals(self, counts: Sequence[RefusalCount]) -> None:
        """Add many counts at once; one a symbol and reason."""
        with self.database.transaction() as cur:
            record.count_refusals(cur, counts)

    def refusals(self) -> list[RefusalCount]:
        with self.database.transaction() as cur:
            return record.refusals(cur)

    def save_scan(self, scan: UniverseScan) -> int:
        with self.database.transaction() as cur:
            return record.insert_scan(cur, scan)

    def scan(self, universe_id: int) -> UniverseScan | None:
        with self.database.transaction() as cur:
            return record.scan(cur, universe_id)

    def last_scan(self) -> tuple[int, UniverseScan] | None:
        with self.database.transaction() as cur:
            return record.last_scan(cur)

    def known_symbols(self) -> list[str]:
        with self.database.transaction() as cur:
            return record.known_symbols(cur)
