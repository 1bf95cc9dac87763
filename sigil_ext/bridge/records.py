"""What a run leaves behind: trades, refusals, signals, scans, equity. Plain values that cross a process boundary."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Fill:
    """One executed order. `at_ms` is the close of the minute it filled in; `qty` is base currency as ordered, > 0."""

    symbol: str
    at_ms: int
    side: str
    qty: float
    price: float


@dataclass(slots=True)
class Trade:
    """One position from open to close.

    `qty` is what was bought before the exchange took its fee from it; `fee` is both sides' cost in USD, fee and slippage
    together; `pnl_usd` is what the wallet gained or lost. R is the distance from entry to hard stop. A foreign strategy
    has no stop that Sigil knows of: those fields are None and the reason is `strategy`.
    """

    symbol: str
    opened_at_ms: int
    closed_at_ms: int
    entry_price: float
    exit_price: float
    qty: float
    fee: float
    pnl_usd: float
    exit_reason: str
    atr_at_entry: float | None
    stop_pct: float | None
    hard_stop_price: float | None
    stop_price: float | None
    risk_usd: float | None
    notional_usd: float
    cap_bound: bool
    cash_bound: bool
    universe_id: int | None
    entries: int
    high_water: float | None
    signal: dict[str, float]
    fills: list[Fill] = field(default_factory=list)
    mae_r: float | None = None
    mfe_r: float | None = None
    next_24h_high_pct: float | None = None
    next_24h_low_pct: float | None = None


@dataclass(slots=True)
class RunRecord:
    """Everything a session wrote down while it ran. `scan_log` holds (ms, ((symbol, reason), ...)) of each scan."""

    trades: list[Trade] = field(default_factory=list)
    bars_refused: Counter[str] = field(default_factory=Counter)
    signals_refused: Counter[str] = field(default_factory=Counter)
    refused_signals: list[dict[str, Any]] = field(default_factory=list)
    signals_acted: int = 0
    scans: int = 0
    universe_reasons: Counter[str] = field(default_factory=Counter)
    universe_sizes: list[int] = field(default_factory=list)
    scan_log: list[tuple[int, tuple[tuple[str, str], ...]]] = field(default_factory=list)
    breaker_reason: str | None = None
    breaker_tripped_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What a simulation process tells its parent about request number `index`.

    `kind` is "progress" (payload: share done), "done" (the result) or "failed" (is it wrong use, sentence, traceback).
    """

    index: int
    kind: str
    payload: Any
