"""How a variant does, by stable names: at a glance, wallet, performance, risk, gate. Values only; `readings_account` makes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class BreakerView:
    """The breaker and the pause; either blocks entries and nothing else."""

    variant: str
    entries_blocked: bool
    tripped: bool
    tripped_at: datetime | None
    tripped_by: str | None
    reason: str | None
    paused: bool
    paused_at: datetime | None
    paused_by: str | None
    pause_reason: str | None


@dataclass(frozen=True, slots=True)
class HeartbeatView:
    """How a variant lives; ages in seconds by the database's clock, null of what never was."""

    variant: str
    life: str
    state: str | None
    feed: str | None
    session_id: int | None
    connected: bool
    last_scan_start: datetime | None
    last_scan_end: datetime | None
    last_candle: datetime | None
    last_write: datetime | None
    scan_age_s: float | None
    candle_age_s: float | None
    write_age_s: float | None
    probed_at: datetime | None
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VariantView:
    """One variant at a glance."""

    variant: str
    life: str
    problems: tuple[str, ...]
    market_now: datetime
    equity_usd: float | None
    cash_usd: float | None
    positions_usd: float | None
    equity_at: datetime | None
    pnl_usd: float
    pnl_today_usd: float
    open_positions: int
    closed_positions: int
    hard_stop_share: float | None
    win_rate: float | None
    bans: int
    cooldowns: int
    breaker: BreakerView
    heartbeat: HeartbeatView
    universe_accepted: int | None
    universe_pool: int | None
    alerts_waiting: int
    database_bytes: int


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """The wallet at an instant, USD."""

    at: datetime
    equity_usd: float
    cash_usd: float
    positions_usd: float
    open_positions: int


@dataclass(frozen=True, slots=True)
class EquityCurve:
    """The recorded wallet in at most about so many points as were asked for: the last of each stretch of time."""

    variant: str
    points: tuple[EquityPoint, ...]


@dataclass(frozen=True, slots=True)
class ReasonView:
    """Closed trades of one exit reason."""

    exit_reason: str
    trades: int
    share: float
    wins: int
    pnl_usd: float
    fees_usd: float
    mean_pnl_usd: float
    mean_held_s: float


@dataclass(frozen=True, slots=True)
class DayView:
    """Trades closed on one UTC day."""

    day: date
    trades: int
    pnl_usd: float


@dataclass(frozen=True, slots=True)
class SymbolView:
    """Closed trades of one symbol."""

    symbol: str
    trades: int
    pnl_usd: float


@dataclass(frozen=True, slots=True)
class PerformanceView:
    """What closed trades brought, after costs. `win_rate_needed` is the one at which wins and losses of this size cancel."""

    variant: str
    trades: int
    wins: int
    win_rate: float | None
    win_rate_needed: float | None
    pnl_usd: float
    fees_usd: float
    mean_win_usd: float | None
    mean_loss_usd: float | None
    payoff_ratio: float | None
    profit_factor: float | None
    max_drawdown_usd: float | None
    max_drawdown_pct: float | None
    by_exit_reason: tuple[ReasonView, ...]
    by_day: tuple[DayView, ...]
    by_symbol: tuple[SymbolView, ...]


@dataclass(frozen=True, slots=True)
class LimitView:
    """One limit of the breaker: its value now, and the one at which it trips; null: it is off."""

    name: str
    value: float | None
    limit: float | None


@dataclass(frozen=True, slots=True)
class RiskView:
    """What is at stake. `open_risk_usd` is lost if every open position is stopped at its present stop, before costs."""

    variant: str
    equity_usd: float | None
    open_positions: int
    max_open_positions: int | None
    exposure_usd: float
    open_risk_usd: float
    without_stop: int
    cap_bound: int
    limits: tuple[LimitView, ...]


@dataclass(frozen=True, slots=True)
class GateStepView:
    """One condition of the graduation gate; `met` null: not yet. `share` 0..1 of the way there."""

    name: str
    met: bool | None
    said: str
    share: float | None


@dataclass(frozen=True, slots=True)
class VerdictView:
    """A verdict of `sigil gate` as it was given; `looks` counts how often it was asked, `document` has its intervals."""

    id: int
    at: datetime
    since: datetime | None
    until: datetime | None
    outcome: str
    looks: int
    asked_by: str
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class GateView:
    """What `sigil gate` would say of a variant now, and the last verdict that it wrote down; null: it was never asked."""

    variant: str
    met: bool
    steps: tuple[GateStepView, ...]
    verdict: VerdictView | None
