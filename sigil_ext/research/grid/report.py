"""The document of a grid: cells with their figures, the best one with its evidence, folds, neighbours, posture, notes.

JSON-able, nothing rounded; times ISO in UTC, money USD, shares 0..1, `*_pct` percent. Start at `build_document`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research.backtest_format import counted
from sigil_ext.research.backtest_stats import iso, json_safe
from sigil_ext.research.grid.axes import Axis
from sigil_ext.research.grid.cells import Cell
from sigil_ext.research.grid.curves import curves_of
from sigil_ext.research.grid.figures import score
from sigil_ext.research.grid.head import head_of
from sigil_ext.research.grid.notes import notes_on, same_sentence
from sigil_ext.research.grid.posture import separate
from sigil_ext.research.grid.stability import at_an_end, neighbourhood, neighbours_of, places_of
from sigil_ext.research.grid.summary import Span, Summary
from sigil_ext.research.statistics import assess_grid
from sigil_ext.settings.overlays import Variant, flatten

SEED = 20251121  # of the bootstrap: the same cells give the same intervals
FOLD_FIGURES = ("trades", "net_pnl_usd", "avg_trade_r", "win_rate", "hard_stop_share", "profit_factor")


@dataclass(frozen=True, slots=True)
class GridFacts:
    """What a document says besides the cells. `verification` is what the check against Jesse found, None where none was due;
    `tried_before` counts cells that earlier grids ran on these candles and this one did not, `earlier` is the P&L (days,
    cells) of those of which it is known."""

    variants: tuple[Variant, ...]
    axes: tuple[Axis, ...]
    engine: str
    period: Span
    symbols: tuple[str, ...]
    candles: str
    exchange: str
    intervals: Mapping[str, int]
    objective: str
    least_trades: int
    folds: tuple[Span, ...]
    verification: Mapping[str, Any] | None
    tried_before: int = 0
    earlier: NDArray[np.float64] | None = None

    @property
    def unknown_before(self) -> int:
        """How many of the cells tried before have no P&L by day any more."""
        return self.tried_before - (0 if self.earlier is None else self.earlier.shape[1])


def build_document(
    facts: GridFacts, cells: Sequence[Cell], summaries: Mapping[int, Summary], problems: Mapping[int, str]
) -> dict[str, Any]:
    """Return the document of `cells`: `summaries` of those that ran, `problems` of the others, by index."""
    figures = {index: s.figures for index, s in summaries.items()}
    scores = [
        score(facts.objective, figures[c.index], facts.least_trades) if c.index in figures else -math.inf for c in cells
    ]
    best = int(np.argmax(scores)) if any(math.isfinite(s) for s in scores) else None
    own = [c.index for c in cells if c.index in figures and _is_own(c, facts)]
    twins = twins_of(summaries)
    document = head_of(facts, title_of(facts, len(cells)), facts.period) | {
        "cells_tried": len(cells) - len(problems),
        "cells_failed": len(problems),
        "cells_tried_before": facts.tried_before,
        "cells_tried_before_unknown": facts.unknown_before,
        "cells": [_cell(cell, scores[cell.index], summaries, problems, twins) for cell in cells],
        "best": None if best is None else _best(best, facts, cells, summaries, scores, twins),
        "own": own,
        "curves": curves_of(facts.period, cells, summaries, best, own),
        "folds": _folds(facts, cells, summaries),
        "posture": separate([v.name for v in facts.variants], facts.axes, cells, figures),
        "config": {v.name: flatten(v.settings) for v in facts.variants},
    }
    document["notes"] = notes_on(facts, document)
    safe: dict[str, Any] = json_safe(document)
    return safe


def title_of(facts: GridFacts, cells: int) -> str:
    """Return the title of a grid: its variants, its axes, how many cells."""
    axes = [f"{axis.key} ({len(axis.values)})" for axis in facts.axes]
    return f"{' x '.join([', '.join(v.name for v in facts.variants), *axes])}: {counted(cells, 'cell')}"


def _cell(
    cell: Cell, worth: float, summaries: Mapping[int, Summary], problems: Mapping[int, str], twins: Mapping[int, int]
) -> dict[str, Any]:
    said: dict[str, Any] = {
        "index": cell.index, "label": cell.label, "variant": cell.variant, "values": dict(cell.values),
        "problem": problems.get(cell.index), "score": worth if math.isfinite(worth) else None,
    }  # fmt: skip
    if cell.index not in summaries:
        return said
    summary = summaries[cell.index]
    return said | {
        "figures": dict(summary.figures),
        "final_equity": summary.final_equity,
        "refused": dict(summary.refused),
        "same_as": twins.get(cell.index),
        "folds": [
            {"in": {k: w[k] for k in FOLD_FIGURES}, "out": {k: o[k] for k in FOLD_FIGURES}}
            for w, o in zip(summary.within, summary.out, strict=True)
        ],
    }


def _best(
    best: int,
    facts: GridFacts,
    cells: Sequence[Cell],
    summaries: Mapping[int, Summary],
    scores: Sequence[float],
    twins: Mapping[int, int],
) -> dict[str, Any]:
    """Return the best cell with what keeps one from believing in it."""
    ran = sorted(summaries)
    daily = np.column_stack([summaries[i].daily for i in ran])
    tried = len(ran) + facts.tried_before
    evidence = assess_grid(daily, ran.index(best), seed=SEED, earlier=facts.earlier, trials=tried).document()
    alike = [i for i in summaries if i != best and twins.get(i, i) == twins.get(best, best)]
    if alike:
        evidence["sentences"].insert(0, same_sentence([cells[i].label for i in sorted(alike)]))
    pnl = [summaries[c.index].figures["net_pnl_usd"] if c.index in summaries else math.nan for c in cells]
    near = neighbours_of(cells[best], facts.axes, places_of(cells, facts.axes))
    return {
        "index": best,
        "label": cells[best].label,
        "same": sorted(alike),
        "statistics": evidence,
        "neighbourhood": neighbourhood(best, near, scores, pnl) | {"indices": near},
        "at_the_edge": at_an_end([cells[i] for i in (best, *alike)], facts.axes),
    }


def twins_of(summaries: Mapping[int, Summary]) -> dict[int, int]:
    """Return for each cell that made exactly the trades of one before it, the first such one. Not trading is no trade."""
    first: dict[str, int] = {}
    found = {}
    for index in sorted(summaries):
        if summaries[index].figures["trades"]:
            twin = first.setdefault(summaries[index].trades, index)
            if twin != index:
                found[index] = twin
    return found


def _folds(facts: GridFacts, cells: Sequence[Cell], summaries: Mapping[int, Summary]) -> list[dict[str, Any]]:
    """Return for each fold the cell that was best on all the others, and what it and the field did in this one."""
    folds = []
    for k, (start, finish) in enumerate(facts.folds):
        inside = {i: score(facts.objective, s.within[k], facts.least_trades) for i, s in summaries.items()}
        chosen = max(inside, key=lambda i: inside[i], default=None)
        said: dict[str, Any] = {"start": iso(start), "finish": iso(finish), "chosen": None}
        if chosen is not None and math.isfinite(inside[chosen]):
            outcome = {i: s.out[k]["net_pnl_usd"] for i, s in summaries.items()}
            better = sum(p > outcome[chosen] for p in outcome.values())
            said |= {
                "chosen": chosen,
                "label": cells[chosen].label,
                "in": {f: summaries[chosen].within[k][f] for f in FOLD_FIGURES},
                "out": {f: summaries[chosen].out[k][f] for f in FOLD_FIGURES},
                "rank_out": better + 1,
                "of": len(outcome),
                "median_out_usd": median(outcome.values()),
                "best_out_usd": max(outcome.values()),
            }
        folds.append(said)
    return folds


def _is_own(cell: Cell, facts: GridFacts) -> bool:
    """Return whether the cell is its variant as its overlay has it."""
    if cell.run is None:
        return False
    own = next(v for v in facts.variants if v.name == cell.variant)
    return cell.run.settings == own.settings
