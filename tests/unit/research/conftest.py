"""Hand-made runs: trades of round figures, so that every figure of a report can be checked on paper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from sigil_ext.bridge.records import RunRecord, Trade
from sigil_ext.bridge.simulate import SimulationResult
from sigil_ext.research.backtest_report import build_report
from sigil_ext.settings.overlays import Variant, load_variant

HOUR = 3_600_000
MONDAY = int(datetime(2025, 6, 16, tzinfo=UTC).timestamp() * 1000)


def make_trade(
    pnl: float, reason: str = "atr_trail", symbol: str = "TST-USDT", hour: float = 1, held_hours: float = 2, **more: Any
) -> Trade:
    """Return a trade opened `hour` hours after Monday 2025-06-16, of 50 USD with a stop 4 % away: 2 USD are 1 R."""
    figures: dict[str, Any] = {
        "symbol": symbol, "opened_at_ms": MONDAY + int(hour * HOUR),
        "closed_at_ms": MONDAY + int((hour + held_hours) * HOUR), "entry_price": 1.0, "exit_price": 1.0 + pnl / 50,
        "qty": 50.0, "fee": 0.15, "pnl_usd": pnl, "exit_reason": reason, "atr_at_entry": 0.02, "stop_pct": 4.0,
        "hard_stop_price": 0.96, "stop_price": 0.96, "risk_usd": 2.0, "notional_usd": 50.0, "cap_bound": True,
        "cash_bound": False, "universe_id": 7, "entries": 1, "high_water": 1.05,
        "signal": {"close": 1.0, "rsi": 61.0}, "mae_r": 0.5, "mfe_r": 1.0, "next_24h_high_pct": 3.0,
        "next_24h_low_pct": -2.0,
    }  # fmt: skip
    return Trade(**(figures | more))


def make_result(
    trades: Sequence[Trade] = (), label: str = "baseline", hours: int = 48, **more: Any
) -> SimulationResult:
    """Return a run of `hours` hours from Monday on, its equity marked each hour; it moves by a trade's P&L at its close."""
    times = MONDAY + np.arange(0, hours + 1) * HOUR
    equity = np.full(len(times), 1000.0)
    for trade in trades:
        equity[times >= trade.closed_at_ms] += trade.pnl_usd
    figures: dict[str, Any] = {
        "label": label, "start_ms": MONDAY, "finish_ms": MONDAY + hours * HOUR, "symbols": ["DOGS-USDT", "TST-USDT"],
        "record": RunRecord(trades=list(trades), signals_acted=len(trades)), "metrics": {"total": len(trades)},
        "starting_balance": 1000.0, "equity_times_ms": times, "equity": equity, "cash": equity.copy(),
        "final_cash": 1000.0 + sum(t.pnl_usd for t in trades),
    }  # fmt: skip
    return SimulationResult(**(figures | more))


@pytest.fixture(scope="session")
def baseline() -> Variant:
    return load_variant("baseline")


@pytest.fixture
def trade() -> Callable[..., Trade]:
    return make_trade


@pytest.fixture
def run() -> Callable[..., SimulationResult]:
    return make_result


@pytest.fixture
def week_of_trades() -> list[Trade]:
    """Five trades: two trails won 3 and 1, one trail ended at 0, two hard stops lost 2 and 4; net -2."""
    return [
        make_trade(3.0, hour=1, held_hours=2, mae_r=0.2, mfe_r=2.0),
        make_trade(-2.0, "hard_stop", hour=2, held_hours=2, mae_r=1.0, mfe_r=0.0),
        make_trade(1.0, symbol="DOGS-USDT", hour=10, held_hours=1, mae_r=0.4, mfe_r=1.0),
        make_trade(0.0, symbol="DOGS-USDT", hour=25, held_hours=1, mae_r=0.6, mfe_r=0.9),
        make_trade(-4.0, "hard_stop", hour=30, held_hours=4, mae_r=1.0, mfe_r=0.4, next_24h_high_pct=None,
                   next_24h_low_pct=None),
    ]  # fmt: skip


@pytest.fixture
def report(week_of_trades: list[Trade], baseline: Variant) -> dict[str, Any]:
    result = make_result(week_of_trades)
    result.record.signals_refused = Counter({"cooldown": 2, "not_in_universe": 9})
    result.record.bars_refused = Counter({"cooldown": 24, "not_in_universe": 700, "ban": 3})
    return build_report(result, baseline)


@pytest.fixture
def empty_report(baseline: Variant) -> dict[str, Any]:
    return build_report(make_result(), baseline)
