"""Hand-made markets and positions whose every figure can be checked on paper."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest

from sigil_ext.research.diagnosis.candles import Candles, SymbolCandles
from sigil_ext.research.diagnosis.entries import Buy, ExitRule, Position, Run
from sigil_ext.research.diagnosis.parts import Today
from sigil_ext.settings.overlays import load_variant

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
MONDAY = int(datetime(2025, 6, 16, tzinfo=UTC).timestamp() * 1000)
# Fixed stop 3 %, no trail, never flat, no costs; 15-minute bars.
BARE = ExitRule(0.0, 3.0, 6.0, 1e9, 1.0, 480.0, 0.0, 15, 60, 0.0)


def minutes_of(closes: Sequence[float], start_ms: int = MONDAY, spread: float = 0.0) -> np.ndarray:
    """Minutes that open at the last close and reach `spread` beyond open and close."""
    close = np.asarray(closes, dtype=float)
    opened = np.r_[close[0], close[:-1]]
    high, low = np.maximum(opened, close) + spread, np.minimum(opened, close) - spread
    times = start_ms + np.arange(len(close)) * float(MINUTE)
    return np.column_stack([times, opened, close, high, low, np.ones(len(close))])


def wandering(seed: int, days: float = 12, volatility: float = 0.0012, start_ms: int = MONDAY) -> np.ndarray:
    """Minutes of a random walk without a drift."""
    steps = np.random.default_rng(seed).normal(0, volatility, int(days * 1440))
    return minutes_of(np.exp(np.cumsum(steps)), start_ms, spread=0.0002)


def candles_of(minutes: np.ndarray, symbol: str = "TST-USDT") -> Candles:
    return Candles({symbol: minutes}, int(minutes[0, 0]), int(minutes[-1, 0]) + MINUTE, 15, 60)


def series_of(minutes: np.ndarray) -> SymbolCandles:
    found = candles_of(minutes).of("TST-USDT")
    assert found is not None
    return found


def position(
    hour: float = 1.0, held_hours: float = 2.0, pnl: float = -3.0, reason: str = "hard_stop", symbol: str = "TST-USDT",
    entry: float = 1.0, qty: float = 100.0, exit_price: float | None = None, atr: float = 0.02, stop_pct: float = 3.0,
    more: Sequence[tuple[float, float, float]] = (),
) -> Position:  # fmt: skip
    """A position opened `hour` hours after Monday; its exit price makes `pnl` without costs unless it is given."""
    buys = (Buy(MONDAY + int(hour * HOUR), entry, qty), *(Buy(MONDAY + int(h * HOUR), p, q) for h, p, q in more))
    out = entry + pnl / qty if exit_price is None else exit_price
    return Position(symbol, buys, buys[0].at_ms + int(held_hours * HOUR), out, reason, pnl, atr, stop_pct)


def run_of(positions: Sequence[Position], rule: ExitRule = BARE, name: str = "baseline") -> Run:
    return Run(name, tuple(positions), rule, {})


@pytest.fixture(scope="session")
def today() -> Today:
    settings = load_variant("baseline").settings
    return Today(settings.guard.cooldown_hours, settings.ban)
