"""The memory of a running paper session: read once a minute, written at the minute's end, entries at once.

What the session decides on is a copy of breaker, protections and open positions, read from the database in the minute's
transaction. An entry is written there and then, so none is made without a durable row. Everything else is remembered as
an operation and written by `drain`, in the same transaction. Minutes of a recording may share one (`begin(goes_on=True)`). When the server is lost the operations stay, exits go on
being noted, entries are refused as `database_lost`, and what was not committed is written when the server is back.

Start at `MinuteStore.begin` and `drain`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sigil_ext.db.common import SYSTEM, after_exit
from sigil_ext.db.connection import Database
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.errors import DatabaseUnavailable
from sigil_ext.rules.ports import BanPolicy
from sigil_ext.rules.protections import with_cooldown
from sigil_ext.rules.types import (
    Breaker,
    Entered,
    Entry,
    Exit,
    OpenPosition,
    Protection,
    RefusalCount,
    RefusalReason,
    Refused,
    Signal,
    UniverseScan,
)

# What the database has to know of before it lets an entry pass.
_DECISIVE = frozenset({"close", "trip"})


@dataclass(slots=True)
class Operation:
    """Something that has to be in the database when the minute is. `number`: the id it was given, of entries and scans."""

    kind: str
    args: tuple[Any, ...]
    written: bool = False
    number: int = 0


class MinuteStore(PostgresStore):
    """One variant's memory for the length of a session. One thread at a time."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.lost = False
        self.refuse_entries = False  # minutes that are caught up with after the server was lost
        self.operations: list[Operation] = []  # of this minute
        self._waiting: list[Operation] = []
        self._fresh = False
        self._breaker_now = Breaker()
        self._protected: dict[str, Protection] = {}
        self._open: dict[int, OpenPosition] = {}
        self._by_symbol: dict[str, OpenPosition] = {}
        self._provisional = 0
        self._renumbered: dict[int, int] = {}

    # --- the minute -----------------------------------------------------------------------------------------------

    def begin(self, *, goes_on: bool = False) -> None:
        """Begin a minute: nothing to write yet, and what the database says is read again when it is asked for.

        Args:
            goes_on: in the transaction of the minute before, whose operations wait still; what was read stands.
        """
        self.operations = []
        if not goes_on:
            self._waiting = []
            self._fresh = False

    def drain(self, *, all: bool = True) -> None:
        """Write the operations that are not written yet, in the caller's transaction, in their order.

        Args:
            all: False: only where an entry may depend on them.
        """
        if not all and not any(op.kind in _DECISIVE for op in self._waiting):
            return
        waiting = [op for op in self._waiting if not op.written]
        counts: dict[tuple[str, RefusalReason], RefusalCount] = {}
        moves: list[Operation] = []
        signals: list[Operation] = []
        excursions: list[Operation] = []
        for op in waiting:
            match op.kind:
                case "count_refusal":
                    _add(counts, *op.args)
                case "record_signal":
                    signals.append(op)
                case "move_stop":
                    moves.append(op)
                case "excursions":
                    excursions.append(op)
                case _:
                    self._write_moves(moves)  # whatever else happened to the position came after them
                    moves = []
                    self._write(op)
        self._write_moves(moves)
        if excursions:
            super().write_excursions([(self.position_id(op.args[0]), *op.args[1:]) for op in excursions])
        if signals:
            super().record_signals([op.args for op in signals])
        if counts:
            super().count_refusals([counts[key] for key in sorted(counts)])
        for op in waiting:
            op.written = True
        self._waiting = []

    def position_id(self, number: int) -> int:
        """Return the id of a position that had a provisional number before it was written."""
        return self._renumbered.get(number, number)

    def _write(self, op: Operation) -> None:
        match op.kind:
            case "increase":
                position, at, price, qty, stop = op.args
                super().increase(self.position_id(position), at=at, price=price, qty=qty, stop_price=stop)
            case "close":
                exit, ban, cooldown = op.args
                super().close(replace(exit, position_id=self.position_id(exit.position_id)), ban, cooldown)
            case "trip":
                super().trip(at=op.args[0], actor=op.args[1], reason=op.args[2])
            case "downtime":
                super().note_downtime(self.position_id(op.args[0]))
            case _:
                raise AssertionError(op.kind)

    def _write_moves(self, moves: Sequence[Operation]) -> None:
        if moves:
            super().move_stops([(self.position_id(op.args[0]), *op.args[1:]) for op in moves])

    def _later(self, kind: str, *args: Any, number: int = 0) -> None:
        op = Operation(kind, args, number=number)
        self.operations.append(op)
        self._waiting.append(op)

    def _renumber(self, op: Operation, number: int) -> None:
        self._renumbered[op.number] = number
        op.number = number

    # --- what the guard reads -------------------------------------------------------------------------------------

    def breaker(self) -> Breaker:
        self._refresh()
        return self._breaker_now

    def protection(self, symbol: str) -> Protection | None:
        self._refresh()
        return self._protected.get(symbol)

    def protections(self) -> list[Protection]:
        self._refresh()
        return [self._protected[symbol] for symbol in sorted(self._protected)]

    def open_position(self, symbol: str) -> OpenPosition | None:
        self._refresh()
        return self._by_symbol.get(symbol)

    def open_positions(self) -> list[OpenPosition]:
        self._refresh()
        return list(self._open.values())

    def _refresh(self) -> None:
        """Read the copy anew, once a minute; while the server is lost the last one stands, with what happened since."""
        if self._fresh or self.lost:
            return
        try:
            with self.database.transaction():
                breaker, protections, held = super().breaker(), super().protections(), super().open_positions()
        except DatabaseUnavailable:
            self.lost = True
            return
        self._breaker_now = breaker
        self._protected = {p.symbol: p for p in protections}
        self._open = {}
        self._by_symbol = {}
        for position in reversed(held):
            self._by_symbol[position.symbol] = position  # the oldest of several, as open_position gives it
        self._open = {p.id if p.table == "micro_positions" else -p.id: p for p in held}
        self._fresh = True

    # --- positions ------------------------------------------------------------------------------------------------

    def enter(self, entry: Entry, *, stacking: bool = False) -> Entered | Refused:
        self._refresh()
        if self.refuse_entries:
            return Refused(entry.symbol, entry.at, "database_lost", "nobody could write it when it was time")
        if not self.lost:
            try:
                self.drain(all=False)  # what happened before counts when the database looks again
                # Its signal waits with those that were refused: rows keep the order in which they came.
                outcome = super().enter(replace(entry, signal=None), stacking=stacking)
            except DatabaseUnavailable:
                self.lost = True
        if self.lost:
            return Refused(entry.symbol, entry.at, "database_lost", "no entry without a durable row")
        if isinstance(outcome, Entered):
            self.operations.append(Operation("enter", (entry,), written=True, number=outcome.position_id))
            if entry.signal is not None:
                self.record_signal(entry.signal, acted=True, reject_reason=None)
            self._note_entry(entry, outcome.position_id)
        return outcome

    def _note_entry(self, entry: Entry, number: int) -> None:
        position = OpenPosition(
            number, entry.symbol, entry.at, entry.price, entry.qty, entry.price, entry.stop_price, entry.atr_at_entry,
            entry.stop_pct, entry.universe_id,
        )  # fmt: skip
        self._open[number] = self._by_symbol[entry.symbol] = position
        if entry.cooldown_until is not None:
            current = self._protected.get(entry.symbol)
            self._protected[entry.symbol] = with_cooldown(
                current, entry.symbol, until=entry.cooldown_until, at=entry.at
            )

    def increase(self, position_id: int, *, at: datetime, price: float, qty: float, stop_price: float) -> None:
        self._later("increase", position_id, at, price, qty, stop_price)

    def move_stop(self, position_id: int, *, at: datetime, stop_price: float, high_water: float) -> None:
        self._later("move_stop", position_id, at, stop_price, high_water)

    def close(self, exit: Exit, ban: BanPolicy, cooldown_until: datetime | None = None) -> Protection | None:
        self._refresh()
        self._later("close", exit, ban, cooldown_until)
        position = self._open.pop(exit.position_id, None)
        if position is not None and self._by_symbol.get(exit.symbol) == position:
            del self._by_symbol[exit.symbol]
        current = self._protected.get(exit.symbol)
        for _, _, after in after_exit(current, exit, ban, cooldown_until):
            self._protected[exit.symbol] = current = after
        return current

    def note_excursions(self, position_id: int, mae_r: float, mfe_r: float) -> None:
        self._later("excursions", position_id, mae_r, mfe_r)

    def note_downtime(self, position_id: int) -> None:
        self._later("downtime", position_id)

    # --- breaker and record ---------------------------------------------------------------------------------------

    def trip(self, *, at: datetime, actor: str, reason: str) -> Breaker:
        self._refresh()
        self._later("trip", at, actor, reason)
        if not self._breaker_now.tripped:
            self._breaker_now = replace(
                self._breaker_now, tripped=True, reason=reason, tripped_at=at, tripped_by=actor or SYSTEM
            )
        return self._breaker_now

    def record_signal(self, signal: Signal, *, acted: bool, reject_reason: str | None) -> None:
        self._later("record_signal", signal, acted, reject_reason)

    def count_refusal(self, symbol: str, reason: RefusalReason, *, at: datetime, signal: bool) -> None:
        self._later("count_refusal", symbol, reason, at, signal)

    def save_scan(self, scan: UniverseScan) -> int:
        if not self.lost:
            try:
                number = super().save_scan(scan)
                self.operations.append(Operation("save_scan", (scan,), written=True, number=number))
                return number
            except DatabaseUnavailable:
                self.lost = True
        return 0  # of no use to anybody: what is decided now is decided again when the server is back


def _add(
    counts: dict[tuple[str, RefusalReason], RefusalCount],
    symbol: str,
    reason: RefusalReason,
    at: datetime,
    signal: bool,
) -> None:
    old = counts.get((symbol, reason)) or RefusalCount(symbol, reason, 0, 0, at, at)
    counts[symbol, reason] = RefusalCount(
        symbol, reason, old.bars + 1, old.signals + signal, min(old.first_at, at), max(old.last_at, at)
    )
