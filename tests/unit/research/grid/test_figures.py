"""Figures of a cell, on trades of round figures that can be checked on paper."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest

from sigil_ext.research.grid.figures import (
    daily_pnl,
    daily_wins,
    day_count,
    day_edges,
    day_names,
    figures_of,
    opened_within,
    score,
)
from sigil_ext.research.kernel.trades import EXIT_REASONS, TRADE

HOUR = 3_600_000
MONDAY = int(datetime(2025, 6, 16, tzinfo=UTC).timestamp() * 1000)


def trades_of(*rows: tuple[float, str, float, float]) -> np.ndarray:
    """Return trades of (P&L, exit reason, hours from Monday to open, and to close), each risking 2 USD."""
    trades = np.zeros(len(rows), dtype=TRADE)
    for trade, (pnl, reason, opened, closed) in zip(trades, rows, strict=True):
        trade["pnl_usd"], trade["risk_usd"], trade["fee"] = pnl, 2.0, 0.15
        trade["exit_reason"] = EXIT_REASONS.index(reason)
        trade["opened_at_ms"], trade["closed_at_ms"] = MONDAY + opened * HOUR, MONDAY + closed * HOUR
    return trades


FOUR = trades_of(
    (3.0, "atr_trail", 1, 3), (-4.0, "hard_stop", 2, 4), (1.0, "atr_trail", 10, 30), (0.0, "flat_no_move", 40, 48)
)


def test_figures_are_those_of_the_trades() -> None:
    figures = figures_of(FOUR, 1000.0)
    assert figures["trades"] == 4
    assert figures["net_pnl_usd"] == 0.0
    assert figures["net_pnl_r"] == 0.0
    assert (figures["wins"], figures["losses"], figures["win_rate"]) == (2, 1, 0.5)
    assert figures["payoff_ratio"] == 0.5
    assert figures["win_rate_needed"] == pytest.approx(4 / 6)
    assert figures["profit_factor"] == 1.0
    assert figures["hard_stop_share"] == 0.25
    assert figures["max_drawdown_usd"] == 4.0
    assert figures["max_drawdown_pct"] == pytest.approx(4 / 1003 * 100)
    assert figures["fee_usd"] == pytest.approx(0.6)
    assert figures["exits"]["atr_trail"] == {"count": 2, "pnl_usd": 4.0}


def test_a_cell_without_trades_has_no_rates() -> None:
    figures = figures_of(trades_of(), 1000.0)
    assert (figures["trades"], figures["net_pnl_usd"], figures["max_drawdown_usd"]) == (0, 0.0, 0.0)
    assert (
        figures["win_rate"] is figures["payoff_ratio"] is figures["hard_stop_share"] is figures["avg_trade_r"] is None
    )
    assert score("net_pnl", figures) == -math.inf  # not trading is no candidate


def test_a_part_of_the_time_holds_the_trades_opened_in_it() -> None:
    assert opened_within(FOUR, MONDAY + 2 * HOUR, MONDAY + 40 * HOUR)["pnl_usd"].tolist() == [-4.0, 1.0]


def test_a_day_gets_what_closed_on_it_and_the_last_one_what_closed_at_the_end() -> None:
    finish = MONDAY + 48 * HOUR
    assert day_count(MONDAY, finish) == 2
    assert daily_pnl(FOUR, MONDAY, finish).tolist() == [-1.0, 1.0]
    assert daily_pnl(trades_of((5.0, "session_end", 40, 48)), MONDAY, finish).tolist() == [0.0, 5.0]
    assert [counts.tolist() for counts in daily_wins(FOUR, MONDAY, finish)] == [[1.0, 1.0], [2.0, 2.0]]
    assert day_names(MONDAY, finish) == ["2025-06-16", "2025-06-17"]


def test_a_day_is_known_at_its_end_and_the_last_one_at_the_finish() -> None:
    assert day_edges(MONDAY, MONDAY + 48 * HOUR) == [MONDAY, MONDAY + 24 * HOUR, MONDAY + 48 * HOUR]
    begin, finish = MONDAY + 21 * HOUR, MONDAY + 50 * HOUR
    assert day_edges(begin, finish) == [begin, MONDAY + 24 * HOUR, MONDAY + 48 * HOUR, finish]
    assert len(day_edges(begin, finish)) == day_count(begin, finish) + 1


def test_objectives_rank_and_too_few_trades_rank_last() -> None:
    figures = figures_of(FOUR[:1], 1000.0)
    assert score("net_pnl", figures) == 3.0
    assert score("avg_r", figures) == 1.5
    assert score("profit_factor", figures) == -math.inf  # no loss yet: no ratio
    assert score("net_pnl", figures, least_trades=2) == -math.inf
