"""Figures of one side of a comparison, and of a paper record: P&L, win rate had and needed, and their intervals. Pure.

Start at `figures_of`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research import statistics as stats

SEED = 20260101  # the same trades always give the same intervals
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ComparedTrade:
    """A closed trade as comparison and gate look at it. USD after costs, `fee_usd` is the costs; risk None: not known."""

    symbol: str
    opened_ms: int
    closed_ms: int
    pnl_usd: float
    fee_usd: float
    risk_usd: float | None
    exit_reason: str | None

    @property
    def r(self) -> float | None:
        """The P&L in units of the risk at the hard stop."""
        return self.pnl_usd / self.risk_usd if self.risk_usd else None


def figures_of(trades: Sequence[ComparedTrade], daily: Sequence[Floats], seed: int) -> dict[str, Any]:
    """Return the figures of one side: P&L before and after costs, win rate had and needed, intervals by day.

    Args:
        daily: of each day the P&L in USD, the number of trades won and the number closed.
    """
    usd, won, closed = daily
    wins = sum(t.pnl_usd > 0 for t in trades)
    pnl, fees = math.fsum(t.pnl_usd for t in trades), math.fsum(t.fee_usd for t in trades)
    in_r = [t.r for t in trades if t.r is not None]
    stops = sum(t.exit_reason == "hard_stop" for t in trades)
    return {
        "trades": len(trades),
        "trades_per_day": len(trades) / len(usd),
        "pnl_usd": pnl,
        "before_costs_usd": pnl + fees,
        "costs_usd": fees,
        "pnl_r": math.fsum(in_r) if len(in_r) == len(trades) else None,
        "total": stats.careful_total(usd, seed=seed).document(),
        "wins": wins,
        "win_rate": stats.proportion(wins, len(trades)).document(),
        "win_rate_by_day": stats.bootstrap_win_rate(won, closed, seed=seed).document(),
        "win_rate_needed": win_rate_needed(trades),
        "hard_stops": stops,
        "hard_stop_share": stops / len(trades) if trades else None,
    }


def win_rate_needed(trades: Sequence[ComparedTrade]) -> float | None:
    """Return the win rate at which the payoff had breaks even, 0..1; None where nothing was won or nothing lost."""
    needed = stats.win_rate_needed(
        _mean([t.pnl_usd for t in trades if t.pnl_usd > 0]), _mean([-t.pnl_usd for t in trades if t.pnl_usd < 0])
    )
    return needed if math.isfinite(needed) else None


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def money(usd: float | None) -> str:
    """Return `+$1.50`, and under a dollar `+$0.125`: differences a day are small."""
    if usd is None:
        return "n/a"
    digits = 2 if abs(usd) >= 1 or usd == 0 else 3
    return f"{'-' if usd < 0 else '+'}${abs(usd):,.{digits}f}"
