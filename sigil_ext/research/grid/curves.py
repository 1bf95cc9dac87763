"""Curves of closed P&L, day by day: the best cell, the middle of the field, the variants as they are. Start at `curves_of`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sigil_ext.research.backtest_stats import iso
from sigil_ext.research.grid.cells import Cell
from sigil_ext.research.grid.figures import day_edges, day_names
from sigil_ext.research.grid.summary import Span, Summary

MOST_OWN = 5


def curves_of(
    period: Span, cells: Sequence[Cell], summaries: Mapping[int, Summary], best: int | None, own: Sequence[int]
) -> dict[str, Any]:
    """Return the days of `period` and P&L by day (USD, not added up) of the cells worth seeing.

    `middle` is the median of all cells' P&L added up. `at` is when it is known: the start, where all have 0, and the end of
    each day.
    """
    daily = np.column_stack([s.daily for s in summaries.values()])
    shown = [] if best is None else [best]
    shown += [index for index in own[:MOST_OWN] if index != best]
    return {
        "days": day_names(*period),
        "at": [iso(at) for at in day_edges(*period)],
        "middle": np.median(np.cumsum(daily, axis=0), axis=1).tolist(),
        "cells": [
            {"index": i, "label": cells[i].label, "daily": summaries[i].daily.tolist(), "own": i in own} for i in shown
        ],
    }
