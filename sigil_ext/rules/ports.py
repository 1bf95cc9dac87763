"""What rules, bridge and services need from a store. Two classes keep the contract: `db.memory_store.MemoryStore` for
research and `db.postgres_store.PostgresStore` for everything that must survive; both pass the same tests.

Symbols cross this port as Jesse writes them (TST-USDT); a store translates to what its rows hold (TSTUSDT).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

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


class BanPolicy(Protocol):
    """The `ban` section of the settings, as far as a store needs it."""

    @property
    def after(self) -> int: ...
    @property
    def window(self) -> timedelta: ...
    @property
    def base_hours(self) -> float: ...
    @property
    def max_hours(self) -> float: ...


class Store(Protocol):
    """The memory of one variant."""

    @property
    def variant(self) -> str: ...

    # --- what the guard reads -------------------------------------------------------------------------------------
    def breaker(self) -> Breaker: ...
    def protection(self, symbol: str) -> Protection | None: ...
    def protections(self) -> list[Protection]: ...
    def open_position(self, symbol: str) -> OpenPosition | None:
        """Return the open position on `symbol` from micro_positions or paper_positions, or None."""
        ...

    def open_positions(self) -> list[OpenPosition]: ...

    # --- positions ------------------------------------------------------------------------------------------------
    def enter(self, entry: Entry, *, stacking: bool = False) -> Entered | Refused:
        """Open a position in one transaction: lock, re-check, position, cooldown, signal. Never raises for a rival.

        With `stacking` the open rows are not asked about; one open row a symbol stays the law all the same, so a second
        one in the store's own table is refused as `position_open` (a stacked entry is an `increase`).
        """
        ...

    def increase(self, position_id: int, *, at: datetime, price: float, qty: float, stop_price: float) -> None:
        """Add to an open position (stacked entries of `legacy`): average entry price, summed quantity, new stop."""
        ...

    def move_stop(self, position_id: int, *, at: datetime, stop_price: float, high_water: float) -> None:
        """Raise stop and high-water mark; neither moves down. Nothing happens to a position that is closed already."""
        ...

    def close(self, exit: Exit, ban: BanPolicy, cooldown_until: datetime | None = None) -> Protection | None:
        """Close a position; a hard stop counts as a violation and may ban. Return the symbol's protection afterwards.

        Closing it a second time changes nothing, so that an exit may be written again after a crash or a lost commit.
        Raises UsageError for a position that never was.
        """
        ...

    # --- protections by a person ----------------------------------------------------------------------------------
    # `at` is the market's time, which the bar goes by; `acted_at` is the person's, `at` where it is None.
    def add_cooldown(
        self, symbol: str, *, until: datetime, at: datetime, actor: str, reason: str, acted_at: datetime | None = None
    ) -> Protection: ...
    def add_ban(
        self, symbol: str, *, until: datetime, at: datetime, actor: str, reason: str, acted_at: datetime | None = None
    ) -> Protection: ...
    def lift(
        self, symbol: str, *, at: datetime, actor: str, reason: str, acted_at: datetime | None = None
    ) -> Protection:
        """End cooldown and ban of `symbol` at `at`. The violation count stays."""
        ...

    def protection_history(self, symbol: str) -> Sequence[ProtectionEvent]:
        """Return the events of `symbol`, oldest first."""
        ...

    # --- breaker; every act, here and by a person above, is kept ---------------------------------------------------
    def trip(self, *, at: datetime, actor: str, reason: str) -> Breaker:
        """Trip the breaker. Latching: a second trip keeps the first reason and time."""
        ...

    def reset(self, *, at: datetime, actor: str, reason: str) -> Breaker: ...
    def pause(self, *, at: datetime, actor: str, reason: str) -> Breaker: ...
    def resume(self, *, at: datetime, actor: str, reason: str) -> Breaker: ...
    def acts(self) -> Sequence[OperatorAct]:
        """Return every trip, reset, pause, resume, manual cooldown, ban and lift, oldest first."""
        ...

    # --- the record -----------------------------------------------------------------------------------------------
    def record_signal(self, signal: Signal, *, acted: bool, reject_reason: str | None) -> None: ...
    def signals(self, since: datetime | None = None) -> list[tuple[Signal, bool, str | None]]:
        """Return (signal, acted, reject_reason), oldest first."""
        ...

    def count_refusal(self, symbol: str, reason: RefusalReason, *, at: datetime, signal: bool) -> None:
        """Count one bar on which `symbol` was refused; `signal`: the entry rules would have entered."""
        ...

    def refusals(self) -> list[RefusalCount]: ...

    def save_scan(self, scan: UniverseScan) -> int:
        """Store a scan with every reason and return its id, the `universe_id` stamped on positions."""
        ...

    def scan(self, universe_id: int) -> UniverseScan | None: ...
    def last_scan(self) -> tuple[int, UniverseScan] | None: ...
    def known_symbols(self) -> list[str]:
        """Return every symbol that any row of this variant names."""
        ...
