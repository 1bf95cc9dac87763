"""What a cell came to: the figures of its trades, over all of the time or a part of it, and its P&L by day.

Pure, over the arrays of `kernel.trades`, so both engines are measured by the same lines. A figure that does not exist is
None, never 0. Money in USD, shares and rates 0..1, `*_pct` percent. Start at `figures_of`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research.backtest_stats import DAY_MS, iso, win_rate_needed
from sigil_ext.research.kernel.trades import EXIT_REASONS
from sigil_ext.rules.equity import drawdown_pct

Trades = NDArray[np.void]
HARD_STOP = EXIT_REASONS.index("hard_stop")


def figures_of(trades: Trades, starting_balance: float) -> dict[str, Any]:
    """Return the figures of `trades`, which closed in this order.

    `max_drawdown_*` is that of the closed trades: blind to open losses, the same for both engines.
    """
    pnl = trades["pnl_usd"]
    wins, losses = pnl[pnl > 0], pnl[pnl < 0]
    avg_win, avg_loss = _mean(wins), _mean(losses)
    gross_win, gross_loss = math.fsum(wins), math.fsum(losses)
    count = len(trades)
    risked = trades[trades["risk_usd"] > 0]
    r = risked["pnl_usd"] / risked["risk_usd"]
    equity = starting_balance + np.concatenate(([0.0], np.cumsum(pnl)))
    fall = np.maximum.accumulate(equity) - equity
    hard_stops = int((trades["exit_reason"] == HARD_STOP).sum())
    return {
        "trades": count,
        "net_pnl_usd": math.fsum(pnl),
        "net_pnl_r": math.fsum(r),
        "avg_trade_usd": _mean(pnl),
        "avg_trade_r": _mean(r),
        "wins": len(wins),
        "losses": len(losses),
        "win_rate": len(wins) / count if count else None,
        "avg_win_usd": avg_win,
        "avg_loss_usd": avg_loss,
        "payoff_ratio": None if avg_win is None or avg_loss is None else avg_win / -avg_loss,
        "win_rate_needed": win_rate_needed(avg_win, avg_loss),
        "profit_factor": gross_win / -gross_loss if gross_loss else None,
        "hard_stop_share": hard_stops / count if count else None,
        "max_drawdown_usd": float(fall.max()),
        "max_drawdown_pct": float(drawdown_pct(equity).max()),
        "fee_usd": math.fsum(trades["fee"]),
        "exits": exits_of(trades),
    }


def exits_of(trades: Trades) -> dict[str, dict[str, Any]]:
    """Return count and P&L of every exit reason that occurs."""
    exits = {}
    for index in np.unique(trades["exit_reason"]):
        pnl = trades["pnl_usd"][trades["exit_reason"] == index]
        exits[EXIT_REASONS[index]] = {"count": len(pnl), "pnl_usd": math.fsum(pnl)}
    return exits


def opened_within(trades: Trades, start_ms: int, finish_ms: int) -> Trades:
    """Return the trades that were opened in [start_ms, finish_ms), wherever they ended."""
    opened = trades["opened_at_ms"]
    return trades[(opened >= start_ms) & (opened < finish_ms)]


def daily_pnl(trades: Trades, start_ms: int, finish_ms: int) -> NDArray[np.float64]:
    """Return the P&L of each UTC day of [start_ms, finish_ms), by time of close; a close at the very end is the last day's."""
    return _by_day(trades, trades["pnl_usd"], start_ms, finish_ms)


def daily_wins(trades: Trades, start_ms: int, finish_ms: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how many trades won on each of those days, and how many closed."""
    won = _by_day(trades, trades["pnl_usd"] > 0, start_ms, finish_ms)
    return won, _by_day(trades, np.ones(len(trades)), start_ms, finish_ms)


def day_count(start_ms: int, finish_ms: int) -> int:
    """Return the number of UTC days that [start_ms, finish_ms) touches."""
    return (finish_ms - 1) // DAY_MS - start_ms // DAY_MS + 1


def day_names(start_ms: int, finish_ms: int) -> list[str]:
    """Return those days, like 2025-06-17."""
    first = start_ms // DAY_MS
    return [iso((first + n) * DAY_MS)[:10] for n in range(day_count(start_ms, finish_ms))]


def day_edges(start_ms: int, finish_ms: int) -> list[int]:
    """Return the start, the end of every one of those days but the last, and the finish: when what a day made is known."""
    midnights = range((start_ms // DAY_MS + 1) * DAY_MS, finish_ms, DAY_MS)
    return [start_ms, *midnights, finish_ms]


def _by_day(trades: Trades, values: NDArray[Any], start_ms: int, finish_ms: int) -> NDArray[np.float64]:
    first, days = start_ms // DAY_MS, day_count(start_ms, finish_ms)
    day = np.minimum(trades["closed_at_ms"] // DAY_MS - first, days - 1)
    return np.bincount(day, weights=values, minlength=days).astype(np.float64)


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(math.fsum(values) / len(values)) if len(values) else None


def _pnl_by_drawdown(figures: Mapping[str, Any]) -> float | None:
    fall = figures["max_drawdown_usd"]
    return figures["net_pnl_usd"] / fall if fall else None


# What "best" can mean: name -> (words, figure; larger is better, None is worse than anything).
OBJECTIVES: dict[str, tuple[str, Callable[[Mapping[str, Any]], float | None]]] = {
    "net_pnl": ("net P&L in USD", lambda f: f["net_pnl_usd"]),
    "avg_r": ("average trade in R", lambda f: f["avg_trade_r"]),
    "profit_factor": ("gross win by gross loss", lambda f: f["profit_factor"]),
    "pnl_by_drawdown": ("net P&L by largest drawdown", _pnl_by_drawdown),
}


def score(objective: str, figures: Mapping[str, Any], least_trades: int = 1) -> float:
    """Return how good `figures` are; minus infinity for fewer than `least_trades` trades or a figure that does not exist."""
    if figures["trades"] < least_trades:
        return -math.inf
    value = OBJECTIVES[objective][1](figures)
    return -math.inf if value is None else value
