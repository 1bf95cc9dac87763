"""The store of research: one variant's memory in plain dictionaries, gone with the process.

Keeps the same contract as `postgres_store.PostgresStore` (rules/ports.py), under the same tests. Reads are dictionary
look-ups, because a backtest asks a million times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sigil_ext.rules.ports import BanPolicy
from sigil_ext.rules.protections import active_bar, after_hard_stop, lifted, with_ban, with_cooldown
from sigil_ext.rules.types import (
    Breaker,
    Entered,
    Entry,
    Exit,
    OpenPosition,
    Protection,
    ProtectionEvent,
    Refused,
    Signal,
    UniverseScan,
)

SYSTEM = "sigil"


class MemoryStore:
    """One variant's memory for the length of a run."""

    def __init__(self, variant: str) -> None:
        self.variant = variant
        self._breaker = Breaker()
        self._protections: dict[str, Protection] = {}
        self._open: dict[str, OpenPosition] = {}
        self._open_list: list[OpenPosition] = []
        self._history: dict[str, list[ProtectionEvent]] = {}
        self._signals: list[tuple[Signal, bool, str | None]] = []
        self._scans: list[UniverseScan] = []
        self._positions = 0

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

    def enter(self, entry: Entry, *, stacking: bool = False) -> Entered | Refused:
        bar = active_bar(self._protections.get(entry.symbol), entry.at)
        if self._breaker.tripped:
            return Refused(entry.symbol, entry.at, "breaker_tripped")
        if self._breaker.paused:
            return Refused(entry.symbol, entry.at, "paused")
        if entry.symbol in self._open:
            return Refused(entry.symbol, entry.at, "position_open")
        if bar:
            return Refused(entry.symbol, entry.at, bar)
        if len(self._open) >= entry.max_open_positions:
            return Refused(entry.symbol, entry.at, "max_open_positions")
        self._positions += 1
        self._open[entry.symbol] = OpenPosition(
            self._positions, entry.symbol, entry.at, entry.price, entry.qty, entry.price, entry.stop_price,
            entry.atr_at_entry, entry.stop_pct, entry.universe_id,
        )  # fmt: skip
        self._open_list = list(self._open.values())
        if entry.cooldown_until is not None:
            after = with_cooldown(
                self._protections.get(entry.symbol), entry.symbol, until=entry.cooldown_until, at=entry.at
            )
            self._keep(after, "cooldown", entry.at, SYSTEM, "position opened")
        if entry.signal is not None:
            self._signals.append((entry.signal, True, None))
        return Entered(self._positions)

    def increase(self, position_id: int, *, at: datetime, price: float, qty: float, stop_price: float) -> None:
        p = self._by_id(position_id)
        total = p.qty + qty
        average = (p.qty * p.entry_price + qty * price) / total
        self._open[p.symbol] = replace(p, qty=total, entry_price=average, stop_price=stop_price)
        self._open_list = list(self._open.values())

    def move_stop(self, position_id: int, *, at: datetime, stop_price: float, high_water: float) -> None:
        p = self._by_id(position_id)
        self._open[p.symbol] = replace(p, stop_price=stop_price, high_water=high_water)
        self._open_list = list(self._open.values())

    def close(self, exit: Exit, ban: BanPolicy, cooldown_until: datetime | None = None) -> Protection | None:
        del self._open[self._by_id(exit.position_id).symbol]
        self._open_list = list(self._open.values())
        current = self._protections.get(exit.symbol)
        if exit.reason == "hard_stop":
            after = after_hard_stop(current, exit.symbol, at=exit.at, ban=ban)
            kind = "ban" if after.ban_until != (current.ban_until if current else None) else "violation"
            self._keep(after, kind, exit.at, SYSTEM, "hard stop")
        if cooldown_until is not None:
            after = with_cooldown(self._protections.get(exit.symbol), exit.symbol, until=cooldown_until, at=exit.at)
            self._keep(after, "cooldown", exit.at, SYSTEM, "position closed")
        return self._protections.get(exit.symbol)

    def _keep(self, after: Protection, kind: str, at: datetime, actor: str, reason: str) -> Protection:
        self._protections[after.symbol] = after
        self._history.setdefault(after.symbol, []).append(
            ProtectionEvent(
                after.symbol, at, kind, actor, reason, after.expires_at, after.ban_until, after.violation_count
            )  # type: ignore[arg-type]
        )
        return after

    def _by_id(self, position_id: int) -> OpenPosition:
        return next(p for p in self._open_list if p.id == position_id)

    def add_cooldown(self, symbol: str, *, until: datetime, at: datetime, actor: str, reason: str) -> Protection:
        after = with_cooldown(self._protections.get(symbol), symbol, until=until, at=at)
        return self._keep(after, "manual_cooldown", at, actor, reason)

    def add_ban(self, symbol: str, *, until: datetime, at: datetime, actor: str, reason: str) -> Protection:
        after = with_ban(self._protections.get(symbol), symbol, until=until, at=at)
        return self._keep(after, "manual_ban", at, actor, reason)

    def lift(self, symbol: str, *, at: datetime, actor: str, reason: str) -> Protection:
        return self._keep(lifted(self._protections.get(symbol), symbol, at=at), "lift", at, actor, reason)

    def protection_history(self, symbol: str) -> Sequence[ProtectionEvent]:
        return list(self._history.get(symbol, []))

    def trip(self, *, at: datetime, actor: str, reason: str) -> Breaker:
        if not self._breaker.tripped:
            self._breaker = replace(self._breaker, tripped=True, reason=reason, tripped_at=at, tripped_by=actor)
        return self._breaker

    def reset(self, *, at: datetime, actor: str, reason: str) -> Breaker:
        self._breaker = replace(self._breaker, tripped=False, reason=None, tripped_at=None, tripped_by=None)
        return self._breaker

    def pause(self, *, at: datetime, actor: str, reason: str) -> Breaker:
        self._breaker = replace(self._breaker, paused=True, pause_reason=reason, paused_at=at)
        return self._breaker

    def resume(self, *, at: datetime, actor: str, reason: str) -> Breaker:
        self._breaker = replace(self._breaker, paused=False, pause_reason=None, paused_at=None)
        return self._breaker

    def record_signal(self, signal: Signal, *, acted: bool, reject_reason: str | None) -> None:
        self._signals.append((signal, acted, reject_reason))

    def signals(self, since: datetime | None = None) -> list[tuple[Signal, bool, str | None]]:
        return [row for row in self._signals if since is None or row[0].at >= since]

    def save_scan(self, scan: UniverseScan) -> int:
        self._scans.append(scan)
        return len(self._scans)

    def scan(self, universe_id: int) -> UniverseScan | None:
        return self._scans[universe_id - 1] if 0 < universe_id <= len(self._scans) else None

    def last_scan(self) -> tuple[int, UniverseScan] | None:
        return (len(self._scans), self._scans[-1]) if self._scans else None

    def known_symbols(self) -> list[str]:
        return sorted({*self._protections, *self._open, *(s.symbol for s, _, _ in self._signals)})
