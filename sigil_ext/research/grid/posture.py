"""Posture against multiplier: the variants differ in both at once, a grid that crosses them tells which one matters.

Start at `separate`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from sigil_ext.research.grid.axes import Axis, identity
from sigil_ext.research.grid.cells import Cell, shown_value
from sigil_ext.research.grid.stability import ordered

MULTIPLIER = "hard_stop.multiplier"
CONFOUNDED = (
    "The variants differ in posture (entries) and in hard_stop.multiplier at once: what sets them apart here may be either. "
    f"Add --axis {MULTIPLIER}=... to tell them apart."
)


def separate(
    variants: Sequence[str], axes: Sequence[Axis], cells: Sequence[Cell], figures: Mapping[int, Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Return P&L, hard-stop share and trades by posture (variant) and multiplier, the mean over all other axes.

    `shares` says how much of the spread of net P&L over the cells goes with posture alone, with the multiplier alone, and
    with everything else, 0..1; None where a cell is missing. None for one variant, or without that axis.
    """
    axis = next((a for a in axes if a.key == MULTIPLIER), None)
    if axis is None or len(variants) < 2:
        return None
    values = ordered(axis)
    groups: dict[tuple[str, Any], list[Mapping[str, Any]]] = {}
    for cell in cells:
        if cell.index in figures:
            key = (cell.variant, identity(cell.values[MULTIPLIER]))
            groups.setdefault(key, []).append(figures[cell.index])
    rows = [
        {
            "variant": variant,
            "multiplier": value,
            "cells": len(group),
            "net_pnl_usd": fmean(f["net_pnl_usd"] for f in group),
            "best_pnl_usd": max(f["net_pnl_usd"] for f in group),
            "hard_stop_share": _mean_known([f["hard_stop_share"] for f in group]),
            "trades": fmean(f["trades"] for f in group),
        }
        for variant in variants
        for value in values
        if (group := groups.get((variant, identity(value)), []))
    ]
    shares = _shares(variants, [groups.get((v, identity(x)), []) for v in variants for x in values], len(values))
    return {"rows": rows, "shares": shares, "sentence": _sentence(rows, shares)}


def is_confounded(multipliers: Sequence[float], axes: Sequence[Axis]) -> bool:
    """Return whether variants with these multipliers are compared without the multiplier being an axis."""
    return len(set(multipliers)) > 1 and all(axis.key != MULTIPLIER for axis in axes)


def _shares(
    variants: Sequence[str], groups: Sequence[Sequence[Mapping[str, Any]]], columns: int
) -> dict[str, float] | None:
    """Return the parts of the sum of squares of a balanced two-way layout, as shares of the whole."""
    if len({len(group) for group in groups}) != 1 or not groups[0]:
        return None
    pnl = [[f["net_pnl_usd"] for f in group] for group in groups]
    everything = fmean(p for group in pnl for p in group)
    total = sum((p - everything) ** 2 for group in pnl for p in group)
    if total == 0:
        return None
    rows, each = len(variants), len(pnl[0])
    row_means = [fmean(p for j in range(columns) for p in pnl[i * columns + j]) for i in range(rows)]
    column_means = [fmean(p for i in range(rows) for p in pnl[i * columns + j]) for j in range(columns)]
    posture = columns * each * sum((m - everything) ** 2 for m in row_means) / total
    multiplier = rows * each * sum((m - everything) ** 2 for m in column_means) / total
    return {"posture": posture, "multiplier": multiplier, "rest": max(0.0, 1 - posture - multiplier)}


def _sentence(rows: Sequence[Mapping[str, Any]], shares: Mapping[str, float] | None) -> str:
    best = max(rows, key=lambda row: row["net_pnl_usd"])
    said = (
        f"Best on average over the other axes: {best['variant']} entries with multiplier {shown_value(best['multiplier'])} "
        f"({best['net_pnl_usd']:+,.2f} USD a cell)."
    )
    if shares is None:
        return said
    return said + (
        f" Of the spread of net P&L over the cells {shares['posture']:.0%} goes with posture, {shares['multiplier']:.0%} with "
        f"the multiplier, {shares['rest']:.0%} with the other axes and what they do together."
    )


def _mean_known(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return fmean(known) if known else None
