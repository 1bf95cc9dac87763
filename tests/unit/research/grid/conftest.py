"""A grid of hand-made cells: nothing is simulated, every figure can be checked on paper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sigil_ext.research.grid.axes import parse_axes
from sigil_ext.research.grid.cells import cross
from sigil_ext.research.grid.report import GridFacts, build_document
from sigil_ext.research.grid.summary import fold_spans, summarise
from sigil_ext.research.kernel.trades import EXIT_REASONS, TRADE, CellTrades
from sigil_ext.settings.overlays import load_variant

DAY = 86_400_000
START = 1_750_032_000_000  # 2025-06-16, a Monday
DAYS = 20


def made(pnl_by_day: list[float]) -> CellTrades:
    """Return a cell with one trade a day: it risks 2 USD, a loss is a hard stop, a win a trail."""
    trades = np.zeros(len(pnl_by_day), dtype=TRADE)
    for n, (trade, pnl) in enumerate(zip(trades, pnl_by_day, strict=True)):
        trade["pnl_usd"], trade["risk_usd"] = pnl, 2.0
        trade["exit_reason"] = EXIT_REASONS.index("hard_stop" if pnl < 0 else "atr_trail")
        trade["opened_at_ms"], trade["closed_at_ms"] = START + n * DAY + 3_600_000, START + n * DAY + 7_200_000
    return CellTrades(trades, 1000.0 + sum(pnl_by_day))


@pytest.fixture(scope="session")
def grid() -> Callable[..., dict[str, Any]]:
    """Return the document of variants crossed with axes, where `worth(variant, values)` is the P&L of each day."""

    def build(
        variants: list[str],
        axes: list[str],
        worth: Callable[[str, dict[str, Any]], list[float]],
        folds: int = 0,
        **facts: Any,
    ) -> dict[str, Any]:
        chosen = tuple(load_variant(name) for name in variants)
        parsed = parse_axes(axes)
        cells = cross(chosen, parsed)
        period = (START, START + DAYS * DAY)
        spans = fold_spans(period, folds)
        summaries = {
            c.index: summarise(made(worth(c.variant, dict(c.values))), 1000.0, period, spans) for c in cells if c.run
        }
        said: dict[str, Any] = {
            "variants": chosen, "axes": parsed, "engine": "jesse", "period": period, "symbols": ("TST-USDT",),
            "candles": "sample", "exchange": "Binance Spot", "intervals": {"TST-USDT": 1}, "objective": "net_pnl",
            "least_trades": 1, "folds": tuple(spans), "verification": None,
        }  # fmt: skip
        problems = {c.index: str(c.problem) for c in cells if c.run is None}
        return build_document(GridFacts(**(said | facts)), cells, summaries, problems)

    return build
