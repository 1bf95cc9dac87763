"""How the neighbours of a cell do: a peak that stands alone is luck more often than a plateau. Start at `neighbours_of`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from statistics import median
from typing import Any

from sigil_ext.errors import UsageError
from sigil_ext.research.grid.axes import Axis, identity
from sigil_ext.research.grid.cells import Cell
from sigil_ext.settings.models import TIMEFRAME_MINUTES, parse_duration

Place = tuple[Any, ...]
MOST_AXES_AT_ONCE = 5  # 242 neighbours


def places_of(cells: Sequence[Cell], axes: Sequence[Axis]) -> dict[Place, int]:
    """Return where each cell lies: (variant, step on each axis) -> its index. Steps go by size where values have one."""
    steps = [_steps(axis) for axis in axes]
    return {
        (cell.variant, *(step[identity(cell.values[a.key])] for a, step in zip(axes, steps, strict=True))): cell.index
        for cell in cells
    }


def neighbours_of(cell: Cell, axes: Sequence[Axis], places: Mapping[Place, int]) -> list[int]:
    """Return the cells of the same variant at most one step away on every axis whose values have an order.

    Over more than `MOST_AXES_AT_ONCE` such axes only those one step away on a single one: the corners of twenty axes are
    three thousand million.
    """
    here: Place = (cell.variant, *(_steps(axis)[identity(cell.values[axis.key])] for axis in axes))
    moving = [n for n, axis in enumerate(axes, start=1) if len(axis.values) > 1 and _has_order(axis)]
    found = []
    for move in _moves(len(moving)):
        there = list(here)
        for n, step in zip(moving, move, strict=True):
            there[n] += step
        if any(move) and tuple(there) in places:
            found.append(places[tuple(there)])
    return found


def at_an_end(cells: Sequence[Cell], axes: Sequence[Axis]) -> list[str]:
    """Return the axes on which all of `cells` lie at one and the same end: a better cell may lie outside of the grid."""
    found = []
    for axis in axes:
        values = {cell.values[axis.key] for cell in cells}
        if axis.is_numeric and len(axis.values) > 1 and values in ({min(axis.values)}, {max(axis.values)}):
            found.append(axis.key)
    return found


def _moves(axes: int) -> Iterator[tuple[int, ...]]:
    if axes <= MOST_AXES_AT_ONCE:
        yield from itertools.product((-1, 0, 1), repeat=axes)
        return
    for n in range(axes):
        for step in (-1, 1):
            yield (0,) * n + (step,) + (0,) * (axes - n - 1)


def _has_order(axis: Axis) -> bool:
    return size_of(axis.key, axis.values[0]) is not None


def neighbourhood(
    best: int, neighbours: Sequence[int], scores: Sequence[float], pnl: Sequence[float]
) -> dict[str, Any]:
    """Return how the neighbours of cell `best` do by the objective and in USD.

    Args:
        scores: of all cells by the objective, minus infinity where a cell has none. pnl: of all cells, NaN where unknown.
    """
    around = [i for i in neighbours if math.isfinite(pnl[i])]
    if not around:
        return {
            "cells": 0,
            "sentence": "The best cell has no neighbour in this grid: nothing says whether it stands alone.",
        }
    near = [pnl[i] for i in around]
    everywhere = [p for p in pnl if math.isfinite(p)]
    known = [scores[i] for i in around if math.isfinite(scores[i])]
    middle, share = median(near), sum(p > 0 for p in near) / len(near)
    several = f"{len(around)} neighbours" if len(around) > 1 else "one neighbour"
    return {
        "cells": len(around),
        "median_pnl_usd": middle,
        "worst_pnl_usd": min(near),
        "best_pnl_usd": max(near),
        "share_positive": share,
        "median_score": median(known) if known else None,
        "median_pnl_usd_of_grid": median(everywhere),
        "sentence": (
            f"Its {several} (one step on any axis): median {middle:+,.2f} USD, worst {min(near):+,.2f}, "
            f"{share:.0%} made money; it made {pnl[best]:+,.2f}, the median cell of the grid "
            f"{median(everywhere):+,.2f}."
        ),
    }


def size_of(key: str, value: Any) -> float | None:
    """Return what orders a value among others of its axis: a number, seconds of a duration, minutes of a timeframe."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    if value in TIMEFRAME_MINUTES and key.endswith("timeframe"):
        return float(TIMEFRAME_MINUTES[value])
    try:
        length = parse_duration(value)
    except (ValueError, UsageError):
        return None
    return length.total_seconds() if isinstance(length, timedelta) else None


def ordered(axis: Axis) -> tuple[Any, ...]:
    """Return the values of `axis` by size, as given where they have none."""
    sizes = [size_of(axis.key, value) for value in axis.values]
    if any(size is None for size in sizes):
        return axis.values
    return tuple(value for _, value in sorted(zip(sizes, axis.values, strict=True), key=lambda pair: pair[0] or 0.0))


def _steps(axis: Axis) -> dict[tuple[bool, Any], int]:
    return {identity(value): step for step, value in enumerate(ordered(axis))}
