"""The head of a document of cells, of a grid and of a walk-forward: what was asked for, of which candles. See `head_of`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sigil_ext.research.backtest_stats import iso
from sigil_ext.research.grid.figures import OBJECTIVES

if TYPE_CHECKING:
    from sigil_ext.research.grid.report import GridFacts
    from sigil_ext.research.grid.summary import Span
    from sigil_ext.research.grid.walk import WalkFacts


def head_of(facts: GridFacts | WalkFacts, title: str, period: Span) -> dict[str, Any]:
    """Return what the documents of a grid and of a walk-forward both begin with; `period` is all that the candles cover."""
    return {
        "title": title,
        "engine": facts.engine,
        "verification": facts.verification,
        "start": iso(period[0]),
        "finish": iso(period[1]),
        "symbols": list(facts.symbols),
        "candles": facts.candles,
        "exchange": facts.exchange,
        "variants": [v.name for v in facts.variants],
        "axes": [{"key": axis.key, "values": list(axis.values)} for axis in facts.axes],
        "objective": facts.objective,
        "objective_words": OBJECTIVES[facts.objective][0],
        "least_trades": facts.least_trades,
    }
