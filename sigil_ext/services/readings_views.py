"""Rows of the API by their stable names: positions, signals, refusals, protections, acts, audits, scans, alerts, probes.

Values only; `readings` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class PositionView:
    """A position; `price` and what follows from it are of the last recorded minute while it is open, else of its exit.

    `r` is the move in units of the distance to the hard stop. `id` is a number, or p and a number in the earlier bot's book.
    """

    id: str
    variant: str
    symbol: str
    status: str
    opened_at: datetime
    closed_at: datetime | None
    entry_price: float
    exit_price: float | None
    qty: float
    notional_usd: float | None
    stop_price: float | None
    stop_pct: float | None
    hard_stop_price: float | None
    trail_armed: bool | None
    high_water: float | None
    atr_at_entry: float | None
    risk_usd: float | None
    cap_bound: bool | None
    universe_id: int | None
    increases: int
    price: float | None
    price_at: datetime | None
    move_pct: float | None
    r: float | None
    unrealized_usd: float | None
    mae_r: float | None
    mfe_r: float | None
    exit_reason: str | None
    exit_detail: str | None
    fees_usd: float
    pnl_usd: float | None
    downtime: bool


@dataclass(frozen=True, slots=True)
class SignalView:
    """An entry signal and what became of it."""

    id: int
    variant: str
    symbol: str
    at: datetime
    rule: str
    close: float | None
    highest_high: float | None
    volume_ratio: float | None
    rsi: float | None
    score: float | None
    acted: bool
    reject_reason: str | None


@dataclass(frozen=True, slots=True)
class RefusalView:
    """How often a symbol was refused for one reason: bars with the guard shut, and how many of them held a signal."""

    variant: str
    symbol: str
    reason: str
    bars: int
    signals: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class ProtectionView:
    """What bars a symbol: `active` is ban, cooldown or nothing, judged at the variant's market time."""

    variant: str
    symbol: str
    active: str | None
    until: datetime | None
    expires_at: datetime | None
    ban_until: datetime | None
    violation_count: int
    last_violation_at: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class ProtectionEventView:
    """One line of the protections' history."""

    id: int
    variant: str
    symbol: str
    at: datetime
    kind: str
    actor: str
    reason: str
    expires_at: datetime | None
    ban_until: datetime | None
    violation_count: int


@dataclass(frozen=True, slots=True)
class ActView:
    """An act of a person or the system. `outcome` is of acts that a session carries out, None while it waits."""

    id: int
    variant: str
    at: datetime
    actor: str
    act: str
    symbol: str | None
    reason: str
    done_at: datetime | None
    outcome: str | None


@dataclass(frozen=True, slots=True)
class AuditView:
    """What an audit of paper against backtest found."""

    id: int
    variant: str
    at: datetime
    session_id: int
    since: datetime
    until: datetime
    matched: int
    paper_only: int
    backtest_only: int
    differing: int
    unexplained: int


@dataclass(frozen=True, slots=True)
class ScanView:
    """A scan of the pool: how many of how many symbols may be entered."""

    id: int
    variant: str
    at: datetime
    written_at: datetime
    accepted: int
    pool: int


@dataclass(frozen=True, slots=True)
class UniverseRowView:
    """Why a symbol is in the universe or not; NaN among the measures is null."""

    symbol: str
    accepted: bool
    reason: str
    score: float | None
    rank: int | None
    measures: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class UniverseView:
    """One scan with every symbol of the pool."""

    id: int
    variant: str
    at: datetime
    rows: tuple[UniverseRowView, ...]


@dataclass(frozen=True, slots=True)
class AlertView:
    """A message to people and whether it was delivered: waiting, sent, filtered, given_up."""

    id: int
    variant: str
    at: datetime
    event: str
    reason: str | None
    title: str
    body: str
    state: str
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class ProbeView:
    """A run of the probe and what it found wrong, in sentences; nothing when all was well."""

    id: int
    variant: str
    at: datetime
    findings: tuple[str, ...]
    took_ms: int
