"""The nouns that rules and stores exchange: plain frozen values, times as aware UTC datetimes, prices in quote currency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

ExitReason = Literal["hard_stop", "atr_trail", "flat_no_move", "manual", "kill_switch", "adopted_close", "session_end"]
EXIT_REASONS: tuple[ExitReason, ...] = (
    "hard_stop",
    "atr_trail",
    "flat_no_move",
    "manual",
    "kill_switch",
    "adopted_close",
    "session_end",
)

RefusalReason = Literal[
    "breaker_tripped",
    "paused",
    "not_in_universe",
    "position_open",
    "cooldown",
    "ban",
    "max_open_positions",
    "not_enough_cash",
    "data_stale",
    "under_minimum_size",
    "entry_in_progress",
    "database_lost",
]
REFUSAL_REASONS: tuple[RefusalReason, ...] = (
    "breaker_tripped",
    "paused",
    "not_in_universe",
    "position_open",
    "cooldown",
    "ban",
    "max_open_positions",
    "not_enough_cash",
    "data_stale",
    "under_minimum_size",
    "entry_in_progress",
    "database_lost",
)


@dataclass(frozen=True, slots=True)
class Protection:
    """What bars one symbol from being entered. A lock that ends at T is free at T.

    `violation_count` is the count as stored; `protections.decayed_count` says what is left of it now.
    """

    symbol: str
    expires_at: datetime | None = None
    ban_until: datetime | None = None
    violation_count: int = 0
    created_at: datetime | None = None
    last_violation_at: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ProtectionEvent:
    """One line of a symbol's protection history: who did what, when and why, and what stood afterwards."""

    symbol: str
    at: datetime
    kind: Literal["cooldown", "ban", "violation", "manual_cooldown", "manual_ban", "lift"]
    actor: str
    reason: str
    expires_at: datetime | None
    ban_until: datetime | None
    violation_count: int


@dataclass(frozen=True, slots=True)
class OperatorAct:
    """One act upon a variant's breaker, pause, protections or whole session: who did what, when and why."""

    at: datetime
    actor: str
    act: Literal["trip", "reset", "pause", "resume", "cooldown", "ban", "lift", "retire"]
    symbol: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Breaker:
    """The circuit breaker and the pause of a variant. Both block entries and nothing else."""

    tripped: bool = False
    reason: str | None = None
    tripped_at: datetime | None = None
    tripped_by: str | None = None
    paused: bool = False
    pause_reason: str | None = None
    paused_at: datetime | None = None
    paused_by: str | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """An entry signal of a closed bar with the figures that made it."""

    symbol: str
    at: datetime
    rule: str
    close: float
    highest_high: float
    volume_ratio: float
    rsi: float
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """Everything that the entry transaction writes: position, cooldown, signal.

    `qty` is the ordered quantity in base currency, before the exchange takes its fee from it. `cooldown_until` is None
    where the variant's cooldown starts at the close.
    """

    symbol: str
    at: datetime
    price: float
    qty: float
    notional_usd: float
    stop_price: float
    stop_pct: float
    atr_at_entry: float | None
    risk_usd: float
    cap_bound: bool
    universe_id: int | None
    cooldown_until: datetime | None
    max_open_positions: int
    signal: Signal | None = None


@dataclass(frozen=True, slots=True)
class Entered:
    """The entry is durable: a position row, its cooldown and its signal were committed together."""

    position_id: int


@dataclass(frozen=True, slots=True)
class Refused:
    """An entry that was not made, and why."""

    symbol: str
    at: datetime
    reason: RefusalReason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RefusalCount:
    """How often `symbol` was refused for one reason: bars with the guard shut, and how many of them held a signal."""

    symbol: str
    reason: RefusalReason
    bars: int
    signals: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class OpenPosition:
    """An open position as a store knows it."""

    id: int
    symbol: str
    opened_at: datetime
    entry_price: float
    qty: float
    high_water: float | None
    stop_price: float | None
    atr_at_entry: float | None
    stop_pct: float | None
    universe_id: int | None
    table: Literal["micro_positions", "paper_positions"] = "micro_positions"


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of a position. `pnl_usd` is what the wallet gained or lost by the whole trade, fees included."""

    position_id: int
    symbol: str
    at: datetime
    price: float
    reason: ExitReason
    fees_usd: float
    pnl_usd: float


@dataclass(frozen=True, slots=True)
class UniverseRow:
    """Why one symbol of the pool is in the universe or not; `rank` counts from 1 among those that passed the filters."""

    symbol: str
    accepted: bool
    reason: str
    score: float | None = None
    rank: int | None = None
    measures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UniverseScan:
    """One scan of the pool: every symbol with its reason, accepted ones by rank first."""

    at: datetime
    rows: tuple[UniverseRow, ...]

    @property
    def accepted(self) -> frozenset[str]:
        """Symbols that may be entered until the next scan."""
        return frozenset(row.symbol for row in self.rows if row.accepted)
